"""Why no event of the store matches: which field, or which value of one, no event of the window has."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

from evalsvc._hints import did_you_mean, nearest
from evalsvc.protocols import CellQuery, ScoreStore
from evalsvc.types import Subject, Window

COLUMNS = ("application", "consumer", "model", "model_version")
MOST_LOOKED_AT = 20_000
"""How many scores are looked at most, to say what there is."""


def value_of(subject: Subject, field: str) -> str:
    """Return a field of an event, as in ``model`` or ``segments.plan``; empty where it has none."""
    return (
        str(getattr(subject, field)) if field in COLUMNS else subject.segments.get(field.removeprefix("segments."), "")
    )


def absent_field(subjects: Sequence[Subject], fields: Iterable[str], *, whole: bool = True) -> str:
    """Return the words on the first field that none of the events has; empty where each is there.

    ``whole`` is whether these are all events there are, and not a random part of them.
    """
    for field in fields:
        if not any(value_of(subject, field) for subject in subjects):
            names = {name for subject in subjects for name, value in subject.segments.items() if value}
            # Compared without what all have in common, by which any two would be alike.
            near = nearest(field.removeprefix("segments."), names).replace("`", "`segments.", 1)
            known = did_you_mean("", [*COLUMNS, *(f"segments.{name}" for name in names)])
            hint = f"{near} {known}" if near else known
            n = f"{len(subjects):,}"
            some = f"the {n} scored events in this window" if whole else f"{n} of the scored events, taken at random,"
            return f"none of {some} has `{field}` ({hint})"
    return ""


def why_none(store: ScoreStore, metrics: Sequence[str], window: Window, where: Mapping[str, tuple[str, ...]]) -> str:
    """Return why no scored event matches ``where``; empty where there is no event in the window at all.

    Of more events than are looked at, the store is asked for each field by itself.

    Args:
        store: where the scores are.
        metrics: one of which an event has to have a score of.
        window: event time, half-open.
        where: field to the values of which an event has to have one.
    """
    if not where:
        return ""
    held, whole = _looked_at(store, metrics, window)
    if not held:
        return ""
    lacking = [field for field, wanted in where.items() if not any(value_of(one, field) in wanted for one in held)]
    if not whole:
        lacking = [field for field in lacking if not _is_there(store, metrics, window, field, where[field])]
    if told := absent_field(held, lacking, whole=whole):
        return told
    some = f"the {len(held):,} scored events in this window" if whole else "the scored events in this window"
    if lacking:
        field, value = lacking[0], where[lacking[0]][0]
        values = {value_of(subject, field) for subject in held} - {""}
        return f"none of {some} has `{value}` as `{field}` ({did_you_mean(value, values)})"
    return f"none of {some} has all of this: {_said(where)}"


def _looked_at(store: ScoreStore, metrics: Sequence[str], window: Window) -> tuple[list[Subject], bool]:
    """Return scored events, and whether there are no others."""
    subjects: dict[tuple[str, str], Subject] = {}
    for metric in metrics:
        most = MOST_LOOKED_AT - len(subjects)
        scores = store.scores(CellQuery(metric, window, int(window.seconds) or 1), most)
        subjects |= {(score.subject.consumer, score.subject.event_id): score.subject for score in scores}
        if len(scores) >= most:
            return list(subjects.values()), False
    return list(subjects.values()), True


def _is_there(store: ScoreStore, metrics: Sequence[str], window: Window, field: str, values: tuple[str, ...]) -> bool:
    step = int(window.seconds) or 1
    return any(store.scores(CellQuery(metric, window, step, where={field: values}), 1) for metric in metrics)


def _said(where: Mapping[str, tuple[str, ...]]) -> str:
    return ", ".join(f"{field}={' or '.join(values)}" for field, values in where.items())
