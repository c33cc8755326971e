"""False alarms of every drift detector where nothing moved, beside methods that one would write first.

``python benchmarks/drift.py [--only values|texts|classifier]`` prints the tables of docs/reference/drift.md: windows of
independent events, of texts of which those of one hour are alike, and of single vectors. A share's standard error is
0.5 points at 5 % of 2,000 runs. ``--seed`` draws others than the tables'.
"""

from __future__ import annotations

import argparse
from collections.abc import Iterator, Mapping, Sequence
from typing import Literal, NamedTuple

import numpy as np
import numpy.typing as npt

from _harness import Aim, Row
from evalsvc.drift import (
    CategoricalSketch,
    DriftTest,
    MeanEmbeddingSketch,
    NumericSketch,
    TokenSketch,
    Vectors,
    compare_by_classifier,
    compare_categories,
    compare_embeddings,
    compare_numeric,
    compare_tokens,
)

BINS = list(range(99_850, 100_150))
CATEGORIES = [f"c{i}" for i in range(30)]
PERMUTATIONS = 99
OFTEN = 0.9
SEED = 4303
TOPICS, TEXTS, FEATURES, BUCKETS, WORDS = 20, 20, 256, 512, 12

Floats = npt.NDArray[np.float64]
Rates = Literal["1", ".05", ".05/1", ".2/1", ".05/1 by value"]


class Design(NamedTuple):
    """How many events the windows have, and π: one for all, or the lesser one for 90 % of traffic, by chance or value.

    ``current`` and ``now`` are the second window's where they differ.
    """

    n: int
    rates: Rates
    current: int | None = None
    now: Rates | None = None

    @property
    def windows(self) -> tuple[tuple[int, Rates], tuple[int, Rates]]:
        """How many events each window has, and π."""
        return (self.n, self.rates), (self.current or self.n, self.now or self.rates)

    @property
    def name(self) -> str:
        """Return it as a reader sees it."""
        first, second = (f"{n:,} at {rates}" for n, rates in self.windows)
        return first if first == second else f"{first} against {second}"


class Hours(NamedTuple):
    """Windows of texts: hours and events a window, π, and whether an hour's topics differ from the next one's."""

    hours: tuple[int, int]
    n: tuple[int, int]
    rates: tuple[Rates, Rates]
    alike: bool

    @property
    def name(self) -> str:
        """Return it as a reader sees it."""
        windows = zip(self.n, self.hours, self.rates, strict=True)
        first, second = (f"{n:,} in {hours} h at {rates}" for n, hours, rates in windows)
        sizes = first if first == second else f"{first} against {second}"
        return f"{sizes}, {'alike within an hour' if self.alike else 'independent'}"


class Rows(NamedTuple):
    """Windows of feature vectors: hours and events in each, features, and whether π is .05 or 1 by chance."""

    hours: int
    n: int
    features: int
    rates: Rates

    @property
    def name(self) -> str:
        """Return it as a reader sees it."""
        return f"{self.n:,} in {self.hours} h, {self.features} features, π {self.rates}, alike within an hour"


RATES: tuple[Rates, ...] = ("1", ".05/1")
DESIGNS = [
    *(Design(n, rates) for n in (100, 1000, 10_000, 100_000, 1_000_000) for rates in RATES),
    *(Design(n, ".05/1 by value") for n in (1000, 100_000)),
    Design(7000, ".05/1", 1000),
    Design(100, ".05", 100, ".2/1"),
    *(Design(n, ".05", 1000, ".2/1") for n in (1000, 7000)),
    Design(100_000, ".05", 100_000, ".2/1"),
    Design(1000, ".05/1 by value", 1000, "1"),
]
HOURS = [
    Hours((8, 8), (100, 100), ("1", "1"), False),
    *(Hours((8, 8), (100, 100), (rates, rates), True) for rates in RATES),
    Hours((24, 24), (1000, 1000), ("1", "1"), False),
    *(Hours((24, 24), (1000, 1000), (rates, rates), True) for rates in RATES),
    *(Hours((24, 24), (1000, 1000), (".05", ".2/1"), alike) for alike in (False, True)),
    Hours((168, 24), (7000, 1000), ("1", "1"), False),
    Hours((168, 24), (7000, 1000), (".05/1", ".05/1"), True),
    Hours((24, 24), (10_000, 10_000), ("1", "1"), True),
    *(Hours((24, 24), (n, n), (".05/1", ".05/1"), True) for n in (100_000, 1_000_000)),
]
ROWS = [
    *(Rows(8, 100, 3, rates) for rates in RATES),
    Rows(24, 400, 3, ".05/1"),
    Rows(24, 400, 64, ".05/1"),
]
PARTS: dict[str, tuple[Sequence[Design | Hours | Rows], int]] = {
    "values": (DESIGNS, 2000),
    "texts": (HOURS, 2000),
    "classifier": (ROWS, 1000),
}
"""The tables, and how many runs a row is of."""


def _counts(n: int, rates: Rates, shares: Floats, rng: np.random.Generator) -> dict[float, list[int]]:
    lesser = _lesser(rates)
    if "/" not in rates:
        return {lesser: rng.multinomial(n, shares).tolist()}
    # By value: what comes first, as far as nine tenths of the traffic, is sampled at the lesser π.
    often = (np.cumsum(shares) <= OFTEN) if rates.endswith("by value") else np.full(shares.size, OFTEN)
    parts = np.concatenate([shares * (1.0 - often), lesser * shares * often])
    kept, thinned = rng.multinomial(n, parts / parts.sum()).reshape(2, -1)
    return {1.0: kept.tolist(), lesser: thinned.tolist()}


def _lesser(rates: Rates) -> float:
    return float(rates.partition(" ")[0].partition("/")[0])


def _thinned(rates: Rates) -> float:
    """Return the part of sampled events that has the lesser π."""
    often = OFTEN * _lesser(rates)
    return often / (often + 1.0 - OFTEN) if "/" in rates else 1.0


def numeric(n: int, rates: Rates, rng: np.random.Generator) -> NumericSketch:
    """Return a window of a lognormal metric."""
    density = np.exp(-0.5 * ((np.array(BINS) - 100_000) / 50.0) ** 2)
    counts = _counts(n, rates, density / density.sum(), rng)
    return NumericSketch.from_cells({("", 1, pi): dict(zip(BINS, found, strict=True)) for pi, found in counts.items()})


def categorical(n: int, rates: Rates, rng: np.random.Generator) -> CategoricalSketch:
    """Return a window of thirty categories, most of them rare."""
    shares = np.arange(1, 31) ** -1.2
    counts = _counts(n, rates, shares / shares.sum(), rng)
    cells = {("", 1, pi): dict(zip(CATEGORIES, found, strict=True)) for pi, found in counts.items()}
    return CategoricalSketch.from_cells(cells)


class Corpus(NamedTuple):
    """The texts that may be sent: random Fourier features and counts of words of each, texts of a topic together."""

    features: Floats
    words: Floats


def corpus() -> Corpus:
    """Return twenty texts on each of twenty topics: embeddings near the topic's, words half of which are its own."""
    rng = np.random.default_rng(11)
    near = np.repeat(rng.standard_normal((TOPICS, 64)), TEXTS, axis=0) + rng.standard_normal((TOPICS * TEXTS, 64))
    angles = near / np.linalg.norm(near, axis=1)[:, None] @ rng.standard_normal((64, FEATURES // 2))
    features = np.concatenate([np.cos(angles), np.sin(angles)], axis=1) / np.sqrt(FEATURES / 2)
    usual = np.arange(1, BUCKETS + 1) ** -1.0
    own = rng.dirichlet(np.full(BUCKETS, 0.05), TOPICS)
    shares = np.repeat(0.5 * usual / usual.sum() + 0.5 * own, TEXTS, axis=0)
    return Corpus(features, rng.multinomial(WORDS, shares).astype(np.float64))


def texts(
    corpus: Corpus, hours: int, n: int, rates: Rates, alike: bool, rng: np.random.Generator
) -> tuple[MeanEmbeddingSketch, TokenSketch]:
    """Return a window of texts, drawn hour by hour from the hour's own mix of topics."""
    mixes = rng.dirichlet(np.full(TOPICS, 0.5), hours) if alike else np.full((hours, TOPICS), 1.0 / TOPICS)
    shares = np.repeat(mixes / TEXTS, TEXTS, axis=1)
    # Traffic differs between hours too.
    sent = rng.multinomial(n, rng.dirichlet(np.full(hours, 10.0)))
    thinned = rng.binomial(sent, _thinned(rates))
    # How often each text is drawn: as cheap for a million as for a thousand.
    parts = {pi: rng.multinomial(count, shares) for pi, count in ((1.0, sent - thinned), (_lesser(rates), thinned))}
    sums = [{pi: (drawn @ each).tolist() for pi, drawn in parts.items()} for each in (corpus.features, corpus.words)]
    held = [
        {
            hour: {("", 1, pi): (int(parts[pi][hour].sum()), rows[hour]) for pi, rows in each.items()}
            for hour in range(hours)
        }
        for each in sums
    ]
    return MeanEmbeddingSketch.from_cells(held[0], "features"), TokenSketch.from_cells(held[1], "words")


def pearson(a: Mapping[str, float], b: Mapping[str, float]) -> float:
    """Return the p-value of χ² on weighted counts as if they were counts of independent events."""
    from scipy.stats import chi2_contingency

    names = sorted({*a, *b})
    rows = [[row.get(name, 0.0) for name in names] for row in (a, b)]
    return float(chi2_contingency(rows).pvalue)


def _named(sketch: CategoricalSketch) -> dict[str, float]:
    return dict(zip(sketch.categories, sketch.weights, strict=True))


def _words(sketch: TokenSketch) -> dict[str, float]:
    return {str(place): weight for place, weight in enumerate(sketch.sums) if weight}


def unmoved(design: Design, rng: np.random.Generator) -> Iterator[tuple[str, float | None]]:
    """Yield the p-value of each detector on two windows of independent events from one population."""

    def found(kind: str, tests: Sequence[DriftTest]) -> Iterator[tuple[str, float | None]]:
        return ((f"{test.detector}, {kind}", test.p_value) for test in tests)

    values = [numeric(n, rates, rng) for n, rates in design.windows]
    yield from found("numeric", compare_numeric(values[0], values[1]))
    shares = [categorical(n, rates, rng) for n, rates in design.windows]
    yield from found("categories", compare_categories(shares[0], shares[1]))
    yield "Pearson, categories", pearson(*map(_named, shares))


def unmoved_texts(corpus: Corpus, design: Hours, rng: np.random.Generator) -> Iterator[tuple[str, float | None]]:
    """Yield the p-value of MMD and of the vocabulary on two windows of texts from one population."""
    old, new = (
        texts(corpus, hours, n, rates, design.alike, rng)
        for hours, n, rates in zip(design.hours, design.n, design.rates, strict=True)
    )
    yield "mmd", compare_embeddings(old[0], new[0]).p_value
    yield "vocabulary", compare_tokens(old[1], new[1]).p_value
    yield "Pearson, words", pearson(_words(old[1]), _words(new[1]))


def vectors(design: Rows, rng: np.random.Generator) -> Vectors:
    """Return a window of normal features of which those of one hour have a third of their variance in common."""
    hours = rng.integers(design.hours, size=design.n)
    of_hour = rng.standard_normal((design.hours, design.features))
    features = np.sqrt(1 / 3) * of_hour[hours] + np.sqrt(2 / 3) * rng.standard_normal((design.n, design.features))
    pi = np.where(rng.random(design.n) < _thinned(design.rates), _lesser(design.rates), 1.0)
    return Vectors(features, pi, hours.tolist())


def unmoved_vectors(design: Rows, rng: np.random.Generator) -> Iterator[tuple[str, float | None]]:
    """Yield the p-value of the classifier, and of one that knows no hours."""
    old, new = vectors(design, rng), vectors(design, rng)
    yield "classifier", compare_by_classifier(old, new, permutations=PERMUTATIONS).p_value
    blind = compare_by_classifier(old._replace(groups=None), new._replace(groups=None), permutations=PERMUTATIONS)
    yield "classifier, events permuted", blind.p_value


def false_alarms(design: Design | Hours | Rows, runs: int, seed: int) -> dict[str, float]:
    """Return the share of runs with p ≤ 0.05 by detector, of those in which it has an answer."""
    rng = np.random.default_rng(seed)
    pool = corpus()
    found: dict[str, list[float]] = {}
    for _ in range(runs):
        for name, p_value in _drawn(design, pool, rng):
            held = found.setdefault(name, [])
            if p_value is not None:
                held.append(p_value)
    return {name: float(np.mean(np.array(held) <= 0.05 + 1e-12)) for name, held in found.items() if held}


def _drawn(design: Design | Hours | Rows, pool: Corpus, rng: np.random.Generator) -> Iterator[tuple[str, float | None]]:
    if isinstance(design, Design):
        return unmoved(design, rng)
    return unmoved_texts(pool, design, rng) if isinstance(design, Hours) else unmoved_vectors(design, rng)


def print_table(designs: Sequence[Design | Hours | Rows], runs: int, seed: int) -> None:
    """Print the false alarms of these designs in Markdown."""
    for place, design in enumerate(designs):
        found = false_alarms(design, runs, seed)
        if place == 0:
            print("| each window | " + " | ".join(found) + " |\n|---|" + "--:|" * len(found))
        print(f"| {design.name} | " + " | ".join(f"{share:.1%}" for share in found.values()) + " |", flush=True)
    print()


def main() -> None:
    """Print the tables in Markdown."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--only", choices=tuple(PARTS), action="append", help="one of the tables; repeat it for more")
    parser.add_argument("--runs", type=int, help="a row (default: 2,000; 1,000 of the classifier)")
    parser.add_argument("--seed", type=int, default=SEED)
    options = parser.parse_args()
    for part in options.only or PARTS:
        designs, runs = PARTS[part]
        print_table(designs, options.runs or runs, options.seed)


def run(quick: bool = False) -> list[Row]:
    """Return by design how far from 5 % the detector lies that is farthest off; ``quick`` takes few runs and designs.

    In percentage points, as is the peer's distance, which is Pearson's χ², or the classifier that permutes events.
    """
    last, runs = (2, 60) if quick else (6, 2000)
    chosen: list[Design | Hours | Rows] = [*DESIGNS[:last], *HOURS[:last], *ROWS[: last // 2]]
    rows = []
    for seed, design in enumerate(chosen):
        found = {name: 100.0 * abs(share - 0.05) for name, share in false_alarms(design, runs, seed).items()}
        (peer, peers), *_ = ((name, found.pop(name)) for name in [*found] if "Pearson" in name or "permuted" in name)
        worst = max(found, key=found.__getitem__)
        what = f"{design.name}: {worst}"
        rows.append(Row("drift", what, found[worst], "points off 5 %", peer, peers, None, Aim("value", "≤", 1.0)))
    return rows


if __name__ == "__main__":
    main()
