"""What ``evalsvc check`` takes for a suite or a rubric: their names say it, with and without a project around them."""

from __future__ import annotations

from pathlib import Path

import pytest

from evalsvc.cli import main

SUITE = """cases: cases.jsonl
model: {recorded: answers.jsonl}
scorers: [exact_match]
gates:
  - {metric: exact_match, at_least: 0.5}
"""
RUBRIC = """rubric: What to use
date: 2026-01-31
categories:
  quality: {weight: 1, criteria: [clear]}
models:
  a: {scores: {clear: {by: Ann, score: 4, at: 2026-01-30, evidence: read it}}}
  b: {scores: {clear: {by: Ann, score: 3, at: 2026-01-30, evidence: read it}}}
"""
TABLE = "[tool.evalsvc]\n"


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder that is no project, with a suite and a rubric below it."""
    monkeypatch.chdir(tmp_path)
    mine = tmp_path / "suites" / "mine"
    mine.mkdir(parents=True)
    (mine / "cases.jsonl").write_text('{"case_id": "a", "prompt": "Hi", "reference": "Ho"}\n')
    (mine / "answers.jsonl").write_text('{"case_id": "a", "response": "Ho"}\n')
    (mine / "mine.suite.yaml").write_text(SUITE)
    (mine / "mine.rubric.yaml").write_text(RUBRIC)
    return tmp_path


@pytest.mark.parametrize("table", ["", "[project]\nname = 'x'\n", TABLE])
@pytest.mark.parametrize("asked", [[], ["."], ["suites"], ["suites/mine"], ["suites/mine/mine.suite.yaml", "suites"]])
def test_suites_and_rubrics_are_known_by_their_names(folder: Path, table: str, asked: list[str], capsys) -> None:
    if table:
        (folder / "pyproject.toml").write_text(table)
    assert main(["check", *asked]) == 0
    out = capsys.readouterr().out
    assert "1 suite, 1 rubric" in out
    named = bool(table) and asked in ([], ["."])
    assert out.startswith("3 files" if named else "2 files")


def test_a_folder_of_another_name_without_a_project(folder: Path, capsys) -> None:
    (folder / "suites").rename(folder / "gates")
    for asked in (["gates"], ["gates/mine"], ["."]):
        assert main(["check", *asked]) == 0
        assert "1 suite, 1 rubric" in capsys.readouterr().out
    # Without a path only what lies here itself is looked at: this may be anybody's home.
    assert main(["check"]) == 1
    assert "found no file to check" in capsys.readouterr().err


@pytest.mark.parametrize("asked", [[], ["."], ["mine.suite.yaml", "mine.rubric.yaml"]])
def test_beside_the_suite_itself(folder: Path, monkeypatch: pytest.MonkeyPatch, asked: list[str], capsys) -> None:
    monkeypatch.chdir(folder / "suites" / "mine")
    assert main(["check", *asked]) == 0
    assert "2 files checked, no problem: 1 suite, 1 rubric" in capsys.readouterr().out


def test_mistakes_have_their_places(folder: Path, capsys) -> None:
    mine = folder / "suites" / "mine"
    (mine / "mine.suite.yaml").write_text(SUITE.replace("at_least", "at_lest"))
    (mine / "mine.rubric.yaml").write_text(RUBRIC.replace("weight: 1", "wait: 1"))
    assert main(["check", "suites"]) == 1
    said = capsys.readouterr()
    assert "suites/mine/mine.suite.yaml:5:27: unknown key `at_lest`" in said.out
    assert "suites/mine/mine.rubric.yaml:4:13: unknown key `wait`" in said.out
    assert "consumer" not in said.out


def test_what_else_lies_there_is_still_read(folder: Path, capsys) -> None:
    (folder / "alerts").mkdir()
    (folder / "consumers").mkdir()
    (folder / "consumers" / "x.yaml").write_text("consumr: x\n")
    (folder / "x.rules.yaml").write_text("groups: []\n")
    assert main(["check", "."]) == 1
    assert "consumers/x.yaml:1:1: unknown key `consumr`" in capsys.readouterr().out
    for asked in (["x.rules.yaml"], ["consumers/x.yaml"], ["consumers"]):
        assert main(["check", *asked]) == 1
        assert asked[0] in capsys.readouterr().out
