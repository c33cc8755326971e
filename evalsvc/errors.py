"""Every exception that evalsvc raises on purpose, drawn as one tree.

    EvalsvcError
    ├── ConfigError            an operator's file or an option is wrong (carries every problem found)
    ├── MissingExtra           an optional package is not installed (carries the exact pip line)
    ├── InputError             something handed to a public function is outside its contract
    │   ├── DecodeError        a message is not an event (carries a reason code, never the text)
    │   └── UnknownMetric      a metric that nothing in the store or the registry has
    ├── SourceError            events cannot be read
    │   ├── SourceUnavailable  ... now; trying again may help (broker down)
    │   └── TopicNotFound      ... until the operator creates or corrects the topic
    ├── StoreError             results cannot be written or read
    │   ├── StoreUnavailable   ... now; trying again may help (server down, disk full, time-out)
    │   ├── StoreBusy          the embedded folder belongs to another process (carries its address)
    │   └── SchemaError        the schema is newer than this release, or a migration was edited
    ├── EngineError            a model cannot be loaded or run
    │   ├── ModelRefused       a model without a pinned revision, or not in safetensors
    │   └── ModelUnavailable   ... now; what is answered so far is kept, trying again may help
    ├── NotifierError          on-call cannot be told
    │   ├── NotifierUnavailable ... now; trying again may help (carries when, where the receiver says so)
    │   └── NotifierRefused    ... of this message; the receiver takes no such
    └── TooManyDeadLetters     the share of undecodable messages passed the limit; the worker stops

Catch the root to show any of them as one line; none needs a traceback to be understood::

    try:
        estimates = evalsvc.open_store("...").estimates(query)
    except evalsvc.EvalsvcError as error:
        print(error)
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple


class EvalsvcError(Exception):
    """The root: what evalsvc raises on purpose, with a message that says what to do."""


class Problem(NamedTuple):
    """One mistake in an operator's file, with its place (1-based) and a hint."""

    path: str
    line: int
    column: int
    message: str
    hint: str = ""

    def __str__(self) -> str:
        """Return ``path:line:column: message (hint)``, as compilers print it."""
        place = f"{self.path}:{self.line}:{self.column}: {self.message}"
        return f"{place} ({self.hint})" if self.hint else place


class ConfigError(EvalsvcError):
    """An operator's file or an option is wrong; ``problems`` holds every mistake found, not the first."""

    def __init__(self, message: str, problems: Sequence[Problem] = ()) -> None:
        self.problems = tuple(problems)
        super().__init__("\n".join([message, *map(str, self.problems)]) if self.problems else message)


class MissingExtra(EvalsvcError):
    """An optional package is not installed; the message is the exact pip line that mends it."""

    def __init__(self, package: str, extra: str) -> None:
        self.package, self.extra = package, extra
        super().__init__(f"{package} is not installed; run: pip install 'evalsvc[{extra}]'")


class InputError(EvalsvcError, ValueError):
    """An argument is outside its contract."""


class DecodeError(InputError):
    """A message is not an event.

    ``reason`` is a short code from a closed list (``docs/reference/events.md``) that can be a metric label; the
    message names the field and what was expected, and never quotes the content, which may be personal data.
    """

    def __init__(self, reason: str, message: str) -> None:
        self.reason = reason
        super().__init__(message)


class UnknownMetric(InputError):
    """A metric that neither the store nor the registry of scorers has."""


class SourceError(EvalsvcError):
    """Events cannot be read."""


class SourceUnavailable(SourceError):
    """The source does not answer now; trying again may help."""


class TopicNotFound(SourceError):
    """The topic does not exist; nothing helps until the operator creates or corrects it."""


class StoreError(EvalsvcError):
    """Results cannot be written or read."""


class StoreUnavailable(StoreError):
    """The store does not answer now (down, disk full, time-out); the same write may be tried again."""


class StoreBusy(StoreError):
    """The embedded engine's folder belongs to another process; ``address`` is where it answers, if known."""

    def __init__(self, message: str, address: str | None = None) -> None:
        self.address = address
        super().__init__(message)


class SchemaError(StoreError):
    """The schema was written by a newer release, or an applied migration was edited."""


class EngineError(EvalsvcError):
    """A model cannot be loaded or run."""


class ModelRefused(EngineError):
    """A model without a pinned revision, or in a format that can run code when loaded."""


class ModelUnavailable(EngineError):
    """A model under test does not answer any request; the message says how many were answered before."""


class NotifierError(EvalsvcError):
    """On-call cannot be told; the message names no secret and quotes no text."""


class NotifierUnavailable(NotifierError):
    """The receiver does not answer now, or not as it promises; ``retry_after`` is in seconds, where it says so."""

    def __init__(self, message: str, retry_after: float | None = None) -> None:
        self.retry_after = retry_after
        super().__init__(message)


class NotifierRefused(NotifierError):
    """The receiver takes no such message: to send it again is useless."""


class TooManyDeadLetters(EvalsvcError):
    """The share of undecodable messages passed the limit: stop, rather than drain a topic after a bad deploy."""
