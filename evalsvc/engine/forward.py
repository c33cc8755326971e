"""From a model's files to something that pools windows: our packed BERT, or any encoder of transformers."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, Protocol

from evalsvc.engine import bert
from evalsvc.engine.device import Placement
from evalsvc.engine.models import ModelFiles
from evalsvc.errors import EngineError, MissingExtra

if TYPE_CHECKING:
    import torch


class Pooler(Protocol):
    """Computes the mean of the last hidden states of windows of token ids."""

    @property
    def width(self) -> int:
        """The size of an embedding."""
        ...

    def pool(self, windows: Sequence[Sequence[int]]) -> tuple[torch.Tensor, int]:
        """Return float32 ``[n, width]``, not normalised, and the token slots computed, padding included."""
        ...


def load_pooler(files: ModelFiles, placement: Placement) -> Pooler:
    """Load the weights and return the fastest implementation that computes this architecture.

    Raises:
        MissingExtra: without safetensors, or without transformers where the architecture needs it.
        EngineError: when pooling is not the mean, or the weights are not what the configuration describes.
    """
    _require_mean_pooling(files)
    config = files.read_json("config.json")
    if not bert.supports(config):
        return TransformersPooler(files, placement)
    try:
        from safetensors.torch import load_file
    except ImportError as error:
        raise MissingExtra("safetensors", "torch") from error
    try:
        weights = load_file(str(files.folder / "model.safetensors"))
        return bert.PackedBert(config, weights, placement.device, placement.torch_dtype)
    except KeyError as error:
        raise EngineError(f"Model {files.name!r} lacks {error} that its config.json promises") from error


class TransformersPooler:
    """Any encoder that ``transformers.AutoModel`` loads, padded within a batch, fused attention."""

    def __init__(self, files: ModelFiles, placement: Placement) -> None:
        try:
            from transformers import AutoModel
        except ImportError as error:
            raise MissingExtra("transformers", "torch") from error
        try:
            self._model: Any = AutoModel.from_pretrained(
                str(files.folder),
                dtype=placement.torch_dtype,
                local_files_only=True,
                use_safetensors=True,
                trust_remote_code=False,
            )
        except (OSError, ValueError, KeyError) as error:
            raise EngineError(f"Model {files.name!r} cannot be loaded: {error}") from error
        self._model.to(placement.device).eval()
        self._device = placement.device

    @property
    def width(self) -> int:
        """The size of an embedding."""
        return int(self._model.config.hidden_size)

    def pool(self, windows: Sequence[Sequence[int]]) -> tuple[torch.Tensor, int]:
        """Return float32 ``[n, width]``, not normalised, and the token slots computed, padding included."""
        import torch

        sizes = torch.tensor([len(window) for window in windows])
        rows = [torch.tensor(window) for window in windows]
        ids = torch.nn.utils.rnn.pad_sequence(rows, batch_first=True)
        mask = (torch.arange(ids.shape[1])[None] < sizes[:, None]).long().to(self._device)
        hidden = self._model(input_ids=ids.to(self._device), attention_mask=mask).last_hidden_state.float()
        pooled: torch.Tensor = (hidden * mask[..., None]).sum(1) / mask.sum(1, keepdim=True)
        return pooled, ids.numel()


def _require_mean_pooling(files: ModelFiles) -> None:
    pooling = files.read_json("1_Pooling/config.json")
    named = pooling.get("pooling_mode", "mean")
    others = [name for name, on in pooling.items() if on is True and name.startswith("pooling_mode_")]
    if named != "mean" or others not in ([], ["pooling_mode_mean_tokens"]):
        raise EngineError(
            f"Expected model {files.name!r} to pool by the mean of its tokens, but "
            f"1_Pooling/config.json says {others or named}; choose a model that pools by the mean"
        )
