"""A file as a document: what makes it unreadable, doubled keys, tags and aliases; and all of its problems."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import yaml

from evalsvc._yaml.values import CORE, Section, Value
from evalsvc.errors import ConfigError, Problem

MAX_BYTES = 1 << 20
MAX_VALUES = 20_000
_SCALARS = frozenset(CORE + kind for kind in ("str", "int", "float", "bool", "null", "timestamp", "value"))
_COLLECTIONS = frozenset({CORE + "map", CORE + "seq"})


class Document:
    """One file: its problems so far, and its ``root``, ``None`` where it could not be read at all."""

    def __init__(self, path: str, text: bytes, *, syntax_only: bool = False) -> None:
        """Read ``text``; problems are shown under ``path``. A file for another tool is only parsed."""
        self.path = path
        self.root: Section | None = None
        self._problems: set[Problem] = set()
        self._sections: list[Section] = []
        node = self._compose(text)
        if node is not None and self._check(node) and not syntax_only:
            self.root = Value(self, node, "").section()

    @classmethod
    def open(cls, path: Path, shown: str | None = None, *, syntax_only: bool = False) -> Document:
        """Read a file. One that cannot be read is a document without a root and with one problem."""
        shown = shown or str(path)
        try:
            return cls(shown, path.read_bytes(), syntax_only=syntax_only)
        except OSError as error:
            document = cls(shown, b"{}", syntax_only=True)
            document.report_at(1, 1, f"cannot be read: {error.strerror or error}", "check the path and its permissions")
            return document

    @property
    def so_far(self) -> int:
        """How many problems were reported so far."""
        return len(self._problems)

    def report_at(self, line: int, column: int, message: str, hint: str = "") -> None:
        """Keep a problem at a place, both 1-based."""
        self._problems.add(Problem(self.path, line, column, message, hint))

    def report(self, node: yaml.Node, message: str, hint: str = "") -> None:
        """Keep a problem at a node."""
        self.report_at(node.start_mark.line + 1, node.start_mark.column + 1, message, hint)

    def finish(self) -> tuple[Problem, ...]:
        """Report what nobody asked for, and return every problem in the order of the file."""
        for section in self._sections:
            section.report_unknown()
        return tuple(sorted(self._problems))

    def adopt(self, section: Section) -> None:
        """Look after a section: its unknown keys are reported by :meth:`finish`."""
        self._sections.append(section)

    def _compose(self, text: bytes) -> yaml.Node | None:
        if len(text) > MAX_BYTES:
            self.report_at(1, 1, f"expected at most {MAX_BYTES} bytes, but got {len(text)}")
            return None
        try:
            node = yaml.compose(text.decode("utf-8-sig"), Loader=yaml.SafeLoader)
        except UnicodeDecodeError as error:
            line = text.count(b"\n", 0, error.start) + 1
            self.report_at(line, 1, "expected UTF-8, but got other bytes", "save the file as UTF-8")
        except yaml.MarkedYAMLError as error:
            # A bracket that nobody closed is found out lines later: show where it was opened.
            opened = (error.context or "").startswith("while parsing a flow ")
            mark = (error.context_mark if opened else None) or error.problem_mark or error.context_mark
            message = " ".join(part for part in (error.context, error.problem) if part)
            place = (mark.line + 1, mark.column + 1) if mark else (1, 1)
            lines = text.decode("utf-8-sig").splitlines()
            there = lines[mark.line] if mark and mark.line < len(lines) else ""
            self.report_at(*place, f"is not YAML: {message}", _syntax_hint(message, there))
        except yaml.reader.ReaderError as error:
            before = text.decode("utf-8-sig")[: error.position]
            self.report_at(before.count("\n") + 1, error.position - before.rfind("\n"), "holds a control character")
        except RecursionError:
            self.report_at(1, 1, "is nested too deeply", "write it flat")
        else:
            if node is None:
                self.report_at(1, 1, "is empty", "`evalsvc init` writes one to start from")
            return node
        return None

    def _check(self, root: yaml.Node) -> bool:
        """Report duplicate keys, tags and merges; refuse what aliases blow up, cycles included."""
        waiting, seen = [root], 0
        while waiting:
            node, seen = waiting.pop(), seen + 1
            if seen > MAX_VALUES:
                self.report(root, f"holds more than {MAX_VALUES} values, aliases counted", "write it without aliases")
                return False
            if node.tag not in (_SCALARS if isinstance(node, yaml.ScalarNode) else _COLLECTIONS):
                self.report(node, f"the tag `{node.tag}` is not allowed", "write a plain value")
            if isinstance(node, yaml.MappingNode):
                self._check_keys(node)
                waiting.extend(value for _, value in node.value)
            elif isinstance(node, yaml.SequenceNode):
                waiting.extend(node.value)
        return True

    def _check_keys(self, node: yaml.MappingNode) -> None:
        first: dict[str, int] = {}
        for key, _ in node.value:
            if not isinstance(key, yaml.ScalarNode):
                self.report(
                    key,
                    "expected a key to be text, but got a collection",
                    "was a `{…}` meant to be in quotes?",
                )
            elif key.value in first:
                self.report(key, f"the key `{key.value}` is there twice", f"first on line {first[key.value]}")
            else:
                first[key.value] = key.start_mark.line + 1


def raise_problems(problems: Sequence[Problem]) -> None:
    """Raise one :class:`ConfigError` with all of them, when there are any."""
    if problems:
        ordered = sorted(problems)
        files = len({problem.path for problem in ordered})
        count = "1 problem" if len(ordered) == 1 else f"{len(ordered)} problems"
        raise ConfigError(f"{count} in {'1 file' if files == 1 else f'{files} files'}:", ordered)


def _syntax_hint(message: str, line: str) -> str:
    if "\\t" in message:
        return "YAML indents with spaces, not tabs"
    if "mapping values are not allowed" in message:
        return "a text that holds `: ` needs quotes"
    if "while parsing a flow mapping" in message and "{{" in line:
        return "a text that begins with `{{` needs quotes"
    if "that cannot start any token" in message:
        return "a text that begins so needs quotes"
    return ""
