"""Labelled rows from files: JSON lines, CSV and Parquet, also compressed. All mistakes are told at once."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import msgspec

from evalsvc._hints import nearest
from evalsvc.errors import ConfigError, InputError, Problem, SourceError
from evalsvc.fitting.fields import (
    Wrong,
    contexts_of,
    label_of,
    plain,
    segments_of,
    spans_of,
    string_of,
    truth_of,
    weight_of,
)
from evalsvc.fitting.noticing import notices, without_copies
from evalsvc.fitting.values import Labelled, Note, Row, reads_pairs
from evalsvc.sources._fieldmap import assign, encode, from_json, passages
from evalsvc.sources._readers import reader_for, suffixes
from evalsvc.sources._wire import MAX_EVENT_BYTES

MOST_PROBLEMS = 20
LEAST_ROWS, LEAST_OF_CLASS = 40, 10
"""With fewer, five folds hold so few of a class that no figure means anything."""

_OPTIONAL = ("id", "source", "licence", "weight", "threshold_weight", "segments")
_PAIR = ("contexts", "context", "response", "question", "label", "spans")
_BOM = b"\xef\xbb\xbf"


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


class _Reading:
    """Rows read so far, and what was wrong with others."""

    def __init__(self, tasks: Sequence[str], field: str) -> None:
        self.rows: list[Row] = []
        self.fields: Counter[str] = Counter()
        self.grouped = 0
        self._tasks, self._field = tuple(tasks), field
        self._pairs = reads_pairs(tasks)
        self._problems: dict[tuple[str, str], Problem] = {}
        self._count = self._empty = self._unlabelled = 0

    def read(self, path: Path) -> None:
        """Read a file."""
        if not path.is_file():
            raise SourceError(f"{path}: no such file; check the path")
        reader = reader_for(path)
        if reader is None:
            raise SourceError(f"{path}: expected a file ending in {suffixes()}")
        try:
            for number, raw in reader(path, 0, _Cells(), path.name, _no_progress):
                self._add(path, number + 1, raw.removeprefix(_BOM))
        except OSError as error:
            raise SourceError(f"{path}: cannot be read ({error.strerror or error}); check its permissions") from error

    def raise_problems(self) -> None:
        """Raise all mistakes."""
        if self._problems:
            rows = "1 row" if self._count == 1 else f"{self._count:,} rows"
            shown = list(self._problems.values())[:MOST_PROBLEMS]
            more = f", the first {MOST_PROBLEMS} kinds" if len(self._problems) > MOST_PROBLEMS else ""
            raise ConfigError(f"{rows} cannot be read{more}:", shown)
        if not self.rows:
            raise InputError("There is no row in these files; see docs/how-to/fit-a-detector.md for what a row is")

    def notes(self) -> list[Note]:
        """Return what was left out, and which fields were not read."""
        made = []
        if self._empty:
            made.append(Note(f"{self._empty:,} rows have an empty text and were left out"))
        if self._unlabelled:
            made.append(Note(f"{self._unlabelled:,} rows have no label and were left out"))
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
        except Wrong as wrong:
            self._tell(path, line, wrong.message, wrong.hint)
        except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
            long = len(raw) > MAX_EVENT_BYTES
            hint = f"a row has at most {MAX_EVENT_BYTES:,} bytes" if long else "check quotes, commas and the encoding"
            self._tell(path, line, "is no JSON object in UTF-8", hint)
        else:
            if row is not None:
                self.rows.append(row)

    def _tell(self, path: Path, line: int, message: str, hint: str) -> None:
        self._count += 1
        self._problems.setdefault((str(path), message), Problem(str(path), line, 1, message, hint))

    def _pair(self, found: Mapping[str, Any], place: str) -> Row | None:
        response = string_of(found, "response", needed=True)
        contexts = contexts_of(found)
        if not response.strip() or not any(context.strip() for context in contexts):
            self._empty += 1
            return None
        spans = spans_of(found, len(response))
        label = label_of(found, spans)
        if not label:
            self._unlabelled += 1
            return None
        own = "\n".join(contexts)
        return Row(
            **self._common(found, place, own),
            text=response,
            contexts=contexts,
            question=string_of(found, "question"),
            found=(label != "supported",),
            label=label,
            spans=() if label == "supported" else spans,
        )

    def _text(self, found: Mapping[str, Any], place: str) -> Row | None:
        text = string_of(found, "text", needed=True)
        if not text.strip():
            self._empty += 1
            return None
        single = len(self._tasks) == 1 and self._tasks[0] not in found
        truths = tuple(truth_of(found, "label" if single else task) for task in self._tasks)
        if all(truth is None for truth in truths):
            self._unlabelled += 1
            return None
        return Row(**self._common(found, place, text), text=text, found=truths)

    def _common(self, found: Mapping[str, Any], place: str, own: str) -> dict[str, Any]:
        group = found.get(self._field)
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


def _no_progress(done: int) -> None:
    """Show nothing: what takes time is the training."""
