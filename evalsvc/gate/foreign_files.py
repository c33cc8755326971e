"""Files that are called as suites are, in a folder that pytest collects: ours, or another tool's."""

from __future__ import annotations

import re
from collections.abc import Iterable
from pathlib import Path

from evalsvc._yaml import Document

_KEYS = ("suite", "cases", "model", "baseline", "scorers", "gates")
_WRITTEN = re.compile(rf"""^[\s{{,"']*({"|".join(key.rstrip("s") + "s?" for key in _KEYS)})["']?\s*:""", re.MULTILINE)


def is_suite(path: Path) -> bool:
    """Whether a file has two of a suite's keys, as ``gates`` or, in a slip, ``gate``.

    Of a file that is no YAML, or not UTF-8, what is written like a key is taken for one. What is wrong with it is told
    when it is collected, as of a file that cannot be opened.
    """
    try:
        content = path.read_bytes()
    except OSError:
        return True
    root = Document(str(path), content).root
    if root is not None:
        return _has_two(key for key, _ in root)
    # Every other byte of UTF-16 is nothing here.
    text = content.replace(b"\0", b"").decode("utf-8", errors="replace").lstrip("\ufeff\ufffd")
    return _has_two(found[1] for found in _WRITTEN.finditer(text))


def _has_two(keys: Iterable[str]) -> bool:
    known = {key.rstrip("s") for key in _KEYS}
    return len({key.rstrip("s") for key in keys} & known) > 1
