"""``evalsvc up`` and ``run`` as a user starts them: processes, HTTP, signals."""

from __future__ import annotations

import json
import os
import re
import signal
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path

import pytest

from evalsvc.cli import main

START_SECONDS = 90.0


def get(url: str) -> str:
    with urllib.request.urlopen(url, timeout=10) as answer:
        return str(answer.read().decode())


def post(url: str, events: list[dict[str, object]]) -> dict[str, object]:
    body = json.dumps(events).encode()
    request = urllib.request.Request(url, body, {"Content-Type": "application/json"})
    with urllib.request.urlopen(request, timeout=10) as answer:
        return dict(json.loads(answer.read()))


def event(number: int) -> dict[str, object]:
    return {
        "event_id": f"e{number}",
        "occurred_at": datetime.now(UTC).isoformat(),
        "application": "support",
        "prompt": "Hi",
        "response": "Hello there",
        "latency_ms": 100 + number,
    }


@contextmanager
def running(folder: Path, *arguments: str) -> Iterator[subprocess.Popen[str]]:
    command = [sys.executable, "-m", "evalsvc.cli", *arguments]
    log = (folder / "stderr.txt").open("w")
    process = subprocess.Popen(command, cwd=folder, text=True, stdout=subprocess.PIPE, stderr=log, env={**os.environ})
    try:
        yield process
    finally:
        process.kill()
        process.communicate()
        log.close()


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def until(what: str, ready: object) -> None:
    deadline = time.monotonic() + START_SECONDS
    while time.monotonic() < deadline:
        try:
            if callable(ready) and ready():
                return
        except OSError:
            pass
        time.sleep(0.1)
    pytest.fail(f"{what} did not happen in {START_SECONDS} s")


def stop(process: subprocess.Popen[str]) -> int:
    process.send_signal(signal.SIGTERM)
    process.communicate(timeout=60)
    return process.returncode


@pytest.mark.slow
@pytest.mark.timeout(240)
def test_up_takes_events_answers_queries_and_ends_cleanly(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    assert main(["init", str(tmp_path)]) == 0
    monkeypatch.chdir(tmp_path)
    with running(tmp_path, "up", "--port", "0") as process:
        assert process.stdout is not None
        line = process.stdout.readline()
        address = re.search(r"http://127\.0\.0\.1:\d+", line)
        assert address is not None, (tmp_path / "stderr.txt").read_text()
        url = address[0]
        until("readiness", lambda: "ready" in get(f"{url}/readyz"))
        assert "evalsvc" in get(f"{url}/")
        post(f"{url}/v1/events", [event(number) for number in range(20)])
        until("scoring", lambda: 'outcome="sampled"} 20.0' in get(f"{url}/metrics"))
        capsys.readouterr()
        assert main(["query", "latency_ms", "--format", "json"]) == 0
        (row,) = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
        assert row["n"] == 20
        assert row["value"] == pytest.approx(109.5)
        assert main(["up", "--port", "0"]) == 3
        assert "belongs to process" in capsys.readouterr().err
        assert stop(process) == 0


@pytest.mark.slow
@pytest.mark.timeout(240)
def test_run_serves_health_and_finishes_on_sigterm(tmp_path: Path) -> None:
    assert main(["init", str(tmp_path)]) == 0
    path, port = tmp_path / "consumers" / "quality.yaml", free_port()
    path.write_text(path.read_text().replace("http: {port: 8400}", f"http: {{port: {port}}}"))
    with running(tmp_path, "run", "quality", "--metrics-port", "0", "--log-format", "json") as process:
        until("start", lambda: "health and metrics" in (tmp_path / "stderr.txt").read_text())
        address = re.search(r"metrics at (http://127\.0\.0\.1:\d+)", (tmp_path / "stderr.txt").read_text())
        assert address is not None
        until("readiness", lambda: get(f"{address[1]}/readyz") == "ready\n")
        post(f"http://127.0.0.1:{port}/v1/events", [event(1), event(2)])
        assert stop(process) == 0
    lines = (tmp_path / "stderr.txt").read_text().splitlines()
    assert any(line.startswith("quality: 2 records read (2 sampled)") for line in lines)
    assert any(json.loads(line)["logger"] == "evalsvc.worker" for line in lines if line.startswith("{"))
