"""Error rates by group, from weighted confusion counts, as fairlearn defines them; and any metric of one's own.

Every rate is a share among some of the events (selection rate: among all; false positive rate: among those whose truth
is 0; ...), so that its interval is that of a binary mean over them. Values equal ``fairlearn.metrics.MetricFrame``'s
with ``sample_weight`` = 1/π; what fairlearn does not give are the intervals of rates, and gaps that allow for noise:
hand the groups to :func:`evalsvc.fairness.gap`.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Literal, NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray

from evalsvc.errors import InputError
from evalsvc.fairness.gaps import Gap, gap, ratio
from evalsvc.fairness.groups import (
    ANY_TIME,
    Floats,
    Group,
    Target,
    cells_of,
    check_target,
    cluster_names,
    group_of_cells,
    marks,
)
from evalsvc.stats.distributions import t_quantile, two_sided
from evalsvc.types import Estimate, Scale

Rate = Literal[
    "selection_rate",
    "accuracy",
    "error_rate",
    "true_positive_rate",
    "false_positive_rate",
    "true_negative_rate",
    "false_negative_rate",
    "precision",
]
Metric = Callable[[Floats, Floats, Floats], float]

_SHARE = Scale(0.0, 1.0, "neither", binary=True)
_RESAMPLES = 500


class _Kind(NamedTuple):
    """Which events count as 1 (``hit``), among which (``of``); both of (truth, prediction)."""

    hit: Callable[[NDArray[np.bool_], NDArray[np.bool_]], NDArray[np.bool_]]
    of: Callable[[NDArray[np.bool_], NDArray[np.bool_]], NDArray[np.bool_]]


def _all(truth: NDArray[np.bool_], _: NDArray[np.bool_]) -> NDArray[np.bool_]:
    return np.ones_like(truth)


_KINDS: dict[str, _Kind] = {
    "selection_rate": _Kind(lambda _, said: said, _all),
    "accuracy": _Kind(lambda truth, said: truth == said, _all),
    "error_rate": _Kind(lambda truth, said: truth != said, _all),
    "true_positive_rate": _Kind(lambda _, said: said, lambda truth, _: truth),
    "false_negative_rate": _Kind(lambda _, said: ~said, lambda truth, _: truth),
    "false_positive_rate": _Kind(lambda _, said: said, lambda truth, _: ~truth),
    "true_negative_rate": _Kind(lambda _, said: ~said, lambda truth, _: ~truth),
    "precision": _Kind(lambda truth, _: truth, lambda _, said: said),
}


class EqualisedOdds(NamedTuple):
    """The gaps of true and of false positive rates; ``difference`` and ``ratio`` are the worse ones, as observed.

    fairlearn's ``equalized_odds_difference`` is the larger naive difference, ``equalized_odds_ratio`` the smaller
    naive ratio; it takes the rate of a group without any event to count it among for 0, which is left out here, and
    ``reason`` names it. Intervals are each of ``confidence`` (1 + c)/2, so that both hold jointly at c.
    """

    difference: float | None
    ratio: float | None
    true_positive: Gap
    false_positive: Gap
    true_positive_ratio: Gap
    false_positive_ratio: Gap
    reason: str = ""


def rate_groups(
    rate: Rate,
    truth: ArrayLike,
    predicted: ArrayLike,
    labels: Sequence[str],
    *,
    pi: ArrayLike | None = None,
    clusters: Sequence[str] | None = None,
    target: Target = "process",
) -> list[Group]:
    """Return a group for each label whose value is a rate, in the labels' order.

    Args:
        rate: the name of one.
        truth: ``[n]`` of 0 and 1.
        predicted: ``[n]`` of 0 and 1.
        labels: ``[n]`` group names.
        pi: ``[n]`` selection probabilities in (0, 1]; ``None`` takes all as 1.
        clusters: ``[n]`` sessions, users or templates; ``None`` takes events as independent.
        target: ``process`` or ``window`` (:mod:`evalsvc.fairness.groups`).

    A group without any event among which the rate is counted has no value; with a reason.

    Raises:
        InputError: on an unknown rate, values that are not 0 and 1, lengths that differ, or a π outside (0, 1].

    >>> found = rate_groups("false_positive_rate", [0, 0, 1, 0], [1, 0, 1, 0], ["a", "a", "a", "b"])
    >>> [(group.name, group.at(0.95).value) for group in found]
    [('a', 0.5), ('b', 0.0)]
    """
    if rate not in _KINDS:
        raise InputError(f"Expected `rate` to be one of {', '.join(_KINDS)}, but got {rate!r}")
    true, said = _binary(truth, "truth"), _binary(predicted, "predicted")
    check_target(target)
    names, probability = _aligned(true.size, labels, pi)
    within = cluster_names(clusters, true.size)
    if said.size != true.size:
        raise InputError(f"Expected as many `predicted` as `truth`, but got {said.size} and {true.size}")
    hit, among = _KINDS[rate].hit(true, said), _KINDS[rate].of(true, said)
    found = []
    for name in sorted(set(names.tolist())):
        chosen = (names == name) & among
        some = within[chosen] if within is not None else None
        cells = cells_of(hit[chosen].astype(np.float64), probability[chosen], some)
        found.append(group_of_cells(name, cells, _SHARE, target=target, labels={"group": name}))
    return found


def demographic_parity(groups: Sequence[Group], *, confidence: float = 0.95) -> tuple[Gap, Gap]:
    """Return difference and ratio of selection rates, from their groups or those of a metric of yes and no.

    fairlearn's ``demographic_parity_difference`` and ``…_ratio`` are the naive values.
    """
    return gap(groups, confidence=confidence), ratio(groups, confidence=confidence)


def equal_opportunity(
    truth: ArrayLike,
    predicted: ArrayLike,
    labels: Sequence[str],
    *,
    pi: ArrayLike | None = None,
    clusters: Sequence[str] | None = None,
    target: Target = "process",
    confidence: float = 0.95,
) -> tuple[Gap, Gap]:
    """Return difference and ratio of true positive rates (Hardt, Price & Srebro 2016); see :func:`rate_groups`.

    A group without a positive event has no such rate: it is left out, and ``reason`` names it (fairlearn takes its
    rate for 0).
    """
    groups = rate_groups("true_positive_rate", truth, predicted, labels, pi=pi, clusters=clusters, target=target)
    return gap(groups, confidence=confidence), ratio(groups, confidence=confidence)


def equalised_odds(
    truth: ArrayLike,
    predicted: ArrayLike,
    labels: Sequence[str],
    *,
    pi: ArrayLike | None = None,
    clusters: Sequence[str] | None = None,
    target: Target = "process",
    confidence: float = 0.95,
) -> EqualisedOdds:
    """Return the gaps of true and false positive rates (Hardt, Price & Srebro 2016). Arguments: :func:`rate_groups`.

    Raises:
        InputError: as :func:`rate_groups`.
    """
    two_sided(confidence)
    each = (1.0 + confidence) / 2.0
    names: tuple[Rate, Rate] = ("true_positive_rate", "false_positive_rate")
    positive, negative = (
        rate_groups(name, truth, predicted, labels, pi=pi, clusters=clusters, target=target) for name in names
    )
    gaps = gap(positive, confidence=each), gap(negative, confidence=each)
    ratios = ratio(positive, confidence=each), ratio(negative, confidence=each)
    distances = [found.naive for found in gaps if found.naive is not None]
    quotients = [found.naive for found in ratios if found.naive is not None]
    sides = ((positive, "true", "positive"), (negative, "false", "negative"))
    notes = [
        f"no {kind} positive rate of {', '.join(lacking[:20])}, without a scored {side} event"
        for groups, kind, side in sides
        if (lacking := [group.name for group in groups if group.at(0.95).value is None])
    ]
    return EqualisedOdds(
        max(distances) if len(distances) == len(gaps) else None,
        min(quotients) if len(quotients) == len(ratios) else None,
        *gaps,
        *ratios,
        "; ".join(notes),
    )


def metric_groups(
    metric: Metric,
    truth: ArrayLike,
    predicted: ArrayLike,
    labels: Sequence[str],
    *,
    pi: ArrayLike | None = None,
    clusters: Sequence[str] | None = None,
    low: float | None = None,
    high: float | None = None,
    seed: int = 0,
) -> list[Group]:
    """Return a group for each label whose value is any function of its events.

    The standard error is that of the Bayesian bootstrap (Rubin 1981): weights times independent exponential numbers,
    one for each cluster, drawn 500 times with ``seed``; limits are Student's t with the effective number of events (of
    clusters) less 1, cut to the range. They are of the process behind the events (:mod:`evalsvc.fairness.groups`).
    That needs smooth metrics and groups of some size; for shares, :func:`rate_groups` is better.

    Args:
        metric: of (truth, predicted, weights), ``[n]`` each, to one number; weights are 1/π.
        truth: ``[n]`` numbers.
        predicted: ``[n]`` numbers.
        labels: ``[n]`` group names.
        pi: ``[n]`` selection probabilities in (0, 1]; ``None`` takes all as 1.
        clusters: ``[n]`` sessions, users or templates; ``None`` takes events as independent.
        low: the least that the metric can be, if there is such.
        high: the most that it can be, if there is such.
        seed: of the draws.

    Raises:
        InputError: when lengths differ, a π is outside (0, 1], or the metric raises or returns no number; one that is
            undefined for some events returns NaN.
    """
    true, said = np.asarray(truth, dtype=np.float64), np.asarray(predicted, dtype=np.float64)
    if true.ndim != 1 or said.ndim != 1:
        raise InputError(f"Expected `truth` and `predicted` of shape (events,), but got {true.shape} and {said.shape}")
    names, probability = _aligned(true.size, labels, pi)
    within = cluster_names(clusters, true.size)
    if said.size != true.size:
        raise InputError(f"Expected as many `predicted` as `truth`, but got {said.size} and {true.size}")
    found = []
    for name in sorted(set(names.tolist())):
        chosen = names == name
        weights = probability[chosen].min() / probability[chosen]
        size = float((1.0 / probability[chosen]).sum())
        own = np.arange(weights.size) if within is None else np.unique(within[chosen], return_inverse=True)[1]
        found.append(_metric_group(metric, name, (true[chosen], said[chosen], weights, own), size, (low, high), seed))
    return found


def _metric_group(
    metric: Metric,
    name: str,
    events: tuple[Floats, Floats, Floats, NDArray[np.intp]],
    size: float,
    ends: tuple[float | None, float | None],
    seed: int,
) -> Group:
    rng = np.random.default_rng(seed)
    true, said, weights, own = events

    def asked(weights: Floats) -> float:
        try:
            return float(metric(true, said, weights))
        except Exception as error:
            what = f"{type(error).__name__} for group {name!r}"
            raise InputError(f"Expected `metric` to return a number, NaN where undefined, but got {what}") from error

    value = asked(weights)
    count = int(own.max()) + 1
    drawn = np.array([asked(weights * rng.standard_exponential(count)[own]) for _ in range(_RESAMPLES)])
    drawn = drawn[np.isfinite(drawn)]
    effective = float(weights.sum() ** 2 / (weights**2).sum())
    sums = np.bincount(own, weights)
    kish = float(sums.sum() ** 2 / (sums**2).sum())
    # The exponential weights' own variance is (n + 1)/n of the bootstrap's; n/(n - 1) mends the rest of its bias.
    error = float(drawn.std(ddof=1)) * math.sqrt((kish + 1.0) / (kish - 1.0)) if kish > 1.0 and drawn.size > 1 else None
    reason = "" if math.isfinite(value) else "the metric is undefined for these events"
    if not reason and (error is None or error == 0.0):
        reason = (
            f"one {'event' if count == true.size else 'cluster'} tells nothing of the spread"
            if error is None
            else "no spread among the resampled values"
        )

    def at(confidence: float) -> Estimate:
        low = high = None
        if not reason and error is not None:
            half = t_quantile(two_sided(confidence), kish - 1.0) * error
            low = value - half if ends[0] is None else max(ends[0], value - half)
            high = value + half if ends[1] is None else min(ends[1], value + half)
        return Estimate(
            value if math.isfinite(value) else None,
            low,
            high,
            true.size,
            effective,
            0,
            0.0,
            ANY_TIME,
            statistic="metric",
            confidence=confidence,
            method="weighted metric, Bayesian bootstrap t",
            reason=reason,
        )

    return Group(name, at, size, error, False, {"group": name})


def _binary(values: ArrayLike, name: str) -> NDArray[np.bool_]:
    return marks(values, name, "turn others into these, or use `metric_groups`")


def _aligned(size: int, labels: Sequence[str], pi: ArrayLike | None) -> tuple[NDArray[np.str_], Floats]:
    names = np.asarray(labels, dtype=np.str_)
    if names.ndim != 1:
        raise InputError(f"Expected `labels` of shape (events,), but got {names.shape}")
    probability = np.ones(size) if pi is None else np.asarray(pi, dtype=np.float64)
    if names.size != size or probability.size != size:
        got = f"{size}, {names.size} and {probability.size}"
        raise InputError(f"Expected as many labels and probabilities as values, but got {got}")
    if size and not (np.all(probability > 0.0) and np.all(probability <= 1.0)):
        raise InputError("Expected every `pi` in (0, 1], but got one outside; give the probability, not the weight")
    return names, probability
