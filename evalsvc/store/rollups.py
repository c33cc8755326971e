"""Keeping the rollup true: which buckets are dirty, and their recomputation.

A bucket is a metric's and consumer's hour. Every write marks its buckets after its scores; a recomputation
takes the server's time first, then reads, then replaces the whole bucket. So a bucket whose recomputation
began after its last mark holds every score that was acknowledged
(``docs/decisions/002-ledger-and-rollups.md``).
"""

from __future__ import annotations

import logging
from collections import defaultdict
from collections.abc import Iterator, Sequence

from evalsvc.store import queries
from evalsvc.store.connections import SETTINGS, Pool
from evalsvc.store.steps import Hours

log = logging.getLogger("evalsvc.store")

Bucket = tuple[str, str, int]
"""Metric, consumer, hour as seconds since the epoch."""

SETTLE_LIMIT = 2000
"""How many buckets one read recomputes at most; what is left of its window it reads raw."""

_TOGETHER = 400


class Rollups:
    """The rollup table's upkeep; safe in several processes: of two recomputations the later begun wins."""

    def __init__(self, pool: Pool, margin_microseconds: int) -> None:
        """Work over a pool; a bucket marked within the margin before its recomputation is dirty still."""
        self._pool, self._margin = pool, margin_microseconds

    def settle(self, limit: int | None = None) -> int:
        """Recompute dirty buckets, the newest first; return how many."""
        done = 0
        while limit is None or done < limit:
            most = SETTLE_LIMIT if limit is None else min(SETTLE_LIMIT, limit - done)
            buckets = self._dirty(None, None, most)
            self._recompute(buckets)
            done += len(buckets)
            if len(buckets) < most:
                break
        return done

    def settle_within(self, metrics: Sequence[str], hours: Hours) -> set[int]:
        """Recompute some metrics' dirty hours, the newest first; return those that were too many."""
        buckets = self._dirty(metrics, hours, SETTLE_LIMIT + 1)
        self._recompute(buckets[:SETTLE_LIMIT])
        if len(buckets) <= SETTLE_LIMIT:
            return set()
        return {second for _, _, second in self._dirty(metrics, hours, 0)}

    def _dirty(self, metrics: Sequence[str] | None, hours: Hours | None, limit: int) -> list[Bucket]:
        statement = queries.dirty_statement(metrics, hours, self._margin, limit)
        with self._pool.client() as client:
            found = client.query(*statement, settings=dict(queries.SETTINGS))
            return [(row[0], row[1], row[2]) for row in found.result_rows]

    def _recompute(self, buckets: Sequence[Bucket]) -> None:
        for consumer, metrics, seconds in _together(buckets):
            width = max(1, _TOGETHER // len(metrics))
            for place in range(0, len(seconds), width):
                self._recompute_hours(consumer, metrics, seconds[place : place + width])
        if buckets:
            log.debug("settled buckets=%d", len(buckets))

    def _recompute_hours(self, consumer: str, metrics: Sequence[str], seconds: Sequence[int]) -> None:
        with self._pool.client() as client:
            # Taken before the read begins: what is written after it leaves a mark that is later.
            version = client.query("SELECT toUnixTimestamp64Micro(now64(6))").result_rows[0][0]
            statement = queries.settle_statement(metrics, consumer, seconds, version)
            settings = {**SETTINGS, **queries.SETTINGS}
            client.command(statement.sql, parameters=statement.parameters, settings=settings)


def _together(buckets: Sequence[Bucket]) -> Iterator[tuple[str, list[str], list[int]]]:
    """Join the metrics of a consumer that are dirty in the same hours: one statement recomputes them all."""
    hours: dict[tuple[str, str], list[int]] = defaultdict(list)
    for metric, consumer, second in buckets:
        hours[(consumer, metric)].append(second)
    metrics: dict[tuple[str, tuple[int, ...]], list[str]] = defaultdict(list)
    for (consumer, metric), seconds in hours.items():
        metrics[(consumer, tuple(sorted(seconds)))].append(metric)
    for (consumer, together), names in metrics.items():
        yield consumer, names, list(together)
