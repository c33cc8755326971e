"""The rules that are shipped for Prometheus: promtool reads and tests them, and every metric in them is exported."""

from __future__ import annotations

import re
import shutil
import subprocess
from pathlib import Path

import pytest
import yaml

from evalsvc import scorers
from evalsvc.project import check, load_consumer
from exported_names import COUNTERS, GAUGES, LABELS

ROOT = Path(__file__).resolve().parents[2]
FOLDER = ROOT / "alerts" / "prometheus"
HEALTH, EXAMPLE, CASES = FOLDER / "evalsvc.yml", FOLDER / "quality.example.yml", FOLDER / "evalsvc_tests.yml"
BY = ("application", "model_version")

needs_promtool = pytest.mark.skipif(
    shutil.which("promtool") is None, reason="no promtool on PATH: apt-get install -y prometheus"
)


def rules_of(file: Path) -> list[dict]:
    return [rule for group in yaml.safe_load(file.read_text())["groups"] for rule in group["rules"]]


RULES = {f"{file.stem}:{rule['alert']}": rule for file in (HEALTH, EXAMPLE) for rule in rules_of(file)}
each_rule = pytest.mark.parametrize("rule", RULES.values(), ids=RULES.keys())


def promtool(*arguments: object) -> tuple[int, str]:
    command = ["promtool", *map(str, arguments)]
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=120)
    return done.returncode, done.stdout + done.stderr


@needs_promtool
@pytest.mark.parametrize("file", [HEALTH, EXAMPLE], ids=lambda file: file.name)
def test_promtool_reads_the_rules(file: Path) -> None:
    assert promtool("check", "rules", "--lint-fatal", file)[0] == 0


@needs_promtool
def test_promtool_reads_the_configuration() -> None:
    code, said = promtool("check", "config", FOLDER / "prometheus.yml")
    assert code == 0, said


@needs_promtool
def test_alerts_on_made_up_series_are_those_expected() -> None:
    code, said = promtool("test", "rules", CASES)
    assert code == 0, said


@needs_promtool
def test_a_rule_that_fires_too_early_would_be_found(tmp_path: Path) -> None:
    hasty = HEALTH.read_text().replace("for: 3m", "for: 1m").replace("> 0.05 *", "> 0.0 *")
    (tmp_path / "evalsvc.yml").write_text(hasty)
    (tmp_path / EXAMPLE.name).write_text(EXAMPLE.read_text())
    (tmp_path / CASES.name).write_text(CASES.read_text())
    code, said = promtool("test", "rules", tmp_path / CASES.name)
    assert code != 0
    assert "alertname: EvalsvcNoRulerLeads, time: 12m" in said
    assert "alertname: EvalsvcScorerFails, time: 50m" in said


def test_every_rule_is_tested_to_fire_and_to_be_silent() -> None:
    cases = [case for test in yaml.safe_load(CASES.read_text())["tests"] for case in test["alert_rule_test"]]
    fires = {case["alertname"] for case in cases if case.get("exp_alerts")}
    silent = {case["alertname"] for case in cases if not case.get("exp_alerts")}
    assert fires == silent == {rule["alert"] for file in (HEALTH, EXAMPLE) for rule in rules_of(file)}


@each_rule
def test_metrics_of_a_rule_are_exported(rule: dict) -> None:
    named = set(re.findall(r"\b(?:evalsvc_\w+)", rule["expr"]))
    assert named or "up{" in rule["expr"]
    assert named <= {*COUNTERS, *GAUGES}


@each_rule
def test_labels_of_a_rule_are_those_of_its_metrics(rule: dict) -> None:
    for name, matchers in re.findall(r"\b(evalsvc_\w+)\{([^}]*)\}", rule["expr"]):
        assert set(re.findall(r"(\w+)\s*[=!]", matchers)) <= {*LABELS[name]}
    named = [LABELS[name] for name in re.findall(r"\bevalsvc_\w+", rule["expr"])]
    known = {label for labels in named for label in labels} | {*BY} | set(re.findall(r'"(\w+)", "\$1"', rule["expr"]))
    for grouped in re.findall(r"\b(?:by|without) \(([^)]*)\)", rule["expr"]):
        assert set(re.findall(r"\w+", grouped)) <= known
    for text in rule["annotations"].values():
        assert set(re.findall(r"\$labels\.(\w+)", text)) <= known


@each_rule
def test_a_rule_says_what_to_do_and_how_urgent_it_is(rule: dict) -> None:
    assert set(rule["annotations"]) == {"summary", "action"}
    assert set(rule["labels"]) == {"severity"}
    assert rule["labels"]["severity"] in ("page", "ticket")


def test_metrics_of_the_example_are_measured_by_a_consumer() -> None:
    _, consumer = load_consumer(ROOT / "consumers" / "quality.yaml")
    measured = {scorer.metric or scorer.name for scorer in consumer.scorers}
    named = {name for rule in rules_of(EXAMPLE) for name in re.findall(r'metric="(\w+)"', rule["expr"])}
    assert named
    assert named <= measured
    assert named <= set(scorers.names())


def test_evalsvc_takes_no_file_of_prometheus_for_one_of_its_own() -> None:
    checked = check([ROOT / "alerts", ROOT / "dashboards"], here=False)
    assert {HEALTH, EXAMPLE, CASES} <= set(checked.files)
    assert not [problem for problem in checked.problems if "prometheus" in problem.path or "dashboards" in problem.path]
