"""The smallest and the largest score that was seen."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Literal

from evalsvc.stats.mean import Joined, answer
from evalsvc.stats.strata import StratumKey, lay_out
from evalsvc.types import Cell, Estimate, Window


def sample_extreme(
    cells: Sequence[Cell],
    which: Literal["min", "max"],
    window: Window,
    *,
    offered: Mapping[StratumKey, int] | None = None,
    confidence: float = 0.95,
) -> Estimate:
    """Return the smallest or largest score seen, which says little of events that were not sampled.

    It has limits, equal to itself, only where every event was taken and scored; elsewhere ``reason`` says
    why not.
    """
    layout = lay_out(cells, offered, None, confidence)
    seen = [cell.minimum if which == "min" else cell.maximum for cell in cells]
    known = [value for value in seen if value is not None]
    if not known:
        return answer(layout, None, window, which, confidence, "")
    value = min(known) if which == "min" else max(known)
    everything = all(part.fraction >= 1.0 for part in layout.parts) and not layout.unknown and not layout.n_missing
    reason = f"{'lower' if which == 'min' else 'higher'} scores may be among the events that were not scored"
    joined = Joined(value, value, value) if everything else Joined(value, None, None, reason)
    return answer(layout, joined, window, which, confidence, "extreme of the sample")
