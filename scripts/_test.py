"""Tests everything: set-up, lint, the whole suite, the docstrings' examples, and what packaging can break.

Without arguments it runs all stages and prints their figures. Arguments go to pytest unchanged, for a quick
run of a few tests: `scripts/test tests/unit -k window`. The suite starts a real Kafka broker, a real
Prometheus and a real Alertmanager and opens the page in a real browser, so java, mvn, prometheus (with promtool),
prometheus-alertmanager and chromium are installed through apt where they are missing (as root; else the line to run
is printed).
"""

from __future__ import annotations

import os
import sys
import time

import _setup
import _stages

SYSTEM_PACKAGES = {
    "java": "default-jre-headless",
    "mvn": "maven",
    "chromium": "chromium",
    "prometheus-alertmanager": "prometheus-alertmanager",
    "prometheus": "prometheus",
}


def main() -> int:
    """Runs the stages, or pytest with the given arguments, and returns the exit code."""
    arguments = sys.argv[1:]
    if {"-h", "--help"} & set(arguments):
        print(f"usage: scripts/test [PYTEST-ARGUMENT ...]\n\n{__doc__}")
        return 0
    python = _setup.ensure_environment()
    stages = _stages.Stages()
    if arguments:
        stages.run("pytest", python, "-m", "pytest", *arguments)
        return stages.finish()
    _setup.install_system_packages(SYSTEM_PACKAGES)
    start = time.monotonic()
    workers = str(min(4, os.cpu_count() or 1))
    _stages.add_static_stages(stages)
    # By file, so that a broker or a loaded model is shared by the tests of one file instead of made again. In the order
    # of folders: reordered, files of a single long test come last, and one worker waits for the other.
    suite = ["-n", workers, "--dist", "loadfile", "--no-loadscope-reorder", "--durations", "10"]
    stages.run("tests", python, "-m", "pytest", "-q", *suite, "tests")
    stages.run("docstring examples", python, "-m", "pytest", "-q", "--doctest-modules", "evalsvc")
    # Not the whole suite again: scripts/_wheel.py says which tests can fail there only, and why no other can.
    stages.run("installed wheel", python, "scripts/_wheel.py")
    _setup.say(f"all stages took {time.monotonic() - start:.0f} s with {workers} workers")
    return stages.finish()


if __name__ == "__main__":
    sys.exit(main())
