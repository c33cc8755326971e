"""The demo's project: its files, its traffic, and the worker's run over it."""

from __future__ import annotations

import gzip
import os
import shutil
import sys
from datetime import datetime, timedelta
from itertools import islice
from pathlib import Path
from typing import NamedTuple, Never

import msgspec
from tqdm import tqdm

from evalsvc.demo import incident
from evalsvc.demo.traffic import DAYS, JUDGE_DAY, Truth, generate
from evalsvc.errors import ConfigError
from evalsvc.pipeline import Worker, WorkerStatus
from evalsvc.sources.decode import encode

STORE = "store"
ANCHORS = 40
MARK = "made-by-evalsvc-demo"

DEMO = """\
# run: evalsvc run consumers/demo.yaml — code: evalsvc/pipeline
# Two weeks of invented traffic. Version 2 and enterprise customers are rare, so more of theirs is taken.
consumer: demo
source:
  files: {paths: [data/traffic.jsonl.gz]}
sampling:
  version: 1
  strata: [application, model_version, segments.plan]
  rate: 0.05
  rates:
    - {match: {segments.plan: enterprise}, rate: 0.5}
    - {match: {model_version: "2"}, rate: 0.25}
scorers:
  - refusal
  - introduced_pii
  - bleu
  - chrf
  - rouge_l
  - latency_ms
  - output_tokens
  - cost_usd
  - prompt_language
  - prompt_words
  - response_words
  - {name: prompt_embedding, rate: 0.5}
  - {name: relevance, rate: 0.5}
  - {name: context_support, rate: 0.5}
  - {name: "evalsvc.demo.judge:DemoJudge", options: {stricter_from: "STRICTER_FROM"}}
# The same forty cases, scored every day: when their scores move, it is the scorer that moved.
anchors: {cases: anchors/demo.jsonl, every: 24h, metrics: [helpfulness, refusal]}
limits: {age_days: none}
"""

LIVE = """\
# run: evalsvc run consumers/live.yaml — code: evalsvc/pipeline
# What is sent to POST /v1/events while the demo's service is up; every event is taken.
consumer: live
source:
  http: {wal: wal}
sampling: {version: 1, rate: 1.0}
scorers: [refusal, introduced_pii, rouge_l, latency_ms, relevance, context_support]
"""

SETTINGS = f"""\
[tool.evalsvc]
store = "embedded:{STORE}"
"""


class Scene(NamedTuple):
    """Where the demo's project lies and what is true about its traffic."""

    folder: Path
    end: datetime
    truths: list[Truth]


def prepare(folder: Path, end: datetime, events: int) -> Scene:
    """Make the project and its traffic; a former demo's folder is removed, any other is refused.

    Raises:
        ConfigError: when the folder holds something else.
    """
    folder = folder.absolute()
    if folder.exists() and not (folder / MARK).exists():
        raise ConfigError(
            f"Expected {folder} to be absent or a former demo's, but it holds something else; move it away"
        )
    shutil.rmtree(folder, ignore_errors=True)
    for name in ("consumers", "data", "anchors"):
        (folder / name).mkdir(parents=True)
    (folder / MARK).touch()
    (folder / "pyproject.toml").write_text(SETTINGS)
    stricter_from = (end - timedelta(days=DAYS - JUDGE_DAY)).isoformat()
    (folder / "consumers" / "demo.yaml").write_text(DEMO.replace("STRICTER_FROM", stricter_from))
    cases = [encode(event) for event, _ in islice(generate(end, 4 * ANCHORS, seed=11), ANCHORS)]
    (folder / "anchors" / "demo.jsonl").write_bytes(b"".join(case + b"\n" for case in cases))
    (folder / "consumers" / "live.yaml").write_text(LIVE)
    incident.write(folder, end)
    print(f"Inventing {DAYS} days of a support assistant's traffic, about {events:,} events …", flush=True)
    return Scene(folder, end, _write_traffic(folder / "data", end, events))


def _write_traffic(folder: Path, end: datetime, events: int) -> list[Truth]:
    truths = []
    with (
        gzip.open(folder / "traffic.jsonl.gz", "wb", 1) as traffic,
        gzip.open(folder / "truth.jsonl.gz", "wb", 1) as beside,
    ):
        for event, truth in generate(end, events):
            traffic.write(encode(event) + b"\n")
            beside.write(msgspec.json.encode(truth) + b"\n")
            truths.append(truth)
    return truths


def score(scene: Scene) -> WorkerStatus:
    """Run the consumer over the whole file, into the embedded store; show how far it is."""
    from evalsvc import assemble, project

    found = project.load_project()
    consumer = next(consumer for consumer in found.consumers if consumer.name == "demo")
    environment = project.Environment.read(os.environ)
    print("Sampling, masking and scoring them into an embedded ClickHouse …", flush=True)
    with assemble.project_store(found, environment, exclusive=True) as store:
        worker = assemble.build_worker(consumer, store, environment)
        with _progress(len(scene.truths)) as bar:
            status = _run(worker, bar)
        _score_anchors(scene, worker)
        return status


def _score_anchors(scene: Scene, worker: Worker) -> None:
    """Score the anchors once for each of the days, as a worker that lived through them would have done."""
    if worker.anchors is not None:
        # At midnight, when their slots of 24 hours begin: a later run bears that time as well.
        last = (scene.end - timedelta(seconds=1)).replace(hour=0, minute=0, second=0, microsecond=0)
        for day in range(DAYS):
            worker.anchors.run(at=last - timedelta(days=DAYS - 1 - day))


def _run(worker: Worker, bar: tqdm[Never]) -> WorkerStatus:
    """Run the worker in this thread, and move the bar from another."""
    import threading

    done = threading.Event()

    def move() -> None:
        while not done.wait(0.2):
            bar.update(worker.status().read - bar.n)

    watcher = threading.Thread(target=move, daemon=True)
    watcher.start()
    try:
        status = worker.run()
    finally:
        done.set()
        watcher.join()
    bar.update(status.read - bar.n)
    return status


def _progress(total: int) -> tqdm[Never]:
    return tqdm(total=total, unit=" events", disable=not sys.stderr.isatty(), leave=False)
