"""The overview as one HTML page: no script, no font, no request to anywhere else. Charts are SVG."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import datetime
from html import escape
from itertools import groupby
from typing import NamedTuple

from evalsvc.types import Estimate, Scale, Window
from evalsvc.web.overview import Row

SPANS = ("24h", "7d", "14d", "30d")
_WIDTH, _HEIGHT = 150, 34
_DIRECTION = {"higher": "↑ higher is better", "lower": "↓ lower is better", "neither": "↔ neither is better"}

_STYLE = """
:root{color-scheme:light dark;--ink:#1d2430;--soft:#5b6676;--line:#d9dee6;--band:#9db8dc;--dot:#1f4e8c;--back:#fff;--head:#f5f7fa}
@media(prefers-color-scheme:dark){:root{--ink:#e7ebf1;--soft:#9aa6b6;--line:#343c48;--band:#3e5f8d;--dot:#9cc3f5;--back:#14181e;--head:#1b212a}}
body{margin:0 auto;max-width:72rem;padding:1.5rem;font:15px/1.45 system-ui,sans-serif;color:var(--ink);background:var(--back)}
h1{font-size:1.3rem;margin:0}h2{font-size:1.05rem;margin:2rem 0 .5rem}p,small,caption{color:var(--soft)}
nav a{margin-right:.75rem;color:var(--dot)}nav a[aria-current]{font-weight:600;color:var(--ink);text-decoration:none}
.scroll{overflow-x:auto}table{border-collapse:collapse;width:100%}
th,td{padding:.35rem .6rem;text-align:left;border-bottom:1px solid var(--line);vertical-align:middle;white-space:nowrap}
thead th{background:var(--head);font-weight:600}tbody th{font-weight:600}td.n{text-align:right;font-variant-numeric:tabular-nums}
.unit{display:block;font-weight:400;color:var(--soft);font-size:.82rem}.missing{color:#b3261e}
@media(prefers-color-scheme:dark){.missing{color:#ff9a90}}
svg{display:block}.band{fill:var(--band);opacity:.45}.line{fill:none;stroke:var(--dot);stroke-width:1.6}
.dot{fill:var(--dot)}.whisker{stroke:var(--dot);stroke-width:2}.axis{stroke:var(--line)}
"""


class View(NamedTuple):
    """What the page is about: the rows, the span, the step of its trends, and the state of the workers."""

    rows: Sequence[Row]
    span: Window
    since: str
    step: str
    states: Sequence[str]


def render(view: View) -> str:
    """Return the page."""
    links = "".join(
        f'<a href="/?since={span}"{" aria-current=page" if span == view.since else ""}>{span}</a>' for span in SPANS
    )
    sections = "".join(
        _section(application, list(rows)) for application, rows in groupby(view.rows, key=lambda row: row.application)
    )
    states = "".join(f"<li>{escape(state)}</li>" for state in view.states)
    body = sections or _nothing(view)
    return (
        '<!doctype html><html lang="en"><head><meta charset="utf-8"><title>evalsvc</title>'
        '<meta name="viewport" content="width=device-width,initial-scale=1">'
        f"<style>{_STYLE}</style></head><body><header><h1>evalsvc</h1>"
        f"<p>{_time(view.span.start)} to {_time(view.span.end)} UTC · trends by {escape(view.step)} · "
        f"estimates of all traffic from its sample, with 95 % intervals</p><nav aria-label=Span>{links}</nav></header>"
        f"<main>{body}</main><footer><h2>Workers</h2><ul>{states or '<li>none in this process</li>'}</ul>"
        '<p>The same numbers: <a href="/v1/estimates">/v1/estimates</a> · <a href="/metrics">/metrics</a></p></footer></body></html>'
    )


def _nothing(view: View) -> str:
    return (
        f"<p><strong>No scores in the last {escape(view.since)}.</strong> Send events to <code>POST /v1/events</code>, "
        "or score a file with <code>evalsvc replay FILE</code>; then come back, or choose a longer span above.</p>"
    )


def _section(application: str, rows: Sequence[Row]) -> str:
    body = "".join(
        _metric([row for row in group])
        for _, group in groupby(rows, key=lambda row: (row.spec.metric, row.spec.version, row.spec.signature, row.consumer))
    )
    head = "".join(
        f"<th scope=col>{name}</th>"
        for name in ("Metric", "Version", "Estimate", "Interval", "", "Scored", "Effective n", "Not scored", "Trend")
    )
    return (
        f"<section><h2>{escape(application)}</h2><div class=scroll><table><thead><tr>{head}</tr></thead>"
        f"<tbody>{body}</tbody></table></div></section>"
    )


def _metric(rows: Sequence[Row]) -> str:
    spec = rows[0].spec
    unit = " · ".join(filter(None, (spec.scale.unit, _DIRECTION[spec.scale.better])))
    name = (
        f'<th scope=rowgroup rowspan={len(rows)} title="{escape(spec.signature)}">{escape(spec.metric)}'
        f"<span class=unit>{escape(unit)}</span></th>"
    )
    low, high = _axis([row.estimate for row in rows], spec.scale)
    lines = []
    for index, row in enumerate(rows):
        estimate = row.estimate
        trend_low, trend_high = _axis([*row.trend, estimate], spec.scale)
        lines.append(
            f"<tr>{name if index == 0 else ''}<td>{escape(row.model_version or '–')}</td>"
            f"<td class=n><strong>{number(estimate.value)}</strong></td><td class=n>{_interval(estimate)}</td>"
            f"<td>{_whisker(estimate, low, high)}</td><td class=n>{estimate.n:,}</td>"
            f"<td class=n>{estimate.n_effective:,.0f}</td><td class=n>{_missing(estimate)}</td>"
            f"<td>{_trend(row.trend, trend_low, trend_high)}</td></tr>"
        )
    return "".join(lines)


def number(value: float | None) -> str:
    """Return a number as a person reads it: four significant digits, no exponent in the usual range.

    >>> number(0.04321), number(1234567.0), number(None), number(0.00000123)
    ('0.04321', '1,234,567', '–', '1.23e-06')
    """
    if value is None:
        return "–"
    if value == 0 or 1e-4 <= abs(value) < 1000:
        return f"{value:.4g}"
    return f"{value:,.0f}" if abs(value) >= 1000 else f"{value:.3g}"


def _interval(estimate: Estimate) -> str:
    if estimate.low is None or estimate.high is None:
        return f'<small title="{escape(estimate.reason)}">none</small>'
    return f"{number(estimate.low)} – {number(estimate.high)}"


def _missing(estimate: Estimate) -> str:
    share = f"{estimate.missing_share:.1%}"
    return f"<span class=missing>{share}</span>" if estimate.missing_share > 0.05 else share


def _axis(estimates: Sequence[Estimate], scale: Scale) -> tuple[float, float]:
    """Return the range that shows every interval, and no more of the scale than that."""
    ends = [end for e in estimates for end in (e.low, e.high, e.value) if end is not None]
    if not ends:
        return scale.low or 0.0, scale.high or 1.0
    low, high = min(ends), max(ends)
    margin = (high - low) * 0.08 or abs(high) * 0.1 or 1.0
    return low - margin, high + margin


def _whisker(estimate: Estimate, low: float, high: float) -> str:
    if estimate.value is None or estimate.low is None or estimate.high is None:
        return ""
    left, middle, right = (_x(v, low, high) for v in (estimate.low, estimate.value, estimate.high))
    label = f"{number(estimate.value)}, between {number(estimate.low)} and {number(estimate.high)}"
    return (
        f'<svg width={_WIDTH} height=16 role=img aria-label="{label}"><line class=axis x1=0 x2={_WIDTH} y1=8 y2=8 />'
        f'<line class=whisker x1="{left:.1f}" x2="{right:.1f}" y1=8 y2=8 /><circle class=dot cx="{middle:.1f}" cy=8 r=4 /></svg>'
    )


def _x(value: float, low: float, high: float) -> float:
    return 4 + (value - low) / (high - low) * (_WIDTH - 8)


def _trend(points: Sequence[Estimate], low: float, high: float) -> str:
    """Draw the steps as a line in its band; steps without a number are gaps, not zeros."""
    if len(points) < 2:
        return ""
    runs = [list(run) for known, run in groupby(enumerate(points), key=lambda p: p[1].value is not None) if known]
    drawn = "".join(_run(run, len(points), low, high) for run in runs)
    values = [p.value for p in points if p.value is not None]
    label = f"from {number(values[0])} to {number(values[-1])} in {len(points)} steps" if values else "no values"
    return f'<svg width={_WIDTH} height={_HEIGHT} role=img aria-label="{label}">{drawn}</svg>'


def _run(run: Sequence[tuple[int, Estimate]], count: int, low: float, high: float) -> str:
    def place(index: int, value: float) -> str:
        return f"{2 + index / (count - 1) * (_WIDTH - 4):.1f},{_HEIGHT - 2 - (value - low) / (high - low) * (_HEIGHT - 4):.1f}"

    line = " ".join(place(i, e.value) for i, e in run if e.value is not None)
    upper = [place(i, e.high if e.high is not None else e.value or 0.0) for i, e in run]
    lower = [place(i, e.low if e.low is not None else e.value or 0.0) for i, e in run]
    if len(run) == 1:
        x, y = line.split(",")
        return f'<circle class=dot cx="{x}" cy="{y}" r=2 />'
    return f'<polygon class=band points="{" ".join([*upper, *reversed(lower)])}" /><polyline class=line points="{line}" />'


def _time(moment: datetime) -> str:
    return f"{moment:%Y-%m-%d %H:%M}"


def lines(states: Iterable[tuple[str, str]]) -> list[str]:
    """Return the workers' states as sentences."""
    return [f"{name}: {state}" for name, state in states]
