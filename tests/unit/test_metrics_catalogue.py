"""The page about the metrics names every one with its labels, and nothing else is exported."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from evalsvc.judges import Spend
from evalsvc.pipeline.metrics import WorkerMetrics
from evalsvc.ruler.metrics import COUNTERS as RULER_COUNTERS
from evalsvc.ruler.metrics import RulerMetrics
from evalsvc.scorers.judge import Judge
from evalsvc.types import Abstained, Scale, Scored, ScorerSpec
from exported_names import CATALOGUES, COUNTERS, GAUGES

PAGE = Path(__file__).parents[2] / "docs" / "reference" / "metrics.md"


@pytest.mark.skipif(not PAGE.exists(), reason="the documentation is not part of the installed package")
def test_page_lists_the_catalogues() -> None:
    rows = re.findall(r"^\| `(\w+)` \| (\w+) \| (.*?) \|", PAGE.read_text(), re.MULTILINE)
    kinds = {name: kind for name, kind, _ in rows}
    assert len(kinds) == len(rows)
    assert kinds == {**dict.fromkeys(COUNTERS, "counter"), **dict.fromkeys(GAUGES, "gauge")}
    listed = {name: tuple(re.findall(r"`(\w+)`", labels)) for name, _, labels in rows}
    assert listed == {
        name: (*(label for label in labels if label != "…"), *(("by",) if "…" in labels else ()))
        for name, labels in (COUNTERS | GAUGES).items()
    }


def test_no_two_catalogues_share_a_name() -> None:
    assert len(COUNTERS | GAUGES) == sum(len(one.COUNTERS) + len(one.GAUGES) for one in CATALOGUES)
    assert all(name.endswith("_total") for name in COUNTERS)
    assert not any(name.endswith("_total") for name in GAUGES)


def test_a_ruler_begins_with_zeros_for_what_it_watches() -> None:
    metrics = RulerMetrics()
    metrics.watch("a.rules.yaml:support", 300.0, ["Fell"])
    page = metrics.render().decode()
    assert 'evalsvc_ruler_interval_seconds{group="a.rules.yaml:support"} 300.0' in page
    for name, labels in RULER_COUNTERS.items():
        if labels[1] == ("group",):
            assert f'{name}{{group="a.rules.yaml:support"}} 0.0' in page
    assert 'evalsvc_ruler_errors_total{rule="Fell"} 0.0' in page
    metrics.count("evalsvc_ruler_errors_total", rule="Fell")
    metrics.watch("a.rules.yaml:support", 300.0, ["Fell"])
    assert 'evalsvc_ruler_errors_total{rule="Fell"} 1.0' in metrics.render().decode()


def test_two_consumers_share_a_registry() -> None:
    one = WorkerMetrics("a")
    two = WorkerMetrics("b", one.registry)
    spec = ScorerSpec("length", 1, Scale(0.0, None, "neither"))
    one.scored(spec, [1.0, Abstained("no"), Scored(2.0)], 0.5)
    two.count("evalsvc_batches_total")
    page = one.render().decode()
    assert 'evalsvc_scores_total{consumer="a",metric="length",status="ok"} 2.0' in page
    assert 'evalsvc_scores_total{consumer="a",metric="length",status="abstained"} 1.0' in page
    assert 'evalsvc_batches_total{consumer="b"} 1.0' in page
    assert page == two.render().decode()


def test_what_a_judge_costs_is_counted_once() -> None:
    metrics = WorkerMetrics("a")
    judge = Judge("The answer is polite.", "judge-model", "http://localhost:9/v1", name="tone")
    for spend in (Spend(100, 20, 0.5, 1), Spend(50, 10, 0.25, 2)):
        reservation = judge.client.budget.reserve(Spend())
        assert not isinstance(reservation, str)
        judge.client.budget.settle(reservation, spend)
        metrics.judge(judge)
        metrics.judge(judge)
    page = metrics.render().decode()
    assert 'evalsvc_judge_cost_usd_total{consumer="a",metric="judge_tone"} 0.75' in page
    assert 'evalsvc_judge_tokens_total{consumer="a",metric="judge_tone"} 180.0' in page
    assert 'evalsvc_judge_calls_total{consumer="a",metric="judge_tone"} 3.0' in page


def test_an_unknown_name_is_refused() -> None:
    with pytest.raises(KeyError):
        WorkerMetrics("a").count("evalsvc_made_up_total")
