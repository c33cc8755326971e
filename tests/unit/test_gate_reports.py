"""Reports of a verdict: what they say, and that texts of models cannot break out of them."""

from __future__ import annotations

import re
from datetime import UTC, datetime
from html.parser import HTMLParser
from xml.etree import ElementTree

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from evalsvc.disk_cache import DiskCache
from evalsvc.gate import baselines
from evalsvc.gate.reading import load_suite
from evalsvc.gate.reports.html import page
from evalsvc.gate.reports.junit import junit
from evalsvc.gate.reports.markdown import diff_lines, markdown
from evalsvc.gate.reports.regressions import Regression, cut, regressions, word_diff
from evalsvc.gate.running import Run, run_suite
from suites_made import CountingModel, write_project

NOW = datetime(2026, 3, 1, tzinfo=UTC)
HOSTILE = "`````\n# h | a <script>alert(1)</script> @everyone [x](javascript:y) \x00\x1b[31m \\ ``` </details>"


@pytest.fixture(scope="module")
def worse(tmp_path_factory: pytest.TempPathFactory) -> Run:
    path = write_project(tmp_path_factory.mktemp("reports"))
    suite = load_suite(path)
    cache = DiskCache.open(None)
    alone = msgspec.structs.replace(suite, gates=(), baseline="")
    first = run_suite(alone, cache, generator=CountingModel(0.1), now=NOW)
    baselines.promote(first.record, "x", suite.folder, "main", by="Ada", because="it is the first", now=NOW)
    return run_suite(suite, cache, generator=CountingModel(0.8, "2", seed=1), now=NOW)


def parsed(text: str) -> ElementTree.Element:
    return ElementTree.fromstring(text)  # noqa: S314 - our own


def hostile() -> Regression:
    return Regression(HOSTILE, "token_f1", 1.0, 0.0, HOSTILE, HOSTILE, HOSTILE, f"{HOSTILE} after")


def test_the_summary_says_what_failed_by_how_much_and_where(worse: Run) -> None:
    text = markdown(worse.verdict, regressions(worse))
    assert text.startswith("## made: FAIL\n")
    assert "counting 2 against the baseline main (counting 1), on 120 cases of cases.jsonl" in text
    assert "**2 of 4 gates failed: token_f1 not worse by 0.05;" in text
    (row,) = re.findall(r"\| \*\*FAIL\*\* \| token\\?_f1 not worse by 0.05 \|.*", text)
    found = worse.verdict.gates[0].findings[0]
    assert f"{found.difference:.3g}" in row
    assert "worse by more than 0.05 is shown" in row
    assert "| FAIL | ↳ plan=a (n = 60) |" in text
    assert "Segments, the greatest losses first (" in text
    assert f"`evalsvc gate --again {worse.verdict.verdict_id}`" in text
    assert "cost $0.1200" in text
    assert len(text) < 65_536, "a pull request takes no longer comment"


def test_the_cases_that_lost_most_are_those_of_the_gates_that_failed(worse: Run) -> None:
    found = regressions(worse, 3)
    losses = [one.baseline - one.candidate for one in found]
    assert losses == sorted(losses, reverse=True)
    assert all(one.metric == "token_f1" and one.before and one.after for one in found)
    assert len({one.case_id for one in found}) == 3
    old, new = worse.baseline.evaluated.scores["token_f1"], worse.candidate.scores["token_f1"]
    places = {digest: row for row, digest in enumerate(worse.baseline.evaluated.digests)}
    all_losses = [
        old.values[places[digest], 0] - new.values[row, 0] for row, digest in enumerate(worse.candidate.digests)
    ]
    assert losses[0] == pytest.approx(max(all_losses))


def test_texts_of_a_model_stay_within_their_blocks_of_markdown(worse: Run) -> None:
    text = markdown(worse.verdict, [hostile()])
    outside, fence = [], ""
    for line in text.splitlines():
        opening = re.match(r"`{3,}", line)
        if fence:
            fence = "" if line == fence else fence
        elif opening:
            fence = opening[0]
        else:
            outside.append(line)
    assert fence == ""
    said = "\n".join(outside)
    assert "<script>" not in said
    assert "@everyone" not in said
    assert said.count("</details>") == said.count("<details")


class Tags(HTMLParser):
    def __init__(self) -> None:
        super().__init__()
        self.seen: list[tuple[str, dict[str, str | None]]] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.seen.append((tag, dict(attrs)))


def test_the_page_has_no_scripts_and_no_addresses(worse: Run) -> None:
    tags = Tags()
    text = page(worse.verdict, [hostile()])
    tags.feed(text)
    names = {tag for tag, _ in tags.seen}
    assert not names & {"script", "img", "iframe", "link", "object"}
    assert not any(key.startswith("on") or key in ("href", "src") for _, attrs in tags.seen for key in attrs)
    assert "default-src 'none'" in text
    assert text.count("<svg") == sum(
        found.difference is not None for gate in worse.verdict.gates for found in gate.findings
    )


def test_junit_has_a_case_for_each_finding_and_holds_what_xml_cannot(worse: Run) -> None:
    gates = tuple(
        msgspec.structs.replace(
            gate, findings=tuple(msgspec.structs.replace(one, reason=HOSTILE) for one in gate.findings)
        )
        for gate in worse.verdict.gates
    )
    verdict = msgspec.structs.replace(worse.verdict, gates=gates)
    root = parsed(junit([verdict, worse.verdict]))
    suites = root.findall("testsuite")
    findings = [found for gate in gates for found in gate.findings]
    assert [suite.get("tests") for suite in suites] == [str(len(findings))] * 2
    failed = [case for case in suites[1].findall("testcase") if case.find("failure") is not None]
    assert len(failed) == sum(found.decision != "PASS" for found in findings)
    assert "(javascript:y) \\x00\\x1b[31m" in suites[0].find("testcase/failure").get("message")
    assert {case.get("name") for case in failed} >= {"token_f1 not worse by 0.05"}


@pytest.mark.parametrize(("inconclusive", "element"), [("failure", "failure"), ("skipped", "skipped")])
def test_an_inconclusive_finding_is_what_the_policy_says(worse: Run, inconclusive: str, element: str) -> None:
    open_one = msgspec.structs.replace(worse.verdict.gates[0].findings[0], decision="INCONCLUSIVE")
    gate = msgspec.structs.replace(worse.verdict.gates[0], findings=(open_one,), decision="INCONCLUSIVE")
    root = parsed(junit([msgspec.structs.replace(worse.verdict, gates=(gate,))], inconclusive))
    (case,) = root.iter("testcase")
    assert [child.tag for child in case] == [element]


@given(st.text(max_size=80), st.text(max_size=80))
def test_a_word_diff_holds_both_texts(before: str, after: str) -> None:
    pieces = word_diff(before, after)
    assert "".join(piece.text for piece in pieces if piece.side != "after") == before
    assert "".join(piece.text for piece in pieces if piece.side != "before") == after
    assert all(line[:2] in ("  ", "- ", "+ ") for line in diff_lines(before, after).split("\n") if line)


def test_a_long_text_is_cut_and_says_by_how_much() -> None:
    assert cut("x" * 2_001) == "x" * 2_000 + "… (1 characters more)"
    assert cut("x" * 2_000) == "x" * 2_000
