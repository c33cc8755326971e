"""The overview as one HTML page: no script, no font, no request to anywhere else. Charts are SVG."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import datetime
from html import escape
from itertools import groupby
from typing import NamedTuple
from urllib.parse import urlencode

from evalsvc.alerts_view import Board, ago
from evalsvc.types import Estimate, Window
from evalsvc.web import charts, wording
from evalsvc.web.overview import Row
from evalsvc.web.style import STYLE
from evalsvc.web.wording import Figures

SPANS = {"24h": "24 hours", "7d": "7 days", "14d": "14 days", "30d": "30 days"}
_STEPS = {"1h": "hourly", "6h": "every 6 hours", "1d": "daily, days in UTC"}
HEADING = "Model quality in production"
NAVIGATION = (
    '<nav aria-label="Pages"><a href="/">Overview</a><a href="/alerts">Alerts</a><a href="/verdicts">Verdicts</a></nav>'
)
MUCH_MISSING = 0.05
"""The share of events without a score above which the page points to it."""

_HOW = (
    "<p class=how>Each figure is an <strong>estimate for all traffic</strong>, made from a random sample of it. "
    "The range beside it is a <strong>95&nbsp;% interval</strong>: of a hundred ranges made this way, about 95 "
    "hold the true value. Where the ranges of two versions lie apart, chance alone is an unlikely cause; where "
    "they overlap, it may be one. Where every interaction was scored the range is a point: it says how these went, "
    "and nothing of how others will. <strong>Not scored</strong> is the share of sampled interactions that a metric "
    "could not judge; they are left out, never counted as zero. In a trend the band is each step's interval, cut off "
    "where it leaves the chart, and a gap is a step without a number.</p>"
)


class View(NamedTuple):
    """What the page is about: the rows, the span, the step of its trends, the state of the workers, and the alerts.

    ``board`` is ``None`` where the store remembers no alerts. ``verdict`` is the last of a gate, as HTML.
    """

    rows: Sequence[Row]
    span: Window
    since: str
    step: str
    states: Sequence[str]
    board: Board | None = None
    verdict: str = ""


def render(view: View) -> str:
    """Return the page."""
    groups = groupby(view.rows, key=lambda row: row.application)
    sections = "".join(_section(application, list(rows), view) for application, rows in groups)
    states = "".join(f"<li>{escape(state)}</li>" for state in view.states) or "<li>none in this process</li>"
    alerts = "" if view.board is None else f'<p>{alert_line(view.board)} · <a href="/alerts">All alerts</a></p>'
    same = urlencode({"by": "application,model_version", "since": view.since}, safe=",")
    return document(
        "overview",
        HEADING,
        f"<p class=soft>{said_time(view.span.start)} to {said_time(view.span.end)} UTC</p>"
        f"{alerts}{view.verdict}{_spans(view.since)}{_HOW}",
        sections or _nothing(view),
        f"<h2>Workers</h2><ul>{states}</ul><h2>The same numbers</h2><p>"
        f'<a href="/v1/estimates?{escape(same)}">as JSON</a> · '
        f'<a href="/v1/estimates?{escape(same)}&amp;format=csv">as CSV</a> · '
        '<a href="/v1/metrics">what is measured</a> · <a href="/v1/status">workers</a> · '
        '<a href="/metrics">for Prometheus</a></p>',
    )


def render_error(message: str, back: str = "") -> str:
    """Return a page that says what went wrong, with the way back: the links of ``back``, else the overview's spans."""
    return document(
        "overview", HEADING, back or _spans(""), f"<h2>This page can't be shown now</h2><p>{escape(message)}</p>"
    )


def lines(states: Iterable[tuple[str, str]]) -> list[str]:
    """Return the workers' states as sentences."""
    return [f"{name}: {state}" for name, state in states]


def document(title: str, heading: str, head: str, main: str, foot: str = "") -> str:
    """Return a whole page; all but ``title`` is HTML."""
    return (
        f'<!doctype html><html lang="en"><head><meta charset="utf-8"><title>evalsvc: {escape(title)}</title>'
        '<meta name="viewport" content="width=device-width,initial-scale=1">'
        f"<style>{STYLE}</style></head><body><header>"
        f"<h1>{heading}</h1>{head}</header>"
        f"<main>{main}</main><footer>{foot}<p class=soft>evalsvc</p></footer></body></html>"
    )


def alert_line(board: Board) -> str:
    """Return how many alerts fire and how old that is, as HTML."""
    firing, looked = len(board.of("firing")), board.last_look
    said = (
        f"{wording.count(firing, 'alert')} {'is' if firing == 1 else 'are'} firing" if firing else "No alert is firing"
    )
    if looked is None:
        return said if firing else "No alert rule was looked at yet"
    age = f"last look {ago(looked, board.now)}"
    return " · ".join(
        f"<span class=warn>▲ {text}</span>" if warns else text
        for text, warns in ((said, bool(firing)), (f"{age}: is the ruler running?" if board.late else age, board.late))
    )


def _spans(since: str) -> str:
    links = "".join(
        f'<a href="/?since={span}"{" aria-current=page" if span == since else ""}>{name}</a>'
        for span, name in SPANS.items()
    )
    return f'<nav aria-label="Time span">{links}</nav>'


def _nothing(view: View) -> str:
    return (
        f"<h2>No scores in the last {SPANS[view.since]}</h2><p>Send events to <code>POST /v1/events</code>, or "
        "score a file with <code>evalsvc replay FILE</code>; then come back, or choose a longer span above.</p>"
    )


def _section(application: str, rows: Sequence[Row], view: View) -> str:
    groups = groupby(rows, key=lambda r: (r.spec.metric, r.spec.version, r.spec.signature, r.consumer))
    body = "".join(_metric(list(group), view.since) for _, group in groups)
    versions = list(dict.fromkeys(row.model_version for row in rows))
    about = f"{wording.count(len({row.spec.metric for row in rows}), 'metric')} · "
    about += wording.count(len(versions), "model version")
    step = _STEPS.get(view.step, f"by {view.step}")
    head = "".join(
        f"<th role=columnheader scope=col{kind}>{name}</th>"
        for name, kind in (
            ("Model version", ""),
            ("Estimate", " class=n"),
            ("95&nbsp;% interval", " class=n"),
            ("Interval, all versions on one axis", ""),
            ("Scored", " class=n"),
            ("Not scored", " class=n"),
            (f"Trend, {escape(step)}", ""),
        )
    )
    return (
        f"<section><h2>{escape(application)}</h2><p class=soft>{about}</p>"
        f'<table role=table aria-label="Metrics of {escape(application)}"><thead role=rowgroup><tr role=row>'
        f"{head}</tr></thead>{body}</table></section>"
    )


def _metric(rows: Sequence[Row], since: str) -> str:
    """Return one metric's versions: a line that names it and has the axes, and a line for each."""
    spec = rows[0].spec
    figures = wording.figures(spec, [row.estimate for row in rows])
    shared = charts.axis([row.estimate for row in rows], spec.scale, figures)
    every = [step for row in rows for step in row.trend]
    steps = charts.trend_axis([row.estimate for row in rows], every, spec.scale, figures)
    name = escape(wording.metric_name(spec))
    unit = f"{escape(figures.unit)} · {wording.direction(spec.scale)}"
    head = (
        f"<tr class=metric role=row><th role=rowheader scope=rowgroup colspan=3><strong>{name}</strong><br>"
        f"<small>{unit}</small>{_details(rows[0], since)}</th>"
        f"<td role=cell class=axis>{charts.scale_line(shared, figures.suffix)}</td><td role=cell colspan=2></td>"
        f"<td role=cell><small>{_range(steps, figures)}</small></td></tr>"
    )
    body = "".join(_version(row, figures, shared, steps) for row in rows)
    return f'<tbody role=rowgroup id="{escape(_anchor(rows[0]))}">{head}{body}</tbody>'


def _version(row: Row, figures: Figures, shared: charts.Axis, steps: charts.Axis) -> str:
    estimate = row.estimate
    value = figures.text(estimate.value)
    if estimate.value is not None:
        value = f'<data value="{estimate.value!r}">{value}</data>'
    why = f"<small>{escape(estimate.reason)}</small>" if estimate.reason else ""
    drawn, trend = charts.whisker(estimate, shared, figures), charts.trend(row.trend, steps, figures)
    return (
        f'<tr role=row><th role=rowheader scope=row class=version data-label="Model version">'
        f"{escape(row.model_version) or wording.MISSING}</th>"
        f'<td role=cell class=n data-label="Estimate"><span class=value>{value}</span></td>'
        f'<td role=cell class=n data-label="95 % interval">{figures.interval(estimate)}{why}</td>'
        f'<td role=cell class="wide chart">{drawn}</td>'
        f'<td role=cell class="n half" data-label="Scored">{_scored(estimate)}</td>'
        f'<td role=cell class="n half" data-label="Not scored">{_missing(estimate)}</td>'
        f'<td role=cell class=wide data-label="Trend, {_range(steps, figures)}">{trend}</td></tr>'
    )


def _range(of: charts.Axis, figures: Figures) -> str:
    return escape(f"from {of.marks[0][1]} to {of.marks[-1][1]}{figures.suffix}")


def _details(row: Row, since: str) -> str:
    """Return what produced the number, folded away."""
    spec = row.spec
    query = {"metric": spec.metric, "by": "application,model_version", "since": since}
    where = urlencode({**query, "where": f"application={row.application}"}, safe=",")
    parts = [escape(spec.description.rstrip(".") + ".") if spec.description else ""]
    parts.append(f"Metric <code>{escape(spec.metric)}</code>, scorer version {spec.version}")
    parts.append(f"consumer <code>{escape(row.consumer)}</code>")
    text = f"{parts[0]} {', '.join(parts[1:])}."
    signature = f"<p><code>{escape(spec.signature)}</code></p>" if spec.signature else ""
    return (
        f"<details><summary>How it is measured</summary><p>{text} "
        f'<a href="/v1/estimates?{escape(where)}">These numbers as JSON</a></p>{signature}</details>'
    )


def _anchor(row: Row) -> str:
    return "-".join((row.application, row.spec.metric, str(row.spec.version), row.consumer)).replace(" ", "-")


def _scored(estimate: Estimate) -> str:
    of = f" of {estimate.offered:,}" if estimate.offered is not None else ""
    effective = f"<small>effective n {estimate.n_effective:,.0f}</small>" if estimate.n else ""
    return f"{estimate.n:,}{of}{effective}"


def _missing(estimate: Estimate) -> str:
    share = f"{100 * estimate.missing_share:.1f}\u00a0%" if estimate.n_missing else "0\u00a0%"
    number = f"<small>{estimate.n_missing:,} of {estimate.n + estimate.n_missing:,}</small>"
    if estimate.missing_share > MUCH_MISSING:
        return f"<span class=warn>▲ {share}</span>{number}"
    return share + (number if estimate.n_missing else "")


def said_time(moment: datetime) -> str:
    """Return a time as the pages say it, without its zone: UTC."""
    return f"{moment.day} {moment:%B %Y, %H:%M}"
