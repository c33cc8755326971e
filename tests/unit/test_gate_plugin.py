"""The pytest plugin in projects of its own: what it collects, asks, shows and keeps; others it leaves alone."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

from evalsvc.errors import EvalsvcError
from evalsvc.gate import keeping
from evalsvc.gate.shared_runs import SharedRuns, Wanted
from plugin_project import ALONE, COUNTING, MARKED, RIGHT, ROOT, SUITE, N, asked, cases, evaluated

pytest_plugins = ["pytester", "plugin_project"]

MODEL = "{recorded: good.jsonl}"
EXAMPLE = Path(__file__).parents[2] / "suites" / "support"


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
            "  worse by more than 0.1 is shown (p < 0.0001, corrected for 3 findings)",
            "  candidate 0, baseline or limit 1, difference -1*",
            "  40 cases",
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


def test_a_model_that_does_not_answer_is_an_error_of_every_gate(project):
    few = "suite: mute\ncases: few.jsonl\nmodel: {recorded: mute.jsonl}\nscorers: [exact_match, latency_ms]\ngates:\n"
    silent = "".join(f'{{"case_id": "case-{n}", "response": "", "latency_ms": 5}}\n' for n in range(4))
    gates = "  - {metric: exact_match, at_least: 0.9}\n  - {metric: latency_ms, at_most: 9, advisory: true}\n"
    project.write(few__jsonl=cases(4), mute__jsonl=silent, mute__suite__yaml=few + gates)
    test = 'import pytest\n@pytest.mark.evalsvc("mute.suite.yaml")\ndef test_mute(evaluation):\n'
    project.write(test_mute__py=test + '    evaluation.gate("exact_match").at_least(0.95)\n')
    result = project.run("mute.suite.yaml", "test_mute.py", "--evalsvc-inconclusive", "pass")
    result.assert_outcomes(failed=3)
    result.stdout.fnmatch_lines(["ERROR: exact_match at least 0.9", "  4 of 4 requests have no answer: empty answer*"])
    result.stdout.fnmatch_lines(["*AssertionError: ERROR: exact_match at least 0.95: 4 of 4 requests*"])
    result.stdout.fnmatch_lines(["mute: ERROR. 4 of 4 requests have no answer*"])


def test_mistakes_of_a_suite_are_one_collection_error_with_their_places(project):
    project.suite(SUITE.replace("not_worse_by", "not_worse_bye").replace("rouge_l, exact", "rouge_k, exact"))
    project.write(test_colours__py=MARKED + "def test_any(evaluation):\n    pass\n")
    result = project.run()
    result.assert_outcomes(errors=2)
    result.stdout.fnmatch_lines(["*colours.suite.yaml:5:*rouge_k*", "*colours.suite.yaml:7:*not_worse_bye*"])
    result.stdout.no_fnmatch_line("*Traceback*")


def test_a_gate_on_a_field_that_no_case_has_is_a_collection_error(project):
    project.suite(SUITE.replace("segments.language", "segments.langage"), model='{callable: "model.py:ask"}')
    result = project.run()
    result.assert_outcomes(errors=1)
    result.stdout.fnmatch_lines(["*colours.suite.yaml:*: no case has `segments.langage`*`segments.language`?*"])
    assert asked(project) == 0


def test_processes_beside_each_other_ask_once_even_what_no_cache_keeps(project):
    project.suite(model='{callable: "model.py:ask"}')
    wanted = Wanted(project.path / "colours.suite.yaml")
    first, second = (evaluated(project.path, wanted, SharedRuns(project.path, cached=False)) for _ in range(2))
    assert asked(project) == N
    assert first.verdict == second.verdict
    assert first.cases == second.cases
    assert {case.reference for case in second.cases} == {RIGHT}


def test_a_run_that_cannot_be_made_is_not_tried_again(project):
    project.suite(model='{callable: "model.py:ask"}')
    project.write(model__py=f"raise RuntimeError\n{COUNTING}")
    wanted = Wanted(project.path / "colours.suite.yaml")
    for _ in range(2):
        with pytest.raises(EvalsvcError, match=r"RuntimeError at model\.py:1"):
            evaluated(project.path, wanted)
        project.write(model__py=COUNTING)
    assert asked(project) == 0


@pytest.mark.parametrize("marked", [False, True])
def test_a_baseline_that_is_not_there_is_told_at_collection(project, marked):
    project.suite(SUITE.replace("baseline: main", "baseline: production"), model='{callable: "model.py:ask"}')
    if marked:
        project.write(test_colours__py=MARKED + "def test_one(evaluation):\n    pass\n")
    result = project.run(*(["test_colours.py"] if marked else []))
    result.assert_outcomes(errors=1)
    said = "colours.suite.yaml:*:*: Expected a baseline 'production'*evalsvc baseline promote colours.suite.yaml*"
    result.stdout.fnmatch_lines([f"*{said}"])
    result.stdout.no_fnmatch_line("*Traceback*")
    assert asked(project) == 0


def test_a_baseline_that_lacks_a_metric_is_told_at_collection(project):
    gates = "  - {metric: chrf, not_worse_by: 5}\n"
    suite = SUITE.replace("scorers: [", "scorers: [chrf, ") + gates
    project.suite(suite, model='{callable: "model.py:ask"}')
    result = project.run()
    result.assert_outcomes(errors=1)
    said = "it has no chrf. Its answers are kept*evalsvc baseline rescore colours.suite.yaml --name main"
    result.stdout.fnmatch_lines([f"*{said}*"])
    assert asked(project) == 0


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


def test_pytest_started_by_a_program_that_has_imported_evalsvc_warns_of_nothing(project):
    (project.path / "colours.suite.yaml").unlink()
    project.write(test_foreign__py="def test_foreign():\n    pass\n")
    code = f"import evalsvc.gate.plugin, pytest, sys\nsys.exit(pytest.main(['-q', '-W', 'error', *{ALONE!r}]))"
    done = subprocess.run([sys.executable, "-c", code], cwd=project.path, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr


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
@pytest.mark.parametrize(("version", "failed"), [(2, 0), (3, 10)])
def test_the_example_passes_what_is_as_good_and_fails_what_is_not(project, version, failed):
    recorded = EXAMPLE / "answers" / f"version-{version}.jsonl"
    result = project.run("-c", "pyproject.toml", str(EXAMPLE), "--evalsvc-answers", str(recorded))
    assert result.parseoutcomes().get("failed", 0) == failed
    assert result.parseoutcomes()["passed"] + failed == 62


def test_another_plugin_s_fixture_of_the_name_is_a_foreign_test_s(project):
    project.write(theirs__py="import pytest\n\n@pytest.fixture\ndef answer(): return 42\n")
    foreign = "def test_theirs(answer):\n    assert answer == 42\n"
    project.write(test_foreign__py=foreign, test_colours__py=MARKED + "def test_ours(answer): assert answer.response\n")
    for order in (("theirs", "evalsvc.gate.plugin"), ("evalsvc.gate.plugin", "theirs")):
        loaded = [word for name in order for word in ("-p", name)]
        result = project.pytester.runpytest_subprocess(*loaded, "-p", "no:cacheprovider", "test_foreign.py")
        result.assert_outcomes(passed=1)
    ours = project.pytester.runpytest_subprocess("-p", "theirs", *ALONE, "test_colours.py")
    ours.assert_outcomes(passed=N)


def test_a_foreign_file_of_the_name_is_left_alone_unless_it_is_named(project):
    (project.path / "colours.suite.yaml").unlink()
    project.write(theirs__suite__yaml="tests:\n  - name: something else\n", test_foreign__py="def test_it(): pass\n")
    result = project.run()
    result.assert_outcomes(passed=1)
    result.stdout.fnmatch_lines(
        ["theirs.suite.yaml was not run: * evalsvc check theirs.suite.yaml says what is wrong *"]
    )
    project.run("theirs.suite.yaml").assert_outcomes(errors=1)
    project.write(others__suite__yaml="tests: []\n")
    for named in ("theirs.suite.yaml", "test_foreign.py"):
        project.run(named).stdout.no_fnmatch_line("*others.suite.yaml was not run*")
    project.run(".").stdout.fnmatch_lines(["others.suite.yaml was not run: *"])


def test_what_was_passed_by_is_told_by_the_controller_of_workers_once(project):
    pytest.importorskip("xdist")
    (project.path / "colours.suite.yaml").unlink()
    project.write(theirs__suite__yaml="tests: []\n", test_foreign__py="def test_it(): pass\n")
    command = (*ALONE, "-p", "xdist", "-n", "2", "-p", "no:terminalprogress")
    result = project.pytester.runpytest_subprocess(*command)
    result.assert_outcomes(passed=1)
    assert result.stdout.str().count("theirs.suite.yaml was not run") == 1


def json_of(text: str) -> str:
    return json.dumps(yaml.safe_load(text), indent=1)


@pytest.mark.parametrize(
    "written",
    [json_of, lambda text: yaml.safe_dump(yaml.safe_load(text), default_flow_style=True), lambda text: "\ufeff" + text],
    ids=["quoted", "flow", "marked"],
)
def test_a_suite_is_collected_however_its_yaml_is_written(project, written):
    project.write(colours__suite__yaml=written(SUITE.replace("MODEL", MODEL)))
    project.run().assert_outcomes(passed=4)


@pytest.mark.parametrize(
    "written",
    [
        "cases: cases.jsonl\nscorers: [rouge_l]\ngate: []\n",
        "case: cases.jsonl\nmodels: m\nscorer: [rouge_l]\ngate: []\n",
        "cases: cases.jsonl\nscorers: [rouge_l\ngates: []\n",
        '{"cases": "cases.jsonl",\n "gates": [}',
        "cases: cases.jsonl\nscorers: [rouge_l]\n".encode("utf-16"),
        "cases: cases.jsonl\nscorers: [rouge_l]\n".encode("utf-16-be"),
    ],
    ids=["slip", "slips", "no YAML", "no JSON", "UTF-16", "UTF-16 without a mark"],
)
def test_mistakes_of_a_suite_are_told_where_nobody_named_it(project, written):
    (project.path / "colours.suite.yaml").unlink()
    slip = project.path / "slip.suite.yaml"
    slip.write_bytes(written if isinstance(written, bytes) else written.encode())
    project.run().assert_outcomes(errors=1)


def test_a_run_that_was_cut_off_is_not_begun_again_by_the_next_test(project, monkeypatch):
    begun = []

    def cut(*_: object) -> None:
        begun.append(1)
        # As pytest-timeout does in the midst of a test.
        pytest.fail("Timeout")

    monkeypatch.setattr(SharedRuns, "_run", cut)
    wanted = Wanted(project.path / "colours.suite.yaml", project.path / "good.jsonl")
    with pytest.raises(pytest.fail.Exception):
        evaluated(project.path, wanted)
    with pytest.raises(EvalsvcError, match="the run of 'colours' was cut off by Failed in the test that came first"):
        evaluated(project.path, wanted)
    assert begun == [1]
