"""The folder of dead letters: durable lines, and a clear error when the disk says no."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from pathlib import Path

import pytest

from evalsvc.dead_letters import FolderDeadLetters
from evalsvc.errors import StoreUnavailable
from evalsvc.types import DeadLetter

LETTER = DeadLetter("c", "t/0", 4, datetime(2026, 1, 1, tzinfo=UTC), "not_json", "Expected a JSON object", 9, "d1")


def test_letters_are_lines(tmp_path: Path) -> None:
    sink = FolderDeadLetters(tmp_path / "new" / "dead", "c")
    sink.write([LETTER, LETTER])
    sink.write([LETTER])
    sink.close()
    lines = [json.loads(line) for line in (tmp_path / "new" / "dead" / "c.jsonl").read_text().splitlines()]
    assert len(lines) == 3
    assert (lines[0]["partition"], lines[0]["offset"], lines[0]["reason"]) == ("t/0", 4, "not_json")


def test_a_disk_that_is_full_is_awaited_not_ignored() -> None:
    sink = FolderDeadLetters("/dev", "c")
    sink.path = Path("/dev/full")
    with pytest.raises(StoreUnavailable, match="/dev/full"):
        sink.write([LETTER])
