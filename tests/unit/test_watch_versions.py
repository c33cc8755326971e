"""Canary against stable, read from a store: a worse canary is found, an equal one is not, and gaps are no data."""

from __future__ import annotations

import numpy as np
import pytest

from evalsvc._cli_backtest import report, to_json
from evalsvc.query import EstimateQuery, group_cells
from evalsvc.ruler import backtest
from evalsvc.rules import Rule, Versions
from evalsvc.stats import Question, Side, compare_unpaired
from evalsvc.store.memory import MemoryStore
from evalsvc.types import ScorerSpec, Window
from tests.watched import FAITHFUL, MINUTE, START, at, followed, group_of, look, one, score, stored, told

BROKE, MENDED = at(3), at(5)


def rule_of(direction="fell", **options) -> Rule:
    made = {"window_seconds": 3600.0, "by": ("segments.language",)} | options
    condition = Versions({"model_version": ("v2",)}, {"model_version": ("v1",)}, direction, 0.1)
    return Rule(alert="CanaryWorse", metric="faithful", condition=condition, **made)


@pytest.fixture(scope="module")
def store() -> MemoryStore:
    """Seven hours of two languages and versions at 85 %; for two hours the German canary and all English have 50 %.

    The canary's events are all scored, a third of the others.
    """
    rng = np.random.default_rng(8)
    scores = []
    for minute in range(7 * 60):
        moment = START + minute * MINUTE
        broken = BROKE <= moment < MENDED
        for language in ("de", "en"):
            for version, pi in (("v1", 1 / 3), ("v2", 1.0)):
                fell = broken and (language == "en" or version == "v2")
                scores += [
                    score(
                        moment,
                        float(rng.random() < (0.5 if fell else 0.85)),
                        f"{language}{version}{minute}.{n}",
                        version=version,
                        segments={"language": language},
                        pi=pi,
                    )
                    for n in range(4)
                ]
    return stored(scores)


def test_a_worse_canary_is_told_for_its_group_and_a_fall_of_both_is_not(store) -> None:
    fired, resolved = told(store, rule_of(), at(2), at(7), 900.0)
    assert (fired.labels["language"], fired.after, resolved.after) == ("de", "firing", "resolved")
    assert BROKE + 5 * MINUTE < fired.at <= BROKE + 60 * MINUTE
    assert MENDED < resolved.at <= MENDED + 90 * MINUTE
    seen = fired.observation
    assert seen.estimate.value < seen.baseline.value
    assert seen.reason.startswith("canary - stable is -0.")


def test_quiet_hours_are_never_bad_and_neither_is_the_side_that_is_not_watched(store) -> None:
    quiet = [seen.observation.verdict for _, seen, _, _ in followed(store, rule_of("either"), at(1), BROKE, 480.0)]
    assert (len(quiet), set(quiet) <= {"good", "unclear"}) == (2 * 16, True)
    rose = [seen.observation.verdict for _, seen, _, _ in followed(store, rule_of("rose"), at(4), at(5), 900.0)]
    assert "bad" not in rose


def test_it_is_the_interval_of_the_difference_of_both_processes(store) -> None:
    rule = rule_of(by=())
    window, level = Window(at(3.5), at(4.5)), 2 * 300 / (30 * 86_400)
    sides = []
    for version in ("v1", "v2"):
        query = EstimateQuery("faithful", window, 3600, where={"model_version": (version,)}, target="process")
        (found,) = group_cells(store, query)
        sides.append(Side(found.cells, found.domain.offered, found.domain.rates))
    expected = compare_unpaired(*sides, FAITHFUL.scale, question=Question(level=level))
    reason = one(store, rule, at(4.5) + 2 * MINUTE).observation.reason
    assert reason == (
        f"canary - stable is {expected.difference:.4g} ({expected.low:.4g} … {expected.high:.4g}), held against 0.1"
    )


def test_one_side_alone_is_no_data() -> None:
    for version, missing in (("v1", "canary: no score in the window"), ("v2", "stable: no score in the window by")):
        store = stored([score(START + n / 2 * MINUTE, 0.0, f"e{n}", version=version) for n in range(120)])
        seen = one(store, rule_of(by=()), at(1)).observation
        assert (seen.verdict, seen.reason[: len(missing)]) == ("no_data", missing)
        assert look(store, rule_of(by=()), at(9)) == []


def test_versions_of_a_scorer_are_not_compared_with_each_other() -> None:
    newer = ScorerSpec("faithful", 2, FAITHFUL.scale)
    scores = [score(START + n / 2 * MINUTE, 1.0, f"s{n}", version="v1") for n in range(120)]
    scores += [score(START + n / 2 * MINUTE, 0.0, f"c{n}", version="v2", spec=newer) for n in range(120)]
    seen = one(stored(scores, [FAITHFUL, newer]), rule_of(by=()), at(1)).observation
    assert (seen.verdict, seen.reason) == ("no_data", "stable: no score in the window by the canary's scorer, v2")


def test_a_backtest_makes_the_same_looks(store) -> None:
    rule = rule_of()
    made = backtest(store, group_of(rule, 1800.0), rule, Window(at(2.5), at(7)))
    (page,) = made.pages
    fired, resolved = told(store, rule, at(2.5), at(7), 1800.0)
    assert (page.fired.id, page.resolved.id) == (fired.id, resolved.id)
    said = report(made, group_of(rule, 1800.0)).split("\n\n")
    assert said[1].splitlines()[0].split() == ["fired", "lasted", "consumer", "language", "value", "interval", "stable"]
    assert said[2] == f"{fired.at:%Y-%m-%d %H:%M}  {fired.reason}"
    assert to_json(made)["pages"][0]["reason"] == fired.reason
    assert to_json(made)["planted"] is None
