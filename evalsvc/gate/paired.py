"""Gates that compare with a baseline: the same cases under both versions, repeats averaged, groups as clusters."""

from __future__ import annotations

from msgspec.structs import replace

from evalsvc.gate.evaluated import Evaluated, MetricScores, Rows, gone_from, places_in
from evalsvc.gate.findings import MEND, MOST_TO_ALLOW, Evidence, Leaf, allow, gap_in, said_reasons
from evalsvc.gate.needed import NEVER, needed_without_differences, told_of
from evalsvc.gate.relative import Asking, relative_change
from evalsvc.gate.sides import Sides, by_case, sides_of
from evalsvc.gate.values import Ask, Better, Equivalent, Gate, NotWorse
from evalsvc.stats import Question, cases_needed, compare_paired
from evalsvc.stats.comparison import Comparison
from evalsvc.types import Scale
from evalsvc.verdicts import Needed

MOST_WITHOUT = 0.5
"""Of cases that the baseline was not asked: with more, what is compared is not the set."""


def paired_evidence(leaf: Leaf, candidate: Evaluated, baseline: Evaluated, level: float, seed: int) -> Evidence:
    """Return what the cases that both versions were asked say about a gate's question.

    PASS has to hold even if every score that is missing under one version went against the candidate, where the scale
    has two ends; on an open scale they stand in its way as far as ``max_missing`` says.
    """
    gate, places = leaf.gate, places_in(baseline, candidate)
    known = leaf.rows[places[leaf.rows] >= 0]
    if not known.size:
        return Evidence(n_unscored=gap_in(leaf, candidate)[0], reason="none of its cases has an answer of the baseline")
    new, old = candidate.scores[gate.metric], baseline.scores[gate.metric]
    sides = sides_of(gate, new, old, known, places[known], candidate.weights[known])
    if sides is None:
        return Evidence(n_unscored=gap_in(leaf, candidate)[0], reason=f"these cases have no {gate.statistic} score")
    asking = Asking(sides, candidate.weights[known], candidate.codes[known], level, seed)
    unscored, blocked = gap_in(leaf, candidate, lambda allowing: _stand_in_the_way(asking, allowing))
    blocked = blocked or uncompared(leaf, candidate, baseline, places)
    if not blocked and _stand_in_the_way(asking, gate):
        blocked = _depends(sides, (old, new), (places[known], known))
    known_of_it = Evidence(n_one_sided=sides.one_sided, n_unscored=unscored, blocked=blocked)
    if isinstance(gate.ask, NotWorse) and gate.ask.relative:
        return _relative(known_of_it, gate, asking)
    found = _compared(asking, sides, _question(gate, level))
    evidence = known_of_it._replace(
        n=found.n,
        n_clusters=found.n_clusters,
        baseline=found.baseline,
        candidate=found.candidate,
        difference=found.difference,
        low=found.low,
        high=found.high,
        limit=_limit(gate, sides.scale),
        p_pass=found.p_value,
        p_fail=found.p_opposite,
        test=found.test,
        needed=told_of(needed_for(found, gate.ask, sides.scale), asking.weights, asking.groups),
        reason=found.reason or (unseen(found.n_clusters) if found.discordant == 0.0 else ""),
    )
    return _identical(evidence, sides) if found.p_value is None else evidence


def _relative(evidence: Evidence, gate: Gate, asking: Asking) -> Evidence:
    margin = getattr(gate.ask, "margin", 0.0)
    found = relative_change(asking, margin)
    needed = needed_for(found.claim, gate.ask, asking.sides.scale) if found.claim else None
    evidence = evidence._replace(
        n=found.n,
        n_clusters=found.n_clusters,
        baseline=found.baseline,
        candidate=found.candidate,
        difference=found.difference,
        low=found.low,
        high=found.high,
        limit=_limit(gate, asking.sides.scale),
        relative=True,
        p_pass=found.p_pass,
        p_fail=found.p_fail,
        test=found.test,
        needed=told_of(needed, asking.weights, asking.groups),
        reason=found.reason,
    )
    if not asking.sides.scale.bounded and _same(asking.sides):
        # However the baseline's own scores vary, of the differences no spread is known.
        evidence = evidence._replace(p_pass=None, p_fail=None, low=None, high=None, needed=None)
        return _identical(evidence, asking.sides)
    return _identical(evidence, asking.sides) if found.claim and found.p_pass is None else evidence


def _compared(asking: Asking, sides: Sides, question: Question) -> Comparison:
    return compare_paired(
        sides.baseline,
        sides.candidate,
        sides.scale,
        clusters=asking.groups,
        weights=asking.weights,
        question=question,
        averaged=sides.averaged,
        rare=True,
        seed=asking.seed,
    )


def uncompared(leaf: Leaf, candidate: Evaluated, baseline: Evaluated, places: Rows) -> str:
    """Return why what has no answer of the baseline stands in the way of a PASS; empty where it does not.

    ``places`` has each case's row in the baseline, -1 where it has none. Few cases may be in place of others that the
    baseline was asked: a change of just the cases that a version loses would hide the loss. Names do not tell which is
    which, since many cases have none of their own: it is as many as are new here, and at most as many as are gone.
    """
    cases, new = int(leaf.rows.size), int((places[leaf.rows] < 0).sum())
    if not new:
        return ""
    gone = gone_from(baseline, candidate.digests) if baseline.gone is None else baseline.gone
    replaced = min(new, gone)
    told, mend = "", "promote a baseline that was asked them"
    if cases and replaced / cases > leaf.gate.max_missing:
        told = (
            f"{replaced:,} of {cases:,} cases were changed or replaced since the baseline, so that what they lost is "
            "not seen"
        )
        if replaced <= MOST_TO_ALLOW * cases:
            mend += f", or {allow(replaced / cases)}"
    elif new > MOST_WITHOUT * cases:
        told = f"{new:,} of {cases:,} cases have no answer of the baseline, so that the few others stand for them"
        mend += ", or leave them out by `where`"
    return f"{told}; {mend}" if told else ""


def _stand_in_the_way(asking: Asking, gate: Gate) -> bool:
    """Whether missing scores stand in the way of a PASS of a gate that allows as many as it says."""
    sides = asking.sides
    gone, share = sides.gone
    if not gone:
        return False
    if not sides.scale.bounded:
        return share > gate.max_missing
    ends = [sides.filled(better=False)]
    if isinstance(gate.ask, Equivalent):
        ends.append(sides.filled(better=True))
    return not all(_passes(asking._replace(sides=end), gate) for end in ends)


def _depends(sides: Sides, scores: tuple[MetricScores, MetricScores], rows: tuple[Rows, Rows]) -> str:
    """Return that missing scores stand in the way, of which version they are, and what to do about those.

    ``scores`` and their ``rows`` are those of the baseline, and of the candidate.
    """
    told, mends = [], []
    sayings = ("the baseline", "promote a baseline that has its scores"), ("the candidate", MEND)
    for (version, mend), lost, cases, held, at in zip(sayings, sides.lost, sides.without, scores, rows, strict=True):
        if gone := int(lost.sum()):
            what = f"{cases:,} of {at.size:,} cases" if cases else f"{gone:,} {'repeat' if gone == 1 else 'repeats'}"
            told.append(f"{version} has no score of {what}{said_reasons(held, at[lost.any(axis=1)])}")
            mends.append(mend)
    said, hint = " and ".join(reversed(told)), " and ".join(reversed(mends))
    if sides.scale.bounded:
        return f"{said}, and it would not pass if they went against the candidate; {hint}"
    share = sides.gone[1]
    or_allow = f", or {allow(share)}" if share <= MOST_TO_ALLOW else ""
    return f"{said}, on a scale that sets them no bounds; {hint}{or_allow}"


def _passes(asking: Asking, gate: Gate) -> bool:
    if isinstance(gate.ask, NotWorse) and gate.ask.relative:
        p = relative_change(asking, gate.ask.margin, limits=False).p_pass
    else:
        p = _compared(asking, asking.sides, _question(gate, asking.level)).p_value
    return p is not None and p <= asking.level


def _question(gate: Gate, level: float) -> Question:
    if isinstance(gate.ask, Equivalent):
        return Question("equivalence", gate.ask.margin, level)
    # To be better by a margin is to be not worse by less than nothing.
    ahead = -gate.ask.margin if isinstance(gate.ask, Better) else 0.0
    return Question("non-inferiority", gate.ask.margin if isinstance(gate.ask, NotWorse) else ahead, level)


def _limit(gate: Gate, scale: Scale) -> float:
    margin = getattr(gate.ask, "margin", 0.0) * (-1.0 if isinstance(gate.ask, Better) else 1.0)
    return float(margin if scale.better == "lower" or margin == 0.0 else -margin)


def needed_for(found: Comparison, ask: Ask, scale: Scale) -> Needed | None:
    """Return what would settle it if the two were equal, or, where so many are there, if what is seen is true."""
    if found.verdict != "inconclusive" or found.difference is None:
        return None
    seen = found.difference * (-1.0 if scale.better == "lower" else 1.0)
    effect = _if_equal(ask, found)
    equal = effect is not None and not _excluded(found, scale, effect)
    if found.discordant == 0.0 and scale.bounded and found.margin > 0.0:
        return needed_without_differences(found, (scale.high or 0.0) - (scale.low or 0.0))
    if effect is not None and equal:
        need = cases_needed(found, effect=effect)
        # One case more is what is left of a number that is too small to be true.
        if need.more is None or need.more > 1:
            return Needed(need.more, need.cases, "the two are equal", need.reason)
    if seen > -found.margin:
        need = cases_needed(found, effect=seen)
        return Needed(need.more, need.cases, "the difference seen is the true one", need.reason)
    if effect is None:
        return NEVER
    mirrored = replace(found, margin=0.0, asked="non-inferiority")
    need = cases_needed(mirrored, effect=-found.margin - seen)
    return Needed(need.more, need.cases, "the difference seen is the true one", need.reason)


def _excluded(found: Comparison, scale: Scale, effect: float) -> bool:
    """Whether the interval says that the candidate is worse than a version with this effect in the question put."""
    best = found.low if scale.better == "lower" else found.high
    return best is not None and (-best if scale.better == "lower" else best) < effect


def _if_equal(ask: Ask, found: Comparison) -> float | None:
    """Return the effect of equal versions in the question that was put; None where equal ones do not pass."""
    if isinstance(ask, Better):
        return None
    # Of a relative margin, equal versions are ahead by all of it.
    relative = isinstance(ask, NotWorse) and ask.relative
    return getattr(ask, "margin", 0.0) * abs(found.candidate or 0.0) if relative else 0.0


def _identical(evidence: Evidence, sides: Sides) -> Evidence:
    """Say of a version that has the baseline's very scores, on an open scale, why that shows nothing.

    They tell no spread, and nothing bounds what the cases that were not asked could differ by; only how many can.
    """
    if not evidence.n_clusters or not _same(sides):
        return evidence
    said = f"{unseen(evidence.n_clusters)}, by an amount that this scale sets no bounds"
    return evidence._replace(reason=f"{said}; hold it against a number (`at_most`), or mark the gate `advisory: true`")


def _same(sides: Sides) -> bool:
    old, new, whole = by_case(sides.baseline), by_case(sides.candidate), sides.whole
    return bool((old[whole] == new[whole]).all())


def unseen(groups: int) -> str:
    """Say of cases none of which differs how many others may, with a confidence of 95 %.

    >>> unseen(59)
    'no case differs, so that (95 % sure) at most 5.0% of cases like these do'
    """
    return f"no case differs, so that (95 % sure) at most {1.0 - 0.05 ** (1.0 / groups):.1%} of cases like these do"
