"""Verdicts of gates, as they are stored and shown: values that import nothing but the errors' floor."""

from evalsvc.verdicts.log import RemembersVerdicts, VerdictLog, VerdictQuery
from evalsvc.verdicts.promotions import BaselineLog, Promoted, Promotion, RemembersBaselines
from evalsvc.verdicts.values import (
    EXIT_CODES,
    PART,
    Decision,
    Finding,
    GateResult,
    MetricSummary,
    Needed,
    Number,
    Outcome,
    Party,
    Slice,
    Verdict,
    worst_of,
)

__all__ = [
    "EXIT_CODES",
    "PART",
    "BaselineLog",
    "Decision",
    "Finding",
    "GateResult",
    "MetricSummary",
    "Needed",
    "Number",
    "Outcome",
    "Party",
    "Promoted",
    "Promotion",
    "RemembersBaselines",
    "RemembersVerdicts",
    "Slice",
    "Verdict",
    "VerdictLog",
    "VerdictQuery",
    "worst_of",
]
