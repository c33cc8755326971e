"""How much the ranking owes to the weights: others around the given ones, and the smallest change that matters."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import NamedTuple

import msgspec
import numpy as np
import numpy.typing as npt

from evalsvc.errors import InputError
from evalsvc.governance.rubric.comparison import DRAWS, LEVEL, SEED, drawn_scores, filled, shared_wins
from evalsvc.governance.rubric.scoring import Sheet
from evalsvc.governance.rubric.values import HIGHEST, LOWEST

Floats = npt.NDArray[np.float64]

CONCENTRATION = 50.0
"""Of the Dirichlet distribution around the given weights: a category of 40 % then varies by 7 points (one standard
deviation)."""


class WeightChange(NamedTuple):
    """The smallest change of one category's weight, the others in their proportions, that ends a leader's lead.

    ``given`` and ``needed`` are shares of the total in [0, 1]; at ``needed`` the two totals are equal, and beyond it
    that of ``winner`` is higher. ``needed`` is None where no weight between 0 and 1 does it.
    """

    category: str
    given: float
    needed: float | None
    winner: str | None


class Robustness(msgspec.Struct, frozen=True, kw_only=True):
    """What other weights would say.

    Attributes:
        wins: by model, the share of weights drawn around the given ones at which it has the highest total; the two
            ends are with missing scores against it and for it.
        any_weights: the same with weights drawn evenly from all that there are.
        leader: whose lead :attr:`changes` end; None where no total is known, or the highest is shared to
            within :data:`~evalsvc.governance.rubric.comparison.LEVEL`.
        changes: one for each category, the smallest change first.
        ranks: by model, the share of draws of weights *and* scores in which it comes 1st, 2nd, …: rank acceptability
            (Lahdelma & Salminen 2001). Only of models without a gap, and empty where fewer than two are.
        unranked: the models with a gap.
        concentration: of the weights drawn around the given ones.
    """

    wins: Mapping[str, tuple[float, float]]
    any_weights: Mapping[str, tuple[float, float]]
    leader: str | None
    changes: tuple[WeightChange, ...]
    ranks: Mapping[str, tuple[float, ...]]
    unranked: tuple[str, ...]
    concentration: float


def robustness(
    sheet: Sheet, *, concentration: float = CONCENTRATION, draws: int = DRAWS, seed: int = SEED
) -> Robustness:
    """Say how the ranking depends on the categories' weights.

    Args:
        sheet: the scores.
        concentration: how close to the given weights others are drawn, > 0: a category's share w varies by
            √(w·(1 - w)/(1 + concentration)).
        draws: how many weights are drawn, > 0.
        seed: of the generator.

    Raises:
        InputError: where ``concentration`` or ``draws`` is not above 0.
    """
    if not (math.isfinite(concentration) and concentration > 0.0 and draws > 0):
        raise InputError(f"Expected `concentration` and `draws` above 0, but got {concentration!r} and {draws!r}")
    given = np.array(list(sheet.choice.rubric.category_shares.values()))
    generator = np.random.default_rng(seed)
    around = generator.dirichlet(concentration * given, draws).T
    even = generator.dirichlet(np.ones(len(given)), draws).T
    least, most = (_category_scores(sheet, gap) for gap in (LOWEST, HIGHEST))
    names = [model.name for model in sheet.choice.models]
    whole = [name for name in names if not sheet.missing(name)]
    leader, changes = _changes(sheet, least, whole)
    return Robustness(
        wins=_wins(names, least, most, around),
        any_weights=_wins(names, least, most, even),
        leader=leader,
        changes=changes,
        ranks=_ranks(sheet, whole, around, seed),
        unranked=tuple(name for name in names if name not in whole),
        concentration=concentration,
    )


def _category_scores(sheet: Sheet, missing: float) -> Floats:
    """Return each model's scores of the categories, (models, categories)."""
    rubric = sheet.choice.rubric
    return np.array(
        [
            [
                math.fsum(share * filled(sheet.scores[model.name][name], missing) for name, share in within.items())
                for within in map(rubric.within, rubric.categories)
            ]
            for model in sheet.choice.models
        ]
    )


def _wins(names: list[str], least: Floats, most: Floats, weights: Floats) -> dict[str, tuple[float, float]]:
    found = {}
    for place, name in enumerate(names):
        against, in_favour = most.copy(), least.copy()
        against[place], in_favour[place] = least[place], most[place]
        ends = (float(shared_wins(scores @ weights)[place]) for scores in (against, in_favour))
        found[name] = (next(ends), next(ends))
    return found


def _changes(sheet: Sheet, scores: Floats, whole: list[str]) -> tuple[str | None, tuple[WeightChange, ...]]:
    names = [model.name for model in sheet.choice.models]
    given = np.array(list(sheet.choice.rubric.category_shares.values()))
    totals = {name: float(scores[names.index(name)] @ given) for name in whole}
    order = sorted(totals, key=lambda name: -totals[name])
    if not order or (len(order) > 1 and totals[order[0]] - totals[order[1]] < LEVEL):
        return None, ()
    leader, rivals = order[0], order[1:]
    found = []
    for place, category in enumerate(sheet.choice.rubric.categories):
        best: tuple[float, float, str] | None = None
        for rival in rivals:
            needed = _level_at(scores[names.index(leader)] - scores[names.index(rival)], given, place)
            if needed is not None and (best is None or abs(needed - given[place]) < best[0]):
                best = (abs(needed - float(given[place])), needed, rival)
        change = (None, None) if best is None else best[1:]
        found.append(WeightChange(category.name, float(given[place]), *change))
    found.sort(key=lambda change: math.inf if change.needed is None else abs(change.needed - change.given))
    return leader, tuple(found)


def _level_at(lead: Floats, given: Floats, place: int) -> float | None:
    """Return the share t of one category at which a lead is 0: it is t·lead there and (1 - t)·the mean of the rest."""
    if len(given) == 1:
        return None
    others = np.arange(len(given)) != place
    here, rest = float(lead[place]), float(lead[others] @ given[others] / given[others].sum())
    if here == rest:
        return None
    needed = rest / (rest - here)
    # At 0 and at 1 the two are level, and beyond that there is nothing.
    return needed if 1e-9 < needed < 1.0 - 1e-9 else None


def _ranks(sheet: Sheet, whole: list[str], weights: Floats, seed: int) -> dict[str, tuple[float, ...]]:
    if len(whole) < 2:
        return {}
    rubric, draws = sheet.choice.rubric, weights.shape[1]
    names = [model.name for model in sheet.choice.models]
    scores = drawn_scores(sheet, draws, seed + 1, LOWEST)[[names.index(name) for name in whole]]
    within = np.zeros((len(rubric.categories), len(rubric.criteria)))
    places = {criterion.name: place for place, criterion in enumerate(rubric.criteria)}
    for row, category in enumerate(rubric.categories):
        for name, share in rubric.within(category).items():
            within[row, places[name]] = share
    totals = np.einsum("mcd,kc,kd->md", scores, within, weights, optimize=True)
    # The first rank is the highest total; equal totals keep the file's order, which drawn scores hardly ever need.
    ranks = np.argsort(np.argsort(-totals, axis=0, kind="stable"), axis=0, kind="stable")
    return {
        name: tuple(float((ranks[row] == rank).mean()) for rank in range(len(whole))) for row, name in enumerate(whole)
    }
