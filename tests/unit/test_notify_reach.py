"""Routes that no rule's alerts can come to: found where rules and routes are read together."""

from __future__ import annotations

from pathlib import Path

import pytest

from evalsvc.notify import labels_of_rules
from evalsvc.project import check, read_rule_files

RULES = """
groups:
  - name: a
    rules:
      - alert: RefusalsRose
        metric: refusal
        where: {consumer: [support, search], segments.plan: [pro, free]}
        by: [segments.language-code, segments.plan]
        above: 0.2
        severity: ticket
        owner: ml
        labels: {team: answers}
      - {alert: Slow, metric: latency_ms, above: 900, labels: {team: platform, tier: "1"}}
"""
ROUTES = """
receivers: {team: {kind: slack, url_env: SLACK}}
default: team
routes:
"""


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "pyproject.toml").write_text("[tool.evalsvc]\n", encoding="utf-8")
    (tmp_path / "alerts").mkdir()
    (tmp_path / "alerts" / "a.rules.yaml").write_text(RULES, encoding="utf-8")
    return tmp_path


def problems(folder: Path, *matches: str) -> list[str]:
    text = ROUTES + "".join(f"  - {{match: {one}, to: team, continue: true}}\n" for one in matches)
    path = folder / "alerts" / "routes.yaml"
    path.write_text(text, encoding="utf-8")
    return [str(problem).removeprefix("alerts/routes.yaml:") for problem in check([folder], here=False).problems]


@pytest.mark.parametrize(
    "match",
    [
        "{severity: page}",
        "{severity: info}",
        "{alertname: [Slow, RefusalsRose], team: /.*/}",
        "{alertname: Slow, consumer: whoever}",
        "{team: answers, language_code: xx, plan: pro, owner: ml, consumer: search}",
        "{alertname: EvalsvcRuleFailing, rule: Slow}",
        "{metric: evalsvc}",
        "{tier: //, team: answers}",
        "{nowhere: //}",
    ],
)
def test_what_some_alert_can_have_is_right(folder: Path, match: str) -> None:
    assert problems(folder, match) == []


@pytest.mark.parametrize(
    ("match", "problem"),
    [
        ("{severty: page}", "5:14: no rule's alerts have the label `severty` (did you mean `severity`?)"),
        ("{language-code: de}", "5:14: expected a label's name of letters, digits and _, but got `language-code`"),
        ("{language: de}", "5:14: no rule's alerts have the label `language` (did you mean `language_code`?)"),
        ("{alertname: Slw}", "5:25: no rule's alerts have the alertname `Slw` (did you mean `Slow`?)"),
        ("{alertname: [Slow, Fast]}", "5:32: no rule's alerts have the alertname `Fast` (known: "),
        ("{alertname: /Slo/}", "5:25: no rule's alerts have the alertname `/Slo/` (did you mean `Slow`?)"),
        ("{team: answer}", "5:20: no rule's alerts have the team `answer` (did you mean `answers`?)"),
        ("{plan: trial}", "5:20: no rule's alerts have the plan `trial` (known: free, pro)"),
        ("{severity: pages}", "5:24: no alert has the severity `pages` (did you mean `page`?)"),
        ("{rule: Slo}", "5:20: no rule's alerts have the rule `Slo` (did you mean `Slow`?)"),
        (
            "{alertname: Slow, team: answers}",
            "5:13: no alert ever comes to this route (each label is that of some rule, and no rule has them all)",
        ),
        (
            "{alertname: RefusalsRose, consumer: other}",
            "5:13: no alert ever comes to this route (each label is that of some rule, and no rule has them all)",
        ),
    ],
)
def test_what_no_alert_can_have_is_a_mistake(folder: Path, match: str, problem: str) -> None:
    (said,) = problems(folder, match)
    assert said.startswith(problem)


def test_every_mistake_is_told_at_once(folder: Path) -> None:
    found = problems(folder, "{severty: page, team: answer}", "{alertname: [A, Slow, B]}")
    assert [one.partition(": ")[0] for one in found] == ["5:14", "5:35", "6:26", "6:35"]


def test_routes_that_are_read_alone_may_be_for_other_rules(folder: Path) -> None:
    problems(folder, "{severty: page}")
    assert check([folder / "alerts" / "routes.yaml"], here=False).problems == ()
    assert len(check([folder / "alerts"], here=False).problems) == 1


def test_beside_wrong_rules_routes_are_not_held_against_them(folder: Path) -> None:
    (folder / "alerts" / "a.rules.yaml").write_text(RULES.replace("by: [segments", "by: [segment"), encoding="utf-8")
    (said,) = problems(folder, "{language_code: de}")
    assert "expected application, model" in said


def test_a_project_without_rules_may_have_any_routes(folder: Path) -> None:
    (folder / "alerts" / "a.rules.yaml").unlink()
    assert problems(folder, "{severty: page}") == []


def test_the_labels_of_rules_are_those_of_their_alerts(folder: Path) -> None:
    first, second, failing = labels_of_rules(read_rule_files([folder / "alerts" / "a.rules.yaml"]).rules)
    assert first == {
        "alertname": {"RefusalsRose"},
        "severity": None,
        "metric": {"refusal"},
        "owner": {"ml"},
        "team": {"answers"},
        "consumer": {"support", "search"},
        "language_code": None,
        "plan": {"pro", "free"},
    }
    assert second["consumer"] is None
    assert failing["rule"] == {"RefusalsRose", "Slow"}
