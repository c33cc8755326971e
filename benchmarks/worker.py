"""The path from Kafka to ClickHouse: what skipping costs, how much goes through, and whether memory stays flat.

Run: ``python benchmarks/worker.py [--quick]``. It starts a Kafka broker of its own on loopback (Java and Maven) and an
embedded ClickHouse engine; workers are processes of one consumer group that write over the engine's HTTP bridge.
"""

from __future__ import annotations

import argparse
import json
import logging
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import NamedTuple

from _harness import Aim, Row, machine, table
from evalsvc.ledger import ChunkLedger
from evalsvc.pipeline import TimeLimits, Worker, WorkerSettings
from evalsvc.pipeline.intake import Intake
from evalsvc.privacy import Masker, MaskingPolicy
from evalsvc.protocols import Assignment, Chunk
from evalsvc.sampling import Design, History
from evalsvc.scorers import create
from evalsvc.scoring import ScorerEntry
from evalsvc.sources._record import RawRecord
from evalsvc.sources.decode import make_skimmer
from evalsvc.sources.kafka import KafkaSettings, KafkaSource
from evalsvc.store import open_store

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


MADE = 100_000_000
"""The first of the events that are only forms: their number has nine digits, as many as theirs who take it."""

RECEIVED = 1_772_366_400_000 + 86_400_000
"""When the forms' records were received, in ms: a day after the first event, no earlier than the last."""


def when(number: int) -> str:
    """Return an event's time: 10,000 a minute, so that hours pass in a long run."""
    return datetime.fromtimestamp(1_772_366_400 + number // 10_000 * 60, UTC).isoformat()


def event(number: int) -> bytes:
    """Return an event of 1.3 kB; no two answers are alike, so caches help as little as in production."""
    said = [SENTENCES[(number * k + k) % len(SENTENCES)] for k in (1, 2, 3, 5)]
    return json.dumps(
        {
            "event_id": f"0195a3c2-{number:012d}",
            "occurred_at": when(number),
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
    read, began = 0, None
    while read < count:
        polled = sum(len(records) for records in consumer.poll(500).values())
        if began is not None:
            read += polled
        elif polled:
            began, count = time.process_time(), count - polled
    spent = time.process_time() - (began or 0.0)
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
            Aim("ratio", "≥", 0.5),
        )
    ]


WORKER = """
import json, logging, signal, sys
from evalsvc.pipeline import TimeLimits, Worker, WorkerSettings
from evalsvc.scoring import ScorerEntry
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


class Flow(NamedTuple):
    """What went through: events a second, and CPU microseconds an event of the workers and of the store's process."""

    rate: float
    worker_cpu: float
    store_cpu: float


def throughput(bootstrap: str, topic: str, count: int, scorers: Sequence[str], consumer: str, workers: int = 2) -> Flow:
    """Read a topic with ``workers`` processes; measured from 20 % to all of it, by the store's ledger."""
    from evalsvc.store.bridge import serving

    with tempfile.TemporaryDirectory() as folder, serving(folder):
        store = open_store(f"embedded:{folder}")
        given = {"brokers": bootstrap, "topic": topic, "consumer": consumer, "rate": 0.01}
        argument = json.dumps({**given, "store": f"embedded:{folder}", "scorers": list(scorers)})
        processes = [subprocess.Popen([sys.executable, "-c", WORKER, argument]) for _ in range(workers)]
        pids = [process.pid for process in processes]
        begun: tuple[float, int, float, float] | None = None
        try:
            while (done := sum(store.outcomes(consumer).values())) < count:
                if begun is None and done >= count // 5:
                    begun = time.perf_counter(), done, sum(map(cpu_seconds, pids)), cpu_seconds(os.getpid())
                if any(process.poll() is not None for process in processes):
                    raise RuntimeError("a worker ended early")
                time.sleep(0.25)
            ended = time.perf_counter(), done, sum(map(cpu_seconds, pids)), cpu_seconds(os.getpid())
        finally:
            for process in processes:
                process.terminate()
            for process in processes:
                process.wait(120)
        store.close()
    if begun is None:
        raise RuntimeError("too few events to time")
    seconds, events, workers_cpu, store_cpu = (end - start for end, start in zip(ended, begun, strict=True))
    return Flow(events / seconds, workers_cpu / events * 1e6, store_cpu / events * 1e6)


def cpu_seconds(pid: int) -> float:
    """Return the CPU seconds that a process has used, all of its threads together."""
    user, system = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[11:13]
    return (int(user) + int(system)) / os.sysconf("SC_CLK_TCK")


class _Made:
    """A source of made events, without a broker: as many as are asked for, made from forms, since that is quick."""

    finished = False

    def __init__(self, count: int, note: Callable[[int], None]) -> None:
        self.count, self.note, self.at = count, note, 0
        at = when(MADE).encode()
        self.forms = [event(MADE + n).replace(b"%d" % (MADE + n), b"@n").replace(at, b"@t") for n in range(2000)]
        self.assignment: Assignment | None = None
        self.paused = False

    def open(self, assignment: Assignment) -> None:
        self.assignment = assignment
        self.at = assignment.resume_at("made/0", 0) or 0

    def poll(self, timeout_seconds: float) -> Sequence[Chunk]:
        if self.paused:
            time.sleep(min(timeout_seconds, 0.01))
            return ()
        upto = min(self.count, self.at + 2000)
        moment = when(self.at).encode()
        forms = [self.forms[n % len(self.forms)].replace(b"@t", moment) for n in range(self.at, upto)]
        values = [form.replace(b"@n", b"%09d" % n) for n, form in enumerate(forms, self.at)]
        records = [RawRecord(n, value, RECEIVED) for n, value in enumerate(values, self.at)]
        self.at, self.finished = upto, upto >= self.count
        self.note(upto)
        return (Chunk("made/0", records),) if records else ()

    def pause(self) -> None:
        self.paused = True

    def resume(self) -> None:
        self.paused = False

    def commit(self, positions: Mapping[str, int]) -> None:
        pass

    def lag(self) -> Mapping[str, int]:
        return {}

    def close(self) -> None:
        pass


def memory_rows(count: int) -> list[Row]:
    """Watch a whole worker's memory over ``count`` events, 1 % of them scored and written; the store is elsewhere."""
    with tempfile.TemporaryDirectory() as folder:
        given = {"folder": folder, "count": count, "scorers": list(CHEAP)}
        done = subprocess.run(
            [sys.executable, __file__, "--memory", json.dumps(given)], check=True, capture_output=True, text=True
        )
    sizes = json.loads(done.stdout.splitlines()[-1])
    half = len(sizes) // 2
    first, second = max(sizes[:half]), max(sizes[half:])
    what = f"a worker's resident memory at its peak in {{}} half of {count:,} events, 1 % scored"
    peaks = {"the first": first, "the second": second}
    return [Row("worker", what.format(half), peak, "MiB") for half, peak in peaks.items()]


def watch_memory(folder: str, count: int, scorers: Sequence[str]) -> list[float]:
    """Run a worker over made events and return its resident memory in MiB, 40 times on the way."""
    logging.disable(logging.CRITICAL)
    sizes: list[float] = []

    def note(at: int) -> None:
        if at >= count * (len(sizes) + 1) // 40:
            sizes.append(resident_mib())

    with subprocess.Popen(
        [sys.executable, "-c", STORE, folder], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    ) as owner:
        if owner.stdout is None or owner.stdin is None:
            raise RuntimeError("the store's process has no pipes")
        owner.stdout.readline()
        store = open_store(f"embedded:{folder}")
        design = Design(consumer="memory", rate=0.01)
        entries = [ScorerEntry(create(name)) for name in scorers]
        masker = Masker(MaskingPolicy(), b"a key for this benchmark only")
        limits = WorkerSettings(time_limits=TimeLimits(age_days=None))
        Worker("memory", _Made(count, note), store, design, entries, masker, limits).run()
        store.close()
        owner.stdin.close()
    return sizes


STORE = """
import sys
from evalsvc.store import open_store
from evalsvc.store.bridge import serving
with serving(sys.argv[1]):
    open_store(f"embedded:{sys.argv[1]}").close()
    print("ready", flush=True)
    sys.stdin.read()
"""


def resident_mib() -> float:
    """Return this process's resident memory."""
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE") / 2**20


def run(quick: bool, events: int | None = None) -> list[Row]:
    """Measure everything here; ``events`` replaces how many go through end to end."""
    from conftest import create_topic
    from servers.kafka_broker import KafkaBroker

    small, large = (40_000, 300_000) if quick else (100_000, 1_000_000)
    large = events or large
    rows = memory_rows(1_000_000 if quick else 10_000_000)
    with KafkaBroker() as broker:
        one, four = create_topic(broker.bootstrap, 1), create_topic(broker.bootstrap, 4)
        produce(broker.bootstrap, one, small, 1)
        produce(broker.bootstrap, four, large, 4)
        rows += skip_rows(broker.bootstrap, one, small, 3 if quick else 7)
        what = "end to end, 1 % sampled, two workers, all scorers"
        for name, scorers, share, aim in (
            (f"{what} but the encoder's", CHEAP, 1, Aim("value", "≥", 50_000)),
            (what, (*CHEAP, *ENCODER), 8, None),
        ):
            # The encoder's run is an eighth as long, since it is a tenth as fast.
            flow = throughput(broker.bootstrap, four, large // share, scorers, f"bench-{len(scorers)}")
            rows.append(Row("worker", name, flow.rate, "events/s", aim=aim))
            rows.append(Row("worker", "... CPU of the workers, an event", flow.worker_cpu, "µs"))
            rows.append(Row("worker", "... CPU of the store's process, an event", flow.store_cpu, "µs"))
    return rows


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--quick", action="store_true", help="smaller numbers, rougher figures")
    parser.add_argument("--events", type=int, help="how many events go through end to end")
    parser.add_argument("--memory", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.memory:
        print(json.dumps(watch_memory(**json.loads(options.memory))))
        return
    print(machine())
    print(table(run(options.quick, options.events)))


if __name__ == "__main__":
    main()
