"""``evalsvc baseline``: what suites compare with, promoted by somebody for a reason, and scored again."""

from __future__ import annotations

import argparse
import getpass
import subprocess
import sys
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

import msgspec

from evalsvc._cli_output import Progress, aligned, number
from evalsvc._gate_store import fetch_lacking, opened, remember, writes
from evalsvc._paths import shown_path
from evalsvc._plain import visible
from evalsvc.cli import OK
from evalsvc.errors import ConfigError, InputError
from evalsvc.gate.suite_files import find_suites, root_for
from evalsvc.windows import parse_span, whole_minutes

if TYPE_CHECKING:
    from evalsvc.gate.baselines import Pointer
    from evalsvc.gate.keeping import RunKeeper
    from evalsvc.gate.suite import Suite
    from evalsvc.verdicts import Verdict


def promote(options: argparse.Namespace) -> int:
    """Make a run's candidate the baseline."""
    from evalsvc.gate import baselines
    from evalsvc.gate.keeping import RunKeeper

    if options.run and (options.answers or options.whole):
        raise InputError("Expected either --run or --answers or --whole: a run was asked what it was asked")
    suite, root = suite_of(options.suite), root_for([Path(options.suite)])
    stored = writes(root, options)
    suite = msgspec.structs.replace(suite, taken=fetch_lacking(suite, options.suite, root, options))
    keeper = RunKeeper(root)
    anew = options.answers or options.whole
    verdict = keeper.find(options.run) if options.run else None if anew else keeper.latest(suite.name)
    if verdict is None:
        verdict = _run(suite, keeper, options)
    content = keeper.record(verdict.candidate.digest)
    _may_promote(verdict, content, suite, options)
    pointer = baselines.promote(
        content,
        verdict.verdict_id,
        suite.folder,
        name_of(options.name, suite),
        by=options.by or _who(),
        because=options.because,
        verdict=verdict.verdict_id,
        decision=verdict.decision,
        now=datetime.now(UTC),
    )
    _told(suite, pointer, content, root if stored else None, options)
    print(_decision_of(verdict))
    return OK


def _decision_of(verdict: Verdict) -> str:
    """Return what the gates said of the run that was promoted: of a first one, those that need no baseline."""
    from evalsvc.verdicts.words import because

    if all(gate.advisory for gate in verdict.gates):
        return f"of its run {verdict.verdict_id} no gate decided anything"
    return visible(f"its run {verdict.verdict_id} is {verdict.decision}: {because(verdict)}")


def _run(suite: Suite, keeper: RunKeeper, options: argparse.Namespace) -> Verdict:
    """Ask and score the whole set, look at the gates, and keep that as `evalsvc gate` does."""
    from evalsvc._gate_progress import HowFar
    from evalsvc.disk_cache import DiskCache, default_cache_path
    from evalsvc.gate.reports.html import page
    from evalsvc.gate.reports.markdown import markdown
    from evalsvc.gate.reports.regressions import regressions
    from evalsvc.gate.running import run_suite
    from evalsvc.generation.recorded import RecordedAnswers

    generator = RecordedAnswers(Path(options.answers)) if options.answers else None
    whole, far = msgspec.structs.replace(_comparable(suite, options), looks=1), HowFar()
    with (
        far.if_interrupted(kept=generator is None and _keeps_answers(suite)),
        DiskCache.open(default_cache_path(keeper.root.parent)) as cache,
        Progress(suite.name, "answers and scores", far.measure, far.note),
    ):
        run = run_suite(whole, cache, shown=options.suite, generator=generator, told=far.told)
    worst = regressions(run)
    files = {"summary.md": markdown(run.verdict, worst), "report.html": page(run.verdict, worst)}
    try:
        keeper.keep(run.verdict, files, run.record, *([run.baseline.content] if run.baseline else []))
    except OSError as error:
        raise InputError(f"Cannot keep the run in {shown_path(keeper.root)}: {error.strerror or error}") from error
    return run.verdict


def _keeps_answers(suite: Suite) -> bool:
    """Return whether what the suite's model answers is kept for the next run."""
    return suite.model is not None and suite.model.cacheable


def _comparable(suite: Suite, options: argparse.Namespace) -> Suite:
    """Return the suite, without the gates that compare where there is nothing yet to compare with."""
    from evalsvc.gate.baselines import pointer_path, read_baseline
    from evalsvc.gate.values import COMPARED

    if not suite.compares:
        return suite
    try:
        read_baseline(suite.folder, suite.baseline, options.suite, suite.taken)
        return suite
    except ConfigError as error:
        if pointer_path(suite.folder, suite.baseline).is_file():
            print(f"evalsvc: only gates that need no baseline were looked at: {error}", file=sys.stderr)
    alone = tuple(gate for gate in suite.gates if not isinstance(gate.ask, COMPARED))
    return msgspec.structs.replace(suite, gates=alone, baseline="")


def _may_promote(verdict: Verdict, content: bytes, suite: Suite, options: argparse.Namespace) -> None:
    """Refuse what is no baseline; of all reasons, ``--despite`` overrules only the verdict.

    Raises:
        InputError: with what to do instead.
    """
    from evalsvc.verdicts.words import because

    if verdict.suite != suite.name:
        raise InputError(f"Expected a run of {suite.name!r}, but {verdict.verdict_id} is of {verdict.suite!r}")
    _whole(verdict, content, suite, options)
    failed, asked = verdict.candidate.failed, verdict.candidate.failed + verdict.candidate.answered
    if failed > verdict.candidate.answered:
        raise InputError(
            f"Expected a version that answers, but {failed:,} of {asked:,} requests have no answer in "
            f"{verdict.verdict_id}; see that the model answers, and run it again"
        )
    # What compares with nothing yet cannot pass, and may be the first baseline; what fails may not.
    open_for_lack = verdict.decision == "INCONCLUSIVE" and verdict.baseline is None
    if verdict.decision != "PASS" and not open_for_lack and not options.despite:
        raise InputError(
            f"Expected a run that passed, but {verdict.verdict_id} is {verdict.decision}: {because(verdict)} To "
            "promote it nevertheless, add --despite, and say why in --because"
        )


def _whole(verdict: Verdict, content: bytes, suite: Suite, options: argparse.Namespace) -> None:
    """Refuse a run that did not ask every case of the set.

    Raises:
        InputError: with how many it asked, and the command that asks the rest.
    """
    from evalsvc.gate.record import decode_record

    cases, held = suite.cases.read(), decode_record(content, verdict.verdict_id).evaluated
    # What a budget, a deadline or a file of answers left out was never asked.
    asked = {
        digest
        for digest, answers in zip(held.digests, held.answers, strict=True)
        if all(answer.status == "ok" or answer.attempts > 0 for answer in answers)
    }
    have = sum(digest in asked for digest in cases.digests)
    if have == len(cases):
        return
    what = f"Expected answers to all {len(cases):,} cases of {suite.cases.path.name}, but "
    if options.answers:
        raise InputError(f"{what}{options.answers} has {have:,} of them; record the others too")
    if options.whole:
        again = "run it again" + (": what was answered is kept" if _keeps_answers(suite) else "")
        raise InputError(
            f"{what}the run has {have:,} of them; raise the suite's `budget` or `limits.deadline`, and {again}"
        )
    raise InputError(
        f"{what}{verdict.verdict_id} has {have:,} of them, and what a baseline lacks is compared with nothing. Ask the "
        f"others too: evalsvc baseline promote {options.suite} --whole --because TEXT"
    )


def rescore(options: argparse.Namespace) -> int:
    """Score a baseline's answers by the scorers of today, and promote that under the same name."""
    from evalsvc import scorers
    from evalsvc.disk_cache import DiskCache, default_cache_path
    from evalsvc.gate import baselines
    from evalsvc.gate.evaluating import Version, evaluate
    from evalsvc.gate.record import encode_record

    suite, root = suite_of(options.suite), root_for([Path(options.suite)])
    name = name_of(options.name, suite)
    held = baselines.read_baseline(suite.folder, name, options.suite)
    if held.header.production is not None:
        raise InputError(
            f"Expected a baseline of answers, but {name!r} is of production, and has none to score; freeze estimates "
            f"again: evalsvc baseline from-production {options.suite} --name {name} --since 7d --because TEXT"
        )
    if held.digest != held.pointer.digest:
        raise InputError(
            f"Expected the answers of {name!r}, but only its scores are here: the store keeps no texts. Restore "
            f"{held.pointer.file} from git, or promote a run again: evalsvc baseline promote {options.suite} "
            f"--name {name} --because TEXT"
        )
    stored = writes(root, options)
    cases = suite.cases.read()
    texts = dict(zip(cases.digests, cases.cases, strict=True))
    rows = [row for row, digest in enumerate(held.evaluated.digests) if digest in texts]
    if not rows:
        raise InputError(
            f"Expected cases of {name!r} in {suite.cases.path.name}, but none of them is there as it was; "
            "promote a run of these cases"
        )
    kept = held.evaluated.of(rows)
    with DiskCache.open(default_cache_path(root)) as cache:
        again = evaluate(
            [texts[digest] for digest in kept.digests],
            kept.digests,
            kept.answers,
            [scorers.create(one.name, one.options) for one in suite.scorers],
            Version(suite.name, kept.model, kept.model_version, kept.signature),
            cache,
            name=name,
        )
    content = encode_record(again, suite.name, cases.digest, held.header.seed)
    pointer = baselines.promote(
        content,
        name,
        suite.folder,
        name,
        by=options.by or _who(),
        because=f"scored again; {held.pointer.because}",
        verdict=held.pointer.verdict,
        decision=held.pointer.decision,
        now=datetime.now(UTC),
    )
    gone = len(held.evaluated.digests) - len(rows)
    if gone:
        print(f"evalsvc: {gone:,} of its cases are not in {suite.cases.path.name} any more: left out", file=sys.stderr)
    _told(suite, pointer, content, root if stored else None, options)
    return OK


def from_production(options: argparse.Namespace) -> int:
    """Freeze estimates of production as a baseline."""
    from evalsvc import scorers
    from evalsvc.gate import baselines
    from evalsvc.gate.fitting import check_fit
    from evalsvc.gate.production import freeze
    from evalsvc.gate.record import encode_production

    suite, now = suite_of(options.suite), datetime.now(UTC)
    check_fit(suite, suite.cases.read().cases, options.suite)
    root = root_for([Path(options.suite)])
    specs = {one.spec.metric: one.spec for one in (scorers.create(s.name, s.options) for s in suite.scorers)}
    where: dict[str, tuple[str, ...]] = {}
    for field, value in options.where:
        where[field] = (*where.get(field, ()), value)
    span = whole_minutes(parse_span(options.since, options.until, now))
    with opened(root, options) as store:
        production = freeze(store, suite.gates, specs, span, where)
    content = encode_production(suite.name, production, specs)
    name, by = name_of(options.name, suite), options.by or _who()
    pointer = baselines.promote(content, name, suite.folder, name, by=by, because=options.because, now=now)
    rows = [
        {
            "metric": one.metric,
            "segment": one.segment or "all traffic",
            "mean": number(one.estimate.value),
            "interval": f"{number(one.estimate.low)} to {number(one.estimate.high)}",
            "n": f"{one.estimate.n:,}",
        }
        for one in production.estimates
    ]
    print(aligned(rows, right={"mean", "n"}))
    _told(suite, pointer, content, None if options.no_store else root, options)
    return OK


def suite_of(path: str) -> Suite:
    """Return the suite of a file that was named.

    Raises:
        InputError, ConfigError: when there is none, or it cannot be read.
    """
    from evalsvc.gate.reading import load_suite

    (file,) = find_suites([Path(path)]) if Path(path).is_file() else (Path(path),)
    if not file.is_file():
        raise InputError(f"Expected a suite's file, but {path} is none")
    return load_suite(file, path)


def name_of(given: str | None, suite: Suite) -> str:
    """Return the name that was given, else the one that the suite compares with.

    Raises:
        InputError: when neither says one.
    """
    name = given or suite.baseline
    if not name:
        raise InputError(
            f"Expected a name: the suite {suite.name!r} names no `baseline`; add one to it, or give --name"
        )
    return name


def _who() -> str:
    try:
        found = subprocess.run(["git", "config", "user.name"], capture_output=True, text=True, timeout=5, check=False)  # noqa: S607 - whichever git is in use
    except (OSError, subprocess.TimeoutExpired):
        return getpass.getuser()
    return found.stdout.strip() or getpass.getuser()


def _told(suite: Suite, pointer: Pointer, content: bytes, root: Path | None, options: argparse.Namespace) -> None:
    """Say what was promoted, and write it to the store of the project at ``root``; None is no store."""
    from evalsvc.gate.baselines import pointer_path

    path = pointer_path(suite.folder, pointer.baseline)
    print(
        f"{pointer.baseline}: {pointer.model} {pointer.model_version}".rstrip()
        + f", sha256 {pointer.digest[:12]}…; commit {shown_path(path)} and {shown_path(path.with_name(pointer.file))}"
    )
    if root is not None:
        remember(suite, pointer, content, root, options)
        print("evalsvc: the promotion is recorded in the store", file=sys.stderr)
    elif not options.no_store:
        print(
            "evalsvc: there is no store yet, so these files are all there is of it; "
            f"evalsvc baseline record {options.suite} writes them to one",
            file=sys.stderr,
        )
