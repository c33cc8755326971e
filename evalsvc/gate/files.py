"""The same content is the same bytes in a file."""

from __future__ import annotations

import gzip
import io


def gzipped(content: bytes) -> bytes:
    """Return the content compressed: the same bytes for the same content, whenever it is written."""
    buffer = io.BytesIO()
    # Without a name and a time, the same lines are the same bytes.
    with gzip.GzipFile(filename="", mode="wb", fileobj=buffer, mtime=0) as file:
        file.write(content)
    return buffer.getvalue()
