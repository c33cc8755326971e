"""How far missing scores could move a mean: worst-case bounds, on request.

An estimate takes events without a score to be outside its domain. Whoever asks about *all* events needs more, and data
cannot give it: only bounds hold without assumptions. They are Manski's (1990): every missing score at the low end of
the scale, then every one at its high end. Both are estimated as if these scores had been seen, with the sampling error
that this has, and joined: from the lower limit of the one to the upper limit of the other. This union holds the whole
range of possible means at the stated confidence or more, and so is a little wider than the interval of Imbens & Manski
(2004), which holds one mean.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import NamedTuple

import msgspec

from evalsvc.errors import InputError
from evalsvc.stats.mean import NOTHING_SCORED, estimate_mean
from evalsvc.stats.strata import StratumKey, missing
from evalsvc.types import Cell, Estimate, Scale

METHOD = "worst case: missing at either end of the scale (Manski), union of the intervals"
TWICE = 2.0


class WorstCase(NamedTuple):
    """The mean of all sampled events' kind, whatever the missing scores are. On the scale's own unit.

    ``least`` and ``most`` are the estimates with every missing score at the low or the high end; ``low`` and ``high``
    add the sampling error. All four are None where ``reason`` says why. ``depends`` says that a conclusion would rest
    on the missing scores: the interval is more than twice as wide as the estimate's own, or it holds the ``threshold``
    asked about though the estimate's own does not.
    """

    low: float | None
    high: float | None
    least: float | None
    most: float | None
    depends: bool
    threshold: float | None = None
    method: str = METHOD
    reason: str = ""


def worst_case(
    estimate: Estimate,
    cells: Sequence[Cell],
    scale: Scale,
    *,
    offered: Mapping[StratumKey, int] | None = None,
    rates: Mapping[StratumKey, float] | None = None,
    unasked: Mapping[StratumKey, int] | None = None,
    untaken: Mapping[StratumKey, int] | None = None,
    threshold: float | None = None,
) -> WorstCase:
    """Return the bounds that hold whatever the missing scores are.

    Args:
        estimate: the mean or proportion of these cells, whose confidence and interval are compared with.
        cells: sums by stratum and π, as for :func:`~evalsvc.stats.estimate_mean`; abstained and failed are missing.
        scale: the bounds are its ends.
        offered: as for the estimate.
        rates: as for the estimate; needed for every stratum in ``unasked``.
        unasked: sampled events, by stratum, of which the scorer has no record at all; missing too.
        untaken: as for the estimate.
        threshold: a number that the mean is to be held against.

    Returns:
        Bounds; without numbers for an open scale, where missing scores could be anything, and for other statistics.

    Raises:
        InputError: where a stratum in ``unasked`` has no rate.

    >>> from datetime import UTC, datetime
    >>> from evalsvc.types import Window
    >>> day = Window(datetime(2026, 3, 1, tzinfo=UTC), datetime(2026, 3, 2, tzinfo=UTC))
    >>> cell = Cell("all", 1, pi=0.1, n=90, n_abstained=0, n_failed=10, total=9, squares=9)
    >>> share = Scale(0.0, 1.0, "lower", binary=True)
    >>> e = estimate_mean([cell], share, day, offered={("all", 1): 1000})
    >>> w = worst_case(e, [cell], share, offered={("all", 1): 1000}, threshold=0.25)
    >>> [round(x, 3) for x in (e.low, e.high, w.least, w.most, w.low, w.high)], w.depends
    ([0.053, 0.174, 0.09, 0.19, 0.047, 0.273], True)
    """
    if estimate.statistic not in ("mean", "proportion"):
        return _unknown(f"only means and proportions have worst-case bounds, not {estimate.statistic}", threshold)
    if scale.low is None or scale.high is None:
        return _unknown("the scale is open: a missing score could have any value", threshold)
    rates, unasked = rates or {}, unasked or {}
    unknown = [key for key, count in unasked.items() if count and key not in rates]
    if unknown:
        raise InputError(f"Expected `rates` to hold π of every stratum in `unasked`, but got none for {unknown[0]!r}")
    every = [*cells, *_never_scored(unasked, rates)]
    bottom, top = (
        estimate_mean(
            [filled(cell, end) for cell in every],
            scale,
            estimate.window,
            offered=offered,
            rates=rates,
            untaken=untaken,
            confidence=estimate.confidence,
        )
        for end in (scale.low, scale.high)
    )
    if bottom.low is None or top.high is None:
        return _unknown(NOTHING_SCORED, threshold)
    low = bottom.low if estimate.low is None else min(bottom.low, estimate.low)
    high = top.high if estimate.high is None else max(top.high, estimate.high)
    return WorstCase(low, high, bottom.value, top.value, _depends(estimate, low, high, threshold), threshold)


def _unknown(reason: str, threshold: float | None) -> WorstCase:
    return WorstCase(None, None, None, None, False, threshold, "", reason)


def _never_scored(unasked: Mapping[StratumKey, int], rates: Mapping[StratumKey, float]) -> list[Cell]:
    return [
        Cell(stratum, version, rates[stratum, version], 0, 0, count, 0.0, 0.0)
        for (stratum, version), count in unasked.items()
        if count
    ]


def filled(cell: Cell, value: float) -> Cell:
    """Return a cell whose missing scores are all this value; they lie in its clusters as the others do.

    >>> filled(Cell("all", 1, 0.1, n=9, n_abstained=0, n_failed=1, total=3.0, squares=3.0), 1.0).total
    4.0
    """
    gone = missing(cell)
    if not gone:
        return cell
    filled = msgspec.structs.replace(
        cell,
        n=cell.n + gone,
        n_abstained=0,
        n_failed=0,
        total=cell.total + gone * value,
        squares=cell.squares + gone * value * value,
    )
    if not cell.clusters:
        return filled
    # A cluster of n_c scores gets (r - 1)·n_c more of this value, with r the ratio of all events to those scored.
    ratio = filled.n / cell.n
    more = (ratio - 1.0) * value
    return msgspec.structs.replace(
        filled,
        cluster_n2=ratio * ratio * cell.cluster_n2,
        cluster_ny=ratio * (cell.cluster_ny + more * cell.cluster_n2),
        cluster_y2=cell.cluster_y2 + 2.0 * more * cell.cluster_ny + more * more * cell.cluster_n2,
    )


def _depends(estimate: Estimate, low: float, high: float, threshold: float | None) -> bool:
    if estimate.low is None or estimate.high is None:
        return True
    crossed = threshold is not None and low <= threshold <= high and not estimate.low <= threshold <= estimate.high
    # Rounding of an interval without width is no dependence.
    return crossed or high - low > TWICE * (estimate.high - estimate.low) + 1e-9 * max(abs(low), abs(high))
