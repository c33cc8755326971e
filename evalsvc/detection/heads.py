"""From the states of tokens to what a detector of pairs says of tokens and of sentences; for training too.

A small encoder has to be told where to look. So what its heads read of a token is not its last hidden state alone, but
also its mark, and how far the state is from the nearest of the contexts: what is said in other words has a near one,
what is made up has none. All by one linear map, so that a number that is nowhere can count however near it is.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, NamedTuple

from evalsvc.detection.marks import MARKS

if TYPE_CHECKING:
    import torch

BESIDE = 2 * MARKS
"""How many features a token has beside its hidden state."""
_FAR = 4.0
_FEW = 4
"""Up to how many windows are looked at one by one on any device."""


class Bounds(NamedTuple):
    """Where a window begins among packed tokens, and which of them, ``[first, stop)``, are the response's."""

    start: int
    first: int
    stop: int


class PairHeads(NamedTuple):
    """The weights ``[2, features]`` and biases ``[2]`` of *contradicted* and *not mentioned*: a token's, a mean's."""

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


def features(hidden: torch.Tensor, marks: torch.Tensor, windows: Sequence[Bounds]) -> torch.Tensor:
    """Return what the heads read of each token, ``[tokens, width + BESIDE]``; gradients flow through it.

    Beside the hidden state: which mark the token has, as ``[MARKS]`` zeros and a one, and the same times the token's
    distance, four times one minus the greatest cosine with a token of the contexts in its window: 0 to 8, and 4 (a
    cosine of 0) where the window has none. Tokens of no response have none of the latter.

    Args:
        hidden: ``[tokens, width]`` of all windows, end to end.
        marks: int64 ``[tokens]``.
        windows: of which the contexts are the tokens between the first and the separator.
    """
    import torch
    from torch.nn import functional

    told = functional.one_hot(marks, MARKS).to(hidden.dtype)
    units = functional.normalize(hidden, dim=1)
    # On a GPU many small products cost more than padding; on a CPU it is the other way round.
    together = hidden.device.type != "cpu" and len(windows) > _FEW
    distance = _distances_padded(units, windows) if together else _distances_each(units, windows)
    return torch.cat([hidden, told, told * distance[:, None]], 1)


def _distances_each(units: torch.Tensor, windows: Sequence[Bounds]) -> torch.Tensor:
    """Return the distance of each token, ``[tokens]``, window by window."""
    import torch

    distances = []
    done = 0
    for start, first, stop in windows:
        contexts = units[start + 1 : first - 1]
        nearest = (units[first:stop] @ contexts.T).amax(1) if len(contexts) else units.new_zeros(stop - first)
        distances += [units.new_zeros(first - done), _FAR * (1.0 - nearest)]
        done = stop
    return torch.cat([*distances, units.new_zeros(len(units) - done)])


def _distances_padded(units: torch.Tensor, windows: Sequence[Bounds]) -> torch.Tensor:
    """Return the distance of each token, ``[tokens]``, by one product of all windows; places are found on the CPU."""
    import torch

    start, first, stop = torch.tensor([list(window) for window in windows]).unbind(1)
    own, beside = stop - first, first - start - 2
    columns, rows = torch.arange(max(int(beside.max()), 1)), torch.arange(int(own.max()))
    last = len(units) - 1
    responses = (first[:, None] + rows).clamp(max=last)
    contexts = (start[:, None] + 1 + columns).clamp(max=last)
    real = rows < own[:, None]
    places = real.flatten().nonzero()[:, 0]
    targets = responses.flatten()[places]
    away = units.device
    cosines = units[responses.to(away)] @ units[contexts.to(away)].transpose(1, 2)
    cosines = cosines.masked_fill((columns >= beside[:, None]).to(away)[:, None], -_FAR)
    nearest = cosines.amax(2).masked_fill((beside < 1).to(away)[:, None], 0.0)
    found = _FAR * (1.0 - nearest.flatten()[places.to(away)])
    return units.new_zeros(len(units)).index_copy(0, targets.to(away), found)


def pair_logits(features: torch.Tensor, starts: torch.Tensor, sizes: torch.Tensor, heads: PairHeads) -> PairLogits:
    """Return the logits of all tokens and of some pieces of sentences; gradients flow through it.

    A piece of n tokens with logits t and mean m of features has, for k of *contradicted* and *not mentioned*::

        s_k = 0.5 * logsumexp(2 * t_k) - 0.25 * log(n) + m · w_k + b_k

    beside 0 for *supported*: about the greatest of its tokens, less what a longer piece has by chance.

    Args:
        features: ``[tokens, width + BESIDE]`` of all windows, end to end.
        starts: int64 ``[pieces]``, the place of each piece's first token.
        sizes: int64 ``[pieces]``, how many tokens it has, at least 1.
        heads: of the same dtype and device as ``features``.
    """
    import torch
    from torch.nn import functional

    tokens = functional.linear(features, heads.token_weight, heads.token_bias)
    count = int(sizes.sum())
    own = torch.repeat_interleave(torch.arange(len(sizes), device=sizes.device), sizes, output_size=count)
    rows = torch.arange(count, device=sizes.device) + (starts - (sizes.cumsum(0) - sizes))[own]
    twice = 2.0 * tokens[rows]
    top = torch.segment_reduce(twice.detach(), "max", lengths=sizes, unsafe=True)
    total = torch.segment_reduce((twice - top[own]).exp(), "sum", lengths=sizes, unsafe=True)
    means = torch.segment_reduce(features[rows], "mean", lengths=sizes, unsafe=True)
    soft = 0.5 * (top + total.log()) - 0.25 * sizes.to(features.dtype).log()[:, None]
    found = soft + functional.linear(means, heads.mean_weight, heads.mean_bias)
    return PairLogits(tokens, functional.pad(found, (1, 0)))


def response_logit(sentences: torch.Tensor) -> torch.Tensor:
    """Return the logit of a response that it has anything unsupported, of its pieces' logits ``[pieces, 3]``.

    With s of a piece the logit of its being contradicted or not mentioned beside supported::

        r = 0.5 * logsumexp(2 * s)

    A soft maximum, the length of the vector of odds: of one piece it is that piece's own, and several doubtful ones
    count more than one.
    """
    import torch

    return 0.5 * torch.logsumexp(2.0 * torch.logsumexp(sentences[:, 1:], 1), 0)


def by_words(logit: float, words: int, unfound: int) -> float:
    """Return a logit with the words of a response counted: its odds are multiplied by ``(1 + unfound) / sqrt(words)``.

    The plain count of words that are nowhere is right where what was learnt is wrong, and the length keeps a long
    answer from being suspect for being long. It is no part of the loss, which would learn to undo it on rows that are
    made of the contexts' own words.
    """
    return logit + math.log1p(unfound) - 0.5 * math.log(max(1, words))


def token_unsupported(tokens: torch.Tensor) -> torch.Tensor:
    """Return the probability of each token that it is contradicted or not mentioned, ``[tokens]`` of their logits."""
    import torch

    return torch.sigmoid(torch.logsumexp(tokens, dim=-1))
