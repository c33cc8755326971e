"""Models under test: who answers a suite's cases, and the answers."""

from evalsvc.generation.callable import CallableModel
from evalsvc.generation.command import CommandModel
from evalsvc.generation.endpoint import EndpointModel
from evalsvc.generation.endpoint_settings import EndpointSettings
from evalsvc.generation.limits import AskLimits, RunBudget
from evalsvc.generation.progress import Progress
from evalsvc.generation.reading import read_model
from evalsvc.generation.recorded import Coverage, RecordedAnswers, write_answers
from evalsvc.generation.runner import Asker
from evalsvc.generation.transformers import TransformersModel, TransformersSettings
from evalsvc.generation.values import Answer, Generator, Request, failed

__all__ = [
    "Answer",
    "AskLimits",
    "Asker",
    "CallableModel",
    "CommandModel",
    "Coverage",
    "EndpointModel",
    "EndpointSettings",
    "Generator",
    "Progress",
    "RecordedAnswers",
    "Request",
    "RunBudget",
    "TransformersModel",
    "TransformersSettings",
    "failed",
    "read_model",
    "write_answers",
]
