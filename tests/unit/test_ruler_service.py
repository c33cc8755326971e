"""The ruler by the clock: what is due, what was missed, who leads, jumps of the clock, and a death at every point."""

import threading
from contextlib import suppress
from datetime import UTC, datetime, timedelta

import pytest
from msgspec.structs import replace

from evalsvc.errors import StoreUnavailable
from evalsvc.notify import Delivery
from evalsvc.notify.values import Receiver, Routes, WebhookConfig
from evalsvc.ruler import Ruler, RulerSettings
from evalsvc.rules import Absence, Rule, RuleGroup, Threshold
from evalsvc.rules.history import TransitionQuery
from evalsvc.store.memory import MemoryStore
from evalsvc.testing import ManualClock
from evalsvc.types import Scale, Score, ScorerSpec, Subject, Window, WriteBatch

START = datetime(2026, 3, 2, tzinfo=UTC)
FAITHFUL = ScorerSpec("faithful", 1, Scale(0.0, 1.0, "higher", binary=True))
RULE = Rule(
    alert="Fell",
    metric="faithful",
    condition=Threshold("below", 0.7, 0.75),
    window_seconds=600.0,
    keep_firing_seconds=0.0,
)
GROUP = RuleGroup(
    name="g", path="g.rules.yaml", interval_seconds=600.0, delay_seconds=0.0, catch_up_seconds=3600.0, rules=(RULE,)
)
ROUTES = Routes(receivers=(Receiver("hook", WebhookConfig(url="http://127.0.0.1:9")),), default=("hook",))
SPAN = Window(START - timedelta(days=1), START + timedelta(days=2))


def fill(store, minutes=120, fallen=(40, 70), silent=range(0)):
    """Write ten scores a minute, but for the silent ones: nine of ten are good, but for half an hour, when two are."""
    store.record_scorers([FAITHFUL])
    scores = []
    for minute in (each for each in range(minutes) if each not in silent):
        good = 2 if fallen[0] <= minute < fallen[1] else 9
        for number in range(10):
            at = START + timedelta(minutes=minute)
            subject = Subject(f"{minute}.{number}", at, "quality", "support", "m", "1", {}, "", "all", 1)
            scores.append(Score(subject, "faithful", 1, "", 1.0, "ok", float(number < good)))
    store.write(WriteBatch(scores=tuple(scores)))
    return store


class Phone:
    """A receiver that remembers what it was told."""

    def __init__(self):
        self.told = []

    def send(self, message):
        self.told.append((message.id, message.transition.after))
        return "200"


class Killed(BaseException):
    """The process ends here."""


class Mortal:
    """Passes calls on, and ends the process before or after the n-th that changes anything."""

    def __init__(self, target, deaths):
        self._target, self._deaths = target, deaths

    def __getattr__(self, name):
        call = getattr(self._target, name)
        if name not in ("record_looks", "record_receipts", "claim", "release", "enrol", "send"):
            return call

        def passed(*arguments):
            self._deaths.pass_by("before")
            found = call(*arguments)
            self._deaths.pass_by("after")
            return found

        return passed


class Deaths:
    """Counts the points that are passed; kills at one of them, once, whatever thread is there."""

    def __init__(self, at=None):
        self.at, self.passed, self.dead = at, 0, False
        self._lock = threading.Lock()

    def pass_by(self, _):
        with self._lock:
            if self.dead:
                raise Killed
            self.passed += 1
            if self.passed == self.at:
                self.dead = True
                raise Killed


class World:
    """A store with its history, a clock, a phone, and rulers that come and go."""

    def __init__(self, deaths=None, **settings):
        self.clock = ManualClock(START)
        self.store, self.phone = fill(MemoryStore(clock=self.clock)), Phone()
        self.settings = RulerSettings(**settings)
        self.ruler = self.begin(deaths or Deaths())

    def begin(self, deaths=None, group=GROUP):
        alerts = Mortal(self.store.alerts, deaths or Deaths())
        self.delivery = Delivery(alerts, ROUTES, {"hook": Mortal(self.phone, deaths or Deaths())}, self.clock)
        return Ruler([group], self.store, alerts, clock=self.clock, settings=self.settings)

    def step(self, ruler=None, delivery=None):
        ruler, delivery = ruler or self.ruler, delivery or self.delivery
        ruler.turn()
        if ruler.status().leads:
            delivery.round(self.clock.now())
            assert delivery.wait(10.0)

    def transitions(self):
        found = self.store.alerts.transitions(TransitionQuery(SPAN), 100)
        return [(one.after, one.at) for one in reversed(found)]


def minute(number):
    return START + timedelta(minutes=number)


def test_looks_are_made_when_they_are_due_and_told_once():
    world = World()
    for _ in range(12):
        world.clock.advance(600.0)
        world.step()
        world.step()
    assert world.ruler.status().looks == 12
    assert world.transitions() == [("firing", minute(50)), ("resolved", minute(80))]
    assert [phase for _, phase in world.phone.told] == ["firing", "resolved"]
    page = world.ruler.metrics.render().decode()
    assert 'evalsvc_ruler_looks_total{group="g.rules.yaml:g"} 12.0' in page
    assert 'evalsvc_ruler_alerts{phase="resolved"} 1.0' in page


def points():
    """Return how many points a life passes at which it may end."""
    deaths = Deaths()
    world = World(deaths)
    for _ in range(12):
        world.clock.advance(600.0)
        world.step()
    return deaths.passed


@pytest.mark.filterwarnings("ignore::pytest.PytestUnhandledThreadExceptionWarning")
def test_a_death_at_any_point_neither_loses_nor_doubles_a_page():
    expected = [("firing", minute(50)), ("resolved", minute(80))]
    number = points()
    assert number > 50
    for at in range(1, number + 1):
        deaths = Deaths(at)
        try:
            world = World(deaths)
        except Killed:
            pytest.fail("nothing is done before the first turn")
        for _ in range(14):
            world.clock.advance(600.0)
            with suppress(Killed):
                world.step()
            if deaths.dead:
                world.ruler, deaths = world.begin(), Deaths()
        assert world.transitions() == expected, f"killed at {at}"
        # A death between a message and its receipt sends the same id again, which receivers take for the same.
        unique = list(dict.fromkeys(world.phone.told))
        assert [phase for _, phase in unique] == ["firing", "resolved"], f"killed at {at}"
        assert len(world.phone.told) <= 3, f"killed at {at}"
    assert at == number


def test_two_rulers_tell_once_and_the_second_takes_over():
    world = World()
    first, first_delivery = world.ruler, world.delivery
    second = world.begin()
    second_delivery = world.delivery
    for number in range(12):
        world.clock.advance(600.0)
        if number < 6:
            # The leader renews in time; the other stands by.
            world.step(first, first_delivery)
        world.step(second, second_delivery)
        assert second.status().leads == (number >= 6)
        assert second.status().ready
    assert first.status().looks == 6
    assert second.status().looks >= 6
    assert [phase for _, phase in world.phone.told] == ["firing", "resolved"]


def test_a_leader_that_ends_leaves_no_gap():
    world = World()
    thread = threading.Thread(target=world.ruler.run)
    world.clock.advance(600.0)
    thread.start()
    while not world.ruler.status().leads:
        pass
    world.ruler.stop()
    thread.join(10.0)
    assert not world.ruler.status().alive
    after = world.begin()
    after.turn()
    assert after.status().leads


def test_looks_are_made_up_for_and_those_too_old_are_skipped():
    world = World(jump_seconds=1e9)
    world.clock.advance(600.0)
    world.step()
    world.clock.advance(7200.0)
    world.step()
    status = world.ruler.status()
    # Two hours passed: 12 looks were due, and an hour back is made up for.
    assert (status.looks, status.missed) == (1 + 7, 5)
    assert world.transitions() == [("firing", minute(70)), ("resolved", minute(80))]


class Jumping(ManualClock):
    """A clock whose time of day can jump, while time goes on as ever."""

    jump = timedelta(0)

    def now(self):
        return super().now() + self.jump


def test_a_jump_of_the_clock_is_waited_out():
    world = World()
    world.clock = Jumping(START)
    world.ruler = world.begin()
    world.clock.advance(600.0)
    world.step()
    world.clock.jump = timedelta(days=365)
    world.clock.advance(5.0)
    world.step()
    assert b"evalsvc_ruler_clock_jump_seconds 3.1536e+07" in world.ruler.metrics.render()
    world.clock.jump = timedelta(0)
    world.clock.advance(5.0)
    world.step()
    world.clock.advance(590.0)
    world.step()
    assert world.ruler.status().looks == 2
    assert {state.evaluated_at for state in world.store.alerts.alert_states()} == {minute(20)}


class Away:
    """An alert log that does not answer while it is away."""

    def __init__(self, target):
        self.target, self.away = target, False

    def __getattr__(self, name):
        def call(*arguments):
            if self.away:
                raise StoreUnavailable("it does not answer")
            return getattr(self.target, name)(*arguments)

        return call


def test_a_store_that_is_away_is_waited_for_and_its_looks_are_made_again():
    world = World()
    alerts = Away(world.store.alerts)
    ruler = Ruler([GROUP], world.store, alerts, clock=world.clock)
    for number in range(12):
        world.clock.advance(600.0)
        alerts.away = number in (4, 5)
        ruler.turn()
        assert bool(ruler.status().waiting_for) == alerts.away
    assert ruler.status().looks == 12
    assert world.transitions() == [("firing", minute(50)), ("resolved", minute(80))]


def test_a_rule_that_is_gone_ends_its_alerts_and_rules_that_are_all_gone_do_not():
    world = World()
    for _ in range(5):
        world.clock.advance(600.0)
        world.step()
    assert world.transitions() == [("firing", minute(50))]
    world.clock.advance(60.0)
    empty = Ruler([], world.store, world.store.alerts, clock=world.clock)
    empty.turn()
    assert world.transitions() == [("firing", minute(50))]
    world.clock.advance(60.0)
    other = RULE.__class__(alert="Other", metric="faithful", condition=RULE.condition, window_seconds=600.0)
    group = RuleGroup(
        name="g",
        path="g.rules.yaml",
        interval_seconds=600.0,
        delay_seconds=0.0,
        catch_up_seconds=3600.0,
        rules=(other,),
    )
    Ruler([group], world.store, world.store.alerts, clock=world.clock).turn()
    told = world.store.alerts.transitions(TransitionQuery(SPAN), 10)
    (ended, _) = [one for one in told if one.rule == "Fell"]
    assert (ended.after, ended.description) == ("resolved", "the rule Fell is not there any more")


def changed(**changes):
    """Return the group with its rule changed."""
    rule = replace(RULE, **changes)
    return replace(GROUP, rules=(rule,))


def test_an_alert_whose_labels_were_changed_goes_on_under_the_new_ones():
    world = World()
    for _ in range(5):
        world.clock.advance(600.0)
        world.step()
    world.clock.advance(60.0)
    world.ruler = world.begin(group=changed(owner="night"))
    world.step()
    told = [
        (one.after, one.labels.get("owner", "")) for one in world.store.alerts.transitions(TransitionQuery(SPAN), 9)
    ]
    assert sorted(told) == [("firing", ""), ("firing", "night"), ("resolved", "")]
    assert sorted(phase for _, phase in world.phone.told) == ["firing", "firing", "resolved"]
    for _ in range(6):
        world.clock.advance(600.0)
        world.step()
    assert world.phone.told[-1][1] == "resolved"
    assert {state.phase for state in world.store.alerts.alert_states()} == {"resolved"}


def test_a_rule_that_splits_otherwise_ends_the_alerts_that_it_had():
    world = World()
    for _ in range(5):
        world.clock.advance(600.0)
        world.step()
    world.clock.advance(60.0)
    world.ruler = world.begin(group=changed(by=("application",)))
    world.step()
    (ended,) = [one for one in world.store.alerts.transitions(TransitionQuery(SPAN), 9) if one.after == "resolved"]
    assert ended.description == "Fell splits by other fields; alerts of those take its place"


def test_a_clock_that_was_ahead_is_not_waited_for():
    world = World(lease_seconds=80_000.0)
    world.clock = Jumping(START)
    world.ruler = world.begin()
    world.clock.advance(600.0)
    world.step()
    for jump in (timedelta(days=1), timedelta(0)):
        world.clock.jump = jump
        for seconds in (5.0, 70.0):
            world.clock.advance(seconds)
            world.step()
    (state,) = world.store.alerts.alert_states()
    assert (state.era, state.evaluated_at) == (1, minute(10))
    for _ in range(12):
        world.clock.advance(600.0)
        world.step()
    assert [phase for _, phase in world.phone.told] == ["firing", "resolved"]


def test_what_fires_at_the_first_look_is_told_though_its_time_is_before_the_receiver_was_there():
    world = World()
    world.clock.advance(50 * 60.0 + 45.0)
    world.step()
    assert world.transitions() == [("firing", minute(50))]
    assert [phase for _, phase in world.phone.told] == ["firing"]


@pytest.mark.parametrize("late", [False, True])
def test_a_look_that_is_made_up_for_finds_no_absence(late):
    world = World(lease_seconds=80_000.0)
    absent = Rule(
        alert="NoScores",
        metric="faithful",
        condition=Absence("scores"),
        window_seconds=600.0,
        keep_firing_seconds=600.0,
    )
    world.store = fill(MemoryStore(clock=world.clock), silent=range(25, 40))
    world.ruler = world.begin(group=replace(GROUP, rules=(absent,)))
    for _ in range(3):
        world.clock.advance(600.0)
        world.ruler.turn()
    # The look of 0:40 sees ten minutes without a score. Made at 0:55, it might see what had not been read yet.
    world.clock.advance(1500.0 if late else 600.0)
    world.ruler.turn()
    told = [one.after for one in world.store.alerts.transitions(TransitionQuery(SPAN), 9)]
    assert told == ([] if late else ["firing"])
    assert world.ruler.status().looks == (5 if late else 4)
