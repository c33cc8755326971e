"""The path from Kafka to ClickHouse: what skipping costs, how much goes through, and whether memory stays flat.

Run: ``python benchmarks/worker.py [--quick]``. It starts a Kafka broker of its own on loopback (Java and Maven) and an
embedded ClickHouse engine; workers are processes of one consumer group that write over the engine's HTTP bridge.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path

from _harness import Row, machine, table
from evalsvc.ledger import ChunkLedger
from evalsvc.pipeline.intake import Intake, TimeLimits
from evalsvc.protocols import Chunk
from evalsvc.sampling import Design, History
from evalsvc.sources._record import RawRecord
from evalsvc.sources.decode import make_skimmer
from evalsvc.sources.kafka import KafkaSettings, KafkaSource

sys.path.insert(0, str(Path(__file__).parents[1] / "tests"))

CHEAP = (
    "bleu",
    "chrf",
    "rouge_l",
    "refusal",
    "introduced_pii",
    "latency_ms",
    "input_tokens",
    "output_tokens",
    "cost_usd",
)
ENCODER = ("relevance", "context_support")
NOTHING = Design(consumer="bench", rate=1e-9)
SENTENCES = (
    "Standard delivery takes three working days after the order is confirmed.",
    "Express orders that are placed before noon arrive on the next working day.",
    "Unused items can be returned within thirty days of delivery for a full refund.",
    "The refund is paid to the original means of payment within a week.",
    "Invoices can be downloaded from the account page under Orders.",
    "All kitchen appliances come with a warranty of two years from the date of purchase.",
)


def event(number: int) -> bytes:
    """Return an event of 1.3 kB; no two answers are alike, so caches help as little as in production."""
    said = [SENTENCES[(number * k + k) % len(SENTENCES)] for k in (1, 2, 3, 5)]
    return json.dumps(
        {
            "event_id": f"0195a3c2-{number:012d}",
            "occurred_at": datetime.fromtimestamp(1_772_366_400 + number // 50_000, UTC).isoformat(),
            "application": "support",
            "model": "assistant",
            "model_version": "1" if number % 5 else "2",
            "prompt": f"Question {number}: how long does my order take, can I return it, and where is my invoice?",
            "response": f"For order {number}: {said[0]} {said[1]} {said[2]}",
            "contexts": [" ".join(said), SENTENCES[number % len(SENTENCES)]],
            "reference": f"{said[0]} {said[2]}",
            "segments": {"plan": ("free", "pro", "enterprise")[number % 3], "language": "en"},
            "session_id": f"session-{number // 3}",
            "latency_ms": 812.5 + number % 97,
            "input_tokens": 141,
            "output_tokens": 87,
            "cost_usd": 0.0004,
        }
    ).encode()


class _Reader:
    """An assignment that begins every partition at its start."""

    def __init__(self, intake: Intake) -> None:
        self.intake = intake

    def resume_at(self, partition: str, committed: int | None) -> int | None:
        self.intake.assign(partition, ChunkLedger("bench", partition, 0))
        return 0

    def revoked(self, partitions: Sequence[str]) -> None:
        for partition in partitions:
            self.intake.revoke(partition)


def _intake() -> Intake:
    history = History([(datetime(1970, 1, 1, tzinfo=UTC), NOTHING)])
    return Intake("bench", make_skimmer(history.fields), history.select, TimeLimits(age_days=None))


def produce(bootstrap: str, topic: str, count: int, partitions: int) -> None:
    """Fill a topic, lz4."""
    from kafka import KafkaProducer

    producer = KafkaProducer(bootstrap_servers=bootstrap, compression_type="lz4", linger_ms=50, batch_size=1 << 18)
    for number in range(count):
        producer.send(topic, value=event(number), partition=number % partitions)
    producer.flush()
    producer.close()


def bare_poll(bootstrap: str, topic: str, count: int) -> float:
    """Return the CPU microseconds a message of kafka-python's poll alone."""
    from kafka import KafkaConsumer, TopicPartition

    consumer = KafkaConsumer(
        bootstrap_servers=bootstrap,
        enable_auto_commit=False,
        metrics_enabled=False,
        max_poll_records=4000,
        max_partition_fetch_bytes=4 << 20,
    )
    partition = TopicPartition(topic, 0)
    consumer.assign([partition])
    consumer.seek_to_beginning(partition)
    read, began = 0, time.process_time()
    while read < count:
        read += sum(len(records) for records in consumer.poll(500).values())
    spent = time.process_time() - began
    consumer.close()
    return spent / count * 1e6


def skipping(bootstrap: str, topic: str, count: int, group: str) -> float:
    """Return the CPU microseconds a message of polling, reading the head, deciding and counting; none is taken."""
    source, intake = KafkaSource(KafkaSettings(brokers=(bootstrap,), topics=(topic,), group=group)), _intake()
    source.open(_Reader(intake))
    read, began = 0, None
    while read < count:
        for chunk in source.poll(0.5):
            intake.take(chunk)
            if began is None:
                began, count = time.process_time(), count - len(chunk.records)
            else:
                read += len(chunk.records)
    spent = time.process_time() - (began or 0.0)
    source.close()
    return spent / count * 1e6


def skip_rows(bootstrap: str, topic: str, count: int, rounds: int) -> list[Row]:
    """Compare skipping with the bare poll, in turns."""
    pairs = [
        (skipping(bootstrap, topic, count, f"skip-{i}"), bare_poll(bootstrap, topic, count)) for i in range(rounds)
    ]
    ours, peer = (statistics.median(side) for side in zip(*pairs, strict=True))
    ratio = statistics.median(theirs / mine for mine, theirs in pairs)
    what = f"skip an unsampled event of {len(event(0)):,} bytes, CPU"
    return [
        Row(
            "worker",
            what,
            ours,
            "µs",
            "kafka-python's bare poll",
            peer,
            ratio,
            "at most 2x the poll's CPU: ratio ≥ 0.5",
        )
    ]


WORKER = """
import json, logging, signal, sys
from evalsvc.pipeline import ScorerEntry, TimeLimits, Worker, WorkerSettings
from evalsvc.privacy import Masker, MaskingPolicy
from evalsvc.sampling import Design
from evalsvc.scorers import create
from evalsvc.sources.kafka import KafkaSettings, KafkaSource
from evalsvc.store import open_store
given = json.loads(sys.argv[1])
logging.disable(logging.CRITICAL)
source = KafkaSource(KafkaSettings(brokers=(given["brokers"],), topics=(given["topic"],), group=given["consumer"]))
design = Design(consumer=given["consumer"], rate=given["rate"])
worker = Worker(given["consumer"], source, open_store(given["store"]), design, [ScorerEntry(create(n)) for n in
given["scorers"]],
    Masker(MaskingPolicy(), b"a key for this benchmark only"), WorkerSettings(time_limits=TimeLimits(age_days=None)))
signal.signal(signal.SIGTERM, lambda *_: worker.stop())
worker.run()
"""


def throughput(
    bootstrap: str, topic: str, count: int, scorers: Sequence[str], consumer: str, workers: int = 2
) -> float:
    """Return events a second through ``workers`` processes, from 20 % to all of the topic, by the store's ledger."""
    from evalsvc.store import open_store
    from evalsvc.store.bridge import serving

    with tempfile.TemporaryDirectory() as folder, serving(folder):
        store = open_store(f"embedded:{folder}")
        given = {"brokers": bootstrap, "topic": topic, "consumer": consumer, "rate": 0.01}
        argument = json.dumps({**given, "store": f"embedded:{folder}", "scorers": list(scorers)})
        processes = [subprocess.Popen([sys.executable, "-c", WORKER, argument]) for _ in range(workers)]
        begun: tuple[float, int] | None = None
        try:
            while (done := sum(store.outcomes(consumer).values())) < count:
                if begun is None and done >= count // 5:
                    begun = time.perf_counter(), done
                if any(process.poll() is not None for process in processes):
                    raise RuntimeError("a worker ended early")
                time.sleep(0.05)
            ended = time.perf_counter()
        finally:
            for process in processes:
                process.terminate()
            for process in processes:
                process.wait(60)
        store.close()
    if begun is None:
        raise RuntimeError("too few events to time")
    return (count - begun[1]) / (ended - begun[0])


def memory_rows(count: int) -> list[Row]:
    """Read ``count`` events without taking any, in batches as the worker does, and watch the resident memory."""
    intake, made = _intake(), [event(number) for number in range(4000)]
    intake.assign("memory/0", ChunkLedger("bench", "memory/0", 0))
    sizes = []
    for begin in range(0, count, len(made)):
        intake.take(Chunk("memory/0", [RawRecord(begin + i, value, 1_772_400_000_000) for i, value in enumerate(made)]))
        draft = intake.cut()
        for tally in draft.tallies:
            tally.ledger.add(tally.settle(), tally.upto)
        if begin % (count // 20 // len(made) * len(made) or len(made)) == 0:
            sizes.append(resident_mib())
    growth = sizes[-1] - sizes[len(sizes) // 4]
    return [
        Row("worker", f"memory grown over the last three quarters of {count:,} events", growth, "MiB", target="flat")
    ]


def resident_mib() -> float:
    """Return this process's resident memory."""
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE") / 2**20


def run(quick: bool, events: int | None = None) -> list[Row]:
    """Measure everything here; ``events`` replaces how many go through end to end."""
    from conftest import create_topic
    from servers.kafka_broker import KafkaBroker

    rows = memory_rows(1_000_000 if quick else 10_000_000)
    small, large = (40_000, 200_000) if quick else (200_000, 1_000_000)
    large = events or large
    with KafkaBroker() as broker:
        one, four = create_topic(broker.bootstrap, 1), create_topic(broker.bootstrap, 4)
        produce(broker.bootstrap, one, small, 1)
        produce(broker.bootstrap, four, large, 4)
        rows += skip_rows(broker.bootstrap, one, small, 3 if quick else 7)
        for name, scorers, target in (
            ("all scorers but the encoder's", CHEAP, "≥ 50,000"),
            ("all scorers", (*CHEAP, *ENCODER), ""),
        ):
            rate = throughput(broker.bootstrap, four, large, scorers, f"bench-{len(scorers)}")
            rows.append(Row("worker", f"end to end, 1 % sampled, two workers, {name}", rate, "events/s", target=target))
    return rows


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--quick", action="store_true", help="smaller numbers, rougher figures")
    parser.add_argument("--events", type=int, help="how many events go through end to end")
    options = parser.parse_args()
    print(machine())
    print(table(run(options.quick, options.events)))


if __name__ == "__main__":
    main()
