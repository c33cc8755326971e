"""From configuration to running parts: addresses, secrets, settings, and what is missing."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path

import msgspec
import pytest

from evalsvc import assemble
from evalsvc.dead_letters import FolderDeadLetters
from evalsvc.errors import ConfigError, StoreUnavailable
from evalsvc.pipeline import TimeLimits
from evalsvc.privacy import MaskingPolicy
from evalsvc.project import (
    ConsumerConfig,
    DeadLetterConfig,
    Environment,
    FilesConfig,
    HttpConfig,
    KafkaConfig,
    KafkaSecurity,
    Limits,
    MaskingConfig,
    Project,
    ScorerConfig,
    Settings,
)
from evalsvc.sampling import Design
from evalsvc.sources.files import FileSource
from evalsvc.sources.http import HttpSource
from evalsvc.sources.kafka import KafkaSource
from evalsvc.store import MemoryStore, Retention
from evalsvc.testing import ManualClock
from evalsvc.types import DeadLetter

EMPTY = Environment()
LETTER = DeadLetter("quality", "llm/0", 3, datetime(2026, 1, 1, tzinfo=UTC), "not_json", "Expected JSON", 9, "ab")
KAFKA = KafkaConfig(
    topics=("llm",),
    group="g",
    brokers=("b1:9092",),
    brokers_env="BROKERS",
    security=KafkaSecurity(
        protocol="SASL_SSL",
        mechanism="PLAIN",
        username_env="KUSER",
        password_env="KPASS",
        ca_file=Path("/ca.pem"),
    ),
)


def consumer(source: KafkaConfig | FilesConfig | HttpConfig, **changes: object) -> ConsumerConfig:
    basis = ConsumerConfig(
        name="quality",
        path=Path("consumers/quality.yaml"),
        source=source,
        design=Design("quality"),
        scorers=(ScorerConfig(name="refusal", rate=0.5),),
    )
    return msgspec.structs.replace(basis, **changes)


def of(root: Path, **settings: object) -> Project:
    return Project(root=root, settings=msgspec.convert(settings, Settings), consumers=())


def test_which_store_counts(tmp_path: Path) -> None:
    found, named = of(tmp_path), Environment(store="memory:")
    assert assemble.store_address(found, named, "embedded:x") == "embedded:x"
    assert assemble.store_address(found, named) == "memory:"
    assert assemble.store_address(found, EMPTY) == f"embedded:{tmp_path}/.evalsvc/store"
    assert assemble.store_address(of(tmp_path, store="clickhouse://db/x"), EMPTY) == "clickhouse://db/x"
    assert assemble.store_address(of(tmp_path, store="embedded:/data/s"), EMPTY) == "embedded:/data/s"


def test_retention(tmp_path: Path) -> None:
    assert assemble.retention(of(tmp_path, retention={"events": 7})) == Retention(events_days=7)


def test_kafka_settings_take_secrets_and_brokers_from_the_environment() -> None:
    variables = {"KUSER": "alice", "KPASS": "hunter2", "BROKERS": "b2:1, b3:2"}
    settings = assemble.kafka_settings(consumer(KAFKA), Environment(variables=variables))
    assert settings.brokers == ("b2:1", "b3:2")
    assert (settings.topics, settings.group, settings.start) == (("llm",), "g", "earliest")
    assert settings.security.options() == {
        "security_protocol": "SASL_SSL",
        "sasl_mechanism": "PLAIN",
        "sasl_plain_username": "alice",
        "sasl_plain_password": "hunter2",
        "ssl_cafile": "/ca.pem",
        "ssl_check_hostname": True,
    }


def test_a_missing_secret_names_the_variable_and_the_file() -> None:
    with pytest.raises(ConfigError, match=r"KPASS to be set: consumers/quality\.yaml"):
        assemble.kafka_settings(consumer(KAFKA), Environment(variables={"KUSER": "alice"}))
    without = msgspec.structs.replace(KAFKA, brokers=(), security=KafkaSecurity())
    with pytest.raises(ConfigError, match="BROKERS to be set"):
        assemble.kafka_settings(consumer(without), EMPTY)


def test_each_kind_of_source(tmp_path: Path) -> None:
    (tmp_path / "a.jsonl").write_text("")
    plain = msgspec.structs.replace(KAFKA, security=KafkaSecurity())
    assert isinstance(assemble.build_source(consumer(plain), EMPTY), KafkaSource)
    assert isinstance(assemble.build_source(consumer(HttpConfig(wal=tmp_path / "wal")), EMPTY), HttpSource)
    files = assemble.build_source(consumer(FilesConfig(paths=(f"{tmp_path}/*.jsonl",))), EMPTY)
    assert isinstance(files, FileSource)
    assert files.paths == (tmp_path / "*.jsonl",)


def test_a_worker_has_what_its_file_says(tmp_path: Path) -> None:
    config = consumer(
        HttpConfig(wal=tmp_path / "wal"),
        limits=Limits(max_batch=7, flush_seconds=0.5, queue_batches=2, future_seconds=1, age_days=None),
        dead_letters=DeadLetterConfig(max_ratio=0.5, min_records=10),
    )
    worker = assemble.build_worker(config, MemoryStore(), EMPTY)
    settings = worker.settings
    assert (settings.max_batch, settings.flush_seconds, settings.queue_batches) == (7, 0.5, 2)
    assert (settings.max_dead_ratio, settings.dead_min_records) == (0.5, 10)
    assert settings.time_limits == TimeLimits(future_seconds=1, age_days=None)
    assert [(entry.scorer.spec.metric, entry.rate) for entry in worker.scorers] == [("refusal", 0.5)]


def test_a_short_masking_key_is_refused_with_its_variable(tmp_path: Path) -> None:
    config = consumer(HttpConfig(wal=tmp_path))
    with pytest.raises(ConfigError, match="EVALSVC_MASKING_KEY"):
        assemble.build_masker(config, Environment(variables={"EVALSVC_MASKING_KEY": "short"}))


@pytest.mark.parametrize("policy", [MaskingPolicy(default="hash"), MaskingPolicy(actions={"EMAIL_ADDRESS": "hash"})])
def test_hashes_without_a_key_are_refused_with_what_to_set(policy: MaskingPolicy, tmp_path: Path) -> None:
    config = consumer(HttpConfig(wal=tmp_path), masking=MaskingConfig(policy=policy, key_env="OUR_KEY"))
    with pytest.raises(ConfigError, match=r"OUR_KEY is not set: set it to 64 random"):
        assemble.build_masker(config, EMPTY)
    assemble.build_masker(config, Environment(variables={"OUR_KEY": "ab" * 32}))
    assemble.build_masker(consumer(HttpConfig(wal=tmp_path)), EMPTY)


def test_a_replay_reads_files_of_any_age_and_produces_nowhere() -> None:
    config = consumer(KAFKA, dead_letters=DeadLetterConfig(topic="dead"))
    replayed = assemble.replay_config(config, FilesConfig(paths=("a",)))
    assert replayed.source == FilesConfig(paths=("a",))
    assert (replayed.dead_letters.topic, replayed.limits.age_days) == ("", None)
    assert (replayed.name, replayed.design) == (config.name, config.design)


def test_dead_letters_get_their_folder_with_the_first_one(tmp_path: Path) -> None:
    folder = tmp_path / "dead"
    sink = assemble.build_dead_letters(
        consumer(FilesConfig(paths=()), dead_letters=DeadLetterConfig(folder=folder)), EMPTY
    )
    assert sink is not None
    sink.write([])
    assert not folder.exists()
    sink.write([LETTER])
    assert len((folder / "quality.jsonl").read_text().splitlines()) == 1
    sink.close()
    sink.close()


def test_a_place_that_cannot_be_opened_is_worth_waiting_for(tmp_path: Path) -> None:
    blocked = tmp_path / "file"
    blocked.write_text("")
    sink = assemble.LazyDeadLetters(lambda: FolderDeadLetters(blocked / "dead", "quality"))
    with pytest.raises(StoreUnavailable, match="no place"):
        sink.write([LETTER])


def test_without_routes_nobody_is_told_and_it_is_remembered_that_none_is_there() -> None:
    store, clock = MemoryStore(), ManualClock(datetime(2026, 3, 1, tzinfo=UTC))
    store.alerts.enrol(["pager"], clock.now())
    delivery = assemble.build_delivery(None, store, Environment(variables={}), clock)
    delivery.round(clock.now())
    assert delivery.wait(10.0)
    assert delivery.counts() == {}
    later = clock.now() + timedelta(days=30)
    assert store.alerts.enrol(["pager"], later)["pager"].since == later
