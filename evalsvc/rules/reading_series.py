"""What an input of a test says of time: ``2h of 0.05, 30m of 0.9 to 0.7, 1h of nothing``."""

from __future__ import annotations

import re

from evalsvc._durations import parse_duration
from evalsvc._yaml import Value
from evalsvc.errors import InputError
from evalsvc.rules.reading_values import on_scale
from evalsvc.rules.rule_tests import Stretch
from evalsvc.types import Scale

NUMBER = r"-?(?:\d+\.?\d*|\.\d+)(?:[eE][+-]?\d+)?"
DURATION = r"(?:\d+[smhdw])+"
WHAT = rf"nothing|unscored|failed|abstained|{NUMBER}(?: to {NUMBER})?(?: with \d+(?:\.\d+)?% (?:failed|abstained))?"
PART = rf"{DURATION} of (?:{WHAT})"
STRETCHES = rf"\s*{PART}\s*(?:,\s*{PART}\s*)*"
"""The whole text as a regular expression."""

_PART = re.compile(rf"({DURATION}) of (\S.*)")
_VALUE = re.compile(
    rf"(?P<first>{NUMBER})(?: to (?P<last>{NUMBER}))?(?: with (?P<share>\d+(?:\.\d+)?)% (?P<lacking>failed|abstained))?"
)
_WITHOUT = {
    "nothing": Stretch(0, offered=False),
    "unscored": Stretch(0),
    "failed": Stretch(0, failed=1.0),
    "abstained": Stretch(0, abstained=1.0),
}
_HINT = (
    "as in `2h of 0.05`, `30m of 0.9 to 0.7`, `1h of 0.9 with 20% failed`, or `1h of` nothing, unscored, failed or "
    "abstained"
)
_MOST_MINUTES = 400 * 1440


def read_stretches(value: Value, scale: Scale | None, spread: float) -> tuple[Stretch, ...]:
    """Return the stretches of a text, or of a list of texts; what is wrong is reported, and left out."""
    made: list[Stretch] = []
    for item in value.items() if value.is_list else [value]:
        text = item.text(what="stretches of time, as in `2h of 0.05, 1h of 0.4`")
        for part in text.split(",") if text else ():
            made += [found] if (found := _stretch(item, part.strip(), scale, spread)) else []
    if sum(stretch.minutes for stretch in made) > _MOST_MINUTES:
        value.problem(f"expected at most {_MOST_MINUTES // 1440} days", "a test needs no more than a rule's baseline")
        return ()
    if value.is_list and not value.items():
        value.problem("expected at least one stretch of time, but the list is empty", _HINT)
    return tuple(made)


def _stretch(item: Value, text: str, scale: Scale | None, spread: float) -> Stretch | None:
    found = _PART.fullmatch(text)
    if not found:
        item.problem(f"expected a duration and what then comes, but got `{text}`", _HINT)
        return None
    try:
        seconds = parse_duration(found[1]).total_seconds()
    except InputError as error:
        item.problem(str(error))
        return None
    if seconds % 60.0:
        item.problem(f"expected whole minutes, but got `{found[1]}`", "events are counted by the minute")
        return None
    minutes = int(seconds // 60)
    if found[2] in _WITHOUT:
        return _WITHOUT[found[2]]._replace(minutes=minutes)
    means = _VALUE.fullmatch(found[2])
    if not means:
        item.problem(f"expected a mean or what else comes, but got `{found[2]}`", _HINT)
        return None
    first = float(means["first"])
    last = first if means["last"] is None else float(means["last"])
    for mean in (first, last):
        for number in {mean - spread, mean + spread}:
            if scale:
                on_scale(item, number, scale)
    share = float(means["share"] or 0.0) / 100.0
    if share > 1.0:
        item.problem(f"expected at most 100%, but got `{means['share']}%`")
        return None
    lacking = means["lacking"]
    failed, abstained = (share, 0.0) if lacking == "failed" else (0.0, share)
    return Stretch(minutes, first, last, failed, abstained)
