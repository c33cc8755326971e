"""False alarms of the starter rules on quiet days, with the settings that ``alerts/quality.rules.yaml`` ships.

Run ``python benchmarks/alert_starter.py [--days 10000] [--rule ALERT]``: it prints the table of
``docs/runbooks/README.md``. An application has 20,000 events an hour, sampled as ``consumers/quality.yaml`` does: one
in 100, and one in five of the 3 % of enterprise customers. Minutes' sums are drawn from their laws; rules judge them by
the ruler's code. As in ``alert_calibration.py``, looks that cannot be bad are not made.

A percentile lies above a limit as a share lies above another: a rule on a 95th percentile is run as one on the share of
answers that are slower than its limit, above 0.05 (Woodruff 1952). Rules that read for themselves are given a store
that answers from the drawn sums (``_drawn_store.py``). Of drift all values are drawn and each whole day is looked at
once, since all looks of a day see the same; a change rule is looked at each minute, the others each time that the
ruler does. ``tests/calibration/test_starter_rules.py`` holds them against every look.
"""

from __future__ import annotations

import argparse
from collections.abc import Iterator, Sequence
from datetime import timedelta
from itertools import combinations
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
    drawn_at_once,
    look,
    parts,
    points,
    summed,
)
from _change_watch import Watch, page_minutes
from _drawn_store import DrawnDays, DrawnStore, plan, watched
from _harness import Aim, Row, machine
from evalsvc.project import check
from evalsvc.rules.machine import AlertState
from evalsvc.rules.values import (
    Absence,
    BurnRate,
    Change,
    Cost,
    Drift,
    FairnessGap,
    Rule,
    RuleGroup,
    Threshold,
    Versions,
)
from evalsvc.stats.distributions import normal_quantile
from evalsvc.stats.quantile import bin_of
from evalsvc.types import Scale

FILE = Path(__file__).resolve().parents[1] / "alerts" / "quality.rules.yaml"
# Minutes before the first look: the delay, and what is left of an hour.
BEFORE = 62
# Below so many of the normal quantile at the rule's level no look is bad; of gaps, whose limits hold for all pairs.
NEAR, NEAR_GAP = 0.5, 0.75
WHOLE = (Stratum(0.01, 3.2), Stratum(0.2, 2.0))
HALF = (Stratum(0.005, 1.6), Stratum(0.1, 1.0))
# Of the 20,000 events an hour 3 % are enterprise's, 67 % of the largest plan.
PLANS = (Stratum(0.2, 2.0), Stratum(0.01, 2.23), Stratum(0.01, 1.0))
# Of a version under trial, by an encoder's scorer: a tenth of the traffic.
TRIAL = (Stratum(0.005, 1.5), Stratum(0.005, 0.15))
WORSE = (TRIAL[0], TRIAL[1]._replace(shift=-0.01))
ONE_APART = (PLANS[0], PLANS[1], PLANS[2]._replace(shift=0.05))
ALL_APART = (PLANS[0]._replace(shift=0.025), PLANS[1], PLANS[2]._replace(shift=0.05))
CANARY = Versions({"segments.plan": (plan(1),)}, {"segments.plan": (plan(0),)}, "fell", 0.01)
LOWER = Scale(0.0, 1.0, "lower", binary=True)
USD, TOKENS = Scale(0.0, None, "lower", "USD"), Scale(0.0, None, "neither", "tokens")
# Of 20,000 events an hour, so that a day's are expected to cost what the rule allows.
DOLLARS = 100.0 / 480_000
# The logarithms of lengths: 200 tokens in the middle, one in 20 above 750.
LENGTH, LENGTHS, LONGEST = 5.3, 0.8, 50_000


class Quiet(NamedTuple):
    """Quiet traffic for a rule. ``rhythm`` is how far the mean goes up and down in a day."""

    alert: str
    name: str
    design: Design
    rhythm: float = 0.0


def thin(events: float, hours: float, gone: float = 0.0) -> Design:
    """Return traffic of one plan with so many scores in so many hours, of which a share is ``gone``."""
    return Design("", 0.05, (Stratum(1.0, events / (60.0 * hours)),), BINARY, missing=gone)


TRAFFIC = (
    Quiet("NoEvents", "20 events an hour", thin(20, 1)),
    Quiet("NoEvents", "12 events an hour", thin(12, 1)),
    Quiet("NoScores", "20 scores in 6 hours", thin(20, 6)),
    Quiet("NoScores", "12 scores in 6 hours", thin(12, 6)),
    Quiet("ScorerFails", "0.05 fail of 40 in 6 hours", thin(40, 6, 0.05)),
    Quiet("ScorerFails", "0.15 fail of 900 in 6 hours", thin(900, 6, 0.15)),
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
    Quiet("CostPerDay", "80 USD a day, ordinary", Design("", 0.8 * DOLLARS, WHOLE, USD)),
    Quiet("CostPerDay", "100 USD a day, on the limit", Design("", DOLLARS, WHOLE, USD)),
    Quiet("PlansGetUnequalAnswers", "0.05 in all of 3 plans", Design("", 0.05, PLANS, BINARY)),
    Quiet("PlansGetUnequalAnswers", "0.03, 0.03 and 0.08, on the limit", Design("", 0.03, ONE_APART, BINARY)),
    Quiet("PlansGetUnequalAnswers", "0.03, 0.055 and 0.08, on the limit", Design("", 0.03, ALL_APART, BINARY)),
    Quiet("CanaryWorse", "0.90 of both", Design("", 0.90, TRIAL, GRADED)),
    Quiet("CanaryWorse", "0.89 and 0.90, on the limit", Design("", 0.90, WORSE, GRADED)),
    Quiet("AnswersDrifted", "7,500 scores a day", Design("", 0.0, WHOLE, TOKENS)),
    Quiet("AnswersDrifted", "75 scores a day", Design("", 0.0, (Stratum(0.01, 0.032), Stratum(0.2, 0.02)), TOKENS)),
)


def shipped() -> dict[str, tuple[RuleGroup, Rule]]:
    """Return the rules of the file with their groups; a percentile's limit is that of a share.

    The one on versions, which the file has as a comment, has a plan in place of each version.
    """
    found = {}
    for group in check([FILE], here=False).rules:
        for rule in group.rules:
            held = rule
            if isinstance(rule.condition, Threshold) and rule.condition.statistic == "p95":
                held = replace(rule, condition=Threshold("above", 0.05, 0.05))
            found[rule.alert] = (group, held)
    days = found["CostPerDay"][0]
    found["CanaryWorse"] = (
        days,
        replace(found["AnswersFellShortOfContext"][1], condition=CANARY, window_seconds=86_400.0),
    )
    return found


def alarms(group: RuleGroup, rule: Rule, quiet: Quiet, days: int, seed: int = 1) -> Count:
    """Return the false alarms of a rule on so many quiet days."""
    rng, total = np.random.default_rng(seed), Count(0, 0.0, 0)
    if isinstance(rule.condition, Drift):
        return _drifted(group, rule, quiet.design, days, rng)
    lead = WEEK if isinstance(rule.condition, Change) else 0
    for runs, span in drawn_at_once(days, rule):
        minutes = lead + span * DAY + int(rule.window_seconds // 60) + (0 if lead else BEFORE)
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
    first = -(-(width + delay) // every) * every
    ends = np.arange(first, last + 1, every)
    near = NEAR_GAP if isinstance(rule.condition, FairnessGap) else NEAR
    sieve = near * normal_quantile(1.0 - rule.false_alarms.per_look(group.interval_seconds, 1))
    pages = judged = 0
    for run in range(len(far)):
        free, store = 0, DrawnStore(rule.metric, Sight(design, sums, run))
        for place in np.flatnonzero(far[run, ends - delay - width] > sieve).tolist():
            if place < free:
                continue
            state, free = AlertState(fingerprint="", labels={}), place
            while free < len(ends):
                state = looked(group, rule, store, int(ends[free]), state)
                judged, free = judged + 1, free + 1
                if state.phase not in ("pending", "firing"):
                    break
            pages += state.fired_on is not None
            if state.fired_on is not None and far[run, ends[place] - delay - width] < 1.1 * sieve:
                raise AssertionError(f"{rule.alert} is bad so near its limit that the sieve is too coarse")
    return Count(pages, len(far) * len(ends) * every / DAY, judged)


def _far(rule: Rule, design: Design, sums: Sums, width: int) -> Floats:
    """Return by how many of its standard errors each window's estimate lies above the limit; of counts, infinitely."""
    condition = rule.condition
    with np.errstate(invalid="ignore", divide="ignore"):
        if isinstance(condition, Absence):
            return np.where(_lacking(condition, sums, width), np.inf, -np.inf)
        if isinstance(condition, FairnessGap):
            far = _apart(sums, width, condition.limit)
        elif isinstance(condition, Versions):
            mean, error = parts(sums, width)
            far = (mean[..., 0] - mean[..., 1] - condition.margin) / np.hypot(error[..., 0], error[..., 1])
        elif isinstance(condition, Threshold | BurnRate | Cost):
            offered = (sums.offered[:, width:] - sums.offered[:, :-width]).sum(axis=2)
            events = offered if isinstance(condition, Cost) else np.ones_like(offered)
            mean, error = points(design, sums, width)
            far = (events * mean - condition.limit) / (events * error)
        else:
            raise TypeError(f"Expected another kind of rule, but got {condition}")
    return np.nan_to_num(far, nan=-np.inf, posinf=np.inf, neginf=-np.inf)


def _lacking(condition: Absence, sums: Sums, width: int) -> NDArray[np.bool_]:
    """Return where nothing came in the window, or too many of a scorer's answers failed."""
    n, gone = (sums.fields[:2, :, width:] - sums.fields[:2, :, :-width]).sum(axis=3)
    if condition.of == "events":
        return np.asarray((sums.offered[:, width:] == sums.offered[:, :-width]).all(axis=2))
    return np.asarray(n == 0 if condition.of == "scores" else gone > condition.limit * (n + gone))


def _apart(sums: Sums, width: int, limit: float) -> Floats:
    """Return by how many standard errors of their difference the two strata that are most apart are beyond a limit."""
    mean, error = parts(sums, width)
    pairs = combinations(range(mean.shape[2]), 2)
    far: Floats = np.max(
        [(np.abs(mean[..., a] - mean[..., b]) - limit) / np.hypot(error[..., a], error[..., b]) for a, b in pairs],
        axis=0,
    )
    return far


def looked(group: RuleGroup, rule: Rule, store: DrawnStore, end: int, state: AlertState) -> AlertState:
    """Return the state after a look at a minute, by the ruler's code."""
    if isinstance(rule.condition, Threshold):
        return look(rule, store.sight, end, state, group)
    return watched(group, rule, store, START + end * MINUTE, state)


def _drifted(group: RuleGroup, rule: Rule, design: Design, days: int, rng: np.random.Generator) -> Count:
    """Return the false alarms of a drift rule on so many days, each looked at once, after those of its baseline."""
    if not isinstance(rule.condition, Drift):
        raise TypeError(f"Expected a drift rule, but got {rule.condition}")
    lead, state, pages = round(rule.condition.baseline_seconds / 86_400), AlertState(fingerprint="", labels={}), 0
    store = drawn_days(rule.metric, design, lead + days, rng)
    for day in range(lead + 1, lead + days + 1):
        after = watched(group, rule, store, START + timedelta(days=day, hours=1), state)
        pages += after.phase == "firing" and state.phase != "firing"
        state = after
    return Count(pages, float(days), days)


def drawn_days(metric: str, design: Design, days: int, rng: np.random.Generator) -> DrawnDays:
    """Draw days of lengths, lognormal and whole, and count them by the store's bins."""
    bins = np.array([bin_of(float(length)) for length in range(1, LONGEST + 1)])
    lowest = int(bins[0])
    counts = np.zeros((days, len(design.strata), int(bins[-1]) - lowest + 1), dtype=np.int64)
    for place, stratum in enumerate(design.strata):
        for day, n in enumerate(rng.poisson(stratum.sampled * DAY, days).tolist()):
            lengths = np.rint(rng.lognormal(LENGTH, LENGTHS, n)).clip(1, LONGEST).astype(np.int64)
            counts[day, place] = np.bincount(bins[lengths - 1] - lowest, minlength=counts.shape[2])
    return DrawnDays(metric, design.scale, counts, lowest, [stratum.pi for stratum in design.strata])


def run(quick: bool = False) -> list[Row]:
    """Return false alarms in 30 quiet days beside the budget; ``quick``: 60 days of each traffic."""
    return [
        Row(
            "alert starter",
            f"{quiet.alert}, {quiet.name}: false alarms in 30 days, lower limit of {count.days:,.0f} days",
            count.rate[1],
            "alarms",
            aim=None if budget is None else Aim("value", "≤", budget),
        )
        for quiet, budget, count in counts(60 if quick else 1_000)
    ]


def counts(days: int, alerts: Sequence[str] = ()) -> Iterator[tuple[Quiet, float | None, Count]]:
    """Yield each traffic with its rule's budget and the false alarms of so many days, or those of some rules.

    Rules that count spend no budget.
    """
    rules = shipped()
    for quiet in (one for one in TRAFFIC if not alerts or one.alert in alerts):
        group, rule = rules[quiet.alert]
        budget = rule.false_alarms.count * MONTH * 86_400.0 / rule.false_alarms.seconds
        yield quiet, None if isinstance(rule.condition, Absence) else budget, alarms(group, rule, quiet, days)


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("--days", type=int, default=10_000, help="quiet days of each traffic")
    parser.add_argument(
        "--rule", action="append", default=[], metavar="ALERT", help="only this one; repeat it for more"
    )
    options = parser.parse_args()
    print(f"{machine()}\n")
    print("| rule | traffic | quiet days | false alarms | in 30 days | 95 % interval | budget | judged looks |")
    print("|---|---|--:|--:|--:|--:|--:|--:|")
    for quiet, budget, count in counts(options.days, options.rule):
        rate, low, high = count.rate
        held = "none" if budget is None else f"{budget:.3f}"
        figures = f"{count.days:,.0f} | {count.pages:,} | {rate:.3f} | {low:.3f} … {high:.3f} | {held}"
        print(f"| {quiet.alert} | {quiet.name} | {figures} | {count.judged:,} |", flush=True)


if __name__ == "__main__":
    main()
