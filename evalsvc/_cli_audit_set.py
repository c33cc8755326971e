"""The command ``audit-set``: whether a set of cases is fit for what it is to show, and what to add next."""

from __future__ import annotations

import argparse
import os
from collections.abc import Sequence
from contextlib import closing
from datetime import UTC, datetime

import msgspec

from evalsvc import project
from evalsvc._cli_output import aligned
from evalsvc.cases import Case, read_cases, write_cases
from evalsvc.cli import FINDINGS, OK
from evalsvc.errors import InputError
from evalsvc.project import Environment
from evalsvc.set_audit import Finding, SetAudit, Wish, audit
from evalsvc.windows import parse_span

STORE = "store"
"""The value of ``--production`` that stands for the store; any other is a file of cases."""


def audit_set(options: argparse.Namespace) -> int:
    """Print an audit; 1 where a finding is bad."""
    wish = Wish(options.margin, options.power, options.level, options.discordant, options.icc)
    wish.check()
    _check(options)
    sets = [read_cases(path) for path in options.cases]
    traffic, further, notes = _production(options)
    made = audit(sets, wish=wish, traffic=traffic, picks=options.picks, further=further, notes=notes)
    if options.picks_to:
        named = {case.case_id: case for case in traffic}
        write_cases(options.picks_to, [named[pick.case_id] for pick in made.picks])
    if options.format == "json":
        print(msgspec.json.encode(made).decode())
    else:
        print("\n\n".join(_markdown(made) if options.format == "markdown" else _text(made)))
    return FINDINGS if made.worst == "bad" else OK


def _check(options: argparse.Namespace) -> None:
    if options.picks_to and not options.production:
        raise InputError("Expected `--production` with `--picks-to`: examples are picked from production")
    if options.where and options.production != STORE:
        raise InputError("Expected `--where` with `--production` from the store; a file is read whole")


def _production(options: argparse.Namespace) -> tuple[tuple[Case, ...], list[Finding], list[str]]:
    """Return what production asks, what has moved since the set's day, and where that is from."""
    if options.production not in ("", STORE):
        read = read_cases(options.production)
        note = f"Traffic: {len(read):,} cases of {options.production}, digest {read.digest[:12]}."
        traffic: tuple[Case, ...] = read.cases
        notes = [note]
    else:
        traffic, notes = (), []
    if options.production != STORE and options.as_of is None:
        return traffic, [], notes
    from evalsvc import assemble
    from evalsvc.set_audit.freshness import freshness_findings
    from evalsvc.set_audit.traffic import draw_traffic

    now = datetime.now(UTC)
    address = getattr(options, "store", None)
    with closing(assemble.open_project_store(project.load_settings(), Environment.read(os.environ), address)) as store:
        if options.production == STORE:
            where: dict[str, tuple[str, ...]] = {}
            for field, value in options.where:
                where[field] = (*where.get(field, ()), value)
            drawn = draw_traffic(store, parse_span(options.since, options.until, now), where)
            traffic = drawn.cases
            lost = f"; {drawn.without_text:,} looked at have no text left" if drawn.without_text else ""
            notes = [f"Traffic: {len(traffic):,} cases drawn from {drawn.events:,} events of the store{lost}."]
        further = freshness_findings(store, options.as_of, now) if options.as_of is not None else []
    return traffic, further, notes


def rows(made: SetAudit) -> list[dict[str, str]]:
    """Return the findings as a table has them."""
    return [
        {
            "verdict": finding.verdict,
            "subject": finding.subject,
            "what": finding.what,
            "number": finding.said,
            "next": finding.next + (f" ({', '.join(finding.cases)})" if finding.cases and finding.next else ""),
        }
        for finding in made.findings
    ]


def pick_rows(made: SetAudit) -> list[dict[str, str]]:
    """Return the production examples to label next."""
    return [
        {
            "label next": pick.case_id,
            "share of traffic near it": f"{pick.gain:.1%}",
            "nearest case": f"{pick.nearest:.2f}",
            "segments": pick.segments,
        }
        for pick in made.picks
    ]


def _head(made: SetAudit) -> list[str]:
    counts = {
        verdict: sum(finding.verdict == verdict for finding in made.findings) for verdict in ("bad", "look", "ok")
    }
    sets = "; ".join(f"{name}: {n:,} cases, digest {digest[:12]}" for name, digest, n in made.sets)
    return [f"{sets}. {counts['bad']} bad, {counts['look']} to look at, {counts['ok']} ok."]


def _text(made: SetAudit) -> list[str]:
    parts = [*_head(made), aligned(rows(made))]
    if made.picks:
        parts.append(aligned(pick_rows(made), {"share of traffic near it", "nearest case"}))
    return [*parts, *made.notes]


def _markdown(made: SetAudit) -> list[str]:
    parts = [f"# Audit of {_cell(made.sets[0][0])}", *map(_cell, _head(made)), _table(rows(made))]
    if made.picks:
        parts += ["## What to label next", _table(pick_rows(made))]
    return [*parts, *map(_cell, made.notes)]


def _table(found: Sequence[dict[str, str]]) -> str:
    columns = list(found[0])
    lines = ["| " + " | ".join(columns) + " |", "|" + "---|" * len(columns)]
    lines += ["| " + " | ".join(_cell(row[name]) for name in columns) + " |" for row in found]
    return "\n".join(lines)


def _cell(text: str) -> str:
    """Return a text as one cell that Markdown shows as it is."""
    line = " ".join(text.split()).replace("\\", "\\\\").replace("<", "&lt;")
    for mark in "|*_[]`":
        line = line.replace(mark, f"\\{mark}")
    return line
