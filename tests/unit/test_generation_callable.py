"""A function as the model: what it is given, what it may return, and what becomes of its exceptions."""

from __future__ import annotations

import asyncio
import sys
import textwrap
import threading

import pytest

from evalsvc.cases.values import Case, ToolCall
from evalsvc.disk_cache import DiskCache
from evalsvc.errors import EngineError
from evalsvc.generation import Answer, Asker, CallableModel, Generator, Request
from generators import cases

CASE = Case(case_id="a", prompt="Why?", contexts=("One.",), segments={"plan": "pro"})


def by_prompt(text, seed, contexts):
    return f"{text} {seed} {contexts}"


def by_name(case):
    return case.case_id


def by_annotation(question: Case, repeat: int) -> str:
    return f"{question.case_id} {repeat}"


def by_request(asked: Request) -> str:
    return f"{asked.case.case_id} {asked.repeat} {asked.seed}"


async def waiting(prompt: str) -> str:
    await asyncio.sleep(0.001)
    return f"{prompt} {threading.current_thread().name}"


class Model:
    def __call__(self, case: Case) -> str:
        return case.segments["plan"]


@pytest.mark.parametrize(
    ("function", "response"),
    [
        (by_prompt, "Why? 9 ('One.',)"),
        (by_name, "a"),
        (by_annotation, "a 2"),
        (by_request, "a 2 9"),
        (waiting, "Why? evalsvc-callable"),
        (Model(), "pro"),
        (str.upper, "WHY?"),
    ],
)
def test_what_it_is_given(function, response):
    model = CallableModel(function)
    assert isinstance(model, Generator)
    answer = model.generate(Request(CASE, 2, 9))
    assert (answer.status, answer.response) == ("ok", response)
    assert answer.latency_ms is not None


@pytest.mark.parametrize(
    ("said", "expected"),
    [
        ("x", ("ok", "x", "")),
        (Answer(response="y", latency_ms=3.0), ("ok", "y", "")),
        ({"response": "z", "cost_usd": 0.5}, ("ok", "z", "")),
        ({"status": "failed", "reason": "rate limit"}, ("failed", "", "rate limit")),
        ({"status": "failed", "reason": "Ada asked"}, ("failed", "", "the model reported an error")),
        ({"respnse": "z"}, ("failed", "", "no fields of an answer; see `response`")),
        ({"response": 3}, ("failed", "", "no fields of an answer; see `response`")),
        ({"My name is Ada": 1}, ("failed", "", "no fields of an answer")),
        ({"status": "Ada"}, ("failed", "", "no fields of an answer; see `status`")),
        ({"cost_usd": -4711.0}, ("failed", "", "no fields of an answer; see `cost_usd`")),
        ({"status": "failed"}, ("failed", "", "no fields of an answer; see `reason`")),
        (Answer(status="failed", reason="Ada asked"), ("failed", "", "the model reported an error")),
        (None, ("failed", "", "the callable returned NoneType, and no text or answer")),
    ],
)
def test_what_it_may_return(said, expected):
    answer = CallableModel(lambda prompt: said).generate(Request(CASE, 0, 0))
    assert (answer.status, answer.response, answer.reason) == expected


def test_a_mapping_may_hold_calls_and_its_own_latency():
    said = {"tool_calls": [{"name": "find", "arguments": {"city": "Bern"}}], "latency_ms": 3.0}
    answer = CallableModel(lambda prompt: said).generate(Request(CASE, 0, 0))
    assert answer == Answer(tool_calls=(ToolCall("find", {"city": "Bern"}),), latency_ms=3.0)


def test_an_exception_is_named_with_its_place_and_without_its_text():
    def breaks(prompt: str) -> str:
        raise ValueError(prompt)

    async def breaks_later(prompt: str) -> str:
        raise KeyError(prompt)

    for function, name in ((breaks, "ValueError"), (breaks_later, "KeyError")):
        answer = CallableModel(function).generate(Request(CASE, 0, 0))
        assert answer.status == "failed"
        assert answer.reason.startswith(f"{name} at test_generation_callable.py:")
        assert "Why?" not in answer.reason


SOURCE = """
from evalsvc.cases.values import Case
class bot:
    @staticmethod
    def reply(case: Case) -> str:
        return "v1 " + case.prompt
number = 3
def nothing() -> str: ...
"""


def test_a_file_beside_the_suite(tmp_path, monkeypatch):
    # Bytecode is kept, as by default: it must not answer for a file that was changed within a second.
    monkeypatch.setattr(sys, "dont_write_bytecode", False)
    (tmp_path / "bot.py").write_text(SOURCE)
    first = CallableModel("bot.py:bot.reply", tmp_path)
    with DiskCache.open(tmp_path / "cache.sqlite") as cache:
        assert [answer.response for answer in Asker(first, cache).ask(cases(2))] == ["v1 prompt 0", "v1 prompt 1"]
        (tmp_path / "bot.py").write_text(SOURCE.replace("v1", "v2"))
        second = CallableModel("bot.py:bot.reply", tmp_path)
        assert [answer.response for answer in Asker(second, cache).ask(cases(2))] == ["v2 prompt 0", "v2 prompt 1"]
    assert first.cacheable
    assert first.model == "bot.reply"
    assert first.signature != second.signature
    assert first.model_version != second.model_version
    third = CallableModel("bot.py:bot.reply", tmp_path, model="bot", version="3")
    assert (third.model, third.model_version) == ("bot", "3")
    assert third.signature != second.signature


def test_a_module():
    model = CallableModel("textwrap:dedent")
    assert model.generate(Request(CASE, 0, 0)).response == "Why?"
    assert model.cacheable
    assert CallableModel(textwrap.dedent).signature == model.signature


def test_what_no_signature_can_name_is_not_kept():
    assert not CallableModel(lambda prompt: "x").cacheable
    assert not CallableModel(str.upper).cacheable
    assert CallableModel(by_name).cacheable


def test_labels_count_where_the_function_sees_them():
    renamed = Case(case_id="b", prompt="Why?", contexts=("One.",))
    assert CallableModel(by_prompt).seen(CASE) == CallableModel(by_prompt).seen(renamed) == ""
    assert CallableModel(by_name).seen(CASE) != CallableModel(by_name).seen(renamed)


@pytest.mark.parametrize(
    ("target", "message"),
    [
        ("bot", "like package.module:function or file.py:function, but got 'bot'"),
        ("bot.py:rply", r"has no 'rply'"),
        ("bot.py:bot.rply", r"has no 'bot.rply' \(did you mean `reply`\?\)"),
        ("bot.py:number", "to be a function, but it is int"),
        ("bot.py:nothing", "takes no argument by place"),
        ("absent.py:reply", "Importing absent.py for the `callable` failed: FileNotFoundError"),
        ("broken.py:reply", "Importing broken.py for the `callable` failed: ZeroDivisionError at broken.py:1"),
        ("raising.py:reply", "failed: ModuleNotFoundError at raising.py:1$"),
        ("no_such_module_at_all:reply", "failed: there is no module 'no_such_module_at_all' here; install"),
    ],
)
def test_what_cannot_be_loaded(tmp_path, target, message):
    (tmp_path / "bot.py").write_text(SOURCE)
    (tmp_path / "broken.py").write_text("1 / 0\n")
    (tmp_path / "raising.py").write_text("raise ModuleNotFoundError('of Ada', name='of Ada')\n")
    with pytest.raises(EngineError, match=message):
        CallableModel(target, tmp_path).load()


@pytest.mark.parametrize("kind", ["def", "async def"])
def test_a_model_that_exits_does_not_end_the_run(tmp_path, kind):
    (tmp_path / "bot.py").write_text(f"import sys\n{kind} ask(prompt):\n    sys.exit(0)\n")
    model = CallableModel("bot.py:ask", tmp_path)
    for _ in range(2):
        answer = model.generate(Request(Case(case_id="a", prompt="b"), 0, 0))
        assert (answer.status, answer.reason) == ("failed", "SystemExit at bot.py:3")


def test_a_file_that_exits_when_it_is_imported_is_an_error(tmp_path):
    (tmp_path / "bot.py").write_text("import sys\nsys.exit(0)\ndef ask(prompt): return prompt\n")
    with pytest.raises(EngineError, match="SystemExit at bot"):
        CallableModel("bot.py:ask", tmp_path).load()


def test_a_parameter_that_nobody_gives_is_told_before_anything_is_asked(tmp_path):
    (tmp_path / "bot.py").write_text("def ask(prompt, foo, *more, seed=0, bar=1, **rest): return prompt\n")
    with pytest.raises(EngineError, match="nobody gives it `foo`; give that a default"):
        CallableModel("bot.py:ask", tmp_path).load()
