"""Gates against production, by simulation: how often a version at the margin passes, or fails."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.stats import binom

from evalsvc.cases import Case
from evalsvc.fairness import groups_of_values
from evalsvc.gate.deciding import leaves_of
from evalsvc.gate.evaluated import Evaluated, MetricScores
from evalsvc.gate.production import Frozen, Production
from evalsvc.gate.unpaired import unpaired_evidence
from evalsvc.gate.values import Gate, NotWorse
from evalsvc.types import Scale, ScorerSpec, Window
from tests.watched_alerts import NOON

RUNS, LEVEL, MARGIN = 2000, 0.05, 0.08
WINDOW = Window(NOON, NOON.replace(hour=23))
ALLOWED = int(binom.ppf(0.999, RUNS, LEVEL))
"""So many of the runs are passed by a test of exactly this level with a chance of 0.1 % or less."""
YES_NO, SHARE, OPEN = Scale(0.0, 1.0, "higher", binary=True), Scale(0.0, 1.0, "higher"), Scale(None, None, "higher")
LATENCY = Scale(None, None, "lower")
"""Open scales get exponential scores, whose skewness of 2 makes plain t limits too short."""


def draw(rng, kind, mean, n):
    """Return n scores of a process with a mean."""
    if kind is YES_NO:
        return (rng.random(n) < mean).astype(float)
    if kind is SHARE:
        return rng.beta(4.0 * mean, 4.0 * (1.0 - mean), n)
    return rng.exponential(1.0, n) - 1.0 + mean


def frozen(rng, scale, mean):
    """Return an estimate of 1,500 sampled events, in two strata of unlike π, whose traffic has this mean."""
    values = draw(rng, scale, mean, 1500)
    pi = np.repeat([0.5, 0.1], [1000, 500])
    (group,) = groups_of_values(values, ["all"] * 1500, scale, pi=pi, clusters=None)
    estimate = group.at(0.95)
    return Production(window=WINDOW, estimates=(Frozen("m", estimate),))


def version(values, scale):
    """Return a candidate with one answer a case."""
    n = len(values)
    return Evaluated(
        cases=tuple(Case(case_id=f"c{number}", prompt="-") for number in range(n)),
        digests=tuple(f"{number:064d}" for number in range(n)),
        answers=((),) * n,
        scores={"m": MetricScores(ScorerSpec("m", 1, scale), values[:, None], {})},
        model="m",
        model_version="2",
        signature="",
    )


def p_values(seed, scale, mean, shift, n, runs=RUNS):
    """Return the two p-values of each of the runs."""
    rng, found = np.random.default_rng(seed), []
    for _ in range(runs):
        candidate = version(draw(rng, scale, mean + shift, n), scale)
        (leaf,) = leaves_of(Gate(metric="m", ask=NotWorse(MARGIN)), candidate)
        evidence = unpaired_evidence(leaf, candidate, frozen(rng, scale, mean), LEVEL)
        # Without a p-value it is inconclusive.
        found.append(1.0 if p is None else p for p in (evidence.p_pass, evidence.p_fail))
    passes, fails = np.array([list(pair) for pair in found]).T
    return passes, fails


@pytest.mark.parametrize(
    ("scale", "mean", "n"),
    [(YES_NO, 0.9, 60), (YES_NO, 0.5, 200), (SHARE, 0.7, 60), (SHARE, 0.9, 200), (OPEN, 3.0, 200), (LATENCY, 3.0, 200)],
    ids=["yes-no-60", "yes-no-200", "share-60", "share-200", "open-200", "latency-200"],
)
def test_at_the_margin_neither_error_is_made_more_often_than_said(scale, mean, n):
    passes, fails = p_values(20260301, scale, mean, MARGIN if scale is LATENCY else -MARGIN, n)
    assert (passes <= LEVEL).sum() <= ALLOWED
    assert (fails <= LEVEL).sum() <= ALLOWED


def test_what_is_so_is_shown_on_enough_cases():
    equal, _ = p_values(1, SHARE, 0.7, 0.0, 600, runs=200)
    _, worse = p_values(2, SHARE, 0.7, -2.0 * MARGIN, 600, runs=200)
    assert (equal <= LEVEL).mean() > 0.95
    assert (worse <= LEVEL).mean() > 0.95
