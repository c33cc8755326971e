"""Prompt injection: how probably a text tries to overrule the application's instructions, by a fitted detector."""

from __future__ import annotations

from typing import ClassVar

from evalsvc.engine.settings import DeviceName, DtypeName
from evalsvc.scorers._fitted import Report, TextScorer
from evalsvc.scorers._model import one_of
from evalsvc.types import Better


class PromptInjection(TextScorer):
    """Calibrated probability that the prompt tries to overrule the application's instructions; lower is better.

    Of the last user message, or with ``of: contexts`` the greatest of the retrieved contexts, whose number the detail
    gives. By a detector of single texts on the packaged encoder, which ``evalsvc fit`` makes. Long texts are read in
    overlapping windows, of which the greatest counts; the detail says where it stands. Abstains without a text or
    words in it, and where a text needs more than 64 windows. ``context_injection`` looks for the same by rule.

    Args:
        detector: path of a detector's file; the packaged one where there is one.
        threshold: the probability from which on a text is flagged; the file's own without it.
        report: ``probability``, or ``flag``: 1 where a text is flagged, else 0.
        of: ``prompt`` (the last user message) or ``contexts``.
        device: ``auto``, ``cpu``, ``cuda`` or ``cuda:N``.
        dtype: ``auto``, ``float32``, ``bfloat16`` or ``float16``.
        max_batch_tokens: token budget of a batch on the device.
    """

    metric = "prompt_injection"
    task = "prompt_injection"
    better: ClassVar[Better] = "lower"
    description = "Probability that the prompt or a context tries to overrule instructions, by a fitted detector."

    def __init__(
        self,
        detector: str | None = None,
        threshold: float | None = None,
        report: Report = "probability",
        of: str = "prompt",
        device: DeviceName = "auto",
        dtype: DtypeName = "auto",
        max_batch_tokens: int | None = None,
    ) -> None:
        of = one_of(self.metric, "of", of, ("prompt", "contexts"))
        super().__init__(detector, threshold, report, of, device=device, dtype=dtype, max_batch_tokens=max_batch_tokens)
