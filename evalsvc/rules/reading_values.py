"""What the readers of rules share: durations, numbers on a scale, and the names of fields."""

from __future__ import annotations

from collections.abc import Callable, Collection
from typing import Literal, NamedTuple

from evalsvc._durations import parse_duration
from evalsvc._hints import nearest
from evalsvc._yaml import Section, Value
from evalsvc.errors import InputError
from evalsvc.types import Scale

FIELDS = ("application", "model", "model_version", "consumer")

Paid = Literal["known", "unpriced", "no judge"]
"""What scores of a metric say of money: what a judge was paid, nothing as it has no prices, or no judge makes them."""


class Measured(NamedTuple):
    """What a project measures: the metrics that can be asked for, and what is known of one; None where nothing is."""

    metrics: Collection[str]
    scale_of: Callable[[str], Scale | None]
    paid_of: Callable[[str], Paid | None] = lambda _: None


def seconds(value: Value | None, default: float, *, least: float, whole_minutes: bool = False) -> float:
    """Return a duration of ``least`` seconds or more; what is wrong is reported, and then it is the default."""
    if value is None:
        return default
    text = value.text(what="a duration, as in 10m")
    if text == "":
        return default
    if text in ("0", "0s", "0m") and least <= 0.0:
        return 0.0
    try:
        found = parse_duration(text).total_seconds()
    except InputError as error:
        value.problem(str(error))
        return default
    if found < least:
        value.expected(f"at least {least:g} seconds")
        return default
    if whole_minutes and found % 60.0:
        value.expected("whole minutes", "events are counted by the minute")
        return default
    return found


def on_scale(value: Value, number: float, scale: Scale) -> None:
    """Report a number that no score can be."""
    low, high = scale.low, scale.high
    if (low is not None and number < low) or (high is not None and number > high):
        shown = f"[{'-∞' if low is None else f'{low:g}'}, {'∞' if high is None else f'{high:g}'}]"
        value.problem(f"expected a number on the metric's scale {shown}, but got {number:g}")


def where(section: Section) -> dict[str, tuple[str, ...]]:
    """Return the values of each field that events should have."""
    wanted: dict[str, tuple[str, ...]] = {}
    for name, value in section:
        if problem := not_a_field(name):
            section.key_problem(name, *problem)
        wanted[name] = value.texts(what="a value or a list of values")
    return wanted


def not_a_field(name: str) -> tuple[str, str] | None:
    """Return what is wrong with the name of a field, and a hint; None where nothing is."""
    if name in FIELDS or (name.startswith("segments.") and name != "segments."):
        return None
    near = nearest(name, FIELDS) or f"a segment is named `segments.{name.rpartition('.')[2]}`"
    return f"expected {', '.join(FIELDS)} or `segments.NAME`, but got `{name}`", near
