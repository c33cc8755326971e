"""The rules that a project starts with: all of them, those on what is not measured as comments that can be undone."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from evalsvc import project
from evalsvc.cli import main
from evalsvc.errors import InputError
from evalsvc.project import check, fitted_rules, fitted_tests
from evalsvc.project.starter import Fitted

SHIPPED = Path(project.__file__).parents[1] / "_scaffold" / "alerts"
RULES = (SHIPPED / "quality.rules.yaml").read_text(encoding="utf-8")
TESTS = (SHIPPED / "quality.test.yaml").read_text(encoding="utf-8")
CHECKOUT = Path(__file__).parents[2] / "alerts"
EVERY = {
    *("refusal", "context_support", "relevance", "introduced_pii", "latency_ms", "time_to_first_token_ms"),
    *("cost_usd", "output_tokens"),
}
"""What the shipped rules are about."""


def consumer(folder: Path, *scorers: str) -> None:
    (folder / "consumers").mkdir()
    text = f"consumer: quality\nsource: {{files: {{paths: [a.jsonl]}}}}\nscorers: [{', '.join(scorers)}]\n"
    (folder / "consumers" / "quality.yaml").write_text(text, encoding="utf-8")


def test_where_all_is_measured_the_files_are_the_shipped_ones() -> None:
    rules = fitted_rules(RULES, EVERY)
    assert rules.text == RULES
    assert fitted_tests(TESTS, EVERY, rules.alerts) == TESTS


@pytest.mark.skipif(not CHECKOUT.is_dir(), reason="the checkout's own rules")
def test_what_ships_is_what_the_checkout_runs() -> None:
    for name, text in (("quality.rules.yaml", RULES), ("quality.test.yaml", TESTS)):
        assert (CHECKOUT / name).read_text(encoding="utf-8") == text


@pytest.mark.parametrize("lacking", sorted(EVERY))
def test_without_a_metric_its_rules_and_tests_are_comments_and_nothing_else_changes(lacking: str) -> None:
    measured = EVERY - {lacking}
    whole, rules = fitted_rules(RULES, EVERY), fitted_rules(RULES, measured)
    assert f"metric: {lacking}" in RULES
    assert rules.alerts < whole.alerts
    changed = set(RULES.splitlines()) - set(rules.text.splitlines())
    assert changed
    for line in rules.text.splitlines():
        assert line in RULES.splitlines() or re.match(r" *# ", line)
    stripped = "\n".join(line for line in rules.text.splitlines() if not re.match(r" *# ", line))
    assert f"metric: {lacking}" not in stripped
    tests = fitted_tests(TESTS, measured, rules.alerts)
    assert f"# - metric: {lacking}" in tests or "#     - metric: " in tests


@pytest.mark.parametrize("scorers", [("refusal",), ("introduced_pii", "cost_usd"), ("latency_ms", "bleu"), ("bleu",)])
def test_what_init_writes_passes_check_whatever_is_measured(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, scorers: tuple[str, ...]
) -> None:
    monkeypatch.chdir(tmp_path)
    consumer(tmp_path, *scorers)
    assert main(["init"]) == 0
    found = check()
    assert found.problems == ()
    about = {rule.metric for group in found.rules for rule in group.rules}
    assert about <= {*scorers, ""}
    assert about >= {*scorers} & EVERY
    tested = {series.metric for suite in found.suites for test in suite.tests for series in test.series}
    assert tested <= {*scorers}


def test_signs_that_are_taken_away_leave_the_shipped_rules() -> None:
    made = fitted_rules(RULES, {"refusal"}).text
    block = made[made.index("      # - alert: FirstTokenSlow") :].split("\n\n")[0]
    assert "\n".join(line.replace("# ", "", 1) for line in block.splitlines()) in RULES


def test_a_group_or_a_file_of_which_nothing_is_left() -> None:
    text = "groups:\n  - name: a\n    rules:\n      - {alert: A, metric: m, above: 1}\n\n  # of b\n  - name: b\n"
    text += (
        "    rules:\n      - alert: B\n        metric: n\n        above: 1\n      - {alert: C, absence: {of: events}}\n"
    )
    assert fitted_rules(text, ["n"]) == Fitted(
        "groups:\n"
        "  # No consumer measures m: add the scorer there, then take away these signs.\n"
        "  # - name: a\n  #   rules:\n  #     - {alert: A, metric: m, above: 1}\n\n  # of b\n"
        "  - name: b\n    rules:\n      - alert: B\n        metric: n\n        above: 1\n"
        "      - {alert: C, absence: {of: events}}\n",
        frozenset({"B", "C"}),
    )
    tests = "tests:\n  - name: a\n    input: [{metric: m}]\n    never: [A]\n"
    assert fitted_tests(tests, ["n"], {"B", "C"}) == ""


def test_rules_that_share_a_line_cannot_become_comments() -> None:
    with pytest.raises(InputError, match="Expected an item of its own on line 3"):
        fitted_rules("groups:\n- name: a\n  rules: [{alert: A, metric: m}, {alert: B, metric: n}]\n", ["n"])


def test_a_project_with_rules_or_routes_keeps_its_own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "alerts").mkdir()
    own = "groups: [{name: a, rules: [{alert: NoEvents, absence: {of: events}}]}]\n"
    (tmp_path / "alerts" / "own.rules.yaml").write_text(own, encoding="utf-8")
    (tmp_path / "alerts" / "routes.yml").write_text("default: nobody\n", encoding="utf-8")
    assert main(["init"]) == 0
    assert sorted(path.name for path in (tmp_path / "alerts").iterdir()) == [
        "README.md",
        "own.rules.yaml",
        "routes.yml",
    ]
    assert check().problems == ()
