"""What a cache of answers and scores holds, and how rows that nobody used for long leave it."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from pathlib import Path
from typing import NamedTuple

from evalsvc._run_locks import under_way
from evalsvc.disk_cache import BUSY_SECONDS, DiskCache
from evalsvc.errors import InputError

# A run that writes waits for no more than this many rows to go.
_ROWS_A_STEP = 5_000


class Held(NamedTuple):
    """Rows of a cache, the bytes of their values, and the day on which the oldest of them was last used."""

    rows: int
    size: int
    oldest: int | None


def file_size(path: Path) -> int:
    """Return the bytes of a cache on disk, with its journal."""
    files = (path, path.with_name(f"{path.name}-wal"))
    return sum(file.stat().st_size for file in files if file.is_file())


def held(path: Path, before: int | None = None) -> Held:
    """Return what a cache holds; with ``before``, of that what was last used before this day.

    Raises:
        InputError: when the file cannot be read.
    """
    try:
        with closing(_connection(path)) as connection:
            query = "SELECT count(*), coalesce(sum(length(value)), 0), min(used_on) FROM entries"
            where, values = ("", ()) if before is None else (" WHERE used_on < ?", (before,))
            return Held(*connection.execute(query + where, values).fetchone())
    except sqlite3.Error as error:
        raise InputError(f"Cannot read the cache {path}: {error}") from error


def drop_unused(path: Path, before: int) -> str:
    """Remove the rows last used before a day, a few at a time, and return why the file is not smaller; empty if it is.

    It is not made smaller while a run is under way, which would have to wait.

    Raises:
        InputError: when the file cannot be written.
    """
    step = f"DELETE FROM entries WHERE number IN (SELECT number FROM entries WHERE used_on < ? LIMIT {_ROWS_A_STEP})"  # noqa: S608
    try:
        with closing(_connection(path)) as connection:
            while connection.execute(step, (before,)).rowcount:
                pass
            return "a run is under way" if under_way(path) else _made_smaller(connection)
    except sqlite3.Error as error:
        raise InputError(f"Cannot prune the cache {path}: {error}; what is there stays whole, try again") from error


def _made_smaller(connection: sqlite3.Connection) -> str:
    try:
        connection.execute("VACUUM")
        connection.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchone()
    except sqlite3.Error as error:
        # It takes a copy of what stays, for which the disk may have no room.
        return str(error)
    return ""


def _connection(path: Path) -> sqlite3.Connection:
    # Opened once as runs open it: a damaged file is set aside, and rows without a day are given one.
    with DiskCache.open(path) as cache:
        if cache.path is None:
            raise InputError(f"Cannot open the cache {path}")
    return sqlite3.connect(path, timeout=BUSY_SECONDS, isolation_level=None)
