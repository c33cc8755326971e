"""Labelled rows from files: JSON lines, CSV and Parquet, also compressed. All mistakes are told at once."""

from __future__ import annotations

import json
import math
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import msgspec

from evalsvc._hints import nearest
from evalsvc.errors import ConfigError, InputError, Problem, SourceError
from evalsvc.fitting.fields import (
    Missing,
    Wrong,
    contexts_of,
    label_of,
    plain,
    reads_something,
    segments_of,
    spans_of,
    string_of,
    truth_of,
    weight_of,
)
from evalsvc.fitting.noticing import notices, without_copies
from evalsvc.fitting.values import Labelled, Note, Row, reads_pairs
from evalsvc.sources._fieldmap import assign, encode, from_json, passages
from evalsvc.sources._readers import read_lines, reader_for, suffixes
from evalsvc.sources._wire import MAX_EVENT_BYTES

MOST_PROBLEMS, MOST_LINES = 20, 5
LEAST_ROWS, LEAST_OF_CLASS = 40, 10
"""With fewer, five folds hold so few of a class that no figure means anything."""

_OPTIONAL = ("id", "source", "licence", "weight", "threshold_weight", "segments")
_PAIR = ("contexts", "context", "response", "question", "prompt", "label", "spans")
_EMPTY = "{0} {3} an empty text and {2} left out"
_UNREAD = "{0} {3} a text without a letter, digit or symbol, of which a detector says nothing, and {2} left out"
_UNLABELLED = "{0} {3} no label and {2} left out"
_UNTOLD = (
    "{0} {1} labelled as not supported but {3} empty `spans`; which words are wrong was taken as not told. Mark them, "
    "or leave `spans` out"
)
_SAID = (_EMPTY, _UNREAD, _UNLABELLED, _UNTOLD)
_SAME = {"contexts": {"contexts", "context"}}
_BOM = b"\xef\xbb\xbf"
_BOMS_16 = (b"\xff\xfe", b"\xfe\xff")
_OTHER_ENCODING = "the file is not UTF-8"


def read_labelled(paths: Sequence[str | Path], tasks: Sequence[str], field: str = "group") -> Labelled:
    """Read rows to fit a detector to; the format is that of ``docs/how-to/fit-a-detector.md``.

    Args:
        paths: files ending in .jsonl, .ndjson, .json, .csv (each also .gz or .zst) or .parquet.
        tasks: ``faithfulness``, or some of single texts.
        field: what rows that belong together share; a row without it is a group with those of its contexts or text.

    Raises:
        SourceError: a file does not exist, is of another kind or damaged.
        ConfigError: with up to 20 mistakes and the number of all of them.
        InputError: too few rows, or too few of a class.
    """
    reading = _Reading(tasks, field)
    for path in paths:
        reading.read(Path(path))
    reading.raise_problems()
    if field != "group" and not reading.grouped:
        seen = f"fields: {', '.join(sorted(reading.fields))}"
        raise InputError(f"No row has the field {field!r} that --group names ({seen}); correct the name")
    rows, copies = without_copies(reading.rows)
    _require_enough(rows, tasks)
    notes = [*reading.notes(), *copies, *notices(rows, tasks)]
    return Labelled(tuple(tasks), rows, notes, field)


class _Cells:
    """Rows as they are; cells of CSV and Parquet are told apart where they are read."""

    fields: Mapping[str, str] = {}

    def __bool__(self) -> bool:
        return False

    def native(self, row: Mapping[str, Any], name: str, /) -> bytes:
        made: dict[str, Any] = {}
        for column, found in row.items():
            if found is None or (isinstance(found, float) and math.isnan(found)):
                continue
            text = found.decode("utf-8", "surrogateescape") if isinstance(found, bytes) else found
            if column == "contexts":
                made[column] = passages(text)
            elif column in ("spans", "segments"):
                made[column] = [] if text == "[]" else from_json(text)
            else:
                assign(made, column, text)
        return encode(made)


class _Kind:
    """Mistakes of one kind: the first, and the lines of all."""

    def __init__(self, first: Problem) -> None:
        self._first = first
        self.lines: list[int] = []

    def problem(self) -> Problem:
        """Return the first, with where the others are."""
        others = sorted(self.lines)[1:]
        if not others:
            return self._first
        lines = ", ".join(map(str, others[:MOST_LINES])) + (", …" if len(others) > MOST_LINES else "")
        more = f"and {len(others):,} more like this: {'line' if len(others) == 1 else 'lines'} {lines}"
        return self._first._replace(hint=f"{self._first.hint}; {more}")


class _Reading:
    """Rows read so far, and what was wrong with others."""

    def __init__(self, tasks: Sequence[str], field: str) -> None:
        self.rows: list[Row] = []
        self.fields: Counter[str] = Counter()
        self.grouped = 0
        self._tasks, self._field = tuple(tasks), field
        self._pairs = reads_pairs(tasks)
        self._problems: dict[tuple[str, str], _Kind] = {}
        self._missing: list[tuple[int, Missing]] = []
        self._table = False
        self._count = 0
        self._noted: Counter[str] = Counter()

    def read(self, path: Path) -> None:
        """Read a file."""
        if not path.is_file():
            raise SourceError(f"{path}: no such file; check the path")
        reader = reader_for(path)
        if reader is None:
            raise SourceError(f"{path}: expected a file ending in {suffixes()}")
        self._table, before = reader is not read_lines, self.fields.copy()
        try:
            _refuse_other_encoding(path)
            for number, raw in reader(path, 0, _Cells(), path.name, _no_progress):
                self._add(path, number + 1, raw.removeprefix(_BOM))
        except OSError as error:
            raise SourceError(f"{path}: cannot be read ({error.strerror or error}); check its permissions") from error
        for line, missing in self._missing:
            # A cell of a column that other rows have is empty.
            if self._table and any(
                self.fields[name] > before[name] for name in _SAME.get(missing.field, {missing.field})
            ):
                self._noted[_EMPTY] += 1
            else:
                self._tell(path, line, missing.message, missing.hint)
        self._missing.clear()

    def raise_problems(self) -> None:
        """Raise all mistakes."""
        if self._problems:
            rows = "1 row" if self._count == 1 else f"{self._count:,} rows"
            shown = [kind.problem() for kind in self._problems.values()][:MOST_PROBLEMS]
            more = f", the first {MOST_PROBLEMS} kinds" if len(self._problems) > MOST_PROBLEMS else ""
            raise ConfigError(f"{rows} cannot be read{more}:", shown)
        if not self.rows:
            raise InputError("There is no row in these files; see docs/how-to/fit-a-detector.md for what a row is")

    def notes(self) -> list[Note]:
        """Return what was left out, and which fields were not read."""
        made = [Note(said.format(*_rows_of(count))) for said in _SAID if (count := self._noted[said])]
        if self.grouped and self.grouped < len(self.rows):
            alone = len(self.rows) - self.grouped
            said, each = ("1 row has", "it") if alone == 1 else (f"{alone:,} rows have", "each")
            own = "contexts" if self._pairs else "text"
            made.append(Note(f"{said} no {self._field!r}; {each} is with the rows of its own {own}", warning=True))
        known = self._known()
        for name in sorted(set(self.fields) - set(known)):
            hint = nearest(name, [one for one in known if not self.fields[one]])
            if hint:
                made.append(Note(f"The field {name!r} of {self.fields[name]:,} rows is not read; {hint}", warning=True))
        return made

    def _known(self) -> tuple[str, ...]:
        own = _PAIR if self._pairs else ("text", *self._tasks, *(("label",) if len(self._tasks) == 1 else ()))
        return (*own, *_OPTIONAL, self._field)

    def _add(self, path: Path, line: int, raw: bytes) -> None:
        try:
            found = msgspec.json.decode(raw)
            if not isinstance(found, dict):
                raise Wrong("expected a JSON object", "write one object a line")
            self.fields.update(found.keys())
            row = (self._pair if self._pairs else self._text)(found, f"{path}:{line}")
        except Missing as missing:
            self._missing.append((line, missing))
        except Wrong as wrong:
            self._tell(path, line, wrong.message, wrong.hint)
        except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
            message, hint = "is no JSON object in UTF-8", "check quotes, commas and the encoding"
            if len(raw) > MAX_EVENT_BYTES:
                hint = f"a row has at most {MAX_EVENT_BYTES:,} bytes"
            elif not _is_utf8(raw):
                message, hint = _OTHER_ENCODING, _save_as(path)
            self._tell(path, line, message, hint)
        else:
            if row is not None:
                self.rows.append(row)

    def _tell(self, path: Path, line: int, message: str, hint: str) -> None:
        self._count += 1
        first = Problem(str(path), line, 1, message, hint)
        self._problems.setdefault((str(path), message), _Kind(first)).lines.append(line)

    def _pair(self, found: Mapping[str, Any], place: str) -> Row | None:
        response = string_of(found, "response", needed=True)
        contexts = contexts_of(found)
        if not self._readable(response) or not self._readable("\n".join(contexts)):
            return None
        spans = spans_of(found, len(response))
        label = label_of(found, spans)
        if not label:
            self._noted[_UNLABELLED] += 1
            return None
        if label != "supported" and spans is not None and not spans:
            self._noted[_UNTOLD] += 1
            spans = None
        own = "\n".join(contexts)
        return Row(
            **self._common(found, place, own),
            text=response,
            contexts=contexts,
            question=string_of(found, "question" if "question" in found else "prompt"),
            found=(label != "supported",),
            label=label,
            spans=spans,
        )

    def _text(self, found: Mapping[str, Any], place: str) -> Row | None:
        text = string_of(found, "text", needed=True)
        if not self._readable(text):
            return None
        single = len(self._tasks) == 1 and self._tasks[0] not in found
        truths = tuple(truth_of(found, "label" if single else task) for task in self._tasks)
        if all(truth is None for truth in truths):
            self._noted[_UNLABELLED] += 1
            return None
        return Row(**self._common(found, place, text), text=text, found=truths)

    def _readable(self, text: str) -> bool:
        if reads_something(text):
            return True
        self._noted[_UNREAD if text.strip() else _EMPTY] += 1
        return False

    def _common(self, found: Mapping[str, Any], place: str, own: str) -> dict[str, Any]:
        group = found.get(self._field)
        group = None if group == "" else group
        self.grouped += group is not None
        weight = weight_of(found, "weight", 1.0)
        return {
            "id": place if found.get("id") is None else plain(found["id"]),
            "place": place,
            # Groups of a field and those of a text never have one name.
            "group": f"={own}" if group is None else f":{plain(group)}",
            "source": string_of(found, "source"),
            "licence": string_of(found, "licence"),
            "weight": weight,
            "threshold_weight": weight_of(found, "threshold_weight", weight),
            "segments": segments_of(found),
        }


def _require_enough(rows: Sequence[Row], tasks: Sequence[str]) -> None:
    for place, task in enumerate(tasks):
        counts = Counter(row.found[place] for row in rows if row.found[place] is not None)
        total = counts.total()
        if total < LEAST_ROWS:
            raise InputError(
                f"{total:,} rows are labelled for {task}, copies not counted, but {LEAST_ROWS} are needed at least, "
                f"and {LEAST_OF_CLASS} of each class; some hundreds are better. Label more"
            )
        for truth, said in ((True, "have what is looked for"), (False, "have none of it")):
            if not counts[truth]:
                raise InputError(
                    f"All {total:,} rows labelled for {task} are of one class: none of them {said}. "
                    "A detector learns from both; add rows of the other"
                )
            if counts[truth] < LEAST_OF_CLASS:
                raise InputError(
                    f"Only {counts[truth]:,} of {total:,} rows labelled for {task} {said}, but {LEAST_OF_CLASS} are "
                    "needed at least; label more of them"
                )


def _rows_of(count: int) -> tuple[str, str, str, str]:
    return ("1 row", "is", "was", "has") if count == 1 else (f"{count:,} rows", "are", "were", "have")


def _refuse_other_encoding(path: Path) -> None:
    """Refuse UTF-16, in which not even the header can be read."""
    with path.open("rb") as file:
        if file.read(2) in _BOMS_16:
            raise SourceError(f"{path}: {_OTHER_ENCODING}; {_save_as(path)}")


def _is_utf8(raw: bytes) -> bool:
    """Whether a row is of UTF-8; of a table, whose cells that are not have become halves of pairs in JSON's escapes."""
    try:
        json.dumps(json.loads(raw), ensure_ascii=False).encode()
    except UnicodeError:
        return False
    except (ValueError, RecursionError):
        return True
    return True


def _save_as(path: Path) -> str:
    return "save it as CSV UTF-8" if ".csv" in path.name.lower() else "save it as UTF-8"


def _no_progress(done: int) -> None:
    """Show nothing: what takes time is the training."""
