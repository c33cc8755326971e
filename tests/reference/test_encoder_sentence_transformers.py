"""The packaged MiniLM against sentence-transformers on the same files, to 1e-5 in float32."""

from __future__ import annotations

import gzip
import json
import warnings

import numpy as np
import pytest

from evalsvc.engine import Encoder, EngineSettings
from evalsvc.engine.models import PACKAGED_MODULE, PACKAGED_REVISION

pytest.importorskip(PACKAGED_MODULE)
pytest.importorskip("torch")

TEXTS = [
    "How long does delivery take?",
    "Delivery takes three working days. Express orders arrive the next day.",
    "",
    " \n ",
    "配送には3営業日かかります。",
    "مرحبا بالعالم",
    "👩‍👩‍👧 emoji only 🎉",
    "x" * 300,
    "Ünïcödé, NAÏVE café\u0000 \u200b",
    "word " * 253,
    "word " * 254,
]


@pytest.fixture(scope="module")
def encoder():
    return Encoder.load(EngineSettings(device="cpu", dtype="float32"))


@pytest.fixture(scope="module")
def peer(encoder):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        sentence_transformers = pytest.importorskip("sentence_transformers")
        return sentence_transformers.SentenceTransformer(str(encoder.files.folder), device="cpu")


def by_peer(peer, texts):
    return peer.encode(texts, normalize_embeddings=True, show_progress_bar=False)


def test_texts_of_one_window_have_the_same_vectors(encoder, peer):
    np.testing.assert_allclose(encoder.encode(TEXTS), by_peer(peer, TEXTS), atol=1e-5, rtol=0)


def test_real_questions_have_the_same_vectors(encoder, peer, shared_data):
    path = shared_data / "traffic/banking77/visible.jsonl.gz"
    if not path.exists():
        pytest.skip(f"no {path.name} of banking77 in the shared data")
    with gzip.open(path, "rt", encoding="utf-8") as lines:
        texts = [json.loads(line)["text"] for line, _ in zip(lines, range(64), strict=False)]
    np.testing.assert_allclose(encoder.encode(texts), by_peer(peer, texts), atol=1e-5, rtol=0)


def test_a_longer_text_is_not_cut_as_the_peer_cuts_it(encoder, peer):
    text = "refund policy " * 127 + "zebra " * 250
    ours = encoder.encode([text, "zebra " * 50])
    theirs = by_peer(peer, [text, "zebra " * 50])
    assert ours[0] @ ours[1] > theirs[0] @ theirs[1] + 0.05


def test_bfloat16_vectors_are_within_a_thousandth(encoder):
    half = Encoder.load(EngineSettings(device="cpu", dtype="bfloat16")).encode(TEXTS[:8])
    assert (half * encoder.encode(TEXTS[:8])).sum(axis=1).min() > 0.999


def test_the_packaged_weights_are_pinned(encoder):
    assert encoder.files.revision == PACKAGED_REVISION
    assert encoder.width == 384
    assert encoder.tokeniser.max_length == 256
