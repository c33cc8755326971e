"""Stores with planted scores and events, and looks at them by the clock: for rules that read for themselves."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from datetime import UTC, datetime, timedelta

from evalsvc.ruler.kinds import watch_of
from evalsvc.ruler.looks import start_of
from evalsvc.ruler.seen import Seen
from evalsvc.rules import AlertState, Rule, RuleGroup, Transition, step, transition
from evalsvc.store.memory import MemoryStore
from evalsvc.types import LedgerCount, LedgerEntry, Scale, Score, ScorerSpec, Subject, WriteBatch

START = datetime(2026, 3, 2, tzinfo=UTC)
FAITHFUL = ScorerSpec("faithful", 1, Scale(0.0, 1.0, "higher", binary=True))
MINUTE = timedelta(minutes=1)


def at(hours: float) -> datetime:
    """So many hours after the start."""
    return START + timedelta(hours=hours)


def score(
    moment: datetime,
    value: float | None,
    name: str,
    *,
    spec: ScorerSpec = FAITHFUL,
    consumer: str = "quality",
    version: str = "1",
    segments: Mapping[str, str] | None = None,
    session: str = "",
    pi: float = 1.0,
    status: str = "failed",
    detail: str = "",
) -> Score:
    """One score of an event; without a value it has ``status``."""
    subject = Subject(name, moment, consumer, "support", "m", version, segments or {}, session, f"rate={pi}", 1)
    if value is None:
        return Score(subject, spec.metric, spec.version, spec.signature, pi, status, None, "boom", detail)
    return Score(subject, spec.metric, spec.version, spec.signature, pi, "ok", value, "", detail)


def stored(scores: Sequence[Score], specs: Sequence[ScorerSpec] = (FAITHFUL,)) -> MemoryStore:
    """A store with these scores."""
    store = MemoryStore()
    store.record_scorers(list(specs))
    store.write(WriteBatch(scores=tuple(scores)))
    return store


def offer(store: MemoryStore, consumer: str, minutes: Mapping[int, int], partition: str = "p0") -> None:
    """Count events as offered and taken, by minutes after the start."""
    first = int(START.timestamp()) // 60
    counts = tuple(LedgerCount(first + minute, "rate=1.0", 1, "sampled", n) for minute, n in sorted(minutes.items()))
    total = sum(minutes.values())
    store.write(WriteBatch(ledger=(LedgerEntry(consumer, partition, 0, total, counts),)))


def group_of(rule: Rule, interval: float = 300.0) -> RuleGroup:
    """The rule's group: it looks at what came two minutes before."""
    return RuleGroup(
        name="g",
        path="g.rules.yaml",
        rules=(rule,),
        interval_seconds=interval,
        delay_seconds=120.0,
        catch_up_seconds=3600.0,
    )


def look(store: MemoryStore, rule: Rule, now: datetime, interval: float = 300.0) -> list[Seen]:
    """What one look sees."""
    watch = watch_of(rule)
    assert watch is not None
    return list(watch(store, rule, group_of(rule, interval), now))


def one(store: MemoryStore, rule: Rule, now: datetime, interval: float = 300.0) -> Seen:
    """What a look sees of the only alert."""
    (seen,) = look(store, rule, now, interval)
    return seen


def followed(
    store: MemoryStore, rule: Rule, first: datetime, last: datetime, interval: float = 300.0
) -> Iterator[tuple[datetime, Seen, AlertState, Transition | None]]:
    """All looks in a time, with the state after each and what it told."""
    states: dict[str, AlertState] = {}
    now = first
    while now <= last:
        for seen in look(store, rule, now, interval):
            start = start_of(rule, seen.consumer, seen.key)
            before = states.get(start.fingerprint, start)
            after = step(rule, before, seen.observation, now)
            states[after.fingerprint] = after
            yield now, seen, after, transition(before, after)
        now += timedelta(seconds=interval)


def told(
    store: MemoryStore,
    rule: Rule,
    first: datetime,
    last: datetime,
    interval: float = 300.0,
    only: Callable[[Transition], bool] = lambda found: found.after in ("firing", "resolved"),
) -> list[Transition]:
    """What would be told of a time."""
    return [found for *_, found in followed(store, rule, first, last, interval) if found and only(found)]
