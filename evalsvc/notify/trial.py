"""A made-up alert, to try whether receivers can be reached."""

from __future__ import annotations

from datetime import datetime, timedelta

from msgspec.structs import replace

from evalsvc.notify.message import Message, message_of
from evalsvc.rules.machine import Phase, Transition, transition_id
from evalsvc.rules.values import Severity, fingerprint


def trial(now: datetime, *, resolved: bool = False, severity: Severity = "info", page: str = "") -> Message:
    """Return the message of an alert ``EvalsvcTrial`` that says what it is; of one ``now``, both are one episode.

    Args:
        now: when it began; its end comes a second later.
        resolved: whether to say that it is over.
        severity: of the alert.
        page: the page's address; the link is to its list of alerts.
    """
    labels = {"alertname": "EvalsvcTrial", "severity": severity, "consumer": "evalsvc"}
    name = fingerprint(labels)
    after: Phase = "resolved" if resolved else "firing"
    told = Transition(
        id=transition_id(name, now, after),
        fingerprint=name,
        labels=labels,
        rule="EvalsvcTrial",
        consumer="evalsvc",
        key={},
        episode=now,
        before="firing" if resolved else "pending",
        after=after,
        at=now + timedelta(seconds=1 if resolved else 0),
        observation=None,
        reason="somebody tries whether this receiver can be reached",
        description=f"This is a trial: nothing is wrong. Whoever reads this is told of alerts ({after}).",
        annotations={"summary": "a trial, nothing is wrong"},
    )
    # No alert has a page of its own that none was.
    return replace(message_of(told), link=f"{page.rstrip('/')}/alerts" if page else "")
