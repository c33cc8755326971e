"""Rubric files: what a right one says, and the corpus of wrong ones with their exact problems.

After a message changed on purpose, ``python tests/unit/test_rubric_reading.py`` writes the corpus' texts anew.
"""

from __future__ import annotations

import json
import math
import os
from datetime import date
from pathlib import Path

import pytest
from scipy import stats

from evalsvc._yaml import Document
from evalsvc.errors import ConfigError
from evalsvc.governance.rubric import PLAYBOOK, Choice, Decision, Measured, Opinion, load_choice, read_choice
from evalsvc.governance.rubric.scoring import score_sheet
from evalsvc.stats.mean import ALL_EQUAL

BAD = Path(__file__).parent / "bad_rubrics"
FILES = sorted(BAD.glob("*.bad.rubric.yaml"))

GOOD = """
rubric: A model for letters
date: 2026-03-31
confidence: 0.9
weighting: criteria
categories:
  quality: {title: Quality, weight: 3, criteria: {accuracy: 1, tone: {weight: 2, title: Tone of voice}}}
  cost: {weight: 1, criteria: [price, speed]}
measured:
  accuracy: {metric: exact, better: higher, lines: [[0.5, 1], [1.0, 5]]}
  price: {metric: cost_usd, better: lower, steps: [[1, 5], [2, 3]]}
pareto: {quality: exact, cost: cost_usd, latency: ms}
models:
  a:
    results: a.json
    metrics:
      cost_usd: {value: 1.5, exact: true, source: contract}
      exact: {values: [1, 0, 1, 1], source: four cases}
    scores:
      tone:
        - {by: Ada, at: 2026-03-01, score: 4, evidence: "https://example.com/1"}
        - {by: Ben, at: 2026-03-02, score: 3.5, evidence: read 20}
    for: [known]
    against: one sentence
  b: {}
decision: {chosen: a, by: Ada, at: 2026-04-01, because: it is there}
"""


def problems(path: Path) -> list[str]:
    document = Document.open(path, path.name)
    return [str(problem) for problem in read_choice(document, path.parent)[1]]


def test_a_right_file_says_what_is_in_it(tmp_path: Path) -> None:
    path = tmp_path / "letters.rubric.yaml"
    path.write_text(GOOD, encoding="utf-8")
    metrics = [
        {"metric": "ms", "candidate": {"value": 9, "low": 8, "high": 11, "n": 4}, "confidence": 0.9},
        {"metric": "other", "candidate": {"value": 1}, "confidence": 0.9},
    ]
    (tmp_path / "a.json").write_text(json.dumps({"metrics": metrics}), encoding="utf-8")
    choice = load_choice(path)
    assert (choice.title, choice.at, choice.confidence) == ("A model for letters", date(2026, 3, 31), 0.9)
    assert choice.rubric.shares == pytest.approx({"accuracy": 0.25, "tone": 0.5, "price": 0.125, "speed": 0.125})
    assert [criterion.title for criterion in choice.rubric.criteria] == ["accuracy", "Tone of voice", "price", "speed"]
    assert choice.axes == {"quality": "exact", "cost": "cost_usd", "latency": "ms"}
    a, b = choice.models
    assert set(a.measured) == {"ms", "cost_usd", "exact"}
    assert a.measured["ms"] == Measured(value=9.0, low=8.0, high=11.0, n=4, source="a.json")
    assert a.measured["cost_usd"] == Measured(value=1.5, low=1.5, high=1.5, source="contract")
    half = stats.t.ppf(0.95, 3) * 0.5 / math.sqrt(4)
    assert a.measured["exact"].value == 0.75
    assert (a.measured["exact"].low, a.measured["exact"].high) == pytest.approx((0.75 - half, 0.75 + half))
    assert a.opinions["tone"][1] == Opinion("Ben", date(2026, 3, 2), 3.5, "read 20")
    assert (a.speaks_for, a.speaks_against, b.measured, b.opinions) == (("known",), ("one sentence",), {}, {})
    assert choice.decision == Decision("a", "Ada", date(2026, 4, 1), "it is there")


def test_the_playbooks_weights_are_those_of_the_playbook() -> None:
    expected = {
        ("performance", 40): {"understanding": 15, "generation": 15, "task": 10},
        ("responsibility", 25): {"bias": 10, "transparency": 7, "security": 8},
        ("deployment", 20): {"efficiency": 8, "integration": 7, "licensing": 5},
        ("language", 15): {"languages": 10, "domain": 5},
    }
    found = {(c.name, c.weight): {each.name: each.weight for each in c.criteria} for c in PLAYBOOK.categories}
    assert found == expected


def of_values(folder: Path, values: str) -> Choice:
    path = folder / "x.rubric.yaml"
    path.write_text(
        GOOD.replace("[1, 0, 1, 1]", values)
        .replace("    results: a.json\n", "")
        .replace(", latency: ms", ", latency: exact"),
        encoding="utf-8",
    )
    return load_choice(path)


def test_one_case_leaves_the_metric_undefined(tmp_path: Path) -> None:
    found = of_values(tmp_path, "[0.5]").models[0].measured["exact"]
    assert (found.value, found.reason) == (None, "one case has no interval")


def test_a_metric_that_is_the_same_in_all_cases_is_no_missing_score(tmp_path: Path) -> None:
    found = of_values(tmp_path, "[1, 1, 1]").models[0].measured["exact"]
    assert (found.value, found.low, found.high, found.n) == (1.0, 1.0, 1.0, 3)
    assert found.note == "the same in all: taken as exact"


@pytest.mark.parametrize(
    ("reason", "exact"), [(ALL_EQUAL, True), ("one score tells nothing of the spread", False), ("", False)]
)
def test_results_whose_scores_are_all_equal_are_taken_as_exact(tmp_path: Path, reason: str, exact: bool) -> None:
    path = tmp_path / "x.rubric.yaml"
    text = GOOD.replace("      exact: {values: [1, 0, 1, 1], source: four cases}\n", "").replace(
        "latency: ms", "latency: exact"
    )
    path.write_text(text, encoding="utf-8")
    given = {"value": 0.75, "low": None, "high": None, "n": 60, "reason": reason}
    results = {"metrics": [{"metric": "exact", "candidate": given, "confidence": 0.9}]}
    (tmp_path / "a.json").write_text(json.dumps(results), encoding="utf-8")
    choice = load_choice(path)
    found = choice.models[0].measured["exact"]
    assert (found.low, found.high) == ((0.75, 0.75) if exact else (None, None))
    score = score_sheet(choice).scores["a"]["accuracy"]
    assert (score.kind == "measured") == exact
    assert ("n = 60 (the same in all: taken as exact)" in score.said) == exact


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.name.removesuffix(".bad.rubric.yaml"))
def test_a_wrong_file_gives_exactly_its_problems(path: Path) -> None:
    assert problems(path) == path.with_suffix(".txt").read_text(encoding="utf-8").splitlines()
    with pytest.raises(ConfigError):
        load_choice(path)


def test_the_corpus_is_whole() -> None:
    assert len(FILES) >= 7
    assert {path.with_suffix(".txt").name for path in FILES} == {path.name for path in BAD.glob("*.txt")}


if __name__ == "__main__":
    os.chdir(BAD)
    for file in FILES:
        file.with_suffix(".txt").write_text("".join(f"{line}\n" for line in problems(file)), encoding="utf-8")
