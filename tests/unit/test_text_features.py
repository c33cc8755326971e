"""What is stored of texts for drift: words by bucket, languages, random features of embeddings; and their sums."""

import math

import numpy as np
import pytest

from evalsvc.errors import InputError
from evalsvc.scorers import _language
from evalsvc.scorers.text_embedding import PromptEmbedding, ResponseEmbedding, fourier_features, frequencies
from evalsvc.scorers.text_language import PromptLanguage, ResponseLanguage
from evalsvc.scorers.text_words import BUCKETS, PromptWords, ResponseWords, word_counts
from evalsvc.testing import make_sample
from evalsvc.types import Abstained, Scored


def unit(rows, seed):
    drawn = np.random.default_rng(seed).standard_normal((rows, 384))
    return drawn / np.linalg.norm(drawn, axis=1, keepdims=True)


def test_words_are_counted_once_each_in_their_bucket():
    (outcome,) = ResponseWords().score([make_sample(response="The cat saw the Cat, the 猫猫.")])
    assert outcome.value == 8.0
    *counts, squares = outcome.statistics
    assert len(counts) == BUCKETS
    # the ×3, cat ×2, saw, 猫 ×2: none of the four shares a bucket.
    assert sorted(count for count in counts if count) == [1.0, 2.0, 2.0, 3.0]
    assert squares == 18.0


def test_a_word_has_one_bucket_for_ever():
    # CRC-32 of "hello" is 0x3610a686 (its published check value of zlib), of which the last nine bits count.
    assert word_counts(["hello"]).index(1.0) == 0x3610A686 % 512


def test_sides_look_at_their_own_text():
    sample = make_sample(prompt="one two three", response="four five")
    assert PromptWords().score([sample])[0].value == 3.0
    assert ResponseWords().score([sample])[0].value == 2.0


@pytest.mark.parametrize("scorer", [ResponseWords(), ResponseLanguage()], ids=["words", "language"])
@pytest.mark.parametrize("text", ["", " \n\t "])
def test_nothing_to_look_at(scorer, text):
    scorer.load()
    assert scorer.score([make_sample(response=text)]) == [Abstained("empty response")]


def test_a_text_without_words_has_none():
    (outcome,) = ResponseWords().score([make_sample(response="👍 !!! …")])
    assert outcome.value == 0.0
    assert not any(outcome.statistics)


@pytest.mark.parametrize("text", ["a \ud800 b", "\x00\x01 word", "x" * 200_000, "شكرا لك على الرسالة"])
def test_odd_texts_have_words(text):
    (outcome,) = ResponseWords().score([make_sample(response=text)])
    assert sum(outcome.statistics[:-1]) == outcome.value > 0.0


def test_languages_are_one_hot_and_named():
    scorer = PromptLanguage()
    scorer.load()
    texts = {"de": "Wo finde ich die Rechnung vom letzten Monat?", "ja": "先月の請求書はどこで確認できますか"}
    for code, text in texts.items():
        (outcome,) = scorer.score([make_sample(prompt=text)])
        assert outcome.detail == {"language": code}
        assert outcome.statistics[scorer.spec.labels.index(code)] == 1.0
        assert sum(outcome.statistics) == 1.0


def test_every_language_that_can_be_found_has_a_label():
    labels = _language.languages()
    assert len(set(labels)) == len(labels) > 80
    assert {"zh", "no", "sh", "ms", "th", "en"} <= set(labels)
    # Joined ones are named by their macrolanguage only.
    assert not {"bs", "hr", "nn", "yue", "zxx"} & set(labels)


@pytest.mark.parametrize("bad", [0, -1, True, 1.5, "12"])
def test_a_wrong_minimum_is_refused(bad):
    with pytest.raises(InputError, match="min_characters"):
        PromptLanguage(min_characters=bad)


def test_features_give_the_gaussian_kernel():
    vectors, omega = unit(60, 1), frequencies(384, 1.0)
    features = np.array([fourier_features(vector, omega) for vector in vectors])
    near = np.exp(-((vectors[:, None] - vectors[None]) ** 2).sum(-1) / 2.0)
    assert np.allclose((features**2).sum(1), 1.0, atol=1e-5)
    error = (features @ features.T - near)[~np.eye(60, dtype=bool)]
    # The standard error of a mean of 128 cosines is at most √(1/2/128).
    assert np.sqrt((error**2).mean()) < math.sqrt(0.5 / 128)
    assert abs(error.mean()) < 0.05


def test_the_frequencies_never_change():
    # Features of two releases are compared with each other: these digits may not move.
    assert frequencies(2, 1.0)[:, 0].tolist() == pytest.approx(FIRST, abs=1e-12)
    assert frequencies(2, 1.0)[:, 1].tolist() == pytest.approx(SECOND, abs=1e-12)
    assert np.allclose(frequencies(2, 4.0), frequencies(2, 1.0) / 4.0)


def test_frequencies_are_at_right_angles():
    """So fewer of them say as much (Yu et al. 2016); a narrow embedding has some of its width at a time."""
    for width in (384, 50):
        omega = frequencies(width, 1.0)
        held = omega[:, : min(width, 128)]
        cross = held.T @ held
        assert np.abs(cross - np.diag(np.diag(cross))).max() < 1e-9
        assert (omega**2).sum(axis=0).mean() == pytest.approx(width, rel=0.05)


FIRST = [-0.626493981360165, -1.145039838919995]
SECOND = [1.5573750021326782, -0.8520979204332032]


@pytest.mark.parametrize("bad", [0.0, -1.0, math.inf, math.nan, True, "1"])
def test_a_wrong_bandwidth_is_refused(bad):
    with pytest.raises(InputError, match="bandwidth"):
        PromptEmbedding(bandwidth=bad)


def test_texts_that_mean_the_same_are_near_and_others_far():
    scorer = ResponseEmbedding()
    scorer.load()
    texts = [
        "Your parcel arrives on Monday.",
        "The package will be delivered on Monday.",
        "The cat chased a laser dot.",
    ]
    outcomes = scorer.score([make_sample(response=text) for text in [*texts, " "]])
    assert outcomes[3] == Abstained("empty response")
    assert all(isinstance(outcome, Scored) and outcome.value == 1.0 for outcome in outcomes[:3])
    first, second, third = (np.array(outcome.statistics) for outcome in outcomes[:3])
    assert first @ second > first @ third + 0.2
    assert "bandwidth:1" in scorer.spec.signature
