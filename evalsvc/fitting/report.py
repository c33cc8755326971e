"""The report of a fit: all numbers as JSON, and one page that needs nothing else."""

from __future__ import annotations

import html
from collections.abc import Iterable, Mapping, Sequence

import msgspec

from evalsvc._plain import visible
from evalsvc.fitting.charts import CHART_STYLE, charts
from evalsvc.fitting.measuring import Figure
from evalsvc.fitting.results import Fit, Part, Shown, TaskResult
from evalsvc.fitting.values import FAITHFULNESS

_HELD_OUT, _STARTED_FROM = "held out (95 %)", "what it started from, same rows"
_NAMES = {
    "auroc": ("AUROC", "how often a row with it has a higher probability than one without"),
    "average_precision": ("average precision", "the area under the precision–recall curve"),
    "recall_at_1_percent_false_alarms": ("recall at 1 % false alarms", "of a threshold chosen on these rows"),
    "f1": ("F1", "at the threshold"),
    "precision": ("precision", "of what is found, the share that has it"),
    "recall": ("recall", "of what has it, the share that is found"),
    "false_alarms": ("false alarms", "of what has it not, the share that is found all the same"),
    "balanced_accuracy": ("balanced accuracy", "at the threshold"),
    "ece": ("calibration error", "ECE of 15 bins of equal width"),
    "ece_equal_mass": ("calibration error, equal mass", "ECE of 15 bins of equally many rows"),
    "brier": ("Brier score", "mean squared error of the probability; lower is better"),
}
_IN_PARTS = ("auroc", "f1", "recall", "false_alarms", "ece")

_STYLE = """
:root{color-scheme:light dark;--ink:#1b2330;--soft:#566173;--line:#dfe4ec;--mark:#1f4e8c;--warn:#9a3412;--back:#fff;
--head:#f6f8fb}
@media(prefers-color-scheme:dark){:root{--ink:#e6eaf1;--soft:#a3afc0;--line:#333c49;--mark:#9cc4f7;--warn:#ffb38a;
--back:#13171d;--head:#1a2029}}
body{margin:0 auto;max-width:76rem;padding:2rem 1.5rem 3rem;font:15px/1.5 system-ui,-apple-system,"Segoe UI",Roboto,
"Helvetica Neue",Arial,sans-serif;color:var(--ink);background:var(--back)}
h1{font-size:1.5rem;margin:0 0 .3rem}h2{font-size:1.25rem;margin:2.4rem 0 .4rem}h3{font-size:1rem;margin:1.6rem 0 .3rem}
p{margin:.25rem 0;max-width:60rem}.soft,small{color:var(--soft);font-size:.85rem}.warn{color:var(--warn)}
.scroll{overflow-x:auto}table{border-collapse:collapse}th,td{padding:.3rem .9rem .3rem 0;text-align:left;
vertical-align:top;border-bottom:1px solid var(--line)}th{color:var(--soft);font-weight:400;font-size:.85rem}
.n{text-align:right;font-variant-numeric:tabular-nums;white-space:nowrap}
td.text{min-width:24rem;max-width:44rem;white-space:pre-wrap;overflow-wrap:anywhere}
pre{padding:.6rem .8rem;background:var(--head);border:1px solid var(--line);border-radius:.3rem;overflow-x:auto}
"""


TOO_WEAK = "The detector is too weak to say which labels may be wrong"

_SCORERS = {"refusal": "refusal_probability"}
"""Scorers that are not named as their task: the name is that of rules."""


def report(made: Fit) -> bytes:
    """Return all numbers as JSON, the same bytes for the same fit."""
    return msgspec.json.format(msgspec.json.encode(made, order="deterministic"), indent=1) + b"\n"


def page(made: Fit) -> str:
    """Return the report as one HTML page without scripts or addresses of others."""
    title = f"Detector of {', '.join(made.tasks)}, version {made.version}"
    warned = [f"<p class=warn>{_html(note.text)}.</p>" for note in made.notes if note.warning]
    noted = [f"<p class=soft>{_html(note.text)}.</p>" for note in made.notes if not note.warning]
    parted = f": {made.folds} folds, no group in two of them" if made.folds else " from this very detector"
    said = (
        f"Fitted to {made.rows:,} rows of {made.groups:,} groups. Every figure is of rows that were held out{parted}. "
        "Intervals are of 95 %, by a bootstrap over groups"
    )
    policy = "default-src 'none'; style-src 'unsafe-inline'"
    head = (
        "<!doctype html>\n<html lang=en><head><meta charset=utf-8>"
        '<meta name=viewport content="width=device-width, initial-scale=1">'
        f'<meta http-equiv=Content-Security-Policy content="{policy}">'
        f"<title>{_html(title)}</title><style>{_STYLE}{CHART_STYLE}</style></head>\n"
    )
    parts = [f"<h1>{_html(title)}</h1><p>{_html(said)}.</p>", *warned, *noted]
    parts += [_task(name, task, made) for name, task in made.tasks.items()]
    return head + "<body>" + "\n".join([*parts, _use(made), _origin(made)]) + "\n</body></html>\n"


def rule(task: TaskResult) -> str:
    """Return by what rule a threshold was fixed."""
    limit, value = task.threshold.probability, task.threshold.value
    if task.threshold.rule == "false_alarms":
        why = f"the greatest recall with at most {value:.3g} of the rows without it at or above"
    else:
        why = f"the least cost, where a miss costs {value:g} false alarms"
    return f"found from a probability of {limit:.4f} on: {why}, among all held-out rows"


def figure(found: Figure, digits: int = 3) -> str:
    """Return an estimate with its interval.

    >>> figure(Figure(0.5, 0.25, 0.75)), figure(Figure(None))
    ('0.500 (0.250 to 0.750)', '-')
    """
    if found.value is None:
        return "-"
    if found.low is None or found.high is None:
        return f"{found.value:.{digits}f}"
    return f"{found.value:.{digits}f} ({found.low:.{digits}f} to {found.high:.{digits}f})"


def having(task: str) -> str:
    """Return what is said of rows that have what a task looks for.

    >>> having("faithfulness"), having("toxicity")
    ('are unsupported', 'have it')
    """
    return "are unsupported" if task == FAITHFULNESS else "have it"


def figure_rows(task: TaskResult) -> list[dict[str, str]]:
    """Return each figure's name and value, beside that of what training started from where that was a detector."""
    rows = []
    for name, found in task.figures.items():
        row = {"figure": _NAMES[name][0], _HELD_OUT: figure(found)}
        rows.append(row | {_STARTED_FROM: figure(task.start.figures[name])} if task.start else row)
    return rows


def final(task: TaskResult) -> str:
    """Return what is known of the detector itself, beside those of the folds that the figures are of."""
    found = task.final
    if found is None or found.auroc is None or found.held_out is None:
        return ""
    return (
        f"The detector that was written: AUROC {found.auroc:.3f} of {found.rows:,} rows that it did not learn from, "
        f"but that ended its training; the folds' detectors: {found.held_out:.3f} of the same rows"
    )


def consumer(made: Fit) -> str:
    """Return what a consumer's file needs for this detector."""
    # A path in JSON's quotes is one in YAML's, whatever is in it.
    path = msgspec.json.encode(made.detector).decode()
    lines = "".join(f"  - {{name: {_SCORERS.get(name, name)}, options: {{detector: {path}}}}}\n" for name in made.tasks)
    return f"scorers:\n{lines}"


def _task(name: str, task: TaskResult, made: Fit) -> str:
    parts = [
        f"<h2>{_html(name)}</h2>",
        f"<p>{task.found:,} of {task.rows:,} rows {having(name)}, in {task.groups:,} groups. "
        f"Threshold: {_html(rule(task))}. "
        "In the figures each row is judged by the calibration and threshold of the other folds' rows.</p>",
        charts(task),
        _figures(task),
        f"<p>{_html(said)}.</p>" if (said := final(task)) else "",
        _of_parts("By source", "source", task.by_source),
        *(_of_parts(f"By {segment}", segment, parts) for segment, parts in task.by_segment.items()),
        _cases("Missed, the furthest off first", task.misses, made.reads_pairs),
        _cases("False alarms, the furthest off first", task.false_alarms, made.reads_pairs),
    ]
    if task.suspected:
        said = f"Labels that the detector disagrees with ({task.suspected:,}, the surest first)"
        parts.append(_cases(said, task.suspects, made.reads_pairs))
    elif not task.doubts_labels:
        parts.append(f"<p class=soft>{_html(TOO_WEAK)}.</p>")
    return "\n".join(part for part in (*parts, _sources(name, task, made)) if part)


def _figures(task: TaskResult) -> str:
    rows = figure_rows(task)
    columns = [*rows[0], "what it is"]
    lines = [
        [_html(cell) for cell in (*row.values(), _NAMES[key][1])] for key, row in zip(task.figures, rows, strict=True)
    ]
    return _table(columns, lines, right=range(1, len(columns) - 1))


def _sources(name: str, task: TaskResult, made: Fit) -> str:
    """Return what was learnt from, also by the detectors before it."""
    before = made.before.sources.get(name, ()) if made.before else ()
    named = [(one.name or "(no source named)", one) for one in task.sources]
    named += [(f"{one.name or '(no source named)'}, by the detector that it started from", one) for one in before]
    lines = ((_html(said), _html(one.licence) or "-", f"{one.rows:,}", f"{one.found:,}") for said, one in named)
    return "<h3>Data used</h3>" + _table(("source", "licence", "rows", "with it"), lines, right=(2, 3))


def _of_parts(title: str, name: str, parts: Mapping[str, Part]) -> str:
    if not parts:
        return ""
    columns = (_html(name), "rows", "with it", *(_NAMES[key][0] for key in _IN_PARTS))
    lines = [
        (_html(value), f"{part.rows:,}", f"{part.found:,}", *(figure(part.figures[key], 2) for key in _IN_PARTS))
        for value, part in parts.items()
    ]
    return f"<h3>{_html(title)}</h3>" + _table(columns, lines, right=range(1, len(columns)))


def _cases(title: str, cases: Sequence[Shown], pairs: bool) -> str:
    if not cases:
        return ""
    columns = ("probability", "label", "response" if pairs else "text", *(("contexts",) if pairs else ()), "row")
    lines = []
    for case in cases:
        row = f"{_html(case.id)}<br><small>{_html(case.place)}</small>" if case.id != case.place else _html(case.id)
        context = (_lines(case.contexts),) if pairs else ()
        lines.append((f"{case.probability:.3f}", _html(case.label), _lines(case.text), *context, row))
    long = range(2, 4 if pairs else 3)
    return f"<h3>{_html(title)}</h3>" + _table(columns, lines, right=(0,), long=long)


def _use(made: Fit) -> str:
    return (
        "<h2>Use it</h2><p>In a consumer's file; its version and the file's digest are part of the scorer's "
        f"signature:</p><pre>{_lines(consumer(made))}</pre><p class=soft>A path that does not begin with / is "
        "read from the folder in which evalsvc is started, whatever folder the consumer's file is in. This one is from "
        "where the detector was fitted.</p>"
    )


def _origin(made: Fit) -> str:
    facts = (
        ("file", f"{made.detector}, SHA-256 {made.revision}"),
        ("trunk", f"{made.trunk} {made.trunk_revision}"),
        ("training", made.training),
        *((("started from", f"the detector of SHA-256 {made.before.revision}"),) if made.before else ()),
        ("groups", made.field),
        ("rows' SHA-256", made.data),
        ("seed", str(made.seed)),
    )
    lines = "".join(f"<tr><td>{_html(name)}<td>{_html(value)}</tr>" for name, value in facts)
    return f"<h2>Where it comes from</h2><div class=scroll><table>{lines}</table></div>"


def _table(
    columns: Sequence[str], lines: Iterable[Sequence[str]], *, right: Iterable[int] = (), long: Iterable[int] = ()
) -> str:
    kinds = {**dict.fromkeys(right, " class=n"), **dict.fromkeys(long, " class=text")}
    head = "".join(f"<th{kinds.get(place, '')}>{name}" for place, name in enumerate(columns))
    body = "".join(
        "<tr>" + "".join(f"<td{kinds.get(place, '')}>{cell}" for place, cell in enumerate(line)) + "</tr>\n"
        for line in lines
    )
    return f"<div class=scroll><table><thead><tr>{head}</tr></thead>\n{body}</table></div>"


def _html(text: str) -> str:
    return html.escape(visible(text))


def _lines(text: str) -> str:
    """Return a text whose lines stay lines, for where white space is kept."""
    return html.escape(visible(text.replace("\r\n", "\n"), keep="\n\t"))
