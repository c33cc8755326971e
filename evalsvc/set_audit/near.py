"""Texts that are nearly the same, found by MinHash (Broder 1997) and banding, each pair then compared exactly.

A text is the set of its runs of five characters, after Unicode folding, without regard to case, white space and the
punctuation of sentences. How alike two texts are is the Jaccard index of their sets. Texts with contexts are compared
twice, with the contexts on their own; a band is half of the one and half of the other, so that hundreds of cases of one
prompt are told apart by their contexts.

Runs that more than half of all texts have, and more than ten, are left out: a shared instruction makes no two cases
alike. So are those that more than a tenth have, where enough is left to be a question of its own; where less is left,
these are copies with a word changed. Where nothing is left, all stay.
"""

from __future__ import annotations

import hashlib
import unicodedata
from collections.abc import Sequence
from functools import lru_cache, reduce
from itertools import accumulate
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

Hashes = npt.NDArray[np.uint64]

RUN = 5
BANDS, ROWS = 32, 8
"""A pair of index .8 shares a band with chance .997, one of .6 with .42, one of .4 with .02."""

COMMON_SHARE, OFTEN_SHARE, COMMON_LEAST = 0.5, 0.1, 10
OWN_RUNS = 20
"""So many runs, four words or so, are a question of its own."""

NEIGHBOURS = 8
"""With how many others of its bucket a text is compared: of hundreds of near copies each still finds some."""

_SKETCH = 1024
"""By how many of its runs, those of the lowest hashes, a long context is put into a bucket."""

# Signs that formulas are made of stay: 2+2 is not 2-2. Those of full width are folded to these.
_PUNCTUATION = str.maketrans(dict.fromkeys(".,;:!?\"'’\u2018“”„«»()[]…¿¡。、「」", " "))
_CHUNK = 8192
_SEED = 20260331


class Near(NamedTuple):
    """A pair of texts, by their places, the first before the second, and their Jaccard index in (0, 1].

    ``template`` says that they ask about something else: see :mod:`evalsvc.set_audit.templates`.
    """

    first: int
    second: int
    alike: float
    template: bool = False


def folded(text: str) -> str:
    """Return a text without regard to case, width of letters, and white space.

    >>> folded("Hello   World")
    'hello world'
    """
    return " ".join(unicodedata.normalize("NFKC", text).casefold().split())


def runs(text: str) -> Hashes:
    """Return the hashes of a text's runs of five characters, sorted, each once; of a shorter text its own."""
    plain = folded(text)
    plain = " ".join(plain.translate(_PUNCTUATION).split()) or plain
    codes = np.frombuffer(plain.encode("utf-32-le", "surrogatepass"), "<u4").astype(np.uint64)
    if not len(codes):
        return np.empty(0, np.uint64)
    if len(codes) < RUN:
        codes = np.concatenate((codes, np.zeros(RUN - len(codes), np.uint64)))
    mixed = np.zeros(len(codes) - RUN + 1, np.uint64)
    for place in range(RUN):
        mixed = _mix(mixed ^ codes[place : len(codes) - RUN + 1 + place])
    return np.unique(mixed)


def near_pairs(
    texts: Sequence[str], least: float = 0.8, *, contexts: Sequence[str] = (), sizes: Sequence[int] = ()
) -> list[Near]:
    """Return pairs of texts whose Jaccard index is at least ``least``, the most alike first.

    Of many copies of one text not all pairs are returned, but enough that :func:`groups` joins them; copies are always
    found.

    Args:
        texts: in any script; an empty one is like no other.
        least: in (0, 1]; below .6 many pairs are not found.
        contexts: of each text, whose index has to be at least ``least`` too; empty for none.
        sizes: how many of the texts, in their order, are of each set; only what is common in every set is left out.
    """
    beside = contexts or [""] * len(texts)
    whole = [runs(text) for text in texts]
    sketches: dict[int, Hashes] = {}
    copies: dict[tuple[bytes, bytes], list[int]] = {}
    for place, (asked, text) in enumerate(zip(whole, beside, strict=True)):
        if len(asked):
            context = runs(text)
            sketches[place] = context[:_SKETCH].copy()
            copies.setdefault((_digest(asked), _digest(context)), []).append(place)
    found = [
        Near(first, second, 1.0)
        for places in copies.values()
        for at, first in enumerate(places)
        for second in places[at + 1 : at + 1 + NEIGHBOURS]
    ]
    own = _without_common(whole, sizes or (len(texts),))
    kept = [places[0] for places in copies.values()]
    bare = [place for place in kept if not len(sketches[place])]
    framed = [place for place in kept if len(sketches[place])]
    found += _banded(bare, [([own[place] for place in bare], ROWS)], _Compare(own, (), least))
    halves = [([own[place] for place in framed], ROWS // 2), ([sketches[place] for place in framed], ROWS // 2)]
    found += _banded(framed, halves, _Compare(own, beside, least))
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


class _Compare:
    """Compare two texts by all of their runs, once; their contexts, too, where there are any."""

    def __init__(self, own: Sequence[Hashes], contexts: Sequence[str], least: float) -> None:
        self._own, self._least = own, least
        self._contexts = contexts
        self._runs = lru_cache(256)(lambda place: runs(contexts[place]))
        self._seen: set[tuple[int, int]] = set()

    def __call__(self, one: int, other: int) -> Near | None:
        first, second = min(one, other), max(one, other)
        if (first, second) in self._seen:
            return None
        self._seen.add((first, second))
        alike = jaccard(self._own[first], self._own[second])
        if alike < self._least:
            return None
        if self._contexts and jaccard(self._runs(first), self._runs(second)) < self._least:
            return None
        return Near(first, second, alike)


def _banded(places: Sequence[int], parts: Sequence[tuple[list[Hashes], int]], compare: _Compare) -> list[Near]:
    """Return the pairs of texts that share a band and are alike; of each part so many rows are in a band."""
    if len(places) < 2:
        return []
    signatures = [(_signatures(sets, BANDS * rows), rows) for sets, rows in parts]
    found: list[Near] = []
    before = np.zeros(len(places), np.uint64)
    for band in range(BANDS):
        keys = np.zeros(len(places), np.uint64)
        for signature, rows in signatures:
            for row in range(band * rows, (band + 1) * rows):
                keys = _mix(keys ^ signature[:, row])
        # In a large bucket those are neighbours that shared the band before, too.
        order = np.lexsort((before, keys))
        _, starts, counts = np.unique(keys[order], return_index=True, return_counts=True)
        for at in np.flatnonzero(counts > 1):
            bucket = [places[row] for row in order[starts[at] : starts[at] + counts[at]]]
            for number, first in enumerate(bucket):
                near = (compare(first, second) for second in bucket[number + 1 : number + 1 + NEIGHBOURS])
                found += [pair for pair in near if pair is not None]
        before = keys
    return found


def _without_common(sets: list[Hashes], sizes: Sequence[int]) -> list[Hashes]:
    counted = []
    for end, size in zip(accumulate(sizes), sizes, strict=True):
        # Copies make nothing common: they count once.
        distinct = list({_digest(found): found for found in sets[end - size : end] if len(found)}.values())
        if not distinct:
            return sets
        counted.append((*np.unique(np.concatenate(distinct), return_counts=True), len(distinct)))
    common, often = _common(counted, COMMON_SHARE), _common(counted, OFTEN_SHARE)
    if not len(often):
        return sets
    left = []
    for found in sets:
        rare = np.setdiff1d(found, often, assume_unique=True)
        if len(rare) < OWN_RUNS:
            rare = np.setdiff1d(found, common, assume_unique=True)
        left.append(rare if len(rare) else found)
    return left


def _common(counted: Sequence[tuple[Hashes, npt.NDArray[np.intp], int]], share: float) -> Hashes:
    """Return the runs that more than this share of each set's texts have, and more than ten texts in all."""
    everywhere = reduce(np.intersect1d, [values[counts > share * size] for values, counts, size in counted])
    total = sum(counts[np.searchsorted(values, everywhere)] for values, counts, _ in counted)
    common: Hashes = everywhere[total > COMMON_LEAST]
    return common


def _signatures(sets: list[Hashes], size: int) -> npt.NDArray[np.uint32]:
    generator = np.random.default_rng(_SEED)
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


def _digest(values: Hashes) -> bytes:
    return hashlib.blake2b(values.tobytes(), digest_size=16).digest()


def _mix(values: Hashes) -> Hashes:
    """Return values with their bits spread (the finaliser of MurmurHash3)."""
    values = (values ^ (values >> np.uint64(33))) * np.uint64(0xFF51AFD7ED558CCD)
    values = (values ^ (values >> np.uint64(33))) * np.uint64(0xC4CEB9FE1A85EC53)
    mixed: Hashes = values ^ (values >> np.uint64(33))
    return mixed
