"""Migrations: numbered SQL files, applied in order, remembered with their checksum; and retention.

Two migrators at once are safe: every statement may run twice (``IF NOT EXISTS``), and a migration recorded
twice is recorded once.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Mapping, Sequence
from importlib import resources
from typing import TYPE_CHECKING, NamedTuple

import msgspec

from evalsvc.errors import SchemaError

if TYPE_CHECKING:
    from clickhouse_connect.driver.client import Client

_TABLE = """
CREATE TABLE IF NOT EXISTS migrations
(
    version UInt32,
    name String,
    checksum String,
    release String,
    applied_at DateTime64(6, 'UTC') DEFAULT now64(6)
)
ENGINE = ReplacingMergeTree
ORDER BY (version, checksum)"""
RECEIPTS_LONGER = 30
"""Days by which a receipt outlives its transition; rows are dropped by merges, some time after they expired."""

_FILE = re.compile(r"(\d{4})_(\w+)\.sql")
_DAYS = re.compile(r"TTL .*?toIntervalDay\((\d+)\)")


class Retention(msgspec.Struct, frozen=True, kw_only=True):
    """How long rows are kept, in days since they were written: history may be replayed."""

    events_days: int = 30
    scores_days: int = 400
    dead_letters_days: int = 30
    ledger_days: int = 400

    def expressions(self) -> Mapping[str, tuple[str, int]]:
        """Return (column, days) by table. Marks, rollups, known ids, alerts and verdicts live as long as scores.

        Receipts live longer than what they are of: a transition without its receipt would be told again.
        """
        return {
            "events": ("written_at", self.events_days),
            "known": ("written_at", self.scores_days),
            "scores": ("written_at", self.scores_days),
            "marks": ("toDateTime(marked_at)", self.scores_days),
            "rollup": ("toDateTime(version)", self.scores_days),
            "dead_letters": ("written_at", self.dead_letters_days),
            "ledger": ("written_at", self.ledger_days),
            "alert_states": ("written_at", self.scores_days),
            "alert_transitions": ("toDateTime(written_at)", self.scores_days),
            "alert_receipts": ("toDateTime(written_at)", self.scores_days + RECEIPTS_LONGER),
            "alert_silences": ("greatest(written_at, toDateTime(ends_at))", self.scores_days),
            "alert_acknowledgements": ("written_at", self.scores_days),
            "verdicts": ("toDateTime(written_at)", self.scores_days),
            "verdict_records": ("written_at", self.scores_days),
        }


class Migration(NamedTuple):
    """One numbered file."""

    version: int
    name: str
    sql: str

    @property
    def checksum(self) -> str:
        """SHA-256 of the text."""
        return hashlib.sha256(self.sql.encode()).hexdigest()

    @property
    def statements(self) -> list[str]:
        """The statements in their order; each ends with a semicolon at the end of a line."""
        lines = [line for line in self.sql.splitlines() if not line.lstrip().startswith("--")]
        return [text.strip() for text in re.split(r";\s*(?:\n|$)", "\n".join(lines)) if text.strip()]


def packaged() -> list[Migration]:
    """Return this release's migrations, oldest first.

    >>> packaged()[0].version
    1
    """
    found = []
    for file in resources.files("evalsvc.store").joinpath("migrations").iterdir():
        match = _FILE.fullmatch(file.name)
        if match:
            found.append(Migration(int(match[1]), match[2], file.read_text(encoding="utf-8")))
    return sorted(found)


def pending(client: Client, migrations: Sequence[Migration]) -> list[Migration]:
    """Return what is yet to be applied.

    Raises:
        SchemaError: the database was migrated by a newer release, or an applied migration was edited.
    """
    applied = _applied(client)
    newest = max((migration.version for migration in migrations), default=0)
    newer = {version: release for version, (_, release) in applied.items() if version > newest}
    if newer:
        release = newer[max(newer)]
        raise SchemaError(
            f"The store's schema is at {max(newer)}, but this release knows up to {newest}: "
            f"it was migrated by evalsvc {release}; install that release or a later one, "
            "or open another database"
        )
    for migration in migrations:
        checksum, _ = applied.get(migration.version, (migration.checksum, ""))
        if checksum != migration.checksum:
            raise SchemaError(
                f"Migration {migration.version:04d}_{migration.name}.sql was edited after it was applied "
                f"(recorded {checksum[:12]}, now {migration.checksum[:12]}); "
                "restore it, and put the change into a new file"
            )
    return [migration for migration in migrations if migration.version not in applied]


def apply(client: Client, migrations: Sequence[Migration], release: str) -> None:
    """Apply migrations in order and remember each after it succeeded."""
    client.command(_TABLE)
    for migration in migrations:
        for statement in migration.statements:
            client.command(statement)
        client.command(
            "INSERT INTO migrations (version, name, checksum, release) "
            "SELECT {version:UInt32}, {name:String}, {checksum:String}, {release:String}",
            parameters={
                "version": migration.version,
                "name": migration.name,
                "checksum": migration.checksum,
                "release": release,
            },
        )


def overdue_retention(client: Client, retention: Retention) -> list[str]:
    """Return the statements that bring tables to a retention; empty where they are."""
    rows = client.query(
        "SELECT name, create_table_query FROM system.tables WHERE database = currentDatabase()"
    ).result_rows
    current = {name: match[1] if (match := _DAYS.search(sql)) else "" for name, sql in rows}
    return [
        f"ALTER TABLE {table} MODIFY TTL {column} + toIntervalDay({days})"
        for table, (column, days) in retention.expressions().items()
        # A table that is not there yet is made by a later migration.
        if current.get(table, str(days)) != str(days)
    ]


def _applied(client: Client) -> dict[int, tuple[str, str]]:
    if not client.command("EXISTS TABLE migrations"):
        return {}
    rows = client.query("SELECT version, checksum, release FROM migrations ORDER BY version, applied_at").result_rows
    return {version: (checksum, release) for version, checksum, release in rows}
