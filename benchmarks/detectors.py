"""The shipped detectors on data that they did not see, or of which the page says that they did.

Run: ``python benchmarks/detectors.py [--quick] [--faithfulness FILE] [--texts FILE]``. The data sets are under
``../shared/data`` (or ``EVALSVC_SHARED_DATA``); rows that need them are left out without. Thresholds are those of the
detector's file, which were fixed on held-out rows of what it was fitted to. Intervals are of 95 %, by a bootstrap over
groups.
"""

from __future__ import annotations

import argparse
import random
import sys
from collections.abc import Collection, Iterator, Sequence
from itertools import pairwise
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from _detector_rows import FAITHFULNESS, Set, faithfulness
from _detector_tables import tables
from _harness import Aim, Row, machine, median_seconds, table
from evalsvc.detection.adapter import Threshold
from evalsvc.detection.pairs import Case, PairDetector, Reading
from evalsvc.detection.shipped import packaged
from evalsvc.detection.words import Kind, words
from evalsvc.engine import EngineSettings
from evalsvc.fitting.deciding import threshold
from evalsvc.fitting.measuring import Figure, Outcomes, figures
from privacy import rows_of

MOST = 400
"""Rows of a set that are read, the first in a random order of their groups: thousands of captions say no more."""
OF_SETS = (("auroc", "AUROC"), ("balanced_accuracy", "balanced accuracy"), ("false_alarms", "false alarms"))
"""The figures of each set: all but the first are of a threshold."""


class Answered(NamedTuple):
    """Rows of a set with what the detector said of each, and their lexical overlap with the contexts."""

    which: Set
    rows: Sequence[dict[str, Any]]
    readings: Sequence[Reading]
    overlap: NDArray[np.float64]

    @property
    def labels(self) -> NDArray[np.bool_]:
        """Whether each has an unsupported statement."""
        return np.array([row["label"] != "supported" for row in self.rows])

    @property
    def groups(self) -> NDArray[np.int64]:
        """The group of each."""
        return np.unique([row["group"] for row in self.rows], return_inverse=True)[1]

    def measured(self, probabilities: NDArray[np.float64], at: float) -> dict[str, Figure]:
        """Return the figures of probabilities at a threshold."""
        return figures(Outcomes(self.labels, probabilities, probabilities >= at), self.groups)

    @property
    def probabilities(self) -> NDArray[np.float64]:
        """What the detector said."""
        return np.array([reading.unsupported for reading in self.readings])


def answered(detector: PairDetector, which: Set, most: int, groups_of: Collection[str] = ()) -> Answered:
    """Read rows of a set, or of some of its groups; what cannot be read is left out, as a scorer abstains."""
    rows = [row for row in faithfulness(which) if not groups_of or row["group"] in groups_of]
    groups = sorted({row["group"] for row in rows})
    random.Random(8).shuffle(groups)
    place = {group: number for number, group in enumerate(groups)}
    rows = sorted(rows, key=lambda row: (place[row["group"]], row["id"]))[:most]
    found = detector.read([Case(row["contexts"], row["response"], row.get("question", "")) for row in rows])
    read = [(row, one) for row, one in zip(rows, found, strict=True) if isinstance(one, Reading)]
    kept = [row for row, _ in read]
    return Answered(which, kept, [one for _, one in read], np.array([unfound(row) for row in kept]))


def unfound(row: dict[str, Any]) -> float:
    """Return the share of the response's content words whose stem is nowhere in the contexts."""
    known = {stem for context in row["contexts"] for stem in words(context).stems}
    said = words(row["response"])
    content = [stem for stem, kind in zip(said.stems, said.kinds, strict=True) if kind is not Kind.FUNCTION]
    return sum(stem not in known for stem in content) / max(1, len(content))


def sets(detector: PairDetector, most: int) -> Iterator[Row]:
    """Yield AUROC, and balanced accuracy and false alarms at the threshold, on every set.

    Beside lexical overlap, at a threshold of the sets trained on; of those never seen also at one half.
    """
    found = [answered(detector, which, most) for which in FAITHFULNESS]
    found = [one for one in found if one.rows]
    trained = [one for one in found if one.which.trained]
    if not trained:
        return
    lexical = lexical_threshold([row for one in trained for row in one.rows])
    own = at(detector).probability
    for one in found:
        ours, theirs = one.measured(one.probabilities, own), one.measured(one.overlap, lexical)
        name = one.which.folder.rpartition("/")[2]
        seen = "trained on" if one.which.trained else "never seen"
        for figure, said in OF_SETS:
            yield row_of(
                f"{name}, {seen} (n={len(one.rows)}): {said} {interval(ours[figure])}", ours[figure], theirs[figure]
            )
        if not one.which.trained:
            half = one.measured(one.probabilities, 0.5)
            for figure, said in OF_SETS[1:]:
                what = f"{name}, {seen} (n={len(one.rows)}): {said}, at 0.5 {interval(half[figure])}"
                yield row_of(what, half[figure])
    for one in found:
        if one.which.family == "ragtruth":
            yield from ragtruth(one, own, lexical)


def lexical_threshold(rows: Sequence[dict[str, Any]]) -> float:
    """Return the share of unfound words from which on balanced accuracy is greatest on some rows."""
    overlap, labels = np.array([unfound(row) for row in rows]), np.array([row["label"] != "supported" for row in rows])
    return threshold("cost", float((~labels).sum() / labels.sum()), overlap, labels)


def ragtruth(found: Answered, own: float, lexical: float) -> Iterator[Row]:
    """Yield F1 of responses and of sentences against the spans that people marked, and AUROC by who answered."""
    ours, theirs = found.measured(found.probabilities, own), found.measured(found.overlap, lexical)
    every = found.measured(np.ones(len(found.rows)), 0.5)
    yield row_of(
        f"RAGTruth QA: F1 of responses {interval(ours['f1'])}, beside flagging all",
        ours["f1"],
        every["f1"],
        "all positive",
        Aim("value", "≥", 0.65),
    )
    for figure, what, aim in (
        ("f1", "F1 of responses", None),
        ("precision", "precision", None),
        ("recall", "recall", None),
        ("auroc", "AUROC", None),
        ("ece", "expected calibration error", Aim("value", "≤", 0.05)),
    ):
        beside = None if figure == "ece" else theirs[figure]
        yield row_of(f"RAGTruth QA: {what} {interval(ours[figure])}", ours[figure], beside, aim=aim)
    models = np.array([row.get("segments", {}).get("model", "") for row in found.rows])
    for model in sorted(set(models)):
        chosen = models == model
        part = figures(
            Outcomes(found.labels[chosen], found.probabilities[chosen], found.probabilities[chosen] >= own),
            found.groups[chosen],
        )
        many = f"{int(found.labels[chosen].sum())} of {int(chosen.sum())} unsupported"
        yield row_of(f"RAGTruth QA, {model} ({many}): AUROC {interval(part['auroc'])}", part["auroc"])
    hit, said = [], []
    for row, reading in zip(found.rows, found.readings, strict=True):
        for sentence in reading.sentences:
            hit.append(any(span["start"] < sentence.end and span["end"] > sentence.start for span in row["spans"]))
            said.append(sentence.unsupported >= own)
    yield Row(
        "detectors",
        f"RAGTruth QA: F1 of sentences (n={len(hit)})",
        _f1(hit, said),
        "",
        "all positive",
        _f1(hit, [True] * len(hit)),
    )
    for what, base in (("precision", said), ("recall", hit)):
        both = sum(one and two for one, two in zip(hit, said, strict=True))
        yield Row("detectors", f"RAGTruth QA: {what} of sentences (n={len(hit)})", both / max(1, sum(base)), "")


def wice_tokens(detector: PairDetector, most: int) -> Iterator[Row]:
    """Yield F1 of the words that WiCE's annotators found unsupported."""
    rows = rows_of("faithfulness", "wice_unsupported_tokens")[:most]
    hit: list[bool] = []
    said: list[bool] = []
    for row, reading in zip(
        rows, detector.read([Case([row["context"]], row["response"]) for row in rows]), strict=True
    ):
        if not isinstance(reading, Reading):
            continue
        place = 0
        for token, wrong in zip(row["claim_tokens"], row["non_supported"], strict=True):
            start = row["response"].find(token, place)
            if start < 0:
                continue
            place = start + len(token)
            hit.append(wrong)
            said.append(any(found.start < place and found.end > start for found in reading.tokens))
    if hit:
        yield Row(
            "detectors",
            f"WiCE: F1 of words (n={len(hit)})",
            _f1(hit, said),
            "",
            "all positive",
            _f1(hit, [True] * len(hit)),
        )


def cost(detector: PairDetector, rounds: int) -> Iterator[Row]:
    """Yield verdicts a second on contexts of about 400 tokens that no two responses share."""
    rows = [row for row in rows_of("faithfulness", "ragtruth_qa_test")][:200]
    if not rows:
        return
    cases = [Case([_cut(f"{row['context']} {other['context']}")], row["response"]) for row, other in pairwise(rows)]

    rate = len(cases) / median_seconds(lambda: detector.read(cases), rounds=rounds)
    sizes = [len(words(case.response).keys) for case in cases]
    yield Row(
        "detectors",
        f"faithfulness, contexts of 400 tokens, responses of {np.mean(sizes):.0f} words",
        rate,
        "verdicts/s",
        aim=Aim("value", "≥", 20),
    )


def at(detector: PairDetector) -> Threshold:
    """Return the threshold of the detector's file."""
    (task,) = detector.card.tasks.values()
    return task.threshold


def run(quick: bool, file: Path | None = None, texts: Path | None = None) -> list[Row]:
    """Return all rows of the named detectors, or of the packaged where none is named; none without any."""
    if file is None and texts is None:
        file, texts = packaged("faithfulness"), packaged("texts")
    return [*(pairs(file, quick) if file else ()), *(tables(texts, quick) if texts else ())]


def pairs(path: Path, quick: bool) -> list[Row]:
    """Return the rows of a detector of faithfulness."""
    detector = PairDetector.load(EngineSettings(adapter=str(path)))
    most = 60 if quick else MOST
    fresh = PairDetector.load(EngineSettings(adapter=str(path), cache_bytes=0))
    return [*sets(detector, most), *wice_tokens(detector, most), *cost(fresh, 1 if quick else 5)]


def row_of(
    what: str, ours: Figure, theirs: Figure | None = None, peer: str = "lexical overlap", aim: Aim | None = None
) -> Row:
    """Return a figure beside that of a peer, where there is one."""
    value, other = np.nan if ours.value is None else ours.value, theirs.value if theirs else None
    return Row("detectors", what, value, "", peer if theirs else "", other, value / other if other else None, aim)


def interval(figure: Figure) -> str:
    """Return the limits of a figure, in brackets."""
    return "" if figure.low is None or figure.high is None else f"[{figure.low:.2f}, {figure.high:.2f}]"


def _f1(hit: Sequence[bool], said: Sequence[bool]) -> float:
    both = sum(one and two for one, two in zip(hit, said, strict=True))
    return 2 * both / max(1, sum(hit) + sum(said))


def _cut(text: str) -> str:
    """Return the first words of a text, about 400 tokens."""
    return " ".join(text.split()[:310])


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--quick", action="store_true")
    parser.add_argument("--faithfulness", type=Path, help="a detector's file instead of the packaged ones")
    parser.add_argument("--texts", type=Path, help="the same, of single texts; with either, only what is named is run")
    options = parser.parse_args()
    rows = run(options.quick, options.faithfulness, options.texts)
    print(
        machine(),
        table(rows) if rows else "No detector is packaged; name one with --faithfulness FILE or --texts FILE",
        sep="\n\n",
    )
    sys.exit(0 if rows else 1)


if __name__ == "__main__":
    main()
