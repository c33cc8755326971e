"""The overview: what is on it, what hostile names do to it (nothing), and that a gap or a missing value stays one."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable, Sequence
from datetime import UTC, datetime, timedelta
from html import escape
from html.parser import HTMLParser
from typing import Any

import msgspec
import pytest
from starlette.testclient import TestClient

from evalsvc.query import EstimateQuery, estimates
from evalsvc.sampling import Design
from evalsvc.store import MemoryStore
from evalsvc.testing import ManualClock
from evalsvc.types import (
    Estimate,
    Scale,
    Score,
    ScorerSpec,
    Status,
    Subject,
    Window,
    WorkerStatus,
    WriteBatch,
)
from evalsvc.web import charts, overview, wording
from evalsvc.web.app import create_app
from evalsvc.web.page import SPANS
from evalsvc.web.wording import Figures

NOW = datetime(2026, 3, 15, 12, tzinfo=UTC)
FORTNIGHT = Window(NOW - timedelta(days=14), NOW)
HOSTILE = "<script>alert('x')</script>\"'&amp;"
SHARE = Scale(0.0, 1.0, "lower", "share", binary=True)
REFUSAL = ScorerSpec("refusal", 1, SHARE, signature="phrases:2", description="Whether it declines")
LATENCY = ScorerSpec("latency_ms", 1, Scale(0.0, None, "lower", "ms"), signature="field:latency_ms")


class Outline(HTMLParser):
    """The tags of a page and its text, with the cells of its rows; refuses what a browser would have to repair."""

    VOID = ("meta", "br", "path", "circle", "polygon", "polyline", "link")

    def __init__(self, html: str) -> None:
        super().__init__()
        self.tags: Counter[str] = Counter()
        self.open: list[str] = []
        self.text: list[str] = []
        self.rows: list[list[str]] = []
        self.attributes: list[tuple[str, str | None]] = []
        self.feed(html)
        assert self.open == []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags[tag] += 1
        self.attributes += attrs
        if tag == "tr":
            self.rows.append([])
        if tag in ("td", "th"):
            self.rows[-1].append("")
        if tag not in self.VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags[tag] += 1
        self.attributes += attrs

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        if self.open[-1] == "style":
            return
        self.text.append(data)
        if "td" in self.open or "th" in self.open:
            self.rows[-1][-1] += data


def score(
    number: int,
    spec: ScorerSpec = REFUSAL,
    value: float | None = 0.0,
    days: float = 1.0,
    application: str = "shop",
    version: str = "v1",
    status: Status = "ok",
    consumer: str = "quality",
) -> Score:
    about = (consumer, application, "assistant", version, {}, f"s{number}", "", 1)
    subject = Subject(f"e{number}", NOW - timedelta(days=days), *about)
    reason = "" if status == "ok" else "no such field"
    return Score(subject, spec.metric, spec.version, spec.signature, 0.5, status, value, reason)


def filled(scores: Sequence[Score], specs: Sequence[ScorerSpec] = (REFUSAL, LATENCY)) -> MemoryStore:
    store = MemoryStore()
    store.record_scorers(specs)
    design = msgspec.json.encode(Design(consumer="quality", rate=0.5)).decode()
    store.record_design("quality", 1, NOW - timedelta(days=90), design)
    store.write(WriteBatch(scores=tuple(scores)))
    return store


def page(store: Any, query: str = "", workers: Sequence[Any] = (), code: int = 200) -> str:
    answer = TestClient(create_app(store, workers, clock=ManualClock(NOW))).get(f"/{query}")
    assert answer.status_code == code
    assert answer.headers["content-type"] == "text/html; charset=utf-8"
    return answer.text


def about_40(value: float | None = None, **fields: Any) -> list[Score]:
    values = [float(i % 4 == 0) if value is None else value for i in range(40)]
    return [score(i, value=v, days=0.5 + i % 13, **fields) for i, v in enumerate(values)]


def test_a_share_is_shown_in_percent_with_interval_counts_and_trend():
    html = page(filled(about_40()))
    [row] = [cells for cells in Outline(html).rows if cells[0] == "v1"]
    _, value, interval, _, scored, missing, _ = row
    assert value == "25\u00a0%"
    assert re.fullmatch(r"[12]\d to [34]\d\u00a0%", interval)
    assert scored.startswith("40")
    assert missing == "0\u00a0%"
    assert "Refusals" in html
    assert "lower is better" in html
    assert html.count("<polyline") == 1


def test_the_page_needs_no_script_and_asks_nobody_else():
    html = page(filled(about_40()))
    outline = Outline(html)
    assert not outline.tags.keys() & {"script", "img", "link", "iframe", "form"}
    targets = [value for name, value in outline.attributes if name in ("href", "src")]
    assert targets
    assert all(target and target.startswith("/") for target in targets)
    assert "url(" not in html
    assert not [name for name, _ in outline.attributes if name.startswith("on")]


@pytest.mark.parametrize("field", ["application", "version", "consumer", "signature", "description", "metric", "unit"])
def test_a_hostile_name_is_text(field: str):
    scale = Scale(0.0, None, "lower", HOSTILE if field == "unit" else "points")
    given = {name: HOSTILE if field == name else name for name in ("metric", "signature", "description")}
    spec = ScorerSpec(given["metric"], 1, scale, (), given["signature"], given["description"])
    fields = {name: HOSTILE for name in ("application", "version", "consumer") if name == field}
    html = page(filled([score(i, spec, 1.0 + i, **fields) for i in range(5)], [spec]))
    outline = Outline(html)
    assert "<script" not in html
    assert outline.tags["script"] == 0
    assert HOSTILE in "".join(outline.text).replace("<Script", "<script")


def test_a_hostile_worker_and_a_hostile_span_are_text():
    class Reporting:
        consumer = HOSTILE

        def status(self) -> WorkerStatus:
            return WorkerStatus(waiting_for=HOSTILE)

    assert f"{escape(HOSTILE)}: waiting for {escape(HOSTILE)}" in page(filled([]), workers=[Reporting()])
    refusal = page(filled([]), "?since=%3Cscript%3E", code=400)
    assert "<script" not in refusal
    assert "Expected `since` to be one of 24h, 7d, 14d, 30d" in refusal


def test_an_empty_store_says_what_to_do():
    html = page(MemoryStore())
    assert "No scores in the last 14 days" in html
    assert "POST /v1/events" in html
    assert "<table" not in html
    assert page(filled(about_40()), "?since=24h").count("<tbody") == 1
    assert "No scores in the last 24 hours" in page(filled([score(1, days=5.0)]), "?since=24h")


@pytest.mark.parametrize("since", SPANS)
def test_every_span_is_a_link_and_the_shown_one_is_marked(since: str):
    html = page(filled(about_40()), f"?since={since}")
    assert f'<a href="/?since={since}" aria-current=page>{SPANS[since]}</a>' in html
    assert html.count("aria-current") == 1 + html.count("nav a[aria-current]")
    assert all(f'href="/?since={other}"' in html for other in SPANS)


def test_a_missing_value_is_a_dash_with_its_reason_and_never_zero():
    scores = [score(i, LATENCY, None, status="abstained") for i in range(6)]
    [row] = [cells for cells in Outline(page(filled(scores))).rows if cells[0] == "v1"]
    _, value, interval, _, scored, missing, trend = row
    assert value == "–"
    assert interval.startswith("–")
    assert len(interval) > 5
    assert (scored, missing) == ("0", "▲ 100.0\u00a0%6 of 6")
    assert trend == "no trend yet"


def test_a_share_of_missing_scores_is_pointed_to_from_a_twentieth_on():
    def shown(missing: int) -> str:
        gone = [score(i, LATENCY, None, status="failed") for i in range(missing)]
        there = [score(i, LATENCY, 900.0 + i) for i in range(missing, 100)]
        return next(cells for cells in Outline(page(filled([*gone, *there]))).rows if cells[0] == "v1")[5]

    assert shown(4) == "4.0\u00a0%4 of 100"
    assert shown(6) == "▲ 6.0\u00a0%6 of 100"


def test_days_without_scores_are_gaps_of_the_trend():
    days = [13.5, 12.5, 11.5, 4.5, 3.5, 0.5]
    scores = [score(10 * d + i, value=float(i % 2), days=day) for d, day in enumerate(days) for i in range(10)]
    [row] = overview.rows(filled(scores), FORTNIGHT, 86_400)
    known = [point is not None for point in row.trend]
    assert len(known) == 15
    assert known == [i in (1, 2, 3, 10, 11, 14) for i in range(15)]
    html = page(filled(scores))
    assert (html.count("<polyline"), html.count("r=2.2")) == (2, 1)
    assert "9 of 15 steps without a number" in html


def test_versions_of_one_metric_share_an_axis_and_stand_in_their_order():
    scores = [
        score(100 * v + i, LATENCY, 500.0 * (v - 7) + 10 * i, version=f"v{v}") for v in (10, 9, 8) for i in range(9)
    ]
    html = page(filled(scores))
    assert [cells[0] for cells in Outline(html).rows if cells[0].startswith("v")] == ["v8", "v9", "v10"]
    dots = [float(x) for x in re.findall(r'class=dot cx="([\d.]+)" cy="11', html)]
    assert len(dots) == 3
    assert dots[0] + 50 < dots[1] < dots[2] - 50
    assert dots[1] - dots[0] == pytest.approx(dots[2] - dots[1], abs=0.2)


def test_scorer_versions_and_consumers_are_never_pooled():
    newer = ScorerSpec("refusal", 2, SHARE, signature="phrases:3")
    scores = [*about_40(), *(score(i, newer, 1.0) for i in range(10)), *about_40(1.0, consumer="other")]
    html = page(filled(scores, [REFUSAL, newer]))
    values = [cells[1] for cells in Outline(html).rows if cells[0] == "v1"]
    assert [value.split("\u00a0")[0].split(".")[0] for value in values] == ["100", "100", "25"]
    assert html.count("scorer version 1") == 2
    assert html.count("scorer version 2") == 1


def test_the_versions_of_one_consumer_stand_together():
    asked = [(version, consumer) for version in ("v1", "v2") for consumer in ("other", "quality")]
    scores = [score(i, version=version, consumer=consumer) for i, (version, consumer) in enumerate(asked)]
    html = page(filled(scores))
    assert re.findall(r"consumer <code>(\w+)<", html) == ["other", "quality"]
    assert html.count("<tbody") == 2


def test_every_application_has_its_section_in_order():
    scores = [score(i, application=name) for i, name in enumerate(("shop", "bank", "shop"))]
    assert re.findall(r"<h2>(bank|shop)</h2>", page(filled(scores))) == ["bank", "shop"]


def test_a_table_is_one_also_where_the_style_lays_it_out_as_cards():
    html = page(filled(about_40()))
    for tag, roles in {"tr": "row", "td": "cell", "table": "table", "tbody": "rowgroup"}.items():
        assert re.findall(rf"<{tag}\b", html)
        assert len(re.findall(rf"<{tag}\b", html)) == len(re.findall(rf"<{tag}\b[^>]*role={roles}\b", html))
    for svg in re.findall(r"<svg [^>]*>", html):
        assert "aria-label=" in svg or "aria-hidden=true" in svg
    assert '<html lang="en">' in html


class Counting:
    """A store that counts what it is asked."""

    def __init__(self, store: MemoryStore) -> None:
        self.asked = Counter[str]()
        for name in ("metrics", "offered", "designs", "cells", "cells_by_metric"):
            setattr(self, name, self._counted(name, getattr(store, name)))

    def _counted(self, name: str, ask: Callable[..., Any]) -> Callable[..., Any]:
        def answer(*given: Any) -> Any:
            self.asked[name] += 1
            return ask(*given)

        return answer


@pytest.mark.parametrize("metrics", [1, 12])
def test_the_store_is_asked_as_often_for_many_metrics_as_for_one(metrics: int):
    specs = [ScorerSpec(f"m{i}", 1, SHARE) for i in range(metrics)]
    store = Counting(filled([score(i, spec, 1.0) for spec in specs for i in range(5)], specs))
    assert len(overview.rows(store, FORTNIGHT, 86_400)) == metrics
    assert store.asked == {"metrics": 1, "offered": 2, "cells_by_metric": 2}


def test_the_store_is_asked_once_also_for_many_steps_of_many_metrics():
    specs = [ScorerSpec(f"m{i}", 1, SHARE) for i in range(3)]
    store = Counting(filled([score(i, spec, 1.0) for spec in specs for i in range(5)], specs))
    seen = overview.snapshot(store)
    found = [row for spec in specs for row in estimates(seen, EstimateQuery(spec.metric, FORTNIGHT, 3600))]
    assert {row.metric for row in found} == {spec.metric for spec in specs}
    assert store.asked == {"metrics": 1, "offered": 1, "cells_by_metric": 1}


def estimate(value: float | None, low: float | None = None, high: float | None = None) -> Estimate:
    return Estimate(value, low, high, 5, 5.0, 0, 0.0, FORTNIGHT)


@pytest.mark.parametrize(
    ("spec", "found", "said"),
    [
        (REFUSAL, estimate(0.0234, 0.018, 0.029), "2.3\u00a0%|1.8 to 2.9\u00a0%"),
        (REFUSAL, estimate(0.0, 0.0, 0.0007), "0.000\u00a0%|0.000 to 0.070\u00a0%"),
        (LATENCY, estimate(1234.5, 1200.0, 1270.0), "1,234\u00a0ms|1,200 to 1,270\u00a0ms"),
        (
            ScorerSpec("cost_usd", 1, Scale(0.0, None, "lower", "USD")),
            estimate(9.7e-5, 9.6e-5, 9.8e-5),
            "0.0970|0.0960 to 0.0980",
        ),
        (
            ScorerSpec("cost_usd", 1, Scale(0.0, None, "lower", "USD")),
            estimate(3.5, 3.0, 4.0),
            "3.5|3.0 to 4.0",
        ),
        (
            ScorerSpec("bleu", 1, Scale(0.0, 100.0, "higher", "points")),
            estimate(21.04, 20.0, 22.2),
            "21.0|20.0 to 22.2",
        ),
        (LATENCY, estimate(876.54), "876.5\u00a0ms|–"),
        (LATENCY, estimate(None), "–|–"),
    ],
)
def test_numbers_have_the_digits_that_their_interval_justifies(spec: ScorerSpec, found: Estimate, said: str):
    figures = wording.figures(spec, [found])
    assert f"{figures.text(found.value)}|{figures.interval(found)}" == said


def test_names_are_for_people():
    def name(metric: str, unit: str = "") -> str:
        return wording.metric_name(ScorerSpec(metric, 1, Scale(0.0, None, "lower", unit)))

    assert [
        name("introduced_pii"),
        name("rouge_l"),
        name("queue_time_s", "s"),
        name("tone.judge"),
        name("_"),
    ] == [
        "Introduced personal data",
        "ROUGE-L",
        "Queue time",
        "Tone judge",
        "_",
    ]
    assert {name(known, "USD" if "usd" in known else "") for known in wording._NAMES} == set(wording._NAMES.values())


@pytest.mark.parametrize(
    ("low", "high"),
    [
        (0.013, 0.118),
        (0.0, 1.0),
        (-3.2, 7.7),
        (999_000.0, 1_001_000.0),
        (1e-9, 3e-9),
        (0.0, 1e15),
        (5.0, 5.1),
    ],
)
def test_ticks_are_round_and_enclose(low: float, high: float):
    step, found = wording.ticks(low, high)
    assert found[0] <= low + 1e-9 * abs(low)
    assert found[-1] >= high - 1e-9 * abs(high)
    assert 2 <= len(found) <= 6
    assert f"{step:.3e}"[:4] in ("1.00", "2.00", "2.50", "5.00")


def test_a_trends_axis_holds_every_number_but_not_every_band():
    whole = estimate(0.02, 0.01, 0.03)
    steps = [estimate(0.02, 0.01, 0.04), None, estimate(0.05, 0.02, 0.9)]
    found = charts.trend_axis([whole], steps, SHARE, Figures(100.0, 1, "%", ""))
    assert found.low == 0.0
    assert 0.05 < found.high < 0.2


def test_an_axis_of_one_point_or_none_can_be_drawn():
    for values in ([estimate(5.0)], [estimate(0.0)], [estimate(None)], []):
        found = charts.axis(values, LATENCY.scale, Figures(1.0, 0, "", ""))
        assert found.low < found.high
        assert found.low >= 0.0
