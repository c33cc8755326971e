"""One evaluation of a suite for all who ask in a session: tests of one process, its reruns, and workers beside it.

What a run left lies in a folder of the session: who comes first runs the suite, others wait for its lock and read. So
the model is asked once, even one whose answers are not kept from run to run, and everyone has the same answers. A run
that cannot be made is not tried again either.
"""

from __future__ import annotations

import contextlib
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import msgspec

from evalsvc._run_locks import exclusive
from evalsvc.cases import CaseSet, digest_of
from evalsvc.disk_cache import DiskCache, default_cache_path
from evalsvc.errors import EvalsvcError, InputError
from evalsvc.gate.baselines import Baseline, check_scorers, read_baseline
from evalsvc.gate.checking import load_checked
from evalsvc.gate.evaluated import Evaluated, gone_from
from evalsvc.gate.evaluation import Evaluation, scores_of
from evalsvc.gate.keeping import RunKeeper, read_verdict
from evalsvc.gate.record import decode_record
from evalsvc.gate.running import Run, run_suite
from evalsvc.gate.suite import Suite
from evalsvc.gate.values import parse_statistic
from evalsvc.generation.limits import RunBudget
from evalsvc.generation.recorded import RecordedAnswers
from evalsvc.verdicts import Verdict

REPORTS = {"summary.md": "md", "report.html": "html", "verdict.json": "json", "junit.xml": "xml"}
"""The files of a run that a report is copied from, with their endings there."""


class Wanted(NamedTuple):
    """What is to be evaluated: a suite's file, recorded answers in place of its model, other repeats than its own."""

    path: Path
    answers: Path | None = None
    repeats: int | None = None

    @property
    def key(self) -> str:
        """A name for it, of a folder."""
        return digest_of((str(self.path), str(self.answers or ""), self.repeats), 16)


class Finished(NamedTuple):
    """A run as it lies in the session's folder."""

    folder: Path
    verdict: Verdict


class Kept(NamedTuple):
    """Where a run is kept; None where it could not be, and then ``reason`` says why."""

    verdict: Verdict
    folder: Path | None
    reason: str = ""


class SharedRuns:
    """Reads suites, runs each once, and keeps what came of them.

    Args:
        root: the project's, below which answers and runs are kept.
        budget_usd: what each run may cost, in place of the suite's own limit.
        cached: whether answers and scores of earlier runs are looked up.
        inconclusive: which element of JUnit XML an inconclusive finding is, ``failure`` or ``skipped``.
    """

    def __init__(
        self, root: Path, *, budget_usd: float | None = None, cached: bool = True, inconclusive: str = "failure"
    ) -> None:
        self._root, self._budget, self._cached, self._inconclusive = root, budget_usd, cached, inconclusive
        self._suites: dict[Wanted, Suite] = {}
        self._cases: dict[Path, CaseSet] = {}
        self._done: dict[Wanted, tuple[Finished, Evaluated]] = {}
        self._baselines: dict[Wanted, Baseline] = {}

    def suite(self, wanted: Wanted, shown: str) -> Suite:
        """Read a suite, once.

        Raises:
            EvalsvcError: with every mistake.
        """
        if wanted not in self._suites:
            suite = load_checked(wanted.path, shown, asks=wanted.answers is None)
            self._suites[wanted] = suite if wanted.repeats is None else _repeated(suite, wanted.repeats)
        return self._suites[wanted]

    def cases(self, suite: Suite) -> CaseSet:
        """Read a suite's cases, once.

        Raises:
            EvalsvcError: with every mistake.
        """
        if suite.path not in self._cases:
            self._cases[suite.path] = suite.cases.read()
        return self._cases[suite.path]

    def evaluation(
        self, wanted: Wanted, shown: str, folder: Path, undecided: Callable[[str, bool], None]
    ) -> Evaluation:
        """Return a suite's evaluation, which is made by whoever asks first.

        Args:
            wanted: what is to be evaluated.
            shown: the suite's path, for messages.
            folder: the session's.
            undecided: as :class:`Evaluation` takes it.

        Raises:
            EvalsvcError: what kept it from being made; the same to everybody who asks.
        """
        suite = self.suite(wanted, shown)
        if wanted not in self._done:
            self._done[wanted] = self._shared(suite, wanted, shown, folder)
        finished, evaluated = self._done[wanted]

        def baseline(metric: str) -> Evaluated:
            if wanted not in self._baselines:
                self._baselines[wanted] = read_baseline(suite.folder, suite.baseline, shown)
            found = self._baselines[wanted]
            check_scorers(found, {metric: scores_of(evaluated, metric).spec}, shown)
            # A test asks about a part of the set, and the rest of it is not gone.
            return msgspec.structs.replace(found.evaluated, gone=gone_from(found.evaluated, self.cases(suite).digests))

        return Evaluation(suite, finished.verdict, evaluated, baseline, undecided)

    def _shared(self, suite: Suite, wanted: Wanted, shown: str, folder: Path) -> tuple[Finished, Evaluated]:
        place = folder / wanted.key
        with exclusive(place, "evaluate", f"runs {shown} for this one, too"):
            if not place.exists():
                self._make(suite, wanted, shown, place)
        failed = place / "error.txt"
        if failed.exists():
            raise EvalsvcError(failed.read_text(encoding="utf-8"))
        evaluated = decode_record((place / "candidate.jsonl").read_bytes(), "candidate").evaluated
        # A record has no text of a case; a case of the same digest is the same.
        by_digest = dict(zip(self.cases(suite).digests, self.cases(suite).cases, strict=True))
        cases = tuple(by_digest[digest] for digest in evaluated.digests)
        return Finished(place, read_verdict(place / "verdict.json")), msgspec.structs.replace(evaluated, cases=cases)

    def _make(self, suite: Suite, wanted: Wanted, shown: str, place: Path) -> None:
        part = place.with_suffix(".part")
        part.mkdir(exist_ok=True)
        try:
            run = self._run(suite, wanted, shown)
            self._leave(run, part)
        except EvalsvcError as error:
            (part / "error.txt").write_text(str(error), encoding="utf-8")
        except BaseException as error:
            # A time-out of one test, say: asked again by every further test, the model would be paid each time.
            said = (
                f"the run of {suite.name!r} was cut off by {type(error).__name__} in the test that came first; what was"
            )
            (part / "error.txt").write_text(f"{said} answered is kept: run it again", encoding="utf-8")
            part.replace(place)
            raise
        part.replace(place)

    def _run(self, suite: Suite, wanted: Wanted, shown: str) -> Run:
        generator = RecordedAnswers(wanted.answers) if wanted.answers else None
        budget = RunBudget(self._budget, suite.budget.requests) if self._budget else None
        with DiskCache.open(default_cache_path(self._root) if self._cached else None) as cache:
            return run_suite(suite, cache, shown=shown, generator=generator, budget=budget)

    def _leave(self, run: Run, folder: Path) -> None:
        from evalsvc.gate.reports.html import page
        from evalsvc.gate.reports.junit import junit
        from evalsvc.gate.reports.markdown import markdown
        from evalsvc.gate.reports.regressions import regressions

        worst = regressions(run)
        (folder / "candidate.jsonl").write_bytes(run.record)
        if run.baseline is not None:
            (folder / "baseline.jsonl").write_bytes(run.baseline.content)
        (folder / "summary.md").write_text(markdown(run.verdict, worst), encoding="utf-8")
        (folder / "report.html").write_text(page(run.verdict, worst), encoding="utf-8")
        (folder / "junit.xml").write_text(junit([run.verdict], self._inconclusive, [run.seconds]), encoding="utf-8")
        (folder / "verdict.json").write_bytes(msgspec.json.encode(run.verdict))

    def keep(self, folder: Path, reports: Path | None) -> list[Kept]:
        """Keep every run of the session below the root's ``.evalsvc``, and copy its reports.

        Args:
            folder: the session's.
            reports: where reports are copied to, as ``SUITE.md``, ``.html``, ``.json`` and ``.xml``; None: nowhere.

        Raises:
            InputError: when the reports cannot be written.
        """
        found = [Finished(path.parent, read_verdict(path)) for path in sorted(folder.glob("*/verdict.json"))]
        found.sort(key=lambda one: (one.verdict.suite, one.verdict.verdict_id, one.folder.name))
        names = [one.verdict.suite for one in found]
        kept = []
        for place, one in enumerate(found):
            kept.append(self._keep(one))
            if reports is not None:
                earlier = names[:place].count(one.verdict.suite)
                _copy(one.folder, reports, f"{one.verdict.suite}-{earlier + 1}" if earlier else one.verdict.suite)
        return kept

    def _keep(self, one: Finished) -> Kept:
        texts = {name: (one.folder / name).read_text(encoding="utf-8") for name in ("summary.md", "report.html")}
        records = [one.folder / "candidate.jsonl", one.folder / "baseline.jsonl"]
        try:
            contents = [path.read_bytes() for path in records if path.exists()]
            return Kept(one.verdict, RunKeeper(self._root).keep(one.verdict, texts, *contents))
        except OSError as error:
            return Kept(one.verdict, None, error.strerror or str(error))


def _repeated(suite: Suite, repeats: int) -> Suite:
    most = max((parse_statistic(gate.statistic).k for gate in suite.gates), default=0)
    if repeats < max(1, most):
        needs = f"since a gate of {suite.name!r} asks for pass^{most} or pass@{most}" if most > 1 else "of answers"
        raise InputError(f"Expected `repeats` of at least {max(1, most)}, {needs}, but got {repeats}")
    return msgspec.structs.replace(suite, repeats=repeats)


def _copy(run: Path, reports: Path, name: str) -> None:
    try:
        reports.mkdir(parents=True, exist_ok=True)
        for source, ending in REPORTS.items():
            with contextlib.suppress(FileNotFoundError):
                shutil.copyfile(run / source, reports / f"{name}.{ending}")
    except OSError as error:
        raise InputError(f"Cannot write reports to {reports}: {error.strerror or error}") from error
