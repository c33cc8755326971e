"""What a run of suites leaves in files: what is kept of it, what was asked for, and there too that it was an error.

A summary, a page or a report that was asked for says what the exit code says. So a command that ends with an error
writes that into each of them, also over what it wrote before, or over what an earlier run left there.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from evalsvc._plain import harmless_json
from evalsvc.errors import InputError

if TYPE_CHECKING:
    from evalsvc.gate.running import Run


class Reported(NamedTuple):
    """A run with its summary (Markdown) and its page (HTML)."""

    run: Run
    summary: str
    page: str

    @classmethod
    def of(cls, run: Run) -> Reported:
        """Make both."""
        from evalsvc.gate.reports.html import page
        from evalsvc.gate.reports.markdown import markdown
        from evalsvc.gate.reports.regressions import regressions

        worst = regressions(run)
        return cls(run, markdown(run.verdict, worst), page(run.verdict, worst))


def keep(made: Sequence[Reported], root: Path) -> list[str]:
    """Keep the runs in the project, and return where each one's page is; '' where it is not kept."""
    from evalsvc.gate.keeping import RunKeeper

    keeper, places = RunKeeper(root), []
    for run, summary, page in made:
        records = [run.record, *([run.baseline.content] if run.baseline else [])]
        files = {"summary.md": summary, "report.html": page}
        try:
            places.append(shown_path(keeper.keep(run.verdict, files, *records) / "report.html"))
        except OSError as error:
            places.append("")
            said = error.strerror or str(error)
            print(f"evalsvc: the run is not kept, since .evalsvc cannot be written ({said})", file=sys.stderr)
    return places


def write_asked_for(made: Sequence[Reported], options: argparse.Namespace) -> None:
    """Write the files that the command line names.

    Raises:
        InputError: when one cannot be written.
    """
    from evalsvc.gate.reports.junit import junit

    for one in made if options.html else ():
        _put(options.html if len(made) == 1 else _named(options.html, one.run.verdict.suite), one.page)
    if options.markdown:
        _put(options.markdown, "\n".join(one.summary for one in made))
    if options.junit:
        kind = "skipped" if options.inconclusive == "pass" else "failure"
        _put(options.junit, junit([one.run.verdict for one in made], kind, [one.run.seconds for one in made]))


def tell_error(said: str, options: argparse.Namespace) -> None:
    """Say in every output of a run that was asked for that there is no verdict, and why; best effort.

    A terminal's table is none of them: there the error itself is told.
    """
    if options.again or options.power:
        return
    from evalsvc.gate.reports.errors import error_junit, error_markdown, error_page

    asked_for = (
        (options.markdown, error_markdown),
        (options.junit, error_junit),
        (options.html, error_page),
    )
    for path, made in asked_for:
        if path:
            # One of them may be what cannot be written.
            with suppress(InputError):
                _put(path, made(said))
    if options.format == "json":
        print(harmless_json(json.dumps({"decision": "ERROR", "error": said}, ensure_ascii=False)))
    elif options.format == "markdown":
        print(error_markdown(said), end="")


def shown_path(path: Path) -> str:
    """Return a path as messages show it: from the current folder, where it lies below it."""
    try:
        return str(path.resolve().relative_to(Path.cwd()))
    except ValueError:
        return str(path)


def _named(path: str, suite: str) -> str:
    given = Path(path)
    return str(given.with_name(f"{given.stem}-{suite}{given.suffix}"))


def _put(path: str, text: str) -> None:
    try:
        Path(path).write_text(text, encoding="utf-8")
    except OSError as error:
        raise InputError(f"Cannot write {path}: {error.strerror or error}") from error
