"""Coverage of the gap between groups, beside the ways that one would write first; groups named; pronouns swapped.

Run ``python benchmarks/fairness.py [--runs 2000]`` and ``--grid``: they print the tables of
``docs/reference/fairness.md``. Some of its designs, with fewer runs, are a test
(``tests/calibration/test_fairness_calibration.py``).

Every design has groups of known true means; a run draws scores of an unlimited stream, as the service would sample it,
and an interval covers when it holds the true max − min. The naive ones: the interval of the two groups picked, as if
they had been chosen before looking; and percentiles of a bootstrap of max − min.
"""

from __future__ import annotations

import argparse
import gzip
import json
import math
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from _harness import Aim, Row
from evalsvc.fairness import (
    Group,
    differences,
    gap,
    group_of_cells,
    spread,
    standing_apart,
    swap_gender,
    worst_gap,
)
from evalsvc.fairness.gaps import Limits, range_critical, range_limits
from evalsvc.fairness.groups import cells_of
from evalsvc.stats.many import in_columns, means_of
from evalsvc.types import Cell, Scale

BINARY = Scale(0.0, 1.0, "lower", binary=True)
BOUNDED = Scale(0.0, 1.0, "higher")
OPEN = Scale(None, None, "higher")
LATENCY = Scale(0.0, None, "lower", "s")

Floats = NDArray[np.float64]


class Design(NamedTuple):
    """Groups of known true means, and a way to sample them."""

    name: str
    scale: Scale
    truths: Floats
    sizes: Sequence[int]
    draw: Callable[[np.random.Generator], list[list[Cell]]]

    @property
    def gap(self) -> float:
        """The true max − min."""
        return float(self.truths.max() - self.truths.min())


class Coverage(NamedTuple):
    """A line of the table; shares are of the runs in which the interval held the true gap."""

    name: str
    gap: float
    naive: float
    shrunken: float
    picked: float
    bootstrap: float
    coverage: float
    width: float
    worst: float
    error: float


def cell_of(pi: float, values: Floats) -> Cell:
    """Return the sufficient statistics of scores of one π."""
    return Cell("", 1, pi, values.size, 0, 0, float(values.sum()), float((values * values).sum()))


def simple(
    name: str, scale: Scale, truths: Sequence[float], sizes: Sequence[int], concentration: float = 5.0
) -> Design:
    """Return a design of equal π; bounded scores are Beta with this sum of parameters, open ones normal.

    Latencies are lognormal, with ``concentration`` as the deviation of their logarithm.
    """

    def draw(rng: np.random.Generator) -> list[list[Cell]]:
        return [[cell_of(0.01, _scores(rng, scale, p, n, concentration))] for p, n in zip(truths, sizes, strict=True)]

    return Design(name, scale, np.array(truths), sizes, draw)


def weighted(
    name: str,
    scale: Scale,
    levels: Sequence[tuple[float, float, Sequence[float]]],
    size: int,
    concentration: float = 5.0,
) -> Design:
    """Return a design of several π. ``levels`` are (π, share of the stream, true mean of each group)."""
    shares = np.array([share for _, share, _ in levels])
    truths = (shares[:, None] * np.array([means for _, _, means in levels])).sum(axis=0) / shares.sum()
    taken = np.array([pi * share for pi, share, _ in levels])
    taken = taken / taken.sum()

    def draw(rng: np.random.Generator) -> list[list[Cell]]:
        groups = []
        for g in range(truths.size):
            counts = rng.poisson(size * taken)
            groups.append(
                [
                    cell_of(pi, _scores(rng, scale, means[g], int(n), concentration))
                    for (pi, _, means), n in zip(levels, counts, strict=True)
                    if n
                ]
            )
        return groups

    return Design(name, scale, truths, [size] * truths.size, draw)


def _scores(rng: np.random.Generator, scale: Scale, mean: float, size: int, concentration: float) -> Floats:
    if scale.binary:
        return (rng.random(size) < mean).astype(np.float64)
    if scale.bounded:
        return rng.beta(mean * concentration, (1.0 - mean) * concentration, size)
    if scale.low is not None:
        return mean * rng.lognormal(-(concentration**2) / 2.0, concentration, size)
    return mean + 0.2 * rng.standard_normal(size)


def in_sessions(
    name: str, share: float, sessions: int, events: int, likeness: float, *, clusters: bool = True
) -> Design:
    """Return two equal groups of yes and no, whose events of one session are correlated by ``likeness``.

    Without ``clusters`` the sums over sessions are kept from the estimator, which takes the events as independent.
    """
    a, b = share * (1.0 / likeness - 1.0), (1.0 - share) * (1.0 / likeness - 1.0)

    def draw(rng: np.random.Generator) -> list[list[Cell]]:
        groups = []
        for _ in range(2):
            y = (rng.random((sessions, events)) < rng.beta(a, b, (sessions, 1))).astype(np.float64)
            names = np.repeat([f"{i}" for i in range(sessions)], events)
            groups.append(cells_of(y.ravel(), np.full(y.size, 0.01), names if clusters else None))
        return groups

    return Design(name, BINARY, np.full(2, share), [sessions * events] * 2, draw)


def one_off(count: int, base: float, distance: float) -> list[float]:
    """Return true means of which one lies apart."""
    return [base] * (count - 1) + [base + distance]


def designs() -> Iterator[Design]:
    """Yield every design of the table."""
    for count, size, share in [
        (2, 30, 0.5),
        (10, 30, 0.5),
        (10, 30, 0.05),
        (50, 30, 0.2),
        (10, 300, 0.02),
        (50, 300, 0.1),
    ]:
        yield simple(f"binary, {count} × {size}, all {share:g}", BINARY, [share] * count, [size] * count)
    yield simple("binary, 10 × 3,000, all 0.1", BINARY, [0.1] * 10, [3000] * 10)
    mixed = [30, 30, 50, 80, 150, 300, 600, 1000, 2000, 3000]
    yield simple("binary, 10 of 30 to 3,000, all 0.1", BINARY, [0.1] * 10, mixed)
    for count, size, share in [(2, 30, 0.2), (10, 30, 0.1), (10, 300, 0.1), (50, 300, 0.2), (10, 3000, 0.1)]:
        truths = one_off(count, share, 0.1)
        yield simple(f"binary, {count} × {size:,}, one 0.1 above {share:g}", BINARY, truths, [size] * count)
    yield simple("binary, 10 of 30 to 3,000, steps to 0.1", BINARY, np.linspace(0.1, 0.2, 10).tolist(), mixed)
    yield simple("binary, 10 × 300, half 0.1 above", BINARY, [0.1] * 5 + [0.2] * 5, [300] * 10)
    for count, size in [(10, 30), (10, 300), (50, 30)]:
        yield simple(f"bounded, {count} × {size}, all 0.9", BOUNDED, [0.9] * count, [size] * count)
    yield simple("bounded, 10 × 300, one 0.1 below 0.9", BOUNDED, one_off(10, 0.9, -0.1), [300] * 10)
    yield simple("bounded, 50 × 30, one 0.1 below 0.9", BOUNDED, one_off(50, 0.9, -0.1), [30] * 50)
    yield simple("open, 10 × 30, all equal", OPEN, [0.0] * 10, [30] * 10)
    yield simple("open, 10 × 30, one 0.1 above", OPEN, one_off(10, 0.0, 0.1), [30] * 10)
    yield from tailed()
    for sessions, events, likeness in [(30, 20, 0.2), (50, 10, 0.1)]:
        said = f"binary, 2 × {sessions} sessions of {events}, correlation {likeness:g}, all 0.3"
        yield in_sessions(said, 0.3, sessions, events, likeness)
    light, whole = 0.02, 1.0
    yield weighted(
        "binary, π 0.02/1, 10 × 300, equal", BINARY, [(light, 0.98, [0.1] * 10), (whole, 0.02, [0.4] * 10)], 300
    )
    yield weighted(
        "binary, π 0.02/1, 10 × 1,000, one 0.1 above",
        BINARY,
        [(light, 0.98, one_off(10, 0.1, 0.1)), (whole, 0.02, one_off(10, 0.4, 0.1))],
        1000,
    )
    yield weighted(
        "bounded, π 0.02/1, 10 × 300, equal", BOUNDED, [(light, 0.98, [0.9] * 10), (whole, 0.02, [0.6] * 10)], 300
    )


def tailed() -> Iterator[Design]:
    """Yield designs of latencies, lognormal with means of 1 and a deviation σ of their logarithm."""
    mixed = [30, 30, 50, 80, 150, 300, 600, 1000, 2000, 3000]
    for count, size, sigma in [
        (2, 30, 1.5),
        (10, 30, 0.5),
        (10, 30, 1.0),
        (10, 30, 2.0),
        (10, 100, 1.5),
        (50, 30, 1.0),
    ]:
        name = f"latency, {count} × {size}, σ {sigma:g}, all equal"
        yield simple(name, LATENCY, [1.0] * count, [size] * count, sigma)
    yield simple("latency, 10 of 30 to 3,000, σ 1, all equal", LATENCY, [1.0] * 10, mixed, 1.0)
    yield simple("latency, 10 × 300, σ 0.5, one 0.3 above 1", LATENCY, one_off(10, 1.0, 0.3), [300] * 10, 0.5)
    yield simple("latency, 10 × 300, σ 1, one 1 above 1", LATENCY, one_off(10, 1.0, 1.0), [300] * 10, 1.0)


def groups_of(design: Design, rng: np.random.Generator) -> list[Group]:
    """Return one sample of every group."""
    drawn = design.draw(rng)
    return [group_of_cells(f"g{g}", cells, design.scale) for g, cells in enumerate(drawn) if cells]


def joint(limits: Limits) -> tuple[float, float]:
    """Return evalsvc's interval of the gap: what :func:`evalsvc.fairness.gap` gives, without its other numbers."""
    return range_limits(limits.values, *limits.at(range_critical(len(limits.groups), 0.95)))


def picked(values: Floats, errors: Floats) -> tuple[float, float]:
    """Return the interval of the highest less the lowest group, as if these two had been chosen before looking."""
    high, low = int(values.argmax()), int(values.argmin())
    half = 1.96 * math.hypot(errors[high], errors[low])
    distance = float(values[high] - values[low])
    return distance - half, distance + half


def bootstrapped(values: Floats, errors: Floats, rng: np.random.Generator, draws: int = 200) -> tuple[float, float]:
    """Return percentiles of max − min over groups that are drawn around their estimates."""
    drawn = values + errors * rng.standard_normal((draws, values.size))
    low, high = np.quantile(drawn.max(axis=1) - drawn.min(axis=1), [0.025, 0.975])
    return float(low), float(high)


def intervals(design: Design, samples: Sequence[Sequence[Group]]) -> Floats:
    """Return :func:`joint`'s intervals of many samples, ``[runs, 2]``; of a scale with two ends all at once."""
    if design.scale.high is None:
        return np.array([joint(Limits(groups)) for groups in samples])
    critical = range_critical(design.truths.size, 0.95)
    held = [group.sums for groups in samples for group in groups if group.sums is not None]
    table = in_columns(
        [one.cells for one in held],
        [one.scale for one in held],
        offered=[one.offered for one in held],
        rates=[one.rates for one in held],
    )
    found = means_of(*table, confidence=math.erf(critical / math.sqrt(2.0)), process=True)
    shape = len(samples), design.truths.size
    value, low, high = (column.reshape(shape) for column in (found.value, found.low, found.high))
    return np.array([range_limits(v, v - a, b - v) for v, a, b in zip(value, low, high, strict=True)])


def measure(design: Design, runs: int, seed: int, *, whole: bool = True) -> Coverage:
    """Return every method's coverage; ``whole`` adds the worst group's, the shrunken range and the spread's error."""
    rng = np.random.default_rng(seed)
    picked_held = bootstrap_held = worst_held = 0
    ranges, shrunken, variances = [], [], []
    truth = design.gap
    samples = [groups_of(design, rng) for _ in range(runs)]
    limits = intervals(design, samples)
    for run, groups in enumerate(samples):
        values = np.array([sum(c.total / c.pi for c in g.sums.cells) / g.size for g in groups if g.sums is not None])
        errors = np.array([group.error for group in groups], dtype=np.float64)
        a, b = picked(values, errors)
        picked_held += a <= truth <= b
        a, b = bootstrapped(values, errors, rng)
        bootstrap_held += a <= truth <= b
        ranges.append(float(values.max() - values.min()))
        if whole:
            variances.append(spread(groups).variance or 0.0)
            sizes = np.array([group.size for group in groups])
            worse = (design.truths - (sizes / sizes.sum()) @ design.truths) * (
                1 if design.scale.better == "lower" else -1
            )
            found = worst_gap(groups, design.scale.better)
            most = math.inf if found.high is None else found.high
            worst_held += (found.low or 0.0) <= max(0.0, float(worse.max()) - 1e-12) <= most
            if run < 50:
                shrunken.append(gap(groups).value or 0.0)
    error = float(np.mean(variances)) - float(design.truths.var(ddof=1)) if whole else math.nan
    return Coverage(
        design.name,
        truth,
        float(np.mean(ranges)),
        float(np.mean(shrunken)) if shrunken else math.nan,
        picked_held / runs,
        bootstrap_held / runs,
        _held(limits, truth),
        float(np.median(limits[:, 1] - limits[:, 0])),
        worst_held / runs if whole else math.nan,
        error,
    )


def _held(limits: Floats, truth: float) -> float:
    return float(((limits[:, 0] <= truth) & (truth <= limits[:, 1])).mean())


GRID_GROUPS, GRID_SIZES = (2, 10, 50), (30, 300, 3000)
GRID_TRUTHS = ((0.0, 0.1), (0.0, 0.5), (0.1, 0.1), (0.1, 0.5))
"""True gap, and the share of all groups but one."""


def covered(design: Design, runs: int, seed: int) -> float:
    """Return the share of runs in which the interval of the gap held it, and nothing else, which is quicker."""
    rng = np.random.default_rng(seed)
    return _held(intervals(design, [groups_of(design, rng) for _ in range(runs)]), design.gap)


def print_grid() -> None:
    """Print the coverage over numbers of groups and sizes: 2,000 runs a cell, and 400 of 50 groups."""
    print("| groups | " + " | ".join(f"gap {distance:g}, share {base:g}" for distance, base in GRID_TRUTHS) + " |")
    print("|---" + "|--:" * len(GRID_TRUTHS) + "|")
    for count in GRID_GROUPS:
        for size in GRID_SIZES:
            runs = 2000 if count < 50 else 400
            cells = [
                covered(simple("", BINARY, one_off(count, base, distance), [size] * count), runs, 11)
                for distance, base in GRID_TRUTHS
            ]
            print(f"| {count} × {size:,} | " + " | ".join(f"{cell:.1%}" for cell in cells) + " |", flush=True)


class Named(NamedTuple):
    """Shares of the runs in which a group that is like the rest was named, and of the odd groups that were found.

    ``own`` is by the limits of each group alone, where the scale has no upper end.
    """

    name: str
    apart: float
    flat: float
    own: float
    found: float


def odd_designs() -> Iterator[tuple[Design, frozenset[str]]]:
    """Yield designs with the names of the groups that are not like the rest."""
    mixed = [3000, 2000, 1000, 600, 300, 150, 80, 50, 30, 500]
    for name, base, odd, sizes in [
        ("10 × 300, all 0.1", 0.1, [], [300] * 10),
        ("4 × 300, one 0.1 above 0.1", 0.1, [0.2], [300] * 4),
        ("4 × 300, one 0.3 above 0.1", 0.1, [0.4], [300] * 4),
        ("10 × 3,000, one 0.1 above 0.1", 0.1, [0.2], [3000] * 10),
        ("10 × 3,000, three 0.1 above 0.1", 0.1, [0.2] * 3, [3000] * 10),
        ("10 × 3,000, two 0.1 from 0.2", 0.2, [0.1, 0.3], [3000] * 10),
        ("10 of 30 to 3,000, one 0.1 above 0.1", 0.1, [0.2], mixed),
    ]:
        truths = [base] * (len(sizes) - len(odd)) + odd
        names = frozenset(f"g{i}" for i in range(len(truths) - len(odd), len(truths)))
        yield simple(f"binary, {name}", BINARY, truths, sizes), names
    for design in tailed():
        yield design, frozenset() if design.gap == 0.0 else frozenset({f"g{design.truths.size - 1}"})


def name_groups(design: Design, odd: frozenset[str], runs: int, seed: int) -> Named:
    """Return how often groups are named: one after the other, and each against all the others at once."""
    rng = np.random.default_rng(seed)
    apart = flat = found = own = 0
    for _ in range(runs):
        groups = groups_of(design, rng)
        named = {row.name for row in standing_apart(groups)}
        apart += bool(named - odd)
        found += len(named & odd)
        flat += bool({row.name for row in differences(groups) if row.p_adjusted < 0.05} - odd)
        if design.scale.high is None:
            own += bool({row.name for row in standing_apart([group._replace(tail=None) for group in groups])} - odd)
    alone = own / runs if design.scale.high is None else math.nan
    return Named(design.name, apart / runs, flat / runs, alone, found / runs / len(odd) if odd else math.nan)


def run(quick: bool = False) -> list[Row]:
    """Return the coverage in every design; ``quick`` takes 200 runs a design instead of 1,000."""
    found = [measure(design, 200 if quick else 1000, seed, whole=False) for seed, design in enumerate(designs())]
    return [
        Row("fairness", m.name, m.coverage, "coverage", "picked pair", m.picked, None, Aim("value", "≥", 0.945))
        for m in found
    ]


def swapped_as_people_do(data: Path) -> list[tuple[str, int, int]]:
    """Return (set, sentences, how many of them the swap turns into exactly the human-made counterpart)."""
    found = []
    triples: dict[str, dict[str, str]] = {}
    for row in _rows(data, "winogender"):
        triples.setdefault(row["id"].rsplit(".", 2)[0], {})[row["gender"]] = row["sentence"]
    for source, target in (("male", "female"), ("female", "male")):
        pairs = [(texts[source], texts[target]) for texts in triples.values() if {source, target} <= texts.keys()]
        found.append((f"winogender, {source} to {target}", len(pairs), _exact(pairs)))
    sentences = {row["id"]: row["sentence"] for row in _rows(data, "winobias")}
    for source, target in (("-anti-", "-pro-"), ("-pro-", "-anti-")):
        others = {name: name.replace(source, target) for name in sentences if source in name}
        pairs = [(sentences[name], sentences[other]) for name, other in others.items() if other in sentences]
        found.append((f"winobias, {source.strip('-')} to {target.strip('-')}", len(pairs), _exact(pairs)))
    return found


def _rows(data: Path, name: str) -> list[dict[str, str]]:
    with gzip.open(data / "fairness" / name / "visible.jsonl.gz", "rt", encoding="utf-8") as lines:
        return [json.loads(line) for line in lines]


def _exact(pairs: Sequence[tuple[str, str]]) -> int:
    # Nouns stay: in these sets only the pronoun differs.
    return sum(swap_gender(text, nouns=False).text == other for text, other in pairs)


def main() -> None:
    """Print the tables in Markdown."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--runs", type=int, default=2000)
    parser.add_argument("--only", default="", help="designs whose name holds this text")
    parser.add_argument("--grid", action="store_true", help="instead: coverage over numbers of groups and their sizes")
    options = parser.parse_args()
    if options.grid:
        print_grid()
        return
    columns = ["true gap", "max − min reads", "shrunken reads", "picked pair", "bootstrap", "evalsvc", "width", "worst"]
    print("| " + " | ".join(["design", *columns]) + " |")
    print("|---" + "|--:" * len(columns) + "|")
    for seed, design in enumerate(designs()):
        if options.only in design.name:
            m = measure(design, options.runs, seed)
            print(
                f"| {m.name} | {m.gap:.2g} | {m.naive:.3f} | {m.shrunken:.3f} | {m.picked:.1%} | {m.bootstrap:.1%} "
                f"| {m.coverage:.1%} | {'∞' if math.isinf(m.width) else f'{m.width:.3f}'} | {m.worst:.1%} |",
                flush=True,
            )
    columns = [
        "named though like the rest",
        "the same, each against all others",
        "the same, own limits",
        "odd ones found",
    ]
    print("\n| " + " | ".join(["design", *columns]) + " |")
    print("|---" + "|--:" * len(columns) + "|")
    for seed, (design, odd) in enumerate(odd_designs()):
        if options.only in design.name:
            n = name_groups(design, odd, options.runs, seed)
            own, seen = ("–" if math.isnan(share) else f"{share:.1%}" for share in (n.own, n.found))
            print(f"| {n.name} | {n.apart:.1%} | {n.flat:.1%} | {own} | {seen} |", flush=True)
    data = Path(__file__).resolve().parents[2] / "shared" / "data"
    if data.is_dir():
        print("\n| set | sentences | swapped exactly as by people |\n|---|--:|--:|")
        for name, count, exact in swapped_as_people_do(data):
            print(f"| {name} | {count} | {exact / count:.1%} |")


if __name__ == "__main__":
    main()
