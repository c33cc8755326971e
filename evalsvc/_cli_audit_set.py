"""The command ``audit-set``: whether a set of cases is fit for what it is to show, and what to add next."""

from __future__ import annotations

import argparse
import os
from collections.abc import Sequence
from contextlib import closing
from datetime import UTC, datetime
from textwrap import shorten

import msgspec

from evalsvc import project
from evalsvc._cli_output import aligned
from evalsvc.cases import Case, read_cases, write_cases
from evalsvc.cli import FINDINGS, OK
from evalsvc.errors import InputError
from evalsvc.project import Environment
from evalsvc.set_audit import Finding, SetAudit, Wish, audit
from evalsvc.set_audit.values import Subject
from evalsvc.windows import parse_span

MOST, LONGEST = 3, 100
"""So many findings of a kind have a row, and so long are the names of the others together."""
VERDICTS = ("bad", "look", "ok")
BY_USE: tuple[Subject, ...] = (
    "labels", "splits", "duplicates", "agreement", "traffic", "size", "freshness", "references", "balance", "languages",
    "edge cases", "topics",
)  # fmt: skip
"""What is wrong in the set comes first, then what it lacks for its purpose, then what it may lack."""

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
    """Return the findings as a table has them: what is bad first, then what is most use to look at.

    Of one subject's findings of one verdict only the first have a row of their own, but each bad one has.
    """
    kinds: dict[tuple[int, int], list[Finding]] = {}
    for finding in made.findings:
        kinds.setdefault((VERDICTS.index(finding.verdict), BY_USE.index(finding.subject)), []).append(finding)
    found = []
    for _, held in sorted(kinds.items()):
        # One more is as long as the line that says that there is one.
        most = len(held) if held[0].verdict == "bad" or len(held) <= MOST + 1 else MOST
        found += [_row(finding) for finding in held[:most]]
        found += [_further(held[most:])] if held[most:] else []
    return found


def _row(finding: Finding) -> dict[str, str]:
    return {
        "verdict": finding.verdict,
        "subject": finding.subject,
        "what": finding.what,
        "number": finding.said,
        "next": finding.next + (f" ({', '.join(finding.cases)})" if finding.cases and finding.next else ""),
    }


def _further(findings: Sequence[Finding]) -> dict[str, str]:
    names = shorten(", ".join(finding.what for finding in findings), LONGEST, placeholder=" …")
    return {
        "verdict": findings[0].verdict,
        "subject": findings[0].subject,
        "what": f"and {len(findings):,} more",
        "number": names,
        "next": "in --format json",
    }


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
    counts = {verdict: sum(finding.verdict == verdict for finding in made.findings) for verdict in VERDICTS}
    sets = "; ".join(f"{name}: {n:,} cases, digest {digest[:12]}" for name, digest, n in made.sets)
    return [f"{sets}. {counts['bad']} bad, {counts['look']} to look at, {counts['ok']} ok."]


def _text(made: SetAudit) -> list[str]:
    parts = [*_head(made), aligned(list(map(_printable, rows(made))))]
    if made.picks:
        parts.append(aligned(list(map(_printable, pick_rows(made))), {"share of traffic near it", "nearest case"}))
    return [*parts, *made.notes]


def _printable(row: dict[str, str]) -> dict[str, str]:
    """Return a row without what moves a terminal's cursor: names and segments come from production."""
    return {
        name: "".join(sign if sign.isprintable() else "\ufffd" for sign in " ".join(text.split()))
        for name, text in row.items()
    }


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
