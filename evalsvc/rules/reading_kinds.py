"""The kinds of conditions in a rule file: one reader a kind, each with the mistakes that it can hold."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from typing import Literal, NamedTuple, cast

from evalsvc._hints import did_you_mean
from evalsvc._yaml import Section, Value
from evalsvc.rules.reading_values import Paid, not_a_field, on_scale, seconds, where
from evalsvc.rules.values import (
    DAY,
    Absence,
    BurnRate,
    Change,
    Condition,
    Cost,
    Direction,
    Drift,
    FairnessGap,
    Side,
    Threshold,
    Versions,
)
from evalsvc.types import Scale

HOUR = 3600.0

_STATISTIC = r"mean|proportion|p(?!0+(?:\.0*)?$)\d{1,2}(?:\.\d+)?"


class About(NamedTuple):
    """What the rule around a condition says. ``scale`` and ``paid`` are the metric's, None where they are not known."""

    scale: Scale | None
    window: float
    where: Mapping[str, tuple[str, ...]]
    by: tuple[str, ...]
    metric: str
    paid: Paid | None


def read_condition(section: Section, about: About) -> Condition:
    """Read the one condition that a rule has; what is wrong is reported, and then it is not to be used."""
    kind = section.exactly_one(tuple(KINDS), "as in `below: 0.9`, or `change: {direction: fell, by: 0.05}`")
    _misplaced(section, kind)
    return KINDS[kind](section, about) if kind else Threshold("below", 0.0, 0.0)


def _misplaced(section: Section, kind: str | None) -> None:
    """Report keys that are right elsewhere: a threshold's beside another kind, and those of a kind outside it."""
    for key in THRESHOLD_KEYS:
        if section.get(key) and kind and kind not in ("above", "below"):
            section.key_problem(key, f"`{key}` belongs to a threshold, and this rule has `{kind}`", "leave it out")
    for key, kinds in INNER_KEYS.items():
        if key in section:
            section.get(key)
            meant = (kind,) if kind in kinds else kinds
            named = " or ".join(f"`{each}`" for each in meant)
            section.key_problem(key, f"`{key}` stands inside {named}", f"as in `{meant[0]}: {{{key}: …}}`")


def _threshold(side: Side, rule: Section, about: About) -> Threshold:
    value, recovers = rule.get(side), rule.get("recovers_at")
    statistic = rule.get("statistic")
    limit = value.number() if value else 0.0
    back = recovers.number(limit) if recovers else limit
    if recovers and (back > limit if side == "above" else back < limit):
        recovers.problem(f"expected it not to be {side} the limit {limit:g}, but got {back:g}")
    named = statistic.text("mean", pattern=_STATISTIC, what="mean, proportion or pNN") if statistic else "mean"
    if statistic and about.scale and about.scale.binary != (named == "proportion") and named != "mean":
        binary = "of a share of yes and no there are no percentiles"
        said = binary if about.scale.binary else "this metric is no yes or no, and has no proportion"
        statistic.problem(said, "leave `statistic` out")
    for place, number in ((value, limit), (recovers, back)):
        if place and about.scale:
            on_scale(place, number, about.scale)
    # A limit at the end of the scale can never be passed.
    if value and about.scale and limit == (about.scale.high if side == "above" else about.scale.low):
        value.problem(f"nothing is {side} {limit:g} on this metric's scale", "the rule would never fire")
    return Threshold(side, limit, back, named)


def _change(rule: Section, about: About) -> Change:
    section, scale = _own(rule, "change"), about.scale
    direction, by = section.need("direction"), section.get("by")
    named = _direction(direction)
    margin = _margin(by, scale)
    if scale and not scale.bounded:
        section.value.problem(
            "expected a metric with both ends for `change`, but this one has an open scale", "use `above` or `below`"
        )
    baseline = section.get("baseline")
    length = seconds(baseline, 7 * DAY, least=3600.0)
    if baseline and length < 2 * about.window:
        baseline.problem(f"expected at least twice the window of {about.window:g} s, but got {length:g} s")
    return Change(named, margin, length)


def _burn_rate(rule: Section, about: About) -> BurnRate:
    section, scale = _own(rule, "burn_rate"), about.scale
    objective, factor = section.need("objective"), section.need("factor")
    short, better = section.get("short"), section.get("better")
    share = objective.number(0.95) if objective else 0.95
    if objective and not 0.0 < share < 1.0:
        objective.problem(f"expected a share between 0 and 1, as in 0.95, but got {share:g}")
        share = 0.95
    times = factor.number(1.0, above=0.0) if factor else 1.0
    if factor and times * (1.0 - share) >= 1.0:
        most = f"no more than everything can fail, which is {1.0 / (1.0 - share):.4g} times what {share:g} allows"
        factor.problem(most, "the rule would never fire")
    if scale and not scale.bounded:
        section.value.problem(
            "expected a metric with both ends for `burn_rate`, but this one has an open scale", "use `above` or `below`"
        )
    end = better.text(choices=("higher", "lower")) if better else scale.better if scale else "higher"
    if scale and scale.bounded and end == "neither" and section.value.is_mapping:
        section.value.problem(
            f"expected the key `better`, as {about.metric} does not say by itself which end of its scale is good",
            f"`better: lower` where {scale.low:g} is good, `better: higher` where {scale.high:g} is",
        )
    twelfth = max(60.0, math.ceil(about.window / 12 / 60.0) * 60.0)
    length = seconds(short, twelfth, least=60.0, whole_minutes=True)
    if length >= about.window:
        (short or section.value).problem(
            f"expected a short window within the window of {about.window:g} s, but got {length:g} s",
            "`window` is the long one, as in `window: 1h` with `short: 5m`",
        )
    return BurnRate(share, times, length, "lower" if end == "lower" else "higher")


def _absence(rule: Section, about: About) -> Absence:
    section = _own(rule, "absence")
    what, beyond, back = section.need("of"), section.get("beyond"), section.get("look_back")
    of = what.text("scores", choices=("events", "scores", "failures", "abstentions")) if what else "scores"
    share = of in ("failures", "abstentions")
    limit = beyond.number(0.0) if beyond else 0.0
    if share and what and not beyond:
        section.need("beyond", f"the share of {of} that is too much, as in 0.2")
    if beyond and not share:
        beyond.problem(f"of {of} there is no share to be beyond", "leave it out, or say `of: failures`")
    elif beyond and not 0.0 <= limit < 1.0:
        beyond.problem(f"expected a share of at least 0 and below 1, but got {limit:g}")
    if back and share:
        back.problem(f"{of} are looked at in the window alone", "leave it out")
    length = seconds(back, max(7 * DAY, 2 * about.window), least=60.0, whole_minutes=True)
    if back and length <= about.window:
        back.problem(f"expected more than the window of {about.window:g} s, but got {length:g} s")
    if of == "events":
        _only_consumers(rule, about)
    return Absence(cast("Literal['events', 'scores', 'failures', 'abstentions']", of), limit, length)


def _only_consumers(rule: Section, about: About) -> None:
    """Report fields that offered events are not counted by."""
    why, hint = (
        "events are counted by consumer alone before they are sampled",
        "say `of: scores`, which knows the fields",
    )
    where, by = rule.get("where"), rule.get("by")
    if where and any(name != "consumer" for name in about.where):
        where.problem(why, hint)
    if by and about.by:
        by.problem(why, hint)


def _versions(rule: Section, about: About) -> Versions:
    section = _own(rule, "versions")
    values = section.need("canary", _SIDE), section.need("stable", _SIDE)
    canary, stable = (where(value.section()) if value else {} for value in values)
    for value, side in zip(values, (canary, stable), strict=True):
        if value and value.is_mapping and not side:
            value.problem("expected a field and its value, but there is none", _SIDE)
    apart = {name for name in canary.keys() & stable.keys() if not set(canary[name]) & set(stable[name])}
    if canary and stable and not apart:
        same = "`canary` and `stable` are the same" if canary == stable else "an event can be of both sides"
        section.value.problem(same, "give one field different values in `canary` and `stable`")
    for key, names in (("where", about.where), ("by", about.by)):
        asked = sorted({*canary, *stable} & set(names))
        if asked and (value := rule.get(key)):
            value.problem(f"`{asked[0]}` is what the two sides are told apart by", f"leave it out of `{key}`")
    direction = section.need("direction", "fell, rose or either: what the canary must not do")
    return Versions(canary, stable, _direction(direction), _margin(section.get("by"), about.scale))


def _fairness_gap(rule: Section, about: About) -> FairnessGap:
    section = _own(rule, "fairness_gap")
    between, beyond = section.need("between", "as in segments.language"), section.need("beyond")
    field = between.text(what="a field, as in `segments.language`") if between else ""
    if between and field:
        if problem := not_a_field(field):
            between.problem(*problem)
        elif field == "consumer":
            between.problem("consumers are never compared", "each has alerts of its own")
        elif field in about.by:
            between.problem(f"`{field}` is in `by`, so that each alert has one group of it", "leave it out of `by`")
        elif len(about.where.get(field, ())) == 1:
            between.problem(f"`where` leaves one group of `{field}`", "give it two values or more there, or none")
    return FairnessGap(field, _margin(beyond, about.scale))


def _cost(rule: Section, about: About) -> Cost:
    section = _own(rule, "cost")
    above, what = section.need("above", "the amount that is too much in a window"), section.get("of")
    of = what.text("metric", choices=("metric", "judge")) if what else "metric"
    scale = about.scale
    if of == "metric" and scale and (scale.low is None or scale.low < 0.0):
        section.value.problem(
            "expected a metric of amounts from 0 on, but this one can be negative", "name such a metric"
        )
    limit = above.number(1.0, above=0.0) if above else 1.0
    if of == "judge" and what and about.paid == "no judge":
        what.problem(
            f"no judge scores {about.metric}, so that nobody is paid for it", "leave `of` out, or name a judge's"
        )
    elif of == "judge" and what and about.paid == "unpriced":
        hint = "give it `prices` in its `options`, in the consumer's file"
        what.problem(f"what the judge of {about.metric} is paid is not known, as it has no prices", hint)
    return Cost(cast("Literal['metric', 'judge']", of), limit)


def _drift(rule: Section, about: About) -> Drift:
    section, window, by = _own(rule, "drift"), rule.get("window"), rule.get("by")
    whole = "drift is kept by the hour"
    if about.window % HOUR:
        (window or section.value).problem("expected a `window` of whole hours for `drift`", f"{whole}, as in 1d")
    if by and about.by:
        by.problem("each consumer's drift is watched as a whole", "narrow it with `where`")
    baseline, matters = section.get("baseline"), section.get("matters")
    length = seconds(baseline, 7 * DAY, least=HOUR)
    if baseline and length % HOUR:
        baseline.problem("expected whole hours", whole)
    elif baseline and length < about.window:
        baseline.problem(f"expected at least the window of {about.window:g} s, but got {length:g} s")
    minima = {}
    for name, value in matters.section() if matters else ():
        if name not in DETECTORS:
            value.problem(f"no detector that decides is named `{name}`", did_you_mean(name, DETECTORS))
        minima[name] = value.number(0.1, above=0.0)
    return Drift(length, minima)


THRESHOLD_KEYS = ("recovers_at", "statistic")
"""Keys that stand beside ``above`` and ``below`` alone."""
INNER_KEYS: Mapping[str, tuple[str, ...]] = {
    "baseline": ("change", "drift"),
    "better": ("burn_rate",),
    "between": ("fairness_gap",),
    "beyond": ("fairness_gap", "absence"),
    "canary": ("versions",),
    "direction": ("change", "versions"),
    "factor": ("burn_rate",),
    "look_back": ("absence",),
    "matters": ("drift",),
    "objective": ("burn_rate",),
    "of": ("absence", "cost"),
    "short": ("burn_rate",),
    "stable": ("versions",),
}
"""Keys of kinds, by which of them have it; ``by`` is a rule's own as well."""

DETECTORS = ("chi_square", "mmd", "vocabulary", "wasserstein")
"""The detectors of drift that decide: of shares, topics, words and values."""

_SIDE = "as in {model_version: v2}"


def _direction(value: Value | None) -> Direction:
    return cast("Direction", value.text("fell", choices=("fell", "rose", "either")) if value else "fell")


def _margin(value: Value | None, scale: Scale | None) -> float:
    """Return the smallest difference that matters, in the metric's unit."""
    margin = value.number(0.0, low=0.0) if value else 0.0
    if value and scale and scale.bounded and margin >= _width(scale):
        value.problem(f"expected less than the whole scale, but got {margin:g}")
    return margin


def _own(rule: Section, kind: str) -> Section:
    """Return the section that is named like its kind; it is there."""
    value = rule.get(kind)
    return value.section() if value else rule


def _width(scale: Scale) -> float:
    return cast("float", scale.high) - cast("float", scale.low)


KINDS: Mapping[str, Callable[[Section, About], Condition]] = {
    "above": lambda rule, about: _threshold("above", rule, about),
    "below": lambda rule, about: _threshold("below", rule, about),
    "change": _change,
    "burn_rate": _burn_rate,
    "absence": _absence,
    "versions": _versions,
    "fairness_gap": _fairness_gap,
    "cost": _cost,
    "drift": _drift,
}
"""The keys of which a rule has exactly one, and what reads each."""
