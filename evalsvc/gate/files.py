"""Files are written whole, and the same content is the same bytes."""

from __future__ import annotations

import gzip
import io
import os
import threading
from pathlib import Path


def write_whole(path: Path, data: bytes) -> None:
    """Write a file, and its folder: who reads it meanwhile, or after a kill, has the old one or the new one."""
    path.parent.mkdir(parents=True, exist_ok=True)
    part = path.with_name(f".{path.name}.{os.getpid()}-{threading.get_ident()}.part")
    try:
        part.write_bytes(data)
        part.replace(path)
    except BaseException:
        part.unlink(missing_ok=True)
        raise


def gzipped(content: bytes) -> bytes:
    """Return the content compressed: the same bytes for the same content, whenever it is written."""
    buffer = io.BytesIO()
    # Without a name and a time, the same lines are the same bytes.
    with gzip.GzipFile(filename="", mode="wb", fileobj=buffer, mtime=0) as file:
        file.write(content)
    return buffer.getvalue()
