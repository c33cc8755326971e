"""The command ``test``: rules held against made-up scores on virtual time."""

from __future__ import annotations

import argparse
import json
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from evalsvc import project
from evalsvc._yaml import raise_problems
from evalsvc.cli import FINDINGS, OK
from evalsvc.errors import ConfigError

if TYPE_CHECKING:
    from evalsvc.ruler.ruletests import Ran


class Result(NamedTuple):
    """A test that ran, the file that it is in, and how many seconds it took."""

    path: Path
    ran: Ran
    seconds: float


def test(options: argparse.Namespace) -> int:
    """Run tests and print a line for each; return whether one failed."""
    files = _files([Path(path) for path in options.paths])
    results = []
    for result in _results(files):
        print(to_json(result) if options.format == "json" else report(result))
        results.append(result)
    failed = sum(bool(result.ran.failures) for result in results)
    if options.junit:
        _write(Path(options.junit), junit(results))
    if options.format == "text":
        count = f"{len(results)} test{'' if len(results) == 1 else 's'}"
        passed = f"{len(results) - failed} passed" if failed else "all passed"
        print(f"\n{count} in {sum(result.seconds for result in results):.1f} s: {passed}, {failed} failed")
    return FINDINGS if failed else OK


def _files(paths: Sequence[Path]) -> list[Path]:
    """Return the files of tests in these places.

    Raises:
        ConfigError: when a place is not there, or no test is in any.
    """
    found = project.load_settings()
    asked = paths or [found.root / found.settings.alerts]
    for path in asked:
        if not path.exists():
            raise ConfigError(f"Expected a file or a folder of tests, but {path} is not there")
    files = list(dict.fromkeys(file.resolve() for path in asked for file in project.test_files(path)))
    if not files:
        places = ", ".join(project.shown(path.resolve()) for path in asked)
        raise ConfigError(f"Expected tests of rules, NAME.test.yaml, but none is in {places}")
    return files


def _results(files: Sequence[Path]) -> Iterator[Result]:
    """Run every test of these files, in order.

    Raises:
        ConfigError: with every problem of every file, before any test runs.
    """
    from evalsvc.ruler.ruletests import run_test

    checked = project.read_test_files(files)
    raise_problems(sorted(set(checked.problems)))
    for suite in checked.suites:
        for one in suite.tests:
            begun = time.perf_counter()
            ran = run_test(one, suite.groups, suite.scale_of)
            yield Result(suite.path, ran, time.perf_counter() - begun)


def report(result: Result) -> str:
    """Return a test's line, and below it what was otherwise than expected."""
    ran = result.ran
    head = f"{'FAIL' if ran.failures else 'ok  '}  {project.shown(result.path)}: {ran.test.name}"
    lines = [f"{head} ({ran.looks:,} looks, {result.seconds:.1f} s)"]
    for failure in ran.failures:
        first, *rest = failure.message.splitlines()
        lines += [f"      {failure.place}: {first}", *(f"        {line}" for line in rest)]
    return "\n".join(lines)


def to_json(result: Result) -> str:
    """Return a test as a line of JSON; times in RFC 3339, and seconds since the test's start."""
    ran = result.ran
    made: dict[str, Any] = {
        "file": project.shown(result.path),
        "line": ran.test.place.line,
        "test": ran.test.name,
        "passed": not ran.failures,
        "looks": ran.looks,
        "seconds": round(result.seconds, 3),
        "pages": [
            {
                "at": page.at.isoformat().replace("+00:00", "Z"),
                "after_seconds": (page.at - ran.test.start).total_seconds(),
                "labels": dict(page.labels),
            }
            for page in ran.pages
        ],
        "failures": [
            {"line": failure.place.line, "column": failure.place.column, "message": failure.message}
            for failure in ran.failures
        ],
    }
    return json.dumps(made, ensure_ascii=False, allow_nan=False)


def junit(results: Sequence[Result]) -> bytes:
    """Return results as JUnit XML, a test suite for each file (schema: Jenkins' xunit plugin, ``junit-10.xsd``)."""
    from xml.etree import ElementTree as tree

    root = tree.Element("testsuites")
    for path in dict.fromkeys(result.path for result in results):
        mine = [result for result in results if result.path == path]
        failed = sum(bool(result.ran.failures) for result in mine)
        counts = {"tests": str(len(mine)), "failures": str(failed), "errors": "0", "skipped": "0"}
        took = f"{sum(result.seconds for result in mine):.3f}"
        suite = tree.SubElement(root, "testsuite", {"name": project.shown(path), "time": took, **counts})
        for result in mine:
            ran = result.ran
            about = {"name": ran.test.name, "classname": project.shown(path), "time": f"{result.seconds:.3f}"}
            case = tree.SubElement(suite, "testcase", about)
            if ran.failures:
                text = "\n\n".join(f"{failure.place}: {failure.message}" for failure in ran.failures)
                first = ran.failures[0].message.splitlines()[0]
                tree.SubElement(case, "failure", {"message": first, "type": "expectation"}).text = text
    written: bytes = tree.tostring(root, encoding="utf-8", xml_declaration=True)
    return written


def _write(path: Path, text: bytes) -> None:
    try:
        path.write_bytes(text)
    except OSError as error:
        raise ConfigError(f"Cannot write the results to {path}: {error.strerror or error}") from error
