"""A look of a whole group: what its rules see, what becomes of their alerts, and what there is to tell."""

from __future__ import annotations

import logging
from collections.abc import Callable, Collection, Mapping, Sequence
from datetime import datetime, timedelta
from typing import Literal

from msgspec.structs import replace

from evalsvc.errors import EvalsvcError, InputError, UnknownMetric
from evalsvc.protocols import CellQuery, ScoreStore
from evalsvc.ruler.crowds import crowds, said_of
from evalsvc.ruler.kinds import unseen, watch_of
from evalsvc.ruler.live import Group, Kept, Live, Reader, newest
from evalsvc.ruler.looks import MOST_MINUTES, baseline_at, observe, start_of, window_at
from evalsvc.ruler.seen import Watch
from evalsvc.rules.history import TOLD, Look
from evalsvc.rules.machine import AlertState, Example, Observation, Phase, Transition, step, transition
from evalsvc.rules.reading import HEALTH_ALERT
from evalsvc.rules.templates import render, values_of
from evalsvc.rules.values import Absence, Change, Rule, RuleGroup, Threshold, Versions
from evalsvc.rules.wording import describe
from evalsvc.types import Window

log = logging.getLogger("evalsvc.ruler")

REMEMBERED = timedelta(days=30)
"""So long a group without data still counts among a rule's alerts, and is looked at."""
_ENDS: Mapping[Phase, Phase] = {"firing": "resolved", "pending": "inactive"}
UNDER_WAY = frozenset(_ENDS)
"""The phases of an alert that is not over."""
_EXAMPLES = 3
_SEARCHED = 2_000

HEALTH = Rule(
    alert=HEALTH_ALERT,
    metric="evalsvc",
    condition=Threshold("above", 0.0, 0.0),
    window_seconds=60.0,
    for_seconds=600.0,
    keep_firing_seconds=600.0,
    annotations={"summary": "The rule {{ rule }} cannot be looked at, so it pages for nothing: {{ error }}"},
)
"""The alert about a rule that fails: by an error of its own or of the store, for ten minutes."""


def look(
    store: ScoreStore,
    group: RuleGroup,
    states: Mapping[str, AlertState],
    now: datetime,
    kept: Kept | None = None,
    on_error: Callable[[str, str], None] | None = None,
) -> list[Look]:
    """Return what a look at ``now`` leaves of each alert of a group.

    Args:
        store: read up to ``now`` less the group's delay.
        group: whose rules are looked at. A rule that fails makes errors of its own alerts only.
        states: what earlier looks left, by fingerprint; alerts of other rules are not looked at.
        now: the time of the look, a multiple of the group's interval.
        kept: what may serve later looks as well; emptied of what is too old.
        on_error: told the alert and the error of each rule that could not be looked at. Such a rule has an alert of
            its own, ``EvalsvcRuleFailing``.
    """
    if kept is not None:
        kept.begin(now)
    reader = Reader(store, kept)
    own: dict[str, list[AlertState]] = {rule.alert: [] for rule in group.rules}
    for state in states.values():
        if state.rule in own:
            own[state.rule].append(state)
    crowded = crowds(reader, group, {alert: len(held) for alert, held in own.items()}, now)
    for rule in group.rules:
        if rule.alert not in crowded:
            _want(reader, rule, group, own[rule.alert], now)
    made: list[Look] = []
    for rule in group.rules:
        looks, why = _look(reader, rule, group, own[rule.alert], now, crowded.get(rule.alert, ""))
        if why and on_error:
            on_error(rule.alert, why)
        made += [*looks, *_health(rule, group, states, now, why)]
    return made


def closed(state: AlertState, now: datetime, why: str) -> Look | None:
    """Return the end of an alert that is under way, by a person or since no rule has it any more; None of any other."""
    if state.phase not in _ENDS:
        return None
    after = replace(state, phase=_ENDS[state.phase], since=now, good_since=None, evaluated_at=now)
    told = transition(state, after)
    return Look(after, replace(told, reason=why, description=why) if told else None)


def ended(made: Sequence[Look], states: Mapping[str, AlertState], whys: Mapping[str, str], now: datetime) -> list[Look]:
    """Return the looks with the ends of alerts that a person closed in the place of what was seen of them.

    ``whys`` are the reasons by fingerprint, ``states`` those before the look. What is still bad begins anew at
    the next.
    """
    ends = {name: end for name, why in whys.items() if (end := closed(states[name], now, why))}
    return [*(one for one in made if one.state.fingerprint not in ends), *ends.values()]


def _look(
    reader: Reader, rule: Rule, group: RuleGroup, held: Sequence[AlertState], now: datetime, why: str
) -> tuple[list[Look], str]:
    """Return the looks at a rule's alerts, and why they failed; where ``why`` says so before, nothing is read."""
    known = {state.fingerprint: state for state in held if remembered(state, now)}
    try:
        pairs = [] if why else _observations(reader, rule, group, known, now)
    except UnknownMetric as error:
        # Nothing of it was ever scored, as where no worker has run yet: absence rules are there to tell.
        nothing = Observation(verdict="no_data", window=window_at(rule, group, now), reason=str(error))
        pairs = [(state, nothing) for state in known.values()]
    except EvalsvcError as error:
        why = str(error)
    except Exception as error:
        log.exception("rule_failed alert=%s", rule.alert)
        why = f"{type(error).__name__}: {error}"
    if why:
        wrong = Observation(verdict="error", window=window_at(rule, group, now), reason=why)
        pairs = [(state, wrong) for state in known.values()]
    made = []
    for state, observation in pairs:
        after = step(rule, state, observation, now)
        told = transition(state, after)
        made.append(Look(after, worded(reader.store, rule, told) if told else None))
    return made, why


def _health(rule: Rule, group: RuleGroup, states: Mapping[str, AlertState], now: datetime, why: str) -> list[Look]:
    """Return the look at whether a rule can be looked at; nothing where it always could."""
    start = start_of(HEALTH, "", {"rule": rule.alert})
    if not why and start.fingerprint not in states:
        return []
    before = states.get(start.fingerprint, start)
    window = window_at(rule, group, now)
    after = step(HEALTH, before, Observation(verdict="bad" if why else "good", window=window, reason=why), now)
    told = transition(before, after)
    if told is not None and told.after in TOLD:
        about = {"rule": rule.alert, "error": after.fired_on.reason if after.fired_on else ""}
        texts = {name: render(text, about) for name, text in HEALTH.annotations.items()}
        told = replace(told, annotations=texts, description=texts["summary"])
    return [Look(after, told)]


def _observations(
    reader: Reader, rule: Rule, group: RuleGroup, known: Mapping[str, AlertState], now: datetime
) -> list[tuple[AlertState, Observation]]:
    """Return each alert's state and what was seen of it, those without data included."""
    watch = watch_of(rule)
    if watch is not None:
        return _watched(watch, reader, rule, group, known, now)
    window, since = window_at(rule, group, now), _since(rule, group, known.values(), now)
    lines = reader.window(rule, window)
    there = {start.fingerprint: (start, group) for group in lines for start in [_start(rule, group)]}
    fingerprints = sorted(there.keys() | known.keys())
    _check_count(reader, rule, len(fingerprints), now)
    pairs = []
    for fingerprint in fingerprints:
        if fingerprint not in there:
            nothing = Observation(verdict="no_data", window=window, reason="no score in the window")
            pairs.append((known[fingerprint], nothing))
            continue
        start, whose = there[fingerprint]
        state = known.get(fingerprint, start)
        sight = Live(reader, rule, newest(reader, rule, lines[whose], window), since)
        pairs.append((state, observe(rule, group, sight, state, now, len(fingerprints))))
    return pairs


def _watched(
    watch: Watch, reader: Reader, rule: Rule, group: RuleGroup, known: Mapping[str, AlertState], now: datetime
) -> list[tuple[AlertState, Observation]]:
    """Return what a kind that reads for itself saw, and no data for the alerts that it did not see."""
    found = watch(reader.store, rule, group, now)
    _check_count(reader, rule, len(found), now)
    pairs = []
    for seen in [*found, *unseen(rule, group, now, found, known.values())]:
        start = start_of(rule, seen.consumer, seen.key)
        pairs.append((known.get(start.fingerprint, start), seen.observation))
    return pairs


def _check_count(reader: Reader, rule: Rule, alerts: int, now: datetime) -> None:
    """Take note that the alerts that there are were read; too many are counted first from then on."""
    if said := said_of(rule, alerts):
        reader.kept.read.pop(rule.alert, None)
        raise InputError(said)
    reader.kept.read[rule.alert] = now


def _want(reader: Reader, rule: Rule, group: RuleGroup, held: Collection[AlertState], now: datetime) -> None:
    """Say what a look at a rule is going to read; kinds that read for themselves do."""
    if watch_of(rule) is not None:
        return
    window = window_at(rule, group, now)
    reader.want(rule, window)
    if isinstance(rule.condition, Change):
        reader.want_baseline(rule, baseline_at(rule.condition, window))
        if (since := _since(rule, group, held, now)) < window.end:
            reader.want_minutes(rule, Window(since, window.end))


def _since(rule: Rule, group: RuleGroup, held: Collection[AlertState], now: datetime) -> datetime:
    """Return from when on detectors have minutes to see; after a pause of more than a day they see the last."""
    window = window_at(rule, group, now)
    # One that had no data at its last look would have all others read what only it has missed.
    seen = [state.detector.until for state in held if state.detector and not state.trouble]
    return max(min(seen, default=window.start), window.end - MOST_MINUTES)


def _start(rule: Rule, group: Group) -> AlertState:
    consumer, key = group
    return start_of(rule, consumer, dict(key))


def remembered(state: AlertState, now: datetime) -> bool:
    """Return whether an alert is still looked at: it is under way, or had data in the last :data:`REMEMBERED`."""
    seen = state.evidence.window.end if state.evidence else state.evaluated_at
    return state.phase in ("pending", "firing") or (seen is not None and seen > now - REMEMBERED)


def worded(store: ScoreStore, rule: Rule, told: Transition) -> Transition:
    """Return a transition with its texts; what is told to nobody needs none. It goes out even where that fails."""
    if told.after not in TOLD:
        return told
    try:
        return _worded(store, rule, told)
    except Exception:
        log.exception("alert_not_worded alert=%s", rule.alert)
        return replace(told, description=told.reason or f"{rule.alert} is {told.after}", runbook=rule.runbook)


def _worded(store: ScoreStore, rule: Rule, told: Transition) -> Transition:
    units = {spec.scale.unit for spec in store.metrics() if spec.metric == rule.metric}
    unit = next(iter(units - {"share", "score"}), "")
    values = values_of(rule, told)
    annotations = {name: render(text, values) for name, text in rule.annotations.items()}
    examples = _worst(store, rule, told) if told.after == "firing" else ()
    said = describe(rule, told, unit)
    return replace(told, description=said, annotations=annotations, runbook=rule.runbook, examples=examples)


def _worst(store: ScoreStore, rule: Rule, told: Transition) -> tuple[Example, ...]:
    """Return the worst scored events of a window on the side that a rule watches; an alert goes out without, too."""
    seen = told.observation
    if seen is None or isinstance(rule.condition, Absence) or (worst := _side(store, rule)) is None:
        return ()
    canary = rule.condition.canary if isinstance(rule.condition, Versions) else {}
    own = {name: (value,) for name, value in told.key.items()}
    where = {**rule.where, **canary, **own, "consumer": (told.consumer,)}
    query = CellQuery(rule.metric, seen.window, int(seen.window.seconds), where=where)
    try:
        scores = store.scores(query, _SEARCHED)
    except EvalsvcError as error:
        log.warning("examples_missing alert=%s: %s", rule.alert, error)
        return ()
    found = [Example(score.subject.event_id, score.value) for score in scores if score.value is not None]
    found.sort(key=lambda example: (example.value, example.event_id), reverse=worst == "highest")
    return tuple(found[:_EXAMPLES])


def _side(store: ScoreStore, rule: Rule) -> Literal["lowest", "highest"] | None:
    """Return which scores an alert is about: those that its condition watches for, or the worse end of the scale."""
    condition = rule.condition
    if isinstance(condition, Threshold):
        return "lowest" if condition.side == "below" else "highest"
    if isinstance(condition, Change) and condition.direction != "either":
        return "lowest" if condition.direction == "fell" else "highest"
    better = {spec.scale.better for spec in store.metrics() if spec.metric == rule.metric}
    return "lowest" if better == {"higher"} else "highest" if better == {"lower"} else None
