"""Whatever fails and whenever the process dies: nothing is lost, order is kept, and only a crash sends an id twice."""

from __future__ import annotations

from datetime import timedelta

from hypothesis import given, settings
from hypothesis import strategies as st

from alert_memory import START, MemoryLog, make_transition
from evalsvc.errors import NotifierUnavailable
from evalsvc.notify import Delivery, Message, Receiver, Routes, SlackConfig
from evalsvc.testing import ManualClock

NAMES = ("a", "b", "c")
ROUTES = Routes(receivers=tuple(Receiver(name, SlackConfig(url_env="X")) for name in NAMES), default=NAMES)


class Killed(BaseException):
    """The process ends here: nothing that runs after it is of this process."""


class Fate:
    """What happens at each call of one receiver: it answers, it does not, or the process dies before or after."""

    def __init__(self, fates: list[str]) -> None:
        self.fates, self.sent, self.doubled, self.dead = fates, [], set(), False

    def send(self, message: Message) -> str:
        fate = self.fates.pop(0) if self.fates else "answers"
        if self.dead:
            raise Killed
        if fate == "fails":
            raise NotifierUnavailable("planted")
        if fate == "dies before":
            self.dead = True
            raise Killed
        self.sent.append(message)
        if fate == "dies after":
            self.dead = True
            self.doubled.add(message.id)
            raise Killed
        return "taken"


def turn(delivery: Delivery, now) -> None:
    """One turn of every receiver, here instead of in threads: a death in one is then seen."""
    for queue in delivery._queues.values():
        try:
            queue.turn(now)
        except Killed:
            return


happenings = st.lists(st.sampled_from(["answers", "fails", "dies before", "dies after"]), max_size=25)


@settings(max_examples=200)
@given(
    fates=st.tuples(*(happenings for _ in NAMES)),
    alerts=st.lists(st.tuples(st.integers(0, 20), st.booleans()), min_size=1, max_size=12),
)
def test_nothing_is_lost_or_disordered_and_only_a_crash_doubles(fates, alerts) -> None:
    log, clock = MemoryLog(), ManualClock(START)
    notifiers = {name: Fate(list(given_fates)) for name, given_fates in zip(NAMES, fates, strict=True)}
    delivery = Delivery(log, ROUTES, notifiers, clock, seed=0)
    turn(delivery, clock.now())
    for number, (minute, ends) in enumerate(alerts):
        episode = START + timedelta(minutes=minute)
        log.add(make_transition(number, episode=episode))
        if ends:
            log.add(make_transition(number, "resolved", episode=episode))
    for _ in range(200):
        clock.advance(61.0)
        turn(delivery, clock.now())
        if any(notifier.dead for notifier in notifiers.values()):
            for notifier in notifiers.values():
                notifier.dead = False
            delivery = Delivery(log, ROUTES, notifiers, clock, seed=0)
    expected = [told.id for told in sorted(log.told.values(), key=lambda told: (told.at, told.id))]
    for notifier in notifiers.values():
        ids = [message.id for message in notifier.sent]
        assert list(dict.fromkeys(ids)) == expected
        # Twice in a row, and never with another message between.
        assert ids == sorted(ids, key=expected.index)
        assert {name for name in ids if ids.count(name) > 1} <= notifier.doubled
    assert len(log.written) == len(NAMES) * len(expected)
