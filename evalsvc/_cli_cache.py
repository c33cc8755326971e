"""The command ``cache``: what gates keep on disk, how much it is, and its removal."""

from __future__ import annotations

import argparse
import json
from collections.abc import Iterable, Sequence
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import NamedTuple

from evalsvc._cache_upkeep import Held, drop_unused, file_size, held
from evalsvc._cli_output import aligned
from evalsvc._durations import parse_duration
from evalsvc.cli import OK
from evalsvc.disk_cache import cache_places, today
from evalsvc.errors import InputError
from evalsvc.gate.pruning import Item, kept, prune, would_prune
from evalsvc.gate.suite_files import root_for

_EPOCH = date(1970, 1, 1)
_RIGHT = frozenset({"n", "size", "named"})


class _Row(NamedTuple):
    """So many of a kind, their bytes, the oldest of them, and how many a baseline names."""

    what: str
    n: int
    size: int
    oldest: date | None
    named: int
    where: str


def show(options: argparse.Namespace) -> int:
    """Print what is kept of runs, and how large it is."""
    root = root_for([])
    now = kept(root)
    rows = [
        _of_cache(path, held(path), root)._replace(size=file_size(path))
        for path in filter(Path.is_file, cache_places(root))
    ]
    rows += _of_items("damaged caches", _damaged(root, None), root)
    for suite in sorted({item.path.parent.name for item in now.runs}):
        rows += _of_items(f"runs of {suite}", [item for item in now.runs if item.path.parent.name == suite], root)
    rows += _of_items("records", now.records, root)
    _print(rows, options.format)
    if options.format == "table":
        print(f"{size_of(sum(row.size for row in rows))} in all" if rows else "nothing is kept yet; evalsvc gate does")
    return OK


def remove(options: argparse.Namespace) -> int:
    """Remove what is old, or say what would be removed."""
    if options.older_than is None and options.keep is None:
        raise InputError("Expected --older-than 30d, --keep 10 or both, but got neither: nothing was removed")
    root, moment = root_for([]), datetime.now(UTC)
    before = None if options.older_than is None else _back(moment, options.older_than)
    keep = 1 if options.keep is None else options.keep
    gone = (would_prune if options.dry_run else prune)(root, before, keep)
    rows, notes = _prune_caches(root, before, options.dry_run)
    rows += _of_items("runs", gone.runs, root)
    rows += _of_items("records", gone.records, root)
    _print(rows, options.format)
    if options.format == "table":
        done = "would be removed" if options.dry_run else "removed"
        print(f"{done}: {size_of(sum(row.size for row in rows))}" if rows else "nothing to remove")
        print("".join(f"{note}\n" for note in notes), end="")
    return OK


def size_of(size: int) -> str:
    """Return bytes as people read them.

    >>> size_of(999), size_of(1_000), size_of(3_140_000), size_of(999_999)
    ('999 B', '1.0 kB', '3.1 MB', '1.0 MB')
    """
    shown = float(size)
    for unit in ("B", "kB", "MB"):
        if shown < (1000 if unit == "B" else 999.95):
            return f"{shown:.0f} B" if unit == "B" else f"{shown:.1f} {unit}"
        shown /= 1000
    return f"{shown:,.1f} GB"


def _back(moment: datetime, text: str) -> datetime:
    try:
        return moment - parse_duration(text)
    except OverflowError:
        raise InputError(f"Expected a duration that the calendar has, but got {text!r}") from None


def _prune_caches(root: Path, before: datetime | None, dry: bool) -> tuple[list[_Row], list[str]]:
    """Remove rows last used before a moment's day, and damaged files of before it; say what of it takes room still."""
    if before is None:
        return [], []
    rows, notes, day = [], [], today() - (datetime.now(UTC).date() - before.date()).days
    for path in filter(Path.is_file, cache_places(root)):
        found = held(path, day)
        if found.rows:
            rows.append(_of_cache(path, found, root))
            why = "" if dry else drop_unused(path, day)
            if why:
                notes.append(
                    f"{_shown(path, root)} keeps its size for now ({why}); what runs keep next goes into the room that "
                    "there is, and the next prune that finds something to remove gives back the rest"
                )
    damaged = _damaged(root, before)
    if not dry:
        for item in damaged:
            item.path.unlink(missing_ok=True)
    return rows + _of_items("damaged caches", damaged, root), notes


def _damaged(root: Path, before: datetime | None) -> list[Item]:
    """Return the files that were set aside since they were damaged."""
    found = []
    for place in cache_places(root):
        for path in sorted(place.parent.glob(f"{place.name}.damaged-*")):
            state = path.stat()
            changed = datetime.fromtimestamp(state.st_mtime, UTC)
            if before is None or changed < before:
                found.append(Item(path, state.st_size, changed, False))
    return found


def _of_cache(path: Path, found: Held, root: Path) -> _Row:
    oldest = None if found.oldest is None else _EPOCH + timedelta(days=found.oldest)
    return _Row("answers and scores", found.rows, found.size, oldest, 0, _shown(path, root))


def _of_items(what: str, items: Sequence[Item], root: Path) -> list[_Row]:
    if not items:
        return []
    sizes, oldest = sum(item.size for item in items), min(item.since for item in items).date()
    where = {_shown(item.path.parent, root) for item in items}
    folder = where.pop() if len(where) == 1 else _shown(items[0].path.parent.parent, root)
    return [_Row(what, len(items), sizes, oldest, sum(item.named for item in items), folder)]


def _shown(path: Path, root: Path) -> str:
    return str(path.relative_to(root)) if path.is_relative_to(root) else str(path)


def _print(rows: Iterable[_Row], format: str) -> None:
    if format == "json":
        for row in rows:
            oldest = row.oldest and row.oldest.isoformat()
            print(json.dumps({**row._asdict(), "oldest": oldest}))
        return
    told = [
        {
            "what": row.what,
            "n": f"{row.n:,}",
            "size": size_of(row.size),
            "oldest": row.oldest.isoformat() if row.oldest else "-",
            "named": str(row.named) if row.named else "",
            "where": row.where,
        }
        for row in rows
    ]
    if told:
        print(aligned(told, _RIGHT))
