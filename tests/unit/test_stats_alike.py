"""Statistics of pairs of texts: against sums over all pairs written out, and how often their intervals hold."""

import math
from collections import defaultdict
from datetime import UTC, datetime

import numpy as np
import pytest

from evalsvc.errors import InputError
from evalsvc.scorers.text_embedding import fourier_features, frequencies
from evalsvc.scorers.text_words import word_counts
from evalsvc.stats import TextBlock, estimate_distinct_words, estimate_self_similarity
from evalsvc.types import Cell, Window

DAY = Window(datetime(2026, 3, 1, tzinfo=UTC), datetime(2026, 3, 2, tzinfo=UTC))
OMEGA = frequencies(8, 1.0)


def topic(rng, name, n):
    """Return unit vectors about a direction that the topic's name decides."""
    centre = np.random.default_rng(name).standard_normal(8)
    drawn = 2.0 * centre / np.linalg.norm(centre) + 0.5 * rng.standard_normal((n, 8))
    return drawn / np.linalg.norm(drawn, axis=1, keepdims=True)


def block_of(features, values, pis, missing=0):
    """Return an hour's block from texts, one a row."""
    cells, sums = [], {}
    for place, pi in enumerate(sorted(set(pis))):
        mine = [index for index, other in enumerate(pis) if other == pi]
        total, squares = math.fsum(values[i] for i in mine), math.fsum(values[i] ** 2 for i in mine)
        gone = missing if place == 0 else 0
        cells.append(Cell("all", 1, float(pi), len(mine), gone, 0, total, squares))
        sums["all", 1, float(pi)] = np.sum([features[i] for i in mine], axis=0).tolist()
    return TextBlock(cells, sums)


def embedded(vectors, pis, missing=0):
    return block_of([fourier_features(v, OMEGA) for v in vectors], [1.0] * len(vectors), pis, missing)


def worded(texts, pis):
    return block_of([word_counts(text) for text in texts], [float(len(text)) for text in texts], pis)


def test_self_similarity_is_the_weighted_mean_over_pairs():
    rng = np.random.default_rng(1)
    vectors = np.vstack([topic(rng, 1, 12), topic(rng, 2, 9)])
    pis = rng.choice([0.1, 0.5, 1.0], 21)
    pis[0] = 0.1
    features = np.array([fourier_features(v, OMEGA) for v in vectors])
    weights = 1.0 / pis
    pairs = np.outer(weights, weights) * (1.0 - np.eye(21))
    expected = (pairs * (features @ features.T)).sum() / pairs.sum()
    blocks = [embedded(vectors[:7], pis[:7], missing=4), embedded(vectors[7:], pis[7:])]
    found = estimate_self_similarity(blocks, DAY)
    assert found.value == pytest.approx(expected, abs=1e-6)
    assert found.n == 21
    assert found.n_effective == pytest.approx(weights.sum() ** 2 / (weights**2).sum())
    assert found.n_missing == 4
    assert found.missing_share == pytest.approx(40.0 / (weights.sum() + 40.0))
    assert "bound" in found.method
    assert found.low < found.value < found.high


def test_distinct_words_is_one_over_the_share_of_equal_pairs_of_different_texts():
    rng = np.random.default_rng(2)
    texts = [[f"w{k}" for k in rng.zipf(1.5, rng.integers(1, 30)) % 50] for _ in range(15)]
    pis = rng.choice([0.25, 1.0], 15)
    same = total = 0.0
    for i, first in enumerate(texts):
        for j, second in enumerate(texts):
            if i != j:
                counts, others = np.array(word_counts(first)[:-1]), np.array(word_counts(second)[:-1])
                same += counts @ others / (pis[i] * pis[j])
                total += len(first) * len(second) / (pis[i] * pis[j])
    collisions = (same / total - 1 / 512) / (1 - 1 / 512)
    found = estimate_distinct_words([worded(texts[:8], pis[:8]), worded(texts[8:], pis[8:])], DAY)
    assert found.value == pytest.approx(1.0 / collisions)
    assert (found.low, found.high) == (None, None)
    assert found.reason == "an interval needs 5 hours with words"


def test_equally_frequent_words_are_counted_however_many_texts_there_are():
    """Of V equal words the effective number is V, but for the words that share a bucket: √(2/512) of it, 6 %."""
    found = {}
    for n in (200, 3000):
        rng = np.random.default_rng(n)
        hours = [[[f"w{k}" for k in rng.integers(0, 40, 12)] for _ in range(n // 10)] for _ in range(10)]
        found[n] = estimate_distinct_words([worded(texts, [1.0] * len(texts)) for texts in hours], DAY)
        assert found[n].value == pytest.approx(40, rel=0.13)
    assert found[200].low < found[3000].low < found[3000].high < found[200].high


def test_all_texts_alike():
    vectors = np.tile(topic(np.random.default_rng(0), 1, 1), (30, 1))
    found = estimate_self_similarity([embedded(vectors[k::6], [1.0] * 5) for k in range(6)], DAY)
    assert found.value == pytest.approx(1.0, abs=1e-6)
    assert found.high == pytest.approx(1.0)
    same = estimate_distinct_words([worded([["yes"]] * 5, [0.5] * 5) for _ in range(6)], DAY)
    assert same.value == pytest.approx(1.0)


@pytest.mark.parametrize("estimator", [estimate_self_similarity, estimate_distinct_words])
def test_what_is_undefined_says_why(estimator):
    nothing = estimator([], DAY)
    assert (nothing.value, nothing.n, nothing.n_effective, nothing.missing_share) == (None, 0, 0.0, 0.0)
    assert "two texts" in nothing.reason
    one = embedded(topic(np.random.default_rng(0), 1, 1), [1e-9])
    assert estimator([one], DAY).value is None
    assert estimator([TextBlock([Cell("all", 1, 0.5, 0, 3, 2, 0.0, 0.0)], {})], DAY).n_missing == 5
    assert estimator([TextBlock([Cell("all", 1, 0.5, 4, 0, 0, 4.0, 4.0)], {})], DAY).value is None
    with pytest.raises(InputError, match="confidence"):
        estimator([], DAY, confidence=1.0)


def test_texts_without_words_or_without_any_word_twice():
    empty = worded([[], [], []], [1.0] * 3)
    assert estimate_distinct_words([empty], DAY).reason == "a pair needs two texts with words"
    apart = worded([["hello"], ["world"]], [1.0, 1.0])
    assert "no word comes twice" in estimate_distinct_words([apart], DAY).reason


def test_one_hour_with_all_the_words_has_a_value_without_an_interval():
    blocks = [worded([["yes", "no"], ["yes"]], [0.3, 0.3]), *(worded([[]], [0.3]) for _ in range(4))]
    found = estimate_distinct_words(blocks, DAY)
    assert found.value == pytest.approx(estimate_distinct_words(blocks[:1], DAY).value)
    assert (found.low, found.high) == (None, None)
    assert found.reason == "an interval needs 5 hours with words"
    # Hours with one word each beside the one with many: without it there are pairs.
    more = [blocks[0], *(worded([["yes"]], [0.3]) for _ in range(4))]
    assert estimate_distinct_words(more, DAY).low is not None
    # One text of all the weight leaves nothing to compare.
    heavy = [worded([["yes"], ["yes"]], [1e-9, 1e-9]), *(worded([["yes"]], [1.0]) for _ in range(4))]
    assert estimate_distinct_words(heavy, DAY).reason == "one hour has all pairs of texts, as far as their weights tell"


@pytest.mark.parametrize("pi", [1.0, 0.3, 1e-9])
def test_two_texts_of_which_one_has_features_are_no_pair(pi):
    cells = [Cell("a", 1, pi, 1, 0, 0, 1.0, 1.0), Cell("b", 1, pi, 1, 0, 0, 1.0, 1.0)]
    found = estimate_self_similarity([TextBlock(cells, {("a", 1, pi): [1.0, 0.0]})], DAY)
    assert (found.value, found.reason) == (None, "a pair needs two texts with features")
    hours = [TextBlock(cells, {("a", 1, pi): [1.0, 0.0], ("b", 1, pi): [0.0, 1.0]})]
    hours += [TextBlock(cells[:1], {}) for _ in range(4)]
    assert "bound" in estimate_self_similarity(hours, DAY).method


def test_texts_of_tiny_probability_do_not_overflow():
    vectors = topic(np.random.default_rng(5), 1, 12)
    blocks = [embedded(vectors[2 * k : 2 * k + 2], [1e-9, 1.0]) for k in range(6)]
    found = estimate_self_similarity(blocks, DAY)
    assert 0.0 <= found.low <= found.value <= found.high <= 1.0


@pytest.mark.parametrize("hours", [24, 8])
def test_intervals_hold(hours):
    """Traffic whose topics drift by the hour, sampled at two rates: 95 % intervals hold the mean over all pairs."""
    rng = np.random.default_rng(hours)
    held = []
    for _ in range(300):
        everything, blocks = [], []
        for _ in range(hours):
            size = 60
            first = rng.random(size) < rng.beta(6, 4)
            vectors = np.where(first[:, None], topic(rng, 1, size), topic(rng, 2, size))
            pis = np.where(rng.random(size) < 0.5, 0.1, 0.6)
            taken = rng.random(size) < pis
            angles = vectors @ OMEGA
            features = np.concatenate([np.cos(angles), np.sin(angles)], axis=1) / math.sqrt(128)
            everything.append(features)
            cells, sums = [], defaultdict(list)
            for pi in (0.1, 0.6):
                mine = taken & (pis == pi)
                n = int(mine.sum())
                cells.append(Cell("all", 1, pi, n, 0, 0, float(n), float(n)))
                if n:
                    sums["all", 1, pi] = features[mine].sum(axis=0)
            blocks.append(TextBlock(cells, sums))
        joined = np.vstack(everything)
        total = joined.sum(axis=0)
        truth = (total @ total - len(joined)) / (len(joined) ** 2 - len(joined))
        found = estimate_self_similarity(blocks, DAY)
        assert "jackknife" in found.method
        held.append(found.low <= truth <= found.high)
    assert np.mean(held) >= 0.93
