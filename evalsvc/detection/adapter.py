"""The file of a detector: what was learnt beside the trunk, and the card that says what is decided with it."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Literal

import msgspec
import numpy as np

from evalsvc._durable import write_whole
from evalsvc.errors import EngineError, MissingExtra, ModelRefused

if TYPE_CHECKING:
    import torch

    Tensors = Mapping[str, torch.Tensor]

_CARD, _SEEN = "evalsvc", "seen"
_PARTS = ("qkv", "attention_output", "intermediate", "output")


class Calibration(msgspec.Struct, frozen=True):
    """A probability from a logit: ``sigmoid(slope * logit + offset)`` (Platt 1999)."""

    slope: float = 1.0
    offset: float = 0.0


class Threshold(msgspec.Struct, frozen=True):
    """The probability from which on something counts as found, and by what rule that was fixed before any test.

    ``rule`` is ``false_alarms`` (``value``: the greatest share of rows without it that may count) or ``cost``
    (``value``: what a miss costs, in false alarms).
    """

    probability: float
    rule: Literal["false_alarms", "cost"]
    value: float


class Source(msgspec.Struct, frozen=True):
    """What was trained on: a name, its licence, how many rows and how many of them have what is looked for."""

    name: str
    licence: str
    rows: int
    found: int


class Task(msgspec.Struct, frozen=True):
    """What one head answers: its calibration and threshold, and what it learnt from."""

    calibration: Calibration
    threshold: Threshold
    sources: Sequence[Source] = ()


class Before(msgspec.Struct, frozen=True):
    """The detector that training started from.

    Attributes:
        revision: the SHA-256 of its file.
        sources: by task, what it and those before it learnt from: their licences hold for what came of it too.
        listed: whether all that they learnt from is among the digests in the file; else what is measured on may be
            among what was learnt from.
    """

    revision: str
    sources: Mapping[str, Sequence[Source]] = {}
    listed: bool = True


class Card(msgspec.Struct, frozen=True, kw_only=True, tag=False):
    """What a detector's file says of itself.

    Attributes:
        reads: ``pairs`` (contexts and a response) or ``texts``.
        version: the scorer's version; one more each time its weights are fitted anew.
        trunk: name of the encoder that it is added to.
        trunk_revision: the SHA-256 of the trunk's weights.
        window: the most tokens that are read at once: for pairs of the contexts and of the response, for texts one.
        tasks: what its heads answer, in the order of their logits.
        data: SHA-256 of all rows that it was fitted to.
        seed: of the fit.
        training: the settings that it was trained with, in words for people.
        before: the detector that training started from; nothing where that was the trunk.
    """

    reads: Literal["pairs", "texts"]
    version: int
    trunk: str
    trunk_revision: str
    window: Sequence[int]
    tasks: Mapping[str, Task]
    data: str
    seed: int
    training: str = ""
    before: Before | None = None


class Adapter(msgspec.Struct, frozen=True):
    """A detector as it is kept.

    Tensors by name: ``layer.N.PART.down`` ``[rank, in]`` and ``layer.N.PART.up`` ``[out, rank]``, whose product is
    added to the matrix of PART (qkv, attention_output, intermediate, output); ``embedding_norm``,
    ``layer.N.attention_norm`` and ``layer.N.output_norm`` with ``.weight`` and ``.bias``, and ``types`` ``[2, width]``,
    which replace the trunk's; ``marks`` ``[marks, width]`` (of pairs); ``head.NAME.weight`` and ``head.NAME.bias``.
    """

    card: Card
    tensors: Mapping[str, torch.Tensor]
    revision: str = ""
    """The SHA-256 of the file that it was read from."""
    seen: frozenset[int] | None = None
    """32 bits of a digest of each text that was learnt from; None where the file does not say."""

    def merged(self, weights: Tensors) -> dict[str, torch.Tensor]:
        """Return the trunk's weights with the adapter's added: float32, under the trunk's names without ``bert.``.

        Raises:
            KeyError: when the adapter lacks its ``types`` or half of a product, or the trunk a matrix that it changes.
            RuntimeError: when their shapes do not fit.
        """
        out = {
            name.removeprefix("bert."): tensor.float() for name, tensor in weights.items() if tensor.is_floating_point()
        }
        own = {name: tensor.float() for name, tensor in self.tensors.items()}
        out["embeddings.token_type_embeddings.weight"] = own["types"]
        if "marks" in own:
            out["embeddings.marks.weight"] = own["marks"]
        for name, tensor in own.items():
            layer, _, rest = name.removeprefix("layer.").partition(".")
            part, _, what = rest.rpartition(".")
            if name.startswith("embedding_norm."):
                out[f"embeddings.LayerNorm.{name.rpartition('.')[2]}"] = tensor
            elif part.endswith("_norm"):
                out[f"encoder.layer.{layer}.{_norm(part)}.{what}"] = tensor
            elif what == "up" and part in _PARTS:
                change = tensor @ own[f"layer.{layer}.{part}.down"]
                for matrix, piece in zip(_matrices(part), change.chunk(len(_matrices(part))), strict=True):
                    key = f"encoder.layer.{layer}.{matrix}.weight"
                    out[key] = out[key] + piece
        return out


def encoded(adapter: Adapter) -> bytes:
    """Return the content of a detector's file; the same adapter gives the same bytes.

    Raises:
        MissingExtra: without safetensors.
    """
    try:
        import torch
        from safetensors.torch import save
    except ImportError as error:
        raise MissingExtra("safetensors", "torch") from error
    tensors = {name: adapter.tensors[name].half().contiguous() for name in sorted(adapter.tensors)}
    if adapter.seen is not None:
        # Signed, since not every torch that serves has unsigned integers of 32 bits.
        tensors[_SEEN] = torch.from_numpy(np.array(sorted(adapter.seen), np.uint32).view(np.int32))
    return save(tensors, metadata={_CARD: msgspec.json.encode(adapter.card).decode()})


def write(path: Path, adapter: Adapter) -> None:
    """Write a detector's file, whole or not at all.

    Raises:
        MissingExtra: without safetensors.
        OSError: when it cannot be written.
    """
    write_whole(path, encoded(adapter))


def read(path: Path) -> Adapter:
    """Read a detector's file.

    Raises:
        MissingExtra: without safetensors.
        EngineError: when there is no such file, or it is none of a detector.
    """
    try:
        from safetensors import SafetensorError, safe_open
    except ImportError as error:
        raise MissingExtra("safetensors", "torch") from error
    try:
        digest = hashlib.sha256(path.read_bytes()).hexdigest()
        with safe_open(str(path), framework="pt") as file:
            card = (file.metadata() or {}).get(_CARD)
            tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118 - no mapping
    except FileNotFoundError as error:
        raise EngineError(
            f"There is no detector {str(path)!r}; make one with `evalsvc fit`, or name another"
        ) from error
    except (OSError, SafetensorError) as error:
        raise EngineError(f"{str(path)!r} is no safetensors file: {error}") from error
    if card is None:
        raise EngineError(f"{str(path)!r} holds no detector of evalsvc; make one with `evalsvc fit`")
    try:
        found = msgspec.json.decode(card, type=Card)
    except msgspec.DecodeError as error:
        raise EngineError(f"{str(path)!r} was made by another version of evalsvc: {error}; fit it again") from error
    seen = tensors.pop(_SEEN, None)
    listed = None if seen is None else frozenset(seen.numpy().view(np.uint32).tolist())
    return Adapter(found, tensors, digest, listed)


def require_trunk(adapter: Adapter, revision: str, path: str) -> None:
    """Refuse another trunk than the detector was fitted on.

    Raises:
        ModelRefused: with both revisions.
    """
    if adapter.card.trunk_revision != revision:
        raise ModelRefused(
            f"Detector {path!r} was fitted on {adapter.card.trunk} {adapter.card.trunk_revision[:12]}, but the "
            f"trunk here is {revision[:12]}; install the former, or fit the detector again"
        )


def _norm(part: str) -> str:
    return "attention.output.LayerNorm" if part == "attention_norm" else "output.LayerNorm"


def _matrices(part: str) -> tuple[str, ...]:
    names = {
        "qkv": tuple(f"attention.self.{name}" for name in ("query", "key", "value")),
        "attention_output": ("attention.output.dense",),
        "intermediate": ("intermediate.dense",),
        "output": ("output.dense",),
    }
    return names[part]
