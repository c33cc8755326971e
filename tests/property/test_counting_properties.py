"""Distinct and repetition equal brute force on any text, and move as their definitions say."""

from __future__ import annotations

from itertools import pairwise

import regex
from hypothesis import given
from hypothesis import strategies as st

from evalsvc.scorers._repeats import count_repeats
from evalsvc.scorers._words import word_spans, words

few_words = st.lists(st.sampled_from(["a", "B", "b", "ç", "東", "12", "l'eau", ","]), max_size=40).map(" ".join)


def brute_force(tokens, order):
    """(n-grams, how many occurred before) by looking back at every one."""
    grams = [tokens[start : start + order] for start in range(len(tokens) - order + 1)]
    return len(grams), sum(gram in grams[:place] for place, gram in enumerate(grams))


@given(few_words, st.integers(1, 5))
def test_counts_equal_looking_back_at_every_n_gram(text, order):
    found = count_repeats(text, order)
    assert (found.total, found.total - found.distinct) == brute_force(words(text), order)
    assert (found.first_repeat is None) == (found.total == found.distinct)


@given(few_words, st.integers(1, 4))
def test_the_first_repeat_came_before(text, order):
    first = count_repeats(text, order).first_repeat
    if first is not None:
        gram = words(text[first[0] : first[1]])
        before = words(text[: first[1]])[:-1]
        assert len(gram) == order
        assert any(before[start : start + order] == gram for start in range(len(before)))


@given(few_words)
def test_case_changes_nothing(text):
    assert count_repeats(text.upper(), 2)[:3] == count_repeats(text, 2)[:3]


@given(st.text(max_size=200))
def test_words_are_in_order_apart_and_hold_every_letter_and_digit(text):
    spans = list(word_spans(text))
    assert all(start < end for start, end in spans)
    assert all(one[1] <= two[0] for one, two in pairwise(spans))
    inside = {place for start, end in spans for place in range(start, end)}
    left_out = [
        place for place in range(len(text)) if place not in inside and regex.match(r"[\p{L}\p{N}]", text[place])
    ]
    assert left_out == []
