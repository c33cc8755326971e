"""The rows of CSV: by what its cells are separated, and where each begins, whatever a quote that is not closed does."""

from __future__ import annotations

import csv
import re
import zlib
from collections import deque
from collections.abc import Collection, Iterable, Iterator
from pathlib import Path

from evalsvc.errors import SourceError
from evalsvc.sources._wire import OVERSIZED_ROW, UNREADABLE_ROW

NAME = re.compile(r"[A-Za-z_][\w.-]{0,63}")
"""What is a column's name beyond doubt, and no text."""

_OTHERS = {";": "`;`", "\t": "tabs"}
"""What separates cells where spreadsheets write no commas."""


def rows_of(path: Path, text: Iterable[str], columns: Collection[str]) -> Iterator[tuple[int, list[str] | bytes]]:
    """Yield the line on which a row begins and its cells: none of a blank line, or what stands for a broken row.

    A quote that is never closed swallows what follows, up to some other quote or the end of the file. So the row that
    began with it counts as unreadable, and reading goes on with the line after it.

    Args:
        path: of the file, for messages.
        text: its lines.
        columns: those that are known to be there.

    Raises:
        SourceError: the file is damaged, or by what its cells are separated is not certain.
    """
    lines = _Lines(path, text)
    separator = _separator(path, lines.header(), columns)
    while True:
        lines.begin()
        try:
            cells = next(csv.reader(lines, delimiter=separator, strict=True), None)
        except csv.Error as error:
            if "field limit" in str(error):
                lines.skip_row()
                yield lines.number, OVERSIZED_ROW
            else:
                yield lines.number, UNREADABLE_ROW
                lines.step_back()
            continue
        if cells is None:
            return
        yield lines.number, cells


def _separator(path: Path, header: str, columns: Collection[str]) -> str:
    """Return by what cells are separated: another than a comma where the header makes that certain."""
    if "," in header or header.strip('"') in columns:
        return ","
    for separator, said in _OTHERS.items():
        names = [name for name in _cells(header, separator) if name]
        if len(names) < 2:
            continue
        if all(name in columns or NAME.fullmatch(name) for name in names):
            return separator
        raise SourceError(
            f"{path}: the header has no comma and is separated by {said}, but not all of it are names of columns; "
            "name each column in the first line, of letters, digits, _, - and dots, or separate the cells by commas"
        )
    return ","


def _cells(line: str, separator: str) -> list[str]:
    try:
        return next(csv.reader([line], delimiter=separator, strict=True), [])
    except csv.Error:
        return []


class _Lines:
    """The lines of a file, of which those of one row can be given back but for the first."""

    def __init__(self, path: Path, text: Iterable[str]) -> None:
        self._path, self._text = path, iter(text)
        self._again: deque[str] = deque()
        self._row: list[str] = []
        self.number = 0
        """The line on which the current row begins, from 0."""

    def header(self) -> str:
        """Return the first line that is not blank; it is still to be read. Empty where there is none."""
        seen: list[str] = []
        while not "".join(seen[-1:]).strip():
            try:
                seen.append(self._read())
            except StopIteration:
                break
        self._again.extend(seen)
        return "".join(seen[-1:]).strip("\r\n")

    def begin(self) -> None:
        self.number += len(self._row)
        self._row = []

    def step_back(self) -> None:
        self._again.extendleft(reversed(self._row[1:]))
        del self._row[1:]

    def skip_row(self) -> None:
        """Go on behind a row that is too large: to where its quotes pair, or to the end of the file."""
        quotes, lines = sum(line.count('"') for line in self._row), len(self._row)
        while quotes % 2:
            line = self._again.popleft() if self._again else next(self._text, "")
            if not line:
                break
            quotes, lines = quotes + line.count('"'), lines + 1
        self._row = [""] * lines

    def __iter__(self) -> Iterator[str]:
        return self

    def __next__(self) -> str:
        line = self._again.popleft() if self._again else self._read()
        self._row.append(line)
        return line

    def _read(self) -> str:
        try:
            return next(self._text)
        except (EOFError, OSError, zlib.error) as error:
            raise SourceError(
                f"{self._path}: the compressed data is damaged or cut off ({error}); fetch it again"
            ) from error
