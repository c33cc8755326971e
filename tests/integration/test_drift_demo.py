"""``evalsvc drift`` on the demo's traffic: what is planted is found and named, most first, and nothing else is."""

import gzip
import json
import re
from datetime import UTC, datetime

import pytest

from evalsvc.cli import main
from evalsvc.demo import scene
from evalsvc.demo.texts import TOPICS
from evalsvc.demo.traffic import STRIKE_DAY

END = datetime(2026, 3, 15, tzinfo=UTC)
STRIKE = f"2026-03-{1 + STRIKE_DAY:02d}"
PLANTED = {
    ("helpfulness", "values"),
    ("latency_ms", "values"),
    ("prompt_words", "vocabulary"),
    ("prompt_embedding", "topics"),
}
# Answers about parcels have words and lengths of their own, and sit elsewhere on a text metric's scale.
FOLLOW = {
    *(("response_words", watched) for watched in ("values", "vocabulary")),
    *((metric, "values") for metric in ("bleu", "chrf", "rouge_l", "output_tokens", "prompt_words")),
}
# The new version of the model answers from the middle on: windows on both sides of that day differ in it.
ROLLED_OUT = ("model_version", "mix")


@pytest.fixture(scope="module")
def scored(tmp_path_factory):
    """A quarter of the demo's traffic, of which four times as much is taken; without the encoder's two dear scorers."""
    consumer = re.sub(r"rate: (0\.\d+)}", lambda found: f"rate: {min(1.0, 4 * float(found[1]))}}}", scene.DEMO)
    consumer = consumer.replace("rate: 0.05", "rate: 0.2")
    consumer = re.sub(r"  - \{name: (relevance|context_support).*\n", "", consumer)
    consumer = re.sub(r"prompt_embedding, rate: [0-9.]+", "prompt_embedding, rate: 0.2", consumer)
    folder = tmp_path_factory.mktemp("drift") / "demo"
    with pytest.MonkeyPatch.context() as patch:
        patch.delenv("EVALSVC_STORE", raising=False)
        patch.setattr(scene, "DEMO", consumer)
        made = scene.prepare(folder, END, 12_000)
        patch.chdir(folder)
        assert scene.score(made).sampled > 1_500
        yield folder


def ask(capsys, *arguments):
    capsys.readouterr()
    assert main(["drift", *arguments]) == 0
    return capsys.readouterr().out


def rows(capsys, *arguments):
    lines = ask(capsys, *arguments, "--examples", "0", "--format", "json").splitlines()
    return [json.loads(line) for line in lines]


@pytest.mark.parametrize("baseline", ["7d", "3d"])
def test_what_is_planted_is_found_and_nothing_else(scored, capsys, baseline):
    moved = [
        row for row in rows(capsys, "--since", STRIKE, "--until", "2026-03-15", "--baseline", baseline) if row["moved"]
    ]
    named = {(row["metric"], row["watched"]) for row in moved}
    assert named >= PLANTED
    assert named - PLANTED <= FOLLOW | {ROLLED_OUT}
    assert (ROLLED_OUT in named) == (baseline == "7d")
    sizes = [row["tests"][0]["effect"] / row["tests"][0]["minimum"] for row in moved]
    assert sizes == sorted(sizes, reverse=True)
    (latency,) = [row for row in moved if row["metric"] == "latency_ms"]
    before, after = (float(number) for number in re.findall(r"[\d.]+", latency["change"]))
    assert 1.3 < after / before < 1.6


def test_nothing_is_found_where_nothing_is_planted(scored, capsys):
    """Days of the first week against days before them, and neighbouring weeks' days before the strike."""
    spans = [
        ("--since", "2026-03-04", "--until", "2026-03-07", "--baseline", "3d"),
        ("--since", "2026-03-09", "--until", "2026-03-11", "--baseline", "7d"),
        ("--since", "2026-03-02", "--until", "2026-03-04T12:00", "--baseline", "2026-03-04T12:00/2026-03-07"),
    ]
    for span in spans:
        found = rows(capsys, *span)
        assert sum(row["moved"] is False for row in found) >= 10
        moved = [(row["metric"], row["watched"], row["change"]) for row in found if row["moved"]]
        assert [one for one in moved if one[:2] != ROLLED_OUT] == []


def test_a_person_reads_what_moved_and_that_scores_may_follow(scored, capsys):
    out = ask(capsys, "--since", STRIKE, "--until", "2026-03-15")
    first = out.partition("\n")[0]
    assert re.match(r"\d+ of \d+ moved, 2026-03-12 00:00 to 2026-03-15 00:00 against 2026-03-05 00:00", first)
    assert "peration: latency_ms (values)" in first
    inputs = re.search("[Ii]nputs: ([^;]*)[;.]", first)[1]
    assert "prompt_embedding (topics)" in inputs
    assert "prompt_words (vocabulary)" in inputs
    assert "other questions alone can move scores" in out
    assert "compared (Benjamini–Hochberg), is under 0.05." in out


def test_windows_that_meet_are_apart(scored, capsys):
    """A week back from 08:40 and the week before: the hour that both have a part of stays with the current one."""
    (row,) = rows(
        capsys, "latency_ms", "--since", "2026-03-08T08:40", "--until", "2026-03-15", "--baseline", "6d15h20m"
    )
    assert row["current"]["start"] == row["baseline"]["end"] == "2026-03-08T08:00:00Z"


def test_the_judge_is_told_from_the_system(scored, capsys):
    out = ask(capsys, "helpfulness", "refusal", "--since", STRIKE, "--until", "2026-03-15")
    (said,) = [line for line in out.splitlines() if line.startswith("helpfulness: ")]
    assert said.startswith("helpfulness: the scorer moved on 40 unchanged anchors, by -0.1")
    assert said.endswith("it is the scorer that moved, and nothing says that the system did.")
    assert "refusal: " not in out
    capsys.readouterr()
    assert main(["query", "helpfulness", "--since", STRIKE, "--until", "2026-03-15"]) == 0
    assert "the scorer of helpfulness moved by -0.1" in capsys.readouterr().out
    assert main(["query", "helpfulness", "--since", "2026-03-03", "--until", "2026-03-06"]) == 0
    assert "Warning" not in capsys.readouterr().out


def test_clusters_that_grew_are_the_late_parcels(scored, capsys):
    lines = ask(
        capsys, "prompt_embedding", "--since", STRIKE, "--until", "2026-03-15", "--format", "json", "--examples", "2"
    )
    grown = [row["cluster"] for line in lines.splitlines() if "cluster" in (row := json.loads(line))]
    assert grown
    with gzip.open(scored / "data" / "traffic.jsonl.gz") as traffic:
        asked = {event["event_id"]: event["prompt"][-1]["content"] for event in map(json.loads, traffic)}
    delivery = {question for topics in TOPICS.values() for question in topics["delivery"].questions}
    for cluster in grown:
        assert cluster["low"] > 0.0
        assert len(cluster["event_ids"]) == 2
        assert {asked[event_id] for event_id in cluster["event_ids"]} <= delivery
    table = ask(capsys, "prompt_embedding", "--since", STRIKE, "--until", "2026-03-15")
    assert "these grew; event ids nearest to their centres:" in table
    assert not [question for question in delivery if question in table]
    quiet = ask(capsys, "prompt_embedding", "--since", "2026-03-04", "--until", "2026-03-07", "--baseline", "3d")
    assert "clusters" not in quiet


def test_a_classifier_tells_the_strike_apart_and_nothing_else(scored, capsys):
    asked = ("prompt_embedding", "latency_ms", "--classifier")
    found = {row["watched"]: row for row in rows(capsys, *asked, "--since", STRIKE, "--until", "2026-03-15")}
    assert set(found) == {"values", "topics", "single texts"}
    single = found["single texts"]
    assert single["moved"]
    assert single["tests"][0]["detector"] == "classifier"
    assert single["tests"][0]["p_value"] <= single["adjusted_p"] < 0.01
    assert single["tests"][0]["low"] > 0.05
    out = ask(capsys, *asked, "--since", STRIKE, "--until", "2026-03-15", "--examples", "0")
    assert "prompt_embedding (single texts)" in out.partition("\n")[0]
    assert f"{single['change']}" in out
    (quiet,) = [
        row
        for row in rows(
            capsys, *asked[:1], "--classifier", "--since", "2026-03-04", "--until", "2026-03-07", "--baseline", "3d"
        )
        if row["watched"] == "single texts"
    ]
    assert quiet["moved"] is False
