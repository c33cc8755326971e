"""A series of a rule's test minute by minute: how many scores there are, and their values. Nothing is random."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from evalsvc.rules.rule_tests import Series, Stretch
from evalsvc.types import Scale

Floats = NDArray[np.float64]


class Minutes(NamedTuple):
    """A series by minute.

    ``columns`` are ``[5, minutes]``: scores with a value, abstained, failed, Σy and Σy². ``events`` are
    ``[2, minutes]``: offered and sampled. ``mean`` is that of a minute, NaN where nothing has a value, and ``spread``
    how far its values lie around it.
    """

    columns: Floats
    events: Floats
    mean: Floats
    spread: Floats
    binary: bool

    def sums(self, begin: int, end: int) -> Floats:
        """Return the sums of the columns over the minutes ``[begin, end)``."""
        found: Floats = self.columns[:, begin:end].sum(axis=1)
        return found

    def values(self, begin: int, end: int) -> list[float]:
        """Return every value of the minutes ``[begin, end)``: of yes and no first the yes, else in rising order."""
        return [value for minute in self._minutes(begin, end).T for value in self._values(minute)]

    def counted(self, begin: int, end: int) -> list[tuple[list[float], int]]:
        """Return the values of the minutes ``[begin, end)``: those of a minute, and in how many minutes they are."""
        minutes = self._minutes(begin, end)
        alike, counts = np.unique(minutes[:, minutes[0] > 0], axis=1, return_counts=True)
        return [(self._values(minute), int(count)) for minute, count in zip(alike.T, counts, strict=True)]

    def _minutes(self, begin: int, end: int) -> Floats:
        """Return what makes the values of each minute: their number, Σy, the mean and the spread; ``[4, minutes]``."""
        span = slice(begin, end)
        return np.stack([self.columns[0, span], self.columns[3, span], self.mean[span], self.spread[span]])

    def _values(self, minute: Floats) -> list[float]:
        """Return the values of a minute."""
        n, total, mean, spread = minute.tolist()
        if self.binary:
            return [1.0] * int(total) + [0.0] * int(n - total)
        found: list[float] = (mean + spread * ((2.0 * np.arange(n) + 1.0) / n - 1.0)).tolist() if n else []
        return found

    def ends(self, begin: int, end: int) -> tuple[float, float]:
        """Return the smallest and the largest value of the minutes ``[begin, end)``, of which one at least has any."""
        n, _, _, total, _ = self.columns[:, begin:end]
        there = n > 0
        if self.binary:
            return float(np.all(total[there] == n[there])), float(np.any(total[there] > 0))
        reach = self.spread[begin:end][there] * (1.0 - 1.0 / n[there])
        mean = self.mean[begin:end][there]
        return float(np.min(mean - reach)), float(np.max(mean + reach))


def minutes_of(series: Series, scale: Scale, start: int, length: int) -> Minutes:
    """Return ``length`` minutes of a series, of which minute ``start`` is the first of its ``values``.

    A rate that makes no whole number of events a minute, and a share that makes no whole number of them, are kept over
    the minutes of a stretch together, to the nearest whole number: 0.05 of 10 scores a minute is one in two minutes.
    """
    stretches = [*series.before, *series.values]
    count = sum(one.minutes for one in stretches)
    sampled = _evenly(np.full(count, series.per_minute))
    # What was not sampled is added, so that there never are fewer offered than sampled.
    offered = sampled + _evenly(np.full(count, series.per_minute * (1.0 / series.rate - 1.0)))
    mean, spread = np.full(count, np.nan), np.zeros(count)
    columns = np.zeros((5, count))
    at = 0
    for stretch in stretches:
        span = slice(at, at + stretch.minutes)
        at = span.stop
        if not stretch.offered:
            sampled[span] = offered[span] = 0.0
        elif stretch.first is not None or stretch.failed or stretch.abstained:
            mean[span] = _means(stretch)
            spread[span] = _spread(series, scale, mean[span])
            columns[:, span] = _scored(stretch, sampled[span], mean[span], spread[span], scale.binary)
    lead = start - sum(one.minutes for one in series.before)
    around = (lead, length - lead - count)
    return Minutes(
        np.pad(columns, ((0, 0), around)),
        np.pad(np.stack([offered, sampled]), ((0, 0), around)),
        np.pad(mean, around, constant_values=np.nan),
        np.pad(spread, around),
        scale.binary,
    )


def _means(stretch: Stretch) -> Floats:
    if stretch.first is None or stretch.last is None:
        return np.full(stretch.minutes, np.nan)
    return np.linspace(stretch.first, stretch.last, stretch.minutes)


def _spread(series: Series, scale: Scale, mean: Floats) -> Floats:
    """Return how far the values of each minute lie around its mean.

    Numbers on an open scale that are all equal have no interval: unless the series says otherwise, theirs is a tenth
    of the mean.
    """
    if series.spread is not None:
        return np.full(len(mean), series.spread)
    return np.zeros(len(mean)) if scale.bounded else 0.1 * np.abs(np.nan_to_num(mean))


def _scored(stretch: Stretch, scores: Floats, mean: Floats, spread: Floats, binary: bool) -> Floats:
    """Return the columns of a stretch that is scored."""
    failed = _evenly(scores * stretch.failed)
    abstained = np.minimum(_evenly(scores * stretch.abstained), scores - failed)
    ok = scores - failed - abstained
    if stretch.first is None:
        return np.stack([ok, abstained, failed, 0.0 * ok, 0.0 * ok])
    if binary:
        yes = np.minimum(_evenly(ok * mean), ok)
        return np.stack([ok, abstained, failed, yes, yes])
    # Of n points at spread·((2j + 1)/n - 1) the mean square is spread²·(1 - 1/n²)/3.
    around = spread * spread * (ok - 1.0 / np.maximum(ok, 1.0)) / 3.0
    return np.stack([ok, abstained, failed, ok * mean, ok * mean * mean + np.maximum(around, 0.0)])


def _evenly(wanted: Floats) -> Floats:
    """Return whole numbers whose running sum is the nearest to that of ``wanted``, halves up."""
    # A sum of tenths that should be a half is a little less.
    reached = np.floor(np.cumsum(wanted) + 0.5 + 1e-9)
    whole: Floats = np.diff(reached, prepend=0.0)
    return whole
