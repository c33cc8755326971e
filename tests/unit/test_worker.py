"""The worker's promises, on the memory source and store: nothing lost, nothing twice, whatever fails in between."""

from __future__ import annotations

import json
import threading
import time
from collections import Counter
from collections.abc import Callable, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from evalsvc import scoring
from evalsvc.clock import SystemClock
from evalsvc.errors import ConfigError, SourceUnavailable, StoreUnavailable, TooManyDeadLetters
from evalsvc.pipeline import Designs, TimeLimits, Worker, WorkerSettings
from evalsvc.privacy import Masker, MaskingPolicy
from evalsvc.protocols import CellQuery, DeadLetterQuery
from evalsvc.sampling import SPAN, Condition, Design, Rule, draw
from evalsvc.scoring import BATCH_COST, ScorerEntry, cut_by_cost, score_all
from evalsvc.store import MemoryStore
from evalsvc.testing import ManualClock
from evalsvc.testing.sources import MemoryLog, MemorySource
from evalsvc.types import (
    DeadLetter,
    Event,
    Failed,
    Outcome,
    Sample,
    Scale,
    ScorerSpec,
    Window,
    WorkerProgress,
    WriteBatch,
)

NOW = datetime.now(UTC).replace(microsecond=0)
SPAN_OF_TEST = Window(NOW - timedelta(days=2), NOW + timedelta(days=1))
DESIGN = Design(consumer="c", rate=0.3, strata=("application",))
QUICK = WorkerSettings(
    max_batch=7, flush_seconds=0.02, poll_seconds=0.01, commit_seconds=0.0, retry_seconds=0.01, drain_seconds=5.0
)
KEY = b"a key of sixteen bytes or more"


class Length:
    """Counts characters; breaks on the poison word, and counts how often it was asked."""

    spec = ScorerSpec("length", 1, Scale(0.0, None, "neither", "characters"))
    poison = "\u2620"

    def __init__(self) -> None:
        self.asked: Counter[str] = Counter()

    def load(self) -> None:
        pass

    def cost(self, sample: Sample) -> int:
        return 1

    def score(self, batch: Sequence[Sample]) -> Sequence[Outcome]:
        if any(self.poison in sample.event.response for sample in batch):
            raise RuntimeError("poisoned by " + batch[0].event.response)
        self.asked.update(sample.event.event_id for sample in batch)
        return [float(len(sample.event.response)) for sample in batch]


class Plain:
    """A masker that masks nothing, for speed."""

    def mask_event(self, event: Event) -> Event:
        return event


def letters_of(store: MemoryStore) -> Sequence[DeadLetter]:
    return store.dead_letters(DeadLetterQuery(SPAN_OF_TEST), 10_000)


def message(number: int, **fields: Any) -> bytes:
    event = {
        "event_id": f"e{number}",
        "occurred_at": NOW.isoformat(),
        "application": "support",
        "response": "x" * (1 + number % 9),
        **fields,
    }
    return json.dumps(event).encode()


def filled(count: int, make: Callable[[int], bytes] = message) -> MemoryLog:
    log = MemoryLog()
    for number in range(count):
        log.append(make(number))
    return log


def worker(log: MemoryLog, store: Any, **changes: Any) -> Worker:
    source = changes.pop("source", None) or MemorySource(log, finite=True, max_records=changes.pop("max_records", 13))
    given = {
        "consumer": "c",
        "source": source,
        "store": store,
        "design": DESIGN,
        "scorers": [ScorerEntry(changes.pop("scorer", None) or Length())],
        "masker": Plain(),
        "settings": QUICK,
    }
    return Worker(**{**given, **changes})


def taken(count: int, rate: float = 0.3) -> set[str]:
    return {f"e{i}" for i in range(count) if draw("c", f"e{i}") < rate * SPAN}


def scored(store: MemoryStore, metric: str = "length") -> tuple[int, float, int]:
    groups = store.cells(CellQuery(metric, SPAN_OF_TEST, int(SPAN_OF_TEST.seconds)))
    cells = [cell for group in groups for cell in group.cells]
    return (
        sum(cell.n for cell in cells),
        sum(cell.total for cell in cells),
        sum(cell.n_failed + cell.n_abstained for cell in cells),
    )


def offered(store: MemoryStore) -> tuple[int, int, int]:
    rows = store.offered(SPAN_OF_TEST, int(SPAN_OF_TEST.seconds))
    return tuple(sum(getattr(row, name) for row in rows) for name in ("offered", "sampled", "duplicate"))  # type: ignore[return-value]


def expected_total(ids: set[str]) -> float:
    return float(sum(1 + int(i[1:]) % 9 for i in ids))


def test_every_sampled_event_is_scored_once_and_every_event_counted() -> None:
    log, store = filled(500), MemoryStore()
    status = worker(log, store).run()
    assert (status.read, status.sampled, status.skipped) == (500, len(taken(500)), 500 - len(taken(500)))
    assert scored(store) == (len(taken(500)), expected_total(taken(500)), 0)
    assert offered(store) == (500, len(taken(500)), 0)
    assert log.committed == {"memory/0": 250, "memory/1": 250}


class Crash(BaseException):
    """The machine is gone: not an exception that anyone would handle."""


class Flaky(MemoryStore):
    """Fails at chosen calls of ``write``: before anything is written, or after all of it was."""

    def __init__(self, plan: dict[int, tuple[str, type[BaseException]]]) -> None:
        super().__init__()
        self.plan, self.calls = plan, 0

    def write(self, batch: WriteBatch) -> None:
        self.calls += 1
        when, error = self.plan.get(self.calls, ("", Exception))
        if when == "before":
            raise error("planned")
        if when == "between":
            super().write(WriteBatch(events=batch.events, scores=batch.scores[: len(batch.scores) // 2]))
            raise error("planned")
        super().write(batch)
        if when == "after":
            raise error("planned")


@given(
    st.lists(
        st.tuples(st.integers(1, 4), st.sampled_from(["before", "between", "after"]), st.integers(1, 40)),
        min_size=1,
        max_size=5,
    )
)
@settings(deadline=None, max_examples=25)
def test_crashes_at_any_write_change_no_count(crashes: list[tuple[int, str, int]]) -> None:
    log, store = filled(240), Flaky({})
    for at, when, size in crashes:
        store.plan = {store.calls + at: (when, Crash)}
        try:
            worker(log, store, max_records=size).run()
        except Crash:
            continue
    store.plan = {}
    worker(log, store).run()
    assert scored(store) == (len(taken(240)), expected_total(taken(240)), 0)
    assert offered(store) == (240, len(taken(240)), 0)


def test_a_store_that_is_down_holds_everything_up_and_loses_nothing() -> None:
    store = Flaky({n: ("between", StoreUnavailable) for n in range(2, 9)})
    run = worker(filled(300), store)
    status = run.run()
    assert status.read == 300
    assert scored(store)[0] == len(taken(300))
    assert run.metrics.registry.get_sample_value("evalsvc_waits_total", {"consumer": "c", "target": "store"}) == 7


def test_backpressure_pauses_the_source_and_bounds_what_is_held() -> None:
    gate, store = threading.Event(), MemoryStore()

    class Slow(Length):
        def score(self, batch: Sequence[Sample]) -> Sequence[Outcome]:
            gate.wait(10)
            return super().score(batch)

    log = filled(4000)
    source = MemorySource(log, finite=True, max_records=50)
    run = worker(log, store, source=source, scorer=Slow(), settings=QUICK)
    thread = threading.Thread(target=run.run)
    thread.start()
    time.sleep(0.5)
    held = sum(source.positions.values())
    assert run.metrics.registry.get_sample_value("evalsvc_pauses_total", {"consumer": "c"}) >= 1
    assert held < 1500
    assert log.committed == {}
    gate.set()
    thread.join(20)
    assert scored(store)[0] == len(taken(4000))


def test_stop_finishes_what_was_read_and_the_next_run_goes_on() -> None:
    log, store = filled(2000), MemoryStore()
    run = worker(log, store, source=MemorySource(log, max_records=20))
    thread = threading.Thread(target=run.run)
    thread.start()
    while sum(log.committed.values()) < 100:
        time.sleep(0.005)
    run.stop()
    thread.join(10)
    assert not thread.is_alive()
    first = sum(log.committed.values())
    assert offered(store)[0] == first
    again = Length()
    status = worker(log, store, scorer=again).run()
    assert status.read == 2000 - first
    assert scored(store)[0] == len(taken(2000))
    assert set(again.asked.values()) <= {1}


def test_stop_while_the_store_is_down_ends_and_commits_nothing() -> None:
    store = Flaky({n: ("before", StoreUnavailable) for n in range(1, 10_000)})
    log = filled(50)
    quick = WorkerSettings(**{**{f: getattr(QUICK, f) for f in QUICK.__struct_fields__}, "drain_seconds": 0.3})
    run = worker(log, store, settings=quick)
    thread = threading.Thread(target=run.run)
    thread.start()
    time.sleep(0.3)
    assert "planned" in run.status().waiting_for
    run.stop()
    thread.join(10)
    assert not thread.is_alive()
    assert log.committed == {}


def test_partitions_that_move_between_two_workers_are_counted_once() -> None:
    log, store = filled(3000), MemoryStore()
    one, two = MemorySource(log, max_records=20), MemorySource(log, [], max_records=20)
    runs = [worker(log, store, source=one), worker(log, store, source=two)]
    threads = [threading.Thread(target=run.run) for run in runs]
    for thread in threads:
        thread.start()
    for turn in range(12):
        mine = ["memory/0"] if turn % 2 else ["memory/0", "memory/1"]
        one.assign(mine)
        two.assign([p for p in log.records if p not in mine])
        time.sleep(0.04)
    deadline = time.monotonic() + 20
    while offered(store)[0] < 3000 and time.monotonic() < deadline:
        time.sleep(0.02)
    for run in runs:
        run.stop()
    for thread in threads:
        thread.join(10)
    assert offered(store) == (3000, len(taken(3000)), 0)
    assert scored(store) == (len(taken(3000)), expected_total(taken(3000)), 0)


def test_a_poison_item_fails_alone() -> None:
    store = MemoryStore()
    poisoned = sorted(taken(200))[5]
    log = filled(200, lambda i: message(i, **({"response": Length.poison} if f"e{i}" == poisoned else {})))
    worker(log, store).run()
    assert scored(store)[0] == len(taken(200)) - 1
    assert scored(store)[2] == 1


def test_a_failure_says_where_and_quotes_nothing(caplog: pytest.LogCaptureFixture) -> None:
    from evalsvc.testing import make_sample

    class Broken(Length):
        def score(self, batch: Sequence[Sample]) -> Sequence[Outcome]:
            return [json.loads(sample.event.response + "hunter2") for sample in batch]

    line = Broken.score.__code__.co_firstlineno + 1
    (outcome,) = score_all(Broken(), [make_sample("a")])
    assert outcome == Failed(f"JSONDecodeError at {__name__}:{line}")
    assert f"scorer_failed metric=length error=JSONDecodeError at {__name__}:{line}" in caplog.text
    assert "hunter2" not in caplog.text

    class Short(Length):
        def score(self, batch: Sequence[Sample]) -> Sequence[Outcome]:
            return []

    class Quotes(Length):
        def score(self, batch: Sequence[Sample]) -> Sequence[Outcome]:
            return ["hunter2"]  # type: ignore[list-item]

    assert score_all(Quotes(), [make_sample("a")]) == [Failed("Expected a finite number from the scorer, but got str")]
    assert score_all(Short(), [make_sample("a")]) == [Failed("Expected 1 outcomes from the scorer, but got 0")]


def test_a_scorer_that_answers_wrongly_fails_its_items() -> None:
    class Odd(Length):
        def score(self, batch: Sequence[Sample]) -> Sequence[Outcome]:
            return [float("nan")] * len(batch)

    class Short(Length):
        def score(self, batch: Sequence[Sample]) -> Sequence[Outcome]:
            return [1.0] * (len(batch) - 1)

    from evalsvc.testing import make_sample

    samples = [make_sample(str(i)) for i in range(5)]
    assert all(isinstance(outcome, Failed) for scorer in (Odd(), Short()) for outcome in score_all(scorer, samples))


def test_a_stop_is_not_held_up_by_a_slow_scorer_and_loses_nothing(caplog: pytest.LogCaptureFixture) -> None:
    class Slow(Length):
        wait = 0.15

        def cost(self, sample: Sample) -> int:
            return BATCH_COST // 5

        def score(self, batch: Sequence[Sample]) -> Sequence[Outcome]:
            time.sleep(self.wait)
            return super().score(batch)

    store, log, slow = MemoryStore(), filled(400), Slow()
    hasty = WorkerSettings(max_batch=10, flush_seconds=0.01, poll_seconds=0.01, drain_seconds=0.4, queue_batches=2)
    design = Design(consumer="c")
    run = worker(log, store, scorers=[ScorerEntry(slow)], settings=hasty, design=design, max_records=10)
    before = {*threading.enumerate()}
    timer = threading.Timer(0.8, run.stop)
    timer.start()
    began = time.monotonic()
    status = run.run()
    assert 1.1 < time.monotonic() - began < 2.2
    assert "stopped_before_written" in caplog.text
    assert set(threading.enumerate()) <= before, "a thread works on"
    assert 0 < status.sampled < 400
    assert sum(log.committed.values()) == status.read
    Slow.wait = 0.0
    again = worker(log, store, scorers=[ScorerEntry(slow)], settings=QUICK, design=design).run()
    assert status.read + again.read == 400
    assert scored(store)[0] == 400


@pytest.mark.parametrize(
    ("costs", "sizes"),
    [
        ([4, 4, 4], [2, 1]),
        ([9, 2, 1], [1, 2]),
        ([1, 20, 1], [1, 1, 1]),
        ([], []),
        ([10], [1]),
        ([1, None, 1], [1, 1, 1]),
    ],
)
def test_batches_are_cut_by_cost(costs: list[int], sizes: list[int]) -> None:
    class Costly(Length):
        def cost(self, sample: Sample) -> int:
            return costs[int(sample.event.event_id)]

    from evalsvc.testing import make_sample

    samples = [make_sample(event_id=str(place)) for place in range(len(costs))]
    batches = list(cut_by_cost(Costly(), samples, 10))
    assert [len(batch) for batch in batches] == sizes
    assert [sample for batch in batches for sample in batch] == samples


@pytest.mark.parametrize(
    ("asked", "sizes"),
    [(25, [2, 2, 1]), (10**6, [5]), (None, [3, 2]), (0, [3, 2]), (-1, [3, 2]), ("many", [3, 2]), (2.5, [3, 2])],
)
def test_a_scorer_can_ask_for_another_bound_and_gets_the_usual_one_for_nonsense(asked, sizes, monkeypatch) -> None:
    class Asks(Length):
        batch_cost = asked

        def cost(self, sample: Sample) -> int:
            return 10

    from evalsvc.testing import make_sample

    monkeypatch.setattr("evalsvc.scoring.BATCH_COST", 30)
    samples = [make_sample(event_id=str(place)) for place in range(5)]
    assert [len(batch) for batch in cut_by_cost(Asks(), samples)] == sizes


def test_too_many_dead_letters_stop_the_worker_before_they_are_written() -> None:
    store = MemoryStore()
    log = filled(400, lambda i: message(i) if i < 200 else b"{broken")
    strict = WorkerSettings(max_batch=7, flush_seconds=0.02, poll_seconds=0.01, dead_min_records=50, dead_window=100)
    with pytest.raises(TooManyDeadLetters, match="max_ratio"):
        worker(log, store, settings=strict).run()
    assert len(letters_of(store)) < 50
    assert sum(log.committed.values()) < 260


STRICT = WorkerSettings(max_batch=7, flush_seconds=0.02, poll_seconds=0.01, dead_min_records=50, dead_window=100)


def test_restarts_do_not_bury_a_topic_bit_by_bit() -> None:
    store = MemoryStore()
    log = filled(2000, lambda i: message(i) if i < 400 else b"{broken")
    for _ in range(30):
        with pytest.raises(TooManyDeadLetters, match="max_ratio"):
            worker(log, store, settings=STRICT, max_records=5).run()
    assert len(letters_of(store)) < 50


def test_a_consumer_that_never_read_fifty_records_is_not_buried_by_restarts_either() -> None:
    class Dies(MemoryStore):
        def write(self, batch: WriteBatch) -> None:
            super().write(batch)
            if batch.dead_letters:
                raise Crash

    store, log = Dies(), filled(600, lambda i: b"{broken")
    ends = []
    for _ in range(40):
        with pytest.raises((Crash, TooManyDeadLetters)) as caught:
            worker(log, store, settings=STRICT, max_records=5).run()
        ends.append(caught.type)
    assert ends[-1] is TooManyDeadLetters
    assert len(letters_of(store)) < 110


def test_a_mended_producer_is_not_held_up_by_its_past() -> None:
    store = MemoryStore()
    log = filled(200, lambda i: b"{broken")
    lax = WorkerSettings(max_batch=7, flush_seconds=0.02, poll_seconds=0.01, max_dead_ratio=1.0, dead_min_records=50)
    assert worker(log, store, settings=lax).run().dead == 200
    for number in range(200, 260):
        log.append(message(number))
    assert worker(log, store, settings=STRICT).run().read == 60


def test_dead_letters_name_their_place_and_never_their_text() -> None:
    store = MemoryStore()
    log = filled(20, lambda i: message(i, surprise="hunter2") if i % 4 == 0 else message(i))
    lax = WorkerSettings(max_batch=7, flush_seconds=0.02, poll_seconds=0.01)
    status = worker(log, store, settings=lax, design=Design(consumer="c")).run()
    assert status.dead == 5
    assert "hunter2" not in repr(letters_of(store))
    assert {(letter.partition, letter.offset) for letter in letters_of(store)} == {
        (f"memory/{i % 2}", i // 2) for i in range(0, 20, 4)
    }


def test_same_content_twice_is_a_duplicate_and_other_content_a_dead_letter() -> None:
    store, log = MemoryStore(), MemoryLog(["p/0"])
    for value in (message(1), message(2), message(1), message(2, response="other")):
        log.append(value)
    lax = WorkerSettings(max_batch=100, flush_seconds=0.02, poll_seconds=0.01)
    status = worker(log, store, settings=lax, design=Design(consumer="c"), source=MemorySource(log, finite=True)).run()
    assert (status.sampled, status.duplicate, status.dead) == (2, 1, 1)
    assert scored(store)[0] == 2
    log.append(message(1))
    again = worker(log, store, settings=lax, design=Design(consumer="c"), source=MemorySource(log, finite=True)).run()
    assert again.duplicate == 1
    assert [letter.reason for letter in letters_of(store)] == ["conflicting_duplicate"]


def test_other_kinds_are_kept_and_not_scored() -> None:
    store = MemoryStore()
    feedback = {"kind": "feedback", "subject_id": "e0", "data": {"rating": 5}}
    log = filled(30, lambda i: message(i, **feedback) if i % 3 == 0 else message(i))
    status = worker(log, store).run()
    assert (status.kept, status.read) == (10, 30)
    assert set(store.known([f"e{i}" for i in range(0, 30, 3)], "c")) == {f"e{i}" for i in range(0, 30, 3)}
    assert scored(store)[0] == status.sampled


def test_masking_stands_before_the_first_write() -> None:
    seen: list[WriteBatch] = []

    class Watching(MemoryStore):
        def write(self, batch: WriteBatch) -> None:
            seen.append(batch)
            super().write(batch)

    log = filled(5, lambda i: message(i, prompt="I am jane.doe@example.com", response="Call jane.doe@example.com"))
    worker(log, Watching(), design=Design(consumer="c"), masker=Masker(MaskingPolicy(), KEY)).run()
    assert seen
    assert "jane.doe" not in repr([[(e.sample.event.prompt, e.sample.event.response) for e in b.events] for b in seen])


def test_nested_scorer_rate_scores_a_subset_with_its_own_pi() -> None:
    store = MemoryStore()
    worker(filled(2000), store, scorers=[ScorerEntry(Length(), 0.1)]).run()
    subset = {i for i in taken(2000) if draw("c", i) < 0.03 * SPAN}
    (group,) = store.cells(CellQuery("length", SPAN_OF_TEST, int(SPAN_OF_TEST.seconds)))
    assert sum(cell.n for cell in group.cells) == len(subset)
    assert [cell.pi for cell in group.cells] == [pytest.approx(0.03)]
    assert offered(store)[:2] == (2000, len(taken(2000)))


def test_a_changed_design_needs_a_new_version() -> None:
    store = MemoryStore()
    worker(filled(10), store).run()
    with pytest.raises(ConfigError, match=r"sampling.version: 2"):
        worker(filled(10), store, design=Design(consumer="c", rate=0.9, strata=("application",))).run()


def test_stratum_names_hold_no_personal_data_not_even_of_events_that_are_not_taken() -> None:
    store = MemoryStore()
    log = filled(200, lambda i: message(i, segments={"customer": "ada.love@example.org"}))
    design = Design(consumer="c", rate=0.1, strata=("application", "segments.customer"))
    worker(log, store, design=design, masker=Masker(MaskingPolicy(), KEY)).run()
    rows = store.offered(SPAN_OF_TEST, int(SPAN_OF_TEST.seconds))
    assert sum(row.offered for row in rows) == 200
    assert "ada.love" not in repr(rows) + repr(store._ledger) + repr(store._scores)
    by_segment = store.cells(CellQuery("length", SPAN_OF_TEST, int(SPAN_OF_TEST.seconds), ("segments.customer",)))
    assert {f"application=support,segments.customer={group.key['segments.customer']}" for group in by_segment} == {
        row.stratum for row in rows
    }


def test_an_event_that_cannot_be_masked_is_a_dead_letter_without_its_text(caplog: pytest.LogCaptureFixture) -> None:
    class Breaking(Plain):
        def mask_event(self, event: Event) -> Event:
            if event.event_id == "e7":
                raise RuntimeError("cannot mask hunter2")
            return event

    store = MemoryStore()
    status = worker(filled(20), store, masker=Breaking(), design=Design(consumer="c")).run()
    assert (status.dead, status.sampled) == (1, 19)
    assert "hunter2" not in repr(letters_of(store)) + caplog.text


def test_a_record_with_an_impossible_time_is_a_dead_letter_and_no_more() -> None:
    log, store = MemoryLog(["p/0"]), MemoryStore()
    for number, timestamp in enumerate([1_700_000_000_000_000, -5, int(NOW.timestamp() * 1000)]):
        log.append(message(number), timestamp=timestamp)
    status = worker(log, store, source=MemorySource(log, finite=True), design=Design(consumer="c")).run()
    assert (status.dead, status.sampled, log.committed) == (2, 1, {"p/0": 3})


def test_a_store_that_lost_its_latest_rows_is_filled_again() -> None:
    log, store = filled(100), MemoryStore()
    worker(log, store).run()
    lost = MemoryStore()
    half = MemoryLog()
    half.records = {name: records[:25] for name, records in log.records.items()}
    worker(half, lost).run()
    worker(log, lost).run()
    assert offered(lost) == offered(store)


def test_a_new_design_may_look_at_new_fields_while_an_old_worker_runs() -> None:
    log, store = filled(400), MemoryStore()
    slow = Rule("slow", (Condition("latency_ms", "gte", number=1000),))
    tending = WorkerSettings(max_batch=7, flush_seconds=0.02, poll_seconds=0.01, tend_seconds=0.0)
    Designs(store, DESIGN).begin(NOW - timedelta(days=1))
    Designs(store, Design(consumer="c", rate=0.3, strata=("application",), version=2, always=(slow,))).begin(
        NOW - timedelta(days=1)
    )
    assert worker(log, store, settings=tending).run().read == 400


def test_a_new_version_holds_later_only() -> None:
    store = MemoryStore()
    worker(filled(300), store).run()
    doubled = Design(consumer="c", rate=1.0, version=2, strata=("application",))
    log = MemoryLog(["later/0"])
    for number in range(300):
        log.append(message(1000 + number))
    status = worker(log, store, design=doubled).run()
    ids = {f"e{1000 + i}" for i in range(300)}
    assert status.sampled == sum(draw("c", i) < 0.3 * SPAN for i in ids)


def test_a_wrong_pi_shows() -> None:
    class Lying(MemoryStore):
        """Remembers another rate than the one that the worker samples with, as a hand in the database would."""

        def designs(self, consumer: str) -> Any:
            found = super().designs(consumer)
            return (
                [(v, since, text.replace('"rate":0.3', '"rate":0.1')) for v, since, text in found]
                if self.lie
                else found
            )

        lie = False

    store, log = Lying(), filled(3000)
    worker(log, store).run()
    assert Designs(store, DESIGN).faults(NOW + timedelta(minutes=1)) == []
    store.lie = True
    (fault,) = Designs(store, DESIGN).faults(NOW + timedelta(minutes=1))
    assert (fault.offered, fault.taken, fault.pi) == (3000, len(taken(3000)), 0.1)


def test_the_worker_says_so_while_it_runs() -> None:
    log, store = filled(200), MemoryStore()
    tending = WorkerSettings(max_batch=7, flush_seconds=0.02, poll_seconds=0.01, tend_seconds=0.0)
    run = worker(log, store, settings=tending)
    run.run()
    assert run.metrics.registry.get_sample_value("evalsvc_sampling_faults", {"consumer": "c"}) == 0.0


def test_filtered_events_are_not_offered() -> None:
    store = MemoryStore()
    design = Design(consumer="c", keep=(Rule("s", (Condition("application", "in", ("other",)),)),))
    status = worker(filled(40), store, design=design).run()
    assert (status.filtered, offered(store)) == (40, (0, 0, 0))


def test_a_source_that_is_down_is_waited_for() -> None:
    class Late(MemorySource):
        tries = 0

        def open(self, assignment: Any) -> None:
            self.tries += 1
            if self.tries < 4:
                raise SourceUnavailable("No broker")
            super().open(assignment)

    log = filled(20)
    source = Late(log, finite=True)
    assert worker(log, MemoryStore(), source=source).run().read == 20
    assert source.tries == 4


def test_a_source_that_hangs_is_named_at_once(caplog: pytest.LogCaptureFixture) -> None:
    hung = threading.Event()

    class Hangs(MemorySource):
        address = "Kafka at localhost:9092"

        def open(self, assignment: Any) -> None:
            hung.wait(20)
            raise SourceUnavailable("No broker")

    log = filled(5)
    quick = WorkerSettings(poll_seconds=0.01, notice_seconds=0.05, retry_seconds=0.01)
    run = worker(log, MemoryStore(), source=Hangs(log, finite=True), settings=quick)
    assert (run.status().alive, run.status().ready) == (True, False)
    with caplog.at_level("INFO", logger="evalsvc"):
        thread = threading.Thread(target=run.run)
        thread.start()
        deadline = time.monotonic() + 10
        while "has not answered" not in caplog.text and time.monotonic() < deadline:
            time.sleep(0.01)
        assert run.status().waiting_for == "Kafka at localhost:9092"
        run.stop()
        hung.set()
        thread.join()
    assert "Kafka at localhost:9092 has not answered yet; see that it is up" in caplog.text
    assert "stopped_while_waiting for=Kafka at localhost:9092" in caplog.text


def test_a_scorer_that_loads_long_is_named() -> None:
    seen = []

    class Slow(Length):
        def load(self) -> None:
            seen.append(run.status().waiting_for)

    run = worker(filled(5), MemoryStore(), scorer=Slow())
    assert run.run().waiting_for == ""
    assert seen == ["scorer length to load"]


def test_a_store_without_a_ledger_goes_on_at_the_commit() -> None:
    log = filled(40)
    log.committed = {"memory/0": 15, "memory/1": 20}
    assert worker(log, MemoryStore()).run().read == 5


def test_old_files_may_be_replayed_without_an_age_limit() -> None:
    def old() -> MemoryLog:
        return filled(10, lambda i: message(i, occurred_at="2021-01-01T00:00:00Z"))

    anyage = WorkerSettings(max_batch=7, flush_seconds=0.02, time_limits=TimeLimits(age_days=None))
    assert worker(old(), MemoryStore(), settings=anyage).run().dead == 0
    assert worker(old(), MemoryStore()).run().dead == 10


class DownAtFirst(Length):
    """Answers nothing before it is told to."""

    up = False

    def score(self, batch: Sequence[Sample]) -> Sequence[Outcome]:
        self.asked.update(sample.event.event_id for sample in batch)
        return [float(len(s.event.response)) if self.up or s.event.event_id < "e3" else Failed("down") for s in batch]


def test_progress_tells_what_is_scored_now_and_what_took_how_long() -> None:
    seen: list[WorkerProgress] = []

    class Stepped(SystemClock):
        ahead = 0.0

        def monotonic(self) -> float:
            return super().monotonic() + self.ahead

    class Slow(Length):
        spec = ScorerSpec("slow", 1, Scale(0.0, None, "neither"))

        def load(self) -> None:
            seen.append(running.progress())

        def score(self, batch: Sequence[Sample]) -> Sequence[Outcome]:
            clock.ahead += 1000.0
            seen.append(running.progress())
            return super().score(batch)

    clock, scorers = Stepped(), [ScorerEntry(Length()), ScorerEntry(Slow())]
    running = worker(filled(5), MemoryStore(), scorers=scorers, clock=clock, design=Design(consumer="c", rate=1.0))
    running.run()
    loading, first, after = seen[0], seen[1], running.progress()
    assert (loading.read, loading.doing, dict(loading.scorer_seconds)) == (0, "loading slow", {})
    assert (first.read, first.scores, first.doing) == (5, 0, "slow")
    assert set(first.scorer_seconds) == {"length", "slow"}
    assert first.scorer_seconds["length"] < 1000.0 <= first.scorer_seconds["slow"] == first.doing_seconds
    assert (after.scores, after.doing) == (10, "")
    assert after.scorer_seconds["slow"] >= 1000.0 * (len(seen) - 1)


def test_a_wrong_number_of_outcomes_is_said_once_a_minute(
    caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    class OneForAll(Length):
        spec = ScorerSpec("one_for_all", 1, Scale(0.0, None, "neither"))

        def score(self, batch: Sequence[Sample]) -> Sequence[Outcome]:
            return [1.0]

    class TwoForEach(Length):
        spec = ScorerSpec("two_for_each", 1, Scale(0.0, None, "neither"))

        def score(self, batch: Sequence[Sample]) -> Sequence[Outcome]:
            return [1.0, 2.0] * len(batch)

    from evalsvc.testing.samples import make_sample

    clock, samples = ManualClock(), [make_sample(f"text-{n}") for n in range(8)]
    monkeypatch.setattr(scoring, "_miscounts", scoring.Miscounts(clock.monotonic))
    said = "wrong_number_of_outcomes metric=one_for_all expected=8 got=1"

    def lines() -> list[str]:
        found = [record.getMessage() for record in caplog.records if record.levelname == "ERROR"]
        caplog.clear()
        return found

    assert score_all(OneForAll(), samples) == [1.0] * 8
    assert [line.partition(";")[0] for line in lines()] == [said]
    clock.advance(scoring.MISCOUNT_SECONDS - 1)
    score_all(OneForAll(), samples)
    assert lines() == []
    assert all(isinstance(outcome, Failed) for outcome in score_all(TwoForEach(), samples))
    (line,) = lines()
    assert "metric=two_for_each expected=8 got=16" in line
    clock.advance(1)
    score_all(OneForAll(), samples)
    assert [line.partition(";")[0] for line in lines()] == [said]


def test_what_failed_is_scored_again_and_nothing_else_is_written_or_counted() -> None:
    log, store, scorer = filled(300, lambda n: message(n) if n != 299 else b"no event"), MemoryStore(), DownAtFirst()
    worker(log, store, scorer=scorer).run()
    ids = taken(299)
    early = {name for name in ids if name < "e3"}
    before = offered(store), store.outcomes("c"), letters_of(store), store.known(sorted(ids), "c")
    assert scored(store) == (len(early), expected_total(early), len(ids - early))
    scorer.up, scorer.asked = True, Counter()
    told: list[WriteBatch] = []
    status = worker(log, store, scorer=scorer, again=("failed",), on_written=told.append).run()
    assert scored(store) == (len(ids), expected_total(ids), 0)
    assert scorer.asked == Counter(ids - early)
    assert (offered(store), store.outcomes("c"), letters_of(store), store.known(sorted(ids), "c")) == before
    assert (status.read, status.scores) == (300, len(ids - early)) == (300, sum(len(batch.scores) for batch in told))
    assert worker(log, store, scorer=scorer, again=("failed",)).run().scores == 0


def test_scores_tried_again_take_no_event_that_was_not_read_before() -> None:
    store, scorer = MemoryStore(), DownAtFirst()
    assert worker(filled(50), store, scorer=scorer, again=("failed", "abstained")).run().scores == 0
    assert not scorer.asked
    assert (offered(store), store.known([f"e{i}" for i in range(50)], "c")) == ((0, 0, 0), {})
