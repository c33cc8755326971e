"""``evalsvc baseline promote``: what may become a baseline, and what only with a reason."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest

from evalsvc.cli import main
from evalsvc.gate.baselines import read_baseline, read_pointer
from evalsvc.gate.keeping import RunKeeper
from evalsvc.gate.record import read_content

SUITE = """cases: cases.jsonl
model: {recorded: good.jsonl}
%sscorers: [token_f1]
gates:
%s"""
COMPARES = "  - {metric: token_f1, not_worse_by: 0.1}\n"
AT_LEAST = "  - {metric: token_f1, at_least: 0.5}\n"
COUNT = 80


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A project with one suite, answers that are right, wrong, few, and none."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "pyproject.toml").write_text("[tool.evalsvc]\n")
    cases, good, bad = [], [], []
    for place in range(COUNT):
        reference = f"parcel {place} takes {place + 2} days to arrive in town {place}"
        cases.append({"case_id": f"c{place}", "prompt": f"question {place}", "reference": reference})
        said = reference if place % 4 else reference.replace("days", "weeks")
        good.append({"case_id": f"c{place}", "response": said})
        bad.append({"case_id": f"c{place}", "response": said if place % 9 == 0 else "I do not know"})
    few = [
        *good[:25],
        *({**row, "response": "", "status": "failed", "reason": "x", "attempts": 0} for row in good[25:30]),
    ]
    silent = [{**row, "response": "", "status": "failed", "reason": "HTTP 500"} for row in good]
    for name, rows in (("cases", cases), ("good", good), ("bad", bad), ("few", few), ("silent", silent)):
        (tmp_path / f"{name}.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    write(tmp_path, "baseline: main\n", COMPARES + AT_LEAST)
    return tmp_path


def write(project: Path, head: str, gates: str, name: str = "s") -> None:
    (project / f"{name}.suite.yaml").write_text(SUITE % (head, gates))


def promote(*words: str) -> int:
    return main(["baseline", "promote", "s.suite.yaml", "--because", "ticket 118", "--by", "Ada", *words])


def promoted(project: Path) -> int:
    """How many cases the baseline has."""
    return len(read_baseline(project, "main", "").evaluated.cases)


def test_the_files_to_commit_are_named_from_the_current_folder(project: Path, monkeypatch, capsys) -> None:
    inner = project / "suites" / "mine"
    inner.mkdir(parents=True)
    for path in (*project.glob("*.jsonl"), project / "s.suite.yaml"):
        path.rename(inner / path.name)
    for here, suite in ((project, inner / "s.suite.yaml"), (inner, Path("s.suite.yaml"))):
        monkeypatch.chdir(here)
        assert main(["baseline", "promote", str(suite), "--because", "ticket 118"]) == 0
        named = re.findall(r"\S+/main\S*", capsys.readouterr().out)
        assert [Path(one).name[-5:] for one in named] == [".yaml", "jsonl"]
        assert all(Path(one).is_file() and not Path(one).is_absolute() for one in named)
    monkeypatch.chdir(project)
    assert main(["baseline", "list", "suites"]) == 0
    assert "suites/mine" in capsys.readouterr().out


def test_a_first_baseline_needs_no_run(project: Path) -> None:
    assert promote() == 0
    assert promoted(project) == COUNT
    assert read_pointer(project / "baselines" / "main.yaml").decision == "PASS"


@pytest.mark.parametrize("words", [(), ("--answers", "bad.jsonl")], ids=["a run", "answers"])
def test_a_version_that_fails_without_a_baseline_needs_a_reason(project: Path, words: tuple[str, ...], capsys) -> None:
    write(project, "", AT_LEAST + COMPARES.replace("not_worse_by: 0.1", "at_most: 0.9") if words else AT_LEAST)
    if not words:
        assert main(["gate", "s.suite.yaml", "--answers", "bad.jsonl"]) == 1
    capsys.readouterr()
    assert promote("--name", "main", *words) == 2
    said = capsys.readouterr().err
    assert "is FAIL: 1 of " in said
    assert "token_f1 at least 0.5" in said
    assert "--despite" in said
    assert not (project / "baselines").exists()
    assert promote("--name", "main", *words, "--despite") == 0
    assert read_pointer(project / "baselines" / "main.yaml").decision == "FAIL"


def test_an_advisory_gate_that_fails_is_no_reason(project: Path) -> None:
    write(project, "", "  - {metric: token_f1, at_least: 0.999, advisory: true}\n" + AT_LEAST)
    assert promote("--name", "main") == 0


@pytest.mark.parametrize(
    ("gates", "said"),
    [
        (AT_LEAST, "is PASS: The gate passed."),
        (
            "  - {metric: token_f1, at_least: 0.95}\n",
            "is INCONCLUSIVE: No gate failed; 1 of 1 gates inconclusive: token_f1",
        ),
        (COMPARES, "no gate decided anything"),
    ],
)
def test_promote_says_what_the_gates_decided(project: Path, capsys, gates: str, said: str) -> None:
    write(project, "baseline: main\n", gates)
    assert promote("--name", "main") == 0
    first, second = capsys.readouterr().out.splitlines()
    assert first.startswith("main: ")
    assert said in second


def test_recorded_answers_are_held_against_the_baseline(project: Path, capsys) -> None:
    assert promote() == 0
    (project / "s.suite.yaml").write_text(SUITE % ("baseline: main\n", COMPARES))
    assert promote("--answers", "bad.jsonl") == 2
    assert "is FAIL: 1 of 1 gates failed: token_f1 not worse by 0.1" in capsys.readouterr().err
    assert promote("--answers", "good.jsonl") == 0


def test_another_suites_run_is_refused_whatever_is_said(project: Path, capsys) -> None:
    write(project, "", AT_LEAST, "other")
    assert main(["gate", "other.suite.yaml", "--format", "json"]) == 0
    verdict = json.loads(capsys.readouterr().out)
    assert promote("--run", verdict["verdict_id"], "--despite") == 2
    assert f"Expected a run of 's', but {verdict['verdict_id']} is of 'other'" in capsys.readouterr().err


@pytest.mark.parametrize("how", ["sample", "looks", "answers", "budget"])
def test_a_part_of_the_set_is_no_baseline(project: Path, how: str, capsys) -> None:
    (project / "model.py").write_text("def answer(case):\n    return case.reference\n")
    looks = "looks: 4\n" if how == "looks" else "budget: {requests: 12}\n" if how == "budget" else ""
    write(project, looks, AT_LEAST)
    path = project / "s.suite.yaml"
    if how != "answers":
        path.write_text(path.read_text().replace("{recorded: good.jsonl}", "{callable: 'model.py:answer'}"))
        main(["gate", "s.suite.yaml", *(["--sample", "25"] if how == "sample" else [])])
    capsys.readouterr()
    words = ["--answers", "few.jsonl"] if how == "answers" else []
    assert promote("--name", "main", "--despite", *words) == 2
    said = capsys.readouterr().err
    have = {"looks": "", "budget": "12 "}.get(how, "25 ")
    assert "Expected answers to all 80 cases of cases.jsonl, but " in said
    assert f"has {have}" in said
    assert not (project / "baselines").exists()
    if how == "answers":
        assert "few.jsonl" in said
        return
    assert "evalsvc baseline promote s.suite.yaml --whole --because TEXT" in said
    if how == "budget":
        assert promote("--name", "main", "--whole") == 2
        assert "`limits.deadline`, and run it again: what was answered is kept" in capsys.readouterr().err
        path.write_text(path.read_text().replace("requests: 12", "requests: 1200"))
    assert promote("--name", "main", "--whole") == 0
    assert promoted(project) == COUNT


def test_recorded_answers_that_lack_some_are_not_said_to_be_kept(project: Path, capsys) -> None:
    write(project, "", AT_LEAST)
    path = project / "s.suite.yaml"
    path.write_text(path.read_text().replace("good.jsonl", "few.jsonl"))
    assert promote("--name", "main", "--despite", "--whole") == 2
    said = capsys.readouterr().err
    assert "has 25 of them" in said
    assert said.endswith("run it again\n")


def test_a_model_that_did_not_answer_is_no_baseline(project: Path, capsys) -> None:
    write(project, "", "  - {metric: token_f1, at_least: 0.5, advisory: true}\n")
    assert promote("--name", "main", "--answers", "silent.jsonl", "--despite") == 2
    assert "80 of 80 requests have no answer" in capsys.readouterr().err


def test_a_run_that_promote_makes_is_kept_like_any_other(project: Path, capsys) -> None:
    assert promote() == 0
    pointer = read_pointer(project / "baselines" / "main.yaml")
    keeper = RunKeeper(project)
    verdict = keeper.find(pointer.verdict)
    assert keeper.again(verdict).same
    assert (keeper.folder(verdict) / "summary.md").read_text().startswith("## s: PASS")
    assert read_content(project / "baselines" / pointer.file) == keeper.record(verdict.candidate.digest)
    assert promote("--run", pointer.verdict, "--answers", "good.jsonl") == 2
    assert "either --run or --answers" in capsys.readouterr().err


def test_a_damaged_baseline_can_be_replaced_by_a_run(project: Path, capsys) -> None:
    assert promote() == 0
    pointer = read_pointer(project / "baselines" / "main.yaml")
    (project / "baselines" / pointer.file).unlink()
    capsys.readouterr()
    assert promote("--answers", "good.jsonl") == 0
    assert "only gates that need no baseline were looked at" in capsys.readouterr().err
    assert promoted(project) == COUNT
