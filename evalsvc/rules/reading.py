"""One ``*.rules.yaml`` file as checked values: every mistake at once, with its place and a hint."""

from __future__ import annotations

import re
from collections.abc import Collection, Sequence
from typing import cast

from msgspec.structs import replace

from evalsvc._durations import parse_duration
from evalsvc._hints import did_you_mean
from evalsvc._yaml import Document, Section, Value
from evalsvc.errors import InputError
from evalsvc.rules.reading_kinds import About, read_condition
from evalsvc.rules.reading_values import Measured, not_a_field, seconds
from evalsvc.rules.reading_values import where as read_where
from evalsvc.rules.templates import hint_for, unknown_names
from evalsvc.rules.values import (
    Absence,
    Budget,
    Condition,
    OnTrouble,
    Rule,
    RuleGroup,
    Severity,
    alert_labels,
    label_of,
)

HEALTH_ALERT = "EvalsvcRuleFailing"
ALERT = r"[A-Za-z][A-Za-z0-9_]{0,99}"
LABEL = r"[A-Za-z_][A-Za-z0-9_]{0,99}"
RESERVED = ("alertname", "severity", "metric", "consumer", "owner")
_BUDGET = re.compile(r"(\d+(?:\.\d+)?)\s+per\s+(\S+)")
_LEAST_INTERVAL = 60.0


def read_rules(
    document: Document, path: str, measured: Measured, taken: dict[str, str] | None = None
) -> tuple[RuleGroup, ...]:
    """Read a file's groups; what is wrong is reported to ``document``, and then the result is not to be used.

    ``taken`` has the alerts of the project's other files, by name, and where they are; this file's are added. A rule
    whose name cannot be read has an empty one.
    """
    if document.root is None:
        return ()
    groups: list[RuleGroup] = []
    taken = {} if taken is None else taken
    value = document.root.need("groups", "a list of groups, each with `name` and `rules`")
    for item in value.items() if value else []:
        group = _group(item.section(), path, measured, taken)
        if group.name and any(other.name == group.name for other in groups):
            item.problem(f"the group `{group.name}` is there twice", "give each group a name of its own")
        groups.append(group)
    if value and value.is_list and not groups:
        value.problem("expected at least one group, but the list is empty")
    return tuple(groups)


def _group(section: Section, path: str, measured: Measured, taken: dict[str, str]) -> RuleGroup:
    name, every = section.need("name"), section.get("interval")
    interval = seconds(every, 60.0, least=_LEAST_INTERVAL, whole_minutes=True)
    rules: list[Rule] = []
    value = section.need("rules", "a list of rules, each with `alert` and `metric`")
    for item in value.items() if value else []:
        rule = _Reader(item.section(), interval, measured).rule()
        if rule.alert == HEALTH_ALERT:
            item.problem(f"`{HEALTH_ALERT}` is evalsvc's own alert about a rule that fails", "choose another name")
        if other := taken.get(rule.alert):
            where = "is there twice" if other == path else f"is in {other} as well"
            item.problem(f"the alert `{rule.alert}` {where}", "its alerts would have the same fingerprints")
        if rule.alert:
            taken[rule.alert] = path
        rules.append(rule)
    return RuleGroup(
        name=name.text(what="a name") if name else "",
        path=path,
        interval_seconds=interval,
        delay_seconds=seconds(section.get("delay"), 120.0, least=0.0),
        catch_up_seconds=seconds(section.get("catch_up"), 3600.0, least=0.0),
        rules=tuple(rules),
    )


class _Reader:
    """Reads one rule: the keys that every kind has, then those of its kind."""

    def __init__(self, section: Section, interval: float, measured: Measured) -> None:
        self._section, self._interval, self._measured = section, interval, measured

    def rule(self) -> Rule:
        """Read it."""
        section = self._section
        alert, metric = section.need("alert"), section.get("metric")
        name = metric.text(what="a metric") if metric else ""
        where, by = section.get("where"), section.get("by")
        narrowed, split = read_where(where.section()) if where else {}, _by(by) if by else ()
        labels, texts = section.get("labels"), section.get("annotations")
        least = section.get("min_effective_n")
        window = seconds(section.get("window"), 600.0, least=60.0, whole_minutes=True)
        known = name in self._measured.metrics
        scale, paid = (self._measured.scale_of(name), self._measured.paid_of(name)) if known else (None, None)
        condition = read_condition(section, About(scale, window, narrowed, split, name, paid))
        self._metric(metric, condition)
        rule = Rule(
            alert=alert.text(pattern=ALERT, what="a name of letters, digits and _") if alert else "",
            metric=name,
            condition=condition,
            window_seconds=window,
            where=narrowed,
            by=split,
            false_alarms=_budget(section.get("false_alarms")),
            for_seconds=self._for(section.get("for")),
            keep_firing_seconds=seconds(section.get("keep_firing_for"), 600.0, least=0.0),
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
        return replace(rule, annotations=_annotations(texts.section(), rule))

    def _metric(self, metric: Value | None, condition: Condition) -> None:
        """Report a metric that is unknown or not there; or that is there though events are counted without one."""
        if isinstance(condition, Absence) and condition.of == "events":
            if metric:
                metric.problem("events are offered whatever is measured", "leave `metric` out, or say `of: scores`")
            return
        named = self._section.need("metric")
        name = named.text(what="a metric") if named else ""
        if named and name and name not in self._measured.metrics:
            named.problem(f"no consumer here measures `{name}`", did_you_mean(name, self._measured.metrics))

    def _for(self, value: Value | None) -> float:
        length = seconds(value, 0.0, least=0.0)
        if value and 0.0 < length < self._interval:
            value.problem(
                f"expected 0s or at least the group's interval of {self._interval:g} s, but got {length:g} s",
                "one look cannot tell a time shorter than that between looks",
            )
        return length

    def _choice(self, key: str, default: str, choices: Sequence[str]) -> str:
        value = self._section.get(key)
        return value.text(default, choices=choices) if value else default


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


def _by(value: Value) -> tuple[str, ...]:
    names: list[str] = []
    for item in value.items() if value.is_list else [value]:
        name = item.text(what="a field, as in `segments.language`")
        if name and (problem := not_a_field(name)):
            item.problem(*problem)
        elif name in names:
            item.problem(f"`{name}` is there twice")
        elif name and (why := _no_label(name, [label_of(other) for other in names])):
            item.problem(why, "give the segment another name")
        elif name:
            names.append(name)
    return tuple(names)


def _no_label(field: str, others: Collection[str]) -> str:
    """Return why a field's value cannot be told by a label of its own; empty where it can."""
    label = label_of(field)
    if label in RESERVED and field != "consumer":
        return f"the label `{label}` is set by evalsvc, and would hide the value of `{field}`"
    if label in others:
        return f"two fields would have the label `{label}`"
    return "" if re.fullmatch(LABEL, label) else f"`{label}` cannot be a label's name"


def _labels(section: Section) -> dict[str, str]:
    found = {}
    for name, value in section:
        if name in RESERVED:
            section.key_problem(name, f"the label `{name}` is set by evalsvc", "choose another name")
        elif not re.fullmatch(LABEL, name):
            section.key_problem(name, f"expected a label's name of letters, digits and _, but got `{name}`")
        found[name] = value.text(what="text")
    return found


def _annotations(section: Section, rule: Rule) -> dict[str, str]:
    found = {}
    labels = frozenset(alert_labels(rule, dict.fromkeys(rule.by, ""), ""))
    for name, value in section:
        if not re.fullmatch(LABEL, name):
            section.key_problem(name, f"expected an annotation's name of letters, digits and _, but got `{name}`")
        found[name] = value.text(what="text")
        for missing in unknown_names(found[name], labels):
            value.problem(f"`{{{{ {missing} }}}}` has no value", hint_for(missing, labels))
    return found


def _text(value: Value | None, what: str) -> str:
    return value.text(what=what) if value else ""
