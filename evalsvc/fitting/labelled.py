"""Labelled rows from files: JSON lines, CSV and Parquet, also compressed. All mistakes are told at once."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from textwrap import shorten
from typing import Any

import msgspec

from evalsvc._hints import comma_as_point, nearest
from evalsvc.errors import ConfigError, InputError, Problem, SourceError
from evalsvc.fitting.noticing import notices, without_copies
from evalsvc.fitting.values import LABELS, Labelled, Mark, Note, Row, reads_pairs
from evalsvc.sources._fieldmap import assign, encode, from_json, passages
from evalsvc.sources._readers import reader_for, suffixes
from evalsvc.sources._wire import MAX_EVENT_BYTES

MOST_PROBLEMS = 20
LEAST_ROWS, LEAST_OF_CLASS = 40, 10
"""With fewer, five folds hold so few of a class that no figure means anything."""

_TRUTHS = {"true": True, "1": True, "false": False, "0": False}
_OPTIONAL = ("id", "source", "licence", "weight", "segments")
_PAIR = ("contexts", "context", "response", "question", "label", "spans")
_BOM = b"\xef\xbb\xbf"


class _Wrong(Exception):
    """One field of a row: what was found, and what to do."""

    def __init__(self, message: str, hint: str) -> None:
        self.message, self.hint = message, hint
        super().__init__(message)


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
                raise _Wrong("expected a JSON object", "write one object a line")
            self.fields.update(found.keys())
            row = (self._pair if self._pairs else self._text)(found, f"{path}:{line}")
        except _Wrong as wrong:
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
        response = _string(found, "response", needed=True)
        contexts = _contexts(found)
        if not response.strip() or not any(context.strip() for context in contexts):
            self._empty += 1
            return None
        spans = _spans(found, len(response))
        label = _label(found, spans)
        if not label:
            self._unlabelled += 1
            return None
        own = "\n".join(contexts)
        return Row(
            **self._common(found, place, own),
            text=response,
            contexts=contexts,
            question=_string(found, "question"),
            found=(label != "supported",),
            label=label,
            spans=() if label == "supported" else spans,
        )

    def _text(self, found: Mapping[str, Any], place: str) -> Row | None:
        text = _string(found, "text", needed=True)
        if not text.strip():
            self._empty += 1
            return None
        single = len(self._tasks) == 1 and self._tasks[0] not in found
        truths = tuple(_truth(found, "label" if single else task) for task in self._tasks)
        if all(truth is None for truth in truths):
            self._unlabelled += 1
            return None
        return Row(**self._common(found, place, text), text=text, found=truths)

    def _common(self, found: Mapping[str, Any], place: str, own: str) -> dict[str, Any]:
        group = found.get(self._field)
        self.grouped += group is not None
        return {
            "id": _short(found.get("id", place)),
            "place": place,
            # Groups of a field and those of a text never have one name.
            "group": f"={own}" if group is None else f":{_short(group)}",
            "source": _string(found, "source"),
            "licence": _string(found, "licence"),
            "weight": _weight(found),
            "segments": _segments(found),
        }


def _string(found: Mapping[str, Any], field: str, *, needed: bool = False) -> str:
    value = found.get(field)
    if value is None and not needed:
        return ""
    if isinstance(value, str):
        return value
    if value is None:
        near = nearest(field, [name for name in found if name != field])
        raise _Wrong(f"`{field}` is missing", near or "name the column so")
    raise _Wrong(f"`{field}`: expected a text, but got {_kind(value)}", "write it in quotes")


def _contexts(found: Mapping[str, Any]) -> tuple[str, ...]:
    value = found.get("contexts")
    if value is None:
        if found.get("context") is None:
            raise _Wrong("`contexts` is missing", "give a list of texts, or one text as `context`")
        return (_string(found, "context"),)
    if not isinstance(value, list) or not all(isinstance(one, str) for one in value):
        raise _Wrong(f"`contexts`: expected a list of texts, but got {_kind(value)}", 'write ["first", "second"]')
    return tuple(one for one in value if one.strip())


def _label(found: Mapping[str, Any], spans: tuple[Mark, ...] | None) -> str:
    value = found.get("label")
    if value is None or value == "":
        return "" if spans is None else "unsupported" if spans else "supported"
    if value not in LABELS:
        raise _Wrong(f"`label`: {_shown(value)} is none", f"write one of {', '.join(LABELS)}")
    if value == "supported" and spans:
        raise _Wrong("`label` is supported, but `spans` has unsupported text", "correct one of them")
    return str(value)


def _spans(found: Mapping[str, Any], length: int) -> tuple[Mark, ...] | None:
    value = found.get("spans")
    if value is None:
        return None
    try:
        marks = msgspec.convert(value, tuple[Mark, ...])
    except msgspec.ValidationError as error:
        raise _Wrong(f"`spans`: {error}", 'write [{"start": 0, "end": 12}], or [] where all is supported') from error
    for mark in marks:
        if not 0 <= mark.start < mark.end <= length:
            raise _Wrong(
                "`spans`: one is not within the response",
                f"found {mark.start} to {mark.end} of {length} characters; count in characters from 0, end excluded",
            )
    return tuple(sorted(marks, key=lambda mark: mark.start))


def _truth(found: Mapping[str, Any], field: str) -> bool | None:
    value = found.get(field)
    if value is None or value == "":
        return None
    if isinstance(value, bool) or value in (0, 1):
        return bool(value)
    truth = _TRUTHS.get(value.strip().lower()) if isinstance(value, str) else None
    if truth is None:
        raise _Wrong(f"`{field}`: {_shown(value)} is no label", "write true, false, 0 or 1, or leave it out if unknown")
    return truth


def _weight(found: Mapping[str, Any]) -> float:
    value = found.get("weight", 1.0)
    try:
        weight = float(value)
    except (TypeError, ValueError):
        hint = comma_as_point(value) or "write a number above 0"
        raise _Wrong(f"`weight`: {_shown(value)} is no number", hint) from None
    if isinstance(value, bool) or not (0.0 < weight < math.inf):
        raise _Wrong(f"`weight`: {_shown(value)} is no number above 0", "leave the row out, or give it a weight")
    return weight


def _segments(found: Mapping[str, Any]) -> dict[str, str]:
    value = found.get("segments") or {}
    if not isinstance(value, dict):
        raise _Wrong(f"`segments`: expected names and values, but got {_kind(value)}", 'write {"plan": "free"}')
    return {name: _short(one) for name, one in value.items() if one is not None}


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


def _short(value: Any) -> str:  # noqa: ANN401
    if isinstance(value, bool):
        return "true" if value else "false"
    return value if isinstance(value, str) else msgspec.json.encode(value).decode()


def _shown(value: Any) -> str:  # noqa: ANN401
    """Return a value for a message: whole where it can be a label, of a text only that it is one."""
    if isinstance(value, str):
        return repr(value) if len(value) <= 40 else f"a text of {len(value):,} characters"
    return shorten(_short(value), 40, placeholder="…")


def _kind(value: Any) -> str:  # noqa: ANN401
    if value is None:
        return "null"
    for kinds, said in ((bool, "true or false"), ((int, float), "a number"), (str, "a text"), (list, "a list")):
        if isinstance(value, kinds):
            return said
    return "an object"


def _no_progress(done: int) -> None:
    """Show nothing: what takes time is the training."""
