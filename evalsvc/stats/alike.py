"""How alike the texts of a window are: statistics of pairs of texts, from sums of their stored features.

A metric of one response cannot see that all responses have become the same. Both statistics here are means over
pairs of *different* texts, each pair weighted by 1/(π_i·π_j), so that they estimate all traffic and do not depend on
how many texts were sampled, as the number of distinct words among all words does.

Their errors are those of the delete-one-hour jackknife (Efron & Stein 1981): the hours of the window are the units, so
that what an hour's texts have in common is not taken for chance.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from typing import NamedTuple

import msgspec
import numpy as np
import numpy.typing as npt

from evalsvc.stats.distributions import t_quantile, two_sided
from evalsvc.stats.limits import wilson
from evalsvc.stats.strata import missing
from evalsvc.types import Cell, Estimate, Window

FEWEST_BLOCKS = 5
"""How many hours with texts the jackknife needs."""

ONE_HOUR = "one hour has all pairs of texts, as far as their weights tell"
CRUMB = 1e-12
"""Of the square of all weights, what is less is taken for the rounding of a difference that is 0."""

CellKey = tuple[str, int, float]


class TextBlock(NamedTuple):
    """An hour's cells, and Σ features of each by (stratum, design version, π)."""

    cells: Sequence[Cell]
    sums: Mapping[CellKey, Sequence[float]]


class _Totals(NamedTuple):
    """Σw·features, and Σw and Σw² of what pairs are counted in (texts or words) and of pairs within one text."""

    features: npt.NDArray[np.float64]
    weight: float
    within_weight: float
    within_same: float

    def without(self, other: _Totals) -> _Totals:
        """Return the totals with one block left out."""
        return _Totals(
            self.features - other.features,
            self.weight - other.weight,
            self.within_weight - other.within_weight,
            self.within_same - other.within_same,
        )


def estimate_self_similarity(blocks: Sequence[TextBlock], window: Window, *, confidence: float = 0.95) -> Estimate:
    """Return the mean similarity of two different texts of the window, in [0, 1]; 1 where all mean the same.

    The mean over pairs of the Gaussian kernel exp(-‖x - y‖²/(2·bandwidth²)) of their unit embeddings, from random
    Fourier features φ of length 1: (‖Σwφ‖² - Σw²)/((Σw)² - Σw²) with w = 1/π. With fewer than five hours, or one
    without which there is no pair, the interval is Wilson's with the variance of a share, which no similarity in [0, 1]
    exceeds: wide, and named so.

    Args:
        blocks: of the window's hours; the features as :class:`evalsvc.scorers.text_embedding.TextEmbedding` makes them.
        window: what they are of.
        confidence: of the two-sided interval.

    Raises:
        InputError: on a confidence outside (0, 1).
    """
    critical, least = two_sided(confidence), _least(blocks)
    totals = [total for block in blocks if (total := _of_texts(block, least)) is not None]
    base = _base(blocks, least, window, "self_similarity", confidence)
    whole = _sum(totals) if totals else None
    if base.n < 2 or whole is None or not _has_pairs(whole, whole):
        return _undefined(base, "a pair needs two texts with features")
    value = min(1.0, max(0.0, _mean_of_pairs(whole)))
    found = _jackknife(totals, whole, _mean_of_pairs, critical)
    if found is None:
        low, high = wilson(value, base.n_effective / 4.0, confidence)
        method = "mean over pairs by 1/(π·π), variance of a share as its bound"
    else:
        low, high = max(0.0, value - found), min(1.0, value + found)
        method = "mean over pairs by 1/(π·π), delete-one-hour jackknife"
    return _with(base, value, low, high, method, "")


def estimate_distinct_words(blocks: Sequence[TextBlock], window: Window, *, confidence: float = 0.95) -> Estimate:
    """Return the effective number of different words, at least 1: as many equally frequent ones would be as varied.

    Hill's number of order 2, 1/Σp² over words of share p (Hill 1973; Simpson 1949): one over the probability that two
    words of different texts are the same. Words are counted in B = 512 buckets, so that the probability of one
    bucket, C, is (Σ_b S_b² - within)/(T² - within) with S = Σw·counts and T = ΣS, and Σp² = (C - 1/B)/(1 - 1/B). Higher
    is more varied; it does not depend on the number of texts. Which words share a bucket moves it by some 6 %
    (√(2/B)), the same way in every window of like vocabulary; the interval leaves that out. Without an interval below
    five hours with words, or where one of them has all pairs.

    Args:
        blocks: of the window's hours; the features as :class:`evalsvc.scorers.text_words.TextWords` makes them.
        window: what they are of.
        confidence: of the two-sided interval.

    Raises:
        InputError: on a confidence outside (0, 1).
    """
    critical, least = two_sided(confidence), _least(blocks)
    totals = [total for block in blocks if (total := _of_words(block, least)) is not None and total.weight > 0.0]
    base = _base(blocks, least, window, "distinct_words", confidence)
    whole = _sum(totals) if totals else None
    if base.n < 2 or whole is None or not _has_pairs(whole, whole):
        return _undefined(base, "a pair needs two texts with words")
    buckets = len(whole.features)
    same = _mean_of_pairs(whole)
    value = _hill(same, buckets)
    if value is None:
        return _undefined(base, "no word comes twice often enough to be counted")
    method = "1/Σp² over pairs of texts by 1/(π·π), words in 512 buckets"
    found = _jackknife(totals, whole, _mean_of_pairs, critical)
    if found is None:
        few = len(totals) < FEWEST_BLOCKS
        reason = f"an interval needs {FEWEST_BLOCKS} hours with words" if few else ONE_HOUR
        return _with(base, value, None, None, method, reason)
    low, high = _hill(min(1.0, same + found), buckets), _hill(same - found, buckets)
    reason = "" if high is not None else "too few texts for the upper limit"
    return _with(base, value, low, high, f"{method}, delete-one-hour jackknife", reason)


def _least(blocks: Sequence[TextBlock]) -> float:
    """Return the smallest π: means over pairs do not depend on the scale of weights, but 1/(π·π) may overflow."""
    return min((cell.pi for block in blocks for cell in block.cells if cell.n + missing(cell)), default=1.0)


def _of_texts(block: TextBlock, least: float) -> _Totals | None:
    rows = [(cell, block.sums.get(_key(cell))) for cell in block.cells if cell.n]
    held = [(cell, np.asarray(sums, np.float64)) for cell, sums in rows if sums is not None]
    if not held:
        return None
    squares = math.fsum(cell.n * (least / cell.pi) ** 2 for cell, _ in held)
    features = np.sum([sums * (least / cell.pi) for cell, sums in held], axis=0)
    return _Totals(features, math.fsum(cell.n * (least / cell.pi) for cell, _ in held), squares, squares)


def _of_words(block: TextBlock, least: float) -> _Totals | None:
    rows = [(cell, block.sums.get(_key(cell))) for cell in block.cells if cell.n]
    held = [(cell, np.asarray(sums, np.float64)) for cell, sums in rows if sums is not None]
    if not held:
        return None
    return _Totals(
        np.sum([sums[:-1] * (least / cell.pi) for cell, sums in held], axis=0),
        math.fsum(cell.total * (least / cell.pi) for cell, _ in held),
        math.fsum(cell.squares * (least / cell.pi) ** 2 for cell, _ in held),
        math.fsum(float(sums[-1]) * (least / cell.pi) ** 2 for cell, sums in held),
    )


def _key(cell: Cell) -> CellKey:
    return cell.stratum, cell.design_version, cell.pi


def _sum(totals: Sequence[_Totals]) -> _Totals:
    return _Totals(
        np.sum([total.features for total in totals], axis=0),
        math.fsum(total.weight for total in totals),
        math.fsum(total.within_weight for total in totals),
        math.fsum(total.within_same for total in totals),
    )


def _mean_of_pairs(totals: _Totals) -> float:
    return mean_of_pairs(totals.features, totals.weight, totals.within_weight, totals.within_same)


def mean_of_pairs(sums: npt.ArrayLike, weight: float, within_weight: float, within_same: float) -> float:
    """Return Σ w_i·w_j·(x_i·x_j)/Σ w_i·w_j over pairs of different events, from sums over the events.

    Args:
        sums: Σw·x, ``[features]``.
        weight: Σw·t, where an event counts t times (1, or its number of words).
        within_weight: Σ(w·t)², what of (Σw·t)² is pairs within one event.
        within_same: Σw²·(x·x), what of ‖Σw·x‖² is.
    """
    total = np.asarray(sums, np.float64)
    return (float(total @ total) - within_same) / (weight**2 - within_weight)


def _has_pairs(totals: _Totals, whole: _Totals) -> bool:
    """Whether there is a pair of different texts, beyond what rounding leaves of the whole."""
    pairs = totals.weight**2 - totals.within_weight
    return pairs > CRUMB * whole.weight**2


def _jackknife(
    totals: Sequence[_Totals], whole: _Totals, statistic: Callable[[_Totals], float], critical: float
) -> float | None:
    """Return half the width of the interval; None with too few blocks, or where one of them has all pairs."""
    blocks = len(totals)
    rest = [whole.without(total) for total in totals]
    if blocks < FEWEST_BLOCKS or not all(_has_pairs(one, whole) for one in rest):
        return None
    left = np.array([statistic(one) for one in rest])
    error = math.sqrt((blocks - 1) / blocks * float(((left - left.mean()) ** 2).sum()))
    return t_quantile(critical, blocks - 1) * error


def _hill(same: float, buckets: int) -> float | None:
    collisions = (same - 1.0 / buckets) / (1.0 - 1.0 / buckets)
    return 1.0 / collisions if collisions > 0.0 else None


def _base(blocks: Sequence[TextBlock], least: float, window: Window, statistic: str, confidence: float) -> Estimate:
    cells = [cell for block in blocks for cell in block.cells]
    n, gone = sum(cell.n for cell in cells), sum(map(missing, cells))
    weight = math.fsum(cell.n * (least / cell.pi) for cell in cells)
    squares = math.fsum(cell.n * (least / cell.pi) ** 2 for cell in cells)
    lost = math.fsum(missing(cell) * (least / cell.pi) for cell in cells)
    share = lost / (weight + lost) if weight + lost else 0.0
    effective = weight * weight / squares if squares else 0.0
    return Estimate(None, None, None, n, effective, gone, share, window, statistic, confidence)


def _undefined(base: Estimate, reason: str) -> Estimate:
    return _with(base, None, None, None, "", reason)


def _with(
    base: Estimate, value: float | None, low: float | None, high: float | None, method: str, reason: str
) -> Estimate:
    return msgspec.structs.replace(base, value=value, low=low, high=high, method=method, reason=reason)
