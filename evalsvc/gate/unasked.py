"""What a budget or a deadline left unasked: said with what was spent, what is left, and how a run goes on."""

from __future__ import annotations

from evalsvc.gate.evaluated import Evaluated
from evalsvc.generation.limits import DEADLINE, RunBudget

BY_BUDGET = ("budget of", "one request may cost more than the budget")
LIMITS = (*BY_BUDGET, DEADLINE)
"""What the reason of an answer begins with that was not asked for."""


def ended_by(candidate: Evaluated, total: int, budget: RunBudget, *, kept: bool) -> str:
    """Return that a limit ended the run, and what to do; empty where it left no case unasked.

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
    ended, raised = _limit(reason, budget)
    again = (
        "what was answered is kept, and not paid for twice" if kept else "it begins anew, since no answer of it is kept"
    )
    are = "is" if left == 1 else "are"
    return f"{ended}: {left:,} of {total:,} cases {are} left; raise {raised}, and run it again: {again}"


def _limit(reason: str, budget: RunBudget) -> tuple[str, str]:
    """Return which limit ended a run, with what was spent, and what raises it."""
    spent = f"${budget.usd:.4g} spent"
    if reason == DEADLINE:
        return f"the deadline ended the run, with {spent}", "`limits.deadline` of the suite"
    if "$" not in reason:
        limit = f"the budget of {budget.request_limit:,} requests" if budget.request_limit else "the budget of requests"
        return f"{limit} ended the run, with {budget.requests:,} made", "`budget.requests` of the suite"
    of_one = f" since {reason}" if reason.startswith(BY_BUDGET[1]) else ""
    limit = f"the budget of ${budget.usd_limit:g}" if budget.usd_limit else "the budget"
    raised = "`budget.usd` of the suite or `--budget` (pytest: `--evalsvc-budget`)"
    return f"{limit} ended the run{of_one}, with {spent}", raised
