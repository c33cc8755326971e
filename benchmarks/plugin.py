"""What an installed pytest plugin adds to a test run that does not use it: evalsvc's beside deepeval's.

Run: ``python benchmarks/plugin.py [--quick]``. A foreign project with one trivial test is run in a new process each
time, in turns: without and with evalsvc's plugin, without and with deepeval's. Both are found by their entry points,
as after ``pip install``; every other plugin of the environment is switched off.
"""

from __future__ import annotations

import argparse
import importlib.metadata
import os
import re
import resource
import statistics
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import NamedTuple

from _harness import Aim, Row, machine, table

PACKAGE = Path(__file__).resolve().parents[1] / "evalsvc"
OURS, PEER = "evalsvc", "deepeval"
MODULES = {OURS: "evalsvc.gate.plugin", PEER: "deepeval.plugins.plugin"}


class Imported(NamedTuple):
    """What importing a plugin takes after pytest: milliseconds, and modules loaded."""

    milliseconds: float
    modules: int


def site(folder: Path) -> Path:
    """Lay the checkout out as an installer does, metadata with entry points and the list of files included."""
    (folder / "evalsvc").symlink_to(PACKAGE)
    about = folder / "evalsvc-0.1.0.dist-info"
    about.mkdir()
    (about / "METADATA").write_text("Metadata-Version: 2.1\nName: evalsvc\nVersion: 0.1.0\n")
    (about / "entry_points.txt").write_text(f"[pytest11]\n{OURS} = {MODULES[OURS]}\n")
    files = (path.relative_to(PACKAGE.parent).as_posix() for path in sorted(PACKAGE.rglob("*.*")) if path.is_file())
    (about / "RECORD").write_text("".join(f"{name},,\n" for name in files if "__pycache__" not in name))
    return folder


def milliseconds(project: Path, environment: dict[str, str], plugin: str) -> float:
    """Return the processor time of a run with one plugin, or with none: what a busy machine changes least."""
    names = {entry.name for entry in importlib.metadata.entry_points(group="pytest11")} | {OURS, PEER}
    switched_off = [part for name in sorted(names - {plugin}) for part in ("-p", f"no:{name}")]
    command = [sys.executable, "-m", "pytest", "-q", *switched_off, "test_foreign.py"]
    began = _children_seconds()
    subprocess.run(command, cwd=project, env=environment, check=True, capture_output=True)
    return (_children_seconds() - began) * 1000


def _children_seconds() -> float:
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


def imported(environment: dict[str, str], plugin: str) -> Imported:
    """Return what the import of a plugin adds, as ``python -X importtime`` counts it."""
    code = f"import pytest; import {MODULES[plugin]}"
    command = [sys.executable, "-X", "importtime", "-c", code]
    done = subprocess.run(command, env=environment, check=True, capture_output=True, text=True)
    lines = [line for line in done.stderr.splitlines() if line.startswith("import time:")]
    after = next(place for place, line in enumerate(lines) if line.endswith("| pytest")) + 1
    found = re.search(rf"\|\s*(\d+) \|\s*{re.escape(MODULES[plugin])}$", "\n".join(lines[after:]), re.MULTILINE)
    if found is None:
        raise RuntimeError(f"Expected {MODULES[plugin]} among the imports, but it is not there")
    return Imported(int(found[1]) / 1000, len(lines) - after)


def run(quick: bool) -> list[Row]:
    """Measure; each difference is taken within a round, against the run with neither."""
    # The peer takes seconds, whose noise matters less.
    rounds = {OURS: 5 if quick else 21, PEER: 1 if quick else 11}
    with tempfile.TemporaryDirectory(prefix="evalsvc-plugin-") as temporary:
        project = Path(temporary, "project")
        installed = Path(temporary, "site")
        project.mkdir()
        installed.mkdir()
        (project / "test_foreign.py").write_text("def test_foreign():\n    assert 1 + 1 == 2\n")
        paths = os.pathsep.join([str(site(installed)), os.environ.get("PYTHONPATH", "")]).strip(os.pathsep)
        environment = {**os.environ, "PYTHONPATH": paths, "DEEPEVAL_TELEMETRY_OPT_OUT": "YES"}
        environment.pop("PYTEST_DISABLE_PLUGIN_AUTOLOAD", None)
        added = {plugin: _added(project, environment, plugin, rounds[plugin]) for plugin in rounds}
        times = {plugin: [imported(environment, plugin) for _ in range(3 if quick else 5)] for plugin in rounds}
    return _rows(added, times)


def _added(project: Path, environment: dict[str, str], plugin: str, rounds: int) -> list[float]:
    # A first run compiles what the others load.
    milliseconds(project, environment, plugin)
    return [-milliseconds(project, environment, "") + milliseconds(project, environment, plugin) for _ in range(rounds)]


def _rows(added: dict[str, list[float]], times: dict[str, list[Imported]]) -> list[Row]:
    mine, theirs = (statistics.median(added[plugin]) for plugin in (OURS, PEER))
    quick, slow = (statistics.median(one.milliseconds for one in times[plugin]) for plugin in (OURS, PEER))
    few, many = (float(times[plugin][0].modules) for plugin in (OURS, PEER))
    peer = "deepeval's plugin"
    return [
        # Where the noise of the machine is more than what is added, there is no ratio.
        Row(
            "plugin",
            "processor time added to a foreign test run",
            mine,
            "ms",
            peer,
            theirs,
            theirs / mine if mine > 0.0 else None,
            Aim("value", "≤", 20),
        ),
        Row("plugin", "import of the plugin, after pytest", quick, "ms", peer, slow, slow / quick),
        Row("plugin", "modules loaded by it", few, "modules", peer, many, many / few),
    ]


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--quick", action="store_true", help="fewer rounds")
    options = parser.parse_args()
    print(machine())
    print(table(run(options.quick)))


if __name__ == "__main__":
    main()
