"""Rulers that lead by turns, and a store that shows late what was written: nothing is lost, and nothing told twice."""

from __future__ import annotations

import time
from datetime import timedelta

import pytest

from alert_memory import START, make_transition, state_after
from alert_scene import HOUR, Refreshed, Scene, reroute, routes, silence
from evalsvc.errors import NotifierUnavailable, StoreUnavailable
from evalsvc.notify import Delivery
from evalsvc.notify.queue import BATCH
from evalsvc.rules.history import Look, Matcher

DAY = 24 * 60.0
MONTH = 30 * DAY


def turn(scene: Scene, delivery: Delivery, *, leads: bool = True) -> None:
    delivery.round(scene.clock.now(), lambda: leads)
    assert delivery.wait(10.0)


@pytest.mark.parametrize("minutes", [5.0, 180.0])
def test_a_ruler_that_leads_again_tells_nothing_that_ended_meanwhile(minutes: float) -> None:
    scene = Scene("a")
    begun = make_transition(1)
    scene.log.add(begun)
    scene.later(MONTH)
    scene.log.record_silence(silence(ends_at=scene.clock.now() + 4 * timedelta(minutes=1)))
    reroute(scene, "a", "b")
    first = scene.delivery
    assert first.counts()["b"].waiting == 1
    scene.clock.advance(60.0)
    scene.log.add(make_transition(1, "resolved", at=scene.clock.now()))
    turn(scene, scene.started())
    scene.clock.advance(60.0 * minutes)
    for _ in range(3):
        scene.clock.advance(120.0)
        turn(scene, first)
    assert scene.notifiers["b"].ids == []
    # A receipt of its beginning may still show up; an hour after its end there is none.
    scene.clock.advance(3600.0)
    turn(scene, first)
    assert scene.notifiers["b"].ids == []
    assert first.counts()["b"].waiting == 0


def test_what_fires_for_longer_than_a_receiver_is_there_is_told_though_it_is_written_after_its_first_turn() -> None:
    scene = Scene("a")
    scene.later(MONTH)
    reroute(scene, "a", "b")
    late = make_transition(1, episode=scene.clock.now() - 3 * HOUR)
    scene.log.add(late)
    for _ in range(61):
        scene.later(1)
    assert scene.notifiers["b"].ids == [late.id]


def test_what_was_written_late_while_another_led_is_told_as_soon_as_a_ruler_leads_again() -> None:
    scene = Scene("a")
    scene.later(MONTH)
    reroute(scene, "a", "b")
    scene.later(1)
    turn(scene, scene.delivery, leads=False)
    fires = make_transition(1, episode=scene.clock.now() - 3 * HOUR)
    late = make_transition(2, episode=scene.clock.now() - timedelta(days=3))
    scene.log.add(fires, late, make_transition(2, "resolved", episode=late.episode))
    scene.later(1)
    assert scene.notifiers["b"].ids == [fires.id]
    assert set(scene.notifiers["a"].ids) == {told.id for told in scene.log.told.values()}


def test_an_older_alert_is_told_once_though_the_store_shows_its_receipt_late() -> None:
    scene = Scene("a")
    scene.log.add(make_transition(1), make_transition(2))
    scene.later(MONTH)
    scene.log.record_receipts = lambda receipts: None
    reroute(scene, "a", "b")
    for _ in range(3):
        scene.later(61)
    assert sorted(scene.notifiers["b"].ids) == sorted(scene.log.told)


def test_what_began_exactly_when_a_receiver_was_there_is_told_though_it_is_over() -> None:
    scene = Scene("a")
    episode = START + timedelta(days=30) - HOUR - timedelta(minutes=1)
    told = [make_transition(1, after, episode) for after in ("firing", "resolved")]
    scene.log.add(*told)
    scene.later(MONTH)
    reroute(scene, "a", "b")
    assert told[0].at == scene.clock.now() - HOUR
    assert scene.notifiers["b"].ids == [one.id for one in told]


def test_who_does_not_lead_tells_and_refreshes_nothing() -> None:
    scene = Scene("a", notifier=Refreshed)
    scene.log.add(make_transition(1))
    scene.later(1)
    scene.log.add(make_transition(2))
    done = len(scene.notifiers["a"].refreshes)
    scene.clock.advance(120.0)
    scene.log.asked.clear()
    turn(scene, scene.delivery, leads=False)
    assert scene.notifiers["a"].ids == [make_transition(1).id]
    assert len(scene.notifiers["a"].refreshes) == done
    assert scene.log.asked == []


@pytest.mark.parametrize("minutes", [5.0, 90.0])
def test_an_end_waits_for_the_receipt_of_its_beginning_however_late_a_replica_shows_it(minutes: float) -> None:
    scene = Scene("a")
    begun = make_transition(1)
    scene.log.add(begun)
    scene.later(1)
    scene.delivery = scene.started()
    asked, scene.log.receipts = scene.log.receipts, lambda ids: []
    end = make_transition(1, "resolved", at=scene.clock.now())
    scene.log.add(end)
    scene.later(1)
    scene.later(minutes)
    assert (scene.notifiers["a"].ids, scene.delivery.counts()["a"].waiting) == ([begun.id], 1)
    scene.log.receipts = asked
    scene.later(1)
    assert scene.notifiers["a"].ids == [begun.id, end.id]


def test_the_end_of_what_fired_before_a_receiver_was_there_waits_for_an_hour_at_most() -> None:
    scene = Scene("a")
    fires, over = (make_transition(n, episode=START - 3 * HOUR) for n in (1, 2))
    scene.log.add(fires)
    scene.later(MONTH)
    reroute(scene, "a", "b")
    scene.delivery = scene.started()
    asked, scene.log.receipts = scene.log.receipts, lambda ids: []
    ends = [make_transition(n, "resolved", episode=fires.episode, at=scene.clock.now()) for n in (1, 2)]
    scene.log.add(over, *ends)
    scene.later(59)
    assert set(scene.log.outcomes("b")) == {fires.id}
    scene.log.receipts = asked
    scene.later(2)
    assert scene.notifiers["b"].ids == [fires.id, ends[0].id]
    assert scene.log.outcomes("b")[ends[1].id] == "not_routed"
    assert scene.delivery.counts()["b"].waiting == 0


def test_an_end_whose_beginning_nobody_remembers_is_not_waited_for_for_ever() -> None:
    scene = Scene("a")
    end = make_transition(1, "resolved", episode=START)
    scene.log.add(end)
    scene.later(61)
    scene.later(61)
    assert scene.log.outcomes("a") == {end.id: "not_routed"}


@pytest.mark.parametrize("ended", [timedelta(minutes=3), timedelta(minutes=-90), timedelta(hours=5)])
def test_a_refresh_says_no_more_that_an_alert_fires_whose_end_is_in_the_log(ended: timedelta) -> None:
    """A person closed it while a look was made, whose state came last; or one of the clocks was wrong."""
    scene = Scene("a", notifier=Refreshed)
    scene.log.add(make_transition(1), make_transition(2))
    scene.later(2)
    # Of a later era: it counts, whatever the times.
    scene.log.record_looks([Look(state_after(make_transition(1), era=1))])
    scene.log.add(make_transition(1, "resolved", at=scene.clock.now() + ended))
    assert [state.phase for state in scene.log.alert_states()] == ["firing", "firing"]
    for _ in range(3):
        scene.later(2)
    assert [firing for firing, _ in refreshes(scene)[-3:]] == [[make_transition(2).id]] * 3


def test_an_alert_that_fires_again_is_refreshed_though_an_earlier_episode_ended() -> None:
    scene = Scene("a", notifier=Refreshed)
    again = make_transition(1, episode=START + timedelta(minutes=1))
    scene.log.add(make_transition(1), make_transition(1, "resolved", at=START + timedelta(minutes=1)), again)
    scene.later(3)
    assert refreshes(scene)[-1][0] == [again.id]


def refreshes(scene: Scene) -> list[tuple[list[str], list[str]]]:
    return scene.notifiers["a"].refreshes


def test_a_receipt_that_the_store_did_not_take_is_written_by_a_ruler_that_does_not_lead_any_more() -> None:
    scene = Scene("a")
    first = scene.delivery
    scene.log.add(make_transition(1))
    scene.log.broken.add("record_receipts")
    scene.later(1)
    turn(scene, first, leads=False)
    assert first.counts()["a"].turns_failed == 2
    scene.log.broken.clear()
    turn(scene, first, leads=False)
    assert list(scene.log.outcomes("a").values()) == ["delivered"]
    turn(scene, scene.started())
    assert scene.notifiers["a"].ids == [make_transition(1).id]


def test_who_does_not_lead_and_tells_nobody_leaves_nobody_out() -> None:
    scene = Scene("a")
    other = Delivery(scene.log, routes(), {}, scene.clock)
    turn(scene, other, leads=False)
    assert scene.log.there == {"a"}
    turn(scene, other)
    assert scene.log.there == set()


def test_receipts_that_show_late_hold_up_no_message_however_many_there_are() -> None:
    scene = Scene("a")
    scene.log.record_silence(silence(matchers=(Matcher("alertname", "A1"),)))
    scene.log.add(*(make_transition(n) for n in range(1, 3 * BATCH)))
    scene.log.record_receipts = lambda receipts: None
    scene.later(1)
    assert len(set(scene.notifiers["a"].ids)) == 3 * BATCH - 2
    scene.log.add(make_transition(0, episode=scene.clock.now()))
    scene.later(2)
    assert scene.notifiers["a"].ids[-1] == make_transition(0, episode=START + timedelta(minutes=1)).id
    assert len(scene.notifiers["a"].ids) == 3 * BATCH - 1
    assert scene.delivery.counts()["a"].waiting == 1


def test_a_receiver_that_a_clock_that_was_ahead_added_forgets_nothing_when_the_ruler_begins_anew() -> None:
    scene = Scene("a")
    scene.log.enrol(["a", "b"], START + 1000 * HOUR)
    reroute(scene, "a", "b")
    scene.notifiers["b"].trouble = lambda _: NotifierUnavailable("down")
    told = [make_transition(1, after, START + timedelta(minutes=10)) for after in ("firing", "resolved")]
    scene.log.add(*told)
    scene.later(15)
    scene.clock.advance(3 * 3600.0)
    scene.notifiers["b"].trouble = lambda _: None
    reroute(scene, "a", "b")
    assert scene.notifiers["b"].ids == scene.notifiers["a"].ids == [one.id for one in told]
    # Whoever was there before stays, and what the log says of both does not change again.
    assert scene.log.enrol(["a", "b"], START)["a"].since == START - HOUR
    assert scene.log.enrol(["a", "b"], START)["b"].since == START - HOUR


def test_receivers_do_not_wait_one_by_one_for_a_store_that_does_not_answer() -> None:
    scene = Scene(*"abcdef")
    asked = []

    def slow(receivers, now):
        asked.append(now)
        time.sleep(0.2)
        raise StoreUnavailable("timed out")

    said, scene.log.enrol = scene.log.enrol, slow
    scene.log.add(make_transition(1))
    scene.delivery = scene.started()
    scene.round()
    assert len(asked) == 1
    assert {counts.turns_failed for counts in scene.delivery.counts().values()} == {1}
    scene.log.enrol = said
    scene.clock.advance(1.0)
    scene.round()
    assert all(len(notifier.ids) == 1 for notifier in scene.notifiers.values())


def test_the_end_of_what_another_ruler_told_of_is_told_though_this_one_saw_no_receipt() -> None:
    scene = Scene("a")
    begun = make_transition(1)
    scene.log.add(begun)
    scene.later(MONTH)
    reroute(scene, "a", "b")
    assert scene.notifiers["b"].ids == [begun.id]
    scene.delivery = scene.started()
    scene.notifiers["b"].trouble = lambda _: NotifierUnavailable("down")
    asked, scene.log.receipts = scene.log.receipts, lambda ids: []
    scene.later(1)
    end = make_transition(1, "resolved", at=scene.clock.now())
    scene.log.add(end)
    scene.notifiers["b"].trouble = lambda _: None
    scene.later(2)
    scene.log.receipts = asked
    scene.later(1)
    assert scene.notifiers["b"].ids == [begun.id, end.id]
    assert scene.log.outcomes("b") == {begun.id: "delivered", end.id: "delivered"}
