"""The demo's table: what the sample says about all traffic, beside what all traffic really is."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Mapping, Sequence
from datetime import timedelta
from pathlib import Path
from typing import NamedTuple

from evalsvc.demo.scene import Scene
from evalsvc.demo.traffic import DAYS, PLANTED, Truth
from evalsvc.protocols import ScoreStore
from evalsvc.query import EstimateQuery, estimates
from evalsvc.types import Estimate, Window


class Line(NamedTuple):
    """A question that the sample can be asked and the truth can answer."""

    what: str
    metric: str
    statistic: str
    where: Mapping[str, tuple[str, ...]]
    true: Callable[[Sequence[Truth]], float]


def show(scene: Scene) -> None:
    """Print the table, and how many intervals hold the truth."""
    from evalsvc import assemble, project

    found, _ = project.load_consumer(Path("consumers/demo.yaml"))
    span = Window(scene.end - timedelta(days=DAYS), scene.end)
    print(f"\n{'':46} {'estimate':>10} {'95 % interval':>23} {'truth':>10} {'':6} {'scored':>7} {'of':>8}")
    held = asked = 0
    with assemble.project_store(found, project.Environment.read(os.environ), exclusive=True) as store:
        for line in questions():
            truths = [truth for truth in scene.truths if _fits(truth, line.where)]
            estimate, true = _ask(store, line, span), line.true(truths)
            inside = estimate.low is not None and estimate.high is not None and estimate.low <= true <= estimate.high
            asked, held = asked + 1, held + inside
            print(_row(line.what, estimate, true, inside, len(truths)))
        print(f"\n{held} of {asked} intervals hold the truth; about 95 % are meant to.")
        _show_support(store, span)


def questions() -> list[Line]:
    """Return what is compared."""
    lines = []
    for version in PLANTED:
        only = {"model_version": (version,)}
        lines += [
            Line(f"answers refused, version {version}", "refusal", "mean", only, _share(lambda t: t.refusal)),
            Line(
                f"answers with invented personal data, version {version}",
                "introduced_pii",
                "mean",
                only,
                _share(lambda t: t.introduced_pii),
            ),
            Line(f"mean latency in ms, version {version}", "latency_ms", "mean", only, _mean(lambda t: t.latency_ms)),
            Line(f"p95 latency in ms, version {version}", "latency_ms", "p95", only, _quantile(lambda t: t.latency_ms)),
        ]
    for version in PLANTED:
        spanish = {"model_version": (version,), "segments.language": ("es",)}
        lines.append(
            Line(f"refused in Spanish, version {version}", "refusal", "mean", spanish, _share(lambda t: t.refusal))
        )
    lines.append(Line("total cost in USD", "cost_usd", "total", {}, lambda truths: sum(t.cost_usd for t in truths)))
    lines.append(Line("mean tokens of an answer", "output_tokens", "mean", {}, _mean(lambda t: float(t.output_tokens))))
    return lines


def _show_support(store: ScoreStore, span: Window) -> None:
    """Say what the encoder's score makes of the planted unsupported answers; it has no truth in its own unit."""
    print("\nSupport of answers by their passages (an encoder's score; higher is better):")
    for row in estimates(store, EstimateQuery("context_support", span, int(span.seconds), by=("model_version",))):
        version = row.labels["model_version"]
        planted = f"{PLANTED[version].unsupported:.0%} of its answers were made unsupported"
        print(f"  version {version}: {_number(row.estimate.value)} ({_interval(row.estimate)}); {planted}")


def _ask(store: ScoreStore, line: Line, span: Window) -> Estimate:
    query = EstimateQuery(line.metric, span, int(span.seconds), where=line.where, statistic=line.statistic)
    (row,) = estimates(store, query)
    return row.estimate


def _fits(truth: Truth, where: Mapping[str, tuple[str, ...]]) -> bool:
    return all(getattr(truth, field.removeprefix("segments.")) in values for field, values in where.items())


def _share(test: Callable[[Truth], bool]) -> Callable[[Sequence[Truth]], float]:
    return lambda truths: sum(map(test, truths)) / len(truths)


def _mean(value: Callable[[Truth], float]) -> Callable[[Sequence[Truth]], float]:
    return lambda truths: sum(map(value, truths)) / len(truths)


def _quantile(value: Callable[[Truth], float], level: float = 0.95) -> Callable[[Iterable[Truth]], float]:
    def quantile(truths: Iterable[Truth]) -> float:
        ordered = sorted(map(value, truths))
        return ordered[min(len(ordered) - 1, int(level * len(ordered)))]

    return quantile


def _row(what: str, estimate: Estimate, true: float, inside: bool, events: int) -> str:
    mark = "inside" if inside else "OUT"
    return (
        f"{what:46} {_number(estimate.value):>10} {_interval(estimate):>23} {_number(true):>10} {mark:6} "
        f"{estimate.n:>7,} {events:>8,}"
    )


def _interval(estimate: Estimate) -> str:
    return f"{_number(estimate.low)} – {_number(estimate.high)}"


def _number(value: float | None) -> str:
    return "–" if value is None else f"{value:,.0f}" if abs(value) >= 1000 else f"{value:.4g}"
