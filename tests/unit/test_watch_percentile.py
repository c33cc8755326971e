"""Thresholds of percentiles read from a store's histograms, live and in a backtest."""

from __future__ import annotations

import numpy as np
import pytest

from evalsvc.query import EstimateQuery, estimates
from evalsvc.ruler import backtest
from evalsvc.rules import Rule, Threshold
from evalsvc.store.memory import MemoryStore
from evalsvc.types import Scale, ScorerSpec, Window
from tests.watched import MINUTE, START, at, followed, group_of, look, one, score, stored, told

LATENCY = ScorerSpec("latency_ms", 1, Scale(0.0, None, "lower", "ms"))
SLOWED, MENDED = at(3), at(4)


def rule_of(**options) -> Rule:
    made = {"window_seconds": 1800.0, "by": ("model_version",)} | options
    condition = Threshold("above", 3000.0, 2500.0, "p95")
    return Rule(alert="Slow", metric="latency_ms", condition=condition, **made)


@pytest.fixture(scope="module")
def store() -> MemoryStore:
    """Six hours of two versions with 95th percentiles of 2 s; the second one is three times as slow for an hour."""
    rng = np.random.default_rng(3)
    scores = []
    for minute in range(6 * 60):
        moment = START + minute * MINUTE
        for version in ("1", "2"):
            scale = 3.0 if version == "2" and SLOWED <= moment < MENDED else 1.0
            scores += [
                score(moment, float(scale * value), f"{version}.{minute}.{n}", spec=LATENCY, version=version)
                for n, value in enumerate(np.exp(rng.normal(6.0, 0.97, 6)))
            ]
    return stored(scores, [LATENCY])


def test_a_slow_hour_is_told_for_its_version_and_is_over_when_it_is(store) -> None:
    fired, resolved = told(store, rule_of(), at(1), at(6))
    assert (fired.labels["model_version"], fired.after, resolved.after) == ("2", "firing", "resolved")
    assert SLOWED < fired.at <= SLOWED + 30 * MINUTE
    assert MENDED < resolved.at <= MENDED + 45 * MINUTE
    assert fired.observation is not None
    assert (fired.observation.estimate.statistic, fired.observation.estimate.low > 3000.0) == ("p95", True)
    rule = rule_of()
    (page,) = backtest(store, group_of(rule), rule, Window(at(1), at(6))).pages
    assert (page.fired.id, page.resolved.id) == (fired.id, resolved.id)


def test_quiet_hours_are_never_bad(store) -> None:
    verdicts = {seen.observation.verdict for _, seen, _, _ in followed(store, rule_of(), at(1), SLOWED)}
    assert verdicts <= {"good", "unclear"}


def test_it_is_the_processes_percentile_at_the_budgets_confidence(store) -> None:
    rule = rule_of(by=())
    now = at(2) + 2 * MINUTE
    window = Window(at(1.5), at(2))
    confidence = 1 - 2 * 300 / (30 * 86_400)
    query = EstimateQuery("latency_ms", window, 1800, statistic="p95", confidence=confidence, target="process")
    (expected,) = estimates(store, query)
    assert one(store, rule, now).observation.estimate == expected.estimate


def test_another_version_of_the_scorer_is_not_looked_at_beside_the_newest() -> None:
    newer = ScorerSpec("latency_ms", 2, LATENCY.scale)
    scores = [score(START + n / 4 * MINUTE, 9000.0 + n, f"e{n}", spec=LATENCY) for n in range(200)]
    scores += [score(START + (10 + n / 4) * MINUTE, 100.0 + n, f"e{n}", spec=newer) for n in range(200)]
    seen = one(stored(scores, [LATENCY, newer]), rule_of(by=(), window_seconds=3600.0), at(1) + 2 * MINUTE)
    assert (seen.observation.verdict, seen.observation.estimate.n) == ("good", 200)


def test_nothing_to_look_at_is_no_alert_and_too_little_is_no_data(store) -> None:
    assert look(store, rule_of(), at(9)) == []
    seen = one(store, rule_of(by=(), min_effective_n=1e6), at(2))
    assert (seen.observation.verdict, seen.observation.reason[:14]) == ("no_data", "effective n is")
