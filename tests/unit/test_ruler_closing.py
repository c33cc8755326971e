"""Alerts that a person closes while a ruler runs: they are over, told once, do not come back, and may fire anew."""

from __future__ import annotations

from datetime import timedelta

from msgspec.structs import replace

from evalsvc.errors import StoreUnavailable
from evalsvc.ruler import Ruler
from evalsvc.ruler.rounds import closed
from evalsvc.rules import Rule, RuleGroup, Threshold
from evalsvc.rules.history import Look, TransitionQuery
from tests.unit.test_ruler_service import GROUP, RULE, SPAN, World, fill, minute


def close(world: World, at=None) -> Look:
    """Close the alert as the command line does."""
    (state,) = world.store.alerts.alert_states()
    end = closed(state, at or world.clock.now(), "closed by ada: its version is gone")
    assert end is not None
    world.store.alerts.record_looks([end])
    return end


def go_on(world: World, looks: int) -> None:
    for _ in range(looks):
        world.clock.advance(600.0)
        world.step()


def phases(world: World) -> list[str]:
    return [phase for _, phase in world.phone.told]


def without_data() -> World:
    """A world whose scores end at 0:50, in the middle of the bad half hour: its alert fires and is judged no more."""
    world = World(lease_seconds=80_000.0)
    world.store = fill(type(world.store)(clock=world.clock), minutes=50)
    world.ruler = world.begin()
    go_on(world, 5)
    assert phases(world) == ["firing"]
    return world


def test_what_gets_no_data_fires_until_it_is_closed_and_stays_closed() -> None:
    world = without_data()
    go_on(world, 6)
    assert phases(world) == ["firing"]
    world.clock.advance(30.0)
    end = close(world)
    world.step()
    assert phases(world) == ["firing", "resolved"]
    assert world.store.alerts.untold("hook", minute(0), 9) == []
    for restarted in (False, True):
        if restarted:
            world.store.alerts.release("ruler", world.ruler.holder)
            world.ruler = world.begin()
        go_on(world, 3)
        (state,) = world.store.alerts.alert_states()
        assert (state.phase, state.since, state.pending_at) == ("resolved", end.state.since, minute(50))
        assert state.evaluated_at > end.state.since
        assert b'evalsvc_ruler_alerts{phase="firing"} 0.0' in world.ruler.metrics.render()
    assert phases(world) == ["firing", "resolved"]
    (told,) = [one for one in world.store.alerts.transitions(TransitionQuery(SPAN), 9) if one.after == "resolved"]
    assert told.description == "closed by ada: its version is gone"


def test_a_look_that_was_made_meanwhile_does_not_bring_it_back() -> None:
    world = without_data()
    (firing,) = world.store.alerts.alert_states()
    close(world)
    # The ruler's look was under way, and is written after the end, with a later time.
    world.store.alerts.record_looks([Look(replace(firing, evaluated_at=world.clock.now() + timedelta(minutes=2)))])
    assert [state.phase for state in world.store.alerts.alert_states()] == ["firing"]
    go_on(world, 1)
    assert [state.phase for state in world.store.alerts.alert_states()] == ["resolved"]
    assert phases(world) == ["firing", "resolved"]


def test_a_ruler_that_begins_after_such_a_look_knows_that_it_is_over() -> None:
    world = without_data()
    (firing,) = world.store.alerts.alert_states()
    close(world)
    world.store.alerts.record_looks([Look(replace(firing, evaluated_at=world.clock.now() + timedelta(minutes=2)))])
    world.store.alerts.release("ruler", world.ruler.holder)
    world.ruler = world.begin()
    go_on(world, 2)
    assert [state.phase for state in world.store.alerts.alert_states()] == ["resolved"]
    assert phases(world) == ["firing", "resolved"]


def test_what_is_still_bad_fires_anew_as_another_episode() -> None:
    world = World(lease_seconds=80_000.0)
    go_on(world, 5)
    world.clock.advance(30.0)
    close(world)
    world.step()
    go_on(world, 1)
    assert phases(world) == ["firing", "resolved", "firing"]
    go_on(world, 4)
    assert phases(world) == ["firing", "resolved", "firing", "resolved"]
    assert len(set(world.phone.told)) == 4


def test_what_is_pending_is_closed_and_nobody_is_told() -> None:
    world = World(lease_seconds=80_000.0)
    world.ruler = world.begin(group=replace(GROUP, rules=(replace(RULE, for_seconds=3600.0),)))
    go_on(world, 5)
    assert [state.phase for state in world.store.alerts.alert_states()] == ["pending"]
    world.clock.advance(30.0)
    close(world)
    go_on(world, 1)
    (state,) = world.store.alerts.alert_states()
    # What is still bad is pending anew, and has its whole `for` before it.
    assert (state.phase, state.pending_at) == ("pending", minute(60))
    go_on(world, 3)
    assert phases(world) == []


def test_a_log_that_does_not_answer_costs_a_look_that_is_made_again() -> None:
    world = without_data()
    log, asked = world.store.alerts, world.store.alerts.transitions

    def away(*arguments):
        raise StoreUnavailable("it does not answer")

    log.transitions = away
    world.clock.advance(600.0)
    world.ruler.turn()
    log.transitions = asked
    looks = world.ruler.status().looks
    world.clock.advance(600.0)
    world.ruler.turn()
    assert world.ruler.status().looks == looks + 2


def test_other_groups_and_what_is_not_under_way_ask_nothing() -> None:
    world = World(lease_seconds=80_000.0)
    other = RuleGroup(
        name="other",
        path="g.rules.yaml",
        interval_seconds=600.0,
        delay_seconds=0.0,
        catch_up_seconds=3600.0,
        rules=(Rule(alert="Other", metric="faithful", condition=Threshold("below", 0.1, 0.2), window_seconds=600.0),),
    )
    asked, log = [], world.store.alerts
    answer = log.transitions
    log.transitions = lambda *arguments: asked.append(arguments) or answer(*arguments)
    ruler = Ruler([GROUP, other], world.store, log, clock=world.clock, settings=world.settings)
    for number in range(1, 9):
        world.clock.advance(600.0)
        ruler.turn()
        # It fires from 0:50 up to 1:20: the looks after it fired ask, once each, and those of the other group never.
        assert len(asked) == max(0, min(number - 5, 3))
