"""How many of a response's word n-grams are new and how many came before, in one pass."""

from __future__ import annotations

from typing import NamedTuple

from evalsvc.scorers._words import folded, word_spans


class Repeats(NamedTuple):
    """The word n-grams of a text: how many, how many differ, and where the first one that came before stands."""

    words: int
    total: int
    distinct: int
    first_repeat: tuple[int, int] | None


def count_repeats(text: str, order: int) -> Repeats:
    """Count the n-grams of ``order`` words. Time and memory are linear in the text's length.

    >>> count_repeats("no no no, oh no", 2)
    Repeats(words=5, total=4, distinct=3, first_repeat=(3, 8))
    """
    spans = list(word_spans(text))
    numbers: dict[str, int] = {}
    codes = [numbers.setdefault(folded(text[start:end]), len(numbers)) for start, end in spans]
    seen: set[tuple[int, ...]] = set()
    first: tuple[int, int] | None = None
    grams = zip(*(codes[offset:] for offset in range(order)), strict=False)
    for place, gram in enumerate(grams):
        if first is None and gram in seen:
            first = (spans[place][0], spans[place + order - 1][1])
        seen.add(gram)
    return Repeats(len(spans), max(len(spans) - order + 1, 0), len(seen), first)
