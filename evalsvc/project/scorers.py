"""A list of scorers in an operator's file: names, or mappings with ``name``, ``options`` and ``rate``."""

from __future__ import annotations

import re
from collections.abc import Collection

import msgspec

from evalsvc import scorers
from evalsvc._yaml import Section, Value
from evalsvc.anchor_query import PREFIX
from evalsvc.errors import EvalsvcError
from evalsvc.project.sampling import read_rate
from evalsvc.project.values import ScorerConfig


def read_scorers(
    value: Value | None, here: bool, *, whose: str = "a consumer", rates: bool = True
) -> tuple[ScorerConfig, ...]:
    """Read the list; each metric once. Every scorer is built, which loads no model; with ``here``, told what it lacks.

    ``whose`` list it is, for messages; without ``rates`` everything is scored.
    """
    found: list[ScorerConfig] = []
    items = value.items() if value else []
    if value and value.is_list and not items:
        value.problem("expected at least one scorer, but the list is empty", f"known: {', '.join(scorers.names())}")
    # Once, since other packages' metadata are read for it.
    names = frozenset(scorers.names()) if items else frozenset()
    for item in items:
        scorer = _scorer(item, here, names, whose, rates)
        if scorer and any(other.metric == scorer.metric for other in found):
            item.problem(f"the metric `{scorer.metric}` is measured twice", f"one scorer a metric in {whose}")
        elif scorer:
            found.append(scorer)
    return tuple(found)


def _scorer(item: Value, here: bool, names: Collection[str], whose: str, rates: bool) -> ScorerConfig | None:
    if not item.is_mapping:
        name = item.text(what="a scorer's name, or a mapping with `name`")
        return _checked(item, ScorerConfig(name=name), here, names) if name else None
    section = item.section()
    name_value, rate, options = section.need("name"), section.get("rate"), section.get("options")
    name = name_value.text(what="a scorer's name") if name_value else ""
    if rate is not None and not rates:
        section.key_problem("rate", f"{whose} has no `rate`: it scores every answer", "leave it out")
    share = read_rate(rate)
    given = options.section() if options else None
    plain = {key: value.plain() for key, value in given} if given is not None else {}
    if not name_value or not name:
        return None
    return _checked(name_value, ScorerConfig(name=name, rate=share, options=plain), here, names, given)


def _checked(
    place: Value, scorer: ScorerConfig, here: bool, names: Collection[str], options: Section | None = None
) -> ScorerConfig | None:
    """Build the scorer once, which loads no model, so that a wrong option is found now and not at night."""
    if ":" not in scorer.name and scorer.name not in names:
        place.problem(f"unknown scorer `{scorer.name}`", scorers.hint(scorer.name))
        return None
    try:
        built = scorers.create(scorer.name, scorer.options)
    except EvalsvcError as error:
        (options.value if options is not None else place).problem(str(error))
        return None
    if built.spec.metric.startswith(PREFIX):
        place.problem(f"a metric's name may not begin with `{PREFIX}`: anchors' scores are stored under it")
        return None
    if here and (lack := scorers.lacking(built)):
        _option_named_in(lack, options, place).problem(f"`{scorer.name}` cannot run here: {lack}")
    return msgspec.structs.replace(scorer, metric=built.spec.metric)


def _option_named_in(message: str, options: Section | None, otherwise: Value) -> Value:
    """Return the value of the first option that a message names in backticks, or where none is, ``otherwise``."""
    named = re.findall(r"`(\w+)`", message) if options is not None else []
    given = [value for name in named if options is not None and (value := options.get(name))]
    return given[0] if given else otherwise
