"""Gaps between groups, with intervals that allow for having picked the extremes.

The largest of many noisy numbers is too large and the smallest too small, so that max − min is above the true gap, and
a bootstrap of it, or an interval of the two groups picked, never reaches 0. What holds instead: limits for *all*
differences at once, of which the extremes are two (Tukey 1953; Kramer 1956, whose limits are conservative at unequal
errors: Hayter 1984). Over the pairs (i, j) with limits L and U of θ_i − θ_j at a joint confidence, the true gap lies in
[max(0, max L), max U].

The limits of each difference are joined from the two groups' own by MOVER (Zou & Donner 2008), at the tail that the
studentised range asks for: limits of shares and of bounded scores stay inside what is possible, and a group without a
single failure keeps its doubt. Groups are independent: under Poisson sampling of events they are; sessions that lie in
several groups are taken as several.

Scores without an upper end (latencies, costs) have tails of which a small sample sees little: a group whose sample
misses them has a mean and an error that are small together, and one that has an outlier both large. Limits for
comparisons so differ from those of a group alone. The error is the group's own or, where that is larger, the one that
it would have with the relative spread (on a scale without ends: the spread) of all groups together; and on a scale with
a lower end the limits are m − t·e and the score limit m/(1 − t·e/m), which is infinite where t·e is m or more: there
the data set no limit.

Longer than other files: limits, joint tails and who stands apart rest on the same pairs of groups.
"""

from __future__ import annotations

import copy
import math
from collections.abc import Sequence
from functools import lru_cache
from typing import Literal, NamedTuple

import numpy as np
from numpy.typing import NDArray

from evalsvc.errors import InputError
from evalsvc.fairness.groups import Floats, Group, Sums
from evalsvc.stats import adjust_p_values
from evalsvc.stats.distributions import normal_quantile, two_sided
from evalsvc.stats.many import Table, in_columns, means_of
from evalsvc.stats.multiplicity import Procedure
from evalsvc.types import Better

Adjustment = Literal["holm", "bh"]

DRAWS = 20_000
_FARTHEST = 8.0
_GRID = np.array([0.5, 1.0, 1.5, 1.75, 2.0, 2.25, 2.5, 2.75, 3.0, 3.5, 4.0, 5.0, 6.0, _FARTHEST])
_SEED = 20260301
_MANY = 1000
_MOST_APART = 100
# From so many groups on columns are quicker than one group at a time.
_COLUMNS = 16
ALL = "all shown groups"
"""What a worst gap is against, where no reference is given."""

_FEW = "fewer than two groups have an interval to compare"


class Gap(NamedTuple):
    """How far apart the groups are, in the scale's unit (``ratio``: none). Larger is further apart, of a ratio closer.

    ``value`` is the range of the shrunken estimates (their smallest over their largest, for a ratio), moved into the
    interval; ``low`` and ``high`` are joint limits of the true one; ``naive`` is the range of the plain estimates,
    which is biased away from equality, and ``if_equal`` what it would be on average if all groups were equal.
    ``p_value`` is for equality of all groups, by the studentised range. ``high`` is ``None`` where the scores set no
    upper limit; ``reason`` says so.
    """

    statistic: str
    value: float | None
    low: float | None
    high: float | None
    naive: float | None
    if_equal: float | None
    p_value: float | None
    highest: str
    lowest: str
    groups: int
    confidence: float
    method: str
    reason: str = ""


class Difference(NamedTuple):
    """A group against the others, or against a reference: group − other, in the scale's unit.

    ``low`` and ``high`` hold for all rows jointly. ``p_value`` is this row's own, two-sided; ``p_adjusted`` accounts
    for the number of rows.
    """

    name: str
    against: str
    value: float
    low: float | None
    high: float | None
    p_value: float
    p_adjusted: float


class Apart(NamedTuple):
    """A group that stands apart from the rest: those of which none stands further apart.

    ``value`` is the group's, ``rest`` the mean of the rest by their shares, in the scale's unit. ``p_value`` is
    two-sided, adjusted for the number of groups that were still together.
    """

    name: str
    value: float
    rest: float
    p_value: float


class WorstGap(NamedTuple):
    """How much worse than the reference the worst-off group is, in the scale's unit; 0 is as good or better.

    With a scale that has no better end it is the largest distance either way. The interval allows for having picked
    the group.
    """

    value: float | None
    low: float | None
    high: float | None
    worst: str
    against: str
    groups: int
    confidence: float
    method: str
    reason: str = ""


class Spread(NamedTuple):
    """The variance between groups, each counting the same, with the noise of sampling taken off.

    ``variance`` = max(0, ``observed`` − ``noise``) in the scale's unit squared; ``low`` and ``high`` are limits of its
    root, ``deviation``, in the scale's unit.
    """

    variance: float | None
    deviation: float | None
    low: float | None
    high: float | None
    observed: float | None
    noise: float | None
    groups: int
    confidence: float
    method: str
    reason: str = ""


class Shrunken(NamedTuple):
    """A group's estimate pulled towards the groups' common mean: value = (1 − shrinkage)·own + shrinkage·mean.

    ``shrinkage`` in [0, 1] is the share of the group's distance from the mean that is expected to be noise.
    """

    name: str
    value: float
    own: float
    shrinkage: float
    mean: float


class Limits:
    """The groups' values and their limits at any critical value, each computed once.

    Every function of this module takes them in place of the groups, so that several answers share them.
    """

    def __init__(self, groups: Sequence[Group]) -> None:
        """Ask each group for its value."""
        self.groups = [group for group in groups if _comparable(group)]
        self.left_out = [group.name for group in groups if not _comparable(group)]
        self.names = [group.name for group in self.groups]
        self.values = np.array([group.at(0.95).value for group in self.groups], dtype=np.float64)
        self._held: dict[float, tuple[Floats, Floats]] = {}
        self._tails = _Tails.of(self.groups, self.values)
        others = np.flatnonzero(~self._tails.among)
        self._others = others, [self.groups[row] for row in others.tolist()]
        self._table = _table([group.sums for group in self._others[1] if group.sums is not None])
        one = normal_quantile(0.975)
        below, above = self.at(one)
        # What a comparison is studentised by: the honest interval's own half width, on an open scale its error.
        errors = np.minimum(below + above, 1e300) / (2.0 * one)
        self.errors: Floats = np.where(self._tails.among, self._tails.distances(one) / one, errors)

    @classmethod
    def of(cls, groups: Sequence[Group] | Limits) -> Limits:
        """Return the limits of groups, or those given."""
        return groups if isinstance(groups, Limits) else cls(groups)

    def without(self, row: int) -> Limits:
        """Return the limits of the other groups."""
        kept = [group for place, group in enumerate(self.groups) if place != row]
        # What is left has a spread of its own; and to compute the others' limits anew costs more than to leave one out.
        if self._tails.among.any():
            return Limits(kept)
        rest = copy.copy(self)
        others = np.arange(len(self.groups)) != row
        rest.groups, rest.names = kept, [group.name for group in kept]
        rest.values, rest.errors = self.values[others], self.errors[others]
        rest._tails = _Tails.of(kept, rest.values)
        rest._others = np.arange(len(kept)), kept
        rest._table = None
        rest._held = {critical: (below[others], above[others]) for critical, (below, above) in self._held.items()}
        return rest

    def at(self, critical: float) -> tuple[Floats, Floats]:
        """Return the distances from the values down to the lower limits and up to the upper ones, ``[groups]`` each.

        ``critical`` is on the normal scale: each group takes Student's t of its own freedom at the same tail.
        """
        if critical not in self._held:
            below, above = self._tails.limits(min(critical, _FARTHEST))
            rows, groups = self._others
            if groups:
                # Beyond what doubles tell from 1 the tail cannot be passed on.
                confidence = min(math.erf(min(critical, _FARTHEST) / math.sqrt(2.0)), 1.0 - 2e-16)
                low, high = _ends(groups, self._table, confidence)
                below[rows], above[rows] = self.values[rows] - low, high - self.values[rows]
            self._held[critical] = np.maximum(below, 0.0), np.maximum(above, 0.0)
        return self._held[critical]


class _Tails(NamedTuple):
    """The groups on scales without an upper end, in columns ``[groups]``; ``among`` says which ones these are.

    ``level`` is a value's distance from the scale's lower end, infinite where that is open as well; ``error`` the one
    for comparisons.
    """

    among: NDArray[np.bool_]
    level: Floats
    error: Floats
    freedom: Floats

    @classmethod
    def of(cls, groups: Sequence[Group], values: Floats) -> _Tails:
        among = np.array([group.tail is not None and group.error is not None for group in groups], dtype=bool)
        level, error, freedom = np.full(values.size, np.inf), np.zeros(values.size), np.ones(values.size)
        sizes = np.zeros(values.size)
        for row in np.flatnonzero(among).tolist():
            group = groups[row]
            if group.tail is not None:
                level[row] = math.inf if group.tail.floor is None else values[row] - group.tail.floor
                error[row], freedom[row] = group.error or 0.0, group.tail.freedom
                sizes[row] = group.at(0.95).n_effective
        for rows, unit in ((among & np.isfinite(level), level), (among & np.isinf(level), np.ones(values.size))):
            # Of a weighted or clustered group the spread has its design in it, as that of the others has.
            some = rows & (unit > 0.0) & (sizes > 0.0)
            if some.any():
                spread = (error[some] / unit[some]) ** 2 * sizes[some]
                pooled = float((spread * sizes[some]).sum() / sizes[some].sum())
                error[some] = np.maximum(error[some], unit[some] * np.sqrt(pooled / sizes[some]))
        return cls(among, level, error, freedom)

    def distances(self, critical: float) -> Floats:
        """Return t·e, with each group's t at the tail of a normal critical value."""
        from scipy.special import ndtr, stdtrit

        if not self.among.any():
            return self.error
        out: Floats = -stdtrit(np.minimum(self.freedom, 1e9), ndtr(-critical)) * self.error
        return out

    def limits(self, critical: float) -> tuple[Floats, Floats]:
        """Return the distances to both limits; 0 for the other groups."""
        far = self.distances(critical)
        part = np.divide(far, self.level, out=np.where(far > 0.0, np.inf, 0.0), where=self.level > 0.0)
        above = np.divide(far, 1.0 - part, out=np.full(far.size, np.inf), where=part < 1.0)
        return np.minimum(far, np.maximum(self.level, 0.0)), above


def _table(sums: Sequence[Sums]) -> Table | None:
    """Return many groups in columns; of a few, or of several targets, None."""
    if len(sums) < _COLUMNS or len({one.target for one in sums}) > 1:
        return None
    return in_columns(
        [one.cells for one in sums],
        [one.scale for one in sums],
        offered=[one.offered for one in sums],
        rates=[one.rates for one in sums],
        untaken=[one.untaken for one in sums],
    )


def _ends(groups: Sequence[Group], table: Table | None, confidence: float) -> tuple[Floats, Floats]:
    """Return the groups' own limits, ``[groups]`` each, -∞ and ∞ where they have none."""
    low, high = np.full(len(groups), -np.inf), np.full(len(groups), np.inf)
    rows = np.zeros(len(groups), dtype=bool)
    if table is not None:
        rows = np.array([group.sums is not None for group in groups])
        process = any(group.sums is not None and group.sums.target == "process" for group in groups)
        found = means_of(*table, confidence=confidence, process=process)
        low[rows], high[rows] = np.nan_to_num(found.low, nan=-np.inf), np.nan_to_num(found.high, nan=np.inf)
    for row in np.flatnonzero(~rows).tolist():
        estimate = groups[row].at(confidence)
        low[row] = -math.inf if estimate.low is None else estimate.low
        high[row] = math.inf if estimate.high is None else estimate.high
    return low, high


def gap(groups: Sequence[Group] | Limits, *, confidence: float = 0.95) -> Gap:
    """Return the difference between the highest and the lowest group.

    Groups without an interval are left out, and ``reason`` names them.

    Raises:
        InputError: on a confidence outside (0, 1).

    >>> from evalsvc.fairness.groups import groups_of_values
    >>> from evalsvc.types import Scale
    >>> share = Scale(0.0, 1.0, "higher", binary=True)
    >>> scores = [1.0] * 24 + [0.0] * 16 + [1.0] * 18 + [0.0] * 22
    >>> found = gap(groups_of_values(scores, ["a"] * 40 + ["b"] * 40, share))
    >>> round(found.naive, 3), found.low, round(found.high, 3)
    (0.15, 0.0, 0.353)
    """
    level = two_sided(confidence)
    limits = Limits.of(groups)
    count = len(limits.groups)
    if count < 2:
        return Gap("difference", None, None, None, None, None, None, "", "", count, confidence, "", _FEW)
    values = limits.values
    critical = range_critical(count, 2.0 * level - 1.0)
    low, high = range_limits(values, *limits.at(critical))
    naive = float(values.max() - values.min())
    shrunken = [row.value for row in shrink(limits.groups)]
    best = max(shrunken) - min(shrunken) if shrunken else naive
    return Gap(
        "difference",
        min(max(best, low), high),
        low,
        _end(high),
        naive,
        expected_range(limits.errors),
        _gap_p_value(limits),
        limits.names[int(values.argmax())],
        limits.names[int(values.argmin())],
        count,
        confidence,
        "joint limits of all pairs (Tukey-Kramer, MOVER); value: range of empirical-Bayes estimates",
        _notes(limits, high),
    )


def ratio(groups: Sequence[Group] | Limits, *, confidence: float = 0.95) -> Gap:
    """Return the smallest group's value over the largest's, in [0, 1], 1 where all are equal.

    (max/min is its reciprocal.) US practice takes 0.8, the four-fifths rule, as a sign to look; that is a convention
    about point estimates, not a test. Limits of each quotient are MOVER-R's (Donner & Zou 2012).

    Raises:
        InputError: on a confidence outside (0, 1).
    """
    level = two_sided(confidence)
    limits = Limits.of(groups)
    count = len(limits.groups)
    nothing = Gap("ratio", None, None, None, None, None, None, "", "", count, confidence, "", _FEW)
    if count < 2:
        return nothing
    values = limits.values
    if values.min() < 0.0:
        return nothing._replace(reason="a ratio needs values of at least 0")
    if values.max() <= 0.0:
        return nothing._replace(reason="every group's value is 0, whose ratio is undefined")
    critical = range_critical(count, 2.0 * level - 1.0)
    low, high = _ratio_limits(values, *limits.at(critical))
    shrunken = [row.value for row in shrink(limits.groups)]
    best = max(0.0, min(shrunken)) / max(shrunken) if shrunken and max(shrunken) > 0.0 else float("nan")
    naive = float(values.min() / values.max())
    best = naive if math.isnan(best) else best
    return Gap(
        "ratio",
        min(max(best, low), high),
        low,
        high,
        naive,
        None,
        _gap_p_value(limits),
        limits.names[int(values.argmax())],
        limits.names[int(values.argmin())],
        count,
        confidence,
        "joint limits of all pairs (Tukey-Kramer, MOVER-R); value: ratio of empirical-Bayes estimates",
        _left_out(limits),
    )


def differences(
    groups: Sequence[Group] | Limits,
    *,
    reference: str | None = None,
    adjust: Adjustment = "holm",
    confidence: float = 0.95,
) -> list[Difference]:
    """Return each group against all the others together, or against one group, with joint limits and p-values.

    "The others" are the other groups given, by their shares. Limits hold jointly: their critical value is the quantile
    of the largest of the studentised differences, drawn under equality (a parametric bootstrap of the maximum).

    Args:
        groups: those to be compared; leave out suppressed ones.
        reference: the name of a group; ``None`` takes the others.
        adjust: ``holm`` controls the chance of any false finding, ``bh`` the expected share of false ones among the
            findings (Holm 1979; Benjamini & Hochberg 1995).
        confidence: of the joint limits.

    Raises:
        InputError: on an unknown reference or adjustment, or a confidence outside (0, 1).
    """
    two_sided(confidence)
    _check_adjustment(adjust)
    limits = Limits.of(groups)
    if reference is not None and reference not in [*limits.names, *limits.left_out]:
        known = ", ".join([*limits.names, *limits.left_out][:20])
        raise InputError(f"Expected `reference` to be a group that is shown, but got {reference!r}; there are: {known}")
    if len(limits.groups) < 2 or (reference is not None and reference not in limits.names):
        return []
    contrasts = _contrasts(limits, reference)
    critical = _largest_quantile(contrasts, limits.errors, confidence)
    low, high = _contrast_limits(contrasts, limits, critical)
    values = contrasts.values(limits.values)
    names = [limits.names[row] for row in contrasts.rows]
    p_values = _contrast_p_values(contrasts, limits)
    against = reference or "the others"
    return [
        Difference(name, against, float(value), _end(a), _end(b), p, q)
        for name, value, a, b, p, q in zip(names, values, low, high, p_values, adjusted(p_values, adjust), strict=True)
    ]


def standing_apart(
    groups: Sequence[Group] | Limits, *, adjust: Adjustment = "holm", confidence: float = 0.95
) -> list[Apart]:
    """Return the groups that stand apart from the rest, the one furthest apart first.

    One group far off makes every other differ from "the others", of which it is one. So the group with the smallest
    p-value is named, left out, and the rest are compared anew, until none differs: while all that is left is equal,
    a group is named with probability of at most 1 − confidence (by ``holm``), whatever was named before. At most
    100 groups are named.

    Args:
        groups: those to be compared; leave out suppressed ones.
        adjust: as for :func:`differences`, in each round.
        confidence: below one less this, an adjusted p-value names a group.

    Raises:
        InputError: on an unknown adjustment, or a confidence outside (0, 1).
    """
    two_sided(confidence)
    _check_adjustment(adjust)
    left, found = Limits.of(groups), list[Apart]()
    while len(left.groups) > 1 and len(found) < _MOST_APART:
        contrasts = _contrasts(left, None)
        if not contrasts.rows.size:
            break
        p_values = _contrast_p_values(contrasts, left)
        distances = contrasts.values(left.values)
        # Beyond the last digits of a p-value the distance in standard errors tells them apart.
        scaled = np.abs(distances) / np.maximum(contrasts.joined(left.errors, left.errors), 1e-300)
        first = min(range(len(p_values)), key=lambda row: (p_values[row], -scaled[row]))
        p_value = adjusted(p_values, adjust)[first]
        if not p_value < 1.0 - confidence:
            break
        row = int(contrasts.rows[first])
        value = float(left.values[row])
        found.append(Apart(left.names[row], value, value - float(distances[first]), p_value))
        left = left.without(row)
    return found


class Against(NamedTuple):
    """Each group's plain difference from the others together, and its standard error, ``[rows]`` each."""

    names: tuple[str, ...]
    values: Floats
    errors: Floats


def against_others(groups: Sequence[Group]) -> Against:
    """Return every group's difference from the others by their shares, for comparisons over time."""
    limits = Limits.of(groups)
    if len(limits.groups) < 2:
        return Against((), np.zeros(0), np.zeros(0))
    contrasts = _contrasts(limits, None)
    errors = np.sqrt(contrasts.joined(limits.errors, limits.errors) ** 2 + contrasts.noise)
    return Against(tuple(limits.names[row] for row in contrasts.rows), contrasts.values(limits.values), errors)


def worst_gap(
    groups: Sequence[Group] | Limits, better: Better, *, reference: str | None = None, confidence: float = 0.95
) -> WorstGap:
    """Return how much worse the worst-off group is than all shown groups together, or than a reference group.

    Args:
        groups: those to be compared.
        better: the scale's direction: with ``lower``, the worst-off group is the highest one.
        reference: the name of a group; ``None`` takes the mean over all groups by their shares.
        confidence: of the interval.

    Raises:
        InputError: on an unknown reference, or a confidence outside (0, 1).
    """
    two_sided(confidence)
    limits, against = Limits.of(groups), reference or ALL
    count = len(limits.groups)
    nothing = WorstGap(None, None, None, "", against, count, confidence, "", _FEW)
    if reference is not None and reference not in [*limits.names, *limits.left_out]:
        raise InputError(f"Expected `reference` to be a group that is shown, but got {reference!r}")
    if count < 2 or (reference is not None and reference not in limits.names):
        return nothing
    contrasts = _contrasts(limits, reference)
    critical = _largest_quantile(contrasts, limits.errors, confidence)
    low, high = _contrast_limits(contrasts, limits, critical)
    # A group's distance from all is its distance from the others, less its own share of all.
    left = 1.0 - contrasts.weights[contrasts.rows]
    value, low, high = contrasts.values(limits.values) * left, low * left, high * left
    names = [limits.names[row] for row in contrasts.rows]
    if better == "higher":
        value, low, high = -value, -high, -low
    if better == "neither":
        low, high = np.maximum(0.0, np.maximum(low, -high)), np.maximum(np.abs(low), np.abs(high))
        value = np.abs(value)
    worst = int(value.argmax())
    return WorstGap(
        max(0.0, float(value[worst])),
        max(0.0, float(low.max())),
        _end(max(0.0, float(high.max()))),
        names[worst],
        against,
        count,
        confidence,
        "joint limits of all groups (parametric bootstrap of the studentised maximum, MOVER)",
        _notes(limits, float(high.max())),
    )


def spread(groups: Sequence[Group], *, confidence: float = 0.95) -> Spread:
    """Return the variance between groups, corrected for the noise of sampling (Lum, Zhang & Bower 2022).

    observed = Σ(y_k − ȳ)²/(K − 1) is larger than the true variance by the mean squared error of the y_k, which is
    taken off. Limits of its root are those of the Q-profile (Viechtbauer 2007), which takes groups as a sample of
    many; with two or three groups they are wide.

    Raises:
        InputError: on a confidence outside (0, 1).
    """
    level = two_sided(confidence)
    values, errors = _with_errors(groups)
    count = values.size
    if count < 2:
        return Spread(None, None, None, None, None, None, int(count), confidence, "", _FEW)
    observed, noise = float(values.var(ddof=1)), float((errors**2).mean())
    variance = max(0.0, observed - noise)
    steady = steadied(groups)
    low, high = _profile(values, steady, level)
    return Spread(
        variance,
        math.sqrt(variance),
        low,
        high,
        observed,
        noise,
        int(count),
        confidence,
        "variance of the estimates less their mean squared error; Q-profile limits",
    )


def shrink(groups: Sequence[Group]) -> list[Shrunken]:
    """Return every group's estimate pulled towards the common mean by what is likely noise (empirical Bayes).

    shrinkage_k = e_k²/(e_k² + τ²), with τ² of :func:`spread` and the mean weighted by 1/(e_k² + τ²) (Efron & Morris
    1975). e_k² is mixed with the groups' pooled variance, which stands for four scores, so that a small group whose
    scores happen to be all equal is not taken for certain. Groups without a standard error are left out.
    """
    chosen = [group for group in groups if group.error is not None and group.at(0.95).value is not None]
    values, _ = _with_errors(chosen)
    tau = spread(chosen).variance
    if tau is None:
        return []
    error = steadied(chosen) ** 2
    total = error + tau
    if not np.any(total > 0.0):
        return [Shrunken(g.name, float(y), float(y), 0.0, float(y)) for g, y in zip(chosen, values, strict=True)]
    total = np.maximum(total, 1e-12 * total.max())
    mean = float((values / total).sum() / (1.0 / total).sum())
    share = np.clip(error / total, 0.0, 1.0)
    pulled = values + share * (mean - values)
    return [
        Shrunken(group.name, float(value), float(own), float(part), mean)
        for group, value, own, part in zip(chosen, pulled, values, share, strict=True)
    ]


def adjusted(p_values: Sequence[float], method: Adjustment = "holm") -> list[float]:
    """Return p-values adjusted for their number by :func:`evalsvc.stats.adjust_p_values`, in their order.

    >>> adjusted([0.01, 0.04, 0.03])
    [0.03, 0.06, 0.06]
    """
    procedure: Procedure = "holm" if method == "holm" else "benjamini-hochberg"
    found = adjust_p_values({str(i): p for i, p in enumerate(p_values)}, procedure=procedure).adjusted
    return [1.0 if p is None else p for p in found]


@lru_cache(maxsize=1024)
def range_critical(count: int, confidence: float) -> float:
    """Return the critical value of |difference|/√(sum of squared errors) for all pairs of ``count`` normal means.

    The quantile of the studentised range with infinite freedom, over √2; for two groups, the normal quantile.

    >>> round(range_critical(2, 0.95), 3), round(range_critical(10, 0.95), 3)
    (1.96, 3.164)
    """
    low, high = 0.0, 20.0
    for _ in range(60):
        middle = (low + high) / 2.0
        low, high = (middle, high) if range_tail(middle, count) > 1.0 - confidence else (low, middle)
    return (low + high) / 2.0


def range_tail(critical: float, count: int) -> float:
    """Return P(range of ``count`` standard normals > critical·√2), by Simpson's rule on a fixed grid."""
    from scipy.special import log_ndtr, ndtr

    z = np.linspace(-9.0, 9.0, 2001)
    density = np.exp(-z * z / 2.0) / math.sqrt(2.0 * math.pi)
    width = critical * math.sqrt(2.0)
    # P(max ∈ dz) − P(max ∈ dz, min > z − width), which keeps the digits of a small tail.
    whole = np.exp((count - 1) * log_ndtr(z))
    with np.errstate(divide="ignore"):
        shrunk = np.log1p(-np.minimum(1.0, ndtr(z - width) / np.maximum(ndtr(z), 1e-300)))
    missing = -np.expm1((count - 1) * shrunk)
    weights = np.ones(z.size)
    weights[1:-1:2], weights[2:-1:2] = 4.0, 2.0
    inner = float((weights * density * whole * missing).sum()) * count * float(z[1] - z[0]) / 3.0
    return min(1.0, max(0.0, inner))


def expected_range(errors: Floats) -> float:
    """Return the mean of max − min over groups of these standard errors whose true values are all equal."""
    if errors.size > _MANY:
        z = np.linspace(-9.0, 9.0, 4001)
        from scipy.special import log_ndtr

        inside = 1.0 - np.exp(errors.size * log_ndtr(z)) - np.exp(errors.size * log_ndtr(-z))
        return float(inside.sum()) * float(z[1] - z[0]) * math.sqrt(float((errors**2).mean()))
    draws = _normals(errors.size) * errors
    return float((draws.max(axis=1) - draws.min(axis=1)).mean())


def steadied(groups: Sequence[Group]) -> Floats:
    """Return standard errors, ``[groups]``, each mixed with the pooled variance of a score as of four more scores."""
    values, errors = _with_errors(groups)
    sizes = np.array([group.at(0.95).n_effective for group in groups if _has_error(group)], dtype=np.float64)
    if values.size == 0:
        return errors
    spent = errors**2 * sizes
    pooled = float((spent * sizes).sum() / sizes.sum()) if sizes.sum() > 0.0 else 0.0
    mixed = (np.maximum(sizes - 1.0, 0.0) * spent + 4.0 * pooled) / (np.maximum(sizes - 1.0, 0.0) + 4.0)
    out: Floats = np.sqrt(mixed / np.maximum(sizes, 1.0))
    return out


def _check_adjustment(adjust: str) -> None:
    if adjust not in ("holm", "bh"):
        raise InputError(f"Expected `adjust` to be holm or bh, but got {adjust!r}")


def _comparable(group: Group) -> bool:
    estimate = group.at(0.95)
    return estimate.value is not None and (estimate.low is not None or estimate.high is not None)


def _has_error(group: Group) -> bool:
    return group.error is not None and group.at(0.95).value is not None


def _with_errors(groups: Sequence[Group]) -> tuple[Floats, Floats]:
    chosen = [group for group in groups if _has_error(group)]
    values = np.array([group.at(0.95).value for group in chosen], dtype=np.float64)
    return values, np.array([group.error for group in chosen], dtype=np.float64)


@lru_cache(maxsize=8)
def _normals(count: int) -> Floats:
    draws = max(4000, min(DRAWS, 2_000_000 // max(1, count)))
    return np.random.default_rng(_SEED).standard_normal((draws, count))


def range_limits(values: Floats, below: Floats, above: Floats) -> tuple[float, float]:
    """Return [max(0, max L), max U] over all ordered pairs (i, j), from distances to each group's limits."""
    low = _largest(values, below, above, -1.0)
    # Of a group and itself the difference is 0.
    high = _largest(values, above, below, 1.0)
    return max(0.0, low), max(0.0, high)


def _largest(values: Floats, of_first: Floats, of_second: Floats, sign: float) -> float:
    """Return the largest v_i − v_j + sign·√(first_i² + second_j²).

    Only groups that no other beats in both value and distance can make it, which of thousands are few.
    """
    first = _best(values, sign * of_first)
    second = _best(-values, sign * of_second)
    most = -math.inf
    for row in first:
        joined = sign * np.hypot(of_first[row], of_second[second])
        most = max(most, float((values[row] - values[second] + joined).max()))
    return most


def _best(values: Floats, other: Floats) -> NDArray[np.intp]:
    """Return the rows of which no other has a larger or equal value and more of the ``other``."""
    order = np.lexsort((-other, -values))
    ranked = other[order]
    before = np.concatenate([[-np.inf], np.maximum.accumulate(ranked)[:-1]])
    kept = ranked > before
    kept[0] = True
    return order[kept]


def _ratio_limits(values: Floats, below: Floats, above: Floats) -> tuple[float, float]:
    # Of thousands of groups many are alike, and of these two make every pair that there is.
    _, first, many = np.unique(np.column_stack([values, below, above]), axis=0, return_index=True, return_counts=True)
    chosen = np.repeat(first, np.minimum(many, 2))
    values, below, above = values[chosen], below[chosen], above[chosen]
    lows, highs = np.maximum(0.0, values - below), values + above
    at_least, at_most = values * values - (values - lows) ** 2, values * values - (highs - values) ** 2
    low = high = 1.0
    for i, value in enumerate(values):
        others = np.arange(values.size) != i
        product = value * values[others]
        with np.errstate(divide="ignore", invalid="ignore"):
            # MOVER-R with its fraction turned over, which has no pole where an upper limit is twice the value.
            reach = np.sqrt(np.maximum(0.0, product**2 - at_least[i] * at_most[others]))
            lower = np.where(product + reach > 0.0, at_least[i] / (product + reach), 0.0)
            root = np.sqrt(np.maximum(0.0, product**2 - at_most[i] * at_least[others]))
            upper = np.where(at_least[others] > 0.0, (product + root) / at_least[others], np.inf)
        lower = np.where(np.isfinite(lower), lower, 0.0)
        low, high = min(low, float(lower.min())), min(high, float(upper.min()))
    return max(0.0, low), max(high, low)


def _gap_p_value(limits: Limits) -> float:
    """Return the tail at which the joint interval of the gap begins to leave 0."""
    clear = np.array([_largest(limits.values, *limits.at(float(q)), -1.0) for q in _GRID])
    start = float(limits.values.max() - limits.values.min())
    crossing = float(_crossings(np.array([start]), clear[:, None])[0])
    return 1.0 if crossing <= 0.0 else range_tail(crossing, len(limits.groups))


def _crossings(start: Floats, clear: Floats) -> Floats:
    """Return the critical values, ``[rows]``, at which intervals begin to hold 0, by a line between the grid's points.

    ``clear``, ``[grid, rows]``, is how far the nearer end is from 0, above 0 while 0 is outside; ``start``, ``[rows]``,
    is that of a critical value of 0.
    """
    inside = clear <= 0.0
    end = np.where(inside.any(axis=0), inside.argmax(axis=0), _GRID.size)
    points, ends = np.concatenate([[0.0], _GRID]), np.vstack([start, clear])
    columns, last = np.arange(start.size), np.minimum(end, _GRID.size - 1)
    before, after = ends[last, columns], clear[last, columns]
    begin = points[last]
    with np.errstate(divide="ignore", invalid="ignore"):
        part = np.where(np.isfinite(after) & (before > after), before / (before - after), 0.0)
    out: Floats = np.where(end == _GRID.size, _GRID[-1], begin + (_GRID[last] - begin) * part)
    return out


class _Contrasts(NamedTuple):
    """Rows (θ_g − Σ s_h θ_h)/(1 − s_g), one for each group with s_g < 1: against the others, or a reference.

    ``weights`` are s, ``[groups]``; ``rows`` the groups' positions; ``noise`` the variance, ``[rows]``, that estimated
    shares add.
    """

    weights: Floats
    rows: NDArray[np.intp]
    noise: Floats

    def values(self, of: Floats) -> Floats:
        """Return the rows of ``[..., groups]`` values, ``[..., rows]``."""
        out: Floats = (of[..., self.rows] - (of @ self.weights)[..., None]) / (1.0 - self.weights[self.rows])
        return out

    def joined(self, own: Floats, others: Floats) -> Floats:
        """Return the root of the weighted sums of squares, ``[rows]``, of ``own`` distances and of the ``others``'."""
        part = np.where(self.weights > 0.0, self.weights, 0.0)
        with np.errstate(over="ignore"):
            squares = np.where(part > 0.0, (part * np.where(part > 0.0, others, 0.0)) ** 2, 0.0)
            mine = own[self.rows] ** 2
        left = 1.0 - self.weights[self.rows]
        # Summed without the row's own, as a difference of sums would lose it to rounding or to infinity.
        finite = np.isfinite(squares)
        rest = squares[finite].sum() - np.where(finite, squares, 0.0)[self.rows]
        unbounded = (~finite).sum() - (~finite)[self.rows]
        rest = np.where(unbounded > 0, np.inf, np.maximum(0.0, rest))
        out: Floats = np.sqrt(mine + rest / left**2)
        return out


def _contrasts(limits: Limits, reference: str | None) -> _Contrasts:
    count = len(limits.groups)
    if reference is not None:
        weights = np.zeros(count)
        weights[limits.names.index(reference)] = 1.0
        return _Contrasts(weights, np.flatnonzero(weights < 1.0), np.zeros(count - 1))
    sizes = np.array([group.size for group in limits.groups], dtype=np.float64)
    weights = sizes / sizes.sum()
    rows = np.flatnonzero(weights < 1.0)
    left = 1.0 - weights[rows]
    if all(group.size_known for group in limits.groups):
        return _Contrasts(weights, rows, np.zeros(rows.size))
    effective = np.array([group.at(0.95).n_effective for group in limits.groups], dtype=np.float64)
    # Of a Hájek mean over the others the variance has a part within groups and one between them.
    first, second = float(weights @ limits.values), float(weights @ limits.values**2)
    own = weights[rows] * limits.values[rows]
    mean, square = (first - own) / left, (second - own * limits.values[rows]) / left
    kish = float((weights**2 / np.maximum(effective, 1e-9)).sum())
    remaining = np.maximum(1e-300, kish - (weights**2 / np.maximum(effective, 1e-9))[rows]) / left**2
    return _Contrasts(weights, rows, np.maximum(0.0, square - mean**2) * remaining)


def _largest_quantile(contrasts: _Contrasts, errors: Floats, confidence: float) -> float:
    """Return the quantile of the largest |row|/error under equality, by a parametric bootstrap with fixed draws."""
    if errors.size > _MANY:
        # Sidak's bound (1967), which holds for normals correlated in any way.
        return normal_quantile(two_sided(confidence ** (1.0 / contrasts.rows.size)))
    norms = contrasts.joined(errors, errors)
    useful = np.isfinite(norms) & (norms > 0.0)
    if not useful.any():
        return normal_quantile(two_sided(confidence))
    drawn = contrasts.values(_normals(errors.size) * errors)[:, useful] / norms[useful]
    return float(np.quantile(np.abs(drawn).max(axis=1), confidence))


def _contrast_limits(contrasts: _Contrasts, limits: Limits, critical: float) -> tuple[Floats, Floats]:
    below, above = limits.at(critical)
    values = contrasts.values(limits.values)
    doubt = critical * np.sqrt(contrasts.noise)
    low = values - np.hypot(contrasts.joined(below, above), doubt)
    high = values + np.hypot(contrasts.joined(above, below), doubt)
    return low, high


def _contrast_p_values(contrasts: _Contrasts, limits: Limits) -> list[float]:
    """Return each row's two-sided p-value: the tail at which its own interval begins to leave 0."""
    found = [_contrast_limits(contrasts, limits, float(q)) for q in _GRID]
    clear = np.array([np.maximum(low, -high) for low, high in found])
    crossings = _crossings(np.abs(contrasts.values(limits.values)), clear)
    return [math.erfc(q / math.sqrt(2.0)) for q in crossings.tolist()]


def _profile(values: Floats, errors: Floats, level: float) -> tuple[float, float | None]:
    """Return limits of the deviation between groups: where Σ (y − mean)²/(e² + τ²) meets the quantiles of χ²."""
    from scipy.special import chdtri

    def statistic(tau: float) -> float:
        weights = 1.0 / (errors**2 + tau)
        mean = (weights * values).sum() / weights.sum()
        return float((weights * (values - mean) ** 2).sum())

    scale = float((errors**2).max() + values.var())
    if scale <= 0.0:
        return 0.0, 0.0
    tiny = 1e-12 * scale
    ends = []
    for tail in (1.0 - level, level):
        goal = float(chdtri(values.size - 1, tail))
        low, high = tiny, scale
        while statistic(high) > goal and high < 1e12 * scale:
            high *= 4.0
        if statistic(low) <= goal:
            ends.append(0.0)
            continue
        for _ in range(80):
            middle = math.sqrt(low * high)
            low, high = (middle, high) if statistic(middle) > goal else (low, middle)
        ends.append(math.sqrt(high))
    return ends[0], ends[1]


def _end(limit: float) -> float | None:
    return float(limit) if math.isfinite(limit) else None


def _left_out(limits: Limits) -> str:
    if not limits.left_out:
        return ""
    names = ", ".join(limits.left_out[:20])
    return f"left out, as they have no interval: {names}"


def _notes(limits: Limits, high: float) -> str:
    endless = "" if math.isfinite(high) else "too few scores for an upper limit"
    return "; ".join(filter(None, [endless, _left_out(limits)]))
