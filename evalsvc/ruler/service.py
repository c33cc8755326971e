"""The ruler: looks at every group of rules when it is due, writes what it decided, and has it told.

One ruler leads, by a lease in the store; others stand by and go on from what was written. All that a look decides is
durable before anyone is told, so a ruler may end at any point: the next one makes the same look again, or reads what
came of it.

Somewhat longer than other files: lease, clock and looks share the states that they guard.
"""

from __future__ import annotations

import logging
import os
import socket
import threading
import uuid
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from datetime import datetime, timedelta
from typing import NamedTuple, Protocol

from msgspec.structs import replace

from evalsvc.clock import SystemClock
from evalsvc.errors import EvalsvcError, StoreError
from evalsvc.protocols import Clock, ScoreStore
from evalsvc.ruler.live import Kept
from evalsvc.ruler.looks import look_times, start_of
from evalsvc.ruler.metrics import RulerMetrics
from evalsvc.ruler.rounds import HEALTH, UNDER_WAY, closed, ended, look, remembered, worded
from evalsvc.rules.history import LAST_ERA, AlertLog, Lease, Look
from evalsvc.rules.machine import AlertState, Phase, transition
from evalsvc.rules.values import Absence, Rule, RuleGroup
from evalsvc.types import Window

log = logging.getLogger("evalsvc.ruler")

LEASE = "ruler"
_PHASES: tuple[Phase, ...] = ("inactive", "pending", "firing", "resolved")


class Teller(Protocol):
    """What tells people of transitions, as :class:`evalsvc.notify.Delivery` does."""

    def round(self, now: datetime, leads: Callable[[], bool]) -> None:
        """Begin to tell what is to be told, for as long as ``leads`` says so; does not wait for receivers.

        Called by who does not lead, too: what it told while it did may have a receipt that is not written yet.
        """
        ...

    def close(self, seconds: float) -> bool:
        """Begin nothing more and wait for what is under way; return whether it ended in time."""
        ...


class RulerStatus(NamedTuple):
    """What a ruler is doing; ``ready`` while it leads and looks, or stands by for one that does."""

    alive: bool
    ready: bool
    leads: bool
    waiting_for: str
    failed: str
    looks: int
    missed: int


class RulerSettings(NamedTuple):
    """How a ruler goes about it: times in seconds.

    A clock that jumped by more than ``jump_seconds`` is not believed for so long. Another ruler takes over when one has
    not been heard of for ``lease_seconds``.
    """

    lease_seconds: float = 30.0
    jump_seconds: float = 60.0
    pause_seconds: float = 1.0
    threads: int = 4


class Ruler:
    """Evaluates groups of rules by the clock. :meth:`run` blocks its thread; the rest may be called from any."""

    consumer = "ruler"

    def __init__(
        self,
        groups: Sequence[RuleGroup],
        store: ScoreStore,
        alerts: AlertLog,
        *,
        clock: Clock | None = None,
        metrics: RulerMetrics | None = None,
        teller: Teller | None = None,
        settings: RulerSettings = RulerSettings(),  # noqa: B008
    ) -> None:
        """Build, and touch nothing yet. ``teller`` has its rounds while it leads, in a thread of their own."""
        self._groups, self._store, self._alerts = tuple(groups), store, alerts
        self._clock, self._settings, self._teller = clock or SystemClock(), settings, teller
        self.metrics = metrics or RulerMetrics()
        self.holder = f"{socket.gethostname()}:{os.getpid()}:{uuid.uuid4().hex[:8]}"
        for group in self._groups:
            self.metrics.watch(name_of(group), group.interval_seconds, [rule.alert for rule in group.rules])
        self._states: dict[str, AlertState] = {}
        self._kept: dict[str, Kept] = {name_of(group): Kept() for group in groups}
        self._last: dict[str, datetime] = {}
        self._busy: set[str] = set()
        self._lock, self._stop = threading.Lock(), threading.Event()
        self._lease: Lease | None = None
        self._restored: datetime | None = None
        self._counted: dict[str, datetime] = {}
        self._leads_until = self._claim_after = 0.0
        self._expected: tuple[datetime, float] | None = None
        self._waits_until = 0.0
        self._waiting_for, self._failed = "", ""
        self._alive, self._looks, self._missed = True, 0, 0

    def stop(self) -> None:
        """Ask it to finish the looks under way; safe in a signal handler."""
        self._stop.set()

    def status(self) -> RulerStatus:
        """Return what it is doing."""
        known = self._lease is not None and not self._waiting_for
        return RulerStatus(self._alive, known, self.leads(), self._waiting_for, self._failed, self._looks, self._missed)

    def run(self) -> RulerStatus:
        """Look and tell until asked to stop; then give the lease back, so that the next ruler need not wait."""
        teller = threading.Thread(target=self._tell_on, name="tell", daemon=True)
        teller.start()
        try:
            with ThreadPoolExecutor(self._settings.threads, "look") as pool:
                while not self._stop.is_set():
                    self.turn(lambda group, now: pool.submit(self._look_group, group, now))
                    self._stop.wait(self._settings.pause_seconds)
        except Exception as error:
            self._failed = str(error)
            raise
        finally:
            self._stop.set()
            teller.join(30.0)
            if self._teller is not None and not self._teller.close(30.0):
                log.warning("telling_left some receivers did not answer in time; the next ruler tells them again")
            self._alive = False
            self._release()
        return self.status()

    def turn(self, submit: Callable[[RuleGroup, datetime], object] | None = None) -> None:
        """Claim the lease and begin the looks that are due; without ``submit`` they are made before it returns."""
        now = self._clock.now()
        # A lease goes on while the time of day is in doubt: the store's clock times it.
        led = self._claim()
        if not self._steady(now) or not led:
            return
        for group in self._groups:
            with self._lock:
                if name_of(group) in self._busy:
                    continue
                self._busy.add(name_of(group))
            (submit or self._look_group)(group, now)
        counted = Counter(state.phase for state in list(self._states.values()))
        for phase in _PHASES:
            self.metrics.gauge("evalsvc_ruler_alerts", counted[phase], phase=phase)

    # Who leads.

    def leads(self) -> bool:
        """Return whether it holds the lease, as far as it knows."""
        held = self._lease is not None and self._lease.held
        return held and self._clock.monotonic() < self._leads_until

    def _claim(self) -> bool:
        """Claim or renew the lease, and read what earlier rulers left where it was not held all along."""
        asked = self._clock.monotonic()
        if asked < self._claim_after:
            return self.leads()
        try:
            lease = self._alerts.claim(LEASE, self.holder, self._settings.lease_seconds)
            self._lease = lease
            if lease.held and self._restored != lease.since:
                self._restore(self._clock.now())
                self._restored = lease.since
        except StoreError as error:
            if not self._waiting_for:
                log.warning("ruler_waits for=store error=%s", error)
            self._waiting_for = getattr(self._store, "address", "") or "store"
            if not self.leads() or (self._lease and self._restored != self._lease.since):
                self._lease = None
            self.metrics.gauge("evalsvc_ruler_leads", float(self.leads()))
            return self.leads()
        self._waiting_for = ""
        # To renew is a write, and a third of the time is soon enough; to see whether another still leads is none.
        self._claim_after = asked + (self._settings.lease_seconds / 3.0 if lease.held else 2.0)
        # Counted from before the question, so that it ends here before it ends in the store.
        self._leads_until = asked + self._settings.lease_seconds
        self.metrics.gauge("evalsvc_ruler_leads", float(lease.held))
        return lease.held

    def _restore(self, now: datetime) -> None:
        """Go on from what was written; end what no rule has any more."""
        states = {state.fingerprint: state for state in self._alerts.alert_states() if remembered(state, now)}
        rules = {rule.alert: rule for group in self._groups for rule in group.rules}
        ends = self._orphans(rules, states, now)
        if ends:
            self._alerts.record_looks(ends)
            states.update({end.state.fingerprint: end.state for end in ends})
        with self._lock:
            self._states = states
            self._last = {}
            for group in self._groups:
                names = {rule.alert for rule in group.rules}
                # Those that were ended here were not looked at when they were.
                seen = [
                    one.evaluated_at
                    for one in states.values()
                    if one.evaluated_at and one.rule in names and not _orphaned(rules, one)
                ]
                # Of a look that was written in part, the rest is made again; what was written ignores it.
                step = timedelta(seconds=group.interval_seconds)
                last = [at for at in seen if at >= max(seen) - step]
                if last:
                    self._last[name_of(group)] = min(last)
        log.info("ruler_leads alerts=%d groups=%d", len(states), len(self._groups))

    def _orphans(self, rules: Mapping[str, Rule], states: Mapping[str, AlertState], now: datetime) -> list[Look]:
        """Return the ends of alerts that no rule makes any more; one whose labels were changed goes on under those."""
        if not rules:
            return []
        ends = []
        for state in states.values():
            why = _orphaned(rules, state)
            if why and (end := closed(state, now, why)):
                log.warning("alert_ended alert=%s fingerprint=%s: %s", state.rule, state.fingerprint, why)
                ends.append(end)
                rule = rules.get(state.rule)
                if rule is not None and set(rule.by) == set(state.key):
                    ends.append(self._relabelled(rule, state, states, now))
        return ends

    def _relabelled(self, rule: Rule, state: AlertState, states: Mapping[str, AlertState], now: datetime) -> Look:
        """Return the same alert under its new labels: who is routed by them is told that it fires.

        It was last looked at when it was under its old ones, so that the looks since then are made up for.
        """
        fresh = start_of(rule, state.consumer, state.key)
        looked = state.evaluated_at or now
        if (earlier := states.get(fresh.fingerprint)) is not None and earlier.evaluated_at:
            # Later than what it left when it had these labels once before.
            looked = max(looked, earlier.evaluated_at + timedelta(microseconds=1))
        after = replace(state, fingerprint=fresh.fingerprint, labels=fresh.labels, since=looked, evaluated_at=looked)
        told = transition(replace(after, phase="inactive"), after)
        return Look(after, worded(self._store, rule, told) if told else None)

    def _release(self) -> None:
        try:
            self._alerts.release(LEASE, self.holder)
        except EvalsvcError as error:
            log.warning("lease_not_released error=%s; it ends by itself", error)

    def _steady(self, now: datetime) -> bool:
        """Return whether the clock goes on as time does; after a jump it has to stand for a while to be believed."""
        passed = self._clock.monotonic()
        before, self._expected = self._expected, (now, passed)
        jump = 0.0 if before is None else (now - before[0]).total_seconds() - (passed - before[1])
        if abs(jump) > self._settings.jump_seconds:
            log.error("clock_jumped seconds=%.0f; looks wait for %.0f s", jump, self._settings.jump_seconds)
            self._waits_until = passed + self._settings.jump_seconds
            self.metrics.gauge("evalsvc_ruler_clock_jump_seconds", jump)
        if passed < self._waits_until:
            return False
        self.metrics.gauge("evalsvc_ruler_clock_jump_seconds", 0.0)
        return True

    # Looks.

    def _look_group(self, group: RuleGroup, now: datetime) -> None:
        """Make the looks of a group that are due, oldest first; what is not recorded is made again later."""
        name = name_of(group)
        try:
            for at in self._due(group, now):
                if self._stop.is_set() or not self._look_at(group, at):
                    break
        except Exception:
            log.exception("look_failed group=%s", name)
            self.metrics.count("evalsvc_ruler_unrecorded_total", group=name)
        finally:
            with self._lock:
                self._busy.discard(name)

    def _due(self, group: RuleGroup, now: datetime) -> list[datetime]:
        name = name_of(group)
        step = timedelta(seconds=group.interval_seconds)
        last = self._last.get(name)
        if last is not None and last > now + timedelta(seconds=self._settings.jump_seconds):
            self._set_back(group, now)
            last = None
        if last is None:
            return look_times(Window(now - step, now), group.interval_seconds)[-1:]
        if last + timedelta(microseconds=1) >= now:
            return []
        times = look_times(Window(last + timedelta(microseconds=1), now), group.interval_seconds)
        oldest = now - max(step, timedelta(seconds=group.catch_up_seconds))
        kept = [at for at in times if at >= oldest]
        if skipped := sum(at < oldest and at > self._counted.get(name, last) for at in times):
            self._counted[name] = max(at for at in times if at < oldest)
            self._missed += skipped
            self.metrics.count("evalsvc_ruler_missed_looks_total", skipped, group=name)
            log.warning("looks_missed group=%s looks=%d", name, skipped)
        return kept

    def _set_back(self, group: RuleGroup, now: datetime) -> None:
        """Take looks in the future for just made: the clock was ahead, and until then nothing would be seen."""
        log.error("clock_was_ahead group=%s; its looks go on from the time of day", name_of(group))
        names = {rule.alert for rule in group.rules}
        with self._lock:
            for name, state in list(self._states.items()):
                ahead = state.evaluated_at is not None and state.evaluated_at > now
                if ahead and (state.rule in names or state.key.get("rule") in names):
                    before = now - timedelta(seconds=group.interval_seconds)
                    # Of another era, or a restart would go on from what was written while the clock was ahead.
                    self._states[name] = replace(state, evaluated_at=before, era=min(state.era + 1, LAST_ERA))

    def _look_at(self, group: RuleGroup, at: datetime) -> bool:
        """Make one look and record it; false where it could not be recorded, or another ruler may lead."""
        name, began, lease = name_of(group), self._clock.monotonic(), self._restored
        try:
            whys = self._closed(group)
        except StoreError as error:
            log.warning("look_waits group=%s error=%s", name, error)
            self.metrics.count("evalsvc_ruler_unrecorded_total", group=name)
            return False
        states = self._states
        if (self._clock.now() - at).total_seconds() > max(group.interval_seconds, self._settings.jump_seconds):
            group = _without_absence(group)
        made = ended(look(self._store, group, states, at, self._kept[name], self._note_error), states, whys, at)
        # What was read under an earlier lease is not written under this one: another ruler may have led in between.
        if not self.leads() or self._restored != lease:
            return False
        try:
            self._alerts.record_looks(made)
        except StoreError as error:
            log.warning("look_not_recorded group=%s error=%s", name, error)
            self.metrics.count("evalsvc_ruler_unrecorded_total", group=name)
            return False
        with self._lock:
            if self._restored != lease:
                return False
            held = {key: state for key, state in self._states.items() if remembered(state, at)}
            self._states = {**held, **{one.state.fingerprint: one.state for one in made}}
            self._last[name] = at
            self._looks += 1
        self._note(name, at, made, self._clock.monotonic() - began)
        return True

    def _closed(self, group: RuleGroup) -> dict[str, str]:
        """Return why people say that alerts under way are over, by fingerprint; asks nothing where none is.

        Raises:
            StoreUnavailable: the log does not answer.
        """
        names = {rule.alert for rule in group.rules}
        held = {
            state.fingerprint: state.pending_at
            for state in list(self._states.values())
            if state.phase in UNDER_WAY and (state.rule in names or state.key.get("rule") in names)
        }
        found = self._alerts.acknowledgements(list(held)) if held else {}
        return {
            name: f"closed by {one.author}: {one.note}"
            for name, one in found.items()
            if one.closes and one.episode == held[name]
        }

    def _note(self, group: str, at: datetime, made: Sequence[Look], seconds: float) -> None:
        metrics = self.metrics
        metrics.count("evalsvc_ruler_looks_total", group=group)
        metrics.count("evalsvc_ruler_look_seconds_total", seconds, group=group)
        metrics.gauge("evalsvc_ruler_last_look_seconds", seconds, group=group)
        metrics.gauge("evalsvc_ruler_last_look_timestamp_seconds", at.timestamp(), group=group)
        for one in made:
            if one.transition is not None:
                told = one.transition
                metrics.count("evalsvc_ruler_transitions_total", rule=told.rule, phase=told.after)
                log.info("alert_%s alert=%s fingerprint=%s at=%s", told.after, told.rule, told.fingerprint, told.at)

    def _note_error(self, alert: str, why: str) -> None:
        self.metrics.count("evalsvc_ruler_errors_total", rule=alert)
        log.warning("rule_failed alert=%s error=%s", alert, why)

    def _tell_on(self) -> None:
        while not self._stop.wait(self._settings.pause_seconds):
            if self._teller is None:
                continue
            try:
                self._teller.round(self._clock.now(), self.leads)
            except StoreError as error:
                log.warning("telling_waits error=%s", error)
            except Exception:
                log.exception("telling_failed")


def name_of(group: RuleGroup) -> str:
    """Return what tells a group from those of other files."""
    return f"{group.path}:{group.name}"


def _without_absence(group: RuleGroup) -> RuleGroup:
    """Return a group as looks see it that are made up for: what came while nobody read may not have been read yet."""
    return replace(group, rules=tuple(rule for rule in group.rules if not isinstance(rule.condition, Absence)))


def _orphaned(rules: Mapping[str, Rule], state: AlertState) -> str:
    """Return why an alert has no rule any more; empty where it has one."""
    if state.rule == HEALTH.alert:
        watched = state.key.get("rule", "")
        return "" if watched in rules else f"the rule {watched} is not there any more"
    rule = rules.get(state.rule)
    if rule is None:
        return f"the rule {state.rule} is not there any more"
    if set(rule.by) != set(state.key):
        return f"{state.rule} splits by other fields; alerts of those take its place"
    if start_of(rule, state.consumer, state.key).fingerprint != state.fingerprint:
        return f"the labels of {state.rule} are others; an alert with those takes its place"
    return ""
