"""Each check of the source contract fails on a source with the mistake that it is there for."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence

import pytest

from evalsvc.errors import SourceError
from evalsvc.protocols import Assignment, Chunk, Record, Source
from evalsvc.sources._record import RawRecord
from evalsvc.testing import sources as contract
from evalsvc.testing.sources import MemoryLog, MemorySource, SourceHarness, check_source


class Repeats(MemorySource):
    """Delivers the last record of a chunk again."""

    def poll(self, timeout_seconds: float) -> Sequence[Chunk]:
        """Repeat."""
        chunks = super().poll(timeout_seconds)
        return [Chunk(chunk.partition, [*chunk.records, chunk.records[-1]]) for chunk in chunks]


class Shuffles(MemorySource):
    """Delivers a chunk backwards."""

    def poll(self, timeout_seconds: float) -> Sequence[Chunk]:
        """Reverse."""
        return [Chunk(chunk.partition, chunk.records[::-1]) for chunk in super().poll(timeout_seconds)]


class SecondsForMilliseconds(MemorySource):
    """Has the wrong unit."""

    def poll(self, timeout_seconds: float) -> Sequence[Chunk]:
        """Divide."""
        return [
            Chunk(
                chunk.partition,
                [RawRecord(record.offset, record.value or b"", record.timestamp // 1000) for record in chunk.records],
            )
            for chunk in super().poll(timeout_seconds)
        ]


def _in_seconds(record: Record) -> RawRecord:
    return RawRecord(record.offset, record.value or b"", record.timestamp // 1000)


class AsksInOpen(MemorySource):
    """Asks its reader before it is polled."""

    def open(self, assignment: Assignment) -> None:
        """Ask too early."""
        super().open(assignment)
        self._rebalance(assignment)


class DeliversWhilePaused(MemorySource):
    """Ignores a pause."""

    def pause(self) -> None:
        """Do nothing."""


class LosesOverPause(MemorySource):
    """Drops what it would have delivered."""

    def pause(self) -> None:
        """Skip ahead."""
        super().pause()
        self.positions = {name: 3 for name in self.log.records}


class ResumesAfter(MemorySource):
    """Takes the position to be the last record done."""

    def _rebalance(self, assignment: Assignment) -> None:
        before = set(self.positions)
        super()._rebalance(assignment)
        for name in set(self.positions) - before:
            self.positions[name] += 1 if self.positions[name] else 0


class IgnoresPosition(MemorySource):
    """Reads from the beginning whatever it is told."""

    def _rebalance(self, assignment: Assignment) -> None:
        before = set(self.positions)
        super()._rebalance(assignment)
        self.positions.update(dict.fromkeys(set(self.positions) - before, 0))


class CommitsOnClose(MemorySource):
    """Takes read for done."""

    def close(self) -> None:
        """Commit."""
        self.commit(self.positions)
        super().close()


class SeeksOnCommit(MemorySource):
    """Moves its own position when told what is done."""

    def commit(self, positions: Mapping[str, int]) -> None:
        """Move."""
        super().commit(positions)
        self.positions.update({name: 0 for name in positions})


class NeverFinished(MemorySource):
    """A file that never ends."""

    @property
    def finished(self) -> bool:
        """Wrong for a finite source."""
        return False


class FinishedAtOnce(MemorySource):
    """Is finished before it began."""

    @property
    def finished(self) -> bool:
        """Wrong at the start."""
        return True


class NegativeLag(MemorySource):
    """Counts backwards."""

    def lag(self) -> Mapping[str, int]:
        """Negate."""
        return {name: -1 for name in self.positions}


class StaleLag(MemorySource):
    """Never gets to zero."""

    def lag(self) -> Mapping[str, int]:
        """Stay."""
        return {name: 1 for name in self.positions}


class Oversleeps(MemorySource):
    """Waits far longer than it may."""

    def poll(self, timeout_seconds: float) -> Sequence[Chunk]:
        """Wait."""
        chunks = super().poll(timeout_seconds)
        if not chunks:
            time.sleep(2.3)
        return chunks


class ClosesOnce(MemorySource):
    """Breaks on the second close."""

    def close(self) -> None:
        """Complain."""
        if self._assignment is None:
            raise AssertionError("closed twice")
        super().close()


class KeepsRevoked(MemorySource):
    """Announces a loss and goes on reading."""

    def _rebalance(self, assignment: Assignment) -> None:
        if lost := [name for name in self.positions if name not in self._wanted]:
            assignment.revoked(lost)
            return
        super()._rebalance(assignment)


class HidesRevoke(MemorySource):
    """Loses partitions without a word."""

    def _rebalance(self, assignment: Assignment) -> None:
        self.positions = {name: at for name, at in self.positions.items() if name in self._wanted}
        super()._rebalance(assignment)


class PlantedHarness:
    """Two partitions, twelve records a poll."""

    def __init__(self, kind: type[MemorySource], finite: bool = False) -> None:
        self.finite, self.kind, self.log = finite, kind, MemoryLog()

    def publish(self, values: Sequence[bytes]) -> None:
        """Spread them over two partitions."""
        for value in values:
            self.log.append(value)

    def connect(self) -> Source:
        """Join anew."""
        return self.kind(self.log, finite=self.finite)

    def revoke(self, source: Source, partitions: Sequence[str]) -> None:
        """Give them to somebody else."""
        if isinstance(source, MemorySource):
            source.assign([name for name in self.log.records if name not in partitions])

    def close(self) -> None:
        """Nothing to clean."""


PLANTED: list[tuple[type[MemorySource], Callable[[SourceHarness], None], bool]] = [
    (Repeats, contract.check_order, False),
    (Shuffles, contract.check_order, False),
    (SecondsForMilliseconds, contract.check_records, False),
    (AsksInOpen, contract.check_assignment, False),
    (DeliversWhilePaused, contract.check_pause, False),
    (LosesOverPause, contract.check_pause, False),
    (ResumesAfter, contract.check_resume_position, False),
    (IgnoresPosition, contract.check_resume_position, False),
    (CommitsOnClose, contract.check_close_does_not_commit, False),
    (SeeksOnCommit, contract.check_commit, False),
    (NeverFinished, contract.check_finished, True),
    (FinishedAtOnce, contract.check_finished, False),
    (NegativeLag, contract.check_lag, False),
    (StaleLag, contract.check_lag, False),
    (Oversleeps, contract.check_poll_returns_in_time, False),
    (ClosesOnce, contract.check_close, False),
    (KeepsRevoked, contract.check_revoke, False),
    (HidesRevoke, contract.check_revoke, False),
]


@pytest.mark.parametrize(("kind", "check", "finite"), PLANTED, ids=lambda row: getattr(row, "__name__", ""))
def test_planted_mistake_is_found(
    kind: type[MemorySource],
    check: Callable[[SourceHarness], None],
    finite: bool,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """The check passes on the good source and fails on the bad one."""
    monkeypatch.setattr(contract, "_PATIENCE_SECONDS", 1.0)
    check(PlantedHarness(MemorySource, finite))
    with pytest.raises(AssertionError):
        check(PlantedHarness(kind, finite))


def test_every_check_has_a_planted_mistake() -> None:
    """A check that nothing can fail is no check."""
    assert {check for _, check, _ in PLANTED} == set(contract.SOURCE_CHECKS)


def test_check_source_names_the_check() -> None:
    """Whoever runs the suite learns what broke."""
    check_source(lambda: PlantedHarness(MemorySource))
    with pytest.raises(AssertionError, match="check_records: expected `timestamp`"):
        check_source(lambda: PlantedHarness(SecondsForMilliseconds))


def test_memory_source_refuses_to_be_polled_unopened() -> None:
    """A clear answer instead of nothing."""
    with pytest.raises(SourceError, match="open"):
        MemorySource(MemoryLog()).poll(0)
