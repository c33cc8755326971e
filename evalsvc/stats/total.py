"""Totals over all offered events: exact numbers of events times estimated means, else sums of y/π.

An event from which the scorer abstained has nothing to add up and counts as 0. One whose score failed has a value
that nobody knows: it is taken to be like the scored events of its stratum (of its level of π, where a group cuts
across strata), as is one that the scorer never saw; ``reason`` counts both.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

import msgspec

from evalsvc.stats.distributions import beta_quantile, normal_quantile, satterthwaite, t_quantile, two_sided
from evalsvc.stats.limits import FEW, NEAR_END, log_limits
from evalsvc.stats.mean import Joined, answer, describe, hiding, join, part_mean, unscored
from evalsvc.stats.strata import Layout, StratumKey, by_level, lay_out, missing
from evalsvc.types import Cell, Estimate, Scale, Window

TOO_LARGE = "1/π is too large for the total to be a number"


def estimate_total(
    cells: Sequence[Cell],
    scale: Scale,
    window: Window,
    *,
    offered: Mapping[StratumKey, int] | None = None,
    rates: Mapping[StratumKey, float] | None = None,
    untaken: Mapping[StratumKey, int] | None = None,
    confidence: float = 0.95,
) -> Estimate:
    """Return the sum of a metric over all offered events of the window: dollars, tokens, number of failures.

    Arguments are :func:`~evalsvc.stats.mean.estimate_mean`'s. With ``offered`` the number of events is
    exact, and the interval is that number times the mean's; without, it is the interval of Σ y/π (Horvitz &
    Thompson 1952) under Poisson sampling, with π times the share that did not fail in place of π (the weighting-class
    adjustment of Little & Rubin 2002, section 3.3). A stratum taken whole adds its own sum, without doubt. Events that
    may hide in strata, or lie in strata without a score, add up to the end of the scale each; where it has none, there
    is no such limit.

    >>> from datetime import UTC, datetime
    >>> day = Window(datetime(2026, 3, 1, tzinfo=UTC), datetime(2026, 3, 2, tzinfo=UTC))
    >>> spent = Cell("all", 1, pi=1.0, n=3, n_abstained=0, n_failed=0, total=0.06, squares=0.0014)
    >>> e = estimate_total([spent], Scale(0.0, None, "lower", "USD"), day, offered={("all", 1): 3})
    >>> e.value, e.low, e.high
    (0.06, 0.06, 0.06)
    """
    plain = lay_out(cells, offered, rates, confidence, untaken)
    if offered is None:
        adjusted, lost = _responding(cells)
        layout = plain._replace(parts=lay_out(adjusted, None, None, confidence).parts)
        joined = _horvitz_thompson(layout, scale, confidence)
        method = f"horvitz-thompson, {_limits_name(scale)}, poisson"
        unknown = [*layout.hidden, lost]
    else:
        ends = _with_zero(scale) if any(cell.n_abstained for cell in cells) else scale
        filled = lay_out([_filled(cell) for cell in cells if cell.n + cell.n_abstained], offered, rates, confidence)
        layout = plain._replace(parts=filled.parts, size=filled.size, unknown=filled.unknown)
        # What lies in strata without a score is added below where the scale is open: the mean would leave it out.
        known = layout if ends.bounded else layout._replace(unknown=0.0)
        means = join(known, [part_mean(part, ends) for part in layout.parts], ends, confidence) if plain.n else None
        joined = _times(means, layout.size + (layout.unknown if ends.bounded else 0.0)) if means else None
        method, lost = describe(layout, ends), 0.0
        unknown = [] if ends.bounded else [layout.unknown]
        if joined and any(unknown):
            share = layout.unknown / (layout.size + layout.unknown)
            joined = joined._replace(reason="; ".join(filter(None, (joined.reason, unscored(share, "no upper limit")))))
    if joined and not math.isfinite(joined.value):
        return msgspec.structs.replace(answer(layout, None, window, "total", confidence, method), reason=TOO_LARGE)
    if joined is not None:
        joined = _with_unknown(joined, unknown, scale)
        joined = joined._replace(reason="; ".join(filter(None, (joined.reason, *_notes(plain.hidden, lost, cells)))))
    return answer(layout, joined, window, "total", confidence, method)


def _responding(cells: Sequence[Cell]) -> tuple[list[Cell], float]:
    """Return cells with π times the share of their level that did not fail, and the events of levels that all did."""
    adjusted, lost = [], 0.0
    for group in by_level(cells).values():
        every = math.fsum((cell.n + missing(cell)) / cell.pi for cell in group)
        answered = math.fsum((cell.n + cell.n_abstained) / cell.pi for cell in group)
        if not answered:
            lost += every
        elif answered < every:
            adjusted += [msgspec.structs.replace(cell, pi=cell.pi * (answered / every)) for cell in group]
        else:
            adjusted += group
    return adjusted, lost


def _filled(cell: Cell) -> Cell:
    """Return the cell with a zero for each abstention, which is what it adds to a sum, and without failed scores."""
    gone = cell.n_abstained
    return msgspec.structs.replace(
        cell,
        n=cell.n + gone,
        n_abstained=0,
        n_failed=0,
        clusters=cell.clusters + gone if cell.clusters else 0,
        cluster_n2=cell.cluster_n2 + gone if cell.clusters else 0.0,
    )


def _with_unknown(joined: Joined, unknown: Sequence[float], scale: Scale) -> Joined:
    """Return limits that let these numbers of events have any value of the scale."""
    if not any(unknown):
        return joined
    value, low, high = joined.value, joined.low, joined.high
    if scale.low is None:
        low = None
    elif low is not None:
        low = value - math.hypot(value - low, *(events * min(0.0, scale.low) for events in unknown))
    if scale.high is None:
        high = None
    elif high is not None:
        high = value + math.hypot(high - value, *(events * max(0.0, scale.high) for events in unknown))
    return joined._replace(low=low, high=high)


def _notes(hidden: Sequence[float], lost: float, cells: Sequence[Cell]) -> list[str]:
    """Say what a total had to take for granted or to leave open."""
    failed, abstained = sum(cell.n_failed for cell in cells), sum(cell.n_abstained for cell in cells)
    notes = [hiding(math.fsum(hidden))] if hidden else []
    if lost:
        notes.append(f"some {lost:,.0f} events of one level of π, whose scores all failed, are left out")
    if failed:
        notes.append(f"{failed:,} failed scores are taken to be like the others")
    if abstained:
        notes.append(f"{abstained:,} abstained scores add nothing")
    return notes


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
        low, high = _count_limits(value, error, cells, confidence)
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


def _count_limits(value: float, error: float, cells: Sequence[Cell], confidence: float) -> tuple[float, float]:
    """Return the T with (U - T)² <= critical²·T·g, beside what was counted for certain: U is the thinned count.

    Its variance is g times its expectation; where no failure was seen g is that of the smallest π. U/g is as good as
    a Poisson count: as :func:`~evalsvc.stats.limits.binary_limits` does for shares, the lower limit of few is stretched
    to Jeffreys', and below 4 to Garwood's (1936) one-sided limit at the whole level.
    """
    tail, critical = 1.0 - two_sided(confidence), normal_quantile(two_sided(confidence))
    certain = math.fsum(cell.total for cell in cells if cell.pi == 1.0)
    thinned = max(0.0, value - certain)
    some = error > 0.0 and thinned > 0.0
    slope = error * (error / thinned) if some else max((1.0 - cell.pi) / cell.pi for cell in cells)
    half = critical * critical * slope / 2.0
    high = thinned + half + math.sqrt(half) * math.sqrt(half + 2.0 * thinned)
    # The product of the limits is the square of the count: a difference would leave crumbs where it is 0.
    low = thinned * (thinned / high) if high > 0.0 else 0.0
    count = thinned / slope if some else NEAR_END
    if count < NEAR_END:
        low = min(low, slope * _poisson_quantile(tail, count + 0.5))
    if count < FEW:
        low = min(low, slope * _poisson_quantile(2.0 * tail, count))
    seen = math.fsum(cell.total for cell in cells)
    return min(value, max(seen, certain + low)), certain + high


def _poisson_quantile(probability: float, count: float) -> float:
    """Return the expectation below which so many or more events have this probability: a quantile of Gamma(count)."""
    return _TRIALS * beta_quantile(probability, count, _TRIALS - count + 1.0, count / _TRIALS)


_TRIALS = 1e5
"""A binomial count of so many trials is a Poisson one, to 1e-3 and better below :data:`NEAR_END`."""
