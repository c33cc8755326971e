"""Receivers that are added, left out for a month and put back; what is written late; how much is asked of the log."""

from __future__ import annotations

import logging
from datetime import timedelta

import pytest

from alert_memory import START, make_transition
from alert_scene import HOUR, Recorder, Refreshed, Scene, reroute, routes, silence
from evalsvc.errors import NotifierUnavailable
from evalsvc.notify import Delivery
from evalsvc.notify.queue import BATCH, LATE, SWEEP_SECONDS
from evalsvc.rules.history import Matcher
from evalsvc.rules.machine import Example

DAY = 24 * 60.0
MONTH = 30 * DAY


def at(minutes: float):
    return START + timedelta(minutes=minutes)


def test_a_receiver_that_was_left_out_for_a_month_hears_of_what_still_fires_and_of_no_history() -> None:
    scene = Scene("a", "b")
    reroute(scene, "a")
    gone = [make_transition(n, after, at(n * DAY)) for n in range(1, 20) for after in ("firing", "resolved")]
    fires = make_transition(77, episode=at(9 * DAY))
    scene.log.add(*gone, fires)
    scene.later(MONTH)
    assert len(scene.notifiers["a"].sent) == 39
    reroute(scene, "a", "b")
    assert scene.notifiers["b"].ids == [fires.id]
    assert {scene.log.outcomes("b")[told.id] for told in gone} == {"missed"}
    assert scene.log.written[gone[0].id, "b"].detail == "it was over before this receiver was there"
    assert scene.delivery.counts()["b"].missed == 38
    end = make_transition(77, "resolved", episode=at(9 * DAY), at=scene.clock.now())
    scene.log.add(end)
    scene.later(1)
    assert scene.notifiers["b"].ids == [fires.id, end.id]


def test_what_happened_within_the_hour_before_it_came_back_is_told_though_it_is_over() -> None:
    scene = Scene("a", "b")
    reroute(scene, "a")
    told = [make_transition(1, after, at(DAY)) for after in ("firing", "resolved")]
    scene.log.add(*told)
    scene.later(DAY + 30)
    reroute(scene, "a", "b")
    assert scene.notifiers["b"].ids == [one.id for one in told]


def test_the_end_of_what_it_was_told_of_is_told_however_long_it_was_left_out() -> None:
    scene = Scene("a", "b")
    begun, end = make_transition(1), make_transition(1, "resolved")
    scene.log.add(begun)
    scene.round()
    reroute(scene, "a")
    scene.log.add(end)
    scene.later(MONTH)
    reroute(scene, "a", "b")
    assert scene.notifiers["b"].ids == [begun.id, end.id]


def test_a_receiver_that_is_added_hears_of_what_fires_already_and_of_its_end() -> None:
    scene = Scene("a")
    fires, over = make_transition(1), make_transition(2)
    scene.log.add(fires, over, make_transition(2, "resolved"))
    scene.later(MONTH)
    reroute(scene, "a", "b")
    assert scene.notifiers["b"].ids == [fires.id]
    # A ruler that begins anew knows by the receipt.
    reroute(scene, "a", "b")
    end = make_transition(1, "resolved", at=scene.clock.now())
    scene.log.add(end)
    scene.later(1)
    assert scene.notifiers["b"].ids == [fires.id, end.id]
    assert set(scene.log.outcomes("b")) == {fires.id, end.id}


def test_what_fires_already_waits_for_a_silence_and_is_closed_with_it_where_it_ends() -> None:
    scene = Scene("a")
    scene.log.add(make_transition(1), make_transition(2))
    scene.later(MONTH)
    scene.log.record_silence(silence(starts_at=START, ends_at=scene.clock.now() + HOUR))
    reroute(scene, "a", "b")
    scene.log.add(make_transition(1, "resolved", at=scene.clock.now()))
    scene.later(30)
    # The end waits for a receipt of its beginning, which may show late.
    assert (scene.notifiers["b"].ids, scene.delivery.counts()["b"].waiting) == ([], 3)
    scene.later(31)
    assert scene.notifiers["b"].ids == [make_transition(2).id]
    # The firing is of before the receiver was first there, and so needs none.
    assert scene.log.outcomes("b") == {
        make_transition(2).id: "delivered",
        make_transition(1, "resolved").id: "not_routed",
    }
    assert scene.delivery.counts()["b"].waiting == 0


def test_what_another_ruler_has_told_is_not_told_again() -> None:
    scene = Scene("a")
    scene.log.add(make_transition(1))
    scene.later(MONTH)
    scene.log.record_silence(silence(ends_at=scene.clock.now() + HOUR))
    reroute(scene, "a", "b")
    first = scene.delivery
    scene.delivery = scene.started()
    scene.later(61)
    first.round(scene.clock.now())
    assert first.wait(10.0)
    assert scene.notifiers["b"].ids == [make_transition(1).id]


def test_a_store_that_shows_receipts_late_ends_a_turn_though_an_older_alert_waits() -> None:
    scene = Scene("a")
    scene.log.add(make_transition("old"))
    scene.later(MONTH)
    matcher = Matcher("alertname", "Aold")
    scene.log.record_silence(silence(matchers=(matcher,), ends_at=scene.clock.now() + HOUR))
    reroute(scene, "a", "b")
    scene.log.add(*(make_transition(number, episode=scene.clock.now()) for number in range(2 * BATCH)))
    scene.log.record_receipts = lambda receipts: None
    scene.later(2)
    told = scene.notifiers["b"].ids
    assert len(told) == len(set(told)) == 2 * BATCH


@pytest.mark.parametrize("minutes", [10.0, 3 * DAY])
def test_a_receiver_that_is_down_and_a_ruler_that_is_down_lose_nothing(minutes: float) -> None:
    scene = Scene("a")
    scene.notifiers["a"].trouble = lambda _: NotifierUnavailable("down")
    told = [make_transition(n, after, at(n)) for n in (1, 2) for after in ("firing", "resolved")]
    scene.log.add(*told)
    scene.later(15)
    assert scene.delivery.counts()["a"].waiting == 4
    scene.clock.advance(60.0 * minutes)
    scene.notifiers["a"].trouble = lambda _: None
    reroute(scene, "a")
    assert sorted(scene.notifiers["a"].ids) == sorted(one.id for one in told)


def test_a_ruler_without_receivers_leaves_all_out() -> None:
    scene = Scene("a")
    reroute(scene)
    scene.log.add(make_transition(1, episode=at(DAY)), make_transition(1, "resolved", episode=at(DAY)))
    scene.later(MONTH)
    reroute(scene, "a")
    assert scene.notifiers["a"].ids == []
    assert set(scene.log.outcomes("a").values()) == {"missed"}


def test_without_receivers_a_store_that_does_not_answer_is_waited_for(caplog: pytest.LogCaptureFixture) -> None:
    scene = Scene("a")
    scene.log.broken.add("enrol")
    reroute(scene)
    assert "waits for the store" in caplog.text
    assert scene.log.there == {"a"}
    scene.log.broken.clear()
    scene.later(2)
    assert scene.log.there == set()


def test_another_ruler_with_other_routes_is_heard_of() -> None:
    scene = Scene("a")
    Delivery(scene.log, routes("b"), {"b": Recorder()}, scene.clock).round(scene.clock.now())
    scene.later(0.5)
    scene.later(1)
    assert scene.log.there == {"a"}


class Asked:
    """Notes since when a log is asked for what is untold."""

    def __init__(self, scene: Scene) -> None:
        self.since = []
        asked = scene.log.untold

        def untold(receiver, since, limit):
            self.since.append(since)
            return asked(receiver, since, limit)

        scene.log.untold = untold


def test_the_past_is_asked_for_once_an_hour_and_else_the_last_day() -> None:
    scene = Scene("a")
    asked = Asked(scene)
    scene.later(3 * DAY)
    for _ in range(70):
        scene.later(1)
    assert SWEEP_SECONDS == 3600.0
    first = START - HOUR
    whole = [number for number, since in enumerate(asked.since) if since == first]
    # The turns after it was enrolled, and then one an hour.
    assert whole == [0, 60]
    assert all(since >= at(3 * DAY) - LATE for since in asked.since if since != first)


def test_what_is_written_late_is_told_at_once_and_what_is_written_later_still_within_the_hour() -> None:
    scene = Scene("a")
    scene.later(5 * DAY)
    late = make_transition(1, episode=scene.clock.now() - LATE + timedelta(minutes=5))
    later = make_transition(2, episode=scene.clock.now() - 3 * LATE)
    scene.log.add(late, later)
    scene.later(1)
    assert scene.notifiers["a"].ids == [late.id]
    scene.later(60)
    assert scene.notifiers["a"].ids == [late.id, later.id]


def test_what_waits_for_longer_than_a_day_is_not_forgotten() -> None:
    scene = Scene("a")
    scene.log.record_silence(silence(ends_at=START + 72 * HOUR))
    scene.log.add(make_transition(1))
    for _ in range(4):
        scene.later(DAY - 30)
    assert scene.notifiers["a"].ids == [make_transition(1).id]


def test_a_clock_that_was_ahead_hides_nothing_that_happens_after_it_was_set_back() -> None:
    scene = Scene("a")
    scene.delivery.round(START + 1000 * HOUR)
    assert scene.delivery.wait(10.0)
    told = make_transition(1, episode=START)
    scene.log.add(told)
    scene.later(1)
    assert scene.notifiers["a"].ids == [told.id]


def test_a_receiver_that_was_added_by_a_clock_that_was_ahead_is_told_of_what_happens() -> None:
    scene = Scene("a")
    scene.log.enrol(["a", "b"], START + 1000 * HOUR)
    reroute(scene, "a", "b")
    for number in range(3):
        told = [make_transition(number, after, at(90 * number)) for after in ("firing", "resolved")]
        scene.log.add(*told)
        scene.later(90)
        assert scene.notifiers["b"].ids[2 * number :] == [one.id for one in told]
    # What waits for hours is not forgotten, either.
    scene.log.record_silence(silence(ends_at=scene.clock.now() + 5 * HOUR))
    held = make_transition(7, episode=scene.clock.now())
    scene.log.add(held)
    for _ in range(4):
        scene.later(90)
    assert scene.notifiers["b"].ids[-1] == held.id


@pytest.mark.parametrize("alerts", [1, 50])
def test_a_refresh_asks_the_log_as_often_for_many_alerts_as_for_one(alerts: int) -> None:
    scene = Scene("a", notifier=Refreshed)
    asked: list[int] = []

    def texts(ids):
        asked.append(len(ids))
        return dict.fromkeys(ids, "masked")

    scene.delivery = Delivery(scene.log, scene.routes, scene.notifiers, scene.clock, texts=texts)
    scene.log.add(*(make_transition(n, examples=(Example(f"e{n}", 0.25),)) for n in range(alerts)))
    scene.round()
    scene.later(0.5)
    scene.log.asked.clear()
    asked.clear()
    scene.later(1)
    assert len(scene.notifiers["a"].refreshes[-1][0]) == alerts
    assert asked == [alerts]
    # Once since when it is there and what is to be told, and then what fires, how it began, what ended, who was told.
    expected = ["enrol", "untold", "alert_states", "transitions", "transitions", "receipts"]
    assert scene.log.asked == expected


def test_a_receiver_that_answers_again_is_said_to(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO, logger="evalsvc.notify")
    scene = Scene("a")
    scene.notifiers["a"].trouble = lambda _: NotifierUnavailable("down")
    scene.log.add(make_transition(1), make_transition(2), make_transition(3))
    for _ in range(7):
        scene.later(2)
    scene.notifiers["a"].trouble = lambda _: None
    scene.later(2)
    said = [record.getMessage() for record in caplog.records if "again" in record.getMessage()]
    assert said == ["a answers again after 14 min, 3 messages waited"]
    scene.log.add(make_transition(4))
    scene.later(1)
    assert caplog.text.count("answers again") == 1


def test_a_refresh_that_is_taken_ends_the_trouble_of_one_that_was_not() -> None:
    scene = Scene("a", notifier=Refreshed)
    scene.log.add(make_transition(1))
    scene.round()
    notifier, taken = scene.notifiers["a"], scene.notifiers["a"].refresh

    def fail(firing, resolved):
        raise NotifierUnavailable("down")

    notifier.refresh = fail
    scene.later(2)
    assert scene.delivery.counts()["a"].trouble == "down"
    notifier.refresh = taken
    scene.later(2)
    assert scene.delivery.counts()["a"].trouble == ""
