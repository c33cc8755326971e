"""A rubric, the models that it compares, what was measured and said of them, and what was decided: frozen values."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import date
from typing import Literal, NamedTuple

import msgspec

from evalsvc.errors import InputError
from evalsvc.governance.rubric.maps import ScoreMap

LOWEST, HIGHEST = 1.0, 5.0
"""The scores' scale; more is better."""

Weighting = Literal["categories", "criteria"]
Axis = Literal["quality", "cost", "latency"]
TOTAL = "total"
"""The axis ``quality`` of the Pareto view where no metric is named: the rubric's own total."""


class Criterion(NamedTuple):
    """One question of a rubric. ``weight`` > 0 counts in the same unit as its category's."""

    name: str
    title: str
    weight: float


class Category(NamedTuple):
    """Criteria that belong together. ``weight`` > 0 is relative to the other categories'."""

    name: str
    title: str
    weight: float
    criteria: tuple[Criterion, ...]


class Rubric(msgspec.Struct, frozen=True):
    """Categories and how their criteria count.

    ``weighting`` is ``categories``: a category is the plain mean of its criteria, and the total weighs categories; or
    ``criteria``: within a category its criteria count by their own weights.
    """

    categories: tuple[Category, ...]
    weighting: Weighting = "categories"

    def __post_init__(self) -> None:
        """Refuse a rubric without criteria, a name twice, and weights that are not above 0."""
        names = [name for category in self.categories for name in (category.name, *(c.name for c in category.criteria))]
        if not self.categories or not all(category.criteria for category in self.categories):
            raise InputError("Expected a rubric with at least one category, each with at least one criterion")
        if len(set(names)) < len(names):
            raise InputError(
                "Expected categories and criteria of a rubric to have names of their own; one is there twice"
            )
        weights = [w for category in self.categories for w in (category.weight, *(c.weight for c in category.criteria))]
        if not all(0.0 < weight < float("inf") for weight in weights):
            raise InputError("Expected every weight of a rubric to be finite and above 0")

    @property
    def criteria(self) -> tuple[Criterion, ...]:
        """Every criterion, in the rubric's order."""
        return tuple(criterion for category in self.categories for criterion in category.criteria)

    @property
    def category_shares(self) -> dict[str, float]:
        """Each category's share of the total, by name; they add to 1."""
        whole = sum(category.weight for category in self.categories)
        return {category.name: category.weight / whole for category in self.categories}

    def within(self, category: Category) -> dict[str, float]:
        """Return each criterion's share of its category, by name; they add to 1."""
        if self.weighting == "categories":
            return {criterion.name: 1.0 / len(category.criteria) for criterion in category.criteria}
        whole = sum(criterion.weight for criterion in category.criteria)
        return {criterion.name: criterion.weight / whole for criterion in category.criteria}

    @property
    def shares(self) -> dict[str, float]:
        """Each criterion's share of the total, by name; they add to 1."""
        of = self.category_shares
        return {
            name: of[category.name] * share
            for category in self.categories
            for name, share in self.within(category).items()
        }


class Measure(NamedTuple):
    """How a criterion is scored from a metric; one map for all models, or their scores could not be compared."""

    metric: str
    map: ScoreMap


class Measured(msgspec.Struct, frozen=True, kw_only=True):
    """What was measured of one metric of one model, in the metric's unit.

    Attributes:
        value: None where it is undefined, and ``reason`` says why.
        low: the interval's lower end at the choice's confidence; equal to the value where it is known exactly.
        high: its upper end.
        n: how many cases it rests on; None where nobody said.
        source: the file, or what the operator named.
        reason: why there is no value.
        note: what to know beside the interval.
    """

    value: float | None = None
    low: float | None = None
    high: float | None = None
    n: int | None = None
    source: str = ""
    reason: str = ""
    note: str = ""


class Opinion(NamedTuple):
    """One named person's score of one criterion, in [1, 5], with what it rests on."""

    by: str
    at: date
    score: float
    evidence: str


class Model(msgspec.Struct, frozen=True, kw_only=True):
    """A model that may be chosen.

    Attributes:
        name: as in the file.
        measured: what was measured, by metric.
        opinions: what people said, by criterion.
        speaks_for: sentences, the operator's.
        speaks_against: likewise.
    """

    name: str
    measured: Mapping[str, Measured] = {}
    opinions: Mapping[str, tuple[Opinion, ...]] = {}
    speaks_for: tuple[str, ...] = ()
    speaks_against: tuple[str, ...] = ()


class Decision(NamedTuple):
    """What a named person chose, and why."""

    chosen: str
    by: str
    at: date
    because: str


class Choice(msgspec.Struct, frozen=True, kw_only=True):
    """A ``*.rubric.yaml``: what is asked, of which models, and what was decided.

    Attributes:
        title: what is chosen, for whom.
        at: the date of the comparison.
        rubric: the weights.
        models: two or more, in the file's order.
        measures: by criterion.
        axes: of the Pareto view, the metric of each; ``quality`` may be :data:`TOTAL`.
        confidence: of every interval, in (0, 1).
        decision: None until somebody decided.
        path: the file, as it is shown.
    """

    title: str
    at: date
    rubric: Rubric
    models: tuple[Model, ...]
    measures: Mapping[str, Measure] = {}
    axes: Mapping[Axis, str] = {}
    confidence: float = 0.95
    decision: Decision | None = None
    path: str = ""
