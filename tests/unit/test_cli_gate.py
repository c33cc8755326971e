"""``evalsvc gate`` as it is called: what it ends with, and what it says to whoever has to act."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from evalsvc._yaml import Document
from evalsvc.cli import main
from evalsvc.disk_cache import DiskCache
from evalsvc.gate.reading import load_suite
from evalsvc.gate.running import run_suite
from evalsvc.generation.limits import RunBudget
from suites_made import CountingModel, Project, parsed, write_project

GATES = "  - {metric: token_f1, critical: true, at_least: 0.2}\n  - {metric: token_f1, at_least: 0.85}\n"


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


def test_gates_of_one_reason_are_named_in_one_line(tmp_path, capsys):
    project = Project(tmp_path / "larger", GATES, 180)
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


@pytest.mark.parametrize("number", ["0", "-3", "x", "1.5"])
def test_a_sample_has_at_least_one_case(project, capsys, number):
    project.answer()
    assert project.gate(f"--sample={number}") == 2
    assert f"argument --sample: expected a number above 0, but got {number!r}" in capsys.readouterr().err


@pytest.mark.parametrize("dollars", ["0", "-1", "nan", "inf"])
def test_a_budget_of_nothing_is_no_budget(project, capsys, dollars):
    project.answer()
    assert project.gate(f"--budget={dollars}") == 2
    assert "argument --budget: expected dollars above 0" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("options", "told"),
    [
        (["--again", "v", "--power"], "Expected --again without --power, since it runs no suite; drop one of them"),
        (["--again", "v", "--sample", "5", "--record"], "Expected --again without --sample, --record"),
        (["--again", "v", "--inconclusive", "pass"], "Expected --again without --inconclusive"),
        (["--again", "v", "--format", "json"], "Expected --again with --format table, but got json"),
        (["--power", "--junit", "x.xml", "--no-cache"], "Expected --power without --no-cache, --junit"),
        (["--power", "--format", "markdown"], "Expected --power with --format table or json, but got markdown"),
    ],
)
def test_options_that_another_leaves_nothing_to_do_are_refused(project, capsys, options, told):
    project.answer()
    assert project.gate(*options) == 2
    assert told in capsys.readouterr().err


CALLS = """
from pathlib import Path
def reply(prompt):
    number = int(prompt.split()[-1])
    if number == 50 and not Path("go").exists():
        raise KeyboardInterrupt
    return "parcel"
"""


@pytest.mark.parametrize("cached", [True, False])
def test_an_interrupted_run_says_what_is_kept_and_how_to_go_on(project, capsys, cached):
    (project.path.parent / "bot.py").write_text(CALLS)
    text = project.path.read_text().replace("model: {recorded: answers.jsonl}", "model: {callable: 'bot.py:reply'}")
    project.path.write_text(text.replace("seed: 3", "seed: 3\nlimits: {concurrency: 1}"))
    options = [] if cached else ["--no-cache"]
    assert project.gate(*options) == 130
    kept = "they are kept: the same command goes on from there" if cached else "nothing is kept"
    assert re.search(rf"evalsvc: stopped after \d+ of 60 answers; {kept}\n", capsys.readouterr().err)
    Path("go").touch()
    assert project.gate() == 1


def test_several_suites_end_in_one_line_and_name_their_reports(project, capsys):
    project.answer()
    other = project.path.with_name("other.suite.yaml")
    other.write_text(project.path.read_text().replace("at_least: 0.85", "at_least: 0.999"))
    assert main(["gate", str(project.path.parent)]) == 3
    said = capsys.readouterr().out.splitlines()
    assert said[-1] == "2 suites: made PASS, other INCONCLUSIVE"
    reports = [line.split()[1] for line in said if line.startswith("report  ")]
    assert [Path(report).parts[:3] for report in reports] == [
        (".evalsvc", "runs", "made"),
        (".evalsvc", "runs", "other"),
    ]
    assert all(Path(report).is_file() for report in reports)
    project.gate()
    report, verdict = capsys.readouterr().out.splitlines()[-2:]
    assert report.startswith("report  .evalsvc/runs/made/")
    assert verdict.startswith("verdict ")


def test_a_suite_is_read_once(project, monkeypatch):
    opened, original = [], Document.open
    monkeypatch.setattr(Document, "open", lambda *given: opened.append(given[0]) or original(*given))
    project.answer()
    assert project.gate() == 0
    assert [Path(path) for path in opened] == [project.path]


@pytest.mark.parametrize(
    ("count", "html", "pages"),
    [
        (1, "report.html", ["report.html"]),
        (2, "report.html", ["report-made.html", "report-other.html"]),
        (1, "pages", ["pages/made.html"]),
        (2, "pages", ["pages/made.html", "pages/other.html"]),
    ],
)
def test_every_file_that_is_written_is_told_by_its_name(project, capsys, count, html, pages):
    project.answer()
    if count == 2:
        project.path.with_name("other.suite.yaml").write_text(project.path.read_text())
    Path("pages").mkdir()
    paths = [html, "--markdown", "summary.md", "--junit", str(Path("junit.xml").resolve())]
    assert main(["gate", str(project.path.parent), "--html", *paths]) == 0
    told = [line for line in capsys.readouterr().err.splitlines() if "wrote" in line]
    assert told == [f"evalsvc: wrote {name}" for name in (*pages, "summary.md", "junit.xml")]
    assert all(Path(line.removeprefix("evalsvc: wrote ")).is_file() for line in told)


def test_what_is_in_no_group_is_told_in_cases(project, capsys):
    project.answer(lambda place: {"response": "nothing of it"} if place % 5 == 1 else {})
    project.gate("--junit", "junit.xml")
    assert "60 cases in 30 groups" in Path("junit.xml").read_text()
    project.gate("--power")
    assert "groups" in capsys.readouterr().out
    cases = project.path.parent / "cases.jsonl"
    cases.write_text(re.sub(r'"group": "[^"]*", ', "", cases.read_text()))
    project.gate("--junit", "junit.xml", "--markdown", "summary.md")
    project.gate("--power")
    said = capsys.readouterr().out
    assert "60 cases\n" in Path("junit.xml").read_text()
    assert "group" not in said + Path("junit.xml").read_text() + Path("summary.md").read_text()


def test_power_counts_critical_cases_and_names_what_it_takes_to_be_so(project, capsys):
    assert project.gate("--power") == 0
    assert "nothing is known of the spread before a first run or a baseline" in capsys.readouterr().out
    project.answer()
    project.gate()
    capsys.readouterr()
    assert project.gate("--power") == 0
    said = capsys.readouterr().out
    (row,) = (line for line in said.splitlines() if "critical case" in line)
    assert re.search(r"\s6\s+6\s+every one of 6 critical cases", row)
    assert re.search(r"the spread is that of answers \w+, run on .* UTC on 60 cases: PASS \(", said)
    assert "compared with nothing" in said
    assert "`evalsvc audit-set`, which knows no scores, assumes yes or no ones instead" in said


def test_power_says_first_what_cannot_pass_then_what_hardly_ever_does(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    asked = (
        "{metric: token_f1, at_least: 0.5}",
        "{metric: token_f1, at_least: 0.85}",
        "{metric: token_f1, at_least: 0.95}",
    )
    project = Project(tmp_path, "".join(f"  - {gate}\n" for gate in asked))
    project.answer(lambda place: {"response": "nothing of it"} if place % 3 == 1 else {})
    project.gate()
    capsys.readouterr()
    assert project.gate("--power") == 0
    lines = capsys.readouterr().out.splitlines()
    assert "cannot pass with these cases: token_f1 at least 0.95" in lines
    assert "hardly ever pass with these cases: token_f1 at least 0.85" in lines
    rows = [line.split("  ")[0] for line in lines if line.startswith("token_f1")]
    assert rows == ["token_f1 at least 0.95", "token_f1 at least 0.85", "token_f1 at least 0.5"]


PAID = """
def reply(prompt):
    with open("asked.txt", "a") as file:
        file.write("x")
    return {"response": "parcel", "cost_usd": 0.01}
"""


@pytest.mark.parametrize("cached", [True, False])
@pytest.mark.parametrize(
    ("limit", "options", "ended", "raised"),
    [
        (
            "",
            ["--budget", "0.2"],
            "the budget of $0.2 ended the run, with $0.2 spent",
            "`budget.usd` of the suite or `--budget` (pytest: `--evalsvc-budget`)",
        ),
        (
            "budget: {requests: 20}\n",
            [],
            "the budget of 20 requests ended the run, with 20 made",
            "`budget.requests` of the suite",
        ),
    ],
)
def test_a_budget_that_ends_a_run_is_told_with_what_is_left(project, capsys, limit, options, ended, raised, cached):
    (project.path.parent / "bot.py").write_text(PAID)
    text = project.path.read_text().replace("model: {recorded: answers.jsonl}", "model: {callable: 'bot.py:reply'}")
    project.path.write_text(text.replace("seed: 3", f"seed: 3\nlimits: {{concurrency: 1}}\n{limit}"))
    options = [*options, *([] if cached else ["--no-cache"])]
    assert project.gate(*options) == 2
    anew = "it begins anew, since no answer of it is kept"
    again = "what was answered is kept, and not paid for twice" if cached else anew
    told = f"{ended}: 40 of 60 cases are left; raise {raised}, and run it again: {again}"
    said = capsys.readouterr()
    (line,) = (line for line in said.err.splitlines() if "no verdict" in line)
    verdict = "that is no verdict about the version"
    assert line == f"evalsvc: made: 40 of 60 requests have no answer; {verdict}: {told}"
    assert f"note: {told}" in said.out
    # A gate's reason does not say otherwise.
    assert ("answered is kept" in said.out) == cached
    # The same once more has a budget of its own, and asks what is left.
    assert project.gate(*options) == (1 if cached else 2)
    assert len(Path("asked.txt").read_text()) == 40
    assert ("20 of 60 cases are left" in capsys.readouterr().out) == cached


def test_a_deadline_that_ends_a_run_is_told_like_a_budget(project, capsys):
    slow = PAID.replace("    return", "    time.sleep(0.2)\n    return")
    (project.path.parent / "bot.py").write_text(f"import time\n{slow}")
    text = project.path.read_text().replace("model: {recorded: answers.jsonl}", "model: {callable: 'bot.py:reply'}")
    project.path.write_text(text.replace("seed: 3", "seed: 3\nlimits: {concurrency: 1, deadline: 1s}"))
    assert project.gate() == 2
    said = capsys.readouterr().err
    told = r"the deadline ended the run, with \$0\.0\d spent: 5\d of 60 cases are left; raise `limits.deadline`"
    assert re.search(told, said)
    assert "see that the model answers" not in said


@pytest.mark.parametrize(
    ("limit", "ended"),
    [
        ("budget: {requests: 20}\n", r"the budget of 20 requests ended the run, with 20 made: 40 of 60 cases are left"),
        ("", r"the deadline ended the run, cost unknown: 5\d of 60 cases are left"),
    ],
)
def test_a_model_that_never_answers_is_not_asked_for_a_higher_limit(project, capsys, limit, ended):
    sleep = "" if limit else "    time.sleep(0.2)\n"
    (project.path.parent / "bot.py").write_text(f"import time\ndef reply(prompt):\n{sleep}    raise RuntimeError\n")
    text = project.path.read_text().replace("model: {recorded: answers.jsonl}", "model: {callable: 'bot.py:reply'}")
    limits = "limits: {concurrency: 1}" if limit else "limits: {concurrency: 1, deadline: 1s}"
    project.path.write_text(text.replace("seed: 3", f"seed: 3\n{limits}\n{limit}"))
    assert project.gate() == 2
    said = capsys.readouterr()
    reason = (
        r"60 of 60 requests have no answer: RuntimeError at bot.py:\d \(\d+\); that is no verdict about the version: "
    )
    assert re.search(rf"{reason}see that the model answers, and run it again; {ended}$", said.err, re.MULTILINE)
    assert re.search(rf"^note: {ended}$", said.out, re.MULTILINE)
    assert "raise `" not in said.err + said.out


def test_a_request_that_alone_passes_the_budget_is_told(tmp_path):
    model = CountingModel(0.2, "2")
    path = write_project(tmp_path, 40, gates=GATES)
    path.write_text(path.read_text().replace("baseline: main\n", ""))
    with DiskCache.open(None) as cache:
        run = run_suite(load_suite(path), cache, generator=model, budget=RunBudget(usd=0.0001))
    assert run.ended.startswith(
        "the budget of $0.0001 ended the run since one request may cost more than the budget of $0.0001, with $0 "
        "spent: 40 of 40 cases are left"
    )
    assert not model.asked
