"""What is wrong with suites, without running any: their files, their cases and what they compare with."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import NamedTuple

from evalsvc import project
from evalsvc._yaml import Document, raise_problems
from evalsvc.errors import InputError, Problem
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
    """How many suites are right, and what is wrong with the others."""

    right: int
    files: tuple[Path, ...]
    problems: tuple[Problem, ...]


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


def check_suites(files: Sequence[Path], *, here: bool = True) -> CheckedSuites:
    """Read suites, their cases, models and baselines; with ``here``, what their scorers lack on this machine is wrong.

    What a model says is read and never run; without ``here`` only what lies beside the suite.
    """
    problems: list[Problem] = []
    right = 0
    for path in files:
        shown = project.shown(path)
        document = Document.open(path, shown)
        suite = read_suite(document, path.resolve(), here=here)
        found = problems_of(document, suite, shown, installed=here)
        problems += found
        right += not found
    return CheckedSuites(right, tuple(files), tuple(problems))


def load_checked(
    path: Path,
    shown: str,
    *,
    asks: bool = True,
    compares: bool = True,
    before: Callable[[Suite], object] = lambda suite: None,
) -> Suite:
    """Read a suite's file, and all that it names, before any of it is used.

    Args:
        path: of the file.
        shown: the name that mistakes are told under.
        asks: whether its own model is to answer.
        compares: whether its baseline is needed.
        before: called with what the file says, before what it names is read; there may be mistakes in it.

    Raises:
        ConfigError: with every mistake.
    """
    document = Document.open(path, shown)
    suite = read_suite(document, path.resolve(), here=True)
    if suite is not None:
        before(suite)
    raise_problems(problems_of(document, suite, shown, asks=asks, compares=compares))
    if suite is None:
        raise InputError(f"Expected a suite in {shown}, but it could not be read")
    return suite
