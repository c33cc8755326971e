"""Which models another one beats on quality, cost and latency at once: the Pareto view."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Literal, NamedTuple

from evalsvc.governance.rubric.comparison import Comparison
from evalsvc.governance.rubric.values import TOTAL, Axis, Choice, Measured, Model

AXES: Mapping[Axis, Literal["higher", "lower"]] = {"quality": "higher", "cost": "lower", "latency": "lower"}
"""Which way of each axis is better."""


class Place(NamedTuple):
    """A model on the axes, in each axis' unit.

    ``dominated_by`` are the models that are at least as good on every axis and better on one, by the estimates;
    ``surely_by`` those of them whose intervals do not overlap the model's the wrong way on any axis. ``reason`` is why
    the model can neither dominate nor be dominated: a value is missing.
    """

    values: Mapping[Axis, Measured]
    dominated_by: tuple[str, ...]
    surely_by: tuple[str, ...]
    reason: str = ""


def dominance(choice: Choice, comparison: Comparison) -> dict[str, Place]:
    """Return each model's place, by name; empty where the file names no axes."""
    if not choice.axes:
        return {}
    at = {model.name: _values(choice, comparison, model) for model in choice.models}
    lacking = {name: [axis for axis, found in values.items() if found.value is None] for name, values in at.items()}
    places = {}
    for name, values in at.items():
        if lacking[name]:
            places[name] = Place(values, (), (), f"no {' and no '.join(lacking[name])}")
            continue
        rivals = [other for other in at if other != name and not lacking[other]]
        by = tuple(other for other in rivals if _dominates(at[other], values))
        places[name] = Place(values, by, tuple(other for other in by if _surely(at[other], values)))
    return places


def _values(choice: Choice, comparison: Comparison, model: Model) -> dict[Axis, Measured]:
    found: dict[Axis, Measured] = {}
    for axis, metric in choice.axes.items():
        if metric == TOTAL:
            total = comparison.totals[model.name]
            why = f"lacks {', '.join(total.missing)}" if total.missing else ""
            found[axis] = Measured(value=total.value, low=total.low, high=total.high, source=TOTAL, reason=why)
        else:
            found[axis] = model.measured.get(metric, Measured(reason=f"{metric} was not measured"))
    return found


def _turned(axis: Axis, value: float) -> float:
    return value if AXES[axis] == "higher" else -value


def _dominates(one: Mapping[Axis, Measured], other: Mapping[Axis, Measured]) -> bool:
    leads = [_turned(axis, (one[axis].value or 0.0) - (other[axis].value or 0.0)) for axis in one]
    return min(leads) >= 0.0 and max(leads) > 0.0


def _surely(one: Mapping[Axis, Measured], other: Mapping[Axis, Measured]) -> bool:
    """Whether the worse end of one is not behind the better end of the other, on any axis."""
    for axis in one:
        ends = (one[axis].low, one[axis].high, other[axis].low, other[axis].high)
        if None in ends:
            return False
        worst = min(_turned(axis, end) for end in ends[:2] if end is not None)
        if worst < max(_turned(axis, end) for end in ends[2:] if end is not None):
            return False
    return True
