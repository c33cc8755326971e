"""Always-valid intervals and detectors keep their promise over many looks; what one would write first does not."""

import numpy as np
import pytest

from benchmark_scripts import load_benchmark

pytestmark = pytest.mark.slow
looks = load_benchmark("sequential")
detection = load_benchmark("change_detection")
DESIGNS = {(design.name, design.method): design for design in looks.designs()}
SHIRYAEV_ROBERTS, CUSUM = "e-detector, Shiryaev–Roberts", "e-detector, CUSUM"


def line(kind, name, runs, changes):
    found = next(detector for detector in detection.detectors(kind) if detector.name == name)
    return detection.measure(kind, found, runs, 5, changes)


@pytest.mark.parametrize(
    ("key", "runs"),
    [
        (("binary p = 0.1", "beta-binomial"), 1000),
        (("Beta(8, 2)", "bernstein"), 600),
        (("Beta, π .01/.1/1 mixed", "betting"), 150),
    ],
)
def test_false_alarms_stay_below_five_percent_where_repeated_t_intervals_do_not(key, runs) -> None:
    """Two standard errors of 5 % are let pass: 6.4 % where runs are cheap, 8.6 % where they are dear."""
    found = looks.measure(DESIGNS[key], runs, 1)
    assert found.false_alarms <= 0.05 + 2 * (0.05 * 0.95 / runs) ** 0.5
    assert found.naive_false_alarms >= 0.3
    assert found.width_ratio <= 2.0


@pytest.mark.parametrize("kind", detection.KINDS, ids=lambda kind: kind.name)
def test_the_run_length_is_kept_and_the_delay_within_twice_lorden_s_bound(kind) -> None:
    """At most one alarm is due in 10,000 scores watched; two standard errors of their number are let pass."""
    for name in (SHIRYAEV_ROBERTS, CUSUM):
        found = line(kind, name, 60, [(0.70, 0)])
        mean, error = found.stated
        alarms = (mean / error) ** 2
        due = mean * alarms / detection.RUN_LENGTH
        assert due > 50
        assert alarms <= due + 2 * due**0.5
        assert found.stated_delay.mean <= 2.0 * found.bounds[0.70]


def test_a_wrong_guess_costs_cusum_its_run_length_or_its_delay() -> None:
    traffic = line(detection.WEIGHTED, "CUSUM, told the traffic's means", 30, [(0.70, 0)])
    assert traffic.stated[0] < 0.1 * detection.RUN_LENGTH
    ours = line(detection.BERNOULLI, SHIRYAEV_ROBERTS, 60, [(0.70, 1_000)])
    for name in ("CUSUM, mean .82, fall half", "CUSUM, mean .78, fall double", "Page–Hinkley (river)"):
        peer = line(detection.BERNOULLI, name, 60, [(0.70, 1_000)])
        assert peer.delays[0.70, 1_000].mean > 1.15 * ours.delays[0.70, 1_000].mean


def test_a_design_that_changes_alone_fools_those_who_ignore_it() -> None:
    ours = line(detection.WEIGHTED, SHIRYAEV_ROBERTS, 60, [(0.70, 0)])
    peer = line(detection.WEIGHTED, "Page–Hinkley (river)", 60, [])
    # A run length of 10,000 lets 10 % alarm in 1,000 scores; two standard errors more.
    assert ours.design_alone <= 0.1 + 2 * (0.1 * 0.9 / 60) ** 0.5
    assert peer.design_alone > 0.4


def test_a_baseline_taken_for_known_breaks_the_run_length() -> None:
    assert detection.early_alarms(False, 150, 50, 2) > 0.15
    assert detection.early_alarms(True, 150, 50, 2) < 0.10


def test_the_benchmark_s_peers_are_river_s() -> None:
    drift = pytest.importorskip("river.drift")
    rng = np.random.default_rng(5)
    y = np.concatenate([rng.beta(8, 2, (2, 130)), rng.beta(5, 5, (2, 70))], axis=1)
    y[0] = y[0] > 0.8
    theirs = [
        (lambda: drift.PageHinkley(threshold=4.0, mode="down"), detection.page_hinkley_paths, 4.0),
        # The exact p-value of 14/30 and more is at most .0026, of 13/30 .0065.
        (lambda: drift.KSWIN(alpha=0.005, seed=1), detection.kswin_paths, 14 / 30 - 1e-9),
    ]
    for make, paths, threshold in theirs:
        ours = detection.along(paths)(detection.Streams(y))(threshold)
        for run, row in enumerate(y.tolist()):
            detector, first = make(), 0
            for t, score in enumerate(row, start=1):
                detector.update(score)
                if detector.drift_detected:
                    first = t
                    break
            assert first == ours[run]
        assert (ours > 0).any()
