"""Which receivers an alert is for: the first route that matches, and those after it as long as routes go on."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from functools import lru_cache

from evalsvc.notify.values import NOBODY, Routes
from evalsvc.rules.history import Matcher

MOST_MATCHED = 256
"""So many characters of a label's value are held against a pattern."""
_ESCAPED, _CLASS = re.compile(r"\\.", re.DOTALL), re.compile(r"\[[^\]]*\]")
_NESTED = re.compile(r"\([^()]*[*+}][^()]*\)+[*+{]")


def receivers_of(routes: Routes, labels: Mapping[str, str]) -> tuple[str, ...]:
    """Return the names of those who are told of an alert with these labels, each once; empty for nobody."""
    found: list[str] = []
    matched = False
    for route in routes.routes:
        if matches(labels, route.matchers):
            found += route.to
            matched = True
            if not route.go_on:
                break
    named = found if matched else routes.default
    return tuple(name for name in dict.fromkeys(named) if name != NOBODY)


def matches(labels: Mapping[str, str], matchers: Sequence[Matcher]) -> bool:
    """Whether labels match all matchers. A label that is not there counts as empty, as in Alertmanager.

    >>> matches({"language": "de"}, [Matcher("language", "de|fr", True), Matcher("plan", "")])
    True
    """
    return all(_fits(labels.get(matcher.label, ""), matcher) for matcher in matchers)


def pattern_problem(pattern: str) -> str:
    """Return why a text is no regular expression that may be matched against labels; empty where it is one.

    A repetition of what repeats itself can take longer than anybody lives on a value of some dozen characters.

    >>> pattern_problem("de|fr"), pattern_problem("(a+)+b")
    ('', 'a repetition within a repetition, which may take for ever')
    """
    try:
        re.compile(pattern, re.DOTALL)
    except (re.error, RecursionError, OverflowError) as error:
        return str(error)
    nested = _NESTED.search(_CLASS.sub("c", _ESCAPED.sub("e", pattern)))
    return "a repetition within a repetition, which may take for ever" if nested else ""


def _fits(value: str, matcher: Matcher) -> bool:
    if not matcher.pattern:
        return value == matcher.value
    return _compiled(matcher.value).fullmatch(value[:MOST_MATCHED]) is not None


@lru_cache(maxsize=1024)
def _compiled(pattern: str) -> re.Pattern[str]:
    return re.compile(pattern, re.DOTALL)
