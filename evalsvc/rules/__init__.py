"""Alert rules: what they say, and the pure state machine that decides. Nothing here reads a store or tells anybody."""

from evalsvc.rules.machine import AlertState, Observation, Transition, Verdict, step, transition
from evalsvc.rules.values import (
    Absence,
    Budget,
    BurnRate,
    Change,
    Condition,
    Cost,
    Drift,
    FairnessGap,
    Rule,
    RuleGroup,
    Threshold,
    Versions,
)

__all__ = [
    "Absence",
    "AlertState",
    "Budget",
    "BurnRate",
    "Change",
    "Condition",
    "Cost",
    "Drift",
    "FairnessGap",
    "Observation",
    "Rule",
    "RuleGroup",
    "Threshold",
    "Transition",
    "Verdict",
    "Versions",
    "step",
    "transition",
]
