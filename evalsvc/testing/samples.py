"""Events and samples for tests, with every field that may matter filled in."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

from evalsvc.types import Event, Message, Sample

_FIELDS: dict[str, Any] = {
    "occurred_at": datetime(2026, 1, 1, 12, tzinfo=UTC),
    "application": "support",
    "model": "assistant",
    "model_version": "1",
    "prompt": (Message("system", "Be brief."), Message("user", "How long does delivery take?")),
    "response": "Delivery takes three working days. Express orders arrive the next day.",
    "contexts": ("Standard delivery takes three working days.", "Express orders arrive the next day."),
    "reference": "Three working days, or one day with express delivery.",
    "segments": {"plan": "pro", "language": "en"},
    "session_id": "session-1",
    "user_id": "user-1",
    "latency_ms": 812.5,
    "time_to_first_token_ms": 120.0,
    "input_tokens": 41,
    "output_tokens": 13,
    "cost_usd": 0.0021,
    "finish_reason": "stop",
}


def make_event(event_id: str = "event-1", **fields: Any) -> Event:  # noqa: ANN401 - any field of Event
    """Return a complete interaction; ``fields`` replace its own.

    >>> make_event(model_version="2").model_version
    '2'
    """
    return Event(event_id=event_id, **{**_FIELDS, **fields})


def make_sample(event_id: str = "event-1", *, pi: float = 1.0, **fields: Any) -> Sample:  # noqa: ANN401
    """Return a sample of such an event, taken with ``pi``."""
    event = make_event(event_id, **fields)
    stratum = f"application={event.application},model_version={event.model_version}"
    return Sample(event, "quality", 1, stratum, pi)
