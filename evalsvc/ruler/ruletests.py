"""Tests of rules, run: a ruler's looks at a made-up store on virtual time, and what was expected of them.

Every look is :func:`evalsvc.ruler.rounds.look`, the ruler's own.
"""

from __future__ import annotations

from bisect import bisect_right
from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from datetime import datetime, timedelta
from itertools import groupby
from typing import NamedTuple

from msgspec.structs import replace

from evalsvc.errors import InputError
from evalsvc.ruler.live import Kept
from evalsvc.ruler.looks import look_times
from evalsvc.ruler.rounds import HEALTH, look
from evalsvc.ruler.series_store import SeriesStore
from evalsvc.rules.machine import AlertState, Phase, Transition
from evalsvc.rules.rule_tests import Expectation, Never, Place, RuleTest
from evalsvc.rules.templates import duration, interval, number
from evalsvc.rules.values import Absence, RuleGroup
from evalsvc.types import Scale, Window

_FIXED = ("alertname", "severity", "metric", "owner")


class Failure(NamedTuple):
    """An expectation that does not hold: where it stands, and what was instead, in a line or more."""

    place: Place
    message: str


class Ran(NamedTuple):
    """A test that ran: it passed where it has no failures. ``pages`` are the transitions to firing, by time."""

    test: RuleTest
    looks: int
    pages: tuple[Transition, ...]
    failures: tuple[Failure, ...]


def run_test(test: RuleTest, groups: Sequence[RuleGroup], scale_of: Callable[[str], Scale | None]) -> Ran:
    """Return what became of a test of these groups, each looked at in its own interval.

    Raises:
        InputError: when the scale of a metric is not known, as its scorer cannot be built here.
    """
    store = SeriesStore(test, _scales(test, scale_of))
    seen = _Seen(test.start)
    looks = sum(_look_all(test, _concerned(test, group), store, seen) for group in groups)
    failures = [
        *(failure for one in test.expect if (failure := _unmet(one, seen))),
        *(failure for one in test.never if (failure := _fired(one, seen))),
    ]
    pages = sorted((one for one in seen.told if one.after == "firing"), key=lambda one: (one.at, one.fingerprint))
    if test.pages is not None and len(pages) != test.pages:
        came = "".join(f"\n{_at(one.at, test.start)} {_name(one.labels)}" for one in pages)
        failures.append(Failure(test.place, f"expected {test.pages} to fire, but {len(pages)} did{came}"))
    return Ran(test, looks, tuple(pages), tuple(failures))


class _Seen:
    """What the looks of a test left: each alert's states by time, and all transitions."""

    def __init__(self, start: datetime) -> None:
        self.start = start
        self.states: dict[str, list[tuple[datetime, AlertState]]] = defaultdict(list)
        self.told: list[Transition] = []
        self.errors: dict[str, str] = {}

    def named(self, alert: str) -> list[list[tuple[datetime, AlertState]]]:
        """Return the states of each alert of this name."""
        return [states for states in self.states.values() if states[0][1].labels["alertname"] == alert]

    def failed(self, alert: str) -> str:
        """Say why a rule could not be looked at, at its last such look; empty where it always could."""
        return f"\nthe rule could not be looked at: {self.errors[alert]}" if alert in self.errors else ""


def _scales(test: RuleTest, scale_of: Callable[[str], Scale | None]) -> dict[str, Scale]:
    scales = {}
    for metric in {each.metric for each in test.series}:
        scale = scale_of(metric)
        if scale is None:
            raise InputError(
                f"Expected to know the scale of {metric!r} for the test {test.name!r}, but its scorer cannot be built "
                "here; `evalsvc check` says why"
            )
        scales[metric] = scale
    return scales


def _concerned(test: RuleTest, group: RuleGroup) -> RuleGroup:
    """Return the group with those of its rules that can have an alert: the others' metrics are never scored.

    Absence may be of what never was, and where the store does not answer, every rule has the alert that says so.
    """
    metrics = {each.metric for each in test.series}
    rules = [rule for rule in group.rules if rule.metric in metrics or isinstance(rule.condition, Absence)]
    return group if test.outages else replace(group, rules=tuple(rules))


def _look_all(test: RuleTest, group: RuleGroup, store: SeriesStore, seen: _Seen) -> int:
    """Look at a group from the test's start to its end; return how often."""
    states: dict[str, AlertState] = {}
    kept = Kept()
    times = look_times(
        Window(test.start, test.start + timedelta(seconds=max(test.seconds, 1.0))), group.interval_seconds
    )
    for now in times:
        passed = (now - test.start).total_seconds()
        store.now, store.away = now, any(away.start <= passed < away.end for away in test.outages)
        for made in look(store, group, states, now, kept, seen.errors.__setitem__):
            states[made.state.fingerprint] = made.state
            seen.states[made.state.fingerprint].append((now, made.state))
            seen.told += [made.transition] if made.transition else []
    return len(times)


def _unmet(expected: Expectation, seen: _Seen) -> Failure | None:
    """Return why an expectation does not hold, None where it does."""
    named = seen.named(expected.alert)
    found = [states for states in named if expected.labels.items() <= states[0][1].labels.items()]
    wanted = f"at {duration(expected.at)}: expected {_name({'alertname': expected.alert, **expected.labels})}"
    if len(found) != 1:
        among = ", ".join(sorted(_name(states[0][1].labels) for states in (found or named)))
        why = f"{len(found)} alerts are so, say which by `labels`" if found else "no alert is so"
        return Failure(
            expected.place, f"{wanted} to be {expected.phase}, but {why}; seen: {among or 'no alert at all'}"
        )
    (states,) = found
    moment = seen.start + timedelta(seconds=expected.at)
    place = bisect_right([at for at, _ in states], moment)
    phase: Phase = states[place - 1][1].phase if place else "inactive"
    if phase != expected.phase:
        lines = [f"{wanted} to be {expected.phase}, but it was {phase}"]
        lines += [_look_text(*states[place - 1], seen.start)] if place else ["nothing had been looked at before"]
        lines.append(_when(states, expected.phase, moment, seen.start))
        return Failure(expected.place, "\n".join(lines))
    return _other_text(expected, wanted, states[0][1].fingerprint, moment, seen)


def _other_text(expected: Expectation, wanted: str, fingerprint: str, moment: datetime, seen: _Seen) -> Failure | None:
    """Return which annotations were otherwise in the message that told of the phase."""
    if not expected.annotations:
        return None
    told = [one for one in seen.told if one.fingerprint == fingerprint and one.at <= moment]
    texts = next((one.annotations for one in reversed(told) if one.after == expected.phase), {})
    lines = []
    for name, text in expected.annotations.items():
        came = texts.get(name, "")
        if isinstance(text, str) and came != text:
            lines.append(f"annotation {name}: expected {text!r}, but got {came!r}")
        elif not isinstance(text, str):
            lines += [f"annotation {name}: expected {part!r} in {came!r}" for part in text if part not in came]
    return Failure(expected.place, "\n".join([f"{wanted} with other texts", *lines])) if lines else None


def _fired(never: Never, seen: _Seen) -> Failure | None:
    """Return when an alert fired that never should, or that it could not."""
    named = seen.named(never.alert)
    if not named and never.alert != HEALTH.alert:
        why = f"{never.alert} was never looked at: no input is of its events, so that it could not fire"
        return Failure(never.place, why + seen.failed(never.alert))
    lines = []
    for states in named:
        at = next(((at, state) for at, state in states if state.phase == "firing"), None)
        if at:
            lines += [f"{_name(at[1].labels)} fired at {_at(at[0], seen.start)}", _look_text(*at, seen.start)]
    return Failure(never.place, "\n".join([f"expected {never.alert} never to fire", *lines])) if lines else None


def _look_text(at: datetime, state: AlertState, start: datetime) -> str:
    """Say what a look saw."""
    said = f"looked at {_at(at, start)}: "
    evidence = state.evidence
    if state.trouble:
        return f"{said}no verdict ({state.trouble})"
    if evidence is None:
        return f"{said}nothing yet"
    window = f"window {_at(evidence.window.start, start)} … {_at(evidence.window.end, start)}"
    parts = [f"{said}{evidence.verdict.replace('_', ' ')}, {window}"]
    if estimate := evidence.estimate:
        parts.append(f"{number(estimate.value)} (interval {interval(estimate)}, {estimate.n:,} scores)")
    if baseline := evidence.baseline:
        parts.append(f"before it {number(baseline.value)} (interval {interval(baseline)})")
    parts += [evidence.reason] if evidence.reason else []
    return ", ".join(parts)


def _when(states: Sequence[tuple[datetime, AlertState]], phase: Phase, moment: datetime, start: datetime) -> str:
    """Say when an alert was in a phase, the nearest time before and after a moment."""
    spans = [
        (held[0][0], held[-1][0])
        for was, each in groupby(states, key=lambda look: look[1].phase)
        if (held := list(each)) and was == phase
    ]
    if not spans:
        course = [(at, state.phase) for at, state in states]
        changes = [one for last, one in zip([(start, None), *course], course, strict=False) if last[1] != one[1]]
        return f"it never was; it was {', '.join(f'{was} from {_at(at, start)}' for at, was in changes)}"
    before = [span for span in spans if span[1] < moment][-1:]
    after = [span for span in spans if span[0] > moment][:1]
    times = [f"from {_at(first, start)} to {_at(last, start)}" for first, last in (*before, *after)]
    return f"it was {phase} {' and '.join(times)}"


def _at(moment: datetime, start: datetime) -> str:
    """Return a moment as the test counts it."""
    seconds = (moment - start).total_seconds()
    return f"-{duration(-seconds)}" if seconds < 0 else duration(seconds)


def _name(labels: Mapping[str, str]) -> str:
    """Return an alert by its name and the labels that tell it from the rule's others."""
    own = ", ".join(f"{name}={value}" for name, value in sorted(labels.items()) if name not in _FIXED)
    return f"{labels['alertname']}{{{own}}}" if own else labels["alertname"]
