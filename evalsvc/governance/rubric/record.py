"""The written trade-off record: weights, scores and evidence, who leads and how surely, and what was decided.

One :class:`Report` is made of a choice; ``rendering`` writes it as Markdown or as one HTML page. It holds no time of
its own and nothing random without a seed, so the same files give the same text.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

from evalsvc.governance.rubric.comparison import SEED, Comparison, Standing, compare
from evalsvc.governance.rubric.dominance import AXES, Place, dominance
from evalsvc.governance.rubric.robustness import Robustness, robustness
from evalsvc.governance.rubric.scoring import Sheet, score_sheet
from evalsvc.governance.rubric.values import Choice, Model

MOST_POINTS = 3
"""How many criteria are named for and against a model."""


class Table(NamedTuple):
    """Rows under their columns' names; ``right`` are columns of numbers."""

    rows: tuple[Mapping[str, str], ...]
    right: frozenset[str] = frozenset()


class Part(NamedTuple):
    """A headed part: sentences, then points, then a table."""

    title: str
    sentences: tuple[str, ...] = ()
    points: tuple[str, ...] = ()
    table: Table | None = None


class Report(NamedTuple):
    """A record with everything that it was made of; ``parts`` are what is read."""

    choice: Choice
    sheet: Sheet
    comparison: Comparison
    places: Mapping[str, Place]
    robustness: Robustness
    parts: tuple[Part, ...]


def report(choice: Choice, *, seed: int = SEED) -> Report:
    """Score, compare, and write down a choice.

    Args:
        choice: as it was read.
        seed: of everything that is drawn; the same one gives the same report.
    """
    sheet = score_sheet(choice)
    comparison, found = compare(sheet, seed=seed), robustness(sheet, seed=seed)
    places = dominance(choice, comparison)
    parts = (
        _summary(choice, comparison),
        _totals(choice, comparison),
        *([_differences(comparison)] if len(choice.models) > 1 else []),
        *([_pareto(places)] if places else []),
        *_robustness(found, comparison.standing),
        _weights(choice),
        _scores(sheet),
        *(_for_and_against(sheet, model, places.get(model.name)) for model in choice.models),
        _method(sheet, seed),
        _decision(choice, comparison),
    )
    return Report(choice, sheet, comparison, places, found, parts)


def points(value: float | None) -> str:
    """Return a score as a report says it."""
    return "-" if value is None else f"{value:.2f}"


def signed(value: float, digits: int) -> str:
    """Return a number with its sign; what rounds to 0 has none.

    >>> signed(1.25, 1), signed(-0.04, 1), signed(0.0, 2)
    ('+1.2', '0.0', '0.00')
    """
    text = f"{value:+.{digits}f}"
    return text if float(text) else text[1:]


def share(ends: tuple[float, float]) -> str:
    """Return a share, or the two ends between which it is.

    >>> share((0.5, 0.5)), share((0.25, 1.0))
    ('50.0%', '25.0% to 100.0%')
    """
    low, high = (f"{100.0 * end:.1f}%" for end in ends)
    return low if low == high else f"{low} to {high}"


def _summary(choice: Choice, comparison: Comparison) -> Part:
    verdict = {"clear": "Clear", "ahead": "Ahead, not clearly", "open": "Open"}[comparison.standing.verdict]
    models = ", ".join(model.name for model in choice.models)
    asked = f"{choice.title}. Compared on {choice.at}: {models}."
    return Part("Summary", (asked, f"{verdict}: {comparison.standing.because}."))


def _totals(choice: Choice, comparison: Comparison) -> Part:
    rows = []
    for name, total in comparison.totals.items():
        categories = {c.title: points(total.categories[c.name]) for c in choice.rubric.categories}
        value = points(total.value) if total.value is not None else f"{points(total.least)} to {points(total.most)}"
        interval = f"[{points(total.low)}, {points(total.high)}]"
        row = {"model": name, "total": value, "interval": interval, "chance to be best": share(total.best)}
        rows.append({**row, **categories, "missing": ", ".join(total.missing) or "-"})
    gaps = any(total.missing for total in comparison.totals.values())
    said = (
        f"Scores are from 1 to 5, more is better; intervals are at {100 * choice.confidence:g}%.",
        *(["Where scores are missing, the total is between those with each of them at 1 and at 5."] if gaps else []),
    )
    right = frozenset({"total", "interval", "chance to be best", *(c.title for c in choice.rubric.categories)})
    return Part("Totals", said, table=Table(tuple(rows), right))


def _differences(comparison: Comparison) -> Part:
    rows = tuple(
        {
            "first": each.first,
            "second": each.second,
            "first less second": "-" if each.value is None else signed(each.value, 2),
            "interval": f"[{signed(each.low, 2)}, {signed(each.high, 2)}]",
        }
        for each in comparison.differences
    )
    return Part("Differences", table=Table(rows, frozenset({"first less second", "interval"})))


def _pareto(places: Mapping[str, Place]) -> Part:
    rows = []
    for name, place in places.items():
        values: dict[str, str] = {
            axis: "-" if found.value is None else f"{found.value:.4g}" for axis, found in place.values.items()
        }
        sure = f" (surely by {', '.join(place.surely_by)})" if place.surely_by else ""
        by = place.reason or (", ".join(place.dominated_by) + sure if place.dominated_by else "nobody")
        rows.append({"model": name, **values, "dominated by": by})
    ways = "; ".join(f"of {axis} {way} is better" for axis, way in AXES.items())
    said = "A model is dominated where another one is at least as good on every axis, and better on one"
    return Part(
        "Quality, cost and latency",
        (f"{said}: {ways}. It is surely so where no interval says otherwise.",),
        table=Table(tuple(rows), frozenset(map(str, AXES))),
    )


def _robustness(found: Robustness, standing: Standing) -> list[Part]:
    rows = tuple(
        {
            "model": name,
            "wins, weights like these": share(found.wins[name]),
            "wins, any weights": share(found.any_weights[name]),
            **{f"rank {rank}": f"{100.0 * part:.1f}%" for rank, part in enumerate(found.ranks.get(name, ()), 1)},
        }
        for name in found.wins
    )
    said = [
        "Wins are shares of drawn category weights at which a model's total is the highest: around the given weights "
        f"(Dirichlet, concentration {found.concentration:g}), and evenly over all weights."
    ]
    if found.ranks:
        said.append("Ranks are over drawn weights and scores together.")
    if found.unranked:
        said.append(f"Not ranked, for they lack scores: {', '.join(found.unranked)}.")
    right = frozenset(name for row in rows for name in row if name != "model")
    parts = [Part("How much the weights decide", tuple(said), table=Table(rows, right))]
    if found.leader is not None:
        parts.append(_changes(found, standing))
    return parts


def _changes(found: Robustness, standing: Standing) -> Part:
    rows = tuple(
        {
            "category": change.category,
            "weight": f"{100.0 * change.given:.1f}%",
            "level at": "no weight" if change.needed is None else f"{100.0 * change.needed:.1f}%",
            "change": "-" if change.needed is None else signed(100.0 * (change.needed - change.given), 1),
            "beyond it is highest": change.winner or "-",
        }
        for change in found.changes
    )
    among = " among the models without a gap" if found.unranked else ""
    said = [
        f"The weight of one category at which the total of {found.leader} is no longer the highest{among}, the others "
        "in their proportions."
    ]
    if standing.verdict == "ahead":
        said.append(f"No weight has to change for a tie: {standing.because}.")
    return Part(
        "The smallest change of a weight", tuple(said), table=Table(rows, frozenset({"weight", "level at", "change"}))
    )


def _weights(choice: Choice) -> Part:
    rubric, rows = choice.rubric, []
    of = rubric.category_shares
    for category in rubric.categories:
        for criterion in category.criteria:
            rows.append(
                {
                    "category": f"{category.title} ({100.0 * of[category.name]:.1f}%)",
                    "criterion": criterion.title,
                    "own weight": f"{criterion.weight:.4g}",
                    "share of the total": f"{100.0 * rubric.shares[criterion.name]:.1f}%",
                }
            )
    said = {
        "categories": "A category is the plain mean of its criteria, and the total weighs the categories "
        "(`weighting: categories`): the criteria's own weights do not count.",
        "criteria": "The criteria's own weights count (`weighting: criteria`).",
    }[rubric.weighting]
    return Part("Weights", (said,), table=Table(tuple(rows), frozenset({"own weight", "share of the total"})))


def _scores(sheet: Sheet) -> Part:
    rows = []
    for criterion in sheet.choice.rubric.criteria:
        for model in sheet.choice.models:
            score = sheet.scores[model.name][criterion.name]
            whole = score.low is not None and score.high is not None
            rows.append(
                {
                    "criterion": criterion.title,
                    "model": model.name,
                    "score": points(score.value),
                    "interval": f"[{points(score.low)}, {points(score.high)}]" if whole else "-",
                    "from": score.said or f"missing: {score.reason}",
                    "evidence": "; ".join(dict.fromkeys(score.evidence)) or "-",
                }
            )
    said = []
    if sheet.agreement is not None:
        alpha = sheet.agreement
        value = alpha.reason if alpha.value is None else f"{alpha.value:.2f} [{alpha.low:.2f}, {alpha.high:.2f}]"
        said.append(
            f"Agreement over {alpha.n_items} scores by two people or more: Krippendorff's α (interval level) {value}."
        )
    return Part("Scores and evidence", tuple(said), table=Table(tuple(rows), frozenset({"score", "interval"})))


def _for_and_against(sheet: Sheet, model: Model, place: Place | None) -> Part:
    leads = _leads(sheet, model.name)
    good = [said for lead, said in sorted(leads, key=lambda each: -each[0]) if lead > 0.0][:MOST_POINTS]
    bad = [said for lead, said in sorted(leads, key=lambda each: each[0]) if lead < 0.0][:MOST_POINTS]
    if missing := sheet.missing(model.name):
        bad.append(f"not scored: {', '.join(missing)}")
    if place is not None and place.dominated_by:
        bad.append(f"dominated on quality, cost and latency by {', '.join(place.dominated_by)}")
    if place is not None and not place.dominated_by and not place.reason:
        good.append("dominated by no other model on quality, cost and latency")
    listed = [f"For: {said}" for said in (*model.speaks_for, *good)]
    listed += [f"Against: {said}" for said in (*model.speaks_against, *bad)]
    return Part(f"{model.name}: for and against", points=tuple(listed))


def _leads(sheet: Sheet, model: str) -> list[tuple[float, str]]:
    """Return what each criterion adds to the total beyond the best of the other models, and a sentence on it."""
    found = []
    for criterion in sheet.choice.rubric.criteria:
        own = sheet.scores[model][criterion.name].value
        others = {
            name: scores[criterion.name].value
            for name, scores in sheet.scores.items()
            if name != model and scores[criterion.name].value is not None
        }
        if own is None or not others:
            continue
        rival = max(others, key=lambda name: others[name] or 0.0)
        lead = sheet.choice.rubric.shares[criterion.name] * (own - (others[rival] or 0.0))
        word = "the best" if lead > 0.0 else "behind the best"
        found.append((lead, f"{criterion.title}, {word}: {points(own)}, {rival} has {points(others[rival])}"))
    return found


def _method(sheet: Sheet, seed: int) -> Part:
    people = any(score.kind == "people" for scores in sheet.scores.values() for score in scores.values())
    listed = [
        "Intervals of totals and differences: MOVER over the criteria, those scored from one metric together. Scores "
        "of other criteria and of different models are taken as independent; of models measured on the same cases this "
        "makes differences look less certain than they are.",
        f"Chances and wins are drawn with the seed {seed}.",
    ]
    if people:
        sd, _, source = sheet.spread
        listed.append(f"One person's score is taken to be off by a standard deviation of {sd:.2f} points ({source}).")
    maps = [f"{name}: {measure.metric}, {measure.map}" for name, measure in sheet.choice.measures.items()]
    return Part("Method", points=(*listed, *maps))


def _decision(choice: Choice, comparison: Comparison) -> Part:
    made = choice.decision
    if made is None:
        return Part(
            "Decision", ("Not decided: a named person writes `decision` into the file (chosen, by, at, because).",)
        )
    said = [f"{made.by} chose {made.chosen} on {made.at}: {made.because}"]
    total = comparison.totals[made.chosen]
    if total.missing:
        said.append(f"{made.chosen} was chosen without a score of {', '.join(total.missing)}.")
    leader = comparison.standing.leader
    if leader not in (None, made.chosen):
        said.append(f"The rubric's total is highest for {leader}.")
    return Part("Decision", tuple(said))
