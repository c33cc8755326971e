"""``evalsvc drift`` over a store that a replay filled with two weeks: what was planted is found, and nothing else."""

import csv
import io
import json
import random
from datetime import UTC, datetime, timedelta

import pytest

from evalsvc.cli import main

MONDAY = datetime(2026, 3, 9, tzinfo=UTC)
ENGLISH = ["Where is my parcel?", "How do I reset my password?", "When does the shop open on Sunday?"]
GERMAN = ["Wo bleibt mein Paket, bitte?", "Wie setze ich mein Passwort zurück?", "Wann öffnet der Laden am Sonntag?"]


def events():
    """A day of each week, 24 hours of 40 events; in the second, half of the users write German and all wait longer."""
    rng = random.Random(1)
    for week in (0, 1):
        for number in range(24 * 40):
            german = week == 1 and rng.random() < 0.5
            yield {
                "event_id": f"{week}-{number}",
                "occurred_at": (MONDAY + timedelta(days=7 * week, minutes=1.5 * number)).isoformat(),
                "application": "support",
                "model": "m",
                "model_version": "1",
                "prompt": rng.choice(GERMAN if german else ENGLISH),
                "response": f"It is on its way, and comes in {rng.randrange(2, 9)} days at the latest, we hope.",
                "segments": {"plan": rng.choice(["free", "pro"])},
                "latency_ms": rng.lognormvariate(6.0 + 0.7 * week, 0.5),
                "output_tokens": rng.randrange(10, 60),
            }


@pytest.fixture(scope="module")
def filled(tmp_path_factory):
    folder = tmp_path_factory.mktemp("drift")
    with pytest.MonkeyPatch.context() as patch:
        patch.delenv("EVALSVC_STORE", raising=False)
        assert main(["init", str(folder)]) == 0
        patch.chdir(folder)
        (folder / "weeks.jsonl").write_text("".join(json.dumps(event) + "\n" for event in events()))
        assert main(["replay", "weeks.jsonl"]) == 0
        yield folder


WEEK = ("--since", "2026-03-16", "--until", "2026-03-17")


def ask(capsys, *arguments):
    capsys.readouterr()
    assert main(["drift", *arguments]) == 0
    return capsys.readouterr().out


def test_what_was_planted_moved_and_nothing_else(filled, capsys):
    rows = [json.loads(line) for line in ask(capsys, *WEEK, "--format", "json").splitlines()]
    moved = {(row["metric"], row["watched"]) for row in rows if row["moved"]}
    planted = {("latency_ms", "values"), ("prompt_language", "languages"), ("prompt_words", "vocabulary")}
    assert planted <= moved
    # Speed is tokens by latency, and German questions differ in length and are answered in English.
    follow = {("tokens_per_second", "values"), ("prompt_words", "values"), ("answer_language_match", "share")}
    # Of short questions the language is harder to tell in German.
    follow |= {("prompt_language", "missing"), ("answer_language_match", "missing")}
    assert moved - planted <= follow
    watched = {row["metric"] for row in rows}
    assert {"output_tokens", "response_words", "refusal", "distinct_1"} <= watched
    assert [row["moved"] for row in rows] == sorted([row["moved"] for row in rows], key=[True, False, None].index)
    (latency,) = [row for row in rows if row["metric"] == "latency_ms"]
    assert latency["tests"][0]["detector"] == "wasserstein"
    assert latency["tests"][0]["low"] <= latency["tests"][0]["effect"] <= latency["tests"][0]["high"]
    assert latency["baseline"]["start"] == "2026-03-09T00:00:00Z"
    assert latency["adjusted_p"] < 0.001


def test_two_halves_of_one_day_do_not_differ(filled, capsys):
    halves = ("--since", "2026-03-09T12:00", "--until", "2026-03-10", "--baseline", "12h")
    out = ask(capsys, *halves)
    assert out.startswith("Nothing moved beyond what matters and chance explains, 2026-03-09 12:00 to 2026-03-10 00:00")


def test_the_table_says_what_changed(filled, capsys):
    out = ask(capsys, "prompt_language", "latency_ms", *WEEK)
    first, _, header, *lines = out.splitlines()
    assert first.startswith("3 of 3 moved, 2026-03-16 00:00 to 2026-03-17 00:00 against 2026-03-09 00:00")
    said = ". Operation: latency_ms (values); inputs: prompt_language (languages), prompt_language (missing)."
    assert first.endswith(said)
    assert header.split()[:5] == ["moved", "metric", "of", "watched", "change"]
    (language,) = [line for line in lines if "prompt_language" in line and " languages " in line]
    assert "en 100.0% → " in language
    assert "de 0.0% → " in language
    (latency,) = [line for line in lines if "latency_ms" in line]
    assert "mean " in latency
    assert " ms " in latency


def test_metrics_without_a_value_are_one_line(filled, capsys):
    out = ask(capsys, *WEEK)
    assert out.split("\n\n")[-2].startswith("Without a value in either window: bleu, canary_leak, chrf, ")
    assert not [line for line in out.splitlines() if line.split()[1:2] == ["bleu"]]


def test_csv_is_one_row_each(filled, capsys):
    rows = list(csv.DictReader(io.StringIO(ask(capsys, "latency_ms", *WEEK, "--format", "csv"))))
    assert [row["detector"] for row in rows] == ["wasserstein"]
    assert rows[0]["moved"] == "True"
    assert float(rows[0]["minimum"]) == 0.1


def test_where_and_an_explicit_baseline(filled, capsys):
    arguments = ["latency_ms", *WEEK, "--baseline", "2026-03-09/2026-03-10", "--format", "json"]
    (whole,) = map(json.loads, ask(capsys, *arguments).splitlines())
    (pro,) = map(json.loads, ask(capsys, *arguments, "--where", "segments.plan=pro").splitlines())
    assert 0 < pro["tests"][0]["n"] < whole["tests"][0]["n"] == 960


def test_nothing_to_compare_says_so(filled, capsys):
    assert ask(capsys, "--since", "2020-01-01", "--until", "2020-01-02").startswith("no scores in the window")
    out = ask(capsys, "latency_ms", "--since", "2026-03-09", "--until", "2026-03-10")
    assert "Nothing could be compared" in out
    assert "the scorer has no scores in the baseline" in out


@pytest.mark.parametrize(
    ("wrong", "hint"),
    [
        (["--baseline", "last week"], "how far back (7d) or START/END"),
        (["--baseline", "2h", *WEEK], "do not overlap"),
        (["latency"], "did you mean `latency_ms`?"),
        (["--where", "plan=pro"], "segments.plan"),
        (["--confidence", "95"], "between 0 and 1"),
    ],
)
def test_mistakes_are_told(filled, capsys, wrong, hint):
    assert main(["drift", *wrong]) == 2
    assert hint in capsys.readouterr().err
