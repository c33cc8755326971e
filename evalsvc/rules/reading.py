"""One ``*.rules.yaml`` file as checked values: every mistake at once, with its place and a hint."""

from __future__ import annotations

import re
from collections.abc import Callable, Collection, Sequence
from typing import Literal, cast

from msgspec.structs import replace

from evalsvc._durations import parse_duration
from evalsvc._hints import did_you_mean, nearest
from evalsvc._yaml import Document, Section, Value
from evalsvc.errors import InputError
from evalsvc.rules.templates import NAMES, unknown_names
from evalsvc.rules.values import (
    DAY,
    Budget,
    Change,
    Condition,
    OnTrouble,
    Rule,
    RuleGroup,
    Severity,
    Threshold,
    alert_labels,
)
from evalsvc.types import Scale

ALERT = r"[A-Za-z][A-Za-z0-9_]{0,99}"
LABEL = r"[A-Za-z_][A-Za-z0-9_]{0,99}"
FIELDS = ("application", "model", "model_version", "consumer")
KINDS = ("above", "below", "change")
RESERVED = ("alertname", "severity", "metric", "consumer", "owner")
_BUDGET = re.compile(r"(\d+(?:\.\d+)?)\s+per\s+(\S+)")
_STATISTIC = re.compile(r"mean|proportion|p(?!0+(?:\.0*)?$)\d{1,2}(?:\.\d+)?")
_LEAST_INTERVAL = 60.0


Scales = Callable[[str], Scale | None]


def read_rules(
    document: Document,
    path: str,
    metrics: Collection[str],
    scale_of: Scales,
    taken: dict[str, str] | None = None,
) -> tuple[RuleGroup, ...]:
    """Read a file's groups; what is wrong is reported to ``document``, and then the result is not to be used.

    ``metrics`` are those that can be asked for; ``scale_of`` gives the scale of one, None where it is not known.
    ``taken`` has the alerts of the project's other files, by name, and where they are; this file's are added.
    """
    if document.root is None:
        return ()
    groups: list[RuleGroup] = []
    taken = {} if taken is None else taken
    value = document.root.need("groups", "a list of groups, each with `name` and `rules`")
    for item in value.items() if value else []:
        group = _group(item.section(), path, metrics, scale_of, taken)
        if any(other.name == group.name for other in groups):
            item.problem(f"the group `{group.name}` is there twice", "give each group a name of its own")
        groups.append(group)
    if value and value.is_list and not groups:
        value.problem("expected at least one group, but the list is empty")
    return tuple(groups)


def _group(section: Section, path: str, metrics: Collection[str], scale_of: Scales, taken: dict[str, str]) -> RuleGroup:
    name, every = section.need("name"), section.get("interval")
    interval = _seconds(every, 60.0, least=_LEAST_INTERVAL, whole_minutes=True)
    rules: list[Rule] = []
    value = section.need("rules", "a list of rules, each with `alert` and `metric`")
    for item in value.items() if value else []:
        rule = _Reader(item.section(), interval, metrics, scale_of).rule()
        if other := taken.get(rule.alert):
            where = "is there twice" if other == path else f"is in {other} as well"
            item.problem(f"the alert `{rule.alert}` {where}", "its alerts would have the same fingerprints")
        taken[rule.alert] = path
        rules.append(rule)
    return RuleGroup(
        name=name.text(what="a name") if name else "",
        path=path,
        interval_seconds=interval,
        delay_seconds=_seconds(section.get("delay"), 120.0, least=0.0),
        catch_up_seconds=_seconds(section.get("catch_up"), 3600.0, least=0.0),
        rules=tuple(rules),
    )


class _Reader:
    """Reads one rule: the keys that every kind has, then those of its kind."""

    def __init__(self, section: Section, interval: float, metrics: Collection[str], scale_of: Scales) -> None:
        self._section, self._interval, self._metrics, self._scale_of = section, interval, metrics, scale_of

    def rule(self) -> Rule:
        """Read it."""
        section = self._section
        alert, metric = section.need("alert"), section.need("metric")
        name = metric.text(what="a metric") if metric else ""
        if metric and name and name not in self._metrics:
            metric.problem(f"no consumer here measures `{name}`", did_you_mean(name, self._metrics))
        where, by = section.get("where"), section.get("by")
        labels, texts = section.get("labels"), section.get("annotations")
        least = section.get("min_effective_n")
        window = _seconds(section.get("window"), 600.0, least=60.0, whole_minutes=True)
        rule = Rule(
            alert=alert.text("Alert", pattern=ALERT, what="a name of letters, digits and _") if alert else "Alert",
            metric=name,
            condition=self._condition(self._scale_of(name) if name in self._metrics else None, window),
            window_seconds=window,
            where=_where(where.section()) if where else {},
            by=_by(by) if by else (),
            false_alarms=_budget(section.get("false_alarms")),
            for_seconds=self._for(section.get("for")),
            keep_firing_seconds=_seconds(section.get("keep_firing_for"), 600.0, least=0.0),
            min_effective_n=least.number(30.0, low=1.0) if least else 30.0,
            severity=cast("Severity", self._choice("severity", "page", ("page", "ticket", "info"))),
            no_data=cast("OnTrouble", self._choice("no_data", "keep", ("keep", "alert"))),
            error=cast("OnTrouble", self._choice("error", "keep", ("keep", "alert"))),
            labels=_labels(labels.section()) if labels else {},
            runbook=_text(section.get("runbook"), "a link or a path"),
            owner=_text(section.get("owner"), "who looks after the rule"),
        )
        if not texts:
            return rule
        known = frozenset(alert_labels(rule, dict.fromkeys(rule.by, ""), ""))
        return replace(rule, annotations=_annotations(texts.section(), known))

    def _condition(self, scale: Scale | None, window: float) -> Condition:
        kind = self._section.exactly_one(KINDS, "as in `below: 0.9`, or `change: {direction: fell, by: 0.05}`")
        if kind == "change":
            value = self._section.get("change")
            return _change(value.section(), scale, window) if value else Change("fell", 0.0, 7 * DAY)
        if kind is None:
            return Threshold("below", 0.0, 0.0)
        return self._threshold(cast("Literal['above', 'below']", kind), scale)

    def _threshold(self, side: Literal["above", "below"], scale: Scale | None) -> Threshold:
        value, recovers = self._section.get(side), self._section.get("recovers_at")
        statistic = self._section.get("statistic")
        limit = value.number() if value else 0.0
        back = recovers.number(limit) if recovers else limit
        if recovers and (back > limit if side == "above" else back < limit):
            recovers.problem(f"expected it not to be {side} the limit {limit:g}, but got {back:g}")
        named = (
            statistic.text("mean", pattern=_STATISTIC.pattern, what="mean, proportion or pNN") if statistic else "mean"
        )
        for place, number in ((value, limit), (recovers, back)):
            if place and scale:
                _on_scale(place, number, scale)
        # A limit at the end of the scale can never be passed.
        if value and scale and limit == (scale.high if side == "above" else scale.low):
            value.problem(f"nothing is {side} {limit:g} on this metric's scale", "the rule would never fire")
        return Threshold(side, limit, back, named)

    def _for(self, value: Value | None) -> float:
        seconds = _seconds(value, 0.0, least=0.0)
        if value and 0.0 < seconds < self._interval:
            value.problem(
                f"expected 0s or at least the group's interval of {self._interval:g} s, but got {seconds:g} s",
                "one look cannot tell a time shorter than that between looks",
            )
        return seconds

    def _choice(self, key: str, default: str, choices: Sequence[str]) -> str:
        value = self._section.get(key)
        return value.text(default, choices=choices) if value else default


def _change(section: Section, scale: Scale | None, window: float) -> Change:
    direction, by = section.need("direction"), section.get("by")
    named = direction.text("fell", choices=("fell", "rose", "either")) if direction else "fell"
    margin = by.number(0.0, low=0.0) if by else 0.0
    if scale and not scale.bounded:
        section.value.problem(
            "expected a metric with both ends for `change`, but this one has an open scale", "use `above` or `below`"
        )
    elif by and scale and scale.bounded and margin >= cast("float", scale.high) - cast("float", scale.low):
        by.problem(f"expected less than the whole scale, but got {margin:g}")
    baseline = section.get("baseline")
    seconds = _seconds(baseline, 7 * DAY, least=3600.0)
    if baseline and seconds < 2 * window:
        baseline.problem(f"expected at least twice the window of {window:g} s, but got {seconds:g} s")
    return Change(cast("Literal['fell', 'rose', 'either']", named), margin, seconds)


def _on_scale(value: Value, number: float, scale: Scale) -> None:
    low, high = scale.low, scale.high
    if (low is not None and number < low) or (high is not None and number > high):
        shown = f"[{'-∞' if low is None else f'{low:g}'}, {'∞' if high is None else f'{high:g}'}]"
        value.problem(f"expected a number on the metric's scale {shown}, but got {number:g}")


def _seconds(value: Value | None, default: float, *, least: float, whole_minutes: bool = False) -> float:
    if value is None:
        return default
    text = value.text(what="a duration, as in 10m")
    if text == "":
        return default
    if text in ("0", "0s", "0m") and least <= 0.0:
        return 0.0
    try:
        seconds = parse_duration(text).total_seconds()
    except InputError as error:
        value.problem(str(error))
        return default
    if seconds < least:
        value.expected(f"at least {least:g} seconds")
        return default
    if whole_minutes and seconds % 60.0:
        value.expected("whole minutes", "events are counted by the minute")
        return default
    return seconds


def _budget(value: Value | None) -> Budget:
    if value is None:
        return Budget()
    text = value.text(what="a budget, as in `1 per 30d`")
    found = _BUDGET.fullmatch(text)
    try:
        if found and float(found[1]) > 0.0:
            return Budget(float(found[1]), parse_duration(found[2]).total_seconds())
    except InputError as error:
        value.problem(str(error))
        return Budget()
    if text:
        value.expected("a number of false alarms and a time, as in `1 per 30d`")
    return Budget()


def _where(section: Section) -> dict[str, tuple[str, ...]]:
    wanted: dict[str, tuple[str, ...]] = {}
    for name, value in section:
        if problem := _not_a_field(name):
            section.key_problem(name, *problem)
        wanted[name] = value.texts(what="a value or a list of values")
    return wanted


def _by(value: Value) -> tuple[str, ...]:
    names = []
    for item in value.items() if value.is_list else [value]:
        name = item.text(what="a field, as in `segments.language`")
        if name and (problem := _not_a_field(name)):
            item.problem(*problem)
        elif name in names:
            item.problem(f"`{name}` is there twice")
        elif name:
            names.append(name)
    return tuple(names)


def _not_a_field(name: str) -> tuple[str, str] | None:
    if name in FIELDS or (name.startswith("segments.") and name != "segments."):
        return None
    near = nearest(name, FIELDS) or f"a segment is named `segments.{name.rpartition('.')[2]}`"
    return f"expected {', '.join(FIELDS)} or `segments.NAME`, but got `{name}`", near


def _labels(section: Section) -> dict[str, str]:
    found = {}
    for name, value in section:
        if name in RESERVED:
            section.key_problem(name, f"the label `{name}` is set by evalsvc", "choose another name")
        elif not re.fullmatch(LABEL, name):
            section.key_problem(name, f"expected a label's name of letters, digits and _, but got `{name}`")
        found[name] = value.text(what="text")
    return found


def _annotations(section: Section, labels: frozenset[str]) -> dict[str, str]:
    found = {}
    for name, value in section:
        if not re.fullmatch(LABEL, name):
            section.key_problem(name, f"expected an annotation's name of letters, digits and _, but got `{name}`")
        found[name] = value.text(what="text")
        for missing in unknown_names(found[name], labels):
            value.problem(f"`{{{{ {missing} }}}}` has no value", _template_hint(missing, labels))
    return found


def _template_hint(name: str, labels: Sequence[str] | frozenset[str]) -> str:
    return did_you_mean(name, [*NAMES, *(f"labels.{label}" for label in labels)])


def _text(value: Value | None, what: str) -> str:
    return value.text(what=what) if value else ""
