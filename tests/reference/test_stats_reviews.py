"""Reviews and judges, digit for digit: ppi-python, krippendorff, statsmodels, and published tables."""

from __future__ import annotations

import itertools
import math
import warnings

import numpy as np
import pytest

from evalsvc.stats import cohen_kappa, gwet_ac, krippendorff_alpha, percent_agreement, ppi_mean

NAN = math.nan
# Krippendorff's canonical example (2011, "Computing Krippendorff's alpha-reliability"), observers by row.
CANONICAL = np.array(
    [
        [1, 2, 3, 3, 2, 1, 4, 1, 2, NAN, NAN, NAN],
        [1, 2, 3, 3, 2, 2, 4, 1, 2, 5, NAN, 3],
        [NAN, 3, 3, 3, 2, 3, 4, 2, 2, 5, 1, NAN],
        [1, 2, 3, 3, 2, 4, 4, 1, 2, 5, 1, NAN],
    ]
).T


@pytest.fixture(scope="module")
def ppi_py():
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return pytest.importorskip("ppi_py")


@pytest.mark.parametrize("lam", [None, 0.0, 0.4, 1.0])
@pytest.mark.parametrize("seed", range(5))
def test_ppi_mean_is_ppi_pythons(ppi_py, lam, seed) -> None:
    rng = np.random.default_rng(seed)
    y = (rng.random(60) < 0.3).astype(float) if seed % 2 else rng.normal(2, 1, 60)
    f, other = 0.7 * y + rng.normal(0, 0.3, 60), rng.normal(1, 0.8, 700)
    ours = ppi_mean(y, f, other, lam=lam, confidence=0.9)
    low, high = ppi_py.ppi_mean_ci(y, f, other, alpha=0.1, lam=lam)
    point = ppi_py.ppi_mean_pointestimate(y, f, other, lam=lam)
    assert ours.value == pytest.approx(float(np.squeeze(point)), abs=1e-9)
    assert ours.low == pytest.approx(float(np.squeeze(low)), abs=1e-9)
    assert ours.high == pytest.approx(float(np.squeeze(high)), abs=1e-9)


@pytest.mark.parametrize(("level", "published"), [("nominal", 0.743), ("ordinal", 0.815), ("interval", 0.849)])
def test_alpha_of_the_canonical_example(level, published) -> None:
    assert krippendorff_alpha(CANONICAL, level=level).value == pytest.approx(published, abs=5e-4)


@pytest.mark.parametrize("level", ["nominal", "ordinal", "interval"])
@pytest.mark.parametrize("seed", range(4))
def test_alpha_is_the_librarys(level, seed) -> None:
    library = pytest.importorskip("krippendorff")
    rng = np.random.default_rng(seed)
    ratings = np.clip(rng.integers(1, 6, (40, 1)) + rng.integers(-1, 2, (40, 3 + seed)), 1, 6).astype(float)
    ratings[rng.random(ratings.shape) < 0.2] = NAN
    expected = library.alpha(reliability_data=ratings.T, level_of_measurement=level)
    assert krippendorff_alpha(ratings, level=level).value == pytest.approx(expected, abs=1e-9)


@pytest.mark.parametrize(("weights", "theirs"), [("nominal", None), ("linear", "ca"), ("quadratic", "fc")])
def test_kappa_and_its_variance_are_statsmodels(weights, theirs) -> None:
    library = pytest.importorskip("statsmodels.stats.inter_rater")
    table = np.array([[22, 4, 1], [6, 15, 5], [2, 3, 12]])
    pairs = [[a, b] for a in range(3) for b in range(3) for _ in range(table[a, b])]
    expected = library.cohens_kappa(table, wt=theirs)
    ours = cohen_kappa(pairs, weights=weights)
    n = len(pairs)
    assert ours.value == pytest.approx(expected.kappa, abs=1e-12)
    # statsmodels divides by n where a variance from n items wants n - 1.
    assert ours.standard_error * math.sqrt((n - 1) / n) == pytest.approx(expected.std_kappa, abs=1e-9)


def test_nominal_and_quadratic_kappa_are_sklearns() -> None:
    metrics = pytest.importorskip("sklearn.metrics")
    rng = np.random.default_rng(3)
    a = rng.integers(0, 4, 80)
    b = np.where(rng.random(80) < 0.6, a, rng.integers(0, 4, 80))
    for weights, theirs in (("nominal", None), ("linear", "linear"), ("quadratic", "quadratic")):
        expected = metrics.cohen_kappa_score(a, b, weights=theirs)
        assert cohen_kappa(np.column_stack([a, b]), weights=weights).value == pytest.approx(expected, abs=1e-12)


def test_alpha_of_a_full_table_is_fleiss_kappa_corrected_for_its_size() -> None:
    library = pytest.importorskip("statsmodels.stats.inter_rater")
    ratings = np.random.default_rng(5).integers(0, 3, (30, 4))
    counts, _ = library.aggregate_raters(ratings)
    fleiss = library.fleiss_kappa(counts)
    size = ratings.size
    assert krippendorff_alpha(ratings).value == pytest.approx(1 - (1 - fleiss) * (size - 1) / size, abs=1e-12)


def test_ac1_of_gwets_table() -> None:
    # AC1 and its error as irrCAC gives them for these twelve units (its cac.raw4raters).
    found = gwet_ac(CANONICAL)
    assert found.value == pytest.approx(0.77544, abs=5e-6)
    assert found.standard_error == pytest.approx(0.14295, abs=5e-6)


def test_ac1_where_kappa_is_paradoxical() -> None:
    # 118 and 2 agreed, 5 and 0 not (Gwet 2008's kind of table): by hand.
    pairs = [[1, 1]] * 118 + [[1, 0]] * 5 + [[0, 0]] * 2
    p = (123 + 118) / 250
    chance = 2 * p * (1 - p)
    assert gwet_ac(pairs).value == pytest.approx((120 / 125 - chance) / (1 - chance), abs=1e-12)
    assert cohen_kappa(pairs).value < 0.6 < gwet_ac(pairs).value


@pytest.mark.parametrize("weights", ["linear", "quadratic"])
def test_ac2_by_brute_force(weights) -> None:
    rng = np.random.default_rng(8)
    ratings = rng.integers(1, 5, (25, 3)).astype(float)
    ratings[rng.random(ratings.shape) < 0.2] = NAN
    power = 1 if weights == "linear" else 2
    weight = {(a, b): 1 - (abs(a - b) / 3) ** power for a in range(1, 5) for b in range(1, 5)}
    agreed, shares = [], np.zeros(4)
    rows = [[int(x) for x in row if not math.isnan(x)] for row in ratings]
    rows = [row for row in rows if row]
    for row in rows:
        shares += np.bincount(row, minlength=5)[1:] / len(row) / len(rows)
        if len(row) > 1:
            pairs = list(itertools.permutations(row, 2))
            agreed.append(sum(weight[pair] for pair in pairs) / len(pairs))
    chance = sum(weight.values()) / 12 * sum(p * (1 - p) for p in shares)
    expected = (np.mean(agreed) - chance) / (1 - chance)
    assert gwet_ac(ratings, weights=weights).value == pytest.approx(expected, abs=1e-12)
    assert percent_agreement(ratings, weights=weights).value == pytest.approx(np.mean(agreed), abs=1e-12)


@pytest.mark.parametrize(
    "statistic", [percent_agreement, cohen_kappa, krippendorff_alpha, gwet_ac], ids=lambda f: f.__name__
)
def test_standard_errors_are_near_the_jackknifes(statistic) -> None:
    rng = np.random.default_rng(2)
    truth = rng.integers(0, 3, (150, 1))
    ratings = np.where(rng.random((150, 2)) < 0.8, truth, rng.integers(0, 3, (150, 2)))
    left_out = np.array([statistic(np.delete(ratings, i, axis=0)).value for i in range(150)])
    jackknife = math.sqrt(149 / 150 * ((left_out - left_out.mean()) ** 2).sum())
    assert statistic(ratings).standard_error == pytest.approx(jackknife, rel=0.03)


@pytest.mark.parametrize(
    "statistic", [percent_agreement, cohen_kappa, krippendorff_alpha, gwet_ac], ids=lambda f: f.__name__
)
def test_standard_errors_over_clusters_are_near_the_cluster_jackknifes(statistic) -> None:
    rng = np.random.default_rng(3)
    sessions = np.repeat(np.arange(100), 4)
    right = np.where(rng.random(100) < 0.5, 0.4, 0.95)[sessions][:, None]
    truth = rng.integers(0, 3, (400, 1))
    ratings = np.where(rng.random((400, 2)) < right, truth, rng.integers(0, 3, (400, 2))).astype(float)
    weights = rng.choice([1.0, 4.0], 400)

    def without(session):
        keep = sessions != session
        return statistic(ratings[keep], item_weights=weights[keep]).value

    left_out = np.array([without(session) for session in range(100)])
    jackknife = math.sqrt(99 / 100 * ((left_out - left_out.mean()) ** 2).sum())
    found = statistic(ratings, item_weights=weights, clusters=sessions.tolist())
    assert found.standard_error == pytest.approx(jackknife, rel=0.03)
