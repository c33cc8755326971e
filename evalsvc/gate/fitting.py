"""Do gates fit the cases? A gate on a field that no case has looks at nothing, or at everything as one segment.

One whose metric needs what the cases lack can show nothing, whatever the model answers.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

from evalsvc._hints import did_you_mean
from evalsvc._yaml import Document, Value, raise_problems
from evalsvc.cases import Case
from evalsvc.errors import InputError, Problem
from evalsvc.gate.evaluated import Rows, field_of, rows_where, segments_in
from evalsvc.gate.lacking import Told, lacked, untold
from evalsvc.gate.suite import Suite
from evalsvc.gate.values import Critical, GapAtMost, Gate, Robust
from evalsvc.generation import Generator
from evalsvc.types import Need, ScorerSpec

NONE = "(none)"


class Misfit(NamedTuple):
    """What a gate asks for that no case has: the gate's place in its list, and the key that says it."""

    gate: int
    key: str
    message: str
    hint: str = ""


def misfits(
    gates: Sequence[Gate],
    cases: Sequence[Case],
    specs: Mapping[str, ScorerSpec] | None = None,
    model: Generator | None = None,
) -> list[Misfit]:
    """Return, of each gate, what the cases lack: fields, values of ``where``, critical cases, variants, references.

    A field that some cases lack is none of it: those are the segment ``(none)``.

    Args:
        gates: of one suite.
        cases: all of them.
        specs: of the scorers by metric, which say what each needs.
        model: who will answer, where that is known.
    """
    known = _Values(cases)
    never: Mapping[Need, str] = getattr(model, "never_told", {})
    found = []
    for place, gate in enumerate(gates):
        told = list(_told(gate, cases, known))
        spec = (specs or {}).get(gate.metric)
        if spec and not told:
            told += [*lacked(gate, spec, cases, rows_where(cases, gate.where)), *untold(gate, spec, never)]
        found += [Misfit(place, *one) for one in told]
    return found


def check_fit(suite: Suite, cases: Sequence[Case], shown: str, model: Generator | None = None) -> None:
    """Refuse gates of a suite's file that do not fit its cases, or the model that will answer.

    Raises:
        ConfigError: with each, at its place in the file.
    """
    found = misfits(suite.gates, cases, suite.specs, model)
    if found:
        items = _items(suite.path, shown)
        raise_problems([problem_of(misfit, items, shown) for misfit in found])


def check_gate_fits(gate: Gate, cases: Sequence[Case], whose: str = "a gate") -> None:
    """Refuse one gate, or what ``whose`` words say in its form, that does not fit the cases.

    Raises:
        InputError: naming what no case has.
    """
    for misfit in misfits([gate], cases):
        hint = f" ({misfit.hint})" if misfit.hint else ""
        raise InputError(f"Expected {whose} that fits the cases, but {misfit.message}{hint}")


class _Values:
    """The values that the cases have, by field, found once."""

    def __init__(self, cases: Sequence[Case]) -> None:
        names = sorted({name for case in cases for name in case.segments})
        fields = [*(f"segments.{name}" for name in names), "group", "variant"]
        held = {field: {field_of(case, field) for case in cases} - {NONE} for field in fields}
        self.of = {field: values for field, values in held.items() if values}
        self.of_tags = {tag for case in cases for tag in case.tags}


def _told(gate: Gate, cases: Sequence[Case], known: _Values) -> Iterator[Told]:
    asked = [("by", field) for field in gate.by] + [("where", field) for field in gate.where if field != "tags"]
    if isinstance(gate.ask, GapAtMost):
        asked.append(("gap", gate.ask.field))
    lacking = [(key, field) for key, field in asked if field not in known.of]
    for key, field in lacking:
        yield key, f"no case has `{field}`", did_you_mean(field, known.of)
    values = list(_absent(gate, known))
    yield from values
    if lacking or values:
        return
    rows = rows_where(cases, gate.where)
    if not rows.size:
        yield "where", "no case has all of this", "each of the fields has to fit"
    elif isinstance(gate.ask, Robust) and not _varied(cases, [cases[row] for row in rows.tolist()]):
        yield "robust_within", "no case is a variant of another one of the set", "make some: evalsvc cases vary"
    elif isinstance(gate.ask, Critical | GapAtMost):
        yield from _undecidable(gate, cases, rows)


def _undecidable(gate: Gate, cases: Sequence[Case], rows: Rows) -> Iterator[Told]:
    """Tell that no case is critical, or of the first segment that has only one group of a gap."""
    if isinstance(gate.ask, Critical) and not any(cases[row].critical for row in rows.tolist()):
        yield "critical", "no case is marked critical", "set `critical: true` on the cases that must never fail"
    if not isinstance(gate.ask, GapAtMost):
        return
    for segment, held in (segments_in(cases, rows, gate.by) if gate.by else {"": rows}).items():
        if len({field_of(cases[row], gate.ask.field) for row in held.tolist()}) < 2:
            of = f" of `{segment}`" if segment else ""
            yield "gap", f"all cases{of} have one value of `{gate.ask.field}`", "a gap is between two"
            return


def _absent(gate: Gate, known: _Values) -> Iterator[Told]:
    for field, values in gate.where.items():
        held = known.of_tags if field == "tags" else known.of.get(field, set())
        for value in values:
            # "(none)" is what reports call cases that lack the field.
            if held and value not in held and not (value == NONE and field != "tags"):
                yield "where", f"no case has `{value}` as `{field}`", did_you_mean(value, held)
        if field == "tags" and not held:
            yield "where", "no case has tags", ""


def _varied(cases: Sequence[Case], here: Sequence[Case]) -> bool:
    wanted = {case.variant_of for case in here if case.variant}
    return bool(wanted) and any(case.digest in wanted for case in cases)


def _items(path: Path, shown: str) -> list[Value]:
    try:
        document = Document.open(path, shown)
    except (OSError, ValueError):
        return []
    gates = document.root.get("gates") if document.root is not None else None
    return gates.items() if gates else []


def problem_of(misfit: Misfit, items: Sequence[Value], shown: str) -> Problem:
    """Return a misfit at its place, among the items of the file's gates."""
    if misfit.gate >= len(items):
        return Problem(shown, 1, 1, misfit.message, misfit.hint)
    item = items[misfit.gate]
    value = item.section().get(misfit.key) or item
    mark = value.node.start_mark
    return Problem(shown, mark.line + 1, mark.column + 1, misfit.message, misfit.hint)
