"""Two versions on the same cases: the mean difference, its interval and the verdict.

What is done depends on the scores and on how many independent clusters there are, never on the result:

* one yes or no per case and version, every case for itself: mid-P McNemar and Tango's interval;
* yes or no otherwise (clusters, repeats, weights), and bounded scores of which fewer than 10 clusters, and at most
  half, differ at all: Tango's interval with an effective number of cases, since neither t nor a permutation knows of
  differences that were not met, and both take skewed ones too lightly;
* other scores, 30 clusters or more: CR2 standard error, Student's t with Satterthwaite's degrees of freedom;
* fewer, down to the number at which a permutation can refuse anything (6 at 5 % two-sided): sign-flip by cluster;
* still fewer: t, which then rests on differences that are about normal.

The last three know nothing of a change that is rare and large, such as an answer in twenty that is refused: on few
clusters it is often not met at all, and the rest seems to vary little. ``rare`` allows for it on bounded scales.

Longer than other files: which test is made, and what it takes a cluster for, is read in one place.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Hashable, Sequence
from typing import Literal, NamedTuple

import msgspec
import numpy as np
from msgspec.structs import replace
from numpy.typing import ArrayLike, NDArray

from evalsvc.errors import InputError
from evalsvc.stats.binary_pairs import mcnemar_mid_p, newcombe_limits, stretched_limits, stretched_tail
from evalsvc.stats.clustered import Array, Clusters, Robust, SignFlip, cr2, gather
from evalsvc.stats.comparison import (
    Comparison,
    Evidence,
    Question,
    check_question,
    decide,
    undefined,
    with_extremes,
    without_extremes,
)
from evalsvc.stats.distributions import normal_quantile, t_quantile, t_tail, two_sided
from evalsvc.stats.scores import check_scores, mean_of_repeats
from evalsvc.types import Scale

Method = Literal["auto", "t", "sign-flip", "newcombe"]

FEW_CLUSTERS = 30
SPARSE = 10
PRIOR = 2.0


class _Doing(NamedTuple):
    """What is asked, and how it is answered."""

    question: Question
    method: Method
    rare: bool
    seed: int


class Pairs(NamedTuple):
    """Complete cases: scores under both versions, weights > 0 and cluster codes 0, 1, …; arrays of length n."""

    baseline: Array
    candidate: Array
    weights: Array
    clusters: NDArray[np.int64]

    @property
    def differences(self) -> Array:
        """Candidate - baseline, by case."""
        return self.candidate - self.baseline


def compare_paired(
    baseline: ArrayLike,
    candidate: ArrayLike,
    scale: Scale,
    *,
    clusters: Sequence[Hashable] | NDArray[np.int64] | None = None,
    weights: ArrayLike | None = None,
    question: Question | None = None,
    method: Method = "auto",
    worst_case: bool = False,
    averaged: bool = False,
    rare: bool = False,
    seed: int = 0,
) -> Comparison:
    """Compare two versions on the same cases; the target is the mean over cases like these.

    Args:
        baseline: scores by case, shape (cases,) or (cases, repeats); None or NaN where there is none. Repeats
            of a case are averaged first, since they tell of the version and not of further cases.
        candidate: likewise, in the same order; the number of repeats may differ.
        scale: range and better direction.
        clusters: the group of each case (one source, one conversation): cases of a group may depend on each
            other. None: every case for itself.
        weights: of each case, > 0; None weighs all alike.
        question: what is to be shown, superiority at 5 % unless given.
        method: ``t`` and ``sign-flip`` hold to one of the general methods; ``newcombe`` gives Newcombe's
            interval where Tango's would be given for plain pairs of yes or no, with the same tests.
        worst_case: also bound what the cases scored on one side only could have changed (bounded scales).
        averaged: whether the scores are means over repeats already, so that those of a binary scale may be fractions.
        rare: whether non-inferiority and equivalence have to hold, and their limits, with about one cluster more
            (:func:`unmet_clusters`) that goes against them: one version at the scale's worse end, the other at its
            mean. What is that rare may not have been met. Of no effect on the opposite of a claim, on an open scale,
            which sets such a change no bounds, and where the method is a score interval, which allows for it anyway.
        seed: of the random signings, where there are too many for all.

    Raises:
        InputError: on arguments that do not fit together, infinite scores or scores off the scale.

    >>> share = Scale(0.0, 1.0, "higher", binary=True)
    >>> old, new = [1] * 80 + [0] * 20, [1] * 80 + [1] * 12 + [0] * 8
    >>> c = compare_paired(old, new, share)
    >>> round(c.difference, 2), round(c.low, 3), round(c.high, 3), round(c.p_value, 4), c.verdict
    (0.12, 0.061, 0.198, 0.0002, 'better')
    """
    question = question or Question()
    check_question(question, scale)
    if method not in ("auto", "t", "sign-flip", "newcombe"):
        raise InputError(f"Expected `method` to be 'auto', 't', 'sign-flip' or 'newcombe', but got {method!r}")
    old, new = (
        _by_case(scores, scale, name, averaged=averaged)
        for scores, name in ((baseline, "baseline"), (candidate, "candidate"))
    )
    if old.size != new.size:
        raise InputError(f"Expected both versions to have the same cases, but got {old.size} and {new.size}")
    weight, codes = _weights(weights, old.size), _codes(clusters, old.size)
    whole = ~(np.isnan(old) | np.isnan(new))
    doing = _Doing(question, method, rare and scale.bounded and question.asked != "superiority", seed)
    result = _compare(_complete(old, new, weight, codes, whole), scale, doing)
    left_out = int((~whole).sum())
    share = float(weight[~whole].sum() / weight.sum()) if old.size else 0.0
    result = msgspec.structs.replace(result, n_discarded=left_out, missing_share=share)
    if not worst_case:
        return result
    if scale.low is None or scale.high is None:
        return without_extremes(result)
    some = ~(np.isnan(old) & np.isnan(new))
    least, most = (
        _compare(
            _complete(np.where(np.isnan(old), against, old), np.where(np.isnan(new), value, new), weight, codes, some),
            scale,
            doing,
        )
        for against, value in ((scale.high, scale.low), (scale.low, scale.high))
    )
    return with_extremes(result, least, most)


def _by_case(scores: ArrayLike, scale: Scale, name: str, *, averaged: bool) -> Array:
    """Return the mean over repeats by case, NaN where there is no score."""
    array = _floats(scores, name)
    if array.ndim not in (1, 2):
        raise InputError(f"Expected `{name}` of shape (cases,) or (cases, repeats), but got {array.shape}")
    table = array if array.ndim == 2 else array[:, None]
    check_scores(table, replace(scale, binary=False) if averaged else scale, name)
    return mean_of_repeats(table)


def _floats(values: ArrayLike, name: str) -> Array:
    try:
        return np.asarray(values, dtype=np.float64)
    except (TypeError, ValueError) as error:
        # Without what numpy says, which quotes the value.
        raise InputError(f"Expected `{name}` to hold numbers, or None where there is none, but got others") from error


def _weights(weights: ArrayLike | None, cases: int) -> Array:
    if weights is None:
        return np.ones(cases)
    array = _floats(weights, "weights")
    if array.shape != (cases,) or not (np.isfinite(array) & (array > 0.0)).all():
        raise InputError("Expected `weights` to be finite and above 0, one for each case")
    # Only their ratios count; in shares of the largest, and above the root of the least number, no square is lost.
    return np.maximum(array / array.max(), 1e-150) if cases else array


def _codes(clusters: Sequence[Hashable] | NDArray[np.int64] | None, cases: int) -> NDArray[np.int64]:
    """Return the clusters as codes 0, 1, … in the order in which they come."""
    if clusters is None:
        return np.arange(cases, dtype=np.int64)
    if len(clusters) != cases:
        raise InputError(f"Expected a cluster for each of {cases} cases, but got {len(clusters)}")
    if isinstance(clusters, np.ndarray):
        _, places, codes = np.unique(clusters, return_index=True, return_inverse=True)
        return np.argsort(np.argsort(places))[codes].astype(np.int64)
    first: dict[Hashable, int] = {}
    return np.array([first.setdefault(cluster, len(first)) for cluster in clusters], dtype=np.int64)


def _complete(old: Array, new: Array, weights: Array, codes: NDArray[np.int64], keep: NDArray[np.bool_]) -> Pairs:
    _, dense = np.unique(codes[keep], return_inverse=True)
    return Pairs(old[keep], new[keep], weights[keep], dense.astype(np.int64))


def _compare(pairs: Pairs, scale: Scale, doing: _Doing) -> Comparison:
    question, method, seed = doing.question, doing.method, doing.seed
    n = pairs.baseline.size
    if n == 0:
        return undefined(question, "no case was scored under both versions")
    sums = gather(pairs.differences, pairs.weights, pairs.clusters)
    m, total = sums.totals.size, float(pairs.weights.sum())
    known = {
        "difference": sums.mean,
        "baseline": float((pairs.weights * pairs.baseline).sum() / total),
        "candidate": float((pairs.weights * pairs.candidate).sum() / total),
        "n": n,
        "n_clusters": m,
        "n_effective": sums.kish,
        "discordant": float((pairs.weights * (pairs.differences != 0.0)).sum() / total),
    }
    if method in ("auto", "newcombe") and _plain_binary(pairs, scale, m):
        evidence, name = _binary(pairs, question.confidence, method)
        share = float(known["discordant"])
        error = math.sqrt(max(0.0, share - sums.mean**2) / n)
        found = _answer(question, scale, evidence, name, known | {"standard_error": error})
        return msgspec.structs.replace(found, plain_shares=True)
    if m < 2:
        one = "case" if n == 1 else "group"
        return undefined(question, f"one {one} tells nothing of the spread", **known)
    if float(np.sort(sums.weights)[:-1].sum()) < 1e-6 * total:
        return undefined(
            question,
            f"one {'case' if m == n else 'group'} outweighs all others, which tells nothing of the spread",
            **known,
        )
    robust = cr2(sums)
    differing = int((sums.totals != 0.0).sum())
    sparse = differing < SPARSE and 2 * differing <= m
    automatic = method in ("auto", "newcombe")
    if scale.bounded and (robust.error == 0.0 or (automatic and (scale.binary or sparse))):
        evidence, name = _score(pairs, sums, robust, scale, question.confidence, seed)
        known |= {"standard_error": robust.error}
        # So few differences do not tell their variance: what is needed is then counted from the interval.
        known |= {"degrees": robust.degrees} if differing >= SPARSE else {}
        return _answer(question, scale, evidence, name, known)
    if robust.error == 0.0:
        return undefined(question, "all differences are equal, which tells nothing of the spread", **known)
    known |= {"standard_error": robust.error, "degrees": robust.degrees}
    enough = 2.0 ** (1 - m) <= 1.0 - question.confidence + 1e-12
    flips = method == "sign-flip" or (automatic and m < FEW_CLUSTERS and enough)
    evidence, name = _general(sums, doing, flips=flips)
    units = f"{m} {'cases' if m == n else 'groups'}"
    reason = "" if enough else f"{units}: the interval takes their differences to be about normal"
    if flips:
        reason = "" if enough else f"{units} are too few for a permutation to refuse anything"
    if not doing.rare:
        return _answer(question, scale, evidence, name, known, reason)
    down, up = _collapses(scale, float(known["baseline"]), float(known["candidate"]))

    def against(change: float) -> Evidence:
        return _general(_one_more(sums, question, change), doing, flips=flips)[0]

    seen, evidence = evidence, _claimed(evidence, lambda: against(-down), lambda: against(up), scale, question)
    if question.asked == "non-inferiority":
        down, up = (up, up) if scale.better == "lower" else (down, down)
    known |= {"unmet": _unmet(question) * max(down, up)}
    found = _answer(question, scale, evidence, f"{name}, rare losses allowed for", known, reason)
    if found.verdict != "inconclusive" or decide(question, scale, sums.mean, seen).verdict == "inconclusive":
        return found
    unmet = f"a loss that none of these {units} happened to meet is not ruled out"
    return msgspec.structs.replace(found, reason="; ".join(filter(None, [reason, unmet])))


def _claimed(
    plain: Evidence, falling: Callable[[], Evidence], rising: Callable[[], Evidence], scale: Scale, question: Question
) -> Evidence:
    """Return the evidence in which a claim has to hold with a cluster more against it; its opposite has not."""
    if question.asked == "non-inferiority":
        # Signings are dear: they are made for the claim's own side only.
        one = rising() if scale.better == "lower" else falling()
        if scale.better == "lower":
            return plain._replace(high=one.high, below=one.below)
        return plain._replace(low=one.low, above=one.above)
    fallen, risen = falling(), rising()
    # Of equivalence either side is a claim: from below up to the margin, and from above down to it.
    further = plain.low is not None and plain.low > question.margin
    less = plain.high is not None and plain.high < -question.margin
    return plain._replace(
        low=plain.low if further else fallen.low,
        high=plain.high if less else risen.high,
        above=lambda at: (fallen if at < 0.0 else plain).above(at),
        below=lambda at: (risen if at > 0.0 else plain).below(at),
    )


def _general(sums: Clusters, doing: _Doing, *, flips: bool) -> tuple[Evidence, str]:
    confidence = doing.question.confidence
    if not flips:
        return _student(sums.mean, cr2(sums), confidence), "paired mean, CR2, t (Satterthwaite)"
    evidence = _flipped(SignFlip(sums, doing.seed), confidence)
    return evidence, f"paired mean, {evidence.test}"


def unmet_clusters(level: float) -> float:
    """Return how many clusters more go against a claim that allows for a change that none of m clusters has met.

    A share q of clusters may change by L each, and none of them be met with the chance (1 - q)^m, about exp(-qm). That
    is rarer than the level where q > -ln(level)/m. With w clusters more that change by L, t is about qm/w - 1 where the
    others do not vary: it reaches the normal quantile z just there if w = -ln(level)/(1 + z).

    >>> round(unmet_clusters(0.05), 3), round(unmet_clusters(0.001), 3)
    (1.133, 1.689)
    """
    return -math.log(level) / (1.0 + normal_quantile(1.0 - level))


def _unmet(question: Question) -> float:
    return unmet_clusters((1.0 - question.confidence) / 2.0)


def _collapses(scale: Scale, baseline: float, candidate: float) -> tuple[float, float]:
    """Return by how much a difference falls, and rises, if one version goes to the worse end and the other is average.

    The candidate's collapse goes against its being no worse, the baseline's against its being worse. Where neither end
    is the worse one, either version may go to either.
    """
    low, high = scale.low or 0.0, scale.high or 0.0
    if scale.better == "higher":
        return baseline - low, candidate - low
    if scale.better == "lower":
        return high - candidate, high - baseline
    return max(baseline - low, high - candidate), max(high - baseline, candidate - low)


def _one_more(sums: Clusters, question: Question, change: float) -> Clusters:
    """Return the sums with the clusters of :func:`unmet_clusters` as one, of so large a difference."""
    more = _unmet(question)
    weight, square = more * float(sums.weights.mean()), more * float(sums.squares.mean())
    return Clusters(
        np.append(sums.totals, weight * change), np.append(sums.weights, weight), np.append(sums.squares, square)
    )


def _plain_binary(pairs: Pairs, scale: Scale, m: int) -> bool:
    if not scale.binary or m < pairs.weights.size or (pairs.weights != pairs.weights[0]).any():
        return False
    return bool(np.isin(pairs.baseline, (0.0, 1.0)).all() and np.isin(pairs.candidate, (0.0, 1.0)).all())


def _answer(
    question: Question, scale: Scale, evidence: Evidence, method: str, known: dict[str, float], reason: str = ""
) -> Comparison:
    answer = decide(question, scale, known["difference"], evidence)
    return msgspec.structs.replace(
        undefined(question, reason),
        low=_clamp(evidence.low, scale, -1.0),
        high=_clamp(evidence.high, scale, 1.0),
        p_value=answer.p_value,
        test=answer.test,
        verdict=answer.verdict,
        p_opposite=answer.p_opposite,
        method=method,
        **known,
    )


def _clamp(limit: float | None, scale: Scale, end: float) -> float | None:
    """Keep a limit within the differences that a bounded scale allows; its end stands in for no limit."""
    if scale.low is None or scale.high is None:
        return limit
    width = scale.high - scale.low
    return end * width if limit is None else max(-width, min(width, limit))


def _binary(pairs: Pairs, confidence: float, method: Method) -> tuple[Evidence, str]:
    n = pairs.baseline.size
    b = int(((pairs.candidate == 1.0) & (pairs.baseline == 0.0)).sum())
    c = int(((pairs.candidate == 0.0) & (pairs.baseline == 1.0)).sum())
    if method == "newcombe":
        both = int(((pairs.candidate == 1.0) & (pairs.baseline == 1.0)).sum())
        low, high = newcombe_limits(both, b, c, n - both - b - c, confidence)
    else:
        low, high = stretched_limits(b, c, n, confidence)
    name = "Newcombe's method 10" if method == "newcombe" else "Tango's score interval, stretched"
    evidence = Evidence(
        low,
        high,
        lambda at: stretched_tail(b, c, n, at),
        lambda at: stretched_tail(c, b, n, -at),
        lambda: mcnemar_mid_p(b, c),
        "McNemar, mid-P",
        "Tango's score test",
    )
    return evidence, f"paired shares, {name}"


def _score(
    pairs: Pairs, sums: Clusters, robust: Robust, scale: Scale, confidence: float, seed: int
) -> tuple[Evidence, str]:
    """Return limits as of n* independent cases that differ by the whole scale or not at all.

    Of all differences with the same mean gain and mean loss those have the largest variance. n* is Kish's n over R,
    the variance there is over theirs, mixed with the worst case: clusters that are all or nothing. It is
    lowered by (t/z)² for the error of R.
    """
    width = (scale.high or 0.0) - (scale.low or 0.0)
    shares = pairs.weights / pairs.weights.sum()
    gain = float((shares * np.maximum(pairs.differences, 0.0)).sum()) / width
    loss = float((shares * np.maximum(-pairs.differences, 0.0)).sum()) / width
    worst = float((sums.weights**2).sum() / sums.squares.sum())
    base = max(0.0, gain + loss - (gain - loss) ** 2) / sums.kish
    moved = sums.totals != 0.0
    differing = int(moved.sum())
    estimated = min(worst, (robust.error / width) ** 2 / base) if base > 0.0 else worst
    ratio = (differing * estimated + PRIOR * worst) / (differing + PRIOR)
    probability = two_sided(confidence)
    n = sums.kish / ratio * (normal_quantile(probability) / t_quantile(probability, robust.degrees)) ** 2
    low, high = stretched_limits(n * gain, n * loss, n, confidence)
    student = _student(sums.mean, robust, confidence) if differing >= FEW_CLUSTERS and robust.error > 0.0 else None
    flips = None
    if differing and student is None:
        flips = SignFlip(Clusters(sums.totals[moved], sums.weights[moved], sums.squares[moved]), seed)

    def no_difference() -> float:
        # Clusters without a difference are the same however they are signed.
        return student.two_sided() if student else flips.two_sided() if flips else 1.0

    evidence = Evidence(
        low * width,
        high * width,
        lambda at: stretched_tail(n * gain, n * loss, n, at / width),
        lambda at: stretched_tail(n * loss, n * gain, n, -at / width),
        no_difference,
        student.test if student else flips.name if flips else "none needed: no case differs",
        "Tango's score test, effective n",
    )
    return evidence, "paired mean, Tango's score interval, stretched, effective n"


def _flipped(flips: SignFlip, confidence: float) -> Evidence:
    low, high = flips.limits(confidence)
    return Evidence(low, high, flips.above, flips.below, flips.two_sided, flips.name, flips.name)


def _student(mean: float, robust: Robust, confidence: float) -> Evidence:
    half = t_quantile(two_sided(confidence), robust.degrees) * robust.error

    def above(at: float) -> float:
        value = (mean - at) / robust.error
        tail = t_tail(abs(value), robust.degrees)
        return tail if value >= 0.0 else 1.0 - tail

    return Evidence(
        mean - half,
        mean + half,
        above,
        lambda at: 1.0 - above(at),
        lambda: 2.0 * t_tail(abs(mean) / robust.error, robust.degrees),
        "t, CR2",
        "t, CR2",
    )
