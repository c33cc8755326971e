"""The schema of each kind of condition: one entry a kind, as :mod:`evalsvc.rules.reading` reads them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

from evalsvc.rules.reading_kinds import DETECTORS
from evalsvc.rules.schema_values import DURATION, FIELD, Schema, described, fields, mapping, number, one_or_more, words


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
_SHARES = ["failures", "abstentions"]
_SIDE = {**fields(one_or_more(words())), "minProperties": 1}


def _absence() -> Schema:
    """Return what is absent: shares need to be beyond one, and the others cannot be."""
    keys = {
        "of": described({"enum": ["events", "scores", *_SHARES]}, "What stops, or comes too often."),
        "beyond": described(
            {"type": "number", "minimum": 0, "exclusiveMaximum": 1}, "The share that is too much.", [0.2]
        ),
        "look_back": described(DURATION, "What came so long ago is expected to go on.", ["7d"], "7d"),
    }
    share = {"properties": {"of": {"enum": _SHARES}}, "required": ["of"]}
    return {
        **mapping(keys, ["of"]),
        "if": share,
        "then": {"required": ["beyond"], "properties": {"look_back": False}},
        "else": {"properties": {"beyond": False}},
    }


_EVENTS: Schema = {
    "properties": {"absence": {"properties": {"of": {"const": "events"}}, "required": ["of"]}},
    "required": ["absence"],
}

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
    "burn_rate": Kind(
        described(
            mapping(
                {
                    "objective": described(
                        {"type": "number", "exclusiveMinimum": 0, "exclusiveMaximum": 1},
                        "The share of answers that should be good.",
                        [0.95],
                    ),
                    "factor": described(
                        {"type": "number", "exclusiveMinimum": 0},
                        "Fires when so many times the allowance of 1 - objective fails.",
                        [6, 14.4],
                    ),
                    "short": described(
                        DURATION, "The short window, whole minutes; without it a twelfth of `window`.", ["5m"]
                    ),
                    "better": described({"enum": ["higher", "lower"]}, "The end of the metric's scale that is good."),
                },
                ["objective", "factor"],
            ),
            "Fires when an objective is missed too fast, in a long and in a short window.",
            [{"objective": 0.95, "factor": 6, "short": "5m"}],
        )
    ),
    "absence": Kind(
        described(_absence(), "Fires when nothing comes, or a scorer fails or abstains too often.", [{"of": "events"}]),
        without_metric=_EVENTS,
    ),
    "versions": Kind(
        described(
            mapping(
                {
                    "canary": described(_SIDE, "Events of the version that is tried.", [{"model_version": "v2"}]),
                    "stable": described(_SIDE, "Events that it is compared with.", [{"model_version": "v1"}]),
                    "direction": _DIRECTION,
                    "by": _MARGIN,
                },
                ["canary", "stable", "direction"],
            ),
            "Fires when a canary's mean differs from the stable version's.",
            [{"canary": {"model_version": "v2"}, "stable": {"model_version": "v1"}, "direction": "fell"}],
        )
    ),
    "fairness_gap": Kind(
        described(
            mapping(
                {
                    "between": described(
                        {**FIELD, "not": {"const": "consumer"}}, "Its values are the groups.", ["segments.language"]
                    ),
                    "beyond": described(number(minimum=0), "The gap that is too much, in the metric's unit.", [0.1]),
                },
                ["between", "beyond"],
            ),
            "Fires when two groups are further apart.",
            [{"between": "segments.language", "beyond": 0.1}],
        )
    ),
    "cost": Kind(
        described(
            mapping(
                {
                    "above": described(
                        {"type": "number", "exclusiveMinimum": 0}, "The amount that is too much in a window.", [50]
                    ),
                    "of": described(
                        {"enum": ["metric", "judge"]}, "The metric's total, or its judge's cost.", default="metric"
                    ),
                },
                ["above"],
            ),
            "Fires when a window costs more.",
            [{"above": 50}],
        )
    ),
    "drift": Kind(
        described(
            mapping(
                {
                    "baseline": described(DURATION, "How long before is compared, whole hours.", ["7d"], "7d"),
                    "matters": described(
                        mapping({name: {"type": "number", "exclusiveMinimum": 0} for name in DETECTORS}),
                        "The smallest effect that matters, by detector.",
                        [{"chi_square": 0.02}],
                    ),
                }
            ),
            "Fires when scores, texts, languages or topics moved against the time before.",
            [{"baseline": "7d"}],
        )
    ),
}
"""The keys of which a rule has exactly one."""
