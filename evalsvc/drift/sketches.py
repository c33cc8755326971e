"""Mergeable summaries of a window, from which drift is told without a raw row: frozen values.

Each holds sums over events of w, w² and w·x with w = 1/π: two that are merged say what one over both would
(up to the rounding of sums), in any order. They are functions of the set of events, so what was delivered twice and
stored once is counted once. Σw² is kept since it is what says how far weighted shares scatter (Rao & Scott 1981).

A little longer than other files: the four kinds share their arithmetic.
"""

from __future__ import annotations

import math
from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from typing import NamedTuple, Protocol, Self, TypeVar

import msgspec

from evalsvc.errors import InputError
from evalsvc.stats.alike import mean_of_pairs
from evalsvc.stats.quantile import bin_value

CellKey = tuple[str, int, float]
"""(stratum, design version, π)."""

Rates = tuple[tuple[float, int], ...]
"""(π, how many events), by π in ascending order."""

OTHER = "(other)"

T = TypeVar("T", int, str)


class _Weighed(Protocol):
    """What the shares of a sketch are taken of."""

    @property
    def weight(self) -> float: ...

    @property
    def square(self) -> float: ...

    @property
    def missing_weight(self) -> float: ...


class _Counts(msgspec.Struct, frozen=True):
    """Events with a value, sampled events without one, and Σw of those without."""

    n: int = 0
    n_missing: int = 0
    missing_weight: float = 0.0

    @property
    def missing_share(self: _Weighed) -> float | None:
        """The weighted share of sampled events without a value, in [0, 1]; ``None`` where none was sampled."""
        whole = self.weight + self.missing_weight
        return self.missing_weight / whole if 0.0 < whole < math.inf else None

    @property
    def n_effective(self: _Weighed) -> float:
        """Kish's (Σw)²/Σw²; 0 where there is no event."""
        return effective(self.weight, self.square)


class _Tally(_Counts, frozen=True):
    """Σw and Σw² of whatever is counted, in the order of its names, and each name's events by π.

    ``counts`` holds (π, how many events) for each name, by π in ascending order.
    """

    weights: tuple[float, ...] = ()
    squares: tuple[float, ...] = ()
    counts: tuple[Rates, ...] = ()

    @property
    def weight(self) -> float:
        """Σw of the events with a value."""
        return math.fsum(self.weights)

    @property
    def square(self) -> float:
        """Σw² of the events with a value."""
        return math.fsum(self.squares)


class NumericSketch(_Tally, frozen=True):
    """A metric's weighted histogram on the store's bins, each 2 % wide (:mod:`evalsvc.stats.quantile`).

    ``bins`` are indices in ascending order; ``weights`` and ``squares`` are Σw and Σw² by bin.

    >>> low = NumericSketch.from_cells({("a", 1, 0.5): {100000: 3}})
    >>> both = low.merge(NumericSketch.from_cells({("b", 1, 1.0): {0: 1, 100000: 1}}, n_missing={("b", 1, 1.0): 1}))
    >>> both.bins, both.weights, both.squares, both.n, both.n_missing
    ((0, 100000), (1.0, 7.0), (1.0, 13.0), 5, 1)
    """

    bins: tuple[int, ...] = ()

    @classmethod
    def from_cells(
        cls, cells: Mapping[CellKey, Mapping[int, int]], n_missing: Mapping[CellKey, int] | None = None
    ) -> Self:
        """Return the sketch of counts by bin in each cell; ``n_missing`` counts a cell's events without a value.

        Raises:
            InputError: on π outside (0, 1] and on negative counts.
        """
        return cls(*_tallied(cells, n_missing))

    @property
    def values(self) -> tuple[float, ...]:
        """The value that stands for each bin, within 1 % of every value in it, ascending."""
        return tuple(bin_value(index) for index in self.bins)

    def merge(self, other: Self) -> Self:
        """Return the sketch of both windows."""
        weights, squares, counts, bins = _joined((self, self.bins), (other, other.bins))
        return type(self)(*_together(self, other), weights, squares, counts, bins)


class CategoricalSketch(_Tally, frozen=True):
    """Weighted counts by category.

    ``categories`` are in ascending order; ``weights`` and ``squares`` are Σw and Σw² by category. Merging keeps every
    category, since what is folded into ``(other)`` on the way would depend on the order of merging; :meth:`bounded`
    folds at the end.

    >>> one = CategoricalSketch.from_cells({("a", 1, 0.5): {"en": 3, "de": 1}})
    >>> one.categories, one.weights, one.n_effective
    (('de', 'en'), (2.0, 6.0), 4.0)
    """

    categories: tuple[str, ...] = ()

    @classmethod
    def from_cells(
        cls, cells: Mapping[CellKey, Mapping[str, int]], n_missing: Mapping[CellKey, int] | None = None
    ) -> Self:
        """Return the sketch of counts by category in each cell.

        Raises:
            InputError: on π outside (0, 1] and on negative counts.
        """
        return cls(*_tallied(cells, n_missing))

    @classmethod
    def from_features(
        cls,
        sums: Mapping[CellKey, Sequence[float]],
        labels: Sequence[str],
        n_missing: Mapping[CellKey, int] | None = None,
    ) -> Self:
        """Return the sketch of a scorer's one-hot features, summed by cell; ``labels`` are the spec's.

        Raises:
            InputError: where a sum is not as long as ``labels``.
        """
        cells: dict[CellKey, dict[str, int]] = {}
        for key, counts in sums.items():
            if len(counts) != len(labels):
                raise InputError(f"Expected {len(labels)} sums, one a label, but got {len(counts)}")
            cells[key] = {label: round(count) for label, count in zip(labels, counts, strict=True) if count}
        return cls.from_cells(cells, n_missing)

    def merge(self, other: Self) -> Self:
        """Return the sketch of both windows."""
        weights, squares, counts, categories = _joined((self, self.categories), (other, other.categories))
        return type(self)(*_together(self, other), weights, squares, counts, categories)

    def bounded(self, keep: Iterable[str]) -> Self:
        """Return it with all categories but those of ``keep`` in ``(other)``."""
        kept = set(keep)
        names = [name if name in kept else OTHER for name in self.categories]
        return type(self)(self.n, self.n_missing, self.missing_weight, *_joined((self, names)))


class Block(NamedTuple):
    """One hour: events with a text, Σw, Σw², and Σw·x of their features. ``hour`` is hours since the epoch, UTC."""

    hour: int
    n: int
    weight: float
    square: float
    sums: tuple[float, ...]


class _BlockSketch(_Counts, frozen=True):
    """Sums of feature vectors by hour, so that the scatter between hours is known; ``blocks`` ascend by hour.

    ``signature`` is the scorer's: only sketches of one signature are merged or compared.
    """

    signature: str = ""
    blocks: tuple[Block, ...] = ()

    @classmethod
    def from_cells(
        cls,
        hours: Mapping[int, Mapping[CellKey, tuple[int, Sequence[float]]]],
        signature: str,
        n_missing: Mapping[CellKey, int] | None = None,
    ) -> Self:
        """Return the sketch of n and Σx (unweighted) in each cell of each hour.

        Raises:
            InputError: on π outside (0, 1] and on vectors of two lengths.
        """
        found = [_block(hour, cells) for hour, cells in sorted(hours.items())]
        blocks = tuple(block for block in found if block is not None)
        if len({len(block.sums) for block in blocks}) > 1:
            raise InputError("Expected features of one length in every hour, but got several")
        return cls(sum(block.n for block in blocks), *_missing(n_missing), signature, blocks)

    @property
    def weight(self) -> float:
        """Σw of the events with a text."""
        return math.fsum(block.weight for block in self.blocks)

    @property
    def square(self) -> float:
        """Σw² of the events with a text."""
        return math.fsum(block.square for block in self.blocks)

    @property
    def sums(self) -> tuple[float, ...]:
        """Σw·x over all hours."""
        return tuple(map(math.fsum, zip(*(block.sums for block in self.blocks), strict=True)))

    def merge(self, other: Self) -> Self:
        """Return the sketch of both windows.

        Raises:
            InputError: on two signatures or two lengths of features.
        """
        if self.blocks and other.blocks:
            require_alike(self, other)
        hours: dict[int, Block] = {block.hour: block for block in self.blocks}
        for block in other.blocks:
            hours[block.hour] = _add(hours[block.hour], block) if block.hour in hours else block
        blocks = tuple(hours[hour] for hour in sorted(hours))
        return type(self)(*_together(self, other), self.signature if self.blocks else other.signature, blocks)


class MeanEmbeddingSketch(_BlockSketch, frozen=True):
    """Hourly sums of features φ of length 1: unit embeddings, or their random Fourier features (Rahimi & Recht 2007).

    >>> one = MeanEmbeddingSketch.from_cells({0: {("a", 1, 1.0): (2, (1.0, 1.0))}}, "demo")
    >>> one.self_similarity
    0.0
    """

    @property
    def self_similarity(self) -> float | None:
        """The mean of φ(x)·φ(y) over pairs of different events, in [-1, 1]: 1 where all texts are alike.

        (‖Σwφ‖² - Σw²)/((Σw)² - Σw²); ``None`` below two events.
        """
        pairs = self.weight**2 - self.square
        if self.n < 2 or not 0.0 < pairs < math.inf:
            return None
        return mean_of_pairs(self.sums, self.weight, self.square, self.square)


class TokenSketch(_BlockSketch, frozen=True):
    """Hourly sums of counts of words by hashed bucket (Weinberger et al. 2009).

    >>> one = TokenSketch.from_cells({0: {("a", 1, 0.5): (2, (3.0, 1.0))}}, "demo")
    >>> one.tokens, one.shares
    (8.0, (0.75, 0.25))
    """

    @property
    def tokens(self) -> float:
        """The weighted number of words."""
        return math.fsum(self.sums)

    @property
    def shares(self) -> tuple[float, ...] | None:
        """Each bucket's share of all words; ``None`` where there is no word."""
        tokens = self.tokens
        return tuple(value / tokens for value in self.sums) if 0.0 < tokens < math.inf else None


def effective(weight: float, square: float) -> float:
    """Return Kish's (Σw)²/Σw², and 0 where there is nothing or the weights overflow.

    >>> effective(4.0, 4.0), effective(0.0, 0.0)
    (4.0, 0.0)
    """
    if not 0.0 < square < math.inf or not weight < math.inf:
        return 0.0
    # Divided before it is multiplied, since the square of a large weight overflows.
    return weight / square * weight


def require_alike(a: _BlockSketch, b: _BlockSketch) -> None:
    """Refuse sketches whose features mean different things.

    Raises:
        InputError: on two signatures or two lengths of features.
    """
    if a.signature != b.signature or len(a.blocks[0].sums) != len(b.blocks[0].sums):
        raise InputError(
            f"Expected features of one scorer and version, but got {a.signature!r} ({len(a.blocks[0].sums)}) and "
            f"{b.signature!r} ({len(b.blocks[0].sums)}); compare windows scored alike"
        )


def _weight(key: CellKey) -> float:
    if not 0.0 < key[2] <= 1.0:
        raise InputError(f"Expected `pi` in (0, 1], but got {key[2]!r}")
    return 1.0 / key[2]


def _weigh(cells: Mapping[CellKey, Mapping[T, int]]) -> tuple[dict[T, tuple[float, float]], dict[T, dict[float, int]]]:
    summed: dict[T, tuple[float, float]] = {}
    rates: dict[T, dict[float, int]] = defaultdict(dict)
    for key, counts in sorted(cells.items()):
        weight, pi = _weight(key), key[2]
        for name, count in counts.items():
            if count < 0:
                raise InputError(f"Expected counts of at least 0, but got {count}")
            if count:
                first, second = summed.get(name, (0.0, 0.0))
                summed[name] = first + count * weight, second + count * weight * weight
                rates[name][pi] = rates[name].get(pi, 0) + count
    return summed, rates


def _ascending(rates: Mapping[float, int]) -> Rates:
    return tuple(sorted(rates.items()))


def _missing(n_missing: Mapping[CellKey, int] | None) -> tuple[int, float]:
    cells = sorted((n_missing or {}).items())
    return sum(count for _, count in cells), math.fsum(count * _weight(key) for key, count in cells)


def _tallied(
    cells: Mapping[CellKey, Mapping[T, int]], n_missing: Mapping[CellKey, int] | None
) -> tuple[int, int, float, tuple[float, ...], tuple[float, ...], tuple[Rates, ...], tuple[T, ...]]:
    summed, rates = _weigh(cells)
    keys = tuple(sorted(summed))
    n = sum(count for counts in cells.values() for count in counts.values())
    first, second = tuple(summed[k][0] for k in keys), tuple(summed[k][1] for k in keys)
    return n, *_missing(n_missing), first, second, tuple(_ascending(rates[k]) for k in keys), keys


def _together(a: _Counts, b: _Counts) -> tuple[int, int, float]:
    return a.n + b.n, a.n_missing + b.n_missing, a.missing_weight + b.missing_weight


def _joined(
    *parts: tuple[_Tally, Sequence[T]],
) -> tuple[tuple[float, ...], tuple[float, ...], tuple[Rates, ...], tuple[T, ...]]:
    """Return Σw, Σw², the events by π, and the names of all parts, by name in ascending order."""
    first: dict[T, float] = defaultdict(float)
    second: dict[T, float] = defaultdict(float)
    rates: dict[T, Counter[float]] = defaultdict(Counter)
    for tally, names in parts:
        for name, weight, square, counts in zip(names, tally.weights, tally.squares, tally.counts, strict=True):
            first[name] += weight
            second[name] += square
            rates[name].update(dict(counts))
    keys = tuple(sorted(first))
    weights, squares = tuple(first[key] for key in keys), tuple(second[key] for key in keys)
    return weights, squares, tuple(_ascending(rates[key]) for key in keys), keys


def _block(hour: int, cells: Mapping[CellKey, tuple[int, Sequence[float]]]) -> Block | None:
    n, weight, square, sums = 0, 0.0, 0.0, None
    for key, (count, vector) in sorted(cells.items()):
        w = _weight(key)
        if sums is not None and len(sums) != len(vector):
            raise InputError(f"Expected features of one length, but got {len(sums)} and {len(vector)}")
        n, weight, square = n + count, weight + count * w, square + count * w * w
        sums = [old + w * new for old, new in zip(sums or [0.0] * len(vector), vector, strict=True)]
    return Block(hour, n, weight, square, tuple(sums)) if n and sums is not None else None


def _add(a: Block, b: Block) -> Block:
    sums = tuple(x + y for x, y in zip(a.sums, b.sums, strict=True))
    return Block(a.hour, a.n + b.n, a.weight + b.weight, a.square + b.square, sums)
