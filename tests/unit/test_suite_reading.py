"""Suites' files: what a right one says, and the corpus of wrong ones with their exact problems.

After a message changed on purpose, ``python tests/unit/test_suite_reading.py`` writes the corpus' texts anew.
"""

from __future__ import annotations

from pathlib import Path

import pytest

from evalsvc._yaml import Document
from evalsvc.errors import ConfigError, InputError
from evalsvc.gate.reading import load_suite, read_suite
from evalsvc.gate.suite_files import find_suites, root_for
from evalsvc.gate.values import AtLeast, AtMost, Better, Critical, Equivalent, GapAtMost, Gate, NotWorse, Robust
from evalsvc.generation import RecordedAnswers
from evalsvc.generation.limits import AskLimits

BAD = Path(__file__).parent / "bad_suites"
FILES = sorted(BAD.glob("*.suite.bad.yaml"))

GOOD = """
suite: letters
cases: {path: cases.jsonl, fields: {question: prompt}}
model: {recorded: answers.jsonl, version: "7"}
baseline: main
repeats: 3
seed: 7
level: 0.025
looks: 4
spending: pocock
limits: {concurrency: 8, requests_per_minute: 300, deadline: 30m}
budget: {usd: 2.5, requests: 900}
scorers: [rouge_l, refusal, bleu, exact_match, latency_ms, {name: chrf, options: {word_order: 2}}]
gates:
  - {metric: rouge_l, not_worse_by: 0.02, by: [segments.language, group], max_missing: 10%}
  - {metric: latency_ms, not_worse_by: 10%, advisory: true}
  - {metric: rouge_l, better: true, where: {tags: [hard, long], segments.plan: pro}}
  - {metric: rouge_l, better_by: 0.01}
  - {metric: refusal, within: 0.05}
  - {metric: refusal, direction: lower, not_worse_by: 0.01}
  - {metric: latency_ms, statistic: p99.9, at_most: 1500}
  - {metric: exact_match, statistic: pass^3, at_least: 0.5}
  - {metric: rouge_l, statistic: pass@2, success: 0.8, at_least: 0.5}
  - {metric: bleu, statistic: corpus, not_worse_by: 1}
  - {metric: exact_match, critical: true}
  - {metric: rouge_l, critical: true, at_least: 0.3}
  - {metric: refusal, direction: lower, critical: true}
  - {metric: rouge_l, gap: segments.plan, at_most: 0.1}
  - {metric: rouge_l, robust_within: 0.05}
"""


def problems(path: Path) -> list[str]:
    document = Document.open(path, path.name)
    read_suite(document, path.resolve())
    return [str(problem) for problem in document.finish()]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "cases.jsonl").write_text('{"case_id": "a", "question": "Hi"}\n')
    (tmp_path / "answers.jsonl").write_text('{"case_id": "a", "response": "Ho"}\n')
    (tmp_path / "letters.suite.yaml").write_text(GOOD)
    return tmp_path


def test_a_right_file_says_what_is_in_it(folder: Path) -> None:
    suite = load_suite(folder / "letters.suite.yaml")
    assert (suite.name, suite.baseline, suite.repeats, suite.seed) == ("letters", "main", 3, 7)
    assert (suite.level, suite.looks, suite.spending) == (0.025, 4, "pocock")
    assert suite.limits == AskLimits(concurrency=8, requests_per_minute=300.0, deadline_seconds=1800.0)
    assert (suite.budget.usd, suite.budget.requests) == (2.5, 900)
    assert isinstance(suite.model, RecordedAnswers)
    assert suite.model.model_version == "7"
    measured = [scorer.metric for scorer in suite.scorers[:5]]
    assert measured == ["rouge_l", "refusal", "bleu", "exact_match", "latency_ms"]
    assert (suite.scorers[5].name, suite.scorers[5].options) == ("chrf", {"word_order": 2})
    assert suite.cases.read().cases[0].prompt == "Hi"
    assert suite.compares
    assert [gate.ask for gate in suite.gates] == [
        NotWorse(0.02),
        NotWorse(0.1, relative=True),
        Better(),
        Better(0.01),
        Equivalent(0.05),
        NotWorse(0.01),
        AtMost(1500.0),
        AtLeast(0.5),
        AtLeast(0.5),
        NotWorse(1.0),
        Critical(1.0),
        Critical(0.3),
        Critical(0.0),
        GapAtMost("segments.plan", 0.1),
        Robust(0.05),
    ]
    assert suite.gates[0] == Gate(
        metric="rouge_l", ask=NotWorse(0.02), by=("segments.language", "group"), max_missing=0.1
    )
    assert suite.gates[1].advisory
    assert suite.gates[2].where == {"tags": ("hard", "long"), "segments.plan": ("pro",)}
    assert [gate.statistic for gate in suite.gates[6:10]] == ["p99.9", "pass^3", "pass@2", "corpus"]
    assert suite.gates[8].success == 0.8
    assert (suite.gates[5].direction, suite.gates[12].direction) == ("lower", "lower")


def test_what_is_left_out_has_a_default(folder: Path) -> None:
    path = folder / "short.suite.yaml"
    path.write_text(
        "cases: {path: cases.jsonl, fields: {question: prompt}}\nmodel: {recorded: answers.jsonl}\n"
        "scorers: [refusal]\ngates:\n  - {metric: refusal, at_most: 0.1}\n"
    )
    suite = load_suite(path)
    assert (suite.name, suite.baseline, suite.repeats, suite.seed, suite.level, suite.looks) == (
        "short",
        "",
        1,
        0,
        0.05,
        1,
    )
    assert (suite.limits, suite.budget.usd, suite.budget.requests) == (AskLimits(), None, None)
    assert not suite.compares


def test_a_definition_changes_with_what_decides_and_with_nothing_else(folder: Path) -> None:
    path = folder / "letters.suite.yaml"
    first = load_suite(path)
    path.write_text(GOOD.replace("concurrency: 8", "concurrency: 2") + "# a comment\n")
    assert load_suite(path).gates_digest == first.gates_digest
    path.write_text(GOOD.replace("better_by: 0.01", "better_by: 0.02"))
    assert load_suite(path).gates_digest != first.gates_digest


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.name.removesuffix(".suite.bad.yaml"))
def test_a_wrong_file_gives_exactly_its_problems(path: Path) -> None:
    assert problems(path) == path.with_suffix(".txt").read_text(encoding="utf-8").splitlines()


def test_all_mistakes_are_raised_at_once(folder: Path) -> None:
    path = folder / "wrong.suite.yaml"
    path.write_text(GOOD.replace("repeats: 3", "repeats: many").replace("seed: 7", "sed: 7"))
    with pytest.raises(ConfigError) as caught:
        load_suite(path, "wrong.suite.yaml")
    said = [(problem.line, problem.message.split(",")[0]) for problem in caught.value.problems]
    assert said[0] == (6, "expected `repeats` to be a whole number from 1 to 100")
    assert said[1] == (7, "unknown key `sed`")
    # What needs three repeats is not wrong as well: how many there were to be is not known.
    assert len(said) == 2


def test_lines_that_are_no_json_are_told_in_plain_words(folder: Path) -> None:
    suite = load_suite(folder / "letters.suite.yaml")
    assert suite.model is not None
    for name, read in (("cases.jsonl", suite.cases.read), ("answers.jsonl", suite.model.load)):
        (folder / name).write_text("{oops\n")
        with pytest.raises(ConfigError, match=": JSON is malformed"):
            read()


def test_suites_are_found_by_their_names(folder: Path) -> None:
    (folder / "deep" / "er").mkdir(parents=True)
    other = folder / "deep" / "er" / "b.suite.yaml"
    other.write_text(GOOD)
    (folder / "deep" / "other.yaml").write_text("")
    assert find_suites([folder, other]) == [other, folder / "letters.suite.yaml"]
    for path, message in (
        (folder / "no", "is not there"),
        (folder / "cases.jsonl", "a suite's name ends in .suite.yaml"),
    ):
        with pytest.raises(InputError, match=message):
            find_suites([path])
    (folder / "test_x.py").write_text("")
    with pytest.raises(InputError, match="run it by pytest"):
        find_suites([folder / "test_x.py"])


def test_what_is_kept_belongs_to_the_suites_own_project(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    own, other = folder / "own", folder / "other"
    for project in (own, other):
        (project / "suites").mkdir(parents=True)
        (project / "pyproject.toml").write_text("[tool.evalsvc]\n")
    (folder / "bare").mkdir()
    monkeypatch.chdir(own)
    assert root_for([other / "suites"]) == other
    assert root_for([other / "suites" / "x.suite.yaml", own]) == other
    assert root_for([]) == own
    assert root_for([folder / "bare"]) == own


@pytest.mark.parametrize("mark", ["pyproject.toml", ".git"])
def test_a_run_from_elsewhere_keeps_in_the_same_place(folder: Path, monkeypatch: pytest.MonkeyPatch, mark: str) -> None:
    project = folder / "plain"
    suites = project / "tests" / "suites"
    suites.mkdir(parents=True)
    (project / mark).touch()
    file = suites / "x.suite.yaml"
    file.touch()
    for place in (project, suites, project.parent, Path("/")):
        monkeypatch.chdir(place)
        assert root_for([file]) == project
        assert root_for([suites]) == project
    monkeypatch.chdir(suites)
    assert root_for([Path("x.suite.yaml")]) == root_for([]) == project
    (project / "tests" / "pyproject.toml").write_text("[tool.evalsvc]\n")
    assert root_for([file]) == project / "tests"


if __name__ == "__main__":
    for file in FILES:
        file.with_suffix(".txt").write_text("".join(f"{line}\n" for line in problems(file)), encoding="utf-8")
