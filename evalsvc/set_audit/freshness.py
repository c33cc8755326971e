"""How old a set is, and whether what users ask has moved since."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import date, datetime, timedelta

from evalsvc.drift_query import Drift, DriftQuery, drifts
from evalsvc.errors import InputError
from evalsvc.protocols import ScoreStore
from evalsvc.set_audit.values import Finding
from evalsvc.types import Window

WEEK = timedelta(days=7)
OLD_DAYS = 180


def freshness_findings(store: ScoreStore, as_of: date, now: datetime) -> list[Finding]:
    """Return the set's age, and which of what goes in (prompts, contexts, their lengths …) has moved since.

    The week that ended with the set's day is compared with the last one; a day less than a week ago leaves no two
    weeks to compare.

    Args:
        store: with the scores of prompts, as far as consumers have such scorers.
        as_of: the day that the set is of.
        now: with its time zone.

    Raises:
        InputError: the day lies in the future.
    """
    then = datetime(as_of.year, as_of.month, as_of.day, tzinfo=now.tzinfo)
    days = (now - then).days
    if then > now:
        raise InputError(f"Expected the set's day not to lie in the future, but got {as_of}")
    age = Finding(
        subject="freshness",
        what="age",
        value=float(days),
        said=f"of {as_of}, {days:,} days ago",
        verdict="look" if days > OLD_DAYS else "ok",
        next="draw cases of the last weeks from production" if days > OLD_DAYS else "",
    )
    if now - then < WEEK:
        return [age]
    return [age, *_moved(drifts(store, DriftQuery(Window(then - WEEK, then), Window(now - WEEK, now))))]


def _moved(rows: Sequence[Drift]) -> list[Finding]:
    asked = [row for row in rows if row.side == "input" and row.tests]
    if not asked:
        said = "no scores of prompts in both weeks: their scorers are prompt_words, prompt_language, prompt_embedding"
        return [Finding(subject="freshness", what="drift of what is asked", value=None, said=said, verdict="look")]
    return [
        Finding(
            subject="freshness",
            what=f"{row.metric}, {row.watched}",
            value=None if row.tests[0].effect is None else float(row.tests[0].effect),
            said=row.change or row.reason or "no change to speak of",
            verdict="look" if row.moved or row.moved is None else "ok",
            next="draw cases of the last weeks from production" if row.moved else "",
        )
        for row in asked
    ]
