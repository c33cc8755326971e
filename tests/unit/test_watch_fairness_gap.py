"""Fairness gaps read from a store: a planted gap is found, equal groups stay quiet however many, gaps are no data."""

from __future__ import annotations

import numpy as np
import pytest

from evalsvc.fairness import gap, group_of_cells
from evalsvc.query import EstimateQuery, group_cells
from evalsvc.ruler import backtest
from evalsvc.rules import FairnessGap, Rule
from evalsvc.store.memory import MemoryStore
from evalsvc.types import ScorerSpec, Window
from tests.watched import FAITHFUL, MINUTE, START, at, followed, group_of, look, one, score, stored, told

BROKE, MENDED = at(3), at(5)
LANGUAGES = ("de", "en", "es", "fr", "it", "pt")


def rule_of(field="segments.language", limit=0.1, **options) -> Rule:
    made = {"window_seconds": 3600.0, "by": ("model_version",)} | options
    return Rule(alert="Apart", metric="faithful", condition=FairnessGap(field, limit), **made)


@pytest.fixture(scope="module")
def store() -> MemoryStore:
    """Eight hours of two versions and six languages at 85 %; Italian has 20 % in the second version for two hours."""
    rng = np.random.default_rng(21)
    scores = []
    for minute in range(8 * 60):
        moment = START + minute * MINUTE
        for version in ("1", "2"):
            for language in LANGUAGES:
                broken = version == "2" and language == "it" and BROKE <= moment < MENDED
                value = float(rng.random() < (0.2 if broken else 0.85))
                name = f"{version}{language}{minute}"
                scores += [
                    score(moment, value, name, version=version, segments={"language": language}),
                    score(moment, float(rng.random() < 0.85), f"{name}.", version=version, segments={"language": "en"}),
                ][: 2 if language == "en" else 1]
    return stored(scores)


def test_a_group_that_falls_is_told_with_its_name_and_is_over_when_it_is(store) -> None:
    fired, resolved = told(store, rule_of(window_seconds=5400.0), at(2), at(8), 900.0)
    assert (fired.labels["model_version"], fired.after, resolved.after) == ("2", "firing", "resolved")
    assert BROKE < fired.at <= MENDED
    assert MENDED < resolved.at <= MENDED + 120 * MINUTE
    assert " in it are " in fired.reason
    assert fired.reason.endswith("held against 0.1; the interval holds for all pairs of 6 groups")
    rule = rule_of(window_seconds=5400.0)
    (page,) = backtest(store, group_of(rule, 900.0), rule, Window(at(2), at(8))).pages
    assert (page.fired.id, page.resolved.id) == (fired.id, resolved.id)


def test_equal_groups_are_never_bad_however_many(store) -> None:
    verdicts = [seen.observation.verdict for _, seen, _, _ in followed(store, rule_of(limit=0.0), at(1), BROKE)]
    assert (len(verdicts), "bad" in verdicts, "no_data" in verdicts) == (2 * 25, False, False)


def test_it_is_the_joint_interval_of_all_pairs_at_the_budgets_confidence(store) -> None:
    confidence = 1 - 300 / (30 * 86_400)
    query = EstimateQuery("faithful", Window(at(1), at(2)), 3600, by=("segments.language",), target="process")
    groups = [
        group_of_cells(
            found.group.key["segments.language"],
            found.cells,
            FAITHFUL.scale,
            offered=found.domain.offered,
            rates=found.domain.rates,
            untaken=found.domain.untaken,
        )
        for found in group_cells(store, query)
    ]
    expected = gap(groups, confidence=confidence)
    seen = one(store, rule_of(by=()), at(2) + 2 * MINUTE).observation.estimate
    assert (seen.value, seen.low, seen.high, seen.confidence) == (
        expected.value,
        expected.low,
        expected.high,
        confidence,
    )
    assert seen.n == 14 * 60


def test_one_group_or_a_field_that_nothing_has_is_no_data(store) -> None:
    seen = one(store, rule_of("segments.langauge", by=()), at(2)).observation
    assert (seen.verdict, seen.reason) == (
        "no_data",
        "no scored event of the window has segments.langauge; is it spelt so?",
    )
    seen = one(store, rule_of(by=(), min_effective_n=200.0), at(2)).observation
    assert (seen.verdict, seen.reason) == (
        "no_data",
        "6 groups of segments.language, and fewer than two have enough scores to compare",
    )
    assert look(store, rule_of(), at(12)) == []


def test_versions_of_a_scorer_are_not_groups_of_one_comparison() -> None:
    newer = ScorerSpec("faithful", 2, FAITHFUL.scale)
    scores = []
    for n in range(240):
        moment = START + n / 4 * MINUTE
        scores.append(score(moment, 1.0, f"a{n}", segments={"language": "de"}))
        scores.append(score(moment, 0.0, f"b{n}", segments={"language": "en"}, spec=newer))
    seen = one(stored(scores, [FAITHFUL, newer]), rule_of(by=()), at(1) + 2 * MINUTE).observation
    assert (seen.verdict, seen.estimate.n) == ("no_data", 240)
