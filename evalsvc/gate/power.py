"""Before anything is spent: what a suite's gates can show with the cases that it has.

The spread of the differences is taken from the suite's last run, where there is one; else from the baseline's own
scores, as if the two versions' scores were correlated by a half, which is said. Without either nothing is known of it.
"""

from __future__ import annotations

import math
from pathlib import Path
from typing import NamedTuple

import msgspec
import numpy as np

from evalsvc.cases import CaseSet
from evalsvc.gate.baselines import names_in, read_baseline
from evalsvc.gate.deciding import leaves_of
from evalsvc.gate.evaluated import Evaluated, MetricScores, places_in
from evalsvc.gate.keeping import RunKeeper
from evalsvc.gate.record import decode_record
from evalsvc.gate.suite import Suite
from evalsvc.gate.values import Better, Equivalent, Gate, NotWorse
from evalsvc.stats import PairedMeans, PairedShares, Question, cases_for, compare_paired, detectable, power_of
from evalsvc.stats.power import Design
from evalsvc.types import Scale

POWER = 0.8
CORRELATION = 0.5


class Planned(NamedTuple):
    """What one gate can show on one segment.

    ``smallest`` is the margin with which an equal version passes with a chance of 80 % (for ``better``: the improvement
    that is shown with it), in the metric's unit or, where ``relative``, a share of the baseline's mean; ``chance`` that
    of passing at the gate's own margin, ``cases`` how many would give 80 %.
    """

    gate: str
    segment: str
    n: int
    groups: int
    smallest: float | None
    chance: float | None
    cases: int | None
    reason: str = ""
    relative: bool = False


class Spread(NamedTuple):
    """From which scores the spread is taken, and what is assumed beside them; ``after`` None is a baseline alone."""

    before: Evaluated
    after: Evaluated | None
    said: str


def plan_power(suite: Suite, cases: CaseSet, spread: Spread | None) -> list[Planned]:
    """Return what each comparing gate can show on each of its segments."""
    shell = Evaluated(
        cases=cases.cases, digests=cases.digests, answers=(), scores={}, model="", model_version="", signature=""
    )
    found = []
    for gate in suite.gates:
        if not isinstance(gate.ask, NotWorse | Better | Equivalent):
            continue
        for leaf in leaves_of(gate, shell):
            groups = len({shell.groups[row] for row in leaf.rows.tolist()})
            n = int(leaf.rows.size)
            planned = Planned(gate.name, leaf.segment, n, groups, None, None, None)
            found.append(_filled(planned, gate, suite.level, spread))
    return found


def spread_of(suite: Suite, shown: str, root: Path) -> Spread | None:
    """Return the scores that tell the spread: of the last run and its baseline, or of the baseline alone."""
    keeper, last = RunKeeper(root), None
    last = keeper.latest(suite.name)
    if last is not None and last.baseline is not None and last.candidate.digest != last.baseline.digest:
        before, after = (
            decode_record(keeper.record(digest), digest).evaluated
            for digest in (last.baseline.digest, last.candidate.digest)
        )
        if before.production is None:
            return Spread(before, after, f"the spread is that of the last run, {last.verdict_id}")
    if suite.baseline and suite.baseline in names_in(suite.folder):
        held = read_baseline(suite.folder, suite.baseline, shown)
        if held.evaluated.production is not None:
            return None
        said = (
            f"the spread is taken from the baseline's scores, as if both versions' were correlated by {CORRELATION:g}"
        )
        return Spread(held.evaluated, None, said)
    return None


def _filled(planned: Planned, gate: Gate, level: float, spread: Spread | None) -> Planned:
    if not planned.n:
        return planned._replace(reason="no case is in it")
    if gate.statistic != "mean":
        return planned._replace(reason=f"not known for {gate.statistic}")
    if spread is None or gate.metric not in spread.before.scores:
        return planned._replace(reason="nothing is known of the spread before a first run or a baseline")
    found = _design(gate, spread)
    if isinstance(found, str):
        return planned._replace(reason=found)
    design, mean = found
    question = Question("equivalence" if isinstance(gate.ask, Equivalent) else "non-inferiority", 0.0, level)
    smallest = detectable(design, planned.n, power=POWER, question=question._replace(margin=1e-9))
    if isinstance(gate.ask, Better):
        return planned._replace(smallest=smallest)
    margin = gate.ask.margin if isinstance(gate.ask, NotWorse | Equivalent) else 0.0
    relative = isinstance(gate.ask, NotWorse) and gate.ask.relative and abs(mean) > 0.0
    if relative:
        margin *= abs(mean)
        smallest = None if smallest is None else smallest / abs(mean)
    asked = question._replace(margin=margin)
    return planned._replace(
        smallest=smallest,
        relative=relative,
        chance=power_of(design, planned.n, 0.0, question=asked),
        cases=cases_for(design, 0.0, power=POWER, question=asked),
    )


def _design(gate: Gate, spread: Spread) -> tuple[Design, float] | str:
    old = spread.before.scores[gate.metric]
    scale = old.spec.scale
    mean = float(np.nanmean(old.by_case)) if not np.isnan(old.by_case).all() else math.nan
    if spread.after is None or gate.metric not in spread.after.scores:
        return _assumed(old, scale, mean)
    places = places_in(spread.before, spread.after)
    rows = np.flatnonzero(places >= 0)
    found = compare_paired(
        old.values[places[rows]],
        spread.after.scores[gate.metric].values[rows],
        scale,
        clusters=[spread.after.groups[row] for row in rows.tolist()],
        weights=spread.after.weights[rows].tolist(),
    )
    if found.plain_shares and found.discordant:
        return PairedShares(found.discordant), mean
    if not found.standard_error:
        return found.reason or "no case differed in the last run, which tells nothing of the spread"
    return PairedMeans(found.standard_error * math.sqrt(found.n)), mean


def _assumed(old: MetricScores, scale: Scale, mean: float) -> tuple[Design, float] | str:
    known = old.by_case[~np.isnan(old.by_case)]
    if known.size < 2:
        return "the baseline has too few scores to tell the spread"
    variance = float(known.var(ddof=1)) * 2.0 * (1.0 - CORRELATION)
    if variance <= 0.0:
        return "all of the baseline's scores are equal, which tells nothing of the spread"
    if scale.binary and old.values.shape[1] == 1:
        return PairedShares(min(1.0, variance)), mean
    return PairedMeans(math.sqrt(variance)), mean


def as_json(found: list[Planned]) -> str:
    """Return the table as JSON lines."""
    return "\n".join(msgspec.json.encode(one._asdict()).decode() for one in found)
