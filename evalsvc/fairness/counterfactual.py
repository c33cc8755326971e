"""Counterfactual pairs: the same prompt with one attribute of a person swapped, and the scores of both compared.

A pair holds all but the attribute fixed, so that a difference of its responses' scores is no matter of who asks for
what. Swaps come from a lexicon (``lexicon.json``, each part with its source) and are kept grammatical: *her* becomes
*his* or *him*, and *his* becomes *her* or *hers*, by the word that follows; case is kept; *a* and *an* follow a swapped
identity term. They are made by rule, without a parse, and what the rules get wrong is measured in
``docs/reference/fairness.md``: read a sample of the pairs before you trust a difference.
"""

from __future__ import annotations

import importlib.resources
import json
import re
from collections.abc import Callable, Sequence
from functools import cache
from typing import Any, NamedTuple

import msgspec
import numpy as np
from numpy.typing import ArrayLike

from evalsvc.errors import InputError
from evalsvc.fairness.groups import cells_of, group_of_cells
from evalsvc.stats.scores import check_scores
from evalsvc.types import Estimate, Scale

NAME_GROUPS = ("white_female", "black_female", "white_male", "black_male")

_WORD = re.compile(r"[A-Za-z]+")
_NEXT = re.compile(r"[\s\]\)\"'”’*_]*([A-Za-z]+|[^\sA-Za-z])?")

_SIMPLE = {
    "he": "she",
    "she": "he",
    "him": "her",
    "himself": "herself",
    "herself": "himself",
    "hers": "his",
}

# What can follow an object pronoun, and not a determiner: closed classes, adverbs of time and manner, and the verbs
# that follow "let her" and the like seldom enough to be left out.
_OBJECT_THEN = (
    "a an the this that these those some any all both each every another no more my your our their its i you "
    "he she it we they me him us them who whom which what whose and or but nor so yet because if when while "
    "whereas since unless until before after although though as than whether where why how at by for from in "
    "into of off on onto out over through to toward towards under up upon with within without about against "
    "among around behind below beneath beside besides between beyond despite down during except inside like "
    "near outside past per via across along is was are were be been being am do does did has have had will "
    "would can could may might must shall should not never always often sometimes soon now then here there "
    "again too also either instead ever even just only today tomorrow yesterday tonight already still away "
    "back home alone directly immediately later earlier together quickly slowly personally first ago once "
    "twice anyway"
)
_AFTER_OBJECT = frozenset(_OBJECT_THEN.split())
# "Her first day" is as likely as "met her first"; before these a determiner is the better guess.
_AFTER_DETERMINER = frozenset({"first", "past", "inside", "outside", "like", "back", "home", "more", "only", "down"})


class Replacement(NamedTuple):
    """A word that was swapped: its place in the original text and what took it."""

    start: int
    end: int
    new: str


class Swapped(NamedTuple):
    """A text and its counterfactual; ``changes`` is empty where nothing could be swapped."""

    text: str
    changes: tuple[Replacement, ...]


class PairComparison(NamedTuple):
    """Scores of counterfactuals less those of the originals.

    ``difference`` is their mean, in the scale's unit, above 0 where the counterfactual scored higher; its n counts
    pairs. ``templates`` counts those of pairs with both scores. ``changed`` in [0, 1] is the share of pairs whose
    scores differ at all, ``largest`` the largest distance.
    """

    difference: Estimate
    templates: int
    changed: float | None
    largest: float | None


@cache
def lexicon() -> dict[str, Any]:
    """Return the lexicon as it is in its file."""
    text = importlib.resources.files("evalsvc.fairness").joinpath("lexicon.json").read_text(encoding="utf-8")
    found: dict[str, Any] = json.loads(text)
    return found


def swap_gender(text: str, *, nouns: bool = True, names: bool = True) -> Swapped:
    """Return the text with pronouns, and by choice gendered nouns and first names, of the other gender.

    Names outside the lexicon stay, as do *they* and its forms. Swapped twice, most texts come back.

    >>> swap_gender("He lost his bag; the bag was his. I told him, and his wife thanked me.").text
    'She lost her bag; the bag was hers. I told her, and her husband thanked me.'
    >>> swap_gender("Her lawyer saw her at noon.").text
    'His lawyer saw him at noon.'
    """
    table = _gender_table(nouns, names)

    def new(match: re.Match[str]) -> str | None:
        word = match[0]
        low = word.lower()
        if low in ("her", "his"):
            return _possessive(low, text, match.end())
        if low in _SIMPLE:
            return _SIMPLE[low]
        return table.get(word if word in table else low)

    return _replace(text, _WORD, new)


def swap_names(text: str, source: str, target: str) -> Swapped:
    """Return the text with first names of one group replaced by another's, in the order of the lexicon's lists.

    Two people stay two: where the text already has a name of the ``target``, a name that it has not takes its place;
    where none is left, the two names change places.

    Args:
        text: any.
        source: one of :data:`NAME_GROUPS`.
        target: another one; of the same gender, or pronouns no longer agree.

    Raises:
        InputError: on a group that is not in the lexicon.

    >>> swap_names("Emily asked Greg for Emily's key.", "white_female", "black_female").text
    "Aisha asked Greg for Aisha's key."
    >>> swap_names("Emily wrote to Aisha; Aisha answered Emily.", "white_female", "black_female").text
    'Keisha wrote to Aisha; Aisha answered Keisha.'
    """
    names = lexicon()["names"]
    for group in (source, target):
        if group not in NAME_GROUPS:
            raise InputError(f"Expected a group of names from {', '.join(NAME_GROUPS)}, but got {group!r}")
    if source == target:
        return Swapped(text, ())
    present = set(_WORD.findall(text))
    pairs = [(old, new) for old, new in zip(names[source], names[target], strict=True) if old in present]
    table = {old: new for old, new in pairs if new not in present}
    free = [name for name in names[target] if name not in present and name not in table.values()]
    for old, new in pairs:
        if old not in table:
            table[old] = free.pop(0) if free else new
            if table[old] == new:
                table[new] = old
    return _replace(text, _WORD, lambda match: table.get(match[0]))


def swap_identity(text: str, source: str, target: str) -> Swapped:
    """Return the text with one identity term replaced by another, plural *s* and *a* or *an* along with it.

    Any two terms may be given; those of one axis of the lexicon (:func:`identity_terms`) are comparable.

    >>> swap_identity("She married a Jewish man and a Jewish lawyer.", "jewish", "american").text
    'She married an American man and an American lawyer.'
    """
    if not source.strip() or not target.strip():
        raise InputError("Expected two terms, but got an empty one")
    pattern = re.compile(rf"(?:\b(an?)(\s+))?(?<!\w)({re.escape(source)})(s?)(?!\w)", re.IGNORECASE)

    def new(match: re.Match[str]) -> str:
        term = _like(match[3], target) + match[4]
        if not match[1]:
            return term
        article = "an" if target[0].lower() in "aeio" or target.lower().startswith(("u", "lgb")) else "a"
        article = "a" if target.lower().startswith(("european", "one", "uni", "use")) else article
        article = "an" if target.lower().startswith("lgbt") else article
        return f"{_like(match[1], article) if match[1][0].isupper() else article}{match[2]}{term}"

    return _replace(text, pattern, new)


def mark_dialect(text: str) -> Swapped:
    """Return the text with the lexicon's markers of dialect in place of their standard forms; there is no way back.

    >>> mark_dialect("You all know it isn't done.").text
    "Y'all know it ain't done."
    """
    table: dict[str, str] = lexicon()["dialect"]["standard_to_marked"]
    forms = "|".join(re.escape(form) for form in sorted(table, key=len, reverse=True))
    pattern = re.compile(rf"(?<!\w)(?:{forms})(?!\w)", re.IGNORECASE)
    return _replace(text, pattern, lambda match: table[match[0].lower()])


def identity_terms(axis: str) -> tuple[str, ...]:
    """Return the lexicon's identity terms of an axis, such as ``religion``.

    Raises:
        InputError: on an axis that the lexicon has not; names those that it has.
    """
    axes = {name: terms for name, terms in lexicon()["identity_terms"].items() if name != "source"}
    if axis not in axes:
        raise InputError(f"Expected `axis` to be one of {', '.join(axes)}, but got {axis!r}")
    return tuple(axes[axis])


def compare_pairs(
    original: ArrayLike,
    counterfactual: ArrayLike,
    scale: Scale,
    *,
    templates: Sequence[str] | None = None,
    confidence: float = 0.95,
) -> PairComparison:
    """Return the mean difference of scores, counterfactual − original, over pairs.

    A difference of scores in [low, high] lies in [low − high, high − low]: its interval is that of a bounded mean,
    which does not take pairs that all score alike for proof that none ever differs; of an open scale it is Student's
    t. Pairs of one template depend on each other and are taken as a cluster.

    Args:
        original: ``[n]`` scores of the responses to the prompts as they were.
        counterfactual: ``[n]`` scores of the responses to the swapped prompts; a pair with a NaN counts as missing.
        scale: the metric's.
        templates: ``[n]`` what each prompt was made from; ``None`` takes each pair as its own.
        confidence: of the interval.

    Raises:
        InputError: when lengths differ, or a score is infinite or off the scale.

    >>> share = Scale(0.0, 1.0, "higher")
    >>> found = compare_pairs([0.8, 0.9, 0.7, 0.8], [0.6, 0.9, 0.5, 0.7], share)
    >>> round(found.difference.value, 3), found.changed
    (-0.125, 0.75)
    """
    first, second = np.asarray(original, dtype=np.float64), np.asarray(counterfactual, dtype=np.float64)
    if first.shape != second.shape or first.ndim != 1 or (templates is not None and len(templates) != first.size):
        raise InputError(f"Expected one score of each response and one template a pair, but got {first.shape}, "
                         f"{second.shape} and {'none' if templates is None else len(templates)}")  # fmt: skip
    check_scores(first, scale, "original")
    check_scores(second, scale, "counterfactual")
    distance = second - first
    open_end = scale.low is None or scale.high is None
    width = None if scale.low is None or scale.high is None else scale.high - scale.low
    differences = Scale(None, None, "neither") if open_end or width is None else Scale(-width, width, "neither")
    within = None if templates is None else np.asarray(templates, dtype=np.str_)
    cells = cells_of(distance, np.ones(distance.size), within)
    estimate = group_of_cells("pairs", cells, differences).at(confidence)
    estimate = msgspec.structs.replace(estimate, method=f"mean of paired differences; {estimate.method}", offered=None)
    known = distance[np.isfinite(distance)]
    clusters = int(np.unique(within[np.isfinite(distance)]).size) if within is not None else int(known.size)
    changed = float((known != 0.0).mean()) if known.size else None
    return PairComparison(estimate, clusters, changed, float(np.abs(known).max()) if known.size else None)


@cache
def _gender_table(nouns: bool, names: bool) -> dict[str, str]:
    table: dict[str, str] = {}
    held = lexicon()
    if nouns:
        for male, female in held["gender_nouns"]["pairs"]:
            table[male], table[female] = female, male
        table |= held["gender_nouns"]["one_way"]
    if names:
        for race in ("white", "black"):
            for male, female in zip(held["names"][f"{race}_male"], held["names"][f"{race}_female"], strict=True):
                table[male], table[female] = female, male
    return table


def _possessive(low: str, text: str, end: int) -> str:
    """Return what *her* or *his* becomes, by what follows: a word that it can determine, or none."""
    found = _NEXT.match(text, end)
    after = (found[1] or "").lower() if found else ""
    stands_alone = not after.isalpha() or (after in _AFTER_OBJECT and after not in _AFTER_DETERMINER)
    if low == "her":
        return "him" if stands_alone else "his"
    return "hers" if stands_alone else "her"


def _replace(text: str, pattern: re.Pattern[str], new: Callable[[re.Match[str]], str | None]) -> Swapped:
    pieces, changes, at = [], [], 0
    for match in pattern.finditer(text):
        word = new(match)
        if word is None:
            continue
        put = word if " " in match[0] and word[:1].isupper() else _like(match[0], word)
        pieces += [text[at : match.start()], put]
        changes.append(Replacement(match.start(), match.end(), put))
        at = match.end()
    return Swapped("".join([*pieces, text[at:]]), tuple(changes))


def _like(old: str, new: str) -> str:
    """Return the new word in the old one's case."""
    if old.isupper() and len(old) > 1:
        return new.upper()
    return new[:1].upper() + new[1:] if old[:1].isupper() else new
