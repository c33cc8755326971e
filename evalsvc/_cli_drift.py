"""The command ``drift``: what moved between two windows, most first."""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Sequence
from contextlib import closing
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

import msgspec

from evalsvc import plots, project
from evalsvc._cli_output import aligned, number, print_csv, said_where
from evalsvc._hints import did_you_mean
from evalsvc.cli import OK
from evalsvc.errors import InputError
from evalsvc.project import Environment
from evalsvc.types import Window
from evalsvc.windows import parse_duration, parse_span

if TYPE_CHECKING:
    from evalsvc.anchor_query import ScorerShift
    from evalsvc.drift_examples import GrownCluster
    from evalsvc.drift_query import Drift, DriftQuery
    from evalsvc.protocols import ScoreStore

_NAMES = {
    "wasserstein": "Wasserstein",
    "kolmogorov_smirnov": "KS",
    "jensen_shannon": "Jensen–Shannon",
    "psi": "PSI",
    "chi_square": "Cramér's V",
    "mmd": "MMD",
    "vocabulary": "Cramér's V",
    "classifier": "classifier",
}
_SIDES = {"input": "inputs", "output": "outputs", "score": "scores", "operation": "operation"}


def drift(options: argparse.Namespace) -> int:
    """Print what moved."""
    from evalsvc import assemble
    from evalsvc.drift_query import drifts

    asked = drift_query(options, datetime.now(UTC))
    if options.plot:
        plots.check(options.plot)
    found = project.load_settings()
    address = getattr(options, "store", None)
    with closing(assemble.open_project_store(found, Environment.read(os.environ), address)) as store:
        rows = drifts(store, asked)
        grown = _grown(store, asked, rows, options)
        if options.evidently:
            from evalsvc.evidently_report import write_report

            said = write_report(store, asked, rows, Path(options.evidently), store.metrics())
            print(f"{options.evidently}: {said}", file=sys.stderr)
    if options.format == "json":
        for row in rows:
            print(msgspec.json.encode(row).decode())
        for cluster in grown:
            print(msgspec.json.encode({"cluster": cluster}).decode())
    elif options.format == "csv":
        print_csv(_COLUMNS, [_flat(row) for row in rows])
    else:
        print("\n\n".join([report(rows, asked), *filter(None, [clusters(grown)])]))
    if options.plot:
        plots.save(options.plot, chart(rows, asked, grown) if rows else None)
    return OK


def _grown(
    store: ScoreStore, asked: DriftQuery, rows: Sequence[Drift], options: argparse.Namespace
) -> list[GrownCluster]:
    """Return the clusters that grew, where they are asked for and can be shown."""
    if not options.examples or options.format == "csv":
        return []
    from evalsvc.drift_examples import grown_clusters

    return grown_clusters(store, asked, rows, options.examples)


def clusters(grown: Sequence[GrownCluster]) -> str:
    """Say which kinds of texts grew: shares, what sets them apart, and events to look up."""
    lines = []
    for metric in dict.fromkeys(cluster.metric for cluster in grown):
        held = [cluster for cluster in grown if cluster.metric == metric]
        seen = f"{held[0].texts_baseline:,} → {held[0].texts:,} texts"
        lines.append(
            f"{metric}: of {held[0].clusters} clusters ({seen}), these grew; event ids nearest to their centres:"
        )
        for cluster in held:
            low, high = (f"{value:+.1%}" if value is not None else "-" for value in (cluster.low, cluster.high))
            leans = ", ".join(
                f"{lean.field}={lean.value} ({lean.inside:.0%}, elsewhere {lean.outside:.0%})" for lean in cluster.leans
            )
            lines.append(
                f"  {_from_to(f'{cluster.before:.1%}', f'{cluster.after:.1%}')} ({low} … {high})"
                f"{f'; {leans}' if leans else ''}; {', '.join(cluster.event_ids)}"
            )
    return "\n".join(lines)


def _from_to(old: str, new: str) -> str:
    return f"{old} → {new}"


def drift_query(options: argparse.Namespace, now: datetime) -> DriftQuery:
    """Return what the command line asks for.

    Raises:
        InputError: when a time or a duration cannot be read, or a span is empty.
    """
    from evalsvc.drift import MINIMA
    from evalsvc.drift_query import DriftQuery

    current = parse_span(options.since, options.until, now)
    where: dict[str, tuple[str, ...]] = {}
    for field, value in options.where:
        where[field] = (*where.get(field, ()), value)
    baseline = _baseline(options.baseline, current, now)
    minima = {**MINIMA, **dict(map(_matters, options.matters))}
    return DriftQuery(baseline, current, tuple(options.metrics), where, options.confidence, options.classifier, minima)


def _matters(given: tuple[str, str]) -> tuple[str, float]:
    """Return a detector with the smallest effect that matters."""
    from evalsvc.drift import MINIMA

    name, text = given
    if name not in MINIMA:
        raise InputError(f"Expected --matters with a detector, but got {name!r} ({did_you_mean(name, MINIMA)})")
    try:
        return name, float(text)
    except ValueError:
        raise InputError(f"Expected --matters {name} with a number, but got {text!r}") from None


def _baseline(text: str, current: Window, now: datetime) -> Window:
    """Return START/END, or the current window moved back by a duration."""
    start, slash, end = text.partition("/")
    if slash:
        return parse_span(start, end, now)
    try:
        back = parse_duration(text)
    except InputError as error:
        said = f"Expected --baseline to be how far back (7d) or START/END, but got {text!r}"
        raise InputError(said) from error
    return Window(current.start - back, current.end - back)


def report(rows: Sequence[Drift], asked: DriftQuery) -> str:
    """Return a sentence that says what it comes to, a table of everything, and how the table is read."""
    if not rows:
        return "no scores in the window; widen --since, or loosen --where"
    moved = [row for row in rows if row.moved]
    known = [row for row in rows if row.moved is not None]
    window, baseline = rows[0].current, rows[0].baseline
    spans = f"{_span(window)} against {_span(baseline)} (UTC)"
    if not known:
        said = f"Nothing could be compared, {spans}."
    elif moved:
        said = f"{len(moved)} of {len(known)} moved, {spans}. {_by_side(moved)}."
    else:
        said = f"Nothing moved beyond what matters and chance explains, {spans}: {len(known)} compared."
    several = len({row.consumer for row in rows}) > 1
    shown = [row for row in rows if not _is_empty(row)]
    table = aligned([_line(row, several) for row in shown], right={"effect", "adjusted p", "n"})
    empty = ", ".join(dict.fromkeys(row.metric for row in rows if _is_empty(row)))
    parts = [
        said,
        "\n".join(_scorers(rows)),
        _follows(moved),
        table,
        empty and f"Without a value in either window: {empty}.",
    ]
    return "\n\n".join(part for part in (*parts, known and _legend(len(known), asked.confidence)) if part)


def _by_side(moved: Sequence[Drift]) -> str:
    """Name what moved by what it is of, the side that moved most first."""
    named = dict.fromkeys((row.side, f"{row.metric} ({row.watched})") for row in moved)
    sides = dict.fromkeys(side for side, _ in named)
    parts = [f"{_SIDES[side]}: {', '.join(name for where, name in named if where == side)}" for side in sides]
    said = "; ".join(parts)
    return said[0].upper() + said[1:]


def _follows(moved: Sequence[Drift]) -> str:
    """Say what a reader easily misses: scores move with what is asked, though the system is what it was."""
    if not {"input", "score"} <= {row.side for row in moved}:
        return ""
    return (
        "What is asked moved as well, and other questions alone can move scores: compare alike ones, "
        "as in --where segments.NAME=VALUE."
    )


def _scorers(rows: Sequence[Drift]) -> list[str]:
    """Say of each metric with anchors whose scorer or values moved which of the two it was."""
    told = [row for row in rows if row.scorer and (row.moved or row.scorer.moved)]
    return [_scorer(row, row.scorer) for row in told if row.scorer]


def _scorer(row: Drift, shift: ScorerShift) -> str:
    if shift.scorer is None:
        return f"{row.metric}: its anchors do not tell whether the scorer moved: {shift.reason}."
    versions = f" from {shift.versions}" if shift.versions else ""
    change = _with_interval(shift.scorer, shift.scorer_low, shift.scorer_high)
    said = f"{row.metric}: the scorer {_moved(shift.moved)}{versions} on {shift.n} unchanged anchors, by {change}"
    if shift.system is None or shift.live is None:
        why = f": {shift.reason}" if shift.reason else ""
        return f"{said}; its live values cannot be compared{why}."
    rest = _with_interval(shift.system, shift.system_low, shift.system_high)
    live = f"{said}; live values by {number(shift.live, '+')}, which leaves {rest} for the system and what it is asked"
    return f"{live}: {_verdict(shift)}."


def _verdict(shift: ScorerShift) -> str:
    if shift.moved and shift.system_moved:
        return "both moved"
    if shift.moved:
        return "it is the scorer that moved, and nothing says that the system did"
    return "it is not the scorer that moved" if shift.system_moved else "neither is told from chance"


def _moved(moved: bool | None) -> str:
    return "moved" if moved else "did not move"


def _with_interval(value: float, low: float | None, high: float | None) -> str:
    return f"{number(value, '+')} ({number(low, '+')} … {number(high, '+')})"


def _legend(compared: int, confidence: float) -> str:
    level = f"{1 - confidence:.2g}"
    return (
        "effect: how far apart the windows are beyond chance, with its interval. moved: the interval lies above the "
        f"least effect\nthat matters, and p, adjusted for {compared} compared (Benjamini–Hochberg), is under {level}."
    )


def _is_empty(row: Drift) -> bool:
    return bool(row.tests) and row.tests[0].n == row.tests[0].n_baseline == 0


def _line(row: Drift, several: bool) -> dict[str, str]:
    test = row.tests[0] if row.tests else None
    line = {"moved": "-" if row.moved is None else "yes" if row.moved else "no", "metric": row.metric}
    line |= {"of": row.side, "watched": row.watched}
    line |= {"consumer": row.consumer} if several else {}
    line |= {
        "change": row.change or "-",
        "detector": _NAMES[test.detector] if test else "-",
        "effect": number(test.effect) if test else "-",
        "interval": "-" if test is None or test.low is None else f"{number(test.low)} … {number(test.high)}",
        "matters": f"> {test.minimum:g}" if test else "-",
        "adjusted p": "-"
        if row.adjusted_p is None
        else "< .001"
        if row.adjusted_p < 0.001
        else f"{row.adjusted_p:.3f}",
        "n": f"{test.n_baseline:,} → {test.n:,}" if test else "-",
    }
    return line | ({"note": row.reason} if row.reason else {})


_COLUMNS = (
    *("metric", "watched", "side", "consumer", "scorer_version", "signature", "baseline_start", "baseline_end"),
    *("start", "end", "moved", "adjusted_p", "change", "missing_baseline", "missing_current", "detector", "effect"),
    *("low", "high", "minimum", "p_value", "n_baseline", "n", "method", "reason"),
)


def _flat(row: Drift) -> dict[str, Any]:
    """Return a row with the detector that decides."""
    flat = {name: getattr(row, name) for name in _COLUMNS if hasattr(row, name)}
    if row.tests:
        flat |= {name: getattr(row.tests[0], name) for name in _COLUMNS if hasattr(row.tests[0], name)}
    ends = {"baseline_start": row.baseline.start, "baseline_end": row.baseline.end}
    ends |= {"start": row.current.start, "end": row.current.end}
    times = {name: moment.isoformat().replace("+00:00", "Z") for name, moment in ends.items()}
    return dict.fromkeys(_COLUMNS) | flat | times | {"reason": row.reason}


def _span(window: Window) -> str:
    return f"{window.start:%Y-%m-%d %H:%M} to {window.end:%Y-%m-%d %H:%M}"


def chart(rows: Sequence[Drift], asked: DriftQuery, grown: Sequence[GrownCluster] = ()) -> plots.Chart:
    """Return the picture of what moved: effects in multiples of the least that matters, most moved first.

    Below it stands what the report says of scorers, of what follows from the questions, and of clusters that grew.
    """
    several = len({row.consumer for row in rows}) > 1
    shown = [row for row in rows if not _is_empty(row)]
    window, baseline = rows[0].current, rows[0].baseline
    table = [_page_line(row, several) for row in shown]
    words = {"moved", "metric", "watched", "consumer", "change", "detector", "note", "method"}
    return plots.Chart(
        f"What moved{said_where(asked.where)}, {_span(window)} against {_span(baseline)} (UTC)",
        report(rows, asked).partition("\n")[0],
        "effect ÷ the least effect that matters",
        [plots.Panel("", [_mark(row, several) for row in shown], 1.0, "1, the least effect that matters")],
        table,
        {name for line in table for name in line} - words,
        [
            *_scorers(rows),
            *filter(None, [_follows([row for row in rows if row.moved])]),
            *clusters(grown).splitlines(),
            f"bars: {asked.confidence:.0%} intervals; ◆ moved: its whole interval is beyond what matters, and its "
            "p-value stands with those of all others",
            "each detector's own effect, unit and limit are in the table; 0 is no change",
        ],
    )


def _mark(row: Drift, several: bool) -> plots.Mark:
    test = row.tests[0] if row.tests else None
    name = f"{row.metric} ({row.watched})" + (f" · {row.consumer}" if several else "")
    if test is None or test.effect is None:
        return plots.Mark(name, None, note=row.reason or (test.reason if test else ""))
    if test.minimum <= 0.0:
        return plots.Mark(name, None, note=f"{number(test.effect)}, of which every size matters")
    low, high = (None if end is None else end / test.minimum for end in (test.low, test.high))
    return plots.Mark(
        name, test.effect / test.minimum, low, high, detail=row.change or number(test.effect), strong=bool(row.moved)
    )


def _page_line(row: Drift, several: bool) -> dict[str, str]:
    """Return a row of the page's table: the printed one, and what a statistician asks for."""
    test = row.tests[0] if row.tests else None
    shares = (row.missing_baseline, row.missing_current)
    return _line(row, several) | {
        "n eff": f"{test.n_effective_baseline:,.1f} → {test.n_effective:,.1f}" if test else "-",
        "missing": " → ".join("-" if share is None else f"{share:.1%}" for share in shares),
        "method": test.method if test else "",
    }
