"""A small project with a suite, in which the tests of the pytest plugin run pytest: a plugin of those tests' own.

PYTEST_DONT_REWRITE: it asserts nothing, and those tests import it before pytest does.
"""

from __future__ import annotations

import json
import os
import shutil
from datetime import UTC, datetime
from pathlib import Path
from typing import NamedTuple

import pytest

import evalsvc
from evalsvc.disk_cache import DiskCache
from evalsvc.gate.baselines import promote
from evalsvc.gate.evaluation import Evaluation
from evalsvc.gate.reading import load_suite
from evalsvc.gate.running import run_suite
from evalsvc.gate.shared_runs import SharedRuns, Wanted

ROOT = Path(evalsvc.__file__).parents[1]
ALONE = ("-p", "evalsvc.gate.plugin", "-p", "no:cacheprovider")
N = 40
RIGHT, WRONG = "the sky is blue", "no idea at all"
SUITE = """suite: colours
cases: cases.jsonl
model: MODEL
baseline: main
scorers: [rouge_l, exact_match, latency_ms]
gates:
  - {metric: rouge_l, not_worse_by: 0.1}
  - {metric: rouge_l, at_least: 0.5, by: segments.language}
  - {metric: exact_match, critical: true}
"""
COUNTING = """
def ask(prompt):
    with open("asked.txt", "a") as file:
        file.write("x")
    return "the sky is blue"
"""
MARKED = 'import pytest\npytestmark = pytest.mark.evalsvc("colours.suite.yaml")\n'


def cases(count: int = N) -> str:
    lines = [
        {
            "case_id": f"case-{number}",
            "prompt": f"What is the colour of sky {number}?",
            "reference": RIGHT,
            "segments": {"language": "en" if number % 2 else "de"},
            "critical": number == 3,
        }
        for number in range(count)
    ]
    return "".join(json.dumps(line) + "\n" for line in lines)


def answers(response: str, count: int = N, repeats: int = 1) -> str:
    lines = [
        {"case_id": f"case-{number}", "repeat": repeat, "response": response if repeat == 0 else WRONG}
        for number in range(count)
        for repeat in range(repeats)
    ]
    return "".join(json.dumps(line) + "\n" for line in lines)


class Project(NamedTuple):
    """A folder with a suite, its cases, recorded answers and a baseline."""

    pytester: pytest.Pytester
    path: Path

    def write(self, **files: str) -> None:
        write(self.path, **files)

    def suite(self, text: str = SUITE, model: str = "{recorded: good.jsonl}") -> None:
        self.write(colours__suite__yaml=text.replace("MODEL", model))

    def run(self, *arguments: str) -> pytest.RunResult:
        return self.pytester.runpytest_inprocess(*ALONE, *arguments)


def write(folder: Path, **files: str) -> None:
    for name, text in files.items():
        (folder / name.replace("__", ".")).write_text(text)


@pytest.fixture(scope="module")
def laid_out(tmp_path_factory) -> Path:
    """The project's files. All that a run imports is imported here: pytester forgets what is imported within it."""
    folder = tmp_path_factory.mktemp("laid-out")
    write(folder, pyproject__toml="[tool.evalsvc]\n", cases__jsonl=cases(), model__py=COUNTING)
    write(folder, good__jsonl=answers(RIGHT), bad__jsonl=answers(WRONG))
    alone = "".join(line for line in SUITE.splitlines(keepends=True) if "main" not in line and "worse" not in line)
    write(folder, colours__suite__yaml=alone.replace("MODEL", "{recorded: good.jsonl}"))
    with DiskCache.open(None) as cache:
        run = run_suite(load_suite(folder / "colours.suite.yaml"), cache)
    promote(run.record, "run", folder, "main", by="somebody", because="first", now=datetime(2026, 3, 1, tzinfo=UTC))
    write(folder, colours__suite__yaml=SUITE.replace("MODEL", "{recorded: good.jsonl}"))
    for recorded in ("good.jsonl", "bad.jsonl"):
        found = evaluated(folder, Wanted(folder / "colours.suite.yaml", folder / recorded))
        found.decided({"metric": "rouge_l", "statistic": "p95", "at_least": 0.5})
    shutil.rmtree(folder / "session")
    shutil.rmtree(folder / ".evalsvc")
    return folder


@pytest.fixture
def project(laid_out: Path, pytester: pytest.Pytester, monkeypatch: pytest.MonkeyPatch) -> Project:
    monkeypatch.setenv("PYTEST_DISABLE_PLUGIN_AUTOLOAD", "1")
    monkeypatch.delenv("PYTEST_ADDOPTS", raising=False)
    monkeypatch.setenv("XDG_CACHE_HOME", str(pytester.path / "cache-home"))
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join([str(ROOT), os.environ.get("PYTHONPATH", "")]).strip(os.pathsep))
    shutil.copytree(laid_out, pytester.path, dirs_exist_ok=True)
    return Project(pytester, pytester.path)


def evaluated(folder: Path, wanted: Wanted, runs: SharedRuns | None = None) -> Evaluation:
    def refuse(said: str) -> None:
        raise AssertionError(said)

    session = folder / "session"
    session.mkdir(exist_ok=True)
    return (runs or SharedRuns(folder)).evaluation(wanted, "colours.suite.yaml", session, refuse)


def asked(project: Project) -> int:
    file = project.path / "asked.txt"
    return len(file.read_text()) if file.exists() else 0
