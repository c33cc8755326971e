"""What a replay says its scores came to."""

from __future__ import annotations

import io
import json

from evalsvc._score_sheet import ScoreSheet
from evalsvc.testing.stores import make_score
from evalsvc.types import WriteBatch


def batch() -> WriteBatch:
    ok = [make_score(index, value) for index, value in enumerate((0.5, 1.0))]
    abstained = [make_score(index, None, reason="no reference") for index in (2, 3)]
    failed = make_score(4, None, status="failed", reason="broke")
    return WriteBatch(scores=(*ok, *abstained, failed, make_score(5, None, metric="other")))


def test_a_line_a_metric_with_the_most_frequent_reason() -> None:
    sheet = ScoreSheet()
    sheet.note(batch())
    sheet.note(WriteBatch(scores=(make_score(6, 0.0),)))
    header, quality, other = sheet.table().splitlines()
    assert header.split()[:5] == ["metric", "ok", "mean", "abstained", "failed"]
    assert quality.split() == ["quality", "3", "0.5", "2", "1", "no", "reference", "(2)"]
    assert other.split()[:5] == ["other", "0", "-", "1", "0"]


def test_without_a_score_there_is_no_table() -> None:
    assert ScoreSheet().table() == ""


def test_every_score_is_a_line_of_json() -> None:
    out = io.StringIO()
    ScoreSheet(out).note(batch())
    rows = [json.loads(line) for line in out.getvalue().splitlines()]
    assert len(rows) == 6
    assert rows[0]["value"] == 0.5
    assert rows[0]["event_id"] == "event-0"
    assert (rows[2]["status"], rows[2]["value"], rows[2]["reason"]) == ("abstained", None, "no reference")
