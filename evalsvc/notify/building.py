"""From checked routes and the environment to notifiers. This is the only place where a secret is read."""

from __future__ import annotations

from collections.abc import Mapping
from urllib.parse import urlsplit

from evalsvc.errors import ConfigError, InputError
from evalsvc.notify.alertmanager import AlertmanagerNotifier
from evalsvc.notify.mail import EmailNotifier
from evalsvc.notify.notifier import Notifier
from evalsvc.notify.pagerduty import PagerDutyNotifier
from evalsvc.notify.slack import SlackNotifier
from evalsvc.notify.values import (
    AlertmanagerConfig,
    EmailConfig,
    PagerDutyConfig,
    Receiver,
    Routes,
    SlackConfig,
)
from evalsvc.notify.webhook import WebhookNotifier
from evalsvc.protocols import Clock


def build_notifiers(routes: Routes, variables: Mapping[str, str], clock: Clock) -> dict[str, Notifier]:
    """Return a notifier for each receiver, by name. Sends nothing.

    Args:
        routes: the checked file.
        variables: the environment.
        clock: for expiry and timestamps.

    Raises:
        ConfigError: a variable is not set, or holds no address or key. Its value is not shown.
    """
    return {receiver.name: _Builder(receiver, variables, clock).notifier() for receiver in routes.receivers}


def page_address(routes: Routes, variables: Mapping[str, str]) -> str:
    """Return where people open the page: the variable's where it is set, else the file's; empty for no link.

    Raises:
        ConfigError: when the variable holds no address.
    """
    found = (variables.get(routes.page_env, "") if routes.page_env else "") or routes.page
    if found and not is_url(found):
        raise ConfigError(f"Expected {routes.page_env} to be an http or https address; its value is not shown")
    return found


def is_url(text: str) -> bool:
    """Whether it is an http or https address with a host, and without a user, blanks or a fragment.

    >>> is_url("https://example.com:8443/x?y=z"), is_url("https://me:word@example.com"), is_url("example.com")
    (True, False, False)
    """
    if not text.isascii() or any(sign <= " " or sign == "\x7f" for sign in text):
        return False
    try:
        parts = urlsplit(text)
        fits = parts.port is None or 0 < parts.port < 65536
    except ValueError:
        return False
    host = bool(parts.hostname) and not (parts.username or parts.password or parts.fragment)
    return parts.scheme in ("http", "https") and host and fits


class _Builder:
    def __init__(self, receiver: Receiver, variables: Mapping[str, str], clock: Clock) -> None:
        self._receiver, self._variables, self._clock = receiver, variables, clock

    def notifier(self) -> Notifier:
        config, seconds = self._receiver.config, self._receiver.config.timeout_seconds
        if isinstance(config, AlertmanagerConfig):
            return AlertmanagerNotifier(
                self._url(config.url_env, config.url),
                self._clock,
                expires_seconds=config.expires_seconds,
                timeout_seconds=seconds,
                token=self._secret(config.token_env) if config.token_env else "",
            )
        if isinstance(config, PagerDutyConfig):
            return PagerDutyNotifier(self._secret(config.key_env), config.url, timeout_seconds=seconds)
        if isinstance(config, SlackConfig):
            return SlackNotifier(self._url(config.url_env, ""), timeout_seconds=seconds)
        if isinstance(config, EmailConfig):
            return EmailNotifier(config, self._secret(config.password_env) if config.password_env else "")
        key = self._secret(config.key_env)
        try:
            return WebhookNotifier(self._url(config.url_env, config.url), key, self._clock, timeout_seconds=seconds)
        except InputError as error:
            raise ConfigError(f"{config.key_env}, for the receiver `{self._receiver.name}`: {error}") from None

    def _secret(self, name: str) -> str:
        value = self._variables.get(name, "").strip()
        if not value:
            raise ConfigError(
                f"Expected the environment variable {name} to be set: the receiver `{self._receiver.name}` reads it"
            )
        if not (value.isascii() and value.isprintable()):
            raise ConfigError(f"Expected {name} to be printable ASCII; its value is not shown")
        return value

    def _url(self, name: str, default: str) -> str:
        value = (self._variables.get(name, "").strip() if name else "") or default or self._secret(name)
        if not is_url(value):
            raise ConfigError(
                f"Expected {name} to be an http or https address without a user, for the receiver "
                f"`{self._receiver.name}`; its value is not shown"
            )
        return value
