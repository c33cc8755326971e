"""What a rule would have done: its history replayed look by look, and how soon it would have seen a planted change.

The looks are those of :mod:`evalsvc.ruler.looks` or of :mod:`evalsvc.ruler.kinds`, on another clock, so that what is
replayed is what decides.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Sequence
from datetime import datetime, timedelta
from functools import partial
from itertools import count
from typing import NamedTuple

from msgspec.structs import replace

from evalsvc.protocols import ScoreStore
from evalsvc.ruler.kinds import unseen, watch_of
from evalsvc.ruler.looks import look_times, start_of, window_before
from evalsvc.ruler.replay import Alert, alerts_of
from evalsvc.ruler.seen import Seen, Watch
from evalsvc.ruler.timeline import Timeline, timelines
from evalsvc.rules.machine import AlertState, Transition, step, transition
from evalsvc.rules.values import Change, Drift, Rule, RuleGroup, Threshold
from evalsvc.types import Cell, Scale, Window
from evalsvc.windows import floored

DROPS = (0.02, 0.05, 0.10)
"""Planted changes, as shares of the scale; of an open scale, of the mean."""
PLANTS = 20
"""Moments at which each is planted, evenly over the time replayed."""
WAIT = timedelta(days=1)
"""So long after a change is waited for an alarm."""


class Page(NamedTuple):
    """An episode of an alert. ``resolved`` is None where it was still firing at the end."""

    fired: Transition
    resolved: Transition | None


class Plant(NamedTuple):
    """A change of this size, planted ``times`` times: how often it was found within a day, and the median delay."""

    size: float
    times: int
    found: int
    median: timedelta | None


class Backtest(NamedTuple):
    """What a rule would have done in ``span``. ``rate`` is pages in 30 days, with its Poisson interval.

    ``no_data`` of the ``looks`` had too few scores to decide; ``held`` of the ``firing`` looks at an alert that fired
    had, and could not end it. ``plants`` is None for rules that read for themselves at each look: in what they read
    nothing can be planted. ``whole`` is False where it was ended before: ``span`` and ``plants`` say what was done.
    """

    rule: Rule
    span: Window
    alerts: int
    looks: int
    no_data: int
    firing: int
    held: int
    pages: tuple[Page, ...]
    rate: tuple[float, float, float]
    plants: tuple[Plant, ...] | None
    whole: bool = True


GoesOn = Callable[[int, int], bool]
"""``(done, of) -> whether to go on``: asked after each moment that was looked at, and each change that was planted.

``of`` grows when it is known how many changes will be planted.
"""


def backtest(
    store: ScoreStore,
    group: RuleGroup,
    rule: Rule,
    span: Window,
    *,
    drops: Sequence[float] = DROPS,
    goes_on: GoesOn = lambda done, of: True,
) -> Backtest:
    """Return what a rule of a group would have done in a span, and its delays on planted changes.

    A change is planted for the worse of the rule: a fall for ``below`` and ``fell``, else a rise. Every score from a
    moment on is moved by it, and held on the scale. Where ``goes_on`` says no, what was found so far is returned.

    Raises:
        UnknownMetric: when nothing in the store has the rule's metric.
    """
    watch = watch_of(rule)
    if watch is not None:
        return _watched(store, group, rule, span, watch, goes_on)
    back = rule.condition.baseline_seconds if isinstance(rule.condition, Change) else 0.0
    read = Window(span.start - timedelta(seconds=back + rule.window_seconds + 7200.0), span.end)
    alerts = alerts_of(rule, group, timelines(store, rule, read, 60))
    times = look_times(span, group.interval_seconds)
    every = max(1, len(times) // PLANTS)
    told, states = _Told(), [alert.start for alert in alerts]
    kept: list[tuple[int, AlertState]] = []
    fired: list[tuple[int, datetime]] = []
    for number, now in enumerate(times):
        for place, alert in enumerate(alerts):
            before, after = states[place], alert.look(states[place], now)
            told.take(before, after)
            if after.phase == "firing" != before.phase:
                fired.append((place, now))
            states[place] = after
            if number % every == 0 and number and after.phase not in ("pending", "firing"):
                kept.append((place, after))
        if not goes_on(number + 1, len(times)) and number + 1 < len(times):
            return told.result(rule, _until(span, now), len(alerts), (), whole=False)
    kept = _quiet(kept, fired, span)
    plants: list[Plant] = []
    numbers, of = count(len(times) + 1), len(times) + len(drops) * len(kept)
    for size in drops:
        planted = _planted(alerts, kept, size, group.interval_seconds, lambda: goes_on(next(numbers), of))
        if planted is None:
            return told.result(rule, span, len(alerts), tuple(plants), whole=False)
        plants.append(planted)
    return told.result(rule, span, len(alerts), tuple(plants))


def _until(span: Window, now: datetime) -> Window:
    """Return the part of a span that was replayed up to a look."""
    return Window(span.start, max(now, span.start + timedelta(minutes=1)))


def _quiet(
    kept: Sequence[tuple[int, AlertState]], fired: Sequence[tuple[int, datetime]], span: Window
) -> list[tuple[int, AlertState]]:
    """Return the moments, by the place of their alert, after which there is a day in which history does not page.

    Where it does, what was planted would be found without being looked for.
    """
    times: dict[int, list[datetime]] = defaultdict(list)
    for place, at in fired:
        times[place].append(at)
    found = []
    for place, state in kept:
        began = state.evaluated_at
        soon = began is None or any(began < at <= began + WAIT for at in times[place])
        if began is not None and not soon and began + WAIT <= span.end:
            found.append((place, state))
    return found


def _watched(store: ScoreStore, group: RuleGroup, rule: Rule, span: Window, watch: Watch, goes_on: GoesOn) -> Backtest:
    """Replay a rule that reads the store at each look. Nothing can be planted in what it reads."""
    states: dict[str, AlertState] = {}
    told = _Told()
    times = look_times(span, group.interval_seconds)
    found: Sequence[Seen] = ()
    looked: datetime | None = None
    for number, now in enumerate(times):
        if looked is None or _window_end(rule, group, now) != _window_end(rule, group, looked):
            found, looked = watch(store, rule, group, now), now
        for seen in [*found, *unseen(rule, group, now, found, states.values())]:
            start = start_of(rule, seen.consumer, seen.key)
            before = states.get(start.fingerprint, start)
            after = step(rule, before, seen.observation, now)
            told.take(before, after)
            states[after.fingerprint] = after
        if not goes_on(number + 1, len(times)) and number + 1 < len(times):
            return told.result(rule, _until(span, now), len(states), None, whole=False)
    return told.result(rule, span, len(states), None)


def _window_end(rule: Rule, group: RuleGroup, now: datetime) -> datetime:
    """Return when a look's window ends. Those of drift stand on multiples of their length, for many looks the same."""
    end = window_before(group, now, rule.window_seconds).end
    return floored(end, timedelta(seconds=rule.window_seconds)) if isinstance(rule.condition, Drift) else end


class _Told:
    """What looks came to: how many there were, how many without data, and the pages in between."""

    def __init__(self) -> None:
        self.looks = self.no_data = self.firing = self.held = 0
        self._pages: list[Page] = []
        self._open: dict[str, Transition] = {}

    def take(self, before: AlertState, after: AlertState) -> None:
        """Count a look, and its page where it fired or resolved."""
        self.looks += 1
        self.no_data += bool(after.trouble)
        self.firing += before.phase == "firing"
        self.held += before.phase == "firing" and bool(after.trouble)
        one = transition(before, after)
        if one and one.after == "firing":
            self._open[one.fingerprint] = one
        elif one and one.after == "resolved" and one.fingerprint in self._open:
            self._pages.append(Page(self._open.pop(one.fingerprint), one))

    def result(
        self, rule: Rule, span: Window, alerts: int, plants: tuple[Plant, ...] | None, *, whole: bool = True
    ) -> Backtest:
        """Return all of it, with the pages that are still open, the first fired first."""
        pages = [*self._pages, *(Page(fired, None) for fired in self._open.values())]
        pages.sort(key=lambda page: page.fired.at)
        rate = _rate(len(pages), span)
        counts = self.looks, self.no_data, self.firing, self.held
        return Backtest(rule, span, alerts, *counts, tuple(pages), rate, plants, whole)


def _rate(pages: int, span: Window) -> tuple[float, float, float]:
    """Return pages in 30 days with Garwood's (1936) exact 95 % limits of a Poisson number."""
    from scipy.special import gammaincinv

    months = span.seconds / (30 * 86_400.0)
    low = float(gammaincinv(pages, 0.025)) if pages else 0.0
    return pages / months, low / months, float(gammaincinv(pages + 1, 0.975)) / months


def _planted(
    alerts: Sequence[Alert],
    kept: Sequence[tuple[int, AlertState]],
    size: float,
    interval: float,
    goes_on: Callable[[], bool],
) -> Plant | None:
    """Plant a change of one size at each of these moments; None where it was ended before all were."""
    delays: list[timedelta] = []
    for place, state in kept:
        if (began := state.evaluated_at) is None:
            continue
        moved = alerts[place].moved(partial(_moved, began=began, size=size))
        if (at := _first_alarm(moved, state, began, interval)) is not None:
            delays.append(at - began)
        if not goes_on():
            return None
    # Those that were not found came later than any that were.
    middle = sorted(delays)[len(kept) // 2] if len(kept) // 2 < len(delays) else None
    return Plant(size, len(kept), len(delays), middle)


def _first_alarm(alert: Alert, state: AlertState, began: datetime, interval: float) -> datetime | None:
    for number in range(1, int(WAIT.total_seconds() // interval) + 1):
        now = began + timedelta(seconds=number * interval)
        state = alert.look(state, now)
        if state.phase == "firing":
            return now
    return None


def _moved(rule: Rule, line: Timeline, began: datetime, size: float) -> Timeline:
    """Return a timeline whose scores from ``began`` on are worse by a share of the scale, or of the mean.

    On a scale with an end they all move the same share of their way to it, so that none leaves it: of yes and no, so
    many of one become the other.
    """
    condition = rule.condition
    if isinstance(condition, Change):
        falls = condition.direction != "rose"
    else:
        falls = isinstance(condition, Threshold) and condition.side == "below"
    end = line.scale.low if falls else line.scale.high
    mean = _mean(line)
    bounded = line.scale.low is not None and line.scale.high is not None
    width = (line.scale.high or 0.0) - (line.scale.low or 0.0) if bounded else abs(mean)
    if end is None:
        part, to = 0.0, size * width * (-1.0 if falls else 1.0)
    else:
        part = min(1.0, size * width / abs(end - mean)) if end != mean else 1.0
        to = part * end
    pools = {at: pool for at, pool in line.pools.items() if at < began + WAIT}
    for at, pool in pools.items():
        if at >= began:
            cells = tuple(_affine(cell, 1.0 - part, to, line.scale) for cell in pool.cells)
            pools[at] = pool._replace(cells=cells)
    return line._replace(pools=pools)


def _mean(line: Timeline) -> float:
    cells = [cell for pool in line.pools.values() for cell in pool.cells]
    weight = sum(cell.n / cell.pi for cell in cells)
    return sum(cell.total / cell.pi for cell in cells) / weight if weight else 0.0


def _affine(cell: Cell, slope: float, shift: float, scale: Scale) -> Cell:
    """Return the sums of slope·y + shift of the scores y; of yes and no, of as many that became the other."""
    total = slope * cell.total + shift * cell.n
    n2, ny, y2 = cell.cluster_n2, cell.cluster_ny, cell.cluster_y2
    squares = slope * slope * cell.squares + 2.0 * slope * shift * cell.total + shift * shift * cell.n
    return replace(
        cell,
        total=total,
        squares=total if scale.binary else squares,
        cluster_ny=slope * ny + shift * n2,
        cluster_y2=slope * slope * y2 + 2.0 * slope * shift * ny + shift * shift * n2,
    )
