"""Do the intervals of what anchors tell hold what is so? The scorer's change, and the system's.

``python benchmarks/attribution.py [--runs 2000]`` prints the table of docs/reference/drift.md. A judge of yes and no,
at a share of .8, turns a yes into a no with a stated chance, on anchors and live alike, and the system stays as it was:
of the live difference all is the scorer's. Live windows have 100 scored events, sampled at π; the events come anew
from one process, also where all of them are scored.
"""

from __future__ import annotations

import argparse
import math
from collections.abc import Iterator
from functools import lru_cache
from typing import NamedTuple

import numpy as np

from evalsvc.drift import Attribution, Change, attribute
from evalsvc.stats import Side, compare_unpaired
from evalsvc.stats.distributions import binomial_tails, t_quantile
from evalsvc.types import Cell, Scale

BINARY = Scale(0.0, 1.0, "higher", binary=True)
SHARE, LIVE = 0.8, 100


class Design(NamedTuple):
    """How many anchors, the chance with which a yes becomes a no, and π of the live events."""

    anchors: int
    flips: float
    pi: float

    @property
    def name(self) -> str:
        """Return it as a reader sees it."""
        return f"{self.anchors} anchors, {self.flips:.0%} flips, π {self.pi:g}"


class Coverage(NamedTuple):
    """How often the intervals hold the scorer's change (exact), as a paired t would, and the system's (simulated)."""

    scorer: float
    paired_t: float
    system: float


def designs() -> Iterator[Design]:
    """Yield the designs of the table."""
    for anchors in (10, 20, 50, 100, 200):
        for flips in (0.01, 0.02, 0.05, 0.1):
            yield from (Design(anchors, flips, pi) for pi in (1.0, 0.05))


@lru_cache(maxsize=100_000)
def live_change(old: int, new: int, pi: float) -> Change:
    """Return the live change, from how many of the scored events had a yes in either window."""
    offered = {("all", 1): round(LIVE / pi)}
    sides = [Side([Cell("all", 1, pi, LIVE, 0, 0, float(total), float(total))], offered) for total in (old, new)]
    found = compare_unpaired(sides[0], sides[1], BINARY)
    if found.difference is None or found.low is None or found.high is None:
        raise RuntimeError(found.reason)
    return Change(found.difference, found.low, found.high)


@lru_cache(maxsize=100_000)
def told(anchors: int, flipped: int, live: Change | None = None) -> Attribution:
    """Return what the anchors tell, of which so many turned."""
    return attribute([1.0] * anchors, [0.0] * flipped + [1.0] * (anchors - flipped), BINARY, live)


def measure(design: Design, runs: int, seed: int) -> Coverage:
    """Return the coverage of the 95 % intervals."""
    rng = np.random.default_rng(seed)
    chance = SHARE * design.flips
    held = plain = 0.0
    for flipped in range(design.anchors + 1):
        probability = _binomial(flipped, design.anchors, chance)
        if probability < 1e-12 and flipped > design.anchors * chance:
            break
        scorer = told(design.anchors, flipped).scorer
        held += probability * (scorer is not None and scorer.low <= -chance <= scorer.high)
        plain += probability * _paired_t_holds(flipped, design.anchors, -chance)
    system = 0
    for flipped, old, new in zip(
        rng.binomial(design.anchors, chance, runs).tolist(),
        rng.binomial(LIVE, SHARE, runs).tolist(),
        rng.binomial(LIVE, SHARE - chance, runs).tolist(),
        strict=True,
    ):
        found = told(design.anchors, flipped, live_change(old, new, design.pi)).system
        system += found is not None and not found.moved
    return Coverage(held, plain, system / runs)


def _binomial(k: int, n: int, p: float) -> float:
    below = binomial_tails(k - 1, n, p)[0] if k else 0.0
    return binomial_tails(k, n, p)[0] - below


def _paired_t_holds(flipped: int, n: int, truth: float) -> bool:
    share = flipped / n
    half = t_quantile(0.975, n - 1) * math.sqrt(share * (1.0 - share) / (n - 1))
    return bool(abs(-share - truth) <= half)


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--runs", type=int, default=2000)
    options = parser.parse_args()
    print("| anchors, flips, π | the scorer's change | by a paired t | the system's change |\n|---|--:|--:|--:|")
    for number, design in enumerate(designs()):
        found = measure(design, options.runs, number)
        print(f"| {design.name} | {found.scorer:.1%} | {found.paired_t:.1%} | {found.system:.1%} |", flush=True)


if __name__ == "__main__":
    main()
