"""The SQL of reads and recomputations. Values travel as server-side parameters; only integers and names are text.

Rolled-up and raw rows give the same columns (:data:`SUMS`), so that one outer ``GROUP BY`` joins them and a window may
be answered from both.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import NamedTuple

from evalsvc.protocols import CellQuery
from evalsvc.store.steps import SEGMENT, Grid, Hours

DIMENSIONS = (
    "application",
    "model",
    "model_version",
    "segments",
    "scorer_version",
    "signature",
    "stratum",
    "design_version",
    "pi",
)
IDENTITY = ("scorer_version", "signature", "stratum", "design_version", "pi")
SUMS = ("n", "n_abstained", "n_failed", "total", "squares", "minimum", "maximum")
HISTOGRAM = ("bins", "counts")

_VALUE = "ifNull(value, 0.)"
_RAW_SUMS = (
    "countIf(status = 'ok') AS n, countIf(status = 'abstained') AS n_abstained, "
    "countIf(status = 'failed') AS n_failed, "
    f"sum({_VALUE}) AS total, sum({_VALUE} * {_VALUE}) AS squares, "
    f"minIf({_VALUE}, status = 'ok') AS minimum, maxIf({_VALUE}, status = 'ok') AS maximum"
)
_OUTER_SUMS = (
    "sum(n), sum(n_abstained), sum(n_failed), sum(total), sum(squares), "
    "minIf(minimum, n > 0), maxIf(maximum, n > 0)"
)

# The bins of evalsvc.stats.quantile: 0 for |v| < 1e-9, else the sign times 100000 + ceil(log |v| / log 1.02).
_BIN = (
    f"if(abs({_VALUE}) < 1e-9, 0, toInt32(sign({_VALUE}) * "
    f"(100000 + ceil(log(greatest(abs({_VALUE}), 1e-9)) / log(1.02)))))"
)
_RAW_BINS = (
    f"sumMapIf([{_BIN}], [toUInt64(1)], status = 'ok') AS histogram, "
    "tupleElement(histogram, 1) AS bins, tupleElement(histogram, 2) AS counts"
)

FINAL_SETTINGS: Mapping[str, str] = {"do_not_merge_across_partitions_select_final": "1"}


class Statement(NamedTuple):
    """SQL with its parameters."""

    sql: str
    parameters: dict[str, object]


def dirty_statement(
    metric: str | None, hours: Hours | None, margin_microseconds: int, limit: int
) -> Statement:
    """Return the buckets (metric, consumer, hour) written to since their last recomputation began, newest first.

    ``limit`` 0 is none.
    """
    parts, parameters = ["1"], dict[str, object]()
    if metric is not None:
        parts.append("metric = {metric:String}")
        parameters["metric"] = metric
    if hours is not None:
        parts.append(f"hour >= toDateTime({hours.first}, 'UTC') AND hour < toDateTime({hours.last}, 'UTC')")
    scope = " AND ".join(parts)
    most = f" LIMIT {limit}" if limit else ""
    never = "toDateTime64(0, 6, 'UTC')"
    sql = f"""
        SELECT metric, consumer, toUnixTimestamp(hour) AS second FROM (
            SELECT metric, consumer, hour, marked_at, {never} AS version FROM marks WHERE {scope}
            UNION ALL
            SELECT metric, consumer, hour, {never} AS marked_at, version FROM rollup WHERE {scope}
        ) GROUP BY metric, consumer, hour
        HAVING toUnixTimestamp64Micro(max(marked_at)) + {margin_microseconds} >= toUnixTimestamp64Micro(max(version))
        ORDER BY hour DESC, metric, consumer{most}"""  # noqa: S608
    return Statement(sql, parameters)


def settle_statement(metric: str, consumer: str, seconds: Collection[int], version: int) -> Statement:
    """Return the recomputation of some hours of a metric and consumer: one row an hour, also where nothing is left."""
    hours = _hour_list(seconds)
    keys = ", ".join(DIMENSIONS)
    columns = (*DIMENSIONS, *SUMS, *HISTOGRAM)
    arrays = ", ".join(f"groupArrayIf({name}, seed = 0)" for name in columns)
    seeds = ", ".join(
        ["toDateTime(arrayJoin([" + hours + "]), 'UTC') AS hour", "1 AS seed", *map(_empty, columns)]
    )
    sql = f"""
        INSERT INTO rollup (metric, consumer, hour, version, {", ".join(columns)})
        SELECT {{metric:String}}, {{consumer:String}}, hour, fromUnixTimestamp64Micro({version}, 'UTC'), {arrays} FROM (
            SELECT {seeds}
            UNION ALL
            SELECT hour, seed, {", ".join(columns)} FROM (
                SELECT toStartOfHour(occurred_at) AS hour, 0 AS seed, {keys}, {_RAW_SUMS}, {_RAW_BINS}
                FROM scores FINAL
                WHERE metric = {{metric:String}} AND consumer = {{consumer:String}}
                  AND toStartOfHour(occurred_at) IN ({hours}) AND {_between(min(seconds), max(seconds) + 3600)}
                GROUP BY hour, {keys}
            )
        ) GROUP BY hour"""  # noqa: S608
    return Statement(sql, {"metric": metric, "consumer": consumer})


class Plan(NamedTuple):
    """Where a query's hours are read: ``rolled`` but ``raw_hours`` from the rollup, the rest (all if ``None``) raw."""

    steps: Grid
    rolled: Hours | None
    raw_hours: frozenset[int]


def cells_statement(query: CellQuery, plan: Plan) -> Statement:
    """Return the sufficient statistics of a query's groups."""
    return _grouped_statement(query, plan, SUMS, _RAW_SUMS, _OUTER_SUMS)


def histograms_statement(query: CellQuery, plan: Plan) -> Statement:
    """Return the histograms of a query's groups, and their counts of scores without a value."""
    columns = ("n_abstained", "n_failed", *HISTOGRAM)
    raw = f"countIf(status = 'abstained') AS n_abstained, countIf(status = 'failed') AS n_failed, {_RAW_BINS}"
    return _grouped_statement(
        query, plan, columns, raw, "sum(n_abstained) + sum(n_failed), sumMap(bins, counts)"
    )


def clusters_statement(query: CellQuery, steps: Grid) -> Statement:
    """Return a query's sufficient statistics with cluster moments, from raw rows: a session is not kept in rollups."""
    filters = _Filters(query)
    keys = _keys(query)
    inner = _raw_select(query, steps, filters, f"{_CLUSTER} AS cluster, {_RAW_SUMS}", "cluster")
    outer = f"{_OUTER_SUMS}, countIf(n > 0), sum(toFloat64(n) * n), sum(n * total), sum(total * total)"
    sql = f"SELECT {keys}, {outer} FROM ({inner}) GROUP BY {keys} ORDER BY {keys}"  # noqa: S608
    return Statement(sql, filters.parameters)


_CLUSTER = "if(session_id = '', event_id, session_id)"


class _Filters:
    """A query's ``by`` expressions and ``where`` conditions, with the parameters that they use."""

    def __init__(self, query: CellQuery) -> None:
        self.parameters: dict[str, object] = {"metric": query.metric}
        self.by = [f"{self._expression(name)} AS key_{place}" for place, name in enumerate(query.by)]
        self.conditions = ["metric = {metric:String}"]
        for place, (name, wanted) in enumerate(query.where.items()):
            self.parameters[f"where_{place}"] = list(wanted)
            self.conditions.append(f"has({{where_{place}:Array(String)}}, {self._expression(name)})")

    def _expression(self, name: str) -> str:
        if not name.startswith(SEGMENT):
            return f"toString({name})"
        parameter = f"segment_{len(self.parameters)}"
        self.parameters[parameter] = name.removeprefix(SEGMENT)
        return f"JSONExtractString(segments, {{{parameter}:String}})"


def _keys(query: CellQuery) -> str:
    return ", ".join(["step", "consumer", *(f"key_{place}" for place in range(len(query.by))), *IDENTITY])


def _grouped_statement(
    query: CellQuery, plan: Plan, columns: tuple[str, ...], raw_columns: str, outer: str
) -> Statement:
    filters, keys = _Filters(query), _keys(query)
    selected = f"{keys}, {', '.join(columns)}"
    parts = []
    if plan.rolled is not None:
        parts.append(f"SELECT {selected} FROM ({_rolled_select(query, plan, filters, columns)})")  # noqa: S608
    if plan.rolled is None or plan.raw_hours:
        hours = plan.raw_hours if plan.rolled is not None else None
        raw = _raw_select(query, plan.steps, filters, raw_columns, "", hours)
        parts.append(f"SELECT {selected} FROM ({raw})")  # noqa: S608
    source = " UNION ALL ".join(parts)
    sql = f"SELECT {keys}, {outer} FROM ({source}) GROUP BY {keys} ORDER BY {keys}"  # noqa: S608
    return Statement(sql, filters.parameters)


def _rolled_select(query: CellQuery, plan: Plan, filters: _Filters, columns: tuple[str, ...]) -> str:
    hours = plan.rolled
    if hours is None:
        return ""
    step = f"intDiv(toInt64(toUnixTimestamp(hour)) * 1000000 - {plan.steps.start}, {plan.steps.step}) AS step"
    needed = _needed(query)
    without = plan.raw_hours & frozenset(range(hours.first, hours.last, 3600))
    conditions = [*filters.conditions, f"hour >= toDateTime({hours.first}, 'UTC')"]
    conditions.append(f"hour < toDateTime({hours.last}, 'UTC')")
    if without:
        conditions.append(f"hour NOT IN ({_hour_list(without)})")
    return (
        f"SELECT {', '.join([step, 'consumer', *filters.by, *IDENTITY, *columns])} "  # noqa: S608
        f"FROM rollup FINAL ARRAY JOIN {', '.join([*needed, *IDENTITY, *columns])} WHERE {' AND '.join(conditions)}"
    )


def _needed(query: CellQuery) -> list[str]:
    """Return the dimension arrays besides the identity that a query's expressions read."""
    names = {"segments" if name.startswith(SEGMENT) else name for name in (*query.by, *query.where)}
    return [name for name in DIMENSIONS[:4] if name in names]


def _raw_select(
    query: CellQuery,
    steps: Grid,
    filters: _Filters,
    columns: str,
    group: str,
    hours: Collection[int] | None = None,
) -> str:
    step = f"intDiv(toUnixTimestamp64Micro(occurred_at) - {steps.start}, {steps.step}) AS step"
    window = (
        f"occurred_at >= fromUnixTimestamp64Micro({steps.start}, 'UTC') "
        f"AND occurred_at < fromUnixTimestamp64Micro({steps.end}, 'UTC')"
    )
    conditions = [*filters.conditions, window]
    if hours is not None:
        conditions.append(f"toStartOfHour(occurred_at) IN ({_hour_list(hours)})")
        conditions.append(_between(min(hours), max(hours) + 3600))
    keys = f"{_keys(query)}, {group}" if group else _keys(query)
    return (
        f"SELECT {', '.join([step, 'consumer', *filters.by, *IDENTITY])}, {columns} FROM scores FINAL "  # noqa: S608
        f"WHERE {' AND '.join(conditions)} GROUP BY {keys}"
    )


def _between(first: int, last: int) -> str:
    return f"occurred_at >= toDateTime64({first}, 6, 'UTC') AND occurred_at < toDateTime64({last}, 6, 'UTC')"


def _hour_list(seconds: Collection[int]) -> str:
    return ", ".join(f"toDateTime({second}, 'UTC')" for second in sorted(seconds))


_TYPES = {
    "scorer_version": "toUInt32(0)",
    "design_version": "toUInt32(0)",
    "pi": "0.",
    **{name: "toUInt64(0)" for name in ("n", "n_abstained", "n_failed")},
    **{name: "0." for name in ("total", "squares", "minimum", "maximum")},
    "bins": "CAST([], 'Array(Int32)')",
    "counts": "CAST([], 'Array(UInt64)')",
}


def _empty(column: str) -> str:
    return f"{_TYPES.get(column, _EMPTY_TEXT)} AS {column}"


_EMPTY_TEXT = "CAST('', 'LowCardinality(String)')"
