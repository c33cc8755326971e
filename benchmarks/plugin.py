"""What an installed pytest plugin adds to a test run that does not use it: evalsvc's beside deepeval's.

Run: ``python benchmarks/plugin.py [--quick]``. A foreign project with one trivial test is run in a new process each
time, in turns without and with the plugin, which is found by its entry point, as after ``pip install``: ours in an
environment that holds pytest alone, deepeval's in this one, with every other plugin switched off.
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
PYTEST = ("pytest", "pluggy", "iniconfig", "packaging", "pygments")
MODULES = {OURS: "evalsvc.gate.plugin", PEER: "deepeval.plugins.plugin"}


class Imported(NamedTuple):
    """What importing a plugin takes after pytest: milliseconds, and modules loaded."""

    milliseconds: float
    modules: int


def environment_of(folder: Path, *, installed: bool) -> dict[str, str]:
    """Lay out a folder of packages with pytest alone, or with evalsvc beside it; return what makes Python use it."""
    folder.mkdir()
    for name in PYTEST:
        files = importlib.metadata.files(name) or []
        for top in {file.parts[0] for file in files if file.parts[0] not in ("..", "__pycache__")}:
            (folder / top).symlink_to(Path(str(files[0].locate())).parents[len(files[0].parts) - 1] / top)
    if installed:
        _install(folder)
    environment = {name: value for name, value in os.environ.items() if name != "PYTEST_DISABLE_PLUGIN_AUTOLOAD"}
    return {**environment, "PYTHONPATH": str(folder)}


def _install(folder: Path) -> None:
    """Lay the checkout out as an installer does, metadata with entry points and the list of files included."""
    (folder / "evalsvc").symlink_to(PACKAGE)
    about = folder / "evalsvc-0.1.0.dist-info"
    about.mkdir()
    (about / "METADATA").write_text("Metadata-Version: 2.1\nName: evalsvc\nVersion: 0.1.0\n")
    (about / "entry_points.txt").write_text(f"[pytest11]\n{OURS} = {MODULES[OURS]}\n")
    files = (path.relative_to(PACKAGE.parent).as_posix() for path in sorted(PACKAGE.rglob("*.*")) if path.is_file())
    (about / "RECORD").write_text("".join(f"{name},,\n" for name in files if "__pycache__" not in name))


def milliseconds(command: list[str], project: Path, environment: dict[str, str]) -> float:
    """Return the processor time of a command: what a busy machine changes least."""
    began = _children_seconds()
    subprocess.run([sys.executable, *command], cwd=project, env=environment, check=True, capture_output=True)
    return (_children_seconds() - began) * 1000


def _children_seconds() -> float:
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


def imported(options: list[str], environment: dict[str, str], plugin: str) -> Imported:
    """Return what the import of a plugin adds, as ``python -X importtime`` counts it."""
    code = f"import pytest; import {MODULES[plugin]}"
    command = [sys.executable, *options, "-X", "importtime", "-c", code]
    done = subprocess.run(command, env=environment, check=True, capture_output=True, text=True)
    lines = [line for line in done.stderr.splitlines() if line.startswith("import time:")]
    after = next(place for place, line in enumerate(lines) if line.endswith("| pytest")) + 1
    found = re.search(rf"\|\s*(\d+) \|\s*{re.escape(MODULES[plugin])}$", "\n".join(lines[after:]), re.MULTILINE)
    if found is None:
        raise RuntimeError(f"Expected {MODULES[plugin]} among the imports, but it is not there")
    return Imported(int(found[1]) / 1000, len(lines) - after)


def run(quick: bool) -> list[Row]:
    """Measure; each difference is taken within a round, against the run without the plugin."""
    # The peer takes seconds, whose noise matters less.
    rounds = {OURS: 11 if quick else 61, PEER: 1 if quick else 11}
    with tempfile.TemporaryDirectory(prefix="evalsvc-plugin-") as temporary:
        project = Path(temporary, "project")
        project.mkdir()
        (project / "test_foreign.py").write_text("def test_foreign():\n    assert 1 + 1 == 2\n")
        bare = environment_of(Path(temporary, "bare"), installed=False)
        with_ours = environment_of(Path(temporary, "installed"), installed=True)
        full = {**os.environ, "DEEPEVAL_TELEMETRY_OPT_OUT": "YES"}
        full.pop("PYTEST_DISABLE_PLUGIN_AUTOLOAD", None)
        alone = ["-S", "-m", "pytest", "-q", "test_foreign.py"]
        measured = {
            OURS: _measured(project, (alone, bare), (alone, with_ours), rounds[OURS]),
            PEER: _measured(project, (_only(""), full), (_only(PEER), full), rounds[PEER]),
        }
        times = {
            OURS: [imported(["-S"], with_ours, OURS) for _ in range(rounds[OURS])],
            PEER: [imported([], full, PEER) for _ in range(1 if quick else 5)],
        }
    return _rows(measured, times)


def _only(plugin: str) -> list[str]:
    """Return a run with one of this environment's plugins, or with none."""
    names = {entry.name for entry in importlib.metadata.entry_points(group="pytest11")} - {plugin}
    return ["-m", "pytest", "-q", *(part for name in sorted(names) for part in ("-p", f"no:{name}")), "test_foreign.py"]


def _measured(
    project: Path, bare: tuple[list[str], dict[str, str]], plugin: tuple[list[str], dict[str, str]], rounds: int
) -> list[tuple[float, float]]:
    """Return milliseconds without and with a plugin, a pair a round."""
    # First runs compile what the others load.
    for command, environment in (bare, plugin):
        milliseconds(command, project, environment)
    return [
        (milliseconds(bare[0], project, bare[1]), milliseconds(plugin[0], project, plugin[1])) for _ in range(rounds)
    ]


def _rows(measured: dict[str, list[tuple[float, float]]], times: dict[str, list[Imported]]) -> list[Row]:
    mine, theirs = (statistics.median(after - before for before, after in measured[plugin]) for plugin in (OURS, PEER))
    without = statistics.median(before for before, _ in measured[OURS])
    quick, slow = (statistics.median(one.milliseconds for one in times[plugin]) for plugin in (OURS, PEER))
    few, many = (float(times[plugin][0].modules) for plugin in (OURS, PEER))
    peer = "deepeval's plugin"
    # Where the noise of the machine is more than what is added, there is no ratio.
    ratio = theirs / mine if mine > 0.0 else None
    return [
        Row("plugin", "processor time of a foreign test run without a plugin", without, "ms"),
        Row("plugin", "added to it by an installed plugin", mine, "ms", peer, theirs, ratio, Aim("value", "≤", 20)),
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
