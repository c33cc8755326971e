"""What an operator's project says, as frozen values. Paths are absolute; secrets stay variables' names."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal

import msgspec

from evalsvc.privacy.policy import KEY_VARIABLE, MaskingPolicy
from evalsvc.rules.values import RuleGroup
from evalsvc.sampling import Design

DAY_SECONDS = 86_400.0
SecurityProtocol = Literal["PLAINTEXT", "SSL", "SASL_PLAINTEXT", "SASL_SSL"]
Mechanism = Literal["", "PLAIN", "SCRAM-SHA-256", "SCRAM-SHA-512"]


class KafkaSecurity(msgspec.Struct, frozen=True, kw_only=True):
    """How a Kafka client proves who it is and whom it trusts, with secrets from the environment."""

    protocol: SecurityProtocol = "PLAINTEXT"
    mechanism: Mechanism = ""
    username_env: str = ""
    password_env: str = ""
    ca_file: Path | None = None
    cert_file: Path | None = None
    key_file: Path | None = None
    key_password_env: str = ""


class KafkaConfig(msgspec.Struct, frozen=True, kw_only=True):
    """Topics of one cluster.

    ``brokers_env`` names a variable that, where it is set, replaces ``brokers`` (``host:port,host:port``).
    """

    topics: tuple[str, ...]
    group: str
    brokers: tuple[str, ...] = ()
    brokers_env: str = ""
    start: Literal["earliest", "latest"] = "earliest"
    security: KafkaSecurity = KafkaSecurity()


class FilesConfig(msgspec.Struct, frozen=True, kw_only=True):
    """Files, folders or patterns; ``fields`` maps a column to an event's field, ``constants`` fills others.

    ``zone`` is the zone of times that are written without one; without it they are refused.
    """

    paths: tuple[str, ...]
    fields: Mapping[str, str] = {}
    constants: Mapping[str, str] = {}
    zone: str = ""


class HttpConfig(msgspec.Struct, frozen=True, kw_only=True):
    """``POST /v1/events``. What is accepted lies in ``wal`` before it is answered."""

    wal: Path
    host: str = "127.0.0.1"
    port: int = 8400
    token_env: str = ""


class ScorerConfig(msgspec.Struct, frozen=True, kw_only=True):
    """A scorer by its name, the share of the sampled events that it scores, and what it is built with.

    ``metric`` is what it measures, which a name of the operator's own does not tell.
    """

    name: str
    metric: str = ""
    rate: float = 1.0
    options: Mapping[str, Any] = {}


class MaskingConfig(msgspec.Struct, frozen=True, kw_only=True):
    """What becomes of personal data, and the variable that holds the key of the keyed hashes."""

    policy: MaskingPolicy = MaskingPolicy()
    key_env: str = KEY_VARIABLE

    @property
    def needs_key(self) -> bool:
        """Whether the file asks for hashes: they tell one value from another only under one lasting key."""
        return "hash" in (self.policy.default, *self.policy.actions.values())


class DeadLetterConfig(msgspec.Struct, frozen=True, kw_only=True):
    """When undecodable records stop the worker, and where they go besides the store."""

    max_ratio: float = 0.05
    min_records: int = 1000
    topic: str = ""
    folder: Path | None = None


class AnchorsConfig(msgspec.Struct, frozen=True, kw_only=True):
    """A frozen set of cases that some of the consumer's scorers (``metrics``; empty: all) score every so often."""

    cases: Path
    every_seconds: float = DAY_SECONDS
    metrics: tuple[str, ...] = ()


class Limits(msgspec.Struct, frozen=True, kw_only=True):
    """How a worker batches, and how far an event's time may be off; the pipeline's own defaults."""

    max_batch: int = 512
    flush_seconds: float = 1.0
    queue_batches: int = 4
    future_seconds: int = 600
    age_days: int | None = 400


class ConsumerConfig(msgspec.Struct, frozen=True, kw_only=True):
    """One file of the consumers' folder: a pipeline from a source to scores."""

    name: str
    path: Path
    source: KafkaConfig | FilesConfig | HttpConfig
    design: Design
    scorers: tuple[ScorerConfig, ...]
    masking: MaskingConfig = MaskingConfig()
    dead_letters: DeadLetterConfig = DeadLetterConfig()
    limits: Limits = Limits()
    anchors: AnchorsConfig | None = None


class ExportedConfig(msgspec.Struct, frozen=True, kw_only=True):
    """Which estimates are shown to Prometheus.

    They are of the ``window_seconds`` that ended ``delay_seconds`` ago, both whole minutes: one for each metric,
    consumer, scorer and combination of the fields in ``by``; at most ``max_groups`` of them, each of up to six series.
    """

    window_seconds: float = 3600.0
    delay_seconds: float = 120.0
    by: tuple[str, ...] = ("application", "model_version")
    max_groups: int = 1000


class Settings(msgspec.Struct, frozen=True, kw_only=True):
    """``[tool.evalsvc]`` of the operator's pyproject.toml. Retention is in days; the store has defaults.

    Where ``exported`` is None no estimate is shown to Prometheus.
    """

    consumers: str = "consumers"
    suites: str = "suites"
    alerts: str = "alerts"
    dashboards: str = "dashboards"
    store: str = "embedded:.evalsvc/store"
    retention: Mapping[str, int] = {}
    requires: str = ""
    exported: ExportedConfig | None = ExportedConfig()


class Project(msgspec.Struct, frozen=True, kw_only=True):
    """An operator's folder, read and checked."""

    root: Path
    settings: Settings
    consumers: tuple[ConsumerConfig, ...]
    rules: tuple[RuleGroup, ...] = ()
