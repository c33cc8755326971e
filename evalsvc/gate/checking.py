"""What is wrong with suites, without running any: their files, their cases and what they compare with."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import NamedTuple

import msgspec

from evalsvc import project
from evalsvc._paths import shown_path
from evalsvc._yaml import Document, raise_problems
from evalsvc.errors import InputError, Problem
from evalsvc.gate.baselines import FOLDER, Taken, is_here, is_pinned, pointer_path
from evalsvc.gate.beyond import problems_of
from evalsvc.gate.reading import read_suite
from evalsvc.gate.suite import Suite
from evalsvc.gate.suite_files import SUFFIX

RUBRICS = (".rubric.yaml", ".rubric.yml")


class Split(NamedTuple):
    """Paths to check: of suites, of rubrics, and of everything else.

    ``rest`` is None where only suites and rubrics were asked for.
    """

    suites: tuple[Path, ...]
    rubrics: tuple[Path, ...]
    rest: tuple[Path, ...] | None


class CheckedSuites(NamedTuple):
    """How many suites are right, what is wrong with the others, and what could not be looked at."""

    right: int
    files: tuple[Path, ...]
    problems: tuple[Problem, ...]
    notes: tuple[str, ...] = ()


def split(paths: Sequence[Path]) -> Split:
    """Return which of the paths are suites and rubrics; without any, the current project's, and the project.

    A folder that is no project's own is looked through for both, and read for other files where it has none.
    """
    found: list[_Found] = []
    rest: list[Path] = []
    for path in paths or [project.find_root(Path.cwd())]:
        if path.is_dir():
            inner = _in_folder(path, deep=bool(paths))
            found.append(inner)
            rest += [path] if inner.others else []
        elif path.name.endswith((SUFFIX, *RUBRICS)):
            found.append(_sorted([path]))
        else:
            rest.append(path)
    suites = dict.fromkeys(path for each in found for path in each.suites)
    rubrics = dict.fromkeys(path for each in found for path in each.rubrics)
    return Split(tuple(suites), tuple(rubrics), (tuple(rest) or None) if paths else ())


class _Found(NamedTuple):
    """Suites and rubrics, and whether there may be other files to check."""

    suites: list[Path]
    rubrics: list[Path]
    others: bool = True


def _in_folder(path: Path, *, deep: bool) -> _Found:
    resolved = path.resolve()
    root = project.find_root(resolved)
    settings, _ = project.read_settings(root, "")
    suites = root / settings.suites
    if resolved == root and (suites.is_dir() or project.has_settings(root)):
        return _sorted(suites.rglob("*"))
    found = _sorted(path.rglob("*") if deep else path.glob("*"))
    own = [root / folder for folder in (settings.consumers, settings.alerts, settings.dashboards)]
    others = any(folder.is_dir() and _one_in_other(folder, resolved) for folder in own)
    return found._replace(others=others or not (found.suites or found.rubrics or resolved.is_relative_to(suites)))


def _one_in_other(folder: Path, other: Path) -> bool:
    return folder.is_relative_to(other) or other.is_relative_to(folder)


def _sorted(paths: Iterable[Path]) -> _Found:
    files = sorted(paths)
    suites, rubrics = ([path for path in files if path.name.endswith(names)] for names in (SUFFIX, RUBRICS))
    return _Found(suites, rubrics)


def check_suites(
    files: Sequence[Path], *, here: bool = True, stored: Callable[[Path], bool] = lambda file: False
) -> CheckedSuites:
    """Read suites, their cases, models and baselines; what a model says is read and never run.

    Args:
        files: of the suites.
        here: whether it is wrong what scorers lack on this machine; without, only what lies beside the suite is.
        stored: whether there is a store which may have the baseline of a suite's file. No store is asked: a baseline
            that is not here is then a note and no mistake, and so is one that is pinned here, as stores have it.
    """
    problems: list[Problem] = []
    notes: list[str] = []
    right = 0
    for path in files:
        shown = project.shown(path)
        document = Document.open(path, shown)
        suite = read_suite(document, path.resolve(), here=here)
        note = _elsewhere(suite, path, shown, stored) if suite is not None else ""
        notes += [note] if note else []
        found = problems_of(document, suite, shown, installed=here, compares=not note)
        problems += found
        right += not found
    return CheckedSuites(right, tuple(files), tuple(problems), tuple(notes))


def _elsewhere(suite: Suite, path: Path, shown: str, stored: Callable[[Path], bool]) -> str:
    """Return what to say of a baseline that only a store may have; empty where its files are here, or are to be."""
    name = suite.baseline
    if not name or not suite.compares or is_here(suite.folder, name):
        return ""
    pinned = is_pinned(suite.folder, name)
    if not pinned and (pointer_path(suite.folder, name).is_file() or not stored(path)):
        return ""
    where = shown_path(suite.folder / FOLDER)
    what = f"only its pointer is in {where}" if pinned else f"it is not in {where}"
    restore = "restore its file from git, or " if pinned else ""
    return (
        f"{shown}: the baseline {name!r} was not looked at, since {what} and a check asks no store; evalsvc gate takes "
        f"it from there, and so does evalsvc baseline fetch {shown} --name {name}. Where no store has it, "
        f"{restore}evalsvc baseline promote {shown} --name {name} --because TEXT"
    )


def load_checked(
    path: Path,
    shown: str,
    *,
    asks: bool = True,
    compares: bool = True,
    before: Callable[[Suite], Taken | None] = lambda suite: None,
) -> Suite:
    """Read a suite's file, and all that it names, before any of it is used.

    Args:
        path: of the file.
        shown: the name that mistakes are told under.
        asks: whether its own model is to answer.
        compares: whether its baseline is needed.
        before: called with what the file says, before what it names is read; there may be mistakes in it. Returns its
            baseline, where a store gave it and no file could be written.

    Raises:
        ConfigError: with every mistake.
    """
    document = Document.open(path, shown)
    suite = read_suite(document, path.resolve(), here=True)
    if suite is not None:
        suite = msgspec.structs.replace(suite, taken=before(suite))
    raise_problems(problems_of(document, suite, shown, asks=asks, compares=compares))
    if suite is None:
        raise InputError(f"Expected a suite in {shown}, but it could not be read")
    return suite
