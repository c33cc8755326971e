"""A silence's matcher is read back as it was written, whatever its label's value holds."""

from __future__ import annotations

import re

from hypothesis import given
from hypothesis import strategies as st

from evalsvc.alerts_view import matcher_text, parse_matcher
from evalsvc.rules.history import Matcher

LABELS = st.sampled_from(["alertname", "language", "_", "A1", "7"])
VALUES = st.text() | st.sampled_from(["", "~", '"', '"a"', "=", "=~x", "\\", "a b", "\u202e", "\ud800"])


@given(LABELS, VALUES)
def test_a_value_comes_back(label: str, value: str) -> None:
    assert parse_matcher(matcher_text(Matcher(label, value))) == Matcher(label, value)


@given(LABELS, VALUES.map(re.escape) | st.sampled_from(["de|fr", "~", '"a"', ".*", '[~"]+', ""]))
def test_a_pattern_comes_back(label: str, pattern: str) -> None:
    assert parse_matcher(matcher_text(Matcher(label, pattern, True))) == Matcher(label, pattern, True)


@given(LABELS, VALUES)
def test_what_is_printed_is_one_line_that_no_terminal_obeys(label: str, value: str) -> None:
    assert matcher_text(Matcher(label, value)).isprintable()
