"""What to write in place of a number with a unit: a suite's numbers are those of the metric, and have none."""

from __future__ import annotations

import re

_FACTORS = (
    {
        **dict.fromkeys(("us", "µs", "microseconds"), 0.001),
        **dict.fromkeys(("ms", "msec", "millis", "millisecond", "milliseconds"), 1.0),
        **dict.fromkeys(("s", "sec", "secs", "second", "seconds"), 1000.0),
        **dict.fromkeys(("m", "min", "mins", "minute", "minutes"), 60_000.0),
        **dict.fromkeys(("h", "hour", "hours"), 3_600_000.0),
    },
    {
        **dict.fromkeys(("usd", "us$", "$", "dollar", "dollars"), 1.0),
        **dict.fromkeys(("¢", "ct", "cent", "cents"), 0.01),
    },
)
"""Units of time and of money, each as a multiple of one of its kind."""

_WITH_UNIT = re.compile(r"(?P<before>\$?)\s*(?P<number>[+-]?\d+(?:\.\d+)?)\s*(?P<after>[^\d\s.,%]+(?: [^\d\s.,%]+)*)?")


def without_unit(text: str, unit: str) -> str:
    """Return the number of a text in a metric's unit; '' where it has no unit, or one that is of another kind.

    >>> without_unit("1.5s", "ms"), without_unit("$0.05", "USD"), without_unit("3 points", "")
    ('1500', '0.05', '3')
    >>> without_unit("5 km", "ms"), without_unit("1500", "ms")
    ('', '')

    Args:
        text: what stands in the place of the number.
        unit: of the metric; '' where it has none.
    """
    found = _WITH_UNIT.fullmatch(text.strip())
    given = (found["before"] or found["after"] or "") if found else ""
    if not found or not given:
        return ""
    factor = _factor(given.lower(), unit.lower()) if unit else 1.0
    return "" if factor is None else f"{float(found['number']) * factor:.12g}"


def unit_hint(text: str, unit: str) -> str:
    """Return what to write in place of a text that is no number; '' where it has no unit.

    >>> unit_hint("1.5s", "ms"), unit_hint("5 km", "ms")
    ('the unit is ms: write 1500', 'the unit is ms: write a number of ms')
    >>> unit_hint("3 points", ""), unit_hint("1500", "ms")
    ('write 3, without a unit', '')
    """
    value = without_unit(text, unit)
    if not unit:
        return f"write {value}, without a unit" if value else ""
    if value:
        return f"the unit is {unit}: write {value}"
    other = any(map(str.isalpha, text)) and _WITH_UNIT.fullmatch(text.strip())
    return f"the unit is {unit}: write a number of {unit}" if other else ""


def _factor(given: str, unit: str) -> float | None:
    for kind in _FACTORS:
        if unit in kind:
            return kind[given] / kind[unit] if given in kind else None
    return 1.0 if given.removesuffix("s") == unit.removesuffix("s") else None
