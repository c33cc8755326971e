"""One ``*.test.yaml`` file as checked values: every mistake at once, with its place and a hint."""

from __future__ import annotations

import re
from collections.abc import Callable, Collection, Mapping, Sequence
from datetime import UTC, datetime
from typing import NamedTuple, cast

from evalsvc._durations import parse_moment
from evalsvc._hints import did_you_mean
from evalsvc._yaml import Document, Section, Value
from evalsvc.errors import InputError
from evalsvc.rules.machine import Phase
from evalsvc.rules.reading_series import read_stretches
from evalsvc.rules.reading_values import Measured, not_a_field, seconds
from evalsvc.rules.rule_tests import Expectation, Never, Outage, Place, RuleTest, Series
from evalsvc.rules.values import Rule, RuleGroup, alert_labels
from evalsvc.types import Scale

MONDAY = datetime(2026, 1, 5, tzinfo=UTC)
"""When a test starts that does not say when."""
FAILING = "EvalsvcRuleFailing"
"""The alert about a rule that cannot be looked at, which every group has; its label ``rule`` names the rule."""
PHASES = ("inactive", "pending", "firing", "resolved")
MOST_LOOKS = 50_000
MOST_MINUTES = 2_000_000
MOST_SCORES = 100_000.0
FIELDS_HINT = "the events' fields, as in {application: support, segments.language: de}"


class Tested(NamedTuple):
    """What the tested rules say: the labels and annotations of each alert, the metrics, and a metric's scale.

    ``labels`` and ``metrics`` are None where the rules cannot be read, so that every name may be right; so are the
    labels of an alert whose rule has a mistake, which then has no ``annotations`` here either.
    """

    labels: Mapping[str, frozenset[str] | None] | None
    annotations: Mapping[str, frozenset[str]]
    metrics: Collection[str] | None
    scale_of: Callable[[str], Scale | None]
    interval: float
    """The shortest of the groups', in seconds."""


def what_is_tested(groups: Sequence[RuleGroup] | None, measured: Measured, *, right: bool = True) -> Tested:
    """Return what there is to test in groups, None where they cannot be read.

    A rule that names no metric is about whatever events there are. Where the rules are not ``right``, names of theirs
    that could be read are known, and any measured metric may have been meant.
    """
    rules = [rule for group in groups or () for rule in group.rules]
    unread = not right and not (
        rules and all(group.rules for group in groups or ()) and all(one.alert for one in rules)
    )
    if groups is None or unread:
        return Tested(None, {}, None, measured.scale_of, 60.0)
    metrics = {rule.metric for rule in rules}
    labels = {rule.alert: _label_names(rule) if right else None for rule in rules}
    annotations = {rule.alert: frozenset(rule.annotations) for rule in rules if right}
    return Tested(
        labels | {FAILING: frozenset({"alertname", "severity", "metric", "consumer", "rule"})},
        annotations | {FAILING: frozenset({"summary"})},
        (metrics | {*measured.metrics}) - {""} if "" in metrics or not right else metrics,
        measured.scale_of,
        min((group.interval_seconds for group in groups), default=60.0),
    )


def rules_named(document: Document) -> Value | None:
    """Return what the file says its rules are; None where it says nothing, and they are those of the same name."""
    return document.root.get("rules") if document.root else None


def read_tests(document: Document, path: str, about: Tested) -> tuple[RuleTest, ...]:
    """Read a file's tests; what is wrong is reported to ``document``, and then the result is not to be used."""
    if document.root is None:
        return ()
    made: list[RuleTest] = []
    value = document.root.need("tests", "a list of tests, each with `name`, `input` and `expect`")
    for item in value.items() if value else []:
        test = _Reader(item.section(), path, about).test()
        if test.name and any(other.name == test.name for other in made):
            item.problem(f"the test `{test.name}` is there twice", "give each test a name of its own")
        made.append(test)
    if value and value.is_list and not made:
        value.problem("expected at least one test, but the list is empty")
    return tuple(made)


class _Reader:
    """Reads one test."""

    def __init__(self, section: Section, path: str, about: Tested) -> None:
        self._section, self._path, self._about = section, path, about

    def test(self) -> RuleTest:
        """Read it."""
        section = self._section
        name, start, given = section.need("name"), section.get("start"), section.need("input", "a list of series")
        away, expect = section.get("outages"), section.get("expect")
        never, pages = section.get("never"), section.get("pages")
        series = tuple(self._series(item.section()) for item in given.items()) if given else ()
        expected = tuple(self._expectation(item.section()) for item in expect.items()) if expect else ()
        outages = tuple(_outage(item.section()) for item in away.items()) if away else ()
        nevers = tuple(self._never(item) for item in _listed(never))
        if section.value.is_mapping and not (expected or nevers or pages):
            hint = "add `expect`, `never` or `pages`"
            section.value.problem("expected the test to expect something, as it could never fail", hint)
        longest = max((60.0 * sum(one.minutes for one in each.values) for each in series), default=0.0)
        length = max([longest, *(one.at for one in expected)])
        if length / self._about.interval > MOST_LOOKS:
            section.value.problem(
                f"expected at most {MOST_LOOKS:,} looks, but {length:g} s every {self._about.interval:g} s are more",
                "put what is only needed as a baseline into the input's `before`",
            )
        earliest = max((sum(one.minutes for one in each.before) for each in series), default=0)
        if len(series) * (earliest + length / 60.0) > MOST_MINUTES:
            section.value.problem(
                f"expected at most {MOST_MINUTES:,} minutes of all series together", "shorten `before`"
            )
        return RuleTest(
            name=name.text(what="a name") if name else "",
            place=self._place(section.value),
            start=_moment(start) if start else MONDAY,
            seconds=length,
            series=series,
            outages=outages,
            expect=expected,
            never=nevers,
            pages=pages.integer(low=0) if pages else None,
        )

    def _series(self, section: Section) -> Series:
        metric, where, values = section.need("metric"), section.get("where"), section.need("values", _VALUES)
        before, many = section.get("before"), section.get("per_minute")
        rate, spread = section.get("rate"), section.get("spread")
        name = metric.text(what="a metric") if metric else ""
        known = self._about.metrics
        if metric and name and known is not None and name not in known:
            metric.problem(f"no rule here is about `{name}`", did_you_mean(name, known))
        scale = self._about.scale_of(name) if known is None or name in known else None
        around = spread.number(0.0, low=0.0) if spread else 0.0
        if spread and around and scale and scale.binary:
            spread.problem("yes and no have no spread", "leave it out")
            around = 0.0
        per_minute = many.number(10.0, above=0.0, high=MOST_SCORES) if many else 10.0
        return Series(
            metric=name,
            where=_fields(where.section()) if where else {},
            values=read_stretches(values, scale, around) if values else (),
            before=read_stretches(before, scale, around) if before else (),
            per_minute=per_minute,
            rate=rate.number(1.0, low=1e-6, high=1.0) if rate else 1.0,
            spread=around if spread else None,
        )

    def _expectation(self, section: Section) -> Expectation:
        at, alert, phase = section.need("at", "as in 2h30m"), section.need("alert"), section.need("phase")
        labels, texts = section.get("labels"), section.get("annotations")
        name = self._alert(alert) if alert else ""
        named = phase.text("firing", choices=PHASES) if phase else "firing"
        if texts and named not in ("firing", "resolved"):
            texts.problem(f"nobody is told of an alert that is {named}", "leave the annotations out")
        return Expectation(
            place=self._place(section.value),
            at=seconds(at, 0.0, least=0.0),
            alert=name,
            phase=cast("Phase", named),
            labels=self._labels(labels.section(), name) if labels else {},
            annotations=self._annotations(texts.section(), name) if texts else {},
        )

    def _labels(self, section: Section, alert: str) -> dict[str, str]:
        known = (self._about.labels or {}).get(alert)
        found = {}
        for name, value in section:
            if known is not None and name not in known:
                section.key_problem(name, f"the alert `{alert}` has no label `{name}`", did_you_mean(name, known))
            found[name] = _any_text(value)
        return found

    def _annotations(self, section: Section, alert: str) -> dict[str, str | tuple[str, ...]]:
        known = self._about.annotations.get(alert)
        found: dict[str, str | tuple[str, ...]] = {}
        for name, value in section:
            if known is not None and name not in known:
                hint = did_you_mean(name, known) or "the rule has none"
                section.key_problem(name, f"the rule `{alert}` has no annotation `{name}`", hint)
            parts = value.texts(what="a text, or a list of parts of it") if value.is_list else ()
            if value.is_list and not parts:
                value.problem("expected at least one part of the text, but the list is empty")
            found[name] = parts if value.is_list else _any_text(value)
        return found

    def _never(self, value: Value) -> Never:
        return Never(self._place(value), self._alert(value))

    def _alert(self, value: Value) -> str:
        name = value.text(what="the name of an alert")
        known = self._about.labels
        if name and known is not None and name not in known:
            value.problem(f"no rule here is called `{name}`", did_you_mean(name, known))
        return name

    def _place(self, value: Value) -> Place:
        mark = value.node.start_mark
        return Place(self._path, mark.line + 1, mark.column + 1)


_VALUES = "as in `2h of 0.05, 1h of 0.4`"


def _label_names(rule: Rule) -> frozenset[str]:
    return frozenset(alert_labels(rule, dict.fromkeys(rule.by, ""), ""))


def _listed(value: Value | None) -> list[Value]:
    if value is None:
        return []
    return value.items() if value.is_list or value.is_mapping or value.is_null else [value]


def _any_text(value: Value) -> str:
    """Return a text as it is written, which may be empty: an alert of events without a segment has such a label."""
    if value.is_mapping or value.is_list or value.is_null:
        value.expected("text")
        return ""
    return str(value.node.value)


def _outage(section: Section) -> Outage:
    start, length = section.need("from"), section.need("for")
    begin = seconds(start, 0.0, least=0.0)
    return Outage(begin, begin + seconds(length, 60.0, least=1.0))


def _fields(section: Section) -> dict[str, str]:
    found = {}
    for name, value in section:
        if problem := not_a_field(name):
            section.key_problem(name, *problem)
        found[name] = value.text(what="one value")
    return found


_ABSOLUTE = re.compile(r"\d{4}-\d{2}-\d{2}(?:[T ].+)?")


def _moment(value: Value) -> datetime:
    text = value.text(what="a time, as in 2026-01-05T00:00Z")
    try:
        if _ABSOLUTE.fullmatch(text):
            return parse_moment(text, MONDAY)
    except InputError as error:
        value.problem(str(error))
        return MONDAY
    if text:
        value.expected("a date or an ISO time, as in 2026-01-05T00:00Z", "it is when the test starts; `at` counts from")
    return MONDAY
