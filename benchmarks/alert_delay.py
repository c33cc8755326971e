"""How soon a fall of 5 or 10 points pages: the package's rules beside tuned ones, at equal false alarms.

Run ``python benchmarks/alert_delay.py [--runs 200] [--days 600]``: it prints the table of
``docs/reference/alert-calibration.md``. A metric of mean .90 falls at a random second after 3 quiet hours. All look
once a minute at windows that end 2 minutes ago, the default; one row has 1. A delay is from the fall to the page. Ours
look as the ruler does, with the default budget of 1 false alarm in 30 days, and are told nothing of quiet traffic. The
others' limits are set on simulated quiet days of the very same traffic until they page once in 30 days:

* *point*: the window's mean lies below a limit;
* *z-test*: the window's mean lies so many standard errors below that of the week before;
* *point, for 10m*: as Prometheus has it, below a limit at every look for 10 minutes.
"""

from __future__ import annotations

import argparse
import math
from collections.abc import Callable, Iterator, Sequence
from typing import NamedTuple

import numpy as np

from _alert_traffic import (
    DAY,
    GRADED,
    MONTH,
    PLAIN,
    SLOW,
    SLOWEST,
    WEEK,
    Count,
    Design,
    Floats,
    Sight,
    Sums,
    change_rule,
    draw,
    episodes,
    group_of,
    look,
    points,
    summed,
    threshold_rule,
)
from _harness import Aim, Row, machine
from alert_calibration import quiet, sieved
from evalsvc.rules.machine import AlertState
from evalsvc.rules.values import Rule, Threshold

RUNS, DAYS = 200, 600
MEAN, AFTERS = 0.90, (0.85, 0.80)
LATE, LEAD, WAIT = 2, 180, DAY
FELL_AT = WEEK + LEAD + 60
DESIGNS = (
    Design("binary, 10/s", MEAN, PLAIN),
    Design("binary, 1/s", MEAN, SLOW),
    Design("binary, 10/min", MEAN, SLOWEST),
    Design("graded, 10/s", MEAN, PLAIN, GRADED),
)


class Delays(NamedTuple):
    """Minutes from the fall to the page of each run; infinite where none came within a day."""

    minutes: Floats

    def quantile(self, share: float) -> float:
        """Return the delay within which this share of the runs paged."""
        if not self.minutes.size:
            return math.nan
        return float(np.sort(self.minutes)[max(0, math.ceil(share * self.minutes.size) - 1)])

    def within(self, minutes: float) -> float:
        """Return the share that paged so soon."""
        return float((self.minutes <= minutes).mean()) if self.minutes.size else math.nan


class Fall(NamedTuple):
    """Drawn runs whose mean falls at a moment of the minute :data:`FELL_AT`, each at its own."""

    design: Design
    sums: Sums
    moment: Floats


class Tuned(NamedTuple):
    """A rule whose statistic, by run and look, is bad below a limit; the first look is at minute WEEK."""

    name: str
    statistic: Callable[[Design, Sums], Floats]


def fall(design: Design, after: float, runs: int, seed: int) -> Fall:
    """Draw runs with a week of history, quiet hours, and a day of the lower mean."""
    rng = np.random.default_rng(seed)
    part = rng.random(runs)
    mean = np.full((runs, FELL_AT + WAIT), MEAN)
    mean[:, FELL_AT] = MEAN * part + after * (1.0 - part)
    mean[:, FELL_AT + 1 :] = after
    return Fall(design, summed(draw(rng, design, mean, runs, mean.shape[1])), FELL_AT + part)


def our_delays(rule: Rule, fallen: Fall, late: int = LATE) -> Delays:
    """Return the delays of a rule of ours, by the ruler's looks; runs that page before the fall are left out.

    A threshold remembers nothing of earlier looks, so only those that may be bad are made.
    """
    found, group = [], group_of(rule, late)
    ends: list[Sequence[int]] = [range(FELL_AT - LEAD, FELL_AT + WAIT + 1)] * len(fallen.moment)
    if isinstance(rule.condition, Threshold):
        far, sieve = sieved(rule, fallen.design, fallen.sums)
        width = int(rule.window_seconds // 60)
        near = [np.flatnonzero(row > sieve) + width + late for row in far]
        ends = [row[(row >= FELL_AT - LEAD) & (row <= FELL_AT + WAIT)].tolist() for row in near]
    for run, moment in enumerate(fallen.moment.tolist()):
        state, sight, page = AlertState(fingerprint="", labels={}), Sight(fallen.design, fallen.sums, run), math.inf
        for end in ends[run]:
            state = look(rule, sight, end, state, group)
            if state.phase == "firing":
                page = float(end)
                break
        if page >= moment:
            found.append(page - moment)
    return Delays(np.array(found))


def tuned_delays(statistic: Floats, limit: float, fallen: Fall) -> Delays:
    """Return the delays of a tuned rule, whose statistic begins with the window that ends at minute WEEK."""
    bad = statistic < limit
    looks = np.arange(bad.shape[1]) + WEEK + LATE
    before = bad & (looks >= FELL_AT - LEAD) & (looks < FELL_AT + 1)
    after = bad & (looks >= FELL_AT + 1) & (looks <= FELL_AT + WAIT)
    page = np.where(after.any(axis=1), looks[after.argmax(axis=1)], math.inf)
    return Delays((page - fallen.moment)[~before.any(axis=1)])


def point(minutes: int) -> Callable[[Design, Sums], Floats]:
    """Return the statistic of a plain threshold on the mean of so many minutes."""

    def statistic(design: Design, sums: Sums) -> Floats:
        return points(design, sums, minutes)[0][:, WEEK - minutes :]

    return statistic


def z_test(minutes: int) -> Callable[[Design, Sums], Floats]:
    """Return the statistic of a test of so many minutes against the week before them."""

    def statistic(design: Design, sums: Sums) -> Floats:
        mean, error = (one[:, WEEK - minutes :] for one in points(design, sums, minutes))
        past, doubt = (one for one in points(design, sums, WEEK - 60))
        # The week ends an hour before the window does: it holds none of the window's scores.
        past, doubt = (np.concatenate([one[:, :60], one], axis=1)[:, : mean.shape[1]] for one in (past, doubt))
        with np.errstate(invalid="ignore", divide="ignore"):
            found: Floats = (mean - past) / np.hypot(error, doubt)
        return found

    return statistic


def lasting(minutes: int, looks: int) -> Callable[[Design, Sums], Floats]:
    """Return the statistic of a plain threshold that has to hold for so many minutes: the highest mean in them."""

    def statistic(design: Design, sums: Sums) -> Floats:
        mean = points(design, sums, minutes)[0]
        windows = np.lib.stride_tricks.sliding_window_view(mean, looks + 1, axis=1)
        highest: Floats = windows.max(axis=2)[:, WEEK - minutes - looks :]
        return highest

    return statistic


OTHERS = (
    Tuned("point, window 10m", point(10)),
    Tuned("point, window 5m", point(5)),
    Tuned("z-test, window 10m", z_test(10)),
    Tuned("point, window 5m, for 10m", lasting(5, 10)),
)
OURS = (
    ("threshold .875, window 10m", threshold_rule(0.875), LATE),
    ("threshold .875, window 5m", threshold_rule(0.875, 5), LATE),
    ("threshold .875, window 5m, delay 1m", threshold_rule(0.875, 5), 1),
    ("threshold .875, window 3m", threshold_rule(0.875, 3), LATE),
    ("threshold .90, window 10m", threshold_rule(0.90), LATE),
    ("threshold .90, window 5m", threshold_rule(0.90, 5), LATE),
    ("change", change_rule(), LATE),
)


def tune(design: Design, days: int, seed: int = 11) -> list[tuple[float, Count]]:
    """Return the limit of each of :data:`OTHERS` that pages at most once in 30 of these quiet days."""
    rng = np.random.default_rng(seed)
    held: list[list[Floats]] = [[] for _ in OTHERS]
    for _ in range(max(1, round(days / (5 * MONTH)))):
        sums = summed(draw(rng, design, design.mean, 5, WEEK + MONTH * DAY))
        for other, kept in zip(OTHERS, held, strict=True):
            kept.append(other.statistic(design, sums))
    return [_limit(np.concatenate(kept)) for kept in held]


def _limit(statistic: Floats) -> tuple[float, Count]:
    days = statistic.size / DAY
    low, high = float(np.nanmin(statistic)), float(np.nanmedian(statistic))
    for _ in range(40):
        middle = (low + high) / 2
        low, high = (middle, high) if episodes(statistic < middle) <= days / MONTH else (low, middle)
    return low, Count(episodes(statistic < low), days, 0)


class Line(NamedTuple):
    """A line of the table."""

    traffic: str
    rule: str
    limit: float | None
    quiet: Count
    delays: tuple[Delays, ...]


def measure(design: Design, runs: int, days: int, seed: int = 21) -> Iterator[Line]:
    """Yield the lines of one kind of traffic, on the same falls for all rules."""
    limits = tune(design, days)
    falls = [fall(design, after, runs, seed + number) for number, after in enumerate(AFTERS)]
    for name, rule, late in OURS:
        count = quiet(design, rule, max(1, days // 3), seed)
        yield Line(design.name, name, None, count, tuple(our_delays(rule, fallen, late) for fallen in falls))
    for other, (limit, count) in zip(OTHERS, limits, strict=True):
        delays = (tuned_delays(other.statistic(design, fallen.sums), limit, fallen) for fallen in falls)
        yield Line(design.name, f"{other.name}, tuned", limit, count, tuple(delays))


def run(quick: bool = False) -> list[Row]:
    """Return the share of 10-point falls at 10/s that page within 5 minutes, and median delays beside the peers'."""
    lines = list(measure(DESIGNS[0], 40 if quick else 100, 150 if quick else 300))
    rows = []
    for line in lines[: len(OURS)]:
        within = line.delays[1].within(5.0)
        what = f"{line.rule}: share of falls of 10 points at 10/s paged within 5 minutes"
        rows.append(Row("alert delay", what, within, "", aim=Aim("value", "≥", 0.9) if line.rule == "change" else None))
    ours = lines[len(OURS) - 1]
    for line in lines[len(OURS) :]:
        for place, points_lost in enumerate((5, 10)):
            mine, theirs = ours.delays[place].quantile(0.5), line.delays[place].quantile(0.5)
            what = f"change: median delay of a fall of {points_lost} points at 10/s"
            rows.append(Row("alert delay", what, mine, "min", line.rule, theirs, theirs / mine))
    return rows


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("--runs", type=int, default=RUNS)
    parser.add_argument("--days", type=int, default=DAYS, help="quiet days to tune on; a third of them to count ours")
    options = parser.parse_args()
    print(f"{machine()}; {options.runs} runs, {options.days} days\n")
    print(
        "| traffic | rule | limit | quiet: pages in 30 days | .90 → .85: median | 90 % | .90 → .80: median | 90 % |"
        " within 5 min |"
    )
    print("|---|---|--:|--:|--:|--:|--:|--:|--:|")
    for design in DESIGNS:
        for line in measure(design, options.runs, options.days):
            print(shown(line), flush=True)


def shown(line: Line) -> str:
    """Return a line of Markdown."""
    rate, low, high = line.quiet.rate
    cells = [line.traffic, line.rule, "" if line.limit is None else f"{line.limit:.3f}".replace("0.", ".")]
    cells.append(f"{rate:.2f} ({low:.2f} … {high:.2f})")
    cells += [text for found in line.delays for text in _minutes((found.quantile(0.5), found.quantile(0.9)))]
    return f"| {' | '.join([*cells, f'{line.delays[-1].within(5.0):.0%}'])} |"


def _minutes(found: Sequence[float]) -> list[str]:
    return ["> 1 day" if math.isinf(minutes) else f"{minutes:.1f} min" for minutes in found]


if __name__ == "__main__":
    main()
