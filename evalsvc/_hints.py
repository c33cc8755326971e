"""Hints for the person who mistyped a name."""

from __future__ import annotations

import difflib
import re
from collections.abc import Iterable

SHOWN = 20
"""How many known words a hint lists at most."""


def within_a_line(message: str) -> str:
    """Return a sentence as it stands after a place: small, unless it begins with an abbreviation.

    >>> within_a_line("Expected a number"), within_a_line("JSON is malformed")
    ('expected a number', 'JSON is malformed')
    """
    return message if message[1:2].isupper() else message[:1].lower() + message[1:]


def comma_as_point(found: object) -> str:
    """Return what to write for a number with a decimal comma; empty where it is none.

    >>> comma_as_point("0,8"), comma_as_point("1,500"), comma_as_point("much")
    ('write 0.8', 'write 1.500 or 1500', '')
    """
    if not isinstance(found, str) or not re.fullmatch(r"[+-]?[0-9]{1,15},[0-9]{1,15}", found.strip()):
        return ""
    whole, _, rest = found.strip().partition(",")
    thousands = f" or {whole}{rest}" if len(rest) == 3 and whole.strip("+-0") else ""
    return f"write {whole}.{rest}{thousands}"


def nearest(word: str, known: Iterable[str]) -> str:
    """Return a hint with the nearest known word, by its spelling or as a part of it; empty when none is near.

    >>> nearest("blue", ["bleu", "chrf"]), nearest("EMAIL", ["EMAIL_ADDRESS", "IBAN_CODE"])
    ('did you mean `bleu`?', 'did you mean `EMAIL_ADDRESS`?')
    >>> nearest("toxicity", ["deepeval_toxicity", "chrf"])
    'did you mean `deepeval_toxicity`?'
    """
    words = sorted(known)
    longer = [other for other in words if len(word) > 2 and other.lower().startswith(word.lower())]
    inside = [other for other in words if len(word) > 3 and word.lower() in other.lower()]
    found = difflib.get_close_matches(word, words, n=1) or longer or inside
    return f"did you mean `{found[0]}`?" if found else ""


def did_you_mean(word: str, known: Iterable[str], *, most: int = SHOWN) -> str:
    """Return a hint: the nearest known word, or else all of them, or the first ``most``.

    >>> did_you_mean("x", ["sampling", "source"])
    'known: sampling, source'
    """
    words = sorted(known)
    more = f" and {len(words) - most} more" if len(words) > most else ""
    return nearest(word, words) or (f"known: {', '.join(words[:most])}{more}" if words else "")
