"""Perplexity and bits per byte with a tiny model: contract, values by hand, one forward for both, bad input."""

from __future__ import annotations

import math

import pytest

from evalsvc.engine import Likelihood
from evalsvc.engine.registry import release_models
from evalsvc.errors import EngineError, InputError, ModelRefused
from evalsvc.scorers.perplexity import BitsPerByte, Perplexity
from evalsvc.testing import check_scorer
from evalsvc.testing.samples import make_sample
from evalsvc.types import Abstained, Failed, Message, Scored
from models.tiny_transformers import make_tiny_causal

torch = pytest.importorskip("torch")
transformers = pytest.importorskip("transformers")

SCORERS = [Perplexity, BitsPerByte]


@pytest.fixture(scope="module")
def options(tmp_path_factory):
    torch.set_num_threads(1)
    folder = make_tiny_causal(tmp_path_factory.mktemp("causal"), 256)
    yield {"model": str(folder), "device": "cpu", "dtype": "float32"}
    release_models()


def build(kind, options, **more):
    scorer = kind(**options, **more)
    scorer.load()
    return scorer


def nats(options, text):
    """The sum by transformers' own loss, which is a mean over the tokens after the first."""
    model = transformers.GPT2LMHeadModel.from_pretrained(options["model"]).eval()
    ids = torch.tensor([[0, *build(Perplexity, options).model.tokenizer.encode(text).ids]])
    with torch.inference_mode():
        return float(model(ids, labels=ids).loss) * (ids.shape[1] - 1), ids.shape[1] - 1


@pytest.mark.parametrize("kind", SCORERS)
@pytest.mark.parametrize("given", ["none", "prompt"])
def test_the_public_contract_holds(kind, given, options):
    check_scorer(kind(**options, given=given), tolerance=1e-5)


def test_values_are_those_of_transformers_loss(options):
    text = "the parcel arrives on monday 🙂"
    total, count = nats(options, text)
    (perplexity,) = build(Perplexity, options).score([make_sample(response=text)])
    (bits,) = build(BitsPerByte, options).score([make_sample(response=text)])
    assert perplexity.value == pytest.approx(math.exp(total / count), rel=1e-5)
    assert bits.value == pytest.approx(total / math.log(2) / len(text.encode()), rel=1e-5)
    assert perplexity.detail == bits.detail == {"tokens": count, "windows": 1}


def test_both_metrics_run_the_model_once(options):
    release_models()
    perplexity, bits = build(Perplexity, options), build(BitsPerByte, options)
    assert perplexity.model is bits.model
    samples = [make_sample(response=text) for text in ("refund", "hello world", "refund")]
    perplexity.score(samples)
    bits.score(samples)
    assert bits.model.stats.windows == 2
    assert perplexity.spec.scale.low == 1.0
    assert perplexity.spec.scale.better == bits.spec.scale.better == "lower"


def test_given_the_prompt_all_messages_count(options):
    scorer = build(Perplexity, options, given="prompt")
    assert scorer.spec.needs == ("response", "prompt")
    assert "given:prompt" in scorer.spec.signature
    chats = [(Message("system", first), Message("user", "hello")) for first in ("be brief", "take a day")]
    one, two = scorer.score([make_sample(prompt=chat, response="refund") for chat in chats])
    assert one.value != pytest.approx(two.value, rel=1e-6)
    assert scorer.score([make_sample(prompt=" ")]) == [Abstained("no prompt")]


@pytest.mark.parametrize("response", ["", " \n\t"])
def test_nothing_to_score_abstains(options, response):
    assert build(Perplexity, options).score([make_sample(response=response)]) == [Abstained("empty response")]


@pytest.mark.parametrize(
    "response", ["a", "🙂👩‍👩‍👧", "שלום عالم", "日本 mixed שלום", "\x00\x01\x02\x1b[0m", "x" * 200]
)
@pytest.mark.parametrize("kind", SCORERS)
def test_odd_texts_have_a_value(kind, options, response):
    (outcome,) = build(kind, options).score([make_sample(response=response)])
    assert isinstance(outcome, Scored)
    assert outcome.value >= 0


@pytest.mark.parametrize("kind", SCORERS)
def test_a_lone_surrogate_fails_and_its_neighbour_does_not(kind, options):
    broken, sound = build(kind, options).score([make_sample(response="\ud800 broken"), make_sample()])
    assert broken == Failed("causal model: the tokeniser refuses the text (TypeError)")
    assert isinstance(sound, Scored)


def test_a_text_beyond_all_windows_abstains_with_its_length(options):
    (outcome,) = build(Perplexity, options).score([make_sample(response="a b " * 50_000)])
    assert isinstance(outcome, Abstained)
    assert "200000 tokens" in outcome.reason or "windows, more than 64" in outcome.reason


def test_a_long_text_is_scored_in_windows(options):
    (outcome,) = build(Perplexity, options, stride=100).score([make_sample(response="refund takes one day. " * 60)])
    assert outcome.detail["windows"] > 1


def test_no_number_from_the_model_names_the_model(options, monkeypatch):
    scorer = build(Perplexity, options)
    scorer.model.cache._entries.clear()
    real = scorer.model.forward
    monkeypatch.setattr(scorer.model, "forward", lambda batch: real(batch) * math.nan)
    (outcome,) = scorer.score([make_sample(response="one day in three")])
    assert isinstance(outcome, Failed)
    assert scorer.model.files.name in outcome.reason


def test_a_value_beyond_all_numbers_is_a_failure(options, monkeypatch):
    scorer = build(Perplexity, options)
    monkeypatch.setattr(scorer.model, "likelihoods", lambda pairs, stride: [Likelihood(1e6, 1, 1)])
    (outcome,) = scorer.score([make_sample()])
    assert isinstance(outcome, Failed)
    assert "too many for a finite value" in outcome.reason


def test_the_signature_names_what_changes_a_digit(options):
    signatures = {
        build(Perplexity, options, **more).spec.signature
        for more in ({}, {"given": "prompt"}, {"stride": 7}, {"window": 32}, {"max_windows": 3})
    }
    assert len(signatures) == 5
    assert all("dtype:float32" in signature and "revision:" in signature for signature in signatures)


@pytest.mark.parametrize(
    ("more", "message"),
    [({"given": "context"}, "none, prompt"), ({"stride": 0}, "stride"), ({"max_windows": 0}, "max_windows")],
)
def test_options_outside_their_bounds_are_refused(more, message):
    with pytest.raises(InputError, match=message):
        Perplexity("folder", **more)


def test_a_stride_beyond_the_window_is_refused_when_loading(options):
    with pytest.raises(EngineError, match="stride"):
        build(Perplexity, options, stride=256)


def test_a_hub_name_without_a_commit_is_refused():
    with pytest.raises(ModelRefused, match="40 hexadecimal digits"):
        Perplexity("owner/name", revision="main").load()


def test_scoring_before_loading_says_what_to_do(options):
    with pytest.raises(EngineError, match=r"load\(\)"):
        Perplexity(**options).score([make_sample()])
