"""False alarms and width of confidence sequences beside a t interval that is looked at again and again.

Run ``python benchmarks/sequential.py [--runs 1000]``: it prints the table of ``docs/reference/always-valid.md``. The
same designs, with fewer runs, are a test (``tests/calibration/test_always_valid.py``).

A run has 10,000 scores and is looked at after each: a false alarm is any look at which the truth is outside. So that
10,000 looks at 1,000 runs take seconds, the question "is the truth outside?" is answered here for all looks at once,
without the limits; ``tests/unit/test_stats_always_valid.py`` compares it with the limits, look by look. Widths at the
end are the limits' own, of the first 100 runs. The t interval is looked at from the 100th score on: before, with all
scores equal, its width may be 0.
"""

from __future__ import annotations

import argparse
import math
from collections.abc import Callable
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from _harness import Aim, Row, machine
from evalsvc.stats import sequential
from evalsvc.types import Scale

Floats = NDArray[np.float64]
Flags = NDArray[np.bool_]
SCORES = 10_000
FIRST_NAIVE = 100
WIDTHS = 100
ALPHA = 0.05


class Design(NamedTuple):
    """Streams of scores: how they are drawn, ``draw(rng, runs)``, with their π, by run and time; and their mean."""

    name: str
    scale: Scale
    method: sequential.Method
    truth: float
    draw: Callable[[np.random.Generator, int], tuple[Floats, Floats | None]]
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

    def draw(rng: np.random.Generator, runs: int) -> tuple[Floats, None]:
        return (rng.random((runs, SCORES)) < p).astype(np.float64), None

    return Design(f"binary p = {p}", scale, method, p, draw)


def bounded(a: float, b: float, method: sequential.Method) -> Design:
    """Return a stream of Beta scores."""
    scale = Scale(0.0, 1.0, "higher")
    return Design(
        f"Beta({a:g}, {b:g})", scale, method, a / (a + b), lambda rng, runs: (rng.beta(a, b, (runs, SCORES)), None)
    )


def weighted() -> Design:
    """Return a stream of sampled events whose π, .01 to 1, goes with their score."""
    rates, offered = np.array([0.01, 0.1, 1.0]), np.array([0.9, 0.09, 0.01])
    means = np.array([0.9, 0.7, 0.4])
    sampled = offered * rates / (offered * rates).sum()

    def draw(rng: np.random.Generator, runs: int) -> tuple[Floats, Floats | None]:
        which = rng.choice(3, (runs, SCORES), p=sampled)
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


def measure(design: Design, runs: int, seed: int) -> Line:
    """Return the false alarms over looks after every score, and the mean width at the end."""
    rng = np.random.default_rng(seed)
    alarms = naive_alarms = 0
    ratios: list[float] = []
    for begun in range(0, runs, 100):
        y, pi = design.draw(rng, min(100, runs - begun))
        alarms += int(outside(design, y, pi).any(axis=1).sum())
        low, high = fixed(y, pi)
        wrong = (low > design.truth) | (high < design.truth)
        naive_alarms += int(wrong[:, FIRST_NAIVE - 1 :].any(axis=1).sum())
        if not ratios:
            width = high[:, -1] - low[:, -1]
            rates = [None] * len(y) if pi is None else list(pi)
            ratios = [ended(design, y[i], rates[i]) / float(width[i]) for i in range(min(len(y), WIDTHS))]
    return Line(design.name, design.method, alarms / runs, naive_alarms / runs, float(np.mean(ratios)))


def ended(design: Design, y: Floats, pi: Floats | None) -> float:
    """Return the width of the package's own interval after all scores."""
    state = sequential.start(design.scale, method=design.method, pi_min=design.pi_min)
    found = sequential.interval(sequential.step(state, y, pi))
    return math.inf if found.low is None or found.high is None else found.high - found.low


def outside(design: Design, y: Floats, pi: Floats | None) -> Flags:
    """Return whether the truth is outside the confidence sequence, after each score of each run."""
    if design.method == "beta-binomial":
        return _beta_binomial(y, design.truth)
    if design.method == "asymptotic":
        return _asymptotic(y, design.truth)
    w = np.ones_like(y) if pi is None or design.pi_min is None else design.pi_min / pi
    if design.method == "bernstein":
        return _bernstein(y, design.truth, bets(y, w))
    return _betting(y, w, design.truth, bets(y, w))


def bets(y: Floats, w: Floats) -> Floats:
    """Return the bet on each score from those before it, as :mod:`evalsvc.stats.sequential` defines them."""
    means = (0.5 + np.cumsum(w * y, axis=1)) / (1.0 + np.cumsum(w, axis=1))
    residual = np.cumsum((w * (y - means)) ** 2, axis=1)
    before = np.concatenate([np.zeros((len(y), 1)), residual[:, :-1]], axis=1)
    t = 1.0 + np.arange(y.shape[1])
    slow = t * np.log1p(t)
    pace = np.minimum(slow, np.maximum(SCORES, slow / math.log1p(SCORES)))
    found: Floats = np.sqrt(2.0 * math.log(2.0 / ALPHA) / ((0.25 + before) / t * pace))
    return found


def _betting(y: Floats, w: Floats, truth: float, bet: Floats) -> Flags:
    """Return whether either capital, interpolated between the candidates beside the truth, has reached 2/α."""
    bet = np.minimum(bet, sequential.LARGEST_BET) * w
    cell = min(math.floor(truth * sequential.CELLS), sequential.CELLS - 1)
    share = truth * sequential.CELLS - cell
    above = np.cumsum(w * y, axis=1) / np.cumsum(w, axis=1) > truth
    found = np.zeros(y.shape, dtype=bool)
    for sign, side in ((1.0, above), (-1.0, ~above)):
        first, second = (
            np.cumsum(np.log1p(sign * bet * (y - candidate / sequential.CELLS)), axis=1)
            for candidate in (cell, cell + 1)
        )
        found |= side & ((1.0 - share) * first + share * second >= math.log(2.0 / ALPHA))
    return found


def _bernstein(y: Floats, truth: float, bet: Floats) -> Flags:
    bet = np.minimum(bet, sequential.LARGEST_BERNSTEIN)
    total = np.cumsum(y, axis=1)
    t = 1.0 + np.arange(y.shape[1])
    centre = (0.5 + total - y) / t
    doubt = np.cumsum((y - centre) ** 2 * (-np.log1p(-bet) - bet), axis=1)
    far = np.abs(np.cumsum(bet * (y - truth), axis=1)) > math.log(2.0 / ALPHA) + doubt
    # The limits always hold the mean so far; so the truth can only be beyond the one on its own side.
    found: Flags = far & ((np.cumsum(bet * (y - truth), axis=1) > 0.0) == (total / t > truth))
    return found


def _spread() -> float:
    ends = -2.0 * math.log(ALPHA)
    return (ends + math.log(ends) + 1.0) / SCORES


def _beta_binomial(y: Floats, truth: float) -> Flags:
    from scipy.special import gammaln

    prior = 1.0 / _spread()
    counts = np.arange(y.shape[1] + 1)
    hit, miss, both = (gammaln(prior * share + counts) for share in (truth, 1.0 - truth, 1.0))
    hits = np.cumsum(y, axis=1).astype(np.int64)
    misses = counts[1:] - hits
    mixture = hit[hits] - hit[0] + miss[misses] - miss[0] - (both[1:] - both[0])
    found: Flags = mixture - hits * math.log(truth) - misses * math.log1p(-truth) >= -math.log(ALPHA)
    return found


def _asymptotic(y: Floats, truth: float) -> Flags:
    n = 1.0 + np.arange(y.shape[1])
    mean = np.cumsum(y, axis=1) / n
    variance = np.maximum(0.0, np.cumsum(y * y, axis=1) / n - mean * mean)
    rho2 = _spread()
    grown = n * rho2 + 1.0
    half = np.sqrt(variance * 2.0 * grown / (n * n * rho2) * np.log(np.sqrt(grown) / ALPHA))
    # No limits before this score, nor from scores that are all equal.
    known = (n >= sequential.EARLIEST_ASYMPTOTIC) & (variance > 1e-12)
    found: Flags = known & (np.abs(mean - truth) > half)
    return found


def fixed(y: Floats, pi: Floats | None) -> tuple[Floats, Floats]:
    """Return the limits mean ± 1.96 standard errors (weighted by 1/π) after each score of each run."""
    w = np.ones(y.shape) if pi is None else 1.0 / pi
    weight, squares = np.cumsum(w, axis=1), np.cumsum(w * w, axis=1)
    mean = np.cumsum(w * y, axis=1) / weight
    spread = np.cumsum(w * w * y * y, axis=1) - 2 * mean * np.cumsum(w * w * y, axis=1) + mean * mean * squares
    half = 1.96 * np.sqrt(np.maximum(spread, 0.0)) / weight
    return mean - half, mean + half


def run(quick: bool = False) -> list[Row]:
    """Return false alarms beside the repeated t interval's, and widths; ``quick``: 20 runs, too few to judge 5 % by."""
    rows = []
    for design in designs():
        line = measure(design, 20 if quick else 1000, 1)
        what = f"{line.name}, {line.method}: false alarms in {SCORES:,} looks"
        most = None if quick else Aim("value", "≤", ALPHA)
        rows.append(
            Row("always-valid", what, line.false_alarms, "", "repeated t interval", line.naive_false_alarms, None, most)
        )
        what = f"{line.name}, {line.method}: width at n = {SCORES:,} over the fixed-n interval's"
        rows.append(Row("always-valid", what, line.width_ratio, "", aim=Aim("value", "≤", 2.0)))
    return rows


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("--runs", type=int, default=1000)
    options = parser.parse_args()
    print(f"{machine()}\n")
    print("| scores | method | false alarms | repeated t, false alarms | width over fixed n's |")
    print("|---|---|--:|--:|--:|")
    for design in designs():
        line = measure(design, options.runs, 1)
        shown = f"{line.false_alarms:.1%} | {line.naive_false_alarms:.1%} | {line.width_ratio:.2f}"
        print(f"| {line.name} | {line.method} | {shown} |", flush=True)
    error = math.sqrt(ALPHA * (1 - ALPHA) / options.runs)
    print(f"\n{options.runs} runs of {SCORES:,} scores, a look after each; simulation error of 5 % ± {2 * error:.1%}")


if __name__ == "__main__":
    main()
