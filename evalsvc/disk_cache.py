"""What was paid for once and need not be asked again: bytes by key in one SQLite file, for many processes at once.

A cache helps and never stands in the way: a file that is damaged is set aside, a row that is damaged is a miss, and a
disk that is full or cannot be written leaves the run uncached. Each of these is said once, in the log.
"""

from __future__ import annotations

import hashlib
import logging
import os
import sqlite3
import threading
import time
import zlib
from collections.abc import Iterable, Mapping, Sequence
from contextlib import AbstractContextManager, suppress
from pathlib import Path

from evalsvc._run_locks import OPENING, exclusive, short
from evalsvc.errors import InputError

log = logging.getLogger("evalsvc.cache")

BUSY_SECONDS = 60.0
"""How long one process waits for another's write."""

_APPLICATION_ID = 0x65766C73
# Below the 999 variables that every build of SQLite takes.
_KEYS_A_QUERY = 900
_DAMAGED = frozenset({sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB})
# Another process set the file aside under our hands.
_MOVED = sqlite3.SQLITE_READONLY_DBMOVED
# The checksum is taken over kind, key and value: where two keys have one number, the other's row is a miss.
_TABLE = (
    "CREATE TABLE IF NOT EXISTS entries "
    "(number INTEGER PRIMARY KEY, value BLOB NOT NULL, checksum INTEGER NOT NULL, used_on INTEGER NOT NULL)"
)
_INSERT = "INSERT OR REPLACE INTO entries (number, value, checksum, used_on) VALUES (?, ?, ?, ?)"
_SECONDS_A_DAY = 86_400


class DiskCache:
    """Bytes by kind and key. Safe to use from several threads and, at one path, from several processes.

    A write is whole or absent after a kill. ``damaged`` counts the rows whose checksum did not fit; each was a miss.
    """

    def __init__(self, path: Path | None) -> None:
        self.path = path
        self.damaged = 0
        self._lock = threading.RLock()
        self._told: set[str] = set()
        self._connection = self._opened()

    @classmethod
    def open(cls, path: Path | None) -> DiskCache:
        """Open the cache in a file, which is made where it is absent; ``None`` keeps it in memory.

        Raises:
            InputError: when the file is a database of something else, which is left alone.
        """
        return cls(path)

    def get_many(self, kind: str, keys: Sequence[str]) -> dict[str, bytes]:
        """Return the values of those keys that are there and whole."""
        with self._lock:
            try:
                return self._read(kind, keys)
            except sqlite3.Error as error:
                if not self._mended(error):
                    self._tell("read", f"cannot be read ({error}); what it held is asked for again")
                return {}

    def put_many(self, kind: str, items: Mapping[str, bytes]) -> None:
        """Keep values, all of them or, after a kill, none; one that is there is replaced."""
        seed = _seed(kind)
        sums = [zlib.crc32(value, zlib.crc32(key.encode(), seed)) for key, value in items.items()]
        day = today()
        rows = [(*row, day) for row in zip(_numbers(kind, items), items.values(), sums, strict=True)]
        rows.sort()
        with self._lock:
            for _ in range(2):
                try:
                    with self._connection:
                        self._connection.executemany(_INSERT, rows)
                    return
                except sqlite3.Error as error:
                    if not self._mended(error):
                        self._tell("write", f"cannot be written ({error}); the run goes on without keeping this")
                        return

    def close(self) -> None:
        """Let go of the file; may be called again."""
        with self._lock, _alone_at(self.path):
            self._connection.close()

    def __enter__(self) -> DiskCache:
        """Return itself."""
        return self

    def __exit__(self, *_: object) -> None:
        """Close."""
        self.close()

    def _read(self, kind: str, keys: Sequence[str]) -> dict[str, bytes]:
        found: dict[str, bytes] = {}
        by_number = dict(zip(_numbers(kind, keys), keys, strict=True))
        # In the order of the file: neighbours are on one page.
        numbers, seed, day = sorted(by_number), _seed(kind), today()
        stale: list[tuple[int, int]] = []
        for start in range(0, len(numbers), _KEYS_A_QUERY):
            part = numbers[start : start + _KEYS_A_QUERY]
            marks = ",".join("?" * len(part))
            # Only question marks are put into the text.
            query = f"SELECT number, value, checksum, used_on FROM entries WHERE number IN ({marks})"  # noqa: S608
            for number, value, checksum, used_on in self._connection.execute(query, part).fetchall():
                key = by_number[number]
                if type(value) is bytes and zlib.crc32(value, zlib.crc32(key.encode(), seed)) == checksum:
                    found[key] = value
                    if used_on < day:
                        stale.append((day, number))
                else:
                    self.damaged += 1
                    self._tell("damaged", "holds a row that was changed after it was written; it is not used")
        if stale:
            self._mark_used(stale)
        return found

    def _mark_used(self, rows: Sequence[tuple[int, int]]) -> None:
        """Note, once a day, that rows were used; where that fails they only seem older than they are."""
        with suppress(sqlite3.Error), self._connection:
            self._connection.executemany("UPDATE entries SET used_on = ? WHERE number = ?", rows)

    def _opened(self) -> sqlite3.Connection:
        if self.path is None:
            return _connected(None)
        try:
            self.path.parent.mkdir(parents=True, exist_ok=True)
            with _alone_at(self.path):
                return _connected(self.path)
        except sqlite3.Error as error:
            if error.sqlite_errorcode in _DAMAGED:
                return self._begun_anew(str(error))
            self._tell("open", f"cannot be opened ({error}); this run keeps in memory what it gets")
        except OSError as error:
            self._tell("open", f"cannot be made ({error.strerror}); this run keeps in memory what it gets")
        self.path = None
        return _connected(None)

    def _mended(self, error: sqlite3.Error) -> bool:
        """Whether the file was opened again, or begun anew, after an error that this helps against."""
        code = getattr(error, "sqlite_errorcode", None)
        if self.path is None or code not in (*_DAMAGED, _MOVED):
            return False
        self.close()
        self._connection = self._begun_anew(str(error)) if code in _DAMAGED else self._opened()
        return True

    def _begun_anew(self, why: str) -> sqlite3.Connection:
        """Set a damaged file aside, unless another process has just done so, and open one in its place."""
        path = self.path
        if path is None:
            return _connected(None)
        try:
            with _alone_at(path):
                connection = _sound(path)
                if connection is None:
                    aside = _set_aside(path)
                    log.warning("The cache %s is damaged (%s): moved to %s, and begun anew", path, why, aside.name)
                    connection = _connected(path)
                return connection
        except (sqlite3.Error, OSError) as error:
            self._tell("open", f"is damaged and cannot be moved aside ({error}); this run keeps in memory what it gets")
            self.path = None
            return _connected(None)

    def _tell(self, what: str, message: str) -> None:
        if what not in self._told:
            self._told.add(what)
            log.warning("The cache %s %s", self.path or "in memory", message)


def default_cache_path(root: Path) -> Path | None:
    """Return where a project's cache is kept.

    ``<root>/.evalsvc/cache.sqlite``; where that cannot be written, a file of the project's own below
    ``$XDG_CACHE_HOME/evalsvc`` (``~/.cache/evalsvc``); else ``None``, with a warning.
    """
    own, shared = cache_places(root)
    if _writable(own.parent):
        _hide_from_git(own.with_name(".gitignore"))
        return own
    if _writable(shared.parent):
        return shared
    log.warning(
        "Neither %s nor %s can be written: nothing is kept from this run for the next", own.parent, shared.parent
    )
    return None


def cache_places(root: Path) -> tuple[Path, Path]:
    """Return where a project's cache may be: its own file, and the one it has where that cannot be written."""
    shared = Path(os.environ.get("XDG_CACHE_HOME") or "~/.cache").expanduser() / "evalsvc"
    return root.resolve() / ".evalsvc" / "cache.sqlite", shared / f"{short(str(root.resolve()))}.sqlite"


def today() -> int:
    """Return the number of the day, as rows say when they were last used."""
    return int(time.time()) // _SECONDS_A_DAY


def _alone_at(path: Path | None) -> AbstractContextManager[None]:
    """Let one process at a time open the file, let go of it or set it aside.

    SQLite finds the journal by the file's name. Whoever opens or closes a file while another moves it away would take,
    or remove, the journal of the one that stands in its place.
    """
    return exclusive(path, OPENING, "opens the cache, or makes it anew")


def _connected(path: Path | None) -> sqlite3.Connection:
    connection = sqlite3.connect(path or ":memory:", timeout=BUSY_SECONDS, check_same_thread=False)
    try:
        _prepare(connection, path)
    except BaseException:
        connection.close()
        raise
    return connection


def _sound(path: Path) -> sqlite3.Connection | None:
    """Return a connection to a file that is not damaged."""
    try:
        connection = _connected(path)
    except sqlite3.Error as error:
        if error.sqlite_errorcode in _DAMAGED:
            return None
        raise
    try:
        if connection.execute("PRAGMA quick_check(1)").fetchone() == ("ok",):
            return connection
    except sqlite3.DatabaseError:
        pass
    connection.close()
    return None


def _set_aside(path: Path) -> Path:
    aside = path.with_name(f"{path.name}.damaged-{time.strftime('%Y%m%dT%H%M%S')}-{os.getpid()}")
    # The next file must not find this one's journal, also after a kill in between; who has this one open goes on until
    # it sees that it was moved.
    for ending in ("-wal", "-shm"):
        Path(f"{path}{ending}").unlink(missing_ok=True)
    os.replace(path, aside)
    return aside


def _prepare(connection: sqlite3.Connection, path: Path | None) -> None:
    # In this order, since another process may be making the same file: its name and its table come together.
    (tables,) = connection.execute("SELECT count(*) FROM sqlite_master").fetchone()
    (application,) = connection.execute("PRAGMA application_id").fetchone()
    if application != _APPLICATION_ID and tables:
        raise InputError(f"Expected {path} to be a cache of evalsvc, but it is another database; name another path")
    if not tables:
        with connection:
            connection.execute("BEGIN IMMEDIATE")
            connection.execute(f"PRAGMA application_id = {_APPLICATION_ID}")
            connection.execute(_TABLE)
    elif not _has_days(connection):
        with connection:
            connection.execute("BEGIN IMMEDIATE")
            if not _has_days(connection):
                # Of the rows that are there nobody knows: they count as used today.
                connection.execute(f"ALTER TABLE entries ADD COLUMN used_on INTEGER NOT NULL DEFAULT {today()}")
    _keep_a_journal(connection)
    # A kill loses nothing that was committed; a power cut may lose the last commits, which are asked for again.
    connection.execute("PRAGMA synchronous = NORMAL")


def _has_days(connection: sqlite3.Connection) -> bool:
    # Another process may have made the file just now, and its table in the same moment.
    columns = [row[1] for row in connection.execute("PRAGMA table_info(entries)")]
    return "used_on" in columns or not columns


def _keep_a_journal(connection: sqlite3.Connection) -> None:
    ends = time.monotonic() + BUSY_SECONDS
    while True:
        try:
            # Where the file system has no shared memory for it, SQLite keeps the journal that it had.
            connection.execute("PRAGMA journal_mode = WAL").fetchone()
        except sqlite3.OperationalError as error:
            # Here SQLite does not wait by itself for another process that writes, as in making the same file.
            if error.sqlite_errorcode & 0xFF != sqlite3.SQLITE_BUSY or time.monotonic() >= ends:
                raise
            time.sleep(0.01)
        else:
            return


def _numbers(kind: str, keys: Iterable[str]) -> list[int]:
    """Return 64 bits of a hash for each key: a whole number is looked up in half the time of two texts."""
    begun = hashlib.blake2b(f"{kind}\0".encode(), digest_size=8)
    numbers = []
    for key in keys:
        each = begun.copy()
        each.update(key.encode())
        numbers.append(int.from_bytes(each.digest(), "big", signed=True))
    return numbers


def _seed(kind: str) -> int:
    return zlib.crc32(kind.encode())


def _hide_from_git(ignore: Path) -> None:
    if ignore.exists():
        return
    try:
        ignore.write_text("*\n", encoding="utf-8")
    except OSError:
        # A full disk leaves an empty file, which a later run would take for a whole one.
        with suppress(OSError):
            ignore.unlink(missing_ok=True)


def _writable(folder: Path) -> bool:
    try:
        folder.mkdir(parents=True, exist_ok=True)
        probe = folder / f".writable-{os.getpid()}-{threading.get_ident()}"
        probe.touch()
        probe.unlink()
    except OSError:
        return False
    return True
