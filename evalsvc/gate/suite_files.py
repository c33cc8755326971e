"""Which files are suites: found by name, without reading any."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from evalsvc.errors import InputError
from evalsvc.project import find_root

SUFFIX = ".suite.yaml"


def root_for(paths: Sequence[Path]) -> Path:
    """Return the root of the project that the first path lies in; that of the current folder where it is in none."""
    for path in paths[:1]:
        folder = path.resolve()
        root = find_root(folder if folder.is_dir() else folder.parent)
        if (root / "pyproject.toml").is_file():
            return root
    return find_root(Path.cwd())


def find_suites(paths: Sequence[Path]) -> list[Path]:
    """Return the suites among files and below folders, each once, in the order of their paths.

    Raises:
        InputError: on a path that is not there, or a file that is no suite.
    """
    found: dict[Path, None] = {}
    for path in paths:
        if path.is_dir():
            found.update(dict.fromkeys(sorted(path.rglob(f"*{SUFFIX}"))))
        elif not path.is_file():
            raise InputError(f"Expected a suite or a folder of suites, but {path} is not there")
        elif not path.name.endswith(SUFFIX):
            hint = "run it by pytest" if path.suffix == ".py" else f"a suite's name ends in {SUFFIX}"
            raise InputError(f"Expected a suite, but got {path}: {hint}")
        else:
            found[path] = None
    return list(found)
