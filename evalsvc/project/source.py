"""The ``source`` section of a consumer's file."""

from __future__ import annotations

from pathlib import Path
from typing import Literal, cast
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from evalsvc._hints import did_you_mean
from evalsvc._yaml import Section, Value, read_env_name
from evalsvc.project.values import (
    FilesConfig,
    HttpConfig,
    KafkaConfig,
    KafkaSecurity,
    Mechanism,
    SecurityProtocol,
)
from evalsvc.types import Event

BROKER = r"(\[[0-9A-Fa-f:]+\]|[A-Za-z0-9._-]+):\d{1,5}"
TOPIC = r"[A-Za-z0-9._-]{1,249}"
PROTOCOLS = ("PLAINTEXT", "SSL", "SASL_PLAINTEXT", "SASL_SSL")
MECHANISMS = ("PLAIN", "SCRAM-SHA-256", "SCRAM-SHA-512")
SOURCES = ("kafka", "files", "http")
EVENT_FIELDS = tuple(field for field in Event.__struct_fields__ if field != "findings")
_PREFIXED = ("segments.", "attributes.", "data.")


def read_source(section: Section, consumer: str, root: Path) -> KafkaConfig | FilesConfig | HttpConfig:
    """Return which source it is, and its settings. Relative paths start at ``root``."""
    kind = section.exactly_one(SOURCES, "as in `source: {files: {paths: [data/*.jsonl]}}`")
    value = section.get(kind) if kind else None
    if value is None:
        return FilesConfig(paths=())
    inner = value.section()
    if not value.is_mapping:
        return FilesConfig(paths=())
    if kind == "kafka":
        return _kafka(inner, consumer, root)
    return _files(inner, root) if kind == "files" else _http(inner, consumer, root)


def read_path(section: Section, key: str, root: Path) -> Path | None:
    """Return a path, absolute."""
    value = section.get(key)
    text = value.text(what="a path") if value else ""
    return root / Path(text).expanduser() if text else None


def _kafka(section: Section, consumer: str, root: Path) -> KafkaConfig:
    kind = section.exactly_one(("topic", "topics"))
    topics = section.get(kind) if kind else None
    brokers, group, start = section.get("brokers"), section.get("group"), section.get("start")
    security = section.get("security")
    brokers_env = read_env_name(section, "brokers_env")
    if brokers is None and not brokers_env:
        section.need("brokers", "as in `brokers: [localhost:9092]`, or `brokers_env: KAFKA_BROKERS`")
    name = r"[A-Za-z0-9._-]+"
    return KafkaConfig(
        topics=topics.texts(pattern=TOPIC, what="a topic: letters, digits, . _ and -") if topics else (),
        brokers=brokers.texts(pattern=BROKER, what="HOST:PORT, as in localhost:9092") if brokers else (),
        brokers_env=brokers_env,
        group=group.text(pattern=name, what="a name") if group else f"evalsvc-{consumer}",
        start=cast(
            "Literal['earliest', 'latest']",
            start.text("earliest", choices=("earliest", "latest")) if start else "earliest",
        ),
        security=_security(security, root) if security else KafkaSecurity(),
    )


def _security(value: Value, root: Path) -> KafkaSecurity:
    section = value.section()
    protocol, mechanism = section.need("protocol"), section.get("mechanism")
    security = KafkaSecurity(
        protocol=cast("SecurityProtocol", protocol.text("PLAINTEXT", choices=PROTOCOLS) if protocol else "PLAINTEXT"),
        mechanism=cast("Mechanism", mechanism.text("", choices=MECHANISMS) if mechanism else ""),
        username_env=read_env_name(section, "username_env"),
        password_env=read_env_name(section, "password_env"),
        ca_file=read_path(section, "ca_file", root),
        cert_file=read_path(section, "cert_file", root),
        key_file=read_path(section, "key_file", root),
        key_password_env=read_env_name(section, "key_password_env"),
    )
    for key in ("username", "password"):
        if key in section:
            section.get(key)
            section.key_problem(key, f"a {key} does not belong in a file", f"use `{key}_env: KAFKA_{key.upper()}`")
    _check_security(section, security)
    return security


def _check_security(section: Section, security: KafkaSecurity) -> None:
    sasl, tls = security.protocol.startswith("SASL_"), security.protocol.endswith("SSL")
    for key in ("mechanism", "username_env", "password_env"):
        if sasl and key not in section:
            section.need(key, f"{security.protocol} signs in with it")
        if not sasl and key in section:
            section.key_problem(key, f"`{key}` has no effect with {security.protocol}", "did you mean SASL_SSL?")
    for key in ("ca_file", "cert_file", "key_file", "key_password_env"):
        if not tls and key in section:
            section.key_problem(
                key, f"`{key}` has no effect with {security.protocol}", "SSL and SASL_SSL are encrypted"
            )


def _files(section: Section, root: Path) -> FilesConfig:
    paths, fields, constants = section.need("paths"), section.get("fields"), section.get("constants")
    zone = section.get("zone")
    found = paths.texts(what="a path or a pattern") if paths else ()
    if paths and paths.is_list and not found:
        paths.problem(f"expected `{paths.name}` to name a file, but it is empty", "as in [data/*.jsonl]")
    return FilesConfig(
        paths=tuple(str(root / Path(path).expanduser()) for path in found if path),
        fields=_fields(fields.section()) if fields else {},
        constants=_constants(constants.section()) if constants else {},
        zone=_zone(zone) if zone else "",
    )


def _zone(value: Value) -> str:
    name = value.text(what="a time zone")
    try:
        return ZoneInfo(name).key if name else ""
    except (ZoneInfoNotFoundError, ValueError, OSError):
        value.expected("a time zone", "as in UTC or Europe/Berlin")
        return ""


def is_event_field(name: str) -> bool:
    """Whether a column may become this: a field of an event, or an entry of its open mappings."""
    return name in EVENT_FIELDS or any(name.startswith(p) and len(name) > len(p) for p in _PREFIXED)


def field_hint(name: str) -> str:
    """Return a hint for a name that is no event's field."""
    return did_you_mean(name, [*EVENT_FIELDS, "segments.NAME"])


def _fields(section: Section) -> dict[str, str]:
    mapping = {column: value.text(what="a field of an event") for column, value in section}
    for column, value in section:
        if mapping[column] and not is_event_field(mapping[column]):
            value.expected("a field of an event", field_hint(mapping[column]))
    return mapping


def _constants(section: Section) -> dict[str, str]:
    for field, _ in section:
        if not is_event_field(field):
            section.key_problem(field, f"expected a field of an event, but got `{field}`", field_hint(field))
    return {field: value.text() for field, value in section}


def _http(section: Section, consumer: str, root: Path) -> HttpConfig:
    host, port = section.get("host"), section.get("port")
    return HttpConfig(
        host=host.text("127.0.0.1") if host else "127.0.0.1",
        port=port.integer(8400, low=1, high=65535) if port else 8400,
        token_env=read_env_name(section, "token_env"),
        wal=read_path(section, "wal", root) or root / ".evalsvc" / "http" / consumer,
    )
