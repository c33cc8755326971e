"""Judge or detector scores on all sampled events, joined with human reviews of some: one debiased estimate.

PPI++ (Angelopoulos, Duchi & Zrnic 2023): the mean review, moved by λ times what the judge says about all events less
what it says about the reviewed ones,

    θ(λ) = ȳ + λ·(f̄ over the events that were not reviewed - f̄ over the reviewed ones),

computed as ȳ + λ/(1 - s)·(f̄ over all sampled events - f̄ over the reviewed ones), where s is the share reviewed.

It is unbiased whatever the judge is worth; λ decides how much of it is believed. In the form for unequal weights
(Zrnic & Candès 2024, active inference) reviewed events weigh 1/(π·r), all sampled ones 1/π; over strata of the review
(Fisch et al. 2024) the means are taken stratum by stratum.

* λ/(1 - s) is the slope of reviews on predictions, and λ is clipped to [0, 1]; each review takes the λ that all
  *others* (outside its cluster) give, so that it does not tune the estimate to itself.
* The interval is that of the reviews alone (Wilson and Jeffreys for shares, the bounded-score limits of
  :mod:`evalsvc.stats.limits` for other bounded scales, Student's t otherwise) with the variance times ``R``: the
  estimate's variance over that of the reviews alone, to both of which one error of the judge is added that the reviews
  did not show. Without it a good judge at few reviews, of whose errors none was seen, has no variance at all.
* Where that is not narrower (within 2 %) than the reviews alone, λ is 0, or fewer than :data:`FEWEST` effective reviews
  would have to judge the judge, the reviews alone are the answer.

A little longer than other files: the estimate, its fallback and their limits share what is prepared once.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import NamedTuple

import msgspec
import numpy as np
import numpy.typing as npt

from evalsvc.errors import InputError
from evalsvc.stats.distributions import satterthwaite, t_quantile, two_sided
from evalsvc.stats.limits import PRIOR, Moments, binary_limits, bounded_limits, ratio
from evalsvc.stats.mean import UNTOLD
from evalsvc.stats.reviewed import Floats, Reviewed, gather
from evalsvc.types import Estimate, Scale, Window

NO_REVIEW = "no event of this window and group has both a prediction and a review"
# Fewer effective reviews than this, of at least twice as many, tell nothing of the spread on a scale without ends.
HEAVY = 5.0
LONELY = "one review tells nothing of the spread"
EQUAL = "all reviews are equal, which tells nothing of the spread"
WIDER = 1.02
FEWEST = 10
UNSEEN_BINARY = 1.0
UNSEEN_BOUNDED = 0.25
UNSEEN_OWN = 4.0


class PredictionPowered(msgspec.Struct, frozen=True):
    """A prediction-powered estimate beside that of the reviews alone.

    ``estimate.method`` starts with ``ppi++`` where the judge was used and with ``classical (λ = 0)`` where it was not,
    with why in ``estimate.reason``; ``powered`` says the same. ``lam`` in [0, 1] is the weighted mean of the
    cross-fitted λ, 0 where classical. ``gain`` >= 1 is the variance of the reviews alone over the estimate's, as
    estimated from the reviews, which knows only errors that they showed; ``interval_gain`` >= 1 is the one that the
    interval counts with, after one error of the judge that was not seen: how many times the reviews it is worth (both
    1 where classical). ``correlation`` in [-1, 1] is the weighted
    one of review and prediction within parts, None where one of them does not vary. ``n_predictions`` counts sampled
    events with a prediction, ``n_reviews`` those with a review too. ``estimate.n`` is ``n_predictions``,
    ``reviews_only.n`` is ``n_reviews``, and both ``n_effective`` count reviews (Kish's number, the estimate's times
    ``interval_gain``).
    """

    estimate: Estimate
    reviews_only: Estimate
    powered: bool
    lam: float
    gain: float
    correlation: float | None
    n_reviews: int
    n_predictions: int
    interval_gain: float = 1.0


class _Tuned(NamedTuple):
    """The parts' means with and without the judge; how the variances compare, plainly and with the unseen error."""

    means: Floats
    plain: Floats
    lam: float
    gain: float
    ratio: float
    n_effective: float
    correlation: float | None


class _Interval(NamedTuple):
    value: float
    low: float | None
    high: float | None


class _Part(NamedTuple):
    """A part's share, and its distance-making limits: (mean, R, critical value) → (low, high)."""

    share: float
    error: float
    degrees: float
    limits: Callable[[float, float, float], tuple[float, float]]


def prediction_powered_mean(
    predictions: npt.ArrayLike,
    reviews: npt.ArrayLike,
    scale: Scale,
    window: Window,
    *,
    pi: npt.ArrayLike | None = None,
    review_probability: npt.ArrayLike | None = None,
    strata: npt.ArrayLike | None = None,
    clusters: npt.ArrayLike | None = None,
    confidence: float = 0.95,
    lam: float | None = None,
) -> PredictionPowered:
    """Return the mean that humans would give to all traffic, from judge scores and reviews of some events.

    Args:
        predictions: shape (n,), scores of all sampled events; NaN where the judge gave none (counted as missing, and
            left out with its review).
        reviews: shape (n,), human values on ``scale``; NaN where not reviewed. Who has no prediction cannot be used.
        scale: of the *reviews*; it decides the interval. Predictions may be on any scale.
        window: what the events are of.
        pi: (n,) or one number: with what probability the design sampled each event. None: the events are a plain
            sample of a process, and the target is its mean; otherwise it is the events of the window.
        review_probability: (n,) or one number: with what probability a sampled event was picked for review. It may
            depend on the prediction, never on what the review found. None: within each stratum (or level of π) the
            reviewed ones are a plain sample of the sampled ones.
        strata: (n,), labels of review strata; None: octaves of 1/(π·r). Integers are fastest.
        clusters: (n,), labels of sessions or users; None: events are independent.
        confidence: of the two-sided interval.
        lam: a λ in [0, 1] instead of the tuned one.

    Returns:
        The estimate with the reviews alone beside it. Never wider than they are by over 2 %.

    Raises:
        InputError: on arrays that do not fit, on values that are infinite or off the scale, on probabilities outside
            (0, 1] and on a confidence outside (0, 1).

    >>> from datetime import UTC, datetime
    >>> day = Window(datetime(2026, 3, 1, tzinfo=UTC), datetime(2026, 3, 2, tzinfo=UTC))
    >>> rng = np.random.default_rng(7)
    >>> truth = (rng.random(5000) < 0.3).astype(float)
    >>> judge = np.where(rng.random(5000) < 0.9, truth, 1 - truth)
    >>> reviews = np.where(np.arange(5000) < 100, truth, np.nan)
    >>> answer = prediction_powered_mean(judge, reviews, Scale(0.0, 1.0, "lower", binary=True), day)
    >>> answer.powered, answer.n_reviews, round(answer.lam, 1)
    (True, 100, 0.7)
    >>> answer.estimate.high - answer.estimate.low < answer.reviews_only.high - answer.reviews_only.low
    True
    """
    critical = two_sided(confidence)
    if lam is not None and not 0.0 <= lam <= 1.0:
        raise InputError(f"Expected `lam` in [0, 1], or None to tune it, but got {lam!r}")
    data = gather(predictions, reviews, pi, review_probability, strata, clusters)
    if data is None:
        return _nothing(predictions, window, scale, confidence)
    _on_scale(data.y, scale)
    tuned = _tune(data, scale, lam)
    parts = _parts(data, scale)
    untold = _untold(data)
    reason = _no_interval(data, parts, scale, tuned.n_effective, untold)
    plain = _join(data, parts, tuned.plain, 1.0, critical, scale, bool(reason))
    if untold:
        plain = _with_untold(plain, untold, scale)
        reason = reason or f"{untold:.1%} of the traffic has a π of which nothing was reviewed: it may have any value"
    powered = plain
    why = "no review of the events that most of the traffic is like" if untold else _unused(data, tuned)
    if not why:
        powered = _join(data, parts, tuned.means, tuned.ratio, critical, scale, bool(reason))
        if reason or _width(powered) > WIDER * _width(plain):
            why = "the interval would not be narrower than that of the reviews alone"
    return _answer(data, tuned, plain, powered, why, reason, (scale, window, confidence, lam))


def prediction_powered_difference(
    first: PredictionPowered, second: PredictionPowered, window: Window | None = None
) -> Estimate:
    """Return the first group's mean less the second's (versions, segments), of two independent samples.

    The intervals are joined by MOVER (Zou & Donner 2008): distances between values and limits add up as variances do.

    Args:
        first: of one group or version.
        second: of the other, at the same confidence and on the same scale.
        window: what the difference is of; the first's where None.

    Raises:
        InputError: where the two differ in confidence.
    """
    a, b = first.estimate, second.estimate
    if a.confidence != b.confidence:
        raise InputError(f"Expected one confidence for both groups, but got {a.confidence} and {b.confidence}")
    value = low = high = None
    reason = a.reason or b.reason
    if a.value is not None and b.value is not None:
        value = a.value - b.value
        if a.low is not None and a.high is not None and b.low is not None and b.high is not None:
            low = value - math.hypot(a.value - a.low, b.high - b.value)
            high = value + math.hypot(a.high - a.value, b.value - b.low)
    return Estimate(
        value=value,
        low=low,
        high=high,
        n=a.n + b.n,
        n_effective=_harmonic(a.n_effective, b.n_effective),
        n_missing=a.n_missing + b.n_missing,
        missing_share=max(a.missing_share, b.missing_share),
        window=window or a.window,
        statistic="difference",
        confidence=a.confidence,
        method=f"{a.method} - {b.method}, MOVER" if value is not None else "",
        reason=reason if value is None or low is None else "",
    )


def _harmonic(a: float, b: float) -> float:
    return a * b / (a + b) if a > 0.0 and b > 0.0 else 0.0


def _on_scale(y: Floats, scale: Scale) -> None:
    low = -math.inf if scale.low is None else scale.low
    high = math.inf if scale.high is None else scale.high
    if y.min() < low or y.max() > high:
        raise InputError(f"Expected `reviews` in [{low}, {high}], the scale, but got values outside")
    if scale.binary and not np.isin(y, (0.0, 1.0)).all():
        raise InputError("Expected `reviews` to be 0 or 1 on a binary scale, but got other values")


def _tune(data: Reviewed, scale: Scale, fixed: float | None) -> _Tuned:
    """Return the means with cross-fitted λ and the ratio of variances, from residuals of reviews left out."""
    parts, of, v = data.share.size, data.part, data.v
    total = np.bincount(of, v, parts)
    plain = np.bincount(of, v * data.y, parts) / total
    seen = np.bincount(of, v * data.f, parts) / total
    dy, df = data.y - plain[of], data.f - seen[of]
    scaled = (data.share / total)[of]
    lam, correlation = _slopes(data, dy, df, scaled, fixed)
    means = plain + np.bincount(of, v * lam * (data.level[of] - data.f), parts) / total
    grown = data.units / max(1, data.units - 1)
    error = (dy - lam * df) * grown
    mean_lam = float(v @ lam / v.sum())
    powered, alone = _variances(data, dy, error, scaled, mean_lam, grown)
    gain = alone / powered if powered > 0.0 else math.inf
    kish = 1.0 / float((scaled * v) @ (scaled * v))
    count = min(kish, data.units)
    left = float(scaled**2 @ (data.second + data.first)) * kish
    width = (scale.high - scale.low) if scale.low is not None and scale.high is not None else 0.0
    unseen = UNSEEN_BINARY if scale.binary else UNSEEN_BOUNDED * width**2 + UNSEEN_OWN * alone * count
    added = unseen * left / count**2
    ratio_ = min(1.0, (powered + added) / (alone + added)) if alone > 0.0 else 1.0
    # Against the same pseudo-error, so that a judge without one seen error is not worth infinitely many reviews.
    gain = min(gain, 1.0 / ratio_) if math.isinf(gain) else gain
    stated = mean_lam * (1.0 - data.y.size / data.n_predictions)
    return _Tuned(means, plain, stated, gain, ratio_, kish, correlation)


def _slopes(data: Reviewed, dy: Floats, df: Floats, scaled: Floats, fixed: float | None) -> tuple[Floats, float | None]:
    """Return each review's λ/(1 - s), from the reviews outside its cluster, and the correlation within parts."""
    c = scaled**2 * data.second
    both, square, other = c * dy * df, c * df * df, c * dy * dy
    sxx, syy, sxy = float(square.sum()), float(other.sum()), float(both.sum())
    correlation = max(-1.0, min(1.0, sxy / math.sqrt(sxx) / math.sqrt(syy))) if sxx > 0.0 and syy > 0.0 else None
    # λ weighs predictions of events without a review; of all sampled ones they are the share 1 - s.
    most = data.n_predictions / max(1, data.n_predictions - data.y.size)
    if fixed is not None:
        return np.full(data.y.size, fixed * most), correlation
    grown = data.units / max(1, data.units - 1)
    numerator = sxy - grown * np.bincount(data.unit, both, data.units)[data.unit]
    denominator = sxx - grown * np.bincount(data.unit, square, data.units)[data.unit]
    usable = denominator > 1e-9 * sxx
    slope = np.divide(numerator, denominator, out=np.zeros_like(numerator), where=usable)
    return np.clip(slope, 0.0, most), correlation


def _variances(
    data: Reviewed, dy: Floats, error: Floats, scaled: Floats, lam: float, grown: float
) -> tuple[float, float]:
    """Return the variances of the powered mean and of the mean review, within parts.

    Events on their own: two phases (Särndal, Swensson & Wretman 1992, section 9.3). Clusters: sums over them of the
    linearised contributions, of all sampled events for the first.
    """
    if not data.clustered:
        square = scaled**2
        sampled = square * data.first @ (dy * dy)
        alone = square * data.second @ (dy * dy) + sampled
        return float(square * data.second @ (error * error) + sampled * grown), float(alone * grown)
    reviewed = np.bincount(data.unit, scaled * data.v * dy, data.units)
    every = data.every
    weight = np.bincount(every.part, every.w, data.share.size)
    part = lam * (data.share / weight)[every.part] * every.w * (every.f - data.level[every.part])
    part[every.reviewed] += scaled * data.v * error
    powered = np.bincount(every.unit, part)
    return float(powered @ powered), float(reviewed @ reviewed) * grown


def _parts(data: Reviewed, scale: Scale) -> list[_Part]:
    return [_part(data, scale, h) for h in range(data.share.size)]


def _part(data: Reviewed, scale: Scale, h: int) -> _Part:
    here = data.part == h
    y, v = data.y[here], data.v[here]
    low = scale.low if scale.low is not None and scale.high is not None else 0.0
    width = scale.high - low if scale.low is not None and scale.high is not None else 1.0
    unit = np.unique(data.unit[here], return_inverse=True)[1]
    units, weight, square = int(unit.max()) + 1, float(v.sum()), float(v @ v)
    mean = float(v @ y) / weight
    sums = np.bincount(unit, v * (y - mean))
    whole = np.bincount(unit, v)
    grown = units / (units - 1) if units > 1 else 1.0
    variance = grown * float(sums @ sums) / weight**2
    left = float((data.second + data.first)[here].sum()) / square
    kish = weight**2 / square
    # Sixty reviews of which one weighs as much as a million events teach as much of the spread as one does.
    telling = min(units, max(1, round(kish)))
    m = Moments(
        min(1.0, max(0.0, (mean - low) / width)),
        variance / width**2,
        kish,
        telling,
        float(whole @ whole) / square,
        units < y.size,
    )
    share = float(data.share[h])
    if not scale.bounded:
        error = math.sqrt(variance * left)
        return _Part(share, error, telling - 1, lambda at, r, t: _t_limits(at, error * math.sqrt(r), t))
    steady = (m.mean * kish + 2.0) / (kish + 4.0)
    upper, degrees = ratio(m, scale.binary, PRIOR * max(0.25, 1.0 - m.mean))
    error = width * math.sqrt(steady * (1.0 - steady) / kish * upper * left)
    return _Part(share, error, min(degrees, telling - 1), _bounded(m, scale.binary, low, width, left))


def _t_limits(at: float, error: float, critical: float) -> tuple[float, float]:
    return at - critical * error, at + critical * error


def _bounded(
    m: Moments, binary: bool, low: float, width: float, left: float
) -> Callable[[float, float, float], tuple[float, float]]:
    def limits(at: float, r: float, critical: float) -> tuple[float, float]:
        share = min(1.0, max(0.0, (at - low) / width))
        below, _ = ratio(m, binary, PRIOR * max(0.25, share))
        above, _ = ratio(m, binary, PRIOR * max(0.25, 1.0 - share))
        count = m.kish / (r * left) if r * left > 0.0 else math.inf
        if binary:
            bottom, top = binary_limits(share, count / below, critical)
        else:
            bottom, top = bounded_limits(share, count / below, count / above, critical)
        return low + width * bottom, low + width * top

    return limits


def _untold(data: Reviewed) -> float:
    """Return the share of the traffic at levels of π without any review, 0 where it is small enough to be left out.

    Reviews of events that were taken with certainty tell nothing of those of which one in a thousand was.
    """
    levels = np.floor(np.log2(data.every.w / data.every.w.min())).astype(np.int64)
    seen = np.isin(levels, levels[data.every.reviewed])
    share = float(data.every.w[~seen].sum() / data.every.w.sum())
    return share if share > UNTOLD else 0.0


def _with_untold(interval: _Interval, share: float, scale: Scale) -> _Interval:
    """Let a share of the traffic have any value that the scale allows."""
    if scale.low is None or scale.high is None or interval.low is None or interval.high is None:
        return interval._replace(low=None, high=None)
    low = (1.0 - share) * interval.low + share * scale.low
    return interval._replace(low=low, high=(1.0 - share) * interval.high + share * scale.high)


def _no_interval(data: Reviewed, parts: list[_Part], scale: Scale, kish: float, untold: float) -> str:
    if scale.bounded:
        return ""
    if data.units < 2:
        return LONELY
    if untold:
        return f"{untold:.1%} of the traffic has a π of which nothing was reviewed"
    if kish < min(HEAVY, data.units / 2.0):
        return f"{kish:.1f} effective reviews of {data.units:,}: one weighs as much as all others"
    return EQUAL if all(part.error == 0.0 for part in parts) and (data.second + data.first).any() else ""


def _join(
    data: Reviewed, parts: list[_Part], means: Floats, r: float, probability: float, scale: Scale, open_: bool
) -> _Interval:
    low = -math.inf if scale.low is None else scale.low
    high = math.inf if scale.high is None else scale.high
    means = np.clip(means, low, high)
    value = float(data.share @ means)
    if open_:
        return _Interval(value, None, None)
    critical = t_quantile(
        probability, satterthwaite([(p.share * p.error) ** 2 for p in parts], [p.degrees for p in parts])
    )
    below = above = float(data.spread @ (means - value) ** 2) * critical**2
    for part, mean in zip(parts, means.tolist(), strict=True):
        bottom, top = part.limits(mean, r, critical)
        below += (part.share * (mean - bottom)) ** 2
        above += (part.share * (top - mean)) ** 2
    return _Interval(value, max(low, value - math.sqrt(below)), min(high, value + math.sqrt(above)))


def _width(interval: _Interval) -> float:
    if interval.low is None or interval.high is None:
        return math.inf
    return interval.high - interval.low


def _unused(data: Reviewed, tuned: _Tuned) -> str:
    if data.y.size == data.n_predictions:
        return "every event with a prediction was reviewed"
    if tuned.correlation is None:
        return "reviews or predictions do not vary among the reviewed events"
    if tuned.lam <= 0.0:
        return "the judge does not follow the reviews"
    if tuned.n_effective < FEWEST:
        return f"fewer than {FEWEST} effective reviews cannot say what the judge is worth"
    return "" if tuned.ratio < 1.0 < tuned.gain else "the judge takes nothing off the variance"


def _answer(
    data: Reviewed,
    tuned: _Tuned,
    plain: _Interval,
    powered: _Interval,
    why: str,
    reason: str,
    context: tuple[Scale, Window, float, float | None],
) -> PredictionPowered:
    scale, window, confidence, fixed = context
    kish = tuned.n_effective
    limits = ("wilson-jeffreys, t" if scale.binary else "bounded-score, t") if scale.bounded else "t"
    ending = f"{limits}{' by part, MOVER' if data.share.size > 1 else ''}{', clustered' if data.clustered else ''}"
    kind = "hajek" if data.share.size == 1 else "stratified"
    used = not why
    chosen, gain, held = (powered, tuned.gain, 1.0 / tuned.ratio) if used else (plain, 1.0, 1.0)
    how = "λ given" if fixed is not None else "cross-fitted λ"
    alone = Estimate(
        value=plain.value,
        low=plain.low,
        high=plain.high,
        n=int(data.y.size),
        n_effective=kish,
        n_missing=data.n_missing,
        missing_share=data.missing_share,
        window=window,
        statistic="proportion" if scale.binary else "mean",
        confidence=confidence,
        method=f"reviews alone, {kind}, {ending}",
        reason=reason,
    )
    estimate = msgspec.structs.replace(
        alone,
        value=chosen.value,
        low=chosen.low,
        high=chosen.high,
        n=data.n_predictions,
        n_effective=kish * held,
        method=f"{f'ppi++, {how}' if used else 'classical (λ = 0)'}, {kind}, {ending}",
        reason=reason or why,
    )
    return PredictionPowered(
        estimate=estimate,
        reviews_only=alone,
        powered=used,
        lam=tuned.lam if used else 0.0,
        gain=gain,
        correlation=tuned.correlation,
        n_reviews=int(data.y.size),
        n_predictions=data.n_predictions,
        interval_gain=held,
    )


def _nothing(predictions: npt.ArrayLike, window: Window, scale: Scale, confidence: float) -> PredictionPowered:
    array = np.asarray(predictions, dtype=np.float64)
    missing = int(np.isnan(array).sum())
    empty = Estimate(
        value=None,
        low=None,
        high=None,
        n=0,
        n_effective=0.0,
        n_missing=missing,
        missing_share=missing / array.size if array.size else 0.0,
        window=window,
        statistic="proportion" if scale.binary else "mean",
        confidence=confidence,
        reason=NO_REVIEW,
    )
    return PredictionPowered(empty, empty, False, 0.0, 1.0, None, 0, array.size - missing)
