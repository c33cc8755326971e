"""``evalsvc gate`` as it is called: what it ends with, and what it says to whoever has to act."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from pathlib import Path
from xml.etree import ElementTree

import pytest

from evalsvc.cli import main
from suites_made import write_project

GATES = "  - {metric: token_f1, critical: true, at_least: 0.2}\n  - {metric: token_f1, at_least: 0.85}\n"


class Project:
    """A project with a suite and recorded answers, of which some are replaced."""

    def __init__(self, folder: Path, gates: str) -> None:
        self.path = write_project(folder, 60, gates=gates)
        self.cases = [json.loads(line) for line in (self.path.parent / "cases.jsonl").read_text().splitlines()]

    def answer(self, by: Callable[[int], dict[str, object] | None] = lambda place: {}) -> None:
        lines = []
        for place, case in enumerate(self.cases):
            if (fields := by(place)) is not None:
                lines.append({"case_id": case["case_id"], "response": case["reference"], "latency_ms": 10} | fields)
        (self.path.parent / "answers.jsonl").write_text("".join(f"{json.dumps(line)}\n" for line in lines))

    def gate(self, *options: str) -> int:
        return main(["gate", str(self.path), *options])


def parsed(path: str) -> ElementTree.Element:
    return ElementTree.parse(path).getroot()  # noqa: S314 - our own


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Project:
    monkeypatch.chdir(tmp_path)
    return Project(tmp_path, GATES)


@pytest.mark.parametrize("silence", ["", " \n\t "])
def test_a_critical_case_answered_with_nothing_fails(project, capsys, silence):
    project.answer(lambda place: {"response": silence} if place == 10 else {})
    assert project.gate() == 1
    assert project.gate("--inconclusive", "pass") == 1
    said = capsys.readouterr().out
    assert "1 of 6 critical cases fell short, 1 by an answer that says nothing or has no end (c10)" in said
    assert "1 request has no answer: empty answer (1)" in said


@pytest.mark.parametrize(("policy", "code"), [("code", 3), ("pass", 3), ("fail", 1)])
def test_a_critical_case_without_an_answer_is_open_whatever_the_policy(project, capsys, policy, code):
    project.answer(lambda place: None if place == 10 else {})
    assert project.gate("--inconclusive", policy, "--junit", "junit.xml") == code
    told = "`--inconclusive pass` is for too few cases, not for what is missing: token_f1 reaches 0.2"
    assert (told in capsys.readouterr().err) == (policy == "pass")
    suite = parsed("junit.xml").find("testsuite")
    assert (suite.get("failures"), suite.get("skipped")) == ("1", "0")


def test_too_few_cases_pass_where_the_policy_says_so(project, capsys):
    project.answer(lambda place: {"response": "nothing of it"} if place % 5 == 1 else {})
    assert project.gate() == 3
    assert project.gate("--inconclusive", "pass", "--junit", "junit.xml") == 0
    assert parsed("junit.xml").find("testsuite").get("skipped") == "1"


def test_what_one_has_to_act_on_is_noted_first(project, capsys):
    project.answer(lambda place: {"response": ""} if place % 4 == 1 else {})
    project.gate("--sample", "40")
    notes = [line for line in capsys.readouterr().out.splitlines() if line.startswith("note: ")]
    assert "requests have no answer: empty answer" in notes[0]
    assert notes[-1].startswith("note: a random part of")


def test_gates_of_one_reason_are_named_in_one_line(project, capsys):
    project.path.write_text(
        project.path.read_text().replace("seed: 3", "seed: 3\nlooks: 3").split("gates:")[0]
        + "gates:\n"
        + "".join(f"  - {{metric: latency_ms, at_most: {value}}}\n" for value in (11, 12, 13, 14))
        + GATES
    )
    project.answer(lambda place: {"response": "nothing of it"} if place == 10 else {"latency_ms": 10 + place % 7})
    assert project.gate() == 1
    said = capsys.readouterr().out.splitlines()
    whys = [line for line in said if "not decided" in line]
    assert len(whys) == 1
    assert "; and " in whys[0]
    assert whys[0].endswith("more: not decided: the run stopped when the verdict was clear")
    assert not any("more cases" in line for line in said)
    first = next(line for line in said if re.match("(FAIL|INCONCLUSIVE)  .*: ", line))
    assert first.startswith("FAIL")


def test_more_than_half_of_the_answers_empty_are_no_verdict(project, capsys):
    project.answer(lambda place: {"response": " "} if place < 31 else {})
    assert project.gate("--inconclusive", "pass") == 2
    assert "31 of 60 requests have no answer" in capsys.readouterr().err
