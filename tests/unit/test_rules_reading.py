"""Rule files: what a right one says, and the corpus of wrong ones with their exact problems.

After a message changed on purpose, ``python tests/unit/test_rules_reading.py`` writes the corpus' texts anew.
"""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from evalsvc.project import check, shown
from evalsvc.rules import Budget, Change, Rule, RuleGroup, Threshold
from evalsvc.rules.values import alert_labels, fingerprint

BAD = Path(__file__).parent / "bad_rules"
FILES = sorted(BAD.glob("*.bad.rules.yaml"))

GOOD = """
groups:
  - name: support
    interval: 2m
    delay: 3m
    catch_up: 2h
    rules:
      - alert: RefusalsRose
        metric: refusal
        where: {application: support, segments.language: [de, fr]}
        by: [segments.plan-name, model_version]
        above: 0.2
        recovers_at: 0.15
        statistic: proportion
        window: 30m
        for: 4m
        keep_firing_for: 0s
        false_alarms: 2 per 1w
        min_effective_n: 100
        severity: ticket
        no_data: alert
        error: alert
        owner: support-ml
        runbook: docs/runbooks/refusals.md
        labels: {team: ml}
        annotations:
          summary: "{{ value }} refused in {{ labels.plan_name }}, {{ labels.team }} looks after it"
      - alert: LengthMoved
        metric: latency_ms
        statistic: p95
        above: 900
  - name: change
    rules:
      - {alert: RefusalsMoved, metric: refusal, change: {direction: either, by: 0.02, baseline: 14d}}
"""


def write(folder: Path, text: str, name: str = "support.rules.yaml") -> Path:
    (folder / "alerts").mkdir(exist_ok=True)
    path = folder / "alerts" / name
    path.write_text(text, encoding="utf-8")
    return path


def problems(path: Path) -> list[str]:
    return [str(problem) for problem in check([path]).problems]


def test_a_right_file_says_what_is_in_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    found = check([write(tmp_path, GOOD)])
    assert not found.problems
    first, second = found.rules
    assert first == RuleGroup(
        name="support",
        path="alerts/support.rules.yaml",
        interval_seconds=120.0,
        delay_seconds=180.0,
        catch_up_seconds=7200.0,
        rules=(
            Rule(
                alert="RefusalsRose",
                metric="refusal",
                condition=Threshold("above", 0.2, 0.15, "proportion"),
                window_seconds=1800.0,
                where={"application": ("support",), "segments.language": ("de", "fr")},
                by=("segments.plan-name", "model_version"),
                false_alarms=Budget(2.0, 604_800.0),
                for_seconds=240.0,
                keep_firing_seconds=0.0,
                min_effective_n=100.0,
                severity="ticket",
                no_data="alert",
                error="alert",
                labels={"team": "ml"},
                annotations={
                    "summary": "{{ value }} refused in {{ labels.plan_name }}, {{ labels.team }} looks after it"
                },
                runbook="docs/runbooks/refusals.md",
                owner="support-ml",
            ),
            Rule(
                alert="LengthMoved",
                metric="latency_ms",
                condition=Threshold("above", 900.0, 900.0, "p95"),
                window_seconds=600.0,
            ),
        ),
    )
    assert (second.interval_seconds, second.delay_seconds, second.catch_up_seconds) == (60.0, 120.0, 3600.0)
    assert second.rules[0].condition == Change("either", 0.02, 14 * 86_400.0)
    assert second.rules[0].false_alarms == Budget(1.0, 30 * 86_400.0)


def test_labels_are_the_rules_and_the_groups_and_make_the_fingerprint() -> None:
    rule = Rule(
        alert="A", metric="refusal", condition=Threshold("above", 0.2, 0.2), window_seconds=600.0, labels={"team": "ml"}
    )
    labels = alert_labels(rule, {"segments.plan-name": "pro", "model_version": "7"}, "quality")
    assert labels == {
        "alertname": "A",
        "severity": "page",
        "metric": "refusal",
        "consumer": "quality",
        "team": "ml",
        "plan_name": "pro",
        "model_version": "7",
    }
    assert fingerprint(labels) == fingerprint(dict(reversed(labels.items())))
    assert fingerprint(labels) != fingerprint({**labels, "plan_name": "free"})


@pytest.mark.parametrize(("key", "wrong"), [("metric: nonsense, above: 0.5", True), ("expr: up == 0", False)])
def test_rules_in_a_file_of_another_name_are_not_passed_over(tmp_path: Path, key: str, wrong: bool) -> None:
    lines = ["groups:", "  - name: a", "    rules:", "      - alert: A", *(f"        {one}" for one in key.split(", "))]
    (tmp_path / "pyproject.toml").write_text("[tool.evalsvc]\n", encoding="utf-8")
    path = write(tmp_path, "\n".join(lines), "shop.yaml")
    found = [str(problem) for problem in check([tmp_path]).problems]
    assert found == (
        [f"{shown(path)}:1:1: holds alert rules, and is not read as such (name it shop.rules.yaml)"] * wrong
    )


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("a: {summary: {{ value }} is high}", "a text that begins with `{{` needs quotes"),
        ("summary: % is high", "a text that begins so needs quotes"),
    ],
)
def test_what_yaml_takes_for_something_else_is_told_to_need_quotes(tmp_path: Path, text: str, said: str) -> None:
    (problem,) = problems(write(tmp_path, f"groups: []\n{text}\n"))
    assert said in problem


def test_a_project_that_measures_something_knows_no_other_metric(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "consumers").mkdir()
    consumer = "consumer: q\nsource: {files: {paths: [a.jsonl]}}\nscorers: [refusal]\n"
    (tmp_path / "consumers" / "q.yaml").write_text(consumer, encoding="utf-8")
    (tmp_path / "pyproject.toml").write_text("[tool.evalsvc]\n", encoding="utf-8")
    path = write(tmp_path, "groups: [{name: a, rules: [{alert: A, metric: bleu, above: 0.5}]}]\n")
    assert problems(path) == ["alerts/support.rules.yaml:1:47: no consumer here measures `bleu` (known: refusal)"]


JUDGES = """
consumer: q
source: {files: {paths: [a.jsonl]}}
scorers:
  - refusal
  - {name: judge, options: {model: m, base_url: "http://localhost:1/v1", criteria: c, name: free}}
  - name: judge
    options:
      {model: m, base_url: "http://localhost:1/v1", criteria: c, name: paid,
       prices: {input_usd_per_million: 1, output_usd_per_million: 2}}
  - {name: "own_scorers:Own"}
"""
OWN = """
from evalsvc.types import Scale, Scored, ScorerSpec
class Own:
    spec = ScorerSpec("own", "1", Scale(0.0, 1.0, "higher"))
    def load(self): pass
    def cost(self, sample): return 1
    def score(self, batch): return [Scored(1.0) for _ in batch]
"""


def test_a_judge_without_prices_has_no_cost_and_an_own_scorer_may_have_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(str(tmp_path))
    (tmp_path / "own_scorers.py").write_text(OWN, encoding="utf-8")
    (tmp_path / "consumers").mkdir()
    (tmp_path / "consumers" / "q.yaml").write_text(JUDGES, encoding="utf-8")
    (tmp_path / "pyproject.toml").write_text("[tool.evalsvc]\n", encoding="utf-8")
    rules = "".join(
        f"      - {{alert: {metric}, metric: {metric}, cost: {{of: judge, above: 5}}}}\n"
        for metric in ("refusal", "judge_free", "judge_paid", "own")
    )
    path = write(tmp_path, f"groups:\n  - name: a\n    rules:\n{rules}")
    assert check([tmp_path / "consumers"], here=False).problems == ()
    assert problems(path) == [
        "alerts/support.rules.yaml:4:54: no judge scores refusal, so that nobody is paid for it "
        "(leave `of` out, or name a judge's)",
        "alerts/support.rules.yaml:5:60: what the judge of judge_free is paid is not known, as it has no prices "
        "(give it `prices` in its `options`, in the consumer's file)",
    ]


def test_checking_a_project_checks_its_rules(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    write(tmp_path, GOOD.replace("above: 900", "above: -1"))
    (tmp_path / "pyproject.toml").write_text("[tool.evalsvc]\n", encoding="utf-8")
    assert [str(problem) for problem in check().problems] == [
        "alerts/support.rules.yaml:31:16: expected a number on the metric's scale [0, ∞], but got -1"
    ]


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.name.removesuffix(".bad.rules.yaml"))
def test_a_wrong_file_gives_exactly_its_problems(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(BAD)
    assert problems(path) == path.with_suffix(".txt").read_text(encoding="utf-8").splitlines()


def test_the_corpus_is_whole() -> None:
    assert len(FILES) >= 4
    assert {path.with_suffix(".txt").name for path in FILES} == {path.name for path in BAD.glob("*.txt")}


if __name__ == "__main__":
    os.chdir(BAD)
    for file in FILES:
        file.with_suffix(".txt").write_text("".join(f"{line}\n" for line in problems(file)), encoding="utf-8")
