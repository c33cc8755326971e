"""``evalsvc query`` over a store that a replay filled: numbers, formats, mistakes."""

from __future__ import annotations

import csv
import io
import json
import re
from collections.abc import Iterator
from pathlib import Path
from statistics import mean

import pytest

from evalsvc.cli import main

LATENCIES = {"2024-10": [820, 640, 700], "2024-11": [410, 980, 26300, 590, 760]}
"""What the starter's example holds, by model version."""


@pytest.fixture(scope="module")
def filled(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    folder = tmp_path_factory.mktemp("project")
    with pytest.MonkeyPatch.context() as patch:
        patch.delenv("EVALSVC_STORE", raising=False)
        assert main(["init", str(folder)]) == 0
        patch.chdir(folder)
        assert main(["replay", "data/example.jsonl"]) == 0
        yield folder


def ask(capsys: pytest.CaptureFixture[str], *arguments: str) -> str:
    capsys.readouterr()
    assert main(["query", *arguments]) == 0
    return capsys.readouterr().out


def test_json_is_an_object_a_line(filled: Path, capsys: pytest.CaptureFixture[str]) -> None:
    rows = [
        json.loads(line) for line in ask(capsys, "latency_ms", "--by", "model_version", "--format", "json").splitlines()
    ]
    assert len(rows) == 2
    by_version = {row["n"]: row["value"] for row in rows}
    assert by_version == {len(values): pytest.approx(mean(values), rel=1e-6) for values in LATENCIES.values()}
    for row in rows:
        assert {
            "value",
            "low",
            "high",
            "n",
            "n_effective",
            "n_missing",
            "missing_share",
            "statistic",
            "confidence",
        } <= set(row)


def test_reading_makes_no_store(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys) -> None:
    """A typo in the store's address would look like a store without scores, and leave a folder behind."""
    monkeypatch.chdir(tmp_path)
    for command in (["query", "latency_ms"], ["dead-letters"]):
        assert main([*command, "--store", "embedded:typo"]) == 2
        assert f"no store in {tmp_path / 'typo'}" in capsys.readouterr().err
    assert not list(tmp_path.iterdir())


def test_an_unknown_option_shows_the_usage_of_its_command(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["query", "latency_ms", "--bye", "model"]) == 2
    assert "usage: evalsvc query" in capsys.readouterr().err


def test_csv_without_rows_is_a_header(filled: Path, capsys: pytest.CaptureFixture[str]) -> None:
    asked = ["latency_ms", "--by", "model_version", "--format", "csv"]
    full, empty = ask(capsys, *asked), ask(capsys, *asked, "--where", "application=nobody's")
    assert empty == full.splitlines(keepends=True)[0]


def test_csv_has_the_same_numbers(filled: Path, capsys: pytest.CaptureFixture[str]) -> None:
    rows = list(csv.DictReader(io.StringIO(ask(capsys, "latency_ms", "--format", "csv"))))
    assert len(rows) == 1
    everything = [value for values in LATENCIES.values() for value in values]
    assert float(rows[0]["value"]) == pytest.approx(mean(everything), rel=1e-6)


def test_the_table_is_aligned_and_says_what_is_missing(filled: Path, capsys: pytest.CaptureFixture[str]) -> None:
    header, *lines = ask(capsys, "rouge_l", "--by", "model_version,segments.plan").splitlines()
    assert header.split()[:3] == ["model_version", "segments.plan", "mean"]
    assert len(lines) >= 4
    (unreferenced,) = [line for line in lines if line.split()[:2] == ["2024-11", "free"]]
    assert "50.0%" in unreferenced
    assert "1 event without a score left out" in unreferenced
    _, *whole = ask(capsys, "latency_ms", "--by", "model_version").splitlines()
    assert ["every event scored: no sampling error" in line for line in whole] == [True, True]


def test_missing_says_why(filled: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert re.split(r"\s{2,}", ask(capsys, "rouge_l", "--missing").splitlines()[1].strip())[1:] == [
        "abstained",
        "no reference",
    ]
    assert ask(capsys, "latency_ms", "--missing") == "every score of latency_ms that matches has a value\n"
    (why,) = map(json.loads, ask(capsys, "rouge_l", "--missing", "--format", "json").splitlines())
    assert why["status"] == "abstained"
    assert ask(capsys, "latency_ms", "--missing", "--format", "csv") == "status,reason,n\n"


def test_worst_case_shows_how_far_missing_scores_could_move_it(filled: Path, capsys) -> None:
    asked = ("rouge_l", "--worst-case", "--threshold", ".9")
    (row,) = map(json.loads, ask(capsys, *asked, "--format", "json").splitlines())
    worst = row["worst_case"]
    assert row["n_missing"] > 0
    assert worst["low"] < row["low"] <= row["high"] < worst["high"]
    assert (worst["depends"], worst["threshold"]) == (True, 0.9)
    shown = ask(capsys, *asked)
    assert "worst case" in shown.splitlines()[0]
    assert "held against 0.9, depends on the" in shown
    assert "no worst case: the scale is open" in ask(capsys, "latency_ms", "--worst-case")
    assert "worst_case_low" in ask(capsys, "rouge_l", "--worst-case", "--format", "csv").splitlines()[0]
    assert main(["query", "rouge_l", "--threshold", ".9"]) == 2
    assert "--worst-case" in capsys.readouterr().err


def test_all_metrics_come_in_one_table(filled: Path, capsys: pytest.CaptureFixture[str]) -> None:
    header, *lines = ask(capsys, "all", "--by", "model_version").splitlines()
    assert header.split()[:3] == ["metric", "model_version", "mean"]
    names = {line.split()[0] for line in lines}
    assert {"latency_ms", "rouge_l"} <= names
    asked = ["--by", "model_version", "--format", "json"]
    together, alone = (
        [json.loads(line) for line in ask(capsys, name, *asked).splitlines()] for name in ("all", "rouge_l")
    )
    mine = [row for row in together if row["metric"] == "rouge_l"]
    # The two were asked at two moments, whose windows differ; the last digits of the limits may, too.
    numbers = ("value", "low", "high", "n_effective", "missing_share")
    plain = [
        {name: value for name, value in row.items() if name not in (*numbers, "window")} for row in (*mine, *alone)
    ]
    assert plain[: len(mine)] == plain[len(mine) :]
    for row, other in zip(mine, alone, strict=True):
        assert [row[name] for name in numbers] == pytest.approx([other[name] for name in numbers])
    assert main(["query", "all", "--missing"]) == 2
    assert "one metric with --missing" in capsys.readouterr().err


def test_a_misspelt_segment_in_where_is_said(filled: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["query", "latency_ms", "--where", "segments.paln=pro"]) == 0
    assert "has a segment 'paln'" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("wrong", "hint"),
    [
        (["latency_ms", "--by", "segment.plan"], "'segments.plan'"),
        (["latency_ms", "--by", "modelversion"], "did you mean `model_version`?"),
        (["latency_ms", "--statistic", "median"], "the median is p50"),
        (["latency_ms,refusal"], "one metric at a time"),
        (["latency_ms", "--statistic", "corpus"], "ask for the mean"),
        (["latency_ms", "--statistic", "distinct_words"], "ask for that of response_words"),
    ],
)
def test_near_misses_are_named(filled: Path, capsys: pytest.CaptureFixture[str], wrong: list[str], hint: str) -> None:
    assert main(["query", *wrong]) == 2
    assert hint in capsys.readouterr().err


def test_where_and_window(filled: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out = ask(
        capsys,
        "latency_ms",
        "--where",
        "segments.plan=pro",
        "--where",
        "segments.plan=free",
        "--format",
        "json",
    )
    assert sum(json.loads(line)["n"] for line in out.splitlines()) == 6
    out = ask(capsys, "latency_ms", "--window", "1h", "--since", "3h", "--format", "json")
    counts = [json.loads(line)["n"] for line in out.splitlines()]
    assert sum(counts) == 8
    assert "window" in ask(capsys, "latency_ms", "--window", "1h", "--since", "3h").splitlines()[0]


def test_a_quantile(filled: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (line,) = ask(capsys, "latency_ms", "--statistic", "p50", "--format", "json").splitlines()
    assert 640 <= json.loads(line)["value"] <= 830


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["latency"], "latency"),
        (["latency_ms", "--since", "yesterday"], "yesterday"),
        (["latency_ms", "--since", "1h", "--until", "2h"], "`since` before `until`"),
        (["latency_ms", "--window", "soon"], "soon"),
        (["latency_ms", "--by", "plan"], "plan"),
    ],
)
def test_mistakes(filled: Path, arguments: list[str], message: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["query", *arguments]) == 2
    shown = capsys.readouterr().err
    assert message in shown
    assert len(shown.splitlines()) == 1


def test_a_segment_that_nothing_has_is_said(filled: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["query", "latency_ms", "--by", "segments.plna"]) == 0
    assert "has a segment 'plna'" in capsys.readouterr().err


def test_percentiles_of_a_share_are_refused(filled: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["query", "refusal", "--statistic", "p95"]) == 2
    assert "ask for its proportion" in capsys.readouterr().err


def test_a_metric_per_unit_of_another(filled: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (row,) = map(json.loads, ask(capsys, "latency_ms", "--per", "response_words", "--format", "json").splitlines())
    (words,) = map(json.loads, ask(capsys, "response_words", "--statistic", "total", "--format", "json").splitlines())
    assert (row["metric"], row["statistic"]) == ("latency_ms per response_words", "ratio")
    assert row["value"] == pytest.approx(sum(map(sum, LATENCIES.values())) / words["value"])
    header, line = ask(capsys, "latency_ms", "--per", "response_words").splitlines()
    assert header.split()[0] == "ratio"
    assert "every event taken" in line


@pytest.mark.parametrize("more", [["--worst-case"], ["--missing"], ["--plot", "p.svg"], ["--statistic", "p95"]])
def test_a_ratio_is_asked_for_alone(filled: Path, capsys: pytest.CaptureFixture[str], more: list[str]) -> None:
    assert main(["query", "latency_ms", "--per", "response_words", *more]) == 2
    assert "Expected" in capsys.readouterr().err
    assert main(["query", "all", "--per", "response_words"]) == 2
    assert "one metric with --per" in capsys.readouterr().err
