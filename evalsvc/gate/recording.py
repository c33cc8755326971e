"""Verdicts in a store: what is written of a run, without a text of a case or an answer, and how it is decided again."""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

import msgspec

from evalsvc.errors import ConfigError
from evalsvc.gate.keeping import Again, decide_again
from evalsvc.gate.record import digest_of_record, without_texts
from evalsvc.verdicts import Party, Verdict, VerdictLog


class ForStore(NamedTuple):
    """A verdict whose parties name what a store holds of them, and that by its digests."""

    verdict: Verdict
    records: Mapping[str, bytes]


def for_store(verdict: Verdict, candidate: bytes, baseline: bytes | None) -> ForStore:
    """Return what a store gets of a run, from the verdict and the records that it was decided from.

    Raises:
        ConfigError: when a record is none.
    """
    new, records = _stored(verdict.candidate, candidate)
    old = verdict.baseline
    if old is not None and baseline is not None:
        old, more = _stored(old, baseline)
        records |= more
    return ForStore(msgspec.structs.replace(verdict, candidate=new, baseline=old), records)


def _stored(party: Party, content: bytes) -> tuple[Party, dict[str, bytes]]:
    kept = without_texts(content)
    digest = digest_of_record(kept)
    return msgspec.structs.replace(party, stored=digest), {digest: kept}


def again_from(log: VerdictLog, verdict: Verdict) -> Again:
    """Decide a verdict again from the records in a log.

    Raises:
        ConfigError: when a record is not there, or is not what was written.
    """
    old = verdict.baseline
    return decide_again(verdict, _record(log, verdict.candidate.stored), _record(log, old.stored) if old else None)


def _record(log: VerdictLog, digest: str) -> bytes:
    content = log.record(digest)
    if content is None:
        raise ConfigError(f"Expected the record {digest[:12]}… in the store, but it is not there: its time was over")
    if digest_of_record(content) != digest:
        raise ConfigError(f"Expected the record {digest[:12]}… to be as it was written, but it was changed")
    return content
