"""``POST /v1/events`` over a real server on loopback: notations, refusals, backpressure, masking."""

from __future__ import annotations

import gzip
import json
import os
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import httpx
import msgspec
import pytest
import uvicorn

from evalsvc._serving import endpoint
from evalsvc.errors import SourceError
from evalsvc.protocols import Source
from evalsvc.sources.decode import MAX_EVENT_BYTES, decode, encode
from evalsvc.sources.http import HttpSource
from evalsvc.testing.sources import RecordingAssignment, sample_messages
from evalsvc.types import Event, Finding

SECRET = "jane.doe@example.com"


def mask(event: Event) -> Event:
    """Take one address out, and break on demand."""
    if "break the masker" in event.response:
        raise RuntimeError(event.response)
    finding = Finding("response", "EMAIL_ADDRESS", 0, 7, "d" * 64, "mask")
    return msgspec.structs.replace(
        event,
        response=event.response.replace(SECRET, "<EMAIL>"),
        findings=(finding,) if SECRET in event.response else (),
    )


def same(event: Event) -> Event:
    """Mask nothing."""
    return event


@contextmanager
def serving(source: HttpSource, opened: bool = True) -> Iterator[httpx.Client]:
    """Serve a source from a thread and give a client for it."""
    if opened:
        source.open(RecordingAssignment())
    server = uvicorn.Server(uvicorn.Config(endpoint(source), port=0, log_level="error", lifespan="off"))
    thread = threading.Thread(target=server.run, daemon=True)
    thread.start()
    deadline = time.monotonic() + 10
    while not server.started and time.monotonic() < deadline:
        time.sleep(0.01)
    port = server.servers[0].sockets[0].getsockname()[1]
    try:
        with httpx.Client(base_url=f"http://127.0.0.1:{port}", timeout=30, trust_env=False) as client:
            yield client
    finally:
        server.should_exit = True
        thread.join(10)
        source.close()


def post(client: httpx.Client, body: Any, kind: str = "application/json", **headers: str) -> httpx.Response:
    """Send a body: bytes as they are, the rest as JSON."""
    content = body if isinstance(body, bytes) else json.dumps(body).encode()
    return client.post("/v1/events", content=content, headers={"Content-Type": kind, **headers})


def event(**fields: object) -> dict[str, object]:
    """Return a native event that happened now."""
    return {"event_id": "a", "occurred_at": datetime.now(UTC).isoformat(), "application": "b", **fields}


def read_ids(source: HttpSource) -> list[str]:
    """Poll until nothing comes, and return the ids."""
    found: list[str] = []
    while chunks := source.poll(0.05):
        found += [decode(record.value or b"").event_id for chunk in chunks for record in chunk.records]
    return found


def test_every_notation_arrives(tmp_path: Path) -> None:
    """One object, an array, lines, an envelope, a batch of envelopes, each also packed."""
    lines = sample_messages(4)
    envelope = {
        "specversion": "1.0",
        "id": "ce",
        "source": "/x",
        "type": "x.interaction",
        "time": event()["occurred_at"],
        "data": {"response": "hi"},
    }
    bodies = [
        (encode(decode(lines[0])), "application/json", 1),
        (b"[" + b",".join(lines[1:3]) + b"]", "application/json; charset=utf-8", 2),
        (b"\n".join(lines) + b"\n\n", "application/x-ndjson", 4),
        (json.dumps(envelope).encode(), "application/cloudevents+json", 1),
        (json.dumps([envelope, envelope]).encode(), "application/cloudevents-batch+json", 2),
        (b"[]", "application/json", 0),
    ]
    source = HttpSource(tmp_path, same)
    with serving(source) as client:
        for body, kind, count in bodies:
            answer = post(client, body, kind)
            assert (answer.status_code, answer.json()) == (202, {"accepted": count, "rejected": []})
            packed = post(client, gzip.compress(body), kind, **{"Content-Encoding": "gzip"})
            assert packed.json()["accepted"] == count
        assert len(read_ids(source)) == 2 * sum(count for _, _, count in bodies)


def test_all_members_of_a_packed_body_are_read(tmp_path: Path) -> None:
    """Members end anywhere in a chunk; padding with zeros is none; the bound is on their sum and their number."""
    members = [gzip.compress(json.dumps(event(event_id=f"m{i}")).encode() + b"\n") for i in range(5)]
    body = b"".join(members) + b"\0" * 5
    packed = {"Content-Type": "application/x-ndjson", "Content-Encoding": "gzip"}
    source = HttpSource(tmp_path, same, max_body_bytes=400_000)
    with serving(source) as client:
        for size in (len(body), len(members[0]), 7):
            pieces = (body[at : at + size] for at in range(0, len(body), size))
            answer = client.post("/v1/events", content=pieces, headers=packed)
            assert answer.json() == {"accepted": 5, "rejected": []}
        assert read_ids(source) == [f"m{i}" for i in range(5)] * 3
        for content, status in [
            (members[0] + members[1][:-3], 400),
            (members[0] + b"no gzip", 400),
            (gzip.compress(b" " * 300_000) * 2, 413),
            (gzip.compress(b"") * 10_001, 413),
        ]:
            assert client.post("/v1/events", content=content, headers=packed).status_code == status


def test_bytes_in_flight_are_bounded_without_an_announced_size(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Chunks count as they arrive, those of all requests together, until the answer; a refused one gives back."""
    entered, go_on = threading.Event(), threading.Event()

    def slow(event: Event) -> Event:
        entered.set()
        assert go_on.wait(10)
        return event

    monkeypatch.setattr("evalsvc.sources.http._MAX_IN_FLIGHT_BYTES", 5000)
    source = HttpSource(tmp_path, slow)
    with serving(source) as client, ThreadPoolExecutor(1) as pool:

        def send(size: int) -> httpx.Response:
            body = json.dumps(event(response="x" * size)).encode()
            pieces = (body[at : at + 500] for at in range(0, len(body), 500))
            return client.post("/v1/events", content=pieces, headers={"Content-Type": "application/json"})

        refused = send(6000)
        assert (refused.status_code, refused.headers["retry-after"]) == (429, "1")
        first = pool.submit(send, 3000)
        assert entered.wait(10)
        assert send(3000).status_code == 429
        go_on.set()
        assert first.result(10).status_code == 202
        assert send(3000).status_code == 202
    assert source._in_flight_bytes == 0


def test_bad_items_are_named_and_good_ones_kept(tmp_path: Path) -> None:
    """Each bad item has its index, a documented reason and a message without content."""
    old = (datetime.now(UTC) - timedelta(days=500)).isoformat()
    body = [event(event_id="g1"), event(response=5), {"event_id": SECRET}, event(occurred_at=old),
            event(kind=SECRET), 7, event(findings=[]), event(event_id="g2")]  # fmt: skip
    source = HttpSource(tmp_path, same)
    with serving(source) as client:
        answer = post(client, body)
        assert answer.status_code == 202
        assert answer.json()["accepted"] == 2
        reasons = {item["index"]: item["reason"] for item in answer.json()["rejected"]}
        assert reasons == {
            1: "wrong_type",
            2: "missing_field",
            3: "ancient_time",
            4: "unknown_kind",
            5: "not_an_object",
            6: "unknown_field",
        }
        assert SECRET not in answer.text
        assert read_ids(source) == ["g1", "g2"]
        lines = encode(decode(sample_messages(1)[0])) + b"\n{cut\n\xff\n"
        answer = post(client, lines, "application/x-ndjson")
        assert [item["reason"] for item in answer.json()["rejected"]] == ["not_json", "invalid_unicode"]


@pytest.mark.parametrize(
    ("body", "headers", "status", "says"),
    [
        (event(response=5), {}, 400, "wrong_type"),
        (b"", {}, 400, "empty_message"),
        (b'[{"a":', {}, 400, "truncated"),
        (b"[NaN]", {}, 400, "NaN"),
        (event(response="x" * MAX_EVENT_BYTES), {}, 400, "too_large"),
        (b"[" + b"1," * 10_000 + b"1]", {}, 413, "10000"),
        (b" " * 2_000_001, {}, 413, "2000000 bytes"),
        (gzip.compress(b" " * 50_000_000, mtime=0), {"Content-Encoding": "gzip"}, 413, "2000000 bytes"),
        (b"no gzip", {"Content-Encoding": "gzip"}, 400, "gzip"),
        (gzip.compress(b"[]", mtime=0)[:-3], {"Content-Encoding": "gzip"}, 400, "ends early"),
        (b"x", {"Content-Encoding": "br"}, 415, "gzip"),
        (b"x", {"Content-Type": "text/plain"}, 415, "application/json"),
        (b"{}", {"Content-Type": "application/json; charset=latin-1"}, 415, "UTF-8"),
        (b"{}", {"ce-specversion": "1.0"}, 415, "structured"),
        (event(response="break the masker " + SECRET), {}, 400, "masking_failed"),
    ],
)  # fmt: skip
def test_refusals(body: Any, headers: dict[str, str], status: int, says: str, tmp_path: Path) -> None:
    """The status says whose fault it is, the text what to do; nothing is written and nothing quoted."""
    source = HttpSource(tmp_path, mask, max_body_bytes=2_000_000)
    with serving(source) as client:
        answer = post(client, body, **headers)
        assert answer.status_code == status
        assert says in answer.text
        assert SECRET not in answer.text
        assert source.poll(0) == ()


def test_a_token_is_asked_for(tmp_path: Path) -> None:
    """401 without it or with another; 202 with it."""
    with serving(HttpSource(tmp_path, same, token="s3cret")) as client:
        for header in ({}, {"Authorization": "Bearer wrong"}, {"Authorization": "Basic s3cret"}):
            answer = post(client, event(), **header)
            assert (answer.status_code, answer.headers["www-authenticate"]) == (401, "Bearer")
        assert post(client, event(), Authorization="bearer s3cret").status_code == 202


def test_masked_before_it_is_written(tmp_path: Path) -> None:
    """The address is in no file of the log; the findings are in the record."""
    source = HttpSource(tmp_path, mask)
    with serving(source) as client:
        assert post(client, event(response=f"write to {SECRET}")).status_code == 202
        for path in tmp_path.iterdir():
            assert SECRET.encode() not in path.read_bytes()
        (chunk,) = source.poll(1)
        stored = decode(chunk.records[0].value or b"")
        assert stored.response == "write to <EMAIL>"
        assert stored.findings[0].entity_type == "EMAIL_ADDRESS"


def test_backpressure_and_relief(tmp_path: Path) -> None:
    """429 with Retry-After while the worker is behind; taken again once it committed."""
    source = HttpSource(tmp_path, same, max_backlog_bytes=5000)
    with serving(source) as client:
        statuses = [post(client, event(response="x" * 500)).status_code for _ in range(12)]
        assert statuses[0] == 202
        refused = post(client, event(response="x" * 500))
        assert refused.status_code == 429
        assert int(refused.headers["retry-after"]) > 0
        read_ids(source)
        assert post(client, event(response="x" * 500)).status_code == 429
        assert sum(source.lag().values()) == 0
        source.commit({source.partition: statuses.count(202)})
        assert post(client, event(response="x" * 500)).status_code == 202


def test_without_a_worker_nothing_is_taken(tmp_path: Path) -> None:
    """503 before open and after close: nobody would read it."""
    source = HttpSource(tmp_path, same)
    with serving(source, opened=False) as client:
        source.awaited = lambda: "scorer relevance to load"
        early = post(client, event())
        assert (early.status_code, early.headers["retry-after"]) == (503, "5")
        assert early.json()["error"].startswith("starting: scorer relevance to load;")
        source.open(RecordingAssignment())
        assert post(client, event()).status_code == 202
        source.close()
        answer = post(client, event())
        assert (answer.status_code, answer.headers["retry-after"]) == (503, "5")
        assert answer.json()["error"].startswith("stopped: ")


def test_many_requests_share_an_fsync(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Group commit: with a slow disk, far fewer syncs than requests, and each answer waits for its own."""
    syncs = []
    real = os.fdatasync

    def slow(handle: int) -> None:
        time.sleep(0.05)
        syncs.append(handle)
        real(handle)

    monkeypatch.setattr(os, "fdatasync", slow)
    source = HttpSource(tmp_path, same)
    with serving(source) as client, ThreadPoolExecutor(16) as pool:
        answers = list(pool.map(lambda i: post(client, event(event_id=f"e{i}")), range(64)))
        assert {answer.status_code for answer in answers} == {202}
        assert sorted(read_ids(source)) == sorted(f"e{i}" for i in range(64))
    assert 1 <= len(syncs) <= 24


def test_one_process_a_folder(tmp_path: Path) -> None:
    """A second writer would interleave: it is refused by name."""
    with serving(HttpSource(tmp_path, same)), pytest.raises(SourceError, match=f"written by process {os.getpid()}"):
        HttpSource(tmp_path, same).open(RecordingAssignment())


def test_an_older_copy_of_the_log_is_noticed(tmp_path: Path) -> None:
    """The store knows more records than the log has: numbers would be given twice."""
    source = HttpSource(tmp_path, same)
    source.open(RecordingAssignment())
    partition = source.partition
    source.open(RecordingAssignment({partition: 5}))
    with pytest.raises(SourceError, match="older copy"):
        source.poll(0)
    source.close()
    (tmp_path / "id").unlink()
    source.open(RecordingAssignment({partition: 5}))
    assert source.poll(0) == ()
    assert source.partition != partition
    source.close()


def test_is_a_source(tmp_path: Path) -> None:
    """The protocol's members are all there."""
    assert isinstance(HttpSource(tmp_path, same), Source)
