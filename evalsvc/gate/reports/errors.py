"""That there is no verdict, since something was wrong: as Markdown, JUnit XML and HTML."""

from __future__ import annotations

from html import escape
from xml.etree import ElementTree

from evalsvc._plain import visible
from evalsvc.gate.reports.escaping import block, text
from evalsvc.gate.reports.junit import legal


def error_markdown(said: str, code: int) -> str:
    """Return the summary for a pull request; ``code`` is the command's exit code."""
    return f"## evalsvc gate: ERROR\n\n**{text(_head(code))}**\n\n{block('text', said)}\n"


def error_page(said: str, code: int) -> str:
    """Return the page."""
    return (
        "<!doctype html>\n<html lang=en><head><meta charset=utf-8>"
        "<meta http-equiv=Content-Security-Policy content=\"default-src 'none'; style-src 'unsafe-inline'\">"
        "<title>evalsvc gate: ERROR</title></head>\n<body><h1>evalsvc gate: ERROR</h1>"
        f"<p><strong>{escape(_head(code))}</strong></p><pre>{escape(visible(said, keep=chr(10)))}</pre></body></html>\n"
    )


def error_junit(said: str) -> str:
    """Return the report, with one error."""
    counts = {"tests": "1", "failures": "0", "errors": "1", "skipped": "0", "time": "0.000"}
    root = ElementTree.Element("testsuites", name="evalsvc", attrib=counts)
    suite = ElementTree.SubElement(root, "testsuite", name="evalsvc gate", attrib=counts)
    case = ElementTree.SubElement(suite, "testcase", classname="evalsvc", name="gate", time="0.000")
    error = ElementTree.SubElement(case, "error", message=legal(f"ERROR: {_headline(said)}"), type="ERROR")
    error.text = legal(said)
    ElementTree.indent(root)
    return '<?xml version="1.0" encoding="utf-8"?>\n' + ElementTree.tostring(root, encoding="unicode") + "\n"


def _head(code: int) -> str:
    return f"No verdict: the command ended with an error (exit code {code})."


def _headline(said: str) -> str:
    """Return the first line, with the first problem where it only announces them: some show this and no more."""
    first, *others = said.splitlines()
    return f"{first} {others[0].strip()}" if others and first.endswith(":") else first
