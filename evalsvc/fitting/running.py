"""A fit from rows to a detector's file: cross-validation, calibration and threshold on held-out rows, last training."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np

from evalsvc import __version__
from evalsvc._run_locks import exclusive
from evalsvc.detection import adapter
from evalsvc.errors import EngineError, InputError
from evalsvc.fitting.folds import Grouped, folds, grouped, outer, stratum
from evalsvc.fitting.kept import Kept, make_folder, told_if_not_written, write_whole
from evalsvc.fitting.report import page, report
from evalsvc.fitting.results import Fit, Held, TaskResult, result, warnings
from evalsvc.fitting.values import Array, Codes, Labelled, Options, Row, Told, Trained, Trainer, Truths, reads_pairs

WATCHED = 10
"""One of so many parts of the rows is watched for early stopping."""

_LEAST_GROUPS = 3


def fit(labelled: Labelled, options: Options, trainer: Trainer, told: Told = lambda done, total, note: None) -> Fit:
    """Fit a detector and write it with its report: ``TASK.safetensors``, ``TASK.report.json`` and ``TASK.report.html``.

    What is finished of an interrupted fit is kept in the folder ``TASK.state`` and not done again.

    Args:
        labelled: rows of :func:`~evalsvc.fitting.labelled.read_labelled`.
        options: where to, and how.
        trainer: what trains.
        told: is told how far it is.

    Raises:
        InputError: too few groups, a state of another fit, or a disk that takes nothing.
        EngineError: a file that would be replaced is no detector, or a logit is no number.
    """
    if options.folds < 2:
        raise InputError(f"Expected 2 folds or more, but got {options.folds}")
    found = grouped(labelled)
    placed = outer(labelled, found, options.folds, options.seed)
    state = beside(detector_path(options.out, labelled.tasks), "state")
    make_folder(options.out)
    doing = "fits a detector of the same name into the same folder"
    with told_if_not_written(options.out, state), exclusive(state, "fit", doing):
        return _fitted(labelled, options, trainer, found, placed, told)


def _fitted(labelled: Labelled, options: Options, trainer: Trainer, found: Grouped, placed: Codes, told: Told) -> Fit:
    path = detector_path(options.out, labelled.tasks)
    version = _next_version(path, options.before)
    kept = Kept(beside(path, "state"), _key(labelled, options, trainer), restart=options.restart)
    running = _Running(labelled, options, trainer, kept, found, told)
    results = _results(labelled, options, running.held_out(placed), found, placed)
    trained = running.train(np.ones(len(labelled.rows), bool), options.folds, "final")
    card = _card(labelled, options, trainer, results, version)
    adapter.write(path, adapter.Adapter(card, trained.tensors))
    made = _made(labelled, options, trainer, found, results, card)
    write_whole(beside(path, "report.json"), report(made))
    write_whole(beside(path, "report.html"), page(made).encode())
    kept.remove()
    return made


def detector_path(out: Path, tasks: Sequence[str]) -> Path:
    """Return where a detector of tasks is written.

    >>> detector_path(Path("fitted"), ("toxicity", "refusal")).name
    'toxicity-refusal.safetensors'
    """
    return out / f"{'-'.join(tasks)}.safetensors"


def beside(detector: Path, ending: str) -> Path:
    """Return where something else of a detector's fit is written: its ``report.html``, ``report.json`` or ``state``.

    >>> beside(Path("fitted/toxicity-refusal.safetensors"), "report.html").name
    'toxicity-refusal.report.html'
    """
    return detector.with_suffix(f".{ending}")


class _Running:
    """Trains parts of the rows, and tells how far all of it is."""

    def __init__(
        self, labelled: Labelled, options: Options, trainer: Trainer, kept: Kept, found: Grouped, told: Told
    ) -> None:
        self._rows, self._tasks = labelled.rows, labelled.tasks
        self._options, self._trainer, self._kept, self._told = options, trainer, kept, told
        self._codes = found.codes

    def held_out(self, placed: Codes) -> Array:
        """Return each row's logits by a detector that saw no row of its fold."""
        made = np.empty((len(self._rows), len(self._tasks)))
        for fold in range(self._options.folds):
            here = placed == fold
            shape = (int(here.sum()), len(self._tasks))
            logits = self._kept.logits(fold, shape)
            if logits is None:
                trained = self.train(~here, fold, f"fold-{fold}")
                logits = np.asarray(trained.logits(self._chosen(here)), np.float64)
                if logits.shape != shape or not np.isfinite(logits).all():
                    raise EngineError(
                        f"The training of fold {fold + 1} ended with logits that are no numbers; give a lower learning "
                        "rate or another --seed"
                    )
                self._kept.keep(fold, logits)
            made[here] = logits
        return made

    def train(self, chosen: Truths, part: int, name: str) -> Trained:
        """Train on chosen rows but those watched for early stopping."""
        parts = self._options.folds + 1
        said = "final" if part == self._options.folds else f"fold {part + 1} of {self._options.folds}"

        def report(done: int, total: int, note: str) -> None:
            self._told(part * total + done, parts * total, f"{said}, {note}" if note else said)

        watched = self._watched(chosen, self._options.seed + part)
        rows = self._chosen(chosen & ~watched)
        return self._trainer.train(rows, self._chosen(watched), self._kept.checkpoints(name), report)

    def _watched(self, chosen: Truths, seed: int) -> Truths:
        """Return a tenth of the rows, by groups; none where the rest would lack a class."""
        made = np.zeros(len(chosen), bool)
        places = np.flatnonzero(chosen)
        names, codes = np.unique(self._codes[places], return_inverse=True)
        if len(names) < _LEAST_GROUPS:
            return made
        rows = self._chosen(chosen)
        parts = folds(codes, [stratum(row) for row in rows], min(WATCHED, len(names)), seed)
        left = [row.found for row, part in zip(rows, parts.tolist(), strict=True) if part]
        if all({True, False} <= set(truths) for truths in zip(*left, strict=True)):
            made[places[parts == 0]] = True
        return made

    def _chosen(self, chosen: Truths) -> list[Row]:
        return [self._rows[place] for place in np.flatnonzero(chosen).tolist()]


def _results(
    labelled: Labelled, options: Options, logits: Array, found: Grouped, placed: Codes
) -> dict[str, TaskResult]:
    made = {}
    for task, name in enumerate(labelled.tasks):
        places = [place for place, row in enumerate(labelled.rows) if row.found[task] is not None]
        rows = [labelled.rows[place] for place in places]
        labels = np.array([bool(row.found[task]) for row in rows])
        made[name] = result(Held(rows, logits[places, task], labels, found.codes[places], placed[places]), options)
    return made


def _key(labelled: Labelled, options: Options, trainer: Trainer) -> dict[str, str]:
    before = hashlib.sha256(options.before.read_bytes()).hexdigest() if options.before else ""
    return {
        "rows": labelled.digest,
        "tasks": ",".join(labelled.tasks),
        "groups": labelled.field,
        "folds": str(options.folds),
        "seed": str(options.seed),
        "training options": f"{trainer.signature}|{trainer.trunk_revision}|{before}",
        "release": __version__,
    }


def _next_version(path: Path, before: Path | None) -> int:
    """Return one more than the version of what is replaced, or else of what training starts from."""
    found = [one for one in (path if path.exists() else None, before) if one is not None]
    return 1 + max((adapter.read(one).card.version for one in found), default=0)


def _card(
    labelled: Labelled, options: Options, trainer: Trainer, results: Mapping[str, TaskResult], version: int
) -> adapter.Card:
    return adapter.Card(
        reads="pairs" if reads_pairs(labelled.tasks) else "texts",
        version=version,
        trunk=trainer.trunk,
        trunk_revision=trainer.trunk_revision,
        window=tuple(trainer.window),
        tasks={name: adapter.Task(made.calibration, made.threshold, made.sources) for name, made in results.items()},
        data=labelled.digest,
        seed=options.seed,
    )


def _made(
    labelled: Labelled,
    options: Options,
    trainer: Trainer,
    found: Grouped,
    results: Mapping[str, TaskResult],
    card: adapter.Card,
) -> Fit:
    path = detector_path(options.out, labelled.tasks)
    return Fit(
        detector=str(path),
        revision=hashlib.sha256(path.read_bytes()).hexdigest(),
        version=card.version,
        trunk=card.trunk,
        trunk_revision=card.trunk_revision,
        rows=len(labelled.rows),
        groups=found.total,
        field=labelled.field,
        folds=options.folds,
        seed=options.seed,
        data=card.data,
        training=trainer.signature,
        tasks=results,
        notes=[
            *(note for name, made in results.items() for note in warnings(name, made)),
            *found.notes,
            *labelled.notes,
        ],
    )
