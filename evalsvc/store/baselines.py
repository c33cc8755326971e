"""What is remembered of baselines, in ClickHouse: exact whatever merges have happened, and whoever wrote twice."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from evalsvc.store.alert_values import check_limit, from_json
from evalsvc.store.baselines_memory import check_promotion
from evalsvc.store.columns import strings, times
from evalsvc.store.connections import SETTINGS, Pool
from evalsvc.store.queries import SETTINGS as READING
from evalsvc.store.ranks import clean
from evalsvc.types import utc
from evalsvc.verdicts import Promotion

if TYPE_CHECKING:
    import pyarrow as pa

_COLUMNS = ("suite", "name", "digest", "stored", "promoted_by", "because", "model", "model_version")


class ClickHouseBaselineLog:
    """A :class:`~evalsvc.verdicts.BaselineLog` in ClickHouse, over the connections of a store."""

    def __init__(self, pool: Pool) -> None:
        """Use a store's connections; its database must be migrated."""
        self._pool = pool

    def record_promotion(self, promotion: Promotion, record: bytes) -> None:
        """Make a promotion and its record durable, in one row. Of two written at once the first stays."""
        text = check_promotion(promotion, record)
        with self._pool.client() as client:
            client.insert_arrow("baselines", _table(promotion, text, record), settings=dict(SETTINGS))

    def promotions(self, suite: str, name: str = "", *, limit: int = 100) -> Sequence[Promotion]:
        """Return at most ``limit`` promotions of a suite, the last promoted first."""
        sql = (
            "SELECT promotion FROM baselines FINAL WHERE suite = {suite:String} "
            "AND ({name:String} = '' OR name = {name:String}) "
            "ORDER BY promoted_at DESC, rank LIMIT {limit:UInt64}"
        )
        parameters = {"suite": clean(suite), "name": clean(name), "limit": check_limit(limit)}
        return [from_json(text, Promotion) for (text,) in self._rows(sql, parameters)]

    def baseline_record(self, stored: str) -> bytes | None:
        """Return the record of a digest; None where there is none."""
        sql = "SELECT record FROM baselines WHERE stored = {stored:String} LIMIT 1"
        found = self._rows(sql, {"stored": clean(stored)})
        return str(found[0][0]).encode() if found else None

    def _rows(self, sql: str, parameters: Mapping[str, object]) -> list[Any]:
        with self._pool.client() as client:
            return list(client.query(sql, parameters=dict(parameters), settings=dict(READING)).result_rows)


def _table(promotion: Promotion, text: str, record: bytes) -> pa.Table:
    import pyarrow as pa

    columns = {name: strings([getattr(promotion, name)]) for name in _COLUMNS}
    columns["promoted_at"] = times([utc(promotion.promoted_at)], bounded=False)
    columns["promotion"] = strings([text])
    columns["record"] = strings([record.decode()])
    return pa.table(columns)
