"""A model under test on loopback: the judge's server, with answers that are streamed."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

from servers.judge import Answer

DONE = b"data: [DONE]\n\n"
PING = b": ping\n\n"


def event(delta: dict[str, Any] | None = None, finish: str | None = None, **fields: Any) -> bytes:
    """One server-sent event with a chunk of a completion; without a delta, one without choices."""
    choices = [] if delta is None else [{"index": 0, "delta": delta, "finish_reason": finish}]
    body = {"id": "c-1", "object": "chat.completion.chunk", "model": "fake-1", "choices": choices, **fields}
    return b"data: " + json.dumps(body).encode() + b"\n\n"


def usage(taken: int = 100, given: int = 20) -> bytes:
    """The event that tells the usage."""
    counts = {"prompt_tokens": taken, "completion_tokens": given, "total_tokens": taken + given}
    return event(usage=counts)


def streams(*texts: str, finish: str = "stop", last: Sequence[bytes] | None = None, cut: bool = False) -> Answer:
    """A completion streamed in these pieces, then how it ended, its usage, and the end; or ``last`` in their place."""
    begin = [event({"role": "assistant", "content": ""}), *(event({"content": text}) for text in texts)]
    end = [event({}, finish), usage(), DONE] if last is None else list(last)
    return Answer(parts=(*begin, *end), cut=cut)
