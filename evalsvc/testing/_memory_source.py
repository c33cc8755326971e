"""A source in memory: partitions, committed offsets and rebalances, without a broker."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence

from evalsvc.errors import SourceError, TopicNotFound
from evalsvc.protocols import Assignment, Chunk
from evalsvc.sources._record import RawRecord


class MemoryLog:
    """What a broker keeps: records by partition, and what a group committed. Its sources share it.

    >>> log = MemoryLog(["t/0"])
    >>> log.append(b"{}", timestamp=1767225600000)
    ('t/0', 0)
    """

    def __init__(self, partitions: Sequence[str] = ("memory/0", "memory/1")) -> None:
        self.records: dict[str, list[RawRecord]] = {name: [] for name in partitions}
        self.committed: dict[str, int] = {}
        self._next = 0

    def append(self, value: bytes, partition: str | None = None, timestamp: int | None = None) -> tuple[str, int]:
        """Add a record and return its place; partitions take turns unless one is named, the time is now."""
        if partition is None:
            partition = list(self.records)[self._next % len(self.records)]
            self._next += 1
        if partition not in self.records:
            raise TopicNotFound(f"Expected one of {sorted(self.records)}, but got partition {partition!r}")
        offset = len(self.records[partition])
        moment = int(time.time() * 1000) if timestamp is None else timestamp
        self.records[partition].append(RawRecord(offset, value, moment))
        return partition, offset


class MemorySource:
    """A member of a group on a :class:`MemoryLog`. Partitions come and go at the poll after :meth:`assign`.

    Args:
        log: what is read.
        partitions: what it owns at first; all of the log's when left out.
        max_records: how many records of a partition a poll returns at most.
        finite: whether it is finished when it has delivered everything, as a file is.
    """

    def __init__(
        self,
        log: MemoryLog,
        partitions: Sequence[str] | None = None,
        max_records: int = 10,
        finite: bool = False,
    ) -> None:
        self.log, self.max_records, self.finite = log, max_records, finite
        self.positions: dict[str, int] = {}
        self._wanted = tuple(log.records if partitions is None else partitions)
        self._assignment: Assignment | None = None
        self._paused = False

    def assign(self, partitions: Sequence[str]) -> None:
        """Simulate a rebalance: at the next poll it owns these and no others."""
        self._wanted = tuple(partitions)

    def open(self, assignment: Assignment) -> None:
        """Join; nothing is read yet."""
        self._assignment, self.positions = assignment, {}

    def poll(self, timeout_seconds: float) -> Sequence[Chunk]:
        """Return the next records of every partition it owns, or wait briefly for nothing."""
        if self._assignment is None:
            raise SourceError("The source is not open; call open() first")
        self._rebalance(self._assignment)
        chunks = [] if self._paused else [chunk for chunk in map(self._chunk, list(self.positions)) if chunk.records]
        if not chunks and not self.finished:
            time.sleep(min(timeout_seconds, 0.01))
        return chunks

    def _rebalance(self, assignment: Assignment) -> None:
        if lost := [partition for partition in self.positions if partition not in self._wanted]:
            assignment.revoked(lost)
            for partition in lost:
                del self.positions[partition]
        for partition in self._wanted:
            if partition not in self.positions:
                committed = self.log.committed.get(partition)
                wanted = assignment.resume_at(partition, committed)
                self.positions[partition] = wanted if wanted is not None else committed or 0

    def _chunk(self, partition: str) -> Chunk:
        start = self.positions[partition]
        records = self.log.records[partition][start : start + self.max_records]
        self.positions[partition] = start + len(records)
        return Chunk(partition, records)

    def pause(self) -> None:
        """Deliver nothing until :meth:`resume`; partitions still come and go."""
        self._paused = True

    def resume(self) -> None:
        """Deliver again."""
        self._paused = False

    def commit(self, positions: Mapping[str, int]) -> None:
        """Remember positions of partitions that it owns; those of others are ignored, as a broker would."""
        self.log.committed.update({name: offset for name, offset in positions.items() if name in self.positions})

    def lag(self) -> Mapping[str, int]:
        """Return how many records of each owned partition were not delivered."""
        return {name: len(self.log.records[name]) - position for name, position in self.positions.items()}

    @property
    def finished(self) -> bool:
        """Whether all was delivered, for a finite source; a stream never is."""
        return self.finite and set(self.positions) == set(self._wanted) and not any(self.lag().values())

    def close(self) -> None:
        """Leave the group."""
        self._assignment = None
