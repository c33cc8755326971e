"""Evidently's drift report of two windows as one HTML file, from stored scores: a row an event, without texts."""

from __future__ import annotations

import html
import math
import os
import warnings
from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from evalsvc._first_events import FirstEvents, cut, first_events
from evalsvc.anchor_query import Identity
from evalsvc.drift_query import Drift, DriftQuery
from evalsvc.errors import InputError, MissingExtra
from evalsvc.protocols import CellQuery, ScoreStore
from evalsvc.types import Score, ScorerSpec, Window

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt

SILENCE: Mapping[str, str] = {"DO_NOT_TRACK": "1", "EVIDENTLY_DISABLE_TELEMETRY": "1"}
"""Variables that are set, over anything that stands there, before evidently is imported; they stay."""

MOST_EVENTS = 20_000
"""How many events of a window are read: those whose ids' digests come first, which is a random part."""
MOST_VALUES = 50
"""A segment with more values than this is left out: it names its events rather than describes them."""
FEWEST = 10
"""A window with fewer events, or a smaller effective number of them, has no page."""
SEED = 20260
_EQUAL = 1e-9
_COLUMNS = ("application", "model", "model_version", "consumer")

EventKey = tuple[str, str]


class Table(NamedTuple):
    """One window: a row an event, a column a metric or label, absent where an event has none.

    ``part`` says that there were more events than are read, so that these are a random part of them.
    """

    rows: Sequence[Mapping[str, float | str]]
    pi: Sequence[float]
    part: bool = False


def write_report(
    store: ScoreStore, query: DriftQuery, rows: Sequence[Drift], path: Path, specs: Sequence[ScorerSpec]
) -> str:
    """Write evidently's report of what ``rows`` compare, and return the sentence that stands at its top.

    Where the events of a window were taken with unequal π, its rows are drawn anew in proportion to 1/π, systematically
    and with a fixed seed, as many as its effective number (Σw)²/Σw²: a table of evidently has no
    weights. Where π is one number, rows are as sampled.

    Raises:
        MissingExtra: where evidently is not installed.
        InputError: where a window has fewer than 10 events or an effective number below 10, or the file cannot be
            written.
    """
    rows = [row for row in rows if row.watched != "mix"]
    if not rows:
        raise InputError("Expected scores in the window, but there are none; widen --since, or loosen --where")
    windows = rows[0].baseline, rows[0].current
    tables = [_table(store, query, rows, window, specs) for window in windows]
    for name, table in zip(("baseline", "window"), tables, strict=True):
        _check(name, table)
    drawn = [resampled(table) for table in tables]
    said = _said(windows, tables, drawn)
    labels = _labels(drawn, specs)
    page = _render(drawn[0], drawn[1], labels, said)
    try:
        path.write_text(page, encoding="utf-8")
    except OSError as error:
        raise InputError(f"{path} cannot be written: {error.strerror}") from error
    return said


def _check(name: str, table: Table) -> None:
    n = len(table.rows)
    if n < FEWEST:
        raise InputError(
            f"Expected at least {FEWEST} events in the {name}, but got {n}; take a longer window (an earlier --since)"
        )
    if (effective := _effective(table.pi) + _EQUAL) < FEWEST:
        raise InputError(
            f"Expected at least {FEWEST} events in the {name}, but its {n}, taken with unequal π, weigh as much as "
            f"{math.floor(10.0 * effective) / 10.0}; take a longer window (an earlier --since)"
        )


def _effective(pi: Sequence[float]) -> float:
    """Return the effective number of events, (Σw)²/Σw² with w = 1/π."""
    # Over the largest, so that none overflows.
    least = min(pi)
    weights = [least / one for one in pi]
    return sum(weights) ** 2 / sum(weight * weight for weight in weights)


def _table(
    store: ScoreStore, query: DriftQuery, rows: Sequence[Drift], window: Window, specs: Sequence[ScorerSpec]
) -> Table:
    """Join the scores of every compared metric by event; of two versions of a scorer, those that both windows have."""
    known = {(spec.metric, spec.version, spec.signature): spec for spec in specs}
    found = _found(store, query, rows, window)
    cells: dict[EventKey, dict[str, float | str]] = {}
    pis: dict[EventKey, float] = {}
    for metric, read in found.items():
        for score in read.scores:
            key = score.subject.consumer, score.subject.event_id
            facts = cells.setdefault(key, _facts(score))
            # Of a nested rate: what the event itself was taken with is the largest.
            pis[key] = max(pis.get(key, 0.0), score.pi)
            value = _value(score, known.get((metric, score.scorer_version, score.signature)))
            if value is not None:
                facts[metric] = value
    part = any(read.end is not None for read in found.values())
    return Table(list(cells.values()), [pis[key] for key in cells], part)


def _found(store: ScoreStore, query: DriftQuery, rows: Sequence[Drift], window: Window) -> dict[str, FirstEvents]:
    """Read every compared metric's scores of the same events, or an event's π would not be its own."""
    wanted: dict[str, set[Identity]] = defaultdict(set)
    for row in rows:
        if row.tests:
            wanted[row.metric].add((row.consumer, row.scorer_version, row.signature))
    found: dict[str, FirstEvents] = {}
    for metric, identities in wanted.items():
        cells = CellQuery(metric, window, int(window.seconds), where=query.where)
        found[metric] = first_events(store, cells, identities, MOST_EVENTS)
    ends = [read.end for read in found.values() if read.end is not None]
    return {metric: cut(read.scores, min(ends)) for metric, read in found.items()} if ends else found


def _facts(score: Score) -> dict[str, float | str]:
    subject = score.subject
    facts: dict[str, float | str] = {name: getattr(subject, name) for name in _COLUMNS}
    return facts | {f"segments.{name}": value for name, value in subject.segments.items()}


def _value(score: Score, spec: ScorerSpec | None) -> float | str | None:
    """Return a score as a cell: categories and yes-or-no as words; of embeddings there is none."""
    if score.value is None or spec is None or spec.features == "fourier":
        return None
    if spec.features == "categories":
        places = [place for place, one in enumerate(score.statistics) if one > 0.5]
        return spec.labels[places[0]] if places and places[0] < len(spec.labels) else None
    if spec.scale.binary:
        return "yes" if score.value > 0.5 else "no"
    return score.value


def resampled(table: Table, seed: int = SEED) -> Table:
    """Return rows that stand for the traffic: drawn by 1/π where π differs, the same ones where it does not.

    Draws are systematic (Carpenter, Clifford and Fearnhead 1999), in a random order.

    >>> even = Table([{"a": 1.0}, {"a": 2.0}], [0.5, 0.5])
    >>> resampled(even) is even
    True
    """
    if not table.pi or max(table.pi) <= min(table.pi) * (1.0 + _EQUAL):
        return table
    import numpy as np

    pi = np.asarray(table.pi)
    weights: npt.NDArray[np.float64] = pi.min() / pi
    # Rounded down, as far as it is not the rounding of its sum.
    wanted = int(_effective(table.pi) + _EQUAL)
    rng = np.random.default_rng(seed)
    order = rng.permutation(len(pi))
    # Evenly spaced over the running sum of weights: independent draws would scatter twice as much as the tests believe.
    marks = (rng.random() + np.arange(wanted)) / wanted
    reached = np.cumsum(weights[order]) / weights.sum()
    places = order[np.minimum(np.searchsorted(reached, marks, side="right"), len(pi) - 1)]
    return Table([table.rows[place] for place in places], [1.0] * wanted)


def _labels(tables: Sequence[Table], specs: Sequence[ScorerSpec]) -> dict[str, bool]:
    """Return the columns that both windows have, with whether each holds words; those that say nothing left out."""
    measured = {spec.metric for spec in specs}
    columns: dict[str, bool] = {}
    values: dict[str, Counter[float | str]] = defaultdict(Counter)
    for table in tables:
        for row in table.rows:
            for name, value in row.items():
                values[name][value] += 1
    for name, found in values.items():
        words = any(isinstance(value, str) for value in found)
        several = len(found) > 1 and (not words or len(found) <= MOST_VALUES)
        both = all(any(name in row for row in table.rows) for table in tables)
        if both and (name in measured or several):
            columns[name] = words
    return columns


def _said(windows: Sequence[Window], tables: Sequence[Table], drawn: Sequence[Table]) -> str:
    spans = [f"{window.start:%Y-%m-%d %H:%M} to {window.end:%Y-%m-%d %H:%M}" for window in windows]
    parts = []
    for name, before, after in zip(("baseline", "current"), tables, drawn, strict=True):
        read = f"{len(before.rows):,} sampled events" + (", a random part" if before.part else "")
        how = "as sampled, all with one π" if after is before else f"resampled to {len(after.rows):,} rows by 1/π"
        parts.append(f"{name}: {read}, {how}")
    return f"Drift, {spans[1]} against {spans[0]} (UTC). {'; '.join(parts)}."


def _render(baseline: Table, current: Table, columns: Mapping[str, bool], said: str) -> str:
    evidently, presets, pandas = _import_silently("evidently", "evidently.presets", "pandas")
    definition = evidently.DataDefinition(
        numerical_columns=[name for name, words in columns.items() if not words],
        categorical_columns=[name for name, words in columns.items() if words],
    )
    frames = [
        evidently.Dataset.from_pandas(
            pandas.DataFrame({name: [row.get(name, math.nan) for row in table.rows] for name in columns}),
            data_definition=definition,
        )
        for table in (baseline, current)
    ]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        snapshot = evidently.Report([presets.DataDriftPreset()]).run(frames[1], frames[0])
        page = snapshot.get_html_str(as_iframe=False)
    return _headed(page, said)


def _headed(page: str, said: str) -> str:
    """Put what the rows are over the page, and into its title."""
    text = html.escape(said)
    note = (
        "Evidently's own tests and thresholds, which know nothing of how events were sampled; "
        "<code>evalsvc drift</code> does."
    )
    head = (
        '<header style="font: 16px/1.5 sans-serif; padding: 1rem 2rem; background: #fff; color: #111">'
        f"<h1 style='font-size: 1.2rem; margin: 0'>{text}</h1><p style='margin: 0'>{note}</p></header>"
    )
    titled = page.replace("<head>", f"<head><title>{text}</title>", 1)
    return titled.replace("<body>", f"<body>{head}", 1)


def _import_silently(*modules: str) -> list[Any]:
    from importlib import import_module

    os.environ.update(SILENCE)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            return [import_module(module) for module in modules]
    except ImportError as error:
        raise MissingExtra("evidently", "reports") from error
