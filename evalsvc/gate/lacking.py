"""What a gate's metric needs and cases, or the answers of a model, are known not to have before anything is asked."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import NamedTuple

from evalsvc.cases import Case
from evalsvc.gate.evaluated import OF_THE_CASE, Rows, segments_in
from evalsvc.gate.findings import MOST_TO_ALLOW, percent_above
from evalsvc.gate.values import Critical, Gate, Robust
from evalsvc.types import Need, ScorerSpec

Told = tuple[str, str, str]
"""The key of a gate, what is wrong with it, and what to do."""


class _Part(NamedTuple):
    """Cases that a gate looks at together: how many, and which of their rows lack what its metric needs."""

    segment: str
    size: int
    lacking: tuple[int, ...]

    @property
    def share(self) -> float:
        return len(self.lacking) / self.size if self.size else 0.0


def lacked(gate: Gate, spec: ScorerSpec, cases: Sequence[Case], rows: Rows) -> Iterator[Told]:
    """Tell of a gate that it cannot pass, whatever is answered, since too many cases lack what its metric needs.

    Args:
        gate: as it was read.
        spec: of its metric's scorer.
        cases: all of them.
        rows: of those that the gate looks at.
    """
    short: dict[Need, set[int]] = {
        need: {row for row in rows.tolist() if not getattr(cases[row], need)}
        for need in OF_THE_CASE
        if need in spec.needs
    }
    gone = set[int]().union(*short.values())
    if not gone:
        return
    parts = [
        _Part(segment, len(held), tuple(row for row in held if row in gone))
        for segment, held in _parts(gate, cases, rows).items()
    ]
    # What decides nothing may show the scores that there are.
    found = [part for part in parts if part.share > _most(gate) and (part.share == 1.0 or not gate.advisory)]
    if found:
        worst = max(found, key=lambda part: part.share)
        missing = [need for need, lacking in short.items() if not lacking.isdisjoint(worst.lacking)]
        yield "metric", _message(gate, worst, missing, len(found) - 1), _hint(gate, worst, missing)


def untold(gate: Gate, spec: ScorerSpec, never: Mapping[Need, str]) -> Iterator[Told]:
    """Tell of a gate that its metric needs what no answer has; ``never`` says of each such need what to do."""
    for need in spec.needs:
        if need in never:
            said = f"the gate `{gate.name}` cannot be decided: no answer of this model tells `{need}`"
            yield "metric", said + ("" if need == gate.metric else f", which {gate.metric} needs"), never[need]
            return


def _most(gate: Gate) -> float:
    return 0.0 if isinstance(gate.ask, Critical) else gate.max_missing


def _parts(gate: Gate, cases: Sequence[Case], rows: Rows) -> dict[str, list[int]]:
    """Return the rows of each segment by its name; '' is all of them."""
    if isinstance(gate.ask, Critical):
        return {"": [row for row in rows.tolist() if cases[row].critical]}
    if isinstance(gate.ask, Robust):
        known, kinds = {case.digest for case in cases}, dict[str, list[int]]()
        for row in rows.tolist():
            if cases[row].variant and cases[row].variant_of in known:
                kinds.setdefault(f"variant={cases[row].variant}", []).append(row)
        return kinds
    if not gate.by:
        return {"": rows.tolist()}
    return {name: held.tolist() for name, held in segments_in(cases, rows, gate.by).items()}


def _message(gate: Gate, part: _Part, missing: Sequence[Need], others: int) -> str:
    whose = "critical cases" if isinstance(gate.ask, Critical) else "cases"
    whose += f" of `{part.segment}`" if part.segment else ""
    named = " or ".join(f"`{need}`" for need in missing)
    has = "has" if len(part.lacking) == 1 else "have"
    told = f"{len(part.lacking):,} of {part.size:,} {whose} {has} no {named}, which {gate.metric} needs"
    if part.share == 1.0:
        can = "be decided"
    else:
        can, most = "pass", _most(gate)
        told += f", and {f'at most {100.0 * most:.3g}%' if most else 'none'} may lack a score"
    told += f"; {others:,} more of its segments {'lacks' if others == 1 else 'lack'} it too" if others else ""
    return f"the gate `{gate.name}` cannot {can}: {told}"


def _hint(gate: Gate, part: _Part, missing: Sequence[Need]) -> str:
    add = f"add {'it' if len(missing) == 1 else 'them'} to these cases"
    if part.share == 1.0 and not part.segment:
        return f"{add}, or gate a metric that does without"
    if part.share > MOST_TO_ALLOW or isinstance(gate.ask, Critical):
        return f"{add}, or leave them out by `where`"
    return f"{add}, leave them out by `where`, or allow it by `max_missing: {percent_above(part.share)}%`"
