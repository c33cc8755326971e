"""Which language a text is in, or why that is not sure: py3langid behind checks of length, script and margin.

Code, addresses and markup are left out first. Scripts that one living language of any size is written in decide by
themselves; all else is py3langid's choice among all its languages, none excluded. Its labels are joined where ISO
639-3 has one macrolanguage for them (Bosnian, Croatian and Serbian; Bokmål and Nynorsk; Mandarin, Wu and Cantonese;
Malay and Indonesian …), since their written forms overlap too far to tell in a sentence or two. A language that
py3langid does not know is taken for its nearest: Tigrinya for Amharic, Sorbian for Polish.
"""

from __future__ import annotations

import re
from collections import Counter
from functools import lru_cache
from importlib import import_module
from importlib.metadata import version
from typing import Any, NamedTuple

from evalsvc.scorers import _prose
from evalsvc.scorers._prose import prose

MIN_CHARACTERS = 12
"""Letters that a text needs; one of a :data:`DENSE` script counts as three."""

MARGIN = 0.3
"""How far the best language's probability must lie above the second's."""

LONGEST = 2_000
"""How many characters of prose are looked at."""

REMEMBERED_TEXTS = 1_024
"""How many texts are remembered with their language."""

REMEMBERED_LENGTH = 4_000
"""How many characters a remembered text may have."""

SHARE = 0.8
"""The share of the letters that must be of one script."""

DENSE = ("Han", "Kana", "Hangul")
_WEIGHT = 3
_LETTERS_IN_OWN_SCRIPT = 4
_ONE_LANGUAGE = {
    "Kana": "ja",
    "Hangul": "ko",
    "Thai": "th",
    "Lao": "lo",
    "Khmer": "km",
    "Georgian": "ka",
    "Armenian": "hy",
    "Tamil": "ta",
    "Telugu": "te",
    "Kannada": "kn",
    "Malayalam": "ml",
    "Gujarati": "gu",
    "Gurmukhi": "pa",
    "Sinhala": "si",
}
_SEVERAL_LANGUAGES = (
    "Latin",
    "Cyrillic",
    "Arabic",
    "Han",
    "Devanagari",
    "Greek",
    "Hebrew",
    "Bengali",
    "Oriya",
    "Myanmar",
    "Ethiopic",
    "Tibetan",
)
_MACROLANGUAGE = {
    **dict.fromkeys(("wuu", "yue"), "zh"),
    "nn": "no",
    **dict.fromkeys(("bs", "hr", "sr"), "sh"),
    "id": "ms",
    **dict.fromkeys(("ary", "arz"), "ar"),
    "sdh": "ku",
    "ltg": "lv",
    "uzs": "uz",
    "gug": "gn",
    "fuv": "ff",
    "gom": "kok",
}
_NO_LANGUAGE = "zxx"


class Guess(NamedTuple):
    """An ISO 639 code, or ``None`` with the reason; ``margin`` is how sure it is, 1 where the script decides."""

    language: str | None
    reason: str = ""
    margin: float = 0.0


def signature(min_characters: int) -> str:
    """Return the part of a signature that names all that decides about a language."""
    rules = f"min:{min_characters}|margin:{MARGIN}|script:{SHARE}|{_prose.SIGNATURE}"
    return f"lang:py3langid.{version('py3langid')}|{rules}"


def load() -> None:
    """Load the model, which comes with py3langid (4.6 MB); a second call does nothing."""
    _identifier()
    _script_runs()


def languages() -> tuple[str, ...]:
    """Return every code that :func:`identify` can answer with, in alphabetical order."""
    labels = {_MACROLANGUAGE.get(label, label) for label in _identifier().nb_classes}
    return tuple(sorted({*labels, *_ONE_LANGUAGE.values()} - {_NO_LANGUAGE}))


def identify(text: str, min_characters: int = MIN_CHARACTERS) -> Guess:
    """Return the language of the text's prose. Looks at its first 2,000 characters.

    >>> identify("Wo finde ich die Rechnung vom letzten Monat?").language
    'de'
    >>> identify("See www.example.com/path").reason
    'fewer than 12 letters outside code and addresses'
    """
    # The scorers of language and of the answer's language ask about the same texts of a batch.
    return (_remembered if len(text) <= REMEMBERED_LENGTH else _identified)(text, min_characters)


def _identified(text: str, min_characters: int) -> Guess:
    plain = prose(text)[:LONGEST]
    letters = _letters(plain)
    if not letters:
        return Guess(None, "no letters outside code and addresses")
    script, count = letters.most_common(1)[0]
    if count < SHARE * letters.total():
        return Guess(None, "mixed scripts")
    own = _ONE_LANGUAGE.get(script)
    if own is not None and count >= _LETTERS_IN_OWN_SCRIPT:
        return Guess(own, margin=1.0)
    if letters.total() < min_characters:
        return Guess(None, f"fewer than {min_characters} letters outside code and addresses")
    return _classify(plain)


_remembered = lru_cache(maxsize=REMEMBERED_TEXTS)(_identified)


def _classify(plain: str) -> Guess:
    shares: Counter[str] = Counter()
    for label, probability in _identifier().rank(plain):
        shares[_MACROLANGUAGE.get(label, label)] += probability
    (first, best), (_, second) = shares.most_common(2)
    if first == _NO_LANGUAGE:
        return Guess(None, "no language found", best - second)
    if best - second < MARGIN:
        return Guess(None, "language not sure", best - second)
    return Guess(first, margin=best - second)


def _letters(plain: str) -> Counter[str]:
    """Count the letters of each script; kana makes the Chinese characters beside it Japanese, Hangul Korean."""
    found: Counter[str] = Counter()
    for match in _script_runs().finditer(plain):
        script = match.lastgroup or ""
        found[script] += len(match.group()) * (_WEIGHT if script in DENSE else 1)
    for own in ("Kana", "Hangul"):
        # A Chinese text may quote a Japanese name; Japanese prose is a third kana and more.
        if found["Han"] and found[own] * 4 >= found["Han"]:
            found[own] += found.pop("Han")
    return +found


@lru_cache(maxsize=1)
def _script_runs() -> re.Pattern[str]:
    names = [name for name in (*_SEVERAL_LANGUAGES, *_ONE_LANGUAGE) if name != "Kana"]
    known = [rf"(?P<{name}>[\p{{{name}}}&&\p{{L}}]+)" for name in names]
    kana = r"(?P<Kana>[\p{Hiragana}\p{Katakana}ー]+)"
    package = import_module("regex")
    pattern: re.Pattern[str] = package.compile("|".join([*known, kana, r"(?P<Other>\p{L})"]), package.V1)
    return pattern


@lru_cache(maxsize=1)
def _identifier() -> Any:  # noqa: ANN401 - py3langid ships no types
    module = import_module("py3langid.langid")
    return module.LanguageIdentifier.from_model_file(module.MODEL_FILE, norm_probs=True)
