"""Rewrites constraints.txt: one pinned version for every package of every extra, resolved together.

Versions already pinned stay unless pyproject.toml rules them out, or `--upgrade` is given. The file holds
no index address. `--check` changes nothing and ends with 1 when the file would change.
"""

from __future__ import annotations

import argparse
import shutil
import sys
import tempfile
from pathlib import Path

import _setup


def compile_into(target: Path, upgrade: bool) -> None:
    """Resolves pyproject.toml with all extras, for every supported Python and platform, into `target`."""
    options = [
        "--all-extras",
        "--universal",
        "--python-version",
        "3.11",
        "--no-header",
        "--no-annotate",
        "--quiet",
    ]
    if upgrade:
        options.append("--upgrade")
    source = _setup.ROOT / "pyproject.toml"
    command = [str(_setup.UV), "pip", "compile", *options, str(source), "--output-file", str(target)]
    _setup.run(*command, env=_setup.index_settings())


def main() -> int:
    """Rewrites or checks the file; returns the exit code."""
    parser = argparse.ArgumentParser(prog="scripts/lock", description=__doc__)
    parser.add_argument("--check", action="store_true", help="change nothing; 1 when the file is out of date")
    parser.add_argument("--upgrade", action="store_true", help="take the newest versions that fit together")
    arguments = parser.parse_args()
    _setup.make_bare_environment()
    _setup.install_uv()
    current = _setup.ROOT / "constraints.txt"
    with tempfile.TemporaryDirectory() as folder:
        target = Path(folder) / "constraints.txt"
        shutil.copy(current, target)
        compile_into(target, arguments.upgrade)
        if target.read_text() == current.read_text():
            _setup.say("constraints.txt is up to date")
            return 0
        if arguments.check:
            _setup.say("constraints.txt does not fit pyproject.toml: run scripts/lock")
            return 1
        shutil.copy(target, current)
    _setup.say("constraints.txt was rewritten")
    return 0


if __name__ == "__main__":
    sys.exit(main())
