"""A chat completion as it comes: server-sent events put together into one message.

The format: WHATWG HTML, section 9.2 (events end with an empty line, ``data:`` lines, comments begin with a colon), each
event a ``chat.completion.chunk`` of OpenAI's API, the last one ``[DONE]``.
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from operator import itemgetter
from typing import Any

from evalsvc.generation.chat import Said, said_by
from evalsvc.judges.retries import field_of

MAX_TEXT_CHARACTERS = 1 << 20
"""A stream with more text is broken off: the model does not stop."""


class ChatStream:
    """Takes the bytes of a stream. ``first_at`` is when the first text or call came, by ``clock``, in seconds.

    ``complete_at`` is when both its ``finish_reason`` and its usage had come, after which an answer has no more to say.
    ``problem`` is why no answer can be read from it; '' while there is none.
    """

    def __init__(self, clock: Callable[[], float] = time.perf_counter) -> None:
        self.first_at: float | None = None
        self.complete_at: float | None = None
        self.usage: object = None
        self.served_model: object = None
        self.problem = ""
        self.too_long = False
        self._clock = clock
        self._rest = b""
        self._parts: list[str] = []
        self._size = 0
        # By index and id; which id each index is at.
        self._calls: dict[tuple[int, str], dict[str, str]] = {}
        self._current: dict[int, str] = {}
        self._refused = False
        self._finish: str | None = None
        self._done = False

    def feed(self, block: bytes) -> bool:
        """Take the next bytes; return whether more is wanted."""
        *lines, self._rest = (self._rest + block).replace(b"\r\n", b"\n").split(b"\n")
        for line in lines:
            self._line(line)
        if len(self._rest) > 4 * MAX_TEXT_CHARACTERS:
            self.too_long = True
        return not (self._done or self.problem or self.too_long)

    def said(self) -> Said:
        """Return what was said; ``reason`` where the stream ended before the model did."""
        if self.too_long:
            return Said(reason=f"answer longer than {MAX_TEXT_CHARACTERS} characters")
        if self.problem:
            return Said(reason=self.problem, retry=True)
        if self._finish is None:
            return Said(reason="stream ended before the answer", retry=True)
        ordered = sorted(self._calls, key=itemgetter(0))
        calls = [{"function": self._calls[key]} for key in ordered]
        message = {"content": "".join(self._parts), "refusal": self._refused, "tool_calls": calls}
        return said_by(message, self._finish)

    def _line(self, line: bytes) -> None:
        if self._done or not line.startswith(b"data:"):
            return
        data = line[5:].strip()
        if data == b"[DONE]":
            self._done = True
            return
        try:
            chunk = json.loads(data)
        except (ValueError, RecursionError):
            self.problem = "stream is not JSON"
            return
        if not isinstance(chunk, dict):
            self.problem = "stream is no chat completion"
        elif chunk.get("error"):
            self.problem = "stream holds an error"
        else:
            self._chunk(chunk)

    def _chunk(self, chunk: dict[str, Any]) -> None:
        self.served_model = chunk.get("model") or self.served_model
        # The usage comes last, in a chunk without choices; some servers count up in every chunk.
        self.usage = chunk.get("usage") or self.usage
        choices = chunk.get("choices")
        choice = choices[0] if isinstance(choices, list) and choices else None
        delta = field_of(choice, "delta")
        content = field_of(delta, "content")
        if isinstance(content, str) and content:
            self._came()
            self._parts.append(content)
            self._size += len(content)
            self.too_long = self._size > MAX_TEXT_CHARACTERS
        self._refused = self._refused or bool(field_of(delta, "refusal"))
        calls = field_of(delta, "tool_calls")
        for call in calls if isinstance(calls, list) else ():
            self._came()
            self._call(call)
        ended = field_of(choice, "finish_reason")
        if isinstance(ended, str) and ended:
            self._finish = ended
        if self._finish and self.usage and self.complete_at is None:
            self.complete_at = self._clock()

    def _call(self, call: object) -> None:
        number, identity, function = (field_of(call, name) for name in ("index", "id", "function"))
        index = number if isinstance(number, int) else 0
        # Some servers number all calls 0, or none: an id of its own begins another call. Some give each piece of one
        # call a new id: such a piece names no function.
        known = isinstance(identity, str) and identity and (index, identity) in self._calls
        if not known and not (identity and field_of(function, "name")):
            identity = self._current.get(index, identity)
        key = (index, identity if isinstance(identity, str) else "")
        self._current[index] = key[1]
        whole = self._calls.setdefault(key, {"name": "", "arguments": ""})
        for name in whole:
            part = field_of(function, name)
            if isinstance(part, str):
                whole[name] += part
                self._size += len(part)
        self.too_long = self._size > MAX_TEXT_CHARACTERS

    def _came(self) -> None:
        if self.first_at is None:
            self.first_at = self._clock()
