"""Hints for the person who mistyped a name."""

from __future__ import annotations

import difflib
from collections.abc import Iterable


def nearest(word: str, known: Iterable[str]) -> str:
    """Return a hint with the nearest known word; empty when none is near.

    >>> nearest("blue", ["bleu", "chrf"])
    'did you mean `bleu`?'
    """
    found = difflib.get_close_matches(word, sorted(known), n=1)
    return f"did you mean `{found[0]}`?" if found else ""


def did_you_mean(word: str, known: Iterable[str]) -> str:
    """Return a hint: the nearest known word, or else all of them.

    >>> did_you_mean("x", ["sampling", "source"])
    'known: sampling, source'
    """
    words = sorted(known)
    return nearest(word, words) or (f"known: {', '.join(words)}" if words else "")
