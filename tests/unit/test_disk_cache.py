"""The disk cache: speed, damage, several processes, kills, disks that are full or cannot be written."""

from __future__ import annotations

import logging
import os
import signal
import sqlite3
import subprocess
import sys
import threading
import time
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from evalsvc._run_locks import exclusive
from evalsvc.disk_cache import DiskCache, default_cache_path
from evalsvc.errors import InputError

ITEMS = {f"key-{number}": f"value {number}".encode() for number in range(2000)}
CHECKOUT = Path(__file__).resolve().parents[2]


def python(code: str, *arguments: object) -> subprocess.Popen[str]:
    command, pipe = [sys.executable, "-c", code, *map(str, arguments)], subprocess.PIPE
    return subprocess.Popen(command, stdin=pipe, stdout=pipe, stderr=pipe, text=True, cwd=CHECKOUT)


def messages(caplog: pytest.LogCaptureFixture) -> list[str]:
    return [record.getMessage() for record in caplog.records]


def test_what_was_put_is_there_after_it_was_closed(tmp_path):
    path = tmp_path / "deep" / "cache.sqlite"
    with DiskCache.open(path) as cache:
        cache.put_many("answer", ITEMS)
        cache.put_many("answer", {"key-0": b"other"})
        cache.put_many("score", {"key-1": b"\x00"})
    with DiskCache.open(path) as cache:
        assert cache.get_many("answer", [*ITEMS, "absent"]) == {**ITEMS, "key-0": b"other"}
        assert cache.get_many("score", ["key-0", "key-1"]) == {"key-1": b"\x00"}
        assert cache.get_many("score", []) == {}


def test_in_memory_without_a_path():
    with DiskCache.open(None) as cache:
        cache.put_many("answer", ITEMS)
        assert cache.get_many("answer", list(ITEMS)) == ITEMS


def test_a_hundred_thousand_rows_take_a_moment(tmp_path):
    """By processor time, so that other processes count less; `benchmarks/asking.py` has the wall time."""
    rows = {f"{number:032x}": b'{"value":0.5}' for number in range(100_000)}
    with DiskCache.open(tmp_path / "cache.sqlite") as cache:
        begun = time.process_time()
        cache.put_many("score", rows)
        written = time.process_time()
        assert len(cache.get_many("score", list(rows))) == 100_000
        assert written - begun < 5 * 1.5
        assert time.process_time() - written < 5 * 0.5


def test_a_flipped_byte_is_a_miss_and_told_once(tmp_path, caplog):
    path = tmp_path / "cache.sqlite"
    with DiskCache.open(path) as cache:
        cache.put_many("answer", {"a": b"ABCDEFGH-first", "b": b"ABCDEFGH-second", "c": b"whole"})
    content = path.read_bytes()
    assert content.count(b"ABCDEFGH") == 2
    path.write_bytes(content.replace(b"ABCDEFGH", b"ABCDEFGI"))
    with DiskCache.open(path) as cache:
        assert cache.get_many("answer", ["a", "b", "c"]) == {"c": b"whole"}
        assert cache.damaged == 2
        cache.put_many("answer", {"a": b"again"})
        assert cache.get_many("answer", ["a"]) == {"a": b"again"}
    assert len(messages(caplog)) == 1


@pytest.mark.parametrize("content", [b"this is no database, and longer than its header is " * 40, b"x" * 10])
def test_a_file_that_is_no_database_is_moved_aside(tmp_path, caplog, content):
    path = tmp_path / "cache.sqlite"
    path.write_bytes(content)
    with DiskCache.open(path) as cache:
        cache.put_many("answer", ITEMS)
        assert cache.get_many("answer", list(ITEMS)) == ITEMS
    (aside,) = tmp_path.glob("cache.sqlite.damaged-*")
    assert aside.read_bytes() == content
    (message,) = messages(caplog)
    assert "is damaged" in message
    assert aside.name in message


def damage(path: Path) -> None:
    """Overwrite all but the first page, as a failing disk does."""
    size = path.stat().st_size
    with path.open("r+b") as file:
        file.seek(4096)
        file.write(b"\xff" * (size - 4096))


def test_a_malformed_database_is_begun_anew(tmp_path, caplog):
    path = tmp_path / "cache.sqlite"
    with DiskCache.open(path) as cache:
        cache.put_many("answer", ITEMS)
    damage(path)
    with DiskCache.open(path) as cache:
        assert cache.get_many("answer", list(ITEMS)) == {}
        cache.put_many("answer", ITEMS)
        assert cache.get_many("answer", list(ITEMS)) == ITEMS
    assert len(list(tmp_path.glob("cache.sqlite.damaged-*"))) == 1
    assert len(messages(caplog)) == 1


def test_two_that_find_the_damage_keep_one_new_file(tmp_path):
    path = tmp_path / "cache.sqlite"
    with DiskCache.open(path) as cache:
        cache.put_many("answer", ITEMS)
    damage(path)
    with DiskCache.open(path) as first, DiskCache.open(path) as second:
        first.put_many("answer", {"a": b"1"})
        second.put_many("answer", {"b": b"2"})
        assert first.get_many("answer", ["a", "b"]) == {"a": b"1", "b": b"2"}
    assert len(list(tmp_path.glob("cache.sqlite.damaged-*"))) == 1


def test_who_opens_while_a_damaged_file_is_set_aside_loses_nothing(tmp_path, monkeypatch, caplog):
    path = tmp_path / "cache.sqlite"
    with DiskCache.open(path) as cache:
        cache.put_many("answer", ITEMS)
    damage(path)
    code = (
        "import sys, pathlib; from evalsvc.disk_cache import DiskCache\n"
        "print('begun', flush=True)\n"
        "with DiskCache.open(pathlib.Path(sys.argv[1])) as cache:\n"
        "    cache.put_many('answer', {f'other-{n}': b'x' * 500 for n in range(50)})\n"
        "    print('kept', flush=True); sys.stdin.readline()\n"
    )
    moved, others = os.replace, []

    def move(*paths: Path) -> None:
        moved(*paths)
        if not others:
            others.append(python(code, path))
            assert others[0].stdout.readline() == "begun\n"
            time.sleep(0.5)  # time enough to open the file, if nothing holds it up

    monkeypatch.setattr("evalsvc.disk_cache.os.replace", move)
    with DiskCache.open(path) as cache:
        cache.get_many("answer", list(ITEMS))
        (other,) = others
        assert other.stdout.readline() == "kept\n"
        cache.put_many("answer", ITEMS)
        assert other.communicate("\n") == ("", "")
    names = [f"other-{number}" for number in range(50)]
    with DiskCache.open(path) as cache:
        assert cache.get_many("answer", [*ITEMS, *names]) == {**ITEMS, **dict.fromkeys(names, b"x" * 500)}
    assert len(messages(caplog)) == 1


def test_many_that_make_one_file_at_once_share_it(tmp_path, caplog):
    together, kept = threading.Barrier(4), []

    def work() -> None:
        for number in range(40):
            together.wait(60)
            with DiskCache.open(tmp_path / f"{number}.sqlite") as cache:
                kept.append(cache.path)

    with ThreadPoolExecutor(4) as threads:
        for done in [threads.submit(work) for _ in range(4)]:
            done.result()
    assert Counter(kept) == {tmp_path / f"{number}.sqlite": 4 for number in range(40)}
    assert messages(caplog) == []


def test_who_opens_a_file_that_another_is_making_waits_for_it(tmp_path, caplog):
    path = tmp_path / "cache.sqlite"
    with DiskCache.open(path) as cache:
        cache.put_many("answer", {"a": b"1"})
    other = sqlite3.connect(path, isolation_level=None, check_same_thread=False)
    other.execute("PRAGMA journal_mode = DELETE")
    other.execute("BEGIN IMMEDIATE")
    ends = threading.Timer(0.3, lambda: other.execute("COMMIT"))
    ends.start()
    with DiskCache.open(path) as cache:
        assert cache.path == path
        assert cache.get_many("answer", ["a"]) == {"a": b"1"}
    ends.join()
    other.close()
    assert messages(caplog) == []


def test_another_program_s_database_is_left_alone(tmp_path):
    path = tmp_path / "other.sqlite"
    with sqlite3.connect(path) as other:
        other.execute("CREATE TABLE people (name TEXT)")
    other.close()
    with pytest.raises(InputError, match="another database"):
        DiskCache.open(path)
    assert list(tmp_path.iterdir()) == [path]


def test_a_full_disk_is_told_once_and_the_run_goes_on(tmp_path, caplog):
    with DiskCache.open(tmp_path / "cache.sqlite") as cache:
        cache.put_many("answer", {"before": b"1"})
        cache._connection.execute("PRAGMA max_page_count = 8")
        for number in range(3):
            cache.put_many("answer", {f"large-{number}": bytes(200_000)})
        assert cache.get_many("answer", ["before", "large-0"]) == {"before": b"1"}
    (message,) = messages(caplog)
    assert "full" in message


def test_threads_and_processes_write_at_once(tmp_path):
    path = tmp_path / "cache.sqlite"
    code = (
        "import sys, pathlib; from evalsvc.disk_cache import DiskCache\n"
        "cache = DiskCache.open(pathlib.Path(sys.argv[1]))\n"
        "for n in range(100): cache.put_many('answer', {f'{sys.argv[2]}-{n}': b'x' * 1000})\n"
    )
    others = [python(code, path, name) for name in "pq"]
    with DiskCache.open(path) as cache:

        def write(name: str) -> None:
            for number in range(100):
                cache.put_many("answer", {f"{name}-{number}": b"x" * 1000})

        threads = [threading.Thread(target=write, args=(name,)) for name in "tu"]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert [other.communicate()[1] for other in others] == ["", ""]
        assert len(cache.get_many("answer", [f"{name}-{n}" for name in "pqtu" for n in range(100)])) == 400


def test_a_kill_loses_no_batch_that_was_written(tmp_path):
    path = tmp_path / "cache.sqlite"
    code = (
        "import sys, pathlib; from evalsvc.disk_cache import DiskCache\n"
        "cache = DiskCache.open(pathlib.Path(sys.argv[1]))\n"
        "for n in range(10**6):\n"
        "    cache.put_many('answer', {f'{n}-{m}': b'x' * 500 for m in range(20)})\n"
        "    print(n, flush=True)\n"
    )
    writer = python(code, path)
    for _ in range(20):
        last = int(writer.stdout.readline())
    writer.send_signal(signal.SIGKILL)
    rest = writer.communicate()[0].split()
    last = int(rest[-1]) if rest else last
    with DiskCache.open(path) as cache:
        written = [f"{n}-{m}" for n in range(last + 1) for m in range(20)]
        assert len(cache.get_many("answer", written)) == len(written)
        assert len(cache.get_many("answer", [f"{last + 1}-{m}" for m in range(20)])) in (0, 20)
    assert list(tmp_path.glob("*.damaged-*")) == []


def test_where_a_project_keeps_its_cache(tmp_path, monkeypatch, caplog):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "xdg"))
    root = tmp_path / "project"
    root.mkdir()
    path = default_cache_path(root)
    assert path == root / ".evalsvc" / "cache.sqlite"
    assert (root / ".evalsvc" / ".gitignore").read_text() == "*\n"
    # A file where the folder would be: no permission is needed to show it, not even root's.
    locked = tmp_path / "locked"
    locked.mkdir()
    (locked / ".evalsvc").write_text("")
    other = default_cache_path(locked)
    assert other is not None
    assert other.parent == tmp_path / "xdg" / "evalsvc"
    assert other == default_cache_path(locked)
    assert messages(caplog) == []
    monkeypatch.setenv("XDG_CACHE_HOME", str(locked / ".evalsvc"))
    assert default_cache_path(locked) is None
    assert "nothing is kept" in messages(caplog)[0]


def test_a_path_that_cannot_be_made_is_kept_in_memory(tmp_path, caplog):
    (tmp_path / "file").write_text("")
    with DiskCache.open(tmp_path / "file" / "cache.sqlite") as cache:
        cache.put_many("answer", {"a": b"1"})
        assert cache.get_many("answer", ["a"]) == {"a": b"1"}
    assert len(messages(caplog)) == 1


@pytest.mark.parametrize("long", [True, False])
def test_the_second_run_of_one_thing_waits_for_the_first(tmp_path, caplog, monkeypatch, long):
    if long:
        monkeypatch.setattr("evalsvc._run_locks.LONG_SECONDS", 0.05)
    path = tmp_path / "cache.sqlite"
    code = (
        "import sys, pathlib; from evalsvc._run_locks import exclusive\n"
        "with exclusive(pathlib.Path(sys.argv[1]), 'support'): print('held', flush=True); sys.stdin.readline()\n"
    )
    first = subprocess.Popen(
        [sys.executable, "-c", code, str(path)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, cwd=CHECKOUT
    )
    try:
        assert first.stdout.readline() == "held\n"
        with exclusive(path, "another"):
            pass
        entered = threading.Event()

        def wait() -> None:
            with exclusive(path, "support", "runs suites/support.suite.yaml"):
                entered.set()

        thread = threading.Thread(target=wait)
        with caplog.at_level(logging.WARNING):
            thread.start()
            assert not entered.wait(0.2)
            first.kill()
            assert entered.wait(10)
            thread.join()
    finally:
        first.kill()
        first.communicate()
    assert list(tmp_path.glob("*.lock")) == []
    told = [f"Waiting for process {first.pid}, which runs suites/support.suite.yaml"]
    assert messages(caplog) == (told if long else [])


def test_who_waits_names_a_holder_that_has_not_written_its_number_yet(tmp_path, caplog, monkeypatch):
    monkeypatch.setattr("evalsvc._run_locks.LONG_SECONDS", 0.0)
    path = tmp_path / "cache.sqlite"

    def wait() -> None:
        with exclusive(path, "support"):
            pass

    waits = threading.Thread(target=wait)
    with exclusive(path, "support"):
        (lock,) = tmp_path.glob("*.lock")
        lock.write_text("")
        threading.Timer(0.05, lock.write_text, ["4711\n"]).start()
        waits.start()
        ends = time.monotonic() + 10
        while not messages(caplog) and time.monotonic() < ends:
            time.sleep(0.01)
    waits.join()
    assert messages(caplog) == ["Waiting for process 4711, which is at the same work"]


def test_many_take_turns_and_leave_no_file(tmp_path):
    path, inside, most = tmp_path / "cache.sqlite", [], []

    def work() -> None:
        for _ in range(30):
            with exclusive(path, "support"):
                inside.append(1)
                most.append(len(inside))
                inside.pop()

    threads = [threading.Thread(target=work) for _ in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert most == [1] * 180
    assert list(tmp_path.iterdir()) == []


def test_nobody_waits_where_no_lock_can_be_made(tmp_path):
    done = []
    for path in (None, tmp_path / "absent" / "cache.sqlite"):
        with exclusive(path, "support"):
            done.append(os.getpid())
    assert len(done) == 2


def test_a_disk_that_takes_no_byte_leaves_the_lock_held_and_the_run_uncached(tmp_path):
    (tmp_path / ".evalsvc").mkdir()
    code = (
        "import resource, sys, pathlib\n"
        "from evalsvc._run_locks import exclusive, under_way\n"
        "from evalsvc.disk_cache import DiskCache, default_cache_path\n"
        "resource.setrlimit(resource.RLIMIT_FSIZE, (0, resource.RLIM_INFINITY))\n"
        "path = default_cache_path(pathlib.Path(sys.argv[1]))\n"
        "with exclusive(path, 'support'), DiskCache.open(path) as cache:\n"
        "    cache.put_many('answer', {'a': b'1'})\n"
        "    print(under_way(path), cache.path, cache.get_many('answer', ['a']))\n"
    )
    said, errors = python(code, tmp_path).communicate()
    assert said == "True None {'a': b'1'}\n"
    assert "cannot be opened" in errors
    # An empty one would never be filled.
    assert not (tmp_path / ".evalsvc" / ".gitignore").exists()
    assert list(tmp_path.glob(".evalsvc/*.lock")) == []
