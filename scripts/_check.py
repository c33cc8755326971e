"""Lints: ruff, its formatter, mypy --strict and the import contracts; what `scripts/test` does first."""

from __future__ import annotations

import argparse
import sys

import _setup
import _stages


def main() -> int:
    """Runs every static stage and returns 0 when all are clean, else 1."""
    parser = argparse.ArgumentParser(prog="scripts/check", description=__doc__)
    parser.add_argument("--fix", action="store_true", help="let ruff repair and format first")
    arguments = parser.parse_args()
    _setup.ensure_environment()
    stages = _stages.Stages()
    _stages.add_static_stages(stages, fix=arguments.fix)
    return stages.finish()


if __name__ == "__main__":
    sys.exit(main())
