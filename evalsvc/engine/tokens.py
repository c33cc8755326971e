"""Texts to windows of token ids, in the `tokenizers` library (Rust), never cutting a text silently."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, NamedTuple

from evalsvc.engine.models import ModelFiles
from evalsvc.errors import EngineError, MissingExtra

if TYPE_CHECKING:
    from tokenizers import Encoding, Tokenizer


class TooLong(NamedTuple):
    """Why a text has no windows: it would need more than the settings allow."""

    reason: str


class Unreadable(NamedTuple):
    """Why a text has no windows: the tokeniser refuses it."""

    reason: str


Window = list[int]
Tokenised = list[Window] | TooLong | Unreadable


def window_starts(n_tokens: int, size: int, overlap: int) -> list[int]:
    """Return where windows of ``size`` start so that they cover ``n_tokens``, neighbours sharing ``overlap``.

    The last window is moved back to be full, so its overlap may be larger.

    >>> window_starts(10, size=4, overlap=1)
    [0, 3, 6]
    >>> window_starts(11, size=4, overlap=1)
    [0, 3, 6, 7]
    """
    if n_tokens <= size:
        return [0]
    starts = list(range(0, n_tokens - size, size - overlap))
    return [*starts, n_tokens - size]


def encode_each(
    tokenizer: Tokenizer, texts: Sequence[str | tuple[str, str]], *, special_tokens: bool = False, offsets: bool = False
) -> list[Encoding | Unreadable]:
    """Return one encoding a text or pair of texts, in order, or why it has none; never raises for a text."""
    encode = tokenizer.encode_batch if offsets else tokenizer.encode_batch_fast
    try:
        return list(encode(list(texts), add_special_tokens=special_tokens))
    # It raises TypeError for a lone surrogate and a bare Exception for what its model refuses.
    except Exception as error:
        if len(texts) == 1:
            return [Unreadable(f"the tokeniser refuses the text ({type(error).__name__})")]
        middle = len(texts) // 2
        halves = (texts[:middle], texts[middle:])
        return [
            encoding
            for half in halves
            for encoding in encode_each(tokenizer, half, special_tokens=special_tokens, offsets=offsets)
        ]


class Tokeniser:
    """A model's own tokeniser: ids with its special tokens, in windows no longer than the model's.

    ``max_length`` counts special tokens: ``max_seq_length`` of ``sentence_bert_config.json`` where the
    folder has one, and never more than the model's positions.
    """

    def __init__(self, files: ModelFiles, overlap: int, max_windows: int, window: int | None = None) -> None:
        try:
            from tokenizers import Tokenizer
        except ImportError as error:
            raise MissingExtra("tokenizers", "torch") from error
        try:
            self._tokenizer = Tokenizer.from_file(str(files.folder / "tokenizer.json"))
        # The library raises a bare Exception for a broken file.
        except Exception as error:
            raise EngineError(f"tokenizer.json of model {files.name!r} cannot be read: {error}") from error
        self._tokenizer.no_truncation()
        self._tokenizer.no_padding()
        self._unknown = _unknown_id(self._tokenizer)
        own = _max_length(files)
        self.max_length = min(window or own, own)
        self.prefix, self.suffix = self._special_ids()
        self.max_windows = max_windows
        self.size = self.max_length - len(self.prefix) - len(self.suffix)
        self.overlap = overlap
        if not 0 <= overlap < self.size:
            raise EngineError(
                f"Expected `window_overlap` in [0, {self.size}) for model {files.name!r}, but got {overlap}"
            )

    def tokenise(self, texts: Sequence[str]) -> list[Tokenised]:
        """Return one list of windows a text, in order, or why it has none; never raises for a text."""
        encodings = encode_each(self._tokenizer, texts)
        return [item if isinstance(item, Unreadable) else self._windows(item.ids) for item in encodings]

    def encodings(self, texts: Sequence[str]) -> list[Encoding | Unreadable]:
        """Return ids and offsets of each text's tokens, without special tokens, in order, or why it has none."""
        return encode_each(self._tokenizer, texts, offsets=True)

    def window_spans(self, text: str) -> list[tuple[int, int]]:
        """Return the half-open character positions of a text's windows; none where the tokeniser refuses it."""
        encoding = self.encodings([text])[0]
        if isinstance(encoding, Unreadable):
            return []
        offsets = encoding.offsets
        starts = window_starts(len(offsets), self.size, self.overlap)
        runs = [offsets[start : start + self.size] for start in starts]
        return [(run[0][0], run[-1][1]) if run else (0, len(text)) for run in runs]

    def count(self, text: str) -> int:
        """Return how many tokens the windows hold, or characters where the tokeniser refuses the text."""
        tokenised = self.tokenise([text])[0]
        return sum(map(len, tokenised)) if isinstance(tokenised, list) else len(text)

    def knows(self, text: str) -> bool:
        """Whether the vocabulary has any token of a text; of two texts without one the vectors are the same."""
        if self._unknown is None:
            return True
        encoding = encode_each(self._tokenizer, [text])[0]
        return isinstance(encoding, Unreadable) or any(number != self._unknown for number in encoding.ids)

    def content_length(self, window: Window) -> int:
        """Return how many tokens of a window are the text's own: its weight in the text's embedding."""
        return len(window) - len(self.prefix) - len(self.suffix)

    def _windows(self, ids: list[int]) -> Tokenised:
        starts = window_starts(len(ids), self.size, self.overlap)
        if len(starts) > self.max_windows:
            return TooLong(f"text of {len(ids)} tokens needs {len(starts)} windows, more than {self.max_windows}")
        return [[*self.prefix, *ids[start : start + self.size], *self.suffix] for start in starts]

    def _special_ids(self) -> tuple[list[int], list[int]]:
        plain = self._tokenizer.encode("a", add_special_tokens=False).ids
        full = self._tokenizer.encode("a").ids
        n_special = len(full) - len(plain)
        for start in range(n_special + 1):
            if full[start : start + len(plain)] == plain:
                return full[:start], full[start + len(plain) :]
        raise EngineError("The tokeniser's special tokens do not surround the text; its template is not supported")


def _unknown_id(tokenizer: Tokenizer) -> int | None:
    """Return the id that stands for what the vocabulary lacks; ``None`` where it lacks nothing, as with bytes."""
    name = getattr(tokenizer.model, "unk_token", None)
    return tokenizer.token_to_id(name) if isinstance(name, str) else None


def _max_length(files: ModelFiles) -> int:
    positions = files.read_json("config.json").get("max_position_embeddings")
    stated = files.read_json("sentence_bert_config.json").get("max_seq_length")
    known = [int(length) for length in (positions, stated) if length]
    if not known:
        raise EngineError(f"Model {files.name!r} states neither max_position_embeddings nor max_seq_length")
    return min(known)
