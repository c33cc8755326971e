"""Alerts that a person closes while a ruler runs: they are over, told once, do not come back, and may fire anew."""

from __future__ import annotations

from datetime import timedelta

import pytest
from msgspec.structs import replace

from evalsvc.errors import StoreUnavailable
from evalsvc.ruler import Ruler
from evalsvc.rules import Rule, RuleGroup, Threshold
from evalsvc.rules.history import Acknowledgement, TransitionQuery
from evalsvc.rules.machine import AlertState
from tests.unit.test_ruler_service import GROUP, RULE, SPAN, World, fill, minute


def close(world: World, *of: AlertState) -> None:
    """Close an alert, or the only one, as the command line does."""
    (state,) = of or world.store.alerts.alert_states()
    world.store.alerts.acknowledge(
        Acknowledgement(
            fingerprint=state.fingerprint,
            episode=state.pending_at,
            author="ada",
            note="its version is gone",
            at=world.clock.now(),
            closes=True,
        )
    )


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
    close(world)
    world.step()
    assert phases(world) == ["firing"]
    go_on(world, 1)
    assert phases(world) == ["firing", "resolved"]
    (end,) = world.store.alerts.alert_states()
    assert world.store.alerts.untold("hook", minute(0), 9) == []
    for restarted in (False, True):
        if restarted:
            world.store.alerts.release("ruler", world.ruler.holder)
            world.ruler = world.begin()
        go_on(world, 3)
        (state,) = world.store.alerts.alert_states()
        assert (state.phase, state.since, state.pending_at) == ("resolved", end.since, minute(50))
        assert state.evaluated_at > end.since
        assert b'evalsvc_ruler_alerts{phase="firing"} 0.0' in world.ruler.metrics.render()
    assert phases(world) == ["firing", "resolved"]
    (told,) = [one for one in world.store.alerts.transitions(TransitionQuery(SPAN), 9) if one.after == "resolved"]
    assert told.description == "closed by ada: its version is gone"


def test_what_was_closed_while_no_ruler_ran_is_ended_by_the_next() -> None:
    world = without_data()
    world.store.alerts.release("ruler", world.ruler.holder)
    close(world)
    world.ruler = world.begin()
    go_on(world, 2)
    assert [state.phase for state in world.store.alerts.alert_states()] == ["resolved"]
    assert phases(world) == ["firing", "resolved"]


@pytest.mark.parametrize("change", ["none", "closed", "relabelled", "removed"])
def test_looks_are_made_up_for_whatever_became_of_another_alert_of_the_group(change: str) -> None:
    other = replace(RULE, alert="Other", condition=Threshold("above", 0.05, 0.01))
    group = replace(GROUP, rules=(RULE, other))
    world = World(lease_seconds=80_000.0)
    world.ruler = world.begin(group=group)
    go_on(world, 3)
    # It is down from 0:30 to 1:25; from 0:40 to 1:10 it was bad.
    world.store.alerts.release("ruler", world.ruler.holder)
    world.clock.advance(50 * 60.0)
    if change == "closed":
        close(world, *world.store.alerts.alert_states(phases=("firing",)))
    world.clock.advance(5 * 60.0)
    rules = {"relabelled": (RULE, replace(other, severity="ticket")), "removed": (RULE,)}.get(change, (RULE, other))
    world.ruler = world.begin(group=replace(group, rules=rules))
    world.ruler.turn()
    world.clock.advance(600.0)
    world.ruler.turn()
    told = [one for one in reversed(world.store.alerts.transitions(TransitionQuery(SPAN), 99)) if one.rule == "Fell"]
    assert [(one.after, one.at) for one in told] == [("firing", minute(50)), ("resolved", minute(80))]
    assert world.ruler.status().missed == 0


def test_who_closes_an_earlier_episode_does_not_end_this_one() -> None:
    world = World(lease_seconds=80_000.0)
    go_on(world, 5)
    (state,) = world.store.alerts.alert_states()
    earlier = Acknowledgement(
        fingerprint=state.fingerprint,
        episode=state.pending_at - timedelta(hours=1),
        author="ada",
        note="",
        at=world.clock.now(),
        closes=True,
    )
    world.store.alerts.acknowledge(earlier)
    world.store.alerts.acknowledge(replace(earlier, fingerprint="another", episode=state.pending_at))
    go_on(world, 1)
    assert phases(world) == ["firing"]


def test_who_only_acknowledges_ends_nothing() -> None:
    world = without_data()
    close(world)
    (said,) = world.store.alerts.acknowledgements([world.store.alerts.alert_states()[0].fingerprint]).values()
    world.store.alerts.acknowledge(replace(said, closes=False))
    go_on(world, 2)
    assert phases(world) == ["firing"]


def test_what_is_still_bad_fires_anew_as_another_episode() -> None:
    world = World(lease_seconds=80_000.0)
    go_on(world, 5)
    world.clock.advance(30.0)
    close(world)
    go_on(world, 1)
    assert phases(world) == ["firing", "resolved"]
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
    assert (state.phase, state.since) == ("inactive", minute(60))
    go_on(world, 1)
    (state,) = world.store.alerts.alert_states()
    # What is still bad is pending anew, and has its whole `for` before it.
    assert (state.phase, state.pending_at) == ("pending", minute(70))
    go_on(world, 2)
    assert phases(world) == []


def test_a_log_that_does_not_answer_costs_a_look_that_is_made_again() -> None:
    world = without_data()
    log, asked = world.store.alerts, world.store.alerts.acknowledgements

    def away(*arguments):
        raise StoreUnavailable("it does not answer")

    log.acknowledgements = away
    world.clock.advance(600.0)
    world.ruler.turn()
    log.acknowledgements = asked
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
    answer = log.acknowledgements
    log.acknowledgements = lambda *arguments: asked.append(arguments) or answer(*arguments)
    ruler = Ruler([GROUP, other], world.store, log, clock=world.clock, settings=world.settings)
    for number in range(1, 9):
        world.clock.advance(600.0)
        ruler.turn()
        # It fires from 0:50 up to 1:20: the looks after it fired ask, once each, and those of the other group never.
        assert len(asked) == max(0, min(number - 5, 3))
