"""The cache of embeddings: bounded, least recently used first, and nobody's array but its own."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from evalsvc.engine.cache import ENTRY_OVERHEAD_BYTES, EmbeddingCache, content_key

ENTRY = 4 * 8 + ENTRY_OVERHEAD_BYTES


def vector(value: float) -> np.ndarray:
    return np.full(8, value, dtype=np.float32)


@given(st.lists(st.integers(0, 9), max_size=60), st.integers(0, 5))
def test_it_holds_the_most_recent_and_never_more_than_its_bound(keys, room):
    cache = EmbeddingCache(room * ENTRY + 1)
    for key in keys:
        cache.put(bytes([key]), vector(key))
        assert cache.bytes == len(cache) * ENTRY <= cache.max_bytes
    recent = list(dict.fromkeys(reversed(keys)))
    assert [key for key in range(10) if cache.get(bytes([key])) is not None] == sorted(recent[:room])


def test_reading_makes_an_entry_recent():
    cache = EmbeddingCache(2 * ENTRY)
    cache.put(b"a", vector(1))
    cache.put(b"b", vector(2))
    cache.get(b"a")
    cache.put(b"c", vector(3))
    assert cache.get(b"b") is None
    assert cache.get(b"a") is not None


def test_entries_are_copies_that_cannot_be_written():
    cache = EmbeddingCache(10_000)
    mine = vector(1)
    cache.put(b"a", mine)
    mine[:] = 9
    kept = cache.get(b"a")
    assert kept is not None
    assert kept[0] == 1
    with pytest.raises(ValueError, match="read-only"):
        kept[0] = 2


@given(st.text(), st.text())
def test_keys_are_equal_only_for_equal_texts(one, two):
    assert (content_key(one) == content_key(two)) == (one == two)


def test_a_lone_surrogate_has_a_key():
    assert len(content_key("\ud800")) == 16
