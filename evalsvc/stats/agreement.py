"""How far raters (reviewers, or a judge and a reviewer) agree, beyond what chance would give, with intervals.

All coefficients are 1 - D_o/D_e, observed over expected disagreement; they differ in what they take for chance:

* percent agreement: nothing (D_e = 1);
* Cohen's κ (1960; weighted 1968): two raters, each with its own shares of the categories;
* Krippendorff's α (2004): any number of raters, missing ratings, one set of shares for all, levels nominal, ordinal and
  interval;
* Gwet's AC1 and AC2 (2008, 2014): chance is at most one half, and small where nearly all items are of one category.
  There κ and α fall towards 0 though raters agree on nearly everything (Feinstein & Cicchetti's paradox, 1990).

The variance over items is the linearised one (Fleiss, Cohen & Everitt 1969 for κ, Gwet 2008 for AC1). The interval is
not symmetric: the observed disagreement gets the limits of a share (Wilson and Jeffreys) seen in the *effective number
of items* that has this variance, held up by :data:`UNSEEN` items of a plain share's, with Student's t; they are divided
by D_e. The variance counts for as many items as there are, times the chance that two ratings drawn from all of them
differ: one that rests on two rare ratings says little. So raters who agreed on all of 20 items are not reported as
certain.
"""

from __future__ import annotations

from typing import Literal, NamedTuple

import msgspec
import numpy as np
import numpy.typing as npt

from evalsvc.errors import InputError
from evalsvc.stats.distributions import t_quantile, two_sided
from evalsvc.stats.limits import binary_limits

Weighting = Literal["nominal", "linear", "quadratic"]
Level = Literal["nominal", "ordinal", "interval"]
UNSEEN = 4.0
FEW_ITEMS = 10
ONE_CATEGORY = "all ratings fall in one category: what chance would give cannot be told"
NO_PAIR = "no item was rated twice"
ONE_ITEM = "one item tells nothing of the spread"
TWO_NEEDED = "only one category was used: name all possible ones in `categories`"

Floats = npt.NDArray[np.float64]


class Agreement(msgspec.Struct, frozen=True):
    """A coefficient of agreement, 1 at best; 0 is what chance gives (for percent agreement: no pair agrees).

    ``value``, ``low`` and ``high`` are None where undefined, and ``reason`` says why. ``standard_error`` is the
    linearised one over items. ``n_items`` counts items with two ratings or more, ``n_ratings`` their ratings,
    ``n_missing`` the empty places of the table. ``note`` says where the panel is too small for more than a hint.
    """

    statistic: str
    value: float | None
    low: float | None
    high: float | None
    standard_error: float | None
    n_items: int
    n_raters: int
    n_ratings: int
    n_missing: int
    confidence: float = 0.95
    method: str = ""
    reason: str = ""
    note: str = ""


class _Table(NamedTuple):
    """Ratings as category numbers (-1: none), the categories, and counts (items, categories)."""

    place: npt.NDArray[np.int64]
    categories: Floats
    counts: Floats


class _Fit(NamedTuple):
    """Disagreements as shares of the largest possible, and each item's influence on 1 - observed/expected."""

    observed: float
    expected: float
    influence: Floats


def percent_agreement(
    ratings: npt.ArrayLike,
    *,
    weights: Weighting = "nominal",
    categories: npt.ArrayLike | None = None,
    confidence: float = 0.95,
) -> Agreement:
    """Return the share of pairs of raters that agree, mean over items; weighted, how near they are. Range [0, 1].

    Arguments, errors and missing values as in :func:`gwet_ac`.

    >>> percent_agreement([[1, 1], [0, 0], [1, 0], [1, 1]]).value
    0.75
    """
    table = _table(ratings, categories)
    given = _twice(table)
    distance = _distance(table.categories, weights)
    fit = None
    if len(given):
        apart = _apart(given, distance)
        fit = _Fit(float(apart.mean()), 1.0, (apart.mean() - apart) / apart.size)
    name = "percent agreement" if weights == "nominal" else f"percent agreement, {weights}"
    return _answer(name, table, len(given), fit, confidence, NO_PAIR, 0.0)


def cohen_kappa(
    ratings: npt.ArrayLike,
    *,
    weights: Weighting = "nominal",
    categories: npt.ArrayLike | None = None,
    confidence: float = 0.95,
) -> Agreement:
    """Return Cohen's κ of two raters, weighted where ``weights`` is linear or quadratic. Range [-1, 1].

    κ = 1 - Σ d(a, b)·p(a, b) / Σ d(a, b)·p(a)·p(b), with d 1 off the diagonal (nominal), |a - b| (linear) or (a - b)²
    (quadratic). Items with one rating are left out. Where both raters use one category alone it is undefined.

    Arguments and errors as in :func:`gwet_ac`; ``ratings`` has two columns.

    >>> table = [[1, 1]] * 20 + [[1, 0]] * 5 + [[0, 1]] * 10 + [[0, 0]] * 15
    >>> round(cohen_kappa(table).value, 6)
    0.4
    """
    table = _table(ratings, categories)
    if table.place.shape[1] != 2:
        raise InputError(
            f"Expected `ratings` of two raters for Cohen's κ, but got {table.place.shape[1]}; "
            "of more, ask for krippendorff_alpha or gwet_ac"
        )
    both = table.place[(table.place >= 0).all(axis=1)]
    distance = _distance(table.categories, weights)
    fit, reason = None, NO_PAIR
    if len(both):
        a, b = both[:, 0], both[:, 1]
        size = table.categories.size
        first, second = (np.bincount(x, minlength=size) / len(both) for x in (a, b))
        expected = float(first @ distance @ second)
        apart = distance[a, b]
        reason = ONE_CATEGORY
        if expected > 0.0:
            observed = float(apart.mean())
            drawn = (distance @ second)[a] + (first @ distance)[b] - 2.0 * expected
            influence = -((apart - observed) - observed / expected * drawn) / expected / len(both)
            fit = _Fit(observed, expected, influence)
    name = "Cohen's κ" if weights == "nominal" else f"Cohen's κ, {weights}"
    return _answer(name, table, len(both), fit, confidence, reason, -1.0)


def krippendorff_alpha(
    ratings: npt.ArrayLike,
    *,
    level: Level = "nominal",
    confidence: float = 0.95,
) -> Agreement:
    """Return Krippendorff's α of any number of raters, with missing ratings. Range (-1, 1], 0 is chance.

    α = 1 - D_o/D_e over pairable ratings, with δ² nominal (0 or 1), ordinal (ranks between) or interval ((a - b)²).

    Args:
        ratings: (items, raters), NaN where missing. Ordinal and interval categories are their numbers.
        level: of the measurement.
        confidence: of the two-sided interval.

    Raises:
        InputError: on a table that is not two-dimensional or holds infinities, and on an unknown level.

    >>> nan = float("nan")
    >>> round(krippendorff_alpha([[1, 1, nan], [2, 2, 2], [3, 3, 3], [3, 2, 3], [nan, 1, 1]]).value, 3)
    0.786
    """
    if level not in ("nominal", "ordinal", "interval"):
        raise InputError(f"Expected `level` to be nominal, ordinal or interval, but got {level!r}")
    table = _table(ratings, None)
    given = _twice(table)
    fit, reason = None, NO_PAIR
    if len(given):
        fit, reason = _alpha(given, _difference(table.categories, given.sum(axis=0), level)), ONE_CATEGORY
    return _answer(f"Krippendorff's α, {level}", table, len(given), fit, confidence, reason, -1.0)


def gwet_ac(
    ratings: npt.ArrayLike,
    *,
    weights: Weighting = "nominal",
    categories: npt.ArrayLike | None = None,
    confidence: float = 0.95,
) -> Agreement:
    """Return Gwet's AC1 (nominal) or AC2 (weighted) of any number of raters, with missing ratings. Range (-1, 1].

    AC = (p_a - p_e)/(1 - p_e) with p_e = T·Σ π_k(1 - π_k)/(q(q - 1)) for q categories of shares π_k, and T the sum of
    all q² weights (q where nominal).

    Args:
        ratings: (items, raters), NaN where missing.
        weights: nominal, linear or quadratic, by the distance of the categories' numbers.
        categories: all possible categories; None: those that were used, of which there must be two.
        confidence: of the two-sided interval.

    Raises:
        InputError: on a table that is not two-dimensional or holds infinities, on ratings that are not in
            ``categories``, on unknown weights and on a confidence outside (0, 1).

    >>> table = [[1, 1]] * 20 + [[1, 0]] * 5 + [[0, 1]] * 10 + [[0, 0]] * 15
    >>> round(gwet_ac(table).value, 4)
    0.4059
    """
    table = _table(ratings, categories)
    distance = _distance(table.categories, weights)
    given, q = _twice(table), table.categories.size
    fit, reason = None, NO_PAIR
    if len(given):
        reason = TWO_NEEDED
        if q > 1:
            fit = _gwet(table.counts, distance)
    return _answer(
        "Gwet's AC1" if weights == "nominal" else f"Gwet's AC2, {weights}",
        table,
        len(given),
        fit,
        confidence,
        reason,
        -1.0,
    )


def _table(ratings: npt.ArrayLike, categories: npt.ArrayLike | None) -> _Table:
    try:
        array = np.asarray(ratings, dtype=np.float64)
    except (TypeError, ValueError):
        raise InputError("Expected `ratings` to be a table of numbers, NaN where one is missing") from None
    if array.ndim != 2 or np.isinf(array).any():
        raise InputError(f"Expected `ratings` to be finite, of shape (items, raters), but got shape {array.shape}")
    there = ~np.isnan(array)
    names = np.unique(array[there])
    if categories is not None:
        possible = np.unique(np.asarray(categories, dtype=np.float64))
        if not np.isin(names, possible).all():
            raise InputError("Expected every rating to be one of `categories`, but got others")
        names = possible
    place = np.full(array.shape, -1, dtype=np.int64)
    place[there] = np.searchsorted(names, array[there])
    counts = np.zeros((array.shape[0], names.size))
    item = np.nonzero(there)[0]
    np.add.at(counts, (item, place[there]), 1.0)
    return _Table(place, names, counts)


def _twice(table: _Table) -> Floats:
    return np.compress(table.counts.sum(axis=1) >= 2.0, table.counts, axis=0)


def _distance(categories: Floats, weights: Weighting) -> Floats:
    """Return disagreement weights in [0, 1], the largest of them 1."""
    if weights not in ("nominal", "linear", "quadratic"):
        raise InputError(f"Expected `weights` to be nominal, linear or quadratic, but got {weights!r}")
    gap = np.abs(categories[:, None] - categories[None, :])
    if weights == "nominal" or categories.size < 2:
        return (gap > 0.0).astype(np.float64)
    gap = np.asarray(gap / gap.max())
    return gap if weights == "linear" else gap * gap


def _difference(categories: Floats, totals: Floats, level: Level) -> Floats:
    if level != "ordinal":
        return _distance(categories, "nominal" if level == "nominal" else "quadratic")
    middle = np.cumsum(totals) - totals / 2.0
    gap = np.abs(middle[:, None] - middle[None, :])
    # Categories that no pairable rating uses have no width; they do not matter.
    gap /= max(1e-150, float(gap.max()))
    return gap * gap


def _apart(counts: Floats, distance: Floats) -> Floats:
    """Return each item's mean disagreement over pairs of its ratings."""
    raters = counts.sum(axis=1)
    # A category is at distance 0 from itself, so no pair of a rating with itself needs to be taken off.
    apart: Floats = ((counts @ distance) * counts).sum(axis=1) / (raters * (raters - 1.0))
    return apart


def _alpha(counts: Floats, delta: Floats) -> _Fit | None:
    raters, totals = counts.sum(axis=1), counts.sum(axis=0)
    n = float(raters.sum())
    pairs = n * (n - 1.0)
    crossed = float(totals @ delta @ totals)
    if crossed <= 0.0:
        return None
    apart = _apart(counts, delta) * raters
    observed, expected = float(apart.sum()) / n, crossed / pairs
    of_observed = (apart - observed * raters) / n
    of_expected = 2.0 * (counts @ delta @ totals) / pairs - crossed * (2.0 * n - 1.0) * raters / pairs**2
    return _Fit(observed, expected, -of_observed / expected + observed * of_expected / expected**2)


def _gwet(counts: Floats, distance: Floats) -> _Fit:
    rated = counts[counts.sum(axis=1) > 0.0]
    raters = rated.sum(axis=1)
    twice = raters >= 2.0
    n, q = len(rated), distance.shape[0]
    shares = rated / raters[:, None]
    shared = shares.mean(axis=0)
    factor = float((1.0 - distance).sum()) / (q * (q - 1.0))
    expected = 1.0 - factor * float(shared @ (1.0 - shared))
    apart = np.zeros(n)
    apart[twice] = _apart(rated[twice], distance)
    observed = float(apart.sum()) / int(twice.sum())
    own = 1.0 - factor * (shares @ (1.0 - shared))
    kappa = 1.0 - observed / expected
    # Gwet's own form, in which an item with one rating has a part of 0 in the agreement.
    part = twice * (n / int(twice.sum())) * (expected - apart) / expected
    chance = 2.0 * (1.0 - kappa) * (expected - own) / expected
    return _Fit(observed, expected, (part - kappa - chance) / n)


def _answer(
    name: str, table: _Table, n_items: int, fit: _Fit | None, confidence: float, reason: str, floor: float
) -> Agreement:
    probability = two_sided(confidence)
    value = low = high = error = None
    method = ""
    if fit is not None:
        value = 1.0 - fit.observed / fit.expected
        reason, method = ("", "linearised over items, wilson-jeffreys, t") if n_items > 1 else (ONE_ITEM, "")
        if n_items > 1:
            low, high, error = _limits(fit, n_items, _diversity(table.counts), probability, floor)
            low, high = min(low, value), max(high, value)
    raters = table.place.shape[1]
    few = n_items < FEW_ITEMS
    note = f"{n_items} items and {raters} raters: too few for more than a hint" if few and value is not None else ""
    ratings = table.counts.sum(axis=1)
    return Agreement(
        statistic=name,
        value=value,
        low=low,
        high=high,
        standard_error=error,
        n_items=n_items,
        n_raters=raters,
        n_ratings=int(ratings[ratings >= 2.0].sum()),
        n_missing=int((table.place < 0).sum()),
        confidence=confidence,
        method=method,
        reason=reason,
        note=note,
    )


def _diversity(counts: Floats) -> float:
    shares = counts.sum(axis=0) / counts.sum()
    return 1.0 - float(shares @ shares)


def _limits(fit: _Fit, n_items: int, diversity: float, probability: float, floor: float) -> tuple[float, float, float]:
    size = fit.influence.size
    variance = size / (size - 1.0) * float(fit.influence @ fit.influence)
    base = fit.observed * (1.0 - fit.observed) / n_items
    ratio = variance * fit.expected**2 / base if base > 0.0 else 1.0
    telling = n_items * diversity
    ratio = (telling * ratio + UNSEEN) / (telling + UNSEEN)
    # Rounding can take a disagreement a hair over 1.
    share = min(1.0, max(0.0, fit.observed))
    bottom, top = binary_limits(share, n_items / ratio, t_quantile(probability, n_items - 1.0))
    return max(floor, 1.0 - top / fit.expected), 1.0 - bottom / fit.expected, float(np.sqrt(variance))
