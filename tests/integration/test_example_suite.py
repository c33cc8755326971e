"""The example suite, by the command line: PASS, FAIL and INCONCLUSIVE, and exit codes that a CI can rely on."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import msgspec
import pytest

from evalsvc.verdicts import Verdict

ROOT = Path(__file__).parents[2]
EXAMPLE = ROOT / "suites" / "support"
pytestmark = pytest.mark.skipif(
    not EXAMPLE.is_dir(), reason="it lies in the checkout, and the installed wheel is tested"
)


@pytest.fixture
def project(tmp_path: Path) -> Path:
    (tmp_path / "pyproject.toml").write_text("[tool.evalsvc]\n")
    shutil.copytree(EXAMPLE, tmp_path / "suites" / "support")
    return tmp_path


def evalsvc(folder: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    path = os.pathsep.join([str(ROOT), os.environ.get("PYTHONPATH", "")])
    return subprocess.run(
        [sys.executable, "-m", "evalsvc", *arguments],
        cwd=folder,
        env={**os.environ, "PYTHONPATH": path},
        capture_output=True,
        text=True,
        timeout=240,
    )


def test_the_three_answers(project: Path) -> None:
    equal = evalsvc(project, "gate")
    # A slow machine is told how far it is.
    assert (equal.returncode, "evalsvc:" in equal.stderr) == (0, False)
    assert "support: PASS" in equal.stdout
    assert "All 9 gates passed." in equal.stdout
    worse = evalsvc(project, "gate", "suites/support", "--answers", "suites/support/answers/version-3.jsonl")
    assert worse.returncode == 1
    assert "support: FAIL" in worse.stdout
    assert "on every critical case (lower is better): 1 of 30 critical cases fell short (es-" in worse.stdout
    few = evalsvc(project, "gate", "suites/support", "--sample", "40")
    assert few.returncode == 3
    assert "more cases like these" in few.stdout
    assert "note: a random part of 40 of the 480 cases was asked" in few.stdout
    # Critical cases that a sample did not draw are no matter of too few cases.
    for way, code in (("fail", 1), ("pass", 3)):
        assert evalsvc(project, "gate", "--sample", "40", "--inconclusive", way).returncode == code


def test_reports_and_the_same_verdict_again(project: Path) -> None:
    files = ["--markdown", "s.md", "--junit", "j.xml", "--html", "r.html", "--format", "json"]
    done = evalsvc(project, "gate", "--answers", "suites/support/answers/version-3.jsonl", *files)
    verdict = msgspec.json.decode(done.stdout, type=Verdict)
    assert (verdict.decision, verdict.exit_code, done.returncode) == ("FAIL", 1, 1)
    assert (project / "s.md").read_text().startswith("## support: FAIL")
    assert "<testsuites" in (project / "j.xml").read_text()
    assert (project / "r.html").read_text().startswith("<!doctype html>")
    kept = project / ".evalsvc" / "runs" / "support" / verdict.verdict_id
    assert sorted(path.name for path in kept.iterdir()) == ["report.html", "summary.md", "verdict.json"]
    again = evalsvc(project, "gate", "--again", verdict.verdict_id)
    assert again.returncode == 1
    assert "the same decisions, numbers and reasons of every gate, metric and segment" in again.stdout


def test_an_error_of_any_kind_is_2_and_says_what_to_do(project: Path) -> None:
    suite = project / "suites" / "support" / "support.suite.yaml"
    text = suite.read_text()
    suite.write_text(text.replace("baseline: production", "baseline: other").replace("seed: 7", "sed: 7"))
    done = evalsvc(project, "gate")
    assert (done.returncode, done.stdout) == (2, "")
    assert "support.suite.yaml:6:1: unknown key `sed` (did you mean `seed`?)" in done.stderr
    suite.write_text(text.replace("baseline: production", "baseline: other"))
    done = evalsvc(project, "gate")
    assert done.returncode == 2
    assert "there are: production; make one of a run of this suite: evalsvc baseline promote" in done.stderr
    assert evalsvc(project, "gate", "nowhere").returncode == 2
    assert evalsvc(project, "gate", "--again", "nothing").returncode == 2
    assert evalsvc(project, "check").returncode == 1


def test_power_before_anything_is_asked(project: Path) -> None:
    done = evalsvc(project, "gate", "--power", "--format", "json")
    assert done.returncode == 0
    first = json.loads(done.stdout.splitlines()[0])
    assert (first["gate"], first["n"], first["groups"]) == ("rouge_l not worse by 0.03", 480, 240)
    assert first["chance"] > 0.8
    assert not (project / ".evalsvc" / "runs").exists()
    evalsvc(project, "gate")
    assert "the spread is that of version-2 " in evalsvc(project, "gate", "--power").stdout


def test_promoting_a_run_and_scoring_it_again(project: Path) -> None:
    suite = "suites/support/support.suite.yaml"
    assert evalsvc(project, "gate", "--answers", "suites/support/answers/version-3.jsonl").returncode == 1
    refused = evalsvc(project, "baseline", "promote", suite, "--because", "why not")
    assert refused.returncode == 2
    assert "is FAIL: 5 of 9 gates failed" in refused.stderr
    assert "To promote it nevertheless, add --despite" in refused.stderr
    done = evalsvc(project, "baseline", "promote", suite, "--because", "ticket 118", "--despite", "--by", "Ada")
    assert done.returncode == 0, done.stderr
    assert "ticket 118" in evalsvc(project, "baseline").stdout
    # The same version is as good as itself, and what must never fail still does.
    same = evalsvc(project, "gate", "--answers", "suites/support/answers/version-3.jsonl")
    assert (same.returncode, "1 of 9 gates failed: refusal reaches 0" in same.stdout) == (1, True)
    path = project / suite
    path.write_text(
        path.read_text()
        .replace("scorers: [rouge_l,", "scorers: [bleu, rouge_l,")
        .replace("  - {metric: rouge_l, not_worse_by: 0.03}", "  - {metric: bleu, not_worse_by: 5}")
    )
    refused = evalsvc(project, "gate")
    assert refused.returncode == 2
    command = refused.stderr.rpartition("evalsvc baseline rescore")[2].split()
    assert evalsvc(project, "baseline", "rescore", *command).returncode == 0
    assert evalsvc(project, "gate").returncode in (0, 1, 3)


def test_the_example_is_what_its_maker_writes(tmp_path: Path) -> None:
    subprocess.run([sys.executable, "-m", "evalsvc.demo.suite", str(tmp_path)], cwd=ROOT, check=True, timeout=120)
    for name in ("cases.jsonl", "answers/version-1.jsonl", "answers/version-2.jsonl", "answers/version-3.jsonl"):
        assert (tmp_path / name).read_bytes() == (EXAMPLE / name).read_bytes(), name
    from evalsvc.demo.suite import write

    starter = ROOT / "evalsvc" / "_scaffold" / "suites" / "starter"
    write(tmp_path / "starter", 120, ("1", "2"))
    for name in ("cases.jsonl", "answers/version-1.jsonl", "answers/version-2.jsonl"):
        assert (tmp_path / "starter" / name).read_bytes() == (starter / name).read_bytes(), name


def test_a_fresh_project_can_gate_at_once(tmp_path: Path) -> None:
    assert evalsvc(tmp_path, "init", "mine").returncode == 0
    checked = evalsvc(tmp_path / "mine", "check", "--files-only")
    assert checked.returncode == 0, checked.stdout
    assert "1 suite" in checked.stdout
    done = evalsvc(tmp_path / "mine", "gate")
    assert (done.returncode, "starter: PASS" in done.stdout) == (0, True)
