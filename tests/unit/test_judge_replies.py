"""What a judge's words are read as: a whole number on the scale, or why there is none."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from evalsvc.judges import read_score

NONE = "judge reply holds no JSON object with `score`"
TWO = "judge reply gives more than one score"
NOT_WHOLE = "judge score is not a whole number"


@pytest.mark.parametrize(
    ("text", "score"),
    [
        ('{"score": 4}', 4),
        ('  {"reason": "fine", "score": 1}\n', 1),
        ('```json\n{"score": 5}\n```', 5),
        ('```\n{"reason": "a } brace", "score": 2}\n```\nHope this helps!', 2),
        ('Here you are: {"score": 3} and that is all.', 3),
        ('{"score": 4.0}', 4),
        ('{"score": "4"}', 4),
        ('{"score": 4} {"score": 4}', 4),
        ('{not json} {"score": 4}', 4),
        ('{"note": {"deep": 1}} {"score": 4}', 4),
        ('<think>{"score": 1}, or rather {"score": 2}?</think>{"score": 4}', 4),
        ('{"score": 4, "extra": [1, {"a": null}]}', 4),
    ],
)
def test_what_holds_a_score(text: str, score: int) -> None:
    assert read_score(text, 1, 5) == (score, "")


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("", NONE),
        ("4", NONE),
        ("4/5", NONE),
        ("Score: 4", NONE),
        ("I'm sorry, but I can't rate this response.", NONE),
        ('{"score": 4', NONE),
        ('{"grade": 4}', NONE),
        ("[4]", NONE),
        ("{" * 100_000, NONE),
        ('{"a":' * 50_000, NONE),
        ('{"score": 4} {"score": 5}', TWO),
        ('{"score": 4, "score": 5}', TWO),
        ('{"score": null}', NOT_WHOLE),
        ('{"score": true}', NOT_WHOLE),
        ('{"score": 4.5}', NOT_WHOLE),
        ('{"score": NaN}', NOT_WHOLE),
        ('{"score": Infinity}', NOT_WHOLE),
        ('{"score": "four"}', NOT_WHOLE),
        ('{"score": [4]}', NOT_WHOLE),
        ('{"score": 0}', "judge score is out of range 1 to 5"),
        ('{"score": 6}', "judge score is out of range 1 to 5"),
        ('{"score": -4}', "judge score is out of range 1 to 5"),
        ('{"score": 1e300}', "judge score is out of range 1 to 5"),
        ('{"score": ' + "9" * 5000 + "}", NONE),
    ],
)
def test_what_holds_none(text: str, reason: str) -> None:
    assert read_score(text, 1, 5) == (None, reason)


@given(st.text(), st.integers(-3, 12), st.text())
def test_words_around_an_object_change_nothing(before: str, score: int, after: str) -> None:
    read = read_score(before.replace("{", "(") + json.dumps({"score": score}) + after.replace("{", "("), 1, 5)
    if "</think>" not in after:
        assert read.score == (score if 1 <= score <= 5 else None)


@given(st.text())
def test_any_text_gives_a_score_on_the_scale_or_a_reason(text: str) -> None:
    read = read_score(text, 1, 5)
    assert (read.score is None) == bool(read.reason)
    assert read.score is None or 1 <= read.score <= 5
