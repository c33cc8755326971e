"""Content-addressed caches of what models gave, with a bound in bytes: one text is computed once for all scorers."""

from __future__ import annotations

import hashlib
import threading
from collections import OrderedDict
from collections.abc import Callable, Sequence
from typing import TypeVar, cast

import numpy as np
from numpy.typing import NDArray

Item = TypeVar("Item")
Result = TypeVar("Result")

# What an entry costs beside its floats: key, array header and dict slot, measured with tracemalloc.
ENTRY_OVERHEAD_BYTES = 300


def content_key(text: str) -> bytes:
    """Return a 128-bit digest of the text; equal texts have equal keys. No text is kept in the cache.

    >>> content_key("a") == content_key("a"), len(content_key("a"))
    (True, 16)
    """
    return hashlib.blake2b(text.encode("utf-8", "surrogatepass"), digest_size=16).digest()


class EmbeddingCache:
    """Least-recently-used embeddings by content key, at most ``max_bytes``. Safe from several threads."""

    def __init__(self, max_bytes: int) -> None:
        self.max_bytes = max_bytes
        self.bytes = 0
        self._entries: OrderedDict[bytes, NDArray[np.float32]] = OrderedDict()
        self._lock = threading.Lock()

    def __len__(self) -> int:
        """Return how many embeddings it holds."""
        return len(self._entries)

    def get(self, key: bytes) -> NDArray[np.float32] | None:
        """Return the embedding, ``[D]`` and read-only, or ``None``; it becomes the most recently used."""
        with self._lock:
            vector = self._entries.get(key)
            if vector is not None:
                self._entries.move_to_end(key)
            return vector

    def put(self, key: bytes, vector: NDArray[np.float32]) -> None:
        """Keep a copy of the embedding, dropping the least recently used ones that no longer fit."""
        own = vector.copy()
        own.flags.writeable = False
        with self._lock:
            self._discard(key)
            self._entries[key] = own
            self.bytes += own.nbytes + ENTRY_OVERHEAD_BYTES
            while self.bytes > self.max_bytes:
                self._discard(next(iter(self._entries)))

    def through(
        self,
        keys: Sequence[bytes],
        items: Sequence[Item],
        compute: Callable[[list[Item]], Sequence[Result]],
    ) -> tuple[list[Result], int]:
        """Return one result an item, and how many of them were held already; items of equal keys are computed once.

        Args:
            keys: the content key of each item.
            items: what ``compute`` takes.
            compute: gives one result an item, in order. Arrays are kept; anything else says why there is none.
        """
        known: dict[bytes, Result] = {}
        for key in set(keys):
            held = self.get(key)
            if held is not None:
                # Only what a ``compute`` of the same owner gave is in the cache.
                known[key] = cast(Result, held)
        hits = sum(key in known for key in keys)
        missing = {key: item for key, item in zip(keys, items, strict=True) if key not in known}
        for key, result in zip(missing, compute(list(missing.values())), strict=True):
            known[key] = result
            if isinstance(result, np.ndarray):
                self.put(key, result)
        return [known[key] for key in keys], hits

    def _discard(self, key: bytes) -> None:
        dropped = self._entries.pop(key, None)
        if dropped is not None:
            self.bytes -= dropped.nbytes + ENTRY_OVERHEAD_BYTES
