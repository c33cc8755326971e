"""The HTTP API over the reference store: every endpoint, every parameter, every refusal."""

from __future__ import annotations

import csv
import io
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

import msgspec
import pytest
from starlette.testclient import TestClient

from evalsvc.errors import StoreError, StoreUnavailable
from evalsvc.query import EstimateQuery, estimates, to_json
from evalsvc.query_ratio import ratio_estimates
from evalsvc.sampling import Design
from evalsvc.store import MemoryStore
from evalsvc.testing import ManualClock
from evalsvc.types import (
    LedgerCount,
    LedgerEntry,
    Scale,
    Score,
    ScorerSpec,
    Status,
    Subject,
    Window,
    WorkerStatus,
    WriteBatch,
)
from evalsvc.web.app import create_app, describe

NOW = datetime(2026, 3, 15, 12, tzinfo=UTC)
REFUSAL = ScorerSpec("refusal", 1, Scale(0.0, 1.0, "neither", "share", binary=True), signature="phrases:2")
LATENCY = ScorerSpec("latency_ms", 1, Scale(0.0, None, "lower", "ms"), signature="field:latency_ms")
DESIGN = Design(consumer="quality", rate=0.5, strata=("application",))
STRATUM = "application=shop"


def score(
    number: int,
    spec: ScorerSpec,
    value: float | None,
    hours: float = 2.0,
    version: str = "v1",
    application: str = "shop",
    status: Status = "ok",
) -> Score:
    moment = NOW - timedelta(hours=hours)
    segments = {"plan": "pro" if number % 2 else "free"}
    about = ("quality", application, "assistant", version, segments, f"s{number}", STRATUM, 1)
    subject = Subject(f"e{number}", moment, *about)
    reason = "" if status == "ok" else "no such field"
    return Score(subject, spec.metric, spec.version, spec.signature, 0.5, status, value, reason)


def filled(scores: Sequence[Score], specs: Sequence[ScorerSpec] = (REFUSAL, LATENCY)) -> MemoryStore:
    store = MemoryStore()
    store.record_scorers(specs)
    store.record_design("quality", 1, NOW - timedelta(days=90), msgspec.json.encode(DESIGN).decode())
    minutes = {s.subject.event_id: int(s.subject.occurred_at.timestamp()) // 60 for s in scores}
    outcomes = ("sampled", "skipped")
    ledger = [
        LedgerEntry(
            "quality", "p0", 2 * i, 2 * i + 2, tuple(LedgerCount(minute, STRATUM, 1, what, 1) for what in outcomes)
        )
        for i, minute in enumerate(minutes.values())
    ]
    store.write(WriteBatch(scores=tuple(scores), ledger=tuple(ledger)))
    return store


def ordinary() -> list[Score]:
    """Forty interactions of two versions a few hours ago: ten refused, three without a latency."""
    made = []
    for i in range(40):
        version = "v1" if i < 30 else "v2"
        made.append(score(i, REFUSAL, float(i % 4 == 0), 2 + i % 5, version))
        unknown = i % 15 == 7
        value, status = (None, "abstained") if unknown else (800.0 + 10 * i, "ok")
        made.append(score(i, LATENCY, value, 2 + i % 5, version, status=status))
    return made


def client(store: Any, workers: Sequence[Any] = (), **changes: Any) -> TestClient:
    return TestClient(create_app(store, workers, clock=ManualClock(NOW), **changes), raise_server_exceptions=False)


class Reporting:
    """A worker that only tells how it is."""

    def __init__(self, consumer: str, **state: Any) -> None:
        self.consumer, self._status = consumer, WorkerStatus(**state)

    def status(self) -> WorkerStatus:
        return self._status


class Down:
    """A store that fails in a stated way, whatever it is asked."""

    def __init__(self, error: Exception) -> None:
        self._error = error

    def __getattr__(self, name: str) -> Any:
        def fail(*given: object) -> None:
            raise self._error

        return fail


@pytest.fixture(scope="module")
def store() -> MemoryStore:
    return filled(ordinary())


@pytest.fixture(scope="module")
def web(store: MemoryStore) -> TestClient:
    return client(store, [Reporting("quality", ready=True, alive=True, read=80, sampled=40, scores=80)])


def answered(web: TestClient, **parameters: Any) -> list[dict[str, Any]]:
    answer = web.get("/v1/estimates", params=parameters)
    assert answer.status_code == 200, answer.text
    return answer.json()["estimates"]


def refused(web: TestClient, **parameters: Any) -> str:
    answer = web.get("/v1/estimates", params=parameters)
    assert answer.status_code == 400, answer.text
    assert answer.headers["content-type"] == "application/json"
    return answer.json()["error"]


def test_estimates_are_those_of_the_library(web: TestClient, store: MemoryStore):
    span = Window(NOW - timedelta(days=1), NOW)
    wanted = [
        to_json(row)
        for metric in ("latency_ms", "refusal")
        for row in estimates(store, EstimateQuery(metric, span, 86_400, by=("model_version",)))
    ]
    assert answered(web, by="model_version") == wanted
    assert len(wanted) == 4
    refusals = wanted[2]
    assert (refusals["n"], refusals["offered"]) == (30, None)
    assert refusals["low"] < refusals["value"] < refusals["high"]


def test_metric_may_be_repeated_and_is_answered_once(web: TestClient):
    assert [row["metric"] for row in answered(web, metric=["refusal", "latency_ms", "refusal"])] == [
        "refusal",
        "latency_ms",
    ]


def test_by_takes_several_names_with_commas_or_repeated(web: TestClient):
    commas = answered(web, metric="refusal", by="model_version,segments.plan")
    assert commas == answered(web, metric="refusal", by=["model_version", "segments.plan"])
    assert {tuple(row["segments"].values()) for row in commas} == {
        (version, plan) for version in ("v1", "v2") for plan in ("pro", "free")
    }


def test_where_joins_values_of_one_field_and_intersects_fields(web: TestClient):
    one = answered(web, metric="refusal", where="model_version=v2")
    both = answered(web, metric="refusal", where=["model_version=v1", "model_version=v2"])
    crossed = answered(web, metric="refusal", where=["model_version=v2", "segments.plan=pro"])
    assert [rows[0]["n"] for rows in (one, both, crossed)] == [10, 40, 5]


def test_a_value_of_where_may_hold_an_equals_sign(web: TestClient):
    assert answered(web, metric="refusal", where="model_version=a=b") == []


def test_since_and_until_bound_the_window(web: TestClient):
    [recent] = answered(web, metric="refusal", since="3h30m")
    [older] = answered(web, metric="refusal", since="2026-03-15T05:00:00Z", until="3h30m")
    assert recent["n"] + older["n"] == 40
    assert recent["window"] == {"start": "2026-03-15T08:30:00Z", "end": "2026-03-15T12:00:00Z"}
    assert older["window"]["end"] == "2026-03-15T08:30:00Z"


def test_window_cuts_into_steps(web: TestClient):
    rows = answered(web, metric="refusal", since="6h", window="1h")
    assert [row["window"]["start"][11:13] for row in rows] == ["06", "07", "08", "09", "10", "11"]
    assert sum(row["n"] for row in rows) == 40


def test_statistic_and_confidence_are_passed_on(web: TestClient):
    [median] = answered(web, metric="latency_ms", statistic="p50")
    assert 950 < median["value"] < 1050
    assert median["statistic"] == "p50"
    [narrow], [wide] = (answered(web, metric="refusal", confidence=level) for level in ("0.8", "0.99"))
    assert wide["high"] - wide["low"] > 1.3 * (narrow["high"] - narrow["low"])


def test_what_could_not_be_scored_is_counted_and_never_a_zero(web: TestClient):
    [row] = answered(web, metric="latency_ms")
    assert (row["n"], row["n_missing"]) == (37, 3)
    assert row["missing_share"] == pytest.approx(3 / 40)
    assert row["value"] > 800


def test_an_undefined_estimate_is_null_with_a_reason():
    web = client(filled([score(i, LATENCY, None, status="abstained") for i in range(5)]))
    [row] = answered(web, metric="latency_ms")
    assert row["value"] is row["low"] is row["high"] is None
    assert row["n_missing"] == 5
    assert row["reason"]


@pytest.mark.parametrize(
    ("parameters", "said"),
    [
        ({"metric": "refusals"}, "did you mean `refusal`?"),
        ({"metric": "refusal", "since": "yesterday"}, "'yesterday'"),
        ({"metric": "refusal", "since": "0h"}, "'0h'"),
        ({"metric": "refusal", "until": "1y"}, "'1y'"),
        ({"metric": "refusal", "since": "1h", "until": "2h"}, "`since` before `until`"),
        ({"metric": "refusal", "window": "fast"}, "'fast'"),
        ({"metric": "refusal", "since": "52w", "window": "1s"}, "steps"),
        ({"metric": "refusal", "by": "colour"}, "'colour'"),
        ({"metric": "refusal", "where": "model_version"}, "FIELD=VALUE"),
        ({"metric": "refusal", "where": "colour=red"}, "'colour'"),
        ({"metric": "refusal", "statistic": "mode"}, "'mode'"),
        ({"metric": "refusal", "statistic": "p100"}, "'p100'"),
        ({"metric": "latency_ms", "statistic": "proportion"}, "binary"),
        ({"metric": "refusal", "confidence": "high"}, "'high'"),
        ({"metric": "refusal", "confidence": "95"}, "95"),
        ({"metric": "refusal", "confidence": "nan"}, "nan"),
        ({"metric": "refusal", "format": "xml"}, "'xml'"),
        ({"metric": "refusal", "group": "model"}, "but got group"),
        ({"metric": "refusal", "since": ["1h", "2h"]}, "since once"),
    ],
)
def test_what_cannot_be_answered_says_what_was_expected(web: TestClient, parameters: dict[str, Any], said: str):
    assert said in refused(web, **parameters)


def test_csv_has_the_values_of_the_json(web: TestClient):
    answer = web.get("/v1/estimates", params={"by": "model_version", "format": "csv"})
    assert answer.headers["content-type"] == "text/csv; charset=utf-8"
    rows = list(csv.DictReader(io.StringIO(answer.text)))
    for flat, row in zip(rows, answered(web, by="model_version"), strict=True):
        assert float(flat["value"]) == row["value"]
        assert (flat["model_version"], flat["start"]) == (
            row["segments"]["model_version"],
            row["window"]["start"],
        )
        assert set(flat) == (set(row) - {"segments", "window"}) | {"model_version", "start", "end"}


def test_worst_case_is_there_where_it_is_asked_for():
    web = client(filled([score(1, LATENCY, None, status="abstained")]))
    assert "worst_case" not in answered(web, metric="latency_ms")[0]
    [row] = answered(web, metric="latency_ms", worst_case="true")
    assert (row["worst_case"]["low"], row["worst_case"]["depends"]) == (None, False)
    assert "open" in row["worst_case"]["reason"]
    text = web.get("/v1/estimates?format=csv&metric=latency_ms&worst_case=true").text
    assert "worst_case_reason" in text.splitlines()[0]
    assert "'maybe'" in refused(web, worst_case="maybe")


def test_missing_scores_may_cross_a_threshold():
    made = [score(i, REFUSAL, float(i % 4 == 1)) for i in range(60)]
    web = client(filled([*made, *(score(60 + i, REFUSAL, None, status="abstained") for i in range(6))]))

    def depends(**parameters):
        [row] = answered(web, metric="refusal", worst_case="true", **parameters)
        assert row["low"] < row["value"] < row["high"] < row["worst_case"]["high"]
        return row["worst_case"]["depends"], row["worst_case"]["threshold"], row

    plain, unasked, row = depends()
    between = (row["high"] + row["worst_case"]["high"]) / 2
    assert (plain, unasked) == (False, None)
    assert depends(threshold=between)[:2] == (True, between)
    assert depends(threshold=0.999)[:2] == (False, 0.999)
    assert "with worst_case=true" in refused(web, threshold="0.5")
    for wrong in ("high", "nan", ""):
        assert f"{wrong!r}" in refused(web, threshold=wrong, worst_case="true")


def test_csv_writes_nothing_where_a_value_is_missing_and_keeps_its_header():
    web = client(filled([score(1, LATENCY, None, status="abstained")]))
    [flat] = csv.DictReader(io.StringIO(web.get("/v1/estimates?format=csv&metric=latency_ms").text))
    assert (flat["value"], flat["low"], flat["n"], flat["n_missing"]) == ("", "", "0", "1")
    empty = client(MemoryStore()).get("/v1/estimates?format=csv")
    assert empty.text.startswith("metric,consumer,start,end,scorer_version,signature,value,low,high,n,")
    assert list(csv.DictReader(io.StringIO(empty.text))) == []


def test_an_empty_store_has_no_estimates_and_no_metrics():
    web = client(MemoryStore())
    assert answered(web) == []
    assert web.get("/v1/metrics").json() == {"metrics": []}
    assert "nothing is stored here yet" in refused(web, metric="refusal")


def test_metrics_tell_what_is_measured(web: TestClient):
    found = web.get("/v1/metrics").json()["metrics"]
    assert [spec["metric"] for spec in found] == ["latency_ms", "refusal"]
    assert found[1]["signature"] == "phrases:2"
    assert found[1]["scale"] == {
        "low": 0.0,
        "high": 1.0,
        "better": "neither",
        "unit": "share",
        "binary": True,
    }


def test_status_tells_what_the_workers_did(web: TestClient):
    assert web.get("/v1/status").json()["workers"]["quality"]["sampled"] == 40


def test_prometheus_page_is_what_the_registry_renders(store: MemoryStore, web: TestClient):
    answer = client(store, metrics=lambda: b"evalsvc_ready 1.0\n").get("/metrics")
    assert (answer.text, answer.headers["content-type"]) == (
        "evalsvc_ready 1.0\n",
        "text/plain; version=0.0.4; charset=utf-8",
    )
    assert web.get("/metrics").content == b""


def test_live_as_long_as_it_answers(store: MemoryStore):
    assert client(store, [Reporting("quality")]).get("/livez").status_code == 200
    broken = client(store, [Reporting("quality", failed="The broker refused access")]).get("/livez")
    assert (broken.status_code, broken.text) == (503, "quality: failed: The broker refused access\n")


@pytest.mark.parametrize(
    ("state", "code", "said"),
    [
        ({"ready": True, "alive": True}, 200, "ready\n"),
        ({"ready": True, "alive": True, "waiting_for": "store"}, 503, "quality: waiting for store\n"),
        ({"alive": True}, 503, "quality: starting\n"),
        ({"read": 9}, 200, "ready\n"),
    ],
)
def test_ready_only_while_no_worker_waits(store: MemoryStore, state: dict[str, Any], code: int, said: str):
    fine = Reporting("files", ready=True, alive=True)
    answer = client(store, [fine, Reporting("quality", **state)]).get("/readyz")
    assert (answer.status_code, answer.text) == (code, said)


def test_a_workers_state_is_half_a_sentence():
    state = WorkerStatus(read=1200, sampled=300, scores=900, dead=1, lag=7, ready=True, alive=True)
    assert describe(state) == "reading; 1,200 records read, 300 sampled, 900 scores, 1 dead letter, 7 waiting"


@pytest.mark.parametrize(
    ("error", "code"),
    [(StoreUnavailable("The store does not answer"), 503), (StoreError("The schema is newer"), 500)],
)
@pytest.mark.parametrize("path", ["/", "/v1/estimates?metric=refusal", "/v1/metrics"])
def test_a_store_that_fails_is_said(error: Exception, code: int, path: str):
    answer = client(Down(error)).get(path)
    assert answer.status_code == code
    assert str(error) in answer.text
    assert ("html" in answer.headers["content-type"]) == (path == "/")


def test_unknown_paths_and_methods_name_those_there_are(web: TestClient):
    missing = web.get("/v1/estimate")
    assert missing.status_code == 404
    assert "/v1/estimates" in missing.json()["error"]
    assert "no consumer of this process" in web.post("/v1/events", json={}).json()["error"]
    refusal = web.delete("/v1/metrics")
    assert (refusal.status_code, set(refusal.headers["allow"].split(", "))) == (405, {"GET", "HEAD"})


@pytest.mark.parametrize("path", ["/", "/?since=1y", "/v1/estimates", "/v1/metrics", "/v1/status", "/nothing"])
def test_nothing_is_cached_sniffed_or_framed(web: TestClient, path: str):
    headers = web.get(path).headers
    assert headers["cache-control"] == "no-store"
    assert headers["x-content-type-options"] == "nosniff"
    policy = dict(part.split(" ", 1) for part in headers["content-security-policy"].split("; "))
    assert policy["default-src"] == policy["frame-ancestors"] == "'none'"
    assert "script-src" not in policy


def test_a_metric_per_unit_of_another():
    web = client(filled(ordinary()))
    [row] = answered(web, metric="latency_ms", per="refusal")
    store = filled(ordinary())
    asked = EstimateQuery("latency_ms", Window(NOW - timedelta(days=1), NOW), 86_400)
    [mine] = ratio_estimates(store, asked, "refusal")
    assert row == to_json(mine)
    assert (row["metric"], row["statistic"]) == ("latency_ms per refusal", "ratio")
    assert "without `worst_case`" in refused(web, metric="latency_ms", per="refusal", worst_case="true")
    assert "`metric` to divide" in refused(web, per="refusal")
