"""What is wrong with suites, without running any: their files, their cases and what they compare with."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import NamedTuple

from evalsvc import project
from evalsvc._yaml import Document
from evalsvc.errors import ConfigError, EvalsvcError, Problem
from evalsvc.gate.baselines import read_baseline
from evalsvc.gate.fitting import check_fit
from evalsvc.gate.reading import read_suite
from evalsvc.gate.suite import Suite
from evalsvc.gate.suite_files import SUFFIX, find_suites


class Split(NamedTuple):
    """Paths to check: of suites, and of everything else; ``rest`` is None where only suites were asked for."""

    suites: tuple[Path, ...]
    rest: tuple[Path, ...] | None


class CheckedSuites(NamedTuple):
    """How many suites are right, and what is wrong with the others."""

    right: int
    files: tuple[Path, ...]
    problems: tuple[Problem, ...]


def split(paths: Sequence[Path]) -> Split:
    """Return which of the paths are suites; without any, the project's suites and the project."""
    if not paths:
        root = project.find_root(Path.cwd())
        return Split(tuple(_below(root)), ())
    suites: list[Path] = []
    rest: list[Path] = []
    for path in paths:
        root = project.find_root(path.resolve())
        folder = root / _folder(root)
        if path.name.endswith(SUFFIX):
            suites.append(path)
        elif path.is_dir() and path.resolve().is_relative_to(folder) and folder.is_dir():
            suites += find_suites([path])
        else:
            rest.append(path)
            suites += _below(root) if path.is_dir() and path.resolve() == root else []
    return Split(tuple(dict.fromkeys(suites)), tuple(rest) or None)


def _below(root: Path) -> list[Path]:
    folder = root / _folder(root)
    return find_suites([folder]) if folder.is_dir() else []


def _folder(root: Path) -> str:
    try:
        return project.load_settings(root).settings.suites
    except ConfigError:
        # Told by the check of the settings.
        return "suites"


def check_suites(files: Sequence[Path], *, here: bool = True) -> CheckedSuites:
    """Read suites, their cases and their baselines; with ``here``, what their scorers lack on this machine is wrong."""
    problems: list[Problem] = []
    right = 0
    for path in files:
        shown = project.shown(path)
        document = Document.open(path, shown)
        suite = read_suite(document, path.resolve(), here=here)
        found = list(document.finish())
        if suite is not None and not found:
            found = _beyond_the_file(document, suite, shown)
        problems += found
        right += not found
    return CheckedSuites(right, tuple(files), tuple(problems))


def _beyond_the_file(document: Document, suite: Suite, shown: str) -> list[Problem]:
    def read_cases() -> None:
        check_fit(suite.gates, suite.cases.read().cases, suite.path, shown)

    checks: list[tuple[str, Callable[[], object]]] = [("cases", read_cases)]
    if suite.compares:
        checks.append(("baseline", lambda: read_baseline(suite.folder, suite.baseline, shown)))
    problems: list[Problem] = []
    for key, check in checks:
        value = document.root.get(key) if document.root is not None else None
        line, column = (value.node.start_mark.line + 1, value.node.start_mark.column + 1) if value else (1, 1)
        try:
            check()
        except ConfigError as error:
            if error.problems:
                problems += error.problems
            else:
                problems.append(Problem(shown, line, column, str(error)))
        except EvalsvcError as error:
            problems.append(Problem(shown, line, column, str(error)))
    return problems
