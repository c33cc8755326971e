"""Why no event of the store matches: which field, or which value of one, no event of the window has."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

from evalsvc._hints import did_you_mean, nearest
from evalsvc.protocols import CellQuery, ScoreStore
from evalsvc.types import Subject, Window

COLUMNS = ("application", "consumer", "model", "model_version")
MOST_LOOKED_AT = 20_000
"""How many scored events are looked at most, to say what there is."""


def value_of(subject: Subject, field: str) -> str:
    """Return a field of an event, as in ``model`` or ``segments.plan``; empty where it has none."""
    return (
        str(getattr(subject, field)) if field in COLUMNS else subject.segments.get(field.removeprefix("segments."), "")
    )


def absent_field(subjects: Sequence[Subject], fields: Iterable[str]) -> str:
    """Return the words on the first field that none of the events has; empty where each is there."""
    for field in fields:
        if not any(value_of(subject, field) for subject in subjects):
            names = {name for subject in subjects for name, value in subject.segments.items() if value}
            # Compared without what all have in common, by which any two would be alike.
            near = nearest(field.removeprefix("segments."), names).replace("`", "`segments.", 1)
            known = did_you_mean("", [*COLUMNS, *(f"segments.{name}" for name in names)])
            hint = f"{near} {known}" if near else known
            return f"none of the {len(subjects):,} scored events in this window has `{field}` ({hint})"
    return ""


def why_none(store: ScoreStore, metrics: Sequence[str], window: Window, where: Mapping[str, tuple[str, ...]]) -> str:
    """Return why no scored event matches ``where``; empty where there is no event in the window at all.

    Args:
        store: where the scores are.
        metrics: one of which an event has to have a score of.
        window: event time, half-open.
        where: field to the values of which an event has to have one.
    """
    subjects: dict[tuple[str, str], Subject] = {}
    for metric in metrics if where else ():
        query = CellQuery(metric, window, int(window.seconds) or 1)
        for score in store.scores(query, MOST_LOOKED_AT - len(subjects)):
            subjects[(score.subject.consumer, score.subject.event_id)] = score.subject
        if len(subjects) >= MOST_LOOKED_AT:
            break
    if not subjects:
        return ""
    held = list(subjects.values())
    if told := absent_field(held, where):
        return told
    for field, wanted in where.items():
        values = {value_of(subject, field) for subject in held} - {""}
        lacking = [value for value in wanted if value not in values]
        if len(lacking) == len(wanted):
            hint = did_you_mean(lacking[0], values)
            return f"none of the {len(held):,} scored events in this window has `{lacking[0]}` as `{field}` ({hint})"
    return f"none of the {len(held):,} scored events in this window has all of this: {_said(where)}"


def _said(where: Mapping[str, tuple[str, ...]]) -> str:
    return ", ".join(f"{field}={' or '.join(values)}" for field, values in where.items())
