"""A verdict as a terminal shows it, and what a command ends with because of it."""

from __future__ import annotations

import sys
import textwrap
from collections.abc import Sequence

from evalsvc._cli_output import aligned
from evalsvc._plain import harmless, unobeyed, visible
from evalsvc.verdicts import EXIT_CODES, Outcome, Verdict
from evalsvc.verdicts.words import (
    GATES_OF_AN_ERROR,
    NOTHING,
    because,
    difference,
    interval_kind,
    number,
    rows,
    subtitle,
    title,
)


def told(verdict: Verdict, width: int = 0, report: str = "") -> str:
    """Return a verdict as a terminal shows it: what it is, each gate, and why each that did not pass did not.

    ``width`` is the terminal's; 0 folds nothing. ``report`` is the path of the page that was kept; '' where none was.
    """
    lines = [*map(visible, (title(verdict), subtitle(verdict), "", because(verdict))), ""]
    kind = f"difference ({interval_kind(verdict)})"
    table: list[dict[str, str]] = []
    whys: dict[tuple[str, str], list[str]] = {}
    # Of an error nothing follows from them: beside it a FAIL or a PASS would be read as one.
    for one in verdict.gates if verdict.decision != "ERROR" else ():
        whole = len(one.findings) == 1 and not one.findings[0].segment
        for segment, found in rows(one):
            name = one.gate if whole else f"{one.gate} [{segment}]"
            table.append(
                {
                    "decision": found.decision,
                    "gate": name + (" (advisory)" if one.advisory else ""),
                    "candidate": number(found.candidate),
                    "baseline or limit": number(found.baseline),
                    kind: difference(found),
                    "n": f"{found.n:,}",
                }
            )
            if found.decision != "PASS":
                cases = f" ({', '.join(found.cases)})" if found.cases else ""
                whys.setdefault((found.decision, f"{found.reason}{cases}"), []).append(name)
    lines += [GATES_OF_AN_ERROR] if verdict.decision == "ERROR" else _shown(table, width)
    if whys:
        # What failed comes before what is open.
        sorted_whys = sorted(whys.items(), key=lambda item: item[0][0] != "FAIL")
        lines += ["", *(visible(f"{decision}  {_named(names)}: {why}") for (decision, why), names in sorted_whys)]
    notes = [note for note in verdict.notes if not _said_of_error(note, verdict)]
    lines += ["", *(visible(f"note: {note}") for note in notes)] if notes else []
    lines += ["", *([visible(f"report  {report}")] if report else []), visible(f"verdict {verdict.verdict_id}")]
    return unobeyed("\n".join(part for line in lines for part in _folded(line, width)))


def _said_of_error(note: str, verdict: Verdict) -> bool:
    """Whether a note tells again which requests have no answer, as the error does with their reasons."""
    _, colon, reasons = note.partition(" no answer: ")
    return verdict.decision == "ERROR" and bool(colon) and f" no answer: {reasons};" in verdict.error


def _shown(table: Sequence[dict[str, str]], width: int) -> list[str]:
    """Return a row a gate, or where that is too wide its numbers below it."""
    lines = aligned(table, right={"candidate", "baseline or limit", "n"}).splitlines()
    if not width or max(map(len, lines), default=0) <= width:
        return lines
    *_, kind, _ = table[0]
    found = [f"of each, candidate against baseline or limit: {kind}, n"]
    for row in table:
        known = row["candidate"] != NOTHING or row["baseline or limit"] != NOTHING
        sides = f"{row['candidate']} against {row['baseline or limit']}: " if known else ""
        found += [visible(f"{row['decision']}  {row['gate']}"), f"  {sides}{row[kind]}, n {row['n']}"]
    return found


def _folded(line: str, width: int) -> list[str]:
    if not width or len(line) <= width:
        return [line]
    return textwrap.wrap(line, width, subsequent_indent="  ", break_long_words=False, break_on_hyphens=False)


def all_told(verdicts: Sequence[Verdict], reports: Sequence[str], width: int = 0) -> str:
    """Return the verdicts of a run, each with its report where that was kept, and at the end all in a line."""
    parts = [told(verdict, width, report) for verdict, report in zip(verdicts, reports, strict=True)]
    if len(parts) > 1:
        parts.append(f"{len(parts)} suites: " + ", ".join(f"{one.suite} {one.decision}" for one in verdicts))
    return "\n\n".join(parts)


def _named(names: Sequence[str], most: int = 2) -> str:
    more = [f"and {len(names) - most} more"] if len(names) > most else []
    return "; ".join([*names[:most], *more])


def exit_code(verdicts: Sequence[Verdict], inconclusive: str) -> int:
    """Return 2 where one is an error, else 1 where one fails, 0 where all pass, else what ``inconclusive`` says.

    To ship on too few cases is a choice that ``pass`` makes; nobody chose to ship what was not measured.
    """
    waiting = [verdict for verdict in verdicts if verdict.decision == "INCONCLUSIVE"]
    worst: tuple[Outcome, ...] = ("ERROR", "FAIL")
    for decision in worst:
        if any(verdict.decision == decision for verdict in verdicts):
            return EXIT_CODES[decision]
    if not waiting:
        return 0
    if inconclusive == "fail":
        _say_policy(waiting, 1, inconclusive)
        return 1
    lacking = [verdict for verdict in waiting if verdict.lacking or all(gate.advisory for gate in verdict.gates)]
    if inconclusive == "pass":
        for verdict in lacking:
            what = "; ".join(verdict.lacking) or "no gate decides anything"
            said = f"`--inconclusive pass` is for too few cases, not for what is missing: {what}"
            print(harmless(f"evalsvc: {verdict.suite}: {said}"), file=sys.stderr)
    if inconclusive == "pass" and not lacking:
        _say_policy(waiting, 0, inconclusive)
        return 0
    return EXIT_CODES["INCONCLUSIVE"]


def _say_policy(waiting: Sequence[Verdict], code: int, policy: str) -> None:
    """Say why the command ends with what no headline says."""
    names = ", ".join(verdict.suite for verdict in waiting)
    print(
        harmless(f"evalsvc: {names}: INCONCLUSIVE ends with {code}, as `--inconclusive {policy}` says"), file=sys.stderr
    )
