"""Every metric that a worker exports, by name: a closed catalogue, shown in ``docs/reference/metrics.md``."""

from __future__ import annotations

from collections import Counter as Tally
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

from evalsvc.engine.statistics import EngineStats
from evalsvc.judges import Spend
from evalsvc.protocols import Scorer
from evalsvc.types import Abstained, Failed, Outcome, ScorerSpec

if TYPE_CHECKING:
    from prometheus_client import CollectorRegistry

COUNTERS: Mapping[str, tuple[str, tuple[str, ...]]] = {
    "evalsvc_records_read_total": ("Records read from the source.", ()),
    "evalsvc_records_total": ("Records by what became of them, once written.", ("outcome",)),
    "evalsvc_dead_letters_total": ("Records that are not events.", ("reason",)),
    "evalsvc_scores_total": ("Scores by metric and status.", ("metric", "status")),
    "evalsvc_score_seconds_total": ("Time spent in each scorer.", ("metric",)),
    "evalsvc_write_seconds_total": ("Time spent writing to the store.", ()),
    "evalsvc_waits_total": ("Times that store or source did not answer and were asked again.", ("target",)),
    "evalsvc_batches_total": ("Batches written.", ()),
    "evalsvc_rebalances_total": ("Times that partitions were taken away.", ()),
    "evalsvc_pauses_total": ("Times that the source was paused by backpressure.", ()),
    "evalsvc_engine_tokens_total": ("Tokens that went through a model of the engine.", ("model",)),
    "evalsvc_engine_device_seconds_total": ("Time that a model's device worked for it.", ("model",)),
    "evalsvc_engine_queue_seconds_total": ("Time that texts waited for a model.", ("model",)),
    "evalsvc_judge_calls_total": ("Calls to a judge, those without a score included.", ("metric",)),
    "evalsvc_judge_tokens_total": ("Tokens that a judge read and wrote.", ("metric",)),
    "evalsvc_judge_cost_usd_total": ("What a judge's calls cost, where its prices are given.", ("metric",)),
}
GAUGES: Mapping[str, tuple[str, tuple[str, ...]]] = {
    "evalsvc_lag_records": ("Records that wait in the source.", ("partition",)),
    "evalsvc_oldest_unscored_seconds": ("Age of the oldest record that was read and is not yet written.", ()),
    "evalsvc_queue_batches": ("Batches that wait for a step.", ("step",)),
    "evalsvc_sampling_rate": ("Rate of the design in force, of strata without one of their own.", ()),
    "evalsvc_design_version": ("Version of the design in force.", ()),
    "evalsvc_sampling_faults": ("Strata of the last day whose taken share cannot be chance under their rate.", ()),
    "evalsvc_ready": ("Whether the worker reads and writes (1) or waits (0).", ()),
    "evalsvc_engine_padding_waste_ratio": ("Share of a model's tokens that were padding.", ("model",)),
}


class WorkerMetrics:
    """The catalogue on one registry, all with the label ``consumer``."""

    def __init__(self, consumer: str, registry: CollectorRegistry | None = None) -> None:
        """Register for ``consumer``; several consumers of one process share a registry."""
        import prometheus_client as prometheus

        self.consumer = consumer
        self.registry = registry or prometheus.CollectorRegistry()
        shared: dict[str, object] | None = getattr(self.registry, "evalsvc_catalogue", None)
        if shared is None:
            shared = {
                **{
                    n: prometheus.Counter(n, h, ("consumer", *ls), registry=self.registry)
                    for n, (h, ls) in COUNTERS.items()
                },
                **{
                    n: prometheus.Gauge(n, h, ("consumer", *ls), registry=self.registry)
                    for n, (h, ls) in GAUGES.items()
                },
            }
            self.registry.evalsvc_catalogue = shared  # type: ignore[attr-defined]
        self._metrics = shared
        self._engines: dict[int, Mapping[str, float]] = {}
        self._spent: dict[int, Spend] = {}

    def count(self, name: str, amount: float = 1, **labels: str) -> None:
        """Add to a counter of the catalogue."""
        self._metrics[name].labels(consumer=self.consumer, **labels).inc(amount)  # type: ignore[attr-defined]

    def gauge(self, name: str, value: float, **labels: str) -> None:
        """Set a gauge of the catalogue."""
        self._metrics[name].labels(consumer=self.consumer, **labels).set(value)  # type: ignore[attr-defined]

    def scored(self, spec: ScorerSpec, outcomes: Sequence[Outcome], seconds: float) -> None:
        """One scorer has looked at one batch."""
        self.count("evalsvc_score_seconds_total", seconds, metric=spec.metric)
        for status, number in Tally(map(_status, outcomes)).items():
            self.count("evalsvc_scores_total", number, metric=spec.metric, status=status)

    def engine(self, scorer: Scorer) -> None:
        """Add what the scorer's model did since the last time; nothing for a scorer without one."""
        model = getattr(scorer, "encoder", None) or getattr(scorer, "model", None)
        stats = getattr(model, "stats", None)
        if model is None or not isinstance(stats, EngineStats):
            return
        name, now, before = model.files.name, stats.snapshot(), self._engines.get(id(model), {})
        self._engines[id(model)] = now
        for what in ("tokens", "device_seconds", "queue_seconds"):
            self.count(f"evalsvc_engine_{what}_total", now[what] - before.get(what, 0.0), model=name)
        self.gauge("evalsvc_engine_padding_waste_ratio", now["padding_waste"], model=name)

    def judge(self, scorer: Scorer) -> None:
        """Add what the scorer's judge has cost since the last time; nothing for a scorer without one."""
        now = getattr(scorer, "spend", None)
        if not isinstance(now, Spend):
            return
        before, metric = self._spent.get(id(scorer), Spend()), scorer.spec.metric
        self._spent[id(scorer)] = now
        self.count("evalsvc_judge_calls_total", now.calls - before.calls, metric=metric)
        self.count("evalsvc_judge_tokens_total", now.tokens - before.tokens, metric=metric)
        self.count("evalsvc_judge_cost_usd_total", (now.usd or 0.0) - (before.usd or 0.0), metric=metric)

    def render(self) -> bytes:
        """Return the page that Prometheus reads."""
        import prometheus_client

        return prometheus_client.generate_latest(self.registry)


def _status(outcome: Outcome) -> str:
    return "abstained" if isinstance(outcome, Abstained) else "failed" if isinstance(outcome, Failed) else "ok"
