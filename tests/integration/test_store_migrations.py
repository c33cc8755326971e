"""Migrations: the schema in code is the database's; edited and newer ones are refused; retention follows."""

from __future__ import annotations

import re
import threading
from datetime import UTC, datetime
from itertools import count
from pathlib import Path

import pytest

from evalsvc.errors import SchemaError
from evalsvc.store import Retention, migrate, open_store
from evalsvc.store.schema import TABLES
from evalsvc.types import Event, KeptEvent, KnownEvent, Sample, WriteBatch

_numbers = count()
REFERENCE = Path(__file__).parents[2] / "docs" / "reference" / "schema.md"


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return tmp_path_factory.mktemp("migrations")


@pytest.fixture
def address(folder):
    return f"embedded:{folder}?database=m{next(_numbers)}"


@pytest.fixture
def store(address):
    opened = open_store(address, migrate=True)
    yield opened
    opened.close()


def rows(store, sql):
    with store.connection() as client:
        return client.query(sql).result_rows


def test_schema_in_code_is_schema_in_database(store):
    found = {}
    for table, name, kind in rows(
        store,
        "SELECT table, name, type FROM system.columns WHERE database = currentDatabase() ORDER BY position",
    ):
        found.setdefault(table, {})[name] = kind
    assert found == {name: table.columns for name, table in TABLES.items()}
    engines = rows(
        store,
        "SELECT name, engine, sorting_key, partition_key FROM system.tables WHERE database = currentDatabase()",
    )
    assert {name: rest for name, *rest in engines} == {
        name: [table.engine, table.order, table.partition] for name, table in TABLES.items()
    }


def test_reference_page_names_every_column():
    text = REFERENCE.read_text()
    sections = dict(re.findall(r"^## `(\w+)`\n(.*?)(?=^## |\Z)", text, re.M | re.S))
    for name, table in TABLES.items():
        documented = re.findall(r"^\| `(\w+)` \| `([^`]+)`", sections[name], re.M)
        assert dict(documented) == table.columns, name


def test_migrating_again_does_nothing_and_dry_run_only_says(address, store):
    assert store.migrate() == []
    assert store.migrate(dry_run=True) == []
    other = open_store(address.replace("=m", "=dry"), migrate=True)
    with other.connection() as client:
        for table in TABLES:
            client.command(f"DROP TABLE {table}")
    names = [
        "0001_initial",
        "0002_known",
        "0003_statistics",
        "0004_feature_sums",
        "0005_alerts",
        "0006_enrolments_eras",
        "0007_verdicts",
        "0008_baselines",
    ]
    assert other.migrate(dry_run=True) == names
    with pytest.raises(SchemaError, match="evalsvc migrate"):
        other.check_schema()
    other.close()


def test_edited_migration_is_refused(store, monkeypatch):
    edited = [m._replace(sql=m.sql + "\n-- edited\n") for m in migrate.packaged()]
    monkeypatch.setattr(migrate, "packaged", lambda: edited)
    with pytest.raises(SchemaError, match=r"0001_initial\.sql was edited"):
        store.migrate()


def test_newer_schema_is_refused_with_the_way_out(store, address):
    with store.connection() as client:
        client.command("INSERT INTO migrations (version, name, checksum, release) VALUES (99, 'later', 'x', '9.9.0')")
    with pytest.raises(SchemaError, match=r"at 99.*knows up to 8.*install that release"):
        open_store(address)
    with pytest.raises(SchemaError, match=r"evalsvc 9\.9\.0"):
        store.check_schema()


def test_concurrent_migrators_agree(folder):
    name = f"embedded:{folder}?database=race{next(_numbers)}"
    errors = []

    def run():
        try:
            open_store(name, migrate=True).close()
        except Exception as error:
            errors.append(error)

    threads = [threading.Thread(target=run) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert errors == []
    store = open_store(name)
    assert rows(store, "SELECT version, count() FROM migrations FINAL GROUP BY version ORDER BY version") == [
        (1, 1),
        (2, 1),
        (3, 1),
        (4, 1),
        (5, 1),
        (6, 1),
        (7, 1),
        (8, 1),
    ]
    store.close()


def test_retention_is_a_setting(address):
    store = open_store(address, retention=Retention(events_days=7, scores_days=10))
    ttl = dict(
        rows(
            store,
            "SELECT name, extract(create_table_query, 'TTL .*toIntervalDay\\\\(([0-9]+)\\\\)') "
            "FROM system.tables WHERE database = currentDatabase()",
        )
    )
    assert (ttl["events"], ttl["scores"], ttl["rollup"], ttl["marks"]) == ("7", "10", "10", "10")
    assert ttl["known"] == "10"
    assert (ttl["dead_letters"], ttl["ledger"]) == ("30", "400")
    assert {ttl[f"alert_{name}"] for name in ("states", "transitions", "silences", "acknowledgements")} == {"10"}
    assert ttl["alert_receipts"] == "40"
    assert (ttl["verdicts"], ttl["verdict_records"]) == ("10", "10")
    assert store.migrate() == []
    store.close()


def kept(event_id: str, offset: int) -> KeptEvent:
    event = Event(event_id=event_id, occurred_at=datetime.now(UTC), application="app", response="answer")
    return KeptEvent(Sample(event, "c", 1, "all", 0.5, 7, "t/0", offset), f"digest-{offset}")


def test_an_event_is_known_after_its_text_is_gone(store):
    batch = WriteBatch(events=(kept("a", 3), kept("b", 4)))
    store.write(batch)
    store.write(batch)
    with store.connection() as client:
        client.command("TRUNCATE TABLE events")
    found = {"a": KnownEvent("digest-3", "t/0", 3), "b": KnownEvent("digest-4", "t/0", 4)}
    assert store.known(["a", "b", "c"], "c") == found
    assert rows(store, "SELECT count() FROM known FINAL") == [(2,)]


def test_an_older_store_keeps_what_it_knows_and_since_when(store):
    store.write(WriteBatch(events=(kept("a", 3),)))
    with store.connection() as client:
        client.command("ALTER TABLE events UPDATE written_at = now() - 86400 WHERE 1 SETTINGS mutations_sync = 2")
        client.command("DROP TABLE known")
        client.command("DELETE FROM migrations WHERE version = 2")
    assert "0002_known" in store.migrate()
    assert store.known(["a"], "c") == {"a": KnownEvent("digest-3", "t/0", 3)}
    assert rows(store, "SELECT written_at <= now() - 86400 FROM known") == [(1,)]


@pytest.mark.parametrize("done", range(6))
def test_receivers_that_were_there_stay_however_often_the_migration_breaks_off(address, monkeypatch, request, done):
    every = migrate.packaged()
    monkeypatch.setattr(migrate, "packaged", lambda: [each for each in every if each.version < 6])
    store = open_store(address, migrate=True)
    request.addfinalizer(store.close)
    first, since = datetime(2026, 1, 2, 3, 4, 5, 678901, UTC), datetime(2026, 3, 1, tzinfo=UTC)
    with store.connection() as client:
        for name, at in (("pager", since), ("pager", first), ("mail", since)):
            client.command(
                "INSERT INTO alert_receivers (receiver, enrolled_at) SELECT {name:String}, {at:DateTime64(6, 'UTC')}",
                parameters={"name": name, "at": at},
            )
        assert len(every[5].statements) == 5
        for statement in every[5].statements[:done]:
            client.command(statement)
    monkeypatch.setattr(migrate, "packaged", lambda: every)
    assert store.migrate()[0] == "0006_enrolments_eras"
    found = store.alerts.enrol(["pager", "mail", "chat"], datetime(2026, 4, 1, tzinfo=UTC))
    assert found["pager"] == (first, first)
    assert found["mail"] == (since, since)
    assert found["chat"].first == datetime(2026, 4, 1, tzinfo=UTC)
    assert rows(store, "EXISTS TABLE alert_receivers") == [(0,)]


def test_a_batch_of_ledger_entries_is_one_part(store):
    from evalsvc.types import LedgerCount, LedgerEntry

    counts = tuple(LedgerCount(minute, "s", 1, "skipped", 1) for minute in range(70_000))
    batch = tuple(LedgerEntry("c", f"t/{place}", 0, 70_000, counts) for place in range(7))
    store.write(WriteBatch(ledger=batch))
    assert store.resume("c", "t/3") == batch[3]
    assert rows(
        store,
        "SELECT rows FROM system.parts WHERE database = currentDatabase() AND table = 'ledger' AND active",
    ) == [(7,)]
