"""What a budget or a deadline left unasked: said with what was spent, what is left, and how a run goes on."""

from __future__ import annotations

from evalsvc.gate.evaluated import Evaluated
from evalsvc.generation.limits import DEADLINE, RunBudget

BY_BUDGET = ("budget of", "one request may cost more than the budget")
LIMITS = (*BY_BUDGET, DEADLINE)
"""What the reason of an answer begins with that was not asked for."""


def mostly_failed(candidate: Evaluated) -> bool:
    """Whether more of what was asked failed by itself than was answered: then no limit is what stands in the way."""
    failed = sum(
        answer.status == "failed" and not answer.reason.startswith(LIMITS)
        for row in candidate.answers
        for answer in row
    )
    return failed > candidate.counts[0]


def ended_by(candidate: Evaluated, total: int, budget: RunBudget, *, kept: bool) -> str:
    """Return that a limit ended the run, and what to do; empty where it left no case unasked.

    Where most of what was asked failed by itself, a higher limit would only pay for more of that: none is asked for.

    Args:
        candidate: what was answered.
        total: how many cases the run was to ask.
        budget: what the run had, and has spent.
        kept: whether answers are kept for the next run.
    """
    counts: dict[str, int] = {}
    for answers in candidate.answers:
        for reason in {answer.reason for answer in answers if answer.status == "failed"}:
            if reason.startswith(LIMITS):
                counts[reason] = counts.get(reason, 0) + 1
    if not counts:
        return ""
    reason = max(counts, key=lambda one: counts[one])
    left = sum(any(answer.reason in counts for answer in row) for row in candidate.answers)
    unknown = budget.requests > 0 and budget.usd == 0.0 and candidate.cost_usd is None
    ended, raised = _limit(reason, budget, "cost unknown" if unknown else f"with ${budget.usd:.4g} spent")
    are = "is" if left == 1 else "are"
    told = f"{ended}: {left:,} of {total:,} cases {are} left"
    if mostly_failed(candidate):
        return told
    again = (
        "what was answered is kept, and not paid for twice" if kept else "it begins anew, since no answer of it is kept"
    )
    return f"{told}; raise {raised}, and run it again: {again}"


def _limit(reason: str, budget: RunBudget, spent: str) -> tuple[str, str]:
    """Return which limit ended a run, with what was spent, and what raises it."""
    if reason == DEADLINE:
        return f"the deadline ended the run, {spent}", "`limits.deadline` of the suite"
    if "$" not in reason:
        limit = f"the budget of {budget.request_limit:,} requests" if budget.request_limit else "the budget of requests"
        return f"{limit} ended the run, with {budget.requests:,} made", "`budget.requests` of the suite"
    of_one = f" since {reason}" if reason.startswith(BY_BUDGET[1]) else ""
    limit = f"the budget of ${budget.usd_limit:g}" if budget.usd_limit else "the budget"
    raised = "`budget.usd` of the suite or `--budget` (pytest: `--evalsvc-budget`)"
    return f"{limit} ended the run{of_one}, {spent}", raised
