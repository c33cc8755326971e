"""A fit from rows to a detector's file: cross-validation, calibration and threshold on held-out rows, last training."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from functools import cached_property
from pathlib import Path

import numpy as np

from evalsvc import __version__
from evalsvc._durable import write_whole
from evalsvc._run_locks import exclusive
from evalsvc.detection import adapter
from evalsvc.errors import EngineError, InputError
from evalsvc.fitting.finishing import Ending, Finished, require_finite, with_final, with_start
from evalsvc.fitting.folds import Grouped, folds, grouped, stratum
from evalsvc.fitting.kept import Kept, make_folder, told_if_not_written
from evalsvc.fitting.report import page, report
from evalsvc.fitting.results import Fit, Held, result, sources
from evalsvc.fitting.starting import OUTSIDE, Start, placed, start_of
from evalsvc.fitting.values import Array, Codes, Labelled, Options, Row, Told, Trained, Trainer, Truths

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
    if not 0.0 <= options.hold_out <= 0.5:
        raise InputError(f"Expected a share of at most 0.5 to hold out, such as 0.2, but got {options.hold_out:g}")
    if options.folds < 2:
        raise InputError(f"Expected 2 folds or more, but got {options.folds}")
    found, start = grouped(labelled), start_of(options.before)
    known = start.known(labelled.rows, found.codes) if start else np.zeros(len(labelled.rows), bool)
    places = placed(labelled, found, options, known)
    notes = start.notes(known) if start else []
    state = beside(detector_path(options.out, labelled.tasks), "state")
    ending = Ending(labelled, options, trainer, start, found, {}, notes)
    make_folder(options.out)
    doing = "fits a detector of the same name into the same folder"
    with told_if_not_written(options.out, state), exclusive(state, "fit", doing):
        return _fitted(ending, places, told)


def _fitted(ending: Ending, places: Codes, told: Told) -> Fit:
    labelled, options = ending.labelled, ending.options
    path = detector_path(options.out, labelled.tasks)
    key = _key(labelled, options, ending.trainer)
    kept = Kept(beside(path, "state"), key, restart=options.restart, version=_next_version(path, ending.start))
    running = _Running(ending, kept, places, told)
    held = _held(labelled, running.held_out(), ending.found, places)
    results = {name: result(own, options, _sources(labelled, task)) for task, (name, own) in enumerate(held.items())}
    if ending.start and (started := running.started()) is not None:
        results = with_start(results, held, ending.start, started, options)
    finished = running.final
    require_finite(finished)
    ending = ending._replace(results=with_final(results, held, finished, options)).with_made(finished.trained.made)
    detector = ending.detector(finished.trained, kept.version)
    content = adapter.encoded(detector)
    made = ending.fit(str(path), detector.card, content)
    # The detector last: with it the fit is done, and one that starts from what it replaces could not be gone on with.
    write_whole(beside(path, "report.json"), report(made))
    write_whole(beside(path, "report.html"), page(made).encode())
    write_whole(path, content)
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

    def __init__(self, ending: Ending, kept: Kept, places: Codes, told: Told) -> None:
        self._rows, self._tasks = ending.labelled.rows, ending.labelled.tasks
        self._options, self._trainer, self._kept, self._told = ending.options, ending.trainer, kept, told
        self._codes, self._places = ending.found.codes, places
        out = [] if self._options.hold_out else [int((places == fold).sum()) for fold in range(self._options.folds)]
        self._sizes = len(places) - np.array([*out, 0])
        self._steps: dict[int, int] = {}

    def held_out(self) -> Array:
        """Return each row's logits by a detector that saw no row of its fold; NaN of those outside of all folds."""
        made = np.full((len(self._rows), len(self._tasks)), np.nan)
        if self._options.hold_out:
            require_finite(self.final)
            here = self._places >= 0
            made[here] = self.final.trained.logits(self._chosen(here))
            return made
        for fold in range(self._options.folds):
            here = self._places == fold
            shape = (int(here.sum()), len(self._tasks))
            logits = self._kept.logits(fold, shape)
            if logits is None:
                trained, _ = self._train(~here, fold, f"fold-{fold}")
                logits = np.asarray(trained.logits(self._chosen(here)), np.float64)
                if logits.shape != shape or not np.isfinite(logits).all():
                    raise EngineError(
                        f"The training of fold {fold + 1} ended with logits that are no numbers; try another --seed, "
                        "with --restart"
                    )
                self._kept.keep(fold, logits)
            made[here] = logits
        return made

    def started(self) -> Array | None:
        """Return each row's logits by the detector that training starts from, if any; NaN of those in no fold."""
        trained = self._trainer.start()
        if trained is None:
            return None
        here = self._places >= 0
        made = np.full((len(self._rows), len(self._tasks)), np.nan)
        made[here] = trained.logits(self._chosen(here))
        return made

    @cached_property
    def final(self) -> Finished:
        """The detector itself, trained on all rows but those watched for early stopping or held out from all."""
        every = self._places < 0 if self._options.hold_out else np.ones(len(self._rows), bool)
        trained, watched = self._train(every, len(self._sizes) - 1, "final")
        looked = self._chosen(watched if watched.any() else every)
        return Finished(trained, watched, np.asarray(trained.logits(looked), np.float64))

    def _train(self, chosen: Truths, part: int, name: str) -> tuple[Trained, Truths]:
        """Train on chosen rows but those watched for early stopping, and return these too."""
        said = f"fold {part + 1} of {self._options.folds}" if part < len(self._sizes) - 1 else "final"

        def report(done: int, total: int, note: str) -> None:
            # The last training has more rows than those of the folds; what is over took what it took.
            self._steps[part] = total
            left = int((total * self._sizes[part + 1 :] / self._sizes[part]).sum())
            over = sum(steps for place, steps in self._steps.items() if place < part)
            self._told(over + done, over + total + left, f"{said}, {note}" if note else said)

        watched = self._watched(chosen, self._options.seed + part)
        rows = self._chosen(chosen & ~watched)
        return self._trainer.train(rows, self._chosen(watched), self._kept.checkpoints(name), report), watched

    def _watched(self, chosen: Truths, seed: int) -> Truths:
        """Return a tenth of the rows that are in folds, by groups; none where the rest would lack a class."""
        made = np.zeros(len(chosen), bool)
        places = np.flatnonzero(chosen & (self._places != OUTSIDE))
        names, codes = np.unique(self._codes[places], return_inverse=True)
        if len(names) < _LEAST_GROUPS:
            return made
        strata = [stratum(self._rows[place]) for place in places.tolist()]
        made[places[folds(codes, strata, min(WATCHED, len(names)), seed) == 0]] = True
        left = [row.found for row in self._chosen(chosen & ~made)]
        enough = all({True, False} <= set(truths) for truths in zip(*left, strict=True))
        return made if enough else np.zeros(len(chosen), bool)

    def _chosen(self, chosen: Truths) -> list[Row]:
        return [self._rows[place] for place in np.flatnonzero(chosen).tolist()]


def _held(labelled: Labelled, logits: Array, found: Grouped, placed: Codes) -> dict[str, Held]:
    made = {}
    for task, name in enumerate(labelled.tasks):
        chosen = placed >= 0
        places = np.flatnonzero(chosen & np.array([row.found[task] is not None for row in labelled.rows]))
        rows = [labelled.rows[place] for place in places.tolist()]
        labels = np.array([bool(row.found[task]) for row in rows])
        made[name] = Held(rows, logits[places, task], labels, found.codes[places], placed[places], places)
    return made


def _sources(labelled: Labelled, task: int) -> list[adapter.Source]:
    """Return where all rows come from that are learnt from, those too that are in no figure."""
    rows = [row for row in labelled.rows if row.found[task] is not None]
    return sources(rows, np.array([bool(row.found[task]) for row in rows]))


def _key(labelled: Labelled, options: Options, trainer: Trainer) -> dict[str, str]:
    before = hashlib.sha256(options.before.read_bytes()).hexdigest() if options.before else ""
    return {
        "rows": labelled.digest,
        "tasks": ",".join(labelled.tasks),
        "groups": labelled.field,
        "folds": f"hold out {options.hold_out!r}" if options.hold_out else str(options.folds),
        "seed": str(options.seed),
        "training options": f"{trainer.signature}|{trainer.trunk_revision}|{before}",
        "release": f"{__version__}, format {adapter.FORMAT}",
    }


def _next_version(path: Path, start: Start | None) -> int:
    """Return one more than the version of what is replaced or of what training starts from, whichever is higher."""
    found = [adapter.read(path)] if path.exists() else []
    return 1 + max((one.card.version for one in (*found, *((start.found,) if start else ()))), default=0)
