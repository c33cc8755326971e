"""Faithfulness on families of sets, each by a detector that was fitted without it, and on RAGTruth, fitted by halves.

Run: ``python benchmarks/detectors_refitted.py [--quick] [FAMILY …]``; without names, all families that are trained on
and ``ragtruth``. What is left out is judged by a detector of every second row of what is left in, fitted for one epoch
and not three as the shipped one is (which would be half an hour a family), with a calibration and a threshold from
groups held out of these rows. Of RAGTruth each half of the groups is judged by the shipped detector, fitted further on
the other half: ``evalsvc fit faithfulness --from shipped --folds 2 --epochs 3 --miss-costs 2``. Either takes some five
minutes on two cores. Intervals are of 95 %, by a bootstrap over groups.
"""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from _detector_rows import FAITHFULNESS, FALSE_ALARMS, MADE, faithfulness, trained_on
from _harness import Aim, Row, machine, table
from detectors import Answered, answered, at, interval, lexical_threshold, row_of
from evalsvc.detection.pairs import PairDetector
from evalsvc.detection.shipped import packaged
from evalsvc.engine import EngineSettings
from evalsvc.fitting.labelled import read_labelled
from evalsvc.fitting.running import fit
from evalsvc.fitting.trainer import DetectorTrainer
from evalsvc.fitting.values import Labelled, Options, Training

TASKS = ("faithfulness",)
FAMILIES = tuple(dict.fromkeys(which.family for which in FAITHFULNESS if which.trained))
HELD_OUT = 0.2
"""The share of the groups left in that calibration and threshold are fixed by."""
EVERY = 2
"""Of the rows left in every so many is fitted to."""
HALVED = "ragtruth"
HALVED_EPOCHS = 3
"""How often each row of a half is seen."""
MISS_COSTS = 2.0
"""What a missed answer costs in false alarms where RAGTruth is halved: one in five of its answers has a fault."""
KNOWN = (*FAMILIES, HALVED)
MOST = 400
FEW, FEW_HALVED = 300, 80
"""How many rows a quick run fits to, of families and of RAGTruth."""


def without(family: str, folder: Path, *, quick: bool) -> Iterator[Row]:
    """Yield balanced accuracy and AUROC of a family's sets by a detector that saw none of them."""
    rows = list(trained_on(family))
    if not rows:
        return
    rows = rows[:: max(1, len(rows) // FEW) if quick else EVERY]
    detector = _trained(_labelled(rows, folder), folder, FEW if quick else MADE // EVERY)
    lexical = lexical_threshold(rows)
    for which in FAITHFULNESS:
        if which.family == family and which.trained:
            yield from _beside(answered(detector, which, FEW if quick else MOST), at(detector).probability, lexical)


def _beside(found: Answered, own: float, lexical: float) -> Iterator[Row]:
    name = found.which.folder.rpartition("/")[2]
    ours, theirs = found.measured(found.probabilities, own), found.measured(found.overlap, lexical)
    for figure, said in (("balanced_accuracy", "balanced accuracy"), ("auroc", "AUROC")):
        what = f"{name}, fitted without {found.which.family} (n={len(found.rows)}): {said} {interval(ours[figure])}"
        yield row_of(what, ours[figure], theirs[figure])


def halves(folder: Path, *, quick: bool) -> Iterator[Row]:
    """Yield figures of RAGTruth's answers, each half by the shipped detector fitted further on the other."""
    (which,) = (one for one in FAITHFULNESS if one.family == HALVED)
    rows, before = list(faithfulness(which)), packaged("faithfulness")
    if not rows or before is None:
        return
    rows = rows[:: len(rows) // FEW_HALVED] if quick else rows
    trainer = DetectorTrainer(TASKS, Training(epochs=1 if quick else HALVED_EPOCHS, before=before))
    options = Options(folder, before=before, folds=2, rule="cost", value=MISS_COSTS)
    fitted = fit(_labelled(rows, folder), options, trainer, _told)
    figures = fitted.tasks["faithfulness"].figures
    for figure, said, aim in (
        ("f1", "F1 of responses", Aim("value", "≥", 0.70)),
        ("precision", "precision", None),
        ("recall", "recall", None),
        ("auroc", "AUROC", None),
        ("ece", "expected calibration error", Aim("value", "≤", 0.05)),
    ):
        what = f"RAGTruth QA, each half fitted on the other (n={len(rows)}): {said} {interval(figures[figure])}"
        yield row_of(what, figures[figure], aim=aim)


def _trained(labelled: Labelled, folder: Path, made: int) -> PairDetector:
    trainer = DetectorTrainer(TASKS, Training(epochs=1, made=made))
    fitted = fit(labelled, Options(folder, value=FALSE_ALARMS, hold_out=HELD_OUT), trainer, _told)
    return PairDetector.load(EngineSettings(adapter=fitted.detector))


def _labelled(rows: Sequence[Mapping[str, Any]], folder: Path) -> Labelled:
    file = folder / "rows.jsonl"
    file.write_text("".join(f"{json.dumps(row)}\n" for row in rows), encoding="utf-8")
    return read_labelled([file], TASKS)


def _told(done: int, total: int, note: str) -> None:
    print(f"\r{done:,} of {total:,} tokens, {note}   ", end="", file=sys.stderr, flush=True)


def run(quick: bool, families: Sequence[str] = KNOWN) -> list[Row]:
    """Return all rows; a quick run fits to a few rows, and its figures mean nothing."""
    rows: list[Row] = []
    for family in families:
        with tempfile.TemporaryDirectory() as folder:
            if family == HALVED:
                rows += halves(Path(folder), quick=quick)
            else:
                rows += without(family, Path(folder), quick=quick)
    return [replace(row, benchmark="detectors_refitted") for row in rows]


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("families", nargs="*", metavar="FAMILY", help=f"of {', '.join(KNOWN)}; all without")
    parser.add_argument("--quick", action="store_true", help="a few rows, only to see that it runs")
    options = parser.parse_args()
    if unknown := set(options.families) - set(KNOWN):
        parser.error(f"no family {', '.join(sorted(unknown))}; there are {', '.join(KNOWN)}")
    print(machine(), table(run(options.quick, options.families or KNOWN)), sep="\n\n")


if __name__ == "__main__":
    main()
