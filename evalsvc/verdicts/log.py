"""What is remembered of verdicts: each with the records that it was decided from, so that it can be decided again.

A record in a log holds scores, and no text of a case or an answer.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import NamedTuple, Protocol, runtime_checkable

from evalsvc.verdicts.values import Verdict


class VerdictQuery(NamedTuple):
    """Which verdicts: of one ``suite`` (empty: any), decided in [``since``, ``until``); ``None`` is no bound."""

    suite: str = ""
    since: datetime | None = None
    until: datetime | None = None


@runtime_checkable
class VerdictLog(Protocol):
    """Where verdicts are remembered. Safe to call from several threads.

    Every method may raise StoreUnavailable: trying again may then help, and does no harm.
    """

    def record_verdict(self, verdict: Verdict, records: Mapping[str, bytes]) -> None:
        """Make a verdict and its records durable before returning; written twice is written once.

        Records appear no later than their verdict. ``records`` maps the SHA-256 of each record's lines (UTF-8) to them.

        Raises:
            InputError: another verdict has this id, a record is not its digest's or no UTF-8, or ``decided_at`` has no
                zone or lies before 1970-01-02 or from 2100 on. Nothing is then written.
        """
        ...

    def verdicts(self, query: VerdictQuery, limit: int) -> Sequence[Verdict]:
        """Return at most ``limit`` verdicts, each once, the last decided first; of one time by id.

        Raises:
            InputError: ``limit`` is negative, or a bound has no zone.
        """
        ...

    def verdict(self, verdict_id: str) -> Verdict | None:
        """Return the verdict of an id; None where there is none."""
        ...

    def record(self, digest: str) -> bytes | None:
        """Return the record of a digest; None where there is none."""
        ...


@runtime_checkable
class RemembersVerdicts(Protocol):
    """A store that remembers verdicts."""

    @property
    def verdicts(self) -> VerdictLog:
        """What is remembered."""
        ...
