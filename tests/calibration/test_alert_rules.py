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
watching = load_benchmark("_change_watch")
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


def pages_of_the_ruler(rule, design, sums, first, alerts=1) -> list[int]:
    """Look at every minute from the one that ends at ``first``, as a replay of a store's history does.

    The minutes that made it page are numbered from the first one on.
    """
    alert = Alert(rule, traffic.group_of(rule), [timeline(design, sums)], alerts)
    state, pages = alert.start, []
    for minute in range(first, sums.fields.shape[2]):
        after = alert.look(state, traffic.START + minute * traffic.MINUTE)
        told, state = transition(state, after), after
        if told is not None and told.after == "firing":
            pages.append(minute - 1)
    return pages


def noisy(rule):
    return msgspec.structs.replace(rule, false_alarms=NOISY)


@pytest.mark.parametrize("number", [1, 4, 6, 9, 10])
def test_the_threshold_s_pages_are_those_of_the_ruler_at_every_minute(number) -> None:
    design, limit = quiet.threshold_designs()[number]
    sums, rule = made(design, 1.0), noisy(traffic.threshold_rule(limit))
    count = quiet.threshold_pages(rule, design, sums)
    assert count.pages == len(pages_of_the_ruler(rule, design, sums, 10))
    assert count.pages >= 1
    assert count.judged < 700


@pytest.mark.parametrize(
    ("number", "direction", "below", "window"),
    [
        (5, "fell", 0.005, 10),
        (9, "fell", 0.005, 10),
        (10, "rose", -0.01, 10),
        (12, "fell", 0.005, 180),
        (13, "either", 0.01, 10),
    ],
)
def test_the_change_s_pages_are_those_of_the_ruler_at_every_minute(number, direction, below, window) -> None:
    """The mean lies a little below that of the history, so that detectors alarm, over and over."""
    design = quiet.change_designs()[number][0]
    rng = np.random.default_rng(3)
    mean = np.full(traffic.WEEK + traffic.DAY // 2 + window, design.mean)
    mean[traffic.WEEK :] -= below
    sums = traffic.summed(traffic.draw(rng, design, mean, 2, len(mean)))
    rule = noisy(traffic.change_rule(0.0, direction, window))
    for run in range(2):
        alone = traffic.Sums(sums.offered[run : run + 1], sums.fields[:, run : run + 1])
        held = watching.Watch(rule, design, alone)
        assert watching.page_minutes(held)[0] == pages_of_the_ruler(rule, design, alone, held.begin + 1)
    both = watching.Watch(rule, design, sums)
    pages = watching.page_minutes(both)
    assert pages[1] == watching.page_minutes(held)[0]
    assert sum(map(len, pages)) >= 1
    assert both.judged < traffic.DAY


def test_alerts_that_share_a_budget_page_as_the_ruler_s_do() -> None:
    design, limit = quiet.threshold_designs()[1]
    sums, rule = made(design, 1.0), noisy(traffic.threshold_rule(limit))
    counts = [quiet.threshold_pages(rule, design, sums, alerts).pages for alerts in (1, 3)]
    assert counts[1] == len(pages_of_the_ruler(rule, design, sums, 10, 3))
    assert counts[0] > counts[1] >= 1
    mean = np.full(traffic.WEEK + traffic.DAY, design.mean)
    mean[traffic.WEEK :] -= 0.03
    fallen = traffic.summed(traffic.draw(np.random.default_rng(5), design, mean, 1, len(mean)))
    watch = watching.Watch(noisy(traffic.change_rule()), design, fallen, 3)
    pages = watching.page_minutes(watch)[0]
    assert pages == pages_of_the_ruler(watch.rule, design, fallen, watch.begin + 1, 3)
    assert pages


def together(counts):
    total = traffic.Count(0, 0.0, 0)
    for count in counts:
        total = total.plus(count)
    return total


def test_quiet_days_page_within_the_budget_where_plain_limits_page_hundreds_of_times() -> None:
    """Two standard errors of the pages that the budget lets through are let pass."""
    designs = quiet.threshold_designs()
    held = together(quiet.quiet(designs[n][0], traffic.threshold_rule(designs[n][1]), 60, 5) for n in (0, 4, 6, 8, 10))
    due = held.days / 30
    assert due > 9
    assert 0 < held.pages <= due + 2 * due**0.5
    for z in (0.0, 1.96):
        assert quiet.naive(designs[0][0], 0.90, 10, z).rate[1] > 100


def test_a_change_rule_keeps_its_budget_over_quiet_days() -> None:
    designs = [quiet.change_designs()[n] for n in (5, 12)]
    held = together(quiet.quiet(design, traffic.change_rule(0.0, side), 45, 7) for design, side in designs)
    due = held.days / 30
    assert due > 2.9
    assert held.pages <= due + 2 * due**0.5


def test_ten_points_page_within_five_minutes_and_later_by_a_threshold_in_a_long_window_or_with_for() -> None:
    delay = load_benchmark("alert_delay")
    fallen = delay.fall(delay.DESIGNS[0], 0.80, 24, 9)
    change = delay.our_delays(traffic.change_rule(), fallen)
    assert change.minutes.size >= 22
    assert change.within(5.0) >= 0.95
    assert delay.our_delays(traffic.threshold_rule(0.875), fallen).quantile(0.5) > 5.0
    assert delay.our_delays(traffic.threshold_rule(0.875, 5), fallen, 1).within(5.0) >= 0.95
    lasting = delay.OTHERS[-1]
    # The quiet mean is .90: a lower limit would come later still.
    assert delay.tuned_delays(lasting.statistic(delay.DESIGNS[0], fallen.sums), 0.895, fallen).quantile(0.5) > 10.0


def test_bad_looks_within_ten_minutes_are_one_page() -> None:
    bad = np.zeros((2, 40), dtype=bool)
    bad[0, [3, 5, 20]] = bad[1, [0, 10, 21]] = True
    assert traffic.episodes(bad) == 2 + 2


def test_the_series_peers_are_river_s_and_points_are_matched_once() -> None:
    river = pytest.importorskip("river.drift")
    series = load_benchmark("alert_series")
    rng = np.random.default_rng(2)
    y = np.concatenate([rng.beta(8, 2, 150), rng.beta(3, 3, 150), np.round(rng.random(120), 1)])
    one = series.Series("s", y, 60, ())
    detector, found = river.KSWIN(alpha=0.001, seed=1), []
    for at, value in enumerate(y.tolist()):
        detector.update(value)
        if detector.drift_detected:
            found.append(at)
    assert found
    assert series.kswin_alarms(one, 0.001) == found
    assert series.matched([0, 10, 14], [12, 40]) == 1
    # Of {0, 50} both are found, of annotators with {0, 50} and {0} the mean is 1; one of three is nobody's.
    points = series.Annotated("s", y, 10, ((50,), ()))
    assert series.f1_of(points, [54, 90]) == pytest.approx((2 / 3, 1.0, 0.8))
