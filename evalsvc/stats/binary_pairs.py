"""Two versions on the same cases with a yes or no each: McNemar's test, Tango's and Newcombe's intervals.

Of n cases, ``b`` were 1 under the candidate only and ``c`` under the baseline only. The difference of the shares
is (b - c)/n. Counts may be fractions, where an effective number of cases stands in for n.
"""

from __future__ import annotations

import math

from evalsvc.errors import InputError
from evalsvc.stats.distributions import binomial_tails, normal_quantile, two_sided
from evalsvc.stats.limits import wilson


def mcnemar_mid_p(b: int, c: int) -> float:
    """Return the two-sided mid-P value of "b and c come from equal chances", in [0, 1].

    Twice the smaller binomial(b + c, ½) tail, with half the probability of the observed count; 1 without any
    discordant case (Fagerland, Lydersen & Laake 2013, who recommend it: the exact test is far too careful, the
    asymptotic one not careful enough). Its type I error may pass the nominal by a little: over tables of
    10 to 100 cases they saw at most 5.2 % at 5 %.

    >>> round(mcnemar_mid_p(1, 7), 4)
    0.0391
    """
    if b < 0 or c < 0:
        raise InputError(f"Expected counts of cases that are not negative, but got b={b}, c={c}")
    if b == c:
        return 1.0
    few, discordant = min(b, c), b + c
    at_most = binomial_tails(few, discordant, 0.5)[0]
    below = binomial_tails(few - 1, discordant, 0.5)[0] if few else 0.0
    return min(1.0, at_most + below)


def tango_z(b: float, c: float, n: float, at: float) -> float:
    """Return Tango's score statistic for "the difference of the shares is ``at``"; positive when it was higher.

    (b - c - n·δ) / √(n(2q + δ(1 - δ))), where q is the likeliest share of c-cases under δ (Tango 1998). McNemar's
    statistic is its value at δ = 0.

    >>> round(tango_z(7, 1, 21, 0.0), 4) == round(6 / 8**0.5, 4)
    True
    """
    linear = -b - c + (2.0 * n - b + c) * at
    q = (math.sqrt(max(0.0, linear * linear + 8.0 * n * c * at * (1.0 - at))) - linear) / (4.0 * n)
    # Rounding may leave the feasible set 0 <= q, 0 <= q + δ, 2q + δ <= 1.
    q = max(0.0, -at, q)
    variance = n * (2.0 * q + at * (1.0 - at))
    gap = b - c - n * at
    if variance <= 0.0:
        return 0.0 if gap == 0.0 else math.copysign(math.inf, gap)
    return gap / math.sqrt(variance)


def tango_limits(b: float, c: float, n: float, confidence: float) -> tuple[float, float]:
    """Return Tango's score interval of the difference of the shares, within [-1, 1]; n > 0.

    The differences that the score test does not refuse, found by bisection to 1e-12.

    >>> [round(limit, 3) for limit in tango_limits(1, 7, 21, 0.95)]
    [-0.517, -0.026]
    """
    _check(b, c, n)
    critical = normal_quantile(two_sided(confidence))
    return _tango_limit(b, c, n, critical), -_tango_limit(c, b, n, critical)


def normal_tail(value: float) -> float:
    """Return P(Z > value) for a standard normal Z.

    >>> round(normal_tail(normal_quantile(0.975)), 6)
    0.025
    """
    return 0.5 * math.erfc(value / math.sqrt(2.0))


def stretched_limits(b: float, c: float, n: float, confidence: float) -> tuple[float, float]:
    """Return Tango's interval, stretched to that with half a case more on either side where it reaches further.

    Tango's alone covers down to 93 % where the discordant cases all go one way (``benchmarks/comparisons.py``); it
    then resembles Wilson's interval, which has the same fault, and Jeffreys' half cases mend it there too.

    >>> [round(limit, 3) for limit in stretched_limits(1, 7, 21, 0.95)]
    [-0.517, -0.006]
    """
    low, high = tango_limits(b, c, n, confidence)
    below, above = tango_limits(b + 0.5, c + 0.5, n + 1.0, confidence)
    return min(low, below), max(high, above)


def stretched_tail(b: float, c: float, n: float, at: float) -> float:
    """Return the one-sided p-value of "the difference is above ``at``" that agrees with :func:`stretched_limits`."""
    return normal_tail(min(tango_z(b, c, n, at), tango_z(b + 0.5, c + 0.5, n + 1.0, at)))


def _tango_limit(b: float, c: float, n: float, critical: float) -> float:
    low, high = -1.0, (b - c) / n
    while high - low > 1e-12:
        middle = (low + high) / 2.0
        if tango_z(b, c, n, middle) > critical:
            low = middle
        else:
            high = middle
    return low if low > -1.0 + 1e-11 else -1.0


def newcombe_limits(both: float, b: float, c: float, neither: float, confidence: float) -> tuple[float, float]:
    """Return Newcombe's interval of the difference of two paired shares ("method 10"), within [-1, 1].

    Wilson limits of each share, joined as squares with the correlation φ of the pairs; a positive φ is
    corrected for continuity (Newcombe 1998b). ``both`` and ``neither`` count the cases on which the versions agree.

    >>> [round(limit, 4) for limit in newcombe_limits(59, 6, 16, 80, 0.95)]
    [-0.1186, -0.0046]
    """
    n = both + b + c + neither
    _check(b, c, n)
    candidate, baseline = (both + b) / n, (both + c) / n
    one, other = wilson(candidate, n, confidence), wilson(baseline, n, confidence)
    product = (both + b) * (c + neither) * (both + c) * (b + neither)
    covered = both * neither - b * c
    if covered > 0.0:
        covered = max(0.0, covered - n / 2.0)
    phi = covered / math.sqrt(product) if product > 0.0 else 0.0
    difference = candidate - baseline
    below = _joined(candidate - one[0], other[1] - baseline, phi)
    above = _joined(one[1] - candidate, baseline - other[0], phi)
    return max(-1.0, difference - below), min(1.0, difference + above)


def _joined(one: float, other: float, phi: float) -> float:
    return math.sqrt(max(0.0, one * one - 2.0 * phi * one * other + other * other))


def _check(b: float, c: float, n: float) -> None:
    if not (b >= 0.0 and c >= 0.0 and n > 0.0 and b + c <= n * (1.0 + 1e-9)):
        raise InputError(f"Expected counts with 0 <= b + c <= n and n > 0, but got b={b}, c={c}, n={n}")
