"""The command ``cases``: draw them from production, vary them, compare two versions of a set, and look at one."""

from __future__ import annotations

import argparse
import json
import os
import sys
from collections import Counter
from collections.abc import Mapping, Sequence
from contextlib import closing
from datetime import UTC, datetime
from pathlib import Path

from evalsvc import project
from evalsvc._cli_output import aligned
from evalsvc.cases import CaseSet, changes, read_cases, write_cases
from evalsvc.cases.drawing import MOST_SCORES, Draw, Drawn, draw_cases
from evalsvc.cli import OK
from evalsvc.errors import InputError
from evalsvc.project import Environment
from evalsvc.windows import parse_span, whole_minutes

SHOWN = 20
"""How many names, or values of a segment, are listed at most."""


def draw(options: argparse.Namespace) -> int:
    """Draw cases from the store into a file, and say what they stand for."""
    from evalsvc import assemble

    where: dict[str, tuple[str, ...]] = {}
    for field, value in options.where:
        where[field] = (*where.get(field, ()), value)
    asked = Draw(
        window=whole_minutes(parse_span(options.since, options.until, datetime.now(UTC))),
        n=options.n,
        where=where,
        by=tuple(dict.fromkeys(name.strip() for given in options.by for name in given.split(",") if name.strip())),
        metric=options.metric or "",
        worst=options.worst,
        reference=options.reference,
        seed=options.seed,
    )
    _check_target(options.out, options.replace)
    found = project.load_settings()
    with closing(
        assemble.open_project_store(found, Environment.read(os.environ), getattr(options, "store", None))
    ) as store:
        drawn = draw_cases(store, asked)
    write_cases(options.out, drawn.cases)
    print(drawn_text(options.out, drawn, asked))
    return OK


def drawn_text(path: str, drawn: Drawn, asked: Draw) -> str:
    """Return what was drawn, and what the cases stand for."""
    weights = [case.weight for case in drawn.cases]
    effective = sum(weights) ** 2 / sum(weight**2 for weight in weights)
    part = "" if drawn.complete else f", a random {MOST_SCORES:,} of more"
    lines = [
        f"{path}: {len(drawn.cases):,} cases of {drawn.events:,} events with a score of {drawn.metric}{part}",
        f"weights from {min(weights):.3g} to {max(weights):.3g}: as good as {effective:,.0f} cases of one weight",
    ]
    if drawn.without_text:
        lines.append(
            f"{drawn.without_text:,} of the {drawn.looked:,} events looked at have no text left (retention of events): "
            "the cases stand for the others"
        )
    if drawn.without_prompt:
        lines.append(f"{drawn.without_prompt:,} of the {drawn.looked:,} events looked at have no prompt")
    if drawn.merged:
        lines.append(f"{drawn.merged:,} events said the same as another one: their weight went to its case")
    if len(drawn.cases) < asked.n:
        lines.append(f"fewer than the {asked.n:,} asked for: no other events have what a case needs")
    if len(drawn.strata) > 1:
        rows = [{"cases": f"{size:,}", "stratum": name} for name, size in drawn.strata.items()]
        lines += ["", aligned(rows, right={"cases"})]
    return "\n".join(lines)


def vary(options: argparse.Namespace) -> int:
    """Write cases with their variants, and say how many of each kind there are."""
    from evalsvc.perturbation import KINDS
    from evalsvc.perturbation import vary as varied_of

    named = tuple(dict.fromkeys(name.strip() for given in options.kind for name in given.split(",") if name.strip()))
    kinds = tuple(KINDS) if named == ("all",) else named
    _check_target(options.out, options.replace)
    cases = read_cases(options.file)
    varied = varied_of(cases, kinds, options.seed)
    write_cases(options.out, varied.cases)
    sources = sum(not case.variant_of for case in cases)
    counts = Counter(case.variant for case in varied.cases)
    rows = [
        {"kind": kind, "variants": f"{counts[kind]:,}", "nothing to change": f"{varied.unchanged[kind]:,}"}
        for kind in kinds
    ]
    print(f"{options.out}: {len(varied.cases):,} cases, {sources:,} of them sources\n")
    print(aligned(rows, right={"variants", "nothing to change"}))
    return OK


def attack(options: argparse.Namespace) -> int:
    """Write attacks on cases, on a system prompt, or on both, and say how many of each technique there are."""
    from evalsvc.perturbation import attack_cases

    if not options.file and not options.system_prompt:
        raise InputError("Expected a FILE of cases, --system-prompt FILE, or both: what is to be attacked?")
    _check_target(options.out, options.replace)
    cases = read_cases(options.file).cases if options.file else ()
    attacks = attack_cases(cases, _text(options.system_prompt) if options.system_prompt else "", options.seed)
    write_cases(options.out, attacks)
    counts = Counter((case.segments["attack"], case.segments["technique"]) for case in attacks)
    rows = [{"attack": kind, "technique": how, "cases": f"{count:,}"} for (kind, how), count in counts.items()]
    print(f"{options.out}: {len(attacks):,} attacks; canary_leak scores each: 1 is one that succeeded\n")
    print(aligned(rows, right={"cases"}))
    return OK


def _text(path: str) -> str:
    try:
        return Path(path).read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise InputError(f"Expected --system-prompt to be a file of UTF-8 text, but {path} cannot be read") from error


def diff(options: argparse.Namespace) -> int:
    """Print which cases were added, removed, changed or labelled otherwise."""
    old, new = (read_cases(path) for path in (options.old, options.new))
    found = changes(old.cases, new.cases)
    if options.format == "json":
        print(json.dumps({"old": old.digest, "new": new.digest, **found._asdict()}, ensure_ascii=False))
        return OK
    same = len(new) - len(found.added) - len(found.changed) - len(found.relabelled)
    print(f"{options.old} {old.digest}: {len(old):,} cases")
    print(f"{options.new} {new.digest}: {len(new):,} cases, {same:,} of them the same")
    for what, names in found._asdict().items():
        if names:
            print(f"{what} ({len(names):,}): {_listed(names)}")
    return OK


def bring(options: argparse.Namespace) -> int:
    """Read foreign cases, and write them in our format."""
    _check_target(options.out, options.replace)
    cases = _read(options)
    write_cases(options.out, cases)
    print(f"{options.out}: {len(cases):,} cases, version {cases.digest}")
    rows = round(sum(case.weight for case in cases))
    if options.merge and rows > len(cases):
        print(f"their weights add up to {rows:,}: cases of one content are one")
    return OK


def _read(options: argparse.Namespace) -> CaseSet:
    return read_cases(
        options.file, fields=dict(options.field), split=options.split, config=options.config, merge=options.merge
    )


def check(options: argparse.Namespace) -> int:
    """Read a set, and print its version, counts and segments."""
    cases = _read(options)
    facts = facts_of(cases)
    if options.format == "json":
        print(json.dumps({"name": cases.name, "digest": cases.digest, **facts}, ensure_ascii=False))
    else:
        print(facts_text(cases, facts))
    return OK


def facts_of(cases: CaseSet) -> dict[str, object]:
    """Return counts of a set: whole numbers of cases, of segments and tags by value, the most frequent first."""
    segments: dict[str, Counter[str]] = {}
    names = dict.fromkeys(name for case in cases for name in case.segments)
    for case in cases:
        for name in names:
            segments.setdefault(name, Counter())[case.segments.get(name, "")] += 1
    grouped = Counter(case.group for case in cases if case.group)
    return {
        "cases": len(cases),
        "groups": len(grouped),
        "largest_group": max(grouped.values(), default=0),
        "with_reference": sum(case.reference is not None for case in cases),
        "with_contexts": sum(bool(case.contexts) for case in cases),
        "with_expected_tools": sum(bool(case.expected_tools) for case in cases),
        "critical": sum(case.critical for case in cases),
        "variants": dict(Counter(case.variant for case in cases if case.variant_of).most_common()),
        "tags": dict(Counter(tag for case in cases for tag in case.tags).most_common()),
        "segments": {name: dict(counts.most_common()) for name, counts in segments.items()},
    }


def facts_text(cases: CaseSet, facts: Mapping[str, object]) -> str:
    """Return the counts as lines and a table; empty cells are cases without the segment."""
    total = len(cases)
    lines = [f"{cases.name}: {total:,} cases, version {cases.digest}"]
    for key in ("with_reference", "with_contexts", "with_expected_tools", "critical"):
        count = facts[key]
        if isinstance(count, int):
            lines.append(f"{key.replace('_', ' ')}: {count:,} ({count / total:.0%})")
    lines.append(f"groups: {facts['groups']:,}, the largest of {facts['largest_group']:,} cases")
    rows = []
    for kind, title in (("tags", "tag"), ("variants", "variant")):
        rows += _rows(title, facts[kind], total)
    segments = facts["segments"]
    if isinstance(segments, dict):
        for name, counts in segments.items():
            rows += _rows(f"segments.{name}", counts, total)
    return "\n".join([*lines, *(["", aligned(rows, right={"cases", "share"})] if rows else [])])


def _rows(title: str, counts: object, total: int) -> list[dict[str, str]]:
    if not isinstance(counts, Mapping):
        return []
    shown = list(counts.items())[:SHOWN]
    rows = [
        {"field": title, "value": value or "-", "cases": f"{count:,}", "share": f"{count / total:.0%}"}
        for value, count in shown
    ]
    if len(counts) > SHOWN:
        rows.append({"field": title, "value": f"and {len(counts) - SHOWN:,} more values"})
    return rows


def _listed(names: Sequence[str]) -> str:
    more = f" and {len(names) - SHOWN:,} more" if len(names) > SHOWN else ""
    return ", ".join(names[:SHOWN]) + more


def _check_target(path: str, replace: bool) -> None:
    if not path.endswith((".jsonl", ".jsonl.gz")):
        raise InputError(f"Expected --out to end in .jsonl or .jsonl.gz, but got {path!r}")
    if Path(path).exists():
        if not replace:
            raise InputError(f"Expected --out to name no file, but {path} is there; take another name, or --replace")
        print(f"evalsvc: {path} is replaced", file=sys.stderr)
