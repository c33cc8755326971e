"""Groups compared at one and the same mix of cases: direct standardisation (Fleiss, Levin & Paik 2003, chapter 19).

Two groups can differ because they ask for different things. Standardised, each group's value is what it would be if it
asked for the mix of cases (intents, languages, …) that all groups together ask for: Σ_c W_c·θ_gc, with W_c the share of
case c in all traffic of the groups that are compared.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from functools import cache
from typing import NamedTuple

import msgspec

from evalsvc.errors import InputError
from evalsvc.fairness.groups import Group, Tail
from evalsvc.stats.distributions import satterthwaite
from evalsvc.types import Estimate

MIN_CASE = 5
"""A group with fewer scored events of a case lacks it."""


class Standardised(NamedTuple):
    """Groups at the common mix.

    ``mix`` are the cases' shares, which sum to 1; ``covered`` in [0, 1] is the share of traffic that these cases are;
    ``lacking`` says for each case left out which groups lack it.
    """

    groups: tuple[Group, ...]
    mix: Mapping[str, float]
    covered: float
    lacking: Mapping[str, tuple[str, ...]]
    reason: str = ""


def standardise(cases: Mapping[str, Mapping[str, Group]], *, min_case: int = MIN_CASE) -> Standardised:
    """Return every group at the mix of cases of all groups together.

    A case that a group lacks (fewer than ``min_case`` scored events of it, or no value) is left out for *all* groups,
    since groups at different mixes cannot be compared; so leave out suppressed groups first, or a small one takes cases
    from all.

    Limits of a group are joined from its cases' by MOVER. The mix is taken as given.

    Args:
        cases: by group's name, then by case, the group of the events that are both.
        min_case: the least number of scored events.

    Raises:
        InputError: when ``min_case`` is below 1.
    """
    if min_case < 1:
        raise InputError(f"Expected `min_case` of at least 1, but got {min_case!r}")
    names = sorted({case for by_case in cases.values() for case in by_case})
    sizes = {case: math.fsum(g[case].size for g in cases.values() if case in g) for case in names}
    lacking = {case: tuple(group for group in cases if not _has(cases[group].get(case), min_case)) for case in names}
    lacking = {case: groups for case, groups in lacking.items() if groups}
    kept = [case for case in names if case not in lacking]
    total, shared = math.fsum(sizes.values()), math.fsum(sizes[case] for case in kept)
    if not kept or shared <= 0.0:
        return Standardised((), {}, 0.0, lacking, f"no case has {min_case} scored events and a value in every group")
    mix = {case: sizes[case] / shared for case in kept}
    groups = tuple(_joined(name, {case: by_case[case] for case in kept}, mix) for name, by_case in cases.items())
    return Standardised(groups, mix, shared / total, lacking)


def _has(group: Group | None, min_case: int) -> bool:
    return group is not None and group.at(0.95).n >= min_case and group.at(0.95).value is not None


def _joined(name: str, cases: Mapping[str, Group], mix: Mapping[str, float]) -> Group:
    @cache
    def at(confidence: float) -> Estimate:
        parts = {case: group.at(confidence) for case, group in cases.items()}
        # A case without a value is lacking, and not here.
        values = {case: part.value for case, part in parts.items() if part.value is not None}
        value = math.fsum(mix[case] * one for case, one in values.items())
        below = above = 0.0
        reasons = []
        for case, part in parts.items():
            below += (mix[case] * (values[case] - part.low)) ** 2 if part.low is not None else math.inf
            above += (mix[case] * (part.high - values[case])) ** 2 if part.high is not None else math.inf
            if part.low is None or part.high is None:
                reasons.append(f"case {case}: {part.reason}")
        first = next(iter(parts.values()))
        weight = sum(mix[case] ** 2 / part.n_effective for case, part in parts.items())
        scored = sum(part.n for part in parts.values())
        gone = sum(part.n_missing for part in parts.values())
        return msgspec.structs.replace(
            first,
            value=value,
            low=value - math.sqrt(below) if math.isfinite(below) else None,
            high=value + math.sqrt(above) if math.isfinite(above) else None,
            n=scored,
            n_effective=1.0 / weight,
            n_missing=gone,
            missing_share=math.fsum(mix[case] * part.missing_share for case, part in parts.items()),
            method=f"directly standardised over {len(parts)} cases, MOVER",
            offered=None,
            reason="; ".join(reasons),
        )

    known = [mix[case] * group.error for case, group in cases.items() if group.error is not None]
    error = math.hypot(*known) if len(known) == len(cases) else None
    size = math.fsum(group.size for group in cases.values())
    tails = [group.tail for group in cases.values() if group.tail is not None]
    tail = None
    if error is not None and len(tails) == len(cases):
        freedom = satterthwaite([part**2 for part in known], [one.freedom for one in tails])
        tail = Tail(tails[0].floor, freedom)
    labels = next(iter(cases.values())).labels
    return Group(name, at, size, error, all(g.size_known for g in cases.values()), labels, tail)
