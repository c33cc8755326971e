"""``evalsvc baseline``: what suites compare with, promoted by somebody for a reason, and scored again."""

from __future__ import annotations

import argparse
import getpass
import os
import subprocess
import sys
from contextlib import closing
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

import msgspec

from evalsvc._cli_output import Progress, aligned, number
from evalsvc.cli import OK
from evalsvc.errors import ConfigError, InputError
from evalsvc.gate.suite_files import find_suites, root_for
from evalsvc.windows import parse_span, whole_minutes

if TYPE_CHECKING:
    from evalsvc.gate.suite import Suite
    from evalsvc.verdicts import Verdict


def show(options: argparse.Namespace) -> int:
    """List the baselines of suites, and what is wrong with any of them."""
    from evalsvc import project
    from evalsvc.gate.baselines import names_in, read_baseline, read_pointer

    root = root_for([Path(path) for path in options.paths])
    paths = [Path(path) for path in options.paths] or [root / project.load_settings(root).settings.suites]
    rows = []
    for folder in dict.fromkeys(file.resolve().parent for file in find_suites(paths)):
        for name in names_in(folder):
            pointer = read_pointer(folder / "baselines" / f"{name}.yaml")
            try:
                read_baseline(folder, name, "")
                state = "as promoted"
            except ConfigError as error:
                state = str(error)
            rows.append(
                {
                    "baseline": name,
                    "suite folder": folder.name,
                    "version": f"{pointer.model} {pointer.model_version}".strip(),
                    "promoted": pointer.promoted_at.isoformat(timespec="minutes"),
                    "by": pointer.promoted_by,
                    "because": pointer.because,
                    "digest": pointer.digest[:12],
                    "state": state,
                }
            )
    print(
        aligned(rows) if rows else "no baselines yet; evalsvc baseline promote SUITE --because '…' makes one of a run"
    )
    return OK


def promote(options: argparse.Namespace) -> int:
    """Make a run's candidate the baseline."""
    from evalsvc.gate import baselines
    from evalsvc.gate.keeping import RunKeeper

    suite, root = _suite(options.suite), root_for([Path(options.suite)])
    keeper = RunKeeper(root)
    verdict = keeper.find(options.run) if options.run else None if options.answers else keeper.latest(suite.name)
    _may_promote(verdict, suite, options)
    content = keeper.record(verdict.candidate.digest) if verdict else _first_run(suite, root, options)
    pointer = baselines.promote(
        content,
        verdict.verdict_id if verdict else options.suite,
        suite.folder,
        _name(options.name, suite),
        by=options.by or _who(),
        because=options.because,
        verdict=verdict.verdict_id if verdict else "",
        now=datetime.now(UTC),
    )
    _told(suite, pointer)
    return OK


def _first_run(suite: Suite, root: Path, options: argparse.Namespace) -> bytes:
    """Ask and score a version that is compared with nothing: the first baseline."""
    from evalsvc._gate_progress import HowFar
    from evalsvc.disk_cache import DiskCache, default_cache_path
    from evalsvc.gate.running import run_suite
    from evalsvc.generation.recorded import RecordedAnswers

    generator = RecordedAnswers(Path(options.answers)) if options.answers else None
    alone, far = msgspec.structs.replace(suite, gates=(), baseline="", looks=1), HowFar()
    with (
        far.if_interrupted(kept=True),
        DiskCache.open(default_cache_path(root)) as cache,
        Progress(suite.name, "answers and scores", far.measure, far.note),
    ):
        return run_suite(alone, cache, shown=options.suite, generator=generator, told=far.told).record


def _may_promote(verdict: Verdict | None, suite: Suite, options: argparse.Namespace) -> None:
    if verdict is None or options.despite:
        return
    if verdict.suite != suite.name:
        raise InputError(f"Expected a run of {suite.name!r}, but {verdict.verdict_id} is of {verdict.suite!r}")
    # A first run compares with nothing, so that its gates cannot pass.
    if verdict.decision != "PASS" and verdict.baseline is not None:
        raise InputError(
            f"Expected a run that passed, but {verdict.verdict_id} is {verdict.decision}; to promote it nevertheless, "
            "add --despite, and say why in --because"
        )


def rescore(options: argparse.Namespace) -> int:
    """Score a baseline's answers by the scorers of today, and promote that under the same name."""
    from evalsvc import scorers
    from evalsvc.disk_cache import DiskCache, default_cache_path
    from evalsvc.gate import baselines
    from evalsvc.gate.evaluating import Version, evaluate
    from evalsvc.gate.record import encode_record

    suite, root = _suite(options.suite), root_for([Path(options.suite)])
    name = _name(options.name, suite)
    held = baselines.read_baseline(suite.folder, name, options.suite)
    if held.header.production is not None:
        raise InputError(
            f"Expected a baseline of answers, but {name!r} is of production, and has none to score; freeze estimates "
            f"again: evalsvc baseline from-production {options.suite} --name {name} --since 7d --because TEXT"
        )
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
    pointer = baselines.promote(
        encode_record(again, suite.name, cases.digest, held.header.seed),
        name,
        suite.folder,
        name,
        by=options.by or _who(),
        because=f"scored again; {held.pointer.because}",
        verdict=held.pointer.verdict,
        now=datetime.now(UTC),
    )
    gone = len(held.evaluated.digests) - len(rows)
    if gone:
        print(f"evalsvc: {gone:,} of its cases are not in {suite.cases.path.name} any more: left out", file=sys.stderr)
    _told(suite, pointer)
    return OK


def from_production(options: argparse.Namespace) -> int:
    """Freeze estimates of production as a baseline."""
    from evalsvc import assemble, project, scorers
    from evalsvc.gate import baselines
    from evalsvc.gate.production import freeze
    from evalsvc.gate.record import encode_production

    suite, now = _suite(options.suite), datetime.now(UTC)
    found = project.load_settings(root_for([Path(options.suite)]))
    specs = {one.spec.metric: one.spec for one in (scorers.create(s.name, s.options) for s in suite.scorers)}
    where: dict[str, tuple[str, ...]] = {}
    for field, value in options.where:
        where[field] = (*where.get(field, ()), value)
    span = whole_minutes(parse_span(options.since, options.until, now))
    environment, address = project.Environment.read(os.environ), getattr(options, "store", None)
    with closing(assemble.open_project_store(found, environment, address)) as store:
        production = freeze(store, suite.gates, specs, span, where)
    content = encode_production(suite.name, production, specs)
    name, by = _name(options.name, suite), options.by or _who()
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
    _told(suite, pointer)
    return OK


def _suite(path: str) -> Suite:
    from evalsvc.gate.reading import load_suite

    (file,) = find_suites([Path(path)]) if Path(path).is_file() else (Path(path),)
    if not file.is_file():
        raise InputError(f"Expected a suite's file, but {path} is none")
    return load_suite(file, path)


def _name(given: str | None, suite: Suite) -> str:
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


def _told(suite: Suite, pointer: object) -> None:
    from evalsvc.gate.baselines import FOLDER, Pointer

    if isinstance(pointer, Pointer):
        print(
            f"{pointer.baseline}: {pointer.model} {pointer.model_version}".rstrip()
            + f", sha256 {pointer.digest[:12]}…, in {suite.folder.name}/{FOLDER}/; commit both files"
        )
