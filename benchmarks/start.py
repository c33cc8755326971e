"""What it costs to import evalsvc and to start its command, each in a new process.

Run: ``python benchmarks/start.py [--quick]``.
"""

from __future__ import annotations

import argparse
import statistics
import subprocess
import sys
import time

from _harness import Aim, Row, machine, table


def milliseconds(code: str, rounds: int) -> float:
    """Return the median wall time of a new interpreter that runs ``code``."""
    taken = []
    for _ in range(rounds):
        began = time.perf_counter()
        subprocess.run([sys.executable, "-c", code], check=True, capture_output=True)
        taken.append((time.perf_counter() - began) * 1000)
    return statistics.median(taken)


def run(quick: bool) -> list[Row]:
    """Measure; the interpreter's own start is taken off."""
    rounds = 5 if quick else 15
    bare = milliseconds("pass", rounds)
    ours, httpx = milliseconds("import evalsvc", rounds) - bare, milliseconds("import httpx", rounds) - bare
    helped = milliseconds("from evalsvc.cli import build_parser; build_parser().format_help()", rounds) - bare
    return [
        Row("start", "import evalsvc", ours, "ms", "import httpx", httpx, httpx / ours, Aim("value", "≤", 100)),
        Row("start", "evalsvc --help", helped, "ms", aim=Aim("value", "≤", 150)),
    ]


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--quick", action="store_true", help="fewer rounds")
    options = parser.parse_args()
    print(machine())
    print(table(run(options.quick)))


if __name__ == "__main__":
    main()
