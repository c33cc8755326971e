"""Makes the checkout's own environment: `.venv` holding evalsvc, its extras and what its tests need.

Uses the standard library only, because it runs before anything is installed. It needs neither ensurepip nor
an activated environment: the bare environment is filled by the pip of the Python that runs this file, with
uv, and uv installs the rest. A stamp written last says that the environment is whole; anything else is
repaired.
"""

from __future__ import annotations

import fcntl
import hashlib
import os
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
ENVIRONMENT = ROOT / ".venv"
PYTHON = ENVIRONMENT / "bin" / "python"
UV = ENVIRONMENT / "bin" / "uv"
STAMP = ENVIRONMENT / ".evalsvc-stamp"
CACHE = Path(os.environ.get("EVALSVC_CACHE") or ROOT / ".cache")
EXTRAS = "kafka,torch,web,judges,reports,dev"

EX_UNAVAILABLE = 69
"""Exit code when something that this script may not install itself is missing (sysexits.h)."""


def say(text: str) -> None:
    """Prints one line of progress at once, so that it stands before what a started command prints."""
    print(f"evalsvc: {text}", flush=True)


@contextmanager
def step(text: str) -> Iterator[None]:
    """Announces a step and says afterwards how long it took, in seconds."""
    say(f"{text} ...")
    start = time.monotonic()
    yield
    say(f"    took {time.monotonic() - start:.1f} s")


def fail(text: str) -> SystemExit:
    """Returns the exit to raise when the set-up cannot go on; the text says what to do."""
    return SystemExit(f"evalsvc: {text}")


def run(*command: object, env: Mapping[str, str] | None = None) -> None:
    """Runs a command from the checkout, without standard input.

    Raises:
        SystemExit: the command failed; names it and its exit code.
    """
    done = subprocess.run([str(part) for part in command], cwd=ROOT, env=env, stdin=subprocess.DEVNULL)
    if done.returncode != 0:
        line = " ".join(str(part) for part in command)
        raise fail(f"this command ended with code {done.returncode}; run it by itself to see why:\n    {line}")


def fingerprint() -> str:
    """Returns the hash of all that decides what the environment holds.

    The checkout's path is part of it: an environment that was copied or moved along with its checkout still
    points at the old one.
    """
    digest = hashlib.sha256()
    for part in (sys.version, EXTRAS, str(ROOT)):
        digest.update(part.encode() + b"\0")
    for name in ("pyproject.toml", "constraints.txt"):
        digest.update((ROOT / name).read_bytes() + b"\0")
    return digest.hexdigest()


def is_whole() -> bool:
    """Returns whether the environment was finished for exactly this checkout, constraints and Python."""
    return STAMP.is_file() and PYTHON.exists() and STAMP.read_text() == fingerprint()


def runs(*command: str | Path) -> bool:
    """Returns whether a command can be started and ends with 0; prints nothing."""
    try:
        done = subprocess.run([str(part) for part in command], capture_output=True, stdin=subprocess.DEVNULL)
    except OSError:
        return False
    return done.returncode == 0


def install_system_packages(missing: Mapping[str, str]) -> None:
    """Installs Debian packages through apt, for the commands that are not on PATH.

    Args:
        missing: command to look for → Debian package that brings it.

    Raises:
        SystemExit: not root, or no apt here: names the exact line to run.
    """
    packages = sorted({package for command, package in missing.items() if not shutil.which(command)})
    if not packages:
        return
    line = "apt-get install -y --no-install-recommends " + " ".join(packages)
    if os.geteuid() != 0 or not shutil.which("apt-get"):
        raise fail(f"missing here: {', '.join(packages)}. Run this line, then start again:\n    sudo {line}")
    with step(f"installing {', '.join(packages)} through apt"):
        quiet = {**os.environ, "DEBIAN_FRONTEND": "noninteractive"}
        run("apt-get", "update", "-qq", env=quiet)
        run("apt-get", "install", "-y", "-qq", "--no-install-recommends", *packages, env=quiet)


def index_settings() -> dict[str, str]:
    """Returns the environment in which uv asks the same package index as pip does on this machine.

    uv does not read pip's configuration: where a company's mirror is set for pip alone, uv would miss it.
    """
    settings = dict(os.environ)
    if not any(name in settings for name in ("UV_INDEX_URL", "UV_DEFAULT_INDEX", "UV_CONFIG_FILE")):
        command = [sys.executable, "-m", "pip", "config", "get", "global.index-url"]
        asked = subprocess.run(command, capture_output=True, text=True, stdin=subprocess.DEVNULL)
        index = settings.get("PIP_INDEX_URL") or asked.stdout.strip()
        if index:
            settings["UV_DEFAULT_INDEX"] = index
    if "PIP_CERT" in settings:
        settings.setdefault("SSL_CERT_FILE", settings["PIP_CERT"])
    return settings


def make_bare_environment() -> None:
    """Makes `.venv` with a Python and nothing else; an environment whose Python does not run is made anew."""
    if ENVIRONMENT.exists() and not runs(PYTHON, "-c", f"import sys; sys.exit(sys.version != {sys.version!r})"):
        say("the .venv here was made by another Python, or only half: making it anew")
        shutil.rmtree(ENVIRONMENT)
    if not PYTHON.exists():
        with step(f"making .venv with Python {sys.version.split()[0]}"):
            run(sys.executable, "-m", "venv", "--without-pip", ENVIRONMENT)


def install_uv() -> None:
    """Installs uv into `.venv`, by this Python's pip, or by ensurepip's where it has none.

    Raises:
        SystemExit: neither is there and apt may not be used: names the exact line to run.
    """
    if runs(UV, "--version"):
        return
    with step("installing uv into .venv"):
        if not runs(sys.executable, "-m", "pip", "--version") and not runs(PYTHON, "-m", "ensurepip"):
            install_system_packages({"pip3": "python3-pip"})
        here = runs(PYTHON, "-m", "pip", "--version")
        pip = [PYTHON, "-m", "pip"] if here else [sys.executable, "-m", "pip", "--python", PYTHON]
        run(*pip, "install", "--quiet", "--disable-pip-version-check", "uv")


def install_project() -> None:
    """Installs evalsvc, editable, with the extras that tests and demo need, at the pinned versions."""
    with step(f"installing evalsvc[{EXTRAS}] at the versions of constraints.txt (some GB the first time)"):
        target = ["--python", PYTHON, "--quiet", "--constraint", ROOT / "constraints.txt"]
        run(UV, "pip", "install", *target, "--editable", f"{ROOT}[{EXTRAS}]", env=index_settings())


def ensure_environment() -> Path:
    """Makes or repairs the environment where needed and returns its Python; milliseconds when it is whole.

    Safe to call from two processes at once: the second waits for the first.
    """
    if is_whole():
        return PYTHON
    CACHE.mkdir(parents=True, exist_ok=True)
    with (CACHE / "setup.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not is_whole():
            with step("setting up; this is done once"):
                STAMP.unlink(missing_ok=True)
                make_bare_environment()
                install_uv()
                install_project()
                STAMP.write_text(fingerprint())
    return PYTHON


if __name__ == "__main__":
    ensure_environment()
