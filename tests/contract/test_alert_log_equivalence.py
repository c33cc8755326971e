"""Random histories of alerts, repeated and broken off as after crashes: ClickHouse answers as the memory does."""

from __future__ import annotations

from contextlib import contextmanager, suppress
from datetime import timedelta
from functools import partial
from itertools import count

import msgspec
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from evalsvc.errors import StoreUnavailable
from evalsvc.rules.history import Acknowledgement, Look, TransitionQuery
from evalsvc.store import open_store
from evalsvc.store.alerts import ClickHouseAlertLog
from evalsvc.store.alerts_memory import MemoryAlertLog
from evalsvc.store.bridge import Bridge
from evalsvc.testing.alert_logs import NOON, make_look, make_receipt, make_silence, make_state
from evalsvc.types import Window

_numbers = count()
ALERTS = ("a", "b", "c")
RECEIVERS = ("pager", "mail")
PHASES = ("pending", "firing", "resolved", "inactive")
TABLES = ("states", "transitions", "receipts", "silences", "acknowledgements", "enrolments")

minutes = st.integers(0, 5)
looks = st.tuples(st.sampled_from(ALERTS), minutes, st.sampled_from((None, *PHASES)), st.integers(0, 2))
receipts = st.tuples(st.integers(0, 7), st.sampled_from(RECEIVERS), minutes)
silences = st.tuples(st.sampled_from("st"), minutes, minutes, minutes)
acknowledgements = st.tuples(st.sampled_from(ALERTS), minutes, minutes)
steps = st.one_of(
    st.tuples(st.just("looks"), st.lists(looks, min_size=1, max_size=6), st.integers(0, 2)),
    st.tuples(st.just("receipts"), st.lists(receipts, min_size=1, max_size=5), st.integers(0, 1)),
    st.tuples(st.just("silence"), silences, st.just(0)),
    st.tuples(st.just("acknowledge"), acknowledgements, st.just(0)),
    st.tuples(st.just("enrol"), st.tuples(minutes, st.sets(st.sampled_from(RECEIVERS))), st.just(0)),
    st.tuples(st.just("merge"), st.sampled_from(TABLES), st.just(0)),
)


class Breaking:
    """A pool whose connections break off at an insert: before it is written, or after, so that its answer is lost."""

    def __init__(self, pool, inserts, written):
        self.pool, self.left, self.written = pool, inserts, written

    @contextmanager
    def client(self):
        with self.pool.client() as client:
            self.lent = client
            yield self

    def insert_arrow(self, *args, **named):
        self.left -= 1
        if self.left or self.written:
            self.lent.insert_arrow(*args, **named)
        if not self.left:
            raise StoreUnavailable("broke off")


def broken_log(store, inserts, written):
    return ClickHouseAlertLog(Breaking(store._pool, inserts, written))


class Teller:
    """Tells one history to several logs, under names and on a day of its own."""

    def __init__(self, logs):
        self.number = next(_numbers)
        self.day = NOON + timedelta(days=self.number)
        self.logs = logs

    def at(self, minute):
        return self.day + timedelta(minutes=minute)

    def named(self, name):
        return f"{name}'{self.number}"

    def look(self, alert, minute, phase, version):
        facts = {"fingerprint": self.named(alert), "rule": self.named(f"rule-{alert}")}
        # An alert's third version is of another era: its times count for less.
        told = {"trouble": f"version {version}", "era": version // 2}
        state = make_state(evaluated_at=self.at(minute), phase=phase or "firing", **told, **facts)
        if phase is None:
            return Look(state)
        # Two minutes share an id, and versions differ: what is recorded first has to stay.
        id = self.named(f"{alert}-{phase}-{minute // 2}")
        return Look(state, make_look(id=id, after=phase, at=self.at(minute), reason=f"{version}", **facts).transition)

    def receipt(self, number, receiver, minute):
        id = self.named(f"{ALERTS[number % 3]}-firing-{number // 3}")
        return make_receipt(id, self.named(receiver), at=self.at(minute), attempts=minute)

    def silence(self, id, starts, length, recorded):
        times = {"starts_at": self.at(starts), "ends_at": self.at(starts + length), "recorded_at": self.at(recorded)}
        return make_silence(self.named(id), reason=f"{recorded}", **times)

    def acknowledgement(self, alert, episode, minute):
        return Acknowledgement(
            fingerprint=self.named(alert), episode=self.at(episode), author="ada", note=f"{episode}", at=self.at(minute)
        )

    def tell(self, log, step, broken=None):
        kind, what, breaks = step
        if kind in ("looks", "receipts"):
            make = self.look if kind == "looks" else self.receipt
            items = [make(*item) for item in what]
            if broken is not None and breaks:
                for written in (False, True):
                    with suppress(StoreUnavailable):
                        part = broken(breaks, written)
                        (part.record_looks if kind == "looks" else part.record_receipts)(items)
            (log.record_looks if kind == "looks" else log.record_receipts)(items)
        elif kind == "silence":
            log.record_silence(self.silence(*what))
        elif kind == "acknowledge":
            log.acknowledge(self.acknowledgement(*what))
        elif kind == "enrol":
            log.enrol([self.named(name) for name in sorted(what[1])], self.at(what[0]))

    def answers(self, log):
        names = tuple(self.named(alert) for alert in ALERTS)
        window = Window(self.at(1), self.at(5))
        ids = [self.named(f"{alert}-firing-{place}") for alert in ALERTS for place in range(3)]
        mine = [self.named(id) for id in "st"]
        return {
            "states": list(log.alert_states([self.named(f"rule-{alert}") for alert in ALERTS])),
            "firing": list(log.alert_states([self.named(f"rule-{alert}") for alert in ALERTS], ("firing",))),
            "two rules": list(log.alert_states([self.named("rule-a"), self.named("rule-c")])),
            "transitions": list(log.transitions(TransitionQuery(window, (), names), 100)),
            "three fired": list(log.transitions(TransitionQuery(window, ("firing",), names), 3)),
            "receipts": list(log.receipts(ids)),
            **{name: list(log.untold(self.named(name), self.at(0), 4)) for name in (*RECEIVERS, "chat")},
            "silences": [silence for silence in log.silences() if silence.id in mine],
            "in force": [silence for silence in log.silences(self.at(3)) if silence.id in mine],
            "acknowledgements": dict(log.acknowledgements(names)),
        }


@pytest.fixture(scope="module")
def stores(tmp_path_factory):
    folder = tmp_path_factory.mktemp("alert-equivalence")
    with Bridge(folder) as bridge:
        embedded = open_store(f"embedded:{folder}?database=equivalence")
        address = bridge.url.removeprefix("http://")
        client = open_store(f"clickhouse://x:{bridge.token}@{address}/equivalence?margin=0")
        yield embedded, client
        client.close()
        embedded.close()


@pytest.mark.slow
@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(history=st.lists(steps, min_size=1, max_size=12))
def test_any_history_gives_the_memorys_answers(stores, history):
    memory = MemoryAlertLog()
    teller = Teller(stores)
    for place, step in enumerate(history):
        store = stores[place % 2]
        teller.tell(memory, step)
        if step[0] == "merge":
            with store.connection() as client:
                client.command(f"OPTIMIZE TABLE alert_{step[1]} FINAL")
            continue
        teller.tell(store.alerts, step, partial(broken_log, store))
    expected = teller.answers(memory)
    for store in stores:
        assert teller.answers(store.alerts) == expected
    pager = [teller.named("pager")]
    first = [log.enrol(pager, teller.at(9))[pager[0]] for log in (memory, *(s.alerts for s in stores))]
    assert len(set(first)) == 1


floats = st.floats(allow_nan=False)
texts = st.text(st.characters(exclude_categories=[])).map(lambda text: text.encode("utf-8", "replace").decode())


@settings(max_examples=60, deadline=None)
@given(
    numbers=st.lists(floats, min_size=1, max_size=6).map(tuple),
    labels=st.dictionaries(texts, texts, max_size=4),
    moment=st.datetimes(min_value=NOON.replace(tzinfo=None), timezones=st.timezones(), allow_imaginary=False),
)
def test_any_floats_texts_and_times_come_back(numbers, labels, moment):
    from evalsvc.rules.machine import AlertState
    from evalsvc.store.alert_values import from_json, to_json
    from evalsvc.testing.alert_logs import make_full_state

    state = make_full_state()
    detector = state.detector
    change = msgspec.structs.replace(detector.state, levels=numbers, bets=numbers, low=numbers[0])
    state = msgspec.structs.replace(
        state, labels=labels, detector=msgspec.structs.replace(detector, state=change, until=moment)
    )
    found = from_json(to_json(state), AlertState)
    assert found == state
    assert repr(found.detector.state.levels) == repr(numbers)
