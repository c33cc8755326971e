"""The ledger: how many records a partition offered and what became of them, exact however often they are delivered.

A partition's offsets are cut into chunks of :data:`CHUNK`. A row holds the count of one (minute, stratum, outcome) over
the chunk's *prefix* ``[start, upto)``. That count is a pure function of the prefix, so every writer that reaches
``upto`` writes the same row: redelivery, other batch boundaries and a reader that lost its partition without knowing
all agree, and the store keeps the row with the greatest ``upto``. Rows are written after the scores that they speak
of, which makes the greatest ``upto`` the place to go on from (``docs/decisions/002-ledger-and-rollups.md``).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from evalsvc.types import LedgerOutcome, LedgerRow

CHUNK = 1 << 18

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
    def restore(cls, rows: Sequence[LedgerRow]) -> ChunkLedger:
        """Go on from what the store holds of a chunk; ``rows`` are all of one chunk, and at least one."""
        first = rows[0]
        ledger = cls(first.consumer, first.partition, first.start)
        ledger.upto = max(row.upto for row in rows)
        for row in rows:
            ledger._counts[(row.minute, row.stratum, row.design_version, row.outcome)] = row.count
        return ledger

    def add(self, counts: Mapping[Key, int], upto: int) -> list[LedgerRow]:
        """Count a batch that reaches ``upto``; return the rows that changed. They replace their earlier versions."""
        self.upto = upto
        changed = []
        for key, count in counts.items():
            if count or key in self._counts:
                self._counts[key] = self._counts.get(key, 0) + count
                changed.append(self._row(key))
        return changed

    def _row(self, key: Key) -> LedgerRow:
        minute, stratum, version, outcome = key
        return LedgerRow(
            self.consumer, self.partition, self.start, self.upto, minute, stratum, version, outcome, self._counts[key]
        )
