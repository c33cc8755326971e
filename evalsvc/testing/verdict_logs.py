"""Contract checks for what is remembered of verdicts: any :class:`~evalsvc.verdicts.VerdictLog`.

Each check takes an empty log and raises ``AssertionError`` with what was promised and what came::

    from evalsvc.testing import check_verdict_log

    def test_my_log() -> None:
        check_verdict_log(lambda: MyLog())
"""

from __future__ import annotations

import hashlib
import threading
from collections.abc import Callable, Sequence
from datetime import UTC, datetime, timedelta, timezone

import msgspec

from evalsvc.testing._expected import expect, refused
from evalsvc.verdicts import (
    Finding,
    GateResult,
    MetricSummary,
    Needed,
    Number,
    Party,
    Verdict,
    VerdictLog,
    VerdictQuery,
)

NOON = datetime(2026, 5, 4, 12, tzinfo=UTC)
MICROSECOND = timedelta(microseconds=1)
AWKWARD = 'it\'s "so"\\ \n\t\0 {name:String} %2C ✓ü\u2028'


def check_verdict_log(factory: Callable[[], VerdictLog]) -> None:
    """Run every check, each on a fresh, empty log of ``factory``."""
    for check in VERDICT_CHECKS:
        check(factory())


def make_verdict(verdict_id: str = "v", minute: float = 0.0, **changes: object) -> Verdict:
    """Return a verdict decided so many minutes after :data:`NOON`."""
    finding = Finding(decision="FAIL", reason="it fell", difference=-0.1, low=-0.2, high=-0.05, limit=-0.02, n=40)
    facts: dict[str, object] = {
        "verdict_id": verdict_id,
        "suite": "support",
        "decision": "FAIL",
        "gates": (GateResult(gate="rouge_l", metric="rouge_l", decision="FAIL", findings=(finding,)),),
        "metrics": (),
        "candidate": Party(model="bot", model_version="2", signature="model:bot", digest="c" * 64),
        "baseline": None,
        "cases": "cases.jsonl",
        "cases_digest": "d" * 64,
        "n_cases": 40,
        "stopped_at": 40,
        "repeats": 1,
        "seed": 7,
        "level": 0.05,
        "scorers": {"rouge_l": "1|v:1"},
        "definition": "{}",
        "gates_digest": "e" * 64,
        "decided_at": NOON + timedelta(minutes=minute),
        "evalsvc": "0.1.0",
    }
    return Verdict(**{**facts, **changes})  # type: ignore[arg-type]


def make_full_verdict() -> Verdict:
    """Return a verdict with something in every field: small and large floats, awkward texts, microseconds."""
    floats = Number(5e-324, -1.7976931348623157e308, 1 / 3, 1 << 40, 2, AWKWARD)
    needed = Needed(1 << 40, 3, AWKWARD, "it's")
    found = Finding(
        decision="INCONCLUSIVE", reason=AWKWARD, segment="language=ü", baseline=0.1, candidate=-0.0, difference=1 / 3,
        low=None, high=1e-9, confidence=0.9, limit=-0.5, relative=True, p_pass=1e-300, p_fail=0.0,
        p_fail_adjusted=1.0, n=1, n_clusters=2, n_one_sided=3, n_unscored=4, cases=(AWKWARD, "b"), needed=needed,
        test=AWKWARD,
    )  # fmt: skip
    gate = GateResult(
        gate=AWKWARD, metric="m", decision="INCONCLUSIVE", findings=(found, found), advisory=True, settled_at=3
    )
    metric = MetricSummary(
        metric="m", unit="ms", better="lower", scorer="1|s", candidate=floats, baseline=floats, difference=floats,
        repeat_sd=0.1, reasons={AWKWARD: 3},
    )  # fmt: skip
    party = Party(
        model=AWKWARD, model_version="", signature=AWKWARD, digest="f" * 64, name="main", answered=9, failed=1,
        cost_usd=0.1, stored="0" * 64,
    )  # fmt: skip
    elsewhere = (NOON + 123456 * MICROSECOND).astimezone(timezone(timedelta(hours=5, minutes=45)))
    return make_verdict(
        "full", decision="INCONCLUSIVE", gates=(gate,), metrics=(metric,), candidate=party, baseline=party,
        definition=AWKWARD, scorers={AWKWARD: AWKWARD}, decided_at=elsewhere, looks=(10, 20), notes=(AWKWARD,),
    )  # fmt: skip


def make_record(text: str) -> tuple[str, bytes]:
    """Return a digest and the record of that digest."""
    content = text.encode()
    return hashlib.sha256(content).hexdigest(), content


def check_comes_back_whole(log: VerdictLog) -> None:
    """A verdict comes back equal in every field, by its id and in a list, and so does a record, byte by byte."""
    verdict, (digest, content) = make_full_verdict(), make_record(f"{AWKWARD}\n{'x' * 3_000_000}\n")
    log.record_verdict(verdict, {digest: content})
    expect("the verdict of the id", verdict, log.verdict("full"))
    expect("the verdicts", [verdict], list(log.verdicts(VerdictQuery(), 10)))
    found = log.record(digest)
    expect("that the record is as it was", True, found == content)
    expect("the record's type", bytes, type(found))


def check_nothing_is_nothing(log: VerdictLog) -> None:
    """An empty log answers with nothing, and so do ids that are only like one that is there."""
    expect("verdicts of an empty log", [], list(log.verdicts(VerdictQuery(), 10)))
    expect("a verdict and a record of it", (None, None), (log.verdict("v"), log.record("c" * 64)))
    digest, content = make_record("a\n")
    log.record_verdict(make_verdict("v1"), {digest: content})
    expect("the verdict of a beginning", None, log.verdict("v"))
    expect("the record of a beginning", None, log.record(digest[:10]))
    expect("no verdict of none", [], list(log.verdicts(VerdictQuery(), 0)))


def check_written_twice_is_once(log: VerdictLog) -> None:
    """The same verdict and records may be written again; a record may be shared, and come with a later verdict."""
    one, other = make_record("a\n"), make_record("b\n")
    for _ in range(3):
        log.record_verdict(make_verdict(), dict([one]))
    log.record_verdict(make_verdict(), dict([one, other]))
    log.record_verdict(make_verdict("w", 1), dict([one]))
    expect("the verdicts", ["w", "v"], _ids(log.verdicts(VerdictQuery(), 10)))
    expect("the records", [one[1], other[1]], [log.record(one[0]), log.record(other[0])])


def check_another_of_an_id_is_refused(log: VerdictLog) -> None:
    """A verdict is never replaced, and the records of a refused one are not written."""
    digest, content = make_record("later\n")
    log.record_verdict(make_verdict(), {})
    for changes in ({"decision": "PASS"}, {"seed": 8}, {"notes": ("another",)}, {"suite": "other"}):
        changed = make_verdict(**changes)
        refused(f"another verdict of the id ({changes})", lambda changed=changed: log.record_verdict(  # type: ignore[misc]
            changed, {digest: content}))  # fmt: skip
    expect("the verdict", make_verdict(), log.verdict("v"))
    expect("the record of what was refused", None, log.record(digest))


def check_newest_first(log: VerdictLog) -> None:
    """Verdicts come by time, the last first, to the microsecond; of one time by id; a limit keeps the last."""
    for verdict_id, minute in (("b", 1.0), ("c", 3.0), ("a", 1.0), ("d", 2.0)):
        log.record_verdict(make_verdict(verdict_id, minute), {})
    log.record_verdict(make_verdict("e", decided_at=NOON + timedelta(minutes=3) + MICROSECOND), {})
    expect("all of them", ["e", "c", "d", "a", "b"], _ids(log.verdicts(VerdictQuery(), 10)))
    expect("the last four", ["e", "c", "d", "a"], _ids(log.verdicts(VerdictQuery(), 4)))


def check_selected(log: VerdictLog) -> None:
    """A query's suite is exact, its time half-open, in any zone."""
    for minute, suite in ((0, "support"), (1, "support"), (2, "support"), (1, AWKWARD)):
        log.record_verdict(make_verdict(f"{minute}-{suite}", minute, suite=suite), {})
    expect("those of a suite", [f"1-{AWKWARD}"], _ids(log.verdicts(VerdictQuery(AWKWARD), 10)))
    expect("those of no suite", [], _ids(log.verdicts(VerdictQuery("suppor"), 10)))
    first, last = NOON + timedelta(minutes=1), NOON + timedelta(minutes=2)
    elsewhere = first.astimezone(timezone(timedelta(hours=-7)))
    found = _ids(log.verdicts(VerdictQuery("support", elsewhere, last), 10))
    expect("those in [1, 2)", ["1-support"], found)
    after = _ids(log.verdicts(VerdictQuery("support", since=first), 10))
    expect("those from 1 on", ["2-support", "1-support"], after)
    expect("those before 1", ["0-support"], _ids(log.verdicts(VerdictQuery("support", until=first), 10)))
    far = (datetime.min.replace(tzinfo=UTC), datetime.max.replace(tzinfo=UTC))
    expect("those of all times", 4, len(log.verdicts(VerdictQuery("", *far), 10)))


def check_wrong_arguments_are_refused(log: VerdictLog) -> None:
    """What cannot be meant is refused, and nothing of the call is written."""
    good, naive = make_record("good\n"), NOON.replace(tzinfo=None)
    bad = b"\xff\xfe"
    for what, verdict, records in (
        ("a record of another digest", make_verdict(), {good[0]: good[1], "a" * 64: b"x"}),
        ("a record that is no UTF-8", make_verdict(), {good[0]: good[1], hashlib.sha256(bad).hexdigest(): bad}),
        ("a naive time", make_verdict(decided_at=naive), dict([good])),
        ("a time in 1950", make_verdict(decided_at=NOON.replace(year=1950)), dict([good])),
        ("a time in 2100", make_verdict(decided_at=NOON.replace(year=2100)), dict([good])),
        ("no id", make_verdict(""), dict([good])),
        ("half a character", make_verdict(notes=("\ud800",)), dict([good])),
    ):
        refused(what, lambda verdict=verdict, records=records: log.record_verdict(verdict, records))  # type: ignore[misc]
    for what, query, limit in (
        ("a limit below 0", VerdictQuery(), -1),
        ("a naive since", VerdictQuery(since=naive), 1),
        ("a naive until", VerdictQuery(until=naive), 1),
    ):
        refused(what, lambda query=query, limit=limit: log.verdicts(query, limit))  # type: ignore[misc]
    expect("what was written", ([], None), (list(log.verdicts(VerdictQuery(), 10)), log.record(good[0])))


def check_threads(log: VerdictLog) -> None:
    """Several threads write and lose nothing; whoever reads meanwhile finds the record of every verdict."""
    rounds = 6

    def write(name: str) -> None:
        for number in range(rounds):
            digest, content = make_record(f"{name}{number}\n")
            party = msgspec.structs.replace(make_verdict().candidate, stored=digest)
            log.record_verdict(make_verdict(f"{name}{number}", number, candidate=party), {digest: content})

    threads = [threading.Thread(target=write, args=(name,)) for name in "abc"]
    for thread in threads:
        thread.start()
    try:
        while any(thread.is_alive() for thread in threads):
            for verdict in log.verdicts(VerdictQuery(), 100):
                known = log.record(verdict.candidate.stored) is not None
                expect(f"that {verdict.verdict_id} has its record", True, known)
    finally:
        for thread in threads:
            thread.join()
    expected = sorted(f"{name}{number}" for name in "abc" for number in range(rounds))
    expect("all verdicts", expected, sorted(_ids(log.verdicts(VerdictQuery(), 100))))


VERDICT_CHECKS: tuple[Callable[[VerdictLog], None], ...] = (
    check_comes_back_whole,
    check_nothing_is_nothing,
    check_written_twice_is_once,
    check_another_of_an_id_is_refused,
    check_newest_first,
    check_selected,
    check_wrong_arguments_are_refused,
    check_threads,
)
"""All checks; each takes an empty log."""


def _ids(verdicts: Sequence[Verdict]) -> list[str]:
    return [verdict.verdict_id for verdict in verdicts]
