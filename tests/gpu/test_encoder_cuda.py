"""The encoder's code on a CUDA device: the same values as on the CPU."""

from __future__ import annotations

import numpy as np
import pytest

from evalsvc.engine import Encoder, EngineSettings
from evalsvc.engine.device import GPU_BATCH_TOKENS
from evalsvc.engine.overlap import BATCHES_A_PART, PARTS_HANDED_OVER
from evalsvc.engine.registry import release_encoders
from evalsvc.scorers.relevance import Relevance
from models.tiny_encoder import WORDS, make_tiny_encoder

torch = pytest.importorskip("torch")
pytest.importorskip("transformers")

pytestmark = [pytest.mark.gpu, pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device")]

TEXTS = ["hello world", "", "the parcel arrives on monday", "refund", " ".join([WORDS] * 4)]


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return str(make_tiny_encoder(tmp_path_factory.mktemp("tiny")))


def load(folder, device, dtype):
    return Encoder.load(EngineSettings(model=folder, device=device, dtype=dtype, window_overlap=4))


def test_float32_equals_the_cpu(folder):
    ours = load(folder, "cuda", "float32").encode(TEXTS)
    np.testing.assert_allclose(ours, load(folder, "cpu", "float32").encode(TEXTS), atol=1e-5, rtol=0)


def test_the_devices_own_dtype_is_near(folder):
    encoder = load(folder, "cuda", "auto")
    similarity = (encoder.encode(TEXTS) * load(folder, "cpu", "float32").encode(TEXTS)).sum(axis=1)
    assert similarity.min() > 0.999
    assert encoder.stats.device_seconds > 0


def test_memory_that_runs_out_halves_the_budget(folder, monkeypatch):
    encoder = load(folder, "cuda", "float32")
    real = encoder._pooler.pool

    def pool(windows):
        if len(windows) > 2:
            torch.empty(2**50, dtype=torch.uint8, device="cuda")
        return real(windows)

    monkeypatch.setattr(encoder._pooler, "pool", pool)
    assert np.isfinite(encoder.encode(TEXTS)).all()
    assert encoder.stats.out_of_memory > 0


def test_a_poison_item_costs_only_itself(folder, monkeypatch):
    encoder = load(folder, "cuda", "float32")
    poison = encoder.tokeniser.tokenise(["refund"])[0][0]
    real = encoder._pooler.pool

    def pool(windows):
        if poison in list(windows):
            raise RuntimeError("bad item")
        return real(windows)

    monkeypatch.setattr(encoder._pooler, "pool", pool)
    result = encoder.embed(TEXTS)
    assert dict(result.failures) == {TEXTS.index("refund"): "RuntimeError"}
    assert np.isfinite(np.delete(result.vectors, TEXTS.index("refund"), axis=0)).all()


def test_a_row_that_is_not_finite_names_the_model_and_costs_only_its_text(folder, monkeypatch):
    encoder = load(folder, "cuda", "float32")
    bad = encoder.tokeniser.tokenise(["refund"])[0][0]
    real = encoder._pooler.pool

    def pool(windows):
        rows, computed = real(windows)
        rows[[place for place, window in enumerate(windows) if window == bad]] = float("nan")
        return rows, computed

    monkeypatch.setattr(encoder._pooler, "pool", pool)
    result = encoder.embed(TEXTS)
    assert list(result.failures) == [TEXTS.index("refund")]
    assert encoder.files.name in result.failures[TEXTS.index("refund")]


def test_a_worker_hands_over_several_parts(tmp_path):
    # Its windows overlap by more than the others' are long.
    scorer = Relevance(model=str(make_tiny_encoder(tmp_path, window=64)), device="cuda")
    assert scorer.batch_cost is None
    try:
        scorer.load()
        assert scorer.batch_cost == PARTS_HANDED_OVER * BATCHES_A_PART * GPU_BATCH_TOKENS
    finally:
        release_encoders()
