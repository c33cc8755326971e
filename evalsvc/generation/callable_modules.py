"""Where the modules of a ``callable`` are, and which of those that it imports are not here; none is imported."""

from __future__ import annotations

import ast
import importlib.util
import shlex
import sys
from importlib.machinery import ModuleSpec, PathFinder
from pathlib import Path
from typing import NamedTuple

from evalsvc._hints import did_you_mean
from evalsvc._paths import shown_path

_FINDS_OTHERWISE = (b"sys.path", b"sys.modules", b"meta_path", b"path_hooks", b"addsitedir", b"importlib", b"exec(")
"""Whoever says one of these may make modules that no finder knows of before."""


class Mistake(NamedTuple):
    """What is wrong, and where: in the source, or where ``file`` is None in the words that name the function."""

    message: str
    hint: str = ""
    file: Path | None = None
    line: int = 1
    column: int = 1


def file_of(name: str) -> Path | Mistake | None:
    """Return a module's source file; None where it has none, or only importing could tell."""
    loaded = sys.modules.get(name)
    spec = getattr(loaded, "__spec__", None) or _spec(name)
    if isinstance(spec, Mistake) or spec is None:
        return spec
    return Path(spec.origin) if spec.has_location and spec.origin and spec.origin.endswith(".py") else None


def missing_import(tree: ast.Module, source: bytes, file: Path) -> Mistake | None:
    """Return the first module that a source is sure to import and that is not here.

    That is an import outside of every function, branch and ``try``, where nothing may change how modules are found.
    """
    if _finds_otherwise(source):
        return None
    for statement in tree.body:
        for name in _imported(statement):
            found = file_of(name)
            if isinstance(found, Mistake):
                place = file, statement.lineno, statement.col_offset + 1
                return Mistake(found.message, found.hint or next_step(name, file.parent), *place)
            if found is not None and not _is_installed(name, found) and _finds_otherwise(_bytes(found)):
                return None
    return None


def next_step(name: str, folder: Path) -> str:
    """Return what to do about a module that is not here; ``folder`` is that of the file that imports it."""
    first = name.partition(".")[0]
    near = (folder, folder.parent, Path.cwd(), Path.cwd() / "src")
    held = next((one for one in near if (one / first).is_dir() or (one / f"{first}.py").is_file()), None)
    if held is not None:
        return f"it lies in a folder where Python does not look: set PYTHONPATH={shlex.quote(shown_path(held))}"
    python = shlex.quote(sys.executable or "python")
    return f"install the package that holds it where evalsvc runs, as in {python} -m pip install {first}"


def _imported(statement: ast.stmt) -> list[str]:
    if isinstance(statement, ast.Import):
        return [one.name for one in statement.names]
    if isinstance(statement, ast.ImportFrom) and statement.module and not statement.level:
        return [statement.module]
    return []


def _is_installed(name: str, file: Path) -> bool:
    """Whether a module is Python's or a package's, of which none changes how others are found."""
    return name.partition(".")[0] in sys.stdlib_module_names or "site-packages" in file.parts


def _finds_otherwise(source: bytes) -> bool:
    return any(word in source for word in _FINDS_OTHERWISE)


def _bytes(file: Path) -> bytes:
    try:
        return file.read_bytes()
    except OSError:
        return b""


def _spec(name: str) -> ModuleSpec | Mistake | None:
    first, *rest = name.split(".")
    try:
        spec = importlib.util.find_spec(first)
    except (ImportError, ValueError, AttributeError):
        return None
    if spec is None:
        return Mistake(f"there is no module {first!r} here")
    for depth, part in enumerate(rest, 1):
        inner = ".".join((first, *rest[:depth]))
        parent = spec
        # importlib.util.find_spec would import the package.
        spec = PathFinder.find_spec(inner, parent.submodule_search_locations) if _is_plain(parent) else None
        if spec is None:
            return Mistake(f"there is no module {inner!r} here", _beside(part, parent)) if _is_plain(parent) else None
    return spec


def _is_plain(package: ModuleSpec) -> bool:
    """Whether a package's modules are those in its folders, and none that its code makes or finds."""
    if package.submodule_search_locations is None:
        return False
    try:
        text = Path(package.origin).read_text(encoding="utf-8") if package.origin else ""
    except (OSError, ValueError):
        return False
    return "__path__" not in text and "sys.modules" not in text


def _beside(name: str, package: ModuleSpec) -> str:
    there = {path.stem for folder in package.submodule_search_locations or () for path in Path(folder).glob("*.py")}
    return did_you_mean(name, there - {"__init__"})
