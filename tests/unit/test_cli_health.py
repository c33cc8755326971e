"""/metrics, /livez and /readyz of a worker, asked over real HTTP."""

from __future__ import annotations

import urllib.error
import urllib.request
from collections.abc import Iterator

import pytest

from evalsvc._health import HealthServer
from evalsvc.errors import ConfigError
from evalsvc.pipeline import WorkerStatus


class Reporter:
    consumer = "quality"

    def __init__(self) -> None:
        self.now = WorkerStatus(alive=True)

    def status(self) -> WorkerStatus:
        return self.now


@pytest.fixture
def reporter() -> Reporter:
    return Reporter()


@pytest.fixture
def server(reporter: Reporter) -> Iterator[HealthServer]:
    with HealthServer("127.0.0.1", 0, [reporter], lambda: b"evalsvc_ready 1.0\n") as health:
        yield health


def get(server: HealthServer, path: str) -> tuple[int, str]:
    try:
        with urllib.request.urlopen(server.address + path, timeout=5) as answer:
            return answer.status, answer.read().decode()
    except urllib.error.HTTPError as error:
        with error:
            return error.code, error.read().decode()


def test_a_worker_that_starts_is_alive_and_not_ready(server: HealthServer) -> None:
    assert get(server, "/livez") == (200, "alive\n")
    assert get(server, "/readyz") == (503, "quality: starting\n")


def test_a_worker_that_works_is_ready(server: HealthServer, reporter: Reporter) -> None:
    reporter.now = WorkerStatus(alive=True, ready=True)
    assert get(server, "/readyz?verbose") == (200, "ready\n")


def test_a_worker_that_waits_says_for_what(server: HealthServer, reporter: Reporter) -> None:
    reporter.now = WorkerStatus(alive=True, ready=True, waiting_for="store: down")
    assert get(server, "/readyz") == (503, "quality: waiting for store: down\n")
    assert get(server, "/livez") == (200, "alive\n")


def test_a_worker_that_failed_is_not_alive_and_one_that_finished_is(server: HealthServer, reporter: Reporter) -> None:
    reporter.now = WorkerStatus(failed="Topic 't' does not exist")
    assert get(server, "/livez") == (503, "quality: failed: Topic 't' does not exist\n")
    reporter.now = WorkerStatus(read=9)
    assert (get(server, "/livez")[0], get(server, "/readyz")[0]) == (200, 200)


def test_metrics_and_nothing_else(server: HealthServer) -> None:
    assert get(server, "/metrics") == (200, "evalsvc_ready 1.0\n")
    assert get(server, "/")[0] == 404
    assert get(server, "/../etc/passwd")[0] == 404


def test_a_port_in_use_is_an_error_that_says_so(server: HealthServer, reporter: Reporter) -> None:
    port = int(server.address.rpartition(":")[2])
    with pytest.raises(ConfigError, match=f"Cannot listen on 127.0.0.1:{port}"):
        HealthServer("127.0.0.1", port, [reporter], bytes)
