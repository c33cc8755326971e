"""Makes the detectors that come with evalsvc anew, from labelled data alone: the one command behind their cards.

Their rows come from `../shared/data` (or `EVALSVC_SHARED_DATA`), and `evalsvc fit` makes of them the files and reports
in `build/detectors`, then in `evalsvc/detection/weights`. The report of each fit says how good it was on held-out
rows; `python benchmarks/detectors.py` says it of sets that were never seen. An interrupted run goes on where it was.
"""

from __future__ import annotations

import argparse
import os
import shutil
import subprocess
import sys
from pathlib import Path

import _setup

DETECTORS = {
    "faithfulness": ("faithfulness", "_detector_rows.py", "--hold-out 0.15 --epochs 3 --made 800 --false-alarms 0.1"),
    "texts": ("toxicity,prompt_injection,refusal", "_detector_texts.py", "--folds 2 --epochs 3 --false-alarms 0.01"),
}
"""Of each file its tasks, what prints its rows, and how it is fitted."""

BUILD = _setup.ROOT / "build" / "detectors"
DATA = Path(os.environ.get("EVALSVC_SHARED_DATA") or _setup.ROOT.parent / "shared" / "data")
WEIGHTS = _setup.ROOT / "evalsvc" / "detection" / "weights"


def make(name: str) -> None:
    """Fits one detector and puts it where the package looks for it."""
    tasks, script, options = DETECTORS[name]
    out, rows = BUILD / name, BUILD / f"{name}.jsonl"
    made = out / f"{tasks.replace(',', '-')}.safetensors"
    out.mkdir(parents=True, exist_ok=True)
    # What lies there would make this one the next version; an interrupted fit lies beside it, and goes on.
    made.unlink(missing_ok=True)
    with _setup.step(f"rows of {name}"), rows.open("wb") as file:
        subprocess.run([_setup.PYTHON, _setup.ROOT / "benchmarks" / script], stdout=file, check=True)
    program = _setup.ENVIRONMENT / "bin" / "evalsvc"
    subprocess.run([program, "fit", tasks, "--data", rows, "--out", out, *options.split()], check=True)
    WEIGHTS.mkdir(exist_ok=True)
    shutil.copy(made, WEIGHTS / f"{name}.safetensors")


def main() -> int:
    """Makes all, or those that are named."""
    parser = argparse.ArgumentParser(prog="scripts/fit-detectors", description=__doc__)
    parser.add_argument("names", nargs="*", metavar="NAME", help=f"of {', '.join(DETECTORS)}; all without")
    names = parser.parse_args().names or list(DETECTORS)
    if unknown := set(names) - set(DETECTORS):
        parser.error(f"no detector {', '.join(sorted(unknown))}; there are {', '.join(DETECTORS)}")
    if not DATA.is_dir():
        raise _setup.fail(f"there is no data at {DATA}; name its folder in EVALSVC_SHARED_DATA")
    _setup.ensure_environment()
    for name in names:
        make(name)
    return 0


if __name__ == "__main__":
    sys.exit(main())
