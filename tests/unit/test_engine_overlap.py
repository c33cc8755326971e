"""Tokenising ahead of the device: time, order, bounds, exceptions, and the same results as in one part."""

from __future__ import annotations

import threading
import time

import numpy as np
import pytest

from evalsvc.engine import overlap
from evalsvc.engine.overlap import overlapped, parts_of

PARTS = [[1, 2], [3], [4, 5], [6]]


def test_the_order_is_the_items():
    assert overlapped(PARTS, lambda part: [2 * item for item in part], lambda ready: ready) == [2, 4, 6, 8, 10, 12]
    assert overlapped([], list, list) == []


def test_preparing_goes_on_while_computing():
    """Each computation waits for the next part's preparation to begin: one after the other it would wait for ever."""
    begun = [threading.Event() for _ in range(8)]

    def prepare(part):
        begun[part[0]].set()
        return part

    def compute(ready):
        return [all(event.wait(30) for event in begun[ready[0] + 1 : ready[0] + 2])]

    assert overlapped([[number] for number in range(8)], prepare, compute) == [True] * 8


def test_a_single_part_needs_no_thread():
    names = overlapped([[1]], lambda part: [threading.current_thread()], lambda ready: ready)
    assert names == [threading.current_thread()]


def test_no_more_than_one_part_is_prepared_ahead():
    prepared, computed, ahead = [], [], []

    def prepare(part):
        prepared.append(part)
        return part

    def compute(ready):
        time.sleep(0.01)
        computed.append(ready)
        ahead.append(len(prepared) - len(computed))
        return ready

    overlapped([[number] for number in range(6)], prepare, compute)
    assert max(ahead) == 1


@pytest.mark.parametrize("bad", [0, 1, 3])
def test_an_exception_of_the_tokeniser_reaches_the_caller(bad):
    def prepare(part):
        if part is PARTS[bad]:
            raise ValueError("tokeniser")
        return part

    with pytest.raises(ValueError, match="tokeniser"):
        overlapped(PARTS, prepare, list)
    assert not [thread for thread in threading.enumerate() if thread.name.startswith("evalsvc-tokenise")]


def test_an_exception_of_the_device_ends_the_preparing():
    prepared = []

    def compute(_):
        raise RuntimeError("device")

    with pytest.raises(RuntimeError, match="device"):
        overlapped(PARTS, prepared.append, compute)
    assert len(prepared) <= 2
    assert not [thread for thread in threading.enumerate() if thread.name.startswith("evalsvc-tokenise")]


def test_parts_hold_every_item_once_and_an_oversized_one_alone():
    items = ["a" * size for size in (5, 100_000, 3, 0, 0)]
    parts = parts_of(items, map(len, items), max_batch_tokens=16)
    assert [item for part in parts for item in part] == items
    assert [len(part) for part in parts] == [1, 1, 3]
    assert parts_of([], [], 16) == []


def test_empty_texts_do_not_make_an_endless_part():
    assert max(map(len, parts_of([""] * 1000, [0] * 1000, max_batch_tokens=4))) <= overlap.BATCHES_A_PART * 4


@pytest.mark.parametrize("kind", ["encoder", "causal", "classifier"])
def test_models_give_the_same_in_many_parts_as_in_one(kind, tmp_path, monkeypatch):
    pytest.importorskip("torch")
    pytest.importorskip("transformers")
    call = _loaded(kind, tmp_path)
    texts = [f"hello world {number} " + "refund " * (number % 5) for number in range(40)]
    texts[7] = "\ud800 is no text"
    whole = call(texts)
    seen = []
    real = overlap.parts_of

    def small(items, sizes, _):
        found = real(items, sizes, 4)
        seen.append(len(found))
        return found

    for module in ("windowed", "transformer"):
        monkeypatch.setattr(f"evalsvc.engine.{module}.parts_of", small)
    split = call(texts)
    assert seen[0] > 3
    np.testing.assert_allclose(split, whole, atol=1e-5, equal_nan=True)
    assert np.isnan(split[7]).all()
    assert np.isfinite(np.delete(split, 7, axis=0)).all()


def _loaded(kind, folder):
    from evalsvc.engine import CausalModel, Encoder, EngineSettings, PairClassifier
    from models.tiny_encoder import make_tiny_encoder
    from models.tiny_transformers import make_tiny_causal, make_tiny_classifier

    if kind == "encoder":
        encoder = Encoder.load(_settings(EngineSettings, make_tiny_encoder(folder)))
        return lambda texts: encoder.embed(texts).vectors
    if kind == "causal":
        causal = CausalModel.load(_settings(EngineSettings, make_tiny_causal(folder, 32)))
        return lambda texts: np.array(
            [[getattr(one, "nats", np.nan)] for one in causal.likelihoods([("", text) for text in texts])]
        )
    pairs = PairClassifier.load(_settings(EngineSettings, make_tiny_classifier(folder, ("no", "yes"))))
    width = len(pairs.labels)
    return lambda texts: np.array(
        [
            one if isinstance(one, np.ndarray) else np.full(width, np.nan)
            for one in pairs.probabilities([("hello", text) for text in texts])
        ]
    )


def _settings(kind, folder):
    return kind(
        model=str(folder),
        device="cpu",
        dtype="float32",
        threads=1,
        window_overlap=4,
        cache_bytes=0,
        max_batch_tokens=512,
    )
