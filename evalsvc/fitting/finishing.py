"""The end of a fit: whether the detector itself is sound, its card, and what is reported of it."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from typing import NamedTuple

import msgspec
import numpy as np

from evalsvc.detection import adapter
from evalsvc.errors import EngineError
from evalsvc.fitting.folds import Grouped
from evalsvc.fitting.measuring import Outcomes, auroc, auroc_change, figures
from evalsvc.fitting.results import Beside, Final, Fit, Held, TaskResult, cross_fitted, sources, warnings
from evalsvc.fitting.starting import Start, seen_by
from evalsvc.fitting.values import Array, Labelled, Note, Options, Row, Trained, Trainer, Truths, reads_pairs

MADE = "made from the rows' contexts"


class Finished(NamedTuple):
    """What the last training made.

    ``watched`` are the rows that it did not learn from, and ``logits`` are of these; of all rows where there are none.
    """

    trained: Trained
    watched: Truths
    logits: Array


def require_finite(finished: Finished) -> None:
    """Refuse a detector of numbers that are none, or are none in the 16 bits of its file.

    Raises:
        EngineError: before anything is written.
    """
    wrong = [name for name, tensor in finished.trained.tensors.items() if not bool(tensor.half().isfinite().all())]
    what = f"weights ({wrong[0]})" if wrong else "" if np.isfinite(finished.logits).all() else "logits"
    if what:
        raise EngineError(
            f"The last training, of the detector itself, ended with {what} that are no numbers, so that nothing was "
            "written; try another --seed, with --restart"
        )


def with_start(
    results: Mapping[str, TaskResult], held: Mapping[str, Held], start: Start, logits: Array, options: Options
) -> dict[str, TaskResult]:
    """Return results with what the detector that training started from says of the same rows.

    Args:
        results: of the folds, or of what was held out.
        held: their rows, by task.
        start: where training started.
        logits: of all rows, ``[rows, tasks]``, by that.
        options: of the fit.
    """
    made = {}
    for task, (name, found) in enumerate(results.items()):
        own, decided = held[name], start.found.card.tasks[name]
        probabilities = adapter.calibrated(decided.calibration, logits[own.places, task])
        outcomes = Outcomes(own.labels, probabilities, probabilities >= decided.threshold.probability)
        ours = cross_fitted(own, options).probabilities
        beside = Beside(
            figures(outcomes, own.groups, own.weights, seed=options.seed),
            auroc_change(own.labels, ours, probabilities, own.groups, own.weights),
        )
        made[name] = msgspec.structs.replace(found, start=beside)
    return made


def with_final(
    results: Mapping[str, TaskResult], held: Mapping[str, Held], finished: Finished, options: Options
) -> dict[str, TaskResult]:
    """Return results with what the detector itself says of the rows that its training watched."""
    made = {}
    for task, (name, found) in enumerate(results.items()):
        own = held[name]
        chosen = finished.watched[own.places]
        final = None
        if chosen.any():
            # Of the same rows by the folds' detectors: watched rows are few, and may be easy ones or hard ones.
            logits = np.full(len(finished.watched), np.nan)
            logits[finished.watched] = finished.logits[:, task]
            labels, weights = own.labels[chosen], own.weights[chosen]
            own_logits, folds = logits[own.places][chosen], cross_fitted(own, options).probabilities[chosen]
            final = Final(
                int(chosen.sum()),
                auroc(labels, own_logits, weights),
                auroc(labels, folds, weights),
                auroc_change(labels, own_logits, folds, own.groups[chosen], weights),
            )
        made[name] = msgspec.structs.replace(found, final=final)
    return made


class Ending(NamedTuple):
    """All that a card and a report are made of."""

    labelled: Labelled
    options: Options
    trainer: Trainer
    start: Start | None
    found: Grouped
    results: Mapping[str, TaskResult]
    notes: Sequence[Note]

    def with_made(self, rows: Sequence[Row]) -> Ending:
        """Return it with the rows that were made among the sources."""
        if not rows:
            return self
        results = {}
        for place, (name, result) in enumerate(self.results.items()):
            (own,) = sources(rows, np.array([bool(row.found[place]) for row in rows]))
            # They are made of the texts of the others, under whose licences they are.
            licences = ", ".join(dict.fromkeys(source.licence for source in result.sources if source.licence))
            named = adapter.Source(MADE, licences, own.rows, own.found)
            results[name] = msgspec.structs.replace(result, sources=[*result.sources, named])
        return self._replace(results=results)

    def detector(self, trained: Trained, version: int) -> adapter.Adapter:
        """Return what goes into the file."""
        card = adapter.Card(
            reads="pairs" if reads_pairs(self.labelled.tasks) else "texts",
            version=version,
            trunk=self.trainer.trunk,
            trunk_revision=self.trainer.trunk_revision,
            window=tuple(self.trainer.window),
            tasks={
                name: adapter.Task(made.calibration, made.threshold, made.sources)
                for name, made in self.results.items()
            },
            data=self.labelled.digest,
            seed=self.options.seed,
            format=adapter.FORMAT,
            layers=self.trainer.layers,
            training=self.trainer.signature,
            before=self.start.before if self.start else None,
        )
        return adapter.Adapter(card, trained.tensors, seen=seen_by(self.labelled.rows, self.start))

    def fit(self, path: str, card: adapter.Card, content: bytes) -> Fit:
        """Return what is reported of the detector whose file has a content."""
        return Fit(
            detector=path,
            revision=hashlib.sha256(content).hexdigest(),
            version=card.version,
            trunk=card.trunk,
            trunk_revision=card.trunk_revision,
            rows=len(self.labelled.rows),
            groups=self.found.total,
            field=self.labelled.field,
            folds=0 if self.options.hold_out else self.options.folds,
            seed=self.options.seed,
            data=card.data,
            training=card.training,
            before=card.before,
            tasks=self.results,
            notes=[
                *(note for name, made in self.results.items() for note in warnings(name, made)),
                *self.notes,
                *self.found.notes,
                *self.labelled.notes,
            ],
        )
