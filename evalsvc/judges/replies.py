"""A judge's words to a whole number on a scale, or to the reason why there is none."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from typing import Any, NamedTuple

MAX_OBJECTS = 64
"""How many opening braces of one reply are tried."""

_DIGITS = re.compile(r"[+-]?[0-9]{1,9}")
_END_OF_THOUGHT = "</think>"


class ScoreReply(NamedTuple):
    """A number, or why there is none."""

    score: int | None
    reason: str = ""


class _TwoScoresError(ValueError):
    """An object says `score` twice."""


def read_score(text: str, low: int, high: int) -> ScoreReply:
    """Return the score that a reply gives as JSON, ``{"score": 4, ...}``, with or without words or fences around it.

    A number elsewhere in the text is never taken. Reasons quote nothing of the reply, which may quote the event.

    >>> read_score('Sure: ```json {"score": 4}```', 1, 5).score
    4
    >>> read_score("I'd say 4 of 5.", 1, 5).reason
    'judge reply holds no JSON object with `score`'
    >>> read_score('{"score": 9}', 1, 5).reason
    'judge score is out of range 1 to 5'
    """
    # A reasoning model thinks aloud first, and may weigh several scores while it does.
    text = text[text.rfind(_END_OF_THOUGHT) + len(_END_OF_THOUGHT) :] if _END_OF_THOUGHT in text else text
    try:
        objects = _objects(text, json.JSONDecoder(object_pairs_hook=_object))
        found = [value["score"] for value in objects if "score" in value]
    except _TwoScoresError:
        return ScoreReply(None, "judge reply gives more than one score")
    if not found:
        return ScoreReply(None, "judge reply holds no JSON object with `score`")
    if len({repr(value) for value in found}) > 1:
        return ScoreReply(None, "judge reply gives more than one score")
    score = _whole(found[0])
    if score is None:
        return ScoreReply(None, "judge score is not a whole number")
    if not low <= score <= high:
        return ScoreReply(None, f"judge score is out of range {low} to {high}")
    return ScoreReply(score)


def _objects(text: str, decoder: json.JSONDecoder) -> Iterator[dict[str, Any]]:
    place, tried = text.find("{"), 0
    while place >= 0 and tried < MAX_OBJECTS:
        tried += 1
        end = place + 1
        try:
            value, end = decoder.raw_decode(text, place)
        except _TwoScoresError:
            raise
        except (ValueError, RecursionError):
            value = None
        if isinstance(value, dict):
            yield value
        place = text.find("{", end)


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    if sum(key == "score" for key, _ in pairs) > 1:
        raise _TwoScoresError
    return dict(pairs)


def _whole(value: object) -> int | None:
    if isinstance(value, bool):
        return None
    if isinstance(value, str) and _DIGITS.fullmatch(value.strip()):
        return int(value)
    if isinstance(value, float) and value.is_integer():
        return int(value)
    return value if isinstance(value, int) else None


def read_object(text: str) -> dict[str, Any] | str:
    """Return the one JSON object that a reply holds, with or without words or fences around it, or why there is none.

    >>> read_object('```json {"verdicts": []}```')
    {'verdicts': []}
    >>> read_object("I'm sorry.")
    'judge reply holds no JSON object'
    """
    text = text[text.rfind(_END_OF_THOUGHT) + len(_END_OF_THOUGHT) :] if _END_OF_THOUGHT in text else text
    found = [value for value in _objects(text, json.JSONDecoder()) if value]
    if not found:
        return "judge reply holds no JSON object"
    if any(value != found[0] for value in found):
        return "judge reply holds more than one JSON object"
    return found[0]
