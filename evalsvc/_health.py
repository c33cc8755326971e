"""What ``/livez`` and ``/readyz`` say of workers, here and in the web application; and a small server of them.

The server adds ``/metrics`` for Prometheus. Standard library only, read-only, and in a thread of its own, so that it
answers while the worker is busy.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from types import TracebackType
from typing import Protocol, Self

from evalsvc.errors import ConfigError


class Status(Protocol):
    """What is asked of a worker's status."""

    @property
    def alive(self) -> bool: ...
    @property
    def ready(self) -> bool: ...
    @property
    def waiting_for(self) -> str: ...
    @property
    def failed(self) -> str: ...


class Worker(Protocol):
    """What is asked of a worker."""

    consumer: str

    def status(self) -> Status: ...


def state(status: Status) -> str:
    """Return a worker's state: failed, waiting for something, finished, reading or starting."""
    if status.failed:
        return f"failed: {status.failed}"
    if status.waiting_for:
        return f"waiting for {status.waiting_for}"
    if not status.alive:
        return "finished"
    return "reading" if status.ready else "starting"


def liveness(workers: Sequence[Worker]) -> tuple[int, str]:
    """Return 200 while no worker has failed, else 503 and which has, and why: restarting the process helps."""
    failed = [f"{worker.consumer}: {state(now)}" for worker in workers if (now := worker.status()).failed]
    return (503, "\n".join(failed) + "\n") if failed else (200, "alive\n")


def readiness(workers: Sequence[Worker]) -> tuple[int, str]:
    """Return 200 while every worker reads and writes or has finished, else 503 and what it waits for."""
    states = [(worker.consumer, state(worker.status())) for worker in workers]
    away = [f"{name}: {now}" for name, now in states if now not in ("reading", "finished")]
    return (503, "\n".join(away) + "\n") if away else (200, "ready\n")


class HealthServer:
    """Serves the three paths until it is closed; a context manager."""

    def __init__(self, host: str, port: int, workers: Sequence[Worker], metrics: Callable[[], bytes]) -> None:
        """Bind at once, so that a port in use is found before work begins. Port 0 takes a free one.

        Raises:
            ConfigError: when the address cannot be bound.
        """
        try:
            self._server = ThreadingHTTPServer((host, port), _handler(tuple(workers), metrics))
        except (OSError, OverflowError) as error:
            raise ConfigError(
                f"Cannot listen on {host}:{port}: {error}; choose another --metrics-port, or 0 for any"
            ) from error
        self._server.daemon_threads = True
        self._thread = threading.Thread(target=self._server.serve_forever, name="health", daemon=True)
        self._thread.start()

    @property
    def address(self) -> str:
        """Where it answers, as ``http://host:port``."""
        host, port = self._server.server_address[:2]
        return f"http://{host!s}:{port}"

    def close(self) -> None:
        """Stop answering. May be called twice."""
        self._server.shutdown()
        self._server.server_close()

    def __enter__(self) -> Self:
        """Serve already."""
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        """Close."""
        self.close()


def _handler(workers: Sequence[Worker], metrics: Callable[[], bytes]) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        server_version, sys_version = "evalsvc", ""
        timeout = 10

        def do_GET(self) -> None:
            path = self.path.partition("?")[0]
            if path == "/metrics":
                self._answer(200, metrics(), "text/plain; version=0.0.4; charset=utf-8")
            elif path in ("/livez", "/readyz"):
                code, text = liveness(workers) if path == "/livez" else readiness(workers)
                self._answer(code, text.encode(), "text/plain; charset=utf-8")
            else:
                self._answer(404, b"there are /metrics, /livez and /readyz\n", "text/plain; charset=utf-8")

        def _answer(self, code: int, body: bytes, kind: str) -> None:
            self.send_response(code)
            self.send_header("Content-Type", kind)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, format: str, *args: object) -> None:
            """Stay silent: a probe each second is no news."""

    return Handler
