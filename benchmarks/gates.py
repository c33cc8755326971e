"""How often gates pass what is too bad and fail what is good enough, and how often they see what is there.

Run ``python benchmarks/gates.py [--runs 200]``: it prints the first tables of ``docs/reference/gates-calibration.md``.
Some of its designs are a test (``tests/calibration/test_gate_calibration.py``).

Longer than other files: the designs of one page stand together, and share how scores are drawn and decided.
"""

from __future__ import annotations

import argparse
import math
from collections.abc import Iterator, Sequence
from typing import NamedTuple

import numpy as np
from scipy import stats

from _harness import Aim, Row
from evalsvc.cases import Case
from evalsvc.gate.deciding import decide, overall
from evalsvc.gate.evaluated import Evaluated, MetricScores
from evalsvc.gate.looking import Definition, look, plan
from evalsvc.gate.values import Better, Gate, NotWorse
from evalsvc.stats.spending import nominal_levels
from evalsvc.types import Scale, ScorerSpec
from evalsvc.verdicts import GateResult

LEVEL = 0.05
RESAMPLES = 400
MOST_CASES = 5
CONTINUOUS, YES_NO = Scale(0.0, 1.0, "higher"), Scale(0.0, 1.0, "higher", binary=True)
MARGINS = {CONTINUOUS: 0.03, YES_NO: 0.08}
SPREAD, NOISE = 0.1, 0.06
DIFFER, SURE = 0.3, 0.9
TIED = np.array([0.95, 0.95, 0.95, 0.5, 0.1])
LOOKS = (0.2, 0.4, 0.6, 0.8, 1.0)

Array = np.ndarray
Random = np.random.Generator


class Design(NamedTuple):
    """Groups of 1 to ``largest`` cases, asked ``repeats`` times; ``icc`` is of a group's true differences."""

    scale: Scale
    clusters: int
    repeats: int
    icc: float
    largest: int = MOST_CASES

    @property
    def margin(self) -> float:
        """What a version may be worse by."""
        return MARGINS[self.scale]

    @property
    def name(self) -> str:
        """As a row of the table is called."""
        kind = "yes/no" if self.scale.binary else "continuous"
        of = "" if self.largest == MOST_CASES else f" of up to {self.largest}"
        return f"{kind}, {self.clusters} groups{of}, {self.repeats} repeats, ICC {self.icc:g}"


class Frame(NamedTuple):
    """The cases of a design, the group of each, and shared resamples of cases, ``[resamples, cases]`` of shares."""

    cases: tuple[Case, ...]
    codes: Array
    resamples: Array


class Scores(NamedTuple):
    """Both versions' scores, ``[cases, repeats]``."""

    baseline: Array
    candidate: Array


class Rates(NamedTuple):
    """Shares of runs; those of three tuples by method, in the order of :data:`METHODS`."""

    name: str
    passed_at_margin: tuple[float, ...]
    failed_equal: tuple[float, ...]
    failed_itself: tuple[float, ...]
    passed_equal: float
    failed_worse: float


METHODS = ("evalsvc", "unpaired z", "bootstrap of cases", "fixed threshold", "mean went down")


def designs() -> Iterator[Design]:
    """Yield all combinations, and two of large groups."""
    for scale in (CONTINUOUS, YES_NO):
        for clusters in (20, 50, 200, 500):
            for repeats in (1, 3, 5):
                for icc in (0.0, 0.1, 0.5):
                    yield Design(scale, clusters, repeats, icc)
    for scale in (CONTINUOUS, YES_NO):
        yield Design(scale, 50, 1, 0.5, largest=40)


def frame(rng: Random, clusters: int, largest: int = MOST_CASES) -> Frame:
    """Return cases in groups of 1 to ``largest``."""
    codes = np.repeat(np.arange(clusters), rng.integers(1, largest + 1, clusters))
    cases = tuple(Case(case_id=f"{i}", prompt=f"{i}", group=f"{g}") for i, g in enumerate(codes.tolist()))
    picks = rng.integers(0, codes.size, (RESAMPLES, codes.size))
    shares = np.stack([np.bincount(row, minlength=codes.size) / codes.size for row in picks])
    return Frame(cases, codes, shares)


def draw(rng: Random, design: Design, held: Frame, shift: float, *, itself: bool = False) -> Scores:
    """Return scores whose true mean difference over cases like these is ``shift``; of one version if ``itself``."""
    n, shape = held.codes.size, (held.codes.size, design.repeats)
    if design.scale.binary:
        old, new = _chances(rng, design, held.codes, shift, itself=itself)
        return Scores(*((rng.random(shape) < chance[:, None]).astype(np.float64) for chance in (old, new)))
    difference = np.zeros(n) if itself else shift + SPREAD * _clustered(rng, held.codes, design.icc)
    level = 0.5 + 0.1 * (rng.random(n) - 0.5)
    noise = [NOISE * _uniform(rng, shape) for _ in range(2)]
    return Scores(level[:, None] + noise[0], (level + difference)[:, None] + noise[1])


def _uniform(rng: Random, shape: int | tuple[int, ...]) -> Array:
    """Return numbers of mean 0 and variance 1 that no scale's end cuts off."""
    return np.asarray(math.sqrt(12.0) * (rng.random(shape) - 0.5))


def _clustered(rng: Random, codes: Array, icc: float) -> Array:
    own = _uniform(rng, int(codes[-1]) + 1)[codes]
    return np.asarray(math.sqrt(icc) * own + math.sqrt(1.0 - icc) * _uniform(rng, codes.size))


def _chances(rng: Random, design: Design, codes: Array, shift: float, *, itself: bool) -> tuple[Array, Array]:
    """Return each case's chance of a yes: some cases are won or lost, by group; in the others the versions are one."""
    tied = TIED[rng.integers(0, TIED.size, codes.size)]
    if itself:
        return tied, tied
    ahead = shift / (2.0 * SURE - 1.0)
    chances = np.array([(DIFFER + ahead) / 2.0, (DIFFER - ahead) / 2.0, 1.0 - DIFFER])
    levels = chances[None, :]
    if design.icc:
        levels = rng.dirichlet(chances * (1.0 - design.icc) / design.icc, int(codes[-1]) + 1)[codes]
    place = rng.random(codes.size)
    won, lost = place < levels[:, 0], place >= 1.0 - levels[:, 1]
    old = np.where(won, 1.0 - SURE, np.where(lost, SURE, tied))
    return old, np.where(won, SURE, np.where(lost, 1.0 - SURE, tied))


def evaluated(cases: tuple[Case, ...], scores: dict[str, Array], scale: Scale) -> Evaluated:
    """Return scores as a gate takes them."""
    held = {name: MetricScores(ScorerSpec(name, 1, scale), values, {}) for name, values in scores.items()}
    digests = tuple(case.case_id for case in cases)
    return Evaluated(cases=cases, digests=digests, answers=(), scores=held, model="m", model_version="1", signature="")


def gates_of(margin: float, metrics: Sequence[str] = ("m",)) -> list[Gate]:
    """Return one gate a metric: not worse by a margin, or better where it is 0."""
    return [Gate(metric=name, ask=NotWorse(margin) if margin else Better()) for name in metrics]


def decided(design: Design, held: Frame, scores: Scores, margin: float, level: float = LEVEL) -> str:
    """Return evalsvc's decision of one gate."""
    old, new = (evaluated(held.cases, {"m": values}, design.scale) for values in scores)
    return overall(decide(gates_of(margin), new, old, level=level))


def naive(design: Design, held: Frame, scores: Scores, margin: float, threshold: float) -> tuple[str, ...]:
    """Return the decisions of the other methods: z, bootstrap, fixed threshold, "mean went down"."""
    old, new = scores
    z = (new.mean() - old.mean() + margin) / math.sqrt((old.var() + new.var()) / old.size)
    means = held.resamples @ (new.mean(axis=1) - old.mean(axis=1))
    low, high = np.quantile(means, [LEVEL, 1.0 - LEVEL])
    return (
        "PASS" if z > 1.645 else "FAIL" if z < -1.645 else "INCONCLUSIVE",
        "PASS" if low > -margin else "FAIL" if high < -margin else "INCONCLUSIVE",
        "PASS" if new.mean() >= threshold else "FAIL",
        "FAIL" if new.mean() < old.mean() else "PASS",
    )


def baseline_mean(design: Design, shift: float, *, itself: bool = False) -> float:
    """Return the mean that the baseline truly has, as whoever fixed a threshold once measured it."""
    if not design.scale.binary:
        return 0.5
    tied = float(TIED.mean())
    return tied if itself else (1.0 - DIFFER) * tied + (DIFFER - shift) / 2.0


def measure(design: Design, runs: int, seed: int) -> Rates:
    """Return the shares of runs of a design."""
    rng = np.random.default_rng(seed)
    held = frame(rng, design.clusters, design.largest)

    def share(wanted: str, shift: float, margin: float, *, itself: bool = False, alone: bool = False) -> Array:
        counts = np.zeros(len(METHODS))
        threshold = baseline_mean(design, shift, itself=itself) - design.margin
        for _ in range(runs):
            scores = draw(rng, design, held, shift, itself=itself)
            others = () if alone else naive(design, held, scores, margin, threshold)
            found = (decided(design, held, scores, margin), *others)
            counts[: len(found)] += [decision == wanted for decision in found]
        return counts / runs

    margin = design.margin
    return Rates(
        design.name,
        tuple(share("PASS", -margin, margin).tolist()),
        tuple(share("FAIL", 0.0, 0.0).tolist()),
        tuple(share("FAIL", 0.0, 0.0, itself=True).tolist()),
        float(share("PASS", 0.0, margin, alone=True)[0]),
        float(share("FAIL", -2.0 * margin, margin, alone=True)[0]),
    )


class Family(NamedTuple):
    """Shares of runs of a suite with several metrics, whose differences have a correlation of one half.

    ``failed_equal`` is of gates ``better`` on equal versions, ``uncorrected`` without Holm; ``passed_one_bad`` of
    gates ``not worse by`` where one metric is worse by the margin and the others are ahead by it.
    """

    metrics: int
    failed_equal: float
    uncorrected: float
    passed_one_bad: float
    passed_equal: float
    failed_one_worse: float


def measure_family(metrics: int, runs: int, seed: int, clusters: int = 100) -> Family:
    """Return the shares of runs with so many metrics; three repeats, ICC .1."""
    rng = np.random.default_rng(seed)
    design = Design(CONTINUOUS, clusters, 3, 0.1)
    held, margin = frame(rng, clusters), design.margin
    names = [f"m{i}" for i in range(metrics)]

    def results(shifts: Array, asked: float) -> list[GateResult]:
        n = held.codes.size
        common = _clustered(rng, held.codes, design.icc)
        sides: list[dict[str, Array]] = [{}, {}]
        for name, shift in zip(names, shifts.tolist(), strict=True):
            own = _clustered(rng, held.codes, design.icc)
            difference = shift + 0.8 * SPREAD * (common + own) / math.sqrt(2.0)
            level = 0.5 + 0.05 * _uniform(rng, n) / math.sqrt(3.0)
            for side, mean in zip(sides, (level, level + difference), strict=True):
                side[name] = mean[:, None] + NOISE * _uniform(rng, (n, 3))
        old, new = (evaluated(held.cases, side, CONTINUOUS) for side in sides)
        return decide(gates_of(asked, names), new, old, level=LEVEL)

    one = np.where(np.arange(metrics) == 0, -1.0, 1.0) * margin
    worse = np.where(np.arange(metrics) == 0, -2.0, 0.0) * margin
    counts = np.zeros(5)
    for _ in range(runs):
        equal = results(np.zeros(metrics), 0.0)
        smallest = min(finding.p_fail or 1.0 for result in equal for finding in result.findings)
        counts += [
            overall(equal) == "FAIL",
            smallest <= LEVEL,
            overall(results(one, margin)) == "PASS",
            overall(results(np.zeros(metrics), margin)) == "PASS",
            overall(results(worse, margin)) == "FAIL",
        ]
    return Family(metrics, *(counts / runs).tolist())


class Ratio(NamedTuple):
    """Exact chances that a relative margin on yes and no passes: at the margin, and of an equal version.

    The baseline is always right, each case stands for itself, and the candidate misses a share of the cases. ``t`` is
    Student's t of c - (1 - m)·b.
    """

    cases: int
    margin: float
    t: float
    evalsvc: float
    equal: float


RATIOS = [(n, m) for n in (30, 50, 100, 200, 300, 500, 1000) for m in (0.02, 0.05, 0.1) if n * m >= 1.5]


def exact_ratio(n: int, margin: float) -> Ratio:
    """Return the chances over all numbers of misses; nothing is simulated."""
    cases = tuple(Case(case_id=f"{i}", prompt=f"{i}") for i in range(n))
    old = np.ones((n, 1))
    gate = Gate(metric="m", ask=NotWorse(margin, relative=True))
    totals, equal = np.zeros(2), 0.0
    for missed in range(math.ceil(n * margin) + 1):
        new = np.ones((n, 1))
        new[:missed] = 0.0
        d = new[:, 0] - (1.0 - margin)
        error = d.std(ddof=1) / math.sqrt(n)
        student = bool(error == 0.0 or d.mean() / error >= stats.t.ppf(0.95, n - 1))
        sides = (evaluated(cases, {"m": values}, YES_NO) for values in (new, old))
        ours = overall(decide([gate], *sides, level=LEVEL)) == "PASS"
        totals += stats.binom.pmf(missed, n, margin) * np.array([student, ours])
        equal = float(ours) if missed == 0 else equal
    student_passes, ours_passes = totals.tolist()
    return Ratio(n, margin, student_passes, ours_passes, equal)


class Rare(NamedTuple):
    """A version that is as good as the baseline but for groups that it does not answer, where it scores 0.

    ``level`` is the baseline's mean; ``looks`` of the set, in random order. Shares of runs: PASS where groups fail as
    often as makes it worse by the margin, for evalsvc, a t-test and a bootstrap of groups; PASS of an equal version;
    FAIL of one that is worse by three margins.
    """

    groups: int
    size: int
    level: float
    looks: int
    passed_at_margin: float
    t: float
    bootstrap: float
    passed_equal: float
    failed_worse: float


RARE = [
    (m, size, level, 1)
    for m, size in ((20, 3), (30, 1), (40, 2), (60, 1), (100, 2), (200, 1), (500, 1))
    for level in (0.5, 0.9)
]
RARE += [(40, 2, 0.9, 4), (100, 2, 0.9, 4), (200, 1, 0.9, 4)]
RARE_MARGIN = 0.05


def measure_rare(groups: int, size: int, level: float, looks: int, runs: int, seed: int) -> Rare:
    """Return the shares of runs with a margin of 0.05, two repeats whose wording varies, in groups of one size."""
    rng = np.random.default_rng(seed)
    codes = np.repeat(np.arange(groups), size)
    cases = tuple(Case(case_id=f"{i}", prompt=f"{i}", group=f"{g}") for i, g in enumerate(codes.tolist()))
    resamples = rng.multinomial(groups, np.full(groups, 1.0 / groups), RESAMPLES) / groups
    critical = stats.t.ppf(1.0 - LEVEL, groups - 1)
    definition = Definition(
        gates=tuple(gates_of(RARE_MARGIN)), level=LEVEL, seed=seed, looks=looks, spending="obrien-fleming"
    )
    planned = plan([case.case_id for case in cases], [case.group for case in cases], definition)

    def scores(failing: float) -> Array:
        drawn = level + 0.1 * (rng.random((codes.size, 1)) - 0.5) + 0.05 * _uniform(rng, (codes.size, 2))
        failed = (rng.random(groups) < failing)[codes]
        return np.where(failed[:, None], 0.0, np.clip(drawn, 0.0, 1.0))

    def decisions(failing: float) -> tuple[str, bool, bool]:
        old, new = scores(0.0), scores(failing)
        by_group = (new - old).mean(axis=1).reshape(groups, size).mean(axis=1)
        baseline = evaluated(cases, {"m": old}, CONTINUOUS)

        def asked(rows: Sequence[int]) -> Evaluated:
            return evaluated(tuple(cases[row] for row in rows), {"m": new[list(rows)]}, CONTINUOUS)

        found = look(definition, planned, asked, (), baseline)
        t = (by_group.mean() + RARE_MARGIN) / (by_group.std(ddof=1) / math.sqrt(groups))
        low = np.quantile(resamples @ by_group, LEVEL)
        return overall(found.results), bool(t >= critical), bool(low > -RARE_MARGIN)

    at_margin = [decisions(RARE_MARGIN / level) for _ in range(runs)]
    equal = [decisions(0.0)[0] for _ in range(max(20, runs // 4))]
    worse = [decisions(3.0 * RARE_MARGIN / level)[0] for _ in range(max(20, runs // 4))]
    return Rare(
        groups,
        size,
        level,
        looks,
        float(np.mean([found == "PASS" for found, _, _ in at_margin])),
        float(np.mean([t for _, t, _ in at_margin])),
        float(np.mean([bootstrap for _, _, bootstrap in at_margin])),
        equal.count("PASS") / len(equal),
        worse.count("FAIL") / len(worse),
    )


class Stopped(NamedTuple):
    """Shares of runs that ended in a wrong decision, and the mean share of cases used, of one way to stop early."""

    name: str
    passed_at_margin: float
    failed_equal: float
    passed_equal: float
    used_equal: float
    used_worse: float


def measure_stopping(runs: int, seed: int, clusters: int = 200) -> list[Stopped]:
    """Return one look, five looks whose levels spend the error, and five looks at 5 % each; groups in random order."""
    rng = np.random.default_rng(seed)
    design = Design(CONTINUOUS, clusters, 1, 0.1)
    held, margin = frame(rng, clusters), 0.03
    ways: dict[str, tuple[Sequence[float], Sequence[float]]] = {
        "one look": ((1.0,), (LEVEL,)),
        "O'Brien–Fleming": (LOOKS, nominal_levels(LOOKS, LEVEL)),
        "Pocock": (LOOKS, nominal_levels(LOOKS, LEVEL, "pocock")),
        "5 % at each look": (LOOKS, [LEVEL] * len(LOOKS)),
    }
    ends = {share: int(np.searchsorted(held.codes, round(share * clusters))) for share in LOOKS}

    def run_of(scores: Scores, asked: float, shares: Sequence[float], levels: Sequence[float]) -> tuple[str, float]:
        for share, level in zip(shares, levels, strict=True):
            end = ends[share]
            part = Frame(held.cases[:end], held.codes[:end], held.resamples)
            found = decided(design, part, Scores(scores.baseline[:end], scores.candidate[:end]), asked, level)
            if found != "INCONCLUSIVE":
                return found, share
        return "INCONCLUSIVE", 1.0

    totals = {name: np.zeros(5) for name in ways}
    for _ in range(runs):
        at_margin, equal, worse = (draw(rng, design, held, shift) for shift in (-margin, 0.0, -2.0 * margin))
        for name, (shares, levels) in ways.items():
            settled, used = run_of(equal, margin, shares, levels)
            totals[name] += [
                run_of(at_margin, margin, shares, levels)[0] == "PASS",
                run_of(equal, 0.0, shares, levels)[0] == "FAIL",
                settled == "PASS",
                used,
                run_of(worse, margin, shares, levels)[1],
            ]
    return [Stopped(name, *(total / runs).tolist()) for name, total in totals.items()]


def run(quick: bool = False) -> list[Row]:
    """Return the largest and the mean type I errors over designs; ``quick`` takes a tenth of the runs."""
    runs = 20 if quick else 200
    rows = [measure(design, runs, seed) for seed, design in enumerate(designs())]
    families = [measure_family(metrics, max(10, runs // 2), 500 + metrics) for metrics in (1, 5, 50)]
    looks = {found.name: found for found in measure_stopping(runs, 900)}
    most, peer, unit = Aim("value", "≤", 0.055), METHODS[2], "mean over designs"
    passed, failed = (np.mean([getattr(r, at) for r in rows], axis=0) for at in ("passed_at_margin", "failed_equal"))
    out = [
        Row(
            "gates", "PASS of a version worse by the margin", float(passed[0]), unit, peer, float(passed[2]), None, most
        ),
        Row("gates", "FAIL of an equal version", float(failed[0]), unit, peer, float(failed[2]), None, most),
    ]
    out += [
        Row("gates", f"FAIL of an equal version, {f.metrics} metrics", f.failed_equal, "share of runs", "no correction",
            f.uncorrected, None, Aim("value", "≤", 0.08))
        for f in families
    ]  # fmt: skip
    ratios = [exact_ratio(n, margin) for n, margin in RATIOS]
    worst = max(ratios, key=lambda found: found.evalsvc)
    what = "relative margin on yes and no: PASS at the margin, at most"
    out.append(
        Row("gates", what, worst.evalsvc, "exact", "t", max(found.t for found in ratios), None, Aim("value", "≤", 0.05))
    )
    rare = [measure_rare(*design, runs, 700 + place) for place, design in enumerate(RARE)]
    worst_rare = max(rare, key=lambda found: found.passed_at_margin)
    what = "rare failures: PASS of a version worse by the margin, at most"
    most_t = max(found.bootstrap for found in rare)
    out.append(Row("gates", what, worst_rare.passed_at_margin, "share of runs", "bootstrap of groups", most_t, None,
                   Aim("value", "≤", 0.09)))  # fmt: skip
    spent, peeked = looks["O'Brien–Fleming"], looks["5 % at each look"]
    what = "five looks: PASS of a version worse by the margin"
    out.append(Row("gates", what, spent.passed_at_margin, "share of runs", peeked.name, peeked.passed_at_margin))
    return out


def main() -> None:
    """Print the tables in Markdown."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--runs", type=int, default=200)
    runs: int = parser.parse_args().runs
    heads = ["evalsvc", "z", "bootstrap", "threshold", "mean down"]
    columns = [*heads, *heads, "itself: FAIL", "equal: PASS", "2 margins: FAIL"]
    print("| cases | " + " | ".join(columns) + " |\n|---|" + "--:|" * len(columns))
    rows = []
    for seed, design in enumerate(designs()):
        rows.append(measure(design, runs, seed))
        print(_line(rows[-1]), flush=True)
    print(_line(_mean("**mean**", rows)) + "\n")
    print(
        "| metrics | equal: FAIL | without Holm | one worse by the margin: PASS "
        "| equal: PASS | one 2 margins worse: FAIL |"
    )
    print("|--:|--:|--:|--:|--:|--:|")
    for metrics in (1, 5, 50):
        f = measure_family(metrics, runs if metrics < 50 else runs // 2, 500 + metrics)
        print(f"| {f.metrics} | " + " | ".join(f"{value:.1%}" for value in f[1:]) + " |", flush=True)
    print("\n| cases | margin | at the margin, t: PASS | evalsvc: PASS | equal: PASS |\n|--:|--:|--:|--:|--:|")
    for n, margin in RATIOS:
        q = exact_ratio(n, margin)
        print(f"| {n:,} | {margin:.0%} | {q.t:.1%} | {q.evalsvc:.1%} | {q.equal:.0%} |", flush=True)
    heads = ["groups", "of", "baseline", "looks", "at the margin: PASS", "t", "bootstrap", "equal: PASS"]
    print("\n| " + " | ".join([*heads, "3 margins worse: FAIL"]) + " |\n" + "|--:" * 9 + "|")
    for place, rare in enumerate(RARE):
        r = measure_rare(*rare, 2 * runs, 700 + place)
        shares = " | ".join(f"{value:.1%}" for value in r[4:])
        print(f"| {r.groups} | {r.size} | {r.level:g} | {r.looks} | {shares} |", flush=True)
    print("\n| looks | worse by the margin: PASS | equal: FAIL | equal: PASS | cases used, equal | 2 margins worse |")
    print("|---|--:|--:|--:|--:|--:|")
    for s in measure_stopping(runs, 900):
        print(f"| {s.name} | " + " | ".join(f"{value:.1%}" for value in s[1:]) + " |", flush=True)


def _line(r: Rates) -> str:
    cells = [*r.passed_at_margin, *r.failed_equal, r.failed_itself[0], r.passed_equal, r.failed_worse]
    return f"| {r.name} | " + " | ".join(f"{value:.1%}" for value in cells) + " |"


def _mean(name: str, rows: Sequence[Rates]) -> Rates:
    def over(of: str) -> tuple[float, ...]:
        return tuple(np.mean([getattr(row, of) for row in rows], axis=0).tolist())

    return Rates(
        name,
        over("passed_at_margin"),
        over("failed_equal"),
        over("failed_itself"),
        float(np.mean([row.passed_equal for row in rows])),
        float(np.mean([row.failed_worse for row in rows])),
    )


if __name__ == "__main__":
    main()
