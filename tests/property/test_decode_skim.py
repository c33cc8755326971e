"""What decode accepts, the skimmer accepts with equal facts; what encode writes, decode reads back."""

from __future__ import annotations

import base64
import json
from datetime import UTC, datetime, timedelta, timezone
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from evalsvc.errors import DecodeError, InputError
from evalsvc.sources.decode import REASONS, decode, encode, encode_masked, make_skimmer
from evalsvc.types import KINDS, Event, Finding, Message

EXTRAS = (
    "latency_ms",
    "time_to_first_token_ms",
    "input_tokens",
    "output_tokens",
    "cost_usd",
    "finish_reason",
    "user_id",
)
HEAD = ("event_id", "occurred_at", "application", "kind", "model", "model_version", "segments", "session_id")
SKIM = make_skimmer(frozenset(EXTRAS))

texts = st.text(st.characters(exclude_categories=["Cs"]), max_size=20)
labels = st.text(st.characters(min_codepoint=32, exclude_categories=["Cs", "Cc"]), min_size=1, max_size=20)
amounts = st.none() | st.floats(0, 1e12)
counts = st.none() | st.integers(0, 2**31 - 1)
moments = st.datetimes(datetime(2000, 1, 2), datetime(2099, 12, 30), timezones=st.just(UTC))
leaves = st.one_of(st.none(), st.booleans(), st.integers(), st.floats(allow_nan=False, allow_infinity=False), texts)
trees = st.recursive(leaves, lambda t: st.lists(t, max_size=3) | st.dictionaries(texts, t, max_size=3), max_leaves=6)
events = st.builds(
    Event,
    event_id=labels,
    occurred_at=moments,
    application=labels,
    kind=st.sampled_from(KINDS),
    model=labels | st.just(""),
    model_version=labels | st.just(""),
    prompt=st.one_of(texts, st.lists(st.builds(Message, labels, texts), max_size=3).map(tuple)),
    response=texts,
    contexts=st.lists(texts, max_size=3).map(tuple),
    reference=st.none() | texts,
    segments=st.dictionaries(labels, labels, max_size=4),
    session_id=st.none() | labels,
    turn=counts,
    user_id=st.none() | labels,
    latency_ms=amounts,
    time_to_first_token_ms=amounts,
    input_tokens=counts,
    output_tokens=counts,
    cost_usd=amounts,
    finish_reason=st.none() | labels,
    trace_id=st.none() | labels,
    subject_id=labels,
    data=st.dictionaries(texts, trees, min_size=1, max_size=3),
    attributes=st.dictionaries(labels, leaves, max_size=3),
)


@given(events)
def test_round_trip(event: Event) -> None:
    """Every event survives its own notation, and the notation is canonical."""
    assert decode(encode(event)) == event
    assert encode(decode(encode(event))) == encode(event)


@given(
    events,
    st.lists(st.builds(Finding, labels, labels, st.integers(0, 9), st.integers(10, 19), labels, labels), max_size=2),
)
def test_masked_round_trip_keeps_findings(event: Event, findings: list[Finding]) -> None:
    """The write-ahead log's notation keeps what masking found."""
    masked = Event(
        **{name: getattr(event, name) for name in event.__struct_fields__ if name != "findings"},
        findings=tuple(findings),
    )
    assert decode(encode_masked(masked)) == masked


@given(events)
def test_head_equals_event(event: Event) -> None:
    """The facts that sampling sees are those that are stored."""
    value = encode(event)
    head, whole = SKIM(value), decode(value)
    for name in (*HEAD, *EXTRAS):
        assert getattr(head, name) == getattr(whole, name)


@given(events, st.sampled_from(["data", "data_base64"]), st.sampled_from(["id", "time", "source", "type"]))
def test_envelope_fills_what_data_leaves_out(event: Event, member: str, left_out: str) -> None:
    """A CloudEvent around an event is that event, also where the envelope alone knows a fact."""
    native: dict[str, Any] = json.loads(encode(event))
    names = {"id": "event_id", "time": "occurred_at", "source": "application", "type": "kind"}
    kind = native.setdefault("kind", "interaction")
    filled = native.pop(names[left_out])
    envelope: dict[str, Any] = {
        "specversion": "1.0",
        "id": "other",
        "time": "2001-01-01T00:00:00Z",
        "source": "/other",
        "type": "com.example.review",
    }
    envelope[left_out] = f"com.example.{kind}.v1" if left_out == "type" else filled
    envelope[member] = base64.b64encode(json.dumps(native).encode()).decode() if member == "data_base64" else native
    value = json.dumps(envelope).encode()
    assert decode(value) == event
    for name in (*HEAD, *EXTRAS):
        assert getattr(SKIM(value), name) == getattr(event, name)


@settings(max_examples=150, deadline=None)
@given(events, st.data())
def test_damaged_bytes_are_refused_with_a_reason_or_read_alike(event: Event, data: st.DataObject) -> None:
    """Whatever happens to the bytes, only a DecodeError comes out, and the two readers agree on facts."""
    value = bytearray(encode(event))
    for _ in range(data.draw(st.integers(1, 3))):
        place = data.draw(st.integers(0, len(value) - 1))
        match data.draw(st.sampled_from(["flip", "cut", "insert"])):
            case "flip":
                value[place] = data.draw(st.integers(0, 255))
            case "cut":
                del value[place : place + data.draw(st.integers(1, 9))]
            case _:
                value[place:place] = data.draw(st.binary(max_size=4))
        value = value or bytearray(b"{")
    refused = ""
    try:
        whole = decode(bytes(value))
    except DecodeError as error:
        refused = error.reason
    if refused:
        assert refused in REASONS
        return
    for name in (*HEAD, *EXTRAS):
        assert getattr(SKIM(bytes(value)), name) == getattr(whole, name)


@given(
    st.binary(max_size=60) | st.sampled_from([b"[" * 100_000, b'{"a":' * 100_000, b'{"event_id":' + b"9" * 5000 + b"}"])
)
def test_any_bytes_give_a_reason(value: bytes) -> None:
    """Nothing but a DecodeError, from both readers."""
    for read in (SKIM, decode):
        with pytest.raises(DecodeError) as caught:
            read(value)
        assert caught.value.reason in REASONS


@given(moments, st.integers(-23 * 60, 23 * 60))
def test_a_time_is_an_instant(moment: datetime, minutes: int) -> None:
    """The zone that a time is written in changes nothing."""
    elsewhere = moment.astimezone(timezone(timedelta(minutes=minutes)))
    value = json.dumps({"event_id": "a", "application": "b", "occurred_at": elsewhere.isoformat()}).encode()
    assert decode(value).occurred_at == moment == SKIM(value).occurred_at
    assert decode(value).occurred_at.tzinfo is UTC


@given(st.sampled_from(["latency_ms", "cost_usd"]), st.sampled_from([float("nan"), float("inf"), float("-inf")]))
def test_encode_refuses_what_is_not_finite(field: str, number: float) -> None:
    """Not finite would be written as null, which means absent."""
    fields: dict[str, Any] = {field: number}
    with pytest.raises(InputError, match="finite"):
        encode(Event(event_id="a", occurred_at=datetime(2026, 1, 1, tzinfo=UTC), application="b", **fields))
