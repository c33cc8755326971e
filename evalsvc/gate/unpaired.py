"""Gates that compare with production: the candidate's mean over the cases against an estimate of all traffic."""

from __future__ import annotations

import math

import msgspec
import numpy as np

from evalsvc.gate.alone import interval_of
from evalsvc.gate.evaluated import Evaluated, MetricScores
from evalsvc.gate.findings import MEND, Evidence, Leaf, gap_in, percent_above, said_reasons
from evalsvc.gate.production import Production
from evalsvc.gate.values import NotWorse, scale_for
from evalsvc.stats import Question, compare_estimates
from evalsvc.stats.comparison import Comparison
from evalsvc.stats.distributions import normal_quantile
from evalsvc.types import Estimate, Scale

SKEWED = "the scores are too skewed for so few cases: by their own interval alone it would pass"


def unpaired_evidence(leaf: Leaf, candidate: Evaluated, production: Production, level: float) -> Evidence:
    """Return what the candidate's cases say about not being worse than production by a margin.

    Both are taken for samples of the process behind them that know nothing of each other, which needs more cases than a
    comparison case by case. PASS has to hold if every missing score of the candidate were the worst there is, where the
    scale has two ends.
    """
    gate = leaf.gate
    margin = gate.ask.margin if isinstance(gate.ask, NotWorse) else 0.0
    scores = candidate.scores[gate.metric]
    scale = scale_for(gate, scores.spec.scale)
    old, question = production.of(gate.metric, leaf.segment), Question("non-inferiority", margin, level)
    unscored, blocked = gap_in(
        leaf, candidate, lambda _: bool(old and _in_the_worst_case(leaf, candidate, old, scale, question))
    )
    if old is None:
        return Evidence(n_unscored=unscored, reason="no estimate of production was frozen for these cases")
    new = interval_of(scores, candidate, leaf.rows, old.confidence)
    if new is None:
        return Evidence(n_unscored=unscored, baseline=old.value, reason="no case has a score")
    found = _compared(old, new, scale, question)
    p_pass, p_fail = found.p_value, found.p_opposite
    if not scale.bounded:
        up = scale.better == "higher"
        p_pass, p_fail = (_skewed(p, scores, candidate, leaf, up=side) for p, side in ((p_pass, up), (p_fail, not up)))
        if not blocked and found.p_value is not None and p_pass is not None and found.p_value <= level < p_pass:
            blocked = SKEWED
    if not blocked and old.missing_share > gate.max_missing:
        blocked = (
            f"{old.missing_share:.0%} of production's events have no {gate.metric}; freeze events that have one, or "
            f"allow it by `max_missing: {percent_above(old.missing_share)}%`"
        )
    if not blocked and found.p_value is not None and found.p_value <= level:
        blocked = _in_the_worst_case(leaf, candidate, old, scale, question)
    return Evidence(
        n=int(leaf.rows.size) - unscored,
        n_clusters=len(np.unique(candidate.codes[leaf.rows])),
        n_unscored=unscored,
        baseline=found.baseline,
        candidate=found.candidate,
        difference=found.difference,
        low=found.low,
        high=found.high,
        limit=margin if scale.better == "lower" or margin == 0.0 else -margin,
        p_pass=p_pass,
        p_fail=p_fail,
        test=found.test,
        blocked=blocked,
        too_few=blocked == SKEWED,
        reason="; ".join(filter(None, [f"unpaired, against production of {_said(production)}", found.reason])),
    )


def _compared(old: Estimate, new: Estimate, scale: Scale, question: Question) -> Comparison:
    # The limits of both are those of the process, so that no number of events is to add to them.
    before, after = (msgspec.structs.replace(side, offered=None, statistic="mean") for side in (old, new))
    return compare_estimates(before, after, scale, question=question, target="process")


def _skewed(p: float | None, scores: MetricScores, candidate: Evaluated, leaf: Leaf, *, up: bool) -> float | None:
    """Return a p-value with what the candidate's skewness κ adds to it, to first order; never a smaller one.

    Of n independent clusters the studentised mean exceeds z with the normal chance less κ(2z² + 1)φ(z)/(6√n), and falls
    below -z with as much more (Hall 1992, *The Bootstrap and Edgeworth Expansion*, 2.6). Production's part, of far more
    events, is left out, which makes the correction too large rather than too small.
    """
    if p is None or not 0.0 < p < 1.0:
        return p
    known = scores.by_case[leaf.rows]
    codes = np.unique(candidate.codes[leaf.rows][~np.isnan(known)], return_inverse=True)[1]
    counts = np.bincount(codes)
    means = np.bincount(codes, weights=known[~np.isnan(known)]) / counts
    spread = float(means.std())
    if not spread > 0.0:
        return p
    kappa = float((((means - means.mean()) / spread) ** 3).mean())
    z = -normal_quantile(p)
    density = math.exp(-0.5 * z * z) / math.sqrt(2.0 * math.pi)
    more = (-kappa if up else kappa) * (2.0 * z * z + 1.0) * density / (6.0 * math.sqrt(len(counts)))
    return min(1.0, p + max(0.0, more))


def _in_the_worst_case(leaf: Leaf, candidate: Evaluated, old: Estimate, scale: Scale, question: Question) -> str:
    worst = scale.high if scale.better == "lower" else scale.low
    scores = candidate.scores[leaf.gate.metric]
    # What a case lacks says nothing about the version.
    gone = np.isnan(scores.values) & ~scores.inapplicable()[:, None]
    if worst is None or not gone[leaf.rows].any():
        return ""
    filled = scores._replace(values=np.where(gone, worst, scores.values))
    new = interval_of(filled, candidate, leaf.rows, old.confidence)
    p = _compared(old, new, scale, question).p_value if new else None
    if p is not None and p <= question.level:
        return ""
    why = said_reasons(scores, leaf.rows)
    return f"scores are missing{why}, and it would not pass if they were the worst there are; {MEND}"


def _said(production: Production) -> str:
    window = production.window
    return f"{window.start:%Y-%m-%d %H:%M} to {window.end:%Y-%m-%d %H:%M} UTC"
