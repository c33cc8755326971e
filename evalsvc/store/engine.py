"""Handles on the embedded engine for the bridge; each remembers its database and settings."""

from __future__ import annotations

import re
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from importlib import import_module
from typing import Any, Protocol

_CODE = re.compile(r"Code: (\d+)\. ")
_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
_NO_CODE = 1000
_BAD_NAME = 36


class EngineFailure(Exception):
    """What the engine said, with ClickHouse's own error code; leaves the bridge as an HTTP answer only."""

    def __init__(self, message: str) -> None:
        found = _CODE.search(message)
        self.code = int(found[1]) if found else _NO_CODE
        super().__init__(message[found.start() :] if found else message)


class Result(Protocol):
    """What a statement of the engine returns."""

    def bytes(self) -> bytes | None:
        """The result in the format that was asked for."""
        ...

    def rows_read(self) -> int:
        """How many rows were read."""
        ...


class Connection(Protocol):
    """What is used of the engine package's connections."""

    def query(self, query: str, format: str, params: Mapping[str, str]) -> Result:
        """Run a statement to its end."""
        ...

    def send_insert(self, query: str, format: str) -> Any:  # noqa: ANN401
        """Begin an insert whose data follow."""
        ...

    def close(self) -> None:
        """Close the connection."""
        ...


class Engine:
    """The engine of one folder, with at most ``slots`` handles in use; who comes later waits."""

    def __init__(self, path: str, slots: int) -> None:
        """Open the folder, which this process must own."""
        self._path = path
        self._free = threading.Semaphore(slots)
        self._idle: list[Session] = []
        self._lock = threading.Lock()
        self._closed = False
        self._give(self._open())

    def _open(self) -> Session:
        chdb: Any = import_module("chdb")
        return Session(chdb.connect(self._path))

    @contextmanager
    def session(self, database: str, settings: Mapping[str, str]) -> Iterator[Session]:
        """Lend a handle that stands in this database with these settings.

        Raises:
            EngineFailure: the database or a setting does not exist, or the statement inside failed.
        """
        with self._free:
            with self._lock:
                session = self._idle.pop() if self._idle else None
            session = session or self._open()
            try:
                session.use(database, settings)
                yield session
            finally:
                self._give(session)

    def _give(self, session: Session) -> None:
        with self._lock:
            if not self._closed:
                self._idle.append(session)
                return
        session.close()

    def close(self) -> None:
        """Close idle handles; lent ones close when they come back. May be called twice."""
        with self._lock:
            self._closed, idle, self._idle = True, self._idle, []
        for session in idle:
            session.close()


class Session:
    """One handle. Not thread-safe; the engine lends it to one request at a time."""

    def __init__(self, connection: Connection) -> None:
        """Wrap a connection of the engine's package."""
        self._connection = connection
        self._database = ""
        self._settings: dict[str, str] = {}

    def use(self, database: str, settings: Mapping[str, str]) -> None:
        """Stand in a database with exactly these settings; costs nothing where that is so already."""
        wanted = database or "default"
        if wanted != self._database:
            self.query(f"USE {_quoted(wanted)}", "TabSeparated", {})
            self._database = wanted
        if self._settings != dict(settings):
            for name in self._settings.keys() - settings.keys():
                self._set(name, "DEFAULT")
                del self._settings[name]
            for name, value in settings.items():
                if self._settings.get(name) != value:
                    self._set(name, _literal(value))
                    self._settings[name] = value

    def _set(self, name: str, value: str) -> None:
        if not _NAME.fullmatch(name):
            raise EngineFailure(f"Code: {_BAD_NAME}. DB::Exception: Expected a setting's name. (BAD_ARGUMENTS)")
        self.query(f"SET {name} = {value}", "TabSeparated", {})

    def query(self, statement: str, form: str, parameters: Mapping[str, str]) -> tuple[bytes, int]:
        """Run a statement; return its bytes and how many rows it read."""
        try:
            result = self._connection.query(statement, form, params=dict(parameters))
        except Exception as error:
            raise EngineFailure(str(error)) from error
        return result.bytes() or b"", result.rows_read()

    def insert(self, statement: str, form: str, data: bytes) -> int:
        """Insert data in a format; return how many rows. Nothing is written where the data is damaged."""
        try:
            with self._connection.send_insert(statement, form) as inserter:
                inserter.append(data)
                return int(inserter.finish().rows_written)
        except Exception as error:
            raise EngineFailure(str(error)) from error

    def close(self) -> None:
        """Close the handle."""
        self._connection.close()


def _quoted(name: str) -> str:
    escaped = name.replace("\\", "\\\\").replace("`", "\\`")
    return f"`{escaped}`"


def _literal(value: str) -> str:
    escaped = value.replace("\\", "\\\\").replace("'", "\\'")
    return f"'{escaped}'"
