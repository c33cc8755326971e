"""Files of routes: what a right one says, whom it tells, and the corpus of wrong ones with their exact problems.

After a message changed on purpose, ``python tests/unit/test_notify_routes.py`` writes the corpus' texts anew.
"""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from evalsvc._yaml import Document
from evalsvc.errors import ConfigError
from evalsvc.notify import (
    AlertmanagerConfig,
    EmailConfig,
    PagerDutyConfig,
    Receiver,
    Route,
    Routes,
    SlackConfig,
    WebhookConfig,
    build_notifiers,
    matches,
    page_address,
    read_routes,
    receivers_of,
)
from evalsvc.project import check, load_routes
from evalsvc.rules.history import Matcher
from evalsvc.testing import ManualClock

BAD = Path(__file__).parent / "bad_routes"
FILES = sorted(BAD.glob("*.bad.routes.yaml"))
CHECKOUT = Path(__file__).resolve().parents[2]

GOOD = """
page: https://evalsvc.example.com/
page_env: EVALSVC_PAGE
receivers:
  alertmanager: {kind: alertmanager, url: "http://localhost:9093", url_env: EVALSVC_ALERTMANAGER, expires: 12h}
  oncall: {kind: pagerduty, key_env: PAGERDUTY_KEY}
  team: {kind: slack, url_env: SLACK_WEBHOOK, timeout: 5s}
  mail:
    kind: email
    host: mail.example.com
    security: tls
    from: evalsvc@example.com
    to: [oncall@example.com, lead@example.com]
    user: evalsvc
    password_env: MAIL_PASSWORD
  hook: {kind: webhook, url: "https://example.com/hook?team=ml", key_env: HOOK_KEY}
default: alertmanager
routes:
  - {match: {severity: info}, to: nobody}
  - {match: {team: [ml, search]}, to: team, continue: true}
  - {match: {severity: page, language: /de|fr/}, to: [oncall, mail]}
  - {match: {metric: //}, to: hook}
"""
KEY = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"
VARIABLES = {
    "PAGERDUTY_KEY": "k" * 32,
    "SLACK_WEBHOOK": "https://hooks.slack.example/services/T/B/secret",
    "MAIL_PASSWORD": "secret",
    "HOOK_KEY": KEY,
}


def read(text: str, variables=None) -> Routes:
    document = Document("routes.yaml", text.encode())
    routes = read_routes(document, variables)
    assert document.finish() == ()
    assert routes is not None
    return routes


def problems(path: Path, *, here: bool = False) -> list[str]:
    return [str(problem) for problem in check([path], here=here).problems]


def test_a_right_file_says_what_is_in_it() -> None:
    assert read(GOOD) == Routes(
        page="https://evalsvc.example.com/",
        page_env="EVALSVC_PAGE",
        receivers=(
            Receiver(
                "alertmanager",
                AlertmanagerConfig(
                    url="http://localhost:9093", url_env="EVALSVC_ALERTMANAGER", expires_seconds=43_200.0
                ),
            ),
            Receiver("oncall", PagerDutyConfig(key_env="PAGERDUTY_KEY")),
            Receiver("team", SlackConfig(url_env="SLACK_WEBHOOK", timeout_seconds=5.0)),
            Receiver(
                "mail",
                EmailConfig(
                    host="mail.example.com",
                    port=465,
                    security="tls",
                    sender="evalsvc@example.com",
                    to=("oncall@example.com", "lead@example.com"),
                    user="evalsvc",
                    password_env="MAIL_PASSWORD",
                ),
            ),
            Receiver("hook", WebhookConfig(url="https://example.com/hook?team=ml", key_env="HOOK_KEY")),
        ),
        default=("alertmanager",),
        routes=(
            Route(matchers=(Matcher("severity", "info"),), to=("nobody",)),
            Route(matchers=(Matcher("team", "ml|search", True),), to=("team",), go_on=True),
            Route(matchers=(Matcher("language", "de|fr", True), Matcher("severity", "page")), to=("oncall", "mail")),
            Route(matchers=(Matcher("metric", "", True),), to=("hook",)),
        ),
    )


@pytest.mark.parametrize(
    ("labels", "told"),
    [
        ({"severity": "info", "team": "ml"}, ()),
        ({"severity": "page", "team": "ml", "metric": "m"}, ("team",)),
        ({"severity": "page", "team": "ml", "language": "de", "metric": "m"}, ("team", "oncall", "mail")),
        ({"severity": "page", "language": "fr", "metric": "m"}, ("oncall", "mail")),
        ({"severity": "page", "language": "fro", "metric": "m"}, ("alertmanager",)),
        ({"severity": "ticket"}, ("hook",)),
    ],
)
def test_the_first_route_takes_an_alert_and_continue_asks_the_next(labels, told) -> None:
    assert receivers_of(read(GOOD), labels) == told


def test_a_pattern_is_for_the_whole_value_and_a_missing_label_is_empty() -> None:
    assert matches({"team": "ml\nx"}, [Matcher("team", "ml.*", True)])
    assert not matches({"team": "ml"}, [Matcher("team", "m", True)])
    assert matches({}, [Matcher("team", "")])
    assert matches({}, ())


def test_notifiers_are_built_from_the_environment_and_show_no_secret() -> None:
    routes = read(GOOD)
    built = build_notifiers(routes, VARIABLES, ManualClock())
    assert list(built) == ["alertmanager", "oncall", "team", "mail", "hook"]
    shown = repr(built)
    assert not any(secret in shown for secret in ("kkk", "secret", "MfKQ"))
    assert page_address(routes, {}) == "https://evalsvc.example.com/"
    assert page_address(routes, {"EVALSVC_PAGE": "http://other"}) == "http://other"


@pytest.mark.parametrize(
    ("name", "value", "message"),
    [
        (
            "PAGERDUTY_KEY",
            "",
            "Expected the environment variable PAGERDUTY_KEY to be set: the receiver `oncall` reads it",
        ),
        ("PAGERDUTY_KEY", "k\u00e9y", "Expected PAGERDUTY_KEY to be printable ASCII; its value is not shown"),
        ("SLACK_WEBHOOK", "hooks.slack.example/T", "Expected SLACK_WEBHOOK to be an http or https address"),
        ("EVALSVC_ALERTMANAGER", "http://me:word@am", "Expected EVALSVC_ALERTMANAGER to be an http or https address"),
        ("HOOK_KEY", "whsec_c2hvcnQ=", "HOOK_KEY, for the receiver `hook`: Expected the webhook's key to be `whsec_`"),
        ("HOOK_KEY", "topsecret", "HOOK_KEY, for the receiver `hook`: Expected the webhook's key to be `whsec_`"),
    ],
)
def test_a_wrong_variable_is_named_and_not_shown(name, value, message) -> None:
    with pytest.raises(ConfigError) as caught:
        build_notifiers(read(GOOD), {**VARIABLES, name: value}, ManualClock())
    assert str(caught.value).startswith(message)
    assert not value or value not in str(caught.value)


def test_a_wrong_page_variable_is_named_and_not_shown() -> None:
    with pytest.raises(ConfigError, match="Expected EVALSVC_PAGE to be an http or https address"):
        page_address(read(GOOD), {"EVALSVC_PAGE": "topsecret"})


def test_here_the_variables_have_to_be_set(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "routes.yaml").write_text(GOOD, encoding="utf-8")
    for name in VARIABLES:
        monkeypatch.delenv(name, raising=False)
    assert problems(Path("routes.yaml")) == []
    assert problems(Path("routes.yaml"), here=True) == [
        f"routes.yaml:{place}: the environment variable {name} is not set here (set it, or check with --files-only)"
        for place, name in [
            ("6:38", "PAGERDUTY_KEY"),
            ("7:32", "SLACK_WEBHOOK"),
            ("15:19", "MAIL_PASSWORD"),
            ("16:75", "HOOK_KEY"),
        ]
    ]
    for name, value in VARIABLES.items():
        monkeypatch.setenv(name, value)
    assert problems(Path("routes.yaml"), here=True) == []


def test_a_project_has_its_routes_or_tells_nobody(tmp_path: Path) -> None:
    (tmp_path / "pyproject.toml").write_text('[tool.evalsvc]\nalerts = "on-call"\n', encoding="utf-8")
    assert load_routes(tmp_path) is None
    (tmp_path / "on-call").mkdir()
    (tmp_path / "on-call" / "routes.yaml").write_text(GOOD, encoding="utf-8")
    assert load_routes(tmp_path) == read(GOOD)
    assert check([tmp_path], here=False).routes == read(GOOD)
    (tmp_path / "on-call" / "routes.yaml").write_text(GOOD.replace("default: alertmanager", "default: am"), "utf-8")
    with pytest.raises(ConfigError, match="there is no receiver `am`"):
        load_routes(tmp_path)


@pytest.mark.skipif(not (CHECKOUT / "alerts").is_dir(), reason="the checkout's own routes")
def test_the_shipped_routes_tell_alertmanager_of_everything(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("EVALSVC_ALERTMANAGER", raising=False)
    assert problems(CHECKOUT / "alerts" / "routes.yaml", here=True) == []
    routes = load_routes(CHECKOUT)
    assert routes is not None
    assert receivers_of(routes, {"severity": "page"}) == ("alertmanager",)
    assert list(build_notifiers(routes, {}, ManualClock())) == ["alertmanager"]


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.name.removesuffix(".bad.routes.yaml"))
def test_a_wrong_file_gives_exactly_its_problems(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(BAD)
    assert problems(path) == path.with_suffix(".txt").read_text(encoding="utf-8").splitlines()


def test_the_corpus_is_whole() -> None:
    assert len(FILES) >= 4
    assert {path.with_suffix(".txt").name for path in FILES} == {path.name for path in BAD.glob("*.txt")}


if __name__ == "__main__":
    os.chdir(BAD)
    for file in FILES:
        file.with_suffix(".txt").write_text("".join(f"{line}\n" for line in problems(file)), encoding="utf-8")
