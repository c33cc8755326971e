"""Groups, gaps, rates, standardisation and trends: edge cases, and what each promises."""

from __future__ import annotations

import math
from datetime import UTC, datetime, timedelta

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from evalsvc.errors import InputError
from evalsvc.fairness import (
    Step,
    compare,
    demographic_parity,
    differences,
    disaggregate,
    equal_opportunity,
    equalised_odds,
    gap,
    group_of_cells,
    groups_of_values,
    metric_groups,
    most_often_worst,
    rate_groups,
    ratio,
    shrink,
    slope,
    spread,
    standardise,
    standing_apart,
    worst_gap,
)
from evalsvc.fairness.comparison import amount, level
from evalsvc.fairness.disaggregation import COMPLEMENT
from evalsvc.fairness.gaps import Limits, range_critical, range_limits, range_tail
from evalsvc.stats import estimate_mean
from evalsvc.types import Cell, Scale, Window

BINARY = Scale(0.0, 1.0, "lower", binary=True)
BOUNDED = Scale(0.0, 1.0, "higher")
OPEN = Scale(None, None, "higher")
POSITIVE = Scale(0.0, None, "lower", "ms")
DAY = Window(datetime(2026, 3, 1, tzinfo=UTC), datetime(2026, 3, 2, tzinfo=UTC))


def share(name, n, ones, pi=0.01):
    return group_of_cells(name, [Cell("", 1, pi, n, 0, 0, float(ones), float(ones))], BINARY)


EQUAL = [share(f"g{i}", 100, ones) for i, ones in enumerate((10, 12, 8, 11, 9))]
APART = [*EQUAL, share("bad", 200, 90)]


# Groups


def test_at_small_pi_a_group_is_the_estimate_of_stats():
    cells = [Cell("a", 1, 1e-6, 50, 3, 1, 20.0, 20.0), Cell("b", 1, 1e-5, 80, 0, 0, 8.0, 8.0)]
    offered = {("a", 1): 54_000_000, ("b", 1): 8_000_000}
    ours = group_of_cells("g", cells, BINARY, DAY, offered=offered).at(0.95)
    plain = estimate_mean(cells, BINARY, DAY, offered=offered)
    assert (ours.value, ours.n, ours.n_missing, ours.offered) == (plain.value, plain.n, plain.n_missing, plain.offered)
    assert (ours.low, ours.high) == pytest.approx((plain.low, plain.high), abs=1e-5)
    assert ours.method == plain.method


def test_the_process_keeps_its_doubt_where_every_event_was_scored():
    cell = Cell("a", 1, 1.0, 100, 0, 0, 20.0, 20.0)
    offered = {("a", 1): 100}
    process = group_of_cells("g", [cell], BINARY, offered=offered).at(0.95)
    window = group_of_cells("g", [cell], BINARY, offered=offered, target="window").at(0.95)
    assert process.value == window.value == 0.2
    assert process.high - process.low > 0.1
    assert window.low == window.high == 0.2


@pytest.mark.parametrize("scale", [BINARY, BOUNDED, OPEN, POSITIVE])
@pytest.mark.parametrize("values", [[], [1.0], [1.0, 1.0], [math.nan, math.nan], [1.0, 0.0, math.nan]])
@pytest.mark.parametrize("pi", [1.0, 1e-9])
def test_too_few_scores_are_told_and_never_nan(scale, values, pi):
    labels = ["a"] * len(values) + ["b"] * 40
    scores = [*values, *([0.0, 1.0] * 20)]
    groups = groups_of_values(scores, labels, scale, pi=[pi] * len(scores))
    found = compare(groups, scale)
    assert [row.suppressed for row in found.groups if row.name == "a"] in ([True], [False], [])
    for row in (found.gap, found.ratio, found.worst, found.spread):
        assert row.reason
        numbers = [x for x in row if isinstance(x, float)]
        assert all(math.isfinite(x) for x in numbers)
    assert "nothing to compare" in found.sentence


@pytest.mark.parametrize("scale", [BINARY, BOUNDED, OPEN, POSITIVE])
def test_two_groups_of_equal_values_give_no_nan(scale):
    groups = groups_of_values([1.0] * 80, ["a"] * 40 + ["b"] * 40, scale)
    found = compare(groups, scale)
    for row in (found.gap, found.ratio, found.worst, found.spread):
        assert all(math.isfinite(x) for x in row if isinstance(x, float))
    if scale.bounded:
        assert found.gap.naive == found.gap.low == 0.0 < found.gap.high
    else:
        assert found.gap.value is None
        assert found.gap.reason


def test_weights_of_a_trillion_to_one():
    pi = [1e-12] * 40 + [1.0] * 40
    groups = groups_of_values([0.0, 1.0] * 80, ["a"] * 80 + ["b"] * 80, BINARY, pi=pi * 2)
    found = gap(groups)
    assert found.low == 0.0
    assert math.isfinite(found.high)


@pytest.mark.parametrize(
    ("call", "said"),
    [
        (lambda: groups_of_values([1.0], ["a", "b"], BINARY), "Expected one value"),
        (lambda: groups_of_values([1.0], ["a"], BINARY, pi=[0.0]), "`pi` in"),
        (lambda: group_of_cells("a", [], BINARY, target="people"), "process or window"),
        (lambda: disaggregate(EQUAL, min_group=-1), "`min_group`"),
        (lambda: disaggregate([EQUAL[0], EQUAL[0]]), "twice"),
        (lambda: gap(EQUAL, confidence=1.0), "`confidence`"),
        (lambda: differences(EQUAL, reference="nobody"), "`reference`"),
        (lambda: worst_gap(EQUAL, "lower", reference="nobody"), "`reference`"),
        (lambda: compare(EQUAL, BINARY, adjust="none"), "`adjust`"),
        (lambda: compare(EQUAL, BINARY, reference="nobody"), "no group of that name"),
        (lambda: differences(EQUAL, adjust="none"), "holm or bh"),
        (lambda: standing_apart(EQUAL, adjust="none"), "holm or bh"),
        (lambda: standing_apart(EQUAL, confidence=1.0), "confidence"),
        (lambda: rate_groups("recall", [1], [1], ["a"]), "`rate`"),
        (lambda: rate_groups("accuracy", [2], [1], ["a"]), "`truth`"),
        (lambda: rate_groups("accuracy", [1], [1, 0], ["a"]), "`predicted`"),
        (lambda: rate_groups("accuracy", [1], [1], ["a"], pi=[2.0]), "`pi`"),
        (lambda: metric_groups(lambda t, p, w: 0.0, [1.0], [1.0], []), "as many labels"),
        (lambda: standardise({}, min_case=0), "`min_case`"),
    ],
)
def test_wrong_arguments_are_refused(call, said):
    with pytest.raises(InputError, match=said):
        call()


# Suppression


def test_small_groups_are_shown_as_suppressed_and_take_part_in_nothing():
    tiny = share("tiny", 29, 29)
    rows = {row.name: row for row in disaggregate([*EQUAL, tiny])}
    assert len(rows) == 6
    assert rows["tiny"].suppressed
    assert (rows["tiny"].estimate.value, rows["tiny"].estimate.low, rows["tiny"].estimate.n) == (None, None, 29)
    assert rows["tiny"].reason == "suppressed: 29 scored events, fewer than 30"
    found, without = compare([*EQUAL, tiny], BINARY), compare(EQUAL, BINARY)
    assert found.gap == without.gap
    assert found.worst == without.worst
    assert "tiny" not in found.shrunken
    assert "tiny" not in found.differences


def test_thirty_equal_weights_are_enough_and_a_low_effective_number_is_not():
    assert not disaggregate([share("a", 30, 3)])[0].suppressed
    cells = [Cell("", 1, 1.0, 400, 0, 0, 10.0, 10.0), Cell("", 1, 0.001, 5, 0, 0, 1.0, 1.0)]
    row = disaggregate([group_of_cells("a", cells, BINARY)])[0]
    assert row.suppressed
    assert "effective number" in row.reason


def test_a_single_suppressed_group_takes_another_with_it_on_request():
    groups = [share("big", 500, 50), share("small", 40, 4), share("tiny", 10, 1)]
    assert [row.suppressed for row in disaggregate(groups)] == [False, False, True]
    rows = disaggregate(groups, complementary=True)
    assert [row.suppressed for row in rows] == [False, True, True]
    assert rows[1].reason == COMPLEMENT
    two = [*groups, share("tinier", 9, 1)]
    assert [row.suppressed for row in disaggregate(two, complementary=True)] == [False, False, True, True]


# Gaps


def test_equal_groups_are_not_shown_to_differ():
    found = compare(EQUAL, BINARY)
    assert found.gap.low == 0.0
    assert found.gap.value == 0.0
    assert found.gap.naive == pytest.approx(0.04)
    assert found.gap.if_equal > found.gap.naive
    assert found.gap.p_value > 0.5
    assert found.differing == ()
    assert found.sentence.startswith("no group is shown to differ: the gap seen, 4.0 points (")
    assert "is within what chance makes of equal groups (interval 0 to " in found.sentence
    assert found.sentence.endswith(" is not ruled out")


def test_a_group_apart_is_found_and_named():
    found = compare(APART, BINARY)
    # One group far off makes the others differ from "all others" as well; the sentence names that one alone.
    assert found.differing == ("bad",)
    assert sum(row.p_adjusted < 0.05 for row in found.differences.values()) > 1
    assert "standing apart: bad (" in found.sentence
    assert ": worse)" in found.sentence
    assert 0.0 < found.gap.low < found.gap.value < found.gap.high
    assert found.gap.highest == found.worst.worst == "bad"
    assert found.worst.low > 0.0
    assert found.ratio.high < 1.0
    assert found.gap.p_value < 1e-4
    assert "not proof of unfair treatment" in found.sentence
    assert found.spread.variance < found.spread.observed


def test_the_direction_of_the_scale_decides_who_is_worst():
    low = share("low", 200, 2)
    groups = [share("a", 200, 40), share("b", 200, 42), low]
    assert worst_gap(groups, "higher").worst == "low"
    assert worst_gap(groups, "lower").worst == "b"
    assert worst_gap(groups, "neither").worst == "low"
    against = worst_gap(groups, "higher", reference="a")
    assert (against.worst, against.against) == ("low", "a")
    assert against.value == pytest.approx(0.19)


@pytest.mark.parametrize("groups", [EQUAL, APART, APART[3:]])
def test_p_values_and_intervals_agree(groups):
    # Two groups have one difference, whose joint limits are its own.
    pair = groups[-2:]
    for confidence in (0.5, 0.9, 0.99):
        row = differences(pair, confidence=confidence)[0]
        excludes = row.low > 0.0 or row.high < 0.0
        assert excludes == (row.p_value < 1.0 - confidence)
        found = gap(groups, confidence=confidence)
        assert (found.low > 0.0) == (found.p_value < 1.0 - confidence)


def test_each_difference_is_from_the_mean_of_the_others():
    rows = differences([share("a", 100, 10), share("b", 200, 60), share("c", 100, 30)])
    others = (200 * 0.3 + 100 * 0.3) / 300
    assert rows[0].value == pytest.approx(0.1 - others)
    assert rows[0].against == "the others"


def test_groups_standing_apart_are_named_one_after_the_other():
    groups = [share(f"g{i}", 400, 40 + i % 3) for i in range(6)]
    assert standing_apart(groups) == []
    assert standing_apart(groups[:1]) == standing_apart([]) == []
    (alone,) = standing_apart([*groups, share("odd", 400, 160)])
    assert (alone.name, alone.value) == ("odd", pytest.approx(0.4))
    assert alone.rest == pytest.approx(sum(40 + i % 3 for i in range(6)) / 2400)
    assert alone.p_value < 1e-6
    both = standing_apart([*groups, share("odd", 400, 160), share("odder", 400, 260), share("none", 400, 0)])
    assert [row.name for row in both] == ["none", "odder", "odd"]
    # The rest of a later one is without those named before.
    assert both[2].rest == pytest.approx(alone.rest)


def test_of_two_groups_one_is_the_others_rest():
    (found,) = standing_apart([share("a", 400, 40), share("b", 400, 160)])
    assert sorted([found.value, found.rest]) == pytest.approx([0.1, 0.4])
    assert "standing apart" not in compare([share("a", 400, 40), share("b", 400, 160)], BINARY).sentence


def test_a_group_without_an_interval_is_left_out_of_those_apart():
    nothing = group_of_cells("empty", [], BINARY)
    assert [row.name for row in standing_apart([*APART, nothing])] == ["bad"]


def test_more_groups_widen_the_interval_of_the_same_two():
    pair = [share("a", 100, 10), share("b", 100, 20)]
    more = [*pair, *[share(f"c{i}", 100, 15) for i in range(20)]]
    assert gap(more).high - gap(more).low > gap(pair).high - gap(pair).low


def test_a_ratio_of_nothing_is_undefined_with_a_reason():
    assert "undefined" in ratio([share("a", 40, 0), share("b", 40, 0)]).reason
    signed = groups_of_values([-1.0, -2.0] * 40, ["a"] * 40 + ["b"] * 40, OPEN)
    assert "at least 0" in ratio(signed).reason
    none = ratio([share("a", 40, 0), share("b", 40, 20)])
    assert none.low == 0.0
    assert none.naive == 0.0
    assert none.high < 1.0


def test_a_thousand_and_more_groups():
    rng = np.random.default_rng(1)
    groups = [share(f"g{i}", 50, int(k)) for i, k in enumerate(rng.binomial(50, 0.2, 1200))]
    found = worst_gap(groups, "lower")
    assert 0.0 <= found.low <= found.value <= found.high
    few, many = gap(groups[:1000]), gap(groups)
    assert many.if_equal == pytest.approx(few.if_equal, rel=0.1)


def test_shrinkage_pulls_small_groups_more_and_keeps_order_of_equal_sizes():
    groups = [share("a", 30, 12), share("b", 3000, 1200), share("c", 300, 30), share("d", 300, 60)]
    rows = {row.name: row for row in shrink(groups)}
    assert rows["a"].shrinkage > rows["c"].shrinkage > rows["b"].shrinkage
    assert rows["c"].value < rows["d"].value
    for row in rows.values():
        assert min(row.own, row.mean) <= row.value <= max(row.own, row.mean)
    # No failure among 30 is no certainty: it is pulled as well.
    certain = {row.name: row for row in shrink([share("none", 30, 0), *groups[1:]])}
    assert certain["none"].shrinkage > 0.02


def test_the_variance_between_groups_is_corrected_for_noise():
    rng = np.random.default_rng(7)
    corrected, observed = [], []
    for _ in range(400):
        groups = [share(f"g{i}", 50, int(k)) for i, k in enumerate(rng.binomial(50, np.array([0.2] * 5 + [0.4] * 5)))]
        found = spread(groups)
        corrected.append(found.observed - found.noise)
        observed.append(found.observed)
    truth = np.var([0.2] * 5 + [0.4] * 5, ddof=1)
    assert np.mean(corrected) == pytest.approx(truth, rel=0.05)
    assert np.mean(observed) > 1.2 * truth


@given(
    st.lists(st.tuples(st.integers(30, 400), st.floats(0.0, 1.0)), min_size=2, max_size=8),
    st.sampled_from([0.5, 0.9, 0.95, 0.999]),
)
def test_intervals_hold_their_values_whatever_the_groups(sizes, confidence):
    groups = [share(f"g{i}", n, round(n * part)) for i, (n, part) in enumerate(sizes)]
    found = compare(groups, BINARY, confidence=confidence)
    assert 0.0 <= found.gap.low <= found.gap.value <= found.gap.high
    assert found.gap.low <= found.gap.naive <= found.gap.high
    assert found.worst.low <= found.worst.value <= found.worst.high
    if found.ratio.value is not None:
        assert 0.0 <= found.ratio.low <= found.ratio.value <= found.ratio.high
        assert found.ratio.low - 1e-12 <= found.ratio.naive <= found.ratio.high + 1e-12
    for row in found.differences.values():
        assert 0.0 <= row.p_value <= row.p_adjusted <= 1.0
        assert row.low <= row.value <= row.high
    for row in found.shrunken.values():
        assert 0.0 <= row.shrinkage <= 1.0
    turned = compare(groups[::-1], BINARY, confidence=confidence)
    assert turned.gap.low == pytest.approx(found.gap.low, abs=1e-12)
    assert turned.gap.high == pytest.approx(found.gap.high, abs=1e-12)


def test_the_critical_value_and_its_tail_are_inverse():
    for count in (2, 10, 500):
        for confidence in (0.5, 0.95, 0.999):
            assert range_tail(range_critical(count, confidence), count) == pytest.approx(1.0 - confidence, rel=1e-6)


# Rates


def test_a_group_without_positives_has_no_true_positive_rate():
    groups = rate_groups("true_positive_rate", [0, 0, 1, 1], [0, 1, 1, 0], ["a", "a", "b", "b"])
    assert groups[0].at(0.95).value is None
    assert groups[0].at(0.95).reason
    found = equalised_odds([0, 0, 1, 1], [0, 1, 1, 0], ["a", "a", "b", "b"])
    assert found.difference is None
    assert found.true_positive.reason


def test_equalised_odds_intervals_hold_jointly():
    rng = np.random.default_rng(2)
    truth, said = rng.integers(0, 2, 400), rng.integers(0, 2, 400)
    labels = ["a", "b"] * 200
    both = equalised_odds(truth, said, labels, confidence=0.9)
    one = gap(rate_groups("true_positive_rate", truth, said, labels), confidence=0.95)
    assert both.true_positive == one


def test_demographic_parity_is_gap_and_ratio_of_selection():
    groups = rate_groups("selection_rate", [0] * 80, [1, 0] * 40, ["a"] * 40 + ["b"] * 40)
    difference, quotient = demographic_parity(groups)
    assert (difference.naive, quotient.naive) == (0.0, 1.0)


def test_a_metric_of_ones_own_has_the_error_of_a_mean():
    rng = np.random.default_rng(3)
    values = rng.normal(5.0, 2.0, 400)
    group = metric_groups(lambda t, p, w: float((w * p).sum() / w.sum()), values, values, ["a"] * 400)[0]
    assert group.at(0.95).value == pytest.approx(values.mean())
    assert group.error == pytest.approx(values.std(ddof=1) / 20.0, rel=0.15)
    lonely = metric_groups(lambda t, p, w: float(p[0]), [1.0], [1.0], ["a"])[0].at(0.95)
    assert (lonely.low, lonely.high) == (None, None)
    assert lonely.reason
    undefined = metric_groups(lambda t, p, w: math.nan, [1.0, 2.0], [1.0, 2.0], ["a", "a"])[0].at(0.95)
    assert undefined.value is None
    assert undefined.reason


# Standardisation


def test_two_groups_that_only_ask_for_different_things_are_equal_at_one_mix():
    # Hard cases fail half the time, easy ones a tenth, in both groups; one asks for hard ones mostly.
    cases = {
        "a": {"easy": share("a", 400, 40), "hard": share("a", 100, 50)},
        "b": {"easy": share("b", 100, 10), "hard": share("b", 400, 200)},
    }
    plain = gap([share("a", 500, 90), share("b", 500, 210)])
    assert plain.low > 0.1
    found = standardise(cases)
    assert found.mix == {"easy": 0.5, "hard": 0.5}
    assert found.covered == 1.0
    assert [group.at(0.95).value for group in found.groups] == pytest.approx([0.3, 0.3])
    assert gap(found.groups).low == 0.0
    row = found.groups[0].at(0.95)
    # The variance of 0.5·p1 + 0.5·p2, by hand.
    assert found.groups[0].error == pytest.approx(0.5 * math.sqrt(0.1 * 0.9 / 399 + 0.5 * 0.5 / 99))
    assert row.high - row.low == pytest.approx(2 * 1.96 * found.groups[0].error, rel=0.05)
    assert row.n == 500


def test_a_case_that_a_group_lacks_is_said_and_left_out_for_all():
    cases = {
        "a": {"easy": share("a", 300, 30), "odd": share("a", 100, 50)},
        "b": {"easy": share("b", 400, 40), "odd": share("b", 2, 1)},
        "c": {"easy": share("c", 200, 20)},
    }
    found = standardise(cases)
    assert found.lacking == {"odd": ("b", "c")}
    assert found.mix == {"easy": 1.0}
    assert found.covered == pytest.approx(900 / 1002)
    nothing = standardise({"a": {"x": share("a", 40, 1)}, "b": {"y": share("b", 40, 1)}})
    assert nothing.groups == ()
    assert nothing.reason
    assert standardise({}).reason


# Trend


def steps(shares):
    made = []
    for day, values in enumerate(shares):
        window = Window(DAY.start + timedelta(days=day), DAY.end + timedelta(days=day))
        groups = [share(name, 400, round(400 * value)) for name, value in zip("abc", values, strict=True)]
        made.append(Step(window, groups, compare(groups, BINARY)))
    return made


def test_a_group_that_falls_behind_is_found():
    falling = steps([(0.1, 0.1, 0.12 + 0.03 * day) for day in range(8)])
    assert most_often_worst(falling) == "c"
    found = slope(falling, "c", "lower")
    assert found.worsens
    assert found.low < 0.03 < found.high
    assert found.per_day == pytest.approx(0.03, abs=0.005)
    steady = slope(steps([(0.1, 0.12, 0.15)] * 8), "c", "lower")
    assert steady.low < 0.0 < steady.high
    assert not steady.worsens
    assert slope(falling, "c", "higher").worsens is False


def test_a_trend_needs_three_windows():
    found = slope(steps([(0.1, 0.1, 0.2)] * 2), "c", "lower")
    assert found.per_day is None
    assert "three" in found.reason
    assert slope([], "c", "lower").per_day is None
    assert most_often_worst([]) == ""


def test_what_rounds_to_a_thousand_has_no_exponent():
    waits = Scale(0.0, None, "lower", "ms")
    said = [level(value, waits) for value in (0.0123, 999.4, 999.5, 999.7, 1000.0, 1147.2)]
    assert said == ["0.0123 ms", "999 ms", "1,000 ms", "1,000 ms", "1,000 ms", "1,147 ms"]
    assert amount(-999.7, waits) == "-1,000 ms"


# What the reviewers found


def test_a_level_of_certainty_is_a_part_of_its_own_for_the_process_too():
    # Thinned, π = 1 would lie in the octave of 0.6, and its failures weigh on events that had none.
    cells = [Cell("A", 1, 1.0, 10, 0, 0, 8.0, 8.0), Cell("B", 1, 0.6, 15, 0, 0, 0.0, 0.0)]
    rates = {("A", 1): 1.0, ("B", 1): 0.6}
    for offered in (None, {("A", 1): 10, ("B", 1): 200}):
        plain = estimate_mean(cells, BINARY, DAY, offered=offered, rates=rates)
        for target in ("process", "window"):
            group = group_of_cells("g", cells, BINARY, DAY, offered=offered, rates=rates, target=target)
            assert group.at(0.95).value == plain.value
        wide = group_of_cells("g", cells, BINARY, DAY, offered=offered, rates=rates).at(0.95)
        assert wide.low < plain.low
        assert wide.high > plain.high


@pytest.mark.parametrize(
    ("values", "scale"),
    [
        ([7.0, 3.0, 0.0, 5.0], BINARY),
        ([0.5, 1.0], BINARY),
        ([1.5, 0.0], BOUNDED),
        ([math.inf, 1.0], POSITIVE),
        ([-1.0, 1.0], POSITIVE),
        ([-math.inf, 1.0], OPEN),
    ],
)
def test_scores_that_the_scale_does_not_have_are_refused(values, scale):
    with pytest.raises(InputError, match="`values`"):
        groups_of_values(values, ["a"] * len(values), scale)


def test_sums_that_the_scale_does_not_have_are_refused():
    with pytest.raises(InputError, match="on the scale"):
        group_of_cells("a", [Cell("A", 1, 1.0, 10, 0, 0, 70.0, 700.0)], BINARY)
    # A tenth and nine more, added up in doubles, are not all of ten tenths.
    group_of_cells("a", [Cell("A", 1, 1.0, 10, 0, 0, 10.000000001, 10.0)], BOUNDED)


def outliers(groups, odd):
    """Groups of 30 latencies near 20 ms, of which some have one of a minute."""
    rng = np.random.default_rng(1)
    values = 20.0 + rng.random((groups, 30))
    values[:odd, 0] = 60_000.0
    return groups_of_values(values.ravel(), np.repeat([f"g{i:02}" for i in range(groups)], 30), POSITIVE)


@pytest.mark.parametrize(("groups", "odd"), [(2, 1), (12, 1), (12, 2)])
def test_one_outlier_is_no_difference_between_groups(groups, odd):
    found = compare(outliers(groups, odd), POSITIVE)
    assert found.gap.low == 0.0
    assert found.gap.p_value > 0.05
    assert found.differing == ()
    assert found.worst.low == 0.0
    assert all(row.p_adjusted > 0.05 for row in found.differences.values())


def test_a_gap_without_an_upper_limit_has_none_and_says_so():
    found = compare(outliers(3, 2), POSITIVE)
    assert found.gap.high is None
    assert "upper limit" in found.gap.reason
    assert found.worst.high is None
    assert "upper limit" in found.worst.reason
    assert "no size is ruled out" in found.sentence
    for row in (found.gap, found.ratio, found.worst, found.spread, *found.differences.values()):
        assert all(math.isfinite(x) for x in row if isinstance(x, float))


def test_latencies_that_differ_are_still_told_apart():
    rng = np.random.default_rng(2)
    labels = np.repeat([f"g{i}" for i in range(10)], 200)
    values = rng.lognormal(0.0, 0.5, 2000) * np.where(labels == "g9", 1.4, 1.0)
    found = compare(groups_of_values(values, labels, POSITIVE), POSITIVE)
    assert found.differing == ("g9",)
    assert found.gap.low > 0.0


@pytest.mark.parametrize("scale", [BINARY, BOUNDED, POSITIVE, OPEN])
@pytest.mark.parametrize("target", ["process", "window"])
def test_many_groups_at_once_have_the_limits_of_each_alone(scale, target):
    rng = np.random.default_rng(4)
    groups = []
    for i in range(30):
        y = (rng.random(60) < 0.3).astype(float) if scale.binary else rng.random(60)
        cells = [Cell("a", 1, 1.0, 40, 2, 0, y[:40].sum(), (y[:40] ** 2).sum())]
        cells.append(Cell("b", 1, 0.3, 20, 0, 1, y[40:].sum(), (y[40:] ** 2).sum()))
        offered = {("a", 1): 42, ("b", 1): 70} if i % 2 else None
        groups.append(group_of_cells(f"g{i}", cells, scale, offered=offered, rates={("c", 1): 0.5}, target=target))
    for critical in (0.5, 1.96, 4.0):
        together, alone = Limits(groups).at(critical), Limits([g._replace(sums=None) for g in groups]).at(critical)
        np.testing.assert_allclose(together, alone, rtol=1e-7, atol=1e-9)


@given(st.lists(st.tuples(*[st.floats(0.0, 3.0)] * 3), min_size=2, max_size=12))
def test_the_farthest_pair_is_that_of_all_pairs(rows):
    values, below, above = (np.array(column) for column in zip(*rows, strict=True))
    pairs = [
        (v - w - math.hypot(a, d), v - w + math.hypot(b, c))
        for v, a, b in zip(values, below, above, strict=True)
        for w, c, d in zip(values, below, above, strict=True)
    ]
    low, high = range_limits(values, below, above)
    assert low == pytest.approx(max(0.0, *(a for a, _ in pairs)), abs=1e-12)
    assert high == pytest.approx(max(b for _, b in pairs), abs=1e-12)


def test_what_is_hidden_stays_hidden_whatever_the_reason_says():
    found = compare([*EQUAL, share("few", 80, 8)], BINARY, hidden={"few": "too small to show"})
    row = found.groups[-1]
    assert (row.suppressed, row.estimate.value, row.estimate.low, row.reason) == (True, None, None, "too small to show")
    assert "few" not in found.differences


def test_a_case_without_a_value_is_lacking_and_not_nought():
    def rate(truth, said, weights):
        return float((truth * said * weights).sum() / (truth * weights).sum()) if truth.any() else math.nan

    rng = np.random.default_rng(1)
    cases = {
        name: {
            case: metric_groups(rate, truth, (rng.random(50) < 0.9).astype(float), [name] * 50)[0]
            for case, truth in (("x", np.ones(50)), ("y", np.zeros(50)))
        }
        for name in "ab"
    }
    found = standardise(cases)
    assert found.lacking == {"y": ("a", "b")}
    assert found.covered == 0.5
    assert [group.at(0.95).value for group in found.groups] == [cases[name]["x"].at(0.95).value for name in "ab"]


def test_latencies_at_one_mix_are_compared_as_latencies():
    cases = {group.name: {"x": group, "y": group} for group in outliers(3, 1)}
    found = standardise(cases)
    assert gap(found.groups).low == 0.0
    assert gap(found.groups).high is None


def test_rates_of_clusters_are_wider_and_of_a_window_narrower():
    rng = np.random.default_rng(5)
    truth = np.ones(400, dtype=int)
    said = np.repeat(rng.integers(0, 2, 40), 10)
    labels = ["a"] * 200 + ["b"] * 200
    sessions = [f"s{i // 10}" for i in range(400)]
    alone, drawn = (equal_opportunity(truth, said, labels, clusters=c)[0] for c in (None, sessions))
    assert drawn.high > 1.5 * alone.high
    twice = ([1] * 400 + [0] * 400, [*said, *said], labels * 2)
    alone, drawn = (equalised_odds(*twice, clusters=c).true_positive for c in (None, sessions * 2))
    assert drawn.high > 1.5 * alone.high
    # Every event was seen: of the window nothing is left to chance.
    whole = equalised_odds(*twice, target="window").false_positive
    assert whole.low == whole.high == whole.naive
    alone, together = (rate_groups("accuracy", truth, said, labels, clusters=c)[0].at(0.95) for c in (None, sessions))
    assert together.high - together.low > 2.0 * (alone.high - alone.low)


def test_odds_without_positives_name_the_group_and_why():
    truth, said = [1, 1, 0, 0, 0, 0] * 10, [1, 0, 0, 1, 0, 1] * 10
    found = equalised_odds(truth, said, (["a"] * 4 + ["b"] * 2) * 10)
    assert found.difference is None
    assert found.reason == "no true positive rate of b, without a scored positive event"
    assert equalised_odds(truth, said, ["a", "b"] * 30).reason == ""


def test_a_metric_of_clusters_has_the_error_of_their_means():
    rng = np.random.default_rng(6)
    values = np.repeat(rng.normal(5.0, 2.0, 100), 20)
    mean = lambda t, p, w: float((w * p).sum() / w.sum())  # noqa: E731
    sessions = [f"s{i // 20}" for i in range(2000)]
    (group,) = metric_groups(mean, values, values, ["a"] * 2000, clusters=sessions)
    assert group.error == pytest.approx(values[::20].std(ddof=1) / 10.0, rel=0.15)
    (lonely,) = metric_groups(mean, [1.0, 2.0], [1.0, 2.0], ["a", "a"], clusters=["s", "s"])
    assert "one cluster" in lonely.at(0.95).reason


@pytest.mark.parametrize(
    ("call", "said"),
    [
        (lambda: rate_groups("accuracy", [[0, 1]], [[0, 1]], ["a", "b"]), r"`truth` of shape"),
        (lambda: rate_groups("accuracy", [0, 1], [0, 1], ["a", "b"], clusters=["s"]), "`clusters`"),
        (lambda: rate_groups("accuracy", [0, 1], [0, 1], ["a", "b"], target="people"), "process or window"),
        (lambda: metric_groups(lambda t, p, w: 1 / 0, [1, 1], [0, 0], ["a", "a"]), "ZeroDivisionError for group 'a'"),
        (lambda: metric_groups(lambda t, p, w: "x", [1, 1], [0, 0], ["a", "a"]), "ValueError for group 'a'"),
        (lambda: metric_groups(lambda t, p, w: 0.0, [[1, 1]], [[0, 0]], ["a", "a"]), "of shape"),
    ],
)
def test_wrong_arrays_are_refused(call, said):
    with pytest.raises(InputError, match=said):
        call()


def test_labels_of_a_group_are_of_that_group_alone():
    with pytest.raises(TypeError):
        share("a", 40, 4).labels["plan"] = "pro"


def test_many_groups_are_asked_once_each():
    # Of a thousand groups, 14 critical values one at a time took eleven seconds.
    asked = []

    def counted(group):
        def at(confidence):
            asked.append(confidence)
            return group.at(confidence)

        return group._replace(at=at)

    rng = np.random.default_rng(8)
    for scale in (BINARY, POSITIVE):
        values = (rng.random(4000) < 0.2).astype(float) if scale.binary else rng.random(4000)
        groups = groups_of_values(values, np.repeat(np.arange(100).astype(str), 40), scale)
        assert compare([counted(group) for group in groups], scale).gap == compare(groups, scale).gap
        assert set(asked) == {0.95}
