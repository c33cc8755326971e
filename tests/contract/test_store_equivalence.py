"""Random deliveries: every store answers as the reference does, and rolled-up answers equal raw ones."""

from __future__ import annotations

import random
from datetime import timedelta
from itertools import count
from unittest import mock

import msgspec
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from evalsvc.protocols import CellQuery
from evalsvc.store import MemoryStore, clickhouse, open_store
from evalsvc.store.bridge import Bridge
from evalsvc.store.cell_columns import columns_of
from evalsvc.testing.stores import MIDNIGHT, make_score
from evalsvc.types import LedgerCount, LedgerEntry, Window, WriteBatch

_numbers = count()

# Sums of these are exact in binary, so that the order of addition cannot show.
values = st.integers(-64, 640).map(lambda n: n / 64)
versions = st.one_of(values, st.sampled_from(["abstained", "failed"]))
scored = st.tuples(st.integers(0, 60), versions)
minutes = st.integers(0, 8 * 60)


@pytest.fixture(scope="module")
def stores(tmp_path_factory):
    folder = tmp_path_factory.mktemp("equivalence")
    with Bridge(folder) as bridge:
        embedded = open_store(f"embedded:{folder}?database=equivalence")
        address = bridge.url.removeprefix("http://")
        client = open_store(f"clickhouse://x:{bridge.token}@{address}/equivalence?margin=0")
        yield embedded, client
        client.close()
        embedded.close()


def score_of(index, version, metric):
    if isinstance(version, str):
        return make_score(index, None, metric, status=version)
    score = make_score(index, version, metric)
    # Whole numbers, whose sums are exact in any order.
    statistics = (float(index % 7), float(index % 3)) if index % 4 else ()
    return msgspec.structs.replace(score, statistics=statistics)


@st.composite
def deliveries(draw):
    """Batches of scores, redelivered with other boundaries, in another order, some with another outcome."""
    items = draw(st.lists(scored, min_size=1, max_size=60))
    again = items + draw(st.lists(st.sampled_from(items), max_size=60))
    order = draw(st.permutations(again))
    cuts = sorted(draw(st.lists(st.integers(0, len(order)), max_size=4)))
    return [order[a:b] for a, b in zip([0, *cuts], [*cuts, len(order)], strict=True)]


@st.composite
def questions(draw):
    start = draw(minutes)
    length = draw(st.integers(1, 6 * 60))
    return {
        "window": Window(MIDNIGHT + timedelta(minutes=start), MIDNIGHT + timedelta(minutes=start + length)),
        "step_seconds": draw(st.sampled_from([900, 3600, 5400, 7200, 86_400])),
        "by": tuple(draw(st.sets(st.sampled_from(["application", "model_version", "segments.tier", "consumer"])))),
        "where": draw(st.sampled_from([{}, {"segments.language": ("de",)}, {"application": ("app-1", "app-2")}])),
        "clusters": draw(st.booleans()),
    }


def sums_of(groups):
    """Return groups with their sums as lists, whatever sequences the store gives."""
    return [
        (group, {cell: sums._replace(total=[*sums.total], products=[*sums.products]) for cell, sums in held.items()})
        for group, held in groups
    ]


def plain(columns):
    return [column.tolist() if hasattr(column, "tolist") else list(column) for column in columns]


def listed(groups):
    return [(group, {cell: [*total] for cell, total in sums.items()}) for group, sums in groups]


@pytest.mark.slow
@settings(
    max_examples=25,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
    derandomize=True,
)
@given(batches=deliveries(), asked=st.lists(questions(), min_size=1, max_size=3), early=questions())
def test_any_delivery_gives_the_reference_answer(stores, batches, asked, early):
    metric = f"metric-{next(_numbers)}"
    reference = MemoryStore()
    for place, batch in enumerate(batches):
        scores = WriteBatch(scores=tuple(score_of(index, version, metric) for index, version in batch))
        reference.write(scores)
        stores[place % 2].write(scores)
        # A read between two writes settles rollups, which the next write makes stale.
        stores[(place + 1) % 2].cells(CellQuery(metric, **early))
    for question in asked:
        query = CellQuery(metric, **question)
        expected = reference.cells(query)
        expected_bins = reference.histograms(query)
        for store in stores:
            assert store.cells(query) == expected
            assert store.cells(query, raw=True) == expected
            assert plain(store.cell_columns([metric], query)) == plain(columns_of({metric: expected}))
            with mock.patch.object(clickhouse, "MOST_CELLS", -1):
                assert plain(store.cell_columns([metric], query)) == plain(columns_of({metric: expected}))
            assert store.histograms(query) == expected_bins
            assert store.histograms(query, raw=True) == expected_bins
            assert sums_of(store.statistics(query)) == sums_of(reference.statistics(query))
            assert listed(store.feature_sums(query)) == listed(reference.feature_sums(query))
            assert listed(store.feature_sums(query, raw=True)) == listed(reference.feature_sums(query))
            assert store.missing(query, 100) == reference.missing(query, 100)


ledger_counts = st.dictionaries(
    st.tuples(
        st.integers(0, 3).map(lambda n: int(MIDNIGHT.timestamp()) // 60 + 45 * n),
        st.sampled_from(["a", "b"]),
        st.just(1),
        st.sampled_from(["sampled", "skipped", "duplicate", "dead"]),
    ),
    st.integers(1, 1 << 40),
    max_size=12,
).map(lambda found: tuple(LedgerCount(*key, count) for key, count in sorted(found.items())))
ledger_entries = st.builds(
    LedgerEntry,
    consumer=st.just("ledger"),
    partition=st.sampled_from(["t/0", "t/1"]),
    start=st.sampled_from([0, 100]),
    upto=st.integers(101, 104),
    counts=ledger_counts,
)


@settings(
    max_examples=15,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
    derandomize=True,
)
@given(entries=st.lists(ledger_entries, min_size=1, max_size=30), seed=st.integers(0, 2**16))
def test_ledger_in_any_order_gives_the_reference_answer(stores, entries, seed):
    consumer = f"ledger-{next(_numbers)}"
    # Two owners that disagree never reach the same place with the same words: one entry an `upto`.
    unlike = {(entry.partition, entry.start, entry.upto): entry for entry in entries}
    entries = [msgspec.structs.replace(entry, consumer=consumer) for entry in unlike.values()]
    reference = MemoryStore()
    reference.write(WriteBatch(ledger=tuple(entries)))
    shuffled = random.Random(seed).sample(entries * 2, len(entries) * 2)
    for place in range(0, len(shuffled), 7):
        stores[place % 2].write(WriteBatch(ledger=tuple(shuffled[place : place + 7])))
    window = Window(MIDNIGHT, MIDNIGHT + timedelta(hours=3))
    for store in stores:
        for partition in ("t/0", "t/1"):
            assert store.resume(consumer, partition) == reference.resume(consumer, partition)
        assert store.outcomes(consumer) == reference.outcomes(consumer)
        assert store.offered(window, 3600, consumer) == reference.offered(window, 3600, consumer)
        assert store.offered(window, 3600 * 3, consumer) == reference.offered(window, 3600 * 3, consumer)


def test_ids_of_any_characters_are_found(stores):
    @settings(max_examples=30, deadline=None, derandomize=True)
    @given(st.lists(st.text(min_size=1), min_size=1, max_size=5, unique=True))
    def check(ids):
        from evalsvc.testing.stores import _kept

        assert stores[0].known(ids, "absent") == {}
        stores[1].write(WriteBatch(events=tuple(_kept(name, 3) for name in ids)))
        assert set(stores[0].known(ids, "quality")) == set(ids)
        assert set(stores[1].known(ids, "quality")) == set(ids)

    check()


def test_what_utf8_cannot_hold_is_stored_all_the_same(stores):
    from evalsvc.testing.stores import _kept

    lone = "id-\ud800"
    score = make_score(0, 1.0, "surrogates")
    odd = msgspec.structs.replace(score.subject, event_id=lone, segments={"tier": "\udfff"})
    for store in stores:
        store.write(WriteBatch(events=(_kept(lone, 3),), scores=(msgspec.structs.replace(score, subject=odd),)))
        assert set(store.known([lone], "quality")) == {lone}
    window = Window(MIDNIGHT, MIDNIGHT + timedelta(hours=1))
    (group,) = stores[0].cells(CellQuery("surrogates", window, 3600, ("segments.tier",)))
    assert group.key == {"segments.tier": "?"}
    assert group.cells[0].n == 1


@pytest.mark.parametrize("name", ["it's", 'a"b', "back\\slash", "new\nline FORMAT Native", "nul\0", "✓ü', 'x', 0), ('"])
def test_a_metric_of_any_name_is_settled_like_others(stores, name):
    window = Window(MIDNIGHT, MIDNIGHT + timedelta(hours=2))
    for place, store in enumerate(stores):
        store.write(WriteBatch(scores=(make_score(place, 1.0, name),)))
        groups = store.cells(CellQuery(name, window, 7200))
        assert sum(cell.n for group in groups for cell in group.cells) == place + 1
    stores[0].settle()
    assert stores[0].settle() == 0
