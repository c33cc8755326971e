"""The files of the write-ahead log: segments of framed records, the folder's lock and identity."""

from __future__ import annotations

import contextlib
import fcntl
import os
import struct
import uuid
import zlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import IO

from evalsvc._durable import sync
from evalsvc.errors import SourceError
from evalsvc.sources._record import RawRecord

MAGIC = b"evalsvc wal v1\n\0"
FRAME = struct.Struct("<IIQq")
_COVERED = struct.Struct("<IQq")
_READ_BYTES = 1 << 20


@dataclass(slots=True)
class Segment:
    """One file: the number of its first record, the number after its last, and its durable size."""

    path: Path
    first: int
    end: int
    size: int


class Cursor:
    """Reads one segment forwards, only what is durable: bytes behind that may yet be rewritten."""

    def __init__(self, segment: Segment) -> None:
        self.file: IO[bytes] = segment.path.open("rb", buffering=0)
        self.file.seek(len(MAGIC))
        self.segment, self.number = segment, segment.first
        self._fetched, self._block, self._used = len(MAGIC), b"", 0

    def next(self) -> RawRecord | None:
        """Return the next record, or None at the end of the segment."""
        if self._fetched - len(self._block) + self._used >= self.segment.size:
            return None
        length, crc, number, received_ms = FRAME.unpack(self._take(FRAME.size))
        payload = self._take(length)
        if number != self.number or crc != _crc(length, number, received_ms, payload):
            raise self._damaged()
        self.number += 1
        return RawRecord(number, payload, received_ms)

    def _take(self, count: int) -> bytes:
        while len(self._block) - self._used < count:
            wanted = min(_READ_BYTES, self.segment.size - self._fetched)
            block = self.file.read(wanted) if wanted > 0 else b""
            if not block:
                raise self._damaged()
            self._block, self._used = self._block[self._used :] + block, 0
            self._fetched += len(block)
        part = self._block[self._used : self._used + count]
        self._used += count
        return part

    def _damaged(self) -> SourceError:
        return SourceError(f"{self.segment.path}: record {self.number} is damaged; restore the folder from a copy")


def _crc(length: int, number: int, received_ms: int, payload: bytes) -> int:
    return zlib.crc32(payload, zlib.crc32(_COVERED.pack(length, number, received_ms)))


def frame(number: int, received_ms: int, payload: bytes) -> bytes:
    """Return a record as it lies on the disk."""
    crc = _crc(len(payload), number, received_ms, payload)
    return FRAME.pack(len(payload), crc, number, received_ms) + payload


def sound_frames(path: Path, first: int) -> Iterator[int]:
    """Yield the sizes of the frames that are whole, up to the first that is not."""
    with path.open("rb") as file:
        if file.read(len(MAGIC)) != MAGIC:
            return
        number = first
        while len(head := file.read(FRAME.size)) == FRAME.size:
            length, crc, found, received_ms = FRAME.unpack(head)
            if found != number:
                return
            payload = file.read(length)
            if len(payload) != length or crc != _crc(length, found, received_ms, payload):
                return
            number += 1
            yield FRAME.size + length


def repair(segment: Segment, last: bool) -> None:
    """Cut off what a crash left unfinished at the very end; refuse damage anywhere else."""
    if not last:
        raise SourceError(f"{segment.path}: damaged at byte {segment.size}; restore the folder from a copy")
    with segment.path.open("r+b") as file:
        if segment.end == segment.first:
            file.write(MAGIC)
        file.truncate(segment.size)
        os.fsync(file.fileno())


def new_segment(folder: Path, first: int) -> Path:
    """Make an empty segment, durable together with its name; leave nothing where that fails."""
    path = folder / f"{first:020d}.wal"
    try:
        with path.open("wb") as file:
            file.write(MAGIC)
            file.flush()
            os.fsync(file.fileno())
        sync(folder)
    except OSError:
        with contextlib.suppress(OSError):
            path.unlink(missing_ok=True)
        raise
    return path


def without_strays(paths: Sequence[Path], end: int) -> list[Path]:
    """Delete segments without a record that begin before ``end``: a roll that failed left them."""
    kept: list[Path] = []
    for path in paths:
        if int(path.stem) < end and path.stat().st_size <= len(MAGIC):
            path.unlink()
        else:
            kept.append(path)
    return kept


def write_all(handle: int, data: bytearray) -> None:
    """Write all of it, however many calls that takes."""
    view = memoryview(data)
    while view:
        view = view[os.write(handle, view) :]


def lock(folder: Path) -> IO[bytes]:
    """Return the open lock file of a folder, with this process's number in it; refuse when another one has it."""
    file = (folder / "lock").open("a+b")
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError as error:
        file.seek(0)
        number = file.read(20).decode("ascii", "replace").strip()
        file.close()
        who = f"process {number}" if number.isdigit() else "another process"
        raise SourceError(
            f"{folder} is written by {who}: an `evalsvc up` or `run` that has this consumer. Use or stop that one, "
            "or give this consumer a `source.http.wal` of its own"
        ) from error
    file.truncate(0)
    file.write(str(os.getpid()).encode())
    file.flush()
    return file


def identity_of(folder: Path) -> str:
    """Return the folder's identity, made when there is none."""
    path = folder / "id"
    if path.exists() and (found := path.read_text(encoding="ascii").strip()):
        return found
    identity = uuid.uuid4().hex
    with path.open("w", encoding="ascii") as file:
        file.write(identity)
        file.flush()
        os.fsync(file.fileno())
    sync(folder)
    return identity


def read_number(path: Path) -> int:
    """Return the number in a small file, 0 where there is none."""
    try:
        return int(path.read_text(encoding="ascii") or 0)
    except (FileNotFoundError, ValueError):
        return 0
