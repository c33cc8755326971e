"""Burn rates read from a store: a planted fault is found for its group, quiet hours stay quiet, gaps are no data."""

from __future__ import annotations

from datetime import timedelta

import numpy as np
import pytest

from evalsvc.errors import StoreUnavailable, UnknownMetric
from evalsvc.ruler import backtest
from evalsvc.ruler.kinds import WATCHES, unseen, watch_of
from evalsvc.ruler.looks import start_of
from evalsvc.rules import BurnRate, Change, Rule, Threshold
from evalsvc.store.memory import MemoryStore
from evalsvc.types import ScorerSpec, Window
from tests.watched import FAITHFUL, MINUTE, START, at, followed, group_of, look, one, score, stored, told

BROKE, MENDED = at(4), at(5)


def rule_of(**options) -> Rule:
    made = {
        "by": ("segments.language",),
        "window_seconds": 3600.0,
        "condition": BurnRate(0.9, 2.0, 600.0, "higher"),
    } | options
    return Rule(alert="Burns", metric="faithful", **made)


@pytest.fixture(scope="module")
def store() -> MemoryStore:
    """Eight hours of two languages, four answers a minute each, 8 % of them bad; German 60 % for an hour."""
    rng = np.random.default_rng(5)
    scores = []
    for minute in range(8 * 60):
        moment = START + minute * MINUTE
        for language in ("de", "en"):
            bad = 0.6 if language == "de" and BROKE <= moment < MENDED else 0.08
            scores += [
                score(moment, float(rng.random() >= bad), f"{language}{minute}.{n}", segments={"language": language})
                for n in range(4)
            ]
    return stored(scores)


def test_a_planted_fault_is_told_once_for_its_group_and_is_over_when_it_is(store) -> None:
    fired, resolved = told(store, rule_of(), at(1), at(8))
    assert (fired.labels["language"], fired.after, resolved.after) == ("de", "firing", "resolved")
    # The long window has to burn as well, so that it takes longer than the short one alone.
    assert BROKE + 10 * MINUTE < fired.at <= BROKE + 50 * MINUTE
    # The long window still holds the bad hour; the short one says that it is over.
    assert MENDED < resolved.at <= MENDED + 30 * MINUTE
    assert "held against 0.2: 2 times the 0.1 that the objective allows" in fired.reason
    assert fired.observation is not None
    assert fired.observation.estimate is not None
    assert fired.observation.estimate.low > 0.2


def test_quiet_hours_are_never_bad(store) -> None:
    looks = [seen.observation.verdict for _, seen, _, _ in followed(store, rule_of(), at(1), BROKE, 120.0)]
    assert len(looks) == 2 * 91
    assert set(looks) <= {"good", "unclear"}
    assert looks.count("good") > 0.8 * len(looks)


def test_the_budget_widens_the_interval_with_the_number_of_alerts_and_looks(store) -> None:
    now = at(3)
    split, whole = look(store, rule_of(), now), one(store, rule_of(by=()), now)
    confidence = [seen.observation.estimate.confidence for seen in split]
    assert confidence == pytest.approx([1 - 2 * 300 / (30 * 86_400 * 2)] * 2)
    assert whole.observation.estimate.confidence == pytest.approx(1 - 2 * 300 / (30 * 86_400))


def test_a_short_window_without_scores_is_no_data_and_a_long_one_makes_no_alert() -> None:
    store = stored([score(START + n * MINUTE, 0.0, f"e{n}") for n in range(50)])
    seen = one(store, rule_of(by=()), at(1) + 2 * MINUTE)
    assert (seen.observation.verdict, seen.observation.reason) == ("no_data", "in the last 10m: no score in the window")
    assert look(store, rule_of(by=()), at(5)) == []


def test_versions_of_a_scorer_are_not_pooled_and_the_newest_decides() -> None:
    newer = ScorerSpec("faithful", 2, FAITHFUL.scale)
    scores = [score(START + n / 4 * MINUTE, 0.0, f"e{n}") for n in range(240)]
    # The new version sees only the last minutes' answers, all of them good.
    scores += [score(at(1) - (20 - n / 4) * MINUTE, 1.0, f"e{n}", spec=newer) for n in range(80)]
    store = stored(scores, [FAITHFUL, newer])
    seen = one(store, rule_of(by=()), at(1) + 2 * MINUTE)
    assert (seen.observation.verdict, seen.observation.estimate.n) == ("good", 80)
    # Before it began the old one decides.
    seen = one(store, rule_of(by=()), at(0.5) + 2 * MINUTE)
    assert (seen.observation.verdict, seen.observation.estimate.value) == ("bad", 1.0)


def test_turns_of_a_session_are_not_taken_for_as_many_answers() -> None:
    scores = [
        score(at(1) - (59 - session % 60) * MINUTE, float(session % 4 > 0), f"{session}.{turn}", session=f"s{session}")
        for session in range(120)
        for turn in range(10)
    ]
    alone = stored([replace_session(found) for found in scores])
    sessions = stored(scores)
    widths = []
    for store in (alone, sessions):
        estimate = one(store, rule_of(by=()), at(1) + 3 * MINUTE).observation.estimate
        widths.append(estimate.high - estimate.low)
    assert widths[1] > 2.5 * widths[0]


def replace_session(found):
    from msgspec.structs import replace

    return replace(found, subject=replace(found.subject, session_id=""))


def test_errors_of_the_store_are_the_callers() -> None:
    class Broken(MemoryStore):
        def cells(self, query):
            raise StoreUnavailable("it is down")

    store = Broken()
    store.record_scorers([FAITHFUL])
    with pytest.raises(StoreUnavailable):
        look(store, rule_of(), at(1))
    with pytest.raises(UnknownMetric):
        look(MemoryStore(), rule_of(), at(1))


def test_rules_that_are_followed_by_the_minute_have_no_watch() -> None:
    assert watch_of(rule_of(condition=Threshold("below", 0.8, 0.8))) is None
    assert watch_of(rule_of(condition=Change("fell", 0.0, 86_400.0))) is None
    assert watch_of(rule_of()) is WATCHES[BurnRate]
    assert watch_of(rule_of(condition=Threshold("above", 0.8, 0.8, "p95"))) is not None


def test_a_backtest_makes_the_same_looks_and_plants_nothing(store) -> None:
    rule = rule_of()
    found = backtest(store, group_of(rule), rule, Window(at(3), at(7)))
    assert (found.alerts, found.looks, found.plants) == (2, 2 * 49, None)
    (page,) = found.pages
    fired, resolved = told(store, rule, at(3), at(7))
    assert (page.fired.id, page.resolved.id) == (fired.id, resolved.id)
    still_open = backtest(store, group_of(rule), rule, Window(at(3), BROKE + timedelta(minutes=55)))
    assert [page.resolved for page in still_open.pages] == [None]


def test_an_alert_of_which_nothing_is_left_has_no_data_and_goes_on() -> None:
    scores = [score(START + n / 4 * MINUTE, 0.0, f"e{n}") for n in range(240)]
    rule = rule_of(by=(), no_data="keep")
    made = backtest(stored(scores), group_of(rule), rule, Window(at(0.5), at(4)))
    (page,) = made.pages
    assert (page.resolved, made.looks) == (None, 43)
    # From the hour on the short window is empty, and later the long one.
    assert made.no_data >= 3 * 12 - 2
    start = start_of(rule, "quality", {})
    (found,) = unseen(rule, group_of(rule), at(4), [], [start])
    assert (found.consumer, found.observation.verdict) == ("quality", "no_data")
    assert unseen(rule, group_of(rule), at(4), [found], [start]) == []
