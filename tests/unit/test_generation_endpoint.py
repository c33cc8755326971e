"""The endpoint model against a server that speaks the protocol, and fails in every way."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import msgspec
import pytest

from evalsvc._yaml import Document
from evalsvc.cases.values import Case, ToolCall
from evalsvc.clock import SystemClock
from evalsvc.errors import EngineError, InputError, ModelUnavailable
from evalsvc.generation import Answer, Asker, AskLimits, EndpointModel, EndpointSettings, Generator, Request, RunBudget
from evalsvc.generation.chat import Said, messages_of
from evalsvc.generation.reading import read_model
from evalsvc.generation.stream import ChatStream
from evalsvc.judges import CallLimits, Prices
from evalsvc.testing import ManualClock
from evalsvc.types import Message
from generators import cases
from servers.judge import CUT_OFF, DRIP, HALF_JSON, HANG, HTML, FakeJudge, says, status
from servers.judge import Answer as Sent
from servers.model import DONE, PING, event, streams, usage

PRICES = Prices(input_usd_per_million=10_000.0, output_usd_per_million=100_000.0)
COST = 100 * 0.01 + 20 * 0.1
CASE = Case(case_id="a", prompt="Is it well?")
ASK = Request(CASE, 0, 7)


@pytest.fixture
def server() -> Iterator[FakeJudge]:
    with FakeJudge(rule=lambda request: streams("All ", "is well.")) as running:
        yield running


def model(server: FakeJudge, clock: ManualClock | None = None, calls: dict[str, Any] | None = None, **options: Any):
    patience = {"timeout_seconds": 10.0, "deadline_seconds": 60.0, "attempts": 3, **(calls or {})}
    settings = EndpointSettings(
        **{
            "model": "m",
            "base_url": server.url,
            "calls": CallLimits(**patience),
            "prices": PRICES,
            "max_output_tokens": 50,
            **options,
        }
    )
    return EndpointModel(settings, clock or ManualClock(), seed=1)


def test_a_streamed_answer(server):
    ours = model(server)
    assert isinstance(ours, Generator)
    answer = ours.generate(ASK)
    assert (answer.status, answer.response, answer.finish_reason) == ("ok", "All is well.", "stop")
    assert (answer.input_tokens, answer.output_tokens, answer.attempts) == (100, 20, 1)
    assert answer.cost_usd == pytest.approx(COST)
    assert 0.0 < answer.time_to_first_token_ms <= answer.latency_ms < 10_000.0
    (request,) = server.requests
    assert request.path == "/v1/chat/completions"
    assert request.body == {
        "model": "m",
        "messages": [{"role": "user", "content": "Is it well?"}],
        "max_tokens": 50,
        "temperature": 0.0,
        "seed": 7,
        "stream": True,
        "stream_options": {"include_usage": True},
    }


def test_an_answer_at_once(server):
    server.answers = [says("well", usage=(12, 3))]
    answer = model(server, stream=False).generate(ASK)
    assert (answer.response, answer.input_tokens, answer.output_tokens) == ("well", 12, 3)
    assert answer.time_to_first_token_ms is None
    assert answer.latency_ms > 0.0
    assert "stream" not in server.requests[0].body


def test_time_to_the_first_token_is_that_of_the_first_text(server):
    server.answers = [
        Sent(parts=(event({"role": "assistant"}), 0.15, event({"content": "x"}), 0.15, event({}, "stop"), DONE))
    ]
    answer = model(server).generate(ASK)
    assert 150.0 <= answer.time_to_first_token_ms < 280.0
    assert answer.latency_ms >= 300.0


def test_every_option_is_sent(server, monkeypatch):
    monkeypatch.setenv("MODEL_KEY", "secret")
    tool = {"type": "function", "function": {"name": "find", "parameters": {}}}
    ours = model(
        server,
        api_key_env="MODEL_KEY",
        system="Use only: {contexts}",
        template="Q: {prompt} {x}",
        temperature=None,
        token_field="max_completion_tokens",
        send_seed=False,
        tools=(tool,),
        extra={"top_p": 0.5},
    )
    ours.load()
    ours.generate(Request(Case(case_id="a", prompt="Why?", contexts=("One.", "{prompt}")), 0, 7))
    (request,) = server.requests
    assert request.headers["authorization"] == "Bearer secret"
    assert request.body == {
        "model": "m",
        "messages": [
            {"role": "system", "content": "Use only: One.\n\n{prompt}"},
            {"role": "user", "content": "Q: Why? {x}"},
        ],
        "max_completion_tokens": 50,
        "tools": [tool],
        "top_p": 0.5,
        "stream": True,
        "stream_options": {"include_usage": True},
    }
    assert "secret" not in repr(ours) + ours.signature


def test_contexts_stand_before_the_last_words_of_the_user():
    chat = (Message("user", "Hi"), Message("assistant", "Hello"), Message("user", "Why?"))
    case = Case(case_id="a", prompt=chat, contexts=("One.", "Two."))
    assert [message["content"] for message in messages_of(case)] == ["Hi", "Hello", "One.\n\nTwo.\n\nWhy?"]
    assert messages_of(Case(case_id="a", prompt="Why?")) == [{"role": "user", "content": "Why?"}]
    assert messages_of(Case(case_id="a", prompt="\ud800"))[0]["content"] == "?"


@pytest.mark.parametrize("template", ["", "{contexts} {prompt}", "Read {contexts}"])
def test_contexts_are_sent_where_no_message_is_the_users(template: str):
    chat = (Message("system", "Summarise."), Message("developer", "In German."), Message("assistant", "In short:"))
    case = Case(case_id="a", prompt=chat, contexts=("One.", "Two."))
    told = {"role": "user", "content": "One.\n\nTwo."}
    sent = messages_of(case, template=template)
    assert [message["role"] for message in sent] == ["system", "developer", "user", "assistant"]
    assert sent[2] == told
    only = Case(case_id="a", prompt=chat[:1], contexts=("One.", "Two."))
    assert messages_of(only, system="Be brief.", template=template)[1:] == [
        {"role": "system", "content": "Summarise."},
        told,
    ]


def test_contexts_are_sent_once_or_not_at_all_where_that_is_asked_for():
    chat = (Message("system", "Summarise."), Message("assistant", "In short:"))
    case = Case(case_id="a", prompt=chat, contexts=("One.",))
    sent = messages_of(case, system="Use {contexts}")
    assert [message["content"] for message in sent] == ["Use One.", "Summarise.", "In short:"]
    # As where the user says something: a template without them leaves them out.
    assert [message["role"] for message in messages_of(case, template="{prompt}")] == ["system", "assistant"]
    bare = Case(case_id="a", prompt=chat)
    assert [message["role"] for message in messages_of(bare, template="{contexts} {prompt}")] == ["system", "assistant"]


def test_what_the_model_sees_of_a_case_is_what_is_sent(server):
    """Answers are kept under it, so that one to other messages is never taken for one to these."""
    case = Case(case_id="a", prompt="Why?", contexts=("One.",))
    renamed = msgspec.structs.replace(case, case_id="b")
    assert model(server).seen(case) == model(server).seen(renamed)
    assert model(server).seen(case) != model(server, system="Be brief.").seen(case)


def test_tool_calls_come_in_pieces(server):
    pieces = [
        {"index": 0, "id": "1", "function": {"name": "find", "arguments": ""}},
        {"index": 0, "function": {"arguments": '{"city": '}},
        {"index": 1, "id": "2", "function": {"name": "stop", "arguments": ""}},
        {"index": 0, "function": {"arguments": '"Bern"}'}},
    ]
    parts = [event({"tool_calls": [piece]}) for piece in pieces]
    server.answers = [Sent(parts=(*parts, event({}, "tool_calls"), usage(), DONE))]
    (answer,) = Asker(model(server)).ask([CASE])
    assert answer.tool_calls == (ToolCall("find", {"city": "Bern"}), ToolCall("stop"))
    call = {"id": "1", "type": "function", "function": {"name": "find", "arguments": '{"city": "Bern"}'}}
    server.answers = [says(None, finish="tool_calls", tool_calls=[call])]
    (whole,) = Asker(model(server, stream=False)).ask([CASE])
    assert whole.tool_calls == (ToolCall("find", {"city": "Bern"}),)


NO_FINISH = streams("All ", last=[DONE])
AN_ERROR = Sent(body=json.dumps({**json.loads(says("All ").body), "error": {"code": 502}}).encode())
CASES = [
    # What is sent, whether streamed, the reason, the requests, and the cost; None: the estimate of each.
    (status(500), True, "HTTP 500", 3, 0.0),
    (status(400), True, "HTTP 400", 1, 0.0),
    (status(413), False, "HTTP 413", 1, 0.0),
    (HTML, False, "answer is not JSON", 3, None),
    (HALF_JSON, False, "answer is not JSON", 3, None),
    (CUT_OFF, False, "connection failed (IncompleteRead)", 3, None),
    (Sent(body=b"[]"), False, "answer is no chat completion", 3, None),
    (says(None), False, "empty answer", 1, COST),
    (says(None, refusal="I will not."), False, "the model refused", 1, COST),
    (says("x", finish="content_filter"), False, "the model refused", 1, COST),
    (streams(), True, "empty answer", 1, COST),
    (streams("x", finish="content_filter"), True, "the model refused", 1, COST),
    (NO_FINISH, True, "stream ended before the answer", 3, None),
    (streams("All ", last=[]), True, "stream ended before the answer", 3, None),
    (streams("All ", last=[], cut=True), True, "connection failed (IncompleteRead)", 3, None),
    (streams("All ", last=[b"data: {nonsense\n\n"]), True, "stream is not JSON", 3, None),
    (streams("All ", last=[b"data: []\n\n"]), True, "stream is no chat completion", 3, None),
    (streams("All ", last=[event(error={"message": "overloaded"})]), True, "stream holds an error", 3, None),
    (streams("All ", finish="abort"), True, "answer stopped midway", 3, 3 * COST),
    (streams("All ", finish="error"), True, "answer stopped midway", 3, 3 * COST),
    (says("All ", finish="error"), False, "answer stopped midway", 3, 3 * COST),
    (says("All ", finish=None), False, "answer stopped midway", 3, 3 * COST),
    (AN_ERROR, False, "answer holds an error", 3, None),
    (HTML, True, "stream ended before the answer", 3, None),
    (HANG, True, "no answer in time", 3, None),
    (HANG, False, "no answer in time", 3, None),
    (DRIP, True, "no answer in time", 3, None),
    (Sent(parts=(event({"content": "x"}), 5.0)), True, "answer stopped midway", 3, None),
    (Sent(parts=(event({"content": "x"}), *(PING, 0.05) * 100)), True, "no answer in time", 3, None),
]


@pytest.mark.parametrize(("sent", "stream", "reason", "requests", "cost"), CASES)
def test_each_failure(server, sent, stream, reason, requests, cost):
    server.rule = lambda request: sent
    slow = sent in (HANG, DRIP) or any(isinstance(part, float) for part in sent.parts)
    ours = model(server, stream=stream, calls={"timeout_seconds": 0.25} if slow else {}, stall_seconds=0.1)
    (answer,) = Asker(ours).ask([CASE])
    assert (answer.status, answer.response, answer.reason) == ("failed", "", reason)
    assert len(server.requests) == answer.attempts == requests
    expected = requests * ours.estimate_usd(ASK) if cost is None else cost
    assert answer.cost_usd == pytest.approx(expected)
    assert answer.permanent == (cost == COST)


def test_an_answer_of_five_megabytes_is_cut_off(server):
    text = "x" * 5_000_000
    server.answers = [says(text)]
    answer = model(server, stream=False).generate(ASK)
    assert (answer.reason, answer.permanent) == ("answer longer than a reply may be", True)
    server.answers = [streams(*[text[:50_000]] * 100)]
    answer = model(server).generate(ASK)
    assert (answer.reason, answer.response) == ("answer longer than 1048576 characters", "")
    server.answers = [Sent(parts=(*[b"data: " + b"x" * 100_000] * 50,))]
    assert model(server).generate(ASK).reason == "answer longer than 1048576 characters"
    assert len(server.requests) == 3


def test_a_failure_that_passes_is_no_failure(server):
    server.answers = [status(500), status(429), streams("well")]
    answer = model(server).generate(ASK)
    assert (answer.response, answer.attempts) == ("well", 3)


def test_the_pause_that_the_server_asks_for_is_made(server):
    clock = ManualClock()
    server.answers = [status(429, Retry_After="40"), streams("well")]
    assert model(server, clock).generate(ASK).response == "well"
    assert 40.0 <= clock.monotonic() < 41.0


def test_who_makes_a_pause_holds_no_money_of_others(server):
    refused = []

    class Pauses(ManualClock):
        def sleep(self, seconds: float) -> None:
            super().sleep(seconds)
            if seconds >= 40.0:
                refused.append(budget.reserve(price, stopped=iter((False, True)).__next__))
                budget.settle(price, 0.0, 0)

    clock = Pauses()
    server.answers = [status(429, Retry_After="40"), streams("well")]
    ours = model(server, clock)
    price = ours.estimate_usd(ASK)
    budget = RunBudget(usd=price)
    (answer,) = Asker(ours, budget=budget, clock=clock).ask([CASE])
    assert (answer.response, answer.attempts, refused) == ("well", 2, [""])


def test_a_request_of_its_own_trouble_is_tried_until_its_own_deadline(server):
    clock = ManualClock()
    server.rule = lambda request: status(500, Retry_After="10")
    answer = model(server, clock, calls={"attempts": 100, "deadline_seconds": 30.0}).generate(ASK)
    assert (answer.reason, answer.attempts, clock.monotonic()) == ("HTTP 500", 3, 20.0)


@pytest.mark.parametrize("code", [429, 503, 529])
def test_what_an_endpoint_that_is_busy_takes_is_not_of_a_request_s_own_deadline(server, code):
    clock = ManualClock()
    busy = status(code, Retry_After="40")
    server.answers = [busy, busy, status(500), streams("well")]
    answer = model(server, clock, calls={"deadline_seconds": 60.0}).generate(ASK)
    assert (answer.response, answer.attempts) == ("well", 4)
    assert clock.monotonic() > 80.0


def test_the_wait_for_a_turn_is_not_of_a_request_s_own_deadline(server):
    clock = ManualClock()
    server.answers = [status(500), status(500), streams("well")]
    ours = model(server, clock, calls={"deadline_seconds": 30.0})
    (answer,) = Asker(ours, limits=AskLimits(requests_per_minute=1.0), clock=clock).ask([CASE])
    assert (answer.response, answer.attempts) == ("well", 3)
    assert clock.monotonic() > 100.0


def test_a_refused_try_of_an_endpoint_that_answered_nobody_lets_another_try(server):
    clock = ManualClock()
    server.answers = [status(429), status(429), status(401), streams("well")]
    ours = model(server, clock, calls={"breaker_failures": 2, "breaker_pause_seconds": 60.0})
    with pytest.raises(EngineError, match="HTTP 401"):
        ours.generate(ASK)
    assert clock.monotonic() >= 60.0  # the third waited until one may try
    clock.sleep(60.0)
    assert ours.generate(ASK).response == "well"


def test_a_pause_that_nobody_waits_for_ends_the_run(server):
    server.rule = lambda request: status(429, Retry_After="86400")
    with pytest.raises(ModelUnavailable, match=r"asks for a pause of 86400 s \(HTTP 429\)\. Answered .* none of 3"):
        Asker(model(server)).ask(cases(3))


def test_429_for_five_minutes_costs_patience_and_no_answer(server):
    clock = ManualClock()
    server.rule = lambda request: status(429) if clock.monotonic() < 300.0 else streams("well")
    ours = model(server, clock, calls={"breaker_pause_seconds": 60.0})
    answers = Asker(ours, limits=AskLimits(concurrency=1), clock=clock).ask(cases(5))
    assert [answer.response for answer in answers] == ["well"] * 5
    # 8 until the breaker opens, then one a minute.
    assert len(server.requests) <= 8 + 6 + 5


def test_429_for_an_hour_ends_the_run(server):
    clock = ManualClock()
    good = iter([streams("well"), streams("well")])
    server.rule = lambda request: next(good, None) or status(429)
    ours = model(server, clock)
    with pytest.raises(ModelUnavailable, match=r"answers nobody for 6\d\d s \(last: HTTP 429\)\. .* 2 of 5 requests"):
        Asker(ours, limits=AskLimits(concurrency=1), clock=clock).ask(cases(5))
    assert clock.monotonic() < 700.0


def test_nobody_listens():
    clock = ManualClock()
    with FakeJudge() as gone:
        ours = model(gone, clock)
    with pytest.raises(ModelUnavailable, match="ConnectionRefusedError"):
        Asker(ours, limits=AskLimits(concurrency=1), clock=clock).ask(cases(2))


def test_a_request_that_is_never_answered_fails_alone(server):
    server.rule = lambda request: status(429) if request.text == "prompt 7" else streams("well")
    answers = Asker(model(server), limits=AskLimits(concurrency=2)).ask(cases(40))
    assert [place for place, answer in enumerate(answers) if answer.reason == "HTTP 429"] == [7]
    assert sum(answer.status == "failed" for answer in answers) == 1


@pytest.mark.parametrize("code", [401, 402, 403, 404, 302])
def test_a_refusal_of_everything_ends_the_run(server, code):
    server.rule = lambda request: status(code)
    with pytest.raises(EngineError, match=f"^m at http\\S+ answers HTTP {code} to every request; check "):
        Asker(model(server), limits=AskLimits(concurrency=1)).ask(cases(5))
    assert len(server.requests) == 1


@pytest.mark.parametrize("code", [401, 402, 403, 404, 302, 407])
def test_a_refusal_names_what_the_operator_wrote_and_never_the_key(server, monkeypatch, code):
    monkeypatch.setenv("MODEL_KEY", "sk-secret")
    server.rule = lambda request: status(code)
    lines = f'model: {{endpoint: "{server.url}", model: m, api_key_env: MODEL_KEY}}'.encode()
    document = Document("x.suite.yaml", lines)
    ours = read_model(document.root.need("model"), Path())
    with pytest.raises(EngineError) as caught:
        Asker(ours, limits=AskLimits(concurrency=1)).ask(cases(2))
    said = str(caught.value)
    assert "sk-secret" not in said
    assert "base_url" not in said
    assert ("environment variable MODEL_KEY" in said) == (code in (401, 402, 403))
    assert ("`endpoint` and `model`" in said) == (code != 401)


def test_a_401_without_a_key_says_how_one_is_named(server):
    server.rule = lambda request: status(401)
    with pytest.raises(EngineError, match="check `api_key_env`, which is not given: it names the environment variable"):
        Asker(model(server)).ask([CASE])


def test_a_403_beside_answers_is_one_request_s(server):
    server.answers = [streams("well"), status(403)]
    answers = Asker(model(server), limits=AskLimits(concurrency=1)).ask(cases(3))
    assert [answer.reason for answer in answers] == ["", "HTTP 403", ""]


def test_another_model_than_promised_is_no_answer(server):
    server.answers = [streams("well")]
    answer = model(server, served_model="fake-2").generate(ASK)
    assert answer.reason == "answered by another model than `served_model`"
    assert model(server, served_model="fake-1").generate(ASK).status == "ok"


@pytest.mark.parametrize("broken", [[PING], [event(error={"message": "overloaded"})]])
def test_a_stream_that_breaks_before_it_names_its_model_is_asked_again(server, broken):
    server.answers = [Sent(parts=tuple(broken)), streams("well")]
    answer = model(server, served_model="fake-1").generate(ASK)
    assert (answer.response, answer.attempts) == ("well", 2)


def test_a_whole_answer_is_kept_when_its_connection_stalls_before_the_end_of_the_stream(server):
    whole = (event({"content": "well"}), event({}, "stop"), usage(), PING)
    server.answers = [Sent(parts=(*whole, 5.0))]
    answer = model(server, stall_seconds=0.5).generate(ASK)
    assert (answer.response, answer.attempts, answer.cost_usd) == ("well", 1, pytest.approx(COST))
    assert answer.latency_ms < 400.0  # of the answer, not of the wait for more
    server.answers = [Sent(parts=whole, cut=True)]
    assert model(server).generate(ASK).response == "well"
    # What its usage does not close may have gone on.
    server.answers = [Sent(parts=(*whole[:2], 5.0)), streams("better")]
    assert model(server, stall_seconds=0.1).generate(ASK).response == "better"


def calls_in(*pieces: dict[str, Any]) -> tuple[ToolCall, ...]:
    stream = ChatStream()
    for piece in pieces:
        stream.feed(event({"tool_calls": [piece]}))
    stream.feed(event({}, "tool_calls"))
    return stream.said().tool_calls


@pytest.mark.parametrize("index", [{}, {"index": 0}, {"index": None}])
def test_an_id_tells_tool_calls_apart_where_their_index_does_not(index):
    pieces = [
        {**index, "id": "1", "function": {"name": "find", "arguments": '{"city": '}},
        {**index, "id": "", "function": {"arguments": '"Bern"'}},
        {**index, "id": "1", "function": {"arguments": "}"}},
        {**index, "id": "2", "function": {"name": "find", "arguments": ""}},
        {**index, "id": None, "function": {"arguments": '{"city": "Chur"}'}},
    ]
    assert calls_in(*pieces) == (ToolCall("find", {"city": "Bern"}), ToolCall("find", {"city": "Chur"}))


def test_an_id_of_each_piece_does_not_tear_a_call_apart():
    pieces = [
        {"index": 0, "id": "1", "function": {"name": "find", "arguments": ""}},
        {"index": 0, "id": "2", "function": {"arguments": '{"city": '}},
        {"index": 0, "id": "3", "function": {"name": None, "arguments": '"Bern"}'}},
    ]
    assert calls_in(*pieces) == (ToolCall("find", {"city": "Bern"}),)


def test_a_call_without_arguments_has_none(server):
    call = {"id": "1", "type": "function", "function": {"name": "now", "arguments": None}}
    server.answers = [says(None, finish="tool_calls", tool_calls=[call])]
    assert model(server, stream=False).generate(ASK).tool_calls == (ToolCall("now"),)
    assert calls_in({"index": 0, **call}) == (ToolCall("now"),)


@pytest.mark.parametrize(("requests", "concurrency"), [(1, 1), (10, 1), (10, 8)])
def test_a_budget_in_requests_is_not_passed_by_retries(server, requests, concurrency):
    server.rule = lambda request: status(500)
    budget = RunBudget(requests=requests)
    ours = model(server, calls={"breaker_failures": 1000})
    answers = Asker(ours, budget=budget, limits=AskLimits(concurrency=concurrency)).ask(cases(20))
    assert len(server.requests) == budget.requests == requests
    assert sum(answer.attempts for answer in answers) == requests
    assert {answer.reason for answer in answers} <= {"HTTP 500", f"budget of {requests} requests used up"}


@pytest.mark.parametrize("concurrency", [1, 8])
def test_a_budget_in_money_is_not_passed_by_retries(server, concurrency):
    server.rule = lambda request: streams("All ", last=[])  # billed as what it may cost at most
    ours = model(server, calls={"breaker_failures": 1000})
    budget = RunBudget(usd=5.5 * ours.estimate_usd(ASK))
    answers = Asker(ours, budget=budget, limits=AskLimits(concurrency=concurrency)).ask([CASE], repeats=20)
    assert len(server.requests) == budget.requests == 5
    assert budget.usd == pytest.approx(5 * ours.estimate_usd(ASK))
    assert budget.usd == pytest.approx(sum(answer.cost_usd for answer in answers))


def test_retries_keep_the_pace_and_the_deadline(server):
    clock = ManualClock()
    server.rule = lambda request: status(500)
    ours = model(server, clock, calls={"attempts": 9, "backoff_seconds": 0.001, "backoff_max_seconds": 0.001})
    limits = AskLimits(concurrency=1, requests_per_minute=6.0, deadline_seconds=25.0)
    answers = Asker(ours, limits=limits, clock=clock).ask(cases(2))
    assert [(answer.reason, answer.attempts) for answer in answers] == [("deadline passed", 3), ("deadline passed", 0)]
    assert len(server.requests) == 3
    assert clock.monotonic() < 25.0


def test_a_pause_past_the_deadline_is_not_waited_for(server):
    clock = ManualClock()
    server.rule = lambda request: status(429, Retry_After="300")
    (answer,) = Asker(model(server, clock), limits=AskLimits(deadline_seconds=60.0), clock=clock).ask([CASE])
    assert (answer.reason, answer.attempts, clock.monotonic()) == ("deadline passed", 1, 0.0)


def test_who_waits_for_an_endpoint_that_answers_nobody_sends_nothing_after_the_deadline(server):
    clock = ManualClock()
    server.rule = lambda request: status(429)
    ours = model(server, clock, calls={"breaker_failures": 2, "breaker_pause_seconds": 60.0})
    answers = Asker(ours, limits=AskLimits(concurrency=1, deadline_seconds=30.0), clock=clock).ask(cases(3))
    assert {answer.reason for answer in answers} == {"deadline passed"}
    assert len(server.requests) == 2
    # Nobody holds the try that closes the breaker again.
    server.rule = lambda request: streams("well")
    clock.sleep(60.0)
    assert ours.generate(ASK).response == "well"


def test_no_retry_is_sent_after_the_run_has_ended(server):
    def refuses_one(request: Any) -> Sent:
        if request.text != "prompt 0":
            return status(429, Retry_After="1")
        time.sleep(0.3)
        return status(401)

    server.rule = refuses_one
    with pytest.raises(EngineError, match="HTTP 401"):
        Asker(model(server, SystemClock()), limits=AskLimits(concurrency=2)).ask(cases(2))
    assert not [thread for thread in threading.enumerate() if thread.name == "evalsvc-ask"]
    assert len(server.requests) == 2


def test_no_tokens_cost_nothing_and_are_no_unknown_number(server):
    server.answers = [Sent(parts=(event(TEXT), event({}, "stop"), usage(100, 0), DONE))]
    answer = model(server).generate(ASK)
    assert (answer.output_tokens, answer.cost_usd) == (0, pytest.approx(1.0))


def test_without_prices_the_cost_is_unknown(server):
    answer = model(server, prices=None).generate(ASK)
    assert answer.cost_usd is None
    assert model(server, prices=None).estimate_usd(ASK) is None
    with pytest.raises(InputError, match="A budget in USD needs to know what m costs: give its `prices`"):
        Asker(model(server, prices=None), budget=RunBudget(usd=1.0)).ask(cases(2))
    assert model(server).estimate_usd(ASK) == pytest.approx((16 + 4) * 0.01 + 50 * 0.1)


def test_a_missing_key(server):
    with pytest.raises(EngineError, match="model's API key in the environment variable NO_SUCH_KEY"):
        Asker(model(server, api_key_env="NO_SUCH_KEY")).ask([CASE])


def test_the_stream_may_be_cut_anywhere():
    answer = streams("é", "€ü", "\u2028x")
    whole = b"".join(part for part in answer.parts if isinstance(part, bytes)).replace(b"\n", b"\r\n")
    for size in (1, 2, 7, len(whole)):
        stream = ChatStream()
        for start in range(0, len(whole), size):
            if not stream.feed(whole[start : start + size]):
                break
        assert stream.said() == Said("é€ü\u2028x", finish_reason="stop")
        assert json.loads(json.dumps(stream.usage))["prompt_tokens"] == 100


TEXT, CALL = {"content": "x"}, {"tool_calls": [{"index": 0, "id": "1", "function": {"name": "f", "arguments": "{}"}}]}


@pytest.mark.parametrize("said", [(TEXT, TEXT), (TEXT, CALL), (CALL, TEXT), (CALL, CALL)])
def test_the_first_token_is_the_first_text_or_call_and_no_sign_of_life(said):
    ticks = iter(range(100))
    stream = ChatStream(clock=lambda: float(next(ticks)))
    for silent in ({"role": "assistant"}, {"content": ""}, {"content": None, "tool_calls": None}):
        stream.feed(PING + event(silent) + usage())
    assert stream.first_at is None
    for delta in said:
        stream.feed(event(delta))
        assert stream.first_at == 0.0
    stream.feed(event({}, "stop") + event({"content": ""}) + DONE)
    assert (stream.first_at, stream.complete_at) == (0.0, 1.0)


def test_what_a_chunk_does_not_tell_takes_back_nothing():
    stream = ChatStream()
    nothing = event({"content": ""}, usage=None, model=None)
    for chunk in (event({"content": "x"}), usage(7, 1), nothing, usage(7, 2), event({}, "stop"), nothing, nothing):
        assert stream.feed(chunk)
    assert stream.usage == {"prompt_tokens": 7, "completion_tokens": 2, "total_tokens": 9}
    assert stream.served_model == "fake-1"
    assert stream.said() == Said("x", finish_reason="stop")


def test_a_usage_that_counts_up_and_ends_in_null_is_what_an_answer_costs(server):
    chunks = (event({"content": "x"}, usage={"prompt_tokens": 100, "completion_tokens": 1}), usage(100, 20))
    server.answers = [Sent(parts=(*chunks, event({}, "stop", usage=None), DONE))]
    answer = model(server).generate(ASK)
    assert (answer.input_tokens, answer.output_tokens, answer.cost_usd) == (100, 20, pytest.approx(COST))


@pytest.mark.parametrize("name", ["name", "arguments"])
def test_calls_without_an_end_are_broken_off(name):
    stream = ChatStream()
    for number in range(8):
        piece = {"index": number, "id": f"{number}", "function": {"name": "f", "arguments": "", name: "x" * 200_000}}
        if not stream.feed(event({"tool_calls": [piece]})):
            break
    assert number == 5  # 1.2 million characters, of all calls together
    assert stream.said().reason == "answer longer than 1048576 characters"


def test_calls_and_text_are_too_long_together():
    stream = ChatStream()
    assert stream.feed(event({"content": "x" * 600_000}))
    assert not stream.feed(event({"tool_calls": [{"function": {"name": "f", "arguments": "x" * 600_000}}]}))


def test_a_line_without_an_end_is_too_long_whatever_came_before_it():
    stream = ChatStream()
    assert not stream.feed(event(TEXT) + b"data: " + b"x" * 5_000_000)
    assert stream.said().reason == "answer longer than 1048576 characters"


def test_the_last_words_of_a_stream_are_not_the_end_of_an_answer():
    stream = ChatStream()
    stream.feed(event({"content": "x"}) + event({"refusal": "no"}) + event({"content": "y"}, "stop"))
    assert stream.feed(event({}, None))
    assert stream.said() == Said(finish_reason="stop", reason="the model refused")
    assert not stream.feed(DONE)


def test_what_comes_after_the_end_is_not_of_the_answer():
    stream = ChatStream()
    assert not stream.feed(event({"content": "x"}, "stop") + DONE + event({"content": "y"}, "length"))
    assert stream.said() == Said("x", finish_reason="stop")


def test_calls_are_in_the_order_of_their_index():
    pieces = [{"index": n, "id": f"{n}", "function": {"name": f"f{n}", "arguments": "{}"}} for n in (1, 0, 2)]
    assert [call.name for call in calls_in(*pieces)] == ["f0", "f1", "f2"]


def test_signatures_differ_where_answers_may():
    base = {"model": "m", "base_url": "http://localhost/v1"}
    others = [
        {},
        {"model": "n"},
        {"base_url": "http://localhost/v2"},
        {"system": "a"},
        {"template": "{prompt}!"},
        {"temperature": 1.0},
        {"temperature": None},
        {"max_output_tokens": 9},
        {"send_seed": False},
        {"stream": False},
        {"extra": {"top_p": 0.1}},
        {"tools": ({},)},
        {"model_version": "2"},
        {"served_model": "m-1"},
    ]
    assert len({EndpointSettings(**{**base, **other}).signature for other in others}) == len(others)
    same = EndpointSettings(**base, prices=PRICES, api_key_env="KEY", give_up_seconds=1.0)
    assert same.signature == EndpointSettings(**base).signature


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"model": " "}, "Expected `model`"),
        ({"base_url": "ftp://x"}, "Expected `base_url`"),
        ({"template": "Q:"}, "hold {prompt}"),
        ({"temperature": 3.0}, "`temperature` in"),
        ({"max_output_tokens": 0}, "`max_output_tokens` above 0"),
        ({"stall_seconds": float("inf")}, "`stall_seconds` above 0"),
        ({"give_up_seconds": 0.0}, "`give_up_seconds` above 0"),
        ({"extra": {"n": 3}}, "`extra` without 'n'"),
    ],
)
def test_wrong_settings(options, message):
    with pytest.raises(InputError, match=message):
        EndpointSettings(**{"model": "m", "base_url": "http://localhost/v1", **options})


def test_an_answer_shows_no_text():
    assert repr(Answer(response="secret")) == "Answer(ok, 6 characters)"
