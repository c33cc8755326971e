"""Gates that compare with a baseline: the same cases under both versions, repeats averaged, groups as clusters."""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np
from msgspec.structs import replace
from numpy.typing import NDArray

from evalsvc.gate.evaluated import Evaluated, Floats, MetricScores, Rows, places_in
from evalsvc.gate.findings import Evidence, Leaf, gap_in
from evalsvc.gate.values import Better, Equivalent, Gate, NotWorse, parse_statistic, scale_for
from evalsvc.stats import Question, cases_needed, compare_paired
from evalsvc.stats.comparison import Comparison
from evalsvc.stats.corpus import linearised
from evalsvc.stats.paired import FEW_CLUSTERS
from evalsvc.stats.paired_ratio import relative_change
from evalsvc.types import Scale
from evalsvc.verdicts import Needed


class Sides(NamedTuple):
    """Both versions' values by case, ``[cases]`` or ``[cases, repeats]``, in one order, on one scale."""

    baseline: Floats
    candidate: Floats
    scale: Scale
    averaged: bool = False


def paired_evidence(leaf: Leaf, candidate: Evaluated, baseline: Evaluated, level: float, seed: int) -> Evidence:
    """Return what the cases that both versions were asked say about a gate's question.

    PASS has to hold even if every case scored on one side only went against the candidate, where the scale has two
    ends; on an open scale any such case stands in its way as far as ``max_missing`` says.
    """
    gate, places = leaf.gate, places_in(baseline, candidate)
    known = leaf.rows[places[leaf.rows] >= 0]
    unscored, blocked = gap_in(leaf, candidate)
    if not known.size:
        return Evidence(n_unscored=unscored, reason="none of its cases has an answer of the baseline")
    new, old = candidate.scores[gate.metric], baseline.scores[gate.metric]
    sides = _sides(gate, new, old, known, places[known], candidate.weights[known])
    if sides is None:
        return Evidence(n_unscored=unscored, reason=f"these cases have no {gate.statistic} score")
    groups, one_sided = candidate.codes[known].tolist(), _one_sided(sides)
    asked = _question(gate, level)
    contrast, question = _contrast(gate, sides, asked)
    found = compare_paired(
        contrast.baseline,
        contrast.candidate,
        contrast.scale,
        clusters=groups,
        weights=candidate.weights[known].tolist(),
        question=question,
        worst_case=one_sided > 0,
        averaged=contrast.averaged,
        seed=seed,
    )
    evidence = Evidence(
        n=found.n,
        n_clusters=found.n_clusters,
        n_one_sided=one_sided,
        n_unscored=unscored,
        p_pass=found.p_value,
        p_fail=found.p_opposite,
        test=found.test,
        needed=_needed(found, gate, contrast.scale),
        blocked=blocked or _depends(found, one_sided, int(known.size), gate, contrast.scale),
        reason=found.reason,
    )
    evidence = _shown(evidence, gate, sides, found, candidate.weights[known], groups, seed)
    return _identical(evidence, gate, sides) if found.p_value is None else evidence


def _question(gate: Gate, level: float) -> Question:
    if isinstance(gate.ask, Equivalent):
        return Question("equivalence", gate.ask.margin, level)
    return Question("non-inferiority", gate.ask.margin if isinstance(gate.ask, NotWorse) else 0.0, level)


def _sides(gate: Gate, new: MetricScores, old: MetricScores, rows: Rows, places: Rows, weights: Floats) -> Sides | None:
    statistic, scale = parse_statistic(gate.statistic), scale_for(gate, new.spec.scale)
    if statistic.kind == "mean":
        return Sides(old.values[places], new.values[rows], scale)
    if statistic.kind == "corpus":
        both = [_corpus(held, at, weights) for held, at in ((old, places), (new, rows))]
        if both[0] is None or both[1] is None:
            return None
        return Sides(both[0], both[1], Scale(None, None, scale.better, scale.unit))
    share = Scale(0.0, 1.0, "higher")
    ways = [pass_rates(held.values[at], gate, scale) for held, at in ((old, places), (new, rows))]
    return Sides(ways[0], ways[1], share, averaged=True)


def _corpus(held: MetricScores, rows: Rows, weights: Floats) -> Floats | None:
    """Return the linearised corpus score of each case, NaN where it has none; each repeat is a corpus of its own."""
    if held.statistics is None:
        return None
    table = np.full((rows.size, held.values.shape[1]), np.nan)
    for repeat in range(held.values.shape[1]):
        statistics = held.statistics[rows, repeat]
        some = ~np.isnan(statistics).any(axis=1)
        if not some.any():
            continue
        values = linearised(statistics[some].tolist(), weights[some].tolist(), held.spec.corpus)
        if values is None:
            return None
        table[some, repeat] = values
    return table


def pass_rates(values: Floats, gate: Gate, scale: Scale) -> Floats:
    """Return the chance of ``pass^k`` or ``pass@k`` by case, NaN where fewer than k repeats have a score.

    With c successes of n: C(c, k)/C(n, k) for ``pass^k`` (Yao et al. 2024) and 1 - C(n - c, k)/C(n, k) for ``pass@k``
    (Chen et al. 2021), both unbiased.
    """
    statistic = parse_statistic(gate.statistic)
    least = 1.0 if gate.success is None else gate.success
    present = ~np.isnan(values)
    wins = (values <= least if scale.better == "lower" else values >= least) & present
    out = np.full(values.shape[0], np.nan)
    for row, (n, c) in enumerate(zip(present.sum(axis=1).tolist(), wins.sum(axis=1).tolist(), strict=True)):
        if n >= statistic.k:
            ways, chosen = math.comb(n, statistic.k), c if statistic.kind == "pass^" else n - c
            share = math.comb(chosen, statistic.k) / ways
            out[row] = share if statistic.kind == "pass^" else 1.0 - share
    return out


def _contrast(gate: Gate, sides: Sides, question: Question) -> tuple[Sides, Question]:
    """Return a relative question as one without: c is not worse than (1 ± m)·b by anything."""
    if not getattr(gate.ask, "relative", False):
        return sides, question
    factor = 1.0 + question.margin if sides.scale.better == "lower" else 1.0 - question.margin
    open_scale = Scale(None, None, sides.scale.better, sides.scale.unit)
    return sides._replace(baseline=sides.baseline * factor, scale=open_scale), question._replace(margin=0.0)


def _shown(
    evidence: Evidence, gate: Gate, sides: Sides, found: Comparison, weights: Floats, groups: list[int], seed: int
) -> Evidence:
    """Add the values, the difference and its limits as a reader wants them: relative where the gate is."""
    if not getattr(gate.ask, "relative", False):
        return evidence._replace(
            baseline=found.baseline,
            candidate=found.candidate,
            difference=found.difference,
            low=found.low,
            high=found.high,
            limit=_limit(gate, sides.scale),
        )
    old, new = _mean(sides.baseline), _mean(sides.candidate)
    whole = ~(np.isnan(old) | np.isnan(new))
    if not whole.any() or not float((weights * old)[whole].sum()) > 0.0:
        return evidence._replace(reason="the baseline's mean is not above 0, and a share of it means nothing")
    _, codes = np.unique(np.asarray(groups)[whole], return_inverse=True)
    change = relative_change(
        old[whole], new[whole], clusters=codes.tolist(), weights=weights[whole], confidence=found.confidence, seed=seed
    )
    share = weights[whole] / weights[whole].sum()
    return evidence._replace(
        baseline=float((share * old[whole]).sum()),
        candidate=float((share * new[whole]).sum()),
        difference=change.value,
        low=change.low,
        high=change.high,
        limit=_limit(gate, sides.scale),
        relative=True,
    )


def _mean(values: Floats) -> Floats:
    if values.ndim == 1:
        return values
    present = ~np.isnan(values)
    counts = present.sum(axis=1)
    return np.where(counts > 0, np.where(present, values, 0.0).sum(axis=1) / np.maximum(counts, 1), np.nan)


def _one_sided(sides: Sides) -> int:
    old, new = np.isnan(_mean(sides.baseline)), np.isnan(_mean(sides.candidate))
    return int((old ^ new).sum())


def _limit(gate: Gate, scale: Scale) -> float:
    margin = getattr(gate.ask, "margin", 0.0)
    return float(margin if scale.better == "lower" or margin == 0.0 else -margin)


def _depends(found: Comparison, one_sided: int, cases: int, gate: Gate, scale: Scale) -> str:
    if not one_sided:
        return ""
    told = f"{one_sided:,} of {cases:,} cases were scored under one version only"
    if found.depends_on_missing is None:
        return f"{told}, on a scale that sets them no bounds" if one_sided > gate.max_missing * cases else ""
    low = found.worst_low is not None and found.worst_low > -found.margin
    high = found.worst_high is not None and found.worst_high < found.margin
    both = found.asked == "equivalence"
    passes = (low and high) if both else high if scale.better == "lower" else low
    return "" if passes else f"{told}, and it would not pass if they went against the candidate"


def _needed(found: Comparison, gate: Gate, scale: Scale) -> Needed | None:
    """Return what would settle it if the two were equal, or, where so many are there, if what is seen is true."""
    if found.verdict != "inconclusive" or found.difference is None:
        return None
    seen = found.difference * (-1.0 if scale.better == "lower" else 1.0)
    effect = _if_equal(gate, found)
    if effect is not None:
        need = cases_needed(found, effect=effect)
        # One case more is what is left of a number that is too small to be true.
        if need.more is None or need.more > 1:
            return Needed(need.more, need.cases, "the two are equal", need.reason)
    if seen > -found.margin:
        need = cases_needed(found, effect=seen)
        return Needed(need.more, need.cases, "the difference seen is the true one", need.reason)
    if effect is None:
        return Needed(None, None, reason="what is seen does not reach it, and no number of cases shows what is not so")
    mirrored = replace(found, margin=0.0, asked="non-inferiority")
    need = cases_needed(mirrored, effect=-found.margin - seen)
    return Needed(need.more, need.cases, "the difference seen is the true one", need.reason)


def _if_equal(gate: Gate, found: Comparison) -> float | None:
    """Return the effect of equal versions in the question that was put; None where equal ones do not pass."""
    if isinstance(gate.ask, Better):
        return None
    # Of a relative margin, equal versions are ahead by all of it.
    relative = isinstance(gate.ask, NotWorse) and gate.ask.relative
    return getattr(gate.ask, "margin", 0.0) * abs(found.candidate or 0.0) if relative else 0.0


def _identical(evidence: Evidence, gate: Gate, sides: Sides) -> Evidence:
    """Let a version pass that has the baseline's very scores, which tell no spread: on enough cases it is the same."""
    old, new = _mean(sides.baseline), _mean(sides.candidate)
    whole: NDArray[np.bool_] = ~(np.isnan(old) | np.isnan(new))
    if evidence.n_clusters < FEW_CLUSTERS or not bool((old[whole] == new[whole]).all()):
        return evidence
    allowed = getattr(gate.ask, "margin", 0.0) > 0.0 and not evidence.blocked
    return evidence._replace(fixed="PASS" if allowed else None, reason="no case differs")
