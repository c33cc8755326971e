"""evalsvc: evaluation and continuous monitoring of generative-AI applications, with honest intervals.

Importing it takes a few milliseconds: each name below comes from its module when it is first asked for, and what needs
a driver, a model or torch loads it when it is first used.

PYTEST_DONT_REWRITE: pytest looks for assertions in packages that have a plugin, and warns of one that was imported
before it could; there are none here.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
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


def __getattr__(name: str) -> Any:  # noqa: ANN401 - any of the names above
    if name not in __all__:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module("evalsvc.errors" if name == "EvalsvcError" else "evalsvc.types"), name)


def __dir__() -> list[str]:
    return sorted(__all__)
