"""The command ``fit``: a detector from labelled rows, with a report on rows that were held out."""

from __future__ import annotations

import argparse
import importlib
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from evalsvc._cli_output import Progress, aligned
from evalsvc._paths import shown_path
from evalsvc._plain import harmless, unobeyed, visible
from evalsvc.cli import OK
from evalsvc.detection.shipped import SHIPPED, packaged
from evalsvc.errors import InputError, MissingExtra
from evalsvc.fitting.kept import finished
from evalsvc.fitting.labelled import read_labelled
from evalsvc.fitting.report import TOO_WEAK, figure_rows, final, having, report, rule
from evalsvc.fitting.results import Fit
from evalsvc.fitting.running import beside, detector_path, fit
from evalsvc.fitting.values import Options, Training, reads_pairs, tasks_of

if TYPE_CHECKING:
    from collections.abc import Callable

    from evalsvc.fitting.values import Trainer

    TrainerOf = Callable[[Sequence[str], Training], Trainer]

FALSE_ALARMS = 0.05
TRAINING = "evalsvc.fitting.trainer"


def fit_detector(options: argparse.Namespace) -> int:
    """Fit a detector and print its held-out figures."""
    tasks = tasks_of(options.task)
    asked = _options(options, tasks)
    labelled = read_labelled(options.data, tasks, options.group)
    trainer = _trainer_of()(tasks, Training(options.epochs, options.made, asked.seed, options.device, asked.before))
    far = _HowFar()
    with _if_interrupted(asked, tasks), Progress("fit", "steps", far.measure, far.note):
        made = fit(labelled, asked, trainer, far.tell)
    if options.json:
        print(report(made).decode(), end="")
        return OK
    print(unobeyed("\n\n".join(_told(made))))
    written = Path(made.detector)
    for path in (written, beside(written, "report.html"), beside(written, "report.json")):
        print(f"evalsvc: wrote {harmless(shown_path(path))}", file=sys.stderr)
    return OK


class _HowFar:
    """How far a fit is, for :class:`~evalsvc._cli_output.Progress`."""

    def __init__(self) -> None:
        self._at = (0, 0, "")

    def tell(self, done: int, total: int, note: str) -> None:
        self._at = (done, total, note)

    def measure(self) -> tuple[int, int]:
        return self._at[:2]

    def note(self) -> str:
        return self._at[2]


@contextmanager
def _if_interrupted(asked: Options, tasks: Sequence[str]) -> Iterator[None]:
    """Say what is left of a fit that Ctrl-C ends, and how to go on."""
    try:
        yield
    except KeyboardInterrupt:
        state = beside(detector_path(asked.out, tasks), "state")
        have = finished(state)
        said = "stopped before the first fold was finished; the same command goes on from its last checkpoint, if any"
        if have:
            done = f"stopped after {have} of {asked.folds} folds"
            said = f"{done}, kept in {shown_path(state)}; the same command goes on from there"
        print(f"evalsvc: {harmless(said)}", file=sys.stderr)
        raise


def _options(options: argparse.Namespace, tasks: Sequence[str]) -> Options:
    if not 0.0 <= options.hold_out <= 0.5:
        raise InputError(f"Expected --hold-out in (0, 0.5], such as 0.2, but got {options.hold_out:g}")
    if options.false_alarms is not None and not 0.0 <= options.false_alarms < 1.0:
        raise InputError(f"Expected --false-alarms in [0, 1), such as 0.01, but got {options.false_alarms:g}")
    if options.miss_costs is not None and not 0.0 < options.miss_costs < float("inf"):
        raise InputError(f"Expected --miss-costs above 0, such as 5, but got {options.miss_costs:g}")
    before = _start(options.before, tasks) if options.before else None
    costs = options.miss_costs is not None
    alarms = FALSE_ALARMS if options.false_alarms is None else options.false_alarms
    return Options(
        out=Path(options.out),
        folds=options.folds,
        hold_out=options.hold_out,
        seed=options.seed,
        rule="cost" if costs else "false_alarms",
        value=options.miss_costs if costs else alarms,
        restart=options.restart,
        before=before,
    )


def _start(given: str, tasks: Sequence[str]) -> Path:
    """Return the detector that ``--from`` names."""
    before = packaged("faithfulness" if reads_pairs(tasks) else "texts") if given == SHIPPED else Path(given)
    if before is None:
        raise InputError(f"No detector of {', '.join(tasks)} comes with evalsvc; name a file after --from")
    if not before.is_file():
        raise InputError(f"There is no detector {shown_path(Path(given))} to start from; check --from")
    return before


def _trainer_of() -> TrainerOf:
    """Return what makes a trainer; torch is loaded here."""
    try:
        made: TrainerOf = importlib.import_module(TRAINING).trainer
    except ModuleNotFoundError as error:
        raise MissingExtra(error.name or "torch", "torch") from error
    return made


def _told(made: Fit) -> list[str]:
    parts = []
    for name, task in made.tasks.items():
        parted = f"{made.folds} folds of" if made.folds else "held out from the detector that was written, of"
        head = f"{name}: {task.found:,} of {task.rows:,} rows {having(name)}; {parted} {task.groups:,} groups"
        parts += [f"{head}\n{rule(task)}", aligned(figure_rows(task)), *([said] if (said := final(task)) else [])]
        if task.suspected:
            labels = "label" if task.suspected == 1 else "labels"
            said = f"The detector disagrees with {task.suspected:,} {labels}"
            parts.append(f"{said}; look at them in the report before you correct any")
        elif not task.doubts_labels:
            parts.append(f"{TOO_WEAK}.")
    notes = [f"{'Warning: ' if note.warning else ''}{visible(note.text)}." for note in made.notes]
    return [*parts, "\n".join(notes)] if notes else parts
