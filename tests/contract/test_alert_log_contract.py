"""The contract of what is remembered of alerts: in memory, in the embedded engine, over the bridge and on a server."""

from __future__ import annotations

import os
import time
from itertools import count

import pytest

from evalsvc.rules.history import AlertLog
from evalsvc.store import MemoryStore, open_store
from evalsvc.store.bridge import Bridge
from evalsvc.testing import ManualClock
from evalsvc.testing.alert_logs import LEASE_CHECKS, LOG_CHECKS

SERVER = os.environ.get("EVALSVC_TEST_CLICKHOUSE_URL", "")
_numbers = count()


@pytest.fixture(scope="module", params=["embedded", "bridge", "server"])
def address(request, tmp_path_factory):
    """Make addresses of fresh databases of one kind."""
    if request.param == "server":
        if not SERVER:
            pytest.skip("EVALSVC_TEST_CLICKHOUSE_URL names no server")
        base, _, options = SERVER.partition("?")
        root = base.rsplit("/", 1)[0] if base.count("/") > 2 else base
        yield lambda: f"{root}/evalsvc_alerts_{os.getpid()}_{next(_numbers)}?{options}"
        return
    folder = tmp_path_factory.mktemp("alerts")
    with Bridge(folder) as bridge:
        served = f"clickhouse://x:{bridge.token}@{bridge.url.removeprefix('http://')}/"
        prefix, suffix = (served, "?margin=0") if request.param == "bridge" else (f"embedded:{folder}?database=", "")
        yield lambda: f"{prefix}alerts{next(_numbers)}{suffix}"


@pytest.fixture
def log(address):
    store = open_store(address(), migrate=True)
    yield store.alerts
    store.close()


def test_a_store_has_an_alert_log(log):
    assert isinstance(log, AlertLog)
    assert isinstance(MemoryStore().alerts, AlertLog)


@pytest.mark.parametrize("check", LOG_CHECKS, ids=lambda check: check.__name__.removeprefix("check_"))
def test_clickhouse_holds_the_contract(log, check):
    check(log)


@pytest.mark.parametrize("check", LEASE_CHECKS, ids=lambda check: check.__name__.removeprefix("check_"))
def test_clickhouse_leases_hold_the_contract(log, check):
    check(log, time.sleep)


@pytest.mark.parametrize("check", LOG_CHECKS, ids=lambda check: check.__name__.removeprefix("check_"))
def test_memory_holds_the_contract(check):
    check(MemoryStore().alerts)


@pytest.mark.parametrize("check", LEASE_CHECKS, ids=lambda check: check.__name__.removeprefix("check_"))
def test_memory_leases_hold_the_contract(check):
    clock = ManualClock()
    check(MemoryStore(clock).alerts, clock.advance)
