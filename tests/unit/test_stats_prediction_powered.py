"""Prediction-powered means and Rogan-Gladen: fallbacks, weights, strata, clusters, and what is undefined."""

from __future__ import annotations

import math
import time
from datetime import UTC, datetime

import numpy as np
import pytest

from evalsvc.errors import InputError
from evalsvc.stats import ppi_mean, prediction_powered_difference, prediction_powered_mean, rogan_gladen
from evalsvc.stats.distributions import t_quantile, two_sided
from evalsvc.stats.limits import binary_limits
from evalsvc.types import Scale, Window

DAY = Window(datetime(2026, 3, 1, tzinfo=UTC), datetime(2026, 3, 2, tzinfo=UTC))
BINARY = Scale(0.0, 1.0, "lower", binary=True)
BOUNDED = Scale(0.0, 1.0, "higher")
OPEN = Scale(None, None, "higher")
NAN = math.nan


def judged(n=2000, reviews=200, right=0.9, seed=0, share=0.3):
    rng = np.random.default_rng(seed)
    y = (rng.random(n) < share).astype(float)
    f = np.where(rng.random(n) < right, y, 1 - y)
    return f, np.where(np.arange(n) < reviews, y, NAN), y


def width(estimate):
    return estimate.high - estimate.low


def test_a_good_judge_narrows_and_a_method_is_named() -> None:
    f, reviews, _ = judged()
    got = prediction_powered_mean(f, reviews, BINARY, DAY)
    assert got.powered
    assert width(got.estimate) < 0.8 * width(got.reviews_only)
    assert got.estimate.method == "ppi++, cross-fitted λ, hajek, wilson-jeffreys, t"
    assert got.reviews_only.method == "reviews alone, hajek, wilson-jeffreys, t"
    assert (got.n_reviews, got.n_predictions, got.estimate.n, got.reviews_only.n) == (200, 2000, 2000, 200)
    assert got.estimate.n_effective == pytest.approx(200 * got.interval_gain)
    assert 1.0 < got.interval_gain < got.gain
    assert 0.6 < got.correlation < 0.9


def test_the_effective_number_of_reviews_is_what_the_interval_is_worth() -> None:
    """Of a judge without an error among 100 reviews, none is told from one that errs once in a hundred."""
    f, reviews, _ = judged(n=100_000, reviews=100, right=1.0)
    got = prediction_powered_mean(f, reviews, BINARY, DAY)
    share = got.estimate.value
    low, high = binary_limits(share, got.estimate.n_effective, t_quantile(two_sided(0.95), 99.0))
    assert width(got.estimate) == pytest.approx(high - low, rel=0.05)
    assert got.interval_gain < 0.5 * got.gain


@pytest.mark.parametrize("lam", [0.2, 0.7, 1.0])
def test_a_given_lambda_gives_ppi_pythons_estimate(lam) -> None:
    f, reviews, y = judged()
    got = prediction_powered_mean(f, reviews, BINARY, DAY, lam=lam)
    assert got.estimate.value == pytest.approx(ppi_mean(y[:200], f[:200], f[200:], lam=lam).value, abs=1e-9)
    assert got.lam == pytest.approx(lam)
    assert "λ given" in got.estimate.method


@pytest.mark.parametrize("right", [0.8, 0.9, 0.97])
@pytest.mark.parametrize("reviews", [200, 500])
def test_tuned_estimate_and_gain_are_near_ppi_pythons(right, reviews) -> None:
    ours, theirs = [], []
    for seed in range(20):
        f, reviewed, y = judged(reviews=reviews, right=right, seed=seed)
        got = prediction_powered_mean(f, reviewed, BINARY, DAY)
        peer = ppi_mean(y[:reviews], f[:reviews], f[reviews:])
        classical = ppi_mean(y[:reviews], f[:reviews], f[reviews:], lam=0.0)
        assert got.estimate.value == pytest.approx(peer.value, abs=0.01)
        ours.append(got.gain)
        theirs.append((classical.half_width / peer.half_width) ** 2)
    assert np.mean(ours) == pytest.approx(np.mean(theirs), rel=0.05)


def test_the_tuned_estimate_does_not_depend_on_the_order() -> None:
    f, reviews, _ = judged()
    order = np.random.default_rng(1).permutation(f.size)
    a, b = (prediction_powered_mean(f[o], reviews[o], BINARY, DAY) for o in (np.arange(f.size), order))
    assert a.estimate.value == pytest.approx(b.estimate.value, abs=1e-12)
    assert a.estimate.high == pytest.approx(b.estimate.high, abs=1e-12)


def test_a_judge_that_errs_is_not_used() -> None:
    f, reviews, _ = judged(right=0.1)
    got = prediction_powered_mean(f, reviews, BINARY, DAY)
    assert not got.powered
    assert (got.lam, got.gain, got.interval_gain) == (0.0, 1.0, 1.0)
    assert got.estimate.method.startswith("classical (λ = 0)")
    assert "does not follow" in got.estimate.reason
    for name in ("value", "low", "high", "n_effective"):
        assert getattr(got.estimate, name) == getattr(got.reviews_only, name)


def test_few_effective_reviews_do_not_judge_the_judge() -> None:
    f, reviews, _ = judged(n=300, reviews=9, right=1.0)
    got = prediction_powered_mean(f, reviews, BINARY, DAY)
    assert not got.powered
    assert "fewer than 10 effective reviews" in got.estimate.reason


def test_a_constant_judge_and_constant_reviews_are_not_used() -> None:
    f, reviews, _ = judged()
    for predictions, values in ((np.ones_like(f), reviews), (f, np.where(np.isnan(reviews), NAN, 1.0))):
        got = prediction_powered_mean(predictions, values, BINARY, DAY)
        assert not got.powered
        assert "do not vary" in got.estimate.reason
        assert got.estimate.low < got.estimate.value or got.estimate.value == 0.0


def test_what_was_reviewed_whole_has_no_doubt() -> None:
    f, _, y = judged(n=300)
    got = prediction_powered_mean(f, y, BINARY, DAY, pi=1.0)
    assert not got.powered
    assert got.estimate.value == got.estimate.low == got.estimate.high == pytest.approx(y.mean())
    assert got.estimate.reason == "every event with a prediction was reviewed"


def test_weights_are_inverse_probabilities() -> None:
    rng = np.random.default_rng(4)
    y, f = rng.random(40), rng.random(40)
    pi, r = rng.uniform(0.6, 0.9, 40), rng.uniform(0.6, 0.9, 40)
    chosen = rng.random(40) < r
    got = prediction_powered_mean(
        f, np.where(chosen, y, NAN), BOUNDED, DAY, pi=pi, review_probability=r, strata=np.zeros(40)
    )
    weights = 1 / (pi * r)[chosen]
    assert got.reviews_only.value == pytest.approx(np.average(y[chosen], weights=weights))
    assert got.reviews_only.n_effective == pytest.approx(weights.sum() ** 2 / (weights**2).sum())


def test_a_given_lambda_under_weights_by_hand() -> None:
    rng = np.random.default_rng(4)
    y = rng.random(400)
    f, pi, r = np.clip(y + rng.normal(0, 0.05, 400), 0, 1), rng.uniform(0.3, 1, 400), rng.uniform(0.1, 0.4, 400)
    chosen = rng.random(400) < r
    got = prediction_powered_mean(
        f, np.where(chosen, y, NAN), BOUNDED, DAY, pi=pi, review_probability=r, strata=np.zeros(400), lam=0.5
    )
    v, w = 1 / (pi * r)[chosen], 1 / pi
    lam = 0.5 / (1 - chosen.mean())
    by_hand = np.average(y[chosen], weights=v) + lam * (np.average(f, weights=w) - np.average(f[chosen], weights=v))
    assert got.powered
    assert got.estimate.value == pytest.approx(by_hand, abs=1e-12)


def test_strata_weigh_as_the_traffic_does() -> None:
    f, _, y = judged(n=1000, share=0.3)
    stratum = np.repeat(["a", "b"], [900, 100])
    chosen = np.zeros(1000, dtype=bool)
    chosen[:50] = chosen[900:950] = True
    got = prediction_powered_mean(f, np.where(chosen, y, NAN), BINARY, DAY, strata=stratum)
    assert got.reviews_only.value == pytest.approx(0.9 * y[:50].mean() + 0.1 * y[900:950].mean())
    assert "stratified" in got.estimate.method
    assert "MOVER" in got.estimate.method


def test_sparse_strata_are_joined_and_nothing_is_lost() -> None:
    f, reviews, _ = judged(reviews=60)
    got = prediction_powered_mean(f, reviews, BINARY, DAY, strata=np.arange(2000) % 50)
    assert got.n_reviews == 60
    assert got.estimate.low <= got.estimate.value <= got.estimate.high


def test_clusters_widen() -> None:
    rng = np.random.default_rng(6)
    unit = np.repeat(np.arange(400), 5)
    y = (rng.random(2000) < rng.beta(0.4, 0.6, 400)[unit]).astype(float)
    f = np.where(rng.random(2000) < 0.9, y, 1 - y)
    reviews = np.where(unit < 40, y, NAN)
    alone = prediction_powered_mean(f, reviews, BINARY, DAY)
    together = prediction_powered_mean(f, reviews, BINARY, DAY, clusters=unit)
    assert width(together.reviews_only) > 1.4 * width(alone.reviews_only)
    assert together.estimate.method.endswith("clustered")


@pytest.mark.parametrize("scale", [BINARY, BOUNDED, OPEN])
@pytest.mark.parametrize("reviewed", [0, 1, 2])
def test_few_reviews(scale, reviewed) -> None:
    f, _, _ = judged(n=100)
    reviews = np.where(np.arange(100) < reviewed, np.arange(100) % 2, NAN)
    got = prediction_powered_mean(f, reviews, scale, DAY)
    if reviewed == 0:
        assert (got.estimate.value, got.estimate.low, got.n_reviews) == (None, None, 0)
        assert "prediction and a review" in got.estimate.reason
    elif scale is OPEN and reviewed == 1:
        assert (got.estimate.value, got.estimate.low) == (0.0, None)
        assert "one review" in got.estimate.reason
    else:
        assert got.estimate.low <= got.estimate.value <= got.estimate.high


def test_equal_reviews_on_an_open_scale_have_no_interval() -> None:
    got = prediction_powered_mean(np.arange(10.0), [2.0] * 5 + [NAN] * 5, OPEN, DAY)
    assert (got.estimate.value, got.estimate.low, got.estimate.high) == (2.0, None, None)
    assert "all reviews are equal" in got.estimate.reason


def test_missing_predictions_are_counted_by_weight() -> None:
    f, reviews, _ = judged(n=100, reviews=30)
    f[:10] = NAN
    pi = np.where(np.arange(100) < 10, 0.1, 1.0)
    got = prediction_powered_mean(f, reviews, BINARY, DAY, pi=pi)
    assert (got.n_predictions, got.n_reviews, got.estimate.n_missing) == (90, 20, 10)
    assert got.estimate.missing_share == pytest.approx(100 / 190)
    nothing = prediction_powered_mean([NAN] * 3, [1.0, 0.0, NAN], BINARY, DAY)
    assert (nothing.estimate.value, nothing.estimate.n_missing, nothing.estimate.missing_share) == (None, 3, 1.0)
    assert prediction_powered_mean([], [], BINARY, DAY).estimate.value is None


@pytest.mark.parametrize("scale", [BINARY, BOUNDED, OPEN])
def test_extreme_weights_and_one_cluster(scale) -> None:
    f, reviews, _ = judged(n=200, reviews=60)
    pi = np.where(np.arange(200) == 3, 1e-9, 1.0)
    heavy = prediction_powered_mean(f, reviews, scale, DAY, pi=pi, review_probability=0.3)
    one = prediction_powered_mean(f, reviews, scale, DAY, clusters=np.zeros(200))
    for got in (heavy, one):
        for number in (got.estimate.value, got.estimate.low, got.estimate.high, got.gain, got.estimate.n_effective):
            assert number is None or math.isfinite(number)
    if scale is not OPEN:
        assert width(heavy.estimate) > 0.5
        assert width(one.estimate) > 0.5


def test_differences_join_distances() -> None:
    a = prediction_powered_mean(*judged(seed=1)[:2], BINARY, DAY)
    b = prediction_powered_mean(*judged(seed=2, share=0.5)[:2], BINARY, DAY)
    got = prediction_powered_difference(a, b)
    assert got.value == pytest.approx(a.estimate.value - b.estimate.value)
    below = math.hypot(a.estimate.value - a.estimate.low, b.estimate.high - b.estimate.value)
    assert got.low == pytest.approx(got.value - below)
    assert (got.statistic, got.n) == ("difference", 4000)
    assert got.high < 0


def test_a_difference_to_nothing_is_none() -> None:
    a = prediction_powered_mean(*judged()[:2], BINARY, DAY)
    got = prediction_powered_difference(a, prediction_powered_mean([], [], BINARY, DAY))
    assert (got.value, got.low) == (None, None)
    assert got.reason
    with pytest.raises(InputError, match="confidence"):
        prediction_powered_difference(a, prediction_powered_mean(*judged()[:2], BINARY, DAY, confidence=0.9))


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"reviews": [1.0]}, "one value per prediction"),
        ({"predictions": [[1.0, 0.0]]}, "one dimension"),
        ({"predictions": ["a", "b"]}, "numbers"),
        ({"predictions": [math.inf, 0.0]}, "finite"),
        ({"reviews": [2.0, NAN]}, "scale"),
        ({"reviews": [0.5, NAN]}, "0 or 1"),
        ({"pi": 0.0}, "`pi`"),
        ({"pi": [0.5, NAN]}, "`pi`"),
        ({"review_probability": [0.5, 1.5]}, "`review_probability`"),
        ({"strata": ["a"]}, "one label"),
        ({"lam": 1.5}, "`lam`"),
        ({"confidence": 95.0}, "confidence"),
    ],
)
def test_bad_arguments_are_refused(change, said) -> None:
    given = {"predictions": [1.0, 0.0], "reviews": [1.0, NAN], "scale": BINARY, "window": DAY, **change}
    with pytest.raises(InputError, match=said):
        prediction_powered_mean(**given)


def test_a_million_predictions_take_no_second() -> None:
    f, reviews, _ = judged(n=1_000_000, reviews=2000)
    began = time.process_time()
    prediction_powered_mean(f, reviews, BINARY, DAY, pi=0.1)
    assert time.process_time() - began < 1.0


def test_ppi_mean_of_nothing_and_of_gaps() -> None:
    assert ppi_mean([], [], [1.0]).value is None
    assert ppi_mean([1.0], [1.0], []).reason
    assert ppi_mean([1.0], [1.0], [1.0]).half_width == 0.0
    with pytest.raises(InputError, match="NaN"):
        ppi_mean([1.0, NAN], [1.0, 1.0], [1.0])


def test_rogan_gladen_inverts_the_judges_errors() -> None:
    apparent = 0.2 * 0.9 + 0.8 * 0.1
    got = rogan_gladen(apparent, 1e9, true_positives=9e8, positives=1e9, true_negatives=9e8, negatives=1e9)
    assert got.value == pytest.approx(0.2)
    assert got.high - got.low < 1e-3
    assert got.low < 0.2 < got.high


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ((0.5, 0, 5, 10, 5, 10), "scored no event"),
        ((0.5, 100, 0, 0, 5, 10), "unknown"),
        ((0.5, 100, 5, 10, 5, 10), "not above 1"),
        ((0.5, 100, 2, 10, 5, 10), "not above 1"),
    ],
)
def test_rogan_gladen_says_why_not(given, said) -> None:
    apparent, n, tp, p, tn, m = given
    got = rogan_gladen(apparent, n, true_positives=tp, positives=p, true_negatives=tn, negatives=m)
    assert (got.value, got.low, got.high) == (None, None, None)
    assert said in got.reason


def test_rogan_gladen_of_a_weak_judge_has_no_limits() -> None:
    got = rogan_gladen(0.5, 1000, true_positives=6, positives=10, true_negatives=5, negatives=10)
    assert got.value is not None
    assert (got.low, got.high) == (None, None)
    assert "may be 1" in got.reason


def test_rogan_gladen_stays_a_share_and_refuses_what_cannot_be() -> None:
    got = rogan_gladen(0.0, 1000, true_positives=90, positives=100, true_negatives=90, negatives=100)
    assert (got.value, got.low) == (0.0, 0.0)
    with pytest.raises(InputError, match="`apparent`"):
        rogan_gladen(1.2, 10, true_positives=1, positives=2, true_negatives=1, negatives=2)
    with pytest.raises(InputError, match="`true_positives`"):
        rogan_gladen(0.2, 10, true_positives=3, positives=2, true_negatives=1, negatives=2)
    with pytest.raises(InputError, match="`n`"):
        rogan_gladen(0.2, NAN, true_positives=1, positives=2, true_negatives=1, negatives=2)


@pytest.mark.parametrize("scale", [Scale(0.0, 1.0, "lower", binary=True), Scale(0.0, None, "lower")])
def test_reviews_of_events_taken_with_certainty_tell_nothing_of_those_that_were_not(scale) -> None:
    """Their judge's verdicts alone would stand for nearly all of the traffic, in an interval of 3 points."""
    truth = np.array([1.0] + [0.0, 0.0, 0.0, 1.0] * 15)[:60]
    judge = truth.copy()
    judge[5] = 1.0 - judge[5]
    reviews = np.where(np.arange(60) % 3 == 1, truth, np.nan)
    pi = np.where(np.arange(60) == 0, 0.001, 1.0)
    found = prediction_powered_mean(judge, reviews, scale, DAY, pi=pi)
    assert not found.powered
    assert "94.4% of the traffic has a π of which nothing was reviewed" in found.estimate.reason
    if scale.binary:
        assert found.estimate.high - found.estimate.low > 0.9
    else:
        assert (found.estimate.low, found.estimate.high) == (None, None)


def test_one_review_that_outweighs_all_others_tells_nothing_of_an_open_scale_s_spread() -> None:
    rng = np.random.default_rng(3)
    truth = rng.lognormal(0.0, 0.5, 60)
    reviews = np.where(np.arange(60) < 20, truth, np.nan)
    pi = np.where(np.arange(60) == 0, 1e-3, 1.0)
    found = prediction_powered_mean(truth, reviews, Scale(0.0, None, "lower"), DAY, pi=pi)
    assert (found.estimate.low, found.estimate.high) == (None, None)
    assert "effective reviews of 20: one weighs as much as all others" in found.estimate.reason
