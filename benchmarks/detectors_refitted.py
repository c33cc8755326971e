"""Faithfulness on families of sets that were left out of the fit, and on one half of RAGTruth fitted on the other.

Run: ``python benchmarks/detectors_refitted.py [FAMILY …]``; without names, all families that are trained on, then
``ragtruth``. Each family costs a training, some ten minutes on a core. What is left out is measured with a calibration
and a threshold from held-out groups of what is left in. Intervals are of 95 %, by a bootstrap over groups.
"""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from _detector_rows import FAITHFULNESS, FALSE_ALARMS, MADE, faithfulness, trained_on
from _harness import Aim, Row, machine, table
from detectors import Answered, answered, at, interval, lexical_threshold, row_of
from evalsvc.detection import adapter
from evalsvc.detection.pairs import PairDetector
from evalsvc.detection.shipped import packaged
from evalsvc.engine import EngineSettings
from evalsvc.fitting.deciding import platt, threshold
from evalsvc.fitting.folds import folds, grouped, stratum
from evalsvc.fitting.labelled import read_labelled
from evalsvc.fitting.running import fit
from evalsvc.fitting.trainer import DetectorTrainer
from evalsvc.fitting.values import Labelled, Options, Training

TASKS = ("faithfulness",)
FAMILIES = tuple(dict.fromkeys(which.family for which in FAITHFULNESS if which.trained))
HELD = 6
"""One of so many parts of the groups fixes calibration and threshold, and when training stops."""
MOST = 400
MISS_COSTS = 2.0
"""In false alarms, of what is fitted on RAGTruth: about where F1 is greatest, when probabilities are calibrated."""


def without(family: str, folder: Path) -> Iterator[Row]:
    """Yield balanced accuracy and AUROC of a family's sets by a detector that saw none of them."""
    detector = _trained(_labelled(trained_on(family), folder), folder)
    lexical = lexical_threshold(list(trained_on(family)))
    for which in FAITHFULNESS:
        if which.family == family and which.trained:
            yield from _beside(answered(detector, which, MOST), at(detector).probability, lexical)


def _beside(found: Answered, own: float, lexical: float) -> Iterator[Row]:
    name = found.which.folder.rpartition("/")[2]
    ours, theirs = found.measured(found.probabilities, own), found.measured(found.overlap, lexical)
    for figure, said in (("balanced_accuracy", "balanced accuracy"), ("auroc", "AUROC")):
        what = f"{name}, fitted without {found.which.family} (n={len(found.rows)}): {said} {interval(ours[figure])}"
        yield row_of(what, ours[figure], theirs[figure])


def _trained(labelled: Labelled, folder: Path) -> PairDetector:
    trainer = DetectorTrainer(TASKS, Training(epochs=1, made=MADE))
    codes = grouped(labelled).codes
    held = folds(codes, [stratum(row) for row in labelled.rows], HELD, 0) == 0
    rows, aside = ([labelled.rows[place] for place in np.flatnonzero(part).tolist()] for part in (~held, held))
    trained = trainer.train(rows, aside, folder, _told)
    logits, labels = trained.logits(aside)[:, 0], np.array([bool(row.found[0]) for row in aside])
    calibration = platt(logits, labels, codes[held])
    probabilities = np.array([adapter.calibrated(calibration, logit) for logit in logits.tolist()])
    at_most = threshold("false_alarms", FALSE_ALARMS, probabilities, labels)
    card = adapter.Card(
        reads="pairs",
        version=1,
        trunk=trainer.trunk,
        trunk_revision=trainer.trunk_revision,
        window=tuple(trainer.window),
        tasks={TASKS[0]: adapter.Task(calibration, adapter.Threshold(at_most, "false_alarms", FALSE_ALARMS), [])},
        data=labelled.digest,
        seed=0,
        format=adapter.FORMAT,
    )
    file = folder / "trained.safetensors"
    file.write_bytes(adapter.encoded(adapter.Adapter(card, trained.tensors)))
    return PairDetector.load(EngineSettings(adapter=str(file)))


def halves(folder: Path) -> Iterator[Row]:
    """Yield F1 and AUROC of RAGTruth's answers, each half by a detector that goes on from ours on the other half."""
    (which,) = (one for one in FAITHFULNESS if one.family == "ragtruth")
    start, rows = packaged("faithfulness"), list(faithfulness(which))
    if start is None or not rows:
        return
    groups = sorted({row["group"] for row in rows})
    parts: list[Answered] = []
    said: list[NDArray[np.float64]] = []
    for half in (0, 1):
        inside, out = set(groups[half::2]), folder / f"half-{half}"
        out.mkdir()
        labelled = _labelled((row for row in rows if row["group"] in inside), out)
        trainer = DetectorTrainer(TASKS, Training(before=start))
        made = fit(labelled, Options(out, folds=2, rule="cost", value=MISS_COSTS, before=start), trainer, _told)
        detector = PairDetector.load(EngineSettings(adapter=made.detector))
        parts.append(answered(detector, which, len(rows), frozenset(groups) - inside))
        said.append(parts[-1].probabilities - at(detector).probability)
    whole = Answered(
        which,
        [row for part in parts for row in part.rows],
        [one for part in parts for one in part.readings],
        np.concatenate([part.overlap for part in parts]),
    )
    figures = whole.measured(np.concatenate(said), 0.0)
    for figure, what, aim in (("f1", "F1 at the threshold", Aim("value", "≥", 0.70)), ("auroc", "AUROC", None)):
        name = f"RAGTruth QA, each half fitted on the other (n={len(whole.rows)}): {what} {interval(figures[figure])}"
        yield row_of(name, figures[figure], aim=aim)


def _labelled(rows: Iterator[Mapping[str, Any]], folder: Path) -> Labelled:
    file = folder / "rows.jsonl"
    file.write_text("".join(f"{json.dumps(row)}\n" for row in rows), encoding="utf-8")
    return read_labelled([file], TASKS)


def _told(done: int, total: int, note: str) -> None:
    print(f"\r{done:,} of {total:,} tokens, {note}   ", end="", file=sys.stderr, flush=True)


def run(quick: bool, families: Sequence[str] = ()) -> list[Row]:
    """Return all rows, or of quick runs those of the smallest family alone."""
    rows: list[Row] = []
    for family in families or (("dialogue",) if quick else (*FAMILIES, "ragtruth")):
        with tempfile.TemporaryDirectory() as folder:
            rows += halves(Path(folder)) if family == "ragtruth" else without(family, Path(folder))
    return rows


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    known = (*FAMILIES, "ragtruth")
    parser.add_argument("families", nargs="*", metavar="FAMILY", help=f"of {', '.join(known)}; all without")
    families = parser.parse_args().families
    if unknown := set(families) - set(known):
        parser.error(f"no family {', '.join(sorted(unknown))}; there are {', '.join(known)}")
    print(machine(), table(run(quick=False, families=families)), sep="\n\n")


if __name__ == "__main__":
    main()
