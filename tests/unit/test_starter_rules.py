"""The rules to start with: read without a problem, within the budget that they state, each with a page that helps."""

from __future__ import annotations

import re
import shlex
from functools import cache
from pathlib import Path

import pytest

from evalsvc import project, scorers
from evalsvc.cli import build_parser
from evalsvc.rules.values import DAY, Absence, Change, Rule, Threshold

ROOT = Path(__file__).parents[2]
FILE, PAGES = ROOT / "alerts" / "quality.rules.yaml", ROOT / "docs" / "runbooks"
MEASURES_METRIC = ("query", "drift", "fairness")
COMMENTED = "CanaryWorse"

pytestmark = pytest.mark.skipif(not FILE.exists(), reason="the operator's files are not part of the installed package")


@cache
def checked(path: Path = FILE) -> list[Rule]:
    found = project.check([path], here=False)
    assert found.problems == ()
    return [rule for group in found.rules for rule in group.rules]


def uncommented(text: str) -> str:
    """Return the file with the rule that stands in it as a comment."""
    lines = text.splitlines()
    start = next(place for place, line in enumerate(lines) if f"# - alert: {COMMENTED}" in line)
    return "\n".join([*lines[:start], *(line.replace("# ", "", 1) for line in lines[start:])]) + "\n"


def commands() -> list[tuple[str, list[str]]]:
    """Return each command of each page, with the page's name."""
    return [
        (page.stem, shlex.split(line.strip())[1:])
        for page in sorted(PAGES.glob("*.md"))
        for block in re.findall(r"```sh\n(.*?)```", page.read_text(), re.DOTALL)
        for line in block.splitlines()
        if line.strip()
    ]


def test_the_head_states_the_budget_that_the_rules_add_up_to() -> None:
    spent = {"page": 0.0, "ticket": 0.0}
    for rule in checked():
        # Absence counts, and spends nothing.
        if not isinstance(rule.condition, Absence):
            spent[rule.severity] += rule.false_alarms.count * 30 * DAY / rule.false_alarms.seconds
    stated = re.search(r"in 30 days, .*: ([\d.]+) pages and ([\d.]+) tickets", FILE.read_text())
    assert stated is not None
    assert (float(stated[1]), float(stated[2])) == pytest.approx((spent["page"], spent["ticket"]))
    page = re.search(r"([\d.]+) false pages and ([\d.]+) false tickets in 30 days", (PAGES / "README.md").read_text())
    assert page is not None
    assert page.groups() == stated.groups()


def test_every_rule_says_who_looks_after_it_and_what_to_do() -> None:
    for rule in checked():
        assert rule.owner, rule.alert
        assert rule.runbook == f"docs/runbooks/{rule.alert}.md"
        assert (ROOT / rule.runbook).is_file(), rule.alert
        # A phone shows so much of a title's first line.
        assert len(rule.annotations["summary"]) <= 120, rule.alert


def test_only_what_cannot_wait_pages() -> None:
    paging = {rule.alert for rule in checked() if rule.severity == "page"}
    assert paging == {"NoEvents", "RefusalsSurged", "PersonalDataInAnswers", "LatencyP95"}


def test_alerts_that_are_over_stay_over() -> None:
    """What came back only half is a flapping alert: limits have another one to come back to, changes take an hour."""
    for rule in checked():
        if isinstance(rule.condition, Threshold):
            assert rule.condition.recovers_at < rule.condition.limit, rule.alert
        if isinstance(rule.condition, Change):
            assert rule.condition.margin > 0.0, rule.alert
        assert rule.keep_firing_seconds >= 600.0, rule.alert


def test_the_rule_in_the_comment_is_whole(tmp_path: Path) -> None:
    (tmp_path / "alerts").mkdir()
    (tmp_path / "pyproject.toml").write_text("[tool.evalsvc]\n")
    path = tmp_path / "alerts" / "quality.rules.yaml"
    path.write_text(uncommented(FILE.read_text()))
    (rule,) = [rule for rule in checked(path) if rule.alert == COMMENTED]
    assert rule.runbook == f"docs/runbooks/{COMMENTED}.md"


def test_every_page_is_a_rules_and_is_listed_as_the_rule_is() -> None:
    rules = {rule.alert: rule for rule in checked()}
    assert {page.stem for page in PAGES.glob("*.md")} == {*rules, COMMENTED, "README"}
    rows = dict(re.findall(r"^\| \[(\w+)\]\(\1\.md\) \| (.*) \|$", (PAGES / "README.md").read_text(), re.MULTILINE))
    assert rows.keys() == {*rules, COMMENTED}
    for name, rule in rules.items():
        days = rule.false_alarms.seconds / DAY
        budget = "none: it counts" if isinstance(rule.condition, Absence) else f"1 per {days:g}d"
        assert rows[name].split(" | ")[2:] == [rule.severity, budget], name


@pytest.mark.parametrize("page", [page for page in sorted(PAGES.glob("*.md")) if page.stem != "README"], ids=str)
def test_a_page_has_all_parts_and_three_things_to_look_at(page: Path) -> None:
    text = page.read_text()
    assert text.startswith(f"# {page.stem}\n")
    assert "**How sure it is.**" in text
    parts = re.findall(r"^## (.*)$", text, re.MULTILINE)
    assert parts == ["Look first", "Usual causes", "What to do", "When to silence it", "How to tune it"]
    look = text.split("## Look first")[1].split("## Usual causes")[0]
    assert re.findall(r"^(\d)\. ", look, re.MULTILINE) == ["1", "2", "3"]


@pytest.mark.parametrize(("page", "command"), commands(), ids=lambda value: value if isinstance(value, str) else "")
def test_commands_of_the_pages_are_understood_and_name_what_is_there(page: str, command: list[str]) -> None:
    options = build_parser().parse_args(command)
    if command[0] in MEASURES_METRIC:
        asked = options.metrics if command[0] == "drift" else [options.metric]
        assert {*asked} - {"all"} <= set(scorers.names())
    if command[0] == "backtest":
        assert (ROOT / options.file).is_file()
        assert options.alert in {*(rule.alert for rule in checked()), COMMENTED}
        assert options.alert == page
