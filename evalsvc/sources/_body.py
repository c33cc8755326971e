"""The body of ``POST /v1/events`` into single messages, within stated sizes."""

from __future__ import annotations

import zlib
from collections.abc import AsyncIterator, Mapping
from typing import NamedTuple

import msgspec

from evalsvc.sources._reasons import explain

MAX_BODY_BYTES = 16 << 20
MAX_ITEMS = 10_000

_JSON = frozenset({"application/json", "application/cloudevents+json", "application/cloudevents-batch+json"})
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
        raise Refused(415, f"Expected Content-Type {', '.join(sorted(_JSON | _LINES))}, but got another")
    if charset not in ("", "utf-8", "utf8", "us-ascii"):
        raise Refused(415, "Expected UTF-8, but got another charset")
    if "ce-specversion" in headers:
        raise Refused(415, "Expected CloudEvents in structured or batched mode, but got the binary mode")
    packing = headers.get("content-encoding", "identity").strip().lower()
    if packing not in ("identity", "gzip", ""):
        raise Refused(415, "Expected Content-Encoding gzip or none, but got another")
    return Notation(media in _LINES, packing == "gzip")


async def collect(chunks: AsyncIterator[bytes], packed: bool, max_bytes: int = MAX_BODY_BYTES) -> bytes:
    """Return the whole body, unpacked, without ever holding more than ``max_bytes`` of it.

    Raises:
        Refused: 413 when it is larger, 400 when it is not gzip.
    """
    unpack = zlib.decompressobj(31) if packed else None
    parts: list[bytes] = []
    size = 0
    async for chunk in chunks:
        try:
            part = unpack.decompress(chunk, max_bytes + 1 - size) if unpack and chunk else chunk
        except zlib.error:
            raise Refused(400, "Expected a gzip body, but unpacking it failed") from None
        size += len(part)
        if size > max_bytes:
            raise Refused(413, f"Expected at most {max_bytes} bytes a request, unpacked; send smaller batches")
        parts.append(part)
    if unpack and not unpack.eof:
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
