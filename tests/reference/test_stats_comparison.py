"""Comparisons, power and multiplicity, digit by digit: scipy, statsmodels, published values and brute force."""

import itertools
import math
from datetime import UTC, datetime

import numpy as np
import pytest
from scipy import optimize, stats
from statsmodels.regression.linear_model import OLS
from statsmodels.stats.contingency_tables import mcnemar
from statsmodels.stats.multitest import multipletests
from statsmodels.stats.power import TTestIndPower, TTestPower
from statsmodels.stats.proportion import confint_proportions_2indep
from statsmodels.stats.weightstats import DescrStatsW

from evalsvc.stats import (
    PairedMeans,
    PairedShares,
    Question,
    Side,
    TwoMeans,
    adjust_p_values,
    adjust_tree,
    compare_estimates,
    compare_paired,
    compare_unpaired,
    e_benjamini_hochberg,
    e_from_p,
    e_lond,
    estimate_mean,
    lord,
    online,
    power_of,
)
from evalsvc.stats.binary_pairs import mcnemar_mid_p, newcombe_limits, tango_limits, tango_z
from evalsvc.stats.clustered import SignFlip, cr2, gather
from evalsvc.types import Cell, Scale, Window

BINARY = Scale(0.0, 1.0, "higher", binary=True)
OPEN = Scale(None, None, "higher")
DAY = Window(datetime(2026, 3, 1, tzinfo=UTC), datetime(2026, 3, 2, tzinfo=UTC))


# --- Pairs of yes and no.


@pytest.mark.parametrize(("b", "c"), [(0, 0), (1, 0), (1, 7), (7, 1), (5, 5), (3, 17), (40, 20), (130, 95)])
def test_mid_p_is_the_exact_test_less_half_of_what_was_seen(b: int, c: int) -> None:
    exact = mcnemar([[10, b], [c, 10]], exact=True).pvalue if b + c else 1.0
    seen = stats.binom.pmf(b, b + c, 0.5)
    expected = 1.0 if b == c else exact - seen
    assert mcnemar_mid_p(b, c) == pytest.approx(expected, abs=1e-12)


def test_published_intervals() -> None:
    # Airway hyper-responsiveness before and after stem cell transplantation (Bentur et al. 2009), as evaluated by
    # Fagerland, Lydersen & Laake (2014): mid-P .0391, Tango -0.517 to -0.026, Newcombe -0.507 to -0.026.
    assert mcnemar_mid_p(1, 7) == pytest.approx(0.0391, abs=5e-5)
    assert tango_limits(1, 7, 21, 0.95) == pytest.approx((-0.517, -0.026), abs=5e-4)
    assert newcombe_limits(1, 1, 7, 12, 0.95) == pytest.approx((-0.507, -0.026), abs=5e-4)
    # Complete response before and after consolidation therapy (Cavo et al. 2012), in R's contingencytables.
    assert newcombe_limits(59, 6, 16, 80, 0.95) == pytest.approx((-0.1186, -0.0046), abs=5e-5)
    # Newcombe (1998b), table II.
    assert newcombe_limits(36, 12, 2, 0, 0.95) == pytest.approx((0.0569, 0.3404), abs=5e-5)


@pytest.mark.parametrize(("b", "c", "n"), [(1, 7, 21), (12, 2, 50), (40, 20, 160), (0, 3, 60)])
@pytest.mark.parametrize("at", [-0.3, -0.05, 0.0, 0.1])
def test_tango_against_the_likelihood(b: int, c: int, n: int, at: float) -> None:
    """Find the likeliest share of c-cases numerically, and make the score statistic from it."""

    def unlikely(q: float) -> float:
        shares = np.array([q + at, q, 1 - 2 * q - at])
        counts = np.array([b, c, n - b - c])
        return -float((counts * np.log(np.maximum(shares, 1e-300))).sum())

    low, high = max(0.0, -at), (1.0 - at) / 2.0
    q = optimize.minimize_scalar(unlikely, bounds=(low, high), method="bounded", options={"xatol": 1e-12}).x
    expected = (b - c - n * at) / math.sqrt(n * (2 * q + at * (1 - at)))
    assert tango_z(b, c, n, at) == pytest.approx(expected, rel=1e-3)


def test_tangos_limits_are_where_the_test_refuses() -> None:
    low, high = tango_limits(40, 20, 160, 0.95)
    assert tango_z(40, 20, 160, low) == pytest.approx(stats.norm.ppf(0.975), abs=1e-8)
    assert tango_z(40, 20, 160, high) == pytest.approx(-stats.norm.ppf(0.975), abs=1e-8)
    # At no difference it is McNemar's asymptotic test.
    statistic = mcnemar([[50, 40], [20, 50]], exact=False, correction=False).statistic
    assert tango_z(40, 20, 160, 0.0) ** 2 == pytest.approx(statistic)


# --- Means of pairs.


def test_without_clusters_it_is_the_paired_t_test() -> None:
    rng = np.random.default_rng(1)
    old, new = rng.standard_normal(60), 0.3 + rng.standard_normal(60)
    found = compare_paired(old, new, OPEN)
    expected = stats.ttest_rel(new, old)
    interval = expected.confidence_interval(0.95)
    assert (found.p_value, found.low, found.high) == pytest.approx((expected.pvalue, interval.low, interval.high))
    assert found.degrees == pytest.approx(59)


def test_equivalence_is_two_one_sided_t_tests() -> None:
    d = 0.02 + 0.2 * np.random.default_rng(2).standard_normal(80)
    found = compare_paired(np.zeros(80), d, OPEN, question=Question("equivalence", 0.1))
    p_value, _, _ = DescrStatsW(d).ttost_mean(-0.1, 0.1)
    assert found.p_value == pytest.approx(p_value)
    assert found.verdict == "equivalent"
    assert (found.low, found.high) == pytest.approx(DescrStatsW(d).tconfint_mean(alpha=0.1))


def brute_cr2(d: np.ndarray, codes: np.ndarray) -> tuple[float, float]:
    """CR2 with Bell & McCaffrey's degrees of freedom from whole matrices, for a mean of equally weighted cases."""
    n, groups = d.size, np.unique(codes)
    x = np.ones((n, 1))
    annihilator = np.eye(n) - x @ x.T / n
    residuals = annihilator @ d
    rows = []
    for g in groups:
        inside = codes == g
        values, vectors = np.linalg.eigh(annihilator[np.ix_(inside, inside)])
        root = vectors @ np.diag(values**-0.5) @ vectors.T
        rows.append(x[inside, 0] @ root @ annihilator[inside] / n)
    gram = np.array(rows) @ np.array(rows).T
    variance = sum(
        float(x[codes == g, 0] @ _root(annihilator, codes == g) @ residuals[codes == g] / n) ** 2 for g in groups
    )
    return math.sqrt(variance), np.trace(gram) ** 2 / np.trace(gram @ gram)


def _root(annihilator: np.ndarray, inside: np.ndarray) -> np.ndarray:
    values, vectors = np.linalg.eigh(annihilator[np.ix_(inside, inside)])
    return vectors @ np.diag(values**-0.5) @ vectors.T


@pytest.mark.parametrize("sizes", [[3, 3, 3, 3], [1, 2, 5, 9, 1], [1, 30, 1, 1, 1, 1]])
def test_cr2_against_whole_matrices(sizes: list[int]) -> None:
    codes = np.repeat(np.arange(len(sizes)), sizes)
    d = np.random.default_rng(3).standard_normal(codes.size) + codes
    found = cr2(gather(d, np.ones(codes.size), codes))
    assert (found.error, found.degrees) == pytest.approx(brute_cr2(d, codes))


def test_many_even_clusters_agree_with_statsmodels() -> None:
    codes = np.repeat(np.arange(200), 4)
    d = np.random.default_rng(4).standard_normal(800) + np.random.default_rng(5).standard_normal(200)[codes]
    found = compare_paired(np.zeros(800), d, OPEN, clusters=codes.tolist())
    fit = OLS(d, np.ones(800)).fit(cov_type="cluster", cov_kwds={"groups": codes})
    # Even clusters: CR1's and CR2's corrections are 200/199 both, up to statsmodels' (n - 1)/n.
    assert found.standard_error == pytest.approx(fit.bse[0] * math.sqrt(799 / 800 * 1.0), rel=1e-3)
    assert found.degrees == pytest.approx(199)


def test_sign_flip_against_all_signs() -> None:
    rng = np.random.default_rng(6)
    codes = np.repeat(np.arange(8), rng.integers(1, 6, 8))
    d = rng.standard_normal(codes.size) + 0.4
    sums = gather(d, np.ones(codes.size), codes)
    flips = SignFlip(sums)
    for at in (-0.2, 0.0, 0.35):
        totals = sums.totals - at * sums.weights
        signed = [float(np.dot(signs, totals)) for signs in itertools.product([1.0, -1.0], repeat=8)]
        assert flips.above(at) == pytest.approx(np.mean([s >= totals.sum() - 1e-9 for s in signed]))
        assert flips.below(at) == pytest.approx(np.mean([s <= totals.sum() + 1e-9 for s in signed]))
    low, high = flips.limits(0.95)
    assert flips.two_sided(low + 1e-6) > 0.05 >= flips.two_sided(low - 1e-6)
    assert flips.two_sided(high - 1e-6) > 0.05 >= flips.two_sided(high + 1e-6)


def test_sign_flip_of_single_cases_is_scipys_permutation_test() -> None:
    d = np.random.default_rng(7).standard_normal(10) + 0.5
    found = compare_paired(np.zeros(10), d, OPEN, method="sign-flip")
    expected = stats.permutation_test((d,), np.sum, permutation_type="samples", n_resamples=np.inf)
    assert found.p_value == pytest.approx(expected.pvalue)


# --- Two windows.


def test_two_shares_are_newcombes_where_wilson_is_not_stretched() -> None:
    # With many of both outcomes the limits of a share are Wilson's.
    sides = [Side([Cell("all", 1, 1e-9, 2000, 0, 0, total, total)]) for total in (900, 1010)]
    found = compare_unpaired(*sides, BINARY)
    expected = confint_proportions_2indep(1010, 2000, 900, 2000, method="newcomb", compare="diff")
    assert (found.low, found.high) == pytest.approx(expected, rel=1e-6)


def test_two_means_against_the_unequal_variances_t_test() -> None:
    rng = np.random.default_rng(8)
    old, new = rng.standard_normal(200), 0.25 + 2 * rng.standard_normal(300)
    cells = [Cell("all", 1, 1e-9, v.size, 0, 0, float(v.sum()), float((v * v).sum())) for v in (old, new)]
    found = compare_unpaired(Side([cells[0]]), Side([cells[1]]), OPEN)
    expected = stats.ttest_ind(new, old, equal_var=False)
    interval = expected.confidence_interval(0.95)
    # MOVER joins two t limits where Welch takes one t: half a percent of the width at these sizes.
    assert found.difference == pytest.approx(new.mean() - old.mean())
    assert (found.low, found.high) == pytest.approx(
        (interval.low, interval.high), abs=0.005 * (interval.high - interval.low)
    )
    assert found.p_value == pytest.approx(expected.pvalue, rel=0.05)


def test_estimates_agree_with_their_cells() -> None:
    cells = [Cell("all", 1, 1e-9, 500, 0, 0, total, total) for total in (200, 245)]
    direct = compare_unpaired(Side([cells[0]]), Side([cells[1]]), BINARY)
    stored = compare_estimates(*(estimate_mean([cell], BINARY, DAY) for cell in cells), BINARY)
    assert (stored.low, stored.high) == pytest.approx((direct.low, direct.high), rel=1e-6)
    assert stored.p_value == pytest.approx(direct.p_value, rel=0.05)
    assert stored.verdict == direct.verdict == "better"


# --- Power.


@pytest.mark.parametrize(("n", "effect"), [(10, 0.5), (40, 0.2), (300, 0.05)])
def test_power_of_t_against_statsmodels(n: int, effect: float) -> None:
    paired = TTestPower().power(effect / 0.4, n, 0.05)
    assert power_of(PairedMeans(0.4), n, effect) == pytest.approx(paired, rel=1e-6)
    two = TTestIndPower().power(effect / 0.4, n, 0.05, ratio=1.5)
    assert power_of(TwoMeans(0.4, ratio=1.5), n, effect) == pytest.approx(two, rel=1e-6)
    one_sided = TTestPower().power((effect + 0.1) / 0.4, n, 0.05, alternative="larger")
    assert power_of(PairedMeans(0.4), n, effect, question=Question("non-inferiority", 0.1)) == pytest.approx(one_sided)


@pytest.mark.parametrize(("n", "discordant", "effect"), [(30, 0.3, 0.2), (35, 0.1, 0.1), (25, 0.5, 0.0)])
def test_power_of_mcnemar_over_all_tables(n: int, discordant: float, effect: float) -> None:
    power = 0.0
    for b, c in itertools.product(range(n + 1), repeat=2):
        if b + c <= n and mcnemar_mid_p(b, c) <= 0.05:
            shares = [(discordant + effect) / 2, (discordant - effect) / 2, 1 - discordant]
            power += stats.multinomial.pmf([b, c, n - b - c], n, shares)
    assert power_of(PairedShares(discordant), n, effect) == pytest.approx(power, abs=1e-6)


# --- Many tests.

P_VALUES = np.array([0.001, 0.008, 0.039, 0.041, 0.042, 0.06, 0.074, 0.205, 0.212, 0.216, 0.222, 0.251, 1.0, 0.008])


@pytest.mark.parametrize(
    ("procedure", "theirs"), [("benjamini-hochberg", "fdr_bh"), ("benjamini-yekutieli", "fdr_by"), ("holm", "holm")]
)
def test_adjusted_p_values(procedure: str, theirs: str) -> None:
    found = adjust_p_values({str(i): p for i, p in enumerate(P_VALUES)}, procedure=procedure, level=0.1)
    rejected, adjusted, _, _ = multipletests(P_VALUES, 0.1, theirs)
    assert found.adjusted == pytest.approx(adjusted, abs=1e-12)
    assert list(found.rejected) == rejected.tolist()
    if procedure != "holm":
        method = "bh" if procedure == "benjamini-hochberg" else "by"
        assert found.adjusted == pytest.approx(stats.false_discovery_control(P_VALUES, method=method), abs=1e-12)


def test_e_bh_by_its_definition() -> None:
    e = np.exp(np.random.default_rng(9).normal(1.0, 2.0, 40))
    ordered = np.sort(e)[::-1]
    passing = [k for k in range(1, 41) if ordered[k - 1] >= 40 / (k * 0.1)]
    found = e_benjamini_hochberg({str(i): float(v) for i, v in enumerate(e)}, level=0.1)
    assert sum(found.rejected) == max(passing, default=0) > 0


def test_lord_by_its_definition() -> None:
    p = np.random.default_rng(10).beta(0.3, 3.0, 60)
    gammas = [0.07720838 * math.log(max(t, 2)) / (t * math.exp(math.sqrt(math.log(t)))) for t in range(1, 61)]
    state, times = online(0.05), []
    for t in range(1, 61):
        expected = gammas[t - 1] * 0.025
        if times:
            expected += (0.05 - 0.025) * gammas[t - times[0] - 1]
            expected += 0.05 * sum(gammas[t - at - 1] for at in times[1:])
        step = lord(state, float(p[t - 1]))
        assert step.level == pytest.approx(expected)
        state = step.state
        if p[t - 1] <= expected:
            times.append(t)
    assert (state.rejections, state.found) == (tuple(times), len(times))
    assert len(times) > 3


def test_e_lond_by_its_definition() -> None:
    e = np.exp(np.random.default_rng(11).normal(7.0, 3.0, 60))
    state, times = online(0.05), []
    for t in range(1, 61):
        share = 0.07720838 * math.log(max(t, 2)) / (t * math.exp(math.sqrt(math.log(t))))
        expected = 0.05 * share * (len(times) + 1)
        step = e_lond(state, float(e[t - 1]))
        assert step.level == pytest.approx(expected)
        state = step.state
        if e[t - 1] >= 1 / expected:
            times.append(t)
    assert (state.found, state.rejections) == (len(times), ())
    assert 3 < len(times) < 57


def test_a_calibrated_e_value_integrates_to_at_most_one() -> None:
    grid = np.exp(np.linspace(-60, 0, 400_001))
    e = np.array([e_from_p(float(p)) for p in grid])
    # The mass below e^-60 is 1/60 of the whole, as ∫ dp/(p log² p) tells.
    assert np.trapezoid(e, grid) == pytest.approx(1.0 - 1 / 60, abs=1e-3)
    assert e_from_p(1.0 - 1e-4) == pytest.approx(e_from_p(1.0 - 2e-3), rel=2e-3)


def test_a_tree_of_one_floor_is_benjamini_hochberg() -> None:
    values = {str(i): float(p) for i, p in enumerate(P_VALUES)}
    tree, flat = adjust_tree(values, level=0.1), adjust_p_values(values, level=0.1)
    assert tree.rejected == flat.rejected
    assert tree.adjusted == pytest.approx(flat.adjusted)


def test_a_tree_of_two_floors_by_hand() -> None:
    # Simes: a = min(3·.001, 3·.02/2, .9) = .003; b = min(2·.3, .4) = .4. BH of (.003, .4) at .05 keeps a; its
    # children are tested at .05·1/2: .001 <= .025/3 and .02 > 2·.025/3.
    found = adjust_tree({"a": {"x": 0.001, "y": 0.02, "z": 0.9}, "b": {"x": 0.3, "y": 0.4}})
    assert dict(zip(found.names, found.values, strict=True))["a"] == pytest.approx(0.003)
    assert dict(zip(found.names, found.values, strict=True))["b"] == pytest.approx(0.4)
    assert found.found == ("a", "a / x")
    assert found.adjusted[1] == pytest.approx(0.006)
    assert found.adjusted[found.names.index("b / x")] is None
