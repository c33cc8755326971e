"""``[tool.evalsvc]`` of the operator's pyproject.toml, and the environment: both read once and typed."""

from __future__ import annotations

import re
import tomllib
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import msgspec

from evalsvc import __version__
from evalsvc._durations import parse_duration
from evalsvc._hints import did_you_mean
from evalsvc.errors import ConfigError, InputError, Problem
from evalsvc.project.exported import read_exported
from evalsvc.project.values import Settings
from evalsvc.store.address import parse_address

FOLDERS = ("consumers", "suites", "alerts", "dashboards")
RETAINED = ("events", "scores", "dead_letters", "ledger")
API = "127.0.0.1:8400"
_SPECIFIER = re.compile(r"(>=|<=|==|!=|>|<)\s*(\d+(?:\.\d+)*)")


class Environment(msgspec.Struct, frozen=True, kw_only=True):
    """What the environment says: addresses here, secrets by the names that the operator's files give."""

    store: str = ""
    api: str = API
    variables: Mapping[str, str] = {}

    def __repr__(self) -> str:
        """Show no variable: some are secrets."""
        return f"Environment(api={self.api!r})"

    @classmethod
    def read(cls, variables: Mapping[str, str]) -> Environment:
        """Take ``EVALSVC_STORE``, ``EVALSVC_API`` and a copy of the rest.

        >>> Environment.read({"EVALSVC_STORE": "memory:"}).store
        'memory:'
        """
        store, api = variables.get("EVALSVC_STORE", ""), variables.get("EVALSVC_API", "") or API
        host_and_port(api, "EVALSVC_API")
        if store:
            parse_address(store)
        return cls(store=store, api=api, variables=dict(variables))

    def secret(self, name: str, wanted_by: str) -> str:
        """Return the variable that a file names; its absence is an error that says which file wants it."""
        value = self.variables.get(name, "")
        if not value:
            raise ConfigError(f"Expected the environment variable {name} to be set: {wanted_by} reads it")
        return value


def host_and_port(address: str, name: str) -> tuple[str, int]:
    """Return host and port of ``host:port``.

    >>> host_and_port("0.0.0.0:8400", "EVALSVC_API")
    ('0.0.0.0', 8400)
    """
    host, _, port = address.removeprefix("http://").rstrip("/").rpartition(":")
    if not host or not port.isascii() or not port.isdigit() or not 0 < int(port) < 65536:
        raise ConfigError(f"Expected {name} to be HOST:PORT, as in {API}, but got {address!r}")
    return host, int(port)


def find_root(start: Path) -> Path:
    """Return the nearest folder upwards whose pyproject.toml has ``[tool.evalsvc]``; else ``start``."""
    return next((folder for folder in (start, *start.parents) if has_settings(folder)), start)


def has_settings(folder: Path) -> bool:
    """Return whether a folder has a pyproject.toml with ``[tool.evalsvc]``, which makes it the root of a project."""
    file = folder / "pyproject.toml"
    return file.is_file() and re.search(rb"^\s*\[tool\.evalsvc[\].]", file.read_bytes(), re.MULTILINE) is not None


def read_settings(root: Path, shown: str) -> tuple[Settings, list[Problem]]:
    """Return the settings of a project; defaults where there is no file or no table."""
    file = root / "pyproject.toml"
    if not file.is_file():
        return Settings(), []
    try:
        content = file.read_bytes().decode()
        table = tomllib.loads(content).get("tool", {}).get("evalsvc", {})
    except UnicodeDecodeError:
        return Settings(), [Problem(shown, 1, 1, "expected UTF-8, but got other bytes", "save the file as UTF-8")]
    except tomllib.TOMLDecodeError as error:
        found = re.search(r"line (\d+), column (\d+)", str(error))
        line, column = (int(found[1]), int(found[2])) if found else (content.count("\n") + 1, 1)
        return Settings(), [Problem(shown, line, column, f"is not TOML: {str(error).partition(' (at')[0]}")]
    return _Table(shown, content, table).settings()


class _Table:
    """The table with its problems. TOML's reader keeps no places, so they are looked up in the text."""

    def __init__(self, shown: str, content: str, table: object) -> None:
        self.shown, self.lines, self.problems = shown, content.splitlines(), list[Problem]()
        self.table: Mapping[str, Any] = table if isinstance(table, dict) else {}

    def settings(self) -> tuple[Settings, list[Problem]]:
        known = (*FOLDERS, "store", "retention", "requires-evalsvc", "exported")
        for key in self.table:
            if key not in known:
                self.report(key, f"unknown key `{key}` in `tool.evalsvc`", did_you_mean(key, known))
        settings = Settings(
            **{folder: self.text(folder, folder, _is_folder, "a folder within the project") for folder in FOLDERS},
            store=self.store(),
            retention=self.retention(),
            requires=self.text("requires-evalsvc", "", _is_specifier, "as in >=0.1,<0.2"),
            exported=read_exported(self.table.get("exported", {}), self.report),
        )
        if settings.requires and not satisfies(__version__, settings.requires):
            self.report(
                "requires-evalsvc",
                f"expected evalsvc {settings.requires}, but this is {__version__}",
                f"pip install 'evalsvc{settings.requires}'",
            )
        return settings, self.problems

    def text(self, key: str, default: str, fits: Callable[[str], bool], what: str) -> str:
        value = self.table.get(key, default)
        if isinstance(value, str) and (value == default or fits(value)):
            return value
        self.report(key, f"expected `{key}` to be {what}, but got {value!r}")
        return default

    def store(self) -> str:
        store = self.text("store", Settings().store, bool, "a store's address")
        try:
            password = parse_address(store).password
        except ConfigError as error:
            self.report("store", str(error))
        else:
            if password:
                self.report("store", "a password does not belong in a file", "put the address into EVALSVC_STORE")
        return store

    def retention(self) -> dict[str, int]:
        table, days = self.table.get("retention", {}), dict[str, int]()
        if not isinstance(table, dict):
            self.report("retention", "expected `retention` to be a table", 'as in {events = "30d", scores = "400d"}')
            return {}
        for key, value in table.items():
            if key not in RETAINED:
                self.report(key, f"unknown key `{key}` in `tool.evalsvc.retention`", did_you_mean(key, RETAINED))
                continue
            try:
                days[key] = max(1, parse_duration(str(value)).days)
            except InputError as error:
                self.report(key, str(error))
        return days

    def report(self, key: str, message: str, hint: str = "") -> None:
        line, column = self.place(key)
        self.problems.append(Problem(self.shown, line, column, message, hint))

    def place(self, key: str) -> tuple[int, int]:
        within, start = False, (1, 1)
        for number, line in enumerate(self.lines, 1):
            if header := re.match(r"\s*\[+([^\]]*)\]", line):
                within = header[1].strip().startswith("tool.evalsvc")
                start = (number, 1) if within and start == (1, 1) else start
            elif within and (found := re.search(rf"(?<![\w-]){re.escape(key)}\"?\s*[=.]", line)):
                return number, found.start() + 1
        return start


def satisfies(version: str, specifier: str) -> bool:
    """Whether a version fits a comma-separated list of comparisons.

    >>> satisfies("0.1.0", ">=0.1,<0.2"), satisfies("0.2.0", ">=0.1,<0.2")
    (True, False)
    """
    mine = _release(version)
    tests: dict[str, Callable[[tuple[int, ...]], bool]] = {
        ">=": lambda other: mine >= other,
        "<=": lambda other: mine <= other,
        ">": lambda other: mine > other,
        "<": lambda other: mine < other,
        "==": lambda other: mine == other,
        "!=": lambda other: mine != other,
    }
    return all(tests[operator](_release(number)) for operator, number in _SPECIFIER.findall(specifier))


def _release(version: str) -> tuple[int, ...]:
    numbers = [int(part) for part in re.findall(r"\d+", version.partition("+")[0])[:3]]
    return tuple(numbers + [0] * (3 - len(numbers)))


def _is_specifier(text: str) -> bool:
    return all(_SPECIFIER.fullmatch(part.strip()) for part in text.split(","))


def _is_folder(text: str) -> bool:
    return bool(text) and not Path(text).is_absolute() and ".." not in Path(text).parts
