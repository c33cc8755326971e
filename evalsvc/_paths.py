"""Paths as messages name them."""

from __future__ import annotations

from pathlib import Path


def near(path: Path) -> Path:
    """Return a path from the current folder where it lies below that; else as it is.

    >>> near(Path.cwd() / "suites" / "a.suite.yaml").as_posix(), near(Path("/etc/hosts")).as_posix()
    ('suites/a.suite.yaml', '/etc/hosts')
    """
    try:
        here = Path.cwd()
    except OSError:  # it was removed
        return path
    return path.relative_to(here) if path.is_absolute() and path.is_relative_to(here) else path


def shown_path(path: str | Path) -> str:
    """Return a path as the reader would write it: from the current folder where it lies below that."""
    return str(near(Path(path)))
