"""Models under test: who answers a suite's cases, and the answers."""

from evalsvc.generation.limits import AskLimits, RunBudget
from evalsvc.generation.progress import Progress, terminal_progress
from evalsvc.generation.recorded import Coverage, RecordedAnswers, write_answers
from evalsvc.generation.runner import Asker
from evalsvc.generation.values import Answer, Generator, Request, failed

__all__ = [
    "Answer",
    "AskLimits",
    "Asker",
    "Coverage",
    "Generator",
    "Progress",
    "RecordedAnswers",
    "Request",
    "RunBudget",
    "failed",
    "terminal_progress",
    "write_answers",
]
