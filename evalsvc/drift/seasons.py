"""Which hours of the past a window is fairly compared with."""

from __future__ import annotations

from collections.abc import Iterable

from evalsvc.errors import InputError

WEEK = 168


def baseline_hours(hours: Iterable[int], weeks: int = 1) -> tuple[int, ...]:
    """Return the same hours of the week in each of the ``weeks`` weeks before, ascending, none of the window itself.

    Traffic differs by hour and by day: Monday morning against Sunday night says nothing about drift. Hours are counted
    since the epoch, UTC; a window longer than a week is compared with the weeks before its first hour's.

    Raises:
        InputError: below one week.

    >>> baseline_hours([500, 501], weeks=2)
    (164, 165, 332, 333)
    """
    if weeks < 1:
        raise InputError(f"Expected `weeks` of at least 1, but got {weeks}")
    window = set(hours)
    if not window:
        return ()
    span = (max(window) - min(window)) // WEEK
    return tuple(sorted({hour - WEEK * (span + week) for hour in window for week in range(1, weeks + 1)} - window))
