"""Contract checks for sources, and a source in memory.

A source that passes :func:`check_source` can be used wherever one of ours can. In a test of your own source::

    class MyHarness:
        finite = False
        def publish(self, values): ...        # make these messages readable, in this order within a partition
        def connect(self): return MySource()  # a new reader of what was published, not opened yet
        def close(self): ...                  # clean up

    def test_contract():
        check_source(MyHarness)

A harness that has ``revoke(source, partitions)`` as well is checked for rebalances: it must make these
partitions leave ``source`` at one of its next polls.
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import closing, contextmanager
from datetime import UTC, datetime, timedelta
from itertools import pairwise
from typing import NoReturn, Protocol, runtime_checkable

from evalsvc.protocols import Record, Source
from evalsvc.sources.decode import encode
from evalsvc.testing._memory_source import MemoryLog, MemorySource
from evalsvc.types import Event

__all__ = [
    "SOURCE_CHECKS",
    "MemoryLog",
    "MemorySource",
    "RecordingAssignment",
    "SourceHarness",
    "check_source",
    "sample_messages",
]

_COUNT = 60
_PATIENCE_SECONDS = 20.0
_SLACK_SECONDS = 2.0


class SourceHarness(Protocol):
    """What the checks need of a source's surroundings. One is made for each check."""

    finite: bool

    def publish(self, values: Sequence[bytes]) -> None:
        """Make these messages readable, in this order within a partition."""
        ...

    def connect(self) -> Source:
        """Return a new reader, not opened, of what is published and not committed; the former is closed."""
        ...

    def close(self) -> None:
        """Clean up."""
        ...


@runtime_checkable
class _Rebalancing(Protocol):
    def revoke(self, source: Source, partitions: Sequence[str]) -> None: ...


class RecordingAssignment:
    """An :class:`~evalsvc.protocols.Assignment` that answers from a table and remembers what it was asked."""

    def __init__(self, positions: Mapping[str, int] | None = None) -> None:
        self.positions = dict(positions or {})
        self.asked: list[tuple[str, int | None]] = []
        self.lost: list[str] = []
        self.polling = False
        self.outside_poll = False

    def resume_at(self, partition: str, committed: int | None) -> int | None:
        """Return the position of the table, if it has one."""
        self.outside_poll |= not self.polling
        self.asked.append((partition, committed))
        return self.positions.get(partition)

    def revoked(self, partitions: Sequence[str]) -> None:
        """Note which partitions left."""
        self.outside_poll |= not self.polling
        self.lost.extend(partitions)


class _Reading:
    """A source that is read by a check, with what it delivered so far."""

    def __init__(self, source: Source, positions: Mapping[str, int] | None = None) -> None:
        self.source, self.assignment = source, RecordingAssignment(positions)
        self.records: list[tuple[str, Record]] = []

    def poll(self, seconds: float = 0.2) -> int:
        """Poll once and return how many records came."""
        self.assignment.polling = True
        chunks = self.source.poll(seconds)
        self.assignment.polling = False
        came = [(chunk.partition, record) for chunk in chunks for record in chunk.records]
        asked = {partition for partition, _ in self.assignment.asked}
        for chunk in chunks:
            if chunk.partition not in asked:
                _fail(f"records of {chunk.partition!r} came before resume_at was asked about it")
        self.records.extend(came)
        return len(came)

    def until(self, count: int) -> None:
        """Poll until so many records came, or fail."""
        deadline = time.monotonic() + _PATIENCE_SECONDS
        while len(self.records) < count:
            if not self.poll() and time.monotonic() > deadline:
                _fail(f"expected {count} records, but {len(self.records)} came within {_PATIENCE_SECONDS:.0f} s")

    @property
    def ids(self) -> list[str]:
        return [_identity(record) for _, record in self.records]


def sample_messages(count: int = _COUNT) -> list[bytes]:
    """Return so many small valid events, numbered in their ids, that happened just now."""
    now = datetime.now(UTC).replace(microsecond=0)
    return [
        encode(
            Event(
                event_id=f"e{i:04d}",
                occurred_at=now - timedelta(seconds=i),
                application="contract",
                response="hi",
            )
        )
        for i in range(count)
    ]


def check_order(harness: SourceHarness) -> None:
    """Everything comes once, with growing offsets and in the order of publication within a partition."""
    harness.publish(sample_messages())
    with _reading(harness) as reading:
        reading.until(_COUNT)
        _quiet(reading)
        if sorted(reading.ids) != _all_ids():
            distinct = len(set(reading.ids))
            _fail(f"expected {_COUNT} records once each, but {len(reading.ids)} came, {distinct} distinct")
        for partition in {name for name, _ in reading.records}:
            mine = [record for name, record in reading.records if name == partition]
            offsets = [record.offset for record in mine]
            if any(after <= before for before, after in pairwise(offsets)):
                _fail(f"offsets of {partition!r} do not grow: {offsets[:9]} …")
            if [_identity(record) for record in mine] != sorted(_identity(record) for record in mine):
                _fail(f"the order within {partition!r} is not that of publication")


def check_records(harness: SourceHarness) -> None:
    """A record has bytes, and the time of receipt in milliseconds since the epoch."""
    harness.publish(sample_messages())
    with _reading(harness) as reading:
        reading.until(_COUNT)
        for _, record in reading.records:
            if not isinstance(record.value, bytes):
                _fail(f"expected `value` to be bytes, but got {type(record.value).__name__}")
            if not isinstance(record.timestamp, int) or not 10**12 < record.timestamp < 10**13:
                _fail("expected `timestamp` in milliseconds since the epoch")


def check_assignment(harness: SourceHarness) -> None:
    """Its reader is asked where to go on: once a partition, from within poll, and before its first record."""
    harness.publish(sample_messages())
    with _reading(harness) as reading:
        reading.until(_COUNT)
        asked = [partition for partition, _ in reading.assignment.asked]
        if reading.assignment.outside_poll:
            _fail("resume_at or revoked was called outside poll")
        # A group may rebalance at any time; what left and came back is asked about again.
        lost = reading.assignment.lost
        if any(asked.count(partition) > 1 + lost.count(partition) for partition in set(asked)):
            _fail(f"resume_at was asked more than once about a partition: {asked}, of which left {lost}")


def check_pause(harness: SourceHarness) -> None:
    """While paused nothing comes and nothing is finished; then the rest comes, none lost and none twice."""
    harness.publish(sample_messages())
    with _reading(harness) as reading:
        reading.source.resume()
        reading.source.pause()
        reading.source.pause()
        for _ in range(3):
            if reading.poll(0.05):
                _fail("records came while paused")
        if reading.source.finished:
            _fail("finished while paused with records left")
        reading.source.resume()
        reading.until(_COUNT)
        _quiet(reading)
        if sorted(reading.ids) != _all_ids():
            _fail("records were lost or repeated over a pause")


def check_resume_position(harness: SourceHarness) -> None:
    """Where its reader says a partition goes on, it goes on: at that record, not after it and not before."""
    harness.publish(sample_messages())
    with _reading(harness) as first:
        first.until(_COUNT)
    by_partition: dict[str, list[Record]] = {}
    for partition, record in first.records:
        by_partition.setdefault(partition, []).append(record)
    positions = {partition: records[len(records) // 2].offset for partition, records in by_partition.items()}
    expected = sorted(_identity(record) for partition, record in first.records if record.offset >= positions[partition])
    with _reading(harness, positions) as second:
        second.until(len(expected))
        _quiet(second)
        if sorted(second.ids) != expected:
            _fail(f"expected to go on at {positions}, but other records came")


def check_close_does_not_commit(harness: SourceHarness) -> None:
    """What was read but not committed comes again to the next reader."""
    harness.publish(sample_messages())
    with _reading(harness) as first:
        first.until(_COUNT)
    with _reading(harness) as second:
        second.until(_COUNT)
        if sorted(second.ids) != _all_ids():
            _fail("close committed: not everything came again")


def check_commit(harness: SourceHarness) -> None:
    """Committing is allowed again, also nothing at all, and disturbs nothing that is being read."""
    harness.publish(sample_messages())
    with _reading(harness) as reading:
        reading.until(1)
        for _ in range(2):
            reading.source.commit({partition: record.offset + 1 for partition, record in reading.records})
        reading.source.commit({})
        reading.until(_COUNT)
        _quiet(reading)
        if sorted(reading.ids) != _all_ids():
            _fail("records were lost or repeated after a commit")


def check_finished(harness: SourceHarness) -> None:
    """A finite source is finished when all was delivered and not before; a stream never is."""
    harness.publish(sample_messages())
    with _reading(harness) as reading:
        if reading.source.finished:
            _fail("finished before the first poll")
        reading.until(_COUNT)
        _quiet(reading)
        if reading.source.finished != harness.finite:
            _fail(f"expected `finished` to be {harness.finite} when all was delivered")


def check_lag(harness: SourceHarness) -> None:
    """Lag is never negative, and nothing when all was delivered."""
    harness.publish(sample_messages())
    with _reading(harness) as reading:
        lags = list(reading.source.lag().values())
        reading.until(1)
        lags += reading.source.lag().values()
        reading.until(_COUNT)
        _quiet(reading)
        if any(lag < 0 for lag in lags):
            _fail("a lag was negative")
        if left := sum(reading.source.lag().values()):
            _fail(f"expected a lag of 0 when all was delivered, but got {left}")


def check_poll_returns_in_time(harness: SourceHarness) -> None:
    """A poll waits no longer than it was told to, also when nothing comes and while paused."""
    harness.publish(sample_messages())
    with _reading(harness) as reading:
        reading.until(_COUNT)
        for pause in (False, True):
            if pause:
                reading.source.pause()
            began = time.monotonic()
            reading.poll(0.1)
            if (took := time.monotonic() - began) > 0.1 + _SLACK_SECONDS:
                _fail(f"a poll of 0.1 s took {took:.1f} s")


def check_close(harness: SourceHarness) -> None:
    """Closing is allowed before opening, and twice."""
    harness.publish(sample_messages())
    never = harness.connect()
    never.close()
    never.close()
    with _reading(harness) as reading:
        reading.until(1)
    reading.source.close()


def check_revoke(harness: SourceHarness) -> None:
    """A partition that is taken away is announced from within poll, and nothing of it comes afterwards."""
    if not isinstance(harness, _Rebalancing):
        return
    harness.publish(sample_messages())
    with _reading(harness) as reading:
        reading.until(1)
        taken = reading.records[0][0]
        harness.revoke(reading.source, [taken])
        deadline = time.monotonic() + _PATIENCE_SECONDS
        while taken not in reading.assignment.lost:
            reading.poll()
            if time.monotonic() > deadline:
                _fail(f"revoked was not called for {taken!r}")
        before = len(reading.records)
        _quiet(reading)
        if any(partition == taken for partition, _ in reading.records[before:]):
            _fail(f"records of {taken!r} came after it was revoked")
        if reading.assignment.outside_poll:
            _fail("revoked was called outside poll")


SOURCE_CHECKS: tuple[Callable[[SourceHarness], None], ...] = (
    check_order,
    check_records,
    check_assignment,
    check_pause,
    check_resume_position,
    check_close_does_not_commit,
    check_commit,
    check_finished,
    check_lag,
    check_poll_returns_in_time,
    check_close,
    check_revoke,
)


def check_source(make: Callable[[], SourceHarness]) -> None:
    """Run every check, each on a harness of its own.

    Raises:
        AssertionError: with the name of the check and what was expected.
    """
    for check in SOURCE_CHECKS:
        with closing(make()) as harness:
            try:
                check(harness)
            except AssertionError as error:
                raise AssertionError(f"{check.__name__}: {error}") from error


@contextmanager
def _reading(harness: SourceHarness, positions: Mapping[str, int] | None = None) -> Iterator[_Reading]:
    reading = _Reading(harness.connect(), positions)
    reading.source.open(reading.assignment)
    try:
        yield reading
    finally:
        reading.source.close()


def _quiet(reading: _Reading) -> None:
    """Give what is too much a chance to show."""
    for _ in range(3):
        reading.poll(0.05)


def _identity(record: Record) -> str:
    return str(json.loads(record.value or b"{}").get("event_id"))


def _all_ids() -> list[str]:
    return [f"e{i:04d}" for i in range(_COUNT)]


def _fail(message: str) -> NoReturn:
    raise AssertionError(message)
