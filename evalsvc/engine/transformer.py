"""Models of the transformers library with their own tokenisers: loaded from pinned safetensors, run in batches.

What a kind of model reads off the logits is its own (:mod:`evalsvc.engine.causal`,
:mod:`evalsvc.engine.classifier`); loading, placing, padding, caching and failing are here, once.
"""

from __future__ import annotations

import hashlib
import inspect
import time
from abc import ABC, abstractmethod
from array import array
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, ClassVar, NamedTuple, Self

import numpy as np
from numpy.typing import NDArray

from evalsvc.engine.cache import EmbeddingCache
from evalsvc.engine.device import Placement, place
from evalsvc.engine.executor import Executor
from evalsvc.engine.models import ModelFiles, locate
from evalsvc.engine.overlap import parts_of
from evalsvc.engine.runner import ItemFailure
from evalsvc.engine.settings import EngineSettings
from evalsvc.engine.tokens import Unreadable, encode_each
from evalsvc.errors import EngineError, MissingExtra

if TYPE_CHECKING:
    import torch
    from tokenizers import Encoding, Tokenizer

Row = NDArray[np.float32]

LONGEST_WINDOW = 4096
"""The longest window where none is asked for: a CPU's budget, so that both devices give the same digits."""
# transformers writes a very large number where a tokeniser states no length.
_UNSTATED = 10**6


class Input(NamedTuple):
    """One sequence of token ids, no longer than the window; of ``ids[start:stop]`` the result is wanted."""

    ids: Sequence[int]
    type_ids: Sequence[int]
    start: int
    stop: int

    @property
    def key(self) -> bytes:
        """A 128-bit digest of all that it is."""
        numbers = (len(self.ids), self.start, self.stop, *self.ids, *self.type_ids)
        return hashlib.blake2b(array("q", numbers).tobytes(), digest_size=16).digest()


class Loaded(NamedTuple):
    """A model as transformers loaded it, on its device; ``names`` is the tokeniser with its special tokens."""

    files: ModelFiles
    placement: Placement
    model: Any
    names: Any

    @property
    def tokenizer(self) -> Tokenizer:
        """The tokeniser itself, which neither cuts nor pads."""
        tokenizer: Tokenizer = self.names.backend_tokenizer
        tokenizer.no_truncation()
        tokenizer.no_padding()
        return tokenizer


class Transformer(ABC):
    """A loaded model of one kind. All methods may be called from several threads.

    Equal inputs are computed once, within a part of a call (:mod:`evalsvc.engine.overlap`) and, through a cache of
    ``cache_bytes``, across parts and calls. Batches,
    memory that runs out and exceptions are the :class:`Executor`'s.
    """

    auto_class: ClassVar[str]
    """The class of transformers that loads this kind."""
    arguments: ClassVar[dict[str, Any]] = {}
    """What its forward pass is given beside the batch."""

    def __init__(self, loaded: Loaded, settings: EngineSettings) -> None:
        self.files = loaded.files
        self.placement = loaded.placement
        self.tokenizer = loaded.tokenizer
        self.window = window_of(loaded, settings.window)
        self.cache = EmbeddingCache(settings.cache_bytes)
        self._model = loaded.model
        self._padding = first_id(loaded.model.config.pad_token_id, loaded.names.pad_token_id) or 0
        self._takes_types = _takes_types(loaded)
        self._executor: Executor[Row] = Executor(
            loaded.files.name, loaded.placement, self.window, settings.max_batch_texts
        )
        self.stats = self._executor.stats

    @classmethod
    def load(cls, settings: EngineSettings) -> Self:
        """Load a model; takes seconds. :func:`evalsvc.engine.shared_model` does so once a process.

        Raises:
            MissingExtra: without torch or transformers.
            ModelRefused: when the weights are not pinned, or not safetensors.
            EngineError: when the model cannot be loaded, is of another kind, or its window exceeds the budget.
        """
        return cls(load_transformer(cls.auto_class, settings), settings)

    @property
    def signature(self) -> str:
        """All that changes a digit whatever is read: model, weights, dtype and window."""
        return (
            f"model:{self.files.name}|revision:{self.files.revision[:12]}|dtype:{self.placement.dtype}"
            f"|window:{self.window}"
        )

    @abstractmethod
    def read(self, logits: torch.Tensor, batch: Sequence[Input]) -> list[Row]:
        """Return what is wanted of each input, float32 on the CPU, from the logits of its row."""

    def parts(self, pairs: Sequence[tuple[str, str]]) -> list[Sequence[tuple[str, str]]]:
        """Return pairs of texts in the parts of which the next is tokenised while the device works on one."""
        return parts_of(pairs, (len(one) + len(two) for one, two in pairs), self.placement.max_batch_tokens)

    def encodings(
        self, texts: Sequence[str | tuple[str, str]], *, special_tokens: bool = False, offsets: bool = False
    ) -> list[Encoding | Unreadable]:
        """Return one encoding a text or pair of texts, in order, or why it has none; the time is counted."""
        started = time.perf_counter()
        found = encode_each(self.tokenizer, texts, special_tokens=special_tokens, offsets=offsets)
        self.stats.add(tokenise_seconds=time.perf_counter() - started)
        return found

    def rows(self, inputs: Sequence[Input]) -> list[Row | ItemFailure]:
        """Return what :meth:`read` gives of each input, or why there is nothing, in order; raises for no input."""
        results, hits = self.cache.through([item.key for item in inputs], inputs, self._compute)
        failures = sum(isinstance(result, ItemFailure) for result in results)
        self.stats.add(texts=len(inputs), cache_hits=hits, failures=failures)
        return results

    def forward(self, batch: Sequence[Input]) -> torch.Tensor:
        """Return the logits of inputs that are padded at their ends, on the device."""
        import torch

        sizes = torch.tensor([len(item.ids) for item in batch])
        ids = self._padded([item.ids for item in batch], self._padding)
        arguments = {"input_ids": ids, **self.arguments}
        arguments["attention_mask"] = (torch.arange(ids.shape[1])[None] < sizes[:, None]).long().to(ids.device)
        if self._takes_types and any(item.type_ids for item in batch):
            arguments["token_type_ids"] = self._padded([item.type_ids for item in batch], 0)
        logits: torch.Tensor = self._model(**arguments).logits
        self.stats.add(computed_tokens=ids.numel())
        return logits

    def _compute(self, inputs: list[Input]) -> list[Row | ItemFailure]:
        rows = self._executor.run(
            [len(item.ids) for item in inputs], lambda batch: self._batch([inputs[index] for index in batch])
        )
        bad = ItemFailure(f"model {self.files.name} gave a value that is not finite")
        return [row if isinstance(row, ItemFailure) or np.isfinite(row).all() else bad for row in rows]

    def _batch(self, batch: Sequence[Input]) -> list[Row]:
        import torch

        with torch.inference_mode():
            return self.read(self.forward(batch), batch)

    def _padded(self, rows: Sequence[Sequence[int]], value: int) -> torch.Tensor:
        import torch

        tensors = [torch.tensor(row, dtype=torch.long) for row in rows]
        padded = torch.nn.utils.rnn.pad_sequence(tensors, batch_first=True, padding_value=value)
        return padded.to(self.placement.device)


def load_transformer(auto_class: str, settings: EngineSettings) -> Loaded:
    """Load a model of the kind that ``auto_class`` of transformers names, and its tokeniser.

    Only safetensors are read, and no code of the model's folder is run.

    Raises:
        MissingExtra: without torch or transformers.
        ModelRefused: when the weights are not pinned, or not safetensors.
        EngineError: when the folder holds no model of this kind, or its weights are not all there.
    """
    placement = place(settings)
    files = locate(settings.model, settings.revision)
    try:
        import transformers
    except ImportError as error:
        raise MissingExtra("transformers", "torch") from error
    safe = {"local_files_only": True, "trust_remote_code": False}
    try:
        names = transformers.AutoTokenizer.from_pretrained(str(files.folder), use_fast=True, **safe)
        model, report = getattr(transformers, auto_class).from_pretrained(
            str(files.folder), dtype=placement.torch_dtype, use_safetensors=True, output_loading_info=True, **safe
        )
    except (OSError, ValueError, KeyError, RuntimeError) as error:
        raise EngineError(f"Model {files.name!r} cannot be loaded as {auto_class}: {error}") from error
    missing = sorted(report["missing_keys"])
    if missing:
        # transformers would fill them with random numbers, and so every score.
        raise EngineError(
            f"The weights of model {files.name!r} lack {missing[0]!r} and {len(missing) - 1} more that "
            f"{auto_class} needs: it was trained for something else; choose a model of this kind"
        )
    if not getattr(names, "is_fast", False):
        raise EngineError(f"Model {files.name!r} has no tokenizer.json that the tokenizers library reads")
    model.to(placement.device).eval()
    return Loaded(files, placement, model, names)


def window_of(loaded: Loaded, asked: int | None) -> int:
    """Return how many tokens a sequence may have: what is asked for, within what the model's positions allow."""
    config = loaded.model.config
    stated = [getattr(config, "max_position_embeddings", None), loaded.names.model_max_length]
    known = [int(length) for length in stated if length and 0 < length < _UNSTATED]
    for name, module in loaded.model.named_modules():
        # RoBERTa and its kin number positions from behind the padding token's.
        if name.endswith("position_embeddings") and getattr(module, "padding_idx", None) is not None:
            known.append(module.num_embeddings - module.padding_idx - 1)
    if not known:
        return asked or LONGEST_WINDOW
    return min(asked or LONGEST_WINDOW, *known)


def _takes_types(loaded: Loaded) -> bool:
    """Whether the model tells the two texts of a pair by types that it was trained with."""
    has_types = (getattr(loaded.model.config, "type_vocab_size", 0) or 0) > 1
    accepted = "token_type_ids" in inspect.signature(loaded.model.forward).parameters
    return has_types and accepted and "token_type_ids" in loaded.names.model_input_names


def first_id(*candidates: Any) -> int | None:  # noqa: ANN401 - a configuration holds a number, a list or nothing
    """Return the first token id among what configurations state, or ``None``."""
    for candidate in candidates:
        found = candidate[0] if isinstance(candidate, list) and candidate else candidate
        if isinstance(found, int):
            return found
    return None
