"""Perplexity and bits per byte: how surprising the response is to a causal language model."""

from __future__ import annotations

import math
from abc import abstractmethod
from collections.abc import Sequence
from typing import ClassVar

from evalsvc.engine import CausalModel, Likelihood
from evalsvc.engine.overlap import CHARACTERS_PER_TOKEN
from evalsvc.engine.runner import ItemFailure
from evalsvc.engine.settings import DeviceName, DtypeName
from evalsvc.engine.tokens import TooLong
from evalsvc.errors import InputError
from evalsvc.scorers._model import ModelScorer, model_settings, one_of
from evalsvc.types import Abstained, Failed, Need, Outcome, Sample, Scale, Scored, ScorerSpec

GIVEN = ("none", "prompt")
JOIN = "\n"


class _LikelihoodScorer(ModelScorer[CausalModel]):
    """A number from the response's negative log-likelihood; both metrics of one model share its forward passes.

    Args:
        model: a causal model: a local folder, or a hub name with a ``revision``. Required.
        revision: hub commit, or SHA-256 of local weights.
        given: ``none``, or ``prompt``: the response after the prompt's text and a line break.
        stride: tokens that a window adds where the text is longer than one; half of the window without it.
        max_windows: a text of more windows abstains.
        window: tokens of a window, the start token included; without it the model's own, at most 4,096.
        device: ``auto``, ``cpu``, ``cuda`` or ``cuda:N``.
        dtype: ``auto``, ``float32``, ``bfloat16`` or ``float16``.
        max_batch_tokens: token budget of a batch on the device.
    """

    metric: ClassVar[str]

    def __init__(
        self,
        model: str | None = None,
        revision: str | None = None,
        given: str = "none",
        stride: int | None = None,
        max_windows: int = 64,
        window: int | None = None,
        device: DeviceName = "auto",
        dtype: DtypeName = "auto",
        max_batch_tokens: int | None = None,
    ) -> None:
        settings = model_settings(
            self.metric, model, revision=revision, window=window, max_windows=max_windows,
            device=device, dtype=dtype, max_batch_tokens=max_batch_tokens,
        )  # fmt: skip
        super().__init__(CausalModel, settings)
        self.given = one_of(self.metric, "given", given, GIVEN)
        if stride is not None and stride < 1:
            raise InputError(f"Expected option `stride` of {self.metric!r} >= 1, but got {stride}")
        self.stride = stride

    @abstractmethod
    def value(self, likelihood: Likelihood, response: str) -> float:
        """Return the metric; it may be infinite."""

    def check(self, model: CausalModel) -> None:
        """Refuse a stride that does not fit into the model's window."""
        model.stride(self.stride)

    @property
    def signature(self) -> str:
        """The model's signature with all that is this scorer's own."""
        stride = self._model.stride(self.stride) if self._model else self.stride
        return (
            f"{self.model_signature}|start:{self._start}|given:{self.given}|stride:{stride}/{self.settings.max_windows}"
        )

    @property
    def needs(self) -> tuple[Need, ...]:
        """The response, and the prompt where it is given."""
        return ("response", "prompt") if self.given == "prompt" else ("response",)

    def cost(self, sample: Sample) -> int:
        """Return about how many tokens the windows hold, at least 1."""
        event = sample.event
        before = len(event.prompt_text) if self.given == "prompt" else 0
        return 1 + (before + 2 * len(event.response)) // CHARACTERS_PER_TOKEN

    def score(self, batch: Sequence[Sample]) -> Sequence[Outcome]:
        """Return one outcome a sample, in order, from one pass of the model over all that can be scored."""
        reasons = [self._unfit(sample) for sample in batch]
        fit = [sample for sample, reason in zip(batch, reasons, strict=True) if reason is None]
        found = iter(self.model.likelihoods([self._pair(sample) for sample in fit], self.stride))
        return [
            self._outcome(next(found), sample.event.response) if reason is None else Abstained(reason)
            for sample, reason in zip(batch, reasons, strict=True)
        ]

    @property
    def _start(self) -> int | None:
        return self._model.start if self._model else None

    def _pair(self, sample: Sample) -> tuple[str, str]:
        event = sample.event
        return (event.prompt_text + JOIN if self.given == "prompt" else "", event.response)

    def _unfit(self, sample: Sample) -> str | None:
        if not sample.event.response.strip():
            return "empty response"
        if self.given == "prompt" and not sample.event.prompt_text.strip():
            return "no prompt"
        return None

    def _outcome(self, found: Likelihood | TooLong | ItemFailure, response: str) -> Outcome:
        if isinstance(found, TooLong):
            return Abstained(found.reason)
        if isinstance(found, ItemFailure):
            return Failed(f"causal model: {found.reason}")
        if not found.tokens:
            return Abstained("no tokens in the response")
        value = self.value(found, response)
        if not math.isfinite(value):
            return Failed(f"model {self.model.files.name} gave {found.nats:.6g} nats, too many for a finite value")
        return Scored(value, {"tokens": found.tokens, "windows": found.windows})


class Perplexity(_LikelihoodScorer):
    """Perplexity of the response, ``exp`` of the mean negative log-likelihood a token, in [1, ∞); lower is better.

    ``exp(-(1/n) Σ ln p(token_i | tokens before it))`` over the response's ``n`` tokens, given the model's start
    token alone or given the prompt. The log-softmax is computed in float32. Texts longer than the window are
    scored in strided windows; nothing is cut off, and more than ``max_windows`` abstain. Abstains without a
    response (or, given it, a prompt). Values of two tokenisers do not compare: take ``bits_per_byte``.

    Source: Jelinek, Mercer, Bahl and Baker 1977.
    """

    metric = "perplexity"

    @property
    def spec(self) -> ScorerSpec:
        """What it measures; the signature is complete after ``load``."""
        return ScorerSpec(
            metric=self.metric,
            version=1,
            scale=Scale(1.0, None, "lower"),
            needs=self.needs,
            signature=self.signature,
            description="Perplexity of the response under a causal language model, per token.",
        )

    def value(self, likelihood: Likelihood, response: str) -> float:
        """Return the perplexity, kept from rounding below 1.

        >>> round(Perplexity("folder").value(Likelihood(nats=2 * math.log(8), tokens=2, windows=1), ""), 6)
        8.0
        """
        try:
            return max(math.exp(likelihood.nats / likelihood.tokens), 1.0)
        except OverflowError:
            return math.inf


class BitsPerByte(_LikelihoodScorer):
    """Bits that the model needs for a byte of the response, in [0, ∞); lower is better.

    ``-Σ log2 p(token_i | tokens before it) / UTF-8 bytes of the response``: the same sum as ``perplexity``'s by a
    length that no tokeniser decides, so that models compare. It presumes a tokeniser that keeps the whole text (the
    byte-level ones of today's language models do). Options and abstentions as for :class:`Perplexity`; with
    equal options the model runs once for both.

    Source: Shannon 1948 (cross-entropy); per byte as in Gao et al. 2020, The Pile.
    """

    metric = "bits_per_byte"

    @property
    def spec(self) -> ScorerSpec:
        """What it measures; the signature is complete after ``load``."""
        return ScorerSpec(
            metric=self.metric,
            version=1,
            scale=Scale(0.0, None, "lower", "bits/byte"),
            needs=self.needs,
            signature=self.signature,
            description="Bits a UTF-8 byte of the response under a causal language model.",
        )

    def value(self, likelihood: Likelihood, response: str) -> float:
        """Return bits a byte.

        >>> BitsPerByte("folder").value(Likelihood(nats=4 * math.log(2), tokens=1, windows=1), "ab")
        2.0
        """
        return max(likelihood.nats, 0.0) / math.log(2) / len(response.encode("utf-8"))
