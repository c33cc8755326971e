"""Groups as fairness sees them: each an estimate at any confidence, its share of the traffic, and whether it is shown.

A group's value is :func:`evalsvc.stats.estimate_mean`'s, and so is its interval but for the target. ``evalsvc query``
speaks of the events of the window, so that a metric scored on every event has no sampling error. A difference between
groups is a question about the *system*: would the next events show it too? Hence the default target here, ``process``:
the window's events are themselves a sample of an unlimited stream, so that no finite-population correction is made and
the parts' sizes are Poisson numbers (:func:`evalsvc.stats.strata.of_the_process`). ``window`` asks about these events
alone.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime
from functools import cache
from types import MappingProxyType
from typing import NamedTuple

import msgspec
import numpy as np
from numpy.typing import ArrayLike, NDArray

from evalsvc.errors import InputError
from evalsvc.stats.distributions import satterthwaite
from evalsvc.stats.limits import moments
from evalsvc.stats.mean import answer, describe, join, part_mean
from evalsvc.stats.scores import check_scores
from evalsvc.stats.strata import Layout, StratumKey, Target, lay_out, of_the_process
from evalsvc.types import Cell, Estimate, Scale, Window

Floats = NDArray[np.float64]
Names = NDArray[np.str_]

MIN_GROUP = 30
"""Groups with fewer scored events, or a smaller effective number of them, are suppressed."""

ANY_TIME = Window(datetime(1, 1, 1, tzinfo=UTC), datetime(9999, 12, 31, tzinfo=UTC))
"""The window of estimates from arrays, which come without times."""

NO_LABELS: Mapping[str, str] = MappingProxyType({})


class Tail(NamedTuple):
    """What a comparison needs of a group whose scale has no upper end, beside its plain error.

    ``floor`` is the scale's lower end in its unit, ``None`` where that is open as well; ``freedom`` the degrees of
    freedom of the error, above 0.
    """

    floor: float | None
    freedom: float


class Sums(NamedTuple):
    """What a group was made of, from which many groups' limits are computed at once."""

    cells: Sequence[Cell]
    scale: Scale
    offered: Mapping[StratumKey, int] | None
    rates: Mapping[StratumKey, float]
    untaken: Mapping[StratumKey, int]
    target: Target


class Group(NamedTuple):
    """One group: its estimate at any confidence, and how much of the traffic it is.

    ``size`` is its (estimated) number of scorable events, in any unit that all groups share; ``size_known`` says that
    it is a count and no estimate. ``error`` is the plain standard error of the value in the scale's unit, unsteadied,
    for variances between groups; ``None`` where one score leaves it unknown. ``tail`` is there where the scale has no
    upper end, ``sums`` where the group came from cells.
    """

    name: str
    at: Callable[[float], Estimate]
    size: float
    error: float | None
    size_known: bool = False
    labels: Mapping[str, str] = NO_LABELS
    tail: Tail | None = None
    sums: Sums | None = None


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
    check_target(target)
    _check_cells(cells, scale)
    rates = rates or {}
    plain = lay_out(cells, offered, rates, 0.95, untaken)
    layout = of_the_process(plain) if target == "process" else plain

    @cache
    def at(confidence: float) -> Estimate:
        # At another confidence another number of events can hide.
        laid = lay_out(cells, offered, rates, confidence, untaken, target)
        joined = join(laid, [part_mean(part, scale) for part in laid.parts], scale, confidence)
        return answer(laid, joined, window, "mean", confidence, describe(laid, scale))

    known = offered is not None and plain.n_missing == 0
    tail = Tail(scale.low, _freedom(layout, scale)) if scale.high is None else None
    sums = Sums(cells, scale, offered, rates, untaken or {}, target)
    return Group(name, at, plain.size, plain_error(layout), known, labels or NO_LABELS, tail, sums)


def check_target(target: str) -> None:
    """Refuse a target that is neither ``process`` nor ``window``."""
    if target not in ("process", "window"):
        raise InputError(f"Expected `target` to be process or window, but got {target!r}")


def _check_cells(cells: Sequence[Cell], scale: Scale) -> None:
    for cell in cells:
        # Sums of scores at an end are off it by their rounding.
        room = 1e-6 * (abs(cell.total) + cell.n)
        below = scale.low is not None and cell.total < cell.n * scale.low - room
        above = scale.high is not None and cell.total > cell.n * scale.high + room
        if below or above or not math.isfinite(cell.total):
            raise InputError(
                f"Expected sums of finite scores on the scale [{scale.low}, {scale.high}], but got {cell.total:g} of "
                f"{cell.n}; was the scale of the metric changed without a new version?"
            )


def _freedom(layout: Layout, scale: Scale) -> float:
    means = [part_mean(part, scale) for part in layout.parts]
    variances = [0.0 if math.isnan(mean.error) else (part.size * mean.error) ** 2
                 for part, mean in zip(layout.parts, means, strict=True)]  # fmt: skip
    return max(1.0, satterthwaite(variances, [mean.degrees for mean in means])) if means else 1.0


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
    labels: Sequence[str] | Names,
    scale: Scale,
    *,
    pi: ArrayLike | None = None,
    clusters: Sequence[str] | Names | NDArray[np.int64] | None = None,
    target: Target = "process",
) -> list[Group]:
    """Return a group for each label, from one score an event; in the labels' order.

    Args:
        values: ``[n]`` scores on the scale; a NaN is a missing one, which is counted and not averaged.
        labels: ``[n]`` group names; of intersections, joined ones.
        scale: of the metric.
        pi: ``[n]`` selection probabilities in (0, 1]; ``None`` takes all as 1.
        clusters: ``[n]`` sessions or users, by name or as whole numbers; ``None`` takes events as independent.
        target: ``process`` or ``window``.

    Raises:
        InputError: when lengths differ, a π is outside (0, 1], or a score is infinite or off the scale.

    >>> groups = groups_of_values([1, 0, 1, 1], ["a", "a", "b", "b"], Scale(0.0, 1.0, "higher", binary=True))
    >>> [(group.name, group.at(0.95).value) for group in groups]
    [('a', 0.5), ('b', 1.0)]
    """
    scores = np.asarray(values, dtype=np.float64)
    names = np.asarray(labels, dtype=np.str_)
    probability = np.ones(scores.size) if pi is None else np.asarray(pi, dtype=np.float64)
    within = np.asarray(clusters if clusters is not None else [])
    _same_length(scores, names, probability, within if clusters is not None else names)
    check_scores(scores, scale, "values")
    if probability.size and not (np.all(probability > 0.0) and np.all(probability <= 1.0)):
        raise InputError("Expected every `pi` in (0, 1], but got one outside; give the probability, not the weight")
    found = []
    for name in np.unique(names).tolist():
        chosen = names == name
        some = within[chosen] if clusters is not None else None
        cells = cells_of(scores[chosen], probability[chosen], some)
        found.append(group_of_cells(name, cells, scale, target=target, labels={"group": name}))
    return found


def cells_of(values: Floats, pi: Floats, clusters: Names | NDArray[np.int64] | None = None) -> list[Cell]:
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


def marks(values: ArrayLike, name: str, advice: str = "") -> NDArray[np.bool_]:
    """Return ``[n]`` marks of 0 and 1 (or False and True) as booleans.

    Raises:
        InputError: on any other number, a missing one, or another shape; ``advice`` says what to do.
    """
    numbers = np.asarray(values, dtype=np.float64)
    if numbers.ndim != 1:
        raise InputError(f"Expected `{name}` of shape (events,), but got {numbers.shape}")
    if not np.all((numbers == 0.0) | (numbers == 1.0)):
        raise InputError(f"Expected `{name}` of 0 and 1 only{advice and '; '}{advice}")
    out: NDArray[np.bool_] = numbers == 1.0
    return out


def cluster_names(clusters: Sequence[str] | None, size: int) -> NDArray[np.str_] | None:
    """Return the cluster of each of ``size`` events, or None.

    Raises:
        InputError: when there is not one for each.
    """
    if clusters is None:
        return None
    names = np.asarray(clusters, dtype=np.str_)
    if names.shape != (size,):
        raise InputError(f"Expected one of `clusters` an event, but got {names.size} for {size}")
    return names


def _same_length(*arrays: NDArray[np.generic]) -> None:
    sizes = [array.size for array in arrays]
    if len(set(sizes)) > 1 or any(array.ndim != 1 for array in arrays):
        raise InputError(f"Expected one value, label and probability an event, but got {sizes} of them")
