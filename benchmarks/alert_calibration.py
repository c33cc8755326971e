"""False pages of alert rules on simulated quiet days, beside the budget that the rules state.

Run ``python benchmarks/alert_calibration.py [--days 1440] [--kind threshold|change|segments]``: it prints the table of
``docs/reference/alert-calibration.md``. A rule looks once a minute at the sums of the minutes that a store would hold,
which are drawn from their laws without drawing single events. Looks are the ruler's (``evalsvc.ruler.looks.observe``).

Two short cuts leave every page as it is. A look at an alert that is not bad leaves it inactive, so a *threshold* is
judged only where the point lies beyond the limit by more than :data:`NEAR` of the normal quantile at the rule's level,
in its own standard errors, and while an alert is up; :func:`threshold_pages` fails if a look came out bad that near. A
*change* detector's minutes are stepped for all runs at once by ``_change_watch.py`` until it alarms; the ruler's looks
then take over, and must find the same alarm, until the alert is over. ``tests/calibration/test_alert_rules.py`` holds
both against the ruler's looks at every minute.
"""

from __future__ import annotations

import argparse
from collections.abc import Iterator, Sequence
from functools import reduce

import numpy as np

from _alert_traffic import (
    DAY,
    GRADED,
    MIXED,
    PLAIN,
    SLOW,
    SLOWEST,
    THIN,
    WEEK,
    Count,
    Design,
    Floats,
    Sight,
    Sums,
    change_rule,
    draw,
    drawn_at_once,
    episodes,
    limit_of,
    look,
    points,
    summed,
    threshold_rule,
)
from _change_watch import Watch, page_minutes
from _harness import Aim, Row, machine
from evalsvc.rules.machine import AlertState
from evalsvc.rules.values import Change, Rule
from evalsvc.stats import change
from evalsvc.stats.distributions import normal_quantile

DAYS = 1_440
NEAR = 0.6
SEGMENTS, MOST_SEGMENT_DAYS = 200, 720
KINDS = ("threshold", "change", "segments")


def threshold_pages(rule: Rule, design: Design, sums: Sums, alerts: int = 1) -> Count:
    """Return the pages of a threshold rule on these minutes; ``alerts`` share its budget."""
    width = int(rule.window_seconds // 60)
    far, sieve = sieved(rule, design, sums, alerts)
    pages = judged = 0
    for run in range(len(far)):
        free, sight = 0, Sight(design, sums, run)
        for near in np.flatnonzero(far[run] > sieve).tolist():
            if near < free:
                continue
            state, free = AlertState(fingerprint="", labels={}), near
            while free < far.shape[1]:
                state = look(rule, sight, width + free, state, alerts=alerts)
                judged, free = judged + 1, free + 1
                if state.phase not in ("pending", "firing"):
                    break
            fired = state.fired_on is not None
            pages += fired
            if fired and far[run, near] < 1.1 * sieve:
                raise AssertionError(f"bad at {far[run, near]:.2f} standard errors: {sieve:.2f} is too coarse a sieve")
    return Count(pages, far.size / DAY, judged)


def sieved(rule: Rule, design: Design, sums: Sums, alerts: int = 1) -> tuple[Floats, float]:
    """Return how many standard errors the point lies beyond the limit at each look, and below what none is bad."""
    mean, error = points(design, sums, int(rule.window_seconds // 60))
    with np.errstate(invalid="ignore", divide="ignore"):
        far: Floats = (limit_of(rule) - mean) / error
    return far, NEAR * normal_quantile(1.0 - rule.false_alarms.per_look(60.0, alerts))


def change_pages(rule: Rule, design: Design, sums: Sums, alerts: int = 1) -> Count:
    """Return the pages of a change rule on these minutes, of which the first week and window are history."""
    runs, minutes = sums.fields.shape[1], sums.fields.shape[2] - 1
    watch = Watch(rule, design, sums, alerts)
    pages = page_minutes(watch)
    return Count(sum(map(len, pages)), runs * (minutes - watch.begin) / DAY, watch.judged)


def threshold_designs() -> list[tuple[Design, float]]:
    """Return traffic and limits: the mean on the limit, which is the worst case, and then well inside."""
    worst = [
        Design("binary .90, 10/s", 0.90, PLAIN),
        Design("binary .90, 10/min", 0.90, SLOWEST),
        Design("binary .99, 1/s", 0.99, SLOW),
        Design("binary .90, 1/s, π .05", 0.90, THIN),
        Design("binary .90, π 1 and .05", 0.90, MIXED),
        Design("binary .90, 1/s, a fifth missing", 0.90, SLOW, missing=0.2),
        Design("binary .90, 1/s, half in sessions of 6 alike", 0.90, SLOW, session=6),
        Design("graded .90, 10/s", 0.90, PLAIN, GRADED),
        Design("graded .90, 10/min", 0.90, SLOWEST, GRADED),
        Design("graded .90, π 1 and .05", 0.90, MIXED, GRADED),
        Design("graded .90, 1/s, half in sessions of 6 alike", 0.90, SLOW, GRADED, session=6),
    ]
    return [(design, design.mean) for design in worst] + [
        (Design("binary .90, 10/s", 0.90, PLAIN), 0.89),
        (Design("binary .90, 1/s", 0.90, SLOW), 0.88),
    ]


def change_designs() -> list[tuple[Design, change.Direction]]:
    """Return quiet traffic and the direction that is watched."""
    levels = [
        Design(f"binary {mean:.2f}, {name}".replace(" 0.", " ."), mean, strata)
        for mean in (0.50, 0.90, 0.99)
        for name, strata in (("10/s", PLAIN), ("1/s", SLOW), ("10/min", SLOWEST))
    ]
    others = [
        Design("binary .90, π 1 and .05", 0.90, MIXED),
        Design("binary .90, 1/s, half in sessions of 6 alike", 0.90, SLOW, session=6),
        Design("graded .90, 10/s", 0.90, PLAIN, GRADED),
        Design("graded .90, 10/min", 0.90, SLOWEST, GRADED),
    ]
    either = Design("binary .90, 10/s", 0.90, PLAIN)
    return [*((design, "fell") for design in (*levels, *others)), (either, "either")]


def quiet(design: Design, rule: Rule, days: int, seed: int = 1, alerts: int = 1) -> Count:
    """Return the pages of a rule on so many quiet days of a design's traffic.

    With ``alerts`` each day is one of all of them, independent of each other, and pages are those of the whole rule.
    """
    rng, total = np.random.default_rng(seed), Count(0, 0.0, 0)
    history = WEEK if isinstance(rule.condition, Change) else 0
    for runs, span in drawn_at_once(days * alerts, rule):
        sums = summed(draw(rng, design, design.mean, runs, history + span * DAY + int(rule.window_seconds // 60)))
        total = total.plus((change_pages if history else threshold_pages)(rule, design, sums, alerts))
    return total._replace(days=total.days / alerts)


def naive(design: Design, limit: float, days: int, z: float, minutes: int = 10, seed: int = 1) -> Count:
    """Return the pages of what one would write first: the mean lies z of its own standard errors below the limit.

    Looks that are beyond it within 10 minutes of each other are one page.
    """
    rng = np.random.default_rng(seed)
    total = Count(0, 0.0, 0)
    while total.days < days - 0.5:
        runs = max(1, min(10, round(days - total.days)))
        mean, error = points(design, summed(draw(rng, design, design.mean, runs, DAY + minutes)), minutes)
        found = Count(episodes(mean < limit - z * error), mean.size / DAY, 0)
        total = total.plus(found)
    return total


def lines(kind: str, days: int) -> Iterator[tuple[str, str, Count, bool]]:
    """Yield (rule, traffic, count, whether a budget is stated) of a kind of rule; of segments, of both kinds."""
    if kind == "segments":
        design = Design(f"binary .90, 10/min in each of {SEGMENTS} segments", 0.90, SLOWEST)
        for name, rule in (("threshold, on the limit", threshold_rule(0.90)), ("change, fell", change_rule())):
            yield name, design.name, quiet(design, rule, min(days, MOST_SEGMENT_DAYS), alerts=SEGMENTS), True
        return
    if kind == "change":
        for design, direction in change_designs():
            yield f"change, {direction}", design.name, quiet(design, change_rule(0.0, direction), days), True
        return
    for design, limit in threshold_designs():
        where = "on the limit" if limit == design.mean else f"limit {limit:.2f}".replace("0.", ".")
        yield f"threshold, {where}", design.name, quiet(design, threshold_rule(limit), days), True
    design = threshold_designs()[0][0]
    for name, z in (("point beyond the limit", 0.0), ("95 % interval beyond the limit", 1.96)):
        yield name, design.name, naive(design, design.mean, min(days, 100), z), False


def run(quick: bool = False) -> list[Row]:
    """Return the pages in 30 quiet days of each kind beside its budget; ``quick``: 30 days of each design."""
    rows = []
    for kind in ("threshold", "change"):
        stated = [line for line in lines(kind, 30 if quick else 300) if line[3]]
        for _, name, count, _ in stated:
            rows.append(_row(kind, name, count))
        rows.append(_row(kind, "all designs", _together([count for _, _, count, _ in stated])))
    return rows


def _row(kind: str, name: str, count: Count) -> Row:
    what = f"{kind}, {name}: false pages in 30 days, lower limit of {count.days:,.0f} days"
    return Row("alert calibration", what, count.rate[1], "pages", aim=Aim("value", "≤", 1.0))


def _together(counts: Sequence[Count]) -> Count:
    return reduce(Count.plus, counts, Count(0, 0.0, 0))


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("--days", type=int, default=DAYS, help="quiet days of each design")
    parser.add_argument("--kind", choices=KINDS, help="one kind only")
    options = parser.parse_args()
    print(f"{machine()}; {options.days:,} days of each design\n")
    print("| rule | traffic | days | pages | in 30 days | 95 % interval | budget | judged looks |")
    print("|---|---|--:|--:|--:|--:|--:|--:|")
    for kind in (options.kind,) if options.kind else KINDS:
        held: list[Count] = []
        for rule, name, count, stated in lines(kind, options.days):
            print(shown(rule, name, count, stated), flush=True)
            held += [count] if stated else []
        if kind != "segments":
            print(shown(f"**{kind}**", "all of these", _together(held), True), flush=True)


def shown(rule: str, name: str, count: Count, stated: bool) -> str:
    """Return a line of Markdown."""
    rate, low, high = count.rate
    cells = [rule, name, f"{count.days:,.0f}", f"{count.pages:,}", f"{rate:.2f}", f"{low:.2f} … {high:.2f}"]
    return f"| {' | '.join([*cells, '1' if stated else 'none', f'{count.judged:,}'])} |"


if __name__ == "__main__":
    main()
