"""What the further kinds do where nothing is wrong: exact probabilities of a false look, beside the budget's."""

from __future__ import annotations

from datetime import UTC, datetime

import numpy as np
import pytest
from scipy.stats import binom

from evalsvc.rules import BurnRate, Rule, Versions
from evalsvc.rules.judging_kinds import judge_burn_rate, judge_versions, versions_level
from evalsvc.stats import Question, Side, compare_unpaired, estimate_mean
from evalsvc.types import Cell, Estimate, Scale, Window

SCALE = Scale(0.0, 1.0, "higher", binary=True)
HOUR = Window(datetime(2026, 3, 1, tzinfo=UTC), datetime(2026, 3, 1, 1, tzinfo=UTC))
# One false alarm in 30 days, a look a minute.
TAIL = 1 / 43_200


def cell(good: int, n: int) -> Cell:
    return Cell("", 1, 1.0, n, 0, 0, float(good), float(good))


def mean(good: int, n: int, tail: float = TAIL) -> Estimate:
    return estimate_mean([cell(good, n)], SCALE, HOUR, confidence=1 - 2 * tail, target="process")


@pytest.mark.parametrize("n", [40, 300])
@pytest.mark.parametrize("failing", [0.05, 0.2, 0.5])
def test_a_burn_rate_with_one_window_on_the_limit_is_bad_no_more_often_than_the_budget_says(failing, n) -> None:
    condition = BurnRate(1.0 - failing / 2.0, 2.0, 300.0, "higher")
    rule = Rule(alert="A", metric="m", condition=condition, window_seconds=3600.0)
    burning = mean(0, 400)
    likely = binom.pmf(np.arange(n + 1), n, 1.0 - failing)
    chosen = [good for good in range(n + 1) if likely[good] > 1e-14]
    bad = {good for good in chosen if judge_burn_rate(rule, condition, burning, mean(good, n), SCALE).verdict == "bad"}
    false = sum(likely[good] for good in bad)
    # The other window burns for certain: nothing is split between the two.
    assert 0.0 < false <= TAIL
    assert bad == {
        good for good in chosen if judge_burn_rate(rule, condition, mean(good, n), burning, SCALE).verdict == "bad"
    }


@pytest.mark.parametrize("tail", [1e-4, TAIL, 1e-6])
@pytest.mark.parametrize(("stable", "canary"), [(60, 60), (30, 300), (300, 30), (200, 200)])
def test_equal_versions_differ_no_more_often_than_the_budget_says(stable, canary, tail) -> None:
    sides = [
        np.array([(one.value, one.low, one.high) for one in (mean(good, n, tail) for good in range(n + 1))])
        for n in (stable, canary)
    ]
    old, new = (limits.T for limits in sides)
    # Upper limits of canary - stable by MOVER, as compare_unpaired joins them.
    high = new[0][None] - old[0][:, None] + np.hypot((new[2] - new[0])[None], (old[0] - old[1])[:, None])
    for good in (0.2, 0.5, 0.8, 0.9, 0.98):
        likely = binom.pmf(np.arange(stable + 1), stable, good)[:, None] * binom.pmf(
            np.arange(canary + 1), canary, good
        )
        assert likely[high < 0.0].sum() <= tail
    found = compare_unpaired(
        Side([cell(int(0.8 * stable), stable)]),
        Side([cell(int(0.5 * canary), canary)]),
        SCALE,
        question=Question(level=2 * tail),
    )
    assert found.high == pytest.approx(high[int(0.8 * stable), int(0.5 * canary)], abs=1e-9)


def test_the_verdict_is_that_limits() -> None:
    condition = Versions({"model": ("b",)}, {"model": ("a",)}, "fell", 0.0)
    rule = Rule(alert="A", metric="m", condition=condition, window_seconds=3600.0)
    question = Question(level=versions_level(rule, condition, 60.0, 1))
    assert question.level == pytest.approx(2 * TAIL)
    verdicts = {}
    for good in range(120, 201, 2):
        found = compare_unpaired(Side([cell(180, 200)]), Side([cell(good, 200)]), SCALE, question=question)
        assert found.high is not None
        seen = judge_versions(rule, condition, mean(good, 200), mean(180, 200), found)
        verdicts[good] = seen.verdict
        assert (seen.verdict == "bad") == (found.high < 0.0)
    assert set(verdicts.values()) == {"bad", "unclear", "good"}
