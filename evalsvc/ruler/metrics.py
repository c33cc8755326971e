"""What the ruler exports about itself, by name: a closed catalogue, shown in ``docs/reference/metrics.md``."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import TYPE_CHECKING, Any

from evalsvc.notify import ReceiverCounts
from evalsvc.notify.exported import NotificationMetrics
from evalsvc.protocols import Clock

if TYPE_CHECKING:
    from prometheus_client import CollectorRegistry

COUNTERS: Mapping[str, tuple[str, tuple[str, ...]]] = {
    "evalsvc_ruler_looks_total": ("Looks at a group of rules, recorded.", ("group",)),
    "evalsvc_ruler_missed_looks_total": ("Looks that were due and skipped, as too much time had passed.", ("group",)),
    "evalsvc_ruler_look_seconds_total": ("Time spent on looks.", ("group",)),
    "evalsvc_ruler_errors_total": ("Looks at a rule that failed, or whose store did not answer.", ("rule",)),
    "evalsvc_ruler_unrecorded_total": ("Looks that the store did not take; they are made again.", ("group",)),
    "evalsvc_ruler_transitions_total": ("Changes of an alert's phase.", ("rule", "phase")),
}
GAUGES: Mapping[str, tuple[str, tuple[str, ...]]] = {
    "evalsvc_ruler_leads": ("Whether this ruler looks (1) or stands by for another (0).", ()),
    "evalsvc_ruler_interval_seconds": ("How often a group is to be looked at.", ("group",)),
    "evalsvc_ruler_last_look_timestamp_seconds": ("Time of the last look that was recorded.", ("group",)),
    "evalsvc_ruler_last_look_seconds": ("How long the last look took.", ("group",)),
    "evalsvc_ruler_alerts": ("Alerts by phase.", ("phase",)),
    "evalsvc_ruler_clock_jump_seconds": ("How far the clock has just jumped; looks wait until it is steady.", ()),
}


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

    def watch(self, group: str, interval_seconds: float, alerts: Iterable[str]) -> None:
        """Say of a group and its rules that there are any: counters begin at 0, so that the first failure shows."""
        self.gauge("evalsvc_ruler_interval_seconds", interval_seconds, group=group)
        for name, (_, labels) in COUNTERS.items():
            if labels == ("group",):
                self.count(name, 0, group=group)
        for alert in alerts:
            self.count("evalsvc_ruler_errors_total", 0, rule=alert)

    def count(self, name: str, amount: float = 1, **labels: str) -> None:
        """Add to a counter of the catalogue."""
        (self._metrics[name].labels(**labels) if labels else self._metrics[name]).inc(amount)

    def gauge(self, name: str, value: float, **labels: str) -> None:
        """Set a gauge of the catalogue."""
        (self._metrics[name].labels(**labels) if labels else self._metrics[name]).set(value)

    def follow(self, counts: Callable[[], Mapping[str, ReceiverCounts]], clock: Clock) -> None:
        """Export what became of each receiver's messages, as it is when Prometheus asks."""
        self.registry.register(NotificationMetrics(counts, clock))

    def render(self) -> bytes:
        """Return the page that Prometheus reads."""
        import prometheus_client

        return prometheus_client.generate_latest(self.registry)
