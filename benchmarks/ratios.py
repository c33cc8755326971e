"""Coverage and width of the interval of a ratio of two metrics, beside the unweighted ratio ± t.

``python benchmarks/ratios.py [--runs 3000]`` prints the table of ``docs/reference/estimates.md``. Every design has a
fixed, finite population, of which a run samples events, or whole sessions, by Poisson sampling.
"""

from __future__ import annotations

import argparse
import math
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from evalsvc.stats.distributions import t_quantile
from evalsvc.stats.ratio import Pair, estimate_ratio
from evalsvc.types import Window

Array = npt.NDArray[Any]

WINDOW = Window(datetime(2026, 3, 1, tzinfo=UTC), datetime(2026, 3, 2, tzinfo=UTC))


class Design(NamedTuple):
    """A population: both scores, π and session (-1: none) of each event."""

    name: str
    y: Array
    x: Array
    pi: Array
    session: Array

    @property
    def truth(self) -> float:
        """The ratio of both totals."""
        return float(self.y.sum() / self.x.sum())


class Measured(NamedTuple):
    """Coverage and mean width of both intervals, and the share of samples for which there is none."""

    n: float
    naive_coverage: float
    naive_width: float
    coverage: float
    width: float
    without: float


def _cost(rng: np.random.Generator, size: int, sigma: float = 0.8) -> Array:
    return np.exp(rng.normal(0.0, sigma, size))


def _plain(name: str, strata: Sequence[tuple[float, Array, Array]]) -> Design:
    pi = np.concatenate([np.full(y.size, share) for share, y, _ in strata])
    y, x = (np.concatenate([some[place] for some in strata]) for place in (1, 2))
    return Design(name, y, x, pi, np.full(y.size, -1))


def designs() -> Iterator[Design]:
    """Yield every design of the table. Populations are drawn with a fixed seed."""
    rng = np.random.default_rng(20260302)
    for n in (30, 100, 400):
        done = (rng.random(20 * n) < 0.7) * 1.0
        yield _plain(f"cost per completed task, n≈{n}", [(0.05, _cost(rng, 20 * n), done)])
    tokens = 500.0 * _cost(rng, 2000, 1.0)
    yield _plain("cost per token, n≈100", [(0.05, tokens * 0.002 * _cost(rng, 2000, 0.2), tokens)])
    light = 0.02, _cost(rng, 3000), (rng.random(3000) < 0.7) * 1.0
    whole = 1.0, 3.0 * _cost(rng, 300), (rng.random(300) < 0.3) * 1.0
    yield _plain("cost per completed task, π .02/1", [light, whole])
    level = np.repeat(np.exp(rng.normal(0.0, 0.5, 500)), 8)
    done = (rng.random(4000) < np.clip(0.7 / np.sqrt(level), 0.0, 1.0)) * 1.0
    sessions = np.repeat(np.arange(500), 8)
    yield Design(
        "cost per completed task, 50 sessions of 8", level * _cost(rng, 4000), done, np.full(4000, 0.1), sessions
    )


def sample(design: Design, rng: np.random.Generator) -> list[Pair]:
    """Return one sample."""
    draws = rng.random(design.y.size)
    kept = np.where(design.session < 0, draws, draws[design.session]) < design.pi
    columns = (design.y[kept], design.x[kept], design.pi[kept], design.session[kept])
    rows = zip(*(column.tolist() for column in columns), strict=True)
    return [Pair(y, x, pi, "" if session < 0 else f"s{session}") for y, x, pi, session in rows]


def naive(pairs: Sequence[Pair]) -> tuple[float, float]:
    """Return the unweighted ratio ± t, linearised: blind to π and to sessions."""
    y, x = (np.array([pair[place] for pair in pairs]) for place in (0, 1))
    value = float(y.sum() / x.sum())
    half = t_quantile(0.975, y.size - 1.0) * math.sqrt(y.size * float(np.var(y - value * x, ddof=1))) / float(x.sum())
    return value - half, value + half


def ours(pairs: Sequence[Pair]) -> tuple[float | None, float | None]:
    """Return evalsvc's limits."""
    found = estimate_ratio(pairs, WINDOW, floor=0.0)
    return found.low, found.high


def measure(design: Design, runs: int, seed: int) -> Measured:
    """Return both methods' coverage and width."""
    rng = np.random.default_rng(seed)
    n = held = naive_held = without = 0
    widths, naive_widths = [], []
    for _ in range(runs):
        pairs = sample(design, rng)
        n += len(pairs)
        low, high = naive(pairs)
        naive_held += low <= design.truth <= high
        naive_widths.append(high - low)
        mine = ours(pairs)
        if mine[0] is None or mine[1] is None:
            without += 1
            continue
        held += mine[0] <= design.truth <= mine[1]
        widths.append(mine[1] - mine[0])
    made = max(1, runs - without)
    mean = float(np.mean(naive_widths)), float(np.mean(widths))
    return Measured(n / runs, naive_held / runs, mean[0], held / made, mean[1], without / runs)


def main() -> None:
    """Print the table in Markdown."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--runs", type=int, default=3000)
    options = parser.parse_args()
    print("| design | n | unweighted ± t: coverage | width | evalsvc: coverage | width |")
    print("|---|--:|--:|--:|--:|--:|")
    for seed, design in enumerate(designs()):
        m = measure(design, options.runs, seed)
        theirs = f"{m.naive_coverage:.1%} | {m.naive_width:.3g}"
        print(f"| {design.name} | {m.n:.0f} | {theirs} | {m.coverage:.1%} | {m.width:.3g} |", flush=True)


if __name__ == "__main__":
    main()
