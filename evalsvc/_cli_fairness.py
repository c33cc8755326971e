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
from typing import TYPE_CHECKING, Any, NamedTuple

from evalsvc import plots, project
from evalsvc._cli_output import aligned, print_csv, said_where
from evalsvc._cli_query import estimate_query, said_value
from evalsvc.cli import OK
from evalsvc.errors import InputError
from evalsvc.project import Environment
from evalsvc.types import Scale, Window

if TYPE_CHECKING:
    from evalsvc.fairness import Comparison, Group, GroupEstimate, Slope, Standardised, Step
    from evalsvc.protocols import ScoreStore
    from evalsvc.query import EstimateQuery, GroupCells

Subject = tuple[str, int, str]
"""Consumer, scorer version and signature, which are never pooled."""


class Found(NamedTuple):
    """One comparison with what it is about."""

    window: Window
    subject: Subject
    scale: Scale
    step: Step
    comparison: Comparison
    standard: Standardised | None


def fairness(options: argparse.Namespace) -> int:
    """Print comparisons of groups."""
    from evalsvc import assemble

    fields = [field.strip() for given in options.by for field in given.split(",") if field.strip()]
    if not fields:
        raise InputError("Expected `--by` to name a field, such as segments.plan, but got none")
    plain = argparse.Namespace(**vars(options))
    plain.by, plain.statistic = ",".join(dict.fromkeys(fields)), "mean"
    asked = estimate_query(plain, datetime.now(UTC))
    if options.standardise in asked.by:
        raise InputError(f"Expected another field to standardise for than the groups' own {options.standardise!r}")
    address = getattr(options, "store", None)
    if options.plot:
        plots.check(options.plot)
    found = project.load_settings()
    with closing(assemble.open_project_store(found, Environment.read(os.environ), address)) as store:
        comparisons = compared(store, asked, options)
    if options.plot:
        _check_one_scale(comparisons)
    for name in _unknown(asked, comparisons):
        said = f"no scored event of this window has a segment {name!r}; is it spelt so?"
        print(f"evalsvc: {said}", file=sys.stderr)
    if options.format == "json":
        for one in comparisons:
            print(json.dumps(to_json(asked.metric, one), ensure_ascii=False, allow_nan=False))
    elif options.format == "csv":
        print_csv(_csv_columns(asked), [row for one in comparisons for row in _csv_rows(asked, one)])
    elif not comparisons:
        print(f"no scores of {asked.metric} match; widen --since, or loosen --where")
    else:
        print("\n\n".join(_texts(asked, comparisons, options)))
    if options.plot:
        plots.save(options.plot, chart(asked, comparisons, options) if comparisons else None)
    return OK


def compared(store: ScoreStore, asked: EstimateQuery, options: argparse.Namespace) -> list[Found]:
    """Return a comparison for each window, consumer and version of the scorer, in the store's order."""
    from evalsvc.fairness import Step, compare
    from evalsvc.fairness.disaggregation import shown, suppressed
    from evalsvc.query import group_cells

    # Events of a session depend on each other in the system, even where each was sampled for itself.
    clusters = options.target == "process"
    sets: dict[tuple[Window, Subject], list[GroupCells]] = defaultdict(list)
    for found in group_cells(store, asked, clusters=clusters):
        sets[found.group.window, _subject(found)].append(found)
    cases: dict[tuple[Window, Subject], list[GroupCells]] = defaultdict(list)
    if options.standardise:
        for found in group_cells(store, asked._replace(by=(*asked.by, options.standardise)), clusters=clusters):
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


def to_json(metric: str, found: Found) -> dict[str, Any]:
    """Return a comparison as JSON-able values; suppressed groups are there, without a value."""
    one = found.comparison
    consumer, version, signature = found.subject
    return {
        "metric": metric,
        "consumer": consumer,
        "scorer_version": version,
        "signature": signature,
        "window": {"start": found.window.start.isoformat(), "end": found.window.end.isoformat()},
        "sentence": one.sentence,
        "groups": [_group_json(one, row) for row in one.groups],
        "gap": one.gap._asdict(),
        "ratio": one.ratio._asdict(),
        "worst": one.worst._asdict(),
        "spread": one.spread._asdict(),
        "differing": list(one.differing),
        "apart": [row._asdict() for row in one.apart],
        "adjust": one.adjust,
        "min_group": one.min_group,
        "confidence": one.confidence,
        "standardised": _standard_json(found.standard),
    }


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


def chart(asked: EstimateQuery, comparisons: Sequence[Found], options: argparse.Namespace) -> plots.Chart:
    """Return the picture of these comparisons: groups in a row each, or with windows the gap over time."""
    by_subject = _by_subject(comparisons)
    several = len(by_subject) > 1
    windowed = bool(options.window) and any(len(found) > 1 for found in by_subject.values())
    # Every subject's values are on this one's axis; which way is better may be each one's own.
    shared = comparisons[0].scale
    panels, table, said = [], [], []
    for subject, found in by_subject.items():
        scale = found[0].scale
        name = _subject_name(subject) if several else ""
        if windowed:
            panels.append(plots.Panel(name, [_gap_mark(one) for one in found]))
            sentence, lines = _trend_lines(found)
        else:
            panels.append(_forest(name, found[0]))
            one = found[0].comparison
            sentence = one.sentence
            rows = {row.name: row for row in one.groups}
            ordered = [rows[mark.name] for mark in panels[-1].marks]
            lines = [_line(one, row, scale) | {"method": row.estimate.method} for row in ordered]
        said.append(f"{name}: {sentence}" if several else sentence)
        table += [{"consumer · scorer": name} | line if several else line for line in lines]
    left = {"group", "note", "method", "window", "farthest", "worst off", "consumer · scorer"}
    unit = "points" if shared.binary else shared.unit
    return plots.Chart(
        _head(asked, comparisons),
        " ".join(f"{text[:1].upper()}{text[1:]}." for text in said),
        f"gap between groups{f', {unit}' if unit else ''}" if windowed else f"mean of {asked.metric}",
        panels,
        table,
        {name for line in table for name in line} - left,
        _chart_notes(comparisons, options, windowed=windowed),
        over_time=windowed,
        percent=shared.binary and not windowed,
    )


def _check_one_scale(comparisons: Sequence[Found]) -> None:
    """Refuse to draw values of several scales along one axis."""
    by_subject = _by_subject(comparisons)
    scales = {subject: _axis(found[0].scale) for subject, found in by_subject.items()}
    if len(set(scales.values())) > 1:
        first = next(iter(scales))
        other = next(subject for subject, scale in scales.items() if scale != scales[first])
        said = " and ".join(f"{_range(by_subject[one][0].scale)} of {_subject_name(one)}" for one in (first, other))
        raise InputError(
            f"Expected one scale with --plot, but got {said}; ask for one of them with --where, --since and --until"
        )


def _axis(scale: Scale) -> tuple[object, ...]:
    return scale.low, scale.high, scale.unit, scale.binary


def _range(scale: Scale) -> str:
    if scale.binary:
        return "yes or no"
    low = "-∞" if scale.low is None else f"{scale.low:g}"
    high = "∞" if scale.high is None else f"{scale.high:g}"
    return f"{low} to {high} {scale.unit}".rstrip()


def _forest(name: str, found: Found) -> plots.Panel:
    """Return the groups from the largest to the smallest mean, suppressed ones last, with the mean of all shown."""
    from evalsvc.fairness.comparison import level

    one, scale = found.comparison, found.scale
    marks = []
    for row in sorted(one.groups, key=lambda row: (row.estimate.value is None, -(row.estimate.value or 0.0))):
        e = row.estimate
        detail = f"{level(e.value, scale)}  ({level(e.low, scale)} … {level(e.high, scale)})  n {e.n:,}"
        strong = row.name in one.differing
        marks.append(plots.Mark(row.name, e.value, e.low, e.high, row.reason, detail=detail, strong=strong))
    shown = [row for row in one.groups if row.estimate.value is not None]
    share = sum(row.share for row in shown)
    overall = sum((row.estimate.value or 0.0) * row.share for row in shown) / share if share > 0.0 else None
    said = f"mean of all shown groups by their traffic, {level(overall, scale)}"
    return plots.Panel(name, marks, overall if len(shown) > 1 else None, said)


def _gap_mark(found: Found) -> plots.Mark:
    gap, times = found.comparison.gap, 100.0 if found.scale.binary else 1.0
    middle = found.window.start + (found.window.end - found.window.start) / 2
    if gap.value is None:
        return plots.Mark("gap", None, note=gap.reason, at=middle)
    low, high = (None if end is None else end * times for end in (gap.low, gap.high))
    return plots.Mark("gap", gap.value * times, low, high, at=middle, strong=bool(gap.low))


def _chart_notes(comparisons: Sequence[Found], options: argparse.Namespace, *, windowed: bool) -> list[str]:
    one = comparisons[0].comparison
    target = "the system behind the events" if options.target == "process" else "the events of this window alone"
    if windowed:
        return [
            f"points: the gap without the part of chance; bars: its {one.confidence:.0%} interval, which allows for "
            "having picked the extremes",
            "◆: that window's interval is above 0; of many windows some are by chance, for which p adjusted allows",
            "times are UTC",
            f"about {target}; method: {next((c.comparison.gap.method for c in comparisons), '')}",
        ]
    apart = "differs from the reference" if options.reference else "stands apart from the rest"
    return [
        f"bars: {one.confidence:.0%} intervals of each group alone; that two overlap, or do not, is no test of their "
        "difference: the sentence is",
        f"◆: {apart}, allowing for the number of groups",
        f"about {target}; method of the gap: {one.gap.method}" if one.gap.method else f"about {target}",
    ]


def _texts(asked: EstimateQuery, comparisons: Sequence[Found], options: argparse.Namespace) -> list[str]:
    by_subject = _by_subject(comparisons)
    texts = []
    for subject, found in by_subject.items():
        head = _head(asked, found)
        if len(by_subject) > 1:
            head += f" · {_subject_name(subject)}"
        body = _trend(found) if options.window and len(found) > 1 else _whole(found[0], options)
        texts.append(f"{head}\n{body}")
    return texts


def _by_subject(comparisons: Sequence[Found]) -> dict[Subject, list[Found]]:
    by_subject: dict[Subject, list[Found]] = defaultdict(list)
    for one in comparisons:
        by_subject[one.subject].append(one)
    return by_subject


def _head(asked: EstimateQuery, found: Sequence[Found]) -> str:
    return f"{asked.metric} by {' × '.join(asked.by)}{said_where(asked.where)}, {_span(found)}"


def _subject_name(subject: Subject) -> str:
    consumer, version, signature = subject
    return f"{consumer} · scorer v{version} {signature}".rstrip()


def _span(found: Sequence[Found]) -> str:
    start, end = min(one.window.start for one in found), max(one.window.end for one in found)
    return f"{start:%Y-%m-%d %H:%M} to {end:%Y-%m-%d %H:%M} (UTC)"


def _whole(found: Found, options: argparse.Namespace) -> str:
    one = found.comparison
    lines = [_line(one, row, found.scale) for row in one.groups]
    right = set(lines[0]) - {"group", "note"}
    parts = [one.sentence, "", aligned(lines, right), "", *_numbers(found)]
    return "\n".join([*parts, *_done(found, options)])


def _line(one: Comparison, row: GroupEstimate, scale: Scale) -> dict[str, str]:
    from evalsvc.fairness.comparison import amount, level

    name, estimate = row.name, row.estimate
    pulled, other = one.shrunken.get(name), one.differences.get(name)
    ends = "-"
    if estimate.low is not None or estimate.high is not None:
        ends = f"{level(estimate.low, scale)} … {level(estimate.high, scale)}"
    distance = f"difference{_unit(scale)}"
    return {
        "group": name,
        "traffic": f"{row.share:.1%}",
        "mean": level(estimate.value, scale),
        f"{one.confidence:.0%} interval": ends,
        "n": f"{estimate.n:,}",
        "n eff": f"{estimate.n_effective:,.1f}",
        "missing": f"{estimate.missing_share:.1%}",
        "shrunken": f"{level(pulled.value, scale)} ({pulled.shrinkage:.0%})" if pulled else "-",
        distance: f"{amount(other.value, scale, unit=False)}" if other else "-",
        "its interval": f"{_a(other.low, scale)} … {_a(other.high, scale)}" if other else "-",
        "p": _p(other.p_value) if other else "-",
        "p adjusted": _p(other.p_adjusted) if other else "-",
    } | ({"note": row.reason} if row.reason else {})


def _unit(scale: Scale) -> str:
    unit = "points" if scale.binary else scale.unit
    return f" ({unit})" if unit else ""


def _numbers(found: Found) -> list[str]:
    from evalsvc.fairness.comparison import amount

    one, scale = found.comparison, found.scale
    lines = []
    if one.gap.naive is not None:
        interval = f"{one.confidence:.0%} interval {_to(one.gap.low, one.gap.high, scale)}"
        chance = amount(one.gap.value, scale)
        lines.append(f"gap: {chance} without the part of chance, {interval}; p {_p(one.gap.p_value)} for equal groups")
        lines.append(
            f"gap seen (largest less smallest mean): {amount(one.gap.naive, scale)}, {one.gap.highest} less "
            f"{one.gap.lowest}; equal groups of these sizes would show {amount(one.gap.if_equal, scale)} on average"
        )
    if one.ratio.naive is not None:
        lines.append(
            f"ratio of the smallest to the largest: {_ratio(one.ratio.value)} without the part of chance, interval "
            f"{_ratio(one.ratio.low)} to {_ratio(one.ratio.high)}; seen {_ratio(one.ratio.naive)}"
        )
    if one.worst.value is not None:
        far = "farthest" if scale.better == "neither" else "worst off"
        lines.append(
            f"{far}: {one.worst.worst}, {amount(one.worst.value, scale)} from {_against(one.worst.against)}, interval "
            f"{_to(one.worst.low, one.worst.high, scale)}"
        )
    # Of fewer groups the limits of a deviation say nothing.
    if one.spread.deviation is not None and one.spread.groups >= 5:
        lines.append(
            f"standard deviation between groups: {amount(one.spread.deviation, scale)}, interval "
            f"{_to(one.spread.low, one.spread.high, scale)}"
        )
    return lines


def _against(name: str) -> str:
    from evalsvc.fairness.gaps import ALL

    return f"{ALL} together, itself among them" if name == ALL else name


def _to(low: float | None, high: float | None, scale: Scale) -> str:
    """Return limits with their unit once, at the end."""
    from evalsvc.fairness.comparison import amount

    return f"{_a(low, scale)} to {amount(high, scale)}"


def _ratio(value: float | None) -> str:
    return "-" if value is None else f"{value:.2f}"


def _done(found: Found, options: argparse.Namespace) -> list[str]:
    """Return what a statistician asks for: what was done, and to what."""
    one = found.comparison
    hidden = [row for row in one.groups if row.suppressed]
    lines = []
    if found.standard is not None:
        lines += _standard_lines(found.standard, options.standardise)
    if hidden:
        share = sum(row.share for row in hidden)
        lines.append(
            f"{len(hidden)} of {len(one.groups)} groups suppressed ({share:.1%} of the traffic), for the reason in "
            "their row; they take part in no number below the table"
        )
    target = "the system behind the events" if options.target == "process" else "the events of this window alone"
    if one.gap.method:
        adjusted = "Holm" if one.adjust == "holm" else "Benjamini-Hochberg"
        against = next((row.against for row in one.differences.values()), "the others")
        lines.append(
            f"columns: traffic is the share of all events; shrunken is the best guess of the group's own mean (in "
            f"brackets how far it was pulled towards that of all); difference is from {against}, with limits that "
            f"hold for all rows together and p adjusted by {adjusted}"
        )
        lines.append(f"method: about {target}; {one.gap.method}")
    return lines


def _standard_lines(standard: Standardised, field: str) -> list[str]:
    if not standard.mix:
        return [f"not standardised for {field}: {standard.reason}"]
    lines = [
        f"standardised for {field}: {len(standard.mix)} values, {standard.covered:.1%} of the shown groups' traffic"
    ]
    for case, groups in list(standard.lacking.items())[:10]:
        lines.append(f"left out: {field} {case}, which {', '.join(groups[:5])} lack{'s' if len(groups) == 1 else ''}")
    if len(standard.lacking) > 10:
        lines.append(f"left out: {len(standard.lacking) - 10} more values of {field}")
    return lines


def _trend(found: Sequence[Found]) -> str:
    sentence, lines = _trend_lines(found)
    return "\n".join([sentence, "", aligned(lines, set(lines[0]) - {"window", "farthest", "worst off", "note"})])


def _trend_lines(found: Sequence[Found]) -> tuple[str, list[dict[str, str]]]:
    """Return the sentence about the trend, and a row for each window."""
    from evalsvc.fairness import most_often_worst, slope
    from evalsvc.fairness.comparison import amount

    scale, lines = found[0].scale, []
    far, unit = "farthest" if scale.better == "neither" else "worst off", _unit(scale)
    for one in found:
        gap, worst = one.comparison.gap, one.comparison.worst
        hidden = sum(row.suppressed for row in one.comparison.groups)
        interval = "-" if worst.value is None else f"{_a(worst.low, scale)} … {_a(worst.high, scale)}"
        lines.append(
            {
                "window": f"{one.window.start:%Y-%m-%d %H:%M}",
                far: worst.worst or "-",
                f"from all{unit}": amount(worst.value, scale, unit=False) if worst.value is not None else "-",
                "its interval": interval,
                f"gap{unit}": amount(gap.value, scale, unit=False) if gap.value is not None else "-",
                "gap seen": amount(gap.naive, scale, unit=False) if gap.naive is not None else "-",
                "p": _p(gap.p_value) if gap.p_value is not None else "-",
                "p adjusted": "-",
                "suppressed": str(hidden),
            }
            | ({"note": worst.reason} if worst.reason else {})
        )
    _adjust(found, lines)
    steps = [one.step for one in found]
    name = most_often_worst(steps)
    rise = slope(steps, name, scale.better, confidence=found[0].comparison.confidence)
    return _trend_sentence(rise, scale), lines


def _adjust(found: Sequence[Found], lines: Sequence[dict[str, str]]) -> None:
    """Adjust the p-values of the gaps for the number of windows, which are as many looks."""
    from evalsvc.fairness.gaps import adjusted

    known = [(i, one.comparison.gap.p_value) for i, one in enumerate(found) if one.comparison.gap.p_value is not None]
    for (i, _), p in zip(known, adjusted([p for _, p in known], found[0].comparison.adjust), strict=True):
        lines[i]["p adjusted"] = _p(p)


def _trend_sentence(rise: Slope, scale: Scale) -> str:
    from evalsvc.fairness.comparison import amount

    if rise.per_day is None or rise.low is None or rise.high is None:
        return f"no trend can be told: {rise.reason}" if rise.name else "no trend can be told: no groups to compare"
    speed = f"{amount(rise.per_day, scale)} a day (interval {_a(rise.low, scale)} to {_a(rise.high, scale)})"
    who = f"{rise.name}, most often {'farthest' if scale.better == 'neither' else 'worst off'},"
    if rise.low <= 0.0 <= rise.high:
        return f"no trend is shown: the difference of {who} from the others changes by {speed}, which chance explains"
    way = "falls behind" if rise.worsens else "moves against" if scale.better == "neither" else "catches up with"
    return f"{who} {way} the others by {speed}"


def _group_json(one: Comparison, row: GroupEstimate) -> dict[str, Any]:
    estimate, pulled, other = row.estimate, one.shrunken.get(row.name), one.differences.get(row.name)
    return {
        "name": row.name,
        "labels": dict(row.labels),
        "value": estimate.value,
        "low": estimate.low,
        "high": estimate.high,
        "n": estimate.n,
        "n_effective": estimate.n_effective,
        "n_missing": estimate.n_missing,
        "missing_share": estimate.missing_share,
        "share": row.share,
        "suppressed": row.suppressed,
        "shrunken": pulled.value if pulled else None,
        "shrinkage": pulled.shrinkage if pulled else None,
        "difference": other.value if other else None,
        "difference_low": other.low if other else None,
        "difference_high": other.high if other else None,
        "p_value": other.p_value if other else None,
        "p_adjusted": other.p_adjusted if other else None,
        "method": estimate.method,
        "reason": row.reason,
    }


_FLAT = [
    "value", "low", "high", "n", "n_effective", "n_missing", "missing_share", "share", "suppressed", "shrunken",
    "shrinkage", "difference", "difference_low", "difference_high", "p_value", "p_adjusted", "method", "reason",
]  # fmt: skip
_GAPS = ["gap", "gap_low", "gap_high", "gap_naive", "gap_p_value"]


def _csv_columns(asked: EstimateQuery) -> list[str]:
    head = dict.fromkeys(["metric", "consumer", *asked.by])
    return [*head, "start", "end", "scorer_version", "signature", *_FLAT, *_GAPS]


def _csv_rows(asked: EstimateQuery, found: Found) -> list[dict[str, Any]]:
    """Return a row for each group; the gap of its comparison stands in each."""
    consumer, version, signature = found.subject
    gap = found.comparison.gap
    gaps = dict(zip(_GAPS, (gap.value, gap.low, gap.high, gap.naive, gap.p_value), strict=True))
    rows = []
    for row in found.comparison.groups:
        flat = _group_json(found.comparison, row)
        about: dict[str, Any] = {"metric": asked.metric, "consumer": consumer, **row.labels}
        about |= {"start": found.window.start.isoformat(), "end": found.window.end.isoformat()}
        about |= {"scorer_version": version, "signature": signature}
        rows.append({**about, **{name: flat[name] for name in _FLAT}, **gaps})
    return rows


def _standard_json(standard: Standardised | None) -> dict[str, Any] | None:
    if standard is None:
        return None
    return {
        "mix": dict(standard.mix),
        "covered": standard.covered,
        "lacking": {case: list(groups) for case, groups in standard.lacking.items()},
        "reason": standard.reason,
    }


def _a(value: float | None, scale: Scale) -> str:
    from evalsvc.fairness.comparison import amount

    return "any size" if value is None else amount(value, scale, unit=False)


def _p(value: float | None) -> str:
    return "-" if value is None else "<0.0001" if value < 0.0001 else f"{value:.2g}" if value < 0.1 else f"{value:.2f}"
