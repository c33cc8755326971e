"""What every client of an OpenAI-compatible endpoint does alike: keys, retries and pauses, counts of tokens."""

from __future__ import annotations

import os
import random
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime

from evalsvc.errors import EngineError
from evalsvc.judges.settings import CallLimits

BYTES_PER_TOKEN = 3
"""For the estimate only. English has four to five bytes a token, Chinese about three: the estimate is rather high."""
MAX_TOKENS = 1 << 40
"""A count above is no count."""
RETRIED = frozenset({408, 409, 425, 429})
"""Statuses below 500 after which another try may help."""
# The endpoint is there but will not serve us: to go on asking is useless until the operator acts.
REFUSALS = frozenset({401, 402, 403, 404})


def api_key(variable: str, whose: str) -> str:
    """Return the key that an environment variable holds; '' where no variable is named.

    Raises:
        EngineError: when the variable is not set, or holds what no header can.
    """
    if not variable:
        return ""
    key = os.environ.get(variable, "").strip()
    if not key:
        raise EngineError(f"Expected the {whose} API key in the environment variable {variable}, but it is not set")
    if not (key.isascii() and key.isprintable()):
        raise EngineError(f"Expected the API key in {variable} to be printable ASCII; its value is not shown")
    return key


def jitter(draw: random.Random, calls: CallLimits, number: int) -> float:
    """Return the seconds before try ``number`` + 1, drawn from all up to a limit that doubles.

    Full jitter (Brooker, 2015): clients that failed together do not come back together.
    """
    return draw.uniform(0.0, min(calls.backoff_max_seconds, calls.backoff_seconds * 2.0 ** min(number, 64)))


def retry_after_seconds(header: str, now: datetime) -> float:
    """Return the seconds that the server asks for: a number, or a date; 0 where it says nothing usable."""
    if header.strip().isdecimal():
        return float(header) if len(header) < 10 else float("inf")
    try:
        moment = parsedate_to_datetime(header)
    except ValueError:
        return 0.0
    moment = moment if moment.tzinfo else moment.replace(tzinfo=UTC)
    return max(0.0, (moment - now).total_seconds())


def field_of(answer: object, name: str) -> object:
    """Return a field of what should be a JSON object; ``None`` where it is none, or has no such field."""
    return answer.get(name) if isinstance(answer, dict) else None


def token_count(usage: object, name: str) -> int | None:
    """Return a count of tokens; ``None`` where it is no count."""
    value = field_of(usage, name)
    return value if type(value) is int and 0 <= value < MAX_TOKENS else None


def estimated_tokens(texts: list[str]) -> int:
    """Return how many tokens these messages have at most, by their length."""
    size = sum(len(text.encode("utf-8", "replace")) for text in texts)
    return 16 * len(texts) + -(-size // BYTES_PER_TOKEN)


def speakable(text: str) -> str:
    r"""Return the text with question marks for lone surrogates, which no UTF-8 can hold.

    >>> speakable("a\ud800b é")
    'a?b é'
    """
    return text.encode("utf-8", "replace").decode() if not text.isascii() else text
