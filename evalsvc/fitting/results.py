"""What a fit gives: the held-out figures of each task, the cases to look at, and what it was made from."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from itertools import islice

import msgspec
import numpy as np

from evalsvc.detection.adapter import Before, Calibration, Source, Threshold, calibrated
from evalsvc.fitting.deciding import doubts_labels, platt, suspects, threshold
from evalsvc.fitting.measuring import (
    Bin,
    Curve,
    Figure,
    Outcomes,
    figures,
    precision_recall,
    reliability,
    roc,
)
from evalsvc.fitting.values import Array, Codes, Note, Options, Row, Truths

LEAST_ROWS, MOST_VALUES = 20, 20
"""A source or a segment's value with fewer rows has no figures; of a segment so many values have, the largest."""

SHOWN, MOST_SUSPECTS, LONGEST = 10, 100, 500
PART_RESAMPLES = 200
FEW_GROUPS, MANY_SUSPECTS, POOR_CALIBRATION = 20, 0.05, 0.05


class Part(msgspec.Struct, frozen=True):
    """The figures of some rows."""

    rows: int
    found: int
    figures: Mapping[str, Figure]


class Shown(msgspec.Struct, frozen=True):
    """A row to look at, its texts cut to 500 characters, with its label and held-out probability."""

    id: str
    place: str
    label: str
    probability: float
    text: str
    contexts: str = ""
    source: str = ""


class Final(msgspec.Struct, frozen=True):
    """The detector itself on the rows that its training watched.

    ``held_out`` is the folds' AUROC of the same rows, ``change`` by how much the detector's is above it.
    """

    rows: int
    auroc: float | None
    held_out: float | None
    change: Figure


class Beside(msgspec.Struct, frozen=True):
    """The detector that training started from, on the same held-out rows, by its own calibration and threshold.

    ``change`` is by how much the AUROC of the figures is above its.
    """

    figures: Mapping[str, Figure]
    change: Figure


class TaskResult(msgspec.Struct, frozen=True, kw_only=True):
    """What is known of one task from rows that were held out.

    Attributes:
        rows, found, groups: how many rows were labelled for it, with what is looked for, and of how many groups.
        calibration, threshold: of the detector, from all held-out rows.
        figures: with 95 % intervals. A row's probability and whether it was found are by the calibration and threshold
            of the other folds, so that no figure is of what it was tuned on.
        roc, precision_recall, reliability: what is drawn.
        by_source, by_segment: the same figures of parts.
        misses, false_alarms: the rows that are furthest from their labels.
        doubts_labels: whether the detector is good enough to doubt labels.
        suspects: rows whose label it disagrees with, the surest 100, where it is good enough; ``suspected`` of all.
        sources: of all rows that are learnt from.
        final: of the detector that is written; None where no rows could be spared to watch.
        start: of the detector that training started from; None where that was the trunk.
    """

    rows: int
    found: int
    groups: int
    calibration: Calibration
    threshold: Threshold
    figures: Mapping[str, Figure]
    roc: Curve
    precision_recall: Curve
    reliability: Sequence[Bin]
    by_source: Mapping[str, Part]
    by_segment: Mapping[str, Mapping[str, Part]]
    misses: Sequence[Shown]
    false_alarms: Sequence[Shown]
    doubts_labels: bool
    suspects: Sequence[Shown]
    suspected: int
    sources: Sequence[Source]
    final: Final | None = None
    start: Beside | None = None


class Fit(msgspec.Struct, frozen=True, kw_only=True):
    """A detector that was fitted, and what is known of it."""

    detector: str
    revision: str
    version: int
    trunk: str
    trunk_revision: str
    rows: int
    groups: int
    field: str
    folds: int
    """How many detectors the figures are of; 0 where they are of the one that was written, of rows held out from it."""
    seed: int
    data: str
    training: str
    before: Before | None
    tasks: Mapping[str, TaskResult]
    notes: Sequence[Note]

    @property
    def reads_pairs(self) -> bool:
        """Whether it reads contexts and a response."""
        return "faithfulness" in self.tasks


class Held(msgspec.Struct, frozen=True):
    """Held-out rows of one task, and their places among all rows."""

    rows: Sequence[Row]
    logits: Array
    labels: Truths
    groups: Codes
    folds: Codes
    places: Codes

    @property
    def weights(self) -> Array:
        """Of the rows."""
        return np.array([row.weight for row in self.rows])

    @property
    def threshold_weights(self) -> Array:
        """Of the rows, where the threshold is fixed."""
        return np.array([row.threshold_weight for row in self.rows])


def result(held: Held, options: Options, learnt: Sequence[Source]) -> TaskResult:
    """Return what held-out logits say of a task, with where all that is learnt from comes from."""
    outcomes, weights = cross_fitted(held, options), held.weights
    calibration = platt(held.logits, held.labels, held.groups, weights)
    at = threshold(
        options.rule, options.value, calibrated(calibration, held.logits), held.labels, held.threshold_weights
    )
    measured = figures(outcomes, held.groups, weights, seed=options.seed)
    doubts = doubts_labels(measured["auroc"].low or 0.0, _centred(held))
    doubtful = suspects(outcomes.probabilities, held.labels) if doubts else np.empty(0, np.int64)
    off = np.where(held.labels, 1.0 - outcomes.probabilities, outcomes.probabilities)
    worst = np.argsort(-off, kind="stable")

    def shown(places: Codes) -> list[Shown]:
        return [_shown(held, outcomes, place) for place in places.tolist()]

    return TaskResult(
        rows=len(held.rows),
        found=int(held.labels.sum()),
        groups=len(np.unique(held.groups)),
        calibration=calibration,
        threshold=Threshold(at, options.rule, options.value),
        figures=measured,
        roc=roc(outcomes, weights),
        precision_recall=precision_recall(outcomes, weights),
        reliability=reliability(outcomes, weights),
        by_source=_parts(held, outcomes, [row.source for row in held.rows]),
        by_segment={
            name: found
            for name in sorted({name for row in held.rows for name in row.segments})
            if (found := _parts(held, outcomes, [row.segments.get(name, "") for row in held.rows]))
        },
        misses=shown(worst[held.labels[worst] & ~outcomes.found[worst]][:SHOWN]),
        false_alarms=shown(worst[~held.labels[worst] & outcomes.found[worst]][:SHOWN]),
        doubts_labels=doubts,
        suspects=shown(doubtful[:MOST_SUSPECTS]),
        suspected=len(doubtful),
        sources=learnt,
    )


def cross_fitted(held: Held, options: Options) -> Outcomes:
    """Return the rows with the probability and the decision that the other folds' calibration and threshold give."""
    probabilities, found = np.empty(len(held.rows)), np.empty(len(held.rows), bool)
    for fold in np.unique(held.folds):
        here, others = held.folds == fold, held.folds != fold
        logits, labels, weights = held.logits[others], held.labels[others], held.weights[others]
        made = platt(logits, labels, held.groups[others], weights)
        counted = held.threshold_weights[others]
        limit = threshold(options.rule, options.value, calibrated(made, logits), labels, counted)
        probabilities[here] = calibrated(made, held.logits[here])
        found[here] = probabilities[here] >= limit
    return Outcomes(held.labels, probabilities, found)


def sources(rows: Sequence[Row], labels: Truths) -> list[Source]:
    """Return what rows come from, with licences, the largest first."""
    counts, found = Counter(row.source for row in rows), Counter[str]()
    licences: dict[str, dict[str, None]] = {}
    for row, label in zip(rows, labels.tolist(), strict=True):
        found[row.source] += bool(label)
        if row.licence:
            licences.setdefault(row.source, {})[row.licence] = None
    return [Source(name, ", ".join(licences.get(name, ())), count, found[name]) for name, count in counts.most_common()]


def warnings(task: str, made: TaskResult) -> list[Note]:
    """Return what should be known before the detector is used."""
    notes = []
    auroc, error, recall = (made.figures[name] for name in ("auroc", "ece", "recall"))
    if auroc.value is not None and (auroc.low if auroc.low is not None else auroc.value) <= 0.5:
        notes.append(f"{task}: by its AUROC of {auroc.value:.3f} it may be no better than chance; look at the labels")
    if not recall.value:
        notes.append(f"{task}: nothing is found at its threshold; allow more false alarms, or label more rows")
    alarms, asked = made.figures["false_alarms"], made.threshold
    if asked.rule == "false_alarms" and alarms.value is not None and (alarms.low or 0.0) > asked.value:
        notes.append(
            f"{task}: you asked for at most {100 * asked.value:.3g} % false alarms; on held-out rows it was "
            f"{_percent(alarms)}: label more groups, or ask for more --folds or a greater --hold-out, before you rely "
            "on this threshold"
        )
    if error.low is not None and error.low > POOR_CALIBRATION:
        notes.append(f"{task}: its probabilities are off by {error.value:.2f} on average; do not read them as shares")
    if made.start and made.start.change.low is not None and made.start.change.low <= 0.0:
        before = made.start.figures["auroc"].value or 0.0
        notes.append(
            f"{task}: it does not surely rank held-out rows better than the detector that it started from (AUROC "
            f"{before:.3f}; change {_signed(made.start.change)}); compare their figures before you replace that one"
        )
    if made.groups < FEW_GROUPS:
        notes.append(f"{task}: there are {made.groups} groups only, so that all intervals are too narrow")
    if made.suspected > MANY_SUSPECTS * made.rows:
        share = made.suspected / made.rows
        labels = "label" if made.suspected == 1 else "labels"
        said = f"the detector disagrees with {made.suspected:,} {labels} ({share:.0%})"
        notes.append(f"{task}: {said}; look at them before you correct any")
    final = made.final
    if final is not None and _worse(final, auroc.low):
        notes.append(
            f"{task}: the detector that was written tells its {final.rows:,} watched rows apart with an AUROC of "
            f"{final.auroc:.3f} only; the folds' detectors have {final.held_out:.3f} of these, and at least "
            f"{auroc.low:.3f} of all. Its training may have gone wrong; try another --seed"
        )
    return [Note(text, warning=True) for text in notes]


def _worse(final: Final, low: float | None) -> bool:
    """Return whether the detector is below what the folds led to expect, and surely so on the very rows."""
    if final.auroc is None or low is None or final.change.high is None:
        return False
    return final.auroc < low and final.change.high < 0.0


def _centred(held: Held) -> Array:
    """Return logits less their fold's mean: folds whose trainings differ would be two heaps by themselves."""
    _, codes = np.unique(held.folds, return_inverse=True)
    means = np.bincount(codes, held.logits) / np.bincount(codes)
    made: Array = held.logits - means[codes]
    return made


def _signed(found: Figure) -> str:
    value, low, high = (f"{end or 0.0:+.3f}" for end in (found.value, found.low, found.high))
    return f"{value} ({low} to {high})"


def _percent(found: Figure) -> str:
    value, low, high = (f"{100 * (end or 0.0):.3g}" for end in (found.value, found.low, found.high))
    return f"{value} % ({low} to {high})"


def _parts(held: Held, outcomes: Outcomes, names: Sequence[str]) -> dict[str, Part]:
    counts = Counter(name for name in names if name)
    large = ((name, count) for name, count in counts.most_common() if count >= LEAST_ROWS)
    made = {}
    for name, count in islice(large, MOST_VALUES):
        chosen = np.array([one == name for one in names])
        made[name] = Part(
            count,
            int(held.labels[chosen].sum()),
            figures(outcomes.part(chosen), held.groups[chosen], held.weights[chosen], resamples=PART_RESAMPLES),
        )
    return made


def _shown(held: Held, outcomes: Outcomes, place: int) -> Shown:
    row, found = held.rows[place], bool(held.labels[place])
    label = row.label or ("found" if found else "not found")
    contexts = cut("\n".join(row.contexts))
    probability = float(outcomes.probabilities[place])
    return Shown(row.id, row.place, label, probability, cut(row.text), contexts, row.source)


def cut(text: str) -> str:
    """Return a text of at most 500 characters."""
    return text if len(text) <= LONGEST else f"{text[: LONGEST - 1]}…"
