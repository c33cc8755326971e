"""The hot loop: every record is counted once, under what became of it, whatever the cuts."""

from __future__ import annotations

import json
from collections import Counter
from datetime import UTC, datetime
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from evalsvc.ledger import CHUNK, ChunkLedger
from evalsvc.pipeline.intake import Draft, Intake, TimeLimits
from evalsvc.protocols import Chunk
from evalsvc.sampling import Condition, Design, Rule, Sampler
from evalsvc.sources._record import RawRecord
from evalsvc.sources.decode import make_skimmer
from evalsvc.store.memory import MemoryStore
from evalsvc.types import WriteBatch

NOON = datetime(2026, 3, 1, 12, tzinfo=UTC)
NOON_MS = int(NOON.timestamp() * 1000)
DESIGN = Design(
    consumer="c",
    rate=0.3,
    keep=(Rule("app", (Condition("application", "in", ("support",)),)),),
    strata=("model_version",),
)


def record(offset: int, timestamp: int = NOON_MS, **fields: Any) -> RawRecord:
    body = {"event_id": f"e{offset}", "occurred_at": "2026-03-01T12:00:00Z", "application": "support", **fields}
    return RawRecord(offset, json.dumps(body).encode(), timestamp)


def intake(design: Design = DESIGN, limits: TimeLimits | None = None) -> Intake:
    sampler = Sampler(design)
    reader = Intake("c", make_skimmer(design.fields), sampler.select, limits or TimeLimits())
    reader.assign("p", None)
    return reader


def counts(*drafts: Draft) -> Counter[str]:
    total: Counter[str] = Counter()
    for draft in drafts:
        for tally in draft.tallies:
            for (_, _, _, outcome), count in tally.settle().items():
                total[outcome] += count
    return total


def mixed(offset: int) -> RawRecord:
    """Some of everything that can come."""
    kinds: list[Any] = [
        lambda: record(offset),
        lambda: record(offset, model_version="2"),
        lambda: record(offset, application="other"),
        lambda: RawRecord(offset, b"{", NOON_MS),
        lambda: RawRecord(offset, None, NOON_MS),  # type: ignore[arg-type]
        lambda: record(offset, kind="feedback", subject_id="e0", data={"rating": 1}),
        lambda: record(offset, occurred_at="2026-03-01T13:00:00Z"),
        lambda: record(offset, occurred_at="2020-03-01T13:00:00Z"),
    ]
    return kinds[offset % 3 if offset % 5 else offset % 8]()


def test_every_record_has_one_outcome() -> None:
    reader = intake()
    records = [mixed(i) for i in range(800)]
    reader.take(Chunk("p", records))
    draft = reader.cut()
    total = counts(draft)
    assert sum(total.values()) == draft.records == 800
    assert set(total) == {"skipped", "sampled", "filtered", "dead", "kept"}
    assert total["sampled"] + total["kept"] == len(draft.items)
    assert total["dead"] == len(draft.dead)
    assert draft.positions == {"p": 800}


@given(st.lists(st.integers(1, 97), min_size=1, max_size=20))
def test_counts_do_not_depend_on_the_cuts(sizes: list[int]) -> None:
    records = [mixed(i) for i in range(sum(sizes))]
    whole, parted, drafts, begin = intake(), intake(), [], 0
    whole.take(Chunk("p", records))
    for size in sizes:
        parted.take(Chunk("p", records[begin : begin + size]))
        drafts.append(parted.cut())
        begin += size
    assert counts(whole.cut()) == counts(*drafts)
    ledgers = {id(tally.ledger) for draft in drafts for tally in draft.tallies}
    assert len(ledgers) == 1


def test_reasons_name_what_is_wrong() -> None:
    reader = intake()
    reader.take(
        Chunk(
            "p",
            [
                RawRecord(0, b"{", NOON_MS),
                record(1, occurred_at="2026-03-01T12:20:00Z"),
                record(2, occurred_at="2020-03-01T12:20:00Z"),
                record(3, kind="telemetry"),
                record(4, prompt="x" * (1 << 20)),
            ],
        )
    )
    letters = reader.cut().dead
    assert [letter.reason for letter in letters][1:] == ["future_time", "ancient_time", "unknown_kind", "too_large"]
    assert all("xxxx" not in letter.message for letter in letters)


def test_age_may_be_unlimited() -> None:
    reader = intake(limits=TimeLimits(age_days=None))
    reader.take(Chunk("p", [record(0, occurred_at="2020-03-01T12:20:00Z")]))
    assert reader.cut().dead == []


def test_chunks_end_at_fixed_offsets() -> None:
    reader = intake()
    reader.assign("p", ChunkLedger("c", "p", CHUNK - 5))
    reader.take(Chunk("p", [record(CHUNK - 5 + i) for i in range(10)]))
    tallies = reader.cut().tallies
    assert [(t.ledger.start, t.upto) for t in tallies] == [(CHUNK - 5, CHUNK), (CHUNK, CHUNK + 5)]


def test_a_gap_over_a_chunk_begins_at_the_chunk() -> None:
    reader = intake()
    reader.assign("p", ChunkLedger("c", "p", 0))
    reader.take(Chunk("p", [record(1), record(3 * CHUNK + 7)]))
    assert [t.ledger.start for t in reader.cut().tallies] == [0, 3 * CHUNK]


def test_revoked_partitions_leave_nothing() -> None:
    reader = intake(Design(consumer="c", rate=1.0))
    reader.assign("q", None)
    reader.take(Chunk("p", [record(0), RawRecord(1, b"?", NOON_MS)]))
    reader.take(Chunk("q", [record(0)]))
    reader.revoke("p")
    reader.take(Chunk("p", [record(2)]))
    draft = reader.cut()
    assert {item.partition for item in draft.items} == {"q"}
    assert (draft.dead, list(draft.positions)) == ([], ["q"])


def test_ledger_entries_are_prefix_counts() -> None:
    first, second = ChunkLedger("c", "p", 0), ChunkLedger("c", "p", 0)
    key = (1, "s", 1, "skipped")
    first.add({key: 3}, 5)
    entry = first.add({key: 4}, 9)
    assert (entry.start, entry.upto, entry.counts) == (0, 9, ((*key, 7),))
    later = ChunkLedger.restore(entry).add({(0, "s", 1, "sampled"): 1}, 10)
    whole = second.add({key: 7, (0, "s", 1, "sampled"): 1}, 10)
    assert later == whole
    assert [count.minute for count in whole.counts] == [0, 1]


def test_a_count_taken_back_to_nothing_is_not_written() -> None:
    entry = ChunkLedger("c", "p", 0).add({(1, "s", 1, "sampled"): 0}, 1)
    assert (entry.upto, entry.counts) == (1, ())


def test_of_two_owners_that_disagree_the_one_that_got_further_counts() -> None:
    store = MemoryStore()
    here, there = ChunkLedger("c", "p", 0), ChunkLedger("c", "p", 0)
    store.write(WriteBatch(ledger=(here.add({(1, "s", 1, "sampled"): 1, (1, "s", 1, "skipped"): 4}, 5),)))
    store.write(WriteBatch(ledger=(there.add({(1, "s", 1, "duplicate"): 1, (1, "s", 1, "skipped"): 5}, 6),)))
    store.write(WriteBatch(ledger=(here.add({}, 5),)))
    assert store.outcomes("c") == {"duplicate": 1, "skipped": 5}


@pytest.mark.parametrize(("seconds", "refused"), [(599, False), (3600, True)])
def test_future_limit(seconds: int, refused: bool) -> None:
    reader = intake()
    reader.take(Chunk("p", [record(0, timestamp=NOON_MS - seconds * 1000)]))
    assert bool(reader.cut().dead) is refused
