"""Always-valid intervals and detectors keep their promise over many looks; what one would write first does not."""

import pytest

from benchmark_scripts import load_benchmark

pytestmark = pytest.mark.slow
looks = load_benchmark("sequential")
change_detection = load_benchmark("change_detection")
RUNS = 60
DESIGNS = {(design.name, design.method): design for design in looks.designs()}


@pytest.mark.parametrize("key", [("binary p = 0.1", "beta-binomial"), ("Beta, π .01/.1/1 mixed", "betting")])
def test_false_alarms_stay_below_five_percent_where_repeated_t_intervals_do_not(key) -> None:
    line = looks.measure(DESIGNS[key], RUNS, 1, look=500)
    assert line.false_alarms <= 0.05
    assert line.naive_false_alarms >= 0.12
    assert line.width_ratio <= 2.0


def test_the_detector_keeps_its_run_length_and_is_quick() -> None:
    for kind in change_detection.kinds():
        line = change_detection.measure(kind, "e-detector, Shiryaev–Roberts", 12, 1)
        assert line.nominal_run_length >= 0.5 * change_detection.RUN_LENGTH
        assert line.tuned_delay <= 2.0 * line.bound


def test_a_baseline_taken_for_known_breaks_the_run_length() -> None:
    assert change_detection.early_alarms(False, 150, 50, 2) > 0.15
    assert change_detection.early_alarms(True, 150, 50, 2) < 0.10
