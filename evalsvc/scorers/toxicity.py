"""Toxicity: how probably a text insults, threatens or demeans, by a fitted detector."""

from __future__ import annotations

from typing import ClassVar

from evalsvc.engine.settings import DeviceName, DtypeName
from evalsvc.scorers._fitted import Report, TextScorer
from evalsvc.scorers._model import one_of
from evalsvc.types import Better


class Toxicity(TextScorer):
    """Calibrated probability that the response is toxic, in [0, 1]; lower is better.

    By a detector of single texts on the packaged encoder, which ``evalsvc fit`` makes: with ``prompt_injection`` and
    ``refusal_probability`` on one file it costs one pass of the encoder over a text. Long texts are read in
    overlapping windows, of which the greatest counts; the detail says where it stands. Abstains without a text or
    words in it, and where the text needs more than 64 windows.

    Args:
        detector: path of a detector's file; the packaged one where there is one.
        threshold: the probability from which on a text is flagged; the file's own without it.
        report: ``probability``, or ``flag``: 1 where the text is flagged, else 0.
        of: ``response``, or ``prompt``: the last user message.
        device: ``auto``, ``cpu``, ``cuda`` or ``cuda:N``.
        dtype: ``auto``, ``float32``, ``bfloat16`` or ``float16``.
        max_batch_tokens: token budget of a batch on the device.
    """

    metric = "toxicity"
    task = "toxicity"
    better: ClassVar[Better] = "lower"
    description = "Probability that the response is toxic, by a fitted detector."

    def __init__(
        self,
        detector: str | None = None,
        threshold: float | None = None,
        report: Report = "probability",
        of: str = "response",
        device: DeviceName = "auto",
        dtype: DtypeName = "auto",
        max_batch_tokens: int | None = None,
    ) -> None:
        of = one_of(self.metric, "of", of, ("response", "prompt"))
        super().__init__(detector, threshold, report, of, device=device, dtype=dtype, max_batch_tokens=max_batch_tokens)
