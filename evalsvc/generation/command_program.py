"""The program that a command begins with: found as the system would, or what is wrong with it."""

from __future__ import annotations

import os
import shutil
from contextlib import suppress
from pathlib import Path

from evalsvc._hints import nearest
from evalsvc.generation.callable_modules import Mistake


def program_of(name: str, folder: Path) -> str | Mistake:
    """Return the path of a program: one with a slash is relative to a folder, others are looked for on the PATH."""
    if "/" not in name:
        return shutil.which(name) or _not_on_path(name, folder)
    there = (folder / name).resolve()
    if there.is_dir():
        return Mistake(f"{name!r} is a folder", "name the program in it")
    if not there.exists():
        near = nearest(there.name, _names(there.parent))
        return Mistake(f"there is no file {name!r}", near or "a path is relative to the suite's folder")
    if not os.access(there, os.X_OK):
        return Mistake(f"{name!r} cannot be run", f"`chmod +x` allows it; or begin with what runs it: [python, {name}]")
    return str(there)


def _not_on_path(name: str, folder: Path) -> Mistake:
    said = f"there is no program {name!r} on the PATH"
    if (folder / name).is_file():
        return Mistake(said, f"the file beside the suite is `./{name}`")
    programs = [one for place in os.get_exec_path() if place for one in _names(Path(place))]
    return Mistake(said, nearest(name, set(programs)) or "install it, or write the path of a file, as in `./bot.sh`")


def _names(folder: Path) -> list[str]:
    with suppress(OSError):
        return [path.name for path in folder.iterdir()]
    return []
