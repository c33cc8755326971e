"""Do a segment's intervals hold where a lightly sampled stratum may show nothing of it? Asked through the query.

100 samples a design with stated seeds: a standard error of 2 points. As it was, a stratum was dropped of which enough
events of *other* segments had been taken; plugged in again, that must fail.
"""

import pytest

from benchmark_scripts import load_benchmark

RUNS = 100
pytestmark = pytest.mark.slow
hidden = load_benchmark("hidden")
DESIGNS = list(hidden.designs())


@pytest.mark.parametrize(("place", "columns"), [(0, False), (1, True), (2, True)])
def test_coverage(place, columns, monkeypatch) -> None:
    if columns:
        monkeypatch.setattr("evalsvc.query.MANY", 1)
    for row in hidden.measure(DESIGNS[place], RUNS, place):
        assert row.coverage >= 0.935, row
        assert row.points == 0.0, row
        if row.metric == "failed":
            assert row.endless == 0.0, row


def test_dropping_what_gave_others_is_refused(monkeypatch) -> None:
    monkeypatch.setattr("evalsvc.query._Strata.meet", lambda self, everyone: None)
    found = hidden.measure(DESIGNS[0], 60, 1)
    mean = next(row for row in found if (row.metric, row.statistic) == ("failed", "mean"))
    assert mean.coverage < 0.8
    assert mean.points > 0.2
