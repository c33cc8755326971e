"""Gates on real answers: do verdicts agree with what is known of the versions, and is chance no verdict?

Run ``python benchmarks/gates_real.py [--splits 20]``: it prints the last tables of
``docs/reference/gates-calibration.md``. The data sets lie beside the checkout in ``shared/data``.
"""

from __future__ import annotations

import argparse
import gzip
import itertools
import json
import os
import re
from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

import correlation
from _harness import Aim, Row
from evalsvc.cases import Case
from evalsvc.gate.deciding import decide
from evalsvc.gate.evaluated import Evaluated, MetricScores
from evalsvc.gate.values import Better, Gate, NotWorse
from evalsvc.types import Scale, ScorerSpec
from evalsvc.verdicts import Decision, Finding

DATA = Path(os.environ.get("EVALSVC_SHARED_DATA") or Path(__file__).resolve().parents[2] / "shared" / "data")
YES_NO, OPEN = Scale(0.0, 1.0, "higher", binary=True), Scale(None, None, "higher")
MARGIN = 0.05
FEWEST = 20

Array = np.ndarray
Scores = Mapping[str, Mapping[str, float]]
"""By version, by case."""

_BOXED = re.compile(r"boxed\{+\s*(\d+)")
_OPTION = re.compile(r"^\W*\(?[A-J]\)|\([A-J]\)")
_ANSWER = re.compile(r"\b(yes|no)\b", re.IGNORECASE)


class Task(NamedTuple):
    """A set of LLMDrift: how an answer is judged, and which verdicts follow from Chen, Zaharia & Zou 2023 by model."""

    name: str
    what: str
    judge: Callable[[Mapping[str, Any]], float]
    known: Mapping[str, Decision]


def _last(pattern: re.Pattern[str], text: str) -> str:
    found = pattern.findall(text)
    return found[-1].lower() if found else ""


TASKS = (
    Task(
        "prime",
        "last yes or no is right",
        lambda row: float(_last(_ANSWER, row["response"]) == row["reference"].lower()),
        {"gpt-4": "FAIL", "gpt-3.5-turbo": "PASS"},
    ),
    Task(
        "leetcode",
        "code is directly usable",
        lambda row: float(row["extra"]["Directly Usable"]),
        {"gpt-4": "FAIL", "gpt-3.5-turbo": "FAIL"},
    ),
    Task(
        "sensitiveq",
        "it answers",
        lambda row: float(row["extra"]["Response Rate"]),
        {"gpt-4": "FAIL", "gpt-3.5-turbo": "PASS"},
    ),
    Task(
        "opinionqa",
        "it picks an option",
        lambda row: float(bool(_OPTION.search(row["response"]))),
        {"gpt-4": "FAIL", "gpt-3.5-turbo": "PASS"},
    ),
    Task(
        "happynumber",
        "boxed number is right",
        lambda row: float(_last(_BOXED, row["response"]) == _last(_BOXED, row["reference"])),
        {"gpt-4": "FAIL", "gpt-3.5-turbo": "PASS"},
    ),
)


class Verdict(NamedTuple):
    """One comparison of two real versions, and what is known of them; "" where nothing was published."""

    task: str
    model: str
    finding: Finding
    back: Finding
    known: str


def read(folder: str) -> list[dict[str, Any]]:
    """Return the rows of a set."""
    with gzip.open(DATA / folder / "visible.jsonl.gz", "rt", encoding="utf-8") as lines:
        return [json.loads(line) for line in lines]


def compared(
    old: Mapping[str, float], new: Mapping[str, float], gate: Gate, scale: Scale, groups: Mapping[str, str]
) -> Finding:
    """Return what a gate finds on the cases that both versions have."""
    names = sorted(set(old) & set(new))
    cases = tuple(Case(case_id=name, prompt=name, group=groups.get(name, "")) for name in names)
    sides = [
        Evaluated(
            cases=cases,
            digests=tuple(names),
            answers=(),
            scores={"m": MetricScores(ScorerSpec("m", 1, scale), np.array([[side[n]] for n in names]), {})},
            model="m",
            model_version="1",
            signature="",
        )
        for side in (new, old)
    ]
    return decide([gate], sides[0], sides[1])[0].findings[0]


def drift() -> list[Verdict]:
    """Return June 2023 against March, and March against June, on the same questions."""
    rows = read("traffic/llmdrift")
    gate, found = Gate(metric="m", ask=NotWorse(MARGIN)), []
    for task in TASKS:
        scores: dict[str, dict[str, float]] = defaultdict(dict)
        for row in rows:
            if row["dataset"] == f"llmdrift_{task.name}":
                scores[row["model"]][str(row["query_id"])] = task.judge(row)
        for model, march in (("gpt-4", "0314"), ("gpt-3.5-turbo", "0301")):
            old, new = scores[f"{model}-{march}"], scores[f"{model}-0613"]
            forth, back = (compared(*pair, gate, YES_NO, {}) for pair in ((old, new), (new, old)))
            found.append(Verdict(f"{task.name}: {task.what}", model, forth, back, task.known.get(model, "")))
    return found


class Rating(NamedTuple):
    """Systems that people rated on the same sources."""

    name: str
    scores: Scores
    groups: Mapping[str, str]


def ratings() -> list[Rating]:
    """Return every rating of the sets of human ratings."""
    correlation.DATA = DATA / "quality"
    return [
        _rating(f"{data}: {kind}", rated, [item.human[kind] for item in rated])
        for data, rated in correlation.load().items()
        for kind in rated[0].human
    ]


def _rating(name: str, rated: Sequence[correlation.Rated], values: Sequence[float]) -> Rating:
    scores: dict[str, dict[str, float]] = defaultdict(dict)
    for item, value in zip(rated, values, strict=True):
        if value == value:
            scores[item.system][item.source] = float(value)
    return Rating(name, scores, {item.source: item.group for item in rated})


class Truth(NamedTuple):
    """Shares of pairs of systems: the better on half of the documents as candidate for the gate ``better`` on the rest.

    ``exchanged`` is the share of FAIL where each document's two sides were exchanged or not by chance, so that the
    versions are one.
    """

    name: str
    pairs: int
    passed: float
    failed: float
    exchanged: float


def truths(rating: Rating, splits: int, seed: int) -> Truth | None:
    """Return the shares of a rating over pairs of systems and halves; None with fewer than 20 documents a half."""
    rng = np.random.default_rng(seed)
    documents = sorted(set(rating.groups.values()))
    if len(documents) < 2 * FEWEST:
        return None
    gate, counts, tried = Gate(metric="m", ask=Better()), np.zeros(3), 0
    for _ in range(splits):
        chosen = set(rng.permutation(documents)[: len(documents) // 2].tolist())
        for one, other in itertools.combinations(sorted(rating.scores), 2):
            pair = [rating.scores[one], rating.scores[other]]
            both = sorted(set(pair[0]) & set(pair[1]))
            first = [n for n in both if rating.groups[n] in chosen]
            rest = [n for n in both if rating.groups[n] not in chosen]
            ahead = sum(pair[0][n] - pair[1][n] for n in first)
            if ahead == 0.0 or len(rest) < FEWEST:
                continue
            better, worse = pair if ahead > 0.0 else pair[::-1]
            ours = compared({n: worse[n] for n in rest}, {n: better[n] for n in rest}, gate, OPEN, rating.groups)
            swapped = dict(zip(documents, rng.random(len(documents)) < 0.5, strict=True))
            sides = [{n: (a if swapped[rating.groups[n]] else b)[n] for n in both} for a, b in (pair, pair[::-1])]
            mixed = compared(sides[0], sides[1], gate, OPEN, rating.groups)
            counts += [ours.decision == "PASS", ours.decision == "FAIL", mixed.decision == "FAIL"]
            tried += 1
    return Truth(rating.name, tried, *(counts / tried).tolist()) if tried else None


class Agreement(NamedTuple):
    """Pairs of systems by what people's ratings and a metric say at the gate ``better``, either way round."""

    name: str
    metric: str
    same: int
    opposite: int
    people_only: int
    metric_only: int
    neither: int


AGREE = {
    "summeval": ("rouge_l", "relevance"),
    "realsumm": ("rouge_l", "litepyramid_recall"),
    "newsroom": ("rouge_l", "informativeness"),
    "ted en-de": ("chrf", "mqm"),
    "ted zh-en": ("chrf", "mqm"),
}


def agreements() -> list[Agreement]:
    """Return how often a metric's verdicts are people's."""
    correlation.DATA = DATA / "quality"
    loaded, out = correlation.load(), []
    for data, (metric, kind) in AGREE.items():
        rated = loaded[data]
        people = _rating(data, rated, [item.human[kind] for item in rated])
        ours = _rating(data, rated, correlation.values(metric, rated))
        counts: dict[str, int] = defaultdict(int)
        for one, other in itertools.combinations(sorted(people.scores), 2):
            counts[_agreed(*(_ahead(side, one, other) for side in (people, ours)))] += 1
        order = ("same", "opposite", "people", "metric", "neither")
        out.append(Agreement(f"{data}: {kind}", metric, *(counts[kind] for kind in order)))
    return out


def _ahead(rating: Rating, one: str, other: str) -> int:
    found = compared(rating.scores[one], rating.scores[other], Gate(metric="m", ask=Better()), OPEN, rating.groups)
    return {"PASS": 1, "FAIL": -1}.get(found.decision, 0)


def _agreed(people: int, ours: int) -> str:
    if people and ours:
        return "same" if people == ours else "opposite"
    return "people" if people else "metric" if ours else "neither"


class Faithful(NamedTuple):
    """Articles with several summaries, judged faithful or not: shares of FAIL of the gate ``better``.

    ``itself``: two summaries of each article by chance; ``worse``: one by chance against the best of them.
    """

    name: str
    articles: int
    itself: float
    worse: float


def faithful(folder: str, draws: int, seed: int) -> Faithful:
    """Return the shares over draws of summaries."""
    rng = np.random.default_rng(seed)
    by_article: dict[str, list[float]] = defaultdict(list)
    for row in read(f"faithfulness/{folder}"):
        by_article[row["group"]].append(float(row["label"]))
    several = {name: labels for name, labels in by_article.items() if len(labels) > 1}
    gate, counts = Gate(metric="m", ask=Better()), np.zeros(2)
    for _ in range(draws):
        mixed = {name: rng.permutation(labels).tolist() for name, labels in several.items()}
        first, second = ({name: labels[place] for name, labels in mixed.items()} for place in (0, 1))
        best = {name: max(labels) for name, labels in several.items()}
        counts += [compared(old, first, gate, YES_NO, {}).decision == "FAIL" for old in (second, best)]
    return Faithful(folder, len(several), *(counts / draws).tolist())


def run(quick: bool = False) -> list[Row]:
    """Return how many known verdicts are met, and the shares of FAIL that chance gets; [] without the data."""
    if not DATA.is_dir():
        return []
    known = [verdict for verdict in drift() if verdict.known]
    right = sum(verdict.finding.decision == verdict.known for verdict in known)
    splits = 1 if quick else 5
    found = [truth for seed, rating in enumerate(ratings()) if (truth := truths(rating, splits, seed))]
    weights = [truth.pairs for truth in found]
    most = Aim("value", "≤", 0.05)
    failed, exchanged = (
        float(np.average([getattr(t, at) for t in found], weights=weights)) for at in ("failed", "exchanged")
    )
    return [
        Row("gates_real", f"LLMDrift: known verdicts met, of {len(known)}", right, "verdicts"),
        Row("gates_real", "the better rated of two systems: FAIL", failed, "share of pairs", aim=most),
        Row("gates_real", "sides exchanged by chance: FAIL", exchanged, "share of pairs", aim=most),
    ]


def main() -> None:
    """Print the tables in Markdown."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--splits", type=int, default=20)
    splits: int = parser.parse_args().splits
    if not DATA.is_dir():
        parser.error("the data sets are not at ../shared/data (set EVALSVC_SHARED_DATA to their folder)")
    print("| LLMDrift, March to June 2023 | model | n | March | June | difference | verdict | known | June to March |")
    print("|---|---|--:|--:|--:|--:|---|---|---|")
    for v in drift():
        f = v.finding
        interval = f"{f.difference:+.3f} [{f.low:+.3f}, {f.high:+.3f}]"
        cells = [v.task, v.model, f.n, f"{f.baseline:.3f}", f"{f.candidate:.3f}", interval, f.decision, v.known]
        print("| " + " | ".join(map(str, [*cells, v.back.decision])) + " |", flush=True)
    print("\n| people's ratings | pairs | better half: PASS | better half: FAIL | exchanged by chance: FAIL |")
    print("|---|--:|--:|--:|--:|")
    found = [truth for seed, rating in enumerate(ratings()) if (truth := truths(rating, splits, seed))]
    for t in found:
        print(f"| {t.name} | {t.pairs:,} | {t.passed:.1%} | {t.failed:.1%} | {t.exchanged:.1%} |", flush=True)
    weights = [t.pairs for t in found]
    means = [np.average([t[i] for t in found], weights=weights) for i in (2, 3, 4)]
    print(f"| **all** | {sum(weights):,} | " + " | ".join(f"{mean:.1%}" for mean in means) + " |")
    print("\n| pairs of systems | metric | same verdict | opposite | people only | metric only | neither |")
    print("|---|---|--:|--:|--:|--:|--:|")
    for a in agreements():
        print("| " + " | ".join(map(str, a)) + " |", flush=True)
    print("\n| summaries judged faithful | articles | by chance: FAIL | by chance against the best: FAIL |")
    print("|---|--:|--:|--:|")
    for folder in ("summac_polytope", "summac_xsumfaith", "summac_factcc"):
        s = faithful(folder, 200, 7)
        if s.articles >= FEWEST:
            print(f"| {s.name} | {s.articles} | {s.itself:.1%} | {s.worse:.1%} |", flush=True)


if __name__ == "__main__":
    main()
