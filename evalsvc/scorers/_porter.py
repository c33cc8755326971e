"""The Porter stemmer with nltk's extensions, which rouge-score uses, for words of a-z and 0-9.

nltk's own takes several times as long, most of it for rules that cannot match, and importing it imports scikit-learn
and scipy where they are installed. The tests compare the two on every word of the shared texts and on made ones.
"""

from __future__ import annotations

from collections.abc import Iterable

_SHAPE = str.maketrans({chr(code): "v" if chr(code) in "aeiou" else "c" for code in range(128)})

# What nltk looks up before any rule.
_IRREGULAR = {
    "sky": "sky",
    "skies": "sky",
    "dying": "die",
    "lying": "lie",
    "tying": "tie",
    "news": "news",
    "innings": "inning",
    "inning": "inning",
    "outings": "outing",
    "outing": "outing",
    "cannings": "canning",
    "canning": "canning",
    "howe": "howe",
    "proceed": "proceed",
    "exceed": "exceed",
    "succeed": "succeed",
}

Rules = dict[str, tuple[tuple[str, str], ...]]


def _by_last_two(rules: Iterable[tuple[str, str]]) -> Rules:
    """Group (suffix, replacement) by the suffix's last two letters, in their order: the first that fits decides."""
    grouped: Rules = {}
    for rule in rules:
        grouped[rule[0][-2:]] = (*grouped.get(rule[0][-2:], ()), rule)
    return grouped


_STEP_2 = _by_last_two(
    (
        ("ational", "ate"),
        ("tional", "tion"),
        ("enci", "ence"),
        ("anci", "ance"),
        ("izer", "ize"),
        ("bli", "ble"),
        ("entli", "ent"),
        ("eli", "e"),
        ("ousli", "ous"),
        ("ization", "ize"),
        ("ation", "ate"),
        ("ator", "ate"),
        ("alism", "al"),
        ("iveness", "ive"),
        ("fulness", "ful"),
        ("ousness", "ous"),
        ("aliti", "al"),
        ("iviti", "ive"),
        ("biliti", "ble"),
        ("fulli", "ful"),
    )
)
_STEP_3 = _by_last_two(
    (
        ("icate", "ic"),
        ("ative", ""),
        ("alize", "al"),
        ("iciti", "ic"),
        ("ical", "ic"),
        ("ful", ""),
        ("ness", ""),
    )
)
_STEP_4 = _by_last_two(
    (suffix, "")
    for suffix in (
        *("al", "ance", "ence", "er", "ic", "able", "ible", "ant", "ement", "ment", "ent", "ion", "ou", "ism"),
        *("ate", "iti", "ous", "ive", "ize"),
    )
)


def stem(word: str) -> str:
    """Return the stem of a word of a-z and 0-9, the one of nltk's ``PorterStemmer``.

    >>> stem("relational"), stem("happily"), stem("skies")
    ('relat', 'happili', 'sky')
    """
    irregular = _IRREGULAR.get(word)
    if irregular is not None:
        return irregular
    if len(word) <= 2:
        return word
    word = _with_i(_without_inflection(word))
    ending = word[-2:]
    if ending in _STEP_2 or ending == "gi":
        word = _step_2(word)
    rules = _STEP_3.get(word[-2:])
    if rules:
        word = _replaced(word, rules, 0)
    rules = _STEP_4.get(word[-2:])
    if rules:
        word = _replaced(word, rules, 1)
    return _step_5(word)


def _without_inflection(word: str) -> str:
    """Steps 1a and 1b: plurals, -ed and -ing."""
    if word[-1] == "s":
        if word.endswith("ies"):
            return word[:-1] if len(word) == 4 else word[:-2]
        if word.endswith("sses"):
            return word[:-2]
        if word[-2] == "s":
            return word
        word = word[:-1]
    if word.endswith("ed"):
        if word.endswith("ied"):
            return word[:-1] if len(word) == 4 else word[:-2]
        if word.endswith("eed"):
            return word[:-1] if _measure(word[:-3]) > 0 else word
        base = word[:-2]
    elif word.endswith("ing"):
        base = word[:-3]
    else:
        return word
    shape = _shape(base)
    if "v" not in shape:
        return word
    if base.endswith(("at", "bl", "iz")):
        return base + "e"
    if shape[-1] == "c" and base[-1] == base[-2:-1]:
        return base if base[-1] in "lsz" else base[:-1]
    return base + "e" if shape.count("vc") == 1 and _ends_cvc(base, shape) else base


def _with_i(word: str) -> str:
    """Step 1c: a last y after a consonant becomes i, except in a word of two letters."""
    if word[-1] == "y" and len(word) > 2 and _shape(word[:-1])[-1] == "c":
        return word[:-1] + "i"
    return word


def _step_2(word: str) -> str:
    if word.endswith("alli"):
        if _measure(word[:-4]) == 0:
            return word
        word = word[:-2]
    elif word.endswith("logi"):
        return word[:-1] if _measure(word[:-3]) > 0 else word
    return _replaced(word, _STEP_2.get(word[-2:], ()), 0)


def _replaced(word: str, rules: tuple[tuple[str, str], ...], measure: int) -> str:
    """Replace the first suffix that fits, if what is before it has more than `measure` times vowel-consonant."""
    for suffix, replacement in rules:
        if word.endswith(suffix):
            base = word[: -len(suffix)]
            if _measure(base) <= measure or (suffix == "ion" and base[-1] not in "st"):
                return word
            return base + replacement
    return word


def _step_5(word: str) -> str:
    """Steps 5a and 5b: a last e, and one of two l."""
    if word[-1:] == "e":
        base = word[:-1]
        shape = _shape(base)
        measure = shape.count("vc")
        if measure > 1 or (measure == 1 and not _ends_cvc(base, shape)):
            word = base
    if word.endswith("ll") and _measure(word[:-1]) > 1:
        return word[:-1]
    return word


def _measure(word: str) -> int:
    """Return how often a vowel is followed by a consonant."""
    return _shape(word).count("vc")


def _ends_cvc(word: str, shape: str) -> bool:
    """Whether it ends consonant, vowel, consonant other than w, x and y; or is vowel, consonant."""
    return shape == "vc" or (shape[-3:] == "cvc" and word[-1] not in "wxy")


def _shape(word: str) -> str:
    """Return c for a consonant and v for a vowel; y is a vowel after a consonant only.

    >>> _shape("syzygy"), _shape("toy"), _shape("yes")
    ('cvcvcv', 'cvc', 'cvc')
    """
    shape = word.translate(_SHAPE)
    if "y" not in word:
        return shape
    kinds = []
    before = "v"
    for letter, kind in zip(word, shape, strict=True):
        before = ("v" if before == "c" else "c") if letter == "y" else kind
        kinds.append(before)
    return "".join(kinds)
