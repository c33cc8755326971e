"""The prose of a text: what is left without code, addresses and tables, for scorers that read language."""

from __future__ import annotations

import re

LONGEST = 200_000
"""How many characters are read."""

# Each is linear: nothing that repeats can match in two ways, and what is bounded stays short.
_FENCED = re.compile(r"^[ \t]{0,3}(```|~~~)[^\n]*\n.*?(?:^[ \t]{0,3}\1[^\n]*$|\Z)", re.DOTALL | re.MULTILINE)
_INLINE_CODE = re.compile(r"`[^`\n]{1,200}`")
_ADDRESS = re.compile(r"(?:https?://|www\.)\S+|[\w.+-]{1,64}@[\w-]{1,64}(?:\.[\w-]{1,64}){1,4}", re.IGNORECASE)
_TAG = re.compile(r"</?[A-Za-z][^<>\n]{0,200}>")
_CODE_START = re.compile(
    r"\s*(?:>>> |\.\.\. |\$ |#include\b|#!|//|@\w+$|import [\w.]+(?: as \w+)?$|from [\w.]+ import |"
    r"(?:async )?def \w+\(|class \w+[:({]|(?:const|let|var) \w+ ?[=:;]|(?:fn|func|function) \w+\(|"
    r"(?:public|private|static) [\w<> ]+[({;=]|(?:SELECT|INSERT INTO|UPDATE|DELETE FROM|CREATE TABLE|FROM|WHERE) )"
)
_CODE_SIGNS = re.compile(r"[{}\[\]<>=|_\\;()/*+&^%$#@~]")
_SHARE_OF_SIGNS = 0.12


def prose(text: str) -> str:
    r"""Return the lines of prose, without code (fenced, in backticks, or by its looks), addresses and tags.

    >>> prose("Run `ls -l`, see https://example.com/a:\n```\nls -l\n```\nx = f(y);\nDone?")
    'Run  , see  \nDone?'
    """
    plain = _FENCED.sub("\n", text[:LONGEST])
    for pattern in (_INLINE_CODE, _ADDRESS, _TAG):
        plain = pattern.sub(" ", plain)
    return "\n".join(line for line in plain.split("\n") if line.strip() and not looks_like_code(line))


def looks_like_code(line: str) -> bool:
    """Whether a line opens as code does, or an eighth of its characters are the signs of code.

    >>> looks_like_code("for (i = 0; i < n; i++) {"), looks_like_code("It takes three days (or one).")
    (True, False)
    """
    if _CODE_START.match(line):
        return True
    filled = sum(map(len, line.split()))
    return len(_CODE_SIGNS.findall(line)) > _SHARE_OF_SIGNS * filled
