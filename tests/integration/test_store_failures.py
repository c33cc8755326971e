"""A store that is down, full or slow says what to do, and the same batch may be tried again."""

from __future__ import annotations

import shutil
import socket
import subprocess
import sys
import textwrap
import threading
from datetime import UTC, datetime, timedelta

import msgspec
import pytest
from clickhouse_connect.driver.exceptions import DatabaseError, OperationalError

from evalsvc.errors import ConfigError, InputError, SchemaError, StoreError, StoreUnavailable
from evalsvc.protocols import CellQuery
from evalsvc.store import MemoryStore, open_store
from evalsvc.store.address import parse_address
from evalsvc.store.columns import score_table
from evalsvc.store.connections import as_store_error, translated
from evalsvc.testing.stores import DAY, make_score
from evalsvc.types import Window

NAMED = [
    (243, StoreUnavailable, "disk is full"),
    (241, StoreUnavailable, "out of memory"),
    (159, StoreUnavailable, "too long"),
    (252, StoreUnavailable, "too many parts"),
    (242, StoreUnavailable, "read-only"),
    (60, SchemaError, "evalsvc migrate"),
    (516, StoreError, "user, password"),
    (62, StoreError, "refused a statement"),
]


@pytest.mark.parametrize(("code", "kind", "advice"), NAMED)
def test_each_code_says_what_to_do(code, kind, advice):
    error = as_store_error(DatabaseError(f"Code: {code}. DB::Exception: something (NAME)", code=code))
    assert type(error) is kind
    assert advice in str(error)


def test_full_disk_is_told_by_its_text_too():
    message = "Code: 1001. DB::Exception: std::exception, std::filesystem: No space left on device"
    assert "disk is full" in str(as_store_error(DatabaseError(message, code=1001)))
    with pytest.raises(StoreUnavailable, match="No space left"), translated():
        raise OSError(28, "No space left on device")


def test_messages_are_short_and_one_line():
    text = str(as_store_error(OperationalError("x" * 5000 + "\nsecond line")))
    assert len(text) < 500
    assert "\n" not in text


def test_nobody_listens():
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
    with pytest.raises(StoreUnavailable, match=f"ClickHouse at 127.0.0.1:{port} does not answer: is it running"):
        open_store(f"clickhouse://127.0.0.1:{port}/evalsvc")


def test_somebody_listens_and_says_nothing():
    with socket.create_server(("127.0.0.1", 0)) as listener:
        threading.Thread(target=lambda: listener.accept(), daemon=True).start()
        with pytest.raises(StoreUnavailable):
            open_store(f"clickhouse://127.0.0.1:{listener.getsockname()[1]}/evalsvc?timeout=1&connect_timeout=1")


@pytest.mark.parametrize(
    "url",
    [
        "",
        "postgres://localhost/x",
        "clickhouse://",
        "clickhouse://h:99999/x",
        "embedded:",
        "embedded:/x?colour=red",
        "embedded:/x?database=a;b",
        "clickhouse://h/bad-name",
        "clickhouse://h/x?timeout=soon",
    ],
)
def test_addresses_that_cannot_be_read(url):
    with pytest.raises((ConfigError, StoreUnavailable)) as caught:
        open_store(url)
    assert isinstance(caught.value, ConfigError)


def test_addresses_keep_their_secrets():
    place = parse_address("clickhouse://me:s%40cret@db.example/quality")
    assert (place.user, place.password, place.port, place.database) == ("me", "s@cret", 8123, "quality")
    assert parse_address("https+clickhouse://db.example/quality").port == 8443
    assert "s@cret" not in repr(place)
    with pytest.raises(ConfigError) as caught:
        open_store("mysql://me:secret@db/x")
    assert "secret" not in str(caught.value)


def test_memory_has_an_address():
    assert isinstance(open_store("memory:"), MemoryStore)


@pytest.mark.parametrize("moment", [datetime(1900, 1, 1, tzinfo=UTC), datetime(2200, 1, 1, tzinfo=UTC)])
def test_times_that_the_database_cannot_hold_are_refused_before_anything_is_written(moment):
    score = make_score(0)
    odd = msgspec.structs.replace(score, subject=msgspec.structs.replace(score.subject, occurred_at=moment))
    with pytest.raises(InputError, match="when they are decoded"):
        score_table([score, odd])


def test_questions_that_cannot_be_asked():
    store = MemoryStore()
    with pytest.raises(InputError, match="step_seconds"):
        store.cells(CellQuery("m", DAY, 0))
    with pytest.raises(InputError, match="at most"):
        store.cells(CellQuery("m", Window(DAY.start, DAY.end + timedelta(days=9)), 1))
    with pytest.raises(InputError, match="between"):
        store.cells(CellQuery("m", Window(datetime(1950, 1, 1, tzinfo=UTC), DAY.end), 10**6))


FILL = """
    import os, sys
    from evalsvc.errors import StoreUnavailable
    from evalsvc.protocols import CellQuery
    from evalsvc.store import open_store
    from evalsvc.testing.stores import DAY, make_score
    from evalsvc.types import WriteBatch
    import tempfile, msgspec
    root = sys.argv[1]
    tempfile.tempdir = root
    store = open_store("embedded:" + root + "/db")
    batch = WriteBatch(scores=tuple(make_score(index, 0.5) for index in range(200)))
    store.write(WriteBatch(scores=batch.scores[:3]))
    with open(root + "/filler", "wb") as filler:
        try:
            while True:
                filler.write(b"x" * 65536)
                filler.flush()
        except OSError:
            pass
    try:
        store.write(batch)
        print("written to a full disk")
    except StoreUnavailable as error:
        print("full:", "space" in str(error))
    os.unlink(root + "/filler")
    store.write(batch)
    for raw in (False, True):
        groups = store.cells(CellQuery("quality", DAY, 3600), raw=raw)
        print(sum(cell.n for group in groups for cell in group.cells))
    store.close()
"""


def test_full_disk_then_room_again_counts_exactly(tmp_path):
    """On a small disk of its own, mounted in a name space of its own, where the system lets us."""
    if shutil.which("unshare") is None:
        pytest.skip("unshare(1) is not installed")
    mounted = f"mount -t tmpfs -o size=48m tmpfs {tmp_path}"
    if subprocess.run(["unshare", "-rm", "sh", "-c", mounted], capture_output=True).returncode:
        pytest.skip("this system lets us mount nothing, even in a name space of our own")
    script = tmp_path.with_suffix(".py")
    script.write_text(textwrap.dedent(FILL))
    command = f"{mounted} && exec {sys.executable} {script} {tmp_path}"
    done = subprocess.run(["unshare", "-rm", "sh", "-c", command], capture_output=True, text=True, timeout=120)
    inside = sum(DAY.start <= make_score(index).subject.occurred_at < DAY.end for index in range(200))
    assert (done.stdout.splitlines(), done.stderr) == (["full: True", str(inside), str(inside)], "")
