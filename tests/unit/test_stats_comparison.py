"""Comparisons of versions: verdicts, missing scores, bad input, power and multiplicity where they can go wrong."""

import math
import tracemalloc
from datetime import UTC, datetime

import msgspec
import numpy as np
import pytest

from evalsvc.errors import InputError
from evalsvc.stats import (
    Online,
    PairedMeans,
    PairedShares,
    Question,
    Side,
    TwoMeans,
    TwoShares,
    adjust_p_values,
    adjust_tree,
    cases_for,
    cases_needed,
    clustered,
    compare_estimates,
    compare_paired,
    compare_unpaired,
    detectable,
    e_benjamini_hochberg,
    e_lond,
    estimate_mean,
    lord,
    online,
    power_of,
)
from evalsvc.stats.clustered import FLIPS, SignFlip, gather
from evalsvc.stats.multiplicity import gamma
from evalsvc.stats.paired import unmet_clusters
from evalsvc.types import Cell, Scale, Window

HIGHER = Scale(0.0, 1.0, "higher", binary=True)
LOWER = Scale(0.0, 1.0, "lower", binary=True)
BOUNDED = Scale(0.0, 1.0, "higher")
LATENCY = Scale(0.0, None, "lower", "ms")
OPEN = Scale(None, None, "neither")
DAY = Window(datetime(2026, 3, 1, tzinfo=UTC), datetime(2026, 3, 2, tzinfo=UTC))


def pairs(both, better, worse, neither):
    """Scores of (baseline, candidate) by how many cases are 1 under both, the candidate, the baseline, neither."""
    old = [1] * both + [0] * better + [1] * worse + [0] * neither
    new = [1] * both + [1] * better + [0] * worse + [0] * neither
    return old, new


# --- Verdicts.


@pytest.mark.parametrize(
    ("scale", "table", "question", "verdict"),
    [
        (HIGHER, (80, 15, 2, 3), Question(), "better"),
        (LOWER, (80, 15, 2, 3), Question(), "worse"),
        (HIGHER, (80, 5, 4, 11), Question(), "inconclusive"),
        (HIGHER, (800, 5, 5, 190), Question("non-inferiority", 0.02), "not_worse"),
        (LOWER, (800, 5, 5, 190), Question("non-inferiority", 0.02), "not_worse"),
        (HIGHER, (80, 15, 2, 3), Question("non-inferiority", 0.02), "better"),
        (HIGHER, (70, 0, 20, 10), Question("non-inferiority", 0.05), "worse"),
        (LOWER, (70, 20, 0, 10), Question("non-inferiority", 0.05), "worse"),
        (HIGHER, (80, 4, 6, 10), Question("non-inferiority", 0.02), "inconclusive"),
        (HIGHER, (800, 5, 5, 190), Question("equivalence", 0.02), "equivalent"),
        (HIGHER, (600, 200, 0, 200), Question("equivalence", 0.02), "better"),
        (LOWER, (600, 200, 0, 200), Question("equivalence", 0.02), "worse"),
        (HIGHER, (80, 4, 6, 10), Question("equivalence", 0.02), "inconclusive"),
    ],
)
def test_verdicts_on_pairs(scale, table, question, verdict) -> None:
    found = compare_paired(*pairs(*table), scale, question=question)
    assert found.verdict == verdict
    assert found.method
    assert found.test
    assert (found.asked, found.margin, found.level) == question


def test_the_margin_is_on_the_metrics_own_unit_and_direction() -> None:
    rng = np.random.default_rng(1)
    old = 900 + 50 * rng.standard_normal(60)
    slower = old + 20 + 10 * rng.standard_normal(60)
    for margin, verdict in ((30.0, "not_worse"), (10.0, "worse"), (20.0, "inconclusive")):
        found = compare_paired(old, slower, LATENCY, question=Question("non-inferiority", margin))
        assert found.verdict == verdict
    # Faster by as much is better, whatever the margin.
    assert compare_paired(slower, old, LATENCY, question=Question("non-inferiority", 1.0)).verdict == "better"


def test_where_neither_direction_is_better_a_difference_is_a_difference() -> None:
    d = 1.0 + np.random.default_rng(2).standard_normal(50)
    assert compare_paired(np.zeros(50), d, OPEN).verdict == "different"
    with pytest.raises(InputError, match="better direction"):
        compare_paired([1.0], [1.0], OPEN, question=Question("non-inferiority", 0.1))


def test_test_and_interval_agree_for_one_sided_questions() -> None:
    rng = np.random.default_rng(3)
    for _ in range(200):
        b, c = rng.integers(0, 12, 2)
        found = compare_paired(*pairs(60, int(b), int(c), 20), HIGHER, question=Question("non-inferiority", 0.05))
        assert found.confidence == pytest.approx(0.9)
        assert (found.low > -0.05) == (found.verdict in ("not_worse", "better"))


# --- Clusters, repeats, weights.


def test_clusters_are_not_cases() -> None:
    rng = np.random.default_rng(4)
    codes = np.repeat(np.arange(40), 10)
    d = rng.standard_normal(40)[codes] + 0.1 * rng.standard_normal(400)
    alone = compare_paired(np.zeros(400), d, OPEN)
    together = compare_paired(np.zeros(400), d, OPEN, clusters=codes.tolist())
    assert together.n_clusters == 40
    assert together.standard_error > 2.5 * alone.standard_error
    assert "CR2" in together.method


def test_clusters_as_an_array_are_those_of_a_list() -> None:
    rng = np.random.default_rng(4)
    old, new = rng.normal(size=(2, 30))
    codes = rng.permutation(np.repeat(np.arange(6), 5)) * 7
    for method in ("auto", "t"):
        ways = (codes, codes.tolist(), [f"source {code}" for code in codes])
        found = [compare_paired(old, new, Scale(None, None, "higher"), clusters=way, method=method) for way in ways]
        assert found[0] == found[1] == found[2]
        assert found[0].n_clusters == 6


def test_repeats_are_averaged_and_ragged_ones_allowed() -> None:
    old = [[0.5, 0.7, None], [0.2, None, None], [0.4, 0.4, 0.4]]
    new = [[0.8], [0.3], [None]]
    found = compare_paired(old, new, BOUNDED)
    assert found.n == 2
    assert found.n_discarded == 1
    assert found.difference == pytest.approx(0.15)


def test_few_clusters_are_permuted_and_fewer_said_to_be_too_few() -> None:
    d = 0.5 + 0.1 * np.arange(7)
    permuted = compare_paired(np.zeros(7), d, Scale(None, None, "higher"))
    assert permuted.p_value == pytest.approx(2 / 2**7)
    assert "all 128 signings" in permuted.method
    assert "about normal" in compare_paired(np.zeros(4), d[:4], Scale(None, None, "higher")).reason
    forced = compare_paired(np.zeros(4), d[:4], Scale(None, None, "higher"), method="sign-flip")
    assert (forced.low, forced.high, forced.verdict) == (None, None, "inconclusive")


def test_random_signings_have_a_seed() -> None:
    d = np.random.default_rng(5).standard_normal(25)
    first, again, other = (compare_paired(np.zeros(25), d, OPEN, seed=seed) for seed in (1, 1, 2))
    assert first == again
    assert first.low != other.low
    assert first.low == pytest.approx(other.low, abs=0.05)


def test_weights_decide_whose_difference_counts() -> None:
    old, new = np.zeros(40), np.concatenate([np.full(20, 0.1), np.full(20, 0.3)]) + np.tile([0.01, -0.01], 20)
    found = compare_paired(old, new, Scale(None, None, "higher"), weights=[3.0] * 20 + [1.0] * 20)
    assert found.difference == pytest.approx(0.15)
    assert found.n_effective == pytest.approx(80**2 / 200)


# --- What was not seen is not proven.


@pytest.mark.parametrize("cases", [2, 3, 10, 100])
def test_no_difference_at_all_keeps_its_doubt(cases) -> None:
    for scale in (HIGHER, BOUNDED):
        found = compare_paired([1.0] * cases, [1.0] * cases, scale)
        assert found.difference == 0.0
        assert found.p_value == 1.0
        assert -1.0 <= found.low < -1 / (3 * cases)
        assert 1 / (3 * cases) < found.high <= 1.0


def test_equal_differences_on_an_open_scale_tell_nothing() -> None:
    found = compare_paired([1.0] * 9, [2.0] * 9, OPEN)
    assert (found.difference, found.low, found.p_value, found.verdict) == (1.0, None, None, "inconclusive")
    assert "equal" in found.reason


def test_all_or_nothing_clusters_count_as_one_case_each() -> None:
    codes = np.repeat(np.arange(50), 20).tolist()
    many = compare_paired([1] * 1000, [1] * 1000, HIGHER, clusters=codes)
    few = compare_paired([1] * 50, [1] * 50, HIGHER)
    assert many.high == pytest.approx(few.high, rel=0.1)


# --- Missing scores.


def test_pairs_with_one_side_only_are_counted_and_bounded() -> None:
    old, new = pairs(70, 12, 2, 16)
    old = [*old[:94], *[None] * 6]
    found = compare_paired(old, new, HIGHER, worst_case=True)
    assert (found.n, found.n_discarded, found.missing_share) == (94, 6, 0.06)
    assert found.worst_low < found.low
    assert found.worst_high >= found.high
    assert found.depends_on_missing is True
    settled = compare_paired(*pairs(40, 40, 0, 20), HIGHER, worst_case=True)
    assert settled.depends_on_missing is False
    assert (settled.worst_low, settled.worst_high) == (settled.low, settled.high)


def test_an_open_scale_bounds_nothing() -> None:
    found = compare_paired([1.0, 2.0, None], [2.0, 4.0, 5.0], LATENCY, worst_case=True)
    assert found.worst_low is None
    assert "open scale" in found.reason


@pytest.mark.parametrize(
    ("old", "new", "reason"),
    [
        ([], [], "no case"),
        ([None], [1.0], "no case"),
        ([math.nan, 1.0], [1.0, math.nan], "no case"),
    ],
)
def test_nothing_to_compare(old, new, reason) -> None:
    found = compare_paired(old, new, BOUNDED, worst_case=False)
    assert (found.difference, found.low, found.high, found.p_value, found.verdict) == (None,) * 4 + ("inconclusive",)
    assert reason in found.reason


def test_one_case_and_one_cluster() -> None:
    assert "one case" in compare_paired([0.1], [0.4], BOUNDED).reason
    found = compare_paired([0.1, 0.2], [0.4, 0.4], BOUNDED, clusters=["a", "a"])
    assert found.difference == pytest.approx(0.25)
    assert "one group" in found.reason


@pytest.mark.parametrize(("clusters", "unit"), [(None, "3 cases"), (["a", "b", "c", "c"], "3 groups")])
def test_cases_that_are_in_no_group_are_called_cases(clusters, unit) -> None:
    old, new = [0.1, 0.2, 0.3, 0.4][: 4 if clusters else 3], [0.2, 0.5, 0.5, 0.3][: 4 if clusters else 3]
    assert compare_paired(old, new, BOUNDED, clusters=clusters).reason.startswith(f"{unit}: the interval takes")


def test_extreme_weights_do_not_overflow() -> None:
    found = compare_paired([0.1] * 12, np.linspace(0.2, 0.9, 12), BOUNDED, weights=[1e300] + [1e290] * 11)
    assert found.difference == pytest.approx(0.1)
    assert "outweighs" in found.reason
    uneven = compare_paired([0.1] * 12, np.linspace(0.2, 0.9, 12), BOUNDED, weights=[1e300] * 6 + [1e-300] * 6)
    assert -1.0 <= uneven.low < uneven.high <= 1.0


# --- Wrong arguments.


@pytest.mark.parametrize(
    ("question", "scale", "match"),
    [
        (Question("equivalence"), HIGHER, "above 0 for equivalence"),
        (Question("superiority", 0.1), HIGHER, "no `margin`"),
        (Question("equivalence", -0.1), HIGHER, "not negative"),
        (Question("non-inferiority", -1.0), HIGHER, "width of the scale"),
        (Question("non-inferiority", math.nan), HIGHER, "finite"),
        (Question("non-inferiority", 1.0), HIGHER, "width of the scale"),
        (Question(level=0.0), HIGHER, "`level`"),
        (Question("inferiority"), HIGHER, "`asked`"),
    ],
)
def test_questions_that_cannot_be_asked(question, scale, match) -> None:
    with pytest.raises(InputError, match=match):
        compare_paired([0, 1], [1, 1], scale, question=question)


@pytest.mark.parametrize(
    ("arguments", "match"),
    [
        ({"candidate": [1]}, "same cases"),
        ({"candidate": [1, math.inf]}, "finite scores"),
        ({"candidate": [1, 2]}, "on the scale"),
        ({"candidate": [1, 0.5]}, "0 and 1 only"),
        ({"candidate": [[[1]], [[0]]]}, "shape"),
        ({"baseline": ["a", "b"]}, "`baseline` to hold numbers"),
        ({"weights": ["a", "b"]}, "`weights` to hold numbers"),
        ({"clusters": ["a"]}, "cluster for each"),
        ({"weights": [1.0, 0.0]}, "above 0"),
        ({"method": "bootstrap"}, "`method`"),
    ],
)
def test_wrong_arguments_are_refused(arguments, match) -> None:
    with pytest.raises(InputError, match=match):
        compare_paired(**({"baseline": [0, 1], "candidate": [1, 1], "scale": HIGHER} | arguments))


def test_averages_of_yes_and_no_are_told_as_such() -> None:
    old, new = [1.0, 0.5, 0.0] * 10, [1.0, 1.0, 0.0] * 10
    found = compare_paired(old, new, HIGHER, averaged=True)
    assert found.low < 0.5 / 3 < found.high
    repeats = [[1, 1], [0, 1], [0, 0]] * 10, [[1, 1], [1, 1], [0, 0]] * 10
    assert found == compare_paired(*repeats, HIGHER)
    with pytest.raises(InputError, match="on the scale"):
        compare_paired([1.5], [0.5], HIGHER, averaged=True)


def test_thousands_of_clusters_take_little_memory() -> None:
    rng = np.random.default_rng(3)
    old, new = (rng.random(3000) < 0.5).astype(float), (rng.random(3000) < 0.5).astype(float)
    tracemalloc.start()
    compare_paired(old, new, HIGHER, weights=rng.uniform(1.0, 2.0, 3000))
    weighted = tracemalloc.get_traced_memory()[1]
    tracemalloc.reset_peak()
    compare_paired(old[:600], new[:600], BOUNDED, method="sign-flip")
    held, flipped = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert weighted < 2_000_000
    assert flipped < 6_000_000
    assert held < 500_000


def test_signings_in_blocks_are_those_of_one_matrix(monkeypatch) -> None:
    rng = np.random.default_rng(4)
    sums = gather(rng.standard_normal(400), np.ones(400), np.arange(400))
    in_blocks = SignFlip(sums, 7).means
    monkeypatch.setattr("evalsvc.stats.clustered.BLOCK", 32 * FLIPS * 400)
    assert SignFlip(sums, 7).means == pytest.approx(in_blocks, abs=1e-12)
    # Half of the clusters are flipped, each as often as the others.
    (signs,) = clustered._subsets(400, 7)
    assert signs.shape == (FLIPS, 400)
    assert abs(signs.mean(axis=0) - 0.5).max() < 0.025


# --- Two windows.


def cell(n, total, pi=0.1, stratum="all", missing=0):
    return Cell(stratum, 1, pi, n, missing, 0, total, total)


def test_two_windows() -> None:
    old, new = Side([cell(500, 25)], {("all", 1): 5000}), Side([cell(500, 60, missing=10)], {("all", 1): 5100})
    found = compare_unpaired(old, new, LOWER)
    assert found.verdict == "worse"
    assert (found.n, found.n_discarded) == (1000, 10)
    assert found.low > 0.0
    assert found.p_value < 0.001
    same = compare_unpaired(old, old, LOWER, question=Question("equivalence", 0.05))
    assert (same.difference, same.verdict) == (0.0, "equivalent")
    assert compare_unpaired(old, old, LOWER).p_value == 1.0


def test_a_window_of_which_all_was_taken_still_is_one_draw_of_its_process() -> None:
    old, new = (Side([cell(400, total, pi=1.0)], {("all", 1): 400}) for total in (40, 48))
    process, window = compare_unpaired(old, new, LOWER), compare_unpaired(old, new, LOWER, target="window")
    assert process.verdict == "inconclusive"
    assert window.verdict == "worse"
    assert window.high - window.low < 1e-9 < process.high - process.low


def test_a_stratum_without_failures_keeps_its_doubt() -> None:
    light, whole = cell(10, 0, pi=0.01, stratum="light"), cell(100, 5, pi=1.0, stratum="whole")
    side = Side([light, whole], {("light", 1): 1000, ("whole", 1): 100})
    found = compare_unpaired(side, side, LOWER, question=Question("equivalence", 0.05))
    assert found.verdict == "inconclusive"
    assert found.high > 0.15


def test_empty_windows() -> None:
    full, empty = Side([cell(100, 5)]), Side([])
    assert compare_unpaired(empty, full, LOWER).reason.startswith("baseline: no event")
    assert compare_unpaired(full, empty, LOWER).reason.startswith("candidate: no event")
    assert compare_unpaired(full, Side([cell(0, 0, missing=5)]), LOWER).difference is None
    lone = compare_unpaired(Side([cell(1, 5.0)]), Side([cell(1, 7.0)]), OPEN)
    assert (lone.difference, lone.low, lone.verdict) == (2.0, None, "inconclusive")
    assert "one score" in lone.reason
    with pytest.raises(InputError, match="`target`"):
        compare_unpaired(full, full, LOWER, target="population")


@pytest.mark.parametrize("target", ["process", "window"])
@pytest.mark.parametrize(
    ("asked", "totals"), [(Question(), (10, 30)), (Question("non-inferiority", 0.2), (12, 14)), (Question(), (5, 6))]
)
def test_missing_scores_of_windows_are_bounded_by_every_way_to_fill_them(asked, totals, target) -> None:
    gone = (6, 4)
    old, new = (
        Side([cell(60, total, missing=m), cell(30, 3, 1.0, "b")]) for total, m in zip(totals, gone, strict=True)
    )

    def with_scores(side, total, missing, ones):
        return Side([cell(60 + missing, total + ones), *side.cells[1:]])

    found = compare_unpaired(old, new, LOWER, question=asked, target=target, worst_case=True)
    plain = compare_unpaired(old, new, LOWER, question=asked, target=target)
    assert (plain.worst_low, plain.worst_high, plain.depends_on_missing) == (None, None, None)
    assert (found.difference, found.low, found.high, found.verdict) == (
        plain.difference,
        plain.low,
        plain.high,
        plain.verdict,
    )
    every = [
        compare_unpaired(
            with_scores(old, totals[0], gone[0], i), with_scores(new, totals[1], gone[1], j), LOWER, question=asked,
            target=target,
        )
        for i in range(gone[0] + 1)
        for j in range(gone[1] + 1)
    ]  # fmt: skip
    assert found.worst_low == pytest.approx(min(plain.low, *(one.low for one in every)), abs=1e-12)
    assert found.worst_high == pytest.approx(max(plain.high, *(one.high for one in every)), abs=1e-12)
    assert found.depends_on_missing == (len({plain.verdict, *(one.verdict for one in every)}) > 1)


def test_windows_whose_verdict_depends_on_missing_scores_say_so() -> None:
    old, new = Side([cell(200, 20)]), Side([cell(200, 45)])
    certain = compare_unpaired(old, new, LOWER, worst_case=True)
    assert (certain.worst_low, certain.worst_high) == (certain.low, certain.high)
    assert certain.depends_on_missing is False
    unsure = compare_unpaired(old, Side([cell(200, 45), cell(0, 0, missing=200)]), LOWER, worst_case=True)
    assert (unsure.verdict, unsure.depends_on_missing) == ("worse", True)
    assert unsure.worst_low < 0.0 < unsure.low
    nothing = compare_unpaired(old, Side([cell(0, 0, missing=60)]), LOWER, worst_case=True)
    assert nothing.difference is None
    assert nothing.worst_low < 0.0 < 0.85 < nothing.worst_high
    assert nothing.depends_on_missing is True
    endless = compare_unpaired(Side([cell(20, 8, missing=2)]), Side([cell(20, 9)]), OPEN, worst_case=True)
    assert (endless.worst_low, endless.depends_on_missing) == (None, None)
    assert "open scale" in endless.reason


def test_tiny_pi_and_huge_weights() -> None:
    side = Side([cell(50, 10, pi=1e-9), cell(50, 10, pi=1.0, stratum="b")])
    found = compare_unpaired(side, side, LOWER)
    assert math.isfinite(found.low)
    assert math.isfinite(found.high)
    assert found.p_value == 1.0


def test_stored_estimates() -> None:
    one, other = (estimate_mean([cell(400, total)], LOWER, DAY) for total in (20, 60))
    found = compare_estimates(one, other, LOWER, question=Question("non-inferiority", 0.02))
    assert found.verdict == "worse"
    assert found.n == 800
    nothing = estimate_mean([], LOWER, DAY)
    assert compare_estimates(nothing, other, LOWER).reason.startswith("baseline: ")
    with pytest.raises(InputError, match="one statistic"):
        compare_estimates(one, msgspec.structs.replace(other, confidence=0.9), LOWER)


def stored_share(total, n=200, pi=1.0, offered=200, missing=0):
    return estimate_mean([cell(n, total, pi=pi, missing=missing)], LOWER, DAY, offered={("all", 1): offered})


def test_stored_estimates_of_all_events_still_are_draws_of_a_process() -> None:
    old, new = stored_share(12), stored_share(16)
    assert old.low == old.high
    process, window = compare_estimates(old, new, LOWER), compare_estimates(old, new, LOWER, target="window")
    assert (process.verdict, window.verdict) == ("inconclusive", "worse")
    sides = [Side([cell(200, total, pi=1.0)], {("all", 1): 200}) for total in (12, 16)]
    cells = compare_unpaired(*sides, LOWER)
    assert (process.low, process.high) == pytest.approx((cells.low, cells.high), rel=1e-6)
    with pytest.raises(InputError, match="`target`"):
        compare_estimates(old, new, LOWER, target="population")


@pytest.mark.parametrize(("pi", "offered"), [(0.5, 1000), (0.1, 5000), (0.9, 556)])
def test_stored_estimates_of_a_part_come_near_their_cells(pi, offered) -> None:
    found = compare_estimates(*(stored_share(total, 500, pi, offered) for total in (60, 90)), LOWER)
    sides = [Side([cell(500, total, pi=pi)], {("all", 1): offered}) for total in (60, 90)]
    cells = compare_unpaired(*sides, LOWER)
    assert found.high - found.low == pytest.approx(cells.high - cells.low, rel=0.02)


def test_stored_estimates_on_an_open_scale() -> None:
    def latency(total, n, offered):
        return estimate_mean([cell(n, total, pi=n / offered)], OPEN, DAY, offered={("all", 1): offered})

    found = compare_estimates(latency(200, 200, 200), latency(210, 200, 200), OPEN)
    assert (found.low, found.verdict) == (None, "inconclusive")
    assert "all its events were scored" in found.reason
    assert compare_estimates(latency(200, 200, 200), latency(210, 200, 200), OPEN, target="window").high is not None
    half = [
        msgspec.structs.replace(latency(200, 100, 200), value=value, low=value - 1.0, high=value + 1.0)
        for value in (5.0, 6.0)
    ]
    # Half of the events were scored: the process has twice the window's variance.
    process, window = compare_estimates(*half, OPEN), compare_estimates(*half, OPEN, target="window")
    assert process.high - 1.0 == pytest.approx(math.sqrt(2.0) * (window.high - 1.0))
    totals = [msgspec.structs.replace(one, statistic="total") for one in half]
    assert "`target='window'`" in compare_estimates(*totals, OPEN).reason


def test_the_missing_share_weighs_events() -> None:
    old, new = cell(5, 1, pi=1.0, missing=5), cell(99_990, 100, pi=1.0)
    assert compare_unpaired(Side([old]), Side([new]), LOWER).missing_share == pytest.approx(5 / 100_000)
    light = cell(90, 9, pi=0.1, missing=10)
    assert compare_unpaired(Side([old]), Side([light]), LOWER).missing_share == pytest.approx(105 / 1010)
    stored = stored_share(1, 5, 1.0, 10, missing=5), stored_share(9, 90, 0.1, 1000, missing=10)
    assert compare_estimates(*stored, LOWER).missing_share == pytest.approx(105 / 1010)


# --- Power.


def test_power_cases_and_detectable_effect_are_one_curve() -> None:
    for design in (PairedMeans(0.4), PairedMeans(0.4, 5, 0.3), PairedShares(0.05), TwoMeans(0.4, 0.5), TwoShares(0.8)):
        effect = 0.04
        cases = cases_for(design, effect)
        assert power_of(design, cases, effect) >= 0.8
        assert power_of(design, int(cases * 0.9), effect) < 0.8
        assert detectable(design, cases) == pytest.approx(effect, rel=0.05)


def test_a_margin_that_an_equal_version_passes() -> None:
    design, question = PairedMeans(0.3), Question("non-inferiority")
    margin = detectable(design, 150, question=question)
    assert power_of(design, 150, 0.0, question=question._replace(margin=margin)) == pytest.approx(0.8, abs=1e-3)


def test_what_cannot_be_detected_has_no_number() -> None:
    assert detectable(PairedMeans(0.4), 1) is None
    assert detectable(PairedShares(0.5), 3) is None
    assert cases_for(PairedMeans(0.4), -0.1, question=Question("non-inferiority", 0.05)) is None


@pytest.mark.parametrize(
    "design", [PairedMeans(0.0), PairedShares(0.0), PairedShares(1.5), TwoShares(1.0), TwoMeans(-1.0)]
)
def test_designs_that_are_none(design) -> None:
    with pytest.raises(InputError, match="Expected"):
        power_of(design, 10, 0.1)


def test_power_refuses_wrong_arguments() -> None:
    with pytest.raises(InputError, match="`cases`"):
        power_of(PairedMeans(1.0), 0, 0.1)
    with pytest.raises(InputError, match="chance"):
        cases_for(PairedMeans(1.0), 0.1, power=1.0)
    with pytest.raises(InputError, match="`icc`"):
        power_of(PairedMeans(1.0, 5, 2.0), 10, 0.1)
    with pytest.raises(InputError, match="`ratio`"):
        power_of(TwoShares(0.5, 0.0), 10, 0.1)


def test_inconclusive_says_how_many_more() -> None:
    rng = np.random.default_rng(6)
    codes = np.repeat(np.arange(35), 4).tolist()
    d = 0.2 * rng.standard_normal(140) + 0.1 * rng.standard_normal(35).repeat(4)
    ask = Question("non-inferiority", 0.02)
    found = compare_paired(np.zeros(140), d, Scale(None, None, "higher"), clusters=codes, question=ask)
    need = cases_needed(found)
    assert found.verdict == "inconclusive"
    assert need.cases == 140 + need.more
    assert need.clusters == math.ceil(need.cases / 4)
    assert "χ²" in need.method
    # The observed spread itself would ask for fewer.
    assert cases_needed(found, assurance=0.5).cases < need.cases < cases_needed(found, power=0.95).cases


def test_where_no_number_settles_it_the_reason_is_given() -> None:
    flat = compare_paired(*pairs(50, 3, 3, 44), HIGHER)
    assert (cases_needed(flat).cases, flat.verdict) == (None, "inconclusive")
    assert "difference of 0" in cases_needed(flat).reason
    assert cases_needed(flat, effect=0.05).more > 0
    close = compare_paired(*pairs(50, 3, 3, 44), HIGHER, question=Question("equivalence", 0.02))
    assert "not equivalent" in cases_needed(close, effect=0.02).reason
    margin = compare_paired(*pairs(50, 3, 3, 44), HIGHER, question=Question("non-inferiority", 0.02))
    assert "not non-inferior" in cases_needed(margin, effect=-0.02).reason
    assert cases_needed(compare_paired([], [], HIGHER), effect=0.1).reason.startswith("no case")
    settled = compare_paired(*pairs(40, 40, 0, 20), HIGHER)
    assert (cases_needed(settled).more, cases_needed(settled).method) == (0, "settled")


def test_needs_without_a_standard_error_come_from_the_interval() -> None:
    codes = np.repeat(np.arange(20), 5).tolist()
    rare = compare_paired(
        [1] * 100, [1] * 98 + [0] * 2, HIGHER, clusters=codes, question=Question("non-inferiority", 0.02)
    )
    need = cases_needed(rare)
    assert rare.verdict == "inconclusive"
    assert need.cases > 100
    assert "half-width" in need.method
    two = compare_unpaired(
        Side([cell(100, 5)]), Side([cell(100, 7)]), LOWER, question=Question("non-inferiority", 0.01)
    )
    assert cases_needed(two).cases > 200


# --- Many tests.


def test_what_was_not_tested_does_not_count() -> None:
    found = adjust_p_values({"a": 0.03, "b": None, "c": 0.9}, family="demo")
    assert (found.m, found.adjusted, found.found, found.family) == (2, (0.06, None, 0.9), (), "demo")
    empty = adjust_p_values({})
    assert (empty.m, empty.found) == (0, ())
    assert e_benjamini_hochberg({"a": None}).rejected == (False,)
    assert adjust_tree({"a": {"b": None}, "c": {}}).values == (None, None, None)


@pytest.mark.parametrize("p", [-0.1, 1.1, math.nan])
def test_a_p_value_is_one(p) -> None:
    for call in (lambda: adjust_p_values({"a": p}), lambda: lord(online(), p), lambda: adjust_tree({"a": {"b": p}})):
        with pytest.raises(InputError, match="p-value"):
            call()


def test_an_e_value_is_one() -> None:
    for call in (lambda: e_benjamini_hochberg({"a": -1.0}), lambda: e_lond(online(), math.nan)):
        with pytest.raises(InputError, match="e-value"):
            call()
    assert e_benjamini_hochberg({"a": math.inf, "b": 0.0}).found == ("a",)
    assert e_lond(online(), math.inf).rejected


def test_levels_and_procedures_are_checked() -> None:
    with pytest.raises(InputError, match="`level`"):
        online(0.0)
    with pytest.raises(InputError, match="`procedure`"):
        adjust_p_values({"a": 0.1}, procedure="bonferroni")


def test_an_unpromising_family_is_not_looked_into() -> None:
    found = adjust_tree({"a": {"x": 0.0001, "y": 0.9}, "b": {"x": 0.04, "y": 0.9}})
    assert found.found == ("a", "a / x")
    assert dict(zip(found.names, found.adjusted, strict=True))["b / x"] is None


def test_online_states_are_values_that_can_be_stored() -> None:
    state = online(0.05)
    for p in (0.5, 0.0001, 0.9, 1e-6):
        state = lord(state, p).state
    assert (state.tests, state.rejections) == (4, (2, 4))
    assert msgspec.json.decode(msgspec.json.encode(state), type=type(state)) == state
    # The steps are the record of what was tested.
    step = e_lond(state, 2.0, name="tone, 2026-03-01")
    assert (step.method, step.name, step.value, step.state.tests) == ("e-LOND", "tone, 2026-03-01", 2.0, 5)
    assert lord(state, 0.5)[3:] == ("LORD++", "", 0.5)
    # A discovery buys room: the next level is higher than without it.
    none = msgspec.structs.replace(state, rejections=(), found=0)
    assert lord(state, 0.5).level > lord(none, 0.5).level
    assert e_lond(state, 1.0).level == pytest.approx(3 * e_lond(none, 1.0).level)
    # One that was stored before there was a count.
    assert e_lond(msgspec.structs.replace(state, found=0), 1.0).level == e_lond(state, 1.0).level


def test_a_state_made_by_hand_has_wealth() -> None:
    assert lord(Online(0.1), 1e-9) == lord(online(0.1), 1e-9)._replace(
        state=msgspec.structs.replace(lord(online(0.1), 1e-9).state, wealth=0.0)
    )
    assert lord(Online(), 1e-9).rejected
    for wrong in ({"level": 0.0}, {"level": 2.0}, {"wealth": 0.06}, {"wealth": -0.01}):
        with pytest.raises(InputError, match="Expected"):
            Online(**wrong)


def test_thousands_of_rejections_cost_little() -> None:
    state = powerful = online(0.05)
    for _ in range(3000):
        state, powerful = lord(state, 1e-9).state, e_lond(powerful, 1e12).state
    assert (state.found, powerful.found, powerful.rejections) == (3000, 3000, ())
    # What is forgotten lowers the level, and never raises it.
    assert len(state.rejections) == 1000
    gaps = np.arange(1, 3001)
    gammas = 0.07720838 * np.log(np.maximum(gaps, 2)) / (gaps * np.exp(np.sqrt(np.log(gaps))))
    whole = 0.05 * gammas.sum() - 0.025 * gammas[-1] + 0.025 * float(gamma(3001))
    assert 0.8 * whole < lord(state, 0.5).level < whole
    assert len(msgspec.msgpack.encode(state)) < 4000


def test_a_tree_counts_the_leaves_that_were_reached() -> None:
    assert adjust_tree({"a": {"x": 0.9, "y": 0.9}, "b": {"x": 0.9}}).m == 0
    assert adjust_tree({"a": {"x": 1e-6, "y": 0.9, "z": None}, "b": {"x": 0.9}, "c": 0.5}).m == 3


@pytest.mark.parametrize("n", [12, 25, 80])
@pytest.mark.parametrize("better", ["higher", "lower"])
def test_a_rare_loss_is_a_cluster_more_against_the_claim(better, n) -> None:
    rng = np.random.default_rng(n)
    old, new = rng.uniform(0.4, 0.6, n), rng.uniform(0.4, 0.6, n)
    weights, scale, free = rng.uniform(1.0, 2.0, n), Scale(0.0, 1.0, better), Scale(None, None, better)
    question = Question("non-inferiority", margin=0.1)
    found = compare_paired(old, new, scale, weights=weights, question=question, rare=True)
    worse = 0.0 if better == "higher" else 1.0
    more = [*weights, unmet_clusters(0.05) * weights.mean()]
    by_hand = compare_paired(
        [*old, np.average(old, weights=weights)], [*new, worse], free, weights=more, question=question,
        method="sign-flip" if n < 30 else "t",
    )  # fmt: skip
    side = "low" if better == "higher" else "high"
    # CR2 takes the added cluster's Σw² for that of so many clusters, which the weights of cases have not.
    assert getattr(found, side) == pytest.approx(getattr(by_hand, side), rel=0.02)
    assert found.p_value == pytest.approx(by_hand.p_value, rel=0.1)
    plain = compare_paired(old, new, scale, weights=weights, question=question)
    assert (found.difference, found.p_opposite) == (plain.difference, plain.p_opposite)
    assert found.p_value > plain.p_value
    asked = Question()
    assert compare_paired(old, new, scale, rare=True, question=asked) == compare_paired(old, new, scale, question=asked)
    assert compare_paired(old, new, free, rare=True, question=question) == compare_paired(
        old, new, free, question=question
    )


def test_equivalence_has_to_hold_on_both_sides() -> None:
    rng = np.random.default_rng(1)
    old, new = rng.uniform(0.7, 0.9, 60), rng.uniform(0.7, 0.9, 60)
    question = Question("equivalence", margin=0.04)
    found = compare_paired(old, new, BOUNDED, question=question, rare=True)
    plain = compare_paired(old, new, BOUNDED, question=question)
    assert (plain.verdict, found.verdict) == ("equivalent", "inconclusive")
    assert found.low < plain.low < plain.high < found.high
    assert "a loss that none of these 60 cases happened to meet" in found.reason
    pairs = [place // 2 for place in range(60)]
    grouped = compare_paired(old, new, BOUNDED, question=question, rare=True, clusters=pairs)
    assert "a loss that none of these 30 groups happened to meet" in grouped.reason
    for shift in (0.15, -0.15):
        moved = [
            compare_paired(old, np.clip(new + shift, 0, 1), BOUNDED, question=question, rare=r) for r in (True, False)
        ]
        assert moved[0].verdict == moved[1].verdict != "inconclusive"
        assert moved[0].p_opposite == moved[1].p_opposite
        assert moved[0].low > 0.04 if shift > 0 else moved[0].high < -0.04
