"""Intervals of a segment of which a lightly sampled stratum may show nothing, asked through the store and the query.

Each sample is an hour of its own in one in-memory store. Half of a segment's events lie in a stratum that is taken
whole, half in one of small π among events of other segments, and what fails or is slow does so there. In 37 % of the
hours, .99^100, the sample shows none of the segment's 100 events in a stratum of π = .01.

    python benchmarks/hidden.py
    python benchmarks/hidden.py --runs 200
"""

from __future__ import annotations

import argparse
import math
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from evalsvc.query import EstimateQuery, estimates
from evalsvc.sampling import Design as Sampling
from evalsvc.sampling import StratumRate
from evalsvc.store.memory import MemoryStore
from evalsvc.types import LedgerCount, LedgerEntry, Scale, Score, ScorerSpec, Subject, Window, WriteBatch

NOON = datetime(2026, 3, 1, 12, tzinfo=UTC)
LIGHT, WHOLE = "segments.plan=free", "segments.plan=pro"
FAILED = ScorerSpec("failed", 1, Scale(0.0, 1.0, "lower", binary=True))
LATENCY = ScorerSpec("latency_ms", 1, Scale(0.0, None, "lower", "ms"))
ASKED = (
    ("failed", "mean"),
    ("failed", "total"),
    ("latency_ms", "mean"),
    ("latency_ms", "total"),
    ("latency_ms", "p50"),
)


class Design(NamedTuple):
    """A light stratum's π, how many events of the segment each stratum has, and how many others the light one."""

    name: str
    pi: float
    mine: int
    others: int


class Measured(NamedTuple):
    """Shares of samples: whose interval holds the truth, is a point, and has no upper limit."""

    design: Design
    metric: str
    statistic: str
    coverage: float
    points: float
    endless: float


def designs() -> Iterator[Design]:
    """Yield every design of the table."""
    yield Design("π .01, 100 of 10,000 events", 0.01, 100, 9_900)
    yield Design("π .01, 100 of 600 events", 0.01, 100, 500)
    yield Design("π .1, 20 of 2,000 events", 0.1, 20, 1_980)


class _World:
    """A store in which each hour is a sample."""

    def __init__(self, design: Design) -> None:
        self.design, self.store, self.events = design, MemoryStore(), 0
        self.store.record_scorers([FAILED, LATENCY])
        sampling = Sampling("c", strata=("segments.plan",), rates=(StratumRate({"segments.plan": "free"}, design.pi),))
        self.store.record_design("c", 1, NOON, sampling.to_json())

    def hour(self, number: int, rng: np.random.Generator) -> dict[tuple[str, str], float]:
        """Write one hour's sample and return the truth of it."""
        mine, others, pi = self.design.mine, self.design.others, self.design.pi
        failed = (rng.random(mine) < 0.05) * 1.0, (rng.random(mine) < 0.5) * 1.0
        spent = rng.gamma(4.0, 25.0, mine), rng.gamma(4.0, 125.0, mine)
        taken = rng.random(mine) < pi
        beside = int(rng.binomial(others, pi))
        at = NOON + timedelta(hours=number)
        scores: list[Score] = []
        self._score(scores, at, WHOLE, "xx", 1.0, failed[0], spent[0])
        self._score(scores, at, LIGHT, "xx", pi, failed[1][taken], spent[1][taken])
        self._score(scores, at, LIGHT, "en", pi, np.zeros(beside), np.full(beside, 100.0))
        sampled = beside + int(taken.sum())
        minute = int(at.timestamp()) // 60
        counts = (
            LedgerCount(minute, WHOLE, 1, "sampled", mine),
            LedgerCount(minute, LIGHT, 1, "skipped", mine + others - sampled),
            LedgerCount(minute, LIGHT, 1, "sampled", sampled),
        )
        kept = tuple(count for count in counts if count.records)
        entry = LedgerEntry("c", f"p{number}", 0, 2 * mine + others, kept)
        self.store.write(WriteBatch(scores=tuple(scores), ledger=(entry,)))
        both, slow = np.concatenate(failed), np.concatenate(spent)
        median = float(np.sort(slow)[math.ceil(slow.size / 2) - 1])
        truths = float(both.mean()), float(both.sum()), float(slow.mean()), float(slow.sum()), median
        return dict(zip(ASKED, truths, strict=True))

    def _score(
        self,
        made: list[Score],
        at: datetime,
        stratum: str,
        lang: str,
        pi: float,
        failed: npt.NDArray[Any],
        spent: npt.NDArray[Any],
    ) -> None:
        for one, other in zip(failed.tolist(), spent.tolist(), strict=True):
            self.events += 1
            labels = {"plan": stratum.rpartition("=")[2], "lang": lang}
            subject = Subject(f"e{self.events}", at, "c", "app", "m", "1", labels, f"s{self.events}", stratum, 1)
            made += [
                Score(subject, "failed", 1, "", pi, "ok", one, ""),
                Score(subject, "latency_ms", 1, "", pi, "ok", other, ""),
            ]


def measure(design: Design, runs: int, seed: int) -> list[Measured]:
    """Return what the intervals of the segment hold, statistic by statistic."""
    rng, world = np.random.default_rng(seed), _World(design)
    truths = [world.hour(number, rng) for number in range(runs)]
    window = Window(NOON, NOON + timedelta(hours=runs))
    found = []
    for metric, statistic in ASKED:
        where = {"segments.lang": ("xx",)}
        rows = estimates(world.store, EstimateQuery(metric, window, 3600, where=where, statistic=statistic))
        held = points = endless = 0
        for row, truth in zip(rows, truths, strict=True):
            estimate, aim = row.estimate, truth[metric, statistic]
            low = -math.inf if estimate.low is None else estimate.low
            high = math.inf if estimate.high is None else estimate.high
            # A quantile is known to a bin's width.
            slack = 0.01 * aim if statistic == "p50" else 1e-9 * aim
            held += low - slack <= aim <= high + slack
            points += low == high
            endless += math.isinf(high)
        found.append(Measured(design, metric, statistic, held / runs, points / runs, endless / runs))
    return found


def main() -> None:
    """Print the table in Markdown."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--runs", type=int, default=1000)
    options = parser.parse_args()
    print("| segment in the light stratum | statistic | coverage | a point | without an upper limit |")
    print("|---|---|--:|--:|--:|")
    for seed, design in enumerate(designs()):
        for row in measure(design, options.runs, seed):
            shares = f"{row.coverage:.1%} | {row.points:.1%} | {row.endless:.1%}"
            print(f"| {design.name} | {row.statistic} of {row.metric} | {shares} |", flush=True)


if __name__ == "__main__":
    main()
