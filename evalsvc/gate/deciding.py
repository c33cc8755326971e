"""From scores to decisions. Pure: the same scores, gates, level and seed decide the same.

A gate passes when each of its findings shows what was asked, at the level: all have to, so that no correction is due
(intersection-union test, Berger 1982), and a version that is truly beyond a margin passes with at most that chance.
It fails when the opposite is shown on any: many are looked at, so those p-values are corrected together by Holm's
procedure over all gates and segments that are not advisory, and a version as good as the baseline fails in any of them
with at most that chance. Everything else is inconclusive, and so is what too many missing scores stand in the way of.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from typing import NamedTuple

from evalsvc.errors import InputError
from evalsvc.gate.absolute import absolute_evidence, critical_evidence, gap_evidence
from evalsvc.gate.evaluated import Evaluated, rows_where, segments_in
from evalsvc.gate.findings import Evidence, Leaf
from evalsvc.gate.needed import BARELY
from evalsvc.gate.paired import paired_evidence
from evalsvc.gate.robust import robust_evidence, variant_rows
from evalsvc.gate.unpaired import unpaired_evidence
from evalsvc.gate.values import COMPARED, Critical, Equivalent, GapAtMost, Gate, Robust, asked, refuted
from evalsvc.stats import adjust_p_values
from evalsvc.verdicts import Decision, Finding, GateResult, Needed, worst_of

MOST_SEGMENTS = 200


def decide(
    gates: Sequence[Gate],
    candidate: Evaluated,
    baseline: Evaluated | None,
    *,
    level: float = 0.05,
    seed: int = 0,
    fail_level: Callable[[int], float] | None = None,
) -> list[GateResult]:
    """Return each gate's result, in order.

    Args:
        gates: of one suite, with different names.
        candidate: the version asked about.
        baseline: what it is compared with; None where no gate compares.
        level: one-sided, in (0, 0.5), of this look.
        seed: of permutations, where there are too many for all.
        fail_level: the level of p-values that are corrected for so many findings, at one of several looks; ``level``
            unless given.

    Raises:
        InputError: on two gates of one name, a level outside its range, a comparison without a baseline, a metric
            without scores, or a field with too many segments.
    """
    _check(gates, level)
    for gate in gates:
        if gate.metric not in candidate.scores:
            raise InputError(f"Expected scores of {gate.metric!r} for the gate {gate.name!r}, but there are none")
    leaves = [leaf for gate in gates for leaf in leaves_of(gate, candidate)]
    found = [_evidence(leaf, candidate, baseline, level, seed) for leaf in leaves]
    adjusted = _holm(leaves, found)
    counted = sum(
        evidence.p_fail is not None and not leaf.gate.advisory for leaf, evidence in zip(leaves, found, strict=True)
    )
    levels = Levels(level, fail_level(counted) if fail_level and counted else level, counted)
    findings: dict[str, list[Finding]] = {gate.name: [] for gate in gates}
    for leaf, evidence, p in zip(leaves, found, adjusted, strict=True):
        findings[leaf.gate.name].append(_finding(leaf, evidence, p, levels))
    return [
        GateResult(
            gate=gate.name,
            metric=gate.metric,
            decision=worst_of(finding.decision for finding in findings[gate.name]),
            findings=tuple(findings[gate.name]),
            advisory=gate.advisory,
        )
        for gate in gates
    ]


def _check(gates: Sequence[Gate], level: float) -> None:
    if not 0.0 < level < 0.5:
        raise InputError(f"Expected `level` between 0 and 0.5, such as 0.05, but got {level!r}")
    names = [gate.name for gate in gates]
    if twice := next((name for place, name in enumerate(names) if name in names[:place]), ""):
        raise InputError(f"Expected every gate to ask something else, but {twice!r} is there twice; drop one")


class Levels(NamedTuple):
    """At which a finding passes, and at which, with its p-value corrected for so many ``findings``, it fails."""

    passes: float
    fails: float
    findings: int


def overall(results: Sequence[GateResult]) -> Decision:
    """Return the decision of all gates but the advisory ones; without any, nothing was shown."""
    return worst_of(result.decision for result in results if not result.advisory)


def leaves_of(gate: Gate, candidate: Evaluated) -> list[Leaf]:
    """Return what a gate looks at: all of its cases, or each segment of them.

    Raises:
        InputError: when there are too many segments.
    """
    rows = rows_where(candidate.cases, gate.where)
    if isinstance(gate.ask, Robust):
        kinds = variant_rows(candidate, rows)
        return [Leaf(gate, f"variant={kind}", of) for kind, of in kinds.items()] or [Leaf(gate, "", rows[:0])]
    if not gate.by:
        return [Leaf(gate, "", rows)]
    segments = segments_in(candidate.cases, rows, gate.by)
    if len(segments) > MOST_SEGMENTS:
        count = f"{len(segments):,}"
        raise InputError(
            f"Expected at most {MOST_SEGMENTS} segments for the gate {gate.name!r}, but the cases have {count}"
        )
    return [Leaf(gate, name, held) for name, held in segments.items()] or [Leaf(gate, "", rows)]


def _evidence(leaf: Leaf, candidate: Evaluated, baseline: Evaluated | None, level: float, seed: int) -> Evidence:
    if not leaf.rows.size:
        robust = isinstance(leaf.gate.ask, Robust)
        return Evidence(reason="no case is a variant of another one of the set" if robust else "no case is in it")
    ask = leaf.gate.ask
    if isinstance(ask, COMPARED):
        if baseline is None:
            raise InputError(f"Expected a baseline for the gate {leaf.gate.name!r}, but the suite names none")
        if baseline.production is not None:
            return unpaired_evidence(leaf, candidate, baseline.production, level)
        return paired_evidence(leaf, candidate, baseline, level, seed)
    if isinstance(ask, Critical):
        return critical_evidence(leaf, candidate)
    if isinstance(ask, Robust):
        return robust_evidence(leaf, candidate, level, seed)
    if isinstance(ask, GapAtMost):
        return gap_evidence(leaf, candidate, level)
    return absolute_evidence(leaf, candidate, level)


def _holm(leaves: Sequence[Leaf], found: Sequence[Evidence]) -> list[float | None]:
    names = [f"{place}" for place in range(len(leaves))]
    counted: Mapping[str, float | None] = {
        name: None if leaf.gate.advisory else evidence.p_fail
        for name, leaf, evidence in zip(names, leaves, found, strict=True)
    }
    adjusted = adjust_p_values(counted, procedure="holm").adjusted if counted else ()
    # Advisory ones are told by themselves, since they decide nothing.
    return [
        evidence.p_fail if leaf.gate.advisory else p for leaf, evidence, p in zip(leaves, found, adjusted, strict=True)
    ]


def _finding(leaf: Leaf, evidence: Evidence, p_fail: float | None, levels: Levels) -> Finding:
    decision = _decision(evidence, p_fail, levels)
    return Finding(
        decision=decision,
        reason=_reason(leaf, evidence, decision, p_fail, levels),
        segment=leaf.segment,
        baseline=evidence.baseline,
        candidate=evidence.candidate,
        difference=evidence.difference,
        low=evidence.low,
        high=evidence.high,
        confidence=None if evidence.low is None and evidence.high is None else 1.0 - 2.0 * levels.passes,
        limit=evidence.limit,
        relative=evidence.relative,
        p_pass=evidence.p_pass,
        p_fail=evidence.p_fail,
        p_fail_adjusted=p_fail,
        n=evidence.n,
        n_clusters=evidence.n_clusters,
        n_one_sided=evidence.n_one_sided,
        n_unscored=evidence.n_unscored,
        n_short=evidence.n_short,
        lacking=decision == "INCONCLUSIVE" and ((bool(evidence.blocked) and not evidence.too_few) or not evidence.n),
        cases=evidence.cases,
        needed=evidence.needed if decision == "INCONCLUSIVE" else None,
        test=evidence.test,
    )


def _decision(evidence: Evidence, p_fail: float | None, levels: Levels) -> Decision:
    if evidence.fixed is not None:
        return evidence.fixed
    if p_fail is not None and p_fail <= levels.fails:
        return "FAIL"
    shown = evidence.p_pass is not None and evidence.p_pass <= levels.passes and not evidence.blocked
    return "PASS" if shown else "INCONCLUSIVE"


def _reason(leaf: Leaf, evidence: Evidence, decision: Decision, p_fail: float | None, levels: Levels) -> str:
    if evidence.fixed is not None:
        return evidence.reason
    wish, opposite = asked(leaf.gate.ask), refuted(leaf.gate.ask)
    if decision == "PASS":
        said = "" if _excludes(leaf, evidence) else f" by its test ({_p(evidence.p_pass)})"
        return _joined(f"{wish} is shown{said}", evidence.reason)
    if decision == "FAIL":
        among = (
            f", corrected for {levels.findings:,} findings" if levels.findings > 1 and not leaf.gate.advisory else ""
        )
        return _joined(f"{opposite} is shown ({_p(p_fail)}{among})", evidence.reason)
    if evidence.blocked:
        return evidence.blocked
    if evidence.p_pass is None:
        return evidence.reason or "nothing is known of it"
    return _joined(_open(leaf, evidence, p_fail, levels), _more(evidence.needed), evidence.reason)


def _open(leaf: Leaf, evidence: Evidence, p_fail: float | None, levels: Levels) -> str:
    """Return why neither is shown, with the p-value where the interval alone would say that one is."""
    alone, opposite = evidence.p_fail, refuted(leaf.gate.ask)
    if alone is not None and p_fail is not None and alone <= levels.fails < p_fail:
        return (
            f"{opposite} would be shown were it the only thing looked at ({_p(alone)}); among {levels.findings:,} "
            f"findings it is not ({_p(p_fail)} by Holm, above {levels.fails:.2g})"
        )
    said = "neither that nor its opposite is shown"
    if not _excludes(leaf, evidence):
        return said
    nearest = min(p for p in (evidence.p_pass, evidence.p_fail) if p is not None)
    return f"{said}, whatever the interval: by the test, which decides, {_p(nearest)}"


def _excludes(leaf: Leaf, evidence: Evidence) -> bool:
    """Whether an interval, or what it has of one, leaves out the difference that the gate allows."""
    if evidence.limit is None or (evidence.low is None and evidence.high is None):
        return False
    low, high = (
        end if end is not None else side for end, side in ((evidence.low, -math.inf), (evidence.high, math.inf))
    )
    limits = (evidence.limit, -evidence.limit) if isinstance(leaf.gate.ask, Equivalent) else (evidence.limit,)
    return not any(low <= limit <= high for limit in limits)


def _p(value: float | None) -> str:
    return "" if value is None else "p < 0.0001" if value < 1e-4 else f"p = {value:.2g}"


def _more(needed: Needed | None) -> str:
    if needed is None:
        return ""
    if needed.more is None:
        return needed.reason
    if needed.more <= 1:
        return BARELY
    return f"about {needed.more:,} more cases like these, {needed.cases:,} in all, would settle it if {needed.assuming}"


def _joined(*parts: str) -> str:
    return "; ".join(part for part in parts if part)
