"""Runs the stages of a check one after another, all of them even when one fails, and prints their figures."""

from __future__ import annotations

import os
import re
import subprocess
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

from _setup import ENVIRONMENT, ROOT

_CLOSING_LINE = re.compile(r"^=*\s*(?P<counts>.*\b(?:passed|failed|error|skipped|no tests ran).*? in [\d.]+s.*?)\s*=*$")


@dataclass(frozen=True)
class Outcome:
    """How one stage ended: its name, exit code, length in seconds, and pytest's own closing line if any."""

    name: str
    code: int
    seconds: float
    closing: str = ""


@dataclass
class Stages:
    """The stages run so far; `run` adds one, `finish` prints them and returns the exit code."""

    outcomes: list[Outcome] = field(default_factory=list)

    def run(self, name: str, *command: str | Path) -> None:
        """Runs a command of the environment from the checkout, showing its output as it comes."""
        print(f"\n--- {name}", flush=True)
        start = time.monotonic()
        code, closing = _stream([str(part) for part in command])
        self.outcomes.append(Outcome(name, code, time.monotonic() - start, closing))

    def finish(self) -> int:
        """Prints a line a stage, and returns 0 when all ended with 0, else 1."""
        print("\nstage                     seconds  result", flush=True)
        for outcome in self.outcomes:
            result = "ok" if outcome.code == 0 else f"FAILED (code {outcome.code})"
            print(f"{outcome.name:<24} {outcome.seconds:>8.1f}  {result:<6} {outcome.closing}".rstrip())
        total = sum(outcome.seconds for outcome in self.outcomes)
        failed = [outcome.name for outcome in self.outcomes if outcome.code != 0]
        print(f"{'all':<24} {total:>8.1f}  {'FAILED: ' + ', '.join(failed) if failed else 'ok'}", flush=True)
        return 1 if failed else 0


def _stream(command: Sequence[str]) -> tuple[int, str]:
    """Runs a command, prints its lines as they come, and returns its exit code and pytest's closing line."""
    path = f"{ENVIRONMENT / 'bin'}{os.pathsep}{os.environ.get('PATH', '')}"
    settings = {**os.environ, "PATH": path, "PYTHONUNBUFFERED": "1"}
    closing = ""
    process = subprocess.Popen(
        command,
        cwd=ROOT,
        env=settings,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        errors="replace",
    )
    with process:
        for line in process.stdout or ():
            print(line, end="", flush=True)
            if match := _CLOSING_LINE.match(line.strip()):
                closing = match["counts"]
    return process.returncode, closing


def add_static_stages(stages: Stages, fix: bool = False) -> None:
    """Runs the linter, the formatter, the type checker and the import contracts."""
    tools = ENVIRONMENT / "bin"
    if fix:
        stages.run("ruff, repairing", tools / "ruff", "check", "--fix", "--quiet", ".")
        stages.run("format, repairing", tools / "ruff", "format", "--quiet", ".")
    stages.run("ruff", tools / "ruff", "check", "--output-format", "concise", ".")
    stages.run("format", tools / "ruff", "format", "--check", ".")
    stages.run("mypy --strict", tools / "mypy")
    stages.run("import contracts", tools / "lint-imports", "--no-cache")
