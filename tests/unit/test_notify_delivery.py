"""The outbox on a clock under control: order, outages, silences, crashes, refreshes, and what is counted."""

from __future__ import annotations

import threading
from datetime import timedelta

import pytest

from alert_memory import START, MemoryLog, make_transition
from alert_scene import HOUR, Recorder, Refreshed, Scene, routes, silence
from evalsvc.errors import InputError, NotifierRefused, NotifierUnavailable
from evalsvc.notify import NOBODY, Delivery, Message, Route
from evalsvc.notify.backoff import FIRST_SECONDS, MOST_ASKED_SECONDS, MOST_SECONDS, Backoff
from evalsvc.notify.queue import BATCH, MAX_UNEXPECTED
from evalsvc.rules.history import AlertLog, Matcher
from evalsvc.rules.machine import Example


def test_the_memory_is_a_log() -> None:
    assert isinstance(MemoryLog(), AlertLog)


def test_what_is_untold_is_told_once_to_each_in_order_with_its_receipt() -> None:
    scene = Scene("a", "b")
    first, second, end = make_transition(1), make_transition(2), make_transition(1, "resolved")
    scene.log.add(end, second, first)
    for _ in range(3):
        scene.round()
    expected = [*sorted([first, second], key=lambda told: told.id), end]
    for name in ("a", "b"):
        assert scene.notifiers[name].ids == [told.id for told in expected]
        receipt = scene.log.written[first.id, name]
        assert (receipt.outcome, receipt.attempts, receipt.detail, receipt.at) == ("delivered", 1, "taken", START)
        counts = scene.delivery.counts()[name]
        assert (counts.sent, counts.waiting, counts.oldest_at, counts.last_success) == (3, 0, None, START)


def test_what_happened_before_a_receiver_was_there_is_not_its_own() -> None:
    scene = Scene("a")
    before = START - HOUR - timedelta(minutes=5)
    scene.log.add(make_transition(1, episode=START - 2 * HOUR), make_transition(2, episode=before))
    # Its firing was before, its end is after.
    scene.log.add(make_transition(2, "resolved", episode=before))
    scene.later(10)
    assert scene.notifiers["a"].sent == []
    assert set(scene.log.outcomes("a").values()) == {"not_routed"}


def test_who_is_not_routed_gets_a_receipt_and_nothing_else() -> None:
    given = routes("a", "b", default=("a",), routes=(Route(matchers=(Matcher("alertname", "A2"),), to=(NOBODY,)),))
    scene = Scene(given=given)
    told, nobodys = make_transition(1), make_transition(2)
    scene.log.add(told, nobodys, make_transition(2, "resolved"))
    scene.round()
    assert scene.notifiers["a"].ids == [told.id]
    assert scene.notifiers["b"].calls == 0
    assert scene.log.outcomes("b")[told.id] == scene.log.outcomes("a")[nobodys.id] == "not_routed"
    assert (scene.delivery.counts()["a"].not_routed, scene.delivery.counts()["b"].not_routed) == (2, 3)


def test_ten_minutes_of_outage_lose_nothing_and_keep_the_order() -> None:
    scene = Scene("a")
    end = START + timedelta(minutes=10)
    scene.notifiers["a"].trouble = lambda _: NotifierUnavailable("down") if scene.clock.now() < end else None
    expected = []
    for minute in range(20):
        told = make_transition(minute, episode=START + timedelta(minutes=minute - 1))
        scene.log.add(told)
        expected.append((told.at, told.id))
        if minute >= 9:
            over = make_transition(minute - 9, "resolved", episode=START + timedelta(minutes=minute - 10))
            scene.log.add(over)
            expected.append((over.at, over.id))
        for _ in range(12):
            scene.round()
            scene.clock.advance(5.0)
    scene.later(2)
    # Within a minute: by id. What came while nothing waited was told at once.
    assert sorted(scene.notifiers["a"].ids) == sorted(name for _, name in expected)
    assert [m.transition.at for m in scene.notifiers["a"].sent] == sorted(at for at, _ in expected)
    counts = scene.delivery.counts()["a"]
    assert (counts.sent, counts.waiting, counts.trouble) == (31, 0, "")
    # One try each pause of 30 to 60 seconds, after four shorter ones.
    assert 12 <= counts.failed <= 30
    assert max(receipt.attempts for receipt in scene.log.written.values()) == counts.failed + 1


def test_an_outage_is_seen_in_the_counts() -> None:
    scene = Scene("a")
    scene.notifiers["a"].trouble = lambda _: NotifierUnavailable("no answer")
    scene.log.add(make_transition(1), make_transition(2))
    scene.later(5)
    counts = scene.delivery.counts()["a"]
    assert (counts.waiting, counts.failed, counts.trouble) == (2, 1, "no answer")
    assert counts.oldest_seconds(scene.clock.now()) == 240.0


def test_a_receiver_that_asks_for_a_pause_gets_it() -> None:
    scene = Scene("a")
    scene.notifiers["a"].trouble = lambda _: NotifierUnavailable("busy", 300.0)
    scene.log.add(make_transition(1))
    for _ in range(30):
        scene.round()
        scene.clock.advance(10.0)
    assert scene.notifiers["a"].calls == 1
    scene.round()
    assert scene.notifiers["a"].calls == 2


def test_pauses_double_with_jitter_and_are_limited() -> None:
    backoff = Backoff(7)
    pauses = [backoff.failed(0.0) for _ in range(12)]
    for number, pause in enumerate(pauses):
        whole = min(MOST_SECONDS, FIRST_SECONDS * 2.0**number)
        assert whole / 2.0 <= pause <= whole
    assert backoff.failed(0.0, asked=1e9) == MOST_ASKED_SECONDS
    backoff.succeeded()
    assert not backoff.waits(0.0)


def test_a_refused_message_is_final_and_the_next_is_told(caplog: pytest.LogCaptureFixture) -> None:
    scene = Scene("a")
    bad, good = make_transition(1), make_transition(2, episode=START + timedelta(minutes=1))
    scene.notifiers["a"].trouble = lambda m: NotifierRefused("x: HTTP 400") if m.id == bad.id else None
    scene.log.add(bad, good, make_transition(1, "resolved"))
    scene.round()
    assert scene.notifiers["a"].ids == [good.id]
    assert (scene.log.written[bad.id, "a"].outcome, scene.log.written[bad.id, "a"].detail) == ("refused", "x: HTTP 400")
    # Who knows of no beginning needs no end.
    assert scene.log.outcomes("a")[make_transition(1, "resolved").id] == "refused"
    assert scene.delivery.counts()["a"].refused == 2
    assert [record.levelname for record in caplog.records] == ["ERROR"]


def test_a_notifier_with_a_bug_holds_nothing_up_for_ever() -> None:
    scene = Scene("a")
    bad, good = make_transition(1), make_transition(2, episode=START + timedelta(minutes=1))
    scene.notifiers["a"].trouble = lambda m: TypeError("a secret") if m.id == bad.id else None
    scene.log.add(bad, good)
    for _ in range(MAX_UNEXPECTED):
        scene.later(2)
    assert scene.notifiers["a"].ids == [good.id]
    receipt = scene.log.written[bad.id, "a"]
    assert (receipt.outcome, receipt.detail, receipt.attempts) == (
        "refused",
        "the notifier failed (TypeError)",
        MAX_UNEXPECTED,
    )


def test_a_silenced_alert_waits_and_is_told_when_it_still_fires_at_the_end() -> None:
    scene = Scene("a")
    scene.log.record_silence(silence(matchers=(Matcher("alertname", "A1"),)))
    held, other = make_transition(1), make_transition(2)
    scene.log.add(held, other)
    scene.later(5)
    assert scene.notifiers["a"].ids == [other.id]
    counts = scene.delivery.counts()["a"]
    assert (counts.waiting, counts.oldest_at) == (1, None)
    scene.later(56)
    assert scene.notifiers["a"].ids == [other.id, held.id]


def test_an_alert_that_ends_under_a_silence_is_told_to_nobody() -> None:
    scene = Scene("a")
    scene.log.record_silence(silence())
    scene.log.add(make_transition(1))
    scene.later(5)
    scene.log.add(make_transition(1, "resolved"))
    scene.later(10)
    assert scene.notifiers["a"].calls == 0
    assert list(scene.log.outcomes("a").values()) == ["silenced", "silenced"]
    assert scene.log.written[make_transition(1).id, "a"].detail == "silence s"


def test_an_alert_that_ended_under_a_silence_is_told_to_nobody_later() -> None:
    """The ruler was down until after the silence."""
    scene = Scene("a")
    scene.log.record_silence(silence())
    scene.log.add(make_transition(1), make_transition(1, "resolved"))
    scene.later(120)
    assert list(scene.log.outcomes("a").values()) == ["silenced", "silenced"]


def test_what_was_told_is_also_ended_whatever_is_silenced() -> None:
    scene = Scene("a")
    scene.log.add(make_transition(1))
    scene.round()
    scene.log.record_silence(silence())
    scene.log.add(make_transition(1, "resolved"))
    scene.later(10)
    assert scene.notifiers["a"].ids == [make_transition(1).id, make_transition(1, "resolved").id]


def test_a_silence_put_after_the_end_of_a_waiting_alert_closes_both() -> None:
    scene = Scene("a")
    scene.notifiers["a"].trouble = lambda _: NotifierUnavailable("down")
    scene.log.add(make_transition(1), make_transition(1, "resolved"))
    scene.later(11)
    scene.log.record_silence(silence(starts_at=START + timedelta(minutes=11)))
    scene.later(5)
    assert list(scene.log.outcomes("a").values()) == ["silenced", "silenced"]


def test_more_silenced_alerts_than_a_batch_hold_up_nobody() -> None:
    scene = Scene("a")
    matcher = Matcher("alertname", "A(?!last).*", True)
    scene.log.record_silence(silence(matchers=(matcher,)))
    scene.log.add(*(make_transition(number) for number in range(3 * BATCH)))
    last = make_transition("last", episode=START + timedelta(minutes=5))
    scene.log.add(last)
    scene.round()
    assert scene.notifiers["a"].ids == [last.id]
    assert scene.delivery.counts()["a"].waiting == 3 * BATCH
    scene.later(61)
    assert len(scene.notifiers["a"].sent) == 3 * BATCH + 1


def test_an_end_beyond_the_batch_is_known_when_its_beginning_is_decided() -> None:
    scene = Scene("a")
    scene.log.record_silence(silence(matchers=(Matcher("alertname", "A0"),)))
    scene.log.add(make_transition(0))
    scene.log.add(*(make_transition(n, episode=START + timedelta(minutes=1)) for n in range(1, BATCH + 1)))
    scene.log.add(make_transition(0, "resolved"))
    scene.later(61)
    assert len(scene.notifiers["a"].sent) == BATCH
    assert scene.log.outcomes("a")[make_transition(0).id] == "silenced"
    assert scene.log.outcomes("a")[make_transition(0, "resolved").id] == "silenced"


def test_a_slow_receiver_holds_up_no_other_and_is_never_called_twice_at_a_time() -> None:
    scene = Scene("slow", "quick")
    release, inside, most = threading.Event(), [0], [0]

    def hang(_: Message) -> None:
        inside[0] += 1
        most[0] = max(most[0], inside[0])
        release.wait(10.0)
        inside[0] -= 1

    scene.notifiers["slow"].trouble = hang
    scene.log.add(make_transition(1), make_transition(2))
    for _ in range(3):
        scene.delivery.round(scene.clock.now())
        assert not scene.delivery.wait(0.2)
    assert (len(scene.notifiers["quick"].sent), scene.notifiers["slow"].sent) == (2, [])
    release.set()
    assert scene.delivery.wait(10.0)
    assert (len(scene.notifiers["slow"].sent), most[0]) == (2, 1)


def test_closing_finishes_the_message_under_way_and_begins_no_other() -> None:
    scene = Scene("a")
    entered, release = threading.Event(), threading.Event()

    def hang(_: Message) -> None:
        entered.set()
        release.wait(10.0)

    scene.notifiers["a"].trouble = hang
    scene.log.add(make_transition(1), make_transition(2))
    scene.delivery.round(scene.clock.now())
    assert entered.wait(10.0)
    assert not scene.delivery.close(0.05)
    release.set()
    assert scene.delivery.wait(10.0)
    assert (len(scene.notifiers["a"].sent), len(scene.log.written)) == (1, 1)


def test_a_receipt_that_the_store_did_not_take_is_written_before_anything_is_sent_again() -> None:
    scene = Scene("a")
    scene.log.add(make_transition(1))
    scene.log.broken.add("record_receipts")
    scene.later(1)
    scene.later(1)
    assert (scene.notifiers["a"].calls, scene.log.written) == (1, {})
    assert scene.delivery.counts()["a"].turns_failed == 2
    scene.log.broken.clear()
    scene.round()
    assert (scene.notifiers["a"].calls, list(scene.log.outcomes("a").values())) == (1, ["delivered"])


def test_a_store_that_shows_receipts_late_makes_nobody_hear_twice() -> None:
    scene = Scene("a")
    scene.log.add(*(make_transition(number) for number in range(BATCH + 1)))
    written, scene.log.written = scene.log.written, {}
    scene.log.record_receipts = lambda receipts: written.update({(r.transition, "a"): r for r in receipts})
    scene.later(1)
    scene.later(1)
    assert len(scene.notifiers["a"].sent) == len(set(scene.notifiers["a"].ids)) == len(written) == BATCH + 1
    first = scene.notifiers["a"].sent[0].transition
    end = make_transition(first.rule.removeprefix("A"), "resolved", episode=first.episode)
    scene.log.told = {first.id: first, end.id: end}
    scene.later(1)
    assert scene.notifiers["a"].ids[-1] == end.id


def test_killed_between_the_answer_and_the_receipt_the_same_id_goes_again() -> None:
    scene = Scene("a")
    scene.log.add(make_transition(1), make_transition(2))
    scene.log.broken.add("record_receipts")
    scene.round()
    (first,) = scene.notifiers["a"].ids
    scene.log.broken.clear()
    scene.delivery = scene.started()
    scene.round()
    assert scene.notifiers["a"].ids == [first, *sorted(told.id for told in (make_transition(1), make_transition(2)))]
    assert scene.notifiers["a"].ids[0] == scene.notifiers["a"].ids[1]


@pytest.mark.parametrize("method", ["enrol", "untold", "silences", "receipts", "record_receipts"])
def test_a_store_that_does_not_answer_costs_a_turn_and_no_message(method: str) -> None:
    scene = Scene("a")
    scene.log.add(make_transition(1))
    scene.round()
    scene.log.add(make_transition(1, "resolved"), make_transition(2))
    scene.log.broken.add(method)
    scene.delivery = scene.started()
    scene.later(1)
    assert scene.delivery.counts()["a"].turns_failed == 1
    scene.log.broken.clear()
    scene.later(1)
    assert sorted(scene.notifiers["a"].ids) == sorted(scene.log.told)


def test_what_fires_is_told_again_each_minute_and_what_ended_for_a_quarter_of_an_hour() -> None:
    scene = Scene("a", notifier=Refreshed)
    notifier = scene.notifiers["a"]
    one, two, end = make_transition(1), make_transition(2), make_transition(1, "resolved")
    scene.log.add(one, two)
    for _ in range(7):
        scene.clock.advance(10.0)
        scene.round()
    assert [sorted(firing) for firing, _ in notifier.refreshes] == [sorted([one.id, two.id])]
    scene.log.add(end)
    scene.later(10)
    scene.later(10)
    scene.later(10)
    assert notifier.refreshes[1:] == [([two.id], [end.id]), ([two.id], [end.id]), ([two.id], [])]
    assert scene.notifiers["a"].ids.count(one.id) == 1


def test_a_restarted_ruler_refreshes_what_was_told_before_and_nothing_that_was_not() -> None:
    scene = Scene("a", notifier=Refreshed)
    one = make_transition(1)
    scene.log.add(one)
    scene.round()
    scene.log.record_silence(silence())
    scene.log.add(make_transition(2))
    scene.delivery = scene.started()
    scene.later(2)
    assert scene.notifiers["a"].refreshes[-1] == ([one.id], [])


def test_an_alert_that_fires_anew_is_not_said_to_have_ended() -> None:
    scene = Scene("a", notifier=Refreshed)
    again = make_transition(1, episode=START + timedelta(minutes=11))
    scene.log.add(make_transition(1), make_transition(1, "resolved"), again)
    scene.later(13)
    assert scene.notifiers["a"].refreshes[-1] == ([again.id], [])


def test_a_receiver_without_a_notifier_is_refused() -> None:
    with pytest.raises(InputError, match="but b has none"):
        Delivery(MemoryLog(), routes("a", "b"), {"a": Recorder()})


def test_messages_link_to_the_page_and_carry_texts() -> None:
    scene = Scene("a")
    scene.delivery = Delivery(
        scene.log,
        scene.routes,
        scene.notifiers,
        scene.clock,
        page="http://page/",
        texts=lambda ids: dict.fromkeys(ids, "masked"),
    )
    scene.log.add(make_transition(1, examples=(Example("e1", 0.25),)))
    scene.round()
    (message,) = scene.notifiers["a"].sent
    assert (message.link, message.examples[0].text) == ("http://page/alerts/f1", "masked")


def test_an_error_of_telling_itself_is_logged_with_where_it_was_and_without_what_it_says(
    caplog: pytest.LogCaptureFixture,
) -> None:
    scene, text = Scene("a"), "what someone wrote"

    def bug(active_at=None):
        raise KeyError(text)

    scene.log.silences = bug
    scene.log.add(make_transition(1))
    scene.later(1)
    assert scene.delivery.counts()["a"].turns_failed == 1
    assert "telling a ended early (KeyError)" in caplog.text
    assert "in bug" in caplog.text
    assert text not in caplog.text
