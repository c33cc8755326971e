"""The set-up scripts: what they ask for where they may not help themselves, and what they print last."""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path

import pytest

import _setup
import _stages

SCRIPTS = Path(_setup.__file__).parent


@pytest.mark.parametrize("name", ["test", "check", "lock", "demo"])
def test_script_is_executable_and_explains_itself(name):
    script = SCRIPTS / name
    assert os.access(script, os.X_OK)
    assert (SCRIPTS / f"_{name}.py").exists()


@pytest.mark.parametrize("name", ["test", "check", "lock"])
def test_help_sets_nothing_up(name, tmp_path):
    copy = tmp_path / "scripts"
    shutil.copytree(SCRIPTS, copy, ignore=shutil.ignore_patterns("__pycache__"))
    done = subprocess.run([copy / name, "--help"], capture_output=True, text=True, stdin=subprocess.DEVNULL)
    assert done.returncode == 0, done.stderr
    assert f"usage: scripts/{name}" in done.stdout
    assert not (tmp_path / ".venv").exists()


def test_without_a_fitting_python_it_says_which_line_to_run(tmp_path):
    for name in ("dirname", "sh"):
        (tmp_path / name).symlink_to(shutil.which(name))
    done = subprocess.run([SCRIPTS / "test"], capture_output=True, text=True, env={"PATH": str(tmp_path)})
    assert done.returncode == 69
    assert "apt-get install -y python3 python3-pip" in done.stderr


def test_missing_system_packages_are_named_to_a_user_who_is_not_root(monkeypatch):
    monkeypatch.setattr(os, "geteuid", lambda: 1000)
    with pytest.raises(SystemExit, match=r"sudo apt-get install -y --no-install-recommends maven"):
        _setup.install_system_packages({"no-such-command-here": "maven", "sh": "dash"})


def test_nothing_is_installed_where_nothing_is_missing(monkeypatch):
    monkeypatch.setattr(_setup, "run", lambda *command, **_: pytest.fail(f"ran {command}"))
    _setup.install_system_packages({"sh": "dash"})


def test_fingerprint_changes_with_each_of_its_parts(monkeypatch, tmp_path):
    for name in ("pyproject.toml", "constraints.txt"):
        (tmp_path / name).write_text("a")
    monkeypatch.setattr(_setup, "ROOT", tmp_path)
    seen = {_setup.fingerprint()}
    for name in ("pyproject.toml", "constraints.txt"):
        (tmp_path / name).write_text("b")
        seen.add(_setup.fingerprint())
    monkeypatch.setattr(_setup, "EXTRAS", "dev")
    seen.add(_setup.fingerprint())
    assert len(seen) == 4


def test_environment_is_whole_only_with_its_stamp(monkeypatch, tmp_path):
    python, stamp = tmp_path / "python", tmp_path / "stamp"
    monkeypatch.setattr(_setup, "PYTHON", python)
    monkeypatch.setattr(_setup, "STAMP", stamp)
    python.touch()
    assert not _setup.is_whole()
    stamp.write_text("of another checkout")
    assert not _setup.is_whole()
    stamp.write_text(_setup.fingerprint())
    assert _setup.is_whole()
    python.unlink()
    assert not _setup.is_whole()


def test_all_stages_run_and_one_failure_fails_the_whole(capfd):
    stages = _stages.Stages()
    stages.run("first", "sh", "-c", "exit 3")
    stages.run("second", "sh", "-c", "echo '=== 7 passed, 2 skipped in 1.25s ==='")
    assert stages.finish() == 1
    printed = capfd.readouterr().out
    assert "FAILED (code 3)" in printed
    assert "7 passed, 2 skipped in 1.25s" in printed.splitlines()[-2]
    assert printed.splitlines()[-1].endswith("FAILED: first")
