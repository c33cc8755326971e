"""evalsvc: evaluation and continuous monitoring of generative-AI applications, with honest intervals.

Importing it loads no driver, no model and no torch; what needs them loads them when it is first used.
"""

from evalsvc.errors import EvalsvcError
from evalsvc.types import (
    Abstained,
    Cell,
    Estimate,
    Event,
    Failed,
    Message,
    Sample,
    Scale,
    Score,
    Scored,
    ScorerSpec,
    Window,
)

__version__ = "0.1.0"

__all__ = [
    "Abstained",
    "Cell",
    "Estimate",
    "EvalsvcError",
    "Event",
    "Failed",
    "Message",
    "Sample",
    "Scale",
    "Score",
    "Scored",
    "ScorerSpec",
    "Window",
    "__version__",
]
