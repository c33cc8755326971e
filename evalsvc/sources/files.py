"""Events from files and folders: JSON lines (plain, gzip, zstd), CSV and Parquet, read once from end to end.

A file is a partition named by its content (``file:<fingerprint>``), so that the same file replayed, or a copy
of it under another name, is the same partition and the store knows what is done. The fingerprint is the
SHA-256 of the bytes below 64 MiB, and of size, first and last 8 MiB above; a field map is part of it, since
it makes other events.
"""

from __future__ import annotations

import glob
import hashlib
import logging
import time
from collections.abc import Iterator, Mapping, Sequence
from datetime import datetime
from pathlib import Path
from typing import Any, NamedTuple

from evalsvc.errors import SourceError
from evalsvc.protocols import Assignment, Chunk
from evalsvc.sources._fieldmap import FieldMap
from evalsvc.sources._readers import reader_for, suffixes
from evalsvc.sources._record import RawRecord

log = logging.getLogger("evalsvc.sources")

_WHOLE_BELOW = 64 << 20
_ENDS = 8 << 20
_CHUNK_BYTES = 8 << 20
_PAUSED_SECONDS = 0.05


class _File(NamedTuple):
    path: Path
    partition: str
    size: int
    received_ms: int


class FileSource:
    """A :class:`~evalsvc.protocols.Source` over files. Memory stays flat whatever their size.

    Folders are searched for the known endings, sorted by path. A line that is no event is delivered as it is,
    for the decoder to refuse; a damaged container raises SourceError naming the file, after what could be
    read before. The offset of a record is its line or row number, from 0. Its timestamp is the file's
    modification time, or ``received_at``: a replay of old events wants an age limit of none.

    Args:
        paths: files, folders and patterns (``in/*.jsonl``), read in this order.
        fields: column to field, for foreign files (:class:`~evalsvc.sources._fieldmap.FieldMap`).
        constants: field to value for every row.
        assume_zone: the zone of times written without one.
        max_records: how many records a poll returns at most.
        received_at: when the records count as received, if not when the file was written.
    """

    def __init__(
        self,
        paths: Sequence[str | Path],
        fields: Mapping[str, str] | None = None,
        constants: Mapping[str, Any] | None = None,
        assume_zone: str | None = None,
        max_records: int = 2000,
        received_at: datetime | None = None,
    ) -> None:
        self.paths = tuple(Path(path) for path in paths)
        self.fields = FieldMap(fields, constants, assume_zone)
        self.max_records, self.received_at = max_records, received_at
        self.duplicates: tuple[Path, ...] = ()
        self._files: tuple[_File, ...] = ()
        self._assignment: Assignment | None = None
        self._index, self._next = 0, 0
        self._reader: Iterator[tuple[int, bytes]] | None = None
        self._error: SourceError | None = None
        self._paused = False
        self._committed: dict[str, int] = {}
        self._bytes_before, self._bytes_here, self._records_here = 0, 0, 0
        self.finite = True
        """It ends, and may have nothing left from the start."""
        self.resumed = False
        """Whether some of the files' records were done before: reading began behind them."""

    def open(self, assignment: Assignment) -> None:
        """Find the files and take their fingerprints.

        Raises:
            SourceError: a path does not exist or cannot be read, has an unknown ending, or a folder holds no
            events.
        """
        self.close()
        named = dict.fromkeys(path for given in self.paths for path in _find(given))
        found = [self._describe(path) for path in named]
        unique = {file.partition: file for file in reversed(found)}
        self._files = tuple(file for file in found if unique[file.partition] is file)
        self.duplicates = tuple(file.path for file in found if unique[file.partition] is not file)
        for path in self.duplicates:
            log.warning("file_skipped path=%s reason=same_content", path)
        self._assignment = assignment
        self._index, self._bytes_before, self._bytes_here, self.resumed = 0, 0, 0, False

    def poll(self, timeout_seconds: float) -> Sequence[Chunk]:
        """Return the next records of the current file; does not wait, except briefly while paused."""
        if self._assignment is None:
            raise SourceError("The source is not open; call open() first")
        if self._paused:
            time.sleep(min(timeout_seconds, _PAUSED_SECONDS))
            return ()
        while self._index < len(self._files):
            if self._error is not None:
                raise self._error
            file = self._files[self._index]
            records = self._read(file, self._assignment)
            if records:
                return (Chunk(file.partition, records),)
            if self._error is None:
                self._advance(file)
        return ()

    def place(self, partition: str, offset: int) -> str:
        """Return where a person finds a record: the file, and its line (Parquet: row), from 1."""
        path = next((str(file.path) for file in self._files if file.partition == partition), partition)
        return f"{path}:{offset + 1}"

    def pause(self) -> None:
        """Deliver nothing until :meth:`resume`."""
        self._paused = True

    def resume(self) -> None:
        """Deliver again."""
        self._paused = False

    def commit(self, positions: Mapping[str, int]) -> None:
        """Remember positions for the life of this object; across runs the store's ledger does."""
        for partition, offset in positions.items():
            self._committed[partition] = max(offset, self._committed.get(partition, 0))

    def lag(self) -> Mapping[str, int]:
        """Return about how many records wait: bytes left over the mean record; nothing before the first."""
        if self._index >= len(self._files):
            return {file.partition: 0 for file in self._files}
        if not self._records_here or not self._bytes_here:
            return {}
        file = self._files[self._index]
        left = max(file.size - self._bytes_here, 0)
        return {file.partition: round(left * self._records_here / self._bytes_here)}

    @property
    def finished(self) -> bool:
        """Whether every record of every file was delivered."""
        return self._assignment is not None and self._index >= len(self._files)

    @property
    def bytes_read(self) -> int:
        """How many bytes of the files were read, as they lie on disk; for a progress bar."""
        return self._bytes_before + self._bytes_here

    @property
    def total_bytes(self) -> int:
        """How many bytes the files have together; known after :meth:`open`."""
        return sum(file.size for file in self._files)

    def close(self) -> None:
        """Close the current file."""
        reader, self._reader, self._assignment, self._error = self._reader, None, None, None
        if reader is not None:
            reader.close()  # type: ignore[attr-defined]

    def _describe(self, path: Path) -> _File:
        try:
            stat = path.stat()
            partition = "file:" + fingerprint(path, self.fields.identity if self.fields else b"")
        except OSError as error:
            raise SourceError(
                f"{path}: cannot be read ({error.strerror}); check the path and its permissions"
            ) from error
        moment = stat.st_mtime if self.received_at is None else self.received_at.timestamp()
        return _File(path, partition, stat.st_size, int(moment * 1000))

    def _start(self, file: _File, assignment: Assignment) -> Iterator[tuple[int, bytes]]:
        committed = self._committed.get(file.partition)
        wanted = assignment.resume_at(file.partition, committed)
        start = wanted if wanted is not None else committed or 0
        self.resumed = self.resumed or start > 0
        reader = reader_for(file.path)
        if reader is None:
            raise SourceError(f"{file.path}: expected a file ending in {suffixes()}")
        self._records_here = 0
        name = file.partition.replace(":", "-")
        return reader(file.path, start, self.fields, name, self._note_progress)

    def _note_progress(self, done: int) -> None:
        self._bytes_here = done

    def _read(self, file: _File, assignment: Assignment) -> list[RawRecord]:
        records: list[RawRecord] = []
        size = 0
        try:
            if self._reader is None:
                self._reader = self._start(file, assignment)
            for number, value in self._reader:
                records.append(RawRecord(number, value, file.received_ms))
                size += len(value)
                if len(records) >= self.max_records or size >= _CHUNK_BYTES:
                    break
        except OSError as error:
            self._error = SourceError(f"{file.path}: reading failed ({error.strerror or error})")
        except SourceError as error:
            self._error = error
        self._records_here += len(records)
        return records

    def _advance(self, file: _File) -> None:
        self._reader = None
        self._index += 1
        self._bytes_before += file.size
        self._bytes_here = 0


def fingerprint(path: Path, salt: bytes = b"") -> str:
    """Return 32 hexadecimal digits, equal for equal content; above 64 MiB of size, first and last 8 MiB."""
    digest = hashlib.sha256(salt)
    size = path.stat().st_size
    with path.open("rb") as file:
        if size < _WHOLE_BELOW:
            while block := file.read(1 << 20):
                digest.update(block)
        else:
            digest.update(b"size %d\n" % size + file.read(_ENDS))
            file.seek(-_ENDS, 2)
            digest.update(file.read(_ENDS))
    return digest.hexdigest()[:32]


def _find(given: Path) -> list[Path]:
    if not given.exists() and glob.has_magic(str(given)):
        matches = sorted(glob.glob(str(given), recursive=True))
        if not matches:
            raise SourceError(f"{given}: no file or folder matches; check the pattern, or wait until there is one")
        return [path for match in matches for path in _find(Path(match))]
    if given.is_dir():
        found = sorted(path for path in given.rglob("*") if path.is_file() and reader_for(path) is not None)
        if not found:
            raise SourceError(f"{given}: the folder holds no file ending in {suffixes()}")
        return found
    if not given.exists():
        raise SourceError(f"{given}: no such file or folder; check the path")
    if reader_for(given) is None:
        raise SourceError(f"{given}: expected a file ending in {suffixes()}")
    return [given]
