"""The pages and the JSON of verdicts: the list, its filter and counts, one verdict, and what is refused."""

from __future__ import annotations

import re
from datetime import timedelta

import msgspec
import pytest
from starlette.testclient import TestClient

from evalsvc.store import MemoryStore
from evalsvc.testing import ManualClock
from evalsvc.testing.verdict_logs import NOON, make_full_verdict, make_verdict
from evalsvc.verdicts import Verdict
from evalsvc.verdicts.page import page
from evalsvc.web.app import create_app
from evalsvc.web.verdicts_page import MOST_ROWS

LATER = NOON + timedelta(hours=30)


@pytest.fixture
def store():
    """A store with three verdicts of two suites, decided half an hour apart."""
    made = MemoryStore()
    for number, (suite, decision) in enumerate((("support", "FAIL"), ("billing", "PASS"), ("support", "PASS"))):
        made.verdicts.record_verdict(make_verdict(f"v{number}", 30 * number, suite=suite, decision=decision), {})
    return made


@pytest.fixture
def client(store):
    return TestClient(create_app(store, clock=ManualClock(LATER)))


def shown(html):
    return re.findall(r'href="/verdicts/([^"]+)"', html)


def test_the_list_is_newest_first_with_counts(client):
    answer = client.get("/verdicts")
    assert answer.status_code == 200
    assert shown(answer.text) == ["v2", "v1", "v0"]
    counts = re.findall(r"(PASS|FAIL|INCONCLUSIVE)</span> (\d+)", answer.text)
    assert counts == [("PASS", "2"), ("FAIL", "1"), ("INCONCLUSIVE", "0")]
    assert "<script" not in answer.text
    assert answer.headers["content-security-policy"].startswith("default-src 'none'")


def test_a_suite_is_chosen(client):
    html = client.get("/verdicts?suite=support").text
    assert shown(html) == ["v2", "v0"]
    assert re.findall(r'href="/verdicts\?suite=([^"]+)"( aria-current=page)?', html) == [
        ("billing", ""),
        ("support", " aria-current=page"),
    ]
    assert re.findall(r"(PASS|FAIL)</span> (\d+)", html) == [("PASS", "1"), ("FAIL", "1")]
    assert "No verdict of <bdi>other</bdi> is recorded" in client.get("/verdicts?suite=other").text


def test_the_overview_tells_the_last_and_leads_there(client):
    html = client.get("/").text
    assert "Last gate: <span class='tag PASS'>PASS</span> <a href=\"/verdicts/v2\">" in html
    assert '<a href="/verdicts">All verdicts</a>' in html
    empty = TestClient(create_app(MemoryStore())).get("/").text
    assert "No gate's verdict is recorded" in empty


def test_one_verdict_is_the_page_that_a_ci_keeps(store, client):
    html = client.get("/verdicts/v0").text
    alone = page(store.verdicts.verdict("v0"))
    assert "<nav" not in alone
    assert (
        html.partition("<h2>Gates")[2].partition("<h2>The same as JSON")[0]
        == (alone.partition("<h2>Gates")[2].partition("</body>")[0])
    )
    links = re.findall(r'href="(/[^"]*)"', html)
    assert links == ["/", "/alerts", "/verdicts", "/v1/verdicts/v0"]
    assert [client.get(link).status_code for link in links] == [200] * 4


def test_json_of_the_list_and_of_one(store, client):
    rows = client.get("/v1/verdicts").json()["verdicts"]
    assert [row["verdict_id"] for row in rows] == ["v2", "v1", "v0"]
    assert rows[2] == {
        "verdict_id": "v0",
        "suite": "support",
        "decision": "FAIL",
        "candidate": "bot 2",
        "baseline": None,
        "decided_at": "2026-05-04T12:00:00Z",
        "why": "1 of 1 gates failed: rouge_l.",
        "gates": [{"gate": "rouge_l", "decision": "FAIL", "advisory": False}],
    }
    assert [row["verdict_id"] for row in client.get("/v1/verdicts?suite=support&limit=1").json()["verdicts"]] == ["v2"]
    some = client.get("/v1/verdicts?since=2026-05-04T12:30:00Z&until=2026-05-04T13:00:00Z").json()["verdicts"]
    assert [row["verdict_id"] for row in some] == ["v1"]
    assert msgspec.json.decode(client.get("/v1/verdicts/v1").content, type=Verdict) == store.verdicts.verdict("v1")


@pytest.mark.parametrize(
    ("path", "code", "said"),
    [
        ("/v1/verdicts?limit=0", 400, "Expected `limit` from 1 to 1000"),
        ("/v1/verdicts?limit=x", 400, "got 'x'"),
        ("/v1/verdicts?suit=a", 400, "Expected no parameter but limit, since, suite, until, but got suit"),
        ("/v1/verdicts?since=soon", 400, "soon"),
        ("/v1/verdicts/none", 404, "evalsvc gate --record"),
        ("/verdicts/none", 404, "evalsvc gate --record"),
        ("/verdicts?since=7d", 400, "Expected no parameter but suite"),
    ],
)
def test_what_cannot_be_answered(client, path, code, said):
    answer = client.get(path)
    assert answer.status_code == code
    assert said in answer.text


def test_texts_of_others_are_texts(store, client):
    store.verdicts.record_verdict(
        make_verdict("bad", 60, suite="<script>x</script>\u202e", notes=("<img src=x>",), cases="<b>"), {}
    )
    store.verdicts.record_verdict(make_full_verdict(), {})
    for path in ("/", "/verdicts", "/verdicts/bad", "/verdicts/full"):
        html = client.get(path).text
        assert not re.search(r"<script|<img|<b>", html), path
    assert "&lt;script&gt;" in client.get("/verdicts/bad").text


def test_a_long_list_is_cut_and_says_so(client, store):
    for number in range(MOST_ROWS):
        store.verdicts.record_verdict(make_verdict(f"m{number}", 120, decision="PASS"), {})
    html = client.get("/verdicts").text
    assert len(shown(html)) == MOST_ROWS
    assert f"of the last {MOST_ROWS}" in html


def test_a_store_that_remembers_none_says_so():
    class Plain:
        """A store without a log of verdicts, as far as these pages are concerned."""

    client = TestClient(create_app(Plain(), clock=ManualClock(LATER)))
    for path in ("/verdicts", "/v1/verdicts", "/v1/verdicts/v0"):
        answer = client.get(path)
        assert (answer.status_code, "remembers no verdicts" in answer.text) == (500, True)
