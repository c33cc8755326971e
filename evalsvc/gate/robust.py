"""Gates that hold variants of cases against the cases that they were made of, all under the candidate."""

from __future__ import annotations

import numpy as np

from evalsvc.gate.evaluated import Evaluated, Rows
from evalsvc.gate.findings import MEND, Evidence, Leaf, gap_in
from evalsvc.gate.needed import told_of
from evalsvc.gate.paired import needed_for
from evalsvc.gate.sides import Sides
from evalsvc.gate.values import NotWorse, Robust, scale_for
from evalsvc.stats import Question, compare_paired
from evalsvc.stats.comparison import Comparison


def variant_rows(candidate: Evaluated, rows: Rows) -> dict[str, Rows]:
    """Return the rows of each kind of variant whose source is among the cases, by kind."""
    known = set(candidate.digests)
    kinds: dict[str, list[int]] = {}
    for row in rows.tolist():
        case = candidate.cases[row]
        if case.variant and case.variant_of in known:
            kinds.setdefault(case.variant, []).append(row)
    return {kind: np.array(kinds[kind], dtype=np.int64) for kind in sorted(kinds)}


def robust_evidence(leaf: Leaf, candidate: Evaluated, level: float, seed: int) -> Evidence:
    """Return what pairs of a variant and its case say; PASS has to hold if missing scores went against the variants."""
    gate = leaf.gate
    margin = gate.ask.margin if isinstance(gate.ask, Robust) else 0.0
    places = {digest: row for row, digest in enumerate(candidate.digests)}
    sources = np.array([places[candidate.cases[row].variant_of] for row in leaf.rows.tolist()], dtype=np.int64)
    held = candidate.scores[gate.metric]
    sides = Sides(held.values[sources], held.values[leaf.rows], scale_for(gate, held.spec.scale))
    question = Question("non-inferiority", margin, level)
    found = _compared(sides, leaf, candidate, question, seed)
    unscored, blocked = gap_in(
        leaf,
        candidate,
        lambda allowing: bool(_depends(sides, leaf._replace(gate=allowing), candidate, question, seed)),
    )
    blocked = blocked or _depends(sides, leaf, candidate, question, seed)
    return Evidence(
        n=found.n,
        n_clusters=found.n_clusters,
        n_one_sided=sides.one_sided,
        n_unscored=unscored,
        baseline=found.baseline,
        candidate=found.candidate,
        difference=found.difference,
        low=found.low,
        high=found.high,
        limit=margin if sides.scale.better == "lower" else -margin,
        p_pass=found.p_value,
        p_fail=found.p_opposite,
        test=found.test,
        needed=told_of(
            needed_for(found, NotWorse(margin), sides.scale), candidate.weights[leaf.rows], candidate.codes[leaf.rows]
        ),
        blocked=blocked,
        reason=found.reason,
    )


def _compared(sides: Sides, leaf: Leaf, candidate: Evaluated, question: Question, seed: int) -> Comparison:
    return compare_paired(
        sides.baseline,
        sides.candidate,
        sides.scale,
        clusters=candidate.codes[leaf.rows].tolist(),
        weights=candidate.weights[leaf.rows].tolist(),
        question=question,
        rare=True,
        seed=seed,
    )


def _depends(sides: Sides, leaf: Leaf, candidate: Evaluated, question: Question, seed: int) -> str:
    """Return why missing scores stand in the way of a PASS; empty where they do not."""
    gone, share = sides.gone
    if not gone:
        return ""
    told = f"{gone:,} scores are missing"
    low, high = sides.scale.low, sides.scale.high
    if low is None or high is None:
        return f"{told}, on a scale that sets them no bounds" if share > leaf.gate.max_missing else ""
    p = _compared(sides.filled(better=False), leaf, candidate, question, seed).p_value
    fine = p is not None and p <= question.level
    return "" if fine else f"{told}, and it would not pass if they went against the variants; {MEND}"
