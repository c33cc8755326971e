"""``evalsvc dead-letters`` over a store that a replay of a damaged file filled."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from evalsvc.cli import main

LINES = [
    '{"event_id": "a", "occurred_at": "2026-03-01T12:00:00Z", "application": "support", "response": "Yes."}',
    '{"event_id": "secret-hunter2"',
    '{"event_id": "b", "occurred_at": "2026-03-01T12:00:00Z", "response": "Yes."}',
    "not JSON at all, hunter2",
]


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    folder = tmp_path_factory.mktemp("project")
    with pytest.MonkeyPatch.context() as patch:
        patch.delenv("EVALSVC_STORE", raising=False)
        assert main(["init", str(folder)]) == 0
        patch.chdir(folder)
        (folder / "broken.jsonl").write_text("\n".join(LINES) + "\n")
        assert main(["replay", "broken.jsonl"]) == 1
        yield folder


def ask(capsys: pytest.CaptureFixture[str], *arguments: str) -> str:
    capsys.readouterr()
    assert main(["dead-letters", *arguments]) == 0
    return capsys.readouterr().out


def test_the_table_counts_reasons_and_lists_places(project: Path, capsys: pytest.CaptureFixture[str]) -> None:
    reasons, _, places = ask(capsys).partition("\n\n")
    header, *counted = reasons.splitlines()
    assert header.split()[:2] == ["records", "reason"]
    assert [line.split()[:2] for line in counted] == [["2", "not_json"], ["1", "missing_field"]]
    assert f"{project / 'broken.jsonl'}:2" in counted[0]
    assert "`application`" in counted[1]
    assert len(places.splitlines()) == 4
    assert "hunter2" not in reasons + places


def test_a_limit_says_that_there_is_more(project: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert ask(capsys, "--limit", "1").splitlines()[-1] == "the last 1 of 3; --limit shows more"


def test_json_and_csv_are_a_letter_a_line(project: Path, capsys: pytest.CaptureFixture[str]) -> None:
    letters = [json.loads(line) for line in ask(capsys, "--format", "json").splitlines()]
    assert sorted(letter["offset"] for letter in letters) == [1, 2, 3]
    assert {letter["consumer"] for letter in letters} == {"replay"}
    rows = list(csv.DictReader(io.StringIO(ask(capsys, "--format", "csv", "--reason", "missing_field"))))
    assert [(row["offset"], row["size"]) for row in rows] == [("2", str(len(LINES[2])))]


def test_nothing_found_says_what_was_asked(project: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert ask(capsys, "--consumer", "other").startswith("no dead letters of consumer other since ")
    assert ask(capsys, "--consumer", "other").endswith("; there are some of replay\n")
    header = "consumer,partition,offset,received_at,reason,message,size,digest,at\n"
    assert ask(capsys, "--format", "csv", "--reason", "future_time") == header


@pytest.mark.parametrize(
    "wrong", [["--limit", "0"], ["--since", "tomorrow"], ["--since", "now"], ["--reason", "no_json"]]
)
def test_mistakes_are_usage_errors(project: Path, capsys: pytest.CaptureFixture[str], wrong: list[str]) -> None:
    assert main(["dead-letters", *wrong]) == 2
    assert "xpected" in capsys.readouterr().err
