"""Do intervals of agreement hold the true coefficient? In designs of ``benchmarks/agreement.py``.

700 samples a design with stated seeds: a standard error of 0.8 points, two of which are allowed. Estimate ± 1.96
standard errors must fail.
"""

import pytest

from benchmark_scripts import load_benchmark

RUNS = 700
pytestmark = pytest.mark.slow
agreement = load_benchmark("agreement")
SEEDED = {design.name: (seed, design) for seed, design in enumerate(agreement.designs())}
# Each coefficient where it is hardest, with few items or rare categories, and two of many items.
SHORT = [
    "κ, 90 : 10, 20 items",
    "AC1, 90 : 10, 20 items",
    "AC1, 97 : 3, 50 items",
    "α nominal, 50 : 50, chance only, 20 items",
    "α nominal, 90 : 10, 50 items",
    "percent, 90 : 10, 20 items",
    "κ quadratic, 5 grades, 20 items",
    "AC2 linear, 5 grades, 20 items",
    "α ordinal, 4 raters, 30 % missing, 20 items",
    "α interval, 3 raters, 50 items",
    "κ, 50 : 50, chance only, 200 items",
    "AC2 linear, 5 grades, 200 items",
]
DESIGNS = [SEEDED[name][1] for name in SHORT]


@pytest.fixture(scope="module")
def measured():
    return {name: agreement.measure(SEEDED[name][1], RUNS, 2000 + SEEDED[name][0]) for name in SHORT}


@pytest.mark.parametrize("design", DESIGNS, ids=[design.name for design in DESIGNS])
def test_coverage(design, measured) -> None:
    assert measured[design.name].coverage >= design.floor - 0.01


@pytest.mark.parametrize(
    "name", ["κ, 90 : 10, 20 items", "AC1, 90 : 10, 20 items", "AC1, 97 : 3, 50 items", "α nominal, 90 : 10, 50 items"]
)
def test_the_symmetric_interval_fails(name, measured) -> None:
    assert measured[name].wald_coverage < 0.9


def test_with_two_hundred_items_the_width_is_that_of_the_standard_error(measured) -> None:
    for name in ("κ, 50 : 50, chance only, 200 items", "AC2 linear, 5 grades, 200 items"):
        assert measured[name].width < 0.3


@pytest.mark.parametrize("design", list(agreement.unequal_designs()), ids=lambda design: design.name)
def test_coverage_of_items_drawn_unequally_or_by_session(design) -> None:
    found = agreement.measure_unequal(design, 300, 3)
    # Of 300 runs two standard errors are 2.5 points.
    assert found.coverage >= 0.925
    # What a judge called 1 is not the traffic, and items of one session are not each for themselves.
    assert found.wald_coverage < 0.9


def test_without_unseen_items_rare_categories_are_refused(monkeypatch) -> None:
    monkeypatch.setattr("evalsvc.stats.agreement.UNSEEN", 0.0)
    design = next(d for d in DESIGNS if d.name == "κ, 90 : 10, 20 items")
    assert agreement.measure(design, RUNS, 1).coverage < design.floor - 0.01
