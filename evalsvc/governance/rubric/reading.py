"""``*.rubric.yaml`` as checked values: every mistake at once, with its place and a hint."""

from __future__ import annotations

import re
from collections.abc import Collection
from datetime import date
from pathlib import Path
from typing import Literal, cast, get_args

from evalsvc._hints import did_you_mean
from evalsvc._yaml import Document, Section, Value, raise_problems
from evalsvc.errors import Problem
from evalsvc.governance.rubric.maps import ScoreMap, problem_of
from evalsvc.governance.rubric.playbook import PLAYBOOK
from evalsvc.governance.rubric.reading_models import NAME, filled_text, read_date, read_models
from evalsvc.governance.rubric.values import (
    TOTAL,
    Axis,
    Category,
    Choice,
    Criterion,
    Decision,
    Measure,
    Model,
    Rubric,
    Weighting,
)

ENDINGS = (".rubric.yaml", ".rubric.yml")
_AXES: tuple[Axis, ...] = get_args(Axis)
_WHAT = "a name of letters, digits, `_`, `.` and `-`"


def load_choice(path: Path) -> Choice:
    """Read a file, and the files of results that it names, which lie relative to it.

    Raises:
        ConfigError: with every mistake, each with its place.
    """
    document = Document.open(path)
    choice, problems = read_choice(document, path.parent)
    raise_problems(problems)
    if choice is None:
        raise AssertionError("a document without a choice has problems")
    return choice


def read_choice(document: Document, folder: Path) -> tuple[Choice | None, tuple[Problem, ...]]:
    """Return what a document says and what is wrong with it; where anything is, the first is not to be used."""
    root = document.root
    if root is None:
        return None, document.finish()
    title, at = root.need("rubric", "what is chosen, and for whom"), root.need("date", "as in 2026-01-31")
    confidence = root.get("confidence")
    level = confidence.number(0.95, above=0.5, high=0.999) if confidence else 0.95
    rubric = _rubric(root)
    criteria = [criterion.name for criterion in rubric.criteria]
    measures, metrics = _measures(root.get("measured"), criteria)
    axes = _axes(root.get("pareto"))
    used = metrics | (set(axes.values()) - {TOTAL})
    models = read_models(root, criteria, set(measures), used, folder, level)
    _check_measured(root, models)
    choice = Choice(
        title=filled_text(title),
        at=read_date(at),
        rubric=rubric,
        models=models,
        measures=measures,
        axes=axes,
        confidence=level,
        decision=_decision(root.get("decision"), [model.name for model in models]),
        path=document.path,
    )
    return choice, document.finish()


def _rubric(root: Section) -> Rubric:
    named = root.exactly_one(("use", "categories"), "`use: playbook`, or categories of your own")
    weighting = root.get("weighting")
    way = weighting.text("categories", choices=get_args(Weighting)) if weighting else "categories"
    value = root.get(named) if named else None
    if value is None or named == "use":
        if value is not None:
            value.text("playbook", choices=("playbook",))
        return Rubric(PLAYBOOK.categories, cast("Weighting", way))
    categories = _categories(value)
    return Rubric(categories or PLAYBOOK.categories, cast("Weighting", way))


def _categories(value: Value) -> tuple[Category, ...]:
    found: list[Category] = []
    taken: set[str] = set()
    section = value.section()
    if value.is_mapping and not len(section):
        value.problem("expected at least one category, but got none")
    for name, inner in section:
        if not _is_new(section, name, taken):
            continue
        fields = inner.section()
        weight, criteria = fields.need("weight", "relative to the other categories'"), fields.need("criteria")
        counts = weight.number(1.0, above=0.0) if weight else 1.0
        members = _criteria(criteria, counts, taken) if criteria else ()
        if members:
            found.append(Category(name, _title(fields, name), counts, members))
    return tuple(found)


def _criteria(value: Value, whole: float, taken: set[str]) -> tuple[Criterion, ...]:
    """Read a list of names, which count alike, or names with weights that add to their category's."""
    if value.is_list:
        names = value.texts(pattern=NAME, what=_WHAT)
        own: list[str] = []
        for place, name in zip(value.items(), names, strict=True):
            if name in taken:
                place.problem(f"the name `{name}` is there twice", "categories and criteria have names of their own")
            elif name:
                own.append(name)
                taken.add(name)
        if not names:
            value.problem("expected at least one criterion, but got none")
        return tuple(Criterion(name, name, whole / len(own)) for name in own)
    section, found = value.section(), []
    for name, inner in section:
        if not _is_new(section, name, taken):
            continue
        if inner.is_mapping:
            fields = inner.section()
            weight = fields.need("weight")
            found.append(Criterion(name, _title(fields, name), weight.number(1.0, above=0.0) if weight else 1.0))
        else:
            found.append(Criterion(name, name, inner.number(1.0, above=0.0)))
    if value.is_mapping and not found:
        value.problem("expected at least one criterion, but got none")
    total = sum(criterion.weight for criterion in found)
    if found and abs(total - whole) > 1e-9 * max(total, whole):
        message = f"expected the criteria's weights to add to their category's, {whole:.12g}, but they add to"
        value.problem(f"{message} {total:.12g}", "or list the criteria without weights: they count alike")
    return tuple(found)


def _is_new(section: Section, name: str, taken: set[str]) -> bool:
    """Report a name that is none, and return False for one that is there already, reported as well."""
    if not re.fullmatch(NAME, name):
        section.key_problem(name, f"expected {_WHAT}, but got `{name}`")
    elif name in taken:
        hint = "categories and criteria have names of their own"
        section.key_problem(name, f"the name `{name}` is there twice", hint)
        return False
    taken.add(name)
    return True


def _title(fields: Section, name: str) -> str:
    title = fields.get("title")
    return filled_text(title) if title else name


def _measures(value: Value | None, criteria: Collection[str]) -> tuple[dict[str, Measure], set[str]]:
    """Return the measures, and every metric that is named: also where its map is wrong, the metric is used."""
    found: dict[str, Measure] = {}
    metrics: set[str] = set()
    section = value.section() if value else None
    for name, inner in section or ():
        if name not in criteria and section:
            section.key_problem(name, f"the rubric has no criterion `{name}`", did_you_mean(name, criteria))
        fields = inner.section()
        metric, better = fields.need("metric"), fields.need("better", "higher or lower")
        kind = fields.exactly_one(("lines", "steps"), "the map from the metric to a score of 1 to 5")
        way = better.text(choices=("higher", "lower")) if better else ""
        points = _points(fields.get(kind)) if kind else ()
        named = metric.text(what="a metric's name") if metric else ""
        metrics |= {named} - {""}
        if not (kind and way and points and named):
            continue
        if problem := problem_of(kind, way, points):
            at = fields.get(kind)
            if at is not None:
                at.problem(problem)
            continue
        made = ScoreMap(cast("Literal['lines', 'steps']", kind), cast("Literal['higher', 'lower']", way), points)
        found[name] = Measure(named, made)
    return found, metrics


def _points(value: Value | None) -> tuple[tuple[float, float], ...]:
    """Read pairs; a list with a mistake gives none, so that it is reported once."""
    found, wrong = [], False
    for item in value.items() if value else []:
        pair = item.items()
        if item.is_list and len(pair) != 2:
            item.problem(f"expected a pair [metric, score], but got {len(pair)} values")
        if len(pair) != 2:
            wrong = True
            continue
        found.append((pair[0].number(), pair[1].number(1.0, low=1.0, high=5.0)))
    if value and value.is_list and not found and not wrong:
        value.problem("expected at least one point, but got none", "as in [[0.2, 1], [0.6, 5]]")
    return () if wrong else tuple(found)


def _axes(value: Value | None) -> dict[Axis, str]:
    section = value.section() if value else None
    if section is None:
        return {}
    named: dict[Axis, str] = {}
    for axis in _AXES:
        metric = section.get(axis) if axis == "quality" else section.need(axis, "the metric of this axis")
        if metric is not None:
            named[axis] = metric.text(what="a metric's name")
        elif axis == "quality":
            named[axis] = TOTAL
    return named


def _check_measured(root: Section, models: Collection[Model]) -> None:
    """Report a metric that no model has: most likely a typo."""
    known = sorted({name for model in models for name in model.measured})
    places: list[Value | None] = []
    for value in (root.get("measured"), root.get("pareto")):
        if value is None or not value.is_mapping:
            continue
        inner = Section(value)
        places += [
            Section(each).get("metric") if each.is_mapping else each
            for key, each in inner
            if each.is_mapping or key in _AXES
        ]
    for place in places:
        name = place.node.value if place is not None and place.is_scalar else ""
        if place is not None and name and name != TOTAL and name not in known and models:
            place.problem(f"no model has a value of `{name}`", did_you_mean(str(name), known) if known else "")


def _decision(value: Value | None, models: Collection[str]) -> Decision | None:
    if value is None:
        return None
    section = value.section()
    chosen, by = section.need("chosen", "the model's name"), section.need("by", "who decided")
    at, because = section.need("at", "as in 2026-01-31"), section.need("because", "why this one, in a sentence or more")
    name = filled_text(chosen)
    if chosen and name and models and name not in models:
        chosen.problem(f"there is no model `{name}`", did_you_mean(name, models))
    return Decision(name, filled_text(by), read_date(at) if at else date.min, filled_text(because))
