"""`evalsvc test`: what passes, what fails and how it is said, what is refused, and that looks are the ruler's own.

After a message changed on purpose, ``python tests/unit/test_ruletests.py`` writes the corpus' texts anew.
"""

from __future__ import annotations

import json
import os
import re
from datetime import UTC, datetime, timedelta
from pathlib import Path
from xml.etree import ElementTree

import pytest
from msgspec.structs import replace

from evalsvc import project
from evalsvc.cli import main
from evalsvc.errors import InputError
from evalsvc.protocols import CellQuery
from evalsvc.ruler.looks import look_times
from evalsvc.ruler.rounds import look
from evalsvc.ruler.ruletests import run_test
from evalsvc.ruler.series_store import SeriesStore
from evalsvc.store.memory import MemoryStore
from evalsvc.types import LedgerCount, LedgerEntry, Scale, Window, WriteBatch

PAGE = Path(__file__).parents[2] / "docs" / "how-to" / "test-rules.md"
BAD = Path(__file__).parent / "bad_ruletests"
FILES = sorted(BAD.glob("*.test.yaml"))

RULES = """
groups:
  - name: support
    interval: 1m
    rules:
      - alert: RefusalsRose
        metric: refusal
        where: {application: support}
        by: [segments.language]
        window: 1h
        above: 0.2
        recovers_at: 0.15
        for: 10m
        severity: ticket
        annotations:
          summary: "{{ value }} of answers in {{ labels.language }} are refusals"
  - name: slow
    interval: 5m
    delay: 0s
    rules:
      - {alert: Slow, metric: latency_ms, above: 2000, window: 30m, no_data: alert}
"""
GOOD = """
# run: evalsvc test alerts/ — code: evalsvc/ruler/ruletests.py
tests:
  - name: refusals that rise page, and recovery resolves
    input:
      - metric: refusal
        where: {application: support, segments.language: de}
        per_minute: 20
        rate: 0.1
        values: 2h of 0.05, 1h of 0.4, 2h of 0.05
      - metric: refusal
        where: {application: support, segments.language: en}
        values: 5h of 0.05
      - metric: latency_ms
        values: [5h of 900]
    expect:
      - {at: 2h, alert: RefusalsRose, labels: {language: de}, phase: inactive}
      - at: 3h
        alert: RefusalsRose
        labels: {language: de}
        phase: firing
        annotations: {summary: [of answers, in de are refusals]}
      - {at: 5h, alert: RefusalsRose, labels: {language: de}, phase: resolved}
      - {at: 5h, alert: RefusalsRose, labels: {language: en, severity: ticket}, phase: inactive}
    never: [Slow, EvalsvcRuleFailing]
    pages: 1
"""


def write(folder: Path, tests: str = GOOD, rules: str = RULES) -> Path:
    (folder / "pyproject.toml").write_text("[tool.evalsvc]\n", encoding="utf-8")
    (folder / "alerts").mkdir(exist_ok=True)
    (folder / "alerts" / "support.rules.yaml").write_text(rules, encoding="utf-8")
    path = folder / "alerts" / "support.test.yaml"
    path.write_text(tests, encoding="utf-8")
    return path


def ran(folder: Path, tests: str, rules: str = RULES):
    checked = project.read_test_files([write(folder, tests, rules)])
    assert [str(problem) for problem in checked.problems] == []
    (suite,) = checked.suites
    return [run_test(one, suite.groups, suite.scale_of) for one in suite.tests]


def failures(folder: Path, body: str, rules: str = RULES) -> list[str]:
    text = "tests:\n  - name: a\n" + "".join(f"    {line}\n" for line in body.strip().splitlines())
    (one,) = ran(folder, text, rules)
    return [failure.message for failure in one.failures]


RISE = """
input:
  - metric: refusal
    where: {application: support, segments.language: de}
    values: 2h of 0, 1h of 1, 2h of 0
"""


def test_a_right_test_passes_and_says_so(tmp_path, monkeypatch, capsys) -> None:
    write(tmp_path)
    monkeypatch.chdir(tmp_path)
    assert main(["check"]) == 0
    assert capsys.readouterr().out == "3 files checked, no problem: 2 rules, 1 test of rules\n"
    assert main(["test"]) == 0
    first, _, last = capsys.readouterr().out.splitlines()
    assert first.startswith(
        "ok    alerts/support.test.yaml: refusals that rise page, and recovery resolves (362 looks, "
    )
    assert last.startswith("1 test in ")
    assert last.endswith(": all passed, 0 failed")


def test_a_failure_says_what_was_when_and_why(tmp_path, monkeypatch, capsys) -> None:
    tests = GOOD.replace("{at: 2h, alert: RefusalsRose, labels: {language: de}, phase: inactive}",
                         "{at: 2h, alert: RefusalsRose, labels: {language: de}, phase: firing}")  # fmt: skip
    tests = tests.replace("pages: 1", "pages: 0").replace("in de are refusals]", "in fr]")
    write(tmp_path, tests)
    monkeypatch.chdir(tmp_path)
    assert main(["test", "alerts"]) == 1
    lines = capsys.readouterr().out.splitlines()
    assert lines[0].startswith("FAIL  alerts/support.test.yaml: ")
    assert lines[1:] == [
        "      alerts/support.test.yaml:17:9: at 2h: expected RefusalsRose{language=de} to be firing, "
        "but it was inactive",
        "        looked at 2h: good, window 58m … 1h58m, 0.05 (interval 0.02753 … 0.08181, 1,200 scores)",
        "        it was firing from 2h47m to 3h54m",
        "      alerts/support.test.yaml:18:9: at 3h: expected RefusalsRose{language=de} with other texts",
        "        annotation summary: expected 'in fr' in '0.3125 of answers in de are refusals'",
        "      alerts/support.test.yaml:4:5: expected 0 to fire, but 1 did",
        "        2h47m RefusalsRose{consumer=test, language=de}",
        "",
        lines[-1],
    ]
    assert lines[-1].endswith(": 0 passed, 1 failed")


def test_results_for_programs(tmp_path, monkeypatch, capsys) -> None:
    write(tmp_path, GOOD + "  - {name: b & c, input: [], never: [Slow]}\n")
    monkeypatch.chdir(tmp_path)
    assert main(["test", "--format", "json", "--junit", "out.xml"]) == 1
    good, bad = map(json.loads, capsys.readouterr().out.splitlines())
    assert (good["passed"], good["looks"], good["file"]) == (True, 362, "alerts/support.test.yaml")
    (page,) = good["pages"]
    assert page["labels"]["language"] == "de"
    assert page["at"] == f"2026-01-05T02:{int(page['after_seconds']) // 60 - 120}:00Z"
    assert bad["failures"] == [
        {
            "line": 27,
            "column": 38,
            "message": "Slow was never looked at: no input is of its events, so that it could not fire",
        }
    ]
    (suite,) = ElementTree.parse(tmp_path / "out.xml").getroot()  # noqa: S314 - our own
    assert (suite.get("name"), suite.get("tests"), suite.get("failures")) == ("alerts/support.test.yaml", "2", "1")
    assert [case.get("name") for case in suite] == [good["test"], "b & c"]
    (failure,) = suite[1]
    assert failure.get("message") == bad["failures"][0]["message"]
    assert len(suite[0]) == 0


def test_looks_are_those_at_a_store_with_the_same_scores(tmp_path) -> None:
    """Minute by minute a reference store is written what has come, and the ruler looks at that."""
    checked = project.read_test_files([write(tmp_path)])
    (suite,) = checked.suites
    (test,) = suite.tests
    group = suite.groups[1]
    test = replace(test, seconds=3600.0)
    made = SeriesStore(
        test, {"refusal": Scale(0.0, 1.0, "lower", binary=True), "latency_ms": Scale(0.0, None, "lower")}
    )
    told = {}
    for name in ("made", "written"):
        store = made if name == "made" else MemoryStore()
        store.record_scorers(made.metrics())
        states, told[name] = {}, []
        last = test.start
        for now in look_times(Window(test.start, test.start + timedelta(hours=1)), group.interval_seconds):
            made.now = now
            if name == "written" and now > last:
                store.write(batch(made, Window(last, now)))
            last = now
            for one in look(store, group, states, now):
                states[one.state.fingerprint] = one.state
                seen = one.state.evidence.estimate if one.state.evidence else None
                told[name].append((now, one.state.phase, seen and round(seen.low, 6), seen and seen.n))
    assert told["made"] == told["written"]
    assert len(told["made"]) >= 12


def batch(made: SeriesStore, window: Window) -> WriteBatch:
    scores = [
        score for metric in ("refusal", "latency_ms") for score in made.scores(CellQuery(metric, window, 60), 9999)
    ]
    ledger = []
    for number, row in enumerate(made.offered(window, 60)):
        minute = int(row.window.start.timestamp()) // 60
        counts = [("sampled", row.sampled), ("skipped", row.offered - row.sampled)]
        found = tuple(LedgerCount(minute, row.stratum, 1, outcome, n) for outcome, n in counts if n)
        ledger.append(LedgerEntry(row.consumer, f"{minute}.{number}", 0, 1, found))
    return WriteBatch(scores=tuple(scores), ledger=tuple(ledger))


def test_a_store_that_is_away_ends_nothing_and_is_told(tmp_path) -> None:
    found = failures(
        tmp_path,
        RISE
        + """
outages:
  - {from: 2h50m, for: 1h}
expect:
  - {at: 2h49m, alert: RefusalsRose, labels: {language: de}, phase: firing}
  - {at: 3h49m, alert: RefusalsRose, labels: {language: de}, phase: firing}
  - {at: 3h, alert: EvalsvcRuleFailing, labels: {rule: RefusalsRose}, phase: firing}
  - {at: 3h49m, alert: RefusalsRose, phase: pending}
""",
    )
    assert found == [
        "at 3h49m: expected RefusalsRose to be pending, but it was firing\n"
        "looked at 3h49m: no verdict (The store does not answer: the test says so)\n"
        "it was pending from 2h19m to 2h28m"
    ]


def test_no_scores_fail_no_scorer_and_end_nothing(tmp_path) -> None:
    for what in ("nothing", "unscored", "failed", "abstained"):
        body = f"""
input:
  - {{metric: refusal, where: {{application: support, segments.language: de}}, values: ["1h of 1, 2h of {what}"]}}
expect:
  - {{at: 3h, alert: RefusalsRose, phase: firing}}
pages: 1
"""
        assert failures(tmp_path, body) == []


def test_an_expectation_means_one_alert(tmp_path) -> None:
    both = """
input:
  - {metric: refusal, where: {application: support, segments.language: de}, values: 1h of 0}
  - {metric: refusal, where: {application: support, segments.language: fr}, values: 1h of 0}
  - {metric: refusal, where: {application: other, segments.language: it}, values: 1h of 0}
expect:
  - {at: 30m, alert: RefusalsRose, phase: inactive}
  - {at: 30m, alert: RefusalsRose, labels: {language: it}, phase: inactive}
  - {at: 30m, alert: Slow, phase: firing}
"""
    among = "RefusalsRose{consumer=test, language=de}, RefusalsRose{consumer=test, language=fr}"
    assert failures(tmp_path, both) == [
        f"at 30m: expected RefusalsRose to be inactive, but 2 alerts are so, say which by `labels`; seen: {among}",
        f"at 30m: expected RefusalsRose{{language=it}} to be inactive, but no alert is so; seen: {among}",
        "at 30m: expected Slow to be firing, but no alert is so; seen: no alert at all",
    ]


def test_before_the_first_look_nothing_is_known(tmp_path) -> None:
    body = """
start: 2026-01-05T00:01Z
input: [{metric: latency_ms, values: [1h of 100]}]
expect:
  - {at: 3m, alert: Slow, phase: inactive}
  - {at: 3m, alert: Slow, phase: firing}
"""
    assert failures(tmp_path, body) == [
        "at 3m: expected Slow to be firing, but it was inactive\nnothing had been looked at before\n"
        "it never was; it was inactive from 4m"
    ]


def test_what_fires_and_should_never_is_said_with_its_look(tmp_path) -> None:
    (found,) = failures(tmp_path, RISE + "never: [RefusalsRose]")
    first, second, look_line = found.splitlines()
    assert first == "expected RefusalsRose never to fire"
    assert second == "RefusalsRose{consumer=test, language=de} fired at 2h29m"
    assert look_line.startswith("looked at 2h29m: bad, window 1h27m … 2h27m, 0.45 (interval ")


def test_an_exact_text_is_held_against_the_message(tmp_path) -> None:
    expect = "expect: [{at: 2h59m, alert: RefusalsRose, phase: firing, annotations: {summary: %s}}]"
    assert failures(tmp_path, RISE + expect % '"0.45 of answers in de are refusals"') == []
    (found,) = failures(tmp_path, RISE + expect % "refusals")
    assert found.splitlines()[1] == (
        "annotation summary: expected 'refusals', but got '0.45 of answers in de are refusals'"
    )


def test_history_before_the_start_is_a_baseline_and_is_not_looked_at(tmp_path) -> None:
    rules = """
groups:
  - name: g
    rules:
      - {alert: Rose, metric: refusal, window: 10m, change: {direction: rose, by: 0.02, baseline: 1d}}
"""
    body = """
start: 2026-03-29T01:30+01:00
input:
  - {metric: refusal, per_minute: 20, before: 2d of 0.05, values: "1h of 0.05, 1h of 0.4"}
expect:
  - {at: 1h, alert: Rose, phase: inactive}
  - {at: 1h20m, alert: Rose, phase: firing}
"""
    text = "tests:\n  - name: a\n" + "".join(f"    {line}\n" for line in body.strip().splitlines())
    (one,) = ran(tmp_path, text, rules)
    assert one.failures == ()
    assert one.looks == 121
    assert one.test.start == datetime(2026, 3, 29, 0, 30, tzinfo=UTC)


@pytest.mark.skipif(not PAGE.is_file(), reason="the page is the checkout's, and the installed wheel is under test")
def test_the_guides_example_passes_and_fails_as_it_says(tmp_path, monkeypatch, capsys) -> None:
    page = PAGE.read_text(encoding="utf-8")
    rules, tests, *_ = re.findall(r"```yaml\n(.*?)```", page, re.DOTALL)
    (said,) = re.findall(r"```text\n(.*?)```", page, re.DOTALL)
    write(tmp_path, tests, rules)
    monkeypatch.chdir(tmp_path)
    assert main(["test"]) == 0
    capsys.readouterr()
    write(tmp_path, tests.replace("inactive", "firing"), rules)
    assert main(["test"]) == 1
    timeless = re.compile(r"\d\.\d s\)")
    assert timeless.sub("", capsys.readouterr().out).startswith(timeless.sub("", said))


KINDS = """
groups:
  - name: kinds
    interval: 10m
    rules:
      - {alert: Burns, metric: refusal, window: 1h, burn_rate: {objective: 0.95, factor: 3, short: 10m, better: lower}}
      - {alert: NoEvents, window: 10m, absence: {of: events}}
      - {alert: NoScores, metric: refusal, window: 10m, absence: {of: scores}}
      - {alert: Failing, metric: refusal, window: 30m, absence: {of: failures, beyond: 0.2}}
      - {alert: Gap, metric: refusal, window: 1h, fairness_gap: {between: segments.language, beyond: 0.1}}
      - alert: Canary
        metric: refusal
        window: 1h
        versions: {canary: {model_version: v2}, stable: {model_version: v1}, direction: rose, by: 0.02}
      - {alert: Slow, metric: latency_ms, window: 30m, above: 2000, statistic: p95}
      - {alert: Dear, metric: cost_usd, window: 1h, cost: {above: 50}}
      - {alert: Drifts, metric: refusal, window: 1h, drift: {baseline: 6h}}
"""


def test_every_kind_of_rule_can_be_tested(tmp_path) -> None:
    body = """
input:
  - metric: refusal
    where: {model_version: v1, segments.language: de}
    per_minute: 20
    rate: 0.5
    before: 6h of 0.05
    values: 2h of 0.05, 1h of 0.4
  - metric: refusal
    where: {model_version: v2, segments.language: en}
    per_minute: 20
    rate: 0.5
    before: 6h of 0.05
    values: 1h of 0.05, 1h of 0.5, 1h of 0.9 with 60% failed
  - {metric: latency_ms, spread: 100, values: [1h of 1000, 2h of 1950]}
  - {metric: cost_usd, values: [1h of 0.01, 2h of 0.2]}
expect:
"""
    for alert, quiet, fires in (
        ("Burns", "1h", "3h"),
        ("NoEvents", "3h", "3h30m"),
        ("NoScores", "3h", "3h30m"),
        ("Failing", "2h", "3h"),
        ("Gap", "1h", "2h"),
        ("Canary", "1h", "2h"),
        ("Slow", "1h", "2h"),
        ("Dear", "1h", "2h"),
        ("Drifts", "1h", "3h"),
    ):
        body += f"  - {{at: {quiet}, alert: {alert}, phase: inactive}}\n"
        body += f"  - {{at: {fires}, alert: {alert}, phase: firing}}\n"
    assert failures(tmp_path, body + "never: [EvalsvcRuleFailing]", KINDS) == []


def test_the_command_refuses_what_it_cannot_run(tmp_path, monkeypatch, capsys) -> None:
    monkeypatch.chdir(tmp_path)
    write(tmp_path).unlink()
    assert main(["test"]) == 2
    assert capsys.readouterr().err == "evalsvc: Expected tests of rules, NAME.test.yaml, but none is in alerts\n"
    assert main(["test", "no.test.yaml"]) == 2
    assert "no.test.yaml is not there" in capsys.readouterr().err
    write(tmp_path, GOOD.replace("pages: 1", "pages: -1"))
    assert main(["test"]) == 2
    assert capsys.readouterr().err == (
        "evalsvc: 1 problem in 1 file:\nalerts/support.test.yaml:26:12: expected `tests[0].pages` to be a whole number "
        "of 0 or more, but got -1\n"
    )
    write(tmp_path, GOOD, RULES.replace("severity: ticket", "severity: loud"))
    assert main(["test"]) == 2
    said = capsys.readouterr().err
    assert said.startswith("evalsvc: 1 problem in 1 file:\nalerts/support.rules.yaml:14:19: expected ")
    write(tmp_path)
    assert main(["test", "--junit", "no/such/out.xml"]) == 2
    assert "Cannot write the results to no/such/out.xml: No such file or directory" in capsys.readouterr().err


def test_a_metric_without_a_known_scale_is_refused_by_name(tmp_path) -> None:
    checked = project.read_test_files([write(tmp_path)])
    (suite,) = checked.suites
    with pytest.raises(InputError, match=r"Expected to know the scale of '(refusal|latency_ms)' for the test '"):
        run_test(suite.tests[0], suite.groups, lambda metric: None)


def problems(path: Path) -> list[str]:
    return [str(problem) for problem in project.check([path]).problems]


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.name.removesuffix(".test.yaml"))
def test_a_wrong_file_gives_exactly_its_problems(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(BAD)
    assert problems(path) == path.with_suffix(".txt").read_text(encoding="utf-8").splitlines()


def test_the_corpus_is_whole() -> None:
    assert len(FILES) >= 5
    assert {path.with_suffix(".txt").name for path in FILES} == {path.name for path in BAD.glob("*.txt")}


if __name__ == "__main__":
    os.chdir(BAD)
    for file in FILES:
        file.with_suffix(".txt").write_text("".join(f"{line}\n" for line in problems(file)), encoding="utf-8")


def test_what_is_wrong_in_a_test_is_told_at_once_with_what_is_wrong_in_its_rules(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    rules = """
groups:
  - name: a
    rules:
      - {alert: RefusalsRose, metric: refusall, above: 0.2, by: segment.language}
      - {alert: Slow, metric: latency_ms, above: 900}
"""
    tests = """
tests:
  - name: a
    input:
      - {metric: refusal, values: 1h of 0.05}
      - {metric: latnecy_ms, values: 1h of 5}
    expect:
      - {at: 1h, alert: RefusalRose, phase: firing}
      - {at: 1h, alert: RefusalsRose, labels: {language: de}, phase: firing, annotations: {summary: a}}
    never: [Slw]
"""
    (tmp_path / "a.rules.yaml").write_text(rules, encoding="utf-8")
    (tmp_path / "a.test.yaml").write_text(tests, encoding="utf-8")
    found = [
        str(problem).partition(" (")[0]
        for problem in project.check([tmp_path / "a.rules.yaml", tmp_path / "a.test.yaml"]).problems
    ]
    assert found[0].startswith("a.rules.yaml:5:39: no consumer here measures `refusall`")
    assert found[1].startswith("a.rules.yaml:5:65: expected application, model")
    assert found[2:] == [
        "a.test.yaml:6:18: no rule here is about `latnecy_ms`",
        "a.test.yaml:8:25: no rule here is called `RefusalRose`",
        "a.test.yaml:10:13: no rule here is called `Slw`",
    ]


@pytest.mark.parametrize(
    "rules",
    ["group: []", "groups: [{name: a, rule: []}]", "groups: [{name: a, rules: [{alret: B}]}]", "groups: [{name: [}]"],
)
def test_where_a_rules_name_cannot_be_read_any_may_be_right(tmp_path: Path, rules: str) -> None:
    (tmp_path / "a.rules.yaml").write_text(rules, encoding="utf-8")
    tests = "tests: [{name: a, input: [{metric: whatever, values: 1h of 0.05}], never: [Whoever]}]"
    (tmp_path / "a.test.yaml").write_text(tests, encoding="utf-8")
    found = project.check([tmp_path / "a.rules.yaml", tmp_path / "a.test.yaml"]).problems
    assert found
    assert not [problem for problem in found if problem.path.endswith("test.yaml")]
