"""Alert rules keep their budget on quiet days, and what one would write first does not; a fall pages within minutes."""

from datetime import timedelta

import msgspec
import numpy as np
import pytest

from benchmark_scripts import load_benchmark
from evalsvc.ruler.replay import Alert
from evalsvc.ruler.timeline import Pool, Timeline
from evalsvc.rules.machine import transition
from evalsvc.rules.values import Budget

pytestmark = pytest.mark.slow
quiet = load_benchmark("alert_calibration")
traffic = load_benchmark("_alert_traffic")
NOISY = Budget(1.0, 7200.0)
"""So many false alarms that a short run has some: 1 in 2 hours."""


def made(design, days, seed=3, history=0):
    rng = np.random.default_rng(seed)
    return traffic.summed(traffic.draw(rng, design, design.mean, 1, history + round(days * traffic.DAY)))


def timeline(design, sums) -> Timeline:
    """Return the minutes as the ruler has them from the store."""
    pools = {}
    for minute in range(sums.fields.shape[2] - 1):
        cells = sums.cells(design, 0, minute, minute + 1)
        if cells:
            offered = sums.offered[0, minute + 1] - sums.offered[0, minute]
            known = {(str(place), 1): int(count) for place, count in enumerate(offered)}
            rates = {(str(place), 1): stratum.pi for place, stratum in enumerate(design.strata)}
            pools[traffic.START + minute * traffic.MINUTE] = Pool(cells, known, rates, {})
    sight = traffic.Sight(design, sums, 0)
    return Timeline("support", {}, "v1", design.scale, timedelta(minutes=1), pools, sight.pi_min)


def pages_of_the_ruler(rule, design, sums, first, *, delay=0) -> int:
    """Look at every minute from the one that ends at ``first``, as a replay of a store's history does."""
    alert = Alert(rule, traffic.group_of(rule, delay), [timeline(design, sums)], 1)
    state, pages = alert.start, 0
    for minute in range(first, sums.fields.shape[2]):
        after = alert.look(state, traffic.START + minute * traffic.MINUTE)
        told, state = transition(state, after), after
        pages += told is not None and told.after == "firing"
    return pages


def noisy(rule):
    return msgspec.structs.replace(rule, false_alarms=NOISY)


@pytest.mark.parametrize("number", [1, 4, 6, 9, 10])
def test_the_threshold_s_pages_are_those_of_the_ruler_at_every_minute(number) -> None:
    design, limit = quiet.threshold_designs()[number]
    sums, rule = made(design, 1.0), noisy(traffic.threshold_rule(limit))
    count = quiet.threshold_pages(rule, design, sums)
    assert count.pages == pages_of_the_ruler(rule, design, sums, 10)
    assert count.pages >= 1
    assert count.judged < 700


@pytest.mark.parametrize("number", [5, 9, 10, 12, 13])
def test_the_change_s_pages_are_those_of_the_ruler_at_every_minute(number) -> None:
    design, direction = quiet.change_designs()[number]
    sums, rule = made(design, 1.0, history=traffic.WEEK), noisy(traffic.change_rule(0.0, direction))
    count = quiet.change_pages(rule, design, sums)
    assert count.pages == pages_of_the_ruler(rule, design, sums, traffic.WEEK + 11)
    assert count.judged < 1_300
