"""Distinct and repetition against counting by hand; words in many scripts; what abstains and how long it takes."""

from __future__ import annotations

import time

import pytest

from evalsvc.scorers import create
from evalsvc.scorers._words import word_spans, words
from evalsvc.testing.samples import make_sample
from evalsvc.types import Abstained, Scored

NAMES = ["distinct_1", "distinct_2", "repetition"]
ORDERS = {"distinct_1": 1, "distinct_2": 2, "repetition": 4}


def outcome(name, response):
    scorer = create(name)
    scorer.load()
    (found,) = scorer.score([make_sample(response=response)])
    return found


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("", []),
        ("?! … 👍🏽 👩‍👩‍👧", []),
        ("Don't DON’T don't", ["don't", "don't", "don't"]),
        ("rock 'n' roll", ["rock", "n", "roll"]),
        ("well-known and/or", ["well", "known", "and", "or"]),
        ("3.5 km, 1,000.5 and 3,5.", ["3.5", "km", "1,000.5", "and", "3,5"]),
        ("H2O v1.2.3 2nd", ["h2o", "v1.2.3", "2nd"]),
        ("snake_case __init__", ["snake", "case", "init"]),
        ("STRASSE Straße", ["strasse", "strasse"]),
        ("cafe\u0301 caf\u00e9", ["caf\u00e9", "caf\u00e9"]),
        ("東京へ2024年に", ["東", "京", "へ", "2024", "年", "に"]),
        ("スーパー \uff12\uff10円", ["ス", "ー", "パ", "ー", "\uff12\uff10", "円"]),
        ("ไทย 12", ["ไ", "ท", "ย", "12"]),
        ("ភាសា", ["ភា", "សា"]),
        ("한국어 문장", ["한국어", "문장"]),
        ("हिन्दी में", ["हिन्दी", "में"]),
        ("مرحبا بالعالم", ["مرحبا", "بالعالم"]),
        ("iPhoneは高い", ["iphone", "は", "高", "い"]),
        ("a\u0000b \ud800 c", ["a", "b", "c"]),
    ],
)
def test_words(text, expected):
    assert words(text) == expected


def test_positions_are_of_the_text_itself():
    text = "Straße, 3.5 km – l’eau 東京"
    assert [text[start:end] for start, end in word_spans(text)] == ["Straße", "3.5", "km", "l’eau", "東", "京"]


@pytest.mark.parametrize(
    ("name", "response", "expected"),
    [
        ("distinct_1", "the cat and the dog", 4 / 5),
        ("distinct_2", "the cat and the cat", 3 / 4),
        ("distinct_2", "no no no no", 1 / 3),
        ("repetition", "a b c d", 0.0),
        ("repetition", "a b c d a b c d", 1 / 5),
        ("repetition", "go on and on " * 50, 193 / 197),
        ("repetition", "one two three four, five. One two three FOUR!", 1 / 6),
        ("distinct_1", "好好学习", 3 / 4),
    ],
)
def test_values_counted_by_hand(name, response, expected):
    found = outcome(name, response)
    assert found.value == pytest.approx(expected, abs=1e-12)
    assert found.detail["words"] == len(words(response))


def test_the_first_repeat_is_named_by_its_position():
    response = "Press the red button. If it fails, press the RED button again."
    found = outcome("repetition", response)
    place = found.detail["first_repeat"]
    assert response[place["start"] : place["end"]] == "press the RED button"
    assert found.detail["repeated"] == 1
    assert "first_repeat" not in outcome("repetition", "a b c d e").detail


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize(
    ("response", "reason"),
    [("", "empty response"), (" \n\t", "empty response"), ("👍🏽 ?!", "no words in the response")],
)
def test_without_words_they_abstain(name, response, reason):
    assert outcome(name, response) == Abstained(reason)


@pytest.mark.parametrize("name", ["distinct_2", "repetition"])
def test_below_one_n_gram_they_abstain(name):
    order = ORDERS[name]
    assert outcome(name, "w " * (order - 1)) == Abstained(f"fewer than {order} words in the response")
    assert isinstance(outcome(name, "w " * order), Scored)


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("piece", ["word ", "東", "1,", "a'", "a", "\u0301", "\u200f", "\x00", "\ud800"])
def test_two_hundred_thousand_characters_take_no_time(name, piece):
    text = piece * (200_000 // len(piece))
    began = time.process_time()
    outcome(name, text)
    assert time.process_time() - began < 3.0


@pytest.mark.parametrize("name", NAMES)
def test_the_signature_names_order_and_tokeniser(name):
    scorer = create(name)
    assert scorer.spec.signature == f"n:{ORDERS[name]}|case:folded|words:1"
    assert scorer.cost(make_sample(response="")) == 1
