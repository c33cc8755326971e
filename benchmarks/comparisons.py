"""How often comparisons claim what is not so, how often their intervals hold, and whether promised power is there.

Run ``python benchmarks/comparisons.py [--runs 4000]``: it prints the tables of ``docs/reference/comparisons.md``. Some
of its designs, with fewer runs, are a test (``tests/calibration/test_comparison_calibration.py``).
"""

from __future__ import annotations

import argparse
import math
from collections.abc import Callable, Iterator
from typing import NamedTuple

import numpy as np
from scipy import stats

from _harness import Aim, Row
from evalsvc.stats import (
    Comparison,
    Online,
    PairedMeans,
    PairedShares,
    Question,
    Side,
    TwoMeans,
    TwoShares,
    adjust_p_values,
    adjust_tree,
    compare_paired,
    compare_unpaired,
    e_benjamini_hochberg,
    e_lond,
    lord,
    online,
    power_of,
)
from evalsvc.stats.binary_pairs import mcnemar_mid_p, stretched_limits, stretched_tail, tango_limits, tango_z
from evalsvc.stats.multiplicity import OnlineStep
from evalsvc.stats.power import Design
from evalsvc.types import Scale
from intervals import BINARY, BOUNDED, POSITIVE, cell_of

GOOD = Scale(0.0, 1.0, "higher", binary=True)
OPEN = Scale(None, None, "higher")

Array = np.ndarray
Random = np.random.Generator


class Cases(NamedTuple):
    """Scores of both versions on the same cases, with their clusters."""

    baseline: Array
    candidate: Array
    clusters: Array


class Paired(NamedTuple):
    """A way to draw cases on which the true difference is what it is told to be."""

    name: str
    scale: Scale
    margin: float
    draw: Callable[[Random, float], Cases]


class Errors(NamedTuple):
    """Shares of runs: wrong claims without a difference, at the margin, and intervals (no difference) that held."""

    name: str
    naive: float
    superiority: float
    non_inferiority: float
    coverage: float
    width: float


def _continuous(clusters: int, size: int, icc: float, repeats: int = 1) -> Callable[[Random, float], Cases]:
    def draw(rng: Random, shift: float) -> Cases:
        codes = np.repeat(np.arange(clusters), rng.integers(1, 2 * size, clusters))
        own = math.sqrt(icc) * rng.standard_normal(clusters)[codes]
        noise = rng.standard_normal((codes.size, repeats))
        scores = 0.5 + shift + 0.08 * (own[:, None] + math.sqrt(1.0 - icc) * noise)
        return Cases(np.full(codes.size, 0.5), np.clip(scores, 0.0, 1.0), codes)

    return draw


def _yes_no(clusters: int, size: int, icc: float, discordant: float) -> Callable[[Random, float], Cases]:
    def draw(rng: Random, shift: float) -> Cases:
        codes = np.repeat(np.arange(clusters), rng.integers(1, 2 * size, clusters))
        chances = np.array([(discordant + shift) / 2, (discordant - shift) / 2, 1 - discordant])
        if icc:
            levels = rng.dirichlet(np.maximum(chances, 1e-9) * (1 - icc) / icc, clusters)[codes]
        else:
            levels = np.tile(chances, (codes.size, 1))
        place = rng.random(codes.size)
        better = place < levels[:, 0]
        worse = ~better & (place < levels[:, 0] + levels[:, 1])
        return Cases(worse.astype(float), better.astype(float), codes)

    return draw


def paired_designs() -> Iterator[Paired]:
    """Yield designs of clustered cases; sizes vary from 1 to twice the mean."""
    for clusters in (5, 8, 15, 29, 30, 50, 100):
        yield Paired(f"bounded, {clusters} clusters, ICC .5", BOUNDED, 0.05, _continuous(clusters, 8, 0.5))
    yield Paired("bounded, 50 clusters, ICC .05", BOUNDED, 0.05, _continuous(50, 8, 0.05))
    yield Paired("bounded, 20 clusters, ICC .3, 5 repeats", BOUNDED, 0.05, _continuous(20, 4, 0.3, 5))
    for clusters, discordant in ((10, 0.1), (20, 0.02), (20, 0.4), (50, 0.1), (50, 0.4), (100, 0.02), (100, 0.1)):
        name = f"yes/no, {clusters} clusters, ICC .3, {discordant:.0%} differ"
        yield Paired(name, GOOD, 0.8 * discordant, _yes_no(clusters, 8, 0.3, discordant))


def hard_designs() -> Iterator[Paired]:
    """Yield designs in which type I errors are above the nominal: skewed differences that average to nothing."""

    def skewed(clusters: int) -> Callable[[Random, float], Cases]:
        def draw(rng: Random, shift: float) -> Cases:
            codes = np.repeat(np.arange(clusters), rng.integers(1, 16, clusters))
            # Squared normals by cluster and by case: many small losses, few large gains.
            own, noise = rng.standard_normal(clusters)[codes] ** 2, rng.standard_normal(codes.size) ** 2
            d = shift + 0.02 * (own + noise - 2.0)
            return Cases(np.zeros(codes.size), d, codes)

        return draw

    for clusters in (10, 20, 50, 100):
        yield Paired(f"skewed (χ²₁), {clusters} clusters, ICC .5", OPEN, 0.01, skewed(clusters))


def naive_t(cases: Cases) -> bool:
    """Return whether a paired t test over cases, which ignores clusters, claims a difference at 5 %."""
    scores = cases.candidate if cases.candidate.ndim == 1 else cases.candidate.mean(axis=1)
    d = scores - cases.baseline
    error = d.std(ddof=1) / math.sqrt(d.size) if d.size > 1 else 0.0
    return bool(error > 0.0 and abs(d.mean()) / error > stats.t.ppf(0.975, d.size - 1))


def compared(design: Paired, cases: Cases, question: Question) -> Comparison:
    """Return evalsvc's comparison."""
    clusters = cases.clusters.tolist()
    return compare_paired(cases.baseline, cases.candidate, design.scale, clusters=clusters, question=question)


def measure_paired(design: Paired, runs: int, seed: int) -> Errors:
    """Return the error rates of a design."""
    rng = np.random.default_rng(seed)
    naive = claims = passed = held = 0
    widths = []
    allowed = Question("non-inferiority", design.margin)
    for _ in range(runs):
        cases = design.draw(rng, 0.0)
        naive += naive_t(cases)
        c = compared(design, cases, Question())
        claims += c.verdict != "inconclusive"
        low, high = c.low or 0.0, c.high or 0.0
        held += low <= 0.0 <= high
        widths.append(high - low)
        passed += compared(design, design.draw(rng, -design.margin), allowed).verdict in ("not_worse", "better")
    return Errors(design.name, naive / runs, claims / runs, passed / runs, held / runs, float(np.mean(widths)))


class Exact(NamedTuple):
    """Exact rates over all tables of n pairs; nothing is simulated."""

    n: int
    discordant: float
    mid_p: float
    exact: float
    tango: float
    stretched: float
    width: float
    widening: float
    tango_margin: float
    margin: float


def exact_pairs(n: int, discordant: float) -> Exact:
    """Return McNemar's type I errors and the least coverage over differences from 0 to all one way."""
    reach = min(n, math.ceil(n * discordant + 6 * math.sqrt(n * discordant) + 6))
    tables = [(b, c) for b in range(reach + 1) for c in range(reach + 1 - b)]
    counts = np.array([(b, c, n - b - c) for b, c in tables])
    plain = np.array([tango_limits(b, c, n, 0.95) for b, c in tables])
    wide = np.array([stretched_limits(b, c, n, 0.95) for b, c in tables])
    p_mid = np.array([mcnemar_mid_p(b, c) for b, c in tables])
    p_exact = np.array([stats.binomtest(b, b + c).pvalue if b + c else 1.0 for b, c in tables])
    margin = 0.8 * discordant
    p_tango = np.array([stats.norm.sf(tango_z(b, c, n, -margin)) for b, c in tables])
    p_wide = np.array([stretched_tail(b, c, n, -margin) for b, c in tables])

    def chances(difference: float) -> Array:
        shares = [(discordant + difference) / 2, (discordant - difference) / 2, 1 - discordant]
        return np.asarray(stats.multinomial.pmf(counts, n, shares))

    def coverage(limits: Array) -> float:
        truths = [discordant * share for share in (0.0, 0.25, 0.5, 0.75, 1.0)]
        return min(float(chances(d) @ ((limits[:, 0] <= d + 1e-12) & (d - 1e-12 <= limits[:, 1]))) for d in truths)

    equal, at_margin = chances(0.0), chances(-margin)
    width, before = (float(equal @ (limits[:, 1] - limits[:, 0])) for limits in (wide, plain))
    return Exact(
        n,
        discordant,
        float(equal @ (p_mid <= 0.05)),
        float(equal @ (p_exact <= 0.05)),
        coverage(plain),
        coverage(wide),
        width,
        width / before,
        float(at_margin @ (p_tango <= 0.05)),
        float(at_margin @ (p_wide <= 0.05)),
    )


EXACT = [(n, p) for n in (30, 100, 300, 1000) for p in (0.01, 0.03, 0.1)]


class Unpaired(NamedTuple):
    """Two windows of one process."""

    name: str
    scale: Scale
    draw: Callable[[Random], Side]


def _strata(strata: list[tuple[float, float, Callable[[Random, int], Array]]]) -> Callable[[Random], Side]:
    def draw(rng: Random) -> Side:
        cells, offered, rates = [], {}, {}
        for h, (mean, pi, scores) in enumerate(strata):
            size = int(rng.poisson(mean))
            taken = int(rng.binomial(size, pi))
            offered[f"h={h}", 1], rates[f"h={h}", 1] = size, pi
            if taken:
                cells.append(cell_of(f"h={h}", pi, scores(rng, taken)))
        return Side(cells, offered, rates)

    return draw


def _sessions(count: float, pi: float, share: float) -> Callable[[Random], Side]:
    def draw(rng: Random) -> Side:
        sessions = int(rng.poisson(count * pi))
        sizes = np.minimum(20, rng.geometric(0.25, sessions))
        labels = np.repeat(np.arange(sessions), sizes)
        levels = rng.beta(2 * share, 2 * (1 - share), sessions)[labels]
        return Side([cell_of("h=0", pi, (rng.random(labels.size) < levels).astype(float), sessions=labels)])

    return draw


def _share(p: float) -> Callable[[Random, int], Array]:
    return lambda rng, n: (rng.random(n) < p).astype(float)


def unpaired_designs() -> Iterator[Unpaired]:
    """Yield designs of two windows of one process."""
    yield Unpaired("yes/no .05/.50, π .01/1", BINARY, _strata([(18000, 0.01, _share(0.05)), (2000, 1.0, _share(0.5))]))
    yield Unpaired("yes/no .02/.30, π .02/1", BINARY, _strata([(4000, 0.02, _share(0.02)), (400, 1.0, _share(0.3))]))
    yield Unpaired("yes/no .01, π .1, n ≈ 300", BINARY, _strata([(3000, 0.1, _share(0.01))]))
    yield Unpaired("yes/no .2, all taken, n ≈ 500", BINARY, _strata([(500, 1.0, _share(0.2))]))
    yield Unpaired("bounded Beta(9, 1), π .02, n ≈ 100", BOUNDED, _strata([(5000, 0.02, lambda r, n: r.beta(9, 1, n))]))
    latency = _strata([(5000, 0.02, lambda rng, n: 800 * np.exp(rng.standard_normal(n)))])
    yield Unpaired("latency, lognormal σ=1, n ≈ 100", POSITIVE, latency)
    yield Unpaired("sessions, yes/no .2, m ≈ 60", BINARY, _sessions(600, 0.1, 0.2))


class Claims(NamedTuple):
    """Shares of runs in which a difference was claimed though both windows come from one process."""

    name: str
    naive: float
    ours: float
    width: float


def measure_unpaired(design: Unpaired, runs: int, seed: int) -> Claims:
    """Return the type I error at 5 %, beside a z test of the 1/π-weighted means."""
    rng = np.random.default_rng(seed)
    naive = ours = 0
    widths = []
    for _ in range(runs):
        sides = [design.draw(rng), design.draw(rng)]
        c = compare_unpaired(sides[0], sides[1], design.scale)
        ours += c.verdict != "inconclusive"
        widths.append((c.high or 0.0) - (c.low or 0.0))
        naive += _weighted_z(*sides)
    return Claims(design.name, naive / runs, ours / runs, float(np.mean(widths)))


def _weighted_z(*sides: Side) -> bool:
    means, variances = [], []
    for side in sides:
        weight = sum(c.n / c.pi for c in side.cells)
        mean = sum(c.total / c.pi for c in side.cells) / weight
        residuals = sum((c.squares - 2 * mean * c.total + c.n * mean**2) / c.pi**2 for c in side.cells)
        means.append(mean)
        variances.append(residuals / weight**2)
    return bool(abs(means[1] - means[0]) > 1.96 * math.sqrt(sum(variances)))


class Promised(NamedTuple):
    """A design with its effect, the power that was promised, and the share of runs in which the claim was made."""

    name: str
    promised: float
    simulated: float


def power_designs() -> Iterator[tuple[str, Design, int, float, Question]]:
    """Yield (name, design, cases, improvement, question)."""
    ni, same = Question("non-inferiority", 0.05), Question("equivalence", 0.06)
    yield "paired means, n = 20", PairedMeans(0.4), 20, 0.25, Question()
    yield "paired means, n = 100", PairedMeans(0.4), 100, 0.1, Question()
    yield "paired means, 40 clusters of 5, ICC .3", PairedMeans(0.4, 5, 0.3), 200, 0.1, Question()
    yield "paired means, not worse by .05", PairedMeans(0.2), 120, 0.0, ni
    yield "paired means, equivalent within .06", PairedMeans(0.2), 150, 0.0, same
    yield "paired shares, 3 % differ, n = 500", PairedShares(0.03), 500, 0.02, Question()
    yield "paired shares, 1 % differ, n = 1,000", PairedShares(0.01), 1000, 0.008, Question()
    yield "paired shares, 10 % differ, n = 100", PairedShares(0.1), 100, 0.08, Question()
    yield "paired shares, 10 % differ, not worse by .05", PairedShares(0.1), 250, 0.0, ni
    yield "two means, 100 and 200", TwoMeans(0.4, ratio=2.0), 100, 0.13, Question()
    yield "two shares .80, n = 400", TwoShares(0.8), 400, -0.08, Question()
    yield "two shares .99, n = 500", TwoShares(0.99), 500, -0.025, Question()
    yield "two shares .95, not worse by .05", TwoShares(0.95), 250, 0.0, ni


def measure_power(
    name: str, design: Design, cases: int, effect: float, question: Question, runs: int, seed: int
) -> Promised:
    """Return promised and simulated power."""
    rng = np.random.default_rng(seed)
    made = sum(_claims(_simulated(design, cases, effect, question, rng), question) for _ in range(runs))
    return Promised(name, power_of(design, cases, effect, question=question), made / runs)


def _claims(c: Comparison, question: Question) -> bool:
    wanted = {"superiority": ("better", "worse"), "equivalence": ("equivalent",)}
    return c.verdict in wanted.get(question.asked, ("not_worse", "better"))


def _simulated(design: Design, cases: int, effect: float, question: Question, rng: Random) -> Comparison:
    if isinstance(design, PairedMeans):
        codes = np.arange(cases) // int(design.cluster_size)
        own = math.sqrt(design.icc) * rng.standard_normal(codes[-1] + 1)[codes]
        d = effect + design.sd * (own + math.sqrt(1 - design.icc) * rng.standard_normal(cases))
        return compare_paired(np.zeros(cases), d, OPEN, clusters=codes.tolist(), question=question)
    if isinstance(design, PairedShares):
        b, c, _ = rng.multinomial(
            cases, [(design.discordant + effect) / 2, (design.discordant - effect) / 2, 1 - design.discordant]
        )
        place = np.arange(cases)
        new, old = place < b, (place >= b) & (place < b + c)
        return compare_paired(old.astype(float), new.astype(float), GOOD, question=question)
    others = round(cases * design.ratio)
    if isinstance(design, TwoMeans):
        old, new = design.sd * rng.standard_normal(cases), effect + design.sd * rng.standard_normal(others)
        sides = [Side([cell_of("all", 0.01, scores)]) for scores in (old, new)]
        return compare_unpaired(sides[0], sides[1], OPEN, question=question)
    shares = (rng.random(cases) < design.good, rng.random(others) < design.good + effect)
    sides = [Side([cell_of("all", 0.01, share.astype(float))]) for share in shares]
    return compare_unpaired(sides[0], sides[1], GOOD, question=question)


class Rate(NamedTuple):
    """The false discovery rate of a procedure, the share of true differences found, and what uncorrected tests do."""

    name: str
    uncorrected: float
    fdr: float
    found: float


def _z(rng: Random, m: int, effects: int, correlation: float) -> Array:
    """Return m normal scores; one common cause moves all of them, and half of them the other way if negative."""
    common = math.sqrt(abs(correlation)) * rng.standard_normal()
    signs = np.where(np.arange(m) % 2, 1.0, math.copysign(1.0, correlation))
    return 3.5 * (np.arange(m) < effects) + common * signs + math.sqrt(1 - abs(correlation)) * rng.standard_normal(m)


def fdr_designs() -> Iterator[tuple[str, float, Callable[[Array], Array]]]:
    """Yield (name, correlation, procedure from normal scores to rejections)."""

    def named(values: Array) -> dict[str, float | None]:
        return {str(i): float(value) for i, value in enumerate(values)}

    def p_values(z: Array) -> dict[str, float | None]:
        return named(stats.norm.sf(z))

    def e_values(z: Array) -> Array:
        return np.exp(3.0 * z - 4.5)

    def bh(z: Array) -> Array:
        return np.array(adjust_p_values(p_values(z)).rejected)

    def by(z: Array) -> Array:
        return np.array(adjust_p_values(p_values(z), procedure="benjamini-yekutieli").rejected)

    def holm(z: Array) -> Array:
        return np.array(adjust_p_values(p_values(z), procedure="holm").rejected)

    def ebh(z: Array) -> Array:
        return np.array(e_benjamini_hochberg(named(e_values(z))).rejected)

    def over_time(z: Array, step: Callable[[Online, float], OnlineStep], values: Array) -> Array:
        state, rejected = online(), []
        # Differences come in bursts, not all at first.
        order = np.argsort((np.arange(z.size) * 7) % z.size, kind="stable")
        out = np.zeros(z.size, bool)
        for i in order:
            made = step(state, float(values[i]))
            state = made.state
            rejected.append(made.rejected)
        out[order] = rejected
        return out

    yield "Benjamini–Hochberg, independent", 0.0, bh
    yield "Benjamini–Hochberg, ρ = .5", 0.5, bh
    yield "Benjamini–Hochberg, ρ = ±.5", -0.5, bh
    yield "Benjamini–Yekutieli, ρ = ±.5", -0.5, by
    yield "Holm, ρ = .5", 0.5, holm
    yield "e-BH, independent", 0.0, ebh
    yield "e-BH, ρ = .5", 0.5, ebh
    yield "e-BH, ρ = ±.5", -0.5, ebh
    yield "LORD++, independent", 0.0, lambda z: over_time(z, lord, stats.norm.sf(z))
    yield "e-LOND, independent", 0.0, lambda z: over_time(z, e_lond, e_values(z))
    yield "e-LOND, ρ = .5", 0.5, lambda z: over_time(z, e_lond, e_values(z))


def measure_fdr(
    name: str,
    correlation: float,
    procedure: Callable[[Array], Array],
    runs: int,
    seed: int,
    m: int = 60,
    effects: int = 15,
) -> Rate:
    """Return the mean share of false among all discoveries (0 where there are none)."""
    rng = np.random.default_rng(seed)
    plain: list[float] = []
    fdr: list[float] = []
    found = []
    for _ in range(runs):
        z = _z(rng, m, effects, correlation)
        for rejected, rates in ((stats.norm.sf(z) <= 0.05, plain), (procedure(z), fdr)):
            rates.append(float(rejected[effects:].sum()) / max(1, int(rejected.sum())))
        found.append(rejected[:effects].mean())
    return Rate(name, float(np.mean(plain)), float(np.mean(fdr)), float(np.mean(found)))


def measure_tree(runs: int, seed: int) -> Rate:
    """Return the share of false among the leaves found, averaged over selected metrics, then applications.

    Twenty applications of four metrics of five segments; in three of them one metric moved in four segments.
    """
    rng = np.random.default_rng(seed)
    plain, selective, found = [], [], []
    moved = np.zeros((20, 4, 5), bool)
    moved[:3, 0, :4] = True
    for _ in range(runs):
        p = stats.norm.sf(3.5 * moved + rng.standard_normal(moved.shape))
        tree = {str(a): {str(k): {str(s): float(p[a, k, s]) for s in range(5)} for k in range(4)} for a in range(20)}
        leaves = [name.split(" / ") for name in adjust_tree(tree).found]
        right: dict[str, dict[str, list[bool]]] = {}
        for path in leaves:
            metrics = right.setdefault(path[0], {})
            if len(path) > 1:
                segments = metrics.setdefault(path[1], [])
                if len(path) > 2:
                    segments.append(bool(moved[int(path[0]), int(path[1]), int(path[2])]))
        false = [[1 - sum(v) / len(v) if v else 0.0 for v in metrics.values()] or [0.0] for metrics in right.values()]
        selective.append(sum(sum(v) / len(v) for v in false) / max(1, len(right)))
        found.append(sum(sum(v) for metrics in right.values() for v in metrics.values()) / moved.sum())
        single = p <= 0.05
        plain.append((single & ~moved).sum() / max(1, single.sum()))
    return Rate(
        "tree: 20 × 4 × 5, independent", float(np.mean(plain)), float(np.mean(selective)), float(np.mean(found))
    )


def run(quick: bool = False) -> list[Row]:
    """Return type I errors and false discovery rates; ``quick`` takes a tenth of the runs."""
    runs = 400 if quick else 4000
    paired = [measure_paired(design, runs, seed) for seed, design in enumerate(paired_designs())]
    unpaired = [measure_unpaired(design, runs // 4, seed) for seed, design in enumerate(unpaired_designs())]
    rates = [measure_fdr(*design, runs, seed) for seed, design in enumerate(fdr_designs())]
    most = Aim("value", "≤", 0.065)
    rows = [
        Row("comparisons", e.name, e.superiority, "type I at 5 %", "paired t over cases", e.naive, None, most)
        for e in paired
    ]
    rows += [Row("comparisons", c.name, c.ours, "type I at 5 %", "weighted z", c.naive, None, most) for c in unpaired]
    rows += [
        Row("comparisons", r.name, r.fdr, "false discovery rate", "no correction", r.uncorrected, None, most)
        for r in rates
    ]
    return rows


def main() -> None:
    """Print the tables in Markdown."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--runs", type=int, default=4000)
    runs: int = parser.parse_args().runs
    print("| cases | paired t over cases: type I | evalsvc: type I | non-inferior at the margin | coverage | width |")
    print("|---|--:|--:|--:|--:|--:|")
    for seed, design in enumerate([*paired_designs(), *hard_designs()]):
        e = measure_paired(design, runs, seed)
        rates = f"{e.naive:.1%} | {e.superiority:.1%} | {e.non_inferiority:.1%} | {e.coverage:.1%} | {e.width:.3g}"
        print(f"| {e.name} | {rates} |", flush=True)
    tests = "mid-P | exact McNemar | Tango: least coverage | stretched"
    print(f"\n| n | differ | {tests} | width | × Tango's | Tango at the margin | stretched |")
    print("|--:|--:|--:|--:|--:|--:|--:|--:|--:|--:|")
    for n, discordant in EXACT:
        x = exact_pairs(n, discordant)
        tests = f"{x.mid_p:.1%} | {x.exact:.1%} | {x.tango:.1%} | {x.stretched:.1%} | {x.width:.3f} | {x.widening:.2f}"
        print(f"| {n} | {discordant:.0%} | {tests} | {x.tango_margin:.1%} | {x.margin:.1%} |", flush=True)
    print("\n| windows | weighted z: type I | evalsvc: type I | width |")
    print("|---|--:|--:|--:|")
    for seed, two in enumerate(unpaired_designs()):
        c = measure_unpaired(two, runs // 2, seed)
        print(f"| {c.name} | {c.naive:.1%} | {c.ours:.1%} | {c.width:.3g} |", flush=True)
    print("\n| design | promised power | simulated |")
    print("|---|--:|--:|")
    for seed, (name, plan, cases, effect, question) in enumerate(power_designs()):
        p = measure_power(name, plan, cases, effect, question, runs // 2, seed)
        print(f"| {p.name} | {p.promised:.1%} | {p.simulated:.1%} |", flush=True)
    print("\n| procedure at 5 % | uncorrected: false | false | true ones found |")
    print("|---|--:|--:|--:|")
    for seed, (name, correlation, procedure) in enumerate(fdr_designs()):
        r = measure_fdr(name, correlation, procedure, runs, seed)
        print(f"| {r.name} | {r.uncorrected:.1%} | {r.fdr:.1%} | {r.found:.1%} |", flush=True)
    r = measure_tree(runs // 4, 0)
    print(f"| {r.name} | {r.uncorrected:.1%} | {r.fdr:.1%} | {r.found:.1%} |")


if __name__ == "__main__":
    main()
