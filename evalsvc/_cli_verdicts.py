"""The command ``verdicts``: what gates decided, as the store remembers it."""

from __future__ import annotations

import argparse
import sys
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

import msgspec

from evalsvc._cli_gate import open_log
from evalsvc._cli_output import aligned, terminal_width
from evalsvc._gate_store import has_store
from evalsvc._gate_told import told
from evalsvc._plain import harmless_json
from evalsvc.cli import OK
from evalsvc.errors import InputError
from evalsvc.gate.suite_files import root_for
from evalsvc.verdicts import Verdict, VerdictQuery
from evalsvc.verdicts.words import because, party
from evalsvc.windows import parse_span

if TYPE_CHECKING:
    from evalsvc.gate.keeping import RunKeeper


def listed(options: argparse.Namespace) -> int:
    """Print the verdicts of a span, the newest first."""
    span = parse_span(options.since, options.until, datetime.now(UTC))
    asked = VerdictQuery(options.suite, span.start, span.end)
    root = root_for([])
    if has_store(root, options):
        with open_log(root, options) as log:
            found = log.verdicts(asked, options.limit)
    else:
        found = _kept(root).verdicts(asked, options.limit)
    if options.format == "json":
        for verdict in found:
            print(harmless_json(msgspec.json.encode(verdict).decode()))
    elif found:
        print(aligned([_row(verdict) for verdict in found]))
        if len(found) == options.limit:
            print(f"the last {options.limit}; there may be more")
    else:
        whose = f" of {options.suite!r}" if options.suite else ""
        print(f"no verdict{whose} since {options.since}; `evalsvc gate --record` records one")
    return OK


def show(options: argparse.Namespace) -> int:
    """Print one verdict."""
    root = root_for([])
    if not has_store(root, options):
        _print(_kept(root).find(options.id), options)
        return OK
    with open_log(root, options) as log:
        verdict = log.verdict(options.id)
    if verdict is None:
        raise InputError(
            f"Expected the whole id of a recorded verdict, but got {options.id!r}; `evalsvc verdicts` lists them"
        )
    _print(verdict, options)
    return OK


def _print(verdict: Verdict, options: argparse.Namespace) -> None:
    as_json = options.format == "json"
    print(harmless_json(msgspec.json.encode(verdict).decode()) if as_json else told(verdict, terminal_width()))


def _kept(root: Path) -> RunKeeper:
    from evalsvc.gate.keeping import RunKeeper

    print("evalsvc: there is no store yet; these are the runs kept in .evalsvc/runs", file=sys.stderr)
    return RunKeeper(root)


def _row(verdict: Verdict) -> dict[str, str]:
    return {
        "decision": verdict.decision,
        "suite": verdict.suite,
        "candidate": party(verdict.candidate),
        "baseline": party(verdict.baseline) if verdict.baseline else "",
        "decided": f"{verdict.decided_at:%Y-%m-%d %H:%M}",
        "verdict": verdict.verdict_id,
        "why": because(verdict),
    }
