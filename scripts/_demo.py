"""Sets the checkout up where needed and becomes `evalsvc demo`: two weeks of synthetic traffic, scored.

All arguments go to `evalsvc demo` unchanged: `scripts/demo --once` ends after printing instead of leaving the
service up.
"""

from __future__ import annotations

import os
import sys

import _setup


def main() -> None:
    """Replaces this process by `evalsvc demo`, once the environment is whole."""
    if {"-h", "--help"} & set(sys.argv[1:]) and not _setup.is_whole():
        print(__doc__)
        return
    _setup.ensure_environment()
    program = str(_setup.ENVIRONMENT / "bin" / "evalsvc")
    os.execv(program, [program, "demo", *sys.argv[1:]])  # noqa: S606 - no shell is wanted


if __name__ == "__main__":
    main()
