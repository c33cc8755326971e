"""The length of a longest common subsequence, bit-parallel: O(n·m/w) time.

A Python integer is the register: one bit a position of the reference, one step a token of the response
(Crochemore et al., 2001, in Hyyrö's form, 2004): with ``V`` all ones and ``M`` the positions of the token,
``V = (V + (V & M)) | (V - (V & M))``; zeros of ``V`` count the length. Long references are cut into blocks
that pass the addition's carry on, so that memory stays linear where the usual table is quadratic.
"""

from __future__ import annotations

from collections.abc import Hashable, Sequence

# Bits of a block: long enough that the interpreter's cost a step is small beside the arithmetic.
BLOCK = 1024
_BITS = [1 << place for place in range(BLOCK)]


def lcs_length(first: Sequence[Hashable], second: Sequence[Hashable]) -> int:
    """Return the length of the longest common subsequence; memory is O(n + m).

    >>> lcs_length("police killed the gunman".split(), "the gunman police killed".split())
    2
    """
    if len(first) > BLOCK:
        return _lcs_in_blocks(first, second)
    state = full = (1 << len(first)) - 1
    positions = _positions(first)
    for token in second:
        hits = positions.get(token)
        if hits:
            hits &= state
            if hits:
                state = (state + hits) | (state - hits)
    # The additions carry beyond the last position; those bits mean nothing.
    return len(first) - (state & full).bit_count()


def _positions(tokens: Sequence[Hashable]) -> dict[Hashable, int]:
    """Return for each token the bits of its places; at most `BLOCK` tokens."""
    positions: dict[Hashable, int] = {}
    for token, bit in zip(tokens, _BITS, strict=False):
        if token in positions:
            positions[token] |= bit
        else:
            positions[token] = bit
    return positions


def _lcs_in_blocks(first: Sequence[Hashable], second: Sequence[Hashable]) -> int:
    """Return the same for a long `first`, block by block; `carries` takes one bit a column to the next."""
    common = set(first).intersection(second)
    rows = [token for token in first if token in common]
    columns = [token for token in second if token in common]
    carries = bytearray(len(columns))
    length = 0
    for start in range(0, len(rows), BLOCK):
        block = rows[start : start + BLOCK]
        size = len(block)
        state = full = (1 << size) - 1
        positions = _positions(block)
        for column, token in enumerate(columns):
            hits = state & positions.get(token, 0)
            total = state + hits + carries[column]
            state = (total | (state - hits)) & full
            carries[column] = total >> size
        length += size - state.bit_count()
    return length
