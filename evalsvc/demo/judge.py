"""The demo's judge: a stand-in for a language model, which marks by rule and grows stricter on a planted day."""

from __future__ import annotations

import zlib
from collections.abc import Sequence
from datetime import datetime

from evalsvc.errors import InputError
from evalsvc.types import Outcome, Sample, Scale, ScorerSpec, utc

STRICTER = 0.12
_SHORT = 70
_NOISE = 0.1


class DemoJudge:
    """A mark of 0.85 for an answer and 0.35 for one so short that it helps nobody, give or take 0.05.

    What is given or taken depends on text and day, as a real judge answers otherwise on another day.

    Args:
        stricter_from: the moment from which every mark is 0.12 lower, as in ``2026-03-12T00:00:00Z``; what is planted.
    """

    def __init__(self, stricter_from: str) -> None:
        self.spec = ScorerSpec(
            "helpfulness",
            1,
            Scale(0.0, 1.0, "higher"),
            signature="judge:demo",
            description="how helpful an answer is, by the demo's invented judge",
        )
        try:
            self._stricter_from = utc(datetime.fromisoformat(stricter_from))
        except (TypeError, ValueError) as error:
            raise InputError(f"Expected `stricter_from` to be a time with a zone, but got {stricter_from!r}") from error

    def load(self) -> None:
        """Load nothing."""

    def cost(self, sample: Sample) -> int:
        """Return the answer's length."""
        return 1 + len(sample.event.response)

    def score(self, batch: Sequence[Sample]) -> list[Outcome]:
        """Return the marks."""
        return [self._mark(sample) for sample in batch]

    def _mark(self, sample: Sample) -> float:
        event = sample.event
        digest = zlib.crc32(f"{event.response}{event.occurred_at:%Y%m%d}".encode())
        mark = (0.35 if len(event.response) < _SHORT else 0.85) + _NOISE * (digest / 2**32 - 0.5)
        return mark - STRICTER if event.occurred_at >= self._stricter_from else mark
