"""What is ours around ragas and deepeval, tested without either: replies, faults, cost, and their silence."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from typing import Any

import msgspec
import pytest

from evalsvc.errors import InputError, MissingExtra
from evalsvc.judges import JudgeClient, read_object
from evalsvc.scorers import create
from evalsvc.scorers._judge_libraries import SILENCE, Conversation, LibraryScorer
from evalsvc.scorers.ragas import _Checker
from evalsvc.testing import ManualClock, check_scorer, make_sample
from evalsvc.types import Abstained, Failed, Outcome, Sample, Scale, Scored, ScorerSpec
from servers.judge import APOLOGY, FakeJudge, says, status

LIMITS = {"timeout_seconds": 10.0, "attempts": 1, "breaker_failures": 1000}
NAMES = ("ragas_faithfulness", "ragas_answer_relevancy", "deepeval_geval", "deepeval_bias")


class Schema:
    """Stands in for a pydantic model."""

    def __init__(self, share: Any) -> None:
        self.share = share

    @classmethod
    def model_validate(cls, found: dict[str, Any]) -> Schema:
        if "share" not in found:
            raise ValueError(f"a message that quotes {found}")
        return cls(found["share"])


class Share(LibraryScorer):
    """A library's metric: the sum of two replies' shares."""

    library = "sharelib"

    @property
    def spec(self) -> ScorerSpec:
        return ScorerSpec("share", 1, Scale(0.0, 1.0, "higher"), signature=self.client.settings.signature)

    def measure(self, sample: Sample, conversation: Conversation) -> float:
        first, second = (conversation.ask(sample.event.response, Schema).share for _ in range(2))
        return float(first + second)


@pytest.fixture
def judge() -> Iterator[FakeJudge]:
    with FakeJudge(rule=lambda request: says('{"share": 0.25}')) as server:
        yield server


def make(judge: FakeJudge, **options: Any) -> Share:
    scorer = Share("m", judge.url, calls=LIMITS, max_output_tokens=1024, **options)
    scorer.client = JudgeClient(scorer.client.settings, ManualClock())
    return scorer


def one(scorer: Share) -> Outcome:
    (outcome,) = scorer.score([make_sample()])
    return outcome


def test_a_library_metric_keeps_the_contract(judge: FakeJudge) -> None:
    check_scorer(make(judge))


def test_the_cost_of_all_its_calls_is_in_the_detail(judge: FakeJudge) -> None:
    detail = {"cost_usd": None, "input_tokens": 200, "output_tokens": 40, "calls": 2}
    assert one(make(judge)) == Scored(0.5, detail)


@pytest.mark.parametrize(
    ("reply", "reason"),
    [
        (APOLOGY, "judge reply holds no JSON object"),
        (says('{"share": 1', finish="length"), "judge reply holds no JSON object, and was cut off"),
        (says('{"part": 1}'), "judge reply does not fit the metric's schema"),
        (says('{"share": "secret words"}'), "sharelib: TypeError"),
        (says('{"share": NaN}'), "sharelib: the value is not a number"),
        (says('{"share": 3}'), "sharelib: the value is out of range 0 to 1"),
        (says('{"share": -1}'), "sharelib: the value is out of range 0 to 1"),
        (status(500), "judge: HTTP 500"),
    ],
)
def test_what_goes_wrong_is_a_failure_that_quotes_nothing(judge: FakeJudge, reply: Any, reason: str) -> None:
    judge.answers = [says('{"share": 0.25}'), reply]
    outcome = one(make(judge))
    assert isinstance(outcome, Failed)
    assert outcome.reason.startswith(reason)
    assert "secret" not in outcome.reason


def test_a_budget_that_runs_out_between_two_calls_abstains(judge: FakeJudge) -> None:
    scorer = make(judge, budget={"tokens_per_hour": 1150})
    assert one(scorer) == Abstained("judge budget of this hour is used up")
    assert scorer.spend.tokens == 120


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ('{"a": 1}', {"a": 1}),
        ('Here: ```json\n{"a": {"b": [1]}}\n``` done', {"a": {"b": [1]}}),
        ('<think>{"a": 0}</think>{"a": 1}', {"a": 1}),
        ('{"a": 1} {"a": 1}', {"a": 1}),
        ('{} {"a": 1}', {"a": 1}),
        ('{"a": 1} {"a": 2}', "judge reply holds more than one JSON object"),
        ("[1]", "judge reply holds no JSON object"),
        ("", "judge reply holds no JSON object"),
        ("{" * 10_000, "judge reply holds no JSON object"),
    ],
)
def test_the_one_object_of_a_reply(text: str, found: object) -> None:
    assert read_object(text) == found


class Row(msgspec.Struct):
    verdict: int = 1


class Reply(dict[str, Any]):
    """Has fields as attributes and as pairs, as a pydantic model does."""

    def __getattr__(self, name: str) -> Any:
        if name not in self:
            raise AttributeError(name)
        return self[name]


@pytest.mark.parametrize(
    ("replies", "fault"),
    [
        ([Reply(statements=["a", "b"]), Reply(statements=[Row(), Row(0)])], ""),
        ([Reply(statements=["a", "b"]), Reply(statements=[Row()])], "judge gave another number of verdicts"),
        ([Reply(statements=["a"]), Reply(statements=[Row(2)])], "judge verdict is neither 0 nor 1"),
        ([Reply(verdict=1), Reply(verdict=0)], ""),
        ([Reply(verdict=-1)], "judge verdict is neither 0 nor 1"),
        ([Reply(question="q", noncommittal=0)], ""),
        ([Reply(question=" ", noncommittal=0)], "judge gave no question"),
    ],
)
def test_faults_in_ragas_replies(replies: list[Reply], fault: str) -> None:
    check = _Checker()
    found = [check(reply) for reply in replies]
    assert found[-1].startswith(fault)
    assert bool(found[-1]) == bool(fault)
    assert not any(found[:-1])


@pytest.mark.parametrize("name", NAMES)
def test_without_the_package_the_line_that_installs_it(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    library = name.partition("_")[0]
    loaded = [module for module in sys.modules if module.startswith(f"{library}.")]
    for module in (library, *loaded):
        monkeypatch.setitem(sys.modules, module, None)
    for variable in SILENCE:
        monkeypatch.setenv(variable, "unset")
    options = {"model": "m", "base_url": "http://localhost:8000/v1"}
    scorer = create(name, {**options, "criteria": "polite"} if name == "deepeval_geval" else options)
    with pytest.raises(MissingExtra, match=r"pip install 'evalsvc\[judges\]'"):
        scorer.load()
    assert {variable: os.environ[variable] for variable in SILENCE} == SILENCE


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"criteria": ""}, "Expected `criteria`"),
        ({"evaluation_steps": [""]}, "Expected `evaluation_steps`"),
        ({"evaluation_steps": 3}, "Expected `evaluation_steps`"),
        ({"inputs": ["all"]}, "Expected `inputs`"),
        ({"name": "A"}, "Expected `name`"),
    ],
)
def test_wrong_options(options: dict[str, Any], message: str) -> None:
    with pytest.raises(InputError, match=message):
        create("deepeval_geval", {"criteria": "polite", "model": "m", "base_url": "http://h/v1", **options})


def test_each_signature_names_the_model_and_the_library() -> None:
    for name in ("ragas_context_recall", "deepeval_toxicity"):
        spec = create(name, {"model": "judge-1", "base_url": "http://h/v1"}).spec
        assert spec.signature.startswith("model:judge-1|temperature:0|prompt:")
        assert f"version:{name.partition('_')[0]}." in spec.signature
        assert spec.scale == Scale(0.0, 1.0, "higher")


@pytest.mark.parametrize("name", ["judge", *NAMES])
def test_an_unknown_option_is_found(name: str) -> None:
    with pytest.raises(InputError, match=r"no option 'modle' \(did you mean `model`"):
        create(name, {"modle": "m"})
