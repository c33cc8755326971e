"""The write-ahead log: killed, torn, damaged, full and rolled over."""

from __future__ import annotations

import errno
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from evalsvc.errors import SourceError, SourceUnavailable
from evalsvc.sources._wal import LogFull, WriteAheadLog

SERVER = """
import sys
import uvicorn
from evalsvc._serving import endpoint
from evalsvc.sources.http import HttpSource
from evalsvc.testing.sources import RecordingAssignment

source = HttpSource(sys.argv[1], mask=lambda event: event)
source.open(RecordingAssignment())
class Server(uvicorn.Server):
    async def startup(self, sockets=None):
        await super().startup(sockets)
        print(self.servers[0].sockets[0].getsockname()[1], flush=True)
Server(uvicorn.Config(endpoint(source), port=0, log_level="error", lifespan="off")).run()
"""

FULL_DISK = """
import resource, signal, sys
from pathlib import Path
from evalsvc.sources._wal import LogFull, WriteAheadLog

signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
resource.setrlimit(resource.RLIMIT_FSIZE, (20_000, 20_000))
wal = WriteAheadLog(Path(sys.argv[1]))
taken = 0
try:
    while True:
        wal.submit([b"%06d" % (taken + i) + b"x" * 700 for i in range(3)], 1).result()
        taken += 3
except LogFull as full:
    print(taken, full.disk, full, flush=True)
wal.submit([b"small"], 1).result()
wal.close()
"""


@pytest.fixture
def log(tmp_path: Path) -> Iterator[WriteAheadLog]:
    """A log with small segments."""
    wal = WriteAheadLog(tmp_path, segment_bytes=500, tidy_bytes=200)
    yield wal
    wal.close()


def contents(wal: WriteAheadLog, start: int = 0) -> list[bytes]:
    """Return all payloads from a number on."""
    found: list[bytes] = []
    while records := wal.read(start, 7, 1 << 20):
        found += [record.value for record in records]
        start = records[-1].offset + 1
    return found


def reopened(folder: Path) -> list[bytes]:
    """Open, read everything and close."""
    wal = WriteAheadLog(folder)
    found = contents(wal)
    wal.close()
    return found


def test_what_was_accepted_survives_kill_9(tmp_path: Path) -> None:
    """Every id that was answered with 202 is there after the restart; none that was never sent is."""
    import httpx

    from evalsvc.sources.decode import decode, encode
    from evalsvc.testing.sources import sample_messages

    template = decode(sample_messages(1)[0])
    sent: set[str] = set()
    accepted: set[str] = set()
    for round_number in range(3):
        server = subprocess.Popen([sys.executable, "-c", SERVER, str(tmp_path)], stdout=subprocess.PIPE, text=True)
        assert server.stdout is not None
        url = f"http://127.0.0.1:{server.stdout.readline().strip()}/v1/events"
        killed_at = time.monotonic() + 0.6

        def send(worker: int, url: str = url, round_number: int = round_number) -> None:
            import msgspec

            with httpx.Client(trust_env=False) as client:
                for i in range(10_000):
                    ids = [f"r{round_number}-w{worker}-{i}-{j}" for j in range(3)]
                    sent.update(ids)
                    body = b"\n".join(encode(msgspec.structs.replace(template, event_id=name)) for name in ids)
                    try:
                        answer = client.post(url, content=body, headers={"Content-Type": "application/x-ndjson"})
                    except httpx.TransportError:
                        return
                    if answer.status_code == 202:
                        accepted.update(ids)

        with ThreadPoolExecutor(4) as pool:
            done = [pool.submit(send, worker) for worker in range(4)]
            time.sleep(max(0.0, killed_at - time.monotonic()))
            server.send_signal(signal.SIGKILL)
            server.wait()
            server.stdout.close()
            for future in done:
                future.result()
        assert any(name.startswith(f"r{round_number}-") for name in accepted)
    found = [decode(value).event_id for value in reopened(tmp_path)]
    assert len(found) == len(set(found))
    assert accepted <= set(found) <= sent


@pytest.mark.parametrize("cut", [1, 20, 23, 24, 25, 60])
def test_a_torn_tail_is_cut_off(cut: int, tmp_path: Path) -> None:
    """Whatever a crash left of the last frame goes; all before stays; the number is given again."""
    wal = WriteAheadLog(tmp_path)
    for payload in (b"one", b"two", b"x" * 50):
        wal.submit([payload], 5).result()
    wal.close()
    (segment,) = tmp_path.glob("*.wal")
    with segment.open("r+b") as file:
        file.truncate(segment.stat().st_size - cut)
    wal = WriteAheadLog(tmp_path)
    assert contents(wal) == [b"one", b"two"]
    assert wal.submit([b"three"], 5).result() == 2
    wal.close()
    assert reopened(tmp_path) == [b"one", b"two", b"three"]


@pytest.mark.parametrize("size", [0, 7])
def test_a_segment_that_was_just_begun_is_repaired(size: int, tmp_path: Path) -> None:
    """A crash between creating a segment and its first bytes."""
    wal = WriteAheadLog(tmp_path)
    wal.submit([b"one"], 5).result()
    wal.close()
    (tmp_path / f"{1:020d}.wal").write_bytes(b"evalsvc wal v1\n\0"[:size])
    wal = WriteAheadLog(tmp_path)
    wal.submit([b"two"], 5).result()
    wal.close()
    assert reopened(tmp_path) == [b"one", b"two"]


def test_damage_in_the_middle_is_reported(log: WriteAheadLog, tmp_path: Path) -> None:
    """A flipped bit in a closed segment is no torn tail: skipping it would lose what was accepted."""
    for i in range(10):
        log.submit([b"%d" % i * 100], 5).result()
    log.close()
    first = min(tmp_path.glob("*.wal"))
    data = bytearray(first.read_bytes())
    data[60] ^= 1
    first.write_bytes(data)
    with pytest.raises(SourceError, match=r"damaged at byte 16"):
        WriteAheadLog(tmp_path)
    first.unlink()
    second = sorted(tmp_path.glob("*.wal"))[0]
    second.unlink()
    assert len(reopened(tmp_path)) < 10


def test_a_missing_segment_is_reported(log: WriteAheadLog, tmp_path: Path) -> None:
    """A hole in the numbers."""
    for i in range(20):
        log.submit([b"%d" % i * 100], 5).result()
    log.close()
    sorted(tmp_path.glob("*.wal"))[1].unlink()
    with pytest.raises(SourceError, match="is missing before it"):
        WriteAheadLog(tmp_path)


def test_committed_segments_are_deleted_and_numbers_go_on(log: WriteAheadLog, tmp_path: Path) -> None:
    """Disk use follows the backlog, also once everything is done; a restart goes on counting."""
    for i in range(30):
        log.submit([b"%02d" % i * 50], 5).result()
    before = len(list(tmp_path.glob("*.wal")))
    assert contents(log) == [b"%02d" % i * 50 for i in range(30)]
    log.commit(17)
    assert len(list(tmp_path.glob("*.wal"))) < before
    assert contents(log, 17) == [b"%02d" % i * 50 for i in range(17, 30)]
    log.commit(30)
    log.submit([b"last"], 5).result()
    log.commit(30)
    assert [path.name for path in tmp_path.glob("*.wal")] == [f"{30:020d}.wal"]
    assert log.backlog_bytes == 24 + len(b"last")
    log.close()
    wal = WriteAheadLog(tmp_path)
    assert (wal.committed, wal.end) == (30, 31)
    assert contents(wal, wal.committed) == [b"last"]
    assert wal.backlog_bytes == 24 + len(b"last")
    wal.close()


def test_a_full_disk_takes_nothing_of_a_request(tmp_path: Path) -> None:
    """A real limit of the kernel: the request that does not fit leaves no trace, a smaller one still fits."""
    run = subprocess.run(
        [sys.executable, "-c", FULL_DISK, str(tmp_path)],
        capture_output=True,
        text=True,
        timeout=60,
        check=True,
    )
    taken, disk, message = run.stdout.split(maxsplit=2)
    assert disk == "True"
    assert "disk is full" in message
    found = reopened(tmp_path)
    assert [int(value[:6]) for value in found[:-1]] == list(range(int(taken)))
    assert int(taken) % 3 == 0
    assert found[-1] == b"small"


@pytest.mark.parametrize(("number", "kind"), [(errno.ENOSPC, LogFull), (errno.EIO, SourceUnavailable)])
def test_a_write_that_fails_half_way_is_undone(
    number: int, kind: type[SourceUnavailable], log: WriteAheadLog, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Half of the bytes reached the file; readers never see them, and the next record takes the number."""
    real = os.write
    log.submit([b"before"], 5).result()
    assert contents(log) == [b"before"]

    def half(handle: int, data: memoryview) -> int:
        if len(data) > 50:
            return real(handle, data[:50])
        raise OSError(number, os.strerror(number))

    with monkeypatch.context() as patched:
        patched.setattr(os, "write", half)
        with pytest.raises(kind) as caught:
            log.submit([b"lost" * 20], 5).result()
        assert isinstance(caught.value, LogFull) == (kind is LogFull)
    assert log.submit([b"after"], 5).result() == 1
    assert contents(log) == [b"before", b"after"]


def test_a_failed_sync_is_a_refusal(log: WriteAheadLog, monkeypatch: pytest.MonkeyPatch) -> None:
    """After a failed fsync the pages may be gone: what they held is cut off and not promised."""

    def fail(handle: int) -> None:
        raise OSError(errno.EIO, "Input/output error")

    with monkeypatch.context() as patched:
        patched.setattr(os, "fdatasync", fail)
        with pytest.raises(SourceUnavailable, match="nothing was taken"):
            log.submit([b"lost"], 5).result()
    log.submit([b"kept"], 5).result()
    assert contents(log) == [b"kept"]


def no_space(*_: object, **__: object) -> int:
    """Fail as a full disk does."""
    raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))


def test_a_roll_on_a_full_disk_leaves_nothing_and_is_tried_again(
    log: WriteAheadLog, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """No empty segment stays whose number later records pass: the next start would refuse the folder."""
    log.submit([b"a" * 250], 5).result()
    log.commit(1)
    with monkeypatch.context() as patched:
        patched.setattr(os, "fsync", no_space)
        with pytest.raises(LogFull):
            log.submit([b"lost"], 5).result()
    assert [path.name for path in tmp_path.glob("*.wal")] == [f"{0:020d}.wal"]
    log.submit([b"kept"], 5).result()
    assert sorted(path.name for path in tmp_path.glob("*.wal")) == [f"{0:020d}.wal", f"{1:020d}.wal"]
    log.close()
    assert reopened(tmp_path) == [b"a" * 250, b"kept"]


@pytest.mark.parametrize("cut", [0, 3])
def test_a_stray_empty_segment_is_deleted(cut: int, tmp_path: Path) -> None:
    """One that holds nothing and begins before the end, also beside a torn tail; a hole is still refused."""
    wal = WriteAheadLog(tmp_path)
    for payload in (b"one", b"two", b"three"):
        wal.submit([payload], 5).result()
    wal.close()
    (segment,) = tmp_path.glob("*.wal")
    os.truncate(segment, segment.stat().st_size - cut)
    (tmp_path / f"{1:020d}.wal").write_bytes(b"")
    assert reopened(tmp_path) == [b"one", b"two", b"three"][: 2 if cut else 3]
    assert list(tmp_path.glob("*.wal")) == [segment]
    (tmp_path / f"{7:020d}.wal").write_bytes(b"")
    with pytest.raises(SourceError, match="is missing before it"):
        WriteAheadLog(tmp_path)


def test_a_commit_on_a_full_disk_gives_space_back_first(
    log: WriteAheadLog, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The mark cannot be written, the segments go all the same; the failure is one that the worker waits out."""
    for i in range(10):
        log.submit([b"%d" % i * 200], 5).result()
    before = len(list(tmp_path.glob("*.wal")))
    with monkeypatch.context() as patched:
        patched.setattr(Path, "write_text", no_space)
        with pytest.raises(SourceUnavailable, match="cannot be noted"):
            log.commit(8)
    assert len(list(tmp_path.glob("*.wal"))) < before
    with monkeypatch.context() as patched:
        patched.setattr(Path, "unlink", no_space)
        with pytest.raises(SourceUnavailable, match="cannot be noted"):
            log.commit(10)
    log.commit(10)
    assert len(list(tmp_path.glob("*.wal"))) == 1
    assert (tmp_path / "committed").read_text() == "10"


def test_many_threads(log: WriteAheadLog) -> None:
    """Requests keep their own order and stay together; numbers have no holes."""
    with ThreadPoolExecutor(8) as pool:
        firsts = list(pool.map(lambda i: log.submit([b"%d-%d" % (i, j) for j in range(3)], 5).result(), range(100)))
    assert sorted(firsts) == list(range(0, 300, 3))
    found = contents(log)
    for i, first in enumerate(firsts):
        assert found[first : first + 3] == [b"%d-%d" % (i, j) for j in range(3)]


def test_waiting_wakes_up(log: WriteAheadLog) -> None:
    """A reader sleeps until there is something, and no longer than it was told."""
    assert not log.wait(0, 0.05)
    with ThreadPoolExecutor(1) as pool:
        waiting = pool.submit(log.wait, 0, 10.0)
        log.submit([b"x"], 5).result()
        assert waiting.result(5)


def test_closing_refuses_and_lets_go(tmp_path: Path) -> None:
    """After close the folder can be opened by another, and the old one takes nothing."""
    wal = WriteAheadLog(tmp_path)
    wal.close()
    wal.close()
    with pytest.raises(SourceUnavailable, match="closed"):
        wal.submit([b"x"], 5)
    WriteAheadLog(tmp_path).close()
