"""What receivers say that they take, as JSON Schemas, written from their published documentation.

PagerDuty: https://developer.pagerduty.com/docs/send-alert-event. Slack: https://docs.slack.dev/reference/block-kit/blocks.
CloudEvents: https://github.com/cloudevents/spec/blob/v1.0.2/cloudevents/formats/cloudevents.json.
Alertmanager: `postableAlerts` in https://github.com/prometheus/alertmanager/blob/v0.25.0/api/v2/openapi.yaml.
"""

from __future__ import annotations

from typing import Any

Schema = dict[str, Any]

_TEXT: Schema = {"type": "string"}
_LINKS: Schema = {
    "type": "array",
    "items": {
        "type": "object",
        "additionalProperties": False,
        "required": ["href"],
        "properties": {"href": {"type": "string", "format": "uri"}, "text": _TEXT},
    },
}

PAGERDUTY: Schema = {
    "type": "object",
    "additionalProperties": False,
    "required": ["routing_key", "event_action", "dedup_key", "payload"],
    "properties": {
        "routing_key": {"type": "string", "minLength": 32, "maxLength": 32},
        "event_action": {"enum": ["trigger", "acknowledge", "resolve"]},
        "dedup_key": {"type": "string", "minLength": 1, "maxLength": 255},
        "client": _TEXT,
        "client_url": {"type": "string", "format": "uri"},
        "links": _LINKS,
        "images": {"type": "array"},
        "payload": {
            "type": "object",
            "additionalProperties": False,
            "required": ["summary", "source", "severity"],
            "properties": {
                "summary": {"type": "string", "minLength": 1, "maxLength": 1024},
                "source": {"type": "string", "minLength": 1},
                "severity": {"enum": ["critical", "error", "warning", "info"]},
                "timestamp": {"type": "string", "format": "date-time"},
                "component": _TEXT,
                "group": _TEXT,
                "class": _TEXT,
                "custom_details": {"type": "object"},
            },
        },
    },
}


def _text_object(kind: str, longest: int) -> Schema:
    own: Schema = {"emoji": {"type": "boolean"}} if kind == "plain_text" else {"verbatim": {"type": "boolean"}}
    text = {"type": "string", "minLength": 1, "maxLength": longest}
    properties: Schema = {"type": {"const": kind}, "text": text, **own}
    return {"type": "object", "additionalProperties": False, "required": ["type", "text"], "properties": properties}


def _block(kind: str, **properties: Schema) -> Schema:
    known: Schema = {"type": {"const": kind}, "block_id": _TEXT, **properties}
    return {"type": "object", "additionalProperties": False, "required": ["type"], "properties": known}


SLACK: Schema = {
    "type": "object",
    "additionalProperties": False,
    "required": ["text"],
    "properties": {
        "text": {"type": "string", "minLength": 1, "maxLength": 40_000},
        "blocks": {
            "type": "array",
            "maxItems": 50,
            "items": {
                "oneOf": [
                    _block("header", text=_text_object("plain_text", 150)),
                    {
                        **_block(
                            "section",
                            text=_text_object("mrkdwn", 3000),
                            fields={
                                "type": "array",
                                "minItems": 1,
                                "maxItems": 10,
                                "items": _text_object("mrkdwn", 2000),
                            },
                        ),
                        "anyOf": [{"required": ["text"]}, {"required": ["fields"]}],
                    },
                    _block(
                        "context",
                        elements={
                            "type": "array",
                            "minItems": 1,
                            "maxItems": 10,
                            "items": _text_object("mrkdwn", 3000),
                        },
                    ),
                ]
            },
        },
    },
}

CLOUDEVENT: Schema = {
    "type": "object",
    "required": ["id", "source", "specversion", "type"],
    "properties": {
        "id": {"type": "string", "minLength": 1},
        "source": {"type": "string", "format": "uri-reference", "minLength": 1},
        "specversion": {"const": "1.0"},
        "type": {"type": "string", "pattern": r"^io\.evalsvc\.alert\.(firing|resolved)\.v1$"},
        "datacontenttype": {"const": "application/json"},
        "subject": {"type": "string", "minLength": 1},
        "time": {"type": "string", "format": "date-time"},
        "data": {"type": "object"},
    },
    # Names of attributes are lower-case letters and digits.
    "propertyNames": {"pattern": "^[a-z0-9]+$"},
}

_LABELS: Schema = {
    "type": "object",
    "additionalProperties": _TEXT,
    "propertyNames": {"pattern": "^[A-Za-z_][A-Za-z0-9_]*$"},
}

ALERTMANAGER: Schema = {
    "type": "array",
    "items": {
        "type": "object",
        "additionalProperties": False,
        "required": ["labels"],
        "properties": {
            "labels": {**_LABELS, "minProperties": 1},
            "annotations": _LABELS,
            "startsAt": {"type": "string", "format": "date-time"},
            "endsAt": {"type": "string", "format": "date-time"},
            "generatorURL": {"type": "string", "format": "uri"},
        },
    },
}
