"""False alarms of the starter rules on quiet days, with the settings that ``alerts/quality.rules.yaml`` ships.

Run ``python benchmarks/alert_starter.py [--days 10000] [--changes 1000] [--rule ALERT]``: it prints the table of
``docs/runbooks/README.md``. An application has 20,000 events an hour, sampled as ``consumers/quality.yaml`` does: one
in 100, and one in five of the 3 % of enterprise customers. Minutes' sums are drawn from their laws; rules judge them by
the ruler's code. As in ``alert_calibration.py``, looks that cannot be bad are not made.

A percentile lies above a limit as a share lies above another: a rule on a 95th percentile is run as one on the share of
answers that are slower than its limit, above 0.05 (Woodruff 1952). Absence counts and has no false alarms to measure;
rules on a day's cost, gap and drift are left out: their intervals and tests are calibrated in ``tests/calibration``.
"""

from __future__ import annotations

import argparse
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
from msgspec.structs import replace
from numpy.typing import NDArray

from _alert_traffic import (
    BINARY,
    DAY,
    GRADED,
    MINUTE,
    MONTH,
    START,
    WEEK,
    Count,
    Design,
    Floats,
    Sight,
    Stratum,
    Sums,
    draw,
    look,
    points,
    summed,
)
from _change_watch import Watch, page_minutes
from _harness import Aim, Row, machine
from evalsvc.project import check
from evalsvc.rules.judging import confidence_of
from evalsvc.rules.judging_kinds import judge_burn_rate
from evalsvc.rules.machine import AlertState, step
from evalsvc.rules.values import BurnRate, Change, Rule, RuleGroup, Threshold
from evalsvc.stats.distributions import normal_quantile
from evalsvc.types import Scale

FILE = Path(__file__).resolve().parents[1] / "alerts" / "quality.rules.yaml"
NEAR = 0.5
RUNS = 10
WHOLE = (Stratum(0.01, 3.2), Stratum(0.2, 2.0))
HALF = (Stratum(0.005, 1.6), Stratum(0.1, 1.0))
LOWER = Scale(0.0, 1.0, "lower", binary=True)


class Quiet(NamedTuple):
    """Quiet traffic for a rule. ``rhythm`` is how far the mean goes up and down in a day."""

    alert: str
    name: str
    design: Design
    rhythm: float = 0.0


TRAFFIC = (
    Quiet("RefusalsSurged", "0.03, flat", Design("", 0.03, WHOLE, BINARY)),
    Quiet("RefusalsSurged", "0.03 ± 0.02 in a day", Design("", 0.03, WHOLE, BINARY), 0.02),
    Quiet("RefusalsRose", "0.03, flat", Design("", 0.03, WHOLE, BINARY)),
    Quiet("RefusalsRose", "0.03 ± 0.01 in a day", Design("", 0.03, WHOLE, BINARY), 0.01),
    Quiet("AnswersFellShortOfContext", "0.90, flat", Design("", 0.90, HALF, GRADED)),
    Quiet("RelevanceFell", "0.75 ± 0.02 in a day", Design("", 0.75, HALF, GRADED), 0.02),
    Quiet("PersonalDataInAnswers", "0.005, ordinary", Design("", 0.005, WHOLE, LOWER)),
    Quiet("PersonalDataInAnswers", "0.02, on the limit", Design("", 0.02, WHOLE, LOWER)),
    Quiet("LatencyP95", "0.01 are slower, ordinary", Design("", 0.01, WHOLE, LOWER)),
    Quiet("LatencyP95", "0.05 are slower, on the limit", Design("", 0.05, WHOLE, LOWER)),
    Quiet("FirstTokenSlow", "0.05 are slower, on the limit", Design("", 0.05, WHOLE, LOWER)),
    Quiet("RefusalObjective", "0.05, ordinary", Design("", 0.05, WHOLE, BINARY)),
    Quiet("RefusalObjective", "0.10, on the limit", Design("", 0.10, WHOLE, BINARY)),
)


def shipped() -> dict[str, tuple[RuleGroup, Rule]]:
    """Return the rules of the file with their groups; a percentile's limit is that of a share."""
    found = {}
    for group in check([FILE], here=False).rules:
        for rule in group.rules:
            held = rule
            if isinstance(rule.condition, Threshold) and rule.condition.statistic == "p95":
                held = replace(rule, condition=Threshold("above", 0.05, 0.05))
            found[rule.alert] = (group, held)
    return found


def alarms(group: RuleGroup, rule: Rule, quiet: Quiet, days: int, seed: int = 1) -> Count:
    """Return the false alarms of a rule on so many quiet days, in runs of a month or less."""
    rng, total = np.random.default_rng(seed), Count(0, 0.0, 0)
    lead = WEEK if isinstance(rule.condition, Change) else 0
    span = min(MONTH, days)
    while total.days < days - 0.5:
        runs = max(1, min(RUNS, round((days - total.days) / span)))
        minutes = lead + span * DAY + int(rule.window_seconds // 60)
        sums = summed(draw(rng, quiet.design, _mean(quiet, minutes), runs, minutes))
        if isinstance(rule.condition, Change):
            watch = Watch(rule, quiet.design, sums)
            pages = sum(map(len, page_minutes(watch)))
            found = Count(pages, runs * (minutes - watch.begin) / DAY, watch.judged)
        else:
            found = _looked(group, rule, quiet.design, sums)
        total = total.plus(found)
    return total


def _mean(quiet: Quiet, minutes: int) -> Floats | float:
    if not quiet.rhythm:
        return quiet.design.mean
    return quiet.design.mean + quiet.rhythm * np.sin(np.arange(minutes) * 2.0 * np.pi / DAY)


def _looked(group: RuleGroup, rule: Rule, design: Design, sums: Sums) -> Count:
    """Return the false alarms of a rule on these minutes, each look that may be bad judged by the ruler's code."""
    width, every = int(rule.window_seconds // 60), int(group.interval_seconds // 60)
    delay, last = int(group.delay_seconds // 60), sums.offered.shape[1] - 1
    far = _far(rule, design, sums, width)
    first = -(-(width + 60 + delay) // every) * every
    ends = np.arange(first, last + 1, every)
    sieve = NEAR * normal_quantile(1.0 - rule.false_alarms.per_look(group.interval_seconds, 1))
    pages = judged = 0
    for run in range(len(far)):
        free, sight = 0, Sight(design, sums, run)
        for place in np.flatnonzero(far[run, ends - delay - width] > sieve).tolist():
            if place < free:
                continue
            state, free = AlertState(fingerprint="", labels={}), place
            while free < len(ends):
                state = _step(group, rule, sight, int(ends[free]), state)
                judged, free = judged + 1, free + 1
                if state.phase not in ("pending", "firing"):
                    break
            pages += state.fired_on is not None
    return Count(pages, len(far) * len(ends) * every / DAY, judged)


def _far(rule: Rule, design: Design, sums: Sums, width: int) -> NDArray[np.float64]:
    """Return by how many of its standard errors each window's mean lies above the limit."""
    condition = rule.condition
    if not isinstance(condition, Threshold | BurnRate):
        raise TypeError(f"Expected a threshold or a burn rate, but got {condition}")
    mean, error = points(design, sums, width)
    with np.errstate(invalid="ignore", divide="ignore"):
        far: NDArray[np.float64] = (mean - condition.limit) / error
    return np.nan_to_num(far, nan=-np.inf)


def _step(group: RuleGroup, rule: Rule, sight: Sight, end: int, state: AlertState) -> AlertState:
    """Return the state after a look at a minute."""
    if not isinstance(rule.condition, BurnRate):
        return look(rule, sight, end, state, group)
    till = end - int(group.delay_seconds // 60)
    confidence = confidence_of(rule, group.interval_seconds, 1)
    lengths = rule.window_seconds, rule.condition.short_seconds
    long, short = (
        sight.sums.estimate(sight.design, sight.run, till - int(seconds // 60), till, confidence) for seconds in lengths
    )
    seen = judge_burn_rate(rule, rule.condition, long, short, sight.design.scale)
    return step(rule, state, seen, START + end * MINUTE)


def run(quick: bool = False) -> list[Row]:
    """Return false alarms in 30 quiet days beside the budget; ``quick``: 60 days of each traffic."""
    return [
        Row(
            "alert starter",
            f"{quiet.alert}, {quiet.name}: false alarms in 30 days, lower limit of {count.days:,.0f} days",
            count.rate[1],
            "alarms",
            aim=Aim("value", "≤", budget),
        )
        for quiet, budget, count in counts(*(60, 30) if quick else (1_000, 300))
    ]


def counts(days: int, changes: int, alerts: Sequence[str] = ()) -> Iterator[tuple[Quiet, float, Count]]:
    """Yield each traffic with its rule's budget and the false alarms of so many days, or those of some rules."""
    rules = shipped()
    for quiet in (one for one in TRAFFIC if not alerts or one.alert in alerts):
        group, rule = rules[quiet.alert]
        many = changes if isinstance(rule.condition, Change) else days
        budget = rule.false_alarms.count * MONTH * 86_400.0 / rule.false_alarms.seconds
        yield quiet, budget, alarms(group, rule, quiet, many)


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("--days", type=int, default=10_000, help="quiet days of each traffic")
    parser.add_argument("--changes", type=int, default=1_000, help="the same, of rules on changes")
    parser.add_argument(
        "--rule", action="append", default=[], metavar="ALERT", help="only this one; repeat it for more"
    )
    options = parser.parse_args()
    print(f"{machine()}\n")
    print("| rule | traffic | quiet days | false alarms | in 30 days | 95 % interval | budget |")
    print("|---|---|--:|--:|--:|--:|--:|")
    for quiet, budget, count in counts(options.days, options.changes, options.rule):
        rate, low, high = count.rate
        figures = f"{count.days:,.0f} | {count.pages:,} | {rate:.3f} | {low:.3f} … {high:.3f} | {budget:.3f}"
        print(f"| {quiet.alert} | {quiet.name} | {figures} |", flush=True)


if __name__ == "__main__":
    main()
