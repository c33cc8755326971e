"""The main promise: two workers over a real topic, killed twenty times, and every count is exact.

The real sets under ``../shared/data/traffic`` and ``../shared/data/faithfulness`` are produced to Kafka, with broken
messages among them, and read by a consumer group of two processes that write over the ClickHouse bridge. What must be
in the store is computed here from the sampling specification alone.
"""

from __future__ import annotations

import gzip
import hashlib
import json
import random
import signal
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from conftest import create_topic
from evalsvc.protocols import CellQuery
from evalsvc.store import open_store
from evalsvc.store.bridge import serving
from evalsvc.types import Window
from servers.kafka_broker import KafkaBroker

DATA = Path(__file__).parents[2].parent / "shared" / "data"
PARTITIONS, KILLS, SESSION_SECONDS = 6, 20, 2.0
ALL_TIME = Window(datetime(2026, 1, 1, tzinfo=UTC), datetime(2027, 1, 1, tzinfo=UTC))
SCORERS = ("bleu", "chrf", "rouge_l", "introduced_pii", "refusal", "latency_ms", "output_tokens", "cost_usd")
RATES = {"llmdrift": 0.5, "ragtruth_qa_test": 1.0}


def rows() -> Iterator[tuple[str, dict[str, Any]]]:
    """Every row of the real sets, with its set's name."""
    for part in ("traffic", "faithfulness"):
        for file in sorted((DATA / part).glob("*/visible.jsonl.gz")):
            if file.parent.name in ("nab_anomalies", "tcpd_changepoints", "vectara_hhem_series"):
                continue  # series of numbers, not interactions
            with gzip.open(file, "rt") as lines:
                for line in lines:
                    yield file.parent.name, json.loads(line)


def as_event(name: str, row: dict[str, Any], number: int) -> dict[str, Any]:
    """A row as an event: whatever text it has in the place where it belongs."""
    text = row.get("query") or row.get("text") or row.get("premise") or ""
    moment = datetime(2026, 3, 1, tzinfo=UTC) + timedelta(seconds=number % 86_400)
    event = {
        "event_id": row["id"],
        "occurred_at": moment.isoformat(),
        "application": name,
        "model": str(row.get("model") or ""),
        "prompt": text if isinstance(text, str) else json.dumps(text),
        "response": row.get("response") or row.get("hypothesis") or "",
        "contexts": [row["context"][:20_000]] if isinstance(row.get("context"), str) else [],
        "reference": row.get("reference") if isinstance(row.get("reference"), str) else None,
        "session_id": row.get("group"),
        "latency_ms": float(row["latency"]) * 1000 if row.get("latency") else None,
        "output_tokens": row.get("answer_tokens") or row.get("generated_tokens"),
        "cost_usd": row.get("cost"),
    }
    return {key: value for key, value in event.items() if value not in (None, "")}


def messages() -> tuple[list[bytes], dict[str, str], int]:
    """The topic's messages in order, the application by event id, and how many messages are broken."""
    made, applications, broken = [], {}, 0
    for number, (name, row) in enumerate(rows()):
        event = as_event(name, row, number)
        if event["event_id"] in applications:
            continue
        applications[event["event_id"]] = name
        made.append(json.dumps(event).encode())
        if number % 199 == 0:
            made.append(made[-1][: len(made[-1]) // 2])
            broken += 1
    return made, applications, broken


def expected_sample(applications: dict[str, str]) -> dict[str, set[str]]:
    """Which events the design takes, from its specification alone."""
    taken: dict[str, set[str]] = {}
    for event_id, application in applications.items():
        digest = hashlib.sha256(b"evalsvc/1\0killed\0" + event_id.encode()).digest()
        if int.from_bytes(digest[:8], "big") < int(RATES.get(application, 0.1) * 2**64):
            taken.setdefault(application, set()).add(event_id)
    return taken


class Group:
    """Two worker processes."""

    def __init__(self, brokers: str, topic: str, store: str, logs: Path) -> None:
        self.given = json.dumps(
            {"brokers": brokers, "topic": topic, "store": store, "session_seconds": SESSION_SECONDS}
        )
        self.logs = logs
        self.workers: list[subprocess.Popen[bytes]] = [self._start(), self._start()]

    def _start(self) -> subprocess.Popen[bytes]:
        script = Path(__file__).with_name("killed_worker.py")
        with (self.logs / "workers.log").open("ab") as log:
            return subprocess.Popen([sys.executable, str(script), self.given], stdout=log, stderr=log)

    def kill(self, which: int) -> None:
        """Kill one without a word, and start another in its place."""
        self.workers[which].kill()
        self.workers[which].wait()
        self.workers[which] = self._start()

    def check_alive(self) -> None:
        for worker in self.workers:
            if worker.poll() is not None:
                raise AssertionError((self.logs / "workers.log").read_text()[-4000:])

    def stop(self) -> None:
        for worker in self.workers:
            worker.send_signal(signal.SIGTERM)
        for worker in self.workers:
            worker.wait(60)


def counted(store: Any) -> Counter[str]:
    """How many records the ledger counts, by outcome and in all."""
    outcomes = Counter(dict(store.outcomes("killed")))
    return outcomes + Counter(all=sum(outcomes.values()))


def totals(store: Any, metric: str) -> dict[str, int]:
    """How many scores of a metric the rollups hold, by application."""
    query = CellQuery(metric, ALL_TIME, int(ALL_TIME.seconds), ("application",))
    return {
        group.key["application"]: sum(cell.n + cell.n_abstained + cell.n_failed for cell in group.cells)
        for group in store.cells(query)
    }


@pytest.fixture
def broker() -> Iterator[KafkaBroker]:
    """A broker that notices within seconds that a member of a group is gone."""
    with KafkaBroker(settings={"group.min.session.timeout.ms": "1000"}) as running:
        yield running


@pytest.mark.slow
@pytest.mark.kafka
@pytest.mark.timeout(600)
@pytest.mark.skipif(
    not DATA.is_dir(), reason="the data sets lie beside the checkout, in ../shared/data, and are absent"
)
def test_killed_twenty_times_every_count_is_exact(broker: KafkaBroker, tmp_path: Path) -> None:
    made, applications, broken = messages()
    topic = create_topic(broker.bootstrap, PARTITIONS)
    produce(broker.bootstrap, topic, made)
    taken = expected_sample(applications)
    with serving(tmp_path / "store") as _:
        store = open_store(f"embedded:{tmp_path / 'store'}")
        group = Group(broker.bootstrap, topic, f"embedded:{tmp_path / 'store'}", tmp_path)
        rng = random.Random(11)
        try:
            for kill in range(KILLS):
                time.sleep(rng.uniform(0.3, 3.5))
                group.kill(kill % 2)
            deadline = time.monotonic() + 300
            while counted(store)["all"] < len(made) and time.monotonic() < deadline:
                group.check_alive()
                time.sleep(0.5)
        finally:
            group.stop()
        counts = counted(store)
        print(f"{len(made)} messages, {counts}, {KILLS} kills")
        assert counts["all"] == len(made)
        assert counts["dead"] == broken
        assert counts["sampled"] == sum(map(len, taken.values()))
        assert counts["skipped"] + counts["sampled"] + counts["dead"] == counts["all"]
        for metric in SCORERS:
            assert totals(store, metric) == {name: len(ids) for name, ids in taken.items()}, metric
        offered: Counter[str] = Counter()
        for row in store.offered(ALL_TIME, int(ALL_TIME.seconds)):
            offered[row.stratum.removeprefix("application=")] += row.offered
        assert offered == Counter(applications.values())
        known = store.known(list(applications), "killed")
        assert set(known) == set().union(*taken.values())
        store.close()


def produce(bootstrap: str, topic: str, made: list[bytes]) -> None:
    """Send all messages, round the partitions."""
    from kafka import KafkaProducer

    producer = KafkaProducer(bootstrap_servers=bootstrap, compression_type="lz4", linger_ms=20)
    for number, value in enumerate(made):
        producer.send(topic, value=value, partition=number % PARTITIONS)
    producer.flush()
    producer.close()
