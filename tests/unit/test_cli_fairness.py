"""``evalsvc fairness`` over a store that a replay filled: what it says, formats, mistakes."""

from __future__ import annotations

import csv
import io
import itertools
import json
import random
import re
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from evalsvc._cli_query import said_value
from evalsvc.cli import main
from replays import replayed

TIME = r"\d{4}-\d\d-\d\d \d\d:\d\d"
PLANS = {"free": (160, 200.0), "pro": (120, 200.0), "team": (100, 400.0), "trial": (12, 200.0)}


def events() -> Iterator[str]:
    """Latencies of team are 200 ms higher; those of the two languages are alike."""
    rng = random.Random(5)
    now = datetime.now(UTC)
    for plan, (count, base) in PLANS.items():
        for i in range(count):
            intents = ["refund", "login"] if plan == "pro" else ["refund", "login", "price"]
            event = {
                "event_id": f"{plan}-{i}",
                "occurred_at": (now - timedelta(minutes=5 + 12 * (i % 100))).isoformat(),
                "application": "support",
                "model": "m",
                "prompt": "What does it cost?",
                "response": "Ten a month.",
                "latency_ms": round(base + rng.gauss(0.0, 40.0), 1),
                "segments": {"plan": plan, "lang": ("en", "de")[i % 2], "intent": intents[i % len(intents)]},
            }
            yield json.dumps(event)


@pytest.fixture(scope="module")
def filled(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    with replayed(tmp_path_factory.mktemp("project"), events()) as folder:
        yield folder


DASHED = {"": 100.0, "-": 300.0, '"-"': 500.0, '"': 700.0}
"""Values that read alike where one is careless, the first of which is none; with the latency of each."""


@pytest.fixture(scope="module")
def dashed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two plans whose events of each topic are alike, and whose topics read alike."""
    folder = tmp_path_factory.mktemp("dashed")
    start, lines = datetime(2026, 3, 2, tzinfo=UTC), []
    for number, (topic, base) in enumerate(DASHED.items()):
        for plan, count in (("free", 40), ("pro", 40 + 40 * number)):
            for i in range(count):
                event = {
                    "event_id": f"{number}-{plan}-{i}",
                    "occurred_at": (start + timedelta(days=i % 2, minutes=i)).isoformat(),
                    "application": "support",
                    "model": "m",
                    "prompt": "What does it cost?",
                    "response": "Ten a month.",
                    "latency_ms": base + i % 5,
                    "segments": {"plan": plan} | ({"topic": topic} if topic else {}),
                }
                lines.append(json.dumps(event))
    with pytest.MonkeyPatch.context() as patch:
        patch.delenv("EVALSVC_STORE", raising=False)
        assert main(["init", str(folder)]) == 0
        patch.chdir(folder)
        (folder / "events.jsonl").write_text("\n".join(lines))
        assert main(["replay", "events.jsonl"]) == 0
    return folder


def ask(capsys: pytest.CaptureFixture[str], *arguments: str) -> str:
    capsys.readouterr()
    assert main(["fairness", "latency_ms", *arguments]) == 0
    return capsys.readouterr().out


def test_a_group_that_differs_is_named_in_a_sentence(filled, capsys):
    out = ask(capsys, "--by", "segments.plan")
    head, sentence, *rest = out.splitlines()
    assert re.fullmatch(rf"latency_ms by segments.plan, {TIME} to {TIME} \(UTC\)", head)
    assert re.match(
        r"groups differ: the gap seen, 2\d\d ms \(team: [34]\d\d ms, (free|pro): [12]\d\d ms\), is more", sentence
    )
    assert re.search(r"standing apart: team \([34]\d\d ms, the rest [12]\d\d ms: worse\); a gap", sentence)
    assert "not proof of unfair treatment" in sentence
    (trial,) = [line for line in rest if line.startswith("trial")]
    assert "suppressed: 12 scored events, fewer than 30" in trial
    assert any(line.startswith("gap seen (largest less smallest mean): 2") for line in rest)
    assert any(line.startswith("worst off: team, ") and line.endswith(" ms") for line in rest)
    assert any(line.startswith("method: about the system behind the events; joint limits") for line in rest)
    assert "1 of 4 groups suppressed (3.1% of the traffic)" in out


def test_equal_groups_are_not_shown_to_differ(filled, capsys):
    sentence = ask(capsys, "--by", "segments.lang").splitlines()[1]
    assert sentence.startswith("no group is shown to differ: the gap seen, ")
    assert "is within what chance makes of equal groups (interval 0 to " in sentence


def test_every_event_scored_is_no_doubt_of_the_window_and_one_of_the_system(filled, capsys):
    out = ask(capsys, "--by", "segments.lang", "--target", "window")
    assert out.splitlines()[1].startswith("among the events of this window the gap is ")


def test_json_has_all_of_it_and_nothing_of_suppressed_groups(filled, capsys):
    (line,) = ask(capsys, "--by", "segments.plan", "--format", "json").splitlines()
    found = json.loads(line)
    by_name = {group["name"]: group for group in found["groups"]}
    assert by_name.keys() == PLANS.keys()
    assert by_name["trial"]["suppressed"]
    assert [by_name["trial"][key] for key in ("value", "low", "high", "shrunken", "difference", "p_value")] == [
        None
    ] * 6
    assert by_name["team"]["n"] == 100
    assert by_name["team"]["p_adjusted"] < 1e-6
    assert 150 < found["gap"]["low"] < found["gap"]["value"] < found["gap"]["high"] < 250
    assert found["worst"]["worst"] == "team"
    assert [row["name"] for row in found["apart"]] == found["differing"] == ["team"]
    assert sum(group["share"] for group in found["groups"]) == pytest.approx(1.0)


def test_csv_has_the_same_numbers(filled, capsys):
    asked = ["--by", "segments.plan", "--by", "segments.lang", "--format"]
    flat = list(csv.DictReader(io.StringIO(ask(capsys, *asked, "csv"))))
    (line,) = ask(capsys, *asked, "json").splitlines()
    found = json.loads(line)
    assert len(flat) == len(found["groups"]) == 8
    assert {(row["segments.plan"], row["segments.lang"]) for row in flat} == {
        tuple(group["labels"].values()) for group in found["groups"]
    }
    for row, group in zip(flat, found["groups"], strict=True):
        assert float(row["value"] or "nan") == pytest.approx(group["value"] or float("nan"), rel=1e-9, nan_ok=True)
        assert float(row["gap_high"]) == pytest.approx(found["gap"]["high"])


def test_csv_without_rows_is_a_header(filled, capsys):
    asked = ["--by", "segments.plan", "--format", "csv"]
    full, empty = ask(capsys, *asked), ask(capsys, *asked, "--where", "application=nobody's")
    assert empty == full.splitlines(keepends=True)[0]
    assert "no scores of latency_ms match" in ask(capsys, "--by", "segments.plan", "--where", "application=nobody's")


def test_min_group_complement_and_reference(filled, capsys):
    whole = json.loads(ask(capsys, "--by", "segments.plan", "--min-group", "10", "--format", "json"))
    assert [group["suppressed"] for group in whole["groups"]] == [False] * 4
    more = json.loads(ask(capsys, "--by", "segments.plan", "--complementary", "--format", "json"))
    assert {group["name"] for group in more["groups"] if group["suppressed"]} == {"trial", "team"}
    against = json.loads(ask(capsys, "--by", "segments.plan", "--reference", "free", "--format", "json"))
    assert against["worst"]["against"] == "free"
    assert {group["name"]: group["difference"] is None for group in against["groups"]} == {
        "free": True, "pro": False, "team": False, "trial": True,
    }  # fmt: skip


def test_standardised_says_the_cases_that_groups_lack(filled, capsys):
    out = ask(capsys, "--by", "segments.plan", "--standardise", "segments.intent")
    assert "standardised for segments.intent: 2 values" in out
    assert "left out: segments.intent price, which pro lacks" in out
    found = json.loads(ask(capsys, "--by", "segments.plan", "--standardise", "segments.intent", "--format", "json"))
    assert found["standardised"]["lacking"] == {"price": ["pro"]}
    assert found["standardised"]["covered"] < 1.0
    assert 150 < found["gap"]["low"] < found["gap"]["high"] < 250


def test_standardised_keeps_absent_values_and_dashes_apart(dashed, monkeypatch, capsys):
    monkeypatch.chdir(dashed)
    asked = ["--by", "segments.plan", "--standardise", "segments.topic", "--since", "2026-03-01", "--format", "json"]
    found = json.loads(ask(capsys, *asked))
    sizes = dict(zip(("-", '"-"', r'"\"-\""', r'"\""'), (80, 120, 160, 200), strict=True))
    assert found["standardised"]["mix"] == pytest.approx({case: n / 560 for case, n in sizes.items()})
    assert found["standardised"]["covered"] == 1.0
    # At one mix the two plans are alike: every topic takes both as long.
    expected = sum(n * base for n, base in zip(sizes.values(), DASHED.values(), strict=True)) / 560 + 2.0
    assert [group["value"] for group in found["groups"]] == pytest.approx([expected] * 2)
    assert [group["n"] for group in found["groups"]] == [160, 400]


def test_groups_whose_names_read_alike_are_told_apart(dashed, monkeypatch, capsys):
    monkeypatch.chdir(dashed)
    asked = ["--by", "segments.topic", "--since", "2026-03-01"]
    (line,) = ask(capsys, *asked, "--format", "json").splitlines()
    groups = {group["labels"]["segments.topic"]: group for group in json.loads(line)["groups"]}
    assert {topic: group["value"] for topic, group in groups.items()} == pytest.approx(
        {topic: base + 2.0 for topic, base in DASHED.items()}
    )
    assert {topic: group["name"] for topic, group in groups.items()} == {
        "": "-", "-": '"-"', '"-"': r'"\"-\""', '"': r'"\""',
    }  # fmt: skip
    for name in ("-", '"-"'):
        found = json.loads(ask(capsys, *asked, "--reference", name, "--format", "json"))
        assert found["worst"]["against"] == name


def test_no_two_groups_share_a_name():
    values = ["", "-", '"', '"-"', "a", "b", "×", "a × b", "× b", "a ×", '"a', 'a"', "a × b × c", " ", "a "]
    names = {" × ".join(said_value(value, "×") for value in pair) for pair in itertools.product(values, repeat=2)}
    assert len(names) == len(values) ** 2
    assert [said_value(value) for value in ("a × b", "pro", "--")] == ["a × b", "pro", "--"]


def test_a_trend_of_the_worst_off_group(filled, capsys):
    out = ask(capsys, "--by", "segments.plan", "--window", "4h", "--min-group", "10")
    _, sentence, _, columns, *lines = out.splitlines()
    assert sentence.startswith(
        "no trend is shown: the difference of team, most often worst off, from the others changes by "
    )
    assert columns.split()[:3] == ["window", "worst", "off"]
    assert sum("  team  " in line for line in lines) >= 4
    many = ask(capsys, "--by", "segments.plan", "--window", "4h", "--min-group", "10", "--format", "json")
    assert len(many.splitlines()) == len(lines)


def test_one_group_alone_is_nothing_to_compare(filled, capsys):
    out = ask(capsys, "--by", "segments.plan", "--where", "segments.plan=free")
    assert "nothing to compare: fewer than two groups have 30 scored events" in out


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["latency", "--by", "segments.plan"], "latency_ms"),
        (["latency_ms", "--by", "plan"], "segments.plan"),
        (["latency_ms", "--by", ","], "`--by`"),
        (["latency_ms", "--by", "segments.plan", "--reference", "gold"], "no group of that name"),
        (["latency_ms", "--by", "segments.plan", "--reference", "trial"], "fewer than 30"),
        (["latency_ms", "--by", "segments.plan", "--standardise", "segments.plan"], "another field"),
        (["latency_ms", "--by", "segments.plan", "--since", "yesterday"], "yesterday"),
    ],
)
def test_mistakes(filled, arguments, message, capsys):
    assert main(["fairness", *arguments]) == 2
    shown = capsys.readouterr().err
    assert message in shown
    assert len(shown.splitlines()) == 1


def test_a_field_is_needed(capsys):
    assert main(["fairness", "latency_ms"]) == 2
    assert "usage: evalsvc fairness" in capsys.readouterr().err


def test_a_misspelt_segment_is_said(filled, capsys):
    assert main(["fairness", "latency_ms", "--by", "segments.paln"]) == 0
    assert "has a segment 'paln'" in capsys.readouterr().err


def test_events_of_one_session_are_not_taken_for_independent(tmp_path, monkeypatch, capsys):
    # Two plans alike; the 20 events of a session take the same time, so that a plan has 15 latencies and not 300.
    rng, lines = random.Random(3), []
    start = datetime(2026, 3, 2, tzinfo=UTC)
    for number in range(30):
        wait = rng.uniform(100.0, 300.0)
        for turn in range(20):
            event = {
                "event_id": f"{number}-{turn}",
                "occurred_at": (start + timedelta(minutes=number, seconds=turn)).isoformat(),
                "application": "support",
                "model": "m",
                "prompt": "What does it cost?",
                "response": "Ten a month.",
                "latency_ms": wait,
                "session_id": f"s{number}",
                "segments": {"plan": ("free", "pro")[number % 2], "intent": ("a", "b")[turn % 2]},
            }
            lines.append(json.dumps(event))
    monkeypatch.delenv("EVALSVC_STORE", raising=False)
    assert main(["init", str(tmp_path)]) == 0
    monkeypatch.chdir(tmp_path)
    (tmp_path / "events.jsonl").write_text("\n".join(lines))
    assert main(["replay", "events.jsonl"]) == 0
    asked = ["--by", "segments.plan", "--since", "2026-03-01", "--format", "json"]
    process, window = (json.loads(ask(capsys, *asked, "--target", target)) for target in ("process", "window"))
    assert all(group["method"].endswith(", clustered") for group in process["groups"])
    mixed = json.loads(ask(capsys, *asked, "--standardise", "segments.intent"))
    for found in (process, mixed):
        widths = [group["high"] - group["low"] for group in found["groups"]]
        # 15 waits of a uniform number, whose deviation is 58 ms.
        assert all(40.0 < width < 110.0 for width in widths)
    assert not any("clustered" in group["method"] for group in window["groups"])


def test_json_of_a_gap_without_an_upper_limit_is_json(tmp_path, monkeypatch, capsys):
    start, lines = datetime(2026, 3, 2, tzinfo=UTC), []
    for number in range(90):
        event = {
            "event_id": f"{number}",
            "occurred_at": (start + timedelta(minutes=number)).isoformat(),
            "application": "support",
            "model": "m",
            "prompt": "What does it cost?",
            "response": "Ten a month.",
            # One latency of a minute in two of three plans.
            "latency_ms": 60_000.0 if number < 2 else 20.0 + number / 90.0,
            "segments": {"plan": ("free", "pro", "team")[number % 3]},
        }
        lines.append(json.dumps(event))
    monkeypatch.delenv("EVALSVC_STORE", raising=False)
    assert main(["init", str(tmp_path)]) == 0
    monkeypatch.chdir(tmp_path)
    (tmp_path / "events.jsonl").write_text("\n".join(lines))
    assert main(["replay", "events.jsonl"]) == 0
    asked = ["--by", "segments.plan", "--since", "2026-03-01"]
    (line,) = ask(capsys, *asked, "--format", "json").splitlines()

    def refuse(constant):
        raise AssertionError(constant)

    found = json.loads(line, parse_constant=refuse)
    assert found["gap"]["high"] is None
    assert "upper limit" in found["gap"]["reason"]
    assert found["gap"]["low"] == 0.0
    assert "95% interval 0 to any size" in ask(capsys, *asked)
