"""One loaded model a process for each kind and settings, shared by all scorers that need it."""

from __future__ import annotations

import threading
from typing import Protocol, Self, TypeVar

import msgspec

from evalsvc.engine.encoder import Encoder
from evalsvc.engine.settings import EngineSettings


class Loadable(Protocol):
    """A kind of model: an encoder, a causal language model, a classifier."""

    @classmethod
    def load(cls, settings: EngineSettings) -> Self:
        """Load the model that the settings name; takes seconds."""
        ...


Model = TypeVar("Model", bound=Loadable)

_lock = threading.Lock()
_models: dict[tuple[type[Loadable], EngineSettings], Loadable] = {}


def shared_model(kind: type[Model], settings: EngineSettings) -> Model:
    """Return the process's model of this kind and settings, loading it the first time; safe from several threads.

    A load that fails is not remembered: the next call tries again.

    Raises:
        MissingExtra: when torch or the packaged model is absent.
        EngineError: when the model cannot be loaded.
    """
    key = (kind, settings)
    with _lock:
        found = _models.get(key)
        if not isinstance(found, kind):
            found = kind.load(settings)
            for old in [old for old in _models if old[0] is kind and _replaced(old[1], settings)]:
                del _models[old]
            _models[key] = found
        return found


def shared_encoder(settings: EngineSettings | None = None) -> Encoder:
    """Return the process's encoder for these settings, as :func:`shared_model` does.

    Raises:
        MissingExtra: when torch or the packaged model is absent.
        EngineError: when the model cannot be loaded.
    """
    return shared_model(Encoder, settings or EngineSettings())


def release_models(kind: type[Loadable] | None = None) -> None:
    """Forget the shared models of a kind, or all, so that their memory can be freed once nobody else holds them."""
    with _lock:
        for key in [key for key in _models if kind is None or key[0] is kind]:
            del _models[key]


def release_encoders() -> None:
    """Forget all shared encoders."""
    release_models(Encoder)


def _replaced(old: EngineSettings, new: EngineSettings) -> bool:
    """Whether settings name an adapter's file as it was before."""
    if old.adapter is None or old.adapter_revision is None:
        return False
    return msgspec.structs.replace(old, adapter_revision=new.adapter_revision) == new
