"""Every group with its estimate, its interval and its share; small groups suppressed, and said to be."""

from __future__ import annotations

import math
from collections.abc import Collection, Mapping, Sequence

import msgspec

from evalsvc.errors import InputError
from evalsvc.fairness.groups import MIN_GROUP, Group, GroupEstimate
from evalsvc.types import Estimate

COMPLEMENT = "suppressed: the only other suppressed group could be found by subtraction"


def suppressed(groups: Sequence[Group], min_group: float = MIN_GROUP, *, complementary: bool = False) -> dict[str, str]:
    """Return why each suppressed group is, by its name.

    A group is suppressed when its scored events, or their effective number, are below ``min_group``. Of a single
    suppressed group the mean follows from the mean of all events less the others' share. Nothing that this package
    makes shows that total (references are means over the *shown* groups), but ``evalsvc query`` does; with
    ``complementary`` the smallest shown group is suppressed as well, so that only the two together can be found.

    Raises:
        InputError: when ``min_group`` is negative.
    """
    if not min_group >= 0:
        raise InputError(f"Expected `min_group` of at least 0, such as 30, but got {min_group!r}")
    reasons: dict[str, str] = {}
    small: list[str] = []
    shown: list[tuple[float, str]] = []
    for group in groups:
        estimate = group.at(0.95)
        if estimate.n == 0:
            # Nothing is there to suppress.
            reasons[group.name] = f"no value: {estimate.reason}"
        elif estimate.n < min_group:
            reasons[group.name] = f"suppressed: {estimate.n:,} scored events, fewer than {min_group:g}"
            small.append(group.name)
        # Kish's number of equal weights is n but for rounding.
        elif estimate.n_effective < min_group * (1.0 - 1e-9):
            size = f"an effective number of {estimate.n_effective:,.1f} events, fewer than {min_group:g}"
            reasons[group.name] = f"suppressed: {size}"
            small.append(group.name)
        else:
            shown.append((group.size, group.name))
    if complementary and len(small) == 1 and shown:
        reasons[min(shown)[1]] = COMPLEMENT
    return reasons


def disaggregate(
    groups: Sequence[Group],
    *,
    min_group: float = MIN_GROUP,
    complementary: bool = False,
    confidence: float = 0.95,
    hidden: Mapping[str, str] | None = None,
) -> list[GroupEstimate]:
    """Return every group as it may be shown, in the given order; none is left out.

    The interval is for one group that was chosen before looking; comparisons between groups need those of
    :mod:`evalsvc.fairness.gaps`. ``hidden`` says why groups are suppressed, by name, where that is already decided;
    whatever the reason says, these are shown without a value.

    Raises:
        InputError: on two groups of one name, a negative ``min_group``, or a confidence outside (0, 1).
    """
    check_names(groups)
    reasons = suppressed(groups, min_group, complementary=complementary) if hidden is None else hidden
    total = math.fsum(group.size for group in groups)
    rows = []
    for group in groups:
        estimate = group.at(confidence)
        why = reasons.get(group.name, "")
        hide = group.name in reasons and estimate.n > 0
        share = group.size / total if total > 0.0 else 0.0
        shown = _without_value(estimate, why) if hide else estimate
        rows.append(GroupEstimate(group.name, group.labels, shown, share, hide, why or estimate.reason))
    return rows


def shown(groups: Sequence[Group], hidden: Collection[str]) -> list[Group]:
    """Return the groups that are not suppressed."""
    return [group for group in groups if group.name not in hidden]


def check_names(groups: Sequence[Group]) -> None:
    """Refuse two groups of one name, which nobody could tell apart."""
    names = [group.name for group in groups]
    if len(set(names)) != len(names):
        twice = next(name for name in names if names.count(name) > 1)
        raise InputError(f"Expected groups of different names, but got {twice!r} twice; add up its cells first")


def _without_value(estimate: Estimate, reason: str) -> Estimate:
    # A method or a note may tell of the scores themselves, so only counts stay.
    return msgspec.structs.replace(estimate, value=None, low=None, high=None, method="", reason=reason)
