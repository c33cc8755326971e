"""Builds the wheel, installs it into an environment of its own and runs tests against it elsewhere.

run: .venv/bin/python scripts/_wheel.py [PYTEST-ARGUMENT ...]  (a stage of scripts/test)

A test run in the checkout imports the checkout's `evalsvc`, whatever the wheel holds. Here the tests and the
operator's folders are copied to a folder without it, so that a file missing from the wheel is missed.

Only some tests run. That each file of the library is in the wheel, to the byte, and no other is, is tested in the
checkout (tests/packaging/test_wheel.py): what is computed cannot differ. What can differ is what depends on where the
library lies and how it was installed: its metadata and command, imports that the checkout alone satisfies, and files
that are looked up beside the code. PACKAGED names the tests of these.
"""

from __future__ import annotations

import shutil
import subprocess
import sys
import sysconfig
import tempfile
import zipfile
from collections.abc import Sequence
from pathlib import Path

CHECKOUT = Path(__file__).resolve().parents[1]
PACKAGED = (
    # Metadata, the command, and the import of every module.
    "packaging/test_installed.py",
    "unit/test_exported_names.py",
    "unit/test_import_cost.py",
    "unit/test_cli.py",
    # Built-in scorers are found by name, a project's by its folder, and plug-ins by their entry points.
    "unit/test_cli_scorers.py",
    "unit/test_metrics_catalogue.py",
    "unit/test_project.py",
    "unit/test_project_assemble.py",
    "unit/test_project_scorers.py",
    # Files beside the code: event schema, migrations, lexicon, recognisers of another package, page, starter project.
    "unit/test_decode.py",
    "integration/test_store_migrations.py",
    "unit/test_fairness_counterfactual.py",
    "unit/test_privacy_finding.py",
    "unit/test_web_page.py",
    # pytest finds the plugin by its entry point.
    "unit/test_gate_plugin.py",
    # The operator's folders stand beside an installed library, too.
    "unit/test_compose.py",
)
"""The files of tests/ that a fault of packaging can fail."""
CARRIED = (
    "tests",
    "consumers",
    "suites",
    "dashboards",
    "alerts",
    "docs",
    "benchmarks",
    "scripts",
    "pyproject.toml",
    "constraints.txt",
    "docker-compose.yml",
    "README.md",
    "CHANGELOG.md",
)
"""What a checkout holds beside the library, as tests may read it."""


def build(folder: Path, kind: str = "wheel") -> Path:
    """Builds a wheel or an sdist of the checkout into `folder`, offline, and returns its path.

    Raises:
        subprocess.CalledProcessError: the build failed; its output is in the exception.
    """
    command = [sys.executable, "-m", "build", "--no-isolation", f"--{kind}", "--outdir", str(folder)]
    subprocess.run([*command, str(CHECKOUT)], check=True, capture_output=True, text=True, timeout=120)
    suffix = ".whl" if kind == "wheel" else ".tar.gz"
    (made,) = folder.glob(f"*{suffix}")
    return made


def install(wheel: Path, folder: Path) -> Path:
    """Makes an environment that holds the wheel, borrows all else from this one, and returns its Python.

    A line in a .pth file adds this environment's packages after the wheel. Python reads no .pth file of a
    folder that was added so, and the editable install is one: the checkout stays out.
    """
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", str(folder)], check=True, timeout=60)
    version = f"python{sys.version_info.major}.{sys.version_info.minor}"
    packages = folder / "lib" / version / "site-packages"
    with zipfile.ZipFile(wheel) as archive:
        # A pure wheel without scripts or data of its own: unpacking is all that an installer would do.
        archive.extractall(packages)
    (packages / "borrowed.pth").write_text(sysconfig.get_paths()["purelib"] + "\n")
    return folder / "bin" / "python"


def carry(folder: Path) -> None:
    """Copies all that tests may read, but not the library, from the checkout to `folder`."""
    for name in CARRIED:
        source = CHECKOUT / name
        if source.is_dir():
            shutil.copytree(source, folder / name, ignore=shutil.ignore_patterns("__pycache__"))
        elif source.exists():
            shutil.copy(source, folder / name)


def main(arguments: Sequence[str]) -> int:
    """Runs pytest in a copy of the tests against the installed wheel; returns its exit code."""
    with tempfile.TemporaryDirectory(prefix="evalsvc-wheel-") as temporary:
        folder = Path(temporary)
        python = install(build(folder), folder / "environment")
        elsewhere = folder / "elsewhere"
        elsewhere.mkdir()
        carry(elsewhere)
        packaged = ["-n", "2", "--dist", "loadfile", "-m", "not slow", *(f"tests/{name}" for name in PACKAGED)]
        command = [str(python), "-P", "-m", "pytest", "-q", *(arguments or packaged)]
        return subprocess.run(command, cwd=elsewhere, stdin=subprocess.DEVNULL).returncode


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
