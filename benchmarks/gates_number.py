"""How often a gate against a number, `at_least`, passes what is not there and fails what is, over designs.

Run ``python benchmarks/gates_number.py [--runs 400]``: it prints a table of ``docs/reference/gates-calibration.md``.
Beside evalsvc stand t limits of the groups' sums (CR2), and the plain threshold that most tools have.
"""

from __future__ import annotations

import argparse
import math
from collections.abc import Callable, Iterator
from typing import NamedTuple

import numpy as np

from _harness import Aim, Row
from evalsvc.gate.deciding import decide, overall
from evalsvc.gate.values import AtLeast, Gate
from evalsvc.stats.clustered import cr2, gather
from evalsvc.stats.distributions import t_quantile
from gates import CONTINUOUS, LEVEL, YES_NO, Array, Frame, Random, evaluated, frame

AHEAD = 0.03
"""By how much the version is truly better, or worse, than the number in the last columns."""


class Kind(NamedTuple):
    """Scores of a true mean: ``share`` of the cases answered well, and what a good and a bad answer score.

    Of ``wholly`` of the groups no case is answered well.
    """

    name: str
    share: float
    binary: bool
    spread: float = 0.1
    wholly: float = 0.0

    @property
    def mean(self) -> float:
        """Their true mean."""
        return (self.share if self.binary else 0.9 * self.share) * (1.0 - self.wholly)


KINDS = (
    Kind("yes in 80 %", 0.8, binary=True),
    Kind("yes in 97 %", 0.97, binary=True),
    Kind("continuous", 1.0, binary=False),
    Kind("continuous, 0 in one of 20", 0.95, binary=False),
)
WHOLLY = (
    (Kind("yes in 90 %, of 5 % of groups in none", 0.9, binary=True, wholly=0.05), 30, 20, 1),
    (Kind("yes in 90 %, of 10 % of groups in none", 0.9, binary=True, wholly=0.1), 20, 20, 1),
    (Kind("yes in 95 %, of 2 % of groups in none", 0.95, binary=True, wholly=0.02), 60, 1, 10),
    (Kind("yes in 90 %, of 2 % of groups in none", 0.9, binary=True, wholly=0.02), 100, 5, 3),
)
"""Groups that fail wholly beside such as fail in part, with how many of them, of how many cases, and repeats."""


class Design(NamedTuple):
    """Groups of 1 to ``largest`` cases asked ``repeats`` times; ``icc`` is of the cases' chance to be answered well."""

    kind: Kind
    groups: int
    largest: int
    repeats: int
    icc: float

    @property
    def name(self) -> str:
        """As a row of the table is called."""
        return f"{self.kind.name} | {self.groups} | {self.largest} | {self.repeats} | {self.icc:g}"


class Found(NamedTuple):
    """Shares of runs."""

    passed_on_it: float
    failed_on_it: float
    t_passed_on_it: float
    t_failed_on_it: float
    passed_above: float
    failed_below: float


def designs() -> Iterator[Design]:
    """Yield all combinations; one case a group has no ICC."""
    for kind in KINDS:
        for groups, largest in ((20, 1), (50, 1), (200, 1), (50, 5), (200, 5)):
            for repeats in (1, 3):
                for icc in (0.0,) if largest == 1 else (0.0, 0.1, 0.5):
                    yield Design(kind, groups, largest, repeats, icc)
    for kind, groups, largest, repeats in WHOLLY:
        yield Design(kind, groups, largest, repeats, 0.0)


def draw(rng: Random, design: Design, codes: Array) -> Array:
    """Return scores ``[cases, repeats]``."""
    kind, shape = design.kind, (codes.size, design.repeats)
    chance = np.full(codes.size, kind.share)
    if design.icc > 0.0 and kind.share < 1.0:
        size = (1.0 - design.icc) / design.icc
        chance = rng.beta(kind.share * size, (1.0 - kind.share) * size, int(codes[-1]) + 1)[codes]
    chance = np.where(rng.random(int(codes[-1]) + 1) < kind.wholly, 0.0, 1.0)[codes] * chance if kind.wholly else chance
    if kind.binary:
        return np.asarray(rng.random(shape) < chance[:, None], dtype=np.float64)
    own = math.sqrt(design.icc) * (rng.random(int(codes[-1]) + 1) - 0.5)[codes]
    scores = 0.9 + kind.spread * (own + math.sqrt(1.0 - design.icc) * (rng.random(codes.size) - 0.5))
    scores = scores[:, None] + 0.05 * (rng.random(shape) - 0.5)
    return np.where((rng.random(codes.size) < chance)[:, None], scores, 0.0)


def by_evalsvc(design: Design, held: Frame) -> Callable[[Array, float], str]:
    """Return what decides scores against a number."""
    scale = YES_NO if design.kind.binary else CONTINUOUS

    def decision(scores: Array, number: float) -> str:
        gate = Gate(metric="m", ask=AtLeast(number))
        return overall(decide([gate], evaluated(held.cases, {"m": scores}, scale), None, level=LEVEL))

    return decision


def by_t(scores: Array, number: float, codes: Array) -> str:
    """Return the decision of the means' t limits, groups as clusters."""
    sums = gather(scores.mean(axis=1) - number, np.ones(codes.size), codes)
    robust = cr2(sums)
    if robust.error == 0.0:
        return "PASS" if sums.mean > 0.0 else "FAIL"
    half = t_quantile(1.0 - LEVEL, robust.degrees) * robust.error
    return "PASS" if sums.mean > half else "FAIL" if sums.mean < -half else "INCONCLUSIVE"


def measure(design: Design, runs: int, seed: int) -> Found:
    """Return the shares of runs of a design."""
    rng = np.random.default_rng(seed)
    held, number = frame(rng, design.groups, design.largest), design.kind.mean
    decision = by_evalsvc(design, held)
    drawn = [draw(rng, design, held.codes) for _ in range(runs)]
    ours = [decision(scores, number) for scores in drawn]
    theirs = [by_t(scores, number, held.codes) for scores in drawn]
    above = [decision(scores, number - AHEAD) for scores in drawn[: runs // 2]]
    below = [decision(scores, min(number + AHEAD, 1.0)) for scores in drawn[: runs // 2]]
    shares = [found.count(said) / runs for found in (ours, theirs) for said in ("PASS", "FAIL")]
    shares += [above.count("PASS") / len(above), below.count("FAIL") / len(below)]
    return Found(*shares)


def run(quick: bool = False) -> list[Row]:
    """Return the mean and the largest share of runs that pass a version which is just on the number."""
    found = [measure(design, 40 if quick else 400, seed) for seed, design in enumerate(designs())]
    ours, theirs = ([getattr(one, at) for one in found] for at in ("passed_on_it", "t_passed_on_it"))
    name, what, unit, peer = "gates_number", "PASS of a version just on the number", "share of runs", "t of groups"
    most = Aim("value", "≤", LEVEL)
    return [
        Row(name, f"{what}, mean over designs", float(np.mean(ours)), unit, peer, float(np.mean(theirs)), aim=most),
        Row(name, f"{what}, at most", max(ours), unit, peer, max(theirs)),
    ]


def main() -> None:
    """Print the table in Markdown."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--runs", type=int, default=400)
    runs: int = parser.parse_args().runs
    heads = ["on it: PASS", "FAIL", "t: PASS", "FAIL", f"{AHEAD:g} above: PASS", f"{AHEAD:g} below: FAIL"]
    print("| scores | groups | of up to | repeats | ICC | " + " | ".join(heads) + " |\n|---|" + "--:|" * 10)
    rows = []
    for seed, design in enumerate(designs()):
        rows.append(measure(design, runs, seed))
        print(f"| {design.name} | " + " | ".join(f"{value:.1%}" for value in rows[-1]) + " |", flush=True)
    means = np.mean(rows, axis=0).tolist()
    print("| **mean** | | | | | " + " | ".join(f"{value:.1%}" for value in means) + " |")


if __name__ == "__main__":
    main()
