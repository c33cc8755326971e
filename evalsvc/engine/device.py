"""Where a model runs and in which precision, decided once when it is loaded."""

from __future__ import annotations

import os
import threading
from collections import defaultdict
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from evalsvc.engine.settings import DEVICE_NAME, EngineSettings
from evalsvc.errors import EngineError, MissingExtra

if TYPE_CHECKING:
    import torch

DEVICE_VARIABLE = "EVALSVC_DEVICE"
"""The environment variable that says where the models of a process run whose device is ``auto``."""
CPU_BATCH_TOKENS = 4096
GPU_BATCH_TOKENS = 65536
# Processor flags that mean matrix products in bfloat16 are computed by the hardware, not emulated.
BFLOAT16_FLAGS = frozenset({"avx512_bf16", "amx_bf16", "bf16"})

_locks: defaultdict[str, threading.Lock] = defaultdict(threading.Lock)


class Placement(NamedTuple):
    """The device, the name of the dtype that it computes in, and the token budget of a batch."""

    device: str
    dtype: str
    max_batch_tokens: int

    @property
    def torch_dtype(self) -> torch.dtype:
        """The dtype as torch names it."""
        import torch

        dtype: torch.dtype = getattr(torch, self.dtype)
        return dtype


def place(settings: EngineSettings) -> Placement:
    """Decide device, dtype and budget, and set torch's CPU threads where the model runs on a CPU.

    Raises:
        MissingExtra: without torch.
        EngineError: when a GPU is asked for that is not there, or the device's name is unknown.
    """
    try:
        import torch
    except ImportError as error:
        raise MissingExtra("torch", "torch") from error
    device = _device(settings.device, torch.cuda.device_count() if torch.cuda.is_available() else 0)
    on_cpu = device == "cpu"
    if on_cpu:
        torch.set_num_threads(settings.threads or usable_cores())
    dtype: str = settings.dtype
    if dtype == "auto":
        dtype = _cpu_dtype() if on_cpu else _cuda_dtype(torch.cuda.get_device_capability(device))
    return Placement(device, dtype, settings.max_batch_tokens or (CPU_BATCH_TOKENS if on_cpu else GPU_BATCH_TOKENS))


def device_lock(device: str) -> threading.Lock:
    """Return the lock that all models on a device share, so that no two need its memory at once.

    >>> device_lock("cuda") is device_lock("cuda:0"), device_lock("cpu") is device_lock("cuda:0")
    (True, False)
    """
    return _locks["cuda:0" if device == "cuda" else device]


def usable_cores() -> int:
    """Return how many cores this process may run on, at least 1."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0)) or 1
    return os.cpu_count() or 1


def _device(asked: str, gpus: int) -> str:
    """Return the device: what is asked for, else what the environment says, else a GPU where there is one."""
    source = "device"
    if asked == "auto":
        asked, source = os.environ.get(DEVICE_VARIABLE, "").strip() or "auto", DEVICE_VARIABLE
    if asked == "auto":
        return "cuda" if gpus else "cpu"
    if not DEVICE_NAME.fullmatch(asked):
        raise EngineError(f"Expected {source} auto, cpu, cuda or cuda:N, but got {asked!r}")
    if asked != "cpu" and int(asked.partition(":")[2] or 0) >= gpus:
        there = "cpu, " + (", ".join(f"cuda:{number}" for number in range(gpus)) or "and torch finds no CUDA")
        raise EngineError(f"{source} {asked!r} was asked for, but is not here; there is {there}")
    return asked


def _cuda_dtype(capability: tuple[int, int]) -> str:
    if capability >= (8, 0):
        return "bfloat16"
    return "float16" if capability >= (7, 0) else "float32"


def _cpu_dtype(cpuinfo: Path = Path("/proc/cpuinfo")) -> str:
    try:
        lines = cpuinfo.read_text(encoding="utf-8", errors="replace").splitlines()
    except OSError:
        return "float32"
    flags = next((line.split() for line in lines if line.lower().startswith(("flags", "features"))), [])
    return "bfloat16" if BFLOAT16_FLAGS & set(flags) else "float32"
