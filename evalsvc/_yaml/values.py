"""A value and a mapping of a document: asked for with a type and bounds, reported where they do not fit."""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Iterator, Sequence
from typing import TYPE_CHECKING, Any, TypeVar

import yaml

from evalsvc._hints import comma_as_point, did_you_mean, nearest, within_a_line

if TYPE_CHECKING:
    from evalsvc._yaml.document import Document

N = TypeVar("N", int, float)

CORE = "tag:yaml.org,2002:"
_TRUTHS = {"true": True, "yes": True, "on": True, "false": False, "no": False, "off": False}


class Value:
    """One value, with its name (``sampling.rates[0].rate``). Where it is wrong, reading gives the default."""

    def __init__(self, document: Document, node: yaml.Node, name: str) -> None:
        """Wrap ``node``."""
        self.document, self.node, self.name = document, node, name

    def problem(self, message: str, hint: str = "") -> None:
        """Report a problem here; what another part of evalsvc said of the value is fitted to the line."""
        self.document.report(self.node, within_a_line(message), hint)

    def expected(self, what: str, hint: str = "", *, secret: bool = False) -> None:
        """Report that something else was expected; ``secret`` leaves out what came."""
        name = f"`{self.name}` to be " if self.name else ""
        self.problem(f"expected {name}{what}, but got {'something else' if secret else self.shown}", hint)

    @property
    def shown(self) -> str:
        """The value in a message: short, and naming a collection only by its kind."""
        if isinstance(self.node, yaml.MappingNode):
            return "a mapping"
        if isinstance(self.node, yaml.SequenceNode):
            return "a list"
        if self.is_null:
            return "nothing"
        text = str(self.node.value)
        return repr(text if len(text) <= 40 else text[:37] + "...") if self._quoted else text[:40]

    @property
    def is_null(self) -> bool:
        """Whether the value is left out or null."""
        return self.node.tag == CORE + "null"

    @property
    def is_mapping(self) -> bool:
        """Whether it is a mapping."""
        return isinstance(self.node, yaml.MappingNode)

    @property
    def is_list(self) -> bool:
        """Whether it is a list."""
        return isinstance(self.node, yaml.SequenceNode)

    @property
    def is_scalar(self) -> bool:
        """Whether it is neither a mapping nor a list."""
        return isinstance(self.node, yaml.ScalarNode)

    @property
    def _quoted(self) -> bool:
        return isinstance(self.node, yaml.ScalarNode) and self.node.style in ("'", '"')

    def text(
        self,
        default: str = "",
        *,
        choices: Sequence[str] = (),
        pattern: str = "",
        what: str = "text",
        secret: bool = False,
    ) -> str:
        """Return the scalar as it is written; optionally one of ``choices``, or all of a ``pattern``."""
        if not isinstance(self.node, yaml.ScalarNode) or self.is_null or self.node.value == "":
            self.expected(f"one of {', '.join(choices)}" if choices else what)
            return default
        text = str(self.node.value)
        if choices and text not in choices:
            self.expected(f"one of {', '.join(choices)}", nearest(text, choices))
            return default
        if pattern and not re.fullmatch(pattern, text):
            self.expected(what, secret=secret)
            return default
        return text

    def number(
        self,
        default: float = 0.0,
        *,
        above: float = -math.inf,
        low: float = -math.inf,
        high: float = math.inf,
        hint: str = "",
    ) -> float:
        """Return a finite number greater than ``above``, at least ``low`` and at most ``high``; else tell ``hint``."""
        value = self._parsed(float)
        if value is None or not math.isfinite(value) or not (above < value and low <= value <= high):
            self.expected(_range_text("a number", above, low, high), hint or self._number_hint)
            return default
        return value

    @property
    def _number_hint(self) -> str:
        percent = re.fullmatch(r"([+-]?\d+(?:\.\d+)?)\s*%", str(self.node.value)) if self.is_scalar else None
        if percent:
            return f"write {float(percent[1]) / 100:.12g}"
        return "remove the quotes" if self._quoted else comma_as_point(self.node.value)

    def integer(self, default: int = 0, *, low: float = -math.inf, high: float = math.inf) -> int:
        """Return a whole number in [low, high]."""
        value = self._parsed(int)
        if value is None or not low <= value <= high:
            hint = "remove the quotes" if self._quoted else ""
            self.expected(_range_text("a whole number", -math.inf, low, high), hint)
            return default
        return value

    def flag(self, default: bool = False) -> bool:
        """Return true or false."""
        truth = (
            None if self._quoted or not isinstance(self.node, yaml.ScalarNode) else _TRUTHS.get(self.node.value.lower())
        )
        if truth is None:
            self.expected("true or false")
        return default if truth is None else truth

    def items(self) -> list[Value]:
        """Return the values of a list."""
        if not isinstance(self.node, yaml.SequenceNode):
            self.expected("a list", "" if self.is_null else "write [a, b], or a line each that starts with `- `")
            return []
        return [Value(self.document, node, f"{self.name}[{i}]") for i, node in enumerate(self.node.value)]

    def texts(self, *, pattern: str = "", what: str = "text") -> tuple[str, ...]:
        """Return a list of texts; one text alone is a list of one."""
        values = [self] if isinstance(self.node, yaml.ScalarNode) and not self.is_null else self.items()
        return tuple(value.text(pattern=pattern, what=what) for value in values)

    def section(self) -> Section:
        """Return a mapping, whose keys will be checked; an empty one, silent, where it is none."""
        if not isinstance(self.node, yaml.MappingNode):
            self.expected("a mapping", "write `key: value` lines below it")
            return Section(self)
        section = Section(self)
        self.document.adopt(section)
        return section

    def plain(self) -> Any:  # noqa: ANN401 - whatever JSON holds
        """Return it as Python values, for options that go to code of their own."""
        if isinstance(self.node, yaml.MappingNode):
            return {key: value.plain() for key, value in Section(self)}
        if isinstance(self.node, yaml.SequenceNode):
            return [value.plain() for value in self.items()]
        if self.is_null or self._quoted:
            return None if self.is_null else self.node.value
        if self.node.tag == CORE + "bool":
            return _TRUTHS[self.node.value.lower()]
        whole, number = self._parsed(int), self._parsed(float)
        if whole is not None:
            return whole
        return self.node.value if number is None or not math.isfinite(number) else number

    def _parsed(self, kind: Callable[[str], N]) -> N | None:
        if not isinstance(self.node, yaml.ScalarNode) or self._quoted or not self.node.value.isascii():
            return None
        try:
            return kind(self.node.value)
        except ValueError:
            return None


class Section:
    """A mapping. Each key that is asked for is known; the others are reported at the document's end."""

    def __init__(self, value: Value) -> None:
        """Wrap a mapping."""
        self.value = value
        self._values: dict[str, Value] = {}
        self._keys: dict[str, yaml.Node] = {}
        self._asked: set[str] = set()
        for key, node in value.node.value if value.is_mapping else ():
            if isinstance(key, yaml.ScalarNode):
                name = f"{value.name}.{key.value}" if value.name else key.value
                self._values[key.value] = Value(value.document, node, name)
                self._keys[key.value] = key

    def __iter__(self) -> Iterator[tuple[str, Value]]:
        """Yield every (key, value): these keys are the operator's own names, so none is unknown."""
        self._asked.update(self._values)
        return iter(self._values.items())

    def __contains__(self, key: str) -> bool:
        """Whether a key is there, with a value or without. Does not make it known."""
        return key in self._values

    @property
    def keys(self) -> tuple[str, ...]:
        """Every key. Does not make them known."""
        return tuple(self._values)

    def get(self, key: str) -> Value | None:
        """Return the value of a known key; ``None`` when it is absent."""
        self._asked.add(key)
        return self._values.get(key)

    def need(self, key: str, hint: str = "") -> Value | None:
        """Return the value of a key that must be there."""
        value = self.get(key)
        if value is None and self.value.is_mapping:
            self.value.problem(f"expected the key `{key}`{self._within}, but it is missing", hint)
        return value

    def key_problem(self, key: str, message: str, hint: str = "") -> None:
        """Report a problem at a key."""
        self.value.document.report(self._keys.get(key, self.value.node), message, hint)

    def exactly_one(self, keys: Sequence[str], hint: str = "") -> str | None:
        """Return which one of these keys is there; report when none is, or several are."""
        self._asked.update(keys)
        present = [key for key in keys if key in self._values]
        if len(present) == 1:
            return present[0]
        if self.value.is_mapping:
            came = " and ".join(f"`{key}`" for key in present) or "none"
            wanted = ", ".join(f"`{key}`" for key in keys)
            self.value.problem(f"expected exactly one of {wanted}{self._within}, but got {came}", hint)
        return None

    def __len__(self) -> int:
        """How many keys there are."""
        return len(self._values)

    def report_unknown(self) -> None:
        """Report the keys that nobody asked for."""
        for key in self._values:
            if key not in self._asked:
                # All of them: which key was meant is the question, and a section has no more than some dozens.
                known = did_you_mean(key, self._asked, most=len(self._asked))
                hint = "merge keys are not read; write the keys out" if key == "<<" else known
                if key.isdigit() and key.isascii() and self._values[key].is_null:
                    # `{at_least: 0,8}` has two keys.
                    hint = f"a comma ends a number: write it with a point, as in 0.{key}"
                self.key_problem(key, f"unknown key `{key}`{self._within}", hint)

    @property
    def _within(self) -> str:
        return f" in `{self.value.name}`" if self.value.name else ""


def _range_text(what: str, above: float, low: float, high: float) -> str:
    if low > -math.inf and high < math.inf:
        return f"{what} from {low:.12g} to {high:.12g}"
    parts = [f"above {above:.12g}"] if above > -math.inf else [f"of {low:.12g} or more"] if low > -math.inf else []
    parts += [f"at most {high:.12g}"] if high < math.inf else []
    return f"{what} {' and '.join(parts)}".rstrip()
