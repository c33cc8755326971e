"""What ``evalsvc gate`` writes where it ends with an error: the same in every output as in its exit code."""

from __future__ import annotations

import argparse
import contextlib
import errno
import json
import re
import types
from pathlib import Path
from xml.etree import ElementTree

import pytest

from evalsvc._cli_gate import gate
from evalsvc.cli import main
from evalsvc.gate.keeping import RunKeeper
from suites_made import Project, parsed

GATES = "  - {metric: token_f1, critical: true, at_least: 0.2}\n  - {metric: token_f1, at_least: 0.85}\n"
FILES = ("--markdown", "summary.md", "--junit", "junit.xml", "--html", "report.html")
SILENT = "60 of 60 requests have no answer: empty answer (60); that is no verdict about the version: see that the model"


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Project:
    monkeypatch.chdir(tmp_path)
    return Project(tmp_path, GATES)


def errors_in(path: str) -> list[ElementTree.Element]:
    root = parsed(path)
    found = list(root.iter("error"))
    assert root.get("errors") == str(len(found))
    assert sum(int(suite.get("errors", "")) for suite in root.iter("testsuite")) == len(found)
    return found


def check_files(told: str) -> None:
    (error,) = errors_in("junit.xml")
    assert told in (error.text or "")
    assert not list(parsed("junit.xml").iter("failure"))
    for name in ("summary.md", "report.html"):
        text = Path(name).read_text()
        assert "ERROR" in text.split("\n\n")[0]
        assert told in text
        assert ">PASS<" not in text
        assert "PASS\n" not in text


@pytest.mark.parametrize("policy", ["code", "pass", "fail"])
def test_a_model_that_never_answers_is_an_error_in_every_output(project, capsys, policy):
    project.answer(lambda place: {"response": ""})
    assert project.gate(*FILES, "--inconclusive", policy) == 2
    check_files(SILENT)
    said = capsys.readouterr()
    assert said.out.startswith("made: ERROR\n")
    assert SILENT in said.out
    assert "FAIL" not in said.out + Path("summary.md").read_text()
    assert f"evalsvc: made: {SILENT}" in said.err
    assert project.gate("--format", "json") == 2
    found = json.loads(capsys.readouterr().out)
    assert found["decision"] == "ERROR"
    assert found["error"].startswith(SILENT)


def test_it_is_an_error_whatever_its_gates_say_and_when_it_is_decided_again(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    project = Project(tmp_path, "  - {metric: latency_ms, at_most: 50, max_missing: 90%}\n" + GATES)
    project.answer(lambda place: {"response": ""} if place < 31 else {})
    assert project.gate("--junit", "junit.xml") == 2
    assert len(errors_in("junit.xml")) == 1
    last = RunKeeper(tmp_path).latest("made")
    assert last is not None
    assert (last.decision, last.exit_code) == ("ERROR", 2)
    capsys.readouterr()
    assert main(["gate", "--again", last.verdict_id]) == 2
    assert "the same decisions" in capsys.readouterr().out
    assert main(["baseline", "promote", str(project.path), "--name", "b", "--despite", "--because", "x"]) == 2


def test_a_budget_that_ended_it_is_to_be_raised(project, capsys):
    (project.path.parent / "bot.py").write_text("def reply(prompt):\n    return 'yes'\n")
    project.path.write_text(project.path.read_text().replace("{recorded: answers.jsonl}", "{callable: 'bot.py:reply'}"))
    project.path.write_text(project.path.read_text().replace("seed: 3", "seed: 3\nbudget: {requests: 20}"))
    assert project.gate() == 2
    said = " ".join(capsys.readouterr().out.split())
    assert "raise `budget.requests` of the suite, and run it again: what was answered is kept, and not paid for" in said


def test_of_several_suites_each_says_its_own(project, capsys):
    project.answer()
    other = project.path.with_name("other.suite.yaml")
    text = project.path.read_text()
    other.write_text(text.replace("suite: made", "suite: other").replace("answers.jsonl", "none.jsonl"))
    lines = (project.path.parent / "answers.jsonl").read_text().splitlines()
    (project.path.parent / "none.jsonl").write_text(
        "".join(json.dumps(json.loads(line) | {"response": ""}) + "\n" for line in lines)
    )
    assert main(["gate", str(project.path.parent), "--junit", "junit.xml"]) == 2
    assert "2 suites: made PASS, other ERROR" in capsys.readouterr().out
    assert len(errors_in("junit.xml")) == 1


def test_an_error_before_anything_was_asked_is_in_what_was_asked_for(project, capsys):
    project.answer()
    project.gate(*FILES)
    project.path.write_text(project.path.read_text().replace("token_f1", "tokens_f1"))
    assert project.gate(*FILES) == 2
    check_files("tokens_f1")
    capsys.readouterr()
    assert project.gate("--format", "json") == 2
    found = json.loads(capsys.readouterr().out)
    assert found["decision"] == "ERROR"
    assert "tokens_f1" in found["error"]
    assert project.gate("--format", "markdown") == 2
    assert capsys.readouterr().out.startswith("## evalsvc gate: ERROR\n")


def test_a_file_that_cannot_be_written_leaves_no_verdict_in_the_others(project, capsys):
    project.answer()
    assert project.gate("--markdown", "summary.md", "--junit", "nowhere/junit.xml") == 2
    assert "Cannot write nowhere/junit.xml" in Path("summary.md").read_text()
    assert "ERROR" in Path("summary.md").read_text().splitlines()[0]
    assert "PASS" not in capsys.readouterr().out


def test_of_a_file_with_mistakes_the_first_is_in_the_attribute_that_dashboards_show(project):
    project.answer()
    project.path.write_text(project.path.read_text().replace("token_f1", "tokens_f1"))
    assert project.gate(*FILES) == 2
    (error,) = errors_in("junit.xml")
    assert re.match(r"ERROR: 1 problem: \S+made\.suite\.yaml:\d+:\d+: ", error.get("message", ""))
    assert "\n" not in error.get("message", "")


def test_a_store_that_fails_after_the_run_leaves_no_verdict(project, capsys, monkeypatch):
    from evalsvc import _cli_gate
    from evalsvc.errors import StoreError

    def fail(*given: object) -> None:
        raise StoreError("the store is down")

    project.answer()
    log = types.SimpleNamespace(record_verdict=fail)
    monkeypatch.setattr(_cli_gate, "open_log", lambda *given, **more: contextlib.nullcontext(log))
    assert project.gate("--record", *FILES) == 2
    check_files("the store is down; nothing is recorded of the run, whose answers are kept: run it again")
    assert "PASS" not in capsys.readouterr().out


@pytest.mark.parametrize(
    ("error", "code", "told"),
    [
        (KeyboardInterrupt(), 130, "the command was interrupted; run it again"),
        (RuntimeError("x"), 70, "the command was ended by RuntimeError, which is a bug in evalsvc"),
    ],
)
def test_what_ends_the_command_otherwise_is_told_too(project, monkeypatch, error, code, told):
    from evalsvc import _cli_gate

    def stop(*given: object) -> None:
        raise error

    project.answer()
    monkeypatch.setattr(_cli_gate, "_run", stop)
    assert project.gate(*FILES) == code
    check_files(told)
    for name in ("summary.md", "report.html"):
        text = Path(name).read_text()
        assert f"exit code {code}" in text.replace("\\", "")
        assert "kept" not in text


@pytest.mark.parametrize(
    ("options", "told"),
    [
        (["--no-cache"], "stopped after 20 of 60 answers; nothing is kept"),
        ([], "stopped after 20 of 60 answers; they are kept: the same command goes on from there"),
    ],
)
def test_what_is_kept_of_an_interrupted_run_is_the_same_in_its_files_as_on_the_terminal(project, capsys, options, told):
    bot = "asked = []\n\n\ndef reply(prompt):\n    asked.append(prompt)\n    if len(asked) > 20:\n"
    (project.path.parent / "bot.py").write_text(f"{bot}        raise KeyboardInterrupt\n    return 'yes'\n")
    text = project.path.read_text().replace("{recorded: answers.jsonl}", "{callable: 'bot.py:reply'}")
    project.path.write_text(text.replace("seed: 3", "seed: 3\nlimits: {concurrency: 1}"))
    assert project.gate(*FILES, *options) == 130
    assert f"evalsvc: {told}\n" in capsys.readouterr().err
    check_files(f"the command was interrupted: {told}")


def test_a_policy_that_ends_otherwise_than_the_headline_is_said(project, capsys):
    project.answer(lambda place: {"response": "nothing of it"} if place % 5 == 1 else {})
    assert project.gate("--inconclusive", "pass") == 0
    assert "made: INCONCLUSIVE ends with 0, as `--inconclusive pass` says" in capsys.readouterr().err
    assert project.gate("--inconclusive", "fail") == 1
    assert "made: INCONCLUSIVE ends with 1, as `--inconclusive fail` says" in capsys.readouterr().err


def test_what_the_system_refuses_is_an_error_and_no_bug(project, capsys, monkeypatch):
    project.answer()

    def refuse(*_: object, **__: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device", "scores.tmp")

    monkeypatch.setattr("evalsvc.gate.running.run_suite", refuse)
    assert project.gate(*FILES) == 2
    said = capsys.readouterr().err
    assert "without a verdict, since the system refused a file scores.tmp: No space left on device" in said
    assert "Traceback" not in said
    check_files("the system refused a file scores.tmp: No space left on device; see to that, and run it again")


def test_a_reader_that_went_away_is_no_error_of_the_gate(monkeypatch):
    def leave(_: object) -> None:
        raise BrokenPipeError

    monkeypatch.setattr("evalsvc._cli_gate._gate", leave)
    with pytest.raises(BrokenPipeError):
        gate(argparse.Namespace())


def test_an_error_s_gates_give_no_advice_and_its_sentence_is_said_twice(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    project = Project(tmp_path, "  - {metric: token_f1, at_least: 0.5}\n  - {metric: latency_ms, at_most: 200}\n")
    project.answer(lambda place: {"response": ""})
    assert project.gate("--junit", "junit.xml") == 2
    said = capsys.readouterr()
    assert (said.out + said.err).count("60 of 60 requests have no answer: empty answer (60)") == 2
    assert "note:" not in said.out
    skipped = [one.get("message") for one in parsed("junit.xml").iter("skipped")]
    assert skipped == ["not decided: the run is an error, which the test case `run` tells"] * 2
