"""A real Alertmanager is told of alerts, learns them again after it forgot, and tells its own receiver."""

from __future__ import annotations

import time
from collections.abc import Callable
from datetime import UTC, datetime, timedelta

import pytest

from alert_memory import MemoryLog, make_transition
from evalsvc.clock import SystemClock
from evalsvc.errors import NotifierRefused
from evalsvc.notify import AlertmanagerConfig, Delivery, Receiver, Routes, build_notifiers, message_of, trial
from evalsvc.notify.alertmanager import AlertmanagerNotifier
from evalsvc.testing import ManualClock
from servers.alertmanager import Alertmanager
from servers.receivers import FakeReceiver

ROUTES = Routes(
    receivers=(Receiver("am", AlertmanagerConfig(url_env="AM")),), default=("am",), page="https://evalsvc.example.com"
)


class Scene:
    """A ruler's delivery to an Alertmanager, on a clock that starts with the machine's, an hour ago."""

    def __init__(self, alertmanager: Alertmanager) -> None:
        self.episode = datetime.now(UTC).replace(microsecond=0) - timedelta(hours=1)
        self.clock, self.log = ManualClock(datetime.now(UTC)), MemoryLog()
        self.log.enrol(["am"], self.episode)
        notifiers = build_notifiers(ROUTES, {"AM": alertmanager.url}, self.clock)
        self.delivery = Delivery(self.log, ROUTES, notifiers, self.clock, page=ROUTES.page)

    def add(self, number: int, after: str = "firing", **options) -> None:
        self.log.add(make_transition(number, after, self.episode, **options))
        self.round()

    def round(self) -> None:
        self.delivery.round(self.clock.now())
        assert self.delivery.wait(30.0)


def until(condition: Callable[[], object], seconds: float = 20.0) -> None:
    end = time.monotonic() + seconds
    while not condition() and time.monotonic() < end:
        time.sleep(0.05)
    assert condition()


def names(alertmanager: Alertmanager) -> list[str]:
    return sorted(alert["labels"]["alertname"] for alert in alertmanager.alerts())


def test_a_trial_is_over_at_once(alertmanager: Alertmanager) -> None:
    now = datetime.now(UTC)
    notifier = build_notifiers(ROUTES, {"AM": alertmanager.url}, SystemClock())["am"]
    notifier.send(trial(now, page=ROUTES.page))
    (shown,) = alertmanager.alerts()
    assert shown["labels"]["alertname"] == "EvalsvcTrial"
    assert shown["generatorURL"] == "https://evalsvc.example.com/alerts"
    notifier.send(trial(now, resolved=True, page=ROUTES.page))
    until(lambda: names(alertmanager) == [])


def test_what_fires_shows_up_with_its_labels_and_what_is_over_goes(
    alertmanager: Alertmanager, alertmanager_hook: FakeReceiver
) -> None:
    scene = Scene(alertmanager)
    scene.add(1, annotations={"summary": "31% refused"}, runbook="https://wiki/refusals")
    scene.add(2)
    assert names(alertmanager) == ["A1", "A2"]
    (first,) = (alert for alert in alertmanager.alerts() if alert["labels"]["alertname"] == "A1")
    told = make_transition(1, episode=scene.episode)
    assert first["labels"] == told.labels
    assert first["annotations"] == {
        "summary": "31% refused",
        "description": "Alert 1 is firing.",
        "runbook_url": "https://wiki/refusals",
        "transition_id": told.id,
    }
    assert first["generatorURL"] == "https://evalsvc.example.com/alerts/f1"
    assert datetime.fromisoformat(first["startsAt"]) == scene.episode
    assert datetime.fromisoformat(first["endsAt"]) > scene.clock.now() + timedelta(hours=23)
    scene.add(1, "resolved")
    assert names(alertmanager) == ["A2"]

    def statuses() -> list[tuple[str, str]]:
        told = [(request.body["status"], request.body["alerts"][0]["labels"]) for request in alertmanager_hook.requests]
        return [(status, labels["alertname"]) for status, labels in told]

    until(lambda: ("resolved", "A1") in statuses())
    assert statuses().count(("firing", "A1")) == statuses().count(("resolved", "A1")) == 1


def test_what_came_twice_is_one_alert_that_is_told_once(
    alertmanager: Alertmanager, alertmanager_hook: FakeReceiver
) -> None:
    scene = Scene(alertmanager)
    scene.log.broken.add("record_receipts")
    scene.add(1)
    scene.log.broken.clear()
    notifiers = build_notifiers(ROUTES, {"AM": alertmanager.url}, scene.clock)
    scene.delivery = Delivery(scene.log, ROUTES, notifiers, scene.clock)
    scene.round()
    until(lambda: alertmanager_hook.requests)
    time.sleep(2.5)
    assert names(alertmanager) == ["A1"]
    assert len(alertmanager_hook.requests) == 1


def test_it_learns_again_what_fires_after_it_forgot(alertmanager: Alertmanager) -> None:
    scene = Scene(alertmanager)
    scene.add(1)
    scene.add(2)
    scene.add(2, "resolved")
    alertmanager.forget()
    assert names(alertmanager) == []
    scene.round()
    assert names(alertmanager) == []
    scene.clock.advance(60.0)
    scene.round()
    assert names(alertmanager) == ["A1"]
    assert scene.delivery.counts()["am"].sent == 3


def test_an_outage_of_ten_minutes_is_made_up_for(alertmanager: Alertmanager) -> None:
    scene = Scene(alertmanager)
    alertmanager.stop()
    for number in range(10):
        scene.add(number)
        if number % 2:
            scene.add(number, "resolved")
        scene.clock.advance(60.0)
    assert scene.delivery.counts()["am"].waiting == 15
    alertmanager.start()
    scene.clock.advance(60.0)
    scene.round()
    assert names(alertmanager) == ["A0", "A2", "A4", "A6", "A8"]
    assert set(scene.log.outcomes("am").values()) == {"delivered"}


def test_silences_and_inhibition_there_are_its_own(alertmanager: Alertmanager) -> None:
    scene = Scene(alertmanager)
    now = datetime.now(UTC)
    alertmanager.post(
        "/api/v2/silences",
        {
            "matchers": [{"name": "alertname", "value": "A1", "isRegex": False, "isEqual": True}],
            "startsAt": now.isoformat(),
            "endsAt": (now + timedelta(hours=1)).isoformat(),
            "createdBy": "me",
            "comment": "a deploy",
        },
    )
    scene.add(1)
    scene.add(2, labels={**make_transition(2).labels, "severity": "ticket"})

    def states() -> dict[str, str]:
        return {alert["labels"]["alertname"]: alert["status"]["state"] for alert in alertmanager.alerts()}

    until(lambda: states() == {"A1": "suppressed", "A2": "suppressed"})
    assert set(scene.log.outcomes("am").values()) == {"delivered"}


def test_what_it_does_not_take_is_refused(alertmanager: Alertmanager) -> None:
    told = make_transition(1, labels={"no-label": "x"})
    notifier = AlertmanagerNotifier(
        alertmanager.url, ManualClock(datetime.now(UTC)), expires_seconds=3600.0, timeout_seconds=10.0
    )
    with pytest.raises(NotifierRefused, match=r"Alertmanager: HTTP 400$"):
        notifier.send(message_of(told))
