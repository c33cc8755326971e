"""Changes of letters: slips of the keyboard, casing, white space, look-alikes, accents. All keep the reference."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Callable, Mapping

from evalsvc.perturbation.values import Around, Kind, on_question, some

# Words of letters alone, no part of an address, a path or an identifier.
_WORD = re.compile(r"(?<![\w/@:.#-])[^\W\d_]{3,}(?![\w/@:-]|\.\w)")
_GAP = re.compile(r"(?<=\S) (?=\S)")
_SPACES = ("  ", "   ", "\t", " \n", "\u00a0", "\u2003")

_ROWS = ("qwertyuiop", "asdfghjkl", "zxcvbnm")
_NEIGHBOURS: Mapping[str, str] = {
    letter: "".join(
        other
        for height, others in enumerate(_ROWS)
        for column, other in enumerate(others)
        if other != letter and abs(height - row) <= 1 and abs((column + height / 2) - (place + row / 2)) <= 1.0
    )
    for row, letters in enumerate(_ROWS)
    for place, letter in enumerate(letters)
}
"""Which keys touch a key on a US keyboard, whose rows are half a key apart."""

# Cyrillic letters that Unicode lists as confusable with Latin ones (UTS 39, confusables.txt).
_LOOKALIKES: Mapping[str, str] = dict(
    zip(
        "aceopxyijsABCEHIKMOPTX",
        "\u0430\u0441\u0435\u043e\u0440\u0445\u0443\u0456\u0458\u0455"
        "\u0410\u0412\u0421\u0415\u041d\u0406\u041a\u041c\u041e\u0420\u0422\u0425",
        strict=True,
    )
)
_STROKES = str.maketrans(
    {
        "\u00df": "ss",
        "\u00e6": "ae",
        "\u00c6": "AE",
        "\u0153": "oe",
        "\u0152": "OE",
        "\u00f8": "o",
        "\u00d8": "O",
        "\u0142": "l",
        "\u0141": "L",
        "\u0111": "d",
        "\u0110": "D",
        "\u0131": "i",
    }
)


def typos(text: str, around: Around) -> str | None:
    """Give a share of the words one slip each: a neighbouring key, two letters swapped, one dropped or doubled.

    The first letter stays, as it mostly does in people's typing errors.
    """
    words = list(_WORD.finditer(text))
    if not words:
        return None
    parts: list[str] = []
    end = 0
    for place in some(around.random, list(range(len(words))), around.amounts.typos):
        word = words[place]
        parts += [text[end : word.start()], _slip(word.group(), around)]
        end = word.end()
    return "".join([*parts, text[end:]])


def _slip(word: str, around: Around) -> str:
    place = around.random.randrange(1, len(word))
    letter = word[place]
    kind = around.random.choice(("neighbour", "swap", "drop", "double"))
    near = _NEIGHBOURS.get(letter.lower(), "")
    if kind == "neighbour" and near:
        new = around.random.choice(near)
        return word[:place] + (new.upper() if letter.isupper() else new) + word[place + 1 :]
    if kind == "swap" and place + 1 < len(word) and word[place + 1] != letter:
        return word[:place] + word[place + 1] + letter + word[place + 2 :]
    return word[:place] + (letter * 2 if kind == "double" else "") + word[place + 1 :]


def _cased(change: Callable[[str], str]) -> Callable[[str, Around], str | None]:
    return lambda text, _: change(text)


def whitespace(text: str, around: Around) -> str | None:
    """Make a share of the single spaces wider, tabs, ends of lines or no-break spaces, and put some around the text."""
    gaps = [match.start() for match in _GAP.finditer(text)]
    parts, end = [around.random.choice(("", " ", "\n"))], 0
    for place in some(around.random, gaps, around.amounts.gaps) if gaps else []:
        parts += [text[end:place], around.random.choice(_SPACES)]
        end = place + 1
    return "".join([*parts, text[end:], around.random.choice(("  ", "\n", " \n"))])


def lookalikes(text: str, around: Around) -> str | None:
    """Exchange a share of the Latin letters that have a Cyrillic look-alike."""
    places = [place for place, letter in enumerate(text) if letter in _LOOKALIKES]
    if not places:
        return None
    letters = list(text)
    for place in some(around.random, places, around.amounts.lookalikes):
        letters[place] = _LOOKALIKES[letters[place]]
    return "".join(letters)


def accents_dropped(text: str, around: Around) -> str | None:
    """Write Latin letters without accents, as on a foreign keyboard; other scripts keep their marks.

    >>> from random import Random
    >>> from evalsvc.perturbation.values import Amounts
    >>> accents_dropped("Où est la Größe?", Around(Random(1), Amounts(), ()))
    'Ou est la Grosse?'
    """
    whole = unicodedata.normalize("NFC", text)
    bare = "".join(_bare(letter) for letter in whole).translate(_STROKES)
    return None if bare == whole else bare


def _bare(letter: str) -> str:
    base = unicodedata.normalize("NFD", letter)[0]
    return base if base.isascii() and base.isalpha() else letter


KINDS: Mapping[str, Kind] = {
    "typos": Kind("slips of the keyboard in some words", True, on_question(typos)),
    "upper_case": Kind("all in capitals", True, on_question(_cased(str.upper))),
    "lower_case": Kind("without capitals", True, on_question(_cased(str.lower))),
    "swapped_case": Kind("capitals small and small letters capital", True, on_question(_cased(str.swapcase))),
    "whitespace": Kind("other white space between words and around the text", True, on_question(whitespace)),
    "lookalikes": Kind("Cyrillic letters that look like Latin ones", True, on_question(lookalikes)),
    "accents_dropped": Kind("Latin letters without accents", True, on_question(accents_dropped)),
}
