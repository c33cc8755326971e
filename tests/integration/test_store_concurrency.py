"""Many writers and readers at once: no score is lost, none counts twice, and no rollup stays stale."""

from __future__ import annotations

import random
import subprocess
import sys
import textwrap
import threading
from datetime import timedelta

import pytest

from evalsvc.protocols import CellQuery
from evalsvc.store import MemoryStore, open_store
from evalsvc.store.bridge import Bridge
from evalsvc.testing.stores import MIDNIGHT, make_score
from evalsvc.types import Window, WriteBatch

DAY = Window(MIDNIGHT, MIDNIGHT + timedelta(days=2))


@pytest.fixture
def folder(tmp_path):
    with Bridge(tmp_path):
        store = open_store(f"embedded:{tmp_path}")
        yield tmp_path, store
        store.close()


def answers(store, metric, **options):
    return [store.cells(CellQuery(metric, DAY, step, ("application",)), **options) for step in (3600, 86_400)]


def test_threads_write_overlapping_batches_while_others_read(folder):
    _, store = folder
    scores = [make_score(index, index % 64 / 64, "threads") for index in range(200)]
    stop, errors = threading.Event(), []

    def write(seed):
        rng = random.Random(seed)
        try:
            for _ in range(12):
                store.write(WriteBatch(scores=tuple(rng.sample(scores, 40))))
        except Exception as error:
            errors.append(error)

    def read():
        try:
            while not stop.is_set():
                answers(store, "threads")
                store.settle()
        except Exception as error:
            errors.append(error)

    writers = [threading.Thread(target=write, args=(seed,)) for seed in range(3)]
    readers = [threading.Thread(target=read) for _ in range(2)]
    for thread in writers + readers:
        thread.start()
    for thread in writers:
        thread.join()
    store.write(WriteBatch(scores=tuple(scores)))
    stop.set()
    for thread in readers:
        thread.join()
    assert errors == []
    reference = MemoryStore()
    reference.write(WriteBatch(scores=tuple(scores)))
    assert answers(store, "threads") == answers(store, "threads", raw=True) == answers(reference, "threads")


WRITER = """
    import random, sys
    from evalsvc.store import open_store
    from evalsvc.testing.stores import make_score
    from evalsvc.types import WriteBatch
    store = open_store("embedded:{path}")
    rng = random.Random({seed})
    scores = [make_score(index, index % 64 / 64, "processes") for index in range(300)]
    rng.shuffle(scores)
    while True:
        size = rng.randrange(1, 60)
        for place in range(0, len(scores), size):
            store.write(WriteBatch(scores=tuple(scores[place : place + size])))
        print("round", flush=True)
        if {forever} == 0:
            break
    store.close()
"""


def start_writer(path, seed, forever):
    code = textwrap.dedent(WRITER.format(path=path, seed=seed, forever=int(forever)))
    return subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


def test_processes_write_through_the_bridge_and_one_is_killed(folder):
    path, store = folder
    doomed = start_writer(path, 1, forever=True)
    other = start_writer(path, 2, forever=False)
    assert doomed.stdout.readline() == "round\n", doomed.stderr.read()
    doomed.kill()
    doomed.communicate()
    _, errors = other.communicate(timeout=120)
    assert (other.returncode, errors) == (0, "")
    reference = MemoryStore()
    scores = tuple(make_score(index, index % 64 / 64, "processes") for index in range(300))
    reference.write(WriteBatch(scores=scores))
    assert answers(store, "processes") == answers(store, "processes", raw=True) == answers(reference, "processes")
    assert store.settle() == 0
