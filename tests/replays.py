"""A project whose store a replay filled, for tests of commands that ask it."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from evalsvc.cli import main


@contextmanager
def replayed(folder: Path, lines: Iterable[str]) -> Iterator[Path]:
    """A starter project in ``folder``, which is the current one, after a replay of these events."""
    with pytest.MonkeyPatch.context() as patch:
        patch.delenv("EVALSVC_STORE", raising=False)
        assert main(["init", str(folder)]) == 0
        patch.chdir(folder)
        (folder / "events.jsonl").write_text("\n".join(lines))
        assert main(["replay", "events.jsonl"]) == 0
        yield folder
