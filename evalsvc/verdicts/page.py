"""A verdict as a page: every gate with its interval drawn, all metrics, and where it comes from.

One file without scripts or addresses of others, so that a CI can keep it as an artefact and anybody can open it; the
web application serves the same page with links around it.
"""

from __future__ import annotations

import html
from collections.abc import Iterable, Sequence

from evalsvc._plain import visible
from evalsvc.verdicts.values import Finding, GateResult, MetricSummary, Number, Outcome, Slice, Verdict
from evalsvc.verdicts.words import (
    GATES_OF_AN_ERROR,
    NOTHING,
    because,
    change,
    difference,
    interval,
    interval_kind,
    money,
    moved,
    moved_by,
    number,
    rows,
    subtitle,
    title,
)

WIDTH, HEIGHT = 260, 22

TAG_STYLE = """
:root{--good:#1a6b3c;--bad:#a3201d;--open:#8a5a00;--goodback:#e8f5ec;--badback:#fdecea;--openback:#fff4de}
@media(prefers-color-scheme:dark){:root{--good:#7fd6a2;--bad:#ff9a94;--open:#f0c36d;--goodback:#16311f;
--badback:#3a1a19;--openback:#35290f}}
.tag{display:inline-block;padding:0 .5rem;border-radius:.25rem;font-weight:600;font-size:.85rem}
.PASS{color:var(--good);background:var(--goodback)}.FAIL,.ERROR{color:var(--bad);background:var(--badback)}
.INCONCLUSIVE{color:var(--open);background:var(--openback)}
"""
"""How decisions look, wherever one is shown."""

_STYLE = """
:root{color-scheme:light dark;--ink:#1b2330;--soft:#566173;--line:#dfe4ec;--mark:#1f4e8c;--back:#fff;--head:#f6f8fb}
@media(prefers-color-scheme:dark){:root{--ink:#e6eaf1;--soft:#a3afc0;--line:#333c49;--mark:#9cc4f7;--back:#13171d;
--head:#1a2029}}
body{margin:0 auto;max-width:76rem;padding:2rem 1.5rem 3rem;font:15px/1.5 system-ui,-apple-system,"Segoe UI",Roboto,
"Helvetica Neue",Arial,sans-serif;color:var(--ink);background:var(--back)}
h1{font-size:1.5rem;margin:0 0 .3rem}h2{font-size:1.15rem;margin:2.2rem 0 .4rem}p{margin:.25rem 0;max-width:60rem}
.soft,small{color:var(--soft);font-size:.85rem}a{color:var(--mark)}
nav{display:flex;flex-wrap:wrap;gap:.4rem;margin:1rem 0}
nav a{padding:.2rem .7rem;border:1px solid var(--line);border-radius:1rem;text-decoration:none}
.scroll{overflow-x:auto}table{border-collapse:collapse;width:100%}th,td{padding:.35rem .8rem .35rem 0;text-align:left;
vertical-align:top;border-bottom:1px solid var(--line)}th{color:var(--soft);font-weight:400;font-size:.85rem}
td.n,th.n{text-align:right;font-variant-numeric:tabular-nums;white-space:nowrap}
tr.part td:nth-child(2){padding-left:1.2rem}
svg{display:block}.axis{stroke:var(--soft);stroke-dasharray:3 3}.limit{stroke:var(--bad);stroke-width:1.5}
.bar{stroke-width:3;stroke-linecap:round}.dot{stroke:none}svg .PASS{stroke:var(--good);fill:var(--good)}
svg .FAIL{stroke:var(--bad);fill:var(--bad)}svg .INCONCLUSIVE{stroke:var(--open);fill:var(--open)}
.pair{display:grid;grid-template-columns:1fr 1fr;gap:1rem}.text{white-space:pre-wrap;overflow-wrap:anywhere;
padding:.6rem .8rem;background:var(--head);border:1px solid var(--line);border-radius:.3rem}
del{color:var(--bad);background:var(--badback);text-decoration:none}ins{color:var(--good);background:var(--goodback);
text-decoration:none}article{margin:1.2rem 0;padding-top:.6rem;border-top:1px solid var(--line)}
@media(max-width:50rem){.pair{grid-template-columns:1fr}}
"""


def page(verdict: Verdict, worst: str = "", navigation: str = "", foot: str = "") -> str:
    """Return the page; ``worst``, the cases that lost most, ``navigation`` and ``foot`` are HTML."""
    parts = [
        f"<h1>{tag(verdict.decision)} {escape(verdict.suite)}</h1>",
        f"<p>{escape(subtitle(verdict))}.</p><p><strong>{escape(because(verdict))}</strong></p>",
        *(f"<p class=soft>{escape(note)}.</p>" for note in verdict.notes),
        navigation,
        _gates(verdict),
        _metrics(verdict.metrics),
        _slices(verdict.slices),
        worst,
        _origin(verdict),
        foot,
    ]
    policy = "default-src 'none'; style-src 'unsafe-inline'"
    head = (
        "<!doctype html>\n<html lang=en><head><meta charset=utf-8>"
        '<meta name=viewport content="width=device-width, initial-scale=1">'
        f'<meta http-equiv=Content-Security-Policy content="{policy}">'
        f"<title>{escape(title(verdict))}</title><style>{_STYLE}{TAG_STYLE}</style></head>\n<body>"
    )
    return head + "\n".join(part for part in parts if part) + "\n</body></html>\n"


def escape(text: str) -> str:
    """Return a text as HTML that shows all of it."""
    return html.escape(visible(text))


def tag(decision: Outcome) -> str:
    """Return a decision as it is shown, in its colour and in words."""
    return f"<span class='tag {decision}'>{decision}</span>"


def _gates(verdict: Verdict) -> str:
    head = "<th>decision<th>gate<th class=n>candidate<th class=n>baseline or limit"
    head += f"<th>difference ({interval_kind(verdict)})<th>why"
    lines = [line for gate in verdict.gates for line in _gate_lines(gate)]
    said = (
        "<p class=soft>Dashed: no difference. Red: what the gate allows; an interval beyond it on the good side passes."
        "</p>"
    )
    if verdict.decision == "ERROR":
        said = f"<p><strong>{GATES_OF_AN_ERROR.split(';')[0]}.</strong></p>{said}"
    return f"<h2>Gates</h2>{said}<div class=scroll><table><thead><tr>{head}</thead>{''.join(lines)}</table></div>"


def _gate_lines(gate: GateResult) -> Iterable[str]:
    name = escape(gate.gate) + (" <small>advisory</small>" if gate.advisory else "")
    if len(gate.findings) == 1 and not gate.findings[0].segment:
        yield _line(gate.decision, name, gate.findings[0], "")
        return
    passed = sum(found.decision == "PASS" for found in gate.findings)
    yield (
        f"<tr><td>{tag(gate.decision)}<td>{name}<td><td><td><td>{passed} of {len(gate.findings)} segments pass</tr>\n"
    )
    for segment, found in rows(gate):
        yield _line(found.decision, f"{escape(segment)} <small>n = {found.n:,}</small>", found, " class=part")


def _line(decision: Outcome, name: str, found: Finding, kind: str) -> str:
    cases = f"<br><small>{escape(', '.join(found.cases))}</small>" if found.cases else ""
    return (
        f"<tr{kind}><td>{tag(decision)}<td>{name}<td class=n>{number(found.candidate)}"
        f"<td class=n>{number(found.baseline)}<td>{_drawn(found)}<small>{escape(difference(found))}</small>"
        f"<td>{escape(found.reason)}{cases}</tr>\n"
    )


def _drawn(found: Finding) -> str:
    """Return the interval with 0 and the limit on one axis, which is wide enough for all of them."""
    if found.difference is None or found.limit is None:
        return ""
    ends = [end for end in (found.low, found.high, found.difference, found.limit, 0.0) if end is not None]
    low, high = min(ends), max(ends)
    room = 0.08 * (high - low) or 1.0

    def at(value: float) -> float:
        return round(WIDTH * (value - low + room) / (high - low + 2.0 * room), 1)

    # An interval without an end runs out of the picture.
    left = 0.0 if found.low is None else at(found.low)
    right = float(WIDTH) if found.high is None else at(found.high)
    middle = HEIGHT / 2
    said = f"{change(found.difference, relative=found.relative)}, {interval(found.low, found.high)}"
    return (
        f"<svg width={WIDTH} height={HEIGHT} viewBox='0 0 {WIDTH} {HEIGHT}' role=img aria-label='{escape(said)}'>"
        f"<line class=axis x1={at(0.0)} x2={at(0.0)} y1=0 y2={HEIGHT} />"
        f"<line class=limit x1={at(found.limit)} x2={at(found.limit)} y1=2 y2={HEIGHT - 2} />"
        f"<line class='bar {found.decision}' x1={left} x2={right} y1={middle} y2={middle} />"
        f"<circle class='dot {found.decision}' cx={at(found.difference)} cy={middle} r=4 /></svg>"
    )


def _metrics(metrics: Sequence[MetricSummary]) -> str:
    head = "<th>metric<th class=n>candidate<th class=n>baseline<th class=n>difference (95 % interval)<th>"
    head += "<th class=n>spread of repeats<th class=n>n<th>no score"
    lines = []
    for one in metrics:
        found = one.difference
        said = f"{change(found.value)}<br><small>{interval(found.low, found.high)}</small>" if found else ""
        gone = ", ".join(f"{reason}: {count:,}" for reason, count in one.reasons.items())
        arrow = {"higher": "higher is better", "lower": "lower is better", "neither": ""}[one.better]
        lines.append(
            f"<tr><td>{escape(one.metric)} <small>{arrow}</small><td class=n>{_estimate(one.candidate, one.unit)}"
            f"<td class=n>{_estimate(one.baseline, one.unit)}<td class=n>{said}<td>{moved(one)}"
            f"<td class=n>{number(one.repeat_sd)}<td class=n>{one.candidate.n:,}<td>{escape(gone)}</tr>\n"
        )
    return f"<h2>All metrics</h2><div class=scroll><table><thead><tr>{head}</thead>{''.join(lines)}</table></div>"


def _estimate(found: Number | None, unit: str) -> str:
    if found is None or found.value is None:
        return NOTHING
    limits = interval(found.low, found.high).replace("+", "")
    return f"{escape(number(found.value, unit))}<br><small>{limits}</small>"


def _slices(slices: Sequence[Slice]) -> str:
    slices = [one for one in slices if one.n]
    if not slices:
        return ""
    head = "<th>metric<th>segment<th class=n>n<th class=n>candidate<th class=n>baseline<th class=n>difference (95 %)"
    lines = []
    for one in slices:
        cells = (f"{one.n:,}", number(one.candidate), number(one.baseline), moved_by(one.difference))
        numbers = "".join(f"<td class=n>{cell}" for cell in cells)
        lines.append(f"<tr><td>{escape(one.metric)}<td>{escape(one.name)}{numbers}</tr>\n")
    said = "<p class=soft>The greatest losses first; intervals are not corrected for their number.</p>"
    table = f"<div class=scroll><table><thead><tr>{head}</thead>{''.join(lines)}</table></div>"
    return f"<h2>Segments</h2>{said}{table}"


def _origin(verdict: Verdict) -> str:
    answers = verdict.candidate.answered + verdict.candidate.failed
    facts = [
        ("verdict", verdict.verdict_id),
        ("decided", verdict.decided_at.isoformat()),
        (
            "answers",
            f"{answers:,}, {verdict.candidate.failed:,} of them failed; cost {money(verdict.candidate.cost_usd)}",
        ),
        ("error rate", f"{verdict.level:g} one-sided; failures corrected together by Holm's procedure"),
        ("cases", f"{verdict.cases}, version {verdict.cases_digest}"),
        ("gates", verdict.gates_digest),
        ("candidate", f"{verdict.candidate.signature}; {verdict.candidate.digest}"),
        ("baseline", f"{verdict.baseline.signature}; {verdict.baseline.digest}" if verdict.baseline else "none"),
        ("seed", str(verdict.seed)),
        ("scorers", "; ".join(f"{name} {made}" for name, made in verdict.scorers.items())),
        ("decide it again", f"evalsvc gate --again {verdict.verdict_id}"),
    ]
    lines = "".join(f"<tr><td>{escape(name)}<td>{escape(value)}</tr>" for name, value in facts)
    return f"<h2>Where it comes from</h2><div class=scroll><table>{lines}</table></div>"
