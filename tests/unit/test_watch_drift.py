"""Drift read from a store: a planted move is found and named, quiet hours stay quiet, what is new is no data."""

from __future__ import annotations

import sys

import numpy as np
import pytest

from evalsvc.drift_query import DriftQuery, drifts
from evalsvc.ruler import backtest, kinds
from evalsvc.ruler.kinds import drift
from evalsvc.rules import Drift, Rule
from evalsvc.store.memory import MemoryStore
from evalsvc.types import Scale, ScorerSpec, Window
from tests.watched import MINUTE, START, at, followed, group_of, look, one, score, stored, told

DAY = 86_400.0
RELEVANCE = ScorerSpec("relevance", 1, Scale(0.0, 1.0, "higher"))
MOVED = at(40)


def rule_of(**options) -> Rule:
    condition = options.pop("condition", Drift(DAY))
    return Rule(alert="Moved", metric="relevance", condition=condition, **{"window_seconds": 21_600.0, **options})


@pytest.fixture(scope="module")
def store() -> MemoryStore:
    """Three days of two consumers, a score every four minutes; from an hour on those of the first are lower."""
    rng = np.random.default_rng(9)
    scores = []
    for minute in range(0, 72 * 60, 4):
        moment = START + minute * MINUTE
        for consumer in ("quality", "other"):
            value = rng.beta(4, 4) if consumer == "quality" and moment >= MOVED else rng.beta(8, 2)
            scores.append(score(moment, float(value), f"{minute}", spec=RELEVANCE, consumer=consumer))
    return stored(scores, [RELEVANCE])


def test_a_move_is_told_for_its_consumer_with_what_moved(store) -> None:
    found = told(store, rule_of(), at(31), at(60), 3600.0)
    assert [(one.labels["consumer"], one.after) for one in found] == [("quality", "firing")]
    (fired,) = found
    assert MOVED < fired.at <= at(49)
    assert fired.reason.startswith("values: mean 0.")
    assert ", matters from 0.1, adjusted p " in fired.reason
    estimate = fired.observation.estimate
    assert (estimate.statistic, estimate.value > 0.5) == ("wasserstein", True)
    rule = rule_of()
    (page,) = backtest(store, group_of(rule, 3600.0), rule, Window(at(31), at(50))).pages
    assert page.fired.id == fired.id


def test_it_is_over_when_the_baseline_holds_the_change(store) -> None:
    last = [
        seen for _, seen, _, _ in followed(store, rule_of(), at(72.1), at(73), 3600.0) if seen.consumer == "quality"
    ]
    assert {seen.observation.verdict for seen in last} <= {"good", "unclear"}


def test_quiet_hours_are_never_bad(store) -> None:
    verdicts = [seen.observation.verdict for _, seen, _, _ in followed(store, rule_of(), at(31), MOVED, 3600.0)]
    assert (len(verdicts), set(verdicts) <= {"good", "unclear"}) == (20, True)


def test_effects_are_those_of_drift_at_the_budgets_confidence(store) -> None:
    # All looks at one window are one.
    error = 21_600.0 / (30 * DAY)
    seen = one(store, rule_of(where={"consumer": ("quality",)}), at(44.5), 60.0).observation
    query = DriftQuery(
        Window(at(12), at(36)), Window(at(36), at(42)), ("relevance",), {"consumer": ("quality",)}, 1.0 - 2.0 * error
    )
    test = next(row.tests[0] for row in drifts(store, query) if row.watched == "values")
    estimate = seen.estimate
    assert (estimate.value, estimate.low, estimate.high) == (test.effect, test.low, test.high)
    assert estimate.confidence == 1.0 - 2.0 * error
    assert seen.window == Window(at(36), at(42))


def test_what_matters_is_the_rules(store) -> None:
    rule = rule_of(condition=Drift(DAY, {"wasserstein": 5.0}), where={"consumer": ("quality",)})
    assert one(store, rule, at(50)).observation.verdict == "good"
    assert one(store, rule_of(where=rule.where), at(50)).observation.verdict == "bad"


def test_a_scorer_that_begins_to_fail_has_moved() -> None:
    rng = np.random.default_rng(2)
    scores = []
    for minute in range(0, 36 * 60, 2):
        fails = minute >= 30 * 60 and rng.random() < 0.5
        value = None if fails else float(rng.beta(8, 2))
        scores.append(score(START + minute * MINUTE, value, f"{minute}", spec=RELEVANCE))
    seen = one(stored(scores, [RELEVANCE]), rule_of(), at(36) + 3 * MINUTE).observation
    assert (seen.verdict, seen.reason[:14]) == ("bad", "missing: 0.0% ")


def test_without_a_baseline_or_with_too_little_there_is_no_data(store) -> None:
    newer = ScorerSpec("relevance", 2, RELEVANCE.scale)
    rng = np.random.default_rng(1)
    scores = [
        score(START + n * MINUTE, float(rng.random()), f"{n}", spec=newer if n >= 1800 else RELEVANCE)
        for n in range(0, 2160, 4)
    ]
    seen = one(stored(scores, [RELEVANCE, newer]), rule_of(), at(36) + 3 * MINUTE).observation
    assert (seen.verdict, seen.reason) == ("no_data", "this version of the scorer has no scores in the baseline")
    seen = one(store, rule_of(min_effective_n=1000.0, where={"consumer": ("other",)}), at(50)).observation
    assert (seen.verdict, seen.reason) == ("no_data", "too few scores in one of the windows")
    assert look(store, rule_of(), at(90)) == []


def test_a_backtest_looks_once_at_each_window_and_finds_what_every_look_finds(store, monkeypatch) -> None:
    rule, span = rule_of(), Window(at(31), at(50))
    once = backtest(store, group_of(rule, 1800.0), rule, span)
    looked = []
    watch = drift.watch
    monkeypatch.setitem(kinds.WATCHES, Drift, lambda *asked: looked.append(asked) or watch(*asked))
    assert backtest(store, group_of(rule, 1800.0), rule, span) == once
    windows, looks = len(looked), once.looks
    monkeypatch.setattr(sys.modules[backtest.__module__], "_window_end", lambda rule, group, now: now)
    assert backtest(store, group_of(rule, 1800.0), rule, span) == once
    assert windows < len(looked) - windows <= looks
