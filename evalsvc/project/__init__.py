"""The operator's project: the folders that evalsvc reads, checked as a whole before anything runs.

A folder is a project whether or not it has a pyproject.toml; ``[tool.evalsvc]`` there renames folders and
names the store. Every mistake of every file is reported at once, as ``file:line:col: message (hint)``.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import NamedTuple

from evalsvc._yaml import Document, raise_problems
from evalsvc.errors import ConfigError, Problem
from evalsvc.project.consumer import read_consumer
from evalsvc.project.settings import Environment, find_root, host_and_port, read_settings
from evalsvc.project.source import field_hint, is_event_field
from evalsvc.project.values import (
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
    "shown",
]


class Checked(NamedTuple):
    """What was looked at, what it says where it is right, and what is wrong with it."""

    files: tuple[Path, ...]
    consumers: tuple[ConsumerConfig, ...]
    problems: tuple[Problem, ...]


def load_project(start: Path | None = None) -> Project:
    """Read the project that ``start`` (default: the current folder) lies in.

    Raises:
        ConfigError: with every problem of every file.
    """
    root = find_root((start or Path.cwd()).resolve())
    settings, problems = read_settings(root, shown(root / "pyproject.toml"))
    checked = _read(_consumer_files(root / settings.consumers), root)
    raise_problems([*problems, *checked.problems])
    return Project(root=root, settings=settings, consumers=checked.consumers)


def load_settings(start: Path | None = None) -> Project:
    """Read the settings of the project that ``start`` lies in, without its consumers: their mistakes do not matter here.

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
        raise ConfigError(
            f"Expected a consumer's file, but {path} is {'a folder' if path.is_dir() else 'not there'}"
        )
    root = _root_of(path)
    settings, problems = read_settings(root, shown(root / "pyproject.toml"))
    checked = _read([path.resolve()], root)
    raise_problems([*problems, *checked.problems])
    return Project(root=root, settings=settings, consumers=checked.consumers), checked.consumers[0]


def check(paths: Sequence[Path] = ()) -> Checked:
    """Check files and folders; none given means the project of the current folder. Runs nothing and connects to nothing.

    A folder stands for the project whose root it is, or else for the files in it.

    Raises:
        ConfigError: when a path does not exist.
    """
    files: list[Path] = []
    problems: list[Problem] = []
    roots: list[Path] = []
    for path in paths or [find_root(Path.cwd())]:
        if not path.exists():
            raise ConfigError(f"Expected a file or a folder to check, but {path} is not there")
        path = path.resolve()
        root = path if path.is_dir() else _root_of(path)
        if path.is_dir() and (root := _root_of(path / "any")) in (path, path.parent) and root not in roots:
            roots.append(root)
        if path.is_file():
            files.append(path)
            continue
        settings, wrong = read_settings(root, shown(root / "pyproject.toml"))
        problems += wrong
        folder = path / settings.consumers
        files += _consumer_files(folder if folder.is_dir() else path)
    checked = _read(list(dict.fromkeys(files)), None)
    settings_files = [root / "pyproject.toml" for root in roots if (root / "pyproject.toml").is_file()]
    return Checked(
        (*settings_files, *checked.files), checked.consumers, tuple(sorted({*problems, *checked.problems}))
    )


def _root_of(path: Path) -> Path:
    """Return the project that a file lies in; without a pyproject.toml, what holds its ``consumers`` folder."""
    folder = path.resolve().parent
    root = find_root(folder)
    if root == folder and folder.name == "consumers":
        return folder.parent
    return root


def _consumer_files(folder: Path) -> list[Path]:
    return (
        sorted(path for path in folder.glob("*.y*ml") if path.suffix in (".yaml", ".yml"))
        if folder.is_dir()
        else []
    )


def _read(files: Iterable[Path], root: Path | None) -> Checked:
    consumers: list[ConsumerConfig] = []
    problems: list[Problem] = []
    read = tuple(files)
    for path in read:
        document = Document.open(path, shown(path))
        consumer = read_consumer(document, path, root or _root_of(path))
        _check_unique(document, consumer, consumers)
        found = document.finish()
        problems += found
        if consumer is not None:
            consumers.append(consumer)
    return Checked(read, tuple(consumers), tuple(problems))


def _check_unique(
    document: Document, consumer: ConsumerConfig | None, others: Sequence[ConsumerConfig]
) -> None:
    """Two consumers of one name would share a group, a ledger and their scores."""
    if consumer is None or document.root is None:
        return
    for other in others:
        if other.name == consumer.name and other.path.parent == consumer.path.parent:
            document.root.key_problem(
                "consumer", f"the consumer `{consumer.name}` is there twice", f"first in {shown(other.path)}"
            )


def shown(path: Path) -> str:
    """Return a path as the reader would write it: from the current folder where it lies below that."""
    relative = os.path.relpath(path)
    return str(path) if relative.startswith("..") else relative
