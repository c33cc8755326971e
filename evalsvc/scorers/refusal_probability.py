"""Refusal, by a fitted detector: how probably the response declines to do what was asked."""

from __future__ import annotations

from typing import ClassVar

from evalsvc.engine.settings import DeviceName, DtypeName
from evalsvc.scorers._fitted import Report, TextScorer
from evalsvc.types import Better


class RefusalProbability(TextScorer):
    """Calibrated probability that the response declines to do what was asked, in [0, 1]; neither is better.

    By a detector of single texts on the packaged encoder, which ``evalsvc fit`` makes. Long responses are read in
    overlapping windows, of which the greatest counts; the detail says where it stands. Abstains on an empty
    response, without words, and where it needs more than 64 windows. ``refusal`` looks for the same by phrases.

    Args:
        detector: path of a detector's file; the packaged one where there is one.
        threshold: the probability from which on a response is flagged; the file's own without it.
        report: ``probability``, or ``flag``: 1 where the response is flagged, else 0.
        device: ``auto``, ``cpu``, ``cuda`` or ``cuda:N``.
        dtype: ``auto``, ``float32``, ``bfloat16`` or ``float16``.
        max_batch_tokens: token budget of a batch on the device.
    """

    metric = "refusal_probability"
    task = "refusal"
    better: ClassVar[Better] = "neither"
    description = "Probability that the response declines to do what was asked, by a fitted detector."

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
            detector, threshold, report, "response", device=device, dtype=dtype, max_batch_tokens=max_batch_tokens
        )
