"""The schema of each kind of condition: one entry a kind, as :mod:`evalsvc.rules.reading` reads them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

from evalsvc.rules.schema_values import DURATION, Schema, described, mapping, number


class Kind(NamedTuple):
    """The schema of the value under a kind's key, and of keys that stand beside it in a rule of that kind.

    ``without_metric`` tells rules of the kind that name no metric; None where every one does.
    """

    value: Schema
    beside: Mapping[str, Schema] = {}
    without_metric: Schema | None = None


_BESIDE = {
    "recovers_at": described(number(), "It is over when the point is not beyond this.", [0.15]),
    "statistic": described(
        {"type": "string", "pattern": r"^(?:mean|proportion|p(?!0+(?:\.0*)?$)\d{1,2}(?:\.\d+)?)$"},
        "What is held against the limit.",
        ["mean", "proportion", "p95"],
        "mean",
    ),
}
_DIRECTION = described({"enum": ["fell", "rose", "either"]}, "Which way is watched.")
_MARGIN = described(number(minimum=0), "The smallest change that matters, in the metric's unit.", [0.02], 0)

KINDS: Mapping[str, Kind] = {
    "above": Kind(described(number(), "Fires when the whole interval lies above.", [0.2]), _BESIDE),
    "below": Kind(described(number(), "Fires when the whole interval lies below.", [0.9]), _BESIDE),
    "change": Kind(
        described(
            mapping(
                {
                    "direction": _DIRECTION,
                    "by": _MARGIN,
                    "baseline": described(DURATION, "How long before is compared.", ["7d"], "7d"),
                },
                ["direction"],
            ),
            "Fires when the metric moved against the time before.",
            [{"direction": "fell", "by": 0.02, "baseline": "7d"}],
        )
    ),
}
"""The keys of which a rule has exactly one."""
