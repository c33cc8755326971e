"""The tables as this release expects them; a test holds them against what the migrations make."""

from __future__ import annotations

from importlib import metadata
from typing import NamedTuple

TEXT = "LowCardinality(String)"
MOMENT = "DateTime64(6, 'UTC')"
SECONDS = "DateTime('UTC')"


class Table(NamedTuple):
    """A table's columns in their order, its sorting key and its engine."""

    columns: dict[str, str]
    order: str
    engine: str = "ReplacingMergeTree"
    partition: str = ""


_PLACE = {"stratum": TEXT, "design_version": "UInt32", "pi": "Float64"}
_SUMS = {name: "Array(UInt64)" for name in ("n", "n_abstained", "n_failed")}
_MOMENTS = {name: "Array(Float64)" for name in ("total", "squares", "minimum", "maximum")}

TABLES: dict[str, Table] = {
    "migrations": Table(
        {
            "version": "UInt32",
            "name": "String",
            "checksum": "String",
            "release": "String",
            "applied_at": MOMENT,
        },
        "version, checksum",
    ),
    "events": Table(
        {
            "consumer": TEXT,
            "event_id": "String",
            "occurred_at": MOMENT,
            "kind": TEXT,
            "application": TEXT,
            "model": TEXT,
            "model_version": TEXT,
            "segments": TEXT,
            **{name: "String" for name in ("session_id", "user_id", "subject_id", "trace_id")},
            **_PLACE,
            "draw": "UInt64",
            "partition": TEXT,
            "offset": "Int64",
            "digest": "String",
            "event": "String",
            "written_at": SECONDS,
            "rank": "UInt64",
        },
        "consumer, event_id",
        partition="toYYYYMM(occurred_at)",
    ),
    "known": Table(
        {
            "consumer": TEXT,
            "event_id": "String",
            "partition": TEXT,
            "offset": "Int64",
            "digest": "String",
            "written_at": SECONDS,
            "rank": "UInt64",
        },
        "consumer, event_id",
    ),
    "scores": Table(
        {
            "metric": TEXT,
            "application": TEXT,
            "occurred_at": MOMENT,
            "consumer": TEXT,
            "event_id": "String",
            "scorer_version": "UInt32",
            "signature": TEXT,
            "model": TEXT,
            "model_version": TEXT,
            "segments": TEXT,
            "session_id": "String",
            **_PLACE,
            "status": "Enum8('failed' = 0, 'abstained' = 1, 'ok' = 2)",
            "value": "Nullable(Float64)",
            "reason": TEXT,
            "detail": "String",
            "statistics": "Array(Float64)",
            "written_at": SECONDS,
            "rank": "UInt64",
        },
        "metric, application, toStartOfHour(occurred_at), consumer, event_id, scorer_version, signature",
        partition="toYYYYMM(occurred_at)",
    ),
    "marks": Table({"metric": TEXT, "consumer": TEXT, "hour": SECONDS, "marked_at": MOMENT}, "metric, consumer, hour"),
    "rollup": Table(
        {
            "metric": TEXT,
            "consumer": TEXT,
            "hour": SECONDS,
            "version": MOMENT,
            "cell": f"Array({TEXT})",
            **_SUMS,
            **_MOMENTS,
            "bins": "Array(Array(Int32))",
            "counts": "Array(Array(UInt64))",
            "sums": "Array(Array(Float64))",
        },
        "metric, consumer, hour",
        partition="toYYYYMM(hour)",
    ),
    "dead_letters": Table(
        {
            "consumer": TEXT,
            "partition": TEXT,
            "offset": "Int64",
            "received_at": MOMENT,
            "reason": TEXT,
            "message": "String",
            "size": "UInt64",
            "digest": "String",
            "at": "String",
            "written_at": SECONDS,
        },
        "consumer, partition, offset",
    ),
    "ledger": Table(
        {
            "consumer": TEXT,
            "partition": TEXT,
            "start": "UInt64",
            "upto": "UInt64",
            "first_minute": "Int64",
            "last_minute": "Int64",
            "minutes": "Array(Int64)",
            "strata": f"Array({TEXT})",
            "design_versions": "Array(UInt32)",
            "outcomes": f"Array({TEXT})",
            "counts": "Array(UInt64)",
            "written_at": SECONDS,
        },
        "consumer, partition, start",
    ),
    "designs": Table(
        {
            "consumer": TEXT,
            "version": "UInt32",
            "effective_from": MOMENT,
            "design": "String",
            "digest": "String",
            "written_at": MOMENT,
        },
        "consumer, version, digest",
    ),
    "scorers": Table(
        {"metric": TEXT, "version": "UInt32", "signature": "String", "spec": "String", "written_at": MOMENT},
        "metric, version, signature",
    ),
    "alert_states": Table(
        {
            "fingerprint": "String",
            **{name: TEXT for name in ("rule", "consumer", "phase")},
            "evaluated_at": MOMENT,
            "moved": "UInt8",
            "state": "String",
            "written_at": SECONDS,
            "rank": "UInt64",
        },
        "fingerprint",
    ),
    "alert_transitions": Table(
        {
            "id": "String",
            "fingerprint": "String",
            "rule": TEXT,
            "consumer": TEXT,
            "at": MOMENT,
            "before": TEXT,
            "after": TEXT,
            "transition": "String",
            "evaluated_at": MOMENT,
            "era": "UInt16",
            "state": "String",
            "written_at": MOMENT,
            "rank": "UInt64",
        },
        "id",
    ),
    "alert_receipts": Table(
        {
            "receiver": TEXT,
            "transition": "String",
            "outcome": TEXT,
            "at": MOMENT,
            "attempts": "UInt32",
            "detail": "String",
            "written_at": MOMENT,
            "rank": "UInt64",
        },
        "receiver, transition",
    ),
    "alert_enrolments": Table(
        {"receiver": "String", "number": "UInt32", "at": MOMENT, "rank": "UInt64"}, "receiver, number"
    ),
    "alert_silences": Table(
        {
            **{name: "String" for name in ("id", "matchers", "author", "reason")},
            **{name: MOMENT for name in ("starts_at", "ends_at", "recorded_at")},
            "written_at": SECONDS,
        },
        "id",
    ),
    "alert_acknowledgements": Table(
        {
            "fingerprint": "String",
            "episode": MOMENT,
            "author": "String",
            "note": "String",
            "closes": "UInt8",
            "at": MOMENT,
            "written_at": SECONDS,
        },
        "fingerprint, episode",
    ),
    "alert_leases": Table(
        {
            "name": "String",
            "holder": "String",
            "id": "String",
            "claimed_at": MOMENT,
            "until": MOMENT,
            "written_at": MOMENT,
        },
        "name, holder, id",
    ),
    "verdicts": Table(
        {
            "verdict_id": "String",
            "suite": TEXT,
            "decision": TEXT,
            **{name: TEXT for name in ("candidate", "baseline")},
            "decided_at": MOMENT,
            "verdict": "String",
            "written_at": MOMENT,
            "rank": "UInt64",
        },
        "verdict_id",
    ),
    "baselines": Table(
        {
            "suite": "String",
            "name": "String",
            "promoted_at": MOMENT,
            **{name: "String" for name in ("digest", "stored", "promoted_by", "because")},
            **{name: TEXT for name in ("model", "model_version")},
            **{name: "String" for name in ("promotion", "record")},
            "written_at": MOMENT,
            "rank": "UInt64",
        },
        "suite, name, promoted_at, digest",
    ),
    "verdict_records": Table({"digest": "String", "record": "String", "written_at": SECONDS}, "digest"),
}


def release() -> str:
    """Return this release's version, as the migrations table records it."""
    try:
        return metadata.version("evalsvc")
    except metadata.PackageNotFoundError:
        return "unreleased"
