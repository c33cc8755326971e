"""The ready workflow files are YAML, and call the command as it is."""

from __future__ import annotations

import re
import shlex
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


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)
def test_an_error_blocks_and_the_summary_is_kept(path: Path) -> None:
    text = path.read_text()
    # Exit code 2 is in no list of those that are allowed.
    assert "|| true" not in text
    assert "continue-on-error" not in text
    assert text.count("summary.md") >= 2
    assert "junit.xml" in text
