"""Quantiles of all traffic from histograms on logarithmic bins, with intervals by inversion.

A bin's index is 0 for values nearer to 0 than 1e-9, k + 100000 with k = ⌈ln v / ln 1.02⌉ for positive v, and
-(k + 100000), with the k of -v, for negative v: indices order as values do, counts add up, and no range need
be known beforehand.
The value that stands for a bin, 2·1.02^k/2.02, is within 1 % of every value in it (DDSketch: Masson, Rim &
Lee 2019).
"""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from itertools import accumulate
from typing import NamedTuple

from evalsvc.errors import InputError
from evalsvc.stats.limits import Moments, moments, score_limits
from evalsvc.stats.mean import Joined, PartMean, answer, join
from evalsvc.stats.strata import Layout, Part, StratumKey, Target, lay_out
from evalsvc.types import Cell, Estimate, Scale, Window

GROWTH = 1.02
OFFSET = 100_000
SMALLEST = 1e-9
RELATIVE_ACCURACY = (GROWTH - 1.0) / (GROWTH + 1.0)

BinKey = tuple[str, int, float]

_LOG_GROWTH = math.log(GROWTH)
_SHARE = Scale(0.0, 1.0, "neither", binary=True)


def bin_of(value: float) -> int:
    """Return the index of a value's bin.

    >>> bin_of(0.0), bin_of(1.0), bin_of(-1.0), bin_of(100.0)
    (0, 100000, -100000, 100233)
    """
    if abs(value) < SMALLEST:
        return 0
    k = math.ceil(math.log(abs(value)) / _LOG_GROWTH) + OFFSET
    return k if value > 0.0 else -k


def bin_value(index: int) -> float:
    """Return the value that stands for a bin, :data:`RELATIVE_ACCURACY` (0.99 %) at most from any in it.

    >>> abs(bin_value(bin_of(1234.5)) / 1234.5 - 1) < RELATIVE_ACCURACY
    True
    """
    if index == 0:
        return 0.0
    return math.copysign(2.0 * GROWTH ** (abs(index) - OFFSET) / (1.0 + GROWTH), index)


def bin_edges(index: int) -> tuple[float, float]:
    """Return the smallest and the largest value of a bin.

    >>> bin_edges(100000)
    (0.9803921568627451, 1.0)
    """
    if index == 0:
        return -SMALLEST, SMALLEST
    outer = GROWTH ** (abs(index) - OFFSET)
    return (outer / GROWTH, outer) if index > 0 else (-outer, -outer / GROWTH)


class _Cumulated(NamedTuple):
    """A part's histogram as shares at or below each bin of the whole, with its moments for the interval."""

    shares: Sequence[float]
    effective: float
    fraction: float
    degrees: float


def estimate_quantile(
    bins: Mapping[BinKey, Mapping[int, int]],
    probability: float,
    scale: Scale,
    window: Window,
    *,
    cells: Sequence[Cell] | None = None,
    offered: Mapping[StratumKey, int] | None = None,
    rates: Mapping[StratumKey, float] | None = None,
    untaken: Mapping[StratumKey, int] | None = None,
    confidence: float = 0.95,
    target: Target = "window",
) -> Estimate:
    """Return the value that a share ``probability`` of the window's scorable events do not exceed.

    Args:
        bins: counts of scores by (stratum, design version, π) and bin index.
        probability: in (0, 1); 0.95 for p95.
        scale: its ends stand in for limits that too few scores leave open.
        window: what the histogram is of.
        cells: the cells of the same scores; they add what was missing, and the clusters. Without them every
            sampled event counts as scored.
        offered: as in :func:`~evalsvc.stats.mean.estimate_mean`.
        rates: as in :func:`~evalsvc.stats.mean.estimate_mean`.
        untaken: as in :func:`~evalsvc.stats.mean.estimate_mean`.
        confidence: of the two-sided interval.
        target: as in :func:`~evalsvc.stats.mean.estimate_mean`.

    Returns:
        An estimate whose limits are edges of bins (Francisco & Fuller 1991: the values at which the interval
        of the share below holds ``probability``); a limit is None where there are too few scores for it.
        In session designs the design effect of the mean stands in for that of the shares, with Student's t of m - 1
        degrees of freedom for m sessions.

    Raises:
        InputError: on a probability outside (0, 1).
    """
    if not 0.0 < probability < 1.0:
        raise InputError(f"Expected a quantile between 0 and 1, such as 0.95, but got {probability!r}")
    layout = lay_out(_cells_of(bins) if cells is None else cells, offered, rates, confidence, untaken, target)
    name = f"p{100 * probability:g}"
    method = f"{'hajek' if offered is None else 'post-stratified'}, histogram 1 %, wilson by part, MOVER, inverted"
    if any(0 < cell.clusters < cell.n for part in layout.parts for cell in part.cells):
        method += ", clustered"
    if not any(bins.values()):
        return answer(layout, None, window, name, confidence, method)
    indices = sorted({index for counts in bins.values() for index in counts})
    parts = [_cumulated(part, bins, indices) for part in layout.parts]
    return answer(
        layout,
        _invert(layout, parts, indices, probability, scale, confidence),
        window,
        name,
        confidence,
        method,
    )


def _cells_of(bins: Mapping[BinKey, Mapping[int, int]]) -> list[Cell]:
    counts = {key: sum(histogram.values()) for key, histogram in bins.items()}
    return [Cell(key[0], key[1], key[2], n, 0, 0, 0.0, 0.0) for key, n in counts.items() if n]


def _cumulated(part: Part, bins: Mapping[BinKey, Mapping[int, int]], indices: Sequence[int]) -> _Cumulated:
    weights: dict[int, float] = defaultdict(float)
    for key in {(cell.stratum, cell.design_version, cell.pi) for cell in part.cells}:
        for index, count in bins.get(key, {}).items():
            weights[index] += count / key[2]
    running = list(accumulate(weights.get(index, 0.0) for index in indices))
    shares = [weight / running[-1] if running[-1] else 0.0 for weight in running]
    m = moments(part.cells)
    left = 1.0 - part.fraction
    effective = m.kish / (_design_effect(m, part.cells) * left) if left > 0.0 else math.inf
    # Of few sessions the design effect is itself a guess: Student's t, with the mean's degrees of freedom.
    return _Cumulated(shares, effective, part.fraction, max(1, m.units - 1) if m.clustered else math.inf)


def _design_effect(m: Moments, cells: Sequence[Cell]) -> float:
    if not m.clustered:
        return 1.0
    alone = moments([Cell(c.stratum, c.design_version, c.pi, c.n, 0, 0, c.total, c.squares) for c in cells])
    return max(1.0, m.variance / alone.variance) if alone.variance > 0.0 else m.worst


def _share_below(part: _Cumulated, position: int) -> PartMean:
    share = part.shares[position] if position >= 0 else 0.0
    # As in means of shares: at 0 and 1, too, each part has its part in the degrees of freedom.
    steady = share if math.isinf(part.effective) else (share * part.effective + 2.0) / (part.effective + 4.0)
    error = math.sqrt(steady * (1.0 - steady) / part.effective)
    return PartMean(share, error, part.degrees, lambda critical: score_limits(share, part.effective, critical))


def _invert(
    layout: Layout,
    parts: Sequence[_Cumulated],
    indices: Sequence[int],
    probability: float,
    scale: Scale,
    confidence: float,
) -> Joined | None:
    def share(position: int) -> Joined:
        joined = join(layout, [_share_below(part, position) for part in parts], _SHARE, confidence)
        return joined or Joined(0.0, 0.0, 1.0)

    last = len(indices) - 1
    # Sums of weights are not exact: a share that misses the probability by rounding has reached it.
    wanted = probability - 1e-12
    at = _first(last, lambda position: share(position).value >= wanted)
    from_below = _first(last, lambda position: (share(position).high or 0.0) >= wanted)
    to_above = _first(last + 1, lambda position: position > last or (share(position).low or 0.0) >= wanted)
    low = scale.low if (share(-1).high or 0.0) >= wanted else bin_edges(indices[from_below])[0]
    high = scale.high if to_above > last else bin_edges(indices[to_above])[1]
    if low is not None and scale.low is not None:
        low = max(scale.low, low)
    if high is not None and scale.high is not None:
        high = min(scale.high, high)
    ends = [name for name, limit in (("lower", low), ("upper", high)) if limit is None]
    notes = [f"too few scores for the {' and '.join(ends)} limit"] if ends else []
    reason = "; ".join(filter(None, (*notes, share(-1).reason)))
    return Joined(bin_value(indices[at]), low, high, reason)


def _first(last: int, holds: Callable[[int], bool]) -> int:
    """Return the first position in 0..last at which a monotone condition holds, else ``last``."""
    low, high = 0, last
    while low < high:
        middle = (low + high) // 2
        if holds(middle):
            high = middle
        else:
            low = middle + 1
    return low
