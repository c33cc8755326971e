"""Whether an endpoint answers anybody: when requests wait for it, when one tries, and when the run gives up."""

from __future__ import annotations

import pytest

from evalsvc.errors import ModelUnavailable
from evalsvc.generation.health import Health
from evalsvc.judges import CallLimits
from evalsvc.testing import ManualClock


def health(clock: ManualClock, give_up_seconds: float = 600.0) -> Health:
    calls = CallLimits(breaker_failures=3, breaker_pause_seconds=60.0)
    return Health("m at x", calls, give_up_seconds, clock)


def may_send(ours: Health) -> bool:
    return ours.wait(lambda: "not yet") == ""


def fails(ours: Health, times: int) -> None:
    for _ in range(times):
        assert may_send(ours)
        ours.failed("HTTP 503")


def test_requests_wait_after_failures_in_a_row_and_not_after_as_many_among_answers():
    ours = health(ManualClock())
    for _ in range(5):
        fails(ours, 2)
        ours.succeeded()
    assert ours.answered == 5
    fails(ours, 3)
    assert not may_send(ours)


def test_one_tries_after_each_pause_and_an_answer_lets_all_send():
    clock = ManualClock()
    ours = health(clock)
    fails(ours, 3)
    for _ in range(2):
        assert not may_send(ours)
        clock.sleep(58.0)
        assert not may_send(ours)
        clock.sleep(1.0)
        assert may_send(ours)
        assert not may_send(ours)  # one is trying
        ours.failed("HTTP 503")
    clock.sleep(60.0)
    assert may_send(ours)
    ours.succeeded()
    assert [may_send(ours) for _ in range(3)] == [True] * 3
    fails(ours, 2)
    assert may_send(ours)


def test_the_run_gives_up_after_a_silence_and_not_after_two_short_ones():
    clock = ManualClock()
    ours = health(clock, give_up_seconds=100.0)
    fails(ours, 3)
    clock.sleep(90.0)
    assert may_send(ours)
    ours.succeeded()
    fails(ours, 2)
    clock.sleep(40.0)
    fails(ours, 1)
    assert not may_send(ours)
    clock.sleep(59.0)
    # Since the first failure after the last answer, a hundred seconds: asked at once where one may try.
    assert may_send(ours)
    ours.failed("HTTP 529")
    with pytest.raises(ModelUnavailable, match=r"^m at x answers nobody for 100 s \(last: HTTP 529\)$"):
        may_send(ours)
