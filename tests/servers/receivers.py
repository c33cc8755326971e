"""A receiver of alerts on loopback: PagerDuty, Slack or a webhook, that answers, or fails, as a test tells it to."""

from __future__ import annotations

import json
import socket
import struct
import threading
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any


@dataclass(frozen=True)
class Answer:
    """What the server does: sends a status, headers and a body, or one of the `failure`s that are no answer."""

    status: int = 200
    body: bytes = b""
    headers: Mapping[str, str] = field(default_factory=dict)
    failure: str = ""


HANG = Answer(failure="hang")
DRIP_HEADERS = Answer(failure="drip headers")
DRIP_BODY = Answer(failure="drip body")
RESET = Answer(failure="reset")
GARBAGE = Answer(failure="garbage")
HUGE = Answer(body=b" " * (5 << 20))
LOGIN_PAGE = Answer(body=b"<html><body>Please sign in</body></html>", headers={"Content-Type": "text/html"})


@dataclass(frozen=True)
class Request:
    """What came: the path with its query, the headers (lower-case) and the bytes."""

    path: str
    headers: Mapping[str, str]
    raw: bytes

    @property
    def body(self) -> Any:
        """The body as JSON."""
        return json.loads(self.raw)


class FakeReceiver:
    """A server at `url`. Gives the queued `answers` in order, then `usual`; `requests` holds what came."""

    def __init__(self, usual: Answer = Answer()) -> None:
        self.usual = usual
        self.answers: list[Answer] = []
        self.requests: list[Request] = []
        self._lock = threading.Lock()
        self._released = threading.Event()
        fake = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                fake._answer(self)

            def do_GET(self) -> None:
                fake._answer(self)

            def log_message(self, format: str, *args: object) -> None:
                pass

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._server.daemon_threads = True
        self._server.block_on_close = False
        self.url = f"http://127.0.0.1:{self._server.server_address[1]}/hook"

    def __enter__(self) -> FakeReceiver:
        threading.Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True).start()
        return self

    def __exit__(self, *_: object) -> None:
        self._released.set()
        self._server.shutdown()
        self._server.server_close()

    def _answer(self, handler: BaseHTTPRequestHandler) -> None:
        raw = handler.rfile.read(int(handler.headers.get("Content-Length") or 0))
        headers = {name.lower(): value for name, value in handler.headers.items()}
        with self._lock:
            self.requests.append(Request(handler.path, headers, raw))
            answer = self.answers.pop(0) if self.answers else self.usual
        # The client may have left.
        with suppress(OSError):
            if answer.failure:
                self._fail(handler, answer.failure)
            else:
                self._send(handler, answer)

    def _send(self, handler: BaseHTTPRequestHandler, answer: Answer) -> None:
        handler.send_response(answer.status)
        for name, value in answer.headers.items():
            handler.send_header(name, value)
        handler.send_header("Content-Length", str(len(answer.body)))
        handler.end_headers()
        handler.wfile.write(answer.body)

    def _fail(self, handler: BaseHTTPRequestHandler, failure: str) -> None:
        handler.close_connection = True
        if failure == "hang":
            self._released.wait(30)
        elif failure == "reset":
            # Closing without a linger is a reset.
            handler.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            handler.connection.close()
        elif failure == "garbage":
            handler.wfile.write(b"\x16\x03\x01 this is not HTTP\r\n\r\n")
        else:
            # Byte by byte, so that no single read ever times out.
            ends = b"" if failure == "drip headers" else b"y\r\nContent-Length: 100000\r\n\r\n"
            handler.wfile.write(b"HTTP/1.1 200 OK\r\nX-Slow: " + ends)
            while not self._released.wait(0.05):
                handler.wfile.write(b"x")
