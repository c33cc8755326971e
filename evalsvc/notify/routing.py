"""Which receivers an alert is for: the first route that matches, and those after it as long as routes go on."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from functools import lru_cache

from evalsvc.notify.values import NOBODY, Routes
from evalsvc.rules.history import Matcher


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


def _fits(value: str, matcher: Matcher) -> bool:
    if not matcher.pattern:
        return value == matcher.value
    return _compiled(matcher.value).fullmatch(value) is not None


@lru_cache(maxsize=1024)
def _compiled(pattern: str) -> re.Pattern[str]:
    return re.compile(pattern, re.DOTALL)
