"""``exported`` in ``[tool.evalsvc]``: which estimates Prometheus is shown, and under which labels."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping

from evalsvc._durations import parse_duration
from evalsvc._hints import did_you_mean
from evalsvc.errors import InputError
from evalsvc.project.values import ExportedConfig
from evalsvc.rules.reading_values import not_a_field

OWN_LABELS = ("metric", "consumer", "scorer_version", "signature")
"""What every exported estimate is labelled with."""
TAKEN_LABELS = (*OWN_LABELS, "job", "instance")
"""Prometheus labels what it reads with the last two."""
MOST_GROUPS = 100_000

_KEYS = ("window", "delay", "by", "max_groups")
_EXAMPLE = 'as in {window = "1h", by = ["application"]}, or false for none'

Report = Callable[[str, str, str], None]
"""Takes a key, what is wrong with it, and a hint."""


def label_of(field: str) -> str:
    """Return a field's name as the name of a label, as alerts have it: letters, digits and ``_``, no digit first.

    >>> label_of("model_version"), label_of("segments.plan-type")
    ('model_version', 'plan_type')
    """
    name = re.sub(r"\W", "_", field.removeprefix("segments."), flags=re.ASCII)
    return f"_{name}" if name[:1].isdigit() else name


def read_exported(table: object, report: Report) -> ExportedConfig | None:
    """Return what a table says, with defaults for what it does not say; None for ``false``. Mistakes are reported."""
    if table is False:
        return None
    if not isinstance(table, dict):
        report("exported", "expected `exported` to be a table or false", _EXAMPLE)
        return ExportedConfig()
    for key in table:
        if key not in _KEYS:
            report(key, f"unknown key `{key}` in `tool.evalsvc.exported`", did_you_mean(key, _KEYS))
    plain = ExportedConfig()
    return ExportedConfig(
        window_seconds=_minutes(table, "window", plain.window_seconds, report),
        delay_seconds=_minutes(table, "delay", plain.delay_seconds, report),
        by=_fields(table.get("by", list(plain.by)), report),
        max_groups=_most(table.get("max_groups", plain.max_groups), report),
    )


def _minutes(table: Mapping[str, object], key: str, default: float, report: Report) -> float:
    value = table.get(key)
    if value is None:
        return default
    try:
        seconds = parse_duration(str(value)).total_seconds()
    except InputError as error:
        report(key, str(error), "")
        return default
    if seconds % 60:
        report(key, f"expected `{key}` to be whole minutes, but got {value!r}", "scores are added up by the minute")
        return default
    return seconds


def _fields(value: object, report: Report) -> tuple[str, ...]:
    if not isinstance(value, list) or not all(isinstance(name, str) for name in value):
        report("by", f"expected `by` to be a list of fields, but got {value!r}", 'as in ["application"]')
        return ()
    kept: dict[str, str] = {}
    for name in value:
        label = label_of(name)
        if problem := not_a_field(name):
            report("by", *problem)
        elif label in TAKEN_LABELS or label.startswith("__"):
            report("by", f"the label `{label}` of `{name}` has another meaning", "leave it out")
        elif label in kept:
            twice = "is there twice" if kept[label] == name else f"has the same label, `{label}`, as `{kept[label]}`"
            report("by", f"`{name}` {twice}", "leave one out")
        else:
            kept[label] = name
    return tuple(kept.values())


def _most(value: object, report: Report) -> int:
    if isinstance(value, int) and not isinstance(value, bool) and 1 <= value <= MOST_GROUPS:
        return value
    hint = "`exported = false` shows none"
    report("max_groups", f"expected `max_groups` to be a number from 1 to {MOST_GROUPS:,}, but got {value!r}", hint)
    return ExportedConfig().max_groups
