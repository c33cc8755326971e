"""From estimates to verdicts, for the kinds beside threshold and change: hand-made estimates, one verdict each."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest
from msgspec.structs import replace

from evalsvc.errors import InputError
from evalsvc.rules import Absence, Budget, BurnRate, Cost, Drift, FairnessGap, Rule, Versions
from evalsvc.rules.judging_kinds import (
    Counted,
    Extremes,
    Part,
    failing,
    judge_absence,
    judge_burn_rate,
    judge_cost,
    judge_drift,
    judge_fairness_gap,
    judge_share,
    judge_versions,
    versions_level,
)
from evalsvc.rules.values import limit_of
from evalsvc.stats import Comparison
from evalsvc.types import Estimate, Scale, Window

END = datetime(2026, 3, 2, 12, tzinfo=UTC)
BINARY = Scale(0.0, 1.0, "higher", binary=True)


def rule(condition, **options) -> Rule:
    return Rule(alert="A", metric="faithful", condition=condition, **{"window_seconds": 3600.0, **options})


def estimate(value, low, high, minutes=60, n=500, effective=400.0, reason="") -> Estimate:
    window = Window(END - timedelta(minutes=minutes), END)
    return Estimate(value, low, high, n, effective, 0, 0.0, window, confidence=0.999, reason=reason)


BURNS = BurnRate(0.9, 2.0, 300.0, "higher")


@pytest.mark.parametrize(
    ("long", "short", "expected"),
    [
        # 20 % may fail: both windows' means have to lie below .8 as a whole.
        ((0.7, 0.6, 0.79), (0.6, 0.5, 0.79), "bad"),
        ((0.7, 0.6, 0.79), (0.6, 0.5, 0.80), "unclear"),
        ((0.7, 0.6, 0.80), (0.6, 0.5, 0.70), "unclear"),
        ((0.7, 0.6, 0.79), (0.80, 0.7, 0.9), "good"),
        ((0.9, 0.85, 0.95), (0.79, 0.7, 0.9), "unclear"),
        ((0.9, 0.85, 0.95), (0.95, 0.9, 1.0), "good"),
    ],
)
def test_a_burn_rate_is_passed_by_both_intervals_and_left_by_the_short_windows_point(long, short, expected) -> None:
    seen = judge_burn_rate(rule(BURNS), BURNS, estimate(*long), estimate(*short, minutes=5), BINARY)
    assert seen.verdict == expected
    assert seen.estimate is not None
    assert seen.estimate.value == pytest.approx(1.0 - long[0])
    assert seen.estimate.low == pytest.approx(1.0 - long[2])


def test_a_burn_rate_says_both_windows_and_what_they_are_held_against() -> None:
    seen = judge_burn_rate(rule(BURNS), BURNS, estimate(0.7, 0.6, 0.75), estimate(0.6, 0.5, 0.7, minutes=5), BINARY)
    assert seen.reason == (
        "failing share 0.3 (0.25 … 0.4) in 1h and 0.4 (0.3 … 0.5) in 5m, held against 0.2: "
        "2 times the 0.1 that the objective allows"
    )
    assert limit_of(BURNS) == pytest.approx(0.2)


@pytest.mark.parametrize(
    ("long", "short", "reason"),
    [
        (estimate(None, None, None, n=0, effective=0.0), estimate(0.5, 0.4, 0.6), "no score in the window"),
        (estimate(0.5, 0.4, 0.6), estimate(None, None, None, 5, 0, 0.0), "in the last 5m: no score in the window"),
        (
            estimate(0.5, 0.4, 0.6),
            estimate(0.5, 0.4, 0.6, 5, 12, 12.0),
            "in the last 5m: effective n is 12, and the rule needs 30",
        ),
        (estimate(0.5, None, None, reason="all scores are equal"), estimate(0.5, 0.4, 0.6), "all scores are equal"),
    ],
)
def test_a_burn_rate_of_too_little_is_no_data(long, short, reason) -> None:
    seen = judge_burn_rate(rule(BURNS), BURNS, long, short, BINARY)
    assert (seen.verdict, seen.reason) == ("no_data", reason)


def test_what_fails_is_the_worse_answer_or_the_distance_from_the_better_end() -> None:
    up, down = (failing(estimate(0.9, 0.8, 0.95), BINARY, end) for end in ("higher", "lower"))
    assert (up.value, up.low, up.high) == pytest.approx((0.1, 0.05, 0.2))
    assert (down.value, down.low, down.high) == pytest.approx((0.9, 0.8, 0.95))
    stars = failing(estimate(4.6, 4.5, 4.8), Scale(1.0, 5.0, "higher"), "higher")
    assert (stars.value, stars.low, stars.high) == pytest.approx((0.1, 0.05, 0.125))
    with pytest.raises(InputError, match="a metric whose scale has both ends"):
        failing(estimate(0.5, 0.4, 0.6), Scale(0.0, None, "lower"), "lower")


SIDES = {"model_version": ("v2",)}, {"model_version": ("v1",)}


def difference(value, low, high, reason="") -> Comparison:
    return Comparison(
        difference=value,
        low=low,
        high=high,
        p_value=None,
        test="",
        verdict="inconclusive",
        asked="superiority",
        margin=0.0,
        level=0.001,
        confidence=0.999,
        method="",
        reason=reason,
    )


@pytest.mark.parametrize(
    ("direction", "margin", "found", "expected"),
    [
        ("fell", 0.02, (-0.1, -0.15, -0.03), "bad"),
        ("fell", 0.02, (-0.1, -0.15, -0.02), "unclear"),
        ("fell", 0.02, (-0.02, -0.15, 0.1), "good"),
        ("fell", 0.02, (0.3, 0.2, 0.4), "good"),
        ("rose", 0.02, (0.3, 0.2, 0.4), "bad"),
        ("rose", 0.02, (-0.1, -0.15, -0.03), "good"),
        ("either", 0.0, (0.3, 0.2, 0.4), "bad"),
        ("either", 0.0, (-0.3, -0.4, -0.2), "bad"),
        ("either", 0.1, (-0.3, -0.6, -0.1), "unclear"),
        # On an open scale one end may be missing; the other decides.
        ("rose", 5.0, (30.0, 20.0, None), "bad"),
        ("fell", 5.0, (-30.0, -40.0, None), "unclear"),
        ("rose", 5.0, (30.0, None, 40.0), "unclear"),
    ],
)
def test_versions_differ_by_the_whole_interval_of_their_difference(direction, margin, found, expected) -> None:
    condition = Versions(*SIDES, direction, margin)
    canary, stable = estimate(0.7, 0.6, 0.8), estimate(0.75, 0.7, 0.8)
    # The two intervals overlap, which says nothing about the difference.
    seen = judge_versions(rule(condition), condition, canary, stable, difference(*found))
    assert (seen.verdict, seen.estimate, seen.baseline) == (expected, canary, stable)
    assert limit_of(condition) is None


def test_versions_need_enough_on_both_sides_and_a_difference() -> None:
    condition = Versions(*SIDES, "fell", 0.0)
    enough, few = estimate(0.7, 0.6, 0.8), estimate(0.7, 0.6, 0.8, n=12, effective=12.0)
    reasons = [
        judge_versions(rule(condition), condition, *sides, difference(-0.5, -0.6, -0.4)).reason
        for sides in ((few, enough), (enough, few))
    ]
    assert reasons == [f"{side}: effective n is 12, and the rule needs 30" for side in ("canary", "stable")]
    seen = judge_versions(rule(condition), condition, enough, enough, difference(-0.5, None, None, "all are equal"))
    assert (seen.verdict, seen.reason) == ("no_data", "all are equal")
    seen = judge_versions(rule(condition), condition, enough, enough, difference(-0.51234, -0.6, -0.4))
    assert seen.reason == "canary - stable is -0.5123 (-0.6 … -0.4), held against 0"


def test_a_comparison_spends_the_budget_on_the_sides_that_are_watched() -> None:
    one, both = Versions(*SIDES, "fell", 0.0), Versions(*SIDES, "either", 0.0)
    budget = {"false_alarms": Budget(1.0, 30 * 86_400.0)}
    assert versions_level(rule(one, **budget), one, 60.0, 10) == pytest.approx(2 / 432_000)
    assert versions_level(rule(both, **budget), both, 60.0, 10) == pytest.approx(1 / 432_000)


@pytest.mark.parametrize(
    ("found", "expected"),
    [
        ((0.3, 0.11, 0.4), "bad"),
        ((0.3, 0.10, 0.4), "unclear"),
        ((0.1, 0.0, 0.2), "good"),
        ((0.3, 0.11, None), "bad"),
    ],
)
def test_a_gap_is_beyond_by_its_joint_interval_and_back_by_its_point(found, expected) -> None:
    condition = FairnessGap("segments.language", 0.1)
    seen = judge_fairness_gap(condition, estimate(*found), Extremes("en", 0.9, "de", 0.55, 5))
    assert seen.verdict == expected
    assert limit_of(condition) == 0.1


def test_a_gap_names_its_groups_and_without_two_there_is_none() -> None:
    condition = FairnessGap("segments.language", 0.1)
    seen = judge_fairness_gap(condition, estimate(0.3, 0.11, 0.4), Extremes("en", 0.9, "de", 0.55, 5))
    assert seen.reason == (
        "0.9 in en and 0.55 in de are 0.3 (0.11 … 0.4) apart, held against 0.1; "
        "the interval holds for all pairs of 5 groups"
    )
    seen = judge_fairness_gap(condition, estimate(None, None, None, reason="one group"), None)
    assert (seen.verdict, seen.reason) == ("no_data", "one group")


@pytest.mark.parametrize(
    ("total", "verdict", "reason"),
    [
        (
            estimate(12.0, 12.0, 12.0, n=3, effective=3.0),
            "bad",
            "12 USD in 1h, 288 a day at that rate, held against 10",
        ),
        (
            estimate(10.0, 10.0, 10.0, n=3, effective=3.0),
            "good",
            "10 USD in 1h, 240 a day at that rate, held against 10",
        ),
        (estimate(12.0, 10.5, 14.0), "bad", "12 (10.5 … 14) USD in 1h, 288 a day at that rate, held against 10"),
        (estimate(12.0, 9.5, 14.0), "unclear", "12 (9.5 … 14) USD in 1h, 288 a day at that rate, held against 10"),
        (estimate(12.0, 11.0, None), "bad", "12 (at least 11) USD in 1h, 288 a day at that rate, held against 10"),
        (estimate(12.0, 11.0, 13.0, n=9, effective=9.0), "no_data", "effective n is 9, and the rule needs 30"),
        (estimate(None, None, None, n=0, effective=0.0), "no_data", "no score in the window"),
    ],
)
def test_a_cost_is_beyond_by_its_interval_and_exact_sums_need_no_least_n(total, verdict, reason) -> None:
    condition = Cost("metric", 10.0)
    seen = judge_cost(rule(condition), condition, total, "USD")
    assert (seen.verdict, seen.reason) == (verdict, reason)
    assert limit_of(condition) == 10.0


def part(effect, p, minimum=0.1, watched="values", effective=400.0, reason="") -> Part:
    found = estimate(effect, None if effect is None else effect / 2, None if effect is None else effect * 2)
    return Part(watched, "mean 0.8 → 0.6", replace(found, n_effective=effective), p, minimum, reason)


@pytest.mark.parametrize(
    ("parts", "expected"),
    [
        ([part(0.2, 0.0005)], "bad"),
        # Two parts halve what each may spend.
        ([part(0.2, 0.0006), part(0.0, 0.9)], "unclear"),
        ([part(0.2, 0.0005), part(0.0, 0.9)], "bad"),
        ([part(0.2, 0.5)], "unclear"),
        ([part(0.09, 1e-9)], "good"),
        # Too little to decide counts for nothing, and spends nothing.
        ([part(0.2, 0.0009), part(0.9, 1e-9, effective=29.0), part(None, None)], "bad"),
        ([part(0.9, 1e-9, effective=29.0)], "no_data"),
        ([], "no_data"),
    ],
)
def test_drift_matters_and_stands_among_its_parts(parts, expected) -> None:
    condition = Drift(7 * 86_400.0)
    assert judge_drift(rule(condition), parts, HOUR, 0.001).verdict == expected
    assert limit_of(condition) is None


def test_drift_says_what_moved_most_first_and_why_it_cannot_say() -> None:
    condition = Drift(7 * 86_400.0)
    parts = [part(0.2, 1e-4), part(0.3, 1e-5, 0.1, "missing"), part(0.01, 0.9, watched="topics")]
    seen = judge_drift(rule(condition), parts, HOUR, 0.001)
    assert seen.reason == (
        "missing: mean 0.8 → 0.6, mean 0.3 (0.15 … 0.6), matters from 0.1, adjusted p 3e-05; "
        "values: mean 0.8 → 0.6, mean 0.2 (0.1 … 0.4), matters from 0.1, adjusted p 0.0003"
    )
    assert seen.estimate == parts[1].effect
    seen = judge_drift(rule(condition), [part(None, None, reason="no scores in the baseline")], HOUR, 0.001)
    assert (seen.verdict, seen.reason) == ("no_data", "no scores in the baseline")


HOUR = Window(END - timedelta(hours=1), END)


@pytest.mark.parametrize(
    ("of", "counted", "verdict", "reason"),
    [
        ("events", Counted(1, 9, 1), "good", "1 event in 1h"),
        ("events", Counted(0, 1200, 0), "bad", "no event in 1h; 1,200 in the 7d to then"),
        ("scores", Counted(1500, 9000, 2000), "good", "1,500 scores in 1h"),
        ("scores", Counted(0, 9000, 2000), "bad", "no score in 1h, though 2,000 events came; 9,000 in the 7d to then"),
        ("scores", Counted(0, 0, 0), "bad", "no score in 1h, and no event either; none in the 7d to then either"),
    ],
)
def test_absence_is_counted(of, counted, verdict, reason) -> None:
    seen = judge_absence(Absence(of), HOUR, counted)
    assert (seen.verdict, seen.reason) == (verdict, reason)
    assert seen.estimate is not None
    assert (seen.estimate.value, seen.estimate.low, seen.estimate.high) == (counted.n,) * 3


@pytest.mark.parametrize(
    ("lacking", "given", "verdict", "reason"),
    [
        (30, 100, "bad", "the scorer failed on 30 of 100 events (30.0%), held against 20.0%"),
        (20, 100, "good", "the scorer failed on 20 of 100 events (20.0%), held against 20.0%"),
        (29, 29, "no_data", "29 events scored or tried, and the rule needs 30"),
        (0, 0, "no_data", "0 events scored or tried, and the rule needs 30"),
    ],
)
def test_a_share_of_failures_is_counted_where_there_are_enough(lacking, given, verdict, reason) -> None:
    condition = Absence("failures", 0.2)
    seen = judge_share(rule(condition), condition, HOUR, lacking, given)
    assert (seen.verdict, seen.reason) == (verdict, reason)
    assert limit_of(condition) == 0.2
