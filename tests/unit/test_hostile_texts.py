"""Texts of cases and models in what is printed: nothing is obeyed, marks up, links or calls, and everything is seen."""

from __future__ import annotations

import json
import re
from datetime import UTC, datetime
from html.parser import HTMLParser
from xml.etree import ElementTree

import msgspec
import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from markdown_it import MarkdownIt

from evalsvc._cli_output import aligned
from evalsvc._gate_told import told
from evalsvc._plain import harmless, harmless_json, visible
from evalsvc.gate.evaluation import finding_told
from evalsvc.gate.reports import escaping
from evalsvc.gate.reports.html import page
from evalsvc.gate.reports.junit import junit
from evalsvc.gate.reports.markdown import markdown
from evalsvc.gate.reports.regressions import Regression
from evalsvc.verdicts import Finding, GateResult, MetricSummary, Number, Party, Slice, Verdict

NOW = datetime(2026, 3, 1, tzinfo=UTC)
SEEN = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f\u202a-\u202e\u2066-\u2069\u2028\u2029\ud800-\udfff]")
OBEYED = re.compile(r"^\s*::|##[A-Za-z]*\[", re.MULTILINE)
CALLS = re.compile(r"@\w|#\w|GH-\d|://|\bwww\.|:[a-z0-9_+-]+:|mailto:", re.IGNORECASE)
PARTS = (
    *("**", "__", "_", "*", "~~", "`", "```", "\\", "|", "[", "](", ")", "![", "<", ">", "</details>", "<img src=x>"),
    *(
        "&lt;",
        "&",
        "#",
        "#1",
        "@ada",
        "a@b.de",
        "GH-1",
        "https://x.de",
        "www.x.de",
        "mailto:a@b.de",
        ":joy:",
        "$",
        "$x$",
    ),
    *("- ", "1. ", "+ ", "=", "---", "::error::x", "##[group]", "##vso[x]", "\n", "\r", "\t", " ", "\x1b[2J", "\x00"),
    *("\x9b", "\u202e", "\u2028", "\ud800", "\\|", "a", "b1", "é", "👍", ".", ":", "!", "\x7f"),
)
hostile = st.lists(st.one_of(st.sampled_from(PARTS), st.text(max_size=3)), min_size=1, max_size=8).map("".join)


def verdict_of(text: str) -> Verdict:
    number = Number(0.5, 0.4, 0.6, 10)
    finding = Finding(decision="FAIL", reason=text, segment=text, difference=-0.1, cases=(text,), n=10)
    party = Party(model=text, model_version=text, signature=text, digest="d" * 64, answered=10)
    return Verdict(
        verdict_id="v",
        suite="made",
        decision="FAIL",
        gates=(
            GateResult(gate=text, metric=text, decision="FAIL", findings=(finding, finding)),
            GateResult(
                gate="b", metric=text, decision="FAIL", findings=(msgspec.structs.replace(finding, segment=""),)
            ),
        ),
        metrics=(
            MetricSummary(
                metric=text,
                unit=text,
                better="higher",
                scorer=text,
                candidate=number,
                baseline=number,
                difference=number,
                reasons={text: 1},
            ),
        ),
        candidate=party,
        baseline=msgspec.structs.replace(party, name=text),
        cases=text,
        cases_digest="c" * 64,
        n_cases=10,
        stopped_at=10,
        repeats=1,
        seed=0,
        level=0.05,
        scorers={},
        definition="{}",
        gates_digest="g" * 64,
        decided_at=NOW,
        evalsvc="1",
        notes=(text,),
        slices=(Slice(metric=text, name=text, n=5, candidate=0.5, baseline=0.5, difference=number),),
    )


def rendered(text: str) -> str:
    return markdown(verdict_of(text), [Regression(text, text, 1.0, 0.0, text, text, text, text)])


def shape(source: str) -> tuple[list[str], list[str]]:
    """Return the kinds of all tokens but texts, and the texts outside of code."""
    kinds, texts = [], []
    for token in MarkdownIt("commonmark", {"html": True}).enable(["table", "strikethrough"]).parse(source):
        kinds.append(f"{token.type} {token.info}")
        said = ""
        for child in token.children or []:
            if child.type in ("text", "text_special"):
                said += child.content
            else:
                kinds.append(child.type)
        texts.append(said)
    return kinds, texts


@given(hostile)
@example("**a**](x)")
@example("1. - # :")
@example("@ada #1 GH-1 www.x.de https://x.de a@b.de :joy:")
@example("a\ud800\x00\x1b[2J\n::error::x")
def test_a_summary_has_the_same_shape_whatever_cases_and_models_say(text: str) -> None:
    text = text if text.strip() else "x"
    source = rendered(text)
    kinds, texts = shape(source)
    assert kinds == shape(rendered("x"))[0]
    assert not [said for said in texts if CALLS.search(said)]
    assert not SEEN.search(source)
    assert not OBEYED.search(source)
    source.encode()


@given(hostile)
@example("a\ud800\x00\x1b|\n::error::x")
def test_a_text_in_markdown_is_shown_letter_by_letter(text: str) -> None:
    shown = visible(re.sub(r"\s*[\r\n]+\s*", " ", text)).strip()
    if not shown:
        return
    _, texts = shape(f"| {escaping.text(text)} |\n|---|\n")
    said = "".join(texts).replace(escaping.JOINER, "")
    assert said in (shown, re.sub("^:(?=:)", r"\\x3a", shown))


@given(hostile)
@example("a\ud800\x00\x1b|\n::error::x")
def test_a_terminal_is_told_nothing_that_it_or_a_ci_server_obeys(text: str) -> None:
    finding = Finding(decision="FAIL", reason=text, segment=text, cases=(text,), n=3, candidate=0.5)
    for said in (told(verdict_of(text)), finding_told(text, finding), harmless(text), aligned([{text: "", "a": text}])):
        assert not SEEN.search(said)
        assert not OBEYED.search(said)
        said.encode()


@given(hostile)
def test_a_line_of_json_is_the_same_value_and_obeyed_by_nobody(text: str) -> None:
    text = text.replace("\ud800", "")
    line = harmless_json(msgspec.json.encode({"a": text}).decode())
    assert json.loads(line) == {"a": text}
    assert not SEEN.search(line)
    assert not OBEYED.search(line)


class Tags(HTMLParser):
    """Every tag and attribute's name of a page, in order."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.seen: list[tuple[str, ...]] = []
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.seen.append((tag, *(name for name, _ in attrs)))


@given(hostile)
@example("a\ud800\x00\x1b|\n::error::x")
def test_a_page_has_the_same_tags_whatever_cases_and_models_say(text: str) -> None:
    text = text if text.strip() else "x"

    def made(said: str) -> str:
        return page(verdict_of(said), [Regression(said, said, 1.0, 0.0, said, said, said, said)])

    assert Tags(made(text)).seen == Tags(made("x")).seen
    made(text).encode()


@given(hostile)
@example("a\ud800\x00\x1b|\n::error::x")
def test_junit_is_xml_whatever_cases_and_models_say(text: str) -> None:
    said = junit([verdict_of(text)])
    ElementTree.fromstring(said.encode())  # noqa: S314 - our own
    assert not SEEN.search(said)


@pytest.mark.parametrize("text", ["naïve 👩‍🚀 日本語 می‌خواهم", "a  b", "C:\\x", "a::b", "x ## y"])
def test_ordinary_texts_stay_as_they_are(text: str) -> None:
    assert harmless(text) == text
