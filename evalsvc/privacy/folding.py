"""Texts as recognisers read them: foreign digits, full-width letters and hidden characters made plain.

Offsets survive: a :class:`Folded` text knows where each of its characters came from, so that what is masked
is the original stretch, hidden characters included.
"""

from __future__ import annotations

import unicodedata
from functools import lru_cache
from typing import NamedTuple

# Characters that show nothing and can be put inside a number or an address to hide it from a pattern.
HIDDEN = "\u00ad\u034f\u061c\u115f\u1160\u17b4\u17b5\u180e\u200b\u200c\u200d\u200e\u200f\u202a\u202b\u202c\u202d\u202e\
\u2060\u2061\u2062\u2063\u2064\u2066\u2067\u2068\u2069\ufe00\ufe01\ufe0e\ufe0f\ufeff"
COMPATIBILITY_BLOCKS = (
    (0x2070, 0x209F),
    (0x2460, 0x24FF),
    (0xFE50, 0xFE6F),
    (0xFF01, 0xFF5E),
    (0x1D400, 0x1D7FF),
)
LAST_DIGIT = 0x1FBF9


class Folded(NamedTuple):
    """A text to search and, where it differs in length from the original, where its characters came from.

    ``positions`` is ``None`` where character ``i`` is character ``i`` of the original.
    """

    text: str
    positions: tuple[int, ...] | None

    def original(self, start: int, end: int) -> tuple[int, int]:
        """Return the span of the original text that the span ``[start, end)`` was read from."""
        if self.positions is None or start >= end:
            return start, end
        return self.positions[start], self.positions[end - 1] + 1


@lru_cache(maxsize=1)
def folding_table() -> tuple[dict[int, str], frozenset[str]]:
    """Return what characters become, and those that become another or nothing. Costs 0.05 s, once."""
    table: dict[int, str] = {ord(character): "" for character in HIDDEN}
    for code in range(0x80, LAST_DIGIT + 1):
        digit = unicodedata.decimal(chr(code), None)
        if digit is not None:
            table[code] = str(digit)
    for low, high in COMPATIBILITY_BLOCKS:
        for code in range(low, high + 1):
            plain = unicodedata.normalize("NFKC", chr(code))
            if len(plain) == 1 and plain.isascii():
                table.setdefault(code, plain)
    return table, frozenset(map(chr, table))


def fold(text: str) -> Folded:
    r"""Return the text with every digit as ASCII, compatibility letters plain and hidden characters removed.

    >>> fold("\uff14\uff11\u200b\uff11\uff20").text
    '411@'
    >>> fold("\uff14\uff11\u200b\uff11").original(0, 3)
    (0, 4)
    >>> fold("plain").positions is None
    True
    """
    if text.isascii():
        return Folded(text, None)
    table, changing = folding_table()
    if changing.isdisjoint(text):
        return Folded(text, None)
    positions = tuple(index for index, character in enumerate(text) if table.get(ord(character)) != "")
    folded = text.translate(table)
    return Folded(folded, None if len(folded) == len(text) else positions)
