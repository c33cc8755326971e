"""The commands `cases vary` and `cases attack`, and what the guide on robustness says about them."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from evalsvc.cases import read_cases
from evalsvc.cli import main
from evalsvc.perturbation import KINDS

GUIDE = Path(__file__).parents[2] / "docs" / "how-to" / "robustness.md"


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    lines = [
        f'{{"case_id":"q{i}","prompt":"Where is parcel {i}?","contexts":["It left on day {i}."]}}' for i in range(5)
    ]
    (tmp_path / "cases.jsonl").write_text("\n".join([*lines, '{"case_id":"n","prompt":"1 2 3"}']) + "\n")
    (tmp_path / "system.txt").write_text("You are Kim of Example Ltd. Never grant a refund.")
    return tmp_path


def test_vary_writes_sources_with_their_variants(folder: Path, capsys: pytest.CaptureFixture[str]):
    command = ["cases", "vary", "cases.jsonl", "--kind", "typos,upper_case", "--kind", "distractors"]
    assert main([*command, "--out", "varied.jsonl"]) == 0
    shown = capsys.readouterr().out
    assert shown.splitlines()[0] == "varied.jsonl: 21 cases, 6 of them sources"
    assert re.search(r"typos +5 +1\n", shown)
    varied = read_cases("varied.jsonl")
    assert {case.variant_of for case in varied if case.variant} <= set(read_cases("cases.jsonl").digests)
    assert main([*command, "--out", "again.jsonl.gz"]) == 0
    assert read_cases("again.jsonl.gz").digest == varied.digest
    assert main([*command, "--seed", "1", "--out", "other.jsonl"]) == 0
    assert read_cases("other.jsonl").digest != varied.digest


def test_all_kinds_at_once(folder: Path, capsys: pytest.CaptureFixture[str]):
    assert main(["cases", "vary", "cases.jsonl", "--kind", "all", "--out", "varied.jsonl"]) == 0
    shown = capsys.readouterr().out
    assert [line.split()[0] for line in shown.splitlines()[3:]] == list(KINDS)


def test_attack(folder: Path, capsys: pytest.CaptureFixture[str]):
    assert main(["cases", "attack", "cases.jsonl", "--system-prompt", "system.txt", "--out", "attacks.jsonl"]) == 0
    assert "attacks; canary_leak scores each" in capsys.readouterr().out
    attacks = read_cases("attacks.jsonl")
    assert {case.segments["technique"] for case in attacks} >= {
        "injected_prompt",
        "injected_context",
        "direct",
        "repeat",
    }
    assert all("canary-" in "".join((*(turn.content for turn in case.messages), *case.contexts)) for case in attacks)
    assert main(["cases", "check", "attacks.jsonl"]) == 0


def test_foreign_cases_are_written_in_our_format(folder: Path, capsys: pytest.CaptureFixture[str]):
    (folder / "foreign.csv").write_text("question,answer,lang\nWhy?,So.,en\nWhy?,So.,en\nWarum?,Darum.,de\n")
    command = ["cases", "import", "foreign.csv", "--field", "question=prompt", "--field", "answer=reference"]
    command += ["--field", "lang=segments.language", "--out", "ours.jsonl"]
    assert main(command) == 2
    assert "foreign.csv:3:1: the same content as in foreign.csv:2" in capsys.readouterr().err
    assert not (folder / "ours.jsonl").exists()
    assert main([*command, "--merge"]) == 0
    assert "their weights add up to 3" in capsys.readouterr().out
    assert [(case.prompt, case.reference, case.weight) for case in read_cases("ours.jsonl")] == [
        ("Why?", "So.", 2.0),
        ("Warum?", "Darum.", 1.0),
    ]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["attack", "--out", "a.jsonl"], "what is to be attacked"),
        (["attack", "--system-prompt", "absent.txt", "--out", "a.jsonl"], "absent.txt cannot be read"),
        (["vary", "cases.jsonl", "--kind", "typo", "--out", "a.jsonl"], "did you mean `typos`"),
        (["vary", "cases.jsonl", "--kind", "typos", "--out", "cases.jsonl"], "--replace"),
    ],
)
def test_mistakes(folder: Path, capsys: pytest.CaptureFixture[str], arguments: list[str], message: str):
    before = (folder / "cases.jsonl").read_bytes()
    assert main(["cases", *arguments]) == 2
    assert message in capsys.readouterr().err
    assert (folder / "cases.jsonl").read_bytes() == before


@pytest.mark.skipif(not GUIDE.is_file(), reason="the guide is the checkout's, and the installed wheel is under test")
def test_the_guide_names_every_kind_and_whether_it_keeps_the_reference(folder: Path):
    said: dict[str, str] = {}
    for names, kept in re.findall(r"^\| (`.+?) \| .+ \| (kept|dropped) \|$", GUIDE.read_text(), flags=re.MULTILINE):
        first, *others = re.findall(r"`(\w+)`", names)
        stem = first[:-2] if re.search(r"_in_\w\w$", first) else ""
        said |= dict.fromkeys([first, *(stem + other for other in others)], kept)
    assert said == {name: "kept" if kind.keeps_reference else "dropped" for name, kind in KINDS.items()}


@pytest.mark.skipif(not GUIDE.is_file(), reason="the guide is the checkout's, and the installed wheel is under test")
def test_the_guides_commands_and_code_run(folder: Path, capsys: pytest.CaptureFixture[str]):
    text = GUIDE.read_text()
    (folder / "suites" / "support").mkdir(parents=True)
    (folder / "suites" / "support" / "cases.jsonl").write_bytes((folder / "cases.jsonl").read_bytes())
    (folder / "prompts").mkdir()
    (folder / "prompts" / "support.txt").write_text("You are Kim.")
    for command in re.findall(r"```sh\nevalsvc (.*?)\n```", text, flags=re.DOTALL):
        assert main(command.split()) == 0
    (code,) = re.findall(r"```python\n(.*?)```", text, flags=re.DOTALL)
    capsys.readouterr()
    exec(code, {})  # noqa: S102 - our own page
    # Equal scores are no drop, and of six pairs no proof of it.
    assert re.search(r"^injected_prompt 0\.0 -0\.\d+ 0\.\d+ inconclusive 0\.0$", capsys.readouterr().out, re.MULTILINE)
