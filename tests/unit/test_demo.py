"""The demo's traffic: reproducible, in order, with the planted truth beside it; and its project is a valid one."""

from __future__ import annotations

import json
import subprocess
import sys
from collections import Counter
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from evalsvc import project
from evalsvc.demo import comparison, scene
from evalsvc.demo.traffic import DAYS, PLANTED, generate
from evalsvc.errors import ConfigError
from evalsvc.sources.decode import decode, encode

END = datetime(2026, 3, 1, tzinfo=UTC)
MADE = list(generate(END, 8000))


def test_it_is_reproducible_and_in_order() -> None:
    assert list(generate(END, 8000)) == MADE
    times = [event.occurred_at for event, _ in MADE]
    assert times == sorted(times)
    assert END - timedelta(days=DAYS) <= times[0]
    assert times[-1] < END
    assert len({event.event_id for event, _ in MADE}) == len(MADE)


def test_every_event_survives_the_wire() -> None:
    assert all(decode(encode(event)) == event for event, _ in MADE[:300])


@pytest.mark.parametrize("version", PLANTED)
def test_faults_are_planted_at_their_rates(version: str) -> None:
    truths = [truth for _, truth in generate(END, 60_000) if truth.model_version == version and truth.language != "es"]
    for rate, planted in (
        (PLANTED[version].refusal, sum(t.refusal for t in truths)),
        (PLANTED[version].leak, sum(t.introduced_pii for t in truths)),
        (PLANTED[version].unsupported, sum(t.unsupported for t in truths)),
    ):
        expected = rate * len(truths)
        assert abs(planted - expected) < 5 * expected**0.5


def test_sessions_keep_version_and_customer() -> None:
    seen: dict[str | None, set[tuple[str, str | None]]] = {}
    for event, _ in MADE:
        seen.setdefault(event.session_id, set()).add((event.model_version, event.user_id))
    assert all(len(values) == 1 for values in seen.values())
    assert Counter(event.turn for event, _ in MADE)[0] == len(seen)


def test_its_project_is_valid(tmp_path: Path) -> None:
    scene.prepare(tmp_path / "demo", END, 100)
    checked = project.check([tmp_path / "demo" / "consumers"])
    assert list(checked.problems) == []
    assert sorted(consumer.name for consumer in checked.consumers) == ["beta", "demo", "live"]


def test_a_folder_that_is_not_a_demos_is_left_alone(tmp_path: Path) -> None:
    (tmp_path / "mine.txt").write_text("precious")
    with pytest.raises(ConfigError, match="holds something else"):
        scene.prepare(tmp_path, END, 100)
    assert (tmp_path / "mine.txt").read_text() == "precious"


@pytest.mark.slow
def test_the_whole_demo_shows_estimates_beside_the_truth(tmp_path: Path) -> None:
    run = "import sys; from pathlib import Path; from evalsvc.demo import main; sys.exit(main(once=True, events=4000))"
    done = subprocess.run([sys.executable, "-c", run], cwd=tmp_path, capture_output=True, text=True, timeout=280)
    assert done.returncode == 0, done.stderr[-2000:]
    lines = [line for line in done.stdout.splitlines() if " inside " in line or " OUT " in line]
    assert len(lines) == len(comparison.questions())
    assert sum(" inside " in line for line in lines) >= len(lines) * 2 // 3
    assert "RefusalsRose: 1 page in 14 days" in done.stdout
    assert " firing: For application=beta-assistant, consumer=beta: " in done.stdout
    assert " resolved: Over for application=beta-assistant, consumer=beta: " in done.stdout
    truths = (tmp_path / ".evalsvc" / "demo" / "data" / "truth.jsonl.gz").stat().st_size
    assert truths > 1000
    query = [sys.executable, "-m", "evalsvc", "query", "refusal", "--since", "14d", "--format", "json"]
    query += ["--where", "consumer=demo"]
    asked = subprocess.run(query, cwd=tmp_path / ".evalsvc" / "demo", capture_output=True, text=True, timeout=120)
    row = json.loads(asked.stdout)
    assert row["low"] <= row["value"] <= row["high"]
    assert row["n"] > 50
