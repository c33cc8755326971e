"""The edits of TER: shifts of word runs, then insertions, deletions and substitutions, counted as sacrebleu does.

The search is Tercom's (Snover et al., 2006): of all runs of up to ten words that also stand elsewhere in the
reference, the shift that saves most edits is made, again and again. Two things make it quick without changing a
count. A shift is only looked at closely where the plain edit distance, a lower bound, promises a gain; and where
few edits keep every best path inside the beam, that distance is already the beam's.
"""

from __future__ import annotations

import math
from bisect import bisect_left, bisect_right
from collections.abc import Iterator
from itertools import accumulate
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from rapidfuzz.distance import Levenshtein

Rows = NDArray[np.int32]

LONGEST_SHIFT = 10
FARTHEST_SHIFT = 50
BEAM = 25
MOST_CANDIDATES = 1000
# Where edits and the difference of the lengths are no more, no best path leaves the beam.
SURELY_INSIDE = 2 * (BEAM - 2)
# More than any count of edits, and far from int32's end when edits are added to it.
_UNREACHED = 1 << 28


class _Shift(NamedTuple):
    """Move `length` tokens from `start` to before `target`; ordered as ties between shifts are broken."""

    gain: int
    length: int
    minus_start: int
    minus_target: int
    tokens: str


class _Alignment(NamedTuple):
    """What the cheapest edits pair: the response's place for each of the reference, and errors up to a place."""

    places: list[int]
    response_errors: list[int]
    reference_errors: list[int]


def translation_edits(response: str, reference: str) -> int:
    """Return the edits, shifts included, from a response to a reference, one character a token.

    >>> translation_edits("bcda", "abcd")
    1
    """
    if not response or not reference:
        return max(len(response), len(reference))
    beam = _Beam(len(response), reference)
    beam.fill(response, 0)
    shifts = candidates = 0
    while True:
        found = list(_candidates(response, reference, beam.alignment(response), MOST_CANDIDATES - candidates))
        candidates += len(found)
        # Tercom's limit as sacrebleu has it: the round that reaches it makes no shift.
        if candidates >= MOST_CANDIDATES:
            break
        best = _best_shift(response, reference, found, beam)
        if best is None:
            break
        shifts += 1
        unchanged = next(place for place, (old, new) in enumerate(zip(response, best, strict=True)) if old != new)
        response = best
        beam.fill(response, unchanged)
    return shifts + beam.distance


class _Beam:
    """The table of edit distances between prefixes, near the diagonal only: O(rows + columns) cells.

    Row i holds columns from ``offsets[i]`` on, after one cell that nothing reaches; row 0 is reached everywhere.
    """

    def __init__(self, rows: int, reference: str) -> None:
        columns = len(reference)
        ratio = columns / rows
        half = math.ceil(ratio / 2 + BEAM) if ratio / 2 > BEAM else BEAM
        self._width = 2 * half
        self._offsets = [math.floor(row * ratio) - half for row in range(rows + 1)]
        widest_step = max(after - before for before, after in zip(self._offsets, self._offsets[1:], strict=False))
        self._symbols = np.full(columns + 2 * self._width + 2, -1, np.int32)
        self._symbols[half + 1 : half + 1 + columns] = _codes(reference)
        self._half = half
        self._reference = reference
        self._ramp = np.arange(self._width, dtype=np.int32)
        self._table: Rows = np.full((rows + 1, self._width + widest_step + 1), _UNREACHED, np.int32)
        first = np.arange(self._table.shape[1], dtype=np.int32) - half - 1
        self._table[0] = np.where(first < 0, _UNREACHED, first)
        self._last = columns - self._offsets[rows] + 1

    @property
    def distance(self) -> int:
        """The edit distance of the response that was filled in."""
        return int(self._table[-1, self._last])

    def fill(self, response: str, unchanged: int) -> None:
        """Fill in the rows of a response whose first `unchanged` tokens are filled in already."""
        codes = _codes(response)
        for row in range(unchanged + 1, len(response) + 1):
            self._step(self._table[row - 1], codes[row - 1], row, self._table[row])

    def distances(self, responses: list[str], unchanged: int) -> list[int]:
        """Return the distances of other responses that share their first `unchanged` tokens with the filled one."""
        codes = np.array([_codes(response) for response in responses])
        rows = np.repeat(self._table[unchanged][None], len(responses), axis=0)
        for row in range(unchanged + 1, codes.shape[1] + 1):
            self._step(rows, codes[:, row - 1, None], row, rows)
            if row == 1:
                rows[:, self._width + 1 :] = _UNREACHED
        distances: list[int] = rows[:, self._last].tolist()
        return distances

    def alignment(self, response: str) -> _Alignment:
        """Trace the cheapest edits back; of equal ones a substitution or match comes first, then a deletion."""
        cell, offsets, reference = self._table.item, self._offsets, self._reference
        row, column = len(response), len(reference)
        places = [0] * column
        response_errors, reference_errors = [1] * row, [1] * column
        while column:
            if row:
                value = cell(row, column - offsets[row] + 1)
                above = column - offsets[row - 1] + 1
                differ = response[row - 1] != reference[column - 1]
                if cell(row - 1, above - 1) + differ == value:
                    row -= 1
                    column -= 1
                    places[column] = row
                    response_errors[row] = reference_errors[column] = int(differ)
                    continue
                if cell(row - 1, above) + 1 == value:
                    row -= 1
                    continue
            column -= 1
            places[column] = row - 1
        return _Alignment(places, _sums(response_errors), _sums(reference_errors))

    def _step(self, above: Rows, codes: NDArray[np.integer] | np.integer, row: int, out: Rows) -> None:
        """Fill `out`, one row or many, from the row above and the response's token there."""
        width = self._width
        offset = self._offsets[row]
        shift = offset - self._offsets[row - 1]
        window = self._symbols[offset + self._half : offset + self._half + width]
        best = above[..., shift : shift + width] + (window != codes)
        np.minimum(best, above[..., shift + 1 : shift + 1 + width] + 1, out=best)
        # An insertion costs one a column: the cheapest run of them is a running minimum on a slope.
        best -= self._ramp
        np.minimum.accumulate(best, axis=-1, out=best)
        best += self._ramp
        out[..., 1 : width + 1] = best


def _candidates(response: str, reference: str, alignment: _Alignment, most: int) -> Iterator[tuple[int, int, int]]:
    """Yield (start, length, target) of up to `most` shifts to where the same words stand in the reference."""
    places, response_errors, reference_errors = alignment
    rows, columns = len(response), len(reference)
    where: dict[str, list[int]] = {}
    for place, token in enumerate(reference):
        where.setdefault(token, []).append(place)
    for start, token in enumerate(response):
        known = where.get(token)
        # A run that is right already stays, and so does one whose place in the reference is taken rightly.
        if known is None or response_errors[min(start + LONGEST_SHIFT, rows)] == response_errors[start]:
            continue
        first, last = bisect_left(known, start - FARTHEST_SHIFT), bisect_right(known, start + FARTHEST_SHIFT)
        for there in known[first:last]:
            if reference_errors[min(there + LONGEST_SHIFT, columns)] == reference_errors[there]:
                continue
            longest = min(LONGEST_SHIFT, rows - start, columns - there)
            for length in range(1, longest + 1):
                if response[start + length - 1] != reference[there + length - 1]:
                    break
                if (
                    response_errors[start + length] == response_errors[start]
                    or reference_errors[there + length] == reference_errors[there]
                    or start <= places[there] < start + length
                ):
                    continue
                previous = -1
                for before in range(there - 1, there + length):
                    target = places[before] + 1 if before >= 0 else 0
                    if target != previous:
                        yield start, length, target
                        most -= 1
                    previous = target
                if most <= 0:
                    return


def _best_shift(response: str, reference: str, candidates: list[tuple[int, int, int]], beam: _Beam) -> str | None:
    """Return the response after the shift that saves most edits; ``None`` where none saves any."""
    before = beam.distance
    apart = abs(len(response) - len(reference))
    sure: list[_Shift] = []
    unsure: list[_Shift] = []
    for start, length, target in candidates:
        shifted = _shifted(response, start, length, target)
        distance = Levenshtein.distance(shifted, reference, score_cutoff=before - 1)
        if distance < before:
            inside = distance + apart <= SURELY_INSIDE
            (sure if inside else unsure).append(_Shift(before - distance, length, -start, -target, shifted))
    if unsure:
        unchanged = min(min(-shift.minus_start, -shift.minus_target) for shift in unsure)
        distances = beam.distances([shift.tokens for shift in unsure], unchanged)
        sure += [shift._replace(gain=before - far) for shift, far in zip(unsure, distances, strict=True)]
    best = max(sure, default=None)
    return best.tokens if best is not None and best.gain > 0 else None


def _shifted(tokens: str, start: int, length: int, target: int) -> str:
    """Move a run to before `target`; to within itself, it changes places with as many tokens that follow it."""
    end = start + length
    moved = tokens[start:end]
    if target < start:
        return tokens[:target] + moved + tokens[target:start] + tokens[end:]
    after = target if target > end else target + length
    return tokens[:start] + tokens[end:after] + moved + tokens[after:]


def _codes(text: str) -> NDArray[np.int32]:
    return np.frombuffer(text.encode("utf-32-le", "surrogatepass"), np.dtype("<i4"))


def _sums(flags: list[int]) -> list[int]:
    return [0, *accumulate(flags)]
