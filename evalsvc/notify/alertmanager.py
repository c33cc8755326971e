"""Alertmanager, by its API v2 (https://github.com/prometheus/alertmanager/blob/main/api/v2/openapi.yaml)."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Any

from evalsvc.notify import _http
from evalsvc.notify.message import Message
from evalsvc.protocols import Clock

_WHAT = "Alertmanager"
_CHUNK = 500


class AlertmanagerNotifier:
    """Posts alerts, whose identity there is their labels: the same labels are the same alert, however often posted."""

    def __init__(
        self, url: str, clock: Clock, *, expires_seconds: float, timeout_seconds: float, token: str = ""
    ) -> None:
        self._url, self._clock = f"{url.rstrip('/')}/api/v2/alerts", clock
        self._expires, self._timeout = timedelta(seconds=expires_seconds), timeout_seconds
        self._headers = {"Authorization": f"Bearer {token}"} if token else {}

    def __repr__(self) -> str:
        """Show no address, which may hold a password."""
        return "AlertmanagerNotifier(...)"

    def send(self, message: Message) -> str:
        """Post one alert."""
        return self._post([self._alert(message)])

    def refresh(self, firing: Sequence[Message], resolved: Sequence[Message]) -> None:
        """Post again what fires, and what was resolved lately: it may have missed or forgotten either."""
        alerts = [self._alert(message) for message in (*firing, *resolved)]
        for start in range(0, len(alerts), _CHUNK):
            self._post(alerts[start : start + _CHUNK])

    def _post(self, alerts: Sequence[Any]) -> str:
        reply = _http.post(_WHAT, self._url, _http.encode(alerts), self._headers, self._timeout)
        _http.no_page(_WHAT, reply)
        return f"HTTP {reply.status}"

    def _alert(self, message: Message) -> dict[str, Any]:
        told = message.transition
        # Set for what fires, too: otherwise Alertmanager resolves it after its own resolve_timeout of five minutes.
        # An end by a clock that was ahead is over now: what ends later still fires there.
        now = self._clock.now()
        ends = min(told.at, now) if message.resolved else now + self._expires
        annotations = {
            **told.annotations,
            "summary": message.summary or message.title,
            "description": "\n".join(part for part in (told.annotations.get("description", ""), message.text) if part),
            "runbook_url": told.runbook,
            "examples": _examples(message),
            "transition_id": message.id,
        }
        return {
            "labels": {name: value for name, value in told.labels.items() if value},
            "annotations": {name: value for name, value in annotations.items() if value},
            "startsAt": rfc3339(min(message.began, ends)),
            "endsAt": rfc3339(ends),
            **({"generatorURL": message.link} if message.link else {}),
        }


def rfc3339(moment: datetime) -> str:
    """Return a time as JSON APIs take it."""
    return moment.isoformat(timespec="milliseconds").replace("+00:00", "Z")


def _examples(message: Message) -> str:
    return "\n".join(f"{e.event_id} ({e.value:g}){f': {e.text}' if e.text else ''}" for e in message.examples)
