"""Runs and records that are not wanted any more: which they are, and their removal while others may be running.

A record goes when no run that stays was decided from it and no file in a folder ``baselines`` names it. Names are found
as text, in pointers and verdicts that cannot be read too: what cannot be understood keeps what it may need.
"""

from __future__ import annotations

import os
import re
import shutil
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import NamedTuple

from evalsvc.errors import InputError
from evalsvc.gate.baselines import FOLDER
from evalsvc.gate.keeping import RunKeeper

_DIGEST = re.compile(rb"(?<![0-9a-f])[0-9a-f]{64}(?![0-9a-f])")
_VERDICT = re.compile(rb"[0-9]{8}T[0-9]{6}Z-[0-9a-f]+")
_STAMP = "%Y%m%dT%H%M%SZ"
_PASSED_BY = frozenset({".evalsvc", ".git", ".venv", "node_modules", "__pycache__"})


class Item(NamedTuple):
    """A run's folder or a record's file; ``named`` when a baseline points to it, or it lies behind a link."""

    path: Path
    size: int
    since: datetime
    named: bool


class Kept(NamedTuple):
    """Runs, the newest first, and records."""

    runs: tuple[Item, ...]
    records: tuple[Item, ...]


def kept(root: Path) -> Kept:
    """Return what is kept below a project's ``.evalsvc``."""
    with RunKeeper(root).alone():
        return _kept(root)


def _kept(root: Path) -> Kept:
    keeper = RunKeeper(root)
    digests, verdicts = _named(root)
    folders = [path for path in (keeper.root / "runs").glob("*/*") if path.is_dir()]
    # A link is somebody's, who may want what it leads to: another project, whose baselines are not seen from here.
    named = {
        path
        for path in folders
        if path.name in verdicts or any(part.is_symlink() for part in (path, path.parent, path.parent.parent))
    }
    runs = [Item(path, _size(path), _decided(path), path in named) for path in folders]
    runs.sort(key=lambda item: (item.since, item.path.name), reverse=True)
    # What a promoted run was decided from is named with it.
    digests |= {digest for item in runs if item.named for digest in _digests(item.path)}
    records, folder = [], keeper.root / "records"
    linked = folder.is_symlink()
    for path in sorted(folder.glob("*.jsonl.zst")):
        state = path.stat()
        written = datetime.fromtimestamp(state.st_mtime, UTC)
        records.append(Item(path, state.st_size, written, linked or _digest_of(path) in digests))
    return Kept(tuple(runs), tuple(records))


def would_prune(root: Path, before: datetime | None, keep: int) -> Kept:
    """Return what :func:`prune` would remove now."""
    with RunKeeper(root).alone():
        return _unwanted(_kept(root), before, keep)


def _unwanted(now: Kept, before: datetime | None, keep: int) -> Kept:
    counted: dict[str, int] = {}
    gone, stay = [], set()
    for item in now.runs:
        whole = (item.path / "verdict.json").is_file()
        suite = item.path.parent.name
        counted[suite] = counted.get(suite, 0) + whole
        newest = whole and counted[suite] <= keep
        if item.named or newest or (before is not None and item.since >= before):
            stay |= _digests(item.path)
        else:
            gone.append(item)
    records = [
        item
        for item in now.records
        if not item.named and _digest_of(item.path) not in stay and (before is None or item.since < before)
    ]
    return Kept(tuple(gone), tuple(records))


def prune(root: Path, before: datetime | None, keep: int) -> Kept:
    """Remove the runs decided before a moment (None: whenever) and the records that no other run was decided from.

    The ``keep`` newest runs of each suite stay, and what a baseline names. Verdicts go before what they were decided
    from. Returned is what was removed. No run is kept meanwhile: one that ends just now is kept before, or after with
    all its records.

    Raises:
        InputError: when something cannot be removed; what was removed until then is gone.
    """
    keeper = RunKeeper(root)
    if not keeper.root.is_dir():
        return Kept((), ())
    with keeper.alone():
        gone = _unwanted(_kept(root), before, keep)
        try:
            for item in gone.runs:
                # Where the verdict is, everything is.
                (item.path / "verdict.json").unlink(missing_ok=True)
                shutil.rmtree(item.path)
            for item in gone.records:
                item.path.unlink(missing_ok=True)
        except OSError as error:
            raise InputError(f"Cannot remove {error.filename}: {error.strerror or error}") from error
    return gone


def _named(root: Path) -> tuple[set[str], set[str]]:
    """Return the digests and the verdicts that files in the project's folders of baselines name.

    Raises:
        InputError: when one of them cannot be read, since it may name anything.
    """
    digests: set[str] = set()
    verdicts: set[str] = set()
    for path in _pointers(root):
        try:
            content = path.read_bytes()
        except OSError as error:
            raise InputError(
                f"Expected to read {path}, which may point to a record: {error.strerror or error}; nothing was removed"
            ) from error
        digests.update(found.decode() for found in _DIGEST.findall(content))
        verdicts.update(found.decode() for found in _VERDICT.findall(content))
    return digests, verdicts


def _pointers(root: Path) -> Iterator[Path]:
    def refuse(error: OSError) -> None:
        raise InputError(
            f"Expected to look for baselines in {error.filename}: {error.strerror or error}; nothing was removed"
        )

    seen: set[str] = set()
    for folder, below, files in os.walk(root, onerror=refuse, followlinks=True):
        real = os.path.realpath(folder)
        below[:] = [] if real in seen else [name for name in below if name not in _PASSED_BY]
        seen.add(real)
        if Path(folder).name == FOLDER:
            yield from (Path(folder) / name for name in files if name.endswith((".yaml", ".yml")))


def _digests(run: Path) -> set[str]:
    try:
        return {found.decode() for found in _DIGEST.findall((run / "verdict.json").read_bytes())}
    except FileNotFoundError:
        return set()
    except OSError as error:
        raise InputError(f"Cannot read {error.filename}: {error.strerror or error}; nothing was removed") from error


def _digest_of(record: Path) -> str:
    return record.name.partition(".")[0]


def _decided(run: Path) -> datetime:
    """Return when a run was decided, which its id begins with; of another name, when it was written."""
    try:
        return datetime.strptime(run.name.partition("-")[0], _STAMP).replace(tzinfo=UTC)
    except ValueError:
        return datetime.fromtimestamp(run.stat().st_mtime, UTC)


def _size(folder: Path) -> int:
    return sum(path.lstat().st_size for path in folder.rglob("*") if path.is_file())
