"""How long ten columns take to compare, by rows a window, beside evidently's drift preset in the same run.

Ours is timed from what the store hands over, counts by bin in each cell of the sampling design (``store.histograms``),
to the four detectors' effects, intervals and p-values of all columns: two sketches and one comparison a column. The
store's own query, and the worker's filling of it, are not in it. Evidently is timed from two data frames in memory to
its result. The same lognormal values are in both. Seconds are of the processor, so that other work counts less.
Run: ``python benchmarks/drift_speed.py [--quick]``; needs the extra ``reports``. Evidently's telemetry is off.
"""

from __future__ import annotations

import argparse
import os
import time
import warnings
from collections.abc import Callable, Sequence
from functools import partial

import numpy as np
import numpy.typing as npt

from _harness import Aim, Row, machine, median_seconds, table
from evalsvc.drift import DriftTest, NumericSketch, compare_numeric
from evalsvc.stats.quantile import bin_of

COLUMNS = 10
ROWS = (10_000, 100_000, 1_000_000)

Floats = npt.NDArray[np.float64]
Cells = dict[tuple[str, int, float], dict[int, int]]


def run(quick: bool) -> list[Row]:
    """Return seconds by rows; quick leaves out a million rows, of which evidently takes a minute."""
    preset = _evidently()
    rows: list[Row] = []
    for n in ROWS[:2] if quick else ROWS:
        rng = np.random.default_rng(n)
        windows = [np.exp(rng.standard_normal((n, COLUMNS))) for _ in range(2)]
        held = [(_cells(old), _cells(new)) for old, new in zip(windows[0].T, windows[1].T, strict=True)]
        ours = median_seconds(partial(_all_compared, held), clock=time.process_time)
        began = time.process_time()
        preset(windows[0], windows[1])
        theirs = time.process_time() - began
        rows.append(
            Row(
                "drift",
                f"{COLUMNS} columns x {n:,} rows a window, from the store's counts",
                ours,
                "CPU s",
                "evidently DataDriftPreset, from data frames",
                theirs,
                theirs / ours,
                Aim("value", "≤", 0.2),
            )
        )
    return rows


def _cells(values: Floats) -> Cells:
    """Return counts by bin, half of the rows at π = 1 and half at .05, as the store hands them over."""
    places, rows = np.unique(np.floor(50.0 * np.log(values)), return_inverse=True)
    # The bins are 2 % wide; any value of a bin says which it is.
    bins = [bin_of(float(np.exp((place + 0.5) / 50.0))) for place in places]
    half = len(values) // 2
    counts = [np.bincount(part, minlength=len(bins)) for part in (rows[:half], rows[half:])]
    return {
        ("", 1, pi): {place: int(count) for place, count in zip(bins, found, strict=True) if count}
        for pi, found in zip((1.0, 0.05), counts, strict=True)
    }


def _all_compared(held: Sequence[tuple[Cells, Cells]]) -> list[tuple[DriftTest, ...]]:
    return [compare_numeric(NumericSketch.from_cells(old), NumericSketch.from_cells(new)) for old, new in held]


def _evidently() -> Callable[[Floats, Floats], object]:
    os.environ["DO_NOT_TRACK"] = os.environ["ITERATIVE_DO_NOT_TRACK"] = "1"
    warnings.simplefilter("ignore")
    import pandas as pd
    from evidently import Report
    from evidently.presets import DataDriftPreset

    def compared(old: Floats, new: Floats) -> object:
        frames = [pd.DataFrame(rows, columns=[f"c{i}" for i in range(COLUMNS)]) for rows in (old, new)]
        return Report([DataDriftPreset()]).run(frames[1], frames[0]).dict()

    return compared


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--quick", action="store_true", help="no million rows")
    options = parser.parse_args()
    print(machine())
    print(table(run(options.quick)))


if __name__ == "__main__":
    main()
