"""Audits beside production: weighted shares, what the set lacks, what to label next, and drift since the set's day."""

from __future__ import annotations

import itertools
import json
from collections.abc import Iterator
from datetime import UTC, date, datetime, timedelta
from pathlib import Path

import numpy as np
import pytest
from scipy.stats import binomtest

from evalsvc.cases import Case, CaseSet, read_cases, write_cases
from evalsvc.cli import main
from evalsvc.errors import InputError
from evalsvc.set_audit import Finding, audit
from evalsvc.set_audit.contents import look_at
from evalsvc.set_audit.freshness import freshness_findings
from evalsvc.set_audit.selection import NEAR, _vectors, select
from evalsvc.set_audit.traffic import draw_traffic, rare_contents, share_of, traffic_findings
from evalsvc.store.memory import MemoryStore
from evalsvc.types import Event, KeptEvent, Sample, Scale, Score, ScorerSpec, Subject, Window, WriteBatch

NOW = datetime(2026, 3, 29, tzinfo=UTC)
DAY = Window(NOW, NOW + timedelta(days=1))


def case(name: object, plan: str = "", prompt: str = "", **fields: object) -> Case:
    segments = {"plan": plan} if plan else {}
    return Case(case_id=str(name), prompt=prompt or f"question number {name} please", segments=segments, **fields)


def compared(cases: list[Case], traffic: list[Case]) -> list[Finding]:
    return traffic_findings(cases, traffic, look_at(cases), look_at(traffic))


def test_of_too_much_traffic_no_stratum_is_left_out(monkeypatch: pytest.MonkeyPatch) -> None:
    """A file of `cases draw --by` has one stratum after another."""
    monkeypatch.setattr("evalsvc.set_audit.selection.MOST_TRAFFIC", 400)
    cases = [case("own", prompt="where is the invoice of last month")]
    asked = [case(i, "a", "where is the invoice of last month") for i in range(400)]
    asked += [case(f"z{i}", "z", "refund my flight to Lisbon", weight=3.0) for i in range(100)]
    found = select(cases, asked, 5)
    assert found.finding.value == pytest.approx(400 / 700, abs=0.06)
    assert [pick.segments for pick in found.picks] == ["plan=z"]
    assert select(cases, asked[::-1], 5) == found


def test_shares_are_weighted_and_their_interval_is_wilsons_at_the_sessions() -> None:
    traffic = [case(i, weight=3.0 if i < 10 else 1.0, group=f"s{i // 2}") for i in range(40)]
    has = [i < 10 for i in range(40)]
    found = share_of(traffic, has)
    assert found.value == pytest.approx(30 / 60)
    sessions = np.array([6.0] * 5 + [2.0] * 15)
    n = sessions.sum() ** 2 / (sessions**2).sum()
    # At a whole effective number, against another implementation.
    assert n == pytest.approx(15.0)
    alone = share_of([case(i) for i in range(15)], [i < 6 for i in range(15)])
    expected = binomtest(6, 15).proportion_ci(method="wilson")
    assert (alone.low, alone.high) == pytest.approx((expected.low, expected.high))
    wide = binomtest(75, 150).proportion_ci(method="wilson")
    assert found.low < wide.low < wide.high < found.high


def test_what_the_traffic_has_and_the_set_lacks_is_named_with_how_many_to_add() -> None:
    cases = [case(i, "free" if i < 98 else "pro") for i in range(100)]
    traffic = [
        case(i, ("free", "pro", "team", "rare")[0 if i < 500 else 1 if i < 800 else 2 if i < 999 else 3])
        for i in range(1000)
    ]
    found = {finding.what: finding for finding in compared(cases, traffic)}
    assert found["segments.plan"].verdict == "bad"
    assert found["segments.plan"].value == pytest.approx(2 / 3)
    assert "total variation distance 0.48" in found["segments.plan"].said
    assert found["segments.plan=team"].verdict == "bad"
    assert found["segments.plan=pro"].verdict == "look"
    assert "segments.plan=rare" not in found
    assert "segments.plan=free" not in found
    added = int(found["segments.plan=team"].next.split()[1])
    assert (0 + added) / (100 + added) == pytest.approx(0.199, abs=0.01)


def test_weights_decide_what_is_missing() -> None:
    """Drawn half of one plan and half of another, which is one in a thousand of the traffic."""
    cases = [case(i, "free") for i in range(50)]
    rare = [case(i, "free", weight=1.998) if i % 2 else case(i, "team", weight=0.002) for i in range(2000)]
    assert [finding.what for finding in compared(cases, rare) if finding.verdict != "ok"] == []
    even = [case(i, "free" if i % 2 else "team") for i in range(2000)]
    assert "segments.plan=team" in [finding.what for finding in compared(cases, even)]


def test_edge_cases_that_production_hardly_has_need_not_be_in_the_set() -> None:
    traffic = [case(i, prompt=f"where is my parcel with number {i}") for i in range(800)]
    rare = rare_contents(traffic, look_at(traffic))
    assert "emoji" in rare
    assert "numbers" not in rare
    cases = (case("a", prompt="where is my order today"),)
    beside = {f.what: f for f in audit([CaseSet("set", cases)], traffic=traffic).findings}
    alone = {f.what: f for f in audit([CaseSet("set", cases)]).findings}
    assert (alone["emoji"].verdict, beside["emoji"].verdict) == ("look", "ok")
    assert (alone["numbers"].verdict, beside["numbers"].verdict) == ("look", "bad")


TOPICS = (
    "the invoice of {} is wrong",
    "parcel {} has not come",
    "please change my address to {} street",
    "reset of password {} fails",
)


def asked(topic: int, number: int) -> Case:
    name = f"{topic}-{number}"
    return case(name, prompt=TOPICS[topic].format(f"{number:05d}"), weight=1.0 + topic)


def test_the_picks_cover_most_of_the_traffic_that_the_set_is_not_near_to() -> None:
    traffic = [asked(topic, number) for topic in range(4) for number in range(10)]
    traffic.append(case("odd", prompt="zzzzq xxxxw vvvvk jjjjh"))
    cases = [asked(3, 99_999)]
    found = select(cases, traffic, 20)
    total = sum(each.weight for each in traffic)
    assert found.finding.value == pytest.approx(40 / total)
    assert [pick.case_id.split("-")[0] for pick in found.picks] == ["2", "1", "0", "odd"]
    assert [pick.gain for pick in found.picks] == pytest.approx([30 / total, 20 / total, 10 / total, 1 / total])
    assert sum(pick.gain for pick in found.picks) + found.finding.value == pytest.approx(1.0)
    assert [pick.case_id for pick in select(cases, traffic, 2).picks] == [pick.case_id for pick in found.picks[:2]]
    assert select(cases, traffic, 0).picks == ()
    assert select(traffic, traffic, 5).picks == ()


def test_greedy_picks_are_within_their_bound_of_the_best_ones() -> None:
    generator = np.random.default_rng(2)
    words = ["".join(generator.choice(list("abcdefgh"), 7)) for _ in range(12)]
    for _ in range(5):
        traffic = [case(i, prompt=" ".join(generator.choice(words, 3, replace=False))) for i in range(14)]
        cases = [case("own", prompt="something else altogether 123")]
        own, theirs = _vectors([c.prompt for c in cases], [c.prompt for c in traffic])
        near = theirs @ theirs.T >= NEAR
        assert (own @ theirs.T < NEAR).all()
        best = max(near[list(chosen)].any(axis=0).mean() for chosen in itertools.combinations(range(14), 3))
        greedy = sum(pick.gain for pick in select(cases, traffic, 3).picks)
        assert (1 - 1 / np.e) * best <= greedy <= best + 1e-9


def write(
    store: MemoryStore,
    index: int,
    at: datetime,
    length: float,
    *,
    pi: float = 1.0,
    text: bool = True,
    of: str = "prompt",
) -> None:
    spec = ScorerSpec(f"{of}_length", 1, Scale(0.0, None, "neither"), needs=(of,))
    event = Event(
        event_id=f"event-{index}",
        occurred_at=at,
        application="app",
        prompt=f"Question {index}?",
        response="Yes.",
        segments={"plan": "pro" if index % 2 else "free"},
    )
    subject = Subject(event.event_id, at, "quality", "app", "m", "1", dict(event.segments), "", "all", 1)
    score = Score(subject, spec.metric, spec.version, spec.signature, pi, "ok", length)
    kept = KeptEvent(Sample(event, "quality", 1, "all", pi, 7, "events/0", index), f"digest-{index}")
    store.write(WriteBatch(events=(kept,) if text else (), scores=(score,)))
    store.record_scorers([spec])


def test_traffic_from_a_store_has_the_weights_of_its_sampling() -> None:
    store = MemoryStore()
    for index in range(60):
        write(store, index, NOW + timedelta(seconds=index), 1.0, pi=0.1 if index % 2 else 1.0, text=index != 7)
    drawn = draw_traffic(store, DAY, {})
    assert (len(drawn.cases), drawn.events, drawn.without_text) == (59, 60, 1)
    share = share_of(drawn.cases, [one.segments["plan"] == "pro" for one in drawn.cases])
    assert share.value == pytest.approx(290 / 320)
    assert len(draw_traffic(store, DAY, {}, most=10).cases) == 10
    assert len(draw_traffic(store, DAY, {"segments.plan": ("pro",)}).cases) == 29
    with pytest.raises(InputError, match="none match"):
        draw_traffic(store, Window(NOW - timedelta(days=9), NOW - timedelta(days=8)), {})


def test_freshness_says_what_moved_since_the_sets_day() -> None:
    store, generator = MemoryStore(), np.random.default_rng(3)
    then = NOW - timedelta(days=60)
    for index in range(400):
        write(store, index, then - timedelta(hours=index % 160, minutes=5), float(generator.normal(50, 5)))
        write(store, 1000 + index, NOW - timedelta(hours=index % 160, minutes=5), float(generator.normal(70, 5)))
    age, moved, *_ = freshness_findings(store, then.date(), NOW)
    assert (age.value, age.verdict) == (60.0, "ok")
    assert (moved.what, moved.verdict) == ("prompt_length, values", "look")
    assert moved.next
    assert freshness_findings(store, date(2025, 1, 1), NOW)[0].verdict == "look"
    assert [f.what for f in freshness_findings(store, (NOW - timedelta(days=3)).date(), NOW)] == ["age"]
    (_, nothing) = freshness_findings(MemoryStore(), then.date(), NOW)
    assert (nothing.value, nothing.verdict) == (None, "look")
    with pytest.raises(InputError, match="future"):
        freshness_findings(store, date(2027, 1, 1), NOW)


@pytest.mark.parametrize(("days", "verdict"), [(180, "ok"), (181, "look")])
def test_a_set_is_old_after_180_days(days: int, verdict: str) -> None:
    age = freshness_findings(MemoryStore(), (NOW - timedelta(days=days)).date(), NOW)[0]
    assert (age.value, age.verdict) == (float(days), verdict)


def test_answers_that_moved_make_no_set_old() -> None:
    store, then = MemoryStore(), NOW - timedelta(days=60)
    for index in range(200):
        for at, length in ((then, 50.0), (NOW, 70.0)):
            write(store, index, at - timedelta(hours=index % 160, minutes=5), length + index % 9, of="response")
    found = freshness_findings(store, then.date(), NOW)
    assert {each.verdict for each in found} == {"ok"}
    assert not [each.what for each in found if each.what.startswith("response")]


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    folder = tmp_path_factory.mktemp("project")
    with pytest.MonkeyPatch.context() as patch:
        patch.delenv("EVALSVC_STORE", raising=False)
        assert main(["init", str(folder)]) == 0
        patch.chdir(folder)
        lines = [
            json.dumps(
                {
                    "event_id": f"e{index}",
                    "occurred_at": "2026-03-01T12:00:00Z",
                    "application": "support",
                    "prompt": f"Where is parcel {index}? Mail ann{index}@example.com.",
                    "response": "On its way.",
                    "segments": {"language": "de" if index % 4 else "en"},
                }
            )
            for index in range(200)
        ]
        (folder / "events.jsonl").write_text("\n".join(lines) + "\n")
        assert main(["replay", "events.jsonl"]) == 0
        write_cases(folder / "cases.jsonl", [case(i, prompt=f"How do I close account {i}?") for i in range(30)])
        yield folder


def test_the_command_compares_with_the_store_and_writes_what_to_label(
    project: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    span = ["--since", "2026-03-01", "--until", "2026-03-02"]
    assert main(["audit-set", "cases.jsonl", "--production", *span, "--picks", "1", "--picks-to", "next.jsonl"]) == 1
    shown = capsys.readouterr().out
    assert "Traffic: 200 cases drawn from 200 events of the store." in shown
    assert "segments.language=de" in shown
    (picked,) = read_cases("next.jsonl").cases
    assert picked.case_id in shown
    assert "@example.com" not in str(picked.prompt)
    command = ["audit-set", "cases.jsonl", "--production", "--where", "segments.language=en", *span]
    assert main([*command, "--format", "json", "--as-of", "2026-03-01"]) == 1
    found = json.loads(capsys.readouterr().out)
    assert found["notes"] == ["Traffic: 50 cases drawn from 50 events of the store."]
    assert "age" in [finding["what"] for finding in found["findings"]]
    assert main(["audit-set", "cases.jsonl", "--production", "next.jsonl"]) == 1
    assert "Traffic: 1 cases of next.jsonl, digest" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (["--picks-to", "x.jsonl"], "`--production` with `--picks-to`"),
        (["--where", "application=x"], "`--where` with `--production`"),
        (["--as-of", "yesterday"], "expected a date"),
        (["--production", "none.jsonl"], "no such file"),
    ],
)
def test_options_that_do_not_go_together(
    project: Path, capsys: pytest.CaptureFixture[str], options: list[str], said: str
) -> None:
    assert main(["audit-set", "cases.jsonl", *options]) == 2
    assert said in capsys.readouterr().err
