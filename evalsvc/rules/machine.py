"""The state machine of one alert: inactive → pending → firing → resolved, by a pure :func:`step`.

A look gives one of five verdicts. ``bad`` alone moves towards firing, and ``good`` alone, for ``keep_firing_seconds``
without anything else between, resolves::

                 bad                    bad, `for` is over               good for `keep_firing_for`
    inactive ──────────────▶ pending ──────────────────────▶ firing ──────────────────────────────▶ resolved
    (resolved)  ◀──────────────                                │ ▲                                       │
                good, unclear                                  └─┘ everything else                       └▶ as inactive

No data and errors change no phase. Where a rule says ``no_data: alert`` or ``error: alert`` they count as ``bad``, so
they may fire an alert, and still never resolve one.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from datetime import datetime
from typing import Literal, NamedTuple

import msgspec

from evalsvc.rules.values import Rule
from evalsvc.stats.change import ChangeState
from evalsvc.types import Estimate, Window

Verdict = Literal["bad", "good", "unclear", "no_data", "error"]
Phase = Literal["inactive", "pending", "firing", "resolved"]


class Detector(msgspec.Struct, frozen=True, gc=False):
    """A change detector, whose scores it has seen (a scorer's version and signature), and up to when."""

    scorer: str
    until: datetime
    state: ChangeState


class Observation(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """What one look saw. ``reason`` says why for a person; of an error it is the error's message.

    ``estimate`` is of the window, at the confidence that the rule's budget leaves for a look; ``baseline`` is what it
    is held against, where that is an estimate, too. ``since`` is when the change began, where a detector dates it;
    ``detector`` is what it knows after this look; a state keeps that once, apart from the observations that it keeps.
    """

    verdict: Verdict
    window: Window
    estimate: Estimate | None = None
    baseline: Estimate | None = None
    since: datetime | None = None
    detector: Detector | None = None
    reason: str = ""


class AlertState(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """All that the next look needs to know of an alert, and what a person asks first.

    ``rule`` is the rule's ``alert``, which names it in the project; ``consumer`` and ``key`` are whose data it watches.
    ``since`` is when the phase began. ``pending_at`` is when the present episode was first bad, and names it.
    ``good_since`` begins the streak that may resolve it. ``evidence`` is the last observation with data, ``fired_on``
    the one that fired; ``trouble`` says what is wrong with the last look, where it had no data. ``era`` counts how
    often the clock was found to have been ahead: of two states that of the later era is the later one.
    """

    fingerprint: str
    labels: Mapping[str, str]
    rule: str = ""
    consumer: str = ""
    key: Mapping[str, str] = {}
    phase: Phase = "inactive"
    since: datetime | None = None
    pending_at: datetime | None = None
    good_since: datetime | None = None
    evaluated_at: datetime | None = None
    evidence: Observation | None = None
    fired_on: Observation | None = None
    trouble: str = ""
    detector: Detector | None = None
    era: int = 0


class Example(NamedTuple):
    """An event that an alert is about, and its score there. Its text stays where erasure finds it: in the events."""

    event_id: str
    value: float


class Transition(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """A change of phase, as it is stored and told. ``id`` is the same whoever makes it, and whenever again.

    ``episode`` is when this alert was first bad, for all of its transitions up to the resolution. ``description`` says
    in sentences what moved; ``annotations`` are the rule's, with their values; ``examples`` the worst of the window.
    """

    id: str
    fingerprint: str
    labels: Mapping[str, str]
    rule: str
    consumer: str
    key: Mapping[str, str]
    episode: datetime
    before: Phase
    after: Phase
    at: datetime
    observation: Observation | None
    reason: str
    description: str = ""
    annotations: Mapping[str, str] = {}
    runbook: str = ""
    examples: tuple[Example, ...] = ()


def step(rule: Rule, state: AlertState, observation: Observation, now: datetime) -> AlertState:
    """Return the alert's state after a look at ``now``, the time of the look rather than of the clock.

    A look that is not later than the last one changes nothing: a clock that jumps back cannot undo or repeat.
    """
    if state.evaluated_at is not None and now <= state.evaluated_at:
        return state
    seen = observation.verdict in ("bad", "good", "unclear")
    detector = observation.detector or state.detector
    observation = msgspec.structs.replace(observation, detector=None)
    state = msgspec.structs.replace(
        state,
        evaluated_at=now,
        evidence=observation if seen else state.evidence,
        trouble="" if seen else observation.reason or observation.verdict.replace("_", " "),
        detector=detector,
    )
    verdict = _counted(rule, observation.verdict)
    if verdict == "bad":
        return _bad(rule, state, observation, now)
    if state.phase == "pending" and seen:
        return _moved(state, "inactive", now)
    if state.phase == "firing":
        return _firing(rule, state, now, good=verdict == "good")
    return state


def transition(before: AlertState, after: AlertState) -> Transition | None:
    """Return what changed between two states of an alert, ``None`` where its phase did not."""
    if before.phase == after.phase or after.since is None:
        return None
    episode = after.pending_at or before.pending_at or after.since
    told = after.evidence if after.phase == "resolved" else after.fired_on or after.evidence
    return Transition(
        id=transition_id(after.fingerprint, episode, after.phase),
        fingerprint=after.fingerprint,
        labels=after.labels,
        rule=after.rule,
        consumer=after.consumer,
        key=after.key,
        episode=episode,
        before=before.phase,
        after=after.phase,
        at=after.since,
        observation=told,
        reason=(told.reason if told else "") or after.trouble,
    )


def transition_id(fingerprint: str, episode: datetime, after: Phase) -> str:
    """Return the id of an alert's transition to a phase in an episode: 32 hexadecimal digits."""
    named = "\n".join([fingerprint, episode.isoformat(), after])
    return hashlib.sha256(named.encode()).hexdigest()[:32]


def _counted(rule: Rule, verdict: Verdict) -> Verdict:
    """Return the verdict as the rule wants trouble to count."""
    alarming = (verdict == "no_data" and rule.no_data == "alert") or (verdict == "error" and rule.error == "alert")
    return "bad" if alarming else verdict


def _bad(rule: Rule, state: AlertState, observation: Observation, now: datetime) -> AlertState:
    state = msgspec.structs.replace(state, good_since=None)
    if state.phase == "firing":
        return state
    if state.phase != "pending":
        state = msgspec.structs.replace(_moved(state, "pending", now), pending_at=now, fired_on=None)
    if state.pending_at is not None and (now - state.pending_at).total_seconds() >= rule.for_seconds:
        return msgspec.structs.replace(_moved(state, "firing", now), fired_on=observation)
    return state


def _firing(rule: Rule, state: AlertState, now: datetime, *, good: bool) -> AlertState:
    if not good:
        return msgspec.structs.replace(state, good_since=None)
    since = state.good_since or now
    if (now - since).total_seconds() >= rule.keep_firing_seconds:
        return msgspec.structs.replace(_moved(state, "resolved", now), good_since=None)
    return msgspec.structs.replace(state, good_since=since)


def _moved(state: AlertState, phase: Phase, now: datetime) -> AlertState:
    return msgspec.structs.replace(state, phase=phase, since=now)
