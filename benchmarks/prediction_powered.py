"""Coverage, width and gain of prediction-powered means beside ppi-python's normal interval.

Run ``python benchmarks/prediction_powered.py [--runs 3000]``: it prints the table of
``docs/reference/reviews-and-judges.md``. Some of its designs, with fewer runs, are a test
(``tests/calibration/test_prediction_powered_coverage.py``).

Every run draws sampled events from a process (or from a finite population, where π is known), gives all of them a
prediction, and reviews some. An interval covers when it holds the mean human value of the process (population).
"""

from __future__ import annotations

import argparse
import math
import time
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from typing import NamedTuple

import numpy as np

from _harness import Aim, Row
from evalsvc.stats import ppi_mean, prediction_powered_mean
from evalsvc.types import Scale, Window

WINDOW = Window(datetime(2026, 3, 1, tzinfo=UTC), datetime(2026, 3, 2, tzinfo=UTC))
BINARY = Scale(0.0, 1.0, "lower", binary=True)
BOUNDED = Scale(0.0, 1.0, "higher")
OPEN = Scale(None, None, "higher")
SAMPLED = 2000

Array = np.ndarray
Pairs = Callable[[np.random.Generator, int], tuple[Array, Array]]


class Draw(NamedTuple):
    """One two-phase sample: human values of all sampled events, predictions, who was reviewed, and what is known."""

    y: Array
    f: Array
    reviewed: Array
    pi: Array | None = None
    review_probability: Array | None = None
    strata: Array | None = None
    clusters: Array | None = None


class Design(NamedTuple):
    """A way to draw, with the truth. ``peer`` says whether ppi-python's form (a plain sample) applies."""

    name: str
    scale: Scale
    truth: float
    draw: Callable[[np.random.Generator], Draw]
    peer: bool
    floor: float = 0.945


class Measured(NamedTuple):
    """A line of the table. Widths are means; ``efficiency`` is the reviews' variance over the estimate's, over runs.

    ``gain`` is the median stated gain where the judge was used, ``widest`` the largest of the runs'
    widths over those of the reviews alone.
    """

    name: str
    n: float
    peer_coverage: float
    peer_efficiency: float
    alone_coverage: float
    alone_width: float
    coverage: float
    width: float
    widest: float
    used: float
    efficiency: float
    gain: float


def judged(share: float, sensitivity: float, specificity: float) -> Pairs:
    """Return binary reviews with a binary judge."""

    def pairs(rng: np.random.Generator, n: int) -> tuple[Array, Array]:
        y = rng.random(n) < share
        return y.astype(float), np.where(y, rng.random(n) < sensitivity, rng.random(n) >= specificity).astype(float)

    return pairs


def probability(share: float, separation: float) -> Pairs:
    """Return binary reviews with a detector's probability."""

    def pairs(rng: np.random.Generator, n: int) -> tuple[Array, Array]:
        y = (rng.random(n) < share).astype(float)
        logit = separation * (y - 0.5) + rng.standard_normal(n) + math.log(share / (1 - share))
        return y, 1 / (1 + np.exp(-logit))

    return pairs


def mixed(a: float, b: float, agreeing: float) -> Pairs:
    """Return Beta(a, b) reviews; the judge gives the same value to a share of them and another one to the rest."""

    def pairs(rng: np.random.Generator, n: int) -> tuple[Array, Array]:
        y = rng.beta(a, b, n)
        return y, np.where(rng.random(n) < agreeing, y, rng.beta(a, b, n))

    return pairs


def faults(noticed: float) -> Pairs:
    """Return high reviews with 3 % of faults, of which the judge notices a share."""

    def pairs(rng: np.random.Generator, n: int) -> tuple[Array, Array]:
        y = np.where(rng.random(n) < 0.03, 0.1, 0.9 + 0.05 * (rng.random(n) - 0.5))
        return y, np.where(rng.random(n) < noticed, y, 0.9)

    return pairs


def plain(name: str, scale: Scale, truth: float, pairs: Pairs, n: int) -> Design:
    """Return a design that reviews ``n`` of the sampled events, all with the same probability."""

    def draw(rng: np.random.Generator) -> Draw:
        y, f = pairs(rng, SAMPLED)
        return Draw(y, f, np.arange(SAMPLED) < n)

    return Design(f"{name}, {n} reviews", scale, truth, draw, True)


def active(name: str, scale: Scale, truth: float, pairs: Pairs, n: int, floor: float = 0.945) -> Design:
    """Return a design that reviews uncertain predictions more: r in proportion to .1 + min(f, 1 - f)."""

    def draw(rng: np.random.Generator) -> Draw:
        y, f = pairs(rng, SAMPLED)
        doubt = 0.1 + np.minimum(f, 1 - f)
        r = np.minimum(1.0, doubt * n / doubt.sum())
        return Draw(y, f, rng.random(SAMPLED) < r, review_probability=r)

    return Design(f"{name}, r by doubt, {n} reviews", scale, truth, draw, False, floor)


def weighted(name: str, pairs: Pairs, other: Pairs, n: int, *, known: bool) -> Design:
    """Return 20,000 events in two strata, sampled with π .05 and 1 and reviewed evenly within each."""
    rng = np.random.default_rng(11)
    light, whole = pairs(rng, 18_000), other(rng, 2000)
    y, f = np.concatenate([light[0], whole[0]]), np.concatenate([light[1], whole[1]])
    stratum = np.repeat([0, 1], [18_000, 2000])
    pi = np.where(stratum == 0, 0.05, 1.0)

    def draw(rng: np.random.Generator) -> Draw:
        taken = rng.random(pi.size) < pi
        h = stratum[taken]
        r = np.where(h == 0, 0.6, 0.4) * n / np.bincount(h)[h]
        reviewed = rng.random(h.size) < r
        return Draw(y[taken], f[taken], reviewed, pi[taken], r, h if known else None)

    return Design(f"{name}, π .05/1{', strata' if known else ''}, {n} reviews", BINARY, float(y.mean()), draw, False)


def sessions(name: str, share: float, n: int) -> Design:
    """Return sessions of 1 to 5 binary events that share a level (ICC about .2), whole ones reviewed."""

    def draw(rng: np.random.Generator) -> Draw:
        sizes = rng.integers(1, 6, 800)
        unit = np.repeat(np.arange(800), sizes)
        y = (rng.random(unit.size) < rng.beta(4 * share, 4 * (1 - share), 800)[unit]).astype(float)
        f = np.where(rng.random(unit.size) < 0.9, y, 1 - y)
        return Draw(y, f, unit < n, clusters=unit)

    return Design(f"{name}, {n} sessions", BINARY, share, draw, False)


def designs() -> Iterator[Design]:
    """Yield all designs of the table."""
    judges = [
        ("share .1, good judge", BINARY, 0.1, judged(0.1, 0.9, 0.95)),
        ("share .1, bad judge", BINARY, 0.1, judged(0.1, 0.5, 0.8)),
        ("share .1, useless judge", BINARY, 0.1, judged(0.1, 0.3, 0.7)),
        ("share .2, anti-correlated judge", BINARY, 0.2, judged(0.2, 0.2, 0.3)),
        ("share .5, good judge", BINARY, 0.5, judged(0.5, 0.9, 0.95)),
        ("share .3, near-perfect judge", BINARY, 0.3, judged(0.3, 0.97, 0.98)),
        ("share .03, good judge", BINARY, 0.03, judged(0.03, 0.9, 0.97)),
        ("share .2, detector", BINARY, 0.2, probability(0.2, 3)),
        ("Beta(8, 2), good judge", BOUNDED, 0.8, mixed(8, 2, 0.8)),
        ("Beta(.5, .5), good judge", BOUNDED, 0.5, mixed(0.5, 0.5, 0.9)),
        ("Beta(2, 2), useless judge", BOUNDED, 0.5, mixed(2, 2, 0.0)),
        ("3 % faults, half noticed", BOUNDED, 0.97 * 0.9 + 0.03 * 0.1, faults(0.5)),
    ]
    for name, scale, truth, pairs in judges:
        for n in (20, 50, 200, 500):
            yield plain(name, scale, truth, pairs, n)
    yield plain("open scale, good judge", OPEN, 0.8, mixed(8, 2, 0.8), 20)
    yield plain("open scale, good judge", OPEN, 0.8, mixed(8, 2, 0.8), 200)
    for n in (20, 50, 200, 500):
        yield active("share .2, detector", BINARY, 0.2, probability(0.2, 3), n)
        yield active("Beta(8, 2), good judge", BOUNDED, 0.8, mixed(8, 2, 0.8), n)
    for n in (30, 60, 200):
        for known in (True, False):
            yield weighted("shares .05/.3, good judge", judged(0.05, 0.9, 0.95), judged(0.3, 0.9, 0.95), n, known=known)
    for n in (20, 50, 200):
        yield sessions("share .2, judge right 90 %", 0.2, n)


def measure(design: Design, runs: int, seed: int) -> Measured:
    """Return what an estimate of ``runs`` draws keeps of its promises."""
    rng = np.random.default_rng(seed)
    held = peer_held = alone_held = used = reviews = 0
    widest, widths, gains = 0.0, np.zeros(2), []
    values = np.zeros((runs, 3))
    for i in range(runs):
        d = design.draw(rng)
        got = prediction_powered_mean(
            d.f,
            np.where(d.reviewed, d.y, np.nan),
            design.scale,
            WINDOW,
            pi=d.pi,
            review_probability=d.review_probability,
            strata=d.strata,
            clusters=d.clusters,
        )
        if got.estimate.value is None or got.estimate.low is None or got.estimate.high is None:
            continue
        low, high, alone = got.estimate.low, got.estimate.high, got.reviews_only
        least, most = alone.low, alone.high
        peer = ppi_mean(d.y[d.reviewed], d.f[d.reviewed], d.f[~d.reviewed])
        if least is None or most is None or alone.value is None or peer.value is None:
            continue
        held += low <= design.truth <= high
        alone_held += least <= design.truth <= most
        width = np.array([high - low, most - least])
        widths += width
        widest = max(widest, width[0] / width[1])
        used += got.powered
        reviews += got.n_reviews
        gains += [got.gain] if got.powered else []
        peer_held += abs(peer.value - design.truth) <= peer.half_width
        values[i] = got.estimate.value, alone.value, peer.value
    own, alone_variance, other = values.var(axis=0)
    return Measured(
        design.name,
        reviews / runs,
        peer_held / runs if design.peer else math.nan,
        alone_variance / other if design.peer else math.nan,
        alone_held / runs,
        widths[1] / runs,
        held / runs,
        widths[0] / runs,
        widest,
        used / runs,
        alone_variance / own,
        float(np.median(gains)) if gains else 1.0,
    )


def seconds(predictions: int, reviews: int) -> float:
    """Return the median time of one estimate of that size."""
    rng = np.random.default_rng(1)
    y, f = judged(0.2, 0.9, 0.9)(rng, predictions)
    y[reviews:] = np.nan
    pi = np.where(rng.random(predictions) < 0.5, 0.1, 1.0)
    times = []
    for _ in range(7):
        began = time.perf_counter()
        prediction_powered_mean(f, y, BINARY, WINDOW, pi=pi)
        times.append(time.perf_counter() - began)
    return float(np.median(times))


def run(quick: bool = False) -> list[Row]:
    """Return the coverage in every design; ``quick`` takes 300 runs a design instead of 3,000."""
    runs = 300 if quick else 3000
    name = "prediction_powered"
    rows, measured = [], []
    for seed, design in enumerate(designs()):
        m = measure(design, runs, seed)
        measured.append(m)
        peer = m.peer_coverage if design.peer else None
        aim = Aim("value", "≥", design.floor)
        rows.append(Row(name, m.name, m.coverage, "coverage", "ppi-python's normal interval", peer, None, aim))
    widest = max(m.widest for m in measured)
    rows.append(Row(name, "widest in any run, over the reviews alone", widest, "x", aim=Aim("value", "≤", 1.02)))
    # Variance of the reviews alone over the estimate's, where ppi-python's interval holds what it promises.
    gained = [m.efficiency / m.peer_efficiency for m in measured if m.peer_coverage >= 0.945]
    what = "least gain over ppi-python's, where that covers"
    rows.append(Row(name, what, min(gained, default=math.nan), "x", aim=Aim("value", "≥", 0.95)))
    rows.append(Row(name, "1,000,000 predictions, 2,000 reviews", 1e3 * seconds(1_000_000, 2000), "ms"))
    return rows


def main() -> None:
    """Print the table in Markdown."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--runs", type=int, default=3000)
    parser.add_argument("--only", default="", help="designs whose name holds this text")
    options = parser.parse_args()
    print(
        "| design | ppi: coverage | ppi: gain | reviews alone: coverage | width "
        "| evalsvc: coverage | width | used | gain |"
    )
    print("|---|--:|--:|--:|--:|--:|--:|--:|--:|")
    for seed, design in enumerate(designs()):
        if options.only in design.name:
            m = measure(design, options.runs, seed)
            peer = f"{m.peer_coverage:.1%} | {m.peer_efficiency:.2f}" if design.peer else "– | –"
            print(
                f"| {m.name} | {peer} | {m.alone_coverage:.1%} | {m.alone_width:.3f} "
                f"| {m.coverage:.1%} | {m.width:.3f} | {m.used:.0%} | {m.efficiency:.2f} |",
                flush=True,
            )
    for predictions, reviews in ((100, 50), (10_000, 500), (1_000_000, 2000)):
        print(f"{predictions:,} predictions, {reviews:,} reviews: {1e3 * seconds(predictions, reviews):.1f} ms")


if __name__ == "__main__":
    main()
