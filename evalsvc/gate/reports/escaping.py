"""Texts of others within Markdown: they are shown letter by letter, and mark up, link to and call nothing."""

from __future__ import annotations

import re

from evalsvc._plain import harmless, unobeyed, visible

JOINER = "\u2060"
"""A word joiner: no width, no break. Sites look for names, numbers and addresses after all markup is gone."""

_MARKUP = re.compile(r"[\\`*\[\]~$!]|_(?![A-Za-z0-9])|(?<![A-Za-z0-9])_")
_ENTITIES = {"&": "&amp;", "<": "&lt;", ">": "&gt;", "|": "&vert;"}
# A name, a number of an issue, an address, a smiley: each is one only with what follows its first letters.
_CALLS = re.compile(r"[@#](?=\w)|GH-(?=\d)|www(?=\.)|(?<=mailto):|(?<=xmpp):|:(?=//|[a-z0-9_+-]+:)", re.IGNORECASE)
_FIRST = re.compile(r"^(?P<digits>\d*)(?P<sign>[.)](?!\d)|[-+](?!\d)|[#=])")


def text(given: str) -> str:
    r"""Return a text for a paragraph, a heading or a cell of a table, on one line.

    >>> print(text("a | **b** [c](d)\n<e> token_f1"))
    a &vert; \*\*b\*\* \[c\](d) &lt;e&gt; token_f1
    """
    line = visible(re.sub(r"\s*[\r\n]+\s*", " ", given)).strip()
    line = re.sub("[&<>|]", lambda at: _ENTITIES[at[0]], _MARKUP.sub(lambda at: f"\\{at[0]}", line))
    line = _FIRST.sub(lambda at: f"{at['digits']}\\{at['sign']}", line)
    return unobeyed(_CALLS.sub(lambda at: at[0] + JOINER, line))


def block(kind: str, given: str) -> str:
    """Return a code block whose fence is longer than any run of backticks in the text."""
    shown = harmless(given)
    longest = max((len(run) for run in re.findall(r"`+", shown)), default=0)
    fence = "`" * max(3, longest + 1)
    return f"{fence}{kind}\n{shown}\n{fence}"
