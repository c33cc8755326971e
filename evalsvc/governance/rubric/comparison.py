"""Totals with intervals, differences of models, who leads, and the chance that each model is the best.

Intervals of totals and differences are made by MOVER (Zou & Donner 2008) from those of the criteria: around the total
T = Σ w·s the lower end is T - √Σ (w·(s - l))², and likewise above. Criteria that are scored from one metric are one
term of that sum, since it is one number that is off. Otherwise scores of different criteria and models are taken as
independent: of models that were measured on the same cases this makes differences look less certain than they are. A
criterion that is missing gives bounds, [its score 1, its score 5], and is never a number.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Literal, NamedTuple

import msgspec
import numpy as np
import numpy.typing as npt

from evalsvc.errors import InputError
from evalsvc.governance.rubric.scoring import CriterionScore, Sheet, drawn
from evalsvc.governance.rubric.values import HIGHEST, LOWEST

Floats = npt.NDArray[np.float64]

DRAWS = 20_000
SEED = 7
LEVEL = 0.005
"""Totals that are closer than that share a place: reports say them to hundredths."""


class Total(msgspec.Struct, frozen=True, kw_only=True):
    """A model's total, in [1, 5], more is better.

    Attributes:
        value: None where a criterion is missing.
        low: the interval's lower end; where criteria are missing, with each of them at 1.
        high: its upper end; where criteria are missing, with each of them at 5.
        least: the total with what is missing at 1, without its interval; the value where nothing is.
        most: likewise with 5.
        categories: each category's score by name; None where one of its criteria is missing.
        missing: the criteria without a score.
        best: the chance that this total is the highest, in [0, 1]: the two ends are with what is missing (its own and
            the others') against it and for it. Ties are shared.
    """

    value: float | None
    low: float
    high: float
    least: float
    most: float
    categories: Mapping[str, float | None]
    missing: tuple[str, ...]
    best: tuple[float, float]


class Difference(NamedTuple):
    """``first`` less ``second`` in points. ``value`` is None where a criterion of either is missing: then bounds."""

    first: str
    second: str
    value: float | None
    low: float
    high: float


class Standing(NamedTuple):
    """Who leads.

    ``verdict``: ``clear`` where the leader's difference to every other model has an interval above 0; ``ahead`` where
    its total is the highest whatever the missing scores are, but not clearly; ``open`` where missing scores decide, or
    the highest total is shared, to within :data:`LEVEL`: then there is no ``leader``. ``because`` says it in a
    sentence.

    That the leader beats *every* other is claimed only where each single comparison shows it, at the confidence of one:
    an intersection-union test (Berger 1982), which needs no correction for their number.
    """

    verdict: Literal["clear", "ahead", "open"]
    leader: str | None
    because: str


class Comparison(msgspec.Struct, frozen=True):
    """Totals by model in the file's order, every pair's difference, and who leads."""

    totals: Mapping[str, Total]
    differences: tuple[Difference, ...]
    standing: Standing


def compare(sheet: Sheet, *, draws: int = DRAWS, seed: int = SEED) -> Comparison:
    """Compare all models of a sheet.

    Args:
        sheet: the scores.
        draws: how many times the scores are drawn for the chance to be best, > 0.
        seed: of the generator; the same seed gives the same chances.

    Raises:
        InputError: where ``draws`` is below 1.
    """
    if draws < 1:
        raise InputError(f"Expected `draws` of 1 or more, but got {draws!r}")
    names = [model.name for model in sheet.choice.models]
    best = _chances(sheet, names, draws, seed)
    totals = {name: _total(sheet, name, best[name]) for name in names}
    pairs = [(first, second) for place, first in enumerate(names) for second in names[place + 1 :]]
    differences = tuple(_difference(sheet, totals, first, second) for first, second in pairs)
    return Comparison(totals, differences, _standing(totals, differences))


def filled(score: CriterionScore, missing: float) -> float:
    """Return a score, or what stands in for one that is missing."""
    return missing if score.value is None else score.value


def _total(sheet: Sheet, model: str, best: tuple[float, float]) -> Total:
    rubric, scores = sheet.choice.rubric, sheet.scores[model]
    least, below, _ = _summed(sheet, model, LOWEST)
    most, _, above = _summed(sheet, model, HIGHEST)
    categories: dict[str, float | None] = {}
    for category in rubric.categories:
        known = [(share, scores[name].value) for name, share in rubric.within(category).items()]
        parts = [share * value for share, value in known if value is not None]
        categories[category.name] = math.fsum(parts) if len(parts) == len(known) else None
    missing = sheet.missing(model)
    return Total(
        value=None if missing else least,
        low=max(LOWEST, least - below),
        high=min(HIGHEST, most + above),
        least=least,
        most=most,
        categories=categories,
        missing=missing,
        best=best,
    )


def _summed(sheet: Sheet, model: str, missing: float) -> tuple[float, float, float]:
    """Return a total and how far its interval reaches below and above it."""
    scores, below, above, whole = sheet.scores[model], [], [], []
    of_metrics: dict[str, dict[str, float]] = {}
    for name, share in sheet.choice.rubric.shares.items():
        score = scores[name]
        whole.append(share * filled(score, missing))
        if score.metric is not None:
            of_metrics.setdefault(sheet.choice.measures[name].metric, {})[name] = share
        elif score.value is not None and score.low is not None and score.high is not None:
            below.append(share * (score.value - score.low))
            above.append(share * (score.high - score.value))
    for shares in of_metrics.values():
        down, up = _reach(sheet, model, shares)
        below.append(down)
        above.append(up)
    return math.fsum(whole), math.hypot(*below), math.hypot(*above)


def _reach(sheet: Sheet, model: str, shares: Mapping[str, float]) -> tuple[float, float]:
    """Return how far criteria that are scored from one metric reach together below and above what they add."""
    metric = sheet.scores[model][next(iter(shares))].metric
    if metric is None or metric.value is None or metric.low is None or metric.high is None:
        return 0.0, 0.0
    low, high = metric.low, metric.high
    maps = {name: sheet.choice.measures[name].map for name in shares}
    # Maps of opposite directions may be furthest off where one of them bends or steps.
    bends = {at for score_map in maps.values() for at, _ in score_map.points if low < at < high}
    at = np.array(
        [metric.value, low, high, *bends, *(math.nextafter(bend, way) for bend in bends for way in (low, high))]
    )
    added = np.sum([share * maps[name].many(at) for name, share in shares.items()], axis=0)
    return float(added[0] - added.min()), float(added.max() - added[0])


def _difference(sheet: Sheet, totals: Mapping[str, Total], first: str, second: str) -> Difference:
    one, other = totals[first], totals[second]
    _, one_below, one_above = _summed(sheet, first, LOWEST)
    _, other_below, other_above = _summed(sheet, second, LOWEST)
    return Difference(
        first,
        second,
        None if one.value is None or other.value is None else one.value - other.value,
        one.least - other.most - math.hypot(one_below, other_above),
        one.most - other.least + math.hypot(one_above, other_below),
    )


def _chances(sheet: Sheet, names: list[str], draws: int, seed: int) -> dict[str, tuple[float, float]]:
    least, most = drawn_totals(sheet, draws, seed)
    chances = {}
    for place, name in enumerate(names):
        # What is missing is against the model in one count and for it in the other.
        against, in_favour = most.copy(), least.copy()
        against[place], in_favour[place] = least[place], most[place]
        chances[name] = (float(shared_wins(against)[place]), float(shared_wins(in_favour)[place]))
    return chances


def drawn_totals(sheet: Sheet, draws: int, seed: int) -> tuple[Floats, Floats]:
    """Return drawn totals, (models, draws), with what is missing at 1 and at 5."""
    shares = np.array(list(sheet.choice.rubric.shares.values()))
    least, most = (np.einsum("mcd,c->md", drawn_scores(sheet, draws, seed, gap), shares) for gap in (LOWEST, HIGHEST))
    return least, most


def drawn_scores(sheet: Sheet, draws: int, seed: int, missing: float) -> Floats:
    """Return drawn scores, (models, criteria, draws); what is missing is the given number in all of them."""
    generator = np.random.default_rng(seed)
    names = [criterion.name for criterion in sheet.choice.rubric.criteria]
    found = np.full((len(sheet.choice.models), len(names), draws), missing)
    for row, model in enumerate(sheet.choice.models):
        metrics: dict[str, Floats] = {}
        for column, name in enumerate(names):
            if sheet.scores[model.name][name].value is not None:
                found[row, column] = drawn(sheet, model.name, name, generator, draws, metrics)
    return found


def shared_wins(totals: Floats) -> Floats:
    """Return each row's share of columns in which it is the highest; a tie is shared among those who tie.

    >>> shared_wins(np.array([[3.0, 4.0], [3.0, 2.0]])).tolist()
    [0.75, 0.25]
    """
    highest = np.isclose(totals, totals.max(axis=0), rtol=0.0, atol=1e-12)
    won: Floats = (highest / highest.sum(axis=0)).mean(axis=1)
    return won


def _standing(totals: Mapping[str, Total], differences: tuple[Difference, ...]) -> Standing:
    complete = [name for name, total in totals.items() if total.value is not None]
    top = max(totals, key=lambda name: totals[name].most)
    if not complete:
        return Standing("open", None, "every model lacks scores: no total is known")
    leader = max(complete, key=lambda name: totals[name].least)
    behind = {name: totals[leader].least - totals[name].least for name in complete if name != leader}
    tied = [name for name, by in behind.items() if by < LEVEL]
    if tied:
        near = "" if max(behind[name] for name in tied) <= 1e-12 else f", to within {LEVEL:g}"
        return Standing("open", None, f"{', '.join([leader, *tied])} share the highest total{near}")
    rivals = [name for name, total in totals.items() if total.missing and total.most >= totals[leader].least]
    if rivals:
        lacking = "; ".join(f"{name} lacks {', '.join(totals[name].missing)}" for name in rivals)
        ahead = "may be ahead of" if top != leader else "may come level with"
        return Standing("open", None, f"what is missing decides: {' and '.join(rivals)} {ahead} {leader} ({lacking})")
    unclear = [
        each.second if each.first == leader else each.first
        for each in differences
        if (each.first == leader and each.low <= 0.0) or (each.second == leader and each.high >= 0.0)
    ]
    if unclear:
        because = f"{leader} has the highest total, but the interval of its lead over {', '.join(unclear)} holds 0"
        return Standing("ahead", leader, because)
    return Standing("clear", leader, f"{leader} has the highest total, and its lead over every other is above 0")
