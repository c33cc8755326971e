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
