"""Reports of a verdict: what they say, and that texts of models cannot break out of them."""

from __future__ import annotations

import re
from datetime import UTC, datetime
from html.parser import HTMLParser
from xml.etree import ElementTree

import msgspec
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from evalsvc._gate_told import told
from evalsvc.disk_cache import DiskCache
from evalsvc.gate import baselines
from evalsvc.gate.deciding import decide
from evalsvc.gate.reading import load_suite
from evalsvc.gate.reports.html import page
from evalsvc.gate.reports.junit import junit
from evalsvc.gate.reports.markdown import diff_lines, markdown
from evalsvc.gate.reports.regressions import Regression, cut, regressions, word_diff
from evalsvc.gate.running import Run, run_suite
from evalsvc.gate.summary import slices
from evalsvc.gate.values import AtLeast, Gate
from evalsvc.generation import Answer, Request
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


def test_segments_come_by_their_losses_in_every_format(worse: Run) -> None:
    held = [one for one in worse.verdict.slices if one.metric == "token_f1"]
    losses = [-one.difference.value for one in held]
    assert losses == sorted(losses, reverse=True)
    names = [one.name for one in worse.verdict.slices]
    assert len(set(names)) > 1
    part = page(worse.verdict).split("<h2>Segments</h2>")[1]
    assert re.findall(r"<tr><td>[^<]*<td>([^<]*)<td", part) == names
    part = markdown(worse.verdict).split("Segments, the greatest losses first")[1]
    assert re.findall(r"\| (plan=\w+) \|", part) == names[:10]


def test_segments_that_all_lose_the_same_come_first_though_they_have_no_spread(worse: Run) -> None:
    new, old = worse.candidate, worse.baseline.evaluated
    metrics = {"latency_ms": new.scores["latency_ms"].spec.scale}
    table = new.scores["latency_ms"].values.copy()
    places = [old.digests.index(digest) for digest in new.digests]
    in_b = [case.segments["plan"] == "b" for case in new.cases]
    for row, place in enumerate(places):
        table[row] = old.scores["latency_ms"].values[place] + (500.0 if in_b[row] else row % 2)
    scores = {**new.scores, "latency_ms": new.scores["latency_ms"]._replace(values=table)}
    found = slices(msgspec.structs.replace(new, scores=scores), old, metrics)
    assert [one.name for one in found] == ["plan=b", "plan=a"]


def test_segments_of_a_gate_come_worst_first_in_every_format(worse: Run) -> None:
    (gate,) = (gate for gate in worse.verdict.gates if len(gate.findings) > 1)
    first = msgspec.structs.replace(gate.findings[0], decision="FAIL", p_fail=0.01, segment="plan=a")
    findings = (
        first,
        msgspec.structs.replace(first, p_fail=0.001, segment="plan=c"),
        msgspec.structs.replace(first, decision="INCONCLUSIVE", p_fail=0.9, segment="plan=b"),
    )
    verdict = msgspec.structs.replace(worse.verdict, gates=(msgspec.structs.replace(gate, findings=findings),))
    for text in (told(verdict), markdown(verdict), page(verdict)):
        part = text.split("Segments")[0].split("<h2>All")[0].split("All metrics")[0]
        named = [name for name in re.findall(r"plan=\w", part) if name in ("plan=a", "plan=b", "plan=c")]
        assert named[:3] == ["plan=c", "plan=a", "plan=b"], text


def test_a_case_that_the_candidate_alone_does_not_answer_comes_after_those_that_lost(worse: Run) -> None:
    failed = Answer(status="failed", reason="empty answer")
    row = 3
    answers = tuple((failed,) if place == row else one for place, one in enumerate(worse.candidate.answers))
    scores = {}
    for name, held in worse.candidate.scores.items():
        values = held.values.copy()
        values[row] = np.nan
        scores[name] = held._replace(values=values)
    candidate = msgspec.structs.replace(worse.candidate, answers=answers, scores=scores)
    found = regressions(worse._replace(candidate=candidate), 200)
    assert (found[-1].case_id, found[-1].candidate) == (candidate.cases[row].case_id, None)
    assert found[-1].after == "(no answer: empty answer)"
    losses = [one.baseline - one.candidate for one in found[:-1] if one.metric == "token_f1"]
    assert losses == sorted(losses, reverse=True)
    assert "+ (no answer: empty answer)" in markdown(worse.verdict, found[-1:])


def test_of_a_version_that_answers_nothing_no_table_is_of_0_cases_and_no_case_lost(worse: Run) -> None:
    class Silent(CountingModel):
        def generate(self, request: Request) -> Answer:
            return Answer(status="failed", reason="empty answer")

    with DiskCache.open(None) as cache:
        run = run_suite(worse.suite, cache, generator=Silent(0.0, "3"), now=NOW)
    worst = regressions(run)
    assert run.verdict.slices
    for text in (markdown(run.verdict, worst), page(run.verdict, worst)):
        assert "ERROR" in text
        assert f"{len(worst)} cases without an answer" in text
        for absent in ("()", "lost most", "greatest losses first"):
            assert absent not in text


def test_a_critical_gate_says_how_many_fell_short_in_every_format(worse: Run) -> None:
    gate = next(gate for gate in worse.verdict.gates if "critical" in gate.gate)
    assert "all 12 reached it" in told(worse.verdict)
    fell = msgspec.structs.replace(gate.findings[0], decision="FAIL", n_short=2, cases=("c7", "c17"))
    verdict = msgspec.structs.replace(worse.verdict, gates=(msgspec.structs.replace(gate, findings=(fell,)),))
    for text in (told(verdict), markdown(verdict), page(verdict), junit([verdict])):
        assert "2 of 12 fell short" in text
        assert "c7, c17" in text


@pytest.mark.parametrize(("inconclusive", "element"), [("failure", "failure"), ("skipped", "skipped")])
def test_an_inconclusive_finding_is_what_the_policy_says(worse: Run, inconclusive: str, element: str) -> None:
    open_one = msgspec.structs.replace(worse.verdict.gates[0].findings[0], decision="INCONCLUSIVE")
    gate = msgspec.structs.replace(worse.verdict.gates[0], findings=(open_one,), decision="INCONCLUSIVE")
    root = parsed(junit([msgspec.structs.replace(worse.verdict, gates=(gate,))], inconclusive))
    (case,) = root.iter("testcase")
    assert [child.tag for child in case] == [element]


@pytest.mark.parametrize("width", [60, 80, 120, 200])
def test_a_terminal_s_lines_fit_and_say_the_same(worse: Run, width: int) -> None:
    narrow, wide = told(worse.verdict, width), told(worse.verdict)
    assert max(map(len, narrow.splitlines())) <= width
    words = [set(re.sub("[,:]", " ", text).split()) for text in (narrow, wide)]
    assert words[0] >= words[1] - {"decision", "gate", "–"}


def test_the_totals_are_on_the_root_as_well(worse: Run) -> None:
    root = parsed(junit([worse.verdict, worse.verdict]))
    suites = root.findall("testsuite")
    for name in ("tests", "failures", "errors", "skipped"):
        assert int(root.get(name)) == sum(int(suite.get(name)) for suite in suites)
    assert int(root.get("tests")) == len(list(root.iter("testcase")))
    assert int(root.get("failures")) == len(list(root.iter("failure"))) > 0
    assert {node.get("time") for node in (root, *suites, *root.iter("testcase"))} == {"0.000"}


def test_junit_says_how_long_a_run_took_and_its_findings_add_up_to_it(worse: Run) -> None:
    assert worse.seconds > 0.0
    root = parsed(junit([worse.verdict, worse.verdict], seconds=[30.0, 12.5]))
    assert root.get("time") == "42.500"
    for suite, took in zip(root.findall("testsuite"), (30.0, 12.5), strict=True):
        assert float(suite.get("time")) == took
        times = {case.get("name"): float(case.get("time")) for case in suite.iter("testcase")}
        assert sum(times.values()) == pytest.approx(took, abs=0.01)
        # The critical cases are few of all: so is their part.
        (critical,) = (time for name, time in times.items() if "critical" in name)
        assert 0.0 < critical < max(times.values())


def test_where_no_gate_decides_junit_is_not_green(worse: Run) -> None:
    advisory = tuple(msgspec.structs.replace(gate, advisory=True) for gate in worse.verdict.gates)
    nowhere = msgspec.structs.replace(worse.verdict.gates[0], findings=(), decision="INCONCLUSIVE")
    for gates in ((), advisory, (nowhere,)):
        verdict = msgspec.structs.replace(worse.verdict, gates=gates, decision="INCONCLUSIVE")
        root = parsed(junit([verdict], "skipped"))
        assert (root.get("failures"), root.find("testsuite").get("failures")) == ("1", "1")


def test_a_gate_without_cases_is_in_every_format(worse: Run) -> None:
    nowhere = Gate(metric="token_f1", ask=AtLeast(0.1), by=("segments.plan",), where={"segments.plan": ("c",)})
    (result,) = decide([nowhere], worse.candidate, None)
    assert (result.decision, result.lacking) == ("INCONCLUSIVE", True)
    verdict = msgspec.structs.replace(worse.verdict, gates=(result,), decision="INCONCLUSIVE")
    for text in (told(verdict), markdown(verdict), page(verdict), junit([verdict])):
        assert result.gate in text
        assert "no case is in it" in text


@given(st.text(max_size=80), st.text(max_size=80))
def test_a_word_diff_holds_both_texts(before: str, after: str) -> None:
    pieces = word_diff(before, after)
    assert "".join(piece.text for piece in pieces if piece.side != "after") == before
    assert "".join(piece.text for piece in pieces if piece.side != "before") == after
    assert all(line[:2] in ("  ", "- ", "+ ") for line in diff_lines(before, after).split("\n") if line)


def test_a_long_text_is_cut_and_says_by_how_much() -> None:
    assert cut("x" * 2_001) == "x" * 2_000 + "… (1 characters more)"
    assert cut("x" * 2_000) == "x" * 2_000
