"""The starter rules' benchmark leaves out no look that could be bad, and their budgets are kept on the limit."""

from __future__ import annotations

import numpy as np
import pytest
from msgspec.structs import replace

from benchmark_scripts import load_benchmark
from evalsvc.rules.machine import AlertState
from evalsvc.rules.values import Budget, Threshold

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
    state, pages = AlertState(fingerprint="", labels={}), 0
    sight = traffic.Sight(design, sums, 0)
    first = -(-(width + 60 + delay) // every) * every
    for end in range(first, sums.offered.shape[1], every):
        after = starter._step(group, rule, sight, end, state)
        pages += after.phase == "firing" and state.phase != "firing"
        state = after
    return pages


@pytest.mark.parametrize("alert", ["PersonalDataInAnswers", "LatencyP95", "RefusalObjective"])
def test_pages_are_those_of_every_look(alert: str) -> None:
    group, rule = starter.shipped()[alert]
    rule = replace(rule, false_alarms=NOISY, for_seconds=0.0, keep_firing_seconds=600.0)
    quiet = next(one for one in starter.TRAFFIC if one.alert == alert and "on the limit" in one.name)
    days = 20 if alert == "RefusalObjective" else 3
    sums = traffic.summed(
        traffic.draw(np.random.default_rng(4), quiet.design, quiet.design.mean, 1, days * traffic.DAY + 1500)
    )
    count = starter._looked(group, rule, quiet.design, sums)
    assert count.pages == every_look(group, rule, quiet.design, sums)
    assert count.pages >= 1


@pytest.mark.parametrize("alert", ["PersonalDataInAnswers", "LatencyP95"])
def test_on_the_limit_a_paging_rule_keeps_its_budget(alert: str) -> None:
    group, rule = starter.shipped()[alert]
    quiet = next(one for one in starter.TRAFFIC if one.alert == alert and "on the limit" in one.name)
    assert isinstance(rule.condition, Threshold)
    assert rule.condition.limit == quiet.design.mean
    count = starter.alarms(group, rule, quiet, 300)
    assert count.rate[1] <= 30 * 86_400.0 * rule.false_alarms.count / rule.false_alarms.seconds
