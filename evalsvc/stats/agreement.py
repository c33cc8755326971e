"""How far raters (reviewers, or a judge and a reviewer) agree, beyond what chance would give, with intervals.

All coefficients are 1 - D_o/D_e, observed over expected disagreement; they differ in what they take for chance:

* percent agreement: nothing (D_e = 1);
* Cohen's κ (1960; weighted 1968): two raters, each with its own shares of the categories;
* Krippendorff's α (2004): any number of raters, missing ratings, one set of shares for all, levels nominal, ordinal and
  interval;
* Gwet's AC1 and AC2 (2008, 2014): chance is at most one half, and small where nearly all items are of one category.
  There κ and α fall towards 0 though raters agree on nearly everything (Feinstein & Cicchetti's paradox, 1990).

Every coefficient is a function of sums over items, and no matrix of categories is made: of n ratings the time is that
of sorting them. Items drawn with unequal probability are weighted by 1/(π·r), and sums are then those of the traffic.

The variance over items is the linearised one (Fleiss, Cohen & Everitt 1969 for κ, Gwet 2008 for AC1), over clusters
that of their sums of influences (Binder 1983). The interval is not symmetric: the observed disagreement gets the limits
of a share (Wilson and Jeffreys) seen in the *effective number of items* that has this variance, held up by
:data:`UNSEEN` items of a plain share's (of clusters that are all or nothing, where there are some), with Student's t;
they are divided by D_e. The variance counts for as many items as there are, times the chance that two ratings drawn
from all of them differ: one that rests on two rare ratings says little. So raters who agreed on all of 20 items are not
reported as certain.

Longer than other files: the coefficients share their sums and their interval.
"""

from __future__ import annotations

from collections.abc import Hashable, Sequence
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
ONE_CLUSTER = "one cluster tells nothing of the spread"
TWO_NEEDED = "only one category was used: name all possible ones in `categories`"

Floats = npt.NDArray[np.float64]
Ints = npt.NDArray[np.int64]


class Agreement(msgspec.Struct, frozen=True):
    """A coefficient of agreement, 1 at best; 0 is what chance gives (for percent agreement: no pair agrees).

    ``value``, ``low`` and ``high`` are None where undefined, and ``reason`` says why. ``standard_error`` is the
    linearised one over items, or clusters. ``n_items`` counts items with two ratings or more, ``n_ratings`` their
    ratings, ``n_missing`` the empty places of the table, ``n_effective`` is Kish's (Σw)²/Σw² of the items and
    ``n_clusters`` how many independent units they are. ``note`` says where the panel is too small for more than a hint.
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
    n_effective: float = 0.0
    n_clusters: int = 0


class _Table(NamedTuple):
    """Ratings as category numbers (-1: none), the categories, and each item's weight and cluster."""

    place: Ints
    categories: Floats
    weights: Floats
    clusters: Ints | None

    @property
    def raters(self) -> Floats:
        """How many ratings each item has."""
        return np.asarray((self.place >= 0).sum(axis=1), np.float64)

    def those(self, keep: npt.NDArray[np.bool_]) -> _Table:
        """Return the table of some items."""
        clusters = None if self.clusters is None else self.clusters[keep]
        return _Table(self.place[keep], self.categories, self.weights[keep], clusters)

    def totals(self, each: Floats) -> Floats:
        """Return Σ of an item's number over the ratings of each category."""
        there = self.place >= 0
        spread = np.broadcast_to(each[:, None], self.place.shape)[there]
        return np.asarray(np.bincount(self.place[there], spread, self.categories.size), np.float64)

    def summed(self, by_category: Floats) -> Floats:
        """Return each item's Σ of its ratings' categories' numbers."""
        return np.asarray(np.where(self.place >= 0, by_category[self.place], 0.0).sum(axis=1), np.float64)


class _Fit(NamedTuple):
    """Disagreements as shares of the largest possible, and the influence of ``items`` on 1 - observed/expected."""

    observed: float
    expected: float
    influence: Floats
    items: _Table


class _Distance(NamedTuple):
    """Disagreement of categories, in [0, 1]: ``at`` is where each lies, in [0, 1] and ascending."""

    kind: Weighting
    at: Floats

    def between(self, one: Ints, other: Ints) -> Floats:
        """Return the disagreement of categories, pair by pair."""
        if self.kind == "nominal":
            return np.asarray(one != other, np.float64)
        gap = np.abs(self.at[one] - self.at[other])
        return np.asarray(gap if self.kind == "linear" else gap * gap, np.float64)

    def to(self, totals: Floats) -> Floats:
        """Return each category's Σ of disagreements with all ratings, of which there are ``totals`` by category."""
        everything = float(totals.sum())
        if self.kind == "nominal":
            return np.asarray(np.maximum(0.0, everything - totals), np.float64)
        if self.kind == "linear":
            below, sums = np.cumsum(totals), np.cumsum(totals * self.at)
            apart = self.at * (2.0 * below - everything) - 2.0 * sums + sums[-1:]
            return np.asarray(np.maximum(0.0, apart), np.float64)
        # Σ t·(v - v_k)² = T·(v_k - v̄)² + Σ t·(v - v̄)², which cancels nothing.
        mean = float(totals @ self.at) / everything if everything else 0.0
        gap = self.at - mean
        return np.asarray(everything * gap * gap + float(totals @ (gap * gap)), np.float64)

    def within(self, table: _Table) -> Floats:
        """Return each item's mean disagreement over pairs of its ratings, of which it has two or more."""
        raters = table.raters
        if table.place.shape[1] == 2:
            return self.between(table.place[:, 0], table.place[:, 1])
        there = table.place >= 0
        if self.kind == "nominal":
            keys = (np.arange(len(raters))[:, None] * self.at.size + table.place)[there]
            found, counts = np.unique(keys, return_counts=True)
            same = np.bincount(found // self.at.size, counts * (counts - 1.0), len(raters))
            return np.asarray(1.0 - same / (raters * (raters - 1.0)), np.float64)
        at = np.where(there, self.at[table.place], np.nan)
        if self.kind == "linear":
            ordered, rank = np.sort(at, axis=1), np.arange(at.shape[1])
            parts = ordered * (2.0 * rank - raters[:, None] + 1.0)
            return np.asarray(2.0 * np.nansum(parts, axis=1) / (raters * (raters - 1.0)), np.float64)
        gap = at - (np.nansum(at, axis=1) / raters)[:, None]
        return np.asarray(2.0 * np.nansum(gap * gap, axis=1) / (raters - 1.0), np.float64)


def percent_agreement(
    ratings: npt.ArrayLike,
    *,
    weights: Weighting = "nominal",
    categories: npt.ArrayLike | None = None,
    item_weights: npt.ArrayLike | None = None,
    clusters: Sequence[Hashable] | None = None,
    confidence: float = 0.95,
) -> Agreement:
    """Return the share of pairs of raters that agree, mean over items; weighted, how near they are. Range [0, 1].

    Arguments, errors and missing values as in :func:`gwet_ac`.

    >>> percent_agreement([[1, 1], [0, 0], [1, 0], [1, 1]]).value
    0.75
    """
    table = _table(ratings, categories, item_weights, clusters)
    distance = _distance(table.categories, weights)
    given = _twice(table)
    fit = None
    if len(given.place):
        apart, share = distance.within(given), given.weights / given.weights.sum()
        observed = float(share @ apart)
        fit = _Fit(observed, 1.0, share * (observed - apart), given)
    name = "percent agreement" if weights == "nominal" else f"percent agreement, {weights}"
    return _answer(name, table, fit, confidence, NO_PAIR, 0.0)


def cohen_kappa(
    ratings: npt.ArrayLike,
    *,
    weights: Weighting = "nominal",
    categories: npt.ArrayLike | None = None,
    item_weights: npt.ArrayLike | None = None,
    clusters: Sequence[Hashable] | None = None,
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
    table = _table(ratings, categories, item_weights, clusters)
    if table.place.shape[1] != 2:
        raise InputError(
            f"Expected `ratings` of two raters for Cohen's κ, but got {table.place.shape[1]}; "
            "of more, ask for krippendorff_alpha or gwet_ac"
        )
    distance = _distance(table.categories, weights)
    both = _twice(table)
    fit, reason = None, NO_PAIR
    if len(both.place):
        a, b = both.place[:, 0], both.place[:, 1]
        share = both.weights / both.weights.sum()
        first, second = (np.asarray(np.bincount(x, share, table.categories.size), np.float64) for x in (a, b))
        to_first, to_second = distance.to(first), distance.to(second)
        expected = float(first @ to_second)
        apart = distance.between(a, b)
        reason = ONE_CATEGORY
        if expected > 0.0:
            observed = float(share @ apart)
            drawn = to_second[a] + to_first[b] - 2.0 * expected
            influence = -share * ((apart - observed) - observed / expected * drawn) / expected
            fit = _Fit(observed, expected, influence, both)
    name = "Cohen's κ" if weights == "nominal" else f"Cohen's κ, {weights}"
    return _answer(name, table, fit, confidence, reason, -1.0)


def krippendorff_alpha(
    ratings: npt.ArrayLike,
    *,
    level: Level = "nominal",
    item_weights: npt.ArrayLike | None = None,
    clusters: Sequence[Hashable] | None = None,
    confidence: float = 0.95,
) -> Agreement:
    """Return Krippendorff's α of any number of raters, with missing ratings. Range (-1, 1], 0 is chance.

    α = 1 - D_o/D_e over pairable ratings, with δ² nominal (0 or 1), ordinal (ranks between) or interval ((a - b)²).

    Args:
        ratings: (items, raters), NaN where missing. Ordinal and interval categories are their numbers.
        level: of the measurement.
        item_weights: as in :func:`gwet_ac`. Pairs for D_e are weighted by the product of their items'; a rating is not
            paired with itself.
        clusters: as in :func:`gwet_ac`.
        confidence: of the two-sided interval.

    Raises:
        InputError: on a table that is not two-dimensional or holds infinities, on item weights or clusters that do not
            fit, and on an unknown level.

    >>> nan = float("nan")
    >>> round(krippendorff_alpha([[1, 1, nan], [2, 2, 2], [3, 3, 3], [3, 2, 3], [nan, 1, 1]]).value, 3)
    0.786
    """
    if level not in ("nominal", "ordinal", "interval"):
        raise InputError(f"Expected `level` to be nominal, ordinal or interval, but got {level!r}")
    table = _table(ratings, None, item_weights, clusters)
    given = _twice(table)
    fit, reason = None, NO_PAIR
    if len(given.place):
        fit, reason = _alpha(given, _difference(given, level)), ONE_CATEGORY
    return _answer(f"Krippendorff's α, {level}", table, fit, confidence, reason, -1.0)


def gwet_ac(
    ratings: npt.ArrayLike,
    *,
    weights: Weighting = "nominal",
    categories: npt.ArrayLike | None = None,
    item_weights: npt.ArrayLike | None = None,
    clusters: Sequence[Hashable] | None = None,
    confidence: float = 0.95,
) -> Agreement:
    """Return Gwet's AC1 (nominal) or AC2 (weighted) of any number of raters, with missing ratings. Range (-1, 1].

    AC = (p_a - p_e)/(1 - p_e) with p_e = T·Σ π_k(1 - π_k)/(q(q - 1)) for q categories of shares π_k, and T the sum of
    all q² weights (q where nominal).

    Args:
        ratings: (items, raters), NaN where missing.
        weights: nominal, linear or quadratic, by the distance of the categories' numbers.
        categories: all possible categories; None: those that were used, of which there must be two.
        item_weights: (items,), 1/(π·r) of items that were drawn or picked for review with unequal probability; None
            weighs all alike.
        clusters: the session or user of each item: items of one may depend on each other. None: every item for itself.
        confidence: of the two-sided interval.

    Raises:
        InputError: on a table that is not two-dimensional or holds infinities, on ratings that are not in
            ``categories``, on unknown weights, on item weights or clusters that do not fit, and on a
            confidence outside (0, 1).

    >>> table = [[1, 1]] * 20 + [[1, 0]] * 5 + [[0, 1]] * 10 + [[0, 0]] * 15
    >>> round(gwet_ac(table).value, 4)
    0.4059
    """
    table = _table(ratings, categories, item_weights, clusters)
    distance = _distance(table.categories, weights)
    fit, reason = None, NO_PAIR
    if (table.raters >= 2.0).any():
        reason = TWO_NEEDED
        if table.categories.size > 1:
            fit = _gwet(table, distance)
    name = "Gwet's AC1" if weights == "nominal" else f"Gwet's AC2, {weights}"
    return _answer(name, table, fit, confidence, reason, -1.0)


def _table(
    ratings: npt.ArrayLike,
    categories: npt.ArrayLike | None,
    item_weights: npt.ArrayLike | None,
    clusters: Sequence[Hashable] | None,
) -> _Table:
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
    items = array.shape[0]
    return _Table(place, names, _item_weights(item_weights, items), _codes(clusters, items))


def _item_weights(given: npt.ArrayLike | None, items: int) -> Floats:
    if given is None:
        return np.ones(items)
    try:
        weights = np.asarray(given, dtype=np.float64)
    except (TypeError, ValueError):
        weights = np.full(items, np.nan)
    if weights.shape != (items,) or not (np.isfinite(weights) & (weights > 0.0)).all():
        raise InputError("Expected `item_weights` to be finite and above 0, one for each item")
    # Only their ratios count; in shares of the largest, and above the root of the least number, no square is lost.
    return np.maximum(weights / weights.max(), 1e-150) if items else weights


def _codes(clusters: Sequence[Hashable] | None, items: int) -> Ints | None:
    if clusters is None:
        return None
    if len(clusters) != items:
        raise InputError(f"Expected a cluster for each of {items} items, but got {len(clusters)}")
    first: dict[Hashable, int] = {}
    return np.array([first.setdefault(cluster, len(first)) for cluster in clusters], dtype=np.int64)


def _twice(table: _Table) -> _Table:
    return table.those(table.raters >= 2.0)


def _distance(categories: Floats, weights: Weighting) -> _Distance:
    """Return disagreement weights in [0, 1], the largest of them 1."""
    if weights not in ("nominal", "linear", "quadratic"):
        raise InputError(f"Expected `weights` to be nominal, linear or quadratic, but got {weights!r}")
    if weights == "nominal" or categories.size < 2:
        return _Distance("nominal", categories)
    with np.errstate(over="ignore"):
        gap = categories - categories[0]
    if not np.isfinite(gap[-1]):
        gap = categories / 2.0 - categories[0] / 2.0
    return _Distance(weights, gap / gap[-1])


def _difference(given: _Table, level: Level) -> _Distance:
    if level != "ordinal":
        return _distance(given.categories, "nominal" if level == "nominal" else "quadratic")
    totals = given.totals(given.weights)
    middle = np.cumsum(totals) - totals / 2.0
    # Categories that no pairable rating uses have no width; they do not matter.
    gap = middle - middle[0]
    return _Distance("quadratic", gap / max(1e-150, float(gap[-1])))


def _alpha(given: _Table, delta: _Distance) -> _Fit | None:
    raters, weights = given.raters, given.weights
    mass = weights * raters
    totals, n = given.totals(weights), float(mass.sum())
    # All pairs but those of a rating with itself; n(n - 1) where all weights are 1.
    pairs = n * n - float(weights @ mass)
    apart_from_all = delta.to(totals)
    crossed = float(totals @ apart_from_all)
    if crossed <= 0.0 or pairs <= 0.0:
        return None
    apart = delta.within(given) * mass
    observed, expected = float(apart.sum()) / n, crossed / pairs
    of_observed = (apart - observed * mass) / n
    drawn = 2.0 * weights * given.summed(apart_from_all) / pairs
    of_expected = drawn - crossed * mass * (2.0 * n - weights) / pairs**2
    influence = -of_observed / expected + observed * of_expected / expected**2
    return _Fit(observed, expected, influence, given)


def _gwet(table: _Table, distance: _Distance) -> _Fit:
    rated = table.those(table.raters >= 1.0)
    raters, twice = rated.raters, rated.raters >= 2.0
    q = rated.categories.size
    weight = rated.weights / rated.weights.sum()
    shared = rated.totals(weight / raters)
    factor = (q * q - float(distance.to(np.ones(q)).sum())) / (q * (q - 1.0))
    expected = 1.0 - factor * float(shared @ (1.0 - shared))
    apart = np.zeros(len(raters))
    apart[twice] = distance.within(rated.those(twice))
    paired = float(weight[twice].sum())
    observed = float(weight @ apart) / paired
    own = 1.0 - factor * rated.summed(1.0 - shared) / raters
    kappa = 1.0 - observed / expected
    # Gwet's own form, in which an item with one rating has a part of 0 in the agreement.
    part = twice / paired * (expected - apart) / expected
    chance = 2.0 * (1.0 - kappa) * (expected - own) / expected
    return _Fit(observed, expected, weight * (part - kappa - chance), rated)


def _answer(name: str, table: _Table, fit: _Fit | None, confidence: float, reason: str, floor: float) -> Agreement:
    probability = two_sided(confidence)
    value = low = high = error = None
    method = ""
    given = _twice(table)
    n_items, square = len(given.place), float(given.weights @ given.weights)
    kish = float(given.weights.sum()) ** 2 / square if n_items else 0.0
    units = n_items if given.clusters is None else len(np.unique(given.clusters))
    if fit is not None:
        value = 1.0 - fit.observed / fit.expected
        reason = "" if units > 1 else ONE_ITEM if n_items == 1 else ONE_CLUSTER
        if units > 1:
            method = "linearised over items, wilson-jeffreys, t"
            low, high, error = _limits(fit, given, kish, units, probability, floor)
            low, high = min(low, value), max(high, value)
    if method and given.clusters is not None:
        method = method.replace("over items", "over clusters")
    if method and (given.weights != given.weights[0]).any():
        method = f"weighted, {method}"
    raters = table.place.shape[1]
    few = n_items < FEW_ITEMS
    note = f"{n_items} items and {raters} raters: too few for more than a hint" if few and value is not None else ""
    return Agreement(
        statistic=name,
        value=value,
        low=low,
        high=high,
        standard_error=error,
        n_items=n_items,
        n_raters=raters,
        n_ratings=int(given.raters.sum()),
        n_missing=int((table.place < 0).sum()),
        confidence=confidence,
        method=method,
        reason=reason,
        note=note,
        n_effective=kish,
        n_clusters=units,
    )


def _diversity(table: _Table) -> float:
    totals = table.totals(table.weights)
    shares = totals / totals.sum()
    return 1.0 - float(shares @ shares)


def _limits(
    fit: _Fit, given: _Table, kish: float, units: int, probability: float, floor: float
) -> tuple[float, float, float]:
    sums, worst = fit.influence, 1.0
    if fit.items.clusters is not None and given.clusters is not None:
        codes = np.unique(fit.items.clusters, return_inverse=True)[1]
        sums = np.asarray(np.bincount(codes, fit.influence), np.float64)
        # The variance of clusters that agree on all of their items or on none, over that of single items.
        whole = np.bincount(given.clusters, given.weights)
        worst = float(whole @ whole) / float(given.weights @ given.weights)
    variance = sums.size / (sums.size - 1.0) * float(sums @ sums)
    base = fit.observed * (1.0 - fit.observed) / kish
    ratio = variance * fit.expected**2 / base if base > 0.0 else worst
    # Sixty items of which one weighs as much as all others teach as much of the spread as two do.
    alone = min(float(units), kish)
    telling = alone * _diversity(fit.items)
    ratio = (telling * ratio + UNSEEN * worst) / (telling + UNSEEN)
    # Rounding can take a disagreement a hair over 1.
    share = min(1.0, max(0.0, fit.observed))
    bottom, top = binary_limits(share, kish / ratio, t_quantile(probability, max(1.0, alone - 1.0)))
    return max(floor, 1.0 - top / fit.expected), 1.0 - bottom / fit.expected, float(np.sqrt(variance))
