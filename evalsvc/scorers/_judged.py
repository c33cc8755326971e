"""What the scorers that ask a judge share: its options, its client, and how its cost comes into a score's detail."""

from __future__ import annotations

import hashlib
import os
from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from types import MappingProxyType
from typing import ClassVar

from evalsvc.errors import InputError
from evalsvc.judges import JudgeClient, JudgeSettings, Spend, speakable
from evalsvc.types import Abstained, Event, Need, Outcome, Sample, ScorerSpec

CALL_COST = 4096
"""A call's cost beside its text: the worker hands over batches of few calls, since each may take its deadline."""

MAX_CHARACTERS = 60_000
"""The longest texts of one event that a judge is sent unless the options say otherwise."""

_EMPTY = {"prompt": "no prompt", "response": "empty response", "contexts": "no context", "reference": "no reference"}


class JudgedScorer(ABC):
    """A scorer whose values come from a judge. Nothing is sent before :meth:`score`."""

    cost_class: ClassVar[str] = "judge"
    example_options: ClassVar[Mapping[str, str]] = MappingProxyType(
        {"model": "judge-model", "base_url": "http://localhost:8000/v1"}
    )
    """What it cannot be built without, so that it can be listed."""

    def __init__(self, settings: JudgeSettings, max_characters: int) -> None:
        if isinstance(max_characters, bool) or not isinstance(max_characters, int) or max_characters < 1:
            raise InputError(f"Expected `max_characters` as a whole number of at least 1, but got {max_characters!r}")
        self.client = JudgeClient(settings)
        self._max_characters = max_characters

    @property
    @abstractmethod
    def spec(self) -> ScorerSpec:
        """What it measures; the judge's model is in the signature."""

    @abstractmethod
    def judge(self, sample: Sample) -> Outcome:
        """Return the outcome of a sample that has all that the spec needs. Called from several threads."""

    @property
    def calls_per_sample(self) -> int:
        """About how many calls one sample takes."""
        return 1

    @property
    def priced(self) -> bool:
        """Whether it has prices, so that the detail of its scores says what they cost."""
        return self.client.settings.prices is not None

    @property
    def spend(self) -> Spend:
        """What its calls have cost since the process began, those without a score included."""
        return self.client.budget.total

    def lacks(self) -> str:
        """Return which variable has no API key; '' where the endpoint needs none. Asks the endpoint nothing."""
        name = self.client.settings.api_key_env
        if not name or os.environ.get(name, "").strip():
            return ""
        return f"`api_key_env` names the variable {name}, which is not set; put the judge's API key there"

    def load(self) -> None:
        """Read the API key from the environment.

        Raises:
            EngineError: when the variable that the options name is not set.
        """
        self.client.load()

    def cost(self, sample: Sample) -> int:
        """Return the characters to be sent, and a call's overhead, for each of its calls."""
        return self.calls_per_sample * (CALL_COST + _characters(sample.event, self.spec.needs))

    def score(self, batch: Sequence[Sample]) -> Sequence[Outcome]:
        """Return one outcome a sample; calls run side by side, and none takes longer than its deadline."""
        return self.client.map(self._outcome, batch)

    def _outcome(self, sample: Sample) -> Outcome:
        return self.unfit(sample.event) or self.judge(sample)

    def unfit(self, event: Event) -> Abstained | None:
        """Return why the judge is not asked about an event: something is missing or blank, or it is too long."""
        for need in self.spec.needs:
            if not any(text.strip() for text in _texts(event, need)):
                return Abstained(_EMPTY[need])
        if _characters(event, self.spec.needs) > self._max_characters:
            return Abstained(f"more than {self._max_characters} characters for the judge")
        return None


def digest(text: str) -> str:
    """Return a short name for a text in a signature.

    >>> digest("polite")
    'cad2a80df44e'
    """
    return hashlib.sha256(text.encode("utf-8", "replace")).hexdigest()[:12]


def contexts_of(event: Event) -> list[str]:
    """Return the contexts that are not blank, each once, in order, as they can be sent."""
    return list(dict.fromkeys(speakable(context) for context in event.contexts if context.strip()))


def _texts(event: Event, need: Need) -> tuple[str, ...]:
    if need == "contexts":
        return event.contexts
    return ({"prompt": event.prompt_text, "response": event.response, "reference": event.reference or ""}[need],)


def _characters(event: Event, needs: Sequence[Need]) -> int:
    return sum(len(text) for need in needs for text in _texts(event, need))
