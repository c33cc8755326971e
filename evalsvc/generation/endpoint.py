"""A model behind an OpenAI-compatible endpoint: ``POST {base_url}/chat/completions``, streamed or at once.

A request that fails by itself is a failed answer after some tries. While the endpoint answers nobody (429, 503, no
connection), requests wait for it instead, one tries now and then, and after ``give_up_seconds`` the run ends.
"""

from __future__ import annotations

import json
import random
import time
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

import msgspec

from evalsvc._wire import NoReply, Reading, Reply, post
from evalsvc.cases.values import Case, digest_of
from evalsvc.clock import SystemClock
from evalsvc.errors import EngineError, ModelUnavailable
from evalsvc.generation.chat import Said, messages_of, said_by
from evalsvc.generation.endpoint_settings import EndpointSettings
from evalsvc.generation.health import Health
from evalsvc.generation.limits import Turns
from evalsvc.generation.stream import ChatStream
from evalsvc.generation.values import Answer, Request, failed
from evalsvc.judges.retries import (
    REFUSALS,
    RETRIED,
    api_key,
    estimated_tokens,
    jitter,
    retry_after_seconds,
    token_count,
)
from evalsvc.protocols import Clock
from evalsvc.types import Need

MAX_STREAM_BYTES = 64 << 20
"""Of a whole stream, in which each token brings some 300 bytes along."""
TOO_LONG = "connection failed (ReplyTooLongError)"

Post = Callable[[str, bytes, Mapping[str, str], float, Reading | None], Reply | NoReply]
_BUSY = frozenset({429, 503, 529})


class _Try(NamedTuple):
    """What one HTTP request came to. ``everyone``: any other request would have ended so, too."""

    answer: Answer
    retry: bool = False
    everyone: bool = False
    pause_seconds: float = 0.0


class EndpointModel:
    """A generator that asks an endpoint. Safe to use from several threads.

    Args:
        settings: the model.
        clock: what the breaker and pauses go by; a request's own time-outs and latencies are real time.
        post: sends one request; tests may replace it.
        seed: for the jitter of pauses; ``None`` draws one.
        name: what reports call the model; empty is its name at the endpoint.
        address_key: what messages call the address: what whoever wrote it called it.
    """

    cacheable = True
    recorded = False

    def __init__(
        self,
        settings: EndpointSettings,
        clock: Clock | None = None,
        post: Post = post,
        seed: int | None = None,
        name: str = "",
        address_key: str = "base_url",
    ) -> None:
        self.settings = settings
        self._address_key = address_key
        self.model = name or settings.model
        self.model_version = settings.model_version or settings.model
        self.signature = settings.signature
        self._clock = clock or SystemClock()
        self._post = post
        self._url = f"{settings.base_url.rstrip('/')}/chat/completions"
        self._key = ""
        self._random = random.Random(seed)  # noqa: S311 - jitter, no secret
        self._called = f"{settings.model} at {settings.base_url}"
        self._health = Health(self._called, settings.calls, settings.give_up_seconds, self._clock)

    def __repr__(self) -> str:
        """Name the model without its key."""
        return f"EndpointModel({self.settings.model!r}, {self.settings.base_url!r})"

    @property
    def never_told(self) -> Mapping[Need, str]:
        """What no answer will have, and what to do about it."""
        return {} if self.settings.prices else {"cost_usd": "give the model its `prices`"}

    def load(self) -> None:
        """Read the key; sends nothing.

        Raises:
            EngineError: when its variable is not set, or holds what no header can.
        """
        self._key = api_key(self.settings.api_key_env, "model's")

    def seen(self, case: Case) -> str:
        """Return the digest of the messages: how a case becomes them may change with this program."""
        return digest_of(self._messages(case))

    def estimate_usd(self, request: Request) -> float | None:
        """Return the price of the text and of the longest answer; ``None`` without prices."""
        prices = self.settings.prices
        if prices is None:
            return None
        return prices.usd(self._input_tokens(self._messages(request.case)), self.settings.max_output_tokens)

    def generate(self, request: Request) -> Answer:
        """Ask until there is an answer, or no use in asking again.

        Raises:
            ModelUnavailable: when the endpoint answered nobody for ``give_up_seconds``.
            EngineError: when it refuses every request, as with a wrong key.
        """
        return self.generate_in_turns(request, Turns(clock=self._clock))

    def generate_in_turns(self, request: Request, turns: Turns) -> Answer:
        """Do the same, each try in a turn of its own; a turn that is refused is why there is no answer."""
        calls = self.settings.calls
        body = self._body(self._messages(request.case), request.seed)
        estimate = self.estimate_usd(request) or 0.0
        attempts, tries, cost = 0, 0, 0.0
        begun, answered_before = self._clock.monotonic(), self._health.answered
        while True:
            before = self._clock.monotonic()
            refused = turns.begin(self._health.wait)
            begun += self._clock.monotonic() - before
            now = _Try(failed(refused)) if refused else self._attempt(body, estimate, turns)
            attempts, cost = attempts + (not refused), cost + (now.answer.cost_usd or 0.0)
            # Others are answered, or it fails by itself: it is this request's own try.
            own = not now.everyone or self._health.answered > answered_before
            tries += own
            pause = max(now.pause_seconds, jitter(self._random, calls, max(tries, 1)))
            late = own and self._clock.monotonic() + pause - begun >= calls.deadline_seconds
            last = not now.retry or tries >= calls.attempts or late
            if not last and pause > self.settings.give_up_seconds:
                raise ModelUnavailable(f"{self._called} asks for a pause of {pause:.0f} s ({now.answer.reason})")
            too_late = "" if last else turns.over(pause)
            if last or too_late:
                paid = None if self.settings.prices is None else cost
                answer = failed(too_late) if too_late else now.answer
                return msgspec.structs.replace(answer, attempts=attempts, cost_usd=paid)
            self._clock.sleep(pause)
            begun += 0.0 if own else pause

    def _messages(self, case: Case) -> list[dict[str, str]]:
        return messages_of(case, self.settings.system, self.settings.template)

    def _input_tokens(self, messages: list[dict[str, str]]) -> int:
        tools = [json.dumps(tool) for tool in self.settings.tools]
        return estimated_tokens([*(message["content"] for message in messages), *tools])

    def _body(self, messages: list[dict[str, str]], seed: int) -> bytes:
        settings = self.settings
        fields: dict[str, Any] = {
            **settings.extra,
            "model": settings.model,
            "messages": messages,
            settings.token_field: settings.max_output_tokens,
        }
        if settings.temperature is not None:
            fields["temperature"] = settings.temperature
        if settings.send_seed:
            fields["seed"] = seed
        if settings.tools:
            fields["tools"] = list(settings.tools)
        if settings.stream:
            fields |= {"stream": True, "stream_options": {"include_usage": True}}
        return json.dumps(fields).encode()

    def _attempt(self, body: bytes, estimate: float, turns: Turns) -> _Try:
        usd = 0.0
        try:
            now = self._ask(body, estimate)
            usd = now.answer.cost_usd or 0.0
        except BaseException:
            self._health.failed("no answer")
            raise
        finally:
            turns.end(usd)
        if now.retry:
            self._health.failed(now.answer.reason)
        else:
            self._health.succeeded()
        return now

    def _ask(self, body: bytes, estimate: float) -> _Try:
        settings = self.settings
        headers = {"Content-Type": "application/json", "User-Agent": "evalsvc"}
        headers["Accept"] = "text/event-stream" if settings.stream else "application/json"
        if self._key:
            headers["Authorization"] = f"Bearer {self._key}"
        stream = ChatStream() if settings.stream else None
        reading = Reading(stream.feed, settings.stall_seconds, MAX_STREAM_BYTES) if stream else None
        begun = time.perf_counter()
        reply = self._post(self._url, body, headers, settings.calls.timeout_seconds, reading)
        took = (time.perf_counter() - begun) * 1000.0
        if isinstance(reply, NoReply) and stream is not None and stream.complete_at is not None:
            # Only the end of the stream is missing.
            reply, took = Reply(200, "", b""), (stream.complete_at - begun) * 1000.0
        if isinstance(reply, NoReply):
            if reply.reason == TOO_LONG:
                return _Try(failed("answer longer than a reply may be", permanent=True, cost_usd=estimate))
            # What was on its way may have been worked on, and is billed then.
            cost = estimate if reply.sent else 0.0
            return _Try(failed(reply.reason, cost_usd=cost), retry=True, everyone=not reply.sent)
        if reply.status != 200:
            return self._refused(reply)
        if stream is None:
            return self._whole(reply.body, took, estimate)
        first = None if stream.first_at is None else (stream.first_at - begun) * 1000.0
        timing = {"latency_ms": took, "time_to_first_token_ms": first}
        return self._read(stream.said(), stream.served_model, stream.usage, timing, estimate)

    def _refused(self, reply: Reply) -> _Try:
        status = reply.status
        if (status in REFUSALS | {407} and not (status == 403 and self._health.answered)) or 300 <= status < 400:
            raise EngineError(f"{self._called} answers HTTP {status} to every request; {self._to_check(status)}")
        retry = status in RETRIED or status >= 500
        pause = retry_after_seconds(reply.retry_after, self._clock.now()) if retry else 0.0
        return _Try(failed(f"HTTP {status}", cost_usd=0.0), retry, status in _BUSY, pause)

    def _to_check(self, status: int) -> str:
        """Return what to look at, by the names that the operator knows; of the key, never its value."""
        variable, where = self.settings.api_key_env, f"`{self._address_key}` and `model`"
        key = (
            f"the key in the environment variable {variable}"
            if variable
            else "`api_key_env`, which is not given: it names the environment variable with the key"
        )
        if status == 401:
            return f"check {key}"
        if status in (402, 403):
            return f"check {key}, what its account may do, and {where}"
        if status == 404:
            return f"check {where}: there is no such address, or no such model for the key"
        return f"check {where}" if status != 407 else f"a proxy before it asks for a password: check {where}"

    def _whole(self, body: bytes, took: float, estimate: float) -> _Try:
        try:
            answer = json.loads(body)
            if answer.get("error"):
                return _Try(failed("answer holds an error", cost_usd=estimate), retry=True)
            choice = answer["choices"][0]
            said = said_by(choice["message"], choice.get("finish_reason"))
        except (ValueError, RecursionError):
            return _Try(failed("answer is not JSON", cost_usd=estimate), retry=True)
        except (KeyError, IndexError, TypeError, AttributeError):
            return _Try(failed("answer is no chat completion", cost_usd=estimate), retry=True)
        return self._read(said, answer.get("model"), answer.get("usage"), {"latency_ms": took}, estimate)

    def _read(
        self, said: Said, served: object, usage: object, timing: dict[str, float | None], estimate: float
    ) -> _Try:
        taken, given = token_count(usage, "prompt_tokens"), token_count(usage, "completion_tokens")
        prices = self.settings.prices
        known = prices is not None and taken is not None and given is not None
        cost = prices.usd(taken or 0, given or 0) if prices is not None and known else estimate
        counted: dict[str, Any] = {"input_tokens": taken, "output_tokens": given, "cost_usd": cost}
        if said.retry:
            # Before the model's name is looked at: what breaks early bears none.
            return _Try(failed(said.reason, cost_usd=cost), retry=True)
        if self.settings.served_model and served != self.settings.served_model:
            return _Try(failed("answered by another model than `served_model`", **counted))
        if said.reason:
            return _Try(failed(said.reason, permanent=True, finish_reason=said.finish_reason, **counted))
        fields: dict[str, Any] = {**counted, **timing}
        return _Try(Answer(response=said.text, tool_calls=said.tool_calls, finish_reason=said.finish_reason, **fields))
