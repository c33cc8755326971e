"""Sampled events with scores, some of them with reviews: checked arrays, and parts of about equal weight.

An event was sampled with π and then reviewed with r, so a reviewed event stands for 1/(π·r) events. Parts are review
strata, or octaves of that weight; the share of the traffic in each is known from all sampled events
(post-stratification), so that within a part the weights differ by a factor of two at most. Parts with fewer than
:data:`SPARSE` reviews are joined with the next in weight.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from evalsvc.errors import InputError

SPARSE = 20

Floats = npt.NDArray[np.float64]
Ints = npt.NDArray[np.int64]


class Reviewed(NamedTuple):
    """The two-phase sample: arrays over reviewed events, then over parts, then what is needed of all events.

    ``y`` and ``f`` are review and prediction, ``v`` the weights 1/(π·r) up to a constant, ``second`` v²(1 - r) and
    ``first`` v²·r·(1 - π) the factors of the two phases' variances, ``unit`` the cluster (0…m-1; each event its own
    where none is given), ``part`` the part. ``share`` is each part's share of the traffic, ``level`` its weighted mean
    prediction over all sampled events, ``spread`` Σw²(1 - π)/(Σw)² (the doubt of its share).
    """

    y: Floats
    f: Floats
    v: Floats
    second: Floats
    first: Floats
    unit: Ints
    part: Ints
    units: int
    clustered: bool
    share: Floats
    level: Floats
    spread: Floats
    every: Everything
    n_predictions: int
    n_missing: int
    missing_share: float


class Everything(NamedTuple):
    """All sampled events with a prediction: what a variance over clusters needs. ``unit`` is empty without clusters."""

    f: Floats
    w: Floats
    part: Ints
    unit: Ints
    reviewed: npt.NDArray[np.bool_]


def column(name: str, values: npt.ArrayLike, size: int | None = None) -> Floats:
    """Return a one-dimensional array of floats; refuse another shape, another length and infinities."""
    try:
        array = np.asarray(values, dtype=np.float64)
    except (TypeError, ValueError):
        raise InputError(f"Expected `{name}` to be an array of numbers, NaN where one is missing") from None
    if array.ndim != 1:
        raise InputError(f"Expected `{name}` to have one dimension, but got shape {array.shape}")
    if size is not None and array.size != size:
        raise InputError(f"Expected `{name}` to have one value per prediction ({size}), but got {array.size}")
    if np.isinf(array).any():
        raise InputError(f"Expected `{name}` to be finite (NaN where one is missing), but got an infinity")
    return array


def probabilities(name: str, values: npt.ArrayLike | None, size: int) -> Floats | None:
    """Return probabilities in (0, 1], one per event; one number stands for all."""
    if values is None:
        return None
    array = np.asarray(values, dtype=np.float64)
    array = np.full(size, float(array)) if array.ndim == 0 else column(name, array, size)
    if array.size and not (array.min() > 0.0 and array.max() <= 1.0):
        raise InputError(f"Expected `{name}` in (0, 1], but got values outside; drop events that nothing could select")
    return array


def codes(name: str, labels: Sequence[object] | npt.ArrayLike, size: int) -> Ints:
    """Return labels as integers 0…k-1."""
    array = np.asarray(labels)
    if array.shape != (size,):
        raise InputError(f"Expected `{name}` to have one label per prediction ({size}), but got shape {array.shape}")
    return np.unique(array, return_inverse=True)[1].astype(np.int64)


def gather(
    predictions: npt.ArrayLike,
    reviews: npt.ArrayLike,
    pi: npt.ArrayLike | None,
    review_probability: npt.ArrayLike | None,
    strata: npt.ArrayLike | None,
    clusters: npt.ArrayLike | None,
) -> Reviewed | None:
    """Return the two-phase sample, or None where no event has both a prediction and a review."""
    f = column("predictions", predictions)
    y = column("reviews", reviews, f.size)
    inclusion = probabilities("pi", pi, f.size)
    review = probabilities("review_probability", review_probability, f.size)
    label = None if strata is None else codes("strata", strata, f.size)
    unit = None if clusters is None else codes("clusters", clusters, f.size)
    there = ~np.isnan(f)
    n_missing = f.size - int(np.count_nonzero(there))
    missing_share = _missing_share(there, inclusion) if n_missing else 0.0
    if n_missing:
        f, y = f[there], y[there]
        inclusion = None if inclusion is None else inclusion[there]
        review = None if review is None else review[there]
        label = None if label is None else label[there]
        unit = None if unit is None else unit[there]
    chosen = ~np.isnan(y)
    if not chosen.any():
        return None
    return _phases(f, y, chosen, inclusion, review, label, unit, (n_missing, missing_share))


def _missing_share(there: npt.NDArray[np.bool_], pi: Floats | None) -> float:
    if pi is None:
        return float(1.0 - there.mean())
    weight = pi.min() / pi
    return float(weight[~there].sum() / weight.sum())


def _phases(
    f: Floats,
    y: Floats,
    chosen: npt.NDArray[np.bool_],
    pi: Floats | None,
    review: Floats | None,
    label: Ints | None,
    unit: Ints | None,
    missing: tuple[int, float],
) -> Reviewed:
    index = np.flatnonzero(chosen)
    part = label if label is not None else _levels(f.size, pi, review)
    r = review[index] if review is not None else _shares_reviewed(part, index)
    # Without π the predictions are a sample of a process, of which any number of events is a vanishing part.
    p = pi[index] if pi is not None else np.zeros(index.size)
    w = pi.min() / pi if pi is not None else np.ones(f.size)
    v = w[index] / r
    v = v / v.max()
    if part.max() > 0:
        part = _merge(part, index, v)[part]
    parts = int(part.max()) + 1
    of = part[index]
    weight = np.bincount(part, w, parts) if parts > 1 else np.array([w.sum()])
    level = np.bincount(part, w * f, parts) / weight if parts > 1 else np.array([float(w @ f)]) / weight
    spread = np.zeros(1)
    if parts > 1:
        # w²(1 - π) is w² - w·min π, which makes one array of a million less than two products.
        certain = float(pi.min()) * weight if pi is not None else 0.0
        spread = np.maximum(0.0, np.bincount(part, w * w, parts) - certain) / weight.sum() ** 2
    own = np.unique(unit[index], return_inverse=True)[1] if unit is not None else np.arange(index.size)
    everything = Everything(f, w, part, unit if unit is not None else np.zeros(0, dtype=np.int64), chosen)
    return Reviewed(
        y=y[index],
        f=f[index],
        v=v,
        second=v * v * (1.0 - r),
        first=v * v * r * (1.0 - p),
        unit=own,
        part=of,
        units=int(own.max()) + 1,
        clustered=unit is not None,
        share=weight / weight.sum(),
        level=level,
        spread=spread,
        every=everything,
        n_predictions=f.size,
        n_missing=missing[0],
        missing_share=missing[1],
    )


def _levels(size: int, pi: Floats | None, review: Floats | None) -> Ints:
    product = pi if review is None else review if pi is None else pi * review
    if product is None or product.min() == product.max():
        return np.zeros(size, dtype=np.int64)
    if product.min() < 1e-300:
        raise InputError("Expected `pi` times `review_probability` above 1e-300, but got less")
    # The binary exponent is the octave, and much cheaper than a logarithm of a million numbers.
    exponent = np.frexp(product)[1].astype(np.int64)
    exponent -= exponent.min()
    return (np.cumsum(np.bincount(exponent) > 0) - 1)[exponent]


def _shares_reviewed(part: Ints, index: Ints) -> Floats:
    parts = int(part.max()) + 1
    if parts == 1:
        return np.full(index.size, index.size / part.size)
    return (np.bincount(part[index], minlength=parts) / np.bincount(part, minlength=parts))[part[index]]


def _merge(part: Ints, index: Ints, v: Floats) -> Ints:
    """Return each part's new number, lightest weight first; sparse ones are joined with the next."""
    count = np.bincount(part[index], minlength=int(part.max()) + 1)
    # A part without a review has no weight to be sorted by; it goes with the heaviest, which were reviewed least.
    weight = np.where(count > 0, np.bincount(part[index], v, count.size) / np.maximum(count, 1), np.inf)
    number = np.zeros(count.size, dtype=np.int64)
    current = held = 0
    for place in np.argsort(weight, kind="stable"):
        if held >= SPARSE and count[place] > 0:
            current, held = current + 1, 0
        number[place] = current
        held += int(count[place])
    if 0 < held < SPARSE and current > 0:
        number[number == current] = current - 1
    return number
