"""Batches as Arrow columns, with as few Python operations a row as possible.

Scores of one event share a :class:`~evalsvc.types.Subject`: its columns are built once an event and repeated
by index. Texts of few values travel as dictionaries, which the engine's low-cardinality columns take as they are.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import datetime
from itertools import accumulate
from operator import attrgetter
from typing import TYPE_CHECKING, Any

import msgspec

from evalsvc.errors import InputError
from evalsvc.store.ranks import clean, segments_text
from evalsvc.store.steps import EARLIEST, HOUR_SECONDS, LATEST
from evalsvc.types import DeadLetter, KeptEvent, LedgerEntry, Score, ScorerSpec, Subject

if TYPE_CHECKING:
    import pyarrow as pa

Mark = tuple[str, str, int]
"""Metric, consumer, hour as seconds since the epoch."""

KNOWN = ("consumer", "event_id", "partition", "offset", "digest")
"""The columns of an event that outlive it, by which a second delivery is told."""

_ESCAPES = str.maketrans({"\\": "\\\\", "'": "\\'", "\n": "\\n", "\r": "\\r", "\0": "\\0"})
_SUBJECT_NAMES = ("application", "consumer", "model", "model_version", "stratum")
_SUBJECT_IDS = ("event_id", "session_id")
_EVENT_TEXTS = ("event_id", "kind", "application", "model", "model_version")
_OPTIONAL_TEXTS = ("session_id", "user_id", "subject_id", "trace_id")


def score_table(scores: Sequence[Score]) -> tuple[pa.Table, set[Mark]]:
    """Return scores as a table, and the buckets that they touch.

    Raises:
        InputError: on an event time that the database cannot hold.
    """
    import pyarrow as pa

    subjects = [score.subject for score in scores]
    unique, rows = _shared(subjects)
    metric = strings([score.metric for score in scores]).dictionary_encode()
    table = {name: _repeated(column, rows) for name, column in _subject_columns(unique).items()}
    table |= {
        "metric": metric,
        "scorer_version": pa.array([score.scorer_version for score in scores], pa.uint32()),
        "signature": strings([score.signature for score in scores]).dictionary_encode(),
        "pi": pa.array([score.pi for score in scores], pa.float64()),
        "status": strings([score.status for score in scores]).dictionary_encode(),
        "value": pa.array([score.value for score in scores], pa.float64()),
        "reason": strings([score.reason for score in scores]).dictionary_encode(),
        "detail": strings([score.detail for score in scores]),
    }
    if any(score.statistics for score in scores):
        table["statistics"] = pa.array([score.statistics for score in scores], pa.list_(pa.float64()))
    return pa.table(table), _marks(metric, unique, rows)


def _shared(subjects: Sequence[Subject]) -> tuple[list[Subject], pa.Array[Any]]:
    """Return the distinct subject objects, in order of first use, and each row's place among them."""
    import pyarrow as pa

    ids = list(map(id, subjects))
    return list(dict(zip(ids, subjects, strict=True)).values()), pa.array(ids, pa.uint64()).dictionary_encode().indices


def _marks(metric: pa.DictionaryArray[Any], subjects: Sequence[Subject], rows: pa.Array[Any]) -> set[Mark]:
    """Return the distinct (metric, consumer, hour) of the rows, found on integers rather than row by row."""
    import pyarrow as pa
    import pyarrow.compute as pc

    codes: dict[tuple[str, int], int] = {}
    code = [
        codes.setdefault((subject.consumer, int(subject.occurred_at.timestamp()) // HOUR_SECONDS), len(codes))
        for subject in subjects
    ]
    buckets = list(codes)
    joined = pc.add(pc.multiply(metric.indices.cast(pa.int64()), len(buckets)), pa.array(code, pa.int64()).take(rows))
    names, marks = metric.dictionary.to_pylist(), set[Mark]()
    for place, bucket in (divmod(value, len(buckets)) for value in pc.unique(joined).to_pylist()):
        consumer, hour = buckets[bucket]
        marks.add((names[place], consumer, hour * HOUR_SECONDS))
    return marks


def _subject_columns(subjects: Sequence[Subject]) -> dict[str, pa.Array[Any]]:
    import pyarrow as pa

    columns: dict[str, pa.Array[Any]] = {
        name: strings(list(map(attrgetter(name), subjects))) for name in (*_SUBJECT_NAMES, *_SUBJECT_IDS)
    }
    columns["segments"] = strings([segments_text(subject.segments) for subject in subjects])
    columns |= {name: columns[name].dictionary_encode() for name in (*_SUBJECT_NAMES, "segments")}
    columns["occurred_at"] = times([subject.occurred_at for subject in subjects])
    columns["design_version"] = pa.array([subject.design_version for subject in subjects], pa.uint32())
    return columns


def _repeated(column: pa.Array[Any], rows: pa.Array[Any]) -> pa.Array[Any]:
    import pyarrow as pa

    if isinstance(column, pa.DictionaryArray):
        return pa.DictionaryArray.from_arrays(column.indices.take(rows), column.dictionary)
    return column.take(rows)


def mark_values(marks: Iterable[Mark]) -> str:
    """Return marks as the text behind ``VALUES``: for so few rows that is half the engine's work of a table.

    >>> mark_values([("refusal", "quality", 3600)])
    "('refusal', 'quality', 3600)"
    """
    return ", ".join(f"({literal(metric)}, {literal(consumer)}, {hour})" for metric, consumer, hour in sorted(marks))


def literal(text: str) -> str:
    """Return a text as a quoted SQL literal on one line."""
    return f"'{clean(text).translate(_ESCAPES)}'"


def event_table(events: Sequence[KeptEvent]) -> pa.Table:
    """Return masked events as a table: columns to look up or group by, and the whole as JSON."""
    import pyarrow as pa

    samples = [kept.sample for kept in events]
    bodies = [sample.event for sample in samples]
    columns = {name: strings([getattr(body, name) for body in bodies]) for name in _EVENT_TEXTS}
    columns |= {name: strings([getattr(body, name) or "" for body in bodies]) for name in _OPTIONAL_TEXTS}
    columns |= {
        "consumer": strings([sample.consumer for sample in samples]),
        "occurred_at": times([body.occurred_at for body in bodies]),
        "segments": strings([segments_text(body.segments) for body in bodies]),
        "stratum": strings([sample.stratum for sample in samples]),
        "design_version": pa.array([sample.design_version for sample in samples], pa.uint32()),
        "pi": pa.array([sample.pi for sample in samples], pa.float64()),
        "draw": pa.array([sample.draw for sample in samples], pa.uint64()),
        "partition": strings([sample.partition for sample in samples]),
        "offset": pa.array([sample.offset for sample in samples], pa.int64()),
        "digest": strings([kept.digest for kept in events]),
        "event": strings([_json(body) for body in bodies]),
    }
    return pa.table(columns)


def dead_letter_table(letters: Sequence[DeadLetter]) -> pa.Table:
    """Return dead letters as a table."""
    import pyarrow as pa

    texts = ("consumer", "partition", "reason", "message", "digest", "at")
    columns = {name: strings([getattr(letter, name) for letter in letters]) for name in texts}
    columns["offset"] = pa.array([letter.offset for letter in letters], pa.int64())
    columns["received_at"] = times([letter.received_at for letter in letters], bounded=False)
    columns["size"] = pa.array([letter.size for letter in letters], pa.uint64())
    return pa.table(columns)


def ledger_table(entries: Sequence[LedgerEntry]) -> pa.Table:
    """Return ledger entries as a table."""
    import pyarrow as pa

    places = pa.array(accumulate((len(entry.counts) for entry in entries), initial=0), pa.int32())
    counts = [count for entry in entries for count in entry.counts]
    minutes = [[count.minute for count in entry.counts] for entry in entries]

    def nested(values: pa.Array[Any]) -> pa.Array[Any]:
        return pa.ListArray.from_arrays(places, values)

    return pa.table(
        {
            "consumer": strings([entry.consumer for entry in entries]),
            "partition": strings([entry.partition for entry in entries]),
            "start": pa.array([entry.start for entry in entries], pa.uint64()),
            "upto": pa.array([entry.upto for entry in entries], pa.uint64()),
            "first_minute": pa.array([min(held, default=0) for held in minutes], pa.int64()),
            "last_minute": pa.array([max(held, default=0) for held in minutes], pa.int64()),
            "minutes": nested(pa.array([count.minute for count in counts], pa.int64())),
            "strata": nested(strings([count.stratum for count in counts])),
            "design_versions": nested(pa.array([count.design_version for count in counts], pa.uint32())),
            "outcomes": nested(strings([count.outcome for count in counts])),
            "counts": nested(pa.array([count.records for count in counts], pa.uint64())),
        }
    )


def scorer_table(specs: Sequence[ScorerSpec]) -> pa.Table:
    """Return descriptions of scorers as a table."""
    import pyarrow as pa

    return pa.table(
        {
            "metric": strings([spec.metric for spec in specs]),
            "version": pa.array([spec.version for spec in specs], pa.uint32()),
            "signature": strings([spec.signature for spec in specs]),
            "spec": strings([msgspec.json.encode(spec).decode() for spec in specs]),
        }
    )


def strings(values: Sequence[str]) -> pa.Array[Any]:
    """Return texts as Arrow strings; what UTF-8 cannot hold (a lone surrogate) becomes ``?``."""
    import pyarrow as pa

    try:
        return pa.array(values, pa.string())
    except UnicodeEncodeError:
        return pa.array([clean(value) for value in values], pa.string())


def times(moments: Sequence[datetime], bounded: bool = True) -> pa.Array[Any]:
    """Return moments as microseconds UTC.

    Raises:
        InputError: where ``bounded`` and one is outside what the database's hours can hold.
    """
    import pyarrow as pa

    if bounded and not (min(moments) >= EARLIEST and max(moments) < LATEST):
        worst = min(moments) if min(moments) < EARLIEST else max(moments)
        raise InputError(
            f"Expected event times from {EARLIEST.date()} to {LATEST.date()}, but got {worst.isoformat()}; "
            "refuse such events when they are decoded"
        )
    return pa.array(moments, pa.timestamp("us", "UTC"))


def _json(value: object) -> str:
    try:
        return msgspec.json.encode(value).decode()
    except UnicodeEncodeError:
        return msgspec.json.encode(_cleaned(msgspec.to_builtins(value))).decode()


def _cleaned(value: object) -> object:
    if isinstance(value, str):
        return clean(value)
    if isinstance(value, dict):
        return {clean(str(name)): _cleaned(item) for name, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [_cleaned(item) for item in value]
    return value
