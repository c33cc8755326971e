"""PagerDuty, by its Events API v2 (https://developer.pagerduty.com/docs/events-api-v2-overview)."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from evalsvc.errors import NotifierUnavailable
from evalsvc.notify import _http
from evalsvc.notify.alertmanager import rfc3339
from evalsvc.notify.message import Message, cut

_WHAT = "PagerDuty"
_SEVERITIES = {"page": "critical", "ticket": "warning", "info": "info"}
MAX_BYTES = 512 * 1024
MAX_SUMMARY = 1024
_MAX_VALUE = 1000
_MAX_ENTRIES = 100


class PagerDutyNotifier:
    """Triggers and resolves an alert, one for each fingerprint: PagerDuty takes what comes twice for one."""

    def __init__(self, key: str, url: str, *, timeout_seconds: float) -> None:
        self._key, self._url, self._timeout = key, url, timeout_seconds

    def __repr__(self) -> str:
        """Show no key."""
        return "PagerDutyNotifier(...)"

    def send(self, message: Message) -> str:
        """Enqueue one event."""
        reply = _http.post(_WHAT, self._url, self._body(message), {}, self._timeout)
        try:
            answer = json.loads(reply.body)
            taken = answer.get("status") == "success"
        except (ValueError, AttributeError, RecursionError):
            taken = False
        if not taken:
            raise NotifierUnavailable(
                f"{_WHAT}: HTTP {reply.status}, but the answer does not say that it took the event"
            )
        return f"HTTP {reply.status} success"

    def _body(self, message: Message) -> bytes:
        payload = _payload(message)
        event: dict[str, Any] = {
            "routing_key": self._key,
            "event_action": "resolve" if message.resolved else "trigger",
            "dedup_key": message.dedupe_key,
            "payload": payload,
            "client": "evalsvc",
            **({"client_url": message.link} if message.link else {}),
            "links": _links(message),
        }
        details = payload["custom_details"]
        for name in ("annotations", "labels", "examples"):
            if len(body := _http.encode(event)) <= MAX_BYTES:
                return body
            details[name] = "left out: the event would be longer than PagerDuty takes"
        return _http.encode(event)


def _payload(message: Message) -> dict[str, Any]:
    told = message.transition
    summary = f"{message.title}: {message.text}" if not message.summary else message.title
    details = {
        "description": cut(message.text, 4 * _MAX_VALUE),
        "labels": _short(told.labels),
        "annotations": _short(told.annotations),
        "examples": [{"event_id": cut(e.event_id, 200), "value": e.value, "text": e.text} for e in message.examples],
        "runbook": told.runbook,
        "transition_id": message.id,
    }
    return {
        "summary": cut(summary, MAX_SUMMARY),
        "source": told.consumer or "evalsvc",
        "severity": _SEVERITIES.get(message.severity, "error"),
        "timestamp": rfc3339(told.at),
        "component": cut(told.labels.get("metric", ""), 255) or "evalsvc",
        "class": cut(told.labels.get("alertname", told.rule), 255),
        "custom_details": details,
    }


def _links(message: Message) -> list[dict[str, str]]:
    links = [(message.link, "The alert's page"), (message.transition.runbook, "Runbook")]
    return [{"href": href, "text": text} for href, text in links if href.startswith(("http://", "https://"))]


def _short(texts: Mapping[str, str]) -> dict[str, str]:
    return {cut(name, 200): cut(texts[name], _MAX_VALUE) for name in list(texts)[:_MAX_ENTRIES]}
