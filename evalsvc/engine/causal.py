"""Causal language models: how likely a text is, token by token, after another or after nothing."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import islice
from typing import TYPE_CHECKING, ClassVar, NamedTuple

import numpy as np

from evalsvc.engine.overlap import overlapped
from evalsvc.engine.runner import ItemFailure
from evalsvc.engine.settings import EngineSettings
from evalsvc.engine.tokens import TooLong, Unreadable
from evalsvc.engine.transformer import Input, Loaded, Row, Transformer, first_id
from evalsvc.errors import EngineError

if TYPE_CHECKING:
    import torch
    from tokenizers import Encoding


class Likelihood(NamedTuple):
    """The negative log-likelihood of a text in nats, summed over its tokens, and from how many windows."""

    nats: float
    tokens: int
    windows: int


class CausalModel(Transformer):
    """A model that predicts each token from those before it.

    Every window begins with the model's start token (its ``bos``, else its ``eos``), so that the first token of a
    text has a probability, and so that models which were trained to see that token first always do.
    """

    auto_class: ClassVar[str] = "AutoModelForCausalLM"
    arguments: ClassVar[dict[str, object]] = {"use_cache": False}

    def __init__(self, loaded: Loaded, settings: EngineSettings) -> None:
        super().__init__(loaded, settings)
        self.max_windows = settings.max_windows
        names, config = loaded.names, loaded.model.config
        start = first_id(names.bos_token_id, config.bos_token_id, names.eos_token_id, config.eos_token_id)
        if start is None:
            raise EngineError(f"Model {self.files.name!r} states neither a bos nor an eos token to begin a text with")
        if start >= loaded.model.get_input_embeddings().num_embeddings:
            raise EngineError(f"Model {self.files.name!r} states token {start} to begin a text with, and has no such")
        if self.window < 2:
            raise EngineError(f"Expected `window` >= 2, one token and the start token, but got {self.window}")
        self.start = start
        self._require_causal()

    def likelihoods(
        self, pairs: Sequence[tuple[str, str]], stride: int | None = None
    ) -> list[Likelihood | TooLong | ItemFailure]:
        """Return the likelihood of the second text of each pair after the first, in order; raises for no text.

        Both texts are cut into tokens on their own, so that a text has the same tokens whatever stands before it.
        Where they do not fit into the window, it moves on by ``stride`` tokens; each token counts once, in the
        first window that holds it, after at least ``window - 1 - stride`` tokens before it.

        Args:
            pairs: what comes before (may be empty), and the text itself.
            stride: tokens that a window adds, at least 1 and below the window; ``None`` is half of the window.

        Raises:
            EngineError: when the stride is outside its bounds.
        """
        size = self.window - 1
        step = self.stride(stride)

        def plans(part: Sequence[tuple[str, str]]) -> list[list[Input] | TooLong | ItemFailure]:
            encodings = self.encodings([text for pair in part for text in pair])
            both = zip(encodings[::2], encodings[1::2], strict=True)
            return [self._plan(before, text, size, step) for before, text in both]

        return overlapped(self.parts(pairs), plans, self._likelihoods)

    def _likelihoods(
        self, planned: list[list[Input] | TooLong | ItemFailure]
    ) -> list[Likelihood | TooLong | ItemFailure]:
        rows = iter(self.rows([item for plan in planned if isinstance(plan, list) for item in plan]))
        return [_sum(list(islice(rows, len(plan)))) if isinstance(plan, list) else plan for plan in planned]

    def stride(self, asked: int | None) -> int:
        """Return how many tokens a window adds.

        Raises:
            EngineError: when more are asked for than a window holds.
        """
        size = self.window - 1
        step = asked if asked is not None else max(size // 2, 1)
        if not 1 <= step <= size:
            raise EngineError(f"Expected `stride` in [1, {size}] for model {self.files.name!r}, but got {step}")
        return step

    def read(self, logits: torch.Tensor, batch: Sequence[Input]) -> list[Row]:
        """Return the negative log-probability of each wanted token, ``[stop - start]`` in nats."""
        import torch

        losses = []
        counts = [item.stop - item.start for item in batch]
        # All targets in one transfer: each waits for what the device still computes.
        targets = torch.tensor([token for item in batch for token in item.ids[item.start : item.stop]])
        parts = torch.split(targets.to(logits.device), counts)
        for scores, item, target in zip(logits, batch, parts, strict=True):
            # One sequence at a time: a float32 copy of all logits can be larger than the model.
            wanted = torch.log_softmax(scores[item.start - 1 : item.stop - 1].float(), dim=-1)
            losses.append(-wanted.gather(1, target[:, None])[:, 0])
        values: Row = torch.cat(losses).cpu().numpy()
        return list(np.split(values, np.cumsum(counts)[:-1]))

    def _plan(
        self, before: Encoding | Unreadable, text: Encoding | Unreadable, size: int, step: int
    ) -> list[Input] | TooLong | ItemFailure:
        if isinstance(before, Unreadable):
            return ItemFailure(before.reason)
        if isinstance(text, Unreadable):
            return ItemFailure(text.reason)
        ids = [*before.ids, *text.ids]
        windows = strided_windows(len(before.ids), len(ids), size, step)
        if len(windows) > self.max_windows:
            return TooLong(f"text of {len(text.ids)} tokens needs {len(windows)} windows, more than {self.max_windows}")
        return [
            Input((self.start, *ids[begin:end]), (), 1 + scored - begin, 1 + end - begin)
            for begin, scored, end in windows
        ]

    def _require_causal(self) -> None:
        """Refuse a model that sees what comes: the first token's prediction must not know the second."""
        import torch

        batch = [Input((self.start, second), (), 1, 2) for second in (0, 1)]
        with torch.inference_mode():
            one, two = self.forward(batch)[:, 0].float()
        if float((one - two).abs().max()) > 1e-3 * float(one.abs().max()):
            raise EngineError(
                f"Model {self.files.name!r} is not causal: what it predicts depends on what comes after; "
                "choose a model that was trained to continue texts"
            )


def strided_windows(first: int, stop: int, size: int, stride: int) -> list[tuple[int, int, int]]:
    """Return ``(begin, scored, end)`` of windows of at most ``size`` tokens that score ``[first, stop)`` once each.

    A window holds ``[begin, end)`` and scores ``[scored, end)``. The first is as full as can be, those after it
    score ``stride`` tokens each, the last what is left.

    >>> strided_windows(0, 10, size=4, stride=3)
    [(0, 0, 4), (3, 4, 7), (6, 7, 10)]
    >>> strided_windows(6, 8, size=4, stride=2)
    [(4, 6, 8)]
    >>> strided_windows(3, 3, size=4, stride=2)
    []
    """
    windows = []
    scored = first
    while scored < stop:
        end = min(max(scored + stride, size), stop)
        windows.append((max(end - size, 0), scored, end))
        scored = end
    return windows


def _sum(rows: Sequence[Row | ItemFailure]) -> Likelihood | ItemFailure:
    nats = 0.0
    tokens = 0
    for row in rows:
        if isinstance(row, ItemFailure):
            return row
        nats += float(row.sum(dtype=np.float64))
        tokens += len(row)
    return Likelihood(nats, tokens, len(rows))
