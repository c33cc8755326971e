"""JUnit XML: a test case for each finding, so that a CI shows which gate failed and why."""

from __future__ import annotations

import math
import re
from collections.abc import Sequence
from xml.etree import ElementTree

from evalsvc._plain import harmless, visible
from evalsvc.verdicts import Finding, GateResult, Verdict
from evalsvc.verdicts.words import cases_of, difference, number, title

# What XML 1.0 cannot hold, escaped or not.
_FORBIDDEN = re.compile("[^\t\n\r\u0020-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")


def junit(verdicts: Sequence[Verdict], inconclusive: str = "failure", seconds: Sequence[float] = ()) -> str:
    """Return the report of one or several suites.

    Args:
        verdicts: of the suites.
        inconclusive: the element of such a finding; one that is so since something is missing is a failure all the
            same.
        seconds: how long each suite's run took; none where nobody knows. A finding has the part of it that its cases
            are of all findings' cases, so that the parts add up to the run, as CIs show them.
    """
    root = ElementTree.Element("testsuites", name="evalsvc")
    for verdict, took in zip(verdicts, seconds or [0.0] * len(verdicts), strict=True):
        root.append(_suite(verdict, inconclusive, took))
    for name in ("tests", "failures", "errors", "skipped"):
        root.set(name, str(sum(int(suite.get(name, "0")) for suite in root)))
    root.set("time", _seconds(math.fsum(seconds)))
    ElementTree.indent(root)
    return '<?xml version="1.0" encoding="utf-8"?>\n' + ElementTree.tostring(root, encoding="unicode") + "\n"


NOT_DECIDED = "not decided: the run is an error, which the test case `run` tells"


def _suite(verdict: Verdict, inconclusive: str, seconds: float) -> ElementTree.Element:
    asked = sum(max(found.n, 1) for gate in verdict.gates for found in gate.findings)
    cases = [
        _case(verdict, gate, found, inconclusive, seconds * max(found.n, 1) / asked)
        for gate in verdict.gates
        for found in gate.findings
    ]
    # A file without a failure is green, and nothing was shown.
    if verdict.decision == "ERROR":
        cases.append(_error(verdict))
    elif all(gate.advisory or not gate.findings for gate in verdict.gates):
        cases.append(_undecided(verdict))
    suite = ElementTree.Element(
        "testsuite",
        name=verdict.suite,
        tests=str(len(cases)),
        failures=str(sum(case.find("failure") is not None for case in cases)),
        skipped=str(sum(case.find("skipped") is not None for case in cases)),
        errors=str(sum(case.find("error") is not None for case in cases)),
        time=_seconds(seconds),
        timestamp=verdict.decided_at.isoformat(),
    )
    kept = ElementTree.SubElement(suite, "properties")
    for name, value in (
        ("verdict", verdict.decision),
        ("verdict_id", verdict.verdict_id),
        ("cases", verdict.cases_digest),
        ("candidate", verdict.candidate.digest),
        ("baseline", verdict.baseline.digest if verdict.baseline else ""),
    ):
        ElementTree.SubElement(kept, "property", name=name, value=legal(value))
    suite.extend(cases)
    return suite


def _case(verdict: Verdict, gate: GateResult, found: Finding, inconclusive: str, seconds: float) -> ElementTree.Element:
    name = f"{gate.gate} [{found.segment}]" if found.segment else gate.gate
    case = ElementTree.Element(
        "testcase", classname=f"evalsvc.{verdict.suite}", name=legal(name), time=_seconds(seconds)
    )
    if verdict.decision == "ERROR":
        # What a gate says of the answers there are is no advice; the test case of the error tells what to do.
        ElementTree.SubElement(case, "skipped", message=NOT_DECIDED)
    elif found.decision != "PASS":
        open_kind = "failure" if found.lacking else inconclusive
        kind = "failure" if found.decision == "FAIL" else open_kind
        kind = "skipped" if gate.advisory else kind
        said = f"{found.decision}{' (advisory)' if gate.advisory else ''}: {found.reason}"
        element = ElementTree.SubElement(case, kind, message=legal(said))
        element.text = legal(f"{title(verdict)}\n{_numbers(found)}\n{found.reason}")
        if kind == "failure":
            element.set("type", found.decision)
    return case


def _undecided(verdict: Verdict) -> ElementTree.Element:
    case = ElementTree.Element("testcase", classname=f"evalsvc.{verdict.suite}", name="gates", time="0.000")
    said = "no gate decides anything: all are advisory, or there is none"
    ElementTree.SubElement(case, "failure", message=f"{verdict.decision}: {said}", type=verdict.decision)
    return case


def _error(verdict: Verdict) -> ElementTree.Element:
    case = ElementTree.Element("testcase", classname=f"evalsvc.{verdict.suite}", name="run", time="0.000")
    error = ElementTree.SubElement(case, "error", message=legal(f"ERROR: {verdict.error}"), type="ERROR")
    error.text = legal(verdict.error)
    return case


def _numbers(found: Finding) -> str:
    parts = [
        f"candidate {number(found.candidate)}, baseline or limit {number(found.baseline)}",
        f"difference {difference(found)}, {cases_of(found)}",
        f"test: {found.test}",
        *([f"cases: {visible(', '.join(found.cases))}"] if found.cases else []),
    ]
    return "\n".join(parts)


def _seconds(seconds: float) -> str:
    return f"{seconds:.3f}"


def legal(text: str) -> str:
    """Return a text as XML 1.0 can hold it."""
    return _FORBIDDEN.sub("\ufffd", harmless(text))
