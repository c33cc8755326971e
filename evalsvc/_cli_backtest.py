"""The command ``backtest``: what the rules of a file would have done, on one's own history."""

from __future__ import annotations

import argparse
import json
import math
import os
import signal
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any

from evalsvc import project
from evalsvc._cli_output import Progress, aligned
from evalsvc._hints import did_you_mean
from evalsvc._yaml import raise_problems
from evalsvc.cli import INTERRUPTED, OK
from evalsvc.errors import ConfigError, InputError
from evalsvc.project import Environment
from evalsvc.rules.templates import duration, interval, number
from evalsvc.rules.values import Absence, Budget, Change, Rule, RuleGroup, Versions
from evalsvc.types import Window
from evalsvc.windows import parse_span, whole_minutes

if TYPE_CHECKING:
    from evalsvc.ruler import Backtest, Page, Plant

MONTH = 30 * 86_400.0


def backtest(options: argparse.Namespace) -> int:
    """Print what each rule would have done."""
    from evalsvc import assemble
    from evalsvc.ruler import DROPS
    from evalsvc.ruler import backtest as replayed

    span = whole_minutes(parse_span(options.since, options.until, datetime.now(UTC)))
    chosen = _chosen(Path(options.file), options.alert)
    drops = tuple(options.drop) or DROPS
    found = project.load_settings()
    address = getattr(options, "store", None)
    with closing(assemble.open_project_store(found, Environment.read(os.environ), address)) as store:
        for number_, (group, rule) in enumerate(chosen):
            run = _Run()
            with run.interruptible(), Progress(rule.alert, "looks", run.measure, run.left):
                made = replayed(store, group, rule, span, drops=drops, goes_on=run.goes_on)
            if options.format == "json":
                print(json.dumps(to_json(made), ensure_ascii=False, allow_nan=False))
            else:
                print(("\n\n" if number_ else "") + _part(made, span) + report(made, group))
            if run.stopped:
                return INTERRUPTED
    return OK


class _Run:
    """How far a replay is, and whether somebody wants it to end: the first Ctrl-C ends it with what was found."""

    def __init__(self, monotonic: Callable[[], float] = time.monotonic) -> None:
        self._monotonic, self._began = monotonic, monotonic()
        self._done = self._of = 0
        self.stopped = False

    def goes_on(self, done: int, of: int) -> bool:
        """Take note of how far it is; whether to go on."""
        self._done, self._of = done, of
        return not self.stopped

    def measure(self) -> tuple[int, int]:
        """Return how far it is, and of how much."""
        return self._done, self._of

    def left(self) -> str:
        """Say about how long it will take, once a few looks tell."""
        if self.stopped:
            return "ending after this look"
        if self._done < 3:
            return ""
        seconds = (self._monotonic() - self._began) * (self._of - self._done) / self._done
        return f"about {duration(60.0 * math.ceil(seconds / 60.0)) if seconds >= 60.0 else duration(seconds)} left"

    @contextmanager
    def interruptible(self) -> Iterator[None]:
        """Let the first Ctrl-C end the replay after its look, and the second one at once."""
        if threading.current_thread() is not threading.main_thread():
            yield
            return
        before = signal.signal(signal.SIGINT, self._interrupt)
        try:
            yield
        finally:
            signal.signal(signal.SIGINT, before)

    def _interrupt(self, number: int, frame: object) -> None:
        if self.stopped:
            raise KeyboardInterrupt
        self.stopped = True


def _part(made: Backtest, asked: Window) -> str:
    """Say of a replay that was ended what it is about; nothing of a whole one."""
    if made.whole:
        return ""
    if made.span.end < asked.end:
        until = f"{made.span.end:%Y-%m-%d %H:%M} UTC, of the time until {asked.end:%Y-%m-%d %H:%M} UTC"
        return f"ONLY A PART, ended by Ctrl-C: what follows is about the time until {until}.\n"
    return "ONLY A PART, ended by Ctrl-C: all looks were made, and not all changes planted.\n"


def _chosen(path: Path, alert: str | None) -> list[tuple[RuleGroup, Rule]]:
    """Return the rules of a file, or the one of this name.

    Raises:
        ConfigError: with every problem of the file.
        InputError: when no rule has this name.
    """
    if not path.is_file():
        raise ConfigError(f"Expected a file of rules, but {path} is {'a folder' if path.is_dir() else 'not there'}")
    checked = project.read_rule_files([path])
    raise_problems(checked.problems)
    rules = [(group, rule) for group in checked.rules for rule in group.rules]
    if alert is None:
        return rules
    named = [(group, rule) for group, rule in rules if rule.alert == alert]
    if not named:
        hint = did_you_mean(alert, [rule.alert for _, rule in rules])
        raise InputError(f"Expected the name of an alert of {path}, but got {alert!r} ({hint})")
    return named


def report(made: Backtest, group: RuleGroup) -> str:
    """Return what a rule would have done: a sentence, its pages, and how soon it sees a change."""
    rule, span = made.rule, made.span
    if not made.alerts:
        what = f"scores of {rule.metric}" if rule.metric else "events"
        return f"{rule.alert}: no {what} match; widen --since, or loosen the rule's `where`"
    days = span.seconds / 86_400.0
    due = f"Its budget allows {_due(rule.false_alarms, span):,.3g} false ones in that time."
    if isinstance(rule.condition, Absence):
        due = "It counts, and has no budget of false ones."
    head = (
        f"{rule.alert}: {_count(len(made.pages), 'page')} in {days:,.3g} days "
        f"({made.rate[0]:,.3g} in 30 days, 95 % interval {made.rate[1]:,.3g} … {made.rate[2]:,.3g}) "
        f"from {_count(made.alerts, 'alert')}, looked at every {duration(group.interval_seconds)}. "
        f"{due}"
    )
    parts = [head]
    parts += _lacking(made)
    if made.pages:
        parts.append(aligned([_line(page, made) for page in made.pages], right={"value"}))
        why = [f"{page.fired.at:%Y-%m-%d %H:%M}  {page.fired.reason}" for page in made.pages if page.fired.reason]
        parts += ["\n".join(why)] if why else []
    parts.append(_plants(made))
    return "\n\n".join(parts)


def _lacking(made: Backtest) -> Iterator[str]:
    """Say how many looks had too little, and what that does to an alert that fires."""
    rule = made.rule
    if made.no_data:
        few = f"{made.no_data:,} of {made.looks:,} looks ({made.no_data / made.looks:.1%}) had too few scores to decide"
        ends = isinstance(rule.condition, Change)
        yield f"{few}: at these no alert can end by itself." if ends and not made.held else f"{few}."
    if made.held:
        share = f"{made.held:,} of {made.firing:,} looks at alerts that fired ({made.held / made.firing:.1%})"
        yield (
            f"{share} had too few to say whether they were over, and left them on: "
            f"lengthen `window`, lower `min_effective_n` ({rule.min_effective_n:g}), or sample more."
        )


def _line(page: Page, made: Backtest) -> dict[str, str]:
    rule, fired, seen = made.rule, page.fired, page.fired.observation
    estimate, baseline = (seen.estimate, seen.baseline) if seen else (None, None)
    shown = {name: value for name, value in fired.labels.items() if name not in _FIXED}
    lasted = duration(((page.resolved.at if page.resolved else made.span.end) - fired.at).total_seconds())
    lasted = lasted if page.resolved else f"{lasted}, still firing"
    line = {"fired": f"{fired.at:%Y-%m-%d %H:%M}", "lasted": lasted} | shown
    line |= {"value": number(estimate.value) if estimate else "-", "interval": interval(estimate) if estimate else "-"}
    if baseline is not None:
        line |= {"stable" if isinstance(rule.condition, Versions) else "before": interval(baseline)}
    if seen and seen.since:
        line |= {"since": f"{seen.since:%Y-%m-%d %H:%M}"}
    return line


_FIXED = ("alertname", "severity", "metric", "owner")


def _plants(made: Backtest) -> str:
    """Say how soon planted changes were found."""
    if made.plants is None:
        return (
            "Changes are planted for changes and for thresholds of means only: other rules read the store at each look."
        )
    tried = [plant for plant in made.plants if plant.times]
    if not tried and not made.whole:
        return "No change was planted: the replay was ended before."
    if not tried:
        return "No change could be planted: the alerts were firing, or the time is shorter than two days."
    lines = [
        {
            "planted": f"{plant.size:.3g}",
            "found within a day": f"{plant.found} of {plant.times}",
            "median delay": duration(plant.median.total_seconds()) if plant.median is not None else "-",
        }
        for plant in tried
    ]
    return "Changes planted in quiet hours, as shares of the scale:\n" + aligned(lines, right={"planted"})


def _due(budget: Budget, span: Window) -> float:
    return budget.count * span.seconds / budget.seconds


def _count(number_: int, what: str) -> str:
    return f"{number_:,} {what}{'' if number_ == 1 else 's'}"


def to_json(made: Backtest) -> dict[str, Any]:
    """Return a backtest as JSON-able values; times in RFC 3339, delays in seconds."""
    return {
        "alert": made.rule.alert,
        "metric": made.rule.metric,
        "start": _moment(made.span.start),
        "end": _moment(made.span.end),
        "alerts": made.alerts,
        "looks": made.looks,
        "looks_without_data": made.no_data,
        "looks_while_firing": made.firing,
        "looks_while_firing_without_data": made.held,
        "whole": made.whole,
        "pages": [_page(page) for page in made.pages],
        "pages_in_30_days": dict(zip(("value", "low", "high"), made.rate, strict=True)),
        "false_alarms_in_30_days": made.rule.false_alarms.count * MONTH / made.rule.false_alarms.seconds,
        "planted": None if made.plants is None else [_plant(plant) for plant in made.plants],
    }


def _plant(plant: Plant) -> dict[str, Any]:
    return {
        "size": plant.size,
        "times": plant.times,
        "found": plant.found,
        "median_seconds": None if plant.median is None else plant.median / timedelta(seconds=1),
    }


def _page(page: Page) -> dict[str, Any]:
    seen = page.fired.observation
    estimate = seen.estimate if seen else None
    return {
        "id": page.fired.id,
        "fingerprint": page.fired.fingerprint,
        "labels": dict(page.fired.labels),
        "fired": _moment(page.fired.at),
        "resolved": _moment(page.resolved.at) if page.resolved else None,
        "since": _moment(seen.since) if seen and seen.since else None,
        "value": estimate.value if estimate else None,
        "low": estimate.low if estimate else None,
        "high": estimate.high if estimate else None,
        "n": estimate.n if estimate else 0,
        "reason": page.fired.reason,
    }


def _moment(moment: datetime) -> str:
    return moment.astimezone(UTC).isoformat().replace("+00:00", "Z")
