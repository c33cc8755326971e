"""Which files are suites: found by name, without reading any."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from evalsvc.errors import InputError

SUFFIX = ".suite.yaml"


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
