"""HTTP bodies as ClickHouse's clients send them: of known length or in chunks, and compressed."""

from __future__ import annotations

import gzip
import re
import sys
import zlib
from collections.abc import Callable, Mapping
from email.message import Message
from importlib import import_module
from io import BufferedIOBase, BytesIO
from types import ModuleType

from evalsvc.errors import EvalsvcError

LARGEST_BODY = 1 << 30
_LINE = 1024
_BOUNDARY = re.compile(r'boundary="?([^";]+)')
_FIELD = re.compile(rb'name="([^"]*)"')


class BodyError(EvalsvcError):
    """A body that is cut, too large or damaged; nothing of it may be used."""


def read_body(headers: Message, stream: BufferedIOBase) -> bytes:
    """Read a request's whole body and undo its ``Content-Encoding``.

    Raises:
        BodyError: it ended early, is damaged, or is larger than :data:`LARGEST_BODY`.
    """
    try:
        if "chunked" in headers.get("Transfer-Encoding", "").lower():
            raw = _chunked(stream)
        else:
            raw = _exactly(stream, _size(headers.get("Content-Length", "0"), 10))
        return decompress(raw, headers.get("Content-Encoding", ""))
    except OSError as error:
        raise BodyError(f"the connection failed within the body ({type(error).__name__})") from error


def _chunked(stream: BufferedIOBase) -> bytes:
    body = BytesIO()
    while True:
        line = stream.readline(_LINE)
        if not line.endswith(b"\n"):
            raise BodyError("the connection ended between two chunks of the body")
        size = _size(line.split(b";")[0].decode("ascii", "replace").strip(), 16)
        if body.tell() + size > LARGEST_BODY:
            raise BodyError(f"the body is larger than {LARGEST_BODY} bytes")
        if not size:
            while stream.readline(_LINE) not in (b"\r\n", b"\n", b""):
                pass
            return body.getvalue()
        body.write(_exactly(stream, size))
        _exactly(stream, 2)


def _size(text: str, base: int) -> int:
    try:
        size = int(text, base)
    except ValueError:
        raise BodyError("the length of the body is not a number") from None
    if not 0 <= size <= LARGEST_BODY:
        raise BodyError(f"the body is larger than {LARGEST_BODY} bytes")
    return size


def _exactly(stream: BufferedIOBase, size: int) -> bytes:
    data = stream.read(size)
    if len(data) != size:
        raise BodyError(f"the connection ended after {len(data)} of {size} bytes of the body")
    return data


def form_fields(content_type: str, body: bytes) -> dict[str, str] | None:
    """Return the fields of a ``multipart/form-data`` body (long parameters); ``None`` for other bodies.

    Raises:
        BodyError: a field has no name, or a value is not UTF-8.
    """
    found = _BOUNDARY.search(content_type)
    if not content_type.lower().startswith("multipart/form-data") or not found:
        return None
    fields = {}
    for part in (b"\r\n" + body).split(b"\r\n--" + found[1].encode())[1:-1]:
        head, _, value = part.partition(b"\r\n\r\n")
        name = _FIELD.search(head)
        try:
            fields[name[1].decode() if name else ""] = value.decode()
        except UnicodeDecodeError as error:
            raise BodyError("a field of the form is not UTF-8") from error
    if "" in fields:
        raise BodyError("a field of the form has no name")
    return fields


def decompress(data: bytes, encoding: str) -> bytes:
    """Undo an encoding; a body may be several compressed frames, one after the other.

    Raises:
        BodyError: the data is damaged, or the encoding unknown.
    """
    if not encoding or encoding == "identity":
        return data
    if encoding not in _DECOMPRESSORS:
        raise BodyError(f"expected Content-Encoding {', '.join(sorted(_DECOMPRESSORS))}, but got {encoding[:20]!r}")
    try:
        return _DECOMPRESSORS[encoding](data)
    except (RuntimeError, ValueError, OSError, EOFError, zlib.error) as error:
        raise BodyError(f"the body is not whole {encoding}") from error
    except Exception as error:
        if type(error).__name__ == "ZstdError":
            raise BodyError(f"the body is not whole {encoding}") from error
        raise


def compress(data: bytes, encoding: str) -> bytes:
    """Apply one of the encodings that :func:`pick_encoding` returns."""
    return _COMPRESSORS[encoding](data)


def pick_encoding(accepted: str) -> str:
    """Return the first encoding of an ``Accept-Encoding`` that can be applied; empty where none can.

    >>> pick_encoding("br;q=0.1, gzip")
    'gzip'
    """
    names = (part.split(";")[0].strip() for part in accepted.split(","))
    return next((name for name in names if name in _COMPRESSORS), "")


def _lz4_decompress(data: bytes) -> bytes:
    import lz4.frame

    out, rest = BytesIO(), data
    while rest:
        frame = lz4.frame.LZ4FrameDecompressor()
        out.write(frame.decompress(rest))
        if not frame.eof:
            raise ValueError("cut")
        rest = frame.unused_data or b""
    return out.getvalue()


def _lz4_compress(data: bytes) -> bytes:
    import lz4.frame

    return bytes(lz4.frame.compress(data))


def _zstd_decompress(data: bytes) -> bytes:
    out, rest, zstd = BytesIO(), data, _zstd()
    while rest:
        frame = zstd.ZstdDecompressor()
        out.write(frame.decompress(rest))
        if not frame.eof:
            raise ValueError("cut")
        rest = frame.unused_data
    return out.getvalue()


def _zstd_compress(data: bytes) -> bytes:
    return bytes(_zstd().compress(data))


def _zstd() -> ModuleType:
    """Return the module that the driver itself compresses with."""
    return import_module("compression.zstd" if sys.version_info >= (3, 14) else "backports.zstd")


_Codec = Callable[[bytes], bytes]
_COMPRESSORS: Mapping[str, _Codec] = {
    "lz4": _lz4_compress,
    "zstd": _zstd_compress,
    "gzip": lambda data: gzip.compress(data, 3),
    "deflate": zlib.compress,
}
_DECOMPRESSORS: Mapping[str, _Codec] = {
    "lz4": _lz4_decompress,
    "zstd": _zstd_decompress,
    "gzip": gzip.decompress,
    "deflate": zlib.decompress,
}
