"""One loaded encoder a process for each settings, shared by all scorers that need it."""

from __future__ import annotations

import threading

from evalsvc.engine.encoder import Encoder
from evalsvc.engine.settings import EngineSettings

_lock = threading.Lock()
_encoders: dict[EngineSettings, Encoder] = {}


def shared_encoder(settings: EngineSettings | None = None) -> Encoder:
    """Return the process's encoder for these settings, loading it the first time; safe from several threads.

    A load that fails is not remembered: the next call tries again.

    Raises:
        MissingExtra: when torch or the packaged model is absent.
        EngineError: when the model cannot be loaded.
    """
    key = settings or EngineSettings()
    with _lock:
        if key not in _encoders:
            _encoders[key] = Encoder.load(key)
        return _encoders[key]


def release_encoders() -> None:
    """Forget all shared encoders, so that their memory can be freed once nobody else holds them."""
    with _lock:
        _encoders.clear()
