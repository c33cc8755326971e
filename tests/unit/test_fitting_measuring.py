"""Figures of held-out rows, against scikit-learn."""

import time
from itertools import pairwise

import numpy as np
import pytest
from scipy.special import expit
from scipy.stats import binomtest
from sklearn.calibration import _SigmoidCalibration
from sklearn.metrics import (
    average_precision_score,
    balanced_accuracy_score,
    brier_score_loss,
    f1_score,
    precision_recall_curve,
    precision_score,
    recall_score,
    roc_auc_score,
    roc_curve,
)

from evalsvc.detection.adapter import calibrated
from evalsvc.errors import InputError
from evalsvc.fitting.deciding import platt, suspects, threshold
from evalsvc.fitting.measuring import (
    Outcomes,
    auroc_change,
    figures,
    measures_of,
    precision_recall,
    reliability,
    roc,
)


def drawn(size=400, *, seed=0, digits=2):
    """Return rows with ties, and weights."""
    generator = np.random.default_rng(seed)
    labels = generator.random(size) < 0.3
    probabilities = np.round(expit(generator.normal(size=size) + 1.5 * labels - 1), digits)
    return Outcomes(labels, probabilities, probabilities >= 0.4), generator.integers(0, 4, size).astype(float)


@pytest.mark.parametrize("seed", range(3))
def test_figures_are_scikit_learns_with_ties_and_weights(seed):
    outcomes, weights = drawn(seed=seed)
    labels, probabilities, found = outcomes
    values = {name: measure(weights[None, :])[0] for name, measure in measures_of(outcomes).items()}
    given = {"sample_weight": weights}
    expected = {
        "auroc": roc_auc_score(labels, probabilities, **given),
        "average_precision": average_precision_score(labels, probabilities, **given),
        "f1": f1_score(labels, found, **given),
        "precision": precision_score(labels, found, **given),
        "recall": recall_score(labels, found, **given),
        "balanced_accuracy": balanced_accuracy_score(labels, found, **given),
        "brier": brier_score_loss(labels, probabilities, **given),
    }
    alarms, recalls, _ = roc_curve(labels, probabilities, drop_intermediate=False, **given)
    expected["recall_at_1_percent_false_alarms"] = recalls[alarms <= 0.01].max()
    assert {name: values[name] for name in expected} == pytest.approx(expected, abs=1e-12)


def test_calibration_error_is_that_of_its_definition():
    outcomes, _ = drawn(digits=6)
    labels, probabilities, _ = outcomes
    edges = np.linspace(0, 1, 16)
    by_width = by_mass = 0.0
    for low, high in pairwise(edges):
        chosen = (probabilities >= low) & (probabilities < high)
        if chosen.any():
            by_width += chosen.mean() * abs(labels[chosen].mean() - probabilities[chosen].mean())
    for part in np.array_split(np.argsort(probabilities), 15):
        by_mass += len(part) / 400 * abs(labels[part].mean() - probabilities[part].mean())
    found = figures(outcomes, np.arange(400), resamples=0)
    assert found["ece"].value == pytest.approx(by_width)
    # 400 rows are no multiple of 15, so that the two may cut a row apart.
    assert found["ece_equal_mass"].value == pytest.approx(by_mass, abs=0.01)


def test_the_calibration_error_of_equal_mass_does_not_depend_on_the_order_of_rows():
    outcomes, weights = drawn(digits=1)
    mixed = np.random.default_rng(1).permutation(400)
    found = [
        figures(outcomes.part(order), np.arange(400), weights[order], resamples=0)["ece_equal_mass"].value
        for order in (np.arange(400), mixed, np.lexsort((outcomes.labels, outcomes.probabilities)))
    ]
    assert found == pytest.approx([found[0]] * 3, abs=1e-12)


@pytest.mark.parametrize("weighted", [False, True])
def test_curves_are_scikit_learns_and_weighted(weighted):
    outcomes, weights = drawn(digits=6)
    weights = weights + 1.0 if weighted else np.ones(400)
    given = {"sample_weight": weights}
    alarms, recalls, _ = roc_curve(outcomes.labels, outcomes.probabilities, drop_intermediate=False, **given)
    curve = roc(outcomes, weights, most=10_000)
    np.testing.assert_allclose((curve.x, curve.y), (alarms, recalls))
    assert len(roc(outcomes, weights).x) == 200
    precisions, recalls, _ = precision_recall_curve(outcomes.labels, outcomes.probabilities, **given)
    curve = precision_recall(outcomes, weights, most=10_000)
    # scikit-learn goes the other way, and ends with a point at a recall of 0.
    np.testing.assert_allclose((curve.x[::-1], curve.y[::-1]), (recalls[:-1], precisions[:-1]))
    assert curve.y[-1] == pytest.approx(np.average(outcomes.labels, weights=weights))


def test_a_change_of_auroc_is_of_the_same_rows():
    outcomes, weights = drawn(digits=6)
    labels, scores, weights = outcomes.labels, outcomes.probabilities, weights + 1.0
    other = np.random.default_rng(2).permutation(scores)
    groups = np.arange(400) // 4
    expected = roc_auc_score(labels, scores, sample_weight=weights) - roc_auc_score(
        labels, other, sample_weight=weights
    )
    found = auroc_change(labels, scores, other, groups, weights)
    assert found.value == pytest.approx(expected)
    assert 0.0 < found.low < expected < found.high
    same = auroc_change(labels, scores, 3.0 * scores - 1.0, groups, weights)
    assert (same.value, same.low, same.high) == (0.0, 0.0, 0.0)
    assert auroc_change(labels & False, scores, other, groups, weights).value is None


def test_bins_of_the_calibration_plot_are_weighted():
    outcomes, weights = drawn(digits=6)
    bins = reliability(outcomes, weights + 1.0)
    assert sum(one.rows for one in bins) == 400
    chosen = outcomes.probabilities < 1 / 15
    assert bins[0].share == pytest.approx(np.average(outcomes.labels[chosen], weights=weights[chosen] + 1.0))
    # Together they are what the calibration error is made of.
    masses = [
        (weights + 1.0)[(outcomes.probabilities * 15).astype(int) == code].sum()
        for code in np.unique((outcomes.probabilities * 15).astype(int))
    ]
    error = sum(mass * abs(one.share - one.probability) for mass, one in zip(masses, bins, strict=True)) / sum(masses)
    found = figures(outcomes, np.arange(400), weights + 1.0, resamples=0)["ece"].value
    assert found == pytest.approx(error)


def test_intervals_cover_and_are_wider_by_groups_than_by_rows():
    hits = {"rows": 0, "groups": 0}
    widths = {"rows": [], "groups": []}
    generator = np.random.default_rng(5)
    truth = 0.814  # of two normals that are 1.26 / sqrt(2) apart, with the same effect of groups
    for _ in range(60):
        groups = np.repeat(np.arange(60), 5)
        labels = np.repeat(generator.random(60) < 0.4, 5)
        logits = np.repeat(generator.normal(size=60) * 0.9, 5) + generator.normal(size=300) * 0.45 + 1.27 * labels
        outcomes = Outcomes(labels, expit(logits), logits > 0)
        for kind, codes in (("rows", np.arange(300)), ("groups", groups)):
            found = figures(outcomes, codes, resamples=200)["auroc"]
            hits[kind] += found.low <= truth <= found.high
            widths[kind].append(found.high - found.low)
    assert np.mean(widths["groups"]) > 1.5 * np.mean(widths["rows"])
    assert hits["groups"] >= 52 > hits["rows"]


def test_the_calibration_error_of_calibrated_rows_may_be_zero():
    generator = np.random.default_rng(4)
    lows = []
    for _ in range(20):
        probabilities = generator.random(150)
        outcomes = Outcomes(generator.random(150) < probabilities, probabilities, probabilities > 0.5)
        found = figures(outcomes, np.arange(150), resamples=200)["ece"]
        assert found.low <= found.value <= found.high
        lows.append(found.low)
    # Noise alone makes 0.08 of 150 rows in 15 bins.
    assert np.mean(lows) < 0.04


def test_what_never_varies_has_no_interval_of_no_width():
    labels = np.arange(60) % 2 == 0
    outcomes = Outcomes(labels, np.where(labels, 0.9, 0.1), labels)
    found = figures(outcomes, np.arange(60) // 4)
    # 15 groups without a false alarm: the exact limit of 0 of 15.
    low, high = binomtest(0, 15).proportion_ci(0.95)
    assert (found["false_alarms"].low, found["false_alarms"].high) == pytest.approx((low, high))
    assert (found["recall"].low, found["recall"].high) == pytest.approx((1 - high, 1.0))
    assert (found["auroc"].value, found["auroc"].low) == (1.0, None)
    alone = figures(outcomes.part(labels), np.arange(30))
    assert alone["ece"].value is None


def test_intervals_of_many_rows_are_fast():
    outcomes, _ = drawn(20_000, digits=6)
    began = time.process_time()
    figures(outcomes, np.arange(20_000) // 3)
    assert time.process_time() - began < 20


def test_one_class_and_one_group_have_no_figure_rather_than_a_wrong_one():
    outcomes, _ = drawn()
    alone = outcomes.part(outcomes.labels)
    found = figures(alone, np.arange(len(alone.labels)))
    assert (found["auroc"].value, found["false_alarms"].value) == (None, None)
    assert found["recall"].low is not None
    assert figures(outcomes, np.zeros(400, int))["auroc"].low is None


def test_platt_is_scikit_learns_where_each_row_is_a_group():
    generator = np.random.default_rng(3)
    labels = generator.random(500) < 0.3
    logits = generator.normal(size=500) * 4 + 6 * labels - 20
    found = platt(logits, labels, np.arange(500))
    reference = _SigmoidCalibration().fit(logits, labels.astype(float))
    np.testing.assert_allclose(calibrated(found, logits), reference.predict(logits), atol=1e-4)


def test_platt_of_separable_rows_is_finite_and_milder_by_fewer_groups():
    logits, labels = np.r_[np.full(50, -3.0), np.full(50, 3.0)], np.arange(100) >= 50
    fine, coarse = (platt(logits, labels, groups) for groups in (np.arange(100), np.arange(100) // 25))
    assert calibrated(fine, np.array([3.0]))[0] == pytest.approx(51 / 52)
    assert calibrated(coarse, np.array([3.0]))[0] == pytest.approx(3 / 4)


def test_platt_keeps_the_order_of_logits_that_say_the_opposite():
    labels = np.arange(100) >= 50
    found = platt(np.where(labels, -1.0, 1.0), labels, np.arange(100))
    assert found.slope > 0
    assert calibrated(found, np.zeros(1))[0] == pytest.approx(0.5, abs=0.01)
    with pytest.raises(InputError, match="both classes"):
        platt(np.zeros(3), np.ones(3, bool), np.arange(3))


@pytest.mark.parametrize("value", [0.0, 0.01, 0.05, 0.29, 1.0])
def test_false_alarms_are_at_most_what_is_allowed_and_recall_is_greatest(value):
    outcomes, _ = drawn()
    labels, probabilities, _ = outcomes
    at = threshold("false_alarms", value, probabilities, labels)
    alarms = (probabilities[~labels] >= at).mean()
    assert alarms <= value
    allowed = [one for one in np.unique(probabilities) if (probabilities[~labels] >= one).mean() <= value]
    best = max(((probabilities[labels] >= one).mean() for one in allowed), default=0.0)
    assert (probabilities[labels] >= at).mean() == best


@pytest.mark.parametrize("value", [0.1, 1.0, 5.0, 1000.0])
def test_cost_is_least(value):
    outcomes, _ = drawn()
    labels, probabilities, _ = outcomes

    def cost(at):
        return value * (labels & (probabilities < at)).sum() + (~labels & (probabilities >= at)).sum()

    assert cost(threshold("cost", value, probabilities, labels)) == min(map(cost, [*probabilities, 1.1]))


@pytest.mark.parametrize(("rule", "value"), [("false_alarms", 0.1), ("cost", 3.0)])
def test_a_threshold_with_weights_is_that_of_repeated_rows(rule, value):
    (labels, probabilities, _), weights = drawn()
    times = weights.astype(int)
    expected = threshold(rule, value, np.repeat(probabilities, times), np.repeat(labels, times))
    assert threshold(rule, value, probabilities, labels, weights) == pytest.approx(expected, abs=0.011)
    kept = weights > 0
    assert threshold(rule, value, probabilities[kept], labels[kept], weights[kept]) == expected


def test_nothing_is_found_where_no_threshold_is_good_enough():
    at = threshold("false_alarms", 0.0, np.array([0.2, 0.9, 0.9]), np.array([True, False, False]))
    assert 0.9 < at < 0.9001
    assert threshold("cost", 0.001, np.array([0.2, 0.9]), np.array([True, False])) > 0.9


def test_suspects_are_most_of_twenty_percent_of_planted_errors():
    generator = np.random.default_rng(2)
    truth = generator.random(600) < 0.4
    planted = generator.random(600) < 0.2
    values = np.c_[generator.normal(size=600) + 3.0 * truth, np.ones(600)]
    labels = truth ^ planted
    probabilities = np.empty(600)
    for fold in range(5):
        held = np.arange(600) % 5 == fold
        found = platt(values[~held, 0], labels[~held], np.arange(600)[~held])
        probabilities[held] = calibrated(found, values[held, 0])
    found = suspects(probabilities, labels)
    caught = planted[found]
    assert caught.sum() > 0.6 * planted.sum()
    assert caught.mean() > 0.7
    assert caught[:50].mean() > 0.9
