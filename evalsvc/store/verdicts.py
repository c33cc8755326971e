"""What is remembered of verdicts, in ClickHouse: exact whatever merges have happened, and whoever wrote twice."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from evalsvc.store.alert_values import LATEST, check_limit, from_json
from evalsvc.store.columns import strings, times
from evalsvc.store.connections import SETTINGS, Pool
from evalsvc.store.queries import SETTINGS as READING
from evalsvc.store.ranks import clean, microseconds
from evalsvc.store.steps import EARLIEST
from evalsvc.store.verdicts_memory import check_same, check_verdict
from evalsvc.types import utc
from evalsvc.verdicts import Party, Verdict, VerdictQuery

if TYPE_CHECKING:
    from datetime import datetime

    import pyarrow as pa


class ClickHouseVerdictLog:
    """A :class:`~evalsvc.verdicts.VerdictLog` in ClickHouse, over the connections of a store."""

    def __init__(self, pool: Pool) -> None:
        """Use a store's connections; its database must be migrated."""
        self._pool = pool

    def record_verdict(self, verdict: Verdict, records: Mapping[str, bytes]) -> None:
        """Make records durable, and then their verdict. Of two written at once under one id the first stays."""
        text = check_verdict(verdict, records)
        held = self._texts(verdict.verdict_id)
        if held:
            check_same(verdict.verdict_id, held[0], text)
        if records:
            self._insert("verdict_records", _record_table(records))
        if not held:
            self._insert("verdicts", _verdict_table(verdict, text))
            # Another may have written at the same time, and first; a replica may show late what was just written.
            for stays in self._texts(verdict.verdict_id):
                check_same(verdict.verdict_id, stays, text)

    def verdicts(self, query: VerdictQuery, limit: int) -> Sequence[Verdict]:
        """Return at most ``limit`` verdicts, the last decided first; of one time by id."""
        wheres, parameters = ["true"], dict[str, object](limit=check_limit(limit))
        if query.suite:
            wheres.append("suite = {suite:String}")
            parameters["suite"] = clean(query.suite)
        wheres += [f"decided_at >= {_moment(query.since)}"] if query.since is not None else []
        wheres += [f"decided_at < {_moment(query.until)}"] if query.until is not None else []
        # First which, from narrow columns, and then those few whole.
        chosen = f"FROM verdicts FINAL WHERE {' AND '.join(wheres)} ORDER BY decided_at DESC, verdict_id"
        sql = (
            f"SELECT verdict FROM verdicts FINAL WHERE verdict_id IN (SELECT verdict_id {chosen} "  # noqa: S608
            "LIMIT {limit:UInt64}) ORDER BY decided_at DESC, verdict_id"
        )
        return [from_json(text, Verdict) for (text,) in self._rows(sql, parameters)]

    def verdict(self, verdict_id: str) -> Verdict | None:
        """Return the verdict of an id; None where there is none."""
        found = self._texts(verdict_id)
        return from_json(found[0], Verdict) if found else None

    def record(self, digest: str) -> bytes | None:
        """Return the record of a digest; None where there is none."""
        sql = "SELECT record FROM verdict_records FINAL WHERE digest = {digest:String}"
        found = self._rows(sql, {"digest": clean(digest)})
        return str(found[0][0]).encode() if found else None

    def _texts(self, verdict_id: str) -> list[str]:
        sql = "SELECT verdict FROM verdicts FINAL WHERE verdict_id = {id:String}"
        return [text for (text,) in self._rows(sql, {"id": clean(verdict_id)})]

    def _insert(self, table: str, rows: pa.Table) -> None:
        with self._pool.client() as client:
            client.insert_arrow(table, rows, settings=dict(SETTINGS))

    def _rows(self, sql: str, parameters: Mapping[str, object]) -> list[Any]:
        with self._pool.client() as client:
            return list(client.query(sql, parameters=dict(parameters), settings=dict(READING)).result_rows)


def _record_table(records: Mapping[str, bytes]) -> pa.Table:
    import pyarrow as pa

    texts = [content.decode() for content in records.values()]
    return pa.table({"digest": strings(list(records)), "record": strings(texts)})


def _verdict_table(verdict: Verdict, text: str) -> pa.Table:
    import pyarrow as pa

    columns = {name: strings([getattr(verdict, name)]) for name in ("verdict_id", "suite", "decision")}
    columns["candidate"] = strings([_called(verdict.candidate)])
    columns["baseline"] = strings([_called(verdict.baseline) if verdict.baseline else ""])
    columns["decided_at"] = times([verdict.decided_at], bounded=False)
    columns["verdict"] = strings([text])
    return pa.table(columns)


def _called(party: Party) -> str:
    return " ".join(part for part in (party.name, party.model, party.model_version) if part)


def _moment(edge: datetime) -> str:
    """Return an edge of a time range in SQL, moved to where times can be at all."""
    return f"fromUnixTimestamp64Micro({microseconds(min(max(utc(edge), EARLIEST), LATEST))}, 'UTC')"
