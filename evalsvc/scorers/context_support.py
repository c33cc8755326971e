"""Context support: how far the retrieved contexts carry what the response says, sentence by sentence."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from typing import ClassVar

import numpy as np

from evalsvc._sentences import Span, passages, sentence_spans
from evalsvc.engine import Embeddings
from evalsvc.engine.overlap import CHARACTERS_PER_TOKEN
from evalsvc.scorers._encoder import EncoderScorer
from evalsvc.types import Abstained, Outcome, Sample, Scale, Scored, ScorerSpec

PASSAGE_SENTENCES = 3
PASSAGE_STEP = 2
GRAM = 4
LEAST_SUPPORTED = 3
_WORD = re.compile(r"\w+")


class ContextSupport(EncoderScorer):
    """Length-weighted support of the response's sentences by the contexts, in [0, 1]; higher is better.

    A sentence's support is the mean of two signs: the greatest cosine (floored at 0) between it and any
    passage of three neighbouring sentences of a context, and the share of its words' character 4-grams that
    occur in any context. The first knows paraphrase, the second names and numbers. Both grow when contexts
    are added.

    It finds text that came from nowhere; it cannot see a negation or two facts swapped, and a response that
    copies the contexts scores high whatever it claims. ``docs/reference/engine.md`` has its separation on
    human labels beside that of word overlap alone. Abstains without a response or a context. ``detail``
    holds the number of sentences, the least support, and the positions and support of the least supported
    sentences, never their text.

    Cost: one pass of a small encoder over the response and the contexts; equal contexts are encoded once.
    """

    # One unknown sentence among many is no reason to abstain, and word overlap sees it.
    compares_texts: ClassVar[bool] = False

    @property
    def spec(self) -> ScorerSpec:
        """What it measures; the signature is complete after ``load``."""
        return ScorerSpec(
            metric="context_support",
            version=1,
            scale=Scale(0.0, 1.0, "higher"),
            needs=("response", "contexts"),
            signature=(
                f"{self.encoder_signature}|passage:{PASSAGE_SENTENCES}/{PASSAGE_STEP}|sentence:max-cos+gram{GRAM}"
                "|agg:length-mean"
            ),
            description="Support of the response's sentences by the contexts: best cosine, 4-gram overlap",
        )

    def cost(self, sample: Sample) -> int:
        """Return about how many tokens response and contexts have, passages overlapping, at least 1."""
        event = sample.event
        in_contexts = sum(map(len, event.contexts)) * PASSAGE_SENTENCES // PASSAGE_STEP
        return 1 + (len(event.response) + in_contexts) // CHARACTERS_PER_TOKEN

    def texts(self, sample: Sample) -> list[str] | Abstained:
        """Return the response's sentences, then the passages of all contexts."""
        if not sample.event.response.strip():
            return Abstained("empty response")
        if not any(context.strip() for context in sample.event.contexts):
            return Abstained("no contexts")
        claims = _claims(sample.event.response)
        if not claims:
            return Abstained("no words in the response")
        found = _passages(sample.event.contexts)
        if not found:
            return Abstained("no words in the contexts")
        return [sample.event.response[start:end] for start, end in claims] + found

    def compare(self, sample: Sample, embeddings: Embeddings) -> Outcome:
        """Return the mean support with the positions of the least supported sentences."""
        response = sample.event.response
        claims = _claims(response)
        sentences, supports = embeddings.vectors[: len(claims)], embeddings.vectors[len(claims) :]
        cosine = np.clip((sentences @ supports.T).max(axis=1), 0.0, 1.0).astype(np.float64)
        known = {gram for context in sample.event.contexts for gram in grams(context)}
        overlap = np.array([coverage(response[start:end], known) for start, end in claims])
        support = (cosine + overlap) / 2
        lengths = np.array([end - start for start, end in claims], dtype=np.float64)
        value = float(np.average(support, weights=lengths))
        return Scored(min(max(value, 0.0), 1.0), _detail(claims, support))


def grams(text: str) -> Iterator[str]:
    """Yield the character 4-grams within each word, case folded; a shorter word is one of its own.

    >>> list(grams("The 2024 report"))
    ['the', '2024', 'repo', 'epor', 'port']
    """
    for word in _WORD.findall(text.casefold()):
        for start in range(max(len(word) - GRAM, 0) + 1):
            yield word[start : start + GRAM]


def coverage(sentence: str, known: set[str]) -> float:
    """Return the share of the sentence's 4-grams that are known, in [0, 1]; 0 for a sentence without any.

    >>> coverage("two days", {"two"})
    0.5
    """
    own = list(grams(sentence))
    return sum(gram in known for gram in own) / len(own) if own else 0.0


def _claims(response: str) -> list[Span]:
    """Return the sentences that hold a word: a rule of dashes claims nothing."""
    return [(start, end) for start, end in sentence_spans(response) if _WORD.search(response, start, end)]


def _passages(contexts: Sequence[str]) -> list[str]:
    found = (text for context in contexts for text in passages(context, PASSAGE_SENTENCES, PASSAGE_STEP))
    return [text for text in dict.fromkeys(found) if _WORD.search(text)]


def _detail(claims: Sequence[Span], support: np.ndarray) -> dict[str, object]:
    least = np.argsort(support, kind="stable")[:LEAST_SUPPORTED]
    return {
        "sentences": len(claims),
        "min": round(float(support.min()), 4),
        "least_supported": [
            {"start": claims[index][0], "end": claims[index][1], "support": round(float(support[index]), 4)}
            for index in least
        ],
    }
