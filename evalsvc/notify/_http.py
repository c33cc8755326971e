"""One POST to a receiver, and its answer as what it means for a message: taken, later, or never."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime

from evalsvc import _wire
from evalsvc.errors import NotifierRefused, NotifierUnavailable

_OF_THE_MESSAGE = frozenset({400, 413, 414, 422})
"""The statuses that refuse a message for good; all other failures may pass."""
_CODE = re.compile(r"[a-z][a-z0-9_]{2,60}")


def encode(body: object) -> bytes:
    """Return JSON; lone surrogates, which no UTF-8 can hold, become question marks."""
    return json.dumps(body, ensure_ascii=False, separators=(",", ":")).encode("utf-8", "replace")


def post(what: str, url: str, body: bytes, headers: Mapping[str, str], timeout_seconds: float) -> _wire.Reply:
    """Send a body; return the answer where its status is a success.

    ``what`` names the receiver's kind in errors, which show neither the address nor a header nor what was sent.

    Raises:
        NotifierUnavailable: no answer in time, a redirect, which is not followed, or a status that may pass.
        NotifierRefused: 400, 413, 414 or 422, which speak of the message. Other 4xx speak of the connection (a key that
            was changed, a path behind a proxy), and the message is taken once that is mended.
    """
    sent = {"Content-Type": "application/json", "User-Agent": "evalsvc", **headers}
    reply = _wire.post(url, body, sent, timeout_seconds)
    if isinstance(reply, _wire.NoReply):
        raise NotifierUnavailable(f"{what}: {reply.reason}")
    if 200 <= reply.status < 300:
        return reply
    told = f"{what}: HTTP {reply.status}{_code(reply.body)}"
    if reply.status >= 400 and reply.status not in _OF_THE_MESSAGE:
        raise NotifierUnavailable(told, retry_after(reply.retry_after, datetime.now(UTC)))
    if reply.status < 400:
        raise NotifierUnavailable(f"{told}, and redirects are not followed")
    raise NotifierRefused(told)


def no_page(what: str, reply: _wire.Reply) -> None:
    """Refuse a web page as an answer: a proxy's login says 200 and delivers nothing.

    Raises:
        NotifierUnavailable: it is one.
    """
    if reply.body.lstrip()[:1] == b"<":
        raise NotifierUnavailable(f"{what}: HTTP {reply.status} with a web page, as proxies answer")


def retry_after(header: str, now: datetime) -> float | None:
    """Return the seconds that a ``Retry-After`` asks for (RFC 9110, 10.2.3), None where it says nothing usable.

    >>> retry_after("120", datetime(2026, 1, 1, tzinfo=UTC)), retry_after("soon", datetime(2026, 1, 1, tzinfo=UTC))
    (120.0, None)
    """
    header = header.strip()
    if header.isascii() and header.isdecimal():
        return float(header[:9])
    try:
        moment = parsedate_to_datetime(header)
        moment = moment if moment.tzinfo else moment.replace(tzinfo=UTC)
        return max(0.0, (moment - now).total_seconds())
    except (ValueError, OverflowError, TypeError):
        return None


def _code(body: bytes) -> str:
    """Return an answer that is a single code word, as Slack's are; any other may quote what was sent."""
    text = body[:100].decode("ascii", "replace").strip()
    return f" {text}" if _CODE.fullmatch(text) else ""
