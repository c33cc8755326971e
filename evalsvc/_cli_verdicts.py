"""The command ``verdicts``: what gates decided, as the store remembers it."""

from __future__ import annotations

import argparse
from datetime import UTC, datetime
from pathlib import Path

import msgspec

from evalsvc import project
from evalsvc._cli_gate import open_log
from evalsvc._cli_output import aligned, terminal_width
from evalsvc._gate_told import told
from evalsvc._plain import harmless_json
from evalsvc.cli import OK
from evalsvc.errors import InputError
from evalsvc.verdicts import Verdict, VerdictQuery
from evalsvc.verdicts.words import because, party
from evalsvc.windows import parse_span


def listed(options: argparse.Namespace) -> int:
    """Print the verdicts of a span, the newest first."""
    span = parse_span(options.since, options.until, datetime.now(UTC))
    asked = VerdictQuery(options.suite, span.start, span.end)
    with open_log(project.find_root(Path.cwd()), options) as log:
        found = log.verdicts(asked, options.limit)
    if options.format == "json":
        for verdict in found:
            print(harmless_json(msgspec.json.encode(verdict).decode()))
    elif found:
        print(aligned([_row(verdict) for verdict in found]))
        if len(found) == options.limit:
            print(f"the last {options.limit}; there may be more")
    else:
        whose = f" of {options.suite!r}" if options.suite else ""
        print(f"no verdict{whose} was recorded since {options.since}; `evalsvc gate --record` records one")
    return OK


def show(options: argparse.Namespace) -> int:
    """Print one verdict."""
    with open_log(project.find_root(Path.cwd()), options) as log:
        verdict = log.verdict(options.id)
    if verdict is None:
        raise InputError(
            f"Expected the whole id of a recorded verdict, but got {options.id!r}; `evalsvc verdicts` lists them"
        )
    as_json = options.format == "json"
    print(harmless_json(msgspec.json.encode(verdict).decode()) if as_json else told(verdict, terminal_width()))
    return OK


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
