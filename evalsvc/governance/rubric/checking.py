"""What is wrong with files of rubrics, without comparing anything."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from evalsvc._yaml import Document
from evalsvc.errors import Problem
from evalsvc.governance.rubric.reading import read_choice
from evalsvc.project import shown


def check_rubrics(files: Sequence[Path]) -> tuple[Problem, ...]:
    """Read rubrics and the files of results that they name; return every mistake with its place."""
    return tuple(problem for path in files for problem in read_choice(Document.open(path, shown(path)), path.parent)[1])
