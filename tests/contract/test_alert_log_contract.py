"""The contract of what is remembered of alerts: in memory, in the embedded engine, over the bridge and on a server."""

from __future__ import annotations

import time

import pytest

from evalsvc.rules.history import AlertLog
from evalsvc.store import MemoryStore, open_store
from evalsvc.testing import ManualClock
from evalsvc.testing.alert_logs import LEASE_CHECKS, LOG_CHECKS

LOGS = "alerts"


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
