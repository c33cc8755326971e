"""What the pytest plugin does in one session, once a suite or a marked test was met."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import msgspec
import numpy as np
import pytest

from evalsvc._hints import did_you_mean
from evalsvc._plain import harmless
from evalsvc.cases import Case
from evalsvc.errors import EvalsvcError, InputError
from evalsvc.gate.evaluated import Rows, rows_where, segments_in
from evalsvc.gate.evaluation import CaseAnswer, Evaluation
from evalsvc.gate.fitting import check_gate_fits
from evalsvc.gate.plugin import MARKER, folder_of
from evalsvc.gate.shared_runs import Kept, SharedRuns, Wanted
from evalsvc.gate.values import AtLeast, Critical, Gate
from evalsvc.project import find_root
from evalsvc.verdicts.words import because, title

_PLUGIN = "evalsvc.gate.plugin"
_HOW = '`pytestmark = pytest.mark.evalsvc("my.suite.yaml")`'


class _Marked(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What a test's markers say together."""

    suite: str
    answers: str = ""
    repeats: int | None = None
    segment: str | tuple[str, ...] = ()
    where: Mapping[str, str | tuple[str, ...]] = {}
    critical: bool = False


class _Chosen(NamedTuple):
    """A marked test: what is to be evaluated, and which part of it the test asks about."""

    wanted: Wanted
    marked: _Marked


class PluginSession:
    """Holds the options and the runs of a session."""

    def __init__(self, config: pytest.Config) -> None:
        self.config = config
        self.lines: list[str] = []
        self._policy: str = config.getoption("evalsvc_inconclusive")
        self.runs = SharedRuns(
            find_root(config.rootpath),
            budget_usd=config.getoption("evalsvc_budget"),
            cached=not config.getoption("evalsvc_no_cache"),
            inconclusive="failure" if self._policy == "fail" else "skipped",
        )

    def wanted(self, path: Path, answers: Path | None = None, repeats: int | None = None) -> Wanted:
        """Return what is to be evaluated of a suite; answers named on the command line come first."""
        given: str | None = self.config.getoption("evalsvc_answers")
        recorded = (self.config.invocation_params.dir / given) if given else answers
        return Wanted(path.resolve(), recorded.resolve() if recorded else None, repeats)

    def shown(self, path: Path) -> str:
        """Return a path as messages show it."""
        try:
            return str(path.resolve().relative_to(self.config.invocation_params.dir.resolve()))
        except ValueError:
            return str(path)

    def run(self, wanted: Wanted) -> Evaluation:
        """Return the evaluation of a suite.

        Raises:
            EvalsvcError: what kept it from being made.
        """
        return self.runs.evaluation(wanted, self.shown(wanted.path), folder_of(self.config), self.undecided)

    def undecided(self, said: str, lacking: bool) -> None:
        """Fail on an inconclusive gate, skip or do nothing, as the options say; where something is missing, fail."""
        __tracebackhide__ = True
        if self._policy == "fail" or lacking:
            raise AssertionError(said)
        if self._policy == "skip":
            pytest.skip(said)

    def parametrize(self, metafunc: pytest.Metafunc) -> None:
        """Make a test of each case or each segment where the test asks for them; nothing is asked of a model.

        Raises:
            CollectError: on a marker or a suite with mistakes.
        """
        try:
            self._parametrize(metafunc)
        except EvalsvcError as error:
            raise pytest.Collector.CollectError(f"{metafunc.definition.name}: {error}") from error

    def _parametrize(self, metafunc: pytest.Metafunc) -> None:
        chosen = _chosen(self, metafunc.definition)
        suite = self.runs.suite(chosen.wanted, self.shown(chosen.wanted.path))
        by_case, by_segment = (_is_ours(metafunc, name) for name in ("answer", "segment"))
        if by_case and by_segment:
            raise InputError("Expected a test to take `answer` or `segment`, but it takes both")
        narrowed = bool(chosen.marked.where or chosen.marked.critical)
        if not (by_case or by_segment or narrowed):
            return
        cases = self.runs.cases(suite).cases
        _check_fits(cases, chosen.marked, _fields(chosen.marked) if by_segment else ())
        rows = _rows(cases, chosen.marked)
        if by_case:
            names = [cases[row].case_id for row in rows.tolist()]
            metafunc.parametrize("answer", names, ids=names, indirect=True)
        elif by_segment:
            segments = list(segments_in(cases, rows, _fields(chosen.marked)))
            metafunc.parametrize("segment", segments, ids=segments, indirect=True)

    def evaluation(self, request: pytest.FixtureRequest) -> Evaluation:
        """Return the run of a test's suite, narrowed to what its markers say."""
        return self._evaluation(request)[0]

    def answer(self, request: pytest.FixtureRequest) -> CaseAnswer:
        """Return the case that a test is about."""
        evaluation, _ = self._evaluation(request)
        asked = {case.case_id for case in evaluation.cases}
        if request.param not in asked:
            pytest.skip("the run stopped before this case, when the answer was clear")
        return evaluation.answer(request.param)

    def segment(self, request: pytest.FixtureRequest) -> Evaluation:
        """Return the segment that a test is about."""
        evaluation, marked = self._evaluation(request)
        everything = np.arange(len(evaluation.cases), dtype=np.int64)
        rows = segments_in(evaluation.cases, everything, _fields(marked)).get(request.param)
        if rows is None:
            pytest.skip("the run stopped before this segment, when the answer was clear")
        return evaluation.narrowed(rows.tolist(), request.param)

    def _evaluation(self, request: pytest.FixtureRequest) -> tuple[Evaluation, _Marked]:
        try:
            chosen = _chosen(self, request.node)
            evaluation = self.run(chosen.wanted)
            if not (chosen.marked.where or chosen.marked.critical):
                return evaluation, chosen.marked
            rows = _rows(evaluation.cases, chosen.marked)
        except EvalsvcError as error:
            pytest.fail(str(error), pytrace=False)
        if not rows.size:
            pytest.skip("the run stopped before any of these cases, when the answer was clear")
        return evaluation.narrowed(rows.tolist(), ""), chosen.marked

    def finish(self, folder: Path) -> None:
        """Keep what was run, and say where."""
        reports: str | None = self.config.getoption("evalsvc_report")
        place = self.config.invocation_params.dir / reports if reports else None
        try:
            kept = self.runs.keep(folder, place)
        except EvalsvcError as error:
            self.lines.append(harmless(str(error)))
            kept = self.runs.keep(folder, None)
        self.lines += [harmless(self._line(one, place)) for one in kept]

    def _line(self, kept: Kept, reports: Path | None) -> str:
        said = f"{title(kept.verdict)}. {because(kept.verdict)}"
        where = self.shown(reports) if reports else ""
        if kept.folder is None:
            return f"{said} Not kept, since .evalsvc cannot be written ({kept.reason})." + (where and f" {where}")
        return f"{said} {where or self.shown(kept.folder / 'report.html')}"


def _chosen(session: PluginSession, node: pytest.Item | Any) -> _Chosen:  # noqa: ANN401 - a function or its definition
    """Read a test's markers; the nearest decides about each argument.

    Raises:
        InputError: on arguments that no marker has, or a suite that is not there.
    """
    markers = list(node.iter_markers(MARKER))
    if not markers:
        raise InputError(f"Expected {_HOW} in the test's file, but {node.name} has no such marker")
    given: dict[str, object] = {}
    for marker in reversed(markers):
        given |= marker.kwargs
        if len(marker.args) > 1:
            raise InputError(f"Expected {_HOW} with one path, but got {len(marker.args)}")
        given |= {"suite": marker.args[0]} if marker.args else {}
    marked = _marked(given)
    folder = Path(node.path).parent
    path = folder / marked.suite
    if not path.is_file():
        beside = sorted(other.name for other in folder.glob("*.suite.yaml"))
        near = did_you_mean(marked.suite, beside) or "paths are relative to the test's file"
        raise InputError(f"Expected a suite's file, but there is no {session.shown(path)} ({near})")
    answers = folder / marked.answers if marked.answers else None
    return _Chosen(session.wanted(path, answers, marked.repeats), marked)


def _marked(given: Mapping[str, object]) -> _Marked:
    known = _Marked.__struct_fields__
    for name in given:
        if name not in known:
            near = did_you_mean(name, known) or f"it has {', '.join(known)}"
            raise InputError(f"Expected an argument of the marker `evalsvc`, but got {name!r} ({near})")
    if "suite" not in given:
        raise InputError(f"Expected {_HOW}, but the marker names no suite")
    try:
        return msgspec.convert({name: _plain(value) for name, value in given.items()}, _Marked)
    except msgspec.ValidationError as error:
        raise InputError(f"Expected the marker `evalsvc` to be as its help says, but {error}") from error


def _plain(value: object) -> object:
    return str(value) if isinstance(value, Path) else value


def _fields(marked: _Marked) -> Sequence[str]:
    fields = [marked.segment] if isinstance(marked.segment, str) else list(marked.segment)
    if not fields or not all(_is_field(field) for field in fields):
        raise InputError(
            "Expected the marker's `segment` to be a field for the fixture `segment`: segments.NAME, group or variant, "
            f"but got {', '.join(fields) or 'nothing'}"
        )
    return fields


def _is_field(field: str) -> bool:
    return field in ("group", "variant") or (field.startswith("segments.") and len(field) > len("segments."))


def _check_fits(cases: Sequence[Case], marked: _Marked, by: Sequence[str] = ()) -> None:
    """Refuse fields and values that no case has: a test of no case passes whatever it says."""
    ask = Critical(0.0) if marked.critical else AtLeast(0.0)
    check_gate_fits(Gate(metric="", ask=ask, by=tuple(by), where=_where(marked)), cases, "a marker `evalsvc`")


def _where(marked: _Marked) -> dict[str, tuple[str, ...]]:
    where = {field: (value,) if isinstance(value, str) else value for field, value in marked.where.items()}
    for field in where:
        if field != "tags" and not _is_field(field):
            raise InputError(f"Expected `where` by segments.NAME, tags, group or variant, but got {field!r}")
    return where


def _rows(cases: Sequence[Case], marked: _Marked) -> Rows:
    rows = rows_where(cases, _where(marked))
    if not marked.critical:
        return rows
    return np.array([row for row in rows.tolist() if cases[row].critical], dtype=np.int64)


def _is_ours(metafunc: pytest.Metafunc, name: str) -> bool:
    """Whether a test's fixture of that name is the plugin's, or one in its place that asks for it.

    pytest tells only there which of several fixtures of a name a test gets.
    """
    for definition in reversed(metafunc._arg2fixturedefs.get(name, ())):
        if definition.func.__module__ == _PLUGIN:
            return True
        if name not in definition.argnames:
            return False
    return False
