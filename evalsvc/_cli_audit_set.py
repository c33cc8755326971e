"""The command ``audit-set``: whether a set of cases is fit for what it is to show, and what to add next."""

from __future__ import annotations

import argparse
from collections.abc import Sequence

import msgspec

from evalsvc._cli_output import aligned
from evalsvc.cases.reading import read_cases
from evalsvc.cli import FINDINGS, OK
from evalsvc.set_audit import SetAudit, Wish, audit


def audit_set(options: argparse.Namespace) -> int:
    """Print an audit; 1 where a finding is bad."""
    wish = Wish(options.margin, options.power, options.level, options.discordant, options.icc)
    wish.check()
    made = audit([read_cases(path) for path in options.cases], wish=wish)
    if options.format == "json":
        print(msgspec.json.encode(made).decode())
    else:
        print("\n\n".join(_markdown(made) if options.format == "markdown" else _text(made)))
    return FINDINGS if made.worst == "bad" else OK


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
