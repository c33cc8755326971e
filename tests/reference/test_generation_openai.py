"""The endpoint model beside OpenAI's own client: the same request for the same options, the same answer of a stream."""

from __future__ import annotations

import json
from collections.abc import Iterator

import pytest

from evalsvc.cases.values import Case
from evalsvc.generation import EndpointModel, EndpointSettings, Request
from evalsvc.types import Message
from servers.judge import Answer, FakeJudge, says
from servers.model import DONE, event, streams, usage

openai = pytest.importorskip("openai")

CHAT = (Message("system", "Be brief."), Message("user", "Where is Bern?"))
TOOL = {
    "type": "function",
    "function": {"name": "find", "parameters": {"type": "object", "properties": {"city": {"type": "string"}}}},
}
CALL = [
    event({"tool_calls": [piece]})
    for piece in (
        {"index": 0, "id": "1", "type": "function", "function": {"name": "find", "arguments": ""}},
        {"index": 0, "function": {"arguments": '{"ci'}},
        {"index": 0, "function": {"arguments": 'ty": "Bern"}'}},
        {"index": 1, "id": "2", "type": "function", "function": {"name": "find", "arguments": '{"city": "Köln"}'}},
    )
]
FIRST = event({"role": "assistant", "content": None})
ANSWERS = {
    "text": streams("In ", "Switzer", "land – „hier“."),
    "cut off": streams("In Switz", finish="length"),
    "calls": Answer(parts=(FIRST, *CALL, event({}, "tool_calls"), usage(7, 9), DONE)),
    "text and a call": Answer(
        parts=(event({"role": "assistant", "content": "I look."}), *CALL, event({}, "tool_calls"), usage(), DONE)
    ),
}


@pytest.fixture
def server() -> Iterator[FakeJudge]:
    with FakeJudge() as running:
        yield running


def ours(server: FakeJudge, stream: bool) -> EndpointModel:
    settings = EndpointSettings(
        model="m", base_url=server.url, temperature=0.5, max_output_tokens=50, tools=(TOOL,), stream=stream
    )
    return EndpointModel(settings)


def asked(server: FakeJudge, stream: bool) -> object:
    """What OpenAI's client returns for the same options."""
    options = {
        "model": "m",
        "messages": [{"role": message.role, "content": message.content} for message in CHAT],
        "temperature": 0.5,
        "max_tokens": 50,
        "seed": 7,
        "tools": [TOOL],
    }
    with openai.OpenAI(base_url=server.url, api_key="k", max_retries=0) as client:
        if not stream:
            return client.chat.completions.create(**options)
        with client.chat.completions.stream(**options, stream_options={"include_usage": True}) as events:
            for _ in events:
                pass
            return events.get_final_completion()


@pytest.mark.parametrize(
    ("name", "sent", "stream"),
    [*((name, sent, True) for name, sent in ANSWERS.items()), ("at once", says("In Bern.", usage=(7, 9)), False)],
)
def test_one_request_and_one_answer(server, name, sent, stream):
    server.answers = [sent, sent]
    if name == "cut off":
        # The client raises for an answer that was cut off; ours is an answer that says so.
        with pytest.raises(openai.LengthFinishReasonError) as caught:
            asked(server, stream)
        theirs = caught.value.completion
    else:
        theirs = asked(server, stream)
    answer = ours(server, stream).generate(Request(Case(case_id="a", prompt=CHAT), 0, 7))
    theirs_sent, ours_sent = (dict(request.body) for request in server.requests)
    assert ours_sent == theirs_sent
    (choice,) = theirs.choices
    assert answer.response == (choice.message.content or "")
    assert answer.finish_reason == choice.finish_reason
    calls = [(call.function.name, json.loads(call.function.arguments)) for call in choice.message.tool_calls or ()]
    assert [(call.name, call.arguments) for call in answer.tool_calls] == calls
    assert (answer.input_tokens, answer.output_tokens) == (theirs.usage.prompt_tokens, theirs.usage.completion_tokens)
