"""Why an answer is not there, in known words alone: what somebody else's code says of a failure may quote a text.

A reason is counted, kept in records and in the store, and shown in reports, all of which hold no text of a case or an
answer. So a function, a command, recorded answers and a generator from elsewhere may say one of the words here, or what
our own generators say of the same failure; of anything else only that it was said is kept.
"""

from __future__ import annotations

import re

REPORTED = "the model reported an error"
WORDS = (
    "failed",
    "time-out",
    "rate limit",
    "refused",
    "context too long",
    "content filter",
    "cancelled",
    "unavailable",
)
"""What a model that is not ours may give as a reason (``docs/how-to/model-under-test.md``)."""
FINISHED = frozenset({"stop", "length", "content_filter", "tool_calls", "function_call"})
"""What is kept of how an answer ended where texts are not."""

_NUMBER = r"\d{1,9}(?:\.\d{1,4})?"
_OURS = re.compile(
    "|".join(
        (
            r"HTTP \d{3}",
            "no answer",
            "no answer in time",
            "no recorded answer",
            "answer stopped midway",
            r"connection failed \([A-Za-z]{0,30}Error\)",
            "empty answer",
            "the model refused",
            "answer is not JSON",
            "answer is no chat completion",
            "answer holds an error",
            "answer longer than a reply may be",
            f"answer longer than {_NUMBER} characters",
            "answered by another model than `served_model`",
            "a tool call without a name or with arguments that are not JSON",
            "stream ended before the answer",
            "stream is not JSON",
            "stream is no chat completion",
            "stream holds an error",
            "output is not JSON",
            "output is not UTF-8",
            f"output longer than {_NUMBER} bytes",
            "no fields of an answer(?:; see `[a-z_]{4,22}`)?",
            f"prompt does not fit into the window of {_NUMBER} tokens",
            "deadline passed",
            f"budget of (?:\\${_NUMBER}|{_NUMBER} requests) used up",
            f"one request may cost more than the budget of \\${_NUMBER}",
            REPORTED,
        )
    )
)


def known_reason(said: str) -> str:
    """Return a reason that is one of the known ones, or what is said in place of any other.

    >>> known_reason("HTTP 429"), known_reason("time-out"), known_reason("cannot read 'my name is Ada'")
    ('HTTP 429', 'time-out', 'the model reported an error')
    """
    return said if said in WORDS or _OURS.fullmatch(said) else REPORTED
