"""Recorded answers: a file that somebody else's run wrote, one JSON object a line, takes the model's place."""

from __future__ import annotations

import gzip
import hashlib
import re
import zlib
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

import msgspec

from evalsvc._hints import within_a_line
from evalsvc._paths import shown_path
from evalsvc.cases.values import DIGEST_LENGTH, Case
from evalsvc.errors import ConfigError, InputError, Problem
from evalsvc.generation.values import Answer, Request, failed, told_by_others

MISSING = "no recorded answer"
MAX_PROBLEMS = 50
"""How many wrong lines are shown; the rest is counted."""

_SHOWN = 5
_BYTE = re.compile(r"\(byte (\d+)\)")
_FIELDS = Answer.__struct_fields__


class _Line(Answer, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One line of the file: an answer, and which request it answers."""

    case_id: str
    repeat: int = 0


class Coverage(NamedTuple):
    """How a file of answers fits a set of cases.

    ``unknown`` are names of cases in the file that the set lacks; ``missing`` counts (case, repeat) without an answer.
    """

    unknown: tuple[str, ...]
    missing: int

    @property
    def notes(self) -> tuple[str, ...]:
        """What a reader of a verdict is told of it; empty where the file fits the set.

        >>> Coverage(("a", "b"), 0).notes
        ('2 cases with recorded answers are not in the set: a, b',)
        """
        notes = []
        if self.unknown:
            count, more = len(self.unknown), ", …" if len(self.unknown) > _SHOWN else ""
            what = "1 case with recorded answers is" if count == 1 else f"{count} cases with recorded answers are"
            notes.append(f"{what} not in the set: {', '.join(self.unknown[:_SHOWN])}{more}")
        if self.missing:
            notes.append(
                "1 answer is not recorded" if self.missing == 1 else f"{self.missing} answers are not recorded"
            )
        return tuple(notes)


class RecordedAnswers:
    """A generator that finds each answer in a JSONL file, plain or gzipped (``.gz``).

    Args:
        path: the file; each line has ``case_id``, ``repeat`` (0 unless given) and fields of :class:`Answer`.
        model: what reports call the model; empty is the file's name without endings.
        model_version: and its version; empty is the first 12 digits of the file's SHA-256.
    """

    cacheable = False
    recorded = True

    def __init__(self, path: Path, model: str = "", model_version: str = "") -> None:
        self.path = path
        self.model = model or path.name.split(".")[0]
        self._version = model_version
        self._digest = ""
        self._answers: dict[tuple[str, int], Answer] = {}

    @property
    def model_version(self) -> str:
        """The version given, or the beginning of the file's digest."""
        self.load()
        return self._version or self._digest[:12]

    @property
    def signature(self) -> str:
        """The file's content, by its digest."""
        self.load()
        return f"recorded:{self._digest}"

    def load(self) -> None:
        """Read and check the whole file, once.

        Raises:
            ConfigError: with every line that is wrong, or a file that cannot be read.
        """
        if self._digest:
            return
        content = _content(self.path)
        self._answers = _read(shown_path(self.path), content)
        self._digest = hashlib.sha256(content).hexdigest()[:DIGEST_LENGTH]

    def seen(self, case: Case) -> str:
        """Return the name: it decides which line is taken."""
        return case.case_id

    def estimate_usd(self, request: Request) -> float:
        """Return 0: what was recorded has been paid."""
        return 0.0

    def generate(self, request: Request) -> Answer:
        """Return the recorded answer, or a failed one that says that there is none."""
        self.load()
        answer = self._answers.get((request.case.case_id, request.repeat))
        return failed(MISSING, permanent=True, attempts=0) if answer is None else answer

    def coverage(self, cases: Iterable[Case], repeats: int = 1) -> Coverage:
        """Return which recorded cases are in none of ``cases``, in the file's order, and how many answers lack."""
        self.load()
        known = {case.case_id for case in cases}
        unknown = tuple(dict.fromkeys(name for name, _ in self._answers if name not in known))
        missing = sum((name, repeat) not in self._answers for name in known for repeat in range(repeats))
        return Coverage(unknown, missing)


def write_answers(path: Path, cases: Sequence[Case], answers: Sequence[Answer], repeats: int = 1) -> None:
    """Write answers as :class:`RecordedAnswers` reads them; gzipped where the name ends in ``.gz``.

    Args:
        path: the file, replaced where it exists.
        cases: the cases.
        answers: ``repeats`` answers for each case, in the order of the cases.
        repeats: how often each case was asked.

    Raises:
        InputError: when there are more or fewer answers than cases times repeats.
    """
    if len(answers) != len(cases) * repeats:
        raise InputError(f"Expected {len(cases)} × {repeats} answers, but got {len(answers)}")
    lines = [
        msgspec.json.encode(
            {"case_id": cases[place // repeats].case_id, "repeat": place % repeats, **msgspec.to_builtins(answer)}
        )
        for place, answer in enumerate(answers)
    ]
    content = b"".join(line + b"\n" for line in lines)
    # Without a time in it, so that the same answers are the same file.
    path.write_bytes(gzip.compress(content, mtime=0) if path.suffix == ".gz" else content)


def _content(path: Path) -> bytes:
    try:
        content = path.read_bytes()
        return gzip.decompress(content) if path.suffix == ".gz" else content
    except (gzip.BadGzipFile, EOFError, zlib.error) as error:
        problem = Problem(shown_path(path), 1, 1, f"is not gzip, or not whole: {error}", "write it again")
    except OSError as error:
        problem = Problem(shown_path(path), 1, 1, f"cannot be read: {error.strerror or error}", "check the path")
    raise ConfigError("The recorded answers cannot be read:", [problem])


def _read(shown: str, content: bytes) -> dict[tuple[str, int], Answer]:
    answers: dict[tuple[str, int], Answer] = {}
    first: dict[tuple[str, int], int] = {}
    problems: list[Problem] = []
    for number, line in _lines(content):
        try:
            read = _DECODER.decode(line)
        except UnicodeDecodeError:
            problems.append(Problem(shown, number, 1, "expected UTF-8, but got other bytes", "save the file as UTF-8"))
            continue
        except msgspec.MsgspecError as error:
            problems.append(_problem(shown, number, error))
            continue
        key = (read.case_id, read.repeat)
        if not read.case_id or read.repeat < 0:
            problems.append(Problem(shown, number, 1, "expected a `case_id`, and a `repeat` of 0 or more"))
        elif key in first:
            message = f"case {read.case_id!r} is answered twice for repeat {read.repeat}"
            problems.append(Problem(shown, number, 1, message, f"first on line {first[key]}"))
        else:
            first[key] = number
            answers[key] = told_by_others(Answer(**{name: getattr(read, name) for name in _FIELDS}))
    if not answers and not problems:
        problems.append(Problem(shown, 1, 1, "holds no answer", "write one JSON object a line"))
    if problems:
        more = f", of which {MAX_PROBLEMS} are shown" if len(problems) > MAX_PROBLEMS else ""
        raise ConfigError(f"Lines of the recorded answers are wrong ({len(problems)}{more}):", problems[:MAX_PROBLEMS])
    return answers


def _lines(content: bytes) -> Iterator[tuple[int, bytes]]:
    for number, line in enumerate(content.removeprefix(b"\xef\xbb\xbf").split(b"\n"), 1):
        if line.strip():
            yield number, line


def _problem(shown: str, number: int, error: msgspec.MsgspecError) -> Problem:
    message = str(error)
    place = _BYTE.search(message)
    hint = f"fields: case_id, repeat, {', '.join(_FIELDS)}" if "unknown field" in message else ""
    return Problem(shown, number, int(place[1]) + 1 if place else 1, within_a_line(message), hint)


_DECODER = msgspec.json.Decoder(_Line)
