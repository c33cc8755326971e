"""Messages into events: the native JSON format v1, and CloudEvents 1.0 around it.

Two readers of one format. A *skimmer* reads the head of every message in about two microseconds, all that
sampling needs; :func:`decode` reads the few that were selected, whole and strictly. What :func:`decode`
accepts, the skimmer accepts with equal facts. Fields, limits and reasons of refusal are in
``docs/reference/events.md``.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable
from datetime import datetime, timedelta
from functools import lru_cache
from typing import Any, NamedTuple, Protocol, cast

import msgspec

from evalsvc.errors import InputError
from evalsvc.sources._cloudevents import is_envelope, open_envelope
from evalsvc.sources._reasons import REASONS, Reason, explain, refuse
from evalsvc.sources._wire import (
    EARLIEST,
    EARLIEST_MS,
    EXTRA_HEADER_FIELDS,
    LATEST,
    LATEST_MS,
    MAX_DATA_DEPTH,
    MAX_EVENT_BYTES,
    Header,
    HeadLabel,
    HeadSegments,
    Moment,
    Part,
    Wire,
    WireMessage,
)
from evalsvc.types import KINDS, Event, Kind, Message, utc

__all__ = [
    "FORMAT",
    "MASKED_FORMAT",
    "MAX_EVENT_BYTES",
    "MAX_MASKED_BYTES",
    "REASONS",
    "Header",
    "Limits",
    "Reason",
    "TimeBounds",
    "decode",
    "encode",
    "encode_masked",
    "json_schema",
    "make_skimmer",
    "skim",
]

FORMAT = "evalsvc/1"
MASKED_FORMAT = "evalsvc/1+masked"
MAX_MASKED_BYTES = 4 * MAX_EVENT_BYTES
"""Masking may lengthen a text, and its findings are written beside it."""

_KINDS = frozenset(KINDS)
_UNREADABLE = (msgspec.MsgspecError, UnicodeDecodeError, RecursionError)
_PLACEHOLDERS = {
    "image": "[image]",
    "image_url": "[image]",
    "input_image": "[image]",
    "audio": "[audio]",
    "input_audio": "[audio]",
    "file": "[file]",
    "input_file": "[file]",
    "video": "[video]",
    "video_url": "[video]",
}
_TEXT_PARTS = frozenset({"text", "input_text", "output_text"})


class TimeBounds(Protocol):
    """How far an event's time may lie from the receipt of its record."""

    @property
    def future_seconds(self) -> int: ...  # noqa: D102
    @property
    def age_days(self) -> int | None: ...  # noqa: D102


class Limits(NamedTuple):
    """The default bounds: ten minutes ahead of the receipt, 400 days behind it; ``None`` days is any age."""

    future_seconds: int = 600
    age_days: int | None = 400


DEFAULT_LIMITS = Limits()
_decode_wire = msgspec.json.Decoder(Wire).decode


def decode(value: bytes, received_at: datetime | None = None, limits: TimeBounds = DEFAULT_LIMITS) -> Event:
    """Return the event that a message is, whole and strictly checked; its time is in UTC.

    Args:
        value: one event in the native format, or a CloudEvents 1.0 envelope around one; at most 1 MiB.
        received_at: when the record was received; without it only the years 2000 to 2099 are demanded.
        limits: how far the event's time may lie from that.

    Raises:
        DecodeError: with a ``reason`` of :data:`REASONS`; the message names place and types, never content.

    >>> event = decode(b'{"event_id": "a", "occurred_at": "2026-01-31T10:30:00+01:00", "application": "b"}')
    >>> event.occurred_at.isoformat(), event.kind
    ('2026-01-31T09:30:00+00:00', 'interaction')
    """
    wire = _wire(value)
    event = _event(wire)
    if received_at is not None:
        _check_time(event.occurred_at, received_at, limits)
    return event


def encode(event: Event) -> bytes:
    """Return the event in the native format: fields in a fixed order, defaults left out, keys sorted.

    ``decode(encode(event))`` equals the event, without its findings: those are ours, not the sender's.

    Raises:
        InputError: when a number is not finite.
    """
    return _encode(event, FORMAT, ())


def encode_masked(event: Event) -> bytes:
    """Return a masked event with its findings, as a write-ahead log keeps it; :func:`decode` reads it."""
    return _encode(event, MASKED_FORMAT, event.findings)


def json_schema() -> dict[str, Any]:
    """Return the published JSON Schema (draft 2020-12) of the native format.

    It says what :func:`decode` enforces, except what a schema cannot say: the size in bytes, the nesting of
    ``data``, the distance to the receipt, and that a whole number is written without a point.
    """
    from importlib import resources

    text = resources.files("evalsvc.sources").joinpath("schema/event-v1.schema.json").read_bytes()
    return cast("dict[str, Any]", msgspec.json.decode(text))


def skim(value: bytes, fields: Iterable[str] = ()) -> Header:
    """Return the head of one message; see :func:`make_skimmer`, which is what to use for many."""
    return make_skimmer(frozenset(fields))(value)


@lru_cache(maxsize=64)
def make_skimmer(fields: frozenset[str]) -> Callable[[bytes], Header]:
    """Return a function that reads the head of a message, 1.3 kB in about 2 µs (``benchmarks/decode.py``).

    The function checks what it reads (types, lengths, the kind, the years 2000 to 2099) and that the message
    is JSON of at most 1 MiB. It does not look into the rest, nor for control characters: :func:`decode` does,
    when the event is selected. It raises ``DecodeError`` with the same reasons.

    Args:
        fields: which fields a sampling design refers to. Those that every head has (``application``,
            ``model``, ``segments.plan`` …) may be among them; extra are ``latency_ms``,
            ``time_to_first_token_ms``, ``input_tokens``, ``output_tokens``, ``cost_usd``, ``finish_reason``
            and ``user_id``.

    Raises:
        InputError: on a field that a head cannot have.

    >>> skimmer = make_skimmer(frozenset({"latency_ms", "segments.plan"}))
    >>> head = skimmer(b'{"event_id": "a", "occurred_at": 1767225600000, "application": "b","latency_ms":9}')
    >>> head.occurred_at.year, head.latency_ms
    (2026, 9.0)
    """
    named = {name for name in fields if not name.startswith("segments.")} - set(Header.__struct_fields__)
    if unknown := named - EXTRA_HEADER_FIELDS.keys():
        raise InputError(f"Expected fields of a head ({', '.join(EXTRA_HEADER_FIELDS)}, …), but got {sorted(unknown)}")
    read: Callable[[bytes], Any] = msgspec.json.Decoder(_header_type(named)).decode
    plain, earliest, latest, largest = datetime, EARLIEST, LATEST, MAX_EVENT_BYTES

    def skimmer(value: bytes) -> Header:
        try:
            header: Any = read(value)
        except _UNREADABLE as error:
            header = _skim_slowly(value, error, read)
        if len(value) > largest:
            _check_size(value)
        moment = header.occurred_at
        if moment.__class__ is not plain or not earliest <= moment < latest:
            header.occurred_at = _moment(moment)
        if header.model is None or header.model_version is None or header.segments is None or header.kind is None:
            _fill_nulls(header)
        return header  # type: ignore[no-any-return]

    return skimmer


def _header_type(extras: Iterable[str]) -> type[Header]:
    """Build the struct that reads the head and these extras, with null and epoch milliseconds as well."""
    lenient: list[tuple[str, Any] | tuple[str, Any, Any]] = [
        ("occurred_at", Moment),
        ("kind", Kind | None, "interaction"),
        ("model", HeadLabel | None, ""),
        ("model_version", HeadLabel | None, ""),
        ("segments", HeadSegments | None, msgspec.field(default_factory=dict)),
        *((name, EXTRA_HEADER_FIELDS[name], None) for name in sorted(extras)),
    ]
    # A head holds no cycles, so the collector need not look at one for every message.
    return cast("type[Header]", msgspec.defstruct("Header", lenient, bases=(Header,), kw_only=True, gc=False))


def _skim_slowly(value: bytes, error: Exception, read: Callable[[bytes], Header]) -> Header:
    _check_size(value)
    if not is_envelope(value):
        raise explain(value, error) from None
    native = open_envelope(value)
    try:
        return read(native)
    except _UNREADABLE as inner:
        raise explain(native, inner, "$.data") from None


def _fill_nulls(header: Header) -> None:
    header.kind = header.kind or "interaction"
    header.model, header.model_version = header.model or "", header.model_version or ""
    header.segments = header.segments or {}


def _wire(value: bytes) -> Wire:
    if len(value) > MAX_EVENT_BYTES:
        _check_size(value)
    try:
        return _decode_wire(value)
    except _UNREADABLE as error:
        if not is_envelope(value):
            raise explain(value, error) from None
    native = open_envelope(value)
    try:
        return _decode_wire(native)
    except _UNREADABLE as inner:
        raise explain(native, inner, "$.data") from None


def _check_size(value: bytes) -> None:
    # What we masked ourselves may be longer than what we accept.
    allowed = MAX_MASKED_BYTES if value.startswith(b'{"format":"evalsvc/1+masked"') else MAX_EVENT_BYTES
    if len(value) > allowed:
        refuse("too_large", f"Expected at most {allowed} bytes an event, but got {len(value)}; shorten it")


def _kind(kind: str | None) -> Kind:
    if kind is None:
        return "interaction"
    if kind not in _KINDS:
        refuse("unknown_kind", f"Expected `$.kind` to be one of {', '.join(KINDS)}, but got another text")
    return kind


def _moment(moment: datetime | int) -> datetime:
    """Return a moment of the years 2000 to 2099 in UTC; milliseconds are exact."""
    early = moment < EARLIEST_MS if isinstance(moment, int) else moment < EARLIEST
    late = moment >= LATEST_MS if isinstance(moment, int) else moment >= LATEST
    if early:
        refuse(
            "ancient_time",
            "Expected `$.occurred_at` in 2000 or later; numbers count milliseconds, not seconds",
        )
    if late:
        refuse(
            "future_time",
            "Expected `$.occurred_at` before 2100; numbers count milliseconds, not microseconds",
        )
    if isinstance(moment, int):
        return EARLIEST + timedelta(milliseconds=moment - EARLIEST_MS)
    return utc(moment)


def _check_time(occurred_at: datetime, received_at: datetime, limits: TimeBounds) -> None:
    ahead = (occurred_at - received_at).total_seconds()
    if ahead > limits.future_seconds:
        seconds = limits.future_seconds
        refuse("future_time", f"Expected `$.occurred_at` at most {seconds} s after receipt; check the clocks")
    if limits.age_days is not None and -ahead > limits.age_days * 86_400:
        refuse("ancient_time", f"Expected `$.occurred_at` at most {limits.age_days} days before receipt")


def _event(wire: Wire) -> Event:
    if wire.format not in (None, FORMAT, MASKED_FORMAT):
        refuse("unknown_format", f"Expected `$.format` to be `{FORMAT}` or absent, but got another text")
    if wire.findings is not None and wire.format != MASKED_FORMAT:
        refuse("unknown_field", "Expected only known fields at `$`, but got `findings`, which evalsvc writes")
    kind = _kind(wire.kind)
    if kind != "interaction":
        for name in ("subject_id", "data"):
            if not getattr(wire, name):
                refuse("missing_field", f"Expected `$.{name}` in an event of kind {kind}, but got none")
    if wire.data:
        _check_depth(wire.data)
    named = {name: found for name in _COPIED if (found := getattr(wire, name)) is not None}
    return Event(
        kind=kind,
        occurred_at=_moment(wire.occurred_at),
        prompt=_prompt(wire.prompt),
        contexts=tuple(wire.contexts or ()),
        findings=wire.findings or (),
        **named,
    )


_COPIED = tuple(
    name for name in Event.__struct_fields__ if name not in {"kind", "occurred_at", "prompt", "contexts", "findings"}
)


def _prompt(prompt: str | list[WireMessage] | None) -> str | tuple[Message, ...]:
    if prompt is None or isinstance(prompt, str):
        return prompt or ""
    return tuple(Message(message.role, _content(message.content)) for message in prompt)


def _content(content: str | list[Part] | None) -> str:
    if content is None or isinstance(content, str):
        return content or ""
    return "\n".join(_part(part) for part in content)


def _part(part: Part) -> str:
    return part.text or "" if part.type in _TEXT_PARTS else _PLACEHOLDERS.get(part.type, "[other]")


def _check_depth(data: object) -> None:
    """Refuse deep nesting by a fixed number; the interpreter's own limit depends on who calls."""
    level: list[object] = [data]
    for _ in range(MAX_DATA_DEPTH):
        level = [child for parent in level if isinstance(parent, dict | list) for child in _children(parent)]
        if not level:
            return
    refuse("too_deep", f"Expected at most {MAX_DATA_DEPTH} levels of nesting at `$.data`, but got more")


def _children(parent: dict[str, object] | list[object]) -> Iterable[object]:
    return parent.values() if isinstance(parent, dict) else parent


def _encode(event: Event, name: str, findings: tuple[Any, ...]) -> bytes:
    _check_finite(event)
    plain = msgspec.structs.replace(event, occurred_at=utc(event.occurred_at), findings=findings)
    body = msgspec.json.encode(plain, order="deterministic")
    return b'{"format":"' + name.encode() + b'",' + body[1:]


def _check_finite(event: Event) -> None:
    """Refuse NaN and infinity, which the encoder would write as null: an absent value."""
    level: list[object] = [event.latency_ms, event.time_to_first_token_ms, event.cost_usd]
    level += [event.attributes, event.data]
    while level:
        if any(isinstance(value, float) and not math.isfinite(value) for value in level):
            raise InputError(f"Expected finite numbers in event {event.event_id!r}, but got NaN or infinity")
        level = [child for parent in level if isinstance(parent, dict | list) for child in _children(parent)]
