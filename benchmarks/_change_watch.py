"""The pages of a change rule on drawn minutes, for many runs at once.

A run's detector is stepped here by the sums of all of a baseline's minutes, :func:`growth` and :func:`levels_after`, as
long as it does not alarm. At the minute in which it does the ruler's looks take over, from the state before it; they
must find the same alarm, and go on until the alert is over. ``tests/calibration/test_alert_rules.py`` holds the pages
against the ruler's looks at every minute.
"""

from __future__ import annotations

import math
from typing import NamedTuple

import msgspec
import numpy as np
from numpy.typing import NDArray

from _alert_traffic import MINUTE, START, Design, Floats, Sight, Sums, change_of, group_of, look
from evalsvc.ruler.looks import baseline_at, window_at
from evalsvc.rules.judging import baseline_confidence_of
from evalsvc.rules.machine import AlertState, transition
from evalsvc.rules.values import Rule
from evalsvc.stats import change
from evalsvc.types import Window


class Bench(NamedTuple):
    """Detectors, one a run, ``[run, bet]``: the bets, padded by 0, their bases, and log M of each."""

    bets: Floats
    bases: Floats
    levels: Floats

    @staticmethod
    def of(states: list[change.ChangeState]) -> Bench:
        """Take over the detectors of all runs."""
        most = max(len(state.bets) for state in states)
        bench = Bench(
            np.zeros((len(states), most)), np.zeros((len(states), most)), np.full((len(states), most), -np.inf)
        )
        for run, state in enumerate(states):
            for mine, theirs in zip(bench, (state.bets, state.bases, state.levels), strict=True):
                mine[run, : len(state.bets)] = theirs
        return bench


def growth(bench: Bench, design: Design, fields: Floats) -> Floats:
    """Return the growth of each run's bets in each of some minutes ``[field, run, minute, stratum]``.

    It is that of ``evalsvc.stats.change.step_cells`` on [0, 1], for many detectors at once.
    """
    total_growth = np.zeros((*fields.shape[1:3], bench.bets.shape[1]))
    bases = bench.bases[:, None, :]
    pi_min = min(stratum.pi for stratum in design.strata)
    for place, stratum in enumerate(design.strata):
        n, _, total, squares, clusters, n2, ny, y2 = (field[..., None] for field in fields[..., place])
        bets = bench.bets[:, None, :] * (pi_min / stratum.pi)
        sizes, first, second, largest = n, total, squares, np.ones_like(n)
        if design.session > 1:
            sizes, first, second = n2, ny, y2
            largest = np.sqrt(np.maximum(1.0, n2 - (clusters - 1)))
            steep = largest * np.maximum(bets * (1.0 - bases), -bets * bases)
            bets = bets * np.minimum(1.0, change.LARGEST / np.maximum(steep, 1e-300))
        at_zero, at_one = bets * bases, bets * (bases - 1.0)
        if design.session == 1 and design.scale.binary:
            # The chord is exact of yes and no, so that the other bound is never above it.
            bound = (n - total) * np.log1p(at_zero) + total * np.log1p(at_one)
        else:
            c = -largest * np.minimum(at_zero, at_one)
            curved = (-np.log1p(-c) - c) / np.maximum(c, 1e-12) ** 2
            curvature = np.where(c < 1e-4, 0.5 + c / 3.0, curved)
            spread = bets**2 * np.maximum(0.0, sizes * bases**2 - 2.0 * bases * first + second)
            bound = bets * (n * bases - total) - curvature * spread
            if design.session == 1:
                bound = np.maximum(bound, (n - total) * np.log1p(at_zero) + total * np.log1p(at_one))
        total_growth += np.where(n > 0, bound, 0.0)
    return total_growth


def levels_after(bench: Bench, grown: Floats, scored: NDArray[np.bool_]) -> Floats:
    """Return log M of each bet before the first minute and after each, ``[run, 1 + minute, bet]``.

    M ← L·(M + 1) in a minute with scores, and stays as it is in others. ``grown`` is log L, 0 without scores.
    """
    path = np.concatenate([np.zeros((len(grown), 1, grown.shape[2])), np.cumsum(grown, axis=1)], axis=1)
    terms = np.where(scored[..., None], -path[:, :-1], -np.inf)
    summed = np.logaddexp.accumulate(np.concatenate([bench.levels[:, None, :], terms], axis=1), axis=1)
    return np.where(bench.bets[:, None, :] == 0.0, -np.inf, path + summed)


class Watch:
    """A change rule on the minutes of some runs, from minute ``begin`` on; those before are its baseline and window.

    ``alerts`` is how many share the rule's budget.
    """

    def __init__(self, rule: Rule, design: Design, sums: Sums, alerts: int = 1) -> None:
        """Take the minutes of all runs."""
        self.rule, self.design, self.sums, self.alerts, self.judged = rule, design, sums, alerts, 0
        self.width = int(rule.window_seconds // 60)
        self.begin = round(change_of(rule).baseline_seconds / 60) + self.width
        self.sights = [Sight(design, sums, run) for run in range(sums.fields.shape[1])]

    def next_baseline(self, minute: int) -> int:
        """Return the first minute after this one whose look has another baseline."""
        held, at = self._past(minute), 60 * ((minute + 1 - self.width) // 60 + 1) + self.width - 1
        while self._past(at) == held:
            at += 60
        return at

    def _past(self, minute: int) -> Window:
        """Return the time before the window of the look that sees a minute first."""
        window = window_at(self.rule, group_of(self.rule), START + (minute + 1) * MINUTE)
        return baseline_at(change_of(self.rule), window)

    def rebased(self, run: int, minute: int, state: AlertState) -> AlertState:
        """Return the state on the baseline that holds from a minute on."""
        baseline = self.sights[run].baseline(self._past(minute), baseline_confidence_of(self.alerts))
        held = change.rebase(_detector(state), baseline, margin=change_of(self.rule).margin)
        return _seen(state, held, minute)

    def look(self, run: int, minute: int, state: AlertState) -> AlertState:
        """Return the state after the look that sees a minute first, by the ruler's code."""
        self.judged += 1
        return look(self.rule, self.sights[run], minute + 1, state, alerts=self.alerts)


def page_minutes(watch: Watch) -> list[list[int]]:
    """Return the minute that made a change rule page, by run."""
    runs, minutes = watch.sums.fields.shape[1], watch.sums.fields.shape[2] - 1
    begun = Begun([AlertState(fingerprint="", labels={})] * runs, [watch.begin] * runs, [[] for _ in range(runs)])
    for run in range(runs):
        # The first look starts the detector.
        _episode(watch, begun, run, watch.begin)
    first = watch.begin
    while first < minutes:
        last = min(minutes, watch.next_baseline(first))
        # Most are at one minute, and step together; the rest are those whose alert ended among these minutes.
        while at_work := [run for run in range(runs) if begun.free[run] < last]:
            start = min(begun.free[run] for run in at_work)
            _stretch(watch, begun, [run for run in at_work if begun.free[run] == start], start, last)
        first = last
    return begun.pages


class Begun(NamedTuple):
    """How far each run was followed: its state before the minute ``free``, and the minutes that made it page."""

    states: list[AlertState]
    free: list[int]
    pages: list[list[int]]


def _stretch(watch: Watch, begun: Begun, runs: list[int], first: int, last: int) -> None:
    """Step some runs through minutes of one baseline; those that alarm are looked at until their alert is over."""
    for run in runs:
        begun.states[run] = watch.rebased(run, first, begun.states[run])
    fields = np.diff(watch.sums.fields[:, runs, first : last + 1], axis=2)
    bench = Bench.of([_detector(begun.states[run]) for run in runs])
    levels = levels_after(bench, growth(bench, watch.design, fields), fields[0].sum(axis=2) > 0)
    sums = np.logaddexp.reduce(levels, axis=2)
    for place, run in enumerate(runs):
        held = _detector(begun.states[run])
        bar = math.log(watch.rule.false_alarms.looks(60.0, watch.alerts) * len(held.bets))
        over = np.flatnonzero(sums[place, 1:] >= bar)
        upto = int(over[0]) if over.size else last - first
        found = msgspec.structs.replace(held, levels=tuple(levels[place, upto, : len(held.bets)].tolist()))
        begun.states[run], begun.free[run] = _seen(begun.states[run], found, first + upto), first + upto
        if over.size:
            _episode(watch, begun, run, first + upto)
            if first + upto not in begun.pages[run]:
                raise AssertionError("judge_change found no alarm where the sums have one")


def _episode(watch: Watch, begun: Begun, run: int, minute: int) -> None:
    """Look at a run from this minute on, until no alert is up and its detector has begun."""
    state = begun.states[run]
    while minute < watch.sums.fields.shape[2] - 1:
        after = watch.look(run, minute, state)
        told, state = transition(state, after), after
        if told is not None and told.after == "firing":
            begun.pages[run].append(minute)
        minute += 1
        if _quiet(state):
            break
    begun.states[run], begun.free[run] = state, minute


def _quiet(state: AlertState) -> bool:
    """Return whether an alert is over, and its detector has begun anew."""
    if state.phase in ("pending", "firing") or state.detector is None:
        return False
    return bool(state.detector.state.bets) and state.detector.state.alarm_n is None


def _detector(state: AlertState) -> change.ChangeState:
    if state.detector is None:
        raise TypeError("Expected an alert with a detector")
    return state.detector.state


def _seen(state: AlertState, held: change.ChangeState, minute: int) -> AlertState:
    """Return the state with a detector that has seen all before a minute."""
    if state.detector is None:
        raise TypeError("Expected an alert with a detector")
    detector = msgspec.structs.replace(state.detector, state=held, until=START + minute * MINUTE)
    return msgspec.structs.replace(state, detector=detector)
