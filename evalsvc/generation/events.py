"""An answer to a case as an event, which every scorer of production reads."""

from __future__ import annotations

from datetime import datetime
from typing import Any

import msgspec

from evalsvc.cases.values import Case, digest_of
from evalsvc.errors import InputError
from evalsvc.generation.values import Answer
from evalsvc.types import Event


def event_of(
    case: Case,
    answer: Answer,
    *,
    repeat: int = 0,
    application: str,
    model: str,
    model_version: str,
    occurred_at: datetime,
) -> Event:
    """Return the interaction that an answer is.

    Its id is ``<digest of the case>:<repeat>``. Its session is the case's group, else the case itself, so that repeats
    of one case are never taken for independent. ``data`` holds ``case_id``, ``repeat``, ``tool_calls`` and, where the
    case expects any, ``expected_tools``.

    Raises:
        InputError: the answer is a failed one, which holds nothing to score.
    """
    if answer.status != "ok":
        raise InputError(f"Expected an answer to case {case.case_id!r}, but there is none ({answer.reason})")
    data: dict[str, Any] = {
        "case_id": case.case_id,
        "repeat": repeat,
        "tool_calls": msgspec.to_builtins(answer.tool_calls),
    }
    if case.expected_tools:
        data["expected_tools"] = msgspec.to_builtins(case.expected_tools)
    return Event(
        event_id=f"{case.digest}:{repeat}",
        occurred_at=occurred_at,
        application=application,
        model=model,
        model_version=model_version,
        prompt=case.prompt,
        response=answer.response,
        contexts=case.contexts,
        reference=case.reference,
        segments=case.segments,
        session_id=case.group or case.digest,
        latency_ms=answer.latency_ms,
        time_to_first_token_ms=answer.time_to_first_token_ms,
        input_tokens=answer.input_tokens,
        output_tokens=answer.output_tokens,
        cost_usd=answer.cost_usd,
        finish_reason=answer.finish_reason,
        data=data,
    )


def key_of_event(case: Case, digest: str, answer: Answer, repeat: int) -> str:
    """Return a hash of all that decides about :func:`event_of`, but for the version's name and the time.

    ``digest`` is the case's own, which is made once for all of its answers. A label of the case that no event has
    (its tags, weight, source) is not in it.
    """
    return digest_of((digest, case.case_id, case.segments, case.group, repeat, answer))
