"""JSON Schemas (draft 2020-12) of the files of rules and of their tests, for editors that complete and check them.

They say what keys there are and what shape a value has. What depends on another value or on the project (a limit off
the metric's scale, an alert that is there twice) only ``evalsvc check`` finds.

``tests/unit/test_rules_schema.py`` holds them and the readers together.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import get_args

from evalsvc.rules.machine import Phase
from evalsvc.rules.reading import ALERT, LABEL, RESERVED
from evalsvc.rules.reading_series import STRETCHES
from evalsvc.rules.reading_tests import MOST_SCORES
from evalsvc.rules.schema_kinds import KINDS
from evalsvc.rules.schema_values import (
    ABOVE_0,
    DRAFT,
    DURATION,
    DURATION_OR_ZERO,
    FIELD,
    Schema,
    anchored,
    described,
    fields,
    listed,
    mapping,
    number,
    offered,
    one_or_more,
    text,
    words,
)
from evalsvc.rules.templates import NAMES
from evalsvc.rules.values import OnTrouble, Severity


def of_rules(metrics: Sequence[str] = ()) -> Schema:
    """Return the schema of ``*.rules.yaml``. ``metrics`` are offered as completions; any other name is right, too."""
    group = mapping(
        {
            "name": text("The group's name, once in a file."),
            "interval": described(DURATION, "How often its rules are looked at, whole minutes.", ["5m"], "1m"),
            "delay": described(DURATION_OR_ZERO, "Windows end so long ago, for scores that come late.", ["5m"], "2m"),
            "catch_up": described(DURATION_OR_ZERO, "Missed looks are made up for as far back.", ["6h"], "1h"),
            "rules": described(listed(_rule(metrics)), "What is watched."),
        },
        ["name", "rules"],
    )
    groups = {**listed(group), "minItems": 1, "description": "Rules that are looked at together."}
    return _file("Alert rules of evalsvc", mapping({"groups": groups}, ["groups"]))


def of_tests(metrics: Sequence[str] = ()) -> Schema:
    """Return the schema of ``*.test.yaml``; ``metrics`` as for :func:`of_rules`."""
    rules = text("The file of rules, from this file's folder. Without it the one of the same name.", ["a.rules.yaml"])
    tests = {**listed(_test(metrics)), "minItems": 1, "description": "Each runs by itself, on virtual time."}
    return _file("Tests of evalsvc's alert rules", mapping({"rules": rules, "tests": tests}, ["tests"]))


def _file(title: str, schema: Schema) -> Schema:
    return {"$schema": DRAFT, "title": title, **schema}


def _rule(metrics: Sequence[str]) -> Schema:
    """Return the schema of a rule: the keys that every kind has, and those of exactly one kind."""
    own = {name: kind.value for name, kind in KINDS.items()}
    beside = {name: value for kind in KINDS.values() for name, value in kind.beside.items()}
    of_kinds = {name: [kind for kind, held in KINDS.items() if name in held.beside] for name in beside}
    dependent = {name: {"anyOf": [{"required": [kind]} for kind in kinds]} for name, kinds in of_kinds.items()}
    return {
        **mapping({**_of_every_kind(metrics), **own, **beside}, ["alert"]),
        "oneOf": [{"required": [name]} for name in KINDS],
        "dependentSchemas": dependent,
        # What is about events, whatever is measured, names no metric.
        "if": {"anyOf": [kind.without_metric for kind in KINDS.values() if kind.without_metric] or [False]},
        "then": {"properties": {"metric": False}},
        "else": {"required": ["metric"]},
    }


def _of_every_kind(metrics: Sequence[str]) -> dict[str, Schema]:
    trouble = list(get_args(OnTrouble))
    known = ", ".join(NAMES)
    return {
        "alert": described(
            {"type": "string", "pattern": anchored(ALERT)}, "The alert's name, once in a project.", ["RefusalsRose"]
        ),
        "metric": _metric(metrics),
        "where": described(
            fields(one_or_more(words())), "Only events with these values.", [{"application": "support"}]
        ),
        "by": described(
            one_or_more(FIELD),
            "Each combination of these fields in the data is an alert of its own.",
            ["segments.language", ["application", "model_version"]],
        ),
        "window": described(DURATION, "How much is looked at each time, whole minutes.", ["10m", "1h"], "10m"),
        "for": described(DURATION_OR_ZERO, "How long it has to be bad before it fires.", ["10m"], "0s"),
        "keep_firing_for": described(
            DURATION_OR_ZERO, "How long it has to be good, without anything else between, to be over.", ["10m"], "10m"
        ),
        "false_alarms": described(
            {"type": "string", "pattern": r"^(?!0+(?:\.0*)?\s)\d+(?:\.\d+)?\s+per\s+(?:\d+[smhdw])+$"},
            "The budget of false alarms, over all of the rule's alerts.",
            ["1 per 30d", "2 per 1w"],
            "1 per 30d",
        ),
        "min_effective_n": described(number(minimum=1), "Fewer effective scores in the window are no data.", [100], 30),
        "severity": described({"enum": list(get_args(Severity))}, "How urgent it is.", default="page"),
        "no_data": described({"enum": trouble}, "alert: a look without data counts as bad.", default="keep"),
        "error": described({"enum": trouble}, "alert: a look that fails counts as bad.", default="keep"),
        "labels": {
            "description": "Labels of the alert, for routes.",
            "type": "object",
            "propertyNames": {"pattern": anchored(LABEL), "not": {"enum": list(RESERVED)}},
            "additionalProperties": words(),
            "examples": [{"team": "ml"}],
        },
        "annotations": {
            "description": f"Texts with {{{{ name }}}} in them: {known} or labels.NAME.",
            "type": "object",
            "propertyNames": {"pattern": anchored(LABEL)},
            "additionalProperties": words(),
            "examples": [{"summary": "{{ value }} of answers in {{ labels.language }} are refusals"}],
        },
        "runbook": text("A link or a path: what to do.", ["docs/runbooks/refusals.md"]),
        "owner": text("Who looks after the rule.", ["support-ml"]),
    }


def _test(metrics: Sequence[str]) -> Schema:
    outage = mapping(
        {
            "from": described(DURATION_OR_ZERO, "Since the test's start.", ["2h"]),
            "for": described(DURATION, "How long.", ["30m"]),
        },
        ["from", "for"],
    )
    moment = {"type": "string", "pattern": r"^\d{4}-\d{2}-\d{2}(?:[T ].+)?$"}
    keys = {
        "name": text("What the test shows, once in a file."),
        "start": described(moment, "When it starts.", ["2026-03-29T00:00Z"], "2026-01-05T00:00:00Z"),
        "input": described(listed(_series(metrics)), "The scores that there are."),
        "outages": described(listed(outage), "When the store does not answer."),
        "expect": described(listed(_expectation()), "Which alert is in which phase, and when."),
        "never": described(one_or_more(words()), "Alerts that fire at no time in the test.", [["RefusalsRose"]]),
        "pages": described({"type": "integer", "minimum": 0}, "How often alerts fire, all of them together.", [1]),
    }
    something = [{"required": [key], "properties": {key: {"minItems": 1}}} for key in ("expect", "never")]
    return {**mapping(keys, ["name", "input"]), "anyOf": [*something, {"required": ["pages"]}]}


def _series(metrics: Sequence[str]) -> Schema:
    stretches = one_or_more({"type": "string", "pattern": anchored(STRETCHES)}) | {"minItems": 1, "minLength": 1}
    return mapping(
        {
            "metric": _metric(metrics),
            "where": described(fields(words()), "The events' fields.", [{"segments.language": "de"}]),
            "values": described(
                stretches,
                "What comes from the test's start on: DURATION of a mean, of `0.9 to 0.7`, of `0.9 with 20% failed`, "
                "of failed, abstained, unscored or nothing; separated by commas.",
                ["2h of 0.05, 1h of 0.4, 2h of 0.05"],
            ),
            "before": described(stretches, "What came until the test's start, at which nobody looks.", ["7d of 0.05"]),
            "per_minute": described({**ABOVE_0, "maximum": MOST_SCORES}, "Scored events a minute.", [20], 10),
            "rate": described(
                number(minimum=1e-6, maximum=1), "The probability with which they were sampled.", [0.1], 1
            ),
            "spread": described(
                number(minimum=0),
                "Values lie evenly so far around the mean; without it a tenth of the mean on an open scale, else 0.",
                [100],
            ),
        },
        ["metric", "values"],
    )


def _expectation() -> Schema:
    scalar = {"type": ["string", "number", "boolean"]}
    contained = {"anyOf": [scalar, {**listed(words()), "minItems": 1}]}
    keys = {
        "at": described(DURATION_OR_ZERO, "Since the test's start: after the last look up to then.", ["2h30m"]),
        "alert": text("The rule's `alert`."),
        "labels": {
            "description": "Those that tell the alert from the rule's others.",
            "type": "object",
            "additionalProperties": scalar,
            "examples": [{"language": "de"}],
        },
        "phase": {"enum": list(get_args(Phase)), "description": "What it is in."},
        "annotations": {
            "description": "Of the message that told of the phase: the whole text, or a list of parts of it.",
            "type": "object",
            "additionalProperties": contained,
        },
    }
    told = {"annotations": {"properties": {"phase": {"enum": ["firing", "resolved"]}}}}
    return {**mapping(keys, ["at", "alert", "phase"]), "dependentSchemas": told}


def _metric(metrics: Sequence[str]) -> Schema:
    return offered(metrics, "What is measured; `evalsvc scorers` lists all.")
