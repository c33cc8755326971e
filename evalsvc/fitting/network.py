"""The trunk with low-rank matrices beside its own, to be fitted; :mod:`evalsvc.engine.bert` runs what comes of it."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn
from torch.nn import functional


class Batch(NamedTuple):
    """Sequences padded at their ends: ``[sequences, longest]`` each."""

    ids: torch.Tensor
    types: torch.Tensor
    marks: torch.Tensor | None
    real: torch.Tensor
    """Which tokens are none of the padding."""


class LowRank(nn.Module):
    """A frozen linear map ``[in] -> [out]`` with a product of two thin matrices beside it, at first zero."""

    def __init__(self, weight: torch.Tensor, bias: torch.Tensor, rank: int) -> None:
        super().__init__()
        self.register_buffer("weight", weight, persistent=False)
        self.register_buffer("bias", bias, persistent=False)
        self.down = nn.Parameter(torch.randn(rank, weight.shape[1]) / math.sqrt(weight.shape[1]))
        self.up = nn.Parameter(torch.zeros(weight.shape[0], rank))

    def forward(self, given: torch.Tensor) -> torch.Tensor:
        """Return the map of ``[..., in]``."""
        frozen = functional.linear(given, self.get_buffer("weight"), self.get_buffer("bias"))
        return frozen + functional.linear(functional.linear(given, self.down), self.up)


class Layer(nn.Module):
    """One layer of the encoder."""

    def __init__(self, weights: Mapping[str, torch.Tensor], stem: str, rank: int, heads: int, epsilon: float) -> None:
        super().__init__()
        self._heads = heads
        names = {"attention_output": "attention.output.dense", "intermediate": "intermediate.dense"}
        three = [f"{stem}.attention.self.{name}" for name in ("query", "key", "value")]
        joined = [torch.cat([weights[f"{name}.{kind}"] for name in three]) for kind in ("weight", "bias")]
        self.qkv = LowRank(joined[0], joined[1], rank)
        for part, name in {**names, "output": "output.dense"}.items():
            self.add_module(part, LowRank(weights[f"{stem}.{name}.weight"], weights[f"{stem}.{name}.bias"], rank))
        self.attention_norm = norm(weights, f"{stem}.attention.output.LayerNorm", epsilon)
        self.output_norm = norm(weights, f"{stem}.output.LayerNorm", epsilon)

    def forward(self, hidden: torch.Tensor, mask: torch.Tensor | None, dropout: float) -> torch.Tensor:
        """Return the next hidden states, ``[sequences, longest, width]``."""
        count, length, width = hidden.shape
        heads = self.qkv(hidden).view(count, length, 3, self._heads, width // self._heads).permute(2, 0, 3, 1, 4)
        seen = functional.scaled_dot_product_attention(heads[0], heads[1], heads[2], attn_mask=mask)
        mixed = self.get_submodule("attention_output")(seen.transpose(1, 2).reshape(count, length, width))
        hidden = self.attention_norm(hidden + functional.dropout(mixed, dropout, self.training))
        wide = functional.gelu(self.get_submodule("intermediate")(hidden))
        narrow = self.get_submodule("output")(wide)
        normed: torch.Tensor = self.output_norm(hidden + functional.dropout(narrow, dropout, self.training))
        return normed


class Trunk(nn.Module):
    """A BERT encoder of which low-rank changes, norms, types and marks are learnt.

    Args:
        weights: the encoder's own, under the names of transformers without ``bert.``.
        config: its ``config.json``.
        rank: of each change.
        marks: how many marks tokens can carry; 0 for none.
        dropout: in training, of embeddings and of what is added to the hidden states.
        layers: how many are run, from the first; all without.
    """

    def __init__(
        self,
        weights: Mapping[str, torch.Tensor],
        config: Mapping[str, Any],
        rank: int,
        marks: int,
        dropout: float,
        layers: int | None = None,
    ) -> None:
        super().__init__()
        width, epsilon = int(config["hidden_size"]), float(config.get("layer_norm_eps", 1e-12))
        self._dropout = dropout
        self.register_buffer("words", weights["embeddings.word_embeddings.weight"], persistent=False)
        self.register_buffer("positions", weights["embeddings.position_embeddings.weight"], persistent=False)
        self.types = nn.Parameter(weights["embeddings.token_type_embeddings.weight"].clone())
        self.marks = nn.Parameter(torch.zeros(marks, width)) if marks else None
        self.embedding_norm = norm(weights, "embeddings.LayerNorm", epsilon)
        heads = int(config["num_attention_heads"])
        layers = int(config["num_hidden_layers"]) if layers is None else layers
        stems = [f"encoder.layer.{index}" for index in range(layers)]
        self.layer = nn.ModuleList([Layer(weights, stem, rank, heads, epsilon) for stem in stems])

    def forward(self, batch: Batch) -> torch.Tensor:
        """Return the last hidden states ``[sequences, longest, width]``; those of padding mean nothing."""
        places = self.get_buffer("positions")[: batch.ids.shape[1]]
        hidden = functional.embedding(batch.ids, self.get_buffer("words")) + places
        hidden = hidden + functional.embedding(batch.types, self.types)
        if self.marks is not None and batch.marks is not None:
            hidden = hidden + functional.embedding(batch.marks, self.marks)
        hidden = functional.dropout(self.embedding_norm(hidden), self._dropout, self.training)
        mask = None if bool(batch.real.all()) else batch.real[:, None, None]
        for layer in self.layer:
            hidden = layer(hidden, mask, self._dropout)
        return hidden

    @torch.no_grad()
    def keep(self, share: float) -> None:
        """Keep this share of what was learnt of the matrices; norms, marks and types stay as they are."""
        for part in self.layer.modules():
            if isinstance(part, LowRank):
                part.up.mul_(share)

    def tensors(self) -> dict[str, torch.Tensor]:
        """Return what is learnt, under the names of :class:`evalsvc.detection.adapter.Adapter`."""
        return {name: tensor.detach().cpu() for name, tensor in self.state_dict().items()}


def padded(rows: Sequence[NDArray[np.int32]], device: str) -> Batch:
    """Return a batch of sequences of ids, types and marks, ``[3, tokens]`` each."""
    longest = max(row.shape[1] for row in rows)
    columns = torch.zeros(3, len(rows), longest, dtype=torch.long)
    sizes = torch.tensor([row.shape[1] for row in rows])
    for place, row in enumerate(rows):
        columns[:, place, : row.shape[1]] = torch.from_numpy(row)
    ids, types, marks = columns.to(device)
    return Batch(ids, types, marks, (torch.arange(longest)[None] < sizes[:, None]).to(device))


def norm(weights: Mapping[str, torch.Tensor], name: str, epsilon: float) -> nn.LayerNorm:
    """Return a norm with the trunk's weights, to be learnt further."""
    made = nn.LayerNorm(len(weights[f"{name}.weight"]), eps=epsilon)
    made.load_state_dict({kind: weights[f"{name}.{kind}"].clone() for kind in ("weight", "bias")})
    return made
