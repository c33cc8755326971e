"""The body of ``POST /v1/events`` into single messages, within stated sizes."""

from __future__ import annotations

import re
import zlib
from collections.abc import AsyncIterator, Callable, Mapping
from typing import NamedTuple

import msgspec

from evalsvc.sources._reasons import explain

MAX_BODY_BYTES = 16 << 20
MAX_ITEMS = 10_000

_JSON = frozenset({"application/json", "application/cloudevents+json", "application/cloudevents-batch+json"})
_PLAIN = re.compile(r"[a-z0-9.+/-]{1,60}")
_LINES = frozenset({"application/x-ndjson", "application/ndjson", "application/jsonl", "application/x-jsonlines"})


class Refused(Exception):
    """A request that is answered as a whole: nothing of it was taken."""

    def __init__(self, status: int, message: str, headers: Mapping[str, str] | None = None) -> None:
        self.status, self.message, self.headers = status, message, dict(headers or {})
        super().__init__(message)


class Notation(NamedTuple):
    """How a body is written."""

    lines: bool
    gzip: bool


def notation(headers: Mapping[str, str]) -> Notation:
    """Return how the body is written, from its headers.

    Raises:
        Refused: 415 for a type, a character set or a compression that is not read.
    """
    kind, _, parameters = headers.get("content-type", "application/json").lower().partition(";")
    media, charset = kind.strip(), parameters.partition("charset=")[2].strip('" ')
    if media not in _JSON | _LINES:
        raise Refused(415, f"Expected Content-Type {', '.join(sorted(_JSON | _LINES))}, but got {_told(media)}")
    if charset not in ("", "utf-8", "utf8", "us-ascii"):
        raise Refused(415, f"Expected UTF-8, but got {_told(charset)}")
    if "ce-specversion" in headers:
        raise Refused(415, "Expected CloudEvents in structured or batched mode, but got the binary mode")
    packing = headers.get("content-encoding", "identity").strip().lower()
    if packing not in ("identity", "gzip", ""):
        raise Refused(415, f"Expected Content-Encoding gzip or none, but got {_told(packing)}")
    return Notation(media in _LINES, packing == "gzip")


def _told(header: str) -> str:
    """Return a header's value as a message may repeat it, or "another" where it is not a plain word."""
    return repr(header) if _PLAIN.fullmatch(header) else "another"


class _Members:
    """Unpacks the members of a gzip body, one after the other (RFC 1952, section 2.2)."""

    def __init__(self) -> None:
        self._member = zlib.decompressobj(31)
        self._count = 1

    @property
    def whole(self) -> bool:
        return self._member.eof

    def unpack(self, data: bytes, max_bytes: int) -> bytes:
        """Return at most ``max_bytes`` (1 or more): a result of that length may have a rest."""
        parts: list[bytes] = []
        while data and max_bytes > 0:
            if self._member.eof:
                data = data.lstrip(b"\0")
                if not data:
                    break
                self._begin()
            try:
                parts.append(self._member.decompress(data, max_bytes))
            except zlib.error:
                raise Refused(400, "Expected a gzip body, but unpacking it failed") from None
            max_bytes -= len(parts[-1])
            data = self._member.unused_data
        return b"".join(parts)

    def _begin(self) -> None:
        # Empty members cost time and no size.
        self._count += 1
        if self._count > MAX_ITEMS:
            raise Refused(413, f"Expected at most {MAX_ITEMS} gzip members a request; send fewer, larger ones")
        self._member = zlib.decompressobj(31)


async def collect(
    chunks: AsyncIterator[bytes],
    packed: bool,
    max_bytes: int = MAX_BODY_BYTES,
    reserve: Callable[[int], None] | None = None,
) -> bytes:
    """Return the whole body, unpacked, without ever holding more than ``max_bytes`` of it.

    ``reserve`` is told the size of each part before it is kept, and may refuse it.

    Raises:
        Refused: 413 when it is larger, packed or unpacked; 400 when it is not gzip.
    """
    members = _Members() if packed else None
    parts: list[bytes] = []
    size = received = 0
    async for chunk in chunks:
        received += len(chunk)
        part = members.unpack(chunk, max_bytes + 1 - size) if members else chunk
        size += len(part)
        if max(size, received) > max_bytes:
            raise Refused(413, f"Expected at most {max_bytes} bytes a request, unpacked; send smaller batches")
        if reserve is not None:
            reserve(len(part))
        parts.append(part)
    if members and not members.whole:
        raise Refused(400, "Expected a whole gzip body, but it ends early")
    return b"".join(parts)


def split(body: bytes, lines: bool) -> list[bytes]:
    """Return the single messages of a body: lines, the items of an array, or the one object.

    Raises:
        Refused: 400 when it is no JSON at all, 413 when it has more than 10,000 items.
    """
    if lines:
        items = [line for line in body.split(b"\n") if line.strip()]
    elif body.lstrip()[:1] == b"[":
        try:
            items = [bytes(raw) for raw in msgspec.json.decode(body, type=list[msgspec.Raw])]
        except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as error:
            raise Refused(400, str(explain(body, error))) from None
    else:
        items = [body]
    if len(items) > MAX_ITEMS:
        raise Refused(413, f"Expected at most {MAX_ITEMS} events a request, but got {len(items)}")
    return items
