"""Delay of the e-detector on a mean that falls from 0.80 to 0.70, beside others at equal false alarms.

Run ``python benchmarks/change_detection.py [--runs 200]``: it prints the tables of
``docs/reference/always-valid.md``. CUSUM's parameters are guesses (a normal score of standard deviation 0.1, 0.2 or
0.4 and the right mean after the fall). Every threshold is tuned by simulation until the mean run length without a
change is :data:`RUN_LENGTH`, runs being cut (and exponential beyond the cut).
"""

from __future__ import annotations

import argparse
import math
from collections.abc import Callable
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from evalsvc.stats import change, sequential
from evalsvc.types import Scale

Floats = NDArray[np.float64]
RUN_LENGTH = 10_000
CUT = 20_000
BEFORE = 500
UNIT = Scale(0.0, 1.0, "higher")


class Kind(NamedTuple):
    """Scores of two means, and the Kullback–Leibler divergence of after from before."""

    name: str
    draw: Callable[[np.random.Generator, float, int], Floats]
    divergence: float


def _bernoulli(rng: np.random.Generator, mean: float, size: int) -> Floats:
    return (rng.random(size) < mean).astype(np.float64)


def _beta(rng: np.random.Generator, mean: float, size: int) -> Floats:
    return rng.beta(10 * mean, 10 * (1 - mean), size)


def _beta_divergence() -> float:
    from scipy.special import betaln, digamma

    return float(betaln(8, 2) - betaln(7, 3) + (7 - 8) * digamma(7) + (3 - 2) * digamma(3))


def kinds() -> list[Kind]:
    """Return the two kinds of scores."""
    bernoulli = 0.7 * math.log(0.7 / 0.8) + 0.3 * math.log(0.3 / 0.2)
    return [Kind("Beta(8, 2) → Beta(7, 3)", _beta, _beta_divergence()), Kind("Bernoulli", _bernoulli, bernoulli)]


def e_path(y: Floats, form: change.Form, baseline: float = 0.8) -> Floats:
    """Return the log statistic of the e-detector after each score."""
    state = change.start(UNIT, baseline, form=form)
    growth = np.log1p(np.array(state.bets) * (np.array(state.bases) - y[:, None]))
    path = np.vstack([np.zeros(len(state.bets)), np.cumsum(growth, axis=0)])
    nothing = np.full(len(state.bets), -np.inf)
    levels = change.cusum(path, nothing)[0] if form == "cusum" else change.shiryaev_roberts(path, nothing)
    drawn: Floats = np.logaddexp.reduce(levels, axis=1) - math.log(len(state.bets))
    return drawn


def cusum_path(y: Floats, sigma: float) -> Floats:
    """Return Page's CUSUM of a normal score with a guessed standard deviation, 0.80 against 0.70."""
    path = np.concatenate([[0.0], np.cumsum((0.75 - y) * 0.1 / sigma**2)])
    return path[1:] - np.minimum.accumulate(path)[:-1]


def run_length(paths: list[Floats], threshold: float) -> float:
    """Return the mean run length, by the exponential's estimate where runs are cut: time watched over alarms."""
    watched = alarms = 0
    for path in paths:
        over = path >= threshold
        first = int(over.argmax()) + 1 if over.any() else path.size
        watched, alarms = watched + first, alarms + bool(over.any())
    return watched / alarms if alarms else math.inf


def tuned(paths: list[Floats]) -> float:
    """Return the threshold with the wanted run length, by bisection."""
    low, high = 0.0, max(float(path.max()) for path in paths) + 1.0
    for _ in range(30):
        middle = (low + high) / 2
        low, high = (middle, high) if run_length(paths, middle) < RUN_LENGTH else (low, middle)
    return high


def delay(paths: list[Floats], threshold: float) -> float:
    """Return the mean delay of alarms after the change; runs with an alarm before it are left out."""
    delays = []
    for path in paths:
        over = np.flatnonzero(path >= threshold)
        if over.size and over[0] >= BEFORE:
            delays.append(int(over[0]) + 1 - BEFORE)
    return float(np.mean(delays)) if delays else math.inf


def streams(kind: Kind, runs: int, seed: int) -> tuple[list[Floats], list[Floats]]:
    """Return quiet streams, and streams whose mean falls after :data:`BEFORE` scores."""
    rng = np.random.default_rng(seed)
    quiet = [kind.draw(rng, 0.8, CUT) for _ in range(runs)]
    fall = [np.concatenate([kind.draw(rng, 0.8, BEFORE), kind.draw(rng, 0.7, 1500)]) for _ in range(runs)]
    return quiet, fall


METHODS: dict[str, Callable[[Floats], Floats]] = {
    "e-detector, Shiryaev–Roberts": lambda y: e_path(y, "shiryaev-roberts"),
    "e-detector, CUSUM": lambda y: e_path(y, "cusum"),
    "CUSUM, guessed σ = .1": lambda y: cusum_path(y, 0.1),
    "CUSUM, guessed σ = .2": lambda y: cusum_path(y, 0.2),
    "CUSUM, guessed σ = .4": lambda y: cusum_path(y, 0.4),
}


class Line(NamedTuple):
    """A method's run length and delay at its nominal threshold log(run length), and the delay when tuned."""

    name: str
    nominal_run_length: float
    nominal_delay: float
    tuned_delay: float
    bound: float


def measure(kind: Kind, name: str, runs: int, seed: int) -> Line:
    """Return one line of the table; the bound is Lorden's, log(run length)/divergence."""
    quiet, fall = streams(kind, runs, seed)
    still, moved = [METHODS[name](y) for y in quiet], [METHODS[name](y) for y in fall]
    nominal = math.log(RUN_LENGTH)
    found = run_length(still, nominal), delay(moved, nominal), delay(moved, tuned(still))
    return Line(name, *found, nominal / kind.divergence)


def early_alarms(honest: bool, samples: int, size: int, seed: int) -> float:
    """Return the share of quiet streams with an alarm in 1,000 scores, which a run length of 10,000 keeps below 10 %.

    The baseline is the mean of a sample of ``size``, or (``honest``) the lower limit of its 98 % confidence sequence.
    """
    rng = np.random.default_rng(seed)
    alarms = 0
    for _ in range(samples):
        state = sequential.start(UNIT, method="betting", confidence=0.98, best_n=float(size))
        found = sequential.interval(sequential.step(state, _bernoulli(rng, 0.8, size)))
        baseline = found.low if honest else found.value
        if baseline:
            path = e_path(_bernoulli(rng, 0.8, 1000), "shiryaev-roberts", baseline)
            alarms += bool(path.max() >= math.log(RUN_LENGTH))
    return alarms / samples


def main() -> None:
    """Print the tables."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--runs", type=int, default=200)
    runs = parser.parse_args().runs
    print("| scores | method | run length at log(10,000) | delay | delay, tuned to 10,000 | over Lorden's bound |")
    print("|---|---|---|---|---|---|")
    for kind in kinds():
        for name in METHODS:
            line = measure(kind, name, runs, 1)
            shown = f"{line.nominal_run_length:,.0f} | {line.nominal_delay:.0f} | {line.tuned_delay:.0f}"
            print(f"| {kind.name} | {name} | {shown} | {line.tuned_delay / line.bound:.2f} |", flush=True)
    for honest in (False, True):
        share = early_alarms(honest, 5 * runs, 50, 2)
        print(f"baseline from 50 scores, {'lower limit' if honest else 'mean'}: early alarms {share:.1%}", flush=True)


if __name__ == "__main__":
    main()
