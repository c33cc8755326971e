"""What a ruler exports of its receivers, by name: a closed catalogue, shown in ``docs/reference/metrics.md``."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import TYPE_CHECKING

from evalsvc.clock import SystemClock
from evalsvc.notify.counts import ReceiverCounts
from evalsvc.protocols import Clock

if TYPE_CHECKING:
    from prometheus_client import Metric

COUNTERS: Mapping[str, tuple[str, tuple[str, ...]]] = {
    "evalsvc_notifications_total": ("Messages by what became of them.", ("receiver", "outcome")),
    "evalsvc_notifications_failed_attempts_total": (
        "Attempts that came to nothing; the message is sent again.",
        ("receiver",),
    ),
    "evalsvc_notifications_failed_turns_total": (
        "Turns of a receiver that ended early: the store did not answer, or telling itself failed, as the log says.",
        ("receiver",),
    ),
    "evalsvc_notifications_refreshes_total": ("Times that a receiver was told again what fires.", ("receiver",)),
}
GAUGES: Mapping[str, tuple[str, tuple[str, ...]]] = {
    "evalsvc_notifications_waiting": ("Messages still to be told, silenced ones among them.", ("receiver",)),
    "evalsvc_notifications_oldest_seconds": (
        "How long the oldest message that could be told has waited; 0 where none does.",
        ("receiver",),
    ),
    "evalsvc_notifications_failing": ("Whether the receiver's last attempt failed (1) or not (0).", ("receiver",)),
    "evalsvc_notifications_last_success_timestamp_seconds": (
        "When the receiver last took a message; no sample before the first.",
        ("receiver",),
    ),
}


class NotificationMetrics:
    """A collector of ``prometheus_client``: ``registry.register(NotificationMetrics(delivery.counts))``.

    Ages are of the moment of the scrape: they grow even where nothing has a turn any more.
    """

    def __init__(self, counts: Callable[[], Mapping[str, ReceiverCounts]], clock: Clock | None = None) -> None:
        """Take what gives the counts by receiver: :meth:`evalsvc.notify.delivery.Delivery.counts`."""
        self._counts, self._clock = counts, clock or SystemClock()

    def collect(self) -> Iterator[Metric]:
        """Show what came of each receiver's messages so far."""
        from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily

        now = self._clock.now()
        counters = {name: CounterMetricFamily(name, text, labels=ls) for name, (text, ls) in COUNTERS.items()}
        gauges = {name: GaugeMetricFamily(name, text, labels=ls) for name, (text, ls) in GAUGES.items()}
        for receiver, counts in self._counts().items():
            told = counters["evalsvc_notifications_total"]
            told.add_metric((receiver, "delivered"), counts.sent)
            told.add_metric((receiver, "refused"), counts.refused)
            told.add_metric((receiver, "silenced"), counts.silenced)
            told.add_metric((receiver, "not_routed"), counts.not_routed)
            told.add_metric((receiver, "missed"), counts.missed)
            counters["evalsvc_notifications_failed_attempts_total"].add_metric((receiver,), counts.failed)
            counters["evalsvc_notifications_failed_turns_total"].add_metric((receiver,), counts.turns_failed)
            counters["evalsvc_notifications_refreshes_total"].add_metric((receiver,), counts.refreshed)
            gauges["evalsvc_notifications_waiting"].add_metric((receiver,), counts.waiting)
            gauges["evalsvc_notifications_oldest_seconds"].add_metric((receiver,), counts.oldest_seconds(now))
            gauges["evalsvc_notifications_failing"].add_metric((receiver,), float(bool(counts.trouble)))
            if counts.last_success is not None:
                last = counts.last_success.timestamp()
                gauges["evalsvc_notifications_last_success_timestamp_seconds"].add_metric((receiver,), last)
        yield from counters.values()
        yield from gauges.values()
