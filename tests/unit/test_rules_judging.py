"""From estimates to verdicts: thresholds, changes of a mean followed minute by minute, and texts with numbers."""

from datetime import UTC, datetime, timedelta

import msgspec
import numpy as np
import pytest

from evalsvc.rules import AlertState, Budget, Change, Rule, Threshold, step, transition
from evalsvc.rules.judging import Minutes, confidence_of, judge_change, judge_threshold
from evalsvc.rules.templates import render, values_of
from evalsvc.stats import estimate_mean
from evalsvc.types import Cell, Estimate, Scale, Window

START = datetime(2026, 3, 2, tzinfo=UTC)
MINUTE = timedelta(minutes=1)
BINARY = Scale(0.0, 1.0, "higher", binary=True)


def rule(condition, **options) -> Rule:
    return Rule(alert="A", metric="faithful", condition=condition, window_seconds=600.0, **options)


def estimate(value, low, high, n=500, effective=400.0, reason="") -> Estimate:
    return Estimate(value, low, high, n, effective, 0, 0.0, Window(START, START + 10 * MINUTE), reason=reason)


@pytest.mark.parametrize(
    ("side", "limit", "back", "seen", "expected"),
    [
        ("below", 0.8, 0.8, (0.7, 0.6, 0.79), "bad"),
        ("below", 0.8, 0.8, (0.7, 0.6, 0.80), "unclear"),
        ("below", 0.8, 0.8, (0.8, 0.7, 0.90), "good"),
        ("below", 0.8, 0.85, (0.82, 0.75, 0.9), "unclear"),
        ("below", 0.8, 0.85, (0.85, 0.8, 0.9), "good"),
        ("above", 0.2, 0.2, (0.3, 0.21, 0.4), "bad"),
        ("above", 0.2, 0.2, (0.3, 0.2, 0.4), "unclear"),
        ("above", 0.2, 0.15, (0.18, 0.1, 0.3), "unclear"),
        ("above", 0.2, 0.15, (0.15, 0.1, 0.3), "good"),
    ],
)
def test_a_threshold_is_passed_by_the_whole_interval_and_left_by_the_point(side, limit, back, seen, expected) -> None:
    condition = Threshold(side, limit, back)
    assert judge_threshold(rule(condition), condition, estimate(*seen)).verdict == expected


@pytest.mark.parametrize(
    ("found", "reason"),
    [
        (estimate(None, None, None, 0, 0.0, "no event was scored"), "no event was scored"),
        (estimate(None, None, None, 0, 0.0), "no score in the window"),
        (estimate(0.1, 0.0, 0.2, 20, 12.4), "effective n is 12, and the rule needs 30"),
        (estimate(0.1, None, None, reason="all scores are equal"), "all scores are equal"),
    ],
)
def test_too_little_is_no_data_with_a_reason(found, reason) -> None:
    condition = Threshold("below", 0.8, 0.8)
    seen = judge_threshold(rule(condition), condition, found)
    assert (seen.verdict, seen.reason) == ("no_data", reason)


def test_only_the_end_towards_the_limit_is_needed() -> None:
    condition = Threshold("above", 900.0, 900.0, "p95")
    assert judge_threshold(rule(condition), condition, estimate(1200.0, 1000.0, None)).verdict == "bad"
    assert judge_threshold(rule(condition), condition, estimate(800.0, 700.0, None)).verdict == "good"
    assert judge_threshold(rule(condition), condition, estimate(1200.0, None, 1300.0)).verdict == "no_data"


def test_a_look_spends_its_part_of_the_budget() -> None:
    given = rule(Threshold("below", 0.8, 0.8), false_alarms=Budget(1.0, 30 * 86_400.0))
    assert confidence_of(given, 60.0, 1) == pytest.approx(1 - 2 / 43_200)
    assert confidence_of(given, 60.0, 200) == pytest.approx(1 - 2 / (43_200 * 200))
    # However generous the budget, a look is held to 5 %.
    assert confidence_of(rule(Threshold("below", 0.8, 0.8), false_alarms=Budget(1e6, 60.0)), 60.0, 1) == 0.9


class Traffic:
    """A metric minute by minute, and an alert on it that looks every minute at the last ten."""

    def __init__(self, condition, seed=1, n=60, **options) -> None:
        self.rule, self.n, self.rng = rule(condition, **options), n, np.random.default_rng(seed)
        self.condition, self.cells, self.told = condition, [], []
        self.state = AlertState(fingerprint="f", labels={"alertname": "A"})
        self.baseline = self.mean([Cell("", 1, 1.0, 100_000, 0, 0, 80_000.0, 80_000.0)], START - MINUTE, 0.999)

    def mean(self, cells, start, confidence) -> Estimate:
        window = Window(start, start + 10 * MINUTE)
        return estimate_mean(cells, BINARY, window, target="process", confidence=confidence)

    def go(self, minutes, mean, scorer="v1", n=None) -> str:
        """Look at so many minutes of a mean; return the first letters of the phases."""
        found = ""
        for _ in range(minutes):
            now = START + len(self.cells) * MINUTE
            size = self.n if n is None else n
            good = float(self.rng.binomial(size, mean)) if size else 0.0
            self.cells.append((now, [Cell("", 1, 1.0, size, 0, 0, good, good)] if size else []))
            recent = [cell for _, cells in self.cells[-10:] for cell in cells]
            window = self.mean(recent, now - 9 * MINUTE, 0.999)
            # The last two minutes each time: what was seen already has to be left out.
            held = Minutes(BINARY, scorer, 1.0, self.cells[-2:])
            seen = judge_change(self.rule, self.condition, self.state, held, window, self.baseline, 43_200.0)
            after = step(self.rule, msgspec.json.decode(msgspec.json.encode(self.state), type=AlertState), seen, now)
            if told := transition(self.state, after):
                self.told.append(told)
            self.state, found = after, found + after.phase[0]
        return found


FELL = Change("fell", 0.0, 7 * 86_400.0)


def test_a_fall_fires_within_minutes_is_dated_and_resolves_when_it_is_over() -> None:
    traffic = Traffic(FELL, keep_firing_seconds=300.0)
    assert set(traffic.go(300, 0.8)) == {"i"}
    fallen = traffic.go(30, 0.6)
    assert fallen.index("f") <= 5
    assert "r" not in fallen
    fired = traffic.told[-1]
    assert fired.observation is not None
    assert fired.observation.since is not None
    assert abs(fired.observation.since - (START + 300 * MINUTE)) <= 3 * MINUTE
    back = traffic.go(40, 0.8)
    assert back.endswith("r")
    # Firing goes on while the window still holds minutes of the fall, and for five minutes after.
    assert 5 <= back.index("r") <= 20
    assert [one.after for one in traffic.told] == ["firing", "resolved"]
    assert set(traffic.go(100, 0.8)) == {"r"}
    assert "f" in traffic.go(10, 0.5)


def test_a_rise_is_no_fall_and_a_margin_is_let_pass() -> None:
    assert set(Traffic(FELL).go(200, 0.9)) == {"i"}
    assert set(Traffic(msgspec.structs.replace(FELL, margin=0.15)).go(200, 0.7)) == {"i"}
    assert "f" in Traffic(msgspec.structs.replace(FELL, direction="either")).go(20, 0.95)


def test_a_move_to_either_side_is_over_when_it_is_back_on_that_side_however_narrow_the_baseline() -> None:
    traffic = Traffic(msgspec.structs.replace(FELL, direction="either"), keep_firing_seconds=300.0)
    traffic.baseline = msgspec.structs.replace(traffic.baseline, low=0.7999, high=0.8001)
    for moved in (0.6, 0.95):
        assert "f" in traffic.go(10, moved)
        assert "r" in traffic.go(240, 0.8)


def test_minutes_without_scores_neither_fire_nor_resolve() -> None:
    traffic = Traffic(FELL, keep_firing_seconds=0.0)
    traffic.go(50, 0.8)
    assert set(traffic.go(30, 0.8, n=0)) == {"i"}
    assert traffic.state.trouble == "no event of this window and group was scored"
    traffic.go(20, 0.5)
    assert traffic.state.phase == "firing"
    assert set(traffic.go(60, 0.5, n=0)) == {"f"}


def test_another_version_of_the_scorer_starts_anew() -> None:
    traffic = Traffic(FELL)
    traffic.go(100, 0.8)
    seen = traffic.state.detector
    assert seen is not None
    traffic.go(1, 0.8, scorer="v2")
    fresh = traffic.state.detector
    assert fresh is not None
    assert (fresh.scorer, fresh.state.n) == ("v2", 120)
    assert seen.state.n == 6000


def test_without_a_baseline_there_is_no_data() -> None:
    traffic = Traffic(FELL)
    traffic.baseline = estimate(None, None, None, 0, 0.0, "no event was scored")
    traffic.go(3, 0.2)
    assert traffic.state.phase == "inactive"
    assert traffic.state.trouble == "no baseline: no event was scored"


def test_texts_have_the_numbers_in() -> None:
    condition = Threshold("below", 0.8, 0.8)
    given = rule(condition, labels={"team": "ml"})
    state = AlertState(fingerprint="f", labels={"alertname": "A", "team": "ml"})
    seen = judge_threshold(given, condition, estimate(0.71234, 0.65, 0.7712, 1234))
    told = transition(state, step(given, state, seen, START + 12 * MINUTE))
    assert told is not None
    text = "{{ value }} ({{ interval }}) against {{baseline}}, n {{ n }}, {{ window }}, {{ labels.team }}, {{ since }}"
    assert render(text, values_of(given, told)) == (
        "0.7123 (0.65 … 0.7712) against 0.8, n 1,234, 10m, ml, 2026-03-02 00:12 UTC"
    )


def test_another_version_of_the_scorer_never_ends_what_the_first_one_saw() -> None:
    traffic = Traffic(FELL, keep_firing_seconds=0.0)
    traffic.go(50, 0.8)
    assert "f" in traffic.go(20, 0.5)
    assert set(traffic.go(60, 0.9, scorer="v2")) == {"f"}
    assert traffic.state.trouble.startswith("v2 scores now, whose numbers do not tell whether what v1 saw is over")
    assert "r" in traffic.go(60, 0.8)


def test_an_edited_direction_and_budget_are_followed_from_the_next_look_on() -> None:
    traffic = Traffic(FELL)
    traffic.go(50, 0.8)
    held = traffic.state.detector
    assert held is not None
    fewer = judge_change(traffic.rule, FELL, traffic.state, Minutes(BINARY, "v1", 1.0, []), traffic.baseline,
                         traffic.baseline, 1e9)  # fmt: skip
    assert fewer.detector is not None
    assert fewer.detector.state.log_threshold == pytest.approx(np.log(1e9))
    traffic.condition = msgspec.structs.replace(FELL, direction="rose")
    assert "f" in traffic.go(20, 0.95)
