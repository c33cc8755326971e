"""The command ``query``: estimates of a metric, as a table for people, or JSON lines or CSV for programs."""

from __future__ import annotations

import argparse
import json
import os
import sys
from collections import defaultdict
from collections.abc import Mapping, Sequence
from contextlib import closing
from datetime import UTC, datetime
from types import MappingProxyType
from typing import TYPE_CHECKING

from evalsvc import plots, project
from evalsvc._cli_output import aligned, number, print_csv, said_where
from evalsvc.cli import OK
from evalsvc.errors import InputError
from evalsvc.project import Environment
from evalsvc.types import Estimate, Window
from evalsvc.windows import parse_duration, parse_span, whole_minutes

if TYPE_CHECKING:
    from evalsvc.protocols import ScoreStore
    from evalsvc.query import EstimateQuery, LabelledEstimate
    from evalsvc.scorer_notes import ScorerKey
    from evalsvc.stats.bounds import WorstCase


MISSING_SHOWN = 50
ALL = "all"
MOST_WINDOWS = 2000
"""A picture of more has nothing to see."""


def query(options: argparse.Namespace) -> int:
    """Print estimates."""
    from evalsvc import assemble
    from evalsvc.query import csv_columns, to_csv_row, with_worst_case
    from evalsvc.query_gaps import with_gaps
    from evalsvc.scorer_notes import key_of, noted, scorer_notes

    asked = estimate_query(options, datetime.now(UTC))
    if options.threshold is not None and not options.worst_case:
        raise InputError("Expected --threshold with --worst-case, which says whether missing scores could cross it")
    if options.per:
        if asked.metric == ALL:
            raise InputError(f"Expected one metric with --per, but got {ALL!r}: each has a unit of its own")
        if options.missing or options.worst_case or options.plot:
            raise InputError("Expected --per without --missing, --worst-case and --plot, which know no ratios")
    if options.plot:
        if asked.metric == ALL:
            raise InputError(f"Expected one metric with --plot, but got {ALL!r}: each has a scale of its own")
        if options.missing:
            raise InputError("Expected --plot without --missing, whose reasons have no intervals to draw")
        if (count := asked.window.seconds / asked.step_seconds) > MOST_WINDOWS:
            said = f"{count:,.0f}; take a longer --window or a later --since"
            raise InputError(f"Expected at most {MOST_WINDOWS:,} windows to draw, but got {said}")
        plots.check(options.plot)
    found = project.load_settings()
    address = getattr(options, "store", None)
    with closing(assemble.open_project_store(found, Environment.read(os.environ), address)) as store:
        if options.missing:
            return _missing(store, asked, options.format)
        rows = _rows(store, asked, options.per)
        if options.worst_case:
            rows = with_worst_case(store, asked, rows, options.threshold)
        notes = scorer_notes(store, (row.metric for row in rows), asked)
        unknown = _unknown_segments(store, asked, rows)
    rows = with_gaps(rows, asked)
    for name in unknown:
        said = f"no scored event of this window has a segment {name!r}; is it spelt so?"
        print(f"evalsvc: {said}", file=sys.stderr)
    if options.format == "json":
        _print_json(noted(rows, notes))
    elif options.format == "csv":
        columns = csv_columns(asked.by, worst_case=options.worst_case)
        print_csv(columns, [to_csv_row(row) for row in noted(rows, notes)])
    else:
        print(table(rows, windowed=options.window is not None) if rows else _nothing(asked))
        shown = {key_of(row) for row in rows}
        for said in dict.fromkeys(note for identity, note in notes.items() if identity in shown):
            print(f"Warning: {said}.")
    if options.plot:
        drawn = chart(rows, asked, windowed=options.window is not None, notes=notes) if rows else None
        plots.save(options.plot, drawn)
    return OK


def _missing(store: ScoreStore, asked: EstimateQuery, form: str) -> int:
    """Print why scores have no value."""
    from evalsvc.protocols import CellQuery, MissingReason
    from evalsvc.query import specs_of

    if asked.metric == ALL:
        raise InputError(f"Expected one metric with --missing, but got {ALL!r}: the reasons are each scorer's own")
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


def _rows(store: ScoreStore, asked: EstimateQuery, per: str | None = None) -> Sequence[LabelledEstimate]:
    from evalsvc.query import estimates, estimates_of_all

    if per:
        from evalsvc.query_ratio import ratio_estimates

        return ratio_estimates(store, asked, per)
    return estimates_of_all(store, asked) if asked.metric == ALL else estimates(store, asked)


def _unknown_segments(store: ScoreStore, asked: EstimateQuery, rows: Sequence[LabelledEstimate]) -> list[str]:
    """Return the segments asked for that no scored event has: most likely a typo."""
    names = [name for name in asked.by if name.startswith("segments.")]
    if not rows:
        names = [name for name in asked.where if name.startswith("segments.")]
        rows = _rows(store, asked._replace(where={}, by=tuple(names))) if names else ()
    return [name.removeprefix("segments.") for name in names if rows and not any(row.labels[name] for row in rows)]


def fields_of(given: Sequence[str]) -> tuple[str, ...]:
    """Return the fields of ``--by``, which may name several and may be repeated, each once.

    >>> fields_of(["application, model", "segments.plan", "model"])
    ('application', 'model', 'segments.plan')
    """
    return tuple(dict.fromkeys(field.strip() for text in given for field in text.split(",") if field.strip()))


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
        by=fields_of(options.by),
        where=where,
        statistic=options.statistic,
        confidence=options.confidence,
    )


def table(rows: Sequence[LabelledEstimate], *, windowed: bool) -> str:
    """Return an aligned table. Metric, consumer and scorer have columns only where they tell rows apart."""
    metrics = len({row.metric for row in rows})
    several = len({row.consumer for row in rows}) > 1
    versions = len({(row.metric, row.scorer_version, row.signature) for row in rows}) > metrics
    named = [{"metric": row.metric} if metrics > 1 else {} for row in rows]
    lines = [
        name | _cells(row, windowed=windowed, several=several, versions=versions)
        for name, row in zip(named, rows, strict=True)
    ]
    return aligned(lines, right={"value", "interval", "n", "n eff", "missing", "worst case"})


def _cells(row: LabelledEstimate, *, windowed: bool, several: bool, versions: bool) -> dict[str, str]:
    estimate = row.estimate
    cells = {"window": f"{estimate.window.start:%Y-%m-%d %H:%M}"} if windowed else {}
    cells |= {"consumer": row.consumer} if several else {}
    cells |= {name: said_value(value) for name, value in row.labels.items()}
    cells |= {"scorer": f"v{row.scorer_version} {row.signature}"} if versions else {}
    cells |= {
        estimate.statistic: number(estimate.value),
        f"{estimate.confidence:.0%} interval": _interval(estimate),
    }
    cells |= {
        "n": f"{estimate.n:,}",
        "n eff": f"{estimate.n_effective:,.1f}",
        "missing": f"{estimate.missing_share:.1%}",
    }
    notes = [estimate.reason] if estimate.reason else []
    if row.worst is not None:
        known = row.worst.low is not None
        cells["worst case"] = f"{number(row.worst.low)} … {number(row.worst.high)}" if known else "-"
        notes += [_depends(row.worst, estimate)] if row.worst.depends else []
        notes += [f"no worst case: {row.worst.reason}"] if row.worst.reason else []
    return cells | ({"note": "; ".join(notes)} if notes else {})


def said_value(value: str, mark: str = "") -> str:
    """Return a field's value as people read it; no two values read alike, so that it can name a group.

    An absent one is ``-``. One that could be taken for that, for a quoted one, or for several with ``mark`` between
    them, stands in quotes.

    >>> print(said_value(""), said_value("-"), said_value("pro"), said_value("a × b", "×"))
    - "-" pro "a × b"
    """
    if value == "-" or value.startswith('"') or (mark and mark in value):
        return json.dumps(value, ensure_ascii=False)
    return value or "-"


def _depends(worst: WorstCase, estimate: Estimate) -> str:
    at = "" if worst.threshold is None else f", held against {number(worst.threshold)},"
    return f"the conclusion{at} depends on the {estimate.missing_share:.1%} without a score"


def _interval(estimate: Estimate) -> str:
    if estimate.low is None and estimate.high is None:
        return "-"
    return f"{number(estimate.low)} … {number(estimate.high)}"


def chart(
    rows: Sequence[LabelledEstimate],
    asked: EstimateQuery,
    *,
    windowed: bool,
    notes: Mapping[ScorerKey, str] = MappingProxyType({}),
) -> plots.Chart:
    """Return the picture of these estimates: over time with windows, a row for each without. It says the ``notes``."""
    span = Window(min(row.estimate.window.start for row in rows), max(row.estimate.window.end for row in rows))
    several = len({row.consumer for row in rows}) > 1
    versions = len({(row.scorer_version, row.signature) for row in rows}) > 1
    by_group: dict[tuple[object, ...], list[LabelledEstimate]] = defaultdict(list)
    for row in rows:
        by_group[row.consumer, tuple(row.labels.items()), row.scorer_version, row.signature].append(row)
    named = [(_group_name(group[0], several=several, versions=versions), group) for group in by_group.values()]
    # The group with most scores first, as its numbers are the surest.
    ordered = sorted(named, key=lambda group: -sum(row.estimate.n for row in group[1]))
    if windowed:
        panels = [plots.Panel(name, [_mark(name, row.estimate) for row in group]) for name, group in ordered]
    else:
        panels = [plots.Panel("", [_mark(name, row.estimate) for name, group in ordered for row in group])]
    by = f" by {' × '.join(asked.by)}" if asked.by else ""
    head = f"{asked.statistic} of {asked.metric}{by}{said_where(asked.where)}"
    lines = [
        _cells(row, windowed=windowed, several=several, versions=versions) | {"method": row.estimate.method}
        for _, group in ordered
        for row in group
    ]
    foot = [f"warning: {note}" for note in dict.fromkeys(notes.values())]
    foot.append(f"bars: {asked.confidence:.0%} intervals, each of one estimate alone; times are UTC")
    if len(ordered) > 1:
        foot.append("whether groups differ by more than chance is what `evalsvc fairness` tells")
    return plots.Chart(
        f"{head}, {span.start:%Y-%m-%d %H:%M} to {span.end:%Y-%m-%d %H:%M} (UTC)",
        _said(ordered, windowed=windowed),
        f"{asked.statistic} of {asked.metric}",
        panels,
        lines,
        {asked.statistic, f"{asked.confidence:.0%} interval", "n", "n eff", "missing"},
        foot,
        over_time=windowed,
    )


def _group_name(row: LabelledEstimate, *, several: bool, versions: bool) -> str:
    mark = "·" if several + versions + len(row.labels) > 1 else ""
    parts = [row.consumer] * several
    parts += [f"{field.removeprefix('segments.')} {said_value(value, mark)}" for field, value in row.labels.items()]
    parts += [f"v{row.scorer_version} {row.signature}"] * versions
    return " · ".join(parts) or row.metric


def _mark(name: str, estimate: Estimate) -> plots.Mark:
    start, end = estimate.window.start, estimate.window.end
    detail = f"{number(estimate.value)}  ({_interval(estimate)})  n {estimate.n:,}"
    return plots.Mark(
        name, estimate.value, estimate.low, estimate.high, estimate.reason, start + (end - start) / 2, detail
    )


def _said(groups: Sequence[tuple[str, Sequence[LabelledEstimate]]], *, windowed: bool) -> str:
    """Return the sentence of a picture: the estimate, or the ends of many."""
    known = [
        (f"{name}, {row.estimate.window.start:%Y-%m-%d %H:%M}" if windowed and len(groups) > 1
         else f"{row.estimate.window.start:%Y-%m-%d %H:%M}" if windowed else name, row.estimate)
        for name, group in groups
        for row in group
        if row.estimate.value is not None
    ]  # fmt: skip
    count = sum(len(group) for _, group in groups)
    gaps = f" {count - len(known)} of {count} have no estimate, which is no zero." if len(known) < count else ""
    if not known:
        return f"No estimate: {groups[0][1][0].estimate.reason}."
    if count == 1:
        ((_, only),) = known
        return f"{number(only.value)} ({only.confidence:.0%} interval {_interval(only)}), from {only.n:,} scores."
    least, most = min(known, key=lambda one: one[1].value or 0.0), max(known, key=lambda one: one[1].value or 0.0)
    return (
        f"The estimates lie between {number(least[1].value)} ({least[0]}; interval {_interval(least[1])}) and "
        f"{number(most[1].value)} ({most[0]}; interval {_interval(most[1])}), from "
        f"{sum(one.n for _, one in known):,} scores.{gaps}"
    )


def _print_json(rows: Sequence[LabelledEstimate]) -> None:
    from evalsvc.query import to_json

    for row in rows:
        print(json.dumps(to_json(row), ensure_ascii=False))


def _nothing(asked: EstimateQuery) -> str:
    what = "any metric" if asked.metric == ALL else asked.metric
    return f"no scores of {what} match; widen --since, or loosen --where"
