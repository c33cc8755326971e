"""What became of notifications, as Prometheus reads it: names, labels, ages."""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta

from prometheus_client import CollectorRegistry, generate_latest

from evalsvc.notify.counts import ReceiverCounts
from evalsvc.notify.exported import COUNTERS, GAUGES, NotificationMetrics
from evalsvc.testing import ManualClock

NOW = datetime(2026, 3, 2, 12, tzinfo=UTC)
BUSY = ReceiverCounts(
    sent=7,
    refused=1,
    failed=4,
    silenced=2,
    not_routed=3,
    refreshed=5,
    turns_failed=6,
    missed=8,
    waiting=9,
    oldest_at=NOW - timedelta(minutes=5),
    last_success=NOW - timedelta(minutes=7),
    trouble="503",
)


def page(counts: dict[str, ReceiverCounts], clock: ManualClock) -> str:
    registry = CollectorRegistry()
    registry.register(NotificationMetrics(lambda: counts, clock))
    return generate_latest(registry).decode()


def test_every_count_is_shown_under_its_own_name() -> None:
    shown = page({"oncall": BUSY}, ManualClock(NOW))
    samples = {line for line in shown.splitlines() if not line.startswith("#") and "_success_" not in line}
    assert samples == {
        'evalsvc_notifications_total{outcome="delivered",receiver="oncall"} 7.0',
        'evalsvc_notifications_total{outcome="refused",receiver="oncall"} 1.0',
        'evalsvc_notifications_total{outcome="silenced",receiver="oncall"} 2.0',
        'evalsvc_notifications_total{outcome="not_routed",receiver="oncall"} 3.0',
        'evalsvc_notifications_total{outcome="missed",receiver="oncall"} 8.0',
        'evalsvc_notifications_failed_attempts_total{receiver="oncall"} 4.0',
        'evalsvc_notifications_refreshes_total{receiver="oncall"} 5.0',
        'evalsvc_notifications_failed_turns_total{receiver="oncall"} 6.0',
        'evalsvc_notifications_waiting{receiver="oncall"} 9.0',
        'evalsvc_notifications_oldest_seconds{receiver="oncall"} 300.0',
        'evalsvc_notifications_failing{receiver="oncall"} 1.0',
    }
    (last,) = re.findall(r'^evalsvc_notifications_last_success_timestamp_seconds{receiver="oncall"} (.+)$', shown, re.M)
    assert float(last) == (NOW - timedelta(minutes=7)).timestamp()
    assert all(f"# TYPE {name} counter" in shown for name in COUNTERS)
    assert all(f"# TYPE {name} gauge" in shown for name in GAUGES)


def test_a_message_grows_older_without_a_turn() -> None:
    clock = ManualClock(NOW)
    clock.advance(3600)
    assert 'oldest_seconds{receiver="oncall"} 3900.0' in page({"oncall": BUSY}, clock)


def test_a_receiver_that_was_never_told_has_zeros_and_no_time_of_success() -> None:
    shown = page({"oncall": BUSY, "mail": ReceiverCounts()}, ManualClock(NOW))
    assert 'evalsvc_notifications_total{outcome="refused",receiver="mail"} 0.0' in shown
    assert 'evalsvc_notifications_oldest_seconds{receiver="mail"} 0.0' in shown
    assert 'evalsvc_notifications_failing{receiver="mail"} 0.0' in shown
    assert 'last_success_timestamp_seconds{receiver="mail"}' not in shown


def test_without_receivers_there_is_no_sample() -> None:
    assert not [line for line in page({}, ManualClock(NOW)).splitlines() if not line.startswith("#")]
