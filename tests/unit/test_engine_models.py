"""Which models are loaded and which are refused, and where they run."""

from __future__ import annotations

import hashlib
import sys

import pytest

from evalsvc.engine import EngineSettings
from evalsvc.engine.device import _cpu_dtype, _cuda_dtype, _device, place
from evalsvc.engine.models import locate
from evalsvc.errors import EngineError, InputError, MissingExtra, ModelRefused


@pytest.fixture
def folder(tmp_path):
    (tmp_path / "model.safetensors").write_bytes(b"weights")
    (tmp_path / "config.json").write_text("{}")
    (tmp_path / "tokenizer.json").write_text("{}")
    return tmp_path


def test_a_folder_is_named_by_the_digest_of_its_weights(folder):
    digest = hashlib.sha256(b"weights").hexdigest()
    assert locate(str(folder)).revision == digest
    assert locate(str(folder), digest).folder == folder


def test_other_weights_than_pinned_are_refused(folder):
    with pytest.raises(ModelRefused, match="is pinned"):
        locate(str(folder), "0" * 64)


def test_pickled_weights_are_refused(folder):
    (folder / "model.safetensors").rename(folder / "pytorch_model.bin")
    with pytest.raises(ModelRefused, match="pickles can run code"):
        locate(str(folder))


@pytest.mark.parametrize("name", ["model.safetensors", "config.json", "tokenizer.json"])
def test_a_missing_file_is_named(folder, name):
    (folder / name).unlink()
    with pytest.raises(EngineError, match=name):
        locate(str(folder))


@pytest.mark.parametrize("revision", [None, "main", "v1.0", "a" * 39, "A" * 40])
def test_a_hub_model_without_a_commit_is_refused(revision):
    with pytest.raises(ModelRefused, match="40 hexadecimal digits"):
        locate("owner/name", revision)


def test_a_hub_model_that_is_not_cached_is_an_error_while_offline(monkeypatch, tmp_path):
    constants = pytest.importorskip("huggingface_hub.constants")
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path))
    with pytest.raises(EngineError, match="local folder"):
        locate("owner/name", "a" * 40)


def test_neither_folder_nor_name_says_what_is_expected():
    with pytest.raises(EngineError, match="owner/name"):
        locate("./nowhere")


def test_without_torch_the_pip_line_is_given(monkeypatch):
    monkeypatch.setitem(sys.modules, "torch", None)
    with pytest.raises(MissingExtra, match=r"pip install 'evalsvc\[torch\]'"):
        place(EngineSettings())


def test_settings_outside_their_bounds_are_refused():
    with pytest.raises(InputError, match="max_windows"):
        EngineSettings(max_windows=0)


@pytest.mark.parametrize(
    ("text", "dtype"),
    [
        ("flags\t\t: fpu avx2 avx512_bf16\n", "bfloat16"),
        ("flags\t\t: fpu amx_bf16 amx_tile\n", "bfloat16"),
        ("Features\t: asimd bf16\n", "bfloat16"),
        ("flags\t\t: fpu avx2 avx512f\n", "float32"),
        ("", "float32"),
    ],
)
def test_the_cpu_computes_in_bfloat16_only_where_its_hardware_does(tmp_path, text, dtype):
    (tmp_path / "cpuinfo").write_text(text)
    assert _cpu_dtype(tmp_path / "cpuinfo") == dtype


def test_the_cpu_falls_back_where_it_cannot_be_asked(tmp_path):
    assert _cpu_dtype(tmp_path / "absent") == "float32"


@pytest.mark.parametrize(
    ("capability", "dtype"),
    [((9, 0), "bfloat16"), ((8, 0), "bfloat16"), ((7, 5), "float16"), ((6, 1), "float32")],
)
def test_the_gpu_computes_in_what_it_has(capability, dtype):
    assert _cuda_dtype(capability) == dtype


@pytest.mark.parametrize("name", ["tpu", "cuda:", "cuda:x", "cudax", ""])
def test_an_unknown_device_is_refused(name):
    with pytest.raises(InputError, match="auto, cpu, cuda"):
        EngineSettings(device=name)


@pytest.mark.parametrize(
    ("asked", "variable", "gpus", "device"),
    [
        ("auto", None, 0, "cpu"),
        ("auto", None, 2, "cuda"),
        ("auto", "auto", 2, "cuda"),
        ("auto", " cpu ", 2, "cpu"),
        ("auto", "cuda:1", 2, "cuda:1"),
        ("cpu", "cuda:1", 2, "cpu"),
        ("cuda:1", "cpu", 2, "cuda:1"),
    ],
)
def test_the_variable_decides_where_the_options_leave_it_open(asked, variable, gpus, device, monkeypatch):
    monkeypatch.delenv("EVALSVC_DEVICE", raising=False)
    if variable is not None:
        monkeypatch.setenv("EVALSVC_DEVICE", variable)
    assert _device(asked, gpus) == device


@pytest.mark.parametrize(
    ("asked", "variable", "gpus", "message"),
    [
        ("auto", "tpu", 2, "EVALSVC_DEVICE auto, cpu, cuda or cuda:N, but got 'tpu'"),
        ("auto", "cuda", 0, "EVALSVC_DEVICE 'cuda' was asked for.*torch finds no CUDA"),
        ("cuda:2", "cpu", 2, "device 'cuda:2' was asked for.*there is cpu, cuda:0, cuda:1$"),
    ],
)
def test_a_device_that_is_not_there_is_refused_with_what_is(asked, variable, gpus, message, monkeypatch):
    monkeypatch.setenv("EVALSVC_DEVICE", variable)
    with pytest.raises(EngineError, match=message):
        _device(asked, gpus)
