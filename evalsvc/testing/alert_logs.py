"""Contract checks for what is remembered of alerts: any :class:`~evalsvc.rules.history.AlertLog`.

Each check takes an empty log and raises ``AssertionError`` with what was promised and what came::

    from evalsvc.testing import check_alert_log

    def test_my_log() -> None:
        check_alert_log(lambda: MyLog())

Checks of leases also take what waits: ``time.sleep``, or the ``advance`` of the clock that the log was made with.
Longer than a file should be, since who writes a log reads the whole contract.
"""

from __future__ import annotations

import math
import threading
import time
from collections.abc import Callable
from datetime import UTC, datetime, timedelta, timezone

import msgspec

from evalsvc.rules.history import (
    TOLD,
    Acknowledgement,
    AlertLog,
    Enrolment,
    Lease,
    Look,
    Matcher,
    Receipt,
    Silence,
    Told,
    TransitionQuery,
)
from evalsvc.rules.machine import AlertState, Detector, Example, Observation, Phase, Transition
from evalsvc.stats.change import ChangeState
from evalsvc.testing._expected import expect, refused
from evalsvc.types import Estimate, Window

NOON = datetime(2026, 5, 4, 12, tzinfo=UTC)
MICROSECOND = timedelta(microseconds=1)
ALWAYS = Window(datetime(2026, 1, 1, tzinfo=UTC), datetime(2027, 1, 1, tzinfo=UTC))
AWKWARD = 'it\'s "so"\\ \n\t\0 {name:String} %2C ✓ü\u2028'
LEASE_SECONDS = 3.0
"""How long the checks' leases are: longer than a loaded server needs to answer a few times."""

Wait = Callable[[float], None]


def check_alert_log(factory: Callable[[], AlertLog], wait: Wait = time.sleep) -> None:
    """Run every check, each on a fresh, empty log of ``factory``; ``wait`` lets the log's time pass."""
    for check in LOG_CHECKS:
        check(factory())
    for lease_check in LEASE_CHECKS:
        lease_check(factory(), wait)


def moment(minute: float) -> datetime:
    """Return so many minutes after :data:`NOON`."""
    return NOON + timedelta(minutes=minute)


def make_state(alert: str = "a", minute: float = 0.0, phase: Phase = "inactive", **changes: object) -> AlertState:
    """Return a state of an alert, looked at in that minute."""
    facts: dict[str, object] = {
        "fingerprint": f"print-{alert}",
        "labels": {"alertname": alert, "language": "de"},
        "rule": f"rule-{alert}",
        "consumer": "quality",
        "phase": phase,
        "since": NOON,
        "evaluated_at": moment(minute),
    }
    return AlertState(**{**facts, **changes})  # type: ignore[arg-type]


def make_look(alert: str = "a", minute: float = 0.0, after: Phase = "firing", **changes: object) -> Look:
    """Return a look at an alert that changed its phase in that minute; ``changes`` are the transition's.

    ``evaluated_at`` and ``era`` are the state's, else that minute and 0.
    """
    evaluated_at, era = changes.pop("evaluated_at", moment(minute)), changes.pop("era", 0)
    facts: dict[str, object] = {
        "id": f"{alert}-{after}-{minute:g}",
        "fingerprint": f"print-{alert}",
        "labels": {"alertname": alert},
        "rule": f"rule-{alert}",
        "consumer": "quality",
        "key": {},
        "episode": NOON,
        "before": "inactive",
        "after": after,
        "at": moment(minute),
        "observation": None,
        "reason": "it fell",
    }
    transition = Transition(**{**facts, **changes})  # type: ignore[arg-type]
    return Look(make_state(alert, minute, after, evaluated_at=evaluated_at, era=era), transition)


def make_receipt(transition: str, receiver: str = "pager", outcome: Told = "delivered", **changes: object) -> Receipt:
    """Return a receipt at :data:`NOON`."""
    facts: dict[str, object] = {"transition": transition, "receiver": receiver, "outcome": outcome, "at": NOON}
    return Receipt(**{**facts, **changes})  # type: ignore[arg-type]


def make_silence(id: str = "s", starts: float = 0.0, ends: float = 60.0, **changes: object) -> Silence:
    """Return a silence of some minutes after :data:`NOON`."""
    facts: dict[str, object] = {
        "id": id,
        "matchers": (Matcher("alertname", "a"), Matcher("language", "d.", pattern=True)),
        "author": "ada",
        "reason": "deploy",
        "starts_at": moment(starts),
        "ends_at": moment(ends),
        "recorded_at": NOON,
    }
    return Silence(**{**facts, **changes})  # type: ignore[arg-type]


def make_acknowledgement(
    alert: str = "a",
    episode: datetime = NOON,
    author: str = "ada",
    note: str = "",
    at: datetime = NOON,
    closes: bool = False,
) -> Acknowledgement:
    """Return an acknowledgement of an episode of an alert, by its fingerprint."""
    return Acknowledgement(fingerprint=alert, episode=episode, author=author, note=note, at=at, closes=closes)


def make_full_state() -> AlertState:
    """Return a state with something in every field: floats of every kind, awkward texts, microseconds."""
    floats = (0.1, -0.0, 5e-324, 1.7976931348623157e308, 1 / 3, -math.inf)
    change = ChangeState(
        "cusum", "either", 0.1, 1 / 3, math.log(1e5), None, floats[:5], floats[:5], floats, floats,
        (0, 1 << 40), (None, 1.5), 7, 1, 2, None, math.inf, 3, 4, 1e-9, "fell", AWKWARD,
    )  # fmt: skip
    late = NOON + 123456 * MICROSECOND
    elsewhere = late.astimezone(timezone(timedelta(hours=5, minutes=45)))
    window = Window(NOON - timedelta(hours=1), late)
    estimate = Estimate(1 / 3, None, math.inf, 10, 9.5, 1, 0.1, window, "p95", 0.999, "method", None, AWKWARD)
    seen = Observation(
        verdict="bad",
        window=window,
        estimate=estimate,
        baseline=estimate,
        since=elsewhere,
        detector=Detector("1:signature", late, change),
        reason=AWKWARD,
    )
    return AlertState(
        fingerprint="full",
        labels={"alertname": AWKWARD, AWKWARD: "", "empty": ""},
        rule=AWKWARD,
        consumer="it's",
        key={"segments.tier": AWKWARD},
        phase="firing",
        since=elsewhere,
        pending_at=NOON - MICROSECOND,
        good_since=late,
        evaluated_at=late,
        evidence=seen,
        fired_on=seen,
        trouble=AWKWARD,
        detector=seen.detector,
        era=3,
    )


# States.


def check_last_state_stays(log: AlertLog) -> None:
    """Of an alert's states the one with the latest look stays, in whatever order and however often they come."""
    for minute in (1, 3, 2, 3, 1):
        log.record_looks([Look(make_state(minute=minute, trouble=f"look {minute}"))])
    log.record_looks([Look(make_state("b", minute)) for minute in (2, 5, 4)])
    log.record_looks([Look(make_state(evaluated_at=None)), Look(make_state("c", evaluated_at=None))])
    expected = [make_state(minute=3, trouble="look 3"), make_state("b", 5), make_state("c", evaluated_at=None)]
    expect("the last states, by fingerprint", expected, list(log.alert_states()))


def check_microseconds_decide(log: AlertLog) -> None:
    """Two looks a microsecond apart are two times."""
    for offset in (1, 2, 0):
        log.record_looks([Look(make_state(evaluated_at=NOON + offset * MICROSECOND))])
    expect("the last look", NOON + 2 * MICROSECOND, log.alert_states()[0].evaluated_at)


def check_transition_goes_before_none(log: AlertLog) -> None:
    """Of two states of one time that with a transition stays; of two alike the last recorded."""
    look = make_look(minute=1)
    quiet = Look(make_state(minute=1, trouble="no transition"))
    for batch in ([look], [quiet], [quiet, look, quiet]):
        log.record_looks(batch)
        expect("the state with the transition", [look.state], list(log.alert_states()))
    for trouble in ("first", "last"):
        log.record_looks([Look(make_state("b", 1, trouble=trouble))])
    log.record_looks([Look(make_state("c", 1, trouble=trouble)) for trouble in ("first", "last")])
    expect("of two alike", ["last", "last"], [state.trouble for state in log.alert_states()][1:])


def check_eras_go_before_times(log: AlertLog) -> None:
    """A state of a later era counts, with a transition or without, though an earlier era's look has a later time."""
    ahead = [make_look("a", 500), Look(make_state("b", 500)), make_look("c", 1), Look(make_state("d", 500, era=2046))]
    back = [
        Look(make_state("a", 3, era=1)),
        make_look("b", 3, era=1),
        Look(make_state("c", 0, "resolved", era=1)),
        Look(make_state("d", 0, era=2047)),
    ]
    log.record_looks(ahead)
    log.record_looks(back)
    log.record_looks([*ahead, Look(make_state("a", 2, era=1))])
    expect("the states of the later eras", [look.state for look in back], list(log.alert_states()))
    later = make_look("b", 4, "resolved", era=1)
    log.record_looks([later])
    expect("the later one of an era", [later.state], list(log.alert_states(["rule-b"])))


def check_states_by_rule(log: AlertLog) -> None:
    """Asked for some rules, states of these alone come, those with a transition and without."""
    log.record_looks([make_look("a"), make_look("b"), Look(make_state("c")), Look(make_state("d", rule=AWKWARD))])
    found = [state.rule for state in log.alert_states(["rule-a", "rule-c", "unknown", AWKWARD])]
    expect("states of three rules", [AWKWARD, "rule-a", "rule-c"], sorted(found))
    expect("states of an unknown rule", [], list(log.alert_states(["unknown"])))


def check_states_by_phase(log: AlertLog) -> None:
    """Asked for some phases, the states whose last phase is one of these come, and not those that were in one."""
    log.record_looks([make_look("a", 1), make_look("b", 1), make_look("c", 1, "pending"), Look(make_state("d", 1))])
    log.record_looks([make_look("b", 2, "resolved"), Look(make_state("a", 3, "firing"))])
    found = {phase: [state.rule for state in log.alert_states(phases=(phase,))] for phase in ("firing", "resolved")}
    expect("firing and resolved ones", {"firing": ["rule-a"], "resolved": ["rule-b"]}, found)
    two = [state.rule for state in log.alert_states(["rule-a", "rule-b", "rule-c"], ("firing", "pending"))]
    expect("firing and pending ones of three rules", ["rule-a", "rule-c"], two)
    expect("the state itself", [make_state("a", 3, "firing")], list(log.alert_states(phases=("firing",))))


def check_states_come_back_whole(log: AlertLog) -> None:
    """Every field of a state, a transition and its observation comes back: floats, microseconds, awkward texts."""
    state = make_full_state()
    facts = {"fingerprint": "full", "labels": state.labels, "key": state.key, "observation": state.evidence}
    texts = {"rule": AWKWARD, "reason": AWKWARD, "description": AWKWARD, "runbook": "https://runbooks.example/a?b=c#d"}
    examples = (Example(AWKWARD, -0.5), Example("event", 5e-324))
    look = make_look(**facts, **texts, annotations={AWKWARD: AWKWARD}, examples=examples, episode=state.since)  # type: ignore[arg-type]
    log.record_looks([Look(state, look.transition)])
    expect("the state", [state], list(log.alert_states()))
    detector = log.alert_states()[0].detector
    expect("-0.0 with its sign", -1.0, math.copysign(1.0, detector.state.bets[1]) if detector else None)
    expect("the transition", [look.transition], list(log.transitions(TransitionQuery(ALWAYS), 10)))


def check_texts_that_utf8_cannot_hold(log: AlertLog) -> None:
    """A lone surrogate in a text is kept, or comes back as ``?``; nothing is refused for it, and it is found again."""
    odd, like = "odd-\ud800", "odd-?"
    state = make_state(labels={"alertname": odd, odd: "x"}, trouble=odd, rule=odd)
    transition = make_look(labels={odd: odd}, reason=odd, rule=odd).transition
    log.record_looks([Look(state, transition)])
    _among("a label", {odd, like}, log.alert_states([odd])[0].labels["alertname"])
    (told,) = log.untold(odd, ALWAYS.start, 10)
    _among("a reason", {odd, like}, told.reason)
    log.record_receipts([make_receipt(told.id, odd, detail=odd)])
    expect("the untold of that receiver", [], list(log.untold(odd, ALWAYS.start, 10)))
    expect("since when it is there", {odd: Enrolment(NOON, NOON)}, dict(log.enrol([odd], NOON)))
    log.record_silence(make_silence(odd, reason=odd, matchers=(Matcher(odd, odd),)))
    _among("a silence's matcher", {odd, like}, log.silences()[0].matchers[0].value)
    log.acknowledge(make_acknowledgement(odd, NOON, odd, odd, NOON))
    _among("a note", {odd, like}, log.acknowledgements([odd])[odd].note)


# Transitions.


def check_transition_stays_as_it_was(log: AlertLog) -> None:
    """A transition that is recorded again, even otherwise, is there once and as before; its state still counts."""
    first = make_look(minute=1)
    log.record_looks([first, first])
    again = make_look(minute=2, id=first.transition.id if first.transition else "", reason="other", after="resolved")
    for batch in ([again], [first, again], [first]):
        log.record_looks(batch)
        expect("the transition", [first.transition], list(log.transitions(TransitionQuery(ALWAYS), 10)))
        expect("the last state", [again.state], list(log.alert_states()))


def check_first_of_a_batch_stays(log: AlertLog) -> None:
    """Of two transitions of one id in one call the first stays."""
    looks = [make_look(minute=1, id="same", reason=reason) for reason in ("first", "second")]
    log.record_looks(looks)
    found = [transition.reason for transition in log.transitions(TransitionQuery(ALWAYS), 10)]
    expect("the reasons", ["first"], found)


def check_transitions_are_selected(log: AlertLog) -> None:
    """Transitions come by window (half-open), phases and fingerprints, the newest first, of one time by id."""
    phases: tuple[Phase, ...] = ("pending", "firing", "resolved", "inactive")
    looks = [make_look(alert, place // 2, phase) for alert in "ab" for place, phase in enumerate(phases)]
    log.record_looks(looks[::2])
    log.record_looks(looks[1::2])
    held = sorted((look.transition for look in looks if look.transition), key=lambda t: (-(t.at - NOON), t.id))
    everything = TransitionQuery(ALWAYS)
    expect("all", held, list(log.transitions(everything, 100)))
    expect("the first three", held[:3], list(log.transitions(everything, 3)))
    expect("none of them", [], list(log.transitions(everything, 0)))
    some = [each for each in held if each.after in ("firing", "resolved") and each.fingerprint == "print-b"]
    query = TransitionQuery(ALWAYS, ("firing", "resolved"), ("print-b", "unknown"))
    expect("told ones of an alert", some, list(log.transitions(query, 100)))
    expect("the newest of them", some[:1], list(log.transitions(query, 1)))
    for window, minutes in (
        (Window(NOON, moment(1)), [0]),
        (Window(NOON + MICROSECOND, moment(1) + MICROSECOND), [1]),
        (Window(datetime(1950, 1, 1, tzinfo=UTC), datetime(2500, 1, 1, tzinfo=UTC)), [1, 0]),
    ):
        found = list(log.transitions(TransitionQuery(window), 100))
        expect(f"those of {window}", [each for each in held if (each.at - NOON).seconds / 60 in minutes], found)


def check_many_at_once(log: AlertLog) -> None:
    """Thousands of alerts are recorded and found by their names."""
    looks = [make_look(f"{number:05d}", number % 7) for number in range(3000)]
    log.record_looks(looks)
    expect("states", [look.state for look in looks], list(log.alert_states()))
    names = tuple(look.state.fingerprint for look in looks)
    found = log.transitions(TransitionQuery(ALWAYS, (), names), 2500)
    order = [-(each.at - NOON) for each in found]
    expect("transitions by name, in order", (2500, sorted(order)), (len(found), order))
    ids = [look.transition.id for look in looks if look.transition]
    log.record_receipts([make_receipt(id) for id in ids])
    expect("receipts", sorted(ids), [receipt.transition for receipt in log.receipts(ids)])
    expect("untold", [], list(log.untold("pager", ALWAYS.start, 10_000)))


# Telling.


def check_untold(log: AlertLog) -> None:
    """To be told: firing and resolved since a time, without this receiver's receipt, the oldest first."""
    looks = [
        make_look("b", 1, "firing"),
        make_look("a", 1, "firing"),
        make_look("a", 2, "inactive"),
        make_look("a", 3, "resolved"),
        make_look("a", 4, "pending"),
        make_look("a", 5, "firing"),
    ]
    log.record_looks(looks)
    ids = ["a-firing-1", "b-firing-1", "a-resolved-3", "a-firing-5"]

    def untold(receiver: str = "pager", since: datetime = NOON, limit: int = 10) -> list[str]:
        return [transition.id for transition in log.untold(receiver, since, limit)]

    expect("all to tell", ids, untold())
    expect("two of them", ids[:2], untold(limit=2))
    expect("those since 12:03", ids[2:], untold(since=moment(3)))
    expect("those after 12:03", ids[3:], untold(since=moment(3) + MICROSECOND))
    log.record_receipts([make_receipt(ids[0]), make_receipt(ids[2], outcome="refused"), make_receipt(ids[3], "mail")])
    expect("what the pager lacks", [ids[1], ids[3]], untold())
    expect("what the mail lacks", ids[:3], untold("mail"))
    expect("what a third lacks", ids, untold("chat"))
    log.record_receipts([make_receipt(ids[1], outcome="silenced"), make_receipt(ids[3], outcome="not_routed")])
    expect("what the pager lacks in the end", [], untold())


def check_first_receipt_counts(log: AlertLog) -> None:
    """Of a transition and receiver the first recorded receipt counts, whatever its time; all fields come back."""
    first = make_receipt("t", outcome="refused", at=moment(9) + MICROSECOND, attempts=7, detail=AWKWARD)
    log.record_receipts([first, make_receipt("t", detail="second in the call")])
    log.record_receipts([make_receipt("t", at=NOON - timedelta(days=1)), make_receipt("t", "mail"), make_receipt("u")])
    expected = [make_receipt("t", "mail"), first]
    expect("receipts of one, by receiver", expected, list(log.receipts(["t", "unknown"])))
    expect("receipts of two", [*expected, make_receipt("u")], list(log.receipts(["u", "t", "t"])))
    expect("receipts of none", [], list(log.receipts([])))


def check_enrolled_once(log: AlertLog) -> None:
    """Since when a receiver is there is remembered as long as nobody leaves it out; others have their own times."""
    start = NOON + MICROSECOND
    for now in (start, moment(5), moment(-5)):
        expect("the first time", {"pager": Enrolment(start, start)}, dict(log.enrol(["pager"], now)))
    both = {"pager": Enrolment(start, start), "mail": Enrolment(moment(6), moment(6))}
    for now in (moment(6), moment(9)):
        expect("the times of both", both, dict(log.enrol(["mail", "pager", "mail"], now)))


def check_left_out_and_back(log: AlertLog) -> None:
    """A receiver that was left out, by others or by nobody, comes back anew, and remembers when it was first there."""
    start = moment(1)
    for minute, receivers in ((1, ["pager"]), (2, ["mail"]), (3, ["mail"])):
        log.enrol(receivers, moment(minute))
    back = {"pager": Enrolment(start, moment(4)), "mail": Enrolment(moment(2), moment(2))}
    for minute in (4, 5):
        expect("the times after it came back", back, dict(log.enrol(["pager", "mail"], moment(minute))))
    expect("those of nobody", {}, dict(log.enrol([], moment(6))))
    # A clock that was set back: what is said last counts.
    again = {"pager": Enrolment(start, moment(3))}
    for minute in (3, 8):
        expect("the times after all were left out", again, dict(log.enrol(["pager"], moment(minute))))


# People.


def check_silences(log: AlertLog) -> None:
    """Silences come back whole, the last to end first, in force from their start up to their end."""
    silences = [
        make_silence("c", 0, 60),
        make_silence("a", 30, 90 + 1e-6 / 60, reason=AWKWARD, matchers=(Matcher(AWKWARD, AWKWARD, True),)),
        make_silence("b", 0, 60, author=AWKWARD, matchers=()),
        make_silence("d", -60, 0),
        make_silence("e", 10, 10),
    ]
    for silence in silences:
        log.record_silence(silence)
    order = [silences[place] for place in (1, 2, 0, 4, 3)]
    expect("all", order, list(log.silences()))
    for minute, names in ((0, "bc"), (-1, "d"), (10, "bc"), (30, "abc"), (60, "a"), (91, "")):
        found = [silence.id for silence in log.silences(moment(minute))]
        expect(f"those in force in minute {minute}", list(names), found)


def check_last_word_on_a_silence(log: AlertLog) -> None:
    """The same id again replaces a silence; the later ``recorded_at`` counts, and of one time the last recorded."""
    log.record_silence(make_silence(recorded_at=moment(2), ends=60, reason="second"))
    log.record_silence(make_silence(recorded_at=moment(1), ends=90, reason="first, written late"))
    expect("the later word", ["second"], [silence.reason for silence in log.silences()])
    log.record_silence(make_silence(recorded_at=moment(2), ends=60, reason="second again"))
    log.record_silence(make_silence("other", recorded_at=NOON))
    expect("of one time the last", ["other", "s"], [silence.id for silence in log.silences()])
    expect("its reason", "second again", log.silences()[1].reason)
    log.record_silence(make_silence(recorded_at=moment(3), ends=3))
    expect("those in force after an early end", ["other"], [silence.id for silence in log.silences(moment(5))])


def check_acknowledgements(log: AlertLog) -> None:
    """Of each alert the last acknowledgement comes, whichever episode it is of; others have no entry."""
    last = make_acknowledgement("a", moment(10) + MICROSECOND, AWKWARD, AWKWARD, moment(12) + MICROSECOND)
    log.acknowledge(last)
    log.acknowledge(make_acknowledgement("a", NOON, "bob", "an older episode", moment(3)))
    log.acknowledge(msgspec.structs.replace(last, author="eve", at=moment(11)))
    other = make_acknowledgement("b", NOON, "bob", "", moment(1))
    log.acknowledge(other)
    expect("the last of each", {"a": last, "b": other}, dict(log.acknowledgements(["b", "a", "c"])))
    later = make_acknowledgement("a", NOON, "carol", "took over", moment(13), closes=True)
    log.acknowledge(later)
    expect("a later one of an older episode", {"a": later}, dict(log.acknowledgements(["a"])))
    again = msgspec.structs.replace(later, note="of one time the last")
    log.acknowledge(again)
    expect("of one time the last", {"a": again}, dict(log.acknowledgements(["a"])))
    expect("those of nobody", {}, dict(log.acknowledgements([])))


# All of it.


def check_nothing_is_nothing(log: AlertLog) -> None:
    """Empty calls write nothing, and an empty log answers with nothing."""
    log.record_looks([])
    log.record_receipts([])
    found = [
        list(log.alert_states()),
        list(log.transitions(TransitionQuery(ALWAYS), 10)),
        list(log.untold("pager", ALWAYS.start, 10)),
        list(log.receipts(["t"])),
        list(log.silences()),
        list(log.acknowledgements(["a"])),
    ]
    expect("answers of an empty log", [[]] * 6, found)
    log.release("ruler", "nobody")


def check_readers_and_writers(log: AlertLog) -> None:
    """Several threads write and lose nothing; whoever reads meanwhile finds a state as new as every transition."""
    rounds, phases = 8, TOLD

    def write(alert: str) -> None:
        for minute in range(rounds):
            looks = [make_look(alert, minute, phases[minute % 2]), Look(make_state(f"{alert}-quiet", minute))]
            log.record_looks(looks)
            log.record_receipts([make_receipt(f"{alert}-{minute}")])

    threads = [threading.Thread(target=write, args=(alert,)) for alert in "abc"]
    for thread in threads:
        thread.start()
    try:
        while any(thread.is_alive() for thread in threads):
            told = log.transitions(TransitionQuery(ALWAYS), 1000)
            looked = {state.fingerprint: state.evaluated_at for state in log.alert_states()}
            behind = [each.id for each in told if (looked.get(each.fingerprint) or ALWAYS.start) < each.at]
            expect("transitions whose state is behind", [], behind)
    finally:
        for thread in threads:
            thread.join()
    last = [moment(rounds - 1)] * 6
    expect("the last looks", last, [state.evaluated_at for state in log.alert_states()])
    expect("how many transitions", 3 * rounds, len(log.transitions(TransitionQuery(ALWAYS), 1000)))
    ids = [f"{alert}-{minute}" for alert in "abc" for minute in range(rounds)]
    expect("receipts", sorted(ids), [receipt.transition for receipt in log.receipts(ids)])


def check_edges_of_time(log: AlertLog) -> None:
    """The first and the last moment that are taken come back, and order as they should."""
    first, last = datetime(1970, 1, 2, tzinfo=UTC), datetime(2100, 1, 1, tzinfo=UTC) - MICROSECOND
    for at in (last, first):
        log.record_looks([make_look("a", id=f"{at.year}", at=at, evaluated_at=at)])
    expect("the state of the last look", last, log.alert_states()[0].evaluated_at)
    ever = Window(first, last + MICROSECOND)
    expect("transitions", [last, first], [each.at for each in log.transitions(TransitionQuery(ever), 10)])
    expect("the untold", [first, last], [each.at for each in log.untold("pager", first, 10)])
    log.record_receipts([make_receipt("2099", at=last), make_receipt("1970", at=first)])
    expect("receipts", [first, last], [each.at for each in log.receipts(["2099", "1970"])])
    expect("since when a receiver is there", first, log.enrol(["pager"], first)["pager"].since)
    log.record_silence(make_silence(starts_at=first, ends_at=last, recorded_at=last))
    for now in (NOON, last - MICROSECOND):
        expect(f"the ends of silences in force at {now}", [last], [each.ends_at for each in log.silences(now)])
    log.acknowledge(make_acknowledgement("a", first, at=last))
    found = log.acknowledgements(["a"])["a"]
    expect("an acknowledgement", (first, last), (found.episode, found.at))


def check_wrong_arguments_are_refused(log: AlertLog) -> None:
    """What no store can hold, and what cannot be meant, is refused, and nothing of the call is written."""
    naive = NOON.replace(tzinfo=None)
    strange = make_look("b", fingerprint="print-other")
    for what, look in (
        ("a naive look", Look(make_state(evaluated_at=naive))),
        ("an era below 0", Look(make_state(era=-1))),
        ("an era that no rank can hold", Look(make_state(era=2048))),
        ("a look in 1950", Look(make_state(evaluated_at=NOON.replace(year=1950)))),
        ("a transition in 2100", make_look(at=NOON.replace(year=2100))),
        ("another alert's transition", strange),
    ):
        refused(what, lambda look=look: log.record_looks([make_look("good"), look]))  # type: ignore[misc]
    for what, call in (
        ("a naive receipt", lambda: log.record_receipts([make_receipt("good"), make_receipt("t", at=naive)])),
        ("attempts below 0", lambda: log.record_receipts([make_receipt("good"), make_receipt("t", attempts=-1)])),
        ("a silence that ends first", lambda: log.record_silence(make_silence(ends=-1))),
        ("a silence for ever", lambda: log.record_silence(make_silence(ends_at=datetime.max.replace(tzinfo=UTC)))),
        ("a naive acknowledgement", lambda: log.acknowledge(make_acknowledgement("a", NOON, "ada", "", naive))),
        ("a naive enrolment", lambda: log.enrol(["pager"], naive)),
        ("a limit below 0", lambda: log.transitions(TransitionQuery(ALWAYS), -1)),
        ("a limit of untold below 0", lambda: log.untold("pager", NOON, -1)),
        ("a naive since", lambda: log.untold("pager", naive, 1)),
        ("a naive time of silences", lambda: log.silences(naive)),
        ("a lease of no time", lambda: log.claim("ruler", "a", 0.0)),
        ("a lease for ever", lambda: log.claim("ruler", "a", math.inf)),
    ):
        refused(what, call)
    check_nothing_is_nothing(log)


# Leases.


def check_one_leads(log: AlertLog, wait: Wait) -> None:
    """The first to claim has the lease, others hear who has it; another lease is another matter."""
    lease = log.claim("ruler", "a", LEASE_SECONDS)
    expect("who has it", ("a", True), (lease.holder, lease.held))
    other = log.claim("ruler", "b", LEASE_SECONDS)
    expect("who has it still", ("a", lease.since, lease.until, False), _told(other))
    expect("who has another one", ("b", True), _told(log.claim("notifier", "b", LEASE_SECONDS))[::3])


def check_lease_is_as_long_as_asked(log: AlertLog, wait: Wait) -> None:
    """A lease's times have a zone and lie as far apart as was asked for."""
    lease = log.claim("ruler", AWKWARD, LEASE_SECONDS)
    expect("its length", timedelta(seconds=LEASE_SECONDS), lease.until - lease.since)
    expect("the zone of its times", timedelta(0), lease.since.utcoffset())
    expect("its holder", (AWKWARD, True), (lease.holder, lease.held))


def check_lease_is_renewed(log: AlertLog, wait: Wait) -> None:
    """Claiming again keeps ``since`` and moves ``until``, for longer than one claim lasts; nobody gets in between."""
    first = log.claim("ruler", "a", LEASE_SECONDS)
    until = first.until
    for _ in range(3):
        wait(LEASE_SECONDS / 2)
        lease = log.claim("ruler", "a", LEASE_SECONDS)
        expect(
            "holder and since of the renewed lease", ("a", first.since, True), (lease.holder, lease.since, lease.held)
        )
        expect("that it lasts longer", True, lease.until > until)
        until = lease.until
        expect("what another hears", ("a", first.since, until, False), _told(log.claim("ruler", "b", LEASE_SECONDS)))


def check_lease_ends(log: AlertLog, wait: Wait) -> None:
    """When its time is over the next to claim gets it, and who had it does not, though it claims again."""
    first = log.claim("ruler", "a", LEASE_SECONDS)
    wait(LEASE_SECONDS + 0.1)
    lease = log.claim("ruler", "b", LEASE_SECONDS)
    expect("the next holder", ("b", True), (lease.holder, lease.held))
    expect("that it began after the end of the last", True, lease.since >= first.until)
    expect("what the last holder hears", ("b", lease.since, lease.until, False), _told(log.claim("ruler", "a", 3.0)))


def check_lease_begins_anew(log: AlertLog, wait: Wait) -> None:
    """Who claims after its own end has a lease that begins after it: another may have led in between."""
    first = log.claim("ruler", "a", LEASE_SECONDS)
    wait(LEASE_SECONDS + 0.1)
    lease = log.claim("ruler", "a", LEASE_SECONDS)
    expect("that it is held and began anew", (True, True), (lease.held, lease.since >= first.until))


def check_lease_is_given_back(log: AlertLog, wait: Wait) -> None:
    """A released lease goes to the next at once; others' releases do nothing."""
    log.claim("ruler", "a", LEASE_SECONDS)
    log.release("ruler", "b")
    log.release("other", "a")
    expect("who has it", "a", log.claim("ruler", "b", LEASE_SECONDS).holder)
    log.release("ruler", "a")
    lease = log.claim("ruler", "b", LEASE_SECONDS)
    expect("who has it then", ("b", True), (lease.holder, lease.held))
    log.release("ruler", "a")
    expect("who has it still", ("b", False), _told(log.claim("ruler", "a", LEASE_SECONDS))[::3])


def check_one_of_many_leads(log: AlertLog, wait: Wait) -> None:
    """Of several that claim at once one has the lease, and from then on all hear of it."""
    gate, found = threading.Barrier(4), []

    def claim(holder: str) -> None:
        gate.wait()
        found.append(log.claim("ruler", holder, 10 * LEASE_SECONDS))

    threads = [threading.Thread(target=claim, args=(f"ruler-{number}",)) for number in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    expect("how many have it", 1, sum(lease.held for lease in found))
    leaders = {lease.holder for lease in found if lease.held}
    # While they claim, one may hear of another whose claim came to nothing.
    heard = {log.claim("ruler", f"ruler-{number}", 10 * LEASE_SECONDS).holder for number in range(4)}
    expect("of whom they hear then", leaders, heard)


LOG_CHECKS: tuple[Callable[[AlertLog], None], ...] = (
    check_last_state_stays,
    check_microseconds_decide,
    check_transition_goes_before_none,
    check_eras_go_before_times,
    check_states_by_rule,
    check_states_by_phase,
    check_states_come_back_whole,
    check_texts_that_utf8_cannot_hold,
    check_transition_stays_as_it_was,
    check_first_of_a_batch_stays,
    check_transitions_are_selected,
    check_many_at_once,
    check_untold,
    check_first_receipt_counts,
    check_enrolled_once,
    check_left_out_and_back,
    check_silences,
    check_last_word_on_a_silence,
    check_acknowledgements,
    check_nothing_is_nothing,
    check_readers_and_writers,
    check_edges_of_time,
    check_wrong_arguments_are_refused,
)
"""All but those of leases; each takes an empty log."""

LEASE_CHECKS: tuple[Callable[[AlertLog, Wait], None], ...] = (
    check_one_leads,
    check_lease_is_as_long_as_asked,
    check_lease_is_renewed,
    check_lease_ends,
    check_lease_begins_anew,
    check_lease_is_given_back,
    check_one_of_many_leads,
)
"""Those of leases; each takes an empty log and what waits."""


def _told(lease: Lease) -> tuple[str, datetime, datetime, bool]:
    return lease.holder, lease.since, lease.until, lease.held


def _among(what: str, expected: set[str], found: str) -> None:
    if found not in expected:
        raise AssertionError(f"Expected {what} to be one of {sorted(expected)!r}, but got {found!r}")
