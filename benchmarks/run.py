"""Run every benchmark and write ``docs/benchmarks.md``: ``python benchmarks/run.py [--quick] [NAME…]``.

A full run takes two to three hours on two idle cores, forty minutes of it for ``detectors_refitted``. Each script can
also be run alone and prints its own table.
"""

from __future__ import annotations

import argparse
import importlib
import sys
import time
import traceback
from collections.abc import Sequence
from pathlib import Path

from _harness import Row, machine, table

NAMES = (
    "worker",
    "store",
    "text_metrics",
    "equality",
    "encoder",
    "gpu",
    "privacy",
    "safety",
    "detectors",
    "detectors_refitted",
    "decode",
    "start",
    "asking",
    "plugin",
    "intervals",
    "coverage",
    "prediction_powered",
    "agreement",
    "comparisons",
    "correlation",
    "sequential",
    "change_detection",
    "ruler",
    "alert_calibration",
    "alert_delay",
    "alert_series",
    "alert_starter",
    "attribution",
    "drift",
    "drift_power",
    "drift_speed",
    "fairness",
    "templates",
    "suites",
    "gates",
    "gates_number",
    "gates_real",
)
PAGE = Path(__file__).parents[1] / "docs" / "benchmarks.md"
HEAD = """# Benchmarks

Every figure comes from `benchmarks/`; each peer ran in the same run, in turns. `ratio` is how many times better than
the peer, whichever way the unit points. Written by `python benchmarks/run.py`{quick}.

Machine: {machine}. Such a machine is shared: read ratios, not absolute times.

"""


def main() -> None:
    """Run them, print each table, and write the page: all of it, or the rows of those that were named."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("names", nargs="*", metavar="NAME", help=f"some of {', '.join(NAMES)}; all where none is named")
    parser.add_argument("--quick", action="store_true", help="smaller numbers, rougher figures")
    options = parser.parse_args()
    if unknown := set(options.names) - set(NAMES):
        parser.error(f"no benchmark {', '.join(sorted(unknown))}; there are {', '.join(NAMES)}")
    rows: list[Row] = []
    failed: list[str] = []
    quick = " --quick" if options.quick else ""
    for name in options.names or NAMES:
        began = time.perf_counter()
        try:
            found: list[Row] = importlib.import_module(name).run(options.quick)
        except Exception:
            traceback.print_exc()
            failed.append(name)
            continue
        rows += found
        print(f"{table(found)}\n{name}: {time.perf_counter() - began:.0f} s\n", flush=True)
        if not options.names:
            PAGE.write_text(HEAD.format(quick=quick, machine=machine()) + table(rows) + "\n")
        elif not options.quick:
            PAGE.write_text(renewed(PAGE.read_text(), found))
    if failed:
        sys.exit(f"failed, and not on the page: {', '.join(failed)}")


def renewed(page: str, found: Sequence[Row]) -> str:
    """Return the page with these rows in the place of those of the same benchmarks, new ones at its end.

    Left as it is where the page is of another machine: its rows would not belong together.
    """
    if f"Machine: {machine()}." not in page:
        print("the page is of another machine, and stays as it is")
        return page
    _, rule, *fresh = table(found).splitlines()
    head, _, body = page.partition(rule + "\n")
    lines = body.splitlines()
    for name in dict.fromkeys(row.benchmark for row in found):
        mine = [line for line in fresh if line.startswith(f"| {name} |")]
        places = [place for place, line in enumerate(lines) if line.startswith(f"| {name} |")]
        begin = places[0] if places else len(lines)
        kept = [line for line in lines if not line.startswith(f"| {name} |")]
        lines = [*kept[:begin], *mine, *kept[begin:]]
    return "\n".join([head + rule, *lines]) + "\n"


if __name__ == "__main__":
    main()
