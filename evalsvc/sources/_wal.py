"""A write-ahead log: what a client is promised is on the disk before the promise, and survives ``kill -9``.

A folder of segment files, each named by the number of its first record. A frame is ``length crc number
received_ms`` (little-endian, 24 bytes) and the payload; the CRC-32 covers all but itself. One thread writes:
it takes whatever waits, writes it, calls fsync once for all of it (group commit) and then answers. Readers
see a record only after that fsync, so a number never comes back with another content. A frame that was cut
off by a crash at the end of the last segment is removed when the log is opened; a bad frame anywhere else is
reported, never skipped.
"""

from __future__ import annotations

import errno
import os
import threading
from collections import deque
from collections.abc import Sequence
from concurrent.futures import Future
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

from evalsvc.errors import SourceError, SourceUnavailable
from evalsvc.sources._record import RawRecord
from evalsvc.sources._segments import (
    FRAME,
    MAGIC,
    Cursor,
    Segment,
    frame,
    identity_of,
    lock,
    new_segment,
    read_number,
    repair,
    sound_frames,
    without_strays,
    write_all,
)

_FULL = frozenset({errno.ENOSPC, errno.EDQUOT, errno.EFBIG})
_MARK_EVERY = 256


class LogFull(SourceUnavailable):
    """The log takes nothing now; ``disk`` says whether the disk is full, or the reader is behind."""

    def __init__(self, message: str, disk: bool) -> None:
        self.disk = disk
        super().__init__(message)


@dataclass(slots=True)
class _Request:
    payloads: Sequence[bytes]
    received_ms: int
    answer: Future[int]


class WriteAheadLog:
    """One folder, one process. ``submit`` from any thread, ``read`` and ``commit`` from one reader's."""

    def __init__(
        self,
        folder: Path,
        segment_bytes: int = 64 << 20,
        max_backlog_bytes: int = 1 << 30,
        tidy_bytes: int = 1 << 20,
    ) -> None:
        """Open or make the log, and remove a frame that a crash cut off.

        Args:
            folder: made if absent.
            segment_bytes: a segment that reaches this size is closed, and deleted once it is committed.
            max_backlog_bytes: beyond this much uncommitted data, ``submit`` refuses.
            tidy_bytes: a segment of this size is closed as soon as all of it is committed.

        Raises:
            SourceError: another process has the folder, it cannot be written, or a segment is damaged.
        """
        self.folder, self.segment_bytes = folder, segment_bytes
        self.max_backlog_bytes, self.tidy_bytes = max_backlog_bytes, tidy_bytes
        self._changed = threading.Condition()
        self._waiting: deque[_Request] = deque()
        self._closing, self._roll_soon = False, False
        self._broken: OSError | None = None
        self._marks: deque[tuple[int, int]] = deque()
        self._written_bytes, self._committed_bytes, self._queued_bytes = 0, 0, 0
        self._cursor: Cursor | None = None
        try:
            folder.mkdir(parents=True, exist_ok=True)
            self._lock = lock(folder)
            with ExitStack() as undo:
                undo.callback(self._lock.close)
                self.identity = identity_of(folder)
                self._segments = self._recover()
                self._file = os.open(self._segments[-1].path, os.O_WRONLY | os.O_APPEND)
                undo.pop_all()
        except OSError as error:
            raise SourceError(f"{folder}: the log cannot be opened ({error.strerror}); check space, owner") from error
        self.end = self._segments[-1].end
        self.committed = max(read_number(folder / "committed"), self._segments[0].first)
        self._note_committed()
        self._writer = threading.Thread(target=self._write_loop, name="evalsvc-wal", daemon=True)
        self._writer.start()

    @property
    def backlog_bytes(self) -> int:
        """How many bytes wait: written and not committed, or about to be written."""
        return self._written_bytes - self._committed_bytes + self._queued_bytes

    def submit(self, payloads: Sequence[bytes], received_ms: int) -> Future[int]:
        """Append records together; the future gives the number of the first once all of them are on the disk.

        Raises:
            LogFull: the backlog is at its bound, or (from the future) the disk is full: none of them was
            taken.
            SourceUnavailable: the log is closed or broken.
        """
        size = sum(map(len, payloads)) + FRAME.size * len(payloads)
        request = _Request(payloads, received_ms, Future())
        with self._changed:
            if self._closing or self._broken is not None:
                raise SourceUnavailable(f"{self.folder}: the log is closed ({self._broken or 'shutting down'})")
            if self.backlog_bytes + size > self.max_backlog_bytes:
                raise LogFull(f"{self.backlog_bytes} bytes wait to be evaluated; try again later", disk=False)
            self._queued_bytes += size
            self._waiting.append(request)
            self._changed.notify_all()
        return request.answer

    def read(self, position: int, max_records: int, max_bytes: int) -> list[RawRecord]:
        """Return durable records from a number on, in order; empty at the end.

        Raises:
            SourceError: a record that was durable cannot be read any more.
        """
        records: list[RawRecord] = []
        size, end = 0, self.end
        if self._cursor is None or self._cursor.number != position:
            self._seek(max(position, self._segments[0].first))
        while (
            self._cursor is not None and self._cursor.number < end and len(records) < max_records and size < max_bytes
        ):
            record = self._cursor.next()
            if record is None:
                self._seek(self._cursor.number)
                continue
            records.append(record)
            size += len(record.value)
        return records

    def wait(self, position: int, timeout_seconds: float) -> bool:
        """Wait until there is a record with this number; return whether there is."""
        with self._changed:
            return self._changed.wait_for(lambda: self.end > position or self._closing, timeout_seconds)

    def commit(self, position: int) -> None:
        """Forget what is before a number: whole segments are deleted. A lost call only repeats records.

        Raises:
            SourceUnavailable: the disk refuses; segments that could not be deleted are tried again next time.
        """
        with self._changed:
            self.committed = max(self.committed, min(position, self.end))
            self._note_committed()
            done = [segment for segment in self._segments[:-1] if segment.end <= self.committed]
            active = self._segments[-1]
            self._roll_soon |= self.committed == self.end and active.size >= self.tidy_bytes
        try:
            # First what gives space back: on a full disk the mark could not be written before.
            for segment in done:
                segment.path.unlink(missing_ok=True)
                with self._changed:
                    self._segments = self._segments[1:]
            scratch = self.folder / "committed.new"
            scratch.write_text(str(self.committed), encoding="ascii")
            scratch.replace(self.folder / "committed")
        except OSError as error:
            raise SourceUnavailable(
                f"{self.folder}: what is done cannot be noted ({error.strerror}); check space, owner"
            ) from error

    def close(self) -> None:
        """Write what waits, then let go of the folder. May be called twice."""
        with self._changed:
            if self._closing:
                return
            self._closing = True
            self._changed.notify_all()
        self._writer.join()
        self._seek(None)
        os.close(self._file)
        self._lock.close()

    # The writer's thread.

    def _write_loop(self) -> None:
        while True:
            with self._changed:
                self._changed.wait_for(lambda: self._waiting or self._closing)
                if not self._waiting:
                    return
                taken = list(self._waiting)
                self._waiting.clear()
            requests = [request for request in taken if request.answer.set_running_or_notify_cancel()]
            try:
                firsts = self._write(requests)
            except OSError as error:
                failure = self._failure(error)
                for request in requests:
                    request.answer.set_exception(failure)
            else:
                for request, first in zip(requests, firsts, strict=True):
                    request.answer.set_result(first)
            with self._changed:
                self._queued_bytes = sum(
                    sum(map(len, request.payloads)) + FRAME.size * len(request.payloads) for request in self._waiting
                )

    def _write(self, requests: Sequence[_Request]) -> list[int]:
        if self._segments[-1].size >= self.segment_bytes or (self._roll_soon and self._segments[-1].size > len(MAGIC)):
            self._roll()
        number, firsts, frames = self.end, [], bytearray()
        for request in requests:
            firsts.append(number)
            for payload in request.payloads:
                frames += frame(number, request.received_ms, payload)
                number += 1
        segment = self._segments[-1]
        try:
            write_all(self._file, frames)
            os.fdatasync(self._file)
        except OSError:
            self._undo(segment)
            raise
        with self._changed:
            segment.size += len(frames)
            self._written_bytes += len(frames)
            segment.end = self.end = number
            self._marks.append((number, self._written_bytes))
            self._changed.notify_all()
        return firsts

    def _undo(self, segment: Segment) -> None:
        """Cut the segment back to what was promised, so that nothing is half accepted."""
        try:
            os.ftruncate(self._file, segment.size)
        except OSError as error:
            self._broken = error

    def _roll(self) -> None:
        path = new_segment(self.folder, self.end)
        opened = os.open(path, os.O_WRONLY | os.O_APPEND)
        os.close(self._file)
        self._file = opened
        with self._changed:
            # Not before: where rolling fails it is tried again, so that no later number passes the new name.
            self._roll_soon = False
            self._segments = [*self._segments, Segment(path, self.end, self.end, len(MAGIC))]

    def _failure(self, error: OSError) -> SourceUnavailable:
        if error.errno in _FULL:
            return LogFull(f"{self.folder}: the disk is full ({error.strerror}); nothing was taken", disk=True)
        return SourceUnavailable(f"{self.folder}: writing failed ({error.strerror}); nothing was taken")

    # Recovery and bookkeeping.

    def _recover(self) -> list[Segment]:
        paths = sorted(self.folder.glob("*.wal")) or [new_segment(self.folder, read_number(self.folder / "committed"))]
        segments: list[Segment] = []
        while paths:
            path, *paths = paths
            segment = Segment(path, int(path.stem), int(path.stem), len(MAGIC))
            if segments and segments[-1].end != segment.first:
                raise SourceError(f"{path}: record {segments[-1].end} is missing before it; restore the folder")
            for size in sound_frames(path, segment.first):
                segment.end += 1
                segment.size += size
                self._written_bytes += size
                if segment.end % _MARK_EVERY == 0:
                    self._marks.append((segment.end, self._written_bytes))
            paths = without_strays(paths, segment.end)
            if path.stat().st_size != segment.size:
                repair(segment, last=not paths)
            self._marks.append((segment.end, self._written_bytes))
            segments.append(segment)
        return segments

    def _note_committed(self) -> None:
        while self._marks and self._marks[0][0] <= self.committed:
            self._committed_bytes = self._marks.popleft()[1]

    def _seek(self, position: int | None) -> None:
        if self._cursor is not None:
            self._cursor.file.close()
            self._cursor = None
        if position is None:
            return
        with self._changed:
            inside = [segment for segment in self._segments if segment.first <= position]
        self._cursor = Cursor(inside[-1])
        while self._cursor.number < position and self._cursor.next() is not None:
            pass
