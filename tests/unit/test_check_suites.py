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


def called(folder: Path, target: str, source: str) -> None:
    mine = folder / "suites" / "mine"
    (mine / "bot.py").write_text(source)
    (mine / "mine.suite.yaml").write_text(SUITE.replace("recorded: answers.jsonl", f"callable: {target}"))


@pytest.mark.parametrize("command", ["check", "gate"])
@pytest.mark.parametrize(
    ("target", "source", "told"),
    [
        ("bot.py:reply", "x = 1\ndef reply(prompt:\n", "suites/mine/bot.py:2:10: is not Python: '(' was never closed"),
        (
            "bot.py:rply",
            "exit()\ndef reply(prompt): ...\n",
            "mine.suite.yaml:2:19: bot.py has no `rply` (did you mean `reply`, line 2?)",
        ),
        ("bt.py:reply", "", "mine.suite.yaml:2:19: no file bt.py (did you mean `bot.py`?)"),
        ("bot.py:reply", "\ndef reply(): ...\n", "suites/mine/bot.py:2:1: expected `reply` to take the case or the pr"),
        ("no_such_module_here:reply", "", "mine.suite.yaml:2:19: there is no module 'no_such_module_here' here"),
    ],
)
def test_a_callable_is_read_and_not_run(
    folder: Path, command: str, target: str, source: str, told: str, capsys
) -> None:
    called(folder, target, source)
    assert main([command, "suites"]) == {"check": 1, "gate": 2}[command]
    said = capsys.readouterr()
    assert told in said.out + said.err


@pytest.mark.parametrize(
    ("program", "told"),
    [
        ("./bot.shh", "there is no file './bot.shh' (did you mean `bot.sh`?)"),
        ("./bot.sh", "'./bot.sh' cannot be run (`chmod +x` allows it; or begin with what runs it: [python, ./bot.sh])"),
        ("bot.sh", "there is no program 'bot.sh' on the PATH (the file beside the suite is `./bot.sh`)"),
        ("../mine", "'../mine' is a folder (name the program in it)"),
        ("sortt", "there is no program 'sortt' on the PATH (did you mean `sort`?)"),
    ],
)
def test_a_program_that_cannot_be_started_is_told_with_its_place(folder: Path, program: str, told: str, capsys) -> None:
    suite = folder / "suites" / "mine" / "mine.suite.yaml"
    (suite.parent / "bot.sh").write_text("#!/bin/sh\ncat\n")
    suite.write_text(SUITE.replace("{recorded: answers.jsonl}", f"{{command: [{program}]}}"))
    for command in ("check", "gate"):
        assert main([command, "suites/mine"]) == (1 if command == "check" else 2)
        said = capsys.readouterr()
        assert f"suites/mine/mine.suite.yaml:2:18: {told}\n" in said.out + said.err
    # Of this machine's programs nothing is asked where only files are looked at.
    assert main(["check", "--files-only", "suites/mine"]) == (1 if "/" in program else 0)
    (suite.parent / "bot.sh").chmod(0o755)
    suite.write_text(SUITE.replace("{recorded: answers.jsonl}", "{command: [./bot.sh]}"))
    assert main(["check", "suites/mine"]) == 0


def test_mistakes_that_lie_in_what_a_suite_names_are_counted_with_its_file(folder: Path, capsys) -> None:
    (folder / "suites" / "mine" / "cases.jsonl").write_text('{"case_id": "a"}\n')
    suite = folder / "suites" / "mine" / "mine.suite.yaml"
    suite.write_text(SUITE.replace("scorers", "scorer"))
    assert main(["check", str(suite)]) == 1
    said = capsys.readouterr()
    assert {line.split(":")[0].rpartition("/")[2] for line in said.out.splitlines()} == {"cases.jsonl", suite.name}
    assert "problems in 2 files\n" in said.err


def test_a_callable_that_nobody_asks_may_be_elsewhere(folder: Path, capsys) -> None:
    called(folder, "no_such_module_here:reply", "")
    assert main(["gate", "suites", "--answers", "suites/mine/answers.jsonl"]) in (0, 3)
    assert main(["gate", "suites", "--power"]) == 0
    assert main(["check", "--files-only", "suites"]) == 0
    capsys.readouterr()


@pytest.mark.parametrize("command", ["check", "gate"])
def test_mistakes_of_all_kinds_are_told_in_one_round(folder: Path, command: str, capsys) -> None:
    mine = folder / "suites" / "mine"
    (mine / "cases.jsonl").write_text('{"case_id": "a", "prompt": "Hi", "reference": "Ho", "tgs": ["x"]}\n')
    (mine / "bot.py").write_text("def reply(prompt:\n")
    (mine / "mine.suite.yaml").write_text(
        "cases: cases.jsonl\nmodel: {callable: bot.py:reply}\nbaseline: main\nsed: 7\nscorers: [exact_match, blue]\n"
        "gates:\n  - {metric: exact_match, at_lest: 0.5}\n  - {metric: exact_match, not_worse_by: 0.1}\n"
    )
    assert main([command, "suites"]) == {"check": 1, "gate": 2}[command]
    said = capsys.readouterr()
    for told in (
        "cases.jsonl:1:1: unknown field `tgs`",
        "bot.py:1:10: is not Python",
        "mine.suite.yaml:3:11: Expected a baseline 'main'",
        "mine.suite.yaml:4:1: unknown key `sed`",
        "mine.suite.yaml:5:24: unknown scorer `blue`",
        "mine.suite.yaml:7:27: unknown key `at_lest`",
    ):
        assert told in said.out + said.err


def test_gates_are_held_against_the_cases_beside_other_mistakes(folder: Path, capsys) -> None:
    mine = folder / "suites" / "mine"
    (mine / "mine.suite.yaml").write_text(
        SUITE.replace("gates:\n", "gates:\n  - {metric: exact_match, at_lest: 0.5, by: [segments.x]}\n")
        + "  - {metric: exact_match, at_least: 0.4, by: [segments.plan]}\n"
        + "  - {metric: exact_match, at_least: 0.4, by: [plan], where: {group: [x]}}\n"
    )
    assert main(["check", "suites"]) == 1
    out = capsys.readouterr().out
    assert "mine.suite.yaml:5:27: unknown key `at_lest`" in out
    assert "mine.suite.yaml:7:46: no case has `segments.plan`" in out
    # Of a gate with a mistake nothing more is said: what was meant is not known.
    assert ":8:" in out
    assert "no case has `group`" not in out


def test_recorded_answers_are_read(folder: Path, capsys) -> None:
    (folder / "suites" / "mine" / "answers.jsonl").write_text("{oops\n")
    assert main(["check", "suites"]) == 1
    assert "answers.jsonl:1:2: JSON is malformed" in capsys.readouterr().out


@pytest.mark.parametrize("command", ["check", "gate", "baseline promote --whole --despite --because x"])
@pytest.mark.parametrize(
    "broken", ["cases.jsonl", "answers.jsonl", "bot.py", "baselines/main.yaml", "record", "gone", ""]
)
def test_every_path_is_from_the_current_folder(folder: Path, command: str, broken: str, capsys) -> None:
    suite = folder / "suites" / "mine" / "mine.suite.yaml"
    text = f"{SUITE}  - {{metric: exact_match, not_worse_by: 0.5}}\nbaseline: main\n"
    suite.write_text(text)
    assert main(["baseline", "promote", str(suite), "--despite", "--because", "the first"]) == 0
    (record,) = (suite.parent / "baselines").glob("main-*.jsonl")
    if broken == "gone":
        record.unlink()
    elif broken:
        (record if broken == "record" else suite.parent / broken).write_text("{")
    if broken == "bot.py":
        suite.write_text(text.replace("{recorded: answers.jsonl}", "{callable: 'bot.py:reply'}"))
    main([*command.split(), str(suite)])
    said = capsys.readouterr()
    assert "mine" in said.out + said.err
    assert str(folder) not in said.out + said.err


COMPARED = SUITE.replace("scorers: [", "baseline: main\nscorers: [").replace("at_least: 0.5", "not_worse_by: 0.5")


def promoted(folder: Path, capsys) -> Path:
    """Make the answers of the suite its baseline, and return the folder of its files."""
    mine = folder / "suites" / "mine"
    (mine / "mine.suite.yaml").write_text(COMPARED)
    assert main(["baseline", "promote", "suites/mine/mine.suite.yaml", "--because", "tests", "--no-store"]) == 0
    capsys.readouterr()
    return mine / "baselines"


def test_a_baseline_that_lacks_a_metric_is_told_with_what_mends_it(folder: Path, capsys) -> None:
    promoted(folder, capsys)
    assert main(["check", "suites"]) == 0
    suite = folder / "suites" / "mine" / "mine.suite.yaml"
    suite.write_text(
        COMPARED.replace("[exact_match]", "[exact_match, chrf]").replace("{metric: exact_match", "{metric: chrf")
    )
    capsys.readouterr()
    assert main(["check", "suites"]) == 1
    said = capsys.readouterr().out
    assert "suites/mine/mine.suite.yaml:3:11: Expected the baseline 'main' to be scored as this suite scores" in said
    assert "it has no chrf. Its answers are kept" in said
    assert "evalsvc baseline rescore suites/mine/mine.suite.yaml --name main" in said


@pytest.mark.parametrize("named", [False, True])
@pytest.mark.parametrize("left", ["file", "pointer", "nothing"])
def test_a_baseline_that_only_a_store_may_have_is_no_mistake(
    folder: Path, monkeypatch: pytest.MonkeyPatch, capsys, left: str, named: bool
) -> None:
    (folder / "pyproject.toml").write_text(TABLE)
    files = promoted(folder, capsys)
    for path in files.iterdir():
        if left == "nothing" or (path.suffix == ".yaml") == (left == "file"):
            path.unlink()
    if named:
        # Nobody is there: a check asks no store.
        monkeypatch.setenv("EVALSVC_STORE", "clickhouse://localhost:1/evalsvc")
    # A pointer says what a store is to have; without one, only that there is a store tells it from a mistake.
    right = named or left == "pointer"
    assert main(["check", "suites"]) == (0 if right else 1)
    said = capsys.readouterr()
    where = "only its pointer is" if left == "pointer" else "it is not"
    told = f"the baseline 'main' was not looked at, since {where} in suites/mine/baselines and a check asks no store"
    assert (told in said.err, "Expected a baseline 'main'" in said.out) == (right, not right)
    assert "evalsvc baseline fetch suites/mine/mine.suite.yaml --name main" in said.out + said.err
    assert "evalsvc baseline promote suites/mine/mine.suite.yaml --name main" in said.out + said.err
