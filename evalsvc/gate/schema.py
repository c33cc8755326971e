"""The JSON Schema (draft 2020-12) of ``*.suite.yaml``, for editors that complete and check it.

What depends on a metric's scale, on the cases or on the baseline only ``evalsvc check`` finds;
``tests/unit/test_suite_schema.py`` holds the schema and the reader together.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import get_args

from evalsvc.gate.reading import MOST_LOOKS, MOST_REPEATS, NAME
from evalsvc.gate.reading_gates import FIELDS, QUESTIONS
from evalsvc.gate.values import MAX_MISSING
from evalsvc.generation.limits import MAX_CONCURRENCY
from evalsvc.generation.schema import of_model
from evalsvc.rules.schema_values import (
    ABOVE_0,
    DRAFT,
    DURATION,
    Schema,
    anchored,
    described,
    listed,
    mapping,
    number,
    offered,
    one_or_more,
    text,
    words,
)
from evalsvc.stats.spending import Spending

_COMPARED = ("not_worse_by", "better", "better_by", "within")
_BESIDE = {"gap": ("at_most",), "critical": ("at_least", "at_most")}
_FIELD: Schema = {"type": "string", "pattern": anchored(FIELDS)}
_STATISTIC = r"^(?:mean|corpus|p(?!0+(?:\.0+)?$)\d{1,2}(?:\.\d+)?|pass[\^@][1-9]\d?)$"


def of_suite(metrics: Sequence[str] = ()) -> Schema:
    """Return the schema of ``*.suite.yaml``. ``metrics`` are offered as completions; any other name is right, too."""
    named = {"type": ["string", "number", "boolean"], "pattern": anchored(NAME)}
    whole = {"type": "integer"}
    compares = {"contains": {"anyOf": [{"required": [key]} for key in _COMPARED]}}
    keys = {
        "suite": described(named, "The suite's name; the file's unless given."),
        "cases": described(_cases(), "A file or folder of cases, relative to this file.", ["cases.jsonl"]),
        "model": described(of_model(), "Who answers.", [{"recorded": "answers.jsonl"}]),
        "baseline": described(named, "What it is compared with, in baselines/ beside this file.", ["production"]),
        "scorers": described({**listed(_scorer(metrics)), "minItems": 1}, "What is measured.", [["rouge_l"]]),
        "gates": described({**listed(_gate(metrics)), "minItems": 1}, "What decides."),
        "repeats": described({**whole, "minimum": 1, "maximum": MOST_REPEATS}, "Answers to each case.", [3], 1),
        "seed": described({**whole, "minimum": 0, "maximum": 2**31 - 1}, "Of model, order and permutations.", [7], 0),
        "level": described({**ABOVE_0, "maximum": 0.4}, "The one-sided error rate.", [0.05], 0.05),
        "looks": described({**whole, "minimum": 1, "maximum": MOST_LOOKS}, "More than 1 stops early.", [5], 1),
        "spending": described({"enum": list(get_args(Spending))}, "Of the error rate over the looks."),
        "limits": described(_limits(), "How fast the model is asked."),
        "budget": described(
            mapping({"usd": ABOVE_0, "requests": {**whole, "minimum": 1}}), "What a run may cost.", [{"usd": 5}]
        ),
    }
    several = {"required": ["looks"], "properties": {"looks": {"not": {"const": 1}}}}
    return {
        "$schema": DRAFT,
        "title": "A suite of evalsvc",
        **mapping(keys, ["cases", "model", "scorers", "gates"]),
        "dependentSchemas": {"spending": several},
        "if": {"properties": {"gates": compares}, "required": ["gates"]},
        "then": {"required": ["baseline"]},
    }


def _cases() -> Schema:
    fields: Schema = {"type": "object", "additionalProperties": words()}
    keys = {
        "path": text("A file or folder, relative to this file."),
        "fields": described(fields, "Column to field, for foreign names.", [{"question": "prompt"}]),
        "split": text("Of a folder.", ["test"]),
        "config": text("A configuration of a folder."),
    }
    return {"anyOf": [words(), mapping(keys, ["path"])]}


def _scorer(metrics: Sequence[str]) -> Schema:
    name = offered(metrics, "A scorer; `evalsvc scorers` lists all.")
    options = described({"type": "object"}, "Its options.")
    return {"anyOf": [name, mapping({"name": name, "options": options}, ["name"])]}


def _limits() -> Schema:
    keys = {
        "concurrency": described(
            {"type": "integer", "minimum": 1, "maximum": MAX_CONCURRENCY}, "Requests at a time.", [8], 4
        ),
        "requests_per_minute": described(ABOVE_0, "At most.", [300]),
        "deadline": described(DURATION, "For the whole run.", ["30m"]),
    }
    return mapping(keys)


def _gate(metrics: Sequence[str]) -> Schema:
    mean: Schema = {"properties": {"statistic": {"const": "mean"}}}
    single: Schema = {"properties": {"statistic": {"const": "mean"}, "by": False, "max_missing": False}}
    keys = {
        "metric": offered(metrics, "Measured by one of the suite's scorers."),
        **_questions(),
        **_beside(),
    }
    return {
        **mapping(keys, ["metric"]),
        "oneOf": [_only(key) for key in QUESTIONS],
        "dependentSchemas": {
            **{key: {"properties": {"statistic": {"not": {"pattern": r"^p\d"}}}} for key in _COMPARED},
            "critical": single,
            "gap": mean,
            "robust_within": {"properties": {**mean["properties"], "by": False}},
            "success": {"required": ["statistic"], "properties": {"statistic": {"pattern": "^pass"}}},
        },
    }


def _only(key: str) -> Schema:
    """Return the schema of a gate that asks this, and nothing else."""
    beside = _BESIDE.get(key, ())
    others = [{"required": [other]} for other in QUESTIONS if other not in (key, *beside)]
    both = [{"required": list(beside)}] if len(beside) > 1 else []
    needed = [key, *beside] if len(beside) == 1 else [key]
    return {"required": needed, "not": {"anyOf": [*others, *both]}}


def _questions() -> dict[str, Schema]:
    percent = {"type": "string", "pattern": r"^\s*(?!0+(?:\.0+)?\s*%)\d{1,2}(?:\.\d+)?\s*%\s*$"}
    true: Schema = {"const": True}
    return {
        "not_worse_by": described({"anyOf": [ABOVE_0, percent]}, "The loss that must be ruled out.", [0.02, "10%"]),
        "better": described(true, "Better than the baseline."),
        "better_by": described(ABOVE_0, "Better than the baseline by more than that.", [0.02]),
        "within": described(ABOVE_0, "The two are less than that apart, either way.", [0.02]),
        "at_least": described(number(), "The candidate's own value.", [0.8]),
        "at_most": described(number(), "The candidate's own value, or the largest gap.", [1500]),
        "critical": described(true, "Every critical case reaches 1, or `at_least` or `at_most`."),
        "gap": described(_FIELD, "No two groups are further apart than `at_most`.", ["segments.plan"]),
        "robust_within": described(ABOVE_0, "No kind of variant is worse by that.", [0.05]),
    }


def _beside() -> dict[str, Schema]:
    by = {"anyOf": [_FIELD, {**listed(_FIELD), "minItems": 1, "uniqueItems": True}]}
    values = one_or_more(words()) | {"minItems": 1}
    where: Schema = {
        "type": "object",
        "propertyNames": {"pattern": anchored(f"tags|{FIELDS}")},
        "additionalProperties": values,
        "minProperties": 1,
    }
    share = {"type": "string", "pattern": r"^\s*\d{1,2}(?:\.\d+)?\s*%\s*$"}
    statistic = {"type": "string", "pattern": _STATISTIC}
    return {
        "statistic": described(statistic, "Of the scores.", ["p95", "corpus", "pass^3", "pass@3"], "mean"),
        "by": described(by, "Each segment is decided by itself.", ["segments.language"]),
        "where": described(where, "Only these cases.", [{"tags": ["hard"]}]),
        "direction": described({"enum": ["higher", "lower"]}, "Which is better, of a metric that does not say."),
        "success": described(number(), "From which score a repeat succeeds, for pass^k and pass@k.", [0.8]),
        "max_missing": described(
            {"anyOf": [number(minimum=0, maximum=0.99), share]}, "The share of missing scores.", ["5%"], MAX_MISSING
        ),
        "advisory": described({"type": "boolean"}, "It is shown and decides nothing.", default=False),
    }
