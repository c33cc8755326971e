"""The evalsvc that is imported is whole: its metadata, its commands, its modules and the files beside them."""

from __future__ import annotations

import importlib.metadata
import subprocess
import sys

import pytest

import evalsvc


def test_metadata_name_the_version_and_the_command():
    distribution = importlib.metadata.distribution("evalsvc")
    assert distribution.version == evalsvc.__version__
    (script,) = distribution.entry_points.select(group="console_scripts")
    assert script.name == "evalsvc"
    assert script.load()(["--help"]) == 0


@pytest.mark.parametrize("extra", ["kafka", "torch", "web", "judges", "reports", "all"])
def test_extras_are_offered(extra):
    assert extra in importlib.metadata.metadata("evalsvc").get_all("Provides-Extra", [])


def test_every_module_can_be_imported(tmp_path):
    code = (
        "import evalsvc, importlib, pkgutil\n"
        "names = [found.name for found in pkgutil.walk_packages(evalsvc.__path__, 'evalsvc.')]\n"
        "[importlib.import_module(name) for name in names if not name.endswith('__main__')]\n"
        "print(len(names))"
    )
    done = subprocess.run([sys.executable, "-P", "-c", code], cwd=tmp_path, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert int(done.stdout) > 200


def test_the_module_runs_as_a_command(tmp_path):
    command = [sys.executable, "-P", "-m", "evalsvc", "init", str(tmp_path / "project")]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert (tmp_path / "project" / "consumers" / "quality.yaml").is_file()
    assert (tmp_path / "project" / ".gitignore").is_file()
