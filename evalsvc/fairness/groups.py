"""Groups as fairness sees them: each an estimate at any confidence, its share of the traffic, and whether it is shown.

A group's interval is :func:`evalsvc.stats.estimate_mean`'s, unchanged. What differs from ``evalsvc query`` is the
target. ``query`` speaks of the events of the window, so that a metric scored on every event has no sampling error. A
difference between groups is a question about the *system*: would the next events show it too? Hence the default target
here, ``process``: the window's events are themselves a sample of an unlimited stream, and no finite-population
correction is made. ``window`` asks about these events alone.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime
from functools import cache
from typing import Literal, NamedTuple

import msgspec
import numpy as np
from numpy.typing import ArrayLike, NDArray

from evalsvc.errors import InputError
from evalsvc.stats import estimate_mean
from evalsvc.stats.limits import moments
from evalsvc.stats.strata import Layout, StratumKey, lay_out
from evalsvc.types import Cell, Estimate, Scale, Window

Target = Literal["process", "window"]
Floats = NDArray[np.float64]

MIN_GROUP = 30
"""Groups with fewer scored events, or a smaller effective number of them, are suppressed."""

ANY_TIME = Window(datetime(1, 1, 1, tzinfo=UTC), datetime(9999, 12, 31, tzinfo=UTC))
"""The window of estimates from arrays, which come without times."""

# A power of two moves every π by whole octaves, so that the parts of the layout stay what they were.
_THINNED = 2.0**-30


class Group(NamedTuple):
    """One group: its estimate at any confidence, and how much of the traffic it is.

    ``size`` is its (estimated) number of scorable events, in any unit that all groups share; ``size_known`` says that
    it is a count and no estimate. ``error`` is the plain standard error of the value in the scale's unit, unsteadied,
    for variances between groups; ``None`` where one score leaves it unknown.
    """

    name: str
    at: Callable[[float], Estimate]
    size: float
    error: float | None
    size_known: bool = False
    labels: Mapping[str, str] = {}


class GroupEstimate(NamedTuple):
    """A group as it is shown. A suppressed one has no value, and ``reason`` says why; its n stays.

    ``share`` in [0, 1] is its part of all groups' scorable events.
    """

    name: str
    labels: Mapping[str, str]
    estimate: Estimate
    share: float
    suppressed: bool
    reason: str


def group_of_cells(
    name: str,
    cells: Sequence[Cell],
    scale: Scale,
    window: Window = ANY_TIME,
    *,
    offered: Mapping[StratumKey, int] | None = None,
    rates: Mapping[StratumKey, float] | None = None,
    untaken: Mapping[StratumKey, int] | None = None,
    target: Target = "process",
    labels: Mapping[str, str] | None = None,
) -> Group:
    """Return the group whose scores these cells hold.

    Args:
        name: as people read it, such as ``pro`` or ``pro × de``.
        cells: sufficient statistics by stratum and π, as the store gives them.
        scale: of the metric.
        window: what the cells are of.
        offered: as for :func:`evalsvc.stats.estimate_mean`.
        rates: as for :func:`evalsvc.stats.estimate_mean`.
        untaken: as for :func:`evalsvc.stats.estimate_mean`.
        target: ``process`` or ``window``, see the module's text.
        labels: the fields and values that make the group.

    Raises:
        InputError: on a target that is neither.

    >>> cell = Cell("all", 1, pi=1.0, n=40, n_abstained=0, n_failed=0, total=10.0, squares=10.0)
    >>> e = group_of_cells("pro", [cell], Scale(0.0, 1.0, "lower", binary=True)).at(0.95)
    >>> round(e.low, 3), e.value, round(e.high, 3)
    (0.136, 0.25, 0.402)
    """
    if target not in ("process", "window"):
        raise InputError(f"Expected `target` to be process or window, but got {target!r}")
    plain = lay_out(cells, offered, rates, 0.95)
    if target == "process":
        cells = [msgspec.structs.replace(cell, pi=cell.pi * _THINNED) for cell in cells]
        offered = None if offered is None else {key: round(count / _THINNED) for key, count in offered.items()}
        # A stratum that was taken whole and shows none of the group hides none of it, thinned or not.
        rates = None if rates is None else {key: pi * _THINNED for key, pi in rates.items() if pi < 1.0}
        untaken = None if untaken is None else {key: round(count / _THINNED) for key, count in untaken.items()}

    @cache
    def at(confidence: float) -> Estimate:
        estimate = estimate_mean(
            cells, scale, window, offered=offered, rates=rates, untaken=untaken, confidence=confidence
        )
        return msgspec.structs.replace(estimate, offered=plain.offered)

    known = offered is not None and plain.n_missing == 0
    error = plain_error(lay_out(cells, offered, rates, 0.95))
    return Group(name, at, plain.size, error, known, labels or {})


def plain_error(layout: Layout) -> float | None:
    """Return the linearised standard error of the mean, nothing added for what a small sample can have missed.

    None where nothing was scored, or one unit leaves the spread unknown. Intervals are steadied for good reason; a
    *variance between groups* needs the unbiased error, or noise is taken off that was never there.
    """
    variance = 0.0
    if not layout.parts or layout.size <= 0.0:
        return None
    shares = [part.size / layout.size for part in layout.parts]
    found = [moments(part.cells) for part in layout.parts]
    mean = math.fsum(share * m.mean for share, m in zip(shares, found, strict=True))
    for part, share, m in zip(layout.parts, shares, found, strict=True):
        if m.units < 2:
            if len(found) == 1:
                return None
            variance += (share * (m.mean - mean)) ** 2
        variance += share**2 * m.variance * (1.0 - part.fraction)
        variance += ((m.mean - mean) * (part.size_error / layout.size)) ** 2
    return math.sqrt(max(0.0, variance))


def groups_of_values(
    values: ArrayLike,
    labels: Sequence[str],
    scale: Scale,
    *,
    pi: ArrayLike | None = None,
    clusters: Sequence[str] | None = None,
    target: Target = "process",
) -> list[Group]:
    """Return a group for each label, from one score an event; in the labels' order.

    Args:
        values: ``[n]`` scores; a NaN is a missing one, which is counted and not averaged.
        labels: ``[n]`` group names; of intersections, joined ones.
        scale: of the metric.
        pi: ``[n]`` selection probabilities in (0, 1]; ``None`` takes all as 1.
        clusters: ``[n]`` sessions or users; ``None`` takes events as independent.
        target: ``process`` or ``window``.

    Raises:
        InputError: when lengths differ, or a π is outside (0, 1].

    >>> groups = groups_of_values([1, 0, 1, 1], ["a", "a", "b", "b"], Scale(0.0, 1.0, "higher", binary=True))
    >>> [(group.name, group.at(0.95).value) for group in groups]
    [('a', 0.5), ('b', 1.0)]
    """
    scores = np.asarray(values, dtype=np.float64)
    names = np.asarray(labels, dtype=np.str_)
    probability = np.ones(scores.size) if pi is None else np.asarray(pi, dtype=np.float64)
    within = np.asarray(clusters if clusters is not None else [], dtype=np.str_)
    _same_length(scores, names, probability, within if clusters is not None else names)
    if probability.size and not (np.all(probability > 0.0) and np.all(probability <= 1.0)):
        raise InputError("Expected every `pi` in (0, 1], but got one outside; give the probability, not the weight")
    found = []
    for name in sorted(set(names.tolist())):
        chosen = names == name
        some = within[chosen] if clusters is not None else None
        cells = cells_of(scores[chosen], probability[chosen], some)
        found.append(group_of_cells(name, cells, scale, target=target, labels={"group": name}))
    return found


def cells_of(values: Floats, pi: Floats, clusters: NDArray[np.str_] | None = None) -> list[Cell]:
    """Return a cell for each π: counts, sums and, where clusters are given, the sums over them.

    A cluster whose events have several π counts as one in each.
    """
    cells = []
    for level in np.unique(pi):
        here = pi == level
        present = here & np.isfinite(values)
        y = values[present]
        gone = int(here.sum()) - y.size
        cell = Cell("", 0, float(level), y.size, gone, 0, float(y.sum()), float((y * y).sum()))
        if clusters is not None and y.size:
            _, inverse = np.unique(clusters[present], return_inverse=True)
            counts, sums = np.bincount(inverse), np.bincount(inverse, weights=y)
            cell = msgspec.structs.replace(
                cell,
                clusters=int(counts.size),
                cluster_n2=float((counts * counts).sum()),
                cluster_ny=float((counts * sums).sum()),
                cluster_y2=float((sums * sums).sum()),
            )
        cells.append(cell)
    return cells


def _same_length(*arrays: NDArray[np.generic]) -> None:
    sizes = [array.size for array in arrays]
    if len(set(sizes)) > 1 or any(array.ndim != 1 for array in arrays):
        raise InputError(f"Expected one value, label and probability an event, but got {sizes} of them")
