"""Coverage and width of evalsvc's intervals beside the weighted mean ± t that one would write first.

Run ``python benchmarks/intervals.py [--runs 3000]``: it prints the table of ``docs/reference/estimates.md``.
Some of its designs, with fewer runs, are a test (``tests/calibration/test_interval_coverage.py``).

Every design has a fixed, finite population of events; a run samples it as the service would (Poisson, or
whole sessions), and an interval covers when it holds the mean (total, quantile) of all events of that
population.
"""

from __future__ import annotations

import argparse
import math
from collections.abc import Callable, Iterator, Sequence
from datetime import UTC, datetime
from typing import NamedTuple

import numpy as np

from _harness import Aim, Row, machine, median_seconds, table
from evalsvc.stats import estimate_mean, estimate_quantile, estimate_total
from evalsvc.stats.distributions import t_quantile
from evalsvc.stats.many import estimate_means
from evalsvc.stats.quantile import bin_of
from evalsvc.types import Cell, Estimate, Scale, Window

WINDOW = Window(datetime(2026, 3, 1, tzinfo=UTC), datetime(2026, 3, 2, tzinfo=UTC))
BINARY = Scale(0.0, 1.0, "lower", binary=True)
BOUNDED = Scale(0.0, 1.0, "higher")
POSITIVE = Scale(0.0, None, "lower", "ms")

Array = np.ndarray
Sampled = tuple[list[Cell], dict[tuple[str, int], int] | None, dict[tuple[str, int], float] | None]


class Draw(NamedTuple):
    """One sample as both methods see it: cells and offered counts; plain values and their weights."""

    cells: list[Cell]
    offered: dict[tuple[str, int], int] | None
    rates: dict[tuple[str, int], float] | None
    values: Array
    weights: Array
    bins: dict[tuple[str, int, float], dict[int, int]] | None = None


class Design(NamedTuple):
    """A population with a way to sample it, and the truth about it."""

    name: str
    scale: Scale
    truth: float
    draw: Callable[[np.random.Generator], Draw]
    statistic: str = "mean"
    clustered: bool = False
    floor: float = 0.935


class Coverage(NamedTuple):
    """A line of the table; shares are of the runs in which the interval held the truth."""

    name: str
    n: float
    naive_coverage: float
    naive_width: float
    coverage: float
    width: float
    without_interval: float


def cell_of(
    stratum: str, pi: float, values: Array, n_missing: int = 0, sessions: Array | None = None, n_failed: int = 0
) -> Cell:
    """Return the sufficient statistics of scores in one stratum."""
    total, squares = float(values.sum()), float((values * values).sum())
    if sessions is None:
        return Cell(stratum, 1, pi, values.size, n_missing, n_failed, total, squares)
    _, inverse = np.unique(sessions, return_inverse=True)
    counts, sums = np.bincount(inverse), np.bincount(inverse, weights=values)
    return Cell(
        stratum,
        1,
        pi,
        values.size,
        n_missing,
        0,
        total,
        squares,
        clusters=counts.size,
        cluster_n2=float((counts * counts).sum()),
        cluster_ny=float((counts * sums).sum()),
        cluster_y2=float((sums * sums).sum()),
    )


def stratified(
    name: str,
    scale: Scale,
    strata: Sequence[tuple[float, Array]],
    *,
    rates_known: bool = True,
    statistic: str = "mean",
    missing: float = 0.0,
    floor: float = 0.935,
) -> Design:
    """Return a design of strata of known size; ``missing`` is the share that is not scored."""
    everything = np.concatenate([values for _, values in strata])
    offered = {(f"h={h}", 1): values.size for h, (_, values) in enumerate(strata)}
    rates = {(f"h={h}", 1): pi for h, (pi, _) in enumerate(strata)} if rates_known else None
    quantile = float(statistic[1:]) / 100 if statistic.startswith("p") else None

    def draw(rng: np.random.Generator) -> Draw:
        cells, chosen, weights = [], [], []
        bins: dict[tuple[str, int, float], dict[int, int]] = {}
        for h, (pi, values) in enumerate(strata):
            taken = int(rng.binomial(values.size, pi))
            if not taken:
                continue
            some = values[rng.choice(values.size, taken, replace=False, shuffle=False)]
            gone = int(rng.binomial(taken, missing))
            some = some[gone:]
            # What has no value abstained where the mean is asked; of a total it failed, or it would add nothing.
            failed = gone if statistic == "total" else 0
            cells.append(cell_of(f"h={h}", pi, some, gone - failed, n_failed=failed))
            chosen.append(some)
            weights.append(np.full(some.size, 1.0 / pi))
            if quantile:
                unique, counts = np.unique([bin_of(v) for v in some], return_counts=True)
                bins[f"h={h}", 1, pi] = dict(zip(unique.tolist(), counts.tolist(), strict=True))
        values_, weights_ = (np.concatenate(chosen), np.concatenate(weights)) if chosen else (np.empty(0), np.empty(0))
        return Draw(cells, offered, rates, values_, weights_, bins or None)

    truth = float(everything.mean())
    if statistic == "total":
        truth = float(everything.sum())
    elif quantile:
        truth = float(np.sort(everything)[math.ceil(quantile * everything.size) - 1])
    return Design(name, scale, truth, draw, statistic, floor=floor)


def crossing(
    name: str,
    scale: Scale,
    levels: Sequence[tuple[float, Array]],
    *,
    statistic: str = "mean",
    failed: float = 0.0,
    floor: float = 0.935,
) -> Design:
    """Return a design for a segment that cuts across strata: its size in them is not known."""
    everything = np.concatenate([values for _, values in levels])
    truth = float(everything.sum() if statistic == "total" else everything.mean())
    rates = {(f"h={h}", 1): pi for h, (pi, _) in enumerate(levels)}

    def draw(rng: np.random.Generator) -> Draw:
        cells, chosen, weights = [], [np.empty(0)], [np.empty(0)]
        for h, (pi, values) in enumerate(levels):
            some = values[rng.random(values.size) < pi]
            if some.size:
                kept = some[rng.random(some.size) >= failed] if failed else some
                cells.append(cell_of(f"h={h}", pi, kept, n_failed=some.size - kept.size))
                some = kept
                chosen.append(some)
                weights.append(np.full(some.size, 1.0 / pi))
        return Draw(cells, None, rates, np.concatenate(chosen), np.concatenate(weights))

    return Design(name, scale, truth, draw, statistic, floor=floor)


def sessions(
    name: str,
    scale: Scale,
    pi: float,
    groups: Sequence[Array],
    *,
    known: bool = True,
    quantile: float | None = None,
    floor: float = 0.935,
) -> Design:
    """Return a design that takes whole sessions, of their mean or a quantile."""
    values = np.concatenate(groups)
    labels = np.repeat(np.arange(len(groups)), [group.size for group in groups])

    def draw(rng: np.random.Generator) -> Draw:
        keep = (rng.random(len(groups)) < pi)[labels]
        some = values[keep]
        cells = [cell_of("h=0", pi, some, sessions=labels[keep])] if some.size else []
        offered = {("h=0", 1): values.size} if known else None
        unique, counts = np.unique([bin_of(v) for v in some] if quantile else [], return_counts=True)
        bins = {("h=0", 1, pi): dict(zip(unique.astype(int).tolist(), counts.tolist(), strict=True))}
        return Draw(cells, offered, {("h=0", 1): pi}, some, np.full(some.size, 1.0 / pi), bins)

    if quantile is None:
        return Design(name, scale, float(values.mean()), draw, clustered=True, floor=floor)
    truth = float(np.sort(values)[math.ceil(quantile * values.size) - 1])
    return Design(name, scale, truth, draw, f"p{100 * quantile:g}", clustered=True, floor=floor)


def ours(design: Design, draw: Draw) -> Estimate:
    """Return evalsvc's estimate."""
    if design.statistic.startswith("p"):
        return estimate_quantile(
            draw.bins or {},
            float(design.statistic[1:]) / 100,
            design.scale,
            WINDOW,
            cells=draw.cells,
            offered=draw.offered,
            rates=draw.rates,
        )
    estimate = estimate_total if design.statistic == "total" else estimate_mean
    return estimate(draw.cells, design.scale, WINDOW, offered=draw.offered, rates=draw.rates)


def naive(design: Design, draw: Draw) -> tuple[float, float]:
    """Return the weighted mean ± t, linearised (for quantiles, inverted from the share below)."""
    values, weights = draw.values, draw.weights
    if values.size < 2:
        return math.nan, math.nan
    if design.statistic.startswith("p"):
        return _naive_quantile(float(design.statistic[1:]) / 100, values, weights)
    total = weights.sum()
    mean = float((weights * values).sum() / total)
    variance = float((weights**2 * (values - mean) ** 2).sum()) / total**2 * values.size / (values.size - 1)
    half = t_quantile(0.975, float(values.size - 1)) * math.sqrt(variance)
    if design.statistic == "total":
        size = sum((draw.offered or {}).values()) or total
        return (mean - half) * size, (mean + half) * size
    return mean - half, mean + half


def _naive_quantile(probability: float, values: Array, weights: Array) -> tuple[float, float]:
    order = np.argsort(values)
    values, weights = values[order], weights[order]
    below = np.cumsum(weights) / weights.sum()
    kish = weights.sum() ** 2 / (weights**2).sum()
    half = 1.96 * math.sqrt(probability * (1 - probability) / kish)
    last = values.size - 1
    low, high = np.minimum(last, np.searchsorted(below, [probability - half, probability + half]))
    return float(values[low]), float(values[high])


def _bernoulli(size: int, share: float) -> Array:
    values = np.zeros(size)
    values[: round(size * share)] = 1.0
    return values


def _tail(size: int, sigma: float, rng: np.random.Generator) -> Array:
    return 800.0 * np.exp(sigma * rng.standard_normal(size))


def _dialogues(rng: np.random.Generator, count: int, share: float, spread: float, binary: bool) -> list[Array]:
    """Return sessions of 1 to ~20 turns, whose turns share a level of their own (Beta with that spread)."""
    sizes = np.minimum(20, rng.geometric(0.25, count))
    levels = rng.beta(share * spread, (1 - share) * spread, count)
    if binary:
        return [(rng.random(n) < p).astype(float) for n, p in zip(sizes, levels, strict=True)]
    return [np.clip(p + 0.1 * rng.standard_normal(n), 0, 1) for n, p in zip(sizes, levels, strict=True)]


def designs() -> Iterator[Design]:
    """Yield every design of the table. Populations are drawn with a fixed seed."""
    rng = np.random.default_rng(20260301)
    b = _bernoulli
    yield stratified("binary π .01/1, .05/.05, 2,000 events", BINARY, [(0.01, b(1800, 0.05)), (1, b(200, 0.05))])
    yield stratified("binary π .01/1, .05/.50, 2,000", BINARY, [(0.01, b(1800, 0.05)), (1, b(200, 0.5))])
    yield stratified("binary π .01/1, .05/.50, 20,000", BINARY, [(0.01, b(18000, 0.05)), (1, b(2000, 0.5))])
    yield stratified("binary π .001/1, .05/.50, 20,000", BINARY, [(0.001, b(18000, 0.05)), (1, b(2000, 0.5))])
    three = [(0.001, b(170_000, 0.02)), (0.03, b(25_000, 0.1)), (1.0, b(5_000, 0.3))]
    yield stratified("binary π .001/.03/1, .02/.1/.3, 200,000", BINARY, three)
    yield stratified("binary one stratum π .05, .01, 1,000", BINARY, [(0.05, b(1000, 0.01))])
    many = [(0.01, b(size, share)) for size, share in zip([200] * 40, [0.02, 0.05, 0.1, 0.2] * 10, strict=True)]
    yield stratified("binary 40 strata of 200, π .01", BINARY, many)
    mixed = [(pi, b(300, share)) for pi, share in [(0.02, 0.1), (0.03, 0.05), (0.1, 0.3), (0.2, 0.05), (1, 0.2)] * 3]
    yield stratified("binary 15 strata of 300, π .02 to 1", BINARY, mixed)
    yield stratified("binary, π of empty strata not known", BINARY, many[:8], rates_known=False)
    yield stratified("binary π .02/1, 20 % not scored", BINARY, [(0.02, b(4000, 0.1)), (1, b(400, 0.4))], missing=0.2)
    yield crossing("segment across strata, π .02/1", BINARY, [(0.02, b(2000, 0.1)), (1, b(300, 0.4))])
    yield crossing(
        "segment across strata, π .01/.1/1, rare",
        BINARY,
        [(0.01, b(3000, 0.02)), (0.1, b(500, 0.1)), (1, b(30, 0.5))],
    )
    yield crossing("small segment, π .01/1", BINARY, [(0.01, b(300, 0.1)), (1, b(50, 0.4))])
    yield crossing("segment across strata, bounded", BOUNDED, [(0.02, rng.beta(8, 2, 2000)), (1, rng.beta(2, 3, 300))])
    for n in (15, 30, 100):
        yield stratified(f"bounded Beta(9, 1), n≈{n}", BOUNDED, [(0.02, rng.beta(9, 1, n * 50))])
        yield stratified(f"bounded Beta(.5, 5), n≈{n}", BOUNDED, [(0.02, rng.beta(0.5, 5, n * 50))])
    faults = np.where(rng.random(5000) < 0.03, rng.beta(1, 5, 5000), rng.beta(60, 3, 5000))
    yield stratified("bounded, 3 % faults among good, n≈100", BOUNDED, [(0.02, faults)])
    yield stratified("bounded, 3 % faults among good, n≈30", BOUNDED, [(0.006, faults)])
    yield stratified("bounded π .01/1", BOUNDED, [(0.01, rng.beta(9, 1, 3000)), (1, rng.beta(2, 2, 300))])
    for n in (10, 30, 100, 300):
        floor = 0.935 if n >= 100 else 0.90
        yield stratified(f"latency, lognormal σ=1, n≈{n}", POSITIVE, [(0.02, _tail(n * 50, 1.0, rng))], floor=floor)
    yield stratified("latency π .02/1", POSITIVE, [(0.02, _tail(5000, 1.0, rng)), (1, 3 * _tail(300, 1.0, rng))])
    yield sessions("sessions, binary, m≈100", BINARY, 0.1, _dialogues(rng, 1000, 0.1, 2.0, True))
    yield sessions("sessions, binary, m≈25", BINARY, 0.05, _dialogues(rng, 500, 0.2, 2.0, True))
    yield sessions("sessions, binary, rare, m≈50", BINARY, 0.05, _dialogues(rng, 1000, 0.03, 1.0, True))
    yield sessions("sessions, bounded, m≈50", BOUNDED, 0.05, _dialogues(rng, 1000, 0.8, 8.0, False))
    yield sessions("sessions, segment, m≈50", BINARY, 0.05, _dialogues(rng, 1000, 0.1, 2.0, True), known=False)
    yield stratified(
        "total, binary π .01/1, 2,000", BINARY, [(0.01, b(1800, 0.05)), (1, b(200, 0.5))], statistic="total"
    )
    yield stratified(
        "total, cost π .02/1",
        POSITIVE,
        [(0.02, _tail(5000, 0.7, rng)), (1, _tail(300, 1, rng))],
        statistic="total",
    )
    segment = [(0.02, b(2000, 0.02)), (1, b(300, 0.1))]
    yield crossing("total, failures in a segment, π .02/1", BINARY, segment, statistic="total")
    spent = [(0.02, _tail(3000, 0.7, rng)), (1, _tail(300, 1, rng))]
    yield crossing("total, cost in a segment, π .02/1", POSITIVE, spent, statistic="total")
    failing = [(0.02, b(4000, 0.1)), (1, b(400, 0.4))]
    yield stratified("total, binary π .02/1, 20 % failed", BINARY, failing, statistic="total", missing=0.2)
    yield crossing("total, failures in a segment, 20 % failed", BINARY, failing, statistic="total", failed=0.2)
    two = [(0.02, _tail(5000, 1.0, rng)), (1.0, 3 * _tail(300, 1.0, rng))]
    yield stratified("median latency, π .02/1", POSITIVE, two, statistic="p50")
    yield stratified("p95 latency, π .02/1", POSITIVE, two, statistic="p95")
    yield stratified("p99 latency, π .1", POSITIVE, [(0.1, _tail(9000, 1.0, rng))], statistic="p99")
    # An intra-class correlation of .3 on the logarithm.
    twice = [
        list(800.0 * np.exp(rng.normal(0, 0.3**0.5, (count, 1)) + rng.normal(0, 0.7**0.5, (count, 20))))
        for count in (200, 200)
    ]
    yield sessions("median latency, sessions of 20, m≈6", POSITIVE, 0.03, twice[0], quantile=0.5)
    yield sessions("p95 latency, sessions of 20, m≈30", POSITIVE, 0.15, twice[1], quantile=0.95)


def measure(design: Design, runs: int, seed: int) -> Coverage:
    """Return both methods' coverage and mean width; runs without an interval are left out."""
    rng = np.random.default_rng(seed)
    held = naive_held = made = 0
    sizes, widths, naive_widths = 0, [], []
    for _ in range(runs):
        draw = design.draw(rng)
        sizes += draw.values.size
        low, high = naive(design, draw)
        naive_held += low <= design.truth <= high
        if high >= low:
            naive_widths.append(high - low)
        estimate = ours(design, draw)
        if estimate.value is None or (estimate.low is None and estimate.high is None):
            continue
        made += 1
        below = -math.inf if estimate.low is None else estimate.low
        above = math.inf if estimate.high is None else estimate.high
        held += below <= design.truth <= above
        widths.append(above - below)
    finite = [width for width in widths if math.isfinite(width)]
    return Coverage(
        design.name,
        sizes / runs,
        naive_held / runs,
        float(np.mean(naive_widths)),
        held / max(made, 1),
        float(np.mean(finite)),
        1 - made / runs,
    )


def run(quick: bool = False) -> list[Row]:
    """Return the coverage in every design; ``quick`` takes 300 runs a design instead of 3,000."""
    measured = [measure(design, 300 if quick else 3000, seed) for seed, design in enumerate(designs())]
    return [
        Row(
            "intervals",
            m.name,
            m.coverage,
            "coverage",
            "weighted mean ± t",
            m.naive_coverage,
            None,
            Aim("value", "≥", 0.935),
        )
        for m in measured
    ]


def speed(groups: int = 24_000) -> Row:
    """Time the means of so many groups of two strata, half of them binary, beside one at a time."""
    rng = np.random.default_rng(1)
    sizes = rng.integers(5, 60, (groups, 2))
    ones = rng.binomial(sizes, 0.2)
    cells = [
        [
            Cell("s0", 1, 0.1, int(n[0]), 0, 0, float(k[0]), float(k[0])),
            Cell("s1", 1, 1.0, int(n[1]), 0, 0, float(k[1]), float(k[1])),
        ]
        for n, k in zip(sizes, ones, strict=True)
    ]
    offered = [{("s0", 1): 10 * some[0].n, ("s1", 1): some[1].n} for some in cells]
    scales = [BINARY, BOUNDED] * (groups // 2)
    windows, rates = [WINDOW] * groups, [{("s0", 1): 0.1, ("s1", 1): 1.0}] * groups

    def alone() -> None:
        for some, scale, known in zip(cells[:1000], scales, offered, strict=False):
            estimate_mean(some, scale, WINDOW, offered=known)

    together = median_seconds(lambda: estimate_means(cells, scales, windows, offered=offered, rates=rates), rounds=5)
    each = median_seconds(alone, rounds=3) * groups / 1000
    what = f"means of {groups:,} groups of two strata with intervals"
    return Row("intervals", what, 1000 * together, "ms", "one at a time (from 1,000)", 1000 * each, each / together)


def main() -> None:
    """Print the table in Markdown, or how long estimates take."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--runs", type=int, default=3000)
    parser.add_argument("--only", default="", help="designs whose name holds this text")
    parser.add_argument("--speed", action="store_true", help="time the estimates of very many groups instead")
    options = parser.parse_args()
    if options.speed:
        print(machine())
        print(table([speed()]))
        return
    print("| design | n | mean ± t: coverage | width | evalsvc: coverage | width |")
    print("|---|--:|--:|--:|--:|--:|")
    for seed, design in enumerate(designs()):
        if options.only in design.name:
            m = measure(design, options.runs, seed)
            naive_part = f"{m.naive_coverage:.1%} | {m.naive_width:.3g}"
            print(f"| {m.name} | {m.n:.0f} | {naive_part} | {m.coverage:.1%} | {m.width:.3g} |", flush=True)


if __name__ == "__main__":
    main()
