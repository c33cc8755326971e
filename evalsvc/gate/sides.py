"""Both versions' values of a statistic by case, on the cases that both were asked."""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from evalsvc.gate.evaluated import Floats, MetricScores, Rows
from evalsvc.gate.values import Gate, least_success, parse_statistic, scale_for
from evalsvc.stats.corpus import linearised
from evalsvc.stats.scores import mean_of_repeats
from evalsvc.types import Scale


class Counted(NamedTuple):
    """The scores, ``[cases, repeats]``, of which a gate counts the repeats that succeed."""

    baseline: Floats
    candidate: Floats
    gate: Gate
    scale: Scale


class Sides(NamedTuple):
    """Both versions' values by case, ``[cases]`` or ``[cases, repeats]``, in one order, on one scale.

    ``counted`` is there where the values are shares of repeats that succeed.
    """

    baseline: Floats
    candidate: Floats
    scale: Scale
    averaged: bool = False
    counted: Counted | None = None

    @property
    def whole(self) -> NDArray[np.bool_]:
        """Which cases have a value under both."""
        return ~(np.isnan(by_case(self.baseline)) | np.isnan(by_case(self.candidate)))

    @property
    def one_sided(self) -> int:
        """How many cases have a value under one version only."""
        return sum(self.without)

    @property
    def without(self) -> tuple[int, int]:
        """How many cases the baseline has no value of, and how many the candidate, that the other one has."""
        old, new = np.isnan(by_case(self.baseline)), np.isnan(by_case(self.candidate))
        return int((old & ~new).sum()), int((new & ~old).sum())

    @property
    def gone(self) -> tuple[int, float]:
        """How many scores are missing that the other version, or another repeat, has; and the share that is of all."""
        lost = self.lost
        return sum(int(one.sum()) for one in lost), sum(float(one.mean()) if one.size else 0.0 for one in lost)

    @property
    def lost(self) -> tuple[NDArray[np.bool_], NDArray[np.bool_]]:
        """Which scores of the baseline, and of the candidate, are :attr:`gone`, ``[cases, repeats]``."""
        old, new = self._tables
        return _gone(old, self._of_neither), _gone(new, self._of_neither)

    def filled(self, *, better: bool) -> Sides:
        """Return the sides as if what is :attr:`gone` had made the candidate look as good, or as bad, as it can be.

        The scale has two ends. Cases that neither version has a score of stay as they are.
        """
        scale = self.counted.scale if self.counted else self.scale
        # A repeat that is missing succeeds or does not; no number beyond the threshold is nearer to it than another.
        low, high = (-math.inf, math.inf) if self.counted else (scale.low or 0.0, scale.high or 0.0)
        if (scale.better == "lower") == better:
            low, high = high, low
        old, new = (
            np.where(_gone(table, self._of_neither), end, table)
            for table, end in zip(self._tables, (low, high), strict=True)
        )
        if self.counted:
            return _shares(self.counted._replace(baseline=old, candidate=new))
        return self._replace(baseline=old, candidate=new)

    @property
    def _tables(self) -> tuple[Floats, Floats]:
        held = self.counted or self
        old, new = (table if table.ndim == 2 else table[:, None] for table in (held.baseline, held.candidate))
        return old, new

    @property
    def _of_neither(self) -> NDArray[np.bool_]:
        return np.asarray(np.isnan(np.hstack(self._tables)).all(axis=1), dtype=np.bool_)


def _gone(table: Floats, of_neither: NDArray[np.bool_]) -> NDArray[np.bool_]:
    return np.isnan(table) & ~of_neither[:, None]


def sides_of(
    gate: Gate, new: MetricScores, old: MetricScores, rows: Rows, places: Rows, weights: Floats
) -> Sides | None:
    """Return a gate's statistic by case; None where a corpus has no score."""
    statistic, scale = parse_statistic(gate.statistic), scale_for(gate, new.spec.scale)
    if statistic.kind == "mean":
        return Sides(old.values[places], new.values[rows], scale)
    if statistic.kind == "corpus":
        both = [_corpus(held, at, weights) for held, at in ((old, places), (new, rows))]
        if both[0] is None or both[1] is None:
            return None
        return Sides(both[0], both[1], Scale(None, None, scale.better, scale.unit))
    return _shares(Counted(old.values[places], new.values[rows], gate, scale))


def _shares(counted: Counted) -> Sides:
    old, new = (pass_rates(table, counted.gate, counted.scale) for table in (counted.baseline, counted.candidate))
    return Sides(old, new, Scale(0.0, 1.0, "higher"), averaged=True, counted=counted)


def _corpus(held: MetricScores, rows: Rows, weights: Floats) -> Floats | None:
    """Return the linearised corpus score of each case, NaN where it has none; each repeat is a corpus of its own."""
    if held.statistics is None:
        return None
    table = np.full((rows.size, held.values.shape[1]), np.nan)
    for repeat in range(held.values.shape[1]):
        statistics = held.statistics[rows, repeat]
        some = ~np.isnan(statistics).any(axis=1)
        if not some.any():
            continue
        values = linearised(statistics[some].tolist(), weights[some].tolist(), held.spec.corpus)
        if values is None:
            return None
        table[some, repeat] = values
    return table


def pass_rates(values: Floats, gate: Gate, scale: Scale) -> Floats:
    """Return the chance of ``pass^k`` or ``pass@k`` by case, NaN where fewer than k repeats have a score.

    With c successes of n: C(c, k)/C(n, k) for ``pass^k`` (Yao et al. 2024) and 1 - C(n - c, k)/C(n, k) for ``pass@k``
    (Chen et al. 2021), both unbiased.
    """
    statistic = parse_statistic(gate.statistic)
    least = least_success(scale.better) if gate.success is None else gate.success
    present = ~np.isnan(values)
    wins = (values <= least if scale.better == "lower" else values >= least) & present
    out = np.full(values.shape[0], np.nan)
    for row, (n, c) in enumerate(zip(present.sum(axis=1).tolist(), wins.sum(axis=1).tolist(), strict=True)):
        if n >= statistic.k:
            ways, chosen = math.comb(n, statistic.k), c if statistic.kind == "pass^" else n - c
            share = math.comb(chosen, statistic.k) / ways
            out[row] = share if statistic.kind == "pass^" else 1.0 - share
    return out


def by_case(values: Floats) -> Floats:
    """Return the mean over repeats, ``[cases]``; NaN where there is none."""
    return values if values.ndim == 1 else mean_of_repeats(values)
