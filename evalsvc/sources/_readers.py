"""Files into numbered messages, one at a time: JSON lines (plain, gzip, zstd), CSV, Parquet.

A reader yields ``(number, message)`` from a given number on. Numbers count lines from 0 (blank ones and a CSV file's
header too, so that number n is line n + 1), of Parquet rows. What is no event is yielded as it is, for the decoder to
refuse; a container that cannot be read raises SourceError with the file's name.
"""

from __future__ import annotations

import csv
import gzip
import io
import zlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import IO, Any, Protocol, cast

import msgspec

from evalsvc.errors import MissingExtra, SourceError
from evalsvc.sources._csv_rows import NAME, rows_of
from evalsvc.sources._wire import BEYOND_HEADER, MAX_EVENT_BYTES

Numbered = Iterator[tuple[int, bytes]]
Progress = Callable[[int], None]


class RowMap(Protocol):
    """Which column of a foreign file is which field of ours: of an event's, or of a case's."""

    @property
    def fields(self) -> Mapping[str, str]:
        """Column to field."""
        ...

    def __bool__(self) -> bool:
        """Whether it changes anything in a row of JSON."""
        ...

    def native(self, row: Mapping[str, Any], name: str, /) -> bytes:
        """Return the row as native JSON; ``name`` serves where the row has none."""
        ...


Reader = Callable[[Path, int, RowMap, str, Progress], Numbered]

_BLOCK = 1 << 20


def reader_for(path: Path) -> Reader | None:
    """Return the reader for a file's name, or None where there is none."""
    name = path.name.lower()
    return next((reader for suffixes, reader in _READERS.items() if name.endswith(suffixes)), None)


def suffixes() -> str:
    """Return the endings that can be read, for a message."""
    return ", ".join(suffix for group in _READERS for suffix in group)


def read_lines(path: Path, start: int, fields: RowMap, name: str, progress: Progress) -> Numbered:
    """Yield the lines of a JSONL file that are not blank; of too long a line the beginning."""
    with ExitStack() as stack:
        raw = stack.enter_context(path.open("rb"))
        lines = stack.enter_context(_decompressed(path, raw))
        number = -1
        while True:
            try:
                line = lines.readline(MAX_EVENT_BYTES + 2)
                if len(line) == MAX_EVENT_BYTES + 2 and not line.endswith(b"\n"):
                    _skip_line(lines)
            except (EOFError, OSError, zlib.error) as error:
                raise SourceError(
                    f"{path}: the compressed data is damaged or cut off after line {number + 1} ({error}); "
                    "fetch the file again, or cut it there"
                ) from error
            if not line:
                progress(raw.tell())
                return
            number += 1
            if number < start:
                continue
            if number == 0 and line.lstrip()[:1] == b"[" and path.suffix == ".json":
                raise SourceError(f"{path}: expected one JSON object a line, but got an array; try: jq -c '.[]'")
            text = line.strip()
            if text:
                progress(raw.tell())
                yield number, _mapped(text, fields, f"{name}-{number}") if fields else text


def read_csv(path: Path, start: int, fields: RowMap, name: str, progress: Progress) -> Numbered:
    """Yield the rows of a CSV file with a header as native JSON; empty cells are absent.

    The header tells by what cells are separated: commas, or where it has none, semicolons or tabs.
    """
    csv.field_size_limit(max(csv.field_size_limit(), 4 * MAX_EVENT_BYTES))
    with ExitStack() as stack:
        raw = stack.enter_context(path.open("rb"))
        data = stack.enter_context(_decompressed(path, raw))
        # Bytes that are no UTF-8 travel on as surrogates, which the decoder refuses in their own row.
        text = io.TextIOWrapper(data, "utf-8-sig", "surrogateescape", newline="")
        rows = rows_of(path, text, fields.fields)
        _, header = next(((number, cells) for number, cells in rows if cells != []), (0, []))
        if isinstance(header, bytes):
            raise SourceError(f"{path}: the header cannot be read: a quote is not closed, or a name is too long")
        if not header:
            return
        _require_columns(path, header, fields)
        for number, cells in rows:
            if number >= start and cells != []:
                progress(raw.tell())
                whole = cells if isinstance(cells, bytes) else fields.native(_row(header, cells), f"{name}-{number}")
                yield number, whole


def read_parquet(path: Path, start: int, fields: RowMap, name: str, progress: Progress) -> Numbered:
    """Yield the rows of a Parquet file as native JSON, a row group's batches at a time."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    try:
        with pq.ParquetFile(path) as file:
            number, done, size = 0, 0, path.stat().st_size
            for group in range(file.num_row_groups):
                rows = file.metadata.row_group(group).num_rows
                done += file.metadata.row_group(group).total_byte_size
                if number + rows <= start:
                    number += rows
                    continue
                for batch in file.iter_batches(1024, row_groups=[group]):
                    for row in _plain(batch).to_pylist():
                        if number >= start:
                            yield number, fields.native(row, f"{name}-{number}")
                        number += 1
                progress(min(done, size))
            progress(size)
    except (pa.ArrowException, OSError) as error:
        raise SourceError(f"{path}: not a whole Parquet file ({error}); fetch it again") from error


def _plain(batch: Any) -> Any:  # noqa: ANN401
    """Cut nanoseconds to microseconds, which is what Python's datetime and the store hold."""
    import pyarrow as pa

    fields = [
        field.with_type(pa.timestamp("us", field.type.tz)) if pa.types.is_timestamp(field.type) else field
        for field in batch.schema
    ]
    return batch.cast(pa.schema(fields), safe=False)


def _decompressed(path: Path, raw: IO[bytes]) -> IO[bytes]:
    name = path.name.lower()
    if name.endswith(".gz"):
        return cast("IO[bytes]", gzip.GzipFile(fileobj=raw))
    if name.endswith(".zst"):
        return cast("IO[bytes]", io.BufferedReader(_Zstd(raw), _BLOCK))
    return raw


class _Zstd(io.RawIOBase):
    """A zstd stream that knows when it was cut off, which the package's own reader keeps to itself."""

    def __init__(self, raw: IO[bytes]) -> None:
        try:
            import zstandard
        except ImportError as error:
            raise MissingExtra("zstandard", "kafka") from error
        self._error: type[Exception] = zstandard.ZstdError
        self._new: Callable[[], Any] = zstandard.ZstdDecompressor().decompressobj
        self._raw, self._frame, self._left = raw, self._new(), b""

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:  # noqa: ANN401
        while not self._left:
            block = self._raw.read(_BLOCK // 8)
            if not block:
                if not self._frame.eof:
                    raise EOFError("the last zstd frame is not complete")
                return 0
            self._feed(block)
        part, self._left = self._left[: len(buffer)], self._left[len(buffer) :]
        buffer[: len(part)] = part
        return len(part)

    def _feed(self, block: bytes) -> None:
        try:
            while block:
                if self._frame.eof:
                    self._frame = self._new()
                self._left += self._frame.decompress(block)
                block = self._frame.unused_data if self._frame.eof else b""
        except self._error as error:
            raise OSError(str(error)) from error


def _skip_line(lines: IO[bytes]) -> None:
    while (rest := lines.readline(_BLOCK)) and not rest.endswith(b"\n"):
        pass


def _mapped(text: bytes, fields: RowMap, event_id: str) -> bytes:
    """Map one line; what is no object is left for the decoder to refuse."""
    try:
        row = msgspec.json.decode(text)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
        return text
    return fields.native(row, event_id) if isinstance(row, dict) else text


def _require_columns(path: Path, header: Sequence[str], fields: RowMap) -> None:
    """Refuse a map of columns that are not there: every row would lack the field, and say so a thousand times."""
    absent = [column for column in fields.fields if column not in header]
    if absent:
        # Of a file without a header the first line is an event's text, which no message may repeat.
        names = ", ".join(header) if all(map(NAME.fullmatch, header)) else f"{len(header)}, not all of them names"
        raise SourceError(
            f"{path}: there is no column {', '.join(map(repr, absent))} (columns: {names}); "
            "correct the names on the left of --field, or of `fields`"
        )


def _row(header: list[str], cells: list[str]) -> dict[str, Any]:
    """Pair header and cells; a header that comes twice collects a list."""
    row: dict[str, Any] = {}
    for column, cell in zip(header, cells, strict=False):
        if cell:
            row[column] = [*_as_list(row[column]), cell] if column in row else cell
    if len(cells) > len(header):
        row[BEYOND_HEADER] = f"the row has {len(cells):,} cells, the header {len(header):,}"
    return row


def _as_list(found: Any) -> list[Any]:  # noqa: ANN401
    return found if isinstance(found, list) else [found]


def _packed(*plain: str) -> tuple[str, ...]:
    return tuple(suffix + packing for packing in ("", ".gz", ".zst") for suffix in plain)


_READERS: dict[tuple[str, ...], Reader] = {
    _packed(".jsonl", ".ndjson", ".json"): read_lines,
    _packed(".csv"): read_csv,
    (".parquet",): read_parquet,
}
