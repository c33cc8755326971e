"""A judge's budget, breaker and settings, on a clock that stands still."""

from __future__ import annotations

import threading
from datetime import UTC, datetime
from typing import Any

import pytest

from evalsvc.errors import InputError
from evalsvc.judges import Budget, BudgetLimits, CircuitBreaker, JudgeSettings, Prices, Spend, judge_settings
from evalsvc.testing import ManualClock

HOUR, DAY = 3600.0, 86_400.0


def spend(tokens: int, usd: float | None = None) -> Spend:
    return Spend(tokens, 0, usd, 1)


def reserve_and_settle(budget: Budget, estimate: Spend, cost: Spend) -> None:
    held = budget.reserve(estimate)
    assert not isinstance(held, str)
    budget.settle(held, cost)


def test_an_estimate_is_held_and_then_replaced_by_the_cost() -> None:
    budget = Budget(BudgetLimits(tokens_per_hour=100), ManualClock())
    held = budget.reserve(spend(80))
    assert budget.reserve(spend(30)) == "judge budget of this hour is held by calls under way"
    assert budget.reserve(spend(101), 60.0) == "judge budget of this hour is used up"
    assert not isinstance(held, str)
    budget.settle(held, spend(70))
    assert budget.used() == {"hour": (0.0, 70), "day": (0.0, 70)}
    assert not isinstance(budget.reserve(spend(30)), str)


def test_a_limit_reached_by_spending_is_used_up_whatever_is_held() -> None:
    budget = Budget(BudgetLimits(tokens_per_hour=100, usd_per_day=1.0), ManualClock())
    reserve_and_settle(budget, spend(80, 0.1), spend(71, 0.1))
    held = budget.reserve(spend(20, 0.6))
    assert budget.reserve(spend(30, 0.1), 60.0) == "judge budget of this hour is used up"
    assert budget.reserve(spend(5, 0.4)) == "judge budget of this day is held by calls under way"
    assert budget.reserve(spend(5, 0.95), 60.0) == "judge budget of this day is used up"
    assert not isinstance(held, str)
    budget.settle(held, spend(20, 0.6))
    assert budget.reserve(spend(5, 0.4), 60.0) == "judge budget of this day is used up"
    assert not isinstance(budget.reserve(spend(5, 0.3)), str)


def test_what_is_held_is_waited_for_and_then_there_is_room() -> None:
    budget = Budget(BudgetLimits(tokens_per_hour=100), ManualClock())
    held = budget.reserve(spend(80))
    assert not isinstance(held, str)
    threading.Timer(0.2, budget.settle, (held, spend(10))).start()
    assert not isinstance(budget.reserve(spend(90), 60.0), str)
    assert budget.reserve(spend(10), 0.05) == "judge budget of this hour is held by calls under way"


def test_calls_side_by_side_spend_a_budget_to_its_end() -> None:
    """Estimates of four calls fill the budget at once; with their costs, eight do."""
    budget, refused = Budget(BudgetLimits(tokens_per_hour=100), ManualClock()), list[str]()

    def call() -> None:
        held = budget.reserve(spend(25), 60.0)
        if isinstance(held, str):
            refused.append(held)
        else:
            budget.settle(held, spend(10))

    threads = [threading.Thread(target=call) for _ in range(20)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    # 100 - 8 × 10 leaves no room for an estimate of 25.
    assert budget.used()["hour"] == (0.0, 80)
    assert refused == ["judge budget of this hour is used up"] * 12


def test_a_limit_is_reached_exactly_and_not_passed() -> None:
    budget = Budget(BudgetLimits(tokens_per_hour=100), ManualClock())
    reserve_and_settle(budget, spend(100), spend(100))
    assert isinstance(budget.reserve(spend(1)), str)


def test_money_is_limited_as_tokens_are() -> None:
    budget = Budget(BudgetLimits(usd_per_day=1.0), ManualClock())
    reserve_and_settle(budget, spend(1, 0.75), spend(1, 0.75))
    assert budget.reserve(spend(1, 0.5)) == "judge budget of this day is used up"
    assert not isinstance(budget.reserve(spend(1, 0.25)), str)


def test_the_hour_begins_anew_and_the_day_goes_on() -> None:
    clock = ManualClock(datetime(2026, 3, 1, 9, 59, 59, tzinfo=UTC))
    budget = Budget(BudgetLimits(tokens_per_hour=10, tokens_per_day=25), clock)
    reserve_and_settle(budget, spend(10), spend(10))
    assert budget.reserve(spend(10)) == "judge budget of this hour is used up"
    clock.advance(1)
    reserve_and_settle(budget, spend(10), spend(10))
    clock.advance(HOUR)
    assert budget.reserve(spend(10)) == "judge budget of this day is used up"
    clock.advance(DAY)
    assert not isinstance(budget.reserve(spend(10)), str)


def test_what_is_settled_in_the_next_hour_belongs_to_the_one_that_held_it() -> None:
    clock = ManualClock(datetime(2026, 3, 1, 9, 59, 59, tzinfo=UTC))
    budget = Budget(BudgetLimits(tokens_per_hour=10), clock)
    held = budget.reserve(spend(10))
    clock.advance(2)
    assert not isinstance(held, str)
    budget.settle(held, spend(8))
    assert budget.used() == {"hour": (0.0, 0), "day": (0.0, 8)}
    assert budget.total == spend(8)


def test_side_by_side_reservations_never_pass_the_limit() -> None:
    budget = Budget(BudgetLimits(tokens_per_hour=500), ManualClock())
    granted: list[object] = []

    def ask() -> None:
        for _ in range(50):
            held = budget.reserve(spend(7))
            if not isinstance(held, str):
                granted.append(held)

    threads = [threading.Thread(target=ask) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(granted) == 500 // 7


def test_spends_add_up_and_unknown_money_stays_unknown() -> None:
    assert sum([Spend(1, 2, None, 1), Spend(3, 4, None, 1)], Spend()) == Spend(4, 6, None, 2)
    assert (Spend(1, 2, None, 1) + Spend(0, 0, 0.5, 1)).usd == 0.5
    assert Spend(1, 2, None, 1).detail() == {"cost_usd": None, "input_tokens": 1, "output_tokens": 2, "calls": 1}


def test_the_breaker_opens_after_failures_in_a_row_and_not_before() -> None:
    breaker = CircuitBreaker(3, 60.0, ManualClock())
    for _ in range(2):
        breaker.failed()
    breaker.succeeded()
    for _ in range(2):
        breaker.failed()
    assert breaker.allow()
    breaker.failed()
    assert (breaker.state, breaker.allow()) == ("open", False)


def test_after_the_pause_one_request_tries_and_closes_it() -> None:
    clock = ManualClock()
    breaker = CircuitBreaker(1, 60.0, clock)
    breaker.failed()
    clock.advance(59.9)
    assert not breaker.allow()
    clock.advance(0.1)
    assert breaker.state == "half-open"
    assert [breaker.allow() for _ in range(3)] == [True, False, False]
    breaker.succeeded()
    assert breaker.state == "closed"
    assert breaker.allow()


def test_a_try_that_fails_opens_it_for_another_pause() -> None:
    clock = ManualClock()
    breaker = CircuitBreaker(2, 60.0, clock)
    for _ in range(2):
        breaker.failed()
    clock.advance(60)
    assert breaker.allow()
    breaker.failed()
    assert breaker.state == "open"
    clock.advance(60)
    assert breaker.allow()


BASE: dict[str, Any] = {"model": "m", "base_url": "http://localhost:8000/v1"}


def test_settings_from_an_operators_options() -> None:
    settings = judge_settings(
        **BASE,
        temperature="default",
        calls={"timeout_seconds": 5, "attempts": 2},
        prices={"input_usd_per_million": 1, "output_usd_per_million": 2},
        budget={"usd_per_day": 3},
    )
    assert isinstance(settings, JudgeSettings)
    assert (settings.temperature, settings.calls.timeout_seconds, settings.calls.attempts) == (None, 5.0, 2)
    assert settings.prices == Prices(input_usd_per_million=1.0, output_usd_per_million=2.0)
    assert settings.signature == "model:m|temperature:default"


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"model": " "}, "Expected `model`"),
        ({"base_url": "localhost:8000"}, "Expected `base_url` like https://host/v1"),
        ({"base_url": "https://host/v 1"}, "Expected `base_url` like"),
        ({"base_url": "https://host:99999/v1"}, "Expected `base_url` like"),
        ({"base_url": "https://[bad/v1"}, "Expected `base_url` like"),
        ({"base_url": "https://me:secret@host/v1"}, "without user, password"),
        ({"base_url": "https://host/v1?key=secret"}, "without user, password"),
        ({"api_key_env": "sk-not-a-variable"}, "Expected `api_key_env` to name an environment variable"),
        ({"temperature": 3.0}, r"Expected `temperature` in \[0, 2\]"),
        ({"temperature": "hot"}, "Expected `float | null`, got `str`"),
        ({"max_output_tokens": 0}, "Expected `max_output_tokens` of at least 1"),
        ({"token_field": "tokens"}, "token_field"),
        ({"calls": {"atempts": 2}}, r"`calls` has no option 'atempts' \(did you mean `attempts`"),
        ({"calls": {"attempts": 0}}, r"Expected `calls.attempts` above 0"),
        ({"calls": {"concurrency": 65}}, "at most 64"),
        ({"calls": {"timeout_seconds": float("inf")}}, "above 0"),
        ({"calls": [1]}, "Expected `calls` to be a mapping"),
        ({"budget": {"usd_per_day": 1.0}}, "Expected `prices`"),
        ({"budget": {"tokens_per_day": -1}}, "at least 0"),
        ({"budget": {"tokens_per_day": 1.5}}, "tokens_per_day"),
        ({"prices": {"input_usd_per_million": 1.0}}, "output_usd_per_million"),
    ],
)
def test_what_is_no_judge(options: dict[str, Any], message: str) -> None:
    with pytest.raises(InputError, match=message) as caught:
        judge_settings(**{**BASE, **options})
    assert "secret" not in str(caught.value)
    assert "sk-" not in str(caught.value)
