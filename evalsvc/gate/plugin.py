"""The pytest plugin: suites in YAML are collected, and tests marked ``evalsvc`` ask a suite's run.

It loads in every pytest run of an environment that evalsvc is installed in. So it imports nothing but the standard
library and pytest until a suite or a marked test is met, its options all begin with ``--evalsvc-``, and its fixtures
give way to those of the same name in a conftest, and in another plugin where a test is not marked. ``-p no:evalsvc``
leaves it out.

PYTEST_DONT_REWRITE: it asserts nothing, so that pytest need not warn when it was imported before.
"""

from __future__ import annotations

import argparse
import contextlib
import math
import shutil
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar, cast

import pytest

if TYPE_CHECKING:
    from evalsvc.gate.evaluation import CaseAnswer, Evaluation
    from evalsvc.gate.plugin_session import PluginSession
    from evalsvc.gate.plugin_suites import SuiteFile

SUFFIX = ".suite.yaml"
MARKER = "evalsvc"
_FOLDER = pytest.StashKey[Path]()
_SESSION = pytest.StashKey["PluginSession"]()
_WORKER_INPUT = "evalsvc_folder"
_PASSED_BY = pytest.StashKey[dict[str, None]]()
_WORKER_OUTPUT = "evalsvc_passed_by"
T = TypeVar("T")


def pytest_addoption(parser: pytest.Parser, pluginmanager: pytest.PytestPluginManager) -> None:
    """Add the options."""
    _spare_the_package(pluginmanager)
    group = parser.getgroup("evalsvc", "evalsvc: suites that ask a model")
    group.addoption("--evalsvc-answers", metavar="FILE", help="recorded answers (JSONL) in place of the model")
    group.addoption(
        "--evalsvc-inconclusive",
        choices=("fail", "skip", "pass"),
        default="fail",
        help="what a gate is that shows neither (default: fail)",
    )
    group.addoption("--evalsvc-report", metavar="DIR", help="write SUITE.md, .html, .json and .xml there")
    group.addoption("--evalsvc-budget", metavar="USD", type=_dollars, help="what each suite's run may cost")
    group.addoption("--evalsvc-no-cache", action="store_true", help="look up no answer or score of earlier runs")


def _spare_the_package(pluginmanager: pytest.PytestPluginManager) -> None:
    """Have evalsvc's modules imported as they were compiled.

    pytest compiles every module of a package that has a plugin by itself, for assertions that these do not have, and
    does so in each run where it cannot write what it compiled. It names no other way to be told.
    """
    marked = getattr(getattr(pluginmanager, "rewrite_hook", None), "_must_rewrite", None)
    if isinstance(marked, set):
        marked.discard("evalsvc")


def _dollars(text: str) -> float:
    try:
        dollars = float(text)
    except ValueError:
        dollars = 0.0
    if not 0.0 < dollars < math.inf:
        raise argparse.ArgumentTypeError(f"expected dollars above 0, but got {text!r}")
    return dollars


def pytest_configure(config: pytest.Config) -> None:
    """Announce the marker; take the session's folder from the controller of a worker."""
    config.addinivalue_line(
        "markers",
        "evalsvc(suite, *, answers, repeats, segment, where, critical): ask a suite's run by the fixtures "
        "`evaluation`, `answer` and `segment`; paths are relative to the test's file",
    )
    given = getattr(config, "workerinput", {}).get(_WORKER_INPUT)
    if given:
        config.stash[_FOLDER] = Path(given)


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """Make a marked test of each case or segment, and refuse a suite with mistakes."""
    if metafunc.definition.get_closest_marker(MARKER) is not None:
        session_of(metafunc.config).parametrize(metafunc)


def pytest_collect_file(file_path: Path, parent: pytest.Collector) -> SuiteFile | None:
    """Collect ``*.suite.yaml``, but for files of that name which are somebody else's and which nobody named."""
    if not file_path.name.endswith(SUFFIX):
        return None
    if not parent.session.isinitpath(file_path):
        from evalsvc.gate.foreign_files import is_suite

        if not is_suite(file_path):
            # pytest shows every file beside one that is named: nobody asked for those.
            if any(parent.session.isinitpath(folder) for folder in file_path.parents):
                _pass_by(file_path, parent.config)
            return None
    from evalsvc.gate.plugin_suites import SuiteFile

    return SuiteFile.from_parent(parent, path=file_path)


def _pass_by(path: Path, config: pytest.Config) -> None:
    """Keep what to say of a file that is not collected: it may be a suite with mistakes, which would pass unseen."""
    from evalsvc._plain import harmless

    folder = config.invocation_params.dir
    shown = path.relative_to(folder) if path.is_relative_to(folder) else path
    said = (
        f"{shown} was not run: it has no two keys of a suite, as `cases` and `gates`; where it is to be one, "
        f"evalsvc check {shown} says what is wrong with it"
    )
    config.stash.setdefault(_PASSED_BY, {})[harmless(said)] = None


@pytest.hookimpl(optionalhook=True)
def pytest_configure_node(node: Any) -> None:  # noqa: ANN401 - xdist's, which may be absent
    """Give every worker of pytest-xdist the same folder."""
    node.workerinput[_WORKER_INPUT] = str(folder_of(node.config))


@pytest.hookimpl(optionalhook=True)
def pytest_testnodedown(node: Any) -> None:  # noqa: ANN401 - xdist's, which may be absent
    """Take from a worker of pytest-xdist what it did not collect."""
    told = getattr(node, "workeroutput", {}).get(_WORKER_OUTPUT, ())
    node.config.stash.setdefault(_PASSED_BY, {}).update(dict.fromkeys(told))


def pytest_sessionfinish(session: pytest.Session) -> None:
    """Keep what was run, once: by the controller where there are workers."""
    if hasattr(session.config, "workeroutput"):
        passed_by = session.config.stash.get(_PASSED_BY, {})
        session.config.workeroutput[_WORKER_OUTPUT] = list(passed_by)
    if _runs_here(session.config):
        session_of(session.config).finish(folder_of(session.config))


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter, config: pytest.Config) -> None:
    """Say what became of each suite, and which files of that name are taken for another tool's."""
    passed_by = config.stash.get(_PASSED_BY, {})
    lines = [*(session_of(config).lines if _SESSION in config.stash else ()), *passed_by]
    if lines:
        terminalreporter.section("evalsvc")
        for line in lines:
            terminalreporter.line(line)


def pytest_unconfigure(config: pytest.Config) -> None:
    """Remove the session's folder."""
    if _FOLDER in config.stash and not hasattr(config, "workerinput"):
        shutil.rmtree(config.stash[_FOLDER], ignore_errors=True)


@pytest.fixture
def evaluation(request: pytest.FixtureRequest) -> Evaluation:
    """The run of the suite that the test's marker names: `.answers`, `.scores(metric)`, `.verdict`, `.gate(metric)`."""
    return _of_marked(request, lambda: session_of(request.config).evaluation(request))


@pytest.fixture
def answer(request: pytest.FixtureRequest) -> CaseAnswer:
    """One case after the other, with what was answered: `.case`, `.response`, `.score(metric)`, `.spread(metric)`."""
    return _of_marked(request, lambda: session_of(request.config).answer(request))


@pytest.fixture
def segment(request: pytest.FixtureRequest) -> Evaluation:
    """One segment after the other of the field that the marker's `segment=` names, as an `evaluation` of its own."""
    return _of_marked(request, lambda: session_of(request.config).segment(request))


def _of_marked(request: pytest.FixtureRequest, ours: Callable[[], T]) -> T:
    """Return our fixture for a marked test; of another test, that of another plugin, where one has the same name."""
    if request.fixturename and request.node.get_closest_marker(MARKER) is None:
        with contextlib.suppress(pytest.FixtureLookupError):
            return cast("T", request.getfixturevalue(request.fixturename))
    return ours()


def folder_of(config: pytest.Config) -> Path:
    """Return the folder in which a session's processes share what they ran."""
    if _FOLDER not in config.stash:
        config.stash[_FOLDER] = Path(tempfile.mkdtemp(prefix="evalsvc-pytest-"))
    return config.stash[_FOLDER]


def session_of(config: pytest.Config) -> PluginSession:
    """Return what the plugin does in this session; evalsvc is imported when it is first asked for."""
    if _SESSION not in config.stash:
        from evalsvc.gate.plugin_session import PluginSession

        config.stash[_SESSION] = PluginSession(config)
    return config.stash[_SESSION]


def _runs_here(config: pytest.Config) -> bool:
    """Whether something was run, and this process is the one that keeps it."""
    if hasattr(config, "workerinput") or _FOLDER not in config.stash:
        return False
    return any(config.stash[_FOLDER].iterdir())
