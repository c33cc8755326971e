"""The bridge speaks enough of ClickHouse's HTTP protocol for the driver, also when things go wrong."""

from __future__ import annotations

import gzip
import http.client
import socket
import threading
import time
from contextlib import suppress
from datetime import timedelta
from urllib.parse import quote, urlsplit

import clickhouse_connect
import pytest
from clickhouse_connect.driver.exceptions import DatabaseError, OperationalError

from evalsvc.errors import SchemaError, StoreError, StoreUnavailable
from evalsvc.protocols import CellQuery
from evalsvc.store import open_store
from evalsvc.store.bridge import Bridge
from evalsvc.testing.stores import MIDNIGHT, make_score
from evalsvc.types import Window, WriteBatch

DAY = Window(MIDNIGHT, MIDNIGHT + timedelta(days=1))


@pytest.fixture(scope="module")
def bridge(tmp_path_factory):
    with Bridge(tmp_path_factory.mktemp("bridge")) as running:
        yield running


def connect(bridge, port=None, **options):
    place = urlsplit(bridge.url)
    settings = {
        "username": "x",
        "password": bridge.token,
        "autogenerate_session_id": False,
        "dedicated_pool": True,
    }
    return clickhouse_connect.get_client(host=place.hostname, port=port or place.port, **{**settings, **options})


@pytest.fixture
def client(bridge):
    with connect(bridge) as connected:
        yield connected


def address(bridge, port=None, **options):
    place = urlsplit(bridge.url)
    tail = "&".join(f"{name}={value}" for name, value in {"margin": 0, **options}.items())
    return f"clickhouse://x:{bridge.token}@127.0.0.1:{port or place.port}/protocol?{tail}"


@pytest.mark.parametrize("compress", [False, "lz4", "zstd", "gzip", True])
def test_every_compression_both_ways(bridge, compress):
    with connect(bridge, compress=compress) as client:
        client.command("CREATE TABLE IF NOT EXISTS packed (id UInt64, text String) ENGINE = MergeTree ORDER BY id")
        client.command("TRUNCATE TABLE packed")
        texts = [f"row {number} ✓" * 20 for number in range(50_000)]
        client.insert("packed", [list(range(50_000)), texts], column_names=["id", "text"], column_oriented=True)
        found = client.query("SELECT text FROM packed ORDER BY id")
        assert found.result_columns[0] == texts


@pytest.mark.parametrize(
    "text",
    ["plain", "it's", 'a"b', "back\\slash", "new\nline\ttab", "nul\0", "✓ü😀", "{x:String}", "%41+&=?"],
)
def test_parameters_arrive_as_they_are(client, text):
    row = client.query("SELECT {one:String}, {many:Array(String)}", parameters={"one": text, "many": [text, text]})
    assert row.result_rows == [(text, [text, text])]


def test_long_parameters_travel_as_a_form(client):
    many = [f"id-{number}-'\r\n--" for number in range(20_000)]
    found = client.query("SELECT length({many:Array(String)}), {many:Array(String)}[20000]", parameters={"many": many})
    assert found.result_rows == [(20_000, many[-1])]


def test_settings_hold_for_one_request_only(client):
    ask = "SELECT getSetting('max_block_size')"
    default = client.query(ask).result_rows
    assert client.query(ask, settings={"max_block_size": 1234}).result_rows == [(1234,)]
    assert client.query(ask).result_rows == default


def test_databases_of_requests_do_not_mix(bridge, client):
    client.command("CREATE DATABASE IF NOT EXISTS elsewhere")
    with connect(bridge, database="elsewhere") as other:
        for _ in range(3):
            assert other.command("SELECT currentDatabase()") == "elsewhere"
            assert client.command("SELECT currentDatabase()") == "default"


@pytest.mark.parametrize(
    ("statement", "code"),
    [
        ("SELECT * FROM absent", 60),
        ("SELEKT 1", 62),
        ("SELECT throwIf(1)", 395),
        ("SELECT 1 SETTINGS nonsense = 1", 115),
    ],
)
def test_errors_carry_clickhouses_code(client, statement, code):
    with pytest.raises(DatabaseError) as caught:
        client.query(statement)
    assert caught.value.code == code


def test_wrong_token_is_refused_and_ping_needs_none(bridge):
    with pytest.raises(DatabaseError) as caught:
        connect(bridge, password="wrong")
    assert caught.value.code == 516
    with pytest.raises(StoreError, match="user, password"):
        open_store(address(bridge).replace(bridge.token, "wrong"))
    assert request(bridge, "GET", "/ping", token="")[0] == 200


@pytest.mark.parametrize(("path", "status"), [("/", b"403"), ("/ping", b"200")])
def test_no_body_is_read_for_who_has_no_token(bridge, path, status):
    place = urlsplit(bridge.url)
    with socket.create_connection((place.hostname, place.port), timeout=5) as connection:
        connection.sendall(b"POST %s HTTP/1.1\r\nHost: x\r\nContent-Length: 1000000000\r\n\r\n" % path.encode())
        answer = b""
        while part := connection.recv(65536):
            answer += part
    assert answer.startswith(b"HTTP/1.1 " + status)
    assert b"Connection: close" in answer


def request(bridge, method, path, body=b"", headers=None, token=None):
    connection = http.client.HTTPConnection(urlsplit(bridge.url).netloc, timeout=10)
    secret = bridge.token if token is None else token
    connection.request(method, path, body, {"X-ClickHouse-Key": secret, **(headers or {})})
    answer = connection.getresponse()
    return answer.status, dict(answer.getheaders()), answer.read()


def test_plain_http_works_as_with_a_server(bridge):
    assert request(bridge, "POST", "/", b"SELECT 1 + 1")[2] == b"2\n"
    assert request(bridge, "GET", f"/?query={quote('SELECT 3 FORMAT JSONEachRow')}")[2] == b'{"3":3}\n'
    assert request(bridge, "POST", f"/?param_x=7&query={quote('SELECT {x:UInt8}')}")[2] == b"7\n"
    packed = gzip.compress(b"SELECT 4")
    assert request(bridge, "POST", "/", packed, {"Content-Encoding": "gzip"})[2] == b"4\n"
    request(bridge, "POST", "/", b"CREATE TABLE IF NOT EXISTS plain (a UInt8) ENGINE = Memory")
    assert request(bridge, "POST", f"/?query={quote('INSERT INTO plain FORMAT CSV')}", b"1\n2\n")[0] == 200
    assert request(bridge, "POST", "/", b"INSERT INTO plain SELECT 3")[0] == 200
    assert request(bridge, "POST", "/", b"INSERT INTO plain VALUES (4)")[0] == 200
    assert request(bridge, "POST", "/", b"SELECT sum(a) FROM plain")[2] == b"10\n"


@pytest.mark.parametrize(
    ("body", "headers"),
    [
        (b"\x1f\x8bdamaged", {"Content-Encoding": "gzip"}),
        (b"damaged", {"Content-Encoding": "lz4"}),
        (b"damaged", {"Content-Encoding": "zstd"}),
        (b"SELECT 1", {"Content-Encoding": "snail"}),
        (b"zz\r\nSELECT 1\r\n", {"Transfer-Encoding": "chunked"}),
    ],
)
def test_damaged_bodies_are_refused(bridge, body, headers):
    status, answer, text = request(bridge, "POST", "/", body, headers)
    assert (status, answer["X-ClickHouse-Exception-Code"]) == (400, "33")
    assert b"damaged" not in text


def test_damaged_insert_writes_nothing(bridge, client):
    client.command("CREATE TABLE IF NOT EXISTS whole (a UInt64) ENGINE = MergeTree ORDER BY a")
    path = f"/?query={quote('INSERT INTO whole FORMAT Native')}"
    assert request(bridge, "POST", path, b"\x01\x02\x01a\x06UInt64half")[0] >= 400
    assert client.command("SELECT count() FROM whole") == 0


def test_slow_answer_is_a_timeout_and_the_bridge_goes_on(bridge, client):
    with connect(bridge, send_receive_timeout=1) as hasty, pytest.raises(OperationalError):
        hasty.command("SELECT sleep(3)")
    assert client.command("SELECT 1") == 1
    store = open_store(address(bridge, timeout=1), migrate=True)
    with pytest.raises(StoreUnavailable), store.connection() as connection:
        connection.command("SELECT sleep(3)")
    assert store.metrics() == []
    store.close()


def test_requests_run_side_by_side(bridge):
    def ask():
        with connect(bridge) as client:
            client.command("SELECT sleep(1)")

    threads = [threading.Thread(target=ask) for _ in range(4)]
    start = time.monotonic()
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert time.monotonic() - start < 3.5


def test_missing_tables_say_migrate(bridge, client):
    client.command("CREATE DATABASE IF NOT EXISTS bare")
    with pytest.raises(SchemaError, match="evalsvc migrate"):
        open_store(address(bridge).replace("/protocol", "/bare"))
    with pytest.raises(SchemaError, match="evalsvc migrate"):
        open_store(address(bridge).replace("/protocol", "/no_such_database"))


class CuttingProxy:
    """Forwards to the bridge and cuts requests: before they arrived whole, or before the answer came back."""

    def __init__(self, target):
        self._target = target
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port = self._listener.getsockname()[1]
        self.cut_after = None
        self.drop_answer = False
        self.cuts = 0
        threading.Thread(target=self._accept, daemon=True).start()

    def _accept(self):
        while True:
            try:
                client, _ = self._listener.accept()
            except OSError:
                return
            server = socket.create_connection(self._target)
            threading.Thread(target=self._forward, args=(client, server), daemon=True).start()
            threading.Thread(target=self._back, args=(server, client), daemon=True).start()

    def _forward(self, client, server):
        sent = 0
        try:
            while data := client.recv(65536):
                if self.cut_after is not None and b"INSERT" in data + b"" and not sent:
                    sent = 1
                if self.cut_after is not None and sent:
                    keep = data[: max(0, self.cut_after - sent + 1)]
                    server.sendall(keep)
                    sent += len(keep)
                    if sent > self.cut_after:
                        self.cut_after = None
                        self.cuts += 1
                        self._close(client, server)
                        return
                else:
                    server.sendall(data)
        except OSError:
            pass
        self._close(client, server)

    def _back(self, server, client):
        try:
            while data := server.recv(65536):
                if self.drop_answer:
                    self.drop_answer = False
                    self.cuts += 1
                    break
                client.sendall(data)
        except OSError:
            pass
        self._close(client, server)

    @staticmethod
    def _close(*sockets):
        for each in sockets:
            with suppress(OSError):
                each.shutdown(socket.SHUT_RDWR)
            each.close()

    def close(self):
        self._listener.close()


@pytest.fixture
def proxy(bridge):
    place = urlsplit(bridge.url)
    running = CuttingProxy((place.hostname, place.port))
    yield running
    running.close()


def write_until_done(store, batch):
    for attempt in range(10):
        try:
            store.write(batch)
        except StoreUnavailable:
            continue
        return attempt
    raise AssertionError("Expected a write to succeed within ten attempts")


@pytest.mark.parametrize("cut_after", [10, 300, 2000])
def test_connection_cut_mid_insert_then_retried_counts_exactly(bridge, proxy, cut_after):
    store = open_store(address(bridge, proxy.port, compress=0), migrate=True)
    metric = f"cut-{cut_after}"
    batch = WriteBatch(scores=tuple(make_score(index, 0.5, metric) for index in range(100)))
    proxy.cut_after = cut_after
    assert write_until_done(store, batch) >= 1
    assert proxy.cuts == 1
    assert sum(cell.n for group in store.cells(CellQuery(metric, DAY, 3600)) for cell in group.cells) == 100
    store.close()


def test_answer_lost_after_the_insert_then_retried_counts_exactly(bridge, proxy):
    store = open_store(address(bridge, proxy.port), migrate=True)
    batch = WriteBatch(scores=tuple(make_score(index, 0.5, "lost") for index in range(100)))
    store.write(WriteBatch(scores=batch.scores[:1]))
    proxy.drop_answer = True
    assert write_until_done(store, batch) >= 1
    assert proxy.cuts == 1
    for raw in (False, True):
        groups = store.cells(CellQuery("lost", DAY, 3600), raw=raw)
        assert sum(cell.n for group in groups for cell in group.cells) == 100
    store.close()
