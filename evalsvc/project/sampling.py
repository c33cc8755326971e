"""The ``sampling`` section of a consumer's file, as a :class:`~evalsvc.sampling.Design`."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Literal, cast

from evalsvc._hints import did_you_mean, nearest
from evalsvc._yaml import Section, Value
from evalsvc.errors import InputError
from evalsvc.sampling import (
    NUMBER_FIELDS,
    STRATUM_FIELDS,
    TEXT_FIELDS,
    Condition,
    Design,
    Operator,
    Rule,
    StratumRate,
    is_field,
    is_segment,
)
from evalsvc.types import KINDS

NAME = r"[A-Za-z0-9][A-Za-z0-9_.-]*"
_COMPARISONS: tuple[Operator, ...] = ("gte", "gt", "lte", "lt")
_SETS: tuple[Operator, ...] = ("in", "not_in")
_SEGMENTS_HINT = "write `segments.NAME`, as in `segments.plan`"


def read_design(section: Section | None, consumer: str, scorer_rates: Mapping[str, float]) -> Design:
    """Return the design; without a section, the one that takes every event."""
    if section is None:
        return Design(consumer, scorer_rates=scorer_rates)
    target = section.get("target_per_hour")
    rate, salt, unit = section.get("rate"), section.get("salt"), section.get("unit")
    version = section.get("version")
    strata = _strata(section.get("strata"))
    fields = {
        "version": version.integer(1, low=1, high=10**7 - 1) if version else 1,
        "rate": read_rate(rate),
        "rates": _rates(section.get("rates"), strata),
        "strata": strata,
        "unit": cast(
            "Literal['event', 'session']",
            unit.text("event", choices=("event", "session")) if unit else "event",
        ),
        "keep": _rules(section.get("keep")),
        "always": _rules(section.get("always")),
        "target_per_hour": target.integer(1, low=1) if target else None,
        "salt": salt.text() if salt else "",
    }
    try:
        return Design(consumer, scorer_rates=scorer_rates, **fields)  # type: ignore[arg-type]
    except InputError as error:
        section.value.problem(str(error))
        return Design(consumer)


def read_rate(value: Value | None) -> float:
    """Return a rate in (0, 1]; 1 where none is given."""
    return value.number(1.0, above=0.0, high=1.0) if value else 1.0


def _strata(value: Value | None) -> tuple[str, ...]:
    if value is None:
        return Design("").strata
    fields: list[str] = []
    for item in value.items():
        field = item.text()
        if field in fields:
            item.problem(f"the stratum `{field}` is there twice")
        elif field in STRATUM_FIELDS or is_segment(field):
            fields.append(field)
        elif field:
            known = ", ".join(sorted(STRATUM_FIELDS))
            item.expected(f"one of {known} or segments.NAME", nearest(field, STRATUM_FIELDS))
    return tuple(fields)


def _rates(value: Value | None, strata: tuple[str, ...]) -> tuple[StratumRate, ...]:
    return tuple(_stratum_rate(item.section(), strata) for item in value.items()) if value else ()


def _stratum_rate(section: Section, strata: tuple[str, ...]) -> StratumRate:
    match, rate = section.need("match"), section.need("rate")
    wanted: dict[str, str] = {}
    if match:
        fields = match.section()
        for field, value in fields:
            if field not in strata:
                fields.key_problem(
                    field,
                    f"expected a field of `sampling.strata`, but got `{field}`",
                    did_you_mean(field, strata),
                )
            else:
                wanted[field] = value.text(what="one text; write an entry of `rates` for each value")
    return StratumRate(wanted, read_rate(rate))


def _rules(value: Value | None) -> tuple[Rule, ...]:
    rules: list[Rule] = []
    for item in value.items() if value else []:
        section = item.section()
        name, when = section.need("name"), section.need("when")
        text = name.text(pattern=NAME, what="a name of letters, digits, _ . and -") if name else ""
        if name and any(rule.name == text for rule in rules if text):
            name.problem(f"the name `{text}` is there twice", "each rule needs a name of its own")
        rules.append(Rule(text, _conditions(when) if when else ()))
    return tuple(rules)


def _conditions(when: Value) -> tuple[Condition, ...]:
    section = when.section()
    conditions = [condition for field, value in section for condition in _field(section, field, value)]
    if when.is_mapping and not len(section):
        when.problem(f"expected `{when.name}` to hold a condition, but it is empty", "as in {application: [support]}")
    return tuple(conditions)


def _field(section: Section, field: str, value: Value) -> list[Condition]:
    if not is_field(field):
        hint = _SEGMENTS_HINT if field.startswith("segment") else did_you_mean(field, TEXT_FIELDS | NUMBER_FIELDS)
        section.key_problem(field, f"expected a field of an event, but got `{field}`", hint)
        return []
    if field in NUMBER_FIELDS:
        return _comparison(field, value)
    return _membership(field, value)


def _comparison(field: str, value: Value) -> list[Condition]:
    if not value.is_mapping:
        value.expected("a comparison", f"as in `{field}: {{gte: 1000}}`; there are {', '.join(_COMPARISONS)}")
        return []
    bounds = value.section()
    present = [(operator, bounds.get(operator)) for operator in _COMPARISONS]
    return [Condition(field, operator, number=bound.number()) for operator, bound in present if bound]


def _membership(field: str, value: Value) -> list[Condition]:
    if not value.is_mapping:
        return [Condition(field, "in", _texts(field, value))]
    sets = value.section()
    present = [(operator, sets.get(operator)) for operator in _SETS]
    return [Condition(field, operator, _texts(field, wanted)) for operator, wanted in present if wanted]


def _texts(field: str, value: Value) -> tuple[str, ...]:
    if field != "kind":
        return value.texts()
    items = value.items() if value.is_list else [value]
    return tuple(item.text(KINDS[0], choices=KINDS) for item in items)
