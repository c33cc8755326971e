"""Every criterion of every model as a score of 1 to 5 with its interval, or as missing with a reason.

A *measured* score is its metric through the criterion's map, interval and all. A score by *people* is their mean. How
far one person's score is off is not known from one score. It is assumed to be up to a point either way, each equally
likely (a standard deviation of 1/√3), with the weight of :data:`ASSUMED_DEGREES` degrees of freedom, and what is seen
where several people scored the same (the spread within, pooled over all models and criteria) is pooled with that: two
people who agree once do not make everybody certain. The report says what was assumed and what was seen.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Literal, NamedTuple

import msgspec
import numpy as np
import numpy.typing as npt

from evalsvc.errors import InputError
from evalsvc.governance.rubric.values import HIGHEST, LOWEST, Choice, Measured, Model, Opinion
from evalsvc.stats.agreement import Agreement, krippendorff_alpha
from evalsvc.stats.distributions import normal_quantile, t_quantile, two_sided

Floats = npt.NDArray[np.float64]

ASSUMED_SD = 1.0 / math.sqrt(3.0)
"""The standard deviation that one person's score is assumed to have, in points."""

ASSUMED_DEGREES = 4
"""For how many degrees of freedom the assumption counts: of more that are seen, what is seen decides."""


class RaterSpread(NamedTuple):
    """How far one person's score is off: a standard deviation in points, its degrees of freedom, how it is known."""

    sd: float
    degrees: float
    source: str


class CriterionScore(msgspec.Struct, frozen=True, kw_only=True):
    """One criterion of one model.

    Attributes:
        kind: measured, people, or missing.
        value: the score in [1, 5], more is better; None where missing.
        low: the interval's lower end, in [1, 5].
        high: its upper end.
        said: what it was made from, in words.
        evidence: files and links, one each.
        reason: why it is missing.
        metric: what was measured, where it was.
        opinions: what people said, where they did.
        error: the standard deviation of the people's mean, in points; 0 where measured.
    """

    kind: Literal["measured", "people", "missing"]
    value: float | None = None
    low: float | None = None
    high: float | None = None
    said: str = ""
    evidence: tuple[str, ...] = ()
    reason: str = ""
    metric: Measured | None = None
    opinions: tuple[Opinion, ...] = ()
    error: float = 0.0


class Sheet(msgspec.Struct, frozen=True):
    """All scores: by model, by criterion. ``agreement`` is of the people, None where no two scored the same."""

    choice: Choice
    scores: Mapping[str, Mapping[str, CriterionScore]]
    spread: RaterSpread
    agreement: Agreement | None

    def missing(self, model: str) -> tuple[str, ...]:
        """Return the criteria of a model that have no score, in the rubric's order."""
        return tuple(c.name for c in self.choice.rubric.criteria if self.scores[model][c.name].value is None)


def score_sheet(choice: Choice) -> Sheet:
    """Score every criterion of every model of a choice."""
    spread = _rater_spread(choice)
    scores = {
        model.name: {c.name: _score(choice, model, c.name, spread) for c in choice.rubric.criteria}
        for model in choice.models
    }
    return Sheet(choice, scores, spread, _agreement(choice))


def drawn(
    sheet: Sheet, model: str, criterion: str, generator: np.random.Generator, size: int, metrics: dict[str, Floats]
) -> Floats:
    """Return draws of a score that is there, as its interval says.

    ``metrics`` holds what was drawn of the model's metrics already, and is added to: criteria that are scored from one
    metric are scored from the same draws of it.

    A metric is drawn from a normal distribution whose halves have the widths of the interval's two sides, so that its
    ends are the quantiles that they are meant to be, and then goes through the map; people's mean is drawn from
    Student's t.
    """
    score, choice = sheet.scores[model][criterion], sheet.choice
    if score.kind == "people":
        moved = generator.standard_t(sheet.spread.degrees, size)
        return np.clip((score.value or 0.0) + score.error * moved, LOWEST, HIGHEST)
    metric = score.metric
    if metric is None or metric.value is None or metric.low is None or metric.high is None:
        raise InputError(f"Expected a score of {criterion!r} to draw, but it is missing")
    measure = choice.measures[criterion]
    if measure.metric not in metrics:
        normal = generator.standard_normal(size) / normal_quantile(two_sided(choice.confidence))
        sides = np.where(normal < 0.0, metric.value - metric.low, metric.high - metric.value)
        metrics[measure.metric] = metric.value + normal * sides
    return measure.map.many(metrics[measure.metric])


def _score(choice: Choice, model: Model, criterion: str, spread: RaterSpread) -> CriterionScore:
    if opinions := model.opinions.get(criterion):
        return _by_people(opinions, spread, choice.confidence)
    measure = choice.measures.get(criterion)
    if measure is None:
        return CriterionScore(kind="missing", reason="nobody scored it, and no metric is named for it")
    found = model.measured.get(measure.metric)
    if found is None:
        return CriterionScore(kind="missing", reason=f"{measure.metric} was not measured")
    if found.value is None or found.low is None or found.high is None:
        why = found.reason or "it has no interval"
        return CriterionScore(kind="missing", reason=f"{measure.metric} in {found.source}: {why}")
    low, high = measure.map.interval(found.low, found.high)
    cases = "" if found.n is None else f", n = {found.n:,}"
    cases += f" ({found.note})" if found.note else ""
    return CriterionScore(
        kind="measured",
        value=measure.map(found.value),
        low=low,
        high=high,
        said=f"{measure.metric} {found.value:.4g} [{found.low:.4g}, {found.high:.4g}]{cases}; {measure.map}",
        evidence=(found.source,),
        metric=found,
    )


def _by_people(opinions: tuple[Opinion, ...], spread: RaterSpread, confidence: float) -> CriterionScore:
    given = [opinion.score for opinion in opinions]
    mean, error = math.fsum(given) / len(given), spread.sd / math.sqrt(len(given))
    half = error * t_quantile(two_sided(confidence), spread.degrees)
    return CriterionScore(
        kind="people",
        value=mean,
        low=max(LOWEST, mean - half),
        high=min(HIGHEST, mean + half),
        said=_said(opinions),
        evidence=tuple(opinion.evidence for opinion in opinions),
        opinions=opinions,
        error=error,
    )


def _said(opinions: tuple[Opinion, ...]) -> str:
    each = ", ".join(f"{opinion.by} {opinion.score:.3g} ({opinion.at})" for opinion in opinions)
    if len(opinions) == 1:
        return each
    given = np.array([opinion.score for opinion in opinions])
    return f"{each}; standard deviation {given.std(ddof=1):.2g}, from {given.min():.3g} to {given.max():.3g}"


def _rater_spread(choice: Choice) -> RaterSpread:
    squares, degrees = 0.0, 0
    for model in choice.models:
        for opinions in model.opinions.values():
            given = np.array([opinion.score for opinion in opinions])
            squares += float(((given - given.mean()) ** 2).sum()) if len(given) else 0.0
            degrees += max(0, len(given) - 1)
    sd = math.sqrt((squares + ASSUMED_DEGREES * ASSUMED_SD**2) / (degrees + ASSUMED_DEGREES))
    assumed = f"assumed: {ASSUMED_SD:.2f}, with the weight of {ASSUMED_DEGREES} degrees of freedom"
    if not degrees:
        return RaterSpread(sd, float(ASSUMED_DEGREES), f"{assumed}; nobody scored what another one did")
    freedom = "1 degree" if degrees == 1 else f"{degrees} degrees"
    seen = f"seen where several scored the same: {math.sqrt(squares / degrees):.2f}, with {freedom} of freedom"
    return RaterSpread(sd, float(degrees + ASSUMED_DEGREES), f"{seen}; {assumed}")


def _agreement(choice: Choice) -> Agreement | None:
    """Return Krippendorff's α at interval level; an item is a criterion of a model."""
    panels = [opinions for model in choice.models for opinions in model.opinions.values()]
    people = sorted({opinion.by for opinions in panels for opinion in opinions})
    if not any(len(opinions) > 1 for opinions in panels):
        return None
    table = np.full((len(panels), len(people)), math.nan)
    for row, opinions in enumerate(panels):
        for opinion in opinions:
            table[row, people.index(opinion.by)] = opinion.score
    return krippendorff_alpha(table, level="interval", confidence=choice.confidence)
