"""Estimates as Prometheus reads them: the numbers of the queries, with labels, limits, and an end."""

from __future__ import annotations

import logging
import math
import shutil
import subprocess
import threading
import urllib.request
from collections.abc import Iterable
from datetime import UTC, datetime, timedelta

import pytest
from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.parser import text_string_to_metric_families

from evalsvc._health import HealthServer
from evalsvc.errors import StoreUnavailable
from evalsvc.notify import ReceiverCounts
from evalsvc.project import ExportedConfig
from evalsvc.query import EstimateQuery, estimates
from evalsvc.ruler.exported import COUNTERS, ESTIMATES, GAUGES, KEPT_SECONDS, Exported
from evalsvc.ruler.metrics import RulerMetrics
from evalsvc.store.memory import MemoryStore
from evalsvc.testing import ManualClock
from evalsvc.types import Scale, Score, ScorerSpec, Status, Subject, Window, WriteBatch

NOW = datetime(2026, 3, 2, 12, 0, 30, tzinfo=UTC)
END = datetime(2026, 3, 2, 11, 58, tzinfo=UTC)
FAITHFUL = ScorerSpec("faithful", 1, Scale(0.0, 1.0, "higher", binary=True), signature="nli@abc")
LENGTH = ScorerSpec("length", 2, Scale(0.0, None, "neither"))
BY = ("application", "segments.plan-type")

Series = dict[tuple[str, frozenset[tuple[str, str]]], float]


def scores(
    spec: ScorerSpec, values: Iterable[float | None], at: datetime = END - timedelta(minutes=30), plan: str = "pro"
) -> list[Score]:
    made = []
    for number, value in enumerate(values):
        event = f"{spec.metric}-{spec.version}-{spec.signature}-{plan}-{number}"
        subject = Subject(event, at, "quality", "support", "m", "1", {"plan-type": plan}, "", "all", 1)
        status: Status = "failed" if value is None else "ok"
        reason = "broke" if value is None else ""
        pi = 0.5 if number % 2 else 1.0
        made.append(Score(subject, spec.metric, spec.version, spec.signature, pi, status, value, reason))
    return made


@pytest.fixture
def store() -> MemoryStore:
    held = MemoryStore()
    held.record_scorers([FAITHFUL, LENGTH])
    held.write(
        WriteBatch(scores=(*scores(FAITHFUL, [1.0, 0.0, 1.0, 1.0, None]), *scores(LENGTH, map(float, range(60)))))
    )
    return held


@pytest.fixture
def clock() -> ManualClock:
    return ManualClock(NOW)


def page(exported: Exported) -> Series:
    registry = CollectorRegistry()
    registry.register(exported)
    families = text_string_to_metric_families(generate_latest(registry).decode())
    return {(s.name, frozenset(s.labels.items())): s.value for family in families for s in family.samples}


def of(series: Series, name: str, **labels: str) -> list[float]:
    return [value for (one, found), value in series.items() if one == name and labels.items() <= dict(found).items()]


def test_nothing_is_shown_before_the_first_reading(store: MemoryStore, clock: ManualClock) -> None:
    assert page(Exported(store, ExportedConfig(), clock)) == {("evalsvc_exported_failures_total", frozenset()): 0.0}


def test_the_numbers_are_those_of_the_queries(store: MemoryStore, clock: ManualClock) -> None:
    exported = Exported(store, ExportedConfig(by=BY), clock)
    assert exported.refresh(NOW)
    series = page(exported)
    window = Window(END - timedelta(hours=1), END)
    for metric in ("faithful", "length"):
        query = EstimateQuery(metric, window, 3600, BY, target="process")
        (row,) = estimates(store, query)
        labels = {"metric": metric, "consumer": "quality", "application": "support", "plan_type": "pro"}
        (value,), (low,), (high,) = (of(series, f"evalsvc_estimate{end}", **labels) for end in ("", "_low", "_high"))
        assert (value, low, high) == pytest.approx((row.estimate.value, row.estimate.low, row.estimate.high))
        assert low < value < high
        assert of(series, "evalsvc_estimate_effective_n", **labels) == pytest.approx([row.estimate.n_effective])
        assert of(series, "evalsvc_estimate_missing_ratio", **labels) == pytest.approx([row.estimate.missing_share])
        assert of(series, "evalsvc_estimate_timestamp_seconds", **labels) == [END.timestamp()]
        assert of(series, "evalsvc_estimate", **labels, scorer_version=str(row.scorer_version)) == [value]
    assert of(series, "evalsvc_exported_groups") == [2.0]
    assert of(series, "evalsvc_exported_last_refresh_timestamp_seconds") == [NOW.timestamp()]


def test_a_signature_is_a_short_label_and_no_two_scorers_share_one(store: MemoryStore, clock: ManualClock) -> None:
    other = ScorerSpec("faithful", 1, FAITHFUL.scale, signature="nli@" + "f" * 500)
    store.record_scorers([other])
    store.write(WriteBatch(scores=tuple(scores(other, [0.0, 1.0]))))
    exported = Exported(store, ExportedConfig(), clock)
    exported.refresh(NOW)
    found = [dict(labels) for name, labels in page(exported) if name == "evalsvc_estimate"]
    signatures = [labels["signature"] for labels in found if labels["metric"] == "faithful"]
    assert len(set(signatures)) == 2
    assert all(len(text) == 8 for text in signatures)
    assert [labels["signature"] for labels in found if labels["metric"] == "length"] == [""]


def test_an_undefined_estimate_has_no_sample(store: MemoryStore, clock: ManualClock) -> None:
    store.write(WriteBatch(scores=tuple(scores(FAITHFUL, [None] * 4, plan="free"))))
    exported = Exported(store, ExportedConfig(by=BY), clock)
    exported.refresh(NOW)
    series = page(exported)
    for name in ("evalsvc_estimate", "evalsvc_estimate_low", "evalsvc_estimate_high"):
        assert of(series, name, plan_type="free") == []
        assert len(of(series, name, plan_type="pro")) == 2
    assert of(series, "evalsvc_estimate_effective_n", plan_type="free") == [0.0]
    assert of(series, "evalsvc_estimate_missing_ratio", plan_type="free") == [1.0]
    assert not any(math.isnan(value) for value in series.values())


def test_a_group_that_is_gone_takes_its_series_along(store: MemoryStore, clock: ManualClock) -> None:
    store.write(WriteBatch(scores=tuple(scores(FAITHFUL, [1.0, 0.0], at=END - timedelta(minutes=5), plan="free"))))
    exported = Exported(store, ExportedConfig(by=BY), clock)
    exported.refresh(NOW)
    assert len(of(page(exported), "evalsvc_estimate")) == 3
    exported.refresh(NOW + timedelta(minutes=45))
    (left,) = [dict(labels) for name, labels in page(exported) if name == "evalsvc_estimate"]
    assert left["plan_type"] == "free"
    exported.refresh(NOW + timedelta(hours=3))
    series = page(exported)
    assert not [name for name, _ in series if name in ESTIMATES]
    assert of(series, "evalsvc_exported_groups") == [0.0]


def test_window_and_delay_are_the_settings(store: MemoryStore, clock: ManualClock) -> None:
    exported = Exported(store, ExportedConfig(window_seconds=1200.0, delay_seconds=600.0), clock)
    exported.refresh(NOW)
    assert of(page(exported), "evalsvc_estimate") == []
    exported.refresh(NOW - timedelta(minutes=10))
    ends = of(page(exported), "evalsvc_estimate_timestamp_seconds")
    assert set(ends) == {(END - timedelta(minutes=18)).timestamp()}


def test_series_are_limited_counted_and_said_once(
    store: MemoryStore, clock: ManualClock, caplog: pytest.LogCaptureFixture
) -> None:
    for number in range(8):
        store.write(WriteBatch(scores=tuple(scores(LENGTH, [1.0] * (number + 64), plan=f"plan{number}"))))
    exported = Exported(store, ExportedConfig(by=BY, max_groups=3), clock)
    with caplog.at_level(logging.WARNING, "evalsvc.ruler.exported"):
        exported.refresh(NOW)
        exported.refresh(NOW)
    series = page(exported)
    kept = {dict(labels)["plan_type"] for name, labels in series if name == "evalsvc_estimate"}
    assert kept == {"plan5", "plan6", "plan7"}
    assert of(series, "evalsvc_exported_groups") == [3.0]
    assert of(series, "evalsvc_exported_left_out_groups") == [7.0]
    assert [record.message for record in caplog.records] == [
        "estimates_left_out groups=7 max_groups=3; shorten `by` or raise `max_groups` of `exported`"
    ]
    # A group that has more scores now does not push out one that is shown.
    store.write(WriteBatch(scores=tuple(scores(LENGTH, [1.0] * 99, plan="huge"))))
    exported.refresh(NOW)
    assert {dict(labels)["plan_type"] for name, labels in page(exported) if name == "evalsvc_estimate"} == kept


class Away(MemoryStore):
    """A store that does not answer while it is ``away``."""

    away = False

    def metrics(self) -> list[ScorerSpec]:
        if self.away:
            raise StoreUnavailable("no answer")
        return list(super().metrics())


def test_a_scrape_asks_the_store_nothing_and_a_store_that_is_away_ends_the_series(clock: ManualClock) -> None:
    store = Away()
    store.record_scorers([LENGTH])
    store.write(WriteBatch(scores=tuple(scores(LENGTH, [3.0, 5.0, 9.5]))))
    exported = Exported(store, ExportedConfig(), clock)
    exported.refresh(NOW)
    shown = page(exported)
    store.away = True
    assert page(exported) == shown
    clock.advance(KEPT_SECONDS)
    assert not exported.refresh(clock.now())
    series = page(exported)
    assert of(series, "evalsvc_estimate") == of(shown, "evalsvc_estimate")
    assert of(series, "evalsvc_exported_failures_total") == [1.0]
    clock.advance(1)
    series = page(exported)
    assert not [name for name, _ in series if name in ESTIMATES]
    assert of(series, "evalsvc_exported_last_refresh_timestamp_seconds") == [NOW.timestamp()]
    store.away = False
    exported.refresh(NOW)
    assert of(page(exported), "evalsvc_estimate") == of(shown, "evalsvc_estimate")


class Broken(MemoryStore):
    def metrics(self) -> list[ScorerSpec]:
        raise ZeroDivisionError


def test_it_is_kept_fresh_by_the_leader_alone_and_outlives_a_mistake(store: MemoryStore, clock: ManualClock) -> None:
    stop, asked = threading.Event(), []

    def leads() -> bool:
        asked.append(True)
        stop.set()
        return len(asked) > 1

    exported = Exported(store, ExportedConfig(), clock)
    exported.keep_fresh(stop, leads)
    assert of(page(exported), "evalsvc_exported_groups") == []
    stop.clear()
    exported.keep_fresh(stop, leads)
    assert of(page(exported), "evalsvc_exported_groups") == [2.0]
    stop.clear()
    broken = Exported(Broken(), ExportedConfig(), clock)
    broken.keep_fresh(stop, leads)
    assert of(page(broken), "evalsvc_exported_failures_total") == [1.0]


def test_it_runs_in_a_thread_that_ends_with_the_block(store: MemoryStore, clock: ManualClock) -> None:
    read = threading.Event()

    class Watched(Exported):
        def refresh(self, now: datetime) -> bool:
            try:
                return super().refresh(now)
            finally:
                read.set()

    exported = Watched(store, ExportedConfig(), clock)
    with exported.running():
        assert read.wait(30)
        assert "exported" in [thread.name for thread in threading.enumerate()]
    assert "exported" not in [thread.name for thread in threading.enumerate()]
    assert of(page(exported), "evalsvc_exported_groups") == [2.0]


def test_the_rulers_page_as_prometheus_scrapes_it(store: MemoryStore, clock: ManualClock) -> None:
    metrics, exported = RulerMetrics(), Exported(store, ExportedConfig(by=BY), clock)
    metrics.watch("g", 60.0, ["Fell"])
    metrics.follow(lambda: {"oncall": ReceiverCounts(sent=3, last_success=NOW)}, clock)
    metrics.registry.register(exported)
    exported.refresh(NOW)
    with (
        HealthServer("127.0.0.1", 0, [], metrics.render) as server,
        urllib.request.urlopen(f"{server.address}/metrics", timeout=10) as answer,
    ):
        text = answer.read().decode()
    samples = [sample for family in text_string_to_metric_families(text) for sample in family.samples]
    assert {"evalsvc_estimate", "evalsvc_ruler_looks_total", "evalsvc_notifications_total"} <= {s.name for s in samples}
    keys = [(sample.name, frozenset(sample.labels.items())) for sample in samples]
    assert len(keys) == len(set(keys))
    if shutil.which("promtool"):
        done = subprocess.run(["promtool", "check", "metrics"], input=text, capture_output=True, text=True, timeout=60)
        assert (done.returncode, done.stderr) == (0, "")


def test_it_shows_the_catalogue_and_no_more(store: MemoryStore, clock: ManualClock) -> None:
    exported = Exported(store, ExportedConfig(), clock)
    exported.refresh(NOW)
    assert {name for name, _ in page(exported)} == {*COUNTERS, *GAUGES}
    names = {"metric", "consumer", "scorer_version", "signature", "application", "model_version"}
    assert all(set(dict(labels)) == names for name, labels in page(exported) if name in ESTIMATES)
