"""Where a model runs and in which precision, decided once when it is loaded."""

from __future__ import annotations

import os
import threading
from collections import defaultdict
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from evalsvc.engine.settings import EngineSettings
from evalsvc.errors import EngineError, MissingExtra

if TYPE_CHECKING:
    import torch

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
        EngineError: when cuda is asked for and there is none, or the device's name is unknown.
    """
    try:
        import torch
    except ImportError as error:
        raise MissingExtra("torch", "torch") from error
    device = _device(settings.device, torch.cuda.is_available())
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


def _device(asked: str, has_cuda: bool) -> str:
    if asked == "auto":
        return "cuda" if has_cuda else "cpu"
    if asked != "cpu" and asked.partition(":")[0] != "cuda":
        raise EngineError(f"Expected device auto, cpu, cuda or cuda:N, but got {asked!r}")
    if asked != "cpu" and not has_cuda:
        raise EngineError(f"Device {asked!r} was asked for, but torch finds no CUDA here; use device: auto or cpu")
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
