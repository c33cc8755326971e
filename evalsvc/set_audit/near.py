"""Texts that are nearly the same, found by MinHash (Broder 1997) and banding, each pair then compared exactly.

A text is the set of its runs of five characters, after Unicode folding, without regard to case and white space. How
alike two texts are is the Jaccard index of their sets. Runs that more than a tenth of all texts have, and more than
ten, are left out (a shared instruction makes no two cases alike), unless hardly anything else is left of a text.
"""

from __future__ import annotations

import unicodedata
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

Hashes = npt.NDArray[np.uint64]

RUN = 5
BANDS, ROWS = 32, 8
"""A pair of index .8 shares a band with chance .997, one of .6 with .42, one of .4 with .02."""

COMMON_SHARE, COMMON_LEAST = 0.1, 10
LEFT_LEAST = 8
NEIGHBOURS = 8
"""With how many others of its bucket a text is compared: of hundreds of copies each still finds some."""

_CHUNK = 8192
_SEED = 20260331


class Near(NamedTuple):
    """A pair of texts, by their places, the first before the second, and their Jaccard index in (0, 1]."""

    first: int
    second: int
    alike: float


def folded(text: str) -> str:
    """Return a text without regard to case, width of letters, and white space.

    >>> folded("Hello   World")
    'hello world'
    """
    return " ".join(unicodedata.normalize("NFKC", text).casefold().split())


def runs(text: str) -> Hashes:
    """Return the hashes of a folded text's runs of five characters, sorted, each once; of a shorter text its own."""
    codes = np.frombuffer(folded(text).encode("utf-32-le", "surrogatepass"), "<u4").astype(np.uint64)
    if not len(codes):
        return np.empty(0, np.uint64)
    if len(codes) < RUN:
        codes = np.concatenate((codes, np.zeros(RUN - len(codes), np.uint64)))
    mixed = np.zeros(len(codes) - RUN + 1, np.uint64)
    for place in range(RUN):
        mixed = _mix(mixed ^ codes[place : len(codes) - RUN + 1 + place])
    return np.unique(mixed)


def near_pairs(texts: Sequence[str], least: float = 0.8) -> list[Near]:
    """Return pairs of texts whose Jaccard index is at least ``least``, the most alike first.

    Of many copies of one text not all pairs are returned, but enough that :func:`groups` joins them.

    Args:
        texts: in any script; an empty one is like no other.
        least: in (0, 1]; below .6 many pairs are not found.
    """
    sets = _without_common([runs(text) for text in texts])
    filled = [place for place, found in enumerate(sets) if len(found)]
    if len(filled) < 2:
        return []
    signatures = _signatures([sets[place] for place in filled])
    seen: set[tuple[int, int]] = set()
    found: list[Near] = []
    for band in range(BANDS):
        keys = np.zeros(len(filled), np.uint64)
        for row in range(band * ROWS, (band + 1) * ROWS):
            keys = _mix(keys ^ signatures[:, row])
        order = np.argsort(keys, kind="stable")
        _, starts, counts = np.unique(keys[order], return_index=True, return_counts=True)
        for at in np.flatnonzero(counts > 1):
            bucket = order[starts[at] : starts[at] + counts[at]]
            found += _compared([filled[place] for place in bucket], sets, seen, least)
    return sorted(found, key=lambda pair: (-pair.alike, pair.first, pair.second))


def groups(pairs: Sequence[Near], size: int) -> list[list[int]]:
    """Return the places that pairs join, those of two or more, in the order of their first.

    >>> groups([Near(0, 2, 1.0), Near(2, 3, 0.9)], 5)
    [[0, 2, 3]]
    """
    parent = list(range(size))

    def root(place: int) -> int:
        while parent[place] != place:
            parent[place] = parent[parent[place]]
            place = parent[place]
        return place

    for pair in pairs:
        first, second = sorted((root(pair.first), root(pair.second)))
        parent[second] = first
    joined: dict[int, list[int]] = {}
    for place in range(size):
        joined.setdefault(root(place), []).append(place)
    return [members for members in joined.values() if len(members) > 1]


def jaccard(first: Hashes, second: Hashes) -> float:
    """Return the share of two sets' hashes that both have, in [0, 1]; 0 where either is empty."""
    if not len(first) or not len(second):
        return 0.0
    shared = len(np.intersect1d(first, second, assume_unique=True))
    return shared / (len(first) + len(second) - shared)


def _compared(bucket: list[int], sets: list[Hashes], seen: set[tuple[int, int]], least: float) -> list[Near]:
    found = []
    for at, first in enumerate(bucket):
        for second in bucket[at + 1 : at + 1 + NEIGHBOURS]:
            pair = (min(first, second), max(first, second))
            if pair in seen:
                continue
            seen.add(pair)
            alike = jaccard(sets[first], sets[second])
            if alike >= least:
                found.append(Near(*pair, alike))
    return found


def _without_common(sets: list[Hashes]) -> list[Hashes]:
    if not any(len(found) for found in sets):
        return sets
    values, counts = np.unique(np.concatenate(sets), return_counts=True)
    common = values[counts > max(COMMON_LEAST, COMMON_SHARE * len(sets))]
    if not len(common):
        return sets
    left = [np.setdiff1d(found, common, assume_unique=True) for found in sets]
    return [rare if len(rare) >= LEFT_LEAST else found for rare, found in zip(left, sets, strict=True)]


def _signatures(sets: list[Hashes]) -> npt.NDArray[np.uint32]:
    generator = np.random.default_rng(_SEED)
    size = BANDS * ROWS
    factors = generator.integers(0, 2**63, size, np.uint64) * np.uint64(2) + np.uint64(1)
    shifts = generator.integers(0, 2**64, size, np.uint64, endpoint=False)
    made = np.full((len(sets), size), 2**32 - 1, np.uint32)
    for row, found in enumerate(sets):
        for start in range(0, len(found), _CHUNK):
            part = found[start : start + _CHUNK]
            # Multiply-shift hashing (Dietzfelbinger et al. 1997): the upper half of a·x + b modulo 2⁶⁴.
            hashed = (np.multiply.outer(factors, part) + shifts[:, None]) >> np.uint64(32)
            made[row] = np.minimum(made[row], hashed.min(axis=1).astype(np.uint32))
    return made


def _mix(values: Hashes) -> Hashes:
    """Return values with their bits spread (the finaliser of MurmurHash3)."""
    values = (values ^ (values >> np.uint64(33))) * np.uint64(0xFF51AFD7ED558CCD)
    values = (values ^ (values >> np.uint64(33))) * np.uint64(0xC4CEB9FE1A85EC53)
    mixed: Hashes = values ^ (values >> np.uint64(33))
    return mixed
