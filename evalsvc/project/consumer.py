"""One file of the consumers' folder, as a :class:`~evalsvc.project.values.ConsumerConfig`."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from pathlib import Path
from typing import cast

from evalsvc._durations import parse_duration
from evalsvc._hints import did_you_mean
from evalsvc._yaml import Document, Section, Value, read_env_name
from evalsvc.errors import ConfigError, InputError
from evalsvc.privacy.catalogue import ENTITY_TYPES
from evalsvc.privacy.policy import ACTIONS, KEY_VARIABLE, Action, CustomPattern, MaskingPolicy, check_pattern
from evalsvc.project.anchors import read_cases
from evalsvc.project.sampling import read_design
from evalsvc.project.scorers import read_scorers
from evalsvc.project.source import TOPIC, read_path, read_source
from evalsvc.project.values import (
    DAY_SECONDS,
    AnchorsConfig,
    ConsumerConfig,
    DeadLetterConfig,
    FilesConfig,
    HttpConfig,
    KafkaConfig,
    Limits,
    MaskingConfig,
    ScorerConfig,
)

CONSUMER_NAME = r"[a-z0-9][a-z0-9_-]{0,62}"
LEAST_SECONDS = 60


def read_consumer(document: Document, path: Path, root: Path, *, here: bool = False) -> ConsumerConfig | None:
    """Read a consumer; what is wrong is reported to ``document``, and then the result is not to be used.

    With ``here``, so is what its scorers lack on this machine: packages, a model's folder, a key.
    """
    if document.root is None:
        return None
    section = document.root
    name_value, source_value = section.need("consumer"), section.need("source")
    name = name_value.text(pattern=CONSUMER_NAME, what="a name of a-z, 0-9, _ and -") if name_value else ""
    name = name or "consumer"
    source = read_source(source_value.section(), name, root) if source_value else FilesConfig(paths=())
    configured = read_scorers(section.need("scorers", "as in `scorers: [refusal, latency_ms]`"), here)
    rates = {scorer.metric: scorer.rate for scorer in configured if scorer.rate < 1.0}
    sampling, masking = section.get("sampling"), section.get("masking")
    letters, limits, anchors = section.get("dead_letters"), section.get("limits"), section.get("anchors")
    return ConsumerConfig(
        name=name,
        path=path,
        source=source,
        design=read_design(sampling.section() if sampling else None, name, rates),
        scorers=configured,
        masking=_masking(masking.section()) if masking else MaskingConfig(),
        dead_letters=_dead_letters(letters.section(), source, root) if letters else DeadLetterConfig(),
        limits=_limits(limits.section()) if limits else Limits(),
        anchors=_anchors(anchors.section(), configured, root) if anchors else None,
    )


def _anchors(section: Section, configured: Sequence[ScorerConfig], root: Path) -> AnchorsConfig | None:
    place, every, metrics = section.need("cases"), section.get("every"), section.get("metrics")
    path = read_path(section, "cases", root)
    known = [scorer.metric for scorer in configured]
    for item in metrics.items() if metrics else []:
        if (name := item.text(what="a metric")) and name not in known:
            item.problem(f"no scorer of this consumer measures `{name}`", did_you_mean(name, known))
    if place is None or path is None:
        return None
    try:
        read_cases(path)
    except ConfigError as error:
        place.problem(str(error))
    return AnchorsConfig(
        cases=path,
        every_seconds=_seconds(every) if every else DAY_SECONDS,
        metrics=tuple(name for name in metrics.texts() if name in known) if metrics else (),
    )


def _seconds(value: Value) -> float:
    try:
        seconds = parse_duration(value.text(what="a duration, as in 24h") or "24h").total_seconds()
    except InputError as error:
        value.problem(str(error))
        return DAY_SECONDS
    if seconds < LEAST_SECONDS:
        value.expected(f"at least {LEAST_SECONDS} seconds")
    return max(seconds, LEAST_SECONDS)


def _masking(section: Section) -> MaskingConfig:
    default, user, entities = section.get("default"), section.get("user_id"), section.get("entities")
    only, basis = section.get("only"), MaskingPolicy()
    patterns = _patterns(section.get("patterns"))
    known = {*ENTITY_TYPES, *(pattern.entity_type for pattern in patterns)}
    for item in only.items() if only else []:
        if (name := item.text()) and name not in known:
            item.problem(f"unknown entity type `{name}`", did_you_mean(name, known))
    policy = MaskingPolicy(
        default=_action(default, basis.default),
        user_id=_action(user, basis.user_id),
        actions=_entity_actions(entities.section(), known) if entities else {},
        entity_types=tuple(name for name in only.texts() if name in known) if only else (),
        patterns=patterns,
    )
    return MaskingConfig(policy=policy, key_env=read_env_name(section, "key_env", KEY_VARIABLE))


def _action(value: Value | None, default: Action) -> Action:
    return cast("Action", value.text(default, choices=ACTIONS)) if value else default


def _entity_actions(section: Section, known: Collection[str]) -> dict[str, Action]:
    actions: dict[str, Action] = {}
    for entity, value in section:
        action = _action(value, "mask")
        if entity in known:
            actions[entity] = action
        else:
            section.key_problem(entity, f"unknown entity type `{entity}`", did_you_mean(entity, known))
    return actions


def _patterns(value: Value | None) -> tuple[CustomPattern, ...]:
    found: list[CustomPattern] = []
    for item in value.items() if value else []:
        section = item.section()
        name, regex = section.need("name"), section.need("regex")
        entity, expression = (
            name.text() if name else "",
            regex.text(what="a regular expression") if regex else "",
        )
        if not (name and regex and entity and expression):
            continue
        pattern = CustomPattern(entity, expression)
        try:
            check_pattern(pattern)
        except ConfigError as error:
            place = name if "a name of" in str(error) else regex
            place.problem(str(error), "single quotes keep backslashes as they are" if place is regex else "")
            continue
        if any(other.entity_type == entity for other in found):
            name.problem(f"the pattern `{entity}` is there twice")
        found.append(pattern)
    return tuple(found)


def _dead_letters(section: Section, source: KafkaConfig | FilesConfig | HttpConfig, root: Path) -> DeadLetterConfig:
    ratio, least, topic = section.get("max_ratio"), section.get("min_records"), section.get("topic")
    folder = read_path(section, "folder", root)
    if "topic" in section and "folder" in section:
        section.key_problem("folder", "expected `topic` or `folder`, but got both", "one place is enough")
    if topic and not isinstance(source, KafkaConfig):
        section.key_problem("topic", "a dead-letter topic needs a Kafka source", "use `folder` here")
    return DeadLetterConfig(
        max_ratio=ratio.number(0.05, low=0.0, high=1.0) if ratio else 0.05,
        min_records=least.integer(1000, low=1) if least else 1000,
        topic=topic.text(pattern=TOPIC, what="a topic: letters, digits, . _ and -") if topic else "",
        folder=folder,
    )


def _limits(section: Section) -> Limits:
    basis = Limits()
    batch, flush, queued = (
        section.get("max_batch"),
        section.get("flush_seconds"),
        section.get("queue_batches"),
    )
    future, age = section.get("future_seconds"), section.get("age_days")
    return Limits(
        max_batch=batch.integer(basis.max_batch, low=1, high=100_000) if batch else basis.max_batch,
        flush_seconds=flush.number(1.0, above=0.0, high=3600.0) if flush else basis.flush_seconds,
        queue_batches=queued.integer(basis.queue_batches, low=1, high=1000) if queued else basis.queue_batches,
        future_seconds=future.integer(basis.future_seconds, low=0) if future else basis.future_seconds,
        age_days=_age(age) if age else basis.age_days,
    )


def _age(value: Value) -> int | None:
    """Return the days; ``none`` accepts events of any age, as a replay of old files needs it."""
    if not value.is_list and not value.is_mapping and value.node.value == "none":
        return None
    return value.integer(400, low=1)
