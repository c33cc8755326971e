"""The gates of a suite's file: each a metric and one question, checked against what the suite measures."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from typing import Literal, NamedTuple

from msgspec.structs import replace

from evalsvc._hints import did_you_mean
from evalsvc._yaml import Section, Value
from evalsvc.errors import InputError
from evalsvc.gate.reading_fits import Asked, check_fits, check_used
from evalsvc.gate.units import unit_hint, without_unit
from evalsvc.gate.values import (
    MAX_MISSING,
    Ask,
    AtLeast,
    AtMost,
    Better,
    Critical,
    Equivalent,
    GapAtMost,
    Gate,
    NotWorse,
    Robust,
    Statistic,
    least_success,
    parse_statistic,
)
from evalsvc.types import ScorerSpec

QUESTIONS = (
    "not_worse_by",
    "better",
    "better_by",
    "within",
    "at_least",
    "at_most",
    "critical",
    "gap",
    "robust_within",
)
FIELDS = r"segments\.[^\s.]+|group|variant"
_PERCENT = re.compile(r"(\d+(?:\.\d+)?)\s*%")


class Known(NamedTuple):
    """What a suite measures, how often it asks, and whether it names a baseline.

    ``whole`` is false where a scorer could not be read, so that what it measures is not known.
    """

    specs: Mapping[str, ScorerSpec]
    repeats: int
    baseline: bool
    whole: bool = True


def read_gates(value: Value | None, known: Known) -> dict[int, Gate]:
    """Read the list: gates by their places in it, from 0; what is wrong is reported.

    Two gates that ask the same are one mistake.
    """
    gates: dict[int, Gate] = {}
    asked: dict[tuple[object, ...], str] = {}
    items = value.items() if value else []
    if value and value.is_list and not items:
        value.problem("expected at least one gate, but the list is empty", "without one, nothing is decided")
    for place, item in enumerate(items):
        gate = _Reader(item, known).gate()
        if gate is None:
            continue
        question = _question(gate, known.specs.get(gate.metric))
        first = asked.setdefault(question, gate.name)
        if first != gate.name or any(other.name == gate.name for other in gates.values()):
            hint = f"as `{first}`" if first != gate.name else ""
            item.problem(f"the gate `{gate.name}` is there twice", hint)
        gates[place] = gate
    return gates


def _question(gate: Gate, spec: ScorerSpec | None) -> tuple[object, ...]:
    """Return what a gate asks, the same however it is written."""
    try:
        statistic = parse_statistic(gate.statistic)
    except InputError:
        statistic = None
    better = gate.direction or (spec.scale.better if spec else "")
    success = gate.success
    if statistic and statistic.k and success is None:
        success = least_success(better)
    where = frozenset((field, frozenset(values)) for field, values in gate.where.items())
    return gate.metric, statistic, gate.ask, frozenset(gate.by), where, better, success


class _Reader:
    """Reads one gate."""

    def __init__(self, item: Value, known: Known) -> None:
        self.item, self.known = item, known

    def gate(self) -> Gate | None:
        """Read it; None where its metric or its question is not known."""
        section = self.item.section()
        metric, statistic = section.need("metric"), section.get("statistic")
        name = metric.text(what="a metric") if metric else ""
        direction = self._direction(section, self.known.specs.get(name))
        spec = self._turned(self.known.specs.get(name), direction)
        if metric and name and spec is None and self.known.whole:
            metric.problem(f"no scorer of this suite measures `{name}`", did_you_mean(name, self.known.specs))
        asked = self._statistic(statistic, section, spec)
        before = self.item.document.so_far
        ask = self._ask(section, spec)
        # In the place of what was wrong there is a default: nothing follows from it.
        sound = self.item.document.so_far == before
        fields, where = section.get("by"), section.get("where")
        by = _fields(fields) if fields else ()
        missing, advisory = section.get("max_missing"), section.get("advisory")
        success = section.get("success")
        if ask is None or not name or not sound:
            return None
        check_used(section, ask, asked, by)
        if spec is not None:
            check_fits(section, Asked(ask, asked, spec), baseline=self.known.baseline)
        return Gate(
            metric=name,
            ask=ask,
            statistic=statistic.text("mean") if statistic else "mean",
            by=by,
            where=_where(where.section()) if where else {},
            direction=direction,
            success=success.number(1.0) if success else None,
            max_missing=_share(missing) if missing else MAX_MISSING,
            advisory=advisory.flag() if advisory else False,
        )

    def _direction(self, section: Section, spec: ScorerSpec | None) -> Literal["", "higher", "lower"]:
        value = section.get("direction")
        if value is None:
            return ""
        text = value.text("higher", choices=("higher", "lower"))
        if spec is not None and spec.scale.better not in ("neither", text):
            value.problem(f"of `{spec.metric}`, {spec.scale.better} is better", "leave `direction` out")
        return "lower" if text == "lower" else "higher"

    def _turned(self, spec: ScorerSpec | None, direction: Literal["", "higher", "lower"]) -> ScorerSpec | None:
        if spec is None or not direction:
            return spec
        return replace(spec, scale=replace(spec.scale, better=direction))

    def _statistic(self, value: Value | None, section: Section, spec: ScorerSpec | None) -> Statistic:
        if value is None:
            return Statistic("mean")
        try:
            found = parse_statistic(value.text("mean", what="a statistic, as in p95"))
        except InputError as error:
            value.problem(str(error))
            return Statistic("mean")
        if found.kind == "corpus" and spec is not None and not spec.corpus:
            value.problem(f"`{spec.metric}` has no score of a whole corpus", "leave `statistic` out for its mean")
        if found.k > self.known.repeats:
            value.problem(
                f"expected at least {found.k} repeats for {value.shown}, but the suite asks each case "
                f"{self.known.repeats} times",
                f"set `repeats: {found.k}` or more",
            )
        if found.k and spec is not None and not spec.scale.binary and "success" not in section:
            value.problem(f"`{spec.metric}` is not yes or no", "say from which value on it succeeds: `success: 0.8`")
        if found.k and spec is not None and spec.scale.better == "neither":
            value.problem(f"neither direction of `{spec.metric}` is better", "say which is: `direction: lower`")
        return found

    def _ask(self, section: Section, spec: ScorerSpec | None) -> Ask | None:
        for kind, beside in (("gap", ("at_most",)), ("critical", ("at_least", "at_most"))):
            if kind in section:
                for other in QUESTIONS:
                    if other in section and other not in (kind, *beside):
                        section.key_problem(other, f"`{other}` beside `{kind}`", "one gate asks one question")
                        section.get(other)
                return self._gap(section, spec) if kind == "gap" else self._critical(section, spec)
        if self._statistics_as_keys(section, spec):
            return None
        key = section.exactly_one(QUESTIONS, "one gate asks one question")
        value = section.get(key) if key else None
        if key is None or value is None:
            return None
        if key == "better":
            if not value.flag(default=True):
                value.problem("expected `better: true`", "leave it out, or ask `not_worse_by`")
            return Better()
        if key in ("better_by", "robust_within"):
            return (Better if key == "better_by" else Robust)(_number(value, spec, 0.01, above=0.0))
        if key in ("at_least", "at_most"):
            return (AtLeast if key == "at_least" else AtMost)(_number(value, spec, 0.0))
        return NotWorse(*_amount(value, spec)) if key == "not_worse_by" else Equivalent(_number(value, spec, above=0.0))

    def _statistics_as_keys(self, section: Section, spec: ScorerSpec | None) -> bool:
        """Report keys such as `p95: 1500`, and return whether there is one."""
        found = [key for key in section.keys if _is_statistic(key)]
        for key in found:
            value = section.get(key)
            text = str(value.node.value) if value and value.is_scalar else "NUMBER"
            unit = _unit(spec)
            ask = "at_most" if spec is not None and spec.scale.better == "lower" else "at_least"
            hint = f"write `statistic: {key}, {ask}: {without_unit(text, unit) or text}`"
            section.key_problem(key, f"`{key}` is no key of a gate", hint + (f"; the unit is {unit}" if unit else ""))
        return bool(found)

    def _gap(self, section: Section, spec: ScorerSpec | None) -> Ask | None:
        field, most = section.get("gap"), section.need("at_most", "the largest gap that may be")
        if field is None or most is None:
            return None
        name = field.text(pattern=FIELDS, what="a field, as in segments.plan")
        return GapAtMost(name, _number(most, spec, 0.1, above=0.0))

    def _critical(self, section: Section, spec: ScorerSpec | None) -> Ask:
        flag, least, most = section.get("critical"), section.get("at_least"), section.get("at_most")
        if flag and not flag.flag(default=True):
            flag.problem("expected `critical: true`", "leave it out")
        lower = spec is not None and spec.scale.better == "lower"
        if spec is not None and spec.scale.better == "neither":
            self.item.problem(f"neither direction of `{spec.metric}` is better", "say which is: `direction: lower`")
        given, wrong = (most, least) if lower else (least, most)
        if wrong:
            side = "at_most" if lower else "at_least"
            wrong.problem(f"of this metric, {'lower' if lower else 'higher'} is better", f"write `{side}`")
        if given:
            return Critical(_number(given, spec, 1.0))
        if spec is not None and not spec.scale.binary:
            side = "at_most" if lower else "at_least"
            self.item.problem(f"`{spec.metric}` is not yes or no", f"say what every case has to reach: `{side}: 0.8`")
        return Critical(0.0 if lower else 1.0)


def _unit(spec: ScorerSpec | None) -> str:
    return spec.scale.unit if spec is not None else ""


def _is_statistic(key: str) -> bool:
    try:
        parse_statistic(key)
    except InputError:
        return False
    return True


def _number(value: Value, spec: ScorerSpec | None, default: float = 0.01, *, above: float = -math.inf) -> float:
    """Return a number of the metric; where a unit is beside it, what to write is said."""
    hint = unit_hint(str(value.node.value), _unit(spec)) if value.is_scalar else ""
    return value.number(default, above=above, hint=hint)


def _amount(value: Value, spec: ScorerSpec | None) -> tuple[float, bool]:
    """Return a margin and whether it is a share of the baseline's value."""
    text = str(value.node.value) if value.is_scalar else ""
    if found := _PERCENT.fullmatch(text.strip()):
        share = float(found[1]) / 100.0
        if not 0.0 < share < 1.0:
            value.expected("a percentage between 0% and 100%")
        return min(max(share, 1e-9), 0.99), True
    return _number(value, spec, above=0.0), False


def _share(value: Value) -> float:
    text = str(value.node.value) if value.is_scalar else ""
    if found := _PERCENT.fullmatch(text.strip()):
        share = float(found[1]) / 100.0
        if share >= 1.0:
            value.expected("a percentage below 100%")
        return min(share, 0.99)
    return value.number(MAX_MISSING, low=0.0, high=0.99)


def _fields(value: Value) -> tuple[str, ...]:
    names: list[str] = []
    if value.is_list and not value.items():
        value.problem("expected at least one field, but the list is empty", "leave `by` out for all cases together")
    for item in value.items() if value.is_list else [value]:
        name = item.text(pattern=FIELDS, what="a field: segments.NAME, group or variant")
        if name in names:
            item.problem(f"`{name}` is there twice")
        elif name:
            names.append(name)
    return tuple(names)


def _where(section: Section) -> dict[str, tuple[str, ...]]:
    found = {}
    if section.value.is_mapping and not len(section):
        section.value.problem("expected at least one field, but got none", "leave `where` out for all cases")
    for name, value in section:
        if value.is_list and not value.items():
            value.problem("expected at least one value, but the list is empty", f"leave `{name}` out for any")
        if not re.fullmatch(f"tags|{FIELDS}", name):
            section.key_problem(name, f"unknown field `{name}`", "segments.NAME, tags, group or variant")
            continue
        found[name] = value.texts() if value.is_list else (value.text(what="a value, or a list of them"),)
    return found
