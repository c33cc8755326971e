"""What every benchmark shares: a row of results, the machine in one line, a Markdown table and paired timing.

A benchmark is a script ``benchmarks/NAME.py`` with ``run(quick: bool) -> list[Row]`` and a ``main()`` that
prints :func:`table` of it. Both sides of a comparison run in one process and take turns, so that a busy
machine slows both.
"""

from __future__ import annotations

import os
import platform
import statistics
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, NamedTuple


class Aim(NamedTuple):
    """An end that was set: the row's ``value`` or ``ratio`` is to be at least, or at most, a number."""

    of: Literal["value", "ratio"]
    sign: Literal["≥", "≤"]
    number: float

    def met(self, row: Row) -> bool:
        """Whether the row reaches it."""
        got = row.value if self.of == "value" else row.ratio
        return got is not None and (got >= self.number if self.sign == "≥" else got <= self.number)

    def __str__(self) -> str:
        """Return it as a reader sees it, as in ``≥ 10x``."""
        return f"{self.sign} {_figure(self.number)}{'x' if self.of == 'ratio' else ''}"


@dataclass(frozen=True)
class Row:
    """One measured figure beside its named peer's, from the same run.

    ``ratio`` is how many times better than the peer (above 1 is better, whichever way the unit points) and
    ``None`` without a peer. ``aim`` is the end that was set, if one was.
    """

    benchmark: str
    what: str
    value: float
    unit: str
    peer: str = ""
    peer_value: float | None = None
    ratio: float | None = None
    aim: Aim | None = None


@dataclass(frozen=True)
class Paired:
    """Median seconds of a call and of its peer, and the median of the ratios peer ÷ ours over the rounds."""

    seconds: float
    peer_seconds: float
    ratio: float
    rounds: int


def paired_seconds(
    ours: Callable[[], object],
    peer: Callable[[], object],
    rounds: int = 7,
    warmup: int = 1,
    clock: Callable[[], float] = time.perf_counter,
) -> Paired:
    """Time two calls in turns (A B A B …) and return medians; the ratio is taken within each round.

    Args:
        ours: what is measured.
        peer: what it is compared with; it should do the same work.
        rounds: how many times each is timed, at least 1.
        warmup: how many untimed calls of each come first.
        clock: seconds; ``time.process_time`` for work of one thread, so that other processes count less.

    Raises:
        ValueError: when `rounds` is below 1.
    """
    if rounds < 1:
        raise ValueError(f"Expected `rounds` of at least 1, but got {rounds}")
    for _ in range(warmup):
        ours()
        peer()
    pairs = [(_seconds(ours, clock), _seconds(peer, clock)) for _ in range(rounds)]
    return Paired(
        seconds=statistics.median(mine for mine, _ in pairs),
        peer_seconds=statistics.median(theirs for _, theirs in pairs),
        ratio=statistics.median(theirs / mine for mine, theirs in pairs),
        rounds=rounds,
    )


def median_seconds(
    call: Callable[[], object],
    rounds: int = 7,
    warmup: int = 1,
    clock: Callable[[], float] = time.perf_counter,
) -> float:
    """Return the median time of one call without a peer, in seconds."""
    for _ in range(warmup):
        call()
    return statistics.median(_seconds(call, clock) for _ in range(rounds))


def machine() -> str:
    """Describe the machine in one line without its name: processor, usable cores, memory, Python."""
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    return f"{_processor()} · {cores} cores · {_memory_gib():.0f} GiB · Python {platform.python_version()}"


def table(rows: Sequence[Row]) -> str:
    """Return the rows as a Markdown table, figures to three significant digits."""
    lines = [
        "| benchmark | what | value | unit | peer | peer's value | ratio | aim | |",
        "|---|---|--:|---|---|--:|--:|---|---|",
    ]
    for row in rows:
        ratio = "" if row.ratio is None else f"{_figure(row.ratio)}x"
        ours = [row.benchmark, row.what, _figure(row.value), row.unit]
        aim = [] if row.aim is None else [str(row.aim), "met" if row.aim.met(row) else "**missed**"]
        theirs = [row.peer, _figure(row.peer_value), ratio, *(aim or ["", ""])]
        lines.append("| " + " | ".join(ours + theirs) + " |")
    return "\n".join(lines)


def _seconds(call: Callable[[], object], clock: Callable[[], float]) -> float:
    start = clock()
    call()
    return clock() - start


def _figure(value: float | None) -> str:
    if value is None:
        return ""
    return f"{value:,.0f}" if abs(value) >= 100 else f"{value:.3g}"


def _processor() -> str:
    information = Path("/proc/cpuinfo")
    if information.exists():
        for line in information.read_text(encoding="utf-8", errors="replace").splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    return platform.processor() or platform.machine()


def _memory_gib() -> float:
    return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30
