"""What scorers on a model of the consumer's choice share: options, loading, what to write where it is missing."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping
from types import MappingProxyType
from typing import Any, ClassVar, Generic, TypeVar

from evalsvc.engine import EngineSettings, shared_model
from evalsvc.engine.overlap import tokens_to_hand_over
from evalsvc.engine.presence import absent
from evalsvc.engine.transformer import Transformer
from evalsvc.errors import EngineError, InputError
from evalsvc.types import ScorerSpec

Model = TypeVar("Model", bound=Transformer)


class ModelScorer(ABC, Generic[Model]):
    """A scorer on a published model. Scorers with equal settings share one loaded model and its cache."""

    cost_class: ClassVar[str] = "model"
    example_options: ClassVar[Mapping[str, str]] = MappingProxyType({"model": "path/to/folder"})
    """What it cannot be built without, so that it can be listed."""
    packages: ClassVar[Mapping[str, str]] = MappingProxyType(
        dict.fromkeys(("torch", "transformers", "tokenizers", "safetensors"), "evalsvc[torch]")
    )

    def __init__(self, kind: type[Model], settings: EngineSettings) -> None:
        self.settings = settings
        self._kind = kind
        self._model: Model | None = None

    @property
    @abstractmethod
    def spec(self) -> ScorerSpec:
        """What it measures; the signature is complete after :meth:`load`."""

    def lacks(self) -> str:
        """Return why the model cannot be loaded here and what to do about it; '' where nothing is known to."""
        return absent(self.settings.model, self.settings.revision)

    def load(self) -> None:
        """Load the shared model; a second call does nothing.

        Raises:
            MissingExtra: without torch or transformers.
            ModelRefused: when the weights are not pinned, or not safetensors.
            EngineError: when the model cannot be loaded, or is not of this scorer's kind.
        """
        model = shared_model(self._kind, self.settings)
        self.check(model)
        self._model = model

    def check(self, model: Model) -> None:
        """Raise ``EngineError`` where the loaded model is not what this scorer's options describe."""

    @property
    def model(self) -> Model:
        """The loaded model, whose ``stats`` a worker exports.

        Raises:
            EngineError: before :meth:`load`.
        """
        if self._model is None:
            raise EngineError(f"Scorer {self.spec.metric!r} has no model yet; call load() before score()")
        return self._model

    @property
    def batch_cost(self) -> int | None:
        """What a worker hands over at once: one part of a GPU's batches; ``None`` leaves it to the worker.

        One, where encoders get several: beside a large model the tokeniser's time is nothing, and a stop should not
        wait for minutes.
        """
        return tokens_to_hand_over(self._model.placement, parts=1) if self._model else None

    @property
    def model_signature(self) -> str:
        """The model's signature, or before :meth:`load` its name alone."""
        return self._model.signature if self._model else f"model:{self.settings.model}"


def model_settings(metric: str, model: str | None, **settings: Any) -> EngineSettings:  # noqa: ANN401 - its fields
    """Return the engine's settings for a model that has to be named.

    Raises:
        InputError: without a model; the message is what to write in the consumer's file.
    """
    if not model:
        raise InputError(
            f"Expected `model` in the options of {metric!r}, which has none of its own, but got none; write\n"
            f"  scorers:\n"
            f"    - name: {metric}\n"
            f"      options:\n"
            f"        model: OWNER/NAME    # of the hub; or a folder with safetensors\n"
            f"        revision: COMMIT     # 40 hexadecimal digits; of a folder the SHA-256 of its weights, optional"
        )
    return EngineSettings(model=str(model), **settings)


def one_of(metric: str, option: str, value: str, allowed: tuple[str, ...]) -> str:
    """Return the option's value, refusing what is not allowed.

    >>> one_of("perplexity", "given", "prompt", ("none", "prompt"))
    'prompt'
    """
    if value not in allowed:
        raise InputError(
            f"Expected option `{option}` of {metric!r} to be one of {', '.join(allowed)}, but got {value!r}"
        )
    return value
