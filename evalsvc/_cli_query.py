"""The command ``query``: estimates of a metric, as a table for people, or JSON lines or CSV for programs."""

from __future__ import annotations

import argparse
import json
import os
import sys
from collections.abc import Mapping, Sequence
from contextlib import closing
from datetime import UTC, datetime
from typing import TYPE_CHECKING

import msgspec

from evalsvc import project
from evalsvc._cli_output import aligned, print_csv
from evalsvc.cli import OK
from evalsvc.project import Environment
from evalsvc.types import Estimate
from evalsvc.windows import parse_duration, parse_span, whole_minutes

if TYPE_CHECKING:
    from evalsvc.protocols import ScoreStore
    from evalsvc.query import EstimateQuery, LabelledEstimate


MISSING_SHOWN = 50


def query(options: argparse.Namespace) -> int:
    """Print estimates."""
    from evalsvc import assemble
    from evalsvc.query import csv_columns, estimates, to_csv_row

    asked = estimate_query(options, datetime.now(UTC))
    found = project.load_settings()
    address = getattr(options, "store", None)
    with closing(assemble.open_project_store(found, Environment.read(os.environ), address)) as store:
        if options.missing:
            return _missing(store, asked, options.format)
        rows = estimates(store, asked)
        notes = scorer_notes(store, asked)
        unknown = _unknown_segments(store, asked, rows)
    for name in unknown:
        said = f"no scored event of this window has a segment {name!r}; is it spelt so?"
        print(f"evalsvc: {said}", file=sys.stderr)
    if options.format == "json":
        _print_json([_noted(row, notes) for row in rows])
    elif options.format == "csv":
        print_csv(csv_columns(asked.by), [to_csv_row(_noted(row, notes)) for row in rows])
    else:
        print(table(rows, windowed=options.window is not None) if rows else _nothing(asked))
        shown = {_identity(row) for row in rows}
        for said in dict.fromkeys(note for identity, note in notes.items() if identity in shown):
            print(f"Warning: {said}.")
    return OK


def scorer_notes(store: ScoreStore, asked: EstimateQuery) -> dict[tuple[str, int, str], str]:
    """Return a sentence for each scorer, by consumer, version and signature, whose anchors moved."""
    from evalsvc.anchor_query import shifts_within

    found = shifts_within(store, asked.metric, asked.window, asked.confidence)
    return {
        identity: f"between {shift.before:%Y-%m-%d %H:%M} and {shift.after:%Y-%m-%d %H:%M} UTC the scorer of "
        f"{asked.metric} moved by {shift.scorer:+.3g} ({shift.scorer_low:+.3g} … {shift.scorer_high:+.3g}) on "
        f"{shift.n} unchanged anchors, so values before and after are not alike (`evalsvc drift {asked.metric}`)"
        for identity, shift in found.items()
        if shift.moved
    }


def _noted(row: LabelledEstimate, notes: Mapping[tuple[str, int, str], str]) -> LabelledEstimate:
    """Return a row that says in its ``reason`` what its scorer's anchors say."""
    note = notes.get(_identity(row))
    if not note:
        return row
    reason = "; ".join(part for part in (row.estimate.reason, note) if part)
    return row._replace(estimate=msgspec.structs.replace(row.estimate, reason=reason))


def _identity(row: LabelledEstimate) -> tuple[str, int, str]:
    return row.consumer, row.scorer_version, row.signature


def _missing(store: ScoreStore, asked: EstimateQuery, form: str) -> int:
    """Print why scores have no value."""
    from evalsvc.protocols import CellQuery, MissingReason
    from evalsvc.query import specs_of

    specs_of(store.metrics(), asked.metric)
    window = whole_minutes(asked.window)
    cells = CellQuery(asked.metric, window, int(window.seconds), where=asked.where)
    found = [why._asdict() for why in store.missing(cells, MISSING_SHOWN)]
    if form == "csv":
        print_csv(MissingReason._fields, found)
    elif form == "json":
        for why in found:
            print(json.dumps(why, ensure_ascii=False))
    elif found:
        shown = [{"scores": f"{why['n']:,}", "status": why["status"], "reason": why["reason"]} for why in found]
        print(aligned(shown, right={"scores"}))
        if len(found) == MISSING_SHOWN:
            print(f"the {MISSING_SHOWN} most frequent; there may be more")
    else:
        every = f"every score of {asked.metric} that matches has a value"
        print(every if store.cells(cells) else _nothing(asked))
    return OK


def _unknown_segments(store: ScoreStore, asked: EstimateQuery, rows: Sequence[LabelledEstimate]) -> list[str]:
    """Return the segments asked for that no scored event has: most likely a typo."""
    from evalsvc.query import estimates

    names = [name for name in asked.by if name.startswith("segments.")]
    if not rows:
        names = [name for name in asked.where if name.startswith("segments.")]
        rows = estimates(store, asked._replace(where={}, by=tuple(names))) if names else ()
    return [name.removeprefix("segments.") for name in names if rows and not any(row.labels[name] for row in rows)]


def estimate_query(options: argparse.Namespace, now: datetime) -> EstimateQuery:
    """Return what the command line asks for.

    Raises:
        InputError: when a time or a duration cannot be read, or the span is empty.
    """
    from evalsvc.query import EstimateQuery

    span = parse_span(options.since, options.until, now)
    where: dict[str, tuple[str, ...]] = {}
    for field, value in options.where:
        where[field] = (*where.get(field, ()), value)
    seconds = parse_duration(options.window).total_seconds() if options.window else span.seconds
    return EstimateQuery(
        options.metric,
        span,
        max(1, int(seconds)),
        by=tuple(field.strip() for field in options.by.split(",") if field.strip()),
        where=where,
        statistic=options.statistic,
        confidence=options.confidence,
    )


def table(rows: Sequence[LabelledEstimate], *, windowed: bool) -> str:
    """Return an aligned table. Consumer and scorer have columns only where they tell rows apart."""
    several = len({row.consumer for row in rows}) > 1
    versions = len({(row.scorer_version, row.signature) for row in rows}) > 1
    lines = [_cells(row, windowed=windowed, several=several, versions=versions) for row in rows]
    return aligned(lines, right={"value", "interval", "n", "n eff", "missing"})


def _cells(row: LabelledEstimate, *, windowed: bool, several: bool, versions: bool) -> dict[str, str]:
    estimate = row.estimate
    cells = {"window": f"{estimate.window.start:%Y-%m-%d %H:%M}"} if windowed else {}
    cells |= {"consumer": row.consumer} if several else {}
    cells |= {name: value or "-" for name, value in row.labels.items()}
    cells |= {"scorer": f"v{row.scorer_version} {row.signature}"} if versions else {}
    cells |= {
        estimate.statistic: _number(estimate.value),
        f"{estimate.confidence:.0%} interval": _interval(estimate),
    }
    cells |= {
        "n": f"{estimate.n:,}",
        "n eff": f"{estimate.n_effective:,.1f}",
        "missing": f"{estimate.missing_share:.1%}",
    }
    return cells | ({"note": estimate.reason} if estimate.reason else {})


def _interval(estimate: Estimate) -> str:
    if estimate.low is None and estimate.high is None:
        return "-"
    return f"{_number(estimate.low)} … {_number(estimate.high)}"


def _number(value: float | None) -> str:
    return "-" if value is None else f"{value:,.4g}" if abs(value) < 10_000 else f"{value:,.0f}"


def _print_json(rows: Sequence[LabelledEstimate]) -> None:
    from evalsvc.query import to_json

    for row in rows:
        print(json.dumps(to_json(row), ensure_ascii=False))


def _nothing(asked: EstimateQuery) -> str:
    return f"no scores of {asked.metric} match; widen --since, or loosen --where"
