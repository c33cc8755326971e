"""Absence read from a store: events and scores that stop, scorers that fail, and what was never there."""

from __future__ import annotations

import pytest

from evalsvc._cli_backtest import report
from evalsvc.errors import StoreUnavailable
from evalsvc.ruler import backtest
from evalsvc.rules import Absence, Rule
from evalsvc.rules.values import alert_labels
from evalsvc.store.memory import MemoryStore
from evalsvc.types import ScorerSpec, Window
from tests.watched import FAITHFUL, MINUTE, START, at, followed, group_of, look, offer, one, score, stored, told

STOPPED, BACK = at(3), at(5)
EVENTS, SCORES = Absence("events"), Absence("scores")


def rule_of(condition, **options) -> Rule:
    metric = "" if condition.of == "events" else "faithful"
    return Rule(alert="Gone", metric=metric, condition=condition, **{"window_seconds": 1200.0, **options})


@pytest.fixture(scope="module")
def store() -> MemoryStore:
    """Seven hours of two languages; German scores stop for two hours, and so do all events of a second consumer."""
    scores = []
    for minute in range(7 * 60):
        moment = START + minute * MINUTE
        for language in ("de", "en"):
            if language == "en" or not STOPPED <= moment < BACK:
                scores.append(score(moment, 1.0, f"{language}{minute}", segments={"language": language}))
    store = stored(scores)
    offer(store, "quality", dict.fromkeys(range(7 * 60), 20))
    offer(store, "other", {minute: 5 for minute in range(7 * 60) if not 180 <= minute < 300})
    return store


def test_a_consumer_whose_events_stop_is_told_and_is_over_when_they_come_again(store) -> None:
    fired, resolved = told(store, rule_of(EVENTS), at(1), at(7))
    assert (fired.labels["consumer"], fired.after, resolved.after) == ("other", "firing", "resolved")
    assert "metric" not in fired.labels
    assert STOPPED + 20 * MINUTE <= fired.at <= STOPPED + 30 * MINUTE
    assert BACK < resolved.at <= BACK + 20 * MINUTE
    assert fired.reason == "no event in 20m; 900 in the 7d to then"


def test_a_group_without_scores_is_told_though_its_events_come(store) -> None:
    fired, resolved = told(store, rule_of(SCORES, by=("segments.language",)), at(1), at(7))
    assert (fired.labels["language"], fired.after, resolved.after) == ("de", "firing", "resolved")
    assert fired.reason.startswith("no score in 20m, though 400 events came; ")
    assert told(store, rule_of(SCORES), at(1), at(7)) == []


def test_quiet_hours_are_good(store) -> None:
    for rule in (rule_of(EVENTS), rule_of(SCORES, by=("segments.language",))):
        looks = [seen.observation.verdict for _, seen, _, _ in followed(store, rule, at(1), STOPPED)]
        assert looks == ["good"] * 2 * 25


def test_what_was_never_seen_is_no_alert_unless_where_names_it(store) -> None:
    before = START - 60 * MINUTE
    assert look(store, rule_of(EVENTS), before) == []
    assert look(store, rule_of(SCORES), before) == []
    named = one(store, rule_of(EVENTS, where={"consumer": ("thrid",)}), at(2))
    assert (named.consumer, named.observation.verdict) == ("thrid", "bad")
    where = {"consumer": ("quality",), "segments.language": ("de", "fr")}
    seen = look(store, rule_of(SCORES, where=where, by=("segments.language",)), at(2))
    assert [(found.key["segments.language"], found.observation.verdict) for found in seen] == [
        ("de", "good"),
        ("fr", "bad"),
    ]
    # Which languages there are is not said, so that none is missed.
    assert look(store, rule_of(SCORES, where={"consumer": ("thrid",)}, by=("segments.language",)), at(2)) == []


def test_after_the_look_back_nothing_is_expected(store) -> None:
    short = Absence("events", 0.0, 3600.0)
    seen = look(store, rule_of(short), at(4.5))
    assert [found.consumer for found in seen] == ["quality"]


def test_a_metric_that_was_never_measured_is_absent_where_it_is_named() -> None:
    seen = one(MemoryStore(), rule_of(SCORES, where={"consumer": ("quality",)}), at(1))
    assert (seen.observation.verdict, seen.observation.reason[:31]) == ("bad", "no score in 20m, and no event e")
    assert look(MemoryStore(), rule_of(SCORES), at(1)) == []


def test_scores_without_a_value_are_no_scores() -> None:
    store = stored([score(START + n * MINUTE, None, f"e{n}") for n in range(60)])
    rule = rule_of(SCORES, where={"consumer": ("quality",)})
    assert one(store, rule, at(1)).observation.verdict == "bad"


def test_a_scorer_that_fails_or_abstains_too_often_is_told() -> None:
    newer = ScorerSpec("faithful", 2, FAITHFUL.scale)
    scores = [score(START + n * MINUTE, 1.0, f"e{n}") for n in range(60)]
    scores += [score(START + (60 + n) * MINUTE, None if n % 2 else 1.0, f"f{n}", spec=newer) for n in range(60)]
    scores += [
        score(START + (120 + n) * MINUTE, None if n % 4 else 1.0, f"g{n}", spec=newer, status="abstained")
        for n in range(60)
    ]
    store = stored(scores, [FAITHFUL, newer])
    failures, abstentions = (rule_of(Absence(of, 0.3), window_seconds=3600.0) for of in ("failures", "abstentions"))
    assert one(store, failures, at(1)).observation.verdict == "good"
    # Half an hour of each version: the newest alone counts, all of them together would be within the limit.
    half = one(store, failures, at(1.5) + 2 * MINUTE).observation
    assert (half.verdict, half.reason[:36]) == ("bad", "the scorer failed on 15 of 30 events")
    assert one(store, abstentions, at(2)).observation.verdict == "good"
    assert one(store, failures, at(3) + 2 * MINUTE).observation.verdict == "good"
    last = one(store, abstentions, at(3) + 2 * MINUTE).observation
    assert (last.verdict, last.estimate.value) == ("bad", 0.75)
    assert look(store, failures, at(9)) == []


def test_an_error_of_the_store_is_no_absence() -> None:
    class Broken(MemoryStore):
        def offered(self, window, step_seconds, consumer=None):
            raise StoreUnavailable("it is down")

    for condition in (EVENTS, SCORES):
        with pytest.raises(StoreUnavailable):
            look(Broken(), rule_of(condition, where={"consumer": ("quality",)}), at(1))


def test_a_backtest_counts_pages_without_a_budget(store) -> None:
    rule = rule_of(EVENTS)
    group = group_of(rule)
    made = backtest(store, group, rule, Window(at(1), at(7)))
    assert [page.fired.labels["consumer"] for page in made.pages] == ["other"]
    said = report(made, group)
    assert "It counts, and has no budget of false ones." in said
    assert said.endswith(
        "Changes are planted for changes and for thresholds of means only: other rules read the store at each look."
    )
    nothing = report(backtest(MemoryStore(), group, rule, Window(at(1), at(2))), group)
    assert nothing.startswith("Gone: no events match;")


def test_a_rule_without_a_metric_has_no_such_label() -> None:
    assert alert_labels(rule_of(EVENTS), {}, "q") == {"alertname": "Gone", "severity": "page", "consumer": "q"}
