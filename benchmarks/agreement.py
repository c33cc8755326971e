"""Coverage of the intervals of agreement beside estimate ± 1.96 standard errors.

Run ``python benchmarks/agreement.py [--runs 3000]``: it prints the table of ``docs/reference/reviews-and-judges.md``.
Some of its designs, with fewer runs, are a test (``tests/calibration/test_agreement_coverage.py``).

Items have a true category; each rater finds it with some probability and guesses otherwise. The true coefficient is
that of 400,000 items.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable, Iterator, Sequence
from typing import Any, NamedTuple

import numpy as np

from _harness import Aim, Row
from evalsvc.stats import Agreement, cohen_kappa, gwet_ac, krippendorff_alpha, percent_agreement

Array = np.ndarray
Statistic = Callable[[Array], Agreement]


class Design(NamedTuple):
    """How items are rated, and which coefficient is asked for."""

    name: str
    statistic: Statistic
    draw: Callable[[np.random.Generator, int], Array]
    items: int
    floor: float = 0.93


class Measured(NamedTuple):
    """A line of the table; ``defined`` is the share of runs with an interval, of which coverage is.

    ``wald_coverage`` is that of the naive interval: estimate ± 1.96 standard errors, or all items taken alike.
    """

    name: str
    truth: float
    wald_coverage: float
    coverage: float
    width: float
    defined: float


def panel(
    shares: Sequence[float], right: float, raters: int = 2, missing: float = 0.0, near: bool = False
) -> Callable[[np.random.Generator, int], Array]:
    """Return raters who find the category with probability ``right``, and else guess (``near``: a neighbour)."""

    def draw(rng: np.random.Generator, items: int) -> Array:
        truth = rng.choice(len(shares), items, p=shares)[:, None]
        other = rng.choice(len(shares), (items, raters), p=shares)
        if near:
            other = np.clip(truth + rng.choice([-1, 1], (items, raters)), 0, len(shares) - 1)
        found = np.where(rng.random((items, raters)) < right, truth, other).astype(float)
        found[rng.random((items, raters)) < missing] = np.nan
        return found

    return draw


def _kappa(ratings: Array, **given: Any) -> Agreement:  # noqa: ANN401 - what any coefficient takes
    return cohen_kappa(ratings, categories=(0, 1), **given)


def _quadratic(ratings: Array) -> Agreement:
    return cohen_kappa(ratings, weights="quadratic")


def _ac1(ratings: Array, **given: Any) -> Agreement:  # noqa: ANN401 - what any coefficient takes
    return gwet_ac(ratings, categories=(0, 1), **given)


def _ac2(ratings: Array) -> Agreement:
    return gwet_ac(ratings, weights="linear", categories=range(5))


def _ordinal(ratings: Array) -> Agreement:
    return krippendorff_alpha(ratings, level="ordinal")


def _interval(ratings: Array) -> Agreement:
    return krippendorff_alpha(ratings, level="interval")


def designs() -> Iterator[Design]:
    """Yield all designs of the table."""
    even, rare, five = (0.5, 0.5), (0.9, 0.1), (0.1, 0.2, 0.4, 0.2, 0.1)
    for items in (20, 50, 200):
        for name, statistic in (("κ", _kappa), ("AC1", _ac1), ("α nominal", krippendorff_alpha)):
            yield Design(f"{name}, 50 : 50, {items} items", statistic, panel(even, 0.9), items)
            yield Design(f"{name}, 50 : 50, chance only, {items} items", statistic, panel(even, 0.0), items)
            yield Design(f"{name}, 90 : 10, {items} items", statistic, panel(rare, 0.8), items)
        yield Design(f"percent, 90 : 10, {items} items", percent_agreement, panel(rare, 0.8), items)
        yield Design(f"AC1, 97 : 3, {items} items", _ac1, panel((0.97, 0.03), 0.9), items)
        yield Design(f"κ quadratic, 5 grades, {items} items", _quadratic, panel(five, 0.6, near=True), items)
        yield Design(f"AC2 linear, 5 grades, {items} items", _ac2, panel(five, 0.6, near=True), items)
        yield Design(f"α ordinal, 4 raters, 30 % missing, {items} items", _ordinal, panel(five, 0.7, 4, 0.3), items)
        yield Design(f"α interval, 3 raters, {items} items", _interval, panel(five, 0.6, 3, near=True), items)


class Drawn(NamedTuple):
    """All events' ratings, which of them were taken, with which weight, and of which session."""

    ratings: Array
    taken: Array
    weights: Array | None
    sessions: Array | None


class Unequal(NamedTuple):
    """How items are drawn with unequal probability or by session, and which coefficient is asked for."""

    name: str
    statistic: Callable[..., Agreement]
    draw: Callable[[np.random.Generator, int], Drawn]
    events: int


def by_judge(rate: float) -> Callable[[np.random.Generator, int], Drawn]:
    """Return traffic of which everything that the judge (the first rater) calls 1 is reviewed, and else a share."""
    ratings = panel((0.85, 0.15), 0.75)

    def draw(rng: np.random.Generator, events: int) -> Drawn:
        found = ratings(rng, events)
        pi = np.where(found[:, 0] == 1.0, 1.0, rate)
        return Drawn(found, rng.random(events) < pi, 1.0 / pi, None)

    return draw


def by_session(size: int, weighted: bool) -> Callable[[np.random.Generator, int], Drawn]:
    """Return sessions that are hard or easy to rate as a whole; some of them are drawn at π = .2."""

    def draw(rng: np.random.Generator, events: int) -> Drawn:
        sessions = np.arange(events) // size
        hard = (rng.random(sessions[-1] + 1) < 0.5)[sessions]
        truth = (rng.random(sessions[-1] + 1) < 0.5)[sessions]
        found = truth[:, None] ^ (rng.random((events, 2)) < np.where(hard, 0.3, 0.02)[:, None])
        pi = np.where(hard, 1.0, 0.2) if weighted else np.ones(events)
        taken = rng.random(sessions[-1] + 1)[sessions] < pi
        return Drawn(found.astype(float), taken, 1.0 / pi, sessions)

    return draw


def unequal_designs() -> Iterator[Unequal]:
    """Yield designs of items that do not all weigh alike, or come in sessions."""
    for name, statistic in (("κ", _kappa), ("AC1", _ac1), ("α nominal", krippendorff_alpha)):
        yield Unequal(f"{name}, judge's 1 at π 1, else .1, ≈ 110 items", statistic, by_judge(0.1), 400)
        yield Unequal(f"{name}, judge's 1 at π 1, else .1, ≈ 440 items", statistic, by_judge(0.1), 1600)
        yield Unequal(f"{name}, 30 sessions of 8", statistic, by_session(8, weighted=False), 240)
        yield Unequal(f"{name}, ≈ 36 of 60 sessions of 8, π .2/1", statistic, by_session(8, weighted=True), 480)


def measure_unequal(design: Unequal, runs: int, seed: int) -> Measured:
    """Return the coverage of the traffic's coefficient, beside that of all items alike and each for itself."""
    rng = np.random.default_rng(seed)
    truth = design.statistic(design.draw(rng, 400_000).ratings).value or 0.0
    held = naive = defined = 0
    width = 0.0
    for _ in range(runs):
        drawn = design.draw(rng, design.events)
        ratings, weights, sessions = drawn.ratings[drawn.taken], drawn.weights, drawn.sessions
        got = design.statistic(
            ratings,
            item_weights=None if weights is None else weights[drawn.taken],
            clusters=None if sessions is None else sessions[drawn.taken].tolist(),
        )
        plain = design.statistic(ratings)
        if got.low is None or got.high is None or plain.low is None or plain.high is None:
            continue
        defined += 1
        held += got.low <= truth <= got.high
        naive += plain.low <= truth <= plain.high
        width += got.high - got.low
    return Measured(design.name, truth, naive / defined, held / defined, width / defined, defined / runs)


def measure(design: Design, runs: int, seed: int) -> Measured:
    """Return how often the interval, and estimate ± 1.96 standard errors, hold the true coefficient."""
    rng = np.random.default_rng(seed)
    truth = design.statistic(design.draw(rng, 400_000)).value or 0.0
    held = wald = defined = 0
    width = 0.0
    for _ in range(runs):
        got = design.statistic(design.draw(rng, design.items))
        if got.value is None or got.low is None or got.high is None or got.standard_error is None:
            continue
        defined += 1
        held += got.low <= truth <= got.high
        width += got.high - got.low
        wald += abs(got.value - truth) <= 1.96 * got.standard_error
    return Measured(design.name, truth, wald / defined, held / defined, width / defined, defined / runs)


def run(quick: bool = False) -> list[Row]:
    """Return the coverage in every design; ``quick`` takes 300 runs a design instead of 3,000."""
    rows = []
    for seed, design in enumerate(designs()):
        m = measure(design, 300 if quick else 3000, seed)
        aim = Aim("value", "≥", design.floor)
        rows.append(Row("agreement", m.name, m.coverage, "coverage", "estimate ± 1.96 se", m.wald_coverage, None, aim))
    return rows


def main() -> None:
    """Print the table in Markdown."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--runs", type=int, default=3000)
    parser.add_argument("--only", default="", help="designs whose name holds this text")
    options = parser.parse_args()
    print("| design | true value | ± 1.96 se: coverage | evalsvc: coverage | width | defined |")
    print("|---|--:|--:|--:|--:|--:|")
    for seed, design in enumerate(designs()):
        if options.only in design.name:
            _print(measure(design, options.runs, seed))
    print("\n| design | true value | all alike, each for itself: coverage | evalsvc: coverage | width | defined |")
    print("|---|--:|--:|--:|--:|--:|")
    for seed, unequal in enumerate(unequal_designs()):
        if options.only in unequal.name:
            _print(measure_unequal(unequal, options.runs, seed))


def _print(m: Measured) -> None:
    numbers = f"{m.wald_coverage:.1%} | {m.coverage:.1%} | {m.width:.2f} | {m.defined:.1%}"
    print(f"| {m.name} | {m.truth:.2f} | {numbers} |", flush=True)


if __name__ == "__main__":
    main()
