"""Where nothing moved, drift detectors alarm about once in twenty; Pearson's χ² on weighted counts nearly always.

Seventy runs a design: a standard error of 2.6 points, so up to 13 % is let through; as much of the classifier's 40.
The full tables are ``benchmarks/drift.py``'s.
"""

import pytest

from benchmark_scripts import load_benchmark

pytestmark = pytest.mark.slow
drift = load_benchmark("drift")


@pytest.mark.parametrize(
    "design",
    [
        drift.Design(100, ".05/1"),
        drift.Design(1000, ".05/1 by value", 1000, "1"),
        drift.Design(7000, ".05", 1000, ".2/1"),
    ],
    ids=lambda d: d.name,
)
def test_false_alarms_under_unequal_weights(design):
    found = drift.false_alarms(design, 70, 7)
    naive = found.pop("Pearson, categories")
    assert max(found.values()) <= 0.13
    assert max(found.values()) > 0.0
    assert naive > 0.5


@pytest.mark.parametrize(
    "design",
    [
        drift.Hours((8, 8), (100, 100), ("1", "1"), True),
        drift.Hours((24, 24), (1000, 1000), (".05", ".2/1"), True),
    ],
    ids=lambda d: d.name,
)
def test_false_alarms_where_texts_of_an_hour_are_alike(design):
    found = drift.false_alarms(design, 70, 7)
    naive = found.pop("Pearson, words")
    assert max(found.values()) <= 0.13
    assert max(found.values()) > 0.0
    assert naive > 0.5


def test_false_alarms_of_the_classifier():
    found = drift.false_alarms(drift.Rows(8, 100, 3, ".05/1"), 40, 7)
    assert found["classifier"] <= 0.13
    assert found["classifier, events permuted"] > 0.15
