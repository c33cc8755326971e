"""The shapes of the native JSON format on the wire, with every limit that a decoder can check by itself.

``null`` stands for an absent optional field, since that is what most serialisers write. The published schema
(``schema/event-v1.schema.json``) states the same limits; ``test_decode_schema.py`` holds them together.
"""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Annotated, Any

import msgspec
from msgspec import Meta

from evalsvc.types import Finding

UNREADABLE_ROW = b"unreadable CSV row"
"""What stands for a row of a CSV file whose quotes do not pair."""

BEYOND_HEADER = "(cells beyond the header)"
"""The field of a CSV row that has more cells than the header: how many each has, as said to a person."""

OVERSIZED_ROW = b"oversized CSV row"
"""What stands for a row of a CSV file with too large a cell."""

MAX_EVENT_BYTES = 1 << 20
MAX_DATA_DEPTH = 64
EARLIEST = datetime(2000, 1, 1, tzinfo=UTC)
LATEST = datetime(2100, 1, 1, tzinfo=UTC)
EARLIEST_MS, LATEST_MS = (int(moment.timestamp() * 1000) for moment in (EARLIEST, LATEST))

NO_CONTROLS = r"^(?![\s\S]*[\x00-\x1f\x7f])"
"""A look-ahead, because ``[^...]*$`` lets a trailing newline pass."""

Moment = Annotated[datetime, Meta(tz=True)] | int
Amount = Annotated[float, Meta(ge=0)]
Count = Annotated[int, Meta(ge=0, le=2**31 - 1)]

# The head is read from every message: its texts have limits of length, no pattern, which costs 0.4 µs each.
HeadId = Annotated[str, Meta(min_length=1, max_length=512)]
HeadName = Annotated[str, Meta(min_length=1, max_length=256)]
HeadLabel = Annotated[str, Meta(max_length=256)]
HeadKey = Annotated[str, Meta(min_length=1, max_length=64)]
HeadSegments = Annotated[dict[HeadKey, HeadLabel], Meta(max_length=32)]

Id = Annotated[str, Meta(min_length=1, max_length=512, pattern=NO_CONTROLS)]
Name = Annotated[str, Meta(min_length=1, max_length=256, pattern=NO_CONTROLS)]
Label = Annotated[str, Meta(max_length=256, pattern=NO_CONTROLS)]
SegmentName = Annotated[str, Meta(min_length=1, max_length=64, pattern=NO_CONTROLS)]
AttributeName = Annotated[str, Meta(min_length=1, max_length=128, pattern=NO_CONTROLS)]
Scalar = str | int | float | bool | None

EXTRA_HEADER_FIELDS: dict[str, Any] = {
    "user_id": HeadId | None,
    "latency_ms": Amount | None,
    "time_to_first_token_ms": Amount | None,
    "input_tokens": Count | None,
    "output_tokens": Count | None,
    "cost_usd": Amount | None,
    "finish_reason": HeadLabel | None,
}


class Header(msgspec.Struct, gc=False):
    """The head of an event: what a sampling design may look at, without the texts.

    The extra fields that a skimmer was asked for (``latency_ms``, ``user_id`` …) are attributes too, ``None``
    where the event has none. ``occurred_at`` has a time zone, not necessarily UTC.
    """

    event_id: HeadId
    occurred_at: Annotated[datetime, Meta(tz=True)]
    application: HeadName
    kind: str = "interaction"
    model: str = ""
    model_version: str = ""
    segments: HeadSegments = {}
    session_id: HeadId | None = None


class Part(msgspec.Struct):
    """One part of a message's content, as chat APIs send it; what is not text is only named."""

    type: str
    text: str | None = None


class WireMessage(msgspec.Struct):
    """One turn of a chat; other keys that chat APIs have (``name``, ``tool_calls`` …) are not read."""

    role: Annotated[str, Meta(min_length=1, max_length=64, pattern=NO_CONTROLS)]
    content: str | list[Part] | None = None


class Wire(msgspec.Struct, forbid_unknown_fields=True, kw_only=True):
    """A whole event as it is sent; the names are those of :class:`evalsvc.types.Event`."""

    event_id: Id
    occurred_at: Moment
    application: Name
    format: str | None = None
    kind: str | None = None
    model: Label | None = None
    model_version: Label | None = None
    prompt: str | list[WireMessage] | None = None
    response: str | None = None
    contexts: list[str] | None = None
    reference: str | None = None
    segments: Annotated[dict[SegmentName, Label], Meta(max_length=32)] | None = None
    session_id: Id | None = None
    turn: Count | None = None
    user_id: Id | None = None
    latency_ms: Amount | None = None
    time_to_first_token_ms: Amount | None = None
    input_tokens: Count | None = None
    output_tokens: Count | None = None
    cost_usd: Amount | None = None
    finish_reason: Label | None = None
    trace_id: Id | None = None
    subject_id: Id | None = None
    data: dict[str, Any] | None = None
    attributes: Annotated[dict[AttributeName, Scalar], Meta(max_length=128)] | None = None
    findings: tuple[Finding, ...] | None = None
