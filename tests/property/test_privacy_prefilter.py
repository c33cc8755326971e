"""Searching only around cores finds what searching everything finds, and masking twice is masking once."""

from __future__ import annotations

from datetime import UTC, datetime
from itertools import pairwise

from hypothesis import given, settings
from hypothesis import strategies as st

from evalsvc.privacy import Masker, MaskingPolicy, Recognisers
from evalsvc.privacy.policy import ACTIONS
from evalsvc.types import Event, Message

RECOGNISERS = Recognisers()
KEY = bytes(16)
MASKERS = {action: Masker(MaskingPolicy(default=action), KEY) for action in ACTIONS}

VALUES = (
    "4111 1111 1111 1111",
    "4111111111111111",
    "460-89-9847",
    "912803456",
    "AB 12 34 56 C",
    "943 476 5919",
    "GB82 WEST 1234 5698 7654 32",
    "58.74.121.78",
    "2a00:1450:4001:81b::200e",
    "3c:22:fb:9a:0b:1c",
    "ABCPD1234E",
    "M123A4567",
    "MRTMTT91D08F205J",
    "16Yeky6GMjeNkAiNcBY7ZhrLoMSgg1BoyZ",
    "ada@example.org",
    "+41 44 668 18 00",
    "(415) 555-0123",
    "1EG4-TE5-MK73",
    "131052-308T",
    "2 55 08 14 168 025 38",
    "529.982.247-25",
    "55555555K",
    "password: hunter2x",
    "ghp_aB3xaB3xaB3xaB3xaB3xaB3xaB3xaB3xaB3x",
    "postgres://app:s3cr3t@db.example.org/x",
    "-----BEGIN PRIVATE KEY-----\nMII\n-----END PRIVATE KEY-----",
    "token = 9f86d081884c7d659a2feaa0c55ad015",
    "Bearer abcdef0123456789abcdef",
    "aB12",
    "12345",
    "1.2",
    "::",
    "2024-05-17",
)
WORDS = (
    "passport",
    "card",
    "account",
    "phone",
    "tax",
    "licence",
    "driver",
    "the",
    "NHS",
    "cpf",
    "voter",
    "ssn",
    "is",
    "aadhaar",
    "routing",
    "x",
    "—",
    "🙂",
    "[EMAIL_ADDRESS]",
    "[PHONE_NUMBER:123456789012]",
    "\u200b",
    "\uff14\uff11",
    "İ",
)
GLUE = st.sampled_from((" ", "", "\n", ", ", ": ", "-", ".", "/", "_", "  ", "\t"))
PIECES = st.one_of(
    st.sampled_from(VALUES),
    st.sampled_from(WORDS),
    st.text("0123456789 -.:/abXY@", max_size=12),
    st.text(max_size=6),
)
TEXTS = st.lists(st.tuples(PIECES, GLUE), max_size=14).map(lambda parts: "".join(a + b for a, b in parts))


@settings(max_examples=400, deadline=None, derandomize=True)
@given(TEXTS)
def test_prefilter_loses_and_adds_nothing(text: str) -> None:
    assert RECOGNISERS.find(text) == RECOGNISERS.find(text, prefilter=False)


@settings(max_examples=150, deadline=None, derandomize=True)
@given(st.integers(50, 400), TEXTS, TEXTS)
def test_prefilter_far_from_the_edges(padding: int, first: str, second: str) -> None:
    text = f"{first} {'lorem ipsum ' * padding}{second}"
    assert RECOGNISERS.find(text) == RECOGNISERS.find(text, prefilter=False)


@settings(max_examples=250, deadline=None, derandomize=True)
@given(TEXTS)
def test_matches_are_disjoint_and_ordered(text: str) -> None:
    matches = RECOGNISERS.find(text)
    assert all(0 <= match.start < match.end <= len(text) for match in matches)
    assert all(left.end <= right.start for left, right in pairwise(matches))


@settings(max_examples=250, deadline=None, derandomize=True)
@given(TEXTS, st.sampled_from(ACTIONS))
def test_masked_text_holds_nothing_more_to_mask(text: str, action: str) -> None:
    masked, findings = MASKERS[action].mask_text(text, "prompt")
    again, more = MASKERS[action].mask_text(masked, "prompt")
    assert again == masked
    if action != "keep":
        assert more == ()
    for finding in findings:
        if action == "mask":
            assert masked[finding.start : finding.end] == f"[{finding.entity_type}]"


@settings(max_examples=120, deadline=None, derandomize=True)
@given(TEXTS, TEXTS, st.dictionaries(TEXTS, TEXTS, max_size=3), st.sampled_from(ACTIONS))
def test_masking_an_event_twice_is_masking_it_once(first: str, second: str, data: dict[str, str], action: str) -> None:
    event = Event(
        event_id="e",
        occurred_at=datetime(2025, 1, 1, tzinfo=UTC),
        application="a",
        prompt=(Message("user", first),),
        response=second,
        contexts=(second, first),
        data={"nested": [data]},
        segments={"s": first},
        user_id=first or None,
        session_id=second or None,
    )
    once = MASKERS[action].mask_event(event)
    assert MASKERS[action].mask_event(once) == once


SHORTER_WITHOUT_CORE = {"US_DRIVER_LICENSE"}
"""Driver's licences of fewer than five digits are left out on purpose."""


@settings(max_examples=400, deadline=None, derandomize=True)
@given(TEXTS)
def test_what_counts_holds_its_core(text: str) -> None:
    for pattern in RECOGNISERS._patterns:
        core, reach = RECOGNISERS._cores[pattern.core]
        for found in pattern.search.finditer(text.replace("\u200b", "")):
            if pattern.entity_type not in SHORTER_WITHOUT_CORE and pattern.validate(found[0]) is not False:
                assert core.search(found[0]), (pattern.entity_type, found[0])
                assert len(found[0]) <= reach, (pattern.entity_type, found[0])
