"""Cases from files (JSON lines, CSV, Parquet) and Hugging Face-style folders, and to files.

Every mistake is found at once, with its file and line. Where a file has no names for its cases, a case is called by
the first digits of its digest, so that it keeps its name when the file is sorted otherwise.
"""

from __future__ import annotations

import gzip
import os
from collections.abc import Iterable, Mapping
from pathlib import Path
from types import MappingProxyType

import msgspec

from evalsvc.cases._checking import read_row
from evalsvc.cases._columns import CaseColumns
from evalsvc.cases._folders import data_files
from evalsvc.cases.values import Case, CaseSet
from evalsvc.errors import ConfigError, InputError, Problem, SourceError
from evalsvc.sources._readers import reader_for, suffixes

MOST_PROBLEMS = 20
"""How many mistakes are shown; of the others their number."""

_BOM = b"\xef\xbb\xbf"


def read_cases(
    path: str | Path,
    *,
    fields: Mapping[str, str] = MappingProxyType({}),
    split: str = "",
    config: str = "",
    merge: bool = False,
) -> CaseSet:
    """Read a set of cases; the format is that of ``docs/reference/cases.md``.

    Args:
        path: a file ending in .jsonl, .ndjson, .csv (each also .gz or .zst) or .parquet, or a folder of such files in
            Hugging Face's layout.
        fields: column to field, for foreign names: ``{"question": "prompt", "answers": "reference"}``.
        split: of a folder, as in ``test``; needed where it has several.
        config: of a folder whose README has several (default: the one that it calls so).
        merge: whether cases of one content become the first of them instead of a mistake, with their common weight and
            all of their tags, and critical where one of them is.

    Raises:
        SourceError: the path does not exist, is of another kind, or is damaged.
        ConfigError: with up to 20 mistakes and the number of all of them; none quotes a text.
        InputError: there is no case in it, or ``fields`` names no field.
    """
    given = Path(path)
    if not given.exists():
        raise SourceError(f"{given}: no such file or folder; check the path")
    if not given.is_dir() and (split or config):
        raise InputError(f"Expected a folder for `split` or `config`, but {given} is a file; leave them out")
    files = data_files(given, split, config) if given.is_dir() else (given,)
    found = _Found(merge=merge)
    for file in files:
        _read_file(file, fields, found)
    found.raise_problems()
    return CaseSet(f"{given}/{split}" if split else str(given), tuple(found.cases))


def write_cases(path: str | Path, cases: Iterable[Case]) -> None:
    """Write cases as JSON lines (.jsonl or .jsonl.gz), the same bytes for the same cases; replaces the file whole.

    Raises:
        InputError: the name ends otherwise.
        SourceError: the file cannot be written.
    """
    target = Path(path)
    if not target.name.endswith((".jsonl", ".jsonl.gz")):
        raise InputError(f"Expected a file ending in .jsonl or .jsonl.gz, but got {target.name!r}")
    encoder = msgspec.json.Encoder(order="deterministic")
    data = b"".join(encoder.encode(case) + b"\n" for case in cases)
    if target.name.endswith(".gz"):
        data = gzip.compress(data, mtime=0)
    beside = target.with_name(f".{target.name}.{os.getpid()}.tmp")
    try:
        beside.write_bytes(data)
        beside.replace(target)
    except OSError as error:
        beside.unlink(missing_ok=True)
        raise SourceError(f"{target}: cannot be written ({error.strerror}); check the folder") from error


class _Found:
    """Cases read so far, and what was wrong with others."""

    def __init__(self, *, merge: bool) -> None:
        self.cases: list[Case] = []
        self._merge = merge
        self._by_content: dict[str, int] = {}
        self._problems: list[Problem] = []
        self._count = 0
        self._places: dict[tuple[str, str], str] = {}
        self._said: set[tuple[str, str]] = set()

    def report(self, path: Path, line: int, message: str, hint: str) -> None:
        if message.startswith("unknown field"):
            # A column that no row should have is one mistake, however many rows there are.
            if (str(path), message) in self._said:
                return
            self._said.add((str(path), message))
        self._count += 1
        if len(self._problems) < MOST_PROBLEMS:
            self._problems.append(Problem(str(path), line, 1, message, hint))

    def add(self, case: Case, path: Path, line: int) -> None:
        place = f"{path}:{line}"
        digest = case.digest
        first = self._by_content.setdefault(digest, len(self.cases))
        if self._merge and first < len(self.cases):
            held = self.cases[first]
            self.cases[first] = msgspec.structs.replace(
                held,
                weight=held.weight + case.weight,
                critical=held.critical or case.critical,
                tags=tuple(dict.fromkeys((*held.tags, *case.tags))),
            )
            return
        name = self._places.setdefault(("case_id", case.case_id), place)
        content = self._places.setdefault(("content", digest), place)
        if content != place:
            hint = "drop one of them, or give it a higher `weight`"
            self.report(path, line, f"the same content as in {content}", hint)
        elif name != place:
            hint = "give every case a name of its own"
            self.report(path, line, f"`case_id` {case.case_id!r} is also that of {name}", hint)
        self.cases.append(case)

    def raise_problems(self) -> None:
        if self._problems:
            count = "1 problem" if self._count == 1 else f"{self._count:,} problems"
            shown = f", the first {MOST_PROBLEMS} of them" if self._count > MOST_PROBLEMS else ""
            raise ConfigError(f"{count} in these cases{shown}:", self._problems)


def _read_file(path: Path, fields: Mapping[str, str], found: _Found) -> None:
    reader = reader_for(path)
    if reader is None:
        raise SourceError(f"{path}: expected a file ending in {suffixes()}, or a folder of them")
    columns = CaseColumns(fields, cells=".csv" in path.name.lower() or path.name.lower().endswith(".parquet"))
    try:
        for number, raw in reader(path, 0, columns, path.name, _no_progress):
            line = number + 1

            def report(message: str, hint: str, line: int = line) -> None:
                found.report(path, line, message, hint)

            case = read_row(raw.removeprefix(_BOM), report)
            if case is not None:
                found.add(case, path, line)
    except OSError as error:
        raise SourceError(f"{path}: cannot be read ({error.strerror or error}); check its permissions") from error


def _no_progress(done: int) -> None:
    """Show nothing: a set of cases is read in a moment."""
