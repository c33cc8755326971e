"""Alerts for the tests of those who show them: one that fires, a pending one, a resolved one, an inactive one."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

from evalsvc.rules.history import AlertLog, Look, Receipt, Told
from evalsvc.rules.machine import AlertState, Example, Observation, Phase, Transition, transition_id
from evalsvc.rules.values import fingerprint
from evalsvc.types import Estimate, Window

NOON = datetime(2026, 3, 15, 12, tzinfo=UTC)


def estimate(value: float, low: float | None, high: float | None, end: datetime) -> Estimate:
    """An estimate of the hour to `end`."""
    window = Window(end - timedelta(hours=1), end)
    return Estimate(value, low, high, 412, 398.5, 9, 0.021, window, confidence=0.9999769, method="wilson")


def labels_of(alert: str, severity: str = "page", **more: str) -> dict[str, str]:
    return {"alertname": alert, "severity": severity, "metric": "refusal", "consumer": "quality", **more}


def alert(
    now: datetime, phase: Phase, labels: dict[str, str], minutes: float = 30.0, **changes: object
) -> tuple[AlertState, list[Look]]:
    """An alert's last state, in a phase since `minutes` ago, and the looks that led there."""
    since = now - timedelta(minutes=minutes)
    began = since - timedelta(minutes=10) if phase != "pending" else since
    window = Window(since - timedelta(hours=1), since)
    fired = Observation(
        verdict="bad",
        window=window,
        estimate=estimate(0.31, 0.27, 0.35, since),
        baseline=estimate(0.08, 0.07, 0.09, since - timedelta(days=1)),
    )
    facts: dict[str, object] = {
        "fingerprint": fingerprint(labels),
        "labels": labels,
        "rule": labels["alertname"],
        "consumer": "quality",
        "phase": phase,
        "since": since,
        "pending_at": began,
        "evaluated_at": now - timedelta(minutes=1),
        "evidence": fired,
        "fired_on": fired if phase in ("firing", "resolved") else None,
    }
    state = AlertState(**{**facts, **changes})  # type: ignore[arg-type]
    path: tuple[Phase, ...] = ("pending", "firing", "resolved")
    moves = path[: path.index(phase) + 1] if phase in path else ()
    looks = []
    for place, after in enumerate(moves):
        at = began + (since - began) * (place / max(1, len(moves) - 1))
        moved = Transition(
            id=transition_id(state.fingerprint, began, after),
            fingerprint=state.fingerprint,
            labels=labels,
            rule=state.rule,
            consumer=state.consumer,
            key={},
            episode=began,
            before=moves[place - 1] if place else "inactive",
            after=after,
            at=at,
            observation=fired,
            reason="the interval lies above the limit" if after != "resolved" else "back below",
            description="" if after == "pending" else f"Refusals of {labels['alertname']} rose from 0.08 to 0.31.",
            runbook="https://runbooks.example/refusals",
            examples=(Example("event-1", 1.0), Example("event-2", 1.0)) if after == "firing" else (),
        )
        looks.append(
            Look(state if place == len(moves) - 1 else AlertState(fingerprint=state.fingerprint, labels=labels), moved)
        )
    return state, looks or [Look(state)]


def fill(log: AlertLog, now: datetime) -> dict[str, AlertState]:
    """Record five alerts and two receipts; return their states by alert."""
    made = [
        alert(now, "firing", labels_of("RefusalsRose", language="de"), 42),
        alert(now, "firing", labels_of("JudgeSlow", "ticket"), 5, trouble="the store does not answer"),
        alert(now, "pending", labels_of("LatencyRose"), 3),
        alert(now, "resolved", labels_of("CostRose", "info"), 60 * 24),
        alert(now, "inactive", labels_of("Quiet"), 60),
    ]
    for _, looks in made:
        log.record_looks(looks)
    rose = made[0][0]
    told: list[tuple[str, Told, int, str]] = [
        ("pager", "delivered", 1, "202 Accepted"),
        ("mail", "refused", 3, "550 no such user"),
    ]
    log.record_receipts(
        [
            Receipt(
                transition=transition_id(rose.fingerprint, rose.pending_at or now, "firing"),
                receiver=receiver,
                outcome=outcome,
                at=rose.since or now,
                attempts=attempts,
                detail=detail,
            )
            for receiver, outcome, attempts, detail in told
        ]
    )
    return {state.rule: state for state, _ in made}
