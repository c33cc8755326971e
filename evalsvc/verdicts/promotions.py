"""What is remembered of baselines: who promoted what under which name, when and why; nothing is ever replaced.

The record of a baseline in a log holds scores, and no text of a case or an answer.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Any, Protocol, runtime_checkable

import msgspec


class Promoted(msgspec.Struct, frozen=True, kw_only=True):
    """What was promoted, by whom, when and why: the same in a file beside a suite and in a log.

    Attributes:
        digest: SHA-256 of its answers and scores, as the file in git pins it.
        stored: SHA-256 of the same without texts, as a store holds it; empty in a file of before that.
        promoted_at: when.
        promoted_by: who said so.
        because: why.
        model: what was promoted; empty for estimates of production.
        model_version: which version of it.
        cases_digest: version of the set of cases.
        verdict: id of the run that was promoted; empty where there was none.
        decision: of that run.
    """

    digest: str
    promoted_at: datetime
    promoted_by: str
    because: str
    stored: str = ""
    model: str = ""
    model_version: str = ""
    cases_digest: str = ""
    verdict: str = ""
    decision: str = ""

    @property
    def facts(self) -> dict[str, Any]:
        """All of these by their names, without what a file or a log says beside them."""
        return {name: getattr(self, name) for name in Promoted.__struct_fields__}


class Promotion(Promoted, frozen=True, kw_only=True):
    """One promotion of a version to a suite's baseline; the last one of a name is the current one.

    Attributes:
        suite: whose baseline.
        name: of the baseline.
    """

    suite: str
    name: str
    stored: str


@runtime_checkable
class BaselineLog(Protocol):
    """Where promotions are remembered. Safe to call from several threads.

    Every method may raise StoreUnavailable: trying again may then help, and does no harm.
    """

    def record_promotion(self, promotion: Promotion, record: bytes) -> None:
        """Make a promotion and its record durable before returning; written twice is written once.

        Of one suite, name, time and digest the first written stays. ``record`` are the lines (UTF-8) of ``stored``.

        Raises:
            InputError: suite or name is empty, the record is not that of ``stored`` or no UTF-8, a text is cut, or
                ``promoted_at`` has no zone or lies before 1970-01-02 or from 2100 on. Nothing is then written.
        """
        ...

    def promotions(self, suite: str, name: str = "", *, limit: int = 100) -> Sequence[Promotion]:
        """Return at most ``limit`` promotions of a suite, of one name or of all, the last promoted first.

        Of those of one time the one written last comes first.

        Raises:
            InputError: ``limit`` is negative.
        """
        ...

    def baseline_record(self, stored: str) -> bytes | None:
        """Return the record of a digest, whatever name it was promoted under; None where there is none."""
        ...


@runtime_checkable
class RemembersBaselines(Protocol):
    """A store that remembers promotions."""

    @property
    def baselines(self) -> BaselineLog:
        """What is remembered."""
        ...
