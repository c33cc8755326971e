"""The SQL of reads and recomputations. Values travel as parameters; only integers and names are text.

A bucket of the rollup holds its cells in arrays, each named by one text (``cell``, JSON): the engine works on
the few distinct texts of a low-cardinality column instead of on nine columns a row. Rolled-up and raw rows
give the same columns, so that one outer ``GROUP BY`` joins them and a window may be answered from both.

Longer than other files: all SQL that reads is here, so that the schema is known to one module.
"""

from __future__ import annotations

import struct
from collections.abc import Collection, Sequence
from typing import NamedTuple

import msgspec

from evalsvc.protocols import CellQuery, StatusQuery
from evalsvc.store.ranks import clean, microseconds
from evalsvc.store.steps import HOUR_SECONDS, SECOND, SEGMENT, Grid, Hours, Nested

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
FEATURES = ("sums",)

# A statement names its window, so what is compiled for it serves it alone and takes longer than it ever saves.
SETTINGS: dict[str, str] = {
    "do_not_merge_across_partitions_select_final": "1",
    "compile_expressions": "0",
    "compile_aggregate_expressions": "0",
}
ARROW: dict[str, str] = {
    "output_format_arrow_string_as_string": "1",
    "output_format_arrow_low_cardinality_as_dictionary": "1",
}

_VALUE = "ifNull(value, 0.)"
_RAW_SUMS = (
    "countIf(status = 'ok') AS n, countIf(status = 'abstained') AS n_abstained, "
    f"countIf(status = 'failed') AS n_failed, sum({_VALUE}) AS total, sum({_VALUE} * {_VALUE}) AS squares, "
    f"minIf({_VALUE}, status = 'ok') AS minimum, maxIf({_VALUE}, status = 'ok') AS maximum"
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

_RAW_FEATURES = "sumForEachIf(statistics, status = 'ok') AS sums"

# What keeps cells of one group apart, as one text: fewer keys to group by. π travels as its bits, exactly.
_IDENTITY = (
    "'[' || toString(scorer_version) || ',' || toJSONString(signature) || ',' || toJSONString(stratum) "
    "|| ',' || toString(design_version) || ',' || toString(reinterpretAsUInt64(pi)) || ']'"
)
_CELL = (
    "'{\"application\":' || toJSONString(application) || ',\"model\":' || toJSONString(model) "
    "|| ',\"model_version\":' || toJSONString(model_version) || ',\"segments\":' || segments "
    f"|| ',\"identity\":' || toJSONString({_IDENTITY}) || '}}'"
)
# The parts of an identity's text as raw rows have them, types included: numbers made of either are the same.
_NUMBERED = (
    "toUInt32(JSONExtractUInt(identity, 1)), JSONExtractString(identity, 2), JSONExtractString(identity, 3), "
    "toUInt32(JSONExtractUInt(identity, 4)), JSONExtractUInt(identity, 5)"
)
_FROM_CELL = "JSONExtractString(cell, 'identity') AS identity"


def identity_of(text: str) -> tuple[int, str, str, int, float]:
    """Return (scorer version, signature, stratum, design version, π) of an ``identity`` column's text.

    >>> identity_of('[2,"a:b","all",1,4598175219545276416]')
    (2, 'a:b', 'all', 1, 0.25)
    """
    version, signature, stratum, design_version, bits = msgspec.json.decode(text)
    return version, signature, stratum, design_version, pi_of(bits)


class Statement(NamedTuple):
    """SQL with its parameters."""

    sql: str
    parameters: dict[str, object]


class Plan(NamedTuple):
    """Which hours are read where: those of ``rolled`` but ``raw_hours`` from the rollup, the others raw.

    Everything is raw where ``rolled`` is ``None``, as it is for nested windows.
    """

    steps: Grid | Nested
    rolled: Hours | None
    raw_hours: frozenset[int]


class Reading(NamedTuple):
    """What is summed: the names, how raw rows give them, and how groups are joined, in the names' order."""

    columns: tuple[str, ...]
    raw: str
    joined: tuple[str, ...]


CELLS = Reading(
    SUMS,
    _RAW_SUMS,
    (*(f"sum({name})" for name in SUMS[:5]), "minIf(minimum, n > 0)", "maxIf(maximum, n > 0)"),
)
# What columns of cells hold; the least and the greatest are not among them.
COLUMN_SUMS = Reading(SUMS[:5], _RAW_SUMS, CELLS.joined[:5])
# Bins of several hours are not added up yet, only put one behind the other.
HISTOGRAMS = Reading(HISTOGRAM, _RAW_BINS, ("groupArrayArray(bins)", "groupArrayArray(counts)"))
FEATURE_SUMS = Reading(FEATURES, _RAW_FEATURES, ("sumForEach(sums)",))


def dirty_statement(
    metrics: Sequence[str] | None, hours: Hours | None, margin_microseconds: int, limit: int
) -> Statement:
    """Return the buckets (metric, consumer, hour) written to since their last recomputation began.

    The newest come first; ``limit`` 0 is none.
    """
    parts, parameters = ["1"], dict[str, object]()
    if metrics is not None:
        parts.append("metric IN {metrics:Array(String)}")
        parameters["metrics"] = list(metrics)
    if hours is not None:
        parts.append(_hours_between(hours))
    scope = " AND ".join(parts)
    most = f" LIMIT {limit}" if limit else ""
    never = "toDateTime64(0, 6, 'UTC')"
    marked = f"toUnixTimestamp64Micro(max(marked_at)) + {margin_microseconds}"
    clean = f"{marked} < toUnixTimestamp64Micro(max(version))"
    sql = f"""
        SELECT metric, consumer, toUnixTimestamp(hour) AS second FROM (
            SELECT metric, consumer, hour, marked_at, {never} AS version FROM marks WHERE {scope}
            UNION ALL
            SELECT metric, consumer, hour, {never} AS marked_at, version FROM rollup WHERE {scope}
        ) GROUP BY metric, consumer, hour HAVING NOT {clean}
        ORDER BY hour DESC, metric, consumer{most}"""  # noqa: S608
    return Statement(sql, parameters)


def versions_statement(metrics: Sequence[str], start: int, end: int) -> Statement:
    """Return (metric, hour in seconds, last written to in microseconds) of the hours that begin in ``[start, end)``."""
    sql = (
        "SELECT metric, toUnixTimestamp(hour), toUnixTimestamp64Micro(max(marked_at)) FROM marks "
        "WHERE metric IN {metrics:Array(String)} AND hour >= toDateTime({start:UInt32}, 'UTC') "
        "AND hour < toDateTime({end:UInt32}, 'UTC') GROUP BY metric, hour"
    )
    return Statement(sql, {"metrics": list(metrics), "start": start, "end": end})


def settle_statement(metrics: Sequence[str], consumer: str, seconds: Collection[int], version: int) -> Statement:
    """Return the recomputation of hours of a consumer's metrics: a row a bucket, even an empty one."""
    hours, columns = _hour_list(seconds), (*SUMS, *HISTOGRAM, *FEATURES)
    arrays = ", ".join(f"groupArrayIf({name}, seed = 0)" for name in ("cell", *columns))
    sql = f"""
        INSERT INTO rollup (metric, consumer, hour, version, cell, {", ".join(columns)})
        SELECT metric, {{consumer:String}}, hour, fromUnixTimestamp64Micro({version}, 'UTC'), {arrays} FROM (
            SELECT arrayJoin({{metrics:Array(String)}}) AS metric, arrayJoin([{hours}]) AS hour, 1 AS seed,
                '' AS cell, {", ".join(f"{empty} AS {name}" for name, empty in _EMPTY.items())}
            UNION ALL
            SELECT metric, hour, 0 AS seed, {_CELL} AS cell, {", ".join(columns)} FROM (
                SELECT metric, toStartOfHour(occurred_at) AS hour, {", ".join(DIMENSIONS)}, {_RAW_SUMS},
                {_RAW_BINS}, {_RAW_FEATURES} FROM scores FINAL WHERE metric IN {{metrics:Array(String)}} AND consumer =
                {{consumer:String}}
                    AND toStartOfHour(occurred_at) IN ({hours}) AND {_between(seconds)}
                GROUP BY metric, hour, {", ".join(DIMENSIONS)}
            )
        ) GROUP BY metric, hour"""  # noqa: S608
    return Statement(sql, {"metrics": list(metrics), "consumer": consumer})


_EMPTY = {
    **{name: "toUInt64(0)" for name in ("n", "n_abstained", "n_failed")},
    **{name: "0." for name in ("total", "squares", "minimum", "maximum")},
    "bins": "CAST([], 'Array(Int32)')",
    "counts": "CAST([], 'Array(UInt64)')",
    "sums": "CAST([], 'Array(Float64)')",
}


def cells_statement(metrics: Sequence[str], query: CellQuery, plan: Plan) -> Statement:
    """Return the sufficient statistics of the groups of some metrics (not the query's own).

    With ``clusters`` a last column, ``place``, has the number under which :func:`moments_statement` speaks of the cell.
    """
    scope, keys = _Scope(metrics, query), f"{_keys(query)}, identity"
    source = _source(query, plan, scope, CELLS)
    place = f", cityHash64({_keys(query)}, {_NUMBERED})" if query.clusters else ""
    sql = f"SELECT {keys}, {', '.join(CELLS.joined)}{place} FROM ({source}) GROUP BY {keys}"  # noqa: S608
    return Statement(sql, scope.parameters)


def named_cells_statement(metrics: Sequence[str], query: CellQuery, plan: Plan) -> Statement:
    """Return (metric, step, consumer, cell, sums) for :func:`evalsvc.store.cell_columns.columns_of_named`.

    ``cell`` is a rollup's name of a cell, or of raw rows a list of the query's keys and the identity. The engine only
    unpacks: to read the few different names and to add up whole numbers is quicker in columns than by texts here.
    """
    scope = _Scope(metrics, query)
    parts = []
    if plan.rolled is not None:
        step, columns, source = _rolled_rows(query, plan, plan.rolled, scope, COLUMN_SUMS)
        parts.append(f"SELECT metric, {step}, consumer, cell, {', '.join(columns)} {source}")
    if plan.rolled is None or plan.raw_hours:
        raw = _raw_source(query, plan, scope, COLUMN_SUMS)
        keys = ", ".join([*(f"key_{place}" for place in range(len(query.by))), "identity"])
        name = f"CAST(toJSONString([{keys}]) AS LowCardinality(String)) AS cell"
        parts.append(f"SELECT metric, step, consumer, {name}, {', '.join(COLUMN_SUMS.columns)} FROM ({raw})")  # noqa: S608
    return Statement(" UNION ALL ".join(parts), scope.parameters)


def count_statement(metrics: Sequence[str], hours: Hours) -> Statement:
    """Return how many cells these hours hold in the rollup, or a few more."""
    sql = f"SELECT sum(length(cell)) FROM rollup WHERE metric IN {{metrics:Array(String)}} AND {_hours_between(hours)}"  # noqa: S608
    return Statement(sql, {"metrics": list(metrics)})


def group_counts_statement(metrics: Sequence[str], query: CellQuery, plan: Plan) -> Statement:
    """Return (metric, groups): how many consumers and keys have scores."""
    scope = _Scope(metrics, query)
    groups = ", ".join(["consumer", *(f"key_{place}" for place in range(len(query.by)))])
    sql = f"SELECT metric, uniqExact({groups}) FROM ({_source(query, plan, scope, CELLS)}) GROUP BY metric"  # noqa: S608
    return Statement(sql, scope.parameters)


def histograms_statement(query: CellQuery, plan: Plan) -> Statement:
    """Return the histograms of a query's groups, without those that have no value.

    Bins are summed as rows, since maps would be joined one by one, and under two numbers, bin and cell, since text
    would be copied to each: the cell's names are with its first bin only.
    """
    scope, keys = _Scope([query.metric], query), f"{_keys(query)}, identity"
    source = _source(query, plan, scope, HISTOGRAMS)
    texts = [f"key_{place}" for place in range(len(query.by))]
    names = f"toJSONString([metric, toString(step), toString(consumer), {', '.join([*texts, 'identity'])}])"
    named = [f"name[{place + 4}] AS {text}" for place, text in enumerate(texts)]
    back = ", ".join(["name[1] AS metric", "toInt64(name[2]) AS step", "name[3] AS consumer", *named])
    sql = f"""
        SELECT {back}, name[-1] AS identity, groupArray(bin), groupArray(records),
            JSONExtract(max(names), 'Array(String)') AS name FROM (
            SELECT place, bin, sum(count) AS records, max(names) AS names FROM (
                SELECT cityHash64({keys}) AS place, bins, counts, arrayResize([{names}], length(bins)) AS first
                FROM ({source})
            ) ARRAY JOIN bins AS bin, counts AS count, first AS names GROUP BY place, bin
        ) GROUP BY place"""  # noqa: S608
    return Statement(sql, scope.parameters)


def feature_sums_statement(query: CellQuery, plan: Plan) -> Statement:
    """Return Σs over the ok scores of every cell, an array as long as the scores' statistics."""
    scope, keys = _Scope([query.metric], query), f"{_keys(query)}, identity"
    source = _source(query, plan, scope, FEATURE_SUMS)
    sql = f"SELECT {keys}, {', '.join(FEATURE_SUMS.joined)} FROM ({source}) GROUP BY {keys}"  # noqa: S608
    return Statement(sql, scope.parameters)


def statistics_statement(query: CellQuery, steps: Grid) -> Statement:
    """Return (n, Σs, Σ of products, clusters) of every cell, as ``StatisticSums`` has them. From raw rows.

    Rolled up, the products of chrF's statistics would be most of the rollup, for a question that is seldom asked.
    """
    scope, keys = _Scope([query.metric], query), f"{_keys(query)}, {', '.join(IDENTITY)}"
    named = [f"{_raw_step(steps)} AS step", *scope.keys(rolled=False)]
    conditions = [*_raw_conditions(steps, scope), "status = 'ok'", "notEmpty(statistics)"]
    one = "arrayPushFront(statistics, toFloat64(1)) AS s"
    source = f"FROM scores FINAL WHERE {' AND '.join(conditions)}"
    chosen = ", ".join(["metric", "consumer", *named, *IDENTITY])
    clustered = f"SELECT {chosen}, {one} {source}"
    if query.clusters:
        cluster = "if(session_id = '', event_id, session_id)"
        clustered = (
            f"SELECT {keys}, sumForEach(one) AS s FROM (SELECT {chosen}, {cluster} AS cluster, "  # noqa: S608
            f"{one.removesuffix('s')}one {source}) GROUP BY {keys}, cluster"
        )
    products = (
        "arrayFlatten(arrayMap(a -> arrayMap(b -> s[a] * s[b], range(a, length(s) + 1)), range(1, length(s) + 1)))"
    )
    sums = f"toUInt64(sum(s[1])), arrayPopFront(sumForEach(s)), sumForEach({products}), count()"
    sql = f"SELECT {_keys(query)}, {_IDENTITY} AS identity, {sums} FROM ({clustered}) GROUP BY {keys}"  # noqa: S608
    return Statement(sql, scope.parameters)


def missing_statement(query: CellQuery, steps: Grid, limit: int) -> Statement:
    """Return (status, reason, scores) of the scores without a value, the most frequent first."""
    scope = _Scope([query.metric], query)
    conditions = " AND ".join([*_raw_conditions(steps, scope), "status != 'ok'"])
    sql = (
        f"SELECT toString(status) AS said, reason, count() AS n FROM scores FINAL WHERE {conditions} "  # noqa: S608
        "GROUP BY said, reason ORDER BY n DESC, said, reason LIMIT {limit:UInt64}"
    )
    return Statement(sql, {**scope.parameters, "limit": limit})


def scores_statement(query: CellQuery, steps: Grid, limit: int) -> Statement:
    """Return whole scores, by their event ids' MD5; π as its bits, times in microseconds."""
    scope = _Scope([query.metric], query)
    columns = (
        "event_id, toUnixTimestamp64Micro(occurred_at), consumer, application, model, model_version, segments, "
        "session_id, stratum, design_version, scorer_version, signature, reinterpretAsUInt64(pi), toString(status), "
        "value, reason, detail, statistics"
    )
    sql = (
        f"SELECT {columns} FROM scores FINAL WHERE {' AND '.join(_raw_conditions(steps, scope))} "  # noqa: S608
        "ORDER BY MD5(event_id), consumer, scorer_version, signature LIMIT {limit:UInt64}"
    )
    return Statement(sql, {**scope.parameters, "limit": limit})


def pi_of(bits: int) -> float:
    """Return π from its bits.

    >>> pi_of(4598175219545276416)
    0.25
    """
    return float(struct.unpack("<d", struct.pack("<Q", bits))[0])


def status_statement(query: StatusQuery, event_ids: Sequence[str]) -> Statement:
    """Return the ids, of those given, whose score that the query means has one of its statuses."""
    sql = (
        "SELECT event_id FROM scores FINAL WHERE metric = {metric:String} AND consumer = {consumer:String} "
        "AND scorer_version = {version:UInt32} AND signature = {signature:String} AND event_id IN {ids:Array(String)} "
        "AND occurred_at >= fromUnixTimestamp64Micro({start:Int64}, 'UTC') "
        "AND occurred_at < fromUnixTimestamp64Micro({end:Int64}, 'UTC') "
        "AND toString(status) IN {statuses:Array(String)}"
    )
    spec, window = query.spec, query.window
    parameters = {
        "metric": spec.metric,
        "consumer": clean(query.consumer),
        "version": spec.version,
        "signature": clean(spec.signature),
        "ids": list(event_ids),
        "start": microseconds(window.start),
        "end": microseconds(window.end),
        "statuses": list(query.statuses),
    }
    return Statement(sql, parameters)


def moments_statement(metrics: Sequence[str], query: CellQuery, steps: Grid | Nested) -> Statement:
    """Return (place, Σn, clusters, Σn², Σn·y, Σy²) of every cell, with the ``place`` of :func:`cells_statement`.

    From raw rows, since a session may span hours and cells. Its part of a cell is grouped by one 64-bit number, since
    grouping by all of their names takes three times as long. Two of N parts share a number with probability N²/2^65.
    """
    scope = _Scope(metrics, query)
    named = [f"{_raw_step(steps)} AS step", *scope.keys(rolled=False)]
    place = f"cityHash64({_keys(query)}, {', '.join(IDENTITY[:-1])}, reinterpretAsUInt64(pi)) AS place"
    cluster = "bitXor(place, xxHash64(if(session_id = '', event_id, session_id)))"
    conditions = [*_raw_conditions(steps, scope), "status = 'ok'"]
    inner = (
        f"WITH {', '.join([*named, place])} SELECT {cluster} AS cluster, any(place) AS cell, count() AS n, "  # noqa: S608
        f"sum({_VALUE}) AS total FROM scores FINAL WHERE {' AND '.join(conditions)} GROUP BY cluster"
    )
    moments = "sum(n), count(), sum(toFloat64(n) * n), sum(n * total), sum(total * total)"
    return Statement(f"SELECT cell, {moments} FROM ({inner}) GROUP BY cell", scope.parameters)  # noqa: S608


class _Scope:
    """Which rows and which groups: conditions and expressions on raw columns or on a rollup's cell."""

    def __init__(self, metrics: Sequence[str], query: CellQuery) -> None:
        self.parameters: dict[str, object] = {"metrics": list(metrics)}
        self._query = query
        for place, wanted in enumerate(query.where.values()):
            self.parameters[f"where_{place}"] = list(wanted)
        for name in {*query.by, *query.where}:
            if name.startswith(SEGMENT):
                self.parameters[self._parameter(name)] = name.removeprefix(SEGMENT)

    def _parameter(self, name: str) -> str:
        return f"segment_{[*self._query.by, *self._query.where].index(name)}"

    def expression(self, name: str, rolled: bool) -> str:
        """Return a ``by`` or ``where`` column as text."""
        if name == "consumer":
            return "toString(consumer)"
        if not name.startswith(SEGMENT):
            return f"JSONExtractString(cell, '{name}')" if rolled else f"toString({name})"
        path = "cell, 'segments'" if rolled else "segments"
        return f"JSONExtractString({path}, {{{self._parameter(name)}:String}})"

    def keys(self, rolled: bool) -> list[str]:
        """Return the query's groups as ``key_0`` and so on."""
        return [f"{self.expression(name, rolled)} AS key_{place}" for place, name in enumerate(self._query.by)]

    def conditions(self, rolled: bool) -> list[str]:
        """Return what rows must meet."""
        wanted = [
            f"has({{where_{place}:Array(String)}}, {self.expression(name, rolled)})"
            for place, name in enumerate(self._query.where)
        ]
        return ["metric IN {metrics:Array(String)}", *wanted]


def _keys(query: CellQuery) -> str:
    return ", ".join(["metric", "step", "consumer", *(f"key_{place}" for place in range(len(query.by)))])


def _source(query: CellQuery, plan: Plan, scope: _Scope, reading: Reading) -> str:
    """Return rows of keys, identity and the reading's columns, of the rollup and of raw rows as the plan says."""
    parts = []
    if plan.rolled is not None:
        parts.append(_rolled_select(query, plan, plan.rolled, scope, reading))
    if plan.rolled is None or plan.raw_hours:
        raw = _raw_source(query, plan, scope, reading)
        parts.append(f"SELECT {_keys(query)}, identity, {', '.join(reading.columns)} FROM ({raw})")  # noqa: S608
    return " UNION ALL ".join(parts)


def _raw_source(query: CellQuery, plan: Plan, scope: _Scope, reading: Reading) -> str:
    hours = plan.raw_hours if plan.rolled is not None else None
    return _raw_select(query, plan.steps, scope, reading.raw, hours)


def _rolled_select(query: CellQuery, plan: Plan, hours: Hours, scope: _Scope, reading: Reading) -> str:
    step, columns, source = _rolled_rows(query, plan, hours, scope, reading)
    selected = ["metric", step, "consumer", *scope.keys(rolled=True), _FROM_CELL, *columns]
    return f"SELECT {', '.join(selected)} {source}"


def _rolled_rows(
    query: CellQuery, plan: Plan, hours: Hours, scope: _Scope, reading: Reading
) -> tuple[str, list[str], str]:
    """Return how the step and the reading's columns are selected, and from what: rows of a cell and step."""
    step = f"intDiv(toInt64(toUnixTimestamp(hour)) * 1000000 - {plan.steps.start}, {plan.steps.step}) AS step"
    conditions = [*scope.conditions(rolled=True), _hours_between(hours)]
    without = [second for second in plan.raw_hours if hours.first <= second < hours.last]
    if without:
        conditions.append(f"hour NOT IN ({_hour_list(without)})")
    arrays = ", ".join(["cell", *reading.columns])
    source = f"FROM rollup FINAL ARRAY JOIN {arrays} WHERE {' AND '.join(conditions)}"
    columns = list(reading.columns)
    if plan.steps.step > HOUR_SECONDS * SECOND:
        # Hours of a step share most of their cells: join those by name first, and read the few names after.
        named = [f"{joined} AS all_{name}" for joined, name in zip(reading.joined, columns, strict=True)]
        keys = "metric, consumer, step, cell"
        source = f"FROM (SELECT metric, consumer, {step}, cell, {', '.join(named)} {source} GROUP BY {keys})"
        columns, step = [f"all_{name} AS {name}" for name in columns], "step"
    return step, columns, source


def _raw_select(
    query: CellQuery, steps: Grid | Nested, scope: _Scope, columns: str, hours: Collection[int] | None = None
) -> str:
    conditions = _raw_conditions(steps, scope)
    if hours is not None:
        conditions += [f"toStartOfHour(occurred_at) IN ({_hour_list(hours)})", _between(hours)]
    step = f"{_raw_step(steps)} AS step"
    selected = ["metric", step, "consumer", *scope.keys(rolled=False), f"{_IDENTITY} AS identity", columns]
    return (
        f"SELECT {', '.join(selected)} FROM scores FINAL WHERE {' AND '.join(conditions)} "  # noqa: S608
        f"GROUP BY {_keys(query)}, {', '.join(IDENTITY)}"
    )


def _raw_step(steps: Grid | Nested) -> str:
    if isinstance(steps, Nested):
        # Starts grow from left to right or not; a row is in each window that began before it.
        starts = ", ".join(f"{place}" for place in range(len(steps.starts)))
        began = f"[{', '.join(map(str, steps.starts))}][place + 1] <= toUnixTimestamp64Micro(occurred_at)"
        return f"arrayJoin(arrayFilter(place -> {began}, [{starts}]))"
    return f"intDiv(toUnixTimestamp64Micro(occurred_at) - {steps.start}, {steps.step})"


def _raw_conditions(steps: Grid | Nested, scope: _Scope) -> list[str]:
    return [
        *scope.conditions(rolled=False),
        f"occurred_at >= fromUnixTimestamp64Micro({steps.start}, 'UTC')",
        f"occurred_at < fromUnixTimestamp64Micro({steps.end}, 'UTC')",
    ]


def _hours_between(hours: Hours) -> str:
    return f"hour >= toDateTime({hours.first}, 'UTC') AND hour < toDateTime({hours.last}, 'UTC')"


def _between(seconds: Collection[int]) -> str:
    first, last = min(seconds), max(seconds) + HOUR_SECONDS
    return f"occurred_at >= toDateTime64({first}, 6, 'UTC') AND occurred_at < toDateTime64({last}, 6, 'UTC')"


def _hour_list(seconds: Collection[int]) -> str:
    return ", ".join(f"toDateTime({second}, 'UTC')" for second in sorted(seconds))
