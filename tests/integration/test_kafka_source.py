"""Kafka: the source contract on a real broker, and what a broker can do to a reader."""

from __future__ import annotations

import socket
import struct
import threading
import time
import uuid
from collections.abc import Sequence
from contextlib import suppress

import pytest

from conftest import create_topic
from evalsvc.dead_letters import KafkaDeadLetters
from evalsvc.errors import SourceError, SourceUnavailable, TopicNotFound
from evalsvc.sources.kafka import KafkaSecurity, KafkaSettings, KafkaSource
from evalsvc.testing.sources import SOURCE_CHECKS, RecordingAssignment, check_revoke, sample_messages
from evalsvc.types import DeadLetter
from servers.kafka_broker import PASSWORD, USER, KafkaBroker

pytestmark = pytest.mark.kafka


def settings(bootstrap: str, topic: str, **changes: object) -> KafkaSettings:
    given = {"brokers": (bootstrap,), "topics": (topic,), "group": f"g-{uuid.uuid4().hex[:8]}", "session_seconds": 6.0}
    return KafkaSettings(**{**given, **changes})  # type: ignore[arg-type]


def produce(bootstrap: str, topic: str, values: Sequence[bytes], compression: str | None = "lz4") -> None:
    from kafka import KafkaProducer

    producer = KafkaProducer(bootstrap_servers=bootstrap, compression_type=compression)
    for value in values:
        producer.send(topic, value=value)
    producer.flush()
    producer.close()


class Harness:
    """A topic of two partitions, and one group that reads it."""

    finite = False

    def __init__(self, bootstrap: str) -> None:
        self.bootstrap, self.topic = bootstrap, create_topic(bootstrap, 2)
        self.settings = settings(bootstrap, self.topic)
        self.other: KafkaSource | None = None
        self.stop = threading.Event()
        self.thread: threading.Thread | None = None

    def publish(self, values: Sequence[bytes]) -> None:
        produce(self.bootstrap, self.topic, values)

    def connect(self) -> KafkaSource:
        return KafkaSource(self.settings)

    def revoke(self, source: KafkaSource, partitions: Sequence[str]) -> None:
        """Let others join until this partition must go: with one more member, one of two partitions moves."""

        def read() -> None:
            rival = KafkaSource(self.settings)
            rival.open(RecordingAssignment())
            while not self.stop.is_set():
                rival.poll(0.1)
            rival.close()

        self.thread = threading.Thread(target=read)
        self.thread.start()

    def close(self) -> None:
        self.stop.set()
        if self.thread:
            self.thread.join()


def test_contract(kafka_broker: KafkaBroker) -> None:
    for check in SOURCE_CHECKS:
        # In an eager rebalance all partitions leave and one comes back, which that check does not expect: tested below.
        if check is not check_revoke:
            harness = Harness(kafka_broker.bootstrap)
            try:
                check(harness)
            finally:
                harness.close()


@pytest.mark.parametrize("codec", ["gzip", "lz4", "snappy", "zstd"])
def test_codecs(kafka_broker: KafkaBroker, topic: str, codec: str) -> None:
    produce(kafka_broker.bootstrap, topic, sample_messages(20), codec)
    source = KafkaSource(settings(kafka_broker.bootstrap, topic))
    source.open(RecordingAssignment())
    assert len(read(source, 20)) == 20
    source.close()


@pytest.mark.partitions(1)
def test_aborted_transactions_are_not_read(kafka_broker: KafkaBroker, topic: str) -> None:
    from kafka import KafkaProducer

    name = f"t-{uuid.uuid4().hex[:8]}"
    producer = KafkaProducer(bootstrap_servers=kafka_broker.bootstrap, transactional_id=name, compression_type="lz4")
    producer.init_transactions()
    messages = sample_messages(12)
    for place, keep in enumerate((True, False, True)):
        producer.begin_transaction()
        for value in messages[4 * place : 4 * place + 4]:
            producer.send(topic, value=value)
        producer.flush()
        producer.commit_transaction() if keep else producer.abort_transaction()
    producer.close()
    source = KafkaSource(settings(kafka_broker.bootstrap, topic))
    source.open(RecordingAssignment())
    values: list[bytes | None] = []
    deadline = time.monotonic() + 20
    while len(values) < 8 and time.monotonic() < deadline:
        values += [record.value for chunk in source.poll(0.2) for record in chunk.records]
    values += [record.value for chunk in source.poll(1.0) for record in chunk.records]
    assert values == [*messages[:4], *messages[8:]]
    source.close()


def read(source: KafkaSource, count: int, seconds: float = 20.0) -> list[tuple[str, int]]:
    """Poll until so many records came; their places."""
    places: list[tuple[str, int]] = []
    deadline = time.monotonic() + seconds
    while len(places) < count and time.monotonic() < deadline:
        places += [(chunk.partition, record.offset) for chunk in source.poll(0.2) for record in chunk.records]
    return places


def test_members_share_partitions_and_finish_before_they_leave(kafka_broker: KafkaBroker) -> None:
    harness = Harness(kafka_broker.bootstrap)
    harness.publish(sample_messages())
    released: list[float] = []
    all_read = threading.Event()

    class Slow(RecordingAssignment):
        """Takes a while to finish, and commits; not before all was read, as a slow broker may assign twice."""

        def revoked(self, partitions: Sequence[str]) -> None:
            if not all_read.is_set():
                return super().revoked(partitions)
            time.sleep(0.5)
            source.commit(dict.fromkeys(partitions, 7))
            released.append(time.monotonic())
            super().revoked(partitions)

    mine, theirs = Slow(), RecordingAssignment()
    source, rival = KafkaSource(harness.settings), KafkaSource(harness.settings)
    source.open(mine)
    places: set[tuple[str, int]] = set()
    deadline = time.monotonic() + 40.0
    while len(places) < 60 and time.monotonic() < deadline:
        places.update(read(source, 60 - len(places)))
    assert len(places) == 60
    all_read.set()
    rival.open(theirs)
    thread = threading.Thread(target=read, args=(rival, 10_000, 6.0))
    thread.start()
    deadline = time.monotonic() + 10
    while not theirs.asked and time.monotonic() < deadline:
        source.poll(0.1)
    thread.join()
    assert released
    assert {committed for _, committed in theirs.asked} == {7}
    source.close()
    rival.close()


def test_pause_outlives_a_rebalance(kafka_broker: KafkaBroker) -> None:
    harness = Harness(kafka_broker.bootstrap)
    source = KafkaSource(harness.settings)
    source.open(RecordingAssignment())
    read(source, 1, 2.0)
    source.pause()
    harness.publish(sample_messages())
    harness.revoke(source, [])
    assert read(source, 1, 4.0) == []
    source.resume()
    assert read(source, 1, 60.0) != []  # a rebalance on a busy machine takes its time
    source.close()
    harness.close()


def test_a_missing_topic_is_named(kafka_broker: KafkaBroker, topic: str) -> None:
    with pytest.raises(TopicNotFound, match=f"did you mean '{topic}'"):
        KafkaSource(settings(kafka_broker.bootstrap, topic + "s")).open(RecordingAssignment())


def test_no_broker_is_said_in_time() -> None:
    with pytest.raises(SourceUnavailable, match=r"No Kafka broker answers at 127\.0\.0\.1:9"):
        KafkaSource(settings("127.0.0.1:9", "t", connect_seconds=1.5)).open(RecordingAssignment())


def test_a_broker_that_restarts_is_read_on(own_kafka_broker: KafkaBroker) -> None:
    topic = create_topic(own_kafka_broker.bootstrap, 1)
    produce(own_kafka_broker.bootstrap, topic, sample_messages(10))
    source, reader = KafkaSource(settings(own_kafka_broker.bootstrap, topic)), RecordingAssignment()
    source.open(reader)
    places = read(source, 10)
    assert len(places) == 10
    reader.positions = {places[0][0]: 10}
    own_kafka_broker.kill()
    assert read(source, 1, 1.0) == []
    own_kafka_broker.restart()
    produce(own_kafka_broker.bootstrap, topic, sample_messages(5))
    assert [offset for _, offset in read(source, 5, 60.0)] == [10, 11, 12, 13, 14]
    source.close()


def test_a_topic_made_again_is_another_one(kafka_broker: KafkaBroker, topic: str) -> None:
    from kafka.admin import KafkaAdminClient

    names = []
    admin = KafkaAdminClient(bootstrap_servers=kafka_broker.bootstrap)
    for _ in range(2):
        produce(kafka_broker.bootstrap, topic, sample_messages(1))
        source = KafkaSource(settings(kafka_broker.bootstrap, topic))
        source.open(RecordingAssignment())
        names.append(read(source, 1, 60.0)[0][0])
        source.close()
        admin.delete_topics([topic])
        time.sleep(1)
        admin.create_topics({topic: {"num_partitions": 1, "replication_factor": 1}}, wait_for_metadata=True)
    admin.close()
    assert names[0].rpartition("/")[0] != names[1].rpartition("/")[0]


def test_tls_and_sasl(secure_kafka_broker: KafkaBroker) -> None:
    topic = create_topic(secure_kafka_broker.bootstrap, 1)
    produce(secure_kafka_broker.bootstrap, topic, sample_messages(3))
    security = KafkaSecurity(
        protocol="SASL_SSL",
        mechanism="PLAIN",
        username=USER,
        password=PASSWORD,
        ca_file=str(secure_kafka_broker.authority),
    )
    source = KafkaSource(settings(secure_kafka_broker.secure_bootstrap, topic, security=security))
    source.open(RecordingAssignment())
    assert len(read(source, 3)) == 3
    source.close()
    assert PASSWORD not in repr(security)
    assert PASSWORD not in repr(settings("x", "t", security=security))


def test_a_wrong_password_is_named(secure_kafka_broker: KafkaBroker) -> None:
    # On a busy machine the driver may miss the broker's answer, see `_watching_the_log`: both messages say credentials.
    security = KafkaSecurity(
        protocol="SASL_SSL",
        mechanism="PLAIN",
        username=USER,
        password="wrong",
        ca_file=str(secure_kafka_broker.authority),
    )
    with pytest.raises(SourceError, match="credentials"):
        KafkaSource(settings(secure_kafka_broker.secure_bootstrap, "t", security=security, connect_seconds=8)).open(
            RecordingAssignment()
        )


@pytest.mark.parametrize("how", ["at_its_end", "by_reset"])
def test_what_closes_every_connection_is_said_and_awaited(how: str) -> None:
    # Which of the two a broker's side does is a matter of its load: a request that it has not read makes a reset.
    with socket.create_server(("127.0.0.1", 0)) as server:
        server.settimeout(0.1)
        done = threading.Event()

        def close_all() -> None:
            while not done.is_set():
                with suppress(TimeoutError):
                    taken = server.accept()[0]
                    if how == "by_reset":
                        taken.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
                    taken.close()

        thread = threading.Thread(target=close_all)
        thread.start()
        source = KafkaSource(settings(f"127.0.0.1:{server.getsockname()[1]}", "t", connect_seconds=1))
        try:
            with pytest.raises(SourceUnavailable, match="takes connections and closes them"):
                source.open(RecordingAssignment())
        finally:
            done.set()
            thread.join()


def test_dead_letters_go_to_a_topic_without_text(kafka_broker: KafkaBroker, topic: str) -> None:
    from datetime import UTC, datetime

    given = settings(kafka_broker.bootstrap, topic)
    sink = KafkaDeadLetters(given, topic)
    sink.write([DeadLetter("c", "t/0", 4, datetime.now(UTC), "not_json", "Expected JSON", 9, "d1")])
    sink.close()
    sink.close()
    source = KafkaSource(given)
    source.open(RecordingAssignment())
    assert len(read(source, 1)) == 1
    source.close()
