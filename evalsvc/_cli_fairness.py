"""The command ``fairness``: groups of a metric compared, in one plain sentence, a table, JSON lines or CSV."""

from __future__ import annotations

import argparse
import json
import os
import sys
from collections import defaultdict
from collections.abc import Mapping, Sequence
from contextlib import closing
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from evalsvc import plots, project
from evalsvc._cli_output import print_csv
from evalsvc._cli_query import estimate_query, fields_of, said_value
from evalsvc._fairness_chart import chart, check_one_scale
from evalsvc._fairness_data import Found, Subject, csv_columns, csv_rows, to_json
from evalsvc._fairness_text import texts
from evalsvc.cli import OK
from evalsvc.errors import InputError
from evalsvc.project import Environment
from evalsvc.types import Window

if TYPE_CHECKING:
    from evalsvc.fairness import Group, Standardised
    from evalsvc.protocols import ScoreStore
    from evalsvc.query import EstimateQuery, GroupCells


def fairness(options: argparse.Namespace) -> int:
    """Print comparisons of groups."""
    from evalsvc import assemble
    from evalsvc.scorer_notes import scorer_notes

    if not fields_of(options.by):
        raise InputError("Expected `--by` to name a field, such as segments.plan, but got none")
    plain = argparse.Namespace(**vars(options))
    plain.statistic = "mean"
    asked = estimate_query(plain, datetime.now(UTC))
    if options.standardise in asked.by:
        raise InputError(f"Expected another field to standardise for than the groups' own {options.standardise!r}")
    address = getattr(options, "store", None)
    if options.plot:
        plots.check(options.plot)
    found = project.load_settings()
    with closing(assemble.open_project_store(found, Environment.read(os.environ), address)) as store:
        comparisons = compared(store, asked, options)
        notes = scorer_notes(store, [asked.metric] if comparisons else [], asked)
    shown = {(asked.metric, *one.subject) for one in comparisons}
    warnings = [_at_groups(said) for key, said in notes.items() if key in shown]
    if options.plot:
        check_one_scale(comparisons)
    for name in _unknown(asked, comparisons):
        said = f"no scored event of this window has a segment {name!r}; is it spelt so?"
        print(f"evalsvc: {said}", file=sys.stderr)
    if options.format == "json":
        for one in comparisons:
            of = [_at_groups(text) for key, text in notes.items() if key[1:] == one.subject]
            print(json.dumps(to_json(asked.metric, one) | {"warnings": of}, ensure_ascii=False, allow_nan=False))
    elif options.format == "csv":
        print_csv(csv_columns(asked), [row for one in comparisons for row in csv_rows(asked, one)])
    elif not comparisons:
        print(f"no scores of {asked.metric} match; widen --since, or loosen --where")
    else:
        print("\n\n".join([*texts(asked, comparisons, options), *(f"Warning: {said}." for said in warnings)]))
    if options.plot:
        plots.save(options.plot, chart(asked, comparisons, options, warnings) if comparisons else None)
    return OK


def _at_groups(note: str) -> str:
    """Say of a scorer that moved what it means for groups that are compared."""
    return f"{note}: groups whose events lie before and after differ by that alone; compare them within either"


def compared(store: ScoreStore, asked: EstimateQuery, options: argparse.Namespace) -> list[Found]:
    """Return a comparison for each window, consumer and version of the scorer, in the store's order."""
    from evalsvc.fairness import Step, compare
    from evalsvc.fairness.disaggregation import shown, suppressed
    from evalsvc.query import group_cells

    # Events of a session depend on each other in the system, even where each was sampled for itself.
    asked = asked._replace(target=options.target)
    sets: dict[tuple[Window, Subject], list[GroupCells]] = defaultdict(list)
    for found in group_cells(store, asked):
        sets[found.group.window, _subject(found)].append(found)
    cases: dict[tuple[Window, Subject], list[GroupCells]] = defaultdict(list)
    if options.standardise:
        for found in group_cells(store, asked._replace(by=(*asked.by, options.standardise))):
            cases[found.group.window, _subject(found)].append(found)
    made = []
    for (window, subject), members in sets.items():
        scale = members[0].spec.scale
        groups = [_group(member, asked.by, options.target) for member in members]
        hidden = suppressed(groups, options.min_group, complementary=options.complementary)
        standard = None
        if options.standardise:
            standard = _standardised(cases[window, subject], asked.by, options, [g.name for g in shown(groups, hidden)])
            at_mix = {group.name: group for group in standard.groups}
            groups = [at_mix.get(group.name, group) for group in groups]
            hidden |= {
                group.name: f"suppressed: not standardised, {standard.reason}"
                for group in groups
                if group.name not in at_mix and group.name not in hidden
            }
        comparison = compare(
            groups,
            scale,
            min_group=options.min_group,
            complementary=options.complementary,
            reference=_reference(options, groups, hidden),
            adjust=options.adjust,
            confidence=options.confidence,
            hidden=hidden,
        )
        step = Step(window, shown(groups, hidden), comparison)
        made.append(Found(window, subject, scale, step, comparison, standard))
    return made


def _group(found: GroupCells, by: Sequence[str], target: Any) -> Group:  # noqa: ANN401 - argparse has no types
    import msgspec

    from evalsvc.fairness import group_of_cells
    from evalsvc.query import with_unasked

    group, spec, domain = found
    made = group_of_cells(
        _name(group.key, by),
        found.cells,
        spec.scale,
        group.window,
        offered=domain.offered,
        rates=domain.rates,
        untaken=domain.untaken,
        target=target,
        labels={field: group.key[field] for field in by},
    )
    if not domain.unasked:
        return made
    counted = with_unasked(made.at(0.95), found)
    change = {"n_missing": counted.n_missing, "missing_share": counted.missing_share, "reason": counted.reason}
    return made._replace(at=lambda confidence: msgspec.structs.replace(made.at(confidence), **change))


def _standardised(
    members: Sequence[GroupCells], by: Sequence[str], options: argparse.Namespace, visible: Sequence[str]
) -> Standardised:
    from evalsvc.fairness import standardise

    cases: dict[str, dict[str, Group]] = {name: {} for name in visible}
    for member in members:
        name = _name(member.group.key, by)
        if name in cases:
            case = said_value(member.group.key[options.standardise])
            cases[name][case] = _group(member, by, options.target)
    return standardise(cases)


def _reference(options: argparse.Namespace, groups: Sequence[Group], hidden: Mapping[str, str]) -> str | None:
    """Return the reference; in one of many windows in which it is not shown, all the others stand in."""
    name: str | None = options.reference
    if name is not None and options.window and any(group.name == name for group in groups) and name in hidden:
        return None
    return name


def _subject(found: GroupCells) -> Subject:
    return found.group.consumer, found.group.scorer_version, found.group.signature


def _name(key: Mapping[str, str], by: Sequence[str]) -> str:
    """Return what names this group and no other one, as comparisons know groups by name."""
    mark = "×" if len(by) > 1 else ""
    return " × ".join(said_value(key[field], mark) for field in by)


def _unknown(asked: EstimateQuery, comparisons: Sequence[Found]) -> list[str]:
    """Return the segments that no scored event has: most likely typos."""
    rows = [row for one in comparisons for row in one.comparison.groups]
    names = [name for name in asked.by if name.startswith("segments.")]
    return [name.removeprefix("segments.") for name in names if rows and not any(row.labels.get(name) for row in rows)]
