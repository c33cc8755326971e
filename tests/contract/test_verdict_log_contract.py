"""The contract of what is remembered of verdicts: in memory, embedded, over the bridge and on a server."""

from __future__ import annotations

import pytest

from evalsvc.store import MemoryStore, open_store
from evalsvc.testing.verdict_logs import VERDICT_CHECKS, make_record, make_verdict
from evalsvc.verdicts import RemembersVerdicts, VerdictLog, VerdictQuery

LOGS = "verdicts"
CHECKS = pytest.mark.parametrize("check", VERDICT_CHECKS, ids=lambda check: check.__name__.removeprefix("check_"))


@pytest.fixture
def store(address):
    opened = open_store(address(), migrate=True)
    yield opened
    opened.close()


@CHECKS
def test_clickhouse_holds_the_contract(store, check):
    check(store.verdicts)


@CHECKS
def test_memory_holds_the_contract(check):
    check(MemoryStore().verdicts)


def test_stores_have_a_verdict_log(store):
    for one in (store, MemoryStore()):
        assert isinstance(one, RemembersVerdicts)
        assert isinstance(one.verdicts, VerdictLog)


def test_the_first_of_two_written_at_once_stays_though_nothing_is_merged(store):
    """Rows of two writers that both found none before: what a check before the insert cannot see."""
    log, other = store.verdicts, make_verdict(seed=8)
    log.record_verdict(make_verdict(), {})
    texts, log._texts = log._texts, lambda verdict_id: []
    log.record_verdict(other, {})
    log._texts = texts
    assert log.verdict("v") == make_verdict()
    assert list(log.verdicts(VerdictQuery(), 10)) == [make_verdict()]


def test_columns_are_what_a_dashboard_asks_for(store):
    digest, content = make_record("a\n")
    store.verdicts.record_verdict(make_verdict(baseline=make_verdict().candidate), {digest: content})
    with store.connection() as client:
        found = client.query("SELECT suite, decision, candidate, baseline FROM verdicts FINAL").result_rows
        times = client.query("SELECT toString(decided_at) FROM verdicts FINAL").result_rows
    assert [tuple(row) for row in found] == [("support", "FAIL", "bot 2", "bot 2")]
    assert [tuple(row) for row in times] == [("2026-05-04 12:00:00.000000",)]
