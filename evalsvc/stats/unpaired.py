"""Two windows or versions with different events: the difference of two weighted means, joined by MOVER.

Each side has limits of its own (:mod:`evalsvc.stats.mean`), which keep strata, π, clusters and small counts in view.
The difference's limits are d - √((c - l_c)² + (u_b - b)²) and d + √((u_c - c)² + (b - l_b)²) (Newcombe 1998a for
shares; Zou & Donner 2008); p-values are the levels at which these reach the margin, so that test and interval agree.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from typing import Literal, NamedTuple

import msgspec

from evalsvc.errors import InputError
from evalsvc.stats.binary_pairs import normal_tail
from evalsvc.stats.comparison import Comparison, Evidence, Question, check_question, decide, undefined
from evalsvc.stats.distributions import normal_quantile, two_sided
from evalsvc.stats.mean import NOTHING_SCORED, Joined, describe, join, part_mean
from evalsvc.stats.strata import Layout, StratumKey, lay_out
from evalsvc.types import Cell, Estimate, Scale

Target = Literal["process", "window"]
Limits = tuple[float | None, float | None]

# Beyond these a p-value is "below" or "above" and nothing depends on its digits.
SMALLEST = 1e-9
STEPS = 24


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
) -> Comparison:
    """Compare the mean scores of two windows, versions or segments that share no event.

    Args:
        baseline: cells of one sample with offered counts and π.
        candidate: cells of the other.
        scale: range and better direction of the metric.
        question: what is to be shown, superiority at 5 % unless given.
        target: ``process`` compares what produced the events, so that a window of which everything was scored still has
            the error of one draw; ``window`` compares the events themselves, which have none.

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
    if target not in ("process", "window"):
        raise InputError(f"Expected `target` to be 'process' or 'window', but got {target!r}")
    old, new = (_joiner(side, scale, target) for side in (baseline, candidate))
    layouts = [lay_out(*side, question.confidence) for side in (baseline, candidate)]
    sides = [old(question.confidence), new(question.confidence)]
    known = _known(layouts, sides)
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
    baseline: Estimate, candidate: Estimate, scale: Scale, *, question: Question | None = None
) -> Comparison:
    """Compare two estimates that were stored without their cells, as a production baseline may be.

    Their limits are carried to other levels as multiples of the normal quantile, which is exact for neither Wilson's
    nor t limits: where both sides' cells are at hand, :func:`compare_unpaired` does better. The estimates speak of
    the events of their windows.

    Raises:
        InputError: on estimates of different statistics or confidences.
    """
    question = question or Question()
    check_question(question, scale)
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
        "missing_share": (baseline.missing_share + candidate.missing_share) / 2.0,
    }
    for name, side in (("baseline", baseline), ("candidate", candidate)):
        if side.value is None or (side.low is None and side.high is None):
            return undefined(question, f"{name}: {side.reason or NOTHING_SCORED}", **known)
    known["difference"] = (candidate.value or 0.0) - (baseline.value or 0.0)
    own = normal_quantile(two_sided(baseline.confidence))

    def limits(confidence: float) -> Limits:
        stretch = normal_quantile(two_sided(confidence)) / own
        return _difference(_stretched(baseline, stretch), _stretched(candidate, stretch))

    notes = dict.fromkeys(side.reason for side in (baseline, candidate) if side.reason)
    name = "difference of two estimates by MOVER, limits carried over by normal quantiles"
    return _answer(question, scale, limits, "MOVER of estimates, inverted", name, known, "; ".join(notes))


def _joiner(side: Side, scale: Scale, target: Target) -> Callable[[float], Joined | None]:
    """Return the limits of one side's mean at any confidence."""

    def at(confidence: float) -> Joined | None:
        layout = lay_out(side.cells, side.offered, side.rates, confidence)
        if target == "process":
            layout = of_the_process(layout)
        return join(layout, [part_mean(part, scale) for part in layout.parts], scale, confidence)

    return at


def of_the_process(layout: Layout) -> Layout:
    """Return the parts with the doubt of what produced the events: an unlimited stream, of which they are one draw.

    No sampled fraction lessens it, and how many events fell into each part is itself a Poisson number.
    """
    parts = [part._replace(fraction=0.0, size_variance=part.size_variance + part.size) for part in layout.parts]
    return layout._replace(parts=tuple(parts))


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
        "missing_share": math.fsum(layout.missing_share for layout in layouts) / 2.0,
    }


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
        return _tail(lambda confidence: _reaches(limits(confidence)[0], at, 1.0))

    def below(at: float) -> float:
        return _tail(lambda confidence: _reaches(limits(confidence)[1], at, -1.0))

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
        method=method,
    )


def _reaches(limit: float | None, at: float, sign: float) -> bool:
    return limit is not None and sign * (limit - at) > 0.0


def _tail(excludes: Callable[[float], bool]) -> float:
    """Return the smallest one-sided level whose interval excludes the value; 0.5 where not even the narrowest does.

    Bisection on the normal quantile of the level, in which limits are about linear.
    """
    if not excludes(1e-6):
        return 0.5
    low, high = 0.0, -normal_quantile(SMALLEST)
    if excludes(1.0 - 2.0 * SMALLEST):
        return SMALLEST
    for _ in range(STEPS):
        middle = (low + high) / 2.0
        low, high = (middle, high) if excludes(1.0 - 2.0 * normal_tail(middle)) else (low, middle)
    return normal_tail(low)


def _limits(joined: Joined | None) -> tuple[float, float | None, float | None]:
    return (0.0, None, None) if joined is None else (joined.value, joined.low, joined.high)


def _stretched(estimate: Estimate, stretch: float) -> tuple[float, float | None, float | None]:
    value = estimate.value or 0.0
    low = None if estimate.low is None else value - stretch * (value - estimate.low)
    high = None if estimate.high is None else value + stretch * (estimate.high - value)
    return value, low, high


def _difference(
    baseline: tuple[float, float | None, float | None], candidate: tuple[float, float | None, float | None]
) -> Limits:
    b, b_low, b_high = baseline
    c, c_low, c_high = candidate
    low = None if c_low is None or b_high is None else c - b - math.hypot(c - c_low, b_high - b)
    high = None if c_high is None or b_low is None else c - b + math.hypot(c_high - c, b - b_low)
    return low, high
