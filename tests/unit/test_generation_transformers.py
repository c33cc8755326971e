"""A local model under test: greedy and drawn answers against a loop written by hand, and what does not fit."""

from __future__ import annotations

from pathlib import Path

import pytest

from evalsvc.cases.values import Case
from evalsvc.errors import EngineError, InputError
from evalsvc.generation import Asker, Generator, Request, TransformersModel, TransformersSettings
from evalsvc.types import Message
from generators import cases
from models.tiny_transformers import make_tiny_causal

torch = pytest.importorskip("torch")
pytest.importorskip("transformers")

CASE = Case(case_id="a", prompt="the parcel")


@pytest.fixture(scope="module")
def folder(tmp_path_factory) -> Path:
    return make_tiny_causal(tmp_path_factory.mktemp("models") / "tiny")


def model(folder: Path, **options) -> TransformersModel:
    given = {"device": "cpu", "dtype": "float32", "max_output_tokens": 6, **options}
    return TransformersModel(TransformersSettings(model=str(folder), **given))


def continued(folder: Path, text: str, count: int) -> str:
    """The likeliest continuation, token by token, each time from the whole text."""
    from transformers import AutoModelForCausalLM, AutoTokenizer

    tokenizer = AutoTokenizer.from_pretrained(str(folder))
    network = AutoModelForCausalLM.from_pretrained(str(folder), dtype=torch.float32).eval()
    ids = tokenizer.backend_tokenizer.encode(text).ids
    start = len(ids)
    with torch.inference_mode():
        for _ in range(count):
            ids.append(int(network(torch.tensor([ids])).logits[0, -1].argmax()))
            if ids[-1] == 0:
                break
    return tokenizer.decode(ids[start:], skip_special_tokens=True)


def test_the_likeliest_tokens(folder):
    ours = model(folder)
    assert isinstance(ours, Generator)
    answer = ours.generate(Request(CASE, 0, 0))
    assert answer.response == continued(folder, "the parcel", 6)
    assert (answer.finish_reason, answer.output_tokens) == ("length", 6)
    assert answer.input_tokens == 4
    assert 0.0 < answer.time_to_first_token_ms < answer.latency_ms
    assert ours.model == "tiny"


def test_drawn_answers_are_the_seed_s(folder):
    ours = model(folder, temperature=1.0)
    state = torch.random.get_rng_state()
    texts = [ours.generate(Request(CASE, 0, seed)).response for seed in (1, 2, 3, 1)]
    assert texts[0] == texts[3]
    assert len(set(texts)) == 3
    assert torch.equal(torch.random.get_rng_state(), state)


def test_it_stops_where_the_model_ends(folder):
    ours = model(folder)
    ours.load()
    first = continued(folder, "the parcel", 1)
    end = ours._loaded.tokenizer.encode(first).ids[0]
    ours._loaded.model.generation_config.eos_token_id = [0, end]
    answer = ours.generate(Request(CASE, 0, 0))
    assert (answer.finish_reason, answer.output_tokens) == ("stop", 1)


def test_a_chat_template_is_used_where_there_is_one(folder):
    ours = model(folder, system="hello")
    ours.load()
    chat = Case(case_id="a", prompt=(Message("user", "a"), Message("assistant", "b"), Message("user", "c")))
    template = "{% for message in messages %}[{{ message.role }}]{{ message.content }}{% endfor %}>"
    ours._loaded.names.chat_template = template
    ids = ours._ids(ours._loaded, chat)
    assert ours._loaded.names.decode(ids) == "[system]hello[user]a[assistant]b[user]c>"


def test_what_does_not_fit(folder):
    ours = model(folder, max_output_tokens=100)
    assert ours.generate(Request(CASE, 0, 0)).output_tokens == 32 - 4
    (answer,) = Asker(ours).ask([Case(case_id="a", prompt="parcel " * 40)])
    assert answer.reason == "prompt does not fit into the window of 32 tokens"
    assert answer.permanent


def test_requests_take_turns(folder):
    ours = model(folder, temperature=1.0)
    together = Asker(ours).ask(cases(6), repeats=2, seed=3)
    alone = [ours.generate(Request(case, repeat, 3 + repeat)) for case in cases(6) for repeat in (0, 1)]
    assert [answer.response for answer in together] == [answer.response for answer in alone]


def test_the_signature_is_of_weights_tokeniser_and_settings(folder, tmp_path):
    other = make_tiny_causal(tmp_path / "tiny", seed=1)
    models = [
        model(folder),
        model(other),
        model(folder, temperature=0.5),
        model(folder, max_output_tokens=7),
        model(folder, system="x"),
        model(folder, dtype="bfloat16"),
        model(folder, version="2"),
    ]
    assert len({each.signature for each in models}) == len(models)
    assert all(each._loaded is None for each in models)
    assert models[0].signature == model(folder).signature
    assert models[0].model_version != models[1].model_version
    assert models[-1].model_version == "2"
    before = models[1].signature
    (other / "tokenizer_config.json").write_text("{}")
    assert model(other).signature != before


def test_no_such_model(tmp_path):
    with pytest.raises(EngineError, match="an existing folder or a hub name"):
        Asker(model(tmp_path / "absent")).ask([CASE])


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"template": "x"}, "hold {prompt}"),
        ({"temperature": -1.0}, "`temperature` in"),
        ({"max_output_tokens": 0}, "`max_output_tokens` of at least 1"),
    ],
)
def test_wrong_settings(folder, options, message):
    with pytest.raises(InputError, match=message):
        model(folder, **options)
