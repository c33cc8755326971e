"""The JSON Schema (draft 2020-12) of ``routes.yaml``, for editors that complete and check it.

What depends on the rest of the file or on this machine (a receiver that no route names, a variable that is not set)
only ``evalsvc check`` finds; ``tests/unit/test_rules_schema.py`` holds the schema and the reader together.
"""

from __future__ import annotations

from typing import get_args

from evalsvc.notify.reading import ADDRESS, HOST, NAME
from evalsvc.notify.values import NOBODY, MailSecurity
from evalsvc.rules.reading import LABEL
from evalsvc.rules.schema_values import (
    DRAFT,
    DURATION,
    Schema,
    anchored,
    described,
    listed,
    mapping,
    one_or_more,
    text,
    variable,
    words,
)
from evalsvc.rules.values import Severity

_URL: Schema = {"type": "string", "pattern": r"^[Hh][Tt][Tt][Pp][Ss]?://(?![/?#])(?![^/?]*@)[!-\"$-~]+$"}
_ADDRESS: Schema = {"type": "string", "pattern": anchored(ADDRESS)}
_RECEIVERS = one_or_more(words()) | {"minItems": 1}


def of_routes() -> Schema:
    """Return the schema of ``routes.yaml``."""
    receivers: Schema = {
        "type": "object",
        "propertyNames": {"pattern": anchored(NAME), "not": {"const": NOBODY}},
        "additionalProperties": {"oneOf": [make() for make in (_alertmanager, _pagerduty, _slack, _email, _webhook)]},
    }
    keys = {
        "receivers": described(receivers, "Who can be told, by name.", [{"oncall": _EXAMPLE}]),
        "default": described(_RECEIVERS, f"Who is told of what no route matches; {NOBODY} for nobody.", [NOBODY]),
        "routes": described(listed(_route()), "Asked in order."),
        "page": described(_URL, "Where people open evalsvc's page.", ["https://evalsvc.example.com"]),
        "page_env": variable("Its value replaces `page`, where it is set.", "EVALSVC_PAGE"),
    }
    return {"$schema": DRAFT, "title": "Routes of evalsvc's alerts", **mapping(keys, ["default"])}


_EXAMPLE = {"kind": "pagerduty", "key_env": "PAGERDUTY_KEY"}


def _route() -> Schema:
    severities = {"enum": list(get_args(Severity))}
    severity = {"anyOf": [severities, {"type": "string", "pattern": "^/.*/$"}, {**listed(severities), "minItems": 1}]}
    match: Schema = {
        "type": "object",
        "properties": {"severity": severity},
        "propertyNames": {"pattern": anchored(LABEL)},
        "additionalProperties": one_or_more(words()) | {"minItems": 1},
    }
    keys = {
        "match": described(
            match, "Labels, which all have to match: a value, a list of them, or a /pattern/.", [{"severity": "page"}]
        ),
        "to": described(_RECEIVERS, f"A receiver, a list of them, or {NOBODY}.", ["oncall"]),
        "continue": described({"type": "boolean"}, "Whether the routes after this are asked, too.", default=False),
    }
    return mapping(keys, ["to"])


def _kind(name: str, keys: dict[str, Schema], needed: tuple[str, ...]) -> Schema:
    timeout = described(DURATION, "For a whole request, from 1s to 2m.", ["10s"])
    return {"title": name, **mapping({"kind": {"const": name}, **keys, "timeout": timeout}, ["kind", *needed])}


def _alertmanager() -> Schema:
    keys = {
        **_address(),
        "token_env": variable("Holds a bearer token."),
        "expires": described(DURATION, "How far ahead the end of what fires is said to be.", ["24h"], "24h"),
    }
    return {**_kind("alertmanager", keys, ()), **_ONE_ADDRESS}


def _pagerduty() -> Schema:
    keys = {
        "key_env": variable("Holds the integration key of Events API v2.", "PAGERDUTY_KEY"),
        "url": described(_URL, "Where events are sent.", ["https://events.eu.pagerduty.com/v2/enqueue"]),
    }
    return _kind("pagerduty", keys, ("key_env",))


def _slack() -> Schema:
    return _kind("slack", {"url_env": variable("Holds an incoming webhook's address.", "SLACK_WEBHOOK")}, ("url_env",))


def _email() -> Schema:
    keys = {
        "host": described({"type": "string", "pattern": anchored(HOST)}, "Of the SMTP server.", ["mail.example.com"]),
        "port": described({"type": "integer", "minimum": 1, "maximum": 65535}, "Without it the usual one.", [587, 465]),
        "security": described({"enum": list(get_args(MailSecurity))}, "How the line is encrypted.", default="starttls"),
        "from": described(_ADDRESS, "The sender.", ["evalsvc@example.com"]),
        "to": described(one_or_more(_ADDRESS) | {"minItems": 1}, "Who gets it.", ["oncall@example.com"]),
        "user": text("Who signs in."),
        "password_env": variable("Holds the user's password.", "MAIL_PASSWORD"),
    }
    return {
        **_kind("email", keys, ("host", "from", "to")),
        "dependentRequired": {"user": ["password_env"], "password_env": ["user"]},
        # A password would be sent in the clear.
        "dependentSchemas": {"user": {"properties": {"security": {"not": {"const": "none"}}}}},
    }


def _webhook() -> Schema:
    keys = {**_address(), "key_env": variable("Holds the key that signs, whsec_ and base64.", "WEBHOOK_KEY")}
    return {**_kind("webhook", keys, ("key_env",)), **_ONE_ADDRESS}


_ONE_ADDRESS: Schema = {"anyOf": [{"required": ["url"]}, {"required": ["url_env"]}]}


def _address() -> dict[str, Schema]:
    return {
        "url": described(_URL, "Its address.", ["http://localhost:9093"]),
        "url_env": variable("Its value replaces `url`, where it is set."),
    }
