"""From what an operator wrote to what runs: a consumer's source, scorers and masker, joined in a worker.

Nothing connects and no model is loaded here; that is the worker's first step. Secrets are read from the
environment that is handed in, once, and their absence is an error that names the file that wants them.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, closing, contextmanager
from datetime import timedelta
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

import msgspec

from evalsvc import scorers
from evalsvc.clock import SystemClock
from evalsvc.dead_letters import FolderDeadLetters, KafkaDeadLetters
from evalsvc.errors import ConfigError, InputError, SchemaError, StoreBusy, StoreUnavailable
from evalsvc.notify import Delivery, Routes, build_notifiers, page_address
from evalsvc.pipeline import Anchors, DeadLetterSink, TimeLimits, Worker, WorkerSettings
from evalsvc.privacy import Masker, key_from_environment
from evalsvc.privacy.policy import KEY_VARIABLE
from evalsvc.project import (
    ConsumerConfig,
    Environment,
    FilesConfig,
    HttpConfig,
    KafkaConfig,
    Project,
    read_cases,
    shown,
)
from evalsvc.protocols import Clock, ScoreStore, Source
from evalsvc.scoring import ScorerEntry
from evalsvc.sources.files import FileSource
from evalsvc.sources.http import HttpSource
from evalsvc.sources.kafka import KafkaSecurity, KafkaSettings, KafkaSource
from evalsvc.store import MemoryStore, Retention, folder, open_store
from evalsvc.store.address import parse_address
from evalsvc.store.migrate import packaged
from evalsvc.types import DeadLetter, Status, WriteBatch

if TYPE_CHECKING:
    from prometheus_client import CollectorRegistry

    from evalsvc.ruler import Ruler, RulerSettings
    from evalsvc.ruler.exported import Exported
    from evalsvc.store import ClickHouseStore


def store_address(project: Project, environment: Environment, given: str | None = None) -> str:
    """Return the store's address: the one given, else ``EVALSVC_STORE``, else the project's own."""
    if given or environment.store:
        return given or environment.store
    scheme, _, path = project.settings.store.partition(":")
    if scheme != "embedded":
        return project.settings.store
    return f"embedded:{project.root / Path(path).expanduser()}"


def retention(project: Project) -> Retention:
    """Return how long the project keeps rows."""
    return Retention(**{f"{table}_days": days for table, days in project.settings.retention.items()})


def open_project_store(
    project: Project,
    environment: Environment,
    given: str | None = None,
    *,
    migrate: bool | None = None,
    create: bool = False,
) -> ClickHouseStore | MemoryStore:
    """Open the project's store, to read it; reaches the process that owns an embedded folder, where one runs.

    Raises:
        StoreUnavailable, StoreBusy, SchemaError, ConfigError: as :func:`evalsvc.store.open_store`.
    """
    address = store_address(project, environment, given)
    return open_store(address, migrate=migrate, retention=retention(project), create=create)


@contextmanager
def project_store(
    project: Project, environment: Environment, given: str | None = None, *, exclusive: bool = False
) -> Iterator[ClickHouseStore | MemoryStore]:
    """Open the store while work goes on; an embedded folder that is ours is served to other commands.

    With ``exclusive``, another process that has the folder is an error; without, it is asked.

    Raises:
        StoreUnavailable, StoreBusy, SchemaError, ConfigError: as :func:`evalsvc.store.open_store`.
    """
    address = store_address(project, environment, given)
    place, keep = parse_address(address), retention(project)
    with ExitStack() as stack:
        try:
            store = open_store(address, retention=keep, reach_owner=False)
            ours = bool(place.path)
        except StoreBusy:
            if exclusive:
                raise
            store, ours = open_store(address, retention=keep), False
        stack.callback(store.close)
        if ours:
            from evalsvc.store.bridge import Bridge

            stack.enter_context(Bridge(place.path))
        yield store


def pending_migrations(project: Project, environment: Environment, given: str | None = None) -> Sequence[str]:
    """Return what ``evalsvc migrate`` would do to the store.

    Raises:
        SchemaError: the schema is newer than this release, or an applied migration was edited.
    """
    try:
        store = open_project_store(project, environment, given, migrate=False)
    except SchemaError as error:
        place = parse_address(store_address(project, environment, given))
        if place.path and not folder.exists(Path(place.path)):
            return [f"{migration.version:04d}_{migration.name}" for migration in packaged()]
        if "run `evalsvc migrate`" in str(error):
            return [str(error).partition(";")[0]]
        raise
    with closing(store):
        return [] if isinstance(store, MemoryStore) else store.migrate(dry_run=True)


def build_worker(
    config: ConsumerConfig,
    store: ScoreStore,
    environment: Environment,
    *,
    source: Source | None = None,
    registry: CollectorRegistry | None = None,
    on_written: Callable[[WriteBatch], None] | None = None,
    clock: Clock | None = None,
    again: Sequence[Status] = (),
) -> Worker:
    """Return a consumer's worker; ``source`` replaces the one that its file names, ``on_written`` is told every batch.

    With ``again`` it only tries scores of these statuses again (:mod:`evalsvc.pipeline.again`).

    Raises:
        ConfigError: when a variable that the file names is not set.
        UnknownMetric, InputError: when a scorer cannot be built.
    """
    masker = build_masker(config, environment)
    source = source or build_source(config, environment, masker)
    entries = [ScorerEntry(scorers.create(entry.name, entry.options), entry.rate) for entry in config.scorers]
    worker = Worker(
        config.name,
        source,
        store,
        config.design,
        entries,
        masker,
        settings=worker_settings(config),
        dead_letters=build_dead_letters(config, environment),
        registry=registry,
        on_written=on_written,
        clock=clock,
        anchors=None if again else build_anchors(config, store, masker, entries, clock),
        again=again,
    )
    if isinstance(source, HttpSource):
        source.awaited = lambda: worker.status().waiting_for
    return worker


def build_ruler(
    project: Project,
    delivery: Delivery | None,
    store: ClickHouseStore | MemoryStore,
    *,
    registry: CollectorRegistry | None = None,
    clock: Clock | None = None,
    settings: RulerSettings | None = None,
) -> Ruler:
    """Return the ruler of a project's rules, which has ``delivery`` tell people; without one nobody is told."""
    from evalsvc.ruler import Ruler, RulerMetrics, RulerSettings

    clock, metrics = clock or SystemClock(), RulerMetrics(registry)
    if delivery is not None:
        metrics.follow(delivery.counts, clock)
    alerts, settings = store.alerts, settings or RulerSettings()
    return Ruler(project.rules, store, alerts, clock=clock, metrics=metrics, teller=delivery, settings=settings)


def build_exported(
    project: Project, store: ScoreStore, registry: CollectorRegistry, clock: Clock | None = None
) -> Exported | None:
    """Return what shows the estimates to Prometheus, on a registry; None where the project's settings want none."""
    from evalsvc.ruler.exported import Exported

    if project.settings.exported is None:
        return None
    exported = Exported(store, project.settings.exported, clock)
    registry.register(exported)
    return exported


def build_delivery(
    routes: Routes | None, store: ClickHouseStore | MemoryStore, environment: Environment, clock: Clock | None = None
) -> Delivery:
    """Return what tells the receivers that the routes name; without routes nobody, which is remembered as well.

    Raises:
        ConfigError: when a variable that the routes name is not set.
    """
    clock, routes = clock or SystemClock(), routes or Routes(receivers=(), default=())
    notifiers = build_notifiers(routes, environment.variables, clock)
    page = page_address(routes, environment.variables)
    return Delivery(store.alerts, routes, notifiers, clock, page=page, texts=partial(_texts, store))


def _texts(store: ScoreStore, event_ids: Sequence[str]) -> dict[str, str]:
    """Return what an example's event says, as far as a message has room: the question cut, then the answer."""
    found = store.events(event_ids)
    return {
        name: " → ".join(filter(None, [event.last_user_text[:120], event.response])) for name, event in found.items()
    }


def build_anchors(
    config: ConsumerConfig,
    store: ScoreStore,
    masker: Masker,
    entries: Sequence[ScorerEntry],
    clock: Clock | None = None,
) -> Anchors | None:
    """Return the anchors that a consumer's file names, for the scorers that it says; ``None`` where it names none.

    Raises:
        ConfigError: when the cases cannot be read.
    """
    if config.anchors is None:
        return None
    wanted = config.anchors.metrics
    chosen = [entry for entry in entries if not wanted or entry.scorer.spec.metric in wanted]
    every = timedelta(seconds=config.anchors.every_seconds)
    return Anchors(config.name, store, read_cases(config.anchors.cases), chosen, masker, every, clock)


def worker_settings(config: ConsumerConfig) -> WorkerSettings:
    """Return the worker's settings that a consumer's ``limits`` and ``dead_letters`` mean."""
    limits, letters = config.limits, config.dead_letters
    return WorkerSettings(
        max_batch=limits.max_batch,
        flush_seconds=limits.flush_seconds,
        queue_batches=limits.queue_batches,
        max_dead_ratio=letters.max_ratio,
        dead_min_records=letters.min_records,
        time_limits=TimeLimits(future_seconds=limits.future_seconds, age_days=limits.age_days),
    )


def build_masker(config: ConsumerConfig, environment: Environment) -> Masker:
    """Return a consumer's masker, with the key in the variable that its file names, or a random one.

    Raises:
        ConfigError: when the key is too short, or absent where the file asks for hashes.
    """
    key = environment.variables.get(config.masking.key_env, "")
    if not key and config.masking.needs_key:
        raise ConfigError(
            f"{shown(config.path)} masks with `hash`, but {config.masking.key_env} is not set: set it to 64 random "
            "hexadecimal digits (`openssl rand -hex 32`), the same in every worker, or write `mask` instead of `hash`"
        )
    try:
        return Masker(config.masking.policy, key=key_from_environment({KEY_VARIABLE: key}))
    except InputError as error:
        raise ConfigError(f"{config.masking.key_env}, which {shown(config.path)} names: {error}") from error


def build_source(config: ConsumerConfig, environment: Environment, masker: Masker | None = None) -> Source:
    """Return the source that a consumer's file names. It connects when it is opened.

    Raises:
        ConfigError: when a variable that the file names is not set.
    """
    source = config.source
    if isinstance(source, KafkaConfig):
        return KafkaSource(kafka_settings(config, environment))
    if isinstance(source, HttpConfig):
        return HttpSource(
            source.wal,
            (masker or build_masker(config, environment)).mask_event,
            token=environment.secret(source.token_env, shown(config.path)) if source.token_env else None,
            limits=worker_settings(config).time_limits,
        )
    return FileSource(
        source.paths,
        fields=source.fields or None,
        constants=source.constants or None,
        assume_zone=source.zone or None,
    )


def kafka_settings(config: ConsumerConfig, environment: Environment) -> KafkaSettings:
    """Return a Kafka consumer's settings, with secrets and addresses from the environment.

    Raises:
        ConfigError: when the source is another one, or a variable is not set.
    """
    source = config.source
    if not isinstance(source, KafkaConfig):
        raise ConfigError(f"Expected {shown(config.path)} to have a Kafka source, but it has another")
    named = environment.variables.get(source.brokers_env, "") if source.brokers_env else ""
    brokers = tuple(part.strip() for part in named.split(",") if part.strip()) or source.brokers
    if not brokers:
        environment.secret(source.brokers_env, shown(config.path))
    security = source.security

    def secret(variable: str) -> str | None:
        return environment.secret(variable, shown(config.path)) if variable else None

    return KafkaSettings(
        brokers=brokers,
        topics=source.topics,
        group=source.group,
        start=source.start,
        security=KafkaSecurity(
            protocol=security.protocol,
            mechanism=security.mechanism or None,
            username=secret(security.username_env),
            password=secret(security.password_env),
            ca_file=_text(security.ca_file),
            certificate_file=_text(security.cert_file),
            key_file=_text(security.key_file),
            key_password=secret(security.key_password_env),
        ),
    )


def build_dead_letters(config: ConsumerConfig, environment: Environment) -> DeadLetterSink | None:
    """Return where dead letters go besides the store; ``None`` where the file names no place."""
    topic, folder = config.dead_letters.topic, config.dead_letters.folder
    if topic:
        settings = kafka_settings(config, environment)
        return LazyDeadLetters(lambda: KafkaDeadLetters(settings, topic))
    return LazyDeadLetters(lambda: FolderDeadLetters(folder, config.name)) if folder else None


class LazyDeadLetters:
    """A place for dead letters, opened with the first letter: by then the worker can wait and try again."""

    def __init__(self, connect: Callable[[], DeadLetterSink]) -> None:
        """Remember how to open it."""
        self._connect = connect
        self._sink: DeadLetterSink | None = None

    def write(self, letters: Sequence[DeadLetter]) -> None:
        """Write the letters; nothing is opened for none.

        Raises:
            StoreUnavailable, SourceUnavailable: when the place does not answer now.
        """
        if not letters:
            return
        try:
            self._sink = self._sink or self._connect()
        except OSError as error:
            raise StoreUnavailable(f"Dead letters have no place: {error.filename}: {error.strerror}") from error
        self._sink.write(letters)

    def close(self) -> None:
        """Close what was opened. May be called twice."""
        sink, self._sink = self._sink, None
        if sink is not None:
            sink.close()


def replay_config(config: ConsumerConfig, source: FilesConfig) -> ConsumerConfig:
    """Return a consumer that reads files instead, of any age, produces to no topic and scores no anchors."""
    return msgspec.structs.replace(
        config,
        anchors=None,
        source=source,
        dead_letters=msgspec.structs.replace(config.dead_letters, topic=""),
        limits=msgspec.structs.replace(config.limits, age_days=None),
    )


def _text(path: Path | None) -> str | None:
    return str(path) if path is not None else None
