"""``alerts/routes.yaml`` as checked values: who can be told, how, and which alerts are whose."""

from __future__ import annotations

from typing import Literal

import msgspec

from evalsvc.rules.history import Matcher

MailSecurity = Literal["starttls", "tls", "none"]

NOBODY = "nobody"
"""The receiver of what nobody is to be told of."""


class AlertmanagerConfig(msgspec.Struct, frozen=True, kw_only=True, tag="alertmanager"):
    """An Alertmanager. The variable ``url_env``, where it is set, replaces ``url``; ``token_env`` holds a bearer token.

    What fires is posted again each minute and expires after ``expires_seconds``, so that neither a lost state nor a
    ruler that is down resolves anything before.
    """

    url: str = ""
    url_env: str = ""
    token_env: str = ""
    expires_seconds: float = 86_400.0
    timeout_seconds: float = 10.0


class PagerDutyConfig(msgspec.Struct, frozen=True, kw_only=True, tag="pagerduty"):
    """A service of PagerDuty, by its integration key (Events API v2), which the variable ``key_env`` holds."""

    key_env: str = ""
    url: str = "https://events.pagerduty.com/v2/enqueue"
    timeout_seconds: float = 10.0


class SlackConfig(msgspec.Struct, frozen=True, kw_only=True, tag="slack"):
    """A channel of Slack, by its incoming webhook: a secret, which the variable ``url_env`` holds."""

    url_env: str = ""
    timeout_seconds: float = 10.0


class EmailConfig(msgspec.Struct, frozen=True, kw_only=True, tag="email"):
    """Mail through an SMTP server. ``user`` signs in with the password that the variable ``password_env`` holds."""

    host: str = ""
    port: int = 587
    security: MailSecurity = "starttls"
    sender: str = ""
    to: tuple[str, ...] = ()
    user: str = ""
    password_env: str = ""
    timeout_seconds: float = 30.0


class WebhookConfig(msgspec.Struct, frozen=True, kw_only=True, tag="webhook"):
    """An address that takes CloudEvents, signed by the key that the variable ``key_env`` holds (Standard Webhooks)."""

    url: str = ""
    url_env: str = ""
    key_env: str = ""
    timeout_seconds: float = 10.0


ReceiverConfig = AlertmanagerConfig | PagerDutyConfig | SlackConfig | EmailConfig | WebhookConfig


class Receiver(msgspec.Struct, frozen=True):
    """Somebody who can be told, by the name that routes and receipts use."""

    name: str
    config: ReceiverConfig


class Route(msgspec.Struct, frozen=True, kw_only=True):
    """Alerts whose labels match all of ``matchers`` go to ``to``; the next routes are asked only with ``go_on``."""

    matchers: tuple[Matcher, ...]
    to: tuple[str, ...]
    go_on: bool = False


class Routes(msgspec.Struct, frozen=True, kw_only=True):
    """The whole file. ``default`` is told of what no route matches; ``page`` is where people open the page."""

    receivers: tuple[Receiver, ...]
    default: tuple[str, ...]
    routes: tuple[Route, ...] = ()
    page: str = ""
    page_env: str = ""
