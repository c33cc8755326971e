"""Calls to a judge: a model behind an OpenAI-compatible endpoint, with a budget, a breaker and a deadline.

What goes wrong is a value (``Failed`` or ``Abstained`` with its reason), never an exception and never a number.
Texts of events go to the endpoint and nowhere else: no log line, no reason and no detail quotes them.
"""

from evalsvc.judges.breaker import CircuitBreaker
from evalsvc.judges.budget import Budget
from evalsvc.judges.client import Completion, JudgeClient
from evalsvc.judges.replies import ScoreReply, read_object, read_score
from evalsvc.judges.retries import speakable
from evalsvc.judges.settings import BudgetLimits, CallLimits, JudgeSettings, Prices, judge_settings
from evalsvc.judges.spend import Spend

__all__ = [
    "Budget",
    "BudgetLimits",
    "CallLimits",
    "CircuitBreaker",
    "Completion",
    "JudgeClient",
    "JudgeSettings",
    "Prices",
    "ScoreReply",
    "Spend",
    "judge_settings",
    "read_object",
    "read_score",
    "speakable",
]
