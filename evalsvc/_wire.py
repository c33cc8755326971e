"""One HTTP request that is over by its time-out, whatever the server does.

The standard library's client suffices: one POST, one body, an answer at once or as it comes. Redirects are not
followed, since the key and the text would go where the operator did not send them. ``HTTPS_PROXY``, ``HTTP_PROXY`` and
``NO_PROXY`` count as usual.
"""

from __future__ import annotations

import base64
import http.client
import queue
import socket
import ssl
import threading
import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from functools import lru_cache
from typing import NamedTuple
from urllib.parse import SplitResult, unquote, urlsplit
from urllib.request import getproxies, proxy_bypass

MAX_REPLY_BYTES = 4 << 20
_BLOCK_BYTES = 1 << 16


class Reply(NamedTuple):
    """What the server answered."""

    status: int
    retry_after: str
    body: bytes


class NoReply(NamedTuple):
    """Why there is no answer. ``sent``: the request was on its way, so the server may have worked on it."""

    reason: str
    sent: bool


class Reading(NamedTuple):
    """How an answer is read as it comes, where its status is 200; its :class:`Reply` has no body then.

    ``block`` is given each part as it arrives and returns whether more is wanted; after the first, no pause may be
    longer than ``stall_seconds``. ``max_bytes`` bounds the whole.
    """

    block: Callable[[bytes], bool]
    stall_seconds: float
    max_bytes: int = MAX_REPLY_BYTES


def post(
    url: str, body: bytes, headers: Mapping[str, str], timeout_seconds: float, reading: Reading | None = None
) -> Reply | NoReply:
    """Send a request and return its answer, or why there is none; returns within the time-out, in real time.

    The request runs in a thread of its own: a socket's time-out bounds each read and not their sum, and looking up a
    name has none at all. What is late is cut off and its thread left to end by itself.
    """
    exchange = _Exchange(url, body, headers, timeout_seconds, reading)
    thread = threading.Thread(target=exchange.run, name="evalsvc-request", daemon=True)
    thread.start()
    try:
        return exchange.result.get(timeout=timeout_seconds)
    except queue.Empty:
        exchange.cut_off()
        return NoReply("no answer in time", exchange.sent)


class _Exchange:
    def __init__(
        self, url: str, body: bytes, headers: Mapping[str, str], timeout_seconds: float, reading: Reading | None
    ) -> None:
        self.result: queue.SimpleQueue[Reply | NoReply] = queue.SimpleQueue()
        self.sent = False
        self._url, self._body, self._headers, self._timeout = urlsplit(url), body, headers, timeout_seconds
        self._connection: http.client.HTTPConnection | None = None
        self._reading, self._begun = reading, False
        self._late = False

    def run(self) -> None:
        """Do it, and put what came of it into ``result``: always one thing."""
        try:
            self.result.put(self._request())
        except TimeoutError:
            self.result.put(NoReply("answer stopped midway" if self._begun else "no answer in time", self.sent))
        # Whatever goes wrong with a connection is its kind and no more: a message may hold the address or a header.
        except Exception as error:
            self.result.put(NoReply(f"connection failed ({type(error).__name__})", self.sent))
        finally:
            if self._connection is not None:
                self._connection.close()

    def cut_off(self) -> None:
        """End a request that hangs in its socket."""
        self._late = True
        sock = self._connection.sock if self._connection else None
        if sock is not None:
            with suppress(OSError):
                sock.shutdown(socket.SHUT_RDWR)

    def _request(self) -> Reply:
        self._connection, target, headers = _connection(self._url, self._timeout)
        self._connection.connect()
        if self._late:
            raise TimeoutError
        self.sent = True
        self._connection.request("POST", target, self._body, {**headers, **self._headers})
        # A response that ends the connection takes its socket along.
        sock = self._connection.sock
        response = self._connection.getresponse()
        if self._reading is not None and response.status == 200:
            self._stream(response, sock, self._reading)
            return Reply(response.status, "", b"")
        return Reply(response.status, response.headers.get("Retry-After", ""), self._read(response))

    def _stream(self, response: http.client.HTTPResponse, sock: socket.socket, reading: Reading) -> None:
        size = 0
        while block := response.read1(_BLOCK_BYTES):
            if not self._begun:
                self._begun = True
                sock.settimeout(reading.stall_seconds)
            size += len(block)
            if size > reading.max_bytes:
                raise ReplyTooLongError
            if self._late or not reading.block(block):
                return
        if response.length:
            raise http.client.IncompleteRead(b"")

    def _read(self, response: http.client.HTTPResponse) -> bytes:
        parts, size, end = [], 0, time.monotonic() + self._timeout
        while block := response.read(_BLOCK_BYTES):
            size += len(block)
            if size > MAX_REPLY_BYTES:
                raise ReplyTooLongError
            if time.monotonic() > end:
                raise TimeoutError
            parts.append(block)
        if response.length:
            raise http.client.IncompleteRead(b"")
        return b"".join(parts)


class ReplyTooLongError(Exception):
    """The answer has more than :data:`MAX_REPLY_BYTES`."""


def _connection(url: SplitResult, timeout: float) -> tuple[http.client.HTTPConnection, str, dict[str, str]]:
    """Return a connection that is not open yet, the request's target, and headers for a proxy."""
    host, secure = url.hostname or "", url.scheme == "https"
    target = (url.path or "/") + (f"?{url.query}" if url.query else "")
    port = url.port or (443 if secure else 80)
    proxy = _proxy(url)
    if proxy is None:
        return _open(secure, host, port, timeout), target, {}
    credentials = f"{unquote(proxy.username or '')}:{unquote(proxy.password or '')}".encode()
    authority = {"Proxy-Authorization": f"Basic {base64.b64encode(credentials).decode()}"} if proxy.username else {}
    connection = _open(secure, proxy.hostname or "", proxy.port or 80, timeout)
    if secure:
        connection.set_tunnel(host, port, authority)
        return connection, target, {}
    return connection, url._replace(fragment="").geturl(), authority


def _open(secure: bool, host: str, port: int, timeout: float) -> http.client.HTTPConnection:
    if secure:
        return http.client.HTTPSConnection(host, port, timeout=timeout, context=_trusted())
    return http.client.HTTPConnection(host, port, timeout=timeout)


def _proxy(url: SplitResult) -> SplitResult | None:
    address = getproxies().get(url.scheme)
    if not address or proxy_bypass(url.netloc):
        return None
    return urlsplit(address if "//" in address else f"http://{address}")


@lru_cache(maxsize=1)
def _trusted() -> ssl.SSLContext:
    # Reading the machine's certificates takes 20 ms, once; SSL_CERT_FILE replaces them as everywhere.
    return ssl.create_default_context()
