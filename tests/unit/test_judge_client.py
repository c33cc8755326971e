"""The judge's client against a server that fails in every way: the outcome, the number of requests, the cost."""

from __future__ import annotations

import logging
import shutil
import ssl
import subprocess
import time
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from evalsvc import _wire
from evalsvc.errors import EngineError
from evalsvc.judges import Completion, JudgeClient, Spend, judge_settings
from evalsvc.testing import ManualClock
from evalsvc.types import Abstained, Failed
from servers.judge import CUT_OFF, DRIP, HALF_JSON, HANG, HTML, Answer, FakeJudge, Request, says, score, status

ASK = [{"role": "user", "content": "Is it well?"}]
PRICES = {"input_usd_per_million": 10_000.0, "output_usd_per_million": 100_000.0}
QUICK = {"timeout_seconds": 10.0, "deadline_seconds": 60.0, "attempts": 3}


@pytest.fixture
def judge() -> Iterator[FakeJudge]:
    with FakeJudge() as server:
        yield server


def client(judge: FakeJudge, clock: ManualClock | None = None, **options: Any) -> JudgeClient:
    calls = {**QUICK, **options.pop("calls", {})}
    settings = judge_settings(model="m", base_url=judge.url, calls=calls, max_output_tokens=50, **options)
    return JudgeClient(settings, clock or ManualClock(), seed=1)


def test_a_good_answer(judge: FakeJudge) -> None:
    judge.answers = [says("well", usage=(12, 3))]
    ours = client(judge, prices=PRICES)
    answer = ours.complete(ASK)
    assert answer == Completion("well", "stop", Spend(12, 3, 0.12 + 0.3, 1))
    assert ours.budget.used()["hour"] == (pytest.approx(0.42), 15)
    (request,) = judge.requests
    assert request.path == "/v1/chat/completions"
    assert request.body == {"model": "m", "messages": ASK, "max_tokens": 50, "temperature": 0.0}


def test_fields_that_some_models_refuse_are_left_out_or_renamed(judge: FakeJudge) -> None:
    client(judge, temperature="default", token_field="max_completion_tokens").complete(ASK)
    assert judge.requests[0].body == {"model": "m", "messages": ASK, "max_completion_tokens": 50}


MAYBE_BILLED = "the estimate"


@pytest.mark.parametrize(
    ("answer", "reason", "requests", "cost"),
    [
        (status(500), "judge: HTTP 500", 3, 0),
        (status(503), "judge: HTTP 503", 3, 0),
        (status(429), "judge: HTTP 429", 3, 0),
        (status(429, Retry_After="120"), "judge: HTTP 429", 1, 0),
        (status(400), "judge: HTTP 400", 1, 0),
        (status(401), "judge: HTTP 401", 1, 0),
        (status(302, Location="http://127.0.0.1:1/"), "judge: HTTP 302", 1, 0),
        (HTML, "judge: answer is not JSON", 1, MAYBE_BILLED),
        (HALF_JSON, "judge: answer is not JSON", 1, MAYBE_BILLED),
        (CUT_OFF, "judge: connection failed (IncompleteRead)", 3, MAYBE_BILLED),
        (Answer(body=b"[]"), "judge: answer is no chat completion", 1, MAYBE_BILLED),
        (Answer(body=b'{"choices": []}'), "judge: answer is no chat completion", 1, MAYBE_BILLED),
        (Answer(body=b"[" * 200_000), "judge: answer is not JSON", 1, MAYBE_BILLED),
        (says(None), "judge: empty answer", 1, 120),
        (says(" ", finish="length"), "judge: empty answer, cut off at `max_output_tokens`", 1, 120),
        (says(None, refusal="I will not."), "judge: the judge refused", 1, 120),
        (says("x", finish="content_filter"), "judge: the judge refused", 1, 120),
        (HANG, "judge: no answer in time", 3, MAYBE_BILLED),
        (DRIP, "judge: no answer in time", 3, MAYBE_BILLED),
    ],
)
def test_each_failure(judge: FakeJudge, answer: Answer, reason: str, requests: int, cost: int | str) -> None:
    judge.rule = lambda request: answer
    ours = client(judge, calls={"timeout_seconds": 0.3} if answer in (HANG, DRIP) else {})
    assert ours.complete(ASK) == Failed(reason, {"attempts": requests})
    assert len(judge.requests) == requests
    expected = requests * ours.estimate(ASK).tokens if cost == MAYBE_BILLED else cost
    assert ours.budget.used()["hour"] == (0.0, expected)
    assert ours.budget.total.calls == requests


def test_nobody_listening() -> None:
    with FakeJudge() as gone:
        ours = client(gone)
    assert ours.complete(ASK) == Failed("judge: connection failed (ConnectionRefusedError)", {"attempts": 3})
    assert ours.budget.used()["hour"] == (0.0, 0)


def test_an_answer_without_usage_costs_its_estimate(judge: FakeJudge) -> None:
    judge.answers = [says("well", usage=None)]
    ours = client(judge)
    assert isinstance(ours.complete(ASK), Completion)
    assert ours.budget.total == ours.estimate(ASK)


def test_a_failure_that_passes_is_no_failure(judge: FakeJudge) -> None:
    judge.answers = [status(500), status(429), says("well", usage=(12, 3))]
    answer = client(judge).complete(ASK)
    assert isinstance(answer, Completion)
    assert answer.spend == Spend(12, 3, None, 3)


@pytest.mark.parametrize("header", ["7", "Thu, 01 Jan 2026 00:00:07 GMT"])
def test_the_servers_pause_is_kept(judge: FakeJudge, header: str) -> None:
    judge.answers = [status(429, Retry_After=header)]
    clock = ManualClock(datetime(2026, 1, 1, tzinfo=UTC))
    assert isinstance(client(judge, clock).complete(ASK), Completion)
    assert clock.monotonic() == 7.0


@pytest.mark.parametrize("header", ["soon", "-5", "Wed, 31 Dec 2025 23:00:00 GMT", "", "²"])
def test_a_pause_that_says_nothing_is_ours(judge: FakeJudge, header: str) -> None:
    judge.answers = [status(503, Retry_After=header.encode().decode("latin-1"))]
    clock = ManualClock(datetime(2026, 1, 1, tzinfo=UTC))
    assert isinstance(client(judge, clock).complete(ASK), Completion)
    assert 0.0 < clock.monotonic() < 1.0


def test_pauses_grow_and_are_drawn(judge: FakeJudge) -> None:
    judge.rule = lambda request: status(500)
    slept: list[list[float]] = []

    class Noting(ManualClock):
        def sleep(self, seconds: float) -> None:
            slept[-1].append(seconds)

    limits = {"attempts": 6, "backoff_seconds": 1.0, "backoff_max_seconds": 5.0, "breaker_failures": 100_000}
    ours = client(judge, Noting(), calls=limits)
    for _ in range(30):
        slept.append([])
        ours.complete(ASK)
    columns = list(zip(*slept, strict=True))
    assert [len(column) for column in columns] == [30] * 5
    for column, most in zip(columns, [2.0, 4.0, 5.0, 5.0, 5.0], strict=True):
        assert 0.75 * most < max(column) <= most
        assert 0.0 <= min(column) < 0.25 * most


def test_the_deadline_ends_a_call(judge: FakeJudge) -> None:
    judge.rule = lambda request: HANG
    settings = judge_settings(
        model="m", base_url=judge.url, calls={"timeout_seconds": 30.0, "deadline_seconds": 0.4, "attempts": 9}
    )
    start = time.monotonic()
    outcome = JudgeClient(settings).complete(ASK)
    assert time.monotonic() - start < 5.0
    assert isinstance(outcome, Failed)
    assert "no answer in time" in outcome.reason
    assert len(judge.requests) == 1


@pytest.mark.parametrize("stuck", [HANG, DRIP])
def test_a_hung_call_holds_up_no_other(judge: FakeJudge, stuck: Answer) -> None:
    judge.rule = lambda request: stuck if "slow" in request.text else score(4)
    ours = client(judge, calls={"timeout_seconds": 1.0, "attempts": 1, "concurrency": 2})
    done: dict[str, float] = {}
    start = time.monotonic()

    def ask(text: str) -> object:
        answer = ours.complete([{"role": "user", "content": text}])
        done[text] = time.monotonic() - start
        return answer

    answers = ours.map(ask, ["slow", *(f"quick {number}" for number in range(9))])
    assert isinstance(answers[0], Failed)
    assert all(isinstance(answer, Completion) for answer in answers[1:])
    assert max(seconds for text, seconds in done.items() if text != "slow") < done["slow"]
    assert 0.9 < done["slow"] < 5.0


def test_no_more_calls_at_once_than_allowed(judge: FakeJudge) -> None:
    running, most = [0], [0]

    def rule(request: Request) -> Answer:
        running[0] += 1
        most[0] = max(most[0], running[0])
        time.sleep(0.03)
        running[0] -= 1
        return score(4)

    judge.rule = rule
    ours = client(judge, calls={"concurrency": 3, "timeout_seconds": 5.0})
    ours.map(lambda number: ours.complete(ASK), range(12))
    assert most[0] == 3


def test_the_breaker_rests_and_recovers(judge: FakeJudge) -> None:
    judge.rule = lambda request: status(500)
    clock = ManualClock()
    limits = {"attempts": 2, "breaker_failures": 3, "breaker_pause_seconds": 60.0}
    ours = client(judge, clock, calls=limits)
    assert ours.complete(ASK) == Failed("judge: HTTP 500", {"attempts": 2})
    assert ours.complete(ASK) == Failed("judge: not asked, after 3 failures in a row", {"attempts": 1})
    assert ours.complete(ASK) == Failed("judge: not asked, after 3 failures in a row", {"attempts": 0})
    assert len(judge.requests) == 3
    judge.rule = lambda request: says("well")
    assert isinstance(ours.complete(ASK), Failed)
    assert len(judge.requests) == 3
    clock.advance(60.0)
    assert [isinstance(ours.complete(ASK), Completion) for _ in range(3)] == [True] * 3
    assert ours.breaker.state == "closed"


@pytest.mark.parametrize(("answer", "state"), [(status(401), "open"), (status(400), "closed"), (HTML, "open")])
def test_which_failures_are_the_endpoints(judge: FakeJudge, answer: Answer, state: str) -> None:
    judge.rule = lambda request: answer
    ours = client(judge, calls={"breaker_failures": 2})
    for _ in range(2):
        ours.complete(ASK)
    assert ours.breaker.state == state


def test_a_budget_that_is_used_up_abstains_and_asks_nobody(judge: FakeJudge) -> None:
    clock = ManualClock(datetime(2026, 3, 1, 9, 30, tzinfo=UTC))
    ours = client(judge, clock, budget={"tokens_per_hour": 200})
    judge.rule = lambda request: says("well", usage=(100, 40))
    assert isinstance(ours.complete(ASK), Completion)
    assert ours.complete(ASK) == Abstained("judge budget of this hour is used up")
    assert len(judge.requests) == 1
    clock.advance(1800.0)
    assert isinstance(ours.complete(ASK), Completion)


def test_a_budget_in_money(judge: FakeJudge) -> None:
    ours = client(judge, prices=PRICES, budget={"usd_per_day": 10.0})
    judge.rule = lambda request: says("well", usage=(100, 40))  # 5 dollars; about 5.2 are held before
    assert isinstance(ours.complete(ASK), Completion)
    assert ours.complete(ASK) == Abstained("judge budget of this day is used up")
    assert ours.budget.total.usd == pytest.approx(5.0)


def test_another_model_than_the_pinned_one_is_no_answer(judge: FakeJudge) -> None:
    assert isinstance(client(judge, served_model="fake-1").complete(ASK), Completion)
    outcome = client(judge, served_model="fake-0").complete(ASK)
    assert outcome == Failed("judge: answered by another model than `served_model`", {"attempts": 1})


KEY = "sk-test-0123456789"


def test_the_key_goes_into_the_header_and_nowhere_else(
    judge: FakeJudge, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setenv("JUDGE_KEY", f" {KEY}\n")
    judge.answers = [status(500), HTML]
    ours = client(judge, api_key_env="JUDGE_KEY")
    ours.load()
    with caplog.at_level(logging.DEBUG):
        outcome = ours.complete([{"role": "user", "content": "a private text"}])
    assert {request.headers["authorization"] for request in judge.requests} == {f"Bearer {KEY}"}
    shown = f"{ours!r} {ours.settings!r} {ours.settings.signature} {outcome!r} {caplog.text}"
    assert KEY not in shown
    assert "a private text" not in shown


@pytest.mark.parametrize("value", [None, "", "  ", "two\nlines", "schlüssel"])
def test_a_key_that_is_missing_or_no_header(
    judge: FakeJudge, monkeypatch: pytest.MonkeyPatch, value: str | None
) -> None:
    monkeypatch.delenv("JUDGE_KEY", raising=False)
    if value is not None:
        monkeypatch.setenv("JUDGE_KEY", value)
    with pytest.raises(EngineError, match="JUDGE_KEY") as caught:
        client(judge, api_key_env="JUDGE_KEY").load()
    assert not (value or "").strip() or str(value) not in str(caught.value)


def test_a_proxy_is_used_and_an_exception_to_it_is_kept(judge: FakeJudge, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("http_proxy", judge.url.removesuffix("/v1").replace("//", "//me:word@"))
    settings = judge_settings(model="m", base_url="http://judge.invalid/v1", calls=QUICK)
    assert isinstance(JudgeClient(settings).complete(ASK), Completion)
    (request,) = judge.requests
    assert request.path == "http://judge.invalid/v1/chat/completions"
    assert request.headers["proxy-authorization"] == "Basic bWU6d29yZA=="
    monkeypatch.setenv("no_proxy", "judge.invalid")
    assert isinstance(JudgeClient(settings, ManualClock()).complete(ASK), Failed)
    assert len(judge.requests) == 1


def test_lone_surrogates_reach_the_judge_as_question_marks(judge: FakeJudge) -> None:
    client(judge).complete([{"role": "user", "content": "a\ud800b é 👩"}])
    assert judge.requests[0].text == "a?b é 👩"


def test_an_endless_answer_is_cut(judge: FakeJudge) -> None:
    judge.rule = lambda request: Answer(body=b" " * (5 << 20))
    outcome = client(judge, calls={"attempts": 1, "timeout_seconds": 5.0}).complete(ASK)
    assert outcome == Failed("judge: connection failed (ReplyTooLongError)", {"attempts": 1})


def secure(folder: Path, judge: FakeJudge) -> FakeJudge:
    """Make the server speak TLS, with a certificate of its own for 127.0.0.1 in ``folder/cert.pem``."""
    line = "openssl req -x509 -newkey rsa:2048 -nodes -days 2 -subj /CN=localhost -addext subjectAltName=IP:127.0.0.1"
    files = ["-keyout", str(folder / "key.pem"), "-out", str(folder / "cert.pem")]
    subprocess.run([*line.split(), *files], check=True, capture_output=True)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(folder / "cert.pem", folder / "key.pem")
    judge.speak_tls(context)
    return judge


@pytest.mark.skipif(shutil.which("openssl") is None, reason="openssl makes the certificate")
def test_a_certificate_is_checked(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with secure(tmp_path, FakeJudge()) as judge:
        monkeypatch.delenv("SSL_CERT_FILE", raising=False)
        _wire._trusted.cache_clear()
        outcome = client(judge, calls={"attempts": 1}).complete(ASK)
        assert outcome == Failed("judge: connection failed (SSLCertVerificationError)", {"attempts": 1})
        assert judge.requests == []
        monkeypatch.setenv("SSL_CERT_FILE", str(tmp_path / "cert.pem"))
        _wire._trusted.cache_clear()
        assert isinstance(client(judge).complete(ASK), Completion)
    _wire._trusted.cache_clear()


def test_plain_http_is_not_spoken_to_an_https_address(judge: FakeJudge) -> None:
    settings = judge_settings(model="m", base_url=judge.url.replace("http", "https"), calls={**QUICK, "attempts": 1})
    outcome = JudgeClient(settings, ManualClock()).complete(ASK)
    assert isinstance(outcome, Failed)
    assert "connection failed (SSLError)" in outcome.reason
    assert judge.requests == []


def test_a_status_is_one_reason_however_often_it_was_asked(judge: FakeJudge) -> None:
    reasons = set()
    for attempts in (1, 2, 3):
        judge.rule = lambda request: status(503)
        outcome = client(judge, calls={"attempts": attempts}).complete(ASK)
        assert isinstance(outcome, Failed)
        assert outcome.detail == {"attempts": attempts}
        reasons.add(outcome.reason)
    assert reasons == {"judge: HTTP 503"}
