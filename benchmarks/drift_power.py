"""What share of drifted windows is found, and of drift-free ones mistaken, beside evidently's default verdicts.

Run: ``python benchmarks/drift_power.py [--pairs 30] [--only SET] [--alone]``. Every pair of windows is judged by both,
or by ours alone. `clinc150_oos`: 1,200 assistant requests against 1,200 others of which a share is out of scope.
`llmdrift`: answers of March against those of June 2023 to the same questions, and halves of March against each other.
Needs the extras ``torch`` and ``reports``, and the data sets in ``../shared/data``. Evidently's telemetry is off.
"""

from __future__ import annotations

import argparse
import contextlib
import gzip
import io
import json
import os
import re
import warnings
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from _harness import Row
from evalsvc.drift import (
    MeanEmbeddingSketch,
    NumericSketch,
    TokenSketch,
    Vectors,
    compare_by_classifier,
    compare_embeddings,
    compare_numeric,
    compare_tokens,
)
from evalsvc.drift_classifier import MOST_TEXTS
from evalsvc.scorers._words import words
from evalsvc.scorers.text_embedding import fourier_features, frequencies
from evalsvc.scorers.text_words import word_counts
from evalsvc.stats.quantile import bin_of

TRAFFIC = Path(os.environ.get("EVALSVC_SHARED_DATA") or Path(__file__).resolve().parents[2] / "shared" / "data") / (
    "traffic"
)
SHARES = (0.0, 0.01, 0.02, 0.05, 0.1)
WINDOW, IN_SCOPE, HOURS, PERMUTATIONS = 1200, 3600, 24, 39
# Pairs of halves of each set: with evidently, which takes most of the time, and alone.
HALVES, HALVES_ALONE = 5, 50
DATASETS = ("prime", "opinionqa", "happynumber")
MODELS = {"gpt-3.5-turbo-0301": "gpt-3.5-turbo-0613", "gpt-4-0314": "gpt-4-0613"}

Floats = npt.NDArray[np.float64]
Record = Mapping[str, Any]


def _read(name: str) -> list[Record]:
    with gzip.open(TRAFFIC / name / "visible.jsonl.gz", "rt", encoding="utf-8") as lines:
        return [json.loads(line) for line in lines]


def _hourly(rows: Floats, rng: np.random.Generator) -> dict[int, dict[tuple[str, int, float], tuple[int, list[float]]]]:
    """Deal events into hours at random: what the store would hold of them."""
    hours = rng.integers(HOURS, size=len(rows))
    return {
        hour: {("", 1, 1.0): (int((hours == hour).sum()), rows[hours == hour].sum(axis=0).tolist())}
        for hour in np.unique(hours).tolist()
    }


def vocabulary_p(old: Floats, new: Floats, rng: np.random.Generator) -> float | None:
    """Return the p-value of the vocabulary between two sets of word counts."""
    sketches = [TokenSketch.from_cells(_hourly(rows, rng), "words") for rows in (old, new)]
    return compare_tokens(sketches[0], sketches[1]).p_value


def embedding_p(old: Floats, new: Floats, rng: np.random.Generator) -> float | None:
    """Return the p-value of MMD between two sets of features."""
    sketches = [MeanEmbeddingSketch.from_cells(_hourly(rows, rng), "features") for rows in (old, new)]
    return compare_embeddings(sketches[0], sketches[1]).p_value


def classifier_p(old: Floats, new: Floats, rng: np.random.Generator) -> float | None:
    """Return the p-value of the classifier between two sets of features, as many of each as the command reads."""
    sides = []
    for rows in (old, new):
        kept = rows[rng.permutation(len(rows))[:MOST_TEXTS]]
        sides.append(Vectors(kept, None, rng.integers(HOURS, size=len(kept)).tolist()))
    return compare_by_classifier(sides[0], sides[1], permutations=PERMUTATIONS).p_value


def length_p(old: Sequence[int], new: Sequence[int]) -> float | None:
    """Return the p-value of Wasserstein's distance between two sets of numbers of words."""
    sketches = []
    for lengths in (old, new):
        bins, counts = np.unique([bin_of(float(length)) for length in lengths], return_counts=True)
        cells = {("", 1, 1.0): dict(zip(bins.tolist(), counts.tolist(), strict=True))}
        sketches.append(NumericSketch.from_cells(cells))
    return compare_numeric(sketches[0], sketches[1])[2].p_value


class Evidently:
    """The verdicts that evidently gives with no setting changed."""

    def __init__(self) -> None:
        os.environ["DO_NOT_TRACK"] = os.environ["ITERATIVE_DO_NOT_TRACK"] = "1"
        warnings.simplefilter("ignore")
        import pandas as pd
        from evidently.legacy.calculations.stattests.registry import get_stattest
        from evidently.legacy.core import ColumnType
        from evidently.legacy.metrics.data_drift.embedding_drift_methods import model

        self._frame, self._series, self._model = pd.DataFrame, pd.Series, model
        self._get, self._type = get_stattest, ColumnType

    def column(self, old: Sequence[Any], new: Sequence[Any], kind: str) -> bool:
        """Return whether a column of ``Text`` or ``Numerical`` has drifted."""
        frames, of_kind = (self._series(list(old)), self._series(list(new))), getattr(self._type, kind)
        return bool(self._get(*frames, of_kind, None)(*frames, of_kind, None).drifted)

    def embeddings(self, old: Floats, new: Floats) -> bool:
        """Return whether embeddings have drifted."""
        frames = [self._frame(rows, columns=[f"c{i}" for i in range(rows.shape[1])]) for rows in (old, new)]
        return bool(self._model(bootstrap=len(old) < 1000)(frames[1], frames[0])[1])


def _share(found: Sequence[bool]) -> str:
    return f"{np.mean(found):.0%}"


def _is_found(p_value: float | None) -> bool:
    return p_value is not None and p_value <= 0.05 + 1e-12


def clinc(pairs: int, peer: Evidently | None) -> None:
    """Print what share of pairs is found, by the planted share of out-of-scope requests."""
    from evalsvc.engine import Encoder, EngineSettings

    rng = np.random.default_rng(1)
    records = _read("clinc150_oos")
    usual = [str(record["text"]) for record in records if not record["oos"]]
    usual = [usual[place] for place in rng.permutation(len(usual))[:IN_SCOPE]]
    texts = usual + [str(record["text"]) for record in records if record["oos"]]
    vectors = Encoder.load(EngineSettings()).embed(texts).vectors.astype(np.float64)
    omega = frequencies(vectors.shape[1], 1.0)
    features = np.array([fourier_features(vector, omega) for vector in vectors])
    counts = np.array([word_counts(words(text))[:-1] for text in texts])
    names = ["out of scope", "MMD", "vocabulary", "classifier"]
    names += ["evidently, embeddings", "evidently, text"] if peer else []
    print(f"| {' | '.join(names)} |\n|{'--:|' * len(names)}")
    for share in SHARES:
        found: dict[str, list[bool]] = {}
        planted = round(share * WINDOW)
        for _ in range(pairs):
            drawn = rng.permutation(len(usual))[: 2 * WINDOW - planted]
            strange = len(usual) + rng.permutation(len(texts) - len(usual))[:planted]
            old, new = drawn[:WINDOW], np.concatenate([drawn[WINDOW:], strange])
            verdicts = {
                "mmd": _is_found(embedding_p(features[old], features[new], rng)),
                "vocabulary": _is_found(vocabulary_p(counts[old], counts[new], rng)),
                "classifier": _is_found(classifier_p(features[old], features[new], rng)),
            }
            if peer:
                verdicts["embeddings"] = peer.embeddings(vectors[old], vectors[new])
                verdicts["text"] = peer.column([texts[i] for i in old], [texts[i] for i in new], "Text")
            for name, verdict in verdicts.items():
                found.setdefault(name, []).append(verdict)
        print(f"| {share:.0%} | " + " | ".join(map(_share, found.values())) + " |", flush=True)
    print()


def llmdrift(peer: Evidently | None) -> None:
    """Print who finds June's answers changed, and how often a half of March's is taken for changed."""
    rng = np.random.default_rng(2)
    records = _read("llmdrift")
    names = ["answers", "n", "vocabulary", "length", *(["evidently, text", "evidently, length"] if peer else [])]
    print(f"| {' | '.join(names)} |\n|---|{'--:|' * (len(names) - 1)}")
    alarms: list[list[bool]] = []
    for dataset in DATASETS:
        for march, june in MODELS.items():
            old, new = (
                [str(r["response"]) for r in records if (r["dataset"], r["model"]) == (f"llmdrift_{dataset}", model)]
                for model in (march, june)
            )
            shown = ["moved" if verdict else "-" for verdict in _verdicts(old, new, peer, rng)]
            name = re.sub(r"-\d{4}$", "", march)
            print(f"| {dataset}, {name}, March against June | {len(old)} | {' | '.join(shown)} |", flush=True)
            for _ in range(HALVES if peer else HALVES_ALONE):
                order = rng.permutation(len(old))
                halves = [[old[i] for i in part] for part in np.array_split(order, 2)]
                alarms.append(_verdicts(halves[0], halves[1], peer, rng))
    shares = [_share(column) for column in zip(*alarms, strict=True)]
    print(f"| halves of March, {len(alarms)} pairs | | {' | '.join(shares)} |\n")


def _verdicts(old: Sequence[str], new: Sequence[str], peer: Evidently | None, rng: np.random.Generator) -> list[bool]:
    found = [[words(text) for text in texts] for texts in (old, new)]
    counts = [np.array([word_counts(each)[:-1] for each in texts]) for texts in found]
    lengths = [[len(each) for each in texts] for texts in found]
    ours = [_is_found(vocabulary_p(counts[0], counts[1], rng)), _is_found(length_p(lengths[0], lengths[1]))]
    if peer is None:
        return ours
    return [*ours, peer.column(old, new, "Text"), peer.column(lengths[0], lengths[1], "Numerical")]


def main() -> None:
    """Print both tables in Markdown."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--pairs", type=int, default=30, help="pairs of windows for each planted share")
    parser.add_argument("--only", choices=("clinc150_oos", "llmdrift"), help="one of the tables")
    parser.add_argument("--alone", action="store_true", help="without evidently, which takes most of the time")
    options = parser.parse_args()
    if not TRAFFIC.is_dir():
        parser.error("the data sets are not at ../shared/data (set EVALSVC_SHARED_DATA to their folder)")
    peer = None if options.alone else Evidently()
    if options.only != "llmdrift":
        clinc(options.pairs, peer)
    if options.only != "clinc150_oos":
        llmdrift(peer)


PEERS = {
    "MMD": "evidently, embeddings",
    "classifier": "evidently, embeddings",
    "vocabulary": "evidently, text",
    "length": "evidently, length",
}
"""Which verdict of evidently's stands beside each of ours."""


def run(quick: bool = False) -> list[Row]:
    """Return what is found of what was planted and of June's answers, beside evidently's; nothing without the data."""
    if not TRAFFIC.is_dir():
        return []
    peer = Evidently()
    lines = [*_printed(lambda: clinc(3 if quick else 30, peer)), *_printed(lambda: llmdrift(peer))]
    rows = []
    for (first, label), *columns in (line.items() for line in lines):
        found = {name: _called_moved(cell) for name, cell in columns if name in {*PEERS, *PEERS.values()}}
        what = label if first == "answers" else f"{label} {first}"
        rows += [
            Row("drift_power", f"{what}: {name}", found[name], "share called moved", peers, found[peers])
            for name, peers in PEERS.items()
            if name in found
        ]
    return rows


def _printed(table: Callable[[], None]) -> list[dict[str, str]]:
    """Return the lines of a table as it is printed, each with its cells by column."""
    text = io.StringIO()
    with contextlib.redirect_stdout(text):
        table()
    lines = [[cell.strip() for cell in line.split("|")[1:-1]] for line in text.getvalue().splitlines() if line]
    return [dict(zip(lines[0], line, strict=True)) for line in lines[2:]]


def _called_moved(cell: str) -> float:
    # A verdict on one pair is a share of one.
    return float(cell[:-1]) / 100 if cell.endswith("%") else float(cell == "moved")


if __name__ == "__main__":
    main()
