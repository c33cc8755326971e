"""The command ``backtest``: what the rules of a file would have done, on one's own history."""

from __future__ import annotations

import argparse
import json
import os
from contextlib import closing
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any

from evalsvc import project
from evalsvc._cli_output import aligned
from evalsvc._hints import did_you_mean
from evalsvc._yaml import raise_problems
from evalsvc.cli import OK
from evalsvc.errors import ConfigError, InputError
from evalsvc.project import Environment
from evalsvc.rules.templates import duration, interval, number
from evalsvc.rules.values import Absence, Budget, Rule, RuleGroup, Versions
from evalsvc.types import Window
from evalsvc.windows import parse_span, whole_minutes

if TYPE_CHECKING:
    from evalsvc.ruler import Backtest, Page, Plant

MONTH = 30 * 86_400.0


def backtest(options: argparse.Namespace) -> int:
    """Print what each rule would have done."""
    from evalsvc import assemble
    from evalsvc.ruler import backtest as replayed

    span = whole_minutes(parse_span(options.since, options.until, datetime.now(UTC)))
    chosen = _chosen(Path(options.file), options.alert)
    drops = tuple(options.drop) or None
    found = project.load_settings()
    address = getattr(options, "store", None)
    with closing(assemble.open_project_store(found, Environment.read(os.environ), address)) as store:
        for number_, (group, rule) in enumerate(chosen):
            made = replayed(store, group, rule, span, **({"drops": drops} if drops else {}))
            if options.format == "json":
                print(json.dumps(to_json(made), ensure_ascii=False, allow_nan=False))
            else:
                print(("\n\n" if number_ else "") + report(made, group))
    return OK


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
    if made.no_data:
        parts.append(f"{made.no_data / made.looks:.1%} of the looks had too few scores to decide.")
    if made.pages:
        parts.append(aligned([_line(page, rule) for page in made.pages], right={"value"}))
        why = [f"{page.fired.at:%Y-%m-%d %H:%M}  {page.fired.reason}" for page in made.pages if page.fired.reason]
        parts += ["\n".join(why)] if why else []
    parts.append(_plants(made))
    return "\n\n".join(parts)


def _line(page: Page, rule: Rule) -> dict[str, str]:
    fired, seen = page.fired, page.fired.observation
    estimate, baseline = (seen.estimate, seen.baseline) if seen else (None, None)
    shown = {name: value for name, value in fired.labels.items() if name not in _FIXED}
    ended = page.resolved.at if page.resolved else None
    lasted = duration((ended - fired.at).total_seconds()) if ended else "-"
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
