"""`import evalsvc` costs next to nothing and loads none of the heavy packages that evalsvc can use."""

from __future__ import annotations

import json
import subprocess
import sys

import pytest

HEAVY = {
    "chdb",
    "clickhouse_connect",
    "kafka",
    "numpy",
    "pandas",
    "presidio_analyzer",
    "pyarrow",
    "rouge_score",
    "rouge_score_rs",
    "sacrebleu",
    "scipy",
    "spacy",
    "starlette",
    "torch",
    "transformers",
    "uvicorn",
}
BUDGET_SECONDS = 0.100


def processor_seconds(code: str, times: int = 7) -> float:
    """The least processor time of fresh Pythons running `code`: more is the machine's load."""
    command = [sys.executable, "-c", f"{code}\nimport time; print(time.process_time())"]
    return min(float(subprocess.run(command, capture_output=True, check=True).stdout) for _ in range(times))


def loaded_by(code: str) -> set[str]:
    listing = f"{code}\nimport json, sys; print(json.dumps(sorted(sys.modules)))"
    done = subprocess.run([sys.executable, "-c", listing], capture_output=True, text=True, check=True)
    return {name.partition(".")[0] for name in json.loads(done.stdout.splitlines()[-1])}


def test_import_takes_less_than_a_tenth_of_a_second():
    bare, whole = processor_seconds("pass"), processor_seconds("import evalsvc")
    assert whole - bare < BUDGET_SECONDS


def test_import_loads_no_heavy_package():
    assert HEAVY & loaded_by("import evalsvc") == set()


@pytest.mark.parametrize("module", ["errors", "types", "protocols", "sampling"])
def test_core_module_loads_no_heavy_package(module):
    assert HEAVY & loaded_by(f"import evalsvc.{module}") <= {"numpy"}


@pytest.mark.parametrize("module", ["stats", "query"])
def test_a_query_starts_without_what_only_other_statistics_need(module):
    assert HEAVY & loaded_by(f"import evalsvc.{module}") == set()


def test_import_prints_nothing_and_warns_of_nothing():
    done = subprocess.run([sys.executable, "-W", "error", "-c", "import evalsvc"], capture_output=True, text=True)
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")


def test_the_measure_sees_a_heavy_package():
    assert "numpy" in loaded_by("import numpy")


def test_a_suite_s_models_are_read_without_what_only_one_of_them_needs():
    assert (HEAVY | {"asyncio", "sqlite3"}) & loaded_by("import evalsvc.generation") <= {"sqlite3"}
