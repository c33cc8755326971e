"""What is published holds the library, whole, and nothing but the library."""

from __future__ import annotations

import importlib.metadata
import json
import shutil
import subprocess
import sys
import tarfile
import zipfile
from pathlib import Path

import pytest

from _wheel import CHECKOUT, build, install

pytestmark = pytest.mark.slow

LIBRARY_FILES = {
    path.relative_to(CHECKOUT).as_posix()
    for path in (CHECKOUT / "evalsvc").rglob("*")
    if path.is_file() and "__pycache__" not in path.parts
}
OPERATOR_FOLDERS = {"consumers", "suites", "dashboards", "alerts"}


@pytest.fixture(scope="module")
def wheel(tmp_path_factory) -> Path:
    return build(tmp_path_factory.mktemp("wheel"))


@pytest.fixture(scope="module")
def names(wheel) -> set[str]:
    with zipfile.ZipFile(wheel) as archive:
        return {name for name in archive.namelist() if not name.endswith("/")}


def test_check_wheel_contents_has_nothing_to_say(wheel):
    program = Path(sys.executable).with_name("check-wheel-contents")
    done = subprocess.run([program, wheel], cwd=CHECKOUT, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr


def test_top_level_is_evalsvc_only(names):
    assert {name.split("/")[0] for name in names if ".dist-info/" not in name} == {"evalsvc"}


def test_every_file_of_the_library_is_in_the_wheel_and_no_other(names):
    assert {name for name in names if ".dist-info/" not in name} == LIBRARY_FILES


def test_every_file_in_the_wheel_is_the_checkouts_to_the_byte(wheel):
    with zipfile.ZipFile(wheel) as archive:
        unlike = [name for name in sorted(LIBRARY_FILES) if archive.read(name) != (CHECKOUT / name).read_bytes()]
    assert unlike == []


def test_marker_of_types_is_in_the_wheel(names):
    assert "evalsvc/py.typed" in names


def test_installed_wheel_is_imported_rather_than_the_checkout(wheel, tmp_path):
    python = install(wheel, tmp_path / "environment")
    code = "import evalsvc, importlib.metadata as m; print(evalsvc.__file__); print(m.version('evalsvc'))"
    done = subprocess.run([python, "-P", "-c", code], cwd=tmp_path, capture_output=True, text=True, check=True)
    file, version = done.stdout.split()
    assert Path(file).is_relative_to(tmp_path / "environment")
    assert wheel.name.startswith(f"evalsvc-{version}-")


def test_installed_wheel_borrows_the_rest_without_the_checkout(wheel, tmp_path):
    python = install(wheel, tmp_path / "environment")
    code = "import json, sys, msgspec, numpy; print(json.dumps(sys.path))"
    done = subprocess.run([python, "-P", "-c", code], cwd=tmp_path, capture_output=True, text=True, check=True)
    assert str(CHECKOUT) not in json.loads(done.stdout)


def test_installed_wheel_brings_the_pytest_plugin(wheel, tmp_path):
    python = install(wheel, tmp_path / "environment")
    shutil.copytree(CHECKOUT / "suites" / "support", tmp_path / "project")
    others = {entry.name for entry in importlib.metadata.entry_points(group="pytest11")} - {"evalsvc", "timeout"}
    switched_off = [part for name in sorted(others) for part in ("-p", f"no:{name}")]
    command = [python, "-P", "-m", "pytest", "-q", *switched_off, "support.suite.yaml", "test_support.py"]
    done = subprocess.run(command, cwd=tmp_path / "project", capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "support: PASS. All 9 gates passed." in done.stdout
    # What pytest compiles by itself, it would compile in each run where it cannot write.
    compiled = {path.name.partition(".")[0] for path in (tmp_path / "environment").rglob("*-pytest-*.pyc")}
    assert compiled <= {"__init__", "plugin"}


def test_sdist_carries_every_folder(tmp_path):
    with tarfile.open(build(tmp_path, "sdist")) as archive:
        files = {name.split("/", 1)[1] for name in archive.getnames() if "/" in name}
    folders = OPERATOR_FOLDERS | {"evalsvc", "scripts", "tests", "benchmarks", "docs", ".ci"}
    filled = {folder for folder in folders if any(path.is_file() for path in (CHECKOUT / folder).rglob("*"))}
    assert filled <= {name.split("/")[0] for name in files}
    assert {"pyproject.toml", "constraints.txt", "README.md"} <= files
    assert not any(name.startswith((".cache/", ".venv/")) or "__pycache__" in name for name in files)
