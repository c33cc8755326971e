"""Coherence: how near neighbouring sentences of the response are to each other in meaning."""

from __future__ import annotations

import re

import numpy as np

from evalsvc._sentences import Span, sentence_spans
from evalsvc.engine import Embeddings
from evalsvc.engine.overlap import CHARACTERS_PER_TOKEN
from evalsvc.scorers._encoder import EncoderScorer
from evalsvc.types import Abstained, Outcome, Sample, Scale, Scored, ScorerSpec

MOST_SENTENCES = 500
"""A response of more sentences abstains: its head alone would be another measure."""

_WORD = re.compile(r"[^\W_]")


class Coherence(EncoderScorer):
    """Mean cosine of neighbouring sentences of the response, each floored at 0, in [0, 1]; higher is better.

    ``mean over i of max(0, cos(e(s_i), e(s_i+1)))``. It sees a jump of topic, not whether an argument holds; it
    did not order summaries as experts do (``docs/reference/scorers/coherence.md``). Repetition raises it, since a
    sentence said again is perfectly near to itself: read it beside ``repetition``. Abstains below two sentences
    with words and above 500. ``detail`` holds the number of sentences, the least cosine and the position of the
    sentence after that joint.

    Cost: one pass of a small encoder over the response; equal sentences are encoded once.

    Source: first-order coherence of Foltz, Kintsch and Landauer 1998, The Measurement of Textual Coherence
    with Latent Semantic Analysis; here with a sentence encoder's vectors instead of LSA's.
    """

    @property
    def spec(self) -> ScorerSpec:
        """What it measures; the signature is complete after ``load``."""
        return ScorerSpec(
            metric="coherence",
            version=1,
            scale=Scale(0.0, 1.0, "higher"),
            needs=("response",),
            signature=f"{self.encoder_signature}|sentences:2-{MOST_SENTENCES}|pairs:neighbours|map:max0|agg:mean",
            description="Mean cosine similarity of neighbouring sentences of the response, floored at 0",
        )

    def cost(self, sample: Sample) -> int:
        """Return about how many tokens the response has, at least 1."""
        return 1 + len(sample.event.response) // CHARACTERS_PER_TOKEN

    def texts(self, sample: Sample) -> list[str] | Abstained:
        """Return the response's sentences that hold a word."""
        response = sample.event.response
        if not response.strip():
            return Abstained("empty response")
        spans = _sentences(response)
        if not spans:
            return Abstained("no words in the response")
        if len(spans) < 2:
            return Abstained("fewer than 2 sentences in the response")
        if len(spans) > MOST_SENTENCES:
            return Abstained(f"more than {MOST_SENTENCES} sentences in the response")
        return [response[start:end] for start, end in spans]

    def compare(self, sample: Sample, embeddings: Embeddings) -> Outcome:
        """Return the mean cosine of neighbours with the weakest joint."""
        vectors = np.asarray(embeddings.vectors, dtype=np.float64)
        cosines = np.clip((vectors[:-1] * vectors[1:]).sum(axis=1), 0.0, 1.0)
        weakest = int(cosines.argmin())
        start, end = _sentences(sample.event.response)[weakest + 1]
        detail = {
            "sentences": len(vectors),
            "min": round(float(cosines[weakest]), 4),
            "weakest": {"start": start, "end": end},
        }
        return Scored(float(cosines.mean()), detail)


def _sentences(response: str) -> list[Span]:
    return [(start, end) for start, end in sentence_spans(response) if _WORD.search(response, start, end)]
