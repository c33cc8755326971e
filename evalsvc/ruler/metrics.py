"""What the ruler exports about itself, by name: a closed catalogue, shown in ``docs/reference/metrics.md``."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from prometheus_client import CollectorRegistry
    from prometheus_client.core import Metric

    from evalsvc.notify import ReceiverCounts
    from evalsvc.protocols import Clock

COUNTERS: Mapping[str, tuple[str, tuple[str, ...]]] = {
    "evalsvc_ruler_looks_total": ("Looks at a group of rules, recorded.", ("group",)),
    "evalsvc_ruler_missed_looks_total": ("Looks that were due and skipped, as too much time had passed.", ("group",)),
    "evalsvc_ruler_look_seconds_total": ("Time spent on looks.", ("group",)),
    "evalsvc_ruler_errors_total": ("Looks at a rule that failed, or whose store did not answer.", ("alertname",)),
    "evalsvc_ruler_unrecorded_total": ("Looks that the store did not take; they are made again.", ("group",)),
    "evalsvc_ruler_transitions_total": ("Changes of an alert's phase.", ("alertname", "phase")),
}
GAUGES: Mapping[str, tuple[str, tuple[str, ...]]] = {
    "evalsvc_ruler_leads": ("Whether this ruler looks (1) or stands by for another (0).", ()),
    "evalsvc_ruler_last_look_timestamp_seconds": ("Time of the last look that was recorded.", ("group",)),
    "evalsvc_ruler_last_look_seconds": ("How long the last look took.", ("group",)),
    "evalsvc_ruler_alerts": ("Alerts by phase.", ("phase",)),
    "evalsvc_ruler_clock_jump_seconds": ("How far the clock has just jumped; looks wait until it is steady.", ()),
}


RECEIVER_COUNTERS: Mapping[str, str] = {
    "evalsvc_notifications_sent_total": "Messages that a receiver took.",
    "evalsvc_notifications_refused_total": "Messages that a receiver refuses for good.",
    "evalsvc_notifications_failed_total": "Attempts that came to nothing; they are made again.",
    "evalsvc_notifications_silenced_total": "Messages that a silence held back until their alert was over.",
    "evalsvc_notifications_turns_failed_total": "Turns that ended early, as the store did not answer.",
}
RECEIVER_GAUGES: Mapping[str, str] = {
    "evalsvc_notifications_waiting": "Messages that wait to be told.",
    "evalsvc_notifications_oldest_seconds": "How long the oldest of those waits that no silence holds back.",
}
"""What is exported of each receiver, with the label ``receiver``."""


class RulerMetrics:
    """The catalogue on one registry."""

    def __init__(self, registry: CollectorRegistry | None = None) -> None:
        """Register; a process has one ruler."""
        import prometheus_client as prometheus

        self.registry = registry or prometheus.CollectorRegistry()
        self._metrics: dict[str, Any] = {
            **{n: prometheus.Counter(n, h, labels, registry=self.registry) for n, (h, labels) in COUNTERS.items()},
            **{n: prometheus.Gauge(n, h, labels, registry=self.registry) for n, (h, labels) in GAUGES.items()},
        }

    def count(self, name: str, amount: float = 1, **labels: str) -> None:
        """Add to a counter of the catalogue."""
        (self._metrics[name].labels(**labels) if labels else self._metrics[name]).inc(amount)

    def gauge(self, name: str, value: float, **labels: str) -> None:
        """Set a gauge of the catalogue."""
        (self._metrics[name].labels(**labels) if labels else self._metrics[name]).set(value)

    def follow(self, counts: Callable[[], Mapping[str, ReceiverCounts]], clock: Clock) -> None:
        """Export what became of each receiver's messages, as it is when Prometheus asks."""
        self.registry.register(_Receivers(counts, clock))

    def render(self) -> bytes:
        """Return the page that Prometheus reads."""
        import prometheus_client

        return prometheus_client.generate_latest(self.registry)


class _Receivers:
    """A collector of :class:`~evalsvc.notify.ReceiverCounts`."""

    def __init__(self, counts: Callable[[], Mapping[str, ReceiverCounts]], clock: Clock) -> None:
        self._counts, self._clock = counts, clock

    def collect(self) -> Iterator[Metric]:
        """Yield each metric with a sample a receiver."""
        from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily

        counts, now = self._counts(), self._clock.now()
        for name, text in RECEIVER_COUNTERS.items():
            counter = CounterMetricFamily(name.removesuffix("_total"), text, labels=["receiver"])
            for receiver, held in counts.items():
                field = name.removeprefix("evalsvc_notifications_").removesuffix("_total")
                counter.add_metric([receiver], float(getattr(held, field)))
            yield counter
        for name, text in RECEIVER_GAUGES.items():
            gauge = GaugeMetricFamily(name, text, labels=["receiver"])
            for receiver, held in counts.items():
                waits = name.endswith("waiting")
                gauge.add_metric([receiver], float(held.waiting) if waits else held.oldest_seconds(now))
            yield gauge
