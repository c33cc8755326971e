"""The contract of what is remembered of baselines: in memory, embedded, over the bridge and on a server."""

from __future__ import annotations

import os
from itertools import count

import pytest

from evalsvc.store import MemoryStore, open_store
from evalsvc.store.bridge import Bridge
from evalsvc.testing.baseline_logs import BASELINE_CHECKS, RECORD, make_promotion
from evalsvc.verdicts import BaselineLog, RemembersBaselines

SERVER = os.environ.get("EVALSVC_TEST_CLICKHOUSE_URL", "")
_numbers = count()
CHECKS = pytest.mark.parametrize("check", BASELINE_CHECKS, ids=lambda check: check.__name__.removeprefix("check_"))


@pytest.fixture(scope="module", params=["embedded", "bridge", "server"])
def address(request, tmp_path_factory):
    """Make addresses of fresh databases of one kind."""
    if request.param == "server":
        if not SERVER:
            pytest.skip("EVALSVC_TEST_CLICKHOUSE_URL names no server")
        base, _, options = SERVER.partition("?")
        root = base.rsplit("/", 1)[0] if base.count("/") > 2 else base
        yield lambda: f"{root}/evalsvc_baselines_{os.getpid()}_{next(_numbers)}?{options}"
        return
    folder = tmp_path_factory.mktemp("baselines")
    with Bridge(folder) as bridge:
        served = f"clickhouse://x:{bridge.token}@{bridge.url.removeprefix('http://')}/"
        prefix, suffix = (served, "?margin=0") if request.param == "bridge" else (f"embedded:{folder}?database=", "")
        yield lambda: f"{prefix}baselines{next(_numbers)}{suffix}"


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
