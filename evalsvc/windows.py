"""Windows of event time: cut into steps on multiples of the UTC epoch, and read from what people write.

Steps are ``[k·step, (k+1)·step)`` since 1970-01-01T00:00Z, whoever asks and whenever, so that two readers
compare the same step. Days begin at midnight UTC; weeks, counted from the epoch, begin on Thursdays.
"""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

from evalsvc._durations import parse_duration, parse_moment
from evalsvc.errors import InputError
from evalsvc.types import Window

__all__ = ["MINUTE", "align", "floored", "parse_duration", "parse_since", "parse_span", "steps", "whole_minutes"]

MINUTE = 60

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


def parse_since(text: str, now: datetime) -> datetime:
    """Return a moment in UTC from a duration back from ``now`` (``30s 5m 1h 2d 1w``, ``1h30m``), or RFC 3339.

    >>> parse_since("2d", datetime(2026, 3, 3, 12, tzinfo=UTC)).isoformat()
    '2026-03-01T12:00:00+00:00'
    >>> parse_since("2026-03-01T12:00:00+02:00", datetime(2026, 3, 3, tzinfo=UTC)).isoformat()
    '2026-03-01T10:00:00+00:00'

    Raises:
        InputError: when it is neither.
    """
    return parse_moment(text, now)


def parse_span(since: str, until: str, now: datetime) -> Window:
    """Return the window between two moments, each as :func:`parse_since` reads it, or ``now``.

    >>> parse_span("2d", "now", datetime(2026, 3, 3, tzinfo=UTC)).seconds
    172800.0

    Raises:
        InputError: when a moment cannot be read, or the first does not come before the second.
    """
    start, end = parse_since(since, now), parse_since(until, now)
    if not start < end:
        raise InputError(f"Expected `since` before `until`, but got {start.isoformat()} and {end.isoformat()}")
    return Window(start, end)


def align(window: Window, step_seconds: int) -> Window:
    """Return the smallest window of whole steps that holds ``window``.

    >>> from datetime import timedelta
    >>> start = datetime(2026, 3, 1, 12, 34, 56, tzinfo=UTC)
    >>> align(Window(start, start + timedelta(minutes=5)), 3600).end.isoformat()
    '2026-03-01T13:00:00+00:00'

    Raises:
        InputError: on a step below one second.
    """
    step = _step(step_seconds)
    return Window(floored(window.start, step), _EPOCH - (_EPOCH - window.end) // step * step)


def floored(moment: datetime, step: timedelta) -> datetime:
    """Return the start of the step that a moment lies in.

    >>> floored(datetime(2026, 3, 1, 12, 34, tzinfo=UTC), timedelta(hours=1)).isoformat()
    '2026-03-01T12:00:00+00:00'
    """
    return _EPOCH + (moment - _EPOCH) // step * step


def whole_minutes(window: Window) -> Window:
    """Return the smallest window of whole minutes that holds ``window``: the ledger counts by the minute."""
    return align(window, MINUTE)


def steps(window: Window, step_seconds: int) -> list[Window]:
    """Return the whole steps that hold ``window``, oldest first.

    >>> start = datetime(2026, 3, 1, 12, 30, tzinfo=UTC)
    >>> [step.start.hour for step in steps(Window(start, datetime(2026, 3, 1, 14, tzinfo=UTC)), 3600)]
    [12, 13]

    Raises:
        InputError: on a step below one second.
    """
    whole, step = align(window, step_seconds), _step(step_seconds)
    count = (whole.end - whole.start) // step
    return [Window(whole.start + i * step, whole.start + (i + 1) * step) for i in range(count)]


def _step(step_seconds: int) -> timedelta:
    if step_seconds < 1:
        raise InputError(f"Expected a step of at least one second, but got {step_seconds}")
    return timedelta(seconds=step_seconds)
