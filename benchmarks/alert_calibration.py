"""False pages of alert rules on simulated quiet days, beside the budget that the rules state.

Run ``python benchmarks/alert_calibration.py [--days 1000] [--kind threshold|change]``: it prints the table of
``docs/reference/alert-calibration.md``. A rule looks once a minute at the sums of the minutes that a store would hold,
which are drawn from their laws without drawing single events. Looks are the ruler's (``evalsvc.ruler.looks.observe``).

Two short cuts leave every page as it is. A look at an alert that is not bad leaves it inactive, so a *threshold* is
judged only where the point lies beyond the limit by more than :data:`NEAR` of the normal quantile at the rule's level,
in its own standard errors, and while an alert is up; :func:`threshold_pages` fails if a look came out bad that near. A
*change* detector's minutes are stepped for all runs at once by :func:`growth`, until it alarms; the ruler's looks then
take over, and must find the same alarm, until the alert is over. ``tests/calibration/test_alert_rules.py`` holds both
against the ruler's looks at every minute.
"""

from __future__ import annotations

import argparse
from collections.abc import Iterator, Sequence
from functools import reduce
from typing import NamedTuple

import msgspec
import numpy as np
from numpy.typing import NDArray

from _alert_traffic import (
    DAY,
    GRADED,
    MINUTE,
    MIXED,
    MONTH,
    PLAIN,
    SLOW,
    SLOWEST,
    START,
    THIN,
    WEEK,
    Count,
    Design,
    Floats,
    Sight,
    Sums,
    change_of,
    change_rule,
    draw,
    episodes,
    group_of,
    limit_of,
    look,
    points,
    summed,
    threshold_rule,
)
from _harness import Aim, Row, machine
from evalsvc.ruler.looks import baseline_at, window_at
from evalsvc.rules.judging import BASELINE_CONFIDENCE
from evalsvc.rules.machine import AlertState, transition
from evalsvc.rules.values import Change, Rule
from evalsvc.stats import change
from evalsvc.stats.distributions import normal_quantile

DAYS = 1_000
NEAR = 0.6


def threshold_pages(rule: Rule, design: Design, sums: Sums) -> Count:
    """Return the pages of a threshold rule on these minutes."""
    width = int(rule.window_seconds // 60)
    far, sieve = sieved(rule, design, sums)
    pages = judged = 0
    for run in range(len(far)):
        free, sight = 0, Sight(design, sums, run)
        for near in np.flatnonzero(far[run] > sieve).tolist():
            if near < free:
                continue
            state, free = AlertState(fingerprint="", labels={}), near
            while free < far.shape[1]:
                state = look(rule, sight, width + free, state)
                judged, free = judged + 1, free + 1
                if state.phase not in ("pending", "firing"):
                    break
            fired = state.fired_on is not None
            pages += fired
            if fired and far[run, near] < 1.1 * sieve:
                raise AssertionError(f"bad at {far[run, near]:.2f} standard errors: {sieve:.2f} is too coarse a sieve")
    return Count(pages, far.size / DAY, judged)


def sieved(rule: Rule, design: Design, sums: Sums) -> tuple[Floats, float]:
    """Return how many standard errors the point lies beyond the limit at each look, and below what none is bad."""
    mean, error = points(design, sums, int(rule.window_seconds // 60))
    with np.errstate(invalid="ignore", divide="ignore"):
        far: Floats = (limit_of(rule) - mean) / error
    return far, NEAR * normal_quantile(1.0 - rule.false_alarms.per_look(60.0, 1))


class Bench(NamedTuple):
    """Fast detectors, one a run: the bets that hold, padded, and their levels M (not their logarithms)."""

    bets: Floats
    bases: Floats
    levels: Floats
    held: Floats

    @staticmethod
    def empty(runs: int) -> Bench:
        """Return room for so many runs."""
        shape = (runs, 2 * change.MOST_BETS)
        return Bench(*(np.zeros(shape) for _ in range(4)))

    def load(self, run: int, state: change.ChangeState) -> None:
        """Take over a run's detector."""
        size = len(state.bets)
        ones = np.ones(size)
        for mine, theirs in zip(self, (state.bets, state.bases, np.exp(state.levels), ones), strict=True):
            mine[run] = 0.0
            mine[run, :size] = np.asarray(theirs)

    def saved(self, run: int, state: change.ChangeState) -> change.ChangeState:
        """Return a run's detector with the levels that it has here; since when is not followed."""
        size = len(state.bets)
        with np.errstate(divide="ignore"):
            levels = tuple(np.log(self.levels[run, :size]).tolist())
        return msgspec.structs.replace(state, levels=levels)


def growth(bench: Bench, design: Design, fields: Floats) -> Floats:
    """Return the growth of each run's bets in each of some minutes ``[field, run, minute, stratum]``.

    It is that of ``evalsvc.stats.change.step_cells`` on [0, 1], for many detectors at once.
    """
    total_growth = np.zeros((*fields.shape[1:3], bench.bets.shape[1]))
    bases = bench.bases[:, None, :]
    pi_min = min(stratum.pi for stratum in design.strata)
    for place, stratum in enumerate(design.strata):
        n, _, total, squares, clusters, n2, ny, y2 = (field[..., None] for field in fields[..., place])
        bets = bench.bets[:, None, :] * (pi_min / stratum.pi)
        sizes, first, second, largest = n, total, squares, np.ones_like(n)
        if design.session > 1:
            sizes, first, second = n2, ny, y2
            largest = np.sqrt(np.maximum(1.0, n2 - (clusters - 1)))
            steep = largest * np.maximum(bets * (1.0 - bases), -bets * bases)
            bets = bets * np.minimum(1.0, change.LARGEST / np.maximum(steep, 1e-300))
        at_zero, at_one = bets * bases, bets * (bases - 1.0)
        c = -largest * np.minimum(at_zero, at_one)
        curved = (-np.log1p(-c) - c) / np.maximum(c, 1e-12) ** 2
        curvature = np.where(c < 1e-4, 0.5 + c / 3.0, curved)
        spread = bets**2 * np.maximum(0.0, sizes * bases**2 - 2.0 * bases * first + second)
        bound = bets * (n * bases - total) - curvature * spread
        if design.session == 1:
            bound = np.maximum(bound, (n - total) * np.log1p(at_zero) + total * np.log1p(at_one))
        total_growth += np.where(n > 0, bound, 0.0)
    return total_growth


class Watch:
    """A change rule on the minutes of some runs, from minute ``begin`` on; those before are its baseline and window."""

    def __init__(self, rule: Rule, design: Design, sums: Sums) -> None:
        """Take the minutes of all runs."""
        self.rule, self.design, self.sums, self.judged = rule, design, sums, 0
        self.width = int(rule.window_seconds // 60)
        self.begin = round(change_of(rule).baseline_seconds / 60) + self.width
        self.sights = [Sight(design, sums, run) for run in range(sums.fields.shape[1])]

    def next_hour(self, minute: int) -> int:
        """Return the first minute after this one whose look has another baseline."""
        return 60 * ((minute + 1 - self.width) // 60 + 1) + self.width - 1

    def rebased(self, run: int, minute: int, state: AlertState) -> AlertState:
        """Return the state on the baseline that holds from a minute on."""
        condition = change_of(self.rule)
        window = window_at(self.rule, group_of(self.rule), START + (minute + 1) * MINUTE)
        baseline = self.sights[run].baseline(baseline_at(condition, window), BASELINE_CONFIDENCE)
        return _with(state, change.rebase(_detector(state), baseline, margin=condition.margin))

    def look(self, run: int, minute: int, state: AlertState) -> AlertState:
        """Return the state after the look that sees a minute first, by the ruler's code."""
        self.judged += 1
        return look(self.rule, self.sights[run], minute + 1, state)


def change_pages(rule: Rule, design: Design, sums: Sums) -> Count:
    """Return the pages of a change rule on these minutes, of which the first week and window are history."""
    runs, minutes = sums.fields.shape[1], sums.fields.shape[2] - 1
    watch = Watch(rule, design, sums)
    pages = page_minutes(watch)
    return Count(sum(map(len, pages)), runs * (minutes - watch.begin) / DAY, watch.judged)


def page_minutes(watch: Watch) -> list[list[int]]:
    """Return the minute that made a change rule page, by run."""
    runs, minutes = watch.sums.fields.shape[1], watch.sums.fields.shape[2] - 1
    bench, first = Bench.empty(runs), watch.begin
    pages: list[list[int]] = [[] for _ in range(runs)]
    states, free = [AlertState(fingerprint="", labels={})] * runs, np.full(runs, first)
    for run in range(runs):
        # The first look starts the detector, and the others until the next hour are the ruler's, too.
        states[run], free[run] = _episode(watch, run, first, states[run], pages[run])
    while first < minutes:
        last = min(minutes, watch.next_hour(first))
        for run in np.flatnonzero(free <= first).tolist():
            states[run] = watch.rebased(run, first, states[run])
            bench.load(run, _detector(states[run]))
        _hour(watch, bench, states, free, (first, last), pages)
        for run in np.flatnonzero(free <= first).tolist():
            states[run] = _with(states[run], bench.saved(run, _detector(states[run])))
        first = last
    return pages


def _hour(
    watch: Watch,
    bench: Bench,
    states: list[AlertState],
    free: NDArray[np.int64],
    span: tuple[int, int],
    pages: list[list[int]],
) -> None:
    """Step the runs that are free through minutes of one baseline; add the pages of those that alarm."""
    first, last = span
    fields = np.diff(watch.sums.fields[:, :, first : last + 1], axis=2)
    # Far beyond every threshold, and within what a float holds.
    factors = np.exp(np.minimum(growth(bench, watch.design, fields), 100.0))
    scored = fields[0].sum(axis=2) > 0
    bar = watch.rule.false_alarms.looks(60.0, 1) * np.maximum(1.0, bench.held.sum(axis=1))
    for place in range(last - first):
        before = bench.levels.copy()
        grown = (before + 1.0) * factors[:, place] * bench.held
        bench.levels[:] = np.where(scored[:, place, None], np.minimum(grown, 1e200), before)
        for run in np.flatnonzero((bench.levels.sum(axis=1) >= bar) & (free <= first)).tolist():
            bench.levels[run] = before[run]
            held = _with(states[run], bench.saved(run, _detector(states[run])), first + place)
            states[run], free[run] = _episode(watch, run, first + place, held, pages[run])
            if first + place not in pages[run]:
                raise AssertionError("judge_change found no alarm where the sums have one")


def _episode(watch: Watch, run: int, minute: int, state: AlertState, pages: list[int]) -> tuple[AlertState, int]:
    """Return the state after the alert that begins with this minute, and the minute to go on with; add the pages."""
    while minute < watch.sums.fields.shape[2] - 1:
        after = watch.look(run, minute, state)
        told, state = transition(state, after), after
        if told is not None and told.after == "firing":
            pages.append(minute)
        minute += 1
        # Baselines change here, and with them the bets.
        if watch.next_hour(minute - 1) == minute and _quiet(state):
            break
    return state, minute


def _quiet(state: AlertState) -> bool:
    """Return whether an alert is over, and its detector has begun anew."""
    if state.phase in ("pending", "firing") or state.detector is None:
        return False
    return bool(state.detector.state.bets) and state.detector.state.alarm_n is None


def _detector(state: AlertState) -> change.ChangeState:
    if state.detector is None:
        raise TypeError("Expected an alert with a detector")
    return state.detector.state


def _with(state: AlertState, held: change.ChangeState, minute: int | None = None) -> AlertState:
    """Return the state with a detector, which has seen all up to ``minute``."""
    if state.detector is None:
        raise TypeError("Expected an alert with a detector")
    until = state.detector.until if minute is None else START + minute * MINUTE
    return msgspec.structs.replace(state, detector=msgspec.structs.replace(state.detector, state=held, until=until))


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


def quiet(design: Design, rule: Rule, days: int, seed: int = 1) -> Count:
    """Return the pages of a rule on so many quiet days of a design's traffic, in runs of a month or less."""
    rng = np.random.default_rng(seed)
    history = WEEK if isinstance(rule.condition, Change) else 0
    total = Count(0, 0.0, 0)
    while total.days < days - 0.5:
        span = min(MONTH, days)
        runs = max(1, min(10, round((days - total.days) / span)))
        sums = summed(draw(rng, design, design.mean, runs, history + span * DAY + int(rule.window_seconds // 60)))
        found = (change_pages if history else threshold_pages)(rule, design, sums)
        total = total.plus(found)
    return total


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
    """Yield (rule, traffic, count, whether a budget is stated) of a kind of rule."""
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
    parser.add_argument("--kind", choices=("threshold", "change"), help="one kind only")
    options = parser.parse_args()
    print(f"{machine()}; {options.days:,} days of each design\n")
    print("| rule | traffic | days | pages | in 30 days | 95 % interval | budget | judged looks |")
    print("|---|---|--:|--:|--:|--:|--:|--:|")
    for kind in (options.kind,) if options.kind else ("threshold", "change"):
        held = []
        for rule, name, count, stated in lines(kind, options.days):
            print(shown(rule, name, count, stated), flush=True)
            held += [count] if stated else []
        print(shown(f"**{kind}**", "all of these", _together(held), True), flush=True)


def shown(rule: str, name: str, count: Count, stated: bool) -> str:
    """Return a line of Markdown."""
    rate, low, high = count.rate
    cells = [rule, name, f"{count.days:,.0f}", f"{count.pages:,}", f"{rate:.2f}", f"{low:.2f} … {high:.2f}"]
    return f"| {' | '.join([*cells, '1' if stated else 'none', f'{count.judged:,}'])} |"


if __name__ == "__main__":
    main()
