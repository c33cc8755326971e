"""The pages of alerts and their JSON: what they show and refuse, and what hostile labels and texts do: nothing."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from contextlib import closing
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from msgspec.structs import replace
from starlette.testclient import TestClient

from evalsvc.errors import StoreUnavailable
from evalsvc.rules.history import Acknowledgement, Look, Matcher, Receipt, Silence
from evalsvc.rules.judging_kinds import Counted, judge_absence
from evalsvc.rules.machine import AlertState, Example
from evalsvc.rules.values import Absence, Rule, RuleGroup, Threshold
from evalsvc.store import MemoryStore, open_store
from evalsvc.testing import ManualClock, make_sample
from evalsvc.types import Event, KeptEvent, Window, WriteBatch
from evalsvc.web.app import create_app
from tests.unit.test_web_page import Outline
from tests.watched_alerts import NOON, alert, fill, labels_of

HOSTILE = "<script>alert('x')</script>\"'&amp;\u202e\x1b[2J<img src=x onerror=y>"
POLICY = "default-src 'none'; style-src 'unsafe-inline'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"


@pytest.fixture
def store() -> MemoryStore:
    return MemoryStore()


@pytest.fixture
def alerts(store: MemoryStore) -> dict[str, AlertState]:
    return fill(store.alerts, NOON)


def ask(store: Any, path: str, code: int = 200, later: timedelta = timedelta()) -> str:
    client = TestClient(create_app(store, clock=ManualClock(NOON + later)), raise_server_exceptions=False)
    answer = client.get(path)
    assert answer.status_code == code, answer.text
    assert answer.headers["content-security-policy"] == POLICY
    assert answer.headers["cache-control"] == "no-store"
    return answer.text


def got(store: Any, path: str, code: int = 200) -> dict[str, Any]:
    client = TestClient(create_app(store, clock=ManualClock(NOON)), raise_server_exceptions=False)
    answer = client.get(path)
    assert answer.status_code == code, answer.text
    found: dict[str, Any] = answer.json()
    return found


def links(html: str) -> list[str]:
    return [value or "" for name, value in Outline(html).attributes if name == "href"]


def silence(*matchers: Matcher, **fields: Any) -> Silence:
    known = {"id": "1b7d09c4", "author": "ada", "reason": "deploy", "starts_at": NOON, "recorded_at": NOON}
    return Silence(matchers=matchers, ends_at=NOON + timedelta(hours=2), **{**known, **fields})


def test_the_list_has_what_fires_then_what_is_pending_then_what_was_resolved(
    store: MemoryStore, alerts: dict[str, AlertState]
) -> None:
    html = ask(store, "/alerts")
    named = [f"/alerts/{alerts[name].fingerprint}" for name in ("RefusalsRose", "JudgeSlow", "LatencyRose", "CostRose")]
    assert [link for link in links(html) if link.startswith("/alerts/")] == named
    text = "".join(Outline(html).text)
    assert text.index("Firing 2") < text.index("Pending 1") < text.index("Resolved in the last 7 days 1")
    assert "2 alerts are firing" in text
    assert "This page only shows, since it knows no login." in text
    [first] = [row for row in Outline(html).rows if "RefusalsRose" in row[0]]
    assert first[2:5] == ["0.31", "0.27 … 0.35at 99.998%", "0.08 (0.07 … 0.09)"]
    assert "Last look: the store does not answer" in text
    assert "Quiet" not in text


def test_who_has_it_and_what_is_silenced_is_told(store: MemoryStore, alerts: dict[str, AlertState]) -> None:
    state = alerts["RefusalsRose"]
    store.alerts.acknowledge(
        Acknowledgement(
            fingerprint=state.fingerprint, episode=state.pending_at or NOON, author="ada", note="rolling back", at=NOON
        )
    )
    store.alerts.record_silence(silence(Matcher("alertname", "Judge.*", True)))
    text = "".join(Outline(ask(store, "/alerts")).text)
    assert "Acknowledged by ada: rolling back" in text
    assert "Silenced until 15 March 2026, 14:00 UTC" in text
    assert "alertname=~Judge.*" in text
    assert "Silences that cover it" in ask(store, f"/alerts/{alerts['JudgeSlow'].fingerprint}")
    assert "Silenced until" not in ask(store, "/alerts", later=timedelta(hours=3))


def test_a_dead_ruler_shows(store: MemoryStore, alerts: dict[str, AlertState]) -> None:
    for path in ("/", "/alerts"):
        assert "is the ruler running?" not in ask(store, path, later=timedelta(minutes=14))
        assert "▲ last look 16m ago: is the ruler running?" in ask(store, path, later=timedelta(minutes=15, seconds=1))


def test_rules_that_are_looked_at_rarely_are_waited_for(store: MemoryStore, alerts: dict[str, AlertState]) -> None:
    hourly = RuleGroup(name="h", path="", interval_seconds=3600.0, delay_seconds=0.0, catch_up_seconds=0.0, rules=())
    for minutes, late in ((119, False), (120, True)):
        clock = ManualClock(NOON + timedelta(minutes=minutes))
        html = TestClient(create_app(store, clock=clock, rules=[hourly])).get("/alerts").text
        assert ("is the ruler running?" in html) == late


def test_the_overview_says_how_many_fire_with_the_link(store: MemoryStore, alerts: dict[str, AlertState]) -> None:
    assert "No alert rule was looked at yet" in ask(MemoryStore(), "/")
    html = ask(store, "/")
    assert "▲ 2 alerts are firing" in html
    assert "/alerts" in links(html)


def test_one_alert_has_its_words_numbers_history_and_examples(
    store: MemoryStore, alerts: dict[str, AlertState]
) -> None:
    sample = make_sample("event-1", prompt="Cancel my order?", response="I can't help with that.")
    store.write(WriteBatch(events=(KeptEvent(sample, "digest"),)))
    html = ask(store, f"/alerts/{alerts['RefusalsRose'].fingerprint}")
    text = "".join(Outline(html).text)
    assert "Refusals of RefusalsRose rose from 0.08 to 0.31." in text
    rows = {row[0]: row[1:] for row in Outline(html).rows if row}
    assert rows["event-1"] == ["1", "askedCancel my order?answeredI can't help with that."]
    assert rows["event-2"] == ["1", "this event is not kept any more"]
    assert rows["pending → firing"][1] == (
        "▲ mail: refused 15 March 2026, 11:18 UTC, 3 attempts550 no such user"
        "pager: delivered 15 March 2026, 11:18 UTC202 Accepted"
    )
    assert rows["Held against14 March 2026, 10:18 to 11:18 UTC"][:2] == ["0.08", "0.07 … 0.09at 99.998%"]
    assert "language=de" in text
    assert f"evalsvc alerts ack {alerts['RefusalsRose'].fingerprint}" in text
    assert f"evalsvc alerts close {alerts['RefusalsRose'].fingerprint} --reason TEXT" in text
    assert links(html) == [
        "/",
        "/alerts",
        "/verdicts",
        "https://runbooks.example/refusals",
        f"/v1/alerts/{alerts['RefusalsRose'].fingerprint}",
    ]
    assert ask(store, f"/alerts/{alerts['RefusalsRose'].fingerprint[:6]}") == html


@pytest.mark.parametrize("phase", ["LatencyRose", "CostRose", "Quiet", "JudgeSlow"])
def test_every_phase_has_a_page(store: MemoryStore, alerts: dict[str, AlertState], phase: str) -> None:
    html = ask(store, f"/alerts/{alerts[phase].fingerprint}")
    assert phase in "".join(Outline(html).text)


def test_digits_of_two_alerts_ask_for_more(store: MemoryStore) -> None:
    for last in "ab":
        store.alerts.record_looks([Look(AlertState(fingerprint=f"dbb801234567890{last}", labels={"alertname": "A"}))])
    html = ask(store, "/alerts/dbb8", 400)
    assert "2 begin with dbb8: dbb801234567890a (A), dbb801234567890b (A); give more digits" in html


def test_where_nothing_was_measured_no_number_is_shown(store: MemoryStore) -> None:
    window = Window(NOON - timedelta(hours=1), NOON)
    for name, counted in (("Gone", 0), ("Few", 12)):
        seen = judge_absence(Absence("events"), window, Counted(counted, 900, counted))
        store.alerts.record_looks(alert(NOON, "firing", labels_of(name), evidence=seen, fired_on=seen)[1])
    cells = {
        name: re.findall(r'data-label="(?:Estimate|Interval)">(.*?)</td>', row)
        for row in ask(store, "/alerts").split("<tr")
        for name in ("Gone", "Few")
        if name in row
    }
    assert cells == {
        "Gone": ["<span class=value>–</span>", "–"],
        "Few": ["<span class=value>12</span>", "counted"],
    }
    (gone,) = (state for state in store.alerts.alert_states() if state.rule == "Gone")
    assert "<h2>Estimate</h2>" not in ask(store, f"/alerts/{gone.fingerprint}")


def test_an_alert_that_goes_on_without_data_says_since_when(store: MemoryStore) -> None:
    state, looks = alert(NOON, "firing", labels_of("A"), trouble="no score in the window")
    store.alerts.record_looks(looks)
    for path in ("/alerts", f"/alerts/{state.fingerprint}"):
        said = "".join(Outline(ask(store, path)).text)
        assert "Still firing, no data since 2026-03-15 11:30 UTC. Last look: no score in the window" in said


def test_an_alert_of_which_nothing_was_seen_has_a_page(store: MemoryStore) -> None:
    store.alerts.record_looks([Look(AlertState(fingerprint="0" * 16, labels={}, trouble="no data"))])
    assert "Last look: no data" in ask(store, f"/alerts/{'0' * 16}").replace("<bdi>", "").replace("</bdi>", "")
    ask(store, "/alerts")


@pytest.mark.parametrize(
    ("runbook", "leads"),
    [
        ("https://example.com/a?b=c&d=\"'<", True),
        ("http://example.com", True),
        ("docs/runbooks/refusals.md", False),
        ("javascript:alert(1)", False),
        ("JavaScript:alert(1)", False),
        ("\x01javascript:alert(1)", False),
        ("java\nscript:alert(1)", False),
        ("data:text/html,<script>alert(1)</script>", False),
        ("//example.com", False),
        ("https:example.com", False),
        ("http://[", False),
        ("ht\ntps://example.com", False),
    ],
)
def test_a_runbook_is_a_link_only_to_the_web(store: MemoryStore, runbook: str, leads: bool) -> None:
    _, looks = alert(NOON, "firing", labels_of("A"))
    looks[-1] = looks[-1]._replace(transition=replace(looks[-1].transition, runbook=runbook))
    store.alerts.record_looks(looks)
    html = ask(store, f"/alerts/{looks[-1].state.fingerprint}")
    own = ("/", "/alerts", "/verdicts", f"/v1/alerts/{looks[-1].state.fingerprint}")
    assert [link for link in links(html) if link not in own] == ([runbook] if leads else [])
    assert Outline(html).tags["script"] == 0
    assert "What to do: " in html


def test_hostile_labels_notes_and_texts_stay_text(store: MemoryStore) -> None:
    state, looks = alert(NOON, "firing", labels_of(HOSTILE, HOSTILE, language=HOSTILE), trouble=HOSTILE)
    last = looks[-1]
    told = replace(
        last.transition, description=HOSTILE, reason=HOSTILE, runbook=HOSTILE, examples=(Example(HOSTILE, 1.0),)
    )
    store.alerts.record_looks([*looks[:-1], last._replace(transition=told)])
    store.alerts.acknowledge(
        Acknowledgement(
            fingerprint=state.fingerprint, episode=state.pending_at or NOON, author=HOSTILE, note=HOSTILE, at=NOON
        )
    )
    store.alerts.record_silence(silence(Matcher("language", HOSTILE), id=HOSTILE, author=HOSTILE, reason=HOSTILE))
    store.alerts.record_receipts(
        [Receipt(transition=told.id, receiver=HOSTILE, outcome="refused", at=NOON, detail=HOSTILE)]
    )
    store.write(WriteBatch(events=(KeptEvent(make_sample(HOSTILE, prompt=HOSTILE, response=HOSTILE), "d"),)))
    for path in ("/", "/alerts", f"/alerts/{state.fingerprint}"):
        html = ask(store, path)
        outline = Outline(html)
        assert outline.tags["script"] == outline.tags["img"] == 0
        assert not [name for name, _ in outline.attributes if name.startswith("on")]
        assert not {"\u202e", "\x1b"} & set(html)
    assert "<script>alert('x')</script>" in "".join(Outline(ask(store, f"/alerts/{state.fingerprint}")).text)
    found = got(store, f"/v1/alerts/{state.fingerprint}")
    assert found["labels"]["language"] == HOSTILE


def test_a_long_list_and_long_texts_are_cut(store: MemoryStore) -> None:
    store.alerts.record_looks([look for i in range(230) for look in alert(NOON, "firing", labels_of(f"A{i}"))[1][-1:]])
    html = ask(store, "/alerts")
    assert len([link for link in links(html) if link.startswith("/alerts/")]) == 200
    assert "and 30 more" in html
    store.write(WriteBatch(events=(KeptEvent(make_sample("event-1", response="x" * 100_000), "d"),)))
    state, looks = alert(NOON, "firing", labels_of("Long", language="y" * 10_000))
    store.alerts.record_looks(looks)
    assert len(ask(store, f"/alerts/{state.fingerprint}")) < 20_000


def test_json_has_the_same(store: MemoryStore, alerts: dict[str, AlertState]) -> None:
    store.alerts.record_silence(silence(Matcher("alertname", "JudgeSlow")))
    found = got(store, "/v1/alerts")
    assert [row["alert"] for row in found["alerts"]] == ["RefusalsRose", "JudgeSlow", "LatencyRose", "CostRose"]
    assert found["last_look"] == "2026-03-15T11:59:00Z"
    assert found["alerts"][0]["estimate"]["low"] == 0.27
    assert found["alerts"][1]["silences"] == ["1b7d09c4"]
    assert found["silences"][0]["matchers"] == ["alertname=JudgeSlow"]
    assert [row["alert"] for row in got(store, "/v1/alerts?phase=inactive")["alerts"]] == ["Quiet"]
    one = got(store, f"/v1/alerts/{alerts['CostRose'].fingerprint}")
    assert [move["after"] for move in one["history"]] == ["resolved", "firing", "pending"]
    assert one["history"][0]["receipts"] == []


def test_what_was_resolved_long_ago_is_not_listed(store: MemoryStore) -> None:
    _, looks = alert(NOON, "resolved", labels_of("Old"), 8 * 24 * 60)
    store.alerts.record_looks(looks)
    assert got(store, "/v1/alerts")["alerts"] == []
    assert len(got(store, "/v1/alerts?phase=resolved")["alerts"]) == 1
    assert "Old" not in ask(store, "/alerts")


@pytest.mark.parametrize(
    ("path", "code", "said"),
    [
        ("/alerts/0123456789abcdef", 404, "fingerprint is 0123456789abcdef: it may be of a trial"),
        ("/v1/alerts/0123456789abcdef", 404, "fingerprint is 0123456789abcdef: it may be of a trial"),
        ("/alerts/abc", 400, "Expected a fingerprint of 16 digits"),
        ("/alerts/dbb8", 404, "fingerprint begins with dbb8"),
        ("/v1/alerts/%3Cscript%3E", 400, "Expected a fingerprint of 16 digits"),
        ("/v1/alerts?phase=fring", 400, "Expected `phase` to be one of firing, pending, resolved, inactive"),
        ("/v1/alerts?severity=page", 400, "Expected no parameter but `phase`, but got severity"),
    ],
)
def test_what_is_asked_wrongly_is_refused_with_its_reason(
    store: MemoryStore, alerts: dict[str, AlertState], path: str, code: int, said: str
) -> None:
    answer = ask(store, path, code)
    assert said in answer
    assert "<script>" not in answer or path.startswith("/v1/")
    if not path.startswith("/v1/"):
        assert links(answer) == ["/", "/alerts", "/verdicts"]


class _Down(MemoryStore):
    """A store that does not answer about alerts, or about events."""

    def __init__(self, *, texts_only: bool) -> None:
        super().__init__()
        self.texts_only, self.down = texts_only, False

    @property
    def alerts(self) -> Any:
        if self.down and not self.texts_only:
            raise StoreUnavailable("the store does not answer")
        return super().alerts

    def events(self, event_ids: Sequence[str]) -> Mapping[str, Event]:
        raise StoreUnavailable("the store does not answer")


def test_an_outage_is_a_page_that_says_so() -> None:
    store = _Down(texts_only=False)
    name = fill(store.alerts, NOON)["RefusalsRose"].fingerprint
    store.down = True
    for path in ("/alerts", f"/alerts/{name}", "/v1/alerts", f"/v1/alerts/{name}"):
        assert "the store does not answer" in ask(store, path, 503)


def test_without_texts_the_page_is_shown_all_the_same() -> None:
    store = _Down(texts_only=True)
    name = fill(store.alerts, NOON)["RefusalsRose"].fingerprint
    assert "event-1" in ask(store, f"/alerts/{name}")


def test_nothing_can_be_changed(store: MemoryStore, alerts: dict[str, AlertState]) -> None:
    client = TestClient(create_app(store, clock=ManualClock(NOON)))
    for path in ("/alerts", f"/alerts/{alerts['Quiet'].fingerprint}", "/v1/alerts"):
        for method in ("POST", "PUT", "DELETE", "PATCH"):
            assert client.request(method, path).status_code == 405


def test_a_rules_limit_is_what_a_value_is_held_against(store: MemoryStore) -> None:
    state, looks = alert(NOON, "firing", labels_of("Held"))
    assert state.evidence is not None
    bare = replace(state, evidence=replace(state.evidence, baseline=None))
    store.alerts.record_looks([looks[-1]._replace(state=bare)])
    rule = Rule(alert="Held", metric="refusal", condition=Threshold("above", 0.1234, 0.1), window_seconds=3600.0)
    group = RuleGroup(
        name="own", path="", interval_seconds=60.0, delay_seconds=0.0, catch_up_seconds=0.0, rules=(rule,)
    )
    client = TestClient(create_app(store, clock=ManualClock(NOON), rules=[group]))
    [row] = [row for row in Outline(client.get("/alerts").text).rows if "Held" in row[0] and row[1] != "Since"]
    assert row[4] == "0.1234"
    assert "held against 0.1234" in client.get(f"/alerts/{state.fingerprint}").text
    assert client.get("/v1/alerts").json()["alerts"][0]["limit"] == 0.1234
    assert got(store, "/v1/alerts")["alerts"][0]["limit"] is None


def test_a_store_without_alerts_says_so() -> None:
    assert "This store remembers no alerts" in ask(object(), "/alerts", 500)
    assert "This store remembers no alerts" in ask(object(), "/v1/alerts", 500)


def test_the_embedded_store_gives_the_same_pages(
    store: MemoryStore, alerts: dict[str, AlertState], tmp_path: Path
) -> None:
    sample = make_sample("event-1", prompt="Cancel my order?", response="I can't help with that.")
    with closing(open_store(f"embedded:{tmp_path / 'store'}", create=True)) as embedded:
        fill(embedded.alerts, NOON)
        for one in (store, embedded):
            one.alerts.record_silence(silence(Matcher("alertname", "Judge.*", True)))
            one.write(WriteBatch(events=(KeptEvent(sample, "digest"),)))
        for path in ("/alerts", *(f"/alerts/{state.fingerprint}" for state in alerts.values())):
            assert ask(embedded, path) == ask(store, path)
            assert got(embedded, f"/v1{path}") == got(store, f"/v1{path}")
