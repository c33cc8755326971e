"""Connections to ClickHouse: a small pool, and the driver's failures as ours, with what to do about them."""

from __future__ import annotations

import logging
import re
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING

from evalsvc.errors import SchemaError, StoreError, StoreUnavailable

if TYPE_CHECKING:
    from clickhouse_connect.driver.client import Client

log = logging.getLogger("evalsvc.store")

Connect = Callable[[], "Client"]

# async_insert would answer before rows are visible, and a deduplicated block would swallow a dirty mark.
SETTINGS: dict[str, str] = {
    "async_insert": "0",
    "insert_deduplicate": "0",
    "max_partitions_per_insert_block": "0",
}

_ADVICE = {
    159: "it took too long; narrow the window, or raise max_execution_time",
    202: "too many queries run at once; try again, or raise max_concurrent_queries",
    209: "the network timed out",
    210: "the network failed",
    236: "the server is shutting down",
    241: "the engine is out of memory; narrow the window, or give it more (max_server_memory_usage)",
    242: "the table is read-only: the replica lost its coordinator",
    243: "the disk is full; free space, or lower the retention of events and scores",
    252: "merges lag behind inserts (too many parts); write larger batches, or wait",
    285: "too few replicas answered",
    319: "the outcome of the insert is unknown",
    394: "the query was cancelled",
    439: "no thread could be started",
    999: "the coordinator (Keeper) does not answer",
}
_PORTION_BYTES = 40_000
_SCHEMA = {16: "column", 47: "column", 60: "table", 81: "database"}
_REFUSED = {192, 193, 194, 291, 497, 516}
_DISK_FULL = re.compile(r"No space left on device|NOT_ENOUGH_SPACE|errno: 28|Disk quota exceeded")
_VERSION = re.compile(r"\s*\(version [^)]*\)|\(for url [^)]*\)")


def portions(ids: Sequence[str]) -> Iterator[list[str]]:
    """Cut ids into lists that fit a request's address."""
    portion, size = list[str](), 0
    for name in ids:
        if portion and (size > _PORTION_BYTES or len(portion) >= 2000):
            yield portion
            portion, size = [], 0
        portion.append(name)
        size += 3 * len(name.encode()) + 8
    if portion:
        yield portion


class Pool:
    """Connections that threads borrow. A connection that failed is closed, not lent again."""

    def __init__(self, connect: Connect, where: str = "The store", keep: int = 8) -> None:
        """Connect lazily through ``connect``, to what messages call ``where``; keep at most ``keep`` idle."""
        self._connect, self._where, self._keep = connect, where, keep
        self._idle: list[Client] = []
        self._lock = threading.Lock()
        self._closed = False

    @contextmanager
    def client(self) -> Iterator[Client]:
        """Lend a connection for one or more calls; what the driver raises inside comes out as ours.

        Raises:
            StoreUnavailable: trying again may help.
            SchemaError: a table, column or database is missing.
            StoreError: anything else that the database refuses.
        """
        with translated(self._where):
            client = self._take()
            try:
                yield client
            except BaseException:
                self._discard(client)
                raise
            self._give(client)

    def _take(self) -> Client:
        with self._lock:
            if self._closed:
                raise StoreError("Expected an open store, but it was closed; open it again")
            if self._idle:
                return self._idle.pop()
        return self._connect()

    def _give(self, client: Client) -> None:
        with self._lock:
            if not self._closed and len(self._idle) < self._keep:
                self._idle.append(client)
                return
        client.close()

    @staticmethod
    def _discard(client: Client) -> None:
        try:
            client.close()
        except Exception as error:  # the failure that led here is the one to report
            log.debug("closing_failed_connection error=%s", type(error).__name__)

    def close(self) -> None:
        """Close idle connections; lent ones close when they are given back. May be called twice."""
        with self._lock:
            self._closed, idle, self._idle = True, self._idle, []
        for client in idle:
            client.close()


@contextmanager
def translated(where: str = "The store") -> Iterator[None]:
    """Raise what the driver raises as an :class:`~evalsvc.errors.StoreError`: who failed, and what to do."""
    from clickhouse_connect.driver.exceptions import ClickHouseError

    try:
        yield
    except ClickHouseError as error:
        raise as_store_error(error, where) from error
    except OSError as error:
        raise StoreUnavailable(f"{where} cannot be reached or written: {error.strerror or error}") from error


def as_store_error(error: Exception, where: str = "The store") -> StoreError:
    """Return the error of ours that a driver's error means."""
    from clickhouse_connect.driver.exceptions import OperationalError, StreamFailureError

    code = getattr(error, "code", None)
    text = _brief(str(error))
    if _DISK_FULL.search(str(error)):
        return StoreUnavailable(f"{where} cannot write: {_ADVICE[243]} ({text})")
    if code in _ADVICE:
        return StoreUnavailable(f"{where} does not answer now: {_ADVICE[code]} ({text})")
    if code in _SCHEMA:
        return SchemaError(f"{where} lacks a {_SCHEMA[code]}: run `evalsvc migrate` ({text})")
    if code in _REFUSED:
        return StoreError(f"{where} refuses this user: check user, password and grants in `store:` ({text})")
    if isinstance(error, (OperationalError, StreamFailureError)) and not code:
        return StoreUnavailable(f"{where} does not answer: is it running, and is its address right? ({text})")
    return StoreError(f"{where} refused a statement: {text}")


def _brief(text: str) -> str:
    line = _VERSION.sub("", text.strip().splitlines()[0] if text.strip() else "no message")
    return line if len(line) <= 300 else f"{line[:297]}..."
