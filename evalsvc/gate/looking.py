"""Looking at a run before it is over: in which order cases are asked, when gates are decided, and when to stop.

Groups of cases come in an order that a hash of the seed and their contents draws, so that every beginning of it is a
random sample of the set, and the order of those that were asked can be found again without the others. At each look a
gate that is settled stays so; the error rate is spent over the looks (:mod:`evalsvc.stats.spending`). Critical cases
are asked before all others: they are all looked at, and none of them is a matter of chance.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import NamedTuple

import msgspec

from evalsvc.cases import digest_of
from evalsvc.gate.deciding import decide, overall
from evalsvc.gate.evaluated import Evaluated
from evalsvc.gate.values import Critical, Gate
from evalsvc.stats.spending import Spending, nominal_levels
from evalsvc.verdicts import GateResult

FEWEST_A_LOOK = 30
"""Groups below which no look is taken: of so few, what is rare has often not been met."""
NOT_DECIDED = "not decided: the run stopped when the verdict was clear"


class Definition(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """What a verdict is decided by, beside its scores.

    ``critical`` says of a sample how many critical cases of the whole set each gate on them has, by its name; ``gone``
    of a sample, and of looks, how many of the baseline's cases the whole set has no more.
    """

    gates: tuple[Gate, ...]
    level: float
    seed: int
    looks: int
    spending: Spending
    critical: Mapping[str, int] = {}
    gone: int | None = None


class Plan(NamedTuple):
    """The rows in the order in which they are asked, how many of them each look has, and how many there are in all."""

    order: tuple[int, ...]
    ends: tuple[int, ...]
    total: int


class Looked(NamedTuple):
    """What came of it: each gate's result, and after how many cases it was clear or over."""

    results: tuple[GateResult, ...]
    stopped_at: int


def order_of(digests: Sequence[str], groups: Sequence[str], seed: int) -> tuple[int, ...]:
    """Return the rows group by group; the same for the same cases, whatever their order in the file.

    Args:
        digests: of the cases.
        groups: the cluster of each.
        seed: another seed draws another order.
    """
    held: dict[str, list[int]] = {}
    for row, group in enumerate(groups):
        held.setdefault(group, []).append(row)
    drawn = sorted(held.items(), key=lambda item: digest_of((seed, item[0])))
    return tuple(row for _, rows in drawn for row in sorted(rows, key=digests.__getitem__))


def plan(digests: Sequence[str], groups: Sequence[str], definition: Definition) -> Plan:
    """Return the order and the looks of a run: about equal steps, each of whole groups."""
    if definition.looks == 1:
        return Plan(tuple(range(len(digests))), (len(digests),), len(digests))
    order = order_of(digests, groups, definition.seed)
    keys = [groups[row] for row in order]
    whole = [place + 1 for place, key in enumerate(keys) if place + 1 == len(keys) or key != keys[place + 1]]
    steps = min(definition.looks, max(1, len(whole) // FEWEST_A_LOOK))
    ends = {whole[round(len(whole) * step / steps) - 1] for step in range(1, steps + 1)}
    return Plan(order, tuple(sorted(ends)), len(order))


def look(
    definition: Definition,
    planned: Plan,
    evaluated_at: Callable[[Sequence[int]], Evaluated],
    critical: Sequence[int],
    baseline: Evaluated | None,
) -> Looked:
    """Ask, score and decide look by look; ``evaluated_at`` returns the scores of the rows that it is given.

    ``critical`` are the rows of critical cases.
    """
    single = len(planned.ends) == 1
    settled = {} if single else _critical(definition, evaluated_at, critical)
    gates = [gate for gate in definition.gates if gate.name not in settled]
    end = 0
    for number, end in enumerate(planned.ends):
        rows = planned.order[:end]
        for result in _decided(definition, planned, number, gates, evaluated_at(rows), baseline):
            before = settled.get(result.gate)
            if before is None or before.decision == "INCONCLUSIVE":
                at = number + 1 if not single and result.decision != "INCONCLUSIVE" else 0
                settled[result.gate] = msgspec.structs.replace(result, settled_at=at)
        if overall(list(settled.values())) != "INCONCLUSIVE":
            break
    results = tuple(_all_critical(settled[gate.name], definition) for gate in definition.gates)
    return Looked(results if end == planned.total else tuple(map(_left_open, results)), end)


def _all_critical(result: GateResult, definition: Definition) -> GateResult:
    """Return a result that passes only where every critical case was asked: a sample says nothing of the others."""
    total, asked = definition.critical.get(result.gate, 0), sum(finding.n for finding in result.findings)
    if asked >= total or result.decision == "FAIL":
        return result
    said = f"{total - asked:,} of {total:,} critical cases were not asked; without `--sample` all of them are"
    finding = msgspec.structs.replace(result.findings[0], decision="INCONCLUSIVE", reason=said, lacking=True)
    return msgspec.structs.replace(result, decision="INCONCLUSIVE", findings=(finding,))


def _left_open(result: GateResult) -> GateResult:
    """Return a result that says of what is open that the run did not go on, instead of how many cases it needs."""
    findings = tuple(
        msgspec.structs.replace(one, needed=None, reason=NOT_DECIDED) if one.decision == "INCONCLUSIVE" else one
        for one in result.findings
    )
    return msgspec.structs.replace(result, findings=findings)


def _critical(
    definition: Definition, evaluated_at: Callable[[Sequence[int]], Evaluated], rows: Sequence[int]
) -> dict[str, GateResult]:
    gates = [gate for gate in definition.gates if isinstance(gate.ask, Critical)]
    if not gates or not rows:
        return {}
    found = decide(gates, evaluated_at(rows), None, level=definition.level)
    return {result.gate: msgspec.structs.replace(result, settled_at=1) for result in found}


def _decided(
    definition: Definition,
    planned: Plan,
    number: int,
    gates: Sequence[Gate],
    evaluated: Evaluated,
    baseline: Evaluated | None,
) -> list[GateResult]:
    if len(planned.ends) == 1:
        return decide(gates, evaluated, baseline, level=definition.level, seed=definition.seed)
    shares = [end / planned.total for end in planned.ends]
    return decide(
        gates,
        evaluated,
        baseline,
        level=nominal_levels(shares, definition.level, definition.spending)[number],
        seed=definition.seed,
        # Of m findings each spends its part of the error rate over the looks.
        fail_level=lambda m: m * nominal_levels(shares, definition.level / m, definition.spending)[number],
    )
