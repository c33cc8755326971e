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
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from evalsvc._paths import shown_path
from evalsvc._plain import harmless, harmless_json
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
        _put(_page_path(options.html, one.run.verdict.suite, alone=len(made) == 1), one.page)
    if options.markdown:
        _put(options.markdown, "\n".join(one.summary for one in made))
    if options.junit:
        kind = "skipped" if options.inconclusive == "pass" else "failure"
        _put(options.junit, junit([one.run.verdict for one in made], kind, [one.run.seconds for one in made]))


def tell_error(said: str, code: int, options: argparse.Namespace) -> None:
    """Say in every output of a run that was asked for that there is no verdict, why, and the exit code; best effort.

    A terminal's table is none of them: there the error itself is told.
    """
    if options.again or options.power:
        return
    from evalsvc.gate.reports.errors import error_junit, error_markdown, error_page

    asked_for = (
        (options.markdown, partial(error_markdown, code=code)),
        (options.junit, error_junit),
        (options.html, partial(error_page, code=code)),
    )
    for path, made in asked_for:
        if path:
            # One of them may be what cannot be written.
            with suppress(InputError):
                _put(path, made(said))
    if options.format == "json":
        print(harmless_json(json.dumps({"decision": "ERROR", "error": said}, ensure_ascii=False)))
    elif options.format == "markdown":
        print(error_markdown(said, code), end="")


def _page_path(given: str, suite: str, *, alone: bool) -> Path:
    """Return where a suite's page goes: into a folder by its name, else the file given, and of several one each."""
    path = Path(given)
    if path.is_dir():
        return path / f"{suite}.html"
    return path if alone else path.with_name(f"{path.stem}-{suite}{path.suffix}")


def _put(path: str | Path, text: str) -> None:
    """Write a file that was asked for, and say its name."""
    try:
        Path(path).write_text(text, encoding="utf-8")
    except OSError as error:
        raise InputError(f"Cannot write {shown_path(path)}: {error.strerror or error}") from error
    print(f"evalsvc: wrote {harmless(shown_path(path))}", file=sys.stderr)
