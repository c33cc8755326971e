"""The classifier two-sample test: its AUC, whole groups, and answers where nothing can be said."""

import numpy as np
import pytest
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import roc_auc_score

from evalsvc.drift import Vectors, compare_by_classifier
from evalsvc.drift.classifier import _Rows, _scores
from evalsvc.errors import InputError
from evalsvc.stats.ranks import placements


def window(seed, shift=0.0, n=120, hours=12):
    rng = np.random.default_rng(seed)
    return Vectors(rng.normal(shift, 1, (n, 3)), rng.choice([0.05, 1.0], n), rng.integers(hours, size=n).tolist())


def test_the_auc_is_scikit_learns():
    rng = np.random.default_rng(1)
    scores, labels, weights = rng.integers(20, size=80) / 10, rng.integers(2, size=80), rng.random(80)
    expected = roc_auc_score(labels, scores, sample_weight=weights)
    assert placements(scores, labels.astype(float), weights).auc == pytest.approx(expected, abs=1e-12)


def test_the_regression_is_scikit_learns():
    rng = np.random.default_rng(2)
    x, weights = rng.normal(size=(300, 3)), rng.random(300)
    labels = (rng.random(300) < 1 / (1 + np.exp(-x[:, 0]))).astype(float)
    held = np.arange(300) < 60
    rows = _Rows(x, weights, np.arange(300), held.astype(int))
    peer = LogisticRegression(C=1 / 3, tol=1e-9).fit(x[~held], labels[~held], sample_weight=weights[~held])
    assert _scores(rows, labels[None], held)[:, 0] == pytest.approx(peer.decision_function(x[held]), abs=0.02)


def test_a_shift_is_found_and_none_is_not():
    same, moved = (compare_by_classifier(window(1), window(2, shift)) for shift in (0.0, 1.5))
    assert same.moved is False
    assert moved.moved is True
    assert moved.p_value == 0.005
    assert 0.05 < moved.low < moved.effect < moved.high <= 0.5
    assert moved == compare_by_classifier(window(1), window(2, 1.5))


def test_a_change_of_spread_is_no_shift_of_a_linear_score():
    old, new = window(1), window(2)
    assert compare_by_classifier(old, new._replace(features=np.asarray(new.features) * 3)).moved is False


def test_ten_times_the_weight_changes_nothing():
    old, new = window(1), window(2, 0.5)
    rare = [each._replace(pi=np.asarray(each.pi) / 10) for each in (old, new)]
    first, second = compare_by_classifier(old, new), compare_by_classifier(*rare)
    assert first.p_value == second.p_value
    assert first.effect == pytest.approx(second.effect)


@pytest.mark.parametrize(
    ("current", "reason"),
    [
        (Vectors(np.empty((0, 3))), "empty"),
        (Vectors(np.ones((2, 3))), "fewer than 10 effective"),
        (Vectors(np.ones((50, 3)), np.full(50, 1e-310)), "overflow"),
        (Vectors(np.ones((50, 3)), None, [0] * 50), "fewer than 4 groups"),
    ],
)
def test_what_cannot_be_said_has_a_reason(current, reason):
    found = compare_by_classifier(window(1), current)
    assert found.effect is found.p_value is found.moved is None
    assert reason in found.reason


def test_features_that_are_all_equal_have_a_reason():
    same = Vectors(np.ones((50, 3)))
    assert "no feature differs" in compare_by_classifier(same, same).reason


def test_wrong_arguments_are_refused():
    good = window(1)
    for bad, match in (
        (Vectors(np.ones((50, 2))), "as many features"),
        (Vectors(np.full((50, 3), np.nan)), "finite"),
        (Vectors(np.ones((50, 3)), np.zeros(50)), "`pi`"),
        (Vectors(np.ones((50, 3)), np.ones(40)), "for each of 50"),
        (Vectors(np.ones(50)), "dimensions"),
    ):
        with pytest.raises(InputError, match=match):
            compare_by_classifier(good, bad)
    for options, match in (
        ({"permutations": 5}, "permutations"),
        ({"confidence": 95}, "confidence"),
        ({"minima": {"classifier": -1.0}}, "minimum"),
    ):
        with pytest.raises(InputError, match=match):
            compare_by_classifier(good, good, **options)
