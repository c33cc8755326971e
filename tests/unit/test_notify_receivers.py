"""PagerDuty, Slack, a webhook and Alertmanager's request: what is sent, and what each kind of answer means."""

from __future__ import annotations

import base64
import json
import time
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

import jsonschema
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from alert_memory import START, make_transition
from evalsvc.errors import InputError, NotifierRefused, NotifierUnavailable
from evalsvc.notify import Message, Notifier, Refreshing, message_of, sign, verify
from evalsvc.notify._http import retry_after
from evalsvc.notify.alertmanager import AlertmanagerNotifier
from evalsvc.notify.pagerduty import MAX_BYTES, PagerDutyNotifier
from evalsvc.notify.slack import SlackNotifier, body_of, cut_escaped
from evalsvc.notify.webhook import WebhookNotifier, event_of
from evalsvc.rules.machine import Example
from evalsvc.testing import ManualClock
from servers.receiver_schemas import ALERTMANAGER, CLOUDEVENT, PAGERDUTY, SLACK
from servers.receivers import (
    DRIP_BODY,
    DRIP_HEADERS,
    GARBAGE,
    HANG,
    HUGE,
    LOGIN_PAGE,
    RESET,
    Answer,
    FakeReceiver,
)

PD_KEY = "0123456789abcdef0123456789abcdef"
# The specification's own example.
HOOK_KEY = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"
TAKEN = {
    "pagerduty": Answer(202, b'{"status":"success","message":"Event processed","dedup_key":"f1"}'),
    "slack": Answer(200, b"ok"),
    "webhook": Answer(204),
    "alertmanager": Answer(200),
}
KINDS = sorted(TAKEN)
SCHEMAS = {"pagerduty": PAGERDUTY, "slack": SLACK, "webhook": CLOUDEVENT, "alertmanager": ALERTMANAGER}
BUILD: dict[str, Callable[[str, float], Notifier]] = {
    "pagerduty": lambda url, seconds: PagerDutyNotifier(PD_KEY, url, timeout_seconds=seconds),
    "slack": lambda url, seconds: SlackNotifier(url, timeout_seconds=seconds),
    "webhook": lambda url, seconds: WebhookNotifier(url, HOOK_KEY, ManualClock(START), timeout_seconds=seconds),
    "alertmanager": lambda url, seconds: AlertmanagerNotifier(
        url, ManualClock(START + timedelta(hours=1)), expires_seconds=86_400.0, timeout_seconds=seconds
    ),
}


@pytest.fixture
def server() -> Iterator[FakeReceiver]:
    with FakeReceiver() as running:
        yield running


@pytest.fixture(params=KINDS)
def kind(request: pytest.FixtureRequest) -> str:
    return request.param


def notifier(kind: str, server: FakeReceiver, seconds: float = 5.0) -> Notifier:
    server.usual = TAKEN[kind]
    return BUILD[kind](server.url, seconds)


def message(after: str = "firing", *, text: str = "Call <name>", **options) -> Message:
    examples = (Example("e1", 0.25), Example("e2", 0.5), Example("e3", 0.75), Example("e4", 1.0))
    known = {"annotations": {"summary": "31% refused in de", "impact": "many"}, "runbook": "https://wiki/refusals"}
    told = make_transition(1, after, **{"examples": examples, **known, **options})
    return message_of(told, "https://evalsvc.example.com/", lambda ids: dict.fromkeys(ids, text))


def valid(kind: str, body: Any) -> None:
    checker = jsonschema.FormatChecker()
    jsonschema.Draft202012Validator(SCHEMAS[kind], format_checker=checker).validate(body)


@pytest.mark.parametrize("after", ["firing", "resolved"])
def test_a_message_is_what_the_receiver_says_that_it_takes(kind: str, server: FakeReceiver, after: str) -> None:
    answer = notifier(kind, server).send(message(after))
    assert answer in ("HTTP 202 success", "HTTP 200 ok", "HTTP 204", "HTTP 200")
    (request,) = server.requests
    valid(kind, request.body)
    assert request.headers["user-agent"] == "evalsvc"
    assert request.headers["content-type"].startswith("application/")


def test_a_schema_refuses_what_is_wrong(kind: str) -> None:
    wrong = {"alertmanager": [{"labels": {"a-b": "c"}}], "slack": {"text": "x", "blocks": [{"type": "section"}]}}
    with pytest.raises(jsonschema.ValidationError):
        valid(kind, wrong.get(kind, {}))


@settings(max_examples=40)
@given(text=st.text(max_size=5000), label=st.text(max_size=3000), many=st.integers(0, 60))
def test_any_text_makes_a_message_that_is_taken(text: str, label: str, many: int) -> None:
    labels = {"alertname": "A", "severity": "odd", **{f"l{n}": label for n in range(many)}}
    told = message(text=text, description=text, labels=labels, annotations={"summary": label, "x": text}, runbook=text)
    payload = PagerDutyNotifier(PD_KEY, "", timeout_seconds=1.0)._body(told)
    assert len(payload) <= MAX_BYTES
    valid("pagerduty", json.loads(payload))
    valid("slack", body_of(told))
    valid("webhook", event_of(told))
    alertmanager = AlertmanagerNotifier("", ManualClock(), expires_seconds=1.0, timeout_seconds=1.0)
    valid("alertmanager", [alertmanager._alert(told)])


def test_an_event_that_is_too_long_for_pagerduty_goes_without_its_details() -> None:
    # A hundred labels and a hundred annotations of the longest kind, of four bytes a letter.
    texts = {f"l{n}": "\U0001f600" * 2000 for n in range(100)}
    told = message(labels=texts, annotations=texts)
    details = json.loads(PagerDutyNotifier(PD_KEY, "", timeout_seconds=1.0)._body(told))["payload"]["custom_details"]
    assert details["annotations"] == "left out: the event would be longer than PagerDuty takes"
    assert details["description"] == "Alert 1 is firing."


FAILURES = {
    "408": (Answer(408), "HTTP 408"),
    "401, a key that was changed": (Answer(401), "HTTP 401"),
    "404, a path behind a proxy": (Answer(404), "HTTP 404"),
    "425": (Answer(425), "HTTP 425"),
    "429": (Answer(429, b"<", {"Retry-After": "7"}), "HTTP 429"),
    "500": (Answer(500, b"rollup_error"), "HTTP 500 rollup_error"),
    "503": (Answer(503), "HTTP 503"),
    "redirect": (Answer(302, b"", {"Location": "http://127.0.0.1:1/"}), "HTTP 302, and redirects are not followed"),
    "reset": (RESET, "connection failed"),
    "garbage": (GARBAGE, "connection failed"),
    "huge": (HUGE, "connection failed (ReplyTooLongError)"),
    "login page": (LOGIN_PAGE, "HTTP 200"),
}


@pytest.mark.parametrize("name", FAILURES)
def test_what_may_pass_is_tried_again(kind: str, server: FakeReceiver, name: str) -> None:
    told = notifier(kind, server)
    answer, expected = FAILURES[name]
    server.answers.append(answer)
    with pytest.raises(NotifierUnavailable) as caught:
        told.send(message())
    assert expected in str(caught.value)
    assert caught.value.retry_after == (7.0 if name == "429" else None)
    assert len(server.requests) == 1
    told.send(message())
    assert server.requests[0].raw == server.requests[1].raw


@pytest.mark.parametrize("answer", [HANG, DRIP_HEADERS, DRIP_BODY], ids=lambda answer: answer.failure)
def test_a_time_out_is_for_the_whole_and_not_for_each_read(kind: str, server: FakeReceiver, answer: Answer) -> None:
    told = notifier(kind, server, seconds=0.4)
    server.answers.append(answer)
    start = time.monotonic()
    with pytest.raises(NotifierUnavailable, match="no answer in time"):
        told.send(message())
    assert time.monotonic() - start < 3.0


@pytest.mark.parametrize("status", [400, 413, 414, 422])
def test_what_does_not_pass_is_final_and_quotes_nothing(kind: str, server: FakeReceiver, status: int) -> None:
    told = notifier(kind, server)
    server.answers += [Answer(status, b"invalid_payload"), Answer(status, b"you sent: Call <name> " + PD_KEY.encode())]
    with pytest.raises(NotifierRefused, match=f"HTTP {status} invalid_payload$"):
        told.send(message())
    with pytest.raises(NotifierRefused, match=f"HTTP {status}$"):
        told.send(message())


def test_nobody_listening_is_unavailable(kind: str) -> None:
    with FakeReceiver() as gone:
        url = gone.url
    with pytest.raises(NotifierUnavailable, match="connection failed"):
        BUILD[kind](url, 5.0).send(message())


@pytest.mark.parametrize(
    ("kind", "body"),
    [
        ("pagerduty", b""),
        ("pagerduty", b"null"),
        ("pagerduty", b'{"status":"invalid event"}'),
        ("pagerduty", b"[" * 5000),
        ("slack", b"not ok"),
        ("slack", b""),
    ],
)
def test_a_success_that_does_not_say_what_it_promises_is_none(kind: str, body: bytes, server: FakeReceiver) -> None:
    told = notifier(kind, server)
    server.answers.append(Answer(200, body))
    with pytest.raises(NotifierUnavailable, match="HTTP 200, but the answer"):
        told.send(message())


def test_secrets_are_in_no_error_and_no_repr(kind: str, server: FakeReceiver) -> None:
    told = notifier(kind, server)
    server.answers.append(Answer(500, f"{PD_KEY} {HOOK_KEY} {server.url}".encode()))
    with pytest.raises(NotifierUnavailable) as caught:
        told.send(message())
    for shown in (repr(told), str(caught.value)):
        assert not any(secret in shown for secret in (PD_KEY, HOOK_KEY, server.url))


def test_pagerduty_triggers_and_resolves_one_alert(server: FakeReceiver) -> None:
    told = notifier("pagerduty", server)
    told.send(message())
    told.send(message("resolved"))
    fired, over = (request.body for request in server.requests)
    assert (fired["routing_key"], fired["event_action"], fired["dedup_key"]) == (PD_KEY, "trigger", "f1")
    assert (over["event_action"], over["dedup_key"]) == ("resolve", "f1")
    assert fired["payload"]["summary"] == "[page] A1: 31% refused in de"
    assert (fired["payload"]["severity"], fired["payload"]["source"]) == ("critical", "quality")
    assert fired["client_url"] == "https://evalsvc.example.com/alerts/f1"
    assert [link["text"] for link in fired["links"]] == ["The alert's page", "Runbook"]
    details = fired["payload"]["custom_details"]
    assert details["examples"][0] == {"event_id": "e1", "value": 0.25, "text": "Call <name>"}
    assert (len(details["examples"]), details["transition_id"]) == (3, make_transition(1).id)
    assert over["payload"]["custom_details"]["examples"] == []


@pytest.mark.parametrize(("severity", "theirs"), [("page", "critical"), ("ticket", "warning"), ("info", "info")])
def test_pagerduty_has_its_own_severities(server: FakeReceiver, severity: str, theirs: str) -> None:
    notifier("pagerduty", server).send(message(labels={"alertname": "A", "severity": severity}))
    assert server.requests[0].body["payload"]["severity"] == theirs


def test_slack_is_told_what_cannot_name_a_channel(server: FakeReceiver) -> None:
    notifier("slack", server).send(message(text="<!channel> & <http://evil|safe>", description="<@U1> fell"))
    body = server.requests[0].body
    shown = str(body)
    assert "<!channel>" not in shown
    assert "<@U1>" not in shown
    assert "&lt;!channel&gt; &amp; &lt;http://evil|safe&gt;" in shown
    assert body["text"] == "[page] A1: 31% refused in de"
    assert "*impact*: many" in shown
    assert body["blocks"][-1]["elements"][0]["text"] == (
        "<https://evalsvc.example.com/alerts/f1|The alert's page> · <https://wiki/refusals|Runbook>"
    )


@given(text=st.text(alphabet="a&;<>", max_size=60), size=st.integers(2, 30))
def test_an_escaped_text_is_cut_between_entities(text: str, size: int) -> None:
    whole = text.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")
    found = cut_escaped(whole, size)
    assert len(found) <= size
    kept = found.removesuffix("…") if found != whole else found
    plain = kept.replace("&amp;", "").replace("&lt;", "").replace("&gt;", "")
    assert "&" not in plain
    assert whole.startswith(kept)


def test_a_webhooks_query_is_kept_and_its_body_is_signed(server: FakeReceiver) -> None:
    server.usual = TAKEN["webhook"]
    WebhookNotifier(f"{server.url}?team=ml", HOOK_KEY, ManualClock(START), timeout_seconds=5.0).send(message())
    (request,) = server.requests
    assert request.path == "/hook?team=ml"
    assert request.headers["content-type"] == "application/cloudevents+json; charset=utf-8"
    assert verify(HOOK_KEY, request.headers, request.raw, START) == make_transition(1).id
    event = request.body
    assert (event["id"], event["type"]) == (make_transition(1).id, "io.evalsvc.alert.firing.v1")
    assert (event["source"], event["subject"], event["time"]) == (
        "https://evalsvc.example.com",
        "f1",
        "2026-01-01T00:01:00.000Z",
    )
    assert event["data"]["text"] == "Alert 1 is firing."


def test_a_signature_is_that_of_the_specifications_example() -> None:
    """From https://github.com/standard-webhooks/standard-webhooks and its libraries' tests."""
    body, stamp = b'{"test": 2432232314}', 1614265330
    found = sign(HOOK_KEY, "msg_p5jXN8AQM9LWM0D4loKWxJek", stamp, body)
    assert found == "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE="
    headers = {
        "Webhook-Id": "msg_p5jXN8AQM9LWM0D4loKWxJek",
        "Webhook-Timestamp": str(stamp),
        "Webhook-Signature": f"v1,bm90aGluZw== v1a,x {found}",
    }
    assert verify(HOOK_KEY, headers, body, datetime.fromtimestamp(stamp + 299, UTC)) == headers["Webhook-Id"]


@pytest.mark.parametrize(
    ("change", "body", "seconds", "message_"),
    [
        ({}, b"{}x", 0, "by this key"),
        ({"webhook-id": "other"}, b"{}", 0, "by this key"),
        ({"webhook-timestamp": "1767225601"}, b"{}", 0, "by this key"),
        ({"webhook-signature": ""}, b"{}", 0, "by this key"),
        ({"webhook-signature": "v1,\u00e4"}, b"{}", 0, "by this key"),
        ({"webhook-timestamp": "soon"}, b"{}", 0, "none that can be read"),
        ({"webhook-timestamp": "\u0661"}, b"{}", 0, "none that can be read"),
        ({"webhook-id": ""}, b"{}", 0, "none that can be read"),
        ({}, b"{}", 301, "may be a replay"),
        ({}, b"{}", -301, "may be a replay"),
    ],
)
def test_what_is_forged_or_replayed_is_refused(change, body, seconds, message_) -> None:
    stamp = int(START.timestamp())
    headers = {
        "webhook-id": "a",
        "webhook-timestamp": str(stamp),
        "webhook-signature": sign(HOOK_KEY, "a", stamp, b"{}"),
    }
    assert verify(HOOK_KEY, headers, b"{}", START) == "a"
    with pytest.raises(InputError, match=message_):
        verify(HOOK_KEY, {**headers, **change}, body, START + timedelta(seconds=seconds))


@pytest.mark.parametrize("key", ["", "whsec_", "topsecret" * 9, "whsec_c2hvcnQ=", "whsec_" + "!" * 40])
def test_a_key_that_is_none_is_not_shown(key: str) -> None:
    with pytest.raises(InputError, match="make one by") as caught:
        sign(key, "a", 1, b"")
    assert len(key) < 8 or key not in str(caught.value)
    assert sign("whsec_" + base64.b64encode(b"k" * 24).decode(), "a", 1, b"").startswith("v1,")


def test_an_end_by_a_clock_that_was_ahead_ends_an_alert_in_alertmanager_at_once(server: FakeReceiver) -> None:
    clock = ManualClock(START + timedelta(minutes=5))
    told = AlertmanagerNotifier(server.url, clock, expires_seconds=3600.0, timeout_seconds=5.0)
    for episode in (START, START + timedelta(hours=4)):
        end = make_transition(1, "resolved", episode=episode, at=START + timedelta(hours=5))
        told.send(message_of(end))
    bodies = [request.body[0] for request in server.requests]
    assert [body["endsAt"] for body in bodies] == ["2026-01-01T00:05:00.000Z"] * 2
    # Alertmanager refuses what ends before it starts.
    assert [body["startsAt"] for body in bodies] == ["2026-01-01T00:00:00.000Z", "2026-01-01T00:05:00.000Z"]


def test_alertmanager_is_told_times_and_texts(server: FakeReceiver) -> None:
    told = notifier("alertmanager", server)
    assert isinstance(told, Refreshing)
    told.send(message())
    told.send(message("resolved"))
    ((fired,), (over,)) = (request.body for request in server.requests)
    assert server.requests[0].path == "/hook/api/v2/alerts"
    assert fired["labels"] == over["labels"] == make_transition(1).labels
    assert (fired["startsAt"], fired["endsAt"]) == ("2026-01-01T00:00:00.000Z", "2026-01-02T01:00:00.000Z")
    assert (over["startsAt"], over["endsAt"]) == ("2026-01-01T00:00:00.000Z", "2026-01-01T00:10:00.000Z")
    assert fired["generatorURL"] == "https://evalsvc.example.com/alerts/f1"
    notes = fired["annotations"]
    assert (notes["summary"], notes["description"]) == ("31% refused in de", "Alert 1 is firing.")
    assert notes["runbook_url"] == "https://wiki/refusals"
    assert notes["examples"].splitlines()[0] == "e1 (0.25): Call <name>"


def test_alertmanagers_description_is_the_rules_and_what_moved(server: FakeReceiver) -> None:
    notifier("alertmanager", server).send(message(annotations={"description": "Refusals cost sales."}))
    ((fired,),) = (request.body for request in server.requests)
    assert fired["annotations"]["description"] == "Refusals cost sales.\nAlert 1 is firing."


def test_alertmanager_gets_a_token_and_refreshes_in_chunks(server: FakeReceiver) -> None:
    told = AlertmanagerNotifier(
        server.url, ManualClock(START), expires_seconds=3600.0, timeout_seconds=5.0, token="secret"
    )
    told.refresh([message()] * 700, [message("resolved")])
    assert [len(request.body) for request in server.requests] == [500, 201]
    assert server.requests[0].headers["authorization"] == "Bearer secret"


def test_a_date_says_when_to_come_again() -> None:
    assert retry_after("Thu, 01 Jan 2026 00:02:00 GMT", START) == 120.0
    assert retry_after("Wed, 31 Dec 2025 00:00:00 GMT", START) == 0.0
    assert retry_after("", START) is None
    assert retry_after("9" * 400, START) == 999_999_999.0
