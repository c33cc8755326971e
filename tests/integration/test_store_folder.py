"""One folder, many processes: who comes second talks to the first, or is told what to do."""

from __future__ import annotations

import json
import os
import signal
import stat
import subprocess
import sys
import textwrap
import time

import pytest

from evalsvc.errors import StoreBusy, StoreError, StoreUnavailable
from evalsvc.store import folder as folders
from evalsvc.store import open_store
from evalsvc.store.bridge import Bridge

READ_ONE = """
    from evalsvc.store import open_store
    from evalsvc.testing.stores import check_store
    store = open_store("embedded:{path}")
    print(len(store.metrics()))
    store.close()
"""


def python(code, **variables):
    text = textwrap.dedent(code.format(**variables))
    return subprocess.Popen(
        [sys.executable, "-c", text],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


OWN = """
    import sys
    from evalsvc.store import open_store
    from evalsvc.store.bridge import Bridge
    store = open_store("embedded:{path}")
    bridge = Bridge("{path}") if {serve} else None
    print("ready", flush=True)
    sys.stdin.readline()
    bridge and bridge.close()
    store.close()
"""


@pytest.fixture
def owner(tmp_path):
    started = []

    def start(*, serve):
        process = python(OWN, path=tmp_path, serve=serve)
        started.append(process)
        assert process.stdout.readline() == "ready\n", process.stderr.read()
        return process

    yield start
    for process in started:
        process.kill()
        process.communicate()


def test_second_process_is_told_who_has_the_folder(tmp_path, owner, monkeypatch):
    monkeypatch.setattr("evalsvc.store.address._OWNER_WAIT_SECONDS", 0.1)
    owner(serve=False)
    with pytest.raises(StoreBusy, match=r"serves nobody.*evalsvc up") as caught:
        open_store(f"embedded:{tmp_path}")
    assert caught.value.address is None


def test_second_process_reaches_a_serving_owner(tmp_path, owner):
    process = owner(serve=True)
    address = folders.read_address(tmp_path)
    assert address.pid == process.pid
    assert address.token not in repr(address)
    store = open_store(f"embedded:{tmp_path}")
    assert store.metrics() == []
    with pytest.raises(StoreBusy) as caught:
        open_store(f"embedded:{tmp_path}", reach_owner=False)
    assert caught.value.address == address.url
    store.close()


def test_killed_owner_leaves_the_folder_free_and_its_address_counts_for_nothing(tmp_path, owner):
    process = owner(serve=True)
    guest = open_store(f"embedded:{tmp_path}")
    process.send_signal(signal.SIGKILL)
    process.wait()
    with pytest.raises(StoreUnavailable):
        guest.metrics()
    with pytest.raises(StoreUnavailable, match="evalsvc up"):
        guest.metrics()
    assert folders.read_address(tmp_path) is None
    guest.close()
    store = open_store(f"embedded:{tmp_path}")
    assert store.metrics() == []
    store.close()


def test_guest_finds_a_restarted_owner(tmp_path, owner):
    first = owner(serve=True)
    guest = open_store(f"embedded:{tmp_path}")
    assert guest.metrics() == []
    first.communicate("stop\n")
    owner(serve=True)
    deadline = time.monotonic() + 10
    while True:
        try:
            assert guest.metrics() == []
            break
        except StoreUnavailable:
            assert time.monotonic() < deadline
            time.sleep(0.1)
    guest.close()


def test_address_file_is_its_users_own_and_goes_with_the_bridge(tmp_path):
    with Bridge(tmp_path) as bridge:
        file = tmp_path / folders.ADDRESS_FILE
        assert stat.S_IMODE(file.stat().st_mode) == 0o600
        assert json.loads(file.read_text()) == {"url": bridge.url, "token": bridge.token, "pid": os.getpid()}
        assert bridge.url.startswith("http://127.0.0.1:")
    assert not file.exists()
    assert not list(tmp_path.glob("evalsvc.address*"))


def test_one_process_opens_one_folder_at_a_time(tmp_path):
    first = open_store(f"embedded:{tmp_path}/one")
    again = open_store(f"{tmp_path}/one")
    with pytest.raises(StoreError, match="one embedded folder a process"):
        open_store(f"embedded:{tmp_path}/two")
    first.close()
    assert again.metrics() == []
    again.close()
    again.close()
    second = open_store(f"embedded:{tmp_path}/two")
    assert second.metrics() == []
    second.close()
    with pytest.raises(StoreError, match="closed"):
        second.metrics()


def test_folder_that_cannot_be_made_is_an_answer(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(StoreError, match="to be a folder that can be written"):
        open_store(f"embedded:{tmp_path}/file/inside")


def test_process_that_forgets_to_close_ends_quietly(tmp_path):
    process = python(READ_ONE.replace("store.close()", ""), path=tmp_path)
    out, err = process.communicate(timeout=60)
    assert (out, err, process.returncode) == ("0\n", "", 0)
