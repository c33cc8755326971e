"""Numbers and findings as people read them, the same in every report."""

from __future__ import annotations

import math

from evalsvc.verdicts.values import EVERY_ONE, Finding, GateResult, MetricSummary, Number, Party, Verdict

NOTHING = "–"
GATES_OF_AN_ERROR = (
    "The gates decide nothing here; the page and verdict.json have what they say of the answers there are."
)


def number(value: float | None, unit: str = "", digits: int = 4) -> str:
    """Return a number with so many significant digits, and its unit; a share has none.

    >>> number(0.51234), number(1234.5, "ms"), number(None), number(-0.000023456)
    ('0.5123', '1,234 ms', '–', '-0.00002346')
    """
    if value is None:
        return NOTHING
    text = f"{value:,.0f}" if abs(value) >= 1000.0 else f"{value:.{digits}g}"
    if "e" in text:
        places = digits - 1 - math.floor(math.log10(abs(value)))
        text = f"{value:.{places}f}".rstrip("0").rstrip(".")
    return f"{text} {'' if unit == 'share' else unit}".strip()


def change(value: float | None, *, relative: bool = False) -> str:
    """Return a difference with its sign, in percent where it is a share of the baseline.

    >>> change(0.0021), change(-0.05, relative=True), change(-0.0004, relative=True), change(None), change(0.0)
    ('+0.0021', '-5.0%', '0.0%', '–', '0')
    """
    if value is None:
        return NOTHING
    if relative and abs(value) < 0.0005:
        return "0.0%"
    text = f"{100.0 * value:.1f}%" if relative else number(value, digits=3)
    return f"+{text}" if value > 0.0 else text


def interval(low: float | None, high: float | None, *, relative: bool = False) -> str:
    """Return limits, ``…`` where there is none; empty without both.

    >>> interval(-0.01, None), interval(-0.01, 0.02)
    ('-0.01 to …', '-0.01 to +0.02')
    """
    if low is None and high is None:
        return ""
    ends = ("…" if end is None else change(end, relative=relative) for end in (low, high))
    return " to ".join(ends)


def moved_by(found: Number) -> str:
    """Return a difference with its interval, where it has one.

    >>> moved_by(Number(0.1, 0.05, 0.2, 40)), moved_by(Number(None, None, None, 0))
    ('+0.1 (+0.05 to +0.2)', '–')
    """
    limits = interval(found.low, found.high)
    return f"{change(found.value)} ({limits})" if limits else change(found.value)


def difference(finding: Finding) -> str:
    """Return a finding's difference with its interval; of critical cases, how many fell short."""
    if finding.test == EVERY_ONE:
        return _every_one(finding)
    limits = interval(finding.low, finding.high, relative=finding.relative)
    value = change(finding.difference, relative=finding.relative)
    return f"{value} ({limits})" if limits else value


def cases_of(finding: Finding) -> str:
    """Return how many cases a finding is of, and in how many groups where some have one.

    >>> cases_of(Finding(decision="PASS", reason="", n=1200, n_clusters=1200))
    '1,200 cases'
    >>> cases_of(Finding(decision="PASS", reason="", n=40, n_clusters=20))
    '40 cases in 20 groups'
    """
    told = f"{finding.n:,} case{'' if finding.n == 1 else 's'}"
    if not 0 < finding.n_clusters < finding.n:
        return told
    return f"{told} in {finding.n_clusters:,} group{'' if finding.n_clusters == 1 else 's'}"


def _every_one(finding: Finding) -> str:
    if finding.n_short:
        return f"{finding.n_short:,} of {finding.n:,} fell short"
    if finding.n_unscored:
        return f"{finding.n_unscored:,} of {finding.n:,} have no score"
    return f"all {finding.n:,} reached it"


def estimate(found: Number | None, unit: str = "") -> str:
    """Return a mean with its interval, as ``0.51 (0.48 to 0.54)``."""
    if found is None or found.value is None:
        return NOTHING
    if found.low is None and found.high is None:
        return number(found.value, unit)
    ends = " to ".join("…" if end is None else number(end) for end in (found.low, found.high))
    return f"{number(found.value, unit)} ({ends})"


def moved(summary: MetricSummary) -> str:
    """Return whether a metric's 95 % interval of the difference leaves 0 on one side: better, worse, or moved."""
    found = summary.difference
    if found is None or found.low is None or found.high is None or found.low <= 0.0 <= found.high:
        return ""
    if summary.better == "neither":
        return "moved"
    return "better" if (found.low > 0.0) == (summary.better == "higher") else "worse"


def title(verdict: Verdict) -> str:
    """Return the verdict in one line."""
    return f"{verdict.suite}: {verdict.decision}"


def party(one: Party) -> str:
    """Return what a version is called."""
    called = " ".join(part for part in (one.model, one.model_version) if part) or "unnamed"
    return f"{one.name} ({called})" if one.name else called


def subtitle(verdict: Verdict) -> str:
    """Return what was compared, on what."""
    against = f" against the baseline {party(verdict.baseline)}" if verdict.baseline else ""
    asked = f"{verdict.stopped_at:,} of {verdict.n_cases:,}" if verdict.looks else f"{verdict.n_cases:,}"
    times = f", {verdict.repeats} answers each" if verdict.repeats > 1 else ""
    return f"{party(verdict.candidate)}{against}, on {asked} cases of {verdict.cases}{times}"


def because(verdict: Verdict) -> str:
    """Return the verdict's reason in a sentence: what failed, what is open, that all passed, or why it is none."""
    if verdict.decision == "ERROR":
        return f"{verdict.error[:1].upper()}{verdict.error[1:]}."
    counted = [gate for gate in verdict.gates if not gate.advisory]
    failing, waiting = ([gate for gate in counted if gate.decision == wanted] for wanted in ("FAIL", "INCONCLUSIVE"))
    if failing:
        return f"{_gates(len(failing), len(counted))} failed: {_named(failing)}."
    if waiting:
        alone = [gate for gate in waiting if any(_fails_alone(one, verdict.level) for one in gate.findings)]
        worse = f" It would fail by itself, without the others: {_named(alone)}." if alone and not verdict.looks else ""
        return f"No gate failed; {_gates(len(waiting), len(counted))} inconclusive: {_named(waiting)}.{worse}"
    return f"All {len(counted)} gates passed." if len(counted) != 1 else "The gate passed."


def _fails_alone(found: Finding, level: float) -> bool:
    return found.decision == "INCONCLUSIVE" and found.p_fail is not None and found.p_fail <= level


def _gates(some: int, of: int) -> str:
    return f"{some} of {of} gates"


def _named(gates: list[GateResult], most: int = 3) -> str:
    names = [gate.gate for gate in gates[:most]]
    return "; ".join([*names, *([f"and {len(gates) - most} more"] if len(gates) > most else [])])


def money(usd: float | None) -> str:
    """Return dollars.

    >>> money(0.0123), money(12.5), money(None)
    ('$0.0123', '$12.50', 'unknown')
    """
    if usd is None:
        return "unknown"
    return f"${usd:,.2f}" if usd >= 1.0 or usd == 0.0 else f"${usd:.4f}"


def interval_kind(verdict: Verdict) -> str:
    """Return what the intervals of findings are: at one of several looks, each gate has limits of its own."""
    return "interval" if verdict.looks else f"{100.0 * (1.0 - 2.0 * verdict.level):.3g} % interval"


def rows(gate: GateResult) -> list[tuple[str, Finding]]:
    """Return a gate's findings with their names, the worst first: by decision, then by what speaks for a FAIL."""
    order = {"FAIL": 0, "INCONCLUSIVE": 1, "PASS": 2}
    found = sorted(
        gate.findings,
        key=lambda one: (order[one.decision], 1.0 if one.p_fail is None else one.p_fail, -_beyond(one), one.segment),
    )
    return [(one.segment or "all cases", one) for one in found]


def _beyond(finding: Finding) -> float:
    """Return how far a difference is from 0 in the direction of the limit."""
    if finding.difference is None or not finding.limit:
        return 0.0
    return finding.difference if finding.limit > 0.0 else -finding.difference
