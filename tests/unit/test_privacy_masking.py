"""What masking leaves of an event."""

from __future__ import annotations

from datetime import UTC, datetime

import msgspec
import pytest

from evalsvc.errors import ConfigError, InputError
from evalsvc.privacy import CustomPattern, Masker, MaskingPolicy, key_from_environment
from evalsvc.testing import make_event
from evalsvc.types import Event, Message

KEY = bytes(range(16))
MASKER = Masker(MaskingPolicy(), KEY)
CARD = "4111 1111 1111 1111"
MAIL = "ada@example.org"
RAW = (CARD, MAIL, "hunter2x", "460-89-9847")


def event(**fields: object) -> Event:
    return Event(event_id="e1", occurred_at=datetime(2025, 1, 1, tzinfo=UTC), application="app", **fields)


FULL = event(
    prompt=(Message("user", f"I am {MAIL}"), Message("assistant", "hello")),
    response=f"Your card {CARD} is fine, {MAIL}.",
    contexts=("nothing", f"SSN 460-89-9847 of {MAIL}"),
    reference=f"see {MAIL}",
    segments={"plan": "pro", "owner": MAIL},
    attributes={"note": "password: hunter2x", "n": 3, "ok": True, "none": None},
    data={MAIL: [{"card": CARD}, 4111111111111111, 7], "deep": {"a": {"password": "hunter2x"}}},
    user_id=MAIL,
    session_id=f"s-{MAIL}",
)


def test_nothing_raw_is_left() -> None:
    masked = msgspec.json.encode(MASKER.mask_event(FULL)).decode()
    for value in (*RAW, CARD.replace(" ", "")):
        assert value not in masked
    assert '"n":3' in masked
    assert "nothing" in masked


def test_findings_point_at_the_masked_text() -> None:
    masked = MASKER.mask_event(FULL)
    assert masked.response == "Your card [CREDIT_CARD] is fine, [EMAIL_ADDRESS]."
    response = [finding for finding in masked.findings if finding.field == "response"]
    assert [masked.response[f.start : f.end] for f in response] == ["[CREDIT_CARD]", "[EMAIL_ADDRESS]"]
    assert [finding.field for finding in masked.findings if finding.field.startswith("prompt")] == ["prompt[0].content"]
    assert {finding.action for finding in response} == {"mask"}


def test_same_value_has_the_same_digest_wherever_it_stands() -> None:
    masked = MASKER.mask_event(event(prompt="call +41 44 668 18 00", response="I called 044 668 18 00."))
    digests = {finding.field: finding.digest for finding in masked.findings}
    assert digests["prompt"] == digests["response"]
    other = Masker(MaskingPolicy(), bytes(16)).mask_event(event(prompt="call +41 44 668 18 00"))
    assert other.findings[0].digest != digests["prompt"]


@pytest.mark.parametrize(
    ("action", "expected"),
    [("mask", "to [EMAIL_ADDRESS]!"), ("drop", "to !"), ("keep", f"to {MAIL}!")],
)
def test_actions(action: str, expected: str) -> None:
    masker = Masker(MaskingPolicy(default=action), KEY)
    text, (finding,) = masker.mask_text(f"to {MAIL}!", "prompt")
    assert text == expected
    assert (finding.entity_type, finding.action, finding.start) == ("EMAIL_ADDRESS", action, 3)


def test_hash_shows_the_digest() -> None:
    masker = Masker(MaskingPolicy(actions={"EMAIL_ADDRESS": "hash"}), KEY)
    text, (finding,) = masker.mask_text(MAIL, "prompt")
    assert text == f"[EMAIL_ADDRESS:{finding.digest[:12]}]"
    assert masker.mask_text(text)[0] == text


def test_user_id_policies() -> None:
    hashed = MASKER.mask_event(FULL).user_id
    assert hashed is not None
    assert hashed.startswith("[USER_ID:")
    for action, expected in (("mask", "[USER_ID]"), ("drop", None), ("keep", MAIL)):
        assert Masker(MaskingPolicy(user_id=action), KEY).mask_event(FULL).user_id == expected


def test_session_stays_one_session() -> None:
    first, second = (MASKER.mask_event(event(session_id=f"s-{MAIL}", response=text)).session_id for text in "ab")
    assert first == second
    assert first is not None
    assert MAIL not in first


def test_offsets_after_astral_characters() -> None:
    text, (finding,) = MASKER.mask_text(f"\U0001f469\u200d\U0001f467 \U0001d538 {MAIL}", "prompt")
    assert text[finding.start : finding.end] == "[EMAIL_ADDRESS]"


def test_lone_surrogates_and_empty_texts() -> None:
    assert MASKER.mask_text("")[0] == ""
    text, findings = MASKER.mask_text(f"\ud800 {MAIL} \udfff")
    assert text == "\ud800 [EMAIL_ADDRESS] \udfff"
    assert len(findings) == 1


def test_deep_nesting_ends() -> None:
    data: dict[str, object] = {}
    for _ in range(300):
        data = {"a": data}
    assert "NESTED_TOO_DEEP" in str(MASKER.mask_event(event(data=data)).data)


def test_two_keys_stay_two() -> None:
    masked = MASKER.mask_event(event(data={"ada@example.org": 1, "ADA@example.org": 2}))
    assert sorted(masked.data.values()) == [1, 2]


def test_keep_keeps_keys_and_sessions() -> None:
    masked = Masker(MaskingPolicy(default="keep"), KEY).mask_event(event(data={MAIL: 1}, session_id=MAIL))
    assert masked.data == {MAIL: 1}
    assert masked.session_id == MAIL
    assert len(masked.findings) == 2


def test_custom_pattern() -> None:
    policy = MaskingPolicy(
        patterns=(CustomPattern("CUSTOMER_NUMBER", r"\bCN-\d{6}\b"),), actions={"CUSTOMER_NUMBER": "hash"}
    )
    text, (finding,) = Masker(policy, KEY).mask_text("about CN-123456")
    assert text == f"about [CUSTOMER_NUMBER:{finding.digest[:12]}]"


@pytest.mark.parametrize(
    ("name", "regex", "message"),
    [
        ("CUSTOMER", r"(a+)+$", "takes longer"),
        ("CUSTOMER", r"(\w+\s?)*$", "needs a character"),
        ("CUSTOMER", r"(unclosed", "regular expression"),
        ("CUSTOMER", r"x*", "needs a character"),
        ("customer", r"x", "capitals"),
        ("EMAIL_ADDRESS", r"x", "built-in"),
    ],
)
def test_bad_patterns_are_refused(name: str, regex: str, message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        MaskingPolicy(patterns=(CustomPattern(name, regex),))


def test_bad_policies_are_refused() -> None:
    with pytest.raises(ConfigError, match="burn"):
        MaskingPolicy(default="burn")  # type: ignore[arg-type]
    with pytest.raises(ConfigError, match="E_MAIL"):
        MaskingPolicy(actions={"E_MAIL": "mask"})


def test_slow_custom_pattern_masks_the_whole_text(monkeypatch: pytest.MonkeyPatch) -> None:
    from evalsvc.privacy import recognisers

    monkeypatch.setattr(recognisers, "SEARCH_SECONDS", 0.05)
    slow = recognisers.Recognisers(["EMAIL_ADDRESS"], [("SLOW", r"(?:x+x+)+y")])
    (match,) = slow.find("x" * 5000)
    assert match == recognisers.Match(0, 5000, "UNSEARCHED", 1.0)


@pytest.mark.parametrize("action", ["keep", "drop", "mask"])
def test_what_was_not_searched_is_masked_whatever_the_policy(action: str, monkeypatch: pytest.MonkeyPatch) -> None:
    from evalsvc.privacy import recognisers

    # Each pattern passes the policy's probes; ALL_OF_IT matches all of the text and comes first by name.
    patterns = (CustomPattern("ALL_OF_IT", r"(?s)z.+"), CustomPattern("SLOW", r"(?:z+z+)+y"))
    monkeypatch.setattr(recognisers, "SEARCH_SECONDS", 0.05)
    masker = Masker(MaskingPolicy(default=action, patterns=patterns), KEY)
    text, (finding,) = masker.mask_text("z" * 5000 + MAIL)
    assert text == "[UNSEARCHED]"
    assert (finding.entity_type, finding.action) == ("UNSEARCHED", "mask")
    assert masker.mask_text(text)[0] == text


def test_the_type_of_what_was_not_searched_is_reserved() -> None:
    with pytest.raises(ConfigError, match="built-in"):
        MaskingPolicy(patterns=(CustomPattern("UNSEARCHED", "x"),))
    with pytest.raises(ConfigError, match="UNSEARCHED"):
        MaskingPolicy(actions={"UNSEARCHED": "keep"})


def test_keys() -> None:
    assert key_from_environment({"EVALSVC_MASKING_KEY": "a" * 16}) == b"a" * 16
    assert key_from_environment({"K": "ab" * 16}, "K") == bytes.fromhex("ab" * 16)
    assert key_from_environment({}) != key_from_environment({})
    with pytest.raises(InputError, match="16 bytes"):
        key_from_environment({"EVALSVC_MASKING_KEY": "short"})
    with pytest.raises(InputError, match="16 bytes"):
        Masker(MaskingPolicy(), b"short")


def test_values_that_could_not_be_searched_are_masked_wherever_they_stand(monkeypatch: pytest.MonkeyPatch) -> None:
    from evalsvc.privacy.catalogue import UNSEARCHED
    from evalsvc.privacy.recognisers import PLACEHOLDER, Match, Recognisers

    def give_up(self: Recognisers, text: str, prefilter: bool = True) -> list[Match]:
        return [] if PLACEHOLDER.fullmatch(text) else [Match(0, len(text), UNSEARCHED, 1.0)]

    monkeypatch.setattr(Recognisers, "find", give_up)
    masker = Masker(MaskingPolicy(default="keep"), b"sixteen bytes or more")
    event = make_event(response="secret one", data={"note": "secret two"}, attributes={"tag": "secret three"})
    masked = masker.mask_event(event)
    assert "secret" not in repr((masked.response, masked.data, masked.attributes))
