"""A frozen anchor set: one JSON object a line, an event whose id is the case's name."""

from __future__ import annotations

from pathlib import Path

import msgspec

from evalsvc.errors import ConfigError, DecodeError
from evalsvc.sources.decode import decode
from evalsvc.types import Event

FEWEST = 2
_MOST_SHOWN = 5
_NO_TIME = "2000-01-01T00:00:00Z"


def read_cases(path: Path) -> tuple[Event, ...]:
    """Return an anchor set's cases. Their time may be left out, and their application, which is then the file's name.

    Raises:
        ConfigError: when the file cannot be read, a line is no event, a name is there twice, or there is one case or
            none.
    """
    try:
        lines = path.read_bytes().splitlines()
    except OSError as error:
        raise ConfigError(f"anchors cannot be read: {path.name}: {error.strerror}") from error
    cases: dict[str, Event] = {}
    problems: list[str] = []
    for number, line in enumerate(lines, start=1):
        if not line.strip():
            continue
        try:
            case = _case(line, path.stem)
        except DecodeError as error:
            problems.append(f"line {number}: {error}")
            continue
        if case.event_id in cases:
            problems.append(f"line {number}: the case is there twice; every `event_id` names one")
        cases[case.event_id] = case
    if not problems and len(cases) < FEWEST:
        problems.append(f"expected at least {FEWEST} cases, but got {len(cases)}; some dozens tell a small change")
    if problems:
        more = f" (and {len(problems) - _MOST_SHOWN} more)" if len(problems) > _MOST_SHOWN else ""
        raise ConfigError(f"anchors in {path.name}: {'; '.join(problems[:_MOST_SHOWN])}{more}")
    return tuple(cases.values())


def _case(line: bytes, application: str) -> Event:
    try:
        fields = msgspec.json.decode(line, type=dict[str, msgspec.Raw])
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as error:
        raise DecodeError("not_json", "Expected a JSON object") from error
    given = {
        "occurred_at": msgspec.Raw(msgspec.json.encode(_NO_TIME)),
        "application": msgspec.Raw(msgspec.json.encode(application)),
    }
    case = decode(msgspec.json.encode({**given, **fields}))
    if case.kind != "interaction":
        raise DecodeError("unknown_kind", f"Expected an interaction, but got {case.kind}")
    return case
