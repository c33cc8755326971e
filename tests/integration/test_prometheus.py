"""A real Prometheus reads the ruler's page: estimates arrive and end, all shipped rules and queries are evaluated."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import NamedTuple

import pytest

from evalsvc._health import HealthServer
from evalsvc.notify import ReceiverCounts
from evalsvc.project import ExportedConfig
from evalsvc.query import EstimateQuery, estimates
from evalsvc.ruler import RulerMetrics
from evalsvc.ruler.exported import ESTIMATES, Exported
from evalsvc.store.memory import MemoryStore
from evalsvc.testing import ManualClock
from evalsvc.types import Scale, Score, ScorerSpec, Subject, Window, WriteBatch
from servers.prometheus import Prometheus

ROOT = Path(__file__).resolve().parents[2]
RULES = [ROOT / "alerts" / "prometheus" / name for name in ("evalsvc.yml", "quality.example.yml")]
DASHBOARD = ROOT / "dashboards" / "evalsvc-health.json"
NOW = datetime(2026, 3, 2, 12, tzinfo=UTC)
END = NOW - timedelta(minutes=2)
SPEC = ScorerSpec("context_support", 3, Scale(0.0, 1.0, "higher", binary=True), signature="encoder@1")


def score(application: str, number: int, value: float) -> Score:
    at = END - timedelta(minutes=number)
    subject = Subject(f"{application}{number}", at, "quality", application, "m", "1", {}, "", "", 1)
    return Score(subject, SPEC.metric, SPEC.version, SPEC.signature, 1.0, "ok", value)


class Scraped(NamedTuple):
    """What Prometheus reads, and the one that reads it."""

    prometheus: Prometheus
    exported: Exported
    store: MemoryStore


@pytest.fixture
def scraped() -> Iterator[Scraped]:
    if not Prometheus.is_here():
        pytest.skip("no Prometheus on PATH: apt-get install -y prometheus")
    store, clock, metrics = MemoryStore(), ManualClock(NOW), RulerMetrics()
    store.record_scorers([SPEC])
    for application, good in (("shop", 20), ("bank", 30)):
        scores = [score(application, number, float(number < good)) for number in range(1, 41)]
        store.write(WriteBatch(scores=tuple(scores)))
    # Two of each: an alert whose labels do not tell them apart is an error of Prometheus.
    metrics.watch("a.rules.yaml:g", 60.0, ["Fell", "Rose"])
    metrics.watch("b.rules.yaml:g", 60.0, ["Late"])
    for group in ("a.rules.yaml:g", "b.rules.yaml:g"):
        metrics.count("evalsvc_ruler_missed_looks_total", 5, group=group)
        metrics.count("evalsvc_ruler_unrecorded_total", group=group)
        metrics.gauge("evalsvc_ruler_last_look_seconds", 59.0, group=group)
        metrics.gauge("evalsvc_ruler_last_look_timestamp_seconds", NOW.timestamp(), group=group)
    for alert in ("Fell", "Rose", "Late"):
        metrics.count("evalsvc_ruler_errors_total", rule=alert)
    metrics.gauge("evalsvc_ruler_leads", 1.0)
    metrics.gauge("evalsvc_ruler_clock_jump_seconds", -90.0)
    counts = ReceiverCounts(refused=1, failed=2, waiting=1, oldest_at=NOW - timedelta(hours=1), trouble="503")
    metrics.follow(lambda: {"oncall": counts, "mail": counts}, clock)
    exported = Exported(store, ExportedConfig(max_groups=2), clock)
    metrics.registry.register(exported)
    assert exported.refresh(NOW)
    with (
        HealthServer("127.0.0.1", 0, [], metrics.render) as server,
        Prometheus(server.address.removeprefix("http://"), RULES) as prometheus,
    ):
        yield Scraped(prometheus, exported, store)


def wait_for(done: Callable[[], bool], seconds: float = 60.0) -> None:
    end = time.monotonic() + seconds
    while not done():
        assert time.monotonic() < end, "Prometheus did not come to see it in time"
        time.sleep(0.2)


def test_estimates_arrive_with_their_bounds_and_end_with_their_group(scraped: Scraped) -> None:
    prometheus, exported, store = scraped
    wait_for(lambda: len(prometheus.query("evalsvc_estimate")) == 2)
    window = Window(END - timedelta(hours=1), END)
    query = EstimateQuery(SPEC.metric, window, 3600, ("application", "model_version"), target="process")
    for row in estimates(store, query):
        chosen = f'{{metric="context_support",application="{row.labels["application"]}",model_version="1"}}'
        estimate = row.estimate
        numbers = (estimate.value, estimate.low, estimate.high, estimate.n_effective, 0.0, END.timestamp())
        for name, number in zip(ESTIMATES, numbers, strict=True):
            (sample,) = prometheus.query(name + chosen)
            assert float(sample["value"][1]) == pytest.approx(number)
    below = prometheus.query('evalsvc_estimate_high{metric="context_support"} < 0.8')
    assert [sample["metric"]["application"] for sample in below] == ["shop"]
    exported.refresh(NOW + timedelta(hours=2))
    wait_for(lambda: not prometheus.query("evalsvc_estimate"))
    assert prometheus.query("evalsvc_exported_groups")[0]["value"][1] == "0"


def test_every_shipped_rule_and_query_is_evaluated(scraped: Scraped) -> None:
    prometheus = scraped.prometheus
    wait_for(lambda: bool(prometheus.query("evalsvc_ruler_leads")))
    wait_for(lambda: all(rule["health"] != "unknown" for rule in prometheus.rules()))
    # The rules of a group are evaluated one after the other: the last ones come last.
    for name, count in (("EvalsvcLooksMissed", 2), ("EvalsvcNotificationRefused", 2), ("EvalsvcEstimatesAreOld", 1)):
        wait_for(lambda name=name, count=count: len(prometheus.query(f'ALERTS{{alertname="{name}"}}')) == count)
    wait_for(lambda: len(prometheus.query('ALERTS{alertname="ContextSupportIsLow"}')) == 1)
    assert [rule["lastError"] for rule in prometheus.rules() if rule["health"] != "ok"] == []
    seen = {rule["name"]: len(rule["alerts"]) for rule in prometheus.rules()}
    assert seen["EvalsvcLooksStopped"] == seen["EvalsvcLooksAreSlow"] == seen["EvalsvcLooksNotRecorded"] == 2
    assert seen["EvalsvcNotificationsWait"] == seen["EvalsvcNotificationRefused"] == 2
    assert seen["EvalsvcClockJumped"] == seen["EvalsvcEstimatesAreOld"] == 1
    assert seen["EvalsvcNoRulerLeads"] == 0
    assert seen["ContextSupportIsLow"] == 1
    for panel in json.loads(DASHBOARD.read_text())["panels"]:
        for target in panel.get("targets", []):
            # An error of evaluation, as of labels that match twice, is an HTTP error here.
            prometheus.query(target["expr"].replace("$__rate_interval", "5m"))
    leads = {panel["title"]: panel["targets"][0]["expr"] for panel in json.loads(DASHBOARD.read_text())["panels"][:6]}
    assert prometheus.query(leads["A ruler leads"])[0]["value"][1] == "1"
    assert float(prometheus.query(leads["Oldest message not told"])[0]["value"][1]) == 3600.0
