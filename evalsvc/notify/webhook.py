"""A webhook: a CloudEvents 1.0 body in JSON, signed as Standard Webhooks says, so that whoever gets it can check it.

https://github.com/cloudevents/spec/blob/v1.0.2/cloudevents/formats/json-format.md,
https://github.com/standard-webhooks/standard-webhooks/blob/main/spec/standard-webhooks.md
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import hmac
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

from evalsvc.errors import InputError
from evalsvc.notify import _http
from evalsvc.notify.alertmanager import rfc3339
from evalsvc.notify.message import Message
from evalsvc.protocols import Clock

_WHAT = "webhook"
_PREFIX = "whsec_"
_LEAST_KEY_BYTES = 24
MEDIA_TYPE = "application/cloudevents+json; charset=utf-8"
TOLERANCE_SECONDS = 300.0


class WebhookNotifier:
    """Posts events. The event's id is the transition's: what comes twice has the same."""

    def __init__(self, url: str, key: str, clock: Clock, *, timeout_seconds: float) -> None:
        self._url, self._key, self._clock, self._timeout = url, key_bytes(key), clock, timeout_seconds

    def __repr__(self) -> str:
        """Show neither address nor key."""
        return "WebhookNotifier(...)"

    def send(self, message: Message) -> str:
        """Post one event; any success will do, except a web page."""
        body = _http.encode(event_of(message))
        stamp = int(self._clock.now().timestamp())
        headers = {
            "Content-Type": MEDIA_TYPE,
            "webhook-id": message.id,
            "webhook-timestamp": str(stamp),
            "webhook-signature": _signature(self._key, message.id, stamp, body),
        }
        reply = _http.post(_WHAT, self._url, body, headers, self._timeout)
        _http.no_page(_WHAT, reply)
        return f"HTTP {reply.status}"


def event_of(message: Message) -> dict[str, Any]:
    """Return the CloudEvent of a message: ``io.evalsvc.alert.firing.v1`` or ``io.evalsvc.alert.resolved.v1``."""
    told = message.transition
    return {
        "specversion": "1.0",
        "id": message.id,
        "source": message.link.partition("/alerts/")[0] or "/evalsvc",
        "type": f"io.evalsvc.alert.{told.after}.v1",
        "subject": message.dedupe_key,
        "time": rfc3339(told.at),
        "datacontenttype": "application/json",
        "data": {
            "fingerprint": message.dedupe_key,
            "state": told.after,
            "severity": message.severity,
            "title": message.title,
            "text": message.text,
            "labels": dict(told.labels),
            "annotations": dict(told.annotations),
            "began": rfc3339(message.began),
            "at": rfc3339(told.at),
            "rule": told.rule,
            "consumer": told.consumer,
            "runbook": told.runbook,
            "link": message.link,
            "examples": [{"event_id": e.event_id, "value": e.value, "text": e.text} for e in message.examples],
        },
    }


def sign(key: str, message_id: str, timestamp: int, body: bytes) -> str:
    """Return the header ``webhook-signature`` of a body.

    Raises:
        InputError: when the key is none.
    """
    return _signature(key_bytes(key), message_id, timestamp, body)


def verify(
    key: str, headers: Mapping[str, str], body: bytes, now: datetime, tolerance_seconds: float = TOLERANCE_SECONDS
) -> str:
    """Return the id of a request that was signed with ``key`` and is not old.

    For the receiving side, on the body's bytes as they came. An id that was seen before is a repetition: of ours after
    a crash, or of somebody who recorded the request within the tolerance.

    Args:
        key: ``whsec_`` and base64, as the sender has it.
        headers: of the request, whatever their case.
        body: as it came.
        now: the receiver's time, with its zone.
        tolerance_seconds: how far the timestamp may be from ``now``, both ways.

    Raises:
        InputError: when it is not signed with this key, or its timestamp is too far from ``now``.
    """
    given = {name.lower(): value for name, value in headers.items()}
    name, stamp = given.get("webhook-id", ""), given.get("webhook-timestamp", "")
    if not name or not (stamp.isascii() and stamp.isdecimal() and len(stamp) < 12):
        raise InputError("Expected the headers `webhook-id` and `webhook-timestamp`, but got none that can be read")
    expected = _signature(key_bytes(key), name, int(stamp), body).encode()
    signatures = given.get("webhook-signature", "").encode("utf-8", "replace").split()
    if not any([hmac.compare_digest(expected, signature) for signature in signatures]):
        raise InputError("Expected a `webhook-signature` by this key, but none of the request's is")
    if abs(now.astimezone(UTC).timestamp() - int(stamp)) > tolerance_seconds:
        raise InputError(f"Expected a `webhook-timestamp` within {tolerance_seconds:g} s of now: this may be a replay")
    return name


def key_bytes(key: str) -> bytes:
    """Return the bytes of a key.

    Raises:
        InputError: when it is not ``whsec_`` and the base64 of 24 bytes or more. The key is not shown.
    """
    try:
        found = base64.b64decode(key.removeprefix(_PREFIX), validate=True) if key.startswith(_PREFIX) else b""
    except (binascii.Error, ValueError):
        found = b""
    if len(found) < _LEAST_KEY_BYTES:
        raise InputError(
            f"Expected the webhook's key to be `{_PREFIX}` and the base64 of {_LEAST_KEY_BYTES} bytes or more, but got "
            f'something else; make one by: echo "{_PREFIX}$(openssl rand -base64 32)"'
        )
    return found


def _signature(key: bytes, message_id: str, timestamp: int, body: bytes) -> str:
    signed = f"{message_id}.{timestamp}.".encode() + body
    return f"v1,{base64.b64encode(hmac.new(key, signed, hashlib.sha256).digest()).decode()}"
