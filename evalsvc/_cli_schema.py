"""The command ``schema``: JSON Schemas of operators' files about alerts, suites and rubrics."""

from __future__ import annotations

import argparse
import json
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from evalsvc import project, scorers
from evalsvc.cli import OK
from evalsvc.errors import EvalsvcError
from evalsvc.gate.schema import of_suite
from evalsvc.governance.rubric.schema import of_rubric
from evalsvc.notify.schema import of_routes
from evalsvc.rules import schema as schemas

SCHEMAS: Mapping[str, Callable[[Sequence[str]], dict[str, Any]]] = {
    "rules": schemas.of_rules,
    "tests": schemas.of_tests,
    "routes": lambda metrics: of_routes(),
    "suite": of_suite,
    "rubric": lambda metrics: of_rubric(),
}


def schema(options: argparse.Namespace) -> int:
    """Print a schema."""
    print(written(SCHEMAS[options.of](_metrics())))
    return OK


def written(made: Mapping[str, Any]) -> str:
    """Return a schema as text."""
    return json.dumps(made, indent=2, ensure_ascii=False, allow_nan=False)


def _metrics() -> list[str]:
    """Return the names of all scorers, and what the project's consumers measure, as far as their files are right."""
    try:
        consumers = project.load_project().consumers
    except EvalsvcError:
        consumers = ()
    return sorted({*scorers.names(), *(scorer.metric for consumer in consumers for scorer in consumer.scorers)})
