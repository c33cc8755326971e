"""Does what was taken agree with the π that was promised? A wrong π biases every number; it must show."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import NamedTuple

from evalsvc.protocols import Offered
from evalsvc.stats.distributions import binomial_tails
from evalsvc.stats.strata import StratumKey

LEVEL = 1e-6


class SamplingFault(NamedTuple):
    """A stratum whose share of taken events differs from its π by more than chance.

    ``p_value`` is two-sided: twice the smaller binomial tail, at most 1.
    """

    consumer: str
    stratum: str
    design_version: int
    offered: int
    taken: int
    pi: float
    p_value: float

    def __str__(self) -> str:
        """Return it as one line for a log or a page."""
        share = self.taken / self.offered
        return (
            f"{self.consumer}: stratum {self.stratum} (design version {self.design_version}) took "
            f"{self.taken} of {self.offered} offered events, {share:.4%}, where π is {self.pi:.4%} "
            f"(p = {self.p_value:.1e}): its estimates are weighted wrongly"
        )


def sampling_check(
    offered: Sequence[Offered],
    rates: Mapping[StratumKey, float],
    *,
    level: float = LEVEL,
    events_per_unit: float = 1.0,
) -> list[SamplingFault]:
    """Return the strata whose sampled share cannot be chance, worst first. Rows of several windows add up.

    An exact binomial test of each stratum, since Poisson sampling with one π takes a binomial number. A
    record that was delivered again under another offset (``duplicate``) was taken as well.

    Args:
        offered: rows of one consumer.
        rates: the design's π by (stratum, design version); strata that it does not name are left out.
        level: two-sided, per stratum.
        events_per_unit: for session designs, Σn²/Σn over sessions of n events: counts are divided by it,
            which keeps the variance that whole sessions have.

    >>> from datetime import UTC, datetime
    >>> from evalsvc.types import Window
    >>> hour = Window(datetime(2026, 3, 1, tzinfo=UTC), datetime(2026, 3, 1, 1, tzinfo=UTC))
    >>> row = Offered(hour, "quality", "application=support", 1, offered=10_000, sampled=500, duplicate=0)
    >>> [fault.taken for fault in sampling_check([row], {("application=support", 1): 0.1})]
    [500]
    >>> sampling_check([row], {("application=support", 1): 0.05})
    []
    """
    counts: dict[tuple[str, str, int], tuple[int, int]] = {}
    for row in offered:
        key = (row.consumer, row.stratum, row.design_version)
        before = counts.get(key, (0, 0))
        counts[key] = (before[0] + row.offered, before[1] + row.sampled + row.duplicate)
    faults = []
    for (consumer, stratum, version), (total, taken) in counts.items():
        pi = rates.get((stratum, version))
        if pi is not None and total:
            p_value = _p_value(round(total / events_per_unit), taken / events_per_unit, pi)
            if p_value < level:
                faults.append(SamplingFault(consumer, stratum, version, total, taken, pi, p_value))
    return sorted(faults, key=lambda fault: fault.p_value)


def _p_value(total: int, taken: float, pi: float) -> float:
    if pi >= 1.0:
        return 1.0 if round(taken) >= total else 0.0
    # Rounding towards the expected number keeps the test from rejecting more often than it says.
    count = math.ceil(taken) if taken < total * pi else math.floor(taken)
    return min(1.0, 2.0 * min(binomial_tails(min(count, total), total, pi)))
