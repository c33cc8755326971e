"""The encoder on a tiny model made here: values against transformers, windows, failures, cache, threads."""

from __future__ import annotations

import threading
from itertools import pairwise

import numpy as np
import pytest

from evalsvc.engine import Encoder, EngineSettings, shared_encoder
from evalsvc.engine.cache import EmbeddingCache
from evalsvc.engine.encoder import _unit_rows
from evalsvc.engine.executor import is_out_of_memory
from evalsvc.engine.forward import TransformersPooler
from evalsvc.engine.models import locate
from evalsvc.engine.registry import release_encoders
from evalsvc.engine.runner import ItemFailure
from evalsvc.engine.tokens import window_starts
from evalsvc.errors import EngineError
from models.tiny_encoder import WORDS, make_tiny_encoder

torch = pytest.importorskip("torch")
pytest.importorskip("transformers")

TEXTS = ["hello world", "the parcel arrives on monday", "", "refund", "one day", "a b c a b c a b c", "?"]
LONG = " ".join([WORDS] * 4)


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return make_tiny_encoder(tmp_path_factory.mktemp("tiny"))


@pytest.fixture
def encoder(folder):
    return load(folder)


def load(folder, **settings):
    base = {"model": str(folder), "device": "cpu", "dtype": "float32", "window_overlap": 4}
    return Encoder.load(EngineSettings(**{**base, **settings}))


def by_transformers(folder, windows):
    """The mean of the last hidden states, one window at a time, by transformers' own BertModel."""
    from transformers import BertModel

    model = BertModel.from_pretrained(folder, attn_implementation="eager").eval()
    with torch.inference_mode():
        return np.stack([model(torch.tensor([w])).last_hidden_state[0].mean(0).numpy() for w in windows])


def unit(rows):
    return rows / np.linalg.norm(rows, axis=-1, keepdims=True)


def test_values_are_those_of_transformers(folder, encoder):
    windows = [item[0] for item in encoder.tokeniser.tokenise(TEXTS)]
    vectors = encoder.encode(TEXTS)
    assert vectors.dtype == np.float32
    assert vectors.shape == (len(TEXTS), 32)
    np.testing.assert_allclose(vectors, unit(by_transformers(folder, windows)), atol=1e-5)


def test_the_general_pooler_agrees_with_the_packed_one(folder, encoder):
    general = Encoder(
        encoder.files, encoder.tokeniser, TransformersPooler(locate(str(folder)), encoder.placement),
        encoder.placement, EngineSettings(),
    )  # fmt: skip
    np.testing.assert_allclose(general.encode(TEXTS), encoder.encode(TEXTS), atol=1e-5)
    assert 0 < general.stats.padding_waste < 1
    assert encoder.stats.padding_waste == 0


def test_the_masked_attention_of_a_gpu_agrees_with_the_grouped_one(folder, encoder, monkeypatch):
    expected = encoder.encode(TEXTS)
    other = load(folder)
    monkeypatch.setattr(other._pooler, "_padded", True)
    monkeypatch.setattr(other._pooler, "_on_device", torch.from_numpy)
    np.testing.assert_allclose(other.encode(TEXTS), expected, atol=1e-5)
    assert other.stats.padding_waste > 0


def test_a_vector_does_not_depend_on_its_batch(folder, encoder):
    together = encoder.encode(TEXTS)
    alone = np.concatenate([load(folder, cache_bytes=0).encode([text]) for text in TEXTS])
    np.testing.assert_allclose(together, alone, atol=1e-6)


def test_a_long_text_is_the_mean_of_its_windows_weighted_by_tokens(folder, encoder):
    windows = encoder.tokeniser.tokenise([LONG])[0]
    assert len(windows) > 3
    assert max(map(len, windows)) == 16
    rows = by_transformers(folder, windows)
    weights = np.array([len(window) - 2 for window in windows])
    expected = unit((rows * weights[:, None]).sum(0))
    np.testing.assert_allclose(encoder.encode([LONG])[0], expected, atol=1e-5)


def test_the_end_of_a_long_text_counts(encoder):
    one, two = encoder.encode([LONG + " refund refund", LONG + " monday monday"])
    assert np.abs(one - two).max() > 1e-4


@pytest.mark.parametrize("size", [2, 5, 14])
@pytest.mark.parametrize("n_tokens", [0, 1, 14, 15, 29, 100])
@pytest.mark.parametrize("overlap", [0, 1])
def test_windows_cover_every_token(n_tokens, size, overlap):
    starts = window_starts(n_tokens, size, overlap)
    covered = {token for start in starts for token in range(start, min(start + size, n_tokens))}
    assert covered == set(range(n_tokens))
    assert starts[0] == 0
    assert starts[-1] == max(n_tokens - size, 0), "the last window is full and ends with the text"
    assert all(0 < two - one <= size - overlap for one, two in pairwise(starts)), "neighbours share the overlap"
    assert len(starts) == 1 + max(0, -(-(n_tokens - size) // (size - overlap))), "no window more than needed"


def test_a_text_of_too_many_windows_says_so_and_the_others_are_encoded(folder):
    result = load(folder, max_windows=2).embed(["refund", LONG])
    assert list(result.too_long) == [1]
    assert "windows, more than 2" in result.too_long[1]
    assert np.isnan(result.vectors[1]).all()
    assert np.isfinite(result.vectors[0]).all()


def test_texts_that_are_no_unicode_fail_alone(encoder):
    result = encoder.embed(["refund", "\ud800 broken", "hello"])
    assert list(result.failures) == [1]
    np.testing.assert_allclose(result.vectors[[0, 2]], encoder.encode(["refund", "hello"]))
    with pytest.raises(EngineError, match="1 of 2 texts"):
        encoder.encode(["hello", "\ud800"])


def test_an_exception_in_the_model_costs_only_its_item(encoder, monkeypatch):
    poison = encoder.tokeniser.tokenise(["one day"])[0][0]
    real = encoder._pooler.pool

    def pool(windows):
        if poison in list(windows):
            raise RuntimeError("the input's text must not be quoted")
        return real(windows)

    monkeypatch.setattr(encoder._pooler, "pool", pool)
    result = encoder.embed(TEXTS)
    assert dict(result.failures) == {TEXTS.index("one day"): "RuntimeError"}
    assert encoder.stats.failures == 1


def test_a_value_that_is_not_finite_is_a_failure_with_the_models_name(encoder, monkeypatch):
    nan = torch.full((1, 32), float("nan"))
    monkeypatch.setattr(encoder._pooler, "pool", lambda windows: (nan.repeat(len(windows), 1), len(windows)))
    failures = encoder.embed(["hello"]).failures
    assert encoder.files.name in failures[0]


@pytest.mark.parametrize("width", [1, 8, 384, 1000])
def test_rows_divided_at_once_have_the_digits_of_rows_divided_one_by_one(width):
    """All that changes a digit is in the signature, and how many texts were asked for is not."""
    rng = np.random.default_rng(0)
    rows = (rng.normal(size=(500, width)) * rng.lognormal(0, 3, size=(500, 1))).astype(np.float32)
    rows[0] = 0.0
    expected = [row / max(np.linalg.norm(row), np.float32(1e-12)) for row in rows]
    np.testing.assert_array_equal(np.stack(_unit_rows(list(rows))), np.stack(expected))


def test_rows_without_a_length_are_left_out_at_once_and_the_others_kept():
    rows = [ItemFailure("broke"), np.float32([3, 4]), np.float32([np.inf, 0]), np.float32([3e38, 3e38])]
    units = _unit_rows([*rows, np.float32([np.nan, 1])])
    assert [unit is None for unit in units] == [True, False, True, True, True]
    np.testing.assert_allclose(units[1], [0.6, 0.8], rtol=1e-6)
    assert _unit_rows([ItemFailure("broke")]) == [None]
    assert _unit_rows([]) == []


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_one_row_that_is_not_finite_costs_its_text_alone_and_is_not_remembered(encoder, monkeypatch, value):
    expected = encoder.encode(TEXTS)
    encoder.cache = EmbeddingCache(2**20)
    windows_of_long = encoder.tokeniser.tokenise([LONG])[0]
    bad = [encoder.tokeniser.tokenise(["one day"])[0][0], windows_of_long[1]]
    real = encoder._pooler.pool

    def pool(windows):
        rows, computed = real(windows)
        for place, window in enumerate(windows):
            if window in bad:
                rows[place, 0] = value
        return rows, computed

    with monkeypatch.context() as broken:
        broken.setattr(encoder._pooler, "pool", pool)
        result = encoder.embed([*TEXTS, LONG])
    one_day = TEXTS.index("one day")
    assert set(result.failures) == {one_day, len(TEXTS)}, "a text of many windows fails with any of them"
    others = [row for row in range(len(TEXTS)) if row != one_day]
    np.testing.assert_allclose(result.vectors[others], expected[others], atol=1e-6)
    assert np.isfinite(encoder.embed(["one day", LONG]).vectors).all(), "a failure must not be cached"


def test_out_of_memory_halves_the_budget(folder, monkeypatch):
    encoder = load(folder, max_batch_tokens=64, cache_bytes=0)
    real = encoder._pooler.pool

    def pool(windows):
        if sum(map(len, windows)) > 20:
            raise torch.OutOfMemoryError("CUDA out of memory")
        return real(windows)

    monkeypatch.setattr(encoder._pooler, "pool", pool)
    np.testing.assert_allclose(encoder.encode(TEXTS), load(folder).encode(TEXTS), atol=1e-6)
    assert encoder.stats.out_of_memory > 0


@pytest.mark.parametrize(
    ("error", "ours"),
    [
        (MemoryError(), True),
        (RuntimeError("[enforce fail at alloc_cpu.cpp] DefaultCPUAllocator: can't allocate memory"), True),
        (RuntimeError("shape mismatch"), False),
        (ValueError("can't allocate memory"), False),
    ],
)
def test_what_counts_as_out_of_memory(error, ours):
    assert is_out_of_memory(error) is ours


def test_a_text_that_alone_needs_too_much_memory_says_so_and_the_others_are_encoded(folder, monkeypatch):
    encoder = load(folder, cache_bytes=0)
    longest = max(len(encoder.tokeniser.tokenise([text])[0][0]) for text in TEXTS)
    real = encoder._pooler.pool

    def pool(windows):
        if max(map(len, windows)) == longest:
            raise torch.OutOfMemoryError("CUDA out of memory")
        return real(windows)

    monkeypatch.setattr(encoder._pooler, "pool", pool)
    result = encoder.embed(TEXTS)
    assert set(result.failures.values()) == {"out of memory"}
    assert 0 < len(result.failures) < len(TEXTS)
    assert np.isfinite(np.delete(result.vectors, list(result.failures), axis=0)).all()


def test_equal_texts_are_encoded_once(encoder):
    vectors = encoder.encode(["refund"] * 5 + ["hello"])
    assert encoder.stats.windows == 2
    assert (vectors[:5] == vectors[0]).all()
    encoder.encode(["hello", "refund"])
    assert encoder.stats.windows == 2
    assert encoder.stats.cache_hits == 2


def test_without_a_cache_texts_are_encoded_again(folder):
    encoder = load(folder, cache_bytes=0)
    encoder.encode(["refund"])
    encoder.encode(["refund"])
    assert encoder.stats.windows == 2


def test_no_text_gives_no_row(encoder):
    assert encoder.encode([]).shape == (0, 32)


def test_a_budget_below_the_models_window_is_refused_when_loading(folder):
    with pytest.raises(EngineError, match="at least 16"):
        load(folder, max_batch_tokens=15)


def test_an_overlap_as_wide_as_the_window_is_refused(folder):
    with pytest.raises(EngineError, match="window_overlap"):
        load(folder, window_overlap=14)


def test_models_that_do_not_pool_by_the_mean_are_refused(tmp_path):
    folder = make_tiny_encoder(tmp_path)
    (folder / "1_Pooling").mkdir()
    (folder / "1_Pooling/config.json").write_text('{"pooling_mode_cls_token": true}')
    with pytest.raises(EngineError, match="pooling_mode_cls_token"):
        load(folder)


def test_the_signature_names_what_changes_a_digit(folder, tmp_path):
    plain = load(folder).signature
    changed = {
        load(folder, dtype="bfloat16").signature,
        load(folder, window_overlap=2).signature,
        load(make_tiny_encoder(tmp_path, seed=1)).signature,
    }
    assert len(changed | {plain}) == 4


def test_bfloat16_is_near(folder, encoder):
    half = load(folder, dtype="bfloat16").encode(TEXTS)
    assert (half * encoder.encode(TEXTS)).sum(1).min() > 0.999


def test_threads_get_their_own_rows(encoder):
    expected = {text: encoder.encode([text])[0] for text in TEXTS}
    wrong: list[str] = []

    def work():
        for text in TEXTS * 5:
            if not np.allclose(encoder.encode([text])[0], expected[text], atol=1e-6):
                wrong.append(text)

    threads = [threading.Thread(target=work) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not wrong


def test_equal_settings_share_one_encoder(folder):
    settings = EngineSettings(model=str(folder), device="cpu", window_overlap=4)
    try:
        found: list[Encoder] = []
        threads = [threading.Thread(target=lambda: found.append(shared_encoder(settings))) for _ in range(4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert len(found) == 4
        assert len({id(encoder) for encoder in found}) == 1
    finally:
        release_encoders()


def test_the_snapshot_holds_every_counter(encoder):
    encoder.encode(TEXTS)
    snapshot = encoder.stats.snapshot()
    assert snapshot["texts"] == len(TEXTS)
    assert snapshot["tokens"] == snapshot["computed_tokens"] > 0
    assert snapshot["device_seconds"] > 0
    assert snapshot["waiting"] == 0
    assert encoder.stats.tokens_per_device_second > 0
