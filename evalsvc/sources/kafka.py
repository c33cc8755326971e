"""Events from Kafka topics, as a member of a consumer group (kafka-python 3).

The store's ledger, not the group's committed offset, says what is done
(``docs/decisions/002-ledger-and-rollups.md``): when a partition arrives, the reader is asked where to go on, and
nothing of the partition is delivered before. Commits tell Kafka's own tools about the progress. kafka-python runs its
rebalance listener on an event loop of its own, while the reader's thread waits in ``poll``; what the reader must
finish before a partition leaves is run aside, so that heartbeats go on.

A little longer than other files: settings, source and the notes between its two threads belong together.
"""

from __future__ import annotations

import difflib
import logging
import threading
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, Literal

import msgspec

from evalsvc.errors import MissingExtra, SourceError, SourceUnavailable, TopicNotFound
from evalsvc.protocols import Assignment, Chunk
from evalsvc.sources._kafka_batches import read_with

if TYPE_CHECKING:
    from kafka import KafkaConsumer, TopicPartition

log = logging.getLogger("evalsvc.kafka")

_REFUSED = "AuthenticationFailed"
_CLOSED = "socket disconnected", "Error receiving network data", "Error sending request data"

Protocol = Literal["PLAINTEXT", "SSL", "SASL_PLAINTEXT", "SASL_SSL"]
Mechanism = Literal["PLAIN", "SCRAM-SHA-256", "SCRAM-SHA-512"]


class KafkaSecurity(msgspec.Struct, frozen=True, kw_only=True):
    """How to reach the brokers. Secrets come from the environment; they are never part of a file or a repr."""

    protocol: Protocol = "PLAINTEXT"
    mechanism: Mechanism | None = None
    username: str | None = None
    password: str | None = None
    ca_file: str | None = None
    certificate_file: str | None = None
    key_file: str | None = None
    key_password: str | None = None
    check_hostname: bool = True

    def __repr__(self) -> str:
        """Name the protocol only."""
        return f"KafkaSecurity(protocol={self.protocol!r}, mechanism={self.mechanism!r})"

    def options(self) -> dict[str, Any]:
        """Return kafka-python's settings."""
        found = {
            "security_protocol": self.protocol,
            "sasl_mechanism": self.mechanism,
            "sasl_plain_username": self.username,
            "sasl_plain_password": self.password,
            "ssl_cafile": self.ca_file,
            "ssl_certfile": self.certificate_file,
            "ssl_keyfile": self.key_file,
            "ssl_password": self.key_password,
            "ssl_check_hostname": self.check_hostname,
        }
        return {name: value for name, value in found.items() if value is not None}


class KafkaSettings(msgspec.Struct, frozen=True, kw_only=True):
    """Which topics, as which group, from where. ``start`` counts only where neither ledger nor commit exist."""

    brokers: tuple[str, ...]
    topics: tuple[str, ...]
    group: str
    start: Literal["earliest", "latest"] = "earliest"
    security: KafkaSecurity = KafkaSecurity()
    connect_seconds: float = 15.0
    session_seconds: float = 45.0
    max_poll_records: int = 4000
    fetch_bytes: int = 4 * 1024 * 1024
    client_id: str = "evalsvc"


class KafkaSource:
    """A :class:`~evalsvc.protocols.Source` over Kafka. Its partitions are named ``topic:id/number``.

    The topic's own id is part of the name, so that a topic that was deleted and made again is another one.
    """

    def __init__(self, settings: KafkaSettings) -> None:
        """Keep the settings; nothing connects before :meth:`open`."""
        self.settings = settings
        self._consumer: KafkaConsumer | None = None
        self._assignment: Assignment | None = None
        self._notes = _Notes()
        self._settled: dict[TopicPartition, str] = {}
        self._next: dict[TopicPartition, int] = {}
        self._paused = self._closing = False

    @property
    def address(self) -> str:
        """What is awaited while nothing answers."""
        return f"Kafka at {self._where()}"

    def open(self, assignment: Assignment) -> None:
        """Connect, see that the topics exist, and join the group.

        Raises:
            SourceUnavailable: no broker answered within ``connect_seconds``.
            TopicNotFound: a topic does not exist; it is not created.
            SourceError: the brokers refused the credentials.
        """
        self._assignment = assignment
        consumer = _connect(self.settings)
        read_with(consumer)
        try:
            self._check_topics(consumer)
            consumer.subscribe(list(self.settings.topics), listener=_listener(self._notes, consumer, self._release))
        except BaseException:
            consumer.close(autocommit=False)
            raise
        self._consumer = consumer

    def poll(self, timeout_seconds: float) -> Sequence[Chunk]:
        """Return what has come; handles partitions that come and go."""
        from kafka.errors import AuthorizationError, KafkaError, RetriableError

        consumer = self._connected()
        try:
            self._release()
            self._settle()
            with self._notes.polling():
                polled = consumer.poll(timeout_ms=int(timeout_seconds * 1000))
        except RetriableError as error:
            raise SourceUnavailable(f"{type(error).__name__} from {self._where()}; is the broker up?") from error
        except AuthorizationError as error:
            raise SourceError(f"{self._where()} refused access: {error}; grant Read on topic and group") from error
        except KafkaError as error:
            raise SourceError(f"{type(error).__name__} from {self._where()}: {error}") from error
        gone = self._notes.unsettled()
        chunks = []
        for partition, records in polled.items():
            name = self._settled.get(partition)
            if name is not None and partition not in gone:
                self._next[partition] = records[-1].offset + 1
                chunks.append(Chunk(name, records))
        return chunks

    def pause(self) -> None:
        """Deliver nothing until :meth:`resume`, and keep the partitions."""
        self._paused = True
        self._connected().pause(*self._assigned())

    def resume(self) -> None:
        """Deliver again."""
        self._paused = False
        self._connected().resume(*self._assigned())

    def commit(self, positions: Mapping[str, int]) -> None:
        """Commit to the group. A group that moved on in the meantime is no error: the ledger knows what is done."""
        from kafka import OffsetAndMetadata
        from kafka.errors import (
            CommitFailedError,
            IllegalGenerationError,
            KafkaError,
            RebalanceInProgressError,
            UnknownMemberIdError,
        )

        names = {name: partition for partition, name in self._settled.items()}
        offsets = {names[n]: OffsetAndMetadata(o, "", -1) for n, o in positions.items() if n in names}
        if not offsets:
            return
        try:
            self._connected().commit(offsets, timeout_ms=int(self.settings.connect_seconds * 1000))
        except (CommitFailedError, IllegalGenerationError, RebalanceInProgressError, UnknownMemberIdError) as error:
            log.info("commit_superseded error=%s", type(error).__name__)
        except KafkaError as error:
            raise SourceUnavailable(f"Could not commit to {self._where()}: {type(error).__name__}") from error

    def lag(self) -> Mapping[str, int]:
        """Return the records between what was delivered and each partition's end, as of the last fetch."""
        consumer, lags = self._consumer, {}
        if consumer is None or self._closing:
            return {}
        for partition, name in list(self._settled.items()):
            end, at = _highwater(consumer, partition), self._next.get(partition)
            if end is not None and at is not None:
                lags[name] = max(0, end - at)
        return lags

    @property
    def finished(self) -> bool:
        """A stream never is."""
        return False

    def close(self) -> None:
        """Leave the group at once, so that others need not wait for a time-out."""
        self._closing = True
        self._notes.closing = True
        if self._consumer is not None:
            consumer, self._consumer = self._consumer, None
            consumer.close(autocommit=False)

    def _check_topics(self, consumer: KafkaConsumer) -> None:
        known = consumer.topics()
        for topic in self.settings.topics:
            if topic not in known:
                near = difflib.get_close_matches(topic, known, 1)
                hint = f"; did you mean {near[0]!r}?" if near else "; create it, or correct `source.kafka.topic`"
                raise TopicNotFound(f"Topic {topic!r} does not exist on {self._where()}{hint}")

    def _release(self) -> None:
        """Let the reader finish with partitions that are being taken away. Called from ``poll``, or while it waits."""
        leaving = self._notes.leaving()
        self._let_go(leaving)
        self._notes.released(leaving)

    def _let_go(self, partitions: Iterable[TopicPartition]) -> None:
        held = [partition for partition in partitions if partition in self._settled]
        if self._assignment and held:
            self._assignment.revoked([self._settled[partition] for partition in held])
        for partition in held:
            self._settled.pop(partition, None)
            self._next.pop(partition, None)

    def _settle(self) -> None:
        """Ask the reader where to go on in partitions that arrived; nothing of them was delivered before."""
        consumer = self._connected()
        for partition in self._notes.arriving():
            name = _name(consumer, partition)
            committed = consumer.committed(partition, timeout_ms=int(self.settings.connect_seconds * 1000))
            # From here on the reader holds it, also where its answer is an error: it is told when the partition leaves.
            self._settled[partition] = name
            at = self._assignment.resume_at(name, committed) if self._assignment else None
            if not self._notes.settle(partition) or partition not in consumer.assignment():
                self._let_go([partition])
                continue
            if at is not None:
                consumer.seek(partition, at)
            elif committed is not None:
                consumer.seek(partition, committed)
            elif self.settings.start == "earliest":
                consumer.seek_to_beginning(partition)
            else:
                consumer.seek_to_end(partition)
            # kafka-python keeps a partition's pause over a rebalance that gives it back.
            (consumer.pause if self._paused else consumer.resume)(partition)
            log.info("partition_assigned name=%s at=%s", name, at if at is not None else committed)

    def _assigned(self) -> Iterable[TopicPartition]:
        return [p for p in self._settled if p in self._connected().assignment()]

    def _connected(self) -> KafkaConsumer:
        if self._consumer is None:
            raise SourceError("The Kafka source is not open")
        return self._consumer

    def _where(self) -> str:
        return ",".join(self.settings.brokers)


class _Notes:
    """What the listener's thread tells the reader's: which partitions arrive, and which are being taken away."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._aside: threading.Thread | None = None
        self._in_poll = threading.Event()
        self._arriving: set[TopicPartition] = set()
        self._leaving: set[TopicPartition] = set()
        self.closing = False

    @contextmanager
    def polling(self) -> Iterator[None]:
        """Tell the listener that the reader waits; when it goes on, nothing is running aside any more."""
        self._in_poll.set()
        try:
            yield
        finally:
            self._in_poll.clear()
            if self._aside is not None:
                self._aside.join()

    def run_aside(self, action: Callable[[], None]) -> threading.Thread | None:
        """Start an action in the reader's name, if the reader waits in ``poll``; else it will run it itself."""
        if self.closing or not self._in_poll.is_set():
            return None
        self._aside = threading.Thread(target=action, name="evalsvc-kafka-release", daemon=True)
        self._aside.start()
        return self._aside

    def arrived(self, partitions: Iterable[TopicPartition]) -> None:
        with self._lock:
            self._arriving.update(partitions)

    def left(self, partitions: Iterable[TopicPartition]) -> None:
        with self._lock:
            self._arriving.difference_update(partitions)
            self._leaving.update(partitions)

    def arriving(self) -> frozenset[TopicPartition]:
        with self._lock:
            return frozenset(self._arriving)

    def leaving(self) -> frozenset[TopicPartition]:
        with self._lock:
            return frozenset(self._leaving)

    def unsettled(self) -> frozenset[TopicPartition]:
        with self._lock:
            return frozenset(self._arriving | self._leaving)

    def released(self, partitions: Iterable[TopicPartition]) -> None:
        with self._lock:
            self._leaving.difference_update(partitions)

    def settle(self, partition: TopicPartition) -> bool:
        """Take a partition off the list; false when it left in the meantime, also where it has come back since.

        Then the reader has to let go of what it was asked about; where the partition is back, it is asked again.
        """
        with self._lock:
            here = partition in self._arriving and partition not in self._leaving
            if here:
                self._arriving.discard(partition)
            return here


def _connect(settings: KafkaSettings) -> KafkaConsumer:
    try:
        from kafka import KafkaConsumer
        from kafka.errors import KafkaError
    except ImportError as error:
        raise MissingExtra("kafka-python", "kafka") from error
    where = ",".join(settings.brokers)
    try:
        with _watching_the_log() as seen:
            return KafkaConsumer(
                bootstrap_servers=list(settings.brokers),
                group_id=settings.group,
                client_id=settings.client_id,
                enable_auto_commit=False,
                auto_offset_reset=settings.start,
                allow_auto_create_topics=False,
                isolation_level="read_committed",
                max_poll_records=settings.max_poll_records,
                max_partition_fetch_bytes=settings.fetch_bytes,
                session_timeout_ms=int(settings.session_seconds * 1000),
                heartbeat_interval_ms=int(settings.session_seconds * 1000 / 10),
                bootstrap_timeout_ms=int(settings.connect_seconds * 1000),
                metrics_enabled=False,
                reconnect_backoff_max_ms=3000,
                **settings.security.options(),
            )
    except KafkaError as error:
        if _REFUSED in seen:
            raise SourceError(
                f"{where} refused the credentials; check `security` and its environment variables"
            ) from error
        if seen.intersection(_CLOSED):
            raise SourceUnavailable(
                f"{where} takes connections and closes them; is it a Kafka broker that is up, and are protocol and "
                "credentials in `security` right?"
            ) from error
        raise SourceUnavailable(
            f"No Kafka broker answers at {where} ({type(error).__name__}); is it up, and is that its address?"
        ) from error
    except OSError as error:
        raise SourceError(
            f"Could not set up the connection to {where}: {error}; check the files in `security`"
        ) from error


@contextmanager
def _watching_the_log() -> Iterator[set[str]]:
    """Note why a connection ended: kafka-python only logs it, tries again, and ends in a time-out.

    A broker answers wrong credentials and closes. Where both arrive at once, as on a busy machine, kafka-python 3.0
    reads the end alone and never the answer. What closes before it has read the request ends in a reset instead.
    """
    seen: set[str] = set()

    class Watch(logging.Handler):
        def emit(self, record: logging.LogRecord) -> None:
            message = record.getMessage()
            seen.update(reason for reason in (_REFUSED, *_CLOSED) if reason in message)

    watch, watched = Watch(logging.WARNING), logging.getLogger("kafka.net")
    watched.addHandler(watch)
    try:
        yield seen
    finally:
        watched.removeHandler(watch)


def _listener(notes: _Notes, consumer: KafkaConsumer, release: Callable[[], None]) -> Any:  # noqa: ANN401 - untyped package
    from kafka import AsyncConsumerRebalanceListener

    class Listener(AsyncConsumerRebalanceListener):  # type: ignore[misc]
        """Takes notes; lets the reader finish what leaves, without holding up heartbeats."""

        async def on_partitions_assigned(self, assigned: Iterable[TopicPartition]) -> None:
            notes.arrived(assigned)

        async def on_partitions_revoked(self, revoked: Iterable[TopicPartition]) -> None:
            notes.left(revoked)
            thread = notes.run_aside(release)
            while thread is not None and thread.is_alive():
                await consumer._net.sleep(0.01)

        async def on_partitions_lost(self, lost: Iterable[TopicPartition]) -> None:
            notes.left(lost)

    return Listener()


def _name(consumer: KafkaConsumer, partition: TopicPartition) -> str:
    topic_id = consumer._cluster.topic_id(partition.topic)
    return (
        f"{partition.topic}:{topic_id.hex[:12]}/{partition.partition}"
        if topic_id
        else f"{partition.topic}/{partition.partition}"
    )


def _highwater(consumer: KafkaConsumer, partition: TopicPartition) -> int | None:
    try:
        end = consumer.highwater(partition)
    except Exception:
        return None
    return int(end) if end is not None else None
