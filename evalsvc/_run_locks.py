"""One process at a time at one work: locks of files beside what it works with, which end with whoever holds them."""

from __future__ import annotations

import fcntl
import hashlib
import logging
import os
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import IO

log = logging.getLogger("evalsvc.cache")

LONG_SECONDS = 10.0
"""Who waits no longer than this says nothing: what it waits for is its own work, done by another."""
OPENING = "open"
"""What holds a cache's lock while its file is opened or closed, by whatever command."""


def short(text: str) -> str:
    """Return a text as a part of a file's name."""
    return hashlib.sha256(text.encode("utf-8", "surrogateescape")).hexdigest()[:16]


def under_way(path: Path) -> bool:
    """Return whether a run holds a lock of the cache at ``path``; who only opens the file is no run."""
    opening = _lock_path(path, OPENING)
    for lock in path.parent.glob(f"{path.name}.*.lock"):
        if lock == opening:
            continue
        try:
            with open(lock, encoding="ascii") as file:
                fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
        except BlockingIOError:
            return True
        except OSError:
            continue
    return False


def _lock_path(path: Path, name: str) -> Path:
    return Path(f"{path}.{short(name)}.lock")


@contextmanager
def exclusive(path: Path | None, name: str, doing: str = "is at the same work") -> Iterator[None]:
    """Let one process at a time do ``name`` with the cache at ``path``; another waits, and says so where it takes long.

    ``doing`` is what the one that has its turn does, in the words of whoever waits: "asks the model the same cases".

    The lock is the kernel's: it ends with the process that holds it, however that ends. Where no lock file can be made,
    or there is no path, nobody waits: two runs may then pay twice, and both are right.
    """
    lock = None if path is None else _locked(_lock_path(path, name), doing)
    if lock is None:
        yield
        return
    with lock:
        _sign(lock)
        try:
            yield
        finally:
            # While the lock is held: who waits for it sees that the file is gone, and takes the next one.
            with suppress(OSError):
                os.unlink(lock.name)


def _locked(path: Path, doing: str) -> IO[str] | None:
    """Return the lock's file, held; ``None`` where none can be made."""
    telling = threading.Timer(LONG_SECONDS, _tell, (path, doing))
    telling.daemon = True
    try:
        return _held(path, telling)
    finally:
        telling.cancel()


def _held(path: Path, telling: threading.Timer) -> IO[str] | None:
    """Return the lock's file, held; who has to wait starts to count the time."""
    while True:
        try:
            lock = open(path, "a+", encoding="ascii")  # noqa: SIM115 - closed by the caller
        except OSError:
            return None
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            if telling.ident is None:
                telling.start()
            try:
                fcntl.flock(lock, fcntl.LOCK_EX)
            except BaseException:
                lock.close()
                raise
        except OSError:
            # A file system without locks.
            lock.close()
            return None
        if _same_file(lock, path):
            return lock
        lock.close()


def _sign(lock: IO[str]) -> None:
    """Write this process's number, which only names it to whoever waits: a disk that is full leaves the lock held."""
    with suppress(OSError):
        os.ftruncate(lock.fileno(), 0)
        os.write(lock.fileno(), f"{os.getpid()}\n".encode())


def _tell(path: Path, doing: str) -> None:
    """Say who is waited for."""
    holder = _holder(path)
    log.warning("Waiting for %s, which %s", f"process {holder}" if holder else "another process", doing)


def _holder(path: Path) -> str:
    """Return the number of the process that holds a lock, which it writes just after it took it."""
    for _ in range(100):
        with suppress(OSError):
            if holder := path.read_text(encoding="ascii")[:20].strip():
                return holder
        time.sleep(0.01)
    return ""


def _same_file(lock: IO[str], path: Path) -> bool:
    try:
        return os.path.samestat(os.fstat(lock.fileno()), os.stat(path))
    except FileNotFoundError:
        return False
