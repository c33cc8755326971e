"""``evalsvc alerts`` over the reference store and the embedded one: what it lists, takes and refuses."""

from __future__ import annotations

import csv
import io
import json
import os
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from msgspec.structs import replace

from evalsvc import alerts_view, assemble, project
from evalsvc.cli import main
from evalsvc.project import Environment
from evalsvc.rules.history import Silence
from evalsvc.rules.judging_kinds import Counted, judge_absence
from evalsvc.rules.machine import AlertState
from evalsvc.rules.values import Absence
from evalsvc.rules.wording import moment
from evalsvc.store import MemoryStore
from evalsvc.types import Window
from tests.watched_alerts import alert, fill, labels_of

Ask = Callable[..., str]


@pytest.fixture
def store(
    request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Iterator[assemble.ClickHouseStore | MemoryStore]:
    """A project's store. An embedded one belongs to a process like `evalsvc up`; commands reach it over its bridge."""
    for variable in ("EVALSVC_STORE", "EVALSVC_USER"):
        monkeypatch.delenv(variable, raising=False)
    assert main(["init", str(tmp_path)]) == 0
    monkeypatch.chdir(tmp_path)
    if getattr(request, "param", "memory") == "memory":
        held = MemoryStore()
        monkeypatch.setattr(held, "close", lambda: None)
        monkeypatch.setattr(assemble, "open_project_store", lambda *args, **kwargs: held)
        yield held
        return
    with assemble.project_store(project.load_settings(), Environment.read(os.environ)) as served:
        yield served


BOTH = pytest.mark.parametrize("store", ["memory", "embedded"], indirect=True)


@pytest.fixture
def alerts(store: assemble.ClickHouseStore | MemoryStore) -> dict[str, AlertState]:
    return fill(store.alerts, datetime.now(UTC))


@pytest.fixture
def ask(capsys: pytest.CaptureFixture[str]) -> Ask:
    """`ask(*arguments)` returns what the command prints, on either stream; `code` is what it ends with."""

    def run(*arguments: str, code: int = 0) -> str:
        capsys.readouterr()
        ended = main(["alerts", *arguments])
        said = capsys.readouterr()
        assert ended == code, said
        return said.out + said.err

    return run


def test_what_fires_comes_first_and_the_most_severe_of_it(ask: Ask, alerts: dict[str, AlertState]) -> None:
    header, *rows, looked = ask().splitlines()
    assert [row.split()[0] for row in rows] == ["firing", "firing", "pending"]
    assert [name for row in rows for name in alerts if name in row] == ["RefusalsRose", "JudgeSlow", "LatencyRose"]
    assert "0.31" in rows[0]
    assert "0.27 … 0.35" in rows[0]
    assert "0.08 (0.07 … 0.09)" in rows[0]
    assert "consumer=quality, language=de" in rows[0]
    assert alerts["RefusalsRose"].fingerprint in rows[0]
    assert "the store does not answer" in rows[1]
    assert "acknowledged" not in header
    assert looked.startswith("last look ")


def test_phases_and_labels_choose(ask: Ask, alerts: dict[str, AlertState]) -> None:
    assert "CostRose" in ask("--phase", "resolved")
    assert "CostRose" in ask("list", "--phase", "resolved,inactive")
    every = ask("list", "--all")
    assert all(name in every for name in alerts)
    chosen = ask("--where", "language=de", "list")
    assert "RefusalsRose" in chosen
    assert "JudgeSlow" not in chosen
    assert "JudgeSlow" in ask("--where", "severity=~page|ticket", "--where", "language=")
    assert ask("--where", "language=fr").startswith("no alert of these labels is firing or pending\n")


def test_json_and_csv_are_an_alert_a_line(
    ask: Ask, alerts: dict[str, AlertState], capsys: pytest.CaptureFixture[str]
) -> None:
    capsys.readouterr()
    assert main(["alerts", "--format", "json", "list"]) == 0
    rows = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert [row["alert"] for row in rows] == ["RefusalsRose", "JudgeSlow", "LatencyRose"]
    assert rows[0]["estimate"]["value"] == 0.31
    assert rows[0]["acknowledged"] is None
    assert main(["alerts", "--format", "csv"]) == 0
    table = list(csv.DictReader(io.StringIO(capsys.readouterr().out)))
    assert [row["fingerprint"] for row in table] == [row["fingerprint"] for row in rows]
    assert main(["alerts", "--format", "csv", "--phase", "resolved", "--where", "language=fr"]) == 0
    assert capsys.readouterr().out.strip() == ",".join(table[0])


@BOTH
def test_one_alert_tells_what_moved_and_who_was_told(ask: Ask, alerts: dict[str, AlertState]) -> None:
    state = alerts["RefusalsRose"]
    said = ask("show", state.fingerprint[:6])
    assert "RefusalsRose is firing since " in said
    assert "Refusals of RefusalsRose rose from 0.08 to 0.31." in said
    assert "https://runbooks.example/refusals" in said
    history = said.partition("History, newest first:")[2].splitlines()
    assert [line.split()[3:7] for line in history if "pending → firing" in line] == [
        ["pending", "→", "firing", "mail"],
        ["pending", "→", "firing", "pager"],
    ]
    assert "550 no such user" in said
    whole = json.loads(ask("show", state.fingerprint, "--format", "json"))
    assert [move["after"] for move in whole["history"]] == ["firing", "pending"]
    assert [receipt["receiver"] for receipt in whole["history"][0]["receipts"]] == ["mail", "pager"]


@BOTH
def test_an_acknowledgement_is_of_the_present_episode(
    ask: Ask,
    store: assemble.ClickHouseStore | MemoryStore,
    alerts: dict[str, AlertState],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    state = alerts["RefusalsRose"]
    assert "is looked after by ada\n" in ask("ack", state.fingerprint, "--author", "ada", "--note", "rolling back")
    assert "ada rolling back" in ask()
    assert "Acknowledged by ada" in ask("show", state.fingerprint)
    monkeypatch.setenv("EVALSVC_USER", "bob")
    assert "is looked after by bob; it was ada's" in ask("ack", state.fingerprint)
    assert json.loads(ask("show", state.fingerprint, "--format", "json"))["acknowledged"]["author"] == "bob"
    _, looks = alert(datetime.now(UTC) + timedelta(minutes=2), "firing", dict(state.labels), 0)
    store.alerts.record_looks(looks)
    assert "Acknowledged" not in ask("show", state.fingerprint)
    assert "CostRose is resolved since " in ask("ack", alerts["CostRose"].fingerprint, code=2)


@BOTH
def test_a_silence_covers_is_listed_and_ends(
    ask: Ask, store: assemble.ClickHouseStore | MemoryStore, alerts: dict[str, AlertState]
) -> None:
    said = ask("silence", "language=~de|fr", "severity=page", "--for", "2h", "--reason", "deploy", "--author", "ada")
    [kept] = store.alerts.silences()
    assert said.startswith(f"silence {kept.id} of language=~de|fr severity=page until ")
    assert said.endswith(": 1 alert, of which 1 firing or pending\n")
    assert (kept.author, kept.reason, kept.ends_at - kept.starts_at) == ("ada", "deploy", timedelta(hours=2))
    assert f"{kept.ends_at:%Y-%m-%d %H:%M} UTC" in ask("--where", "language=de")
    assert f"Silence {kept.id} of language=~de|fr severity=page" in ask("show", alerts["RefusalsRose"].fingerprint)
    assert ask("silences").splitlines()[1].split()[:3] == [kept.id, "language=~de|fr", "severity=page"]
    [listed] = [json.loads(line) for line in ask("silences", "--format", "json").splitlines()]
    assert listed["matchers"] == ["language=~de|fr", "severity=page"]
    assert "is over; what still fires is told now" in ask("unsilence", kept.id)
    assert store.alerts.silences(active_at=datetime.now(UTC)) == []
    assert ask("silences") == "no silence is in force\n"
    assert "(over)" in ask("silences", "--all")
    assert "there is nothing to end" in ask("unsilence", kept.id, code=2)


@BOTH
def test_who_closes_an_alert_says_so_of_its_episode(
    ask: Ask, alerts: dict[str, AlertState], store: assemble.ClickHouseStore | MemoryStore
) -> None:
    state = alerts["RefusalsRose"]
    said = ask("close", state.fingerprint[:8], "--reason", "v2 is\ngone", "--author", "ada")
    assert f"RefusalsRose ({state.fingerprint}) is over at the ruler's next look, and who was told of it is" in said
    assert "Where its numbers are still bad it fires anew" in said
    by = store.alerts.acknowledgements([state.fingerprint])[state.fingerprint]
    assert (by.episode, by.author, by.note, by.closes) == (state.pending_at, "ada", "v2 is gone", True)
    assert "Closed by ada" in ask("show", state.fingerprint)
    assert "ada closed it: v2 is gone" in ask()
    assert "RefusalsRose was closed by ada" in ask("ack", state.fingerprint, "--author", "bob", code=2)
    assert "ada had closed it before: v2 is gone" in ask("close", state.fingerprint, "--reason", "again")
    assert "nobody was told of it" in ask("close", alerts["LatencyRose"].fingerprint, "--reason", "x")


def test_who_closes_is_told_where_no_ruler_looks(ask: Ask, store: MemoryStore) -> None:
    before, looks = alert(datetime.now(UTC) - timedelta(hours=9), "firing", labels_of("A"), 5)
    store.alerts.record_looks(looks)
    assert "No ruler seems to look now (the last look was" in ask("close", before.fingerprint, "--reason", "why")


@pytest.mark.parametrize("name", ["CostRose", "Quiet"])
def test_what_is_not_under_way_is_not_closed(ask: Ask, alerts: dict[str, AlertState], name: str) -> None:
    assert f"{name} is {alerts[name].phase}" in ask("close", alerts[name].fingerprint, "--reason", "x", code=2)


def test_who_closes_has_to_say_why(ask: Ask, alerts: dict[str, AlertState]) -> None:
    assert "--reason" in ask("close", alerts["RefusalsRose"].fingerprint, "--reason", " ", code=2)


def test_a_silence_ends_though_another_clock_is_ahead(ask: Ask, store: assemble.ClickHouseStore | MemoryStore) -> None:
    now = datetime.now(UTC)
    matcher = (alerts_view.parse_matcher("a=b"),)
    ahead = now + timedelta(minutes=5)
    made = Silence(id="1", matchers=matcher, author="a", reason="r", starts_at=ahead, ends_at=ahead, recorded_at=ahead)
    store.alerts.record_silence(replace(made, ends_at=ahead + timedelta(hours=1)))
    ask("unsilence", "1")
    assert store.alerts.silences(active_at=ahead) == []


def test_a_silence_of_nothing_warns_and_one_of_everything_is_refused(ask: Ask, alerts: dict[str, AlertState]) -> None:
    rest = ("--for", "1h", "--reason", "why", "--author", "ada")
    assert "covers no alert that there is at present (no alert has a label 'langauge'; did you mean" in ask(
        "silence", "langauge=de", *rest
    )
    assert "(no alert has language=dee; did you mean" in ask("silence", "language=dee", *rest)
    for everything in ("consumer=quality", "alertname=~.*", "team="):
        assert "covers every one" in ask("silence", everything, *rest, code=2)
    assert "5 alerts, of which 3 firing or pending" in ask("silence", "alertname=~.*", "--all", *rest)


def test_a_silence_needs_to_name_something_before_there_are_alerts(ask: Ask, store: MemoryStore) -> None:
    rest = ("--for", "1h", "--reason", "why", "--author", "ada")
    assert "covers every one" in ask("silence", "a=~.*", *rest, code=2)
    assert "it covers no alert that there is at present\n" in ask("silence", "language=de", *rest)
    assert ask() == (
        "no alert is firing or pending\nno rule was looked at yet; `evalsvc up` or a ruler of its own does that\n"
    )


def test_the_history_lists_changes_with_who_was_told(ask: Ask, alerts: dict[str, AlertState]) -> None:
    said = ask("history").splitlines()
    assert len(said) == 10
    assert sum("nobody yet" in line for line in said) == 3
    assert ask("history", "--limit", "2").splitlines()[-1] == "the last 2; --limit shows more"
    moves = [json.loads(line) for line in ask("history", "--format", "json").splitlines()]
    assert len(moves) == 8
    assert moves == sorted(moves, key=lambda move: move["at"], reverse=True)
    assert ask("history", "--format", "csv").splitlines()[0].startswith("at,alert,labels,change,receiver,outcome")
    assert ask("history", "--since", "1m").startswith("no alert changed its phase since ")


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["show", "abc"], "or its first 4 or more, but got 'abc'"),
        (["show", "ABCDEF"], "Expected a fingerprint of 16 digits"),
        (["show", "0123456789abcdef"], "No alert's fingerprint is 0123456789abcdef: it may be of a trial"),
        (["ack", "000000", "--author", "ada"], "No alert's fingerprint begins with 000000"),
        (["ack", "000000", "--author", " "], "Expected --author to say something"),
        (["ack", "000000", "--author", "a", "--note", "n" * 1001], "Expected --note of at most 1,000 characters"),
        (["--phase", "fring"], "but got 'fring' (did you mean"),
        (["--where", "language"], "Expected LABEL=VALUE or LABEL=~REGEX"),
        (["silence", "a!=b", "--for", "1h", "--reason", "r"], "Expected LABEL=VALUE or LABEL=~REGEX"),
        (["silence", "a=~(", "--for", "1h", "--reason", "r"], "Expected a regular expression after a=~"),
        (["silence", 'a="b', "--for", "1h", "--reason", "r"], "to end in one"),
        (["silence", "a=b", "--for", "31d", "--reason", "r"], "Expected --for of at most 30d"),
        (["silence", "a=b", "--for", "soon", "--reason", "r"], "Expected a duration"),
        (["silence", "a=b", "--for", "1h", "--reason", " "], "Expected --reason to say something"),
        (["silence", "a=b", "--for", "1h"], "required: --reason"),
        (["silence", "a=b", "--reason", "r"], "required: --for"),
        (["silence", "--for", "1h", "--reason", "r"], "required: LABEL=VALUE"),
        (["unsilence", "nothing"], "No silence has the id 'nothing' (there is none)"),
        (["show", "0123456789abcdef", "--format", "csv"], "Expected --format table or json"),
        (["history", "--since", "tomorrow"], "Expected a time"),
        (["shw"], "invalid choice"),
    ],
)
def test_each_mistake_has_its_message(
    arguments: list[str], said: str, monkeypatch: pytest.MonkeyPatch, ask: Ask, tmp_path: Path
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("EVALSVC_STORE", "memory:")
    assert said in ask(*arguments, code=2)


def test_what_has_no_data_says_so_and_since_when(ask: Ask, alerts: dict[str, AlertState], store: MemoryStore) -> None:
    judge = alerts["JudgeSlow"]
    said = ask()
    assert judge.evidence is not None
    since = moment(judge.evidence.window.end)
    assert f"still firing, no data since {since}: the store does not answer" in said
    assert f"the store does not answer (still firing, no data since {since})" in ask("show", judge.fingerprint)
    _, looks = alert(datetime.now(UTC), "pending", labels_of("Never"), trouble="no score", evidence=None)
    store.alerts.record_looks(looks)
    assert "still pending, no data yet: no score" in ask()
    assert "still" not in ask("--phase", "resolved,inactive")


def test_where_nothing_was_measured_no_number_is_shown(ask: Ask, store: MemoryStore) -> None:
    now = datetime.now(UTC)
    for name, counted in (("Gone", 0), ("Few", 12)):
        window = Window(now - timedelta(hours=1), now)
        seen = judge_absence(Absence("events"), window, Counted(counted, 900, counted))
        store.alerts.record_looks(alert(now, "firing", labels_of(name), evidence=seen, fired_on=seen)[1])
    table = csv.DictReader(io.StringIO(ask("--format", "csv").partition("last look")[0]))
    shown = {row["alert"]: (row["value"], row["interval"]) for row in table}
    assert shown == {"Gone": ("-", "-"), "Few": ("12", "counted")}
    gone, few = (next(s for s in store.alerts.alert_states() if s.rule == name) for name in ("Gone", "Few"))
    assert "Last estimate" not in ask("show", gone.fingerprint)
    assert "Last estimate: 12 (counted)" in ask("show", few.fingerprint)


def test_digits_of_two_alerts_are_not_enough(ask: Ask, store: assemble.ClickHouseStore | MemoryStore) -> None:
    now = datetime.now(UTC)
    for last in "ab":
        _, looks = alert(now, "inactive", labels_of(f"A{last}"), fingerprint=f"abcdef012345678{last}")
        store.alerts.record_looks(looks)
    assert "2 begin with abcdef: abcdef012345678a (Aa), abcdef012345678b (Ab); give more digits" in ask(
        "show", "abcdef", code=2
    )
    assert "2 begin with abcd:" in ask("show", "abcd", code=2)
    assert "Ab is inactive" in ask("show", "abcdef012345678b")


def test_nothing_that_a_label_holds_reaches_the_terminal(ask: Ask, store: MemoryStore) -> None:
    hostile = "de\x1b[2J\u202egnp\r\nfiring  forged"
    _, looks = alert(datetime.now(UTC), "firing", labels_of("A", language=hostile), trouble=hostile)
    store.alerts.record_looks(looks)
    name = looks[-1].state.fingerprint
    for said in (ask(), ask("show", name), ask("history"), ask("--format", "csv")):
        assert not {"\x1b", "\u202e", "\r"} & set(said)
        assert not any(line.startswith("firing  forged") for line in said.splitlines())


def test_who_nobody_knows_has_to_say_it(
    ask: Ask, alerts: dict[str, AlertState], monkeypatch: pytest.MonkeyPatch
) -> None:
    def unknown() -> str:
        raise KeyError("uid")

    monkeypatch.setattr("getpass.getuser", unknown)
    assert "Expected --author or EVALSVC_USER" in ask("ack", alerts["RefusalsRose"].fingerprint, code=2)
    monkeypatch.setattr("getpass.getuser", lambda: "ada")
    assert "is looked after by ada" in ask("ack", alerts["RefusalsRose"].fingerprint)


def test_a_rules_limit_is_what_a_value_is_held_against(ask: Ask, store: MemoryStore) -> None:
    rules = Path("alerts")
    rules.mkdir(exist_ok=True)
    (rules / "own.rules.yaml").write_text(
        "# run: evalsvc check — code: evalsvc/rules/\ngroups:\n  - name: own\n    rules:\n"
        "      - {alert: Held, metric: latency_ms, above: 1234}\n"
    )
    now = datetime.now(UTC)
    state, looks = alert(now, "firing", labels_of("Held"))
    bare = replace(state, evidence=replace(state.evidence, baseline=None))
    store.alerts.record_looks([looks[-1]._replace(state=bare)])
    assert main(["check", "--files-only"]) in (0, 1)
    assert "1,234" in ask()
