"""What a receiver is told of a transition: one line, a few sentences, labels, three examples and two links."""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping, Sequence
from datetime import datetime
from typing import NamedTuple
from urllib.parse import quote

import msgspec

from evalsvc.rules.machine import Example, Transition, transition_id
from evalsvc.rules.wording import concerned

log = logging.getLogger("evalsvc.notify")

Texts = Callable[[Sequence[str]], Mapping[str, str]]
"""Event ids → their masked texts, of those that are still there."""

MAX_EXAMPLES = 3
MAX_TEXT = 300
MAX_TITLE = 200


class ShownExample(NamedTuple):
    """An event, its score, and its masked text, cut; empty where it could not be had."""

    event_id: str
    value: float
    text: str = ""


class Message(msgspec.Struct, frozen=True, kw_only=True):
    """A transition as people read it. ``link`` leads to the alert's page, and is empty where the page's address is."""

    transition: Transition
    link: str = ""
    examples: tuple[ShownExample, ...] = ()

    @property
    def id(self) -> str:
        """What makes this message the same as one sent before: the transition's id."""
        return self.transition.id

    @property
    def dedupe_key(self) -> str:
        """What its firing and its resolution have in common: the alert's fingerprint."""
        return self.transition.fingerprint

    @property
    def firing_id(self) -> str:
        """The id of the message that said that this episode fires."""
        return transition_id(self.transition.fingerprint, self.transition.episode, "firing")

    @property
    def resolved(self) -> bool:
        """Whether it says that the alert is over."""
        return self.transition.after == "resolved"

    @property
    def severity(self) -> str:
        """``page``, ``ticket`` or ``info``."""
        return self.transition.labels.get("severity", "page")

    @property
    def summary(self) -> str:
        """The rule's own one-line annotation, empty where it has none."""
        return one_line(self.transition.annotations.get("summary", ""))

    @property
    def notes(self) -> tuple[tuple[str, str], ...]:
        """The rule's other annotations, by name, without empty ones."""
        return tuple(
            (name, value) for name, value in self.transition.annotations.items() if value and name != "summary"
        )

    @property
    def title(self) -> str:
        """One line of at most :data:`MAX_TITLE` characters."""
        name = self.transition.labels.get("alertname", "") or self.transition.rule
        about = self.summary or concerned(self.transition.labels)
        state = "over" if self.resolved else self.severity
        return cut(one_line(f"[{state}] {name}{f': {about}' if about else ''}"), MAX_TITLE)

    @property
    def text(self) -> str:
        """The sentences about what moved."""
        told = self.transition
        return told.description or told.reason or self.summary or f"{told.rule} is {told.after}."

    @property
    def began(self) -> datetime:
        """When the alert was first bad."""
        return self.transition.episode


def message_of(told: Transition, page: str = "", texts: Texts | None = None) -> Message:
    """Return the message of a transition, as :func:`messages_of` does."""
    return messages_of([told], page, texts)[0]


def messages_of(told: Sequence[Transition], page: str = "", texts: Texts | None = None) -> list[Message]:
    """Return the messages of transitions. Where texts cannot be had, they go without them.

    Args:
        told: the transitions.
        page: the address of the page, as people open it; empty for no link.
        texts: gives examples' masked texts; asked once for all of them. None is kept: what is erased is told no more.
    """
    wanted = dict.fromkeys(example.event_id for one in told for example in _examples_of(one))
    found: Mapping[str, str] = {}
    if texts is not None and wanted:
        try:
            found = texts(list(wanted))
        # Whatever goes wrong with a text, on-call is told; the exception's message may quote one.
        except Exception as error:
            log.warning("examples of %s go without their texts (%s)", told[0].id, type(error).__name__)
    return [_message(one, page, found) for one in told]


def _message(told: Transition, page: str, texts: Mapping[str, str]) -> Message:
    link = f"{page.rstrip('/')}/alerts/{quote(told.fingerprint, safe='')}" if page else ""
    shown = (
        ShownExample(e.event_id, e.value, cut(one_line(texts.get(e.event_id, "")), MAX_TEXT))
        for e in _examples_of(told)
    )
    return Message(transition=told, link=link, examples=tuple(shown))


def _examples_of(told: Transition) -> Sequence[Example]:
    return told.examples[:MAX_EXAMPLES] if told.after != "resolved" else ()


def one_line(text: str) -> str:
    r"""Return the text with every run of blanks and control characters as one blank.

    >>> one_line("a\r\nBcc: b\x00c")
    'a Bcc: b c'
    """
    return " ".join("".join(sign if sign.isprintable() else " " for sign in text).split())


def cut(text: str, size: int) -> str:
    """Return at most ``size`` characters of a text; what is cut ends in an ellipsis.

    >>> cut("faithful", 5)
    'fait…'
    """
    return text if len(text) <= size else text[: size - 1] + "…"
