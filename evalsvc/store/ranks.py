"""Which of two versions of a row stays, in whatever order they arrive: the database's own integers.

They are DEFAULT expressions of the ``rank`` columns (``migrations/0001_initial.sql``), and the row with the
greatest stays; the in-memory store computes them here. A contract test holds the two together.
"""

from __future__ import annotations

import hashlib
import struct
import zlib
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta

import msgspec

from evalsvc.errors import InputError
from evalsvc.types import Score, Status

EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
STATUS_RANK: Mapping[Status, int] = {"failed": 0, "abstained": 1, "ok": 2}

_LARGEST_OFFSET = (1 << 40) - 1
_MICROSECOND = timedelta(microseconds=1)


def microseconds(moment: datetime) -> int:
    """Return microseconds since the epoch, exactly.

    >>> microseconds(datetime(1970, 1, 1, 0, 0, 1, tzinfo=UTC))
    1000000
    """
    return (moment - EPOCH) // _MICROSECOND


def moment(micros: int) -> datetime:
    """Return the moment of microseconds since the epoch, in UTC.

    >>> moment(1_000_000).isoformat()
    '1970-01-01T00:00:01+00:00'
    """
    return EPOCH + timedelta(microseconds=micros)


def clean(text: str) -> str:
    """Return the text as UTF-8 can hold it: a lone surrogate becomes ``?``."""
    return text.encode("utf-8", "replace").decode("utf-8")


def segments_text(segments: Mapping[str, str]) -> str:
    """Return segments as canonical JSON, sorted by name, so that equal segments are equal texts.

    >>> segments_text({"tier": "pro", "language": "de"})
    '{"language":"de","tier":"pro"}'
    """
    if not segments:
        return "{}"
    try:
        return msgspec.json.encode(dict(sorted(segments.items()))).decode()
    except UnicodeEncodeError:
        return segments_text({clean(name): clean(value) for name, value in segments.items()})


def score_rank(score: Score) -> int:
    """Return a 64-bit rank: ok beats abstained beats failed, then a digest of all that may differ."""
    subject = score.subject
    parts = (
        str(_bits(score.value or 0.0)),
        score.reason,
        score.detail,
        str(_bits(score.pi)),
        str(subject.design_version),
        subject.stratum,
        subject.model,
        subject.model_version,
        segments_text(subject.segments),
        subject.session_id,
        str(microseconds(subject.occurred_at)),
    )
    digest = hashlib.md5("\0".join(parts).encode("utf-8", "replace"), usedforsecurity=False).digest()
    return STATUS_RANK[score.status] << 62 | int.from_bytes(digest[:8], "little") >> 2


def event_rank(partition: str, offset: int) -> int:
    """Return a 64-bit rank: of two records under one event id the lower offset stays."""
    place = _LARGEST_OFFSET - min(max(offset, 0), _LARGEST_OFFSET)
    return place << 24 | zlib.crc32(partition.encode("utf-8", "replace")) & 0xFFFFFF


def design_conflict(consumer: str, version: int) -> InputError:
    """Return the error for a design version that is recorded with other content."""
    return InputError(
        f"Expected version {version} of consumer {consumer!r}'s sampling design to be the recorded one, "
        "but it differs; a changed design needs a new version: stored π refers to the recorded one"
    )


def _bits(value: float) -> int:
    return int(struct.unpack("<Q", struct.pack("<d", value))[0])
