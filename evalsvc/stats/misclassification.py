"""A share from a binary judge whose sensitivity and specificity are known from reviews (Rogan & Gladen 1978).

For reviews that are *not* a sample of the same traffic: picked by what was found (so many failures, so many good ones),
or taken from an earlier month whose share was another. Where the reviews are a sample of the window's own events,
:func:`evalsvc.stats.prediction_powered_mean` is narrower and needs no such assumption.
"""

from __future__ import annotations

import math

import msgspec

from evalsvc.errors import InputError
from evalsvc.stats.distributions import normal_quantile, two_sided

NOT_INFORMATIVE = "sensitivity + specificity is not above 1: the judge does not tell failures from the rest"
NO_REVIEWS = "no reviewed event of one of the two kinds: sensitivity or specificity is unknown"
NO_PREDICTION = "the judge scored no event"
TOO_WEAK = "too few reviews for limits: sensitivity + specificity may be 1"


class RoganGladen(msgspec.Struct, frozen=True):
    """The corrected share in [0, 1] with limits; None, with a ``reason``, where undefined.

    ``apparent`` is the judge's own share of positives, ``sensitivity`` and ``specificity`` are shares of the reviewed
    positives and negatives that it got right, all in [0, 1].
    """

    value: float | None
    low: float | None
    high: float | None
    apparent: float | None
    sensitivity: float | None
    specificity: float | None
    confidence: float = 0.95
    method: str = ""
    reason: str = ""


def rogan_gladen(
    apparent: float,
    n: float,
    *,
    true_positives: float,
    positives: float,
    true_negatives: float,
    negatives: float,
    confidence: float = 0.95,
) -> RoganGladen:
    """Return the share of true positives in the traffic, (apparent + specificity - 1)/(sensitivity + specificity - 1).

    The interval is Lang & Reiczigel's (2014): pseudo-counts as in Agresti & Coull's, and a shift towards the middle.

    Args:
        apparent: the judge's share of positives in all sampled events, in [0, 1]; weighted, if they are.
        n: how many events that is of; Kish's effective number, if they are weighted.
        true_positives: reviewed positives that the judge called positive, of ``positives``.
        positives: reviewed positives.
        true_negatives: reviewed negatives that the judge called negative, of ``negatives``.
        negatives: reviewed negatives.
        confidence: of the two-sided interval.

    Raises:
        InputError: on shares or counts that cannot be.

    >>> found = rogan_gladen(0.26, 1000, true_positives=45, positives=50, true_negatives=90, negatives=100)
    >>> round(found.value, 3), round(found.low, 3), round(found.high, 3)
    (0.2, 0.12, 0.269)
    """
    z = normal_quantile(two_sided(confidence))
    for name, part, whole in (
        ("apparent", apparent, 1.0),
        ("true_positives", true_positives, positives),
        ("true_negatives", true_negatives, negatives),
    ):
        if not (0.0 <= part <= whole and math.isfinite(whole)):
            raise InputError(f"Expected `{name}` in [0, {whole}], but got {part!r}")
    if not (math.isfinite(n) and n >= 0.0):
        raise InputError(f"Expected `n` to be a finite number of events, but got {n!r}")
    if n == 0.0:
        return RoganGladen(None, None, None, None, None, None, confidence, reason=NO_PREDICTION)
    if positives <= 0.0 or negatives <= 0.0:
        return RoganGladen(None, None, None, apparent, None, None, confidence, reason=NO_REVIEWS)
    se, sp = true_positives / positives, true_negatives / negatives
    if se + sp <= 1.0:
        return RoganGladen(None, None, None, apparent, se, sp, confidence, reason=NOT_INFORMATIVE)
    value = min(1.0, max(0.0, (apparent + sp - 1.0) / (se + sp - 1.0)))
    limits = _limits(apparent, n, (true_positives, positives), (true_negatives, negatives), z)
    low, high = (min(limits[0], value), max(limits[1], value)) if limits else (None, None)
    method = "rogan-gladen, lang-reiczigel" if limits else "rogan-gladen"
    return RoganGladen(value, low, high, apparent, se, sp, confidence, method, "" if limits else TOO_WEAK)


def _limits(
    apparent: float, n: float, sensitive: tuple[float, float], specific: tuple[float, float], z: float
) -> tuple[float, float] | None:
    trials, cases, others = n + z * z, sensitive[1] + 2.0, specific[1] + 2.0
    ap = (n * apparent + z * z / 2.0) / trials
    se, sp = (sensitive[0] + 1.0) / cases, (specific[0] + 1.0) / others
    youden = se + sp - 1.0
    doubt_se, doubt_sp = se * (1.0 - se) / cases, sp * (1.0 - sp) / others
    # Limits around a quotient whose divisor may be 0 mean nothing.
    if youden <= z * math.sqrt(doubt_se + doubt_sp):
        return None
    share = (ap + sp - 1.0) / youden
    shift = 2.0 * z * z * (share * doubt_se - (1.0 - share) * doubt_sp)
    variance = ap * (1.0 - ap) / trials + share**2 * doubt_se + (1.0 - share) ** 2 * doubt_sp
    half = z * math.sqrt(variance) / youden
    return min(1.0, max(0.0, share + shift - half)), min(1.0, max(0.0, share + shift + half))
