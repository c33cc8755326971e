"""Gates that compare with a number: means, shares and quantiles of the candidate alone, critical cases, gaps of groups.

p-values are the levels at which the limits (:mod:`evalsvc.gate.alone`) reach the number.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence

import numpy as np
from numpy.typing import NDArray

from evalsvc.fairness import Gap, gap
from evalsvc.fairness.gaps import Limits
from evalsvc.gate.alone import Alone, groups_by, limits_of, share_of
from evalsvc.gate.evaluated import Evaluated, Floats, MetricScores, Rows, field_of
from evalsvc.gate.findings import MEND, Evidence, Leaf, gap_in, reasons_of, said_reasons
from evalsvc.gate.needed import needed_bounded, needed_gap, needed_mean, needed_share, told_of
from evalsvc.gate.sides import pass_rates
from evalsvc.gate.values import AtLeast, AtMost, Critical, GapAtMost, Gate, parse_statistic, scale_for
from evalsvc.stats.inversion import beyond, tail_of
from evalsvc.types import Estimate, Scale
from evalsvc.verdicts.values import EVERY_ONE, Needed

SHARE = Scale(0.0, 1.0, "higher", binary=True)
RATE = Scale(0.0, 1.0, "higher")
MOST_NAMED = 20
"""How many of the cases that decided it are named."""


def absolute_evidence(leaf: Leaf, candidate: Evaluated, level: float) -> Evidence:
    """Return what the candidate's own scores say about ``at_least`` or ``at_most``."""
    gate = leaf.gate
    if parse_statistic(gate.statistic).kind == "quantile":
        return _quantile_evidence(leaf, candidate, level)
    values, scale = values_of(leaf, candidate)
    if np.isnan(values).all():
        unscored, blocked = gap_in(leaf, candidate)
        return Evidence(n_unscored=unscored, blocked=blocked, reason="no case has a score")
    alone = limits_of(values, scale, candidate, leaf.rows)
    number, up = _number(gate)
    p_pass, p_fail = _p_values(alone, number, up=up)
    worst = _in_the_worst_case(values, scale, candidate, leaf, number, up=up) if scale.bounded else p_pass
    unscored, blocked = gap_in(leaf, candidate, lambda _: worst > level)
    if not blocked and p_pass <= level < worst:
        held = candidate.scores[gate.metric]
        gone = int(np.isnan(held.values[leaf.rows]).sum())
        told = f"{gone:,} {'score is' if gone == 1 else 'scores are'} missing{said_reasons(held, leaf.rows)}"
        blocked = f"{told}, and it would not pass if they were the worst there are; {MEND}"
    found, n, clusters = alone.at(1.0 - 2.0 * level), _scored(values), _clusters(candidate, leaf.rows, values)
    return _against(found, number, n, clusters)._replace(
        n_unscored=unscored,
        p_pass=p_pass,
        p_fail=p_fail,
        test=f"inverted: {found.method}",
        blocked=blocked,
        needed=None if blocked else _needed(alone, found, scale, number, level, leaf, candidate, n, up=up),
    )


def critical_evidence(leaf: Leaf, candidate: Evaluated) -> Evidence:
    """Return whether every repeat of every critical case reaches the value: no chance is allowed for.

    An answer that says nothing falls short of every value; a request that failed leaves it open.
    """
    ask = leaf.gate.ask
    value = ask.value if isinstance(ask, Critical) else 0.0
    scores = candidate.scores[leaf.gate.metric]
    rows = np.array([row for row in leaf.rows.tolist() if candidate.cases[row].critical], dtype=np.int64)
    if not rows.size:
        return Evidence(reason="no case is marked `critical: true`")
    table = scores.values[rows]
    lower = scale_for(leaf.gate, scores.spec.scale).better == "lower"
    silent = np.array(
        [[_says_nothing(scores, row, repeat) for repeat in range(table.shape[1])] for row in rows.tolist()]
    )
    short = ((table > value) if lower else (table < value)) | silent
    failing, open_ones = rows[short.any(axis=1)], rows[(np.isnan(table) & ~silent).any(axis=1)]
    known = Evidence(
        n=int(rows.size),
        n_clusters=int(rows.size),
        n_unscored=int(np.isnan(table).any(axis=1).sum()),
        n_short=int(failing.size),
        test=EVERY_ONE,
    )
    if failing.size:
        said = f"{failing.size:,} of {rows.size:,} critical cases fell short"
        mute = int(silent.any(axis=1).sum())
        said += f", {mute:,} by an answer that says nothing or has no end" if mute else ""
        return known._replace(fixed="FAIL", cases=_names(candidate, failing), reason=said)
    if open_ones.size:
        said = f"{open_ones.size:,} of {rows.size:,} critical cases have no score ({reasons_of(scores, open_ones)})"
        return known._replace(cases=_names(candidate, open_ones), blocked=f"{said}; {MEND}")
    return known._replace(fixed="PASS", reason=f"all {rows.size:,} critical cases reached it")


def _says_nothing(scores: MetricScores, row: int, repeat: int) -> bool:
    missing = scores.missing.get((row, repeat))
    return missing is not None and missing.of_the_model


def gap_evidence(leaf: Leaf, candidate: Evaluated, level: float) -> Evidence:
    """Return how far apart the groups of a field are, by joint limits of all pairs, against the most that may be."""
    ask = leaf.gate.ask
    field, most = (ask.field, ask.value) if isinstance(ask, GapAtMost) else ("", 0.0)
    values, scale = values_of(leaf, candidate)
    unscored, blocked = gap_in(leaf, candidate)
    labels = [field_of(candidate.cases[row], field) for row in leaf.rows.tolist()]
    groups = groups_by(values, scale, candidate, leaf.rows, labels)
    limits = Limits(groups)
    too_few = bool(limits.left_out) and not blocked
    if too_few:
        names = ", ".join(limits.left_out[:5])
        blocked = f"too few cases to say anything of {names}: add some, or leave them out by `where`"
    if len(limits.groups) < 2:
        return Evidence(
            n_unscored=unscored, blocked=blocked, reason=f"fewer than two groups of {field} have an interval"
        )
    held: dict[float, Gap] = {}

    def at(confidence: float) -> Gap:
        if confidence not in held:
            held[confidence] = gap(limits, confidence=confidence)
        return held[confidence]

    found = at(1.0 - 2.0 * level)
    worst = f"{found.highest} highest, {found.lowest} lowest"
    return Evidence(
        n=_scored(values),
        n_clusters=_clusters(candidate, leaf.rows, values),
        n_unscored=unscored,
        candidate=found.naive,
        baseline=most,
        difference=None if found.naive is None else found.naive - most,
        low=None if found.low is None else found.low - most,
        high=None if found.high is None else found.high - most,
        limit=0.0,
        p_pass=tail_of(lambda confidence: beyond(at(confidence).high, most, -1.0)),
        p_fail=tail_of(lambda confidence: beyond(at(confidence).low, most, 1.0)),
        test=f"inverted: {found.method}",
        blocked=blocked,
        too_few=too_few,
        needed=needed_gap(found.naive, found.high, most, _scored(values)),
        reason="; ".join(filter(None, [worst, found.reason])),
    )


def values_of(leaf: Leaf, candidate: Evaluated) -> tuple[Floats, Scale]:
    """Return what a gate takes the mean of, ``[cases, repeats]`` or of ``pass^k`` ``[cases, 1]``, and its scale."""
    scores = candidate.scores[leaf.gate.metric]
    kind = parse_statistic(leaf.gate.statistic).kind
    if kind.startswith("pass"):
        return _succeeding(leaf, scores, scores.values[leaf.rows]), RATE
    return scores.values[leaf.rows], scores.spec.scale


def _succeeding(leaf: Leaf, scores: MetricScores, values: Floats) -> Floats:
    """Return the chance of ``pass^k`` or ``pass@k`` by case, ``[cases, 1]``."""
    return pass_rates(values, leaf.gate, scale_for(leaf.gate, scores.spec.scale))[:, None]


def _quantile_evidence(leaf: Leaf, candidate: Evaluated, level: float) -> Evidence:
    """p95 at most x is the share above x at most 5 %, of which a missing score is one."""
    quantile = parse_statistic(leaf.gate.statistic).quantile
    number, up = _number(leaf.gate)
    values = candidate.scores[leaf.gate.metric].values[leaf.rows]
    if np.isnan(values).all():
        unscored, blocked = gap_in(leaf, candidate)
        return Evidence(n_unscored=unscored, blocked=blocked, reason="no case has a score")

    share = 1.0 - quantile if up else quantile

    def tails(x: float) -> tuple[float, float]:
        within, gone = (values >= x if up else values <= x), np.isnan(values)
        # A missing score is never for the decision: beyond the number for PASS, within it for FAIL.
        ats = [limits_of(some.astype(np.float64), SHARE, candidate, leaf.rows) for some in (within, within | gone)]
        return _p_values(ats[0], share, up=True)[0], _p_values(ats[1], share, up=True)[1]

    p_pass, p_fail = tails(number)
    unscored, blocked = gap_in(leaf, candidate, lambda _: p_pass > level)
    low, high = _quantile_limits(values, tails, level, up=up)
    within = (values >= number) if up else (values <= number)
    known = limits_of(within.astype(np.float64), SHARE, candidate, leaf.rows)
    inside = known.at(1.0 - 2.0 * level)
    said = _said_beyond(values, within, number, inside.low or 0.0)
    seen, n = _quantile(values, candidate.weights[leaf.rows], quantile), _scored(values)
    return Evidence(
        n=n,
        n_clusters=_clusters(candidate, leaf.rows, values),
        n_unscored=unscored,
        baseline=number,
        candidate=seen,
        difference=seen - number,
        low=None if low is None else low - number,
        high=None if high is None else high - number,
        limit=0.0,
        p_pass=p_pass,
        p_fail=p_fail,
        test="share beyond it, inverted",
        blocked=blocked,
        reason=said,
        # A missing score counts as beyond the number: how many more cases would do is not to be told from such.
        needed=None if blocked else _needed(known, inside, SHARE, share, level, leaf, candidate, n, up=True),
    )


def _said_beyond(values: Floats, within: NDArray[np.bool_], number: float, least: float) -> str:
    """Return how many answers lie beyond a number, and how many of all like these may; ``least`` are within it."""
    share, gone = 100.0 - 100.0 * float(within.mean()), int(np.isnan(values).sum())
    counted = f" ({gone:,} {'has' if gone == 1 else 'have'} no score and count as beyond it)" if gone else ""
    return (
        f"{share:.3g}% of the answers lie beyond {number:g}{counted}, and of all like these at most "
        f"{100.0 - 100.0 * least:.3g}%"
    )


def _quantile(values: Floats, weights: Floats, quantile: float) -> float:
    """Return the least score that so large a share of the weight does not exceed."""
    known = ~np.isnan(values)
    scores, held = values[known], np.repeat(weights[:, None], values.shape[1], axis=1)[known]
    order = np.argsort(scores, kind="stable")
    shares = np.cumsum(held[order]) / held.sum()
    # Sums of weights are not exact: a share that misses the quantile by rounding has reached it.
    return float(scores[order][min(scores.size - 1, int(np.searchsorted(shares, quantile - 1e-12)))])


def _quantile_limits(
    values: Floats, tails: Callable[[float], tuple[float, float]], level: float, *, up: bool
) -> tuple[float | None, float | None]:
    """Return the scores between which no one-sided test refuses the quantile (Woodruff 1952)."""
    known = np.unique(values[~np.isnan(values)])

    def first(shown: int, places: Sequence[int]) -> float | None:
        low, high = 0, len(places)
        while low < high:
            middle = (low + high) // 2
            low, high = (low, middle) if tails(float(known[places[middle]]))[shown] <= level else (middle + 1, high)
        return float(known[places[low]]) if low < len(places) else None

    upwards, downwards = range(known.size), range(known.size - 1, -1, -1)
    # "At most x" is shown from some x upwards, and refuted from some x downwards.
    return (first(0, downwards), first(1, upwards)) if up else (first(1, downwards), first(0, upwards))


def _p_values(alone: Alone, number: float, *, up: bool) -> tuple[float, float]:
    above, below = alone.above(number), alone.below(number)
    return (above, below) if up else (below, above)


def _in_the_worst_case(
    values: Floats, scale: Scale, candidate: Evaluated, leaf: Leaf, number: float, *, up: bool
) -> float:
    """Return p of the claim if every missing score of an answer, but not of a case, were at the worst end."""
    scores = candidate.scores[leaf.gate.metric]
    gone = np.isnan(scores.values[leaf.rows]) & ~scores.inapplicable()[leaf.rows][:, None]
    if not gone.any():
        return 0.0
    if parse_statistic(leaf.gate.statistic).kind.startswith("pass"):
        # Of a repeat that is missing: a failure for "at least", a success for "at most".
        against = -math.inf if up == (scale_for(leaf.gate, scores.spec.scale).better != "lower") else math.inf
        filled = _succeeding(leaf, scores, np.where(gone, against, scores.values[leaf.rows]))
    else:
        filled = np.where(gone, (scale.low if up else scale.high) or 0.0, values)
    return _p_values(limits_of(filled, scale, candidate, leaf.rows), number, up=up)[0]


def _needed(
    alone: Alone,
    found: Estimate,
    scale: Scale,
    number: float,
    level: float,
    leaf: Leaf,
    candidate: Evaluated,
    n: int,
    *,
    up: bool,
) -> Needed | None:
    """Return how many cases would show it, by the limits that decide it; ``found`` is those at the level."""
    weights, codes = candidate.weights[leaf.rows], candidate.codes[leaf.rows]
    if alone.shares is not None:
        limit = float(share_of(scale, number))
        return told_of(needed_bounded(alone.shares, limit, level, up=up, n=n), weights, codes)
    if scale.binary and found.value is not None:
        return needed_share(found.value, number, level, up=up, n=n)
    return told_of(needed_mean(found, number, level, up=up, n=n), weights, codes)


def _number(gate: Gate) -> tuple[float, bool]:
    ask = gate.ask
    return (ask.value if isinstance(ask, AtLeast | AtMost) else 0.0), isinstance(ask, AtLeast)


def _against(found: Estimate, number: float, n: int, clusters: int) -> Evidence:
    return Evidence(
        n=n,
        n_clusters=clusters,
        baseline=number,
        candidate=found.value,
        difference=None if found.value is None else found.value - number,
        low=None if found.low is None else found.low - number,
        high=None if found.high is None else found.high - number,
        limit=0.0,
        reason=found.reason,
    )


def _scored(values: Floats) -> int:
    return int((~np.isnan(values)).any(axis=1).sum())


def _clusters(candidate: Evaluated, rows: Rows, values: Floats) -> int:
    some = rows[(~np.isnan(values)).any(axis=1)]
    return int(np.unique(candidate.codes[some]).size)


def _names(candidate: Evaluated, rows: Rows) -> tuple[str, ...]:
    return tuple(candidate.cases[row].case_id for row in rows[:MOST_NAMED].tolist())
