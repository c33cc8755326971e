"""How commands print: aligned tables and CSV on stdout, log lines and progress on stderr."""

from __future__ import annotations

import csv
import json
import logging
import math
import shutil
import sys
import threading
import time
from collections.abc import Callable, Collection, Mapping, Sequence
from datetime import UTC, datetime
from types import TracebackType
from typing import Any, Self, TextIO

from evalsvc._plain import unobeyed, visible

FIRST_LINE_SECONDS = 5.0
LINE_SECONDS = 30.0
"""When progress is a line where there is no terminal: the first soon, so that one sees that it works."""


def aligned(rows: Sequence[Mapping[str, str]], right: Collection[str] = ()) -> str:
    """Return rows under their columns' names, in the order in which columns first come; ``right`` ones end in line.

    What cannot be seen in a cell is written out, a line end too, and no line is one that a CI server obeys.

    >>> print(aligned([{"n": "7", "reason": "not_json"}, {"n": "12"}], right={"n"}))
     n  reason
     7  not_json
    12
    """
    rows = [{visible(name): visible(cell) for name, cell in row.items()} for row in rows]
    columns = list(dict.fromkeys(name for row in rows for name in row))
    widths = {name: max(len(name), *(len(row.get(name, "")) for row in rows)) for name in columns}

    def line(cells: Mapping[str, str]) -> str:
        parts = [cells.get(name, "") for name in columns]
        return "  ".join(
            part.rjust(widths[name]) if name in right else part.ljust(widths[name])
            for name, part in zip(columns, parts, strict=True)
        ).rstrip()

    return unobeyed("\n".join(map(line, [{name: name for name in columns}, *rows])))


def terminal_width() -> int:
    """Return how many letters a line of stdout has on a terminal; 0 where it is none, and no line has an end."""
    return shutil.get_terminal_size().columns if sys.stdout.isatty() else 0


def number(value: float | None, sign: str = "") -> str:
    """Return a value as every command prints it: four digits, thousands apart; ``sign="+"`` says that it is a change.

    >>> number(0.123456), number(12345.6), number(0.05, "+"), number(None)
    ('0.1235', '12,346', '+0.05', '-')
    """
    return "-" if value is None else f"{value:{sign},.4g}" if abs(value) < 10_000 else f"{value:{sign},.0f}"


def said_where(where: Mapping[str, Sequence[str]]) -> str:
    """Return a condition as a title says it.

    >>> said_where({"model_version": ("2",), "segments.plan": ("free", "pro")})
    ' where model_version=2, segments.plan=free or pro'
    """
    conditions = [f"{name}={' or '.join(values)}" for name, values in where.items()]
    return f" where {', '.join(conditions)}" if conditions else ""


def print_csv(columns: Sequence[str], rows: Sequence[Mapping[str, Any]]) -> None:
    """Print rows as CSV under their columns' names, which stand there without a row as well."""
    writer = csv.DictWriter(sys.stdout, columns, lineterminator="\n")
    writer.writeheader()
    writer.writerows(rows)


SAID_BY_US = frozenset({"clickhouse_connect", "urllib3"})
"""Packages that log at length what we say in one line: that the store does not answer. They set their own levels."""

SPARING_SECONDS = 10.0
"""How often a line of one kind of another package is shown."""


class JsonFormatter(logging.Formatter):
    """A log line as one JSON object: time, level, logger, thread, message and, if there is one, error."""

    def format(self, record: logging.LogRecord) -> str:
        """Return the line."""
        moment = datetime.fromtimestamp(record.created, UTC)
        line = {
            "time": moment.isoformat(timespec="milliseconds").replace("+00:00", "Z"),
            "level": record.levelname.lower(),
            "logger": record.name,
            "thread": record.threadName,
            "message": record.getMessage(),
        }
        if record.exc_info:
            line["error"] = self.formatException(record.exc_info)
        return json.dumps(line, ensure_ascii=False)


class Sparing(logging.Filter):
    """Lets a line of another package through once in ten seconds: a broker that is down is told many times a second.

    Lines are of one kind where logger and text are, whatever is filled in. Ours all pass; some packages' never do.
    """

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        """Begin with no line seen."""
        super().__init__()
        self._clock = clock
        self._seen: dict[tuple[str, str], tuple[float, int]] = {}

    def filter(self, record: logging.LogRecord) -> bool:
        """Whether the line is shown."""
        package = record.name.partition(".")[0]
        if package == "evalsvc" or package in SAID_BY_US:
            return package == "evalsvc"
        kind, now = (record.name, str(record.msg)), self._clock()
        shown, left_out = self._seen.get(kind, (-math.inf, 0))
        if now - shown < SPARING_SECONDS:
            self._seen[kind] = shown, left_out + 1
            return False
        if len(self._seen) >= 1000:
            self._seen.clear()
        self._seen[kind] = now, 0
        if left_out:
            record.msg = f"{record.msg} [and {left_out} more like it]"
        return True


def set_up_logging(form: str, verbose: bool, *, quiet: bool = False) -> None:
    """Send log lines to stderr: ours from INFO (verbose: DEBUG, quiet: WARNING), others' from WARNING on, sparingly."""
    handler = logging.StreamHandler()
    if not verbose:
        handler.addFilter(Sparing())
    text = logging.Formatter("%(asctime)s %(levelname)-7s %(name)s %(message)s", "%Y-%m-%dT%H:%M:%S%z")
    handler.setFormatter(JsonFormatter() if form == "json" else text)
    logger, root = logging.getLogger("evalsvc"), logging.getLogger()
    logger.setLevel(logging.DEBUG if verbose else logging.WARNING if quiet else logging.INFO)
    root.setLevel(logging.WARNING)
    for old in [old for old in root.handlers if getattr(old, "evalsvc", False)]:
        root.removeHandler(old)
    handler.evalsvc = True  # type: ignore[attr-defined]
    root.addHandler(handler)


class Progress:
    """Shows how far long work is, from its own thread: a bar on a terminal, else a line every few seconds.

    ``measure`` returns (done, total); it is called twice a second, and a total may grow. ``note`` says in a few words
    what goes on meanwhile.
    """

    def __init__(
        self,
        what: str,
        unit: str,
        measure: Callable[[], tuple[int, int]],
        note: Callable[[], str] = str,
        stream: TextIO | None = None,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        """Start nothing before ``with``; time counts from here."""
        self.what, self.unit, self.measure, self.note = what, unit, measure, note
        self.stream = stream or sys.stderr
        self._monotonic = monotonic
        self._began = monotonic()
        self._due = self._began + FIRST_LINE_SECONDS
        self._before = ""
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._show, name="progress", daemon=True)

    def __enter__(self) -> Self:
        """Start."""
        self._thread.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        """Show the end."""
        self._stop.set()
        self._thread.join(5.0)

    def _show(self) -> None:
        (self._bar if self.stream.isatty() else self._lines)()

    def _bar(self) -> None:
        from tqdm import tqdm

        with tqdm(total=0, desc=self.what, unit=f" {self.unit}", unit_scale=True, file=self.stream) as bar:
            while True:
                stopping = self._stop.wait(0.5)
                done, bar.total = self.measure()
                bar.update(done - bar.n)
                bar.set_postfix_str(self.note(), refresh=False)
                bar.refresh()
                if stopping:
                    return

    def _lines(self) -> None:
        while not self._stop.wait(0.5):
            if line := self.line():
                print(line, file=self.stream, flush=True)

    def line(self) -> str:
        """Return the line that is due now; nothing while none is, or where it would say what the last one said."""
        now = self._monotonic()
        if now < self._due:
            return ""
        self._due = now + LINE_SECONDS
        done, total = self.measure()
        rate = done / max(now - self._began, 1e-9)
        far = f"{done:,} of about {total:,} {self.unit} ({done / total:.0%}), {rate:,.0f}/s" if total else "starting"
        said = "; ".join(filter(None, (far, self.note())))
        if said == self._before:
            return ""
        self._before = said
        return f"{self.what}: {said}"
