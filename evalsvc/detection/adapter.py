"""The file of a detector: what was learnt beside the trunk, and the card that says what is decided with it."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Literal, overload

import msgspec
import numpy as np
from numpy.typing import NDArray

from evalsvc._durable import write_whole
from evalsvc.errors import EngineError, MissingExtra, ModelRefused

if TYPE_CHECKING:
    import torch

    Tensors = Mapping[str, torch.Tensor]

FORMAT = 2
"""The number of what a detector reads and how its heads are computed: words, marks, sentences, evidence, formulas.

One more with every change of code that gives a fitted detector other digits; tests pin what the present one is.
"""
Logits = NDArray[np.float64]
_SIZE = 8
"""How many bytes say how long the header is."""
_LONGEST_HEADER = 2**24
_CARD, _SEEN = "evalsvc", "seen"
_PARTS = ("qkv", "attention_output", "intermediate", "output")


class _Header(msgspec.Struct, frozen=True):
    """What the first bytes of a safetensors file hold beside its tensors' places."""

    metadata: dict[str, str] = msgspec.field(name="__metadata__", default_factory=dict)


class Calibration(msgspec.Struct, frozen=True):
    """A probability from a logit: ``sigmoid(slope * logit + offset)`` (Platt 1999)."""

    slope: float = 1.0
    offset: float = 0.0


@overload
def calibrated(calibration: Calibration, logits: float) -> float: ...


@overload
def calibrated(calibration: Calibration, logits: Logits) -> Logits: ...


def calibrated(calibration: Calibration, logits: float | Logits) -> float | Logits:
    """Return the probability that a calibration makes of a logit, or of each of some.

    >>> calibrated(Calibration(), 0.0), round(calibrated(Calibration(), -1e6), 3)
    (0.5, 0.0)
    """
    made = 0.5 * (1.0 + np.tanh(0.5 * (calibration.slope * logits + calibration.offset)))
    return made if isinstance(logits, np.ndarray) else float(made)


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
        format: the :data:`FORMAT` that it was fitted by; 1 where the file does not say.
        layers: how many of the trunk's layers are run, from the first; all where the file does not say.
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
    format: int = 1
    layers: int | None = None
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

    @property
    def last_layer(self) -> int:
        """The number of the last layer that it changes; -1 where it changes none."""
        numbers = (name.split(".")[1] for name in self.tensors if name.startswith("layer."))
        return max((int(number) for number in numbers if number.isdecimal()), default=-1)

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
        from safetensors import SafetensorError
        from safetensors.torch import load
    except ImportError as error:
        raise MissingExtra("safetensors", "torch") from error
    try:
        # A fit may replace the file meanwhile: what is loaded is what was hashed.
        content = path.read_bytes()
        tensors = load(content)
    except FileNotFoundError as error:
        raise EngineError(
            f"There is no detector {str(path)!r}; make one with `evalsvc fit`, or name another"
        ) from error
    except (OSError, SafetensorError) as error:
        raise EngineError(f"{str(path)!r} is no safetensors file: {error}") from error
    card = _card_in(content)
    if card is None:
        raise EngineError(f"{str(path)!r} holds no detector of evalsvc; make one with `evalsvc fit`")
    try:
        found = msgspec.json.decode(card, type=Card)
    except msgspec.DecodeError as error:
        raise EngineError(f"{str(path)!r} was made by another version of evalsvc: {error}; fit it again") from error
    seen = tensors.pop(_SEEN, None)
    listed = None if seen is None else frozenset(seen.numpy().view(np.uint32).tolist())
    return Adapter(found, tensors, hashlib.sha256(content).hexdigest(), listed)


def described(path: Path) -> tuple[Card, str] | None:
    """Return a detector's card and its file's SHA-256, without torch; ``None`` where there is no card to read."""
    try:
        with path.open("rb") as file:
            size = file.read(_SIZE)
            card = _card_in(size + file.read(min(int.from_bytes(size, "little"), _LONGEST_HEADER)))
            if card is None:
                return None
            file.seek(0)
            return msgspec.json.decode(card, type=Card), hashlib.file_digest(file, "sha256").hexdigest()
    except (OSError, msgspec.DecodeError):
        return None


def other_format(card: Card, path: str) -> str:
    """Return why a detector of another format does not run here, and what to do; '' where it does."""
    if card.format == FORMAT:
        return ""
    return (
        f"Detector {path!r} is of format {card.format}, but this evalsvc reads format {FORMAT}, which has other words, "
        "marks or formulas; fit it again with `evalsvc fit`, or install the release that it was made with"
    )


def require_runnable(adapter: Adapter, revision: str, path: str) -> None:
    """Refuse a detector that was fitted on another trunk than that of a revision, or by another format.

    Raises:
        EngineError: with both formats.
        ModelRefused: with both revisions.
    """
    if reason := other_format(adapter.card, path):
        raise EngineError(reason)
    if adapter.card.trunk_revision != revision:
        raise ModelRefused(
            f"Detector {path!r} was fitted on {adapter.card.trunk} {adapter.card.trunk_revision[:12]}, but the "
            f"trunk here is {revision[:12]}; install the former, or fit the detector again"
        )


def _card_in(content: bytes) -> str | None:
    """Return a card as it is written in the first bytes of a safetensors file, or ``None`` where there is none."""
    stop = _SIZE + int.from_bytes(content[:_SIZE], "little")
    try:
        return msgspec.json.decode(content[_SIZE:stop], type=_Header).metadata.get(_CARD)
    except msgspec.DecodeError:
        return None


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
