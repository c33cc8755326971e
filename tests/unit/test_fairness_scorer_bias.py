"""Ranking bias of scorers and BBQ's bias score: edges."""

from __future__ import annotations

import numpy as np
import pytest

from evalsvc.errors import InputError
from evalsvc.fairness import auc, bbq_bias, bias_aucs, power_mean


def test_a_biased_scorer_shows_in_the_view_that_it_should():
    rng = np.random.default_rng(5)
    toxic = np.repeat([0, 1, 0, 1], 500)
    group = np.repeat([0, 0, 1, 1], 500)
    # The scorer adds 1 to whatever mentions the group.
    scores = rng.normal(0.0, 1.0, 2000) + 1.5 * toxic + 1.0 * group
    found = bias_aucs(scores, toxic, group)
    assert found.bpsn.high < found.subgroup.low < found.subgroup.high < found.bnsp.low


def test_too_few_are_told():
    found = auc([0.1, 0.2], [1, 1])
    assert found.value is None
    assert "negative" in found.reason
    assert auc([], []).value is None
    one = auc([0.1, 0.2], [0, 1])
    assert (one.value, one.low) == (1.0, None)
    apart = auc([0.1, 0.2, 0.3, 0.4], [0, 0, 1, 1])
    assert apart.value == 1.0
    assert "overlap" in apart.reason
    assert auc([1.0] * 6, [0, 0, 0, 1, 1, 1]).value == 0.5


@pytest.mark.parametrize(
    "call",
    [
        lambda: auc([1.0], [1, 0]),
        lambda: auc([float("nan")], [1]),
        lambda: auc([1.0], [1], weights=[0.0]),
        lambda: bias_aucs([1.0], [1], [1, 0]),
        lambda: bbq_bias([1], [0], [0], ambiguous=True),
        lambda: bbq_bias([1], [1, 1], [0], ambiguous=True),
        lambda: auc([1.0], [1], confidence=2.0),
        lambda: auc([0.1, 0.9], [2, -1]),
        lambda: auc([[0.1, 0.9]], [[1, 0]]),
        lambda: auc([0.1, 0.9], [1, 0], clusters=["a"]),
        lambda: bias_aucs([0.1, 0.9], [1, 0], [0.5, 1]),
        lambda: bbq_bias([0.2, 0.3], [1, 1], [0, 0], ambiguous=False),
        lambda: bbq_bias([1], [1], [0], ambiguous=True, clusters=["a", "b"]),
    ],
)
def test_wrong_arguments(call):
    with pytest.raises(InputError, match="Expected"):
        call()


def test_bias_scores_at_their_ends():
    assert bbq_bias([1, 1], [1, 1], [0, 0], ambiguous=False).score == 1.0
    assert bbq_bias([0, 0], [1, 1], [0, 0], ambiguous=False).score == -1.0
    right = bbq_bias([0, 0], [0, 0], [1, 1], ambiguous=True)
    assert right.score == 0.0
    assert right.reason
    assert bbq_bias([0], [0], [0], ambiguous=False).score is None
    assert bbq_bias([], [], [], ambiguous=False).score is None
    some = bbq_bias([1] * 30 + [0] * 20, [1] * 50, [0] * 50, ambiguous=False)
    assert some.low < some.score < some.high


def test_the_power_mean_leans_to_the_worst():
    assert power_mean([0.5, 0.9]) < 0.7
    assert power_mean([]) is None
    assert power_mean([0.0, 0.9]) == 0.0


@pytest.mark.parametrize(("answers", "leans", "n"), [(0.5, 0.95, 100), (0.2, 0.9, 50), (0.3, 1.0, 100)])
def test_the_bias_of_ambiguous_contexts_lies_in_its_interval(answers, leans, n):
    rng = np.random.default_rng(9)
    held, runs, truth = 0, 400, answers * (2.0 * leans - 1.0)
    for _ in range(runs):
        said = rng.random(n) < answers
        found = bbq_bias(said & (rng.random(n) < leans), said, ~said, ambiguous=True)
        assert found.low <= found.score <= found.high
        held += found.low <= truth <= found.high
    # With the accuracy taken as given it was held in 49 to 68 of 100.
    assert held / runs > 0.93


def test_other_wrong_answers_of_ambiguous_contexts_have_their_doubt():
    rng = np.random.default_rng(10)
    held, runs, n = 0, 400, 80
    for _ in range(runs):
        kind = rng.choice(4, n, p=[0.3, 0.1, 0.2, 0.4])
        found = bbq_bias(kind == 0, kind < 2, kind == 3, ambiguous=True)
        held += found.low <= 0.6 * 0.5 <= found.high
    assert held / runs > 0.93


def test_answers_to_one_template_are_a_cluster():
    rng = np.random.default_rng(11)
    lean = np.repeat(rng.integers(0, 2, 25), 8)
    templates = [f"t{i // 8}" for i in range(200)]
    ones, nones = np.ones(200), np.zeros(200)
    for ambiguous in (False, True):
        alone, together = (bbq_bias(lean, ones, nones, ambiguous=ambiguous, clusters=c) for c in (None, templates))
        assert together.high - together.low > 1.8 * (alone.high - alone.low)
        assert together.score == alone.score


def test_an_area_of_clusters_is_wider():
    rng = np.random.default_rng(12)
    truth = np.repeat([0, 1], 100)
    scores = np.repeat(rng.normal(0.0, 1.0, 20), 10) + 0.8 * truth
    sessions = [f"s{i // 10}" for i in range(200)]
    alone, together = (auc(scores, truth, clusters=c) for c in (None, sessions))
    assert together.value == alone.value
    assert together.high - together.low > 1.8 * (alone.high - alone.low)
    own = auc(scores, truth, clusters=[f"e{i}" for i in range(200)])
    # Each event its own cluster: DeLong's variance but for the factors n/(n - 1).
    assert own.high - own.low == pytest.approx(alone.high - alone.low, rel=0.02)
    assert "one cluster" in auc(scores, truth, clusters=["s"] * 200).reason
