"""The guide to being paged: its files are right, its code runs, and the reference names the options that are read."""

from __future__ import annotations

import re
from datetime import UTC, datetime
from pathlib import Path

import pytest

from evalsvc._yaml import Document
from evalsvc.cli import main
from evalsvc.errors import InputError
from evalsvc.notify import Routes, read_routes, sign, trial, verify
from evalsvc.notify._http import encode
from evalsvc.notify.webhook import event_of
from servers.receivers import FakeReceiver

ROOT = Path(__file__).parents[2]
PAGES = [ROOT / "docs" / "how-to" / "get-paged.md", ROOT / "docs" / "reference" / "routes.md"]
KEY = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"

pytestmark = pytest.mark.skipif(not PAGES[0].is_file(), reason="the pages are in the checkout")


def blocks(page: Path, language: str) -> list[str]:
    return re.findall(rf"```{language}\n(.*?)```", page.read_text(encoding="utf-8"), re.DOTALL)


def read(text: str) -> Routes:
    document = Document("routes.yaml", text.encode())
    routes = read_routes(document)
    assert document.finish() == ()
    assert routes is not None
    return routes


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_every_file_that_is_shown_is_right(page: Path) -> None:
    shown = blocks(page, "yaml")
    assert len(shown) >= 1
    for text in shown:
        read(text)


def test_the_guide_shows_every_kind() -> None:
    kinds = {type(r.config).__name__ for text in blocks(PAGES[0], "yaml") for r in read(text).receivers}
    assert kinds == {"AlertmanagerConfig", "PagerDutyConfig", "SlackConfig", "EmailConfig", "WebhookConfig"}


def test_the_guides_trial_is_sent(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "alerts").mkdir()
    (tmp_path / "alerts" / "routes.yaml").write_text(blocks(PAGES[0], "yaml")[0], encoding="utf-8")
    (tmp_path / "pyproject.toml").write_text("[tool.evalsvc]\n", encoding="utf-8")
    monkeypatch.chdir(tmp_path)
    with FakeReceiver() as server:
        monkeypatch.setenv("EVALSVC_ALERTMANAGER", server.url)
        asked, *answer = blocks(PAGES[0], "console")[0].splitlines()
        assert main(asked.removeprefix("$ evalsvc ").split()) == 0
    assert capsys.readouterr().out.splitlines() == answer
    ((fired,), (over,)) = (request.body for request in server.requests)
    assert (
        fired["labels"]
        == over["labels"]
        == {
            "alertname": "EvalsvcTrial",
            "severity": "info",
            "consumer": "evalsvc",
        }
    )
    assert fired["startsAt"] == over["startsAt"] < over["endsAt"] < fired["endsAt"]


def test_the_guides_handler_takes_an_event_once_and_no_forged_one(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOOK_KEY", KEY)
    space: dict = {}
    exec(blocks(PAGES[0], "python")[0], space)  # noqa: S102 - our own page
    now = datetime.now(UTC)
    body = encode(event_of(trial(now)))
    stamp = int(now.timestamp())
    headers = {"webhook-id": "a", "webhook-timestamp": str(stamp), "webhook-signature": sign(KEY, "a", stamp, body)}
    assert verify(KEY, headers, body, now) == "a"
    assert (
        space["handle"](headers, body) == "io.evalsvc.alert.firing.v1: [info] EvalsvcTrial: a trial, nothing is wrong"
    )
    assert space["handle"](headers, body) == "known"
    with pytest.raises(InputError):
        space["handle"](headers, body + b" ")


def test_the_reference_names_every_option() -> None:
    text = PAGES[1].read_text(encoding="utf-8")
    for name in ("page", "page_env", "receivers", "default", "routes", "match", "to", "continue", "timeout"):
        assert f"`{name}`" in text
    section = text.partition("## Receivers")[2].partition("## What")[0]
    for kind, options in {
        "alertmanager": ("url", "url_env", "token_env", "expires"),
        "pagerduty": ("key_env", "url"),
        "slack": ("url_env",),
        "email": ("host", "port", "security", "user", "password_env", "from", "to"),
        "webhook": ("url", "url_env", "key_env"),
    }.items():
        rows = section.partition(f"| `{kind}` |")[2]
        assert all(f"`{option}`" in rows for option in options)
        # What a file may say is what the reader asks for.
        wrong = Document("routes.yaml", f"receivers: {{a: {{kind: {kind}, zzz: 1}}}}\ndefault: a".encode())
        read_routes(wrong)
        (known,) = [problem.hint for problem in wrong.finish() if "zzz" in problem.message]
        assert set(known.removeprefix("known: ").split(", ")) == {*options, "kind", "timeout"}
