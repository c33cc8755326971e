"""Each check of the verdict log's contract fails on a log with the mistake that it is there for."""

from __future__ import annotations

import msgspec
import pytest

from evalsvc.errors import InputError
from evalsvc.store.verdicts_memory import MemoryVerdictLog, check_verdict
from evalsvc.testing import verdict_logs as contract
from evalsvc.testing.verdict_logs import VERDICT_CHECKS, check_verdict_log


class WholeSeconds(MemoryVerdictLog):
    """Holds times to the second."""

    def record_verdict(self, verdict, records):
        cut = verdict.decided_at.replace(microsecond=0)
        super().record_verdict(msgspec.structs.replace(verdict, decided_at=cut), records)


class OneLine(MemoryVerdictLog):
    """Gives a record back without its line ends."""

    def record(self, digest):
        found = super().record(digest)
        return found and found.strip()


class Prefixes(MemoryVerdictLog):
    """Takes the beginning of an id for the id."""

    def verdict(self, verdict_id):
        return next((held for name, held in self._verdicts.items() if name.startswith(verdict_id)), None)


class OnceOnly(MemoryVerdictLog):
    """Refuses what it has, though it is the same."""

    def record_verdict(self, verdict, records):
        if verdict.verdict_id in self._verdicts:
            raise InputError("twice")
        super().record_verdict(verdict, records)


class Replaces(MemoryVerdictLog):
    """Lets the last written stay."""

    def record_verdict(self, verdict, records):
        self._verdicts.pop(verdict.verdict_id, None)
        super().record_verdict(verdict, records)


class RecordsFirst(MemoryVerdictLog):
    """Keeps the records of a verdict that it refuses."""

    def record_verdict(self, verdict, records):
        check_verdict(verdict, records)
        self._records |= records
        super().record_verdict(verdict, records)


class OldestOfLimit(MemoryVerdictLog):
    """Cuts before it sorts."""

    def verdicts(self, query, limit):
        return super().verdicts(query, 1000)[-limit:] if limit > 0 else super().verdicts(query, limit)


class ClosedWindows(MemoryVerdictLog):
    """Counts the end of a time range in."""

    def verdicts(self, query, limit):
        until = query.until and query.until.replace(year=min(query.until.year, 9000)) + contract.MICROSECOND
        return super().verdicts(query._replace(until=until), limit)


class SuitesAlike(MemoryVerdictLog):
    """Forgets the suite that is asked for."""

    def verdicts(self, query, limit):
        return super().verdicts(query._replace(suite=""), limit)


class Trusting(MemoryVerdictLog):
    """Takes any record for that of its digest."""

    def record_verdict(self, verdict, records):
        super().record_verdict(verdict, {})
        self._records |= records


class VerdictFirst(MemoryVerdictLog):
    """Shows a verdict before its records."""

    def record_verdict(self, verdict, records):
        import time

        super().record_verdict(verdict, {})
        time.sleep(0.02)
        super().record_verdict(verdict, records)


PLANTED = {
    WholeSeconds: "comes_back_whole",
    OneLine: "comes_back_whole",
    Prefixes: "nothing_is_nothing",
    OnceOnly: "written_twice_is_once",
    Replaces: "another_of_an_id_is_refused",
    RecordsFirst: "another_of_an_id_is_refused",
    OldestOfLimit: "newest_first",
    ClosedWindows: "selected",
    SuitesAlike: "selected",
    Trusting: "wrong_arguments_are_refused",
    VerdictFirst: "threads",
}


@pytest.mark.parametrize(("planted", "check"), PLANTED.items(), ids=lambda one: getattr(one, "__name__", one))
def test_a_planted_mistake_is_found(planted, check):
    with pytest.raises((AssertionError, InputError)):
        getattr(contract, f"check_{check}")(planted())
    with pytest.raises((AssertionError, InputError)):
        check_verdict_log(planted)


def test_every_check_has_a_mistake():
    assert {f"check_{name}" for name in PLANTED.values()} == {check.__name__ for check in VERDICT_CHECKS}
