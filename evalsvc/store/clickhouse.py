"""The ClickHouse store: the same SQL on a server, on the embedded engine, and over another process's bridge.

Reads go to hourly rollups wherever whole hours lie in one step, after bringing those up to date that were
written to since; raw rows answer the rest. ``docs/decisions/002-ledger-and-rollups.md`` says why the sum is
exact. A little longer than other files: every method of the contract is here, and hardly more than its SQL.
"""

from __future__ import annotations

import hashlib
import math
import threading
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence, Set
from contextlib import AbstractContextManager
from datetime import datetime
from itertools import groupby, starmap
from typing import TYPE_CHECKING, Any

import msgspec

from evalsvc.errors import SchemaError
from evalsvc.protocols import (
    CellColumns,
    CellGroup,
    CellQuery,
    DeadLetterQuery,
    FeatureGroup,
    HistogramGroup,
    MissingReason,
    Offered,
    StatisticGroup,
    StatisticSums,
    StatusQuery,
)
from evalsvc.store import letters, migrate, queries
from evalsvc.store.columns import (
    KNOWN,
    Mark,
    dead_letter_table,
    event_table,
    ledger_table,
    mark_values,
    score_table,
    scorer_table,
)
from evalsvc.store.connections import SETTINGS, Pool, portions
from evalsvc.store.ranks import clean, design_conflict, microseconds, moment
from evalsvc.store.rollups import Rollups
from evalsvc.store.steps import SECOND, Grid, Nested, check_names, edge_hours, grid, nested, whole_hours
from evalsvc.types import (
    Cell,
    DeadLetter,
    DeadReason,
    Event,
    KnownEvent,
    LedgerCount,
    LedgerEntry,
    LedgerOutcome,
    Score,
    ScorerSpec,
    Subject,
    Window,
    WriteBatch,
    utc,
)

if TYPE_CHECKING:
    import pyarrow as pa
    from clickhouse_connect.driver.client import Client

    from evalsvc.store.alerts import ClickHouseAlertLog
    from evalsvc.store.baselines import ClickHouseBaselineLog
    from evalsvc.store.verdicts import ClickHouseVerdictLog

_RAW_INSERT = {**SETTINGS, "optimize_on_insert": "0"}
Row = tuple[Any, ...]

MOST_CELLS = 2_000_000
"""From so many cells on the engine adds them up, which takes it longer and this process less memory."""


class ClickHouseStore:
    """A :class:`~evalsvc.protocols.ScoreStore` in ClickHouse; :func:`evalsvc.store.open_store` makes one.

    ``margin_seconds`` is how far the clocks of a server's replicas may differ: a bucket written to within
    that time before its recomputation is recomputed again. Zero where one clock stamps both. ``address`` is what is
    awaited while nothing answers, for people; empty for an engine of this process, which needs no waiting for.
    """

    def __init__(
        self,
        pool: Pool,
        *,
        margin_seconds: float = 0.0,
        retention: migrate.Retention | None = None,
        on_close: Callable[[], None] | None = None,
        address: str = "",
    ) -> None:
        """Wrap connections to a database that exists; call :meth:`migrate` or :meth:`check_schema` next."""
        self._pool = pool
        self._rollups = Rollups(pool, int(margin_seconds * SECOND))
        self._retention = retention
        self._on_close = on_close
        self.address = address
        self._alerts: ClickHouseAlertLog | None = None
        self._lock = threading.Lock()

    @property
    def alerts(self) -> ClickHouseAlertLog:
        """What is remembered of alerts, in the same database; always the same object, which remembers its leases."""
        from evalsvc.store.alerts import ClickHouseAlertLog  # loads the rules, and numpy with them

        with self._lock:
            self._alerts = self._alerts or ClickHouseAlertLog(self._pool)
            return self._alerts

    @property
    def verdicts(self) -> ClickHouseVerdictLog:
        """What is remembered of gates' verdicts, in the same database."""
        from evalsvc.store.verdicts import ClickHouseVerdictLog

        return ClickHouseVerdictLog(self._pool)

    @property
    def baselines(self) -> ClickHouseBaselineLog:
        """What is remembered of baselines, in the same database."""
        from evalsvc.store.baselines import ClickHouseBaselineLog

        return ClickHouseBaselineLog(self._pool)

    # Schema.

    def migrate(self, *, dry_run: bool = False) -> Sequence[str]:
        """Bring the schema and the retention up to date; return what was done, or with ``dry_run`` would be.

        Raises:
            SchemaError: the schema is newer than this release, or an applied migration was edited.
        """
        from evalsvc.store.schema import release

        migrations = migrate.packaged()
        with self._pool.client() as client:
            todo = migrate.pending(client, migrations)
            done = [f"{migration.version:04d}_{migration.name}" for migration in todo]
            if dry_run and todo:
                return done
            if not dry_run:
                migrate.apply(client, todo, release())
            for statement in migrate.overdue_retention(client, self._retention or migrate.Retention()):
                done.append(statement)
                if not dry_run:
                    client.command(statement)
        return done

    def check_schema(self) -> None:
        """Refuse a schema that this release does not fit.

        Raises:
            SchemaError: it is older, newer or edited; the message says what to run.
        """
        with self._pool.client() as client:
            todo = migrate.pending(client, migrate.packaged())
        if todo:
            raise SchemaError(
                f"The store's schema lacks {len(todo)} migration(s), "
                f"from {todo[0].version:04d}_{todo[0].name} on; "
                "run `evalsvc migrate`"
            )

    def connection(self) -> AbstractContextManager[Client]:
        """Lend a connection of the driver, for what this class has no method for (erasure, benchmarks)."""
        return self._pool.client()

    # Writing.

    def write(self, batch: WriteBatch) -> None:
        """Make a batch durable: events, what is known of them, scores, their marks, dead letters, the ledger last."""
        if batch.events:
            events = event_table(batch.events)
            self._insert("events", events)
            self._insert("known", events.select(KNOWN))
        if batch.scores:
            table, marks = score_table(batch.scores)
            self._insert("scores", table, _RAW_INSERT)
            self._mark(marks)
        if batch.dead_letters:
            self._insert("dead_letters", dead_letter_table(batch.dead_letters))
        if batch.ledger:
            self._insert("ledger", ledger_table(batch.ledger))

    def _insert(self, table: str, rows: pa.Table, settings: Mapping[str, str] = SETTINGS) -> None:
        with self._pool.client() as client:
            client.insert_arrow(table, rows, settings=dict(settings))

    def _mark(self, marks: Iterable[Mark]) -> None:
        settings = ", ".join(f"{name} = {value}" for name, value in SETTINGS.items())
        with self._pool.client() as client:
            client.command(
                f"INSERT INTO marks (metric, consumer, hour) SETTINGS {settings} VALUES {mark_values(marks)}"  # noqa: S608
            )

    # What was read and what was offered.

    def resume(self, consumer: str, partition: str) -> LedgerEntry | None:
        """Return the entry of the chunk with the greatest start, or None."""
        mine = "consumer = {consumer:String} AND partition = {partition:String}"
        sql = (
            "SELECT start, upto, arrayZip(minutes, strata, design_versions, outcomes, counts) FROM ledger FINAL "  # noqa: S608
            f"WHERE {mine} AND start = (SELECT max(start) FROM ledger WHERE {mine})"
        )
        rows = self._rows(sql, {"consumer": clean(consumer), "partition": clean(partition)})
        for start, upto, counts in rows:
            return LedgerEntry(consumer, partition, start, upto, tuple(starmap(LedgerCount, counts)))
        return None

    def dead_letters_in(self, consumer: str, partition: str, start: int, end: int) -> int:
        """Return how many records at the offsets ``[start, end)`` of a partition are dead letters, each once."""
        sql = (
            "SELECT uniqExact(offset) FROM dead_letters WHERE consumer = {consumer:String} "
            "AND partition = {partition:String} AND offset >= {start:Int64} AND offset < {end:Int64}"
        )
        place = {"consumer": clean(consumer), "partition": clean(partition), "start": start, "end": end}
        return int(self._rows(sql, place)[0][0])

    def dead_letters(self, query: DeadLetterQuery, limit: int) -> Sequence[DeadLetter]:
        """Return at most ``limit`` dead letters, the last received first, and of a partition the last offset."""
        return [letters.letter_of(row) for row in self._rows(*letters.letters_statement(query, limit))]

    def dead_reasons(self, query: DeadLetterQuery) -> Sequence[DeadReason]:
        """Count dead letters by reason, the most frequent first, with the first received of each."""
        rows = self._rows(*letters.reasons_statement(query))
        return [DeadReason(reason, records, *first) for reason, records, first in rows]

    def known(self, event_ids: Sequence[str], consumer: str) -> Mapping[str, KnownEvent]:
        """Return what this consumer took under these ids as long as scores are kept; absent ids have no entry."""
        sql = (
            "SELECT event_id, argMax((digest, partition, offset), rank) FROM known "
            "WHERE consumer = {consumer:String} AND event_id IN {ids:Array(String)} GROUP BY event_id"
        )
        stored = {clean(name): name for name in event_ids}
        found = {}
        for ids in portions(list(stored)):
            for name, place in self._rows(sql, {"consumer": clean(consumer), "ids": ids}):
                found[stored[name]] = KnownEvent(*place)
        return found

    def events(self, event_ids: Sequence[str]) -> Mapping[str, Event]:
        """Return the masked events under these ids that are still kept, of whatever consumer."""
        sql = (
            "SELECT event_id, argMax(event, rank) FROM events WHERE event_id IN {ids:Array(String)} "
            "GROUP BY consumer, event_id ORDER BY consumer DESC"
        )
        stored = {clean(name): name for name in event_ids}
        found = {}
        for ids in portions(list(stored)):
            for name, text in self._rows(sql, {"ids": ids}):
                found[stored[name]] = msgspec.json.decode(text, type=Event)
        return found

    def offered(self, window: Window, step_seconds: int, consumer: str | None = None) -> Sequence[Offered]:
        """Return what was offered and taken by step and stratum; a minute counts in the step it begins in."""
        steps = grid(window, step_seconds)
        minute = 60 * SECOND
        first, end = -(-steps.start // minute), -(-steps.end // minute)
        mine = "" if consumer is None else " AND consumer = {consumer:String}"
        sql = (
            f"SELECT intDiv(minute * {minute} - {steps.start}, {steps.step}) AS step, "  # noqa: S608
            "consumer, stratum, design_version, "
            "sum(count) AS offered, sumIf(count, outcome = 'sampled'), sumIf(count, outcome = 'duplicate') "
            f"FROM (SELECT * FROM ledger FINAL WHERE last_minute >= {first} AND first_minute < {end}{mine}) "
            "ARRAY JOIN minutes AS minute, strata AS stratum, design_versions AS design_version, "
            "outcomes AS outcome, counts AS count "
            f"WHERE minute >= {first} AND minute < {end} AND outcome IN ('skipped', 'sampled', 'duplicate') "
            "GROUP BY step, consumer, stratum, design_version HAVING offered > 0 "
            "ORDER BY step, consumer, stratum, design_version"
        )
        rows = self._rows(sql, {} if consumer is None else {"consumer": clean(consumer)})
        return [Offered(steps.window(row[0]), *row[1:]) for row in rows]

    # Aggregates.

    def outcomes(self, consumer: str | None = None) -> Mapping[LedgerOutcome, int]:
        """Return what became of every record ever read."""
        mine = "" if consumer is None else " WHERE consumer = {consumer:String}"
        sql = (
            "SELECT outcome, sum(count) AS total FROM (SELECT outcomes, counts "  # noqa: S608
            f"FROM ledger FINAL{mine}) ARRAY JOIN outcomes AS outcome, counts AS count GROUP BY outcome"
        )
        return dict(self._rows(sql, {} if consumer is None else {"consumer": clean(consumer)}))

    def cells(self, query: CellQuery, *, raw: bool = False) -> Sequence[CellGroup]:
        """Return sufficient statistics by step, group and stratum, ordered by all of their keys.

        ``raw`` leaves the rollups aside, to check or to measure them.
        """
        return self.cells_by_metric([query.metric], query, raw=raw)[query.metric]

    def cells_by_metric(
        self, metrics: Sequence[str], query: CellQuery, *, raw: bool = False
    ) -> Mapping[str, Sequence[CellGroup]]:
        """Answer one question for several metrics at once; the query's own metric is not looked at.

        Every metric has an entry, empty where nothing was scored.
        """
        check_names(query)
        steps = grid(query.window, query.step_seconds)
        return self._cells(metrics, query, self._plan(metrics, steps, raw))[0]

    def cells_since(
        self, metrics: Sequence[str], query: CellQuery, starts: Sequence[datetime]
    ) -> Mapping[str, Sequence[CellGroup]]:
        """Return the cells of each window from one of ``starts`` to the query's end, read at once from raw rows."""
        check_names(query)
        return self._cells(metrics, query, queries.Plan(nested(query.window, starts), None, frozenset()))[0]

    def group_counts(self, metrics: Sequence[str], query: CellQuery) -> Mapping[str, int]:
        """Return how many consumers and keys of ``by`` each metric has scores of."""
        check_names(query)
        steps = grid(query.window, max(1, math.ceil(query.window.seconds)))
        found = self._rows(*queries.group_counts_statement(metrics, query, self._plan(metrics, steps, raw=False)))
        return dict.fromkeys(metrics, 0) | dict(found)

    def versions(self, metrics: Sequence[str], window: Window) -> Mapping[tuple[str, datetime], int]:
        """Return when each metric's hours were last written to, in microseconds of the store's clock."""
        hours = (math.ceil(window.start.timestamp()), math.ceil(window.end.timestamp()))
        rows = self._rows(*queries.versions_statement(metrics, *hours))
        return {(metric, moment(second * SECOND)): version for metric, second, version in rows}

    def cell_columns(self, metrics: Sequence[str], query: CellQuery) -> CellColumns:
        """Return what :meth:`cells_by_metric` returns, in columns; quicker from hundreds of groups on."""
        from evalsvc.store.cell_columns import columns_of, columns_of_named, columns_of_table

        if query.clusters:
            return columns_of(self.cells_by_metric(metrics, query))
        check_names(query)
        steps = grid(query.window, query.step_seconds)
        plan = self._plan(metrics, steps, raw=False)
        if plan.rolled is not None and self._rows(*queries.count_statement(metrics, plan.rolled))[0][0] > MOST_CELLS:
            return columns_of_table(self._table(queries.cells_statement(metrics, query, plan)), steps, query.by)
        return columns_of_named(self._table(queries.named_cells_statement(metrics, query, plan)), steps, query.by)

    def _table(self, statement: queries.Statement) -> pa.Table:
        import pyarrow as pa

        # Settings stand in the statement: beside it, the embedded engine would be told each of them, and back.
        settings = ", ".join(f"{name} = {value}" for name, value in (queries.SETTINGS | queries.ARROW).items())
        with self._pool.client() as client:
            sql = f"{statement.sql} SETTINGS {settings}"
            found = client.raw_query(sql, parameters=statement.parameters, fmt="Arrow")
        return pa.ipc.open_file(found).read_all()

    def _cells(
        self, metrics: Sequence[str], query: CellQuery, plan: queries.Plan
    ) -> tuple[Mapping[str, Sequence[CellGroup]], queries.Plan]:
        """Return the cells, and the plan by which they were read in the end."""
        steps = plan.steps
        statement = queries.cells_statement(metrics, query, plan)
        found: dict[str, list[CellGroup]] = {metric: [] for metric in metrics}
        groups = list(self._groups(query, steps, statement))
        # Read after the sums: a score that is written in between weighs in a variance before it counts.
        moments = self._moments(metrics, query, steps) if query.clusters else None
        if moments is not None and plan.rolled is not None and _lacking(groups, moments):
            # Raw rows have expired that the rollup still counts: scores without their sessions would seem independent.
            return self._cells(metrics, query, queries.Plan(steps, None, frozenset()))
        for metric, window, consumer, key, version, signature, rows in groups:
            cells = [_cell(row) if moments is None else _cell(row[:-1], moments.get(row[-1], ())[1:]) for row in rows]
            found[metric].append(CellGroup(window, consumer, key, version, signature, cells))
        return found, plan

    def _moments(self, metrics: Sequence[str], query: CellQuery, steps: Grid | Nested) -> dict[int, Row]:
        statement = queries.moments_statement(metrics, query, steps)
        rows = self._rows(*statement)
        return {place: tuple(moments) for place, *moments in rows}

    def histograms(self, query: CellQuery, *, raw: bool = False) -> Sequence[HistogramGroup]:
        """Return the groups of :meth:`cells` with histograms on the bins of :mod:`evalsvc.stats.quantile`.

        ``raw`` leaves the rollups aside, to check or to measure them.
        """
        check_names(query)
        steps = grid(query.window, query.step_seconds)
        groups, plan = self._cells([query.metric], query, self._plan([query.metric], steps, raw))
        bins: dict[Row, dict[Row, dict[int, int]]] = {}
        statement = queries.histograms_statement(query, plan)
        for _, window, consumer, key, version, signature, rows in self._groups(query, steps, statement):
            held = {row[:3]: dict(sorted(zip(row[3], row[4], strict=True))) for row in rows}
            bins[window, consumer, *key.values(), version, signature] = held
        return [HistogramGroup(group, bins.get(_identity(group), {})) for group in groups[query.metric]]

    def statistics(self, query: CellQuery, *, raw: bool = False) -> Sequence[StatisticGroup]:
        """Return the groups of :meth:`cells` with the sums of their statistics, which are always read raw."""
        check_names(query)
        steps = grid(query.window, query.step_seconds)
        groups = self._cells([query.metric], query, self._plan([query.metric], steps, raw))[0][query.metric]
        sums: dict[Row, dict[Row, StatisticSums]] = {}
        statement = queries.statistics_statement(query, steps)
        for _, window, consumer, key, version, signature, rows in self._groups(query, steps, statement):
            held = {row[:3]: StatisticSums(*row[3:]) for row in rows}
            sums[window, consumer, *key.values(), version, signature] = held
        return [StatisticGroup(group, sums.get(_identity(group), {})) for group in groups]

    def feature_sums(self, query: CellQuery, *, raw: bool = False) -> Sequence[FeatureGroup]:
        """Return the groups of :meth:`cells` with the sums of their features.

        ``raw`` leaves the rollups aside, to check or to measure them.
        """
        check_names(query)
        steps = grid(query.window, query.step_seconds)
        groups, plan = self._cells([query.metric], query, self._plan([query.metric], steps, raw))
        sums: dict[Row, dict[Row, Sequence[float]]] = {}
        statement = queries.feature_sums_statement(query, plan)
        for _, window, consumer, key, version, signature, rows in self._groups(query, steps, statement):
            held = {row[:3]: row[3] for row in rows if row[3]}
            sums[window, consumer, *key.values(), version, signature] = held
        return [FeatureGroup(group, sums.get(_identity(group), {})) for group in groups[query.metric]]

    def scores(self, query: CellQuery, limit: int) -> Sequence[Score]:
        """Return at most ``limit`` scores of the query's metric, window and ``where``, by their event ids' MD5."""
        check_names(query)
        steps = grid(query.window, int(query.window.seconds) + 1)
        return [_score(query.metric, row) for row in self._rows(*queries.scores_statement(query, steps, limit))]

    def missing(self, query: CellQuery, limit: int) -> Sequence[MissingReason]:
        """Return why scores of the query's metric, window and ``where`` have no value, the most frequent first."""
        check_names(query)
        rows = self._rows(*queries.missing_statement(query, grid(query.window, query.step_seconds), limit))
        return [MissingReason(*row) for row in rows]

    def with_status(self, query: StatusQuery, event_ids: Sequence[str]) -> Set[str]:
        """Return those of these events whose score that the query means has one of its statuses."""
        stored = {clean(name): name for name in event_ids}
        found: set[str] = set()
        for ids in portions(list(stored)):
            found.update(stored[name] for (name,) in self._rows(*queries.status_statement(query, ids)))
        return found

    def _groups(
        self, query: CellQuery, steps: Grid | Nested, statement: queries.Statement
    ) -> Iterator[tuple[str, Window, str, dict[str, str], int, str, list[Row]]]:
        """Order rows and cut them into groups; a row is left with (stratum, design version, π, sums…)."""
        width = 3 + len(query.by)
        windows: dict[int, Window] = {}
        found = self._rows(*statement)
        identities = {text: queries.identity_of(text) for text in {row[width] for row in found}}
        rows = [(*row[:width], *identities[row[width]], *row[width + 1 :]) for row in found]
        rows.sort(key=lambda row: row[: width + 5])
        for head, members in groupby(rows, key=lambda row: row[: width + 2]):
            window = windows.get(head[1]) or windows.setdefault(head[1], steps.window(head[1]))
            key = dict(zip(query.by, head[3:width], strict=True))
            rest = [row[width + 2 :] for row in members]
            yield head[0], window, head[2], key, head[width], head[width + 1], rest

    def _plan(self, metrics: Sequence[str], steps: Grid, raw: bool) -> queries.Plan:
        """Decide what the rollup may answer, after recomputing what it may not yet."""
        hours = None if raw else whole_hours(steps)
        if hours is None:
            return queries.Plan(steps, None, frozenset())
        stale = self._rollups.settle_within(metrics, hours)
        return queries.Plan(steps, hours, frozenset(edge_hours(steps, hours) | stale))

    # Rollups.

    def settle(self, limit: int | None = None) -> int:
        """Recompute buckets that were written to since their last recomputation; return how many.

        At most ``limit``, the newest first. Reads do this for their own window; a worker that calls it now
        and then keeps them short.
        """
        return self._rollups.settle(limit)

    # Scorers and designs.

    def metrics(self) -> Sequence[ScorerSpec]:
        """Return the scorers that have written here, every version, by metric, version and signature."""
        rows = self._rows("SELECT spec FROM scorers FINAL ORDER BY metric, version, signature")
        return [msgspec.json.decode(text, type=ScorerSpec) for (text,) in rows]

    def record_scorers(self, specs: Sequence[ScorerSpec]) -> None:
        """Remember what these scorers mean; the last description of a version stays."""
        held = set(self.metrics())
        fresh = list({(spec.metric, spec.version, spec.signature): spec for spec in specs if spec not in held}.values())
        if fresh:
            self._insert("scorers", scorer_table(fresh))

    def record_design(self, consumer: str, version: int, effective_from: datetime, design: str) -> None:
        """Remember a sampling design.

        Raises:
            InputError: where that version of the consumer's design is already recorded with other content.
        """
        since = utc(effective_from)
        content = (version, since, design)
        if not self._recorded(consumer, version):
            digest = hashlib.sha256(f"{microseconds(since)}\0{design}".encode()).hexdigest()
            with self._pool.client() as client:
                client.insert(
                    "designs",
                    [[consumer, version, since, design, digest]],
                    column_names=["consumer", "version", "effective_from", "design", "digest"],
                    settings=SETTINGS,
                )
        if self._recorded(consumer, version) != content:
            raise design_conflict(consumer, version)

    def _recorded(self, consumer: str, version: int) -> tuple[int, datetime, str] | None:
        return next((row for row in self.designs(consumer) if row[0] == version), None)

    def designs(self, consumer: str) -> Sequence[tuple[int, datetime, str]]:
        """Return (version, effective_from, design JSON) of a consumer, oldest first.

        Of two contents that raced for one version, the first written counts.
        """
        sql = (
            "SELECT version, toUnixTimestamp64Micro(effective_from), design FROM designs "
            "WHERE consumer = {consumer:String} "
            "ORDER BY version, written_at, digest LIMIT 1 BY version"
        )
        rows = self._rows(sql, {"consumer": clean(consumer)})
        return [(version, moment(since), text) for version, since, text in rows]

    def close(self) -> None:
        """Release connections and, where it is this process's own, the folder. May be called twice."""
        self._pool.close()
        on_close, self._on_close = self._on_close, None
        if on_close is not None:
            on_close()

    def _rows(self, sql: str, parameters: Mapping[str, object] | None = None) -> list[Any]:
        with self._pool.client() as client:
            found = client.query(sql, parameters=dict(parameters or {}), settings=dict(queries.SETTINGS))
            return list(found.result_rows)


def _identity(group: CellGroup) -> Row:
    return (group.window, group.consumer, *group.key.values(), group.scorer_version, group.signature)


def _lacking(groups: Iterable[tuple[Any, ...]], moments: Mapping[int, Row]) -> bool:
    """Whether a cell counts more scores than its moments were made of."""
    rows = [row for group in groups for row in group[-1]]
    return any(row[3] > moments.get(row[-1], (0,))[0] for row in rows)


def _cell(row: Row, moments: Row | None = None) -> Cell:
    stratum, design_version, pi, n, abstained, failed, total, squares, low, high = row
    edges = (low, high) if n else (None, None)
    return Cell(stratum, design_version, pi, n, abstained, failed, total, squares, *edges, *(moments or ()))


def _score(metric: str, row: Row) -> Score:
    event_id, micros, consumer, application, model, model_version, segments, session, stratum, design, *rest = row
    version, signature, bits, status, value, reason, detail, statistics = rest
    subject = Subject(
        event_id,
        moment(micros),
        consumer,
        application,
        model,
        model_version,
        msgspec.json.decode(segments, type=dict[str, str]),
        session,
        stratum,
        design,
    )
    pi = queries.pi_of(bits)
    known = value if status == "ok" else None
    return Score(subject, metric, version, signature, pi, status, known, reason, detail, tuple(statistics))
