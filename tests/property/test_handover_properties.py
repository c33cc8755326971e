"""Two rulers lead by turns over a log that fails and lags: what fires is told once, and whatever was told also ends."""

from __future__ import annotations

from collections import Counter
from datetime import timedelta

from hypothesis import given, settings
from hypothesis import strategies as st

from alert_memory import START, MemoryLog, make_transition
from alert_scene import Recorder, routes
from evalsvc.errors import NotifierUnavailable
from evalsvc.notify import Delivery
from evalsvc.testing import ManualClock

BOTH = ("a", "b")

steps = st.lists(
    st.fixed_dictionaries(
        {
            "leader": st.integers(0, 1),
            "minutes": st.sampled_from([1.0, 20.0, 61.0]),
            "down": st.sets(st.sampled_from(BOTH)),
            "broken": st.sampled_from(["", "untold", "silences", "receipts", "alert_states", "transitions", "enrol"]),
            "lags": st.booleans(),
            "moves": st.lists(st.tuples(st.integers(0, 4), st.sampled_from([0.0, 3.0, 300.0])), max_size=3),
        }
    ),
    min_size=2,
    max_size=8,
)


class History:
    """What a ruler's looks write: alerts that begin, some of which are written late, and end."""

    def __init__(self, log: MemoryLog, clock: ManualClock) -> None:
        self.log, self.clock, self.firing = log, clock, {}
        self.begun = 0

    def move(self, slot: int, late: float) -> None:
        """End the alert that fires in a slot, or begin one; a minute later the next may move."""
        if slot in self.firing:
            begun = self.firing.pop(slot)
            self.log.add(make_transition(int(begun.rule[1:]), "resolved", begun.episode, at=self.clock.now()))
        else:
            self.begun += 1
            episode = self.clock.now() - timedelta(minutes=late + 1.0)
            self.firing[slot] = make_transition(self.begun, "firing", episode)
            self.log.add(self.firing[slot])
        self.clock.advance(60.0)


def turn(deliveries: list[Delivery], leader: int, clock: ManualClock) -> None:
    for place, delivery in enumerate(deliveries):
        for queue in delivery._queues.values():
            queue.turn(clock.now(), lambda place=place: place == leader)


@settings(max_examples=150, deadline=None)
@given(first=st.lists(st.tuples(st.integers(0, 4), st.just(0.0)), max_size=6), steps=steps)
def test_what_fires_is_told_once_and_ends_whoever_leads(first, steps) -> None:
    log, clock = MemoryLog(), ManualClock(START)
    notifiers = {name: Recorder() for name in BOTH}
    history = History(log, clock)
    alone = [Delivery(log, routes("a"), notifiers, clock, seed=0)]
    turn(alone, 0, clock)
    # Whatever is written late happened after `a` was there.
    clock.advance(10 * 3600.0)
    for move in first:
        history.move(*move)
        clock.advance(3600.0)
        turn(alone, 0, clock)
    rulers = [Delivery(log, routes(*BOTH), notifiers, clock, seed=place) for place in range(2)]
    asked = log.receipts

    def late(ids):
        """A replica that is half an hour behind."""
        return [receipt for receipt in asked(ids) if receipt.at <= clock.now() - timedelta(minutes=30)]

    for step in steps:
        clock.advance(60.0 * step["minutes"])
        for name, notifier in notifiers.items():
            notifier.trouble = lambda _, down=name in step["down"]: NotifierUnavailable("down") if down else None
        log.broken = {step["broken"]} - {""}
        log.receipts = late if step["lags"] else asked
        turn(rulers, step["leader"], clock)
        for move in step["moves"]:
            history.move(*move)
        turn(rulers, step["leader"], clock)
    log.broken, log.receipts = set(), asked
    for notifier in notifiers.values():
        notifier.trouble = lambda _: None
    for _ in range(5):
        clock.advance(3660.0)
        turn(rulers, 0, clock)
    fires = {told.id for told in history.firing.values()}
    assert set(notifiers["a"].ids) == set(log.told)
    assert fires <= set(notifiers["b"].ids)
    for notifier in notifiers.values():
        # Another ruler, which only sees such a replica, cannot know what was told.
        assert max(Counter(notifier.ids).values(), default=1) == 1 or any(step["lags"] for step in steps)
        for message in notifier.sent:
            end = make_transition(int(message.transition.fingerprint[1:]), "resolved", message.transition.episode)
            if message.resolved:
                assert notifier.ids.index(message.firing_id) < notifier.ids.index(message.id)
            else:
                assert (end.id in notifier.ids) == (end.id in log.told)
    assert all(counts.waiting == 0 for counts in rulers[0].counts().values())
