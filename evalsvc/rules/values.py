"""Rules as checked values: a group is evaluated at one pace, a rule watches one metric for some segments."""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Mapping
from typing import Literal

import msgspec

Severity = Literal["page", "ticket", "info"]
OnTrouble = Literal["keep", "alert"]
Side = Literal["above", "below"]
Direction = Literal["fell", "rose", "either"]

DAY = 86_400.0


class Budget(msgspec.Struct, frozen=True):
    """How many false alarms a rule may raise: ``count`` in ``seconds``, over all the alerts that it makes."""

    count: float = 1.0
    seconds: float = 30 * DAY

    def per_look(self, interval_seconds: float, alerts: int) -> float:
        """Return the error that one look at one alert may spend, in (0, 0.05]: Bonferroni over looks and alerts.

        >>> f"{Budget().per_look(60.0, 1):.2e}"
        '2.31e-05'
        """
        return min(0.05, self.count * interval_seconds / (self.seconds * max(1, alerts)))

    def looks(self, interval_seconds: float, alerts: int) -> float:
        """Return the average number of looks to a false alarm that each alert has to keep: at least 2.

        >>> Budget().looks(60.0, 1)
        43200.0
        """
        return max(2.0, self.seconds * max(1, alerts) / (self.count * interval_seconds))


class Threshold(msgspec.Struct, frozen=True, tag="threshold"):
    """Bad when the whole interval lies ``side`` of ``limit``; good when the point is not beyond ``recovers_at``."""

    side: Side
    limit: float
    recovers_at: float
    statistic: str = "mean"


class Change(msgspec.Struct, frozen=True, tag="change"):
    """Bad when a detector says that the mean moved by more than ``margin`` from that of the time before.

    Good when the window's point is back within ``margin`` of the baseline's interval.
    """

    direction: Direction
    margin: float
    baseline_seconds: float


class BurnRate(msgspec.Struct, frozen=True, tag="burn_rate"):
    """Bad when the failing share is beyond ``factor`` times what ``objective`` allows, in two windows at once.

    ``objective`` in (0, 1) is the share of answers that should be good: 1 - objective may fail. ``better`` is the end
    of the scale that is good. The rule's window is the long one and says that it matters; its last ``short_seconds``
    say that it goes on. Good when the short window's point is not beyond.
    """

    objective: float
    factor: float
    short_seconds: float
    better: Literal["higher", "lower"]

    @property
    def limit(self) -> float:
        """The failing share beyond which it burns too fast, in (0, 1)."""
        return self.factor * (1.0 - self.objective)


class Absence(msgspec.Struct, frozen=True, tag="absence"):
    """Bad when there are no events or scores in the window, or failures or abstentions are beyond a share ``limit``.

    These are counts, not estimates: no budget is spent. What had events or scores in the ``look_back_seconds`` to the
    window's end is expected to have some, and so is what the rule's ``where`` names. Shares are of the events that the
    scorer was given.
    """

    of: Literal["events", "scores", "failures", "abstentions"]
    limit: float = 0.0
    look_back_seconds: float = 7 * DAY


class Versions(msgspec.Struct, frozen=True, tag="versions"):
    """Bad when the canary's mean differs from the stable one's by more than ``margin``, by the difference's interval.

    Both are narrowed by the rule's ``where`` too, and have no event in common. ``fell`` is that the canary is lower.
    Good when the point of the difference is within ``margin``, on the sides that are watched.
    """

    canary: Mapping[str, tuple[str, ...]]
    stable: Mapping[str, tuple[str, ...]]
    direction: Direction
    margin: float


class FairnessGap(msgspec.Struct, frozen=True, tag="fairness_gap"):
    """Bad when the highest and the lowest of the groups that ``field`` makes are further apart than ``limit``.

    The interval holds for all pairs of groups jointly. Good when the gap's point is not beyond the limit, which is in
    the metric's unit, at least 0.
    """

    field: str
    limit: float


class Cost(msgspec.Struct, frozen=True, tag="cost"):
    """Bad when a window's total lies beyond ``limit``, above 0: the whole interval where it is estimated.

    ``metric`` totals the rule's metric over all events, in its unit; ``judge`` adds up the US dollars that scores of
    the rule's metric say the judge was paid for them. Good when the point is not beyond.
    """

    of: Literal["metric", "judge"]
    limit: float


class Drift(msgspec.Struct, frozen=True, tag="drift"):
    """Bad when something watched of the metric moved against the ``baseline_seconds`` before the rule's window.

    That is its values, missing scores, languages, words or topics. Windows stand on multiples of their length since the
    epoch. ``minima`` are the smallest effects that matter, by detector, where they are not the usual ones. Good when no
    effect matters.
    """

    baseline_seconds: float
    minima: Mapping[str, float] = {}


Condition = Threshold | Change | BurnRate | Absence | Versions | FairnessGap | Cost | Drift


def limit_of(condition: Condition) -> float | None:
    """Return the number that a condition holds an estimate against, None where that is another estimate."""
    return None if isinstance(condition, Change | Versions | Drift) else condition.limit


class Rule(msgspec.Struct, frozen=True, kw_only=True):
    """One rule. ``where`` narrows and ``by`` splits as a query's do; each combination in the data is an alert.

    ``metric`` is empty where the rule is about events, whatever is measured.
    """

    alert: str
    metric: str
    condition: Condition
    window_seconds: float
    where: Mapping[str, tuple[str, ...]] = {}
    by: tuple[str, ...] = ()
    false_alarms: Budget = Budget()
    for_seconds: float = 0.0
    keep_firing_seconds: float = 600.0
    min_effective_n: float = 30.0
    severity: Severity = "page"
    no_data: OnTrouble = "keep"
    error: OnTrouble = "keep"
    labels: Mapping[str, str] = {}
    annotations: Mapping[str, str] = {}
    runbook: str = ""
    owner: str = ""


class RuleGroup(msgspec.Struct, frozen=True, kw_only=True):
    """Rules that are evaluated together every ``interval_seconds``, on windows that end ``delay_seconds`` ago.

    Looks that were missed are made up for as far as ``catch_up_seconds`` back, oldest first; older ones are skipped
    and counted.
    """

    name: str
    path: str
    interval_seconds: float
    delay_seconds: float
    catch_up_seconds: float
    rules: tuple[Rule, ...]


def label_of(field: str) -> str:
    """Return the name of the label that says a field's value.

    >>> label_of("segments.customer-plan"), label_of("model_version")
    ('customer_plan', 'model_version')
    """
    return re.sub(r"\W", "_", field.removeprefix("segments."), flags=re.ASCII)


def alert_labels(rule: Rule, key: Mapping[str, str], consumer: str) -> dict[str, str]:
    """Return the labels of one of a rule's alerts: its own, and what ``by`` and the consumer say of the group.

    ``segments.language`` becomes ``language``; what a label's name cannot hold becomes ``_``.
    """
    of_group = {label_of(name): key[name] for name in key}
    fixed = {"alertname": rule.alert, "severity": rule.severity, "metric": rule.metric, "owner": rule.owner}
    told = {name: value for name, value in fixed.items() if value}
    return {**rule.labels, "consumer": consumer, **of_group, **told}


def fingerprint(labels: Mapping[str, str]) -> str:
    """Return 16 hexadecimal digits that stay the same as long as the labels do.

    >>> fingerprint({"alertname": "A", "language": "de"}) == fingerprint({"language": "de", "alertname": "A"})
    True
    """
    text = json.dumps(sorted(labels.items()), ensure_ascii=False, separators=(",", ":"))
    return hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()[:16]
