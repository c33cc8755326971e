"""Is the set large enough for what it is to show? By the power of a paired non-inferiority test on yes-or-no scores."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Sequence

from evalsvc.cases.values import Case, clusters_of
from evalsvc.set_audit.balance import LABEL
from evalsvc.set_audit.values import Finding, Verdict, Wish
from evalsvc.stats.comparison import Question
from evalsvc.stats.power import PairedShares, cases_for, detectable

MOST_SEGMENTS = 12
"""How many values of segments get a finding of their own, the smallest first."""


def size_findings(cases: Sequence[Case], wish: Wish) -> list[Finding]:
    """Return the set's size against the wish, and that of each value of a segment that is too small.

    Cases count by Kish's effective number where weights differ, and cases of one group by the design effect
    1 + (m - 1)·icc, with m the mean size of a case's group, Σm²/Σm. A gate's groups are these: a variant without a
    group is of that of its source.
    """
    wish.check()
    groups = clusters_of(cases, [case.digest for case in cases])
    found = [_whole(cases, groups, wish)]
    values: dict[str, list[int]] = {}
    for place, case in enumerate(cases):
        for name, value in case.segments.items():
            if not name.startswith(LABEL):
                values.setdefault(f"segments.{name}={value}", []).append(place)
    for name in sorted(values, key=lambda name: (len(values[name]), name)):
        if len(found) > MOST_SEGMENTS:
            break
        places = values[name]
        if len(places) == len(cases):
            continue
        members, theirs = [cases[place] for place in places], [groups[place] for place in places]
        if (finding := _segment(name, members, theirs, wish)) is not None:
            found.append(finding)
    return found


def effective(cases: Sequence[Case]) -> float:
    """Return Kish's effective number of cases, (Σw)²/Σw²: as many where all weigh alike."""
    largest = max(case.weight for case in cases)
    weights = [case.weight / largest for case in cases]
    return math.fsum(weights) ** 2 / math.fsum(weight * weight for weight in weights)


OF_A_SUITE = "what a suite's own gates can show with these cases: evalsvc gate SUITE --power"
"""Scores that are known tell more than what is assumed of scores that are not."""


def group_size(groups: Sequence[str]) -> float:
    """Return the mean size of the group that a case is in, Σm²/Σm, of the group of each case.

    >>> group_size(["a", "a", "a", "b"])
    2.5
    """
    return sum(size * size for size in Counter(groups).values()) / len(groups)


def assumed(wish: Wish, *, grouped: bool) -> str:
    """Return what the size takes to be so, which scores alone would tell."""
    alike = f" and groups' cases are alike by {wish.icc:g} (`--icc`)" if grouped else ""
    return f"yes-or-no scores of the two differ on {wish.discordant:.0%} of cases (`--discordant`){alike}"


def _whole(cases: Sequence[Case], groups: Sequence[str], wish: Wish) -> Finding:
    n, m, usable = len(cases), group_size(groups), effective(cases)
    question = Question("non-inferiority", wish.margin, wish.level)
    design = PairedShares(wish.discordant, m, wish.icc)
    needed = cases_for(design, 0.0, power=wish.power, question=question)
    seen = detectable(design, max(2, int(usable)), power=wish.power, question=question)
    margin = "no margin" if seen is None else f"a margin of {seen:.3g}"
    weighing = "" if usable > 0.99 * n else f", worth {usable:,.0f} by their weights"
    grouping = "" if m == 1.0 else f", in {len(set(groups)):,} groups (a case's group has {m:.1f} on average)"
    said = f"{n:,} cases{grouping}{weighing}: an equal version passes {margin} with power {wish.power:g}"
    said += f", taken that {assumed(wish, grouped=m > 1.0)}"
    if needed is None:
        advice = f"no number of cases does for a margin of {wish.margin:g}; {OF_A_SUITE}"
        return Finding(subject="size", what="whole set", value=float(n), said=said, verdict="bad", next=advice)
    wished = math.ceil(needed * n / usable)
    verdict: Verdict = "ok" if wished <= n else "look" if wished <= 2 * n else "bad"
    reason = f"a margin of {wish.margin:g} takes {wished:,} cases like these"
    better = "" if m == 1.0 else ", better of groups that are not there yet"
    advice = "" if verdict == "ok" else f"add {wished - n:,} cases{better}: {reason}; "
    return Finding(
        subject="size", what="whole set", value=float(n), said=said, verdict=verdict, next=advice + OF_A_SUITE
    )


def _segment(name: str, members: Sequence[Case], groups: Sequence[str], wish: Wish) -> Finding | None:
    """Return a finding on a value of a segment that cannot show twice the margin."""
    question = Question("non-inferiority", 2.0 * wish.margin, wish.level)
    design = PairedShares(wish.discordant, group_size(groups), wish.icc)
    needed = cases_for(design, 0.0, power=wish.power, question=question) if 2.0 * wish.margin < 1.0 else 2
    usable = effective(members)
    if needed is None or needed <= usable:
        return None
    wished = math.ceil(needed * len(members) / usable)
    return Finding(
        subject="size",
        what=name,
        value=float(len(members)),
        said=f"{len(members):,} cases; twice the margin takes {wished:,}",
        verdict="look",
        next=f"add {wished - len(members):,} cases of {name}, or gate it with a wider margin",
    )
