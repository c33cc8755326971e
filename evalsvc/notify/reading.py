"""``routes.yaml`` as checked values: every mistake at once, with its place and a hint."""

from __future__ import annotations

import re
from collections.abc import Callable, Collection, Mapping, Sequence
from typing import cast, get_args

from evalsvc._durations import parse_duration
from evalsvc._hints import did_you_mean
from evalsvc._yaml import Document, Section, Value, read_env_name
from evalsvc.errors import InputError
from evalsvc.notify.building import is_url
from evalsvc.notify.reach import Labels, report_unreached
from evalsvc.notify.routing import pattern_problem
from evalsvc.notify.values import (
    NOBODY,
    AlertmanagerConfig,
    EmailConfig,
    MailSecurity,
    PagerDutyConfig,
    Receiver,
    ReceiverConfig,
    Route,
    Routes,
    SlackConfig,
    WebhookConfig,
)
from evalsvc.rules.history import Matcher
from evalsvc.rules.templates import duration
from evalsvc.rules.values import Severity

NAME = r"[A-Za-z][A-Za-z0-9_.-]{0,99}"
_LABEL = r"[A-Za-z_][A-Za-z0-9_]{0,99}"
ADDRESS = r"[A-Za-z0-9.!#$%&'*+/=?^_`{|}~-]+@[A-Za-z0-9](?:[A-Za-z0-9.-]*[A-Za-z0-9])?"
HOST = r"[A-Za-z0-9](?:[A-Za-z0-9.-]*[A-Za-z0-9])?|\[[0-9A-Fa-f:]+\]"
_SECURITY = get_args(MailSecurity)
_SEVERITIES = get_args(Severity)


def read_routes(
    document: Document, variables: Mapping[str, str] | None = None, rules: Sequence[Labels] | None = None
) -> Routes | None:
    """Read the file; what is wrong is reported to ``document``, and then the result is not to be used.

    With ``variables`` it is wrong, too, that one which the file names is not set there. With ``rules``, the labels of
    each rule's alerts, so is a route that none of them can come to.
    """
    if document.root is None:
        return None
    root, reader = document.root, _Reader(variables)
    named = root.get("receivers")
    section = named.section() if named else None
    receivers = reader.receivers(section) if section else {}
    default = root.need("default", f"who is told of what no route matches; `default: {NOBODY}` for nobody")
    told = _names(default, receivers) if default else ()
    routes = _routes(root.get("routes"), receivers, rules)
    used = {*told, *(name for route in routes for name in route.to)}
    for name in receivers:
        if name not in (*used, NOBODY) and section and default:
            message = f"no route leads to the receiver `{name}`"
            section.key_problem(name, message, "name it in `routes` or `default`, or take it out")
    page = root.get("page")
    return Routes(
        receivers=tuple(Receiver(name, config) for name, config in receivers.items() if config),
        default=told,
        routes=routes,
        page=_url(page) if page else "",
        page_env=read_env_name(root, "page_env"),
    )


class _Reader:
    """Reads receivers, each by its kind."""

    def __init__(self, variables: Mapping[str, str] | None) -> None:
        self._variables = variables
        self._kinds: Mapping[str, Callable[[Section], ReceiverConfig]] = {
            "alertmanager": self._alertmanager,
            "pagerduty": self._pagerduty,
            "slack": self._slack,
            "email": self._email,
            "webhook": self._webhook,
        }

    def receivers(self, section: Section) -> dict[str, ReceiverConfig | None]:
        """Read all; None stands for one that cannot be read, so that its name is known."""
        found: dict[str, ReceiverConfig | None] = {}
        for name, value in section:
            if name == NOBODY:
                section.key_problem(name, f"the name `{NOBODY}` is taken", "it is who is told of nothing")
            elif not re.fullmatch(NAME, name):
                section.key_problem(name, f"expected a name of letters, digits, `_`, `.` and `-`, but got `{name}`")
            inner = value.section()
            kind = inner.need("kind", f"one of {', '.join(self._kinds)}")
            named = kind.text(choices=tuple(self._kinds)) if kind else ""
            if named:
                found[name] = self._kinds[named](inner)
            else:
                found[name] = None
                # Without a kind nobody knows its options.
                list(inner)
        if section.value.is_mapping and not len(section):
            section.value.problem("expected at least one receiver, but got none")
        return found

    def _alertmanager(self, section: Section) -> AlertmanagerConfig:
        defaults = AlertmanagerConfig()
        url, url_env = self._address(section)
        expires = section.get("expires")
        return AlertmanagerConfig(
            url=url,
            url_env=url_env,
            token_env=self._secret(section, "token_env", needed=False),
            expires_seconds=_seconds(expires, defaults.expires_seconds, least=600.0, most=30 * 86_400.0),
            timeout_seconds=_timeout(section, defaults.timeout_seconds),
        )

    def _pagerduty(self, section: Section) -> PagerDutyConfig:
        defaults, url = PagerDutyConfig(), section.get("url")
        return PagerDutyConfig(
            key_env=self._secret(section, "key_env"),
            url=_url(url) if url else defaults.url,
            timeout_seconds=_timeout(section, defaults.timeout_seconds),
        )

    def _slack(self, section: Section) -> SlackConfig:
        if "url" in section:
            section.get("url")
            hint = "put it in the environment and write `url_env: SLACK_WEBHOOK`"
            section.key_problem("url", "whoever knows a Slack webhook's address can write: it is a secret", hint)
            url_env = read_env_name(section, "url_env")
        else:
            url_env = self._secret(section, "url_env")
        return SlackConfig(url_env=url_env, timeout_seconds=_timeout(section, SlackConfig().timeout_seconds))

    def _email(self, section: Section) -> EmailConfig:
        host, port, security = section.need("host"), section.get("port"), section.get("security")
        sender, to, user = section.need("from"), section.need("to"), section.get("user")
        kind = security.text("starttls", choices=_SECURITY) if security else "starttls"
        usual = {"starttls": 587, "tls": 465, "none": 25}[kind]
        what = "an e-mail address, as in oncall@example.com"
        if user is None and "password_env" in section:
            section.need("user", "whose password it is")
        if user and kind == "none":
            user.problem("a password would be sent in the clear", "use `security: starttls` or `tls`")
        return EmailConfig(
            host=host.text(pattern=HOST, what="a host's name") if host else "",
            port=port.integer(usual, low=1, high=65535) if port else usual,
            security=cast("MailSecurity", kind),
            sender=sender.text(pattern=ADDRESS, what=what) if sender else "",
            to=_addresses(to, what) if to else (),
            user=user.text(what="a user's name") if user else "",
            password_env=self._secret(section, "password_env", needed=user is not None),
            timeout_seconds=_timeout(section, EmailConfig().timeout_seconds),
        )

    def _webhook(self, section: Section) -> WebhookConfig:
        url, url_env = self._address(section)
        return WebhookConfig(
            url=url,
            url_env=url_env,
            key_env=self._secret(section, "key_env"),
            timeout_seconds=_timeout(section, WebhookConfig().timeout_seconds),
        )

    def _address(self, section: Section) -> tuple[str, str]:
        """Read ``url`` and ``url_env``; the variable need not be set where there is a url."""
        url = section.get("url")
        if url is None and "url_env" not in section:
            section.get("url_env")
            section.need("url", "as in `url: http://localhost:9093`, or `url_env: NAME`")
            return "", ""
        return (_url(url) if url else ""), self._secret(section, "url_env", needed=False, optional=url is not None)

    def _secret(self, section: Section, key: str, *, needed: bool = True, optional: bool = False) -> str:
        """Read a variable's name, and look whether it is set where that is asked for."""
        value = section.need(key, f"as in `{key}: NAME`, an environment variable") if needed else section.get(key)
        name = read_env_name(section, key)
        set_here = self._variables is None or self._variables.get(name)
        # A name that is none is reported already, and may be the secret.
        if value and not optional and not set_here and re.fullmatch("[A-Z_][A-Z0-9_]*", name):
            value.problem(f"the environment variable {name} is not set here", "set it, or check with --files-only")
        return name


def _routes(value: Value | None, receivers: Collection[str], rules: Sequence[Labels] | None) -> tuple[Route, ...]:
    found: list[Route] = []
    ending: list[tuple[int, Route]] = []
    for item in value.items() if value else []:
        section = item.section()
        match, to, go_on = section.get("match"), section.need("to", "the receiver's name"), section.get("continue")
        wanted = match.section() if match else None
        route = Route(
            matchers=_matchers(wanted) if wanted else (),
            to=_names(to, receivers) if to else (),
            go_on=go_on.flag() if go_on else False,
        )
        if wanted and rules is not None:
            report_unreached(wanted, route.matchers, rules)
        for number, earlier in ending:
            if set(earlier.matchers) <= set(route.matchers):
                taken = "all that this matches" if earlier.matchers else "every alert"
                hint = f"`routes[{number}]` takes {taken} and does not continue: move this before it"
                item.problem("no alert ever comes to this route", hint)
                break
        # One with a mistake in a matcher seems to take more than it is meant to.
        if not route.go_on and len(route.matchers) == (len(wanted) if wanted else 0):
            ending.append((len(found), route))
        found.append(route)
    return tuple(found)


def _matchers(section: Section) -> tuple[Matcher, ...]:
    found = []
    for label, value in section:
        if not re.fullmatch(_LABEL, label):
            section.key_problem(label, f"expected a label's name of letters, digits and _, but got `{label}`")
        elif value.is_list:
            options = value.texts()
            if not options:
                value.problem("expected at least one value, but got none")
            for item, option in zip(value.items(), options, strict=True):
                _severity(item, label, option)
            found.append(Matcher(label, "|".join(map(re.escape, options)), True))
        else:
            text = value.text(what="a label's value, a list of them, or /a pattern/")
            pattern = len(text) > 1 and text[0] == text[-1] == "/"
            if pattern and (wrong := pattern_problem(text[1:-1])):
                value.problem(f"`{text}` is no regular expression: {wrong}")
            elif pattern:
                found.append(Matcher(label, text[1:-1], True))
            elif text:
                _severity(value, label, text)
                found.append(Matcher(label, text))
    return tuple(sorted(found, key=lambda matcher: (matcher.label, matcher.value)))


def _severity(value: Value, label: str, text: str) -> None:
    if label == "severity" and text and text not in _SEVERITIES:
        value.problem(f"no alert has the severity `{text}`", did_you_mean(text, _SEVERITIES))


def _names(value: Value, receivers: Collection[str]) -> tuple[str, ...]:
    found = value.texts(what="a receiver's name")
    places = value.items() if value.is_list else [value]
    for place, name in zip(places, found, strict=False):
        if name and name != NOBODY and name not in receivers:
            place.problem(f"there is no receiver `{name}`", did_you_mean(name, [*receivers, NOBODY]))
    if value.is_list and not found:
        value.problem("expected at least one receiver, but got none", f"`{NOBODY}` stands for nobody")
    return tuple(dict.fromkeys(name for name in found if name))


def _addresses(value: Value, what: str) -> tuple[str, ...]:
    found = value.texts(pattern=ADDRESS, what=what)
    if value.is_list and not found:
        value.expected("one address or more")
    return found


def _url(value: Value) -> str:
    text = value.text(what="an address, as in https://example.com", secret=True)
    if text and "@" in text.partition("://")[2].partition("/")[0]:
        value.problem(
            "a user or password does not belong in an address", "evalsvc signs in with `token_env` or `key_env`"
        )
        return ""
    if text and not is_url(text):
        value.expected("an http or https address, as in https://example.com")
        return ""
    return text


def _timeout(section: Section, default: float) -> float:
    return _seconds(section.get("timeout"), default, least=1.0, most=120.0)


def _seconds(value: Value | None, default: float, *, least: float, most: float) -> float:
    if value is None:
        return default
    text = value.text(what="a duration, as in 10s")
    if not text:
        return default
    try:
        seconds = parse_duration(text).total_seconds()
    except InputError as error:
        value.problem(str(error))
        return default
    if not least <= seconds <= most:
        value.expected(f"{duration(least)} to {duration(most)}")
        return default
    return seconds
