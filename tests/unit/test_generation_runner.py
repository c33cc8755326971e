"""Asking: order, cache, limits, budget, and what is kept when a run is cut off."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from evalsvc.cases.values import ToolCall
from evalsvc.disk_cache import DiskCache
from evalsvc.errors import EngineError, InputError, ModelUnavailable
from evalsvc.generation import (
    Answer,
    Asker,
    AskLimits,
    Generator,
    Progress,
    Request,
    RunBudget,
    failed,
    runner,
)
from evalsvc.generation.limits import Pacer, Turns
from evalsvc.testing import ManualClock
from generators import FakeModel, cases, echo


@pytest.fixture
def cache(tmp_path):
    with DiskCache.open(tmp_path / "cache.sqlite") as opened:
        yield opened


def test_answers_in_the_order_of_cases_and_repeats():
    def slow_first(request: Request) -> Answer:
        time.sleep(0.05 if request.case.case_id == "case-0" else 0.0)
        return echo(request)

    model = FakeModel(slow_first)
    assert isinstance(model, Generator)
    answers = Asker(model).ask(cases(3), repeats=2, seed=7)
    assert [answer.response for answer in answers] == [f"prompt {n}/{r}/{7 + r}" for n in range(3) for r in (0, 1)]
    assert len(model.requests) == 6


def test_the_second_time_nothing_is_asked(cache):
    told: list[Progress] = []
    first = Asker(FakeModel(), cache).ask(cases(5), repeats=2)
    model = FakeModel()
    again = Asker(model, cache, progress=told.append)
    assert again.ask(cases(5), repeats=2) == first
    assert (model.requests, model.loads) == ([], 0)
    assert told[-1] == Progress(total=10, cached=10)
    assert again.ask(cases(7)) == Asker(FakeModel()).ask(cases(7))
    assert len(model.requests) == 2
    assert told[-1] == Progress(total=17, answered=2, cached=15, cost_usd=0.02)
    assert str(told[-1]) == "17 of 17: 2 answered, 0 failed, 15 cached, $0.0200"


@pytest.mark.parametrize(
    "other",
    [
        {"model": FakeModel(version="2")},
        {"seed": 1},
        {"cases": cases(1, start=1)},
    ],
)
def test_what_may_change_an_answer_is_in_its_key(cache, other):
    Asker(FakeModel(), cache).ask(cases(1))
    model = other.get("model", FakeModel())
    Asker(model, cache).ask(other.get("cases", cases(1)), seed=other.get("seed", 0))
    assert len(model.requests) == 1


def test_a_label_that_the_model_sees_is_in_the_key(cache):
    class Sees(FakeModel):
        def seen(self, case):
            return case.case_id

    for model_type, requests in ((FakeModel, 0), (Sees, 1)):
        Asker(model_type(), cache).ask(cases(1))
        model = model_type()
        Asker(model, cache).ask([type(case)(case_id="renamed", prompt=case.prompt) for case in cases(1)])
        assert len(model.requests) == requests


def test_a_model_whose_answers_cannot_be_kept_is_asked_again(cache):
    for _ in range(2):
        model = FakeModel(cacheable=False)
        Asker(model, cache).ask(cases(2))
        assert len(model.requests) == 2


def test_failures_are_asked_again_unless_permanent(cache):
    reasons = {"case-0": failed("HTTP 500"), "case-1": failed("HTTP 400", permanent=True)}
    Asker(FakeModel(lambda request: reasons[request.case.case_id]), cache).ask(cases(2))
    model = FakeModel()
    assert Asker(model, cache).ask(cases(2)) == [echo(Request(cases(1)[0], 0, 0)), failed("HTTP 400", permanent=True)]
    assert len(model.requests) == 1


def test_a_kept_answer_of_another_release_is_asked_again(cache):
    asker = Asker(FakeModel(), cache)
    asker.ask(cases(1))
    (item,) = asker._items(cases(1), 1, 0)
    cache.put_many("answer", {item.key: b'{"status": "unheard-of"}'})
    model = FakeModel()
    Asker(model, cache).ask(cases(1))
    assert len(model.requests) == 1


@pytest.mark.parametrize(
    ("response", "reason"),
    [("", "empty answer"), (" \n", "empty answer"), ("x" * 5_000_000, "answer longer than 1048576 characters")],
)
def test_an_answer_that_is_none(response, reason):
    (answer,) = Asker(FakeModel(lambda request: Answer(response=response, cost_usd=0.5))).ask(cases(1))
    assert answer == failed(reason, permanent=True, cost_usd=0.5)


def test_half_of_a_pair_is_no_text_that_can_be_kept_and_ends_no_run(tmp_path):
    with DiskCache.open(tmp_path / "cache.sqlite") as cache:
        (answer,) = Asker(FakeModel(lambda _: Answer(response="a\ud83db")), cache).ask(cases(1))
        assert answer == Answer(response="a?b")
        broken = FakeModel(lambda _: Answer(tool_calls=(ToolCall("find", {"a": "\ud83d"}),)), version="2")
        assert Asker(broken, cache).ask(cases(1)) == [failed("a tool call that is no Unicode text", permanent=True)]


def test_what_a_generator_raises_is_a_failed_answer_without_its_text():
    def breaks(request: Request) -> Answer:
        raise KeyError(request.case.prompt)

    assert Asker(FakeModel(breaks)).ask(cases(1)) == [failed("the generator raised KeyError")]


def test_what_somebody_else_s_model_says_of_a_failure_is_not_kept():
    (answer,) = Asker(FakeModel(lambda request: failed("no answer to: my name is Ada"))).ask(cases(1))
    assert (answer.status, answer.reason) == ("failed", "the model reported an error")


def test_no_more_at_once_than_allowed():
    now, most, lock = 0, 0, threading.Lock()

    def count(request: Request) -> Answer:
        nonlocal now, most
        with lock:
            now += 1
            most = max(most, now)
        time.sleep(0.01)
        with lock:
            now -= 1
        return echo(request)

    Asker(FakeModel(count), limits=AskLimits(concurrency=3)).ask(cases(20))
    assert most == 3


def test_requests_per_minute_with_retries_counted():
    clock = ManualClock()
    model = FakeModel(lambda request: Answer(response="x", attempts=3))
    Asker(model, limits=AskLimits(concurrency=1, requests_per_minute=60.0), clock=clock).ask(cases(5))
    assert clock.monotonic() == pytest.approx(12.0)


def test_an_unlimited_pace_never_waits():
    clock = ManualClock()
    pacer = Pacer(None, clock)
    assert pacer.wait() == ""
    pacer.charge(5)
    assert pacer.wait() == ""
    assert clock.monotonic() == 0.0


def begins(pacer: Pacer, clock: ManualClock, count: int) -> list[float]:
    times = []
    for _ in range(count):
        assert pacer.wait() == ""
        times.append(round(clock.monotonic(), 6))
    return times


def test_a_pause_in_which_nobody_asked_is_not_made_up_for():
    clock = ManualClock()
    pacer = Pacer(60.0, clock)
    assert begins(pacer, clock, 2) == [0.0, 1.0]
    clock.sleep(599.0)
    assert begins(pacer, clock, 3) == [600.0, 601.0, 602.0]


def test_a_turn_begins_when_it_is_given_not_when_it_was_asked_for():
    clock = ManualClock()
    pacer = Pacer(60.0, clock)
    first = threading.Thread(target=pacer.wait)
    with pacer._lock:  # others are given theirs
        first.start()
        first.join(0.1)
        clock.sleep(10.0)
    first.join(10)
    assert begins(pacer, clock, 1) == [11.0]


def test_a_turn_that_is_not_taken_brings_no_other_forward():
    clock = ManualClock()
    pacer = Pacer(60.0, clock)
    assert begins(pacer, clock, 2) == [0.0, 1.0]
    pacer.charge(-1)  # as Turns does for a turn without a request: others may hold the turns after it
    assert begins(pacer, clock, 1) == [2.0]


def test_who_waits_long_for_its_turn_sees_soon_that_the_run_has_ended():
    clock = ManualClock()
    pacer = Pacer(1.0, clock)
    assert pacer.wait() == ""
    assert pacer.wait(lambda left: "stopped" if clock.monotonic() >= 10.0 else "") == "stopped"
    assert clock.monotonic() < 11.0


def test_after_the_deadline_nothing_is_asked():
    clock = ManualClock()

    def takes_ten(request: Request) -> Answer:
        clock.sleep(10)
        return echo(request)

    model = FakeModel(takes_ten)
    answers = Asker(model, limits=AskLimits(concurrency=1, deadline_seconds=25.0), clock=clock).ask(cases(5))
    assert [answer.reason for answer in answers] == ["", "", "", "deadline passed", "deadline passed"]
    assert len(model.requests) == 3


def test_the_deadline_begins_with_the_first_request_not_with_the_wait_for_another_run(cache, monkeypatch):
    clock = ManualClock()

    @contextmanager
    def held_by_another(*_: object) -> Iterator[None]:
        clock.sleep(600)
        yield

    monkeypatch.setattr(runner, "exclusive", held_by_another)
    model = FakeModel()
    model.load = lambda: clock.sleep(600)
    answers = Asker(model, cache, limits=AskLimits(deadline_seconds=25.0), clock=clock).ask(cases(3))
    assert [answer.reason for answer in answers] == ["", "", ""]


def test_what_another_run_asked_while_this_one_waited_is_not_asked_again(cache, monkeypatch):
    theirs, ours = FakeModel(), FakeModel()

    @contextmanager
    def held_by_another(*_: object) -> Iterator[None]:
        monkeypatch.undo()
        Asker(theirs, cache).ask(cases(3))
        yield

    monkeypatch.setattr(runner, "exclusive", held_by_another)
    answers = Asker(ours, cache).ask(cases(4))
    assert [request.case.case_id for request in ours.requests] == ["case-3"]
    assert answers == Asker(FakeModel()).ask(cases(4))


def test_one_deadline_is_of_all_that_an_asker_asks():
    clock = ManualClock()

    def takes_ten(request: Request) -> Answer:
        clock.sleep(10)
        return echo(request)

    asker = Asker(FakeModel(takes_ten), limits=AskLimits(concurrency=1, deadline_seconds=25.0), clock=clock)
    assert [answer.reason for answer in asker.ask(cases(2))] == ["", ""]
    assert [answer.reason for answer in asker.ask(cases(3, start=2))] == ["", "deadline passed", "deadline passed"]


def test_a_run_that_ends_in_the_last_moment_of_a_wait_begins_nothing():
    ended = threading.Event()

    class Ends(ManualClock):
        def sleep(self, seconds: float) -> None:
            super().sleep(seconds)
            ended.set()

    clock, budget = Ends(), RunBudget(requests=2)
    turns = Turns(budget, Pacer(300.0, clock), clock, stopped=ended.is_set)
    assert turns.begin() == ""
    turns.end(0.0)
    assert turns.begin() == "stopped"
    assert clock.monotonic() == pytest.approx(0.2)


def test_nothing_is_asked_after_the_deadline_by_who_waited_for_its_turn():
    clock = ManualClock()
    model, budget = FakeModel(), RunBudget(requests=5)
    limits = AskLimits(concurrency=1, requests_per_minute=60.0, deadline_seconds=2.5)
    answers = Asker(model, limits=limits, budget=budget, clock=clock).ask(cases(5))
    assert [answer.reason for answer in answers] == ["", "", "", "deadline passed", "deadline passed"]
    assert len(model.requests) == budget.requests == 3
    assert clock.monotonic() == pytest.approx(2.0)  # a turn that would come too late is not waited for


def test_nothing_is_asked_after_the_run_has_ended_by_who_waited_for_its_turn():
    def refuses(request: Request) -> Answer:
        time.sleep(0.3)  # until the others wait for their turns
        raise EngineError("HTTP 401")

    model = FakeModel(refuses)
    with pytest.raises(EngineError, match="HTTP 401"):
        Asker(model, limits=AskLimits(concurrency=4, requests_per_minute=60.0)).ask(cases(8))
    assert len(model.requests) == 1
    assert not [thread for thread in threading.enumerate() if thread.name == "evalsvc-ask"]


def test_a_turn_that_is_not_taken_leaves_its_money_to_others():
    budget, clock = RunBudget(usd=1.0, requests=1), ManualClock()
    ended = threading.Event()
    turns = Turns(budget, Pacer(60.0, clock), clock, estimate_usd=1.0, stopped=ended.is_set)

    def gone(over: object) -> str:
        raise ModelUnavailable("nobody answers")

    with pytest.raises(ModelUnavailable):
        turns.begin(gone)
    assert turns.begin(lambda over: "no answer") == "no answer"
    assert (turns.begin(), budget.requests) == ("", 0)
    turns.end(0.5)
    assert (budget.usd, budget.requests) == (0.5, 1)
    assert turns.begin() == "budget of $1 used up"
    ended.set()
    assert turns.begin() == turns.over() == "stopped"


@pytest.mark.parametrize("concurrency", [1, 8])
def test_a_budget_in_money_is_never_passed(cache, concurrency):
    budget = RunBudget(usd=0.05)
    model = FakeModel(estimate=0.02)
    asker = Asker(model, cache, budget=budget, limits=AskLimits(concurrency=concurrency))
    answers = [*asker.ask(cases(10)), *asker.ask(cases(3, start=10))]
    assert budget.usd == pytest.approx(0.04)
    assert len(model.requests) == budget.requests == 4
    assert {answer.reason for answer in answers} == {"", "budget of $0.05 used up"}
    # With more money, only the rest is asked.
    richer = FakeModel()
    Asker(richer, cache).ask(cases(13))
    assert len(richer.requests) == 9


def test_who_finds_the_rest_held_for_requests_under_way_waits_for_what_they_cost():
    under_way, most = [0], [0]

    def slowly(request: Request) -> Answer:
        under_way[0] += 1
        most[0] = max(most[0], under_way[0])
        time.sleep(0.05)
        under_way[0] -= 1
        return echo(request)

    budget = RunBudget(usd=1.0)  # of which each may take six tenths, and takes a hundredth
    asker = Asker(FakeModel(slowly, estimate=0.6), budget=budget, limits=AskLimits(concurrency=8))
    begun = time.monotonic()
    answers = asker.ask(cases(8))
    assert time.monotonic() - begun < 2.0  # who waits is told at once
    assert {answer.reason for answer in answers} == {""}
    assert (budget.requests, most) == (8, [1])


def test_who_waits_for_money_that_is_held_sees_that_the_run_has_ended():
    budget, ended, told = RunBudget(usd=1.0), threading.Event(), []
    assert budget.reserve(0.6) == ""
    waits = threading.Thread(target=lambda: told.append(budget.reserve(0.6, ended.is_set)), daemon=True)
    waits.start()
    waits.join(0.1)
    assert (waits.is_alive(), told) == (True, [])
    ended.set()
    waits.join(10)
    assert told == ["stopped"]
    budget.settle(0.6, 0.1, 1)
    assert budget.reserve(0.6) == ""  # who was stopped holds nothing


@pytest.mark.parametrize("concurrency", [1, 3])
@pytest.mark.parametrize("estimate", [0.0, 0.01])
def test_a_model_that_costs_more_than_was_thought_passes_the_budget_by_what_is_under_way(concurrency, estimate):
    budget = RunBudget(usd=1.0)
    dear = FakeModel(lambda request: Answer(response="x", cost_usd=0.5), estimate=estimate)
    answers = Asker(dear, budget=budget, limits=AskLimits(concurrency=concurrency)).ask(cases(20))
    assert 1.0 <= budget.usd < 1.0 + 0.5 * concurrency
    assert budget.usd == pytest.approx(sum(answer.cost_usd or 0.0 for answer in answers))
    assert answers[-1].reason == "budget of $1 used up"


def test_a_budget_in_requests_counts_retries():
    model = FakeModel(lambda request: Answer(response="x", attempts=2))
    answers = Asker(model, budget=RunBudget(requests=5), limits=AskLimits(concurrency=1)).ask(cases(5))
    assert [answer.reason for answer in answers] == ["", "", "", *["budget of 5 requests used up"] * 2]


def test_a_budget_pays_for_whole_requests_whatever_floats_add_up_to():
    model = FakeModel(lambda request: Answer(response="x", cost_usd=0.1), estimate=0.1)
    Asker(model, budget=RunBudget(usd=0.3), limits=AskLimits(concurrency=1)).ask(cases(5))
    assert len(model.requests) == 3


def test_an_answer_that_was_paid_for_before_costs_nothing_now():
    model, budget = FakeModel(), RunBudget(usd=0.015, requests=2)
    model.recorded = True
    asker = Asker(model, budget=budget)
    assert {answer.reason for answer in asker.ask(cases(5))} == {""}
    assert (budget.usd, budget.requests, asker.progress) == (0.0, 0, Progress(total=5, answered=5))


def test_a_request_that_no_budget_pays():
    model = FakeModel(estimate=2.0)
    (answer,) = Asker(model, budget=RunBudget(usd=1.0)).ask(cases(1))
    assert answer.reason == "one request may cost more than the budget of $1"
    assert model.requests == []


def test_a_model_that_is_gone_ends_the_run_and_what_is_answered_is_kept(cache):
    def until_four(request: Request) -> Answer:
        if request.case.case_id >= "case-4":
            raise ModelUnavailable("Nobody answers for 600 s")
        return echo(request)

    with pytest.raises(ModelUnavailable, match=r"600 s\. Answered before that: 4 of 8 .* the same command"):
        Asker(FakeModel(until_four), cache, limits=AskLimits(concurrency=1)).ask(cases(8))
    model = FakeModel()
    assert len(Asker(model, cache).ask(cases(8))) == 8
    assert len(model.requests) == 4


def test_a_refusal_ends_the_run_and_says_that_nothing_is_kept():
    def refuses(request: Request) -> Answer:
        raise EngineError("HTTP 401")

    with pytest.raises(EngineError, match=r"HTTP 401\. Answered before that: none of 3 requests$"):
        Asker(FakeModel(refuses)).ask(cases(3))


def test_an_interrupt_keeps_what_is_done(cache):
    def interrupt(progress: Progress) -> None:
        if progress.answered >= 3:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        Asker(FakeModel(), cache, progress=interrupt, limits=AskLimits(concurrency=1)).ask(cases(1000))
    model = FakeModel()
    Asker(model, cache).ask(cases(3))
    assert model.requests == []


def test_an_interrupt_keeps_what_came_while_another_answer_was_told(cache):
    said = []

    def interrupt(progress: Progress) -> None:
        if progress.answered:
            ends = time.monotonic() + 10
            while len(said) < 4 and time.monotonic() < ends:
                time.sleep(0.01)
            time.sleep(0.1)  # until the last is handed over
            raise KeyboardInterrupt

    def one_by_one(request: Request) -> Answer:
        time.sleep(0.02 * int(request.case.case_id[5:]))
        said.append(request)
        return echo(request)

    with pytest.raises(KeyboardInterrupt):
        Asker(FakeModel(one_by_one), cache, progress=interrupt, limits=AskLimits(concurrency=4)).ask(cases(4))
    again = FakeModel()
    Asker(again, cache).ask(cases(4))
    assert again.requests == []


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        (lambda: AskLimits(concurrency=0), "`concurrency` from 1 to 256"),
        (lambda: AskLimits(requests_per_minute=0.0), "`requests_per_minute` above 0"),
        (lambda: AskLimits(deadline_seconds=float("nan")), "`deadline_seconds` above 0"),
        (lambda: RunBudget(usd=-1.0), "`budget.usd` above 0"),
        (lambda: RunBudget(requests=0), "`budget.requests` above 0"),
        (lambda: Asker(FakeModel()).ask(cases(1), repeats=0), "`repeats` of at least 1"),
        (lambda: Answer(latency_ms=-1.0), "`latency_ms` of at least 0"),
        (lambda: Answer(cost_usd=float("nan")), "`cost_usd` of at least 0"),
        (lambda: failed(""), "a `reason` for a failed answer"),
    ],
)
def test_wrong_arguments(wrong, message):
    with pytest.raises(InputError, match=message):
        wrong()


@pytest.mark.parametrize("concurrency", [1, 4, 32])
def test_no_more_is_under_way_or_unwritten_than_there_are_workers(tmp_path, concurrency):
    lost, most, lock = 0, 0, threading.Lock()

    class Slow(DiskCache):
        """Takes its time to write, as a busy disk does."""

        def put_many(self, kind, items):
            nonlocal lost
            time.sleep(0.005)
            super().put_many(kind, items)
            with lock:
                lost -= len(items)

    def begun(request: Request) -> Answer:
        nonlocal lost, most
        with lock:
            lost += 1
            most = max(most, lost)
        return echo(request)

    with Slow(tmp_path / "slow.sqlite") as cache:
        Asker(FakeModel(begun), cache, limits=AskLimits(concurrency=concurrency)).ask(cases(200))
    assert lost == 0
    assert most <= concurrency


def test_workers_end_with_a_run_that_is_cut_off(cache):
    def interrupt(progress: Progress) -> None:
        if progress.answered >= 3:
            raise KeyboardInterrupt

    before = {thread for thread in threading.enumerate() if thread.name == "evalsvc-ask"}
    with pytest.raises(KeyboardInterrupt):
        Asker(FakeModel(), cache, progress=interrupt, limits=AskLimits(concurrency=8)).ask(cases(1000))
    for thread in threading.enumerate():
        if thread.name == "evalsvc-ask" and thread not in before:
            thread.join(5.0)
            assert not thread.is_alive()
