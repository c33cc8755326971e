"""How many cases would show what one version's own scores do not show yet, if what is seen is true.

A chance of 80 % of showing it is asked for, as everywhere; two sides are counted by :mod:`evalsvc.stats.power`.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np

from evalsvc.gate.evaluated import Floats, Rows
from evalsvc.stats import PairedMeans, Question, cases_for
from evalsvc.stats.binary_pairs import stretched_tail
from evalsvc.stats.bounded import BoundedMean
from evalsvc.stats.comparison import Comparison
from evalsvc.stats.distributions import normal_quantile, t_quantile
from evalsvc.stats.limits import exact_limit
from evalsvc.stats.power import smallest_number
from evalsvc.types import Estimate
from evalsvc.verdicts import Needed

POWER = 0.8
SEEN = "the value seen is the true one"
UNTOLD = "how many more cases would settle it cannot be told from these, of which few outweigh the others"
BARELY = "by what these show they would nearly do: a few more cases like these settle it"
OUTWEIGHS, TIMES = 0.05, 10.0
"""A group outweighs the others that has so much of all weight, and so many times its equal part of it."""
MOST_COUNTED, COUNTING = 1e9, 80
NEVER = Needed(None, None, reason="the value seen misses it: no number of cases like these gives a PASS")


def few_outweigh(weights: Sequence[float] | Floats, groups: Sequence[int] | Rows) -> bool:
    """Whether a group has so much of all weight that its own difference decides about every advice.

    >>> few_outweigh([1.0] * 100, range(100)), few_outweigh([30.0] + [1.0] * 99, range(100))
    (False, True)
    """
    if not len(weights):
        return False
    codes = np.unique(np.asarray(groups), return_inverse=True)[1]
    held = np.bincount(codes, weights=np.asarray(weights))
    share = float(held.max() / held.sum())
    return share > OUTWEIGHS and share * held.size > TIMES


def told_of(needed: Needed | None, weights: Sequence[float] | Floats, groups: Sequence[int] | Rows) -> Needed | None:
    """Return the advice, or that it cannot be told where few groups outweigh the others."""
    if needed is None or needed.more is None or not few_outweigh(weights, groups):
        return needed
    return Needed(None, None, reason=UNTOLD)


def needed_mean(found: Estimate, number: float, level: float, *, up: bool, n: int) -> Needed | None:
    """Return how many cases show a mean to be above (``up``) or below a number; the spread is that of the interval."""
    if found.value is None or found.low is None or found.high is None:
        return None
    room = found.value - number if up else number - found.value
    if room <= 0.0:
        return NEVER
    sd = (found.high - found.low) / 2.0 / normal_quantile(1.0 - level) * math.sqrt(n)
    return _settles(cases_for(PairedMeans(max(sd, 1e-12)), room, question=Question("non-inferiority", 0.0, level)), n)


def needed_bounded(mean: BoundedMean, number: float, level: float, *, up: bool, n: int) -> Needed | None:
    """Return how many cases show a mean of scores in [0, 1] to be above (``up``) or below a number.

    They are like those seen; what none of them showed shrinks like one over their number.
    """
    side, limit = (mean, number) if up else (mean.mirrored(), 1.0 - number)
    if side.mean <= limit:
        return NEVER
    groups = groups_above(side, limit, level)
    return _settles(None if groups is None else math.ceil(groups * n / side.sums.size), n)


def groups_above(mean: BoundedMean, number: float, level: float) -> int | None:
    """Return the least groups, like those seen, that show a mean to be above a number with the wished chance."""
    clear = normal_quantile(POWER)

    def enough(groups: int) -> bool:
        planned = mean._replace(copies=groups / mean.sums.size)
        return planned.above(number + clear * planned.error) <= level

    return smallest_number(enough) if mean.mean > number else None


def needed_share(seen: float, number: float, level: float, *, up: bool, n: int) -> Needed | None:
    """Return how many cases, each for itself, show a share of yes and no to be above (``up``) or below a number."""
    share, limit = (1.0 - seen, 1.0 - number) if up else (seen, number)
    return NEVER if share >= limit else _settles(cases_below(share, limit, level), n)


def cases_below(share: float, limit: float, level: float) -> int | None:
    """Return the least n with which a share is shown to be below a limit with the wished chance."""
    return smallest_number(lambda n: chance_below(share, limit, n, level) >= POWER)


def chance_below(share: float, limit: float, n: int, level: float) -> float:
    """Return the chance that ``n`` cases show a share to be below a limit, by Clopper and Pearson's test.

    >>> round(chance_below(0.02, 0.1, 100, 0.05), 2)
    0.95
    """
    from scipy.special import bdtr

    low, high = -1, n
    while low < high:
        middle = (low + high + 1) // 2
        shown = 1.0 - exact_limit(1.0 - middle / n, n, level) <= limit
        low, high = (middle, high) if shown else (low, middle - 1)
    return float(bdtr(float(low), n, share)) if low >= 0 else 0.0


def needed_without_differences(found: Comparison, width: float) -> Needed | None:
    """Return how many cases show that a version is not worse, if none of them differs either.

    Nothing is known of the spread then, and a case that differs may differ by the whole ``width`` of the scale, with
    all of its group: what shrinks is the share of groups that may, like one over their number.
    """
    margin, held, level = found.margin / width, found.n_clusters, found.level
    counted = _counted(found.p_value, margin)

    def enough(groups: int) -> bool:
        like = counted * groups / held
        # Fewer degrees of freedom count for fewer groups.
        like *= 1.0 if found.plain_shares else (_heavier(held, level) / _heavier(groups, level)) ** 2
        return stretched_tail(0.0, 0.0, like, -margin) <= level

    groups = smallest_number(enough)
    if groups is None:
        return None
    cases = math.ceil(groups * found.n / max(1, found.n_clusters))
    return Needed(max(1, cases - found.n), max(cases, found.n + 1), "none of them differs either")


def _counted(p_value: float | None, margin: float) -> float:
    """Return as how many groups of equal weight a test counted those of which none differs, by what it found."""
    low, high = 0.0, MOST_COUNTED
    for _ in range(COUNTING):
        middle = (low + high) / 2.0
        enough = stretched_tail(0.0, 0.0, middle, -margin) <= (p_value or 0.0)
        low, high = (low, middle) if enough else (middle, high)
    return high


def _heavier(groups: int, level: float) -> float:
    return t_quantile(1.0 - level, max(1.0, groups - 1.0)) / normal_quantile(1.0 - level)


def needed_gap(value: float | None, high: float | None, most: float, n: int) -> Needed | None:
    """Return how many cases bring a gap's upper limit below the most that may be: limits shrink by √n."""
    if value is None or high is None:
        return None
    if value >= most:
        return NEVER
    return _settles(math.ceil(n * ((high - value) / (most - value)) ** 2), n)


def _settles(cases: int | None, n: int) -> Needed | None:
    return None if cases is None else Needed(max(1, cases - n), max(cases, n + 1), SEEN)
