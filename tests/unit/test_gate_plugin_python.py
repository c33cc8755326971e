"""Tests that ask a suite's run by the pytest plugin's marker and fixtures: single cases, segments and gates."""

from __future__ import annotations

import json
import re
import shutil
from pathlib import Path

import pytest

from evalsvc.errors import InputError
from evalsvc.gate.shared_runs import Wanted
from plugin_project import COUNTING, MARKED, RIGHT, SUITE, WRONG, N, answers, asked, cases, evaluated

pytest_plugins = ["pytester", "plugin_project"]

PAGE = Path(__file__).parents[2] / "docs" / "how-to" / "test-a-model-with-pytest.md"
EXAMPLE = Path(__file__).parents[2] / "suites" / "support"


def test_single_cases_have_their_names_answers_and_scores(project):
    project.write(
        test_colours__py=MARKED
        + """
def test_blue(answer):
    assert answer.response == answer.case.reference
    assert answer.score("rouge_l") == 1.0
    assert answer.spread("rouge_l") is None

@pytest.mark.evalsvc(critical=True)
def test_critical(answer):
    assert answer.case.case_id == "case-3"
    assert answer.scores("exact_match") == (1.0,)

@pytest.mark.evalsvc(where={"segments.language": "de"})
def test_part(evaluation):
    assert len(evaluation.cases) == 20
    assert evaluation.answer("case-2").tool_calls == ()
    assert set(evaluation.scores("rouge_l")) == {1.0}
    assert evaluation.verdict.n_cases == 40
"""
    )
    result = project.run("test_colours.py", "-v")
    result.assert_outcomes(passed=42)
    result.stdout.fnmatch_lines(["test_colours.py::test_blue[[]case-17] PASSED*"])


def test_repeats_have_a_spread(project):
    project.write(good__jsonl=answers(RIGHT, repeats=2))
    test = """
@pytest.mark.evalsvc(repeats=2, critical=True)
def test_spread(answer, evaluation):
    assert answer.scores("exact_match") == (1.0, 0.0)
    assert answer.score("exact_match") == 0.5
    assert answer.spread("exact_match") == pytest.approx(0.5**0.5)
    evaluation.gate("exact_match", statistic="pass@2").at_least(0.01)
"""
    project.write(test_colours__py=MARKED + test)
    result = project.run("test_colours.py", "--evalsvc-inconclusive", "pass")
    result.assert_outcomes(passed=1)


def test_what_is_missing_is_a_failure_with_its_reason(project):
    lines = [json.dumps({"case_id": f"case-{n}", "response": RIGHT}) for n in range(N) if n != 3]
    project.write(good__jsonl="\n".join([*lines, '{"case_id":"case-3","status":"failed","reason":"HTTP 429"}']) + "\n")
    test = """
@pytest.mark.evalsvc(critical=True)
def test_score(answer):
    assert answer.score("rouge_l") >= 0.0

@pytest.mark.evalsvc(critical=True)
def test_secret(answer):
    assert "secret" not in answer.response

def test_latency(evaluation):
    evaluation.answer("case-4").score("latency_ms")
"""
    project.write(test_colours__py=MARKED + test)
    result = project.run("test_colours.py")
    result.assert_outcomes(failed=3)
    result.stdout.fnmatch_lines(
        [
            "E *AssertionError: case-3, answer 1: no rouge_l, since no answer: HTTP 429",
            "E *AssertionError: case-3 has no answer: HTTP 429",
            "E *AssertionError: case-4, answer 1: no latency_ms, since *",
        ]
    )


def test_gates_in_python_fail_at_the_line_that_asks(project):
    test = """
def test_all(evaluation):
    evaluation.gate("rouge_l", by="segments.language").not_worse_by(0.2)

@pytest.mark.evalsvc(segment="segments.language")
def test_each(segment):
    assert segment.segment in ("language=de", "language=en") and len(segment.cases) == 20
    segment.gate("rouge_l").at_least(0.5)
"""
    project.write(test_colours__py=MARKED + test)
    project.run("test_colours.py").assert_outcomes(passed=3)
    result = project.run("test_colours.py", "--evalsvc-answers", "bad.jsonl")
    result.assert_outcomes(failed=3)
    result.stdout.fnmatch_lines(
        [
            '>*evaluation.gate("rouge_l", by="segments.language").not_worse_by(0.2)',
            "E*FAIL: rouge_l not worse by 0.2, by segments.language [[]language=de]",
            "*test_each[[]language=de]*",
            "E*FAIL: rouge_l at least 0.5 [[]language=de]",
        ]
    )
    result.stdout.no_fnmatch_line("*evalsvc/gate/*.py*")


def test_the_rest_of_the_set_is_not_taken_for_cases_that_are_gone(project):
    test = """
@pytest.mark.evalsvc(segment="segments.language")
def test_each(segment):
    segment.gate("rouge_l").not_worse_by(0.3)
"""
    # Four of each language are new since the baseline, and none is gone.
    project.write(cases__jsonl=cases(N + 8), good__jsonl=answers(RIGHT, N + 8), test_colours__py=MARKED + test)
    project.run("test_colours.py").assert_outcomes(passed=2)
    lines = cases(N + 8).splitlines(keepends=True)
    project.write(cases__jsonl="".join([*lines[:4], *lines[12:]]))
    result = project.run("test_colours.py")
    result.assert_outcomes(failed=2)
    result.stdout.fnmatch_lines(["E*4 of 20 cases were changed or replaced since the baseline*"])


def test_cases_that_a_run_stopped_before_are_skipped(project):
    project.write(cases__jsonl=cases(80), bad__jsonl=answers(WRONG, 80))
    alone = [line for line in SUITE.splitlines() if "main" not in line and "worse" not in line]
    project.suite("\n".join([*alone, "looks: 2"]), "{recorded: bad.jsonl}")
    test = """
def test_one(answer):
    assert answer.case.case_id

@pytest.mark.evalsvc(segment="segments.language")
def test_part(segment):
    assert segment.cases
"""
    project.write(test_colours__py=MARKED + test)
    counted = project.run("test_colours.py").parseoutcomes()
    assert counted["skipped"] > 0
    assert counted["passed"] + counted["skipped"] == 80 + 2


@pytest.mark.parametrize(
    ("marker", "said"),
    [
        ("", "the marker names no suite"),
        ('"colors.suite.yaml"', "did you mean `colours.suite.yaml`?"),
        ('"colours.suite.yaml", answer="a"', "did you mean `answers`?"),
        ('"colours.suite.yaml", repeats="two"', "Expected `int"),
        ('"colours.suite.yaml", repeats=0', "Expected `repeats` of at least 1"),
        ('"colours.suite.yaml", where={"plan": "pro"}', "Expected `where` by segments.NAME"),
        (
            '"colours.suite.yaml", where={"tags": "none"}',
            "marker `evalsvc` that fits the cases, but no case has tags",
        ),
        ('"colours.suite.yaml", where={"segments.language": "dee"}', "no case has `dee` as `segments.language`"),
        ('"colours.suite.yaml", where={"segments.language": "de"}, critical=True', "no case is marked critical"),
    ],
)
def test_a_wrong_marker_is_a_collection_error(project, marker, said):
    test = f"import pytest\n@pytest.mark.evalsvc({marker})\ndef test_one(answer):\n    pass\n"
    project.write(test_one__py=test)
    result = project.run("test_one.py")
    result.assert_outcomes(errors=1)
    assert said in result.stdout.str()


@pytest.mark.parametrize(
    ("fixture", "marker"),
    [("evaluation", 'where={"segments.langage": "de"}'), ("segment", 'segment="segments.langage"')],
)
def test_a_test_of_no_case_is_a_collection_error_before_anything_is_asked(project, fixture, marker):
    project.suite(model='{callable: "model.py:ask"}')
    test = f"@pytest.mark.evalsvc({marker})\ndef test_all({fixture}):\n    assert all({fixture}.answers)\n"
    project.write(test_colours__py=MARKED + test)
    result = project.run("test_colours.py")
    result.assert_outcomes(errors=1)
    assert "no case has `segments.langage` (did you mean `segments.language`?)" in result.stdout.str()
    assert asked(project) == 0


def test_a_gate_that_no_file_may_have_is_refused_in_the_same_words(project):
    given = Wanted(project.path / "colours.suite.yaml")
    found = evaluated(project.path, given)
    for ask, said in [
        (lambda: found.gate("rouge_k").better(), "did you mean `rouge_l`?"),
        (lambda: found.gate("rouge_l", by="language").better(), "a field: segments.NAME, group or variant"),
        (lambda: found.gate("rouge_l").not_worse_by(-1), "above 0"),
        (lambda: found.gate("rouge_l", statistic="pass^3").at_least(0.5), "at least 3 repeats"),
        (lambda: found.answer("case-99999"), "a case that was asked"),
        (lambda: found.answer("case-1").score("rouge"), "rouge_l"),
    ]:
        with pytest.raises(InputError, match="Expected") as raised:
            ask()
        assert said in str(raised.value)


def test_a_gate_in_python_decides_as_the_same_gate_alone_in_a_file(project):
    lone = "\n".join(line for line in SUITE.splitlines() if "segments" not in line and "critical" not in line)
    project.suite(lone, "{recorded: bad.jsonl}")
    found = evaluated(project.path, Wanted(project.path / "colours.suite.yaml"))
    assert found.decided({"metric": "rouge_l", "not_worse_by": 0.1}) == found.verdict.gates[0]


def test_gates_in_python_refuse_a_run_that_may_stop_early(project):
    project.suite(SUITE + "looks: 2\n")
    found = evaluated(project.path, Wanted(project.path / "colours.suite.yaml"))
    with pytest.raises(InputError, match="`looks: 2` and may stop early"):
        found.gate("rouge_l").better()


def test_a_marked_test_may_have_a_fixture_of_its_own_in_the_place_of_ours(project):
    test = """
@pytest.fixture
def answer():
    return "mine"

def test_mine(answer, evaluation):
    assert (answer, len(evaluation.cases)) == ("mine", 40)
"""
    over = """
@pytest.fixture
def answer(answer):
    return answer.case.case_id

@pytest.mark.evalsvc(critical=True)
def test_over(answer):
    assert answer == "case-3"
"""
    project.write(test_mine__py=MARKED + test, test_over__py=MARKED + over)
    project.run("test_mine.py", "test_over.py").assert_outcomes(passed=2)


def test_a_test_without_the_marker_says_what_is_missing(project):
    project.write(test_bare__py="def test_bare(evaluation):\n    pass\n")
    result = project.run("test_bare.py")
    result.assert_outcomes(errors=1)
    result.stdout.fnmatch_lines(["*test_bare has no such marker*"])


@pytest.mark.skipif(not PAGE.is_file() or not EXAMPLE.is_dir(), reason="page and example are not beside the tests")
def test_the_file_of_the_guide_passes(project):
    (code,) = re.findall(r"```python\n(.*?)```", PAGE.read_text(), re.DOTALL)
    shutil.copytree(EXAMPLE, project.path / "support")
    (project.path / "support" / "test_support.py").write_text(code)
    result = project.run("support/test_support.py")
    outcomes = result.parseoutcomes()
    assert set(outcomes) == {"passed"}
    assert outcomes["passed"] > 40


def test_every_argument_of_a_gate_reaches_it(project):
    wanted = Wanted(project.path / "colours.suite.yaml", project.path / "good.jsonl")
    evaluation = evaluated(project.path, wanted)
    asked = evaluation.gate("rouge_l", statistic="pass^1", success=0.7, where={"segments.language": "de"})
    assert asked.at_least(0.5).gate == "rouge_l pass^1 (success: 0.7) at least 0.5, where segments.language=de"
    with pytest.raises(InputError, match="of `rouge_l`, higher is better"):
        evaluation.gate("rouge_l", direction="lower").at_least(0.5)
    with pytest.raises(InputError, match="max_missing"):
        evaluation.gate("exact_match", max_missing=1.5).at_least(0.5)
    with pytest.raises(InputError, match="did you mean `segments"):
        evaluation.gate("rouge_l", by="segments.langauge").at_least(0.5)


def test_options_of_the_session_reach_the_run(project):
    project.suite(SUITE, "{callable: 'model.py:ask'}")
    project.write(model__py=COUNTING, test_colours__py=MARKED + "def test_it(evaluation): assert evaluation.cases\n")
    for _ in range(2):
        project.run("test_colours.py").assert_outcomes(passed=1)
    assert asked(project) == N, "answers are kept"
    project.run("test_colours.py", "--evalsvc-no-cache").assert_outcomes(passed=1)
    assert asked(project) == 2 * N
    costs = COUNTING.replace('return "the sky is blue"', 'return {"response": "the sky is blue", "cost_usd": 0.1}')
    project.write(model__py=costs)
    project.run("test_colours.py", "--evalsvc-no-cache", "--evalsvc-budget", "0.5")
    # What is under way when the budget is full is paid too.
    assert 2 * N + 5 <= asked(project) < 2 * N + 5 + 4


def test_a_segment_that_a_stopped_run_never_reached_is_no_pass(project):
    # 79 German cases, which are asked first for the most part, and one French one that is asked late or not at all.
    lines = [json.loads(line) for line in cases(80).splitlines()]
    seen = []
    for rare in range(80):
        for number, line in enumerate(lines):
            line["segments"] = {"language": "fr" if number == rare else "de"}
        project.write(cases__jsonl="".join(json.dumps(line) + "\n" for line in lines), bad__jsonl=answers(WRONG, 80))
        gates = "gates:\n  - {metric: rouge_l, at_least: 0.5, by: segments.language}\n"
        alone = SUITE.split("gates:")[0].replace("baseline: main\n", "") + gates + "looks: 2\n"
        project.suite(alone, "{recorded: bad.jsonl}")
        result = project.run("colours.suite.yaml")
        seen.append(result.parseoutcomes())
        if "the run stopped before any case of it was asked" in result.stdout.str():
            assert seen[-1]["failed"] == 2
            return
    raise AssertionError(f"every run reached the one case: {seen}")
