"""Totals over all offered events: exact numbers of events times estimated means, else sums of y/π.

An event that was sampled and could not be scored adds nothing to a total; ``missing_share`` says how much
may be lacking for that.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

import msgspec

from evalsvc.stats.distributions import normal_quantile, satterthwaite, t_quantile, two_sided
from evalsvc.stats.limits import log_limits
from evalsvc.stats.mean import Joined, answer, describe, join, part_mean
from evalsvc.stats.strata import Layout, StratumKey, lay_out, missing
from evalsvc.types import Cell, Estimate, Scale, Window

TOO_LARGE = "1/π is too large for the total to be a number"


def estimate_total(
    cells: Sequence[Cell],
    scale: Scale,
    window: Window,
    *,
    offered: Mapping[StratumKey, int] | None = None,
    rates: Mapping[StratumKey, float] | None = None,
    confidence: float = 0.95,
) -> Estimate:
    """Return the sum of a metric over all offered events of the window: dollars, tokens, number of failures.

    Arguments are :func:`~evalsvc.stats.mean.estimate_mean`'s. With ``offered`` the number of events is
    exact, and the interval is that number times the mean's; without, it is the interval of Σ y/π (Horvitz &
    Thompson 1952) under Poisson sampling. A stratum taken whole adds its own sum, without doubt.

    >>> from datetime import UTC, datetime
    >>> day = Window(datetime(2026, 3, 1, tzinfo=UTC), datetime(2026, 3, 2, tzinfo=UTC))
    >>> spent = Cell("all", 1, pi=1.0, n=3, n_abstained=0, n_failed=0, total=0.06, squares=0.0014)
    >>> e = estimate_total([spent], Scale(0.0, None, "lower", "USD"), day, offered={("all", 1): 3})
    >>> e.value, e.low, e.high
    (0.06, 0.06, 0.06)
    """
    if offered is None:
        layout = lay_out(cells, None, rates, confidence)
        joined = _horvitz_thompson(layout, scale, confidence)
        method = f"horvitz-thompson, {_limits_name(scale)}, poisson"
        if joined and not math.isfinite(joined.value):
            return msgspec.structs.replace(answer(layout, None, window, "total", confidence, method), reason=TOO_LARGE)
        return answer(layout, joined, window, "total", confidence, method)
    scale = _with_zero(scale) if any(map(missing, cells)) else scale
    filled = lay_out([_filled(cell) for cell in cells if cell.n + missing(cell)], offered, rates, confidence)
    plain = lay_out(cells, offered, rates, confidence)
    layout = plain._replace(parts=filled.parts, unknown=filled.unknown)
    means = join(layout, [part_mean(part, scale) for part in layout.parts], scale, confidence) if plain.n else None
    events = layout.size + (layout.unknown if scale.bounded else 0.0)
    joined = _times(means, events) if means else None
    return answer(layout, joined, window, "total", confidence, describe(layout, scale))


def _filled(cell: Cell) -> Cell:
    """Return the cell with its missing scores as zeros, which is what they add to a sum."""
    gone = missing(cell)
    return msgspec.structs.replace(
        cell,
        n=cell.n + gone,
        n_abstained=0,
        n_failed=0,
        clusters=cell.clusters + gone if cell.clusters else 0,
        cluster_n2=cell.cluster_n2 + gone if cell.clusters else 0.0,
    )


def _with_zero(scale: Scale) -> Scale:
    low = None if scale.low is None else min(0.0, scale.low)
    high = None if scale.high is None else max(0.0, scale.high)
    return msgspec.structs.replace(scale, low=low, high=high)


def _times(joined: Joined, events: float) -> Joined:
    low = None if joined.low is None else joined.low * events
    high = None if joined.high is None else joined.high * events
    return Joined(joined.value * events, low, high, joined.reason)


def _limits_name(scale: Scale) -> str:
    return "score" if scale.binary else "log-t" if scale.low is not None and scale.low >= 0.0 else "t"


def _horvitz_thompson(layout: Layout, scale: Scale, confidence: float) -> Joined | None:
    cells = [cell for part in layout.parts for cell in part.cells]
    if not layout.n:
        return None
    value = math.fsum(cell.total / cell.pi for cell in cells)
    errors = [math.hypot(*map(_thinned, part.cells)) for part in layout.parts]
    error = math.hypot(*errors)
    if not math.isfinite(value) or not math.isfinite(error):
        return Joined(value, None, None, TOO_LARGE)
    if error == 0.0 and not scale.binary:
        certain = all(cell.pi == 1.0 for cell in cells)
        return Joined(value, value, value) if certain else Joined(value, None, None, "all scores are 0")
    if scale.binary:
        low, high = _count_limits(value, error, cells, normal_quantile(two_sided(confidence)))
        return Joined(value, low, high)
    units = [sum(cell.clusters or cell.n for cell in part.cells) for part in layout.parts]
    freedom = satterthwaite([(part / (error or 1.0)) ** 2 for part in errors], [count - 1 for count in units])
    critical = t_quantile(two_sided(confidence), freedom)
    if scale.low is not None and scale.low >= 0.0:
        low, high = log_limits(value, error, critical)
        low = max(low, math.fsum(cell.total for cell in cells))
        if math.isinf(high):
            return Joined(value, low, None, "too few scores for the upper limit")
        return Joined(value, low, high)
    return Joined(value, value - critical * error, value + critical * error)


def _thinned(cell: Cell) -> float:
    """Return the standard error of a cell's Σy/π under Poisson sampling of its events, or of its sessions."""
    return math.sqrt((cell.cluster_y2 if cell.clusters else cell.squares) * (1.0 - cell.pi)) / cell.pi


def _count_limits(value: float, error: float, cells: Sequence[Cell], critical: float) -> tuple[float, float]:
    """Return T with (value - T)² <= critical²·T·g: the variance of a thinned count is proportional to it.

    g is the variance by expected count; where no failure was seen it is that of the smallest π.
    """
    slope = error * (error / value) if error > 0.0 else max((1.0 - cell.pi) / cell.pi for cell in cells)
    half = critical * critical * slope / 2.0
    spread = math.sqrt(half) * math.sqrt(half + 2.0 * value)
    seen = math.fsum(cell.total for cell in cells)
    high = value + half + spread
    # The product of the limits is value²: the difference would leave crumbs, and not 0, where no failure was seen.
    return max(seen, value * (value / high) if high > 0.0 else 0.0), high
