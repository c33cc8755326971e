"""Faithfulness sentence by sentence: published NLI cross-encoders and sequence classifiers as detectors."""

from __future__ import annotations

import re
from abc import abstractmethod
from collections.abc import Mapping, Sequence
from typing import Any, ClassVar, NamedTuple

import numpy as np
from numpy.typing import NDArray

from evalsvc._sentences import Span
from evalsvc.engine import PairClassifier
from evalsvc.engine.overlap import CHARACTERS_PER_TOKEN
from evalsvc.engine.runner import ItemFailure
from evalsvc.engine.settings import DeviceName, DtypeName
from evalsvc.engine.tokens import Unreadable
from evalsvc.errors import EngineError, InputError
from evalsvc.scorers._detectors import (
    Case,
    ClassifierSupport,
    SentenceDetector,
    label_index,
    listed,
    token_spans,
    unfit,
)
from evalsvc.scorers._model import ModelScorer, model_settings, one_of
from evalsvc.scorers._passages import Passage, Sentence, passages, sentences
from evalsvc.types import Abstained, Failed, Outcome, Sample, Scale, Scored, ScorerSpec

AGGREGATES = ("mean", "min")
LISTED = 50
"""How many unsupported and how many supported sentences a detail lists; it counts them all."""
_SENTENCE_CHARACTERS = 100
_LETTERS = re.compile(r"[^a-z]")


class Judging(NamedTuple):
    """How a detector's answers become a score.

    ``passage_tokens`` is the most tokens of a passage (``None``: half of the detector's room), ``max_pairs`` the
    most pairs of a sentence and a passage that one response may need.
    """

    aggregate: str = "mean"
    threshold: float = 0.5
    passage_tokens: int | None = None
    max_pairs: int = 2048

    def checked(self, metric: str) -> Judging:
        """Return itself, refusing values outside their bounds."""
        one_of(metric, "aggregate", self.aggregate, AGGREGATES)
        if not 0.0 <= self.threshold <= 1.0:
            raise InputError(f"Expected option `threshold` of {metric!r} in [0, 1], but got {self.threshold}")
        for option, value in (("passage_tokens", self.passage_tokens), ("max_pairs", self.max_pairs)):
            if value is not None and value < 1:
                raise InputError(f"Expected option `{option}` of {metric!r} >= 1, but got {value}")
        return self

    def passage_size(self, room: int) -> int:
        """Return the most tokens of a passage.

        Raises:
            EngineError: when that leaves no room for a sentence.
        """
        size = self.passage_tokens or room // 2
        if not 1 <= size < room:
            raise EngineError(f"Expected `passage_tokens` in [1, {room}), what the window holds, but got {size}")
        return size

    def signature(self, room: int | None) -> str:
        """Return all that changes a digit or a detail."""
        size = self.passage_size(room) if room else self.passage_tokens
        return f"passage:{size}|sentence:max|agg:{self.aggregate}|threshold:{self.threshold:g}|pairs:{self.max_pairs}"


class _Asked(NamedTuple):
    sentences: list[Sentence]
    passages: list[Passage]


def judge(detector: SentenceDetector, batch: Sequence[Sample], judging: Judging) -> list[Outcome]:
    """Return one outcome a sample, in order: the support of the response's sentences by the contexts' passages.

    A sentence's support is the greatest that any passage gives it; one that had to be cut has its least part's.
    """
    reasons = [unfit(sample) for sample in batch]
    fit = [sample for sample, reason in zip(batch, reasons, strict=True) if reason is None]
    spans = token_spans(detector, (text for sample in fit for text in (sample.event.response, *sample.event.contexts)))
    asked: list[_Asked | Outcome] = [
        Abstained(reason) if reason else _ask(sample, spans, detector.room, judging)
        for sample, reason in zip(batch, reasons, strict=True)
    ]
    cases = [
        _case(item, sample.event.response)
        for item, sample in zip(asked, batch, strict=True)
        if isinstance(item, _Asked)
    ]
    found = iter(detector.support(cases) if cases else [])
    return [_outcome(item, next(found), judging) if isinstance(item, _Asked) else item for item in asked]


def _ask(
    sample: Sample, spans: Mapping[str, Sequence[Span] | Unreadable], room: int, judging: Judging
) -> _Asked | Outcome:
    event = sample.event
    known: list[Sequence[Span]] = []
    for text in (event.response, *event.contexts):
        found = spans[text]
        if isinstance(found, Unreadable):
            return Failed(f"detector: {found.reason}")
        known.append(found)
    size = judging.passage_size(room)
    asked = _Asked(sentences(event.response, known[0], room - size), passages(event.contexts, known[1:], size))
    parts = sum(len(sentence.parts) for sentence in asked.sentences)
    if parts * len(asked.passages) > judging.max_pairs:
        return Abstained(f"{parts} sentences by {len(asked.passages)} passages are more than {judging.max_pairs} pairs")
    return asked


def _case(asked: _Asked, response: str) -> Case:
    parts = [response[start:end] for sentence in asked.sentences for start, end in sentence.parts]
    return Case([passage.text for passage in asked.passages], parts)


def _outcome(asked: _Asked, support: NDArray[np.float32] | ItemFailure, judging: Judging) -> Outcome:
    if isinstance(support, ItemFailure):
        return Failed(f"detector: {support.reason}")
    values = np.clip(support.max(axis=1).astype(np.float64), 0.0, 1.0)
    best = support.argmax(axis=1)
    supports, evidence = [], []
    part = 0
    for sentence in asked.sentences:
        own = values[part : part + len(sentence.parts)]
        supports.append(float(own.min()))
        evidence.append(asked.passages[best[part + int(own.argmin())]])
        part += len(sentence.parts)
    value = min(supports) if judging.aggregate == "min" else float(np.mean(supports))
    return Scored(value, _detail(asked, supports, evidence, judging.threshold))


def _detail(asked: _Asked, supports: Sequence[float], evidence: Sequence[Passage], threshold: float) -> dict[str, Any]:
    unsupported: list[dict[str, float]] = []
    supported: list[dict[str, float]] = []
    for index, (sentence, support, passage) in enumerate(zip(asked.sentences, supports, evidence, strict=True)):
        start, end = sentence.span
        row = {"index": index, "start": start, "end": end, "support": round(support, 4)}
        if support < threshold:
            unsupported.append(row)
        else:
            where = {"context": passage.context, "context_start": passage.start, "context_end": passage.end}
            supported.append(row | where)
    return {
        "sentences": len(asked.sentences),
        "passages": len(asked.passages),
        "min": round(min(supports), 4),
        "unsupported_count": len(unsupported),
        "unsupported": unsupported[:LISTED],
        "supported": supported[:LISTED],
    }


class SentenceFaithfulness(ModelScorer[PairClassifier]):
    """A published classifier of pairs as a detector of sentences; its subclasses say which label means support."""

    metric: ClassVar[str]
    description: ClassVar[str]

    def __init__(self, model: str | None, judging: Judging, **settings: Any) -> None:  # noqa: ANN401 - the engine's
        super().__init__(PairClassifier, model_settings(self.metric, model, **settings))
        self.judging = judging.checked(self.metric)

    @abstractmethod
    def label(self, model: PairClassifier) -> int:
        """Return the place of the label that means support.

        Raises:
            EngineError: when the model has none, or the options name none.
        """

    @property
    def spec(self) -> ScorerSpec:
        """What it measures; the signature is complete after ``load``."""
        loaded = self._model
        label = f"{self.label(loaded)}/{len(loaded.labels)}" if loaded else "?"
        judging = self.judging.signature(loaded.room if loaded else None)
        return ScorerSpec(
            metric=self.metric,
            version=1,
            scale=Scale(0.0, 1.0, "higher"),
            needs=("response", "contexts"),
            signature=f"{self.model_signature}|label:{label}|{judging}",
            description=self.description,
        )

    def check(self, model: PairClassifier) -> None:
        """Refuse a model without the label, and passages that leave no room."""
        self.label(model)
        self.judging.passage_size(model.room)

    @property
    def detector(self) -> SentenceDetector:
        """The loaded model as a detector."""
        return ClassifierSupport(self.model, self.label(self.model))

    def cost(self, sample: Sample) -> int:
        """Return about how many tokens all pairs of sentences and passages have, at least 1."""
        event = sample.event
        count = 1 + len(event.response) // _SENTENCE_CHARACTERS
        return 1 + (count * sum(map(len, event.contexts)) + len(event.response)) // CHARACTERS_PER_TOKEN

    def score(self, batch: Sequence[Sample]) -> Sequence[Outcome]:
        """Return one outcome a sample, in order, from one pass of the model over all pairs of the batch."""
        return judge(self.detector, batch, self.judging)


class NliFaithfulness(SentenceFaithfulness):
    """Mean over the response's sentences of the greatest P(entailment) by any passage, in [0, 1]; higher is better.

    ``mean_s max_p P(entailment | premise p, hypothesis s)`` by an NLI cross-encoder, with passages of whole
    sentences that fit into its window beside the sentence: contexts of any length are read in full. With
    ``aggregate: min`` the least supported sentence decides. Abstains without a response, contexts, or words in
    either, and where the pairs would be more than ``max_pairs``. ``detail`` names the unsupported
    sentences (support below ``threshold``) by index and position, and for the others the context and passage.

    Args:
        model: an NLI cross-encoder: a local folder, or a hub name with a ``revision``. Required.
        revision: hub commit, or SHA-256 of local weights.
        labels: the labels' names in the order of the logits, where the model's configuration does not name them.
        aggregate: ``mean`` or ``min`` over sentences.
        threshold: the support below which a sentence is listed as unsupported.
        passage_tokens: the most tokens of a passage; half of the window without it.
        max_pairs: the most pairs of a sentence and a passage.
        window: tokens of a window; without it the model's own, at most 4,096.
        device: ``auto``, ``cpu``, ``cuda`` or ``cuda:N``.
        dtype: ``auto``, ``float32``, ``bfloat16`` or ``float16``.
        max_batch_tokens: token budget of a batch on the device.

    Source: the maximum over the source and mean over the summary's sentences of SummaC-ZS (Laban et al. 2022).
    """

    metric = "nli_faithfulness"
    description = "Support of the response's sentences by the contexts: greatest P(entailment) of an NLI model."

    def __init__(
        self,
        model: str | None = None,
        revision: str | None = None,
        labels: Sequence[str] | None = None,
        aggregate: str = "mean",
        threshold: float = 0.5,
        passage_tokens: int | None = None,
        max_pairs: int = 2048,
        window: int | None = None,
        device: DeviceName = "auto",
        dtype: DtypeName = "auto",
        max_batch_tokens: int | None = None,
    ) -> None:
        super().__init__(
            model, Judging(aggregate, threshold, passage_tokens, max_pairs), revision=revision, window=window,
            device=device, dtype=dtype, max_batch_tokens=max_batch_tokens,
        )  # fmt: skip
        if labels is not None and (isinstance(labels, str) or entailment(labels) is None):
            raise InputError(
                f"Expected option `labels` of {self.metric!r} to be a list with one `entailment`, but got {labels!r}"
            )
        self.labels = labels

    def label(self, model: PairClassifier) -> int:
        """Return the place of *entailment* among the model's labels, or among those that the options name."""
        if self.labels is not None and len(self.labels) != len(model.labels):
            raise EngineError(
                f"Expected as many `labels` as model {model.files.name!r} has, {listed(model.labels)}, "
                f"but got {len(self.labels)}"
            )
        found = entailment(self.labels if self.labels is not None else model.labels)
        if found is None or len(model.labels) < 2:
            raise EngineError(
                f"Expected model {model.files.name!r} to have one label `entailment`, but its configuration has "
                f"{listed(model.labels)}; name them in that order in the option `labels`, as in "
                "[contradiction, entailment, neutral], or choose an NLI model"
            )
        return found


class SequenceFaithfulness(SentenceFaithfulness):
    """Mean over the response's sentences of the greatest P(supported) by any passage, in [0, 1]; higher is better.

    For detectors that score a pair (context, response) as a whole: one logit, whose sigmoid is the probability, or
    several classes, of which ``supported`` names the one that means support. Passages, aggregation, abstentions
    and detail are those of :class:`NliFaithfulness`.

    Args:
        model: a sequence classifier of pairs: a local folder, or a hub name with a ``revision``. Required.
        revision: hub commit, or SHA-256 of local weights.
        supported: number or name of the label that means support; needed unless there is a single logit.
        aggregate: ``mean`` or ``min`` over sentences.
        threshold: the support below which a sentence is listed as unsupported.
        passage_tokens: the most tokens of a passage; half of the window without it.
        max_pairs: the most pairs of a sentence and a passage.
        window: tokens of a window; without it the model's own, at most 4,096.
        device: ``auto``, ``cpu``, ``cuda`` or ``cuda:N``.
        dtype: ``auto``, ``float32``, ``bfloat16`` or ``float16``.
        max_batch_tokens: token budget of a batch on the device.

    Source: the form of MiniCheck (Tang, Laban and Durrett 2024): sentences by passages, the greatest counts.
    """

    metric = "sequence_faithfulness"
    description = "Support of the response's sentences by the contexts: greatest P(supported) of a classifier."

    def __init__(
        self,
        model: str | None = None,
        revision: str | None = None,
        supported: int | str | None = None,
        aggregate: str = "mean",
        threshold: float = 0.5,
        passage_tokens: int | None = None,
        max_pairs: int = 2048,
        window: int | None = None,
        device: DeviceName = "auto",
        dtype: DtypeName = "auto",
        max_batch_tokens: int | None = None,
    ) -> None:
        super().__init__(
            model, Judging(aggregate, threshold, passage_tokens, max_pairs), revision=revision, window=window,
            device=device, dtype=dtype, max_batch_tokens=max_batch_tokens,
        )  # fmt: skip
        self.supported = supported

    def label(self, model: PairClassifier) -> int:
        """Return the place of the label that means support; which it is, is never guessed."""
        if len(model.labels) == 1 and self.supported is None:
            return 0
        return label_index(model.files.name, model.labels, self.supported, "supported")


def entailment(labels: Sequence[str]) -> int | None:
    """Return the place of the one label that means entailment, in any spelling, or ``None``.

    >>> entailment(["CONTRADICTION", "Entailment", "neutral"]), entailment(["LABEL_0", "LABEL_1"])
    (1, None)
    >>> entailment(["entailment", "not_entailment"])
    0
    """
    places = [place for place, label in enumerate(labels) if _LETTERS.sub("", str(label).lower()) == "entailment"]
    return places[0] if len(places) == 1 else None
