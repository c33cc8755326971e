"""Do intervals of the ratio of two metrics hold? In every design of ``benchmarks/ratios.py``.

1,000 samples a design with stated seeds: a standard error of 0.7 points. What is blind to π or to sessions must fail.
"""

import pytest

from benchmark_scripts import load_benchmark

RUNS = 1000
pytestmark = pytest.mark.slow
ratios = load_benchmark("ratios")
DESIGNS = list(ratios.designs())


@pytest.mark.parametrize("design", DESIGNS, ids=[design.name for design in DESIGNS])
def test_coverage(design) -> None:
    found = ratios.measure(design, RUNS, 1)
    assert found.coverage >= 0.93
    assert found.without <= 0.01
    assert found.width < 2.0 * found.naive_width


@pytest.mark.parametrize("name", ["cost per completed task, π .02/1", "cost per completed task, 50 sessions of 8"])
def test_what_is_blind_to_the_design_is_refused(name, monkeypatch) -> None:
    design = next(design for design in DESIGNS if design.name == name)
    assert ratios.measure(design, 300, 1).naive_coverage < 0.9
    if "sessions" in name:
        honest = ratios.ours
        monkeypatch.setattr(ratios, "ours", lambda pairs: honest([pair._replace(cluster="") for pair in pairs]))
        assert ratios.measure(design, 300, 1).coverage < 0.9
