"""The ledger: how many records a partition offered and what became of them, exact however often they are delivered.

A partition's offsets are cut into chunks of :data:`CHUNK`. An entry holds all counts, by (minute, stratum, design
version, outcome), of the chunk's *prefix* ``[start, upto)``, and the store keeps the entry with the greatest ``upto``.
Since entries are whole, that one speaks of each record once, whatever other batch boundaries or another owner of the
partition made of the others. Entries are written after the scores that they speak of, which makes the greatest ``upto``
the place to go on from (``docs/decisions/002-ledger-and-rollups.md``).
"""

from __future__ import annotations

from collections.abc import Mapping

from evalsvc.types import LedgerCount, LedgerEntry, LedgerOutcome

CHUNK = 1 << 14
"""Offsets a chunk: what bounds an entry, which each batch writes anew, where a chunk's events lie weeks apart."""

Key = tuple[int, str, int, LedgerOutcome]
"""Minute since the epoch, stratum, design version, outcome."""


def chunk_start(offset: int) -> int:
    """Return the first offset of the chunk that ``offset`` lies in.

    >>> chunk_start(CHUNK + 5) == CHUNK
    True
    """
    return offset // CHUNK * CHUNK


def chunk_end(offset: int) -> int:
    """Return the first offset of the chunk after the one that ``offset`` lies in.

    >>> chunk_end(0) == chunk_end(CHUNK - 1) == CHUNK
    True
    """
    return chunk_start(offset) + CHUNK


class ChunkLedger:
    """The counts of one chunk's prefix so far. Not thread-safe: the writer owns it."""

    def __init__(self, consumer: str, partition: str, start: int) -> None:
        """Begin a chunk at ``start``, with nothing counted."""
        self.consumer, self.partition, self.start = consumer, partition, start
        self.end = chunk_end(start)
        self.upto = start
        self._counts: dict[Key, int] = {}

    @classmethod
    def restore(cls, entry: LedgerEntry) -> ChunkLedger:
        """Go on from what the store holds of a chunk."""
        ledger = cls(entry.consumer, entry.partition, entry.start)
        ledger.upto = entry.upto
        ledger._counts = {found[:4]: found.records for found in entry.counts}
        return ledger

    def add(self, counts: Mapping[Key, int], upto: int) -> LedgerEntry:
        """Count a batch that reaches ``upto``; return the chunk's entry, which replaces its earlier ones."""
        self.upto = upto
        for key, count in counts.items():
            self._counts[key] = self._counts.get(key, 0) + count
        found = tuple(LedgerCount(*key, count) for key, count in sorted(self._counts.items()) if count)
        return LedgerEntry(self.consumer, self.partition, self.start, upto, found)
