"""A model under test that answers as a test tells it to, and what tests of models share."""

from __future__ import annotations

import threading
from collections.abc import Callable

from evalsvc.cases.values import Case
from evalsvc.generation import Answer, Request


def cases(count: int, start: int = 0) -> list[Case]:
    """Cases named ``case-0`` and so on, each with a prompt of its own."""
    return [Case(case_id=f"case-{number}", prompt=f"prompt {number}") for number in range(start, start + count)]


def echo(request: Request) -> Answer:
    """Say the prompt, the repeat and the seed."""
    return Answer(response=f"{request.case.prompt}/{request.repeat}/{request.seed}", cost_usd=0.01)


class FakeModel:
    """Answers by ``rule``; ``requests`` holds what came."""

    model = "fake"
    recorded = False

    def __init__(
        self,
        rule: Callable[[Request], Answer] = echo,
        *,
        version: str = "1",
        cacheable: bool = True,
        estimate: float = 0.0,
    ) -> None:
        self.rule, self.model_version, self.cacheable, self._estimate = rule, version, cacheable, estimate
        self.requests: list[Request] = []
        self.loads = 0
        self._lock = threading.Lock()

    @property
    def signature(self) -> str:
        return f"fake:{self.model_version}"

    def load(self) -> None:
        self.loads += 1

    def seen(self, case: Case) -> str:
        return ""

    def estimate_usd(self, request: Request) -> float:
        return self._estimate

    def generate(self, request: Request) -> Answer:
        with self._lock:
            self.requests.append(request)
        return self.rule(request)
