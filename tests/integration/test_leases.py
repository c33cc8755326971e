"""Leases by claims, in real time: slow inserts, late renewals, restarts and pauses never make two lead at once."""

from __future__ import annotations

import random
import subprocess
import sys
import textwrap
import threading
import time
from contextlib import contextmanager
from datetime import datetime
from itertools import count, pairwise
from urllib.parse import urlsplit

import pytest

from evalsvc.errors import InputError, StoreUnavailable
from evalsvc.rules.history import Lease
from evalsvc.store import open_store
from evalsvc.store.alerts import ClickHouseAlertLog
from evalsvc.store.bridge import Bridge

SETTLE = 0.3
_numbers = count()


class Slow:
    """A pool on which writing a claim takes the database so long, after it has read its clock: ``delays`` in turn."""

    def __init__(self, pool, delays):
        self.pool, self.delays = pool, iter(delays)
        self.writing = threading.Event()

    @contextmanager
    def client(self):
        with self.pool.client() as client:
            self.lent = client
            yield self

    def query(self, *args, **named):
        return self.lent.query(*args, **named)

    def command(self, sql, **named):
        assert sql.startswith("INSERT INTO alert_leases")
        delay = next(self.delays, 0.0)
        self.writing.set()
        self.lent.command(sql.replace(" WHERE ", f" WHERE sleep({delay}) = 0 AND ") if delay else sql, **named)


@pytest.fixture(scope="module")
def bridge(tmp_path_factory):
    with Bridge(tmp_path_factory.mktemp("leases")) as running:
        yield running


@pytest.fixture(scope="module")
def store(bridge):
    place = urlsplit(bridge.url)
    opened = open_store(f"clickhouse://x:{bridge.token}@127.0.0.1:{place.port}/leases?margin=0", migrate=True)
    yield opened
    opened.close()


@pytest.fixture
def name():
    return f"lease-{next(_numbers)}"


def log_of(store, *delays):
    return ClickHouseAlertLog(Slow(store._pool, delays), SETTLE)


def in_thread(call, *args):
    """Start a call; return what waits for its result."""
    found = []
    thread = threading.Thread(target=lambda: found.append(call(*args)))
    thread.start()

    def result():
        thread.join()
        return found[0]

    return result


def never_two(leases):
    """Assert that no two holders' terms overlap; return (since, until, holder) in order, a holder's own joined."""
    order = []
    for lease in sorted(leases, key=lambda lease: (lease.since, lease.until)):
        if order and order[-1][2] == lease.holder and lease.since < order[-1][1]:
            since, until, _ = order.pop()
            order.append((since, max(until, lease.until), lease.holder))
        else:
            order.append((lease.since, lease.until, lease.holder))
    for (_, until, first), (since, _, second) in pairwise(order):
        assert until <= since, f"{first} led until {until}, and {second} from {since}"
    return order


def test_a_renewal_waits_for_nobody_and_a_fresh_claim_does(store, name):
    log = log_of(store)
    began = time.monotonic()
    log.claim(name, "a", 30.0)
    fresh = time.monotonic() - began
    assert fresh >= SETTLE
    waited = []
    for _ in range(5):
        began = time.monotonic()
        assert log.claim(name, "a", 30.0).held
        waited.append(time.monotonic() - began)
    assert min(waited) < SETTLE


def test_a_renewal_that_shows_only_after_its_end_has_lost(store, name):
    """Its statement read the clock in time; meanwhile the old claim ended, and another won."""
    late, other = log_of(store, 0.0, 2.5), log_of(store)
    first = late.claim(name, "a", 3.0)
    time.sleep(2.5 - SETTLE)
    renewing = in_thread(late.claim, name, "a", 3.0)
    while not (won := other.claim(name, "b", 5.0)).held:
        time.sleep(0.02)
    lost = renewing()
    assert won.since >= first.until
    assert (lost.held, lost.holder) == (False, "b")
    never_two([first, won])
    # The late row, which claims to be older, does not take the lease from who has it.
    assert other.claim(name, "b", 5.0).held


def test_a_renewal_after_its_end_writes_nothing_and_begins_anew(store, name):
    log = log_of(store)
    first = log.claim(name, "a", 0.7)
    time.sleep(0.8)
    again = log.claim(name, "a", 5.0)
    assert again.held
    assert again.since >= first.until
    with store.connection() as client:
        sql = (
            "SELECT claimed_at, count(DISTINCT until) FROM alert_leases WHERE name = {name:String} GROUP BY claimed_at"
        )
        assert [ends for _, ends in client.query(sql, parameters={"name": name}).result_rows] == [1, 1]


def test_a_claim_that_shows_too_late_is_made_again(store, name):
    log = log_of(store, 0.6, 0.6)
    began = time.monotonic()
    assert log.claim(name, "a", 5.0).held
    assert time.monotonic() - began >= 0.6 + 0.6 + SETTLE


def test_claims_that_never_show_in_time_are_an_error_and_stand_in_nobodys_way(store, name):
    slow = log_of(store, *([0.4, 0.0] * 5))
    with pytest.raises(StoreUnavailable, match=r"within 0\.3 s, in 5 attempts"):
        slow.claim(name, "a", 5.0)
    assert log_of(store).claim(name, "b", 5.0).held


def test_of_two_at_once_the_slow_first_cannot_win_beside_the_quick_second(store, name):
    """The slow one reads the clock first, and shows after the quick one has looked."""
    pool = Slow(store._pool, [1.5])
    claiming = in_thread(ClickHouseAlertLog(pool, SETTLE).claim, name, "a", 5.0)
    pool.writing.wait()
    time.sleep(0.02)
    won = log_of(store).claim(name, "b", 5.0)
    lost = claiming()
    assert (won.held, lost.held, lost.holder) == (True, False, "b")


def test_of_two_at_once_the_second_waits_until_the_first_shows(store, name):
    """The first shows within the settle time, after the second has written its claim."""
    pool = Slow(store._pool, [0.15])
    claiming = in_thread(ClickHouseAlertLog(pool, SETTLE).claim, name, "a", 5.0)
    pool.writing.wait()
    time.sleep(0.02)
    leases = [log_of(store).claim(name, "b", 5.0), claiming()]
    assert sum(lease.held for lease in leases) == 1
    assert len({lease.holder for lease in leases}) == 1


def test_a_restarted_holder_goes_on_and_nobody_gets_in_between(store, name):
    log = log_of(store)
    first = log.claim(name, "a", 5.0)
    again = log_of(store).claim(name, "a", 5.0)
    assert again.held
    assert again.since > first.since
    assert not log_of(store).claim(name, "b", 5.0).held


def test_a_lost_renewal_that_runs_after_the_release_keeps_others_waiting_at_most(store, name):
    log, other = log_of(store), log_of(store)
    log.claim(name, "a", 1.0)
    with store.connection() as client:
        client.command(
            "INSERT INTO alert_leases SELECT name, holder, id, claimed_at, until, now64(6) + 1 FROM alert_leases "
            "WHERE name = {name:String}",
            parameters={"name": name},
        )
    log.release(name, "a")
    heard = other.claim(name, "b", 5.0)
    assert (heard.held, heard.holder) == (False, "a")
    time.sleep(1.0)
    assert other.claim(name, "b", 5.0).held


def test_a_lease_has_a_length_that_claims_can_settle_in(store, name):
    log = log_of(store)
    for seconds in (0.0, 2 * SETTLE, float("nan"), 86_401.0):
        with pytest.raises(InputError, match=r"in \(0\.6, 86400\]"):
            log.claim(name, "a", seconds)
    for settle in (0.0, -1.0, 60.0):
        with pytest.raises(InputError, match="settle_seconds"):
            ClickHouseAlertLog(store._pool, settle)


@pytest.mark.slow
def test_a_slow_database_and_holders_that_pause_never_make_two_lead(store, name):
    """Four holders for 12 s, on inserts that take up to a second, with pauses, renewals, releases and restarts."""
    found, errors, end = [], [], time.monotonic() + 12.0

    def hold(holder, seed):
        draw = random.Random(seed)
        delays = (draw.choice((0.0, 0.0, 0.05, 0.2, 0.35, 1.0)) for _ in count())
        log = log_of(store, *[next(delays) for _ in range(1000)])
        while time.monotonic() < end:
            try:
                lease = log.claim(name, holder, 0.9)
            except StoreUnavailable as error:
                errors.append(error)
                continue
            if lease.held:
                found.append(lease)
            time.sleep(draw.choice((0.0, 0.1, 0.3, 1.0)))
            if draw.random() < 0.1:
                log = log_of(store, *[next(delays) for _ in range(1000)])

    threads = [threading.Thread(target=hold, args=(f"ruler-{seed}", seed)) for seed in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    order = never_two(found)
    assert len({holder for _, _, holder in order}) > 1
    assert len(found) > len(order)


RULER = """
    import random, sys, time
    from evalsvc.store import open_store
    from evalsvc.store.alerts import ClickHouseAlertLog
    address, name, holder, times = sys.argv[1:]
    store, draw = open_store(address), random.Random(holder)
    log = ClickHouseAlertLog(store._pool, 0.3)
    held = 0
    while held < int(times):
        lease = log.claim(name, holder, 1.0)
        if lease.held:
            held += 1
            print(lease.since.isoformat(), lease.until.isoformat(), flush=True)
        time.sleep(draw.choice((0.05, 0.1, 0.3, 1.3)))
    store.close()
"""


@pytest.fixture
def start():
    """Start rulers in processes of their own, which end with the test."""
    running = []

    def ruler(*words):
        command = [sys.executable, "-c", textwrap.dedent(RULER), *words]
        running.append(subprocess.Popen(command, stdout=subprocess.PIPE, text=True))
        return running[-1]

    yield ruler
    for process in running:
        process.kill()
        process.wait()
        process.stdout.close()


def lease_of(holder, line):
    since, until = map(datetime.fromisoformat, line.split())
    return Lease(holder=holder, since=since, until=until, held=True)


@pytest.mark.slow
def test_processes_take_turns(bridge, store, start, name):
    """Three processes, each now and then asleep for longer than its lease; one more dies as it leads."""
    address = f"clickhouse://x:{bridge.token}@127.0.0.1:{urlsplit(bridge.url).port}/leases?margin=0"
    mortal = start(address, name, "mortal", "1000")
    first = mortal.stdout.readline()
    others = {holder: start(address, name, holder, "5") for holder in "abc"}
    mortal.kill()
    printed = {"mortal": first + mortal.communicate()[0]}
    printed |= {holder: process.communicate(timeout=120)[0] for holder, process in others.items()}
    assert {process.returncode for process in others.values()} == {0}
    order = never_two([lease_of(holder, line) for holder, text in printed.items() for line in text.splitlines()])
    assert order[0][2] == "mortal"
    assert {holder for _, _, holder in order} == {"mortal", "a", "b", "c"}
