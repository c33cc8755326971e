"""A clock that was an hour ahead, and rulers that begin anew after it was set back: nobody is paged twice."""

from __future__ import annotations

from datetime import timedelta

import pytest

from evalsvc.rules.history import TransitionQuery
from evalsvc.testing import ManualClock
from tests.unit.test_ruler_closing import close
from tests.unit.test_ruler_service import SPAN, START, World

HOUR = timedelta(hours=1)


class Jumping(ManualClock):
    """A clock whose time of day can jump, while time goes on as ever."""

    jump = timedelta(0)

    def now(self):
        return super().now() + self.jump


def world_on_a_jumping_clock() -> World:
    world = World(lease_seconds=80_000.0)
    world.clock = Jumping(START)
    world.ruler = world.begin()
    return world


def jump(world: World, by: timedelta) -> None:
    """Set the clock, and wait until it is believed."""
    world.clock.jump = by
    for seconds in (5.0, 70.0):
        world.clock.advance(seconds)
        world.step()


def restart(world: World) -> None:
    world.ruler.stop()
    world.store.alerts.release("ruler", world.ruler.holder)
    world.ruler = world.begin()


def phases(world: World) -> list[str]:
    return [phase for _, phase in world.phone.told]


@pytest.mark.parametrize("restarted", ["ahead", "set back", "an interval later"])
def test_a_page_while_the_clock_was_ahead_is_no_other_page_after_it_was_set_back(restarted: str) -> None:
    world = world_on_a_jumping_clock()
    world.clock.advance(10 * 60.0)
    world.step()
    # 0:11, and the clock says 1:11: scores of the bad half hour, 0:40 to 1:10, lie in the last window that was due.
    jump(world, HOUR)
    assert phases(world) == ["firing"]
    if restarted == "ahead":
        restart(world)
    world.clock.advance(40 * 60.0)
    world.clock.jump = timedelta(0)
    world.step()
    if restarted == "set back":
        restart(world)
    jump(world, timedelta(0))
    if restarted == "an interval later":
        world.clock.advance(600.0)
        world.step()
        restart(world)
    for _ in range(6):
        world.clock.advance(600.0)
        world.step()
    assert phases(world) == ["firing", "resolved"]


def test_a_page_after_the_clock_was_set_back_is_no_other_page_after_a_restart() -> None:
    world = world_on_a_jumping_clock()
    world.clock.advance(10 * 60.0)
    world.step()
    # What was looked at ahead was quiet, and has later times than all that comes.
    jump(world, 5 * HOUR)
    jump(world, timedelta(0))
    for _ in range(5):
        world.clock.advance(600.0)
        world.step()
    assert phases(world) == ["firing"]
    (state,) = world.store.alerts.alert_states()
    assert (state.phase, state.era) == ("firing", 1)
    assert state.evaluated_at < world.clock.now()
    restart(world)
    for _ in range(6):
        world.clock.advance(600.0)
        world.step()
    assert phases(world) == ["firing", "resolved"]


def test_what_fired_while_the_clock_was_ahead_can_be_closed() -> None:
    world = world_on_a_jumping_clock()
    world.clock.advance(10 * 60.0)
    world.step()
    jump(world, HOUR)
    assert phases(world) == ["firing"]
    # Set back; the next look would find it good for long enough, but a person is quicker.
    world.clock.jump = timedelta(0)
    world.clock.advance(5.0)
    world.step()
    close(world)
    world.clock.advance(70.0)
    world.step()
    assert phases(world) == ["firing", "resolved"]
    told = world.store.alerts.transitions(TransitionQuery(SPAN, ("resolved",)), 9)
    assert [one.reason for one in told] == ["closed by ada: its version is gone"]
    restart(world)
    world.clock.advance(600.0)
    world.step()
    assert [state.phase for state in world.store.alerts.alert_states()] == ["resolved"]
    assert phases(world) == ["firing", "resolved"]
