"""What is wrong with a suite beyond its own file: the cases, the model and the baseline that it names.

Whatever the file's other mistakes, so that one round tells them all. What depends on a mistake is not looked at.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import NamedTuple

from evalsvc import project, scorers
from evalsvc._yaml import Document, Value
from evalsvc.errors import ConfigError, EvalsvcError, Problem
from evalsvc.gate.comparing import compared_with
from evalsvc.gate.fitting import Misfit, misfits, problem_of
from evalsvc.gate.suite import Suite
from evalsvc.generation import CallableModel, CommandModel, RecordedAnswers


def problems_of(
    document: Document,
    suite: Suite | None,
    shown: str,
    *,
    asks: bool = True,
    compares: bool = True,
    installed: bool = True,
) -> list[Problem]:
    """Return every mistake of a suite's file, and of what it names.

    Args:
        document: the file.
        suite: what was read of it.
        shown: the name that mistakes are told under.
        asks: whether its model is looked at.
        compares: whether its baseline is.
        installed: whether packages of this machine are looked at for the model; without, only files.
    """
    found = list(document.finish())
    if suite is None or document.root is None:
        return found
    beyond = _Beyond(document, suite, shown, tuple(found), asks)
    checks: list[tuple[str, Callable[[Value], object]]] = [("cases", beyond.cases)]
    if asks:
        checks.append(("model", lambda value: beyond.model(value, installed)))
    if compares and suite.compares:
        checks.append(("baseline", beyond.baseline))
    for key, check in checks:
        value = document.root.get(key)
        if value is not None and beyond.is_sound(value):
            found += _told(check, value, shown)
    return sorted(set(found))


def _told(check: Callable[[Value], object], value: Value, shown: str) -> Sequence[Problem]:
    try:
        check(value)
    except ConfigError as error:
        return error.problems or [_at(value, shown, str(error))]
    except EvalsvcError as error:
        return [_at(value, shown, str(error))]
    return ()


def _at(value: Value, shown: str, message: str, hint: str = "") -> Problem:
    mark = value.node.start_mark
    return Problem(shown, mark.line + 1, mark.column + 1, message, hint)


class _Beyond(NamedTuple):
    """A suite, what is wrong with its own file, and whether its model is looked at."""

    document: Document
    suite: Suite
    shown: str
    wrong: tuple[Problem, ...]
    asks: bool

    def is_sound(self, value: Value) -> bool:
        """Whether nothing is wrong within a value."""
        begin, end = value.node.start_mark, value.node.end_mark
        first, last = (begin.line + 1, begin.column + 1), (end.line + 1, end.column + 1)
        return not any(first <= (one.line, one.column) < last for one in self.wrong)

    def cases(self, value: Value) -> None:
        """Read the cases, and hold the gates that were read against them."""
        held = self.suite.cases.read().cases
        gates = self.document.root.get("gates") if self.document.root is not None else None
        items = gates.items() if gates else []
        # Of a gate that could not be read there is none in the suite: the others are told apart by their places.
        known = {place: gate for gate, place in zip(self.suite.gates, self.suite.places, strict=True)}
        sound = [place for place in known if self.is_sound(items[place])]
        model = self.suite.model if self.asks else None
        found = [
            problem_of(Misfit(sound[misfit.gate], misfit.key, misfit.message, misfit.hint), items, self.shown)
            for misfit in misfits([known[place] for place in sound], held, self.suite.specs, model)
        ]
        if found:
            raise ConfigError("gates that do not fit the cases", found)

    def model(self, value: Value, installed: bool) -> None:
        """Read what answers, as far as that runs nothing."""
        model = self.suite.model
        if isinstance(model, RecordedAnswers):
            model.load()
        mistake = model.mistake(installed=installed) if isinstance(model, CallableModel | CommandModel) else None
        if mistake is None:
            return
        if mistake.file is None:
            raise ConfigError("", [_at(self._named(value), self.shown, *mistake[:2])])
        place = project.shown(mistake.file), mistake.line, mistake.column
        raise ConfigError("", [Problem(*place, mistake.message, mistake.hint)])

    @staticmethod
    def _named(value: Value) -> Value:
        section = value.section()
        return section.get("callable") or section.get("command") or value

    def baseline(self, value: Value) -> None:
        """Read the baseline, and hold its scorers against the suite's."""
        work = [scorers.create(one.name, one.options) for one in self.suite.scorers]
        compared_with(self.suite, self.shown, work, loaded=False)
