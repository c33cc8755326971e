"""The published schema and the decoder refuse and accept the same events; peer: the jsonschema library."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import jsonschema
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from evalsvc.errors import DecodeError
from evalsvc.sources.decode import decode, json_schema

VALIDATOR = jsonschema.Draft202012Validator(json_schema())
PROPERTIES = json_schema()["properties"]

texts = st.text(st.characters(exclude_categories=["Cs"]), max_size=6)
odd_texts = st.sampled_from(
    ["", "a" * 256, "a" * 257, "a" * 512, "a" * 513, "a\n", "\x7f", "naïve", "日本", "😀" * 300]
)
# Whole numbers that are written with a point are the one documented difference.
floats = st.floats(allow_nan=False, allow_infinity=False).filter(lambda x: not x.is_integer())
scalars = st.one_of(st.none(), st.booleans(), st.integers(-5, 2**33), floats, texts, odd_texts)
anything = st.recursive(
    scalars,
    lambda inner: st.one_of(st.lists(inner, max_size=3), st.dictionaries(texts, inner, max_size=3)),
    max_leaves=6,
)
years = st.integers(2001, 2098).map(str)
times = st.one_of(
    st.from_regex(PROPERTIES["occurred_at"]["oneOf"][0]["pattern"], fullmatch=False).filter(lambda t: t[:4] != "2000"),
    st.builds(
        "{}-{:02d}-{:02d}T{:02d}:{:02d}:{:02d}{}".format,
        years,
        st.integers(0, 13),
        st.integers(0, 32),
        st.integers(0, 25),
        st.integers(0, 61),
        st.integers(0, 61),
        st.sampled_from(["", "Z", "z", "+02:00", "-0330", "+24:00"]),
    ),
    st.sampled_from(
        [
            "",
            "2026-01-01",
            "2026-01-01T00:00Z",
            "2026-02-29T00:00:00Z",
            "2028-02-29T00:00:00Z",
            "2026-01-01T00:00:00.Z",
            "2026-01-01T00:00:00Z\n",
            "20260101T000000Z",
            "2026-01-01T23:59:60Z",
        ]
    ),
    st.integers(-1, 10),
    st.integers(946684799998, 946684800001),
    st.integers(4102444799998, 4102444800001),
    anything,
)
messages = st.lists(
    st.fixed_dictionaries(
        {"role": st.one_of(st.sampled_from(["user", "system", ""]), scalars)},
        optional={
            "content": st.one_of(texts, st.none(), st.lists(st.fixed_dictionaries(
                {"type": st.one_of(st.sampled_from(["text", "image_url"]), scalars)},
                optional={"text": scalars, "image_url": anything},
            ), max_size=2), anything),
            "name": anything,
        },
    ),
    max_size=3,
)  # fmt: skip
flat = st.dictionaries(
    st.one_of(texts, st.sampled_from(["", "k" * 64, "k" * 65, "k" * 128, "k" * 129])), scalars, max_size=3
)
crowds = st.integers(30, 34).map(lambda n: {f"k{i}": "v" for i in range(n)})
large = st.integers(127, 130).map(lambda n: {f"k{i}": i for i in range(n)})
good_texts = st.text(st.characters(min_codepoint=32, max_codepoint=126), min_size=1, max_size=8)

GOOD: dict[str, st.SearchStrategy[Any]] = {
    "occurred_at": st.just("2026-01-31T09:30:00Z"),
    "prompt": st.one_of(good_texts, st.just([{"role": "user", "content": "hi"}])),
    "contexts": st.lists(good_texts, max_size=2),
    "segments": st.dictionaries(good_texts, good_texts, max_size=2),
    "attributes": st.dictionaries(good_texts, st.one_of(good_texts, st.integers(), st.booleans()), max_size=2),
    "data": st.dictionaries(good_texts, st.integers(), max_size=2),
    "kind": st.sampled_from(["interaction", "feedback", "outcome", "review", None]),
    "format": st.just("evalsvc/1"),
    **{name: st.integers(0, 2**31 - 1) for name in ("turn", "input_tokens", "output_tokens")},
    **{name: st.floats(0, 1e9) for name in ("latency_ms", "time_to_first_token_ms", "cost_usd")},
}
BAD: dict[str, st.SearchStrategy[Any]] = {
    "occurred_at": times,
    "prompt": st.one_of(messages, anything),
    "segments": st.one_of(flat, crowds, anything),
    "attributes": st.one_of(flat, large, anything),
    "kind": st.one_of(st.sampled_from(["feedback", "Interaction", ""]), anything),
    "format": st.one_of(st.sampled_from(["evalsvc/1", "evalsvc/2"]), anything),
}


@st.composite
def events(draw: st.DrawFn) -> dict[str, Any]:
    """A good event in which up to two fields were replaced by anything, or left out, or added."""
    required = {"event_id": good_texts, "application": good_texts, "occurred_at": GOOD["occurred_at"]}
    optional = {name: GOOD.get(name, good_texts) for name in PROPERTIES if name not in required}
    event = draw(st.fixed_dictionaries(required, optional=optional))
    for name in draw(st.lists(st.sampled_from([*PROPERTIES, "respones"]), max_size=2)):
        if draw(st.booleans()):
            event[name] = draw(BAD.get(name, st.one_of(odd_texts, anything)))
        else:
            event.pop(name, None)
    return event


def accepted(event: object) -> bool:
    """Whether the decoder takes it."""
    try:
        decode(json.dumps(event).encode())
    except DecodeError:
        return False
    return True


@settings(max_examples=250, deadline=None, suppress_health_check=[HealthCheck.too_slow, HealthCheck.filter_too_much])
@given(events())
def test_decoder_and_schema_agree(event: dict[str, Any]) -> None:
    """The same verdict of both, on good events and on damaged ones."""
    errors = [error.message for error in VALIDATOR.iter_errors(event)]
    assert accepted(event) == (not errors), errors


@settings(max_examples=400, deadline=None)
@given(times)
def test_decoder_and_schema_agree_on_times(moment: object) -> None:
    """Every notation of a time, valid days of leap years included."""
    event = {"event_id": "a", "application": "b", "occurred_at": moment}
    assert accepted(event) == VALIDATOR.is_valid(event)


@pytest.mark.parametrize("value", [[], "text", 1, None, True])
def test_what_is_no_object_is_refused_by_both(value: object) -> None:
    """The top level must be an object."""
    assert not accepted(value)
    assert not VALIDATOR.is_valid(value)


def edges(rule: dict[str, Any]) -> Iterator[Any]:
    """Values at, just inside and just beyond every limit that a field's rule states."""
    near = (-1, 0, 1)
    lengths = [rule[key] + step for key in ("minLength", "maxLength") if key in rule for step in near]
    yield from ("x" * length for length in lengths if length >= 0)
    yield from (rule[key] + step for key in ("minimum", "maximum") if key in rule for step in near)
    counts = [rule[key] + step for key in ("minProperties", "maxProperties") if key in rule for step in near]
    yield from ({f"k{i}": "v" for i in range(count)} for count in counts)
    if "propertyNames" in rule:
        yield from ({name: "v"} for name in edges(rule["propertyNames"]) if isinstance(name, str))
    if isinstance(rule.get("additionalProperties"), dict):
        yield from ({"k": inner} for inner in edges(rule["additionalProperties"]))
    yield from (
        "a\x1fb",
        "a\n",
        "\x7f",
        "\x80",
        "é" * 300,
        "",
        None,
        True,
        1,
        1.5,
        [],
        {},
        {"k": None},
        {"k": 1},
    )
    for alternative in rule.get("oneOf", ()):
        yield from edges(alternative)


@pytest.mark.parametrize("name", [*PROPERTIES, "respones"])
@pytest.mark.parametrize("kind", ["interaction", "feedback"])
def test_decoder_and_schema_have_the_same_limits(name: str, kind: str) -> None:
    """Both sides of every limit, in events of two kinds."""
    base = {"event_id": "a", "occurred_at": "2026-01-31T09:30:00Z", "application": "b", "kind": kind}
    base |= {"subject_id": "a", "data": {"thumbs": "up"}} if kind != "interaction" else {}  # type: ignore[dict-item]
    for value in edges(PROPERTIES.get(name, {})):
        event = {**base, name: value}
        assert accepted(event) == VALIDATOR.is_valid(event), (name, str(value)[:40])
    for role in ("", "r" * 64, "r" * 65, "a\n"):
        event = {**base, "prompt": [{"role": role, "content": "hi"}]}
        assert accepted(event) == VALIDATOR.is_valid(event)


def test_schema_is_itself_valid() -> None:
    """The schema obeys the draft that it names."""
    jsonschema.Draft202012Validator.check_schema(json_schema())
