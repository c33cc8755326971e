"""Means and proportions of all traffic, from the cells of a sample of it, with intervals that hold.

The target is *the events of the window*: what was offered to the design between two moments and can be
scored. A stratum that was taken whole therefore adds nothing to the interval. Who asks about the process behind
the events (an alert does) says so by ``target``.

Each part of the domain (:mod:`evalsvc.stats.strata`) has limits of its own (:mod:`evalsvc.stats.limits`);
they are joined by MOVER (Zou & Donner 2008): the distances between the means and their limits add up as
variances do. A lightly sampled stratum in which no failure was seen so keeps its doubt, which a variance of
0 would hide.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from typing import NamedTuple

import msgspec

from evalsvc.errors import InputError
from evalsvc.stats.distributions import satterthwaite, t_quantile, two_sided
from evalsvc.stats.limits import PRIOR, binary_limits, bounded_limits, log_limits, moments, ratio
from evalsvc.stats.strata import Layout, Part, StratumKey, Target, lay_out
from evalsvc.types import Cell, Estimate, Scale, Window

NOTHING_SCORED = "no event of this window and group was scored"
LONELY = "one score tells nothing of the spread"
ALL_EQUAL = "all scores are equal, which tells nothing of the spread"
# On a scale without an end, so large a share of events of which nothing is known leaves no limit on that side.
UNTOLD = 0.05


class PartMean(NamedTuple):
    """A part's mean, the standard error behind its limits with its degrees of freedom, and the limits."""

    mean: float
    error: float
    degrees: float
    limits: Callable[[float], tuple[float, float]]


class Joined(NamedTuple):
    """A mean over all parts with its limits, which are ``None`` where ``reason`` says why."""

    value: float
    low: float | None
    high: float | None
    reason: str = ""


def estimate_mean(
    cells: Sequence[Cell],
    scale: Scale,
    window: Window,
    *,
    offered: Mapping[StratumKey, int] | None = None,
    rates: Mapping[StratumKey, float] | None = None,
    untaken: Mapping[StratumKey, int] | None = None,
    confidence: float = 0.95,
    target: Target = "window",
) -> Estimate:
    """Return the mean score of the window's scorable events, on the scale's own unit.

    Args:
        cells: sufficient statistics by stratum and π; any order, and splitting one (by cluster) changes
            nothing.
        scale: decides the interval: binary, bounded, bounded below, or open.
        window: what the cells are of.
        offered: how many events each (stratum, design version) was offered, for *every* stratum of the
            domain, where the domain is a union of strata; ``None`` where it cuts across them.
        rates: the π of strata that may hold events of the domain though no cell came from them.
        untaken: how many events of each of these strata were not taken, where that is known: no more can hide there.
        confidence: of the two-sided interval.
        target: ``window`` for the mean of the window's events, ``process`` for that of the process behind them.

    Returns:
        An estimate whose ``method`` names what was done. ``value`` is None where nothing was scored; ``low``
        and ``high`` are None where one score, or equal scores on an open scale, leave the spread unknown. On a scale
        without an upper (or lower) end there is no such limit where events may hide in strata that show none.

    Raises:
        InputError: on a confidence outside (0, 1).

    >>> from datetime import UTC, datetime
    >>> day = Window(datetime(2026, 3, 1, tzinfo=UTC), datetime(2026, 3, 2, tzinfo=UTC))
    >>> light = Cell("plan=free", 1, pi=0.01, n=20, n_abstained=0, n_failed=0, total=1, squares=1)
    >>> whole = Cell("plan=pro", 1, pi=1.0, n=200, n_abstained=0, n_failed=0, total=100, squares=100)
    >>> share = Scale(0.0, 1.0, "lower", binary=True)
    >>> e = estimate_mean([light, whole], share, day, offered={("plan=free", 1): 1800, ("plan=pro", 1): 200})
    >>> round(e.value, 3), round(e.low, 3), round(e.high, 3)
    (0.095, 0.052, 0.261)
    """
    layout = lay_out(cells, offered, rates, confidence, untaken, target)
    joined = join(layout, [part_mean(part, scale) for part in layout.parts], scale, confidence)
    return answer(layout, joined, window, "mean", confidence, describe(layout, scale))


def estimate_proportion(
    cells: Sequence[Cell],
    scale: Scale,
    window: Window,
    *,
    offered: Mapping[StratumKey, int] | None = None,
    rates: Mapping[StratumKey, float] | None = None,
    untaken: Mapping[StratumKey, int] | None = None,
    confidence: float = 0.95,
    target: Target = "window",
) -> Estimate:
    """Return the share of the window's scorable events whose score is 1: the mean of a binary metric.

    Raises:
        InputError: on a metric that is not binary, which has no such share.
    """
    if not scale.binary:
        raise InputError("Expected a binary metric for a proportion; of this one, ask for the mean or p50")
    estimate = estimate_mean(
        cells, scale, window, offered=offered, rates=rates, untaken=untaken, confidence=confidence, target=target
    )
    return msgspec.structs.replace(estimate, statistic="proportion")


def part_mean(part: Part, scale: Scale) -> PartMean:
    """Return a part's mean with its limits, on the scale's own unit."""
    left = 1.0 - part.fraction
    if scale.low is not None and scale.high is not None:
        return _bounded(part, scale, scale.low, scale.high - scale.low)
    m = moments(part.cells)
    error = math.sqrt(m.variance * left) if m.units > 1 else math.nan if left > 0.0 else 0.0
    floor = scale.low
    if floor is None:
        return PartMean(m.mean, error, m.units - 1, lambda t: (m.mean - t * error, m.mean + t * error))

    def limits(critical: float) -> tuple[float, float]:
        low, high = log_limits(m.mean - floor, error, critical)
        return floor + low, floor + high

    return PartMean(m.mean, error, m.units - 1, limits)


def _bounded(part: Part, scale: Scale, low: float, width: float) -> PartMean:
    m = moments(part.cells, low, width)
    m = m._replace(mean=min(1.0, max(0.0, m.mean)))
    left = 1.0 - part.fraction
    # What a small sample can have missed lies where there is room for it: below a high mean, above a low one.
    # Yes and no have no such faults to miss, and swapped must give the mirrored interval.
    rooms = (0.25, 0.25) if scale.binary else (max(0.25, m.mean), max(0.25, 1.0 - m.mean))
    (downward, degrees), (upward, others) = (ratio(m, scale.binary, PRIOR * room) for room in rooms)
    scores_below, scores_above = (m.kish / (r * left) if left > 0.0 else math.inf for r in (downward, upward))
    # Agresti & Coull's share stands in for 0 and 1, whose variance is not 0, when degrees of freedom are
    # shared out.
    steady = (m.mean * m.kish + 2.0) / (m.kish + 4.0)
    error = width * math.sqrt(steady * (1.0 - steady) / min(scores_below, scores_above))

    def limits(critical: float) -> tuple[float, float]:
        if scale.binary:
            below, above = binary_limits(m.mean, scores_below, critical)
        else:
            below, above = bounded_limits(m.mean, scores_below, scores_above, critical)
        return low + width * below, low + width * above

    return PartMean(low + width * m.mean, error, min(degrees, others), limits)


def join(layout: Layout, means: Sequence[PartMean], scale: Scale, confidence: float) -> Joined | None:
    """Return the mean over all parts with its limits; None when there is no part.

    The limits are joined by MOVER, with the variance of estimated part sizes, the doubt of hidden events,
    and, for a bounded scale, the whole range for the events of strata without any score.
    """
    size = layout.size
    if not layout.parts or size <= 0.0:
        return None
    shares = [part.size / size for part in layout.parts]
    value = math.fsum(share * part.mean for share, part in zip(shares, means, strict=True))
    means = _lonely(means, shares, value)
    if any(math.isnan(part.error) for part in means):
        return Joined(value, None, None, LONELY)
    sampled = any(part.fraction < 1.0 for part in layout.parts)
    if sampled and not scale.bounded and all(part.error == 0.0 for part in means):
        return Joined(value, None, None, ALL_EQUAL)
    variances = [(share * part.error) ** 2 for share, part in zip(shares, means, strict=True)]
    freedom = satterthwaite(variances, [part.degrees for part in means])
    critical = t_quantile(two_sided(confidence), freedom)
    below = above = _size_doubt(layout, means, value) * critical**2
    for share, part in zip(shares, means, strict=True):
        low, high = part.limits(critical)
        below += (share * (part.mean - low)) ** 2
        above += (share * (high - part.mean)) ** 2
    return with_doubt(layout, value, math.sqrt(below), math.sqrt(above), scale)


def _lonely(means: Sequence[PartMean], shares: Sequence[float], value: float) -> list[PartMean]:
    """Give a part of one unit, on an open scale, its distance from the mean of the other parts as its error.

    Not from the whole, which is the part itself where it has most of the events.
    """
    return [
        _moved(part, abs(part.mean - value) / (1.0 - share)) if math.isnan(part.error) and share < 1.0 else part
        for part, share in zip(means, shares, strict=True)
    ]


def _moved(part: PartMean, error: float) -> PartMean:
    return PartMean(part.mean, error, 1.0, lambda t: (part.mean - t * error, part.mean + t * error))


def _size_doubt(layout: Layout, means: Sequence[PartMean], value: float) -> float:
    """Return the variance that estimated sizes add; the derivative by one is (part's mean - mean)/total."""
    size = layout.size
    pairs = zip(layout.parts, means, strict=True)
    return math.fsum(((mean.mean - value) * (part.size_error / size)) ** 2 for part, mean in pairs)


def with_doubt(layout: Layout, value: float, below: float, above: float, scale: Scale) -> Joined:
    """Return limits at these distances, widened for events that may hide and for strata without a score.

    Towards an end of the scale such events may lie at that end. Where the scale has none, hidden events leave no limit,
    and so do those of strata without a score that are more than :data:`UNTOLD` of all; fewer are left out.
    """
    size, hidden = layout.size, math.fsum(layout.hidden)
    for events in layout.hidden:
        share = events / (size + events)
        below = math.hypot(below, share * (value - (value if scale.low is None else scale.low)))
        above = math.hypot(above, share * ((value if scale.high is None else scale.high) - value))
    known = size / (size + layout.unknown)
    if scale.low is None or scale.high is None:
        untold = 1.0 - known > UNTOLD
        if scale.low is None:
            low = None if hidden or untold else value - below
        else:
            low = max(scale.low, value - below)
            low = known * low + (1.0 - known) * scale.low if untold else low
        endless = math.isinf(above)
        high = None if hidden or untold or endless else value + above
        return Joined(value, low, high, doubt(scale, 1.0 - known, endless=endless and not hidden, hidden=hidden))
    low = known * max(scale.low, value - below) + (1.0 - known) * scale.low
    high = known * min(scale.high, value + above) + (1.0 - known) * scale.high
    return Joined(value, min(low, value), max(high, value), doubt(scale, 1.0 - known, endless=False, hidden=hidden))


def doubt(scale: Scale, unknown: float, *, endless: bool, hidden: float = 0.0) -> str:
    """Say what the limits leave open: events in strata without a score, hidden ones, an upper limit that is not."""
    notes = ["too few scores for the upper limit"] if endless else []
    if unknown > 0.0:
        what = "the interval allows them any value"
        if not scale.bounded:
            ends = "no limits" if scale.low is None else "no upper limit"
            what = ends if unknown > UNTOLD else "left out"
        notes.append(unscored(unknown, what))
    if hidden > 0.0:
        ends = "no limits" if scale.low is None else "no upper limit"
        notes.append(f"{hiding(hidden)}: {'the interval allows them any value' if scale.bounded else ends}")
    return "; ".join(notes)


def unscored(share: float, what: str) -> str:
    """Say which share of the events lies in strata without a score, and what the limits make of it."""
    return f"{share:.1%} of the events lie in strata without a score: {what}"


def hiding(events: float) -> str:
    """Say how many events may hide in strata that show none of the group."""
    many = "1 event" if events == 1.0 else f"{events:,.0f} events"
    return f"up to {many} of this group may lie in strata of which none of it was sampled"


def describe(layout: Layout, scale: Scale) -> str:
    """Return the name of the estimator and of the interval that :func:`join` makes."""
    clustered = any(0 < cell.clusters < cell.n for part in layout.parts for cell in part.cells)
    return method_name("hajek" if layout.offered is None else "post-stratified", scale, clustered)


def method_name(estimator: str, scale: Scale, clustered: bool) -> str:
    """Return the name of an estimator with the limits that this scale has."""
    limits = "wilson-jeffreys" if scale.binary else "bounded-score"
    if not scale.bounded:
        limits = "t" if scale.low is None else "log-t"
    return f"{estimator}, {limits} by part, MOVER{', clustered' if clustered else ''}"


def answer(
    layout: Layout, joined: Joined | None, window: Window, statistic: str, confidence: float, method: str
) -> Estimate:
    """Return an estimate from what was joined; without a value when nothing was scored."""
    return Estimate(
        value=joined.value if joined else None,
        low=joined.low if joined else None,
        high=joined.high if joined else None,
        n=layout.n,
        n_effective=layout.n_effective,
        n_missing=layout.n_missing,
        missing_share=layout.missing_share,
        window=window,
        statistic=statistic,
        confidence=confidence,
        method=method if joined else "",
        offered=layout.offered,
        reason=joined.reason if joined else NOTHING_SCORED,
    )
