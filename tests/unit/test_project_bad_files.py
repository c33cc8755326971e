"""The corpus of wrong files: ``bad/NAME.bad.yaml`` has its exact problems in ``bad/NAME.bad.txt``.

After a message changed on purpose, ``python tests/unit/test_project_bad_files.py`` writes the corpus' texts
anew.
"""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from evalsvc.project import check

BAD = Path(__file__).parent / "bad"
FILES = sorted(BAD.glob("*.bad.yaml"))


def problems(path: Path) -> list[str]:
    return [str(problem) for problem in check([path]).problems]


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.name.removesuffix(".bad.yaml"))
def test_a_wrong_file_gives_exactly_its_problems(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(BAD)
    assert problems(path) == path.with_suffix(".txt").read_text(encoding="utf-8").splitlines()


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.name.removesuffix(".bad.yaml"))
def test_every_problem_has_a_place_that_exists(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(BAD)
    lines = path.read_bytes().splitlines() or [b""]
    found = check([path]).problems
    assert found
    for problem in found:
        assert 1 <= problem.line <= len(lines) + 1
        assert problem.column >= 1


def test_the_corpus_is_whole() -> None:
    assert len(FILES) >= 30
    assert {path.with_suffix(".txt").name for path in FILES} == {path.name for path in BAD.glob("*.txt")}


def test_what_may_be_a_secret_is_never_repeated(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(BAD)
    shown = "\n".join(line for path in FILES for line in problems(path))
    for secret in ("hunter2", "s3cr3t", "my-actual-key", "alice"):
        assert secret not in shown


if __name__ == "__main__":
    os.chdir(BAD)
    for file in FILES:
        file.with_suffix(".txt").write_text("".join(f"{line}\n" for line in problems(file)), encoding="utf-8")
