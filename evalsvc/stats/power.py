"""What a comparison can detect, and how many cases settle it: before anything is spent, and after a first look.

Effects are *improvements*: the true difference turned so that more is better. Power is the chance that the claim asked
about is made when that effect is true (superiority: a difference, on either side).

A little longer than other files: each design has its own exact or approximate power.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import NamedTuple

import msgspec
import numpy as np
from numpy.typing import NDArray

from evalsvc.errors import InputError
from evalsvc.stats.binary_pairs import stretched_tail, tango_z
from evalsvc.stats.comparison import Comparison, Question
from evalsvc.stats.distributions import normal_quantile, t_quantile, two_sided
from evalsvc.stats.limits import score_limits

Counts = NDArray[np.int64]
Floats = NDArray[np.float64]

MOST_CASES = 10**8
# From this binomial variance on, the normal approximation of two shares is good to a point of power.
LARGE = 2500.0
REACH = 6.0
# Up to so many expected discordant cases all tables are gone through.
FEW_DISCORDANT = 200.0


class PairedMeans(NamedTuple):
    """The same cases twice: ``sd`` > 0 of the differences, ``cluster_size`` >= 1 cases a cluster, ``icc`` in [0, 1].

    ``unmet`` >= 0 is what rare changes are allowed to take off a claim, times clusters
    (:attr:`~evalsvc.stats.comparison.Comparison.unmet`).
    """

    sd: float
    cluster_size: float = 1.0
    icc: float = 0.0
    unmet: float = 0.0


class PairedShares(NamedTuple):
    """The same cases twice, yes or no: ``discordant`` in (0, 1] is the share of cases on which the versions differ.

    An effect above it counts as that share.
    """

    discordant: float
    cluster_size: float = 1.0
    icc: float = 0.0


class TwoMeans(NamedTuple):
    """Different cases: ``sd`` > 0 of the scores, ``ratio`` candidate cases for one of the baseline.

    ``design_effect`` >= 1 is what unequal π and clusters cost.
    """

    sd: float
    ratio: float = 1.0
    design_effect: float = 1.0


class TwoShares(NamedTuple):
    """Different cases, yes or no: ``good`` in (0, 1) is the baseline's share of the better answer."""

    good: float
    ratio: float = 1.0
    design_effect: float = 1.0


Design = PairedMeans | PairedShares | TwoMeans | TwoShares


class Need(msgspec.Struct, frozen=True, kw_only=True):
    """How many cases settle a comparison.

    Attributes:
        cases: in total (both windows together, where they are unpaired); None where ``reason`` says why.
        more: beyond those at hand, >= 0.
        clusters: in total, at the cluster sizes seen.
        effect: the improvement taken as true, in the metric's unit.
        power: the chance of the claim at that effect, in (0, 1).
        assurance: the chance that the spread is no larger than what was counted with, in (0, 1).
        method: how the spread was taken.
        reason: why there is no number.
    """

    cases: int | None
    more: int | None
    clusters: int | None
    effect: float
    power: float
    assurance: float
    method: str
    reason: str = ""


def power_of(design: Design, cases: int, effect: float, *, question: Question | None = None) -> float:
    """Return the power in [0, 1] with so many cases (of the baseline, where unpaired).

    Means: noncentral t (equivalence: the two one-sided tests' powers less 1). Paired shares: mid-P McNemar's over all
    numbers of discordant cases; with a margin, Tango's test over all tables, or its
    normal approximation (Nam 1997) where there are many. Two shares:
    Wilson limits joined by MOVER over all outcomes, or the normal approximation where there are many.

    >>> round(power_of(PairedMeans(sd=0.4), 100, 0.1), 3)
    0.697
    """
    question = question or Question()
    _check(design)
    if cases < 1 or not math.isfinite(effect):
        raise InputError(f"Expected `cases` >= 1 and a finite `effect`, but got {cases!r} and {effect!r}")
    if isinstance(design, PairedMeans):
        inflation = 1.0 + (design.cluster_size - 1.0) * design.icc
        error = design.sd * math.sqrt(inflation / cases)
        clusters = cases / design.cluster_size
        return _t_power(effect, error, clusters - 1.0, question, design.unmet / clusters)
    if isinstance(design, TwoMeans):
        error = design.sd * math.sqrt(design.design_effect * (1.0 + 1.0 / design.ratio) / cases)
        return _t_power(effect, error, cases * (1.0 + design.ratio) / design.design_effect - 2.0, question)
    if isinstance(design, PairedShares):
        alone = max(1, round(cases / (1.0 + (design.cluster_size - 1.0) * design.icc)))
        return _paired_shares_power(max(design.discordant, min(1.0, abs(effect))), alone, effect, question)
    sizes = (cases / design.design_effect, cases * design.ratio / design.design_effect)
    return _two_shares_power(design.good, sizes, effect, question)


def detectable(design: Design, cases: int, *, power: float = 0.8, question: Question | None = None) -> float | None:
    """Return the minimal detectable effect: the smallest improvement > 0 that has the power; None where none has.

    For non-inferiority it is the smallest margin, and for equivalence likewise, that an equal version
    passes with the power; the question's own margin plays no part.

    >>> round(detectable(PairedMeans(sd=0.4), 100), 4)
    0.1132
    """
    question = question or Question()
    _check_power(power)
    _check(design)
    widest = 1.0 if isinstance(design, PairedShares | TwoShares) else 1e6 * design.sd
    if isinstance(design, TwoShares) and question.asked == "superiority":
        widest = 1.0 - design.good

    def enough(size: float) -> bool:
        if question.asked == "superiority":
            return power_of(design, cases, size, question=question) >= power
        return power_of(design, cases, 0.0, question=question._replace(margin=size)) >= power

    widest *= 1.0 - 1e-9
    if not enough(widest):
        return None
    low, high = 0.0, widest
    while high - low > 1e-4 * high:
        # Geometric steps as long as the bracket spans magnitudes.
        middle = math.sqrt(low * high) if low > 0.0 else high / 4.0
        low, high = (low, middle) if enough(middle) else (middle, high)
        if high < 1e-12 * widest:
            return None
    return high


def cases_for(design: Design, effect: float, *, power: float = 0.8, question: Question | None = None) -> int | None:
    """Return how many cases (of the baseline, where unpaired) give the power at an effect; None where no number does.

    >>> cases_for(PairedMeans(sd=0.4), 0.1)
    128
    """
    _check_power(power)
    _check(design)

    def enough(cases: int) -> bool:
        return power_of(design, cases, effect, question=question) >= power

    return smallest_number(enough)


def smallest_number(enough: Callable[[int], bool]) -> int | None:
    """Return the smallest number of cases, 2 or more, that is enough, by doubling and halving; None beyond 10^8.

    >>> smallest_number(lambda cases: cases >= 1000)
    1000
    """
    high = 2
    while not enough(high):
        high *= 2
        if high > MOST_CASES:
            return None
    low = high // 2
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (low, middle) if enough(middle) else (middle, high)
    return high


def cases_needed(
    comparison: Comparison, *, effect: float | None = None, power: float = 0.8, assurance: float = 0.8
) -> Need:
    """Return how many cases like those seen would settle the question of a comparison.

    The spread seen in few clusters is itself uncertain, and half of the time too small. It is replaced by its upper
    limit at ``assurance``: s²·df/χ²(1 - assurance; df) (Browne 1995), Wilson's upper limit for the share of discordant
    cases, and the interval's own half-width where the method has neither.

    Args:
        comparison: of any verdict; of one that is settled, no more cases are needed.
        effect: the improvement to count with, in the metric's unit. None: no difference for non-inferiority and
            equivalence; for superiority the size of the observed difference, which is a guess: better give the
            difference that matters.
        power: the wished chance of the claim.
        assurance: the chance that the spread is not larger than counted with.

    >>> from evalsvc.stats.paired import compare_paired
    >>> from evalsvc.types import Scale
    >>> old, new = [1] * 45 + [0] * 15, [1] * 42 + [0] * 3 + [1] * 4 + [0] * 11
    >>> ask = Question("non-inferiority", margin=0.05)
    >>> c = compare_paired(old, new, Scale(0.0, 1.0, "higher", binary=True), question=ask)
    >>> need = cases_needed(c)
    >>> c.verdict, need.cases, need.more
    ('inconclusive', 400, 340)
    """
    _check_power(power)
    _check_power(assurance)
    question = Question(comparison.asked, comparison.margin, comparison.level)
    if effect is None:
        effect = abs(comparison.difference or 0.0) if comparison.asked == "superiority" else 0.0
    empty = Need(
        cases=None, more=None, clusters=None, effect=effect, power=power, assurance=assurance, method="", reason=""
    )
    if comparison.verdict != "inconclusive":
        n, m = comparison.n, comparison.n_clusters
        return msgspec.structs.replace(empty, cases=n, more=0, clusters=m, method="settled")
    if comparison.low is None or comparison.high is None or comparison.n_clusters < 2:
        return msgspec.structs.replace(empty, reason=comparison.reason or "the spread is not known")
    reason = _hopeless(question, effect)
    if reason:
        return msgspec.structs.replace(empty, reason=reason)
    if comparison.standard_error == 0.0 and not comparison.plain_shares:
        return msgspec.structs.replace(empty, reason="all pairs differ by the same, which tells no spread")
    design, method = _seen(comparison, assurance)
    cases = cases_for(design, effect, power=power, question=question)
    if cases is None:
        return msgspec.structs.replace(empty, method=method, reason=f"more than {MOST_CASES:,} cases")
    cases = max(cases, comparison.n + 1)
    clusters = math.ceil(cases * comparison.n_clusters / comparison.n)
    return msgspec.structs.replace(empty, cases=cases, more=cases - comparison.n, clusters=clusters, method=method)


def _hopeless(question: Question, effect: float) -> str:
    if question.asked == "superiority" and effect == 0.0:
        return "no number of cases shows a difference of 0; give the `effect` that matters"
    if question.asked == "non-inferiority" and effect <= -question.margin:
        return "a version worse by the margin is not non-inferior, however many cases there are"
    if question.asked == "equivalence" and abs(effect) >= question.margin:
        return "versions that differ by the margin are not equivalent, however many cases there are"
    return ""


def _seen(comparison: Comparison, assurance: float) -> tuple[Design, str]:
    n, m = comparison.n, comparison.n_clusters
    if comparison.plain_shares:
        limit = score_limits(comparison.discordant or 0.0, n, normal_quantile(assurance))[1]
        return PairedShares(limit), f"discordant share at most {limit:.3g} (Wilson)"
    if comparison.degrees is not None and comparison.standard_error is not None:
        from scipy.special import chdtri

        inflation = comparison.degrees / float(chdtri(comparison.degrees, assurance))
        sd = comparison.standard_error * math.sqrt(n * inflation)
        return PairedMeans(
            sd, n / m, unmet=comparison.unmet
        ), f"variance × {inflation:.3g} (χ², {comparison.degrees:.3g} degrees of freedom)"
    half = ((comparison.high or 0.0) - (comparison.low or 0.0)) / 2.0
    sd = half / normal_quantile(two_sided(comparison.confidence)) * math.sqrt(n)
    # The limits have it in them already.
    return PairedMeans(sd, n / m), "spread from the interval's half-width"


def _t_power(effect: float, error: float, degrees: float, question: Question, unmet: float = 0.0) -> float:
    """Return the power of t; one cluster more moves a one-sided claim's mean by ``unmet``, and its error as much."""
    if degrees < 1.0:
        return 0.0
    if question.asked == "superiority":
        critical = t_quantile(1.0 - question.level / 2.0, degrees)
        return _t_above(critical, degrees, effect / error) + _t_above(critical, degrees, -effect / error)
    critical = t_quantile(1.0 - question.level, degrees) * math.hypot(error, unmet) / error
    margin = question.margin - unmet
    not_worse = _t_above(critical, degrees, (margin + effect) / error)
    if question.asked == "non-inferiority":
        return not_worse
    not_better = _t_above(critical, degrees, (margin - effect) / error)
    return max(0.0, not_worse + not_better - 1.0)


def _t_above(critical: float, degrees: float, shift: float) -> float:
    """Return P(T > critical) for a noncentral t."""
    # So far out the answer is 0 or 1, and scipy's series does not converge.
    if abs(shift) > 30.0 + critical:
        return 1.0 if shift > 0.0 else 0.0
    from scipy.special import nctdtr

    return 1.0 - float(nctdtr(degrees, shift, critical))


def _phi(value: float) -> float:
    return 0.5 * math.erfc(-value / math.sqrt(2.0))


def _paired_shares_power(discordant: float, n: int, effect: float, question: Question) -> float:
    if question.asked == "superiority":
        return _mcnemar_power(discordant, n, effect, question.level)
    not_worse = _tango_power(discordant, n, effect, question.margin, question.level)
    if question.asked == "non-inferiority":
        return not_worse
    not_better = _tango_power(discordant, n, -effect, question.margin, question.level)
    return max(0.0, not_worse + not_better - 1.0)


def _tango_power(discordant: float, n: int, effect: float, margin: float, level: float) -> float:
    chances = [max(0.0, discordant + effect) / 2.0, max(0.0, discordant - effect) / 2.0]
    if n * discordant <= FEW_DISCORDANT:
        return _tango_power_of_tables(chances, n, margin, level)
    b, c = n * chances[0] + 0.5, n * chances[1] + 0.5
    z = tango_z(b, c, n + 1.0, -margin)
    gap = b - c + (n + 1.0) * margin
    spread_null = gap / z if z != 0.0 and math.isfinite(z) else 0.0
    spread = math.sqrt(max(n * (discordant - effect * effect), 1e-12))
    return _phi((gap - normal_quantile(1.0 - level) * spread_null) / spread)


def _tango_power_of_tables(chances: list[float], n: int, margin: float, level: float) -> float:
    first, last = _range(n, chances[0])
    gained = np.arange(first, last + 1)
    rest = chances[1] / (1.0 - chances[0]) if chances[0] < 1.0 else 0.0
    power = 0.0
    for b, chance in zip(gained.tolist(), _binomial(gained, n, chances[0]).tolist(), strict=True):
        # The more losses, the weaker the evidence: find the largest number of them with which the claim is made.
        low, high = -1, n - b
        while low < high:
            middle = (low + high + 1) // 2
            low, high = (middle, high) if stretched_tail(b, middle, n, -margin) <= level else (low, middle - 1)
        power += chance * float(_at_most(np.array([low]), n - b, rest)[0])
    return power


def _binomial(counts: Counts, n: Counts | int, p: float) -> Floats:
    """Return P(X = count); scipy.special loads ten times faster than scipy.stats."""
    from scipy.special import gammaln, xlog1py, xlogy

    choices = gammaln(np.asarray(n) + 1.0) - gammaln(counts + 1.0) - gammaln(n - counts + 1.0)
    return np.exp(choices + xlogy(counts, p) + xlog1py(n - counts, -p))


def _at_most(counts: Counts, n: Counts | int, p: float) -> Floats:
    """Return P(X <= count), 0 for negative counts."""
    from scipy.special import bdtr

    known = np.clip(counts, 0, n)
    return np.where(counts < 0, 0.0, bdtr(known.astype(np.float64), n, p))


def _range(n: int, p: float) -> tuple[int, int]:
    """Return the counts of a binomial that are not all but impossible."""
    reach = REACH * math.sqrt(n * p * (1.0 - p)) + REACH
    return max(0, int(n * p - reach)), min(n, math.ceil(n * p + reach))


def _mcnemar_power(discordant: float, n: int, effect: float, level: float) -> float:
    first, last = _range(n, discordant)
    counts = np.arange(first, last + 1)
    # The largest number on the smaller side that the mid-P test refuses, -1 for none, from the normal one downwards.
    few = np.floor(counts / 2.0 + normal_quantile(level / 2.0) * np.sqrt(counts) / 2.0).astype(np.int64) + 2
    few = np.minimum(few, (counts - 1) // 2)
    while (allowed := (few >= 0) & (_mid_p(few, counts) > level)).any():
        few = np.where(allowed, few - 1, few)
    share = (discordant + effect) / (2.0 * discordant)
    refused = _at_most(few, counts, share) + _at_most(few, counts, 1.0 - share)
    return float((_binomial(counts, n, discordant) * refused).sum())


def _mid_p(few: Counts, discordant: Counts) -> Floats:
    return _at_most(few, discordant, 0.5) + _at_most(few - 1, discordant, 0.5)


def _two_shares_power(good: float, sizes: tuple[float, float], effect: float, question: Question) -> float:
    shares = (good, min(1.0, max(0.0, good + effect)))
    if min(n * p * (1.0 - p) for n, p in zip(sizes, shares, strict=True)) > LARGE:
        error = math.sqrt(sum(p * (1.0 - p) / n for n, p in zip(sizes, shares, strict=True)))
        return _t_power(shares[1] - shares[0], error, 1e9, question)
    (old, old_chance), (new, new_chance) = (_outcomes(n, p) for n, p in zip(sizes, shares, strict=True))
    critical = normal_quantile(two_sided(question.confidence))
    old_low, old_high = _wilson(old, sizes[0], critical)
    new_low, new_high = _wilson(new, sizes[1], critical)
    gap = new[None, :] - old[:, None]
    low = gap - np.hypot((new - new_low)[None, :], (old_high - old)[:, None])
    high = gap + np.hypot((new_high - new)[None, :], (old - old_low)[:, None])
    claims = {
        "superiority": (low > 0.0) | (high < 0.0),
        "non-inferiority": low > -question.margin,
        "equivalence": (low > -question.margin) & (high < question.margin),
    }
    return float(old_chance @ claims[question.asked] @ new_chance)


def _outcomes(n: float, p: float) -> tuple[Floats, Floats]:
    """Return the shares that n cases can show, and their chances, without those that are all but impossible."""
    whole = max(1, round(n))
    first, last = _range(whole, p)
    counts = np.arange(first, last + 1)
    return counts / whole, _binomial(counts, whole, p)


def _wilson(shares: Floats, n: float, critical: float) -> tuple[Floats, Floats]:
    limits = np.array([score_limits(float(share), n, critical) for share in shares])
    return limits[:, 0], limits[:, 1]


def _check(design: Design) -> None:
    if isinstance(design, PairedMeans | TwoMeans):
        known, meaning = design.sd > 0.0 and math.isfinite(design.sd), "`sd` to be finite and above 0"
    elif isinstance(design, PairedShares):
        known, meaning = 0.0 < design.discordant <= 1.0, "`discordant` in (0, 1]"
    else:
        known, meaning = 0.0 < design.good < 1.0, "`good` in (0, 1)"
    if not known:
        raise InputError(f"Expected {meaning}, but got {design[0]!r}")
    if isinstance(design, PairedMeans | PairedShares):
        if not (design.cluster_size >= 1.0 and 0.0 <= design.icc <= 1.0):
            raise InputError("Expected `cluster_size` >= 1 and `icc` in [0, 1]")
    elif not (design.ratio > 0.0 and design.design_effect >= 1.0):
        raise InputError("Expected `ratio` > 0 and `design_effect` >= 1")


def _check_power(power: float) -> None:
    if not 0.0 < power < 1.0:
        raise InputError(f"Expected a chance between 0 and 1, such as 0.8, but got {power!r}")
