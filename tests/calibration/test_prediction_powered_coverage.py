"""Do prediction-powered intervals hold the truth, and never cost more than the reviews alone? And Rogan-Gladen's?

500 samples a design of ``benchmarks/prediction_powered.py`` with stated seeds: a standard error of 1 point, so what
holds 94.5 % of the time shows at least 92 %; the mean over all designs is held to 94.5 %. ppi-python's normal
interval must fail where reviews are few.
"""

import numpy as np
import pytest

from benchmark_scripts import load_benchmark
from evalsvc.stats import rogan_gladen

RUNS = 500
pytestmark = pytest.mark.slow
ppi = load_benchmark("prediction_powered")
SEEDED = {design.name: (seed, design) for seed, design in enumerate(ppi.designs())}
# Few reviews of every kind of judge, the gain where there is one, and each way to sample and to review.
NAMES = [
    "share .1, good judge, 20 reviews",
    "share .1, useless judge, 50 reviews",
    "share .2, anti-correlated judge, 20 reviews",
    "share .5, good judge, 200 reviews",
    "share .3, near-perfect judge, 200 reviews",
    "share .03, good judge, 50 reviews",
    "share .2, detector, 50 reviews",
    "Beta(8, 2), good judge, 200 reviews",
    "Beta(.5, .5), good judge, 50 reviews",
    "3 % faults, half noticed, 50 reviews",
    "open scale, good judge, 20 reviews",
    "share .2, detector, r by doubt, 50 reviews",
    "shares .05/.3, good judge, π .05/1, strata, 60 reviews",
    "shares .05/.3, good judge, π .05/1, 30 reviews",
    "share .2, judge right 90 %, 20 sessions",
]


def named(name):
    return SEEDED[name][1]


@pytest.fixture(scope="module")
def measured():
    return {name: ppi.measure(named(name), RUNS, 1000 + SEEDED[name][0]) for name in NAMES}


@pytest.mark.parametrize("name", NAMES)
def test_coverage_and_width(name, measured) -> None:
    found = measured[name]
    assert found.coverage >= named(name).floor - 0.025
    assert found.widest <= 1.02 + 1e-9
    assert found.width <= found.alone_width * 1.005


def test_mean_coverage(measured) -> None:
    assert np.mean([found.coverage for found in measured.values()]) >= 0.945


@pytest.mark.parametrize(
    "name",
    [
        "share .5, good judge, 200 reviews",
        "share .3, near-perfect judge, 200 reviews",
        "Beta(8, 2), good judge, 200 reviews",
        "Beta(.5, .5), good judge, 50 reviews",
    ],
)
def test_the_gain_is_ppi_pythons(name, measured) -> None:
    assert measured[name].efficiency >= 0.95 * measured[name].peer_efficiency


FAILS = [
    "share .1, good judge, 20 reviews",
    "share .03, good judge, 50 reviews",
    "3 % faults, half noticed, 50 reviews",
]


@pytest.mark.parametrize("name", FAILS)
def test_the_normal_interval_fails_at_few_reviews(name, measured) -> None:
    assert measured[name].peer_coverage < named(name).floor - 0.025


def test_without_the_unseen_error_it_fails(monkeypatch) -> None:
    monkeypatch.setattr("evalsvc.stats.prediction_powered.UNSEEN_BINARY", 0.0)
    design = named("share .1, good judge, 50 reviews")
    assert ppi.measure(design, RUNS, 1).coverage < design.floor - 0.025


def test_without_clusters_it_fails(monkeypatch) -> None:
    honest = ppi.prediction_powered_mean
    monkeypatch.setattr(ppi, "prediction_powered_mean", lambda *a, **given: honest(*a, **{**given, "clusters": None}))
    rng_design = ppi.sessions("share .2, judge right 90 %", 0.2, 50)
    assert ppi.measure(rng_design, RUNS, 1).alone_coverage < 0.925


@pytest.mark.parametrize("share", [0.02, 0.1, 0.7])
@pytest.mark.parametrize("reviews", [20, 100])
def test_rogan_gladen_covers_where_the_judges_own_share_does_not(share, reviews) -> None:
    rng = np.random.default_rng(9)
    held = naive = defined = 0
    for _ in range(1000):
        apparent = rng.binomial(1000, share * 0.85 + (1 - share) * 0.1) / 1000
        right = rng.binomial(reviews, 0.85), rng.binomial(reviews, 0.9)
        got = rogan_gladen(
            apparent, 1000, true_positives=right[0], positives=reviews, true_negatives=right[1], negatives=reviews
        )
        if got.low is None:
            continue
        defined += 1
        held += got.low <= share <= got.high
        naive += abs(apparent - share) <= 1.96 * (apparent * (1 - apparent) / 1000) ** 0.5
    assert defined > 950
    assert held / defined >= 0.93
    assert naive / defined < 0.9
