"""The scorers on the encoder, with a tiny model: contract, bounds, what they abstain on, positions."""

from __future__ import annotations

from itertools import pairwise

import pytest

from evalsvc.engine.registry import release_encoders
from evalsvc.engine.runner import ItemFailure
from evalsvc.errors import EngineError
from evalsvc.scorers.context_support import ContextSupport, coverage, grams
from evalsvc.scorers.relevance import Relevance
from evalsvc.scoring import cut_by_cost
from evalsvc.testing import check_scorer
from evalsvc.testing.samples import make_sample
from evalsvc.types import Abstained, Failed, Message, Scored
from models.tiny_encoder import make_tiny_encoder

pytest.importorskip("torch")
pytest.importorskip("transformers")

SCORERS = [Relevance, ContextSupport]


@pytest.fixture(scope="module")
def options(tmp_path_factory):
    yield {
        "model": str(make_tiny_encoder(tmp_path_factory.mktemp("tiny"), 60)),
        "device": "cpu",
        "dtype": "float32",
    }
    release_encoders()


@pytest.fixture
def relevance(options):
    scorer = Relevance(**options)
    scorer.load()
    return scorer


@pytest.fixture
def support(options):
    scorer = ContextSupport(**options)
    scorer.load()
    return scorer


@pytest.mark.parametrize("build", SCORERS)
def test_the_public_contract_holds(build, options):
    check_scorer(build(**options), tolerance=1e-5)


@pytest.mark.parametrize("build", SCORERS)
def test_scoring_before_loading_says_what_to_do(build, options):
    with pytest.raises(EngineError, match=r"load\(\)"):
        build(**options).score([make_sample()])


def test_both_share_one_encoder(relevance, support):
    assert relevance.encoder is support.encoder
    assert relevance.spec.signature != support.spec.signature
    assert "dtype:float32" in relevance.spec.signature


def test_on_a_gpu_a_worker_hands_over_so_much_that_there_is_something_to_tokenise_ahead(relevance, monkeypatch):
    """The device is only said to be a GPU: what is counted are the parts that the tokeniser is given."""
    encoder = relevance.encoder
    assert relevance.batch_cost is None
    monkeypatch.setattr(encoder, "placement", encoder.placement._replace(device="cuda", max_batch_tokens=64))
    monkeypatch.setattr(encoder, "knows", lambda text: True)
    monkeypatch.setattr(encoder, "_rows", lambda ready: [ItemFailure("not computed")] * len(ready))
    parts = []
    monkeypatch.setattr(encoder, "_tokenise", lambda texts: parts.append(len(texts)) or texts)
    samples = [make_sample(event_id=str(i), prompt=f"hello {i}", response=f"refund {i} " * 9) for i in range(200)]
    batches = list(cut_by_cost(relevance, samples))
    assert relevance.batch_cost == 4 * 8 * 64
    assert 1 < len(batches) < len(samples)
    for batch in batches[:-1]:
        parts.clear()
        assert len(relevance.score(batch)) == len(batch)
        assert len(parts) >= 4


def test_before_the_model_is_there_a_scorer_asks_for_nothing(options):
    assert Relevance(**options).batch_cost is None


def test_relevance_of_the_question_itself_is_one(relevance):
    (value,) = relevance.score([make_sample(prompt="refund", response="refund")])
    assert value == pytest.approx(1.0, abs=1e-6)
    assert value <= 1.0


def test_relevance_reads_the_last_user_message(relevance):
    chat = (Message("user", "monday"), Message("assistant", "hello"), Message("user", "refund"))
    one, two = relevance.score([make_sample(prompt=chat), make_sample(prompt="refund")])
    assert one == pytest.approx(two, abs=1e-6)


@pytest.mark.parametrize(
    ("fields", "reason"),
    [
        ({"prompt": " "}, "no user message"),
        ({"prompt": (Message("system", "You are kind."), Message("assistant", "Hello"))}, "no user message"),
        ({"response": "\n"}, "empty response"),
    ],
)
def test_relevance_abstains(relevance, fields, reason):
    assert relevance.score([make_sample(**fields)]) == [Abstained(reason)]


@pytest.mark.parametrize(
    ("fields", "reason"),
    [
        ({"contexts": ()}, "no contexts"),
        ({"contexts": ("", " ")}, "no contexts"),
        ({"contexts": ("...",)}, "no words in the contexts"),
        ({"response": ""}, "empty response"),
        ({"response": "-- !"}, "no words in the response"),
    ],
)
def test_support_abstains(support, fields, reason):
    assert support.score([make_sample(**fields)]) == [Abstained(reason)]


@pytest.mark.parametrize("build", SCORERS)
def test_a_text_that_cannot_be_encoded_fails_and_its_neighbour_does_not(build, options):
    scorer = build(**options)
    scorer.load()
    broken, sound = scorer.score([make_sample(response="\ud800 broken"), make_sample()])
    assert isinstance(broken, Failed)
    assert not isinstance(sound, Failed)


@pytest.mark.parametrize("build", SCORERS)
def test_a_text_beyond_all_windows_abstains_with_its_length(build, options):
    scorer = build(**options)
    scorer.load()
    (outcome,) = scorer.score([make_sample(response="refund " * 5000)])
    assert isinstance(outcome, Abstained)
    assert "5000 tokens" in outcome.reason


def test_a_copied_sentence_is_fully_supported_and_a_part_of_a_passage_less(support):
    sentence = "The parcel arrives on monday."
    passage = f"{sentence} Express orders take one day."
    whole, part = support.score(
        [make_sample(contexts=(context,), response=sentence) for context in (sentence, passage)]
    )
    assert isinstance(whole, Scored)
    assert whole.value == pytest.approx(1.0, abs=1e-6)
    assert whole.value <= 1.0
    assert 0.5 < part.value < whole.value


def test_more_contexts_never_lower_the_support(support):
    contexts = ("Express orders take one day.", "Hello world.", "The parcel arrives on monday.")
    response = "The parcel arrives on monday."
    samples = [make_sample(contexts=contexts[:count], response=response) for count in (1, 2, 3)]
    values = [outcome.value for outcome in support.score(samples)]
    assert all(later >= earlier - 1e-6 for earlier, later in pairwise(values))
    assert values[-1] > values[0] + 0.05


def test_the_least_supported_sentences_are_named_by_position(support):
    response = "The parcel arrives on monday. 99 zebras quuxed. Express orders take one day."
    contexts = ("The parcel arrives on monday. Express orders take one day.",)
    (outcome,) = support.score([make_sample(contexts=contexts, response=response)])
    least = outcome.detail["least_supported"][0]
    assert response[least["start"] : least["end"]] == "99 zebras quuxed."
    assert outcome.detail["sentences"] == 3
    assert outcome.detail["min"] == least["support"]


def test_numbers_that_are_in_no_context_cost_support():
    known = set(grams("The fee is 250 dollars"))
    assert coverage("The fee is 250 dollars", known) == 1.0
    assert coverage("The fee is 900 dollars", known) < 1.0
