"""The JSON Schema (draft 2020-12) of ``*.rubric.yaml``, for editors that complete and check it.

What depends on the rest of the file or on files of results (weights that do not add up, a metric that no model has)
only ``evalsvc check`` finds; ``tests/unit/test_suite_schema.py`` holds the schema and the reader together.
"""

from __future__ import annotations

from typing import get_args

from evalsvc.governance.rubric.reading_models import NAME
from evalsvc.governance.rubric.values import HIGHEST, LOWEST, Axis, Weighting
from evalsvc.rules.schema_values import (
    ABOVE_0,
    DRAFT,
    Schema,
    anchored,
    described,
    listed,
    mapping,
    number,
    one_or_more,
    words,
)

_FILLED: Schema = {"type": ["string", "number", "boolean"], "pattern": r"\S"}
_DAY: Schema = {"type": "string", "pattern": r"^\d{4}-\d{2}-\d{2}$"}


def of_rubric() -> Schema:
    """Return the schema of ``*.rubric.yaml``."""
    confidence = {"type": "number", "exclusiveMinimum": 0.5, "maximum": 0.999}
    keys = {
        "rubric": described(_FILLED, "What is chosen, and for whom."),
        "date": described(_DAY, "Of the comparison.", ["2026-01-31"]),
        "confidence": described(confidence, "Of intervals.", default=0.95),
        "use": described({"const": "playbook"}, "The playbook's categories and criteria."),
        "categories": described(_categories(), "Categories of your own.", [{"quality": _EXAMPLE}]),
        "weighting": described({"enum": list(get_args(Weighting))}, "Of categories or of criteria."),
        "measured": described(_named(_measure()), "Criteria that are scored from a metric."),
        "pareto": described(_axes(), "The axes of the Pareto view.", [{"cost": "cost_usd", "latency": "latency_ms"}]),
        "models": described({**_named(_model()), "minProperties": 2}, "Two or more, by name."),
        "decision": described(_decision(), "What was decided."),
    }
    one = [{"required": ["use"]}, {"required": ["categories"]}]
    return {
        "$schema": DRAFT,
        "title": "A comparison of models by evalsvc",
        **mapping(keys, ["rubric", "date", "models"]),
        "oneOf": one,
    }


_EXAMPLE = {"weight": 2, "criteria": ["accuracy", "tone"]}


def _named(value: Schema) -> Schema:
    return {"type": "object", "propertyNames": {"pattern": anchored(NAME)}, "additionalProperties": value}


def _categories() -> Schema:
    title = described(_FILLED, "As it is shown.")
    weighed = mapping({"weight": ABOVE_0, "title": title}, ["weight"])
    name = {"type": ["string", "number", "boolean"], "pattern": anchored(NAME)}
    criteria = {
        "anyOf": [
            {**listed(name), "minItems": 1, "uniqueItems": True},
            {**_named({"anyOf": [ABOVE_0, weighed]}), "minProperties": 1},
        ]
    }
    keys = {
        "weight": described(ABOVE_0, "Relative to the other categories'."),
        "title": title,
        "criteria": described(criteria, "Names, which count alike, or names with weights that add to the category's."),
    }
    return {**_named(mapping(keys, ["weight", "criteria"])), "minProperties": 1}


def _measure() -> Schema:
    pair: Schema = {
        "type": "array",
        "prefixItems": [number(), number(minimum=LOWEST, maximum=HIGHEST)],
        "items": False,
        "minItems": 2,
    }
    points = {**listed(pair), "minItems": 1}
    keys = {
        "metric": words(),
        "better": {"enum": ["higher", "lower"]},
        "lines": described(points, "Points [metric, score], with lines between.", [[[0.5, 1], [1.0, 5]]]),
        "steps": described(points, "Steps [metric, score].", [[[1, 5], [2, 3]]]),
    }
    return {**mapping(keys, ["metric", "better"]), "oneOf": [{"required": ["lines"]}, {"required": ["steps"]}]}


def _axes() -> Schema:
    axes = get_args(Axis)
    return mapping({axis: words() for axis in axes}, [axis for axis in axes if axis != "quality"])


def _model() -> Schema:
    opinion = mapping(
        {
            "by": described(_FILLED, "Who scored."),
            "at": described(_DAY, "When.", ["2026-01-31"]),
            "score": described(number(minimum=LOWEST, maximum=HIGHEST), "1 to 5."),
            "evidence": described(_FILLED, "A link, or what it rests on in words."),
        },
        ["by", "at", "score", "evidence"],
    )
    sentences = one_or_more(words())
    keys = {
        "results": described(words(), "A file that `evalsvc gate --format json` wrote."),
        "metrics": described({"type": "object", "additionalProperties": _measured()}, "Numbers with their source."),
        "scores": described(_named({"anyOf": [opinion, {**listed(opinion), "minItems": 1}]}), "People's scores."),
        "for": described(sentences, "What speaks for it."),
        "against": described(sentences, "What speaks against it."),
    }
    return mapping(keys)


def _measured() -> Schema:
    keys = {
        "source": described(_FILLED, "Where the number is from."),
        "value": described(number(), "The number, with `low` and `high`, or `exact: true`."),
        "low": number(),
        "high": number(),
        "values": described(listed(number()), "Those of the cases, in place of `value`."),
        "n": {"type": "integer", "minimum": 1},
        "exact": {"type": "boolean"},
    }
    inexact = {"required": ["low", "high"]}
    exact = {"required": ["exact"], "properties": {"exact": {"const": True}, "low": False, "high": False}}
    return {
        **mapping(keys, ["source"]),
        "oneOf": [
            {"required": ["value"], "oneOf": [inexact, exact]},
            {"required": ["values"], "properties": {"value": False, "low": False, "high": False}},
        ],
    }


def _decision() -> Schema:
    keys = {
        "chosen": described(_FILLED, "The model's name."),
        "by": described(_FILLED, "Who decided."),
        "at": described(_DAY, "When.", ["2026-01-31"]),
        "because": described(_FILLED, "Why this one, in a sentence or more."),
    }
    return mapping(keys, list(keys))
