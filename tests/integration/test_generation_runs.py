"""Whole runs in processes of their own against a real server: killed and resumed, two at once, interrupted."""

from __future__ import annotations

import signal
import subprocess
import sys
import threading
import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import pytest

from servers.judge import Answer, FakeJudge, Request
from servers.model import streams

CHECKOUT = Path(__file__).resolve().parents[2]
CONCURRENCY = 4
RUN = f"""
import sys
from pathlib import Path
from evalsvc.cases.values import Case
from evalsvc.disk_cache import DiskCache
from evalsvc.generation import Asker, AskLimits, EndpointModel, EndpointSettings

url, path, count, first = sys.argv[1:]
numbers = range(int(first), int(first) + int(count))
cases = [Case(case_id=f"case-{{n}}", prompt=f"prompt {{n}}") for n in numbers]
with DiskCache.open(Path(path)) as cache:
    asker = Asker(
        EndpointModel(EndpointSettings(model="m", base_url=url)), cache, limits=AskLimits(concurrency={CONCURRENCY})
    )
    answers = asker.ask(cases)
print(asker.progress, flush=True)
print(sum(answer.response == f"re: prompt {{n}}" for n, answer in zip(numbers, answers)))
"""


@pytest.fixture
def server() -> Iterator[FakeJudge]:
    def slowly(request: Request) -> Answer:
        time.sleep(0.02)
        return streams("re: ", request.text)

    with FakeJudge(rule=slowly) as running:
        yield running


def start(server: FakeJudge, path: Path, count: int, first: int = 0) -> subprocess.Popen[str]:
    command = [sys.executable, "-c", RUN, server.url, str(path), str(count), str(first)]
    return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, cwd=CHECKOUT)


def asked(server: FakeJudge) -> Counter[str]:
    return Counter(request.text for request in server.requests)


def stop_midway(run: subprocess.Popen[str], server: FakeJudge, number: signal.Signals, after: int) -> str:
    ends = time.monotonic() + 60
    while len(server.requests) < after and time.monotonic() < ends:
        time.sleep(0.005)
    run.send_signal(number)
    return run.communicate(timeout=60)[1]


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGINT])
def test_a_run_that_is_cut_off_goes_on_and_pays_for_nothing_twice(server, tmp_path, number):
    path = tmp_path / "cache.sqlite"
    run = start(server, path, 200)
    stop_midway(run, server, number, 80)
    assert run.returncode != 0
    # What the server had not answered when the run ended is nobody's answer yet.
    before = len(server.requests)
    assert before < 200
    resumed = start(server, path, 200)
    out, errors = resumed.communicate(timeout=120)
    assert resumed.returncode == 0, errors
    assert out.splitlines()[1] == "200"
    counts = asked(server)
    assert len(counts) == 200
    again = sum(counts.values()) - 200
    # Only requests that were under way, and answers that had come and were not written yet.
    assert again <= CONCURRENCY
    assert f"{200 - len(server.requests) + before} cached" in out
    third = start(server, path, 200)
    assert "0 answered, 0 failed, 200 cached" in third.communicate(timeout=60)[0]
    assert asked(server) == counts


def test_two_runs_at_once_ask_each_question_once(server, tmp_path):
    path = tmp_path / "cache.sqlite"
    runs = [start(server, path, 60) for _ in range(2)]
    ended = [run.communicate(timeout=120) for run in runs]
    assert [run.returncode for run in runs] == [0, 0], ended
    assert [out.splitlines()[1] for out, _ in ended] == ["60", "60"]
    assert asked(server) == Counter(f"prompt {n}" for n in range(60))
    assert sorted(out.splitlines()[0] for out, _ in ended) == [
        "60 of 60: 0 answered, 0 failed, 60 cached, $0.0000",
        "60 of 60: 60 answered, 0 failed, 0 cached, $0.0000",
    ]
    waited = "".join(errors for _, errors in ended)
    assert waited.count("Waiting for process") <= 1


def test_two_runs_of_other_cases_pay_once_for_those_that_both_have(server, tmp_path):
    path = tmp_path / "cache.sqlite"
    runs = [start(server, path, 60), start(server, path, 60, 30), start(server, path, 5, 50)]
    ended = [run.communicate(timeout=120) for run in runs]
    assert [run.returncode for run in runs] == [0, 0, 0], ended
    assert [out.splitlines()[1] for out, _ in ended] == ["60", "60", "5"]
    assert asked(server) == Counter(f"prompt {n}" for n in range(90))


def test_one_cache_is_shared_by_threads(server, tmp_path):
    from evalsvc.cases.values import Case
    from evalsvc.disk_cache import DiskCache
    from evalsvc.generation import Asker, EndpointModel, EndpointSettings

    cases = [Case(case_id=f"case-{n}", prompt=f"prompt {n}") for n in range(20)]
    told = []
    with DiskCache.open(tmp_path / "cache.sqlite") as cache:

        def run() -> None:
            model = EndpointModel(EndpointSettings(model="m", base_url=server.url))
            told.append([answer.response for answer in Asker(model, cache).ask(cases)])

        threads = [threading.Thread(target=run) for _ in range(3)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    assert told == [[f"re: prompt {n}" for n in range(20)]] * 3
    assert len(server.requests) == 20
