"""How a query's window is cut into steps, and which of its hours a rollup by whole hours can answer."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import NamedTuple

from evalsvc._hints import nearest
from evalsvc.errors import InputError
from evalsvc.protocols import CellQuery
from evalsvc.store.ranks import microseconds, moment
from evalsvc.types import Subject, Window

HOUR_SECONDS = 3600
SECOND = 1_000_000
MAX_STEPS = 100_000
COLUMNS = ("application", "model", "model_version", "consumer")
SEGMENT = "segments."

# ClickHouse's DateTime holds 32-bit seconds; a margin at each end keeps arithmetic on hours within.
EARLIEST = datetime(1970, 1, 2, tzinfo=UTC)
LATEST = datetime(2106, 1, 1, tzinfo=UTC)


class Grid(NamedTuple):
    """A window in steps: the i-th is ``[start + i·step, start + (i+1)·step)``, the last cut at the end.

    ``start``, ``end`` and ``step`` are microseconds (since the epoch where they are moments).
    """

    start: int
    end: int
    step: int

    def step_of(self, micros: int) -> int:
        """Return the step that a moment of the window lies in."""
        return (micros - self.start) // self.step

    def window(self, index: int) -> Window:
        """Return the window of a step."""
        low = self.start + index * self.step
        return Window(moment(low), moment(min(low + self.step, self.end)))


class Nested(NamedTuple):
    """Windows with one end, in microseconds since the epoch: the i-th is ``[starts[i], end)``, ``start`` the first."""

    start: int
    end: int
    starts: tuple[int, ...]

    @property
    def step(self) -> int:
        """The length of the longest."""
        return self.end - self.start

    def window(self, index: int) -> Window:
        """Return one of the windows."""
        return Window(moment(self.starts[index]), moment(self.end))


def nested(window: Window, starts: Sequence[datetime]) -> Nested:
    """Return the windows from each of ``starts`` to the end of ``window``.

    Raises:
        InputError: on starts outside the window, or none.
    """
    whole = grid(window, max(1, int(window.seconds)))
    found = tuple(microseconds(start) for start in starts)
    if not found or min(found) < whole.start or max(found) >= whole.end:
        raise InputError(f"Expected `starts` within {window.start.isoformat()} … {window.end.isoformat()}")
    return Nested(min(found), whole.end, found)


def grid(window: Window, step_seconds: int) -> Grid:
    """Cut a window into steps from its start.

    Raises:
        InputError: on a step below one second, or more than :data:`MAX_STEPS` of them.

    >>> day = Window(datetime(2026, 5, 1, tzinfo=UTC), datetime(2026, 5, 2, tzinfo=UTC))
    >>> grid(day, 3600).window(23).start.hour
    23
    """
    if step_seconds < 1:
        raise InputError(f"Expected `step_seconds` >= 1, but got {step_seconds}")
    if window.seconds / step_seconds > MAX_STEPS:
        raise InputError(
            f"Expected at most {MAX_STEPS} steps, but {window.seconds:.0f} s in steps of {step_seconds} s "
            "are more; "
            "use a longer step or a shorter window"
        )
    start, end = max(window.start, EARLIEST), min(window.end, LATEST)
    if start >= end or start > window.start:
        raise InputError(
            f"Expected a window between {EARLIEST.date()} and {LATEST.date()}, but got one from "
            f"{window.start.isoformat()} to {window.end.isoformat()}"
        )
    return Grid(microseconds(start), microseconds(end), step_seconds * SECOND)


class Hours(NamedTuple):
    """Hours as seconds since the epoch: a rollup may answer ``[first, last)`` but for ``ragged`` ones."""

    first: int
    last: int
    ragged: frozenset[int]


def whole_hours(steps: Grid) -> Hours | None:
    """Return the hours that lie within one step each; ``None`` where no hour does.

    The window's own edges lie outside ``[first, last)``; an hour that a step's boundary cuts is ragged.
    """
    hour = HOUR_SECONDS * SECOND
    first, last = -(-steps.start // hour), steps.end // hour
    if first >= last or steps.step < hour:
        return None
    ragged = set[int]()
    if steps.step % hour or steps.start % hour:
        boundaries = range(steps.start + steps.step, steps.end, steps.step)
        ragged = {cut // hour * HOUR_SECONDS for cut in boundaries if cut % hour}
    found = Hours(first * HOUR_SECONDS, last * HOUR_SECONDS, frozenset(ragged))
    return None if len(ragged) >= last - first and _all_ragged(found) else found


def edge_hours(steps: Grid, hours: Hours) -> set[int]:
    """Return the hours (seconds since the epoch) that only raw rows can answer, as something cuts them."""
    edges = set(hours.ragged)
    if steps.start < hours.first * SECOND:
        edges.add(hours.first - HOUR_SECONDS)
    if steps.end > hours.last * SECOND:
        edges.add(hours.last)
    return edges


def check_names(query: CellQuery) -> None:
    """Refuse a ``by`` or ``where`` that names no column.

    Raises:
        InputError: naming the column and those that exist.
    """
    for name in (*query.by, *query.where):
        if name not in COLUMNS and not (name.startswith(SEGMENT) and len(name) > len(SEGMENT)):
            segment = SEGMENT + name.removeprefix("segment.")
            hint = nearest(name, COLUMNS) or f"a segment is {segment!r}"
            raise InputError(
                f"Expected `by` and `where` to name one of {', '.join(COLUMNS)} or segments.NAME, but got {name!r} "
                f"({hint})"
            )
    if len(set(query.by)) != len(query.by):
        raise InputError(f"Expected `by` to name a column once, but got {', '.join(query.by)}")


def column_of(subject: Subject, name: str) -> str:
    """Return a subject's value of a ``by`` column; a segment that it lacks is the empty text."""
    if name.startswith(SEGMENT):
        return subject.segments.get(name.removeprefix(SEGMENT), "")
    return str(getattr(subject, name))


def selects(where: Mapping[str, tuple[str, ...]], subject: Subject) -> bool:
    """Whether a subject has, in every named column, one of the wanted values."""
    return all(column_of(subject, name) in wanted for name, wanted in where.items())


def _all_ragged(hours: Hours) -> bool:
    return all(hour in hours.ragged for hour in range(hours.first, hours.last, HOUR_SECONDS))
