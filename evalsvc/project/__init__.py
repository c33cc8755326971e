"""The operator's project: the folders that evalsvc reads, checked as a whole before anything runs.

A folder is a project whether or not it has a pyproject.toml; ``[tool.evalsvc]`` there renames folders and
names the store. Every mistake of every file is reported at once, as ``file:line:col: message (hint)``.
"""

from __future__ import annotations

from pathlib import Path
from typing import NamedTuple

from evalsvc._paths import shown_path as shown
from evalsvc._yaml import raise_problems
from evalsvc.errors import ConfigError
from evalsvc.notify import Routes
from evalsvc.project.anchors import read_cases
from evalsvc.project.checking import (
    ROUTES,
    Checked,
    check,
    consumer_files,
    measured_in,
    read_consumers,
    read_routes_file,
    read_rule_files,
    read_test_files,
    root_of,
    rule_files,
    test_files,
)
from evalsvc.project.settings import Environment, find_root, has_settings, host_and_port, read_settings
from evalsvc.project.source import field_hint, is_event_field
from evalsvc.project.starter import fitted_rules, fitted_tests
from evalsvc.project.values import (
    AnchorsConfig,
    ConsumerConfig,
    DeadLetterConfig,
    ExportedConfig,
    FilesConfig,
    HttpConfig,
    KafkaConfig,
    KafkaSecurity,
    Limits,
    MaskingConfig,
    Project,
    ScorerConfig,
    Settings,
)

__all__ = [
    "AnchorsConfig",
    "Checked",
    "ConsumerConfig",
    "DeadLetterConfig",
    "Environment",
    "ExportedConfig",
    "FilesConfig",
    "HttpConfig",
    "KafkaConfig",
    "KafkaSecurity",
    "Limits",
    "MaskingConfig",
    "Project",
    "ScorerConfig",
    "Settings",
    "check",
    "field_hint",
    "find_root",
    "fitted_rules",
    "fitted_tests",
    "has_settings",
    "host_and_port",
    "is_event_field",
    "load_consumer",
    "load_named",
    "load_project",
    "load_routes",
    "load_settings",
    "measured_in",
    "read_cases",
    "read_rule_files",
    "read_settings",
    "read_test_files",
    "rule_files",
    "shown",
    "test_files",
]


def load_project(start: Path | None = None) -> Project:
    """Read the project that ``start`` (default: the current folder) lies in.

    Raises:
        ConfigError: with every problem of every file.
    """
    root = find_root((start or Path.cwd()).resolve())
    settings, problems = read_settings(root, shown(root / "pyproject.toml"))
    checked = read_consumers(consumer_files(root / settings.consumers), root)
    ruled = read_rule_files(rule_files(root / settings.alerts))
    raise_problems([*problems, *checked.problems, *ruled.problems])
    return Project(root=root, settings=settings, consumers=checked.consumers, rules=ruled.rules)


def load_settings(start: Path | None = None) -> Project:
    """Read the settings of the project that ``start`` lies in, and none of its consumers.

    Raises:
        ConfigError: with every problem of the settings.
    """
    root = find_root((start or Path.cwd()).resolve())
    settings, problems = read_settings(root, shown(root / "pyproject.toml"))
    raise_problems(problems)
    return Project(root=root, settings=settings, consumers=())


def load_routes(start: Path | None = None) -> Routes | None:
    """Read who is told of alerts in the project that ``start`` lies in; ``None`` without a ``routes.yaml``: nobody.

    Raises:
        ConfigError: with every problem of the file and of the settings.
    """
    project = load_settings(start)
    files = [file for name in ROUTES if (file := project.root / project.settings.alerts / name).is_file()]
    if not files:
        return None
    read = read_routes_file(files[0])
    raise_problems(read.problems)
    return read.routes


class Named(NamedTuple):
    """A project's consumer of one name, if it has one, the names of all, and how many mistakes others' files have."""

    project: Project
    consumer: ConsumerConfig | None
    names: tuple[str, ...]
    mistakes: int


def load_named(name: str, start: Path | None = None) -> Named:
    """Read the consumer of this name in the project that ``start`` (default: the current folder) lies in.

    Mistakes in other consumers' files are counted, and their consumers are not of the project returned. Where a file's
    mistakes leave its consumer without a name, the file's own name counts as that.

    Raises:
        ConfigError: with every problem of the consumer's own file and of the settings.
    """
    root = find_root((start or Path.cwd()).resolve())
    settings, problems = read_settings(root, shown(root / "pyproject.toml"))
    files = consumer_files(root / settings.consumers)
    checked = read_consumers(files, root)
    wrong = {problem.path for problem in checked.problems}
    own = [consumer.path for consumer in checked.consumers if consumer.name == name]
    own = own or [path for path in files if path.stem == name and shown(path) in wrong]
    mine = [problem for problem in checked.problems if problem.path in {shown(path) for path in own}]
    raise_problems([*problems, *mine])
    right = tuple(consumer for consumer in checked.consumers if shown(consumer.path) not in wrong)
    found = next((consumer for consumer in right if consumer.name == name), None)
    names = tuple(consumer.name for consumer in checked.consumers)
    return Named(Project(root=root, settings=settings, consumers=right), found, names, len(checked.problems))


def load_consumer(path: Path) -> tuple[Project, ConsumerConfig]:
    """Read one consumer's file, and the settings of the project that it lies in; other files may be wrong.

    Raises:
        ConfigError: with every problem of this file and of the settings.
    """
    if not path.is_file():
        raise ConfigError(f"Expected a consumer's file, but {path} is {'a folder' if path.is_dir() else 'not there'}")
    root = root_of(path)
    settings, problems = read_settings(root, shown(root / "pyproject.toml"))
    checked = read_consumers([path.resolve()], root)
    raise_problems([*problems, *checked.problems])
    return Project(root=root, settings=settings, consumers=checked.consumers), checked.consumers[0]
