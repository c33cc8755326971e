"""Each check of the alert log's contract fails on a log with the mistake that it is there for.

Longer than other files: a mistake for every check, in one list.
"""

from __future__ import annotations

import time
from datetime import UTC, datetime

import msgspec
import pytest

from evalsvc.rules.history import AlertLog, Look
from evalsvc.store.alerts_memory import MemoryAlertLog, in_force
from evalsvc.testing import ManualClock, check_alert_log
from evalsvc.testing import alert_logs as contract
from evalsvc.testing.alert_logs import LEASE_CHECKS, LOG_CHECKS, NOON


class LastWritten(MemoryAlertLog):
    """Lets the order of arrival decide."""

    def record_looks(self, looks):
        for state, _ in looks:
            self._states.pop(state.fingerprint, None)
        super().record_looks(looks)


class WholeSeconds(MemoryAlertLog):
    """Holds times to the second."""

    def record_looks(self, looks):
        cut = [
            Look(
                msgspec.structs.replace(
                    state, evaluated_at=state.evaluated_at and state.evaluated_at.replace(microsecond=0)
                ),
                transition,
            )
            for state, transition in looks
        ]
        super().record_looks(cut)


class ForgetsMoves(MemoryAlertLog):
    """Takes a state with a transition for one without."""

    def record_looks(self, looks):
        super().record_looks([Look(state) for state, _ in looks])


class TimesOnly(MemoryAlertLog):
    """Lets times decide between eras."""

    def record_looks(self, looks):
        for look in looks:
            held = self._states.get(look.state.fingerprint)
            if held is None or (held[1].evaluated_at or NOON) <= (look.state.evaluated_at or NOON):
                self._states.pop(look.state.fingerprint, None)
                super().record_looks([look])


class OneMoreEra(MemoryAlertLog):
    """Knows the first era from all others."""

    def record_looks(self, looks):
        for look in looks:
            held = self._states.get(look.state.fingerprint)
            if held is None or held[1].era == 0 or look.state.era == 0:
                super().record_looks([look])


class FirstOfTwoAlike(MemoryAlertLog):
    """Keeps the first of two states of one time."""

    def record_looks(self, looks):
        for look in looks:
            held = self._states.get(look.state.fingerprint)
            if held is None or (0, look.state.evaluated_at, look.transition is not None) != held[0]:
                super().record_looks([look])


class EveryRule(MemoryAlertLog):
    def alert_states(self, rules=(), phases=()):
        return super().alert_states((), phases)


class EveryPhase(MemoryAlertLog):
    def alert_states(self, rules=(), phases=()):
        return super().alert_states(rules)


class EverInPhase(MemoryAlertLog):
    """Returns the last state that was in a phase, though another came after it."""

    def record_looks(self, looks):
        super().record_looks(looks)
        was = self.__dict__.setdefault("was", {})
        was.update({(state.fingerprint, state.phase): state for state, _ in looks})

    def alert_states(self, rules=(), phases=()):
        if not phases:
            return super().alert_states(rules)
        return [state for (_, phase), state in sorted(self.was.items(), key=lambda each: each[0]) if phase in phases]


class JsonOnly(MemoryAlertLog):
    """Keeps states as JSON, which has no infinity."""

    def record_looks(self, looks):
        kept = [Look(msgspec.json.decode(msgspec.json.encode(s), type=type(s)), t) for s, t in looks]
        super().record_looks(kept)


class EscapesTexts(MemoryAlertLog):
    """Brings the reason back as it was escaped for SQL."""

    def transitions(self, query, limit):
        found = super().transitions(query, limit)
        return [msgspec.structs.replace(each, reason=each.reason.replace("'", "\\'")) for each in found]


class StrictUtf8(MemoryAlertLog):
    """Fails where UTF-8 cannot hold a text."""

    def record_looks(self, looks):
        msgspec.json.encode([state for state, _ in looks])
        super().record_looks(looks)


class LosesSurrogates(MemoryAlertLog):
    """Cleans texts on their way in, and not those that it is asked for."""

    def record_receipts(self, receipts):
        kept = [
            msgspec.structs.replace(each, receiver=each.receiver.encode("utf-8", "replace").decode())
            for each in receipts
        ]
        super().record_receipts(kept)


class Overwrites(MemoryAlertLog):
    """Lets a transition be told anew."""

    def record_looks(self, looks):
        for _, transition in looks:
            if transition is not None:
                self._transitions.pop(transition.id, None)
        super().record_looks(looks)


class DropsRepeats(MemoryAlertLog):
    """Takes the state beside a known transition for known, too."""

    def record_looks(self, looks):
        super().record_looks(
            [look for look in looks if look.transition and look.transition.id not in self._transitions]
        )


class LastOfABatch(MemoryAlertLog):
    def record_looks(self, looks):
        super().record_looks(looks[::-1])


class ClosedWindows(MemoryAlertLog):
    """Takes a window's end into it."""

    def transitions(self, query, limit):
        window = msgspec.structs.replace(query.window, end=query.window.end + contract.MICROSECOND)
        return super().transitions(query._replace(window=window), limit)


class OldestFirst(MemoryAlertLog):
    def transitions(self, query, limit):
        return super().transitions(query, 1000)[::-1][:limit]


class AnyPhase(MemoryAlertLog):
    def transitions(self, query, limit):
        return super().transitions(query._replace(phases=()), limit)


class AnyAlert(MemoryAlertLog):
    def transitions(self, query, limit):
        return super().transitions(query._replace(fingerprints=()), limit)


class ByLimitOfPortions(MemoryAlertLog):
    """Asks for names a thousand at a time, and joins the answers as they come."""

    def transitions(self, query, limit):
        names, found = query.fingerprints, []
        for start in range(0, len(names) or 1, 1000):
            found += super().transitions(query._replace(fingerprints=names[start : start + 1000]), limit)
        return found[:limit]


class TellsEverything(MemoryAlertLog):
    """Tells of pending and inactive, too."""

    def untold(self, receiver, since, limit):
        held = sorted(self._transitions.values(), key=lambda each: (each.at, each.id))
        told = {transition for transition, name in self._receipts if name == receiver}
        return [each for each in held if each.at >= since and each.id not in told][:limit]


class OneReceiptForAll(MemoryAlertLog):
    """Takes what one receiver was told as told to all."""

    def untold(self, receiver, since, limit):
        told = {transition for transition, _ in self._receipts}
        return [each for each in super().untold(receiver, since, limit) if each.id not in told]


class RefusedIsUntold(MemoryAlertLog):
    """Tells again of what was refused."""

    def record_receipts(self, receipts):
        super().record_receipts([each for each in receipts if each.outcome != "refused"])


class AfterSince(MemoryAlertLog):
    def untold(self, receiver, since, limit):
        return super().untold(receiver, since + contract.MICROSECOND, limit)


class NewestToTell(MemoryAlertLog):
    def untold(self, receiver, since, limit):
        return super().untold(receiver, since, 1000)[::-1][:limit]


class LastReceipt(MemoryAlertLog):
    def record_receipts(self, receipts):
        self._receipts.update({(each.transition, each.receiver): each for each in receipts})


class EarliestReceipt(MemoryAlertLog):
    """Lets the receipts' own times decide."""

    def record_receipts(self, receipts):
        for each in receipts:
            held = self._receipts.get((each.transition, each.receiver))
            if held is None or each.at < held.at:
                self._receipts[each.transition, each.receiver] = each


class ReceiptsOfAll(MemoryAlertLog):
    def receipts(self, transitions):
        return super().receipts([transition for transition, _ in self._receipts])


class EnrolsAgain(MemoryAlertLog):
    """Takes the earliest time that anybody named."""

    def enrol(self, receivers, now):
        super().enrol(receivers, now)
        for name in receivers:
            self._receivers[name][0] = min(now, self._receivers[name][0])
        return super().enrol(receivers, now)


class EnrolsAllAtOnce(MemoryAlertLog):
    def enrol(self, receivers, now):
        return dict.fromkeys(receivers, super().enrol(["all"], now)["all"])


class EnrolsTwice(MemoryAlertLog):
    """Takes a receiver that is named twice for two."""

    def enrol(self, receivers, now):
        found = {}
        for name in receivers:
            found |= super().enrol([name], now)
        return found


class LeavesNobodyOut(MemoryAlertLog):
    def enrol(self, receivers, now):
        there = [name for name, changes in self._receivers.items() if len(changes) % 2]
        found = super().enrol([*receivers, *there], now)
        return {name: found[name] for name in receivers}


class LeavesOutByOthersOnly(MemoryAlertLog):
    """Takes an empty list for no word."""

    def enrol(self, receivers, now):
        return super().enrol(receivers, now) if receivers else {}


class ForgetsTheFirst(MemoryAlertLog):
    def enrol(self, receivers, now):
        return {name: held._replace(first=held.since) for name, held in super().enrol(receivers, now).items()}


class LatestTimeCounts(MemoryAlertLog):
    """Lets times decide what was said last."""

    def enrol(self, receivers, now):
        return super().enrol(receivers, max([now, *(changes[-1] for changes in self._receivers.values())]))


class SilentToTheEnd(MemoryAlertLog):
    """Takes a silence's end into it."""

    def silences(self, active_at=None):
        held = super().silences()
        return [each for each in held if active_at is None or each.starts_at <= active_at <= each.ends_at]


class FirstToEndFirst(MemoryAlertLog):
    def silences(self, active_at=None):
        return super().silences(active_at)[::-1]


class ForgetsMatchers(MemoryAlertLog):
    def record_silence(self, silence):
        super().record_silence(msgspec.structs.replace(silence, matchers=silence.matchers[:1]))


class FirstSilence(MemoryAlertLog):
    def record_silence(self, silence):
        if silence.id not in self._silences:
            super().record_silence(silence)


class LastArrivedSilence(MemoryAlertLog):
    def record_silence(self, silence):
        self._silences.pop(silence.id, None)
        super().record_silence(silence)


class EverySilence(MemoryAlertLog):
    """Keeps all that was ever said under one id."""

    def record_silence(self, silence):
        self._silences[f"{silence.id} {len(self._silences)}"] = silence

    def silences(self, active_at=None):
        return in_force(list(self._silences.values()), active_at)


class OfTheLastEpisode(MemoryAlertLog):
    """Lets the episode decide before the time."""

    def acknowledge(self, acknowledgement):
        held = self._acknowledgements.get(acknowledgement.fingerprint)
        if held is None or acknowledgement.episode >= held.episode:
            self._acknowledgements[acknowledgement.fingerprint] = acknowledgement


class LastSaid(MemoryAlertLog):
    def acknowledge(self, acknowledgement):
        self._acknowledgements[acknowledgement.fingerprint] = acknowledgement


class AcknowledgesAll(MemoryAlertLog):
    def acknowledgements(self, fingerprints):
        return dict(self._acknowledgements)


class FailsOnNothing(MemoryAlertLog):
    """Makes a row of nothing."""

    def record_receipts(self, receipts):
        super().record_receipts(receipts or [contract.make_receipt("t")])


class TransitionsFirst(MemoryAlertLog):
    """Shows a transition some time before the state after it."""

    def record_looks(self, looks):
        for _, transition in looks:
            if transition is not None:
                self._transitions.setdefault(transition.id, transition)
        time.sleep(0.002)
        super().record_looks(looks)


class WritesBackWhatItRead(MemoryAlertLog):
    """Loses what another thread wrote meanwhile."""

    def record_receipts(self, receipts):
        held = {**self._receipts, **{(each.transition, each.receiver): each for each in receipts}}
        time.sleep(0.002)
        self._receipts = held


class Until2038(MemoryAlertLog):
    """Holds a silence's end in 31 bits of seconds."""

    def record_silence(self, silence):
        latest = datetime(2038, 1, 19, tzinfo=UTC)
        super().record_silence(msgspec.structs.replace(silence, ends_at=min(silence.ends_at, latest)))


class TakesAnything(MemoryAlertLog):
    """Refuses no receipt."""

    def record_receipts(self, receipts):
        for each in receipts:
            self._receipts.setdefault((each.transition, each.receiver), each)


class WritesBeforeItRefuses(MemoryAlertLog):
    def record_looks(self, looks):
        for look in looks:
            super().record_looks([look])


class NoLimit(MemoryAlertLog):
    def transitions(self, query, limit):
        return super().transitions(query, max(0, limit))


class EverybodyLeads(MemoryAlertLog):
    def claim(self, name, holder, seconds):
        return super().claim(f"{name} {holder}", holder, seconds)


class OneLeaseForAll(MemoryAlertLog):
    def claim(self, name, holder, seconds):
        return super().claim("lease", holder, seconds)


class Minutes(MemoryAlertLog):
    """Takes seconds for minutes."""

    def claim(self, name, holder, seconds):
        return super().claim(name, holder, 60 * seconds)


class NeverRenews(MemoryAlertLog):
    def claim(self, name, holder, seconds):
        held = self._leases.get(name)
        mine = held is not None and held.holder == holder and held.until > self._clock.now()
        return held if mine else super().claim(name, holder, seconds)


class RenewsAnew(MemoryAlertLog):
    """Begins a lease again with each renewal."""

    def claim(self, name, holder, seconds):
        held = self._leases.get(name)
        if held is not None and held.holder == holder:
            self.release(name, holder)
        return super().claim(name, holder, seconds)


class NeverEnds(MemoryAlertLog):
    def claim(self, name, holder, seconds):
        held = self._leases.get(name)
        return (
            msgspec.structs.replace(held, held=held.holder == holder) if held else super().claim(name, holder, seconds)
        )


class RemembersTheFirst(MemoryAlertLog):
    """Gives a lease that has ended back to who had it first."""

    def claim(self, name, holder, seconds):
        lease = super().claim(name, holder, seconds)
        first = self.__dict__.setdefault("first", {}).setdefault((name, holder), lease)
        return msgspec.structs.replace(lease, since=first.since) if lease.held else lease


class ReleasesForOthers(MemoryAlertLog):
    def release(self, name, holder):
        self._leases.pop(name, None)


class KeepsWhatIsGivenBack(MemoryAlertLog):
    def release(self, name, holder):
        pass


PLANTED: dict[str, list[type[MemoryAlertLog]]] = {
    "last_state_stays": [LastWritten],
    "microseconds_decide": [WholeSeconds],
    "transition_goes_before_none": [ForgetsMoves, FirstOfTwoAlike],
    "eras_go_before_times": [TimesOnly, OneMoreEra],
    "states_by_rule": [EveryRule],
    "states_by_phase": [EveryPhase, EverInPhase],
    "states_come_back_whole": [JsonOnly, EscapesTexts],
    "texts_that_utf8_cannot_hold": [StrictUtf8, LosesSurrogates],
    "transition_stays_as_it_was": [Overwrites, DropsRepeats],
    "first_of_a_batch_stays": [LastOfABatch],
    "transitions_are_selected": [ClosedWindows, OldestFirst, AnyPhase, AnyAlert],
    "many_at_once": [ByLimitOfPortions],
    "untold": [TellsEverything, OneReceiptForAll, RefusedIsUntold, AfterSince, NewestToTell],
    "first_receipt_counts": [LastReceipt, EarliestReceipt, ReceiptsOfAll],
    "enrolled_once": [EnrolsAgain, EnrolsAllAtOnce, EnrolsTwice],
    "left_out_and_back": [LeavesNobodyOut, LeavesOutByOthersOnly, ForgetsTheFirst, LatestTimeCounts],
    "silences": [SilentToTheEnd, FirstToEndFirst, ForgetsMatchers],
    "last_word_on_a_silence": [FirstSilence, LastArrivedSilence, EverySilence],
    "acknowledgements": [OfTheLastEpisode, LastSaid, AcknowledgesAll],
    "nothing_is_nothing": [FailsOnNothing],
    "readers_and_writers": [TransitionsFirst, WritesBackWhatItRead],
    "edges_of_time": [Until2038],
    "wrong_arguments_are_refused": [TakesAnything, WritesBeforeItRefuses, NoLimit],
    "one_leads": [EverybodyLeads, OneLeaseForAll],
    "lease_is_as_long_as_asked": [Minutes],
    "lease_is_renewed": [NeverRenews, RenewsAnew],
    "lease_ends": [NeverEnds, Minutes],
    "lease_begins_anew": [RemembersTheFirst],
    "lease_is_given_back": [ReleasesForOthers, KeepsWhatIsGivenBack],
    "one_of_many_leads": [EverybodyLeads],
}
CASES = [(name, bad) for name, planted in PLANTED.items() for bad in planted]


@pytest.mark.parametrize(("name", "bad"), CASES, ids=[f"{name}-{bad.__name__}" for name, bad in CASES])
def test_each_check_fails_on_a_planted_bad_log(name, bad):
    check = getattr(contract, f"check_{name}")
    clock = ManualClock()
    with pytest.raises((AssertionError, UnicodeEncodeError, msgspec.ValidationError)):
        check(bad(clock), *([clock.advance] if check in LEASE_CHECKS else []))


def test_every_check_has_a_planted_bad_log():
    named = {check.__name__.removeprefix("check_") for check in (*LOG_CHECKS, *LEASE_CHECKS)}
    assert named == set(PLANTED)


def test_all_checks_run_at_once():
    clock = ManualClock()
    logs: list[AlertLog] = []

    def make():
        logs.append(MemoryAlertLog(clock))
        return logs[-1]

    check_alert_log(make, clock.advance)
    assert len(logs) == len(LOG_CHECKS) + len(LEASE_CHECKS)
    with pytest.raises(AssertionError, match="the last states"):
        check_alert_log(LastWritten, clock.advance)
