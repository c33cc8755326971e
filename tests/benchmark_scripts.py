"""The scripts in ``benchmarks/``, whose designs calibration tests share: one definition for a table and its test."""

from __future__ import annotations

import importlib.util
import sys
from pathlib import Path
from types import ModuleType

import pytest

BENCHMARKS = Path(__file__).parents[1] / "benchmarks"


def load_benchmark(name: str) -> ModuleType:
    """Return ``benchmarks/NAME.py`` as a module; skip the test's module where the folder is not beside the tests."""
    script = BENCHMARKS / f"{name}.py"
    if not script.exists():
        pytest.skip(f"benchmarks/{name}.py is not beside the tests", allow_module_level=True)
    spec = importlib.util.spec_from_file_location(f"{name}_designs", script)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module
    sys.path.insert(0, str(BENCHMARKS))
    try:
        spec.loader.exec_module(module)
    finally:
        sys.path.remove(str(BENCHMARKS))
    return module
