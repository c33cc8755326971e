"""BERT's forward pass without padding: all sequences of a batch lie end to end in one matrix.

Nine tenths of a small encoder's work are products of single tokens with weights, for which it does not matter
which sequence a token is in; only attention looks at sequences. So the products run over real tokens alone,
in two large matrix products where query, key and value are one, and attention runs by groups of equal
length (on a CPU) or padded with a mask (on a GPU, where many small calls cost more than padding).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from itertools import chain, groupby
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    import torch

    Attention = Callable[[torch.Tensor], torch.Tensor]

Rows = Sequence[Sequence[int]]
"""One list of whole numbers a window, one number a token."""


class Layer(NamedTuple):
    """The weights of one layer: ``[out, in]`` matrices with their ``[out]`` biases."""

    qkv: tuple[torch.Tensor, torch.Tensor]
    attention_output: tuple[torch.Tensor, torch.Tensor]
    attention_norm: tuple[torch.Tensor, torch.Tensor]
    intermediate: tuple[torch.Tensor, torch.Tensor]
    output: tuple[torch.Tensor, torch.Tensor]
    output_norm: tuple[torch.Tensor, torch.Tensor]


def supports(config: Mapping[str, Any]) -> bool:
    """Return whether a ``config.json`` describes an encoder that :class:`PackedBert` computes."""
    absolute = config.get("position_embedding_type", "absolute") == "absolute"
    encoder = not config.get("is_decoder", False)
    return config.get("model_type") == "bert" and config.get("hidden_act") == "gelu" and absolute and encoder


class PackedBert:
    """A BERT encoder over packed sequences; the same values as transformers' ``BertModel`` up to rounding."""

    def __init__(
        self, config: Mapping[str, Any], weights: Mapping[str, torch.Tensor], device: str, dtype: torch.dtype
    ) -> None:
        self._heads = int(config["num_attention_heads"])
        self._width = int(config["hidden_size"])
        self._epsilon = float(config.get("layer_norm_eps", 1e-12))
        self._padded = device != "cpu"
        self._device = device
        stem = "bert." if "bert.embeddings.word_embeddings.weight" in weights else ""
        self._weights = {
            name.removeprefix(stem): tensor.to(device=device, dtype=dtype)
            for name, tensor in weights.items()
            if tensor.is_floating_point()
        }
        self._words = self._weights["embeddings.word_embeddings.weight"]
        # Most texts are segment 0 alone, so its type embedding is added to the positions once.
        types = self._weights["embeddings.token_type_embeddings.weight"]
        self._positions = self._weights["embeddings.position_embeddings.weight"] + types[0]
        self._types = types - types[0]
        self._marks = self._weights.get("embeddings.marks.weight")
        self._norm = self._pair("embeddings.LayerNorm")
        self._layers = [self._layer(f"encoder.layer.{index}") for index in range(int(config["num_hidden_layers"]))]
        del self._weights

    @property
    def width(self) -> int:
        """The size of an embedding."""
        return self._width

    def pool(self, windows: Sequence[Sequence[int]]) -> tuple[torch.Tensor, int]:
        """Return the mean of each window's last hidden states and how many token slots were computed.

        Args:
            windows: token ids, neighbours of equal length being one attention call on a CPU.

        Returns:
            float32 ``[n, width]`` on the device, not normalised; and the slots, padding included.
        """
        import torch

        hidden, sizes, slots = self._states(windows)
        return torch.segment_reduce(hidden, "mean", lengths=sizes, unsafe=True), slots

    def hidden(
        self, windows: Sequence[Sequence[int]], types: Rows | None = None, marks: Rows | None = None
    ) -> tuple[torch.Tensor, int]:
        """Return the last hidden states of all tokens and how many token slots were computed.

        Args:
            windows: token ids, neighbours of equal length being one attention call on a CPU.
            types: the segment of each token, 0 where not given.
            marks: the row of ``embeddings.marks.weight`` that is added to each token's embedding.

        Returns:
            float32 ``[tokens, width]`` on the device, the windows end to end; and the slots, padding included.
        """
        hidden, _, slots = self._states(windows, types, marks)
        return hidden, slots

    def _states(
        self, windows: Rows, types: Rows | None = None, marks: Rows | None = None
    ) -> tuple[torch.Tensor, torch.Tensor, int]:
        import torch
        from torch.nn import functional

        lengths = [len(window) for window in windows]
        ids = self._flat(windows, sum(lengths))
        sizes = self._on_device(np.array(lengths, dtype=np.int64))
        starts = torch.repeat_interleave(sizes.cumsum(0) - sizes, sizes, output_size=ids.numel())
        places = torch.arange(ids.numel(), device=ids.device) - starts
        hidden = functional.embedding(ids, self._words) + functional.embedding(places, self._positions)
        if types is not None:
            hidden += functional.embedding(self._flat(types, ids.numel()), self._types)
        if marks is not None:
            if self._marks is None:
                raise ValueError("marks were given, but the weights have no embeddings.marks.weight")
            hidden += functional.embedding(self._flat(marks, ids.numel()), self._marks)
        hidden = functional.layer_norm(hidden, (self._width,), *self._norm, self._epsilon)
        if self._padded:
            attention = self._masked_attention(sizes, max(lengths), places)
        else:
            attention = self._grouped_attention(lengths)
        for layer in self._layers:
            hidden = self._forward(hidden, layer, attention)
        return hidden.float(), sizes, (max(lengths) * len(lengths) if self._padded else sum(lengths))

    def _flat(self, rows: Rows, count: int) -> torch.Tensor:
        # A list of all tokens, and torch's own reading of lists, take as long as a GPU takes for a small model.
        return self._on_device(np.fromiter(chain.from_iterable(rows), dtype=np.int64, count=count))

    def _forward(self, hidden: torch.Tensor, layer: Layer, attention: Attention) -> torch.Tensor:
        import torch
        from torch.nn import functional

        shape = (self._width,)
        mixed = attention(functional.linear(hidden, *layer.qkv))
        mixed = functional.linear(mixed, *layer.attention_output).add_(hidden)
        hidden = functional.layer_norm(mixed, shape, *layer.attention_norm, self._epsilon)
        # In place: fresh pages for the widest matrix cost as much as the function itself.
        wide = torch.ops.aten.gelu_(functional.linear(hidden, *layer.intermediate))
        narrow = functional.linear(wide, *layer.output).add_(hidden)
        return functional.layer_norm(narrow, shape, *layer.output_norm, self._epsilon)

    def _grouped_attention(self, lengths: Sequence[int]) -> Attention:
        import torch
        from torch.nn import functional

        groups = [(length, len(list(same))) for length, same in groupby(lengths)]
        depth = self._width // self._heads

        def attend(qkv: torch.Tensor) -> torch.Tensor:
            mixed = torch.empty(qkv.shape[0], self._width, dtype=qkv.dtype)
            start = 0
            for length, count in groups:
                part = slice(start, start + length * count)
                heads = qkv[part].view(count, length, 3, self._heads, depth).permute(2, 0, 3, 1, 4)
                seen = functional.scaled_dot_product_attention(heads[0], heads[1], heads[2])
                mixed[part].view(count, length, self._heads, depth).copy_(seen.transpose(1, 2))
                start = part.stop
            return mixed

        return attend

    def _masked_attention(self, sizes: torch.Tensor, longest: int, places: torch.Tensor) -> Attention:
        import torch
        from torch.nn import functional

        count = len(sizes)
        rows = torch.repeat_interleave(torch.arange(count, device=self._device), sizes, output_size=places.numel())
        slots = rows * longest + places
        mask = (torch.arange(longest, device=self._device)[None] < sizes[:, None])[:, None, None]
        depth = self._width // self._heads

        def attend(qkv: torch.Tensor) -> torch.Tensor:
            padded = qkv.new_zeros(count * longest, qkv.shape[1]).index_copy_(0, slots, qkv)
            heads = padded.view(count, longest, 3, self._heads, depth).permute(2, 0, 3, 1, 4)
            seen = functional.scaled_dot_product_attention(heads[0], heads[1], heads[2], attn_mask=mask)
            return seen.transpose(1, 2).reshape(count * longest, self._width).index_select(0, slots)

        return attend

    def _on_device(self, values: NDArray[np.int64]) -> torch.Tensor:
        import torch

        tensor = torch.from_numpy(values)
        return tensor.pin_memory().to(self._device, non_blocking=True) if self._padded else tensor

    def _pair(self, name: str) -> tuple[torch.Tensor, torch.Tensor]:
        return self._weights[f"{name}.weight"], self._weights[f"{name}.bias"]

    def _layer(self, name: str) -> Layer:
        import torch

        parts = [self._pair(f"{name}.attention.self.{part}") for part in ("query", "key", "value")]
        return Layer(
            qkv=(torch.cat([weight for weight, _ in parts]), torch.cat([bias for _, bias in parts])),
            attention_output=self._pair(f"{name}.attention.output.dense"),
            attention_norm=self._pair(f"{name}.attention.output.LayerNorm"),
            intermediate=self._pair(f"{name}.intermediate.dense"),
            output=self._pair(f"{name}.output.dense"),
            output_norm=self._pair(f"{name}.output.LayerNorm"),
        )
