"""``evalsvc fairness`` on the demo's traffic, sampled and scored as the demo does: the planted gap, and no other."""

from __future__ import annotations

import json
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

import pytest

from evalsvc.cli import main
from evalsvc.demo import scene
from evalsvc.demo.traffic import LANGUAGES, PLANTED

END = datetime(2026, 3, 1, tzinfo=UTC)
EVENTS = 20_000
KEPT = ("refusal", "introduced_pii", "latency_ms")


@pytest.fixture(scope="module")
def demo(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    folder = tmp_path_factory.mktemp("fairness") / "demo"
    with pytest.MonkeyPatch.context() as patch:
        patch.delenv("EVALSVC_STORE", raising=False)
        made = scene.prepare(folder, END, EVENTS)
        patch.chdir(folder)
        text, _, rest = scene.DEMO.partition("scorers:\n")
        limits = rest[rest.index("limits:") :]
        scorers = "".join(f"  - {name}\n" for name in KEPT)
        (folder / "consumers" / "demo.yaml").write_text(f"{text}scorers:\n{scorers}{limits}")
        assert scene.score(made).sampled > 1000
        yield folder


def ask(capsys: pytest.CaptureFixture[str], metric: str, *arguments: str) -> str:
    capsys.readouterr()
    span = ("--since", "2026-02-15", "--until", "2026-03-01")
    assert main(["fairness", metric, *span, *arguments]) == 0
    return capsys.readouterr().out


def test_the_planted_gap_is_found_and_no_other_language_is_named(demo, capsys):
    version_2 = ("--by", "segments.language", "--where", "model_version=2")
    found = json.loads(ask(capsys, "refusal", *version_2, "--format", "json"))
    assert found["differing"] == ["es"]
    planted = PLANTED["2"].spanish_refusal - PLANTED["2"].refusal
    assert 0.0 < found["gap"]["low"] <= planted <= found["gap"]["high"]
    (apart,) = found["apart"]
    assert apart["rest"] == pytest.approx(PLANTED["2"].refusal, abs=0.01)
    assert {group["name"] for group in found["groups"]} == set(LANGUAGES)
    sentence = ask(capsys, "refusal", *version_2).splitlines()[1]
    assert sentence.startswith("groups differ: the gap seen, ")
    assert "standing apart: es (" in sentence
    assert "not proof of unfair treatment" in sentence


def test_of_all_versions_and_languages_it_is_the_one_that_was_planted(demo, capsys):
    found = json.loads(ask(capsys, "refusal", "--by", "model_version,segments.language", "--format", "json"))
    assert found["differing"] == ["2 × es"]


@pytest.mark.parametrize(
    ("metric", "by", "version"),
    [
        ("refusal", "segments.language", "1"),
        ("refusal", "segments.plan", "1"),
        ("refusal", "segments.plan", "2"),
        ("introduced_pii", "segments.language", "2"),
        ("introduced_pii", "segments.plan", "2"),
        ("latency_ms", "segments.plan", "1"),
        ("latency_ms", "segments.plan", "2"),
    ],
)
def test_nothing_that_was_not_planted_is_reported(demo, capsys, metric, by, version):
    only = ("--by", by, "--where", f"model_version={version}")
    found = json.loads(ask(capsys, metric, *only, "--format", "json"))
    assert found["differing"] == []
    assert found["gap"]["low"] == 0.0
    assert found["sentence"].startswith("no group is shown to differ: ")
