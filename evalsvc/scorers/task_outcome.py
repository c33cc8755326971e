"""How a turn ended: cut off, handed over to a person, or with what was asked, from the event's fields and by rule."""

from __future__ import annotations

import re
from abc import ABC, abstractmethod
from collections.abc import Sequence
from functools import lru_cache
from typing import ClassVar

from evalsvc.scorers._finish_reasons import ending_of
from evalsvc.scorers._handover_phrases import ANCHORS, PATTERNS
from evalsvc.scorers.refusal import OPENING, refusal_phrase
from evalsvc.types import Abstained, Event, Failed, Outcome, Sample, Scale, Scored, ScorerSpec

COMPLETED = "task_completed"
HANDOVER = "handover"
_TRUE, _FALSE = ("true", "yes", "1"), ("false", "no", "0")


class OutcomeScorer(ABC):
    """A binary metric of how a turn ended, from one event."""

    cost_class: ClassVar[str] = "characters"
    _spec: ClassVar[ScorerSpec]

    @property
    def spec(self) -> ScorerSpec:
        """What it measures."""
        return self._spec

    def load(self) -> None:  # noqa: B027 - most have nothing to load
        """Do nothing: there is nothing to load."""

    def cost(self, sample: Sample) -> int:
        """Return the characters of the response."""
        return 1 + len(sample.event.response)

    def score(self, batch: Sequence[Sample]) -> Sequence[Outcome]:
        """Return one outcome a sample, in order."""
        return [self.outcome(sample.event) for sample in batch]

    @abstractmethod
    def outcome(self, event: Event) -> Outcome:
        """Return what the event's fields say."""


class Truncated(OutcomeScorer):
    """1 where the response was cut off at a limit of tokens, 0 where it ended otherwise; lower is better.

    Reads ``finish_reason`` alone, in the words of the big providers (``length``, ``max_tokens``, ``MAX_TOKENS`` …).
    Abstains without one, and on a word that is not known.

    >>> from evalsvc.testing import make_sample
    >>> Truncated().score([make_sample(finish_reason="max_tokens"), make_sample(finish_reason="end_turn")])
    [1.0, 0.0]
    """

    cost_class = "none"
    _spec = ScorerSpec(
        "truncated",
        1,
        Scale(0.0, 1.0, "lower", "share", binary=True),
        needs=(),
        signature="field:finish_reason|words:1",
        description="Whether the response was cut off at a limit of tokens, by its finish_reason.",
    )

    def cost(self, sample: Sample) -> int:
        """Return 1: one field is read."""
        return 1

    def outcome(self, event: Event) -> Outcome:
        """Return 1 for ``length`` in any provider's word."""
        if not (event.finish_reason or "").strip():
            return Abstained("no finish_reason")
        ending = ending_of(event.finish_reason or "")
        return Abstained("finish_reason is not a known one") if ending is None else float(ending == "length")


class TaskCompleted(OutcomeScorer):
    """1 where the turn gave what was asked as far as its fields tell, else 0; higher is better.

    The first rule that applies decides, and the detail names it:

    1. ``attributes.task_completed``, true or false: what the application knows wins.
    2. ``finish_reason`` is of the class ``tool_calls``: abstains, since the turn goes on.
    3. The response is empty: 0; without a ``finish_reason`` too it abstains, since nothing was recorded.
    4. ``finish_reason`` is of the class ``length``, ``content_filter`` or ``error``: 0.
    5. The response refuses, by the rules of ``refusal``: 0.
    6. ``finish_reason`` is of the class ``stop``: 1.
    7. Nothing tells: abstains.

    Whether the answer is right is not asked. Success rates of tasks are usual for agents and dialogue systems (Walker
    et al., 1997, PARADISE); these rules are our own.

    >>> from evalsvc.testing import make_sample
    >>> TaskCompleted().score([make_sample(finish_reason="stop")])[0].detail
    {'rule': 'finish_reason'}
    """

    _spec = ScorerSpec(
        "task_completed",
        2,
        Scale(0.0, 1.0, "higher", "share", binary=True),
        needs=(),
        signature="rules:2|attribute:task_completed|words:1|refusal:1",
        description="Whether the turn gave what was asked, by attribute, finish_reason, refusal and emptiness.",
    )

    def cost(self, sample: Sample) -> int:
        """Return the characters that are looked at."""
        return 1 + min(len(sample.event.response), OPENING)

    def outcome(self, event: Event) -> Outcome:
        """Return what the first rule that applies says."""
        if event.attributes.get(COMPLETED) is not None:
            return _stated(event, COMPLETED)
        ending = ending_of(event.finish_reason or "")
        if ending == "tool_calls":
            return Abstained("the turn ends in a tool call")
        if not event.response.strip():
            if not (event.finish_reason or "").strip():
                return Abstained("neither a response nor a finish_reason")
            return Scored(0.0, {"rule": "empty"})
        if ending in ("length", "content_filter", "error"):
            return Scored(0.0, {"rule": "finish_reason"})
        if refusal_phrase(event.response) is not None:
            return Scored(0.0, {"rule": "refusal"})
        if ending == "stop":
            return Scored(1.0, {"rule": "finish_reason"})
        return Abstained("nothing tells whether the task was completed")


class HumanHandover(OutcomeScorer):
    """1 where the response hands the conversation over to a person, else 0; which is better depends on the policy.

    ``attributes.handover``, true or false, wins. Otherwise phrases decide by which assistants hand over ("I'll connect
    you with an agent"), in English, German, French, Spanish, Italian and Portuguese; other languages read as 0. Telling
    the user whom to call is no handover. Abstains on an empty response without the attribute.

    >>> from evalsvc.testing import make_sample
    >>> HumanHandover().score([make_sample(response="One moment, I'll transfer you to a live agent.")])[0].detail
    {'rule': 'phrase', 'start': 12, 'end': 45}
    """

    _spec = ScorerSpec(
        "human_handover",
        2,
        Scale(0.0, 1.0, "neither", "share", binary=True),
        needs=(),
        signature=f"rules:2|attribute:handover|languages:{','.join(PATTERNS)}",
        description="Whether the response hands over to a person, by attribute or phrases in six languages.",
    )

    def load(self) -> None:
        """Compile the phrases."""
        _compiled()

    def outcome(self, event: Event) -> Outcome:
        """Return what the attribute says, else whether a phrase stands in the response."""
        if event.attributes.get(HANDOVER) is not None:
            return _stated(event, HANDOVER)
        if not event.response.strip():
            return Abstained("empty response")
        found = handover_phrase(event.response)
        return 0.0 if found is None else Scored(1.0, {"rule": "phrase", "start": found[0], "end": found[1]})


def handover_phrase(response: str) -> tuple[int, int] | None:
    """Return where the response hands over to a person, else ``None``.

    >>> handover_phrase("Ich verbinde Sie mit einem Mitarbeiter.")
    (0, 38)
    >>> handover_phrase("Please call our support team on Monday.") is None
    True
    """
    lower = response.lower()
    for anchors, patterns in _compiled():
        if any(anchor in lower for anchor in anchors):
            for pattern in patterns:
                found = pattern.search(response)
                if found is not None:
                    return found.span()
    return None


@lru_cache(maxsize=1)
def _compiled() -> tuple[tuple[tuple[str, ...], tuple[re.Pattern[str], ...]], ...]:
    return tuple(
        (ANCHORS[language], tuple(re.compile(pattern, re.IGNORECASE) for pattern in patterns))
        for language, patterns in PATTERNS.items()
    )


def _stated(event: Event, name: str) -> Outcome:
    """Return the attribute as a value; CSV and headers carry true and false as words or figures."""
    said = event.attributes[name]
    word = f"{said:g}" if isinstance(said, float) else str(said).strip().lower()
    if word in _TRUE or word in _FALSE:
        return Scored(float(word in _TRUE), {"rule": "attribute"})
    return Failed(f"attributes.{name} is neither true nor false")
