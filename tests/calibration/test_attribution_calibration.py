"""Anchors' intervals hold the scorer's change and the system's as often as they say; a paired t does not.

The scorer's coverage is exact, so that no allowance is made but for the interval's own steps. The system's is of 600
runs a design: at a coverage of 95 % two standard errors are 1.8 points.
"""

import math

import pytest

from benchmark_scripts import load_benchmark

RUNS = 600
pytestmark = pytest.mark.slow
attribution = load_benchmark("attribution")
DESIGNS = [
    attribution.Design(anchors, flips, pi)
    for (anchors, flips) in ((10, 0.05), (50, 0.02), (100, 0.01), (200, 0.1))
    for pi in (1.0, 0.05)
]


@pytest.mark.parametrize("design", DESIGNS, ids=lambda design: design.name)
def test_coverage(design):
    found = attribution.measure(design, RUNS, 17)
    assert found.scorer >= 0.945
    assert found.system >= 0.95 - 2.0 * math.sqrt(0.95 * 0.05 / RUNS)
    if design.anchors * design.flips < 2.5:
        assert found.paired_t < 0.85
