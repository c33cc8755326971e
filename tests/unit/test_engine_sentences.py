"""The sentence splitter: nothing lost or twice; abbreviations, numbers, lists, scripts without spaces."""

from __future__ import annotations

import time
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from evalsvc._sentences import passages, sentence_spans

CASES = [
    ("Dr. Lee paid $3.50. OK!", ["Dr. Lee paid $3.50.", "OK!"]),
    ("Wait... what? No! Yes.", ["Wait... what?", "No!", "Yes."]),
    ('"Yes." He left. (Really.) Then', ['"Yes."', "He left.", "(Really.)", "Then"]),
    (
        "J. R. Smith vs. the U.S. Army, e.g. at 5 p.m. Then.",
        ["J. R. Smith vs. the U.S. Army, e.g. at 5 p.m.", "Then."],
    ),
    ("1. First item.\n2. Second item\n- third", ["1. First item.", "2. Second item", "- third"]),
    ("Title\n\nbody goes\non here.", ["Title", "body goes\non here."]),
    ("Er kam z. B. gestern. Nr. 5 ist da.", ["Er kam z. B. gestern.", "Nr. 5 ist da."]),
    ("Version 2.0.1 is at evalsvc.io today. Fine.", ["Version 2.0.1 is at evalsvc.io today.", "Fine."]),
    ("元気ですか？はい！「そう。」と言った。", ["元気ですか？", "はい！", "「そう。」", "と言った。"]),  # noqa: RUF001
    ("नमस्ते। आप कैसे हैं?", ["नमस्ते।", "आप कैसे हैं?"]),
    ("هل وصلت؟ نعم.", ["هل وصلت؟", "نعم."]),
    ("Я пришёл. Он и т.д. ушёл.", ["Я пришёл.", "Он и т.д. ушёл."]),
    ("no marks at all", ["no marks at all"]),
    (" \n\t ", []),
    ("", []),
]


@pytest.mark.parametrize(("text", "expected"), CASES)
def test_known_texts(text, expected):
    assert [text[start:end] for start, end in sentence_spans(text)] == expected


@given(st.text(alphabet=st.sampled_from("ab A1.!?。\n\"'( -–\u200b"), max_size=60) | st.text(max_size=60))
def test_every_character_but_white_space_is_in_one_sentence(text):
    spans = sentence_spans(text)
    assert all(start < end for start, end in spans)
    assert all(left[1] <= right[0] for left, right in pairwise(spans))
    inside = "".join(text[start:end] for start, end in spans)
    assert "".join(inside.split()) == "".join(text.split())
    assert all(text[start:end] == text[start:end].strip() for start, end in spans)


@given(st.integers(0, 12), st.integers(1, 4), st.data())
def test_passages_hold_every_sentence(count, size, data):
    step = data.draw(st.integers(1, size))
    sentences = [f"Sentence {'x' * (index + 2)}." for index in range(count)]
    found = passages(" ".join(sentences), size, step)
    assert all(any(sentence in passage for passage in found) for sentence in sentences)
    assert all(passage.count("Sentence") == min(size, count) for passage in found)


@pytest.mark.parametrize("part", ["a.", "a. ", ". ", "\n", ".", "A. ", "\"')", "a", " ", '."x', "1. "])
def test_long_texts_take_linear_time(part):
    text = part * (200_000 // len(part))
    started = time.perf_counter()
    sentence_spans(text)
    assert time.perf_counter() - started < 5
