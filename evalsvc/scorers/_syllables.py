"""How many syllables a word has, by rules over its vowel letters, in the five languages with a Flesch formula.

A run of vowels is a syllable, except that

* English: a final silent e and the e of -ed and -es are none, and some pairs (``ia``, ``io``, ``eo`` …) are two;
* German: only ``ai au äu ei eu ie``, doubled vowels and their spellings with y are one, other neighbours are two;
* French: ï and ë begin a new one, and so do é, è, ê after a, o and a vowel after é; a final mute -e, -es is none;
* Spanish: each of ``a e o`` and each accented i, u is one; other i, u lean on them; ``que`` and ``gui`` have no u;
* Italian: as Spanish, and a word whose only vowels are i or u and a last vowel has two (``mia``, ``due``).

Rules err on loan words, names and compounds; ``docs/reference/scorers/readability.md`` has their accuracy.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from functools import lru_cache
from unicodedata import normalize

LONGEST_KEPT_WORD = 32
"""Longer words come too rarely again to be worth their memory."""


def syllables(word: str, language: str) -> int:
    """Return the number of syllables of a word in ``de en es fr it``, at least 1.

    >>> [syllables(word, "en") for word in ("readability", "played", "science")]
    [5, 1, 2]
    >>> syllables("Geschwindigkeit", "de"), syllables("había", "es"), syllables("nation", "fr")
    (4, 3, 2)
    """
    return _remembered(word, language) if len(word) <= LONGEST_KEPT_WORD else _count(word, language)


def _count(word: str, language: str) -> int:
    return max(_RULES[language](normalize("NFC", word.lower())), 1)


_remembered = lru_cache(maxsize=1 << 14)(_count)


_EN_RUN = re.compile(r"[aeiouy]+")
_EN_SILENT = (
    # "statement", "something", "lonely", but "element" keeps it.
    re.compile(r"(?<=[aeiouy][^aeiouywl])e(?=(?:ment|ly|ful|less|ness|thing|time|one|body|where|book|man)s?)"),
    # "take", "league", but "the", "table", "centre" keep it.
    re.compile(r"(?<=[aeiouy]g)ues?$|(?<![aeiouy])(?<![^aeiouy][lr])e$"),
    # "makes", "serves", but "places", "boxes", "dishes", "tables" keep it.
    re.compile(r"(?<![aeiouysxzcg])(?<![cs]h)(?<![^aeiouy]l)es$"),
    # "played", "asked", but "wanted", "needed", "struggled" keep it.
    re.compile(r"(?<![td])(?<![^aeiouyl]l)ed$"),
)
_EN_TWO = re.compile(
    r"(?<![ctsgxh])(?<!ll)ia|(?<![ctsgxhn])(?<!ll)io(?!u)|(?<=[ctg])iat|(?<=[bdlnprv])iou|(?<=[bdnprtv])ium|"
    r"(?<![pg])eo(?!u)|(?<![gq])ua(?!r[dy])|uou|ue(?=[ln]t)|ui(?=ti)|[aeiou]ing|"
    r"(?<![tc])ie(?=n[ct])|(?<=sc)ie(?=nc)|ie(?=ty|t$)|ier$|iest$|(?<=cr)ea(?=t)|(?<=r)ea(?=li)|(?<=[dr])ea(?=s?$)|"
    r"(?<=[aeiou])y(?=[aeiou])|y[ai]|yo(?=n)|ao(?=s$)|oe[mt]|sm$"
)


_EN_KNOWN = {"business": 2, "every": 2, "everyone": 3, "everything": 3, "eye": 1, "eyes": 1, "mr": 2, "mrs": 2}


def _english(word: str) -> int:
    if word in _EN_KNOWN:
        return _EN_KNOWN[word]
    core = word.partition("'")[0].replace("qu", "q")
    for silent in _EN_SILENT:
        core = silent.sub("", core)
    return len(_EN_RUN.findall(core)) + len(_EN_TWO.findall(core))


_DE_NUCLEUS = re.compile(r"aa|ee|oo|ai|ay|au|äu|ei|ey|eu(?!ms?$)|ie|[aeiouyäöüéèàâêô]")
# "Fe-ri-en", "Li-ni-e"; the list is of frequent nouns, since "Energie" and "Kopie" end otherwise.
_DE_TWO = re.compile(r"[aeiou][lnrstdb]ien$|(?:famil|lin|fol|präm|ser|akt|stud)ie$")


def _german(word: str) -> int:
    word = word.replace("qu", "q")
    return len(_DE_NUCLEUS.findall(word)) + len(_DE_TWO.findall(word))


_FR_RUN = re.compile(r"[aeiouyàâäéèêëïîôöùûüœæ]+")
_FR_MUTE = re.compile(r"(?:(?<=[gq])u)?es?$")
_FR_BREAK = re.compile(
    r"(?<=é)(?=[aeiouyâôûè])|(?<=[ao])(?=[éèê])|(?=[ïë])|(?<=[bcdfgptv][lr]i)(?=[aeéèo])|(?<=pa)(?=ys)"
)
_FR_BETWEEN_VOWELS = re.compile(r"(?<=[aeou])y(?=[aeiouéèâ])")


def _french(word: str) -> int:
    word = word.replace("qu", "q").replace("oeu", "œu")
    word = _FR_BETWEEN_VOWELS.sub("j", _FR_MUTE.sub("", word))
    return len(_FR_RUN.findall(_FR_BREAK.sub("-", word)))


_ES_RUN = re.compile(r"[aeiouáéíóúüy]+")
_ES_STRONG = re.compile(r"[aeoáéíóú]")
_ES_SILENT = re.compile(r"qu|gu(?=[eiéí])")
_ES_CONSONANT = re.compile(r"y(?=[aeiouáéíóú])")


def _spanish(word: str) -> int:
    word = _ES_CONSONANT.sub("j", _ES_SILENT.sub("g", word))
    return sum(max(len(_ES_STRONG.findall(run)), 1) for run in _ES_RUN.findall(word))


_IT_RUN = re.compile(r"[aeiouàèéìíòóùú]+")
_IT_STRONG = re.compile(r"[aeoàèéìíòóùú]")
_IT_SILENT = re.compile(r"(?<=[cg])i(?=[aeouàèéòóù])|(?<=q)u")
_IT_CONSONANT = re.compile(r"(?<=[aeou])i(?=[aeou])")
# "mi-a", "du-e"; "e-ner-gi-a", "e-co-no-mi-a": the stress is on an i that bears no accent.
_IT_SHORT = re.compile(r"[^aeiouàèéìòù]*[iu][aeo]")
_IT_STRESSED = re.compile(r"(?:log|erg|nom|graf|craz|mac|fon|sof|liz)i[ae]$")


def _italian(word: str) -> int:
    stressed = bool(_IT_STRESSED.search(word))
    word = _IT_SILENT.sub("", word)
    if _IT_SHORT.fullmatch(word):
        return 2
    runs = _IT_RUN.findall(_IT_CONSONANT.sub("j", word))
    return stressed + sum(max(len(_IT_STRONG.findall(run)), 1) for run in runs)


_RULES: Mapping[str, Callable[[str], int]] = {
    "de": _german,
    "en": _english,
    "es": _spanish,
    "fr": _french,
    "it": _italian,
}
