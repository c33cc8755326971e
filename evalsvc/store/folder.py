"""Who owns an embedded folder: a lock file says that it is taken, an address file where its owner answers.

The engine admits one process to a folder. The owner holds ``evalsvc.lock`` for as long as it lives (the
operating system lets go of it however the process ends) and, where it serves others, writes
``evalsvc.address.json``.
"""

from __future__ import annotations

import fcntl
import json
import os
import threading
import time
from pathlib import Path
from typing import NamedTuple

from evalsvc.errors import StoreBusy, StoreError, StoreUnavailable

LOCK_FILE = "evalsvc.lock"
ADDRESS_FILE = "evalsvc.address.json"

_held: dict[str, tuple[int, int]] = {}
_held_lock = threading.Lock()


class Address(NamedTuple):
    """Where the owner of a folder answers, and the token that it wants: a secret, which is never printed."""

    url: str
    token: str
    pid: int

    def __repr__(self) -> str:
        """Name the place without the token."""
        return f"Address({self.url!r}, pid={self.pid})"


def exists(folder: Path) -> bool:
    """Whether a store was ever opened in a folder."""
    return (folder / LOCK_FILE).exists()


def acquire(folder: Path) -> str:
    """Take a folder for this process and return its resolved path; let go as often as it was taken.

    Raises:
        StoreBusy: another process has it; ``address`` is where that one answers, if it serves. StoreError:
        this process already has another folder (the engine admits one), or the folder cannot be used.
        StoreUnavailable: the disk is full.
    """
    path = os.path.realpath(folder)
    with _held_lock:
        users, descriptor = _held.get(path, (0, -1))
        if not users:
            if _held:
                raise StoreError(
                    f"Expected one embedded folder a process, but {next(iter(_held))} is open "
                    f"and {path} was asked for; "
                    "close the first store, or open the second in another process"
                )
            descriptor = _lock(Path(path))
        _held[path] = (users + 1, descriptor)
    return path


def release(path: str) -> None:
    """Let go of what :func:`acquire` returned; the last one lets other processes in."""
    with _held_lock:
        users, descriptor = _held[path]
        if users > 1:
            _held[path] = (users - 1, descriptor)
        else:
            del _held[path]
            os.close(descriptor)


def write_address(path: str, url: str, token: str) -> None:
    """Publish where this process answers, readable by its own user only; replaces an older one at once."""
    target = Path(path, ADDRESS_FILE)
    draft = target.with_suffix(f".{os.getpid()}")
    draft.unlink(missing_ok=True)
    descriptor = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(descriptor, "w") as file:
        json.dump({"url": url, "token": token, "pid": os.getpid()}, file)
    draft.replace(target)


def remove_address(path: str) -> None:
    """Withdraw the address, if it is this process's own."""
    address = read_address(path)
    if address is not None and address.pid == os.getpid():
        Path(path, ADDRESS_FILE).unlink(missing_ok=True)


def read_address(path: str | Path, wait_seconds: float = 0.0) -> Address | None:
    """Return where a folder's owner answers; ``None`` where it says nothing within the time given.

    An address whose process is gone was left by a crash and counts as none.
    """
    deadline = time.monotonic() + wait_seconds
    while True:
        address = _parse_address(Path(path, ADDRESS_FILE))
        if address is not None or time.monotonic() >= deadline:
            return address
        time.sleep(0.05)


def _parse_address(file: Path) -> Address | None:
    try:
        found = json.loads(file.read_text())
        address = Address(str(found["url"]), str(found["token"]), int(found["pid"]))
    except (OSError, ValueError, KeyError, TypeError):
        return None
    return address if _alive(address.pid) else None


def _alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return True


def _lock(folder: Path) -> int:
    try:
        folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        descriptor = os.open(folder / LOCK_FILE, os.O_RDWR | os.O_CREAT, 0o600)
    except OSError as error:
        kind = StoreUnavailable if error.errno in (28, 122) else StoreError
        raise kind(
            f"Expected {folder} to be a folder that can be written, but: {error.strerror}; "
            "free space, or choose another folder with --store or `store` under [tool.evalsvc]"
        ) from error
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        os.close(descriptor)
        raise busy(folder) from None
    return descriptor


def busy(folder: str | Path) -> StoreBusy:
    """Return the error for a folder that another process has."""
    address = read_address(folder)
    if address is not None:
        message = (
            f"{folder} belongs to process {address.pid}, which answers at {address.url}; use that one, stop it "
            f"(`kill {address.pid}`), or name another folder with --store"
        )
        return StoreBusy(message, address.url)
    return StoreBusy(
        f"{folder} belongs to another process, which serves nobody; stop that one, "
        "or start `evalsvc up`, which serves the others"
    )
