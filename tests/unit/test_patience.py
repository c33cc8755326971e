"""How a worker waits: the pauses, what is said of them, and what ends a wait."""

from __future__ import annotations

import logging
import queue
import threading

import pytest

from evalsvc.errors import InputError, SourceUnavailable, StoreUnavailable
from evalsvc.pipeline.patience import Patience, Stopped
from evalsvc.testing import ManualClock

ADDRESS = "ClickHouse at db:8123"


class Failing:
    """Fails ``times`` times, then answers; remembers when it was asked."""

    def __init__(self, clock: ManualClock, times: int, error: Exception | None = None) -> None:
        self.clock, self.left, self.asked = clock, times, list[float]()
        self.error = error or StoreUnavailable("it is down")

    def __call__(self) -> str:
        self.asked.append(self.clock.monotonic())
        self.left -= 1
        if self.left >= 0:
            raise self.error
        return "answer"


@pytest.fixture
def clock() -> ManualClock:
    return ManualClock()


@pytest.fixture
def waits() -> list[str]:
    return []


def patient(clock: ManualClock, waits: list[str], notice_seconds: float) -> Patience:
    return Patience(
        clock,
        {"store": ADDRESS},
        waits.append,
        retry_seconds=1.0,
        retry_max_seconds=5.0,
        notice_seconds=notice_seconds,
        drain_seconds=10.0,
    )


@pytest.fixture
def patience(clock: ManualClock, waits: list[str]) -> Patience:
    return patient(clock, waits, 0.05)


def test_pauses_double_up_to_the_longest(patience: Patience, clock: ManualClock, waits: list[str]) -> None:
    action = Failing(clock, 5)
    assert patience.until_done(action, "store") == "answer"
    pauses = [after - before for before, after in zip(action.asked, action.asked[1:], strict=False)]
    assert pauses == pytest.approx([1.0, 2.0, 4.0, 5.0, 5.0], abs=0.11)
    assert waits == ["store"] * 5
    assert patience.waiting_for == ""


@pytest.mark.parametrize("error", [StoreUnavailable("it is down"), SourceUnavailable("it is down")])
def test_what_is_awaited_is_named_once(patience: Patience, error: Exception) -> None:
    patience.pause("store", error)
    assert patience.waiting_for == f"{ADDRESS}: it is down"
    patience.pause("store", StoreUnavailable(f"{ADDRESS} does not answer"))
    assert patience.waiting_for == f"{ADDRESS} does not answer"
    patience.answered("store")
    assert patience.waiting_for == ""


def test_one_threads_success_does_not_hide_anothers_outage(patience: Patience) -> None:
    patience.pause("store", StoreUnavailable("it is down"))
    other = threading.Thread(target=patience.answered, args=("store",))
    other.start()
    other.join()
    assert patience.waiting_for == f"{ADDRESS}: it is down"


def test_what_waiting_cannot_mend_is_raised_at_once(patience: Patience, clock: ManualClock) -> None:
    action = Failing(clock, 1, InputError("wrong"))
    with pytest.raises(InputError, match="wrong"):
        patience.until_done(action, "store")
    assert len(action.asked) == 1


def test_before_the_source_is_open_a_stop_ends_a_wait_at_once(patience: Patience, clock: ManualClock) -> None:
    patience.stop()
    with pytest.raises(Stopped):
        patience.until_done(Failing(clock, 100), "store")
    assert clock.monotonic() == 0.0


def test_what_was_read_gets_the_drains_seconds_from_the_first_stop(patience: Patience, clock: ManualClock) -> None:
    patience.reading = True
    assert patience.left == 10.0
    assert not patience.overdue
    patience.stop()
    clock.advance(4.0)
    patience.stop()
    assert patience.left == pytest.approx(6.0)
    with pytest.raises(Stopped):
        patience.until_done(Failing(clock, 100), "store")
    assert clock.monotonic() == pytest.approx(10.0, abs=0.2)
    assert patience.overdue


def test_a_wait_that_succeeds_while_stopping_returns(patience: Patience, clock: ManualClock) -> None:
    patience.reading = True
    patience.stop()
    assert patience.until_done(Failing(clock, 2), "store") == "answer"


def test_the_first_error_of_any_thread_ends_every_wait(patience: Patience, clock: ManualClock) -> None:
    patience.check()
    assert patience.fail(InputError("first"))
    assert not patience.fail(InputError("second"))
    with pytest.raises(InputError, match="first"):
        patience.until_done(Failing(clock, 1), "store")


def test_a_start_that_hangs_is_named_while_it_hangs(patience: Patience) -> None:
    said: queue.SimpleQueue[str] = queue.SimpleQueue()

    class Heard(logging.Handler):
        def emit(self, record: logging.LogRecord) -> None:
            said.put(record.getMessage())

    handler = Heard()
    logging.getLogger("evalsvc.worker").addHandler(handler)
    try:
        with patience.starting("store"):
            assert patience.waiting_for == ADDRESS
            assert f"{ADDRESS} has not answered yet" in said.get(timeout=10.0)
    finally:
        logging.getLogger("evalsvc.worker").removeHandler(handler)
    assert patience.waiting_for == ""


def test_a_quick_start_says_nothing(clock: ManualClock, caplog: pytest.LogCaptureFixture) -> None:
    # Longer than a busy machine may hold up the two lines.
    with patient(clock, [], 60.0).starting("store"):
        pass
    assert "has not answered" not in caplog.text
