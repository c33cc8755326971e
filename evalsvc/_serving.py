"""A web server in a thread: bound before work begins, stopped after it; signals are left to the command."""

from __future__ import annotations

import socket
import threading
import time
from collections.abc import Callable
from types import TracebackType
from typing import TYPE_CHECKING, Any, Self

from evalsvc.errors import ConfigError, EvalsvcError, MissingExtra
from evalsvc.protocols import Source

if TYPE_CHECKING:
    from starlette.applications import Starlette

ASGI = Callable[..., Any]
START_SECONDS = 20.0


def endpoint(source: Source) -> Starlette:
    """Return an application with the routes of a source that is filled over HTTP.

    Raises:
        MissingExtra: when starlette is not installed.
    """
    from evalsvc.sources.http import HttpSource

    try:
        from starlette.applications import Starlette
    except ImportError as error:
        raise MissingExtra("starlette", "web") from error
    if not isinstance(source, HttpSource):
        raise ConfigError(f"Expected a source that takes HTTP requests, but got {type(source).__name__}")
    return Starlette(routes=source.routes())


class WebServer:
    """Serves an application with uvicorn until it is closed; a context manager."""

    def __init__(self, app: ASGI, host: str, port: int) -> None:
        """Bind at once, so that a port in use is found before work begins. Port 0 takes a free one.

        Raises:
            ConfigError: when the address cannot be bound.
            MissingExtra: when uvicorn is not installed.
        """
        try:
            import uvicorn
        except ImportError as error:
            raise MissingExtra("uvicorn", "web") from error
        self._socket = _bind(host, port)
        config = uvicorn.Config(
            app,
            log_config=None,
            access_log=False,
            lifespan="off",
            server_header=False,
            timeout_graceful_shutdown=10,
        )
        self._server = uvicorn.Server(config)
        self._thread = threading.Thread(target=self._server.run, args=([self._socket],), name="web", daemon=True)

    @property
    def address(self) -> str:
        """Where it answers, as ``http://host:port``."""
        host, port = self._socket.getsockname()[:2]
        return f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"

    def __enter__(self) -> Self:
        """Start, and return when it answers."""
        self._thread.start()
        deadline = time.monotonic() + START_SECONDS
        while not self._server.started:
            if not self._thread.is_alive() or time.monotonic() > deadline:
                raise EvalsvcError(f"The web server at {self.address} did not start; -v shows why")
            time.sleep(0.01)
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        """Answer what has come, and stop."""
        self._server.should_exit = True
        self._thread.join(15.0)
        self._socket.close()


def check_free(host: str, port: int) -> None:
    """Refuse an address in use before long work that ends with serving there.

    Raises:
        ConfigError: when the address cannot be bound.
    """
    _bind(host, port).close()


def _bind(host: str, port: int) -> socket.socket:
    try:
        family, _, _, _, address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)[0]
        bound = socket.socket(family, socket.SOCK_STREAM)
        bound.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        bound.bind(address)
    except OSError as error:
        others = "choose another port (--port, or `port` of the consumer's source), or 0 for any"
        raise ConfigError(f"Cannot listen on {host}:{port}: {error.strerror or error}; {others}") from error
    return bound
