"""The summary for a pull request: the verdict first, then the gates, what changed, where, and which cases lost most."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from evalsvc.gate.reports.escaping import block, text
from evalsvc.gate.reports.regressions import Regression, heading, word_diff
from evalsvc.verdicts import Finding, GateResult, MetricSummary, Slice, Verdict
from evalsvc.verdicts.words import (
    GATES_OF_AN_ERROR,
    because,
    difference,
    estimate,
    interval_kind,
    money,
    moved,
    moved_by,
    number,
    rows,
    subtitle,
    title,
)

MOST_SEGMENTS = 10


def markdown(verdict: Verdict, worst: Sequence[Regression] = ()) -> str:
    """Return the summary; ``worst`` are the cases to show."""
    parts = [
        f"## {text(title(verdict))}",
        text(subtitle(verdict)) + ".",
        f"**{text(because(verdict))}**",
        _gates(verdict.gates, verdict) if verdict.decision != "ERROR" else GATES_OF_AN_ERROR,
        _metrics(verdict.metrics),
        _slices(verdict.slices),
        *(f"> {text(note)}." for note in verdict.notes),
        _regressions(worst),
        _foot(verdict),
    ]
    return "\n\n".join(part for part in parts if part) + "\n"


def _gates(gates: Sequence[GateResult], verdict: Verdict) -> str:
    head = f"| | gate | candidate | baseline or limit | difference ({interval_kind(verdict)}) | why |"
    lines = [line for gate in gates for line in _gate_lines(gate)]
    return "\n".join([head, "|---|---|--:|--:|--:|---|", *lines])


def _gate_lines(gate: GateResult) -> Iterable[str]:
    name = text(gate.gate) + (" (advisory)" if gate.advisory else "")
    if len(gate.findings) == 1 and not gate.findings[0].segment:
        found = gate.findings[0]
        values = number(found.candidate), number(found.baseline), difference(found)
        yield _line(f"**{gate.decision}**", name, *values, _why(found))
        return
    passed = sum(found.decision == "PASS" for found in gate.findings)
    yield _line(f"**{gate.decision}**", name, "", "", "", f"{passed} of {len(gate.findings)} segments pass")
    shown = [(segment, found) for segment, found in rows(gate) if found.decision != "PASS"]
    for segment, found in shown[:MOST_SEGMENTS]:
        yield _line(
            found.decision,
            f"↳ {text(segment)} (n = {found.n:,})",
            number(found.candidate),
            number(found.baseline),
            difference(found),
            _why(found),
        )
    if len(shown) > MOST_SEGMENTS:
        yield _line("", f"↳ {len(shown) - MOST_SEGMENTS} further segments do not pass", "", "", "", "")


def _why(found: Finding) -> str:
    return text(found.reason) + (f" ({', '.join(map(text, found.cases))})" if found.cases else "")


def _metrics(metrics: Sequence[MetricSummary]) -> str:
    compared = any(one.difference is not None for one in metrics)
    head = (
        "| metric | candidate | " + ("baseline | difference (95 % interval) | " if compared else "") + "n | no score |"
    )
    lines = [head, "|---|--:|" + ("--:|--:|" if compared else "") + "--:|---|"]
    for one in metrics:
        cells = [f"{text(one.metric)} {_arrow(one)}".strip(), text(estimate(one.candidate, one.unit))]
        if compared:
            found = one.difference
            said = moved_by(found) if found else ""
            word = moved(one)
            cells += [text(estimate(one.baseline, one.unit)), f"{said} **{word}**" if word else said]
        gone = ", ".join(f"{reason}: {count:,}" for reason, count in list(one.reasons.items())[:2])
        cells += [f"{one.candidate.n:,}", text(gone)]
        lines.append(_line(*cells))
    return "<details open><summary>All metrics</summary>\n\n" + "\n".join(lines) + "\n\n</details>"


def _slices(slices: Sequence[Slice]) -> str:
    slices = [one for one in slices if one.n]
    if not slices:
        return ""
    lines = [
        "| metric | segment | n | candidate | baseline | difference (95 % interval) |",
        "|---|---|--:|--:|--:|--:|",
    ]
    for one in slices[:MOST_SEGMENTS]:
        values = number(one.candidate), number(one.baseline), moved_by(one.difference)
        lines.append(_line(text(one.metric), text(one.name), f"{one.n:,}", *values))
    more = f" of {len(slices)}" if len(slices) > MOST_SEGMENTS else ""
    head = (
        f"Segments, the greatest losses first ({min(len(slices), MOST_SEGMENTS)}{more}; not corrected for their number)"
    )
    return f"<details><summary>{head}</summary>\n\n" + "\n".join(lines) + "\n\n</details>"


def _arrow(one: MetricSummary) -> str:
    return {"higher": "↑", "lower": "↓", "neither": ""}[one.better]


def _regressions(worst: Sequence[Regression]) -> str:
    if not worst:
        return ""
    parts = [f"<details><summary>{heading(worst)}</summary>"]
    for one in worst:
        scores = f"{number(one.baseline)} → {number(one.candidate)}"
        parts.append(f"**{text(one.case_id)}**, {text(one.metric)} {scores}")
        parts.append(block("text", f"prompt: {one.prompt}"))
        if one.reference:
            parts.append(block("text", f"reference: {one.reference}"))
        parts.append(block("diff", diff_lines(one.before, one.after)))
    return "\n\n".join([*parts, "</details>"])


def diff_lines(before: str, after: str) -> str:
    """Return both answers as lines of a diff: shared words, then ``-`` the baseline's and ``+`` the candidate's."""
    signs = {"same": " ", "before": "-", "after": "+"}
    lines = []
    for piece in word_diff(before, after):
        lines += [f"{signs[piece.side]} {line}" for line in piece.text.strip("\n").splitlines() or [""]]
    return "\n".join(lines)


def _line(*cells: str) -> str:
    """Return a row of a table; its cells are Markdown."""
    return f"| {' | '.join(cells)} |"


def _foot(verdict: Verdict) -> str:
    spent = f"cost {money(verdict.candidate.cost_usd)}" if verdict.candidate.cost_usd is not None else "cost unknown"
    asked = f"{verdict.candidate.answered + verdict.candidate.failed:,} answers"
    looks = (
        f", look {max((g.settled_at for g in verdict.gates), default=0)} of {len(verdict.looks)}"
        if verdict.looks
        else ""
    )
    return (
        f"<sub>{asked}, {spent}{looks}. Error rate {verdict.level:g} one-sided; failures corrected by Holm. Cases "
        f"`{verdict.cases_digest[:12]}`, gates `{verdict.gates_digest[:12]}`, seed {verdict.seed}. Decide it again: "
        f"`evalsvc gate --again {verdict.verdict_id}`</sub>"
    )
