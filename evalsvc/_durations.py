"""Durations and moments as people write them on a command line and in a file."""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta

from evalsvc.errors import InputError

_SECONDS = {"s": 1, "m": 60, "h": 3600, "d": 86400, "w": 604800}
_PARTS = re.compile(r"(\d+)\s*(s|m|h|d|w)")


def parse_duration(text: str) -> timedelta:
    """Return a duration above 0 from ``90s``, ``15m``, ``24h``, ``7d``, ``2w`` or a sequence of them.

    >>> parse_duration("1h30m")
    datetime.timedelta(seconds=5400)

    Raises:
        InputError: when it is written otherwise.
    """
    compact = text.strip()
    seconds = sum(int(number) * _SECONDS[unit] for number, unit in _PARTS.findall(compact))
    try:
        if seconds and not _PARTS.sub("", compact).strip():
            return timedelta(seconds=seconds)
    except OverflowError:
        pass
    raise InputError(f"Expected a duration such as 90s, 15m, 24h, 7d or 1h30m, but got {text!r}")


def parse_moment(text: str, now: datetime) -> datetime:
    """Return a time in UTC: ``now``, a duration back from it, a date, or an ISO time (no zone: UTC).

    >>> parse_moment("24h", datetime(2026, 1, 2, tzinfo=UTC)).isoformat()
    '2026-01-01T00:00:00+00:00'
    >>> parse_moment("2026-01-01T12:00+02:00", datetime(2026, 1, 2, tzinfo=UTC)).isoformat()
    '2026-01-01T10:00:00+00:00'

    Raises:
        InputError: when it is written otherwise.
    """
    if text == "now":
        return now
    try:
        moment = datetime.fromisoformat(text)
        return (moment if moment.tzinfo else moment.replace(tzinfo=UTC)).astimezone(UTC)
    except (ValueError, OverflowError):
        pass
    try:
        return now - parse_duration(text)
    except (InputError, OverflowError):
        raise InputError(
            f"Expected a time such as 24h (ago), now, 2026-01-31 or 2026-01-31T12:00Z, but got {text!r}"
        ) from None
