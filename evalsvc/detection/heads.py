"""From the states of tokens to what a detector of pairs says of tokens and of sentences; for training too."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    import torch


class PairHeads(NamedTuple):
    """The weights ``[2, width]`` and biases ``[2]`` of *contradicted* and *not mentioned*: a token's, a mean's."""

    token_weight: torch.Tensor
    token_bias: torch.Tensor
    mean_weight: torch.Tensor
    mean_bias: torch.Tensor

    @classmethod
    def of(cls, tensors: Mapping[str, torch.Tensor]) -> PairHeads:
        """Return the heads among a detector's tensors.

        Raises:
            KeyError: when one is missing.
        """
        return cls(*(tensors[f"head.{name}"] for name in ("token.weight", "token.bias", "mean.weight", "mean.bias")))


class PairLogits(NamedTuple):
    """Logits: ``tokens`` ``[tokens, 2]``, and ``sentences`` ``[pieces, 3]``: supported, contradicted, not mentioned."""

    tokens: torch.Tensor
    sentences: torch.Tensor


def pair_logits(hidden: torch.Tensor, starts: torch.Tensor, sizes: torch.Tensor, heads: PairHeads) -> PairLogits:
    """Return the logits of all tokens and of some pieces of sentences; gradients flow through it.

    A piece of n tokens with logits t and mean state m has, for k of *contradicted* and *not mentioned*::

        s_k = 0.5 * logsumexp(2 * t_k) - 0.25 * log(n) + m · w_k + b_k

    beside 0 for *supported*: about the greatest of its tokens, less what a longer piece has by chance.

    Args:
        hidden: ``[tokens, width]`` of all windows, end to end.
        starts: int64 ``[pieces]``, the place of each piece's first token.
        sizes: int64 ``[pieces]``, how many tokens it has, at least 1.
        heads: of the same dtype and device as ``hidden``.
    """
    import torch
    from torch.nn import functional

    tokens = functional.linear(hidden, heads.token_weight, heads.token_bias)
    count = int(sizes.sum())
    own = torch.repeat_interleave(torch.arange(len(sizes), device=sizes.device), sizes, output_size=count)
    rows = torch.arange(count, device=sizes.device) + (starts - (sizes.cumsum(0) - sizes))[own]
    twice = 2.0 * tokens[rows]
    top = torch.segment_reduce(twice.detach(), "max", lengths=sizes, unsafe=True)
    total = torch.segment_reduce((twice - top[own]).exp(), "sum", lengths=sizes, unsafe=True)
    means = torch.segment_reduce(hidden[rows], "mean", lengths=sizes, unsafe=True)
    soft = 0.5 * (top + total.log()) - 0.25 * sizes.to(hidden.dtype).log()[:, None]
    found = soft + functional.linear(means, heads.mean_weight, heads.mean_bias)
    return PairLogits(tokens, functional.pad(found, (1, 0)))


def token_unsupported(tokens: torch.Tensor) -> torch.Tensor:
    """Return the probability of each token that it is contradicted or not mentioned, ``[tokens]`` of their logits."""
    import torch

    return torch.sigmoid(torch.logsumexp(tokens, dim=-1))
