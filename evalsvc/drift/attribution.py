"""Has the scorer moved, or the system? A frozen anchor set, scored twice, tells the two apart."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import NamedTuple

from evalsvc.errors import InputError
from evalsvc.stats.comparison import Question
from evalsvc.stats.paired import compare_paired
from evalsvc.types import Scale

METHOD = "live difference less the anchors', joined by MOVER"


class Change(NamedTuple):
    """A change of a mean score, in the score's unit, with its interval."""

    value: float
    low: float
    high: float

    @property
    def moved(self) -> bool:
        """Whether the interval leaves 0 out."""
        return self.low > 0.0 or self.high < 0.0


class Attribution(NamedTuple):
    """The scorer's change on ``n`` frozen cases and the rest, the system's; ``None`` with a ``reason`` where undefined.

    ``system`` is ``None`` without a reason where no live change was given.
    """

    scorer: Change | None
    system: Change | None
    n: int
    method: str = ""
    reason: str = ""


def attribute(
    before: Sequence[float],
    after: Sequence[float],
    scale: Scale,
    live: Change | None = None,
    confidence: float = 0.95,
) -> Attribution:
    """Return how much of a live difference is the scorer's.

    The scorer's change is that of the anchor's cases, with the interval of :func:`evalsvc.stats.compare_paired`: where
    no case changed on a scale with two ends, it still says how often one may have. The rest is d = live - scorer, with
    d - √((live - live.low)² + (scorer.high - scorer)²) and likewise above (MOVER: Zou & Donner 2008), so that each
    part has its own limits and degrees of freedom.

    Args:
        before: scores of the anchor's cases then, in order; averages where a case was scored several times.
        after: scores of the same cases now.
        scale: range of the scores.
        live: current less baseline mean of the live scores with limits at the same confidence, as of
            :func:`evalsvc.stats.compare_unpaired` with ``target="process"``; None where there is none.
        confidence: of either interval.

    Raises:
        InputError: where the two are not of one length, on scores off the scale, and on live limits that do not hold
            the live change.

    >>> unit = Scale(0.0, 1.0, "higher")
    >>> before, after = [0.5, 0.6, 0.7, 0.8] * 5, [0.4, 0.51, 0.6, 0.69] * 5
    >>> found = attribute(before, after, unit, Change(-0.1, -0.12, -0.08))
    >>> found.scorer.moved, found.system.moved
    (True, False)
    """
    if len(before) != len(after):
        raise InputError(f"Expected as many scores after as before, but got {len(after)} and {len(before)}")
    if live is not None and not (math.isfinite(live.value) and live.low <= live.value <= live.high):
        raise InputError(f"Expected `live` between its limits, but got {live!r}")
    if not 0.0 < confidence < 1.0:
        raise InputError(f"Expected `confidence` between 0 and 1, such as 0.95, but got {confidence!r}")
    n = len(before)
    if n < 2:
        return Attribution(None, None, n, reason="the anchor set has fewer than two cases")
    found = compare_paired(before, after, scale, question=Question(level=1.0 - confidence), averaged=True)
    if found.difference is None or found.low is None or found.high is None:
        return Attribution(None, None, n, reason=found.reason)
    scorer = Change(found.difference, found.low, found.high)
    method = f"anchors: {found.method}"
    if live is None:
        return Attribution(scorer, None, n, method, found.reason)
    return Attribution(scorer, _rest(live, scorer), n, f"{method}; {METHOD}", found.reason)


def _rest(live: Change, scorer: Change) -> Change:
    value = live.value - scorer.value
    below = math.hypot(live.value - live.low, scorer.high - scorer.value)
    above = math.hypot(live.high - live.value, scorer.value - scorer.low)
    return Change(value, value - below, value + above)
