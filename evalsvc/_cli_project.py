"""The commands about an operator's files: ``init`` and ``check``."""

from __future__ import annotations

import argparse
import os
import re
import sys
from collections.abc import Collection, Iterator
from datetime import UTC, datetime, timedelta
from importlib import resources
from importlib.resources.abc import Traversable
from pathlib import Path

from evalsvc import project
from evalsvc._plain import harmless
from evalsvc.cli import FINDINGS, OK
from evalsvc.errors import ConfigError, EvalsvcError

RULES, TESTS, ROUTES = "alerts/quality.rules.yaml", "alerts/quality.test.yaml", "alerts/routes.yaml"

_AGO = re.compile(r'"@(\d+)m"')


def init(options: argparse.Namespace) -> int:
    """Write the starter project; what is there already stays as it is."""
    folder = Path(options.folder)
    written: list[str] = []
    kept: list[str] = []
    ruled = bool(project.rule_files(folder / "alerts"))
    try:
        for name, text in _starter(datetime.now(UTC)):
            if name != ROUTES or not (folder / "alerts" / "routes.yml").exists():
                (written if _put(folder / name, text) else kept).append(name)
        # A project that has rules knows better which it needs.
        for name, text in () if ruled else _rules(project.measured_in(folder)):
            (written if _put(folder / name, text) else kept).append(name)
    except OSError as error:
        raise ConfigError(f"Cannot write the starter project into {folder}: {error.strerror or error}") from error
    print(
        "\n".join(
            [
                *(f"wrote  {name}" for name in written),
                *(f"kept   {name}: it was there already" for name in kept),
            ]
        )
    )
    print(_next_steps(folder, "pyproject.toml" in kept and not _has_table(folder)))
    return OK


def check(options: argparse.Namespace) -> int:
    """Check files; print every problem on stdout and return whether there was one."""
    from evalsvc.gate.checking import check_suites, split
    from evalsvc.governance.rubric.checking import check_rubrics

    here = not options.files_only
    asked = split([Path(path) for path in options.paths])
    found = project.check(asked.rest, here=here) if asked.rest is not None else project.Checked((), (), ())
    suites = check_suites(asked.suites, here=here, stored=lambda file: _may_be_stored(file, options))
    for note in suites.notes:
        print(f"evalsvc: {harmless(note)}", file=sys.stderr)
    problems = sorted({*found.problems, *suites.problems, *check_rubrics(asked.rubrics)})
    for problem in problems:
        print(problem)
    looked_at = len(found.files) + len(suites.files) + len(asked.rubrics)
    files = f"{looked_at} file{'' if looked_at == 1 else 's'}"
    if problems:
        count = len(problems)
        # What a file names is read too, as a suite's cases, and mistakes may lie there alone.
        lie = max(looked_at, len({problem.path for problem in problems}))
        places = f"{lie} file{'' if lie == 1 else 's'}"
        print(f"evalsvc: {count} problem{'' if count == 1 else 's'} in {places}", file=sys.stderr)
        return FINDINGS
    if not looked_at:
        print("evalsvc: found no file to check; `evalsvc init` writes some", file=sys.stderr)
        return FINDINGS
    for consumer in found.consumers:
        if consumer.masking.needs_key and not os.environ.get(consumer.masking.key_env):
            variable = consumer.masking.key_env
            print(
                f"evalsvc: {consumer.name} masks with `hash` and will not start before {variable} is set",
                file=sys.stderr,
            )
    if found.rules and found.routes is not None and not found.routes.receivers:
        print("evalsvc: nobody is told of alerts before alerts/routes.yaml names a receiver", file=sys.stderr)
    names = [consumer.name for consumer in found.consumers]
    if count := sum(len(group.rules) for group in found.rules):
        names.append(f"{count} rule{'' if count == 1 else 's'}")
    if count := sum(len(suite.tests) for suite in found.suites):
        names.append(f"{count} test{'' if count == 1 else 's'} of rules")
    if found.routes and (count := len(found.routes.receivers)):
        names.append(f"{count} receiver{'' if count == 1 else 's'}")
    if suites.right:
        names.append(f"{suites.right} suite{'' if suites.right == 1 else 's'}")
    if count := len(asked.rubrics):
        names.append(f"{count} rubric{'' if count == 1 else 's'}")
    print(f"{files} checked, no problem: {', '.join(names) or 'settings'}")
    return OK


def _may_be_stored(file: Path, options: argparse.Namespace) -> bool:
    """Return whether the project of a suite has a store, which is not asked; others tell mistakes of its settings."""
    from evalsvc._gate_store import has_store
    from evalsvc.gate.suite_files import root_for

    try:
        return has_store(root_for([file]), options)
    except EvalsvcError:
        return False


def _put(target: Path, text: str) -> bool:
    """Write a file, and return whether it was not there."""
    target.parent.mkdir(parents=True, exist_ok=True)
    try:
        with target.open("x", encoding="utf-8") as file:
            file.write(text)
    except FileExistsError:
        return False
    return True


def _starter(now: datetime) -> Iterator[tuple[str, str]]:
    """Yield (path, text), without the rules; the example's times are set to the last hour."""
    for name, file in _walk(_scaffold(), ""):
        if name in (RULES, TESTS):
            continue
        text = file.read_text(encoding="utf-8")
        if name.endswith(".jsonl"):
            text = _AGO.sub(lambda ago: f'"{now - timedelta(minutes=int(ago[1])):%Y-%m-%dT%H:%M:%SZ}"', text)
        yield ".gitignore" if name == "gitignore" else name, text


def _rules(measured: Collection[str]) -> Iterator[tuple[str, str]]:
    """Yield the paths and texts of the rules on what is measured, and of their tests."""
    rules = project.fitted_rules(_scaffold().joinpath(RULES).read_text(encoding="utf-8"), measured)
    tests = project.fitted_tests(_scaffold().joinpath(TESTS).read_text(encoding="utf-8"), measured, rules.alerts)
    yield from ((name, text) for name, text in ((RULES, rules.text), (TESTS, tests)) if text)


def _scaffold() -> Traversable:
    return resources.files("evalsvc").joinpath("_scaffold")


def _walk(folder: Traversable, prefix: str) -> Iterator[tuple[str, Traversable]]:
    for entry in sorted(folder.iterdir(), key=lambda entry: entry.name):
        if entry.is_dir():
            if entry.name != "__pycache__":
                yield from _walk(entry, f"{prefix}{entry.name}/")
        else:
            yield prefix + entry.name, entry


def _has_table(folder: Path) -> bool:
    return project.find_root(folder.resolve()) == folder.resolve() and "[tool.evalsvc" in (
        folder / "pyproject.toml"
    ).read_text(encoding="utf-8", errors="replace")


def _next_steps(folder: Path, table_missing: bool) -> str:
    lines = ["", "Next:"]
    if folder.resolve() != Path.cwd():
        lines.append(f"  cd {folder}")
    if table_missing:
        lines.append("  add [tool.evalsvc] to pyproject.toml (it may stay empty): it marks the project's root")
    lines += [
        "  evalsvc check                        every mistake in these files, with its line",
        "  evalsvc replay data/example.jsonl    score eight made-up events",
        "  evalsvc query latency_ms             an estimate with its interval",
        "  evalsvc test                         the rules in alerts/, on made-up scores",
        "  evalsvc gate                         may the made-up version 2 ship? the suite in suites/starter/",
        "  evalsvc up                           the service and its page; POST /v1/events sends it more",
    ]
    return "\n".join(lines)
