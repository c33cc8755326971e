"""Causal models and classifiers on a CUDA device: the same values as on the CPU."""

from __future__ import annotations

import numpy as np
import pytest

from evalsvc.engine import CausalModel, EngineSettings, PairClassifier, TokenClassifier
from models.tiny_encoder import WORDS
from models.tiny_transformers import make_tiny_causal, make_tiny_classifier

torch = pytest.importorskip("torch")
pytest.importorskip("transformers")

pytestmark = [pytest.mark.gpu, pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device")]

PAIRS = [("hello world", "refund"), ("the parcel arrives", "on monday"), ("one", "three days, refund in one day")]
LONG = ("", " ".join([WORDS] * 4))


@pytest.fixture(scope="module")
def folders(tmp_path_factory):
    root = tmp_path_factory.mktemp("tiny")
    return {
        CausalModel: make_tiny_causal(root / "causal"),
        PairClassifier: make_tiny_classifier(root / "pairs", 3),
        TokenClassifier: make_tiny_classifier(root / "tokens", 2, tokens=True),
    }


def load(folders, kind, device, dtype):
    return kind.load(EngineSettings(model=str(folders[kind]), device=device, dtype=dtype))


@pytest.mark.parametrize("kind", [PairClassifier, TokenClassifier])
@pytest.mark.parametrize(("dtype", "tolerance"), [("float32", 1e-4), ("auto", 0.1)])
def test_probabilities_are_those_of_the_cpu(folders, kind, dtype, tolerance):
    ours = load(folders, kind, "cuda", dtype).probabilities(PAIRS)
    for one, two in zip(ours, load(folders, kind, "cpu", "float32").probabilities(PAIRS), strict=True):
        np.testing.assert_allclose(one, two, atol=tolerance, rtol=0)


@pytest.mark.parametrize(("dtype", "tolerance"), [("float32", 1e-4), ("auto", 0.05)])
def test_likelihoods_are_those_of_the_cpu(folders, dtype, tolerance):
    ours = load(folders, CausalModel, "cuda", dtype).likelihoods([*PAIRS, LONG])
    expected = load(folders, CausalModel, "cpu", "float32").likelihoods([*PAIRS, LONG])
    assert [found.nats for found in ours] == pytest.approx([found.nats for found in expected], rel=tolerance)


def test_memory_that_runs_out_halves_the_budget(folders, monkeypatch):
    model = load(folders, PairClassifier, "cuda", "float32")
    real = model.forward

    def forward(batch):
        if len(batch) > 1:
            torch.empty(2**50, dtype=torch.uint8, device="cuda")
        return real(batch)

    monkeypatch.setattr(model, "forward", forward)
    assert all(np.isfinite(row).all() for row in model.probabilities(PAIRS))
    assert model.stats.out_of_memory > 0
