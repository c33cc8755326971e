"""Reading and checking the files of a project: every mistake of every file at once, and nothing is run."""

from __future__ import annotations

import json
import os
import re
from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import suppress
from functools import partial
from pathlib import Path
from typing import NamedTuple

from evalsvc import scorers
from evalsvc._paths import shown_path
from evalsvc._yaml import Document
from evalsvc.errors import ConfigError, EvalsvcError, Problem
from evalsvc.notify import Labels, Routes, labels_of_rules, read_routes
from evalsvc.project.consumer import read_consumer
from evalsvc.project.settings import find_root, read_settings
from evalsvc.project.values import ConsumerConfig, ScorerConfig
from evalsvc.protocols import Scorer
from evalsvc.rules.reading import read_rules
from evalsvc.rules.reading_tests import read_tests, rules_named, what_is_tested
from evalsvc.rules.reading_values import Measured, Paid
from evalsvc.rules.rule_tests import RuleTest
from evalsvc.rules.values import RuleGroup
from evalsvc.types import Scale

YAML = (".yaml", ".yml")
RULES = (".rules.yaml", ".rules.yml")
ROUTES = ("routes.yaml", "routes.yml")
TESTS = (".test.yaml", ".test.yml")
SUITES = (".suite.yaml", ".rubric.yaml", ".rubric.yml")
"""Of suites and rubrics, which are read by what is above."""

Scales = Callable[[str], Scale | None]
Configured = Mapping[str, Sequence[ScorerConfig]]
"""A project's scorers by what they measure, in all of its consumers."""


class Suite(NamedTuple):
    """A file of tests, the groups of rules that it tests, and what tells a metric's scale, if it is known."""

    path: Path
    tests: tuple[RuleTest, ...]
    groups: tuple[RuleGroup, ...]
    scale_of: Scales


class Checked(NamedTuple):
    """What was looked at, what it says where it is right, and what is wrong with it."""

    files: tuple[Path, ...]
    consumers: tuple[ConsumerConfig, ...]
    problems: tuple[Problem, ...]
    rules: tuple[RuleGroup, ...] = ()
    routes: Routes | None = None
    suites: tuple[Suite, ...] = ()


def check(paths: Sequence[Path] = (), *, here: bool = True) -> Checked:
    """Check files and folders; by default the current project. Runs nothing and connects to nothing.

    With ``here``, what scorers and receivers lack on this machine is wrong too: packages, a model's folder, a key.
    Without, only what stands in the files counts, as for a machine that is not to run them.

    A project's root stands for its settings and its folders. Files of ``alerts`` and ``dashboards`` that other tools
    read are parsed and no more.

    Raises:
        ConfigError: when a path does not exist.
    """
    asked = paths or [find_root(Path.cwd())]
    found = [_check_path(path.resolve()) for path in asked if _exists(path)]
    consumers = [path for each in found for path in each.consumers]
    others = list(dict.fromkeys(path for each in found for path in each.others))
    rules = [path for path in others if path.name.endswith(RULES)]
    tests = [path for path in others if path.name.endswith(TESTS)]
    read = read_consumers(dict.fromkeys(consumers), None, here=here)
    ruled, tested = read_rule_files(rules), read_test_files(tests)
    routed = [
        read_routes_file(path, here=here, rules=_labels_beside(path, rules, ruled))
        for path in others
        if path.name.endswith(ROUTES)
    ]
    own = (*RULES, *TESTS, *ROUTES)
    wrong = (problem for path in others if not path.name.endswith(own) for problem in _check_other(path))
    problems = {problem for each in (read, ruled, tested, *routed) for problem in each.problems} | {*wrong}
    routes = next((each.routes for each in routed), None)
    files = (*others, *read.files)
    return Checked(files, read.consumers, tuple(sorted(problems)), ruled.rules, routes, tested.suites)


def read_routes_file(path: Path, *, here: bool = False, rules: Sequence[Labels] | None = None) -> Checked:
    """Read a file of routes. With ``here`` it is wrong, too, that a variable which it names is not set.

    With ``rules``, the labels of each rule's alerts, so is a route that none of them can come to.
    """
    document = Document.open(path, shown_path(path))
    routes = read_routes(document, os.environ if here else None, rules)
    return Checked((path,), (), document.finish(), routes=routes)


def _labels_beside(routes: Path, files: Sequence[Path], ruled: Checked) -> Sequence[Labels] | None:
    """Return the labels of the rules of the project that routes lie in; None where they are not read, or not right."""
    own = {shown_path(path) for path in files if root_of(path) == root_of(routes)}
    if not own or any(problem.path in own for problem in ruled.problems):
        return None
    return labels_of_rules([group for group in ruled.rules if group.path in own])


def read_rule_files(files: Sequence[Path], measured: dict[Path, Measured] | None = None) -> Checked:
    """Read files of rules; each belongs to the project that it lies in, whose consumers say what is measured.

    ``measured`` keeps that by the project's root, for several calls.
    """
    groups: list[RuleGroup] = []
    problems: list[Problem] = []
    measured = {} if measured is None else measured
    taken: dict[Path, dict[str, str]] = defaultdict(dict)
    for path in files:
        root = root_of(path)
        document = Document.open(path, shown_path(path))
        groups += read_rules(document, shown_path(path), _measured(root, measured), taken[root])
        problems += document.finish()
    return Checked(tuple(files), (), tuple(problems), tuple(groups))


def read_test_files(files: Sequence[Path]) -> Checked:
    """Read files of tests, and the files of rules that they name, whose problems count as well.

    Rules that are not said are those of the same name, in the same folder.
    """
    problems: list[Problem] = []
    suites: list[Suite] = []
    measured: dict[Path, Measured] = {}
    for path in files:
        own = _measured(root_of(path), measured)
        document = Document.open(path, shown_path(path))
        rules = _rules_of(document, path)
        ruled = read_rule_files([rules] if rules else [], measured)
        groups = None if rules is None else ruled.rules
        tests = read_tests(document, shown_path(path), what_is_tested(groups, own, right=not ruled.problems))
        problems += [*ruled.problems, *document.finish()]
        suites.append(Suite(path, tests, ruled.rules, own.scale_of))
    return Checked(tuple(files), (), tuple(problems), suites=tuple(suites))


def _rules_of(document: Document, path: Path) -> Path | None:
    """Return the file of rules that is tested; report where it is not there."""
    value = rules_named(document)
    stem = path.name.removesuffix(path.suffix).removesuffix(".test")
    name = value.text(what="a file of rules") if value else f"{stem}.rules{path.suffix}"
    found = path.parent / name
    if document.root is None or found.is_file():
        return None if document.root is None else found
    hint = "name it as in `rules: support.rules.yaml`, from this file's folder"
    if name:
        (value or document.root.value).problem(f"the rules to test, {shown_path(found)}, are not there", hint)
    return None


def _measured(root: Path, measured: dict[Path, Measured]) -> Measured:
    """Return what a project measures, and keep it. One without consumers may measure whatever scorers there are."""
    if root not in measured:
        settings, _ = read_settings(root, "")
        known: dict[str, list[ScorerConfig]] = defaultdict(list)
        read = read_consumers(consumer_files(root / settings.consumers), root)
        for consumer in read.consumers:
            for scorer in consumer.scorers:
                known[scorer.metric].append(scorer)
        # What a wrong file was to measure is not known: its mistake is not told again for each rule.
        metrics = tuple(known) if known and not read.problems else tuple({*known, *scorers.names()})
        measured[root] = Measured(metrics, partial(_scale_of, known), partial(_paid_of, known))
    return measured[root]


def measured_in(root: Path) -> tuple[str, ...]:
    """Return the metrics that rules of a project can be about; without consumers, all that there are."""
    return tuple(_measured(root.resolve(), {}).metrics)


def _built(configured: Configured, metric: str) -> list[Scorer]:
    """Return a metric's scorers, those of them that can be built here."""
    found = []
    for one in configured.get(metric) or [ScorerConfig(name=metric)]:
        with suppress(EvalsvcError):
            found.append(scorers.create(one.name, one.options))
    return found


def _scale_of(configured: Configured, metric: str) -> Scale | None:
    """Return a metric's scale, None where its scorer cannot be built here."""
    return next((scorer.spec.scale for scorer in _built(configured, metric)), None)


def _paid_of(configured: Configured, metric: str) -> Paid | None:
    """Return what a metric's scores say of money; None where a scorer of somebody else's may say it, too."""
    found: set[Paid | None] = set()
    for scorer in _built(configured, metric):
        priced = getattr(scorer, "priced", None)
        if isinstance(priced, bool):
            found.add("known" if priced else "unpriced")
        else:
            found.add("no judge" if type(scorer).__module__.startswith("evalsvc.") else None)
    if not found or None in found:
        return None
    return "known" if "known" in found else "unpriced" if "unpriced" in found else "no judge"


def read_consumers(files: Iterable[Path], root: Path | None, *, here: bool = False) -> Checked:
    """Read consumers' files; each belongs to ``root``, or to the project that it lies in."""
    consumers: list[ConsumerConfig] = []
    problems: list[Problem] = []
    read = tuple(files)
    for path in read:
        document = Document.open(path, shown_path(path))
        consumer = read_consumer(document, path, root or root_of(path), here=here)
        if consumer is not None:
            _check_unique(document, consumer, consumers)
            consumers.append(consumer)
        problems += document.finish()
    return Checked(read, tuple(consumers), tuple(problems))


def consumer_files(folder: Path) -> list[Path]:
    """Return the YAML files of a folder, in order; none where there is no folder."""
    return sorted(path for path in folder.iterdir() if path.suffix in YAML) if folder.is_dir() else []


def rule_files(folder: Path) -> list[Path]:
    """Return the files of rules in a folder, by name."""
    return sorted(path for path in folder.glob("*") if path.name.endswith(RULES)) if folder.is_dir() else []


def test_files(path: Path) -> list[Path]:
    """Return a file of tests, or those in a folder, by name."""
    if path.is_file():
        return [path]
    return sorted(each for each in path.rglob("*") if each.name.endswith(TESTS))


def root_of(path: Path) -> Path:
    """Return the root of a file's project; without a pyproject.toml, what holds its ``consumers`` folder."""
    folder = path.resolve().parent
    root = find_root(folder)
    if root == folder and folder.name == "consumers":
        return folder.parent
    return root


class _Found(NamedTuple):
    consumers: list[Path]
    others: list[Path]


def _exists(path: Path) -> bool:
    if not path.exists():
        raise ConfigError(f"Expected a file or a folder to check, but {path} is not there")
    return True


def _check_path(path: Path) -> _Found:
    """Return a path's files: consumers', and all others."""
    root = root_of(path / "any") if path.is_dir() else root_of(path)
    settings, _ = read_settings(root, "")
    foreign = [root / settings.alerts, root / settings.dashboards]
    if path.is_file():
        other = path.suffix in (".json", ".toml") or path.name.endswith((*RULES, *TESTS, *ROUTES))
        other = other or any(path.is_relative_to(folder) for folder in foreign)
        return _Found([], [path]) if other else _Found([path], [])
    if any(path.is_relative_to(folder) for folder in foreign):
        return _Found([], _foreign_files(path))
    if path != root:
        return _by_name(path)
    own = [root / "pyproject.toml"] if (root / "pyproject.toml").is_file() else []
    folder = root / settings.consumers
    files = [file for each in foreign for file in _foreign_files(each)]
    found = _Found(consumer_files(folder), []) if folder.is_dir() else _by_name(root)
    return _Found(found.consumers, [*own, *files, *found.others])


def _by_name(folder: Path) -> _Found:
    """Return what lies in a folder that is no project's own: consumers, but for what is named as something else."""
    files = consumer_files(folder)
    others = [path for path in files if path.name.endswith((*RULES, *TESTS, *ROUTES))]
    return _Found([path for path in files if path not in others and not path.name.endswith(SUITES)], others)


def _foreign_files(folder: Path) -> list[Path]:
    return sorted(path for path in folder.rglob("*") if path.suffix in (*YAML, ".json") and path.is_file())


def _check_other(path: Path) -> Sequence[Problem]:
    if path.suffix == ".toml":
        return read_settings(path.parent, shown_path(path))[1]
    if path.suffix in YAML:
        return [*Document.open(path, shown_path(path), syntax_only=True).finish(), *_misnamed(path)]
    try:
        json.loads(path.read_bytes())
    except json.JSONDecodeError as error:
        return [Problem(shown_path(path), error.lineno, error.colno, f"is not JSON: {error.msg}")]
    except UnicodeDecodeError:
        return [Problem(shown_path(path), 1, 1, "expected UTF-8, but got other bytes", "save the file as UTF-8")]
    except (OSError, RecursionError) as error:
        return [Problem(shown_path(path), 1, 1, f"cannot be read: {error}")]
    return ()


def _misnamed(path: Path) -> Sequence[Problem]:
    """Return that a file holds rules which nobody reads; Prometheus' have an `expr` where ours have a `metric`."""
    try:
        text = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError):
        return ()
    keys = set(re.findall(r"^ *(?:- +)?(groups|alert|metric|expr):", text, re.MULTILINE))
    if keys != {"groups", "alert", "metric"}:
        return ()
    name = f"{path.stem.removesuffix('.rule')}{RULES[0]}"
    return [Problem(shown_path(path), 1, 1, "holds alert rules, and is not read as such", f"name it {name}")]


def _check_unique(document: Document, consumer: ConsumerConfig, others: Sequence[ConsumerConfig]) -> None:
    """Two consumers of one name would share a group, a ledger and their scores."""
    for other in others:
        if other.name == consumer.name and other.path.parent == consumer.path.parent and document.root:
            document.root.key_problem(
                "consumer", f"the consumer `{consumer.name}` is there twice", f"first in {shown_path(other.path)}"
            )
