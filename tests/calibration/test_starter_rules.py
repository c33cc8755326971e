"""The starter rules' benchmark leaves out no look that could be bad, and their budgets are kept on the limit."""

from __future__ import annotations

import math
from datetime import timedelta

import numpy as np
import pytest
from msgspec.structs import replace

from benchmark_scripts import load_benchmark
from evalsvc.protocols import CellQuery
from evalsvc.rules.machine import AlertState
from evalsvc.rules.values import Absence, Budget, Threshold
from evalsvc.sampling import stratum_label
from evalsvc.store.memory import MemoryStore
from evalsvc.types import Cell, LedgerCount, LedgerEntry, Score, ScorerSpec, Subject, Window, WriteBatch

pytestmark = pytest.mark.slow
starter = load_benchmark("alert_starter")
traffic = load_benchmark("_alert_traffic")
NOISY = Budget(1.0, 7200.0)
"""So many false alarms that a short run has some: 1 in 2 hours."""


def every_look(group, rule, design, sums) -> int:
    """Return the pages of a rule that is looked at each time."""
    every, delay, width = (
        int(seconds // 60) for seconds in (group.interval_seconds, group.delay_seconds, rule.window_seconds)
    )
    store = starter.DrawnStore(rule.metric, traffic.Sight(design, sums, 0))
    state, pages = AlertState(fingerprint="", labels={}), 0
    first = -(-(width + delay) // every) * every
    for end in range(first, sums.offered.shape[1], every):
        after = starter.looked(group, rule, store, end, state)
        pages += after.phase == "firing" and state.phase != "firing"
        state = after
    return pages


def traffic_of(alert: str, name: str):
    return next(one for one in starter.TRAFFIC if one.alert == alert and name in one.name)


@pytest.mark.parametrize(
    ("alert", "name", "days"),
    [
        ("NoEvents", "12", 10),
        ("NoScores", "12", 10),
        ("ScorerFails", "40", 10),
        ("PersonalDataInAnswers", "on the limit", 3),
        ("LatencyP95", "on the limit", 3),
        ("RefusalObjective", "on the limit", 20),
        ("CostPerDay", "on the limit", 80),
        ("CanaryWorse", "on the limit", 20),
        ("PlansGetUnequalAnswers", "0.03, 0.03", 10),
    ],
)
def test_pages_are_those_of_every_look(alert: str, name: str, days: int) -> None:
    group, rule = starter.shipped()[alert]
    rule = replace(rule, false_alarms=NOISY, for_seconds=0.0, keep_firing_seconds=600.0)
    design = traffic_of(alert, name).design
    if isinstance(rule.condition, Absence):
        # A thinner one, or there would be no alarm in so few days.
        design = starter.thin(4 if "No" in alert else 40, rule.window_seconds / 3600, 0.15 if design.missing else 0.0)
    minutes = days * traffic.DAY + 1500
    sums = traffic.summed(traffic.draw(np.random.default_rng(4), design, design.mean, 1, minutes))
    count = starter._looked(group, rule, design, sums)
    assert count.pages == every_look(group, rule, design, sums)
    assert count.pages >= 1


@pytest.mark.parametrize(("alert", "mean"), [("CostPerDay", 50.0), ("PlansGetUnequalAnswers", 0.2)])
def test_a_store_of_drawn_sums_answers_as_one_that_has_the_single_scores(alert: str, mean: float) -> None:
    group, rule = starter.shipped()[alert]
    rule = replace(rule, window_seconds=3600.0 * 3)
    design = traffic_of(alert, "on the limit").design
    sums = traffic.summed(traffic.draw(np.random.default_rng(8), design, mean, 1, 400))
    sight, fresh = traffic.Sight(design, sums, 0), AlertState(fingerprint="", labels={})
    stores = starter.DrawnStore(rule.metric, sight), written_out(rule.metric, sight)
    now = traffic.START + 400 * traffic.MINUTE
    ours, theirs = (starter.watched(group, rule, store, now, fresh).evidence for store in stores)
    assert ours.verdict == theirs.verdict
    assert ours.estimate.n == theirs.estimate.n > 300
    for name in ("value", "low", "high", "n_effective"):
        assert getattr(ours.estimate, name) == pytest.approx(getattr(theirs.estimate, name))


def written_out(metric: str, sight) -> MemoryStore:
    """Return a store with single scores of the same sums by minute and plan, and what was offered."""
    store = MemoryStore()
    store.record_scorers([ScorerSpec(metric, 1, sight.scale)])
    scores, counts = [], []
    for minute in range(sight.sums.offered.shape[1] - 1):
        moment = traffic.START + minute * traffic.MINUTE
        offered = np.diff(sight.sums.offered[0, minute : minute + 2], axis=0)[0]
        cells = {cell.stratum: cell for cell in sight.sums.cells(sight.design, 0, minute, minute + 1)}
        for place, stratum in enumerate(sight.design.strata):
            name, values = starter.plan(place), values_of(cells.get(str(place)))
            label = stratum_label(("application", "segments.plan"), ("support", name))
            at = int(moment.timestamp()) // 60
            counts.append(LedgerCount(at, label, 1, "sampled", len(values)))
            counts.append(LedgerCount(at, label, 1, "skipped", int(offered[place]) - len(values)))
            for number, value in enumerate(values):
                event = f"{minute}-{place}-{number}"
                subject = Subject(event, moment, "quality", "support", "m", "1", {"plan": name}, "", label, 1)
                scores.append(Score(subject, metric, 1, "", stratum.pi, "ok", value, ""))
    store.write(WriteBatch(scores=tuple(scores), ledger=(LedgerEntry("quality", "p", 0, 1, tuple(counts)),)))
    return store


def values_of(cell: Cell | None) -> list[float]:
    """Return numbers of a cell's count, sum and sum of squares: one is above their mean, the others alike."""
    if cell is None:
        return []
    mean, spread = cell.total / cell.n, max(0.0, cell.squares - cell.total**2 / cell.n)
    if cell.n == 1 or cell.total == cell.squares:
        return [1.0] * int(cell.total) + [0.0] * (cell.n - int(cell.total)) if cell.total == cell.squares else [mean]
    step = math.sqrt(spread / (cell.n * (cell.n - 1)))
    return [mean + step * (cell.n - 1), *[mean - step] * (cell.n - 1)]


def test_days_of_lengths_are_those_that_were_drawn() -> None:
    """What the store counts by bin has the mean and the number of the values, and a look reads seven days and one."""
    group, rule = starter.shipped()["AnswersDrifted"]
    design = traffic_of("AnswersDrifted", "7,500").design
    store = starter.drawn_days(rule.metric, design, 9, np.random.default_rng(2))
    day = timedelta(days=1)
    held = store.histograms(CellQuery(rule.metric, Window(traffic.START, traffic.START + 8 * day), 8 * 86_400))[0]
    drawn = sum(stratum.sampled for stratum in design.strata) * traffic.DAY * 8
    assert sum(sum(bins.values()) for bins in held.bins.values()) == pytest.approx(drawn, rel=0.02)
    for cell in held.group.cells:
        assert cell.total / cell.n == pytest.approx(math.exp(starter.LENGTH + starter.LENGTHS**2 / 2.0), rel=0.05)
    after = starter.watched(
        group, rule, store, traffic.START + 8 * day + timedelta(hours=1), AlertState(fingerprint="", labels={})
    )
    assert after.evidence.verdict == "good"
    assert after.evidence.window == Window(traffic.START + 7 * day, traffic.START + 8 * day)
    assert after.evidence.estimate.n == sum(int(count) for count in np.diff(store._path[7:9].sum(axis=(1, 2))))


@pytest.mark.parametrize("alert", ["PersonalDataInAnswers", "LatencyP95"])
def test_on_the_limit_a_paging_rule_keeps_its_budget(alert: str) -> None:
    group, rule = starter.shipped()[alert]
    quiet = next(one for one in starter.TRAFFIC if one.alert == alert and "on the limit" in one.name)
    assert isinstance(rule.condition, Threshold)
    assert rule.condition.limit == quiet.design.mean
    count = starter.alarms(group, rule, quiet, 300)
    assert count.rate[1] <= 30 * 86_400.0 * rule.false_alarms.count / rule.false_alarms.seconds
