"""Tool calls expected and made: F1 by an independent matching, equality of JSON, options, and events of answers."""

from __future__ import annotations

import itertools
import json
import random
from datetime import UTC, datetime

import pytest

from evalsvc.cases import Case, ToolCall
from evalsvc.errors import InputError
from evalsvc.generation.events import event_of
from evalsvc.generation.values import Answer
from evalsvc.scorers import create
from evalsvc.testing import check_scorer, make_sample
from evalsvc.types import Abstained, Event, Failed, Message, Sample, Scored


def call(name: str, **arguments: object) -> dict[str, object]:
    return {"name": name, "arguments": arguments}


def score(expected: object, made: object, **options: bool) -> object:
    (outcome,) = create("tool_calls", options).score(
        [make_sample(data={"expected_tools": expected, "tool_calls": made})]
    )
    return outcome


def value(expected: object, made: object, **options: bool) -> float:
    outcome = score(expected, made, **options)
    assert isinstance(outcome, Scored), outcome
    return outcome.value


A, B, C = call("a", x=1), call("b"), call("c", q="text")


@pytest.mark.parametrize(
    ("expected", "made", "options", "f1"),
    [
        ([A, B], [B, A], {}, 1.0),
        ([A, B], [B, A], {"order": True}, 0.5),
        ([A, B], [A, C, B], {"order": True}, 0.8),
        ([A], [], {}, 0.0),
        ([A, A], [A], {}, 2 / 3),
        ([A], [A, A], {}, 2 / 3),
        ([A], [call("a", x=2)], {}, 0.0),
        ([A], [call("a", x=2)], {"arguments": False}, 1.0),
        ([A], [call("a", x=1.0)], {}, 1.0),
        ([A], [call("a", x=True)], {}, 0.0),
        ([A], [call("a", x="1")], {}, 0.0),
        ([B], [{"name": "b"}], {}, 1.0),
        ([B], [{"function": {"name": "b", "arguments": "{}"}, "id": "1", "type": "function"}], {}, 1.0),
        ([A], [{"function": {"name": "a", "arguments": '{"x": 1.0}'}}], {}, 1.0),
        ([A], [{"function": {"name": "a", "arguments": '{"x": 1'}}], {}, 0.0),
        ([call("d", p={"k": [1, {"z": None}], "j": 2})], [call("d", p={"j": 2.0, "k": [1, {"z": None}]})], {}, 1.0),
        ([call("d", p=[1, 2])], [call("d", p=[2, 1])], {}, 0.0),
        ([], [], {"strict": True}, 1.0),
        ([], [A], {"strict": True}, 0.0),
        (None, [], {"strict": True}, 1.0),
    ],
)
def test_values(expected: object, made: object, options: dict[str, bool], f1: float):
    assert value(expected, made, **options) == pytest.approx(f1)


@pytest.mark.parametrize("expected", [None, []])
def test_where_nothing_is_expected_it_abstains(expected: object):
    assert score(expected, [A]) == Abstained("no expected_tools")


def test_calls_that_nobody_recorded_are_not_calls_that_were_not_made():
    assert score([A], None) == Abstained("no tool_calls recorded")


@pytest.mark.parametrize("calls", ["text", [1], [{"arguments": {}}], [{"name": ""}], {"name": "a"}, 7])
def test_what_is_no_list_of_calls_is_failed(calls: object):
    assert score([A], calls) == Failed("data.tool_calls is not a list of calls with names")
    assert score(calls, [A]) == Failed("data.expected_tools is not a list of calls with names")
    assert score([A], [A] * 1001) == Failed("data.tool_calls holds more than 1000 calls")


def brute(expected: list[str], made: list[str], order: bool) -> int:
    """Count matches by trying every one-to-one assignment (in order: every pair of subsequences)."""
    for size in range(min(len(expected), len(made)), 0, -1):
        for chosen in itertools.combinations(expected, size):
            ways = itertools.combinations(made, size) if order else itertools.permutations(made, size)
            if any(chosen == way for way in ways):
                return size
    return 0


@pytest.mark.parametrize("order", [False, True])
def test_f1_equals_that_of_every_assignment_tried(order: bool):
    draw = random.Random(5)
    for _ in range(150):
        expected, made = ([draw.choice("abc") for _ in range(draw.randint(1, 4))] for _ in range(2))
        matched = brute(expected, made, order)
        precision, recall = matched / len(made), matched / len(expected)
        f1 = 2 * precision * recall / (precision + recall) if matched else 0.0
        assert value([call(name) for name in expected], [call(name) for name in made], order=order) == pytest.approx(f1)


def samples() -> list[Sample]:
    datas = [
        {},
        {"expected_tools": [A]},
        {"expected_tools": [A], "tool_calls": [A, B]},
        {"expected_tools": [], "tool_calls": []},
        {"expected_tools": "x", "tool_calls": [None]},
    ]
    return [make_sample(f"event-{place}", data=data) for place, data in enumerate(datas)]


@pytest.mark.parametrize("options", [{}, {"order": True}, {"arguments": False}, {"strict": True}])
def test_contract(options: dict[str, bool]):
    scorer = create("tool_calls", options)
    check_scorer(scorer, samples())
    assert scorer.spec.signature != create("tool_calls").spec.signature or not options


def test_options_are_true_or_false():
    with pytest.raises(InputError, match="`order` to be true or false"):
        create("tool_calls", {"order": "yes"})
    with pytest.raises(InputError, match="no option"):
        create("tool_calls", {"ordered": True})


NOON = datetime(2026, 1, 1, 12, tzinfo=UTC)


def event(case: Case, answer: Answer, repeat: int = 0) -> Event:
    return event_of(case, answer, repeat=repeat, application="support", model="m", model_version="2", occurred_at=NOON)


def test_an_answer_to_a_case_is_an_event():
    case = Case(
        case_id="a",
        prompt=(Message("user", "Hi"),),
        contexts=("c",),
        reference="r",
        expected_tools=(ToolCall("a", {"x": 1}),),
        segments={"language": "de"},
        group="g",
    )
    answer = Answer(response="Yes.", tool_calls=(ToolCall("a", {"x": 1.0}),), latency_ms=5.0, finish_reason="stop")
    made = event(case, answer, 2)
    assert (made.event_id, made.session_id) == (f"{case.digest}:2", "g")
    assert (made.prompt, made.contexts, made.reference, made.segments) == (
        case.prompt,
        case.contexts,
        case.reference,
        case.segments,
    )
    assert (made.response, made.latency_ms, made.finish_reason) == ("Yes.", 5.0, "stop")
    assert json.loads(json.dumps(dict(made.data)))["case_id"] == "a"
    (outcome,) = create("tool_calls").score([Sample(made, "suite", 1, "", 1.0)])
    assert isinstance(outcome, Scored)
    assert outcome.value == 1.0


def test_repeats_of_a_case_are_of_one_session_and_no_call_is_recorded_as_none():
    case = Case(case_id="a", prompt="Hi", expected_tools=(ToolCall("a"),))
    first, second = (event(case, Answer(response="Yes."), repeat) for repeat in (0, 1))
    assert first.event_id != second.event_id
    assert first.session_id == second.session_id
    (outcome,) = create("tool_calls").score([Sample(first, "suite", 1, "", 1.0)])
    assert isinstance(outcome, Scored)
    assert outcome.value == 0.0


def test_a_failed_answer_is_no_event():
    with pytest.raises(InputError, match="HTTP 429"):
        event(Case(case_id="a", prompt="Hi"), Answer(status="failed", reason="HTTP 429"))
