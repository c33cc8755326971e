"""Gates that ask for what no case has are refused, with their place, before a model is asked anything."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import pytest
from msgspec import structs

from evalsvc.cases import Case, read_cases, write_cases
from evalsvc.cli import main
from evalsvc.disk_cache import DiskCache
from evalsvc.errors import ConfigError, InputError
from evalsvc.gate.checking import check_suites
from evalsvc.gate.deciding import leaves_of
from evalsvc.gate.evaluated import Evaluated
from evalsvc.gate.fitting import check_gate_fits, misfits
from evalsvc.gate.reading import load_suite
from evalsvc.gate.running import run_suite
from evalsvc.gate.values import AtLeast, Critical, GapAtMost, Gate, Robust
from evalsvc.perturbation import vary
from suites_made import CountingModel, write_project

GATES = [
    ("at_least: 0.1, by: segments.plam", "no case has `segments.plam`", "did you mean `segments.plan`?"),
    ("at_least: 0.1, by: [segments.plan, variant]", "no case has `variant`", "known: group, segments.plan"),
    ("at_least: 0.1, where: {segments.plam: a}", "no case has `segments.plam`", "did you mean `segments.plan`?"),
    ("at_least: 0.1, where: {segments.plan: [a, premium]}", "no case has `premium` as `segments.plan`", "known: a, b"),
    ("at_least: 0.1, where: {tags: hard}", "no case has tags", ""),
    ("gap: segments.plann, at_most: 0.1", "no case has `segments.plann`", "did you mean `segments.plan`?"),
    ("robust_within: 0.1", "no case is a variant of another one of the set", "make some: evalsvc cases vary"),
    ("at_least: 0.1, where: {segments.plan: a, group: g1}", "", ""),
    ("at_least: 0.1, by: segments.plan, where: {segments.plan: b}", "", ""),
]


@pytest.mark.parametrize(("gate", "message", "hint"), GATES)
def test_at_its_place_before_anything_is_asked(tmp_path, gate, message, hint) -> None:
    path = write_project(tmp_path, 40, gates=f"  - {{metric: token_f1, {gate}}}\n")
    path.write_text(path.read_text().replace("baseline: main\n", ""))
    found = check_suites([path])
    model = CountingModel(0.0, "1")
    with DiskCache.open(None) as cache:
        if not message:
            assert not found.problems
            run_suite(load_suite(path), cache, generator=model, sample=4)
            return
        (problem,) = found.problems
        assert (problem.message, problem.hint) == (message, hint)
        lines = path.read_text().splitlines()
        value = gate.split(": ", 1)[1] if not gate.startswith("at_least") else gate.split(", ", 1)[1].split(": ", 1)[1]
        assert lines[problem.line - 1][problem.column - 1 :].startswith(value[:3])
        with pytest.raises(ConfigError) as refused:
            run_suite(load_suite(path), cache, generator=model, shown=problem.path)
    assert refused.value.problems == (problem,)
    assert not model.asked


def test_no_case_is_critical(tmp_path) -> None:
    path = write_project(tmp_path, 40, gates="  - {metric: token_f1, critical: true, at_least: 0.2}\n")
    path.write_text(path.read_text().replace("baseline: main\n", ""))
    cases = path.parent / "cases.jsonl"
    cases.write_text(cases.read_text().replace('"critical": true', '"critical": false'))
    (problem,) = check_suites([path]).problems
    assert (problem.message, problem.hint) == (
        "no case is marked critical",
        "set `critical: true` on the cases that must never fail",
    )


@pytest.mark.parametrize(
    "words",
    [
        ["gate", "SUITE", "--power"],
        ["gate", "SUITE"],
        ["baseline", "from-production", "SUITE", "--name", "week", "--since", "7d", "--because", "tests"],
    ],
)
def test_whatever_is_asked_of_the_suite(tmp_path, monkeypatch, capsys, words) -> None:
    path = write_project(tmp_path, 40, gates="  - {metric: token_f1, not_worse_by: 0.1, by: segments.plam}\n")
    monkeypatch.chdir(tmp_path)
    assert main([str(path) if word == "SUITE" else word for word in words]) == 2
    assert "no case has `segments.plam` (did you mean `segments.plan`?)" in capsys.readouterr().err


@pytest.mark.parametrize(("looks", "said"), [(2, ""), (4, "3 looks in place of 4"), (20, "3 looks in place of 20")])
def test_looks_that_the_cases_are_too_few_for_are_told(tmp_path, looks, said) -> None:
    gates = "  - {metric: token_f1, at_least: 0.8}\n"
    path = write_project(tmp_path, 190, gates=gates, extra=f"looks: {looks}\n")
    with DiskCache.open(None) as cache:
        verdict = run_suite(load_suite(path), cache, generator=CountingModel(0.2, "1")).verdict
    notes = [note for note in verdict.notes if "in place of" in note]
    more = ": a look has at least 30 groups of cases, and there are 95"
    assert notes == ([said + more] if said else [])


def test_cases_in_no_group_are_called_cases(tmp_path) -> None:
    path = write_project(tmp_path, 70, gates="  - {metric: token_f1, at_least: 0.8}\n", extra="looks: 4\n")
    cases = path.parent / "cases.jsonl"
    cases.write_text(re.sub(r'"group": "[^"]*", ', "", cases.read_text()))
    with DiskCache.open(None) as cache:
        verdict = run_suite(load_suite(path), cache, generator=CountingModel(0.2, "1")).verdict
    assert "2 looks in place of 4: a look has at least 30 cases, and there are 70" in verdict.notes


CASES = [
    Case(case_id="a", prompt="1", segments={"plan": "pro", "site": "x"}, tags=("hard",), critical=True),
    Case(case_id="b", prompt="2", segments={"plan": "free"}),
]


def test_a_field_that_some_cases_lack_is_the_segment_none() -> None:
    asked = [
        Gate(metric="m", ask=AtLeast(0.1), by=("segments.site",)),
        Gate(metric="m", ask=AtLeast(0.1), where={"segments.site": ("(none)",)}),
        Gate(metric="m", ask=GapAtMost("segments.site", 0.1)),
    ]
    assert misfits(asked, CASES) == []


@pytest.mark.parametrize(
    ("gate", "message"),
    [
        (Gate(metric="m", ask=AtLeast(0.1), where={"segments.plan": ("free",), "tags": ("hard",)}), "has all of this"),
        (Gate(metric="m", ask=AtLeast(0.1), where={"tags": ("hart",)}), "did you mean `hard`?"),
        (Gate(metric="m", ask=GapAtMost("segments.plan", 0.1), where={"segments.plan": ("pro",)}), "have one value"),
        (Gate(metric="m", ask=Critical(1.0), where={"segments.plan": ("free",)}), "no case is marked critical"),
        (Gate(metric="m", ask=Robust(0.1), where={"segments.plan": ("pro",)}), "no case is a variant"),
        (Gate(metric="m", ask=GapAtMost("segments.plan", 0.1), by=("segments.site",)), "all cases of `site=(none)`"),
    ],
)
def test_one_gate_of_a_test_in_python(gate, message) -> None:
    with pytest.raises(InputError, match="Expected a gate that fits the cases, but") as refused:
        check_gate_fits(gate, CASES)
    assert message in str(refused.value)


def test_a_gate_on_segments_that_looks_at_nothing_is_still_one_finding() -> None:
    gate = Gate(metric="m", ask=AtLeast(0.1), by=("segments.plan",), where={"segments.plan": ("none",)})
    held = Evaluated(cases=tuple(CASES), digests=("1", "2"), answers=(), scores={}, model="", model_version="",
                     signature="")  # fmt: skip
    (leaf,) = leaves_of(gate, held)
    assert not leaf.rows.size


class Without(NamedTuple):
    """A gate, which cases lack what its metric needs, and what is said of it."""

    gate: str
    lack: Callable[[int], bool]
    message: str
    hint: str


EVERY, EVERY_TENTH = (lambda place: True), (lambda place: place % 10 == 0)
OF_ODD, OF_FEW = (lambda place: place % 2 == 1), (lambda place: place < 2)
WITHOUT = [
    Without(
        "at_least: 0.1",
        EVERY,
        "the gate `token_f1 at least 0.1` cannot be decided: 40 of 40 cases have no `reference`, which token_f1 needs",
        "add it to these cases, or gate a metric that does without",
    ),
    Without(
        "not_worse_by: 0.1",
        EVERY_TENTH,
        "the gate `token_f1 not worse by 0.1` cannot pass: 4 of 40 cases have no `reference`, which token_f1 needs, "
        "and at most 5% may lack a score",
        "add it to these cases, leave them out by `where`, or allow it by `max_missing: 10%`",
    ),
    Without("at_least: 0.1, max_missing: 10%", EVERY_TENTH, "", ""),
    Without("at_least: 0.1", OF_FEW, "", ""),
    Without(
        "at_least: 0.1, by: segments.plan",
        OF_ODD,
        "the gate `token_f1 at least 0.1, by segments.plan` cannot be decided: 20 of 20 cases of `plan=b` have no "
        "`reference`, which token_f1 needs",
        "add it to these cases, or leave them out by `where`",
    ),
    Without("at_least: 0.1, where: {segments.plan: a}", OF_ODD, "", ""),
    Without(
        "at_least: 0.1, critical: true",
        lambda place: place == 10,
        "the gate `token_f1 reaches 0.1 on every critical case` cannot pass: 1 of 4 critical cases has no `reference`, "
        "which token_f1 needs, and none may lack a score",
        "add it to these cases, or leave them out by `where`",
    ),
    Without("at_least: 0.1, advisory: true", OF_ODD, "", ""),
    Without(
        "at_least: 0.1, advisory: true",
        EVERY,
        "the gate `token_f1 at least 0.1` cannot be decided: 40 of 40 cases have no `reference`, which token_f1 needs",
        "add it to these cases, or gate a metric that does without",
    ),
]


def without(path: Path, field: str, lack: Callable[[int], bool]) -> None:
    """Take a field from some cases of a suite."""
    cases = path.parent / "cases.jsonl"
    held = [json.loads(line) for line in cases.read_text().splitlines()]
    kept = ({**case, field: None} if lack(place) else case for place, case in enumerate(held))
    cases.write_text("".join(json.dumps(case) + "\n" for case in kept))


@pytest.mark.parametrize(("gate", "lack", "message", "hint"), WITHOUT)
def test_what_too_many_cases_lack_is_told_before_anything_is_asked(tmp_path, gate, lack, message, hint) -> None:
    path = write_project(tmp_path, 40, gates=f"  - {{metric: token_f1, {gate}}}\n")
    if "not_worse_by" not in gate:
        path.write_text(path.read_text().replace("baseline: main\n", ""))
    without(path, "reference", lack)
    found = [one for one in check_suites([path]).problems if "baseline" not in one.message]
    assert [(one.message, one.hint) for one in found] == ([(message, hint)] if message else [])
    assert [path.read_text().splitlines()[one.line - 1][one.column - 1 :][:8] for one in found] == ["token_f1"][
        : len(found)
    ]
    if message:
        model = CountingModel(0.0, "1")
        with DiskCache.open(None) as cache, pytest.raises(ConfigError) as refused:
            run_suite(load_suite(path), cache, generator=model, shown=found[0].path)
        assert (refused.value.problems, model.asked) == (tuple(found), [])


@pytest.mark.parametrize(("allowed", "told"), [("", True), (", max_missing: 10%", False)])
def test_variants_that_lack_what_the_metric_needs_may_be_allowed(tmp_path, allowed, told) -> None:
    path = write_project(tmp_path, 40, gates=f"  - {{metric: token_f1, robust_within: 0.1{allowed}}}\n")
    path.write_text(path.read_text().replace("baseline: main\n", ""))
    cases = path.parent / "cases.jsonl"
    varied = vary(read_cases(cases).cases, ["upper_case"], seed=3).cases
    lacking = {case.digest for case in [case for case in varied if case.variant][:4]}
    write_cases(cases, (structs.replace(case, reference="") if case.digest in lacking else case for case in varied))
    found = [(one.message, one.hint) for one in check_suites([path]).problems]
    message = (
        "the gate `token_f1 variants not worse than their cases by 0.1` cannot pass: 4 of 40 cases of "
        "`variant=upper_case` have no `reference`, which token_f1 needs, and at most 5% may lack a score"
    )
    hint = "add it to these cases, leave them out by `where`, or allow it by `max_missing: 10%`"
    assert found == ([(message, hint)] if told else [])


@pytest.mark.parametrize("words", [["check"], ["gate"], ["gate", "--power"]])
@pytest.mark.parametrize(
    ("metric", "need"), [("token_f1", "reference"), ("tool_calls", "expected_tools"), ("context_support", "contexts")]
)
def test_every_command_tells_of_what_no_case_has(tmp_path, monkeypatch, capsys, words, metric, need) -> None:
    path = write_project(tmp_path, 40, gates=f"  - {{metric: {metric}, at_least: 0.1}}\n")
    path.write_text(path.read_text().replace("[token_f1,", f"[{metric},").replace("baseline: main\n", ""))
    without(path, "reference", EVERY)
    monkeypatch.chdir(tmp_path)
    assert main([*words, "suites"]) == (1 if words == ["check"] else 2)
    said = capsys.readouterr()
    assert f"40 of 40 cases have no `{need}`, which {metric} needs" in said.out + said.err


@pytest.mark.parametrize("words", [["check"], ["gate"], ["gate", "--power"]])
def test_a_price_that_an_endpoint_was_not_told(tmp_path, monkeypatch, capsys, words) -> None:
    path = write_project(tmp_path, 40, gates="  - {metric: cost_usd, at_most: 1}\n")
    told = path.read_text().replace("baseline: main\n", "")
    model = "{endpoint: 'http://localhost:1/v1', model: m}"
    path.write_text(told.replace("{recorded: answers.jsonl}", model))
    monkeypatch.chdir(tmp_path)
    assert main([*words, "suites"]) == (1 if words == ["check"] else 2)
    said = capsys.readouterr()
    assert (
        "the gate `cost_usd at most 1` cannot be decided: no answer of this model tells `cost_usd` (give "
        "the model its `prices`)"
    ) in said.out + said.err


def test_calls_that_a_case_does_not_expect_may_be_asked_for_strictly(tmp_path) -> None:
    path = write_project(tmp_path, 40, gates="  - {metric: tool_calls, at_least: 0.1}\n")
    strict = "[{name: tool_calls, options: {strict: true}},"
    path.write_text(path.read_text().replace("[token_f1,", strict).replace("baseline: main\n", ""))
    assert not check_suites([path]).problems
