"""An OpenAI-compatible judge on loopback that answers, or fails, as a test tells it to."""

from __future__ import annotations

import json
import ssl
import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any


@dataclass(frozen=True)
class Answer:
    """What the server sends: a status, headers, a body; ``length`` claims another size than the body has.

    ``parts`` take the body's place: bytes are sent at once, chunk by chunk, and a number is a pause in seconds. With
    ``cut`` the connection is closed after them, before the end that the protocol asks for.
    """

    status: int = 200
    body: bytes = b""
    headers: Mapping[str, str] = field(default_factory=dict)
    length: int | None = None
    hang: bool = False
    drip: bool = False
    parts: tuple[bytes | float, ...] = ()
    cut: bool = False


def says(
    text: str | None, *, usage: tuple[int, int] | None = (100, 20), finish: str | None = "stop", **message: Any
) -> Answer:
    """A chat completion with this text."""
    choice = {"index": 0, "finish_reason": finish, "message": {"role": "assistant", "content": text, **message}}
    body: dict[str, Any] = {"id": "c-1", "object": "chat.completion", "model": "fake-1", "choices": [choice]}
    if usage is not None:
        body["usage"] = {"prompt_tokens": usage[0], "completion_tokens": usage[1], "total_tokens": sum(usage)}
    return Answer(body=json.dumps(body).encode())


def score(value: object) -> Answer:
    """A chat completion that grades as it was told to."""
    return says(json.dumps({"reason": "as asked", "score": value}))


HTML = Answer(body=b"<html><body>Gateway</body></html>", headers={"Content-Type": "text/html"})
HALF_JSON = Answer(body=score(4).body[:40])
CUT_OFF = Answer(body=score(4).body[:40], length=len(score(4).body))
HANG = Answer(hang=True)
DRIP = Answer(drip=True)
APOLOGY = says("I'm sorry, but I can't rate this response.")


def status(code: int, **headers: str) -> Answer:
    """An error without a usable body; underscores in header names become hyphens."""
    return Answer(
        code, b'{"error": {"message": "no"}}', {name.replace("_", "-"): value for name, value in headers.items()}
    )


@dataclass(frozen=True)
class Request:
    """What came: the path, the headers (lower-case) and the parsed body."""

    path: str
    headers: Mapping[str, str]
    body: Mapping[str, Any]

    @property
    def text(self) -> str:
        """All messages' contents in one."""
        return "\n".join(str(message["content"]) for message in self.body["messages"])


Rule = Callable[[Request], Answer]


class FakeJudge:
    """A server at ``url``. Gives the queued ``answers`` in order, then asks ``rule``; ``requests`` holds what came."""

    def __init__(self, *answers: Answer, rule: Rule | None = None) -> None:
        self.answers = list(answers)
        self.rule: Rule = rule or (lambda request: score(4))
        self.requests: list[Request] = []
        self._lock = threading.Lock()
        self._released = threading.Event()
        fake = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                fake._answer(self)

            def log_message(self, format: str, *args: object) -> None:
                pass

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._server.daemon_threads = True
        self._server.block_on_close = False
        self.url = f"http://127.0.0.1:{self._server.server_address[1]}/v1"

    def speak_tls(self, context: ssl.SSLContext) -> None:
        """Answers over TLS from now on; call it before the server is entered."""
        self._server.socket = context.wrap_socket(self._server.socket, server_side=True)
        self.url = self.url.replace("http:", "https:")

    def __enter__(self) -> FakeJudge:
        threading.Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True).start()
        return self

    def __exit__(self, *_: object) -> None:
        self._released.set()
        self._server.shutdown()
        self._server.server_close()

    def _answer(self, handler: BaseHTTPRequestHandler) -> None:
        body = handler.rfile.read(int(handler.headers["Content-Length"]))
        headers = {name.lower(): value for name, value in handler.headers.items()}
        request = Request(handler.path, headers, json.loads(body))
        with self._lock:
            self.requests.append(request)
            queued = self.answers.pop(0) if self.answers else None
        self._send(handler, queued or self.rule(request))

    def _send(self, handler: BaseHTTPRequestHandler, answer: Answer) -> None:
        if answer.hang:
            self._released.wait(30)
            return
        try:
            if answer.drip:
                self._drip(handler)
                return
            if answer.parts:
                self._stream(handler, answer)
                return
            handler.send_response(answer.status)
            for name, value in answer.headers.items():
                handler.send_header(name, value)
            handler.send_header("Content-Length", str(len(answer.body) if answer.length is None else answer.length))
            handler.end_headers()
            handler.wfile.write(answer.body)
        except OSError:
            pass  # the client has left

    def _stream(self, handler: BaseHTTPRequestHandler, answer: Answer) -> None:
        handler.protocol_version = "HTTP/1.1"
        handler.close_connection = True
        handler.send_response(answer.status)
        handler.send_header("Content-Type", "text/event-stream")
        handler.send_header("Transfer-Encoding", "chunked")
        handler.end_headers()
        for part in answer.parts:
            if isinstance(part, bytes):
                handler.wfile.write(b"%x\r\n%s\r\n" % (len(part), part))
            elif self._released.wait(part):
                return
        if not answer.cut:
            handler.wfile.write(b"0\r\n\r\n")

    def _drip(self, handler: BaseHTTPRequestHandler) -> None:
        """Sends a header byte by byte, so that no single read ever times out."""
        handler.wfile.write(b"HTTP/1.1 200 OK\r\nX-Slow: ")
        while not self._released.wait(0.05):
            handler.wfile.write(b"x")
