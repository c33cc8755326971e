"""The list of verdicts as HTML, and what links to it. No script, as the overview."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from datetime import datetime
from html import escape
from urllib.parse import quote, urlencode

from evalsvc.alerts_view import ago
from evalsvc.notify.message import cut, one_line
from evalsvc.verdicts import EXIT_CODES, Verdict
from evalsvc.verdicts.page import tag
from evalsvc.verdicts.words import because, party
from evalsvc.web import wording
from evalsvc.web.page import NAVIGATION, document, said_time

MOST_ROWS = 200
_MOST_TEXT = 300
_HOW = (
    "<p class=how>A gate asks a new model version the cases of a suite and compares it with a baseline. "
    "<strong>PASS</strong>: what the suite asks for was shown. <strong>FAIL</strong>: the opposite was shown. "
    "<strong>INCONCLUSIVE</strong>: neither; its page says how many more cases would settle it. "
    "<strong>ERROR</strong>: most requests had no answer. Verdicts stand here "
    "that were recorded, by <code>evalsvc gate --record</code>, each with the scores that it was decided from: "
    "<code>evalsvc gate --again VERDICT</code> decides it again.</p>"
)
_COLUMNS = ("Decision", "Suite", "Candidate", "Baseline", "When, UTC", "Why")


def render_list(rows: Sequence[Verdict], suites: Sequence[str], suite: str, now: datetime) -> str:
    """Return the page of verdicts, the newest first; ``suites`` are those to choose from, ``suite`` the one chosen."""
    head = f"<p class=soft>{said_time(now)} UTC</p>{_counts(rows)}{NAVIGATION}{_suites(suites, suite)}{_HOW}"
    same = "/v1/verdicts" + (f"?{urlencode({'suite': suite})}" if suite else "")
    foot = f'<h2>The same as JSON</h2><p><a href="{escape(same)}">These verdicts</a></p>'
    return document("verdicts", "Verdicts", head, _table(rows, now) if rows else _nothing(suite), foot)


def last_line(verdict: Verdict | None, now: datetime) -> str:
    """Return the last verdict as a line, with the way to all."""
    if verdict is None:
        return '<p>No gate\'s verdict is recorded · <a href="/verdicts">Verdicts</a></p>'
    return (
        f"<p>Last gate: {tag(verdict.decision)} {_link(verdict)}, {_text(party(verdict.candidate))}, "
        f'{ago(verdict.decided_at, now)} · <a href="/verdicts">All verdicts</a></p>'
    )


def same_as_json(verdict: Verdict) -> str:
    """Return the foot of a verdict's page."""
    link = f"/v1/verdicts/{quote(verdict.verdict_id, safe='')}"
    return f'<h2>The same as JSON</h2><p><a href="{link}">This verdict</a></p>'


def _counts(rows: Sequence[Verdict]) -> str:
    counts = Counter(verdict.decision for verdict in rows)
    said = " · ".join(f"{tag(decision)} {counts[decision]:,}" for decision in EXIT_CODES)
    of = f" of the last {MOST_ROWS:,}" if len(rows) == MOST_ROWS else ""
    return f"<p>{said}{of}</p>"


def _suites(suites: Sequence[str], chosen: str) -> str:
    if len(suites) < 2 and not chosen:
        return ""
    links = [("", "All suites"), *((name, _text(name)) for name in suites)]
    return (
        '<nav aria-label="Suites">'
        + "".join(
            f'<a href="/verdicts{"?" + escape(urlencode({"suite": name})) if name else ""}"'
            f"{' aria-current=page' if name == chosen else ''}>{shown}</a>"
            for name, shown in links
        )
        + "</nav>"
    )


def _table(rows: Sequence[Verdict], now: datetime) -> str:
    head = "".join(f"<th role=columnheader scope=col>{name}</th>" for name in _COLUMNS)
    body = "".join(_row(verdict, now) for verdict in rows)
    return (
        f'<table role=table aria-label="Verdicts"><thead role=rowgroup><tr role=row>{head}</tr></thead>'
        f"<tbody role=rowgroup>{body}</tbody></table>"
    )


def _row(verdict: Verdict, now: datetime) -> str:
    when = f"{said_time(verdict.decided_at)}<small>{ago(verdict.decided_at, now)}</small>"
    baseline = _text(party(verdict.baseline)) if verdict.baseline else wording.MISSING
    return (
        f"<tr role=row>{_cell('Decision', tag(verdict.decision), 'half')}"
        f'<th role=rowheader scope=row class=half data-label="Suite"><strong>{_link(verdict)}</strong></th>'
        f"{_cell('Candidate', _text(party(verdict.candidate)), 'half')}{_cell('Baseline', baseline, 'half')}"
        f"{_cell('When, UTC', when, 'half')}{_cell('Why', _text(because(verdict)), 'wide')}</tr>"
    )


def _cell(label: str, html: str, kind: str) -> str:
    return f'<td role=cell class={kind} data-label="{escape(label)}">{html}</td>'


def _link(verdict: Verdict) -> str:
    return f'<a href="/verdicts/{quote(verdict.verdict_id, safe="")}">{_text(verdict.suite)}</a>'


def _nothing(suite: str) -> str:
    whose = f" of {_text(suite)}" if suite else ""
    return f"<h2>No verdict{whose} is recorded</h2><p>Run <code>evalsvc gate --record</code>; then come back.</p>"


def _text(text: str) -> str:
    """Return a text of others as HTML: escaped, cut, without control characters, its direction kept to itself."""
    return f"<bdi>{escape(cut(one_line(text), _MOST_TEXT))}</bdi>"
