"""Do the intervals of rubrics' totals and differences hold the truth, whoever scored and however few?

400 rubrics a design with stated seeds: a standard error of 1.1 points at 95 %, so what holds 95 % of the time shows
at least 92 %. Intervals that are far too wide would hold always: where only metrics count, no more than 98.5 % may.
"""

from datetime import date

import numpy as np
import pytest

from evalsvc.governance.rubric import (
    PLAYBOOK,
    Choice,
    Measure,
    Measured,
    Model,
    Opinion,
    ScoreMap,
    compare,
    score_sheet,
)

RUNS = 400
DAY = date(2026, 3, 31)
NAMES = [criterion.name for criterion in PLAYBOOK.criteria]
LINE = ScoreMap("lines", "higher", ((0.0, 1.0), (1.0, 5.0)))
pytestmark = pytest.mark.slow


def expected_whole(mean: float, sd: float) -> float:
    """The mean of whole scores of many people, each a normal one rounded to 1 … 5."""
    from scipy.stats import norm

    ends = norm.cdf((np.arange(1.5, 5.0) - mean) / sd)
    return float(1.0 + (1.0 - ends).sum())


def drawn(generator, metrics, people, sd=0.0):
    """A choice of two models and its true totals: the first criteria measured, the others by so many people each."""
    shares, truths, models = PLAYBOOK.shares, [], []
    for model in ("a", "b"):
        measured, opinions, truth = {}, {}, 0.0
        for place, name in enumerate(NAMES):
            mean = generator.uniform(1.8, 4.2)
            if place < metrics:
                value, error = (mean - 1.0) / 4.0, 0.03
                seen = value + error * generator.standard_normal()
                measured[name] = Measured(value=seen, low=seen - 1.96 * error, high=seen + 1.96 * error, source="x")
                truth += shares[name] * mean
            else:
                scores = np.clip(np.rint(mean + sd * generator.standard_normal(people[place % len(people)])), 1, 5)
                opinions[name] = tuple(Opinion(str(n), DAY, float(score), "read") for n, score in enumerate(scores))
                truth += shares[name] * expected_whole(mean, sd)
        models.append(Model(name=model, measured=measured, opinions=opinions))
        truths.append(truth)
    measures = {name: Measure(name, LINE) for name in NAMES[:metrics]}
    return Choice(title="T", at=DAY, rubric=PLAYBOOK, models=tuple(models), measures=measures), truths


@pytest.mark.parametrize(
    ("metrics", "people", "sd", "seed"),
    [
        (11, (1,), 0.0, 1),
        (6, (2, 3), 0.7, 2),
        (0, (2,), 0.7, 3),
        (3, (1, 2), 0.7, 4),
        (0, (5,), 0.7, 5),
        (5, (1, 1, 1, 2), 0.7, 6),
        (5, (1,), 0.5, 7),
        (0, (2,), 0.3, 8),
    ],
)
def test_totals_and_differences_hold_the_truth(metrics, people, sd, seed):
    generator = np.random.default_rng(seed)
    totals = differences = 0
    for _ in range(RUNS):
        choice, (first, second) = drawn(generator, metrics, people, sd)
        found = compare(score_sheet(choice), draws=1)
        totals += found.totals["a"].low <= first <= found.totals["a"].high
        differences += found.differences[0].low <= first - second <= found.differences[0].high
    assert min(totals, differences) / RUNS >= 0.92
    if metrics == len(NAMES):
        assert max(totals, differences) / RUNS <= 0.985


def test_the_chance_to_be_best_is_that_of_being_best():
    """Of models that are called the better one with chance p, the share p is: in three bins, within three errors."""
    generator = np.random.default_rng(7)
    chances, better = [], []
    for _ in range(RUNS):
        choice, _ = drawn(generator, len(NAMES), (1,))
        # Close models, so that all chances come up: the second is the first, moved a little and measured again.
        first, moved = choice.models[0], generator.normal(0.0, 0.03)
        again = {
            name: Measured(value=value, low=value - 1.96 * 0.03, high=value + 1.96 * 0.03, source="x")
            for name, metric in first.measured.items()
            for value in [metric.value + moved + 0.03 * generator.standard_normal()]
        }
        models = (first, Model(name="again", measured=again))
        given = Choice(title="T", at=DAY, rubric=PLAYBOOK, models=models, measures=choice.measures)
        chances.append(compare(score_sheet(given), draws=2000).totals["a"].best[0])
        better.append(moved < 0.0)
    chances, better = np.array(chances), np.array(better)
    for low, high in ((0.0, 1 / 3), (1 / 3, 2 / 3), (2 / 3, 1.0)):
        inside = (chances >= low) & (chances <= high)
        said = chances[inside].mean()
        assert inside.sum() > 40
        assert abs(better[inside].mean() - said) <= 3.0 * np.sqrt(said * (1.0 - said) / inside.sum())
