"""From an address to a store: ``embedded:PATH``, ``clickhouse://…``, ``memory:``."""

from __future__ import annotations

import atexit
import os
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple
from urllib.parse import parse_qsl, unquote, urlsplit

from evalsvc.errors import ConfigError, MissingExtra, SchemaError, StoreBusy, StoreUnavailable
from evalsvc.store import folder
from evalsvc.store.clickhouse import ClickHouseStore
from evalsvc.store.connections import Pool, translated
from evalsvc.store.memory import MemoryStore
from evalsvc.store.migrate import Retention

if TYPE_CHECKING:
    from clickhouse_connect.driver.client import Client

DATABASE = "evalsvc"
SERVER_MARGIN_SECONDS = 2.0
_SERVER_SCHEMES = {"clickhouse": False, "http+clickhouse": False, "https+clickhouse": True}
_OPTIONS = {"database", "secure", "timeout", "connect_timeout", "compress", "verify", "ca_cert", "margin"}
_OWNER_WAIT_SECONDS = 5.0


class Place(NamedTuple):
    """A parsed address. ``path`` is set for an embedded folder, ``host`` for a server, neither for memory."""

    path: str
    host: str
    port: int
    user: str
    password: str
    database: str
    secure: bool
    options: dict[str, str]

    def __repr__(self) -> str:
        """Name the place without its password."""
        return f"Place({self.path or self.host or 'memory'!r}, {self.database!r})"


def parse_address(url: str) -> Place:
    """Read a store's address.

    Raises:
        ConfigError: an unknown scheme or option, or a database name that needs quoting.

    >>> parse_address("embedded:./data").path
    './data'
    >>> parse_address("clickhouse://me:secret@db.example:8443/quality?secure=1").secure
    True
    """
    address, _, query = url.partition("?")
    options = dict(parse_qsl(query, keep_blank_values=True))
    unknown = sorted(set(options) - _OPTIONS)
    if unknown:
        raise ConfigError(f"Expected store options {', '.join(sorted(_OPTIONS))}, but got {', '.join(unknown)}")
    scheme, colon, rest = address.partition(":")
    database = options.get("database", DATABASE)
    if scheme in _SERVER_SCHEMES and colon:
        return _server(address, options, secure=_SERVER_SCHEMES[scheme] or options.get("secure") in ("1", "true"))
    if address in ("memory:", "memory"):
        return Place("", "", 0, "", "", database, False, options)
    path = rest if scheme == "embedded" and colon else address
    if not path or "://" in path:
        raise ConfigError(
            f"Expected a store as embedded:PATH, clickhouse://USER:PASSWORD@HOST:PORT/DATABASE or memory:, "
            f"but got {path.rpartition('@')[2]!r}"
        )
    return Place(path, "", 0, "", "", _checked(database), False, options)


def _server(address: str, options: dict[str, str], *, secure: bool) -> Place:
    parts = urlsplit(address)
    database = parts.path.strip("/") or options.get("database", DATABASE)
    try:
        port = parts.port or (8443 if secure else 8123)
    except ValueError as error:
        raise ConfigError(f"Expected the store's port to be a number up to 65535: {error}") from error
    if not parts.hostname:
        raise ConfigError("Expected a host in the store's address, as in clickhouse://USER:PASSWORD@HOST:8123/evalsvc")
    user, password = unquote(parts.username or "default"), unquote(parts.password or "")
    return Place("", parts.hostname, port, user, password, _checked(database), secure, options)


def _checked(database: str) -> str:
    if not (database.isascii() and database.isidentifier()):
        raise ConfigError(f"Expected the store's database to be letters, digits and _, but got {database!r}")
    return database


def open_store(
    url: str,
    *,
    migrate: bool | None = None,
    retention: Retention | None = None,
    reach_owner: bool = True,
    create: bool = True,
) -> ClickHouseStore | MemoryStore:
    """Open a store by its address; safe to share between threads.

    ``embedded:PATH`` (or a bare path) runs ClickHouse's engine in this process, or talks to the process that
    already has the folder where that one serves others (``reach_owner``).
    ``clickhouse://USER:PASSWORD@HOST:PORT/DATABASE`` (with ``?secure=1``, or ``https+clickhouse://``) is a
    server. ``memory:`` is gone when the process ends.

    ``migrate`` brings the schema up to date first; ``None`` does so for a folder of one's own, and checks
    otherwise. ``create=False`` makes no new embedded folder: whoever only reads would find it empty.

    Raises:
        StoreBusy: another process has the folder and serves nobody; ``address`` is where it would answer.
        StoreUnavailable: nothing answers now.
        SchemaError: the schema does not fit this release, or there is no such folder and none is to be made.
        ConfigError: the address cannot be read.
    """
    place = parse_address(url)
    if place.host:
        return _ready(_server_store(place, retention, create=bool(migrate)), bool(migrate))
    if not place.path:
        return MemoryStore()
    if not (create or folder.exists(Path(place.path))):
        raise SchemaError(
            f"There is no store in {os.path.abspath(place.path)}; run `evalsvc migrate`, `up`, `run` or `replay` "
            "to make one, or name another with --store, EVALSVC_STORE or `store` under [tool.evalsvc]"
        )
    try:
        path = folder.acquire(Path(place.path))
    except StoreBusy:
        if not reach_owner:
            raise
        return _ready(_owner_store(place, retention), bool(migrate))
    try:
        store = _embedded_store(place, path, retention)
    except BaseException:
        folder.release(path)
        raise
    return _ready(store, migrate is not False)


def _ready(store: ClickHouseStore, migrate: bool) -> ClickHouseStore:
    try:
        if migrate:
            store.migrate()
        else:
            store.check_schema()
    except BaseException:
        store.close()
        raise
    return store


def _embedded_store(place: Place, path: str, retention: Retention | None) -> ClickHouseStore:
    connect = _embedded_connect(path)
    pool = Pool(lambda: connect(place.database))
    with translated():
        first = connect(None)
        first.command(f"CREATE DATABASE IF NOT EXISTS {place.database}")
        first.close()
    store = ClickHouseStore(pool, retention=retention, on_close=lambda: _leave(store, path))
    # An engine that is still open when the interpreter goes down complains on standard error.
    atexit.register(store.close)
    return store


def _leave(store: ClickHouseStore, path: str) -> None:
    atexit.unregister(store.close)
    folder.release(path)


def _embedded_connect(path: str) -> Callable[[str | None], Client]:
    try:
        import chdb  # noqa: F401
        import clickhouse_connect
    except ImportError as error:
        raise MissingExtra("chdb", "all") from error
    from clickhouse_connect.driver.exceptions import ProgrammingError

    def connect(database: str | None) -> Client:
        try:
            return clickhouse_connect.get_client(interface="chdb", path=path, database=database)
        except ProgrammingError as error:
            if "EmbeddedServer" in str(error):
                raise folder.busy(path) from error
            raise

    return connect


def _owner_store(place: Place, retention: Retention | None) -> ClickHouseStore:
    """Talk to the process that has the folder. New connections read its address: it may have restarted."""
    path = os.path.realpath(place.path)
    if folder.read_address(path, _OWNER_WAIT_SECONDS) is None:
        raise folder.busy(path)

    def connect() -> Client:
        address = folder.read_address(path)
        if address is None:
            raise StoreUnavailable(f"The process that served {path} is gone; start `evalsvc up` again")
        parts = urlsplit(address.url)
        return _http_client(place, str(parts.hostname), parts.port or 0, "evalsvc", address.token, place.database)

    where = f"process that has {place.path}"
    return ClickHouseStore(Pool(connect, f"The {where}"), retention=retention, address=f"the {where}")


def _server_store(place: Place, retention: Retention | None, *, create: bool) -> ClickHouseStore:
    def connect(database: str | None = place.database) -> Client:
        return _http_client(place, place.host, place.port, place.user, place.password, database)

    where = f"ClickHouse at {place.host}:{place.port}"
    if create:
        with translated(where):
            first = connect(None)
            if not first.command(f"EXISTS DATABASE {place.database}"):
                first.command(f"CREATE DATABASE IF NOT EXISTS {place.database}")
            first.close()
    margin = _seconds(place, "margin", SERVER_MARGIN_SECONDS)
    return ClickHouseStore(Pool(connect, where), margin_seconds=margin, retention=retention, address=where)


def _http_client(place: Place, host: str, port: int, user: str, password: str, database: str | None) -> Client:
    import clickhouse_connect

    options: dict[str, Any] = {}
    if place.secure:
        options = {"verify": place.options.get("verify", "1") not in ("0", "false")}
        options |= {"ca_cert": place.options["ca_cert"]} if "ca_cert" in place.options else {}
    compress = place.options.get("compress", "1")
    return clickhouse_connect.get_client(
        interface="https" if place.secure else "http",
        host=host,
        port=port,
        username=user,
        password=password,
        database=database or "default",
        compress={"1": True, "0": False}.get(compress, compress),
        connect_timeout=max(1, round(_seconds(place, "connect_timeout", 10.0))),
        send_receive_timeout=max(1, round(_seconds(place, "timeout", 60.0))),
        autogenerate_session_id=False,
        dedicated_pool=True,
        show_clickhouse_errors="scrub",
        **options,
    )


def _seconds(place: Place, name: str, default: float) -> float:
    text = place.options.get(name)
    try:
        return default if text is None else float(text)
    except ValueError:
        raise ConfigError(f"Expected the store option {name} in seconds, but got {text!r}") from None
