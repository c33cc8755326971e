"""The ready workflow files are YAML, and call the command as it is."""

from __future__ import annotations

import os
import re
import shlex
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
import yaml

from evalsvc.cli import build_parser

FOLDER = Path(__file__).parents[2] / "docs" / "how-to" / "ci"
FILES = sorted(FOLDER.glob("*.yml"))


@pytest.mark.skipif(not FOLDER.is_dir(), reason="the files lie in the checkout, and the installed wheel is under test")
def test_there_is_one_for_each_forge() -> None:
    assert [path.stem for path in FILES] == ["github-actions", "gitlab-ci"]


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)
def test_its_commands_are_ones_that_the_parser_takes(path: Path) -> None:
    text = path.read_text()
    assert yaml.safe_load(text)
    commands = re.findall(r"^\s*(?:- (?:run: )?)?(evalsvc .*)$", text, re.MULTILINE)
    assert [command.split()[1] for command in commands] == ["check", "gate"]
    for command in commands:
        parsed, unknown = build_parser().parse_known_args(shlex.split(command)[1:])
        assert unknown == []
        assert parsed.paths == ["suites"]


def _strings(value: object) -> Iterator[str]:
    if isinstance(value, str):
        yield value
    for inner in value.values() if isinstance(value, dict) else value if isinstance(value, list) else ():
        yield from _strings(inner)


def _git(*words: str) -> str:
    done = subprocess.run(["git", *words], capture_output=True, text=True, check=True)
    return done.stdout.strip()


@pytest.mark.skipif(shutil.which("git") is None, reason="needs git")
@pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)
def test_it_installs_the_named_commit_with_its_pins(path: Path, tmp_path: Path) -> None:
    """The package index has none: what is installed is a clone. `pip` is one that says what it is asked."""
    text = path.read_text()
    assert "not on PyPI" in text
    place = tmp_path / "clone"
    lines = [line for part in _strings(yaml.safe_load(text)) for line in part.splitlines()]
    asked = [line.replace("/tmp/evalsvc", str(place)) for line in lines if line.startswith(("git ", "pip "))]
    origin, tools = tmp_path / "origin", tmp_path / "tools"
    tools.mkdir()
    (tools / "pip").write_text('#!/bin/sh\nprintf "%s\\n" "$@"\n')
    (tools / "pip").chmod(0o755)
    _git("init", "--quiet", str(origin))
    for version in ("1", "2"):
        (origin / "constraints.txt").write_text(f"x=={version}\n")
        _git("-C", str(origin), "add", ".")
        who = ("-c", "user.name=a", "-c", "user.email=a@example.com")
        _git("-C", str(origin), *who, "commit", "--quiet", "-m", version)
    first = _git("-C", str(origin), "rev-parse", "HEAD~1")
    given = {"EVALSVC_URL": str(origin), "EVALSVC_COMMIT": first, "RUNNER_TEMP": str(tmp_path)}
    script = "set -e\n" + "\n".join(asked).replace('"$RUNNER_TEMP/evalsvc', f'"{place}')
    environment = {**os.environ, **given, "PATH": f"{tools}{os.pathsep}{os.environ['PATH']}"}
    done = subprocess.run(["sh", "-c", script], env=environment, capture_output=True, text=True, check=True)
    assert done.stdout.split() == ["install", "-c", f"{place}/constraints.txt", str(place)]
    assert (place / "constraints.txt").read_text() == "x==1\n"


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)
def test_an_error_blocks_and_the_summary_is_kept(path: Path) -> None:
    text = path.read_text()
    # Exit code 2 is in no list of those that are allowed.
    assert "|| true" not in text
    assert "continue-on-error" not in text
    assert text.count("summary.md") >= 2
    assert "junit.xml" in text
