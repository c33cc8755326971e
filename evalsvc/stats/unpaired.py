"""Two windows or versions with different events: the difference of two weighted means, joined by MOVER.

Each side has limits of its own (:mod:`evalsvc.stats.mean`), which keep strata, π, clusters and small counts in view.
The difference's limits are d - √((c - l_c)² + (u_b - b)²) and d + √((u_c - c)² + (b - l_b)²) (Newcombe 1998a for
shares; Zou & Donner 2008); p-values are the levels at which these reach the margin, so that test and interval agree.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from typing import NamedTuple

import msgspec

from evalsvc.errors import InputError
from evalsvc.stats.bounds import filled
from evalsvc.stats.comparison import (
    Comparison,
    Evidence,
    Question,
    check_question,
    decide,
    undefined,
    with_extremes,
    without_extremes,
)
from evalsvc.stats.distributions import normal_quantile, two_sided
from evalsvc.stats.inversion import beyond, tail_of
from evalsvc.stats.limits import binary_limits
from evalsvc.stats.mean import NOTHING_SCORED, Joined, describe, join, part_mean
from evalsvc.stats.strata import Layout, StratumKey, Target, lay_out, missing
from evalsvc.types import Cell, Estimate, Scale

Limits = tuple[float | None, float | None]
_Side = tuple[float, float | None, float | None]
"""A value with its limits."""

ALL_SCORED = "all its events were scored, and an interval without width does not tell their spread"


class Side(NamedTuple):
    """One side of the comparison: cells of its sample with the design's counts, as :func:`estimate_mean` takes them."""

    cells: Sequence[Cell]
    offered: Mapping[StratumKey, int] | None = None
    rates: Mapping[StratumKey, float] | None = None


def compare_unpaired(
    baseline: Side,
    candidate: Side,
    scale: Scale,
    *,
    question: Question | None = None,
    target: Target = "process",
    worst_case: bool = False,
) -> Comparison:
    """Compare the mean scores of two windows, versions or segments that share no event.

    Args:
        baseline: cells of one sample with offered counts and π.
        candidate: cells of the other.
        scale: range and better direction of the metric.
        question: what is to be shown, superiority at 5 % unless given.
        target: ``process`` compares what produced the events, so that a window of which everything was scored still has
            the error of one draw; ``window`` compares the events themselves, which have none.
        worst_case: also bound what the missing scores could have changed (bounded scales): every one of the baseline at
            one end of the scale and every one of the candidate at the other (Manski 1990). Sampled events that were
            never given to the scorer can be added as cells that have ``n_failed`` alone.

    Raises:
        InputError: on a question that the scale cannot answer or an unknown target.

    >>> share = Scale(0.0, 1.0, "lower", binary=True)
    >>> old = Side([Cell("all", 1, pi=0.1, n=400, n_abstained=0, n_failed=0, total=20, squares=20)])
    >>> new = Side([Cell("all", 1, pi=0.1, n=400, n_abstained=0, n_failed=0, total=44, squares=44)])
    >>> c = compare_unpaired(old, new, share)
    >>> round(c.difference, 3), round(c.low, 3), round(c.high, 3), c.verdict
    (0.06, 0.022, 0.099, 'worse')
    """
    question = question or Question()
    check_question(question, scale)
    _check_target(target)
    result = _compare(baseline, candidate, scale, question, target)
    if not worst_case:
        return result
    if scale.low is None or scale.high is None:
        return without_extremes(result)
    least, most = (
        _compare(_all_at(baseline, before), _all_at(candidate, after), scale, question, target)
        for before, after in ((scale.high, scale.low), (scale.low, scale.high))
    )
    return with_extremes(result, least, most)


def _all_at(side: Side, value: float) -> Side:
    """Return a side whose missing scores are all this value."""
    return side._replace(cells=[filled(cell, value) for cell in side.cells])


def _compare(baseline: Side, candidate: Side, scale: Scale, question: Question, target: Target) -> Comparison:
    old, new = (_joiner(side, scale, target) for side in (baseline, candidate))
    layouts = [lay_out(*side, question.confidence) for side in (baseline, candidate)]
    sides = [old(question.confidence), new(question.confidence)]
    known = _known(layouts, sides) | {"missing_share": _missing_share([*baseline.cells, *candidate.cells])}
    for name, side in zip(("baseline", "candidate"), sides, strict=True):
        if side is None:
            return undefined(question, f"{name}: {NOTHING_SCORED}", **known)
        if side.low is None and side.high is None:
            return undefined(question, f"{name}: {side.reason}", **known)

    def limits(confidence: float) -> Limits:
        return _difference(_limits(old(confidence)), _limits(new(confidence)))

    notes = dict.fromkeys(side.reason for side in sides if side and side.reason)
    methods = dict.fromkeys(describe(layout, scale) for layout in layouts)
    name = f"difference by MOVER ({' | '.join(methods)}), of the {target}"
    return _answer(question, scale, limits, "MOVER, inverted", name, known, "; ".join(notes))


def compare_estimates(
    baseline: Estimate,
    candidate: Estimate,
    scale: Scale,
    *,
    question: Question | None = None,
    target: Target = "process",
) -> Comparison:
    """Compare two estimates that were stored without their cells, as a production baseline may be.

    Their limits are carried to other levels as multiples of the normal quantile, which is exact for neither Wilson's
    nor t limits: where both sides' cells are at hand, :func:`compare_unpaired` does better.

    An estimate speaks of the N scorable events of its window, of which it has no doubt where all were scored. For the
    ``process`` behind them, the doubt of one draw of N events is added: distances d between value and limit become
    √(d² + d_N²), where d_N is that of a score interval of N events that are all or nothing (exact for yes and no, and
    the most there can be on other scales with two ends), and d/√(1 - n/N) on an open scale. N is ``offered`` less the
    missing share. Where it is not known, the limits of yes and no are the stored ones or those of ``n_effective``
    events, whichever reach further, and others stay what they are. Events are taken to be drawn one by one; of
    sessions, give the cells.

    Args:
        baseline: of one window.
        candidate: of the other; of the same statistic and confidence.
        scale: range and better direction of the metric.
        question: what is to be shown, superiority at 5 % unless given.
        target: ``process`` compares what produced the events, ``window`` the events themselves.

    Returns:
        A comparison; without limits where an estimate has none, where all events were scored and nothing tells their
        spread (open scales), and, of the process, for totals, whose number of events is chance too.
        ``missing_share`` weighs the two by their offered events, where both are known, else by their sampled ones.

    Raises:
        InputError: on estimates of different statistics or confidences, a question that the scale cannot answer or an
            unknown target.
    """
    question = question or Question()
    check_question(question, scale)
    _check_target(target)
    if baseline.statistic != candidate.statistic or baseline.confidence != candidate.confidence:
        raise InputError(
            "Expected two estimates of one statistic and confidence, but got "
            f"{baseline.statistic} at {baseline.confidence:g} and {candidate.statistic} at {candidate.confidence:g}"
        )
    known: dict[str, object] = {
        "baseline": baseline.value,
        "candidate": candidate.value,
        "n": baseline.n + candidate.n,
        "n_effective": baseline.n_effective + candidate.n_effective,
        "n_discarded": baseline.n_missing + candidate.n_missing,
        "missing_share": _missing_of_both(baseline, candidate),
    }
    sides = {"baseline": baseline, "candidate": candidate}
    for name, side in sides.items():
        if side.value is None or (side.low is None and side.high is None):
            return undefined(question, f"{name}: {side.reason or NOTHING_SCORED}", **known)
    known["difference"] = (candidate.value or 0.0) - (baseline.value or 0.0)
    draws = {name: _draw(side, scale, target) for name, side in sides.items()}
    for name, draw in draws.items():
        if isinstance(draw, str):
            return undefined(question, f"{name}: {draw}", **known)

    def limits(confidence: float) -> Limits:
        old, new = (draw(confidence) for draw in draws.values() if not isinstance(draw, str))
        return _difference(old, new)

    # What a query says of an interval without width is not so of the process.
    notes = dict.fromkeys(side.reason for side in sides.values() if side.reason and side.low != side.high)
    name = f"difference of two estimates by MOVER, limits carried over by normal quantiles, of the {target}"
    return _answer(question, scale, limits, "MOVER of estimates, inverted", name, known, "; ".join(notes))


def _missing_of_both(*sides: Estimate) -> float:
    if all(side.offered is not None for side in sides):
        weights = [float(side.offered or 0) for side in sides]
    else:
        weights = [float(side.n + side.n_missing) for side in sides]
    total = math.fsum(weights)
    shares = (weight * side.missing_share for weight, side in zip(weights, sides, strict=True))
    return math.fsum(shares) / total if total else 0.0


def _draw(estimate: Estimate, scale: Scale, target: Target) -> Callable[[float], _Side] | str:
    """Return an estimate's value and limits for the target at any confidence, or why it has none."""
    own = normal_quantile(two_sided(estimate.confidence))

    def stored(confidence: float, stretch: float = 1.0) -> _Side:
        return _stretched(estimate, stretch * normal_quantile(two_sided(confidence)) / own)

    if target == "window":
        return stored
    if estimate.statistic == "total":
        return "how many events a process makes is not in the estimate of a total; ask for `target='window'`"
    bounded = scale.bounded and estimate.statistic in ("mean", "proportion")
    if not (bounded and (scale.binary or estimate.offered is not None)):
        left = 1.0 if estimate.offered is None else 1.0 - estimate.n / max(1.0, _events(estimate))
        if estimate.low == estimate.high or left <= 0.0:
            return f"{ALL_SCORED}; give the cells to compare_unpaired, or ask for `target='window'`"
        return lambda confidence: stored(confidence, 1.0 / math.sqrt(left))
    floor, width = scale.low or 0.0, (scale.high or 0.0) - (scale.low or 0.0)
    share = min(1.0, max(0.0, ((estimate.value or 0.0) - floor) / width))
    # Of a sample of n of N events, 1/n is (1/n - 1/N) + 1/N; where N is not known, the whole is 1/n or what was stored.
    events, joined = (estimate.n_effective, max) if estimate.offered is None else (_events(estimate), math.hypot)

    def drawn(confidence: float) -> _Side:
        value, low, high = stored(confidence)
        bottom, top = binary_limits(share, events, normal_quantile(two_sided(confidence)))
        below, above = width * (share - bottom), width * (top - share)
        return (
            value,
            None if low is None else value - joined(value - low, below),
            None if high is None else value + joined(high - value, above),
        )

    return drawn


def _events(estimate: Estimate) -> float:
    """Return how many scorable events the design was offered, as far as the missing ones tell."""
    return max(float(estimate.n), (estimate.offered or 0) * (1.0 - estimate.missing_share))


def _check_target(target: Target) -> None:
    if target not in ("process", "window"):
        raise InputError(f"Expected `target` to be 'process' or 'window', but got {target!r}")


def _joiner(side: Side, scale: Scale, target: Target) -> Callable[[float], Joined | None]:
    """Return the limits of one side's mean at any confidence."""

    def at(confidence: float) -> Joined | None:
        layout = lay_out(side.cells, side.offered, side.rates, confidence, target=target)
        return join(layout, [part_mean(part, scale) for part in layout.parts], scale, confidence)

    return at


def _known(layouts: Sequence[Layout], sides: Sequence[Joined | None]) -> dict[str, object]:
    old, new = sides
    n, gone = sum(layout.n for layout in layouts), sum(layout.n_missing for layout in layouts)
    return {
        "difference": new.value - old.value if old and new else None,
        "baseline": old.value if old else None,
        "candidate": new.value if new else None,
        "n": n,
        "n_clusters": sum(
            cell.clusters or cell.n for layout in layouts for part in layout.parts for cell in part.cells
        ),
        "n_effective": math.fsum(layout.n_effective for layout in layouts),
        "n_discarded": gone,
    }


def _missing_share(cells: Sequence[Cell]) -> float:
    """Return the share of all sampled events, of both windows and weighted by 1/π, that have no score."""
    everything = math.fsum((cell.n + missing(cell)) / cell.pi for cell in cells)
    return math.fsum(missing(cell) / cell.pi for cell in cells) / everything if everything else 0.0


def _answer(
    question: Question,
    scale: Scale,
    limits: Callable[[float], Limits],
    test: str,
    method: str,
    known: dict[str, object],
    reason: str,
) -> Comparison:
    low, high = limits(question.confidence)

    def above(at: float) -> float:
        return tail_of(lambda confidence: beyond(limits(confidence)[0], at, 1.0))

    def below(at: float) -> float:
        return tail_of(lambda confidence: beyond(limits(confidence)[1], at, -1.0))

    found = known["difference"]
    difference = found if isinstance(found, float) else 0.0

    def two_sided_p() -> float:
        # On the other side of the difference no interval excludes 0.
        return 1.0 if difference == 0.0 else min(1.0, 2.0 * (above(0.0) if difference > 0.0 else below(0.0)))

    answer = decide(question, scale, difference, Evidence(low, high, above, below, two_sided_p, test, test))
    return msgspec.structs.replace(
        undefined(question, reason, **known),
        low=low,
        high=high,
        p_value=answer.p_value,
        test=answer.test,
        verdict=answer.verdict,
        p_opposite=answer.p_opposite,
        method=method,
    )


def _limits(joined: Joined | None) -> _Side:
    return (0.0, None, None) if joined is None else (joined.value, joined.low, joined.high)


def _stretched(estimate: Estimate, stretch: float) -> _Side:
    value = estimate.value or 0.0
    low = None if estimate.low is None else value - stretch * (value - estimate.low)
    high = None if estimate.high is None else value + stretch * (estimate.high - value)
    return value, low, high


def _difference(baseline: _Side, candidate: _Side) -> Limits:
    b, b_low, b_high = baseline
    c, c_low, c_high = candidate
    low = None if c_low is None or b_high is None else c - b - math.hypot(c - c_low, b_high - b)
    high = None if c_high is None or b_low is None else c - b + math.hypot(c_high - c, b - b_low)
    return low, high
