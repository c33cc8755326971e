"""Clipped n-gram matches of many text pairs at once, exact, without making an object for any n-gram.

BLEU and chrF both need, for every order ``n`` up to ``N``, the number of n-grams that two texts share,
counted with multiplicity: ``sum(min(count in hypothesis, count in reference))``. The usual way is a
dictionary of n-grams for each order and side. Here the ``N`` symbols from each position are packed into one
integer, first symbol highest. Sorting these integers once orders the n-grams of *all* lengths, since a
shorter n-gram is a prefix of the bits; equal n-grams lie side by side, and counting is subtraction. There
is no hash and no approximation.
"""

from __future__ import annotations

from array import array
from collections.abc import Callable, Iterable, Iterator, Sequence

import numpy as np
from numpy.typing import NDArray

Integers = NDArray[np.int64]

# A slice of the batch should stay in the processor's cache: throughput halves at ten times this size.
SLICE_SYMBOLS = 16_384
# One bit of a key tells hypothesis from reference, and the sign bit stays free.
KEY_BITS = 62
# Longer words come too rarely again to be worth their memory.
LONGEST_KEPT_WORD = 32
# Two symbols of the alphabet are the ends of a hypothesis and of a reference.
END_SYMBOLS = 2


def clipped_matches(symbols: NDArray[np.integer], lengths: Integers, order: int) -> Integers:
    """Count the n-grams that the two texts of each pair share, with multiplicity, for n = 1 … `order`.

    Time is O(S log S) for S symbols and memory O(S); the alphabet may be of any size.

    Args:
        symbols: non-negative integers ``[S]``, end to end: hypothesis 0, reference 0, hypothesis 1, …
        lengths: how many symbols each text has, ``[2 B]``; zeros are allowed.
        order: the longest n-gram counted, at least 1.

    Returns:
        Matches ``[B, order]``, int64; all zero for a pair with an empty side.

    >>> clipped_matches(np.array([5, 6, 5, 5, 6, 6]), np.array([3, 3]), 2).tolist()
    [[2, 1]]
    """
    matches = np.zeros((len(lengths) // 2, order), np.int64)
    ends = np.cumsum(lengths)
    scored = np.flatnonzero(np.minimum(lengths[0::2], lengths[1::2]))
    if len(scored) < len(matches):
        sides = np.zeros(len(lengths), bool)
        sides[2 * scored] = sides[2 * scored + 1] = True
        kept = symbols[np.repeat(sides, lengths)]
        matches[scored] = clipped_matches(kept, lengths[sides], order)
        return matches
    for first, last in _slices(lengths):
        part = symbols[ends[2 * first] - lengths[2 * first] : ends[2 * last - 1]]
        matches[first:last] = _matches(part, lengths[2 * first : 2 * last], order)
    return matches


def _slices(lengths: Integers) -> Iterator[tuple[int, int]]:
    """Yield ranges of pairs of at most `SLICE_SYMBOLS` symbols, or of one pair."""
    sizes = (lengths[0::2] + lengths[1::2]).tolist()
    first, total = 0, 0
    for pair, size in enumerate(sizes):
        if total and total + size > SLICE_SYMBOLS:
            yield first, pair
            first, total = pair, 0
        total += size
    if sizes:
        yield first, len(sizes)


def _matches(symbols: NDArray[np.integer], lengths: Integers, order: int) -> Integers:
    """Count a slice's matches; halve it where its alphabet does not fit a key, down to one pair."""
    codes, alphabet = _dense(symbols)
    bits = (alphabet + END_SYMBOLS - 1).bit_length()
    if bits * order <= KEY_BITS:
        return _matches_by_prefix(codes, lengths, order, bits)
    if len(lengths) == 2:
        return _matches_by_name(codes.astype(np.int64), int(lengths[0]), order)
    middle = len(lengths) // 4 * 2
    cut = int(lengths[:middle].sum())
    return np.vstack(
        [_matches(symbols[:cut], lengths[:middle], order), _matches(symbols[cut:], lengths[middle:], order)]
    )


def _dense(symbols: NDArray[np.integer]) -> tuple[NDArray[np.int32], int]:
    """Renumber the symbols from `END_SYMBOLS` up without gaps; also return how many there are."""
    table_size = int(symbols.max()) + 1
    present = np.zeros(table_size, bool)
    present[symbols] = True
    distinct = np.flatnonzero(present)
    code = np.empty(table_size, np.int32)
    code[distinct] = np.arange(END_SYMBOLS, END_SYMBOLS + len(distinct), dtype=np.int32)
    return code[symbols], len(distinct)


def _matches_by_prefix(codes: NDArray[np.int32], lengths: Integers, order: int, bits: int) -> Integers:
    """Count by one sort of packed windows; every text is followed by `order` - 1 end symbols of its own side.

    An n-gram that runs over its text's end holds an end symbol, which the other side never has: it matches
    nothing.
    """
    room = lengths + (order - 1)
    side = np.repeat(np.arange(len(lengths)) & 1, room)
    padded = np.concatenate([side, np.ones(order - 1, np.int64)])
    padded[np.arange(len(codes)) + np.repeat(np.arange(len(lengths)) * (order - 1), lengths)] = codes
    keys = padded[: len(side)].copy()
    for offset in range(1, order):
        keys <<= bits
        keys |= padded[offset : offset + len(side)]
    keys <<= 1
    keys |= side
    pair_ends = np.cumsum(room)[1::2]
    pair_starts = np.concatenate([[0], pair_ends[:-1]])
    for start, end in zip(pair_starts.tolist(), pair_ends.tolist(), strict=True):
        keys[start:end].sort()
    return _count_sorted(keys, pair_starts, order, bits)


def _count_sorted(keys: Integers, pair_starts: Integers, order: int, bits: int) -> Integers:
    """Count matches of every order from keys sorted within their pair, [B, order]."""
    matches = np.empty((len(pair_starts), order), np.int64)
    references_before = np.zeros(len(keys) + 1, np.int64)
    np.cumsum(keys & 1, out=references_before[1:])
    is_first = np.empty(len(keys), bool)
    for n in range(1, order + 1):
        gram = keys >> (1 + bits * (order - n))
        np.not_equal(gram[1:], gram[:-1], out=is_first[1:])
        is_first[pair_starts] = True
        first = np.flatnonzero(is_first)
        bounds = np.append(first, len(keys))
        in_reference = np.diff(references_before[bounds])
        clipped = np.minimum(in_reference, np.diff(bounds) - in_reference)
        matches[:, n - 1] = np.add.reduceat(clipped, np.searchsorted(first, pair_starts))
    return matches


def _matches_by_name(codes: Integers, hypothesis_length: int, order: int) -> Integers:
    """Count one pair's matches for any alphabet: an n-gram's name ranks (its prefix's name, last symbol)."""
    sides = (codes[:hypothesis_length], codes[hypothesis_length:])
    alphabet = int(codes.max()) + 1
    names = sides
    matches = np.zeros((1, order), np.int64)
    for n in range(1, order + 1):
        if n > 1:
            longer = [
                prefix[: max(0, len(text) - n + 1)] * alphabet + text[n - 1 :]
                for prefix, text in zip(names, sides, strict=True)
            ]
            ranks = np.unique(np.concatenate(longer), return_inverse=True)[1]
            names = (ranks[: len(longer[0])], ranks[len(longer[0]) :])
        if not len(names[0]) or not len(names[1]):
            break
        count = int(max(names[0].max(), names[1].max())) + 1
        counts = [np.bincount(side, minlength=count) for side in names]
        matches[0, n - 1] = np.minimum(*counts).sum()
    return matches


class WordNumbers(dict[str, bytes]):
    """A cache from a whitespace-separated word to the numbers of its tokens, as packed native int32.

    Two words share a number exactly where they share a token, until :meth:`make_room` forgets everything:
    call it between batches, never within one. Words longer than 32 characters are not kept.

    >>> numbers = WordNumbers(lambda word: word.partition("-")[::2])
    >>> numbers.encode("a-b b-a").tolist()
    [0, 1, 1, 0]
    """

    def __init__(self, split: Callable[[str], Iterable[str]], capacity: int = 1 << 16) -> None:
        """Take the function that splits a word into tokens, and how many words or tokens to remember."""
        super().__init__()
        self._split = split
        self._capacity = capacity
        self._numbers: dict[str, int] = {}

    def __missing__(self, word: str) -> bytes:
        """Split a new word, number its tokens and remember them."""
        numbers = self._numbers
        tokens = [numbers.setdefault(token, len(numbers)) for token in self._split(word)]
        packed = array("i", tokens).tobytes()
        if len(word) <= LONGEST_KEPT_WORD:
            self[word] = packed
        return packed

    def pack(self, text: str) -> bytes:
        """Return the numbers of a text's tokens, four bytes each."""
        return b"".join(map(self.__getitem__, text.split()))

    def encode(self, text: str) -> NDArray[np.int32]:
        """Return the numbers of a text's tokens as an array."""
        return np.frombuffer(self.pack(text), np.int32)

    def make_room(self) -> None:
        """Forget everything when more is remembered than the capacity."""
        if max(len(self), len(self._numbers)) > self._capacity:
            self.clear()
            self._numbers.clear()


def unpack(packed: Sequence[bytes]) -> tuple[NDArray[np.int32], Integers]:
    """Join packed texts into the (symbols, lengths) that :func:`clipped_matches` takes."""
    lengths = np.array([len(text) // 4 for text in packed], np.int64)
    return np.frombuffer(b"".join(packed), np.int32), lengths
