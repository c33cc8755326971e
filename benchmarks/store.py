"""How fast the store writes and answers, on the embedded engine: run ``python benchmarks/store.py``.

Writing is compared with the driver's own row insert of the same rows; reading from rollups with the same
question asked of raw rows (``scores FINAL``) in the same run. Rows to read are made inside the engine: 20
metrics, two weeks, 2 applications, 2 model versions, 15 combinations of segments, 2 strata.
"""

from __future__ import annotations

import argparse
import resource
import statistics
import tempfile
import time
from collections.abc import Callable, Sequence
from datetime import UTC, datetime, timedelta
from functools import partial

from _harness import Aim, Row, machine, table
from evalsvc.ledger import CHUNK
from evalsvc.protocols import CellQuery
from evalsvc.query import EstimateQuery, estimates, estimates_of_all
from evalsvc.rules.history import Look
from evalsvc.rules.machine import Detector, Observation
from evalsvc.sampling import Design
from evalsvc.stats.change import start, step_cells
from evalsvc.store import ClickHouseStore, open_store
from evalsvc.testing.alert_logs import NOON, make_look, make_state, moment
from evalsvc.types import (
    Cell,
    Estimate,
    LedgerCount,
    LedgerEntry,
    LedgerOutcome,
    Scale,
    Score,
    ScorerSpec,
    Subject,
    Window,
    WriteBatch,
)

START = datetime(2026, 5, 4, tzinfo=UTC)
WEEKS = Window(START, START + timedelta(days=14))
METRICS = 20
BATCHES = (10_000, 40_000)
# In the order of the rows of _driver_insert.
_COLUMNS = [
    *("metric", "application", "occurred_at", "consumer", "event_id", "scorer_version", "signature", "model"),
    *("model_version", "segments", "session_id", "stratum", "design_version", "pi", "status", "value"),
    *("reason", "detail"),
]


def run(quick: bool) -> list[Row]:
    """Measure; ``quick`` reads 1 M rows instead of 10 M."""
    rows = 1_000_000 if quick else 10_000_000
    with tempfile.TemporaryDirectory() as folder:
        store = open_store(f"embedded:{folder}")
        if not isinstance(store, ClickHouseStore):
            raise TypeError("Expected the embedded store")
        try:
            rounds = 4 if quick else 12
            written = [_writing(store, size, rounds) for size in BATCHES]
            return [*written, *_reading(store, rows), *_alerts(store, 4 if quick else 12), _memory()]
        finally:
            store.close()


def _writing(store: ClickHouseStore, size: int, rounds: int) -> Row:
    batches = [_scores(number, size) for number in range(2 * rounds + 2)]
    store.write(WriteBatch(scores=batches[-1]))
    _driver_insert(store, batches[-2])
    ours, peers = [], []
    for place in range(rounds):
        ours.append(_seconds(partial(store.write, WriteBatch(scores=batches[2 * place]))))
        peers.append(_seconds(partial(_driver_insert, store, batches[2 * place + 1])))
    rate, peer = size / statistics.median(ours), size / statistics.median(peers)
    what = f"score rows/s, {size:,} a batch, from Score objects, with marks"
    aim = Aim("value", "≥", 200_000)
    return Row("store", what, rate, "rows/s", "clickhouse-connect insert of rows", peer, rate / peer, aim)


def _driver_insert(store: ClickHouseStore, scores: Sequence[Score]) -> None:
    rows = [
        (
            score.metric, score.subject.application, score.subject.occurred_at, score.subject.consumer,
            score.subject.event_id, score.scorer_version, score.signature, score.subject.model,
            score.subject.model_version, '{"language":"de"}', score.subject.session_id, score.subject.stratum,
            score.subject.design_version, score.pi, score.status, score.value, score.reason, score.detail,
        )
        for score in scores
    ]  # fmt: skip
    with store.connection() as client:
        client.insert("scores", rows, column_names=list(_COLUMNS), settings={"async_insert": "0"})


def _scores(number: int, size: int) -> tuple[Score, ...]:
    """One event in ten rows: what ten scorers make of a batch."""
    found = []
    for place in range(size // 10):
        index = number * size + place
        subject = Subject(
            f"event-{index:012d}-{index * 7919 % 99991:05d}",
            START + timedelta(seconds=index % 100_000),
            "written",
            "app",
            "model",
            f"v{index % 2}",
            {"language": "de"},
            f"session-{index // 4}",
            "all",
            1,
        )
        found += [
            Score(
                subject,
                f"written.{metric}",
                1,
                "tokeniser:13a|case:mixed",
                0.25,
                "ok",
                (index * 31 + metric) % 997 / 997,
            )
            for metric in range(10)
        ]
    return tuple(found)


def _reading(store: ClickHouseStore, rows: int) -> list[Row]:
    generate(store, rows)
    settled = _seconds(store.settle)
    size = f"{rows / 1e6:g} M scores"
    by_segment = CellQuery("metric.07", WEEKS, 3600, ("segments.language",))
    whole = int(WEEKS.seconds)
    by_version = CellQuery("metric.07", WEEKS, whole, ("application", "model_version"))
    questions: list[tuple[str, Callable[[], object], Callable[[], object]]] = [
        (
            "one metric by segment by hour, two weeks",
            lambda: store.cells(by_segment),
            lambda: store.cells(by_segment, raw=True),
        ),
        (
            f"all {METRICS} metrics by application and version, two weeks",
            lambda: store.cells_by_metric(names(), by_version),
            lambda: store.cells_by_metric(names(), by_version, raw=True),
        ),
        (
            "one metric by application and version, two weeks",
            lambda: store.cells(by_version),
            lambda: store.cells(by_version, raw=True),
        ),
        (
            "histograms of one metric by day, two weeks",
            lambda: store.histograms(by_version._replace(step_seconds=86_400)),
            lambda: store.histograms(by_version._replace(step_seconds=86_400), raw=True),
        ),
    ]
    found = [Row("store", f"settling {size} for the first time", settled, "s")]
    for what, ours, peer in questions:
        mine, theirs = _median(ours, 7), _median(peer, 3)
        name = "the same from raw rows (FINAL)"
        found.append(
            Row(
                "store",
                f"{what}, {size}",
                1000 * mine,
                "ms",
                name,
                1000 * theirs,
                theirs / mine,
                Aim("value", "≤", 200),
            )
        )
    clustered = by_version._replace(clusters=True)
    cluster_seconds = _median(lambda: store.cells(clustered), 7)
    what = f"one metric by application and version with cluster moments of sessions, {size}"
    found.append(Row("store", what, 1000 * cluster_seconds, "ms", aim=Aim("value", "≤", 200)))
    return found + _asking(store, size)


def _asking(store: ClickHouseStore, size: str) -> list[Row]:
    """Time whole answers, as ``evalsvc query`` gives them: sums, what was offered, and every interval."""
    offer(store)
    by_version = EstimateQuery("metric.07", WEEKS, int(WEEKS.seconds), ("application", "model_version"))
    asked = {
        "by application and version": by_version,
        "the p95 by application and version": by_version._replace(statistic="p95"),
        "by the hour": by_version._replace(step_seconds=3600, by=()),
        "by segment and hour": by_version._replace(step_seconds=3600, by=("segments.language",)),
    }
    found = []
    for name, query in asked.items():
        count = len(estimates(store, query))
        seconds = _median(partial(estimates, store, query), 7)
        what = f"query: one metric {name}, two weeks, {count:,} estimates, {size}"
        found.append(Row("store", what, 1000 * seconds, "ms", aim=Aim("value", "≤", 200)))
    by = ("application", "model_version", "segments.language", "segments.tier")
    day = EstimateQuery("", Window(START, START + timedelta(days=1)), 3600, by)
    count = len(estimates_of_all(store, day))
    mine = _median(partial(estimates_of_all, store, day), 7)
    each = _median(lambda: [estimates(store, day._replace(metric=metric)) for metric in names()], 1)
    what = f"query: all {METRICS} metrics of 60 segments by the hour, a day, {count:,} estimates, {size}"
    found.append(
        Row("store", what, 1000 * mine, "ms", "metric by metric", 1000 * each, each / mine, Aim("value", "≤", 300))
    )
    return found


def _alerts(store: ClickHouseStore, rounds: int) -> list[Row]:
    """Time a round of looks at alerts with estimates and detectors, and what a ruler reads when it starts."""
    log, count = store.alerts, 10_000
    batches = [_looks(minute, count) for minute in range(rounds + 1)]
    log.record_looks(batches[0])
    seconds = statistics.median(_seconds(partial(log.record_looks, batch)) for batch in batches[1:])
    since = NOON - timedelta(days=1)
    what = f"alerts: {count:,} looks recorded, each with two estimates and a detector, one in a hundred a transition"
    last = f"alerts: last states of {count:,}"
    read, asked = _median(log.alert_states, rounds), _median(partial(log.untold, "pager", since, 100), rounds)
    return [
        Row("store", what, 1000 * seconds, "ms", aim=Aim("value", "≤", 1000)),
        Row("store", last, 1000 * read, "ms", aim=Aim("value", "≤", 500)),
        Row("store", "alerts: the first 100 that a receiver was not told of", 1000 * asked, "ms"),
    ]


def _looks(minute: int, count: int) -> list[Look]:
    cells = [Cell("", 1, 1.0, 600, 0, 0, 480.0, 480.0)]
    scale = Scale(0.0, 1.0, "higher", binary=True)
    state = step_cells(start(scale, 0.8, run_length=43_200, scores_per_step=600), cells)
    window = Window(moment(minute) - timedelta(minutes=5), moment(minute))
    found = []
    for number in range(count):
        value = number / count
        estimate = Estimate(value, value - 0.1, value + 0.1, 600, 512.5, 3, 0.005, window, method="wilson")
        seen = Observation(verdict="unclear", window=window, estimate=estimate, baseline=estimate, reason="in between")
        detector = Detector("1:options:none", window.end, state)
        name = f"{number:05d}"
        held = make_state(name, minute, evidence=seen, detector=detector)
        moved = make_look(name, minute, observation=seen).transition if number % 100 == minute else None
        found.append(Look(held, moved))
    return found


def offer(store: ClickHouseStore) -> None:
    """Record a design, the scorers, and a ledger that says that 50 M events were offered in the two weeks."""
    share = Scale(0.0, 1.0, "higher", "share")
    store.record_scorers([ScorerSpec(metric, 1, share, signature="tokeniser:13a") for metric in names()])
    design = Design(consumer="bench", rate=0.1, strata=("application",))
    store.record_design("bench", 1, datetime(1970, 1, 1, tzinfo=UTC), design.to_json())
    first, a_minute, a_chunk = int(START.timestamp()) // 60, 2480, 6
    outcomes: tuple[tuple[LedgerOutcome, int], ...] = (("sampled", 12), ("skipped", a_minute // 2 - 12))
    entries = []
    for number, minute in enumerate(range(first, first + 14 * 1440, a_chunk)):
        counts = [
            LedgerCount(minute + place, stratum, 1, outcome, records)
            for place in range(a_chunk)
            for stratum in ("s0", "s1")
            for outcome, records in outcomes
        ]
        start = number * CHUNK
        entries.append(LedgerEntry("bench", "events/0", start, start + a_chunk * a_minute, tuple(sorted(counts))))
    store.write(WriteBatch(ledger=tuple(entries)))


def generate(store: ClickHouseStore, rows: int) -> None:
    """Fill an empty store with so many scores of two weeks."""
    with store.connection() as client:
        client.command(_GENERATE.format(events=rows // METRICS, metrics=METRICS))
        client.command(
            "INSERT INTO marks (metric, consumer, hour) "
            "SELECT DISTINCT metric, consumer, toStartOfHour(occurred_at) FROM scores"
        )


_GENERATE = """
INSERT INTO scores (metric, application, occurred_at, consumer, event_id, scorer_version, signature, model,
model_version,
    segments, session_id, stratum, design_version, pi, status, value)
SELECT
    'metric.' || leftPad(toString(number % {metrics}), 2, '0'), 'app-' || toString(event % 2),
    toDateTime64('2026-05-04 00:00:00', 6, 'UTC') + toIntervalMillisecond(intDiv(event * 1209600000,
    {events})), 'bench', lower(hex(sipHash128(event))), 1, 'tokeniser:13a', 'model', 'v' ||
    toString(intDiv(event, 2) % 2), '{{"language":"' || ['de', 'en', 'es', 'fr', 'it'][1 + sipHash64(event, 1)
    % 5] || '","tier":"'
        || ['a', 'b', 'c'][1 + sipHash64(event, 2) % 3] || '"}}',
    toString(intDiv(event, 4)), 's' || toString(sipHash64(event, 3) % 2), 1,
    if(sipHash64(event, 3) % 2 = 0, 0.1, 1.), if(sipHash64(number) % 50 = 0, 'failed', 'ok'),
    if(sipHash64(number) % 50 = 0, NULL, (sipHash64(number) % 100000) / 100000)
FROM (SELECT number, intDiv(number, {metrics}) AS event FROM numbers({events} * {metrics}))
SETTINGS async_insert = 0, max_partitions_per_insert_block = 0"""


def names() -> list[str]:
    """Return the metrics."""
    return [f"metric.{number:02d}" for number in range(METRICS)]


def _memory() -> Row:
    return Row(
        "store",
        "resident memory of the process at its peak",
        resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024,
        "MiB",
    )


def _median(call: Callable[[], object], rounds: int) -> float:
    call()
    return statistics.median(_seconds(call) for _ in range(rounds))


def _seconds(call: Callable[[], object]) -> float:
    start = time.perf_counter()
    call()
    return time.perf_counter() - start


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("--quick", action="store_true", help="1 M rows")
    print(machine())
    print(table(run(parser.parse_args().quick)))


if __name__ == "__main__":
    main()
