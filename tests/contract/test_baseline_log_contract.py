"""The contract of what is remembered of baselines: in memory, embedded, over the bridge and on a server."""

from __future__ import annotations

import pytest

from evalsvc.store import MemoryStore, open_store
from evalsvc.testing.baseline_logs import BASELINE_CHECKS, RECORD, make_promotion
from evalsvc.verdicts import BaselineLog, RemembersBaselines

LOGS = "baselines"
CHECKS = pytest.mark.parametrize("check", BASELINE_CHECKS, ids=lambda check: check.__name__.removeprefix("check_"))


@pytest.fixture
def store(address):
    opened = open_store(address(), migrate=True)
    yield opened
    opened.close()


@CHECKS
def test_clickhouse_holds_the_contract(store, check):
    check(store.baselines)


@CHECKS
def test_memory_holds_the_contract(check):
    check(MemoryStore().baselines)


def test_stores_have_a_baseline_log(store):
    for one in (store, MemoryStore()):
        assert isinstance(one, RemembersBaselines)
        assert isinstance(one.baselines, BaselineLog)


def test_columns_are_what_a_dashboard_asks_for(store):
    store.baselines.record_promotion(make_promotion("2"), RECORD)
    with store.connection() as client:
        found = client.query(
            "SELECT suite, name, toString(promoted_at), promoted_by, because, model, model_version FROM baselines FINAL"
        ).result_rows
    assert [tuple(row) for row in found] == [
        ("support", "production", "2026-05-04 12:00:00.000000", "Ada", "ticket 118", "bot", "2")
    ]
