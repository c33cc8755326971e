"""The sources that need no broker keep the public contract."""

from __future__ import annotations

import gzip
from collections.abc import Callable, Sequence
from pathlib import Path

import pytest

from evalsvc.protocols import Source
from evalsvc.sources._wal import WriteAheadLog
from evalsvc.sources.decode import decode, encode_masked
from evalsvc.sources.files import FileSource
from evalsvc.sources.http import HttpSource
from evalsvc.testing.sources import SOURCE_CHECKS, MemoryLog, MemorySource, SourceHarness
from evalsvc.types import Event


class MemoryHarness:
    """The fake itself."""

    def __init__(self, finite: bool = False, kind: type[MemorySource] = MemorySource) -> None:
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


class FileHarness:
    """Two files, plain and packed, with blank lines between."""

    finite = True

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def publish(self, values: Sequence[bytes]) -> None:
        """Write one half to each file."""
        half = len(values) // 2
        (self.folder / "a.jsonl").write_bytes(b"\n\n".join(values[:half]) + b"\n")
        (self.folder / "b.jsonl.gz").write_bytes(gzip.compress(b"\n".join(values[half:])))

    def connect(self) -> Source:
        """Read the folder anew."""
        return FileSource([self.folder], max_records=7)

    def close(self) -> None:
        """The folder is pytest's."""


class HttpHarness:
    """The log of an HTTP source, filled as its endpoint fills it."""

    finite = False

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def publish(self, values: Sequence[bytes]) -> None:
        """Write them in segments small enough to be closed."""
        wal = WriteAheadLog(self.folder, segment_bytes=1000)
        for value in values:
            wal.submit([encode_masked(decode(value))], 1_767_225_600_000).result()
        wal.close()

    def connect(self) -> Source:
        """Open the folder anew."""
        return HttpSource(self.folder, mask=_same)

    def close(self) -> None:
        """The folder is pytest's."""


def _same(event: Event) -> Event:
    return event


HARNESSES: dict[str, Callable[[Path], SourceHarness]] = {
    "memory": lambda _: MemoryHarness(),
    "memory-finite": lambda _: MemoryHarness(finite=True),
    "files": FileHarness,
    "http": HttpHarness,
}


@pytest.mark.parametrize("name", HARNESSES)
@pytest.mark.parametrize("check", SOURCE_CHECKS, ids=lambda check: check.__name__)
def test_contract(name: str, check: Callable[[SourceHarness], None], tmp_path: Path) -> None:
    """Every check on every source."""
    check(HARNESSES[name](tmp_path))
