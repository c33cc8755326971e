"""Can a classifier tell two windows' events apart? A two-sample test over single feature vectors, on demand."""

from __future__ import annotations

import math
from collections.abc import Hashable, Mapping, Sequence
from typing import NamedTuple

import msgspec
import numpy as np
import numpy.typing as npt

from evalsvc.drift.detectors import FEWEST, MINIMA, DriftTest
from evalsvc.drift.distances import Floats
from evalsvc.drift.inference import generator
from evalsvc.errors import InputError
from evalsvc.stats.distributions import t_quantile, two_sided
from evalsvc.stats.ranks import placements

FEWEST_GROUPS = 4
_FOLDS = 5
_STEPS = 10

Ints = npt.NDArray[np.intp]
Groups = Sequence[Hashable]


class Vectors(NamedTuple):
    """Events of one window: features ``[n, d]``, π ``[n]`` (``None``: all 1) and each event's group (``None``: own).

    A group is what is alike within: an hour, a session, a user. Groups of two windows are never the same one.
    """

    features: npt.ArrayLike
    pi: npt.ArrayLike | None = None
    groups: Groups | None = None


class _Rows(NamedTuple):
    """Both windows' events: standardised features, weights, group (those of the baseline first) and fold."""

    features: Floats
    weights: Floats
    groups: Ints
    folds: Ints


def compare_by_classifier(
    baseline: Vectors,
    current: Vectors,
    *,
    minima: Mapping[str, float] = MINIMA,
    confidence: float = 0.95,
    permutations: int = 199,
) -> DriftTest:
    """Return how well a classifier tells the windows apart: its AUC above 0.5, in [0, 0.5] (0: alike).

    A logistic regression, π-weighted, with a ridge penalty of the number of features on standardised features, is
    fitted on four fifths of the groups and ranks the events of the last fifth, in turn; the AUC is the folds' mean
    (Lopez-Paz & Oquab 2017 with the AUC for the accuracy). The p-value is a permutation test: whole groups change
    windows within their fold, and every classifier is fitted again; it is exact where groups are exchangeable, so
    both windows should be sampled by one design. Its smallest value is 1/(permutations + 1). (A p-value of the
    classifiers at hand would be too small: each pair of events trains one and tests another.) The interval is of the
    fitted classifiers, by the groups' influences (DeLong 1988; Obuchowski 1997) and t.

    It reads raw vectors: ``n·d·permutations`` multiplications, seconds for some thousands of events. Take a random
    part of larger windows.

    Args:
        baseline: the window that is compared with.
        current: the window that may have moved.
        minima: smallest effects that matter; that of ``classifier`` is an AUC of 0.55.
        confidence: of the interval, and one less the level of the test.
        permutations: how many, at least 19.

    Raises:
        InputError: on features that are not finite or not as many in both, lengths that differ, π outside (0, 1], a
            confidence outside (0, 1), a negative minimum and fewer than 19 permutations.

    >>> rng = np.random.default_rng(1)
    >>> old, new = rng.normal(0, 1, (60, 2)), rng.normal(1, 1, (60, 2))
    >>> found = compare_by_classifier(Vectors(old), Vectors(new))
    >>> found.moved, found.p_value
    (True, 0.005)
    """
    if permutations < 19:
        raise InputError(f"Expected `permutations` of at least 19, but got {permutations}")
    if not 0.0 < confidence < 1.0:
        raise InputError(f"Expected `confidence` between 0 and 1, such as 0.95, but got {confidence!r}")
    minimum = minima.get("classifier", MINIMA["classifier"])
    if not 0.0 <= minimum < math.inf:
        raise InputError(f"Expected the minimum of 'classifier' to be at least 0, but got {minimum!r}")
    (x, wx, gx), (y, wy, gy) = _checked("baseline", baseline), _checked("current", current)
    if x.size and y.size and x.shape[1] != y.shape[1]:
        raise InputError(f"Expected as many features in both windows, but got {x.shape[1]} and {y.shape[1]}")
    blank = DriftTest(
        detector="classifier",
        minimum=minimum,
        n=len(y),
        n_baseline=len(x),
        n_effective=_kish(wy),
        n_effective_baseline=_kish(wx),
        unit="AUC above 0.5",
        confidence=confidence,
    )
    if reason := _too_little(blank, gx, gy):
        return msgspec.structs.replace(blank, reason=reason)
    rng = generator(x, y)
    features = _standardised(np.concatenate([x, y]), np.concatenate([wx, wy]))
    if not features.shape[1]:
        return msgspec.structs.replace(blank, reason="no feature differs between events")
    sizes = int(gx.max()) + 1, int(gy.max()) + 1
    folds = max(2, min(_FOLDS, min(sizes) // 2))
    of_group = np.concatenate([rng.permutation(size) % folds for size in sizes])
    groups = np.concatenate([gx, gy + sizes[0]])
    weights = np.concatenate([wx, wy])
    rows = _Rows(features, weights / weights.sum() * _kish(weights), groups, of_group[groups])
    labels = _labels(of_group, sizes[0], permutations, rng)
    found = _ranks(rows, labels)
    exceeding = int((found[1:] >= found[0] - 1e-12).sum())
    return _judged(blank, rows, labels[0], found[0], (1.0 + exceeding) / (permutations + 1.0), folds)


def _checked(name: str, sample: Vectors) -> tuple[Floats, Floats, Ints]:
    features = np.asarray(sample.features, dtype=np.float64)
    if features.ndim != 2 and features.size:
        raise InputError(f"Expected features [n, d] of the {name} window, but got {features.ndim} dimensions")
    if not np.isfinite(features).all():
        raise InputError(f"Expected finite features of the {name} window; leave out events that have none")
    n = len(features)
    pi = np.ones(n) if sample.pi is None else np.asarray(sample.pi, dtype=np.float64)
    groups: Groups = range(n) if sample.groups is None else sample.groups
    if pi.shape != (n,) or len(groups) != n:
        raise InputError(f"Expected π and a group for each of {n} events, but got {pi.size} and {len(groups)}")
    if not ((pi > 0.0) & (pi <= 1.0)).all():
        raise InputError(f"Expected `pi` in (0, 1], but got values outside in the {name} window")
    with np.errstate(over="ignore"):
        weights = 1.0 / pi
    places: dict[Hashable, int] = {}
    return features, weights, np.array([places.setdefault(group, len(places)) for group in groups], dtype=np.intp)


def _too_little(blank: DriftTest, old: Ints, new: Ints) -> str:
    windows = (
        ("baseline", blank.n_effective_baseline, old),
        ("current window", blank.n_effective, new),
    )
    for name, effective, groups in windows:
        if not groups.size:
            return f"the {name} is empty"
        if effective < FEWEST:
            return f"the {name} has fewer than {FEWEST:g} effective events, or its weights overflow"
        if groups.max() + 1 < FEWEST_GROUPS:
            return f"the {name} has fewer than {FEWEST_GROUPS} groups"
    return ""


def _kish(weights: Floats) -> float:
    if not weights.size or not weights.max() < math.inf:
        return 0.0
    scaled = weights / weights.max()
    return float(scaled.sum() ** 2 / (scaled**2).sum())


def _standardised(features: Floats, weights: Floats) -> Floats:
    shares = weights / weights.max()
    shares /= shares.sum()
    centred = features - shares @ features
    deviation = np.sqrt(shares @ centred**2)
    differs = deviation > 1e-12 * np.abs(features).max(axis=0)
    return np.asarray(centred[:, differs] / deviation[differs])


def _labels(folds: Ints, n_old: int, permutations: int, rng: np.random.Generator) -> Floats:
    """Return ``[1 + permutations, groups]`` of 0 (baseline) and 1, the true ones first, dealt anew within folds."""
    labels = np.tile((np.arange(folds.size) >= n_old).astype(np.float64), (1 + permutations, 1))
    for fold in np.unique(folds):
        own = np.flatnonzero(folds == fold)
        labels[1:, own] = rng.permuted(labels[1:, own], axis=1)
    return labels


def _ranks(rows: _Rows, labels: Floats) -> Floats:
    """Return the mean AUC over folds for each row of labels."""
    found = np.zeros(labels.shape[0])
    for fold in np.unique(rows.folds):
        held = rows.folds == fold
        scores = _scores(rows, labels, held)
        truth = labels[:, rows.groups[held]]
        weights = rows.weights[held]
        found += [placements(row, label, weights).auc for row, label in zip(scores.T, truth, strict=True)]
    return found / np.unique(rows.folds).size


def _scores(rows: _Rows, labels: Floats, held: npt.NDArray[np.bool_]) -> Floats:
    """Return ``[held out, labels]`` log-odds of logistic regressions fitted on the other rows, one for each labels.

    Ten steps with the upper bound of the Hessian (Böhning & Lindsay 1988), which is the same for all of them.
    """
    x = np.column_stack([rows.features, np.ones(rows.features.shape[0])])
    train, weights = x[~held], rows.weights[~held, None]
    truth = labels[:, rows.groups[~held]].T
    penalty = np.append(np.full(rows.features.shape[1], float(rows.features.shape[1])), 1e-9)
    step = np.linalg.inv((train * weights).T @ train / 4.0 + np.diag(penalty))
    beta = np.zeros((x.shape[1], labels.shape[0]))
    for _ in range(_STEPS):
        # A logistic function that cannot overflow.
        likely = 0.5 + 0.5 * np.tanh(0.5 * (train @ beta))
        beta += step @ (train.T @ (weights * (truth - likely)) - penalty[:, None] * beta)
    return np.asarray(x[held] @ beta)


def _judged(blank: DriftTest, rows: _Rows, labels: Floats, auc: float, p_value: float, folds: int) -> DriftTest:
    influence = np.zeros(labels.size)
    for fold in range(folds):
        held = rows.folds == fold
        scores = _scores(rows, labels[None, :], held)[:, 0]
        placed = placements(scores, labels[rows.groups[held]], rows.weights[held])
        each = placed.influences(placed.auc)
        influence += np.bincount(rows.groups[held], each / folds, minlength=labels.size)
    count = labels.size
    error = math.sqrt(float((influence**2).sum()) * count / (count - 2.0))
    half = t_quantile(two_sided(blank.confidence), count - 2) * error
    effect = float(auc) - 0.5
    low, high = (min(max(float(value), 0.0), 0.5) for value in (effect - half, effect + half))
    return msgspec.structs.replace(
        blank,
        effect=max(effect, 0.0),
        low=low,
        high=high,
        plug_in=effect,
        p_value=p_value,
        moved=bool(p_value < 1.0 - blank.confidence and low > blank.minimum),
        method=f"logistic regression, {folds} folds, permutation of {count} groups",
    )
