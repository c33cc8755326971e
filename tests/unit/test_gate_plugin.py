"""The pytest plugin in projects of its own: what it collects, asks, shows and keeps; others it leaves alone."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from datetime import UTC, datetime
from pathlib import Path
from typing import NamedTuple

import pytest

import evalsvc
from evalsvc.disk_cache import DiskCache
from evalsvc.errors import EvalsvcError, InputError
from evalsvc.gate import keeping
from evalsvc.gate.baselines import promote
from evalsvc.gate.evaluation import Evaluation
from evalsvc.gate.reading import load_suite
from evalsvc.gate.running import run_suite
from evalsvc.gate.shared_runs import SharedRuns, Wanted

pytest_plugins = ["pytester"]

ROOT = Path(evalsvc.__file__).parents[1]
EXAMPLE = Path(__file__).parents[2] / "suites" / "support"
ALONE = ("-p", "evalsvc.gate.plugin", "-p", "no:cacheprovider")
N = 40
RIGHT, WRONG = "the sky is blue", "no idea at all"
SUITE = """suite: colours
cases: cases.jsonl
model: MODEL
baseline: main
scorers: [rouge_l, exact_match, latency_ms]
gates:
  - {metric: rouge_l, not_worse_by: 0.1}
  - {metric: rouge_l, at_least: 0.5, by: segments.language}
  - {metric: exact_match, critical: true}
"""
COUNTING = """
def ask(prompt):
    with open("asked.txt", "a") as file:
        file.write("x")
    return "the sky is blue"
"""
MARKED = 'import pytest\npytestmark = pytest.mark.evalsvc("colours.suite.yaml")\n'


def cases(count: int = N) -> str:
    lines = [
        {
            "case_id": f"case-{number}",
            "prompt": f"What is the colour of sky {number}?",
            "reference": RIGHT,
            "segments": {"language": "en" if number % 2 else "de"},
            "critical": number == 3,
        }
        for number in range(count)
    ]
    return "".join(json.dumps(line) + "\n" for line in lines)


def answers(response: str, count: int = N, repeats: int = 1) -> str:
    lines = [
        {"case_id": f"case-{number}", "repeat": repeat, "response": response if repeat == 0 else WRONG}
        for number in range(count)
        for repeat in range(repeats)
    ]
    return "".join(json.dumps(line) + "\n" for line in lines)


class Project(NamedTuple):
    """A folder with a suite, its cases, recorded answers and a baseline."""

    pytester: pytest.Pytester
    path: Path

    def write(self, **files: str) -> None:
        write(self.path, **files)

    def suite(self, text: str = SUITE, model: str = "{recorded: good.jsonl}") -> None:
        self.write(colours__suite__yaml=text.replace("MODEL", model))

    def run(self, *arguments: str) -> pytest.RunResult:
        return self.pytester.runpytest_inprocess(*ALONE, *arguments)


def write(folder: Path, **files: str) -> None:
    for name, text in files.items():
        (folder / name.replace("__", ".")).write_text(text)


@pytest.fixture(scope="module")
def laid_out(tmp_path_factory) -> Path:
    """The project's files. All that a run imports is imported here: pytester forgets what is imported within it."""
    folder = tmp_path_factory.mktemp("laid-out")
    write(folder, pyproject__toml="[tool.evalsvc]\n", cases__jsonl=cases(), model__py=COUNTING)
    write(folder, good__jsonl=answers(RIGHT), bad__jsonl=answers(WRONG))
    alone = "".join(line for line in SUITE.splitlines(keepends=True) if "main" not in line and "worse" not in line)
    write(folder, colours__suite__yaml=alone.replace("MODEL", "{recorded: good.jsonl}"))
    with DiskCache.open(None) as cache:
        run = run_suite(load_suite(folder / "colours.suite.yaml"), cache)
    promote(run.record, "run", folder, "main", by="somebody", because="first", now=datetime(2026, 3, 1, tzinfo=UTC))
    write(folder, colours__suite__yaml=SUITE.replace("MODEL", "{recorded: good.jsonl}"))
    for recorded in ("good.jsonl", "bad.jsonl"):
        found = evaluated(folder, Wanted(folder / "colours.suite.yaml", folder / recorded))
        found.decided({"metric": "rouge_l", "statistic": "p95", "at_least": 0.5})
    shutil.rmtree(folder / "session")
    shutil.rmtree(folder / ".evalsvc")
    return folder


@pytest.fixture
def project(laid_out: Path, pytester: pytest.Pytester, monkeypatch: pytest.MonkeyPatch) -> Project:
    monkeypatch.setenv("PYTEST_DISABLE_PLUGIN_AUTOLOAD", "1")
    monkeypatch.delenv("PYTEST_ADDOPTS", raising=False)
    monkeypatch.setenv("XDG_CACHE_HOME", str(pytester.path / "cache-home"))
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join([str(ROOT), os.environ.get("PYTHONPATH", "")]).strip(os.pathsep))
    shutil.copytree(laid_out, pytester.path, dirs_exist_ok=True)
    return Project(pytester, pytester.path)


def evaluated(folder: Path, wanted: Wanted, runs: SharedRuns | None = None) -> Evaluation:
    def refuse(said: str) -> None:
        raise AssertionError(said)

    session = folder / "session"
    session.mkdir(exist_ok=True)
    return (runs or SharedRuns(folder)).evaluation(wanted, "colours.suite.yaml", session, refuse)


def asked(project: Project) -> int:
    file = project.path / "asked.txt"
    return len(file.read_text()) if file.exists() else 0


def test_a_suite_in_yaml_is_an_item_for_each_gate_and_segment(project):
    result = project.run("-v")
    result.assert_outcomes(passed=4)
    result.stdout.fnmatch_lines(
        [
            "colours.suite.yaml::rouge_l not worse by 0.1 PASSED*",
            "colours.suite.yaml::rouge_l at least 0.5, by segments.language[[]language=de] PASSED*",
            "colours.suite.yaml::rouge_l at least 0.5, by segments.language[[]language=en] PASSED*",
            "colours.suite.yaml::exact_match reaches 1 on every critical case PASSED*",
            "*= evalsvc =*",
            "colours: PASS. All 3 gates passed. .evalsvc/runs/colours/*/report.html",
        ]
    )
    (kept,) = (project.path / ".evalsvc" / "runs" / "colours").iterdir()
    assert keeping.RunKeeper(project.path).again(keeping.read_verdict(kept / "verdict.json")).same


def test_a_worse_version_fails_with_numbers_and_without_a_traceback(project):
    result = project.run("--evalsvc-answers", "bad.jsonl")
    result.assert_outcomes(failed=4)
    result.stdout.fnmatch_lines(
        [
            "FAIL: rouge_l not worse by 0.1",
            "  worse by more than 0.1 is shown",
            "  candidate 0, baseline or limit 1, difference -1*",
            "  40 cases in 40 groups",
            "  cases: case-3",
            "colours: FAIL. 3 of 3 gates failed: *",
        ]
    )
    result.stdout.no_fnmatch_line("*Traceback*")
    result.stdout.no_fnmatch_line("*evalsvc/gate/*.py*")


@pytest.mark.parametrize(("policy", "outcome"), [("fail", "failed"), ("skip", "skipped"), ("pass", "passed")])
def test_too_little_data_is_what_the_policy_says_in_yaml_and_in_python(project, policy, outcome):
    few = "suite: few\ncases: few.jsonl\nmodel: {recorded: good.jsonl}\nscorers: [exact_match]\ngates:\n"
    project.write(few__jsonl=cases(4), few__suite__yaml=few + "  - {metric: exact_match, at_least: 0.9}\n")
    test = 'import pytest\n@pytest.mark.evalsvc("few.suite.yaml")\ndef test_few(evaluation):\n'
    project.write(test_few__py=test + '    evaluation.gate("exact_match").at_least(0.95)\n')
    result = project.run("few.suite.yaml", "test_few.py", "--evalsvc-inconclusive", policy, "-rs")
    result.assert_outcomes(**{outcome: 2})
    if policy != "pass":
        result.stdout.fnmatch_lines(["*INCONCLUSIVE: exact_match at least 0.9*"])


def test_mistakes_of_a_suite_are_one_collection_error_with_their_places(project):
    project.suite(SUITE.replace("not_worse_by", "not_worse_bye").replace("rouge_l, exact", "rouge_k, exact"))
    project.write(test_colours__py=MARKED + "def test_any(evaluation):\n    pass\n")
    result = project.run()
    result.assert_outcomes(errors=2)
    result.stdout.fnmatch_lines(["*colours.suite.yaml:5:*rouge_k*", "*colours.suite.yaml:7:*not_worse_bye*"])
    result.stdout.no_fnmatch_line("*Traceback*")


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


@pytest.mark.parametrize(
    ("marker", "said"),
    [
        ("", "the marker names no suite"),
        ('"colors.suite.yaml"', "did you mean `colours.suite.yaml`?"),
        ('"colours.suite.yaml", answer="a"', "did you mean `answers`?"),
        ('"colours.suite.yaml", repeats="two"', "Expected `int"),
        ('"colours.suite.yaml", repeats=0', "Expected `repeats` of at least 1"),
        ('"colours.suite.yaml", where={"plan": "pro"}', "Expected `where` by segments.NAME"),
        ('"colours.suite.yaml", where={"tags": "none"}', "none fits the marker's `where`"),
    ],
)
def test_a_wrong_marker_is_a_collection_error(project, marker, said):
    test = f"import pytest\n@pytest.mark.evalsvc({marker})\ndef test_one(answer):\n    pass\n"
    project.write(test_one__py=test)
    result = project.run("test_one.py")
    result.assert_outcomes(errors=1)
    assert said in result.stdout.str()


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


def test_processes_beside_each_other_ask_once_even_what_no_cache_keeps(project):
    project.suite(model='{callable: "model.py:ask"}')
    wanted = Wanted(project.path / "colours.suite.yaml")
    first, second = (evaluated(project.path, wanted, SharedRuns(project.path, cached=False)) for _ in range(2))
    assert asked(project) == N
    assert first.verdict == second.verdict
    assert first.cases == second.cases
    assert {case.reference for case in second.cases} == {RIGHT}


def test_a_run_that_cannot_be_made_is_not_tried_again(project):
    project.suite(model='{callable: "model.py:absent"}')
    wanted = Wanted(project.path / "colours.suite.yaml")
    for _ in range(2):
        with pytest.raises(EvalsvcError, match="absent"):
            evaluated(project.path, wanted)
        project.write(model__py=COUNTING.replace("ask", "absent"))
    assert asked(project) == 0


def test_a_missing_baseline_is_told_by_every_gate_without_a_traceback(project):
    project.suite(SUITE.replace("baseline: main", "baseline: production"))
    result = project.run()
    result.assert_outcomes(failed=4)
    result.stdout.fnmatch_lines(["Expected a baseline 'production'*evalsvc baseline promote*"])
    result.stdout.no_fnmatch_line("*Traceback*")


def test_nothing_is_asked_when_tests_are_collected(project):
    project.suite(model='{callable: "model.py:ask"}')
    project.write(test_colours__py=MARKED + "def test_one(answer):\n    pass\n")
    result = project.run("--collect-only", "-q")
    result.stdout.fnmatch_lines(["test_colours.py::test_one[[]case-0]", "*44 tests collected*"])
    assert asked(project) == 0
    assert not (project.path / ".evalsvc").exists()


@pytest.mark.parametrize("mode", ["prepend", "importlib"])
def test_both_import_modes_find_the_suite_beside_the_test(project, mode):
    folder = project.path / "below"
    folder.mkdir()
    for name in ("colours.suite.yaml", "cases.jsonl", "good.jsonl", "baselines"):
        (project.path / name).rename(folder / name)
    (folder / "test_mode.py").write_text(MARKED + "def test_one(evaluation):\n    assert evaluation.suite\n")
    project.run(f"--import-mode={mode}", "below").assert_outcomes(passed=5)


def test_a_folder_that_cannot_be_written_is_said_in_one_line(project, monkeypatch):
    # Files where folders would be made: whoever runs this, they cannot be.
    project.write(__evalsvc="", home="")
    (project.path / ".evalsvc").touch()
    monkeypatch.setenv("XDG_CACHE_HOME", str(project.path / "home"))
    result = project.run()
    result.assert_outcomes(passed=4)
    result.stdout.fnmatch_lines(["colours: PASS. All 3 gates passed. Not kept, since .evalsvc cannot be written (*)."])


def test_reports_are_written_where_they_are_wished(project):
    result = project.run("--evalsvc-report", "out")
    result.stdout.fnmatch_lines(["colours: PASS. * out"])
    names = {path.name for path in (project.path / "out").iterdir()}
    assert names == {"colours.md", "colours.html", "colours.json", "colours.xml"}
    assert keeping.read_verdict(project.path / "out" / "colours.json").decision == "PASS"


def test_a_budget_of_nothing_is_refused(project):
    result = project.run("--evalsvc-budget", "0")
    assert result.ret == pytest.ExitCode.USAGE_ERROR
    result.stderr.fnmatch_lines(["*--evalsvc-budget: expected dollars above 0, but got '0'"])


def test_the_session_leaves_no_folder_behind(project, monkeypatch):
    temporary = project.path / "temporary"
    temporary.mkdir()
    monkeypatch.setattr("tempfile.tempdir", str(temporary))
    project.run().assert_outcomes(passed=4)
    assert not list(temporary.glob("evalsvc-pytest-*"))


def test_fixtures_and_options_of_another_project_are_its_own(project):
    (project.path / "colours.suite.yaml").unlink()
    project.write(
        conftest__py="""
import pytest

def pytest_addoption(parser):
    parser.addoption("--answers", default="theirs")
    parser.addoption("--budget", default="theirs")

@pytest.fixture
def answer(pytestconfig):
    return pytestconfig.getoption("answers")

@pytest.fixture(params=[1, 2])
def evaluation(request):
    return request.param
""",
        test_theirs__py="""
import pytest

@pytest.fixture
def segment():
    return "segment"

def test_theirs(answer, evaluation, segment):
    assert (answer, evaluation, segment) in {("42", 1, "segment"), ("42", 2, "segment")}

@pytest.mark.parametrize("answer", [1, 2, 3])
def test_direct(answer):
    assert answer < 4
""",
    )
    project.run("--answers", "42").assert_outcomes(passed=5)


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


def test_the_plugin_loads_the_standard_library_and_pytest_only(tmp_path):
    code = """
import pytest, sys
before = set(sys.modules)
import evalsvc.gate.plugin
print(sorted(name for name in set(sys.modules) - before if name.partition(".")[0] not in sys.stdlib_module_names))
"""
    done = subprocess.run(
        [sys.executable, "-c", code],
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=True,
    )
    assert done.stdout.strip() == "['evalsvc', 'evalsvc.gate', 'evalsvc.gate.plugin']"


def test_a_foreign_run_loads_no_more_of_evalsvc(project):
    (project.path / "colours.suite.yaml").unlink()
    project.write(
        test_foreign__py="import sys\ndef test_foreign():\n    loaded = [m for m in sys.modules if 'evalsvc' in m]\n"
        "    assert loaded == ['evalsvc', 'evalsvc.gate', 'evalsvc.gate.plugin']\n"
        "    assert 'numpy' not in sys.modules\n"
    )
    project.pytester.runpytest_subprocess(*ALONE, "test_foreign.py").assert_outcomes(passed=1)


@pytest.mark.slow
def test_workers_and_reruns_keep_one_answer(project):
    pytest.importorskip("xdist")
    project.suite(model='{callable: "model.py:ask"}')
    test = """
from pathlib import Path

@pytest.mark.evalsvc(where={"segments.language": "en"})
def test_one(answer):
    assert answer.response

@pytest.mark.evalsvc(critical=True)
def test_flaky(answer):
    first = Path("failed-once")
    if not first.exists():
        first.touch()
        pytest.fail("the first time")
"""
    project.write(test_colours__py=MARKED + test)
    try:
        import pytest_rerunfailures  # noqa: F401
    except ImportError:
        again, outcomes = (), {"passed": 24, "failed": 1}
    else:
        again, outcomes = ("-p", "rerunfailures", "--reruns", "1"), {"passed": 25}
    command = (*ALONE, "-p", "xdist", *again, "-n", "2", "--evalsvc-no-cache", "-p", "no:terminalprogress")
    result = project.pytester.runpytest_subprocess(*command)
    counted = result.parseoutcomes()
    assert {name: counted.get(name, 0) for name in outcomes} == outcomes
    assert asked(project) == N
    assert len(list((project.path / ".evalsvc" / "runs" / "colours").iterdir())) == 1
    result.stdout.fnmatch_lines(["colours: PASS. All 3 gates passed. *"])


@pytest.mark.skipif(not EXAMPLE.is_dir(), reason="the example is not beside the tests")
@pytest.mark.parametrize(("version", "failed"), [(2, 0), (3, 11)])
def test_the_example_passes_what_is_as_good_and_fails_what_is_not(project, version, failed):
    recorded = EXAMPLE / "answers" / f"version-{version}.jsonl"
    result = project.run("-c", "pyproject.toml", str(EXAMPLE), "--evalsvc-answers", str(recorded))
    assert result.parseoutcomes().get("failed", 0) == failed
    assert result.parseoutcomes()["passed"] + failed == 58
