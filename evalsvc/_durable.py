"""Files that are whole or absent, also after a kill or a lost machine."""

from __future__ import annotations

import errno
import os
import threading
from pathlib import Path


def write_whole(path: Path, content: bytes) -> None:
    """Write a file, and its folder: who reads it meanwhile, or later, has the old one or the new one.

    It is on the disk when this returns: a rename alone may outlive the content that it was of.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    part = path.with_name(f".{path.name}.{os.getpid()}-{threading.get_ident()}.part")
    try:
        part.write_bytes(content)
        sync(part)
        part.replace(path)
    except BaseException:
        part.unlink(missing_ok=True)
        raise
    try:
        sync(path.parent)
    except OSError as error:
        # Some file systems have no such thing of a folder; the file is there all the same.
        if error.errno not in (errno.EINVAL, errno.ENOTSUP):
            raise


def sync(path: Path) -> None:
    """Make a file durable, or the names in a folder."""
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
