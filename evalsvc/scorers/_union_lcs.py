"""The union of longest common subsequences that ROUGE-Lsum counts, for many pairs of lines at once.

A line of the reference is a 64-bit register, one bit a token; a step takes one token of every response line. A zero in
the state is a place where the LCS grows (Crochemore et al., 2001; Hyyrö, 2004). Read from the end, as rouge-score reads
its table, a match is always taken; else the reference's token is given up, unless that would shorten the LCS. Longer
lines, and too few to be worth an array, go the same way in Python's integers.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray
from rapidfuzz.distance import LCSseq

from evalsvc.scorers._ngrams import Integers, clipped_matches

Lines = tuple[str, ...]
Bits = NDArray[np.unsignedinteger[Any]]

REGISTER = 64
# No character has this number, nor the next.
FILLER = 0x110000
# Below it the fixed cost of an array operation outweighs the integers' cost a line.
FEW_LINE_PAIRS = 200
MANY_LINE_PAIRS = 1 << 16
# Cells (line pairs × tokens × tokens) compared at once: one byte each.
SLICE_CELLS = 1 << 20


def union_lcs_hits(pairs: Sequence[tuple[Lines, Lines]]) -> list[int]:
    """Count for each (response, reference) the reference's tokens in the union LCS.

    Each counts at most as often as the response has it.

    >>> union_lcs_hits([(("ac", "bd"), ("abcde",)), (("abc",), ("cab",))])
    [4, 2]
    """
    hits = [0] * len(pairs)
    waiting: list[int] = []
    line_pairs = 0

    def count_waiting() -> None:
        chosen = [pairs[place] for place in waiting]
        counts = _hits_in_registers(chosen) if line_pairs >= FEW_LINE_PAIRS else list(map(_hits, chosen))
        for place, number in zip(waiting, counts, strict=True):
            hits[place] = number
        waiting.clear()

    for place, (response, reference) in enumerate(pairs):
        if len(response) == 1 and len(reference) == 1:
            hits[place] = LCSseq.similarity(response[0], reference[0])
        elif response and reference:
            if max(map(len, response + reference)) > REGISTER or len(response) * len(reference) > MANY_LINE_PAIRS:
                hits[place] = _hits((response, reference))
                continue
            if line_pairs + len(response) * len(reference) > MANY_LINE_PAIRS:
                count_waiting()
                line_pairs = 0
            waiting.append(place)
            line_pairs += len(response) * len(reference)
    if waiting:
        count_waiting()
    return hits


def _hits_in_registers(pairs: Sequence[tuple[Lines, Lines]]) -> list[int]:
    """Count the hits of pairs whose lines are neither empty nor longer than a register."""
    others, other_lengths = _padded([line for response, _ in pairs for line in response], FILLER)
    others = others[:, : other_lengths.max()]
    references, lengths = _padded([line for _, reference in pairs for line in reference], FILLER + 1)
    lines_of = np.array([[len(response), len(reference)] for response, reference in pairs])
    # Line pairs in the order pair, line of the reference, line of the response.
    sizes = np.repeat(lines_of[:, 0], lines_of[:, 1])
    first_other = np.repeat(np.cumsum(lines_of[:, 0]) - lines_of[:, 0], lines_of[:, 1])
    starts = np.cumsum(sizes) - sizes
    ours = np.repeat(np.arange(len(sizes)), sizes)
    theirs = np.arange(len(ours)) - np.repeat(starts - first_other, sizes)
    places: Bits = np.empty(len(ours), f"<u{references.shape[1] // 8}")
    step = max(1, SLICE_CELLS // (references.shape[1] * others.shape[1]))
    for start in range(0, len(ours), step):
        mine, other = ours[start : start + step], theirs[start : start + step]
        places[start : start + step] = _lcs_places(references[mine], lengths[mine], others[other], other_lengths[other])
    union = np.bitwise_or.reduceat(places, starts)
    in_union = np.unpackbits(union[:, None].view(np.uint8), axis=1, bitorder="little").astype(bool)
    return _shared_tokens(in_union, references, others, other_lengths, lines_of)


def _lcs_places(
    references: NDArray[np.uint32], lengths: Integers, others: NDArray[np.uint32], other_lengths: Integers
) -> Bits:
    """Return as bits the places of one LCS of each line pair in its line of the reference, ``[P]``."""
    width = references.shape[1]
    kind = np.dtype(f"<u{width // 8}")
    # Whole bytes of bits: all of them are packed at once.
    equal = np.packbits(others.T[:, :, None] == references[None], bitorder="little")
    hits: Bits = equal.view(kind).reshape(others.shape[1], len(lengths))
    state: Bits = np.full(len(lengths), np.iinfo(kind).max, kind)
    below = state >> (width - lengths).astype(kind)
    grows = np.empty_like(hits)
    for column, hit in enumerate(hits):
        matched = state & hit
        state = (state + matched) | (state - matched)
        np.invert(state, out=grows[column])
    places = np.zeros(len(lengths), kind)
    shifts = [kind.type(1 << power) for power in range(width.bit_length() - 1)]
    for column in range(len(hits) - 1, -1, -1):
        # The highest bit of `stops`, spread to all that are lower.
        stops = (hits[column] | grows[column]) & below
        for shift in shifts:
            stops |= stops >> shift
        taken = (stops ^ (stops >> shifts[0])) & hits[column]
        places |= taken
        below = np.where(column < other_lengths, stops ^ taken, below)
    return places


def _padded(lines: list[str], filler: int) -> tuple[NDArray[np.uint32], Integers]:
    """Return the lines' tokens, ``[lines, width]``, `filler` after each, and the lines' lengths.

    The width is a register's: 8, 16, 32 or 64.
    """
    lengths = np.array([len(line) for line in lines], np.int64)
    width = max(8, 1 << (int(lengths.max()) - 1).bit_length())
    symbols = np.full((len(lines), width), filler, np.uint32)
    flat = np.frombuffer("".join(lines).encode("utf-32-le", "surrogatepass"), np.dtype("<u4"))
    symbols[np.arange(symbols.shape[1]) < lengths[:, None]] = flat
    return symbols, lengths


def _shared_tokens(
    in_union: NDArray[np.bool_],
    references: NDArray[np.uint32],
    others: NDArray[np.uint32],
    other_lengths: Integers,
    lines_of: Integers,
) -> list[int]:
    """Count for each pair the tokens of the union that the response has, with multiplicity."""
    firsts = np.cumsum(lines_of, axis=0) - lines_of
    theirs = np.add.reduceat(in_union.sum(axis=1), firsts[:, 1])
    ours = np.add.reduceat(other_lengths, firsts[:, 0])
    union = np.split(references[in_union], np.cumsum(theirs)[:-1])
    response = np.split(others[others != FILLER], np.cumsum(ours)[:-1])
    symbols = np.concatenate([side for pair in zip(union, response, strict=True) for side in pair])
    shared: list[int] = clipped_matches(symbols, np.stack([theirs, ours], axis=1).ravel(), 1)[:, 0].tolist()
    return shared


def _hits(pair: tuple[Lines, Lines]) -> int:
    """Count one pair's hits in Python's integers, for lines of any length."""
    response, reference = pair
    left: dict[str, int] = {}
    for line in response:
        for token in line:
            left[token] = left.get(token, 0) + 1
    hits = 0
    for line in reference:
        positions = _positions(line)
        union = 0
        for other in response:
            union |= _lcs_places_of_one(len(line), positions, other)
        while union:
            place = union.bit_length() - 1
            union ^= 1 << place
            token = line[place]
            if left[token]:
                left[token] -= 1
                hits += 1
    return hits


def _positions(line: str) -> dict[str, int]:
    """Return for each token the bits of its places."""
    positions: dict[str, int] = {}
    for place, token in enumerate(line):
        positions[token] = positions.get(token, 0) | 1 << place
    return positions


def _lcs_places_of_one(length: int, positions: dict[str, int], other: str) -> int:
    """Return the same bits for one pair of lines."""
    state = full = (1 << length) - 1
    columns = []
    for token in other:
        hits = positions.get(token, 0)
        if hits:
            matched = state & hits
            state = (state + matched | state - matched) & full
        columns.append((hits, state))
    places, below = 0, full
    for hits, state in reversed(columns):
        stops = (hits | ~state) & below
        if not stops:
            break
        place = 1 << stops.bit_length() - 1
        if hits & place:
            places |= place
            below = place - 1
        else:
            below = (place << 1) - 1
    return places
