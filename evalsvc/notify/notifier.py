"""The contract of those who tell a receiver."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol, runtime_checkable

from evalsvc.notify.message import Message


@runtime_checkable
class Notifier(Protocol):
    """Tells one receiver. Called from one thread at a time; returns or raises within its time-out."""

    def send(self, message: Message) -> str:
        """Tell it, and return its answer in a few words for people, once it has taken the message.

        The same message may come again, after a crash; where the receiver can tell by its id, it is one.

        Raises:
            NotifierUnavailable: it does not answer now, or not as it promises.
            NotifierRefused: it takes no such message.
        """
        ...


@runtime_checkable
class Refreshing(Protocol):
    """A notifier whose receiver has to hear again and again of what fires, since it may lose what it knows."""

    def refresh(self, firing: Sequence[Message], resolved: Sequence[Message]) -> None:
        """Tell what fires now, and what has been resolved lately.

        Raises:
            NotifierUnavailable: it does not answer now, or not as it promises.
            NotifierRefused: it takes no such message.
        """
        ...
