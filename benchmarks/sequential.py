"""False alarms and width of confidence sequences beside a t interval that is looked at again and again.

Run ``python benchmarks/sequential.py [--runs 1000]``: it prints the table of ``docs/reference/always-valid.md``. The
same designs, with fewer runs, are a test (``tests/calibration/test_always_valid.py``).

A run has 10,000 scores and is looked at every 100 (``--look 1``: after each): a false alarm is any look at which the
truth is outside.
"""

from __future__ import annotations

import argparse
import math
from collections.abc import Callable
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from evalsvc.stats import sequential
from evalsvc.types import Scale

Floats = NDArray[np.float64]
SCORES = 10_000


class Design(NamedTuple):
    """A stream of scores: how it is drawn, with its π, and its mean."""

    name: str
    scale: Scale
    method: sequential.Method
    truth: float
    draw: Callable[[np.random.Generator], tuple[Floats, Floats | None]]
    pi_min: float | None = None


class Line(NamedTuple):
    """A line of the table: shares of runs with a false alarm, and the width at the end over the fixed interval's."""

    name: str
    method: str
    false_alarms: float
    naive_false_alarms: float
    width_ratio: float


def binary(p: float, method: sequential.Method) -> Design:
    """Return a stream of failures of one probability."""
    scale = Scale(0.0, 1.0, "lower", binary=True)
    return Design(f"binary p = {p}", scale, method, p, lambda rng: ((rng.random(SCORES) < p).astype(float), None))


def bounded(a: float, b: float, method: sequential.Method) -> Design:
    """Return a stream of Beta scores."""
    scale = Scale(0.0, 1.0, "higher")
    return Design(f"Beta({a:g}, {b:g})", scale, method, a / (a + b), lambda rng: (rng.beta(a, b, SCORES), None))


def weighted() -> Design:
    """Return a stream of sampled events whose π, .01 to 1, goes with their score."""
    rates, offered = np.array([0.01, 0.1, 1.0]), np.array([0.9, 0.09, 0.01])
    means = np.array([0.9, 0.7, 0.4])
    sampled = offered * rates / (offered * rates).sum()

    def draw(rng: np.random.Generator) -> tuple[Floats, Floats | None]:
        which = rng.choice(3, SCORES, p=sampled)
        return rng.beta(10 * means[which], 10 * (1 - means[which])), rates[which]

    scale = Scale(0.0, 1.0, "higher")
    return Design("Beta, π .01/.1/1 mixed", scale, "betting", float(offered @ means), draw, pi_min=0.01)


def designs() -> list[Design]:
    """Return every design of the table."""
    shares = (0.01, 0.1, 0.5)
    return [
        *(binary(p, "beta-binomial") for p in shares),
        *(binary(p, "betting") for p in shares),
        *(binary(p, "asymptotic") for p in shares[1:]),
        bounded(8, 2, "betting"),
        bounded(0.5, 5, "betting"),
        bounded(8, 2, "bernstein"),
        bounded(8, 2, "asymptotic"),
        weighted(),
    ]


def measure(design: Design, runs: int, seed: int, look: int = 100) -> Line:
    """Return the false alarms over looks every ``look`` scores, and the mean width at the end."""
    rng = np.random.default_rng(seed)
    alarms = naive_alarms = 0
    ratios = []
    for _ in range(runs):
        y, pi = design.draw(rng)
        state = sequential.start(design.scale, method=design.method, pi_min=design.pi_min)
        outside = False
        for first in range(0, SCORES, look):
            part = slice(first, first + look)
            state = sequential.step(state, y[part], None if pi is None else pi[part])
            found = sequential.interval(state)
            if found.low is not None and found.high is not None:
                outside = outside or not found.low <= design.truth <= found.high
        alarms += outside
        low, high = fixed(y, pi)
        naive_alarms += bool(((low > design.truth) | (high < design.truth))[look - 1 :: look].any())
        if found.low is not None and found.high is not None:
            ratios.append((found.high - found.low) / float(high[-1] - low[-1]))
    return Line(design.name, design.method, alarms / runs, naive_alarms / runs, float(np.mean(ratios)))


def fixed(y: Floats, pi: Floats | None) -> tuple[Floats, Floats]:
    """Return the limits mean ± 1.96 standard errors (weighted by 1/π) after each score."""
    w = np.ones(y.size) if pi is None else 1.0 / pi
    weight, squares = np.cumsum(w), np.cumsum(w * w)
    mean = np.cumsum(w * y) / weight
    spread = np.cumsum(w * w * y * y) - 2 * mean * np.cumsum(w * w * y) + mean * mean * squares
    half = 1.96 * np.sqrt(np.maximum(spread, 0.0)) / weight
    return mean - half, mean + half


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("--runs", type=int, default=1000)
    parser.add_argument("--look", type=int, default=100, help="scores between two looks; 1 is every score")
    options = parser.parse_args()
    print("| scores | method | false alarms | repeated t, false alarms | width over fixed n's |")
    print("|---|---|---|---|---|")
    for design in designs():
        line = measure(design, options.runs, 1, options.look)
        shown = f"{line.false_alarms:.1%} | {line.naive_false_alarms:.1%} | {line.width_ratio:.2f}"
        print(f"| {line.name} | {line.method} | {shown} |", flush=True)
    error = math.sqrt(0.05 * 0.95 / options.runs)
    print(f"\n{options.runs} runs of {SCORES} scores, a look every {options.look}; simulation error ± {2 * error:.1%}")


if __name__ == "__main__":
    main()
