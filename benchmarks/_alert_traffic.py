"""Traffic for what is said of alert rules: minutes' sums drawn from their laws, and the ruler's looks at them.

Shared by ``alert_calibration.py`` (quiet days) and ``alert_delay.py`` (how soon a fall pages).
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from evalsvc.ruler.looks import observe
from evalsvc.rules.machine import AlertState, step
from evalsvc.rules.values import Change, Rule, RuleGroup, Threshold
from evalsvc.stats import change, estimate_mean
from evalsvc.types import Cell, Estimate, Scale, Window

Floats = NDArray[np.float64]
MONTH, YEAR = 30, 360
DAY, WEEK = 1_440, 10_080
START = datetime(2026, 1, 1, tzinfo=UTC)
MINUTE = timedelta(minutes=1)
BINARY, GRADED = Scale(0.0, 1.0, "higher", binary=True), Scale(0.0, 1.0, "higher")
# A judge's five marks on [0, 1]; what a mean below 1 takes away from "all is well" falls on the others in these shares.
MARKS, LOST = np.array([0.0, 0.25, 0.5, 0.75, 1.0]), np.array([0.35, 0.1, 0.2, 0.35])
# Of the logarithm of an amount on an open scale: its standard deviation is then 1.3 times its mean.
SCATTER = 1.0
FIELDS = ("n", "missing", "total", "squares", "clusters", "n2", "ny", "y2")


class Stratum(NamedTuple):
    """A stratum: its π, how many of its events are sampled a minute, and how far its mean lies from the traffic's."""

    pi: float
    sampled: float
    shift: float = 0.0


class Design(NamedTuple):
    """Traffic. Where ``session`` is above 1, half of the events come in sessions of so many turns that share one score.

    ``missing`` is the share without a score. Where ``poisson`` is false each minute brings the same number of samples.
    """

    name: str
    mean: float
    strata: tuple[Stratum, ...]
    scale: Scale = BINARY
    session: int = 1
    missing: float = 0.0
    poisson: bool = True


class Sums(NamedTuple):
    """Running sums over minutes by run, minute and stratum, 0 before the first: a window's sums are a difference."""

    offered: Floats
    fields: Floats

    def cells(self, design: Design, run: int, begin: int, end: int) -> tuple[Cell, ...]:
        """Return the cells of the minutes in ``[begin, end)``."""
        found = self.fields[:, run, end] - self.fields[:, run, begin]
        return tuple(
            Cell(str(place), 1, stratum.pi, int(n), int(gone), 0, total, squares, None, None, int(many), n2, ny, y2)
            for place, (stratum, (n, gone, total, squares, many, n2, ny, y2)) in enumerate(
                zip(design.strata, found.T.tolist(), strict=True)
            )
            if n or gone
        )

    def estimate(self, design: Design, run: int, begin: int, end: int, confidence: float) -> Estimate:
        """Return the mean of the process behind the minutes in ``[begin, end)``, as the ruler estimates it."""
        offered = (self.offered[run, end] - self.offered[run, begin]).tolist()
        known = {(str(place), 1): int(count) for place, count in enumerate(offered)}
        rates = {(str(place), 1): stratum.pi for place, stratum in enumerate(design.strata)}
        window = Window(START + begin * MINUTE, START + end * MINUTE)
        cells = self.cells(design, run, begin, end)
        return estimate_mean(
            cells, design.scale, window, offered=known, rates=rates, confidence=confidence, target="process"
        )


class Count(NamedTuple):
    """Pages of a rule in so many days, and how many looks the package's code judged."""

    pages: int
    days: float
    judged: int

    @property
    def rate(self) -> tuple[float, float, float]:
        """Pages in 30 days with Garwood's (1936) exact 95 % limits of a Poisson number."""
        from scipy.special import gammaincinv

        months = self.days / MONTH
        low = float(gammaincinv(self.pages, 0.025)) if self.pages else 0.0
        return self.pages / months, low / months, float(gammaincinv(self.pages + 1, 0.975)) / months

    def plus(self, other: Count) -> Count:
        """Return both together."""
        return Count(self.pages + other.pages, self.days + other.days, self.judged + other.judged)


def drawn_at_once(days: float, rule: Rule) -> Iterator[tuple[int, int]]:
    """Yield how many runs of how many days are drawn at once, until there are so many days.

    A run is a month. Of a change rule it is a year: its detector begins anew with each run, and remembers for long, so
    that it alarms less often at first than later.
    """
    length, most = (YEAR, 2) if isinstance(rule.condition, Change) else (MONTH, 10)
    left = days
    while left > 0.5:
        span = max(1, round(min(length, left)))
        runs = max(1, min(most, round(left / span)))
        yield runs, span
        left -= runs * span


def draw(rng: np.random.Generator, design: Design, mean: Floats | float, runs: int, minutes: int) -> Floats:
    """Return ``[offered and fields, run, minute, stratum]`` of minutes with a traffic's mean, one or one a minute."""
    made = np.zeros((1 + len(FIELDS), runs, minutes, len(design.strata)))
    for place, stratum in enumerate(design.strata):
        size = np.full((runs, minutes), stratum.sampled)
        if design.poisson:
            # Whole sessions and as many single events.
            unit = 2.0 * design.session if design.session > 1 else 1.0
            size = rng.poisson(stratum.sampled / unit, (runs, minutes)) * unit
        share = np.broadcast_to(np.asarray(mean) + stratum.shift, size.shape)
        made[0, ..., place] = size + rng.poisson(stratum.sampled * (1.0 / stratum.pi - 1.0), size.shape)
        made[1:, ..., place] = _scored(rng, design, size, share)
    return made


def _scored(rng: np.random.Generator, design: Design, size: Floats, share: Floats) -> Floats:
    """Return the fields of so many events; where there are sessions, half of the events come in them."""
    if design.session == 1:
        return _alike(rng, design, np.rint(size), share, 1)
    sessions = np.rint(size / (2 * design.session))
    return _alike(rng, design, sessions, share, design.session) + _alike(
        rng, design, sessions * design.session, share, 1
    )


def _alike(rng: np.random.Generator, design: Design, units: Floats, share: Floats, turns: int) -> Floats:
    """Return the fields of so many sessions of so many turns with one score."""
    drawn = units.astype(np.int64)
    gone = rng.binomial(drawn, design.missing) if design.missing else np.zeros_like(drawn)
    held = drawn - gone
    if design.scale.binary:
        total = rng.binomial(held, share).astype(np.float64)
        squares = total
    elif design.scale.high is None:
        total, squares = _amounts(rng, held, share)
    else:
        total, squares = _marks(rng, held, share)
    k, grouped = float(turns), float(design.session > 1)
    moments = [grouped * held, grouped * k * k * held, grouped * k * k * total, grouped * k * k * squares]
    fields = [k * held, k * gone, k * total, k * squares, *moments]
    return np.stack([np.asarray(field, dtype=np.float64) for field in fields])


def _marks(rng: np.random.Generator, held: NDArray[np.int64], share: Floats) -> tuple[Floats, Floats]:
    """Return Σy and Σy² of so many marks of this mean, by a multinomial law: the best mark, or one of the others."""
    lacking = (1.0 - share) / float(LOST @ (1.0 - MARKS[:-1]))
    left = rng.binomial(held, lacking)
    total = (held - left).astype(np.float64)
    squares = total.copy()
    rest = 1.0
    for mark, part in zip(MARKS, LOST, strict=False):
        taken = rng.binomial(left, min(1.0, part / rest))
        left, rest = left - taken, rest - part
        total += mark * taken
        squares += mark * mark * taken
    return total, squares


def _amounts(rng: np.random.Generator, held: NDArray[np.int64], mean: Floats) -> tuple[Floats, Floats]:
    """Return Σy and Σy² of so many lognormal amounts of this mean, whose logarithms scatter by :data:`SCATTER`."""
    amounts = rng.lognormal(-SCATTER * SCATTER / 2.0, SCATTER, int(held.sum()))
    owner = np.repeat(np.arange(held.size), held.ravel())
    total, squares = (
        np.bincount(owner, amounts**power, minlength=held.size).reshape(held.shape) * mean**power for power in (1, 2)
    )
    return total, squares


def summed(drawn: Floats) -> Sums:
    """Return the running sums of drawn minutes."""
    zero = np.zeros((drawn.shape[0], drawn.shape[1], 1, drawn.shape[3]))
    path = np.concatenate([zero, np.cumsum(drawn, axis=2)], axis=2)
    return Sums(path[0], path[1:])


def threshold_rule(limit: float, minutes: int = 10) -> Rule:
    """Return a rule that pages where the metric lies below a limit; all else is the defaults'."""
    return Rule(alert="Fell", metric="m", condition=Threshold("below", limit, limit), window_seconds=60.0 * minutes)


def change_rule(margin: float = 0.0, direction: change.Direction = "fell", minutes: int = 10) -> Rule:
    """Return a rule that pages where the metric fell against the week before; all else is the defaults'."""
    return Rule(
        alert="Fell", metric="m", condition=Change(direction, margin, 60.0 * WEEK), window_seconds=60.0 * minutes
    )


def group_of(rule: Rule, delay_minutes: int = 0) -> RuleGroup:
    """Return a group of this rule that looks each minute at what came before so many minutes."""
    return RuleGroup(
        name="g",
        path="",
        interval_seconds=60.0,
        delay_seconds=60.0 * delay_minutes,
        catch_up_seconds=0.0,
        rules=(rule,),
    )


@dataclass
class Sight:
    """What a ruler's look sees of one run: an ``evalsvc.ruler.looks.Sight`` on drawn minutes."""

    design: Design
    sums: Sums
    run: int
    scorer: str = "v1"
    baselines: dict[Window, Estimate] = field(default_factory=dict)

    @property
    def scale(self) -> Scale:
        """The design's."""
        return self.design.scale

    @property
    def pi_min(self) -> float:
        """The smallest π of the design."""
        return min(stratum.pi for stratum in self.design.strata)

    def mean(self, window: Window, confidence: float) -> Estimate:
        """Return the mean of the process behind a window."""
        return self.sums.estimate(self.design, self.run, minute_of(window.start), minute_of(window.end), confidence)

    def baseline(self, past: Window, confidence: float) -> Estimate:
        """Return the mean of the time before, which looks within an hour share."""
        if past not in self.baselines:
            self.baselines[past] = self.mean(past, confidence)
        return self.baselines[past]

    def minutes(self, begin: datetime, end: datetime) -> list[tuple[datetime, tuple[Cell, ...]]]:
        """Return the cells of each minute."""
        places = range(minute_of(begin), minute_of(end))
        return [(START + at * MINUTE, self.sums.cells(self.design, self.run, at, at + 1)) for at in places]


def minute_of(moment: datetime) -> int:
    """Return how many minutes after the start a moment is."""
    return round((moment - START) / MINUTE)


def look(
    rule: Rule, sight: Sight, end: int, state: AlertState, group: RuleGroup | None = None, alerts: int = 1
) -> AlertState:
    """Return an alert's state after a look at minute ``end``, by the ruler's code; ``alerts`` share the budget."""
    now = START + end * MINUTE
    return step(rule, state, observe(rule, group or group_of(rule), sight, state, now, alerts), now)


def limit_of(rule: Rule) -> float:
    """Return a threshold rule's limit."""
    if not isinstance(rule.condition, Threshold):
        raise TypeError(f"Expected a threshold rule, but got {rule.condition}")
    return rule.condition.limit


def change_of(rule: Rule) -> Change:
    """Return a change rule's condition."""
    if not isinstance(rule.condition, Change):
        raise TypeError(f"Expected a change rule, but got {rule.condition}")
    return rule.condition


def points(design: Design, sums: Sums, minutes: int) -> tuple[Floats, Floats]:
    """Return the window's mean at each look of each run, and its standard error; looks are from minute ``minutes``."""
    offered = sums.offered[:, minutes:] - sums.offered[:, :-minutes]
    share = offered / offered.sum(axis=2, keepdims=True)
    mean, error = parts(sums, minutes)
    whole: Floats = (share * mean).sum(axis=2)
    return whole, np.sqrt(((share * error) ** 2).sum(axis=2))


def parts(sums: Sums, minutes: int) -> tuple[Floats, Floats]:
    """Return what :func:`points` does for each stratum by itself, ``[run, look, stratum]``."""
    n, _, total, squares, clusters, n2, ny, y2 = sums.fields[:, :, minutes:] - sums.fields[:, :, :-minutes]
    with np.errstate(invalid="ignore", divide="ignore"):
        mean: Floats = total / n
        spread = np.where(clusters > 0, y2 - 2 * mean * ny + mean**2 * n2, squares - n * mean**2)
        error: Floats = np.sqrt(np.maximum(0.0, spread)) / n
    return mean, error


def episodes(bad: NDArray[np.bool_], apart: int = 10) -> int:
    """Return the number of stretches of bad looks, by run and look, that lie more than ``apart`` looks apart."""
    count = 0
    for row in bad:
        at = np.flatnonzero(row)
        count += int(at.size > 0) + int((np.diff(at) > apart).sum())
    return count


PLAIN = (Stratum(1.0, 600.0),)
SLOW, SLOWEST = (Stratum(1.0, 60.0),), (Stratum(1.0, 10.0),)
THIN = (Stratum(0.05, 60.0),)
# 5 % of the traffic is scored whole, and fails more often; of the rest one event in 20.
MIXED = (Stratum(1.0, 60.0, -0.19), Stratum(0.05, 57.0, 0.01))
