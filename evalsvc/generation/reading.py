"""The ``model:`` section of a suite as a generator: every mistake with its place and a hint."""

from __future__ import annotations

import math
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar, get_args

import msgspec

from evalsvc._durations import parse_duration
from evalsvc._hints import did_you_mean, nearest
from evalsvc._yaml import Section, Value, read_env_name
from evalsvc.errors import InputError
from evalsvc.generation.callable import CallableModel
from evalsvc.generation.command import CommandModel
from evalsvc.generation.endpoint import EndpointModel
from evalsvc.generation.endpoint_settings import EndpointSettings
from evalsvc.generation.recorded import RecordedAnswers
from evalsvc.generation.transformers import TransformersModel, TransformersSettings
from evalsvc.generation.values import Generator
from evalsvc.judges import CallLimits, Prices
from evalsvc.judges.settings import TokenField, check_url

KINDS = ("recorded", "callable", "command", "endpoint", "transformers")

VERSION = r"[A-Za-z0-9][A-Za-z0-9_.:+/@-]{0,99}"
T = TypeVar("T")


def read_model(value: Value, folder: Path) -> Generator | None:
    """Return the model that a section describes; loads, imports, starts and asks nothing.

    Args:
        value: the section; what is wrong is reported to its document, and then the result is not to be used.
        folder: what its paths are relative to.
    """
    section = value.section()
    kind = section.exactly_one(KINDS, "the model under test, as in `recorded: answers.jsonl`")
    if kind is None:
        # Which other keys belong there depends on the kind: they are not looked at.
        for key, _ in section:
            if key not in KINDS and nearest(key, KINDS):
                section.key_problem(key, f"unknown key `{key}` in `{value.name}`", nearest(key, KINDS))
        return None
    given = section.get(kind)
    version, name = section.get("version"), section.get("name")
    said = {
        "version": version.text(pattern=VERSION, what="a version, as in 2026-08-01") if version else "",
        "name": name.text(what="the model's name in reports") if name else "",
    }
    return _READERS[kind](given, section, folder, said) if given else None


def _recorded(value: Value, section: Section, folder: Path, said: dict[str, str]) -> Generator | None:
    path = _path(value, folder)
    return None if path is None else RecordedAnswers(path, said["name"], said["version"])


def _callable(value: Value, section: Section, folder: Path, said: dict[str, str]) -> Generator | None:
    target = value.text(
        pattern=r"[^:\s][^:]*:[A-Za-z_][A-Za-z0-9_.]*", what="module:function or file.py:function, with one colon"
    )
    if not target:
        return None
    file = target.partition(":")[0]
    if file.endswith(".py") and not (folder / file).is_file():
        value.problem(f"no file {file}", _beside(folder / file))
    return CallableModel(target, folder, said["name"], said["version"])


def _command(value: Value, section: Section, folder: Path, said: dict[str, str]) -> Generator | None:
    if not value.is_list:
        value.expected("a list of a program and its arguments", "write [program, argument]: no shell reads it")
    argv = value.texts() if value.is_list else ()
    timeout, output = section.get("timeout"), section.get("output")
    seconds = _seconds(timeout, 60.0)
    kind = output.text("text", choices=("text", "json")) if output else "text"
    if value.is_list and not argv:
        value.problem(f"expected `{value.name}` to be a program and its arguments, but the list is empty")
    if not argv:
        return None
    return _built(
        value,
        lambda: CommandModel(
            argv,
            folder,
            timeout_seconds=seconds,
            output="json" if kind == "json" else "text",
            model=said["name"],
            version=said["version"],
        ),
    )


def _endpoint(value: Value, section: Section, folder: Path, said: dict[str, str]) -> Generator | None:
    model = section.need("model", "its name at the endpoint")
    prices, tools, extra, served = (section.get(key) for key in ("prices", "tools", "extra", "served_model"))
    limit, field, seed, stream = (section.get(key) for key in ("max_output_tokens", "token_field", "seed", "stream"))
    fields: dict[str, Any] = {
        "model": model.text(what="the model's name at the endpoint") if model else "",
        "base_url": value.text(what="an address, as in https://host/v1", secret=True),
        "model_version": said["version"],
        "served_model": served.text() if served else "",
        "api_key_env": read_env_name(section, "api_key_env"),
        **_texts(section),
        "temperature": _temperature(section, none=True),
        "max_output_tokens": limit.integer(1024, low=1) if limit else 1024,
        "token_field": field.text("max_tokens", choices=get_args(TokenField)) if field else "max_tokens",
        "send_seed": seed.flag(True) if seed else True,
        "stream": stream.flag(True) if stream else True,
        "stall_seconds": _seconds(section.get("stall"), 30.0),
        "tools": tuple(tool.plain() for tool in tools.items() if _mapping(tool)) if tools else (),
        "extra": extra.plain() if extra and _mapping(extra) else {},
        "calls": _calls(section),
        "give_up_seconds": _seconds(section.get("give_up"), 600.0),
        "prices": _prices(prices.section()) if prices else None,
    }
    if not fields["base_url"] or not fields["model"]:
        return None

    def build() -> EndpointModel:
        check_url(fields["base_url"], value.name.rpartition(".")[2])
        return EndpointModel(EndpointSettings(**fields), name=said["name"], address_key="endpoint")

    return _built(value, build)


def _transformers(value: Value, section: Section, folder: Path, said: dict[str, str]) -> Generator | None:
    where = value.text(what="a folder, or a hub name owner/name")
    revision, device, dtype, window, limit = (
        section.get(key) for key in ("revision", "device", "dtype", "window", "max_output_tokens")
    )
    fields: dict[str, Any] = {
        "model": str(folder / where) if (folder / where).is_dir() else where,
        "revision": revision.text(pattern=r"[0-9a-f]{40,64}", what="a commit or a SHA-256") if revision else None,
        "device": device.text("auto", pattern=r"auto|cpu|cuda(:[0-9]{1,3})?", what="auto, cpu, cuda or cuda:N")
        if device
        else "auto",
        "dtype": dtype.text("auto", choices=("auto", "float32", "bfloat16", "float16")) if dtype else "auto",
        "window": window.integer(4096, low=2) if window else None,
        **_texts(section),
        "temperature": _temperature(section) or 0.0,
        "max_output_tokens": limit.integer(256, low=1) if limit else 256,
        **said,
    }
    if not where:
        return None
    settings = _built(value, lambda: TransformersSettings(**fields))
    return None if settings is None else TransformersModel(settings)


_READERS: dict[str, Callable[[Value, Section, Path, dict[str, str]], Generator | None]] = {
    "recorded": _recorded,
    "callable": _callable,
    "command": _command,
    "endpoint": _endpoint,
    "transformers": _transformers,
}


def _texts(section: Section) -> dict[str, str]:
    system, template = section.get("system"), section.get("template")
    text = template.text() if template else ""
    if template and text and "{prompt}" not in text:
        template.expected("a text that holds {prompt}", "the case's prompt takes its place")
        text = ""
    return {"system": system.text() if system else "", "template": text}


def _temperature(section: Section, *, none: bool = False) -> float | None:
    value = section.get("temperature")
    if value is None:
        return 0.0
    if none and value.is_scalar and value.node.value == "default":
        return None
    return value.number(0.0, low=0.0, high=2.0)


def _calls(section: Section) -> CallLimits:
    patience, attempts = CallLimits(), section.get("attempts")
    timeout = _seconds(section.get("timeout"), patience.timeout_seconds)
    number = attempts.integer(patience.attempts, low=1, high=100) if attempts else patience.attempts
    # Tries and the pauses between them: none is cut off by the whole.
    whole = number * (timeout + patience.backoff_max_seconds)
    return CallLimits(timeout_seconds=timeout, attempts=number, deadline_seconds=whole)


def _prices(section: Section) -> Prices:
    amounts = {name: section.need(name, "US dollars for a million tokens") for name in Prices.__struct_fields__}
    return Prices(**{name: value.number(low=0.0) if value else 0.0 for name, value in amounts.items()})


def _seconds(value: Value | None, default: float) -> float:
    if value is None:
        return default
    text = value.text(what="a duration, as in 30s or 5m")
    try:
        return parse_duration(text).total_seconds() if text else default
    except InputError as error:
        value.problem(str(error), _whole_seconds(text))
        return default


def _whole_seconds(text: str) -> str:
    """Return what to write for a part of a second; empty where it is none."""
    found = re.fullmatch(r"([0-9]{1,9}(?:[.,][0-9]{1,9})?)\s*(ms|s)", text.strip())
    if not found:
        return ""
    seconds = float(found[1].replace(",", ".")) / (1000.0 if found[2] == "ms" else 1.0)
    return f"whole seconds: write {math.ceil(seconds)}s" if seconds else ""


def _mapping(value: Value) -> bool:
    if not value.is_mapping:
        value.expected("a mapping")
    return value.is_mapping


def _path(value: Value, folder: Path) -> Path | None:
    text = value.text(what="a file of answers, as in answers.jsonl")
    path = folder / text
    if text and not path.is_file():
        value.problem(f"no file {text}", _beside(path))
    return path if text else None


def _beside(path: Path) -> str:
    there = [each.name for each in path.parent.iterdir() if each.is_file()] if path.parent.is_dir() else []
    return did_you_mean(path.name, there) or "paths are relative to this file"


def _built(value: Value, build: Callable[[], T]) -> T | None:
    """Return what is built, or report why it cannot be."""
    try:
        return build()
    except (InputError, msgspec.ValidationError) as error:
        value.problem(str(error))
        return None
