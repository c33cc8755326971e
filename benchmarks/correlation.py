"""How far each quality scorer orders responses as people do, on five sets of human ratings.

"Within sources" is the mean, over source texts, of the rank correlation across the systems that answered the same
source; a source on which either side is constant is left out. "Across systems" correlates the systems' means. The
interval is a 95 % percentile bootstrap over source documents, 1,000 draws, seed 0. Metrics with a reference use the
first one. A set has at most ``SOURCES`` sources, and ``ENCODED_SOURCES`` of these for scorers on the encoder, drawn
with seed 0 to end within minutes on two cores (``quick``: four of each). The sets are visible halves, so that a
published figure beside ours is of more documents. Scorers that cut sentences get capitals at sentence starts: many of
these systems write in lower case with detached stops, where no rule can tell a full stop from an abbreviation's.
Run: ``python benchmarks/correlation.py [--quick]``; the sets lie beside the checkout in ``shared/data/quality``.
"""

from __future__ import annotations

import gzip
import json
import math
import random
import re
import sys
from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from msgspec import structs
from scipy import stats

from _harness import Row, machine, table
from evalsvc.errors import EvalsvcError
from evalsvc.scorers import create
from evalsvc.testing.samples import make_sample
from evalsvc.types import Sample, Scored

DATA = Path(__file__).resolve().parents[1].parent / "shared" / "data" / "quality"
SOURCES = 60
ENCODED_SOURCES = 16
QUICK_SOURCES = 4
DRAWS = 1_000
FEWEST = 4

WITH_REFERENCE = ("bleu", "chrf", "rouge_l", "embedding_similarity")
WITH_CONTEXT = ("context_support",)
ALONE = ("coherence", "distinct_1", "distinct_2", "repetition", "readability")
WITH_PROMPT = ("relevance",)
ENCODED = {"embedding_similarity", "context_support", "coherence", "relevance"}
SCORERS = {
    "summeval": WITH_REFERENCE + WITH_CONTEXT + ALONE,
    "realsumm": WITH_REFERENCE + WITH_CONTEXT + ALONE,
    "newsroom": WITH_REFERENCE + WITH_CONTEXT + ALONE,
    "topicalchat": WITH_PROMPT + WITH_CONTEXT + ALONE,
    "ted en-de": WITH_REFERENCE,
    "ted zh-en": WITH_REFERENCE,
}
CUT_SENTENCES = {"coherence", "context_support", "readability"}
_SENTENCE_START = re.compile(r"(?:^|(?<=\s[.!?]\s))[a-z]")
GEVAL = "ROUGE-L in Liu et al. 2023 (G-Eval), table 1"
PUBLISHED = {
    ("summeval", "coherence", "rouge_l"): (GEVAL, 0.128),
    ("summeval", "consistency", "rouge_l"): (GEVAL, 0.115),
    ("summeval", "fluency", "rouge_l"): (GEVAL, 0.105),
    ("summeval", "relevance", "rouge_l"): (GEVAL, 0.311),
}
# What each scorer claims to see, for the short table; main() prints every pair.
CLAIMS = {
    "bleu": ("relevance", "informativeness", "litepyramid_recall", "mqm"),
    "chrf": ("relevance", "informativeness", "litepyramid_recall", "mqm"),
    "rouge_l": ("relevance", "informativeness", "litepyramid_recall", "mqm"),
    "embedding_similarity": ("relevance", "informativeness", "litepyramid_recall", "mqm"),
    "context_support": ("consistency", "groundedness"),
    "coherence": ("coherence",),
    "distinct_1": ("fluency", "engagingness"),
    "distinct_2": ("fluency", "engagingness"),
    "repetition": ("fluency", "naturalness"),
    "readability": ("fluency", "understandability"),
    "relevance": ("coherence", "overall"),
}

# MQM as in Freitag et al. 2021; "No-error" weighs nothing, and no row here is a non-translation.
MQM_WEIGHTS = {"Major": 5.0, "Minor": 1.0}
MQM_PUNCTUATION = 0.1


class Rated(NamedTuple):
    """A response with its ratings: ``source`` is what several systems answered, ``group`` the document it is of."""

    source: str
    group: str
    system: str
    human: Mapping[str, float]
    sample: Sample


class Correlation(NamedTuple):
    """One scorer on one rating of one set; ``nan`` where undefined. ``scored`` is the share that got a value."""

    data: str
    rating: str
    scorer: str
    spearman: float
    low: float
    high: float
    kendall: float
    pearson: float
    systems: float
    sources: int
    scored: float


def read(folder: str) -> list[dict[str, Any]]:
    """Return the rows of a set.

    Raises:
        FileNotFoundError: where the sets are not beside the checkout.
    """
    with gzip.open(DATA / folder / "visible.jsonl.gz", "rt", encoding="utf-8") as lines:
        return [json.loads(line) for line in lines]


def load() -> dict[str, list[Rated]]:
    """Return every set."""
    return {
        "summeval": [_summary(row, row["references"][0]) for row in read("summeval")],
        "realsumm": [_summary(row, row["reference"]) for row in read("realsumm")],
        "newsroom": [_summary(row, row["reference"]) for row in read("newsroom_human")],
        "topicalchat": list(map(_dialogue, read("usr_topicalchat"))),
        **_translations(read("wmt_mqm_ted")),
    }


def _summary(row: Mapping[str, Any], reference: str) -> Rated:
    sample = make_sample(row["id"], response=row["response"], reference=reference, contexts=(row["context"],))
    return Rated(row["group"], row["group"], row["model"], row["human"], sample)


def _dialogue(row: Mapping[str, Any]) -> Rated:
    asked = row["context"].strip().split("\n")[-1]
    sample = make_sample(row["id"], prompt=asked, response=row["response"], contexts=(row["fact"],), reference=None)
    return Rated(row["context"], row["group"], row["model"], row["human"], sample)


def _translations(rows: Sequence[Mapping[str, Any]]) -> dict[str, list[Rated]]:
    """Return translated segments rated by the negative mean of their raters' MQM sums; ``ref`` is the reference."""
    errors: dict[tuple[str, str, str], dict[str, float]] = defaultdict(lambda: defaultdict(float))
    first: dict[tuple[str, str, str], Mapping[str, Any]] = {}
    for row in rows:
        key = (row["dataset"], f"{row['doc_id']}/{row['seg_id']}", row["system"])
        errors[key][row["rater"]] += _weight(row)
        first.setdefault(key, row)
    found: dict[str, list[Rated]] = {"ted en-de": [], "ted zh-en": []}
    for (dataset, segment, system), by_rater in errors.items():
        reference = first.get((dataset, segment, "ref"))
        if system == "ref" or reference is None:
            continue
        row = first[dataset, segment, system]
        sample = make_sample(row["id"], response=_unmarked(row["target"]), reference=_unmarked(reference["target"]))
        human = {"mqm": -sum(by_rater.values()) / len(by_rater)}
        name = "ted en-de" if dataset.endswith("ende") else "ted zh-en"
        found[name].append(Rated(segment, row["group"], system, human, sample))
    return found


def _weight(row: Mapping[str, Any]) -> float:
    if row["severity"] == "Minor" and row["category"] == "Fluency/Punctuation":
        return MQM_PUNCTUATION
    return MQM_WEIGHTS.get(row["severity"], 0.0)


def _unmarked(text: str) -> str:
    return re.sub("</?v>", "", text)


def draw(rated: Sequence[Rated], sources: int) -> list[Rated]:
    """Return the ratings of at most so many sources; a smaller draw is a part of a greater one."""
    names = sorted({item.source for item in rated})
    random.Random(0).shuffle(names)
    kept = set(names[:sources])
    return [item for item in rated if item.source in kept]


def values(scorer_name: str, rated: Sequence[Rated]) -> list[float]:
    """Return the scorer's values, signed so that more is better; ``nan`` where it abstains or fails."""
    scorer = create(scorer_name)
    scorer.load()
    sign = -1.0 if scorer.spec.scale.better == "lower" else 1.0
    samples = [item.sample for item in rated]
    if scorer_name in CUT_SENTENCES:
        samples = [_with_capitals(sample) for sample in samples]
    outcomes = scorer.score(samples)
    found = [outcome.value if isinstance(outcome, Scored) else outcome for outcome in outcomes]
    return [sign * value if isinstance(value, float) else math.nan for value in found]


def _with_capitals(sample: Sample) -> Sample:
    response = _SENTENCE_START.sub(lambda match: match.group().upper(), sample.event.response)
    return structs.replace(sample, event=structs.replace(sample.event, response=response))


def within_sources(
    rated: Sequence[Rated], rating: str, scored: Sequence[float], statistic: Callable[..., Any]
) -> dict[str, list[float]]:
    """Return for each document the correlations of its sources that have one."""
    pairs: dict[tuple[str, str], list[tuple[float, float]]] = defaultdict(list)
    for item, value in zip(rated, scored, strict=True):
        if not math.isnan(value):
            pairs[item.group, item.source].append((item.human[rating], value))
    found: dict[str, list[float]] = defaultdict(list)
    for (group, _), points in pairs.items():
        human, ours = zip(*points, strict=True)
        if len(points) >= FEWEST and len(set(human)) > 1 and len(set(ours)) > 1:
            found[group].append(float(statistic(human, ours).statistic))
    return found


def across_systems(rated: Sequence[Rated], rating: str, scored: Sequence[float]) -> float:
    """Return Spearman's correlation of the systems' means, ``nan`` where fewer than four systems have values."""
    by_system: dict[str, list[tuple[float, float]]] = defaultdict(list)
    for item, value in zip(rated, scored, strict=True):
        if not math.isnan(value):
            by_system[item.system].append((item.human[rating], value))
    means = np.array([np.mean(points, axis=0) for points in by_system.values()])
    if len(means) < FEWEST or (np.ptp(means, axis=0) == 0).any():
        return math.nan
    return float(stats.spearmanr(means[:, 0], means[:, 1]).statistic)


def bootstrap(by_group: Mapping[str, Sequence[float]]) -> tuple[float, float]:
    """Return the 95 % percentile interval of the mean over sources, drawing documents with replacement."""
    if len(by_group) < 2:
        return math.nan, math.nan
    sums = np.array([[sum(found), len(found)] for found in by_group.values()])
    drawn = np.random.default_rng(0).integers(len(sums), size=(DRAWS, len(sums)))
    totals = sums[drawn].sum(axis=1)
    low, high = np.quantile(totals[:, 0] / totals[:, 1], [0.025, 0.975])
    return float(low), float(high)


def correlate(data: str, rated: Sequence[Rated], scorer: str, scored: Sequence[float]) -> Iterator[Correlation]:
    """Yield the correlations of one scorer's values with every rating of a set."""
    for rating in rated[0].human:
        spearman = within_sources(rated, rating, scored, stats.spearmanr)
        low, high = bootstrap(spearman)
        yield Correlation(
            data=data,
            rating=rating,
            scorer=scorer,
            spearman=_mean(spearman),
            low=low,
            high=high,
            kendall=_mean(within_sources(rated, rating, scored, stats.kendalltau)),
            pearson=_mean(within_sources(rated, rating, scored, stats.pearsonr)),
            systems=across_systems(rated, rating, scored),
            sources=sum(map(len, spearman.values())),
            scored=sum(not math.isnan(value) for value in scored) / len(scored),
        )


def measure(quick: bool) -> list[Correlation]:
    """Return every correlation of every set; a scorer whose model is absent is left out with a line that says so."""
    found: list[Correlation] = []
    for data, all_rated in load().items():
        for scorer in SCORERS[data]:
            most = ENCODED_SOURCES if scorer in ENCODED else SOURCES
            rated = draw(all_rated, QUICK_SOURCES if quick else most)
            try:
                scored = values(scorer, rated)
            except EvalsvcError as error:
                print(f"{scorer} on {data} is left out: {error}", file=sys.stderr)
                continue
            found += correlate(data, rated, scorer, scored)
    return found


def run(quick: bool) -> list[Row]:
    """Return a row for each scorer and rating that it claims to see or that has a published figure."""
    return rows(measure(quick))


def rows(found: Sequence[Correlation]) -> list[Row]:
    """Return the rows of the short table."""
    short = []
    for item in found:
        peer, published = PUBLISHED.get((item.data, item.rating, item.scorer), ("", None))
        if item.sources and (item.rating in CLAIMS[item.scorer] or published is not None):
            short.append(
                Row(
                    benchmark="correlation with people",
                    what=f"{item.data}, {item.rating}: {item.scorer}, {item.sources} sources",
                    value=item.spearman,
                    unit=f"Spearman, [{item.low:.2f}, {item.high:.2f}]",
                    peer=peer,
                    peer_value=published,
                )
            )
    return short


def main() -> None:
    """Print the machine, every correlation, and the short table."""
    quick = "--quick" in sys.argv[1:]
    print(machine())
    print("\n| set | rating | scorer | Spearman | 95 % | Kendall τ-b | Pearson | across systems | sources | scored |")
    print("|---|---|---|--:|---|--:|--:|--:|--:|--:|")
    found = measure(quick)
    for item in found:
        figures = f"{item.spearman:.3f} | [{item.low:.2f}, {item.high:.2f}] | {item.kendall:.3f} | {item.pearson:.3f}"
        rest = f"{item.systems:.2f} | {item.sources} | {item.scored:.0%}"
        print(f"| {item.data} | {item.rating} | {item.scorer} | {figures} | {rest} |")
    print()
    print(table(rows(found)))


def _mean(by_group: Mapping[str, Sequence[float]]) -> float:
    found = [value for values in by_group.values() for value in values]
    return sum(found) / len(found) if found else math.nan


if __name__ == "__main__":
    main()
