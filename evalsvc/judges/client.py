"""Calls to a judge: budget, breaker, retries and a deadline around ``POST {base_url}/chat/completions``."""

from __future__ import annotations

import json
import random
from collections.abc import Callable, Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any, NamedTuple, TypeVar

from evalsvc._wire import NoReply, Reply, post
from evalsvc.clock import SystemClock
from evalsvc.judges.breaker import CircuitBreaker
from evalsvc.judges.budget import Budget
from evalsvc.judges.retries import (
    REFUSALS,
    RETRIED,
    api_key,
    estimated_tokens,
    field_of,
    jitter,
    retry_after_seconds,
    speakable,
    token_count,
)
from evalsvc.judges.settings import JudgeSettings
from evalsvc.judges.spend import Spend
from evalsvc.protocols import Clock
from evalsvc.types import Abstained, Failed

Post = Callable[[str, bytes, Mapping[str, str], float], Reply | NoReply]
Messages = Sequence[Mapping[str, str]]
Task = TypeVar("Task")
Result = TypeVar("Result")


class Completion(NamedTuple):
    """A judge's answer, how it ended (``stop``, ``length``, ...) and what it cost."""

    text: str
    finish_reason: str
    spend: Spend


class _Attempt(NamedTuple):
    """What one request came to: a completion, or why not and whether another may help."""

    completion: Completion | None = None
    reason: str = ""
    retry: bool = False
    pause_seconds: float = 0.0
    endpoint_failed: bool = False
    spend: Spend = Spend()


class JudgeClient:
    """One judge, asked within its budget. Safe to use from several threads.

    Args:
        settings: the judge.
        clock: what the breaker, the budget, pauses and deadlines go by; a request's own time-out is real time.
        post: sends one request; tests may replace it.
        seed: for the jitter of pauses; ``None`` draws one.
    """

    def __init__(
        self, settings: JudgeSettings, clock: Clock | None = None, post: Post = post, seed: int | None = None
    ) -> None:
        self.settings = settings
        self._clock = clock or SystemClock()
        self._post = post
        self._url = f"{settings.base_url.rstrip('/')}/chat/completions"
        self._key = ""
        self._random = random.Random(seed)  # noqa: S311 - jitter, no secret
        self.budget = Budget(settings.budget, self._clock)
        self.breaker = CircuitBreaker(
            settings.calls.breaker_failures, settings.calls.breaker_pause_seconds, self._clock
        )

    def __repr__(self) -> str:
        """Name the judge without its key."""
        return f"JudgeClient({self.settings.model!r}, {self.settings.base_url!r})"

    def load(self) -> None:
        """Read the API key from the environment; sends nothing.

        Raises:
            EngineError: when the variable is not set, or holds what no header can.
        """
        self._key = api_key(self.settings.api_key_env, "judge's")

    def map(self, task: Callable[[Task], Result], items: Iterable[Task]) -> list[Result]:
        """Return what ``task`` makes of each item, in order, at most ``calls.concurrency`` at a time."""
        work = list(items)
        if len(work) < 2:
            return [task(item) for item in work]
        with ThreadPoolExecutor(min(self.settings.calls.concurrency, len(work)), "evalsvc-judge") as pool:
            return list(pool.map(task, work))

    def estimate(self, messages: Messages) -> Spend:
        """Return the most that a call is expected to cost: its text's length, and the longest answer allowed."""
        tokens = estimated_tokens([message["content"] for message in messages])
        return self._spend(tokens, self.settings.max_output_tokens)

    def complete(self, messages: Messages) -> Completion | Abstained | Failed:
        """Ask once, trying again where that may help; returns by the deadline.

        Where calls under way hold the rest of the budget, their end is waited for first, as long as that deadline is.
        ``Abstained`` says that the budget is used up, ``Failed`` that no usable answer came, with the
        number of ``attempts`` in its detail; both name no text.
        A request that may have been worked on without an answer (time-out, broken connection) costs its estimate.
        """
        estimate = self.estimate(messages)
        reservation = self.budget.reserve(estimate, self.settings.calls.deadline_seconds)
        if isinstance(reservation, str):
            return Abstained(reservation)
        spent = self._spend(0, 0, 0)
        try:
            outcome, spent = self._attempts(messages, estimate)
        finally:
            self.budget.settle(reservation, spent)
        return outcome

    def _attempts(self, messages: Messages, estimate: Spend) -> tuple[Completion | Failed, Spend]:
        calls, spent, reason = self.settings.calls, self._spend(0, 0, 0), ""
        body, end = self._body(messages), self._clock.monotonic() + calls.deadline_seconds
        for number in range(1, calls.attempts + 1):
            # Reasons are counted: how often it was asked would split each into several.
            detail = {"attempts": number - 1}
            left = end - self._clock.monotonic()
            if left <= 0:
                return Failed(
                    f"judge: {reason or 'no answer'}; deadline of {calls.deadline_seconds:g} s passed", detail
                ), spent
            if not self.breaker.allow():
                # One reason, whatever came before: reasons are counted. What it was is in the other failures.
                return Failed(f"judge: not asked, after {calls.breaker_failures} failures in a row", detail), spent
            attempt = self._attempt(body, min(left, calls.timeout_seconds), estimate)
            spent += attempt.spend
            if attempt.completion is not None:
                return attempt.completion._replace(spend=spent), spent
            reason = attempt.reason
            if not attempt.retry:
                break
            pause = max(attempt.pause_seconds, jitter(self._random, calls, number))
            if number == calls.attempts or self._clock.monotonic() + pause >= end:
                break
            self._clock.sleep(pause)
        return Failed(f"judge: {reason}", {"attempts": number}), spent

    def _attempt(self, body: bytes, timeout_seconds: float, estimate: Spend) -> _Attempt:
        headers = {"Content-Type": "application/json", "Accept": "application/json", "User-Agent": "evalsvc"}
        if self._key:
            headers["Authorization"] = f"Bearer {self._key}"
        try:
            reply = self._post(self._url, body, headers, timeout_seconds)
            attempt = (
                self._unanswered(reply, estimate) if isinstance(reply, NoReply) else self._answered(reply, estimate)
            )
        except BaseException:
            self.breaker.failed()
            raise
        if attempt.endpoint_failed:
            self.breaker.failed()
        else:
            self.breaker.succeeded()
        return attempt

    def _unanswered(self, reply: NoReply, estimate: Spend) -> _Attempt:
        spend = estimate if reply.sent else self._spend(0, 0)
        return _Attempt(reason=reply.reason, retry=True, endpoint_failed=True, spend=spend)

    def _answered(self, reply: Reply, estimate: Spend) -> _Attempt:
        if reply.status != 200:
            retry = reply.status in RETRIED or reply.status >= 500
            failed = retry or reply.status in REFUSALS or 300 <= reply.status < 400
            return _Attempt(
                reason=f"HTTP {reply.status}",
                retry=retry,
                pause_seconds=retry_after_seconds(reply.retry_after, self._clock.now()) if retry else 0.0,
                endpoint_failed=failed,
                spend=self._spend(0, 0),
            )
        return self._read(reply.body, estimate)

    def _read(self, body: bytes, estimate: Spend) -> _Attempt:
        try:
            answer = json.loads(body)
        except (ValueError, RecursionError):
            return _Attempt(reason="answer is not JSON", endpoint_failed=True, spend=estimate)
        spend = self._usage(answer, estimate)
        if self.settings.served_model and field_of(answer, "model") != self.settings.served_model:
            return _Attempt(reason="answered by another model than `served_model`", spend=spend)
        try:
            choice = answer["choices"][0]
            message, ended = choice["message"], str(choice.get("finish_reason") or "")
            text = message.get("content")
            refused = bool(message.get("refusal"))
        except (KeyError, IndexError, TypeError, AttributeError):
            return _Attempt(reason="answer is no chat completion", endpoint_failed=True, spend=spend)
        if refused or ended == "content_filter":
            return _Attempt(reason="the judge refused", spend=spend)
        if not isinstance(text, str) or not text.strip():
            return _Attempt(reason=f"empty answer{_cut(ended)}", spend=spend)
        return _Attempt(Completion(text, ended, spend), spend=spend)

    def _usage(self, answer: object, estimate: Spend) -> Spend:
        usage = field_of(answer, "usage")
        taken, given = token_count(usage, "prompt_tokens"), token_count(usage, "completion_tokens")
        return estimate if taken is None or given is None else self._spend(taken, given)

    def _spend(self, input_tokens: int, output_tokens: int, calls: int = 1) -> Spend:
        prices = self.settings.prices
        return Spend(input_tokens, output_tokens, prices.usd(input_tokens, output_tokens) if prices else None, calls)

    def _body(self, messages: Messages) -> bytes:
        settings = self.settings
        request: dict[str, Any] = {
            "model": settings.model,
            "messages": [{"role": m["role"], "content": speakable(m["content"])} for m in messages],
            settings.token_field: settings.max_output_tokens,
        }
        if settings.temperature is not None:
            request["temperature"] = settings.temperature
        return json.dumps(request).encode()


def _cut(ended: str) -> str:
    return ", cut off at `max_output_tokens`" if ended == "length" else ""
