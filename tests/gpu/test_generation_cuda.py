"""A local model under test on a CUDA device: the CPU's likeliest tokens, and drawn ones that are the seed's."""

from __future__ import annotations

import pytest

from evalsvc.cases.values import Case
from evalsvc.generation import Request, TransformersModel, TransformersSettings
from models.tiny_transformers import make_tiny_causal

torch = pytest.importorskip("torch")
pytest.importorskip("transformers")

pytestmark = [pytest.mark.gpu, pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device")]

CASE = Case(case_id="a", prompt="the parcel arrives")


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return make_tiny_causal(tmp_path_factory.mktemp("models") / "tiny")


def model(folder, device: str, **options) -> TransformersModel:
    given = {"dtype": "float32", "max_output_tokens": 8, **options}
    return TransformersModel(TransformersSettings(model=str(folder), device=device, **given))


def test_the_likeliest_tokens_are_those_of_the_cpu(folder):
    ours, theirs = (model(folder, device).generate(Request(CASE, 0, 0)) for device in ("cuda", "cpu"))
    assert (ours.response, ours.finish_reason) == (theirs.response, theirs.finish_reason)
    assert 0.0 < ours.time_to_first_token_ms < ours.latency_ms
    assert model(folder, "cuda").signature != model(folder, "cpu").signature


def test_drawn_answers_are_the_seed_s(folder):
    ours = model(folder, "cuda", temperature=1.0)
    state = torch.cuda.get_rng_state()
    texts = [ours.generate(Request(CASE, 0, seed)).response for seed in (1, 2, 3, 1)]
    assert texts[0] == texts[3]
    assert len(set(texts)) == 3
    assert torch.equal(torch.cuda.get_rng_state(), state)
