"""The smallest and the largest score that was seen."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Literal

from evalsvc.stats.mean import Joined, answer, hiding
from evalsvc.stats.strata import StratumKey, lay_out
from evalsvc.types import Cell, Estimate, Window


def sample_extreme(
    cells: Sequence[Cell],
    which: Literal["min", "max"],
    window: Window,
    *,
    offered: Mapping[StratumKey, int] | None = None,
    rates: Mapping[StratumKey, float] | None = None,
    untaken: Mapping[StratumKey, int] | None = None,
    confidence: float = 0.95,
) -> Estimate:
    """Return the smallest or largest score seen, which says little of events that were not sampled.

    It has limits, equal to itself, only where every event was taken and scored, and none may hide in strata that show
    none; elsewhere ``reason`` says why not. ``rates`` and ``untaken`` are those of
    :func:`~evalsvc.stats.mean.estimate_mean`.
    """
    layout = lay_out(cells, offered, rates, confidence, untaken)
    seen = [cell.minimum if which == "min" else cell.maximum for cell in cells]
    known = [value for value in seen if value is not None]
    if not known:
        return answer(layout, None, window, which, confidence, "")
    value = min(known) if which == "min" else max(known)
    whole = all(part.fraction >= 1.0 for part in layout.parts)
    everything = whole and not layout.unknown and not layout.n_missing and not layout.hidden
    reason = f"{'lower' if which == 'min' else 'higher'} scores may be among the events that were not scored"
    if layout.hidden:
        reason = f"{reason}: {hiding(math.fsum(layout.hidden))}"
    joined = Joined(value, value, value) if everything else Joined(value, None, None, reason)
    return answer(layout, joined, window, which, confidence, "extreme of the sample")
