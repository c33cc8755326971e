"""False alarms of the drift detectors where nothing moved, beside Pearson's χ² on weighted counts.

``python benchmarks/drift.py`` prints the table of docs/reference/drift.md.
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from evalsvc.drift import CategoricalSketch, NumericSketch, compare_categories, compare_numeric

BINS = list(range(99_850, 100_150))
CATEGORIES = [f"c{i}" for i in range(30)]


class Design(NamedTuple):
    """How many events either window has, and whether they were taken at π = 1 and .05 (10 % and 90 % of traffic)."""

    n: int
    weighted: bool

    @property
    def name(self) -> str:
        """Return it as a reader sees it."""
        return f"n = {self.n:,}, π {'.05/1' if self.weighted else '1'}"


DESIGNS = [Design(n, weighted) for n in (100, 1000, 100_000, 1_000_000) for weighted in (False, True)]


def _counts(design: Design, shares: Sequence[float], rng: np.random.Generator) -> dict[float, list[int]]:
    taken = int(rng.binomial(design.n, 0.1 / 0.145)) if design.weighted else design.n
    counts = {1.0: rng.multinomial(taken, shares).tolist()}
    if design.weighted:
        counts[0.05] = rng.multinomial(design.n - taken, shares).tolist()
    return counts


def numeric(design: Design, rng: np.random.Generator) -> NumericSketch:
    """Return a window of a lognormal metric."""
    density = np.exp(-0.5 * ((np.array(BINS) - 100_000) / 50.0) ** 2)
    counts = _counts(design, density / density.sum(), rng)
    return NumericSketch.from_cells({("", 1, pi): dict(zip(BINS, found, strict=True)) for pi, found in counts.items()})


def categorical(design: Design, rng: np.random.Generator) -> CategoricalSketch:
    """Return a window of thirty categories, most of them rare."""
    shares = np.arange(1, 31) ** -1.2
    counts = _counts(design, shares / shares.sum(), rng)
    cells = {("", 1, pi): dict(zip(CATEGORIES, found, strict=True)) for pi, found in counts.items()}
    return CategoricalSketch.from_cells(cells)


def pearson(a: CategoricalSketch, b: CategoricalSketch) -> float:
    """Return the p-value of χ² on weighted counts as if they were counts of events."""
    from scipy.stats import chi2_contingency

    names = sorted({*a.categories, *b.categories})
    rows = [dict(zip(sketch.categories, sketch.weights, strict=True)) for sketch in (a, b)]
    return float(chi2_contingency([[row.get(name, 0.0) for name in names] for row in rows]).pvalue)


def false_alarms(design: Design, runs: int, seed: int) -> dict[str, float]:
    """Return the share of runs with p < 0.05, by detector, where both windows are drawn from one population."""
    rng = np.random.default_rng(seed)
    alarms: dict[str, int] = {}
    for _ in range(runs):
        shares = categorical(design, rng), categorical(design, rng)
        tests = [("numeric", test) for test in compare_numeric(numeric(design, rng), numeric(design, rng))]
        tests += [("categories", test) for test in compare_categories(*shares)]
        for kind, test in tests:
            name = f"{test.detector}, {kind}"
            alarms[name] = alarms.get(name, 0) + (test.p_value is not None and test.p_value < 0.05)
        alarms["Pearson"] = alarms.get("Pearson", 0) + (pearson(*shares) < 0.05)
    return {name: count / runs for name, count in alarms.items()}


def main() -> None:
    """Print the table in Markdown."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--runs", type=int, default=2000)
    options = parser.parse_args()
    for seed, design in enumerate(DESIGNS):
        found = false_alarms(design, options.runs, seed)
        if seed == 0:
            print("| design | " + " | ".join(found) + " |\n|---|" + "--:|" * len(found))
        print(f"| {design.name} | " + " | ".join(f"{share:.1%}" for share in found.values()) + " |", flush=True)


if __name__ == "__main__":
    main()
