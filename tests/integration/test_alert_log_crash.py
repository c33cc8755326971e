"""A ruler dies at any insert and another goes on from what is stored: no transition is lost, doubled or alone."""

from __future__ import annotations

import itertools
from contextlib import contextmanager
from datetime import timedelta
from itertools import count

import msgspec
import pytest

from evalsvc.errors import SchemaError, StoreError
from evalsvc.rules import Observation, Rule, Threshold, step, transition
from evalsvc.rules.history import Enrolment, Look, TransitionQuery
from evalsvc.rules.machine import AlertState
from evalsvc.store import open_store
from evalsvc.store.alerts import ClickHouseAlertLog
from evalsvc.store.alerts_memory import MemoryAlertLog
from evalsvc.testing.alert_logs import ALWAYS, NOON, make_look, make_receipt, moment
from evalsvc.types import Window

RULE = Rule(
    alert="Fell",
    metric="quality",
    condition=Threshold("below", 0.9, 0.9),
    window_seconds=300.0,
    for_seconds=60.0,
    keep_firing_seconds=60.0,
)
# What each minute's look sees of each alert: b bad, g good, u unclear, n no data.
SEEN = {"a": "gbbbgggg", "b": "bbbbbbbb", "c": "gggggggg", "d": "ubbngnng", "e": "bgbgbbbg"}
VERDICTS = {"b": "bad", "g": "good", "u": "unclear", "n": "no_data"}
MINUTES = len(SEEN["a"])
_numbers = count()


class Killed(BaseException):
    """The process is gone: nothing that it would have done next is done."""


class Mortal:
    """A pool that kills whoever uses it at the n-th insert, before or after it is written."""

    def __init__(self, pool, inserts, written):
        self.pool, self.left, self.written = pool, inserts, written

    @contextmanager
    def client(self):
        with self.pool.client() as client:
            self.lent = client
            yield self

    def query(self, *args, **named):
        return self.lent.query(*args, **named)

    def insert_arrow(self, *args, **named):
        self.left -= 1
        if self.left or self.written:
            self.lent.insert_arrow(*args, **named)
        if not self.left:
            raise Killed


def observed(alert, minute):
    end = moment(minute)
    window = Window(end - timedelta(minutes=5), end)
    return Observation(verdict=VERDICTS[SEEN[alert][minute]], window=window, reason=f"minute {minute}")


def rule_on(log):
    """Go on from what is stored: make up for looks of each alert since its last, minute by minute."""
    states = {state.labels["of"]: state for state in log.alert_states()}
    for minute in range(MINUTES):
        looks = []
        for alert in SEEN:
            before = states.get(alert) or AlertState(fingerprint=f"print-{alert}", labels={"of": alert}, rule="Fell")
            if before.evaluated_at is not None and moment(minute) <= before.evaluated_at:
                continue
            states[alert] = step(RULE, before, observed(alert, minute), moment(minute))
            looks.append(Look(states[alert], transition(before, states[alert])))
        log.record_looks(looks)


def tell(log):
    for told in log.untold("pager", NOON, 100):
        log.record_receipts([make_receipt(told.id, at=told.at)])


def answers(log):
    return [
        list(log.alert_states()),
        list(log.transitions(TransitionQuery(ALWAYS), 1000)),
        list(log.untold("pager", NOON, 100)),
    ]


def check_consistent(log, expected):
    """Every transition that is there is one of those that must be; each alert's state is as the last one left it."""
    told = log.transitions(TransitionQuery(ALWAYS), 1000)
    states = {state.fingerprint: state for state in log.alert_states()}
    assert {each.id for each in told} <= {each.id for each in expected}
    assert len({each.id for each in told}) == len(told)
    last = {}
    for each in reversed(told):
        last[each.fingerprint] = each
        assert states[each.fingerprint].evaluated_at >= each.at
    assert {name: states[name].phase for name in last} == {name: each.after for name, each in last.items()}


@pytest.fixture(scope="module")
def whole():
    """What a ruler that lives remembers."""
    log = MemoryAlertLog()
    rule_on(log)
    assert {each.after for each in log.transitions(TransitionQuery(ALWAYS), 1000)} >= {"firing", "resolved", "inactive"}
    return log


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return tmp_path_factory.mktemp("crash")


@pytest.fixture
def store(folder):
    opened = open_store(f"embedded:{folder}?database=crash{next(_numbers)}")
    yield opened
    opened.close()


def empty(store):
    with store.connection() as client:
        for table in ("alert_states", "alert_transitions", "alert_receipts"):
            client.command(f"TRUNCATE TABLE {table}")


@pytest.mark.slow
@pytest.mark.parametrize("written", [False, True], ids=["before it", "after it"])
def test_killed_at_each_insert_and_gone_on_with(store, whole, written):
    expected = answers(whole)
    for inserts in itertools.count(1):
        empty(store)
        try:
            rule_on(ClickHouseAlertLog(Mortal(store._pool, inserts, written)))
        except Killed:
            check_consistent(store.alerts, expected[1])
            rule_on(ClickHouseAlertLog(store._pool))
            assert answers(store.alerts) == expected, f"killed at insert {inserts}"
        else:
            break
    # Each look at the five alerts that changes a phase has two inserts, every other one.
    moves = {each.at for each in expected[1]}
    assert inserts - 1 == MINUTES + len(moves)


def test_killed_again_and_again(store, whole):
    """A ruler that dies at one of its first three inserts after every restart gets on all the same."""
    for place in range(100):
        try:
            rule_on(ClickHouseAlertLog(Mortal(store._pool, 1 + place % 3, written=place % 2 == 0)))
        except Killed:
            check_consistent(store.alerts, answers(whole)[1])
        else:
            break
    assert answers(store.alerts) == answers(whole)
    assert place > 3


def test_killed_while_telling(store, whole):
    """Who dies before a receipt is written tells the same transition again, under the same id, and none is left out."""
    rule_on(store.alerts)
    ids = [each.id for each in whole.untold("pager", NOON, 100)]
    with pytest.raises(Killed):
        tell(ClickHouseAlertLog(Mortal(store._pool, 2, written=False)))
    assert [each.id for each in store.alerts.untold("pager", NOON, 100)] == ids[1:]
    with pytest.raises(Killed):
        tell(ClickHouseAlertLog(Mortal(store._pool, 1, written=True)))
    assert [each.id for each in store.alerts.untold("pager", NOON, 100)] == ids[2:]
    tell(store.alerts)
    assert list(store.alerts.untold("pager", NOON, 100)) == []
    assert sorted(receipt.transition for receipt in store.alerts.receipts(ids)) == sorted(ids)


@pytest.mark.parametrize("first", [0, 1])
def test_killed_before_the_states_the_last_era_still_counts(store, first):
    """A clock that was ahead wrote a later time in an earlier era; the states of both were never written."""
    looks = [
        make_look("a", 90, "firing", id="ahead", at=moment(90)),
        make_look("a", 5, "resolved", id="after", at=moment(5)),
    ]
    looks[1] = Look(msgspec.structs.replace(looks[1].state, era=1), looks[1].transition)
    for one in (looks[first], looks[1 - first]):
        with pytest.raises(Killed):
            ClickHouseAlertLog(Mortal(store._pool, 1, written=True)).record_looks([one])
    memory = MemoryAlertLog()
    memory.record_looks(looks)
    assert memory.alert_states() == [looks[1].state]
    assert store.alerts.alert_states() == [looks[1].state]
    assert store.alerts.alert_states(phases=("firing",)) == []


class Lagging(ClickHouseAlertLog):
    """Reads from a replica that shows only the enrolments that it held before."""

    def __init__(self, pool, held):
        super().__init__(pool)
        self.held = held

    def _enrolments(self):
        return self.held


@pytest.mark.parametrize(
    ("held", "expected"),
    [
        ({}, Enrolment(moment(9), moment(9))),
        ({"pager": [moment(1), moment(2)]}, Enrolment(moment(1), moment(9))),
        ({"pager": [moment(1)]}, Enrolment(moment(1), moment(1))),
    ],
    ids=["new", "back", "there"],
)
def test_a_replica_that_shows_an_enrolment_late_is_answered_for(store, held, expected):
    assert Lagging(store._pool, held).enrol(["pager"], moment(9)) == {"pager": expected}


def test_rows_of_another_release_are_refused_by_name(store):
    rule_on(store.alerts)
    with store.connection() as client:
        client.command(
            "INSERT INTO alert_states (fingerprint, evaluated_at, state) VALUES ('x', now64(6), '{\"phase\": \"odd\"}')"
        )
    with pytest.raises(StoreError, match="AlertState"):
        store.alerts.alert_states()


def test_a_failure_of_the_driver_comes_out_as_the_stores(store):
    with store.connection() as client:
        client.command("DROP TABLE alert_states")
    with pytest.raises(SchemaError, match="evalsvc migrate"):
        store.alerts.alert_states()


def test_a_closed_store_says_so(store):
    alerts = store.alerts
    assert store.alerts is alerts
    store.close()
    with pytest.raises(StoreError, match="open it again"):
        alerts.alert_states()
