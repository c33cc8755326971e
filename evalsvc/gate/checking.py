"""What is wrong with suites, without running any: their files, their cases and what they compare with."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import NamedTuple

from evalsvc import project
from evalsvc._yaml import Document
from evalsvc.errors import ConfigError, EvalsvcError, Problem
from evalsvc.gate.baselines import read_baseline
from evalsvc.gate.fitting import check_fit
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
