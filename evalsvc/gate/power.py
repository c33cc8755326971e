"""Before anything is spent: what a suite's gates can show with the cases that it has.

Runs of equal versions are drawn from the baseline and a run that is kept (:mod:`evalsvc.gate.power_spread`), and
decided by the gates' own limits (:mod:`evalsvc.gate.resampled`); without a run from the baseline's own scores, under an
assumed correlation, which is said. Gates on the candidate alone are held against the value that was seen
(:mod:`evalsvc.gate.power_alone`). Without a run or a baseline nothing is known.
"""

from __future__ import annotations

import math
from typing import NamedTuple

import msgspec
import numpy as np

from evalsvc.cases import CaseSet
from evalsvc.gate.deciding import leaves_of
from evalsvc.gate.evaluated import Evaluated, MetricScores, Rows, places_in
from evalsvc.gate.findings import Leaf, gap_in
from evalsvc.gate.looking import plan
from evalsvc.gate.needed import POWER, UNTOLD, few_outweigh
from evalsvc.gate.paired import uncompared
from evalsvc.gate.power_alone import seen_alone
from evalsvc.gate.power_spread import Spread
from evalsvc.gate.relative import NO_SHARE
from evalsvc.gate.resampled import (
    CORRELATION,
    CORRELATIONS,
    DRAWS,
    Asked,
    Known,
    Look,
    Pool,
    groups_needed,
    least_margins,
    least_possible,
    margin_shown,
    pool_of,
)
from evalsvc.gate.sides import Sides, by_case, sides_of
from evalsvc.gate.suite import Suite
from evalsvc.gate.values import COMPARED, Better, Equivalent, Gate, NotWorse, Robust, scale_for
from evalsvc.stats.many_paired import Kind
from evalsvc.stats.spending import nominal_levels

__all__ = ["CORRELATION", "CORRELATIONS", "POWER", "Planned", "as_json", "plan_power"]

MANY = 20
"""Findings above which each is predicted from half as many runs."""
BEST = "it cannot pass: not even a version that is right in every case would, against this baseline"
NOT_EQUAL = "the margin is the improvement that is shown: an equal version is not better"
SAME = "scores that are the very same show nothing on a scale without two ends"
UNKNOWN = "nothing is known of the spread before a first run or a baseline"


class Planned(NamedTuple):
    """What one gate can show on one segment.

    ``smallest`` is the margin with which an equal version passes with a chance of 80 % (for ``better``: the improvement
    that is shown with it; for ``at_least`` and ``at_most``: how far from the limit the true value has to be), in the
    metric's unit or, where ``relative``, a share of the baseline's mean; None where no margin is. ``chance`` is that of
    passing at the gate's own margin, or with the value ``assumed``; ``varied`` the same for the two other correlations
    of a baseline alone; ``cases`` how many would give 80 %. ``hopeless``: it cannot pass with these cases.
    """

    gate: str
    segment: str
    n: int
    groups: int
    smallest: float | None = None
    chance: float | None = None
    cases: int | None = None
    reason: str = ""
    relative: bool = False
    varied: tuple[float, float] | None = None
    assumed: float | None = None
    hopeless: bool = False


def plan_power(suite: Suite, cases: CaseSet, spread: Spread | None) -> list[Planned]:
    """Return what each gate can show on each of its segments."""
    shell = Evaluated(
        cases=cases.cases, digests=cases.digests, answers=(), scores={}, model="", model_version="", signature=""
    )
    planned = plan(shell.digests, shell.groups, suite.definition)
    shares = [end / planned.total for end in planned.ends if planned.total]
    levels = nominal_levels(shares, suite.level, suite.spending) if len(shares) > 1 else [suite.level] * len(shares)
    leaves = [leaf for gate in suite.gates for leaf in leaves_of(gate, shell)]
    draws = DRAWS if len(leaves) <= MANY else DRAWS // 2
    planner = _Planner(shell, spread, tuple(map(Look, shares, levels)), draws)
    return [planner.planned(leaf) for leaf in leaves]


class _Planner:
    """Holds what gates share: the cases, what is known, the looks, and the runs drawn for the same scores."""

    def __init__(self, shell: Evaluated, spread: Spread | None, looks: tuple[Look, ...], draws: int) -> None:
        self.shell, self.spread, self.looks, self.draws = shell, spread, looks, draws
        self.drawn: dict[tuple[object, ...], tuple[Pool, np.ndarray]] = {}
        self.segments: dict[tuple[str, int], dict[str, Leaf]] = {}
        self.places: dict[tuple[int, int], Rows] = {}

    def planned(self, leaf: Leaf) -> Planned:
        """Return what one leaf can show; a reason says why where it is not known."""
        groups = len({self.shell.groups[row] for row in leaf.rows.tolist()})
        known = Planned(leaf.gate.name, leaf.segment, int(leaf.rows.size), groups)
        if not leaf.rows.size:
            return known._replace(reason="no case is in it", hopeless=True)
        if not isinstance(leaf.gate.ask, (*COMPARED, Robust)):
            source = self._source(leaf.gate)
            here = self._same(leaf, source) if source else None
            return seen_alone(known, leaf, self.shell, source, here, self.looks[-1].level)
        if self.spread is None:
            return known._replace(reason=UNKNOWN)
        if isinstance(leaf.gate.ask, Robust):
            return self._compared(known, leaf, self._variants(leaf))
        before = self.spread.before
        if before is None:
            return known._replace(reason="not predicted: the run whose scores are known was compared with nothing")
        if before.production is not None:
            return known._replace(reason="not predicted: production's estimate is compared with, not its cases")
        places = self._places(before, self.shell)
        if told := uncompared(leaf, self.shell, before, places):
            return known._replace(chance=0.0, hopeless=True, reason=f"it cannot pass: {told}")
        rows = leaf.rows[places[leaf.rows] >= 0]
        if rows.size < leaf.rows.size:
            lacking = f"{leaf.rows.size - rows.size:,} of {leaf.rows.size:,} cases have no answer of the baseline"
            groups = len({self.shell.groups[row] for row in rows.tolist()})
            known = known._replace(n=int(rows.size), groups=groups, reason=lacking)
        return self._compared(known, leaf, self._versions(leaf))

    def _compared(self, known: Planned, leaf: Leaf, found: Known | str) -> Planned:
        if isinstance(found, str):
            return known._replace(reason=found)
        ask = leaf.gate.ask
        margin = getattr(ask, "margin", 0.0)
        not_worse, relative = isinstance(ask, NotWorse), isinstance(ask, NotWorse) and ask.relative
        asked = Asked(isinstance(ask, Equivalent), relative, self.draws, bounded=not_worse and not relative)
        if asked.relative and float(np.average(found.old, weights=found.weights)) <= 0.0:
            return known._replace(chance=0.0, hopeless=True, relative=True, reason=f"it cannot pass: {NO_SHARE}")
        key = (leaf.gate.metric, leaf.gate.statistic, leaf.gate.direction, leaf.gate.success, leaf.gate.where)
        pool, least = self._runs((*map(str, key), leaf.rows.tobytes(), asked), known.groups, found, asked)
        smallest = margin_shown(least)
        known = known._replace(smallest=smallest, relative=asked.relative, hopeless=smallest is None)
        known = self._bounded(known, pool, asked, margin)
        if isinstance(ask, Better):
            if smallest is None:
                return known
            return known._replace(smallest=smallest + margin, reason=_joined(known.reason, NOT_EQUAL))
        known = known._replace(chance=float((least <= margin).mean()))
        if found.ends is None and (found.improved is None or not found.improved.any()):
            known = known._replace(reason=_joined(known.reason, SAME))
        if few_outweigh(found.weights, found.groups):
            known = known._replace(reason=_joined(known.reason, UNTOLD))
        else:
            groups = groups_needed(pool, known.groups, self.looks, asked, margin)
            known = known._replace(cases=None if groups is None else math.ceil(groups * known.n / known.groups))
        if found.improved is not None:
            return known
        low, high = (
            float((least_margins(pool_of(found, at), known.groups, self.looks, asked) <= margin).mean())
            for at in CORRELATIONS
        )
        return known._replace(varied=(low, high))

    def _bounded(self, known: Planned, pool: Pool, asked: Asked, margin: float) -> Planned:
        """Say so where not even the best version there is passes against the baseline; only of its own groups."""
        if known.groups != int(pool.known.groups.max()) + 1:
            return known
        possible = least_possible(pool, known.groups, self.looks[-1].level, asked)
        if possible is None or possible <= margin:
            return known
        return known._replace(hopeless=True, reason=_joined(known.reason, BEST))

    def _runs(self, key: tuple[object, ...], groups: int, found: Known, asked: Asked) -> tuple[Pool, np.ndarray]:
        if key not in self.drawn:
            pool = pool_of(found)
            self.drawn[key] = pool, least_margins(pool, groups, self.looks, asked)
        return self.drawn[key]

    def _source(self, gate: Gate) -> Evaluated | None:
        """Return the version whose own scores of a gate's metric are known: that of the run, or the baseline."""
        source = self.spread and (self.spread.after or self.spread.before)
        return source if source and source.production is None and gate.metric in source.scores else None

    def _same(self, leaf: Leaf, source: Evaluated) -> Leaf | None:
        """Return the leaf of the same segment among other cases; None where they have none."""
        key = (leaf.gate.name, id(source))
        if key not in self.segments:
            self.segments[key] = {one.segment: one for one in leaves_of(leaf.gate, source)}
        return self.segments[key].get(leaf.segment)

    def _places(self, before: Evaluated, after: Evaluated) -> Rows:
        key = (id(before), id(after))
        if key not in self.places:
            self.places[key] = places_in(before, after)
        return self.places[key]

    def _versions(self, leaf: Leaf) -> Known | str:
        """Return the scores of both versions of a run, or of the baseline alone."""
        gate, spread = leaf.gate, self.spread
        before, after = (spread.before, spread.after) if spread else (None, None)
        if before is None or gate.metric not in before.scores:
            return f"not predicted: no scores of {gate.metric} are known"
        source = after if after is not None and gate.metric in after.scores else None
        here = self._same(leaf, source or before)
        if here is None:
            return "not predicted: the cases of which scores are known have no such segment"
        old = before.scores[gate.metric]
        places = self._places(before, source)[here.rows] if source else here.rows
        rows, places = here.rows[places >= 0], places[places >= 0]
        new = source.scores[gate.metric] if source else old
        if source and (blocked := gap_in(here, source)[1]):
            return f"not predicted: in the run whose scores are known {blocked}"
        weights = (source or before).weights[rows]
        sides = sides_of(gate, new, old, rows, places, weights) if rows.size else None
        if sides is None:
            return f"not predicted: no {gate.statistic} scores of {gate.metric} are known of these cases"
        return _known(gate, sides, weights, (source or before).codes[rows], alone=source is None)

    def _variants(self, leaf: Leaf) -> Known | str:
        """Return the scores of variants and of their cases, of the run or of the baseline."""
        gate, source = leaf.gate, self._source(leaf.gate)
        here = self._same(leaf, source) if source else None
        if source is None or here is None or not here.rows.size:
            return f"not predicted: no scores of {gate.metric} on these variants are known"
        places = {digest: row for row, digest in enumerate(source.digests)}
        origins: Rows = np.array([places[source.cases[row].variant_of] for row in here.rows.tolist()], dtype=np.int64)
        held: MetricScores = source.scores[gate.metric]
        sides = Sides(held.values[origins], held.values[here.rows], scale_for(gate, held.spec.scale))
        return _known(gate, sides, source.weights[here.rows], source.codes[here.rows], alone=False)


def _joined(*reasons: str) -> str:
    return "; ".join(filter(None, reasons))


def _known(gate: Gate, sides: Sides, weights: np.ndarray, codes: Rows, *, alone: bool) -> Known | str:
    """Return what is drawn from: complete cases, with what missing scores can take from them."""
    scale, whole = sides.scale, sides.whole
    if not whole.any():
        return f"not predicted: no scores of {gate.metric} are known of these cases"
    lost, (gone, share) = 0.0, sides.gone
    old, new = by_case(sides.baseline), by_case(sides.candidate)
    sign = -1.0 if scale.better == "lower" else 1.0
    seen = sign * float(np.average((new - old)[whole], weights=weights[whole]))
    if scale.low is None or scale.high is None:
        if share > gate.max_missing:
            return "not predicted: too many scores are missing of one version, on a scale that sets them no bounds"
    elif gone and not alone:
        worst = sides.filled(better=False)
        left, kept = by_case(worst.candidate) - by_case(worst.baseline), worst.whole
        lost = max(0.0, seen - sign * float(np.average(left[kept], weights=weights[kept])))
    groups = np.unique(codes[whole], return_inverse=True)[1].astype(np.int64)
    lone = int(groups.max()) + 1 == groups.size and bool(np.ptp(weights[whole]) == 0.0)
    single = bool(np.isin(old[whole], (0.0, 1.0)).all() and np.isin(new[whole], (0.0, 1.0)).all())
    width = None if scale.low is None or scale.high is None else scale.high - scale.low
    return Known(
        improved=None if alone else sign * (new - old)[whole],
        old=old[whole],
        weights=weights[whole] / weights[whole].max(),
        groups=groups,
        kind=Kind(width, scale.binary, scale.binary and lone and single),
        averaged=sides.averaged or (scale.binary and not single),
        lower=sign < 0.0,
        ends=None if scale.low is None or scale.high is None else (scale.low, scale.high),
        lost=lost,
    )


def as_json(found: list[Planned], spread: str = "") -> str:
    """Return the table as JSON lines, each with whose scores tell the ``spread``."""
    return "\n".join(msgspec.json.encode(one._asdict() | {"spread": spread}).decode() for one in found)
