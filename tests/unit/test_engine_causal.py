"""Likelihoods of a tiny GPT-2 made here: against transformers' own loss, in windows, in batches, when it breaks."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from evalsvc.engine import CausalModel, EngineSettings, Likelihood, shared_model
from evalsvc.engine.causal import strided_windows
from evalsvc.engine.device import device_lock
from evalsvc.engine.registry import release_models
from evalsvc.engine.runner import ItemFailure
from evalsvc.engine.tokens import TooLong
from evalsvc.engine.transformer import Input
from evalsvc.errors import EngineError, ModelRefused
from models.tiny_encoder import make_tiny_encoder
from models.tiny_transformers import make_tiny_causal, make_tiny_classifier

torch = pytest.importorskip("torch")
transformers = pytest.importorskip("transformers")

WINDOW = 32
TEXTS = ["hello world", "refund", "the parcel arrives on monday", "a", "日本語 🙂", "three days? hello!"]
LONG = "the parcel arrives on monday, express orders take one day; refund in three days. " * 6


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return make_tiny_causal(tmp_path_factory.mktemp("causal"), WINDOW)


@pytest.fixture
def model(folder):
    return load(folder)


def load(folder, kind=CausalModel, **settings):
    return kind.load(
        EngineSettings(**{"model": str(folder), "device": "cpu", "dtype": "float32", "threads": 1, **settings})
    )


def ids_of(model, text):
    return model.tokenizer.encode(text, add_special_tokens=False).ids


def reference(folder):
    return transformers.GPT2LMHeadModel.from_pretrained(folder, attn_implementation="eager").eval()


def loop(folder, before, text, size, stride):
    """Token by token: the window that scores it first, one forward pass a token, in float64."""
    model = reference(folder).double()
    ids, first, total = before + text, len(before), 0.0
    ends = []
    while not ends or ends[-1] < len(ids):
        ends.append(min(max((ends[-1] if ends else first) + stride, size), len(ids)))
    for place in range(first, len(ids)):
        end = next(end for end in ends if end > place)
        context = [0, *ids[max(end - size, 0) : place]]
        with torch.inference_mode():
            logits = model(torch.tensor([context])).logits[0, -1]
        total -= float(torch.log_softmax(logits, -1)[ids[place]])
    return total


@pytest.mark.parametrize("text", TEXTS)
def test_one_window_is_transformers_own_loss(folder, model, text):
    ids = torch.tensor([[0, *ids_of(model, text)]])
    with torch.inference_mode():
        loss = float(reference(folder)(ids, labels=ids).loss)
    (found,) = model.likelihoods([("", text)])
    assert found.windows == 1
    assert found.tokens == ids.shape[1] - 1
    assert found.nats / found.tokens == pytest.approx(loss, abs=1e-5)


@pytest.mark.parametrize(
    ("before", "stride"), [("", 15), ("", 31), ("hello ", 7), ("express orders take one day " * 4, 1)]
)
def test_strided_windows_are_a_loop_over_tokens(folder, model, before, stride):
    text = LONG[:90]
    (found,) = model.likelihoods([(before, text)], stride)
    expected = loop(folder, ids_of(model, before), ids_of(model, text), WINDOW - 1, stride)
    assert found.windows > 1
    assert found.tokens == len(ids_of(model, text))
    assert found.nats == pytest.approx(expected, rel=1e-5)


@given(st.integers(0, 60), st.integers(0, 60), st.integers(1, 20), st.data())
def test_windows_score_every_token_once_with_the_context_promised(first, count, size, data):
    stride = data.draw(st.integers(1, size))
    windows = strided_windows(first, first + count, size, stride)
    assert [place for _, scored, end in windows for place in range(scored, end)] == list(range(first, first + count))
    for begin, scored, end in windows:
        assert 0 <= begin <= scored < end <= begin + size
        assert scored - begin >= min(scored, size - stride)


def test_what_comes_before_counts_and_is_not_scored(model):
    alone, after = model.likelihoods([("", "refund"), ("hello world\n", "refund")])
    assert alone.tokens == after.tokens
    assert abs(alone.nats - after.nats) > 1e-3


def test_a_text_alone_is_a_text_in_a_batch(folder):
    pairs = [("", text) for text in [*TEXTS, LONG]]
    together = load(folder, cache_bytes=0).likelihoods(pairs)
    alone = [load(folder, cache_bytes=0).likelihoods([pair])[0] for pair in pairs]
    for one, two in zip(together, alone, strict=True):
        assert one.nats == pytest.approx(two.nats, rel=1e-5)
        assert one[1:] == two[1:]


def test_equal_texts_run_once_within_a_call_and_across(model):
    model.likelihoods([("", "refund")] * 3 + [("", "hello")])
    assert model.stats.windows == 2
    model.likelihoods([("", "hello")])
    assert model.stats.windows == 2
    assert model.stats.cache_hits == 1


def test_memory_that_runs_out_halves_the_budget(folder, monkeypatch):
    model = load(folder, max_batch_tokens=64, cache_bytes=0)
    real = model.forward

    def forward(batch):
        if len(batch) > 2:
            raise torch.OutOfMemoryError("CUDA out of memory")
        return real(batch)

    monkeypatch.setattr(model, "forward", forward)
    pairs = [("", text) for text in [*TEXTS, LONG]]
    expected = load(folder).likelihoods(pairs)
    assert [found.nats for found in model.likelihoods(pairs)] == pytest.approx([e.nats for e in expected], rel=1e-5)
    assert model.stats.out_of_memory > 0


def test_an_exception_costs_only_its_item(model, monkeypatch):
    poison = (0, *ids_of(model, "refund"))
    real = model.forward

    def forward(batch):
        if any(tuple(item.ids) == poison for item in batch):
            raise RuntimeError("the input's text must not be quoted")
        return real(batch)

    monkeypatch.setattr(model, "forward", forward)
    found = model.likelihoods([("", text) for text in TEXTS])
    assert found[1] == ItemFailure("RuntimeError")
    assert all(isinstance(item, Likelihood) for item in found[:1] + found[2:])
    assert model.stats.failures == 1


def test_logits_that_are_no_numbers_are_a_failure_with_the_models_name(folder, model, monkeypatch):
    real = model.forward
    monkeypatch.setattr(model, "forward", lambda batch: real(batch) * math.nan)
    (found,) = model.likelihoods([("", "hello")])
    assert isinstance(found, ItemFailure)
    assert folder.name in found.reason


def test_too_long_and_unreadable_texts_say_so_and_the_others_are_scored(folder):
    model = load(folder, max_windows=3)
    long, broken, sound, empty = model.likelihoods([("", LONG), ("", "\ud800"), ("", "hello"), ("", "")])
    assert isinstance(long, TooLong)
    assert "windows, more than 3" in long.reason
    assert isinstance(broken, ItemFailure)
    assert sound.tokens > 0
    assert empty == Likelihood(0.0, 0, 0)


@pytest.mark.parametrize("stride", [0, 32])
def test_a_stride_outside_the_window_is_refused(model, stride):
    with pytest.raises(EngineError, match=r"\[1, 31\]"):
        model.likelihoods([], stride)


def test_the_window_can_be_shorter_but_not_longer_than_the_models(folder):
    assert load(folder, window=16).window == 16
    assert load(folder, window=1000).window == WINDOW
    assert load(folder, window=16).signature != load(folder).signature


def test_a_model_of_another_kind_is_refused(tmp_path):
    folder = make_tiny_classifier(tmp_path, 2)
    with pytest.raises(EngineError, match="trained for something else"):
        load(folder)


def test_a_model_that_sees_what_comes_is_refused(tmp_path):
    make_tiny_encoder(tmp_path)
    config = transformers.BertConfig.from_pretrained(tmp_path, bos_token_id=2)
    transformers.BertForMaskedLM(config).save_pretrained(tmp_path)
    with pytest.raises(EngineError, match="not causal"):
        load(tmp_path)


def test_pickled_weights_are_refused(tmp_path):
    folder = make_tiny_causal(tmp_path)
    (folder / "model.safetensors").unlink()
    torch.save({}, folder / "pytorch_model.bin")
    with pytest.raises(ModelRefused, match="pickles can run code"):
        load(folder)


def test_shards_are_one_model_with_one_digest(folder, tmp_path):
    make_tiny_causal(tmp_path)
    (tmp_path / "model.safetensors").unlink()
    reference(folder).save_pretrained(tmp_path, max_shard_size="40KB")
    assert len(list(tmp_path.glob("model-*.safetensors"))) > 1
    sharded, whole = load(tmp_path), load(folder)
    assert sharded.likelihoods([("", "hello")])[0].nats == pytest.approx(whole.likelihoods([("", "hello")])[0].nats)
    assert sharded.files.revision != whole.files.revision
    with pytest.raises(ModelRefused, match="is pinned"):
        load(tmp_path, revision=whole.files.revision)
    assert load(tmp_path, revision=sharded.files.revision).files == sharded.files


def test_an_index_that_leads_elsewhere_is_refused(tmp_path):
    make_tiny_causal(tmp_path)
    (tmp_path / "model.safetensors").unlink()
    (tmp_path / "model.safetensors.index.json").write_text('{"weight_map": {"a": "../other.safetensors"}}')
    with pytest.raises(ModelRefused, match="no safetensors file beside it"):
        load(tmp_path)


def test_equal_settings_share_a_model_and_models_share_the_devices_lock(folder):
    settings = EngineSettings(model=str(folder), device="cpu", dtype="float32")
    try:
        first = shared_model(CausalModel, settings)
        assert shared_model(CausalModel, settings) is first
        release_models(CausalModel)
        assert shared_model(CausalModel, settings) is not first
    finally:
        release_models()
    assert first._executor._lock is device_lock("cpu")


def test_long_sums_are_taken_in_double_precision(model, monkeypatch):
    tiny = np.full(2**12, 0.1, dtype=np.float32)
    monkeypatch.setattr(model, "rows", lambda inputs: [tiny for _ in inputs])
    (found,) = model.likelihoods([("", "hello")])
    assert found.nats == pytest.approx(2**12 * float(np.float32(0.1)), rel=1e-12)


def test_reading_a_batch_at_once_gives_each_sequence_the_digits_that_it_has_alone(model):
    batch = [Input(tuple(range(size)), (), start, size) for size, start in ((9, 1), (5, 4), (7, 3), (2, 1))]
    logits = torch.randn(len(batch), 9, 40, generator=torch.Generator().manual_seed(0))
    together = model.read(logits, batch)
    assert [len(row) for row in together] == [8, 1, 4, 1]
    for number, row in enumerate(together):
        (alone,) = model.read(logits[number : number + 1], batch[number : number + 1])
        np.testing.assert_array_equal(row, alone)
