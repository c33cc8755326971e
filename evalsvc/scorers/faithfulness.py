"""Faithfulness by a fitted detector: whether the contexts support what the response says, sentence by sentence."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Sequence
from typing import Any, ClassVar

from evalsvc._sentences import Span
from evalsvc.detection.evidence import LONGEST_QUESTION
from evalsvc.detection.pairs import Case, PairDetector, Reading, ReadSentence, ReadToken, Unfit
from evalsvc.engine.overlap import CHARACTERS_PER_TOKEN
from evalsvc.engine.runner import ItemFailure
from evalsvc.engine.settings import DeviceName, DtypeName
from evalsvc.scorers._detectors import unfit
from evalsvc.scorers._fitted import FittedScorer, Report
from evalsvc.types import Abstained, Better, Failed, Need, Outcome, Sample, Scored

_ITEM = re.compile(r"[\s*_•–-]*\(?\d{1,3}[.)](?=[\s*_]|$)")
"""The number of a list's item, at the start of a sentence or all of it."""
LISTED = 50
"""How many unsupported and how many supported sentences a detail lists; it counts them all."""
_PART, _BESIDE = 192 * CHARACTERS_PER_TOKEN, 128 * CHARACTERS_PER_TOKEN
"""How many characters of a response, and of contexts beside them, are about a window of the shipped detector."""
_CUTTING = 30
"""How many characters are cut into sentences and words in the time in which one is read."""
_SELECTING = 400_000
"""How many characters of contexts are searched for a character of the response in that time."""


class Faithfulness(FittedScorer[PairDetector]):
    """1 less the calibrated probability that the contexts do not support all that the response says; higher is better.

    By a detector of pairs on the packaged encoder, which ``evalsvc fit`` makes: each part of the response is read once,
    beside the sentences of the contexts that share most with it, so that long contexts cost little more than short
    ones. ``detail`` says of each sentence whether it is supported, contradicted or not mentioned, with its evidence,
    and which words are to blame. Abstains without a response, contexts, or words in either, and where the response
    needs more than 64 windows.

    Args:
        detector: path of a detector's file; without it, and as ``shipped``, the one that comes with evalsvc.
        threshold: the probability from which on a sentence, and so a response, counts as unsupported; the file's own
            without it.
        report: ``probability``, or ``flag``: 0 where a sentence counts as unsupported, else 1.
        device: ``auto``, ``cpu``, ``cuda`` or ``cuda:N``.
        dtype: ``auto``, ``float32``, ``bfloat16`` or ``float16``.
        max_batch_tokens: token budget of a batch on the device.
    """

    metric = "faithfulness"
    task = "faithfulness"
    ships = "faithfulness"
    better: ClassVar[Better] = "higher"
    description = "How probably the contexts support every sentence of the response, by a fitted detector."

    def __init__(
        self,
        detector: str | None = None,
        threshold: float | None = None,
        report: Report = "probability",
        device: DeviceName = "auto",
        dtype: DtypeName = "auto",
        max_batch_tokens: int | None = None,
    ) -> None:
        super().__init__(
            PairDetector, detector, threshold, report, device=device, dtype=dtype, max_batch_tokens=max_batch_tokens
        )

    @property
    def needs(self) -> tuple[Need, ...]:
        """What of an event it reads; the question where there is one."""
        return ("response", "contexts")

    @property
    def reading(self) -> str:
        """Up to which length a prompt is a question."""
        return f"question:last-user<{LONGEST_QUESTION}"

    def cost(self, sample: Sample) -> int:
        """Return about how many tokens are read, and what is done with words and sentences before, at least 1.

        Each part of the response is read beside some of the contexts, and sought in all of them.
        """
        response, contexts = len(sample.event.response), sum(map(len, sample.event.contexts))
        beside = -(-response // _PART) * min(contexts, _BESIDE)
        before = contexts // _CUTTING + response * contexts // _SELECTING
        return 1 + (response + beside + before) // CHARACTERS_PER_TOKEN

    def score(self, batch: Sequence[Sample]) -> Sequence[Outcome]:
        """Return one outcome a sample, in order, from one pass of the detector over all windows of the batch."""
        reasons = [unfit(sample) for sample in batch]
        readings = iter(
            self.model.read([_case(sample) for sample, why in zip(batch, reasons, strict=True) if why is None])
        )
        return [
            self._outcome(sample.event.response, next(readings)) if why is None else Abstained(why)
            for sample, why in zip(batch, reasons, strict=True)
        ]

    def _outcome(self, response: str, reading: Reading | Unfit | ItemFailure) -> Outcome:
        if isinstance(reading, Unfit):
            return Abstained(reading.reason)
        if isinstance(reading, ItemFailure):
            return Failed(f"detector: {reading.reason}")
        flag = reading.unsupported >= self.threshold
        value = float(not flag) if self.report == "flag" else 1.0 - reading.unsupported
        return Scored(value, _detail(response, reading, self.threshold))


def _case(sample: Sample) -> Case:
    return Case(sample.event.contexts, sample.event.response, sample.event.last_user_text)


def _detail(response: str, reading: Reading, threshold: float) -> dict[str, Any]:
    if reading.unsupported >= threshold:
        # Several doubtful sentences may make what none makes alone; then the worst is named.
        threshold = min(threshold, max(sentence.unsupported for sentence in reading.sentences))
    counts: Counter[str] = Counter()
    unsupported: list[dict[str, Any]] = []
    supported: list[dict[str, Any]] = []
    for index, sentence in enumerate(reading.sentences):
        status = _status(sentence, threshold)
        counts[status] += 1
        row = {"index": index, "start": sentence.start, "end": sentence.end, "status": status}
        row["unsupported"] = round(sentence.unsupported, 4)
        if sentence.evidence is not None:
            place = sentence.evidence
            row |= {"context": place.context, "context_start": place.start, "context_end": place.end}
        if status == "supported":
            supported.append(row)
        elif len(unsupported) < LISTED:
            unsupported.append(row | {"words": _words(response, sentence, reading.tokens)})
    return {
        "sentences": len(reading.sentences),
        **{f"{status}_count": counts[status] for status in ("supported", "contradicted", "not_mentioned")},
        "unsupported": unsupported,
        "supported": supported[:LISTED],
    }


def _status(sentence: ReadSentence, threshold: float) -> str:
    if sentence.unsupported < threshold:
        return "supported"
    return "contradicted" if sentence.contradicted >= sentence.not_mentioned else "not_mentioned"


def _words(response: str, sentence: ReadSentence, tokens: Sequence[ReadToken]) -> list[Span]:
    """Return the positions of a sentence's words of which a token is unsupported, neighbouring ones together.

    >>> sentence = ReadSentence(0, 17, 0.1, 0.9, 0.0, 0.9, None)
    >>> _words("It costs 3000 GBP.", sentence, [ReadToken(11, 13, 0.9), ReadToken(14, 17, 0.8)])
    [(9, 17)]

    The number of a list's item at the start of a sentence is none of them, nor is a sentence that is such a number:

    >>> def blamed(text: str) -> list[str]:
    ...     sentence = ReadSentence(0, len(text), 0.1, 0.9, 0.0, 0.9, None)
    ...     tokens = [ReadToken(at, at + 1, 0.9) for at, character in enumerate(text) if character.isdigit()]
    ...     return [text[start:end] for start, end in _words(text, sentence, tokens)]
    >>> [blamed(text) for text in ("2. It costs 5 GBP.", "**2.** Wait.", "• 2) Wait.", "3.", "2.5 GBP", "1,200 GBP")]
    [['5'], [], [], [], ['2', '5'], ['1', '200']]
    """
    spans: list[Span] = []
    item = _ITEM.match(response, sentence.start, sentence.end)
    first = item.end() if item else sentence.start
    for token in tokens:
        if not first <= token.start < sentence.end:
            continue
        start, end = token.start, token.end
        while start > sentence.start and response[start].isalnum() and response[start - 1].isalnum():
            start -= 1
        while end < sentence.end and response[end - 1].isalnum() and response[end].isalnum():
            end += 1
        if spans and not response[spans[-1][1] : start].strip():
            start = min(start, spans.pop()[0])
        spans.append((start, end))
    return spans[:LISTED]
