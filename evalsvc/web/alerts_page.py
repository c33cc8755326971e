"""The pages of alerts as HTML: a list of what fires, and one alert with its history. No script, as the overview."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from html import escape
from urllib.parse import quote, urlsplit

from evalsvc.alerts_view import MOST_HISTORY, AlertRow, Board, Told, ago, last_told, silence_text
from evalsvc.notify.message import cut, one_line
from evalsvc.rules.history import Receipt, Silence
from evalsvc.rules.machine import Example, Observation
from evalsvc.rules.templates import interval, number
from evalsvc.rules.wording import concerned, percent
from evalsvc.types import Estimate, Event, Scale, ScorerSpec
from evalsvc.web import charts, wording
from evalsvc.web.page import NAVIGATION, alert_line, document, said_time

MOST_ROWS = 200
MAX_TEXT = 600
_MOST_LABEL = 200
_ANY = ScorerSpec("", 1, Scale(None, None, "neither"))
_HOW = (
    "<p class=how>An alert is <strong>pending</strong> while it is bad and nobody is told, and <strong>firing</strong> "
    "from when its rule's <code>for</code> is over. It is over after its numbers were good again for a while, when "
    "somebody closes it, or when its rule is gone; a gap in the data ends nothing. This page only shows, since it "
    "knows no login. To say that you look after an alert, to silence some, or to close one, type <code>evalsvc alerts "
    "ack FINGERPRINT</code>, <code>evalsvc alerts silence LABEL=VALUE --for 2h --reason TEXT</code> or <code>evalsvc "
    "alerts close FINGERPRINT --reason TEXT</code> on a machine of the project.</p>"
)
_COLUMNS = ("Alert", "Since", "Estimate", "Interval", "Held against", "What is known")


def render_list(found: Board) -> str:
    """Return the page of all alerts."""
    resolved = found.resolved
    sections = [
        _section("Firing", found.of("firing"), found, "No alert is firing."),
        _section("Pending", found.of("pending"), found, ""),
        _section("Resolved in the last 7 days", resolved, found, ""),
        _silences("Silences in force", found.silences),
    ]
    head = f"<p class=soft>{said_time(found.now)} UTC</p><p>{alert_line(found)}</p>{NAVIGATION}{_HOW}"
    foot = '<h2>The same as JSON</h2><p><a href="/v1/alerts">These alerts</a></p>'
    return document("alerts", "Alerts", head, "".join(sections), foot)


def render_one(row: AlertRow, found: Board, moves: Sequence[Told], texts: Mapping[str, Event]) -> str:
    """Return the page of one alert; ``texts`` are the events of its examples, those that are still kept."""
    state, last = row.state, last_told(moves)
    since = f" since {said_time(state.since)} UTC ({ago(state.since, found.now)})" if state.since else ""
    looked = f" · last look {ago(state.evaluated_at, found.now)}" if state.evaluated_at else ""
    head = f"<p>{_phase(row)}{since} · {_text(row.severity)}{looked}</p>{_known(row, apart='p')}{NAVIGATION}"
    said = (last.description or last.reason) if last else ""
    moved = f"<p class=how>{_text(said)}</p>" if said else ""
    main = (
        f"{moved}{_runbook(last.runbook) if last else ''}{_estimates(row)}"
        f"{_examples(last.examples, texts) if last else ''}{_timeline(moves)}{_labels(state.labels)}"
        f"{_silences('Silences that cover it', row.silences)}{_commands(state.fingerprint)}"
    )
    link = quote(state.fingerprint, safe="")
    foot = f'<h2>The same as JSON</h2><p><a href="/v1/alerts/{link}">This alert</a></p>'
    return document(f"alert {one_line(row.name)}", _text(row.name), head, main, foot)


def _text(text: str, most: int = MAX_TEXT) -> str:
    """Return a text of others as HTML: escaped, cut, without control characters, its direction kept to itself."""
    return f"<bdi>{escape(cut(one_line(text), most))}</bdi>"


def _section(title: str, rows: Sequence[AlertRow], found: Board, otherwise: str) -> str:
    if not rows:
        return f"<section><h2>{title}</h2><p>{otherwise}</p></section>" if otherwise else ""
    body = "".join(_row(row, found) for row in rows[:MOST_ROWS])
    more = (
        f"<p class=soft>and {len(rows) - MOST_ROWS:,} more, which <code>evalsvc alerts</code> lists</p>"
        if len(rows) > MOST_ROWS
        else ""
    )
    return (
        f"<section><h2>{title} <small>{len(rows):,}</small></h2>{_table(title, _COLUMNS, body, right=(2, 3, 4))}{more}"
        "</section>"
    )


def _table(title: str, columns: Sequence[str], body: str, right: Sequence[int] = ()) -> str:
    head = "".join(
        f"<th role=columnheader scope=col{' class=n' if place in right else ''}>{name}</th>"
        for place, name in enumerate(columns)
    )
    return (
        f'<table role=table aria-label="{escape(title)}"><thead role=rowgroup><tr role=row>{head}</tr></thead>'
        f"<tbody role=rowgroup>{body}</tbody></table>"
    )


def _cell(label: str, html: str, kind: str = "") -> str:
    given = f' class="{kind}"' if kind else ""
    return f'<td role=cell{given} data-label="{escape(label)}">{html}</td>'


def _row(row: AlertRow, found: Board) -> str:
    state, estimate = row.state, row.measured
    link = f'<a href="/alerts/{quote(state.fingerprint, safe="")}">{_text(row.name, _MOST_LABEL)}</a>'
    whom = concerned(state.labels)
    since = f"{said_time(state.since)}<small>{ago(state.since, found.now)}</small>" if state.since else wording.MISSING
    value = f"<span class=value>{_number(estimate)}</span>"
    return (
        f'<tr role=row><th role=rowheader scope=row class="version wide">{link}<small>{_text(row.severity)}'
        f"{' · ' + _text(whom, _MOST_LABEL) if whom else ''}</small></th>"
        + _cell("Since", since)
        + _cell("Estimate", value, "n")
        + _cell("Interval", _interval(estimate), "n")
        + _cell("Held against", escape(row.against) or wording.MISSING, "n half")
        + _cell("What is known", _known(row) or wording.MISSING, "half")
        + "</tr>"
    )


def _phase(row: AlertRow) -> str:
    phase = row.state.phase
    return f"<span class=warn>▲ {phase}</span>" if phase == "firing" else f"<strong>{phase}</strong>"


def _known(row: AlertRow, apart: str = "span") -> str:
    """Return who looks after an alert, until when it is silenced, and what was wrong with the last look."""
    said = []
    if (by := row.acknowledged) is not None:
        note = f": {_text(by.note, _MOST_LABEL)}" if by.note else ""
        what = "Closed" if by.closes else "Acknowledged"
        said.append(f"{what} by {_text(by.author, _MOST_LABEL)}{note}")
    if row.silenced_until is not None:
        said.append(f"Silenced until {said_time(row.silenced_until)} UTC")
    if row.state.trouble:
        said.append(f"{row.lacking[:1].upper()}{row.lacking[1:]}. Last look: {_text(row.state.trouble, _MOST_LABEL)}")
    return "".join(f"<{apart} class=said>{text}</{apart}>" for text in said)


def _number(estimate: Estimate | None) -> str:
    return wording.MISSING if estimate is None or estimate.value is None else number(estimate.value)


def _interval(estimate: Estimate | None) -> str:
    if estimate is None or (estimate.low is None and estimate.high is None):
        return wording.MISSING
    if estimate.method == "counted":
        return "counted"
    return f"{interval(estimate)}<small>at {percent(estimate.confidence)}</small>"


def _estimates(row: AlertRow) -> str:
    """Return the last estimate, that which fired, and what they are held against, on one axis."""
    state = row.state
    named: list[tuple[str, Estimate]] = []
    for name, seen in (("Last look with data", state.evidence), ("When it fired", _fired(row))):
        if seen is not None and seen.estimate is not None and seen.estimate.n:
            named.append((name, seen.estimate))
    held = state.evidence.baseline if state.evidence else None
    named += [("Held against", held)] if held is not None else []
    limit = f" · held against {number(row.limit)}" if held is None and row.limit is not None else ""
    if not named:
        return ""
    every = [estimate for _, estimate in named]
    figures = wording.figures(_ANY, every)
    ends = [end for one in every for end in (one.low, one.high, one.value) if end is not None]
    axis = charts.axis(every, _ANY.scale, figures) if ends and all(map(math.isfinite, ends)) else None
    reach = f"From {axis.marks[0][1]} to {axis.marks[-1][1]}" if axis else ""
    body = "".join(
        f"<tr role=row><th role=rowheader scope=row class=version>{name}<small>{_window(one)}</small></th>"
        + _cell("Estimate", f"<span class=value>{_number(one)}</span>", "n")
        + _cell("Interval", _interval(one), "n")
        + _cell(reach, charts.whisker(one, axis, figures) if axis else "", "wide chart")
        + _cell("Scored", f"{one.n:,}", "n half")
        + _cell("Not scored", f"{100 * one.missing_share:.1f}\u00a0%", "n half")
        + "</tr>"
        for name, one in named
    )
    metric = state.labels.get("metric", "")
    said = f"<p class=soft>Metric <code>{_text(metric)}</code>{limit}</p>" if metric else ""
    columns = ("", "Estimate", "Interval", charts.scale_line(axis, "") if axis else "", "Scored", "Not scored")
    return f"<section><h2>Estimate</h2>{said}{_table('Estimate', columns, body, right=(1, 2, 4, 5))}</section>"


def _fired(row: AlertRow) -> Observation | None:
    fired = row.state.fired_on
    return None if fired == row.state.evidence else fired


def _window(estimate: Estimate) -> str:
    start, end = estimate.window.start, estimate.window.end
    until = f"{end:%H:%M}" if end.date() == start.date() else said_time(end)
    return f"{said_time(start)} to {until} UTC"


def _runbook(runbook: str) -> str:
    """Return where the runbook is: a link for addresses of the web, else the path to read in the project."""
    if not runbook:
        return ""
    try:
        address = urlsplit(runbook)
    except ValueError:
        address = urlsplit("")
    if address.scheme in ("http", "https") and address.netloc and runbook.isprintable():
        return f'<p>What to do: <a rel="noreferrer noopener" href="{escape(runbook)}">{_text(runbook)}</a></p>'
    return f"<p>What to do: <code>{_text(runbook)}</code></p>"


def _examples(examples: Sequence[Example], texts: Mapping[str, Event]) -> str:
    if not examples:
        return ""
    body = "".join(
        f'<tr role=row><th role=rowheader scope=row class="version event"><code>{_text(one.event_id)}</code></th>'
        + _cell("Score", number(one.value), "n")
        + _cell("Masked texts", _said_there(texts.get(one.event_id)), "wide")
        + "</tr>"
        for one in examples
    )
    table = _table("Examples", ("Event", "Score", "Masked texts"), body, right=(1,))
    return f"<section><h2>Examples</h2>{table}</section>"


def _said_there(event: Event | None) -> str:
    if event is None:
        return "<small>this event is not kept any more</small>"
    asked, said = event.last_user_text or event.prompt_text, event.response
    parts = [
        f"<span class=said><small>{name}</small>{_text(text)}</span>"
        for name, text in (("asked", asked), ("answered", said))
        if text
    ]
    return "".join(parts) or "<small>an event without texts</small>"


def _timeline(moves: Sequence[Told]) -> str:
    if not moves:
        return ""
    body = "".join(
        f"<tr role=row><th role=rowheader scope=row class=version>{told.transition.before} → "
        f"{told.transition.after}</th>"
        + _cell("When", f"{said_time(told.transition.at)} UTC")
        + _cell("Who was told", _receipts(told), "wide")
        + _cell("Why", _text(told.transition.reason) if told.transition.reason else wording.MISSING, "wide")
        + "</tr>"
        for told in moves
    )
    more = f"<p class=soft>the last {len(moves)} changes; there may be more</p>" if len(moves) == MOST_HISTORY else ""
    table = _table("History", ("Change", "When", "Who was told", "Why"), body)
    return f"<section><h2>History</h2>{table}{more}</section>"


def _receipts(told: Told) -> str:
    if told.receipts:
        return "".join(f"<span class=said>{_receipt(receipt)}</span>" for receipt in told.receipts)
    return "nobody yet" if told.transition.after in ("firing", "resolved") else wording.MISSING


def _receipt(receipt: Receipt) -> str:
    outcome = {"not_routed": "not for this receiver", "missed": "over before it was there"}.get(
        receipt.outcome, receipt.outcome
    )
    said = f"{_text(receipt.receiver)}: {outcome} {said_time(receipt.at)} UTC"
    said += f", {receipt.attempts} attempts" if receipt.attempts > 1 else ""
    detail = f"<small>{_text(receipt.detail)}</small>" if receipt.detail else ""
    return f"<span class=warn>▲ {said}</span>{detail}" if receipt.outcome == "refused" else said + detail


def _labels(labels: Mapping[str, str]) -> str:
    items = "".join(
        f"<li><code>{_text(name)}={_text(labels[name], _MOST_LABEL)}</code></li>" for name in sorted(labels)
    )
    return f"<section><h2>Labels</h2><ul>{items}</ul></section>" if items else ""


def _silences(title: str, silences: Sequence[Silence]) -> str:
    if not silences:
        return ""
    body = "".join(
        f"<tr role=row><th role=rowheader scope=row class='version event'><code>{_text(one.id)}</code></th>"
        + _cell("Alerts with", f"<code>{_text(silence_text(one))}</code>", "wide")
        + _cell("Until", f"{said_time(one.ends_at)} UTC", "half")
        + _cell("By", _text(one.author, _MOST_LABEL), "half")
        + _cell("Why", _text(one.reason), "wide")
        + "</tr>"
        for one in silences
    )
    return f"<section><h2>{title}</h2>{_table(title, ('Silence', 'Alerts with', 'Until', 'By', 'Why'), body)}</section>"


def _commands(fingerprint: str) -> str:
    name = escape(fingerprint)
    return (
        "<section><h2>To handle it</h2><p>This page only shows, since it knows no login. On a machine of the "
        "project:</p>"
        f"<ul><li><code>evalsvc alerts ack {name}</code> says that you look after it; its end is told all the same</li>"
        "<li><code>evalsvc alerts silence LABEL=VALUE --for 2h --reason TEXT</code> tells nobody for a while</li>"
        f"<li><code>evalsvc alerts close {name} --reason TEXT</code> ends it, where it gets no data any more</li></ul>"
        "</section>"
    )
