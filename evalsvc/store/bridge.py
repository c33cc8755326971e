"""The bridge: this process's embedded engine, spoken to over ClickHouse's HTTP protocol on loopback.

The engine admits one process to a folder. The process that has it (``evalsvc up``) starts a :class:`Bridge`,
and every other command's ``open_store`` finds its address in the folder and talks to it with the driver's
ordinary HTTP client: workers write through it, ``query`` reads through it. A request whose body does not
arrive whole changes nothing.
"""

from __future__ import annotations

import contextlib
import hmac
import json
import logging
import re
import secrets
import threading
import time
from base64 import b64decode
from binascii import Error as Base64Error
from collections.abc import Iterator, Mapping
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from types import TracebackType
from typing import NamedTuple
from urllib.parse import parse_qsl, urlsplit

from evalsvc.store import folder
from evalsvc.store.engine import Engine, EngineFailure
from evalsvc.store.wire import BodyError, compress, form_fields, pick_encoding, read_body

log = logging.getLogger("evalsvc.bridge")

_AUTHENTICATION_FAILED = 516
_NOT_FOUND = {60, 81}
_BAD_REQUEST = {36, 43, 46, 47, 53, 62, 115, 117, 456}
_RESULT = re.compile(
    rb"\s*(?:--[^\n]*\n\s*|/\*.*?\*/\s*|\()*(SELECT|WITH|SHOW|DESC|DESCRIBE|EXISTS|EXPLAIN|CHECK)\b",
    re.I | re.S,
)
_INSERT = re.compile(rb"\s*(INSERT\s+INTO\s+.+?)\s+FORMAT\s+(\w+)\s*$", re.I | re.S)
_SELECT_OF_INSERT = re.compile(rb"\b(?:SELECT|VALUES|INFILE)\b", re.I)
_FORMAT = re.compile(rb"\bFORMAT\s+(\w+)\s*;?\s*$", re.I)


class Bridge:
    """A loopback server over an embedded folder that this process has open; a context manager.

    ``url`` and ``token`` are what a client needs; they also stand in the folder's address file, which only
    this user can read. ``slots`` requests run at a time, others wait.
    """

    def __init__(self, path: str | Path, *, port: int = 0, slots: int = 8, publish: bool = True) -> None:
        """Take the folder (again), bind to loopback and serve from a thread; ``port`` 0 picks a free one.

        Raises:
            StoreBusy: another process has the folder.
        """
        self._path = folder.acquire(Path(path))
        try:
            self._engine = Engine(self._path, slots)
            self._server = _Server(("127.0.0.1", port), _Handler)
        except BaseException:
            folder.release(self._path)
            raise
        self.token = secrets.token_urlsafe(24)
        self._server.bridge = self
        self.url = f"http://127.0.0.1:{self._server.server_address[1]}"
        self._closed = False
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.1,), name="bridge", daemon=True)
        self._thread.start()
        if publish:
            folder.write_address(self._path, self.url, self.token)

    @property
    def engine(self) -> Engine:
        """What runs the statements."""
        return self._engine

    def close(self) -> None:
        """Withdraw the address, finish what runs and let go of the folder. May be called twice."""
        if self._closed:
            return
        self._closed = True
        folder.remove_address(self._path)
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()
        self._engine.close()
        folder.release(self._path)

    def __enter__(self) -> Bridge:
        """Return the running bridge."""
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Close it."""
        self.close()


class _Server(ThreadingHTTPServer):
    daemon_threads = True
    block_on_close = False
    request_queue_size = 128
    bridge: Bridge


class _Answer(NamedTuple):
    status: int
    body: bytes
    headers: Mapping[str, str]


class _Handler(BaseHTTPRequestHandler):
    """One connection. Answers are whole: a client never sees half a result as success."""

    protocol_version = "HTTP/1.1"
    server_version = "evalsvc"
    sys_version = ""
    timeout = 300
    wbufsize = -1
    disable_nagle_algorithm = True
    server: _Server

    def do_GET(self) -> None:
        """Answer ``/ping`` to anybody, and a statement in ``query`` to who has the token."""
        self._serve()

    def do_POST(self) -> None:
        """Run the statement in ``query`` or the body, with what follows as its data."""
        self._serve()

    def log_message(self, format: str, *args: object) -> None:
        """Log no request line: a statement's parameters stand in it."""

    def _serve(self) -> None:
        parts = urlsplit(self.path)
        if parts.path == "/ping":
            self._answer_unread(_Answer(200, b"Ok.\n", {}))
            return
        if not self._authorised():
            refused = "Authentication failed: the bridge's token is wrong"
            self._answer_unread(_failure(403, _AUTHENTICATION_FAILED, refused))
            return
        try:
            body = read_body(self.headers, self.rfile)
            fields = form_fields(self.headers.get("Content-Type", ""), body)
        except BodyError as error:
            # What follows on this connection cannot be told from the body: end it.
            self.close_connection = True
            log.warning("request_cut reason=%s", error)
            with contextlib.suppress(OSError):
                self._send(_failure(400, 33, str(error)))
            return
        self._finish(self._run(dict(parse_qsl(parts.query, keep_blank_values=True)), body, fields))

    def _answer_unread(self, answer: _Answer) -> None:
        """Answer who may send no body, and end the connection where there is one: it is not read."""
        announced = self.headers.get("Content-Length", "0")
        self.close_connection |= announced != "0" or "Transfer-Encoding" in self.headers
        self._finish(answer)

    def _finish(self, answer: _Answer) -> None:
        try:
            self._send(answer)
        except OSError as error:
            self.close_connection = True
            log.info("client_left error=%s", type(error).__name__)

    def _authorised(self) -> bool:
        given = self.headers.get("X-ClickHouse-Key") or _password(self.headers.get("Authorization", ""))
        return hmac.compare_digest(given.encode(), self.server.bridge.token.encode())

    def _run(self, options: dict[str, str], body: bytes, fields: Mapping[str, str] | None) -> _Answer:
        began = time.monotonic()
        if fields is not None:
            options, body = {**options, **fields}, b""
        try:
            result = run_statement(self.server.bridge.engine, options, body)
        except EngineFailure as failure:
            return _failure(_status(failure.code), failure.code, str(failure))
        headers = {"X-ClickHouse-Timezone": "UTC", "X-ClickHouse-Query-Id": options.get("query_id", "")}
        elapsed = str(int((time.monotonic() - began) * 1e9))
        headers["X-ClickHouse-Summary"] = json.dumps({**result.summary, "elapsed_ns": elapsed})
        if result.format:
            headers["X-ClickHouse-Format"] = result.format
        return self._compressed(options, result.body, headers)

    def _compressed(self, options: Mapping[str, str], body: bytes, headers: dict[str, str]) -> _Answer:
        wanted = self.headers.get("Accept-Encoding", "") if options.get("enable_http_compression") == "1" else ""
        encoding = pick_encoding(wanted)
        if body and encoding:
            headers["Content-Encoding"] = encoding
            body = compress(body, encoding)
        return _Answer(200, body, headers)

    def _send(self, answer: _Answer) -> None:
        self.send_response(answer.status)
        for name, value in answer.headers.items():
            self.send_header(name, value)
        self.send_header("Content-Length", str(len(answer.body)))
        if self.close_connection:
            self.send_header("Connection", "close")
        self.end_headers()
        self.wfile.write(answer.body)
        self.wfile.flush()


class Result(NamedTuple):
    """A statement's bytes, the format that they are in (empty where it has no result) and its counts."""

    body: bytes
    format: str
    summary: Mapping[str, str]


def run_statement(engine: Engine, options: Mapping[str, str], body: bytes) -> Result:
    """Run what a request asks for: ``query`` and the body are one statement, maybe with data behind it.

    Raises:
        EngineFailure: with ClickHouse's own code.
    """
    parameters = {name[6:]: value for name, value in options.items() if name.startswith("param_")}
    database = options.get("database", "")
    settings = {name: value for name, value in options.items() if name not in TRANSPORT and name[:6] != "param_"}
    statement, data = _split(options.get("query", ""), body)
    with engine.session(database, settings) as session:
        insert = _INSERT.fullmatch(statement)
        if insert and not _SELECT_OF_INSERT.search(insert[1]):
            written = session.insert(insert[1].decode(), insert[2].decode(), data)
            return Result(b"", "", {"written_rows": str(written), "read_rows": str(written)})
        default = options.get("default_format", "TabSeparated")
        text = (statement + b"\n" + data if data else statement).decode()
        found, read = session.query(text, default, parameters)
        named = _FORMAT.search(statement)
        form = (named[1].decode() if named else default) if _RESULT.match(statement) else ""
        return Result(found, form, {"read_rows": str(read)})


TRANSPORT = frozenset(
    {
        "database",
        "query",
        "default_format",
        "buffer_size",
        "session_id",
        "session_timeout",
        "session_check",
        "query_id",
        "quota_key",
        "compress",
        "decompress",
        "wait_end_of_query",
        "client_protocol_version",
        "role",
        "send_progress_in_http_headers",
        "enable_http_compression",
        "http_headers_progress_interval_ms",
        "cancel_http_readonly_queries_on_client_close",
        "user",
        "password",
    }
)


def _split(query: str, body: bytes) -> tuple[bytes, bytes]:
    """Return the statement, and the data of an insert that follows it."""
    if query:
        return query.encode(), body
    first, newline, rest = body.partition(b"\n")
    insert = _INSERT.fullmatch(first) if newline else None
    return (first, rest) if insert and not _SELECT_OF_INSERT.search(insert[1]) else (body, b"")


def _password(header: str) -> str:
    scheme, _, value = header.partition(" ")
    if scheme.lower() == "bearer":
        return value.strip()
    try:
        return b64decode(value, validate=True).decode().partition(":")[2] if scheme.lower() == "basic" else ""
    except (Base64Error, UnicodeDecodeError):
        return ""


def _status(code: int) -> int:
    if code in _NOT_FOUND:
        return 404
    return 400 if code in _BAD_REQUEST else 500


def _failure(status: int, code: int, message: str) -> _Answer:
    text = message if message.startswith("Code:") else f"Code: {code}. DB::Exception: {message}"
    return _Answer(status, text.encode("utf-8", "replace"), {"X-ClickHouse-Exception-Code": str(code)})


@contextlib.contextmanager
def serving(path: str | Path) -> Iterator[Bridge]:
    """Serve a folder for the length of a ``with`` block."""
    with Bridge(path) as bridge:
        yield bridge
