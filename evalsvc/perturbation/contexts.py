"""Changes of contexts: distractors, another order, padding. A case without contexts has no such variant.

All keep the reference: what a good answer needs is still there. That a long context costs, and most in its middle, is
shown by Liu et al. (2024), *Lost in the Middle*.
"""

from __future__ import annotations

from collections.abc import Mapping

import msgspec

from evalsvc.cases.values import Case
from evalsvc.perturbation.values import Around, Kind

_FILLER = (
    "The reading room on the second floor is open on weekdays from nine in the morning until six in the evening.",
    "Visitors leave coats and umbrellas in the lockers beside the entrance, which take a coin that is given back.",
    "The canteen serves soup, salad and a warm dish at noon, and coffee for the whole day.",
    "A bicycle shed with forty places stands behind the main building, next to the old chestnut tree.",
    "The corridor on the north side is repainted this spring, and the pictures hang in the west wing meanwhile.",
    "Letters are collected twice a day from the box at the gate, and parcels once, in the early afternoon.",
    "The archive keeps maps of the region from the last two hundred years, sorted by sheet and by year.",
    "Meeting rooms are named after rivers, and each has a table, eight chairs and a board.",
)
"""Sentences about nothing that anybody asks, where the other cases' contexts do not suffice."""


def distractors(case: Case, around: Around) -> Case | None:
    """Put contexts of other groups' cases between a case's own, whose order stays."""
    others = [text for text in around.others if text not in case.contexts]
    if not case.contexts or not others:
        return None
    contexts = list(case.contexts)
    for text in around.random.sample(others, min(around.amounts.distractors, len(others))):
        contexts.insert(around.random.randint(0, len(contexts)), text)
    return msgspec.structs.replace(case, contexts=tuple(contexts))


def shuffled_contexts(case: Case, around: Around) -> Case | None:
    """Give the contexts another order."""
    if len(set(case.contexts)) < 2:
        return None
    contexts = list(case.contexts)
    while tuple(contexts) == case.contexts:
        around.random.shuffle(contexts)
    return msgspec.structs.replace(case, contexts=tuple(contexts))


def padded_contexts(case: Case, around: Around) -> Case | None:
    """Put texts that do not matter before and behind the contexts, until they have the wished number of words."""
    missing = around.amounts.padding_words - sum(len(text.split()) for text in case.contexts)
    if not case.contexts or missing <= 0:
        return None
    others = [text for text in around.others if text not in case.contexts]
    around.random.shuffle(others)
    sides: tuple[list[str], list[str]] = ([], [])
    turn = 0
    while missing > 0:
        text = others[turn] if turn < len(others) else " ".join(around.random.sample(_FILLER, len(_FILLER)))
        words = text.split()
        text = text if len(words) <= missing else " ".join(words[:missing])
        sides[turn % 2].append(text)
        missing -= max(1, len(words))
        turn += 1
    return msgspec.structs.replace(case, contexts=(*sides[0], *case.contexts, *sides[1]))


KINDS: Mapping[str, Kind] = {
    "distractors": Kind("contexts of other cases between its own", True, distractors),
    "shuffled_contexts": Kind("its contexts in another order", True, shuffled_contexts),
    "padded_contexts": Kind("contexts padded to many words, its own in the middle", True, padded_contexts),
}
