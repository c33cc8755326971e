"""CloudEvents 1.0 in structured JSON mode: the envelope is opened; its facts fill what ``data`` leaves out.

``id`` → ``event_id``, ``time`` → ``occurred_at``, ``source`` → ``application``, the end of ``type`` →
``kind`` (``com.example.feedback``, ``…feedback.v1``), ``subject`` → ``subject_id`` of what is not an
interaction, ``traceparent`` → ``trace_id``. A field of ``data`` wins, since its producer knows this format,
while a gateway may have written the envelope.
"""

from __future__ import annotations

import base64
import binascii
import re
from typing import Annotated

import msgspec
from msgspec import Meta

from evalsvc.sources._reasons import refuse
from evalsvc.types import KINDS

_Text = Annotated[str, Meta(min_length=1)]
_KIND = re.compile(rf"(?:^|\.)({'|'.join(KINDS)})(?:\.v\d+)?$")
_TRACEPARENT = re.compile(r"[0-9a-f]{2}-([0-9a-f]{32})-[0-9a-f]{16}-[0-9a-f]{2}")


_NOTHING = msgspec.Raw()


class _Envelope(msgspec.Struct):
    specversion: str
    id: _Text
    source: _Text
    type: _Text
    time: str | None = None
    subject: str | None = None
    datacontenttype: str | None = None
    traceparent: str | None = None
    data: msgspec.Raw = _NOTHING
    data_base64: str | None = None


class _Probe(msgspec.Struct):
    specversion: msgspec.Raw = _NOTHING


_probe = msgspec.json.Decoder(_Probe).decode
_envelope = msgspec.json.Decoder(_Envelope).decode
_members = msgspec.json.Decoder(dict[str, msgspec.Raw]).decode


def is_envelope(value: bytes) -> bool:
    """Whether a message is an object with a ``specversion``, which the native format does not have."""
    try:
        return bytes(_probe(value).specversion) != b""
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
        return False


def open_envelope(value: bytes) -> bytes:
    """Return the native event inside a CloudEvent, completed from the envelope.

    Raises:
        DecodeError: ``bad_envelope`` when it is not CloudEvents 1.0 with JSON data.
    """
    try:
        envelope = _envelope(value)
    except msgspec.ValidationError:
        refuse(
            "bad_envelope",
            "Expected texts `specversion`, `id`, `source` and `type` of CloudEvents 1.0 at `$`",
        )
    if envelope.specversion != "1.0":
        refuse("bad_envelope", "Expected `1.0` at `$.specversion`, but got another version")
    try:
        members = {name: bytes(raw) for name, raw in _members(_payload(envelope)).items()}
    except (msgspec.MsgspecError, UnicodeDecodeError):
        refuse("bad_envelope", "Expected a JSON object at `$.data`")
    for name, filler in _fillers(envelope, members).items():
        if members.get(name, b"null") == b"null" and filler is not None:
            members[name] = msgspec.json.encode(filler)
    return msgspec.json.encode({name: msgspec.Raw(text) for name, text in members.items()})


def _payload(envelope: _Envelope) -> bytes:
    content = (envelope.datacontenttype or "application/json").partition(";")[0].strip().lower()
    if content != "application/json" and not content.endswith("+json"):
        refuse("bad_envelope", "Expected `application/json` at `$.datacontenttype`, but got another type")
    data = bytes(envelope.data)
    if (data in (b"", b"null")) == (envelope.data_base64 is None):
        refuse("bad_envelope", "Expected exactly one of `$.data` and `$.data_base64`")
    if envelope.data_base64 is None:
        return data
    try:
        return base64.b64decode(envelope.data_base64 or "", validate=True)
    except (binascii.Error, ValueError):
        refuse("bad_envelope", "Expected base64 at `$.data_base64`")


def _fillers(envelope: _Envelope, members: dict[str, bytes]) -> dict[str, str | None]:
    kind = _KIND.search(envelope.type)
    trace = _TRACEPARENT.fullmatch(envelope.traceparent or "")
    said = members.get("kind", b"null")
    kind_name = kind[1] if kind else None
    if kind_name is None and said == b"null":
        refuse("unknown_kind", f"Expected `$.type` to end in {' or '.join(KINDS)}, or a `kind` in `$.data`")
    about = said not in (b"null", b'"interaction"') or (said == b"null" and kind_name != "interaction")
    return {
        "event_id": envelope.id,
        "occurred_at": envelope.time,
        "application": envelope.source,
        "kind": kind_name,
        "subject_id": envelope.subject if about else None,
        "trace_id": trace[1] if trace else None,
    }
