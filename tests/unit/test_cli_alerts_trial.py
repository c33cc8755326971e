"""``evalsvc alerts trial`` against local receivers: what is sent, what is printed, and what it ends with."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from evalsvc.cli import main
from servers.receivers import Answer, FakeReceiver

KEY = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"
ROUTES = """# run: evalsvc check alerts/routes.yaml — code: evalsvc/notify/
page: https://evalsvc.example.com
receivers:
  alertmanager: {kind: alertmanager, url_env: AM}
  hook: {kind: webhook, url_env: HOOK, key_env: HOOK_KEY}
default: [alertmanager, hook]
"""


@pytest.fixture
def servers(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[dict[str, FakeReceiver]]:
    (tmp_path / "alerts").mkdir()
    (tmp_path / "alerts" / "routes.yaml").write_text(ROUTES, encoding="utf-8")
    (tmp_path / "pyproject.toml").write_text("[tool.evalsvc]\n", encoding="utf-8")
    monkeypatch.chdir(tmp_path)
    with FakeReceiver() as alertmanager, FakeReceiver() as hook:
        for name, value in (("AM", alertmanager.url), ("HOOK", hook.url), ("HOOK_KEY", KEY)):
            monkeypatch.setenv(name, value)
        yield {"alertmanager": alertmanager, "hook": hook}


def ask(capsys: pytest.CaptureFixture[str], *arguments: str, code: int = 0) -> list[str]:
    ended = main(["alerts", "trial", *arguments])
    said = capsys.readouterr()
    assert ended == code, said
    return (said.out + said.err).splitlines()


def test_every_receiver_gets_a_trial_and_its_end(
    servers: dict[str, FakeReceiver], capsys: pytest.CaptureFixture[str]
) -> None:
    header, *lines = ask(capsys)
    assert header.split() == ["receiver", "alert", "its", "end"]
    assert [line.split() for line in lines] == [
        ["alertmanager", "HTTP", "200", "HTTP", "200"],
        ["hook", "HTTP", "200", "HTTP", "200"],
    ]
    events = [request.body for request in servers["hook"].requests]
    assert [event["data"]["state"] for event in events] == ["firing", "resolved"]
    assert events[0]["data"]["link"] == "https://evalsvc.example.com/alerts"
    assert "This is a trial: nothing is wrong." in events[0]["data"]["text"]


def test_one_receiver_is_asked_alone_whatever_another_lacks(
    servers: dict[str, FakeReceiver], capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("AM")
    assert len(ask(capsys, "hook")) == 2
    assert len(servers["hook"].requests) == 2
    lines = ask(capsys, code=1)
    assert "failed: Expected the environment variable AM to be set" in lines[1]
    assert lines[1].endswith("not sent")
    assert lines[-1] == "not reached: alertmanager"
    assert len(servers["hook"].requests) == 4


def test_one_that_fails_is_said_to_and_the_others_are_asked(
    servers: dict[str, FakeReceiver], capsys: pytest.CaptureFixture[str]
) -> None:
    servers["alertmanager"].answers = [Answer(status=503)]
    servers["hook"].answers = [Answer(), Answer(status=400, body=b"bad_event")]
    lines = ask(capsys, code=1)
    cells = [[cell.strip() for cell in line.split("  ") if cell.strip()] for line in lines[1:3]]
    assert cells == [
        ["alertmanager", "failed: Alertmanager: HTTP 503", "not sent"],
        ["hook", "HTTP 200", "failed: webhook: HTTP 400 bad_event"],
    ]
    assert lines[-1] == "not reached: alertmanager, hook"
    assert KEY not in "\n".join(lines)
    assert servers["hook"].url not in "\n".join(lines)


def test_an_unknown_receiver_and_a_project_without_routes_are_refused(
    servers: dict[str, FakeReceiver], capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    assert "but got 'hok' (did you mean" in ask(capsys, "hok", code=2)[0]
    (tmp_path / "alerts" / "routes.yaml").unlink()
    assert "Expected alerts/routes.yaml" in ask(capsys, code=2)[0]
    assert servers["hook"].requests == []


@pytest.mark.parametrize("arguments", [(), ("oncall",)])
def test_routes_that_name_no_receiver_are_refused_with_what_to_do(
    servers: dict[str, FakeReceiver], capsys: pytest.CaptureFixture[str], tmp_path: Path, arguments: tuple[str, ...]
) -> None:
    (tmp_path / "alerts" / "routes.yaml").write_text("receivers: {}\ndefault: nobody\n", encoding="utf-8")
    (line,) = ask(capsys, *arguments, code=2)
    assert "alerts/routes.yaml names no receiver: add one under `receivers`" in line
