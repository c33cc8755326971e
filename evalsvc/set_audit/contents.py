"""Edge cases and sensitive topics: which are there, and how many.

Topics are found by short lists of beginnings of words in English, German, French and Spanish (``topics.json``): they
miss much and take in some that does not belong there. A count of 0 is a hint that a topic is missing; a count is not
proof that it is covered.
"""

from __future__ import annotations

import json
import re
import unicodedata
from collections.abc import Callable, Collection, Mapping, Sequence
from functools import cache
from importlib.resources import files
from typing import NamedTuple

from evalsvc.cases.values import Case
from evalsvc.scorers._prose import looks_like_code
from evalsvc.set_audit.texts import asked, languages, question
from evalsvc.set_audit.values import Finding, Subject

FEW_WORDS, SHORT, MANY_CHARACTERS = 3, 60, 4000
MOST_LOOKED_AT = 20_000
"""Characters of a text that are looked at for scripts, topics and code."""

# A sign of Chinese or Japanese is a word of its own; Thai, too, goes on without spaces, and is told by its length.
_WORDS = re.compile(r"[\u3040-\u30ff\u3400-\u9fff]|[^\W\u3040-\u30ff\u3400-\u9fff]+")
_NUMBER = re.compile(r"\d")
_FENCE = re.compile(r"```|</?\w+>|[;{}]\s*$|^\s*(?:def|class|import|SELECT|function|#include)\b", re.MULTILINE)
_LINK = re.compile(r"https?://|www\.")
_EMOJI = re.compile("[\U0001f300-\U0001faff\u2600-\u27bf]")


def kinds(case: Case) -> frozenset[str]:
    """Return which edge cases a case is."""
    return frozenset(name for name, is_one in EDGES.items() if is_one(case))


def topics(case: Case) -> frozenset[str]:
    """Return which sensitive topics a case's question seems to be about."""
    text = asked(case)[:MOST_LOOKED_AT].casefold()
    return frozenset(name for name, terms in topic_patterns().items() if terms.search(text))


@cache
def topic_patterns() -> Mapping[str, re.Pattern[str]]:
    """Return a pattern for each topic, of the beginnings of its words."""
    lists = json.loads(files("evalsvc.set_audit").joinpath("topics.json").read_text(encoding="utf-8"))
    return {name: re.compile(rf"\b(?:{'|'.join(map(re.escape, terms))})") for name, terms in lists.items()}


class Look(NamedTuple):
    """What each case is, in their order: kinds of edge cases, topics, and the question's language (empty: unknown)."""

    kinds: Sequence[frozenset[str]]
    topics: Sequence[frozenset[str]]
    languages: Sequence[str]


def look_at(cases: Sequence[Case]) -> Look:
    """Look at cases once, for all that asks about it."""
    told = languages([question(case) for case in cases])
    return Look([kinds(case) for case in cases], [topics(case) for case in cases], told)


def content_findings(cases: Sequence[Case], look: Look, rare: Collection[str] = ()) -> list[Finding]:
    """Return a finding for each kind of edge case and each topic; what is ``rare`` in production may be missing."""
    found = [_finding("edge cases", name, cases, [name in each for each in look.kinds], rare) for name in EDGES]
    return found + [
        _finding("topics", name, cases, [name in each for each in look.topics], rare) for name in topic_patterns()
    ]


def _finding(subject: Subject, name: str, cases: Sequence[Case], has: Sequence[bool], rare: Collection[str]) -> Finding:
    count = sum(has)
    advice = "add some, where production has them" if subject == "edge cases" else "add some, if users ask about it"
    lacking = not count and name not in rare
    return Finding(
        subject=subject,
        what=name,
        value=float(count),
        said=f"{count:,} of {len(cases):,} ({count / len(cases):.1%})"
        + ("; rare in the traffic" if name in rare else ""),
        verdict="look" if lacking else "ok",
        next=advice if lacking else "",
        cases=tuple(case.case_id for case, one in zip(cases, has, strict=True) if one)[:3],
    )


def _scripts(text: str) -> tuple[int, int]:
    """Return how many letters are Latin, and how many are not; of a text in ASCII all signs count as the first."""
    if text.isascii():
        return len(text), 0
    latin = other = 0
    for character in text[:MOST_LOOKED_AT]:
        if character.isascii():
            latin += character.isalpha()
        elif character.isalpha():
            if unicodedata.name(character, "").startswith("LATIN"):
                latin += 1
            else:
                other += 1
    return latin, other


def _non_latin(case: Case) -> bool:
    latin, other = _scripts(question(case))
    return other > latin


def _mixed(case: Case) -> bool:
    latin, other = _scripts(question(case))
    return min(latin, other) >= max(5.0, 0.2 * (latin + other))


def _code(case: Case) -> bool:
    text = question(case)[:MOST_LOOKED_AT]
    return bool(_FENCE.search(text)) or sum(map(looks_like_code, text.splitlines())) >= 2


def _short(case: Case) -> bool:
    text = question(case)
    return len(text) <= SHORT and len(_WORDS.findall(text)) <= FEW_WORDS


def _turns(case: Case) -> int:
    return sum(message.role == "user" for message in case.messages)


EDGES: Mapping[str, Callable[[Case], bool]] = {
    f"up to {FEW_WORDS} words": _short,
    f"over {MANY_CHARACTERS:,} characters": lambda case: len(asked(case)) > MANY_CHARACTERS,
    "script other than Latin": _non_latin,
    "mixed scripts": _mixed,
    "code": _code,
    "numbers": lambda case: bool(_NUMBER.search(question(case))),
    "addresses of pages": lambda case: bool(_LINK.search(question(case))),
    "emoji": lambda case: bool(_EMOJI.search(question(case))),
    "several turns": lambda case: _turns(case) > 1,
    "capitals only": lambda case: question(case).isupper() and len(question(case)) > 8,
    "nothing but signs": lambda case: not any(map(str.isalnum, question(case))),
}
"""By name, what makes a case one; looked at is what the user asks last, or the conversation."""
