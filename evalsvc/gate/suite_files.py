"""Which files are suites: found by name, without reading any."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from evalsvc._paths import shown_path
from evalsvc.errors import InputError
from evalsvc.project import find_root

SUFFIX = ".suite.yaml"


_MARKS = ("pyproject.toml", ".git")
"""What the root of a project has that has no settings of ours."""


def root_for(paths: Sequence[Path]) -> Path:
    """Return the root of the project that the first path lies in, from wherever it is asked; below it runs are kept.

    That is the nearest folder upwards whose pyproject.toml has ``[tool.evalsvc]``; else the nearest with a
    pyproject.toml or a repository of git. A path that lies in neither belongs to the current folder's project.
    """
    for path in (*paths[:1], Path.cwd()):
        folder = path.resolve()
        folder = folder if folder.is_dir() else folder.parent
        root = find_root(folder)
        if root != folder or (root / "pyproject.toml").is_file():
            return root
        for above in (folder, *folder.parents):
            if any((above / mark).exists() for mark in _MARKS):
                return above
    return Path.cwd()


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
            raise InputError(f"Expected a suite or a folder of suites, but {shown_path(path)} is not there")
        elif not path.name.endswith(SUFFIX):
            hint = "run it by pytest" if path.suffix == ".py" else f"a suite's name ends in {SUFFIX}"
            raise InputError(f"Expected a suite, but got {shown_path(path)}: {hint}")
        else:
            found[path] = None
    return list(found)
