"""Each reason of refusal, what its message says and what it must not say, and the documented mappings."""

from __future__ import annotations

import json
import re
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from evalsvc.errors import DecodeError, InputError
from evalsvc.sources.decode import (
    MAX_EVENT_BYTES,
    REASONS,
    Limits,
    decode,
    encode,
    encode_masked,
    json_schema,
    make_skimmer,
    skim,
)
from evalsvc.types import Event, Finding, Message

MINIMAL: dict[str, Any] = {"event_id": "a", "occurred_at": "2026-01-31T09:30:00Z", "application": "support"}
SECRET = "jane.doe@example.com"
DOCS = Path(__file__).parents[2] / "docs" / "reference" / "events.md"


def message(**fields: object) -> bytes:
    """Return the minimal event with these fields; a field that is ``...`` is left out."""
    return json.dumps({name: found for name, found in {**MINIMAL, **fields}.items() if found is not ...}).encode()


def envelope(**fields: object) -> bytes:
    """Return a CloudEvent around a response."""
    base = {"specversion": "1.0", "id": "e1", "source": "/shop/assistant", "type": "com.example.interaction"}
    base |= {"time": "2026-01-31T09:30:00Z", "data": {"response": "hi"}}  # type: ignore[dict-item]
    return json.dumps({name: found for name, found in {**base, **fields}.items() if found is not ...}).encode()


REFUSED: list[tuple[str, bytes, str]] = [
    ("empty_message", b"", "empty"),
    ("empty_message", b" \n", "empty"),
    ("too_large", message(response="x" * MAX_EVENT_BYTES), "1048576"),
    ("too_deep", b'{"data":{"a":' + b"[" * 100_000, "nesting"),
    ("too_deep", message(data=json.loads('{"a":' * 65 + "1" + "}" * 65)), "`$.data`"),
    ("not_json", message()[:-1], "truncated"),
    ("not_json", b"\xef\xbb\xbf" + message(), "byte order mark"),
    ("not_json", message() + b"{}", "trailing"),
    ("invalid_unicode", message(response="?").replace(b"?", b"\xff"), "UTF-8"),
    ("invalid_unicode", message(response="\ud800"), "surrogate"),
    ("not_finite", message(latency_ms=float("nan")), "NaN"),
    ("not_finite", message(latency_ms=float("-inf")), "-Infinity"),
    ("not_finite", message(latency_ms="?").replace(b'"?"', b"1e999"), "`$.latency_ms`"),
    ("not_an_object", b"[]", "array"),
    ("unknown_format", message(format="evalsvc/2"), "evalsvc/1"),
    ("unknown_kind", message(kind=SECRET), "feedback"),
    ("unknown_field", message(respones="x"), "did you mean `response`?"),
    ("unknown_field", message(prompt_tokens=3), "did you mean `input_tokens`?"),
    ("unknown_field", message(colour="red"), "under `attributes`"),
    ("unknown_field", message(**{SECRET: 1}), "another key"),
    ("unknown_field", message(findings=[]), "`findings`"),
    ("missing_field", message(application=...), "`application`"),
    ("missing_field", message(kind="feedback", data={"thumbs": "up"}), "`$.subject_id`"),
    ("missing_field", message(kind="review", subject_id="a", data={}), "`$.data`"),
    ("wrong_type", message(response=5), "Expected a string or null at `$.response`, but got a number"),
    ("wrong_type", message(event_id=None), "Expected a string at `$.event_id`, but got null"),
    ("wrong_type", message(attributes=[]), "Expected an object or null at `$.attributes`, but got an array"),
    ("wrong_type", message(latency_ms=True), "Expected a number or null at `$.latency_ms`, but got true or false"),
    ("out_of_range", message(input_tokens=-1), "Expected a whole number >= 0 at `$.input_tokens`"),
    ("wrong_type", message(segments={SECRET: 5}), "values are strings"),
    ("wrong_type", message(input_tokens=3.5), "a whole number or null at `$.input_tokens`, but got a number with a f"),
    ("wrong_type", message(contexts=SECRET), "a list of strings"),
    ("wrong_type", message(prompt=[{"role": "user", "content": 5}]), "`$.prompt[0].content`"),
    ("wrong_type", message(attributes={"a": {"b": SECRET}}), "`data`"),
    ("out_of_range", message(event_id=""), "length >= 1"),
    ("out_of_range", message(event_id="a" * 513), "length <= 512"),
    ("out_of_range", message(application=SECRET + "\n"), "control characters"),
    ("out_of_range", message(latency_ms=-1), ">= 0"),
    ("out_of_range", message(segments={f"k{i}": "" for i in range(33)}), "length <= 32"),
    ("bad_time", message(occurred_at="yesterday, " + SECRET), "RFC 3339"),
    ("bad_time", message(occurred_at="2026-01-31T09:30:00"), "zone"),
    ("future_time", message(occurred_at="2026-02-01T00:10:01Z"), "600 s"),
    ("future_time", message(occurred_at=1_769_800_000_000_000), "milliseconds"),
    ("ancient_time", message(occurred_at="2024-01-01T00:00:00Z"), "400 days"),
    ("ancient_time", message(occurred_at=1_769_800_000), "not seconds"),
    ("bad_envelope", envelope(specversion="0.3"), "1.0"),
    ("bad_envelope", envelope(id=5), "`id`"),
    ("bad_envelope", envelope(data=[SECRET]), "`$.data`"),
    ("bad_envelope", envelope(data=...), "exactly one"),
    ("bad_envelope", envelope(data_base64="e30="), "exactly one"),
    ("bad_envelope", envelope(data=..., data_base64="%"), "base64"),
    ("bad_envelope", envelope(datacontenttype="text/plain"), "application/json"),
    ("unknown_kind", envelope(type="com.example.click"), "`$.type`"),
    ("wrong_type", envelope(data={"response": 5}), "`$.data.response`"),
]
RECEIVED = datetime(2026, 2, 1, tzinfo=UTC)


@pytest.mark.parametrize(("reason", "value", "says"), REFUSED, ids=[f"{i}-{row[0]}" for i, row in enumerate(REFUSED)])
def test_refusals(reason: str, value: bytes, says: str) -> None:
    """The reason is the documented one; the message helps, and quotes nothing."""
    with pytest.raises(DecodeError) as caught:
        decode(value, RECEIVED)
    assert caught.value.reason == reason
    assert says in str(caught.value)
    assert SECRET not in str(caught.value)


def test_every_reason_is_tried_and_documented() -> None:
    """The closed list, this table of tests and the page agree."""
    assert {reason for reason, _, _ in REFUSED} == set(REASONS)
    section = DOCS.read_text(encoding="utf-8").partition("## Reasons")[2].partition("\n## ")[0]
    assert tuple(re.findall(r"^\| `(\w+)` \|", section, re.MULTILINE)) == REASONS


def test_documented_fields_are_those_of_event() -> None:
    """The page's table, the schema and the type have the same fields in the same order."""
    section = DOCS.read_text(encoding="utf-8").partition("## Fields")[2].partition("\n## ")[0]
    fields = [name for name in Event.__struct_fields__ if name != "findings"]
    assert re.findall(r"^\| `(\w+)` \|", section, re.MULTILINE) == fields
    assert list(json_schema()["properties"]) == ["format", *fields]


def test_documented_examples_are_events() -> None:
    """Every JSON block of the page can be sent as it is printed."""
    blocks = re.findall(r"```json\n(.*?)```", DOCS.read_text(encoding="utf-8"), re.DOTALL)
    assert len(blocks) >= 4
    for block in blocks:
        decode(block.encode())
        skim(block.encode())


@pytest.mark.parametrize(
    ("seconds", "accepted"), [(600, True), (600.001, False), (-400 * 86400, True), (-400 * 86400 - 1, False)]
)
def test_time_bounds_are_inclusive(seconds: float, accepted: bool) -> None:
    """Ten minutes ahead and 400 days behind are in; beyond is out."""
    value = message(occurred_at=(RECEIVED + timedelta(seconds=seconds)).isoformat())
    if accepted:
        assert decode(value, RECEIVED).event_id == "a"
    else:
        with pytest.raises(DecodeError, match="receipt"):
            decode(value, RECEIVED)


def test_time_bounds_are_the_callers() -> None:
    """A replay of an archive takes any age."""
    value = message(occurred_at="2001-01-01T00:00:00Z")
    assert decode(value, RECEIVED, Limits(age_days=None)).occurred_at.year == 2001


def test_null_is_absent() -> None:
    """Serialisers write null for what is not there."""
    nulls = {name: None for name in Event.__struct_fields__ if name not in MINIMAL and name != "findings"}
    assert decode(message(**nulls)) == decode(message())
    head = skim(message(**nulls), {"latency_ms"})
    assert (head.kind, head.model, head.model_version, head.segments) == ("interaction", "", "", {})


def test_chat_parts_become_text() -> None:
    """Text parts are joined; others leave a note of what was there."""
    parts = [
        {"type": "text", "text": "what is"},
        {"type": "image_url", "image_url": {"url": "x"}},
        {"type": "x-new"},
    ]
    event = decode(
        message(
            prompt=[
                {"role": "user", "content": parts},
                {"role": "assistant", "content": None, "tool_calls": []},
            ]
        )
    )
    assert event.prompt == (Message("user", "what is\n[image]\n[other]"), Message("assistant", ""))
    assert event.last_user_text == "what is\n[image]\n[other]"


def test_milliseconds_are_exact() -> None:
    """Whole milliseconds, not a rounded float."""
    assert decode(message(occurred_at=1_769_851_800_001)).occurred_at == datetime(
        2026, 1, 31, 9, 30, 0, 1000, tzinfo=UTC
    )


def test_envelope_mapping() -> None:
    """What the envelope knows fills in; what data says wins."""
    trace = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"
    value = envelope(type="com.example.feedback.v1", subject="i9", traceparent=trace, data={"data": {"thumbs": "up"}})
    event = decode(value)
    assert (event.event_id, event.application, event.kind) == ("e1", "/shop/assistant", "feedback")
    assert (event.subject_id, event.trace_id) == ("i9", "0af7651916cd43dd8448eb211c80319c")
    assert decode(envelope(data={"event_id": "mine"})).event_id == "mine"
    assert decode(envelope(subject="i9")).subject_id is None


def test_masked_events_may_be_longer() -> None:
    """Masking lengthens; what was accepted once is not refused by the worker."""
    base = decode(message(response="x" * 1_000_000))
    found = tuple(Finding("response", "EMAIL", i, i + 1, "0" * 64, "mask") for i in range(500))
    masked = Event(**{n: getattr(base, n) for n in base.__struct_fields__ if n != "findings"}, findings=found)
    value = encode_masked(masked)
    assert len(value) > MAX_EVENT_BYTES
    assert decode(value) == masked
    assert skim(value).event_id == "a"


def test_skimmer_refuses_texts_and_strangers() -> None:
    """Asking for a field that a head cannot have is a mistake of the caller."""
    with pytest.raises(InputError, match="prompt"):
        make_skimmer(frozenset({"prompt"}))


def test_skimmer_reads_only_the_head() -> None:
    """A mistake in a text costs nothing until the event is selected."""
    assert skim(message(response=5, respones=1)).event_id == "a"


def test_encoding_is_canonical() -> None:
    """Byte for byte, so that digests can be compared."""
    event = decode(message(segments={"b": "2", "a": "1"}, occurred_at="2026-01-31T10:30:00+01:00"))
    assert encode(event) == (
        b'{"format":"evalsvc/1","event_id":"a","occurred_at":"2026-01-31T09:30:00Z",'
        b'"application":"support","segments":{"a":"1","b":"2"}}'
    )
