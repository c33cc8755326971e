"""The reference of what is remembered of verdicts: plain Python, in memory; and what any log of them refuses."""

from __future__ import annotations

import hashlib
import threading
from collections.abc import Mapping, Sequence

import msgspec

from evalsvc.errors import InputError
from evalsvc.store.alert_values import check_limit, check_time
from evalsvc.types import utc
from evalsvc.verdicts import Verdict, VerdictQuery


class MemoryVerdictLog:
    """A :class:`~evalsvc.verdicts.VerdictLog` in this process's memory; nothing outlives it.

    >>> MemoryVerdictLog().verdicts(VerdictQuery(), 10)
    []
    """

    def __init__(self) -> None:
        """Begin empty."""
        self._lock = threading.Lock()
        self._verdicts: dict[str, Verdict] = {}
        self._records: dict[str, bytes] = {}

    def record_verdict(self, verdict: Verdict, records: Mapping[str, bytes]) -> None:
        """Remember a verdict and its records."""
        text = check_verdict(verdict, records)
        with self._lock:
            held = self._verdicts.get(verdict.verdict_id)
            if held is not None:
                check_same(verdict.verdict_id, verdict_text(held), text)
            self._records |= {digest: bytes(content) for digest, content in records.items()}
            self._verdicts[verdict.verdict_id] = read_text(text)

    def verdicts(self, query: VerdictQuery, limit: int) -> Sequence[Verdict]:
        """Return at most ``limit`` verdicts, the last decided first; of one time by id."""
        check_limit(limit)
        since, until = (None if bound is None else utc(bound) for bound in (query.since, query.until))
        with self._lock:
            held = sorted(self._verdicts.values(), key=lambda verdict: verdict.verdict_id)
        found = [
            verdict
            for verdict in held
            if (not query.suite or verdict.suite == query.suite)
            and (since is None or verdict.decided_at >= since)
            and (until is None or verdict.decided_at < until)
        ]
        return sorted(found, key=lambda verdict: verdict.decided_at, reverse=True)[:limit]

    def verdict(self, verdict_id: str) -> Verdict | None:
        """Return the verdict of an id; None where there is none."""
        with self._lock:
            return self._verdicts.get(verdict_id)

    def record(self, digest: str) -> bytes | None:
        """Return the record of a digest; None where there is none."""
        with self._lock:
            return self._records.get(digest)


def check_verdict(verdict: Verdict, records: Mapping[str, bytes]) -> str:
    """Return a verdict as JSON.

    Raises:
        InputError: it has no id, or no store can hold its time or its texts; or a record is not its digest's.
    """
    if not verdict.verdict_id:
        raise InputError("Expected a verdict with an id, but it is empty")
    check_time("decided_at", verdict.decided_at)
    for digest, content in records.items():
        check_record(digest, content)
    return verdict_text(verdict)


def check_record(digest: str, content: bytes) -> None:
    """Refuse a record that is not its digest's.

    Raises:
        InputError: its SHA-256 is another, or it is no UTF-8.
    """
    found = hashlib.sha256(content).hexdigest()
    if found != digest:
        raise InputError(f"Expected the record {digest[:12]}… to be of that digest, but it is of {found[:12]}…")
    try:
        content.decode()
    except UnicodeDecodeError as error:
        raise InputError(f"Expected the record {digest[:12]}… in UTF-8, but it is not") from error


def verdict_text(verdict: Verdict) -> str:
    """Return a verdict as JSON, equal ones the same.

    Raises:
        InputError: UTF-8 cannot hold one of its texts.
    """
    try:
        return msgspec.json.encode(verdict, order="deterministic").decode()
    except UnicodeEncodeError as error:
        raise InputError(
            f"Expected the verdict {verdict.verdict_id!r} to have texts that UTF-8 can hold, but one is cut"
        ) from error


def read_text(text: str) -> Verdict:
    """Return the verdict of a JSON text."""
    return msgspec.json.decode(text, type=Verdict)


def check_same(verdict_id: str, held: str, given: str) -> None:
    """Refuse another verdict under an id.

    Raises:
        InputError: what is held differs from what is given.
    """
    if held != given:
        raise InputError(
            f"Expected the verdict {verdict_id!r} as it was recorded, but got another one of this id; "
            "a verdict is never changed: run the gate again"
        )
