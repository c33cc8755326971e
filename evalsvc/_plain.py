"""Texts of others on their way to a terminal, a log or a report: nothing in them is obeyed, and all of them is seen.

A model's answer, a case's id or a file's value may hold escape sequences for a terminal, or a line that a CI server
takes for a command (``::error``, ``##[group]``).
"""

from __future__ import annotations

import json
import re
import unicodedata

_UNSEEN = frozenset({"Cc", "Cf", "Cs", "Zl", "Zp"})
"""Controls, marks that turn or hide what follows, halves of pairs, and separators that end a line."""
_JOINERS = frozenset("\u200c\u200d")
"""Parts of words in Persian, and of pictures in every language."""

# Azure and older runners look for theirs anywhere in a line, GitHub at its beginning.
_COMMAND = re.compile(r"^(?P<space>\s*):(?=:)|#(?P<name>#[A-Za-z]*\[)", re.MULTILINE)


def visible(text: str, keep: str = "") -> str:
    r"""Return a text with what cannot be seen, line ends too, written as in Python, but for the letters in ``keep``.

    >>> print(visible("a\x1b[2Jb\r\n\u202ec"), visible("a\nb\x07", keep="\n") == "a\nb\\x07")
    a\x1b[2Jb\r\n\u202ec True
    """
    if text.isascii() and text.isprintable():
        return text
    return "".join(
        letter.encode("unicode_escape").decode()
        if letter not in keep and letter not in _JOINERS and unicodedata.category(letter) in _UNSEEN
        else letter
        for letter in text
    )


def unobeyed(text: str) -> str:
    r"""Return lines of which no CI server takes any for a command.

    >>> print(unobeyed("a::b\n ::error::c\n##[group]d ##vso[e]"))
    a::b
     \x3a:error::c
    \x23#[group]d \x23#vso[e]
    """
    return _COMMAND.sub(lambda at: rf"{at['space']}\x3a" if at["name"] is None else rf"\x23{at['name']}", text)


def harmless(text: str) -> str:
    """Return lines that are shown as they are, and not obeyed."""
    return unobeyed(visible(text, keep="\n\t"))


def harmless_json(line: str) -> str:
    r"""Return a line of JSON, the same value, that is shown as it is and not obeyed.

    >>> print(harmless_json('{"a": "##[b]\x9b"}'))
    {"a": "\u0023#[b]\u009b"}
    """
    seen = "".join(
        json.dumps(letter)[1:-1] if not letter.isascii() and unicodedata.category(letter) in _UNSEEN else letter
        for letter in line.replace("\x7f", "\\u007f")
    )
    return re.sub(r"#(#[A-Za-z]*\[)", r"\\u0023\1", seen)
