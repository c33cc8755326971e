"""Slack, by an incoming webhook and Block Kit (https://docs.slack.dev/messaging/sending-messages-using-incoming-webhooks).

Texts are escaped as Slack asks (&, < and >), so that none can name a channel or hide an address behind other words.
"""

from __future__ import annotations

from typing import Any
from urllib.parse import quote

from evalsvc.errors import NotifierUnavailable
from evalsvc.notify import _http
from evalsvc.notify.message import Message, cut, one_line

_WHAT = "Slack"
MAX_SECTION = 3000
MAX_HEADER = 150
MAX_FALLBACK = 4000
_MAX_FIELDS = 10
_MAX_FIELD = 2000


class SlackNotifier:
    """Writes into the webhook's channel. Slack knows no ids: after a crash between two steps a message comes twice."""

    def __init__(self, url: str, *, timeout_seconds: float) -> None:
        self._url, self._timeout = url, timeout_seconds

    def __repr__(self) -> str:
        """Show no address: who knows it may write."""
        return "SlackNotifier(...)"

    def send(self, message: Message) -> str:
        """Write one message."""
        reply = _http.post(_WHAT, self._url, _http.encode(body_of(message)), {}, self._timeout)
        if reply.body.strip() != b"ok":
            raise NotifierUnavailable(f"{_WHAT}: HTTP {reply.status}, but the answer is not `ok`")
        return f"HTTP {reply.status} ok"


def body_of(message: Message) -> dict[str, Any]:
    """Return the message as Slack takes it; ``text`` is what a notification shows."""
    told = message.transition
    blocks = [
        {"type": "header", "text": {"type": "plain_text", "text": cut(message.title, MAX_HEADER), "emoji": False}}
    ]
    parts: list[dict[str, Any]] = [*blocks, _section(escaped(message.text, MAX_SECTION))]
    labels = [f"*{escaped(name, 200)}*\n{escaped(value, 1500)}" for name, value in sorted(told.labels.items()) if value]
    for start in range(0, min(len(labels), 2 * _MAX_FIELDS), _MAX_FIELDS):
        fields = [_mrkdwn(cut_escaped(field, _MAX_FIELD)) for field in labels[start : start + _MAX_FIELDS]]
        parts.append({"type": "section", "fields": fields})
    notes = [f"*{escaped(name, 200)}*: {escaped(one_line(value), 1000)}" for name, value in message.notes]
    parts += [_section("\n".join(notes[:_MAX_FIELDS]))] if notes else []
    for e in message.examples:
        text = f"\n>{escaped(e.text, 2000)}" if e.text else ""
        parts.append(_section(f"Example {escaped(e.event_id, 400)}, score {e.value:g}{text}"))
    if links := _links(message):
        parts.append({"type": "context", "elements": [_mrkdwn(links)]})
    return {"text": escaped(message.title, MAX_FALLBACK), "blocks": parts}


def escaped(text: str, size: int) -> str:
    """Return the text for Slack's markup, at most ``size`` characters, no entity cut in two.

    >>> escaped("<!channel> & co", 100)
    '&lt;!channel&gt; &amp; co'
    """
    return cut_escaped(text.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;"), size)


def cut_escaped(text: str, size: int) -> str:
    """Return at most ``size`` characters of an escaped text; an entity stays whole or goes.

    >>> cut_escaped("a &amp; b", 6)
    'a …'
    """
    if len(text) <= size:
        return text
    kept = text[: size - 1]
    entity = kept.rfind("&")
    return (kept[:entity] if entity >= 0 and ";" not in kept[entity:] else kept) + "…"


def _section(text: str) -> dict[str, Any]:
    return {"type": "section", "text": _mrkdwn(cut_escaped(text, MAX_SECTION))}


def _mrkdwn(text: str) -> dict[str, Any]:
    # Verbatim: Slack makes no links and no names out of what is in the text.
    return {"type": "mrkdwn", "text": text or "-", "verbatim": True}


def _links(message: Message) -> str:
    links = [(message.link, "The alert's page"), (message.transition.runbook, "Runbook")]
    shown = []
    for href, text in links:
        web = href.startswith(("http://", "https://")) and len(href) <= 1000
        address = quote(href, safe="/:?#[]@!$'()*+,;=%-._~").replace("&", "&amp;")
        shown += [f"<{address}|{text}>"] if web else [f"{text}: {escaped(href, 500)}"] if href else []
    return " · ".join(shown)
