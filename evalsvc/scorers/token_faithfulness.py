"""Faithfulness token by token: published token classifiers that mark what a response makes up."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from evalsvc._sentences import Span
from evalsvc.engine import TokenClassifier
from evalsvc.engine.cache import content_key
from evalsvc.engine.overlap import CHARACTERS_PER_TOKEN
from evalsvc.engine.runner import ItemFailure
from evalsvc.engine.settings import DeviceName, DtypeName
from evalsvc.engine.tokens import Unreadable
from evalsvc.errors import EngineError, InputError
from evalsvc.scorers._detectors import (
    Case,
    ClassifierTokens,
    Matrix,
    TokenDetector,
    label_index,
    listed,
    token_spans,
    unfit,
)
from evalsvc.scorers._model import ModelScorer, model_settings
from evalsvc.scorers._passages import WORD, cut
from evalsvc.types import Abstained, Failed, Outcome, Sample, Scale, Scored, ScorerSpec

TEMPLATE = "{question}\n{context}"
JOIN = "\n\n"
RESPONSE_SHARE = 4
"""A window holds a piece of the response in one of so many parts, and question and contexts in the others."""
LISTED = 50
"""How many spans a detail lists; it counts them all."""


class Marking(NamedTuple):
    """How a detector's answers become a score; ``template`` is what it is shown before the response."""

    threshold: float = 0.5
    template: str = TEMPLATE
    max_pairs: int = 1024

    def checked(self, metric: str) -> Marking:
        """Return itself, refusing values outside their bounds."""
        if not 0.0 < self.threshold <= 1.0:
            raise InputError(f"Expected option `threshold` of {metric!r} in (0, 1], but got {self.threshold}")
        if self.template.count("{context}") != 1:
            raise InputError(f"Expected option `template` of {metric!r} to hold {{context}} once, but it does not")
        if self.max_pairs < 1:
            raise InputError(f"Expected option `max_pairs` of {metric!r} >= 1, but got {self.max_pairs}")
        return self

    def around(self, sample: Sample) -> tuple[str, str]:
        """Return what stands before and after the contexts. A question that holds a placeholder stays as it is."""
        before, _, after = self.template.partition("{context}")
        question = sample.event.last_user_text
        return before.replace("{question}", question), after.replace("{question}", question)


class _Asked(NamedTuple):
    premises: list[str]
    pieces: list[Span]
    texts: list[str]


def mark(detector: TokenDetector, batch: Sequence[Sample], marking: Marking) -> list[Outcome]:
    """Return one outcome a sample, in order: the share of the response's characters that is not made up.

    A token's probability is the least that any window over the contexts gives: one that supports it is enough.
    """
    reasons = [unfit(sample) for sample in batch]
    fit = [sample for sample, reason in zip(batch, reasons, strict=True) if reason is None]
    spans = token_spans(detector, (text for sample in fit for text in _texts(sample, marking)))
    asked: list[_Asked | Outcome] = [
        Abstained(reason) if reason else _ask(sample, spans, detector.room, marking)
        for sample, reason in zip(batch, reasons, strict=True)
    ]
    ready = [item for item in asked if isinstance(item, _Asked)]
    pieces = token_spans(detector, (text for item in ready for text in item.texts))
    found = iter(detector.hallucinated([Case(item.premises, item.texts) for item in ready]) if ready else [])
    return [
        _outcome(sample.event.response, item, next(found), pieces, marking) if isinstance(item, _Asked) else item
        for sample, item in zip(batch, asked, strict=True)
    ]


def _joined(sample: Sample) -> str:
    """Return the contexts as one text, equal ones once."""
    return JOIN.join(dict.fromkeys(context for context in sample.event.contexts if context.strip()))


def _texts(sample: Sample, marking: Marking) -> tuple[str, str, str]:
    return sample.event.response, _joined(sample), "".join(marking.around(sample))


def _ask(
    sample: Sample, spans: Mapping[str, Sequence[Span] | Unreadable], room: int, marking: Marking
) -> _Asked | Outcome:
    known: list[Sequence[Span]] = []
    texts = _texts(sample, marking)
    for text in texts:
        found = spans[text]
        if isinstance(found, Unreadable):
            return Failed(f"detector: {found.reason}")
        known.append(found)
    response, contexts, _ = texts
    share = max(room // RESPONSE_SHARE, 1)
    size = room - share - len(known[2])
    if size < share:
        return Abstained(f"question of {len(known[2])} tokens leaves no room for contexts in a window of {room}")
    pieces = cut(response, known[0], share, overlap=False)
    passages = dict.fromkeys(
        contexts[start:end] for start, end in cut(contexts, known[1], size) if WORD.search(contexts, start, end)
    )
    if len(passages) * len(pieces) > marking.max_pairs:
        return Abstained(
            f"{len(pieces)} pieces of the response by {len(passages)} passages are more than {marking.max_pairs} pairs"
        )
    before, after = marking.around(sample)
    return _Asked([before + text + after for text in passages], pieces, [response[start:end] for start, end in pieces])


def _outcome(
    response: str,
    asked: _Asked,
    found: Sequence[Matrix] | ItemFailure,
    tokens: Mapping[str, Sequence[Span] | Unreadable],
    marking: Marking,
) -> Outcome:
    if isinstance(found, ItemFailure):
        return Failed(f"detector: {found.reason}")
    made_up = np.full(len(response), -1.0)
    for (start, _), text, matrix in zip(asked.pieces, asked.texts, found, strict=True):
        own = tokens[text]
        if isinstance(own, Unreadable) or len(own) != matrix.shape[1]:
            return Failed("detector: it joins the response to the contexts in other tokens than the response's own")
        for (left, right), value in zip(own, matrix.min(axis=0), strict=True):
            part = made_up[start + left : start + right]
            np.maximum(part, value, out=part)
    made_up[[place for place, sign in enumerate(response) if sign.isspace()]] = -1.0
    judged = int((made_up >= 0.0).sum())
    if not judged:
        return Abstained("no tokens in the response")
    marked = int((made_up >= marking.threshold).sum())
    spans = marked_spans(response, made_up, marking.threshold)
    detail = {
        "passages": len(asked.premises),
        "characters": judged,
        "hallucinated_characters": marked,
        "spans_count": len(spans),
        "spans": [
            {"start": start, "end": end, "probability": round(float(made_up[start:end].max()), 4)}
            for start, end in spans[:LISTED]
        ],
    }
    return Scored(1.0 - marked / judged, detail)


def marked_spans(response: str, made_up: NDArray[np.float64], threshold: float) -> list[Span]:
    """Return the longest runs of characters at or above the threshold; white space between two does not part them.

    >>> marked_spans("ab cd", np.array([0.1, 0.9, -1.0, 0.8, 0.2]), 0.5)
    [(1, 4)]
    """
    spans: list[Span] = []
    for place in np.flatnonzero(made_up >= threshold).tolist():
        if spans and not response[spans[-1][1] : place].strip():
            spans[-1] = (spans[-1][0], place + 1)
        else:
            spans.append((place, place + 1))
    return spans


class TokenFaithfulness(ModelScorer[TokenClassifier]):
    """1 - the share of the response's characters that a token classifier marks as made up, in [0, 1]; higher is better.

    White space does not count. The model reads (contexts with the question, response), as LettuceDetect does;
    contexts that are longer than its window are read in several, and a token is made up only where it is so in
    each of them. Abstains without a response, contexts, or words in either, where the question leaves no room, and
    where the windows would be more than ``max_pairs``. ``detail`` holds the marked spans by position, with the
    greatest probability of their characters.

    Args:
        model: a token classifier of pairs: a local folder, or a hub name with a ``revision``. Required.
        revision: hub commit, or SHA-256 of local weights.
        hallucinated: number or name of the label that means made up; 1 of a model with two labels.
        threshold: the probability from which on a token is made up.
        template: what the model is shown before the response, with ``{context}`` and, at will, ``{question}``.
        max_pairs: the most pairs of a piece of the response and a passage of the contexts.
        window: tokens of a window; without it the model's own, at most 4,096.
        device: ``auto``, ``cpu``, ``cuda`` or ``cuda:N``.
        dtype: ``auto``, ``float32``, ``bfloat16`` or ``float16``.
        max_batch_tokens: token budget of a batch on the device.

    Source: Kovács and Recski 2025, LettuceDetect.
    """

    metric = "token_faithfulness"

    def __init__(
        self,
        model: str | None = None,
        revision: str | None = None,
        hallucinated: int | str | None = None,
        threshold: float = 0.5,
        template: str = TEMPLATE,
        max_pairs: int = 1024,
        window: int | None = None,
        device: DeviceName = "auto",
        dtype: DtypeName = "auto",
        max_batch_tokens: int | None = None,
    ) -> None:
        settings: dict[str, Any] = {
            "revision": revision, "window": window, "device": device, "dtype": dtype,
            "max_batch_tokens": max_batch_tokens,
        }  # fmt: skip
        super().__init__(TokenClassifier, model_settings(self.metric, model, **settings))
        self.hallucinated = hallucinated
        self.marking = Marking(threshold, template, max_pairs).checked(self.metric)

    @property
    def spec(self) -> ScorerSpec:
        """What it measures; the signature is complete after ``load``."""
        loaded, marking = self._model, self.marking
        label = f"{self.label(loaded)}/{len(loaded.labels)}" if loaded else "?"
        template = content_key(marking.template).hex()[:8]
        return ScorerSpec(
            metric=self.metric,
            version=1,
            scale=Scale(0.0, 1.0, "higher"),
            needs=("response", "contexts"),
            signature=(
                f"{self.model_signature}|label:{label}|template:{template}|share:1/{RESPONSE_SHARE}|windows:min"
                f"|threshold:{marking.threshold:g}|pairs:{marking.max_pairs}"
            ),
            description="Share of the response's characters that a token classifier does not mark as made up.",
        )

    def label(self, model: TokenClassifier) -> int:
        """Return the place of the label that means made up.

        Raises:
            EngineError: when the model has not two labels and the options name none.
        """
        if self.hallucinated is None and len(model.labels) != 2:
            raise EngineError(
                f"Model {model.files.name!r} has the labels {listed(model.labels)}: "
                "name the one that means made up in the option `hallucinated`"
            )
        asked = 1 if self.hallucinated is None else self.hallucinated
        return label_index(model.files.name, model.labels, asked, "hallucinated")

    def check(self, model: TokenClassifier) -> None:
        """Refuse a model without the label."""
        self.label(model)

    @property
    def detector(self) -> TokenDetector:
        """The loaded model as a detector."""
        return ClassifierTokens(self.model, self.label(self.model))

    def cost(self, sample: Sample) -> int:
        """Return about how many tokens all windows have, at least 1."""
        event = sample.event
        texts = (*event.contexts, event.response, event.last_user_text)
        return 1 + sum(map(len, texts)) // CHARACTERS_PER_TOKEN

    def score(self, batch: Sequence[Sample]) -> Sequence[Outcome]:
        """Return one outcome a sample, in order, from one pass of the model over all pairs of the batch."""
        return mark(self.detector, batch, self.marking)
