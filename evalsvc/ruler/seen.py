"""What a look at a rule that reads for itself sees: one observation for each of its alerts."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from datetime import datetime
from typing import NamedTuple

from evalsvc.protocols import ScoreStore
from evalsvc.rules.machine import Observation
from evalsvc.rules.values import Rule, RuleGroup


class Seen(NamedTuple):
    """One alert of a rule, named by whose data it watches, and what a look saw of it."""

    consumer: str
    key: Mapping[str, str]
    observation: Observation


Watch = Callable[[ScoreStore, Rule, RuleGroup, datetime], Sequence[Seen]]
"""Looks at one rule at a time, at what had come ``delay`` before; the alerts are those that the data have."""
