"""``replay --again``: after a judge's outage, the scores that failed are made by the same files and consumer."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from evalsvc import assemble
from evalsvc.cli import main
from evalsvc.store import MemoryStore
from evalsvc.types import Failed, Outcome, Sample, Scale, ScorerSpec


class Endpoint:
    """A scorer behind an endpoint, which is down as long as there is a file ``down``."""

    spec = ScorerSpec("endpoint", 1, Scale(0.0, 1.0, "higher"))

    def load(self) -> None:
        pass

    def cost(self, sample: Sample) -> int:
        return 1

    def score(self, batch: Sequence[Sample]) -> Sequence[Outcome]:
        down = Path("down").exists()
        return [Failed("judge: no connection") if down else 0.5 for _ in batch]


class Durable:
    """A memory store that is not known as one."""

    def __init__(self) -> None:
        self.held = MemoryStore()

    def __getattr__(self, name: str) -> Any:
        return getattr(self.held, name)


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A project of one consumer, whose store outlives a command."""
    store = Durable()

    @contextmanager
    def held(*_: object, **__: object) -> Iterator[Durable]:
        yield store

    monkeypatch.setattr(assemble, "project_store", held)
    monkeypatch.chdir(tmp_path)
    (tmp_path / "consumers").mkdir()
    (tmp_path / "consumers" / "x.yaml").write_text(
        f"consumer: x\nsource:\n  files:\n    paths: [in]\nscorers: ['{__name__}:Endpoint', latency_ms]\n"
    )
    rows = [
        {"event_id": f"e{n}", "occurred_at": "2026-01-01T00:00:00Z", "application": "a", "response": "r"}
        for n in range(11)
    ]
    (tmp_path / "few.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    return tmp_path


def test_scores_that_failed_are_made_by_a_second_command(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    command = ["replay", "few.jsonl", "--consumer", "x"]
    (folder / "down").touch()
    assert main(command) == 0
    shown = capsys.readouterr()
    assert "11 records read (11 sampled), 22 scores written" in shown.out
    assert "11 scores failed; the same command with `--again failed` tries them again" in shown.err

    assert main(command) == 0
    assert "`--again failed` tries again what failed" in capsys.readouterr().err

    assert main([*command, "--again", "failed"]) == 0
    assert "11 scores failed; the same command tries them again" in capsys.readouterr().err

    (folder / "down").unlink()
    assert main([*command, "--again", "failed", "--scores"]) == 0
    shown = capsys.readouterr()
    made = [json.loads(line) for line in shown.out.splitlines()]
    assert [(row["event_id"], row["metric"], row["value"]) for row in made] == [
        (f"e{n}", "endpoint", 0.5) for n in range(11)
    ]
    assert "x: 11 records read again (11 sampled), 11 scores written" in shown.err
    assert "failed" not in shown.err

    assert main([*command, "--again", "failed"]) == 0
    assert "no score of these events is failed under the name 'x'" in capsys.readouterr().err
    assert main([*command, "--again", "abstained"]) == 0
    assert "11 scores written" in capsys.readouterr().out


def test_a_store_that_keeps_nothing_offers_no_second_command(
    folder: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.undo()
    monkeypatch.chdir(folder)
    (folder / "down").touch()
    assert main(["--store", "memory:", "replay", "few.jsonl", "--consumer", "x"]) == 0
    assert "--again" not in capsys.readouterr().err
