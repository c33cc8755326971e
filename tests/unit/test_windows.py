"""Windows, steps and what people write."""

from datetime import UTC, datetime, timedelta, timezone
from itertools import pairwise

import pytest

from evalsvc.errors import InputError
from evalsvc.types import Window
from evalsvc.windows import align, parse_duration, parse_since, steps, whole_minutes

NOON = datetime(2026, 3, 1, 12, tzinfo=UTC)


@pytest.mark.parametrize(
    ("text", "seconds"), [("30s", 30), ("5m", 300), ("1h", 3600), ("2d", 172_800), ("1w", 604_800)]
)
def test_durations(text: str, seconds: int) -> None:
    assert parse_duration(text).total_seconds() == seconds
    assert parse_since(text, NOON) == NOON - timedelta(seconds=seconds)


@pytest.mark.parametrize("text", ["", "5", "m", "-5m", "5 parsecs", "0s", "1.5h", "99999999999999w"])
def test_a_bad_duration_says_how_to_write_one(text: str) -> None:
    with pytest.raises(InputError, match="Expected a duration such as"):
        parse_duration(text)


def test_a_moment_with_a_zone_is_read_as_utc() -> None:
    assert parse_since("2026-03-01T12:00:00Z", NOON) == NOON
    assert parse_since("2026-03-01T13:30:00+01:30", NOON) == NOON
    with pytest.raises(InputError, match="Expected a time such as"):
        parse_since("yesterday", NOON)


def test_steps_begin_on_multiples_of_the_epoch_whoever_asks() -> None:
    early = steps(Window(NOON + timedelta(minutes=7), NOON + timedelta(hours=3)), 3600)
    late = steps(Window(NOON + timedelta(minutes=59), NOON + timedelta(hours=2, minutes=1)), 3600)
    assert early == late
    assert [step.start.hour for step in early] == [12, 13, 14]
    assert all(step.end - step.start == timedelta(hours=1) for step in early)


def test_steps_cover_the_window_without_gaps_or_overlap() -> None:
    window = Window(NOON + timedelta(seconds=1), NOON + timedelta(hours=5, seconds=1))
    found = steps(window, 420)
    assert found[0].start <= window.start < found[0].end
    assert found[-1].start < window.end <= found[-1].end
    assert all(one.end == other.start for one, other in pairwise(found))


def test_an_aligned_window_stays_and_another_zone_is_the_same_moment() -> None:
    window = Window(NOON, NOON + timedelta(hours=1))
    assert align(window, 3600) == window
    paris = timezone(timedelta(hours=1))
    assert align(Window(NOON.astimezone(paris), window.end.astimezone(paris)), 3600) == window
    before = Window(datetime(1969, 12, 31, 23, 30, tzinfo=UTC), datetime(1970, 1, 1, 0, 30, tzinfo=UTC))
    assert align(before, 3600).seconds == 7200


def test_whole_minutes() -> None:
    window = Window(NOON + timedelta(seconds=59), NOON + timedelta(seconds=61))
    assert whole_minutes(window) == Window(NOON, NOON + timedelta(minutes=2))


def test_a_step_is_positive() -> None:
    with pytest.raises(InputError, match="at least one second"):
        steps(Window(NOON, NOON + timedelta(hours=1)), 0)
