"""From the last hidden states of a response to logits: one formula for reading and for fitting."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    import torch

    Linear = tuple[torch.Tensor, torch.Tensor]

_SHARPNESS = 2.0


class PairHeads(NamedTuple):
    """Weights ``[2, width]`` and biases ``[2]`` of the answer of a token, and of a sentence's mean."""

    token: Linear
    mean: Linear


def token_logits(hidden: torch.Tensor, heads: PairHeads) -> torch.Tensor:
    """Return ``[tokens, 2]``, *contradicted* and *not mentioned* against 0 for *supported*."""
    from torch.nn import functional

    return functional.linear(hidden, *heads.token)


def sentence_logits(hidden: torch.Tensor, tokens: torch.Tensor, heads: PairHeads) -> torch.Tensor:
    """Return a sentence's ``[3]`` logits, *supported* being 0, from its tokens' states and logits.

    The others are a soft maximum over the tokens, so that one wrong number is enough, lowered for long sentences by a
    quarter of the logarithm of their length, and a linear term of the mean state.
    """
    import torch
    from torch.nn import functional

    greatest = torch.logsumexp(_SHARPNESS * tokens, 0) / _SHARPNESS - math.log(len(tokens)) / (2 * _SHARPNESS)
    own = greatest + functional.linear(hidden.mean(0), *heads.mean)
    return torch.cat([own.new_zeros(1), own])


def unsupported(tokens: torch.Tensor) -> torch.Tensor:
    """Return each token's logit of being unsupported, of either kind: ``[tokens]``."""
    import torch

    return torch.logsumexp(tokens, 1)
