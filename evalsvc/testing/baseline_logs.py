"""Contract checks for what is remembered of baselines: any :class:`~evalsvc.verdicts.BaselineLog`.

Each check takes an empty log and raises ``AssertionError`` with what was promised and what came::

    from evalsvc.testing import check_baseline_log

    def test_my_log() -> None:
        check_baseline_log(lambda: MyLog())
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from datetime import UTC, datetime, timedelta, timezone

from evalsvc.testing._expected import expect, refused
from evalsvc.testing.verdict_logs import AWKWARD, NOON, make_record
from evalsvc.verdicts import BaselineLog, Promotion

STORED, RECORD = make_record("the scores\n")


def check_baseline_log(factory: Callable[[], BaselineLog]) -> None:
    """Run every check, each on a fresh, empty log of ``factory``."""
    for check in BASELINE_CHECKS:
        check(factory())


def make_promotion(model_version: str = "1", minute: float = 0.0, **changes: object) -> Promotion:
    """Return a promotion of so many minutes after noon."""
    facts: dict[str, object] = {
        "suite": "support",
        "name": "production",
        "digest": (model_version * 64)[:64],
        "stored": STORED,
        "promoted_at": NOON + timedelta(minutes=minute),
        "promoted_by": "Ada",
        "because": "ticket 118",
        "model": "bot",
        "model_version": model_version,
    }
    return Promotion(**{**facts, **changes})  # type: ignore[arg-type]


def check_comes_back_whole(log: BaselineLog) -> None:
    """A promotion comes back equal in every field, and its record byte by byte."""
    stored, record = make_record(f"{AWKWARD}\n{'x' * 3_000_000}\n")
    elsewhere = (NOON + timedelta(microseconds=123456)).astimezone(timezone(timedelta(hours=5, minutes=45)))
    promotion = make_promotion(
        AWKWARD, suite=AWKWARD, name=AWKWARD, stored=stored, promoted_at=elsewhere, promoted_by=AWKWARD,
        because=AWKWARD, model=AWKWARD, cases_digest="c" * 64, verdict="v", decision="PASS",
    )  # fmt: skip
    log.record_promotion(promotion, record)
    expect("the promotions", [promotion], list(log.promotions(AWKWARD, AWKWARD)))
    found = log.baseline_record(stored)
    expect("that the record is as it was", True, found == record)
    expect("the record's type", bytes, type(found))


def check_nothing_is_nothing(log: BaselineLog) -> None:
    """An empty log answers with nothing, and so do names and digests that are only like one that is there."""
    expect("promotions of an empty log", [], list(log.promotions("support")))
    expect("a record of it", None, log.baseline_record(STORED))
    log.record_promotion(make_promotion(), RECORD)
    expect("promotions of a beginning", [], list(log.promotions("support", "prod")))
    expect("promotions of another suite", [], list(log.promotions("other", "production")))
    expect("the record of a beginning", None, log.baseline_record(STORED[:10]))
    expect("none of none", [], list(log.promotions("support", limit=0)))


def check_nothing_is_replaced(log: BaselineLog) -> None:
    """The last promoted comes first, whatever was written last, and a version that comes back stands there again."""
    for version, minute in (("2", 5), ("1", 0), ("1", 9)):
        log.record_promotion(make_promotion(version, minute), RECORD)
    log.record_promotion(make_promotion("7", 7, name="next"), RECORD)
    expect("the history of a name", ["1", "2", "1"], _versions(log.promotions("support", "production")))
    expect("the history of all", ["1", "7", "2", "1"], _versions(log.promotions("support")))
    expect("the current one", ["1"], _versions(log.promotions("support", "production", limit=1)))


def check_written_twice_is_once(log: BaselineLog) -> None:
    """The same promotion may be written again; of one time and digest the first stays."""
    first = make_promotion()
    for promotion in (first, first, make_promotion(because="another"), first):
        log.record_promotion(promotion, RECORD)
    expect("the promotions", [first], list(log.promotions("support")))


def check_the_last_written_of_a_time_is_current(log: BaselineLog) -> None:
    """Two promotions within a second: the one that was written last is current."""
    for version in "132":
        log.record_promotion(make_promotion(version), RECORD)
    expect("the history", ["2", "3", "1"], _versions(log.promotions("support")))


def check_wrong_arguments_are_refused(log: BaselineLog) -> None:
    """What no store can hold, and a record that is another's, are refused, and nothing is written."""
    for what, changes in (
        ("no suite", {"suite": ""}),
        ("no name", {"name": ""}),
        ("a record of another digest", {"stored": "0" * 64}),
        ("a time without a zone", {"promoted_at": datetime(2026, 5, 4, 12)}),
        ("a time too late", {"promoted_at": datetime(2101, 1, 1, tzinfo=UTC)}),
        ("a text that is cut", {"because": "\ud800"}),
    ):
        refused(what, lambda changes=changes: log.record_promotion(make_promotion(**changes), RECORD))  # type: ignore[misc]
    digest, raw = make_record("x")
    refused("a record of other bytes", lambda: log.record_promotion(make_promotion(stored=digest), raw + b"\xff"))
    refused("a negative limit", lambda: log.promotions("support", limit=-1))
    expect("what was written", [], list(log.promotions("support")))


BASELINE_CHECKS: tuple[Callable[[BaselineLog], None], ...] = (
    check_comes_back_whole,
    check_nothing_is_nothing,
    check_nothing_is_replaced,
    check_written_twice_is_once,
    check_the_last_written_of_a_time_is_current,
    check_wrong_arguments_are_refused,
)
"""All checks; each takes an empty log."""


def _versions(promotions: Sequence[Promotion]) -> list[str]:
    return [one.model_version for one in promotions]
