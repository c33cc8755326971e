"""The operator's project: the folders that evalsvc reads, checked as a whole before anything runs.

A folder is a project whether or not it has a pyproject.toml; ``[tool.evalsvc]`` there renames folders and
names the store. Every mistake of every file is reported at once, as ``file:line:col: message (hint)``.
"""

from __future__ import annotations

from pathlib import Path

from evalsvc._yaml import raise_problems
from evalsvc.errors import ConfigError
from evalsvc.project.anchors import read_cases
from evalsvc.project.checking import Checked, check, consumer_files, read_consumers, root_of, shown
from evalsvc.project.settings import Environment, find_root, host_and_port, read_settings
from evalsvc.project.source import field_hint, is_event_field
from evalsvc.project.values import (
    AnchorsConfig,
    ConsumerConfig,
    DeadLetterConfig,
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
    "host_and_port",
    "is_event_field",
    "load_consumer",
    "load_project",
    "load_settings",
    "read_cases",
    "shown",
]


def load_project(start: Path | None = None) -> Project:
    """Read the project that ``start`` (default: the current folder) lies in.

    Raises:
        ConfigError: with every problem of every file.
    """
    root = find_root((start or Path.cwd()).resolve())
    settings, problems = read_settings(root, shown(root / "pyproject.toml"))
    checked = read_consumers(consumer_files(root / settings.consumers), root)
    raise_problems([*problems, *checked.problems])
    return Project(root=root, settings=settings, consumers=checked.consumers)


def load_settings(start: Path | None = None) -> Project:
    """Read the settings of the project that ``start`` lies in, and none of its consumers.

    Raises:
        ConfigError: with every problem of the settings.
    """
    root = find_root((start or Path.cwd()).resolve())
    settings, problems = read_settings(root, shown(root / "pyproject.toml"))
    raise_problems(problems)
    return Project(root=root, settings=settings, consumers=())


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
