"""The store contract on every store; and each check fails on a store that breaks what it promises."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from itertools import count

import msgspec
import pytest

from evalsvc.store import MemoryStore, open_store
from evalsvc.store.bridge import Bridge
from evalsvc.testing import stores as contract
from evalsvc.testing.stores import STORE_CHECKS, check_store
from evalsvc.types import Cell, WriteBatch

SERVER = os.environ.get("EVALSVC_TEST_CLICKHOUSE_URL", "")
_numbers = count()


@pytest.fixture(scope="module", params=["memory", "embedded", "bridge", "server"])
def factory(request, tmp_path_factory) -> Iterator[Callable]:
    """Make fresh, empty stores of one kind: on one folder, each in a database of its own."""
    kind = request.param
    if kind == "memory":
        yield MemoryStore
    elif kind == "server":
        if not SERVER:
            pytest.skip("EVALSVC_TEST_CLICKHOUSE_URL names no server")
        base, _, options = SERVER.partition("?")
        root = base.rsplit("/", 1)[0] if base.count("/") > 2 else base
        yield lambda: open_store(f"{root}/evalsvc_test_{os.getpid()}_{next(_numbers)}?{options}", migrate=True)
    else:
        folder = tmp_path_factory.mktemp("store")
        with Bridge(folder) as bridge:
            address = f"clickhouse://x:{bridge.token}@{bridge.url.removeprefix('http://')}"
            embedded = f"embedded:{folder}?database="
            prefix, suffix = (f"{address}/", "?margin=0") if kind == "bridge" else (embedded, "")
            yield lambda: open_store(f"{prefix}test{next(_numbers)}{suffix}", migrate=True)


@pytest.mark.parametrize("check", STORE_CHECKS, ids=lambda check: check.__name__.removeprefix("check_"))
def test_store_holds_contract(factory, check):
    store = factory()
    try:
        check(store)
    finally:
        store.close()


class AppendsTwice(MemoryStore):
    """Counts a redelivered score again."""

    def write(self, batch):
        super().write(batch)
        for place, score in enumerate(batch.scores):
            self._scores[(*score.identity, place, len(self._scores))] = (0, score)


class LastWins(MemoryStore):
    """Lets the order of arrival decide."""

    def write(self, batch):
        for score in batch.scores:
            for key in [key for key in self._scores if key[:5] == score.identity]:
                del self._scores[key]
        super().write(batch)


class CountsFailureAsZero(MemoryStore):
    def cells(self, query):
        return [
            group._replace(cells=[msgspec.structs.replace(cell, n=cell.n + cell.n_failed) for cell in group.cells])
            for group in super().cells(query)
        ]


class ClosedWindows(MemoryStore):
    """Takes a window's end into it."""

    def cells(self, query):
        from datetime import timedelta

        window = msgspec.structs.replace(query.window, end=query.window.end + timedelta(microseconds=1))
        return super().cells(query._replace(window=window))


class IgnoresWhere(MemoryStore):
    def cells(self, query):
        return super().cells(query._replace(where={}))


class PoolsVersions(MemoryStore):
    def write(self, batch):
        scores = [msgspec.structs.replace(score, scorer_version=1) for score in batch.scores]
        super().write(WriteBatch(batch.events, tuple(scores), batch.dead_letters, batch.ledger))


class NoClusters(MemoryStore):
    def cells(self, query):
        return super().cells(query._replace(clusters=False))


class CutsSessions(MemoryStore):
    """Reads each window by the hour."""

    def cells_since(self, metrics, query, starts):
        return super().cells_since(metrics, query._replace(clusters=False), starts)


class OneVersion(MemoryStore):
    def versions(self, metrics, window):
        return dict.fromkeys(super().versions(metrics, window), 1)


class CountsEveryScorer(MemoryStore):
    def group_counts(self, metrics, query):
        steps = int(query.window.seconds) + 1
        return {m: len(self.cells(query._replace(metric=m, step_seconds=steps))) for m in metrics}


class DropsNegativeBins(MemoryStore):
    def histograms(self, query):
        return [
            group._replace(bins={key: {b: n for b, n in bins.items() if b >= 0} for key, bins in group.bins.items()})
            for group in super().histograms(query)
        ]


class SumsEveryEventAlone(MemoryStore):
    def statistics(self, query):
        return super().statistics(query._replace(clusters=False))


class SumsTheFirstFeatureOnly(MemoryStore):
    def feature_sums(self, query):
        return [
            group._replace(sums={key: held[:1] for key, held in group.sums.items()})
            for group in super().feature_sums(query)
        ]


class MixesUpGroups(MemoryStore):
    def cell_columns(self, metrics, query):
        found = super().cell_columns(metrics, query)
        return found._replace(group=found.group[::-1])


class ScoresWithoutStatistics(MemoryStore):
    def scores(self, query, limit):
        return [msgspec.structs.replace(score, statistics=()) for score in super().scores(query, limit)]


class CountsOnlyFailures(MemoryStore):
    def missing(self, query, limit):
        return [why for why in super().missing(query, limit) if why.status == "failed"]


class RemembersWhatFailedFirst(MemoryStore):
    def __init__(self):
        super().__init__()
        self._failed = set()

    def write(self, batch):
        super().write(batch)
        self._failed |= {score.subject.event_id for score in batch.scores if score.status == "failed"}

    def with_status(self, query, event_ids):
        return self._failed & set(event_ids)


class StaleRollups(MemoryStore):
    """Remembers the first answer to a question."""

    def __init__(self):
        super().__init__()
        self._answers = {}

    def cells(self, query):
        key = (query.metric, query.window, query.step_seconds, query.by, query.clusters)
        return self._answers.setdefault(key, super().cells(query)) if not query.where else super().cells(query)


class LedgerOverwrites(MemoryStore):
    def _keep_ledger(self, entry):
        self._ledger[(entry.consumer, entry.partition, entry.start)] = entry


class LedgerAdds(MemoryStore):
    """Sums every delivery."""

    def offered(self, window, step_seconds, consumer=None):
        return [
            row._replace(offered=row.offered + row.sampled) for row in super().offered(window, step_seconds, consumer)
        ]


class KeepsTheLast(MemoryStore):
    def write(self, batch):
        super().write(batch)
        for kept in batch.events:
            self._masked[kept.sample.consumer, kept.sample.event.event_id] = (0, kept.sample.event)


class KnowsEverybody(MemoryStore):
    def known(self, event_ids, consumer):
        return super().known(event_ids, "quality")


class CountsEveryPartition(MemoryStore):
    def dead_letters_in(self, consumer, partition, start, end):
        return sum(start <= offset < end for _, _, offset in self._dead_letters)


class ListsOldestFirst(MemoryStore):
    def dead_letters(self, query, limit):
        return list(super().dead_letters(query, 1000))[::-1][:limit]


class ForgetsConflict(MemoryStore):
    def record_design(self, consumer, version, effective_from, design):
        self._designs[(consumer, version)] = (effective_from, design)


class OneSignature(MemoryStore):
    def record_scorers(self, specs):
        self._specs.update({(spec.metric, spec.version, ""): spec for spec in specs})


class ClosesOnce(MemoryStore):
    closed = False

    def close(self):
        if self.closed:
            raise RuntimeError("closed")
        self.closed = True


PLANTED = {
    "same_score_counts_once": AppendsTwice,
    "order_of_versions_is_no_matter": LastWins,
    "unscored_is_counted": CountsFailureAsZero,
    "windows_are_half_open": ClosedWindows,
    "groups_and_filters": IgnoresWhere,
    "versions_are_not_pooled": PoolsVersions,
    "cluster_moments": NoClusters,
    "cells_since": CutsSessions,
    "group_counts": CountsEveryScorer,
    "versions": OneVersion,
    "histograms": DropsNegativeBins,
    "statistics": SumsEveryEventAlone,
    "feature_sums": SumsTheFirstFeatureOnly,
    "cell_columns": MixesUpGroups,
    "scores": ScoresWithoutStatistics,
    "missing_reasons": CountsOnlyFailures,
    "statuses": RemembersWhatFailedFirst,
    "rollups_follow_writes": StaleRollups,
    "ledger_resumes": LedgerOverwrites,
    "offered_is_exact": LedgerAdds,
    "known_events": KnowsEverybody,
    "events": KeepsTheLast,
    "dead_letters_are_counted_by_place": CountsEveryPartition,
    "dead_letters_are_listed": ListsOldestFirst,
    "designs": ForgetsConflict,
    "scorers": OneSignature,
}


@pytest.mark.parametrize(("name", "bad"), PLANTED.items(), ids=list(PLANTED))
def test_each_check_fails_on_a_planted_bad_store(name, bad):
    with pytest.raises(AssertionError):
        getattr(contract, f"check_{name}")(bad())


def test_closing_twice_is_checked():
    with pytest.raises(RuntimeError):
        check_store(ClosesOnce)


def test_every_check_has_a_planted_bad_store():
    named = {check.__name__.removeprefix("check_") for check in STORE_CHECKS}
    assert named - set(PLANTED) == {"dead_letters_and_empty_batches"}


def test_cell_defaults_say_no_clusters():
    assert Cell("s", 1, 1.0, 0, 0, 0, 0.0, 0.0).clusters == 0
